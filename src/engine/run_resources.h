// What all processes of a training run used.
#pragma once

#include "engine/run_segment.h"
#include "pg/resources.h"

namespace many::engine {

// Called by a process at the end of its part. Workers live for one part of one run, so that what
// they used is what they have used; the session counts itself, and does nothing here.
void add_scan_worker(RunSegment* segment);  // the server adds its files and WAL to the session's
void add_fit_worker(RunSegment* segment);

// Of the session since `before`, and of the workers.
pg::Resources run_resources(RunSegment* segment, const pg::Resources* before);

}  // namespace many::engine
