// predict and prediction_interval of a model value and an array of features.
#include "core/codec/linear_model.h"
#include "pg/server.h"
#include "serving/model_value.h"
#include "serving/score_value.h"
#include "wall/wall.h"

#include <cmath>
#include <cstring>

using namespace many;
using namespace many::serving;

namespace {

// Between calls: the model of the row before, with the t quantile of its level filled in.
struct IntervalCall {
    TupleDesc result;
    double level;
    Size length;
    Size capacity;
    char* original;  // to recognise the model
    char* prepared;
};

void require_features(const core::LinearModelView& view, const ArrayType* features) {
    const int n = ARR_NDIM(features) == 0 ? 0 : ARR_DIMS(features)[0];
    if (ARR_NDIM(features) > 1)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("features must be a one-dimensional array")));
    if (view.has_levels())
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("the model has categorical features"),
                        errhint("Use predict(model_set, key, features) or score_many_models.")));
    if (n != view.n_features())
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("features has %d elements, the model has %d features", n,
                               view.n_features())));
}

// Scores with NULL elements: the general form.
core::FeatureValue* values_with_nulls(const ArrayType* features, int n) {
    auto* values = static_cast<core::FeatureValue*>(
        palloc0(sizeof(core::FeatureValue) * static_cast<Size>(n + 1)));
    const bits8* bitmap = ARR_NULLBITMAP(features);
    const char* data = ARR_DATA_PTR(features);
    for (int i = 0; i < n; ++i) {
        values[i].is_null = (bitmap[i / 8] & (1 << (i % 8))) == 0;
        if (values[i].is_null) continue;
        memcpy(&values[i].number, data, sizeof(double));
        data += sizeof(double);
    }
    return values;
}

core::Score score_array(const core::LinearModelView& view, const ArrayType* features) {
    require_features(view, features);
    const core::FeatureValue* values =
        ARR_HASNULL(features) ? values_with_nulls(features, view.n_features()) : nullptr;
    core::Score score;
    wall::WallError error;
    if (!wall::across_wall(&error, [&] {
            score =
                values != nullptr
                    ? view.score(values)
                    : view.score_numeric(reinterpret_cast<const double*>(ARR_DATA_PTR(features)));
        }))
        wall::raise_wall_error(&error);
    return score;
}

IntervalCall* interval_call(FunctionCallInfo fcinfo) {
    auto* call = static_cast<IntervalCall*>(fcinfo->flinfo->fn_extra);
    if (call != nullptr) return call;
    const MemoryContext old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
    call = static_cast<IntervalCall*>(palloc0(sizeof(IntervalCall)));
    if (get_call_result_type(fcinfo, nullptr, &call->result) != TYPEFUNC_COMPOSITE)
        elog(ERROR, "return type must be a row type");
    call->result = BlessTupleDesc(call->result);
    MemoryContextSwitchTo(old);
    fcinfo->flinfo->fn_extra = call;
    return call;
}

// Opens the model with its t quantile; false for an error value.
bool prepare_interval(FunctionCallInfo fcinfo, IntervalCall* call, double level,
                      core::LinearModelView* view) {
    const auto* value = PG_DETOAST_DATUM_PACKED(PG_GETARG_DATUM(0));
    const char* data = VARDATA_ANY(value);
    const Size length = VARSIZE_ANY_EXHDR(value);
    const bool same = call->length == length && length > 0 && call->level == level &&
                      memcmp(call->original, data, length) == 0;
    if (!same) {
        call->length = 0;
        if (!check_model_bytes(data, length, view)) return false;
        if (call->capacity < length) {
            call->original =
                static_cast<char*>(MemoryContextAlloc(fcinfo->flinfo->fn_mcxt, length));
            call->prepared =
                static_cast<char*>(MemoryContextAlloc(fcinfo->flinfo->fn_mcxt, length));
            call->capacity = length;
        }
        memcpy(call->original, data, length);
        memcpy(call->prepared, data, length);
    }
    wall::WallError error;
    if (!wall::across_wall(&error, [&] {
            if (!same) core::LinearModelView::set_interval_level(call->prepared, length, level);
            *view = core::LinearModelView::open(call->prepared, length,
                                                core::LinearModelView::Check::structure);
        }))
        wall::raise_wall_error(&error);
    call->length = length;
    call->level = level;
    return true;
}

}  // namespace

extern "C" {

PG_FUNCTION_INFO_V1(many_predict_model);
PG_FUNCTION_INFO_V1(many_prediction_interval);

Datum many_predict_model(PG_FUNCTION_ARGS) {
    ModelBytes bytes;
    core::LinearModelView view;
    if (!open_model_value(PG_GETARG_DATUM(0), &bytes, &view)) PG_RETURN_NULL();
    const core::Score score = score_array(view, PG_GETARG_ARRAYTYPE_P(1));
    if (!is_usable(score.code)) PG_RETURN_NULL();
    PG_RETURN_FLOAT8(score.prediction);
}

Datum many_prediction_interval(PG_FUNCTION_ARGS) {
    const double level = PG_GETARG_FLOAT8(2);
    if (!(level > 0 && level < 1))
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("invalid value for level: %g", level),
                        errhint("The level is between 0 and 1, for example 0.95.")));
    IntervalCall* call = interval_call(fcinfo);
    core::LinearModelView view;
    Datum values[3] = {};
    bool nulls[3] = {true, true, true};
    if (prepare_interval(fcinfo, call, level, &view)) {
        const core::Score score = score_array(view, PG_GETARG_ARRAYTYPE_P(1));
        const double numbers[] = {score.prediction, score.lower, score.upper};
        for (int i = 0; i < 3 && is_usable(score.code); ++i) {
            values[i] = Float8GetDatum(numbers[i]);
            nulls[i] = std::isnan(numbers[i]);
        }
    }
    PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(call->result, values, nulls)));
}

}  // extern "C"
