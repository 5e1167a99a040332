// What a promotion knows before it looks at groups: candidates.h.
#include "promotion/candidates.h"

#include "engine/rescan.h"
#include "pg/read_query.h"
#include "pg/settings.h"

namespace many::promotion {

namespace {

constexpr const char* kFactColumns =
    "run_id, finished_at, coalesce(trained, 0), coalesce(failed, 0) OPERATOR(pg_catalog.+) "
    "coalesce(skipped, 0), coalesce((details OPERATOR(pg_catalog.->>) 'production')::"
    "pg_catalog.int8, 0)";

void set_facts(RunFacts* facts, HeapTuple row, TupleDesc descriptor) {
    bool is_null = false;
    facts->finished_at = DatumGetTimestampTz(SPI_getbinval(row, descriptor, 2, &is_null));
    facts->trained = DatumGetInt64(SPI_getbinval(row, descriptor, 3, &is_null));
    facts->without_model = DatumGetInt64(SPI_getbinval(row, descriptor, 4, &is_null));
    facts->compared_promotion = DatumGetInt64(SPI_getbinval(row, descriptor, 5, &is_null));
}

// "it needs the feature "z"": a promoted run cannot be judged on rows that lack a feature.
const char* missing_feature(const registry::TrainingRun* candidate,
                            const registry::TrainingRun* promoted) {
    for (int i = 0; i < promoted->n_features; i++) {
        bool found = false;
        for (int k = 0; k < candidate->n_features && !found; k++)
            found = strcmp(candidate->features[k], promoted->features[i]) == 0;
        if (!found)
            return psprintf("it needs the feature \"%s\", which version %d does not have",
                            promoted->features[i], candidate->version);
    }
    return nullptr;
}

int compare_facts(const void* a, const void* b) {
    const int64 x = ((const RunFacts*)a)->run->run_id;
    const int64 y = ((const RunFacts*)b)->run->run_id;
    return x < y ? -1 : x > y ? 1 : 0;
}

void select_facts(const char* query) {
    const int code = SPI_execute(query, true, 0);
    if (code != SPI_OK_SELECT) elog(ERROR, "could not read the registry: %d", code);
}

registry::TrainingRun** run_list(const Contest* contest) {
    auto** runs = (registry::TrainingRun**)palloc(sizeof(registry::TrainingRun*) *
                                                  ((Size)contest->n_runs + 1));
    for (int i = 0; i < contest->n_runs; i++) runs[i] = contest->runs[i].run;
    return runs;
}

}  // namespace

RunFacts* find_facts(const Contest* contest, int64 run_id) {
    int low = 0;
    int high = contest->n_runs - 1;
    while (low <= high) {
        const int middle = (low + high) / 2;
        RunFacts* facts = &contest->runs[middle];
        if (facts->run->run_id == run_id) return facts;
        if (facts->run->run_id < run_id)
            low = middle + 1;
        else
            high = middle - 1;
    }
    return nullptr;
}

char* candidate_rows(const registry::TrainingRun* run) {
    return psprintf(
        "(SELECT k.model_id, k.key_hash, k.partition_key, k.n_rows, k.first_time, k.last_time, "
        "k.model, k.comparison, k.compared_with "
        "FROM many_models.model_store AS k WHERE k.storage OPERATOR(pg_catalog.=) "
        "'" INT64_FORMAT "'::pg_catalog.int8 AND k.run_id OPERATOR(pg_catalog.=) '" INT64_FORMAT
        "'::pg_catalog.int8)",
        run->storage, run->run_id);
}

char* group_condition(const Contest* contest, const char* a, const char* b) {
    return registry::same_group(a, b, contest->candidate.run, run_list(contest), contest->n_runs);
}

bool candidates_suffice(const Contest* contest) {
    return contest->compared && contest->production->n_layers == 1 &&
           !rule_describes_production(contest->rule) &&
           registry::same_key_bytes(contest->candidate.run, run_list(contest), contest->n_runs);
}

void read_facts(Contest* contest, const char* model_set, int version) {
    contest->candidate.run = registry::find_training_run(model_set, version);
    registry::TrainingRun** runs = registry::find_production_runs(model_set, &contest->n_runs);
    contest->production = registry::find_production(model_set);
    contest->runs = (RunFacts*)palloc0(sizeof(RunFacts) * ((Size)contest->n_runs + 1));
    for (int i = 0; i < contest->n_runs; i++) {
        contest->runs[i].run = runs[i];
        contest->runs[i].missing = missing_feature(contest->candidate.run, runs[i]);
    }
    qsort(contest->runs, (size_t)contest->n_runs, sizeof(RunFacts), compare_facts);
    registry::require_same_hash(contest->candidate.run, runs, contest->n_runs);
    select_facts(
        psprintf("SELECT %s FROM many_models.runs WHERE run_id OPERATOR(pg_catalog.=) "
                 "'" INT64_FORMAT "'::pg_catalog.int8",
                 kFactColumns, contest->candidate.run->run_id));
    if (SPI_processed != 1) elog(ERROR, "the run of the version vanished");
    set_facts(&contest->candidate, SPI_tuptable->vals[0], SPI_tuptable->tupdesc);
    select_facts(
        psprintf("SELECT %s FROM many_models.production_runs WHERE model_set "
                 "OPERATOR(pg_catalog.=) %s",
                 kFactColumns, quote_literal_cstr(model_set)));
    for (uint64 i = 0; i < SPI_processed; i++) {
        bool is_null = false;
        RunFacts* facts =
            find_facts(contest, DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i],
                                                            SPI_tuptable->tupdesc, 1, &is_null)));
        if (facts != nullptr) set_facts(facts, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
    }
    contest->production_groups = 0;
    if (contest->production->promotion_id == 0) return;
    select_facts(
        psprintf("SELECT production FROM many_models.promotions WHERE promotion_id "
                 "OPERATOR(pg_catalog.=) '" INT64_FORMAT "'::pg_catalog.int8",
                 contest->production->promotion_id));
    bool is_null = true;
    if (SPI_processed == 1)
        contest->production_groups =
            DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null));
}

