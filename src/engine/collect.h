// Results of the fit phase into the registry, in the caller's transaction, as they come.
#pragma once

#include "engine/results.h"
#include "engine/train_spec.h"

namespace many::engine {

struct Collected {
    int64 storage;        // 0: the shared partitions
    bool* nullable_keys;  // n_keys
    int64 trained;
    int64 failed;
    int64 skipped;
};

// Inserts models and failures. Runs of many groups get partitions of their own, loaded in bulk,
// indexed once, analysed, attached.
struct Collector;

enum class ResultStorage : uint8 {
    shared,
    own,    // made by open_collector, published by close_collector
    begun,  // made before, published later: a run that commits in between
};

// What a refresh does with the groups that did not change, before the version's rows are published:
// `places` of their rows in the version before. As the registry's owner.
struct Carry {
    void (*carry)(void* argument, const uint64* places, Size n, Collected* collected);
    void* argument;
};

// `ids` model ids are taken at once: in parallel mode a sequence cannot be asked. Results beyond
// them wait in a temporary file for close_collector.
Collector* open_collector(RunSegment* segment, const TrainPlan* plan, ResultStorage storage,
                          int64 ids, const Carry* carry = nullptr);
void collect_result(Collector* collector, const ResultHeader* header, const char* body);
// Results in the files of buckets first .. last - 1 (results_in_files).
void collect_files(Collector* collector, int first, int last);
// Outside of parallel mode.
void close_collector(Collector* collector, Collected* collected);

// The partitions of a run that commits in between, as the registry's owner. Until they are published
// they are tables of their own, which no view reads.
void create_result_partitions(int64 storage);
// Indexes, attaches, analyses.
void publish_result_partitions(int64 storage);
// Instead, for few groups: moves the rows to the shared partitions.
void share_result_partitions(int64 storage);

// A sink that writes one file per bucket, "r<bucket>".
ResultSink* results_in_files(RunSegment* segment);

// A time of the run in its column's type, under the settings of the session.
char* time_text(const RunSpec* spec, int64 time);
int64 time_from_text(const RunSpec* spec, char* text);
// The numbers of a comparison (core/selection/rival.h) as float8[], NaN as NULL.
Datum comparison_array(const char* numbers, int n);

// Names of a run's own partitions.
char* own_partition(const char* parent, int64 run_id);

// Runs of more groups get partitions of their own.
constexpr int64 kOwnPartitionGroups = 1000;

}  // namespace many::engine
