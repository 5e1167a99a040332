// Progress of a run: counters in its segment, NOTICEs in its session, a view in all others.
//
// Other sessions find a run without any preloaded shared memory: its session holds an advisory lock
// whose tag carries the segment's handle (class kProgressLockClass, a sub-id that no SQL function
// uses), so that pg_locks lists the runs and an ended or crashed run vanishes by itself.
#pragma once

#include "engine/run_segment.h"

namespace many::engine {

constexpr uint32 kProgressLockClass = 0x4d4d5031;  // "MMP1"
constexpr uint16 kProgressLockSub = 0x4d4d;

void publish_run(dsm_handle handle);
void retract_run(dsm_handle handle);

void set_phase(RunSegment* segment, Phase phase);

// Emits a NOTICE when many_models.progress_interval has passed since the last; called by the run's
// session only, every few thousand rows or groups.
void report_progress(RunSegment* segment);

}  // namespace many::engine
