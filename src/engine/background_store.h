// The rows of many_models.background_store: what was asked for, and how far it came. All functions
// need an SPI connection and, unless they say otherwise, work as the registry's owner.
#pragma once

#include "engine/train.h"

namespace many::engine {

struct BackgroundRow {
    int64 run_id;
    const char* model_set;
    bool scores;
    const char* status;
    Oid run_by;
    TrainArguments train;  // of a training run
    bool features_found;   // the user gave none: `train` has those that the first start found
    char** columns_read;   // nullptr before the first scan
    int n_columns_read;
    Jsonb* settings;
    TimestampTz started_at;  // 0: never
    int starts;
    int pid;
    dsm_handle segment;
    bool own;  // the row was written by the current transaction
    // stored by earlier starts
    int n_buckets;  // 0: none
    bool* buckets_done;
    int64 trained;
    int64 failed;
    int64 skipped;
    int64 rows_skipped;
    int processes;
    bool* nullable_keys;
};

// Whether a bucket of a training is stored: the run can go on from there.
bool has_stored_results(const BackgroundRow* row);

// nullptr when there is none. With `lock` the row stays locked; otherwise read as it is now, not as
// the transaction's snapshot has it.
BackgroundRow* find_background_run(int64 run_id, bool lock);
// Status as it is now, in words of the view: "interrupted" if there is no process that should be.
const char* background_status(int64 run_id, const char* status);
// The same for the view: of a run that the current role does not see, nothing but what it gave.
const char* visible_background_status(int64 run_id, const char* status);

void insert_training(int64 run_id, const TrainArguments* arguments, Datum settings);

// "queued" counts a start, "running" notes this process, the last ones the time.
void write_status(int64 run_id, const char* status);
void write_pid(int64 run_id, int pid);
// Where other sessions find the process's wishes and counters.
void write_segment(int64 run_id, dsm_handle segment);
// After the first scan.
void write_scan(const Run* run, char** columns_read, int n_columns_read);
// After buckets were stored: buckets_done, counts.
void write_progress(const Run* run, const Collected* collected, int64 rows_skipped);
void write_success(int64 run_id, int version);
void write_failure(int64 run_id, const char* status, const ErrorData* error);

// Forgets what a run stored: its tables, its progress, and the model set if the run made it.
void drop_partial_results(int64 run_id, const char* model_set);
// A training that goes on, of a set; 0: none. Its own transaction's too.
int64 active_training(const char* model_set);
// For drop_models of a whole set: rows and tables of runs that have ended or stand still; 55006 if
// one is going on.
void drop_background_runs(const char* model_set);

}  // namespace many::engine
