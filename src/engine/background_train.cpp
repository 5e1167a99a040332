// A training in transactions of its own: see background.h.
#include "pg/server.h"

#include "engine/background.h"

#include "engine/fit_processes.h"
#include "engine/progress.h"
#include "engine/run_lock.h"
#include "engine/set_view.h"
#include "pg/settings.h"

extern "C" {
#include "utils/ruleutils.h"
}

namespace many::engine {

namespace {

dsm_segment* held_segment = nullptr;
bool too_many_failed = false;

struct BackgroundTraining {
    BackgroundRow* row;
    Run run;
    Collected collected;
    MemoryContext context;  // of the run, over its transactions
    int workers;
    bool stores;          // results lie in the run's tables already
    char** columns_read;  // of the source, with their types
    int n_columns_read;
    uint64 skipped_by_scan;
    int width;  // buckets of the next slice
};

char* describe_column(const char* use, const char* name, Oid type, Oid collation) {
    const char* collated =
        OidIsValid(collation) ? psprintf(" COLLATE %s", generate_collation_name(collation)) : "";
    return psprintf("%s %s %s%s", use, quote_identifier(name),
                    format_type_extended(type, -1, FORMAT_TYPE_FORCE_QUALIFY), collated);
}

// What must be the same when the run goes on: stored results and new ones are of one version.
void describe_columns(BackgroundTraining* t) {
    const TrainPlan* plan = t->run.plan;
    RunSpec* spec = plan->spec;
    t->columns_read = (char**)palloc(sizeof(char*) * (Size)(spec->n_keys + plan->n_features + 2));
    int n = 0;
    for (int i = 0; i < spec->n_keys; i++)
        t->columns_read[n++] = describe_column("key", plan->arguments.partition_by[i],
                                               plan->key_types[i], spec->keys()[i].collation);
    t->columns_read[n++] =
        describe_column("target", plan->arguments.target, spec->target_type, InvalidOid);
    if (spec->has_time)
        t->columns_read[n++] =
            describe_column("time", plan->arguments.time_column, spec->time_type, InvalidOid);
    for (int i = 0; i < plan->n_features; i++)
        t->columns_read[n++] =
            describe_column("feature", plan->features[i], plan->feature_types[i], InvalidOid);
    t->n_columns_read = n;
}

void require_same_columns(const BackgroundTraining* t) {
    const BackgroundRow* row = t->row;
    bool same = row->n_columns_read == t->n_columns_read;
    for (int i = 0; same && i < t->n_columns_read; i++)
        same = strcmp(row->columns_read[i], t->columns_read[i]) == 0;
    if (!same)
        ereport(ERROR,
                (errcode(ERRCODE_DATATYPE_MISMATCH),
                 errmsg("the source's columns are not those that run " INT64_FORMAT " began with",
                        row->run_id),
                 errhint("Start a new run.")));
}

void adopt_stored_progress(BackgroundTraining* t) {
    const BackgroundRow* row = t->row;
    RunSegment* segment = t->run.segment;
    t->collected.storage = row->run_id;
    t->collected.nullable_keys =
        (bool*)palloc0(sizeof(bool) * (Size)(t->run.plan->spec->n_keys + 1));
    if (row->started_at != 0) segment->started_at = row->started_at;
    if (row->n_buckets == 0) return;
    t->stores = true;
    t->run.fixed_buckets = row->n_buckets;
    for (int i = 0; i < row->n_buckets && i < kMaxBuckets; i++)
        segment->bucket_done[i] = row->buckets_done[i];
    t->run.fit.processes = row->processes;
    t->collected.trained = row->trained;
    t->collected.failed = row->failed;
    t->collected.skipped = row->skipped;
    pg_atomic_write_u64(&segment->groups_trained, (uint64)row->trained);
    pg_atomic_write_u64(&segment->groups_failed, (uint64)row->failed);
    pg_atomic_write_u64(&segment->groups_skipped, (uint64)row->skipped);
    for (int i = 0; row->nullable_keys != nullptr && i < t->run.plan->spec->n_keys; i++)
        t->collected.nullable_keys[i] = row->nullable_keys[i];
}

registry::ModelSet* require_set(BackgroundTraining* t, bool lock) {
    registry::ModelSet* set = registry::find_model_set(t->row->model_set, lock);
    if (set == nullptr)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                        errmsg("model set \"%s\" was dropped", t->row->model_set)));
    require_training_allowed(set, &t->row->train, t->row->features_found);
    return set;
}

void plan_run(BackgroundTraining* t) {
    begin_step(t->row, "planning");
    const registry::ModelSet* set = require_set(t, false);
    MemoryContext old = MemoryContextSwitchTo(t->context);
    t->run.plan = plan_training(&t->row->train, nullptr);
    if (t->row->features_found) t->run.plan->features_given = false;
    require_same_partition(set, &t->run.plan->arguments);
    t->run.plan->spec->budget_bytes = pg::memory_budget_bytes();
    describe_columns(t);
    if (t->row->n_buckets > 0) require_same_columns(t);
    create_segment(&t->run, t->row->model_set, t->row->run_id, t->workers);
    dsm_pin_mapping(t->run.mapped);
    held_segment = t->run.mapped;
    adopt_stored_progress(t);
    MemoryContextSwitchTo(old);
    write_segment(t->row->run_id, dsm_segment_handle(t->run.mapped));
    end_step();
}

