// The batches of a sink: rows on their way from the scan into sums or files, one batch for each bucket.
// sink.cpp fills them row by row; a full one is settled here.
#pragma once

#include "engine/exchange.h"
#include "engine/levels.h"
#include "engine/wide_rows.h"
#include "pg/feature_reader.h"

namespace many::engine {

constexpr Size kPrefetchSlack = 1024;  // behind a batch, so that prefetching stays inside

// The rows of one bucket on their way. Keys of fixed width without NULLs make records of one length,
// in a batch of their own:
//
//   mark      the key's hash, its lowest bit 1 for a held-out row
//   key       packed (key_pack)
//   row
//
// All else, rows with other keys and infos, are chunks of one row each, in the files' layout.
struct Batch {
    char* bytes;
    uint32 capacity;
    uint32 used;
    uint32 n;
    bool sparse;  // its groups come by with few rows each: straight to the file
    bool done;    // its groups were fitted before the run went on: rows are only counted
};

// A group that has rows in the batch at hand.
struct BatchGroup {
    uint64 hash;      // of records without the lowest bit
    const char* key;  // in the batch, as it is there
    Group* group;
    uint32 key_length;
    uint32 slot;
    uint32 n[2];   // rows: [0] training, [1] held out
    uint32 at[2];  // the first of them in `sorted`; then where the next one goes
};

// Scratch of fold_batch: one entry per chunk of a batch. Groups are told apart in a table of the
// batch's own, which stays in the first-level cache, and looked up in the sink's once.
struct BatchGroups {
    BatchGroup* groups;
    uint32 n_groups;
    uint32* slots;  // index + 1 into groups; 0: empty
    uint32 mask;    // number of slots - 1
    const double** rows;
    uint32* group_of;  // of each row: twice the index of its group, + 1 if it is held out
    uint32 n_rows;
    const double** sorted;  // the rows by group
};

// Either a live sink (of this process) or the summary of finished ones.
struct Sink {
    bool live;
    int64 rows;  // of finished sinks
    RunSegment* segment;
    RunSpec* spec;
    MemoryContext context;
    KeyCodec codec;
    pg::FeatureReader* readers;  // n_features
    pg::FeatureReader target;
    GroupTable table;
    ChunkWriter writer;
    LevelDictionary levels;
    bool all_float8;       // target and features
    bool is_partial;       // groups that the run does not want come by
    bool notes_times;      // append_only
    RecordReader* record;  // of a wide set, or nullptr
    uint32 few_rows;       // of a group: the sums take more than so many rows
    Size row_bytes;
    Size payload_bytes;    // of a chunk: room for a row or what is wrong with it
    uint64 holdout_bound;  // of finite_row_hash; 0: no holdout by fraction
    Batch* records;        // n_buckets; unused where codec.full_length is 0
    Batch* chunks;         // n_buckets
    Size record_bytes;     // of a record: mark, key, row
    KeyCodec unpacker;     // of keys of a batch, while the codec has that of the row at hand
    BatchGroups groups;
    double* gathered;  // rows of one chunk
    Size table_budget;
    ProcessSlot* slot;
    bool reports;          // the run's own session
    RowsAtTime last;       // of append_only: the rows with the last time ...
    RowsAtTime met_again;  // ... and those that the version before had read
    uint32 rows_unreported;
    uint64 skipped_unreported;
};

// Takes memory for the scratch; that of a batch is taken when its first row comes.
void make_batches(Sink* sink);
// Settle what a bucket's batch holds, and empty it.
void end_records(Sink* sink, int bucket);
void end_chunks(Sink* sink, int bucket);
void note_peak(Sink* sink);

}  // namespace many::engine
