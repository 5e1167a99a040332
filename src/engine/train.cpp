// train_many_models: the run from the session's side. The state diagram is in README.md.
#include "pg/server.h"

#include "engine/train.h"

#include "engine/incumbent.h"
#include "engine/progress.h"
#include "engine/run_resources.h"
#include "engine/set_view.h"
#include "engine/spill_file.h"
#include "pg/settings.h"
#include "registry/access.h"
#include "registry/notify.h"

extern "C" {
#include "executor/nodeAgg.h"
#include "nodes/plannodes.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "port/pg_crc32c.h"
#include "storage/spin.h"
#include "tcop/utility.h"
#include "utils/plancache.h"
}

namespace many::engine {

namespace {

constexpr double kBucketBytes = 8.0 * 1024 * 1024;
constexpr double kLittleBytes = 1024 * 1024;

}  // namespace

double seconds_between(TimestampTz from, TimestampTz to) {
    return (double)(to - from) / 1e6;
}

namespace {

// Rows the scan is expected to read: the planner's estimate below the aggregate.
double estimated_rows(SPIPlanPtr plan) {
    CachedPlan* cached = SPI_plan_get_cached_plan(plan);
    double rows = 0;
    if (cached == nullptr) return 0;
    auto* statement = linitial_node(PlannedStmt, cached->stmt_list);
    Plan* node = statement->planTree;
    double share = 1;
    while (node != nullptr && (IsA(node, Agg) || IsA(node, Gather) || IsA(node, GatherMerge))) {
        // Below a Gather, rows are per process; the leader counts as a part of one.
        if (IsA(node, Gather)) {
            const int workers = ((Gather*)node)->num_workers;
            const double leader = 1.0 - 0.3 * workers;
            share = workers + (parallel_leader_participation && leader > 0 ? leader : 0);
        }
        node = node->lefttree;
    }
    if (node != nullptr) rows = node->plan_rows * share;
    ReleaseCachedPlan(cached, nullptr);
    return rows;
}

// Of the exchange, if all rows went to the files.
double most_bytes(const RunSpec* spec, double rows, double stored_bytes) {
    return stored_bytes + rows * ((double)spec->row_doubles() * sizeof(double) + 32);
}

// Fits of forecasters may take long: the last of many small buckets leaves no process waiting for it.
// Of little data each bucket costs more than that.
int choose_buckets(const RunSpec* spec, double bytes, int workers) {
    const int least = workers * (spec->forecasts && bytes > kLittleBytes ? 32 : 8);
    int buckets = 16;
    while (buckets < kMaxBuckets && (buckets * kBucketBytes < bytes || buckets < least))
        buckets *= 2;
    while (buckets > 4 && (Size)buckets * kBucketOverhead > spec->budget_bytes / 2) buckets /= 2;
    return buckets;
}

}  // namespace

void create_segment(Run* run, const char* model_set, int64 run_id, int workers) {
    const RunSpec* spec = run->plan->spec;
    const Size head = MAXALIGN(sizeof(RunSegment));
    const Size only_bytes = sizeof(uint64) * (Size)run->n_only;
    const Size incumbents_at = head + MAXALIGN(spec->bytes) + only_bytes;
    StringInfoData incumbents;
    initStringInfo(&incumbents);
    MemoryContext context = CurrentMemoryContext;
    const int64 promotion_id = describe_incumbents(run->plan, &incumbents);
    MemoryContextSwitchTo(context);  // SPI leaves its own, which ends with the connection
    run->mapped = dsm_create(incumbents_at + (Size)incumbents.len, 0);
    auto* segment = (RunSegment*)dsm_segment_address(run->mapped);
    uint32 random = 0;
    memset((void*)segment, 0, head);
    if (!pg_strong_random(&random, sizeof random))
        ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not get random bytes")));
    run->token =
        (int64)(((uint64)(random & 0x7fffffff) << 32) | (uint64)dsm_segment_handle(run->mapped));
    segment->layout = sizeof(RunSegment);
    segment->token = run->token;
    segment->database = MyDatabaseId;
    segment->role = GetUserId();
    segment->pid = MyProcPid;
    segment->run_id = run_id;
    strlcpy(segment->model_set, model_set, sizeof segment->model_set);
    segment->started_at = GetCurrentTimestamp();
    segment->workers = workers;
    segment->spec_offset = (uint32)head;
    segment->is_partial = run->is_partial;
    segment->only_offset = (uint32)(head + MAXALIGN(spec->bytes));
    segment->n_only = run->n_only;
    if (only_bytes > 0) memcpy((char*)segment + segment->only_offset, run->only, only_bytes);
    segment->promotion_id = promotion_id;
    if (incumbents.len > 0) {
        segment->incumbents_offset = (uint32)incumbents_at;
        memcpy((char*)segment + incumbents_at, incumbents.data, (Size)incumbents.len);
    }
    for (auto* counter :
         {&segment->rows_read, &segment->rows_skipped, &segment->bytes_exchanged,
          &segment->groups_trained, &segment->groups_failed, &segment->groups_skipped,
          &segment->groups_unchanged, &segment->groups_updated, &segment->groups_vanished,
          &segment->peak_bytes, &segment->worker_cpu_us, &segment->worker_temp_bytes})
        pg_atomic_init_u64(counter, 0);
    SpinLockInit(&segment->times_lock);
    segment->last.time = PG_INT64_MIN;
    for (auto& bytes : segment->bucket_bytes) pg_atomic_init_u64(&bytes, 0);
    pg_atomic_init_u32(&segment->phase, (uint32)Phase::starting);
    pg_atomic_init_u32(&segment->wish, 0);
    pg_atomic_init_u32(&segment->n_processes, 0);
    pg_atomic_init_u32(&segment->next_bucket, 0);
    pg_atomic_init_u32(&segment->rescans, 0);
    pg_atomic_init_u32(&segment->n_slots, 0);
    for (auto& slot : segment->slots) {
        for (auto* counter : {&slot.pid, &slot.activity, &slot.bucket})
            pg_atomic_init_u32(counter, 0);
        for (auto* counter : {&slot.rows, &slot.groups, &slot.bytes})
            pg_atomic_init_u64(counter, 0);
    }
    SharedFileSetInit(&segment->files, run->mapped);
    memcpy(segment->spec(), spec, spec->bytes);
    pg_write_barrier();
    segment->magic = kSegmentMagic;
    run->segment = segment;
    run->before = pg::resources_now();
}

namespace {

void set_parallelism(int workers) {
    pg::set_local("max_parallel_workers_per_gather", psprintf("%d", workers - 1));
    pg::set_local("parallel_leader_participation", "on");  // the session is one of the processes
}

}  // namespace

// Runs the source query into the sink; it must not change anything.
void scan_source(Run* run, int workers) {
    pg::SourceGuard guard;
    pg::enter_source(&guard);
    PG_TRY();
    {
        set_parallelism(workers);
        Oid types[1] = {kSinkParameter};
        Datum token[1] = {Int64GetDatum(run->token)};
        // Planned twice: its rows are estimated before buckets are; and with the token, which is a
        // constant of the plan that runs then, not an expression that is evaluated for each row.
        SPIPlanPtr plan = SPI_prepare_cursor(sink_query(run->plan), 1, types,
                                             CURSOR_OPT_PARALLEL_OK | CURSOR_OPT_CUSTOM_PLAN);
        if (plan == nullptr) elog(ERROR, "could not plan the scan: %d", SPI_result);
        run->segment->estimated_rows = estimated_rows(plan);
        const RunSpec* spec = run->plan->spec;
        const double bytes = most_bytes(spec, run->segment->estimated_rows, run->stored_bytes);
        run->segment->n_buckets =
            run->fixed_buckets > 0 ? run->fixed_buckets : choose_buckets(spec, bytes, workers);
        run->segment->n_shards = choose_shards(spec->budget_bytes, bytes);
        run->segment->bucket_end = run->segment->n_buckets;
        set_phase(run->segment, Phase::scanning);
        const int code = SPI_execute_plan(plan, token, nullptr, true, 0);
        if (code != SPI_OK_SELECT) elog(ERROR, "the scan failed: %d", code);
        SPI_freeplan(plan);
    }
    PG_CATCH();
    {
        XactReadOnly = guard.was_read_only;
        PG_RE_THROW();
    }
    PG_END_TRY();
    pg::leave_source(&guard);
    if (pg_atomic_read_u64(&run->segment->rows_read) == 0 && run->plan->read_from == nullptr)
        ereport(ERROR, (errcode(ERRCODE_NO_DATA_FOUND), errmsg("the source returned no rows"),
                        errhint("Row-level security and the query's own conditions decide which "
                                "rows a run sees.")));
}

// The set's row, locked; made if this is the first training. Another session that makes the same
// set at the same time is waited for.
registry::ModelSet* claim_model_set(const TrainArguments* a) {
    registry::RegistryRights rights;
    registry::enter_registry(&rights);
    Oid types[10] = {TEXTOID,      OIDOID,  TEXTOID, TEXTARRAYOID, TEXTOID,
                     TEXTARRAYOID, TEXTOID, TEXTOID, JSONBOID,     JSONBOID};
    Datum values[10];
    char nulls[11] = "          ";
    values[0] = CStringGetTextDatum(a->model_set);
    values[1] = ObjectIdGetDatum(rights.saved_user);
    values[2] = CStringGetTextDatum(a->source);
    values[3] = PointerGetDatum(pg::strings_to_text_array(a->partition_by, a->n_keys));
    values[4] = CStringGetTextDatum(a->target);
    values[5] = a->n_features < 0
                    ? (Datum)0
                    : PointerGetDatum(pg::strings_to_text_array(a->features, a->n_features));
    if (a->n_features < 0) nulls[5] = 'n';
    values[6] = CStringGetTextDatum(a->algorithm);
    values[7] = a->time_column == nullptr ? (Datum)0 : CStringGetTextDatum(a->time_column);
    if (a->time_column == nullptr) nulls[7] = 'n';
    values[8] = JsonbPGetDatum(a->options);
    values[9] = JsonbPGetDatum(a->tags);
    const int code = SPI_execute_with_args(
        "INSERT INTO many_models.model_sets (model_set, owner, source, partition_by, target, "
        "features, algorithm, time_column, options, tags) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (model_set) DO NOTHING",
        10, types, values, nulls, false, 0);
    if (code != SPI_OK_INSERT) elog(ERROR, "could not write the registry: %d", code);
    if (SPI_processed > 0) registry::clear_grants(a->model_set);
    registry::leave_registry(&rights);
    registry::ModelSet* set = registry::find_model_set(a->model_set, true);
    if (set == nullptr) elog(ERROR, "model set \"%s\" vanished", a->model_set);
    return set;
}

namespace {

bool same_strings(char** a, int n_a, char** b, int n_b) {
    if (n_a != n_b) return false;
    for (int i = 0; i < n_a; i++)
        if (strcmp(a[i], b[i]) != 0) return false;
    return true;
}

}  // namespace

void require_same_partition(const registry::ModelSet* set, const TrainArguments* a) {
    if (same_strings(set->partition_by, set->n_keys, a->partition_by, a->n_keys)) return;
    StringInfoData columns;
    initStringInfo(&columns);
    for (int i = 0; i < set->n_keys; i++)
        appendStringInfo(&columns, "%s%s", i > 0 ? ", " : "", set->partition_by[i]);
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("model set \"%s\" is partitioned by (%s)", set->name, columns.data),
                    errhint("Train another model set for another partition key, or drop this one "
                            "with many_models.drop_models.")));
}

