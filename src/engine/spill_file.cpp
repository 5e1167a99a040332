#include "pg/server.h"

#include "engine/spill_file.h"

extern "C" {
#include "utils/wait_event.h"
}

namespace many::engine {

namespace {

constexpr Size kBlockBytes = 256 * 1024;
constexpr Size kSmallBlockBytes = 64 * 1024;
constexpr uint64 kSmallBudget = 64 * 1024 * 1024;
constexpr double kShardBytes = 4.0 * 1024 * 1024;  // worth one more file
constexpr Size kMostAtOnce = 256 * 1024 * 1024;    // the server's functions take an int

void shard_name(char* name, int process, int shard) {
    pg_snprintf(name, MAXPGPATH, "d.%d.%d", process, shard);
}

void count_blocks(int64* counter, Size n) {
    *counter += (int64)((n + BLCKSZ - 1) / BLCKSZ);
}

void write_out(SpillWriter* writer, int shard, const char* bytes, Size n) {
    SpillShard* s = &writer->shards[shard];
    if (s->file == 0) {
        char name[MAXPGPATH];
        shard_name(name, writer->process, shard);
        s->file = FileSetCreate(&writer->segment->files.fs, name);
    }
    count_blocks(&pgBufferUsage.temp_blks_written, n);
    while (n > 0) {
        const Size piece = n < kMostAtOnce ? n : kMostAtOnce;
        const auto written = (int64)FileWrite(s->file, (char*)bytes, (int)piece, (off_t)s->written,
                                              WAIT_EVENT_BUFFILE_WRITE);
        if (written <= 0)
            ereport(ERROR, (errcode_for_file_access(),
                            errmsg("could not write to file \"%s\": %m", FilePathName(s->file))));
        bytes += written;
        n -= (Size)written;
        s->written += (uint64)written;
    }
}

// Writes the block's whole pages, or all of it.
void flush(SpillWriter* writer, int shard, bool all) {
    SpillShard* s = &writer->shards[shard];
    const Size n = all ? s->used : s->used / BLCKSZ * BLCKSZ;
    if (n == 0) return;
    write_out(writer, shard, s->block, n);
    s->used -= n;
    if (s->used > 0) memmove(s->block, s->block + n, s->used);
}

Size block_bytes(uint64 budget_bytes) {
    return budget_bytes < kSmallBudget ? kSmallBlockBytes : kBlockBytes;
}

}  // namespace

int choose_shards(uint64 budget_bytes, double bytes) {
    if (budget_bytes < kSmallBudget) return 1;
    const double n = bytes / kShardBytes;
    return n < 1 ? 1 : n > kMaxShards ? kMaxShards : (int)n;
}

Size spill_blocks_bytes(const RunSegment* segment) {
    auto* mutable_segment = (RunSegment*)segment;
    return (Size)segment->n_shards * block_bytes(mutable_segment->spec()->budget_bytes);
}

void spill_init(SpillWriter* writer, RunSegment* segment, int process, MemoryContext context) {
    memset(writer, 0, sizeof *writer);
    writer->segment = segment;
    writer->process = process;
    writer->context = context;
    writer->block_bytes = block_bytes(segment->spec()->budget_bytes);
}

uint64 spill_position(const SpillWriter* writer, int shard) {
    return writer->shards[shard].written + writer->shards[shard].used;
}

char* spill_room(SpillWriter* writer, int shard, Size n) {
    SpillShard* s = &writer->shards[shard];
    if (s->used + n > s->capacity) flush(writer, shard, false);
    if (s->used + n > s->capacity) {
        const Size capacity = s->used + n > writer->block_bytes ? s->used + n : writer->block_bytes;
        auto* block = (char*)MemoryContextAllocHuge(writer->context, capacity);
        if (s->used > 0) memcpy(block, s->block, s->used);
        if (s->block != nullptr) pfree(s->block);
        s->block = block;
        s->capacity = capacity;
    }
    return s->block + s->used;
}

void spill_take(SpillWriter* writer, int shard, Size n) {
    writer->shards[shard].used += n;
}

void spill_write(SpillWriter* writer, int shard, const void* bytes, Size n) {
    if (n > writer->block_bytes / 2) {
        flush(writer, shard, true);
        write_out(writer, shard, (const char*)bytes, n);
        return;
    }
    memcpy(spill_room(writer, shard, n), bytes, n);
    spill_take(writer, shard, n);
}

uint64 spill_finish(SpillWriter* writer) {
    uint64 bytes = 0;
    for (int shard = 0; shard < kMaxShards; shard++) {
        SpillShard* s = &writer->shards[shard];
        flush(writer, shard, true);
        if (s->file != 0) FileClose(s->file);
        if (s->block != nullptr) pfree(s->block);
        bytes += s->written;
        memset(s, 0, sizeof *s);
    }
    return bytes;
}

File spill_open(RunSegment* segment, int process, int shard) {
    char name[MAXPGPATH];
    shard_name(name, process, shard);
    const File file = FileSetOpen(&segment->files.fs, name, O_RDONLY);
    return file > 0 ? file : 0;
}

void spill_read(File file, uint64 offset, char* to, Size n) {
    if (file == 0) elog(ERROR, "a temporary file of the run is missing");
    count_blocks(&pgBufferUsage.temp_blks_read, n);
    while (n > 0) {
        const Size piece = n < kMostAtOnce ? n : kMostAtOnce;
        errno = 0;
        const auto got =
            (int64)FileRead(file, to, (int)piece, (off_t)offset, WAIT_EVENT_BUFFILE_READ);
        if (got <= 0)
            ereport(ERROR, (errcode_for_file_access(),
                            errmsg("could not read file \"%s\": %m", FilePathName(file))));
        to += got;
        offset += (uint64)got;
        n -= (Size)got;
    }
}

void spill_remove(RunSegment* segment, int process, int shard) {
    char name[MAXPGPATH];
    shard_name(name, process, shard);
    (void)FileSetDelete(&segment->files.fs, name, false);
}

}  // namespace many::engine
