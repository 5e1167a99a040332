// The session's cache of models: see model_cache.h.
#include "serving/model_cache.h"

#include <cstring>

#include "pg/settings.h"
#include "registry/access.h"
#include "registry/production.h"
#include "registry/registry.h"
#include "serving/model_value.h"
#include "serving/score_models.h"
#include "wall/wall.h"

extern "C" {
#include "common/hashfn.h"
#include "port/pg_bitutils.h"
}

namespace many::serving {

namespace {

constexpr uint32 kFirstBuckets = 256;

struct Cache {
    MemoryContext context;
    CachedSet* sets;
    CachedModel** buckets;
    uint32 n_buckets;  // a power of two
    uint32 n_models;
    Size bytes;
    dlist_head recent;  // most recent first
    bool stale;         // an invalidation came
    bool loading;
    bool this_transaction_only;
    LocalTransactionId transaction;
    Oid watched[4];
    SPIPlanPtr plan;
    SPIPlanPtr production_plan;
};
Cache cache;

// --- Invalidation -----------------------------------------------------------------------------

void on_relation_change(Datum, Oid relation) {
    if (!OidIsValid(relation)) cache.stale = true;
    for (const Oid watched : cache.watched)
        if (relation == watched) cache.stale = true;
}

void on_role_change(Datum, int, uint32) {
    cache.stale = true;
}

void watch_relations() {
    static const char* const names[] = {"model_sets", "runs", "model_store", "grant_store"};
    const Oid schema = get_namespace_oid("many_models", false);
    for (int i = 0; i < 4; ++i) cache.watched[i] = get_relname_relid(names[i], schema);
}

void create_cache() {
    static bool registered = false;
    cache.context = AllocSetContextCreate(CacheMemoryContext, "many_models model cache",
                                          ALLOCSET_DEFAULT_SIZES);
    if (registered) return;
    CacheRegisterRelcacheCallback(on_relation_change, Datum(0));
    CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, on_role_change, Datum(0));
    CacheRegisterSyscacheCallback(AUTHOID, on_role_change, Datum(0));
    registered = true;
}

void empty_cache() {
    MemoryContextReset(cache.context);
    cache.sets = nullptr;
    cache.buckets = nullptr;
    cache.n_buckets = cache.n_models = 0;
    cache.bytes = 0;
    dlist_init(&cache.recent);
    cache.stale = cache.this_transaction_only = false;
    watch_relations();
}

// --- The hash table ---------------------------------------------------------------------------

uint32 entry_hash(Oid user, const char* name, int name_length, const char* key, int key_length) {
    const uint64 h =
        hash_bytes_extended(reinterpret_cast<const unsigned char*>(key), key_length, user);
    return static_cast<uint32>(
        hash_bytes_extended(reinterpret_cast<const unsigned char*>(name), name_length, h));
}

CachedModel* find_entry(uint32 hash, Oid user, const char* name, int name_length, const char* key,
                        int key_length) {
    if (cache.n_buckets == 0) return nullptr;
    for (CachedModel* entry = cache.buckets[hash & (cache.n_buckets - 1)]; entry != nullptr;
         entry = entry->chain)
        if (entry->hash == hash && entry->user == user && entry->name_length == name_length &&
            entry->key_length == key_length && memcmp(entry->key(), key, key_length) == 0 &&
            memcmp(entry->name(), name, name_length) == 0)
            return entry;
    return nullptr;
}

CachedModel* entry_of(dlist_node* node) {
    return reinterpret_cast<CachedModel*>(node);
}

void link_entry(CachedModel* entry) {
    CachedModel** bucket = &cache.buckets[entry->hash & (cache.n_buckets - 1)];
    entry->chain = *bucket;
    *bucket = entry;
}

void drop_entry(CachedModel* entry) {
    CachedModel** link = &cache.buckets[entry->hash & (cache.n_buckets - 1)];
    while (*link != entry) link = &(*link)->chain;
    *link = entry->chain;
    dlist_delete(&entry->recent);
    cache.bytes -= entry->bytes;
    --cache.n_models;
    pfree(entry);
}

void grow_buckets() {
    const uint32 n = cache.n_buckets == 0 ? kFirstBuckets : cache.n_buckets * 2;
    auto** buckets =
        static_cast<CachedModel**>(MemoryContextAllocZero(cache.context, sizeof(CachedModel*) * n));
    CachedModel** old = cache.buckets;
    cache.buckets = buckets;
    cache.n_buckets = n;
    for (dlist_node* node = cache.recent.head.next; node != &cache.recent.head; node = node->next)
        link_entry(entry_of(node));
    if (old != nullptr) pfree(old);
}

void make_room(Size bytes) {
    const Size limit = static_cast<Size>(many_model_cache_kb) * 1024;
    const Size fixed = sizeof(CachedModel*) * cache.n_buckets;
    while (cache.n_models > 0 && cache.bytes + fixed + bytes > limit)
        drop_entry(entry_of(dlist_tail_node(&cache.recent)));
}

// --- Loading ----------------------------------------------------------------------------------

CachedSet* find_set(Oid user, const char* name) {
    for (CachedSet* set = cache.sets; set != nullptr; set = set->next)
        if (set->user == user && strcmp(set->name, name) == 0) return set;
    return nullptr;
}

Oid type_of(const char* name) {
    return DatumGetObjectId(DirectFunctionCall1(regtypein, CStringGetDatum(name)));
}

void init_feature(CachedFeature* feature, const char* name, const char* type) {
    feature->name = pstrdup(name);
    feature->name_length = static_cast<int>(strlen(name));
    feature->type = type_of(type);
    if (!pg::feature_reader_init(&feature->reader, feature->type))
        elog(ERROR, "type %s cannot be a feature", type);
    getTypeInputInfo(feature->reader.type, &feature->input, &feature->input_parameter);
}

CachedRun* make_run(const registry::TrainingRun* run) {
    auto* cached = static_cast<CachedRun*>(palloc0(sizeof(CachedRun)));
    cached->run_id = run->run_id;
    cached->storage = run->storage;
    cached->version = run->version;
    cached->columns = static_cast<registry::KeyColumn*>(
        palloc0(sizeof(registry::KeyColumn) * (static_cast<Size>(run->n_keys) + 1)));
    for (int i = 0; i < run->n_keys; ++i) {
        const Oid type = type_of(run->key_types[i]);
        registry::key_column_init(&cached->columns[i], pstrdup(run->partition_by[i]), type,
                                  run->key_collations[i]);
    }
    cached->n_features = run->n_features;
    const Size n = static_cast<Size>(run->n_features) + 1;
    cached->features = static_cast<CachedFeature*>(palloc0(sizeof(CachedFeature) * n));
    cached->values = static_cast<core::FeatureValue*>(palloc0(sizeof(core::FeatureValue) * n));
    for (int i = 0; i < run->n_features; ++i)
        init_feature(&cached->features[i], run->features[i], run->feature_types[i]);
    return cached;
}

void make_production(CachedSet* set, const registry::ProductionState* state,
                     registry::TrainingRun** runs, int n) {
    set->promotion_id = state->promotion_id;
    set->n_layers = state->n_layers;
    if (state->n_layers == 0) return;
    const Size bytes = sizeof(int64) * static_cast<Size>(state->n_layers);
    set->layers = registry::int64_array(state->layers, state->n_layers);
    set->storages = registry::int64_array(state->storages, state->n_layers);
    set->layer_ids = static_cast<int64*>(palloc(bytes));
    memcpy(set->layer_ids, state->layers, bytes);
    CachedRun** last = &set->promoted;
    for (int i = 0; i < n; ++i, last = &(*last)->next) *last = make_run(runs[i]);
}

// For a role that may score with the set. Built in a context of its own, which becomes the cache's when
// it is complete.
CachedSet* load_set(Oid user, const char* name) {
    int n_promoted = 0;
    registry::TrainingRun** promoted = nullptr;
    const registry::ProductionState* state = registry::find_production(name);
    if (state->n_layers > 0) promoted = registry::find_production_runs(name, &n_promoted);
    const registry::TrainingRun* latest = n_promoted > 0
                                              ? registry::find_training_run_if_any(name, 0)
                                              : registry::find_training_run(name, 0);
    registry::require_privilege(name, registry::Privilege::score);
    const MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "many_models cached set", ALLOCSET_SMALL_SIZES);
    const MemoryContext old = MemoryContextSwitchTo(context);
    auto* set = static_cast<CachedSet*>(palloc0(sizeof(CachedSet)));
    set->user = user;
    set->name = pstrdup(name);
    set->n_keys = latest != nullptr ? latest->n_keys : promoted[0]->n_keys;
    make_production(set, state, promoted, n_promoted);
    if (latest != nullptr) set->latest = make_run(latest);
    MemoryContextSwitchTo(old);
    MemoryContextSetParent(context, cache.context);
    set->next = cache.sets;
    cache.sets = set;
    cache.bytes += MemoryContextMemAllocated(context, false);
    return set;
}

