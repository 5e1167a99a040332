#include "pg/server.h"

#include "engine/collect.h"

#include "engine/exchange.h"
#include "engine/fingerprint.h"
#include "engine/progress.h"
#include "engine/results.h"
#include "pg/settings.h"
#include "registry/key_text.h"

extern "C" {
#include "catalog/indexing.h"
#include "commands/sequence.h"
}

namespace many::engine {

namespace {

constexpr const char* kParents[] = {"model_store", "failure_store"};
constexpr int kBatch = 128;  // tuples of one multi-insert, which lie in the second-level cache ...
constexpr Size kBatchBytes = 512 * 1024;  // ... in memory that stays
constexpr int kModelColumns = 14;
constexpr int kFailureColumns = 12;

// Where rows of one kind go: the shared partition one by one, an own one in batches.
struct Target {
    Relation relation;
    bool bulk;
    TupleTableSlot* slots[kBatch];
    int n;
    CommandId command;
};

}  // namespace

struct Collector {
    RunSegment* segment;
    RunSpec* spec;
    ResultStorage storage;
    Collected collected;
    KeyCodec codec;
    registry::KeyColumn* columns;
    Oid model_id_sequence;
    int64* ids;  // taken beforehand
    int64 n_ids;
    int64 next_id;
    BufFile* overflow;  // results for which there was none
    Target models;
    Target failures;
    MemoryContext row_context;
    char* buffer;
    Size buffer_bytes;
    const Carry* carry;
    uint64* places;  // of unchanged groups
    Size n_places;
    Size place_capacity;
};

namespace {

Oid registry_oid(const char* name) {
    return get_relname_relid(name, get_namespace_oid("many_models", false));
}

void execute(const char* statement) {
    const int code = SPI_execute(statement, false, 0);
    if (code < 0) elog(ERROR, "registry: \"%s\" failed: %d", statement, code);
}

void open_target(Target* target, const char* parent, int64 storage) {
    memset(target, 0, sizeof *target);
    target->bulk = storage != 0;
    target->command = GetCurrentCommandId(true);
    const char* name = psprintf("%s_shared", parent);
    if (target->bulk) name = own_partition(parent, storage);
    target->relation = table_open(registry_oid(name), RowExclusiveLock);
    if (target->bulk)
        for (int i = 0; i < kBatch; i++)
            target->slots[i] = table_slot_create(target->relation, nullptr);
}

void flush_target(Target* target) {
    if (target->n == 0) return;
    // Without a ring of buffers: reusing its dirty pages would flush the log every 16 MB.
    table_multi_insert(target->relation, target->slots, target->n, target->command,
                       TABLE_INSERT_SKIP_FSM, nullptr);
    for (int i = 0; i < target->n; i++) ExecClearTuple(target->slots[i]);
    target->n = 0;
}

// values live in row_context, which is reset when a batch was written.
void put_row(Collector* c, Target* target, Datum* values, bool* nulls, int n_columns) {
    if (!target->bulk) {
        HeapTuple tuple = heap_form_tuple(RelationGetDescr(target->relation), values, nulls);
        CatalogTupleInsert(target->relation, tuple);
        return;
    }
    TupleTableSlot* slot = target->slots[target->n++];
    ExecClearTuple(slot);
    memcpy(slot->tts_values, values, sizeof(Datum) * (Size)n_columns);
    memcpy(slot->tts_isnull, nulls, sizeof(bool) * (Size)n_columns);
    ExecStoreVirtualTuple(slot);
    if (c->models.n == kBatch || c->failures.n == kBatch) {
        flush_target(&c->models);
        flush_target(&c->failures);
        MemoryContextReset(c->row_context);
    }
}

// Of partitions, as sql/20_registry.sql has them for the shared ones.
struct Index {
    const char* parent;
    const char* suffix;
    const char* columns;
};
constexpr Index kIndexes[] = {{"model_store", "key_idx", "run_id, key_hash"},
                              {"model_store", "id_idx", "model_id"},
                              {"failure_store", "run_idx", "run_id"}};

void close_target(Target* target) {
    flush_target(target);
    if (target->bulk) {
        for (int i = 0; i < kBatch; i++) ExecDropSingleTupleTableSlot(target->slots[i]);
        table_finish_bulk_insert(target->relation, TABLE_INSERT_SKIP_FSM);
    }
    table_close(target->relation, NoLock);
}

// With a replica identity, as the shared ones have it: a publication of all tables refuses updates
// and deletes without.
void create_partition(const char* parent, int64 storage) {
    const char* name = own_partition(parent, storage);
    execute(
        psprintf("CREATE TABLE many_models.%s (LIKE many_models.%s INCLUDING DEFAULTS "
                 "INCLUDING STORAGE INCLUDING CONSTRAINTS, CHECK (storage "
                 "OPERATOR(pg_catalog.=) " INT64_FORMAT "::pg_catalog.int8))",
                 name, parent, storage));
    execute(psprintf("ALTER TABLE many_models.%s REPLICA IDENTITY FULL", name));
    // At once: those of a background run are committed long before they are attached.
    execute(psprintf("ALTER TABLE many_models.%s ENABLE ROW LEVEL SECURITY", name));
}

void publish_partition(const char* parent, int64 storage) {
    const char* name = own_partition(parent, storage);
    for (const Index& index : kIndexes)
        if (strcmp(index.parent, parent) == 0)
            execute(psprintf("CREATE INDEX %s_%s ON many_models.%s (%s)", name, index.suffix, name,
                             index.columns));
    execute(
        psprintf("ALTER TABLE many_models.%s ATTACH PARTITION many_models.%s FOR VALUES IN "
                 "(" INT64_FORMAT ")",
                 parent, name, storage));
    execute(psprintf("ANALYZE many_models.%s", name));
}

// nullptr: none kept.
Datum bytes_datum(const char* bytes, uint32 n, bool* is_null) {
    *is_null = n == 0;
    if (n == 0) return (Datum)0;
    auto* value = (struct varlena*)palloc((Size)n + VARHDRSZ);
    SET_VARSIZE(value, n + VARHDRSZ);
    memcpy(VARDATA(value), bytes, n);
    return PointerGetDatum(value);
}

}  // namespace

char* time_text(const RunSpec* spec, int64 time) {
    PGFunction output = nullptr;
    Datum value = Int64GetDatum(time);
    switch (spec->time_type) {
        case DATEOID:
            output = date_out;
            value = DateADTGetDatum((DateADT)time);
            break;
        case TIMESTAMPOID:
            output = timestamp_out;
            break;
        case TIMESTAMPTZOID:
            output = timestamptz_out;
            break;
        default:
            output = int8out;
            break;
    }
    return DatumGetCString(DirectFunctionCall1(output, value));
}

int64 time_from_text(const RunSpec* spec, char* text) {
    const Datum type = ObjectIdGetDatum(spec->time_type);
    const Datum any = Int32GetDatum(-1);
    const Datum value = CStringGetDatum(text);
    switch (spec->time_type) {
        case DATEOID:
            return DatumGetDateADT(DirectFunctionCall3(date_in, value, type, any));
        case TIMESTAMPOID:
            return DatumGetTimestamp(DirectFunctionCall3(timestamp_in, value, type, any));
        case TIMESTAMPTZOID:
            return DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in, value, type, any));
        default:
            return DatumGetInt64(DirectFunctionCall1(int8in, value));
    }
}

