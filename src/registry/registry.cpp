#include "pg/server.h"

#include "registry/registry.h"

#include "pg/settings.h"
#include "pg/source.h"

extern "C" {
#include "catalog/pg_extension.h"
#include "commands/sequence.h"
#include "storage/lmgr.h"
}

namespace many::registry {

namespace {

int64 assigned_run_id = 0;

Oid registry_relation(const char* name) {
    const Oid schema = get_namespace_oid("many_models", false);
    const Oid relation = get_relname_relid(name, schema);
    if (!OidIsValid(relation))
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
                        errmsg("the registry table many_models.%s is missing", name),
                        errhint("Reinstall the extension many_models.")));
    return relation;
}

char* column_string(int column) {
    return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column);
}

Datum column_datum(int column, bool* is_null) {
    return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, is_null);
}

char** column_strings(int column, int* n) {
    bool is_null = false;
    const Datum value = column_datum(column, &is_null);
    if (is_null) {
        *n = -1;
        return nullptr;
    }
    return pg::text_array_to_strings(DatumGetArrayTypeP(value), "array", n);
}

// "1, 2, 3", for the hint about versions.
char* version_list(const char* model_set) {
    Oid types[1] = {TEXTOID};
    Datum values[1] = {CStringGetTextDatum(model_set)};
    SPI_execute_with_args(
        "SELECT pg_catalog.string_agg(version::pg_catalog.text, ', ' ORDER BY version) "
        "FROM many_models.runs WHERE model_set OPERATOR(pg_catalog.=) $1 "
        "AND kind OPERATOR(pg_catalog.=) ANY (ARRAY['train', 'import'])",
        1, types, values, nullptr, true, 1);
    char* list = SPI_processed > 0 ? column_string(1) : nullptr;
    return list != nullptr ? list : pstrdup("none");
}

}  // namespace

Oid registry_owner() {
    HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(registry_relation("model_sets")));
    if (!HeapTupleIsValid(tuple)) elog(ERROR, "cache lookup failed for the registry");
    const Oid owner = ((Form_pg_class)GETSTRUCT(tuple))->relowner;
    ReleaseSysCache(tuple);
    return owner;
}

void hold_extension() {
    const Oid extension = get_extension_oid("many_models", false);
    LockDatabaseObject(ExtensionRelationId, extension, 0, AccessShareLock);
    (void)get_extension_oid("many_models", false);  // raises when it was dropped meanwhile
}

void enter_registry(RegistryRights* rights) {
    const Oid owner = registry_owner();
    GetUserIdAndSecContext(&rights->saved_user, &rights->saved_context);
    SetUserIdAndSecContext(owner, rights->saved_context | SECURITY_LOCAL_USERID_CHANGE);
    rights->guc_level = NewGUCNestLevel();
    pg::set_local("search_path", "pg_catalog, pg_temp");
}

void leave_registry(const RegistryRights* rights) {
    AtEOXact_GUC(true, rights->guc_level);
    SetUserIdAndSecContext(rights->saved_user, rights->saved_context);
}

ModelSet* find_model_set(const char* name, bool lock) {
    RegistryRights rights;
    Oid types[1] = {TEXTOID};
    Datum values[1] = {CStringGetTextDatum(name)};
    enter_registry(&rights);
    const int code = SPI_execute_with_args(
        lock ? "SELECT model_set, owner::oid, source, partition_by, target, features, algorithm, "
               "time_column, options::text, tags::text, latest_version "
               "FROM many_models.model_sets WHERE model_set = $1 FOR NO KEY UPDATE"
             : "SELECT model_set, owner::oid, source, partition_by, target, features, algorithm, "
               "time_column, options::text, tags::text, latest_version "
               "FROM many_models.model_sets WHERE model_set = $1",
        1, types, values, nullptr, !lock, 1);
    if (code != SPI_OK_SELECT) elog(ERROR, "could not read the registry: %d", code);
    ModelSet* set = nullptr;
    if (SPI_processed == 1) {
        bool is_null = false;
        set = (ModelSet*)palloc0(sizeof(ModelSet));
        set->name = column_string(1);
        set->owner = DatumGetObjectId(column_datum(2, &is_null));
        set->source = column_string(3);
        set->partition_by = column_strings(4, &set->n_keys);
        set->target = column_string(5);
        set->features = column_strings(6, &set->n_features);
        set->algorithm = column_string(7);
        set->time_column = column_string(8);
        set->options = column_string(9);
        set->tags = column_string(10);
        set->latest_version = DatumGetInt32(column_datum(11, &is_null));
    }
    leave_registry(&rights);
    return set;
}

void hold_model_set(const char* name) {
    RegistryRights rights;
    Oid types[1] = {TEXTOID};
    Datum values[1] = {CStringGetTextDatum(name)};
    enter_registry(&rights);
    const int code = SPI_execute_with_args(
        "SELECT FROM many_models.model_sets WHERE model_set = $1 FOR KEY SHARE", 1, types, values,
        nullptr, false, 1);
    if (code != SPI_OK_SELECT) elog(ERROR, "could not read the registry: %d", code);
    if (SPI_processed == 0)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                        errmsg("model set \"%s\" was dropped meanwhile", name)));
    leave_registry(&rights);
}

void require_set_owner(const ModelSet* set) {
    if (!has_privs_of_role(GetUserId(), set->owner))
        ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                        errmsg("must be owner of model set \"%s\"", set->name),
                        errhint("It belongs to role \"%s\"; choose another name.",
                                GetUserNameFromId(set->owner, true))));
}

