// Which models a scoring uses: those of one version; or, where models of the set are in production,
// these, and for the groups that have none the latest version's.
//
// Models of several runs may score side by side. Their features are gathered in one list, by which
// the source is read; a model whose run has others, or in another order, finds its own by a map.
#pragma once

#include "pg/server.h"
#include "registry/production.h"
#include "registry/registry.h"

namespace many::serving {

struct ScoreModels {
    // The latest version's run, or the newest promoted one: names keys, source, time column, target.
    const registry::TrainingRun* run;
    const registry::ProductionState* production;  // n_layers is 0 when it does not matter
    bool uses_run;                                // models of `run` outside of production
    int n_runs;
    const registry::TrainingRun** runs;  // whose models there are
    int n_features;
    char** features;  // of all of them
    bool* nullable_keys;
    int64 n_models;
    int64 model_bytes;
    int64 n_production;  // models among n_models
};

// version 0: production, then the latest. Raises 42704 when there is nothing, or when the models were
// dropped after the transaction's snapshot, 42501 when the caller may not score with the set. Needs an SPI connection, and lock_models before the
// snapshot.
void find_score_models(ScoreModels* models, const char* model_set, int version);

// "... AS k WHERE ...": rows with partition_key, key_hash, model_id, run_id, model.
char* score_models_rows(const ScoreModels* models);

// SQL that follows a WHERE clause over k, rows of models of the set: the groups that the caller may
// score with. Empty when these are all.
const char* score_condition(const char* model_set);

// Whether models of the run are there, for when none was found. Raises 42704 when it made models and
// all of them are gone: a snapshot that must not be renewed was older than the drop. Needs an SPI
// connection.
bool require_models(const char* model_set, int version, int64 storage, int64 run_id);

// Places of a run's features in a list of features; nullptr when they are the list itself.
int* feature_places(char** features, int n, char** list, int n_list);

}  // namespace many::serving
