// See evaluate_store.h.
#include "pg/server.h"

#include "serving/evaluate_store.h"

#include "pg/read_query.h"
#include "registry/key_text.h"
#include "registry/registry.h"
#include "serving/accuracy.h"

#include <cmath>

extern "C" {
#include "storage/lmgr.h"
#include "utils/queryenvironment.h"
#include "utils/tuplestore.h"
}

namespace many::serving {

namespace {

constexpr const char* kResults = "many_models_results";
constexpr const char* kMoments = "many_models_moments";

struct ColumnSpec {
    const char* name;
    Oid type;
};

constexpr ColumnSpec kResultColumnsOut[] = {
    {"key_hash", INT8OID},
    {"partition_key", JSONBOID},
    {"period_start", TIMESTAMPOID},
    {"model_version", INT4OID},
    {"model_id", INT8OID},
    {"n_predictions", INT8OID},
    {"n_without_actual", INT8OID},
    {"n_without_prediction", INT8OID},
    {"n_not_scored", INT8OID},
    {"n_rows", INT8OID},
    {"rmse", FLOAT8OID},
    {"mae", FLOAT8OID},
    {"mape", FLOAT8OID},
    {"smape", FLOAT8OID},
    {"r2", FLOAT8OID},
    {"bias", FLOAT8OID},
    {"coverage", FLOAT8OID},
};
constexpr ColumnSpec kMomentColumns[] = {{"key_hash", INT8OID},
                                         {"partition_key", JSONBOID},
                                         {"period_start", TIMESTAMPOID},
                                         {"numbers", FLOAT8ARRAYOID},
                                         {"levels", JSONBOID}};
constexpr int kFirstMetric = 10;  // rmse
constexpr int kMaxColumns = 17;

TupleDesc make_descriptor(const ColumnSpec* columns, int n) {
    TupleDesc descriptor = CreateTemplateTupleDesc(n);
    for (int i = 0; i < n; ++i)
        TupleDescInitEntry(descriptor, static_cast<AttrNumber>(i + 1), columns[i].name,
                           columns[i].type, -1, 0);
    return descriptor;
}

// One query's rows, with the key in the registry's form.
struct Collected {
    EvaluateStore* store;
    TupleDesc descriptor;
    Tuplestorestate* rows;
    registry::KeyColumn* columns;  // of the query's keys; nullptr before the first row
    int64 n;
};

}  // namespace

struct EvaluateStore {
    const EvaluateSpec* spec;
    MemoryContext context;
    Collected results;
    Collected moments;
    EvaluateTotals* totals;
    Jsonb* ambiguous_key;  // of some group with ids that are not unique
};

namespace {

void begin_collecting(Collected* c, EvaluateStore* store, const ColumnSpec* columns, int n) {
    c->store = store;
    c->descriptor = make_descriptor(columns, n);
    c->rows = tuplestore_begin_heap(false, false, work_mem);
}

// The key columns as this query has them: of the common type of both sides.
void prepare_keys(Collected* c, TupleDesc query) {
    const registry::TrainingRun* run = c->store->spec->run;
    if (c->columns != nullptr) return;
    const MemoryContext old = MemoryContextSwitchTo(c->store->context);
    auto* columns = static_cast<registry::KeyColumn*>(
        palloc0(sizeof(registry::KeyColumn) * static_cast<Size>(run->n_keys + 1)));
    for (int i = 0; i < run->n_keys; ++i)
        registry::key_column_init(&columns[i], run->partition_by[i],
                                  TupleDescAttr(query, i)->atttypid,
                                  TupleDescAttr(query, i)->attcollation);
    c->columns = columns;
    MemoryContextSwitchTo(old);
}

// Fills in key_hash and partition_key.
void put_key(Collected* c, TupleTableSlot* slot, Datum* values) {
    const int n = c->store->spec->run->n_keys;
    prepare_keys(c, slot->tts_tupleDescriptor);
    values[0] =
        Int64GetDatum(registry::key_hash(c->columns, n, slot->tts_values, slot->tts_isnull));
    values[1] =
        JsonbPGetDatum(registry::key_to_jsonb(c->columns, n, slot->tts_values, slot->tts_isnull));
}

void read_numbers(Datum array, double* numbers) {
    ArrayType* values = DatumGetArrayTypeP(array);
    if (ARR_NDIM(values) != 1 || ARR_DIMS(values)[0] != kEvaluateValues || ARR_HASNULL(values))
        elog(ERROR, "unexpected result of evaluate_pairs");
    memcpy(numbers, ARR_DATA_PTR(values), sizeof(double) * kEvaluateValues);
}

void add_totals(EvaluateTotals* totals, const double* numbers) {
    totals->predictions += static_cast<int64>(numbers[kPredictions]);
    totals->without_actual += static_cast<int64>(numbers[kWithoutActual]);
    totals->without_prediction += static_cast<int64>(numbers[kWithoutPrediction]);
    totals->not_scored += static_cast<int64>(numbers[kNotScored]);
    totals->ambiguous += static_cast<int64>(numbers[kAmbiguous]);
    totals->rows += static_cast<int64>(numbers[kEvaluateCounts]);
}

// keys, period, version, model_id, numbers
void collect_result(TupleTableSlot* slot, void* argument) {
    auto* c = static_cast<Collected*>(argument);
    EvaluateStore* store = c->store;
    const int n_keys = store->spec->run->n_keys;
    Datum values[kMaxColumns];
    bool nulls[kMaxColumns] = {};
    double numbers[kEvaluateValues];
    read_numbers(slot->tts_values[n_keys + 3], numbers);
    add_totals(store->totals, numbers);
    put_key(c, slot, values);
    if (numbers[kAmbiguous] > 0 && store->ambiguous_key == nullptr) {
        const auto* key = DatumGetJsonbP(values[1]);
        store->ambiguous_key =
            static_cast<Jsonb*>(MemoryContextAlloc(store->context, VARSIZE(key)));
        memcpy(store->ambiguous_key, key, VARSIZE(key));
    }
    for (int i = 0; i < 3; ++i) {
        values[i + 2] = slot->tts_values[n_keys + i];
        nulls[i + 2] = slot->tts_isnull[n_keys + i];
    }
    const EvaluateCount counts[] = {kPredictions, kWithoutActual, kWithoutPrediction, kNotScored};
    int at = 5;
    for (const EvaluateCount count : counts)
        values[at++] = Int64GetDatum(static_cast<int64>(numbers[count]));
    values[at++] = Int64GetDatum(static_cast<int64>(numbers[kEvaluateCounts]));
    for (int i = 1; i < kEvaluateMetrics; ++i, ++at) {
        values[at] = Float8GetDatum(numbers[kEvaluateCounts + i]);
        nulls[at] = !std::isfinite(numbers[kEvaluateCounts + i]);
    }
    tuplestore_putvalues(c->rows, c->descriptor, values, nulls);
    ++c->n;
}
static_assert(kFirstMetric + kEvaluateMetrics - 1 == kMaxColumns);

// keys, period, numbers, levels
void collect_moments(TupleTableSlot* slot, void* argument) {
    auto* c = static_cast<Collected*>(argument);
    const int n_keys = c->store->spec->run->n_keys;
    Datum values[kMaxColumns];
    bool nulls[kMaxColumns] = {};
    put_key(c, slot, values);
    for (int i = 0; i < 3; ++i) {
        values[i + 2] = slot->tts_values[n_keys + i];
        nulls[i + 2] = slot->tts_isnull[n_keys + i];
    }
    tuplestore_putvalues(c->rows, c->descriptor, values, nulls);
    ++c->n;
}

[[noreturn]] void raise_ambiguous(const EvaluateStore* store) {
    StringInfoData ids;
    initStringInfo(&ids);
    for (int i = 0; i < store->spec->run->n_keys; ++i)
        appendStringInfo(&ids, "%s%s", ids.len > 0 ? ", " : "", store->spec->run->partition_by[i]);
    for (int i = 0; i < store->spec->n_ids; ++i)
        appendStringInfo(&ids, "%s%s", ids.len > 0 ? ", " : "", store->spec->ids[i]);
    char* key = JsonbToCString(nullptr, &store->ambiguous_key->root, VARSIZE(store->ambiguous_key));
    ereport(ERROR,
            (errcode(ERRCODE_CARDINALITY_VIOLATION),
             errmsg("%s more than one row in the predictions or in the source",
                    store->totals->ambiguous == 1
                        ? "an id has"
                        : psprintf(INT64_FORMAT " ids have", store->totals->ambiguous)),
             errdetail("Rows are known by (%s); for example in group %s.", ids.data, key),
             errhint("Score with id_columns that are unique in each group, or give a source with "
                     "one row per id.")));
    pg_unreachable();
}

void register_rows(Collected* c, const char* name) {
    auto* relation =
        static_cast<EphemeralNamedRelation>(palloc0(sizeof(EphemeralNamedRelationData)));
    relation->md.name = pstrdup(name);
    relation->md.tupdesc = c->descriptor;
    relation->md.enrtype = ENR_NAMED_TUPLESTORE;
    relation->md.enrtuples = static_cast<double>(c->n);
    relation->reldata = c->rows;
    const int code = SPI_register_relation(relation);
    if (code != SPI_OK_REL_REGISTER) elog(ERROR, "SPI_register_relation failed: %d", code);
}

// Gives its memory and files back.
void end_collecting(Collected* c, const char* name) {
    (void)SPI_unregister_relation(name);
    tuplestore_end(c->rows);
    c->rows = nullptr;
}

// Evaluations of a set write one after the other: each sees what the one before wrote.
void lock_evaluations(const char* model_set) {
    const Oid table = get_relname_relid("evaluations", get_namespace_oid("many_models", false));
    const uint32 hash = static_cast<uint32>(DatumGetInt32(
        DirectFunctionCall1Coll(hashtext, DEFAULT_COLLATION_OID, CStringGetTextDatum(model_set))));
    LockDatabaseObject(RelationRelationId, table, static_cast<uint16>(hash), ExclusiveLock);
}

int64 count_rows(const char* query, const char* model_set) {
    Oid types[1] = {TEXTOID};
    Datum values[1] = {CStringGetTextDatum(model_set)};
    bool is_null = true;
    const int code = SPI_execute_with_args(query, 1, types, values, nullptr, false, 1);
    if (code != SPI_OK_SELECT || SPI_processed != 1)
        elog(ERROR, "could not read the registry: %d", code);
    const Datum n = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null);
    return is_null ? 0 : DatumGetInt64(n);
}

// $1 the set, $2 the unit of the periods
constexpr const char* kDelete =
    "DELETE FROM many_models.evaluations AS e USING many_models_results AS r "
    "WHERE r.n_predictions > 0 AND e.model_set = $1 AND e.key_hash = r.key_hash "
    "AND (e.model_id = r.model_id OR e.partition_key = r.partition_key) "
    "AND e.period IS NOT DISTINCT FROM $2 "
    "AND coalesce(e.period_start, '-infinity') = coalesce(r.period_start, '-infinity') "
    "AND coalesce(e.model_version, 0) = coalesce(r.model_version, 0)";

// $3 the run, $4 features, $5 those left out, $6 storages of the set's models, $7 their runs, $8 the
// runs that had these features, $9 promoted runs whose versions were dropped: models of theirs are
// found in production, maybe in several layers; $10 the storages of these
constexpr const char* kInsert =
    "INSERT INTO many_models.evaluations (run_id, model_set, partition_key, key_hash, period, "
    "period_start, model_version, model_id, model_checksum, n_predictions, n_rows, "
    "n_without_actual, n_without_prediction, n_not_scored, rmse, mae, mape, smape, r2, bias, "
    "coverage, reference, "
    "reference_rmse, reference_rows, psi, psi_feature, psi_noise) "
    "SELECT $3, $1, coalesce(m.partition_key, r.partition_key), r.key_hash, $2, r.period_start, "
    "r.model_version, r.model_id, many_models.model_checksum(m.model), r.n_predictions, r.n_rows, "
    "r.n_without_actual, r.n_without_prediction, r.not_scored, r.rmse, r.mae, r.mape, r.smape, "
    "r.r2, r.bias, "
    "r.coverage, b.reference, b.rmse, b.n_rows, s.psi, s.feature, s.noise "
    "FROM (SELECT q.*, (sum(q.n_not_scored) OVER (PARTITION BY q.key_hash, q.partition_key, "
    "q.period_start))::bigint AS not_scored FROM many_models_results AS q) AS r "
    "LEFT JOIN (SELECT k.model_id, k.run_id, k.partition_key, k.model "
    "FROM many_models.model_store AS k WHERE k.storage = ANY ($6) AND k.run_id = ANY ($7) "
    "UNION ALL (SELECT DISTINCT ON (p.model_id) p.model_id, p.run_id, p.partition_key, p.model "
    "FROM many_models.production_store AS p WHERE cardinality($9) > 0 AND p.storage = ANY ($10) "
    "AND p.run_id = ANY ($9))) "
    "AS m ON m.model_id = r.model_id "
    "LEFT JOIN many_models_moments AS n ON m.run_id = ANY ($8) AND n.key_hash = r.key_hash "
    "AND n.partition_key = r.partition_key "
    "AND coalesce(n.period_start, '-infinity') = coalesce(r.period_start, '-infinity') "
    "LEFT JOIN LATERAL many_models.model_reference(m.model) AS b ON true "
    "LEFT JOIN LATERAL many_models.feature_shift(m.model, $4, $5, n.numbers, n.levels) AS s "
    "ON true "
    "WHERE r.n_predictions > 0";

// The runs whose models there are: arrays for kInsert, from $6 on.
void read_training_runs(const registry::TrainingRun* run, Datum* arrays) {
    Oid types[2] = {TEXTOID, TEXTARRAYOID};
    Datum values[2] = {CStringGetTextDatum(run->model_set),
                       PointerGetDatum(pg::strings_to_text_array(run->features, run->n_features))};
    const int code = SPI_execute_with_args(
        "SELECT coalesce(array_agg(DISTINCT storage) FILTER (WHERE here), '{}'), "
        "coalesce(array_agg(run_id) FILTER (WHERE here), '{}'), "
        "coalesce(array_agg(run_id) FILTER (WHERE features = $2), '{}'), "
        "coalesce(array_agg(run_id) FILTER (WHERE NOT here), '{}'), "
        "ARRAY(SELECT DISTINCT u.storage FROM many_models.promotions AS o, "
        "unnest(o.storages) AS u (storage) WHERE o.model_set = $1) "
        "FROM (SELECT run_id, storage, features, true AS here FROM many_models.runs "
        "WHERE model_set = $1 AND kind IN ('train', 'import') UNION ALL "
        "SELECT p.run_id, p.storage, p.features, false FROM many_models.production_runs AS p "
        "WHERE p.model_set = $1 AND NOT EXISTS (SELECT FROM many_models.runs AS r "
        "WHERE r.run_id = p.run_id)) AS q",
        2, types, values, nullptr, false, 1);
    if (code != SPI_OK_SELECT || SPI_processed != 1)
        elog(ERROR, "could not read the registry: %d", code);
    for (int i = 0; i < 5; ++i) {
        bool is_null = true;
        arrays[i] = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i + 1, &is_null);
    }
}

