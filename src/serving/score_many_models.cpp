// score_many_models: one prediction per source row, into a table.
//
//   arguments -> spec (checked) -> predictions table, fresh partition -> scan of the source, run as
//   the caller under PostgreSQL's own parallel plan, each process scoring its rows -> receiver:
//   blocks of rows -> attach, analyse, record
//
// Rows never vanish: every source row gives a row, and one without a prediction says why.
#include "pg/arguments.h"
#include "pg/learner_options.h"
#include "pg/resources.h"
#include "pg/run_activity.h"
#include "pg/server.h"
#include "pg/settings.h"
#include "pg/source.h"
#include "pg/worker_cpu.h"
#include "registry/access.h"
#include "registry/notify.h"
#include "registry/registry.h"
#include "serving/forecast_call.h"
#include "serving/forecast_query.h"
#include "serving/score_query.h"
#include "serving/score_receiver.h"
#include "serving/score_table.h"

extern "C" {
#include "nodes/plannodes.h"
#include "tcop/utility.h"
#include "utils/plancache.h"
}

namespace many::serving {

namespace {

struct ScoreArguments {
    char* model_set;
    char* source;
    char* into_table;
    char** id_columns;  // nullptr: the default
    int n_id_columns;
    int version;  // 0: production, then the latest
    int horizon;  // 0: not given
    double level;
    Jsonb* options;
    QuantileOption quantiles;
    bool replace;
    bool row_security;
    int workers;
};

struct ScoreRun {
    const char* model_set;
    int64 run_id;
    TimestampTz started;
    int workers;
    bool forecasts;
    int horizon;
    bool models_in_memory;
    ScoreCounts counts;
    pg::Resources before;  // of the session
    dsm_segment* mapped;   // of progress; nullptr: no room for it
    pg::ScoringProgress* progress;
    int64 worker_cpu_us;
};

void read_options(ScoreArguments* a) {
    if (a->options == nullptr) return;
    pg::OptionScan scan;
    char* key;
    JsonbValue value;
    pg::option_scan_begin(&scan, a->options, "options");
    while (pg::option_scan_next(&scan, &key, &value)) {
        if (strcmp(key, "row_security") == 0) {
            a->row_security = pg::option_bool(key, &value);
            continue;
        }
        if (strcmp(key, "quantiles") == 0) {
            read_quantile_option(&a->quantiles, key, &value);
            continue;
        }
        if (strcmp(key, "on_existing") != 0)
            pg::raise_unknown_option(key, "\"on_existing\", \"quantiles\", \"row_security\"");
        static const char* const valid = "\"append\" or \"replace\"";
        const char* choice = pg::option_string(key, &value, valid);
        a->replace = strcmp(choice, "replace") == 0;
        if (!a->replace && strcmp(choice, "append") != 0)
            pg::raise_option_value(key, &value, valid);
    }
}

void read_arguments(FunctionCallInfo fcinfo, ScoreArguments* a) {
    memset(a, 0, sizeof *a);
    a->model_set = pg::required_text_argument(fcinfo, 0, "model_set");
    a->source = pg::text_argument(fcinfo, 1);
    a->into_table = pg::text_argument(fcinfo, 2);
    if (!PG_ARGISNULL(3))
        a->id_columns =
            pg::text_array_to_strings(PG_GETARG_ARRAYTYPE_P(3), "id_columns", &a->n_id_columns);
    a->version = pg::version_argument(fcinfo, 4);
    a->horizon = PG_ARGISNULL(5) ? 0 : PG_GETARG_INT32(5);
    if (!PG_ARGISNULL(5)) check_horizon(a->horizon);
    a->level = PG_ARGISNULL(6) ? 0.95 : PG_GETARG_FLOAT8(6);
    if (!(a->level > 0 && a->level < 1))
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("invalid value for level: %g", a->level),
                        errhint("The level is between 0 and 1, for example 0.95.")));
    a->options = PG_ARGISNULL(7) ? nullptr : PG_GETARG_JSONB_P(7);
    a->workers = PG_ARGISNULL(8) ? many_max_workers : PG_GETARG_INT32(8);
    if (a->workers < 1 || a->workers > 1024)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("workers must be from 1 to 1024, not %d", a->workers),
                        errhint("It counts the processes of the run, the session's own "
                                "included.")));
    read_options(a);
}

