// See fit_phase.h. Per bucket: read the training chunks of all processes into a table of groups;
// fit the training split of each group; add the held-out rows past that fit; refit on all rows;
// give one result per group.
//
// Two ways to read a bucket. Where the statistics exchange left rows that fit a part of the budget
// (many small groups), the files are read whole and the rows stay where they are, linked by group:
// then a group is taken from its rows to its result at once, in sums that are used again for the
// next. Otherwise chunks are merged as they come and held-out rows stream past the fits (so that a
// group's holdout never has to be in memory); a bucket that does not fit the budget is read again
// in halves of its hash range. In the rows exchange a group must fit the budget by itself; one that
// does not fails, and only that one. Groups are given in the order of their hash within a bucket.
#include "pg/server.h"

#include "engine/fit_phase.h"

#include "core/selection/comparison.h"
#include "engine/append.h"
#include "engine/bucket_read.h"
#include "engine/prefetch.h"
#include "engine/wide_rows.h"
#include "wall/wall.h"

namespace many::engine {

namespace {

constexpr uint32 kGatheredRows = 32;

// Behind a group's holdout state: that of the comparison, and the incumbent.
Size state_doubles(const BucketWork* work) {
    const Size holdout = session_holdout_doubles(work->session);
    return work->incumbents == nullptr ? holdout : holdout + core::comparison_state_doubles() + 1;
}

Incumbent** incumbent_of(const BucketWork* work, const Group* group) {
    static_assert(sizeof(Incumbent*) == sizeof(double));
    return (Incumbent**)(group->state + state_doubles(work) - 1);
}

bool has_incumbent(const BucketWork* work, const Group* group) {
    return work->incumbents != nullptr && group->state != nullptr &&
           *incumbent_of(work, group) != nullptr;
}

GroupFitInput fit_input(BucketWork* work, Group* group) {
    GroupFitInput input = {};
    input.override = find_override(&work->codec, work->spec, group->key);
    if (has_incumbent(work, group)) {
        input.rival = &(*incumbent_of(work, group))->rival;
        input.comparison = group->state + session_holdout_doubles(work->session);
    }
    return input;
}

Fingerprint fingerprint_of(const Group* group) {
    return {group->n_rows + group->info.n_null + group->info.n_bad, group->last_time,
            group->checksum + group->info.checksum};
}

// The same while rows of the group are only listed.
Fingerprint listed_fingerprint(const BucketWork* work, const Group* group) {
    const GroupTable* table = &work->table;
    Group sum = *group;
    for (const uint32 head : group->list_head) {
        for (uint32 i = head; i != 0; i = work->lists.next[i - 1]) {
            const double* row = work->lists.rows[i - 1];
            int64 time = kNoTime;
            sum.n_rows++;
            sum.checksum += row_checksum(table, row);
            if (table->time_at >= 0) memcpy(&time, &row[table->time_at], sizeof time);
            group_see_time(&sum, time);
        }
    }
    return fingerprint_of(&sum);
}

bool has_vanished(const Group* group) {
    return group->known != nullptr && fingerprint_of(group).n_rows == 0;
}

bool same_fingerprint(const Fingerprint& a, const Fingerprint& b) {
    return a.n_rows == b.n_rows && a.checksum == b.checksum && a.last_time == b.last_time;
}

bool is_unchanged(const Group* group) {
    return group->known != nullptr && group->known->unchanged != 0;
}

// Held-out rows of a group that may be unchanged.
void count_held(BucketWork* work, Group* group, const double* rows, uint32 n) {
    const GroupTable* table = &work->table;
    if (group->known == nullptr) return;
    Fingerprint* held = &group->known->held;
    for (uint32 i = 0; i < n; i++, rows += table->stride) {
        int64 time = kNoTime;
        if (table->time_at >= 0) memcpy(&time, &rows[table->time_at], sizeof time);
        if (held->n_rows++ == 0 || time > held->last_time) held->last_time = time;
        held->checksum += row_checksum(table, rows);
    }
}

// Held-out rows of a group whose training rows are all there: past the fit, into the moments.
void hold_rows(BucketWork* work, Group* group, const double* rows, uint32 n) {
    if (is_unchanged(group)) return;
    const Size moments = work->table.moments_doubles * (Size)work->table.n_moments;
    if (group->moments == nullptr)  // all rows of the group so far are held out
        group->moments = group_table_doubles(&work->table, moments);
    if (group->state == nullptr) {
        group->state =
            work->at_once ? work->state : group_table_doubles(&work->table, state_doubles(work));
        if (work->incumbents != nullptr)
            *incumbent_of(work, group) =
                find_incumbent(work->incumbents, &work->codec, group->hash, group->key);
        session_prepare_holdout(work->session, group->moments, group->state,
                                fit_input(work, group));
    }
    if (has_incumbent(work, group))
        session_add_comparison(work->session, group->state, rows, n, (Size)work->table.stride,
                               fit_input(work, group));
    group->n_rows += n;
    for (uint32 i = 0; i < n; i++)
        group->checksum += row_checksum(&work->table, rows + (Size)i * (Size)work->table.stride);
    for (uint32 i = 0; i < n && work->table.time_at >= 0; i++) {
        int64 time;
        memcpy(&time, &rows[(Size)i * (Size)work->table.stride + (Size)work->table.time_at],
               sizeof time);
        group_see_time(group, time);
    }
    session_add_holdout(work->session, group->state, group->moments, rows, n,
                        (Size)work->table.stride);
}

// Folds the group's listed rows, held-out ones last.
void settle_lists(BucketWork* work, Group* group) {
    uint32 n = 0;
    if (group->listed[0] > 0) group_fold_list(&work->table, &work->lists, group, 0);
    if (work->table.splits) {
        if (group->listed[1] > 0) group_fold_list(&work->table, &work->lists, group, 1);
        return;
    }
    for (uint32 i = group->list_head[1]; i != 0; i = work->lists.next[i - 1]) {
        memcpy(work->gathered + (Size)n * (Size)work->table.stride, work->lists.rows[i - 1],
               work->sizes.row);
        if (++n == kGatheredRows) {
            hold_rows(work, group, work->gathered, n);
            n = 0;
        }
    }
    if (n > 0) hold_rows(work, group, work->gathered, n);
}

// Of a refresh: whether the group needs no fit, because it is as it was or has no rows any more.
bool settle_known(BucketWork* work, const Group* group, Fingerprint now) {
    if (group->known == nullptr) return false;
    if (now.n_rows == 0 && !is_unchanged(group)) {
        pg_atomic_fetch_add_u64(&work->segment->groups_vanished, 1);
        return true;
    }
    if (!is_unchanged(group) && !same_fingerprint(now, group->known->then)) return false;
    ResultHeader header = {};
    header.kind = ResultKind::unchanged;
    header.place = group->known->place;
    work->results->put(work->results, &header, nullptr);
    pg_atomic_fetch_add_u64(&work->segment->groups_unchanged, 1);
    return true;
}

void append(char** to, const void* bytes, Size n) {
    if (n > 0) memcpy(*to, bytes, n);
    *to += n;
}

void put_result(BucketWork* work, const Group* group, const GroupOutcome* outcome,
                const Incumbent* incumbent) {
    ResultHeader header = {};
    header.key_length = group->key_length;
    header.model_bytes = outcome->model_bytes;
    header.message_bytes = outcome->message != nullptr ? (uint32)strlen(outcome->message) : 0;
    header.hint_bytes = outcome->hint != nullptr ? (uint32)strlen(outcome->hint) : 0;
    header.n_rows = outcome->n_rows;
    header.first_time = group->first_time;
    header.last_time = group->last_time;
    header.has_window = group->first_time <= group->last_time;
    header.fingerprint = fingerprint_of(group);
    header.seconds = (float4)outcome->seconds;
    header.sqlstate = outcome->sqlstate;
    header.kind = outcome->kind;
    if (work->segment->keeps_sums())
        header.sums_bytes = (uint32)(sizeof(StoredSums) + work->sizes.moments);
    header.numbers = (uint8)outcome->n_numbers;
    header.compared_with = outcome->compared_with;
    if (header.compared_with == 0 && core::has_rival_numbers(outcome->n_numbers))
        header.compared_with = incumbent->model_id;
    const Size bytes = result_body_bytes(&header);
    if (bytes > work->body_bytes) {
        if (work->body != nullptr) pfree(work->body);
        work->body_bytes = bytes * 2;
        work->body = (char*)MemoryContextAllocHuge(work->context, work->body_bytes);
    }
    char* to = work->body;
    append(&to, group->key, group->key_length);
    append(&to, outcome->model, header.model_bytes);
    append(&to, outcome->message, header.message_bytes);
    append(&to, outcome->hint, header.hint_bytes);
    if (header.sums_bytes > 0) stored_sums_write(work->spec, group, work->sizes.moments, to);
    to += header.sums_bytes;
    append(&to, outcome->numbers, header.numbers * sizeof(double));
    work->results->put(work->results, &header, work->body);
    pg_atomic_write_u64(&work->slot->groups, pg_atomic_read_u64(&work->slot->groups) + 1);
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

void fit_group(BucketWork* work, Group* group) {
    GroupTable* table = &work->table;
    GroupOutcome outcome;
    Incumbent* incumbent = has_incumbent(work, group) ? *incumbent_of(work, group) : nullptr;
    if (!table->folds_rows && work->incumbents != nullptr)
        incumbent = find_incumbent(work->incumbents, &work->codec, group->hash, group->key);
    if (settle_known(work, group, fingerprint_of(group))) {
        group_free_rows(table, group);
        free_incumbent(incumbent);
        return;
    }
    // A run that only compares has no use for a group without one.
    if (work->segment->only_compares && incumbent == nullptr) {
        group_free_rows(table, group);
        return;
    }
    if (!settle_unfittable(work, group, &outcome)) {
        GroupFitInput input = fit_input(work, group);
        if (table->splits) {
            session_finish_split(work->session, group->moments,
                                 group->moments + table->moments_doubles, group->n_rows, input,
                                 &outcome);
        } else if (table->folds_rows) {
            session_finish(work->session, group->moments, group->state, group->n_rows, input,
                           &outcome);
        } else {
            if (incumbent != nullptr) input.rival = &incumbent->rival;
            if (!update_group(work->updates, work->session, table, group, input, &outcome))
                session_fit_rows(work->session, group->train, group->n_train, (Size)table->stride,
                                 &work->levels, input, &outcome);
        }
        group_free_rows(table, group);
    }
    put_result(work, group, &outcome, incumbent);
    free_incumbent(incumbent);
}

// Fetches the rows of the group that comes next: they lie all over the bucket.
void prefetch_rows(const BucketWork* work, const Group* group) {
    constexpr uint32 kMostRows = 64;
    for (const uint32 head : group->list_head) {
        uint32 n = 0;
        for (uint32 i = head; i != 0 && n < kMostRows; i = work->lists.next[i - 1], n++) {
            const char* row = (const char*)work->lists.rows[i - 1];
            prefetch_line(row);
            prefetch_line(row + work->sizes.row - 1);
        }
    }
}

// From its listed rows to its result, in sums that the next group uses again.
void fit_listed_group(BucketWork* work, Group* group) {
    if (group->known != nullptr && settle_known(work, group, listed_fingerprint(work, group)))
        return;
    if (group->moments == nullptr) {
        memset(work->moments, 0, work->sizes.moments);
        group->moments = work->moments;
    }
    settle_lists(work, group);
    fit_group(work, group);
}

// Before a group's held-out rows are streamed past its fit: which groups need none.
void find_unchanged(BucketWork* work, uint32 low, uint32 high, bool has_holdout,
                    bool held_in_training) {
    if (has_holdout) stream_holdout(work, Stream::holdout, low, high, count_held);
    if (held_in_training) stream_holdout(work, Stream::training, low, high, count_held);
    for (uint64 i = 0; i < work->table.n_groups; i++) {
        Group* group = group_at(&work->table, i);
        if (group->known == nullptr) continue;
        const Fingerprint* held = &group->known->held;
        Fingerprint now = listed_fingerprint(work, group);
        now.n_rows += held->n_rows;
        now.checksum += held->checksum;
        if (held->n_rows > 0 && held->last_time > now.last_time) now.last_time = held->last_time;
        group->known->unchanged = same_fingerprint(now, group->known->then) ? 1 : 0;
    }
}

void fit_range(BucketWork* work, uint32 low, uint32 high, bool whole) {
    GroupTable* table = &work->table;
    const bool at_once = work->at_once =
        whole && stream_bytes(&work->files, work->bucket, Stream::holdout) == 0;
    const bool has_holdout = work->spec->exchange == Exchange::statistics &&
                             work->spec->holdout.kind != core::HoldoutSpec::Kind::none;
    const bool held_in_training = has_holdout && !whole && work->held_in_training;
    if (work->knows_groups && table->folds_rows && !at_once)
        find_unchanged(work, low, high, has_holdout, held_in_training);
    for (uint64 i = 0; i < table->n_groups && table->folds_rows && !at_once; i++) {
        Group* group = group_at(table, i);
        CHECK_FOR_INTERRUPTS();
        if (is_unchanged(group)) continue;
        if (whole) settle_lists(work, group);
        if (group->n_train > 0 || (group->moments == nullptr && !has_vanished(group)))
            group_fold(table, group);
    }
    if (has_holdout && !at_once) stream_holdout(work, Stream::holdout, low, high, hold_rows);
    if (held_in_training) stream_holdout(work, Stream::training, low, high, hold_rows);
    pg_atomic_write_u64(&work->slot->bytes, table->used_bytes);
    pg_atomic_write_u32(&work->slot->activity, (uint32)Activity::fitting);
    auto** order = (Group**)MemoryContextAllocHuge(work->bucket_context,
                                                   sizeof(Group*) * (Size)(table->n_groups + 1));
    for (uint64 i = 0; i < table->n_groups; i++) order[i] = group_at(table, i);
    qsort(order, table->n_groups, sizeof(Group*), compare_groups);
    for (uint64 i = 0; i < table->n_groups; i++) {
        CHECK_FOR_INTERRUPTS();
        if (at_once) {
            if (i + 1 < table->n_groups) prefetch_rows(work, order[i + 1]);
            fit_listed_group(work, order[i]);
        } else {
            fit_group(work, order[i]);
        }
        if (work->reports) report_progress(work->segment);
        if (work->results->idle != nullptr) work->results->idle(work->results);
    }
    pfree(order);
}

// A small part of the budget stays for the next bucket: memory that is there has its pages.
bool keeps_table(const BucketWork* work) {
    return work->table.peak_bytes <= work->table_budget / 8;
}

void process_range(BucketWork* work, uint32 low, uint32 high) {
    if (work->table.n_groups == 0 && keeps_table(work))
        reuse_table(work);
    else
        make_table(work);
    if (load_range(work, low, high)) {
        fit_range(work, low, high, false);
        return;
    }
    pg_atomic_fetch_add_u32(&work->segment->rescans, 1);
    const uint32 middle = low + (high - low) / 2;
    process_range(work, low, middle);
    process_range(work, middle, high);
}

// Whether the sums of all groups may be there at once; one after the other they always may.
bool fits_whole(const BucketWork* work) {
    return stream_bytes(&work->files, work->bucket, Stream::holdout) == 0 ||
           work->table.used_bytes + sums_to_come(&work->table) <= work->table_budget;
}

void process_bucket(BucketWork* work) {
    const Size bytes = (Size)pg_atomic_read_u64(&work->segment->bucket_bytes[work->bucket]);
    bool whole = false;
    MemoryContext old = MemoryContextSwitchTo(work->bucket_context);
    pg_atomic_write_u32(&work->slot->bucket, (uint32)work->bucket);
    pg_atomic_write_u32(&work->slot->activity, (uint32)Activity::reading);
    if (work->results->begin_bucket != nullptr)
        work->results->begin_bucket(work->results, work->bucket);
    if (work->spec->exchange == Exchange::statistics && bytes <= work->table_budget / 4) {
        reuse_table(work);
        load_whole(work);
        whole = fits_whole(work);
        if (whole) fit_range(work, 0, kRanges, true);
    }
    if (!whole) {
        forget_whole(work);
        process_range(work, 0, kRanges);
    }
    uint64 peak = pg_atomic_read_u64(&work->segment->peak_bytes);
    while (peak < work->table.peak_bytes &&
           !pg_atomic_compare_exchange_u64(&work->segment->peak_bytes, &peak,
                                           work->table.peak_bytes)) {
    }
    if (work->results->end_bucket != nullptr) work->results->end_bucket(work->results);
    if (!whole && keeps_table(work))
        empty_table(work);
    else if (!whole)
        drop_table(work);
    MemoryContextSwitchTo(old);
    MemoryContextReset(work->bucket_context);
    scan_files_fitted(&work->files, work->bucket);
}

}  // namespace

BucketWork* fit_begin(RunSegment* segment, ResultSink* results) {
    MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "many_models fit", ALLOCSET_DEFAULT_SIZES);
    MemoryContext old = MemoryContextSwitchTo(context);
    auto* work = (BucketWork*)palloc0(sizeof(BucketWork));
    work->segment = segment;
    work->spec = segment->spec();
    work->results = results;
    work->context = context;
    work->session = make_fit_session(work->spec, context);
    key_codec_init(&work->codec, work->spec);
    levels_init(&work->levels, context, work->spec->budget_bytes / 4);
    levels_load(&work->levels, segment);
    work->incumbents = open_incumbents(segment, context);
    work->updates = open_updates(segment, context);
    work->bucket_context =
        AllocSetContextCreate(context, "many_models bucket", ALLOCSET_DEFAULT_SIZES);
    work->reports = segment->pid == MyProcPid;
    work->knows_groups = segment->adds_stored && !work->spec->append_only;
    work->slot = process_slot(segment, Activity::fitting);
    Size other = work->spec->budget_bytes / 8;
    if (is_wide(work->spec->n_keys, work->spec->n_features) && group_fit_bytes(work->spec) > other)
        other = group_fit_bytes(work->spec);
    work->table_budget = work->spec->budget_bytes - other;
    const Size moments_bytes =
        core::MomentLayout(work->spec->n_features + 1).bytes() * (Size)work->spec->n_moments();
    work->sizes = chunk_sizes(work->spec, &work->codec, moments_bytes);
    scan_files_open(&work->files, segment, &work->sizes);
    work->moments = (double*)MemoryContextAllocHuge(context, moments_bytes);
    work->state = (double*)palloc(state_doubles(work) * sizeof(double));
    work->gathered = (double*)palloc(kGatheredRows * work->sizes.row);
    MemoryContextSwitchTo(old);
    return work;
}

void fit_results_to(BucketWork* work, ResultSink* results) {
    work->results = results;
}

bool fit_next_bucket(BucketWork* work) {
    uint32 bucket;
    do {
        bucket = pg_atomic_fetch_add_u32(&work->segment->next_bucket, 1);
        if (bucket >= (uint32)work->segment->bucket_end) return false;
    } while (work->segment->bucket_done[bucket]);
    work->bucket = (int)bucket;
    process_bucket(work);
    if (work->reports) report_progress(work->segment);
    return true;
}

void fit_end(BucketWork* work) {
    pg_atomic_write_u32(&work->slot->activity, (uint32)Activity::done);
    close_incumbents(work->incumbents);
    close_updates(work->updates);
    scan_files_close(&work->files);
    MemoryContextDelete(work->context);
}

}  // namespace many::engine
