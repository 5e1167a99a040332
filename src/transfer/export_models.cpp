// export_models: a version of a model set as a stream of rows; the format is in export_format.h.
//
// Reads as the caller: row-level security decides what there is to export, and a version of which
// some models are not seen is refused rather than exported in part. Rows go to a tuplestore, which
// spills to disk; the same version gives the same bytes.
#include "core/codec/linear_model.h"
#include "pg/arguments.h"
#include "pg/server.h"
#include "pg/settings.h"
#include "registry/registry.h"
#include "serving/model_value.h"
#include "serving/score_query.h"
#include "transfer/export_format.h"
#include "transfer/row_batches.h"
#include "wall/wall.h"

extern "C" {
#include "mb/pg_wchar.h"
}

namespace many::transfer {

namespace {

struct Export {
    const registry::TrainingRun* run;
    int64 models;    // that the run made
    int64 failures;  // failed and skipped
    int64 line;
    int64 model_id;  // being opened, or 0
    Tuplestorestate* rows;
    TupleDesc descriptor;
    Digest* digest;
};

void put_line(Export* ex, StringInfo json) {
    bool nulls[2] = {};
    text* part = make_part(++ex->line, json);
    Datum values[2] = {Int64GetDatum(ex->line), PointerGetDatum(part)};
    tuplestore_putvalues(ex->rows, ex->descriptor, values, nulls);
    if (ex->digest != nullptr) digest_add(ex->digest, VARDATA(part), VARSIZE(part) - VARHDRSZ);
}

// Counts, definition, columns, and facts of the run. Of the latest training the set knows whether
// its features were given; of others there are the features as used.
void read_run(Export* ex, StringInfo json) {
    const int guc_level = NewGUCNestLevel();
    pg::set_local("search_path", "pg_catalog, pg_temp");
    pg::set_local("TimeZone", "UTC");
    pg::set_local("IntervalStyle", "iso_8601");
    Oid types[] = {INT8OID};
    Datum values[] = {Int64GetDatum(ex->run->run_id)};
    const int code = SPI_execute_with_args(
        "SELECT r.trained, r.failed + r.skipped, "
        "jsonb_build_object('source', r.source, 'partition_by', r.partition_by, 'target', "
        "r.target, 'features', CASE WHEN s.features IS NULL AND r.kind = 'train' AND r.version = "
        "s.latest_version THEN NULL ELSE r.features END, 'algorithm', r.algorithm, 'time_column', "
        "r.time_column, 'options', r.options, 'tags', r.tags), "
        "jsonb_build_object('key_types', r.key_types, 'key_collations', r.key_collations, "
        "'features', r.features, 'feature_types', r.feature_types) || "
        "jsonb_strip_nulls(jsonb_build_object('time_type', r.details ->> 'time_type')), "
        "jsonb_build_object('database', current_database(), 'run_id', r.run_id, 'kind', r.kind, "
        "'run_by', r.run_by::text, 'started_at', r.started_at, 'finished_at', r.finished_at, "
        "'elapsed', r.elapsed, 'groups', r.groups, 'trained', r.trained, 'failed', r.failed, "
        "'skipped', r.skipped, 'rows_read', r.rows_read, 'rows_skipped', r.rows_skipped, "
        "'workers', r.workers, 'details', r.details, 'extension_version', r.extension_version, "
        "'server_version', r.server_version) "
        "FROM many_models.runs AS r JOIN many_models.model_sets AS s ON s.model_set = r.model_set "
        "WHERE r.run_id = $1",
        1, types, values, nullptr, true, 1);
    if (code != SPI_OK_SELECT || SPI_processed != 1) elog(ERROR, "could not read the registry");
    HeapTuple tuple = SPI_tuptable->vals[0];
    TupleDesc descriptor = SPI_tuptable->tupdesc;
    bool is_null = false;
    ex->models = DatumGetInt64(SPI_getbinval(tuple, descriptor, 1, &is_null));
    ex->failures = DatumGetInt64(SPI_getbinval(tuple, descriptor, 2, &is_null));
    append_int_member(json, "models", ex->models);
    append_int_member(json, "failures", ex->failures);
    static const char* const names[] = {"definition", "columns", "run"};
    for (int i = 0; i < 3; ++i)
        append_json_member(json, names[i],
                           DatumGetJsonbP(SPI_getbinval(tuple, descriptor, i + 3, &is_null)));
    AtEOXact_GUC(true, guc_level);
}

void put_header(Export* ex) {
    StringInfoData json;
    initStringInfo(&json);
    appendStringInfo(&json, "%s%d", kHeaderStart, kFormatVersion);
    append_string_member(&json, "model_set", ex->run->model_set);
    append_int_member(&json, "version", ex->run->version);
    append_string_member(&json, "encoding", GetDatabaseEncodingName());
    read_run(ex, &json);
    put_line(ex, &json);
}

void put_trailer(Export* ex) {
    StringInfoData json;
    char* sha256 = digest_end(ex->digest);
    ex->digest = nullptr;
    initStringInfo(&json);
    appendStringInfoChar(&json, '{');
    append_int_member(&json, "models", ex->models);
    append_int_member(&json, "failures", ex->failures);
    append_string_member(&json, "sha256", sha256);
    put_line(ex, &json);
}

// Columns of a row by their place; NULL only where the table allows it.
int64 int64_at(HeapTuple tuple, TupleDesc descriptor, int column) {
    bool is_null = false;
    return DatumGetInt64(SPI_getbinval(tuple, descriptor, column, &is_null));
}
float4 float4_at(HeapTuple tuple, TupleDesc descriptor, int column) {
    bool is_null = false;
    return DatumGetFloat4(SPI_getbinval(tuple, descriptor, column, &is_null));
}

void start_row(StringInfo json, HeapTuple tuple, TupleDesc descriptor) {
    bool is_null = false;
    initStringInfo(json);
    appendStringInfoChar(json, '{');
    append_json_member(json, "key", DatumGetJsonbP(SPI_getbinval(tuple, descriptor, 1, &is_null)));
    append_int_member(json, "n_rows", int64_at(tuple, descriptor, 2));
    append_real_member(json, "seconds", float4_at(tuple, descriptor, 3));
}

void put_model(Export* ex, HeapTuple tuple, TupleDesc descriptor) {
    StringInfoData json;
    bool is_null = false;
    start_row(&json, tuple, descriptor);
    append_string_member(&json, "first_time", SPI_getvalue(tuple, descriptor, 4));
    append_string_member(&json, "last_time", SPI_getvalue(tuple, descriptor, 5));
    const auto* model = PG_DETOAST_DATUM_PACKED(SPI_getbinval(tuple, descriptor, 6, &is_null));
    const char* data = VARDATA_ANY(model);
    const Size length = VARSIZE_ANY_EXHDR(model);
    ex->model_id = int64_at(tuple, descriptor, 7);
    core::LinearModelView view;
    if (serving::check_any_model(data, length, &view) == serving::ModelKind::error)
        ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("not a stored model")));
    ex->model_id = 0;
    append_model_member(&json, data, length);
    put_line(ex, &json);
}