Datum comparison_array(const char* numbers, int n) {
    Datum elements[core::kComparisonNumbers];
    bool nulls[core::kComparisonNumbers];
    int dimensions[1] = {n};
    int lower_bounds[1] = {1};
    for (int i = 0; i < n; i++) {
        double number;
        memcpy(&number, numbers + sizeof number * (Size)i, sizeof number);
        nulls[i] = isnan(number);
        elements[i] = Float8GetDatum(number);
    }
    return PointerGetDatum(construct_md_array(elements, nulls, 1, dimensions, lower_bounds,
                                              FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL,
                                              TYPALIGN_DOUBLE));
}

namespace {

Datum fingerprint_datum(const Collector* c, const ResultHeader* header, bool* is_null) {
    char bytes[kFingerprintBytes];
    *is_null = !c->segment->keeps_fingerprints();
    if (*is_null) return (Datum)0;
    fingerprint_write(&header->fingerprint, bytes);
    return bytes_datum(bytes, sizeof bytes, is_null);
}

void note_unchanged(Collector* c, uint64 place) {
    if (c->n_places == c->place_capacity) {
        const Size capacity = c->place_capacity == 0 ? 1024 : c->place_capacity * 2;
        const Size bytes = capacity * sizeof(uint64);
        c->places = c->places == nullptr
                        ? (uint64*)MemoryContextAllocHuge(GetMemoryChunkContext(c), bytes)
                        : (uint64*)repalloc_huge(c->places, bytes);
        c->place_capacity = capacity;
    }
    c->places[c->n_places++] = place;
}

void put_model(Collector* c, const ResultHeader* header, Datum key, int64 hash, const char* model,
               const char* sums, const char* numbers) {
    Datum values[kModelColumns];
    bool nulls[kModelColumns] = {false};
    values[0] = Int64GetDatum(c->collected.storage);
    values[1] = Int64GetDatum(c->segment->run_id);
    values[2] =
        Int64GetDatum(c->next_id < c->n_ids ? c->ids[c->next_id++]
                                            : nextval_internal(c->model_id_sequence, false));
    values[3] = Int64GetDatum(hash);
    values[4] = key;
    values[5] = Int64GetDatum(header->n_rows);
    values[6] = Float4GetDatum(header->seconds);
    nulls[7] = nulls[8] = !header->has_window;
    if (header->has_window) {
        values[7] = CStringGetTextDatum(time_text(c->spec, header->first_time));
        values[8] = CStringGetTextDatum(time_text(c->spec, header->last_time));
    }
    values[9] = bytes_datum(model, header->model_bytes, &nulls[9]);
    values[10] = bytes_datum(sums, header->sums_bytes, &nulls[10]);
    nulls[11] = header->numbers == 0;
    if (header->numbers > 0) values[11] = comparison_array(numbers, header->numbers);
    nulls[12] = header->compared_with == 0;
    values[12] = Int64GetDatum(header->compared_with);
    values[13] = fingerprint_datum(c, header, &nulls[13]);
    put_row(c, &c->models, values, nulls, kModelColumns);
}

void put_failure(Collector* c, const ResultHeader* header, Datum key, const char* message,
                 const char* hint, const char* sums) {
    Datum values[kFailureColumns];
    bool nulls[kFailureColumns] = {false};
    values[0] = Int64GetDatum(c->collected.storage);
    values[1] = Int64GetDatum(c->segment->run_id);
    values[2] = key;
    values[3] = CStringGetTextDatum(header->kind == ResultKind::failed ? "failed" : "skipped");
    values[4] = CStringGetTextDatum(unpack_sql_state(header->sqlstate));
    values[5] = PointerGetDatum(cstring_to_text_with_len(message, (int)header->message_bytes));
    nulls[6] = header->hint_bytes == 0;
    values[6] = PointerGetDatum(cstring_to_text_with_len(hint, (int)header->hint_bytes));
    values[7] = Int32GetDatum(1);
    values[8] = Int64GetDatum(header->n_rows);
    values[9] = Float4GetDatum(header->seconds);
    values[10] = bytes_datum(sums, header->sums_bytes, &nulls[10]);
    values[11] = fingerprint_datum(c, header, &nulls[11]);
    put_row(c, &c->failures, values, nulls, kFailureColumns);
}

void collect_record(Collector* c, const ResultHeader* header, const char* body) {
    Datum values[kMaxKeys];
    bool nulls[kMaxKeys];
    const char* model = body + header->key_length;
    const char* message = model + header->model_bytes;
    const char* hint = message + header->message_bytes;
    const char* sums = hint + header->hint_bytes;
    if (header->kind == ResultKind::unchanged) {
        note_unchanged(c, header->place);
        return;
    }
    MemoryContext old = MemoryContextSwitchTo(c->row_context);
    key_decode(&c->codec, body, values, nulls);
    Datum key = JsonbPGetDatum(registry::key_to_jsonb(c->columns, c->spec->n_keys, values, nulls));
    if (header->kind == ResultKind::trained) {
        for (int i = 0; i < c->spec->n_keys; i++)
            if (nulls[i]) c->collected.nullable_keys[i] = true;
        put_model(c, header, key, registry::key_hash(c->columns, c->spec->n_keys, values, nulls),
                  model, sums, sums + header->sums_bytes);
        c->collected.trained++;
    } else {
        put_failure(c, header, key, message, hint, sums);
        if (header->kind == ResultKind::failed)
            c->collected.failed++;
        else
            c->collected.skipped++;
    }
    MemoryContextSwitchTo(old);
    if (c->collected.storage == 0) MemoryContextReset(c->row_context);
}

// Collects the results of a file.
void collect_file(Collector* c, BufFile* file) {
    ResultHeader header;
    while (BufFileRead(file, &header, sizeof header) == sizeof header) {
        const Size bytes = result_body_bytes(&header);
        if (bytes > c->buffer_bytes) {
            c->buffer_bytes = bytes * 2;
            c->buffer = (char*)repalloc_huge(c->buffer, c->buffer_bytes);
        }
        read_exactly(file, c->buffer, bytes);
        CHECK_FOR_INTERRUPTS();
        collect_record(c, &header, c->buffer);
    }
}

void write_record(BufFile* file, const ResultHeader* header, const char* body) {
    BufFileWrite(file, (void*)header, sizeof *header);
    BufFileWrite(file, (void*)body, result_body_bytes(header));
}

void take_ids(Collector* c, int64 n) {
    c->ids = (int64*)MemoryContextAllocHuge(CurrentMemoryContext, sizeof(int64) * (Size)(n + 1));
    c->n_ids = n;
    for (int64 i = 0; i < n; i++) {
        c->ids[i] = nextval_internal(c->model_id_sequence, false);
        if ((i & 4095) == 0) CHECK_FOR_INTERRUPTS();
    }
}

struct FileResults {
    ResultSink sink;
    RunSegment* segment;
    BufFile* file;
};

void begin_file(ResultSink* sink, int bucket) {
    auto* results = (FileResults*)sink;
    char name[MAXPGPATH];
    pg_snprintf(name, sizeof name, "r%d", bucket);
    results->file = create_run_file(results->segment, name);
}

void put_in_file(ResultSink* sink, const ResultHeader* header, const char* body) {
    write_record(((FileResults*)sink)->file, header, body);
}

void end_file(ResultSink* sink) {
    BufFileClose(((FileResults*)sink)->file);
}

}  // namespace

