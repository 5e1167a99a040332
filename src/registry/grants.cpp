// Grants and owners of model sets: what writes them. Only the owner of a set may, and a new owner
// must be a role that the caller is a member of, as for the server's own objects.
//
// A set's row is locked FOR KEY SHARE while it is granted: a training goes on, a drop waits or makes
// the grant fail, so that no grant is left over for a set of the same name that another role makes.
#include "registry/access.h"
#include "registry/key_text.h"
#include "registry/registry.h"

#include "pg/source.h"

extern "C" {
#include "tcop/utility.h"
}

namespace many::registry {

namespace {

struct GrantArguments {
    const ModelSet* set;
    Oid role;
    bool given[kPrivileges];
    Jsonb* keys;  // canonical array, or nullptr: all groups
};

// A statement as the registry's owner, in a snapshot of its own; the number of rows.
uint64 write(const char* query, int n, Oid* types, Datum* values, const char* nulls) {
    RegistryRights rights;
    enter_registry(&rights);
    const int code = SPI_execute_with_args(query, n, types, values, nulls, false, 0);
    if (code < 0) elog(ERROR, "could not write the registry: %d", code);
    leave_registry(&rights);
    return SPI_processed;
}

const char* role_name(Oid role) {
    const char* name = GetUserNameFromId(role, true);
    return name != nullptr ? name : psprintf("%u", role);
}

void require_role(Oid role) {
    if (GetUserNameFromId(role, true) == nullptr)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                        errmsg("role with OID %u does not exist", role)));
}

[[noreturn]] void raise_no_set(const char* name) {
    ereport(ERROR,
            (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("model set \"%s\" does not exist", name)));
    pg_unreachable();
}

// A set of the caller's, which is not dropped until the end of the transaction.
const ModelSet* owned_set(const char* name) {
    Oid types[1] = {TEXTOID};
    Datum values[1] = {CStringGetTextDatum(name)};
    auto* set = static_cast<ModelSet*>(palloc0(sizeof(ModelSet)));
    if (write("SELECT owner::oid FROM many_models.model_sets WHERE model_set = $1 FOR KEY SHARE", 1,
              types, values, nullptr) == 0)
        raise_no_set(name);
    bool is_null;
    set->name = name;
    set->owner =
        DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null));
    require_set_owner(set);
    return set;
}

// --- Keys ---------------------------------------------------------------------------------------

struct KeyColumns {
    int n;
    KeyColumn* columns;
};

KeyColumns key_columns(const ModelSet* set) {
    Oid types[1] = {TEXTOID};
    Datum values[1] = {CStringGetTextDatum(set->name)};
    if (write("SELECT FROM many_models.runs WHERE model_set = $1 AND kind IN ('train', 'import') "
              "LIMIT 1",
              1, types, values, nullptr) == 0)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("model set \"%s\" has no version", set->name),
                        errhint("Keys are read as values of its partition columns: train it "
                                "first.")));
    const TrainingRun* run = find_training_run(set->name, 0);
    KeyColumns keys = {run->n_keys, nullptr};
    keys.columns =
        static_cast<KeyColumn*>(palloc0(sizeof(KeyColumn) * (static_cast<Size>(run->n_keys) + 1)));
    for (int i = 0; i < run->n_keys; ++i)
        key_column_init(
            &keys.columns[i], run->partition_by[i],
            DatumGetObjectId(DirectFunctionCall1(regtypein, CStringGetDatum(run->key_types[i]))),
            run->key_collations[i]);
    return keys;
}

[[noreturn]] void raise_keys(const char* what) {
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid keys: %s", what),
                    errhint("Give an object with some of the partition columns, such as "
                            "{\"store\": 7}, or an array of such objects; NULL means all "
                            "groups.")));
    pg_unreachable();
}

