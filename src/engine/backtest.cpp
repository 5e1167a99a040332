#include "pg/server.h"

#include "engine/backtest.h"

#include <cmath>

#include "engine/collect.h"
#include "engine/exchange.h"
#include "engine/progress.h"
#include "engine/results.h"
#include "engine/train.h"
#include "pg/arguments.h"
#include "pg/forecast_options.h"
#include "pg/settings.h"
#include "registry/key_text.h"

extern "C" {
#include "tcop/utility.h"
#include "utils/queryenvironment.h"
#include "utils/tuplestore.h"
}

namespace many::engine {

namespace {

constexpr int kColumns = 10;
constexpr const char* kPoints = "many_models_backtest";  // what the statement reads

// As backtest_points returns them.
TupleDesc point_descriptor() {
    static constexpr struct {
        const char* name;
        Oid type;
    } columns[kColumns] = {{"partition_key", JSONBOID}, {"forecast_time", TEXTOID},
                           {"fold", INT4OID},           {"horizon_step", INT4OID},
                           {"actual", FLOAT8OID},       {"prediction", FLOAT8OID},
                           {"lower", FLOAT8OID},        {"upper", FLOAT8OID},
                           {"message", TEXTOID},        {"hint", TEXTOID}};
    TupleDesc descriptor = CreateTemplateTupleDesc(kColumns);
    for (int i = 0; i < kColumns; i++)
        TupleDescInitEntry(descriptor, (AttrNumber)(i + 1), columns[i].name, columns[i].type, -1,
                           0);
    return descriptor;
}

// What became of the groups. Of those without a backtest the SQLSTATEs are counted; messages name
// values of a group, which not everyone who sees the run may see.
struct Tally {
    static constexpr int kMostStates = 32;
    Collected counts;
    int64 points;
    struct {
        int sqlstate;
        int64 n;
    } states[kMostStates];
    int n_states;
};

struct Reader {
    Tally* tally;
    const TrainPlan* plan;
    core::TimeZoneMap zone;
    KeyCodec codec;
    registry::KeyColumn* columns;
    Tuplestorestate* store;
    TupleDesc descriptor;
    MemoryContext row_context;
};

Datum key_datum(Reader* reader, const char* image) {
    Datum values[kMaxKeys];
    bool nulls[kMaxKeys];
    key_decode(&reader->codec, image, values, nulls);
    return JsonbPGetDatum(
        registry::key_to_jsonb(reader->columns, reader->plan->spec->n_keys, values, nulls));
}

void put_points(Reader* reader, const ResultHeader* header, const char* body) {
    BacktestHead head;
    const char* at = body + header->key_length;
    memcpy((void*)&head, at, sizeof head);
    at += sizeof head;
    reader->tally->points += head.n;
    const Datum key = key_datum(reader, body);
    for (uint32 i = 0; i < head.n; i++, at += sizeof(core::BacktestPoint)) {
        core::BacktestPoint point;
        memcpy((void*)&point, at, sizeof point);
        const int64 time = core::time_at(head.grid, point.at, reader->zone);
        const double numbers[] = {point.actual, point.forecast, point.lower, point.upper};
        Datum row[kColumns] = {key, CStringGetTextDatum(time_text(reader->plan->spec, time)),
                               Int32GetDatum(point.fold + 1), Int32GetDatum(point.step)};
        bool nulls[kColumns] = {};
        for (int k = 0; k < 4; k++) {
            row[4 + k] = Float8GetDatum(numbers[k]);
            nulls[4 + k] = std::isnan(numbers[k]);
        }
        nulls[8] = nulls[9] = true;
        tuplestore_putvalues(reader->store, reader->descriptor, row, nulls);
    }
}

// A group without a backtest has one row, which says why.
void put_failure(Reader* reader, const ResultHeader* header, const char* body) {
    Datum row[kColumns] = {key_datum(reader, body)};
    bool nulls[kColumns] = {false, true, true, true, true, true, true, true, false, true};
    const char* message = body + header->key_length + header->model_bytes;
    row[8] = PointerGetDatum(cstring_to_text_with_len(message, (int)header->message_bytes));
    if (header->hint_bytes > 0) {
        row[9] = PointerGetDatum(
            cstring_to_text_with_len(message + header->message_bytes, (int)header->hint_bytes));
        nulls[9] = false;
    }
    tuplestore_putvalues(reader->store, reader->descriptor, row, nulls);
}

void count(Tally* tally, const ResultHeader* header) {
    if (header->kind == ResultKind::trained) {
        tally->counts.trained++;
        return;
    }
    (header->kind == ResultKind::skipped ? tally->counts.skipped : tally->counts.failed)++;
    int i = 0;
    while (i < tally->n_states && tally->states[i].sqlstate != header->sqlstate) i++;
    if (i == Tally::kMostStates) return;
    if (i == tally->n_states) {
        tally->states[i].sqlstate = header->sqlstate;
        tally->states[i].n = 0;
        tally->n_states++;
    }
    tally->states[i].n++;
}

void take_result(void* argument, const ResultHeader* header, const char* body) {
    auto* reader = (Reader*)argument;
    count(reader->tally, header);
    MemoryContext old = MemoryContextSwitchTo(reader->row_context);
    if (header->kind == ResultKind::trained)
        put_points(reader, header, body);
    else
        put_failure(reader, header, body);
    MemoryContextSwitchTo(old);
    MemoryContextReset(reader->row_context);
}

void read_results(const Run* run, Tuplestorestate* store, TupleDesc descriptor, Tally* tally) {
    Reader reader = {};
    const TrainPlan* plan = run->plan;
    const int guc_level = NewGUCNestLevel();
    set_text_formats();
    reader.plan = plan;
    reader.zone = pg::time_zone_map(plan->spec->forecast.zone);
    reader.tally = tally;
    reader.store = store;
    reader.descriptor = descriptor;
    key_codec_init(&reader.codec, plan->spec);
    reader.columns = key_columns(plan);
    reader.row_context =
        AllocSetContextCreate(CurrentMemoryContext, "many_models backtest", ALLOCSET_DEFAULT_SIZES);
    read_fitted(run->segment, take_result, &reader);
    MemoryContextDelete(reader.row_context);
    AtEOXact_GUC(true, guc_level);
}

// A backtest needs folds, whatever the options of the set are for training.
void require_folds(core::ForecastSpec* spec) {
    if (spec->backtest.folds == 0) spec->backtest.folds = pg::kDefaultCvFolds;
}

// *of_set: whether there is a model set of the name; a run that will be recorded (`holds`) keeps it.
TrainPlan* plan_backtest(TrainArguments* arguments, bool holds, bool* of_set) {
    registry::ModelSet* stored = arguments->model_set == nullptr
                                     ? nullptr
                                     : registry::find_model_set(arguments->model_set, false);
    TrainPlan* plan = plan_training(arguments, stored);
    RunSpec* spec = plan->spec;
    if (!spec->forecasts)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("algorithm \"%s\" does not forecast", plan->arguments.algorithm),
                        errhint("Its options holdout and cv_folds judge it in training.")));
    if (stored != nullptr) require_same_partition(stored, &plan->arguments);
    if (stored != nullptr && holds) registry::hold_model_set(stored->name);
    *of_set = stored != nullptr;
    spec->backtests = true;
    spec->budget_bytes = pg::memory_budget_bytes();
    require_folds(&spec->forecast);
    char* at = spec->overrides();
    for (int i = 0; i < spec->n_overrides; i++) {
        auto* override = (Override*)at;
        require_folds(&override->forecast);
        at += override->bytes;
    }
    return plan;
}

