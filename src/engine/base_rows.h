// What the version before has stored of its groups, on its way into the exchange of a refresh: as one
// more process of the scan. What is stored, and how it travels, the caller of base_rows_write knows:
// append.cpp (sums), fingerprint.cpp.
#pragma once

#include "engine/exchange.h"
#include "engine/refresh.h"
#include "registry/key_text.h"

namespace many::engine {

struct BaseRows {
    RunSpec* spec;
    KeyCodec codec;  // after base_rows_key: the row's key
    registry::KeyColumn* columns;
    ChunkWriter writer;
};

// Encodes a stored key as the sink encodes those of the source's rows; the hash.
uint64 base_rows_key(BaseRows* rows, Jsonb* partition_key);

// Calls write(argument, rows, row, columns) for each row of the query, whose parameters are the base's
// run and storage. Each call has a memory context of its own. Needs an SPI connection.
using WriteBaseRow = void (*)(void* argument, BaseRows* rows, HeapTuple row, TupleDesc columns);
void base_rows_write(const Retraining* r, const char* query, WriteBaseRow write, void* argument);

}  // namespace many::engine
