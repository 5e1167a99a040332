#include "pg/server.h"

#include "engine/exchange.h"

namespace many::engine {

namespace {

char* scratch(ChunkWriter* writer, Size bytes) {
    if (bytes > writer->scratch_bytes) {
        if (writer->scratch != nullptr) pfree(writer->scratch);
        writer->scratch = (char*)MemoryContextAllocHuge(writer->context, bytes);
        writer->scratch_bytes = bytes;
    }
    return writer->scratch;
}

BufFile* bucket_file(ChunkWriter* writer, bool hold, int bucket) {
    BufFile** file = (hold ? writer->hold : writer->train) + bucket;
    if (*file == nullptr) {
        char name[MAXPGPATH];
        pg_snprintf(name, sizeof name, "%c%d.%d", hold ? 'h' : 't', bucket, writer->process);
        MemoryContext old = MemoryContextSwitchTo(writer->context);
        *file = create_run_file(writer->segment, name);
        MemoryContextSwitchTo(old);
    }
    return *file;
}

void write_chunk(ChunkWriter* writer, bool hold, uint64 hash, const char* key, uint32 key_length,
                 ChunkKind kind, uint32 n, const void* payload, Size payload_bytes) {
    const int bucket = bucket_of(hash, writer->n_buckets);
    const Size bytes = sizeof(ChunkHeader) + key_length + payload_bytes;
    char* p = scratch(writer, bytes);
    ChunkHeader header = {};
    header.hash = hash;
    header.n = n;
    header.key_length = (uint16)key_length;
    header.kind = kind;
    memcpy(p, &header, sizeof header);
    memcpy(p + sizeof header, key, key_length);
    memcpy(p + sizeof header + key_length, payload, payload_bytes);
    BufFileWrite(bucket_file(writer, hold, bucket), p, bytes);
    writer->bytes += bytes;
    if (!hold) writer->bucket_bytes[bucket] += bytes;
}

}  // namespace

BufFile* create_run_file(RunSegment* segment, const char* name) {
    return BufFileCreateFileSet(&segment->files.fs, name);
}

BufFile* open_run_file(RunSegment* segment, const char* name) {
    return BufFileOpenFileSet(&segment->files.fs, name, O_RDONLY, true);
}

void read_exactly(BufFile* file, void* to, Size bytes) {
    if (BufFileRead(file, to, bytes) != bytes)
        ereport(ERROR, (errcode_for_file_access(),
                        errmsg("could not read from a temporary file of the run: %m")));
}

void chunk_writer_init(ChunkWriter* writer, RunSegment* segment, int process,
                       MemoryContext context) {
    memset(writer, 0, sizeof *writer);
    writer->segment = segment;
    writer->process = process;
    writer->n_buckets = segment->n_buckets;
    writer->context = context;
    const Size bytes = sizeof(BufFile*) * (Size)segment->n_buckets;
    writer->train = (BufFile**)MemoryContextAllocZero(context, bytes);
    writer->hold = (BufFile**)MemoryContextAllocZero(context, bytes);
}

void write_rows(ChunkWriter* writer, bool hold, uint64 hash, const char* key, uint32 key_length,
                const double* rows, uint32 n, int stride) {
    write_chunk(writer, hold, hash, key, key_length, ChunkKind::rows, n, rows,
                (Size)n * (Size)stride * sizeof(double));
}

void write_chunks(ChunkWriter* writer, int bucket, const char* chunks, Size bytes) {
    BufFileWrite(bucket_file(writer, false, bucket), (void*)chunks, bytes);
    writer->bytes += bytes;
    writer->bucket_bytes[bucket] += bytes;
}

void write_moments(ChunkWriter* writer, const GroupTable* table, const Group* group) {
    const Size bytes = table->moments_doubles * (Size)table->n_moments * sizeof(double);
    const Size total = sizeof(ChunkHeader) + group->key_length + sizeof(MomentsPrefix) + bytes;
    const int bucket = bucket_of(group->hash, writer->n_buckets);
    char* p = scratch(writer, total);
    ChunkHeader header = {};
    header.hash = group->hash;
    header.key_length = (uint16)group->key_length;
    header.kind = ChunkKind::moments;
    const MomentsPrefix prefix = {group->first_time, group->last_time, group->n_rows};
    memcpy(p, &header, sizeof header);
    p += sizeof header;
    memcpy(p, group->key, group->key_length);
    p += group->key_length;
    memcpy(p, &prefix, sizeof prefix);
    memcpy(p + sizeof prefix, group->moments, bytes);
    BufFileWrite(bucket_file(writer, false, bucket), writer->scratch, total);
    writer->bytes += total;
    writer->bucket_bytes[bucket] += total;
}

void write_info(ChunkWriter* writer, const Group* group) {
    write_chunk(writer, false, group->hash, group->key, group->key_length, ChunkKind::info, 0,
                &group->info, sizeof group->info);
}

void write_table(ChunkWriter* writer, GroupTable* table) {
    for (uint64 i = 0; i < table->n_groups; i++) {
        Group* group = group_at(table, i);
        if (group->moments != nullptr) write_moments(writer, table, group);
        if (group->info.n_null > 0 || group->info.n_bad > 0) write_info(writer, group);
        if ((i & 1023) == 0) CHECK_FOR_INTERRUPTS();
    }
    group_table_reset(table);
}

void chunk_writer_finish(ChunkWriter* writer) {
    for (int i = 0; i < writer->n_buckets; i++) {
        if (writer->train[i] != nullptr) BufFileClose(writer->train[i]);
        if (writer->hold[i] != nullptr) BufFileClose(writer->hold[i]);
        writer->train[i] = writer->hold[i] = nullptr;
        if (writer->bucket_bytes[i] > 0)
            pg_atomic_fetch_add_u64(&writer->segment->bucket_bytes[i],
                                    (int64)writer->bucket_bytes[i]);
    }
    pg_atomic_fetch_add_u64(&writer->segment->bytes_exchanged, (int64)writer->bytes);
}

void chunk_reader_init(ChunkReader* reader, RunSegment* segment, char prefix, int bucket) {
    memset(reader, 0, sizeof *reader);
    reader->segment = segment;
    reader->prefix = prefix;
    reader->bucket = bucket;
    reader->process = -1;
}

bool read_chunk(ChunkReader* reader, int stride, Size moments_bytes) {
    const int n_processes = (int)pg_atomic_read_u32(&reader->segment->n_processes);
    for (;;) {
        if (reader->file == nullptr) {
            char name[MAXPGPATH];
            if (++reader->process >= n_processes) return false;
            pg_snprintf(name, sizeof name, "%c%d.%d", reader->prefix, reader->bucket,
                        reader->process);
            reader->file = open_run_file(reader->segment, name);
            if (reader->file == nullptr) continue;
        }
        const Size n = BufFileRead(reader->file, &reader->header, sizeof reader->header);
        if (n == sizeof reader->header) break;
        if (n != 0)
            ereport(ERROR, (errcode_for_file_access(),
                            errmsg("could not read from a temporary file of the run: %m")));
        BufFileClose(reader->file);
        reader->file = nullptr;
    }
    switch (reader->header.kind) {
        case ChunkKind::rows:
            reader->payload_bytes = (Size)reader->header.n * (Size)stride * sizeof(double);
            break;
        case ChunkKind::moments:
            reader->payload_bytes = sizeof(MomentsPrefix) + moments_bytes;
            break;
        case ChunkKind::info:
            reader->payload_bytes = sizeof(GroupInfo);
            break;
        default:
            elog(ERROR, "unexpected chunk kind %d in a temporary file of the run",
                 (int)reader->header.kind);
    }
    const Size bytes = reader->header.key_length + reader->payload_bytes;
    if (bytes > reader->buffer_bytes) {
        if (reader->buffer != nullptr) pfree(reader->buffer);
        reader->buffer_bytes = bytes * 2;
        reader->buffer = (char*)MemoryContextAllocHuge(CurrentMemoryContext, reader->buffer_bytes);
    }
    read_exactly(reader->file, reader->buffer, bytes);
    reader->key = reader->buffer;
    reader->payload = reader->buffer + reader->header.key_length;
    return true;
}

void chunk_reader_finish(ChunkReader* reader) {
    if (reader->file != nullptr) BufFileClose(reader->file);
    if (reader->buffer != nullptr) pfree(reader->buffer);
    reader->file = nullptr;
    reader->buffer = nullptr;
    reader->buffer_bytes = 0;
}

}  // namespace many::engine
