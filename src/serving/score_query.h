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

// Makes drops of versions wait until the end of the transaction, and waits for one under way. With a
// snapshot taken after it, a run and its models are there together or not at all: without, the run
// may be of before a drop and the models, which go with their partition, of after it.
void lock_models();

// Whether the run is there, for when none of its models was found. Raises 42704 when it made models
// and all of them are gone: a snapshot that must not be renewed was older than the drop. Needs an
// SPI connection.
bool require_models(const char* model_set, int version, int64 storage, int64 run_id);

// SQL that follows a WHERE clause over k, a row of model_store of the set: the groups that the
// caller may score with. Empty when these are all.
const char* score_condition(const char* model_set);

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

// Number of models of the run, and their size together.
int64 count_models(const registry::TrainingRun* run, int64* bytes);

}  // namespace many::serving
