#include "pg/server.h"

#include "engine/sink_batch.h"

#include "engine/prefetch.h"

namespace many::engine {

namespace {

constexpr uint32 kSparseShare = 2;           // fewer rows per group in a batch: rows pass through
constexpr Size kMaxBatchBytes = 256 * 1024;  // within the second-level cache

// Writes one of the group's lists as one chunk of rows.
void write_list(Sink* sink, Group* group, bool held_out) {
    char* gathered = (char*)sink->gathered;
    for (uint32 i = group->list_head[held_out]; i != 0; i = sink->lists.next[i - 1]) {
        memcpy(gathered, sink->lists.rows[i - 1], sink->row_bytes);
        gathered += sink->row_bytes;
    }
    const Stream stream = held_out && !sink->table.splits ? Stream::holdout : Stream::training;
    write_rows(&sink->writer, stream, held_out, group->hash, group->key, group->key_length,
               sink->gathered, group->listed[held_out], sink->table.stride);
}

void settle_group(Sink* sink, Group* group) {
    const bool splits = sink->table.splits;
    const uint32 n = group->listed[0] + (splits ? group->listed[1] : 0);
    const bool folds = sink->table.folds_rows &&
                       (group->moments != nullptr || n + group->n_train >= sink->few_rows);
    if (sink->record != nullptr && !folds) group->n_train += n;
    for (int held_out = 0; held_out < 2; held_out++) {
        if (group->listed[held_out] == 0) continue;
        if (folds && (held_out == 0 || splits))
            group_fold_list(&sink->table, &sink->lists, group, held_out);
        else
            write_list(sink, group, held_out != 0);
    }
    group->listed[0] = group->listed[1] = 0;
    group->list_head[0] = group->list_head[1] = 0;
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

// Groups the chunks of a batch and settles each group: the group's moments are touched once for all
// its rows in the batch.
void fold_batch(Sink* sink, Batch* batch) {
    GroupTable* table = &sink->table;
    uint32 n_touched = 0;
    sink->lists.n = 0;
    for (const char* p = batch->bytes; p < batch->bytes + batch->used;) {
        ChunkHeader header;
        memcpy(&header, p, sizeof header);
        const char* key = p + sizeof header;
        const char* payload = key + header.key_length;
        bool found = false;
        Group* group = group_table_lookup(table, header.hash, key, header.key_length, &found);
        if (unlikely(header.kind == ChunkKind::info)) {
            merge_info(group, payload);
            p = payload + sizeof(GroupInfo);
            continue;
        }
        if (group->listed[0] + group->listed[1] == 0) sink->touched[n_touched++] = group;
        list_row(&sink->lists, group, header.held_out, (const double*)payload);
        p = payload + sink->row_bytes;
    }
    for (uint32 i = 0; i < n_touched; i++) {
        if (i + 1 < n_touched) prefetch_moments(table, sink->touched[i + 1]);
        settle_group(sink, sink->touched[i]);
    }
    batch->sparse = sink->lists.n >= 64 && n_touched * kSparseShare > sink->lists.n;
    if (table->used_bytes > sink->table_budget) {
        note_peak(sink);
        write_table(&sink->writer, table);
    }
}

// How the chunks of a batch go to the file.
enum class Passes : uint8 { training, held_out, as_it_is };
constexpr int kPasses = 3;

Passes passes_as(const KeyCodec* codec, const ChunkHeader* header) {
    if (header->kind != ChunkKind::rows || header->key_length != codec->full_length)
        return Passes::as_it_is;
    return header->held_out != 0 ? Passes::held_out : Passes::training;
}

// Calls visit(how, chunk, bytes, header) for the chunks of a batch.
template <class Visit>
void visit_batch(const Sink* sink, const Batch* batch, Visit visit) {
    for (const char* p = batch->bytes; p < batch->bytes + batch->used;) {
        ChunkHeader header;
        memcpy(&header, p, sizeof header);
        const Size bytes =
            sizeof header + header.key_length +
            (header.kind == ChunkKind::rows ? sink->row_bytes : sizeof(GroupInfo));
        visit(passes_as(&sink->codec, &header), p, bytes, &header);
        p += bytes;
    }
}

// The rows of a batch that are of one kind, without headers, keys packed.
void pack_rows(Sink* sink, int bucket, const Batch* batch, Passes how, uint32 n) {
    const KeyCodec* codec = &sink->codec;
    const Size record = codec->packed_length + sink->row_bytes;
    const Size row_bytes = sink->row_bytes;
    char* records = packed_room(&sink->writer, bucket, n, record);
    char* to = records;
    visit_batch(sink, batch, [=, &to](Passes as, const char* chunk, Size, const ChunkHeader* header) {
        if (as != how) return;
        const char* key = chunk + sizeof *header;
        key_pack(codec, key, to);
        memcpy(to + codec->packed_length, key + header->key_length, row_bytes);
        to += record;
    });
    write_packed(&sink->writer, bucket, how == Passes::held_out, records, n, record);
}

// A sparse batch goes to the file as it came; where keys allow it, without headers.
void pass_through(Sink* sink, int bucket, const Batch* batch) {
    uint32 n[kPasses] = {0, 0, 0};
    if (sink->codec.full_length == 0) {
        write_chunks(&sink->writer, bucket, batch->bytes, batch->used);
        return;
    }
    visit_batch(sink, batch, [&n](Passes as, const char*, Size, const ChunkHeader*) {
        n[(int)as]++;
    });
    for (const Passes how : {Passes::training, Passes::held_out})
        if (n[(int)how] > 0) pack_rows(sink, bucket, batch, how, n[(int)how]);
    if (n[(int)Passes::as_it_is] == 0) return;
    visit_batch(sink, batch,
                [sink, bucket](Passes as, const char* chunk, Size bytes, const ChunkHeader*) {
                    if (as == Passes::as_it_is) write_chunks(&sink->writer, bucket, chunk, bytes);
                });
}

}  // namespace

// A quarter of the budget for batches; the rest, less the files' buffers, for the table.
void make_batches(Sink* sink) {
    const RunSpec* spec = sink->spec;
    const Size n_buckets = (Size)sink->segment->n_buckets;
    const Size share = spec->budget_bytes / 4 / n_buckets;
    const Size files = n_buckets * 2 * (BLCKSZ + 512);
    const Size smallest = sizeof(ChunkHeader) + kMaxKeyLength + sink->payload_bytes;
    sink->batch_bytes = share < kMaxBatchBytes ? share : kMaxBatchBytes;
    if (sink->batch_bytes < smallest) sink->batch_bytes = smallest;
    sink->batches = (Batch*)palloc0(sizeof(Batch) * n_buckets);
    for (Size i = 0; i < n_buckets; i++) sink->batches[i].done = sink->segment->bucket_done[i];
    const Size most =
        sink->batch_bytes /
            (sizeof(ChunkHeader) + 8 +
             (sizeof(GroupInfo) < sink->row_bytes ? sizeof(GroupInfo) : sink->row_bytes)) +
        1;
    sink->lists.rows = (const double**)palloc(sizeof(double*) * most);
    sink->lists.next = (uint32*)palloc(sizeof(uint32) * most);
    sink->touched = (Group**)palloc(sizeof(Group*) * most);
    sink->gathered = (double*)palloc(sink->batch_bytes);
    const Size taken =
        files + spill_blocks_bytes(sink->segment) + sink->batch_bytes * (n_buckets + 2);
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

void end_batch(Sink* sink, int bucket) {
    Batch* batch = &sink->batches[bucket];
    if (batch->n == 0) return;
    if (batch->sparse)
        pass_through(sink, bucket, batch);
    else
        fold_batch(sink, batch);
    batch->used = 0;
    batch->n = 0;
}

}  // namespace many::engine
