#include "pg/server.h"

#include "engine/backtest.h"

#include <cmath>

#include "engine/collect.h"
#include "engine/exchange.h"
#include "engine/progress.h"
#include "engine/results.h"
#include "engine/train.h"
#include "pg/forecast_options.h"
#include "pg/settings.h"
#include "registry/key_text.h"

namespace many::engine {

namespace {

constexpr int kColumns = 10;

struct Reader {
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

void take_result(void* argument, const ResultHeader* header, const char* body) {
    auto* reader = (Reader*)argument;
    MemoryContext old = MemoryContextSwitchTo(reader->row_context);
    if (header->kind == ResultKind::trained)
        put_points(reader, header, body);
    else
        put_failure(reader, header, body);
    MemoryContextSwitchTo(old);
    MemoryContextReset(reader->row_context);
}

void read_results(const Run* run, const ReturnSetInfo* result) {
    Reader reader = {};
    const TrainPlan* plan = run->plan;
    const int guc_level = NewGUCNestLevel();
    set_text_formats();
    reader.plan = plan;
    reader.zone = pg::time_zone_map(plan->spec->forecast.zone);
    reader.store = result->setResult;
    reader.descriptor = result->setDesc;
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

TrainPlan* plan_backtest(TrainArguments* arguments) {
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
    ErrorContextCallback context;
    InitMaterializedSRF(fcinfo, 0);
    auto* result = (ReturnSetInfo*)fcinfo->resultinfo;
    engine::read_train_arguments(fcinfo, &arguments);
    many::registry::hold_extension();
    if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
    run.plan = engine::plan_backtest(&arguments);
    engine::create_segment(&run, run.plan->arguments.model_set, 0, arguments.workers);
    context.callback = engine::describe_run_in_errors;
    context.arg = &run;
    context.previous = error_context_stack;
    error_context_stack = &context;
    const dsm_handle handle = dsm_segment_handle(run.mapped);
    engine::publish_run(handle);
    engine::scan_source(&run, arguments.workers);
    engine::fit_to_files(run.mapped, arguments.workers);
    engine::read_results(&run, result);
    engine::set_phase(run.segment, engine::Phase::finished);
    engine::end_activity(run.segment);
    engine::retract_run(handle);
    error_context_stack = context.previous;
    dsm_detach(run.mapped);
    SPI_finish();
    return (Datum)0;
}
}
