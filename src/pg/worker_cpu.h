// CPU time of the parallel workers of a query, which the server keeps to itself.
//
// The session makes a counter in shared memory and names it in a setting, which the server hands to
// the workers of its queries; functions of ours that run there have the worker add its CPU time when
// it ends. Only the session sets it: the setting is for superusers, and the name has a secret part.
#pragma once

#include "pg/server.h"

namespace many::pg {

struct WorkerCpu {
    dsm_segment* segment;
};

// Within a nesting level of settings that the caller ends after the query.
WorkerCpu count_worker_cpu();
// After the query; microseconds.
int64 worker_cpu_counted(WorkerCpu* counter);

// In functions of our queries, once per call site: does nothing but in a worker whose session counts.
void join_worker_cpu();

void define_worker_cpu_setting();

}  // namespace many::pg