// The scan and the fits; results are in the run's files then.
void run_backtest(Run* run, int64 run_id, int workers) {
    create_segment(run, run->plan->arguments.model_set, run_id, workers);
    publish_run(dsm_segment_handle(run->mapped));
    const TimestampTz scan_start = GetCurrentTimestamp();
    scan_source(run, workers);
    const TimestampTz fit_start = GetCurrentTimestamp();
    run->scan_seconds = seconds_between(scan_start, fit_start);
    run->fit.processes = fit_to_files(run->mapped, workers);
    run->fit.fit_seconds = seconds_between(fit_start, GetCurrentTimestamp());
}

void end_backtest(Run* run) {
    set_phase(run->segment, Phase::finished);
    end_activity(run->segment);
    retract_run(dsm_segment_handle(run->mapped));
}

// Runs the caller's statement over the points: $1 the run's id, $2 its start.
void insert_points(const Run* run, const char* statement, Tuplestorestate* store,
                   TupleDesc descriptor, int64 rows) {
    auto* relation = (EphemeralNamedRelation)palloc0(sizeof(EphemeralNamedRelationData));
    relation->md.name = pstrdup(kPoints);
    relation->md.tupdesc = descriptor;
    relation->md.enrtype = ENR_NAMED_TUPLESTORE;
    relation->md.enrtuples = (double)rows;
    relation->reldata = store;
    if (SPI_register_relation(relation) != SPI_OK_REL_REGISTER)
        elog(ERROR, "SPI_register_relation failed");
    Oid types[2] = {INT8OID, TIMESTAMPTZOID};
    Datum values[2] = {Int64GetDatum(run->segment->run_id),
                       TimestampTzGetDatum(run->segment->started_at)};
    const int code = SPI_execute_with_args(statement, 2, types, values, nullptr, false, 0);
    if (code != SPI_OK_INSERT)
        ereport(ERROR,
                (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("statement must be an INSERT")));
    (void)SPI_unregister_relation(kPoints);
}

