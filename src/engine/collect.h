// The collect phase: results of the fit phase into the registry, in the caller's transaction.
#pragma once

#include "engine/train_spec.h"

namespace many::engine {

struct Collected {
    int64 storage;        // 0: the shared partitions
    bool* nullable_keys;  // n_keys
    int64 trained;
    int64 failed;
    int64 skipped;
};

// Inserts models and failures. Runs of more than kOwnPartitionGroups groups get partitions of
// their own, loaded in bulk, indexed once, analysed, attached.
void collect_results(RunSegment* segment, const TrainPlan* plan, Collected* collected);

// Names of a run's own partitions.
char* own_partition(const char* parent, int64 run_id);

constexpr int64 kOwnPartitionGroups = 1000;

}  // namespace many::engine
