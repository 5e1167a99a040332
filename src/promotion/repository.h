// The tables of production, as promotions write them (sql/27_production.sql): under a lock of the
// set, as the registry's owner.
#pragma once

#include "pg/server.h"
#include "promotion/row_writer.h"
#include "registry/production.h"

namespace many::promotion {

// More rows than this get a partition of their own.
constexpr int64 kOwnPartitionRows = 1000;
constexpr const char* kModels = "production_store";  // by layer
constexpr const char* kReport = "promotion_store";   // by promotion_id

// Raises 25006 on a standby and in a read-only transaction.
void require_writable(const char* function);

// The set, for a caller who may promote. Raises 42704 or 42501.
registry::ModelSet* require_promotable(const char* model_set);

// Until the end of the transaction the set cannot be dropped; with `exclusive`, other promotions of
// it wait too. Raises 42704 when it was dropped meanwhile. Trainings do not wait.
void lock_production(const char* model_set, bool exclusive);

// Sets the planner up for queries that join whole layers, until AtEOXact_GUC of the level returned:
// hash joins, by parallel workers, while this process writes. It has no statistics of the
// partitioned tables, and would sort all models, or look up each group by an index.
int plan_for_layers();

// Into the shared partition of a table of production (storage 0), or a new table that finish_partition
// attaches.
RowWriter* open_writer(const char* parent, int64 storage);

// Indexes, attaches and analyses the table of open_writer, or moves its rows to the shared partition
// when they are few. Returns the storage where they are; 0 too when storage is 0.
int64 finish_partition(const char* parent, int64 storage, int64 rows);

struct Promotion {
    int64 promotion_id;
    const char* model_set;
    const char* kind;
    int version;       // 0: NULL
    const char* rule;  // or nullptr
    int64 restored;    // -1: NULL
    int64 promoted, kept, rejected, withdrawn, production;
    TimestampTz started_at;
    TimestampTz promoted_at;
    int64 storage;                           // of the report
    const registry::ProductionState* state;  // put in force; nullptr: a dry run
    char* details;                           // jsonb as text
};

// The next id.
int64 next_promotion_id();
// Writes the row of promotions and, but for a dry run, puts the state in force.
void record_promotion(Promotion* promotion);
// Takes away earlier dry runs of the set, with their reports.
void drop_dry_runs(const char* model_set);

// The frame of promote_models and rollback_models: `work` runs with an SPI connection, errors name the
// set, and what it did comes back as a promotion_summary.
Datum run_promotion(FunctionCallInfo fcinfo, Promotion* promotion,
                    void (*work)(Promotion* promotion, const void* arguments),
                    const void* arguments);

}  // namespace many::promotion
