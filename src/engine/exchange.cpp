#include "pg/server.h"

#include "engine/exchange.h"

namespace many::engine {

namespace {

constexpr Size kExtentBytes = 8 * 1024;        // of a stream's buffer
constexpr Size kMostExtentBytes = 256 * 1024;  // of extents that are joined

void read_failed() {
    ereport(ERROR, (errcode_for_file_access(),
                    errmsg("could not read from a temporary file of the run: %m")));
}

void run_file_name(char* name, char prefix, int process) {
    pg_snprintf(name, MAXPGPATH, "%c.%d", prefix, process);
}

int shard_of_stream(const ChunkWriter* writer, uint32 stream) {
    return shard_of(writer->segment, (int)(stream / 2));
}

void note_extent(ChunkWriter* writer, uint32 stream, uint64 offset, Size bytes) {
    if (writer->n_extents > 0) {
        Extent* last = &writer->extents[writer->n_extents - 1];
        if (last->stream == stream && last->offset + last->bytes == offset &&
            last->bytes + bytes <= kMostExtentBytes) {
            last->bytes += (uint32)bytes;
            return;
        }
    }
    if (writer->n_extents == writer->extent_capacity) {
        const Size capacity = writer->extent_capacity == 0 ? 1024 : writer->extent_capacity * 2;
        auto* extents = (Extent*)MemoryContextAllocHuge(writer->context, capacity * sizeof(Extent));
        if (writer->extents != nullptr) {
            memcpy(extents, writer->extents, writer->n_extents * sizeof(Extent));
            pfree(writer->extents);
        }
        writer->extents = extents;
        writer->extent_capacity = capacity;
    }
    Extent* extent = &writer->extents[writer->n_extents++];
    extent->offset = offset;
    extent->bytes = (uint32)bytes;
    extent->stream = stream;
}

void flush_stream(ChunkWriter* writer, uint32 stream) {
    StreamBuffer* buffer = &writer->buffers[stream];
    if (buffer->used == 0) return;
    const int shard = shard_of_stream(writer, stream);
    note_extent(writer, stream, spill_position(&writer->files, shard), buffer->used);
    spill_write(&writer->files, shard, buffer->bytes, buffer->used);
    buffer->used = 0;
}

struct Part {
    const void* bytes;
    Size n;
};

// Appends chunks, given in parts, to a stream.
template <int N>
void append(ChunkWriter* writer, int bucket, Stream stream, const Part (&parts)[N]) {
    const uint32 index = stream_index(bucket, stream);
    StreamBuffer* buffer = &writer->buffers[index];
    Size total = 0;
    for (const Part& part : parts) total += part.n;
    if (stream == Stream::training) writer->bucket_bytes[bucket] += total;
    if (buffer->used + total > kExtentBytes) flush_stream(writer, index);
    if (total > kExtentBytes) {  // an extent of its own
        const int shard = shard_of_stream(writer, index);
        note_extent(writer, index, spill_position(&writer->files, shard), total);
        for (const Part& part : parts) spill_write(&writer->files, shard, part.bytes, part.n);
        return;
    }
    if (buffer->bytes == nullptr)
        buffer->bytes = (char*)MemoryContextAlloc(writer->context, kExtentBytes);
    for (const Part& part : parts) {
        memcpy(buffer->bytes + buffer->used, part.bytes, part.n);
        buffer->used += (uint32)part.n;
    }
}

ChunkHeader header_of(uint64 hash, uint32 key_length, ChunkKind kind, uint32 n) {
    ChunkHeader header = {};
    header.hash = hash;
    header.n = n;
    header.key_length = (uint16)key_length;
    header.kind = kind;
    return header;
}

}  // namespace

BufFile* create_run_file(RunSegment* segment, const char* name) {
    return BufFileCreateFileSet(&segment->files.fs, name);
}

BufFile* open_run_file(RunSegment* segment, const char* name) {
    return BufFileOpenFileSet(&segment->files.fs, name, O_RDONLY, true);
}

void read_exactly(BufFile* file, void* to, Size bytes) {
    if (BufFileRead(file, to, bytes) != bytes) read_failed();
}

// --- Writing --------------------------------------------------------------------------------------

void chunk_writer_init(ChunkWriter* writer, RunSegment* segment, int process,
                       MemoryContext context) {
    memset(writer, 0, sizeof *writer);
    writer->segment = segment;
    writer->process = process;
    writer->n_buckets = segment->n_buckets;
    writer->context = context;
    spill_init(&writer->files, segment, process, context);
    writer->buffers = (StreamBuffer*)MemoryContextAllocZero(
        context, sizeof(StreamBuffer) * 2 * (Size)segment->n_buckets);
}

void write_rows(ChunkWriter* writer, Stream stream, bool held_out, uint64 hash, const char* key,
                uint32 key_length, const double* rows, uint32 n, int stride) {
    ChunkHeader header = header_of(hash, key_length, ChunkKind::rows, n);
    header.held_out = held_out ? 1 : 0;
    append(writer, bucket_of(hash, writer->n_buckets), stream,
           {Part{&header, sizeof header}, Part{key, key_length},
            Part{rows, (Size)n * (Size)stride * sizeof(double)}});
}

void write_chunks(ChunkWriter* writer, int bucket, const char* chunks, Size bytes) {
    append(writer, bucket, Stream::training, {Part{chunks, bytes}});
}

char* packed_room(ChunkWriter* writer, int bucket, uint32 n, Size record_bytes) {
    return spill_room(&writer->files, shard_of(writer->segment, bucket),
                      sizeof(ChunkHeader) + n * record_bytes) +
           sizeof(ChunkHeader);
}

void write_packed(ChunkWriter* writer, int bucket, bool held_out, char* records, uint32 n,
                  Size record_bytes) {
    const int shard = shard_of(writer->segment, bucket);
    const Size bytes = sizeof(ChunkHeader) + n * record_bytes;
    ChunkHeader header = header_of(0, 0, ChunkKind::packed, n);
    header.held_out = held_out ? 1 : 0;
    memcpy(records - sizeof header, &header, sizeof header);
    note_extent(writer, stream_index(bucket, Stream::training),
                spill_position(&writer->files, shard), bytes);
    spill_take(&writer->files, shard, bytes);
    writer->bucket_bytes[bucket] += bytes;
}

void write_moments(ChunkWriter* writer, const GroupTable* table, const Group* group) {
    const Size bytes = table->moments_doubles * (Size)table->n_moments * sizeof(double);
    const ChunkHeader header = header_of(group->hash, group->key_length, ChunkKind::moments, 0);
    const MomentsPrefix prefix = {group->first_time, group->last_time, group->n_rows,
                                  group->checksum};
    append(writer, bucket_of(group->hash, writer->n_buckets), Stream::training,
           {Part{&header, sizeof header}, Part{group->key, group->key_length},
            Part{&prefix, sizeof prefix}, Part{group->moments, bytes}});
}

void write_info(ChunkWriter* writer, const Group* group) {
    const ChunkHeader header = header_of(group->hash, group->key_length, ChunkKind::info, 0);
    append(writer, bucket_of(group->hash, writer->n_buckets), Stream::training,
           {Part{&header, sizeof header}, Part{group->key, group->key_length},
            Part{&group->info, sizeof group->info}});
}

void write_known(ChunkWriter* writer, uint64 hash, const char* key, uint32 key_length,
                 const KnownGroup* known) {
    const ChunkHeader header = header_of(hash, key_length, ChunkKind::known, 0);
    append(writer, bucket_of(hash, writer->n_buckets), Stream::training,
           {Part{&header, sizeof header}, Part{key, key_length}, Part{known, sizeof *known}});
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

namespace {

// The extents sorted by stream, and where each stream begins.
void write_index(ChunkWriter* writer) {
    char name[MAXPGPATH];
    const Size n_streams = 2 * (Size)writer->n_buckets;
    auto* starts =
        (uint64*)MemoryContextAllocZero(writer->context, sizeof(uint64) * (n_streams + 2));
    auto* sorted =
        (Extent*)MemoryContextAllocHuge(writer->context, sizeof(Extent) * (writer->n_extents + 1));
    for (Size i = 0; i < writer->n_extents; i++) starts[writer->extents[i].stream + 2]++;
    for (Size i = 2; i < n_streams + 2; i++) starts[i] += starts[i - 1];
    for (Size i = 0; i < writer->n_extents; i++)
        sorted[starts[writer->extents[i].stream + 1]++] = writer->extents[i];
    run_file_name(name, 'i', writer->process);
    BufFile* file = create_run_file(writer->segment, name);
    BufFileWrite(file, starts, sizeof(uint64) * (n_streams + 1));
    BufFileWrite(file, sorted, sizeof(Extent) * writer->n_extents);
    BufFileClose(file);
    pfree(sorted);
    pfree(starts);
}

}  // namespace

void chunk_writer_finish(ChunkWriter* writer) {
    for (uint32 stream = 0; stream < 2 * (uint32)writer->n_buckets; stream++) {
        flush_stream(writer, stream);
        if (writer->buffers[stream].bytes != nullptr) pfree(writer->buffers[stream].bytes);
        writer->buffers[stream].bytes = nullptr;
    }
    for (int i = 0; i < writer->n_buckets; i++)
        if (writer->bucket_bytes[i] > 0)
            pg_atomic_fetch_add_u64(&writer->segment->bucket_bytes[i],
                                    (int64)writer->bucket_bytes[i]);
    pg_atomic_fetch_add_u64(&writer->segment->bytes_exchanged, (int64)spill_finish(&writer->files));
    if (writer->n_extents == 0) return;
    write_index(writer);
    pfree(writer->extents);
    writer->extents = nullptr;
}

// --- Reading --------------------------------------------------------------------------------------

ChunkSizes chunk_sizes(const RunSpec* spec, const KeyCodec* codec, Size moments_bytes) {
    ChunkSizes sizes;
    sizes.row = sizeof(double) * (Size)row_stride(spec);
    sizes.record = codec->packed_length + sizes.row;
    sizes.moments = moments_bytes;
    return sizes;
}

Size chunk_payload_bytes(const ChunkSizes* sizes, const ChunkHeader* header) {
    switch (header->kind) {
        case ChunkKind::rows:
            return (Size)header->n * sizes->row;
        case ChunkKind::packed:
            return (Size)header->n * sizes->record;
        case ChunkKind::moments:
            return sizeof(MomentsPrefix) + sizes->moments;
        case ChunkKind::info:
            return sizeof(GroupInfo);
        case ChunkKind::known:
            return sizeof(KnownGroup);
    }
    elog(ERROR, "unexpected chunk kind %d in a temporary file of the run", (int)header->kind);
    return 0;
}

void scan_files_open(ScanFiles* files, RunSegment* segment, const ChunkSizes* sizes) {
    memset(files, 0, sizeof *files);
    files->segment = segment;
    files->sizes = *sizes;
    files->n_processes = (int)pg_atomic_read_u32(&segment->n_processes);
    const Size n = (Size)files->n_processes + 1;
    const Size starts_bytes = sizeof(uint64) * (2 * (Size)segment->n_buckets + 1);
    files->shard = -1;
    files->data = (File*)palloc0(sizeof(File) * n);
    files->index = (BufFile**)palloc0(sizeof(BufFile*) * n);
    files->starts = (uint64**)palloc0(sizeof(uint64*) * n);
    for (int i = 0; i < files->n_processes; i++) {
        char name[MAXPGPATH];
        run_file_name(name, 'i', i);
        files->index[i] = open_run_file(segment, name);
        if (files->index[i] == nullptr) continue;
        files->starts[i] = (uint64*)palloc(starts_bytes);
        read_exactly(files->index[i], files->starts[i], starts_bytes);
    }
}

namespace {

void close_shard(ScanFiles* files) {
    for (int i = 0; i < files->n_processes; i++) {
        if (files->data[i] != 0) FileClose(files->data[i]);
        files->data[i] = 0;
    }
    files->shard = -1;
}

void open_shard(ScanFiles* files, int shard) {
    if (files->shard == shard) return;
    close_shard(files);
    for (int i = 0; i < files->n_processes; i++)
        if (files->index[i] != nullptr) files->data[i] = spill_open(files->segment, i, shard);
    files->shard = shard;
}

}  // namespace

void scan_files_close(ScanFiles* files) {
    close_shard(files);
    for (int i = 0; i < files->n_processes; i++)
        if (files->index[i] != nullptr) BufFileClose(files->index[i]);
    if (files->extents != nullptr) pfree(files->extents);
}

namespace {

void seek(BufFile* file, uint64 offset) {
    if (BufFileSeek(file, 0, (off_t)offset, SEEK_SET) != 0) read_failed();
}

// Reads the list of a stream's extents in one process's file into files->extents.
Size load_extents(ScanFiles* files, int process, uint32 stream) {
    if (files->index[process] == nullptr) return 0;
    const uint64 first = files->starts[process][stream];
    const Size n = (Size)(files->starts[process][stream + 1] - first);
    if (n == 0) return 0;
    if (n > files->extent_capacity) {
        MemoryContext context = GetMemoryChunkContext(files->data);
        if (files->extents != nullptr) pfree(files->extents);
        files->extent_capacity = n * 2;
        files->extents =
            (Extent*)MemoryContextAllocHuge(context, sizeof(Extent) * files->extent_capacity);
    }
    seek(files->index[process],
         sizeof(uint64) * (2 * (uint64)files->segment->n_buckets + 1) + sizeof(Extent) * first);
    read_exactly(files->index[process], files->extents, sizeof(Extent) * n);
    open_shard(files, shard_of(files->segment, (int)(stream / 2)));
    return n;
}

}  // namespace

Size stream_bytes(const ScanFiles* files, int bucket, Stream stream) {
    auto* mutable_files = (ScanFiles*)files;
    Size bytes = 0;
    for (int process = 0; process < files->n_processes; process++) {
        const Size n = load_extents(mutable_files, process, stream_index(bucket, stream));
        for (Size i = 0; i < n; i++) bytes += files->extents[i].bytes;
    }
    return bytes;
}

void read_stream(ScanFiles* files, int bucket, Stream stream, char* to) {
    for (int process = 0; process < files->n_processes; process++) {
        const Size n = load_extents(files, process, stream_index(bucket, stream));
        for (Size i = 0; i < n; i++) {
            spill_read(files->data[process], files->extents[i].offset, to, files->extents[i].bytes);
            to += files->extents[i].bytes;
            CHECK_FOR_INTERRUPTS();
        }
    }
}

void scan_files_fitted(ScanFiles* files, int bucket) {
    RunSegment* segment = files->segment;
    const int shard = shard_of(segment, bucket);
    segment->bucket_fitted[bucket] = true;
    pg_memory_barrier();  // of two processes that end at once, one at least sees both
    for (int i = 0; i < segment->n_buckets; i++)
        if (shard_of(segment, i) == shard && !segment->bucket_fitted[i] && !segment->bucket_done[i])
            return;
    close_shard(files);
    for (int i = 0; i < files->n_processes; i++)
        if (files->index[i] != nullptr) spill_remove(segment, i, shard);
}

void chunk_reader_init(ChunkReader* reader, ScanFiles* files, int bucket, Stream stream) {
    memset(reader, 0, sizeof *reader);
    reader->files = files;
    reader->stream = stream_index(bucket, stream);
    reader->process = -1;
}

bool read_chunk(ChunkReader* reader) {
    ScanFiles* files = reader->files;
    while (reader->position == reader->end) {
        if (reader->extent == reader->n_extents) {
            if (++reader->process >= files->n_processes) return false;
            reader->n_extents = load_extents(files, reader->process, reader->stream);
            reader->extent = 0;
            continue;
        }
        const Extent* extent = &files->extents[reader->extent++];
        if (extent->bytes > reader->buffer_bytes) {
            if (reader->buffer != nullptr) pfree(reader->buffer);
            reader->buffer_bytes = (Size)extent->bytes * 2;
            reader->buffer =
                (char*)MemoryContextAllocHuge(CurrentMemoryContext, reader->buffer_bytes);
        }
        spill_read(files->data[reader->process], extent->offset, reader->buffer, extent->bytes);
        reader->position = 0;
        reader->end = extent->bytes;
    }
    const char* p = reader->buffer + reader->position;
    memcpy(&reader->header, p, sizeof reader->header);
    reader->key = p + sizeof reader->header;
    reader->payload = reader->key + reader->header.key_length;
    reader->position = (Size)(reader->payload - reader->buffer) +
                       chunk_payload_bytes(&files->sizes, &reader->header);
    return true;
}

void chunk_reader_finish(ChunkReader* reader) {
    if (reader->buffer != nullptr) pfree(reader->buffer);
    reader->buffer = nullptr;
    reader->buffer_bytes = 0;
}

}  // namespace many::engine
