// drop_models: a version of a set, or the whole set. Models in partitions of their own go with the
// partition; those of small runs are deleted from the shared one.
#include "pg/server.h"

#include "engine/background_store.h"
#include "engine/collect.h"
#include "pg/arguments.h"
#include "registry/production.h"
#include "registry/registry.h"

extern "C" {
#include "tcop/utility.h"
}

namespace many::engine {

namespace {

void execute(const char* statement) {
    const int code = SPI_execute(statement, false, 0);
    if (code < 0) elog(ERROR, "registry: \"%s\" failed: %d", statement, code);
}

void drop_run(int64 run_id, int64 storage) {
    for (const char* parent : {"model_store", "failure_store"}) {
        if (storage != 0)
            execute(psprintf("DROP TABLE many_models.%s", own_partition(parent, storage)));
        else
            execute(
                psprintf("DELETE FROM many_models.%s_shared WHERE run_id "
                         "OPERATOR(pg_catalog.=) " INT64_FORMAT,
                         parent, run_id));
    }
    execute(psprintf(
        "DELETE FROM many_models.runs WHERE run_id OPERATOR(pg_catalog.=) " INT64_FORMAT, run_id));
}

// Rows in runs of the set and, of backtests made before there was a set of the name, those of `user`.
// Runs as the registry's owner; returns their number.
uint64 delete_runs(const char* model_set, Oid user) {
    Oid types[2] = {TEXTOID, OIDOID};
    Datum values[2] = {CStringGetTextDatum(model_set), ObjectIdGetDatum(user)};
    const int code = SPI_execute_with_args(
        "DELETE FROM many_models.runs WHERE model_set = $1 AND (NOT (kind = 'backtest' AND details "
        "@> '{\"of_set\": false}') OR pg_has_role($2, run_by::oid, 'USAGE'))",
        2, types, values, nullptr, false, 0);
    if (code != SPI_OK_DELETE) elog(ERROR, "could not write the registry: %d", code);
    return SPI_processed;
}

// A name without a set: there may be backtests.
bool drop_backtests(const char* model_set) {
    registry::RegistryRights rights;
    registry::enter_registry(&rights);
    const bool any = delete_runs(model_set, rights.saved_user) > 0;
    if (any) {
        Oid types[1] = {TEXTOID};
        Datum values[1] = {CStringGetTextDatum(model_set)};
        const int code =
            SPI_execute_with_args("DELETE FROM many_models.dropped_runs WHERE model_set = $1", 1,
                                  types, values, nullptr, false, 0);
        if (code != SPI_OK_DELETE) elog(ERROR, "could not write the registry: %d", code);
    }
    registry::leave_registry(&rights);
    return any;
}

// Runs as the registry's owner; returns the number of models dropped.
int64 drop_version(const char* model_set, int version, Oid user) {
    Oid types[2] = {TEXTOID, INT4OID};
    Datum values[2] = {CStringGetTextDatum(model_set), Int32GetDatum(version)};
    int64 models = 0;
    if (version == 0) {
        // Promotions of the set, evaluations that are being written and grants that are given hold its
        // row: theirs are to be seen and deleted. They lock it before the models, so here as well.
        const int locked = SPI_execute_with_args(
            "SELECT FROM many_models.model_sets WHERE model_set = $1 FOR UPDATE", 1, types, values,
            nullptr, false, 0);
        if (locked != SPI_OK_SELECT) elog(ERROR, "could not lock the model set: %d", locked);
        registry::drop_production(model_set);
    }
    const int code = SPI_execute_with_args(
        "SELECT run_id, storage, trained FROM many_models.runs WHERE model_set = $1 "
        "AND kind IN ('train', 'import') AND ($2 = 0 OR version = $2)",
        2, types, values, nullptr, false, 0);
    if (code != SPI_OK_SELECT) elog(ERROR, "could not read the registry: %d", code);
    SPITupleTable* runs = SPI_tuptable;
    const uint64 n = SPI_processed;
    if (n == 0 && version != 0)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                        errmsg("model set \"%s\" has no version %d", model_set, version)));
    for (uint64 i = 0; i < n; i++) {
        bool is_null = false;
        const int64 run_id =
            DatumGetInt64(SPI_getbinval(runs->vals[i], runs->tupdesc, 1, &is_null));
        const int64 storage =
            DatumGetInt64(SPI_getbinval(runs->vals[i], runs->tupdesc, 2, &is_null));
        models += DatumGetInt64(SPI_getbinval(runs->vals[i], runs->tupdesc, 3, &is_null));
        drop_run(run_id, storage);
    }
    if (version == 0) {
        (void)delete_runs(model_set, user);
        for (const char* statement :
             {"DELETE FROM many_models.pipelines WHERE model_set = $1",
              "DELETE FROM many_models.retention WHERE model_set = $1",
              "DELETE FROM many_models.evaluations WHERE model_set = $1",
              "DELETE FROM many_models.drift_thresholds WHERE model_set = $1",
              "DELETE FROM many_models.dropped_runs WHERE model_set = $1",
              "DELETE FROM many_models.grant_store WHERE model_set = $1",
              "DELETE FROM many_models.model_sets WHERE model_set = $1"}) {
            const int deleted =
                SPI_execute_with_args(statement, 1, types, values, nullptr, false, 0);
            if (deleted != SPI_OK_DELETE) elog(ERROR, "could not write the registry: %d", deleted);
        }
    }
    return models;
}

}  // namespace

}  // namespace many::engine

extern "C" {

PG_FUNCTION_INFO_V1(many_drop_models);

Datum many_drop_models(PG_FUNCTION_ARGS) {
    namespace registry = many::registry;
    PreventCommandDuringRecovery("drop_models()");
    PreventCommandIfReadOnly("drop_models()");
    const char* name = many::pg::required_text_argument(fcinfo, 0, "model_set");
    if (!PG_ARGISNULL(1) && PG_GETARG_INT32(1) < 1)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("version must be 1 or more, not %d", PG_GETARG_INT32(1)),
                        errhint("NULL drops the whole model set.")));
    registry::hold_extension();
    if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
    registry::ModelSet* set = registry::find_model_set(name, true);
    if (set == nullptr) {
        if (!PG_ARGISNULL(1) || !many::engine::drop_backtests(name))
            ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                            errmsg("model set \"%s\" does not exist", name)));
        SPI_finish();
        PG_RETURN_INT64(0);
    }
    registry::require_set_owner(set);
    if (PG_ARGISNULL(1)) many::engine::drop_background_runs(name);
    registry::RegistryRights rights;
    registry::enter_registry(&rights);
    const int64 models = many::engine::drop_version(name, PG_ARGISNULL(1) ? 0 : PG_GETARG_INT32(1),
                                                    rights.saved_user);
    registry::leave_registry(&rights);
    registry::announce_models_changed();
    SPI_finish();
    PG_RETURN_INT64(models);
}
}
