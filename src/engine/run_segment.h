// The shared memory of one run: its specification, its counters, its temporary files.
//
// One DSM segment per training run, created by the session that called train_many_models:
//
//   RunSegment            counters and progress, atomics
//   RunSpec               what to do, plain data, valid in every process
//     KeySpec[n_keys], FeatureSpec[n_features], overrides (flat)
//   uint64[n_only]        of a run of some groups: their hashes, sorted
//   incumbents            the models in production (incumbent.h)
//
// Processes that take part: those of the source query's parallel plan (they run the sink, see
// sink.cpp), then those of the fit phase (fit_phase.cpp). All attach by handle; the sink's processes
// must also present `token`, a parameter of the run's own query. It keeps mistakes away and shows in
// no query's text; roles and types of arguments are checked beside it, as if it could be learned.
#pragma once

#include "pg/server.h"

#include "core/learners/forecast_trainer.h"
#include "pg/feature_reader.h"

namespace many::engine {

constexpr uint32 kSegmentMagic = 0x4d4d5253;  // "MMRS"
constexpr int kMaxBuckets = 256;
constexpr int kMaxShards = 8;
constexpr int kMaxKeys = 32;  // as PostgreSQL's own limit of index columns

enum class Exchange : uint8 { statistics, rows };
enum class Phase : uint32 { starting, scanning, fitting, collecting, finished };

// What a process of a run does at the moment, for run_progress.
enum class Activity : uint32 { scanning, reading, fitting, inserting, waiting, done };

struct ProcessSlot {
    pg_atomic_uint32 pid;
    pg_atomic_uint32 activity;
    pg_atomic_uint32 bucket;  // being fitted
    pg_atomic_uint64 rows;    // read by the scan
    pg_atomic_uint64 groups;  // fitted
    pg_atomic_uint64 bytes;   // held in groups and rows
};
constexpr int kMaxSlots = 64;  // more processes go unmentioned

// How a key column becomes part of a key image (key_image.h).
enum class KeyForm : uint8 { by_value, float4, float8, text, padded_text, fixed, generic };

struct KeySpec {
    NameData name;
    Oid type;  // base type
    Oid collation;
    int16 typlen;
    bool typbyval;
    char typalign;
    KeyForm form;
};

struct FeatureSpec {
    NameData name;
    Oid type;
    pg::FeatureKind kind;
};

// options.group_options: the groups whose key columns equal the given values.
struct Override {
    uint32 bytes;         // of the whole entry, 8-aligned
    uint32 columns;       // bit i: key column i is given
    uint32 null_columns;  // bit i: ... as NULL
    double seconds_per_group;
    core::GroupOptions options;
    core::ForecastSpec forecast;  // of forecasters
    // followed, for each given non-NULL column, by a uint32 length and the datum's bytes (by-value
    // types: 8 bytes), 8-aligned
};

struct RunSpec {
    uint32 bytes;  // of all that follows the struct too
    int32 n_keys;
    int32 n_features;
    int32 n_overrides;
    uint32 overrides_offset;  // from the start of RunSpec
    Exchange exchange;
    bool has_time;  // rows carry the time after the target
    Oid time_type;
    Oid target_type;
    NameData target;
    core::HoldoutSpec holdout;
    core::NullPolicy null_policy;
    int32 cv_folds;
    bool append_only;  // moments apart for training and held-out rows, kept with the results
    int64 seed;
    int32 max_levels;
    double seconds_per_group;  // 0: no limit
    core::GroupOptions options;
    bool forecasts;  // `forecast` says how, not `options`
    bool updates;    // a refresh moves models forward where it can: see update.h
    bool backtests;  // points of a backtest in place of models (backtest.h)
    core::ForecastSpec forecast;
    uint64 budget_bytes;

