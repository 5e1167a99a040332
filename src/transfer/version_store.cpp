// Models and failures from elsewhere into the registry: see version_store.h. Tables are made as the
// registry's owner; rows are written below the level where privileges are checked.
#include "transfer/version_store.h"

#include "engine/collect.h"
#include "registry/registry.h"

extern "C" {
#include "catalog/indexing.h"
#include "commands/sequence.h"
}

namespace many::transfer {

namespace {

constexpr int kBatch = 500;                    // rows of one multi-insert
constexpr Size kBatchBytes = 4 * 1024 * 1024;  // or so many bytes of models
constexpr int kModelColumns = 14;
constexpr int kFailureColumns = 12;

struct Target {
    Relation relation;
    CommandId command;
    TupleTableSlot* slots[kBatch];
    int n;
};

}  // namespace

struct VersionStore {
    int64 run_id;
    int64 storage;
    Oid model_id_sequence;
    Target models;
    Target failures;
    Size bytes;
    MemoryContext row_context;
};

namespace {

Oid registry_oid(const char* name) {
    return get_relname_relid(name, get_namespace_oid("many_models", false));
}

void open_target(VersionStore* store, Target* target, const char* parent) {
    const char* name = psprintf("%s_shared", parent);
    if (store->storage != 0) name = engine::own_partition(parent, store->storage);
    target->command = GetCurrentCommandId(true);
    target->relation = table_open(registry_oid(name), RowExclusiveLock);
    if (store->storage == 0) return;
    for (TupleTableSlot*& slot : target->slots) slot = table_slot_create(target->relation, nullptr);
}

void flush(Target* target) {
    if (target->n == 0) return;
    table_multi_insert(target->relation, target->slots, target->n, target->command,
                       TABLE_INSERT_SKIP_FSM, nullptr);
    for (int i = 0; i < target->n; ++i) ExecClearTuple(target->slots[i]);
    target->n = 0;
}

void put_row(VersionStore* store, Target* target, Datum* values, bool* nulls, Size bytes) {
    if (store->storage == 0) {
        CatalogTupleInsert(target->relation,
                           heap_form_tuple(RelationGetDescr(target->relation), values, nulls));
        MemoryContextReset(store->row_context);
        return;
    }
    TupleTableSlot* slot = target->slots[target->n++];
    const Size natts = (Size)slot->tts_tupleDescriptor->natts;
    ExecClearTuple(slot);
    memcpy(slot->tts_values, values, sizeof(Datum) * natts);
    memcpy(slot->tts_isnull, nulls, sizeof(bool) * natts);
    ExecStoreVirtualTuple(slot);
    store->bytes += bytes;
    if (target->n < kBatch && store->bytes < kBatchBytes) return;
    flush(&store->models);
    flush(&store->failures);
    store->bytes = 0;
    MemoryContextReset(store->row_context);
}

Datum text_or_null(const char* value, bool* is_null) {
    *is_null = value == nullptr;
    return value == nullptr ? Datum(0) : CStringGetTextDatum(value);
}

void close_target(VersionStore* store, Target* target) {
    flush(target);
    if (store->storage != 0) {
        for (TupleTableSlot* slot : target->slots) ExecDropSingleTupleTableSlot(slot);
        table_finish_bulk_insert(target->relation, TABLE_INSERT_SKIP_FSM);
    }
    table_close(target->relation, NoLock);
}

}  // namespace

VersionStore* store_open(int64 run_id, bool own_partitions) {
    registry::RegistryRights rights;
    auto* store = static_cast<VersionStore*>(palloc0(sizeof(VersionStore)));
    store->run_id = run_id;
    store->storage = own_partitions ? run_id : 0;
    store->model_id_sequence = registry_oid("model_id_seq");
    store->row_context =
        AllocSetContextCreate(CurrentMemoryContext, "many_models import", ALLOCSET_DEFAULT_SIZES);
    registry::enter_registry(&rights);
    if (own_partitions) engine::create_result_partitions(run_id);
    open_target(store, &store->models, "model_store");
    open_target(store, &store->failures, "failure_store");
    registry::leave_registry(&rights);
    return store;
}

MemoryContext store_row_context(VersionStore* store) {
    return store->row_context;
}

void store_model(VersionStore* store, const StoredModel* model) {
    MemoryContext old = MemoryContextSwitchTo(store->row_context);
    bool nulls[kModelColumns] = {false};
    // Sums, comparison and fingerprint stay behind: a refresh of an imported version trains anew.
    nulls[10] = nulls[11] = nulls[12] = nulls[13] = true;
    Datum values[kModelColumns] = {
        Int64GetDatum(store->storage),
        Int64GetDatum(store->run_id),
        Int64GetDatum(nextval_internal(store->model_id_sequence, false)),
        Int64GetDatum(model->key_hash),
        JsonbPGetDatum(model->key),
        Int64GetDatum(model->n_rows),
        Float4GetDatum(model->seconds),
        text_or_null(model->first_time, &nulls[7]),
        text_or_null(model->last_time, &nulls[8]),
        PointerGetDatum(model->model),
    };
    put_row(store, &store->models, values, nulls, VARSIZE(model->model) + VARSIZE(model->key));
    MemoryContextSwitchTo(old);
}

void store_failure(VersionStore* store, const StoredFailure* failure) {
    MemoryContext old = MemoryContextSwitchTo(store->row_context);
    bool nulls[kFailureColumns] = {false};
    nulls[10] = nulls[11] = true;
    Datum values[kFailureColumns] = {
        Int64GetDatum(store->storage),          Int64GetDatum(store->run_id),
        JsonbPGetDatum(failure->key),           CStringGetTextDatum(failure->status),
        CStringGetTextDatum(failure->sqlstate), CStringGetTextDatum(failure->message),
        text_or_null(failure->hint, &nulls[6]), Int32GetDatum(failure->attempt),
        Int64GetDatum(failure->n_rows),         Float4GetDatum(failure->seconds),
    };
    put_row(store, &store->failures, values, nulls, VARSIZE(failure->key));
    MemoryContextSwitchTo(old);
}

int64 store_close(VersionStore* store) {
    registry::RegistryRights rights;
    const int64 storage = store->storage;
    registry::enter_registry(&rights);
    close_target(store, &store->models);
    close_target(store, &store->failures);
    if (storage != 0) engine::publish_result_partitions(storage);
    registry::leave_registry(&rights);
    MemoryContextDelete(store->row_context);
    return storage;
}

}  // namespace many::transfer
