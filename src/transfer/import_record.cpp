// The rows of an import in model_sets and runs: see import_record.h.
#include "transfer/import_record.h"

#include "pg/source.h"
#include "registry/access.h"
#include "registry/registry.h"

extern "C" {
#include "catalog/pg_collation.h"
}

namespace many::transfer {

namespace {

constexpr int kMaxColumns = 32;

// Parameters of a statement, in order.
struct Parameters {
    int n;
    Oid types[kMaxColumns];
    Datum values[kMaxColumns];
    char nulls[kMaxColumns];
};

void add(Parameters* p, Oid type, Datum value, bool is_null = false) {
    p->types[p->n] = type;
    p->values[p->n] = value;
    p->nulls[p->n++] = is_null ? 'n' : ' ';
}

void add_text(Parameters* p, const char* value) {
    add(p, TEXTOID, value == nullptr ? Datum(0) : CStringGetTextDatum(value), value == nullptr);
}

void add_texts(Parameters* p, char** values, int n) {
    add(p, TEXTARRAYOID, PointerGetDatum(pg::strings_to_text_array(values, n)), n < 0);
}

void write_registry(const char* statement, Parameters* p, int expected) {
    const int code =
        SPI_execute_with_args(statement, p->n, p->types, p->values, p->nulls, false, 0);
    if (code != expected || SPI_processed > 1)
        elog(ERROR, "could not write the registry: %d", code);
}

// $1: the set, $2 ... $9: its definition.
void add_definition(Parameters* p, const ImportRun* run) {
    const ImportHeader* h = run->header;
    add_text(p, run->model_set);
    add_text(p, h->source);
    add_text(p, h->target);
    add_texts(p, h->given_features, h->n_given_features);
    add_text(p, h->algorithm);
    add_text(p, h->time_column);
    add(p, JSONBOID, JsonbPGetDatum(h->options));
    add(p, JSONBOID, JsonbPGetDatum(h->tags));
}

void make_set(const ImportRun* run) {
    registry::RegistryRights rights;
    Parameters p = {};
    registry::enter_registry(&rights);
    add_definition(&p, run);
    add_texts(&p, run->header->partition_by, run->header->n_keys);
    add(&p, OIDOID, ObjectIdGetDatum(rights.saved_user));
    write_registry(
        "INSERT INTO many_models.model_sets (model_set, source, target, features, algorithm, "
        "time_column, options, tags, partition_by, owner) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (model_set) DO NOTHING",
        &p, SPI_OK_INSERT);
    if (SPI_processed > 0) registry::clear_grants(run->model_set);
    registry::leave_registry(&rights);
}

char** type_names(const ImportHeader* h, bool of_keys) {
    const int n = of_keys ? h->n_keys : h->n_features;
    char** names = static_cast<char**>(palloc(sizeof(char*) * (static_cast<Size>(n) + 1)));
    for (int i = 0; i < n; ++i)
        names[i] = format_type_extended(of_keys ? h->keys[i].type : h->feature_types[i], -1,
                                        FORMAT_TYPE_FORCE_QUALIFY);
    return names;
}

Datum bool_array(const bool* values, int n) {
    auto* elements = static_cast<Datum*>(palloc(sizeof(Datum) * (static_cast<Size>(n) + 1)));
    for (int i = 0; i < n; ++i) elements[i] = BoolGetDatum(values[i]);
    return PointerGetDatum(construct_array(elements, n, BOOLOID, 1, true, TYPALIGN_CHAR));
}

Datum interval_between(TimestampTz from, TimestampTz to) {
    auto* interval = static_cast<Interval*>(palloc0(sizeof(Interval)));
    interval->time = to - from;
    return IntervalPGetDatum(interval);
}

}  // namespace

void claim_set(ImportRun* run, const char* model_set) {
    const ImportHeader* h = run->header;
    if (model_set[0] == '\0')
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("model_set is empty")));
    if (static_cast<int>(strlen(model_set)) > registry::kMaxModelSetName)
        ereport(ERROR, (errcode(ERRCODE_NAME_TOO_LONG),
                        errmsg("model set name \"%s\" is too long", model_set),
                        errhint("At most %d bytes, so that \"<model_set>_predictions\" is a "
                                "table name.",
                                registry::kMaxModelSetName)));
    run->model_set = pstrdup(model_set);
    registry::ModelSet* set = registry::find_model_set(model_set, true);
    if (set == nullptr) {
        make_set(run);
        set = registry::find_model_set(model_set, true);
        if (set == nullptr) elog(ERROR, "model set \"%s\" vanished", model_set);
    }
    registry::require_set_owner(set);
    require_same_keys(h, model_set, set->partition_by, set->n_keys);
    run->version = set->latest_version + 1;
}

