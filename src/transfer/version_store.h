// The models and failures of a version that comes from elsewhere, on their way into the registry.
//
// As the collect phase of a training does: rows of small versions go to the shared partitions, large
// ones get partitions of their own, loaded in bulk, indexed once, attached, analysed.
#pragma once

#include "pg/server.h"

namespace many::transfer {

struct VersionStore;

struct StoredModel {
    int64 key_hash;
    Jsonb* key;
    int64 n_rows;
    float4 seconds;
    const char* first_time;  // or nullptr
    const char* last_time;
    struct varlena* model;
};

struct StoredFailure {
    Jsonb* key;
    const char* status;
    const char* sqlstate;
    const char* message;
    const char* hint;  // or nullptr
    int32 attempt;
    int64 n_rows;
    float4 seconds;
};

// Needs an SPI connection.
VersionStore* store_open(int64 run_id, bool own_partitions);

// What the rows point to must be in this context, which is reset when they were written.
MemoryContext store_row_context(VersionStore* store);

void store_model(VersionStore* store, const StoredModel* model);
void store_failure(VersionStore* store, const StoredFailure* failure);

// Writes what is left and attaches the partitions; returns the `storage` of the run.
int64 store_close(VersionStore* store);

}  // namespace many::transfer
