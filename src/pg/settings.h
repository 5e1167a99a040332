// The extension's settings (GUCs), read as plain variables.
#pragma once

// Not exported, although extension/exports.map has their pattern.
#pragma GCC visibility push(hidden)

extern int many_max_workers;           // processes of one run, the session's own included
extern int many_memory_budget_kb;      // per process of a run
extern int many_progress_interval_ms;  // between progress NOTICEs; 0: none
extern int many_commit_interval_ms;    // of a background training
extern int many_model_cache_kb;        // of predict(), per session
extern bool many_notify;               // events on the channel many_models
extern double many_notify_failed_fraction;
extern int many_shared_cache_kb;  // of predict(), of all sessions; 0: none

#pragma GCC visibility pop

namespace many::pg {

void define_settings();

// Sets any setting as SET LOCAL does, and only within the level that NewGUCNestLevel opened.
void set_local(const char* name, const char* value);

inline unsigned long memory_budget_bytes() {
    return static_cast<unsigned long>(many_memory_budget_kb) * 1024UL;
}

}  // namespace many::pg
