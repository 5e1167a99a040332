// The exchange: how what a process knows of a group reaches the process that fits the group.
//
// A chunk is a header, a key image and a payload, all multiples of 8 bytes:
//
//   rows      n rows               moments   MomentsPrefix, the moments
//   info      GroupInfo            packed    n records of key (key_pack) and row; no key image
//   known     KnownGroup
//
// Every bucket has a training stream and (statistics exchange) a stream of held-out rows; the
// training stream holds held-out rows too (`held_out`) where a bucket's rows pass through, and all of
// them where moments are kept apart (append_only). A process
// of the scan writes all its streams into one file, "d.<process>.<shard>" (spill_file.h), in extents of
// whole chunks of one stream, and the list of extents into another, "i.<process>": a file per bucket
// would cost more to make and to remove than to fill. Levels lie in "l.<process>". All are in the run's
// SharedFileSet, which vanishes with the run's shared memory.
#pragma once

#include "engine/group_table.h"
#include "engine/spill_file.h"

namespace many::engine {

enum class ChunkKind : uint8 { rows = 1, moments = 2, info = 3, packed = 4, known = 5 };

struct ChunkHeader {
    uint64 hash;
    uint32 n;  // rows
    uint16 key_length;
    ChunkKind kind;
    uint8 held_out;  // the rows belong to the holdout
};
static_assert(sizeof(ChunkHeader) == 16);

constexpr uint32 kMaxKeyLength = 8160;

struct MomentsPrefix {
    int64 first_time;
    int64 last_time;
    int64 n_rows;
    uint64 checksum;
};

enum class Stream : uint8 { training = 0, holdout = 1 };

// Whole chunks of one stream, one after the other in the file of the bucket's shard.
struct Extent {
    uint64 offset;
    uint32 bytes;
    uint32 stream;  // stream_index
};

inline uint32 stream_index(int bucket, Stream stream) {
    return (uint32)bucket * 2 + (uint32)stream;
}

struct StreamBuffer {
    char* bytes;  // kExtentBytes
    uint32 used;
};

struct ChunkWriter {
    RunSegment* segment;
    int process;
    int n_buckets;
    SpillWriter files;
    StreamBuffer* buffers;  // 2 n_buckets
    Extent* extents;
    Size n_extents;
    Size extent_capacity;
    uint64 bucket_bytes[kMaxBuckets];  // of the training streams
    MemoryContext context;
};

void chunk_writer_init(ChunkWriter* writer, RunSegment* segment, int process,
                       MemoryContext context);
void write_rows(ChunkWriter* writer, Stream stream, bool held_out, uint64 hash, const char* key,
                uint32 key_length, const double* rows, uint32 n, int stride);
// Chunks of one bucket's training stream, already in their layout.
void write_chunks(ChunkWriter* writer, int bucket, const char* chunks, Size bytes);
// A packed chunk for the training stream, filled in place: where at most n records of `record_bytes`
// go, and how many came. Nothing else is written in between.
char* packed_room(ChunkWriter* writer, int bucket, uint32 n, Size record_bytes);
void write_packed(ChunkWriter* writer, int bucket, bool held_out, char* records, uint32 n,
                  Size record_bytes);
void write_moments(ChunkWriter* writer, const GroupTable* table, const Group* group);
void write_info(ChunkWriter* writer, const Group* group);
void write_known(ChunkWriter* writer, uint64 hash, const char* key, uint32 key_length,
                 const KnownGroup* known);
// Writes the moments and infos that a sink's table holds, then resets the table.
void write_table(ChunkWriter* writer, GroupTable* table);
// Closes the files for writing and publishes the byte counts.
void chunk_writer_finish(ChunkWriter* writer);

// Lengths that follow from the run's specification.
struct ChunkSizes {
    Size row;
    Size record;   // of a packed chunk: key and row
    Size moments;  // of all folds
};

ChunkSizes chunk_sizes(const RunSpec* spec, const KeyCodec* codec, Size moments_bytes);
Size chunk_payload_bytes(const ChunkSizes* sizes, const ChunkHeader* header);

// What the processes of the scan left, opened once by a process of the fit phase.
struct ScanFiles {
    RunSegment* segment;
    ChunkSizes sizes;
    int n_processes;
    int shard;        // that is open, -1: none
    File* data;       // its file of each process, 0: the process wrote nothing into it
    BufFile** index;  // nullptr: the process wrote nothing
    uint64** starts;  // per process: where each stream's extents begin, 2 n_buckets + 1
    Extent* extents;  // of the stream at hand
    Size extent_capacity;
};

void scan_files_open(ScanFiles* files, RunSegment* segment, const ChunkSizes* sizes);
void scan_files_close(ScanFiles* files);
// The bucket's results are given: removes the shard's files if that was its last bucket.
void scan_files_fitted(ScanFiles* files, int bucket);
// All bytes of a stream.
Size stream_bytes(const ScanFiles* files, int bucket, Stream stream);
// Reads them, chunk after chunk, into `to`.
void read_stream(ScanFiles* files, int bucket, Stream stream, char* to);

// Reads the chunks of a stream one by one.
struct ChunkReader {
    ScanFiles* files;
    uint32 stream;
    int process;
    Size extent;  // next one of the process
    Size n_extents;
    char* buffer;  // the extent at hand
    Size buffer_bytes;
    Size position;
    Size end;
    ChunkHeader header;
    const char* key;
    const char* payload;
};

void chunk_reader_init(ChunkReader* reader, ScanFiles* files, int bucket, Stream stream);
// False at the end.
bool read_chunk(ChunkReader* reader);
void chunk_reader_finish(ChunkReader* reader);

// BufFile by name; the file set is shared by the run's processes.
BufFile* create_run_file(RunSegment* segment, const char* name);
BufFile* open_run_file(RunSegment* segment, const char* name);  // nullptr when missing
void read_exactly(BufFile* file, void* to, Size bytes);

}  // namespace many::engine
