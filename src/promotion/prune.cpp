// prune_promotions: the models of states that nobody will go back to. What is in force, and the last
// states before it, stay; of older promotions only their row stays, as history.
#include "pg/arguments.h"
#include "promotion/repository.h"

extern "C" {
#include "storage/lmgr.h"
}

namespace many::promotion {

namespace {

SPITupleTable* run_on_set(const char* query, const char* model_set, int keep, int expected,
                          uint64* n) {
    Oid types[2] = {TEXTOID, INT4OID};
    Datum values[2] = {CStringGetTextDatum(model_set), Int32GetDatum(keep)};
    const int code = SPI_execute_with_args(query, 2, types, values, nullptr, false, 0);
    if (code != expected) elog(ERROR, "could not prune: %d", code);
    *n = SPI_processed;
    return SPI_tuptable;
}

int64 id_at(SPITupleTable* rows, uint64 row, int column) {
    bool is_null = false;
    return DatumGetInt64(SPI_getbinval(rows->vals[row], rows->tupdesc, column, &is_null));
}

// Rows of an id, in the shared partition or in an own one; their number.
int64 remove_rows(const char* parent, const char* column, int64 id, int64 storage) {
    bool is_null = false;
    if (storage == 0) {
        if (SPI_execute(psprintf("DELETE FROM many_models.%s_shared WHERE %s = " INT64_FORMAT,
                                 parent, column, id),
                        false, 0) != SPI_OK_DELETE)
            elog(ERROR, "could not prune %s", parent);
        return (int64)SPI_processed;
    }
    const char* own = psprintf("many_models.%s_p" INT64_FORMAT, parent, storage);
    if (SPI_execute(psprintf("SELECT pg_catalog.count(*) FROM %s", own), false, 1) != SPI_OK_SELECT)
        elog(ERROR, "could not prune %s", parent);
    const int64 rows =
        DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null));
    if (SPI_execute(psprintf("DROP TABLE %s", own), false, 0) < 0)
        elog(ERROR, "could not prune %s", parent);
    return rows;
}

constexpr const char* kOld =
    "SELECT p.promotion_id FROM many_models.promotions AS p WHERE p.model_set = $1 AND p.kind <> "
    "'dry_run' ORDER BY p.promotion_id DESC OFFSET $2";

// Layers of old states that no other state has, with their storages.
char* dead_layers() {
    return psprintf(
        "SELECT o.layer, o.storage FROM (SELECT DISTINCT u.layer, u.storage FROM "
        "many_models.promotions AS p, ROWS FROM (pg_catalog.unnest(p.layers), "
        "pg_catalog.unnest(p.storages)) AS u (layer, storage) WHERE p.promotion_id IN (%s)) AS o "
        "WHERE NOT EXISTS (SELECT FROM many_models.promotions AS p WHERE p.model_set = $1 AND "
        "p.promotion_id NOT IN (%s) AND o.layer = ANY (p.layers)) AND NOT EXISTS (SELECT FROM "
        "many_models.production_sets AS s WHERE s.model_set = $1 AND o.layer = ANY (s.layers))",
        kOld, kOld);
}

// Whether this transaction put in force what is now. The set's row is locked: nobody else did since.
bool changed_here(const char* model_set) {
    uint64 n = 0;
    bool is_null = false;
    SPITupleTable* rows =
        run_on_set("SELECT s.xmin FROM many_models.production_sets AS s WHERE s.model_set = $1",
                   model_set, 0, SPI_OK_SELECT, &n);
    return n > 0 && TransactionIdIsCurrentTransactionId(DatumGetTransactionId(
                        SPI_getbinval(rows->vals[0], rows->tupdesc, 1, &is_null)));
}

// Who predicts knows the layers in force from the messages of promotions, and takes what a layer does
// not have from the next. That a promotion comes before a prune of what it replaced suffices where they
// commit one after the other. In one transaction they become visible at once, a moment before the
// message is sent: in it a look-up would miss rows deleted from the shared partition, and go on to an
// older model. With this lock look-ups wait until after the message; dropping a partition takes it too.
void hold_back_look_ups() {
    LockRelationOid(get_relname_relid(kModels, get_namespace_oid("many_models", false)),
                    AccessExclusiveLock);
}

// Runs without any model left: who reads production looks at all that are there. Layers that were
// merged have models of several runs, so that only the models themselves tell.
constexpr const char* kForgetRuns =
    "DELETE FROM many_models.production_runs AS r WHERE r.model_set = $1 AND r.run_id NOT IN "
    "(SELECT m.run_id FROM many_models.production_store AS m WHERE m.storage = ANY (ARRAY("
    "SELECT pg_catalog.unnest(p.storages) FROM many_models.promotions AS p WHERE p.model_set = "
    "$1)) AND m.layer = ANY (ARRAY(SELECT pg_catalog.unnest(p.layers) FROM "
    "many_models.promotions AS p WHERE p.model_set = $1)))";

int64 prune(const char* model_set, int keep) {
    int64 models = 0;
    uint64 n = 0;
    registry::RegistryRights rights;
    (void)require_promotable(model_set);
    lock_production(model_set, true);
    registry::enter_registry(&rights);
    const bool changed = changed_here(model_set);
    SPITupleTable* layers = run_on_set(dead_layers(), model_set, keep, SPI_OK_SELECT, &n);
    if (changed && n > 0) hold_back_look_ups();
    for (uint64 i = 0; i < n; i++)
        models += remove_rows(kModels, "layer", id_at(layers, i, 1), id_at(layers, i, 2));
    SPITupleTable* reports =
        run_on_set(psprintf("SELECT q.promotion_id, q.storage FROM many_models.promotions AS q "
                            "WHERE q.layers IS NOT NULL AND q.promotion_id IN (%s)",
                            kOld),
                   model_set, keep, SPI_OK_SELECT, &n);
    for (uint64 i = 0; i < n; i++)
        (void)remove_rows(kReport, "promotion_id", id_at(reports, i, 1), id_at(reports, i, 2));
    (void)run_on_set(psprintf("UPDATE many_models.promotions AS q SET layers = NULL, storages = "
                              "NULL, storage = 0 WHERE q.promotion_id IN (%s)",
                              kOld),
                     model_set, keep, SPI_OK_UPDATE, &n);
    if (models > 0) (void)run_on_set(kForgetRuns, model_set, keep, SPI_OK_DELETE, &n);
    registry::leave_registry(&rights);
    return models;
}

}  // namespace

}  // namespace many::promotion

extern "C" {

PG_FUNCTION_INFO_V1(many_prune_promotions);

// prune_promotions(model_set, keep) -> models deleted
Datum many_prune_promotions(PG_FUNCTION_ARGS) {
    many::promotion::require_writable("prune_promotions()");
    char* model_set = many::pg::required_text_argument(fcinfo, 0, "model_set");
    const int keep = PG_ARGISNULL(1) ? 10 : PG_GETARG_INT32(1);
    if (keep < 1)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("keep must be at least 1, not %d", keep),
                        errhint("The state in force is one of those kept.")));
    many::registry::hold_extension();
    if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
    const int64 models = many::promotion::prune(model_set, keep);
    SPI_finish();
    PG_RETURN_INT64(models);
}
}
