// Runs that train some groups of a version again and carry the models of the others forward: into
// a new version, in one transaction, like any training.
//
//   retrain_failed         the groups without a model
//   refresh_many_models    the groups whose rows changed (fingerprint.h), or those that drifted; all
//                          groups of an append-only set (append.h)
//
// The scan reads the whole source, and the sink lets pass the groups whose hashes are listed. A
// group is on one side or the other: what is trained again is not carried.
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
    Datum gone;              // jsonb[]: groups that are not in the source any more
    bool all;                // every group is trained
    const char* read_after;  // of an append-only set that is continued: see append.h
    int workers;
    Collected collected;
    int64 carried;
    TimestampTz finished;
};

// Restricts a planned run to the groups of a jsonb[] of partition keys.
void only_groups(Run* run, Datum keys);

// Plans the base's definition on the source as it is; 42804 if its columns are not those of then.
void plan_retraining(Retraining* r);
// Trains, carries, records, publishes. False, and nothing done: there are no new rows to append.
bool retrain(Retraining* r);

// Fingerprints of all groups of the source, as the caller, stored for the run.
void store_fingerprints(Retraining* r);

}  // namespace many::engine
