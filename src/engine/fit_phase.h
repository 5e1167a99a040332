// The fit phase: processes claim buckets, merge what the scan left there, fit group by group.
#pragma once

#include "engine/run_segment.h"

namespace many::engine {

// Works on buckets until none is left. Called by
// the run's session and by each of its workers.
void fit_buckets(RunSegment* segment);

}  // namespace many::engine
