// Forecasts of a model as rows: forecast_scores, which score_many_models puts beside each model, and
// model_forecast, for any query.
#include "pg/forecast_options.h"
#include "pg/server.h"
#include "pg/worker_cpu.h"
#include "serving/forecast_call.h"
#include "serving/forecast_quantiles.h"
#include "serving/score_value.h"

#include <cmath>

namespace many::serving {

void check_horizon(int horizon) {
    if (horizon < 1 || horizon > core::kMaxHorizon)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("horizon must be from 1 to %d, not %d", core::kMaxHorizon, horizon),
                        errhint("It counts the steps behind the end of the series.")));
}

void check_time_type(Oid type, const core::ForecastModel* model) {
    // Other types count as integers there.
    const bool is_time = type == INT2OID || type == INT4OID || type == INT8OID || type == DATEOID ||
                         type == TIMESTAMPOID || type == TIMESTAMPTZOID;
    if (!is_time || pg::time_type_of(type) != model->grid.type)
        ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                        errmsg("the model's times are no values of type %s", format_type_be(type)),
                        errhint("Use the type of the time column that the model was trained by.")));
}

ForecastHandle* query_handle(FunctionCallInfo fcinfo) {
    if (fcinfo->flinfo->fn_extra == nullptr) {
        pg::join_worker_cpu();
        fcinfo->flinfo->fn_extra = make_forecast_handle(fcinfo->flinfo->fn_mcxt);
    }
    return static_cast<ForecastHandle*>(fcinfo->flinfo->fn_extra);
}

namespace {
// Of the column that the caller's argument gives its type to.
Oid time_argument_type(const ReturnSetInfo* result) {
    const Oid type = TupleDescAttr(result->setDesc, 0)->atttypid;
    switch (type) {
        case INT2OID:
        case INT4OID:
        case INT8OID:
        case DATEOID:
        case TIMESTAMPOID:
        case TIMESTAMPTZOID:
            return type;
        default:
            ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                            errmsg("%s is not the type of a time column", format_type_be(type)),
                            errhint("Valid are smallint, integer, bigint, date and timestamps.")));
    }
    pg_unreachable();
}

const core::ForecastModel* forecaster_argument(ForecastHandle* handle, Datum value) {
    ModelBytes bytes;
    core::LinearModelView view;
    if (open_any_model(value, &bytes, &view) != ModelKind::forecast)
        ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("the model is no forecaster"),
                        errhint("Use predict.")));
    return decode_forecast(handle, bytes.data, bytes.length);
}

Datum packed_score(const PackedScore* packed) {
    auto* value = static_cast<struct varlena*>(palloc(VARHDRSZ + PackedScore::kBytes));
    SET_VARSIZE(value, VARHDRSZ + PackedScore::kBytes);
    packed->pack(VARDATA(value));
    return PointerGetDatum(value);
}

double* float8_elements(ArrayType* array, int* n) {
    *n = ARR_NDIM(array) == 0 ? 0 : ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
    if (!ARR_HASNULL(array)) return reinterpret_cast<double*>(ARR_DATA_PTR(array));
    Datum* elements;
    bool* nulls;
    deconstruct_array(array, FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &elements,
                      &nulls, n);
    auto* numbers = static_cast<double*>(palloc(sizeof(double) * (static_cast<Size>(*n) + 1)));
    for (int i = 0; i < *n; ++i) numbers[i] = nulls[i] ? NAN : DatumGetFloat8(elements[i]);
    return numbers;
}

// Rows of the future by time: which steps have one with all features.
double* align_future(const ForecastHandle* handle, const FutureRows* rows, int n_features,
                     int horizon, bool* present) {
    const Size h = static_cast<Size>(horizon);
    auto* x = static_cast<double*>(palloc0(sizeof(double) * (h * n_features + 1)));
    memset(present, n_features == 0 ? 1 : 0, h);
    for (int step = 0; step < horizon && n_features > 0; ++step) {
        const int64 time = forecast_time(handle, step + 1);
        for (int r = 0; r < rows->n; ++r) {
            if (rows->times[r] != time) continue;
            bool complete = true;
            for (int k = 0; k < n_features; ++k) {
                const double value = rows->x[static_cast<Size>(k) * rows->n + r];
                complete = complete && std::isfinite(value);
                x[static_cast<Size>(k) * h + step] = value;
            }
            present[step] = complete;
            if (complete) break;
        }
        if (present[step]) continue;
        for (int k = 0; k < n_features; ++k) x[static_cast<Size>(k) * h + step] = 0;
    }
    return x;
}

