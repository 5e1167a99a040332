// What a new version takes over from the one before: the rows of groups that were not trained.
#include "pg/server.h"

#include "engine/carry.h"

#include "engine/fingerprint.h"

namespace many::engine {

namespace {

// Which rows of the base are carried forward: those of the groups that were not trained ...
constexpr const char* kNotTrained =
    "x.run_id = $1 AND x.storage = $2 AND NOT EXISTS (SELECT FROM pg_catalog.unnest($3) AS k (key) "
    "WHERE k.key = x.partition_key)";
// ... or the ones in these places.
constexpr const char* kInPlaces = "x.run_id = $1 AND x.storage = $2 AND x.ctid = ANY ($3)";

int64 execute_carry(const Retraining* r, const char* statement, Oid type, Datum which) {
    Oid types[3] = {INT8OID, INT8OID, type};
    Datum values[3] = {Int64GetDatum(r->base->run_id), Int64GetDatum(r->base->storage), which};
    if (SPI_execute_with_args(statement, 3, types, values, nullptr, false, 0) < 0)
        elog(ERROR, "could not carry models forward");
    return (int64)SPI_processed;
}

const char* carry_target(const Retraining* r, const Collected* collected, const char* parent) {
    return collected->storage == 0 ? psprintf("%s_shared", parent)
                                   : own_partition(parent, r->run_id);
}

// `which`, of `type`, is the parameter of the condition.
void carry_models(Retraining* r, Collected* collected, const char* condition, Oid type,
                  Datum which) {
    r->carried = execute_carry(
        r,
        psprintf("INSERT INTO many_models.%s (storage, run_id, model_id, key_hash, partition_key, "
                 "n_rows, seconds, first_time, last_time, model, comparison, compared_with, "
                 "fingerprint) "
                 "SELECT " INT64_FORMAT ", " INT64_FORMAT
                 ", pg_catalog.nextval('many_models.model_id_seq'), x.key_hash, x.partition_key, "
                 "x.n_rows, x.seconds, x.first_time, x.last_time, x.model, x.comparison, "
                 "x.compared_with, x.fingerprint "
                 "FROM many_models.model_store AS x WHERE %s",
                 carry_target(r, collected, "model_store"), collected->storage, r->run_id,
                 condition),
        type, which);
    collected->trained += r->carried;
    for (int i = 0; i < r->run.plan->spec->n_keys; i++)
        if (r->base->nullable_keys[i]) collected->nullable_keys[i] = true;
}

void carry_failures(Retraining* r, Collected* collected, const char* condition, Oid type,
                    Datum which) {
    const char* target = carry_target(r, collected, "failure_store");
    for (const char* status : {"failed", "skipped"}) {
        const int64 n = execute_carry(
            r,
            psprintf("INSERT INTO many_models.%s (storage, run_id, partition_key, status, "
                     "sqlstate, message, hint, attempt, n_rows, seconds, fingerprint) "
                     "SELECT " INT64_FORMAT ", " INT64_FORMAT
                     ", x.partition_key, x.status, x.sqlstate, x.message, x.hint, x.attempt, "
                     "x.n_rows, x.seconds, x.fingerprint FROM many_models.failure_store AS x "
                     "WHERE x.status = '%s' AND %s",
                     target, collected->storage, r->run_id, status, condition),
            type, which);
        if (status[0] == 'f')
            collected->failed += n;
        else
            collected->skipped += n;
    }
}

// Groups that failed once more. Before failures are carried.
void count_attempts(const Retraining* r, const Collected* collected) {
    (void)execute_carry(
        r,
        psprintf("UPDATE many_models.%s AS n SET attempt = x.attempt + 1 "
                 "FROM many_models.failure_store AS x WHERE x.partition_key = n.partition_key "
                 "AND x.run_id = $1 AND x.storage = $2 AND n.run_id = $3",
                 carry_target(r, collected, "failure_store")),
        INT8OID, Int64GetDatum(r->run_id));
}

// Of the version, the carried groups too: the run's counters, by which its failures are judged.
void count_whole_version(Retraining* r, const Collected* collected) {
    RunSegment* segment = r->run.segment;
    count_trained(r);
    pg_atomic_write_u64(&segment->groups_trained, (uint64)collected->trained);
    pg_atomic_write_u64(&segment->groups_failed, (uint64)collected->failed);
    pg_atomic_write_u64(&segment->groups_skipped, (uint64)collected->skipped);
    check_failures(segment, r->run.plan->max_failed_fraction);
}

}  // namespace

void count_trained(Retraining* r) {
    RunSegment* segment = r->run.segment;
    r->updated = pg_atomic_read_u64(&segment->groups_updated);
    r->trained_again = pg_atomic_read_u64(&segment->groups_trained) - r->updated;
    r->vanished = pg_atomic_read_u64(&segment->groups_vanished);
    if (r->all) return;
    ArrayType* again = DatumGetArrayTypeP(r->again);
    r->vanished = (uint64)ArrayGetNItems(ARR_NDIM(again), ARR_DIMS(again)) - r->trained_again -
                  pg_atomic_read_u64(&segment->groups_failed) -
                  pg_atomic_read_u64(&segment->groups_skipped);
}

void carry_unchanged(void* argument, const uint64* places, Size n, Collected* collected) {
    auto* r = (Retraining*)argument;
    const Oid rows = get_array_type(TIDOID);
    count_attempts(r, collected);
    carry_models(r, collected, kInPlaces, rows, rows_at(places, n, false));
    carry_failures(r, collected, kInPlaces, rows, rows_at(places, n, true));
    count_whole_version(r, collected);
}

void carry_all_others(Retraining* r) {
    Collected* collected = &r->collected;
    count_attempts(r, collected);
    carry_models(r, collected, kNotTrained, JSONBARRAYOID, r->again);
    carry_failures(r, collected, kNotTrained, JSONBARRAYOID, r->again);
    count_whole_version(r, collected);
}

}  // namespace many::engine
