#include "engine/run_resources.h"

namespace many::engine {

void add_scan_worker(RunSegment* segment) {
    if (!IsParallelWorker()) return;
    pg_atomic_fetch_add_u64(&segment->worker_cpu_us, pg::resources_now().cpu_us);
}

void add_fit_worker(RunSegment* segment) {
    if (!IsParallelWorker()) return;
    const pg::Resources used = pg::resources_now();
    pg_atomic_fetch_add_u64(&segment->worker_cpu_us, used.cpu_us);
    pg_atomic_fetch_add_u64(&segment->worker_temp_bytes, used.temp_bytes);
}

pg::Resources run_resources(RunSegment* segment, const pg::Resources* before) {
    pg::Resources used = pg::resources_since(before);
    used.cpu_us += static_cast<int64>(pg_atomic_read_u64(&segment->worker_cpu_us));
    used.temp_bytes += static_cast<int64>(pg_atomic_read_u64(&segment->worker_temp_bytes));
    return used;
}

}  // namespace many::engine
