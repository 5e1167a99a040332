#include "pg/server.h"

#include "engine/incumbent.h"

#include "core/forecasters/forecast_model.h"

#include "registry/key_text.h"
#include "registry/production.h"
#include "wall/wall.h"

extern "C" {
#include "access/relation.h"
#include "access/relscan.h"
#include "utils/fmgroids.h"
}

namespace many::engine {

namespace {

// The shared description: Layers, then LayerSpec[n_layers], then n_runs RunMaps.
struct LayersHead {
    uint32 bytes;
    int32 n_layers;
    int32 n_runs;
    int32 unused;
};

struct LayerSpec {
    int64 layer;
    Oid relation;  // partition of production_store
    bool shared;
    char unused[3];
};

// Followed by int32 columns[n_features], padded to 8 bytes.
struct RunMap {
    int64 run_id;
    int32 n_features;
    bool comparable;
    bool same_columns;
    bool readable_keys;  // by the new run's types
    bool unused;
    int* columns() { return (int*)(this + 1); }
    Size bytes() const { return sizeof(RunMap) + MAXALIGN(sizeof(int32) * (Size)n_features); }
};

struct Layer {
    const LayerSpec* spec;
    Relation relation;
    Relation index;
    AttrNumber layer;
    AttrNumber key;
    AttrNumber run_id;
    AttrNumber model_id;
    AttrNumber model;
    TupleTableSlot* slot;
    IndexScanDesc scan;  // of the look-up before; nullptr: none yet
};

// Of a key without canonical hash.
struct KnownKey {
    uint64 hash;
    int32 layer;
    ItemPointerData tid;
};

}  // namespace

struct Incumbents {
    LayersHead* head;
    int n_layers;  // that are there
    Layer* layers;
    int n_keys;
    registry::KeyColumn* columns;
    bool canonical;  // every key column
    bool forecasts;  // the candidates are forecasters
    Snapshot snapshot;
    MemoryContext context;
    MemoryContext scratch;
    KnownKey* known;  // unless canonical: all keys, by hash, then by layer
    Size n_known;
};

namespace {

LayerSpec* layer_specs(LayersHead* head) {
    return (LayerSpec*)(head + 1);
}

RunMap* find_run_map(LayersHead* head, int64 run_id) {
    char* at = (char*)(layer_specs(head) + head->n_layers);
    for (int i = 0; i < head->n_runs; i++) {
        auto* map = (RunMap*)at;
        if (map->run_id == run_id) return map;
        at += map->bytes();
    }
    return nullptr;
}

// --- The session's side -----------------------------------------------------------------------

// The place of a promoted run's feature in the rows of the new run; -1 when it has no such feature,
// or one that means another number.
int matching_feature(const TrainPlan* plan, const char* name, const char* type_name) {
    for (int i = 0; i < plan->n_features; i++) {
        if (strcmp(plan->features[i], name) != 0) continue;
        const Oid type = pg::find_type(type_name);
        pg::FeatureReader then;
        pg::FeatureReader now;
        if (!OidIsValid(type) || !pg::feature_reader_init(&then, type) ||
            !pg::feature_reader_init(&now, plan->feature_types[i]) || then.kind != now.kind ||
            strcmp(pg::feature_unit(then.type), pg::feature_unit(now.type)) != 0)
            return -1;
        return i;
    }
    return -1;
}

// Whether the key texts of a promoted run can be read by the types of the new run.
bool keys_are_readable(const TrainPlan* plan, const registry::TrainingRun* run) {
    for (int i = 0; i < run->n_keys; i++) {
        const char* now = format_type_extended(plan->key_types[i], -1, FORMAT_TYPE_FORCE_QUALIFY);
        registry::KeyColumn column;
        if (strcmp(now, run->key_types[i]) == 0) continue;
        registry::key_column_init(&column, run->partition_by[i], plan->key_types[i],
                                  plan->spec->keys()[i].collation);
        // A canonical text that is the same is read in the same way.
        if (!column.text_is_canonical) return false;
    }
    return true;
}

bool append_run_map(const TrainPlan* plan, const registry::TrainingRun* run, StringInfo blob) {
    RunMap head = {};
    head.run_id = run->run_id;
    head.n_features = run->n_features;
    auto* map = (RunMap*)palloc0(head.bytes());
    *map = head;
    map->readable_keys = keys_are_readable(plan, run);
    map->comparable = map->readable_keys;
    map->same_columns = run->n_features == plan->n_features;
    for (int i = 0; i < run->n_features; i++) {
        const int column = matching_feature(plan, run->features[i], run->feature_types[i]);
        map->columns()[i] = column;
        if (column < 0) map->comparable = false;
        if (column != i) map->same_columns = false;
    }
    appendBinaryStringInfo(blob, (const char*)map, (int)map->bytes());
    return map->comparable;
}

}  // namespace

int64 describe_incumbents(const TrainPlan* plan, StringInfo blob) {
    const char* model_set = plan->arguments.model_set;
    if (plan->spec->append_only) return 0;  // no row is kept to be judged on
    const registry::ProductionState* state = registry::find_production(model_set);
    if (state->n_layers == 0 || plan->spec->holdout.kind == core::HoldoutSpec::Kind::none)
        return state->promotion_id;
    LayersHead head = {};
    const int start = blob->len;
    const Oid schema = get_namespace_oid("many_models", false);
    head.n_layers = state->n_layers;
    appendBinaryStringInfo(blob, (const char*)&head, sizeof head);
    for (int i = 0; i < state->n_layers; i++) {
        LayerSpec layer = {};
        const char* name = state->storages[i] == 0
                               ? "production_store_shared"
                               : psprintf("production_store_p" INT64_FORMAT, state->storages[i]);
        layer.layer = state->layers[i];
        layer.shared = state->storages[i] == 0;
        layer.relation = get_relname_relid(name, schema);
        if (!OidIsValid(layer.relation))
            ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
                            errmsg("the registry table many_models.%s is missing", name)));
        appendBinaryStringInfo(blob, (const char*)&layer, sizeof layer);
    }
    bool any = false;
    registry::TrainingRun** runs = registry::find_production_runs(model_set, &head.n_runs);
    for (int i = 0; i < head.n_runs; i++) any |= append_run_map(plan, runs[i], blob);
    head.bytes = (uint32)(blob->len - start);
    memcpy(blob->data + start, &head, sizeof head);
    if (!any) blob->len = start;
    return state->promotion_id;
}

