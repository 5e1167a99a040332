// Models by partition key: see model_table.h. Open addressing, at most half full.
#include "serving/model_table.h"

#include "pg/source.h"
#include "registry/access.h"
#include "registry/key_text.h"
#include "serving/model_value.h"
#include "serving/score_models.h"
#include "wall/wall.h"

extern "C" {
#include "utils/datum.h"
#include "utils/portal.h"
}

namespace many::serving {

namespace {

constexpr int kBatch = 1000;  // models fetched at a time

enum class KeyForm : uint8 {
    bits,    // by value, equal exactly when the bits are
    generic  // by the type's hash and equality functions
};

struct KeyColumn {
    const char* name;
    Oid type;
    Oid collation;
    KeyForm form;
    bool is_integer;
    int16 typlen;
    bool typbyval;
    FmgrInfo hash;
    FmgrInfo equal;
};

struct Slot {
    uint32 hash;
    uint32 entry;  // 1-based; 0: free
};

}  // namespace

struct ModelTable {
    MemoryContext context;
    int n_keys;
    KeyColumn* columns;
    int n_features;
    char** features;
    int n_runs;
    ModelRun** runs;
    double level;
    uint32 n_older;  // entries of the layers before the one being loaded
    uint32 n_entries;
    uint32 capacity;
    uint32 mask;
    Slot* slots;
    ModelEntry* entries;
    NullableDatum* keys;  // n_keys per entry
};

namespace {

bool is_integer(Oid type) {
    return type == INT2OID || type == INT4OID || type == INT8OID;
}

bool is_bits(Oid type) {
    switch (type) {
        case INT2OID:
        case INT4OID:
        case INT8OID:
        case OIDOID:
        case BOOLOID:
        case CHAROID:
        case DATEOID:
        case TIMESTAMPOID:
        case TIMESTAMPTZOID:
            return true;
        default:
            return type_is_enum(type);
    }
}

void init_column(KeyColumn* column, const ModelKey* key) {
    column->name = pstrdup(key->name);
    column->type = getBaseType(key->type);
    column->collation = key->collation;
    column->is_integer = is_integer(column->type);
    column->form = is_bits(column->type) ? KeyForm::bits : KeyForm::generic;
    get_typlenbyval(column->type, &column->typlen, &column->typbyval);
    TypeCacheEntry* entry =
        lookup_type_cache(column->type, TYPECACHE_EQ_OPR_FINFO | TYPECACHE_HASH_PROC_FINFO);
    if (!OidIsValid(entry->eq_opr_finfo.fn_oid) || !OidIsValid(entry->hash_proc_finfo.fn_oid))
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_FUNCTION),
                        errmsg("column \"%s\" of type %s cannot be a partition column", key->name,
                               format_type_be(key->type))));
    fmgr_info(entry->eq_opr_finfo.fn_oid, &column->equal);
    fmgr_info(entry->hash_proc_finfo.fn_oid, &column->hash);
}

inline uint64 mix(uint64 h, uint64 value) {
    h = (h ^ value) * UINT64CONST(0x9fb21c651e98df25);
    return h ^ (h >> 32);
}

inline uint32 hash_key(ModelTable* table, const NullableDatum* key) {
    uint64 h = UINT64CONST(0x9e3779b97f4a7c15);
    for (int i = 0; i < table->n_keys; ++i) {
        KeyColumn* column = &table->columns[i];
        if (key[i].isnull)
            h = mix(h, UINT64CONST(0x5851f42d4c957f2d));
        else if (column->form == KeyForm::bits)
            h = mix(h, key[i].value);
        else
            h = mix(h, DatumGetUInt32(
                           FunctionCall1Coll(&column->hash, column->collation, key[i].value)));
    }
    return static_cast<uint32>(h ^ (h >> 29));
}

