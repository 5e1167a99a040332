#include "pg/server.h"

#include "engine/background_store.h"

#include "engine/run_lock.h"

extern "C" {
#include "access/transam.h"
}

namespace many::engine {

namespace {

int execute_as_owner(const char* statement, int n, Oid* types, Datum* values, const char* nulls,
                     bool read_only) {
    registry::RegistryRights rights;
    registry::enter_registry(&rights);
    const int code = SPI_execute_with_args(statement, n, types, values, nulls, read_only, 0);
    registry::leave_registry(&rights);
    if (code < 0) elog(ERROR, "could not use the registry: %d", code);
    return (int)SPI_processed;
}

Datum column(int i, bool* is_null) {
    return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i, is_null);
}

char* text_column(int i) {
    return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i);
}

int64 int64_column(int i) {
    bool is_null = false;
    const Datum value = column(i, &is_null);
    return is_null ? 0 : DatumGetInt64(value);
}

int int_column(int i) {
    bool is_null = false;
    const Datum value = column(i, &is_null);
    return is_null ? 0 : DatumGetInt32(value);
}

char** strings_column(int i, int* n) {
    bool is_null = false;
    const Datum value = column(i, &is_null);
    *n = -1;
    return is_null ? nullptr : pg::text_array_to_strings(DatumGetArrayTypePCopy(value), "array", n);
}

Jsonb* jsonb_column(int i) {
    bool is_null = false;
    const Datum value = column(i, &is_null);
    return is_null ? nullptr : DatumGetJsonbPCopy(value);
}

bool* bools_column(int i, int* n) {
    bool is_null = false;
    Datum* elements;
    bool* nulls;
    const Datum value = column(i, &is_null);
    *n = 0;
    if (is_null) return nullptr;
    deconstruct_array(DatumGetArrayTypeP(value), BOOLOID, 1, true, TYPALIGN_CHAR, &elements, &nulls,
                      n);
    bool* bools = (bool*)palloc0(sizeof(bool) * (Size)(*n + 1));
    for (int k = 0; k < *n; k++) bools[k] = !nulls[k] && DatumGetBool(elements[k]);
    return bools;
}

constexpr const char* kColumns =
    "run_id, model_set, kind OPERATOR(pg_catalog.=) 'score', status, run_by::pg_catalog.oid, "
    "source, partition_by, target, COALESCE(features, features_read), features IS NULL, algorithm, "
    "time_column, options, tags, workers, settings, started_at, starts, pid, segment, "
    "buckets_done, trained, failed, skipped, rows_skipped, processes, nullable_keys, columns_read, "
    "xmin";

BackgroundRow* row_of_result() {
    bool is_null = false;
    int n = 0;
    auto* row = (BackgroundRow*)palloc0(sizeof(BackgroundRow));
    TrainArguments* a = &row->train;
    int i = 0;
    row->run_id = int64_column(++i);
    row->model_set = a->model_set = text_column(++i);
    row->scores = DatumGetBool(column(++i, &is_null));
    row->status = text_column(++i);
    row->run_by = DatumGetObjectId(column(++i, &is_null));
    a->source = text_column(++i);
    a->partition_by = strings_column(++i, &a->n_keys);
    a->target = text_column(++i);
    a->features = strings_column(++i, &a->n_features);
    row->features_found = DatumGetBool(column(++i, &is_null));
    a->algorithm = text_column(++i);
    a->time_column = text_column(++i);
    a->options = jsonb_column(++i);
    a->tags = jsonb_column(++i);
    a->workers = int_column(++i);
    row->settings = jsonb_column(++i);
    const Datum started = column(++i, &is_null);
    row->started_at = is_null ? 0 : DatumGetTimestampTz(started);
    row->starts = int_column(++i);
    row->pid = int_column(++i);
    row->segment = (dsm_handle)int64_column(++i);
    row->buckets_done = bools_column(++i, &row->n_buckets);
    row->trained = int64_column(++i);
    row->failed = int64_column(++i);
    row->skipped = int64_column(++i);
    row->rows_skipped = int64_column(++i);
    row->processes = int_column(++i);
    row->nullable_keys = bools_column(++i, &n);
    row->columns_read = strings_column(++i, &row->n_columns_read);
    row->own = TransactionIdIsCurrentTransactionId(DatumGetTransactionId(column(++i, &is_null)));
    return row;
}

