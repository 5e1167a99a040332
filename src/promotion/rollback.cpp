// rollback_models: an earlier state of production in force again. It costs no copy of a model: the
// list of layers of that moment is put in force; what changed is written to the report.
#include "pg/arguments.h"
#include "pg/read_query.h"
#include "pg/settings.h"
#include "promotion/repository.h"

namespace many::promotion {

namespace {

struct RollbackArguments {
    char* model_set;
    bool by_promotion;
    int64 to_promotion;
    bool by_time;
    TimestampTz to_time;
};

void read_arguments(FunctionCallInfo fcinfo, RollbackArguments* a) {
    memset(a, 0, sizeof *a);
    a->model_set = pg::required_text_argument(fcinfo, 0, "model_set");
    a->by_promotion = !PG_ARGISNULL(1);
    a->by_time = !PG_ARGISNULL(2);
    if (a->by_promotion && a->by_time)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("to_promotion and to_time are both given"),
                        errhint("Give one of them, or none to undo the last promotion.")));
    if (a->by_promotion) a->to_promotion = PG_GETARG_INT64(1);
    if (a->by_time) a->to_time = PG_GETARG_TIMESTAMPTZ(2);
    if (a->by_promotion && a->to_promotion < 0)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("to_promotion must not be negative"),
                        errhint("0 is the state before the first promotion.")));
}

char* recent_promotions(const char* model_set) {
    Oid types[1] = {TEXTOID};
    Datum values[1] = {CStringGetTextDatum(model_set)};
    SPI_execute_with_args(
        "SELECT pg_catalog.string_agg(r.promotion_id::pg_catalog.text, ', ') FROM (SELECT "
        "promotion_id FROM many_models.promotions WHERE model_set OPERATOR(pg_catalog.=) $1 AND "
        "kind OPERATOR(pg_catalog.<>) 'dry_run' AND layers IS NOT NULL ORDER BY promotion_id DESC "
        "LIMIT 10) AS r",
        1, types, values, nullptr, true, 1);
    char* list =
        SPI_processed > 0 ? SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1) : nullptr;
    return list == nullptr ? pstrdup("none") : list;
}

// The promotion whose state is wanted; 0: before the first. To undo is to go back to the last state
// that was another one: promotions that changed nothing do not count.
int64 find_target(const RollbackArguments* a, const registry::ProductionState* now) {
    if (a->by_promotion) return a->to_promotion;
    if (now->promotion_id == 0)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("nothing of model set \"%s\" was ever promoted", a->model_set)));
    Oid types[3] = {TEXTOID, get_array_type(INT8OID), TIMESTAMPTZOID};
    Datum values[3] = {CStringGetTextDatum(a->model_set),
                       registry::int64_array(now->layers, now->n_layers),
                       TimestampTzGetDatum(a->to_time)};
    const int code = SPI_execute_with_args(
        a->by_time ? "SELECT promotion_id FROM many_models.promotions WHERE model_set "
                     "OPERATOR(pg_catalog.=) $1 AND kind OPERATOR(pg_catalog.<>) 'dry_run' AND "
                     "promoted_at OPERATOR(pg_catalog.<=) $3 ORDER BY promotion_id DESC LIMIT 1"
                   : "SELECT promotion_id FROM many_models.promotions WHERE model_set "
                     "OPERATOR(pg_catalog.=) $1 AND kind OPERATOR(pg_catalog.<>) 'dry_run' AND "
                     "(layers IS NULL OR layers OPERATOR(pg_catalog.<>) $2) ORDER BY "
                     "promotion_id DESC LIMIT 1",
        3, types, values, nullptr, true, 1);
    if (code != SPI_OK_SELECT) elog(ERROR, "could not read the registry: %d", code);
    bool is_null = false;
    if (SPI_processed == 0 && !a->by_time && now->n_layers == 0)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("nothing of model set \"%s\" was ever promoted", a->model_set)));
    return SPI_processed == 0 ? 0
                              : DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0],
                                                            SPI_tuptable->tupdesc, 1, &is_null));
}