// Settings of the scoring query's plan: every row goes through the leader in any plan, so that
// handing it over costs no plan more than another.
void tune_planner(int workers) {
    pg::set_local("max_parallel_workers_per_gather", psprintf("%d", workers - 1));
    pg::set_local("parallel_tuple_cost", "0");
    if (many_memory_budget_kb > work_mem)
        pg::set_local("work_mem", psprintf("%d", many_memory_budget_kb));
}

// Processes that the plan uses.
int planned_processes(SPIPlanPtr plan) {
    CachedPlan* cached = SPI_plan_get_cached_plan(plan);
    if (cached == nullptr) return 1;
    int processes = 1;
    for (Plan* node = linitial_node(PlannedStmt, cached->stmt_list)->planTree; node != nullptr;
         node = node->lefttree)
        if (IsA(node, Gather)) {
            processes += reinterpret_cast<Gather*>(node)->num_workers;
            break;
        }
    ReleaseCachedPlan(cached, nullptr);  // plans that are not saved have no owner
    return processes;
}

double planned_rows(SPIPlanPtr plan) {
    CachedPlan* cached = SPI_plan_get_cached_plan(plan);
    if (cached == nullptr) return 0;
    const double rows = linitial_node(PlannedStmt, cached->stmt_list)->planTree->plan_rows;
    ReleaseCachedPlan(cached, nullptr);
    return rows;
}

// --- What other sessions see ------------------------------------------------------------------

void begin_progress(ScoreRun* run) {
    run->mapped = pg::held_scoring_progress();
    if (run->mapped == nullptr)
        run->mapped = pg::create_scoring_progress(run->run_id, run->model_set);
    if (run->mapped == nullptr) return;
    run->progress = pg::scoring_progress(run->mapped);
    pg::publish_scoring(run->mapped);
    pg::set_scoring_phase(run->progress, pg::ScoringPhase::starting);
}

void expect_rows(const ScoreRun* run, const ScoreSpec* spec, double rows) {
    if (run->progress == nullptr) return;
    pg_atomic_write_u64(&run->progress->rows_estimated, static_cast<uint64>(rows));
    if (run->models_in_memory)
        pg_atomic_write_u64(&run->progress->model_bytes,
                            static_cast<uint64>(spec->models.model_bytes));
    pg::set_scoring_phase(run->progress, pg::ScoringPhase::scoring);
}

void end_progress(ScoreRun* run) {
    if (run->mapped == nullptr) return;
    pg::retract_scoring(run->mapped);
    if (run->mapped == pg::held_scoring_progress()) return;  // others have its handle
    dsm_detach(run->mapped);
    pg::end_activity();
}