bool is_calendar(const char* type_name) {
    const Oid type = pg::find_type(type_name);
    if (!OidIsValid(type)) return false;
    const Oid base = getBaseType(type);
    return base == DATEOID || base == TIMESTAMPOID || base == TIMESTAMPTZOID;
}

// The features that say nothing about stability: a calendar moves on by itself.
Datum calendar_features(const registry::TrainingRun* run) {
    auto** names =
        static_cast<char**>(palloc(sizeof(char*) * static_cast<Size>(run->n_features + 1)));
    int n = 0;
    for (int i = 0; i < run->n_features; ++i) {
        const bool is_time =
            run->time_column != nullptr && strcmp(run->features[i], run->time_column) == 0;
        if (is_time || is_calendar(run->feature_types[i])) names[n++] = run->features[i];
    }
    return PointerGetDatum(pg::strings_to_text_array(names, n));
}

}  // namespace

EvaluateStore* make_evaluate_store(const EvaluateSpec* spec) {
    auto* store = static_cast<EvaluateStore*>(palloc0(sizeof(EvaluateStore)));
    store->spec = spec;
    store->context = CurrentMemoryContext;
    begin_collecting(&store->results, store, kResultColumnsOut, lengthof(kResultColumnsOut));
    begin_collecting(&store->moments, store, kMomentColumns, lengthof(kMomentColumns));
    return store;
}