// A step without features ends what can be forecast: those behind depend on it.
int known_steps(const bool* present, int horizon) {
    int n = 0;
    while (n < horizon && present[n]) ++n;
    return n;
}

}  // namespace

core::Score step_score(const ForecastRows* rows, int step, int rung) {
    core::Score score;
    score.prediction = rows->mean[step];
    score.lower = rows->lower[step];
    score.upper = rows->upper[step];
    if (std::isnan(score.prediction) || (rows->flags[step] & core::kForecastNotFinite) != 0)
        score.code = core::ScoreCode::overflow;
    else if ((rows->flags[step] & core::kForecastExplosive) != 0)
        score.code = core::ScoreCode::explosive;
    else if (rung == 1)
        score.code = core::ScoreCode::without_season;
    else if (rung > 1)
        score.code = core::ScoreCode::naive_instead;
    return score;
}

void read_future(FutureRows* rows, ArrayType* times, ArrayType* x, int n_features) {
    Datum* elements;
    bool* nulls;
    int16 length;
    bool by_value;
    char align;
    const Oid type = ARR_ELEMTYPE(times);
    get_typlenbyvalalign(type, &length, &by_value, &align);
    deconstruct_array(times, type, length, by_value, align, &elements, &nulls, &rows->n);
    rows->times = static_cast<int64*>(palloc(sizeof(int64) * (static_cast<Size>(rows->n) + 1)));
    for (int i = 0; i < rows->n; ++i)
        rows->times[i] = nulls[i] ? PG_INT64_MIN : pg::time_number(type, elements[i]);
    int n = 0;
    rows->x = float8_elements(x, &n);
    if (n != rows->n * n_features)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("future has %d values, not %d features at %d times", n, n_features,
                               rows->n)));
}

int forecast_steps(ForecastHandle* handle, const core::ForecastModel* model, int horizon,
                   const ForecastSpread& spread, const FutureRows* future, ForecastRows* rows) {
    auto* present = static_cast<bool*>(palloc(static_cast<Size>(horizon) + 1));
    const double* x = align_future(handle, future, model->n_features, horizon, present);
    const int n = known_steps(present, horizon);
    if (n < horizon) {  // column-major by its own height
        auto* cut = static_cast<double*>(
            palloc(sizeof(double) * (static_cast<Size>(n) * model->n_features + 1)));
        for (int k = 0; k < model->n_features; ++k)
            memcpy(cut + static_cast<Size>(k) * n, x + static_cast<Size>(k) * horizon,
                   sizeof(double) * static_cast<Size>(n));
        x = cut;
    }
    if (n > 0) make_forecast(handle, n, spread, x, model->n_features, rows);
    return n;
}

}  // namespace many::serving

using namespace many;
using namespace many::serving;

