// What roles may do with model sets, and the session's memory of it: see access.h.
#include "registry/access.h"

#include "pg/source.h"
#include "registry/key_filter.h"
#include "registry/key_text.h"

#include <cstring>

namespace many::registry {

namespace {

const char* const kNames[kPrivileges] = {"read", "score", "train", "promote"};
const char* const kDeeds[kPrivileges] = {"read", "score with", "train", "promote models of"};
constexpr uint8 kAll = (1 << kPrivileges) - 1;
constexpr long kMaxEntries = 100000;  // of the session's memory

uint8 bit(Privilege privilege) {
    return static_cast<uint8>(1 << static_cast<int>(privilege));
}

// A privilege and the read that it includes.
uint8 with_read(Privilege privilege) {
    return bit(privilege) | bit(Privilege::read);
}

// A set: the name alone would take one that was dropped for another that was made since.
struct AccessKey {
    int64 created_at;
    Oid user;
    char model_set[NAMEDATALEN];
};

// What a role may do with a set.
struct Access {
    AccessKey key;      // first
    uint8 whole;        // privileges on all groups
    uint8 some;         // those, and those on some groups
    KeyFilter* filter;  // which groups
};

// How it is found: by the set's name, or by the id of one of its runs.
struct HandleKey {
    int64 run_id;  // 0: by name
    Oid user;
    char model_set[NAMEDATALEN];
};

struct Handle {
    HandleKey key;  // first
    const Access* access;
};

struct Memory {
    MemoryContext context;
    HTAB* sets;
    HTAB* handles;
    uint64 generation;  // of what is kept; pointers to it hold that long
    bool stale;         // an invalidation came
    bool this_transaction_only;
    LocalTransactionId transaction;
    Oid watched[3];
};
Memory memory;

const Access kNothing = {};

// --- What is kept, and for how long ------------------------------------------------------------

void on_relation_change(Datum, Oid relation) {
    if (!OidIsValid(relation)) memory.stale = true;
    for (const Oid watched : memory.watched)
        if (relation == watched) memory.stale = true;
}

void on_role_change(Datum, int, uint32) {
    memory.stale = true;
}

HTAB* create_table(const char* name, Size key_size, Size entry_size) {
    HASHCTL control = {};
    control.keysize = key_size;
    control.entrysize = entry_size;
    control.hcxt = memory.context;
    return hash_create(name, 16, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

void forget() {
    static const char* const names[] = {"grant_store", "model_sets", "runs"};
    const Oid schema = get_namespace_oid("many_models", false);
    MemoryContextReset(memory.context);
    memory.sets = memory.handles = nullptr;
    ++memory.generation;
    for (int i = 0; i < 3; ++i) memory.watched[i] = get_relname_relid(names[i], schema);
    memory.sets = create_table("many_models access", sizeof(AccessKey), sizeof(Access));
    memory.handles = create_table("many_models handles", sizeof(HandleKey), sizeof(Handle));
    memory.stale = memory.this_transaction_only = false;
}

bool is_current() {
    return memory.handles != nullptr && !memory.stale &&
           !(memory.this_transaction_only && memory.transaction != pg::local_transaction());
}

// Before anything is looked up: what other sessions committed is heard of here at the latest.
void refresh() {
    static bool registered = false;
    if (!registered) {
        memory.context =
            AllocSetContextCreate(CacheMemoryContext, "many_models access", ALLOCSET_DEFAULT_SIZES);
        CacheRegisterRelcacheCallback(on_relation_change, Datum(0));
        CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, on_role_change, Datum(0));
        CacheRegisterSyscacheCallback(AUTHOID, on_role_change, Datum(0));
        registered = true;
    }
    AcceptInvalidationMessages();
    if (!is_current() || hash_get_num_entries(memory.handles) > kMaxEntries) forget();
}

// With a snapshot newer than every message heard, where that is allowed.
bool push_fresh_snapshot() {
    if (IsInParallelMode()) {
        memory.this_transaction_only = true;
        memory.transaction = pg::local_transaction();
        return false;
    }
    PushActiveSnapshot(GetLatestSnapshot());
    return true;
}

// --- Reading ------------------------------------------------------------------------------------

SPIPlanPtr kept_plan(SPIPlanPtr* plan, const char* query, Oid type) {
    if (*plan != nullptr) return *plan;
    SPIPlanPtr prepared = SPI_prepare(query, 1, &type);
    if (prepared == nullptr) elog(ERROR, "could not plan the reading of grants: %d", SPI_result);
    SPI_keepplan(prepared);
    *plan = prepared;
    return prepared;
}

// Rows of a query of ours, read as the registry's owner.
void read_registry(SPIPlanPtr* plan, const char* query, Oid type, Datum parameter) {
    RegistryRights rights;
    enter_registry(&rights);
    const bool fresh = push_fresh_snapshot();
    const int code = SPI_execute_plan(kept_plan(plan, query, type), &parameter, nullptr, true, 0);
    if (code != SPI_OK_SELECT) elog(ERROR, "could not read the registry: %d", code);
    if (fresh) PopActiveSnapshot();
    leave_registry(&rights);
}

Datum column(uint64 row, int number, bool* is_null) {
    return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, number, is_null);
}

void add_keys(Access* access, Jsonb* keys, uint8 privileges) {
    if (access->filter == nullptr) {
        const MemoryContext old = MemoryContextSwitchTo(memory.context);
        access->filter = key_filter_create();
        MemoryContextSwitchTo(old);
    }
    for (uint32 i = 0; i < JB_ROOT_COUNT(keys); ++i) {
        JsonbValue* value = getIthJsonbValueFromContainer(&keys->root, i);
        if (value != nullptr && value->type == jbvBinary)
            key_filter_add(access->filter, JsonbValueToJsonb(value), privileges);
    }
}

// One row of the queries below: owner, grantee, privilege, keys, model_set, created_at.
void add_row(Access* access, uint64 row) {
    bool is_null;
    if (has_privs_of_role(access->key.user, DatumGetObjectId(column(row, 1, &is_null))))
        access->whole = kAll;
    const Oid grantee = DatumGetObjectId(column(row, 2, &is_null));
    if (is_null || !has_privs_of_role(access->key.user, grantee)) return;
    const uint8 privileges =
        with_read(privilege_from_text(TextDatumGetCString(column(row, 3, &is_null))));
    const Datum keys = column(row, 4, &is_null);
    if (is_null)
        access->whole |= privileges;
    else
        add_keys(access, DatumGetJsonbP(keys), privileges);
    access->some |= privileges;
}

// From the rows of a query, which are of one set.
const Access* take_access(Oid user) {
    if (SPI_processed == 0) return &kNothing;
    bool is_null;
    Access access = {};
    access.key.created_at = DatumGetInt64(column(0, 6, &is_null));
    access.key.user = user;
    strlcpy(access.key.model_set, TextDatumGetCString(column(0, 5, &is_null)),
            sizeof access.key.model_set);
    const void* known = hash_search(memory.sets, &access.key, HASH_FIND, nullptr);
    if (known != nullptr) return static_cast<const Access*>(known);
    for (uint64 i = 0; i < SPI_processed; ++i) add_row(&access, i);
    access.some |= access.whole;
    auto* entry = static_cast<Access*>(hash_search(memory.sets, &access.key, HASH_ENTER, nullptr));
    *entry = access;
    return entry;
}

const Access* find(const HandleKey* key, SPIPlanPtr* plan, const char* query, Oid type,
                   Datum parameter) {
    const auto* known =
        static_cast<const Handle*>(hash_search(memory.handles, key, HASH_FIND, nullptr));
    if (known != nullptr) return known->access;
    if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
    read_registry(plan, query, type, parameter);
    const Access* access = take_access(key->user);
    SPI_finish();
    auto* entry = static_cast<Handle*>(hash_search(memory.handles, key, HASH_ENTER, nullptr));
    entry->access = access;
    return access;
}

#define ACCESS_OF_SET                                                                  \
    "SELECT s.owner::pg_catalog.oid, g.grantee::pg_catalog.oid, g.privilege, g.keys, " \
    "s.model_set, s.created_at FROM many_models.model_sets AS s "                      \
    "LEFT JOIN many_models.grant_store AS g "                                          \
    "ON g.model_set OPERATOR(pg_catalog.=) s.model_set "

// Of the current role. Valid while memory.generation is the same.
const Access* find_access(const char* model_set) {
    static SPIPlanPtr plan = nullptr;
    HandleKey key = {};
    refresh();
    if (strlen(model_set) >= sizeof key.model_set) return &kNothing;
    key.user = GetUserId();
    strlcpy(key.model_set, model_set, sizeof key.model_set);
    return find(&key, &plan, ACCESS_OF_SET "WHERE s.model_set OPERATOR(pg_catalog.=) $1", TEXTOID,
                CStringGetTextDatum(model_set));
}

// To the set of a run.
const Access* find_run_access(int64 run_id) {
    static SPIPlanPtr plan = nullptr;
    HandleKey key = {};
    refresh();
    key.user = GetUserId();
    key.run_id = run_id;
    return find(&key, &plan,
                ACCESS_OF_SET
                "JOIN many_models.runs AS r ON r.model_set OPERATOR(pg_catalog.=) s.model_set "
                "WHERE r.run_id OPERATOR(pg_catalog.=) $1",
                INT8OID, Int64GetDatum(run_id));
}

bool access_has_key(const Access* access, Privilege privilege, Jsonb* key) {
    if ((access->whole & bit(privilege)) != 0) return true;
    return (access->some & bit(privilege)) != 0 &&
           key_filter_matches(access->filter, key, bit(privilege));
}

[[noreturn]] void raise_denied(const ModelSet* set, Privilege privilege) {
    const char* owner = GetUserNameFromId(set->owner, true);
    ereport(ERROR,
            (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
             errmsg("permission denied to %s model set \"%s\"", kDeeds[static_cast<int>(privilege)],
                    set->name),
             owner == nullptr
                 ? errhint("Its owner was dropped; see many_models.alter_model_set_owner.")
                 : errhint("It belongs to role \"%s\", which can grant %s by "
                           "many_models.grant_model_set%s.",
                           owner, privilege_name(privilege),
                           privilege == Privilege::train ? "; or choose another name" : "")));
    pg_unreachable();
}

// --- SQL functions that are called for each row -------------------------------------------------

// What the row before found, for as long as it holds.
struct RowCall {
    uint64 generation;
    Oid user;
    int64 run_id;
    char model_set[NAMEDATALEN];
    const Access* access;
    int n_columns;  // of row_is_granted
    KeyColumn* columns;
};

RowCall* row_call(FunctionCallInfo fcinfo) {
    auto* call = static_cast<RowCall*>(fcinfo->flinfo->fn_extra);
    if (call == nullptr) {
        call =
            static_cast<RowCall*>(MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(RowCall)));
        call->n_columns = -1;
        fcinfo->flinfo->fn_extra = call;
    }
    return call;
}

bool holds(const RowCall* call) {
    return call->access != nullptr && call->generation == memory.generation && is_current() &&
           call->user == GetUserId();
}

void keep(RowCall* call, const Access* access) {
    call->access = access;
    call->user = GetUserId();
    call->generation = memory.generation;
}

const Access* access_by_run(RowCall* call, int64 run_id) {
    if (holds(call) && call->run_id == run_id) return call->access;
    call->access = nullptr;
    keep(call, find_run_access(run_id));
    call->run_id = run_id;
    return call->access;
}

const Access* access_by_name(RowCall* call, const text* name) {
    const Size length = VARSIZE_ANY_EXHDR(name);
    if (length >= sizeof call->model_set) return &kNothing;
    if (holds(call) && memcmp(call->model_set, VARDATA_ANY(name), length) == 0 &&
        call->model_set[length] == '\0')
        return call->access;
    call->access = nullptr;
    memcpy(call->model_set, VARDATA_ANY(name), length);
    call->model_set[length] = '\0';
    keep(call, find_access(call->model_set));
    return call->access;
}

// The partition columns of row_is_granted, by the types of its arguments.
void describe_columns(FunctionCallInfo fcinfo, RowCall* call) {
    if (get_fn_expr_variadic(fcinfo->flinfo))
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("row_is_granted takes its columns one by one")));
    const MemoryContext old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
    int n = 0;
    char** names = pg::text_array_to_strings(PG_GETARG_ARRAYTYPE_P_COPY(1), "columns", &n);
    if (n != PG_NARGS() - 2)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("%d values given for %d columns", PG_NARGS() - 2, n)));
    auto* columns = static_cast<KeyColumn*>(palloc0(sizeof(KeyColumn) * static_cast<Size>(n)));
    for (int i = 0; i < n; ++i)
        key_column_init(&columns[i], names[i], get_fn_expr_argtype(fcinfo->flinfo, 2 + i),
                        InvalidOid);
    MemoryContextSwitchTo(old);
    call->columns = columns;
    call->n_columns = n;
}

}  // namespace

