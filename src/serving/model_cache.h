// The models that predict() of this session has used, and the definitions of their sets.
//
// A repeated call costs one hash look-up and no SPI. An entry is found by the role, the set's name
// and the bytes of the key as the user wrote it (jsonb is canonical up to 1 = 1.0), so that nothing
// is ever visible to another role. That a group has no model is cached too.
//
// Freshness: any change of the registry's tables, grants included, of roles or of memberships empties
// the cache when its invalidation message arrives, which is looked for at every call. Misses read with a snapshot taken after that, so an entry is never
// older than the last message; where that is not possible (repeatable read, parallel workers) the
// entries are dropped at the end of the transaction.
//
// Memory: one context; models are evicted, least recently used first, beyond
// many_models.model_cache_size. Nothing is linked in before it is complete, so that an error leaves
// the cache as it was.
#pragma once

#include "core/codec/linear_model.h"
#include "pg/feature_reader.h"
#include "pg/server.h"
#include "registry/key_text.h"

extern "C" {
#include "lib/ilist.h"
}

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

// What is used of a set, as a role sees it: production, then the latest version.
struct CachedSet {
    CachedSet* next;
    Oid user;
    const char* name;
    int n_keys;
    int64 promotion_id;  // in force
    Datum layers;        // bigint[], and their storages; none: n_layers is 0
    Datum storages;
    int n_layers;
    int64* layer_ids;
    CachedRun* promoted;  // runs in production, the newest first
    CachedRun* latest;    // nullptr: no version is left
};

struct CachedModel {
    dlist_node recent;  // first
    CachedModel* chain;
    CachedSet* set;
    CachedRun* run;  // of the model; without one, the run that has the set's features
    uint32 hash;
    Oid user;
    int name_length;
    int key_length;
    Size model_length;  // 0: the group has no model
    Size bytes;         // of the entry
    double level;       // whose t quantile the model carries; 0: none
    char* name() { return reinterpret_cast<char*>(this + 1); }
    char* key() { return name() + name_length; }
    char* model() { return reinterpret_cast<char*>(this + 1) + MAXALIGN(name_length + key_length); }
};

// The entry for a set and a key, loaded if need be. Raises 42704 for an unknown set, 22023 for a
// key with other columns than the set's. Valid until the next call.
CachedModel* find_cached_model(const text* model_set, Jsonb* key);

// Fills in the t quantile of a level.
void set_cached_level(CachedModel* model, double level);

}  // namespace many::serving