SPIPlanPtr keep_plan(SPIPlanPtr* kept, const char* query, int n, Oid* types) {
    if (*kept != nullptr) return *kept;
    SPIPlanPtr plan = SPI_prepare(query, n, types);
    if (plan == nullptr) elog(ERROR, "could not plan the look-up: %d", SPI_result);
    SPI_keepplan(plan);
    *kept = plan;
    return plan;
}

SPIPlanPtr model_plan() {
    Oid types[] = {INT8OID, INT8OID, INT8OID};
    return keep_plan(&cache.plan,
                     "SELECT partition_key, model FROM many_models.model_store "
                     "WHERE storage OPERATOR(pg_catalog.=) $1 AND run_id OPERATOR(pg_catalog.=) $2 "
                     "AND key_hash OPERATOR(pg_catalog.=) $3",
                     3, types);
}

SPIPlanPtr production_plan() {
    Oid types[] = {INT8ARRAYOID, INT8ARRAYOID, INT8OID};
    return keep_plan(
        &cache.production_plan,
        "SELECT partition_key, model, run_id, layer FROM many_models.production_store "
        "WHERE storage OPERATOR(pg_catalog.=) ANY ($1) AND layer OPERATOR(pg_catalog.=) ANY ($2) "
        "AND key_hash OPERATOR(pg_catalog.=) $3",
        3, types);
}

