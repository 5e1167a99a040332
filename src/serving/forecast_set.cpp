// forecast by model set: the steps behind the end of one group's series, with the session's model cache.
#include "pg/arguments.h"
#include "pg/forecast_options.h"
#include "pg/learner_options.h"
#include "serving/forecast_call.h"
#include "serving/forecast_quantiles.h"
#include "serving/score_reason.h"
#include "serving/score_value.h"

#include <cmath>

extern "C" {
#include "access/xact.h"
}

namespace many::serving {

char* iso_time(core::TimeType type, int64 time) {
    char text[MAXDATELEN + 1];
    struct pg_tm tm;
    fsec_t fraction;
    int offset;
    const char* zone_name;
    // What lies beyond the range of the type is infinite (time_at).
    if (type == core::TimeType::date && DATE_NOT_FINITE(time)) {
        EncodeSpecialDate(static_cast<DateADT>(time), text);
        return pstrdup(text);
    }
    if (type != core::TimeType::date && type != core::TimeType::integer &&
        TIMESTAMP_NOT_FINITE(time)) {
        EncodeSpecialTimestamp(time, text);
        return pstrdup(text);
    }
    switch (type) {
        case core::TimeType::date:
            j2date(static_cast<int>(time) + POSTGRES_EPOCH_JDATE, &tm.tm_year, &tm.tm_mon,
                   &tm.tm_mday);
            EncodeDateOnly(&tm, USE_ISO_DATES, text);
            return pstrdup(text);
        case core::TimeType::timestamp:
            if (timestamp2tm(time, nullptr, &tm, &fraction, nullptr, nullptr) != 0) break;
            EncodeDateTime(&tm, fraction, false, 0, nullptr, USE_ISO_DATES, text);
            return pstrdup(text);
        case core::TimeType::timestamptz:
            if (timestamp2tm(time, &offset, &tm, &fraction, &zone_name, nullptr) != 0) break;
            EncodeDateTime(&tm, fraction, true, offset, zone_name, USE_ISO_DATES, text);
            return pstrdup(text);
        case core::TimeType::integer:
            break;
    }
    return psprintf(INT64_FORMAT, time);
}

void features_by_step(const CachedRun* run, Jsonb* features, ForecastHandle* handle, int horizon,
                      FutureRows* rows) {
    static const char* const valid = "an array of objects, one for each step to come";
    JsonbValue element;
    const Size h = static_cast<Size>(horizon);
    const auto n_features = static_cast<Size>(run->n_features);
    rows->times = static_cast<int64*>(palloc(sizeof(int64) * h));
    auto* by_step = static_cast<double*>(palloc(sizeof(double) * h * n_features));
    if (!JB_ROOT_IS_ARRAY(features) || JB_ROOT_IS_SCALAR(features))
        ereport(ERROR,
                (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("features must be %s", valid)));
    JsonbIterator* iterator = JsonbIteratorInit(&features->root);
    (void)JsonbIteratorNext(&iterator, &element, false);
    for (;;) {
        const JsonbIteratorToken token = JsonbIteratorNext(&iterator, &element, true);
        if (token == WJB_DONE) break;
        if (token != WJB_ELEM || rows->n == horizon) continue;
        if (element.type != jbvBinary || !JsonContainerIsObject(element.val.binary.data))
            ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                            errmsg("features must be %s", valid)));
        read_features(run, JsonbValueToJsonb(&element));
        for (Size k = 0; k < n_features; ++k)
            by_step[static_cast<Size>(rows->n) * n_features + k] =
                run->values[k].is_null ? NAN : run->values[k].number;
        rows->times[rows->n] = forecast_time(handle, rows->n + 1);
        rows->n++;
    }
    const auto n = static_cast<Size>(rows->n);
    rows->x = static_cast<double*>(palloc(sizeof(double) * (n * n_features + 1)));
    for (Size i = 0; i < n; ++i)
        for (Size k = 0; k < n_features; ++k) rows->x[k * n + i] = by_step[i * n_features + k];
}

}  // namespace many::serving

using namespace many;
using namespace many::serving;

