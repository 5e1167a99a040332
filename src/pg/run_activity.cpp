#include "pg/run_activity.h"

extern "C" {
#include "storage/dsm.h"
#include "storage/lock.h"
#include "tcop/tcopprot.h"
#include "utils/backend_status.h"
}

namespace many::pg {

namespace {

constexpr uint32 kMagic = 0x4d4d5350;  // "MMSP"

dsm_segment* held = nullptr;

void lock_tag(LOCKTAG* tag, dsm_handle handle) {
    SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, kRunLockClass, handle, kScoringLockSub);
}

}  // namespace

void show_activity(int64 run_id, const char* model_set, const char* what) {
    char text[2048];
    pg_snprintf(text, sizeof text, "/* many_models run " INT64_FORMAT " of %s: %s */ %s", run_id,
                model_set, what, debug_query_string != nullptr ? debug_query_string : "");
    pgstat_report_activity(STATE_RUNNING, text);
}

void end_activity() {
    if (debug_query_string != nullptr) pgstat_report_activity(STATE_RUNNING, debug_query_string);
}

const char* activity_comment(int64 run_id, const char* model_set, const char* what) {
    char* name = pstrdup(model_set);
    for (char* c = name; *c != '\0'; c++)
        if (*c == '*') *c = '?';  // neither ends the comment nor begins another
    return psprintf("/* many_models run " INT64_FORMAT " of %s: %s */ ", run_id, name, what);
}

dsm_segment* create_scoring_progress(int64 run_id, const char* model_set) {
    dsm_segment* segment = dsm_create(sizeof(ScoringProgress), DSM_CREATE_NULL_IF_MAXSEGMENTS);
    if (segment == nullptr) return nullptr;
    ScoringProgress* progress = scoring_progress(segment);
    memset((void*)progress, 0, sizeof *progress);
    progress->layout = sizeof *progress;
    progress->database = MyDatabaseId;
    progress->role = GetUserId();
    progress->pid = MyProcPid;
    progress->run_id = run_id;
    strlcpy(progress->model_set, model_set, sizeof progress->model_set);
    progress->started_at = GetCurrentTimestamp();
    pg_atomic_init_u32(&progress->phase, (uint32)ScoringPhase::starting);
    pg_atomic_init_u32(&progress->wish, 0);
    pg_atomic_init_u64(&progress->rows_estimated, 0);
    pg_atomic_init_u64(&progress->rows, 0);
    pg_atomic_init_u64(&progress->model_bytes, 0);
    pg_write_barrier();
    progress->magic = kMagic;
    return segment;
}

ScoringProgress* scoring_progress(dsm_segment* segment) {
    return static_cast<ScoringProgress*>(dsm_segment_address(segment));
}

ScoringProgress* attach_scoring_progress(dsm_handle handle, dsm_segment** attached) {
    dsm_segment* segment = dsm_find_mapping(handle);
    *attached = nullptr;
    if (segment == nullptr) segment = *attached = dsm_attach(handle);
    if (segment == nullptr) return nullptr;
    ScoringProgress* progress = scoring_progress(segment);
    if (dsm_segment_map_length(segment) >= sizeof *progress && progress->magic == kMagic &&
        progress->layout == sizeof *progress && progress->database == MyDatabaseId)
        return progress;
    if (*attached != nullptr) dsm_detach(*attached);
    *attached = nullptr;
    return nullptr;
}

void hold_scoring_progress(dsm_segment* segment) {
    held = segment;
}

dsm_segment* held_scoring_progress() {
    return held;
}

void publish_scoring(dsm_segment* segment) {
    LOCKTAG tag;
    lock_tag(&tag, dsm_segment_handle(segment));
    (void)LockAcquire(&tag, ExclusiveLock, false, false);
}

void retract_scoring(dsm_segment* segment) {
    LOCKTAG tag;
    lock_tag(&tag, dsm_segment_handle(segment));
    (void)LockRelease(&tag, ExclusiveLock, false);
}

void set_scoring_phase(ScoringProgress* progress, ScoringPhase phase) {
    pg_atomic_write_u32(&progress->phase, (uint32)phase);
    show_activity(progress->run_id, progress->model_set, scoring_phase_name((uint32)phase));
}

const char* scoring_phase_name(uint32 phase) {
    switch ((ScoringPhase)phase) {
        case ScoringPhase::starting:
            return "starting";
        case ScoringPhase::scoring:
            return "scoring";
        case ScoringPhase::collecting:
            break;
    }
    return "collecting";
}

}  // namespace many::pg