// --- The processes' side ----------------------------------------------------------------------

namespace {

// False when the layer is gone: a run that commits in between may outlive it.
bool open_layer(Layer* layer, const LayerSpec* spec) {
    layer->spec = spec;
    layer->relation = try_relation_open(spec->relation, AccessShareLock);
    if (layer->relation == nullptr) return false;
    // By hash of the key; of the shared partition by layer and hash. Found now, not when the run began:
    // REINDEX CONCURRENTLY gives the name to another index.
    const Oid index =
        get_relname_relid(psprintf("%s_key_idx", RelationGetRelationName(layer->relation)),
                          RelationGetNamespace(layer->relation));
    if (!OidIsValid(index))
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                        errmsg("the registry table %s has no index of its keys",
                               RelationGetRelationName(layer->relation))));
    layer->index = index_open(index, AccessShareLock);
    layer->layer = get_attnum(spec->relation, "layer");
    layer->key = get_attnum(spec->relation, "partition_key");
    layer->run_id = get_attnum(spec->relation, "run_id");
    layer->model_id = get_attnum(spec->relation, "model_id");
    layer->model = get_attnum(spec->relation, "model");
    layer->slot = table_slot_create(layer->relation, nullptr);
    return true;
}

int compare_known(const void* a, const void* b) {
    const auto* x = (const KnownKey*)a;
    const auto* y = (const KnownKey*)b;
    if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
    return x->layer - y->layer;
}

void parse_key(Incumbents* in, Datum key, Datum* values, bool* nulls) {
    registry::key_from_jsonb(in->columns, in->n_keys, DatumGetJsonbP(key), values, nulls);
}

