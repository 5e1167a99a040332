// The exchange: how what a process knows of a group reaches the process that fits the group.
//
// Every process of the scan has, per bucket, a file of training chunks and (statistics exchange) a
// file of held-out rows; files come into being with the first chunk. A chunk is a header, a key
// image and a payload, all multiples of 8 bytes:
//
//   rows      n rows               moments   first time, last time, row count, the moments
//   info      GroupInfo
//
// File names: "t<bucket>.<process>", "h<bucket>.<process>", levels in "l.<process>", results in
// "r<bucket>". All lie in the run's SharedFileSet, which vanishes with the run's shared memory.
#pragma once

#include "engine/group_table.h"

namespace many::engine {

enum class ChunkKind : uint8 { rows = 1, moments = 2, info = 3 };

struct ChunkHeader {
    uint64 hash;
    uint32 n;  // rows
    uint16 key_length;
    ChunkKind kind;
    uint8 held_out;  // in a sink's batch: the row belongs to the holdout
};
static_assert(sizeof(ChunkHeader) == 16);

constexpr uint32 kMaxKeyLength = 8160;

struct MomentsPrefix {
    int64 first_time;
    int64 last_time;
    int64 n_rows;
};

struct ChunkWriter {
    RunSegment* segment;
    int process;
    int n_buckets;
    BufFile** train;
    BufFile** hold;
    uint64 bytes;
    uint64 bucket_bytes[kMaxBuckets];
    char* scratch;
    Size scratch_bytes;
    MemoryContext context;
};

void chunk_writer_init(ChunkWriter* writer, RunSegment* segment, int process,
                       MemoryContext context);
void write_rows(ChunkWriter* writer, bool hold, uint64 hash, const char* key, uint32 key_length,
                const double* rows, uint32 n, int stride);
// Chunks of one bucket's training file, already in their layout.
void write_chunks(ChunkWriter* writer, int bucket, const char* chunks, Size bytes);
void write_moments(ChunkWriter* writer, const GroupTable* table, const Group* group);
void write_info(ChunkWriter* writer, const Group* group);
// Writes the moments and infos that a sink's table holds, then resets the table.
void write_table(ChunkWriter* writer, GroupTable* table);
// Closes the files for writing and publishes the byte counts.
void chunk_writer_finish(ChunkWriter* writer);

// Reads the chunks of one bucket, of all processes, one after the other.
struct ChunkReader {
    RunSegment* segment;
    char prefix;  // 't' or 'h'
    int bucket;
    int process;  // the one whose file is open
    BufFile* file;
    char* buffer;  // key image, then payload
    Size buffer_bytes;
    ChunkHeader header;
    const char* key;
    const char* payload;
    Size payload_bytes;
};

void chunk_reader_init(ChunkReader* reader, RunSegment* segment, char prefix, int bucket);
// False at the end. Payload lengths follow from the header and the spec.
bool read_chunk(ChunkReader* reader, int stride, Size moments_bytes);
void chunk_reader_finish(ChunkReader* reader);

// BufFile by name; the file set is shared by the run's processes.
BufFile* create_run_file(RunSegment* segment, const char* name);
BufFile* open_run_file(RunSegment* segment, const char* name);  // nullptr when missing
void read_exactly(BufFile* file, void* to, Size bytes);

}  // namespace many::engine
