// Progress of a run: counters in its segment, NOTICEs in its session, a view in all others.
// What scoring runs show is in pg/run_activity.h.
//
// Other sessions find a run without any preloaded shared memory: its session holds an advisory lock
// whose tag carries the segment's handle (class kProgressLockClass, a sub-id that no SQL function
// uses), so that pg_locks lists the runs and an ended or crashed run vanishes by itself.
#pragma once

#include "engine/run_segment.h"
#include "pg/run_activity.h"

namespace many::engine {

constexpr uint32 kProgressLockClass = pg::kRunLockClass;
constexpr uint16 kProgressLockSub = 0x4d4d;

void publish_run(dsm_handle handle);
void retract_run(dsm_handle handle);

// Of the run's session: the phase, for run_progress and pg_stat_activity.
void set_phase(RunSegment* segment, Phase phase);
// Gives the session its statement back in pg_stat_activity.
void end_activity(RunSegment* segment);

// This process's place in run_progress, made at the first call; in a worker pg_stat_activity says
// run and activity from then on. Never nullptr.
ProcessSlot* process_slot(RunSegment* segment, Activity activity);

// Emits a NOTICE when many_models.progress_interval has passed since the last; called by the run's
// session only, every few thousand rows or groups.
void report_progress(RunSegment* segment);

}  // namespace many::engine