namespace {

constexpr int kColumns = 9;

ForecastHandle* call_handle(FunctionCallInfo fcinfo) {
    if (fcinfo->flinfo->fn_extra == nullptr)
        fcinfo->flinfo->fn_extra = make_forecast_handle(fcinfo->flinfo->fn_mcxt);
    return static_cast<ForecastHandle*>(fcinfo->flinfo->fn_extra);
}

struct StepRow {
    Tuplestorestate* store;
    TupleDesc descriptor;
    const CachedRun* run;
};

// quantiles: an array, or 0.
void put_step(const StepRow* to, int step, const char* time, const core::Score& score,
              bool has_model, Datum quantiles) {
    Datum values[kColumns] = {};
    bool nulls[kColumns] = {};
    const double numbers[] = {score.prediction, score.lower, score.upper};
    const char* reason = score_reason(score.code, "", nullptr, 0);
    nulls[0] = step == 0;
    values[0] = Int32GetDatum(step);
    nulls[1] = time == nullptr;
    if (time != nullptr) values[1] = CStringGetTextDatum(time);
    for (int i = 0; i < 3; ++i) {
        values[2 + i] = Float8GetDatum(numbers[i]);
        nulls[2 + i] = !is_usable(score.code) || std::isnan(numbers[i]);
    }
    values[5] = Int32GetDatum(to->run->version);
    nulls[5] = !has_model;
    values[6] = CStringGetTextDatum(has_model ? "group" : "none");
    nulls[7] = reason == nullptr;
    if (reason != nullptr) values[7] = CStringGetTextDatum(reason);
    values[8] = quantiles;
    nulls[8] = quantiles == Datum(0) || !is_usable(score.code);
    tuplestore_putvalues(to->store, to->descriptor, values, nulls);
}

}  // namespace

extern "C" {

PG_FUNCTION_INFO_V1(many_forecast_set);

// forecast(model_set, key, horizon, level, features, version, quantiles)
Datum many_forecast_set(PG_FUNCTION_ARGS) {
    if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(3))
        ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                        errmsg("model_set, key and level must not be NULL")));
    const double level = PG_GETARG_FLOAT8(3);
    check_interval_level(level);
    if (!PG_ARGISNULL(2)) check_horizon(PG_GETARG_INT32(2));
    const int version = pg::version_argument(fcinfo, 5);
    ForecastSpread spread = {level, 0, nullptr};
    if (!PG_ARGISNULL(6)) read_quantiles(&spread, PG_GETARG_ARRAYTYPE_P(6));
    ForecastHandle* handle = call_handle(fcinfo);
    InitMaterializedSRF(fcinfo, 0);
    auto* result = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
    CachedModel* entry = find_cached_model(PG_GETARG_TEXT_PP(0), PG_GETARG_JSONB_P(1), version);
    const StepRow to = {result->setResult, result->setDesc, entry->run};
    core::Score score;
    if (entry->model_length == 0) {
        score.code = core::ScoreCode::no_model;
        put_step(&to, 0, nullptr, score, false, Datum(0));
        return Datum(0);
    }
    if (!core::is_forecast_model(entry->model(), entry->model_length))
        ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
                        errmsg("model set \"%s\" does not forecast",
                               text_to_cstring(PG_GETARG_TEXT_PP(0))),
                        errhint("Use predict: its models answer rows of features.")));
    const core::ForecastModel* model = decode_forecast(handle, entry->model(), entry->model_length);
    const int horizon = PG_ARGISNULL(2) ? forecast_default_horizon(handle) : PG_GETARG_INT32(2);
    FutureRows future = {};
    ForecastRows rows = {};
    if (model->n_features != entry->run->n_features)
        ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("damaged model value")));
    if (model->n_features > 0 && !PG_ARGISNULL(4))
        features_by_step(entry->run, PG_GETARG_JSONB_P(4), handle, horizon, &future);
    const int n = forecast_steps(handle, model, horizon, spread, &future, &rows);
    for (int i = 0; i < horizon; ++i) {
        score = core::Score{};
        score.code = core::ScoreCode::no_future;
        if (i < n) score = step_score(&rows, i, model->rung);
        const int64 time = forecast_time(handle, i + 1);
        const bool is_time =
            model->grid.type != core::TimeType::integer || pg::time_fits(INT8OID, time);
        put_step(&to, i + 1, is_time ? iso_time(model->grid.type, time) : nullptr, score, true,
                 i < n && spread.n_quantiles > 0 ? step_quantiles(&rows, i) : Datum(0));
    }
    return Datum(0);
}

}  // extern "C"