void record_import(const ImportRun* run, int64 lines) {
    const ImportHeader* h = run->header;
    registry::RegistryRights rights;
    Parameters p = {};
    add_definition(&p, run);  // $1 ... $8; the features as used are $15
    add(&p, INT8OID, Int64GetDatum(run->run_id));
    add(&p, INT4OID, Int32GetDatum(run->version));
    add(&p, OIDOID, ObjectIdGetDatum(GetUserId()));
    add(&p, TIMESTAMPTZOID, TimestampTzGetDatum(run->started));
    add(&p, TIMESTAMPTZOID, TimestampTzGetDatum(run->finished));
    add(&p, INTERVALOID, interval_between(run->started, run->finished));
    add_texts(&p, h->features, h->n_features);
    add(&p, INT8OID, Int64GetDatum(h->models));
    add(&p, INT8OID, Int64GetDatum(run->failed));
    add(&p, INT8OID, Int64GetDatum(run->skipped));
    add(&p, INT8OID, Int64GetDatum(lines));
    add_texts(&p, h->partition_by, h->n_keys);
    add_texts(&p, type_names(h, true), h->n_keys);
    add_texts(&p, h->key_collations, h->n_keys);
    add_texts(&p, type_names(h, false), h->n_features);
    add(&p, INT8OID, Int64GetDatum(run->storage));
    add(&p, BOOLARRAYOID, bool_array(run->nullable_keys, h->n_keys));
    add_text(&p, h->model_set);
    add(&p, INT4OID, Int32GetDatum(h->version));
    add_text(&p, run->sha256);
    add_text(&p, run->imported_from);
    add(&p, JSONBOID, JsonbPGetDatum(h->run));
    add_text(&p, PG_VERSION);
    add_text(&p, OidIsValid(h->time_type)
                     ? format_type_extended(h->time_type, -1, FORMAT_TYPE_FORCE_QUALIFY)
                     : "");
    registry::enter_registry(&rights);
    write_registry(
        "INSERT INTO many_models.runs (run_id, model_set, kind, version, status, run_by, "
        "started_at, finished_at, elapsed, groups, trained, failed, skipped, rows_read, "
        "rows_skipped, workers, algorithm, source, partition_by, key_types, key_collations, "
        "target, features, feature_types, time_column, options, tags, storage, nullable_keys, "
        "details, extension_version, server_version) "
        "SELECT $9, $1, 'import', $10, 'succeeded', $11, $12, $13, $14, $16 + $17 + $18, $16, $17, "
        "$18, $19, 0, 1, $5, $2, $20, $21, $22, $3, $15, $23, $6, $7, $8, $24, $25, "
        "jsonb_build_object('imported', jsonb_build_object('model_set', $26, 'version', $27, "
        "'sha256', $28, 'source', $29, 'run', $30)) || "
        "jsonb_strip_nulls(jsonb_build_object('time_type', nullif($32, ''))), e.extversion, $31 "
        "FROM pg_catalog.pg_extension AS e WHERE e.extname = 'many_models'",
        &p, SPI_OK_INSERT);
    Parameters set = {};
    add_definition(&set, run);
    add(&set, INT4OID, Int32GetDatum(run->version));
    add(&set, BOOLOID, BoolGetDatum(run->replace_definition));
    write_registry(
        "UPDATE many_models.model_sets SET latest_version = $9, "
        "source = CASE WHEN $10 THEN $2 ELSE source END, "
        "target = CASE WHEN $10 THEN $3 ELSE target END, "
        "features = CASE WHEN $10 THEN $4 ELSE features END, "
        "algorithm = CASE WHEN $10 THEN $5 ELSE algorithm END, "
        "time_column = CASE WHEN $10 THEN $6 ELSE time_column END, "
        "options = CASE WHEN $10 THEN $7 ELSE options END, "
        "tags = CASE WHEN $10 THEN $8 ELSE tags END WHERE model_set = $1",
        &set, SPI_OK_UPDATE);
    registry::leave_registry(&rights);
}

