#include "pg/server.h"

#include "engine/update.h"

#include <math.h>

#include "engine/collect.h"
#include "engine/fingerprint.h"

extern "C" {
#include "access/relation.h"
#include "access/tableam.h"
}

namespace many::engine {

struct Updates {
    RunSegment* segment;
    Relation relation;  // the partition of model_store that has the base's models
    AttrNumber run_id;
    AttrNumber model;
    AttrNumber comparison;
    AttrNumber compared_with;
    TupleTableSlot* slot;
    Snapshot snapshot;
    MemoryContext scratch;  // of the model at hand
};

namespace {

// Whether the rows of then are there as they were. A row without a time is one of them, or changes them.
bool history_is_unchanged(const GroupTable* table, const Group* group) {
    const Fingerprint* then = &group->known->then;
    Fingerprint now = {group->info.n_null + group->info.n_bad, PG_INT64_MIN, group->info.checksum};
    for (uint32 i = 0; i < group->n_train; i++) {
        const double* row = group->train + (Size)i * (Size)table->stride;
        int64 time;
        memcpy(&time, &row[table->time_at], sizeof time);
        if (time > then->last_time) continue;
        now.n_rows++;
        now.checksum += row_checksum(table, row);
    }
    return now.n_rows == then->n_rows && now.checksum == then->checksum &&
           group->last_time > then->last_time;
}

// Leaves the row in the slot.
bool fetch_row(Updates* updates, const KnownGroup* known) {
    bool is_null;
    ItemPointerData tid = row_at(known->place);
    if (!table_tuple_fetch_row_version(updates->relation, &tid, updates->snapshot, updates->slot))
        return false;
    return DatumGetInt64(slot_getattr(updates->slot, updates->run_id, &is_null)) ==
           updates->segment->updates_run;
}

// What the holdout was worth to others stays true of the fit that the model is from, as in models that
// are carried forward.
void carry_comparison(const Updates* updates, GroupOutcome* outcome) {
    bool is_null;
    bool alone;
    Datum* elements;
    bool* nulls;
    int n = 0;
    const Datum value = slot_getattr(updates->slot, updates->comparison, &is_null);
    const Datum other = slot_getattr(updates->slot, updates->compared_with, &alone);
    if (is_null) return;
    deconstruct_array(DatumGetArrayTypeP(value), FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL,
                      TYPALIGN_DOUBLE, &elements, &nulls, &n);
    const bool with_rival = core::has_rival_numbers(n);
    if (n > core::kComparisonNumbers || (with_rival && alone)) return;
    outcome->n_numbers = n;
    outcome->compared_with = with_rival ? DatumGetInt64(other) : 0;
    for (int i = 0; i < n; i++)
        outcome->numbers[i] = nulls[i] ? (double)NAN : DatumGetFloat8(elements[i]);
}

}  // namespace

void offer_updates(const Retraining* r) {
    RunSegment* segment = r->run.segment;
    if (!r->run.plan->spec->updates) return;
    const char* name = r->base->storage == 0 ? "model_store_shared"
                                             : own_partition("model_store", r->base->storage);
    segment->updates_from = get_relname_relid(name, get_namespace_oid("many_models", false));
    segment->updates_run = r->base->run_id;
    if (!OidIsValid(segment->updates_from))
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
                        errmsg("the registry table many_models.%s is missing", name)));
}

Updates* open_updates(RunSegment* segment, MemoryContext context) {
    if (!OidIsValid(segment->updates_from)) return nullptr;
    MemoryContext old = MemoryContextSwitchTo(context);
    auto* updates = (Updates*)palloc0(sizeof(Updates));
    updates->segment = segment;
    updates->relation = table_open(segment->updates_from, AccessShareLock);
    updates->run_id = get_attnum(segment->updates_from, "run_id");
    updates->model = get_attnum(segment->updates_from, "model");
    updates->comparison = get_attnum(segment->updates_from, "comparison");
    updates->compared_with = get_attnum(segment->updates_from, "compared_with");
    updates->slot = table_slot_create(updates->relation, nullptr);
    updates->snapshot = GetActiveSnapshot();
    updates->scratch =
        AllocSetContextCreate(context, "many_models stored model", ALLOCSET_DEFAULT_SIZES);
    MemoryContextSwitchTo(old);
    return updates;
}

void close_updates(Updates* updates) {
    if (updates == nullptr) return;
    ExecDropSingleTupleTableSlot(updates->slot);
    table_close(updates->relation, NoLock);
}

bool update_group(Updates* updates, FitSession* session, const GroupTable* table,
                  const Group* group, GroupFitInput input, GroupOutcome* outcome) {
    if (updates == nullptr || group->known == nullptr || is_failure_place(group->known->place))
        return false;
    if (!history_is_unchanged(table, group) || !fetch_row(updates, group->known)) return false;
    bool is_null;
    MemoryContext old = MemoryContextSwitchTo(updates->scratch);
    const struct varlena* model =
        PG_DETOAST_DATUM_PACKED(slot_getattr(updates->slot, updates->model, &is_null));
    const bool moved =
        session_update_rows(session, VARDATA_ANY(model), VARSIZE_ANY_EXHDR(model), group->train,
                            group->n_train, (Size)table->stride, input, outcome);
    if (moved) {
        carry_comparison(updates, outcome);
        pg_atomic_fetch_add_u64(&updates->segment->groups_updated, 1);
    }
    MemoryContextSwitchTo(old);
    MemoryContextReset(updates->scratch);
    ExecClearTuple(updates->slot);
    return moved;
}

}  // namespace many::engine