inline bool same_key(ModelTable* table, const NullableDatum* a, const NullableDatum* b) {
    for (int i = 0; i < table->n_keys; ++i) {
        KeyColumn* column = &table->columns[i];
        if (a[i].isnull || b[i].isnull) {
            if (a[i].isnull != b[i].isnull) return false;
        } else if (column->form == KeyForm::bits) {
            if (a[i].value != b[i].value) return false;
        } else if (!DatumGetBool(FunctionCall2Coll(&column->equal, column->collation, a[i].value,
                                                   b[i].value))) {
            return false;
        }
    }
    return true;
}

// --- Loading ----------------------------------------------------------------------------------

// SQL for the groups of a model set that the caller may score with, of the set that a row of a registry
// table names. Nothing where the caller cannot see it; raises 42501 where he can, and may not score.
const char* groups_to_score(const char* table, const char* column, int64 id) {
    if (SPI_execute(psprintf("SELECT t.model_set FROM many_models.%s AS t WHERE t.%s "
                             "OPERATOR(pg_catalog.=) '" INT64_FORMAT "'::pg_catalog.int8",
                             table, column, id),
                    true, 1) != SPI_OK_SELECT)
        elog(ERROR, "could not read the registry");
    if (SPI_processed == 0) return " AND false";
    const char* name = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
    registry::require_privilege(name, registry::Privilege::score);
    return score_condition(name);
}

char* models_query(const ModelTable* table, const char* source) {
    StringInfoData query;
    initStringInfo(&query);
    appendStringInfoString(&query, "SELECT k.model_id, k.run_id, k.model");
    for (int i = 0; i < table->n_keys; ++i) {
        const KeyColumn* column = &table->columns[i];
        appendStringInfo(&query, ", %s",
                         registry::key_value_sql("k.partition_key", column->name,
                                                 column->is_integer ? INT8OID : column->type));
    }
    appendStringInfo(&query, " FROM %s", source);
    return query.data;
}

char* version_source(int64 storage, int64 run_id) {
    return psprintf(
        "many_models.model_store AS k WHERE k.storage OPERATOR(pg_catalog.=) "
        "'" INT64_FORMAT "'::pg_catalog.int8 AND k.run_id OPERATOR(pg_catalog.=) '" INT64_FORMAT
        "'::pg_catalog.int8%s",
        storage, run_id, groups_to_score("runs", "run_id", run_id));
}

char* layer_source(int64 layer, int64 storage) {
    return psprintf(
        "many_models.production_store AS k WHERE k.storage OPERATOR(pg_catalog.=) "
        "'" INT64_FORMAT "'::pg_catalog.int8 AND k.layer OPERATOR(pg_catalog.=) '" INT64_FORMAT
        "'::pg_catalog.int8%s",
        storage, layer, groups_to_score("promotions", "promotion_id", layer));
}

ModelRun* add_run(ModelTable* table, int64 run_id, bool production) {
    const MemoryContext caller = CurrentMemoryContext;  // SPI leaves another
    if (SPI_execute(psprintf("SELECT version, features FROM many_models.%s WHERE run_id "
                             "OPERATOR(pg_catalog.=) '" INT64_FORMAT "'::pg_catalog.int8",
                             production ? "production_runs" : "runs", run_id),
                    true, 1) != SPI_OK_SELECT ||
        SPI_processed != 1)
        elog(ERROR, "could not read the run of a model");
    bool is_null;
    int n = 0;
    HeapTuple row = SPI_tuptable->vals[0];
    MemoryContextSwitchTo(table->context);
    auto* run = static_cast<ModelRun*>(palloc0(sizeof(ModelRun)));
    char** features = pg::text_array_to_strings(
        DatumGetArrayTypeP(SPI_getbinval(row, SPI_tuptable->tupdesc, 2, &is_null)), "features", &n);
    run->run_id = run_id;
    run->version = DatumGetInt32(SPI_getbinval(row, SPI_tuptable->tupdesc, 1, &is_null));
    run->n_features = n;
    run->places = feature_places(features, n, table->features, table->n_features);
    const Size bytes = sizeof(ModelRun*) * (static_cast<Size>(table->n_runs) + 1);
    table->runs = static_cast<ModelRun**>(table->runs == nullptr ? palloc(bytes)
                                                                 : repalloc(table->runs, bytes));
    table->runs[table->n_runs++] = run;
    SPI_freetuptable(SPI_tuptable);
    MemoryContextSwitchTo(caller);
    return run;
}