// One key with its values as the partition keys have them: the date 2025-1-31 as "2025-01-31".
Jsonb* canonical_key(const KeyColumns* all, Jsonb* key) {
    if (!JB_ROOT_IS_OBJECT(key)) raise_keys("not an object");
    if (JB_ROOT_COUNT(key) == 0) raise_keys("an object without a column would name all groups");
    require_key_columns(all->columns, all->n, key);
    const Size size = static_cast<Size>(all->n) + 1;
    auto* columns = static_cast<KeyColumn*>(palloc(sizeof(KeyColumn) * size));
    auto* values = static_cast<Datum*>(palloc(sizeof(Datum) * size));
    auto* nulls = static_cast<bool*>(palloc(size));
    int n = 0;
    for (int i = 0; i < all->n; ++i) {
        JsonbValue space;
        if (getKeyJsonValueFromContainer(&key->root, all->columns[i].name,
                                         static_cast<int>(strlen(all->columns[i].name)),
                                         &space) != nullptr)
            columns[n++] = all->columns[i];
    }
    key_from_jsonb(columns, n, key, values, nulls);
    return key_to_jsonb(columns, n, values, nulls);
}

void push_key(JsonbParseState** state, const KeyColumns* columns, Jsonb* key) {
    JsonbValue value;
    JsonbToJsonbValue(canonical_key(columns, key), &value);
    (void)pushJsonbValue(state, WJB_ELEM, &value);
}

Jsonb* canonical_keys(const ModelSet* set, Jsonb* keys) {
    const KeyColumns columns = key_columns(set);
    JsonbParseState* state = nullptr;
    (void)pushJsonbValue(&state, WJB_BEGIN_ARRAY, nullptr);
    if (!JB_ROOT_IS_ARRAY(keys) || JB_ROOT_IS_SCALAR(keys)) {
        push_key(&state, &columns, keys);
    } else {
        if (JB_ROOT_COUNT(keys) == 0) raise_keys("an empty array names no group");
        for (uint32 i = 0; i < JB_ROOT_COUNT(keys); ++i)
            push_key(&state, &columns,
                     JsonbValueToJsonb(getIthJsonbValueFromContainer(&keys->root, i)));
    }
    return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, nullptr));
}

// --- Arguments ----------------------------------------------------------------------------------

void read_privilege(const char* text, GrantArguments* a) {
    if (pg_strcasecmp(text, "all") == 0) {
        for (bool& given : a->given) given = true;
        return;
    }
    a->given[static_cast<int>(privilege_from_text(text))] = true;
}

bool can_be_narrowed(int privilege) {
    return privilege == static_cast<int>(Privilege::read) ||
           privilege == static_cast<int>(Privilege::score);
}

// grant_model_set(model_set, role, privilege, keys) and revoke_model_set. Needs an SPI connection.
void read_arguments(FunctionCallInfo fcinfo, GrantArguments* a) {
    static const char* const names[] = {"model_set", "role", "privilege"};
    *a = GrantArguments{};
    for (int i = 0; i < 3; ++i)
        if (PG_ARGISNULL(i))
            ereport(ERROR,
                    (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s is NULL", names[i])));
    read_privilege(text_to_cstring(PG_GETARG_TEXT_PP(2)), a);
    a->role = PG_GETARG_OID(1);
    a->set = owned_set(text_to_cstring(PG_GETARG_TEXT_PP(0)));
    if (!PG_ARGISNULL(3)) a->keys = canonical_keys(a->set, PG_GETARG_JSONB_P(3));
}

// --- Granting and revoking ----------------------------------------------------------------------

void require_narrowable(const GrantArguments* a) {
    if (a->keys == nullptr) return;
    for (int i = 0; i < kPrivileges; ++i)
        if (a->given[i] && !can_be_narrowed(i))
            ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                            errmsg("%s cannot be narrowed to keys",
                                   privilege_name(static_cast<Privilege>(i))),
                            errdetail("It is about whole versions of a model set."),
                            errhint("Leave keys NULL, or grant read or score.")));
}

