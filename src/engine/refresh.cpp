#include "pg/server.h"

#include "engine/refresh.h"

#include "engine/append.h"
#include "engine/carry.h"
#include "engine/fingerprint.h"
#include "engine/key_image.h"
#include "engine/progress.h"
#include "engine/set_view.h"
#include "engine/update.h"
#include "pg/settings.h"
#include "registry/key_text.h"

extern "C" {
#include "tcop/utility.h"
}

namespace many::engine {

namespace {

Datum base_column(int i, bool* is_null) {
    return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i, is_null);
}

char** base_strings(int i, int* n) {
    bool is_null = false;
    const Datum value = base_column(i, &is_null);
    *n = -1;
    return is_null ? nullptr : pg::text_array_to_strings(DatumGetArrayTypePCopy(value), "array", n);
}

Jsonb* base_jsonb(int i) {
    bool is_null = false;
    return DatumGetJsonbPCopy(base_column(i, &is_null));
}

constexpr const char* kBaseColumns =
    "SELECT r.run_id, r.storage, r.version, r.model_set, r.source, r.partition_by, r.target, "
    "r.features, r.algorithm, r.time_column, r.options, r.tags, r.nullable_keys, r.key_types, "
    "r.feature_types FROM many_models.runs AS r WHERE r.kind OPERATOR(pg_catalog.=) "
    "ANY (ARRAY['train', 'import']) AND ";

// As the caller may see it; nullptr: none.
BaseRun* read_base(const char* condition, Oid type, Datum argument) {
    Oid types[1] = {type};
    Datum values[1] = {argument};
    const int code = SPI_execute_with_args(psprintf("%s%s", kBaseColumns, condition), 1, types,
                                           values, nullptr, true, 1);
    if (code != SPI_OK_SELECT) elog(ERROR, "could not read the registry: %d", code);
    if (SPI_processed == 0) return nullptr;
    bool is_null = false;
    int n = 0;
    auto* base = (BaseRun*)palloc0(sizeof(BaseRun));
    TrainArguments* a = &base->arguments;
    const auto text_at = [](int i) {
        return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i);
    };
    base->run_id = DatumGetInt64(base_column(1, &is_null));
    base->storage = DatumGetInt64(base_column(2, &is_null));
    base->version = DatumGetInt32(base_column(3, &is_null));
    a->model_set = text_at(4);
    a->source = text_at(5);
    a->partition_by = base_strings(6, &a->n_keys);
    a->target = text_at(7);
    a->features = base_strings(8, &a->n_features);
    a->algorithm = text_at(9);
    a->time_column = text_at(10);
    a->options = base_jsonb(11);
    a->tags = base_jsonb(12);
    base->nullable_keys = (bool*)palloc0(sizeof(bool) * (Size)(a->n_keys + 1));
    const Datum nullable = base_column(13, &is_null);
    if (!is_null) {
        Datum* elements;
        bool* nulls;
        deconstruct_array(DatumGetArrayTypeP(nullable), BOOLOID, 1, true, TYPALIGN_CHAR, &elements,
                          &nulls, &n);
        for (int i = 0; i < n && i < a->n_keys; i++)
            base->nullable_keys[i] = DatumGetBool(elements[i]);
    }
    base->key_types = base_strings(14, &n);
    base->feature_types = base_strings(15, &n);
    return base;
}

void require_same_types(const char* what, char** names, char** then, const Oid* now, int n) {
    for (int i = 0; i < n; i++) {
        const char* type = format_type_extended(now[i], -1, FORMAT_TYPE_FORCE_QUALIFY);
        if (strcmp(then[i], type) == 0) continue;
        ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                        errmsg("%s \"%s\" is of type %s now, and was %s when the models were "
                               "trained",
                               what, names[i], type, then[i]),
                        errhint("Train all groups with many_models.train_many_models.")));
    }
}

int compare_hashes(const void* a, const void* b) {
    const uint64 x = *(const uint64*)a;
    const uint64 y = *(const uint64*)b;
    return x < y ? -1 : x > y ? 1 : 0;
}

}  // namespace

