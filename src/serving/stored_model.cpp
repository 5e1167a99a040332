// Models by a partition's index: see stored_model.h.
#include "serving/stored_model.h"

#include <cstring>

#include "registry/access.h"
#include "serving/model_value.h"
#include "serving/shared_cache.h"

extern "C" {
#include "access/stratnum.h"
#include "catalog/pg_am.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "utils/fmgroids.h"
#include "utils/partcache.h"
}

namespace many::serving {

namespace {

// --- The place --------------------------------------------------------------------------------

Oid partition_for(Relation store, int64 storage) {
    PartitionKey key = RelationGetPartitionKey(store);
    PartitionDesc partitions = RelationGetPartitionDesc(store, true);
    if (key->strategy != PARTITION_STRATEGY_LIST || partitions->nparts == 0) return InvalidOid;
    bool is_equal = false;
    const int place =
        partition_list_bsearch(key->partsupfunc, key->partcollation, partitions->boundinfo,
                               Int64GetDatum(storage), &is_equal);
    if (place < 0 || !is_equal) return InvalidOid;
    return partitions->oids[partitions->boundinfo->indexes[place]];
}

bool is_usable_index(Relation index) {
    const Form_pg_index form = index->rd_index;
    return index->rd_rel->relam == BTREE_AM_OID && form->indisvalid && !form->indcheckxmin &&
           RelationGetIndexPredicate(index) == NIL && form->indnkeyatts <= 2;
}

// On `columns`, all of them bigint.
bool is_on(Relation index, const AttrNumber* columns, int n) {
    if (index->rd_index->indnkeyatts != n) return false;
    for (int i = 0; i < n; ++i)
        if (index->rd_index->indkey.values[i] != columns[i] || index->rd_opcintype[i] != INT8OID)
            return false;
    return true;
}

void find_key_index(ModelPlace* place, Relation partition) {
    const AttrNumber columns[] = {place->id_column,
                                  get_attnum(RelationGetRelid(partition), "key_hash")};
    ListCell* cell;
    foreach (cell, RelationGetIndexList(partition)) {
        Relation index = index_open(lfirst_oid(cell), AccessShareLock);
        const bool by_both = is_usable_index(index) && is_on(index, columns, 2);
        // Where a partition is one layer's, the hash is enough.
        const bool by_hash = is_usable_index(index) && is_on(index, columns + 1, 1);
        if (by_both || by_hash) {
            place->index = RelationGetRelid(index);
            place->n_columns = by_both ? 2 : 1;
        }
        index_close(index, NoLock);
        if (by_both) break;
    }
}

// --- Reading ----------------------------------------------------------------------------------

bool is_granted(const char* model_set, Jsonb* stored) {
    return registry::key_is_granted(model_set, registry::Privilege::score, stored);
}

SharedModelKey shared_key(const ModelPlace* place, Jsonb* key) {
    return {place->file, place->id, VARDATA(key), static_cast<int>(VARSIZE(key) - VARHDRSZ)};
}

// A model made by this transaction is nobody else's yet. Any other that its snapshot shows is
// committed.
bool is_committed(TupleTableSlot* slot) {
    bool is_null;
    const Datum xmin = slot_getsysattr(slot, MinTransactionIdAttributeNumber, &is_null);
    return !TransactionIdIsCurrentTransactionId(DatumGetTransactionId(xmin));
}

// The model of a row that is the key's; nullptr for an error value.
const struct varlena* take_model(const ModelPlace* place, TupleTableSlot* slot, Jsonb* stored_key,
                                 int64 run_id) {
    bool is_null;
    const Datum value = slot_getattr(slot, place->model, &is_null);
    const auto* model = PG_DETOAST_DATUM_COPY(value);
    core::LinearModelView view;
    if (check_any_model(VARDATA(model), VARSIZE(model) - VARHDRSZ, &view) == ModelKind::error)
        return nullptr;
    if (is_committed(slot)) {
        const SharedModelKey key = shared_key(place, stored_key);
        share_model(&key, run_id, VARDATA(model), VARSIZE(model) - VARHDRSZ);
    }
    return reinterpret_cast<const struct varlena*>(model);
}

int64 number_at(TupleTableSlot* slot, AttrNumber column) {
    bool is_null;
    return DatumGetInt64(slot_getattr(slot, column, &is_null));
}

// Whether a row of the index's is the group's; then also what there is of its model.
bool take_row(const ModelPlace* place, const WantedKey* wanted, TupleTableSlot* slot,
              StoredModel* stored) {
    if (number_at(slot, place->id_column) != place->id) return false;
    bool is_null;
    const Datum value = slot_getattr(slot, place->partition_key, &is_null);
    if (is_null) return false;
    Jsonb* key = DatumGetJsonbP(value);
    if (!is_wanted_key(wanted, key)) return false;
    stored->run_id = number_at(slot, place->run_id);
    if (is_granted(wanted->model_set, key))
        stored->model = take_model(place, slot, key, stored->run_id);
    return true;
}

// With the lock on the table, an index that it has stays.
bool has_index(Relation partition, Oid index) {
    List* indexes = RelationGetIndexList(partition);
    const bool found = list_member_oid(indexes, index);
    list_free(indexes);
    return found;
}

}  // namespace

void read_wanted_key(WantedKey* wanted, const char* model_set, registry::KeyColumn* columns,
                     int n_keys, Jsonb* key) {
    const Size n = static_cast<Size>(n_keys) + 1;
    *wanted = {model_set,
               columns,
               n_keys,
               key,
               static_cast<Datum*>(palloc(sizeof(Datum) * n)),
               static_cast<bool*>(palloc(n)),
               0};
    registry::key_from_jsonb(columns, n_keys, key, wanted->values, wanted->nulls);
    wanted->hash = registry::key_hash(columns, n_keys, wanted->values, wanted->nulls);
}

bool is_wanted_key(const WantedKey* wanted, Jsonb* stored) {
    Jsonb* key = wanted->key;
    if (VARSIZE(stored) == VARSIZE(key) && memcmp(stored, key, VARSIZE(key)) == 0) return true;
    const Size n = static_cast<Size>(wanted->n_keys) + 1;
    auto* values = static_cast<Datum*>(palloc(sizeof(Datum) * n));
    auto* nulls = static_cast<bool*>(palloc(n));
    registry::key_from_jsonb(wanted->columns, wanted->n_keys, stored, values, nulls);
    return registry::keys_equal(wanted->columns, wanted->n_keys, wanted->values, wanted->nulls,
                                values, nulls);
}

void find_model_place(ModelPlace* place, const char* store, int64 storage, const char* id_column,
                      int64 id) {
    *place = ModelPlace{};
    Relation parent = table_open(get_relname_relid(store, get_namespace_oid("many_models", false)),
                                 AccessShareLock);
    const Oid oid = partition_for(parent, storage);
    table_close(parent, NoLock);
    Relation partition = OidIsValid(oid) ? try_relation_open(oid, AccessShareLock) : nullptr;
    if (partition == nullptr) return;
    if (partition->rd_rel->relkind == RELKIND_RELATION) {
        place->file = partition->rd_rel->relfilenode;
        place->id = id;
        place->id_column = get_attnum(oid, id_column);
        place->partition_key = get_attnum(oid, "partition_key");
        place->run_id = get_attnum(oid, "run_id");
        place->model = get_attnum(oid, "model");
        find_key_index(place, partition);
        if (OidIsValid(place->index)) place->partition = oid;
    }
    relation_close(partition, NoLock);
}

PlaceResult find_in_shared_cache(const ModelPlace* place, const char* model_set, Jsonb* key,
                                 StoredModel* stored) {
    *stored = {};
    if (!OidIsValid(place->partition)) return PlaceResult::use_query;
    const SharedModelKey shared = shared_key(place, key);
    const struct varlena* model = find_shared_model(&shared, &stored->run_id);
    if (model == nullptr) return PlaceResult::none;
    if (is_granted(model_set, key)) stored->model = model;
    return PlaceResult::found;
}

PlaceResult find_stored_model(const ModelPlace* place, const WantedKey* wanted,
                              StoredModel* stored) {
    *stored = {};
    Relation partition = OidIsValid(place->partition)
                             ? try_relation_open(place->partition, AccessShareLock)
                             : nullptr;
    if (partition == nullptr) return PlaceResult::use_query;
    if (!has_index(partition, place->index)) {
        relation_close(partition, NoLock);
        return PlaceResult::use_query;
    }
    Relation index = index_open(place->index, AccessShareLock);
    ScanKeyData keys[2];
    const bool by_id = place->n_columns == 2;
    ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT8EQ,
                Int64GetDatum(by_id ? place->id : wanted->hash));
    ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(wanted->hash));
    IndexScanDesc scan =
        pg::begin_index_scan(partition, index, GetActiveSnapshot(), place->n_columns);
    index_rescan(scan, keys, place->n_columns, nullptr, 0);
    TupleTableSlot* slot = table_slot_create(partition, nullptr);
    PlaceResult result = PlaceResult::none;
    while (result == PlaceResult::none && index_getnext_slot(scan, ForwardScanDirection, slot))
        if (take_row(place, wanted, slot, stored)) result = PlaceResult::found;
    ExecDropSingleTupleTableSlot(slot);
    index_endscan(scan);
    index_close(index, NoLock);
    relation_close(partition, NoLock);
    return result;
}

}  // namespace many::serving
