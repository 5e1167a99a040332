#include "serving/score_models.h"

#include "registry/access.h"

namespace many::serving {

namespace {

SPITupleTable* select_rows(const char* query, uint64* n) {
    if (SPI_execute(query, true, 0) != SPI_OK_SELECT) elog(ERROR, "could not read the models");
    *n = SPI_processed;
    return SPI_tuptable;
}

int64 number_at(SPITupleTable* rows, uint64 row, int column) {
    bool is_null = false;
    const Datum value = SPI_getbinval(rows->vals[row], rows->tupdesc, column, &is_null);
    return is_null ? 0 : DatumGetInt64(value);
}

char* rows_of_run(const registry::TrainingRun* run, const char* columns) {
    return psprintf(
        "SELECT %s FROM many_models.model_store AS m WHERE m.storage OPERATOR(pg_catalog.=) "
        "'" INT64_FORMAT "'::pg_catalog.int8 AND m.run_id OPERATOR(pg_catalog.=) '" INT64_FORMAT
        "'::pg_catalog.int8",
        columns, run->storage, run->run_id);
}

// Those of the run whose groups have nothing in production.
char* rows_beside_production(const ScoreModels* models, registry::TrainingRun** promoted, int n,
                             const char* columns) {
    return psprintf("%s AND NOT EXISTS (SELECT FROM (%s) AS p WHERE %s)",
                    rows_of_run(models->run, columns),
                    registry::production_rows(models->production, "m.key_hash, m.partition_key"),
                    registry::same_group("m", "p", models->run, promoted, n));
}

bool listed(char** list, int n, const char* name) {
    for (int i = 0; i < n; ++i)
        if (strcmp(list[i], name) == 0) return true;
    return false;
}

void add_run(ScoreModels* models, const registry::TrainingRun* run) {
    models->runs[models->n_runs++] = run;
    const Size n = static_cast<Size>(models->n_features + run->n_features) + 1;
    models->features = models->features == nullptr
                           ? static_cast<char**>(palloc(sizeof(char*) * n))
                           : static_cast<char**>(repalloc(models->features, sizeof(char*) * n));
    for (int i = 0; i < run->n_features; ++i)
        if (!listed(models->features, models->n_features, run->features[i]))
            models->features[models->n_features++] = run->features[i];
    for (int i = 0; i < run->n_keys; ++i)
        models->nullable_keys[i] = models->nullable_keys[i] || run->nullable_keys[i];
}

[[noreturn]] void raise_dropped(const char* model_set, int version) {
    const char* what = version == 0
                           ? psprintf("in production of model set \"%s\"", model_set)
                           : psprintf("of version %d of model set \"%s\"", version, model_set);
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("the models %s were dropped", what),
                    errdetail("The snapshot of this transaction is older than the drop."),
                    errhint("Try again in a new transaction.")));
    pg_unreachable();
}

// Rows of models with `columns` of alias k: of those that row-level security shows, because the caller
// may read them, the ones to score with.
char* to_score(const ScoreModels* models, const char* rows) {
    return psprintf("(%s) AS k WHERE true%s", rows, score_condition(models->run->model_set));
}

constexpr const char* kCounted = "m.partition_key, m.run_id, m.model";

SPITupleTable* count_models(const ScoreModels* models, const char* rows, uint64* n) {
    return select_rows(
        psprintf("SELECT k.run_id, pg_catalog.count(*), pg_catalog.sum(many_models.model_bytes("
                 "k.model))::pg_catalog.int8 FROM %s GROUP BY k.run_id",
                 to_score(models, rows)),
        n);
}

void count_run(ScoreModels* models, const char* query) {
    uint64 n = 0;
    SPITupleTable* rows = count_models(models, query, &n);
    models->uses_run = n > 0;
    if (n == 0) return;
    models->n_models += number_at(rows, 0, 2);
    models->model_bytes += number_at(rows, 0, 3);
}

// The runs that have models in force, and how many.
void count_production(ScoreModels* models, registry::TrainingRun** promoted, int n_promoted) {
    uint64 n = 0;
    SPITupleTable* rows =
        count_models(models, registry::production_rows(models->production, kCounted), &n);
    for (int i = 0; i < n_promoted; ++i)
        for (uint64 k = 0; k < n; ++k) {
            if (number_at(rows, k, 1) != promoted[i]->run_id) continue;
            models->n_production += number_at(rows, k, 2);
            models->model_bytes += number_at(rows, k, 3);
            add_run(models, promoted[i]);
        }
    models->n_models = models->n_production;
}

// Raises 42704 where nothing is left of production: its tables went with the set, after the snapshot.
// Models that the caller must not see are there all the same.
void require_production(const ScoreModels* models, const char* model_set) {
    uint64 n = 0;
    registry::RegistryRights rights;
    registry::enter_registry(&rights);
    select_rows(psprintf("SELECT FROM (%s) AS p LIMIT 1",
                         registry::production_rows(models->production, "m.run_id")),
                &n);
    registry::leave_registry(&rights);
    if (n == 0) raise_dropped(model_set, 0);
}