void run_query(const ScoreSpec* spec, ScoreReceiver* receiver, int workers, ScoreRun* run) {
    run->models_in_memory = !run->forecasts && spec->models.model_bytes <=
                                                   static_cast<int64>(many_memory_budget_kb) * 1024;
    const char* scoring = run->forecasts          ? build_forecast_query(spec, run->horizon)
                          : run->models_in_memory ? build_score_query(spec)
                                                  : build_joined_score_query(spec);
    const char* query =
        psprintf("%s%s", pg::activity_comment(run->run_id, run->model_set, "scoring"), scoring);
    pg::WorkerCpu worker_cpu = {};
    SPIExecuteOptions options = {};
    options.read_only = true;
    options.dest = score_receiver_dest(receiver);
    volatile int64 expected = 0;
    pg::SourceGuard guard;
    pg::enter_source(&guard);
    PG_TRY();
    {
        // The source must not change anything; our own writes do not ask.
        tune_planner(workers);
        worker_cpu = pg::count_worker_cpu();
        SPIPlanPtr plan = SPI_prepare_cursor(query, 0, nullptr, CURSOR_OPT_PARALLEL_OK);
        if (plan == nullptr) elog(ERROR, "could not plan the scoring query: %d", SPI_result);
        run->workers = planned_processes(plan);
        expect_rows(run, spec, planned_rows(plan));
        const int code = SPI_execute_plan_extended(plan, &options);
        if (code < 0) elog(ERROR, "scoring failed: %s", SPI_result_code_string(code));
        expected = static_cast<int64>(SPI_processed);
        SPI_freeplan(plan);
    }
    PG_CATCH();
    {
        XactReadOnly = guard.was_read_only;
        PG_RE_THROW();
    }
    PG_END_TRY();
    pg::leave_source(&guard);
    run->worker_cpu_us = pg::worker_cpu_counted(&worker_cpu);
    run->counts = score_receiver_finish(receiver);
    if (run->counts.rows != expected)
        elog(ERROR,
             "the scoring query returned " INT64_FORMAT " rows, " INT64_FORMAT " were written",
             static_cast<int64>(expected), run->counts.rows);
}

Datum interval_between(TimestampTz from, TimestampTz to) {
    auto* interval = static_cast<Interval*>(palloc0(sizeof(Interval)));
    interval->time = to - from;
    return IntervalPGetDatum(interval);
}

// Then the models may be of many versions.
bool uses_production(const ScoreSpec* spec) {
    return spec->models.production->n_layers > 0;
}

Datum run_details(const ScoreModels* models, const ScoreRun* run) {
    StringInfoData json;
    initStringInfo(&json);
    pg::Resources used = pg::resources_since(&run->before);
    used.cpu_us += run->worker_cpu_us;
    appendStringInfoChar(&json, '{');
    pg::append_resources(&json, &used);
    if (run->models_in_memory)
        appendStringInfo(&json, ", \"peak_memory_bytes\": " INT64_FORMAT, models->model_bytes);
    if (models->production->n_layers > 0)
        appendStringInfo(
            &json, ", \"production\": " INT64_FORMAT ", \"models_in_production\": " INT64_FORMAT,
            models->production->promotion_id, models->n_production);
    appendStringInfoChar(&json, '}');
    return DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data));
}

