// The files that hold the exchange's chunks: written by the scan's processes, read by those of the
// fit phase.
//
// The server's BufFile writes and reads 8 kB at a time, and what a file costs is mostly what each
// piece costs in the system's cache: here they are as large as memory allows. The file of a process
// is cut into shards, each for some consecutive buckets, so that a shard can be removed as soon as
// its buckets are fitted: the system then need not write it to disk, and nobody waits for the
// removal at the end.
#pragma once

#include "engine/run_segment.h"

extern "C" {
#include "storage/fd.h"
}

namespace many::engine {

struct SpillShard {
    File file;       // 0: none yet
    char* block;     // what is not written yet
    Size capacity;   // of the block
    Size used;       // of the block
    uint64 written;  // bytes before the block
};

struct SpillWriter {
    RunSegment* segment;
    int process;
    MemoryContext context;
    Size block_bytes;
    SpillShard shards[kMaxShards];
};

// How many shards for about so many bytes of all processes; what a process takes for its blocks.
int choose_shards(uint64 budget_bytes, double bytes);
Size spill_blocks_bytes(const RunSegment* segment);

void spill_init(SpillWriter* writer, RunSegment* segment, int process, MemoryContext context);
// Where the next byte goes.
uint64 spill_position(const SpillWriter* writer, int shard);
void spill_write(SpillWriter* writer, int shard, const void* bytes, Size n);
// Room for n bytes, to be filled in place; spill_take says how many of them were, before anything
// else is written.
char* spill_room(SpillWriter* writer, int shard, Size n);
void spill_take(SpillWriter* writer, int shard, Size n);
// Writes what is left and closes the files; returns the bytes of all shards.
uint64 spill_finish(SpillWriter* writer);

// 0: the process wrote nothing into this shard.
File spill_open(RunSegment* segment, int process, int shard);
void spill_read(File file, uint64 offset, char* to, Size n);
void spill_remove(RunSegment* segment, int process, int shard);

}  // namespace many::engine
