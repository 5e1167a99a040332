// The SQL functions that start, watch, pause, resume and cancel background runs. See background.h.
#include "pg/server.h"

#include "engine/background.h"
#include "engine/run_lock.h"
#include "pg/arguments.h"
#include "pg/forecast_options.h"
#include "pg/run_activity.h"
#include "pg/session_settings.h"
#include "pg/settings.h"
#include "registry/access.h"

extern "C" {
#include "pgstat.h"
#include "storage/latch.h"
#include "storage/procarray.h"
#include "tcop/utility.h"
#include "utils/plancache.h"
}

#include <signal.h>

namespace many::engine {

namespace {

bool is_one_of(const char* status, const char* a, const char* b) {
    return strcmp(status, a) == 0 || strcmp(status, b) == 0;
}

bool has_ended(const char* status) {
    return strcmp(status, "succeeded") == 0 || is_one_of(status, "failed", "cancelled");
}

int64 run_argument(FunctionCallInfo fcinfo) {
    if (PG_ARGISNULL(0))
        ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("run_id is NULL")));
    return PG_GETARG_INT64(0);
}

// The run, if the current role may control it.
BackgroundRow* require_run(int64 run_id, bool lock) {
    BackgroundRow* row = find_background_run(run_id, lock);
    if (row == nullptr)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                        errmsg("background run " INT64_FORMAT " does not exist", run_id),
                        errhint("many_models.background_runs lists those there are.")));
    require_run_owner(row);
    return row;
}

// Nothing happens to a run before the transaction that asked for it has ended.
void require_committed(const BackgroundRow* row, const char* function) {
    if (row->own && strcmp(row->status, "queued") == 0)
        ereport(ERROR,
                (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                 errmsg("background run " INT64_FORMAT " begins when this transaction commits",
                        row->run_id),
                 errhint("Call %s in a transaction of its own.", function)));
}

// A background worker would not see the session's temporary tables.
void refuse_temporary_tables(const pg::Source* source) {
    SPIPlanPtr plan = pg::prepare_source(psprintf("SELECT * FROM %s AS s", source->from_clause));
    if (plan == nullptr) elog(ERROR, "could not plan the source");
    auto* cached = static_cast<CachedPlanSource*>(linitial(SPI_plan_get_plan_sources(plan)));
    ListCell* cell;
    foreach (cell, cached->relationOids) {
        const Oid relation = lfirst_oid(cell);
        if (get_rel_persistence(relation) == RELPERSISTENCE_TEMP)
            ereport(ERROR,
                    (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                     errmsg("the source uses the temporary table \"%s\"", get_rel_name(relation)),
                     errdetail("A background worker does not see it."),
                     errhint("Use an ordinary or unlogged table, or "
                             "many_models.train_many_models.")));
    }
    SPI_freeplan(plan);
}

int64 launch_new(int64 run_id) {
    CommandCounterIncrement();
    const BackgroundRow* row = find_background_run(run_id, true);
    write_pid(run_id, launch_run(row));
    return run_id;
}

// The segment of the run's process; nullptr: it has none (yet, or any more).
RunSegment* attach_segment(const BackgroundRow* row, dsm_segment** mapped) {
    *mapped = row->segment == 0 ? nullptr : dsm_attach(row->segment);
    if (*mapped == nullptr) return nullptr;
    auto* segment = (RunSegment*)dsm_segment_address(*mapped);
    if (dsm_segment_map_length(*mapped) >= sizeof(RunSegment) && segment->magic == kSegmentMagic &&
        segment->layout == sizeof(RunSegment) && segment->run_id == row->run_id)
        return segment;
    dsm_detach(*mapped);
    return nullptr;
}

void interrupt(const BackgroundRow* row) {
    if (row->pid == 0 || BackendPidGetProc(row->pid) == nullptr) return;
    if (kill(row->pid, SIGINT) != 0)
        ereport(WARNING, (errmsg("could not signal process %d: %m", row->pid)));
}

