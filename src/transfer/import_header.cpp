// The header of an export: see import_header.h. Nothing in it is trusted.
#include "transfer/import_header.h"

#include "core/numeric/moments.h"
#include "engine/run_segment.h"
#include "engine/train_options.h"
#include "pg/feature_reader.h"
#include "pg/source.h"
#include "registry/registry.h"
#include "transfer/export_format.h"

extern "C" {
#include "mb/pg_wchar.h"
}

namespace many::transfer {

namespace {

constexpr int kMaxText = 64 * 1024 * 1024;  // of a source
constexpr int kMaxTypeName = 4 * NAMEDATALEN;
constexpr int kMaxName = NAMEDATALEN - 1;

void require_format(const char* part, Size length) {
    const Size n = sizeof kHeaderStart - 1;
    if (length <= n + 1 || strncmp(part, kHeaderStart, n) != 0)
        ereport(ERROR, (errcode(ERRCODE_BAD_COPY_FILE_FORMAT),
                        errmsg("the source is not an export of a model set"),
                        errdetail("Its line 1 is not the header that export_models writes."),
                        errhint("Copy what many_models.export_models returns into a table (line "
                                "bigint, part text) and give its name.")));
    const char* digits = pnstrdup(part + n, length - n < 10 ? length - n : 10);
    const int version = atoi(digits);
    if (version != kFormatVersion)
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("the export has format version %d, this release reads version %d",
                               version, kFormatVersion),
                        errhint("Import it with the release of many_models that wrote it, or "
                                "export it again with this one.")));
}

Oid type_by_name(const char* name, const char* role, const char* column) {
    const Oid type = pg::find_type(name);
    if (!OidIsValid(type))
        ereport(ERROR,
                (errcode(ERRCODE_UNDEFINED_OBJECT),
                 errmsg("type %s of %s \"%s\" does not exist in this database", name, role, column),
                 errhint("Create it before the import.")));
    if (get_typtype(type) == TYPTYPE_PSEUDO)
        ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                        errmsg("%s \"%s\" cannot have type %s", role, column, name)));
    return type;
}

Oid collation_by_name(const char* name, const char* column) {
    if (name[0] == '\0') return InvalidOid;
    const Oid collation = get_collation_oid(pg::qualified_name_parts(name), true);
    if (!OidIsValid(collation))
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                        errmsg("collation %s of partition column \"%s\" does not exist in this "
                               "database",
                               name, column),
                        errhint("Create it before the import.")));
    return collation;
}

bool listed(char** names, int n, const char* name) {
    for (int i = 0; i < n; ++i)
        if (strcmp(names[i], name) == 0) return true;
    return false;
}

void require_distinct(char** names, int n, const char* member) {
    for (int i = 0; i < n; ++i)
        if (listed(names, i, names[i])) raise_member(member);
}

void read_definition(ImportHeader* h, Jsonb* json) {
    h->source = string_member(json, "source", kMaxText, false);
    h->partition_by = strings_member(json, "partition_by", kMaxName, false, false, &h->n_keys);
    h->target = string_member(json, "target", kMaxName, false);
    h->given_features =
        strings_member(json, "features", kMaxName, false, true, &h->n_given_features);
    h->algorithm = string_member(json, "algorithm", kMaxName, false);
    h->time_column = string_member(json, "time_column", kMaxName, true);
    h->options = object_member(json, "options");
    h->tags = object_member(json, "tags");
    if (h->source[0] == '\0') raise_member("source");
    if (h->target[0] == '\0') raise_member("target");
    if (h->n_keys > engine::kMaxKeys) raise_member("partition_by");
    require_distinct(h->partition_by, h->n_keys, "partition_by");
    require_distinct(h->given_features, h->n_given_features, "features");
    // An unknown algorithm or option is the caller's 22023, with what this release knows as hint.
    const engine::RunOptions* options = engine::parse_run_options(h->algorithm, h->options);
    h->algorithm_code = options->learner.algorithm;
    h->forecasts = options->forecasts;
    h->method = options->forecast.spec.method.method;
    if (h->forecasts && h->time_column == nullptr) raise_member("time_column");
}

void read_keys(ImportHeader* h, Jsonb* json) {
    int n_types = 0;
    int n_collations = 0;
    char** types = strings_member(json, "key_types", kMaxTypeName, false, false, &n_types);
    h->key_collations =
        strings_member(json, "key_collations", kMaxTypeName, true, false, &n_collations);
    if (n_types != h->n_keys) raise_member("key_types");
    if (n_collations != h->n_keys) raise_member("key_collations");
    h->keys = static_cast<registry::KeyColumn*>(
        palloc0(sizeof(registry::KeyColumn) * (static_cast<Size>(h->n_keys) + 1)));
    for (int i = 0; i < h->n_keys; ++i) {
        const char* column = h->partition_by[i];
        registry::key_column_init(&h->keys[i], column,
                                  type_by_name(types[i], "partition column", column),
                                  collation_by_name(h->key_collations[i], column));
    }
}

// Of forecasters: what forecasts are dated by.
void read_time_type(ImportHeader* h, Jsonb* json) {
    if (!h->forecasts) return;
    h->time_type = type_by_name(string_member(json, "time_type", kMaxTypeName, false),
                                "time column", h->time_column);
    if (pg::time_type_of(h->time_type) == core::TimeType::integer && h->time_type != INT2OID &&
        h->time_type != INT4OID && h->time_type != INT8OID)
        raise_member("time_type");
}

