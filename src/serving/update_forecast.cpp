// update_forecast: a forecaster's model moved forward by new observations, in any query.
//
// A model value knows its grid, but not how its set fills gaps or merges rows of one time: so here the
// observations are those of the next times, one each, or it is an error that says which is not.
#include <cmath>

#include "pg/forecast_options.h"
#include "pg/server.h"
#include "serving/forecast_call.h"

extern "C" {
#include "utils/array.h"
#include "utils/date.h"
#include "utils/timestamp.h"
}

namespace many::serving {

namespace {

struct Observation {
    int64 time;
    double value;
};

int compare_times(const void* a, const void* b) {
    const auto* x = static_cast<const Observation*>(a);
    const auto* y = static_cast<const Observation*>(b);
    return x->time < y->time ? -1 : x->time > y->time ? 1 : 0;
}

char* shown(Oid type, int64 time) {
    Oid output;
    bool is_varlena;
    getTypeOutputInfo(type, &output, &is_varlena);
    return OidOutputFunctionCall(output, pg::time_datum(type, time));
}

bool is_infinite(Oid type, int64 time) {
    switch (type) {
        case DATEOID:
            return DATE_NOT_FINITE(time);
        case TIMESTAMPOID:
        case TIMESTAMPTZOID:
            return TIMESTAMP_NOT_FINITE(time);
        default:
            return false;
    }
}

void take_elements(ArrayType* array, const char* name, Datum** elements, bool** nulls, int* n) {
    const Oid type = ARR_ELEMTYPE(array);
    int16 length;
    bool by_value;
    char align;
    if (ARR_NDIM(array) > 1)
        ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
                        errmsg("%s must be an array of one dimension", name)));
    get_typlenbyvalalign(type, &length, &by_value, &align);
    deconstruct_array(array, type, length, by_value, align, elements, nulls, n);
}

// In order of time; raises for what no series can have.
Observation* read_observations(ArrayType* times, ArrayType* actuals, int* n) {
    Datum* time_elements;
    Datum* elements;
    bool* time_nulls;
    bool* nulls;
    int n_actuals = 0;
    bool ordered = true;
    const Oid type = ARR_ELEMTYPE(times);
    take_elements(times, "times", &time_elements, &time_nulls, n);
    take_elements(actuals, "actuals", &elements, &nulls, &n_actuals);
    if (*n != n_actuals)
        ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
                        errmsg("times has %d elements, and actuals has %d", *n, n_actuals)));
    auto* rows =
        static_cast<Observation*>(palloc(sizeof(Observation) * (static_cast<Size>(*n) + 1)));
    for (int i = 0; i < *n; ++i) {
        if (time_nulls[i] || nulls[i])
            ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                            errmsg("element %d of %s is NULL", i + 1,
                                   time_nulls[i] ? "times" : "actuals")));
        rows[i] = {pg::time_number(type, time_elements[i]), DatumGetFloat8(elements[i])};
        if (is_infinite(type, rows[i].time) || !std::isfinite(rows[i].value))
            ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
                            errmsg("element %d of %s is not finite", i + 1,
                                   is_infinite(type, rows[i].time) ? "times" : "actuals")));
        ordered = ordered && (i == 0 || rows[i - 1].time <= rows[i].time);
    }
    if (!ordered) qsort(rows, static_cast<Size>(*n), sizeof(Observation), compare_times);
    return rows;
}

// Each the next time of the model's series.
void check_times(const ForecastHandle* handle, Oid type, const Observation* rows, int n) {
    const int64 end = forecast_time(handle, 0);
    for (int i = 0; i < n; ++i) {
        const int64 next = forecast_time(handle, static_cast<int64>(i) + 1);
        const int64 time = rows[i].time;
        if (time == next && !is_infinite(type, next)) continue;
        if (i > 0 && time == rows[i - 1].time)
            ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                            errmsg("time %s comes more than once", shown(type, time)),
                            errhint("Aggregate the observations of one time.")));
        if (time <= end)
            ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                            errmsg("time %s is not behind the end of the model's series, %s",
                                   shown(type, time), shown(type, end)),
                            errhint("Give observations that the model does not know. Where earlier "
                                    "ones changed, train the model again.")));
        ereport(ERROR,
                (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                 errmsg("the observation of %s is missing: %s follows on %s", shown(type, next),
                        shown(type, time), shown(type, i == 0 ? end : rows[i - 1].time)),
                 errhint("Give one observation for each step of the series.")));
    }
}

}  // namespace

}  // namespace many::serving

using namespace many;
using namespace many::serving;

extern "C" {

PG_FUNCTION_INFO_V1(many_update_forecast);

// update_forecast(model, times, actuals) -> model
Datum many_update_forecast(PG_FUNCTION_ARGS) {
    ForecastHandle* handle = query_handle(fcinfo);
    ArrayType* times = PG_GETARG_ARRAYTYPE_P(1);
    const Oid type = ARR_ELEMTYPE(times);
    ModelBytes bytes;
    core::LinearModelView view;
    int n = 0;
    if (open_any_model(PG_GETARG_DATUM(0), &bytes, &view) != ModelKind::forecast)
        ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("the model is no forecaster"),
                        errhint("Only forecasters are moved forward by new observations.")));
    const core::ForecastModel* model = decode_forecast(handle, bytes.data, bytes.length);
    check_time_type(type, model);
    if (model->n_features > 0)
        ereport(ERROR,
                (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                 errmsg("the model needs the features of the new observations"),
                 errhint("Use refresh_many_models with the option \"refresh\": \"update\".")));
    const Observation* rows = read_observations(times, PG_GETARG_ARRAYTYPE_P(2), &n);
    if (n == 0)
        return make_model_value(reinterpret_cast<const unsigned char*>(bytes.data), bytes.length);
    check_times(handle, type, rows, n);
    auto* values = static_cast<double*>(palloc(sizeof(double) * static_cast<Size>(n)));
    for (int i = 0; i < n; ++i) values[i] = rows[i].value;
    const unsigned char* moved = nullptr;
    Size length = 0;
    if (!move_forecast(handle, values, static_cast<Size>(n), &moved, &length))
        ereport(ERROR,
                (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                 errmsg("the model cannot be moved forward by these observations"),
                 errhint("Train it again: window averages, adida and imapa have no update, and "
                         "models with multiplicative parts have none by values that are not "
                         "positive.")));
    return make_model_value(moved, length);
}

}  // extern "C"
