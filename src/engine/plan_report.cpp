// plan_training: what a run would meet and cost, without training.
//
//   arguments -> the same plan as a run's (train_spec.h) -> one GROUP BY query over the source, as the
//   caller -> per group: would it train? -> counts, histogram, estimate
//
// Groups are judged as the fit phase judges them, in its order: values that cannot be used, too many
// rows for the budget, too few rows, a constant target, too many levels. What only a fit tells (a
// search that does not converge, a time limit) is not foreseen.
#include "pg/server.h"

#include "engine/estimate.h"
#include "engine/key_image.h"
#include "engine/train.h"
#include "pg/read_query.h"
#include "pg/settings.h"
#include "registry/key_text.h"
#include "registry/registry.h"

extern "C" {
#include "utils/plancache.h"
}

#include <cmath>

namespace many::engine {

namespace {

constexpr int kHistogram = 64;
constexpr int kResultColumns = 24;

enum class Fate { trainable, bad_values, too_large, below_min_rows, constant, too_many_levels };
constexpr int kFates = 6;

struct Bin {
    int64 groups;
    int64 rows;
};

struct Survey {
    TrainPlan* plan;
    KeyCodec codec;
    registry::KeyColumn* columns;
    int n_levels;  // categorical features
    int* level_feature;
    MemoryContext context;
    NullableDatum keys[kMaxKeys];
    // what was counted
    DataShape shape;
    int64 rows_with_null;
    int64 fates[kFates];
    Jsonb* largest_key;
    Bin bins[kHistogram];
    int64 max_levels;
    int max_levels_feature;
    double terms;
    double key_bytes;
};

// --- The query --------------------------------------------------------------------------------

bool may_be_infinite(Oid type) {
    return type != INT2OID && type != INT4OID && type != INT8OID && type != BOOLOID;
}

void append_bad(StringInfo list, const char* column, Oid type) {
    if (!may_be_infinite(type)) return;
    // NaN is larger than infinity.
    appendStringInfo(list,
                     "%smany_models.number_of(s.%s) OPERATOR(pg_catalog.>) "
                     "'1.7976931348623157e308'::pg_catalog.float8 OR many_models.number_of(s.%s) "
                     "OPERATOR(pg_catalog.<) '-1.7976931348623157e308'::pg_catalog.float8",
                     list->len > 0 ? " OR " : "", column, column);
}

// Whether a row without a feature is used nevertheless: in series the last known value goes on.
bool fills_features(const RunSpec* spec) {
    return spec->null_policy == core::NullPolicy::impute_mean || spec->forecasts;
}

// Per row: keys k1.., target t, usable, has_null, bad, levels c1..., and whether each feature is there,
// p1..., where NULLs are imputed.
char* row_query(const TrainPlan* plan) {
    const TrainArguments* a = &plan->arguments;
    const RunSpec* spec = plan->spec;
    auto* features = plan->spec->features();
    StringInfoData query;
    StringInfoData needed;    // columns without which a row is left out
    StringInfoData nullable;  // all columns
    StringInfoData bad;
    initStringInfo(&query);
    initStringInfo(&needed);
    initStringInfo(&nullable);
    initStringInfo(&bad);
    const char* target = quote_identifier(a->target);
    appendStringInfo(&needed, "s.%s IS NOT NULL", target);
    if (a->time_column != nullptr)
        appendStringInfo(&needed, " AND s.%s IS NOT NULL", quote_identifier(a->time_column));
    appendStringInfoString(&nullable, needed.data);
    append_bad(&bad, target, spec->target_type);
    appendStringInfoString(&query, "SELECT ");
    for (int i = 0; i < a->n_keys; i++)
        appendStringInfo(&query, "s.%s AS k%d, ", quote_identifier(a->partition_by[i]), i + 1);
    const bool imputes = fills_features(spec);
    int n_levels = 0;
    for (int i = 0; i < spec->n_features; i++) {
        const char* name = quote_identifier(plan->features[i]);
        appendStringInfo(&nullable, " AND s.%s IS NOT NULL", name);
        if (imputes) appendStringInfo(&query, "s.%s IS NOT NULL AS p%d, ", name, i + 1);
        if (features[i].kind == pg::FeatureKind::level)
            appendStringInfo(&query, "s.%s::pg_catalog.text COLLATE pg_catalog.\"C\" AS c%d, ",
                             name, ++n_levels);
        else
            append_bad(&bad, name, features[i].type);
    }
    appendStringInfo(&query,
                     "many_models.number_of(s.%s) AS t, %s AS usable, NOT (%s) AS has_null, "
                     "coalesce(%s, false) AS bad FROM %s AS s",
                     target, imputes ? needed.data : nullable.data, nullable.data,
                     bad.len > 0 ? bad.data : "false", plan->source->from_clause);
    return query.data;
}

void append_keys(StringInfo list, int n, const char* prefix) {
    for (int i = 0; i < n; i++) appendStringInfo(list, "%s%sk%d", i > 0 ? ", " : "", prefix, i + 1);
}

// 1 where a feature to be imputed has no value at all.
char* missing_expression(const TrainPlan* plan) {
    StringInfoData list;
    if (!fills_features(plan->spec) || plan->n_features == 0) return pstrdup("0");
    initStringInfo(&list);
    appendStringInfoString(&list, "CASE WHEN least(");
    for (int i = 1; i <= plan->n_features; i++)
        appendStringInfo(&list, "%spg_catalog.count(*) FILTER (WHERE r.p%d)", i > 1 ? ", " : "", i);
    appendStringInfoString(&list, ") OPERATOR(pg_catalog.=) 0 THEN 1 ELSE 0 END");
    return list.data;
}

// Per group: its keys, n, usable, nulls, bad, low and high of the target, missing, levels of c1...
char* group_query(const Survey* survey) {
    const int n = survey->plan->arguments.n_keys;
    StringInfoData query;
    initStringInfo(&query);
    appendStringInfoString(&query, "SELECT ");
    append_keys(&query, n, "q.");
    appendStringInfo(&query,
                     "%spg_catalog.max(q.n), pg_catalog.max(q.usable), pg_catalog.max(q.nulls), "
                     "pg_catalog.max(q.bad), pg_catalog.min(q.low), pg_catalog.max(q.high), "
                     "pg_catalog.max(q.missing) FILTER (WHERE NOT (false",
                     n > 0 ? ", " : "");
    for (int i = 1; i <= survey->n_levels; i++) appendStringInfo(&query, " OR q.g%d", i);
    appendStringInfoString(&query, "))");
    for (int i = 1; i <= survey->n_levels; i++)
        appendStringInfo(&query,
                         ", pg_catalog.count(*) FILTER (WHERE q.g%d AND q.c%d IS NOT NULL AND "
                         "q.usable OPERATOR(pg_catalog.>) 0)",
                         i, i);
    appendStringInfoString(&query, " FROM (SELECT ");
    append_keys(&query, n, "r.");
    appendStringInfo(
        &query,
        "%spg_catalog.count(*) AS n, pg_catalog.count(*) FILTER (WHERE r.usable) AS "
        "usable, pg_catalog.count(*) FILTER (WHERE r.has_null) AS nulls, "
        "pg_catalog.count(*) FILTER (WHERE r.bad) AS bad, pg_catalog.min(r.t) FILTER "
        "(WHERE r.usable) AS low, pg_catalog.max(r.t) FILTER (WHERE r.usable) AS high, "
        "(%s)::pg_catalog.int8 AS missing",
        n > 0 ? ", " : "", missing_expression(survey->plan));
    for (int i = 1; i <= survey->n_levels; i++)
        appendStringInfo(&query, ", r.c%d, GROUPING(r.c%d) OPERATOR(pg_catalog.=) 0 AS g%d", i, i,
                         i);
    appendStringInfo(&query, " FROM (%s) AS r GROUP BY GROUPING SETS ((", row_query(survey->plan));
    append_keys(&query, n, "r.");
    appendStringInfoChar(&query, ')');
    for (int i = 1; i <= survey->n_levels; i++) {
        appendStringInfoString(&query, ", (");
        append_keys(&query, n, "r.");
        appendStringInfo(&query, "%sr.c%d)", n > 0 ? ", " : "", i);
    }
    appendStringInfoString(&query, ")) AS q GROUP BY ");
    if (n > 0)
        append_keys(&query, n, "q.");
    else
        appendStringInfoString(&query, "()");
    return query.data;
}

// --- A group ----------------------------------------------------------------------------------

int64 int_at(const TupleTableSlot* slot, int i) {
    return slot->tts_isnull[i] ? 0 : DatumGetInt64(slot->tts_values[i]);
}

Fate judge(const Survey* survey, const TupleTableSlot* slot, int first, int64 usable, double terms,
           const Override* override) {
    const RunSpec* spec = survey->plan->spec;
    const core::GroupOptions& options = override != nullptr ? override->options : spec->options;
    const int64 nulls = int_at(slot, first + 2);
    if (int_at(slot, first + 3) > 0 || int_at(slot, first + 6) > 0) return Fate::bad_values;
    if (spec->null_policy == core::NullPolicy::error && nulls > 0) return Fate::bad_values;
    const Size row_bytes = (Size)spec->row_doubles() * sizeof(double);
    if (spec->exchange == Exchange::rows && (Size)usable > spec->budget_bytes / 2 / row_bytes)
        return Fate::too_large;
    for (int i = 0; i < survey->n_levels; i++)
        if (int_at(slot, first + 7 + i) > spec->max_levels) return Fate::too_many_levels;
    if (spec->forecasts) {  // a constant series is a series
        const auto& forecast = override != nullptr ? override->forecast : spec->forecast;
        const int64 values = forecast.min_rows > 1 ? forecast.min_rows : 1;
        return usable < values ? Fate::below_min_rows : Fate::trainable;
    }
    const int64 parameters = (int64)terms + (options.linear.fit_intercept ? 1 : 0);
    const int64 least = options.min_rows >= 0 ? options.min_rows : parameters + 2;
    if (usable < least || usable < 1) return Fate::below_min_rows;
    const double low = DatumGetFloat8(slot->tts_values[first + 4]);
    const double high = DatumGetFloat8(slot->tts_values[first + 5]);
    if (low == high && (options.linear.fit_intercept || low == 0)) return Fate::constant;
    return Fate::trainable;
}

void note_largest(Survey* survey, const TupleTableSlot* slot, int64 n) {
    survey->shape.largest_rows = n;
    const Jsonb* key = registry::key_to_jsonb(survey->columns, survey->plan->arguments.n_keys,
                                              slot->tts_values, slot->tts_isnull);
    if (survey->largest_key != nullptr) pfree(survey->largest_key);
    survey->largest_key = (Jsonb*)MemoryContextAlloc(survey->context, VARSIZE(key));
    memcpy(survey->largest_key, key, VARSIZE(key));
}

void add_group(TupleTableSlot* slot, void* argument) {
    auto* survey = (Survey*)argument;
    const int n_keys = survey->plan->arguments.n_keys;
    const int64 n = int_at(slot, n_keys);
    const int64 usable = int_at(slot, n_keys + 1);
    if (n == 0) return;  // the whole of no rows
    for (int i = 0; i < n_keys; i++) survey->keys[i] = {slot->tts_values[i], slot->tts_isnull[i]};
    (void)key_encode(&survey->codec, survey->keys);
    const Override* override =
        find_override(&survey->codec, survey->plan->spec, survey->codec.image);
    double terms = survey->plan->n_features - survey->n_levels;
    for (int i = 0; i < survey->n_levels; i++) {
        const int64 levels = int_at(slot, n_keys + 7 + i);
        terms += levels > 1 ? (double)(levels - 1) : 0;
        if (levels <= survey->max_levels) continue;
        survey->max_levels = levels;
        survey->max_levels_feature = survey->level_feature[i];
    }
    const Fate fate = judge(survey, slot, n_keys, usable, terms, override);
    survey->fates[(int)fate]++;
    if (fate == Fate::trainable) survey->terms += terms;
    survey->key_bytes += survey->codec.length;
    survey->shape.groups++;
    survey->shape.rows += n;
    survey->shape.usable_rows += usable;
    survey->rows_with_null += int_at(slot, n_keys + 2);
    Bin* bin = &survey->bins[pg_leftmost_one_pos64((uint64)n)];
    bin->groups++;
    bin->rows += n;
    if (n > survey->shape.largest_rows) note_largest(survey, slot, n);
}

void prepare_survey(Survey* survey, TrainPlan* plan) {
    auto* features = plan->spec->features();
    survey->plan = plan;
    survey->context = CurrentMemoryContext;
    survey->max_levels_feature = -1;
    key_codec_init(&survey->codec, plan->spec);
    survey->columns = key_columns(plan);
    survey->level_feature = (int*)palloc(sizeof(int) * (Size)(plan->n_features + 1));
    for (int i = 0; i < plan->n_features; i++)
        if (features[i].kind == pg::FeatureKind::level)
            survey->level_feature[survey->n_levels++] = i;
}

// --- The estimate -----------------------------------------------------------------------------

// Processes that the scan of a run would have.
int scan_processes(const TrainPlan* plan, int workers) {
    volatile int processes = 1;
    pg::SourceGuard guard;
    pg::enter_source(&guard);
    PG_TRY();
    {
        pg::set_local("max_parallel_workers_per_gather", psprintf("%d", workers - 1));
        Oid types[1] = {kSinkParameter};
        SPIPlanPtr scan = SPI_prepare_cursor(sink_query(plan), 1, types, CURSOR_OPT_PARALLEL_OK);
        if (scan == nullptr) elog(ERROR, "could not plan the scan: %d", SPI_result);
        processes = pg::planned_processes(scan);
        SPI_freeplan(scan);
    }
    PG_CATCH();
    {
        XactReadOnly = guard.was_read_only;
        PG_RE_THROW();
    }
    PG_END_TRY();
    pg::leave_source(&guard);
    return processes;
}

struct EarlierRun {
    int64 run_id;  // 0: there is none
    DataShape shape;
    int workers;
    PhaseSeconds seconds;
};

// The newest training of the set that did the same, as the caller may see it.
EarlierRun find_earlier_run(const TrainPlan* plan) {
    EarlierRun run = {};
    Oid types[4] = {TEXTOID, TEXTOID, TEXTOID, JSONBOID};
    Datum values[4] = {
        CStringGetTextDatum(plan->arguments.model_set),
        CStringGetTextDatum(plan->arguments.algorithm),
        CStringGetTextDatum(plan->spec->exchange == Exchange::rows ? "rows" : "statistics"),
        JsonbPGetDatum(plan->arguments.options)};
    const int code = SPI_execute_with_args(
        "SELECT r.run_id, r.groups, r.trained, r.rows_read, r.rows_skipped, r.workers, "
        "coalesce(pg_catalog.array_length(r.features, 1), 0), "
        "(r.details OPERATOR(pg_catalog.->>) 'scan_seconds')::pg_catalog.float8, "
        "(r.details OPERATOR(pg_catalog.->>) 'fit_seconds')::pg_catalog.float8, "
        "(r.details OPERATOR(pg_catalog.->>) 'collect_seconds')::pg_catalog.float8 "
        "FROM many_models.runs AS r WHERE r.model_set OPERATOR(pg_catalog.=) $1 AND r.kind "
        "OPERATOR(pg_catalog.=) 'train' AND r.algorithm OPERATOR(pg_catalog.=) $2 AND (r.details "
        "OPERATOR(pg_catalog.->>) 'exchange') OPERATOR(pg_catalog.=) $3 AND r.options "
        "OPERATOR(pg_catalog.=) "
        "$4 "
        "ORDER BY r.run_id DESC LIMIT 1",
        4, types, values, nullptr, true, 1);
    if (code != SPI_OK_SELECT) elog(ERROR, "could not read the registry: %d", code);
    if (SPI_processed == 0) return run;
    bool nulls[10];
    Datum v[10];
    for (int i = 0; i < 10; i++) {
        v[i] = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i + 1, &nulls[i]);
        if (nulls[i]) return run;
    }
    run.run_id = DatumGetInt64(v[0]);
    run.shape.groups = DatumGetInt64(v[1]);
    run.shape.trainable = DatumGetInt64(v[2]);
    run.shape.rows = DatumGetInt64(v[3]);
    run.shape.usable_rows = run.shape.rows - DatumGetInt64(v[4]);
    run.workers = DatumGetInt32(v[5]);
    run.shape.terms = DatumGetInt32(v[6]);
    run.seconds = {DatumGetFloat8(v[7]), DatumGetFloat8(v[8]), DatumGetFloat8(v[9])};
    return run;
}

// What a phase took, against what the formulas say of it.
double calibrated(double estimate, double earlier_estimate, double earlier) {
    return earlier > 0 && earlier_estimate > 0 ? estimate * (earlier / earlier_estimate) : estimate;
}

Estimate estimate_plan(const Survey* survey, int workers, int64* from_run) {
    const int scan = scan_processes(survey->plan, workers);
    Estimate estimate = estimate_run(survey->plan, &survey->shape, scan, workers);
    EarlierRun earlier = find_earlier_run(survey->plan);
    *from_run = earlier.run_id;
    if (earlier.run_id == 0) return estimate;
    // Of its levels only the share in the terms is known: that of now.
    const double share =
        survey->shape.terms > 0 ? survey->shape.terms / survey->plan->n_features : 1;
    earlier.shape.terms *= share;
    const Estimate then =
        estimate_run(survey->plan, &earlier.shape, earlier.workers, earlier.workers);
    estimate.seconds = {
        calibrated(estimate.seconds.scan, then.seconds.scan, earlier.seconds.scan),
        calibrated(estimate.seconds.fit, then.seconds.fit, earlier.seconds.fit),
        calibrated(estimate.seconds.collect, then.seconds.collect, earlier.seconds.collect)};
    return estimate;
}

// --- The result -------------------------------------------------------------------------------

Datum histogram(const Survey* survey) {
    StringInfoData json;
    initStringInfo(&json);
    appendStringInfoChar(&json, '[');
    for (int i = 0; i < kHistogram - 1; i++) {
        const Bin* bin = &survey->bins[i];
        if (bin->groups == 0) continue;
        appendStringInfo(&json,
                         "%s{\"from_rows\": " INT64_FORMAT ", \"to_rows\": " INT64_FORMAT
                         ", \"groups\": " INT64_FORMAT ", \"rows\": " INT64_FORMAT "}",
                         json.len > 1 ? ", " : "", INT64CONST(1) << i,
                         (int64)((UINT64CONST(2) << i) - 1), bin->groups, bin->rows);
    }
    appendStringInfoChar(&json, ']');
    return DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data));
}