// Keys in the registry's form -> the hashes that the sink gives them.
void only_groups(Run* run, Datum keys) {
    const TrainPlan* plan = run->plan;
    const int n_keys = plan->spec->n_keys;
    Datum* elements;
    bool* nulls;
    int n = 0;
    deconstruct_array(DatumGetArrayTypeP(keys), JSONBOID, -1, false, TYPALIGN_INT, &elements,
                      &nulls, &n);
    auto* hashes =
        (uint64*)MemoryContextAllocHuge(CurrentMemoryContext, sizeof(uint64) * (Size)(n + 1));
    registry::KeyColumn* columns = key_columns(plan);
    KeyCodec codec;
    key_codec_init(&codec, plan->spec);
    MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "many_models keys", ALLOCSET_DEFAULT_SIZES);
    const int guc_level = NewGUCNestLevel();
    set_text_formats();
    for (int i = 0; i < n; i++) {
        Datum values[kMaxKeys];
        bool value_nulls[kMaxKeys];
        NullableDatum key[kMaxKeys];
        MemoryContext old = MemoryContextSwitchTo(context);
        registry::key_from_jsonb(columns, n_keys, DatumGetJsonbP(elements[i]), values, value_nulls);
        for (int k = 0; k < n_keys; k++) key[k] = {values[k], value_nulls[k]};
        MemoryContextSwitchTo(old);
        hashes[i] = key_encode(&codec, key);
        MemoryContextReset(context);
    }
    AtEOXact_GUC(true, guc_level);
    MemoryContextDelete(context);
    qsort(hashes, (size_t)n, sizeof(uint64), compare_hashes);
    run->is_partial = true;
    run->only = hashes;
    run->n_only = (uint64)n;
}

namespace {

int length_of(Datum array) {
    ArrayType* a = DatumGetArrayTypeP(array);
    return ArrayGetNItems(ARR_NDIM(a), ARR_DIMS(a));
}

void describe(Retraining* r) {
    if (r->read_after != nullptr) {
        r->run.more_details = psprintf(", \"refresh\": \"append\", \"base_run\": " INT64_FORMAT
                                       ", \"read_after\": \"%s\"",
                                       r->base->run_id, r->read_after);
        return;
    }
    const char* updates = "";
    if (r->compares && r->run.plan->spec->updates)
        updates = psprintf(", \"refresh\": \"update\", \"updated\": " UINT64_FORMAT, r->updated);
    r->run.more_details =
        psprintf("%s, \"base_run\": " INT64_FORMAT ", \"carried\": " INT64_FORMAT
                 ", \"trained_again\": " UINT64_FORMAT ", \"vanished\": " UINT64_FORMAT,
                 updates, r->base->run_id, r->carried, r->trained_again, r->vanished);
}

// jsonb[] of the first column of a query with two bigint parameters and one text.
Datum keys_of(const char* query, int64 first, int64 second, const char* text, bool as_owner) {
    Oid types[3] = {INT8OID, INT8OID, TEXTOID};
    Datum values[3] = {Int64GetDatum(first), Int64GetDatum(second), CStringGetTextDatum(text)};
    registry::RegistryRights rights;
    bool is_null = false;
    if (as_owner) registry::enter_registry(&rights);
    const int code = SPI_execute_with_args(
        psprintf("SELECT COALESCE(pg_catalog.array_agg(q.key), '{}'::pg_catalog.jsonb[]) "
                 "FROM (%s) AS q (key)",
                 query),
        3, types, values, nullptr, false, 1);
    if (as_owner) registry::leave_registry(&rights);
    if (code != SPI_OK_SELECT) elog(ERROR, "could not read the registry: %d", code);
    return base_column(1, &is_null);
}

Datum summary_of(FunctionCallInfo fcinfo, Retraining* r, MemoryContext caller, const char* status) {
    TupleDesc descriptor;
    Datum values[11];
    bool nulls[11] = {false};
    const bool trained = r->run.segment != nullptr;
    MemoryContextSwitchTo(caller);
    if (get_call_result_type(fcinfo, nullptr, &descriptor) != TYPEFUNC_COMPOSITE)
        elog(ERROR, "run_summary expected");
    auto* elapsed = (Interval*)palloc0(sizeof(Interval));
    elapsed->time = r->elapsed;
    values[0] = Int64GetDatum(trained ? r->run_id : r->base->run_id);
    values[1] = CStringGetTextDatum(r->base->arguments.model_set);
    values[2] = Int32GetDatum(trained ? r->run.version : r->base->version);
    values[3] = CStringGetTextDatum(status);
    values[4] = Int64GetDatum(r->collected.trained + r->collected.failed + r->collected.skipped);
    values[5] = Int64GetDatum(r->collected.trained);
    values[6] = Int64GetDatum(r->collected.failed);
    values[7] = Int64GetDatum(r->collected.skipped);
    values[8] = Int64GetDatum((int64)r->rows_read);
    values[9] = Int32GetDatum(r->run.fit.processes);
    values[10] = IntervalPGetDatum(elapsed);
    return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), values, nulls));
}

