// The models in production, as the rest of the extension reads them: src/promotion writes them.
//
// A promotion adds one layer of models to production_store; what is in production is a list of
// layers, the newest first: a group's model is that of the first layer that has one. So promoting
// writes new models only, going back is putting an older list in force, and no row is ever changed.
// Within a set, a group has the same partition_key (as jsonb) in every layer.
#pragma once

#include "registry/registry.h"

namespace many::registry {

struct ProductionState {
    int64 promotion_id;  // that put it in force; 0: nothing was ever promoted
    int n_layers;
    int64* layers;
    int64* storages;  // of each: its partition of production_store, 0 for the shared one
};

// As the caller may see it; n_layers is 0 when nothing is in production. Needs an SPI connection.
ProductionState* find_production(const char* model_set);

// The runs whose models were ever promoted, as the caller may see them, the newest first: versions
// may have been dropped meanwhile.
TrainingRun** find_production_runs(const char* model_set, int* n);

// Deletes all that was ever promoted of a set, as the registry's owner: for its drop. The set's row
// must be locked FOR UPDATE.
void drop_production(const char* model_set);

// A query of the rows of production_store that are in force in a state: `columns` of alias m. Empty
// without layers.
char* production_rows(const ProductionState* state, const char* columns);

// A condition: rows `a` and `b`, with columns partition_key and key_hash, are of the same group. `a`
// is of run `run`, `b` of one of `others`. Operators are qualified; those of key types without a
// canonical text are the types' own.
char* same_group(const char* a, const char* b, const TrainingRun* run, TrainingRun** others, int n);

// Whether rows of the same group, one of run `run` and one of `others`, have the same bytes as
// partition_key: so it is where equal values of the key types have one text.
bool same_key_bytes(const TrainingRun* run, TrainingRun** others, int n);

// Raises 0A000 when groups of a promoted run are found by another hash than those of `run`.
void require_same_hash(const TrainingRun* run, TrainingRun** others, int n);

// Arrays of production_sets and promotions.
Datum int64_array(const int64* values, int n);
int64* int64_array_values(Datum array, int* n);

}  // namespace many::registry
