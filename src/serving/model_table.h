// The models of a run in the memory of one process, by partition key: what a scoring query looks
// its rows' models up in.
//
// Every process of a parallel scoring query loads its own table at its first row (about 3 us a
// model). Models are verified and opened once, with the t quantile of the interval's level, so that
// a row costs one hash look-up and the arithmetic of its score.
//
// Keys are compared as the source's columns are: by their type's equality under the column's
// collation, NULL being a key of its own. Integers of different width are one type here.
#pragma once

#include "core/codec/linear_model.h"
#include "pg/server.h"

namespace many::serving {

struct ModelEntry {
    core::LinearModelView view;
    int64 model_id;
};

struct ModelKey {
    const char* name;
    Oid type;  // of the source's column
    Oid collation;
};

struct ModelTable;

// Loads the models of a run that the caller may see and score with, into `context`. Raises 21000
// when two models have keys that the source's columns do not tell apart, 42501 when the caller may
// see the run but not score with it.
ModelTable* load_model_table(MemoryContext context, int64 storage, int64 run_id, double level,
                             const ModelKey* keys, int n_keys, int n_features);

// nullptr: there is no model for the key.
const ModelEntry* find_model(ModelTable* table, const NullableDatum* keys);

}  // namespace many::serving
