#include "pg/server.h"

#include "engine/group_table.h"

#include "core/numeric/moments.h"
#include "core/selection/split.h"

namespace many::engine {

struct ArenaBlock {
    ArenaBlock* next;
    Size size;  // of data
    char data[FLEXIBLE_ARRAY_MEMBER];
};

namespace {

constexpr Size kLeastBlockBytes = 64 * 1024;
constexpr Size kMostBlockBytes = 1024 * 1024;
constexpr Size kDirectBytes = 256 * 1024;  // larger row blocks are allocated on their own
constexpr uint64 kFirstSlots = 1024;

void note_used(GroupTable* table, Size bytes) {
    table->used_bytes += bytes;
    if (table->used_bytes > table->peak_bytes) table->peak_bytes = table->used_bytes;
}

char* arena_alloc(GroupTable* table, Size bytes) {
    bytes = MAXALIGN(bytes);
    if (table->current == nullptr || table->position + bytes > table->current->size) {
        ArenaBlock* next = table->current != nullptr ? table->current->next : table->blocks;
        if (next == nullptr || next->size < bytes) {
            const Size size = bytes > table->block_bytes ? bytes : table->block_bytes;
            auto* block = (ArenaBlock*)MemoryContextAllocHuge(table->context,
                                                              offsetof(ArenaBlock, data) + size);
            block->size = size;
            block->next = next;
            if (table->current != nullptr)
                table->current->next = block;
            else
                table->blocks = block;
            next = block;
        }
        table->current = next;
        table->position = 0;
        note_used(table, next->size);
    }
    char* p = table->current->data + table->position;
    table->position += bytes;
    return p;
}

int capacity_class(uint32 capacity) {
    return 31 - __builtin_clz(capacity);
}

Size rows_bytes(const GroupTable* table, uint32 capacity) {
    return (Size)capacity * (Size)table->stride * sizeof(double);
}

double* alloc_rows(GroupTable* table, uint32 capacity) {
    const Size bytes = rows_bytes(table, capacity);
    if (bytes > kDirectBytes) {
        note_used(table, bytes);
        return (double*)MemoryContextAllocHuge(table->context, bytes);
    }
    void** list = &table->free_rows[capacity_class(capacity)];
    if (*list != nullptr) {
        void* block = *list;
        memcpy(list, block, sizeof(void*));
        return (double*)block;
    }
    return (double*)arena_alloc(table, bytes);
}

void free_rows(GroupTable* table, double* rows, uint32 capacity) {
    if (rows == nullptr) return;
    const Size bytes = rows_bytes(table, capacity);
    if (bytes > kDirectBytes) {
        table->used_bytes -= bytes;
        pfree(rows);
        return;
    }
    void** list = &table->free_rows[capacity_class(capacity)];
    memcpy(rows, list, sizeof(void*));
    *list = rows;
}

// A block of at least one more row, the old rows copied.
void grow_rows(GroupTable* table, double** rows, uint32* capacity) {
    uint32 next = *capacity == 0 ? kFirstBlockRows : *capacity * (*capacity < 16 ? 4 : 2);
    if (!table->folds_rows && next > table->most_rows && *capacity < table->most_rows &&
        rows_bytes(table, table->most_rows) > kDirectBytes)
        next = table->most_rows;
    double* bigger = alloc_rows(table, next);
    if (*capacity > 0) memcpy(bigger, *rows, rows_bytes(table, *capacity));
    free_rows(table, *rows, *capacity);
    *rows = bigger;
    *capacity = next;
}

void rehash(GroupTable* table, uint64 n_slots) {
    if (table->slots != nullptr) {
        pfree(table->slots);
        pfree(table->tags);
        table->used_bytes -= table->n_slots * 2 * sizeof(uint32);
    }
    table->slots = (uint32*)MemoryContextAllocExtended(table->context, n_slots * sizeof(uint32),
                                                       MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
    table->tags = (uint32*)MemoryContextAllocExtended(table->context, n_slots * sizeof(uint32),
                                                      MCXT_ALLOC_HUGE);
    table->n_slots = n_slots;
    note_used(table, n_slots * 2 * sizeof(uint32));
    for (uint64 i = 0; i < table->n_groups; i++) {
        const Group* group = group_at(table, i);
        uint64 slot = group->hash & (n_slots - 1);
        while (table->slots[slot] != 0) slot = (slot + 1) & (n_slots - 1);
        table->slots[slot] = (uint32)i + 1;
        table->tags[slot] = (uint32)(group->hash >> 16);
    }
}

Group* new_group(GroupTable* table, uint64 hash, const char* key, uint32 key_length) {
    const uint64 chunk = table->n_groups / kGroupsPerChunk;
    if (chunk == table->n_chunks) {
        if (chunk == table->chunk_capacity) {
            const uint32 capacity = table->chunk_capacity == 0 ? 64 : table->chunk_capacity * 2;
            auto** chunks =
                (Group**)MemoryContextAllocHuge(table->context, capacity * sizeof(Group*));
            if (table->chunks != nullptr) {
                memcpy(chunks, table->chunks, table->n_chunks * sizeof(Group*));
                pfree(table->chunks);
            }
            table->chunks = chunks;
            table->chunk_capacity = capacity;
        }
        table->chunks[chunk] = (Group*)arena_alloc(table, sizeof(Group) * kGroupsPerChunk);
        table->n_chunks++;
    }
    Group* group = group_at(table, table->n_groups++);
    memset(group, 0, sizeof *group);
    group->hash = hash;
    group->key = arena_alloc(table, key_length);
    memcpy(group->key, key, key_length);
    group->key_length = key_length;
    group->first_time = PG_INT64_MAX;
    group->last_time = PG_INT64_MIN;
    return group;
}

void make_moments(GroupTable* table, Group* group) {
    table->n_summed++;
    group->moments = group_table_doubles(table, table->moments_doubles * (Size)table->n_moments);
}

void add_to_moments(GroupTable* table, Group* group, const double* const* rows, uint32 n,
                    int held_out) {
    const core::MomentLayout layout(table->d);
    if (table->cv_folds == 0) {
        core::moments_gather_rows(
            group->moments + (table->splits ? (Size)held_out * table->moments_doubles : 0), layout,
            rows, n);
        return;
    }
    for (uint32 i = 0; i < n; i++) {
        const int fold =
            core::fold_of(core::row_hash(rows[i], (size_t)table->d, table->seed), table->cv_folds);
        core::moments_gather_rows(group->moments + (Size)fold * table->moments_doubles, layout,
                                  &rows[i], 1);
    }
}

// Of the equal images of a key the smallest stays: independent of the order of the rows.
void keep_smallest_image(GroupTable* table, Group* group, const char* key, uint32 key_length) {
    const int order =
        memcmp(key, group->key, key_length < group->key_length ? key_length : group->key_length);
    if (order > 0 || (order == 0 && key_length >= group->key_length)) return;
    if (key_length > group->key_length) group->key = arena_alloc(table, key_length);
    memcpy(group->key, key, key_length);
    group->key_length = key_length;
}

}  // namespace

void group_table_init(GroupTable* table, RunSpec* spec, KeyCodec* codec, MemoryContext context) {
    memset(table, 0, sizeof *table);
    table->context = context;
    table->codec = codec;
    table->d = spec->n_features + 1;
    table->stride = row_stride(spec);
    table->time_at = spec->has_time ? table->d : -1;
    table->folds_rows = spec->exchange == Exchange::statistics;
    table->cv_folds = spec->cv_folds;
    table->seed = (uint64)spec->seed;
    table->block_bytes = (Size)spec->budget_bytes / 16;
    if (table->block_bytes < kLeastBlockBytes) table->block_bytes = kLeastBlockBytes;
    if (table->block_bytes > kMostBlockBytes) table->block_bytes = kMostBlockBytes;
    table->n_moments = spec->n_moments();
    table->splits = spec->append_only;
    table->moments_doubles = core::MomentLayout(table->d).doubles();
    // Rows whose bytes equal those of the moments, to the next power of two, 16 to 64.
    const Size row_bytes = (Size)table->stride * sizeof(double);
    const Size even = table->moments_doubles * sizeof(double) * (Size)table->n_moments / row_bytes;
    table->most_rows = PG_UINT32_MAX;
    table->block_rows = even <= 24 ? 32 : even <= 48 ? 32 : 64;
    rehash(table, kFirstSlots);
}

void group_table_reset(GroupTable* table) {
    // Row blocks of their own are only in the fit phase, which frees them group by group.
    table->n_groups = table->n_summed = 0;
    table->n_chunks = 0;
    table->last = nullptr;
    table->current = nullptr;
    table->position = 0;
    table->used_bytes = 0;
    memset(table->free_rows, 0, sizeof table->free_rows);
    memset(table->slots, 0, table->n_slots * sizeof(uint32));
    note_used(table, table->n_slots * 2 * sizeof(uint32));
}

void group_table_free(GroupTable* table) {
    ArenaBlock* block = table->blocks;
    while (block != nullptr) {
        ArenaBlock* next = block->next;
        pfree(block);
        block = next;
    }
    if (table->slots != nullptr) {
        pfree(table->slots);
        pfree(table->tags);
    }
    if (table->chunks != nullptr) pfree(table->chunks);
    table->blocks = table->current = nullptr;
    table->slots = table->tags = nullptr;
    table->chunks = nullptr;
    table->n_slots = table->n_groups = table->n_summed = 0;
    table->n_chunks = table->chunk_capacity = 0;
    table->used_bytes = 0;
}

Group* group_table_find(GroupTable* table, uint64 hash, const char* key, uint32 key_length) {
    uint64 slot = hash & (table->n_slots - 1);
    while (table->slots[slot] != 0) {
        if (table->tags[slot] == (uint32)(hash >> 16)) {
            Group* group = group_at(table, table->slots[slot] - 1);
            if (group->hash == hash &&
                key_equal(table->codec, key, key_length, group->key, group->key_length))
                return group;
        }
        slot = (slot + 1) & (table->n_slots - 1);
    }
    return nullptr;
}

Group* group_table_lookup(GroupTable* table, uint64 hash, const char* key, uint32 key_length,
                          bool* found) {
    Group* group = table->last;
    if (group == nullptr || group->hash != hash || group->key_length != key_length ||
        memcmp(group->key, key, key_length) != 0)
        group = group_table_find(table, hash, key, key_length);
    *found = group != nullptr;
    if (group == nullptr) {
        if (table->n_groups * 2 >= table->n_slots) rehash(table, table->n_slots * 2);
        group = new_group(table, hash, key, key_length);
        uint64 slot = hash & (table->n_slots - 1);
        while (table->slots[slot] != 0) slot = (slot + 1) & (table->n_slots - 1);
        table->slots[slot] = (uint32)table->n_groups;
        table->tags[slot] = (uint32)(hash >> 16);
    } else if (table->codec->has_generic) {
        keep_smallest_image(table, group, key, key_length);
    }
    table->last = group;
    return group;
}

double* group_row_slot(GroupTable* table, Group* group) {
    if (!table->folds_rows && group->n_train >= table->most_rows) return nullptr;
    if (group->n_train == group->train_capacity) {
        if (table->folds_rows && group->n_train >= table->block_rows)
            group_fold(table, group);
        else
            grow_rows(table, &group->train, &group->train_capacity);
    }
    return group->train + (Size)(group->n_train++) * (Size)table->stride;
}

double* group_table_doubles(GroupTable* table, Size n) {
    auto* doubles = (double*)arena_alloc(table, n * sizeof(double));
    memset(doubles, 0, n * sizeof(double));
    return doubles;
}

void group_fold(GroupTable* table, Group* group) {
    const double* rows[64];
    uint32 done = 0;
    if (group->moments == nullptr) make_moments(table, group);
    while (done < group->n_train) {
        const uint32 n =
            group->n_train - done < lengthof(rows) ? group->n_train - done : (uint32)lengthof(rows);
        for (uint32 i = 0; i < n; i++)
            rows[i] = group->train + (Size)(done + i) * (Size)table->stride;
        add_to_moments(table, group, rows, n, 0);
        done += n;
    }
    group->n_train = 0;
}

void group_fold_rows(GroupTable* table, Group* group, const double* const* rows, uint32 n,
                     int held_out) {
    if (group->moments == nullptr) make_moments(table, group);
    add_to_moments(table, group, rows, n, held_out);
    group->n_rows += n;
    for (uint32 i = 0; i < n; i++) group->checksum += row_checksum(table, rows[i]);
    for (uint32 i = 0; i < n && table->time_at >= 0; i++) {
        int64 time;
        memcpy(&time, &rows[i][table->time_at], sizeof time);
        group_see_time(group, time);
    }
}

void group_fold_list(GroupTable* table, const RowLists* lists, Group* group, int held_out) {
    const double* rows[64];
    uint32 n = 0;
    for (uint32 i = group->list_head[held_out]; i != 0; i = lists->next[i - 1]) {
        rows[n++] = lists->rows[i - 1];
        if (n == lengthof(rows)) {
            group_fold_rows(table, group, rows, n, held_out);
            n = 0;
        }
    }
    if (n > 0) group_fold_rows(table, group, rows, n, held_out);
}

void group_merge_moments(GroupTable* table, Group* group, const double* moments) {
    const core::MomentLayout layout(table->d);
    if (group->moments == nullptr) make_moments(table, group);
    for (int i = 0; i < table->n_moments; i++)
        core::moments_merge(group->moments + (Size)i * table->moments_doubles,
                            moments + (Size)i * table->moments_doubles, layout);
}

void group_free_rows(GroupTable* table, Group* group) {
    free_rows(table, group->train, group->train_capacity);
    group->train = nullptr;
    group->n_train = 0;
    group->train_capacity = 0;
}

}  // namespace many::engine
