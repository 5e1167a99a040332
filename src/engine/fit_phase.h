// The fit phase: processes claim buckets, merge what the scan left there, fit group by group.
#pragma once

#include "engine/results.h"

namespace many::engine {

struct BucketWork;

// Results go to `results`. Used by the run's session and by each of its workers.
BucketWork* fit_begin(RunSegment* segment, ResultSink* results);
// From the next bucket on.
void fit_results_to(BucketWork* work, ResultSink* results);
// Claims a bucket and fits its groups; false when none is left.
bool fit_next_bucket(BucketWork* work);
void fit_end(BucketWork* work);

}  // namespace many::engine
