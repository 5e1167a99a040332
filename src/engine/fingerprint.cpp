#include "pg/server.h"

#include "engine/fingerprint.h"

#include "engine/base_rows.h"

extern "C" {
#include "port/pg_bswap.h"
}

namespace many::engine {

namespace {

constexpr const char* kKnownRows =
    "SELECT x.partition_key, x.fingerprint, x.ctid, false FROM many_models.model_store AS x "
    "WHERE x.storage OPERATOR(pg_catalog.=) $2 AND x.run_id OPERATOR(pg_catalog.=) $1 "
    "AND x.fingerprint IS NOT NULL UNION ALL "
    "SELECT x.partition_key, x.fingerprint, x.ctid, true FROM many_models.failure_store AS x "
    "WHERE x.storage OPERATOR(pg_catalog.=) $2 AND x.run_id OPERATOR(pg_catalog.=) $1 "
    "AND x.fingerprint IS NOT NULL";

// What is of another length is of no use: the group is trained.
bool fingerprint_read(const struct varlena* value, Fingerprint* fingerprint) {
    uint64 numbers[3];
    if (VARSIZE_ANY_EXHDR(value) != kFingerprintBytes) return false;
    memcpy(numbers, VARDATA_ANY(value), sizeof numbers);
    fingerprint->n_rows = (int64)pg_ntoh64(numbers[0]);
    fingerprint->last_time = (int64)pg_ntoh64(numbers[1]);
    fingerprint->checksum = pg_ntoh64(numbers[2]);
    return true;
}

void write_known_row(void* /*argument*/, BaseRows* rows, HeapTuple row, TupleDesc columns) {
    KnownGroup known = {};
    bool is_null = false;
    const Datum key = SPI_getbinval(row, columns, 1, &is_null);
    const Datum fingerprint = SPI_getbinval(row, columns, 2, &is_null);
    const Datum place = SPI_getbinval(row, columns, 3, &is_null);
    const bool is_failure = DatumGetBool(SPI_getbinval(row, columns, 4, &is_null));
    if (!fingerprint_read(PG_DETOAST_DATUM_PACKED(fingerprint), &known.then)) return;
    known.place = place_of((ItemPointer)DatumGetPointer(place), is_failure);
    const uint64 hash = base_rows_key(rows, DatumGetJsonbP(key));
    write_known(&rows->writer, hash, rows->codec.image, rows->codec.length, &known);
}

}  // namespace

void fingerprint_write(const Fingerprint* fingerprint, char* to) {
    const uint64 numbers[3] = {pg_hton64((uint64)fingerprint->n_rows),
                               pg_hton64((uint64)fingerprint->last_time),
                               pg_hton64(fingerprint->checksum)};
    static_assert(sizeof numbers == kFingerprintBytes);
    memcpy(to, numbers, sizeof numbers);
}

uint64 place_of(const ItemPointerData* row, bool is_failure) {
    return (uint64)ItemPointerGetBlockNumberNoCheck(row) << 17 |
           (uint64)ItemPointerGetOffsetNumberNoCheck(row) << 1 | (is_failure ? 1 : 0);
}

ItemPointerData row_at(uint64 place) {
    ItemPointerData row;
    ItemPointerSet(&row, (BlockNumber)(place >> 17), (OffsetNumber)(place >> 1 & PG_UINT16_MAX));
    return row;
}

Datum rows_at(const uint64* places, Size n, bool is_failure) {
    auto* rows = (ItemPointerData*)MemoryContextAllocHuge(CurrentMemoryContext,
                                                          sizeof(ItemPointerData) * (n + 1));
    auto* elements = (Datum*)MemoryContextAllocHuge(CurrentMemoryContext, sizeof(Datum) * (n + 1));
    int n_rows = 0;
    for (Size i = 0; i < n; i++) {
        if (is_failure_place(places[i]) != is_failure) continue;
        rows[n_rows] = row_at(places[i]);
        elements[n_rows] = PointerGetDatum(&rows[n_rows]);
        n_rows++;
    }
    return PointerGetDatum(
        construct_array(elements, n_rows, TIDOID, sizeof(ItemPointerData), false, TYPALIGN_SHORT));
}

int64 count_known_groups(const Retraining* r) {
    Oid types[2] = {INT8OID, INT8OID};
    Datum values[2] = {Int64GetDatum(r->base->run_id), Int64GetDatum(r->base->storage)};
    registry::RegistryRights rights;
    bool is_null = false;
    registry::enter_registry(&rights);
    const int code =
        SPI_execute_with_args(psprintf("SELECT pg_catalog.count(*) FROM (%s) AS k", kKnownRows), 2,
                              types, values, nullptr, true, 1);
    registry::leave_registry(&rights);
    if (code != SPI_OK_SELECT || SPI_processed != 1)
        elog(ERROR, "could not read the registry: %d", code);
    return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null));
}

void merge_known_groups(const Retraining* r) {
    base_rows_write(r, kKnownRows, write_known_row, nullptr);
}

}  // namespace many::engine