void execute(const char* statement) {
    const int code = SPI_execute(statement, false, 0);
    if (code < 0) elog(ERROR, "registry: \"%s\" failed: %d", statement, code);
}

Datum text_or_null(const char* text, char* null) {
    *null = text == nullptr ? 'n' : ' ';
    return text == nullptr ? (Datum)0 : CStringGetTextDatum(text);
}

}  // namespace

bool has_stored_results(const BackgroundRow* row) {
    for (int i = 0; i < row->n_buckets; i++)
        if (row->buckets_done[i]) return true;
    return false;
}

BackgroundRow* find_background_run(int64 run_id, bool lock) {
    Oid types[1] = {INT8OID};
    Datum values[1] = {Int64GetDatum(run_id)};
    const char* statement = psprintf(
        "SELECT %s FROM many_models.background_store WHERE run_id "
        "OPERATOR(pg_catalog.=) $1%s",
        kColumns, lock ? " FOR UPDATE" : "");
    MemoryContext context = CurrentMemoryContext;
    if (!lock) PushActiveSnapshot(GetLatestSnapshot());
    const int n = execute_as_owner(statement, 1, types, values, nullptr, !lock);
    MemoryContextSwitchTo(context);  // SPI leaves its own, which ends with the connection
    BackgroundRow* row = n == 1 ? row_of_result() : nullptr;
    if (!lock) PopActiveSnapshot();
    return row;
}

namespace {

const char* status_now(const char* status, int64 run_id, const char* (*read)(int64)) {
    if (strcmp(status, "queued") != 0 && strcmp(status, "running") != 0) return status;
    if (RecoveryInProgress()) return status;  // its process is on the primary
    const bool alive = run_has_process(run_id);
    // It may have ended, and ended well, between the reading of the status and that look.
    const char* now = read(run_id);
    if (now == nullptr) return status;
    if (strcmp(now, "queued") != 0 && strcmp(now, "running") != 0) return now;
    return alive || run_has_process(run_id) ? now : "interrupted";
}

const char* status_as_owner(int64 run_id) {
    const BackgroundRow* row = find_background_run(run_id, false);
    return row == nullptr ? nullptr : row->status;
}

const char* status_as_caller(int64 run_id) {
    Oid types[1] = {INT8OID};
    Datum values[1] = {Int64GetDatum(run_id)};
    PushActiveSnapshot(GetLatestSnapshot());
    const int code = SPI_execute_with_args(
        "SELECT status FROM many_models.background_store WHERE run_id OPERATOR(pg_catalog.=) $1", 1,
        types, values, nullptr, true, 1);
    PopActiveSnapshot();
    if (code != SPI_OK_SELECT) elog(ERROR, "could not read the registry: %d", code);
    return SPI_processed == 1 ? text_column(1) : nullptr;
}

}  // namespace

const char* background_status(int64 run_id, const char* status) {
    return status_now(status, run_id, status_as_owner);
}

const char* visible_background_status(int64 run_id, const char* status) {
    return status_now(status, run_id, status_as_caller);
}

