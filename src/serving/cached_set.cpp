// A set as predict() needs it: see cached_set.h.
#include "serving/cached_set.h"

#include <cstring>

#include "registry/access.h"
#include "registry/production.h"
#include "registry/registry.h"
#include "serving/model_value.h"
#include "serving/score_models.h"

namespace many::serving {

namespace {

// --- The definition ---------------------------------------------------------------------------

Oid type_of(const char* name) {
    return DatumGetObjectId(DirectFunctionCall1(regtypein, CStringGetDatum(name)));
}

void init_feature(CachedFeature* feature, const char* name, const char* type) {
    feature->name = pstrdup(name);
    feature->name_length = static_cast<int>(strlen(name));
    feature->type = type_of(type);
    if (!pg::feature_reader_init(&feature->reader, feature->type))
        elog(ERROR, "type %s cannot be a feature", type);
    getTypeInputInfo(feature->reader.type, &feature->input, &feature->input_parameter);
}

CachedRun* make_run(const registry::TrainingRun* run) {
    auto* cached = static_cast<CachedRun*>(palloc0(sizeof(CachedRun)));
    cached->run_id = run->run_id;
    cached->storage = run->storage;
    cached->version = run->version;
    cached->columns = static_cast<registry::KeyColumn*>(
        palloc0(sizeof(registry::KeyColumn) * (static_cast<Size>(run->n_keys) + 1)));
    for (int i = 0; i < run->n_keys; ++i) {
        const Oid type = type_of(run->key_types[i]);
        registry::key_column_init(&cached->columns[i], pstrdup(run->partition_by[i]), type,
                                  run->key_collations[i]);
    }
    cached->n_features = run->n_features;
    const Size n = static_cast<Size>(run->n_features) + 1;
    cached->features = static_cast<CachedFeature*>(palloc0(sizeof(CachedFeature) * n));
    cached->values = static_cast<core::FeatureValue*>(palloc0(sizeof(core::FeatureValue) * n));
    for (int i = 0; i < run->n_features; ++i)
        init_feature(&cached->features[i], run->features[i], run->feature_types[i]);
    return cached;
}

void make_production(CachedSet* set, const registry::ProductionState* state,
                     registry::TrainingRun** runs, int n) {
    set->promotion_id = state->promotion_id;
    set->n_layers = state->n_layers;
    if (state->n_layers == 0) return;
    const Size layers = static_cast<Size>(state->n_layers);
    set->layers = registry::int64_array(state->layers, state->n_layers);
    set->storages = registry::int64_array(state->storages, state->n_layers);
    set->layer_ids = static_cast<int64*>(palloc(sizeof(int64) * layers));
    memcpy(set->layer_ids, state->layers, sizeof(int64) * layers);
    set->layer_places = static_cast<ModelPlace*>(palloc0(sizeof(ModelPlace) * layers));
    for (int i = 0; i < state->n_layers; ++i)
        find_model_place(&set->layer_places[i], "production_store", state->storages[i], "layer",
                         state->layers[i]);
    CachedRun** last = &set->promoted;
    for (int i = 0; i < n; ++i, last = &(*last)->next) *last = make_run(runs[i]);
}

// --- By index ---------------------------------------------------------------------------------

CachedRun* run_without_model(const CachedSet* set) {
    return set->latest != nullptr ? set->latest : set->promoted;
}

// nullptr when it is not known here.
CachedRun* promoted_run(const CachedSet* set, int64 run_id) {
    CachedRun* run = set->promoted;
    while (run != nullptr && run->run_id != run_id) run = run->next;
    return run;
}

// Where a look-up begins.
const ModelPlace* first_place(const CachedSet* set) {
    return set->n_layers > 0 ? &set->layer_places[0] : &set->latest_place;
}

bool take_found(const CachedSet* set, const StoredModel* stored, bool in_production,
                FoundModel* found) {
    found->model = stored->model;
    if (stored->model == nullptr)
        found->run = run_without_model(set);
    else
        found->run = in_production ? promoted_run(set, stored->run_id) : set->latest;
    return found->run != nullptr;
}

PlaceResult find_at(const CachedSet* set, const ModelPlace* place, const WantedKey* wanted,
                    StoredModel* stored) {
    if (place != first_place(set)) {
        const PlaceResult result =
            find_in_shared_cache(place, wanted->model_set, wanted->key, stored);
        if (result != PlaceResult::none) return result;
    }
    return find_stored_model(place, wanted, stored);
}

// All but the first look into the shared memory, which find_shared takes.
PlaceResult find_in_places(CachedSet* set, Jsonb* key, FoundModel* found) {
    WantedKey wanted;
    StoredModel stored;
    if (set->n_layers > 0)
        read_wanted_key(&wanted, set->name, set->promoted->columns, set->n_keys, key);
    for (int i = 0; i < set->n_layers; ++i) {
        const PlaceResult result = find_at(set, &set->layer_places[i], &wanted, &stored);
        if (result == PlaceResult::none) continue;
        return result == PlaceResult::found && take_found(set, &stored, true, found)
                   ? PlaceResult::found
                   : PlaceResult::use_query;
    }
    *found = {nullptr, run_without_model(set)};
    if (set->latest == nullptr) return PlaceResult::none;
    read_wanted_key(&wanted, set->name, set->latest->columns, set->n_keys, key);
    const PlaceResult result = find_at(set, &set->latest_place, &wanted, &stored);
    if (result == PlaceResult::found) (void)take_found(set, &stored, false, found);
    return result;
}

// --- By query ---------------------------------------------------------------------------------

SPIPlanPtr keep_plan(SPIPlanPtr* kept, const char* query, int n, Oid* types) {
    if (*kept != nullptr) return *kept;
    SPIPlanPtr plan = SPI_prepare(query, n, types);
    if (plan == nullptr) elog(ERROR, "could not plan the look-up: %d", SPI_result);
    SPI_keepplan(plan);
    *kept = plan;
    return plan;
}

SPIPlanPtr model_plan() {
    static SPIPlanPtr plan = nullptr;
    Oid types[] = {INT8OID, INT8OID, INT8OID};
    return keep_plan(&plan,
                     "SELECT partition_key, model FROM many_models.model_store "
                     "WHERE storage OPERATOR(pg_catalog.=) $1 AND run_id OPERATOR(pg_catalog.=) $2 "
                     "AND key_hash OPERATOR(pg_catalog.=) $3",
                     3, types);
}

SPIPlanPtr production_plan() {
    static SPIPlanPtr plan = nullptr;
    Oid types[] = {INT8ARRAYOID, INT8ARRAYOID, INT8OID};
    return keep_plan(
        &plan,
        "SELECT partition_key, model, run_id, layer FROM many_models.production_store "
        "WHERE storage OPERATOR(pg_catalog.=) ANY ($1) AND layer OPERATOR(pg_catalog.=) ANY ($2) "
        "AND key_hash OPERATOR(pg_catalog.=) $3",
        3, types);
}

Datum column_of(uint64 row, int column) {
    bool is_null;
    return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &is_null);
}

// As the registry's owner: one look-up, without the plan that policies need. Whether the caller may
// have the model is asked of its own key (granted_model).
void look_up(SPIPlanPtr plan, Datum* parameters) {
    registry::RegistryRights rights;
    registry::enter_registry(&rights);
    if (SPI_execute_plan(plan, parameters, nullptr, true, 0) != SPI_OK_SELECT)
        elog(ERROR, "could not read the models");
    registry::leave_registry(&rights);
}

// nullptr where the caller may not score with the group's model.
const struct varlena* granted_model(const CachedSet* set, Datum key, Datum model) {
    if (!registry::key_is_granted(set->name, registry::Privilege::score, DatumGetJsonbP(key)))
        return nullptr;
    const auto* bytes = PG_DETOAST_DATUM_PACKED(model);
    core::LinearModelView view;
    return check_any_model(VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes), &view) != ModelKind::error
               ? bytes
               : nullptr;
}