ResultSink* results_in_files(RunSegment* segment) {
    auto* results = (FileResults*)palloc0(sizeof(FileResults));
    results->sink.begin_bucket = begin_file;
    results->sink.put = put_in_file;
    results->sink.end_bucket = end_file;
    results->segment = segment;
    return &results->sink;
}

char* own_partition(const char* parent, int64 run_id) {
    return psprintf("%s_r" INT64_FORMAT, parent, run_id);
}

void create_result_partitions(int64 storage) {
    for (const char* parent : kParents) create_partition(parent, storage);
}

void publish_result_partitions(int64 storage) {
    // A sample of 3,000 rows: keys and ids are all different, and the rest is nearly constant.
    constexpr const char* kStatisticsTarget = "10";
    const int guc_level = NewGUCNestLevel();
    CommandCounterIncrement();
    pg::set_local("default_statistics_target", kStatisticsTarget);
    for (const char* parent : kParents) publish_partition(parent, storage);
    AtEOXact_GUC(true, guc_level);
}

void share_result_partitions(int64 storage) {
    for (const char* parent : kParents) {
        Oid types[1] = {TEXTOID};
        Datum values[1] = {CStringGetTextDatum(psprintf("many_models.%s", parent))};
        const int code = SPI_execute_with_args(
            "SELECT pg_catalog.string_agg(pg_catalog.quote_ident(attname), ', ' ORDER BY attnum) "
            "FROM pg_catalog.pg_attribute WHERE attrelid = $1::pg_catalog.regclass "
            "AND attnum > 0 AND NOT attisdropped AND attname <> 'storage'",
            1, types, values, nullptr, true, 1);
        if (code != SPI_OK_SELECT) elog(ERROR, "could not read the columns of %s", parent);
        const char* columns = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
        const char* own = own_partition(parent, storage);
        execute(
            psprintf("INSERT INTO many_models.%s_shared (storage, %s) SELECT 0, %s FROM "
                     "many_models.%s",
                     parent, columns, columns, own));
        execute(psprintf("DROP TABLE many_models.%s", own));
    }
}

