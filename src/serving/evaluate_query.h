// What an evaluation reads: its specification, checked before the first row, and its queries.
//
// Predictions and source are put side by side by UNION ALL and grouped by key and id, which matches
// NULLs, finds rows without a partner on either side and ids that are not unique, all in one pass and
// under any plan. The pairs are then grouped by key, period and version.
#pragma once

#include "pg/source.h"
#include "registry/registry.h"

namespace many::serving {

struct EvaluateOptions {
    bool features;
    const char* since;  // nullptr: no limit
    const char* until;
    const char* time_zone;
};

struct EvaluateSpec {
    const registry::TrainingRun* run;  // the latest: keys, features, time column
    const pg::Source* predictions;
    const pg::Source* source;
    const char* target;
    int n_ids;
    char** ids;
    const char* period;        // nullptr: one period
    const char* scoring_runs;  // of the set, as an array literal
    EvaluateOptions options;
};

// id_columns nullptr: the columns of the predictions that are neither partition nor result columns.
// Raises 42703, 42804 or 22023 for what does not fit together. `period` is dropped, with a NOTICE,
// when no date or timestamp among the ids is the time column.
void describe_evaluation(EvaluateSpec* spec, char** id_columns, int n_id_columns);

// keys k1.., period timestamp, model_version int4, model_id int8, evaluate_pairs float8[]
char* build_evaluate_query(const EvaluateSpec* spec);

// keys k1.., period timestamp, float8[] with count, mean and standard deviation of each feature (0 for
// categorical ones), jsonb array with the rows per level of each feature (null for numeric ones)
char* build_moments_query(const EvaluateSpec* spec);

}  // namespace many::serving