int workers_argument(FunctionCallInfo fcinfo, int i) {
    const int workers = PG_ARGISNULL(i) ? many_max_workers : PG_GETARG_INT32(i);
    if (workers < 1 || workers > 1024)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("workers must be from 1 to 1024, not %d", workers)));
    return workers;
}

// Versions are made while the set's row is locked, and dropped ones leave their number behind.
bool has_newer_version(const BaseRun* base) {
    Oid types[2] = {TEXTOID, INT4OID};
    Datum values[2] = {CStringGetTextDatum(base->arguments.model_set),
                       Int32GetDatum(base->version)};
    PushActiveSnapshot(GetLatestSnapshot());
    const int code = SPI_execute_with_args(
        "SELECT FROM many_models.runs AS r WHERE r.model_set OPERATOR(pg_catalog.=) $1 "
        "AND r.kind OPERATOR(pg_catalog.=) ANY (ARRAY['train', 'import']) "
        "AND r.version OPERATOR(pg_catalog.>) $2",
        2, types, values, nullptr, true, 1);
    PopActiveSnapshot();
    if (code != SPI_OK_SELECT) elog(ERROR, "could not read the registry: %d", code);
    return SPI_processed > 0;
}

// The set's row locked, and the base still its latest version.
void lock_set(Retraining* r) {
    const char* name = r->base->arguments.model_set;
    const registry::ModelSet* set = registry::find_model_set(name, true);
    if (set == nullptr)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                        errmsg("model set \"%s\" does not exist", name)));
    require_training_allowed(set, &r->base->arguments, set->n_features < 0);
    if (set->latest_version != r->base->version && has_newer_version(r->base))
        ereport(ERROR,
                (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                 errmsg("run " INT64_FORMAT " made version %d of model set \"%s\", whose latest is "
                        "%d",
                        r->base->run_id, r->base->version, name, set->latest_version),
                 errhint("Only the latest version can be continued.")));
    r->run.version = set->latest_version + 1;
    r->run.plan = nullptr;
    r->base->arguments.workers = r->workers;
    plan_retraining(r);
    if (set->n_features < 0) r->run.plan->features_given = false;
}

void end_run(Run* run, ErrorContextCallback* context) {
    set_phase(run->segment, Phase::finished);
    end_activity(run->segment);
    retract_run(dsm_segment_handle(run->mapped));
    error_context_stack = context;
}

void finish_retraining(Retraining* r, ErrorContextCallback* context) {
    const TimestampTz finished = GetCurrentTimestamp();
    r->rows_read = pg_atomic_read_u64(&r->run.segment->rows_read);
    r->elapsed = finished - r->run.segment->started_at;
    record_run(&r->run, &r->collected, finished);
    create_set_view(r->run.plan);
    registry::announce_models_changed();
    end_run(&r->run, context);
}

}  // namespace

