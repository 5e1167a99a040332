// The session's cache of models: see model_cache.h.
#include "serving/model_cache.h"

#include <cstring>

#include "core/forecasters/forecast_model.h"
#include "pg/settings.h"
#include "registry/registry.h"
#include "serving/model_value.h"
#include "wall/wall.h"

extern "C" {
#include "common/hashfn.h"
#include "port/pg_bitutils.h"
}

namespace many::serving {

namespace {

constexpr uint32 kFirstBuckets = 256;
constexpr Size kEntryBlock = 256 * 1024;  // largest block of the entries' context

struct Cache {
    MemoryContext context;  // sets and buckets
    MemoryContext entries;
    CachedSet* sets;
    CachedModel** buckets;
    uint32 n_buckets;  // a power of two
    uint32 n_models;
    Size bytes;         // of sets and models
    Size set_bytes;     // of sets
    dlist_head recent;  // most recent first
    bool stale;         // an invalidation came
    bool loading;       // sets and models must stay
    bool in_batch;
    bool this_transaction_only;
    LocalTransactionId transaction;
    Oid watched[4];
};
Cache cache;

// --- Invalidation -----------------------------------------------------------------------------

void on_relation_change(Datum, Oid relation) {
    if (cache.stale) return;
    if (!OidIsValid(relation)) cache.stale = true;
    for (const Oid watched : cache.watched)
        if (relation == watched) cache.stale = true;
    for (const CachedSet* set = cache.sets; set != nullptr && !cache.stale; set = set->next)
        if (reads_relation(set, relation)) cache.stale = true;  // TRUNCATE, REINDEX, ...
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
    cache.entries = AllocSetContextCreate(CacheMemoryContext, "many_models cached models", 0,
                                          ALLOCSET_DEFAULT_INITSIZE, kEntryBlock);
    if (registered) return;
    CacheRegisterRelcacheCallback(on_relation_change, Datum(0));
    CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, on_role_change, Datum(0));
    CacheRegisterSyscacheCallback(AUTHOID, on_role_change, Datum(0));
    registered = true;
}

Size cache_limit() {
    return static_cast<Size>(many_model_cache_kb) * 1024;
}

void drop_all() {
    cache.sets = nullptr;
    MemoryContextReset(cache.context);
    MemoryContextReset(cache.entries);
    cache.buckets = nullptr;
    cache.n_buckets = cache.n_models = 0;
    cache.bytes = cache.set_bytes = 0;
    dlist_init(&cache.recent);
}

void empty_cache() {
    drop_all();
    cache.stale = cache.this_transaction_only = false;
    watch_relations();
}

// --- The hash table ---------------------------------------------------------------------------

// What a call asks for.
struct Request {
    Oid user;
    int version;  // 0: production, then the latest
    const text* model_set;
    Jsonb* key;
    uint32 hash;
    const char* name() const { return VARDATA_ANY(model_set); }
    int name_length() const { return static_cast<int>(VARSIZE_ANY_EXHDR(model_set)); }
    const char* key_bytes() const { return VARDATA(key); }
    int key_length() const { return static_cast<int>(VARSIZE(key) - VARHDRSZ); }
};

uint32 request_hash(const Request* r) {
    const uint64 seed = static_cast<uint64>(r->version) << 32 | r->user;
    const uint64 h = hash_bytes_extended(reinterpret_cast<const unsigned char*>(r->key_bytes()),
                                         r->key_length(), seed);
    return static_cast<uint32>(hash_bytes_extended(
        reinterpret_cast<const unsigned char*>(r->name()), r->name_length(), h));
}

CachedModel* find_entry(const Request* r) {
    if (cache.n_buckets == 0) return nullptr;
    for (CachedModel* entry = cache.buckets[r->hash & (cache.n_buckets - 1)]; entry != nullptr;
         entry = entry->chain)
        if (entry->hash == r->hash && entry->user == r->user && entry->wanted == r->version &&
            entry->name_length == r->name_length() && entry->key_length == r->key_length() &&
            memcmp(entry->key(), r->key_bytes(), r->key_length()) == 0 &&
            memcmp(entry->name(), r->name(), r->name_length()) == 0)
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

void drop_entries() {
    MemoryContextReset(cache.entries);
    memset(cache.buckets, 0, sizeof(CachedModel*) * cache.n_buckets);
    dlist_init(&cache.recent);
    cache.bytes = cache.set_bytes;
    cache.n_models = 0;
}

// The allocator keeps what was freed for chunks of the same size, a power of two: when the models' sizes
// change (another set is used), the room of the old ones would be taken besides that of the new.
void make_room(Size bytes) {
    const Size limit = cache_limit();
    const Size fixed = sizeof(CachedModel*) * cache.n_buckets;
    while (cache.n_models > 0 && cache.bytes + fixed + bytes > limit)
        drop_entry(entry_of(dlist_tail_node(&cache.recent)));
    if (cache.n_buckets > 0 &&
        MemoryContextMemAllocated(cache.entries, false) > limit + limit / 8 + 2 * kEntryBlock)
        drop_entries();
}

// --- Loading ----------------------------------------------------------------------------------

CachedSet* find_set(const Request* r) {
    for (CachedSet* set = cache.sets; set != nullptr; set = set->next)
        if (set->user == r->user && set->wanted == r->version &&
            strlen(set->name) == static_cast<Size>(r->name_length()) &&
            memcmp(set->name, r->name(), r->name_length()) == 0)
            return set;
    return nullptr;
}

CachedSet* add_set(const Request* r) {
    CachedSet* set = load_cached_set(r->user, text_to_cstring(r->model_set), r->version);
    MemoryContextSetParent(set->context, cache.context);
    set->next = cache.sets;
    cache.sets = set;
    const Size bytes = MemoryContextMemAllocated(set->context, false);
    cache.bytes += bytes;
    cache.set_bytes += bytes;
    return set;
}

CachedModel* cache_model(const Request* r, CachedSet* set, const FoundModel* found) {
    const struct varlena* model = found->model;
    const Size name_length = static_cast<Size>(r->name_length());
    const Size key_length = static_cast<Size>(r->key_length());
    const Size model_length = model == nullptr ? 0 : VARSIZE_ANY_EXHDR(model);
    const Size bytes = sizeof(CachedModel) + MAXALIGN(name_length + key_length) + model_length;
    make_room(pg_nextpower2_size_t(bytes));  // what the allocator takes for small chunks
    if (cache.n_models >= cache.n_buckets) grow_buckets();
    auto* entry = static_cast<CachedModel*>(MemoryContextAlloc(cache.entries, bytes));
    memset(static_cast<void*>(entry), 0, sizeof(CachedModel));
    entry->set = set;
    entry->run = found->run;
    entry->hash = r->hash;
    entry->user = r->user;
    entry->wanted = r->version;
    entry->name_length = r->name_length();
    entry->key_length = r->key_length();
    entry->model_length = model_length;
    entry->bytes = GetMemoryChunkSpace(entry);
    memcpy(entry->name(), r->name(), name_length);
    memcpy(entry->key(), r->key_bytes(), key_length);
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

// Then nothing that the snapshot lacks, because it was put out of force and deleted, is still in the cache.
bool begin_reading() {
    if (cache.in_batch || !push_fresh_snapshot()) return false;
    AcceptInvalidationMessages();
    if (cache.stale && !cache.loading) empty_cache();
    return true;
}

// The set is the one cached, unless that is found to be out of date.
CachedModel* load_by_query(const Request* r) {
    if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
    FoundModel found;
    CachedSet* set = find_set(r);
    const bool known = set != nullptr;
    if (!known) set = add_set(r);
    bool is_current =
        (!known && find_shared(set, r->key, &found)) || find_by_query(set, r->key, &found);
    if (!is_current && known) {
        set = add_set(r);
        is_current = find_by_query(set, r->key, &found);
    }
    if (found.run == nullptr) elog(ERROR, "the run of a model in production is missing");
    CachedModel* entry = cache_model(r, set, &found);
    SPI_finish();
    return entry;
}

CachedModel* load_model(const Request* r) {
    const bool nested = cache.loading;
    registry::lock_models();
    if (cache.stale && !nested) empty_cache();  // the lock waited for a drop, or brought messages
    FoundModel found;
    CachedSet* set = find_set(r);
    if (set != nullptr && find_shared(set, r->key, &found)) return cache_model(r, set, &found);
    const bool fresh = begin_reading();
    CachedModel* entry;
    PG_TRY();
    {
        cache.loading = true;  // an RLS policy that calls predict must not empty the cache
        set = find_set(r);
        // Definitions are not evicted one by one: models point to them.
        if (set == nullptr && !nested && cache.set_bytes > cache_limit()) drop_all();
        entry = set != nullptr && find_by_index(set, r->key, &found) ? cache_model(r, set, &found)
                                                                     : load_by_query(r);
    }
    PG_FINALLY();
    { cache.loading = nested; }
    PG_END_TRY();
    if (fresh) PopActiveSnapshot();
    return entry;
}

void prepare_cache() {
    if (cache.context == nullptr) {
        create_cache();
        empty_cache();
    }
    const bool expired =
        cache.this_transaction_only && cache.transaction != pg::local_transaction();
    if ((cache.stale || expired) && !cache.loading) empty_cache();
}

}  // namespace

CachedModel* find_cached_model(const text* model_set, Jsonb* key, int version) {
    AcceptInvalidationMessages();  // a right that was taken away is gone in this transaction too
    prepare_cache();
    Request request = {GetUserId(), version, model_set, key, 0};
    request.hash = request_hash(&request);
    CachedModel* entry = find_entry(&request);
    if (entry == nullptr) return load_model(&request);
    dlist_move_head(&cache.recent, &entry->recent);
    return entry;
}

void begin_cache_batch(CacheBatch* batch) {
    registry::lock_models();
    AcceptInvalidationMessages();  // the lock may have been there
    prepare_cache();
    *batch = {cache.loading, cache.in_batch, begin_reading()};
    cache.in_batch = cache.loading = true;
}

void end_cache_batch(const CacheBatch* batch, bool after_error) {
    cache.loading = batch->was_loading;
    cache.in_batch = batch->was_in_batch;
    if (batch->has_snapshot && !after_error) PopActiveSnapshot();
}

void set_cached_level(CachedModel* model, double level) {
    if (model->level == level) return;
    if (core::is_forecast_model(model->model(), model->model_length)) raise_forecaster();
    wall::WallError error;
    if (!wall::across_wall(&error, [&] {
            core::LinearModelView::set_interval_level(model->model(), model->model_length, level);
        }))
        wall::raise_wall_error(&error);
    model->level = level;
}

}  // namespace many::serving