// A key as its run's types read it.
struct ParsedKey {
    CachedRun* run;
    int n;
    Datum* values;
    bool* nulls;
};

ParsedKey parse_key(CachedSet* set, CachedRun* run, Jsonb* key) {
    const Size n = static_cast<Size>(set->n_keys) + 1;
    ParsedKey parsed = {run, set->n_keys, static_cast<Datum*>(palloc(sizeof(Datum) * n)),
                        static_cast<bool*>(palloc(n))};
    registry::key_from_jsonb(run->columns, set->n_keys, key, parsed.values, parsed.nulls);
    return parsed;
}

bool is_key(CachedSet* set, const ParsedKey& key, Jsonb* stored) {
    const ParsedKey other = parse_key(set, key.run, stored);
    return registry::keys_equal(key.run->columns, key.n, key.values, key.nulls, other.values,
                                other.nulls);
}

Datum hash_of(const ParsedKey& key) {
    return Int64GetDatum(registry::key_hash(key.run->columns, key.n, key.values, key.nulls));
}

Datum column_of(uint64 row, int column) {
    bool is_null;
    return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &is_null);
}

// As the registry's owner: one look-up, without the plan that policies need. Whether the caller may
// have the model is asked of its own key (granted_model).
void look_up(SPIPlanPtr plan, Datum* parameters) {
    registry::RegistryRights rights;
    registry::enter_registry(&rights);
    if (SPI_execute_plan(plan, parameters, nullptr, true, 0) != SPI_OK_SELECT)
        elog(ERROR, "could not read the models");
    registry::leave_registry(&rights);
}

