#include "pg/read_query.h"

#include "pg/settings.h"
#include "pg/source.h"
#include "pg/worker_cpu.h"

extern "C" {
#include "nodes/plannodes.h"
#include "tcop/dest.h"
#include "utils/plancache.h"
}

namespace many::pg {

namespace {

struct RowReceiver {
    DestReceiver dest;  // first: the executor sees only this
    RowFunction function;
    void* argument;
    MemoryContext context;
    int64 rows;
};

bool receive_row(TupleTableSlot* slot, DestReceiver* self) {
    auto* receiver = reinterpret_cast<RowReceiver*>(self);
    const MemoryContext old = MemoryContextSwitchTo(receiver->context);
    slot_getallattrs(slot);
    receiver->function(slot, receiver->argument);
    ++receiver->rows;
    MemoryContextSwitchTo(old);
    MemoryContextReset(receiver->context);
    return true;
}

void receiver_startup(DestReceiver*, int, TupleDesc) {}
void receiver_shutdown(DestReceiver*) {}
void receiver_destroy(DestReceiver*) {}

}  // namespace

int planned_processes(SPIPlanPtr plan) {
    CachedPlan* cached = SPI_plan_get_cached_plan(plan);
    if (cached == nullptr) return 1;
    int processes = 1;
    for (Plan* node = linitial_node(PlannedStmt, cached->stmt_list)->planTree; node != nullptr;
         node = IsA(node, SubqueryScan) ? reinterpret_cast<SubqueryScan*>(node)->subplan
                                        : node->lefttree) {
        if (IsA(node, Gather))
            processes += reinterpret_cast<Gather*>(node)->num_workers;
        else if (IsA(node, GatherMerge))
            processes += reinterpret_cast<GatherMerge*>(node)->num_workers;
        else
            continue;
        break;
    }
    ReleaseCachedPlan(cached, nullptr);  // plans that are not saved have no owner
    return processes;
}

ReadQuery run_read_query(const char* query, int workers, RowFunction function, void* argument) {
    ReadQuery result = {};
    RowReceiver receiver = {};
    receiver.dest.receiveSlot = receive_row;
    receiver.dest.rStartup = receiver_startup;
    receiver.dest.rShutdown = receiver_shutdown;
    receiver.dest.rDestroy = receiver_destroy;
    receiver.dest.mydest = DestTuplestore;
    receiver.function = function;
    receiver.argument = argument;
    receiver.context =
        AllocSetContextCreate(CurrentMemoryContext, "many_models row", ALLOCSET_DEFAULT_SIZES);
    SPIExecuteOptions options = {};
    options.read_only = true;
    options.dest = &receiver.dest;
    WorkerCpu worker_cpu = {};
    SourceGuard guard;
    enter_source(&guard);
    PG_TRY();
    {
        set_local("max_parallel_workers_per_gather", psprintf("%d", workers - 1));
        if (many_memory_budget_kb > work_mem)
            set_local("work_mem", psprintf("%d", many_memory_budget_kb));
        worker_cpu = count_worker_cpu();
        SPIPlanPtr plan = SPI_prepare_cursor(query, 0, nullptr, CURSOR_OPT_PARALLEL_OK);
        if (plan == nullptr) elog(ERROR, "could not plan the query: %d", SPI_result);
        result.processes = planned_processes(plan);
        const int code = SPI_execute_plan_extended(plan, &options);
        if (code < 0) elog(ERROR, "the query failed: %s", SPI_result_code_string(code));
        SPI_freeplan(plan);
    }
    PG_CATCH();
    {
        XactReadOnly = guard.was_read_only;
        PG_RE_THROW();
    }
    PG_END_TRY();
    leave_source(&guard);
    result.worker_cpu_us = worker_cpu_counted(&worker_cpu);
    result.rows = receiver.rows;
    MemoryContextDelete(receiver.context);
    return result;
}

}  // namespace many::pg