    KeySpec* keys() { return (KeySpec*)((char*)this + MAXALIGN(sizeof(RunSpec))); }
    FeatureSpec* features() {
        return (FeatureSpec*)((char*)keys() + MAXALIGN(sizeof(KeySpec) * (Size)n_keys));
    }
    char* overrides() { return (char*)this + overrides_offset; }
    int row_doubles() const { return n_features + 1 + (has_time ? 1 : 0); }
    int n_moments() const { return append_only ? 2 : cv_folds > 0 ? cv_folds : 1; }
};

// The rows with one time: how many, and the sum of their hashes.
struct RowsAtTime {
    int64 time;
    uint64 n;
    uint64 checksum;
};

struct RunSegment {
    uint32 magic;
    uint32 layout;  // sizeof(RunSegment): guards against a library replaced during a run
    int64 token;
    Oid database;
    Oid role;
    int pid;
    int64 run_id;
    char model_set[NAMEDATALEN * 2];
    TimestampTz started_at;
    double estimated_rows;
    int32 workers;
    int32 n_buckets;
    int32 n_shards;    // of each process's file: see spill_file.h
    int32 bucket_end;  // the fit phase goes so far
    uint32 spec_offset;
    bool bucket_done[kMaxBuckets];    // before the run went on: the sink drops their rows
    bool bucket_fitted[kMaxBuckets];  // by this run: nobody reads its chunks again
    bool is_partial;                  // only groups whose hashes are listed
    bool adds_stored;                 // one of the n_processes wrote what the version before has
    uint32 only_offset;
    uint64 n_only;
    uint32 incumbents_offset;  // 0: nothing in production to compare with
    bool only_compares;        // groups without a model in production are left out
    int64 promotion_id;        // in force, 0: none
    Oid updates_from;          // where the models are that a refresh moves forward: see update.h
    int64 updates_run;         // ... which this run made

    pg_atomic_uint32 phase;
    pg_atomic_uint32 wish;         // of other sessions, for a background run: see background.h
    pg_atomic_uint32 n_processes;  // of the sink; numbers their files
    pg_atomic_uint32 next_bucket;  // of the fit phase
    TimestampTz fit_started_at;    // 0: not yet
    pg_atomic_uint64 rows_read;
    pg_atomic_uint64 rows_skipped;  // for a NULL, under null_policy skip_row
    pg_atomic_uint64 bytes_exchanged;
    pg_atomic_uint64 groups_trained;
    pg_atomic_uint64 groups_failed;
    pg_atomic_uint64 groups_skipped;
    pg_atomic_uint64 groups_unchanged;   // of a refresh: their models are carried forward
    pg_atomic_uint64 groups_updated;     // of a refresh: trained, but not fitted
    pg_atomic_uint64 groups_vanished;    // of a refresh: no row of theirs is left
    pg_atomic_uint64 peak_bytes;         // largest table of groups in any process
    pg_atomic_uint64 worker_cpu_us;      // see run_resources.h
    pg_atomic_uint64 worker_temp_bytes;  // of the fit phase's workers
    pg_atomic_uint32 rescans;            // buckets read more than once to stay within the budget
    pg_atomic_uint64 bucket_bytes[kMaxBuckets];

    // Of append_only (append.h): the rows with the last time, usable or not; PG_INT64_MIN: none.
    slock_t times_lock;
    RowsAtTime last;
    bool continues;        // rows of this time were read by the version before:
    RowsAtTime met_again;  // they are counted only

    pg_atomic_uint32 n_slots;
    ProcessSlot slots[kMaxSlots];

    SharedFileSet files;

    // Whether the results keep the sums of their groups: of runs that read every row.
    bool keeps_sums() { return spec()->append_only && !is_partial; }
    // Whether they keep fingerprints: of runs that read every row of their groups.
    bool keeps_fingerprints() { return !spec()->append_only; }
    RunSpec* spec() { return (RunSpec*)((char*)this + spec_offset); }
    const uint64* only() const { return (const uint64*)((const char*)this + only_offset); }
};

// Maps the segment in this process for the rest of its life as a participant: pinned, so that the
// resource owner of the query (or of the worker's transaction) does not warn about it. The session
// that created the run already has it. nullptr when there is no such run.
RunSegment* attach_run(dsm_handle handle, int64 token, bool* attached_now);

// What a process of the scan needs per bucket, at least: two stream buffers and a batch of rows.
constexpr Size kBucketOverhead = 2 * (BLCKSZ + 512) + 16 * 1024;

inline int row_stride(const RunSpec* spec) {
    return spec->row_doubles();
}

inline int bucket_of(uint64 hash, int n_buckets) {
    return (int)(((hash >> 32) * (uint64)n_buckets) >> 32);
}

inline int shard_of(const RunSegment* segment, int bucket) {
    return bucket * segment->n_shards / segment->n_buckets;
}

}  // namespace many::engine
