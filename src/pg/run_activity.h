// What other sessions see of a run: its statement in pg_stat_activity, and of a scoring run the row in
// run_progress (that of a training is engine/progress.h).
//
// A scoring run's counters are in a small piece of shared memory, found as a training's segment is:
// the session holds an advisory lock whose tag carries the handle, with a sub-id that no SQL function
// uses, so that an ended or crashed run vanishes by itself.
#pragma once

#include "pg/server.h"

namespace many::pg {

// In front of the session's own statement.
void show_activity(int64 run_id, const char* model_set, const char* what);
// Gives the session its statement back.
void end_activity();
// The same as a comment before a query, so that its parallel workers show it too.
const char* activity_comment(int64 run_id, const char* model_set, const char* what);

constexpr uint32 kRunLockClass = 0x4d4d5031;  // "MMP1"
constexpr uint16 kScoringLockSub = 0x4d4e;

enum class ScoringPhase : uint32 { starting, scoring, collecting };

struct ScoringProgress {
    uint32 magic;
    uint32 layout;  // sizeof: guards against a library replaced during a run
    Oid database;
    Oid role;
    int pid;
    int64 run_id;
    char model_set[NAMEDATALEN * 2];
    TimestampTz started_at;
    pg_atomic_uint32 phase;
    pg_atomic_uint32 wish;  // of other sessions, for a background run: see engine/background.h
    pg_atomic_uint64 rows_estimated;
    pg_atomic_uint64 rows;
    pg_atomic_uint64 model_bytes;  // of the models that each process holds
};

// nullptr: the server has no room for it, and the run goes on unseen. The mapping ends with the
// resource owner, unless it is pinned.
dsm_segment* create_scoring_progress(int64 run_id, const char* model_set);
ScoringProgress* scoring_progress(dsm_segment* segment);
// Of another session: nullptr when the memory is none of a scoring run. `attached` is to be detached.
ScoringProgress* attach_scoring_progress(dsm_handle handle, dsm_segment** attached);

// For the scoring run that follows in this process, which then makes none of its own: that of a
// background run, whose handle others know before it begins. nullptr: none any more.
void hold_scoring_progress(dsm_segment* segment);
dsm_segment* held_scoring_progress();

// Until the end of the transaction.
void publish_scoring(dsm_segment* segment);
void retract_scoring(dsm_segment* segment);

void set_scoring_phase(ScoringProgress* progress, ScoringPhase phase);
const char* scoring_phase_name(uint32 phase);

}  // namespace many::pg
