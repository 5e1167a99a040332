// The options of a training run that are not the learner's: holdout, null_policy, group_options ...
#pragma once

#include "engine/train_spec.h"
#include "pg/forecast_options.h"

namespace many::engine {

struct RunOptions {
    bool forecasts;                // the algorithm is a forecaster
    pg::LearnerOptions learner;    // of other algorithms
    pg::ForecastOptions forecast;  // of forecasters; to be finished once the time's type is known
    core::HoldoutSpec holdout;
    char* since;  // text of holdout.since, parsed once the time column's type is known
    core::NullPolicy null_policy;
    double max_failed_fraction;
    double seconds_per_group;
    int max_levels;
    bool append_only;
    Jsonb* group_options;  // nullptr: none
};

// Parses the options object; raises 22023 for unknown keys and bad values.
RunOptions* parse_run_options(const char* algorithm, Jsonb* options);

// Appends the overrides of group_options; sets n_overrides. `overrides` gets the bytes.
int encode_overrides(const RunOptions* options, const TrainPlan* plan, const KeySpec* keys,
                     StringInfo overrides);

}  // namespace many::engine