// A scoring has nothing to keep: it ends at once.
bool tell_scoring(const BackgroundRow* row, Wish wish) {
    dsm_segment* attached = nullptr;
    pg::ScoringProgress* progress =
        row->segment == 0 ? nullptr : pg::attach_scoring_progress(row->segment, &attached);
    const bool found = progress != nullptr && progress->run_id == row->run_id;
    if (found) pg_atomic_write_u32(&progress->wish, (uint32)wish);
    if (attached != nullptr) dsm_detach(attached);
    if (!found && wish != Wish::cancel) return false;
    interrupt(row);
    return true;
}

// True when the process was told.
bool tell(const BackgroundRow* row, Wish wish) {
    if (row->scores) return tell_scoring(row, wish);
    dsm_segment* mapped = nullptr;
    RunSegment* segment = attach_segment(row, &mapped);
    bool interrupts = wish == Wish::cancel;
    if (segment != nullptr) {
        pg_atomic_write_u32(&segment->wish, (uint32)wish);
        // What a scan has read cannot be kept; a slice of the fit can, and is short.
        const auto phase = (Phase)pg_atomic_read_u32(&segment->phase);
        if (phase == Phase::starting || phase == Phase::scanning) interrupts = true;
        dsm_detach(mapped);
    }
    if (interrupts) interrupt(row);
    return segment != nullptr || interrupts;
}

void nap(long milliseconds) {
    (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, milliseconds,
                    PG_WAIT_EXTENSION);
    ResetLatch(MyLatch);
    CHECK_FOR_INTERRUPTS();
}

bool pause(int64 run_id) {
    for (int i = 0; i < 100; i++) {
        const BackgroundRow* row = require_run(run_id, false);
        require_committed(row, "pause_run");
        if (has_ended(row->status) || !run_has_process(run_id)) return false;
        if (tell(row, Wish::pause)) return true;
        nap(20);  // it has only just begun
    }
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("run " INT64_FORMAT " has not begun yet", run_id),
                    errhint("It waits for the end of the transaction that started it.")));
    return false;
}

// A training that failed after results of it were stored.
bool failed_halfway(const BackgroundRow* row) {
    return strcmp(row->status, "failed") == 0 && !row->scores && row->n_buckets > 0;
}

bool cancel(int64 run_id) {
    const BackgroundRow* row = require_run(run_id, false);
    require_committed(row, "cancel_run");
    for (bool locked : {false, true}) {
        if (locked) row = require_run(run_id, true);  // nobody resumes it meanwhile
        if (has_ended(row->status)) {
            if (!failed_halfway(row)) return false;
        } else if (run_has_process(run_id)) {
            return tell(row, Wish::cancel);
        }
    }
    write_status(run_id, "cancelled");
    drop_partial_results(run_id, row->model_set);
    return true;
}

// Said at once, not when the other transaction has ended.
void require_no_start(const char* model_set) {
    if (claim_start(model_set)) return;
    ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
                    errmsg("a background training of model set \"%s\" is being started by another "
                           "transaction",
                           model_set),
                    errhint("It begins when that transaction commits. See "
                            "many_models.background_runs then.")));
}

void refuse_second_training(const char* model_set) {
    const int64 other = active_training(model_set);
    if (other == 0 && !set_is_training(model_set)) return;
    ereport(ERROR,
            (errcode(ERRCODE_OBJECT_IN_USE),
             other != 0
                 ? errmsg("model set \"%s\" is being trained by background run " INT64_FORMAT,
                          model_set, other)
                 : errmsg("model set \"%s\" is being trained by another background run", model_set),
             errhint("Wait for it with many_models.wait_for_run, or end it with "
                     "many_models.cancel_run.")));
}

void resume(int64 run_id) {
    BackgroundRow* row = require_run(run_id, true);
    require_committed(row, "resume_run");
    const char* status = background_status(run_id, row->status);
    if (!is_one_of(status, "paused", "interrupted") && !failed_halfway(row))
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("background run " INT64_FORMAT " is %s", run_id, status),
                        errhint("A paused or interrupted run can go on, and a training that failed "
                                "after results of it were stored.")));
    // It works as that role: who cannot become it may not make it work.
    if (!has_privs_of_role(GetUserId(), row->run_by))
        ereport(ERROR,
                (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                 errmsg("must be role \"%s\", or a member of it, to resume its run " INT64_FORMAT,
                        GetUserNameFromId(row->run_by, true), run_id)));
    if (!row->scores) require_no_start(row->model_set);
    if (!row->scores) refuse_second_training(row->model_set);
    write_status(run_id, "queued");
    (void)launch_new(run_id);
}