extern "C" {

PG_FUNCTION_INFO_V1(many_forecast_scores);
PG_FUNCTION_INFO_V1(many_model_forecast);

// forecast_scores(model_id, version, model, horizon, level, time, future_times, future, quantiles)
// -> (time, horizon_step, score, quantiles). Anyone may call it with anything.
Datum many_forecast_scores(PG_FUNCTION_ARGS) {
    ForecastHandle* handle = query_handle(fcinfo);
    InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
    auto* result = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
    const Oid type = time_argument_type(result);
    Datum values[4] = {};
    bool nulls[4] = {};
    PackedScore packed;
    if (PG_ARGISNULL(2)) {  // a group without a model
        packed.score.code = core::ScoreCode::no_model;
        packed.score.prediction = packed.score.lower = packed.score.upper = NAN;
        nulls[0] = nulls[1] = nulls[3] = true;
        values[2] = packed_score(&packed);
        tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
        return Datum(0);
    }
    if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(4))
        ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                        errmsg("model_id, version and level must not be NULL")));
    const core::ForecastModel* model = forecaster_argument(handle, PG_GETARG_DATUM(2));
    check_time_type(type, model);
    const int horizon = PG_ARGISNULL(3) ? forecast_default_horizon(handle) : PG_GETARG_INT32(3);
    check_horizon(horizon);
    check_interval_level(PG_GETARG_FLOAT8(4));
    FutureRows future = {};
    ForecastRows rows = {};
    if (!PG_ARGISNULL(6) && !PG_ARGISNULL(7) && model->n_features > 0)
        read_future(&future, PG_GETARG_ARRAYTYPE_P(6), PG_GETARG_ARRAYTYPE_P(7), model->n_features);
    packed.model_id = PG_GETARG_INT64(0);
    packed.version = PG_GETARG_INT32(1);
    ForecastSpread spread = {PG_GETARG_FLOAT8(4), 0, nullptr};
    if (!PG_ARGISNULL(8)) read_quantiles(&spread, PG_GETARG_ARRAYTYPE_P(8));
    const int n = forecast_steps(handle, model, horizon, spread, &future, &rows);
    for (int i = 0; i < horizon; ++i) {
        if (i < n) {
            packed.score = step_score(&rows, i, model->rung);
        } else {
            packed.score = core::Score{};
            packed.score.code = core::ScoreCode::no_future;
        }
        const int64 time = i < n ? rows.times[i] : forecast_time(handle, i + 1);
        values[0] = pg::time_datum(type, time);
        nulls[0] = !pg::time_fits(type, time);
        values[1] = Int32GetDatum(i + 1);
        values[2] = packed_score(&packed);
        nulls[3] = spread.n_quantiles == 0 || !is_usable(packed.score.code);
        values[3] = nulls[3] ? Datum(0) : step_quantiles(&rows, i);
        tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
    }
    return Datum(0);
}

// model_forecast(model, horizon, level, time, quantiles)
// -> (time, horizon_step, prediction, lower, upper, quantiles)
// Without the last two arguments: the same with times as text.
Datum many_model_forecast(PG_FUNCTION_ARGS) {
    ForecastHandle* handle = query_handle(fcinfo);
    InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
    auto* result = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
    if (PG_ARGISNULL(0) || PG_ARGISNULL(2)) return Datum(0);
    const bool as_text = PG_NARGS() == 3;
    const Oid type = as_text ? TEXTOID : time_argument_type(result);
    const core::ForecastModel* model = forecaster_argument(handle, PG_GETARG_DATUM(0));
    if (!as_text) check_time_type(type, model);
    const int horizon = PG_ARGISNULL(1) ? forecast_default_horizon(handle) : PG_GETARG_INT32(1);
    const double level = PG_GETARG_FLOAT8(2);
    check_horizon(horizon);
    check_interval_level(level);
    ForecastSpread spread = {level, 0, nullptr};
    if (!as_text && !PG_ARGISNULL(4)) read_quantiles(&spread, PG_GETARG_ARRAYTYPE_P(4));
    if (model->n_features > 0)
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("the model needs the features of the times to come"),
                        errhint("Use forecast or score_many_models.")));
    FutureRows future = {};
    ForecastRows rows = {};
    const int n = forecast_steps(handle, model, horizon, spread, &future, &rows);
    for (int i = 0; i < n; ++i) {
        const core::Score score = step_score(&rows, i, model->rung);
        const bool usable = is_usable(score.code);
        const double numbers[] = {score.prediction, score.lower, score.upper};
        const bool fits = pg::time_fits(as_text ? INT8OID : type, rows.times[i]) ||
                          (as_text && model->grid.type != core::TimeType::integer);
        Datum values[6] = {Datum(0), Int32GetDatum(i + 1)};
        bool nulls[6] = {!fits};
        if (fits)
            values[0] = as_text ? CStringGetTextDatum(iso_time(model->grid.type, rows.times[i]))
                                : pg::time_datum(type, rows.times[i]);
        for (int k = 0; k < 3; ++k) {
            values[2 + k] = Float8GetDatum(numbers[k]);
            nulls[2 + k] = !usable || std::isnan(numbers[k]);
        }
        nulls[5] = !usable || spread.n_quantiles == 0;
        if (!nulls[5]) values[5] = step_quantiles(&rows, i);
        tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
    }
    return Datum(0);
}

}  // extern "C"
