// evaluate_many_models: stored predictions against the actuals that have arrived.
//
//   arguments -> spec (checked) -> pairs of prediction and actual, metrics per group, period and
//   version, as the caller -> evaluations, drift, the run's row, as the registry's owner -> events
#include "pg/server.h"

#include "pg/arguments.h"
#include "pg/learner_options.h"
#include "pg/resources.h"
#include "pg/settings.h"
#include "registry/access.h"
#include "registry/notify.h"
#include "registry/production.h"
#include "serving/evaluate_store.h"

extern "C" {
#include "tcop/utility.h"
}

namespace many::serving {

namespace {

struct EvaluateArguments {
    char* model_set;
    char* source;
    char* predictions;
    char** id_columns;  // nullptr: the default
    int n_id_columns;
    char* target;
    char* period;
    int64 scoring_run;  // 0: all of the set
    Jsonb* options;
};

struct EvaluateRun {
    const char* model_set;
    int64 run_id;
    TimestampTz started;
    TimestampTz finished;
    EvaluateTotals totals;
    pg::Resources before;  // of the session
};

void read_arguments(FunctionCallInfo fcinfo, EvaluateArguments* a) {
    memset(a, 0, sizeof *a);
    a->model_set = pg::required_text_argument(fcinfo, 0, "model_set");
    a->source = pg::text_argument(fcinfo, 1);
    a->predictions = pg::text_argument(fcinfo, 2);
    if (!PG_ARGISNULL(3))
        a->id_columns =
            pg::text_array_to_strings(PG_GETARG_ARRAYTYPE_P(3), "id_columns", &a->n_id_columns);
    a->target = pg::text_argument(fcinfo, 4);
    a->period = pg::text_argument(fcinfo, 5);
    a->scoring_run = PG_ARGISNULL(6) ? 0 : PG_GETARG_INT64(6);
    a->options = PG_ARGISNULL(7) ? nullptr : PG_GETARG_JSONB_P(7);
}

EvaluateOptions read_options(Jsonb* json) {
    EvaluateOptions options = {};
    options.time_zone = "UTC";
    if (json == nullptr) return options;
    pg::OptionScan scan;
    char* key;
    JsonbValue value;
    pg::option_scan_begin(&scan, json, "options");
    while (pg::option_scan_next(&scan, &key, &value)) {
        if (strcmp(key, "features") == 0) {
            options.features = value.type != jbvNull && pg::option_bool(key, &value);
        } else if (value.type == jbvNull &&
                   (strcmp(key, "since") == 0 || strcmp(key, "until") == 0 ||
                    strcmp(key, "time_zone") == 0)) {
            // as if it were not there
        } else if (strcmp(key, "since") == 0) {
            options.since = pg::option_string(key, &value, "a date or timestamp");
        } else if (strcmp(key, "until") == 0) {
            options.until = pg::option_string(key, &value, "a date or timestamp");
        } else if (strcmp(key, "time_zone") == 0) {
            options.time_zone = pg::option_string(key, &value, "the name of a time zone");
        } else {
            pg::raise_unknown_option(key, "features, since, until, time_zone");
        }
    }
    return options;
}

// The scoring runs whose predictions count, as an array literal; the table of the newest. Without a
// table given, those of the caller and of the set's owner only: whoever was granted score names tables
// of his own in runs, and the caller would run what he makes of them.
void find_scoring_runs(const EvaluateArguments* a, EvaluateSpec* spec,
                       const registry::ModelSet* set, char** newest_table) {
    Oid types[5] = {TEXTOID, INT8OID, BOOLOID, OIDOID, OIDOID};
    Datum values[5] = {CStringGetTextDatum(a->model_set), Int64GetDatum(a->scoring_run),
                       BoolGetDatum(a->predictions != nullptr), ObjectIdGetDatum(GetUserId()),
                       ObjectIdGetDatum(set->owner)};
    const int code = SPI_execute_with_args(
        "SELECT pg_catalog.array_agg(r.run_id)::pg_catalog.text, (pg_catalog.array_agg("
        "r.into_table ORDER BY r.run_id DESC))[1] FROM many_models.runs AS r WHERE r.model_set "
        "OPERATOR(pg_catalog.=) $1 AND r.kind OPERATOR(pg_catalog.=) 'score' AND ($2 "
        "OPERATOR(pg_catalog.=) 0 OR r.run_id OPERATOR(pg_catalog.=) $2) AND ($3 OR "
        "r.run_by::pg_catalog.oid OPERATOR(pg_catalog.=) $4 OR "
        "pg_catalog.pg_has_role(r.run_by::pg_catalog.oid, $5, 'USAGE'))",
        5, types, values, nullptr, true, 1);
    if (code != SPI_OK_SELECT || SPI_processed != 1)
        elog(ERROR, "could not read the registry: %d", code);
    spec->scoring_runs = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
    *newest_table = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2);
    if (spec->scoring_runs != nullptr) return;
    if (a->scoring_run != 0)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                        errmsg("model set \"%s\" has no scoring run " INT64_FORMAT, a->model_set,
                               a->scoring_run),
                        errhint("run_id names a run of score_many_models; see many_models.runs. "
                                "Give the table of predictions of another role's run.")));
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                    errmsg("model set \"%s\" has no predictions to evaluate", a->model_set),
                    errhint("Score it with many_models.score_many_models, or give the table of "
                            "another role's predictions.")));
}

