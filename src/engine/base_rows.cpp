#include "pg/server.h"

#include "engine/base_rows.h"

namespace many::engine {

namespace {

constexpr int kRowsPerFetch = 1000;

BaseRows* begin(const Retraining* r) {
    const TrainPlan* plan = r->run.plan;
    RunSegment* segment = r->run.segment;
    auto* rows = (BaseRows*)palloc0(sizeof(BaseRows));
    rows->spec = plan->spec;
    key_codec_init(&rows->codec, plan->spec);
    rows->columns = key_columns(plan);
    segment->adds_stored = true;
    chunk_writer_init(&rows->writer, segment,
                      (int)pg_atomic_fetch_add_u32(&segment->n_processes, 1), CurrentMemoryContext);
    return rows;
}

}  // namespace

uint64 base_rows_key(BaseRows* rows, Jsonb* partition_key) {
    Datum values[kMaxKeys];
    bool nulls[kMaxKeys];
    NullableDatum image[kMaxKeys];
    const int n = rows->spec->n_keys;
    registry::key_from_jsonb(rows->columns, n, partition_key, values, nulls);
    for (int i = 0; i < n; i++) image[i] = {values[i], nulls[i]};
    return key_encode(&rows->codec, image);
}

void base_rows_write(const Retraining* r, const char* query, WriteBaseRow write, void* argument) {
    Oid types[2] = {INT8OID, INT8OID};
    Datum values[2] = {Int64GetDatum(r->base->run_id), Int64GetDatum(r->base->storage)};
    registry::RegistryRights rights;
    BaseRows* rows = begin(r);
    MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext, "many_models base rows",
                                                      ALLOCSET_DEFAULT_SIZES);
    const int guc_level = NewGUCNestLevel();
    set_text_formats();
    // Rights are checked when the cursor opens; what reads the keys then runs as the caller.
    registry::enter_registry(&rights);
    Portal portal = SPI_cursor_open_with_args(nullptr, query, 2, types, values, nullptr, true, 0);
    registry::leave_registry(&rights);
    for (;;) {
        SPI_cursor_fetch(portal, true, kRowsPerFetch);
        SPITupleTable* fetched = SPI_tuptable;
        const uint64 n = SPI_processed;
        for (uint64 i = 0; i < n; i++) {
            CHECK_FOR_INTERRUPTS();
            MemoryContext old = MemoryContextSwitchTo(row_context);
            write(argument, rows, fetched->vals[i], fetched->tupdesc);
            MemoryContextSwitchTo(old);
            MemoryContextReset(row_context);
        }
        SPI_freetuptable(fetched);
        if (n == 0) break;
    }
    SPI_cursor_close(portal);
    AtEOXact_GUC(true, guc_level);
    chunk_writer_finish(&rows->writer);
    MemoryContextDelete(row_context);
}

}  // namespace many::engine
