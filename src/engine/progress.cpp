#include "pg/server.h"

#include "engine/progress.h"

#include "pg/settings.h"

namespace many::engine {

namespace {

// Time of the last NOTICE of this session's run. A session runs one training at a time: a nested
// call inside a source query only shifts when the next message comes.
TimestampTz last_report = 0;

void lock_tag(LOCKTAG* tag, dsm_handle handle) {
    SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, kProgressLockClass, handle, kProgressLockSub);
}

const char* phase_name(uint32 phase) {
    switch ((Phase)phase) {
        case Phase::starting:
            return "starting";
        case Phase::scanning:
            return "scanning";
        case Phase::fitting:
            return "fitting";
        case Phase::collecting:
            return "collecting";
        case Phase::finished:
            break;
    }
    return "finished";
}

double seconds_since(TimestampTz start) {
    return (double)(GetCurrentTimestamp() - start) / 1e6;
}

uint64 groups_done(RunSegment* segment) {
    return pg_atomic_read_u64(&segment->groups_trained) +
           pg_atomic_read_u64(&segment->groups_failed) +
           pg_atomic_read_u64(&segment->groups_skipped) +
           pg_atomic_read_u64(&segment->groups_unchanged);
}

// Of rows, after so many seconds; negative: not known.
double seconds_of_rows_left(double done, double all, double elapsed) {
    return done > 0 && all > done ? elapsed * (all - done) / done : -1;
}

// Buckets are parts of the groups by hash, about as large as each other. One that is being fitted
// counts half.
double seconds_of_buckets_left(RunSegment* segment) {
    int fitted = 0;
    int left = 0;
    uint32 n = pg_atomic_read_u32(&segment->n_slots);
    if (segment->fit_started_at == 0) return -1;
    for (int i = 0; i < segment->n_buckets; i++) {
        if (segment->bucket_fitted[i])
            fitted++;
        else if (!segment->bucket_done[i])
            left++;
    }
    if (n > (uint32)kMaxSlots) n = kMaxSlots;
    double half = 0;
    for (uint32 i = 0; i < n; i++) {
        const auto activity = (Activity)pg_atomic_read_u32(&segment->slots[i].activity);
        if (activity == Activity::reading || activity == Activity::fitting) half += 0.5;
    }
    if (half > left / 2.0) half = left / 2.0;
    if (fitted == 0) return -1;
    return seconds_since(segment->fit_started_at) * (left - half) / (fitted + half);
}

// Seconds left in the phase, from what is done of it; negative: not known.
double estimate_left(RunSegment* segment, double elapsed) {
    const auto phase = (Phase)pg_atomic_read_u32(&segment->phase);
    if (phase == Phase::scanning)
        return seconds_of_rows_left((double)pg_atomic_read_u64(&segment->rows_read),
                                    segment->estimated_rows, elapsed);
    return phase == Phase::fitting ? seconds_of_buckets_left(segment) : -1;
}

}  // namespace

void publish_run(dsm_handle handle) {
    LOCKTAG tag;
    lock_tag(&tag, handle);
    (void)LockAcquire(&tag, ExclusiveLock, false, false);
    last_report = GetCurrentTimestamp();
}

void retract_run(dsm_handle handle) {
    LOCKTAG tag;
    lock_tag(&tag, handle);
    (void)LockRelease(&tag, ExclusiveLock, false);
}

namespace {

const char* activity_name(uint32 activity) {
    switch ((Activity)activity) {
        case Activity::scanning:
            return "scanning";
        case Activity::reading:
            return "reading";
        case Activity::fitting:
            return "fitting";
        case Activity::inserting:
            return "inserting";
        case Activity::waiting:
            return "waiting";
        case Activity::done:
            break;
    }
    return "done";
}

void show_activity(const RunSegment* segment, const char* what) {
    pg::show_activity(segment->run_id, segment->model_set, what);
}

// Where processes beyond kMaxSlots write to.
ProcessSlot unseen_slot;

}  // namespace

void set_phase(RunSegment* segment, Phase phase) {
    if (phase == Phase::fitting && segment->fit_started_at == 0)
        segment->fit_started_at = GetCurrentTimestamp();
    pg_atomic_write_u32(&segment->phase, (uint32)phase);
    if (segment->pid == MyProcPid) show_activity(segment, phase_name((uint32)phase));
}

void end_activity(RunSegment* segment) {
    if (segment->pid == MyProcPid) pg::end_activity();
}

ProcessSlot* process_slot(RunSegment* segment, Activity activity) {
    const uint32 n = pg_atomic_read_u32(&segment->n_slots);
    ProcessSlot* slot = nullptr;
    for (uint32 i = 0; i < n && i < (uint32)kMaxSlots && slot == nullptr; i++)
        if (pg_atomic_read_u32(&segment->slots[i].pid) == (uint32)MyProcPid)
            slot = &segment->slots[i];
    if (slot == nullptr) {
        const uint32 mine = pg_atomic_fetch_add_u32(&segment->n_slots, 1);
        slot = mine < (uint32)kMaxSlots ? &segment->slots[mine] : &unseen_slot;
        pg_atomic_write_u32(&slot->pid, (uint32)MyProcPid);
    }
    pg_atomic_write_u32(&slot->activity, (uint32)activity);
    if (segment->pid != MyProcPid) show_activity(segment, activity_name((uint32)activity));
    return slot;
}