void put_failure(Export* ex, HeapTuple tuple, TupleDesc descriptor) {
    StringInfoData json;
    start_row(&json, tuple, descriptor);
    append_string_member(&json, "status", SPI_getvalue(tuple, descriptor, 4));
    append_string_member(&json, "sqlstate", SPI_getvalue(tuple, descriptor, 5));
    append_string_member(&json, "message", SPI_getvalue(tuple, descriptor, 6));
    append_string_member(&json, "hint", SPI_getvalue(tuple, descriptor, 7));
    append_int_member(&json, "attempt", int64_at(tuple, descriptor, 8));
    put_line(ex, &json);
}

struct RowKind {
    const char* what;
    const char* columns;
    const char* table;
    const char* order;
    void (*put)(Export*, HeapTuple, TupleDesc);
};

constexpr RowKind kModels = {
    "models",
    "m.partition_key, m.n_rows, m.seconds, m.first_time, m.last_time, m.model, m.model_id",
    "model_store", "m.model_id", put_model};
constexpr RowKind kFailures = {
    "failures",
    "m.partition_key, m.n_rows, m.seconds, m.status, m.sqlstate, m.message, m.hint, m.attempt",
    "failure_store", "m.partition_key::pg_catalog.text COLLATE pg_catalog.\"C\"", put_failure};

