#include "pg/server.h"

#include "pg/settings.h"

#include "pg/worker_cpu.h"

int many_max_workers = 4;
int many_memory_budget_kb = 256 * 1024;
int many_progress_interval_ms = 5000;
int many_commit_interval_ms = 10000;
int many_model_cache_kb = 64 * 1024;
bool many_notify = false;
double many_notify_failed_fraction = 0.1;
int many_shared_cache_kb = 0;

namespace many::pg {

void define_settings() {
    DefineCustomIntVariable(
        "many_models.max_workers", "Most processes that work on one run.",
        "Counts the session's own process. A run may get fewer: they come out of "
        "max_parallel_workers.",
        &many_max_workers, 4, 1, 1024, PGC_USERSET, 0, nullptr, nullptr, nullptr);
    DefineCustomIntVariable(
        "many_models.memory_budget", "Memory that each process of a run may use.",
        "Beyond it, groups go to temporary files.", &many_memory_budget_kb, 256 * 1024, 1024,
        MAX_KILOBYTES, PGC_USERSET, GUC_UNIT_KB, nullptr, nullptr, nullptr);
    DefineCustomIntVariable("many_models.progress_interval",
                            "Time between progress messages of a run.", "0 means none.",
                            &many_progress_interval_ms, 5000, 0, 86400 * 1000, PGC_USERSET,
                            GUC_UNIT_MS, nullptr, nullptr, nullptr);
    DefineCustomIntVariable("many_models.commit_interval",
                            "Time between the commits of a background training.",
                            "What is committed need not be done again after a crash or a pause.",
                            &many_commit_interval_ms, 10000, 0, 86400 * 1000, PGC_USERSET,
                            GUC_UNIT_MS, nullptr, nullptr, nullptr);
    DefineCustomIntVariable("many_models.model_cache_size",
                            "Memory for models that predict() keeps in a session.", nullptr,
                            &many_model_cache_kb, 64 * 1024, 64, MAX_KILOBYTES, PGC_USERSET,
                            GUC_UNIT_KB, nullptr, nullptr, nullptr);
    DefineCustomBoolVariable("many_models.notify", "Sends events on the channel many_models.",
                             "Every role that may connect to the database can listen.",
                             &many_notify, false, PGC_USERSET, 0, nullptr, nullptr, nullptr);
    DefineCustomRealVariable("many_models.notify_failed_fraction",
                             "Part of a run's groups, or rows to score, above which failures are "
                             "an event of their own.",
                             nullptr, &many_notify_failed_fraction, 0.1, 0.0, 1.0, PGC_USERSET, 0,
                             nullptr, nullptr, nullptr);
    define_worker_cpu_setting();
    // Memory that is there from the start: the server refuses such a setting later.
    if (process_shared_preload_libraries_in_progress)
        DefineCustomIntVariable("many_models.shared_cache_size",
                                "Memory for models that predict() keeps for all sessions.",
                                "0 means none.", &many_shared_cache_kb, 64 * 1024, 0, MAX_KILOBYTES,
                                PGC_POSTMASTER, GUC_UNIT_KB, nullptr, nullptr, nullptr);
    MarkGUCPrefixReserved("many_models");
}

void set_local(const char* name, const char* value) {
    (void)set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
                            false);
}

}  // namespace many::pg