// nullptr where the caller may not score with the group's model.
const struct varlena* granted_model(const CachedSet* set, Datum key, Datum model) {
    if (!registry::key_is_granted(set->name, registry::Privilege::score, DatumGetJsonbP(key)))
        return nullptr;
    const auto* bytes = PG_DETOAST_DATUM_PACKED(model);
    core::LinearModelView view;
    return check_model_bytes(VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes), &view) ? bytes : nullptr;
}

const struct varlena* read_model(CachedSet* set, Jsonb* key) {
    const ParsedKey parsed = parse_key(set, set->latest, key);
    Datum parameters[] = {Int64GetDatum(set->latest->storage), Int64GetDatum(set->latest->run_id),
                          hash_of(parsed)};
    look_up(model_plan(), parameters);
    const uint64 n = SPI_processed;
    for (uint64 i = 0; i < n; ++i)
        if (is_key(set, parsed, DatumGetJsonbP(column_of(i, 1))))
            return granted_model(set, column_of(i, 1), column_of(i, 2));
    return nullptr;
}

int layer_rank(const CachedSet* set, int64 layer) {
    int rank = 0;
    while (rank < set->n_layers && set->layer_ids[rank] != layer) ++rank;
    return rank;
}

// The model of the newest layer that has one; *run becomes nullptr when its run is not known here.
const struct varlena* read_production(CachedSet* set, Jsonb* key, CachedRun** run) {
    const ParsedKey parsed = parse_key(set, set->promoted, key);
    Datum parameters[] = {set->storages, set->layers, hash_of(parsed)};
    look_up(production_plan(), parameters);
    const uint64 n = SPI_processed;
    uint64 best = n;
    for (uint64 i = 0; i < n; ++i)
        if ((best == n || layer_rank(set, DatumGetInt64(column_of(i, 4))) <
                              layer_rank(set, DatumGetInt64(column_of(best, 4)))) &&
            is_key(set, parsed, DatumGetJsonbP(column_of(i, 1))))
            best = i;
    if (best == n) return nullptr;
    const int64 run_id = DatumGetInt64(column_of(best, 3));
    *run = set->promoted;
    while (*run != nullptr && (*run)->run_id != run_id) *run = (*run)->next;
    return granted_model(set, column_of(best, 1), column_of(best, 2));
}

CachedModel* cache_model(uint32 hash, Oid user, const text* model_set, Jsonb* key, CachedSet* set,
                         CachedRun* run, const struct varlena* model) {
    const Size name_length = VARSIZE_ANY_EXHDR(model_set);
    const Size key_length = VARSIZE(key) - VARHDRSZ;
    const Size model_length = model == nullptr ? 0 : VARSIZE_ANY_EXHDR(model);
    const Size bytes = sizeof(CachedModel) + MAXALIGN(name_length + key_length) + model_length;
    make_room(pg_nextpower2_size_t(bytes));  // what the allocator takes for small chunks
    if (cache.n_models >= cache.n_buckets) grow_buckets();
    auto* entry = static_cast<CachedModel*>(MemoryContextAlloc(cache.context, bytes));
    memset(static_cast<void*>(entry), 0, sizeof(CachedModel));
    entry->set = set;
    entry->run = run;
    entry->hash = hash;
    entry->user = user;
    entry->name_length = static_cast<int>(name_length);
    entry->key_length = static_cast<int>(key_length);
    entry->model_length = model_length;
    entry->bytes = GetMemoryChunkSpace(entry);
    memcpy(entry->name(), VARDATA_ANY(model_set), name_length);
    memcpy(entry->key(), VARDATA(key), key_length);
    if (model_length > 0) memcpy(entry->model(), VARDATA_ANY(model), model_length);
    dlist_push_head(&cache.recent, &entry->recent);
    link_entry(entry);
    ++cache.n_models;
    cache.bytes += entry->bytes;
    return entry;
}

