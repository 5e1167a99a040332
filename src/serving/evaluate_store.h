// The results of an evaluation on their way to the registry.
//
// The queries run as the caller and give typed keys; what they return is put into tuplestores of plain
// columns, with the key as the registry has it, which statements of the registry's owner then read
// as relations. So no expression of the caller's ever runs with the owner's rights, and a million
// groups are written by one statement.
#pragma once

#include "serving/evaluate_query.h"

namespace many::serving {

struct EvaluateTotals {
    int64 predictions;
    int64 rows;  // pairs of prediction and actual
    int64 without_actual;
    int64 without_prediction;
    int64 not_scored;
    int64 ambiguous;
    int64 groups;   // with predictions
    int64 periods;  // with predictions
    int64 drifted;
    int processes;
    int64 worker_cpu_us;
};

struct EvaluateStore;

EvaluateStore* make_evaluate_store(const EvaluateSpec* spec);

// Runs the queries as the caller. Raises 21000 when ids are not unique.
void read_evaluation(EvaluateStore* store, int workers, EvaluateTotals* totals);

// Replaces the rows of the same groups, periods and versions. Runs as the registry's owner; another
// evaluation of the set waits until this transaction ends.
void write_evaluation(EvaluateStore* store, int64 run_id, EvaluateTotals* totals);

// Groups of the set that the view drift calls drifted. Runs as the registry's owner.
int64 count_drifted(const char* model_set);

}  // namespace many::serving