// For runs.details.
char* details_of(const RunSpec* spec, const Tally* tally, bool of_set) {
    StringInfoData json;
    initStringInfo(&json);
    appendStringInfo(&json, ", \"of_set\": %s, \"folds\": %d, \"points\": " INT64_FORMAT,
                     of_set ? "true" : "false", spec->forecast.backtest.folds, tally->points);
    appendStringInfoString(&json, ", \"reasons\": {");
    for (int i = 0; i < tally->n_states; i++)
        appendStringInfo(&json, "%s\"%s\": " INT64_FORMAT, i > 0 ? ", " : "",
                         unpack_sql_state(tally->states[i].sqlstate), tally->states[i].n);
    appendStringInfoChar(&json, '}');
    return json.data;
}

}  // namespace

}  // namespace many::engine

extern "C" {

PG_FUNCTION_INFO_V1(many_backtest_points);

// backtest_points(model_set, source, partition_by, target, features, algorithm, time_column, options,
// tags, workers) -> (partition_key, forecast_time, fold, horizon_step, actual, prediction, lower,
// upper, message, hint)
Datum many_backtest_points(PG_FUNCTION_ARGS) {
    namespace engine = many::engine;
    engine::TrainArguments arguments;
    engine::Run run = {};
    engine::Tally tally = {};
    ErrorContextCallback context;
    bool of_set = false;
    InitMaterializedSRF(fcinfo, 0);
    auto* result = (ReturnSetInfo*)fcinfo->resultinfo;
    engine::read_train_arguments(fcinfo, &arguments);
    many::registry::hold_extension();
    if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
    run.plan = engine::plan_backtest(&arguments, false, &of_set);
    context.callback = engine::describe_run_in_errors;
    context.arg = &run;
    context.previous = error_context_stack;
    error_context_stack = &context;
    engine::run_backtest(&run, 0, arguments.workers);
    engine::read_results(&run, result->setResult, result->setDesc, &tally);
    engine::end_backtest(&run);
    error_context_stack = context.previous;
    dsm_detach(run.mapped);
    SPI_finish();
    return (Datum)0;
}

PG_FUNCTION_INFO_V1(many_run_backtest);

// run_backtest(model_set, source, partition_by, target, features, algorithm, time_column, options,
// tags, workers, into_table, statement) -> run_summary
Datum many_run_backtest(PG_FUNCTION_ARGS) {
    namespace engine = many::engine;
    engine::TrainArguments arguments;
    engine::Run run = {};
    engine::Tally tally = {};
    ErrorContextCallback context;
    bool of_set = false;
    PreventCommandDuringRecovery("backtest_many_models()");
    PreventCommandIfReadOnly("backtest_many_models()");
    MemoryContext caller = CurrentMemoryContext;
    engine::read_train_arguments(fcinfo, &arguments);
    const char* into_table = many::pg::required_text_argument(fcinfo, 10, "into_table");
    const char* statement = many::pg::required_text_argument(fcinfo, 11, "statement");
    many::registry::hold_extension();
    if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
    run.plan = engine::plan_backtest(&arguments, true, &of_set);
    context.callback = engine::describe_run_in_errors;
    context.arg = &run;
    context.previous = error_context_stack;
    error_context_stack = &context;
    engine::run_backtest(&run, many::registry::new_run_id(), arguments.workers);

    const TimestampTz collect_start = GetCurrentTimestamp();
    TupleDesc descriptor = engine::point_descriptor();
    Tuplestorestate* store = tuplestore_begin_heap(false, false, work_mem);
    engine::read_results(&run, store, descriptor, &tally);
    engine::insert_points(&run, statement, store, descriptor,
                          tally.points + tally.counts.failed + tally.counts.skipped);
    tuplestore_end(store);
    const TimestampTz finished = GetCurrentTimestamp();
    run.fit.collect_seconds = engine::seconds_between(collect_start, finished);
    run.more_details = engine::details_of(run.plan->spec, &tally, of_set);
    engine::insert_run(&run, "backtest", into_table, &tally.counts, finished);
    engine::end_backtest(&run);
    MemoryContextSwitchTo(caller);
    const Datum summary = engine::run_summary(fcinfo, &run, &tally.counts, finished);
    error_context_stack = context.previous;
    dsm_detach(run.mapped);
    SPI_finish();
    PG_RETURN_DATUM(summary);
}
}
