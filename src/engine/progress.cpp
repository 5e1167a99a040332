#include "pg/server.h"

#include "engine/progress.h"

#include "pg/settings.h"

extern "C" {
#include "tcop/tcopprot.h"
#include "utils/backend_status.h"
}

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

// Seconds left in the phase, from what is done of it; negative: not known.
double estimate_left(RunSegment* segment, double elapsed) {
    const uint32 phase = pg_atomic_read_u32(&segment->phase);
    if ((Phase)phase == Phase::scanning && segment->estimated_rows > 0) {
        const double done = (double)pg_atomic_read_u64(&segment->rows_read);
        if (done > 0 && segment->estimated_rows > done)
            return elapsed * (segment->estimated_rows - done) / done;
    } else if ((Phase)phase == Phase::fitting) {
        const double buckets = pg_atomic_read_u32(&segment->next_bucket);
        if (buckets > 0 && buckets < segment->n_buckets)
            return elapsed * (segment->n_buckets - buckets) / (buckets + segment->n_buckets);
    }
    return -1;
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

// In front of the session's own statement.
void show_activity(const RunSegment* segment, const char* what) {
    char text[2048];
    pg_snprintf(text, sizeof text, "/* many_models run %lld of %s: %s */ %s",
                (long long)segment->run_id, segment->model_set, what,
                debug_query_string != nullptr ? debug_query_string : "");
    pgstat_report_activity(STATE_RUNNING, text);
}

// Where processes beyond kMaxSlots write to.
ProcessSlot unseen_slot;

}  // namespace

void set_phase(RunSegment* segment, Phase phase) {
    pg_atomic_write_u32(&segment->phase, (uint32)phase);
    if (segment->pid == MyProcPid) show_activity(segment, phase_name((uint32)phase));
}

void end_activity(RunSegment* segment) {
    if (segment->pid == MyProcPid && debug_query_string != nullptr)
        pgstat_report_activity(STATE_RUNNING, debug_query_string);
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
        // Only what an advisory lock of ours marks is looked at, whatever the caller passes.
        LOCKTAG tag;
        SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, many::engine::kProgressLockClass, (uint32)handle,
                             many::engine::kProgressLockSub);
        int holders = 0;
        (void)GetLockConflicts(&tag, ShareLock, &holders);
        if (holders == 0) continue;
        (void)many::engine::progress_row((dsm_handle)handle, result->setResult, result->setDesc);
    }
    return (Datum)0;
}
}
