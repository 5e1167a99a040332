#include "promotion/repository.h"

#include "pg/settings.h"
#include "registry/access.h"
#include "registry/notify.h"

extern "C" {
#include "commands/sequence.h"
#include "tcop/utility.h"
}

namespace many::promotion {

namespace {

void execute(const char* statement) {
    const int code = SPI_execute(statement, false, 0);
    if (code < 0) elog(ERROR, "registry: \"%s\" failed: %d", statement, code);
}

Oid registry_oid(const char* name) {
    return get_relname_relid(name, get_namespace_oid("many_models", false));
}

char* own_partition(const char* parent, int64 storage) {
    return psprintf("%s_p" INT64_FORMAT, parent, storage);
}

// The column that has one value in an own partition: scans for another value leave it out.
const char* constant_column(const char* parent) {
    return parent == kModels ? "layer" : "promotion_id";
}

}  // namespace

void require_writable(const char* function) {
    PreventCommandDuringRecovery(function);
    PreventCommandIfReadOnly(function);
}

registry::ModelSet* require_promotable(const char* model_set) {
    registry::ModelSet* set = registry::find_model_set(model_set, false);
    if (set == nullptr)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                        errmsg("model set \"%s\" does not exist", model_set),
                        errhint("Train it with many_models.train_many_models, or see "
                                "many_models.model_sets for the sets you may use.")));
    registry::require_privilege(set, registry::Privilege::promote);
    return set;
}

void lock_production(const char* model_set, bool exclusive) {
    registry::RegistryRights rights;
    Oid types[1] = {TEXTOID};
    Datum values[1] = {CStringGetTextDatum(model_set)};
    registry::enter_registry(&rights);
    int code = SPI_execute_with_args(
        "SELECT FROM many_models.model_sets WHERE model_set = $1 FOR KEY SHARE", 1, types, values,
        nullptr, false, 1);
    if (code != SPI_OK_SELECT) elog(ERROR, "could not lock the model set: %d", code);
    if (SPI_processed == 0)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                        errmsg("model set \"%s\" does not exist", model_set)));
    if (exclusive) {
        code = SPI_execute_with_args(
            "INSERT INTO many_models.production_sets VALUES ($1, 0, '{}', '{}') "
            "ON CONFLICT DO NOTHING",
            1, types, values, nullptr, false, 0);
        if (code != SPI_OK_INSERT) elog(ERROR, "could not write the registry: %d", code);
        code = SPI_execute_with_args(
            "SELECT FROM many_models.production_sets WHERE model_set = $1 FOR NO KEY UPDATE", 1,
            types, values, nullptr, false, 1);
        if (code != SPI_OK_SELECT || SPI_processed != 1)
            elog(ERROR, "could not lock the production of model set \"%s\"", model_set);
    }
    registry::leave_registry(&rights);
}

int plan_for_layers() {
    const int level = NewGUCNestLevel();
    const char* const settings[][2] = {{"enable_mergejoin", "off"},
                                       {"enable_nestloop", "off"},
                                       {"jit", "off"},
                                       {"parallel_tuple_cost", "0"},
                                       {"parallel_leader_participation", "off"}};
    for (const auto& setting : settings) pg::set_local(setting[0], setting[1]);
    return level;
}

// --- Partitions -------------------------------------------------------------------------------

RowWriter* open_writer(const char* parent, int64 storage) {
    const char* name =
        storage == 0 ? psprintf("%s_shared", parent) : own_partition(parent, storage);
    if (storage != 0)
        execute(
            psprintf("CREATE TABLE many_models.%s (LIKE many_models.%s INCLUDING DEFAULTS "
                     "INCLUDING STORAGE INCLUDING CONSTRAINTS, CHECK (storage "
                     "OPERATOR(pg_catalog.=) " INT64_FORMAT
                     "::pg_catalog.int8), CHECK (%s OPERATOR(pg_catalog.=) " INT64_FORMAT
                     "::pg_catalog.int8))",
                     name, parent, storage, constant_column(parent), storage));
    return open_rows(registry_oid(name), storage != 0);
}

namespace {

// All columns of the table, with 0 for the storage.
char* shared_columns(Oid relation) {
    StringInfoData list;
    initStringInfo(&list);
    Relation table = table_open(relation, NoLock);
    for (int i = 0; i < RelationGetDescr(table)->natts; i++) {
        const char* name = NameStr(TupleDescAttr(RelationGetDescr(table), i)->attname);
        appendStringInfo(&list, "%s%s", i > 0 ? ", " : "",
                         strcmp(name, "storage") == 0 ? "0" : quote_identifier(name));
    }
    table_close(table, NoLock);
    return list.data;
}

}  // namespace