registry::ProductionState* state_of(const char* model_set, int64 promotion_id) {
    auto* state = (registry::ProductionState*)palloc0(sizeof(registry::ProductionState));
    state->layers = state->storages = (int64*)palloc0(sizeof(int64));
    if (promotion_id == 0) return state;
    Oid types[2] = {TEXTOID, INT8OID};
    Datum values[2] = {CStringGetTextDatum(model_set), Int64GetDatum(promotion_id)};
    const int code = SPI_execute_with_args(
        "SELECT layers, storages FROM many_models.promotions WHERE model_set "
        "OPERATOR(pg_catalog.=) $1 AND promotion_id OPERATOR(pg_catalog.=) $2 AND kind "
        "OPERATOR(pg_catalog.<>) 'dry_run'",
        2, types, values, nullptr, true, 1);
    if (code != SPI_OK_SELECT) elog(ERROR, "could not read the registry: %d", code);
    if (SPI_processed == 0)
        ereport(ERROR,
                (errcode(ERRCODE_UNDEFINED_OBJECT),
                 errmsg("model set \"%s\" has no promotion " INT64_FORMAT, model_set, promotion_id),
                 errhint("Its latest promotions are %s.", recent_promotions(model_set))));
    bool is_null = false;
    const Datum layers = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null);
    if (is_null)
        ereport(ERROR,
                (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                 errmsg("the models of promotion " INT64_FORMAT " were pruned", promotion_id),
                 errhint("The latest promotions that are there are %s.",
                         recent_promotions(model_set))));
    int n = 0;
    state->layers = registry::int64_array_values(layers, &state->n_layers);
    state->storages = registry::int64_array_values(
        SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &is_null), &n);
    return state;
}

// --- What changes -----------------------------------------------------------------------------

// Whether a promotion led from one state to another: it was made in the first, and its layer is the
// uppermost of the second.
bool led_to(const char* model_set, const registry::ProductionState* from,
            const registry::ProductionState* to) {
    if (to->n_layers == 0) return false;
    Oid types[4] = {TEXTOID, INT8OID, get_array_type(INT8OID), get_array_type(INT8OID)};
    Datum values[4] = {CStringGetTextDatum(model_set), Int64GetDatum(to->layers[0]),
                       registry::int64_array(from->layers, from->n_layers),
                       registry::int64_array(to->layers, to->n_layers)};
    const int code = SPI_execute_with_args(
        "SELECT FROM many_models.promotions AS p WHERE p.model_set = $1 AND p.promotion_id = $2 "
        "AND p.kind = 'promote' AND p.layers = $4 AND coalesce((SELECT coalesce(q.layers, '{0}') "
        "FROM many_models.promotions AS q WHERE q.model_set = $1 AND q.promotion_id < $2 AND "
        "q.kind <> 'dry_run' ORDER BY q.promotion_id DESC LIMIT 1), '{}') = $3",
        4, types, values, nullptr, true, 1);
    if (code != SPI_OK_SELECT) elog(ERROR, "could not read the registry: %d", code);
    return SPI_processed == 1;
}

// Columns of the queries of changes: the models in production before and after, the group.
enum Column { kBefore, kAfter, kKey };

// Rows of a promotion know what they replaced: to undo it, or to do it again, takes no look at other
// layers. Rows that were merged into its layer come from earlier ones, and changed nothing.
char* changes_by_promotion(const registry::ProductionState* state, bool undo) {
    const char* replaced = "m.replaced";
    const char* promoted = "m.model_id";
    return psprintf(
        "SELECT %s, %s, m.partition_key FROM many_models.production_store AS m WHERE m.storage = "
        "'" INT64_FORMAT "' AND m.layer = '" INT64_FORMAT "' AND m.promotion_id = '" INT64_FORMAT
        "'",
        undo ? promoted : replaced, undo ? replaced : promoted, state->storages[0],
        state->layers[0], state->layers[0]);
}

char* rows_of(const registry::ProductionState* state) {
    if (state->n_layers > 0)
        return registry::production_rows(state, "m.key_hash, m.partition_key, m.model_id");
    return pstrdup(
        "SELECT NULL::pg_catalog.int8 AS key_hash, NULL::pg_catalog.jsonb AS "
        "partition_key, NULL::pg_catalog.int8 AS model_id WHERE false");
}

char* changes_by_group(const registry::ProductionState* now,
                       const registry::ProductionState* then) {
    return psprintf(
        "SELECT n.model_id, t.model_id, coalesce(t.partition_key, n.partition_key) FROM (%s) AS n "
        "FULL JOIN (%s) AS t ON t.key_hash = n.key_hash AND t.partition_key = n.partition_key "
        "WHERE t.model_id IS DISTINCT FROM n.model_id",
        rows_of(now), rows_of(then));
}