void record_run(const ScoreArguments* a, const ScoreSpec* spec, const PredictionsTable* table,
                const ScoreRun* run, TimestampTz finished) {
    const registry::TrainingRun* trained = spec->run;
    constexpr int kColumns = 22;
    char nulls[kColumns + 1];
    memset(nulls, ' ', kColumns);
    nulls[kColumns] = '\0';
    if (uses_production(spec)) nulls[2] = 'n';
    const Oid types[kColumns] = {
        INT8OID,     TEXTOID,      INT4OID,      OIDOID,  TIMESTAMPTZOID, TIMESTAMPTZOID,
        INTERVALOID, INT8OID,      INT8OID,      INT8OID, INT4OID,        TEXTOID,
        TEXTOID,     TEXTARRAYOID, TEXTARRAYOID, TEXTOID, TEXTARRAYOID,   TEXTARRAYOID,
        JSONBOID,    TEXTOID,      TEXTOID,      JSONBOID};
    const Datum values[kColumns] = {
        Int64GetDatum(run->run_id),
        CStringGetTextDatum(trained->model_set),
        Int32GetDatum(trained->version),
        ObjectIdGetDatum(GetUserId()),
        TimestampTzGetDatum(run->started),
        TimestampTzGetDatum(finished),
        interval_between(run->started, finished),
        Int64GetDatum(spec->models.n_models),
        Int64GetDatum(run->counts.without_prediction),
        Int64GetDatum(run->counts.rows),
        Int32GetDatum(run->workers),
        CStringGetTextDatum(trained->algorithm),
        CStringGetTextDatum(spec->source != nullptr ? spec->source->text : trained->source),
        PointerGetDatum(pg::strings_to_text_array(trained->partition_by, trained->n_keys)),
        PointerGetDatum(pg::strings_to_text_array(trained->key_types, trained->n_keys)),
        CStringGetTextDatum(trained->target),
        PointerGetDatum(pg::strings_to_text_array(trained->features, trained->n_features)),
        PointerGetDatum(pg::strings_to_text_array(trained->feature_types, trained->n_features)),
        a->options != nullptr ? JsonbPGetDatum(a->options)
                              : DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")),
        CStringGetTextDatum(table->qualified),
        CStringGetTextDatum(PG_VERSION),
        run_details(&spec->models, run),
    };
    registry::RegistryRights rights;
    registry::enter_registry(&rights);
    const int code = SPI_execute_with_args(
        "INSERT INTO many_models.runs (run_id, model_set, kind, version, status, run_by, "
        "started_at, finished_at, elapsed, groups, trained, failed, skipped, rows_read, "
        "rows_skipped, workers, algorithm, source, partition_by, key_types, target, features, "
        "feature_types, options, into_table, extension_version, server_version, details) "
        "SELECT $1, $2, 'score', $3, 'succeeded', $4, $5, $6, $7, $8, $8, $9, 0, $10, 0, $11, $12, "
        "$13, $14, $15, $16, $17, $18, $19, $20, e.extversion, $21, $22 "
        "FROM pg_catalog.pg_extension AS e WHERE e.extname = 'many_models'",
        kColumns, const_cast<Oid*>(types), const_cast<Datum*>(values), nulls, false, 0);
    if (code != SPI_OK_INSERT || SPI_processed != 1)
        elog(ERROR, "could not write the registry: %d", code);
    registry::leave_registry(&rights);
}

void notify_finished(const ScoreSpec* spec, const ScoreRun* run) {
    registry::RunEvent event = {};
    event.model_set = spec->run->model_set;
    event.kind = "score";
    event.run_id = run->run_id;
    event.version = uses_production(spec) ? 0 : spec->run->version;
    event.groups = spec->models.n_models;
    event.rows = event.failed_of = run->counts.rows;
    event.failed = run->counts.without_prediction;
    registry::notify_run(&event);
}

Datum summary_datum(FunctionCallInfo fcinfo, const ScoreSpec* spec, const ScoreRun* run,
                    TimestampTz finished) {
    TupleDesc descriptor;
    if (get_call_result_type(fcinfo, nullptr, &descriptor) != TYPEFUNC_COMPOSITE)
        elog(ERROR, "run_summary expected");
    Datum values[11] = {
        Int64GetDatum(run->run_id),
        CStringGetTextDatum(spec->run->model_set),
        Int32GetDatum(spec->run->version),
        CStringGetTextDatum("succeeded"),
        Int64GetDatum(spec->models.n_models),
        Int64GetDatum(spec->models.n_models),
        Int64GetDatum(run->counts.without_prediction),
        Int64GetDatum(0),
        Int64GetDatum(run->counts.rows),
        Int32GetDatum(run->workers),
        interval_between(run->started, finished),
    };
    bool nulls[11] = {};
    nulls[2] = uses_production(spec);
    return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), values, nulls));
}

void describe_run_in_errors(void* argument) {
    const auto* run = static_cast<const ScoreRun*>(argument);
    errcontext("scoring with model set \"%s\"", run->model_set);
}