const char* privilege_name(Privilege privilege) {
    return kNames[static_cast<int>(privilege)];
}

Privilege privilege_from_text(const char* text) {
    for (int i = 0; i < kPrivileges; ++i)
        if (pg_strcasecmp(text, kNames[i]) == 0) return static_cast<Privilege>(i);
    ereport(ERROR,
            (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("unknown privilege \"%s\"", text),
             errhint("The privileges are read, score, train and promote.")));
    pg_unreachable();
}

bool has_privilege(const char* model_set, Privilege privilege) {
    return (find_access(model_set)->some & bit(privilege)) != 0;
}

void require_privilege(const ModelSet* set, Privilege privilege) {
    if (has_privs_of_role(GetUserId(), set->owner)) return;
    if (!has_privilege(set->name, privilege)) raise_denied(set, privilege);
}

void require_privilege(const char* model_set, Privilege privilege) {
    const ModelSet* set = find_model_set(model_set, false);
    if (set == nullptr)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                        errmsg("model set \"%s\" does not exist", model_set)));
    require_privilege(set, privilege);
}

bool has_whole_set(const char* model_set, Privilege privilege) {
    return (find_access(model_set)->whole & bit(privilege)) != 0;
}

bool key_is_granted(const char* model_set, Privilege privilege, Jsonb* partition_key) {
    return access_has_key(find_access(model_set), privilege, partition_key);
}