// Negative: without an end.
int64 timeout_us(FunctionCallInfo fcinfo) {
    if (PG_ARGISNULL(1)) return -1;
    const Interval* interval = PG_GETARG_INTERVAL_P(1);
    const double us =
        (double)interval->time +
        ((double)interval->month * DAYS_PER_MONTH + (double)interval->day) * (double)USECS_PER_DAY;
    if (us < 0)
        ereport(ERROR,
                (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("timeout must not be negative")));
    return us > 1e17 ? -1 : (int64)us;
}

const char* wait(int64 run_id, int64 limit_us) {
    const TimestampTz start = GetCurrentTimestamp();
    for (long pause_ms = 2;; pause_ms = pause_ms < 100 ? pause_ms * 2 : 100) {
        MemoryContext context =
            AllocSetContextCreate(CurrentMemoryContext, "many_models wait", ALLOCSET_SMALL_SIZES);
        MemoryContext old = MemoryContextSwitchTo(context);
        const BackgroundRow* row = require_run(run_id, false);
        require_committed(row, "wait_for_run");
        MemoryContextSwitchTo(old);
        const char* status = pstrdup(background_status(run_id, row->status));
        MemoryContextDelete(context);
        // What it committed is there for every session when its process is gone: a transaction is
        // visible before others hear that a table has a new partition.
        if (!is_one_of(status, "queued", "running") && !run_has_process(run_id)) return status;
        if (limit_us >= 0 && GetCurrentTimestamp() - start >= limit_us) return status;
        nap(pause_ms);
    }
}

void require_writes(const char* function) {
    PreventCommandDuringRecovery(function);
    PreventCommandIfReadOnly(function);
}

void connect_spi() {
    registry::hold_extension();
    if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
}

}  // namespace

}  // namespace many::engine

extern "C" {

PG_FUNCTION_INFO_V1(many_start_training);
PG_FUNCTION_INFO_V1(many_start_scoring);
PG_FUNCTION_INFO_V1(many_background_status);
PG_FUNCTION_INFO_V1(many_cancel_run);
PG_FUNCTION_INFO_V1(many_pause_run);
PG_FUNCTION_INFO_V1(many_resume_run);
PG_FUNCTION_INFO_V1(many_wait_for_run);

// The arguments of train_many_models -> run_id. They are checked here, against the source as it is
// now, so that mistakes are told at once.
Datum many_start_training(PG_FUNCTION_ARGS) {
    namespace engine = many::engine;
    namespace registry = many::registry;
    engine::TrainArguments arguments;
    engine::require_writes("start_training()");
    engine::read_train_arguments(fcinfo, &arguments);
    engine::connect_spi();
    const Datum settings = many::pg::session_settings();
    registry::ModelSet* stored = arguments.model_set == nullptr
                                     ? nullptr
                                     : registry::find_model_set(arguments.model_set, false);
    engine::TrainPlan* plan = engine::plan_training(&arguments, stored);
    engine::refuse_temporary_tables(plan->source);
    engine::require_no_start(plan->arguments.model_set);
    if (stored == nullptr) {
        stored = engine::claim_model_set(&plan->arguments);
        engine::require_training_allowed(stored, &plan->arguments);
    }
    engine::require_same_partition(stored, &plan->arguments);
    engine::refuse_second_training(plan->arguments.model_set);
    const int64 run_id = registry::new_run_id();
    engine::insert_training(run_id, &plan->arguments, settings);
    (void)engine::launch_new(run_id);
    SPI_finish();
    PG_RETURN_INT64(run_id);
}

// The arguments of score_many_models -> run_id.
Datum many_start_scoring(PG_FUNCTION_ARGS) {
    namespace engine = many::engine;
    namespace registry = many::registry;
    engine::require_writes("start_scoring()");
    const char* name = many::pg::required_text_argument(fcinfo, 0, "model_set");
    engine::connect_spi();
    const registry::TrainingRun* trained =
        registry::find_training_run(name, PG_ARGISNULL(4) ? 0 : PG_GETARG_INT32(4));
    registry::require_privilege(trained->model_set, registry::Privilege::score);
    const bool forecasts = many::pg::is_forecaster(trained->algorithm);
    if (!forecasts && !PG_ARGISNULL(5))
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("horizon applies to forecasters only, not to algorithm \"%s\"",
                               trained->algorithm),
                        errhint("Leave it NULL: the source's rows are scored.")));
    const int64 run_id = registry::new_run_id();
    Oid types[12] = {TEXTOID,   TEXTOID,  TEXTOID, TEXTARRAYOID, INT4OID, INT4OID,
                     FLOAT8OID, JSONBOID, INT4OID, INT8OID,      OIDOID,  JSONBOID};
    Datum values[12];
    char nulls[13] = "            ";
    for (int i = 0; i < 9; i++) {
        if (PG_ARGISNULL(i)) nulls[i] = 'n';
        values[i] = PG_ARGISNULL(i) ? (Datum)0 : PG_GETARG_DATUM(i);
    }
    if (PG_ARGISNULL(8)) {
        nulls[8] = ' ';
        values[8] = Int32GetDatum(many_max_workers);
    }
    // Forecasters without features read no source.
    if (PG_ARGISNULL(1) && (!forecasts || trained->n_features > 0)) {
        nulls[1] = ' ';
        values[1] = CStringGetTextDatum(trained->source);
    }
    if (nulls[1] == ' ')
        engine::refuse_temporary_tables(
            many::pg::describe_source(TextDatumGetCString(values[1]), "source"));
    values[9] = Int64GetDatum(run_id);
    values[10] = ObjectIdGetDatum(GetUserId());
    values[11] = many::pg::session_settings();
    registry::RegistryRights rights;
    registry::enter_registry(&rights);
    const int code = SPI_execute_with_args(
        "INSERT INTO many_models.background_store (model_set, source, into_table, id_columns, "
        "version, horizon, level, options, workers, run_id, run_by, settings, kind, status) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 'score', 'queued')",
        12, types, values, nulls, false, 0);
    registry::leave_registry(&rights);
    if (code != SPI_OK_INSERT) elog(ERROR, "could not write the registry: %d", code);
    (void)engine::launch_new(run_id);
    SPI_finish();
    PG_RETURN_INT64(run_id);
}