void insert_training(int64 run_id, const TrainArguments* a, Datum settings) {
    Oid types[13] = {INT8OID, TEXTOID, OIDOID,   TEXTOID,  TEXTARRAYOID, TEXTOID, TEXTARRAYOID,
                     TEXTOID, TEXTOID, JSONBOID, JSONBOID, INT4OID,      JSONBOID};
    Datum v[13];
    char nulls[14] = "             ";
    int i = 0;
    v[i++] = Int64GetDatum(run_id);
    v[i++] = CStringGetTextDatum(a->model_set);
    v[i++] = ObjectIdGetDatum(GetUserId());
    v[i++] = CStringGetTextDatum(a->source);
    v[i++] = PointerGetDatum(pg::strings_to_text_array(a->partition_by, a->n_keys));
    v[i++] = CStringGetTextDatum(a->target);
    nulls[i] = a->n_features < 0 ? 'n' : ' ';
    v[i++] = PointerGetDatum(pg::strings_to_text_array(a->features, a->n_features));
    v[i++] = CStringGetTextDatum(a->algorithm);
    v[i] = text_or_null(a->time_column, &nulls[i]);
    i++;
    v[i++] = JsonbPGetDatum(a->options);
    v[i++] = JsonbPGetDatum(a->tags);
    v[i++] = Int32GetDatum(a->workers);
    v[i++] = settings;
    (void)execute_as_owner(
        "INSERT INTO many_models.background_store (run_id, model_set, kind, status, run_by, "
        "source, "
        "partition_by, target, features, algorithm, time_column, options, tags, workers, settings) "
        "VALUES ($1, $2, 'train', 'queued', $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        i, types, v, nulls, false);
}

void write_status(int64 run_id, const char* status) {
    Oid types[4] = {INT8OID, TEXTOID, INT4OID, BOOLOID};
    const bool runs = strcmp(status, "running") == 0;
    const bool queued = strcmp(status, "queued") == 0;
    Datum values[4] = {Int64GetDatum(run_id), CStringGetTextDatum(status), Int32GetDatum(MyProcPid),
                       BoolGetDatum(runs)};
    (void)execute_as_owner(
        "UPDATE many_models.background_store SET status = $2, segment = NULL, "
        "pid = CASE WHEN $4 THEN $3 END, "
        "started_at = CASE WHEN $4 THEN COALESCE(started_at, pg_catalog.clock_timestamp()) "
        "ELSE started_at END, "
        "finished_at = CASE WHEN $2 IN ('succeeded', 'failed', 'cancelled') "
        "THEN pg_catalog.clock_timestamp() END WHERE run_id = $1",
        4, types, values, nullptr, false);
    if (queued)
        (void)execute_as_owner(
            "UPDATE many_models.background_store SET starts = starts + 1, sqlstate = NULL, "
            "message = NULL, detail = NULL, hint = NULL WHERE run_id = $1",
            1, types, values, nullptr, false);
}

void write_pid(int64 run_id, int pid) {
    Oid types[2] = {INT8OID, INT4OID};
    Datum values[2] = {Int64GetDatum(run_id), Int32GetDatum(pid)};
    (void)execute_as_owner("UPDATE many_models.background_store SET pid = $2 WHERE run_id = $1", 2,
                           types, values, nullptr, false);
}

void write_segment(int64 run_id, dsm_handle segment) {
    Oid types[2] = {INT8OID, INT8OID};
    Datum values[2] = {Int64GetDatum(run_id), Int64GetDatum((int64)segment)};
    (void)execute_as_owner("UPDATE many_models.background_store SET segment = $2 WHERE run_id = $1",
                           2, types, values, nullptr, false);
}

void write_scan(const Run* run, char** columns_read, int n) {
    Oid types[4] = {INT8OID, TEXTARRAYOID, TEXTARRAYOID, BOOLARRAYOID};
    Datum values[4] = {
        Int64GetDatum(run->segment->run_id),
        PointerGetDatum(pg::strings_to_text_array(columns_read, n)),
        PointerGetDatum(pg::strings_to_text_array(run->plan->features, run->plan->n_features)),
        bool_array(run->segment->bucket_done, run->segment->n_buckets)};
    (void)execute_as_owner(
        "UPDATE many_models.background_store SET columns_read = $2, features_read = $3, "
        "buckets_done = $4 WHERE run_id = $1",
        4, types, values, nullptr, false);
}

void write_progress(const Run* run, const Collected* collected, int64 rows_skipped) {
    Oid types[8] = {INT8OID, BOOLARRAYOID, INT8OID, INT8OID,
                    INT8OID, INT8OID,      INT4OID, BOOLARRAYOID};
    Datum values[8] = {Int64GetDatum(run->segment->run_id),
                       bool_array(run->segment->bucket_done, run->segment->n_buckets),
                       Int64GetDatum(collected->trained),
                       Int64GetDatum(collected->failed),
                       Int64GetDatum(collected->skipped),
                       Int64GetDatum(rows_skipped),
                       Int32GetDatum(run->fit.processes),
                       bool_array(collected->nullable_keys, run->plan->arguments.n_keys)};
    (void)execute_as_owner(
        "UPDATE many_models.background_store SET buckets_done = $2, trained = $3, failed = $4, "
        "skipped = $5, rows_skipped = $6, processes = $7, nullable_keys = $8 WHERE run_id = $1",
        8, types, values, nullptr, false);
}

void write_success(int64 run_id, int version) {
    Oid types[2] = {INT8OID, INT4OID};
    Datum values[2] = {Int64GetDatum(run_id), Int32GetDatum(version)};
    (void)execute_as_owner("UPDATE many_models.background_store SET version = $2 WHERE run_id = $1",
                           2, types, values, nullptr, false);
    write_status(run_id, "succeeded");
}

void write_failure(int64 run_id, const char* status, const ErrorData* error) {
    Oid types[5] = {INT8OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID};
    Datum values[5];
    char nulls[6] = "     ";
    write_status(run_id, status);
    values[0] = Int64GetDatum(run_id);
    values[1] = CStringGetTextDatum(unpack_sql_state(error->sqlerrcode));
    values[2] = text_or_null(error->message, &nulls[2]);
    values[3] = text_or_null(error->detail, &nulls[3]);
    values[4] = text_or_null(error->hint, &nulls[4]);
    (void)execute_as_owner(
        "UPDATE many_models.background_store SET sqlstate = $2, message = $3, detail = $4, "
        "hint = $5 WHERE run_id = $1",
        5, types, values, nulls, false);
}

void drop_partial_results(int64 run_id, const char* model_set) {
    registry::RegistryRights rights;
    Oid types[2] = {TEXTOID, INT8OID};
    Datum values[2] = {CStringGetTextDatum(model_set), Int64GetDatum(run_id)};
    registry::enter_registry(&rights);
    for (const char* parent : {"model_store", "failure_store"})
        execute(psprintf("DROP TABLE IF EXISTS many_models.%s", own_partition(parent, run_id)));
    registry::leave_registry(&rights);
    (void)execute_as_owner(
        "UPDATE many_models.background_store SET buckets_done = NULL, columns_read = NULL "
        "WHERE model_set = $1 AND run_id = $2",
        2, types, values, nullptr, false);
    (void)execute_as_owner(
        "DELETE FROM many_models.model_sets AS s WHERE s.model_set = $1 AND s.latest_version = 0 "
        "AND NOT EXISTS (SELECT FROM many_models.runs AS r WHERE r.model_set = $1) "
        "AND NOT EXISTS (SELECT FROM many_models.background_store AS b WHERE b.model_set = $1 "
        "AND b.run_id <> $2 AND (b.status IN ('queued', 'running', 'paused') "
        "OR (b.status = 'failed' AND b.buckets_done IS NOT NULL)))",
        2, types, values, nullptr, false);
}

int64 active_training(const char* model_set) {
    Oid types[1] = {TEXTOID};
    Datum values[1] = {CStringGetTextDatum(model_set)};
    // As it is now, whatever the transaction's snapshot has.
    PushActiveSnapshot(GetLatestSnapshot());
    const int n = execute_as_owner(
        "SELECT run_id FROM many_models.background_store WHERE model_set = $1 AND kind = 'train' "
        "AND status IN ('queued', 'running') ORDER BY run_id",
        1, types, values, nullptr, true);
    PopActiveSnapshot();
    SPITupleTable* runs = SPI_tuptable;
    for (int i = 0; i < n; i++) {
        bool is_null = false;
        const int64 run_id =
            DatumGetInt64(SPI_getbinval(runs->vals[i], runs->tupdesc, 1, &is_null));
        if (run_has_process(run_id)) return run_id;
    }
    return 0;
}

void drop_background_runs(const char* model_set) {
    Oid types[1] = {TEXTOID};
    Datum values[1] = {CStringGetTextDatum(model_set)};
    const int n = execute_as_owner(
        "SELECT run_id FROM many_models.background_store WHERE model_set = $1 "
        "AND (status IN ('queued', 'running', 'paused') "
        "OR (status = 'failed' AND buckets_done IS NOT NULL)) FOR UPDATE",
        1, types, values, nullptr, false);
    SPITupleTable* runs = SPI_tuptable;
    for (int i = 0; i < n; i++) {
        bool is_null = false;
        const int64 run_id =
            DatumGetInt64(SPI_getbinval(runs->vals[i], runs->tupdesc, 1, &is_null));
        if (run_has_process(run_id))
            ereport(ERROR,
                    (errcode(ERRCODE_OBJECT_IN_USE),
                     errmsg("background run " INT64_FORMAT " of model set \"%s\" is going on",
                            run_id, model_set),
                     errhint("Wait for it, or end it with many_models.cancel_run.")));
        drop_partial_results(run_id, model_set);
    }
    (void)execute_as_owner("DELETE FROM many_models.background_store WHERE model_set = $1", 1,
                           types, values, nullptr, false);
}

}  // namespace many::engine