Datum bytes_datum(double bytes) {
    return Int64GetDatum((int64)std::ceil(bytes));
}

Datum plan_datum(FunctionCallInfo fcinfo, const Survey* s, int workers, const Estimate* e,
                 int64 from_run) {
    TupleDesc descriptor;
    Datum v[kResultColumns];
    bool nulls[kResultColumns] = {false};
    if (get_call_result_type(fcinfo, nullptr, &descriptor) != TYPEFUNC_COMPOSITE ||
        descriptor->natts != kResultColumns)
        elog(ERROR, "training_plan expected");
    const DataShape* shape = &s->shape;
    int i = 0;
    v[i++] = CStringGetTextDatum(s->plan->arguments.model_set);
    v[i++] = Int64GetDatum(shape->groups);
    for (const Fate fate : {Fate::trainable, Fate::below_min_rows, Fate::constant, Fate::bad_values,
                            Fate::too_large, Fate::too_many_levels})
        v[i++] = Int64GetDatum(s->fates[(int)fate]);
    v[i++] = Int64GetDatum(shape->rows);
    v[i++] = Int64GetDatum(shape->usable_rows);
    v[i++] = Int64GetDatum(s->rows_with_null);
    nulls[i] = nulls[i + 1] = nulls[i + 2] = shape->groups == 0;
    v[i++] = s->largest_key == nullptr ? (Datum)0 : JsonbPGetDatum(s->largest_key);
    v[i++] = Int64GetDatum(shape->largest_rows);
    v[i++] =
        Float8GetDatum((double)shape->largest_rows / (double)(shape->rows + (shape->rows == 0)));
    v[i++] = histogram(s);
    nulls[i] = nulls[i + 1] = s->max_levels_feature < 0;
    v[i++] = Int64GetDatum(s->max_levels);
    v[i++] = s->max_levels_feature < 0
                 ? (Datum)0
                 : CStringGetTextDatum(s->plan->features[s->max_levels_feature]);
    v[i++] = CStringGetTextDatum(s->plan->spec->exchange == Exchange::rows ? "rows" : "statistics");
    v[i++] = Int32GetDatum(workers);
    v[i++] = Float8GetDatum(std::rint(e->seconds.total() * 1e3) / 1e3);
    v[i++] = bytes_datum(e->memory_bytes);
    v[i++] = bytes_datum(e->temp_bytes);
    v[i++] = bytes_datum(e->registry_bytes);
    nulls[i] = from_run == 0;
    v[i++] = Int64GetDatum(from_run);
    return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), v, nulls));
}

}  // namespace

}  // namespace many::engine