// All keys of all layers by the types' own hashes.
void read_keys(Incumbents* in, KeyCodec* codec) {
    Size capacity = 1024;
    in->known = (KnownKey*)MemoryContextAlloc(in->context, sizeof(KnownKey) * capacity);
    for (int i = 0; i < in->n_layers; i++) {
        Layer* layer = &in->layers[i];
        TableScanDesc scan = table_beginscan(layer->relation, in->snapshot, 0, nullptr);
        while (table_scan_getnextslot(scan, ForwardScanDirection, layer->slot)) {
            Datum values[kMaxKeys];
            bool nulls[kMaxKeys];
            NullableDatum row[kMaxKeys];
            bool is_null;
            CHECK_FOR_INTERRUPTS();
            if (DatumGetInt64(slot_getattr(layer->slot, layer->layer, &is_null)) !=
                layer->spec->layer)
                continue;
            const RunMap* map = find_run_map(
                in->head, DatumGetInt64(slot_getattr(layer->slot, layer->run_id, &is_null)));
            if (map == nullptr || !map->readable_keys) continue;
            MemoryContext old = MemoryContextSwitchTo(in->scratch);
            parse_key(in, slot_getattr(layer->slot, layer->key, &is_null), values, nulls);
            for (int k = 0; k < in->n_keys; k++) row[k] = {values[k], nulls[k]};
            const uint64 hash = key_encode(codec, row);
            MemoryContextSwitchTo(old);
            MemoryContextReset(in->scratch);
            if (in->n_known == capacity) {
                capacity *= 2;
                in->known = (KnownKey*)repalloc_huge(in->known, sizeof(KnownKey) * capacity);
            }
            in->known[in->n_known++] = {hash, i, layer->slot->tts_tid};
        }
        table_endscan(scan);
        ExecClearTuple(layer->slot);
    }
    qsort(in->known, in->n_known, sizeof(KnownKey), compare_known);
}

bool slot_has_key(Incumbents* in, Layer* layer, const Datum* values, const bool* nulls) {
    Datum stored[kMaxKeys];
    bool stored_nulls[kMaxKeys];
    bool is_null;
    parse_key(in, slot_getattr(layer->slot, layer->key, &is_null), stored, stored_nulls);
    return registry::keys_equal(in->columns, in->n_keys, values, nulls, stored, stored_nulls);
}

// Leaves the tuple in the layer's slot.
bool find_by_index(Incumbents* in, Layer* layer, int64 hash, const Datum* values,
                   const bool* nulls) {
    ScanKeyData keys[2];
    bool found = false;
    int n = 0;
    if (layer->spec->shared)
        ScanKeyInit(&keys[n++], 1, BTEqualStrategyNumber, F_INT8EQ,
                    Int64GetDatum(layer->spec->layer));
    ScanKeyInit(&keys[n], (AttrNumber)(n + 1), BTEqualStrategyNumber, F_INT8EQ,
                Int64GetDatum(hash));
    n++;
    if (layer->scan == nullptr) {
        MemoryContext old = MemoryContextSwitchTo(in->context);
        layer->scan = pg::begin_index_scan(layer->relation, layer->index, in->snapshot, n);
        MemoryContextSwitchTo(old);
    }
    index_rescan(layer->scan, keys, n, nullptr, 0);
    while (!found && index_getnext_slot(layer->scan, ForwardScanDirection, layer->slot))
        found = slot_has_key(in, layer, values, nulls);
    return found;
}

Layer* find_by_own_hash(Incumbents* in, uint64 hash, const Datum* values, const bool* nulls) {
    Size low = 0;
    Size high = in->n_known;
    while (low < high) {
        const Size middle = low + (high - low) / 2;
        if (in->known[middle].hash < hash)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < in->n_known && in->known[low].hash == hash; low++) {
        Layer* layer = &in->layers[in->known[low].layer];
        if (table_tuple_fetch_row_version(layer->relation, &in->known[low].tid, in->snapshot,
                                          layer->slot) &&
            slot_has_key(in, layer, values, nulls))
            return layer;
    }
    return nullptr;
}

Layer* find_tuple(Incumbents* in, KeyCodec* codec, uint64 hash, const char* key) {
    Datum values[kMaxKeys];
    bool nulls[kMaxKeys];
    key_decode(codec, key, values, nulls);
    if (!in->canonical) return find_by_own_hash(in, hash, values, nulls);
    const int64 canonical = registry::key_hash(in->columns, in->n_keys, values, nulls);
    for (int i = 0; i < in->n_layers; i++)
        if (find_by_index(in, &in->layers[i], canonical, values, nulls)) return &in->layers[i];
    return nullptr;
}

}  // namespace