void read_train_arguments(FunctionCallInfo fcinfo, TrainArguments* a) {
    const auto text_at = [fcinfo](int i) {
        return PG_ARGISNULL(i) ? nullptr : text_to_cstring(PG_GETARG_TEXT_PP(i));
    };
    memset(a, 0, sizeof *a);
    a->n_keys = a->n_features = -1;
    a->model_set = text_at(0);
    a->source = text_at(1);
    if (!PG_ARGISNULL(2))
        a->partition_by =
            pg::text_array_to_strings(PG_GETARG_ARRAYTYPE_P(2), "partition_by", &a->n_keys);
    a->target = text_at(3);
    if (!PG_ARGISNULL(4))
        a->features =
            pg::text_array_to_strings(PG_GETARG_ARRAYTYPE_P(4), "features", &a->n_features);
    a->algorithm = text_at(5);
    a->time_column = text_at(6);
    a->options = PG_ARGISNULL(7) ? nullptr : PG_GETARG_JSONB_P(7);
    a->tags = PG_ARGISNULL(8) ? nullptr : PG_GETARG_JSONB_P(8);
    a->workers = PG_ARGISNULL(9) ? many_max_workers : PG_GETARG_INT32(9);
    if (a->workers < 1 || a->workers > 1024)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("workers must be from 1 to 1024, not %d", a->workers),
                        errhint("It counts the processes of the run, the session's own "
                                "included.")));
    if (a->tags != nullptr && !JB_ROOT_IS_OBJECT(a->tags))
        ereport(ERROR,
                (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("tags must be a JSON object")));
}

