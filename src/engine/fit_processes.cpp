// See fit_processes.h. The session fits the first bucket by itself. If that shows a run of many
// groups, the place in the registry is made at once and results are inserted as they come: the
// session's own directly, the workers' through one shared-memory queue each, which the session
// empties between its groups. Otherwise results wait in one temporary file per bucket, and are
// collected in the order of buckets once all are known.
//
// In parallel mode a session may insert rows, as long as its transaction id, the command id and the
// relations are there before; it may not ask a sequence, hence the ids taken beforehand.
#include "pg/server.h"

#include "engine/fit_processes.h"

#include <algorithm>

#include "engine/exchange.h"
#include "engine/fit_phase.h"
#include "engine/progress.h"
#include "engine/run_resources.h"
#include "pg/settings.h"

extern "C" {
#include "storage/latch.h"
#include "storage/shm_mq.h"
#include "storage/shm_toc.h"
#include "utils/wait_event.h"
}

namespace many::engine {

namespace {

constexpr uint64 kHandleKey = 1;
constexpr uint64 kQueuesKey = 2;
// A worker's results wait there while the session fits a bucket of its own.
constexpr Size kLeastQueueBytes = 64 * 1024;
constexpr Size kMostQueueBytes = 8 * 1024 * 1024;
constexpr uint64 kSmallRunBytes = 1024 * 1024;  // fitted by the session alone, unless it is slow
constexpr double kSmallRunSeconds = 0.05;       // expected for the remaining buckets
constexpr uint64 kManyGroups = 16;       // in the first bucket: results are inserted as they come
constexpr uint64 kLargeIndex = 100'000;  // groups; below, workers cost an index more than they give
constexpr int kGroupsPerLook = 8;        // between looks at the queues

struct Shared {
    dsm_handle run;
    Size queue_bytes;  // of each worker; 0: results go to files
};

Size queue_bytes_within(Size budget) {
    return MAXALIGN(std::clamp(budget / 32, kLeastQueueBytes, kMostQueueBytes));
}

// --- The session's side ---------------------------------------------------------------------------

struct SessionResults {
    ResultSink sink;
    Collector* collector;
    shm_mq_handle** queues;  // nullptr: its worker has finished
    int n_queues;
    int groups;  // since the last look
};

void put_in_registry(ResultSink* sink, const ResultHeader* header, const char* body) {
    collect_result(((SessionResults*)sink)->collector, header, body);
}

// Takes what the queues hold; false when all workers have finished.
bool empty_queues(SessionResults* results) {
    bool open = false;
    for (int i = 0; i < results->n_queues; i++) {
        while (results->queues[i] != nullptr) {
            Size bytes;
            void* message;
            ResultHeader header;
            const shm_mq_result got = shm_mq_receive(results->queues[i], &bytes, &message, true);
            if (got == SHM_MQ_WOULD_BLOCK) {
                open = true;
                break;
            }
            if (got == SHM_MQ_DETACHED) {
                shm_mq_detach(results->queues[i]);
                results->queues[i] = nullptr;
                break;
            }
            memcpy(&header, message, sizeof header);
            if (bytes != sizeof header + result_body_bytes(&header))
                elog(ERROR, "a worker sent a result of unexpected length");
            collect_result(results->collector, &header, (const char*)message + sizeof header);
        }
    }
    return open;
}

void look_at_queues(ResultSink* sink) {
    auto* results = (SessionResults*)sink;
    if (++results->groups < kGroupsPerLook) return;
    results->groups = 0;
    (void)empty_queues(results);
}

void wait_for_queues(SessionResults* results, RunSegment* segment) {
    while (empty_queues(results)) {
        (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 100,
                        PG_WAIT_EXTENSION);
        ResetLatch(MyLatch);
        CHECK_FOR_INTERRUPTS();
        report_progress(segment);
    }
}

// --- Workers --------------------------------------------------------------------------------------

struct QueueResults {
    ResultSink sink;
    shm_mq_handle* queue;
};

void put_in_queue(ResultSink* sink, const ResultHeader* header, const char* body) {
    shm_mq_iovec parts[2];
    parts[0].data = (const char*)header;
    parts[0].len = sizeof *header;
    parts[1].data = body;
    parts[1].len = result_body_bytes(header);
    const shm_mq_result sent = shm_mq_sendv(((QueueResults*)sink)->queue, parts, 2, false, false);
    if (sent != SHM_MQ_SUCCESS)
        ereport(ERROR, (errcode(ERRCODE_QUERY_CANCELED), errmsg("the run has ended")));
}

// Starts the workers; returns the queues of those that may send results.
void launch_workers(ParallelContext* context, dsm_handle run, Size queue_bytes,
                    SessionResults* results) {
    const Size bytes = queue_bytes * (Size)context->nworkers + 1;
    shm_toc_estimate_chunk(&context->estimator, sizeof(Shared));
    shm_toc_estimate_chunk(&context->estimator, bytes);
    shm_toc_estimate_keys(&context->estimator, 2);
    InitializeParallelDSM(context);
    if (context->seg == nullptr) return;
    auto* shared = (Shared*)shm_toc_allocate(context->toc, sizeof(Shared));
    char* queues = (char*)shm_toc_allocate(context->toc, bytes);
    shared->run = run;
    shared->queue_bytes = queue_bytes;
    for (int i = 0; queue_bytes > 0 && i < context->nworkers; i++)
        shm_mq_set_receiver(shm_mq_create(queues + (Size)i * queue_bytes, queue_bytes), MyProc);
    shm_toc_insert(context->toc, kHandleKey, shared);
    shm_toc_insert(context->toc, kQueuesKey, queues);
    LaunchParallelWorkers(context);
    results->queues =
        (shm_mq_handle**)palloc0(sizeof(shm_mq_handle*) * (Size)(context->nworkers + 1));
    results->n_queues = queue_bytes > 0 ? context->nworkers_launched : 0;
    for (int i = 0; i < results->n_queues; i++)
        results->queues[i] = shm_mq_attach((shm_mq*)(queues + (Size)i * queue_bytes), context->seg,
                                           context->worker[i].bgwhandle);
}

int fit_in_parallel(BucketWork* work, RunSegment* segment, dsm_handle run, int workers, bool queued,
                    SessionResults* results) {
    EnterParallelMode();
    ParallelContext* context =
        CreateParallelContext("many_models", "many_fit_worker_main", workers - 1);
    const Size budget = (Size)segment->spec()->budget_bytes;
    launch_workers(context, run, queued ? queue_bytes_within(budget) : 0, results);
    const int launched = context->nworkers_launched;
    if (launched == 0)
        ereport(NOTICE, (errmsg("no background worker was free, the session works alone"),
                         errhint("See max_worker_processes and max_parallel_workers.")));
    while (fit_next_bucket(work)) {
    }
    (void)process_slot(segment, Activity::waiting);
    wait_for_queues(results, segment);
    WaitForParallelWorkersToFinish(context);
    DestroyParallelContext(context);
    ExitParallelMode();
    return launched + 1;
}

// --- The run --------------------------------------------------------------------------------------

}  // namespace

void check_failures(RunSegment* segment, double max_failed_fraction) {
    const uint64 failed = pg_atomic_read_u64(&segment->groups_failed);
    const uint64 groups = failed + pg_atomic_read_u64(&segment->groups_trained) +
                          pg_atomic_read_u64(&segment->groups_skipped);
    if (groups == 0 || (double)failed <= max_failed_fraction * (double)groups) return;
    ereport(ERROR, (errcode(ERRCODE_DATA_EXCEPTION),
                    errmsg(UINT64_FORMAT " of " UINT64_FORMAT " groups failed, more than "
                                         "max_failed_fraction = %g allows",
                           failed, groups, max_failed_fraction),
                    errdetail("Nothing of the run is kept."),
                    errhint("Train with max_failed_fraction 1 and read many_models.failures.")));
}

namespace {

uint64 groups_done(RunSegment* segment) {
    return pg_atomic_read_u64(&segment->groups_trained) +
           pg_atomic_read_u64(&segment->groups_failed) +
           pg_atomic_read_u64(&segment->groups_skipped);
}

}  // namespace

void set_text_formats() {
    pg::set_local("DateStyle", "ISO, YMD");
    pg::set_local("IntervalStyle", "postgres");
    pg::set_local("TimeZone", "UTC");
}

namespace {

// Before a slice: the workers of the one before have gone.
void forget_processes(RunSegment* segment) {
    for (auto& slot : segment->slots) {
        pg_atomic_write_u32(&slot.pid, 0);
        for (auto* counter : {&slot.rows, &slot.groups, &slot.bytes})
            pg_atomic_write_u64(counter, 0);
    }
    pg_atomic_write_u32(&segment->n_slots, 0);
}

double seconds_since(TimestampTz start) {
    return (double)(GetCurrentTimestamp() - start) / 1e6;
}

// Fits buckets until one had something in it: by that one the run is judged. Returns the first bucket
// that is left.
int fit_first_bucket(BucketWork* work, RunSegment* segment) {
    uint32 next = pg_atomic_read_u32(&segment->next_bucket);
    uint64 bytes = 0;
    while (bytes == 0 && fit_next_bucket(work)) {
        const uint32 from = next;
        next = pg_atomic_read_u32(&segment->next_bucket);
        for (uint32 i = from; i < next; i++) bytes += pg_atomic_read_u64(&segment->bucket_bytes[i]);
    }
    return (int)next < segment->bucket_end ? (int)next : segment->bucket_end;
}

bool worth_workers(RunSegment* segment, double first_seconds) {
    return pg_atomic_read_u64(&segment->bytes_exchanged) >= kSmallRunBytes ||
           first_seconds * (segment->n_buckets - 1) > kSmallRunSeconds;
}

}  // namespace

bool fit_and_collect(dsm_segment* mapped, const TrainPlan* plan, int workers, Collected* collected,
                     FitSummary* summary, const Carry* carry) {
    auto* segment = (RunSegment*)dsm_segment_address(mapped);
    const TimestampTz start = GetCurrentTimestamp();
    const int guc_level = NewGUCNestLevel();
    ResultSink* files = results_in_files(segment);
    SessionResults session = {};
    set_phase(segment, Phase::fitting);
    set_text_formats();
    summary->processes =
        (int)pg_atomic_read_u32(&segment->n_processes) - (segment->adds_stored ? 1 : 0);
    if (summary->processes < 1) summary->processes = 1;

    BucketWork* work = fit_begin(segment, files);
    const int first_left = fit_first_bucket(work, segment);
    const uint64 first_groups = groups_done(segment);
    const bool at_once = first_groups >= kManyGroups &&
                         first_groups * (uint64)segment->n_buckets > (uint64)kOwnPartitionGroups;
    if (at_once) {
        const uint64 expected = first_groups * (uint64)segment->n_buckets;
        session.collector = open_collector(segment, plan, ResultStorage::own,
                                           (int64)(expected + expected / 16), carry);
        collect_files(session.collector, 0, first_left);
        session.sink.put = put_in_registry;
        session.sink.idle = look_at_queues;
        fit_results_to(work, &session.sink);
    }
    if (workers > 1 && worth_workers(segment, seconds_since(start))) {
        const int processes =
            fit_in_parallel(work, segment, dsm_segment_handle(mapped), workers, at_once, &session);
        if (processes > summary->processes) summary->processes = processes;
    } else {
        while (fit_next_bucket(work)) {
        }
    }
    fit_end(work);
    if (carry == nullptr) check_failures(segment, plan->max_failed_fraction);
    summary->fit_seconds = seconds_since(start);
    const uint64 unchanged = pg_atomic_read_u64(&segment->groups_unchanged);
    if (carry != nullptr && groups_done(segment) == 0 &&
        pg_atomic_read_u64(&segment->groups_vanished) == 0) {
        AtEOXact_GUC(true, guc_level);
        return false;
    }

    const TimestampTz collect_start = GetCurrentTimestamp();
    set_phase(segment, Phase::collecting);
    (void)process_slot(segment, Activity::inserting);
    if (!at_once) {
        const bool many = (int64)(groups_done(segment) + unchanged) > kOwnPartitionGroups;
        session.collector = open_collector(
            segment, plan, many ? ResultStorage::own : ResultStorage::shared, 0, carry);
        collect_files(session.collector, 0, segment->n_buckets);
    }
    if (groups_done(segment) + unchanged < kLargeIndex)
        pg::set_local("max_parallel_maintenance_workers", "0");
    close_collector(session.collector, collected);
    AtEOXact_GUC(true, guc_level);
    summary->collect_seconds = seconds_since(collect_start);
    return true;
}

void fit_slice(dsm_segment* mapped, const TrainPlan* plan, int workers, int from, int to,
               Collected* collected, FitSummary* summary) {
    auto* segment = (RunSegment*)dsm_segment_address(mapped);
    const TimestampTz start = GetCurrentTimestamp();
    const int guc_level = NewGUCNestLevel();
    SessionResults session = {};
    const uint64 groups_before = groups_done(segment);
    set_phase(segment, Phase::fitting);
    forget_processes(segment);
    set_text_formats();
    pg_atomic_write_u32(&segment->next_bucket, (uint32)from);
    segment->bucket_end = to;
    const int scanned_by = (int)pg_atomic_read_u32(&segment->n_processes);
    if (scanned_by > summary->processes) summary->processes = scanned_by;

    BucketWork* work = fit_begin(segment, results_in_files(segment));
    (void)fit_next_bucket(work);
    const uint64 expected = (groups_done(segment) - groups_before) * (uint64)(to - from);
    session.collector =
        open_collector(segment, plan, ResultStorage::begun, (int64)(expected + expected / 16));
    collect_files(session.collector, from, to);
    session.sink.put = put_in_registry;
    session.sink.idle = look_at_queues;
    fit_results_to(work, &session.sink);
    if (workers > 1 && to - from > 1 && worth_workers(segment, seconds_since(start))) {
        const int processes =
            fit_in_parallel(work, segment, dsm_segment_handle(mapped), workers, true, &session);
        if (processes > summary->processes) summary->processes = processes;
    } else {
        while (fit_next_bucket(work)) {
        }
    }
    fit_end(work);
    summary->fit_seconds += seconds_since(start);
    const TimestampTz collect_start = GetCurrentTimestamp();
    set_phase(segment, Phase::collecting);
    (void)process_slot(segment, Activity::inserting);
    close_collector(session.collector, collected);
    AtEOXact_GUC(true, guc_level);
    summary->collect_seconds += seconds_since(collect_start);
}

int fit_to_files(dsm_segment* mapped, int workers) {
    auto* segment = (RunSegment*)dsm_segment_address(mapped);
    const TimestampTz start = GetCurrentTimestamp();
    int processes = std::max(1, (int)pg_atomic_read_u32(&segment->n_processes));
    SessionResults session = {};
    set_phase(segment, Phase::fitting);
    BucketWork* work = fit_begin(segment, results_in_files(segment));
    (void)fit_first_bucket(work, segment);
    if (workers > 1 && worth_workers(segment, seconds_since(start))) {
        processes = std::max(processes, fit_in_parallel(work, segment, dsm_segment_handle(mapped),
                                                        workers, false, &session));
    } else {
        while (fit_next_bucket(work)) {
        }
    }
    fit_end(work);
    return processes;
}

void read_fitted(RunSegment* segment, TakeResult take, void* argument) {
    Size room = 64 * 1024;
    char* body = (char*)palloc(room);
    for (int bucket = 0; bucket < segment->n_buckets; bucket++) {
        char name[MAXPGPATH];
        ResultHeader header;
        pg_snprintf(name, sizeof name, "r%d", bucket);
        BufFile* file = open_run_file(segment, name);
        if (file == nullptr) continue;
        while (BufFileRead(file, &header, sizeof header) == sizeof header) {
            const Size bytes = result_body_bytes(&header);
            if (bytes > room) {
                room = bytes * 2;
                body = (char*)repalloc_huge(body, room);
            }
            read_exactly(file, body, bytes);
            CHECK_FOR_INTERRUPTS();
            take(argument, &header, body);
        }
        BufFileClose(file);
    }
    pfree(body);
}

}  // namespace many::engine