// Grants add up: keys to keys, and a grant of all groups stays one.
void add_grant(const GrantArguments* a, int privilege) {
    Oid types[5] = {TEXTOID, OIDOID, TEXTOID, JSONBOID, OIDOID};
    Datum values[5] = {CStringGetTextDatum(a->set->name), ObjectIdGetDatum(a->role),
                       CStringGetTextDatum(privilege_name(static_cast<Privilege>(privilege))),
                       a->keys == nullptr ? Datum(0) : JsonbPGetDatum(a->keys),
                       ObjectIdGetDatum(GetUserId())};
    const char nulls[6] = {' ', ' ', ' ', a->keys == nullptr ? 'n' : ' ', ' ', '\0'};
    (void)write(
        "INSERT INTO many_models.grant_store AS g (model_set, grantee, privilege, keys, "
        "granted_by) "
        "SELECT $1, $2, $3, (SELECT pg_catalog.jsonb_agg(DISTINCT k) FROM "
        "pg_catalog.jsonb_array_elements($4) AS k), $5 "
        "ON CONFLICT (model_set, grantee, privilege) DO UPDATE SET keys = "
        "CASE WHEN g.keys IS NOT NULL AND EXCLUDED.keys IS NOT NULL THEN "
        "(SELECT pg_catalog.jsonb_agg(DISTINCT k) FROM "
        "pg_catalog.jsonb_array_elements(g.keys || EXCLUDED.keys) AS k) END, "
        "granted_by = EXCLUDED.granted_by, granted_at = EXCLUDED.granted_at",
        5, types, values, nulls);
}

// Returns whether anything was there to take away.
bool remove_grant(const GrantArguments* a, int privilege) {
    Oid types[4] = {TEXTOID, OIDOID, TEXTOID, JSONBOID};
    Datum values[4] = {CStringGetTextDatum(a->set->name), ObjectIdGetDatum(a->role),
                       CStringGetTextDatum(privilege_name(static_cast<Privilege>(privilege))),
                       a->keys == nullptr ? Datum(0) : JsonbPGetDatum(a->keys)};
    if (a->keys == nullptr)
        return write(
                   "DELETE FROM many_models.grant_store WHERE model_set = $1 AND grantee = $2 "
                   "AND privilege = $3",
                   3, types, values, nullptr) > 0;
    if (write("SELECT FROM many_models.grant_store WHERE model_set = $1 AND grantee = $2 "
              "AND privilege = $3 AND keys IS NULL",
              3, types, values, nullptr) > 0)
        ereport(ERROR,
                (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                 errmsg("the grant of %s to role \"%s\" is not narrowed to keys",
                        privilege_name(static_cast<Privilege>(privilege)), role_name(a->role)),
                 errhint("Revoke it without keys, then grant the keys that remain.")));
    const uint64 changed = write(
        "UPDATE many_models.grant_store AS g SET keys = coalesce((SELECT pg_catalog.jsonb_agg(k) "
        "FROM pg_catalog.jsonb_array_elements(g.keys) AS k WHERE NOT k = ANY (SELECT "
        "pg_catalog.jsonb_array_elements($4))), '[]') WHERE model_set = $1 AND grantee = $2 AND "
        "privilege = $3 AND EXISTS (SELECT FROM pg_catalog.jsonb_array_elements(g.keys) AS k "
        "WHERE k = ANY (SELECT pg_catalog.jsonb_array_elements($4)))",
        4, types, values, nullptr);
    (void)write(
        "DELETE FROM many_models.grant_store WHERE model_set = $1 AND grantee = $2 "
        "AND privilege = $3 AND keys = '[]'",
        3, types, values, nullptr);
    return changed > 0;
}

// Every privilege includes read: taking read away alone changes nothing of what the role sees.
void warn_of_included_read(const GrantArguments* a) {
    if (!a->given[static_cast<int>(Privilege::read)]) return;
    Oid types[2] = {TEXTOID, OIDOID};
    Datum values[2] = {CStringGetTextDatum(a->set->name), ObjectIdGetDatum(a->role)};
    (void)write(
        "SELECT pg_catalog.string_agg(privilege, ', ' ORDER BY privilege) "
        "FROM many_models.grant_store WHERE model_set = $1 AND grantee = $2 AND privilege <> "
        "'read'",
        2, types, values, nullptr);
    const char* others = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
    if (others != nullptr)
        ereport(NOTICE, (errmsg("role \"%s\" still has %s on model set \"%s\", which includes read",
                                role_name(a->role), others, a->set->name)));
}

