// The models that all sessions share: see shared_cache.h.
#include "serving/shared_cache.h"

#include <cstring>

#include "pg/settings.h"

extern "C" {
#include "common/hashfn.h"
#include "port/atomics.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
}

namespace many::serving {

namespace {

constexpr Size kPartitionBytes = 1024 * 1024;  // a partition has at least this
constexpr int kMostPartitions = 64;
constexpr Size kBytesPerBucket = 512;
constexpr int kMostMoves = 16;  // used entries that one insertion moves to the front
constexpr uint32 kNone = 0xffffffff;
constexpr Size kMostUsualRoom = 16 * 1024;

// In the arena of a partition, followed by the key, then the model. Offsets count 8 bytes.
struct Entry {
    uint32 next;  // of the same bucket
    uint32 hash;
    uint32 size;  // in 8 bytes
    uint32 key_length;
    uint32 model_length;
    Oid database;
    Oid relation_file;
    uint32 used;   // since it came or was moved; set under a shared lock
    int64 id;      // of the table's: a run or a layer
    int64 run_id;  // of the model
    char* key() { return reinterpret_cast<char*>(this + 1); }
    char* model() { return key() + key_length; }
};
static_assert(sizeof(Entry) % 8 == 0);

// Entries lie in [tail, head), or, once the head has begun anew, in [tail, end) and [0, head).
struct Partition {
    LWLock* lock;
    pg_atomic_uint64 hits;
    pg_atomic_uint64 misses;
    uint64 insertions;
    uint64 evictions;
    uint32 n_entries;
    uint32 head;
    uint32 tail;
    uint32 end;
    bool wrapped;
    uint32 capacity;   // of the arena
    uint32 n_buckets;  // a power of two
    uint32* buckets;
    uint64* arena;
};

struct SharedCache {
    int n_partitions;  // a power of two
    Partition partitions[kMostPartitions];
};

SharedCache* shared = nullptr;
shmem_request_hook_type previous_request_hook = nullptr;
shmem_startup_hook_type previous_startup_hook = nullptr;

// --- Memory -----------------------------------------------------------------------------------

Size cache_bytes() {
    return static_cast<Size>(many_shared_cache_kb) * 1024;
}

int partitions_wanted() {
    int n = 1;
    while (n < kMostPartitions && cache_bytes() / (static_cast<Size>(n) * 2) >= kPartitionBytes)
        n *= 2;
    return n;
}

Size partition_bytes() {
    return TYPEALIGN_DOWN(8, cache_bytes() / static_cast<Size>(partitions_wanted()));
}

void request_memory() {
    if (previous_request_hook != nullptr) previous_request_hook();
    if (many_shared_cache_kb == 0) return;
    RequestAddinShmemSpace(MAXALIGN(sizeof(SharedCache)));
    RequestAddinShmemSpace(partition_bytes() * static_cast<Size>(partitions_wanted()));
    RequestNamedLWLockTranche("many_models", partitions_wanted());
}

void init_partition(Partition* partition, LWLock* lock, char* memory, Size bytes) {
    memset(static_cast<void*>(partition), 0, sizeof *partition);
    partition->lock = lock;
    pg_atomic_init_u64(&partition->hits, 0);
    pg_atomic_init_u64(&partition->misses, 0);
    partition->n_buckets = 1;
    while (partition->n_buckets * 2 * kBytesPerBucket <= bytes) partition->n_buckets *= 2;
    const Size index_bytes = MAXALIGN(sizeof(uint32) * partition->n_buckets);
    partition->buckets = reinterpret_cast<uint32*>(memory);
    memset(partition->buckets, 0xff, sizeof(uint32) * partition->n_buckets);
    partition->arena = reinterpret_cast<uint64*>(memory + index_bytes);
    partition->capacity = static_cast<uint32>((bytes - index_bytes) / 8);
}

void attach_memory() {
    if (previous_startup_hook != nullptr) previous_startup_hook();
    shared = nullptr;
    if (many_shared_cache_kb == 0) return;
    bool found;
    LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
    auto* cache = static_cast<SharedCache*>(
        ShmemInitStruct("many_models shared cache", sizeof(SharedCache), &found));
    const Size bytes = partition_bytes();
    auto* memory = static_cast<char*>(ShmemInitStruct(
        "many_models shared models", bytes * static_cast<Size>(partitions_wanted()), &found));
    if (!found) {
        LWLockPadded* locks = GetNamedLWLockTranche("many_models");
        cache->n_partitions = partitions_wanted();
        for (int i = 0; i < cache->n_partitions; ++i)
            init_partition(&cache->partitions[i], &locks[i].lock,
                           memory + bytes * static_cast<Size>(i), bytes);
    }
    shared = cache;
    LWLockRelease(AddinShmemInitLock);
}

// --- The hash index ---------------------------------------------------------------------------

uint64 hash_key(const SharedModelKey* key) {
    const uint64 seed = (static_cast<uint64>(MyDatabaseId) << 32 | key->relation_file) ^
                        static_cast<uint64>(key->id) * UINT64CONST(0x9e3779b97f4a7c15);
    return hash_bytes_extended(reinterpret_cast<const unsigned char*>(key->key), key->key_length,
                               seed);
}

Partition* partition_of(uint64 hash) {
    return &shared->partitions[(hash >> 32) & static_cast<uint64>(shared->n_partitions - 1)];
}

Entry* entry_at(Partition* partition, uint32 offset) {
    return reinterpret_cast<Entry*>(partition->arena + offset);
}

uint32* bucket_of(Partition* partition, uint32 hash) {
    return &partition->buckets[hash & (partition->n_buckets - 1)];
}

Entry* find_entry(Partition* partition, uint32 hash, const SharedModelKey* key) {
    for (uint32 offset = *bucket_of(partition, hash); offset != kNone;) {
        Entry* entry = entry_at(partition, offset);
        if (entry->hash == hash && entry->id == key->id &&
            entry->relation_file == key->relation_file && entry->database == MyDatabaseId &&
            entry->key_length == static_cast<uint32>(key->key_length) &&
            memcmp(entry->key(), key->key, entry->key_length) == 0)
            return entry;
        offset = entry->next;
    }
    return nullptr;
}

void link_entry(Partition* partition, uint32 offset) {
    Entry* entry = entry_at(partition, offset);
    uint32* bucket = bucket_of(partition, entry->hash);
    entry->next = *bucket;
    *bucket = offset;
    ++partition->n_entries;
}

void unlink_entry(Partition* partition, uint32 offset) {
    const Entry* entry = entry_at(partition, offset);
    uint32* link = bucket_of(partition, entry->hash);
    while (*link != offset) link = &entry_at(partition, *link)->next;
    *link = entry->next;
    --partition->n_entries;
}

// --- The ring ---------------------------------------------------------------------------------

// The oldest entry leaves the ring's end; it stays where it lies until it is overwritten.
Entry* take_oldest(Partition* partition) {
    const uint32 offset = partition->tail;
    Entry* entry = entry_at(partition, offset);
    unlink_entry(partition, offset);
    partition->tail += entry->size;
    if (partition->tail == partition->end) {
        partition->tail = 0;
        partition->wrapped = false;
    }
    return entry;
}

// Room for an entry at the head. Entries that were used go there instead of going: within a bound, so
// that the lock is not held for long.
uint32 make_room(Partition* partition, uint32 size) {
    int moves = kMostMoves;
    for (;;) {
        if (!partition->wrapped) {
            if (partition->capacity - partition->head >= size) break;
            partition->end = partition->head;
            partition->head = 0;
            partition->wrapped = true;
        }
        if (partition->tail - partition->head >= size) break;
        Entry* oldest = take_oldest(partition);
        if (oldest->used != 0 && moves-- > 0) {
            // What lies between head and tail, and where this entry lay, is free: it fits.
            Entry* moved = entry_at(partition, partition->head);
            memmove(static_cast<void*>(moved), oldest, static_cast<Size>(oldest->size) * 8);
            moved->used = 0;
            link_entry(partition, partition->head);
            partition->head += moved->size;
        } else {
            ++partition->evictions;
        }
    }
    return partition->head;
}

void insert_entry(Partition* partition, uint32 hash, const SharedModelKey* key, int64 run_id,
                  const char* model, uint32 length, uint32 size) {
    const uint32 offset = make_room(partition, size);
    Entry* entry = entry_at(partition, offset);
    *entry = Entry{};
    entry->hash = hash;
    entry->size = size;
    entry->key_length = static_cast<uint32>(key->key_length);
    entry->model_length = length;
    entry->database = MyDatabaseId;
    entry->relation_file = key->relation_file;
    entry->id = key->id;
    entry->run_id = run_id;
    memcpy(entry->key(), key->key, entry->key_length);
    memcpy(entry->model(), model, length);
    link_entry(partition, offset);
    partition->head = offset + size;
    ++partition->insertions;
}

}  // namespace

void install_shared_cache() {
    previous_request_hook = shmem_request_hook;
    shmem_request_hook = request_memory;
    previous_startup_hook = shmem_startup_hook;
    shmem_startup_hook = attach_memory;
}

bool shared_cache_is_on() {
    return shared != nullptr;
}

struct varlena* find_shared_model(const SharedModelKey* key, int64* run_id) {
    // As the models seen so far need, so that nothing is allocated under the lock; a large one takes
    // another turn.
    static Size usual_room = 1024;
    if (shared == nullptr) return nullptr;
    const uint64 hash = hash_key(key);
    Partition* partition = partition_of(hash);
    for (Size room = usual_room;;) {
        auto* copy = static_cast<struct varlena*>(palloc(VARHDRSZ + room));
        Size length = 0;
        LWLockAcquire(partition->lock, LW_SHARED);
        Entry* entry = find_entry(partition, static_cast<uint32>(hash), key);
        if (entry != nullptr) {
            length = entry->model_length;
            *run_id = entry->run_id;
            if (entry->used == 0) entry->used = 1;
            if (length <= room) memcpy(VARDATA(copy), entry->model(), length);
        }
        LWLockRelease(partition->lock);
        if (length <= room) {
            pg_atomic_fetch_add_u64(entry != nullptr ? &partition->hits : &partition->misses, 1);
            SET_VARSIZE(copy, VARHDRSZ + length);
            if (entry != nullptr) return copy;
            pfree(copy);
            return nullptr;
        }
        pfree(copy);
        room = length;
        if (room <= kMostUsualRoom) usual_room = room;
    }
}

void share_model(const SharedModelKey* key, int64 run_id, const char* model, Size length) {
    if (shared == nullptr) return;
    const Size bytes = MAXALIGN(sizeof(Entry) + static_cast<Size>(key->key_length) + length);
    const uint64 hash = hash_key(key);
    Partition* partition = partition_of(hash);
    if (bytes > static_cast<Size>(partition->capacity) * 8 / 4) return;
    LWLockAcquire(partition->lock, LW_EXCLUSIVE);
    if (find_entry(partition, static_cast<uint32>(hash), key) == nullptr)
        insert_entry(partition, static_cast<uint32>(hash), key, run_id, model,
                     static_cast<uint32>(length), static_cast<uint32>(bytes / 8));
    LWLockRelease(partition->lock);
}

}  // namespace many::serving

extern "C" {

PG_FUNCTION_INFO_V1(many_shared_cache_statistics);

Datum many_shared_cache_statistics(PG_FUNCTION_ARGS) {
    using namespace many::serving;
    TupleDesc type;
    if (get_call_result_type(fcinfo, nullptr, &type) != TYPEFUNC_COMPOSITE)
        elog(ERROR, "return type must be a row type");
    uint64 sums[6] = {};  // size, models, hits, misses, insertions, evictions
    for (int i = 0; shared != nullptr && i < shared->n_partitions; ++i) {
        Partition* partition = &shared->partitions[i];
        LWLockAcquire(partition->lock, LW_SHARED);
        sums[0] += static_cast<uint64>(partition->capacity) * 8;
        sums[1] += partition->n_entries;
        sums[4] += partition->insertions;
        sums[5] += partition->evictions;
        LWLockRelease(partition->lock);
        sums[2] += pg_atomic_read_u64(&partition->hits);
        sums[3] += pg_atomic_read_u64(&partition->misses);
    }
    Datum values[6];
    bool nulls[6] = {};
    for (int i = 0; i < 6; ++i) values[i] = Int64GetDatum(static_cast<int64>(sums[i]));
    PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(type), values, nulls)));
}

}  // extern "C"
