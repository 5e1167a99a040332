// What a run leaves in the registry: its row in runs, and of a training the set's definition and
// version. See train.h.
#include "pg/server.h"

#include "engine/train.h"

#include "engine/append.h"
#include "engine/run_resources.h"
#include "pg/source.h"
#include "registry/notify.h"

namespace many::engine {

namespace {

ArrayType* type_names(const Oid* types, int n) {
    char** names = (char**)palloc(sizeof(char*) * (Size)(n + 1));
    for (int i = 0; i < n; i++)
        names[i] = format_type_extended(types[i], -1, FORMAT_TYPE_FORCE_QUALIFY);
    return pg::strings_to_text_array(names, n);
}

// Qualified names; empty where a type has no collation.
ArrayType* collation_names(const KeySpec* keys, int n) {
    char** names = (char**)palloc(sizeof(char*) * (Size)(n + 1));
    for (int i = 0; i < n; i++) {
        names[i] = pstrdup("");
        if (!OidIsValid(keys[i].collation)) continue;
        HeapTuple tuple = SearchSysCache1(COLLOID, ObjectIdGetDatum(keys[i].collation));
        if (!HeapTupleIsValid(tuple)) continue;
        auto* form = (Form_pg_collation)GETSTRUCT(tuple);
        names[i] = quote_qualified_identifier(get_namespace_name(form->collnamespace),
                                              NameStr(form->collname));
        ReleaseSysCache(tuple);
    }
    return pg::strings_to_text_array(names, n);
}

// Up to where the run has read, if its version can be continued from there (append.h).
void append_last_time(const Run* run, StringInfo json) {
    RunSpec* spec = run->plan->spec;
    const RowsAtTime last = run->segment->last;
    if (!run->segment->keeps_sums() || run->fixed_buckets > 0 || last.time == PG_INT64_MIN) return;
    const int guc_level = NewGUCNestLevel();
    set_text_formats();
    appendStringInfo(json,
                     ", \"last_time\": \"%s\", \"last_rows\": " UINT64_FORMAT
                     ", \"last_checksum\": \"" UINT64_FORMAT "\"",
                     time_text(spec, last.time), last.n, last.checksum);
    AtEOXact_GUC(true, guc_level);
}

Datum run_details(const Run* run) {
    const RunSegment* segment = run->segment;
    StringInfoData json;
    initStringInfo(&json);
    auto* mutable_segment = (RunSegment*)segment;
    // Whether every group was compared with this production, and no other.
    const bool all = !run->is_partial && !run->carries && run->fixed_buckets == 0;
    appendStringInfo(&json,
                     "{\"exchange\": \"%s\", \"scan_seconds\": %.6f, \"fit_seconds\": %.6f, "
                     "\"collect_seconds\": %.6f, \"exchanged_bytes\": " UINT64_FORMAT
                     ", \"peak_group_bytes\": " UINT64_FORMAT
                     ", \"buckets\": %d, "
                     "\"rescans\": %u, \"production\": " INT64_FORMAT "%s",
                     run->plan->spec->exchange == Exchange::statistics ? "statistics" : "rows",
                     run->scan_seconds, run->fit.fit_seconds, run->fit.collect_seconds,
                     pg_atomic_read_u64(&mutable_segment->bytes_exchanged),
                     pg_atomic_read_u64(&mutable_segment->peak_bytes), segment->n_buckets,
                     pg_atomic_read_u32(&mutable_segment->rescans), all ? segment->promotion_id : 0,
                     run->more_details != nullptr ? run->more_details : "");
    if (run->plan->spec->has_time)
        appendStringInfo(
            &json, ", \"time_type\": \"%s\"",
            format_type_extended(run->plan->spec->time_type, -1, FORMAT_TYPE_FORCE_QUALIFY));
    append_last_time(run, &json);
    appendStringInfoString(&json, ", ");
    const pg::Resources used = run_resources(mutable_segment, &run->before);
    pg::append_resources(&json, &used);
    appendStringInfoChar(&json, '}');
    return DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data));
}

Datum interval_between(TimestampTz from, TimestampTz to) {
    auto* interval = (Interval*)palloc0(sizeof(Interval));
    interval->time = to - from;
    return IntervalPGetDatum(interval);
}

