// Texts of categorical levels: rows carry a 64-bit key, a dictionary carries the text once.
//
// Each sink process keeps the levels it saw and writes them to "l.<process>" at its end; the fit
// phase loads all of them. Bounded: more than a quarter of the memory budget is an error that says
// that the column is no category.
#pragma once

#include "engine/run_segment.h"

namespace many::engine {

struct LevelDictionary {
    MemoryContext context;
    HTAB* table;  // (feature, key) -> text; nullptr until the first level
    Size bytes;
    Size limit;
};

void levels_init(LevelDictionary* levels, MemoryContext context, Size limit);
// Notes a level. Two texts with one key: an error (a chance of about 1e-19 per pair).
void levels_add(LevelDictionary* levels, const char* name, int feature, uint64 key,
                const char* text, uint32 length);
void levels_write(LevelDictionary* levels, RunSegment* segment, int process);
void levels_load(LevelDictionary* levels, RunSegment* segment);
// Text of a level; length 0 and nullptr when it is not there.
const char* levels_text(const LevelDictionary* levels, int feature, uint64 key, uint32* length);

}  // namespace many::engine