// The rows of one table; raises unless there are as many as the run made.
void put_rows(Export* ex, const RowKind* kind, int64 expected) {
    RowBatches rows = {};
    HeapTuple tuple;
    TupleDesc descriptor;
    int64 n = 0;
    MemoryContext row_context =
        AllocSetContextCreate(CurrentMemoryContext, "many_models export", ALLOCSET_DEFAULT_SIZES);
    rows_open(&rows,
              psprintf("SELECT %s FROM many_models.%s AS m WHERE m.storage "
                       "OPERATOR(pg_catalog.=) '" INT64_FORMAT
                       "'::pg_catalog.int8 AND m.run_id OPERATOR(pg_catalog.=) '" INT64_FORMAT
                       "'::pg_catalog.int8 ORDER BY %s",
                       kind->columns, kind->table, ex->run->storage, ex->run->run_id, kind->order));
    for (; rows_next(&rows, &tuple, &descriptor); ++n) {
        CHECK_FOR_INTERRUPTS();
        MemoryContext old = MemoryContextSwitchTo(row_context);
        kind->put(ex, tuple, descriptor);
        MemoryContextSwitchTo(old);
        MemoryContextReset(row_context);
    }
    rows_close(&rows);
    MemoryContextDelete(row_context);
    if (n == expected) return;
    ereport(ERROR,
            (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
             errmsg("version %d of model set \"%s\" cannot be exported: of " INT64_FORMAT
                    " %s, " INT64_FORMAT " are there",
                    ex->run->version, ex->run->model_set, expected, kind->what, n),
             errdetail("The role may not see all of them, or they were dropped after the snapshot "
                       "of this transaction was taken.")));
}

void describe_export_in_errors(void* argument) {
    const auto* ex = static_cast<const Export*>(argument);
    if (ex->model_id != 0) errcontext("model " INT64_FORMAT, ex->model_id);
}

void export_version(Export* ex) {
    ex->digest = digest_begin();
    put_header(ex);
    put_rows(ex, &kModels, ex->models);
    put_rows(ex, &kFailures, ex->failures);
    put_trailer(ex);
}

}  // namespace

}  // namespace many::transfer

extern "C" {

PG_FUNCTION_INFO_V1(many_export_models);

// export_models(model_set, version) -> setof (line, part)
Datum many_export_models(PG_FUNCTION_ARGS) {
    namespace transfer = many::transfer;
    transfer::Export ex = {};
    InitMaterializedSRF(fcinfo, 0);
    auto* result = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
    ex.rows = result->setResult;
    ex.descriptor = result->setDesc;
    const char* model_set = many::pg::required_text_argument(fcinfo, 0, "model_set");
    const int version = many::pg::version_argument(fcinfo, 1);
    if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
    many::registry::lock_models();
    PushActiveSnapshot(GetTransactionSnapshot());  // the statement's is older than the lock
    ex.run = many::registry::find_training_run(model_set, version);
    ErrorContextCallback context;
    context.callback = transfer::describe_export_in_errors;
    context.arg = &ex;
    context.previous = error_context_stack;
    error_context_stack = &context;
    transfer::export_version(&ex);
    error_context_stack = context.previous;
    PopActiveSnapshot();
    SPI_finish();
    return Datum(0);
}

}  // extern "C"