void plan_retraining(Retraining* r) {
    const TrainArguments* a = &r->base->arguments;
    TrainPlan* plan = plan_training(&r->base->arguments, nullptr);
    r->run.plan = plan;
    require_same_types("partition column", a->partition_by, r->base->key_types, plan->key_types,
                       a->n_keys);
    require_same_types("feature", plan->features, r->base->feature_types, plan->feature_types,
                       plan->n_features);
    plan->spec->budget_bytes = pg::memory_budget_bytes();
}

namespace {

void scan(Retraining* r) {
    Run* run = &r->run;
    create_segment(run, r->base->arguments.model_set, r->run_id, r->workers);
    run->segment->continues = r->read_after != nullptr;
    run->segment->met_again.time = r->read_last.time;
    publish_run(dsm_segment_handle(run->mapped));
    const TimestampTz start = GetCurrentTimestamp();
    scan_source(run, r->workers);
    run->scan_seconds = seconds_between(start, GetCurrentTimestamp());
}

// Ends a run that came to nothing new.
bool leave_unchanged(Retraining* r, ErrorContextCallback* context) {
    r->rows_read = pg_atomic_read_u64(&r->run.segment->rows_read);
    r->elapsed = GetCurrentTimestamp() - r->run.segment->started_at;
    end_run(&r->run, context);
    dsm_detach(r->run.mapped);
    r->run.segment = nullptr;
    return false;
}

// The listed groups are fitted into tables of the run's own, where the others join them.
void retrain_listed(Retraining* r) {
    Run* run = &r->run;
    registry::RegistryRights rights;
    registry::enter_registry(&rights);
    create_result_partitions(r->run_id);
    registry::leave_registry(&rights);
    fit_slice(run->mapped, run->plan, r->workers, 0, run->segment->n_buckets, &r->collected,
              &run->fit);
    CommandCounterIncrement();
    registry::enter_registry(&rights);
    carry_all_others(r);
    if (r->collected.trained + r->collected.failed + r->collected.skipped > kOwnPartitionGroups) {
        publish_result_partitions(r->run_id);
    } else {
        share_result_partitions(r->run_id);
        r->collected.storage = 0;
    }
    registry::leave_registry(&rights);
}

}  // namespace

bool retrain(Retraining* r) {
    Run* run = &r->run;
    ErrorContextCallback context;
    const Carry carry = {carry_unchanged, r};
    if (!r->all) only_groups(run, r->again);
    run->carries = r->compares;
    if (r->compares)
        run->stored_bytes = (double)count_known_groups(r) * (sizeof(KnownGroup) + 64.0);
    context.callback = describe_run_in_errors;
    context.arg = run;
    context.previous = error_context_stack;
    error_context_stack = &context;
    scan(r);
    if (r->read_after != nullptr && !is_continued(r)) {
        end_run(run, &context);
        dsm_detach(run->mapped);
        run->segment = nullptr;
        r->read_after = nullptr;
        run->plan->read_from = nullptr;
        run->stored_bytes = 0;
        scan(r);
    }
    if (r->read_after != nullptr) {
        if (pg_atomic_read_u64(&run->segment->rows_read) == 0)
            return leave_unchanged(r, context.previous);
        merge_stored_sums(r);
    }
    if (r->compares) {
        merge_known_groups(r);
        offer_updates(r);
    }
    if (!r->all)
        retrain_listed(r);
    else if (!fit_and_collect(run->mapped, run->plan, r->workers, &r->collected, &run->fit,
                              r->compares ? &carry : nullptr))
        return leave_unchanged(r, context.previous);
    if (r->all && !r->compares) count_trained(r);
    describe(r);
    finish_retraining(r, context.previous);
    return true;
}

}  // namespace many::engine