const struct varlena* read_model(const CachedSet* set, Jsonb* key) {
    WantedKey wanted;
    read_wanted_key(&wanted, set->name, set->latest->columns, set->n_keys, key);
    Datum parameters[] = {Int64GetDatum(set->latest->storage), Int64GetDatum(set->latest->run_id),
                          Int64GetDatum(wanted.hash)};
    look_up(model_plan(), parameters);
    const uint64 n = SPI_processed;
    for (uint64 i = 0; i < n; ++i)
        if (is_wanted_key(&wanted, DatumGetJsonbP(column_of(i, 1))))
            return granted_model(set, column_of(i, 1), column_of(i, 2));
    return nullptr;
}

int layer_rank(const CachedSet* set, int64 layer) {
    int rank = 0;
    while (rank < set->n_layers && set->layer_ids[rank] != layer) ++rank;
    return rank;
}

// The model of the newest layer that has one, nullptr where it is not the caller's; the run
// becomes nullptr when it is not known here. False: nothing of the group is in production.
bool read_production(const CachedSet* set, Jsonb* key, FoundModel* found) {
    WantedKey wanted;
    read_wanted_key(&wanted, set->name, set->promoted->columns, set->n_keys, key);
    Datum parameters[] = {set->storages, set->layers, Int64GetDatum(wanted.hash)};
    look_up(production_plan(), parameters);
    const uint64 n = SPI_processed;
    uint64 best = n;
    for (uint64 i = 0; i < n; ++i)
        if ((best == n || layer_rank(set, DatumGetInt64(column_of(i, 4))) <
                              layer_rank(set, DatumGetInt64(column_of(best, 4)))) &&
            is_wanted_key(&wanted, DatumGetJsonbP(column_of(i, 1))))
            best = i;
    if (best == n) return false;
    found->model = granted_model(set, column_of(best, 1), column_of(best, 2));
    if (found->model != nullptr) found->run = promoted_run(set, DatumGetInt64(column_of(best, 3)));
    return true;
}

