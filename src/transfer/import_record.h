// What an import writes besides models and failures: the model set's row and the run's.
#pragma once

#include "pg/server.h"
#include "transfer/import_header.h"

namespace many::transfer {

struct ImportRun {
    const ImportHeader* header;
    int64 run_id;
    const char* model_set;  // as it is called here
    int32 version;          // made
    int64 storage;
    bool* nullable_keys;  // n_keys
    int64 failed;
    int64 skipped;
    bool replace_definition;
    const char* imported_from;  // the source argument
    const char* sha256;
    TimestampTz started;
    TimestampTz finished;
};

// Locks the set's row, made if need be (owner: the caller), checks right and partition key, and
// chooses the version. All of these need an SPI connection.
void claim_set(ImportRun* run, const char* model_set);

// The run's row, and the set's latest version and, where asked for, definition.
void record_import(const ImportRun* run, int64 lines);

// Raises 23505 when two models are for equal keys. Runs as the caller: the comparison may be of a
// type or collation of his own.
void require_distinct_groups(const ImportRun* run);

Datum import_summary(FunctionCallInfo fcinfo, const ImportRun* run, int64 lines);

}  // namespace many::transfer
