#include "pg/server.h"

#include "engine/sink_batch.h"

#include "engine/prefetch.h"

namespace many::engine {

namespace {

constexpr Size kRareShare = 8;               // of a batch of records: one of chunks beside it
constexpr uint32 kSparseShare = 2;           // fewer rows per group in a batch: rows pass through
constexpr Size kMaxBatchBytes = 256 * 1024;  // within the second-level cache

const double** rows_of(const Sink* sink, const BatchGroup* g, int held_out) {
    return sink->groups.sorted + g->at[held_out];
}

// Writes the group's training or held-out rows as one chunk.
void write_group_rows(Sink* sink, const BatchGroup* g, int held_out) {
    const double** rows = rows_of(sink, g, held_out);
    const Group* group = g->group;
    char* gathered = (char*)sink->gathered;
    for (uint32 i = 0; i < g->n[held_out]; i++, gathered += sink->row_bytes)
        memcpy(gathered, rows[i], sink->row_bytes);
    const Stream stream = held_out != 0 && !sink->table.splits ? Stream::holdout : Stream::training;
    write_rows(&sink->writer, stream, held_out != 0, group->hash, group->key, group->key_length,
               sink->gathered, g->n[held_out], sink->table.stride);
}

void fold_group_rows(Sink* sink, const BatchGroup* g, int held_out) {
    constexpr uint32 kAtOnce = 64;  // what is read of them again stays in the first-level cache
    const double** rows = rows_of(sink, g, held_out);
    for (uint32 done = 0; done < g->n[held_out]; done += kAtOnce) {
        const uint32 left = g->n[held_out] - done;
        group_fold_rows(&sink->table, g->group, rows + done, left < kAtOnce ? left : kAtOnce,
                        held_out);
    }
}

void settle_group(Sink* sink, const BatchGroup* g) {
    Group* group = g->group;
    const bool splits = sink->table.splits;
    const uint32 n = g->n[0] + (splits ? g->n[1] : 0);
    const bool folds = sink->table.folds_rows &&
                       (group->moments != nullptr || n + group->n_train >= sink->few_rows);
    if (sink->record != nullptr && !folds) group->n_train += n;
    for (int held_out = 0; held_out < 2; held_out++) {
        if (g->n[held_out] == 0) continue;
        if (folds && (held_out == 0 || splits))
            fold_group_rows(sink, g, held_out);
        else
            write_group_rows(sink, g, held_out);
    }
}

// Fetches the moments of the group that comes next.
void prefetch_moments(const GroupTable* table, const Group* group) {
    constexpr Size kMost = 4096;
    const Size bytes = table->moments_doubles * sizeof(double);
    if (group->moments != nullptr) prefetch_bytes(group->moments, bytes < kMost ? bytes : kMost);
}

void merge_info(Group* group, const char* payload) {
    GroupInfo info;
    memcpy(&info, payload, sizeof info);
    group->info.checksum += info.checksum;
    group->info.n_null += info.n_null;
    if (info.n_bad > 0) group_note_bad(group, info.bad_column, info.bad_is_null != 0, info.n_bad);
}

// The index of the key's group among those of the batch. Keys are told apart bytewise here: equal
// ones with different images meet in the sink's table.
uint32 batch_group(BatchGroups* b, uint64 hash, const char* key, uint32 key_length) {
    uint32 slot = (uint32)hash & b->mask;
    for (; b->slots[slot] != 0; slot = (slot + 1) & b->mask) {
        const BatchGroup* g = &b->groups[b->slots[slot] - 1];
        if (g->hash == hash && g->key_length == key_length && same_words(g->key, key, key_length))
            return b->slots[slot] - 1;
    }
    BatchGroup* g = &b->groups[b->n_groups++];
    *g = {};
    g->hash = hash;
    g->key = key;
    g->key_length = key_length;
    g->slot = slot;
    b->slots[slot] = b->n_groups;
    return b->n_groups - 1;
}

void list_batch_row(BatchGroups* b, uint32 group, uint32 held_out, const char* row) {
    b->groups[group].n[held_out]++;
    b->group_of[b->n_rows] = group * 2 + held_out;
    b->rows[b->n_rows++] = (const double*)row;
}

// List the batch's rows and their groups.
void group_records(Sink* sink, const Batch* batch) {
    BatchGroups* b = &sink->groups;
    const uint32 key_length = sink->codec.packed_length;
    b->n_groups = b->n_rows = 0;
    for (const char* p = batch->bytes; p < batch->bytes + batch->used; p += sink->record_bytes) {
        uint64 mark;
        memcpy(&mark, p, sizeof mark);
        const char* key = p + sizeof mark;
        const uint32 group = batch_group(b, mark & ~UINT64CONST(1), key, key_length);
        list_batch_row(b, group, (uint32)(mark & 1), key + key_length);
    }
    for (uint32 i = 0; i < b->n_groups; i++) {
        BatchGroup* g = &b->groups[i];
        bool found = false;
        const uint64 hash = key_unpack(&sink->unpacker, g->key);
        g->group = group_table_lookup(&sink->table, hash, sink->unpacker.image,
                                      sink->unpacker.length, &found);
    }
}

void group_chunks(Sink* sink, const Batch* batch) {
    BatchGroups* b = &sink->groups;
    bool found = false;
    b->n_groups = b->n_rows = 0;
    for (const char* p = batch->bytes; p < batch->bytes + batch->used;) {
        ChunkHeader header;
        memcpy(&header, p, sizeof header);
        const char* key = p + sizeof header;
        const char* payload = key + header.key_length;
        if (unlikely(header.kind == ChunkKind::info)) {
            merge_info(
                group_table_lookup(&sink->table, header.hash, key, header.key_length, &found),
                payload);
            p = payload + sizeof(GroupInfo);
            continue;
        }
        const uint32 group = batch_group(b, header.hash, key, header.key_length);
        list_batch_row(b, group, header.held_out, payload);
        p = payload + sink->row_bytes;
    }
    for (uint32 i = 0; i < b->n_groups; i++) {
        BatchGroup* g = &b->groups[i];
        g->group = group_table_lookup(&sink->table, g->hash, g->key, g->key_length, &found);
    }
}

void sort_rows(BatchGroups* b) {
    uint32 next = 0;
    for (uint32 i = 0; i < b->n_groups; i++) {
        BatchGroup* g = &b->groups[i];
        for (int held_out = 0; held_out < 2; held_out++) {
            g->at[held_out] = next;
            next += g->n[held_out];
        }
    }
    for (uint32 i = 0; i < b->n_rows; i++)
        b->sorted[b->groups[b->group_of[i] / 2].at[b->group_of[i] % 2]++] = b->rows[i];
    for (uint32 i = 0; i < b->n_groups; i++)
        for (int held_out = 0; held_out < 2; held_out++)
            b->groups[i].at[held_out] -= b->groups[i].n[held_out];
}

// Settles each group of the batch that was listed: the group's moments are touched once for all its
// rows in the batch.
void fold_batch(Sink* sink, Batch* batch) {
    GroupTable* table = &sink->table;
    BatchGroups* b = &sink->groups;
    sort_rows(b);
    for (uint32 i = 0; i < b->n_groups; i++) b->slots[b->groups[i].slot] = 0;
    for (uint32 i = 0; i < b->n_groups; i++) {
        if (i + 1 < b->n_groups) prefetch_moments(table, b->groups[i + 1].group);
        settle_group(sink, &b->groups[i]);
    }
    batch->sparse = b->n_rows >= 64 && b->n_groups * kSparseShare > b->n_rows;
    if (table->used_bytes > sink->table_budget) {
        note_peak(sink);
        write_table(&sink->writer, table);
    }
}

// The records of one kind as one chunk.
void pack_records(Sink* sink, int bucket, const Batch* batch, uint64 held_out, uint32 n) {
    const Size length = sink->record_bytes - sizeof(uint64);
    char* records = packed_room(&sink->writer, bucket, n, length);
    char* to = records;
    for (const char* p = batch->bytes; p < batch->bytes + batch->used; p += sink->record_bytes) {
        uint64 mark;
        memcpy(&mark, p, sizeof mark);
        if ((mark & 1) != held_out) continue;
        memcpy(to, p + sizeof mark, length);
        to += length;
    }
    write_packed(&sink->writer, bucket, held_out != 0, records, n, length);
}

// A sparse batch goes to the file, its training rows before the others.
void pass_records(Sink* sink, int bucket, const Batch* batch) {
    uint32 n_held = 0;
    for (const char* p = batch->bytes; p < batch->bytes + batch->used; p += sink->record_bytes) {
        uint64 mark;
        memcpy(&mark, p, sizeof mark);
        n_held += (uint32)(mark & 1);
    }
    if (n_held < batch->n) pack_records(sink, bucket, batch, 0, batch->n - n_held);
    if (n_held > 0) pack_records(sink, bucket, batch, 1, n_held);
}

void empty(Batch* batch) {
    batch->used = 0;
    batch->n = 0;
}

}  // namespace

namespace {

void make_groups(BatchGroups* b, Size most) {
    Size n_slots = 1024;
    while (n_slots < most * 2) n_slots *= 2;
    b->groups = (BatchGroup*)palloc(sizeof(BatchGroup) * most);
    b->slots = (uint32*)palloc0(sizeof(uint32) * n_slots);
    b->mask = (uint32)n_slots - 1;
    b->rows = (const double**)palloc(sizeof(double*) * most);
    b->group_of = (uint32*)palloc(sizeof(uint32) * most);
    b->sorted = (const double**)palloc(sizeof(double*) * most);
}

}  // namespace

// A quarter of the budget for batches; the rest, less the files' buffers, for the table.
void make_batches(Sink* sink) {
    const RunSpec* spec = sink->spec;
    const Size n_buckets = (Size)sink->segment->n_buckets;
    const Size share = spec->budget_bytes / 4 / n_buckets;
    const Size files = n_buckets * 2 * (BLCKSZ + 512);
    const Size smallest = sizeof(ChunkHeader) + kMaxKeyLength + sink->payload_bytes;
    const bool has_records = sink->codec.full_length > 0;
    Size large = share < kMaxBatchBytes ? share : kMaxBatchBytes;
    if (large < smallest) large = smallest;
    Size rare = large / kRareShare;  // chunks beside records
    if (rare < smallest) rare = smallest;
    sink->record_bytes = sizeof(uint64) + sink->codec.packed_length + sink->row_bytes;
    sink->records = (Batch*)palloc0(sizeof(Batch) * n_buckets);
    sink->chunks = (Batch*)palloc0(sizeof(Batch) * n_buckets);
    for (Size i = 0; i < n_buckets; i++) {
        sink->records[i].capacity = (uint32)large;
        sink->chunks[i].capacity = (uint32)(has_records ? rare : large);
        sink->records[i].done = sink->chunks[i].done = sink->segment->bucket_done[i];
    }
    const Size chunk_bytes = sizeof(ChunkHeader) + 8 + sink->row_bytes;
    make_groups(&sink->groups,
                large / (sink->record_bytes < chunk_bytes ? sink->record_bytes : chunk_bytes) + 1);
    sink->gathered = (double*)palloc(large);
    const Size taken = files + spill_blocks_bytes(sink->segment) +
                       (large + (has_records ? rare : 0)) * (n_buckets + 3);
    sink->table_budget = spec->budget_bytes > taken + spec->budget_bytes / 4
                             ? spec->budget_bytes - taken
                             : spec->budget_bytes / 4;
}

void note_peak(Sink* sink) {
    uint64 peak = pg_atomic_read_u64(&sink->segment->peak_bytes);
    while (peak < sink->table.peak_bytes &&
           !pg_atomic_compare_exchange_u64(&sink->segment->peak_bytes, &peak,
                                           sink->table.peak_bytes)) {
    }
}

void end_records(Sink* sink, int bucket) {
    Batch* batch = &sink->records[bucket];
    if (batch->n == 0) return;
    if (batch->sparse) {
        pass_records(sink, bucket, batch);
    } else {
        group_records(sink, batch);
        fold_batch(sink, batch);
    }
    empty(batch);
}

void end_chunks(Sink* sink, int bucket) {
    Batch* batch = &sink->chunks[bucket];
    if (batch->n == 0) return;
    if (batch->sparse) {
        write_chunks(&sink->writer, bucket, batch->bytes, batch->used);
    } else {
        group_chunks(sink, batch);
        fold_batch(sink, batch);
    }
    empty(batch);
}

}  // namespace many::engine