const ModelRun* find_run(ModelTable* table, int64 run_id, bool production) {
    for (int i = table->n_runs - 1; i >= 0; --i)
        if (table->runs[i]->run_id == run_id) return table->runs[i];
    return add_run(table, run_id, production);
}

// An integer in the width of the source's column; false when it does not fit: then no row of the
// source can have this key.
bool narrow_integer(Oid type, Datum* value) {
    const int64 number = DatumGetInt64(*value);
    switch (type) {
        case INT2OID:
            *value = Int16GetDatum(static_cast<int16>(number));
            return number >= PG_INT16_MIN && number <= PG_INT16_MAX;
        case INT4OID:
            *value = Int32GetDatum(static_cast<int32>(number));
            return number >= PG_INT32_MIN && number <= PG_INT32_MAX;
        default:
            return true;
    }
}

void open_entry(ModelTable* table, Datum model, ModelEntry* entry) {
    auto* bytes = reinterpret_cast<struct varlena*>(PG_DETOAST_DATUM_COPY(model));
    const Size length = VARSIZE(bytes) - VARHDRSZ;
    if (!check_model_bytes(VARDATA(bytes), length, &entry->view))
        ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("damaged model value")));
    if (entry->view.n_features() != entry->run->n_features)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("%d features given, the model has %d features",
                               entry->run->n_features, entry->view.n_features())));
    wall::WallError error;
    if (!wall::across_wall(&error, [&] {
            if (entry->view.has_interval())
                core::LinearModelView::set_interval_level(VARDATA(bytes), length, table->level);
        }))
        wall::raise_wall_error(&error);
}

void grow(ModelTable* table) {
    const uint32 capacity = table->capacity == 0 ? 1024 : table->capacity * 2;
    const Size n_keys = static_cast<Size>(table->n_keys);
    auto* entries =
        static_cast<ModelEntry*>(palloc_extended(sizeof(ModelEntry) * capacity, MCXT_ALLOC_HUGE));
    auto* keys = static_cast<NullableDatum*>(
        palloc_extended(sizeof(NullableDatum) * (capacity * n_keys + 1), MCXT_ALLOC_HUGE));
    auto* slots = static_cast<Slot*>(
        palloc_extended(sizeof(Slot) * capacity * 2, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO));
    const uint32 mask = capacity * 2 - 1;
    if (table->capacity > 0) {
        memcpy(static_cast<void*>(entries), table->entries, sizeof(ModelEntry) * table->n_entries);
        memcpy(keys, table->keys, sizeof(NullableDatum) * n_keys * table->n_entries);
        for (uint32 i = 0; i <= table->mask; ++i) {
            if (table->slots[i].entry == 0) continue;
            uint32 place = table->slots[i].hash & mask;
            while (slots[place].entry != 0) place = (place + 1) & mask;
            slots[place] = table->slots[i];
        }
        pfree(table->entries);
        pfree(table->keys);
        pfree(table->slots);
    }
    table->capacity = capacity;
    table->mask = mask;
    table->entries = entries;
    table->keys = keys;
    table->slots = slots;
}