void report_progress(RunSegment* segment) {
    if (many_progress_interval_ms <= 0) return;
    const TimestampTz now = GetCurrentTimestamp();
    if (!TimestampDifferenceExceeds(last_report, now, many_progress_interval_ms)) return;
    last_report = now;
    const double elapsed = seconds_since(segment->started_at);
    const double left = estimate_left(segment, elapsed);
    const uint32 phase = pg_atomic_read_u32(&segment->phase);
    char eta[64] = "";
    if (left >= 0) pg_snprintf(eta, sizeof eta, ", about %.0f s left", left);
    if ((Phase)phase == Phase::scanning)
        ereport(NOTICE, (errmsg("run %lld: scanning, " UINT64_FORMAT " rows of about %.0f, "
                                "%.0f rows/s%s",
                                (long long)segment->run_id, pg_atomic_read_u64(&segment->rows_read),
                                segment->estimated_rows,
                                (double)pg_atomic_read_u64(&segment->rows_read) /
                                    (elapsed > 0 ? elapsed : 1),
                                eta)));
    else
        ereport(NOTICE, (errmsg("run %lld: %s, " UINT64_FORMAT " groups done (" UINT64_FORMAT
                                " failed, " UINT64_FORMAT " skipped)%s",
                                (long long)segment->run_id, phase_name(phase), groups_done(segment),
                                pg_atomic_read_u64(&segment->groups_failed),
                                pg_atomic_read_u64(&segment->groups_skipped), eta)));
}

namespace {

// [{"pid": 1, "activity": "fitting", ...}, ...]
Datum processes_json(RunSegment* segment) {
    StringInfoData json;
    uint32 n = pg_atomic_read_u32(&segment->n_slots);
    if (n > (uint32)kMaxSlots) n = kMaxSlots;
    initStringInfo(&json);
    appendStringInfoChar(&json, '[');
    for (uint32 i = 0; i < n; i++) {
        ProcessSlot* slot = &segment->slots[i];
        const uint32 activity = pg_atomic_read_u32(&slot->activity);
        appendStringInfo(&json,
                         "%s{\"pid\": %u, \"activity\": \"%s\", \"rows\": " UINT64_FORMAT
                         ", \"groups\": " UINT64_FORMAT ", \"bytes\": " UINT64_FORMAT,
                         i > 0 ? ", " : "", pg_atomic_read_u32(&slot->pid), activity_name(activity),
                         pg_atomic_read_u64(&slot->rows), pg_atomic_read_u64(&slot->groups),
                         pg_atomic_read_u64(&slot->bytes));
        if ((Activity)activity == Activity::reading || (Activity)activity == Activity::fitting)
            appendStringInfo(&json, ", \"bucket\": %u", pg_atomic_read_u32(&slot->bucket));
        appendStringInfoChar(&json, '}');
    }
    appendStringInfoChar(&json, ']');
    return DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data));
}

// Groups still to come, from those of the buckets done; negative: not known.
double groups_left(RunSegment* segment) {
    const uint32 claimed = pg_atomic_read_u32(&segment->next_bucket);
    const double done = (double)groups_done(segment);
    if (claimed >= (uint32)segment->n_buckets)
        return (Phase)pg_atomic_read_u32(&segment->phase) > Phase::fitting ? 0 : -1;
    if (claimed < 2) return -1;
    return done / (claimed - 1) * (segment->n_buckets - claimed + 1);
}

// One row of many_models.run_progress; false when the segment is no run of ours.
bool progress_row(dsm_handle handle, Tuplestorestate* store, TupleDesc descriptor) {
    dsm_segment* mapped = dsm_find_mapping(handle);
    dsm_segment* attached = nullptr;
    if (mapped == nullptr) mapped = attached = dsm_attach(handle);
    if (mapped == nullptr) return false;
    auto* segment = (RunSegment*)dsm_segment_address(mapped);
    const bool ours = dsm_segment_map_length(mapped) >= sizeof(RunSegment) &&
                      segment->magic == kSegmentMagic && segment->layout == sizeof(RunSegment) &&
                      segment->database == MyDatabaseId;
    if (ours && (has_privs_of_role(GetUserId(), segment->role) ||
                 has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS))) {
        Datum values[18];
        bool nulls[18] = {false};
        const double elapsed = seconds_since(segment->started_at);
        const double left = estimate_left(segment, elapsed);
        const uint64 rows = pg_atomic_read_u64(&segment->rows_read);
        const double groups = groups_left(segment);
        int i = 0;
        values[i++] = Int64GetDatum(segment->run_id);
        values[i++] = CStringGetTextDatum(segment->model_set);
        values[i++] = Int32GetDatum(segment->pid);
        values[i++] = CStringGetTextDatum(phase_name(pg_atomic_read_u32(&segment->phase)));
        values[i++] = TimestampTzGetDatum(segment->started_at);
        values[i++] = Int64GetDatum((int64)rows);
        values[i++] = Float8GetDatum(segment->estimated_rows);
        values[i++] = Float8GetDatum(elapsed > 0 ? (double)rows / elapsed : 0);
        values[i++] = Int64GetDatum((int64)pg_atomic_read_u64(&segment->groups_trained));
        values[i++] = Int64GetDatum((int64)pg_atomic_read_u64(&segment->groups_failed));
        values[i++] = Int64GetDatum((int64)pg_atomic_read_u64(&segment->groups_skipped));
        nulls[i] = groups < 0;
        values[i++] = Int64GetDatum((int64)(groups < 0 ? 0 : groups));
        values[i++] = Int32GetDatum((int32)pg_atomic_read_u32(&segment->next_bucket));
        values[i++] = Int32GetDatum(segment->n_buckets);
        values[i++] = Int64GetDatum((int64)pg_atomic_read_u64(&segment->peak_bytes));
        values[i++] = Int64GetDatum((int64)pg_atomic_read_u64(&segment->bytes_exchanged));
        nulls[i] = left < 0;
        values[i++] = Float8GetDatum(left);
        values[i++] = processes_json(segment);
        tuplestore_putvalues(store, descriptor, values, nulls);
    }
    if (attached != nullptr) dsm_detach(attached);
    return ours;
}

