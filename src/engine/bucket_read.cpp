#include "pg/server.h"

#include "engine/bucket_read.h"

namespace many::engine {

namespace {

uint32 range_of(uint64 hash) {
    return (uint32)(hash >> 16) & (kRanges - 1);
}

// Adds a copy of a training row to its group.
void merge_row(BucketWork* work, Group* group, const char* row) {
    GroupTable* table = &work->table;
    group->n_rows++;
    group->checksum += row_checksum(table, (const double*)row);
    if (table->time_at >= 0) {
        int64 time;
        memcpy(&time, row + (Size)table->time_at * sizeof(double), sizeof time);
        group_see_time(group, time);
    }
    if (group->over_budget) return;
    double* slot = group_row_slot(table, group);
    if (slot != nullptr) {
        memcpy(slot, row, work->sizes.row);
    } else {
        group_free_rows(table, group);
        group->over_budget = true;
    }
}

// Comes after the rows, which name the group.
void merge_known(GroupTable* table, const ChunkHeader* header, const char* key,
                 const char* payload) {
    bool found = false;
    Group* group = group_table_find(table, header->hash, key, header->key_length);
    if (group == nullptr)
        group = group_table_lookup(table, header->hash, key, header->key_length, &found);
    group->known = (KnownGroup*)group_table_doubles(table, sizeof(KnownGroup) / sizeof(double));
    memcpy(group->known, payload, sizeof(KnownGroup));
}

// Adds moments, an info or what was known of a group to the table.
void merge_sums(BucketWork* work, const ChunkHeader* header, const char* key, const char* payload) {
    GroupTable* table = &work->table;
    bool found = false;
    if (header->kind == ChunkKind::known) {
        merge_known(table, header, key, payload);
        return;
    }
    Group* group = group_table_lookup(table, header->hash, key, header->key_length, &found);
    if (header->kind == ChunkKind::moments) {
        MomentsPrefix prefix;
        memcpy(&prefix, payload, sizeof prefix);
        group->n_rows += prefix.n_rows;
        group->checksum += prefix.checksum;
        if (prefix.first_time < group->first_time) group->first_time = prefix.first_time;
        if (prefix.last_time > group->last_time) group->last_time = prefix.last_time;
        group_merge_moments(table, group, (const double*)(payload + sizeof prefix));
    } else {
        GroupInfo info;
        memcpy(&info, payload, sizeof info);
        group->info.checksum += info.checksum;
        group->info.n_null += info.n_null;
        if (info.n_bad > 0)
            group_note_bad(group, info.bad_column, info.bad_is_null != 0, info.n_bad);
    }
}

// Calls visit(group, row) for the rows of a chunk of rows whose hash lies in [low, high).
template <class Visit>
void visit_rows(BucketWork* work, const ChunkHeader* header, const char* key, const char* payload,
                uint32 low, uint32 high, Visit visit) {
    bool found = false;
    if (header->kind == ChunkKind::packed) {
        for (uint32 i = 0; i < header->n; i++, payload += work->sizes.record) {
            const uint64 hash = key_unpack(&work->codec, payload);
            const uint32 range = range_of(hash);
            if (range < low || range >= high) continue;
            visit(group_table_lookup(&work->table, hash, work->codec.image, work->codec.length,
                                     &found),
                  payload + work->codec.packed_length);
        }
        return;
    }
    const uint32 range = range_of(header->hash);
    if (range < low || range >= high) return;
    Group* group = group_table_lookup(&work->table, header->hash, key, header->key_length, &found);
    for (uint32 i = 0; i < header->n; i++, payload += work->sizes.row) visit(group, payload);
}

bool is_rows(const ChunkHeader* header) {
    return header->kind == ChunkKind::rows || header->kind == ChunkKind::packed;
}

}  // namespace

Size sums_to_come(const GroupTable* table) {
    if (!table->folds_rows) return 0;
    return (table->n_groups - table->n_summed) * table->moments_doubles * (Size)table->n_moments *
           sizeof(double);
}

void empty_table(BucketWork* work) {
    for (uint64 i = 0; i < work->table.n_groups; i++)
        group_free_rows(&work->table, group_at(&work->table, i));
    group_table_reset(&work->table);
}

void drop_table(BucketWork* work) {
    for (uint64 i = 0; i < work->table.n_groups; i++)
        group_free_rows(&work->table, group_at(&work->table, i));
    group_table_free(&work->table);
}

void make_table(BucketWork* work) {
    drop_table(work);
    group_table_init(&work->table, work->spec, &work->codec, work->context);
    // Half of the budget for a group's rows, the other half for fitting them.
    const Size most = work->spec->budget_bytes / 2 / work->sizes.row;
    work->table.most_rows = most > PG_INT32_MAX ? PG_INT32_MAX : (uint32)most;
}

void reuse_table(BucketWork* work) {
    if (work->table.slots == nullptr)
        make_table(work);
    else
        group_table_reset(&work->table);
}

bool load_range(BucketWork* work, uint32 low, uint32 high) {
    ChunkReader reader;
    const bool may_split = high - low > 1;
    bool fits = true;
    work->held_in_training = false;
    chunk_reader_init(&reader, &work->files, work->bucket, Stream::training);
    while (fits && read_chunk(&reader)) {
        CHECK_FOR_INTERRUPTS();
        if (is_rows(&reader.header)) {
            if (reader.header.held_out != 0 && work->table.splits)
                visit_rows(work, &reader.header, reader.key, reader.payload, low, high,
                           [work](Group* group, const char* row) {
                               const auto* held = (const double*)row;
                               group_fold_rows(&work->table, group, &held, 1, 1);
                           });
            else if (reader.header.held_out != 0)
                work->held_in_training = true;
            else
                visit_rows(work, &reader.header, reader.key, reader.payload, low, high,
                           [work](Group* group, const char* row) { merge_row(work, group, row); });
        } else {
            const uint32 range = range_of(reader.header.hash);
            if (range < low || range >= high) continue;
            merge_sums(work, &reader.header, reader.key, reader.payload);
        }
        // A table of one group is handled by over_budget; splitting would not help.
        if (may_split && work->table.n_groups > 1 &&
            work->table.used_bytes + sums_to_come(&work->table) > work->table_budget)
            fits = false;
    }
    chunk_reader_finish(&reader);
    return fits;
}

namespace {

// Buckets are about as large as each other: memory that is there has its pages.
void make_room(BucketWork* work, Size bytes, Size rows) {
    if (bytes > work->chunk_capacity || rows > work->list_capacity) {
        forget_whole(work);
        work->chunk_capacity = bytes + bytes / 16;
        work->list_capacity = rows + rows / 16;
        work->chunks = (char*)MemoryContextAllocHuge(work->context, work->chunk_capacity);
        work->lists.rows = (const double**)MemoryContextAllocHuge(
            work->context, work->list_capacity * sizeof(double*));
        work->lists.next =
            (uint32*)MemoryContextAllocHuge(work->context, work->list_capacity * sizeof(uint32));
    }
}

}  // namespace

void load_whole(BucketWork* work) {
    const Size bytes = stream_bytes(&work->files, work->bucket, Stream::training);
    const Size most = bytes / work->sizes.row + 1;
    make_room(work, bytes + 1, most);
    char* chunks = work->chunks;
    work->lists.n = 0;
    read_stream(&work->files, work->bucket, Stream::training, chunks);
    for (const char* p = chunks; p < chunks + bytes;) {
        ChunkHeader header;
        memcpy(&header, p, sizeof header);
        const char* key = p + sizeof header;
        const char* payload = key + header.key_length;
        p = payload + chunk_payload_bytes(&work->sizes, &header);
        CHECK_FOR_INTERRUPTS();
        if (is_rows(&header))
            visit_rows(work, &header, key, payload, 0, kRanges,
                       [work, &header](Group* group, const char* row) {
                           list_row(&work->lists, group, header.held_out, (const double*)row);
                       });
        else
            merge_sums(work, &header, key, payload);
    }
}

void forget_whole(BucketWork* work) {
    if (work->chunks == nullptr) return;
    pfree(work->chunks);
    pfree(work->lists.rows);
    pfree(work->lists.next);
    work->chunks = nullptr;
    work->lists = {};
    work->chunk_capacity = work->list_capacity = 0;
}

void stream_holdout(BucketWork* work, Stream stream, uint32 low, uint32 high, TakeRows take) {
    ChunkReader reader;
    chunk_reader_init(&reader, &work->files, work->bucket, stream);
    while (read_chunk(&reader)) {
        CHECK_FOR_INTERRUPTS();
        if (stream == Stream::training && (!is_rows(&reader.header) || reader.header.held_out == 0))
            continue;
        if (reader.header.kind == ChunkKind::rows) {
            const uint32 range = range_of(reader.header.hash);
            bool found = false;
            if (range < low || range >= high) continue;
            take(work,
                 group_table_lookup(&work->table, reader.header.hash, reader.key,
                                    reader.header.key_length, &found),
                 (const double*)reader.payload, reader.header.n);
        } else {
            visit_rows(work, &reader.header, nullptr, reader.payload, low, high,
                       [work, take](Group* group, const char* row) {
                           take(work, group, (const double*)row, 1);
                       });
        }
    }
    chunk_reader_finish(&reader);
}

}  // namespace many::engine