extern "C" {

// Entry of a background worker of the fit phase.
PGDLLEXPORT void many_fit_worker_main(dsm_segment*, shm_toc* toc);

void many_fit_worker_main(dsm_segment* own, shm_toc* toc) {
    namespace engine = many::engine;
    const auto* shared = (engine::Shared*)shm_toc_lookup(toc, engine::kHandleKey, false);
    dsm_segment* mapped = dsm_attach(shared->run);
    if (mapped == nullptr)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("the run that this worker was started for has ended")));
    auto* segment = (engine::RunSegment*)dsm_segment_address(mapped);
    if (segment->magic != engine::kSegmentMagic || segment->layout != sizeof(engine::RunSegment))
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("the library of many_models was replaced during the run")));
    SharedFileSetAttach(&segment->files, mapped);
    engine::QueueResults queue = {};
    engine::ResultSink* results = nullptr;
    if (shared->queue_bytes > 0) {
        char* queues = (char*)shm_toc_lookup(toc, engine::kQueuesKey, false);
        auto* mine = (shm_mq*)(queues + (Size)ParallelWorkerNumber * shared->queue_bytes);
        shm_mq_set_sender(mine, MyProc);
        queue.queue = shm_mq_attach(mine, own, nullptr);
        queue.sink.put = engine::put_in_queue;
        results = &queue.sink;
    } else {
        results = engine::results_in_files(segment);
    }
    engine::BucketWork* work = engine::fit_begin(segment, results);
    while (engine::fit_next_bucket(work)) {
    }
    engine::fit_end(work);
    engine::add_fit_worker(segment);
    if (queue.queue != nullptr) shm_mq_detach(queue.queue);
    dsm_detach(mapped);
}
}