void require_distinct_groups(const ImportRun* run) {
    const ImportHeader* h = run->header;
    StringInfoData groups;
    initStringInfo(&groups);
    appendStringInfoString(&groups, "m.key_hash");
    bool canonical = true;
    for (int i = 0; i < h->n_keys; ++i) canonical = canonical && h->keys[i].text_is_canonical;
    // Equal keys have equal texts and hashes, where texts are canonical.
    if (canonical) appendStringInfoString(&groups, ", m.partition_key");
    for (int i = 0; i < h->n_keys && !canonical; ++i) {
        appendStringInfo(
            &groups, ", %s",
            registry::key_value_sql("m.partition_key", h->keys[i].name, h->keys[i].base_type));
        if (OidIsValid(h->keys[i].collation))
            appendStringInfo(&groups, " COLLATE %s", h->key_collations[i]);
    }
    const char* const rows = psprintf(
        "many_models.model_store AS m WHERE m.storage OPERATOR(pg_catalog.=) '" INT64_FORMAT
        "'::pg_catalog.int8 AND m.run_id OPERATOR(pg_catalog.=) '" INT64_FORMAT
        "'::pg_catalog.int8",
        run->storage, run->run_id);
    // Few hashes occur twice: only their keys are compared.
    const int code = SPI_execute(
        psprintf("SELECT pg_catalog.min(m.partition_key::pg_catalog.text) FROM %s AND m.key_hash "
                 "OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT m.key_hash FROM %s GROUP BY m.key_hash "
                 "HAVING pg_catalog.count(*) OPERATOR(pg_catalog.>) 1)) GROUP BY %s HAVING "
                 "pg_catalog.count(*) OPERATOR(pg_catalog.>) 1 LIMIT 1",
                 rows, rows, groups.data),
        false, 1);  // not read-only: with a snapshot that has the rows
    if (code != SPI_OK_SELECT) elog(ERROR, "could not read the models: %d", code);
    if (SPI_processed > 0)
        ereport(ERROR, (errcode(ERRCODE_UNIQUE_VIOLATION),
                        errmsg("the export has two models for the group %s",
                               SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1))));
}

Datum import_summary(FunctionCallInfo fcinfo, const ImportRun* run, int64 lines) {
    TupleDesc descriptor;
    if (get_call_result_type(fcinfo, nullptr, &descriptor) != TYPEFUNC_COMPOSITE)
        elog(ERROR, "run_summary expected");
    const int64 models = run->header->models;
    Datum values[11] = {
        Int64GetDatum(run->run_id),
        CStringGetTextDatum(run->model_set),
        Int32GetDatum(run->version),
        CStringGetTextDatum("succeeded"),
        Int64GetDatum(models + run->failed + run->skipped),
        Int64GetDatum(models),
        Int64GetDatum(run->failed),
        Int64GetDatum(run->skipped),
        Int64GetDatum(lines),
        Int32GetDatum(1),
        interval_between(run->started, run->finished),
    };
    bool nulls[11] = {};
    return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), values, nulls));
}

}  // namespace many::transfer