int64 finish_partition(const char* parent, int64 storage, int64 rows) {
    if (storage == 0) return 0;
    const char* name = own_partition(parent, storage);
    if (rows <= kOwnPartitionRows) {
        if (rows > 0)
            execute(psprintf("INSERT INTO many_models.%s_shared SELECT %s FROM many_models.%s",
                             parent, shared_columns(registry_oid(name)), name));
        execute(psprintf("DROP TABLE many_models.%s", name));
        return 0;
    }
    const bool models = parent == kModels;
    if (models)
        execute(psprintf("CREATE INDEX %s_key_idx ON many_models.%s (key_hash)", name, name));
    execute(
        psprintf("ALTER TABLE many_models.%s ATTACH PARTITION many_models.%s FOR VALUES IN "
                 "(" INT64_FORMAT ")",
                 parent, name, storage));
    execute(psprintf("ALTER TABLE many_models.%s ENABLE ROW LEVEL SECURITY", name));
    // A small sample shows what joins need to know: keys are distinct, runs and layers are not.
    pg::set_local("default_statistics_target", "10");
    execute(psprintf("ANALYZE many_models.%s", name));
    return storage;
}

// --- Promotions -------------------------------------------------------------------------------

int64 next_promotion_id() {
    return nextval_internal(registry_oid("promotion_id_seq"), false);
}

namespace {

void notify(const Promotion* p) {
    const char* version = p->version > 0 ? psprintf("%d", p->version) : "null";
    registry::notify_event(
        "promotion", p->model_set,
        psprintf("\"promotion_id\": " INT64_FORMAT
                 ", \"kind\": \"%s\", \"version\": %s, \"promoted\": " INT64_FORMAT
                 ", \"kept\": " INT64_FORMAT ", \"rejected\": " INT64_FORMAT
                 ", \"withdrawn\": " INT64_FORMAT ", \"production\": " INT64_FORMAT,
                 p->promotion_id, p->kind, version, p->promoted, p->kept, p->rejected, p->withdrawn,
                 p->production));
}

}  // namespace

void record_promotion(Promotion* p) {
    constexpr int kColumns = 18;
    auto* elapsed = (Interval*)palloc0(sizeof(Interval));
    p->promoted_at = GetCurrentTimestamp();
    elapsed->time = p->promoted_at - p->started_at;
    const auto ids = [p](const int64* values) {
        return p->state == nullptr ? Datum(0) : registry::int64_array(values, p->state->n_layers);
    };
    Oid types[kColumns] = {INT8OID,
                           TEXTOID,
                           TEXTOID,
                           INT4OID,
                           TEXTOID,
                           INT8OID,
                           INT8OID,
                           INT8OID,
                           INT8OID,
                           INT8OID,
                           INT8OID,
                           OIDOID,
                           TIMESTAMPTZOID,
                           INTERVALOID,
                           get_array_type(INT8OID),
                           get_array_type(INT8OID),
                           INT8OID,
                           JSONBOID};
    Datum values[kColumns] = {
        Int64GetDatum(p->promotion_id),
        CStringGetTextDatum(p->model_set),
        CStringGetTextDatum(p->kind),
        Int32GetDatum(p->version),
        p->rule == nullptr ? Datum(0) : CStringGetTextDatum(p->rule),
        Int64GetDatum(p->restored),
        Int64GetDatum(p->promoted),
        Int64GetDatum(p->kept),
        Int64GetDatum(p->rejected),
        Int64GetDatum(p->withdrawn),
        Int64GetDatum(p->production),
        ObjectIdGetDatum(GetUserId()),
        TimestampTzGetDatum(p->promoted_at),
        IntervalPGetDatum(elapsed),
        ids(p->state == nullptr ? nullptr : p->state->layers),
        ids(p->state == nullptr ? nullptr : p->state->storages),
        Int64GetDatum(p->storage),
        DirectFunctionCall1(jsonb_in, CStringGetDatum(p->details == nullptr ? "{}" : p->details)),
    };
    char nulls[kColumns + 1] = "                  ";
    if (p->version == 0) nulls[3] = 'n';
    if (p->rule == nullptr) nulls[4] = 'n';
    if (p->restored < 0) nulls[5] = 'n';
    if (p->state == nullptr) nulls[14] = nulls[15] = 'n';
    registry::RegistryRights rights;
    registry::enter_registry(&rights);
    int code = SPI_execute_with_args(
        "INSERT INTO many_models.promotions (promotion_id, model_set, kind, version, rule, "
        "restored, promoted, kept, rejected, withdrawn, production, promoted_by, promoted_at, "
        "elapsed, layers, storages, storage, details) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)",
        kColumns, types, values, nulls, false, 0);
    if (code != SPI_OK_INSERT) elog(ERROR, "could not write the registry: %d", code);
    if (p->state != nullptr) {
        Oid set_types[4] = {TEXTOID, INT8OID, types[14], types[15]};
        Datum set_values[4] = {values[1], values[0], values[14], values[15]};
        code = SPI_execute_with_args(
            "UPDATE many_models.production_sets SET promotion_id = $2, layers = $3, storages = $4 "
            "WHERE model_set = $1",
            4, set_types, set_values, nullptr, false, 0);
        if (code != SPI_OK_UPDATE || SPI_processed != 1)
            elog(ERROR, "could not write the registry: %d", code);
    }
    registry::leave_registry(&rights);
    if (p->state == nullptr) return;
    registry::announce_models_changed();
    notify(p);
}

