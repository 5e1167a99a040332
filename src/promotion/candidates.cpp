#include "promotion/candidates.h"

#include "core/forecasters/forecast_model.h"

#include <algorithm>
#include <cmath>

#include "core/codec/linear_model.h"
#include "pg/forecast_options.h"
#include "pg/read_query.h"
#include "pg/settings.h"
#include "wall/wall.h"

namespace many::promotion {

namespace {

// Columns of the query, 0-based.
enum Column {
    kCandidateId,
    kKeyHash,
    kKey,
    kRows,
    kFirstTime,
    kLastTime,
    kModel,
    kComparison,
    kComparedWith,
    kProductionKey,
    kProductionId,
    kProductionRun,
    kProductionRows,
    kProductionLayer,
    kFailure,
    kRescanModel,
    kRescanComparison,
    kRescanWith,
    kColumns
};

struct DecisionReceiver {
    Contest* contest;
    Decisions* decisions;
    RowWriter* models;
    RowWriter* report;
    int64 promotion_id;
    int64 storage;
    const char* no_model;  // reason of groups without a candidate
    int64 found;           // of what is in production
};

// --- The queries ------------------------------------------------------------------------------

constexpr const char* kNoProduction =
    ", NULL::pg_catalog.jsonb, NULL::pg_catalog.int8, NULL::pg_catalog.int8, "
    "NULL::pg_catalog.int8, NULL::pg_catalog.int8";
constexpr const char* kProduction = ", p.partition_key, p.model_id, p.run_id, p.n_rows, p.layer";
constexpr const char* kNoRescan =
    ", NULL::many_models.model, NULL::pg_catalog.float8[], NULL::pg_catalog.int8";

char* rows_in_production(const Contest* contest) {
    return registry::production_rows(
        contest->production,
        "m.partition_key, m.key_hash, m.model_id, m.run_id, m.n_rows, m.layer");
}

// The candidates that were compared with what is in production, without a look at that.
char* compared_query(const Contest* contest) {
    return psprintf(
        "SELECT c.model_id, c.key_hash, c.partition_key, c.n_rows, c.first_time, c.last_time, "
        "c.model, c.comparison, c.compared_with, NULL::pg_catalog.jsonb, c.compared_with, "
        "NULL::pg_catalog.int8, NULL::pg_catalog.int8, '" INT64_FORMAT
        "'::pg_catalog.int8, NULL::pg_catalog.text%s FROM %s AS c WHERE c.compared_with IS NOT "
        "NULL",
        contest->production->layers[0], kNoRescan, candidate_rows(contest->candidate.run));
}

// The candidates, each with what is in production; `others`: those that compared_query leaves out. With the models as the outer side of a join that
// parallel workers can do; a full join of both is done by one process.
char* candidates_query(const Contest* contest, bool others) {
    const bool production = contest->production->n_layers > 0;
    StringInfoData query;
    initStringInfo(&query);
    appendStringInfo(
        &query,
        "SELECT c.model_id, c.key_hash, c.partition_key, c.n_rows, c.first_time, c.last_time, "
        "c.model, c.comparison, c.compared_with%s, NULL::pg_catalog.text%s FROM %s AS c",
        production ? kProduction : kNoProduction,
        contest->rescanned ? ", x.model, x.comparison, x.compared_with" : kNoRescan,
        candidate_rows(contest->candidate.run));
    if (production)
        appendStringInfo(&query, " LEFT JOIN (%s) AS p ON %s", rows_in_production(contest),
                         group_condition(contest, "c", "p"));
    if (contest->rescanned)
        appendStringInfo(&query, " LEFT JOIN %s AS x ON %s", kRescanRelation,
                         group_condition(contest, "c", "x"));
    if (others) appendStringInfoString(&query, " WHERE c.compared_with IS NULL");
    return query.data;
}

// What is in production of groups without a candidate, and why they have none.
char* others_query(const Contest* contest) {
    const registry::TrainingRun* run = contest->candidate.run;
    const bool failures = contest->candidate.without_model > 0;
    StringInfoData query;
    initStringInfo(&query);
    appendStringInfo(
        &query,
        "SELECT NULL::pg_catalog.int8, NULL::pg_catalog.int8, NULL::pg_catalog.jsonb, "
        "NULL::pg_catalog.int8, NULL::pg_catalog.text, NULL::pg_catalog.text, "
        "NULL::many_models.model, NULL::pg_catalog.float8[], NULL::pg_catalog.int8%s%s%s FROM "
        "(%s) AS p",
        kProduction, failures ? ", f.message" : ", NULL::pg_catalog.text", kNoRescan,
        rows_in_production(contest));
    if (failures)
        appendStringInfo(&query,
                         " LEFT JOIN (SELECT g.partition_key, g.message FROM "
                         "many_models.failure_store AS g WHERE g.storage OPERATOR(pg_catalog.=) "
                         "'" INT64_FORMAT
                         "'::pg_catalog.int8 AND g.run_id OPERATOR(pg_catalog.=) '" INT64_FORMAT
                         "'::pg_catalog.int8) AS f ON f.partition_key OPERATOR(pg_catalog.=) "
                         "p.partition_key",
                         run->storage, run->run_id);
    appendStringInfo(&query, " WHERE NOT EXISTS (SELECT FROM %s AS c WHERE %s)",
                     candidate_rows(run), group_condition(contest, "c", "p"));
    return query.data;
}

// --- One group --------------------------------------------------------------------------------

struct Row {
    Datum* values;
    bool* nulls;
    [[nodiscard]] int64 id(Column column) const {
        return nulls[column] ? 0 : DatumGetInt64(values[column]);
    }
};

// What a model says of its holdout; false when it is damaged.
bool read_holdout(Datum model, core::SplitMetrics* metrics, double* mase) {
    const auto* bytes = (const struct varlena*)PG_DETOAST_DATUM_PACKED(model);
    const char* data = VARDATA_ANY(bytes);
    const Size length = VARSIZE_ANY_EXHDR(bytes);
    wall::WallError error;
    *mase = NAN;
    return wall::across_wall(&error, [&] {
        if (core::is_forecast_model(data, length)) {
            core::ForecastModel forecaster;
            core::decode_forecast_model(data, length, forecaster);
            const core::StepMetrics& m =
                forecaster.total[static_cast<int>(core::ForecastSplit::holdout)];
            *metrics = {m.n, m.rmse, m.mae, m.mape, m.smape, m.r2, m.bias};
            *mase = m.mase;
            return;
        }
        *metrics = core::LinearModelView::open(data, length, core::LinearModelView::Check::checksum)
                       .holdout();
    });
}

bool read_numbers(Datum datum, double n_rows, core::Comparison* comparison) {
    int n = 0;
    Datum* elements;
    bool* nulls;
    double numbers[core::kComparisonNumbers];
    ArrayType* array = DatumGetArrayTypeP(datum);
    if (!ARR_HASNULL(array) && ARR_NDIM(array) == 1) {
        n = ARR_DIMS(array)[0];
        if (n > core::kComparisonNumbers) return false;
        memcpy(numbers, ARR_DATA_PTR(array), sizeof(double) * (Size)n);
        return core::read_comparison(numbers, n, n_rows, comparison);
    }
    deconstruct_array(array, FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &elements,
                      &nulls, &n);
    if (n > core::kComparisonNumbers) return false;
    for (int i = 0; i < n; i++) numbers[i] = nulls[i] ? NAN : DatumGetFloat8(elements[i]);
    return core::read_comparison(numbers, n, n_rows, comparison);
}

// How the two were compared: t at training, r by a rescan, n not.
char read_comparison(const Row& row, RuleInput* input) {
    const int64 production = row.id(kProductionId);
    const bool rescan = !row.nulls[kRescanComparison] && row.id(kRescanWith) == production;
    const Column numbers = rescan ? kRescanComparison : kComparison;
    core::Comparison comparison;
    core::SplitMetrics holdout;
    double mase;
    if (rescan && read_holdout(row.values[kRescanModel], &holdout, &mase)) {
        input->candidate.metrics = holdout;
        input->candidate.mase = mase;
    }
    if (row.nulls[numbers] ||
        !read_numbers(row.values[numbers], input->candidate.metrics.n_rows, &comparison))
        return 'n';
    input->baseline.present = input->baseline.has_metrics = true;
    input->baseline.metrics = comparison.baseline;
    input->baseline.mase = comparison.baseline_mase;
    if (production == 0 || (!rescan && row.id(kComparedWith) != production)) return 'n';
    input->production.has_metrics = true;
    input->production.metrics = comparison.rival;
    input->production.mase = comparison.rival_mase;
    input->differences = comparison.paired;
    return rescan ? 'r' : 't';
}

void read_production(const DecisionReceiver* receiver, const Row& row, RuleInput* input) {
    if (row.id(kProductionId) == 0) return;
    input->production.present = input->production.is_model = true;
    input->production.model_id = row.id(kProductionId);
    if (row.nulls[kProductionRun]) return;  // of compared_query: the rule asks for no more
    const RunFacts* facts = find_facts(receiver->contest, row.id(kProductionRun));
    if (facts == nullptr) elog(ERROR, "the run of a model in production is missing");
    input->production.version = facts->run->version;
    input->production.trained_at = facts->finished_at;
    input->production.trained_rows = row.id(kProductionRows);
}

const char* why_not_compared(const DecisionReceiver* receiver, const Row& row) {
    if (row.nulls[kComparison]) return "nothing was held out";
    const RunFacts* facts = find_facts(receiver->contest, row.id(kProductionRun));
    if (facts != nullptr && facts->missing != nullptr) return facts->missing;
    if (pg::is_forecaster(receiver->contest->candidate.run->algorithm))
        return "its series does not end before the rows held out, or its forecasts do not fall on "
               "them";
    return "it could not be judged on the rows held out";
}

// promoted, kept or rejected: p, k, r.
char judge(DecisionReceiver* receiver, const Row& row, char* compared, char** reason) {
    *reason = nullptr;
    *compared = 'n';
    if (row.nulls[kCandidateId]) {
        *reason = row.nulls[kFailure] ? pstrdup(receiver->no_model)
                                      : psprintf("%s: %s", receiver->no_model,
                                                 TextDatumGetCString(row.values[kFailure]));
        return 'k';
    }
    RuleInput input = {};
    const RunFacts& candidate = receiver->contest->candidate;
    if (!read_holdout(row.values[kModel], &input.candidate.metrics, &input.candidate.mase)) {
        *reason = pstrdup("the model is damaged");
        return 'r';
    }
    input.candidate.present = input.candidate.is_model = true;
    input.candidate.model_id = row.id(kCandidateId);
    input.candidate.version = candidate.run->version;
    input.candidate.trained_at = candidate.finished_at;
    input.candidate.trained_rows = row.id(kRows);
    input.key = row.values[kKey];
    if (input.candidate.model_id == row.id(kProductionId)) {
        *reason = pstrdup("already in production");
        return 'k';
    }
    read_production(receiver, row, &input);
    *compared = read_comparison(row, &input);
    input.candidate.has_metrics = input.candidate.metrics.n_rows > 0;
    if (input.production.present && *compared == 'n')
        input.not_compared = why_not_compared(receiver, row);
    return evaluate_rule(receiver->contest->rule, &input, reason) == Verdict::accepted ? 'p' : 'r';
}

// --- Writing ----------------------------------------------------------------------------------

void write_model(DecisionReceiver* receiver, const Row& row, char compared) {
    const bool replaces = !row.nulls[kProductionId];
    const Datum values[] = {
        Int64GetDatum(receiver->storage),
        Int64GetDatum(receiver->promotion_id),
        Int64GetDatum(receiver->promotion_id),
        Int64GetDatum(receiver->contest->candidate.run->run_id),
        row.values[kCandidateId],
        row.values[kKeyHash],
        row.values[kProductionId],
        row.values[kRows],
        CharGetDatum(compared),
        row.values[row.nulls[kProductionKey] ? kKey : kProductionKey],  // the group keeps its name
        row.values[kFirstTime],
        row.values[kLastTime],
        row.values[kModel],
    };
    bool nulls[lengthof(values)] = {};
    nulls[6] = !replaces;
    nulls[10] = row.nulls[kFirstTime];
    nulls[11] = row.nulls[kLastTime];
    write_row(receiver->models, values, nulls);
}

void write_report(DecisionReceiver* receiver, const Row& row, char action, char compared,
                  const char* reason) {
    const Column key = row.nulls[kKey] ? kProductionKey : kKey;
    const Datum values[] = {
        Int64GetDatum(receiver->storage),
        Int64GetDatum(receiver->promotion_id),
        row.values[kCandidateId],
        row.values[kProductionId],
        CharGetDatum(action),
        CharGetDatum(compared),
        row.values[key],
        reason == nullptr ? Datum(0) : CStringGetTextDatum(reason),
    };
    bool nulls[lengthof(values)] = {};
    nulls[2] = row.nulls[kCandidateId];
    nulls[3] = row.nulls[kProductionId];
    nulls[7] = reason == nullptr;
    write_row(receiver->report, values, nulls);
}

void note_staying(const registry::ProductionState* state, int64 layer, Decisions* decisions) {
    int i = 0;
    while (i < state->n_layers && state->layers[i] != layer) i++;
    if (i == state->n_layers) elog(ERROR, "a model in production is of no layer in force");
    decisions->staying_by_layer[i]++;
    decisions->staying++;
}

void receive_group(TupleTableSlot* slot, void* argument) {
    auto* receiver = (DecisionReceiver*)argument;
    Decisions* decisions = receiver->decisions;
    const Row row = {slot->tts_values, slot->tts_isnull};
    if (!row.nulls[kProductionId]) receiver->found++;
    char compared;
    char* reason;
    const char action = judge(receiver, row, &compared, &reason);
    if (action == 'p' && receiver->models != nullptr)
        write_model(receiver, row, compared);
    else
        write_report(receiver, row, action, compared, reason);
    (action == 'p' ? decisions->promoted : action == 'k' ? decisions->kept : decisions->rejected)++;
    if (action != 'p' && !row.nulls[kProductionId])
        note_staying(receiver->contest->production, row.id(kProductionLayer), decisions);
    (compared == 't'   ? decisions->by_training
     : compared == 'r' ? decisions->by_rescan
                       : decisions->not_compared)++;
}

}  // namespace

void decide(Contest* contest, int64 promotion_id, int64 storage, RowWriter* models,
            RowWriter* report, Decisions* decisions) {
    DecisionReceiver receiver = {};
    receiver.contest = contest;
    receiver.decisions = decisions;
    receiver.models = models;
    receiver.report = report;
    receiver.promotion_id = promotion_id;
    receiver.storage = storage;
    receiver.no_model = psprintf("no model in version %d", contest->candidate.run->version);
    const int level = plan_for_layers();
    int64 read = 0;
    const bool directly = candidates_suffice(contest);
    const bool joins = contest->production->n_layers > 0 || contest->rescanned;
    // Where candidates are but read, one worker is faster than this process, which judges and writes,
    // and more only stand in each other's way.
    const int readers = std::min(many_max_workers, 2);
    if (directly)
        read = pg::run_read_query(compared_query(contest), readers, receive_group, &receiver).rows;
    if (!directly || read < contest->candidate.trained)
        (void)pg::run_read_query(candidates_query(contest, directly),
                                 joins ? many_max_workers : readers, receive_group, &receiver);
    if (contest->production->n_layers > 0 && receiver.found < contest->production_groups)
        (void)pg::run_read_query(others_query(contest), many_max_workers, receive_group, &receiver);
    AtEOXact_GUC(true, level);
}

}  // namespace many::promotion