void describe_run_in_errors(void* argument) {
    const auto* run = (const Run*)argument;
    if (run->segment != nullptr)
        errcontext("run %lld of model set \"%s\"", (long long)run->segment->run_id,
                   run->segment->model_set);
}

}  // namespace many::engine

extern "C" {

PG_FUNCTION_INFO_V1(many_train_many_models);

// train_many_models(model_set, source, partition_by, target, features, algorithm, time_column,
// options, tags, workers) -> run_summary
Datum many_train_many_models(PG_FUNCTION_ARGS) {
    namespace engine = many::engine;
    namespace registry = many::registry;
    engine::TrainArguments arguments;
    engine::Collected collected;
    engine::Run run = {};
    ErrorContextCallback context;
    PreventCommandDuringRecovery("train_many_models()");
    PreventCommandIfReadOnly("train_many_models()");
    MemoryContext caller = CurrentMemoryContext;
    engine::read_train_arguments(fcinfo, &arguments);
    registry::hold_extension();
    if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
    registry::ModelSet* stored = arguments.model_set == nullptr
                                     ? nullptr
                                     : registry::find_model_set(arguments.model_set, true);
    run.plan = engine::plan_training(&arguments, stored);
    if (stored == nullptr) {
        stored = engine::claim_model_set(&run.plan->arguments);
        engine::require_training_allowed(stored, &run.plan->arguments);
    }
    engine::require_same_partition(stored, &run.plan->arguments);
    run.version = stored->latest_version + 1;
    run.plan->spec->budget_bytes = many::pg::memory_budget_bytes();

    const int workers = arguments.workers;
    engine::create_segment(&run, run.plan->arguments.model_set, registry::new_run_id(), workers);
    context.callback = engine::describe_run_in_errors;
    context.arg = &run;
    context.previous = error_context_stack;
    error_context_stack = &context;
    const dsm_handle handle = dsm_segment_handle(run.mapped);
    engine::publish_run(handle);

    const TimestampTz scan_start = GetCurrentTimestamp();
    engine::scan_source(&run, workers);
    run.scan_seconds = engine::seconds_between(scan_start, GetCurrentTimestamp());
    engine::fit_and_collect(run.mapped, run.plan, workers, &collected, &run.fit);
    const TimestampTz finished = GetCurrentTimestamp();
    engine::record_run(&run, &collected, finished);
    engine::create_set_view(run.plan);
    registry::announce_models_changed();

    engine::set_phase(run.segment, engine::Phase::finished);
    engine::end_activity(run.segment);
    MemoryContextSwitchTo(caller);
    const Datum summary = engine::run_summary(fcinfo, &run, &collected, finished);
    engine::retract_run(handle);
    error_context_stack = context.previous;
    dsm_detach(run.mapped);
    SPI_finish();
    PG_RETURN_DATUM(summary);
}
}
