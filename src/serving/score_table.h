// The predictions table: partitioned by LIST (run_id), one partition per scoring run.
//
// Columns: the carried columns (partition columns, ids) with their own names and types, then
// prediction, lower, upper, model_id, model_version, model_level, fallback_reason, run_id,
// scored_at. A run loads a fresh table that is attached at the end: readers are never blocked, an
// old run is dropped without a dead row, and re-scoring swaps in one transaction.
//
// A published table's partition is attached before it is loaded. Logical decoding looks each row's
// table up in the catalogs as of the moment the row was written: rows of a table that is no
// partition yet belong to no publication of the parent, and would never reach a subscriber.
#pragma once

#include "pg/server.h"
#include "serving/score_query.h"

namespace many::serving {

// Our columns, in their order after the carried ones.
enum ResultColumn {
    kPrediction,
    kLower,
    kUpper,
    kModelId,
    kModelVersion,
    kModelLevel,
    kFallbackReason,
    kRunId,
    kScoredAt,
    kResultColumns
};

struct PredictionsTable {
    const char* schema;
    const char* name;
    const char* qualified;  // quoted
    Oid parent;
    Oid partition;
    const char* partition_qualified;
    bool published;  // attach first
};

bool is_result_column(const char* name);

// Finds or creates the predictions table. into_table nullptr: <model_set>_predictions in the
// current creation schema. Raises 42701 on name clashes, 42809 when the table is of another shape,
// 42501 when it belongs to another role. With replace, other writers wait for this transaction.
void prepare_predictions(PredictionsTable* table, const ScoreSpec* spec, const char* into_table,
                         bool replace);

// The fresh table of this run, attached already where the parent is published.
void create_run_partition(PredictionsTable* table, int64 run_id);

// Gives it to the table's owner and attaches it, unless that is done; with replace, drops the partitions
// of other runs first. With row_security, or where the table has it already, table and partitions get a
// policy that shows a role the groups it may read.
void attach_run_partition(PredictionsTable* table, const ScoreSpec* spec, int64 run_id,
                          bool replace, bool row_security);

// Attribute numbers (1-based) in the partition of the carried columns, then of ours.
int* predictions_attributes(TupleDesc partition, const ScoreSpec* spec);

}  // namespace many::serving