bool is_among(const ScoreModels* models, int64 run_id) {
    for (int i = 0; i < models->n_runs; ++i)
        if (models->runs[i]->run_id == run_id) return true;
    return false;
}

}  // namespace

const char* score_condition(const char* model_set) {
    if (registry::has_whole_set(model_set, registry::Privilege::score)) return "";
    return psprintf(" AND many_models.key_is_granted(%s, k.partition_key, 'score')",
                    quote_literal_cstr(model_set));
}

bool require_models(const char* model_set, int version, int64 storage, int64 run_id) {
    static SPIPlanPtr plan = nullptr;
    if (plan == nullptr) {
        Oid types[] = {INT8OID, INT8OID};
        SPIPlanPtr prepared = SPI_prepare(
            "SELECT coalesce(r.trained, 0) OPERATOR(pg_catalog.=) 0 OR EXISTS (SELECT FROM "
            "many_models.model_store AS k WHERE k.storage OPERATOR(pg_catalog.=) $1 AND k.run_id "
            "OPERATOR(pg_catalog.=) $2) FROM many_models.runs AS r WHERE r.run_id "
            "OPERATOR(pg_catalog.=) $2",
            2, types);
        if (prepared == nullptr) elog(ERROR, "could not plan the look-up: %d", SPI_result);
        SPI_keepplan(prepared);
        plan = prepared;
    }
    Datum parameters[] = {Int64GetDatum(storage), Int64GetDatum(run_id)};
    registry::RegistryRights rights;
    registry::enter_registry(&rights);  // models the caller must not see are there all the same
    if (SPI_execute_plan(plan, parameters, nullptr, true, 1) != SPI_OK_SELECT)
        elog(ERROR, "could not read the registry");
    registry::leave_registry(&rights);
    if (SPI_processed == 0) return false;
    bool is_null;
    if (!DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null)))
        raise_dropped(model_set, version);
    return true;
}

int* feature_places(char** features, int n, char** list, int n_list) {
    auto* places = static_cast<int*>(palloc(sizeof(int) * (static_cast<Size>(n) + 1)));
    bool same = n == n_list;
    for (int i = 0; i < n; ++i) {
        int place = 0;
        while (place < n_list && strcmp(list[place], features[i]) != 0) ++place;
        if (place == n_list) elog(ERROR, "feature \"%s\" is not among those read", features[i]);
        places[i] = place;
        same = same && place == i;
    }
    if (!same) return places;
    pfree(places);
    return nullptr;
}

void find_score_models(ScoreModels* models, const char* model_set, int version) {
    memset(models, 0, sizeof *models);
    registry::TrainingRun** promoted = nullptr;
    int n_promoted = 0;
    models->production = version == 0 ? registry::find_production(model_set) : nullptr;
    if (models->production == nullptr)
        models->production =
            static_cast<registry::ProductionState*>(palloc0(sizeof(registry::ProductionState)));
    if (models->production->n_layers > 0)
        promoted = registry::find_production_runs(model_set, &n_promoted);
    models->run = n_promoted > 0 ? registry::find_training_run_if_any(model_set, 0)
                                 : registry::find_training_run(model_set, version);
    const bool has_run = models->run != nullptr;
    if (!has_run) models->run = promoted[0];
    models->runs = static_cast<const registry::TrainingRun**>(
        palloc(sizeof(registry::TrainingRun*) * (static_cast<Size>(n_promoted) + 2)));
    models->nullable_keys = static_cast<bool*>(palloc0(static_cast<Size>(models->run->n_keys) + 1));
    registry::require_privilege(model_set, registry::Privilege::score);
    if (n_promoted == 0) {
        count_run(models, rows_of_run(models->run, kCounted));
        add_run(models, models->run);
        if (models->n_models == 0)
            (void)require_models(model_set, models->run->version, models->run->storage,
                                 models->run->run_id);
        return;
    }
    count_production(models, promoted, n_promoted);
    if (models->n_production == 0) require_production(models, model_set);
    if (has_run) count_run(models, rows_beside_production(models, promoted, n_promoted, kCounted));
    const bool uses_other = models->uses_run || models->n_production == 0;
    if (uses_other && !is_among(models, models->run->run_id)) add_run(models, models->run);
}

char* score_models_rows(const ScoreModels* models) {
    static const char* const columns = "m.partition_key, m.key_hash, m.model_id, m.run_id, m.model";
    if (models->production->n_layers == 0)
        return to_score(models, rows_of_run(models->run, columns));
    char* production = registry::production_rows(models->production, columns);
    if (!models->uses_run) return to_score(models, production);
    int n = 0;
    registry::TrainingRun** promoted = registry::find_production_runs(models->run->model_set, &n);
    return to_score(models, psprintf("%s UNION ALL %s", production,
                                     rows_beside_production(models, promoted, n, columns)));
}

}  // namespace many::serving