void read_evaluation(EvaluateStore* store, int workers, EvaluateTotals* totals) {
    store->totals = totals;
    const pg::ReadQuery results = pg::run_read_query(build_evaluate_query(store->spec), workers,
                                                     collect_result, &store->results);
    totals->processes = results.processes;
    totals->worker_cpu_us = results.worker_cpu_us;
    if (totals->ambiguous > 0) raise_ambiguous(store);
    if (!store->spec->options.features) return;
    const pg::ReadQuery moments = pg::run_read_query(build_moments_query(store->spec), workers,
                                                     collect_moments, &store->moments);
    if (moments.processes > totals->processes) totals->processes = moments.processes;
    totals->worker_cpu_us += moments.worker_cpu_us;
}

void write_evaluation(EvaluateStore* store, int64 run_id, EvaluateTotals* totals) {
    const registry::TrainingRun* run = store->spec->run;
    const char* period = store->spec->period;
    registry::hold_model_set(run->model_set);
    lock_evaluations(run->model_set);
    register_rows(&store->results, kResults);
    register_rows(&store->moments, kMoments);
    constexpr int kArguments = 10;
    Oid types[kArguments] = {TEXTOID,      TEXTOID,      INT8OID,      TEXTARRAYOID, TEXTARRAYOID,
                             INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID};
    Datum values[kArguments] = {CStringGetTextDatum(run->model_set),
                                period == nullptr ? Datum(0) : CStringGetTextDatum(period),
                                Int64GetDatum(run_id)};
    char nulls[kArguments + 1];
    memset(nulls, ' ', kArguments);
    nulls[kArguments] = '\0';
    if (period == nullptr) nulls[1] = 'n';
    values[3] = PointerGetDatum(pg::strings_to_text_array(run->features, run->n_features));
    values[4] = calendar_features(run);
    read_training_runs(run, &values[5]);
    int code = SPI_execute_with_args(kDelete, 2, types, values, nulls, false, 0);
    if (code != SPI_OK_DELETE) elog(ERROR, "could not write the registry: %d", code);
    code = SPI_execute_with_args(kInsert, kArguments, types, values, nulls, false, 0);
    if (code != SPI_OK_INSERT) elog(ERROR, "could not write the registry: %d", code);
    totals->groups = count_rows(
        "SELECT count(*) FROM (SELECT FROM many_models_results WHERE n_predictions > 0 AND $1 IS "
        "NOT NULL GROUP BY key_hash, partition_key) AS q",
        run->model_set);
    totals->periods = count_rows(
        "SELECT count(*) FROM (SELECT FROM many_models_results WHERE n_predictions > 0 AND $1 IS "
        "NOT NULL GROUP BY period_start) AS q",
        run->model_set);
    end_collecting(&store->results, kResults);
    end_collecting(&store->moments, kMoments);
}

int64 count_drifted(const char* model_set) {
    return count_rows("SELECT count(*) FROM many_models.drift WHERE model_set = $1 AND drifted",
                      model_set);
}

}  // namespace many::serving