char* details_of(const EvaluateSpec* spec, const EvaluateRun* run) {
    const EvaluateTotals* t = &run->totals;
    StringInfoData json;
    initStringInfo(&json);
    pg::Resources used = pg::resources_since(&run->before);
    used.cpu_us += t->worker_cpu_us;
    appendStringInfo(&json,
                     "{\"period\": %s%s%s, \"features\": %s, \"predictions\": " INT64_FORMAT
                     ", \"rows_evaluated\": " INT64_FORMAT ", \"without_actual\": " INT64_FORMAT
                     ", \"without_prediction\": " INT64_FORMAT ", \"not_scored\": " INT64_FORMAT
                     ", \"periods\": " INT64_FORMAT ", ",
                     spec->period == nullptr ? "" : "\"",
                     spec->period == nullptr ? "null" : spec->period,
                     spec->period == nullptr ? "" : "\"", spec->options.features ? "true" : "false",
                     t->predictions, t->rows, t->without_actual, t->without_prediction,
                     t->not_scored, t->periods);
    pg::append_resources(&json, &used);
    appendStringInfoChar(&json, '}');
    return json.data;
}

Datum interval_between(TimestampTz from, TimestampTz to) {
    auto* interval = static_cast<Interval*>(palloc0(sizeof(Interval)));
    interval->time = to - from;
    return IntervalPGetDatum(interval);
}

// Runs as the registry's owner.
void record_run(const EvaluateArguments* a, const EvaluateSpec* spec, const EvaluateRun* run,
                Oid role) {
    const registry::TrainingRun* trained = spec->run;
    constexpr int kColumns = 15;
    Oid types[kColumns] = {INT8OID,      TEXTOID,      OIDOID,  TIMESTAMPTZOID, TIMESTAMPTZOID,
                           INTERVALOID,  INT8OID,      INT8OID, INT4OID,        TEXTOID,
                           TEXTARRAYOID, TEXTARRAYOID, TEXTOID, JSONBOID,       TEXTOID};
    Datum values[kColumns] = {
        Int64GetDatum(run->run_id),
        CStringGetTextDatum(trained->model_set),
        ObjectIdGetDatum(role),
        TimestampTzGetDatum(run->started),
        TimestampTzGetDatum(run->finished),
        interval_between(run->started, run->finished),
        Int64GetDatum(run->totals.groups),
        Int64GetDatum(run->totals.predictions),
        Int32GetDatum(run->totals.processes),
        CStringGetTextDatum(spec->source->text),
        PointerGetDatum(pg::strings_to_text_array(trained->partition_by, trained->n_keys)),
        PointerGetDatum(pg::strings_to_text_array(trained->key_types, trained->n_keys)),
        CStringGetTextDatum(spec->target),
        a->options != nullptr ? JsonbPGetDatum(a->options)
                              : DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")),
        CStringGetTextDatum(spec->predictions->text),
    };
    Oid all_types[kColumns + 2];
    Datum all_values[kColumns + 2];
    memcpy(all_types, types, sizeof types);
    memcpy(all_values, values, sizeof values);
    all_types[kColumns] = JSONBOID;
    all_values[kColumns] = DirectFunctionCall1(jsonb_in, CStringGetDatum(details_of(spec, run)));
    all_types[kColumns + 1] = TEXTOID;
    all_values[kColumns + 1] = CStringGetTextDatum(PG_VERSION);
    const int code = SPI_execute_with_args(
        "INSERT INTO many_models.runs (run_id, model_set, kind, status, run_by, started_at, "
        "finished_at, elapsed, groups, rows_read, workers, source, partition_by, key_types, "
        "target, options, into_table, details, extension_version, server_version) "
        "SELECT $1, $2, 'evaluate', 'succeeded', $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, "
        "$14, $15, $16, e.extversion, $17 "
        "FROM pg_catalog.pg_extension AS e WHERE e.extname = 'many_models'",
        kColumns + 2, all_types, all_values, nullptr, false, 0);
    if (code != SPI_OK_INSERT || SPI_processed != 1)
        elog(ERROR, "could not write the registry: %d", code);
}

// The view drift goes by the set's newest evaluation: known once the run is recorded.
void record_drift(EvaluateRun* run) {
    run->totals.drifted = count_drifted(run->model_set);
    Oid types[2] = {INT8OID, INT8OID};
    Datum values[2] = {Int64GetDatum(run->run_id), Int64GetDatum(run->totals.drifted)};
    const int code = SPI_execute_with_args(
        "UPDATE many_models.runs SET details = details || jsonb_build_object('drifted', $2) "
        "WHERE run_id = $1",
        2, types, values, nullptr, false, 0);
    if (code != SPI_OK_UPDATE || SPI_processed != 1)
        elog(ERROR, "could not write the registry: %d", code);
}