uint64 forget_dropped(const char* model_set) {
    Oid types[1] = {TEXTOID};
    Datum values[1] = {model_set == nullptr ? Datum(0) : CStringGetTextDatum(model_set)};
    return write(
        "DELETE FROM many_models.grant_store WHERE ($1 IS NULL OR model_set = $1) AND "
        "NOT EXISTS (SELECT FROM pg_catalog.pg_roles AS r WHERE r.oid = grantee)",
        1, types, values, model_set == nullptr ? "n" : " ");
}

void begin(const char* function) {
    PreventCommandDuringRecovery(function);
    PreventCommandIfReadOnly(function);
    hold_extension();
    if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
}

void finish() {
    announce_access_changed();
    SPI_finish();
}

}  // namespace

void clear_grants(const char* model_set) {
    Oid types[1] = {TEXTOID};
    Datum values[1] = {CStringGetTextDatum(model_set)};
    if (SPI_execute_with_args("DELETE FROM many_models.grant_store WHERE model_set = $1", 1, types,
                              values, nullptr, false, 0) != SPI_OK_DELETE)
        elog(ERROR, "could not write the registry");
    if (SPI_processed > 0) announce_access_changed();
}

}  // namespace many::registry

extern "C" {

PG_FUNCTION_INFO_V1(many_grant_model_set);
PG_FUNCTION_INFO_V1(many_revoke_model_set);
PG_FUNCTION_INFO_V1(many_alter_model_set_owner);
PG_FUNCTION_INFO_V1(many_forget_dropped_roles);

Datum many_grant_model_set(PG_FUNCTION_ARGS) {
    namespace registry = many::registry;
    registry::GrantArguments arguments;
    registry::begin("grant_model_set()");
    registry::read_arguments(fcinfo, &arguments);
    registry::require_role(arguments.role);
    registry::require_narrowable(&arguments);
    (void)registry::forget_dropped(arguments.set->name);
    for (int i = 0; i < registry::kPrivileges; ++i)
        if (arguments.given[i]) registry::add_grant(&arguments, i);
    registry::finish();
    PG_RETURN_VOID();
}

Datum many_revoke_model_set(PG_FUNCTION_ARGS) {
    namespace registry = many::registry;
    registry::GrantArguments arguments;
    registry::begin("revoke_model_set()");
    registry::read_arguments(fcinfo, &arguments);
    bool removed = false;
    for (int i = 0; i < registry::kPrivileges; ++i)
        if (arguments.given[i]) removed |= registry::remove_grant(&arguments, i);
    if (removed)
        registry::warn_of_included_read(&arguments);
    else
        ereport(WARNING, (errcode(ERRCODE_WARNING_PRIVILEGE_NOT_REVOKED),
                          errmsg("role \"%s\" had no such grant on model set \"%s\"",
                                 registry::role_name(arguments.role), arguments.set->name)));
    (void)registry::forget_dropped(arguments.set->name);
    registry::finish();
    PG_RETURN_VOID();
}

// alter_model_set_owner(model_set, role)
Datum many_alter_model_set_owner(PG_FUNCTION_ARGS) {
    namespace registry = many::registry;
    registry::begin("alter_model_set_owner()");
    const char* name = text_to_cstring(PG_GETARG_TEXT_PP(0));
    const registry::ModelSet* set = registry::find_model_set(name, true);
    if (set == nullptr) registry::raise_no_set(name);
    registry::require_set_owner(set);
    const Oid role = PG_GETARG_OID(1);
    registry::require_role(role);
    many::pg::require_member(GetUserId(), role);
    Oid types[2] = {TEXTOID, OIDOID};
    Datum values[2] = {CStringGetTextDatum(set->name), ObjectIdGetDatum(role)};
    (void)registry::write("UPDATE many_models.model_sets SET owner = $2 WHERE model_set = $1", 2,
                          types, values, nullptr);
    registry::finish();
    PG_RETURN_VOID();
}

Datum many_forget_dropped_roles(PG_FUNCTION_ARGS) {
    namespace registry = many::registry;
    (void)fcinfo;
    registry::begin("forget_dropped_roles()");
    const auto forgotten = static_cast<int64>(registry::forget_dropped(nullptr));
    registry::finish();
    PG_RETURN_INT64(forgotten);
}

}  // extern "C"