void add_model(ModelTable* table, HeapTuple tuple, TupleDesc descriptor, bool production) {
    if (table->n_entries == table->capacity) grow(table);
    NullableDatum* key = &table->keys[static_cast<Size>(table->n_entries) * table->n_keys];
    for (int i = 0; i < table->n_keys; ++i) {
        KeyColumn* column = &table->columns[i];
        key[i].value = SPI_getbinval(tuple, descriptor, i + 4, &key[i].isnull);
        if (key[i].isnull) continue;
        if (column->is_integer) {
            if (!narrow_integer(column->type, &key[i].value)) return;
        } else {
            key[i].value = datumCopy(key[i].value, column->typbyval, column->typlen);
        }
    }
    const ModelEntry* known = find_model(table, key);
    if (known != nullptr && known < table->entries + table->n_older) return;  // a newer layer's
    if (known != nullptr)
        ereport(ERROR, (errcode(ERRCODE_CARDINALITY_VIOLATION),
                        errmsg("a row of the source would match more than one model"),
                        errdetail("The source compares partition columns by another collation "
                                  "than the training did.")));
    bool is_null;
    ModelEntry* entry = &table->entries[table->n_entries];
    entry->model_id = DatumGetInt64(SPI_getbinval(tuple, descriptor, 1, &is_null));
    entry->run =
        find_run(table, DatumGetInt64(SPI_getbinval(tuple, descriptor, 2, &is_null)), production);
    open_entry(table, SPI_getbinval(tuple, descriptor, 3, &is_null), entry);
    const uint32 hash = hash_key(table, key);
    uint32 place = hash & table->mask;
    while (table->slots[place].entry != 0) place = (place + 1) & table->mask;
    table->slots[place] = {hash, ++table->n_entries};
}

}  // namespace

namespace {

void load_models(ModelTable* table, const char* source, bool production) {
    table->n_older = table->n_entries;
    SPIPlanPtr plan = SPI_prepare(models_query(table, source), 0, nullptr);
    if (plan == nullptr) elog(ERROR, "could not plan the reading of models: %d", SPI_result);
    Portal portal = SPI_cursor_open(nullptr, plan, nullptr, nullptr, true);
    for (;;) {
        SPI_cursor_fetch(portal, true, kBatch);
        if (SPI_processed == 0) break;
        SPITupleTable* rows = SPI_tuptable;  // add_model may run queries
        const uint64 n = SPI_processed;
        MemoryContextSwitchTo(table->context);
        for (uint64 i = 0; i < n; ++i) add_model(table, rows->vals[i], rows->tupdesc, production);
        SPI_freetuptable(rows);
    }
    SPI_cursor_close(portal);
    SPI_freeplan(plan);
}

}  // namespace

ModelTable* load_model_table(MemoryContext context, const int64* sources, int n_sources,
                             double level, const ModelKey* keys, int n_keys, char** features,
                             int n_features) {
    const MemoryContext old = MemoryContextSwitchTo(context);
    auto* table = static_cast<ModelTable*>(palloc0(sizeof(ModelTable)));
    table->context = context;
    table->n_keys = n_keys;
    table->n_features = n_features;
    table->features = features;
    table->level = level;
    table->columns =
        static_cast<KeyColumn*>(palloc0(sizeof(KeyColumn) * (static_cast<Size>(n_keys) + 1)));
    for (int i = 0; i < n_keys; ++i) init_column(&table->columns[i], &keys[i]);
    grow(table);
    if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
    for (int i = 2; i + 1 < n_sources; i += 2)
        load_models(table, layer_source(sources[i], sources[i + 1]), true);
    if (sources[1] != 0) load_models(table, version_source(sources[0], sources[1]), false);
    SPI_finish();
    MemoryContextSwitchTo(old);
    return table;
}

const ModelEntry* find_model(ModelTable* table, const NullableDatum* key) {
    const uint32 hash = hash_key(table, key);
    for (uint32 place = hash & table->mask; table->slots[place].entry != 0;
         place = (place + 1) & table->mask) {
        const Slot slot = table->slots[place];
        if (slot.hash != hash) continue;
        const uint32 i = slot.entry - 1;
        if (same_key(table, &table->keys[static_cast<Size>(i) * table->n_keys], key))
            return &table->entries[i];
    }
    return nullptr;
}

}  // namespace many::serving
