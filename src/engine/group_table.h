// The groups a process has seen, with what it holds of each: their moments, or their rows.
//
// Used on both sides of the exchange. The sink folds rows into moments batch by batch (sink.cpp);
// the fit phase merges a bucket's chunks: rows go to a block of the group's own, which in the
// statistics exchange is folded into moments when it is full, so that small groups never pay for a
// triangle of sums they do not fill, and in the rows exchange grows.
//
// Invariants: all memory lies in the table's arena; `used_bytes` counts it; nothing is freed one by
// one but row blocks (free lists by capacity). Groups keep their address until the table is reset.
// C-shaped: no destructor, safe under longjmp.
#pragma once

#include "core/numeric/moments.h"
#include "core/selection/split.h"
#include "engine/key_image.h"
#include "engine/results.h"

namespace many::engine {

// What happened in a group beside its usable rows.
struct GroupInfo {
    uint64 checksum;    // of these rows
    int64 n_null;       // rows left out for a NULL
    int64 n_bad;        // rows that make the group fail
    int32 bad_column;   // first such column: feature, or n_features for the target
    int32 bad_is_null;  // 1: NULL under null_policy error, 0: NaN or infinity
};

// A group of the version that a refresh starts from (fingerprint.h).
struct KnownGroup {
    Fingerprint then;
    uint64 place;      // of its row in the registry
    Fingerprint held;  // of held-out rows that the fit phase looks at before it needs them
    uint64 unchanged;  // 1: found to be, so that nothing of the group is summed or fitted
};

struct Group {
    uint64 hash;
    char* key;
    double* moments;  // or nullptr
    uint32 key_length;
    // its rows in the RowLists at hand: [0] training, [1] held out
    uint32 listed[2];
    uint32 list_head[2];  // the last of them (1-based; 0: none)
    uint32 n_train;       // fit phase: rows in the block; scan of a wide set: rows left as rows
    uint32 train_capacity;
    bool over_budget;  // rows exchange: the group does not fit; its rows are only counted
    double* train;     // fit phase: the block
    double* state;     // fit phase: holdout state
    int64 n_rows;      // usable rows seen
    uint64 checksum;   // of these
    int64 first_time;
    int64 last_time;
    KnownGroup* known;  // fit phase of a refresh: in the version before, or nullptr
    GroupInfo info;
};

struct ArenaBlock;

struct GroupTable {
    MemoryContext context;
    KeyCodec* codec;
    // shape
    int d;        // p + 1
    int stride;   // doubles of a row
    int time_at;  // index of the time in a row, or -1
    int n_moments;
    bool folds_rows;  // statistics exchange
    bool splits;      // two moments: [0] of training rows, [1] of held-out ones
    int cv_folds;
    uint64 seed;
    uint32 block_rows;     // rows of a full block in the statistics exchange
    uint32 most_rows;      // rows exchange: of one group; more are over budget
    Size moments_doubles;  // of one moments buffer
    // groups
    uint64 n_groups;
    uint64 n_summed;  // of these, with moments
    Group** chunks;
    uint32 n_chunks;
    uint32 chunk_capacity;
    uint32* slots;  // index + 1 into the groups; 0 = empty
    uint32* tags;   // hash bits 16 to 47 of the slot's group
    uint64 n_slots;
    Group* last;
    // arena
    Size block_bytes;  // of a block of the arena: a small part of the budget
    ArenaBlock* blocks;
    ArenaBlock* current;
    Size position;
    Size used_bytes;
    Size peak_bytes;
    void* free_rows[32];  // by log2(capacity)
};

// Rows that lie somewhere in memory (a sink's batch, a bucket's files as read), linked by group.
struct RowLists {
    const double** rows;
    uint32* next;  // the row of the same group before (1-based; 0: none)
    uint32 n;
};

constexpr uint32 kFirstBlockRows = 4;
constexpr uint32 kGroupsPerChunk = 1024;

void group_table_init(GroupTable* table, RunSpec* spec, KeyCodec* codec, MemoryContext context);
// Forgets all groups; keeps memory for reuse.
void group_table_reset(GroupTable* table);
// Gives the memory back.
void group_table_free(GroupTable* table);

// The group of a key image, made if it is new (`found` tells).
Group* group_table_lookup(GroupTable* table, uint64 hash, const char* key, uint32 key_length,
                          bool* found);
// nullptr if there is none.
Group* group_table_find(GroupTable* table, uint64 hash, const char* key, uint32 key_length);

inline Group* group_at(const GroupTable* table, uint64 index) {
    return &table->chunks[index / kGroupsPerChunk][index % kGroupsPerChunk];
}

// Room for one more row in the group's block, folding or growing first; nullptr: the group has
// most_rows already.
double* group_row_slot(GroupTable* table, Group* group);

// Folds the rows in the block into the moments.
void group_fold(GroupTable* table, Group* group);
// Folds rows that lie elsewhere, and notes their number and times.
// `held_out`: which of the moments, where the table splits.
void group_fold_rows(GroupTable* table, Group* group, const double* const* rows, uint32 n,
                     int held_out);
inline void list_row(RowLists* lists, Group* group, int held_out, const double* row) {
    lists->rows[lists->n] = row;
    lists->next[lists->n] = group->list_head[held_out];
    group->list_head[held_out] = ++lists->n;
    group->listed[held_out]++;
}
// Folds one of the group's lists.
void group_fold_list(GroupTable* table, const RowLists* lists, Group* group, int held_out);
// Merges moments from elsewhere.
void group_merge_moments(GroupTable* table, Group* group, const double* moments);
void group_free_rows(GroupTable* table, Group* group);

// Doubles from the arena, zeroed.
double* group_table_doubles(GroupTable* table, Size n);

// In rows, the time of a row without one (which the fit leaves out).
constexpr int64 kNoTime = PG_INT64_MIN;

inline void group_see_time(Group* group, int64 time) {
    if (time == kNoTime) return;
    if (time < group->first_time) group->first_time = time;
    if (time > group->last_time) group->last_time = time;
}

static_assert(core::MomentLayout::kMaxColumns + 2 < core::kBitwiseKeys);
// Of rows that come to their group; equal rows count as often as they come.
inline uint64 row_checksum(const GroupTable* table, const double* row) {
    return core::bitwise_row_hash(row, (size_t)table->stride);
}

inline void group_note_bad(Group* group, int column, bool is_null, int64 n) {
    if (group->info.n_bad == 0 || column < group->info.bad_column) {
        group->info.bad_column = column;
        group->info.bad_is_null = is_null ? 1 : 0;
    } else if (column == group->info.bad_column && is_null) {
        group->info.bad_is_null = 1;  // of both, whatever came first
    }
    group->info.n_bad += n;
}

}  // namespace many::engine
