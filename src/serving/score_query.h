// What a scoring run reads: the spec, checked before the first row, and its query.
#pragma once

#include "pg/server.h"
#include "pg/source.h"
#include "registry/registry.h"
#include "serving/forecast_quantiles.h"
#include "serving/score_models.h"

namespace many::serving {

// A source column carried into the predictions: a partition column or an id column.
struct CarriedColumn {
    const char* name;
    Oid type;
    int32 typmod;
    Oid collation;
};

struct ScoreSpec {
    ScoreModels models;
    const registry::TrainingRun* run;  // of models
    const pg::Source* source;
    int n_carried;  // the partition columns, then the id columns
    CarriedColumn* carried;
    double level;
    const QuantileOption* quantiles;  // of forecasters
};

// Checks that the source has the partition columns and the features, readable as in training, and
// fills in the carried columns. id_columns nullptr: the source's primary key and time column.
void describe_score(ScoreSpec* spec, char** id_columns, int n_id_columns);

// SELECT carried..., score: a plain scan of the source, which any parallel plan can take apart; each
// process looks models up in a table of its own (model_table.h).
char* build_score_query(const ScoreSpec* spec);

// The same rows by a join of source and models, for runs whose models are too many to be held by
// each process: PostgreSQL's hash join goes to disk where it must. Models are opened (detoasted,
// checked) below it, once each.
char* build_joined_score_query(const ScoreSpec* spec);

}  // namespace many::serving
