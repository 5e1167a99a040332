// See fit_phase.h. Per bucket: read the training chunks of all processes into a table of groups;
// fit the training split of each group; stream the held-out rows past those fits (so that a group's
// holdout never has to be in memory); refit on all rows; write one result per group.
//
// A bucket that does not fit the budget is read again in halves of its hash range. In the rows
// exchange a group must fit the budget by itself; one that does not fails, and only that one.
// Groups are written in the order of their hash, so results do not depend on who fitted them.
#include "pg/server.h"

#include "engine/fit_phase.h"

#include "engine/exchange.h"
#include "engine/fit_session.h"
#include "engine/levels.h"
#include "engine/progress.h"
#include "engine/results.h"
#include "wall/wall.h"

namespace many::engine {

namespace {

constexpr uint32 kRanges = 65536;  // a bucket can be split into so many ranges of hashes

struct BucketWork {
    RunSegment* segment;
    RunSpec* spec;
    FitSession* session;
    KeyCodec codec;
    GroupTable table;
    LevelDictionary levels;
    BufFile* results;
    int bucket;
    Size moments_bytes;
    Size table_budget;
    MemoryContext bucket_context;
    bool reports;
};

uint32 range_of(uint64 hash) {
    return (uint32)(hash >> 16) & (kRanges - 1);
}

GroupFitInput fit_input(BucketWork* work, Group* group) {
    GroupFitInput input = {};
    input.override = find_override(&work->codec, work->spec, group->key);
    return input;
}

// Adds one chunk to the table.
void merge_chunk(BucketWork* work, const ChunkReader* reader) {
    GroupTable* table = &work->table;
    bool found = false;
    Group* group = group_table_lookup(table, reader->header.hash, reader->key,
                                      reader->header.key_length, &found);
    switch (reader->header.kind) {
        case ChunkKind::moments: {
            MomentsPrefix prefix;
            memcpy(&prefix, reader->payload, sizeof prefix);
            group->n_rows += prefix.n_rows;
            if (prefix.first_time < group->first_time) group->first_time = prefix.first_time;
            if (prefix.last_time > group->last_time) group->last_time = prefix.last_time;
            group_merge_moments(table, group, (const double*)(reader->payload + sizeof prefix));
            break;
        }
        case ChunkKind::info: {
            GroupInfo info;
            memcpy(&info, reader->payload, sizeof info);
            group->info.n_null += info.n_null;
            if (info.n_bad > 0)
                group_note_bad(group, info.bad_column, info.bad_is_null != 0, info.n_bad);
            break;
        }
        case ChunkKind::rows: {
            const Size bytes = (Size)table->stride * sizeof(double);
            for (uint32 i = 0; i < reader->header.n; i++) {
                const char* row = reader->payload + (Size)i * bytes;
                group->n_rows++;
                if (table->time_at >= 0) {
                    int64 time;
                    memcpy(&time, row + (Size)table->time_at * sizeof(double), sizeof time);
                    group_see_time(group, time);
                }
                if (group->over_budget) continue;
                double* slot = group_row_slot(table, group);
                if (slot != nullptr) {
                    memcpy(slot, row, bytes);
                } else {
                    group_free_rows(table, group);
                    group->over_budget = true;
                }
            }
            break;
        }
    }
}

// Reads the training chunks of groups in [low, high); false when they exceed the budget.
bool load_range(BucketWork* work, uint32 low, uint32 high) {
    ChunkReader reader;
    const bool may_split = high - low > 1;
    bool fits = true;
    chunk_reader_init(&reader, work->segment, 't', work->bucket);
    while (fits && read_chunk(&reader, work->table.stride, work->moments_bytes)) {
        const uint32 range = range_of(reader.header.hash);
        CHECK_FOR_INTERRUPTS();
        if (range < low || range >= high) continue;
        merge_chunk(work, &reader);
        // A table of one group is handled by over_budget; splitting would not help.
        if (may_split && work->table.used_bytes > work->table_budget && work->table.n_groups > 1)
            fits = false;
    }
    chunk_reader_finish(&reader);
    return fits;
}

void stream_holdout(BucketWork* work, uint32 low, uint32 high) {
    ChunkReader reader;
    chunk_reader_init(&reader, work->segment, 'h', work->bucket);
    while (read_chunk(&reader, work->table.stride, work->moments_bytes)) {
        const uint32 range = range_of(reader.header.hash);
        CHECK_FOR_INTERRUPTS();
        if (range < low || range >= high) continue;
        bool found = false;
        Group* group = group_table_lookup(&work->table, reader.header.hash, reader.key,
                                          reader.header.key_length, &found);
        if (group->moments == nullptr)  // all rows of the group so far are held out
            group->moments = group_table_doubles(
                &work->table, work->table.moments_doubles * (Size)work->table.n_moments);
        if (group->state == nullptr) {
            group->state =
                group_table_doubles(&work->table, session_holdout_doubles(work->session));
            session_prepare_holdout(work->session, group->moments, group->state,
                                    fit_input(work, group));
        }
        group->n_rows += reader.header.n;
        if (work->table.time_at >= 0) {
            for (uint32 i = 0; i < reader.header.n; i++) {
                int64 time;
                memcpy(&time,
                       reader.payload +
                           ((Size)i * (Size)work->table.stride + (Size)work->table.time_at) *
                               sizeof(double),
                       sizeof time);
                group_see_time(group, time);
            }
        }
        session_add_holdout(work->session, group->state, group->moments,
                            (const double*)reader.payload, reader.header.n,
                            (Size)work->table.stride);
    }
    chunk_reader_finish(&reader);
}

void write_result(BucketWork* work, const Group* group, const GroupOutcome* outcome) {
    ResultHeader header = {};
    header.key_length = group->key_length;
    header.model_bytes = outcome->model_bytes;
    header.message_bytes = outcome->message != nullptr ? (uint32)strlen(outcome->message) : 0;
    header.hint_bytes = outcome->hint != nullptr ? (uint32)strlen(outcome->hint) : 0;
    header.n_rows = outcome->n_rows;
    header.first_time = group->first_time;
    header.last_time = group->last_time;
    header.has_window = group->first_time <= group->last_time;
    header.seconds = (float4)outcome->seconds;
    header.sqlstate = outcome->sqlstate;
    header.kind = outcome->kind;
    BufFileWrite(work->results, &header, sizeof header);
    BufFileWrite(work->results, group->key, group->key_length);
    if (header.model_bytes > 0)
        BufFileWrite(work->results, (void*)outcome->model, header.model_bytes);
    if (header.message_bytes > 0)
        BufFileWrite(work->results, (void*)outcome->message, header.message_bytes);
    if (header.hint_bytes > 0) BufFileWrite(work->results, (void*)outcome->hint, header.hint_bytes);
    pg_atomic_uint64* counter =
        outcome->kind == ResultKind::trained  ? &work->segment->groups_trained
        : outcome->kind == ResultKind::failed ? &work->segment->groups_failed
                                              : &work->segment->groups_skipped;
    pg_atomic_fetch_add_u64(counter, 1);
    if (outcome->n_skipped > 0)
        pg_atomic_fetch_add_u64(&work->segment->rows_skipped, outcome->n_skipped);
}

int compare_groups(const void* a, const void* b) {
    const Group* ga = *(Group* const*)a;
    const Group* gb = *(Group* const*)b;
    if (ga->hash != gb->hash) return ga->hash < gb->hash ? -1 : 1;
    const uint32 n = ga->key_length < gb->key_length ? ga->key_length : gb->key_length;
    const int order = memcmp(ga->key, gb->key, n);
    if (order != 0) return order;
    return ga->key_length < gb->key_length ? -1 : ga->key_length > gb->key_length ? 1 : 0;
}

// A group that cannot be fitted whatever its numbers are; false when it can.
bool settle_unfittable(BucketWork* work, Group* group, GroupOutcome* outcome) {
    const bool too_large = group->over_budget;
    if (group->info.n_bad == 0 && !too_large) return false;
    memset(outcome, 0, sizeof *outcome);
    outcome->kind = ResultKind::failed;
    outcome->n_rows = group->n_rows;
    if (too_large) {
        outcome->sqlstate = ERRCODE_OUT_OF_MEMORY;
        outcome->message = psprintf("has " INT64_FORMAT
                                    " rows of %d columns, more than half of "
                                    "the memory budget of %.0f MB",
                                    group->n_rows, work->table.stride,
                                    (double)work->spec->budget_bytes / 1048576.0);
        outcome->hint =
            "Raise many_models.memory_budget, or use options that need no rows "
            "(numeric features, a hashed holdout).";
        return true;
    }
    const bool is_target = group->info.bad_column >= work->spec->n_features;
    const char* column =
        psprintf("%s \"%s\"", is_target ? "target" : "feature",
                 is_target ? NameStr(work->spec->target)
                           : NameStr(work->spec->features()[group->info.bad_column].name));
    const char* rows =
        psprintf(INT64_FORMAT " row%s", group->info.n_bad, group->info.n_bad == 1 ? "" : "s");
    if (group->info.bad_is_null != 0) {
        outcome->sqlstate = ERRCODE_NULL_VALUE_NOT_ALLOWED;
        outcome->message = psprintf("%s is NULL in %s", column, rows);
        outcome->hint = "Use null_policy skip_row or impute_mean, or fill the column.";
    } else {
        outcome->sqlstate = ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE;
        outcome->message = psprintf("%s is NaN or infinite in %s", column, rows);
        outcome->hint = "Filter these rows in the source query, or make them NULL.";
    }
    return true;
}

void fit_range(BucketWork* work, uint32 low, uint32 high) {
    GroupTable* table = &work->table;
    const bool has_holdout = work->spec->exchange == Exchange::statistics &&
                             work->spec->holdout.kind != core::HoldoutSpec::Kind::none;
    for (uint64 i = 0; i < table->n_groups && table->folds_rows; i++) {
        Group* group = group_at(table, i);
        CHECK_FOR_INTERRUPTS();
        if (group->n_train > 0 || group->moments == nullptr) group_fold(table, group);
    }
    if (has_holdout) stream_holdout(work, low, high);
    auto** order = (Group**)MemoryContextAllocHuge(work->bucket_context,
                                                   sizeof(Group*) * (Size)(table->n_groups + 1));
    for (uint64 i = 0; i < table->n_groups; i++) order[i] = group_at(table, i);
    qsort(order, table->n_groups, sizeof(Group*), compare_groups);
    for (uint64 i = 0; i < table->n_groups; i++) {
        Group* group = order[i];
        GroupOutcome outcome;
        CHECK_FOR_INTERRUPTS();
        if (!settle_unfittable(work, group, &outcome)) {
            if (table->folds_rows)
                session_finish(work->session, group->moments, group->state, group->n_rows,
                               fit_input(work, group), &outcome);
            else
                session_fit_rows(work->session, group->train, group->n_train, (Size)table->stride,
                                 &work->levels, fit_input(work, group), &outcome);
            group_free_rows(table, group);
        }
        write_result(work, group, &outcome);
        if (work->reports) report_progress(work->segment);
    }
    pfree(order);
}

void process_range(BucketWork* work, uint32 low, uint32 high) {
    for (uint64 i = 0; i < work->table.n_groups; i++)
        group_free_rows(&work->table, group_at(&work->table, i));
    group_table_free(&work->table);
    group_table_init(&work->table, work->spec, &work->codec, work->bucket_context);
    // Half of the budget for a group's rows, the other half for fitting them.
    const Size row_bytes = (Size)work->table.stride * sizeof(double);
    const Size most = work->spec->budget_bytes / 2 / row_bytes;
    work->table.most_rows = most > PG_INT32_MAX ? PG_INT32_MAX : (uint32)most;
    if (load_range(work, low, high)) {
        fit_range(work, low, high);
        return;
    }
    pg_atomic_fetch_add_u32(&work->segment->rescans, 1);
    const uint32 middle = low + (high - low) / 2;
    process_range(work, low, middle);
    process_range(work, middle, high);
}

void process_bucket(BucketWork* work) {
    char name[MAXPGPATH];
    MemoryContext old = MemoryContextSwitchTo(work->bucket_context);
    pg_snprintf(name, sizeof name, "r%d", work->bucket);
    work->results = create_run_file(work->segment, name);
    process_range(work, 0, kRanges);
    uint64 peak = pg_atomic_read_u64(&work->segment->peak_bytes);
    while (peak < work->table.peak_bytes &&
           !pg_atomic_compare_exchange_u64(&work->segment->peak_bytes, &peak,
                                           work->table.peak_bytes)) {
    }
    BufFileClose(work->results);
    memset(&work->table, 0, sizeof work->table);
    MemoryContextSwitchTo(old);
    MemoryContextReset(work->bucket_context);
}

}  // namespace

void fit_buckets(RunSegment* segment) {
    MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "many_models fit", ALLOCSET_DEFAULT_SIZES);
    MemoryContext old = MemoryContextSwitchTo(context);
    auto* work = (BucketWork*)palloc0(sizeof(BucketWork));
    work->segment = segment;
    work->spec = segment->spec();
    work->session = make_fit_session(work->spec, context);
    key_codec_init(&work->codec, work->spec);
    levels_init(&work->levels, context, work->spec->budget_bytes / 4);
    levels_load(&work->levels, segment);
    work->bucket_context =
        AllocSetContextCreate(context, "many_models bucket", ALLOCSET_DEFAULT_SIZES);
    work->reports = segment->pid == MyProcPid;
    work->table_budget = work->spec->budget_bytes - work->spec->budget_bytes / 8;
    work->moments_bytes = core::MomentLayout(work->spec->n_features + 1).bytes() *
                          (Size)(work->spec->cv_folds > 0 ? work->spec->cv_folds : 1);
    for (;;) {
        const uint32 bucket = pg_atomic_fetch_add_u32(&segment->next_bucket, 1);
        if (bucket >= (uint32)segment->n_buckets) break;
        work->bucket = (int)bucket;
        process_bucket(work);
        if (work->reports) report_progress(segment);
    }
    MemoryContextSwitchTo(old);
    MemoryContextDelete(context);
}

}  // namespace many::engine