Collector* open_collector(RunSegment* segment, const TrainPlan* plan, ResultStorage storage,
                          int64 ids, const Carry* carry) {
    registry::RegistryRights rights;
    auto* c = (Collector*)palloc0(sizeof(Collector));
    const int n_keys = plan->spec->n_keys;
    c->segment = segment;
    c->spec = plan->spec;
    c->storage = storage;
    c->carry = carry;
    c->collected.storage = storage == ResultStorage::shared ? 0 : segment->run_id;
    c->collected.nullable_keys = (bool*)palloc0(sizeof(bool) * (Size)(n_keys + 1));
    c->buffer_bytes = 64 * 1024;
    c->buffer = (char*)palloc(c->buffer_bytes);
    key_codec_init(&c->codec, plan->spec);
    c->columns = key_columns(plan);
    c->model_id_sequence = registry_oid("model_id_seq");
    c->row_context = AllocSetContextCreate(CurrentMemoryContext, "many_models collect", kBatchBytes,
                                           ALLOCSET_DEFAULT_INITSIZE, ALLOCSET_DEFAULT_MAXSIZE);
    registry::enter_registry(&rights);
    take_ids(c, ids);
    if (storage == ResultStorage::own) create_result_partitions(segment->run_id);
    open_target(&c->models, "model_store", c->collected.storage);
    open_target(&c->failures, "failure_store", c->collected.storage);
    registry::leave_registry(&rights);
    return c;
}