void read_features(ImportHeader* h, Jsonb* json) {
    int n_types = 0;
    h->features = strings_member(json, "features", kMaxName, false, false, &h->n_features);
    char** types = strings_member(json, "feature_types", kMaxTypeName, false, false, &n_types);
    if (h->n_features < (h->forecasts ? 0 : 1) || h->n_features >= core::MomentLayout::kMaxColumns)
        raise_member("features");
    if (n_types != h->n_features) raise_member("feature_types");
    require_distinct(h->features, h->n_features, "features");
    const Size n = static_cast<Size>(h->n_features);
    h->feature_types = static_cast<Oid*>(palloc(sizeof(Oid) * n));
    h->categorical = static_cast<bool*>(palloc0(n));
    for (int i = 0; i < h->n_features; ++i) {
        pg::FeatureReader reader;
        if (listed(h->partition_by, h->n_keys, h->features[i]) ||
            strcmp(h->features[i], h->target) == 0)
            raise_member("features");
        h->feature_types[i] = type_by_name(types[i], "feature", h->features[i]);
        if (!pg::feature_reader_init(&reader, h->feature_types[i])) raise_member("feature_types");
        h->categorical[i] = reader.kind == pg::FeatureKind::level;
    }
}

// Levels are bytes of the models, in the encoding of the database that trained them.
void require_encoding(const ImportHeader* h, const char* encoding) {
    bool levels = false;
    for (int i = 0; i < h->n_features; ++i) levels = levels || h->categorical[i];
    if (!levels || strcmp(encoding, GetDatabaseEncodingName()) == 0) return;
    ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                    errmsg("models with categorical features cannot move from encoding %s to %s",
                           encoding, GetDatabaseEncodingName()),
                    errhint("Train them in a database of this encoding.")));
}

}  // namespace

ImportHeader* read_header(const char* part, Size length) {
    require_format(part, length);
    Jsonb* json = read_part(1, part, length);
    auto* h = static_cast<ImportHeader*>(palloc0(sizeof(ImportHeader)));
    h->model_set = string_member(json, "model_set", registry::kMaxModelSetName, false);
    h->version = static_cast<int32>(int_member(json, "version", 1, PG_INT32_MAX));
    h->models = int_member(json, "models", 0, PG_INT64_MAX / 4);
    h->failures = int_member(json, "failures", 0, PG_INT64_MAX / 4);
    if (h->model_set[0] == '\0') raise_member("model_set");
    read_definition(h, object_member(json, "definition"));
    Jsonb* columns = object_member(json, "columns");
    read_time_type(h, columns);
    read_keys(h, columns);
    read_features(h, columns);
    require_encoding(h, string_member(json, "encoding", kMaxName, false));
    h->run = object_member(json, "run");
    return h;
}

namespace {

[[noreturn]] void raise_keys(const char* model_set, const char* detail) {
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("model set \"%s\" has another partition key than the export", model_set),
                    errdetail("%s", detail),
                    errhint("Import under another name, with the argument model_set.")));
    pg_unreachable();
}

char* name_list(char** names, int n) {
    StringInfoData list;
    initStringInfo(&list);
    for (int i = 0; i < n; ++i)
        appendStringInfo(&list, "%s%s", i > 0 ? ", " : "", quote_identifier(names[i]));
    return list.data;
}

}  // namespace

void require_same_keys(const ImportHeader* h, const char* model_set, char** partition_by,
                       int n_keys) {
    bool same = n_keys == h->n_keys;
    for (int i = 0; i < n_keys && same; ++i)
        same = strcmp(partition_by[i], h->partition_by[i]) == 0;
    if (!same)
        raise_keys(model_set, psprintf("The set is partitioned by (%s), the export by (%s).",
                                       name_list(partition_by, n_keys),
                                       name_list(h->partition_by, h->n_keys)));
    Oid types[] = {TEXTOID};
    Datum values[] = {CStringGetTextDatum(model_set)};
    if (SPI_execute_with_args(
            "SELECT pg_catalog.to_regtype(t.name)::pg_catalog.oid, t.name FROM (SELECT r.key_types "
            "FROM many_models.runs AS r WHERE r.model_set OPERATOR(pg_catalog.=) $1 AND r.kind "
            "OPERATOR(pg_catalog.=) ANY (ARRAY['train', 'import']) ORDER BY r.version DESC LIMIT "
            "1) AS r, LATERAL pg_catalog.unnest(r.key_types) WITH ORDINALITY AS t (name, i) "
            "ORDER BY t.i",
            1, types, values, nullptr, true, 0) != SPI_OK_SELECT)
        elog(ERROR, "could not read the registry");
    for (uint64 i = 0; i < SPI_processed && i < static_cast<uint64>(n_keys); ++i) {
        bool is_null = false;
        const Oid type = DatumGetObjectId(
            SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &is_null));
        if (!is_null && getBaseType(type) == h->keys[i].base_type) continue;
        raise_keys(
            model_set,
            psprintf("Column \"%s\" has type %s in the set, %s in the export.", partition_by[i],
                     SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2),
                     format_type_be(h->keys[i].type)));
    }
}

}  // namespace many::transfer
