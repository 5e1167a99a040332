// promote_models: a version's models into production, group by group, where the rule allows it.
//
//   set locked against other promotions -> facts, as the caller -> rule parsed -> comparisons that are
//   not with today's production made by a rescan -> one pass over candidates and production: decided
//   and written as it goes -> the new list of layers in force
#include "pg/arguments.h"
#include "promotion/candidates.h"
#include "promotion/repository.h"
#include "promotion/rule.h"

namespace many::promotion {

namespace {

// Lists of more layers make look-ups slow: small ones are merged into the new one.
constexpr int kMostLayers = 8;

struct PromoteArguments {
    char* model_set;
    int version;  // 0: the latest
    char* rule;   // or nullptr
    bool dry_run;
};

void read_arguments(FunctionCallInfo fcinfo, PromoteArguments* a) {
    memset(a, 0, sizeof *a);
    a->model_set = pg::required_text_argument(fcinfo, 0, "model_set");
    a->version = PG_ARGISNULL(1) ? 0 : PG_GETARG_INT32(1);
    if (!PG_ARGISNULL(1) && a->version < 1)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("version must be at least 1, not %d", a->version),
                        errhint("NULL promotes the latest version.")));
    a->rule = pg::text_argument(fcinfo, 2);
    a->dry_run = !PG_ARGISNULL(3) && PG_GETARG_BOOL(3);
}

// --- The new state ----------------------------------------------------------------------------

// The layers that still have models in force beside those promoted, and how many.
struct Remaining {
    registry::ProductionState state;
    int64* rows;  // by layer
};

Remaining remaining_layers(const registry::ProductionState* old, const int64* staying) {
    Remaining left = {};
    const Size n = (Size)old->n_layers + 1;
    left.state.layers = (int64*)palloc(sizeof(int64) * n);
    left.state.storages = (int64*)palloc(sizeof(int64) * n);
    left.rows = (int64*)palloc(sizeof(int64) * n);
    for (int i = 0; i < old->n_layers; i++) {
        if (staying[i] == 0) continue;
        const int to = left.state.n_layers++;
        left.state.layers[to] = old->layers[i];
        left.state.storages[to] = old->storages[i];
        left.rows[to] = staying[i];
    }
    return left;
}

// How many of the newest of them are to be merged into a new one of `rows` rows: such that every
// layer left is more than twice as large as what is above it, and copying stays cheap over time.
int layers_to_merge(const Remaining* left, int64 rows) {
    if (left->state.n_layers < kMostLayers) return 0;
    int64 above = rows;
    for (int i = 0; i < left->state.n_layers; i++) {
        if (left->rows[i] > 2 * above) return i;
        above += left->rows[i];
    }
    return left->state.n_layers;
}

// Copies what is in force of the newest `n` layers, and not in the new layer, into it.
int64 merge_layers(const registry::ProductionState* state, int n, int64 layer, int64 storage) {
    registry::ProductionState merged = *state;
    merged.n_layers = n;
    const char* target = storage == 0 ? psprintf("%s_shared", kModels)
                                      : psprintf("%s_p" INT64_FORMAT, kModels, storage);
    registry::RegistryRights rights;
    registry::enter_registry(&rights);
    const int level = plan_for_layers();
    const int code = SPI_execute(
        psprintf("INSERT INTO many_models.%s SELECT " INT64_FORMAT ", " INT64_FORMAT
                 ", o.promotion_id, o.run_id, o.model_id, o.key_hash, o.replaced, o.n_rows, "
                 "o.compared, o.partition_key, o.first_time, o.last_time, o.model FROM (%s) AS o "
                 "WHERE NOT EXISTS (SELECT FROM many_models.%s AS u WHERE u.layer = " INT64_FORMAT
                 " AND u.key_hash = o.key_hash AND u.partition_key = o.partition_key)",
                 target, storage, layer, registry::production_rows(&merged, "m.*"), target, layer),
        false, 0);
    if (code != SPI_OK_INSERT) elog(ERROR, "could not merge layers: %d", code);
    const auto rows = (int64)SPI_processed;
    AtEOXact_GUC(true, level);
    registry::leave_registry(&rights);
    return rows;
}

// The new layer on top of those it does not replace.
registry::ProductionState* stack_layer(const registry::ProductionState* old, int replaced,
                                       int64 layer, int64 storage) {
    auto* state = (registry::ProductionState*)palloc0(sizeof(registry::ProductionState));
    const int kept = old->n_layers - replaced;
    state->n_layers = kept + 1;
    state->layers = (int64*)palloc(sizeof(int64) * (Size)(kept + 1));
    state->storages = (int64*)palloc(sizeof(int64) * (Size)(kept + 1));
    state->layers[0] = layer;
    state->storages[0] = storage;
    for (int i = 0; i < kept; i++) {
        state->layers[i + 1] = old->layers[replaced + i];
        state->storages[i + 1] = old->storages[replaced + i];
    }
    return state;
}

