#include "pg/worker_cpu.h"

#include "pg/resources.h"

namespace many::pg {

namespace {

constexpr uint32 kMagic = 0x4d4d5743;  // "MMWC"
constexpr const char* kSetting = "many_models.worker_counter";

struct Counter {
    uint32 magic;
    uint32 secret;
    pg_atomic_uint64 cpu_us;
};

char* counter_name = nullptr;  // the setting: "<handle>:<secret>"
bool joined = false;

// At the end of a worker, while the segment is still mapped.
void add_own_cpu(dsm_segment* segment, Datum) {
    auto* counter = static_cast<Counter*>(dsm_segment_address(segment));
    pg_atomic_fetch_add_u64(&counter->cpu_us, resources_now().cpu_us);
}

}  // namespace

WorkerCpu count_worker_cpu() {
    WorkerCpu result = {dsm_create(sizeof(Counter), DSM_CREATE_NULL_IF_MAXSEGMENTS)};
    if (result.segment == nullptr) return result;
    auto* counter = static_cast<Counter*>(dsm_segment_address(result.segment));
    if (!pg_strong_random(&counter->secret, sizeof counter->secret))
        ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not get random bytes")));
    pg_atomic_init_u64(&counter->cpu_us, 0);
    counter->magic = kMagic;
    (void)set_config_option(kSetting,
                            psprintf("%u:%u", dsm_segment_handle(result.segment), counter->secret),
                            PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
    return result;
}

int64 worker_cpu_counted(WorkerCpu* counter) {
    if (counter->segment == nullptr) return 0;
    auto* shared = static_cast<Counter*>(dsm_segment_address(counter->segment));
    const int64 cpu_us = static_cast<int64>(pg_atomic_read_u64(&shared->cpu_us));
    dsm_detach(counter->segment);
    counter->segment = nullptr;
    return cpu_us;
}

void join_worker_cpu() {
    unsigned handle = 0;
    unsigned secret = 0;
    if (joined || !IsParallelWorker() || counter_name == nullptr ||
        sscanf(counter_name, "%u:%u", &handle, &secret) != 2 || handle == 0)
        return;
    joined = true;
    dsm_segment* segment = dsm_attach(handle);
    if (segment == nullptr) return;
    const auto* counter = static_cast<Counter*>(dsm_segment_address(segment));
    if (dsm_segment_map_length(segment) < sizeof(Counter) || counter->magic != kMagic ||
        counter->secret != secret) {
        dsm_detach(segment);
        return;
    }
    dsm_pin_mapping(segment);
    on_dsm_detach(segment, add_own_cpu, Datum(0));
}

void define_worker_cpu_setting() {
    DefineCustomStringVariable(kSetting, "Where the parallel workers of a run count CPU time.",
                               "Set by runs.", &counter_name, "", PGC_SUSET,
                               GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE | GUC_DISALLOW_IN_FILE, nullptr,
                               nullptr, nullptr);
}

}  // namespace many::pg
