// A set as predict() needs it: which models a role is served with, where they are, how keys and features
// are read; and the look-up of one model. The session's cache (model_cache.h) keeps these.
//
// Served is what is in production, and for groups that have nothing there the latest version; or one
// version that was asked for. A promotion puts a list of layers in force, whose rows never change, so a
// set that is a moment old answers as it did that moment before.
#pragma once

#include "core/codec/linear_model.h"
#include "pg/feature_reader.h"
#include "pg/server.h"
#include "registry/key_text.h"
#include "serving/stored_model.h"

namespace many::serving {

struct CachedFeature {
    const char* name;
    int name_length;
    Oid type;  // as trained
    pg::FeatureReader reader;
    Oid input;  // input function of the type
    Oid input_parameter;
};

// A run whose models are used.
struct CachedRun {
    CachedRun* next;
    int64 run_id;
    int64 storage;
    int version;
    registry::KeyColumn* columns;  // of the set's keys
    int n_features;
    CachedFeature* features;
    core::FeatureValue* values;  // scratch, n_features
};

struct CachedSet {
    CachedSet* next;
    MemoryContext context;
    Oid user;
    const char* name;
    int wanted;  // the version asked for; 0: production, then the latest
    int n_keys;
    int64 promotion_id;  // in force
    Datum layers;        // bigint[], and their storages; none: n_layers is 0
    Datum storages;
    int n_layers;
    int64* layer_ids;
    ModelPlace* layer_places;
    CachedRun* promoted;      // runs in production, the newest first
    CachedRun* latest;        // or the version asked for; nullptr: no version is left
    ModelPlace latest_place;  // of its models
};

// In a context of its own below the current one. Raises 42704 for an unknown set or version, 42501 for a
// role that may not score with it. Needs an SPI connection, and lock_models before the snapshot.
CachedSet* load_cached_set(Oid user, const char* name, int version);

// Whether a relation is one that the set's models are read from.
bool reads_relation(const CachedSet* set, Oid relation);

struct FoundModel {
    const struct varlena* model;  // nullptr: none, an error value, or not for this role
    CachedRun* run;               // of the model; without one, the run that has the set's features
};

// From the memory that sessions share, where the first look into it is enough to answer; without a
// snapshot.
bool find_shared(CachedSet* set, Jsonb* key, FoundModel* found);

// From the tables, by their indexes, with the active snapshot; for what find_shared did not find. False
// when it takes a query to answer.
bool find_by_index(CachedSet* set, Jsonb* key, FoundModel* found);

// By a query if need be. False when the set is not what is in force any more: its messages are still on
// the way. Raises 42704 when the models were dropped after a snapshot that must not be renewed. Needs an
// SPI connection.
bool find_by_query(CachedSet* set, Jsonb* key, FoundModel* found);

}  // namespace many::serving
