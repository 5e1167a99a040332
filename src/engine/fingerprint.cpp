// Fingerprints of groups: row count, last time, and a sum of row hashes that does not depend on the
// order of the rows. Taken before the rows are read for training: rows that other transactions
// commit in between make the next refresh train the group once more, never miss it.
#include "pg/server.h"

#include "engine/refresh.h"

#include "registry/key_text.h"

extern "C" {
#include "catalog/indexing.h"
#include "executor/tstoreReceiver.h"
#include "utils/tuplestore.h"
}

namespace many::engine {

namespace {

char* fingerprint_query(const TrainPlan* plan) {
    const TrainArguments* a = &plan->arguments;
    StringInfoData query;
    initStringInfo(&query);
    appendStringInfoString(&query, "SELECT ");
    for (int i = 0; i < a->n_keys; i++)
        appendStringInfo(&query, "s.%s, ", quote_identifier(a->partition_by[i]));
    if (a->time_column != nullptr)
        appendStringInfo(&query, "pg_catalog.max(s.%s)::pg_catalog.text",
                         quote_identifier(a->time_column));
    else
        appendStringInfoString(&query, "NULL::pg_catalog.text");
    appendStringInfo(&query,
                     ", pg_catalog.count(*), pg_catalog.sum(pg_catalog.hash_record_extended(ROW("
                     "s.%s",
                     quote_identifier(a->target));
    for (int i = 0; i < plan->n_features; i++)
        appendStringInfo(&query, ", s.%s", quote_identifier(plan->features[i]));
    if (a->time_column != nullptr)
        appendStringInfo(&query, ", s.%s", quote_identifier(a->time_column));
    appendStringInfo(&query, "), 0)) FROM %s AS s", plan->source->from_clause);
    for (int i = 0; i < a->n_keys; i++)
        appendStringInfo(&query, "%s s.%s", i == 0 ? " GROUP BY" : ",",
                         quote_identifier(a->partition_by[i]));
    return query.data;
}

// In parallel, as the caller.
Tuplestorestate* run_query(const char* text, int workers, TupleDesc* columns) {
    Tuplestorestate* rows = tuplestore_begin_heap(false, false, work_mem);
    const MemoryContext caller = CurrentMemoryContext;
    SPIExecuteOptions options = {};
    options.read_only = true;
    options.dest = CreateDestReceiver(DestTuplestore);
    SetTuplestoreDestReceiverParams(options.dest, rows, caller, true, nullptr, nullptr);
    pg::SourceGuard guard;
    pg::enter_source(&guard);
    PG_TRY();
    {
        char value[16];
        pg_snprintf(value, sizeof value, "%d", workers - 1);
        (void)set_config_option("max_parallel_workers_per_gather", value, PGC_USERSET,
                                PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
        // Times become text in one way, whatever the session's settings.
        (void)set_config_option("DateStyle", "ISO, YMD", PGC_USERSET, PGC_S_SESSION,
                                GUC_ACTION_SAVE, true, 0, false);
        (void)set_config_option("TimeZone", "UTC", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
                                true, 0, false);
        SPIPlanPtr plan = SPI_prepare_cursor(text, 0, nullptr, CURSOR_OPT_PARALLEL_OK);
        if (plan == nullptr) elog(ERROR, "could not plan the fingerprints: %d", SPI_result);
        auto* cached = static_cast<CachedPlanSource*>(linitial(SPI_plan_get_plan_sources(plan)));
        *columns = CreateTupleDescCopy(cached->resultDesc);
        const int code = SPI_execute_plan_extended(plan, &options);
        if (code != SPI_OK_SELECT) elog(ERROR, "the fingerprints failed: %d", code);
        SPI_freeplan(plan);
    }
    PG_CATCH();
    {
        XactReadOnly = guard.was_read_only;
        PG_RE_THROW();
    }
    PG_END_TRY();
    pg::leave_source(&guard);
    return rows;
}

}  // namespace

void store_fingerprints(Retraining* r) {
    const TrainPlan* plan = r->run.plan;
    const int n_keys = plan->spec->n_keys;
    TupleDesc columns;
    Tuplestorestate* rows = run_query(fingerprint_query(plan), r->workers, &columns);
    auto* keys = (registry::KeyColumn*)palloc0(sizeof(registry::KeyColumn) * (Size)(n_keys + 1));
    for (int i = 0; i < n_keys; i++)
        registry::key_column_init(&keys[i], plan->arguments.partition_by[i], plan->key_types[i],
                                  plan->spec->keys()[i].collation);
    MemoryContext row_context = AllocSetContextCreate(
        CurrentMemoryContext, "many_models fingerprint", ALLOCSET_DEFAULT_SIZES);
    TupleTableSlot* slot = MakeSingleTupleTableSlot(columns, &TTSOpsMinimalTuple);
    Relation store =
        table_open(get_relname_relid("fingerprint_store", get_namespace_oid("many_models", false)),
                   RowExclusiveLock);
    CatalogIndexState indexes = CatalogOpenIndexes(store);
    while (tuplestore_gettupleslot(rows, true, false, slot)) {
        Datum values[5];
        bool nulls[5] = {false};
        CHECK_FOR_INTERRUPTS();
        MemoryContext old = MemoryContextSwitchTo(row_context);
        slot_getallattrs(slot);
        values[0] = Int64GetDatum(r->run_id);
        values[1] = JsonbPGetDatum(
            registry::key_to_jsonb(keys, n_keys, slot->tts_values, slot->tts_isnull));
        values[2] = slot->tts_values[n_keys + 1];
        values[3] = slot->tts_values[n_keys];
        nulls[3] = slot->tts_isnull[n_keys];
        values[4] = slot->tts_values[n_keys + 2];
        CatalogTupleInsertWithInfo(store, heap_form_tuple(RelationGetDescr(store), values, nulls),
                                   indexes);
        MemoryContextSwitchTo(old);
        MemoryContextReset(row_context);
    }
    CatalogCloseIndexes(indexes);
    table_close(store, NoLock);
    ExecDropSingleTupleTableSlot(slot);
    tuplestore_end(rows);
    MemoryContextDelete(row_context);
    CommandCounterIncrement();
}

}  // namespace many::engine
