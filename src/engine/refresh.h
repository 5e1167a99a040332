// Runs that train some groups of a version again and carry the models of the others forward: into
// a new version, in one transaction, like any training.
//
//   retrain_failed         the groups without a model
//   refresh_many_models    the groups whose rows changed (fingerprint.h), or those that drifted; all
//                          groups of an append-only set (append.h)
//
// The scan reads the whole source. Where the groups are known before, the sink lets pass those whose
// hashes are listed; which ones changed the fit phase finds out. A group is on one side or the other:
// what is trained again is not carried.
#pragma once

#include "engine/train.h"

namespace many::engine {

// The version that the new one starts from.
struct BaseRun {
    int64 run_id;
    int64 storage;
    int version;
    TrainArguments arguments;  // as used, features too
    bool* nullable_keys;
    char** key_types;
    char** feature_types;
};

struct Retraining {
    BaseRun* base;
    Run run;
    int64 run_id;
    Datum again;             // jsonb[]: partition keys to train
    bool all;                // every group is trained
    bool compares;           // ... that is not as it was
    const char* read_after;  // of an append-only set that is continued: see append.h
    RowsAtTime read_last;    // by the base
    int workers;
    Collected collected;
    int64 carried;
    uint64 trained_again;
    uint64 updated;  // models moved forward (update.h)
    uint64 vanished;
    uint64 rows_read;
    int64 elapsed;  // microseconds
};

// Restricts a planned run to the groups of a jsonb[] of partition keys.
void only_groups(Run* run, Datum keys);

// Plans the base's definition on the source as it is; 42804 if its columns are not those of then.
void plan_retraining(Retraining* r);
// Trains, carries, records, publishes. False, and nothing done: there are no new rows to append, or
// no group changed.
bool retrain(Retraining* r);

}  // namespace many::engine
