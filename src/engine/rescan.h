// Judges what is in production on the rows that a version was judged on, after the fact: the version's
// run once more, from its recorded source and options, as far as the comparison needs it. The holdout
// is the same rule over the rows that are there now.
#pragma once

#include "pg/server.h"
#include "registry/registry.h"

extern "C" {
#include "utils/tuplestore.h"
}

namespace many::engine {

struct Rescan {
    const registry::TrainingRun* run;
    Jsonb* options;
    Datum groups;       // jsonb[]: partition keys of the groups to compare; 0: all
    TupleDesc columns;  // filled in: key_hash, partition_key, model, comparison, compared_with
    Tuplestorestate* rows;
    int64 n_rows;
};

// As the caller; needs an SPI connection. Errors of the source are the caller's.
void rescan_comparisons(Rescan* rescan, int workers);

}  // namespace many::engine