void require_arguments_of_kind(const ScoreArguments* a, const ScoreSpec* spec, bool forecasts) {
    if (!forecasts && a->horizon != 0)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("horizon applies to forecasters only, not to algorithm \"%s\"",
                               spec->run->algorithm),
                        errhint("Leave it NULL: the source's rows are scored.")));
    if (!forecasts && a->quantiles.n > 0)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("quantiles apply to forecasters only, not to algorithm \"%s\"",
                               spec->run->algorithm),
                        errhint("Other predictions have one interval, of the argument level.")));
    if (forecasts && a->source != nullptr && spec->models.n_features == 0)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("the forecasters of model set \"%s\" take no features from a source",
                               spec->run->model_set),
                        errhint("Leave source NULL: each series is forecast from its end.")));
    if (forecasts && a->id_columns != nullptr)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("id_columns apply to scored rows only, not to forecasts"),
                        errhint("Forecasts have the partition columns, the time column and "
                                "horizon_step.")));
}

void score(const ScoreArguments* a, ScoreSpec* spec, ScoreRun* run, TimestampTz* finished) {
    PredictionsTable table = {};
    spec->level = a->level;
    spec->quantiles = &a->quantiles;
    registry::lock_models();
    PushActiveSnapshot(GetTransactionSnapshot());  // the statement's is older than the lock
    find_score_models(&spec->models, a->model_set, a->version);
    spec->run = spec->models.run;
    run->forecasts = scores_forecast(&spec->models);
    run->horizon = a->horizon;
    require_arguments_of_kind(a, spec, run->forecasts);
    // Forecasters without features need no row.
    if (!run->forecasts || spec->models.n_features > 0)
        spec->source =
            pg::describe_source(a->source != nullptr ? a->source : spec->run->source, "source");
    if (run->forecasts)
        describe_forecast_score(spec);
    else
        describe_score(spec, a->id_columns, a->n_id_columns);
    run->run_id = registry::new_run_id();
    begin_progress(run);
    prepare_predictions(&table, spec, a->into_table, a->replace);
    create_run_partition(&table, run->run_id);
    run_query(spec,
              score_receiver_create(spec, table.partition, run->run_id, run->started,
                                    run->progress == nullptr ? nullptr : &run->progress->rows),
              a->workers, run);
    if (run->progress != nullptr)
        pg::set_scoring_phase(run->progress, pg::ScoringPhase::collecting);
    PopActiveSnapshot();
    CommandCounterIncrement();
    attach_run_partition(&table, spec, run->run_id, a->replace, a->row_security);
    if (SPI_execute(psprintf("ANALYZE %s", table.partition_qualified), false, 0) < 0)
        elog(ERROR, "could not analyze %s", table.partition_qualified);
    *finished = GetCurrentTimestamp();
    record_run(a, spec, &table, run, *finished);
    notify_finished(spec, run);
    end_progress(run);
}

}  // namespace

}  // namespace many::serving

extern "C" {

PG_FUNCTION_INFO_V1(many_score_many_models);

// score_many_models(model_set, source, into_table, id_columns, version, horizon, level, options,
// workers) -> run_summary
Datum many_score_many_models(PG_FUNCTION_ARGS) {
    namespace serving = many::serving;
    serving::ScoreArguments arguments;
    serving::ScoreSpec spec = {};
    serving::ScoreRun run = {};
    TimestampTz finished = 0;
    PreventCommandDuringRecovery("score_many_models()");
    PreventCommandIfReadOnly("score_many_models()");
    const MemoryContext caller = CurrentMemoryContext;
    run.before = many::pg::resources_now();
    serving::read_arguments(fcinfo, &arguments);
    run.started = GetCurrentTimestamp();
    run.model_set = arguments.model_set;
    many::registry::hold_extension();
    if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");

    ErrorContextCallback context;
    context.callback = serving::describe_run_in_errors;
    context.arg = &run;
    context.previous = error_context_stack;
    error_context_stack = &context;
    serving::score(&arguments, &spec, &run, &finished);
    error_context_stack = context.previous;

    MemoryContextSwitchTo(caller);
    const Datum summary = serving::summary_datum(fcinfo, &spec, &run, finished);
    SPI_finish();
    PG_RETURN_DATUM(summary);
}

}  // extern "C"