void collect_result(Collector* c, const ResultHeader* header, const char* body) {
    if (header->kind != ResultKind::trained || c->next_id < c->n_ids || !IsInParallelMode()) {
        collect_record(c, header, body);
        return;
    }
    if (c->overflow == nullptr) {
        MemoryContext old = MemoryContextSwitchTo(GetMemoryChunkContext(c));
        c->overflow = BufFileCreateTemp(false);
        MemoryContextSwitchTo(old);
    }
    write_record(c->overflow, header, body);
}

void collect_files(Collector* c, int first, int last) {
    for (int bucket = first; bucket < last; bucket++) {
        char name[MAXPGPATH];
        pg_snprintf(name, sizeof name, "r%d", bucket);
        BufFile* file = open_run_file(c->segment, name);
        if (file == nullptr) continue;
        collect_file(c, file);
        BufFileClose(file);
        report_progress(c->segment);
    }
}

void close_collector(Collector* c, Collected* collected) {
    registry::RegistryRights rights;
    if (c->overflow != nullptr) {
        if (BufFileSeek(c->overflow, 0, 0, SEEK_SET) != 0)
            ereport(ERROR, (errcode_for_file_access(),
                            errmsg("could not read from a temporary file of the run: %m")));
        collect_file(c, c->overflow);
        BufFileClose(c->overflow);
    }
    registry::enter_registry(&rights);
    close_target(&c->models);
    close_target(&c->failures);
    if (c->carry != nullptr) {
        CommandCounterIncrement();
        c->carry->carry(c->carry->argument, c->places, c->n_places, &c->collected);
    }
    if (c->storage == ResultStorage::own) publish_result_partitions(c->collected.storage);
    registry::leave_registry(&rights);
    MemoryContextDelete(c->row_context);
    *collected = c->collected;
}

}  // namespace many::engine