void drop_dry_runs(const char* model_set) {
    Oid types[1] = {TEXTOID};
    Datum values[1] = {CStringGetTextDatum(model_set)};
    registry::RegistryRights rights;
    registry::enter_registry(&rights);
    const int code = SPI_execute_with_args(
        "DELETE FROM many_models.promotions WHERE model_set = $1 AND kind = 'dry_run' "
        "RETURNING promotion_id, storage",
        1, types, values, nullptr, false, 0);
    if (code != SPI_OK_DELETE_RETURNING) elog(ERROR, "could not write the registry: %d", code);
    SPITupleTable* rows = SPI_tuptable;
    const uint64 n = SPI_processed;
    for (uint64 i = 0; i < n; i++) {
        bool is_null = false;
        const int64 id = DatumGetInt64(SPI_getbinval(rows->vals[i], rows->tupdesc, 1, &is_null));
        const int64 storage =
            DatumGetInt64(SPI_getbinval(rows->vals[i], rows->tupdesc, 2, &is_null));
        if (storage != 0)
            execute(psprintf("DROP TABLE many_models.%s", own_partition(kReport, storage)));
        else
            execute(psprintf("DELETE FROM many_models.%s_shared WHERE promotion_id = " INT64_FORMAT,
                             kReport, id));
    }
    registry::leave_registry(&rights);
}

namespace {

Datum promotion_summary(FunctionCallInfo fcinfo, const Promotion* p) {
    TupleDesc descriptor;
    if (get_call_result_type(fcinfo, nullptr, &descriptor) != TYPEFUNC_COMPOSITE)
        elog(ERROR, "promotion_summary expected");
    auto* elapsed = (Interval*)palloc0(sizeof(Interval));
    elapsed->time = p->promoted_at - p->started_at;
    Datum values[] = {Int64GetDatum(p->promotion_id), CStringGetTextDatum(p->model_set),
                      CStringGetTextDatum(p->kind),   Int32GetDatum(p->version),
                      Int64GetDatum(p->promoted),     Int64GetDatum(p->kept),
                      Int64GetDatum(p->rejected),     Int64GetDatum(p->withdrawn),
                      Int64GetDatum(p->production),   IntervalPGetDatum(elapsed)};
    bool nulls[lengthof(values)] = {};
    nulls[3] = p->version == 0;
    return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), values, nulls));
}

void describe_in_errors(void* argument) {
    const auto* p = (const Promotion*)argument;
    errcontext("%s of model set \"%s\"",
               strcmp(p->kind, "rollback") == 0 ? "rollback" : "promotion", p->model_set);
}

}  // namespace

Datum run_promotion(FunctionCallInfo fcinfo, Promotion* promotion,
                    void (*work)(Promotion* promotion, const void* arguments),
                    const void* arguments) {
    const MemoryContext caller = CurrentMemoryContext;
    promotion->started_at = GetCurrentTimestamp();
    registry::hold_extension();
    if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
    ErrorContextCallback context;
    context.callback = describe_in_errors;
    context.arg = promotion;
    context.previous = error_context_stack;
    error_context_stack = &context;
    work(promotion, arguments);
    error_context_stack = context.previous;
    MemoryContextSwitchTo(caller);
    const Datum summary = promotion_summary(fcinfo, promotion);
    SPI_finish();
    return summary;
}

}  // namespace many::promotion
