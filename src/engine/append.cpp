#include "pg/server.h"

#include "engine/append.h"

#include "core/codec/linear_model.h"
#include "core/numeric/moments.h"
#include "engine/exchange.h"
#include "registry/key_text.h"

namespace many::engine {

namespace {

constexpr uint32 kSumsMagic = 0x55534d4d;  // "MMSU"
constexpr uint16 kSumsFormat = 2;
constexpr int kRowsPerFetch = 1000;

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
struct SumsWriter {
    RunSpec* spec;
    KeyCodec codec;
    registry::KeyColumn* columns;
    GroupTable shape;  // of the moments only
    ChunkWriter writer;
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
void read_stored_sums(SumsWriter* w, Jsonb* key, const struct varlena* value) {
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

void write_stored_group(SumsWriter* w, Jsonb* key, const struct varlena* value) {
    Datum values[kMaxKeys];
    bool nulls[kMaxKeys];
    NullableDatum image[kMaxKeys];
    const int n = w->spec->n_keys;
    read_stored_sums(w, key, value);
    registry::key_from_jsonb(w->columns, n, key, values, nulls);
    for (int i = 0; i < n; i++) image[i] = {values[i], nulls[i]};
    w->group.hash = key_encode(&w->codec, image);
    w->group.key = w->codec.image;
    w->group.key_length = w->codec.length;
    write_moments(&w->writer, &w->shape, &w->group);
    if (w->group.info.n_null > 0 || w->group.info.n_bad > 0) write_info(&w->writer, &w->group);
}

SumsWriter* make_sums_writer(const Retraining* r) {
    const TrainPlan* plan = r->run.plan;
    RunSegment* segment = r->run.segment;
    auto* w = (SumsWriter*)palloc0(sizeof(SumsWriter));
    w->spec = plan->spec;
    key_codec_init(&w->codec, plan->spec);
    w->columns =
        (registry::KeyColumn*)palloc0(sizeof(registry::KeyColumn) * (Size)(plan->spec->n_keys + 1));
    for (int i = 0; i < plan->spec->n_keys; i++)
        registry::key_column_init(&w->columns[i], plan->arguments.partition_by[i],
                                  plan->key_types[i], plan->spec->keys()[i].collation);
    w->shape.n_moments = plan->spec->n_moments();
    w->shape.moments_doubles = core::MomentLayout(plan->spec->n_features + 1).doubles();
    w->moments_bytes = w->shape.moments_doubles * (Size)w->shape.n_moments * sizeof(double);
    w->group.moments = (double*)palloc(w->moments_bytes);
    segment->adds_stored = true;
    chunk_writer_init(&w->writer, segment, (int)pg_atomic_fetch_add_u32(&segment->n_processes, 1),
                      CurrentMemoryContext);
    return w;
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
    Oid types[2] = {INT8OID, INT8OID};
    Datum values[2] = {Int64GetDatum(r->base->run_id), Int64GetDatum(r->base->storage)};
    registry::RegistryRights rights;
    SumsWriter* w = make_sums_writer(r);
    MemoryContext row_context =
        AllocSetContextCreate(CurrentMemoryContext, "many_models sums", ALLOCSET_DEFAULT_SIZES);
    const int guc_level = NewGUCNestLevel();
    for (const char* const* s : (const char* const[][2]){
             {"DateStyle", "ISO, YMD"}, {"IntervalStyle", "postgres"}, {"TimeZone", "UTC"}})
        (void)set_config_option(s[0], s[1], PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
                                false);
    // Rights are checked when the cursor opens; what reads the keys then runs as the caller.
    registry::enter_registry(&rights);
    Portal rows = SPI_cursor_open_with_args(
        nullptr, psprintf("SELECT b.partition_key, b.sums FROM %s", kBaseRows), 2, types, values,
        nullptr, true, 0);
    registry::leave_registry(&rights);
    for (;;) {
        SPI_cursor_fetch(rows, true, kRowsPerFetch);
        SPITupleTable* fetched = SPI_tuptable;
        const uint64 n = SPI_processed;
        for (uint64 i = 0; i < n; i++) {
            bool is_null = false;
            MemoryContext old = MemoryContextSwitchTo(row_context);
            const Datum key = SPI_getbinval(fetched->vals[i], fetched->tupdesc, 1, &is_null);
            const Datum value = SPI_getbinval(fetched->vals[i], fetched->tupdesc, 2, &is_null);
            CHECK_FOR_INTERRUPTS();
            if (is_null) raise_damaged(DatumGetJsonbP(key));
            Jsonb* partition_key = DatumGetJsonbP(key);
            const struct varlena* sums = PG_DETOAST_DATUM_PACKED(value);
            write_stored_group(w, partition_key, sums);
            MemoryContextSwitchTo(old);
            MemoryContextReset(row_context);
        }
        SPI_freetuptable(fetched);
        if (n == 0) break;
    }
    SPI_cursor_close(rows);
    AtEOXact_GUC(true, guc_level);
    chunk_writer_finish(&w->writer);
    MemoryContextDelete(row_context);
}

}  // namespace many::engine
