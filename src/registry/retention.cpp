// What retention writes to the registry: its settings, and the removal of rows of scoring runs. What
// is due, and the order of the drops, is in sql/75_retention.sql.
#include "pg/server.h"

#include "pg/arguments.h"
#include "registry/registry.h"

extern "C" {
#include "tcop/utility.h"
}

namespace many::registry {

namespace {

void write_registry(const char* statement, int n, Oid* types, Datum* values, const char* nulls,
                    int expected) {
    const int code = SPI_execute_with_args(statement, n, types, values, nulls, false, 0);
    if (code != expected) elog(ERROR, "could not write the registry: %d", code);
}

// The set, its row locked; raises unless the caller owns it.
void claim_owned_set(const char* name) {
    const ModelSet* set = find_model_set(name, true);
    if (set == nullptr)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                        errmsg("model set \"%s\" does not exist", name)));
    require_set_owner(set);
}

// Longer than nothing, and not longer than time goes back.
void check_interval(const char* argument, Datum interval) {
    const Interval zero = {};
    if (!DatumGetBool(DirectFunctionCall2(interval_gt, interval, IntervalPGetDatum(&zero))))
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("%s must be longer than 0, not %s", argument,
                               DatumGetCString(DirectFunctionCall1(interval_out, interval))),
                        errhint("Give an interval, such as '90 days', or NULL to keep all.")));
    (void)DirectFunctionCall2(timestamptz_mi_interval, TimestampTzGetDatum(GetCurrentTimestamp()),
                              interval);
}

}  // namespace

}  // namespace many::registry

extern "C" {

PG_FUNCTION_INFO_V1(many_set_retention);
PG_FUNCTION_INFO_V1(many_delete_scoring_runs);

// set_retention(model_set, keep_versions, keep_predictions, keep_runs) -> void
Datum many_set_retention(PG_FUNCTION_ARGS) {
    namespace registry = many::registry;
    PreventCommandDuringRecovery("set_retention()");
    PreventCommandIfReadOnly("set_retention()");
    const char* name = many::pg::required_text_argument(fcinfo, 0, "model_set");
    if (!PG_ARGISNULL(1) && PG_GETARG_INT32(1) < 1)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("keep_versions must be 1 or more, not %d", PG_GETARG_INT32(1)),
                        errhint("NULL keeps all versions; many_models.drop_models drops a set.")));
    if (!PG_ARGISNULL(2)) registry::check_interval("keep_predictions", PG_GETARG_DATUM(2));
    if (!PG_ARGISNULL(3)) registry::check_interval("keep_runs", PG_GETARG_DATUM(3));
    if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
    registry::claim_owned_set(name);
    Oid types[4] = {TEXTOID, INT4OID, INTERVALOID, INTERVALOID};
    Datum values[4] = {CStringGetTextDatum(name)};
    char nulls[5] = "    ";
    bool any = false;
    for (int i = 1; i < 4; i++) {
        if (PG_ARGISNULL(i))
            nulls[i] = 'n';
        else
            values[i] = PG_GETARG_DATUM(i);
        any = any || !PG_ARGISNULL(i);
    }
    registry::RegistryRights rights;
    registry::enter_registry(&rights);
    if (any)
        registry::write_registry(
            "INSERT INTO many_models.retention (model_set, keep_versions, keep_predictions, "
            "keep_runs) VALUES ($1, $2, $3, $4) ON CONFLICT (model_set) DO UPDATE SET "
            "keep_versions = EXCLUDED.keep_versions, keep_predictions = "
            "EXCLUDED.keep_predictions, keep_runs = EXCLUDED.keep_runs",
            4, types, values, nulls, SPI_OK_INSERT);
    else
        registry::write_registry("DELETE FROM many_models.retention WHERE model_set = $1", 1, types,
                                 values, nulls, SPI_OK_DELETE);
    registry::leave_registry(&rights);
    SPI_finish();
    PG_RETURN_VOID();
}

// delete_scoring_runs(model_set, run_ids) -> bigint
Datum many_delete_scoring_runs(PG_FUNCTION_ARGS) {
    namespace registry = many::registry;
    PreventCommandDuringRecovery("delete_scoring_runs()");
    PreventCommandIfReadOnly("delete_scoring_runs()");
    char* name = text_to_cstring(PG_GETARG_TEXT_PP(0));
    if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
    registry::claim_owned_set(name);
    Oid types[2] = {TEXTOID, INT8ARRAYOID};
    Datum values[2] = {CStringGetTextDatum(name), PG_GETARG_DATUM(1)};
    registry::RegistryRights rights;
    registry::enter_registry(&rights);
    registry::write_registry(
        "DELETE FROM many_models.runs WHERE model_set = $1 AND run_id = ANY ($2) AND (kind = "
        "'score' OR (kind = 'backtest' AND NOT details @> '{\"of_set\": false}'))",
        2, types, values, nullptr, SPI_OK_DELETE);
    const auto deleted = static_cast<int64>(SPI_processed);
    registry::leave_registry(&rights);
    SPI_finish();
    PG_RETURN_INT64(deleted);
}

}  // extern "C"
