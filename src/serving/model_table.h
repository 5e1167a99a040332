// The models of a scoring in the memory of one process, by partition key: what its query looks its
// rows' models up in. Of models of the same key, the one of the newer layer counts, and production
// before the version.
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

// Of one run: what its models share.
struct ModelRun {
    int64 run_id;
    int32 version;
    int n_features;
    int* places;  // of its features among the row's; nullptr: they are the same
};

struct ModelEntry {
    core::LinearModelView view;
    int64 model_id;
    const ModelRun* run;
};

struct ModelKey {
    const char* name;
    Oid type;  // of the source's column
    Oid collation;
};

struct ModelTable;

// Loads models that the caller may see and score with, into `context`. `sources`: pairs of storage and
// run_id of a version (0, 0: none), then layer and storage of each layer of production. `features`: of
// the rows to come. Raises 21000 when two models of one layer or version have keys that the source's
// columns do not tell apart, 42501 when the caller may see the set but not score with it.
ModelTable* load_model_table(MemoryContext context, const int64* sources, int n_sources,
                             double level, const ModelKey* keys, int n_keys, char** features,
                             int n_features);

// nullptr: there is no model for the key.
const ModelEntry* find_model(ModelTable* table, const NullableDatum* keys);

}  // namespace many::serving