const char* const kRunColumns =
    "run_id, model_set, version, storage, source, algorithm, partition_by, key_types, "
    "nullable_keys, features, feature_types, target, time_column, key_collations, details "
    "OPERATOR(pg_catalog.->>) 'time_type'";

TrainingRun* read_training_run(HeapTuple row, TupleDesc descriptor) {
    const auto string = [=](int column) { return SPI_getvalue(row, descriptor, column); };
    const auto strings = [=](int column, int* n) {
        bool is_null = false;
        const Datum value = SPI_getbinval(row, descriptor, column, &is_null);
        *n = 0;
        return is_null ? nullptr : pg::text_array_to_strings(DatumGetArrayTypeP(value), "array", n);
    };
    bool is_null = false;
    int n = 0;
    auto* run = (TrainingRun*)palloc0(sizeof(TrainingRun));
    run->run_id = DatumGetInt64(SPI_getbinval(row, descriptor, 1, &is_null));
    run->model_set = string(2);
    run->version = DatumGetInt32(SPI_getbinval(row, descriptor, 3, &is_null));
    run->storage = DatumGetInt64(SPI_getbinval(row, descriptor, 4, &is_null));
    run->source = string(5);
    run->algorithm = string(6);
    run->partition_by = strings(7, &run->n_keys);
    run->key_types = strings(8, &n);
    run->nullable_keys = (bool*)palloc0(sizeof(bool) * (Size)(run->n_keys + 1));
    const Datum nullable = SPI_getbinval(row, descriptor, 9, &is_null);
    if (!is_null && run->n_keys > 0) {
        Datum* elements;
        bool* nulls;
        deconstruct_array(DatumGetArrayTypeP(nullable), BOOLOID, 1, true, TYPALIGN_CHAR, &elements,
                          &nulls, &n);
        for (int i = 0; i < n && i < run->n_keys; i++)
            run->nullable_keys[i] = !nulls[i] && DatumGetBool(elements[i]);
    }
    run->key_collations = (Oid*)palloc0(sizeof(Oid) * (Size)(run->n_keys + 1));
    char** collations = strings(14, &n);
    for (int i = 0; i < n && i < run->n_keys; i++)
        if (collations[i][0] != '\0')
            run->key_collations[i] =
                get_collation_oid(pg::qualified_name_parts(collations[i]), false);
    run->features = strings(10, &run->n_features);
    run->feature_types = strings(11, &n);
    run->target = string(12);
    run->time_column = string(13);
    run->time_type = string(15);
    return run;
}

int64 new_run_id() {
    const int64 run_id = assigned_run_id;
    assigned_run_id = 0;
    return run_id != 0 ? run_id : nextval_internal(registry_relation("run_id_seq"), false);
}

void assign_run_id(int64 run_id) {
    assigned_run_id = run_id;
}

TrainingRun* find_training_run_if_any(const char* model_set, int version) {
    Oid types[2] = {TEXTOID, INT4OID};
    Datum values[2] = {CStringGetTextDatum(model_set), Int32GetDatum(version)};
    const int code = SPI_execute_with_args(
        psprintf("SELECT %s FROM many_models.runs "
                 "WHERE model_set OPERATOR(pg_catalog.=) $1 "
                 "AND kind OPERATOR(pg_catalog.=) ANY (ARRAY['train', 'import']) "
                 "AND ($2 OPERATOR(pg_catalog.=) 0 OR version OPERATOR(pg_catalog.=) $2) "
                 "ORDER BY version DESC LIMIT 1",
                 kRunColumns),
        2, types, values, nullptr, true, 1);
    if (code != SPI_OK_SELECT) elog(ERROR, "could not read the registry: %d", code);
    return SPI_processed == 0 ? nullptr
                              : read_training_run(SPI_tuptable->vals[0], SPI_tuptable->tupdesc);
}

namespace {

bool is_visible(const char* model_set) {
    Oid types[1] = {TEXTOID};
    Datum values[1] = {CStringGetTextDatum(model_set)};
    const int code = SPI_execute_with_args(
        "SELECT FROM many_models.model_sets WHERE model_set OPERATOR(pg_catalog.=) $1", 1, types,
        values, nullptr, true, 1);
    return code == SPI_OK_SELECT && SPI_processed > 0;
}

}  // namespace

TrainingRun* find_training_run(const char* model_set, int version) {
    TrainingRun* run = find_training_run_if_any(model_set, version);
    if (run != nullptr) return run;
    char* versions = version_list(model_set);
    if (strcmp(versions, "none") == 0 && is_visible(model_set))
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                        errmsg("model set \"%s\" has no version any more", model_set),
                        errhint("Train one with many_models.train_many_models.")));
    if (strcmp(versions, "none") == 0)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                        errmsg("model set \"%s\" does not exist", model_set),
                        errhint("Train it with many_models.train_many_models, or see "
                                "many_models.model_sets for the sets you may use.")));
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                    errmsg("model set \"%s\" has no version %d", model_set, version),
                    errhint("Versions there are: %s.", versions)));
    pg_unreachable();
}

// In the order in which a set is dropped, which takes them exclusively.
void lock_models() {
    LockRelationOid(registry_relation("production_store"), AccessShareLock);
    LockRelationOid(registry_relation("model_store"), AccessShareLock);
}

void announce_models_changed() {
    CacheInvalidateRelcacheByRelid(registry_relation("runs"));
}

}  // namespace many::registry
