// A bucket of the exchange on its way from the files of all processes into a table of groups. The fit
// phase (fit_phase.cpp) decides how it is read, and takes the groups from there.
#pragma once

#include "engine/exchange.h"
#include "engine/fit_phase.h"
#include "engine/fit_session.h"
#include "engine/incumbent.h"
#include "engine/levels.h"
#include "engine/progress.h"
#include "engine/update.h"

namespace many::engine {

// What a process of the fit phase works with.
struct BucketWork {
    RunSegment* segment;
    RunSpec* spec;
    FitSession* session;
    KeyCodec codec;
    Incumbents* incumbents;  // nullptr: nothing in production to compare with
    Updates* updates;        // nullptr: this is no refresh that moves models forward
    GroupTable table;
    LevelDictionary levels;
    ResultSink* results;
    ChunkSizes sizes;
    ScanFiles files;
    int bucket;
    Size table_budget;
    MemoryContext context;
    MemoryContext bucket_context;
    ProcessSlot* slot;
    bool reports;
    bool held_in_training;  // training files hold held-out rows, which were left out at first
    RowLists lists;         // of a bucket read whole ...
    char* chunks;           // ... and where they lie; kept for the next bucket
    Size chunk_capacity;
    Size list_capacity;  // rows
    bool at_once;        // group by group, from its rows to its result
    bool knows_groups;   // of a refresh: those of the version before
    double* moments;     // then: of the group at hand, where it has none of its own
    double* state;
    double* gathered;  // kGatheredRows held-out rows
    char* body;        // of a result
    Size body_bytes;
};

constexpr uint32 kRanges = 65536;  // a bucket can be split into so many ranges of hashes

// The table of groups, empty: made anew; with the memory of the bucket before, whose groups have no
// rows of their own any more; after a bucket, that memory kept or given back.
void make_table(BucketWork* work);
void reuse_table(BucketWork* work);
void empty_table(BucketWork* work);
void drop_table(BucketWork* work);

// The training chunks of groups in [low, high), merged as they come; false when they exceed the budget.
// Held-out rows among them are left out (held_in_training), where the table does not split.
bool load_range(BucketWork* work, uint32 low, uint32 high);
// The training stream of the bucket whole: rows stay where they lie, linked by group.
void load_whole(BucketWork* work);
// Gives the memory for that back.
void forget_whole(BucketWork* work);

// Held-out rows of groups in [low, high), some of one group at a time.
using TakeRows = void (*)(BucketWork* work, Group* group, const double* rows, uint32 n);
void stream_holdout(BucketWork* work, Stream stream, uint32 low, uint32 high, TakeRows take);

// What the sums of groups that have rows only will take, once held-out rows are streamed past the
// fits of all groups.
Size sums_to_come(const GroupTable* table);

}  // namespace many::engine
