// The fit phase over processes: the session and its workers fit, the session collects meanwhile.
#pragma once

#include "engine/collect.h"

namespace many::engine {

// What a run came to after its scan.
struct FitSummary {
    int processes;  // that took part, the session included
    double fit_seconds;
    double collect_seconds;
};

// Fits all buckets with up to `workers` processes and puts the results into the registry. Ends with
// an error when more groups fail than max_failed_fraction allows. With `carry` (a refresh), which
// checks that itself: false, and nothing written, when no group changed.
bool fit_and_collect(dsm_segment* mapped, const TrainPlan* plan, int workers, Collected* collected,
                     FitSummary* summary, const Carry* carry = nullptr);

// A part of it, of a run that commits in between: fits the buckets [from, to) that are not done yet,
// puts the results into partitions that were made before, adds to the summary.
void fit_slice(dsm_segment* mapped, const TrainPlan* plan, int workers, int from, int to,
               Collected* collected, FitSummary* summary);

// Keys and times become text in one way, whatever the session's settings; within a GUC nest level.
void set_text_formats();
// Fits all buckets; results are in the run's files then ("r<bucket>"), and nowhere else. Returns the
// number of processes that took part in the run.
int fit_to_files(dsm_segment* mapped, int workers);
// All of these results, each with its body, which is valid during the call.
using TakeResult = void (*)(void* argument, const ResultHeader* header, const char* body);
void read_fitted(RunSegment* segment, TakeResult take, void* argument);

// The error of which fit_and_collect speaks.
void check_failures(RunSegment* segment, double max_failed_fraction);

}  // namespace many::engine
