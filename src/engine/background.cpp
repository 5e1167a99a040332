#include "pg/server.h"

#include "engine/background.h"

#include "engine/run_lock.h"

extern "C" {
#include "access/transam.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/procarray.h"
#include "tcop/tcopprot.h"
#include "utils/backend_status.h"
#include "utils/wait_event.h"
}

#include "pg/run_activity.h"
#include "pg/session_settings.h"
#include "registry/notify.h"

namespace many::engine {

namespace {

// What the worker is told; all else is in the run's row.
struct Order {
    int64 run_id;
    Oid database;
    Oid connect_as;  // the role itself where it may log in
    Oid role;
    TransactionId transaction;  // that wrote the row
    int32 start;                // the row's count of starts
};
static_assert(sizeof(Order) <= BGW_EXTRALEN);

bool may_log_in(Oid role) {
    HeapTuple tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(role));
    if (!HeapTupleIsValid(tuple)) return false;
    const bool may = ((Form_pg_authid)GETSTRUCT(tuple))->rolcanlogin;
    ReleaseSysCache(tuple);
    return may;
}

// A role that cannot log in is worked for over the session's own role, as in that session; but not
// over a superuser's: code that the run calls could take its rights.
Oid role_to_connect(Oid role) {
    if (!pg::kWorkersNeedLogin || may_log_in(role)) return role;
    const Oid session = GetSessionUserId();
    if (superuser_arg(session) && !superuser_arg(role))
        ereport(ERROR,
                (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                 errmsg("role \"%s\" cannot log in, and a superuser's session cannot lend a "
                        "background worker its own role",
                        GetUserNameFromId(role, false)),
                 errhint("Start the run from a session of a member of the role, or as a role with "
                         "LOGIN.")));
    return session;
}

void wait_until_ready(BackgroundWorkerHandle* handle, int64 run_id, pid_t* pid) {
    for (;;) {
        const BgwHandleStatus status = GetBackgroundWorkerPid(handle, pid);
        if (status == BGWH_STARTED && run_has_process(run_id)) return;
        if (status == BGWH_STOPPED || status == BGWH_POSTMASTER_DIED)
            ereport(ERROR,
                    (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                     errmsg("the background worker of run " INT64_FORMAT " did not start", run_id),
                     errhint("The server's log says why.")));
        (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 5,
                        PG_WAIT_EXTENSION);
        ResetLatch(MyLatch);
        CHECK_FOR_INTERRUPTS();
    }
}

void wait_for_transaction(TransactionId transaction) {
    StartTransactionCommand();
    if (TransactionIdIsInProgress(transaction))
        XactLockTableWait(transaction, nullptr, nullptr, XLTW_None);
    CommitTransactionCommand();
}

// Where other sessions see how far a scoring came, and tell it what they wish.
void hold_progress(const BackgroundRow* row) {
    begin_step(row, "planning");
    dsm_segment* segment = pg::create_scoring_progress(row->run_id, row->model_set);
    if (segment != nullptr) {
        dsm_pin_mapping(segment);
        pg::hold_scoring_progress(segment);
        write_segment(row->run_id, dsm_segment_handle(segment));
    }
    end_step();
}

Wish wish_of(RunSegment* training) {
    if (training != nullptr) return (Wish)pg_atomic_read_u32(&training->wish);
    dsm_segment* scoring = pg::held_scoring_progress();
    if (scoring == nullptr) return Wish::none;
    return (Wish)pg_atomic_read_u32(&pg::scoring_progress(scoring)->wish);
}

void score_in_background(const BackgroundRow* row) {
    Oid types[1] = {INT8OID};
    Datum values[1] = {Int64GetDatum(row->run_id)};
    registry::RegistryRights rights;
    hold_progress(row);
    begin_step(row, "scoring");
    // The arguments, read as the registry's owner; the scoring itself runs as the role.
    Oid argument_types[9] = {TEXTOID, TEXTOID,   TEXTOID,  TEXTARRAYOID, INT4OID,
                             INT4OID, FLOAT8OID, JSONBOID, INT4OID};
    Datum arguments[9];
    char nulls[10] = "         ";
    registry::enter_registry(&rights);
    const int code = SPI_execute_with_args(
        "SELECT model_set, source, into_table, id_columns, version, horizon, level, "
        "options, workers FROM many_models.background_store WHERE run_id = $1",
        1, types, values, nullptr, false, 1);
    registry::leave_registry(&rights);
    if (code != SPI_OK_SELECT || SPI_processed != 1) elog(ERROR, "background run vanished");
    for (int i = 0; i < 9; i++) {
        bool is_null = false;
        arguments[i] = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i + 1, &is_null);
        if (is_null) nulls[i] = 'n';
    }
    registry::assign_run_id(row->run_id);
    if (SPI_execute_with_args(
            "SELECT s.version, s.trained, s.failed FROM many_models.score_many_models($1, $2, $3, "
            "$4, $5, $6, $7, $8, $9) AS s",
            9, argument_types, arguments, nulls, false, 1) != SPI_OK_SELECT)
        elog(ERROR, "scoring did not run");
    bool is_null = false;
    const int version =
        DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null));
    write_success(row->run_id, version);
    end_step();
}

