// set_drift_threshold: when a group counts as drifted.
#include "pg/server.h"

#include "registry/registry.h"

extern "C" {
#include "tcop/utility.h"
}

namespace {

void require_at_least(FunctionCallInfo fcinfo, int argument, const char* name, double least) {
    if (PG_ARGISNULL(argument)) return;
    const double value = PG_GETARG_FLOAT8(argument);
    if (value >= least && value < 1e300) return;
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("invalid value for %s: %g", name, value),
                    errhint("Valid is a number of at least %g, and NULL to leave it out.", least)));
}

}  // namespace

extern "C" {

PG_FUNCTION_INFO_V1(many_set_drift_threshold);

// model_set, error_ratio, psi, periods
Datum many_set_drift_threshold(PG_FUNCTION_ARGS) {
    namespace registry = many::registry;
    PreventCommandDuringRecovery("set_drift_threshold()");
    PreventCommandIfReadOnly("set_drift_threshold()");
    if (PG_ARGISNULL(0) || PG_ARGISNULL(3))
        ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                        errmsg("%s is NULL", PG_ARGISNULL(0) ? "model_set" : "periods")));
    require_at_least(fcinfo, 1, "error_ratio", 1);
    require_at_least(fcinfo, 2, "psi", 0);
    if (PG_GETARG_INT32(3) < 1)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("periods must be at least 1, not %d", PG_GETARG_INT32(3))));
    registry::hold_extension();
    if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
    char* name = text_to_cstring(PG_GETARG_TEXT_PP(0));
    const registry::ModelSet* set = registry::find_model_set(name, false);
    if (set == nullptr)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                        errmsg("model set \"%s\" does not exist", name)));
    registry::require_set_owner(set);
    Oid types[4] = {TEXTOID, FLOAT8OID, FLOAT8OID, INT4OID};
    Datum values[4];
    char nulls[5] = "    ";
    for (int i = 0; i < 4; i++) {
        values[i] = PG_GETARG_DATUM(i);
        if (PG_ARGISNULL(i)) nulls[i] = 'n';
    }
    registry::RegistryRights rights;
    registry::enter_registry(&rights);
    const int code = SPI_execute_with_args(
        "INSERT INTO many_models.drift_thresholds (model_set, error_ratio, psi, periods) "
        "SELECT s.model_set, $2, $3, $4 FROM many_models.model_sets AS s WHERE s.model_set = $1 "
        "FOR KEY SHARE ON CONFLICT (model_set) DO UPDATE SET "
        "error_ratio = excluded.error_ratio, psi = excluded.psi, periods = excluded.periods",
        4, types, values, nulls, false, 0);
    if (code != SPI_OK_INSERT || SPI_processed != 1)
        elog(ERROR, "could not write the registry: %d", code);
    registry::leave_registry(&rights);
    SPI_finish();
    PG_RETURN_VOID();
}
}