struct ChangeReceiver {
    RowWriter* report;
    int64 storage;
    Promotion* promotion;
};

// b: a model is back; w: the group has none any more.
void write_change(TupleTableSlot* slot, void* argument) {
    auto* receiver = (ChangeReceiver*)argument;
    const bool withdrawn = slot->tts_isnull[kAfter];
    const Datum values[] = {
        Int64GetDatum(receiver->storage),
        Int64GetDatum(receiver->promotion->promotion_id),
        slot->tts_values[kAfter],
        slot->tts_values[kBefore],
        CharGetDatum(withdrawn ? 'w' : 'b'),
        CharGetDatum('n'),
        slot->tts_values[kKey],
        Datum(0),
    };
    bool nulls[lengthof(values)] = {};
    nulls[2] = withdrawn;
    nulls[3] = slot->tts_isnull[kBefore];
    nulls[7] = true;
    write_row(receiver->report, values, nulls);
    (withdrawn ? receiver->promotion->withdrawn : receiver->promotion->promoted)++;
}

int64 count_of(const char* query) {
    const int code = SPI_execute(query, false, 1);
    if (code != SPI_OK_SELECT || SPI_processed != 1)
        elog(ERROR, "could not count the models: %d", code);
    bool is_null = false;
    return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null));
}

// Models in production after a promotion; 0: before the first.
int64 production_after(int64 promotion_id) {
    if (promotion_id == 0) return 0;
    return count_of(
        psprintf("SELECT production FROM many_models.promotions WHERE promotion_id "
                 "OPERATOR(pg_catalog.=) '" INT64_FORMAT "'::pg_catalog.int8",
                 promotion_id));
}

// Groups whose model changes, into the report.
void write_changes(Promotion* promotion, const registry::ProductionState* now,
                   const registry::ProductionState* then) {
    registry::RegistryRights rights;
    const int level = plan_for_layers();
    const int64 before = production_after(now->promotion_id);
    promotion->production = production_after(promotion->restored);
    const int64 storage =
        before + promotion->production > kOwnPartitionRows ? promotion->promotion_id : 0;
    registry::enter_registry(&rights);
    const bool undo = led_to(promotion->model_set, then, now);
    const bool redo = !undo && led_to(promotion->model_set, now, then);
    const char* query =
        undo || redo ? changes_by_promotion(undo ? now : then, undo) : changes_by_group(now, then);
    ChangeReceiver receiver = {open_writer(kReport, storage), storage, promotion};
    (void)pg::run_read_query(query, undo || redo ? 1 : many_max_workers, write_change, &receiver);
    const int64 changed = close_writer(receiver.report);
    promotion->kept = promotion->production - promotion->promoted;
    CommandCounterIncrement();
    promotion->storage = finish_partition(kReport, storage, changed);
    registry::leave_registry(&rights);
    AtEOXact_GUC(true, level);
}

void roll_back(Promotion* promotion, const void* arguments) {
    const auto* a = (const RollbackArguments*)arguments;
    (void)require_promotable(a->model_set);
    lock_production(a->model_set, true);
    registry::lock_models();
    PushActiveSnapshot(GetTransactionSnapshot());  // the statement's is older than the locks
    const registry::ProductionState* now = registry::find_production(a->model_set);
    promotion->restored = find_target(a, now);
    const registry::ProductionState* then = state_of(a->model_set, promotion->restored);
    promotion->promotion_id = next_promotion_id();
    write_changes(promotion, now, then);
    PopActiveSnapshot();
    promotion->state = then;
    record_promotion(promotion);
}

}  // namespace

}  // namespace many::promotion

extern "C" {

PG_FUNCTION_INFO_V1(many_rollback_models);

// rollback_models(model_set, to_promotion, to_time) -> promotion_summary
Datum many_rollback_models(PG_FUNCTION_ARGS) {
    namespace promotion = many::promotion;
    promotion::RollbackArguments arguments;
    promotion::Promotion result = {};
    promotion::require_writable("rollback_models()");
    promotion::read_arguments(fcinfo, &arguments);
    result.model_set = arguments.model_set;
    result.kind = "rollback";
    return promotion::run_promotion(fcinfo, &result, promotion::roll_back, &arguments);
}
}