void keep_run(int64 run_id) {
    registry::RegistryRights rights;
    registry::enter_registry(&rights);
    const int code = SPI_execute(
        psprintf("INSERT INTO many_models.production_runs SELECT * FROM many_models.runs WHERE "
                 "run_id = " INT64_FORMAT " ON CONFLICT DO NOTHING",
                 run_id),
        false, 0);
    if (code != SPI_OK_INSERT) elog(ERROR, "could not write the registry: %d", code);
    registry::leave_registry(&rights);
}

char* describe_promotion(const Decisions* d, double rescan_seconds, double decide_seconds) {
    return psprintf("{\"compared\": {\"training\": " INT64_FORMAT ", \"rescan\": " INT64_FORMAT
                    ", \"none\": " INT64_FORMAT
                    "}, \"rescan_seconds\": %.6f, "
                    "\"decide_seconds\": %.6f}",
                    d->by_training, d->by_rescan, d->not_compared, rescan_seconds, decide_seconds);
}

double seconds_since(TimestampTz start) {
    return (double)(GetCurrentTimestamp() - start) / 1e6;
}

// --- The run ----------------------------------------------------------------------------------

void promote(Promotion* promotion, const void* arguments) {
    const auto* a = (const PromoteArguments*)arguments;
    Contest contest = {};
    Decisions decisions = {};
    (void)require_promotable(a->model_set);
    lock_production(a->model_set, !a->dry_run);
    registry::lock_models();
    PushActiveSnapshot(GetTransactionSnapshot());  // the statement's is older than the locks
    read_facts(&contest, a->model_set, a->version);
    decisions.staying_by_layer =
        (int64*)palloc0(sizeof(int64) * ((Size)contest.production->n_layers + 1));
    int path = pin_rule_path();
    contest.rule = parse_rule(a->rule);
    AtEOXact_GUC(true, path);
    const TimestampTz rescan_start = GetCurrentTimestamp();
    if (rule_compares(contest.rule)) renew_comparisons(&contest);
    const double rescan_seconds = seconds_since(rescan_start);
    path = pin_rule_path();

    promotion->promotion_id = next_promotion_id();
    promotion->version = contest.candidate.run->version;
    const bool many = contest.candidate.trained + contest.production_groups > kOwnPartitionRows;
    const int64 storage = many ? promotion->promotion_id : 0;
    registry::RegistryRights rights;
    registry::enter_registry(&rights);
    RowWriter* models = a->dry_run ? nullptr : open_writer(kModels, storage);
    RowWriter* report = open_writer(kReport, storage);
    registry::leave_registry(&rights);
    const TimestampTz start = GetCurrentTimestamp();
    decide(&contest, promotion->promotion_id, storage, models, report, &decisions);
    AtEOXact_GUC(true, path);
    PopActiveSnapshot();
    const double decide_seconds = seconds_since(start);

    promotion->promoted = decisions.promoted;
    promotion->kept = decisions.kept;
    promotion->rejected = decisions.rejected;
    promotion->production = decisions.staying + decisions.promoted;
    promotion->details = describe_promotion(&decisions, rescan_seconds, decide_seconds);
    const int64 report_rows = close_writer(report);
    if (models != nullptr) {
        int64 rows = close_writer(models);
        CommandCounterIncrement();
        Remaining left = remaining_layers(contest.production, decisions.staying_by_layer);
        const int merged = rows > 0 ? layers_to_merge(&left, rows) : 0;
        if (merged > 0) rows += merge_layers(&left.state, merged, promotion->promotion_id, storage);
        registry::enter_registry(&rights);
        const int64 placed = finish_partition(kModels, storage, rows);
        registry::leave_registry(&rights);
        promotion->state = rows == 0
                               ? contest.production
                               : stack_layer(&left.state, merged, promotion->promotion_id, placed);
        if (rows > 0) keep_run(contest.candidate.run->run_id);
    }
    CommandCounterIncrement();
    registry::enter_registry(&rights);
    promotion->storage = finish_partition(kReport, storage, report_rows);
    registry::leave_registry(&rights);
    drop_dry_runs(a->model_set);
    record_promotion(promotion);
}

}  // namespace

}  // namespace many::promotion

extern "C" {

PG_FUNCTION_INFO_V1(many_promote_models);

// promote_models(model_set, version, rule, dry_run) -> promotion_summary
Datum many_promote_models(PG_FUNCTION_ARGS) {
    namespace promotion = many::promotion;
    promotion::PromoteArguments arguments;
    promotion::Promotion result = {};
    promotion::require_writable("promote_models()");
    promotion::read_arguments(fcinfo, &arguments);
    result.model_set = arguments.model_set;
    result.rule = arguments.rule;
    result.kind = arguments.dry_run ? "dry_run" : "promote";
    result.restored = -1;
    return promotion::run_promotion(fcinfo, &result, promotion::promote, &arguments);
}
}
