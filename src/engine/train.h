// A training run as the process sees it that leads it: the session of train_many_models, or the
// background worker of start_training. Phases in the order of their calls; see README.md.
#pragma once

#include "engine/fit_processes.h"
#include "engine/train_spec.h"
#include "pg/resources.h"

namespace many::engine {

struct Run {
    TrainPlan* plan;
    dsm_segment* mapped;
    RunSegment* segment;
    int64 token;
    int version;
    int fixed_buckets;  // of a run that goes on: as many as it began with; 0: to be chosen
    bool is_partial;    // only the groups with these hashes (key_encode), sorted
    const uint64* only;
    uint64 n_only;
    bool carries;              // groups that did not change have no result of their own
    double stored_bytes;       // of the version before, that will join the exchange after the scan
    const char* more_details;  // ", \"key\": value ..." for runs.details; nullptr: none
    double scan_seconds;
    FitSummary fit;
    pg::Resources before;  // of this process, when the segment was made
};

double seconds_between(TimestampTz from, TimestampTz to);

// The arguments of train_many_models and start_training.
void read_train_arguments(FunctionCallInfo fcinfo, TrainArguments* arguments);

// The set's row, locked; made if there is none. Another session that makes the same set at the same
// time is waited for.
registry::ModelSet* claim_model_set(const TrainArguments* arguments);
void require_same_partition(const registry::ModelSet* set, const TrainArguments* arguments);

void create_segment(Run* run, const char* model_set, int64 run_id, int workers);
// Runs the source query into the sink, read-only.
void scan_source(Run* run, int workers);
// Writes the run's row. Without a version (0) it has none; nullable_keys may be nullptr.
void insert_run(const Run* run, const char* kind, const char* into_table,
                const Collected* collected, TimestampTz finished);
// Writes the run's row and the set's new definition and version.
void record_run(const Run* run, const Collected* collected, TimestampTz finished);
// The run_summary that the SQL function returns.
Datum run_summary(FunctionCallInfo fcinfo, const Run* run, const Collected* collected,
                  TimestampTz finished);

Datum bool_array(const bool* values, int n);

// errcontext callback; argument: a Run.
void describe_run_in_errors(void* argument);

}  // namespace many::engine