// What an error leaves: the reason in the row, and of a training the results that are stored, with
// which it can go on. A cancelled run leaves nothing. A run that was asked to pause has no error.
void settle_error(const BackgroundRow* row, const ErrorData* error, Wish wish) {
    const bool interrupted = error->sqlerrcode == ERRCODE_QUERY_CANCELED;
    begin_step(row, "ending");
    const BackgroundRow* now = find_background_run(row->run_id, true);
    if (now == nullptr || strcmp(now->status, "running") != 0) {
        // It had ended already, when a late interrupt came.
    } else if (interrupted && wish == Wish::pause) {
        write_status(row->run_id, "paused");
    } else {
        const bool keeps = !interrupted && has_stored_results(now) && !results_refused();
        write_failure(row->run_id, interrupted ? "cancelled" : "failed", error);
        if (!keeps) drop_partial_results(row->run_id, row->model_set);
        registry::notify_event(
            "run_failed", row->model_set,
            psprintf("\"run_id\": " INT64_FORMAT ", \"kind\": \"%s\", \"status\": \"%s\", "
                     "\"sqlstate\": \"%s\", \"resumable\": %s",
                     row->run_id, row->scores ? "score" : "train",
                     interrupted ? "cancelled" : "failed", unpack_sql_state(error->sqlerrcode),
                     keeps ? "true" : "false"));
    }
    end_step();
}

// Runs under a handler of its own: an error here ends the worker, and the run is interrupted.
void work(BackgroundRow* row, MemoryContext context) {
    RunSegment* volatile segment = nullptr;
    PG_TRY();
    {
        begin_step(row, "starting");
        pg::apply_session_settings(row->settings);
        end_step();
        if (row->scores) {
            score_in_background(row);
        } else if (!train_in_background(row, (RunSegment**)&segment)) {
            begin_step(row, "pausing");
            write_status(row->run_id, "paused");
            end_step();
        }
    }
    PG_CATCH();
    {
        HOLD_INTERRUPTS();
        pqsignal(SIGINT, SIG_IGN);
        MemoryContextSwitchTo(context);
        ErrorData* error = CopyErrorData();
        const Wish wish = wish_of(segment);
        EmitErrorReport();
        AbortOutOfAnyTransaction();
        FlushErrorState();
        release_segment();
        QueryCancelPending = false;
        RESUME_INTERRUPTS();
        settle_error(row, error, wish);
    }
    PG_END_TRY();
}

}  // namespace

void begin_step(const BackgroundRow* row, const char* doing) {
    char activity[256];
    pg_snprintf(activity, sizeof activity, "many_models: run " INT64_FORMAT " of %s, %s",
                row->run_id, row->model_set, doing);
    CHECK_FOR_INTERRUPTS();
    if (ConfigReloadPending) {
        ConfigReloadPending = false;
        ProcessConfigFile(PGC_SIGHUP);
    }
    SetCurrentStatementStartTimestamp();
    StartTransactionCommand();
    pgstat_report_activity(STATE_RUNNING, activity);
    registry::hold_extension();
    if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
    PushActiveSnapshot(GetTransactionSnapshot());
}