void notify_finished(const Run* run, const Collected* c) {
    registry::RunEvent event = {};
    event.model_set = run->plan->arguments.model_set;
    event.kind = "train";
    event.run_id = run->segment->run_id;
    event.version = run->version;
    event.groups = event.failed_of = c->trained + c->failed + c->skipped;
    event.rows = (int64)pg_atomic_read_u64(&run->segment->rows_read);
    event.failed = c->failed;
    registry::notify_run(&event);
}

}  // namespace

Datum bool_array(const bool* values, int n) {
    auto* elements = (Datum*)palloc(sizeof(Datum) * (Size)(n + 1));
    for (int i = 0; i < n; i++) elements[i] = BoolGetDatum(values[i]);
    return PointerGetDatum(construct_array(elements, n, BOOLOID, 1, true, TYPALIGN_CHAR));
}

void insert_run(const Run* run, const char* kind, const char* into_table,
                const Collected* collected, TimestampTz finished) {
    const TrainArguments* a = &run->plan->arguments;
    auto* segment = run->segment;
    registry::RegistryRights rights;
    constexpr int kColumns = 31;
    Oid types[kColumns] = {INT8OID,        TEXTOID,      INT4OID,      OIDOID,       TIMESTAMPTZOID,
                           TIMESTAMPTZOID, INTERVALOID,  INT8OID,      INT8OID,      INT8OID,
                           INT8OID,        INT8OID,      INT8OID,      INT4OID,      TEXTOID,
                           TEXTOID,        TEXTARRAYOID, TEXTARRAYOID, TEXTOID,      TEXTARRAYOID,
                           TEXTARRAYOID,   TEXTOID,      JSONBOID,     JSONBOID,     INT8OID,
                           BOOLARRAYOID,   JSONBOID,     TEXTOID,      TEXTARRAYOID, TEXTOID,
                           TEXTOID};
    Datum v[kColumns];
    char nulls[kColumns + 1];
    memset(nulls, ' ', kColumns);
    nulls[kColumns] = '\0';
    int i = 0;
    v[i++] = Int64GetDatum(segment->run_id);
    v[i++] = CStringGetTextDatum(a->model_set);
    if (run->version == 0) nulls[i] = 'n';
    v[i++] = Int32GetDatum(run->version);
    v[i++] = ObjectIdGetDatum(GetUserId());
    v[i++] = TimestampTzGetDatum(segment->started_at);
    v[i++] = TimestampTzGetDatum(finished);
    v[i++] = interval_between(segment->started_at, finished);
    v[i++] = Int64GetDatum(collected->trained + collected->failed + collected->skipped);
    v[i++] = Int64GetDatum(collected->trained);
    v[i++] = Int64GetDatum(collected->failed);
    v[i++] = Int64GetDatum(collected->skipped);
    v[i++] = Int64GetDatum((int64)pg_atomic_read_u64(&segment->rows_read));
    v[i++] = Int64GetDatum((int64)pg_atomic_read_u64(&segment->rows_skipped));
    v[i++] = Int32GetDatum(run->fit.processes);
    v[i++] = CStringGetTextDatum(a->algorithm);
    v[i++] = CStringGetTextDatum(a->source);
    v[i++] = PointerGetDatum(pg::strings_to_text_array(a->partition_by, a->n_keys));
    v[i++] = PointerGetDatum(type_names(run->plan->key_types, a->n_keys));
    v[i++] = CStringGetTextDatum(a->target);
    v[i++] = PointerGetDatum(pg::strings_to_text_array(run->plan->features, run->plan->n_features));
    v[i++] = PointerGetDatum(type_names(run->plan->feature_types, run->plan->n_features));
    if (a->time_column == nullptr) nulls[i] = 'n';
    v[i++] = a->time_column == nullptr ? (Datum)0 : CStringGetTextDatum(a->time_column);
    v[i++] = JsonbPGetDatum(a->options);
    v[i++] = JsonbPGetDatum(a->tags);
    v[i++] = Int64GetDatum(collected->storage);
    if (collected->nullable_keys == nullptr) nulls[i] = 'n';
    v[i++] = collected->nullable_keys == nullptr ? (Datum)0
                                                 : bool_array(collected->nullable_keys, a->n_keys);
    v[i++] = run_details(run);
    v[i++] = CStringGetTextDatum(PG_VERSION);
    v[i++] = PointerGetDatum(collation_names(run->plan->spec->keys(), a->n_keys));
    v[i++] = CStringGetTextDatum(kind);
    if (into_table == nullptr) nulls[i] = 'n';
    v[i++] = into_table == nullptr ? (Datum)0 : CStringGetTextDatum(into_table);
    registry::enter_registry(&rights);
    const int code = SPI_execute_with_args(
        "INSERT INTO many_models.runs (run_id, model_set, version, status, run_by, "
        "started_at, finished_at, elapsed, groups, trained, failed, skipped, rows_read, "
        "rows_skipped, workers, algorithm, source, partition_by, key_types, target, features, "
        "feature_types, time_column, options, tags, storage, nullable_keys, details, "
        "extension_version, server_version, key_collations, kind, into_table) "
        "SELECT $1, $2, $3, 'succeeded', $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, "
        "$15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, e.extversion, $28, $29, "
        "$30, $31 FROM pg_catalog.pg_extension AS e WHERE e.extname = 'many_models'",
        kColumns, types, v, nulls, false, 0);
    if (code != SPI_OK_INSERT || SPI_processed != 1)
        elog(ERROR, "could not write the registry: %d", code);
    registry::leave_registry(&rights);
}