extern "C" {

PG_FUNCTION_INFO_V1(many_retrain_failed);
PG_FUNCTION_INFO_V1(many_refresh_many_models);

// retrain_failed(run_id, include_skipped, workers) -> run_summary
Datum many_retrain_failed(PG_FUNCTION_ARGS) {
    namespace engine = many::engine;
    MemoryContext caller = CurrentMemoryContext;
    engine::Retraining r = {};
    PreventCommandDuringRecovery("retrain_failed()");
    PreventCommandIfReadOnly("retrain_failed()");
    if (PG_ARGISNULL(0))
        ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("run_id is NULL")));
    const int64 run_id = PG_GETARG_INT64(0);
    const bool skipped_too = !PG_ARGISNULL(1) && PG_GETARG_BOOL(1);
    r.workers = engine::workers_argument(fcinfo, 2);
    many::registry::hold_extension();
    if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
    r.base =
        engine::read_base("r.run_id OPERATOR(pg_catalog.=) $1", INT8OID, Int64GetDatum(run_id));
    if (r.base == nullptr)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                        errmsg("training run " INT64_FORMAT " does not exist", run_id),
                        errhint("many_models.runs lists the runs of the sets you may use.")));
    engine::lock_set(&r);
    r.again = engine::keys_of(
        psprintf("SELECT f.partition_key FROM many_models.failure_store AS f WHERE f.run_id = $1 "
                 "AND f.storage = $2 AND $3 <> ''%s",
                 skipped_too ? "" : " AND f.status = 'failed'"),
        r.base->run_id, r.base->storage, "-", true);
    if (engine::length_of(r.again) == 0)
        ereport(ERROR,
                (errcode(ERRCODE_NO_DATA_FOUND),
                 errmsg("run " INT64_FORMAT " has no %s groups", run_id,
                        skipped_too ? "failed or skipped" : "failed"),
                 skipped_too ? 0 : errhint("include_skipped => true tries skipped groups too.")));
    r.run_id = many::registry::new_run_id();
    (void)engine::retrain(&r);
    const Datum summary = engine::summary_of(fcinfo, &r, caller, "succeeded");
    dsm_detach(r.run.mapped);
    SPI_finish();
    PG_RETURN_DATUM(summary);
}

// refresh_many_models(model_set, groups, workers) -> run_summary
Datum many_refresh_many_models(PG_FUNCTION_ARGS) {
    namespace engine = many::engine;
    namespace registry = many::registry;
    MemoryContext caller = CurrentMemoryContext;
    engine::Retraining r = {};
    PreventCommandDuringRecovery("refresh_many_models()");
    PreventCommandIfReadOnly("refresh_many_models()");
    if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
        ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                        errmsg("%s is NULL", PG_ARGISNULL(0) ? "model_set" : "groups")));
    char* name = text_to_cstring(PG_GETARG_TEXT_PP(0));
    char* only = text_to_cstring(PG_GETARG_TEXT_PP(1));
    const bool changed = strcmp(only, "changed") == 0;
    if (!changed && strcmp(only, "drifted") != 0)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("invalid value for groups: \"%s\"", only),
                        errhint("Valid are changed and drifted.")));
    r.workers = engine::workers_argument(fcinfo, 2);
    registry::hold_extension();
    if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
    const int64 base = registry::find_training_run(name, 0)->run_id;
    r.base = engine::read_base("r.run_id OPERATOR(pg_catalog.=) $1", INT8OID, Int64GetDatum(base));
    engine::lock_set(&r);
    r.run_id = registry::new_run_id();
    bool idle = false;
    if (changed) {
        const bool appends = r.run.plan->spec->append_only;
        r.all = true;
        r.compares = !appends;
        if (appends) (void)engine::plan_append(&r);
    } else {
        r.again = engine::keys_of(
            "SELECT d.* FROM many_models.drifted_keys($3) AS d WHERE $1 OPERATOR(pg_catalog.=) $2",
            0, 0, name, false);
        idle = engine::length_of(r.again) == 0;
    }
    if (!idle) idle = !engine::retrain(&r);
    const Datum summary = engine::summary_of(fcinfo, &r, caller, idle ? "unchanged" : "succeeded");
    if (!idle) dsm_detach(r.run.mapped);
    SPI_finish();
    PG_RETURN_DATUM(summary);
}
}
