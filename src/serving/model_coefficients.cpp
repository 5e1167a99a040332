// many_models.model_coefficients: one row per term, as broom's tidy.
#include "core/codec/linear_model.h"
#include "core/learners/linear.h"
#include "pg/server.h"
#include "pg/source.h"
#include "serving/model_value.h"
#include "serving/term_name.h"

#include <cmath>

using namespace many;
using namespace many::serving;

namespace {

constexpr int kColumns = 7;

struct Terms {
    Tuplestorestate* store;
    TupleDesc descriptor;
    double df_residual;
    double level;
};

void put_term(const Terms* terms, text* name, double estimate, double std_error) {
    Datum values[kColumns] = {};
    bool nulls[kColumns] = {};
    const core::CoefficientInference inference =
        core::infer(estimate, std_error, terms->df_residual, terms->level);
    const double numbers[] = {estimate,          std_error,       inference.t_value,
                              inference.p_value, inference.lower, inference.upper};
    values[0] = PointerGetDatum(name);
    for (int i = 0; i < 6; ++i) {
        values[i + 1] = Float8GetDatum(numbers[i]);
        nulls[i + 1] = std::isnan(numbers[i]);
    }
    tuplestore_putvalues(terms->store, terms->descriptor, values, nulls);
}

}  // namespace

namespace many::serving {

char** feature_names(ArrayType* array, int expected) {
    int n = 0;
    char** names = pg::text_array_to_strings(array, "features", &n);
    if (n != expected)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("features has %d names, the model has %d features", n, expected)));
    return names;
}

text* term_name(const core::LinearModelView& view, int index, char** names) {
    const core::LinearModelView::Term term = view.term(index);
    StringInfoData name;
    initStringInfo(&name);
    if (names != nullptr)
        appendStringInfoString(&name, names[term.feature]);
    else
        appendStringInfo(&name, "x%d", term.feature + 1);
    if (term.level.data() != nullptr) {
        appendStringInfoChar(&name, '=');
        appendBinaryStringInfo(&name, term.level.data(), static_cast<int>(term.level.size()));
    }
    return cstring_to_text_with_len(name.data, name.len);
}

}  // namespace many::serving

extern "C" {

PG_FUNCTION_INFO_V1(many_model_coefficients);

Datum many_model_coefficients(PG_FUNCTION_ARGS) {
    InitMaterializedSRF(fcinfo, 0);
    auto* result = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
    if (PG_ARGISNULL(0) || PG_ARGISNULL(2)) return Datum(0);
    ModelBytes bytes;
    core::LinearModelView view;
    // Forecasters have terms of their own: model_forecast_terms.
    if (open_any_model(PG_GETARG_DATUM(0), &bytes, &view) != ModelKind::linear) return Datum(0);
    char** names =
        PG_ARGISNULL(1) ? nullptr : feature_names(PG_GETARG_ARRAYTYPE_P(1), view.n_features());
    const double level = PG_GETARG_FLOAT8(2);
    if (!(level > 0 && level < 1))
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("invalid value for level: %g", level),
                        errhint("The level is between 0 and 1, for example 0.95.")));
    const Terms terms = {result->setResult, result->setDesc, view.df_residual(), level};
    if (view.has_intercept())
        put_term(&terms, cstring_to_text("(Intercept)"), view.intercept(),
                 view.intercept_std_error());
    for (int i = 0; i < view.n_terms(); ++i)
        put_term(&terms, term_name(view, i, names), view.coefficient(i), view.std_error(i));
    return Datum(0);
}

}  // extern "C"
