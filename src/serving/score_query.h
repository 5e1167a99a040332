// What a scoring run reads: the spec, checked before the first row, and its query.
#pragma once

#include "pg/server.h"
#include "pg/source.h"
#include "registry/registry.h"

namespace many::serving {

// A source column carried into the predictions: a partition column or an id column.
struct CarriedColumn {
    const char* name;
    Oid type;
    int32 typmod;
    Oid collation;
};

struct ScoreSpec {
    const registry::TrainingRun* run;
    const pg::Source* source;
    int n_carried;  // the partition columns, then the id columns
    CarriedColumn* carried;
    double level;
};

// Checks that the source has the partition columns and the features, readable as in training, and
// fills in the carried columns. id_columns nullptr: the source's primary key and time column.
void describe_score(ScoreSpec* spec, char** id_columns, int n_id_columns);

// SELECT carried..., model_id, score. The join of source and models is one that the planner can
// hash and run in parallel; models are opened (detoasted, checked) below it, once each.
char* build_score_query(const ScoreSpec* spec);

// Number of models of the run.
int64 count_models(const registry::TrainingRun* run);

}  // namespace many::serving