void scan(BackgroundTraining* t) {
    registry::RegistryRights rights;
    begin_step(t->row, "scanning");
    publish_run(dsm_segment_handle(t->run.mapped));
    const TimestampTz start = GetCurrentTimestamp();
    scan_source(&t->run, t->workers);
    t->run.scan_seconds = seconds_between(start, GetCurrentTimestamp());
    t->skipped_by_scan = pg_atomic_read_u64(&t->run.segment->rows_skipped);
    pg_atomic_fetch_add_u64(&t->run.segment->rows_skipped, t->row->rows_skipped);
    if (!t->stores) {
        registry::enter_registry(&rights);
        create_result_partitions(t->row->run_id);
        registry::leave_registry(&rights);
        write_scan(&t->run, t->columns_read, t->n_columns_read);
    }
    end_step();
}

// The end of the slice that begins with bucket `from`: so many buckets that are to be fitted.
int slice_end(const BackgroundTraining* t, int from) {
    const RunSegment* segment = t->run.segment;
    int to = from;
    for (int n = 0; to < segment->n_buckets && n < t->width; to++)
        if (!segment->bucket_done[to]) n++;
    while (to < segment->n_buckets && segment->bucket_done[to]) to++;
    return to;
}

void store_slice(BackgroundTraining* t, int from, int to) {
    Run* run = &t->run;
    RunSegment* segment = run->segment;
    Collected slice;
    begin_step(t->row, "fitting");
    publish_run(dsm_segment_handle(run->mapped));
    const TimestampTz start = GetCurrentTimestamp();
    fit_slice(run->mapped, run->plan, t->workers, from, to, &slice, &run->fit);
    t->collected.trained += slice.trained;
    t->collected.failed += slice.failed;
    t->collected.skipped += slice.skipped;
    for (int i = 0; i < run->plan->spec->n_keys; i++)
        if (slice.nullable_keys[i]) t->collected.nullable_keys[i] = true;
    for (int i = from; i < to; i++) segment->bucket_done[i] = true;
    write_progress(run, &t->collected,
                   (int64)(pg_atomic_read_u64(&segment->rows_skipped) - t->skipped_by_scan));
    end_step();
    // The next slice takes about as long as many_models.commit_interval says.
    const double seconds = seconds_between(start, GetCurrentTimestamp());
    const double wanted = many_commit_interval_ms / 1000.0;
    double width = t->width * (seconds > 0 ? wanted / seconds : 4.0);
    if (width > t->width * 4.0) width = t->width * 4.0;
    t->width = width < t->workers ? t->workers : width > kMaxBuckets ? kMaxBuckets : (int)width;
}

// False: asked to pause.
bool fit_slices(BackgroundTraining* t) {
    RunSegment* segment = t->run.segment;
    t->width = t->workers;
    for (int from = 0; from < segment->n_buckets;) {
        const int to = slice_end(t, from);
        if ((Wish)pg_atomic_read_u32(&segment->wish) == Wish::pause) return false;
        bool any = false;
        for (int i = from; i < to; i++) any = any || !segment->bucket_done[i];
        if (any) store_slice(t, from, to);
        from = to;
    }
    return true;
}

void publish(BackgroundTraining* t) {
    Run* run = &t->run;
    registry::RegistryRights rights;
    begin_step(t->row, "publishing");
    publish_run(dsm_segment_handle(run->mapped));
    set_phase(run->segment, Phase::collecting);
    const registry::ModelSet* set = require_set(t, true);
    require_same_partition(set, &run->plan->arguments);
    too_many_failed = true;
    check_failures(run->segment, run->plan->max_failed_fraction);
    too_many_failed = false;
    run->version = set->latest_version + 1;
    const int64 groups = t->collected.trained + t->collected.failed + t->collected.skipped;
    const TimestampTz start = GetCurrentTimestamp();
    registry::enter_registry(&rights);
    if (groups > kOwnPartitionGroups) {
        publish_result_partitions(t->row->run_id);
    } else {  // small runs share a partition, as those of train_many_models do
        share_result_partitions(t->row->run_id);
        t->collected.storage = 0;
    }
    registry::leave_registry(&rights);
    const TimestampTz finished = GetCurrentTimestamp();
    run->fit.collect_seconds += seconds_between(start, finished);
    record_run(run, &t->collected, finished);
    create_set_view(run->plan);
    registry::announce_models_changed();
    write_success(t->row->run_id, run->version);
    set_phase(run->segment, Phase::finished);
    end_step();
}

// At exit, before the server's own: deleting the files counts them in the statistics, which end with
// it. The transaction first: its parallel workers use the segment. Two functions: when the
// postmaster is gone the abort ends in a second exit, which goes on with the next function.
void abort_at_exit(int, Datum) {
    AbortOutOfAnyTransaction();
}
void release_at_exit(int, Datum) {
    release_segment();
}

}  // namespace

void release_segment() {
    if (held_segment != nullptr) dsm_detach(held_segment);
    held_segment = nullptr;
}

bool results_refused() {
    return too_many_failed;
}

bool train_in_background(BackgroundRow* row, RunSegment** segment) {
    auto* t =
        (BackgroundTraining*)MemoryContextAllocZero(TopMemoryContext, sizeof(BackgroundTraining));
    ErrorContextCallback context;
    t->row = row;
    t->workers = row->train.workers;
    t->context = AllocSetContextCreate(TopMemoryContext, "many_models run", ALLOCSET_DEFAULT_SIZES);
    if (!hold_training(row->model_set))
        ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
                        errmsg("model set \"%s\" is being trained by another background run",
                               row->model_set)));
    context.callback = describe_run_in_errors;
    context.arg = &t->run;
    context.previous = error_context_stack;
    error_context_stack = &context;
    before_shmem_exit(release_at_exit, (Datum)0);
    before_shmem_exit(abort_at_exit, (Datum)0);  // the last one registered is called first
    plan_run(t);
    *segment = t->run.segment;
    scan(t);
    const bool done = fit_slices(t);
    if (done) publish(t);
    error_context_stack = context.previous;
    *segment = nullptr;
    release_segment();
    return done;
}

}  // namespace many::engine