void announce_access_changed() {
    const Oid schema = get_namespace_oid("many_models", false);
    CacheInvalidateRelcacheByRelid(get_relname_relid("grant_store", schema));
}

}  // namespace many::registry

extern "C" {

PG_FUNCTION_INFO_V1(many_has_model_set_privilege);
PG_FUNCTION_INFO_V1(many_key_is_granted);
PG_FUNCTION_INFO_V1(many_run_key_is_granted);
PG_FUNCTION_INFO_V1(many_row_is_granted);

Datum many_has_model_set_privilege(PG_FUNCTION_ARGS) {
    namespace registry = many::registry;
    const registry::Privilege privilege =
        registry::privilege_from_text(text_to_cstring(PG_GETARG_TEXT_PP(1)));
    PG_RETURN_BOOL(registry::has_privilege(text_to_cstring(PG_GETARG_TEXT_PP(0)), privilege));
}

// key_is_granted(model_set, partition_key, privilege)
Datum many_key_is_granted(PG_FUNCTION_ARGS) {
    namespace registry = many::registry;
    const registry::Privilege privilege =
        registry::privilege_from_text(text_to_cstring(PG_GETARG_TEXT_PP(2)));
    const registry::Access* access =
        registry::access_by_name(registry::row_call(fcinfo), PG_GETARG_TEXT_PP(0));
    PG_RETURN_BOOL(registry::access_has_key(access, privilege, PG_GETARG_JSONB_P(1)));
}

// run_key_is_granted(run_id, partition_key)
Datum many_run_key_is_granted(PG_FUNCTION_ARGS) {
    namespace registry = many::registry;
    const registry::Access* access =
        registry::access_by_run(registry::row_call(fcinfo), PG_GETARG_INT64(0));
    PG_RETURN_BOOL(
        registry::access_has_key(access, registry::Privilege::read, PG_GETARG_JSONB_P(1)));
}

// row_is_granted(run_id, columns, VARIADIC values)
Datum many_row_is_granted(PG_FUNCTION_ARGS) {
    namespace registry = many::registry;
    if (PG_ARGISNULL(0) || PG_ARGISNULL(1)) PG_RETURN_BOOL(false);
    registry::RowCall* call = registry::row_call(fcinfo);
    const registry::Access* access = registry::access_by_run(call, PG_GETARG_INT64(0));
    if ((access->whole & registry::bit(registry::Privilege::read)) != 0) PG_RETURN_BOOL(true);
    if (access->some == 0) PG_RETURN_BOOL(false);
    if (call->n_columns < 0) registry::describe_columns(fcinfo, call);
    auto* values = static_cast<Datum*>(palloc(sizeof(Datum) * (Size)call->n_columns));
    auto* nulls = static_cast<bool*>(palloc((Size)call->n_columns));
    for (int i = 0; i < call->n_columns; ++i) {
        values[i] = PG_GETARG_DATUM(2 + i);
        nulls[i] = PG_ARGISNULL(2 + i);
    }
    Jsonb* key = registry::key_to_jsonb(call->columns, call->n_columns, values, nulls);
    PG_RETURN_BOOL(registry::access_has_key(access, registry::Privilege::read, key));
}

}  // extern "C"