void notify_drift(const EvaluateRun* run) {
    if (run->totals.drifted == 0) return;
    registry::notify_event(
        "drift", run->model_set,
        psprintf("\"run_id\": " INT64_FORMAT ", \"kind\": \"evaluate\", \"groups\": " INT64_FORMAT
                 ", \"drifted\": " INT64_FORMAT,
                 run->run_id, run->totals.groups, run->totals.drifted));
}

// The latest version's, or where there is none any more the newest in production.
const registry::TrainingRun* find_run(const char* model_set) {
    int n = 0;
    const registry::TrainingRun* run = registry::find_training_run_if_any(model_set, 0);
    if (run != nullptr) return run;
    registry::TrainingRun** promoted = registry::find_production_runs(model_set, &n);
    return n > 0 ? promoted[0] : registry::find_training_run(model_set, 0);
}

void evaluate(const EvaluateArguments* a, EvaluateSpec* spec, EvaluateRun* run) {
    registry::ModelSet* set = registry::find_model_set(a->model_set, false);
    if (set != nullptr) registry::require_privilege(set, registry::Privilege::train);
    spec->run = find_run(a->model_set);
    spec->options = read_options(a->options);
    spec->target = a->target;
    spec->period = a->period;
    char* newest_table = nullptr;
    find_scoring_runs(a, spec, set, &newest_table);
    spec->predictions = pg::describe_source(
        a->predictions != nullptr ? a->predictions : newest_table, "predictions");
    spec->source =
        pg::describe_source(a->source != nullptr ? a->source : spec->run->source, "source");
    describe_evaluation(spec, a->id_columns, a->n_id_columns);
    EvaluateStore* store = make_evaluate_store(spec);
    read_evaluation(store, many_max_workers, &run->totals);
    run->run_id = registry::new_run_id();
    registry::RegistryRights rights;
    registry::enter_registry(&rights);
    write_evaluation(store, run->run_id, &run->totals);
    run->finished = GetCurrentTimestamp();
    record_run(a, spec, run, rights.saved_user);
    record_drift(run);
    registry::leave_registry(&rights);
    notify_drift(run);
}

Datum summary_datum(FunctionCallInfo fcinfo, const EvaluateRun* run) {
    TupleDesc descriptor;
    constexpr int kColumns = 11;
    if (get_call_result_type(fcinfo, nullptr, &descriptor) != TYPEFUNC_COMPOSITE ||
        descriptor->natts != kColumns)
        elog(ERROR, "evaluation_summary expected");
    const EvaluateTotals* t = &run->totals;
    Datum values[kColumns] = {
        Int64GetDatum(run->run_id),
        CStringGetTextDatum(run->model_set),
        Int64GetDatum(t->groups),
        Int64GetDatum(t->periods),
        Int64GetDatum(t->predictions),
        Int64GetDatum(t->rows),
        Int64GetDatum(t->without_actual),
        Int64GetDatum(t->without_prediction),
        Int64GetDatum(t->not_scored),
        Int64GetDatum(t->drifted),
        interval_between(run->started, run->finished),
    };
    bool nulls[kColumns] = {};
    return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), values, nulls));
}

void describe_run_in_errors(void* argument) {
    const auto* run = static_cast<const EvaluateRun*>(argument);
    errcontext("evaluating model set \"%s\"", run->model_set);
}

}  // namespace

}  // namespace many::serving

extern "C" {

PG_FUNCTION_INFO_V1(many_evaluate_many_models);

// evaluate_many_models(model_set, source, predictions, id_columns, target, period, run_id, options)
// -> evaluation_summary
Datum many_evaluate_many_models(PG_FUNCTION_ARGS) {
    namespace serving = many::serving;
    serving::EvaluateArguments arguments;
    serving::EvaluateSpec spec = {};
    serving::EvaluateRun run = {};
    PreventCommandDuringRecovery("evaluate_many_models()");
    PreventCommandIfReadOnly("evaluate_many_models()");
    const MemoryContext caller = CurrentMemoryContext;
    run.before = many::pg::resources_now();
    run.started = GetCurrentTimestamp();
    serving::read_arguments(fcinfo, &arguments);
    run.model_set = arguments.model_set;
    many::registry::hold_extension();
    if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");

    ErrorContextCallback context;
    context.callback = serving::describe_run_in_errors;
    context.arg = &run;
    context.previous = error_context_stack;
    error_context_stack = &context;
    serving::evaluate(&arguments, &spec, &run);
    error_context_stack = context.previous;

    MemoryContextSwitchTo(caller);
    const Datum summary = serving::summary_datum(fcinfo, &run);
    SPI_finish();
    PG_RETURN_DATUM(summary);
}

}  // extern "C"
