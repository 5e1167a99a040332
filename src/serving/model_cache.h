// The models that predict() of this session has used, and the definitions of their sets.
//
// A repeated call costs one hash look-up and no SPI. An entry is found by the role, the set's name
// and the bytes of the key as the user wrote it (jsonb is canonical up to 1 = 1.0), so that nothing
// is ever visible to another role. That a group has no model is cached too.
//
// Freshness: any change of the registry's tables, grants included, of roles or of memberships empties
// the cache when its invalidation message arrives, which is looked for at every call. Misses read with
// a snapshot taken after that, so an entry is never older than the last message; where that is not
// possible (repeatable read, parallel workers) the entries are dropped at the end of the transaction.
//
// A model that is not here comes from the memory that all sessions share, if there is one, else from
// the tables (cached_set.h).
//
// Memory: models are evicted, least recently used first, beyond many_models.model_cache_size; when the
// definitions of sets alone take more, all goes. Nothing is linked in before it is complete, so that an
// error leaves the cache as it was.
#pragma once

#include "pg/server.h"
#include "serving/cached_set.h"

extern "C" {
#include "lib/ilist.h"
}

namespace many::serving {

struct CachedModel {
    dlist_node recent;  // first
    CachedModel* chain;
    CachedSet* set;
    CachedRun* run;  // of the model; without one, the run that has the set's features
    uint32 hash;
    Oid user;
    int wanted;  // as in the set
    int name_length;
    int key_length;
    Size model_length;  // 0: the group has no model
    Size bytes;         // of the entry
    double level;       // whose t quantile the model carries; 0: none
    char* name() { return reinterpret_cast<char*>(this + 1); }
    char* key() { return name() + name_length; }
    char* model() { return reinterpret_cast<char*>(this + 1) + MAXALIGN(name_length + key_length); }
};

// The entry for a set and a key, loaded if need be; version 0 is what is in production, then the latest.
// Raises 42704 for an unknown set or version, 42501 for a role that may not score with it, 22023 for a
// key with other columns than the set's. Valid until the next call.
CachedModel* find_cached_model(const text* model_set, Jsonb* key, int version = 0);

// Calls in between are answered from one state of the registry, and share the cost of finding out that
// it is the current one. The end must be called, after an error too.
struct CacheBatch {
    bool was_loading;
    bool was_in_batch;
    bool has_snapshot;
};
void begin_cache_batch(CacheBatch* batch);
void end_cache_batch(const CacheBatch* batch, bool after_error);

// Fills in the t quantile of a level.
void set_cached_level(CachedModel* model, double level);

}  // namespace many::serving