// With a snapshot that is newer than every invalidation seen, where that is allowed.
bool push_fresh_snapshot() {
    if (IsInParallelMode() || IsolationUsesXactSnapshot()) {
        cache.this_transaction_only = true;
        cache.transaction = pg::local_transaction();
        return false;
    }
    PushActiveSnapshot(GetLatestSnapshot());
    return true;
}

// Whether what is cached of the set is what is there: its messages may still be on the way.
bool is_current(const CachedSet* set) {
    if (registry::find_production(set->name)->promotion_id != set->promotion_id) return false;
    return set->latest == nullptr || require_models(set->name, set->latest->version,
                                                    set->latest->storage, set->latest->run_id);
}

const struct varlena* find_in_set(CachedSet* set, Jsonb* key, CachedRun** run) {
    *run = set->latest != nullptr ? set->latest : set->promoted;
    if (set->n_layers > 0) {
        const struct varlena* model = read_production(set, key, run);
        if (model != nullptr) return model;
    }
    return set->latest == nullptr ? nullptr : read_model(set, key);
}

// Finds no model only where the group has none: not where a drop took them all meanwhile.
const struct varlena* find_model_bytes(Oid user, const char* name, Jsonb* key, CachedSet** set,
                                       CachedRun** run) {
    *set = find_set(user, name);
    const bool known = *set != nullptr;
    if (!known) *set = load_set(user, name);
    const struct varlena* model = find_in_set(*set, key, run);
    const bool current = *run != nullptr && (model != nullptr || is_current(*set));
    if (current || !known) return model;
    *set = load_set(user, name);
    return find_in_set(*set, key, run);
}

CachedModel* load_model(uint32 hash, const text* model_set, Jsonb* key) {
    const Oid user = GetUserId();
    CachedModel* entry = nullptr;
    const bool nested = cache.loading;
    if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
    registry::lock_models();
    if (cache.stale && !nested) empty_cache();  // the lock waited for a drop, or brought messages
    const bool fresh = push_fresh_snapshot();
    PG_TRY();
    {
        cache.loading = true;  // an RLS policy that calls predict must not empty the cache
        const char* name = text_to_cstring(model_set);
        CachedSet* set = nullptr;
        CachedRun* run = nullptr;
        const struct varlena* model = find_model_bytes(user, name, key, &set, &run);
        if (run == nullptr) elog(ERROR, "the run of a model in production is missing");
        entry = cache_model(hash, user, model_set, key, set, run, model);
    }
    PG_FINALLY();
    { cache.loading = nested; }
    PG_END_TRY();
    if (fresh) PopActiveSnapshot();
    SPI_finish();
    return entry;
}

}  // namespace

CachedModel* find_cached_model(const text* model_set, Jsonb* key) {
    AcceptInvalidationMessages();  // a right that was taken away is gone in this transaction too
    if (cache.context == nullptr) {
        create_cache();
        empty_cache();
    }
    const bool expired =
        cache.this_transaction_only && cache.transaction != pg::local_transaction();
    if ((cache.stale || expired) && !cache.loading) empty_cache();
    const char* name = VARDATA_ANY(model_set);
    const int name_length = static_cast<int>(VARSIZE_ANY_EXHDR(model_set));
    const int key_length = static_cast<int>(VARSIZE(key) - VARHDRSZ);
    const Oid user = GetUserId();
    const uint32 hash = entry_hash(user, name, name_length, VARDATA(key), key_length);
    CachedModel* entry = find_entry(hash, user, name, name_length, VARDATA(key), key_length);
    if (entry == nullptr) return load_model(hash, model_set, key);
    dlist_move_head(&cache.recent, &entry->recent);
    return entry;
}

void set_cached_level(CachedModel* model, double level) {
    if (model->level == level) return;
    wall::WallError error;
    if (!wall::across_wall(&error, [&] {
            core::LinearModelView::set_interval_level(model->model(), model->model_length, level);
        }))
        wall::raise_wall_error(&error);
    model->level = level;
}

}  // namespace many::serving
