// The rows of a query, one by one, fetched in batches of a bounded size.
#pragma once

#include "pg/server.h"

namespace many::transfer {

struct RowBatches {
    SPIPlanPtr plan;
    Portal portal;
    SPITupleTable* batch;
    uint64 n;
    uint64 at;
    long size;  // of the next batch
};

// Runs as the caller, guarded as a source is (pg/source.h): a query that writes is refused (25006).
// Needs an SPI connection.
void rows_open(RowBatches* rows, const char* query);

// The next row; false after the last. It stays until the next call; SPI may be used in between.
bool rows_next(RowBatches* rows, HeapTuple* tuple, TupleDesc* descriptor);

void rows_close(RowBatches* rows);

}  // namespace many::transfer