// --- Comparisons that are out of date ---------------------------------------------------------

namespace {

constexpr int kListedGroups = 100000;  // these are read alone

// Groups whose recorded comparison is not with what is in production now, though it could be.
char* outdated_groups(const Contest* contest) {
    StringInfoData comparable;
    initStringInfo(&comparable);
    for (int i = 0; i < contest->n_runs; i++)
        if (contest->runs[i].missing == nullptr)
            appendStringInfo(&comparable, "%s" INT64_FORMAT, comparable.len > 0 ? "," : "",
                             contest->runs[i].run->run_id);
    return psprintf(
        "SELECT c.partition_key FROM %s AS c JOIN (%s) AS p ON %s WHERE c.comparison IS NOT NULL "
        "AND (c.compared_with OPERATOR(pg_catalog.<>) p.model_id OR c.compared_with IS NULL) AND "
        "c.model_id OPERATOR(pg_catalog.<>) p.model_id AND p.run_id OPERATOR(pg_catalog.=) ANY "
        "('{%s}'::pg_catalog.int8[])",
        candidate_rows(contest->candidate.run),
        registry::production_rows(contest->production,
                                  "m.model_id, m.run_id, m.key_hash, m.partition_key"),
        group_condition(contest, "c", "p"), comparable.data);
}

struct ListedGroups {
    int64 n;
    ArrayBuildState* keys;
    MemoryContext context;
};

void list_group(TupleTableSlot* slot, void* argument) {
    auto* list = (ListedGroups*)argument;
    if (++list->n <= kListedGroups)
        list->keys =
            accumArrayResult(list->keys, slot->tts_values[0], false, JSONBOID, list->context);
}

// jsonb[] of their keys; 0 when they are too many to list. A query that counts all of them: with a
// limit, it would be planned to be quick with few.
Datum list_groups(const char* groups, int64* n_groups) {
    ListedGroups list = {0, nullptr, CurrentMemoryContext};
    const int level = plan_for_layers();
    (void)pg::run_read_query(groups, many_max_workers, list_group, &list);
    AtEOXact_GUC(true, level);
    *n_groups = list.n;
    if (list.n == 0 || list.n > kListedGroups) return (Datum)0;
    return makeArrayResult(list.keys, list.context);
}

// Whether the training compared all groups that can be with what is in production now: under this
// promotion, or under one that led to the same state.
bool compared_at_training(const Contest* contest) {
    const registry::ProductionState* now = contest->production;
    const int64 then = contest->candidate.compared_promotion;
    if (then == 0 || then == now->promotion_id) return then != 0;
    const Datum layers = registry::int64_array(now->layers, now->n_layers);
    Oid types[2] = {INT8OID, INT8ARRAYOID};
    Datum values[2] = {Int64GetDatum(then), layers};
    const int code = SPI_execute_with_args(
        "SELECT FROM many_models.promotions WHERE promotion_id OPERATOR(pg_catalog.=) $1 AND "
        "layers OPERATOR(pg_catalog.=) $2",
        2, types, values, nullptr, true, 1);
    if (code != SPI_OK_SELECT) elog(ERROR, "could not read the registry: %d", code);
    return SPI_processed == 1;
}

Jsonb* options_of(const registry::TrainingRun* run) {
    bool is_null = false;
    select_facts(
        psprintf("SELECT options FROM many_models.runs WHERE run_id "
                 "OPERATOR(pg_catalog.=) '" INT64_FORMAT "'::pg_catalog.int8",
                 run->run_id));
    return DatumGetJsonbPCopy(
        SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null));
}

}  // namespace

void renew_comparisons(Contest* contest) {
    if (contest->production->n_layers == 0) return;
    contest->compared = compared_at_training(contest);
    if (contest->compared) return;
    engine::Rescan rescan = {};
    int64 n_groups = 0;
    rescan.run = contest->candidate.run;
    rescan.groups = list_groups(outdated_groups(contest), &n_groups);
    if (n_groups == 0) return;
    rescan.options = options_of(contest->candidate.run);
    engine::rescan_comparisons(&rescan, many_max_workers);
    auto* relation = (EphemeralNamedRelation)palloc0(sizeof(EphemeralNamedRelationData));
    relation->md.name = pstrdup(kRescanRelation);
    relation->md.tupdesc = rescan.columns;
    relation->md.enrtype = ENR_NAMED_TUPLESTORE;
    relation->md.enrtuples = (double)rescan.n_rows;
    relation->reldata = rescan.rows;
    if (SPI_register_relation(relation) != SPI_OK_REL_REGISTER)
        elog(ERROR, "could not register the results of a rescan");
    contest->rescanned = true;
}

}  // namespace many::promotion
