// Models read from a partition of the registry by its index, without a query: what a session's cache
// does when it has not got a model. 6 us instead of the 30 of a query.
//
// Reading is the extension's business, as with a query as the registry's owner. Whether the current role
// may have a model is asked of the model's own key (registry/access.h), whether it comes from the table
// or from the memory that sessions share; that it may use the set at all, and which run it sees, the
// caller has found out.
#pragma once

#include "pg/server.h"
#include "registry/key_text.h"

namespace many::serving {

// Where the models of a run, or of a layer of production, are.
struct ModelPlace {
    Oid partition;  // InvalidOid: to be read by a query
    Oid index;      // on (id, key_hash), or on key_hash where all rows have the same id
    int n_columns;  // of the index
    Oid file;       // the partition's storage
    int64 id;       // of the run or the layer
    AttrNumber id_column;
    AttrNumber partition_key;
    AttrNumber run_id;
    AttrNumber model;
};

// Among the partitions of the registry's table `store`, whose column `id_column` names the run or the
// layer. The caller holds a lock on it that keeps drops waiting.
void find_model_place(ModelPlace* place, const char* store, int64 storage, const char* id_column,
                      int64 id);

// A group, as the user wrote its key.
struct WantedKey {
    const char* model_set;
    registry::KeyColumn* columns;
    int n_keys;
    Jsonb* key;
    Datum* values;
    bool* nulls;
    int64 hash;
};
// Raises as registry::key_from_jsonb.
void read_wanted_key(WantedKey* wanted, const char* model_set, registry::KeyColumn* columns,
                     int n_keys, Jsonb* key);

// Whether a stored key is of the group.
bool is_wanted_key(const WantedKey* wanted, Jsonb* stored);

enum class PlaceResult {
    found,     // and, if model is nullptr, an error value or not for this role
    none,      // no row of the group
    use_query  // the place cannot be used (any more)
};

struct StoredModel {
    const struct varlena* model;
    int64 run_id;
};

// From the memory that sessions share (shared_cache.h): found when the key is written as it is
// stored, else none.
PlaceResult find_in_shared_cache(const ModelPlace* place, const char* model_set, Jsonb* key,
                                 StoredModel* stored);

// From the table, with the active snapshot. What is found is checked, and offered to the shared cache.
PlaceResult find_stored_model(const ModelPlace* place, const WantedKey* wanted,
                              StoredModel* stored);

}  // namespace many::serving
