// What this process has used: CPU time, temporary files, WAL.
//
// Temporary files and WAL are the server's own counters, which take in the parallel workers of a
// query when it ends; CPU time is of this process alone. They only grow: what a run used is the
// difference between two readings.
#pragma once

#include "pg/server.h"

namespace many::pg {

struct Resources {
    int64 cpu_us;  // user and system
    int64 temp_bytes;
    int64 wal_bytes;
};

Resources resources_now();
Resources resources_since(const Resources* before);

// "cpu_seconds": ..., "temp_bytes": ..., "wal_bytes": ...
void append_resources(StringInfo json, const Resources* used);

}  // namespace many::pg
