#include "pg/server.h"

#include "engine/append.h"

#include "core/codec/linear_model.h"
#include "core/numeric/moments.h"
#include "engine/base_rows.h"

namespace many::engine {

namespace {

constexpr uint32 kSumsMagic = 0x55534d4d;  // "MMSU"
constexpr uint16 kSumsFormat = 2;

constexpr const char* kBaseRows =
    "(SELECT x.partition_key, x.sums FROM many_models.model_store AS x WHERE x.storage "
    "OPERATOR(pg_catalog.=) $2 AND x.run_id OPERATOR(pg_catalog.=) $1 UNION ALL "
    "SELECT x.partition_key, x.sums FROM many_models.failure_store AS x WHERE x.storage "
    "OPERATOR(pg_catalog.=) $2 AND x.run_id OPERATOR(pg_catalog.=) $1) AS b";

uint32 checksum_of(StoredSums head, const void* moments, Size bytes) {
    head.checksum = 0;
    return core::crc32c(moments, bytes, core::crc32c(&head, sizeof head));
}

struct BaseSums {
    int64 groups;
    int64 without;  // groups that have no sums
    char* last_time;
    char* time_type;
    char* last_rows;
    char* last_checksum;
};

void read_base_sums(const Retraining* r, BaseSums* sums) {
    Oid types[2] = {INT8OID, INT8OID};
    Datum values[2] = {Int64GetDatum(r->base->run_id), Int64GetDatum(r->base->storage)};
    registry::RegistryRights rights;
    bool is_null = false;
    registry::enter_registry(&rights);
    const int code = SPI_execute_with_args(
        psprintf("SELECT b.*, r.details ->> 'last_time', r.details ->> 'time_type', "
                 "r.details ->> 'last_rows', r.details ->> 'last_checksum' "
                 "FROM (SELECT pg_catalog.count(*), pg_catalog.count(*) FILTER (WHERE b.sums IS "
                 "NULL) FROM %s) AS b, many_models.runs AS r "
                 "WHERE r.run_id OPERATOR(pg_catalog.=) $1",
                 kBaseRows),
        2, types, values, nullptr, true, 1);
    registry::leave_registry(&rights);
    if (code != SPI_OK_SELECT || SPI_processed != 1)
        elog(ERROR, "could not read the registry: %d", code);
    HeapTuple tuple = SPI_tuptable->vals[0];
    TupleDesc columns = SPI_tuptable->tupdesc;
    sums->groups = DatumGetInt64(SPI_getbinval(tuple, columns, 1, &is_null));
    sums->without = DatumGetInt64(SPI_getbinval(tuple, columns, 2, &is_null));
    sums->last_time = SPI_getvalue(tuple, columns, 3);
    sums->time_type = SPI_getvalue(tuple, columns, 4);
    sums->last_rows = SPI_getvalue(tuple, columns, 5);
    sums->last_checksum = SPI_getvalue(tuple, columns, 6);
}

// What a stored value becomes on its way into the exchange.
struct StoredGroup {
    RunSpec* spec;
    GroupTable shape;  // of the moments only
    Group group;
    Size moments_bytes;
};

[[noreturn]] void raise_damaged(Jsonb* key) {
    ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
                    errmsg("the stored sums of group %s are damaged",
                           JsonbToCString(nullptr, &key->root, (int)VARSIZE(key))),
                    errhint("Train the set again with many_models.train_many_models.")));
    pg_unreachable();
}

// Fills the group's sums from a stored value.
void read_stored_sums(StoredGroup* w, Jsonb* key, const struct varlena* value) {
    StoredSums head;
    const char* bytes = VARDATA_ANY(value);
    Group* group = &w->group;
    if (VARSIZE_ANY_EXHDR(value) != sizeof head + w->moments_bytes) raise_damaged(key);
    memcpy(&head, bytes, sizeof head);
    memcpy(group->moments, bytes + sizeof head, w->moments_bytes);
    if (head.magic != kSumsMagic || head.format != kSumsFormat ||
        head.n_features != w->spec->n_features || head.time_type != w->spec->time_type ||
        head.checksum != checksum_of(head, group->moments, w->moments_bytes) || head.n_rows < 0 ||
        head.info.n_null < 0 || head.info.n_bad < 0 || head.info.bad_column < 0 ||
        head.info.bad_column > w->spec->n_features)
        raise_damaged(key);
    group->first_time = head.first_time;
    group->last_time = head.last_time;
    group->n_rows = head.n_rows;
    group->info = head.info;
}