void record_run(const Run* run, const Collected* collected, TimestampTz finished) {
    const TrainArguments* a = &run->plan->arguments;
    registry::RegistryRights rights;
    insert_run(run, "train", nullptr, collected, finished);
    Oid types[9] = {TEXTOID, INT4OID, TEXTOID,  TEXTOID, TEXTARRAYOID,
                    TEXTOID, TEXTOID, JSONBOID, JSONBOID};
    Datum v[9] = {
        CStringGetTextDatum(a->model_set),
        Int32GetDatum(run->version),
        CStringGetTextDatum(a->source),
        CStringGetTextDatum(a->target),
        PointerGetDatum(pg::strings_to_text_array(run->plan->features, run->plan->n_features)),
        CStringGetTextDatum(a->algorithm),
        a->time_column == nullptr ? (Datum)0 : CStringGetTextDatum(a->time_column),
        JsonbPGetDatum(a->options),
        JsonbPGetDatum(a->tags)};
    char nulls[10] = "         ";
    if (!run->plan->features_given) nulls[4] = 'n';
    if (a->time_column == nullptr) nulls[6] = 'n';
    registry::enter_registry(&rights);
    const int code = SPI_execute_with_args(
        "UPDATE many_models.model_sets SET latest_version = $2, source = $3, target = $4, "
        "features = $5, algorithm = $6, time_column = $7, options = $8, tags = $9 "
        "WHERE model_set = $1",
        9, types, v, nulls, false, 0);
    if (code != SPI_OK_UPDATE || SPI_processed != 1)
        elog(ERROR, "could not write the registry: %d", code);
    registry::leave_registry(&rights);
    notify_finished(run, collected);
}

Datum run_summary(FunctionCallInfo fcinfo, const Run* run, const Collected* collected,
                  TimestampTz finished) {
    TupleDesc descriptor;
    Datum values[11];
    bool nulls[11] = {false};
    if (get_call_result_type(fcinfo, nullptr, &descriptor) != TYPEFUNC_COMPOSITE)
        elog(ERROR, "run_summary expected");
    values[0] = Int64GetDatum(run->segment->run_id);
    values[1] = CStringGetTextDatum(run->plan->arguments.model_set);
    values[2] = Int32GetDatum(run->version);
    nulls[2] = run->version == 0;
    values[3] = CStringGetTextDatum("succeeded");
    values[4] = Int64GetDatum(collected->trained + collected->failed + collected->skipped);
    values[5] = Int64GetDatum(collected->trained);
    values[6] = Int64GetDatum(collected->failed);
    values[7] = Int64GetDatum(collected->skipped);
    values[8] = Int64GetDatum((int64)pg_atomic_read_u64(&run->segment->rows_read));
    values[9] = Int32GetDatum(run->fit.processes);
    values[10] = interval_between(run->segment->started_at, finished);
    return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), values, nulls));
}

}  // namespace many::engine