Incumbents* open_incumbents(RunSegment* segment, MemoryContext context) {
    if (segment->incumbents_offset == 0) return nullptr;
    MemoryContext old = MemoryContextSwitchTo(context);
    auto* in = (Incumbents*)palloc0(sizeof(Incumbents));
    RunSpec* spec = segment->spec();
    in->head = (LayersHead*)((char*)segment + segment->incumbents_offset);
    in->context = context;
    in->scratch =
        AllocSetContextCreate(context, "many_models production key", ALLOCSET_SMALL_SIZES);
    in->snapshot = GetActiveSnapshot();
    in->n_keys = spec->n_keys;
    in->forecasts = spec->forecasts;
    in->columns =
        (registry::KeyColumn*)palloc0(sizeof(registry::KeyColumn) * (Size)(in->n_keys + 1));
    in->canonical = true;
    for (int i = 0; i < in->n_keys; i++) {
        KeySpec* key = &spec->keys()[i];
        registry::key_column_init(&in->columns[i], NameStr(key->name), key->type, key->collation);
        if (!in->columns[i].text_is_canonical) in->canonical = false;
    }
    in->layers = (Layer*)palloc0(sizeof(Layer) * (Size)in->head->n_layers);
    for (int i = 0; i < in->head->n_layers; i++)
        if (open_layer(&in->layers[in->n_layers], &layer_specs(in->head)[i])) in->n_layers++;
    MemoryContextSwitchTo(old);
    return in;
}

void close_incumbents(Incumbents* in) {
    if (in == nullptr) return;
    for (int i = 0; i < in->n_layers; i++) {
        if (in->layers[i].scan != nullptr) index_endscan(in->layers[i].scan);
        ExecDropSingleTupleTableSlot(in->layers[i].slot);
        index_close(in->layers[i].index, NoLock);
        table_close(in->layers[i].relation, NoLock);
    }
}

namespace {

// False when the model is damaged, or not of the candidates' kind and features.
bool open_rival(const Incumbents* in, const RunMap* map, Incumbent* incumbent) {
    const char* bytes = VARDATA(incumbent->bytes);
    const Size length = VARSIZE(incumbent->bytes) - VARHDRSZ;
    core::Rival* rival = &incumbent->rival;
    int n_features = -1;
    wall::WallError error;
    if (core::is_forecast_model(bytes, length) != in->forecasts) return false;
    if (!wall::across_wall(&error, [&] {
            if (in->forecasts) {
                core::ForecastModel model;
                core::decode_forecast_model(bytes, length, model);
                rival->forecaster = bytes;
                rival->forecaster_bytes = length;
                n_features = model.n_features;
                return;
            }
            rival->view =
                core::LinearModelView::open(bytes, length, core::LinearModelView::Check::checksum);
            n_features = rival->view.n_features();
        }))
        return false;
    return n_features == map->n_features;
}

}  // namespace

Incumbent* find_incumbent(Incumbents* in, KeyCodec* codec, uint64 hash, const char* key) {
    if (!in->canonical && in->known == nullptr) read_keys(in, codec);
    bool is_null;
    MemoryContext old = MemoryContextSwitchTo(in->scratch);
    Layer* layer = find_tuple(in, codec, hash, key);
    MemoryContextSwitchTo(old);
    MemoryContextReset(in->scratch);
    if (layer == nullptr) return nullptr;
    RunMap* map =
        find_run_map(in->head, DatumGetInt64(slot_getattr(layer->slot, layer->run_id, &is_null)));
    if (map == nullptr || !map->comparable) return nullptr;
    auto* incumbent = (Incumbent*)palloc0(sizeof(Incumbent));
    incumbent->model_id = DatumGetInt64(slot_getattr(layer->slot, layer->model_id, &is_null));
    incumbent->bytes =
        (char*)PG_DETOAST_DATUM_COPY(slot_getattr(layer->slot, layer->model, &is_null));
    incumbent->rival.columns = map->same_columns ? nullptr : map->columns();
    if (open_rival(in, map, incumbent)) return incumbent;
    free_incumbent(incumbent);
    return nullptr;
}

void free_incumbent(Incumbent* incumbent) {
    if (incumbent == nullptr) return;
    pfree(incumbent->bytes);
    pfree(incumbent);
}

}  // namespace many::engine