void write_stored_group(void* argument, BaseRows* rows, HeapTuple row, TupleDesc columns) {
    auto* w = (StoredGroup*)argument;
    bool is_null = false;
    Jsonb* key = DatumGetJsonbP(SPI_getbinval(row, columns, 1, &is_null));
    const Datum sums = SPI_getbinval(row, columns, 2, &is_null);
    if (is_null) raise_damaged(key);
    read_stored_sums(w, key, PG_DETOAST_DATUM_PACKED(sums));
    w->group.hash = base_rows_key(rows, key);
    w->group.key = rows->codec.image;
    w->group.key_length = rows->codec.length;
    write_moments(&rows->writer, &w->shape, &w->group);
    if (w->group.info.n_null > 0 || w->group.info.n_bad > 0) write_info(&rows->writer, &w->group);
}

}  // namespace

void stored_sums_write(const RunSpec* spec, const Group* group, Size moments_bytes, char* to) {
    StoredSums head = {};
    head.magic = kSumsMagic;
    head.format = kSumsFormat;
    head.n_features = (uint16)spec->n_features;
    head.time_type = spec->time_type;
    head.first_time = group->first_time;
    head.last_time = group->last_time;
    head.n_rows = group->n_rows;
    head.info = group->info;
    head.checksum = checksum_of(head, group->moments, moments_bytes);
    memcpy(to, &head, sizeof head);
    memcpy(to + sizeof head, group->moments, moments_bytes);
}

bool plan_append(Retraining* r) {
    TrainPlan* plan = r->run.plan;
    BaseSums sums;
    const char* type = format_type_extended(plan->spec->time_type, -1, FORMAT_TYPE_FORCE_QUALIFY);
    read_base_sums(r, &sums);
    if (sums.last_time == nullptr || sums.time_type == nullptr || sums.last_rows == nullptr ||
        sums.last_checksum == nullptr || sums.without > 0) {
        ereport(NOTICE,
                (errmsg("all groups of model set \"%s\" are trained from the source",
                        r->base->arguments.model_set),
                 errdetail("Version %d does not have the sums of all groups up to one time.",
                           r->base->version)));
        return false;
    }
    if (strcmp(type, sums.time_type) != 0)
        ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                        errmsg("time column \"%s\" is of type %s now, and was %s when the models "
                               "were trained",
                               plan->arguments.time_column, type, sums.time_type),
                        errhint("Train all groups with many_models.train_many_models.")));
    const int guc_level = NewGUCNestLevel();
    set_text_formats();
    r->read_last.time = time_from_text(plan->spec, sums.last_time);
    AtEOXact_GUC(true, guc_level);
    r->read_last.n = strtoull(sums.last_rows, nullptr, 10);
    r->read_last.checksum = strtoull(sums.last_checksum, nullptr, 10);
    plan->read_from = psprintf("%s::%s", quote_literal_cstr(sums.last_time), type);
    r->read_after = sums.last_time;
    // The exchange will hold them too.
    r->run.stored_bytes =
        (double)sums.groups * (double)(core::MomentLayout(plan->spec->n_features + 1).bytes() *
                                           (Size)plan->spec->n_moments() +
                                       sizeof(StoredSums));
    return true;
}

bool is_continued(const Retraining* r) {
    const RowsAtTime* met = &r->run.segment->met_again;
    if (met->n == r->read_last.n && met->checksum == r->read_last.checksum) return true;
    ereport(NOTICE,
            (errmsg("all groups of model set \"%s\" are trained from the source",
                    r->base->arguments.model_set),
             errdetail("The rows with the time %s, up to which version %d has read, are not "
                       "those that they were.",
                       r->read_after, r->base->version)));
    return false;
}

void merge_stored_sums(Retraining* r) {
    RunSpec* spec = r->run.plan->spec;
    StoredGroup w = {};
    w.spec = spec;
    w.shape.n_moments = spec->n_moments();
    w.shape.moments_doubles = core::MomentLayout(spec->n_features + 1).doubles();
    w.moments_bytes = w.shape.moments_doubles * (Size)w.shape.n_moments * sizeof(double);
    w.group.moments = (double*)palloc(w.moments_bytes);
    base_rows_write(r, psprintf("SELECT b.partition_key, b.sums FROM %s", kBaseRows),
                    write_stored_group, &w);
}

}  // namespace many::engine