Datum many_background_status(PG_FUNCTION_ARGS) {
    const int64 run_id = PG_GETARG_INT64(0);
    char* given = text_to_cstring(PG_GETARG_TEXT_PP(1));
    MemoryContext caller = CurrentMemoryContext;
    if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
    const char* status = many::engine::visible_background_status(run_id, given);
    char* copy = MemoryContextStrdup(caller, status);
    SPI_finish();
    PG_RETURN_TEXT_P(cstring_to_text(copy));
}

Datum many_cancel_run(PG_FUNCTION_ARGS) {
    const int64 run_id = many::engine::run_argument(fcinfo);
    many::engine::require_writes("cancel_run()");
    many::engine::connect_spi();
    const bool told = many::engine::cancel(run_id);
    SPI_finish();
    PG_RETURN_BOOL(told);
}

Datum many_pause_run(PG_FUNCTION_ARGS) {
    const int64 run_id = many::engine::run_argument(fcinfo);
    many::engine::require_writes("pause_run()");
    many::engine::connect_spi();
    const bool told = many::engine::pause(run_id);
    SPI_finish();
    PG_RETURN_BOOL(told);
}

Datum many_resume_run(PG_FUNCTION_ARGS) {
    const int64 run_id = many::engine::run_argument(fcinfo);
    many::engine::require_writes("resume_run()");
    many::engine::connect_spi();
    many::engine::resume(run_id);
    SPI_finish();
    PG_RETURN_VOID();
}

Datum many_wait_for_run(PG_FUNCTION_ARGS) {
    const int64 run_id = many::engine::run_argument(fcinfo);
    const int64 limit = many::engine::timeout_us(fcinfo);
    MemoryContext caller = CurrentMemoryContext;
    if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
    const char* status = many::engine::wait(run_id, limit);
    char* copy = MemoryContextStrdup(caller, status);
    SPI_finish();
    PG_RETURN_TEXT_P(cstring_to_text(copy));
}
}
