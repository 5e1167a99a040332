// A query over the caller's data that must not change anything, its rows handed to a function.
#pragma once

#include "pg/server.h"

namespace many::pg {

// Called for every row, in a context that is reset from row to row.
using RowFunction = void (*)(TupleTableSlot* slot, void* argument);

struct ReadQuery {
    int processes;  // that the plan has, the session's own included
    int64 rows;
    int64 worker_cpu_us;
};

// As the caller, read-only, under a parallel plan of at most `workers` processes, with work_mem raised
// to the memory budget. Needs an SPI connection and an active snapshot.
ReadQuery run_read_query(const char* query, int workers, RowFunction function, void* argument);

// Processes that a plan has, the session's own included.
int planned_processes(SPIPlanPtr plan);

}  // namespace many::pg