void read_by_query(const CachedSet* set, Jsonb* key, FoundModel* found) {
    *found = {nullptr, run_without_model(set)};
    if (set->n_layers > 0 && read_production(set, key, found)) return;
    if (set->latest != nullptr) found->model = read_model(set, key);
}

// Whether what is cached of the set is what is there.
bool is_current(const CachedSet* set) {
    if (set->wanted == 0 && registry::find_production(set->name)->promotion_id != set->promotion_id)
        return false;
    return set->latest == nullptr || require_models(set->name, set->latest->version,
                                                    set->latest->storage, set->latest->run_id);
}

}  // namespace

CachedSet* load_cached_set(Oid user, const char* name, int version) {
    int n_promoted = 0;
    registry::TrainingRun** promoted = nullptr;
    registry::ProductionState nothing = {};
    const registry::ProductionState* state =
        version == 0 ? registry::find_production(name) : &nothing;
    if (state->n_layers > 0) {
        promoted = registry::find_production_runs(name, &n_promoted);
        if (n_promoted == 0)
            elog(ERROR, "the runs of model set \"%s\" in production are missing", name);
    }
    const registry::TrainingRun* latest = n_promoted > 0
                                              ? registry::find_training_run_if_any(name, 0)
                                              : registry::find_training_run(name, version);
    registry::require_privilege(name, registry::Privilege::score);
    const MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "many_models cached set", ALLOCSET_SMALL_SIZES);
    const MemoryContext old = MemoryContextSwitchTo(context);
    auto* set = static_cast<CachedSet*>(palloc0(sizeof(CachedSet)));
    set->context = context;
    set->user = user;
    set->name = pstrdup(name);
    set->wanted = version;
    set->n_keys = latest != nullptr ? latest->n_keys : promoted[0]->n_keys;
    make_production(set, state, promoted, n_promoted);
    if (latest != nullptr) {
        set->latest = make_run(latest);
        find_model_place(&set->latest_place, "model_store", latest->storage, "run_id",
                         latest->run_id);
    }
    MemoryContextSwitchTo(old);
    return set;
}

bool reads_relation(const CachedSet* set, Oid relation) {
    if (set->latest_place.partition == relation) return true;
    for (int i = 0; i < set->n_layers; ++i)
        if (set->layer_places[i].partition == relation) return true;
    return false;
}

bool find_shared(CachedSet* set, Jsonb* key, FoundModel* found) {
    StoredModel stored;
    return find_in_shared_cache(first_place(set), set->name, key, &stored) == PlaceResult::found &&
           take_found(set, &stored, set->n_layers > 0, found);
}

bool find_by_index(CachedSet* set, Jsonb* key, FoundModel* found) {
    switch (find_in_places(set, key, found)) {
        case PlaceResult::found:
            return true;
        case PlaceResult::none:
            // A run with a partition of its own has, under our lock, not been dropped.
            return set->latest != nullptr && set->latest->storage != 0;
        case PlaceResult::use_query:
            break;
    }
    return false;
}

bool find_by_query(CachedSet* set, Jsonb* key, FoundModel* found) {
    const PlaceResult result = find_in_places(set, key, found);
    if (result == PlaceResult::found) return true;
    if (result == PlaceResult::use_query) read_by_query(set, key, found);
    return found->run != nullptr && (found->model != nullptr || is_current(set));
}

}  // namespace many::serving