extern "C" {

PG_FUNCTION_INFO_V1(many_plan_training);

// plan_training: the arguments of train_many_models -> training_plan
Datum many_plan_training(PG_FUNCTION_ARGS) {
    namespace engine = many::engine;
    namespace registry = many::registry;
    engine::TrainArguments arguments;
    engine::Survey survey = {};
    MemoryContext caller = CurrentMemoryContext;
    engine::read_train_arguments(fcinfo, &arguments);
    if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
    registry::ModelSet* stored = arguments.model_set == nullptr
                                     ? nullptr
                                     : registry::find_model_set(arguments.model_set, false);
    engine::TrainPlan* plan = engine::plan_training(&arguments, stored);
    if (stored != nullptr) engine::require_same_partition(stored, &plan->arguments);
    plan->spec->budget_bytes = many::pg::memory_budget_bytes();
    engine::prepare_survey(&survey, plan);
    (void)many::pg::run_read_query(engine::group_query(&survey), arguments.workers,
                                   engine::add_group, &survey);
    survey.shape.trainable = survey.fates[(int)engine::Fate::trainable];
    if (survey.shape.trainable > 0)
        survey.shape.terms = survey.terms / (double)survey.shape.trainable;
    if (survey.shape.groups > 0)
        survey.shape.key_bytes = survey.key_bytes / (double)survey.shape.groups;
    int64 from_run = 0;
    const engine::Estimate estimate = engine::estimate_plan(&survey, arguments.workers, &from_run);
    MemoryContextSwitchTo(caller);
    const Datum result =
        engine::plan_datum(fcinfo, &survey, arguments.workers, &estimate, from_run);
    SPI_finish();
    PG_RETURN_DATUM(result);
}
}