// The same of a scoring run: no groups, no buckets, and of its processes the session, through which
// every row passes.
void scoring_row(dsm_handle handle, Tuplestorestate* store, TupleDesc descriptor) {
    dsm_segment* attached = nullptr;
    pg::ScoringProgress* p = pg::attach_scoring_progress(handle, &attached);
    if (p == nullptr) return;
    if (has_privs_of_role(GetUserId(), p->role) ||
        has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS)) {
        Datum values[18] = {};
        bool nulls[18];
        const double elapsed = seconds_since(p->started_at);
        const auto rows = (double)pg_atomic_read_u64(&p->rows);
        const auto expected = (double)pg_atomic_read_u64(&p->rows_estimated);
        const uint32 phase = pg_atomic_read_u32(&p->phase);
        const double left = (pg::ScoringPhase)phase == pg::ScoringPhase::scoring
                                ? seconds_of_rows_left(rows, expected, elapsed)
                                : -1;
        const char* doing = pg::scoring_phase_name(phase);
        const auto set = [&](int i, Datum value) {
            values[i] = value;
            nulls[i] = false;
        };
        memset(nulls, true, sizeof nulls);
        set(0, Int64GetDatum(p->run_id));
        set(1, CStringGetTextDatum(p->model_set));
        set(2, Int32GetDatum(p->pid));
        set(3, CStringGetTextDatum(doing));
        set(4, TimestampTzGetDatum(p->started_at));
        set(5, Int64GetDatum((int64)rows));
        set(6, Float8GetDatum(expected));
        set(7, Float8GetDatum(elapsed > 0 ? rows / elapsed : 0));
        set(14, Int64GetDatum((int64)pg_atomic_read_u64(&p->model_bytes)));
        if (left >= 0) set(16, Float8GetDatum(left));
        const char* process = psprintf(
            "[{\"pid\": %d, \"activity\": \"%s\", \"rows\": %.0f, \"bytes\": " UINT64_FORMAT "}]",
            p->pid, doing, rows, pg_atomic_read_u64(&p->model_bytes));
        set(17, DirectFunctionCall1(jsonb_in, CStringGetDatum(process)));
        tuplestore_putvalues(store, descriptor, values, nulls);
    }
    if (attached != nullptr) dsm_detach(attached);
}

// Whether an advisory lock of ours marks the handle: only then is it looked at, whatever the caller
// passes.
bool is_marked(dsm_handle handle, uint16 sub) {
    LOCKTAG tag;
    int holders = 0;
    SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, kProgressLockClass, handle, sub);
    (void)GetLockConflicts(&tag, ShareLock, &holders);
    return holders > 0;
}

}  // namespace

}  // namespace many::engine

extern "C" {

PG_FUNCTION_INFO_V1(many_run_progress);

// handles: those of the advisory locks of this database that mark runs.
Datum many_run_progress(PG_FUNCTION_ARGS) {
    ArrayType* handles = PG_GETARG_ARRAYTYPE_P(0);
    InitMaterializedSRF(fcinfo, 0);
    auto* result = (ReturnSetInfo*)fcinfo->resultinfo;
    Datum* elements;
    bool* nulls;
    int n = 0;
    deconstruct_array(handles, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &elements, &nulls, &n);
    for (int i = 0; i < n; i++) {
        const int64 handle = nulls[i] ? 0 : DatumGetInt64(elements[i]);
        if (handle <= 0 || handle > PG_UINT32_MAX) continue;
        const auto known = (dsm_handle)handle;
        if (many::engine::is_marked(known, many::engine::kProgressLockSub))
            (void)many::engine::progress_row(known, result->setResult, result->setDesc);
        else if (many::engine::is_marked(known, many::pg::kScoringLockSub))
            many::engine::scoring_row(known, result->setResult, result->setDesc);
    }
    return (Datum)0;
}
}