void end_step() {
    PopActiveSnapshot();
    SPI_finish();
    CommitTransactionCommand();
    (void)pgstat_report_stat(true);
    pgstat_report_activity(STATE_IDLE, nullptr);
}

void require_run_owner(const BackgroundRow* row) {
    const registry::ModelSet* set = registry::find_model_set(row->model_set, false);
    if (has_privs_of_role(GetUserId(), row->run_by)) return;
    if (set != nullptr && has_privs_of_role(GetUserId(), set->owner)) return;
    ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                    errmsg("must be owner of background run " INT64_FORMAT, row->run_id),
                    errhint("It works as role \"%s\".", GetUserNameFromId(row->run_by, true))));
}

int launch_run(const BackgroundRow* row) {
    BackgroundWorker worker = {};
    BackgroundWorkerHandle* handle = nullptr;
    Order order = {};
    pid_t pid = 0;
    order.run_id = row->run_id;
    order.database = MyDatabaseId;
    order.role = row->run_by;
    order.connect_as = role_to_connect(row->run_by);
    order.transaction = GetTopTransactionId();
    order.start = row->starts;
    pg_snprintf(worker.bgw_name, BGW_MAXLEN, "many_models run " INT64_FORMAT, row->run_id);
    strlcpy(worker.bgw_type, "many_models run", BGW_MAXLEN);
    strlcpy(worker.bgw_library_name, "many_models", BGW_MAXLEN);
    strlcpy(worker.bgw_function_name, "many_background_main", BGW_MAXLEN);
    worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
    worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
    worker.bgw_restart_time = BGW_NEVER_RESTART;
    worker.bgw_notify_pid = MyProcPid;
    memcpy(worker.bgw_extra, &order, sizeof order);
    if (!RegisterDynamicBackgroundWorker(&worker, &handle))
        ereport(ERROR,
                (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
                 errmsg("no background worker is free for run " INT64_FORMAT, row->run_id),
                 errhint("Try again when other runs have ended, or raise max_worker_processes.")));
    wait_until_ready(handle, row->run_id, &pid);
    return (int)pid;
}

}  // namespace many::engine

extern "C" {

// Entry of the worker that leads a background run.
PGDLLEXPORT void many_background_main(Datum);

void many_background_main(Datum) {
    namespace engine = many::engine;
    engine::Order order;
    memcpy(&order, MyBgworkerEntry->bgw_extra, sizeof order);
    pqsignal(SIGTERM, die);
    pqsignal(SIGINT, StatementCancelHandler);
    pqsignal(SIGHUP, SignalHandlerForConfigReload);
    BackgroundWorkerUnblockSignals();
    BackgroundWorkerInitializeConnectionByOid(order.database, order.connect_as,
                                              many::pg::kWorkerConnection);
    pgstat_report_appname("many_models");
    MemoryContext context =
        AllocSetContextCreate(TopMemoryContext, "many_models background", ALLOCSET_DEFAULT_SIZES);

    StartTransactionCommand();
    if (order.role != order.connect_as) SetCurrentRoleId(order.role, superuser_arg(order.role));
    engine::hold_run(order.run_id);
    CommitTransactionCommand();
    engine::wait_for_transaction(order.transaction);

    engine::BackgroundRow waiting = {};
    waiting.run_id = order.run_id;
    waiting.model_set = "a model set";
    engine::begin_step(&waiting, "starting");
    MemoryContext old = MemoryContextSwitchTo(context);
    engine::BackgroundRow* row = engine::find_background_run(order.run_id, true);
    MemoryContextSwitchTo(old);
    // Undone, or started by another since.
    const bool wanted =
        row != nullptr && row->starts == order.start && strcmp(row->status, "queued") == 0;
    if (wanted) engine::write_status(order.run_id, "running");
    engine::end_step();
    if (wanted) engine::work(row, context);
    proc_exit(0);
}
}
