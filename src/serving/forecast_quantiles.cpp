#include "serving/forecast_quantiles.h"

#include "pg/learner_options.h"

#include <cmath>

extern "C" {
#include "utils/numeric.h"
}

namespace many::serving {

namespace {

constexpr int kDecimals = 12;
// Two digits, a point, and the decimals that a percentage has then.
constexpr int kMaxPercentText = kDecimals + 1;

bool is_next(double before, double p) {
    return p > before && p < 1;
}

// As text without zeros at its end: 0.025 gives "2.5".
char* percent_text(Numeric p) {
    const Datum hundred = DirectFunctionCall1(int4_numeric, Int32GetDatum(100));
    const Datum percent = DirectFunctionCall2(numeric_mul, NumericGetDatum(p), hundred);
    return DatumGetCString(
        DirectFunctionCall1(numeric_out, DirectFunctionCall1(numeric_trim_scale, percent)));
}

}  // namespace

void read_quantiles(ForecastSpread* spread, ArrayType* array) {
    const int n = ARR_NDIM(array) == 1 ? ArrayGetNItems(1, ARR_DIMS(array)) : 0;
    const auto* values = reinterpret_cast<const double*>(ARR_DATA_PTR(array));
    bool valid = n >= 1 && n <= kMaxQuantiles && !array_contains_nulls(array);
    for (int i = 0; valid && i < n; ++i) valid = is_next(i > 0 ? values[i - 1] : 0, values[i]);
    if (!valid)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid quantiles"),
                        errhint("Give an array of 1 to %d numbers between 0 and 1, ascending, for "
                                "example {0.1,0.5,0.9}.",
                                kMaxQuantiles)));
    spread->n_quantiles = n;
    spread->quantiles = values;
}

void read_quantile_option(QuantileOption* option, const char* key, const JsonbValue* value) {
    static const char* const valid =
        "an array of 1 to 19 numbers between 0 and 1 of at most 12 decimals, ascending";
    JsonbValue element;
    option->n = 0;
    if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
        pg::raise_option_value(key, value, valid);
    JsonbIterator* iterator = JsonbIteratorInit(value->val.binary.data);
    (void)JsonbIteratorNext(&iterator, &element, false);
    for (;;) {
        const JsonbIteratorToken token = JsonbIteratorNext(&iterator, &element, true);
        if (token == WJB_DONE) break;
        if (token != WJB_ELEM) continue;
        if (element.type != jbvNumeric || option->n == kMaxQuantiles)
            pg::raise_option_value(key, value, valid);
        const double p = DatumGetFloat8(
            DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(element.val.numeric)));
        if (!is_next(option->n > 0 ? option->values[option->n - 1] : 0, p))
            pg::raise_option_value(key, value, valid);
        char* percent = percent_text(element.val.numeric);
        if (strlen(percent) > kMaxPercentText) pg::raise_option_value(key, value, valid);
        for (char* c = percent; *c != '\0'; ++c)
            if (*c == '.') *c = '_';
        option->values[option->n] = p;
        option->columns[option->n++] = psprintf("p%s", percent);
    }
    if (option->n == 0) pg::raise_option_value(key, value, valid);
}

Datum step_quantiles(const ForecastRows* rows, int step) {
    Datum values[kMaxQuantiles];
    bool nulls[kMaxQuantiles];
    const double* from = rows->quantiles + static_cast<Size>(step) * rows->n_quantiles;
    for (int i = 0; i < rows->n_quantiles; ++i) {
        values[i] = Float8GetDatum(from[i]);
        nulls[i] = std::isnan(from[i]);
    }
    int dims[] = {rows->n_quantiles};
    int lower_bounds[] = {1};
    return PointerGetDatum(construct_md_array(values, nulls, 1, dims, lower_bounds, FLOAT8OID,
                                              sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

}  // namespace many::serving
