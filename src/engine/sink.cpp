// The sink: an aggregate whose transition function is the entry to the exchange.
//
// A run executes SELECT many_models.train_sink($1, keys..., [time], target, features...) FROM
// source, $1 being its token (a constant of the plan); with more columns than a function has arguments,
// train_sink($1, ROW(keys..., features...)).
// Each process of that plan, on its first row, attaches to the run. A row is encoded and
// appended to the batch of its bucket: sequential writes, no look-up. A full batch is grouped and
// folded into the moments of its groups, which a batch's rows share, so that cache misses are paid
// per group and batch rather than per row. Where a batch has hardly more rows than groups, the
// bucket's rows pass through to its file instead. Held-out rows go to files of their own. When the
// partial aggregate ends (serialize) or the whole one (final), everything goes to the process's
// bucket files. The aggregate's own result is the number of rows.
//
// Invariants: nothing is allocated per row but by growth of the table; the executor's per-row
// context takes what detoasting leaves. No C++ object with a destructor lives here.
#include "pg/server.h"

#include "core/selection/split.h"
#include "engine/prefetch.h"
#include "engine/progress.h"
#include "engine/run_resources.h"
#include "engine/sink_batch.h"
#include "pg/series_time.h"
#include "pg/settings.h"

extern "C" {
#include "storage/spin.h"
}

namespace many::engine {

namespace {

constexpr uint32 kRowsPerReport = 2048;
constexpr uint32 kFewRows = 8;     // of a group in a batch: kept as rows if it has no moments yet
constexpr int kFirstArgument = 2;  // of the run's columns: after state and run

// The handle and a token of the run in one bigint; see run_segment.h.
RunSegment* find_run(int64 run) {
    const auto handle = (dsm_handle)((uint64)run & PG_UINT32_MAX);
    dsm_segment* mapped = dsm_find_mapping(handle);
    const bool already = mapped != nullptr;
    if (!already) mapped = dsm_attach(handle);
    auto* segment = mapped == nullptr ? nullptr : (RunSegment*)dsm_segment_address(mapped);
    if (segment == nullptr || dsm_segment_map_length(mapped) < sizeof(RunSegment) ||
        segment->magic != kSegmentMagic || segment->layout != sizeof(RunSegment) ||
        segment->token != run || segment->role != GetUserId())
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("many_models.train_sink is not to be called directly"),
                        errhint("Call many_models.train_many_models.")));
    if (!already) {
        dsm_pin_mapping(mapped);
        SharedFileSetAttach(&segment->files, mapped);
    }
    return segment;
}

Sink* make_sink(MemoryContext aggregate_context, int64 run) {
    RunSegment* segment = find_run(run);
    MemoryContext context =
        AllocSetContextCreate(aggregate_context, "many_models sink", ALLOCSET_DEFAULT_SIZES);
    MemoryContext old = MemoryContextSwitchTo(context);
    auto* sink = (Sink*)palloc0(sizeof(Sink));
    RunSpec* spec = segment->spec();
    sink->live = true;
    sink->segment = segment;
    sink->spec = spec;
    sink->context = context;
    sink->reports = segment->pid == MyProcPid;
    sink->is_partial = segment->is_partial;
    sink->notes_times = segment->keeps_sums();
    sink->last.time = PG_INT64_MIN;
    sink->met_again.time = segment->met_again.time;
    sink->slot = process_slot(segment, Activity::scanning);
    key_codec_init(&sink->codec, spec);
    key_codec_init(&sink->unpacker, spec);
    sink->readers =
        (pg::FeatureReader*)palloc0(sizeof(pg::FeatureReader) * (Size)(spec->n_features + 1));
    for (int i = 0; i < spec->n_features; i++)
        (void)pg::feature_reader_init(&sink->readers[i], spec->features()[i].type);
    (void)pg::feature_reader_init(&sink->target, spec->target_type);
    if (is_wide(spec->n_keys, spec->n_features)) sink->record = make_record_reader(spec, context);
    sink->all_float8 = spec->target_type == FLOAT8OID;
    for (int i = 0; i < spec->n_features; i++)
        if (spec->features()[i].type != FLOAT8OID) sink->all_float8 = false;
    group_table_init(&sink->table, spec, &sink->codec, context);
    const int process = (int)pg_atomic_fetch_add_u32(&segment->n_processes, 1);
    chunk_writer_init(&sink->writer, segment, process, context);
    levels_init(&sink->levels, context, spec->budget_bytes / 4);
    sink->row_bytes = sizeof(double) * (Size)row_stride(spec);
    sink->payload_bytes = sink->row_bytes > sizeof(GroupInfo) ? sink->row_bytes : sizeof(GroupInfo);
    if (spec->exchange == Exchange::statistics &&
        spec->holdout.kind == core::HoldoutSpec::Kind::fraction)
        sink->holdout_bound = core::holdout_bound(spec->holdout.fraction);
    sink->few_rows = kFewRows;
    if (sink->record != nullptr)
        sink->few_rows = (uint32)(group_sums_bytes(spec) / sink->row_bytes);
    make_batches(sink);
    MemoryContextSwitchTo(old);
    return sink;
}

void publish_counts(Sink* sink) {
    pg_atomic_fetch_add_u64(&sink->segment->rows_read, (int64)sink->rows_unreported);
    if (sink->skipped_unreported > 0)
        pg_atomic_fetch_add_u64(&sink->segment->rows_skipped, (int64)sink->skipped_unreported);
    pg_atomic_write_u64(&sink->slot->rows,
                        pg_atomic_read_u64(&sink->slot->rows) + sink->rows_unreported);
    pg_atomic_write_u64(&sink->slot->bytes, sink->table.used_bytes);
    sink->rows_unreported = 0;
    sink->skipped_unreported = 0;
    if (sink->reports) report_progress(sink->segment);
}

void publish_times(Sink* sink) {
    RunSegment* segment = sink->segment;
    SpinLockAcquire(&segment->times_lock);
    if (sink->last.time > segment->last.time) {
        segment->last = sink->last;
    } else if (sink->last.time == segment->last.time) {
        segment->last.n += sink->last.n;
        segment->last.checksum += sink->last.checksum;
    }
    segment->met_again.n += sink->met_again.n;
    segment->met_again.checksum += sink->met_again.checksum;
    SpinLockRelease(&segment->times_lock);
}

enum class RowState : uint8 { usable, has_null, bad };

// Reads time, target and features into `row`; in the rows exchange NULLs stay in the row.
RowState read_row(Sink* sink, const NullableDatum* values, double* row, int* bad_column) {
    const RunSpec* spec = sink->spec;
    RunSpec* mutable_spec = sink->spec;
    const int p = spec->n_features;
    const bool keep_nulls = spec->exchange == Exchange::rows;
    RowState state = RowState::usable;
    bool time_is_null = false;
    if (spec->has_time) {
        time_is_null = values->isnull;
        const int64 time = time_is_null ? kNoTime : pg::time_number(spec->time_type, values->value);
        memcpy(&row[p + 1], &time, sizeof time);
        values++;
    }
    const NullableDatum* target = values++;
    if (sink->all_float8 && !time_is_null) {  // without a branch per value
        const uint64 infinity = UINT64CONST(0x7ff0000000000000);
        uint64 bits = (uint64)target->value;
        bool unusable = target->isnull | ((bits & infinity) == infinity);
        memcpy(&row[p], &bits, sizeof bits);
        for (int i = 0; i < p; i++) {
            bits = (uint64)values[i].value;
            unusable |= values[i].isnull | ((bits & infinity) == infinity);
            memcpy(&row[i], &bits, sizeof bits);
        }
        if (likely(!unusable)) return RowState::usable;
    }
    for (int i = 0; i < p; i++) {
        if (values[i].isnull) {
            if (state == RowState::usable) *bad_column = i;
            state = RowState::has_null;
            row[i] = core::null_value();
        } else if (sink->readers[i].kind == pg::FeatureKind::number) {
            row[i] = pg::feature_number(&sink->readers[i], values[i].value);
        } else {
            uint32 length = 0;
            const char* text = pg::feature_text(&sink->readers[i], values[i].value, &length);
            const uint64 key = pg::level_key(text, length);
            levels_add(&sink->levels, NameStr(mutable_spec->features()[i].name), i, key, text,
                       length);
            memcpy(&row[i], &key, sizeof key);
        }
    }
    if (target->isnull || time_is_null) {
        if (state == RowState::usable) *bad_column = p;
        state = RowState::has_null;
        row[p] = core::null_value();
    } else {
        row[p] = pg::feature_number(&sink->target, target->value);
    }
    if (keep_nulls) return RowState::usable;
    if (state == RowState::has_null) return state;
    // x - x is 0 for finite x: one pass without branches finds any NaN or infinity.
    double probe = 0;
    for (int i = 0; i <= p; i++) probe += row[i] - row[i];
    if (probe != 0 || probe != probe) {
        for (int i = 0; i <= p; i++) {
            if (row[i] - row[i] != 0 || row[i] != row[i]) {
                *bad_column = i;
                break;
            }
        }
        return RowState::bad;
    }
    return RowState::usable;
}

bool is_held_out(const Sink* sink, const double* row) {
    const RunSpec* spec = sink->spec;
    if (sink->holdout_bound > 0) {
        const uint64 hash =
            core::finite_row_hash(row, (size_t)spec->n_features + 1, (uint64)spec->seed);
        return (hash >> 11) < sink->holdout_bound;
    }
    if (spec->exchange == Exchange::statistics &&
        spec->holdout.kind == core::HoldoutSpec::Kind::since) {
        int64 time;
        memcpy(&time, &row[spec->n_features + 1], sizeof time);
        return time >= spec->holdout.since;
    }
    return false;
}

char* batch_place(Sink* sink, Batch* batch) {
    if (unlikely(batch->bytes == nullptr))
        batch->bytes =
            (char*)MemoryContextAllocHuge(sink->context, batch->capacity + kPrefetchSlack);
    return batch->bytes + batch->used;
}

// Where the bucket's next record goes.
char* record_place(Sink* sink, int bucket) {
    Batch* batch = &sink->records[bucket];
    if (unlikely(batch->used + sink->record_bytes > batch->capacity)) end_records(sink, bucket);
    return batch_place(sink, batch);
}

// Where its next chunk goes; key and payload follow the header.
char* chunk_place(Sink* sink, int bucket) {
    Batch* batch = &sink->chunks[bucket];
    const Size most = sizeof(ChunkHeader) + sink->codec.length + sink->payload_bytes;
    if (unlikely(batch->used + most > batch->capacity)) end_chunks(sink, bucket);
    return batch_place(sink, batch);
}

// `bytes` at `place`, the end of the batch, belong to it now. Fetches where the bucket's next row
// will go: it comes some hundred rows later, and its stores must not wait for memory then.
void take_place(Batch* batch, const char* place, Size bytes) {
    batch->used += (uint32)bytes;
    batch->n++;
    const Size ahead = bytes + 64;
    prefetch_bytes(place + bytes + 64, ahead < kPrefetchSlack ? ahead - 64 : kPrefetchSlack - 64);
}

// Completes the record at `place`, whose row is there.
void add_record(Sink* sink, int bucket, char* place, uint64 hash, bool held_out) {
    Batch* batch = &sink->records[bucket];
    if (unlikely(batch->done)) return;
    const uint64 mark = (hash & ~UINT64CONST(1)) | (held_out ? 1 : 0);
    memcpy(place, &mark, sizeof mark);
    key_pack(&sink->codec, sink->codec.image, place + sizeof mark);
    take_place(batch, place, sink->record_bytes);
}

// Completes the chunk at `place`, whose payload is there.
void add_chunk(Sink* sink, int bucket, char* place, uint64 hash, ChunkKind kind, bool held_out,
               Size payload_bytes) {
    Batch* batch = &sink->chunks[bucket];
    const uint32 key_length = sink->codec.length;
    if (unlikely(batch->done)) return;
    ChunkHeader header = {};
    header.hash = hash;
    header.n = 1;
    header.key_length = (uint16)key_length;
    header.kind = kind;
    header.held_out = held_out ? 1 : 0;
    memcpy(place, &header, sizeof header);
    char* key = place + sizeof header;
    for (uint32 i = 0; i < key_length; i += 8) memcpy(key + i, sink->codec.image + i, 8);
    take_place(batch, place, sizeof header + key_length + payload_bytes);
}

// A row that cannot be used, of which a record or chunk has nothing but the count.
void add_unusable(Sink* sink, int bucket, uint64 hash, const double* row, RowState state,
                  int column) {
    GroupInfo info = {};
    info.checksum = row_checksum(&sink->table, row);
    if (state == RowState::has_null && sink->spec->null_policy != core::NullPolicy::error) {
        info.n_null = 1;
        sink->skipped_unreported++;
    } else {
        info.n_bad = 1;
        info.bad_column = column;
        info.bad_is_null = state == RowState::has_null ? 1 : 0;
    }
    char* place = chunk_place(sink, bucket);
    memcpy(place + sizeof(ChunkHeader) + sink->codec.length, &info, sizeof info);
    add_chunk(sink, bucket, place, hash, ChunkKind::info, false, sizeof info);
}

// Of a run of some groups: whether a key's hash is among theirs.
bool is_wanted(const RunSegment* segment, uint64 hash) {
    const uint64* only = segment->only();
    uint64 low = 0;
    uint64 high = segment->n_only;
    while (low < high) {
        const uint64 middle = low + (high - low) / 2;
        if (only[middle] < hash)
            low = middle + 1;
        else
            high = middle;
    }
    return low < segment->n_only && only[low] == hash;
}

void count_at_time(RowsAtTime* rows, uint64 row_hash, uint64 key_hash) {
    rows->n++;
    rows->checksum += core::detail::mix64(row_hash ^ key_hash);
}

// Of append_only; false when the version before has read the row.
bool note_time(Sink* sink, const double* row, uint64 hash) {
    int64 time;
    memcpy(&time, &row[sink->table.time_at], sizeof time);
    if (time == kNoTime) return true;
    if (sink->segment->continues && time <= sink->met_again.time) {
        count_at_time(&sink->met_again, row_checksum(&sink->table, row), hash);
        return false;
    }
    if (time > sink->last.time) sink->last = {time, 0, 0};
    if (time == sink->last.time) count_at_time(&sink->last, row_checksum(&sink->table, row), hash);
    return true;
}

void add_row(Sink* sink, const NullableDatum* values) {
    const uint64 hash = key_encode(&sink->codec, values);
    const int bucket = bucket_of(hash, sink->segment->n_buckets);
    int bad_column = 0;
    if (unlikely(sink->codec.length > kMaxKeyLength))
        ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                        errmsg("partition key of %u bytes is longer than %u bytes",
                               sink->codec.length, kMaxKeyLength),
                        errhint("Partition by a shorter column, such as an id or a hash.")));
    if (unlikely(sink->is_partial) && !is_wanted(sink->segment, hash)) {
        if (++sink->rows_unreported >= kRowsPerReport) publish_counts(sink);
        return;
    }
    const bool is_record = likely(sink->codec.length == sink->codec.full_length);
    char* place = is_record ? record_place(sink, bucket) : chunk_place(sink, bucket);
    auto* row = (double*)(place + (is_record ? sizeof(uint64) + sink->codec.packed_length
                                             : sizeof(ChunkHeader) + sink->codec.length));
    const RowState state = read_row(sink, values + sink->codec.n_keys, row, &bad_column);
    if (unlikely(sink->notes_times) && !note_time(sink, row, hash)) return;
    const bool held_out = state == RowState::usable && is_held_out(sink, row);
    if (unlikely(state != RowState::usable))
        add_unusable(sink, bucket, hash, row, state, bad_column);
    else if (is_record)
        add_record(sink, bucket, place, hash, held_out);
    else
        add_chunk(sink, bucket, place, hash, ChunkKind::rows, held_out, sink->row_bytes);
    // Counted here, not by the batch: of a slow source a batch takes minutes to fill.
    if (unlikely(++sink->rows_unreported >= kRowsPerReport)) publish_counts(sink);
}

// Fetches the next row of the page while this one is worked on: heap tuples come by from a page's
// end downwards. The scan itself would wait for each row's cache lines in turn.
void prefetch_next_tuple(FunctionCallInfo fcinfo) {
    constexpr uint32 kMost = 512;
    const auto* aggregate = (const AggState*)fcinfo->context;
    const TupleTableSlot* slot = aggregate->tmpcontext->ecxt_outertuple;
    if (slot == nullptr || !TTS_IS_BUFFERTUPLE(slot)) return;
    const HeapTuple tuple = ((const HeapTupleTableSlot*)slot)->tuple;
    if (tuple == nullptr) return;
    const uint32 length = MAXALIGN(tuple->t_len) < kMost ? MAXALIGN(tuple->t_len) : kMost;
    prefetch_bytes((const char*)tuple->t_data - length, length);
}

// The arguments are read as the types that the run found when it began. The source may have changed
// since, or somebody calls the sink with a run of his own.
void require_arguments(FunctionCallInfo fcinfo, const Sink* sink) {
    const int given = sink->record != nullptr ? 1 : n_columns(sink->spec);
    if (PG_NARGS() != kFirstArgument + given)
        elog(ERROR, "many_models.train_sink: wrong number of arguments");
    if (sink->record != nullptr) {  // its columns are looked at when they are read
        if (get_fn_expr_argtype(fcinfo->flinfo, kFirstArgument) != RECORDOID)
            elog(ERROR, "many_models.train_sink: not a row");
        return;
    }
    for (int i = 0; i < given; i++)
        require_column_type(sink->spec, i, get_fn_expr_argtype(fcinfo->flinfo, kFirstArgument + i));
}

// Ends a live sink: everything to the files, memory back; leaves a summary.
void finish_sink(Sink* sink, int64 rows) {
    for (int bucket = 0; bucket < sink->segment->n_buckets; bucket++) {
        end_records(sink, bucket);
        end_chunks(sink, bucket);
        for (const Batch* batch : {&sink->records[bucket], &sink->chunks[bucket]})
            if (batch->bytes != nullptr) pfree(batch->bytes);
    }
    publish_counts(sink);
    note_peak(sink);
    publish_times(sink);
    write_table(&sink->writer, &sink->table);
    group_table_free(&sink->table);
    chunk_writer_finish(&sink->writer);
    levels_write(&sink->levels, sink->segment, sink->writer.process);
    add_scan_worker(sink->segment);
    pg_atomic_write_u32(&sink->slot->activity, (uint32)Activity::done);
    sink->live = false;
    sink->rows = rows;
}

}  // namespace

}  // namespace many::engine

extern "C" {

using many::engine::Sink;

PG_FUNCTION_INFO_V1(many_sink_row);
PG_FUNCTION_INFO_V1(many_sink_combine);
PG_FUNCTION_INFO_V1(many_sink_serialize);
PG_FUNCTION_INFO_V1(many_sink_deserialize);
PG_FUNCTION_INFO_V1(many_sink_final);

Datum many_sink_row(PG_FUNCTION_ARGS) {
    auto* sink = PG_ARGISNULL(0) ? nullptr : (Sink*)PG_GETARG_POINTER(0);
    if (unlikely(sink == nullptr)) {
        MemoryContext aggregate_context;
        if (AggCheckCallContext(fcinfo, &aggregate_context) != AGG_CONTEXT_AGGREGATE ||
            PG_ARGISNULL(1))
            elog(ERROR, "many_models.train_sink called outside an aggregate");
        sink = many::engine::make_sink(aggregate_context, PG_GETARG_INT64(1));
        many::engine::require_arguments(fcinfo, sink);
    }
    sink->rows++;
    many::engine::prefetch_next_tuple(fcinfo);
    const NullableDatum* values = &fcinfo->args[many::engine::kFirstArgument];
    if (unlikely(sink->record != nullptr)) {
        if (values->isnull) elog(ERROR, "many_models.train_sink: no row");
        values = many::engine::read_record(sink->record, DatumGetHeapTupleHeader(values->value));
    }
    many::engine::add_row(sink, values);
    PG_RETURN_POINTER(sink);
}

Datum many_sink_serialize(PG_FUNCTION_ARGS) {
    auto* sink = (Sink*)PG_GETARG_POINTER(0);
    if (sink->live) many::engine::finish_sink(sink, sink->rows);
    auto* bytes = (bytea*)palloc(VARHDRSZ + sizeof(int64));
    SET_VARSIZE(bytes, VARHDRSZ + sizeof(int64));
    memcpy(VARDATA(bytes), &sink->rows, sizeof(int64));
    PG_RETURN_BYTEA_P(bytes);
}

Datum many_sink_deserialize(PG_FUNCTION_ARGS) {
    bytea* bytes = PG_GETARG_BYTEA_PP(0);
    auto* sink = (Sink*)palloc0(sizeof(Sink));
    if (VARSIZE_ANY_EXHDR(bytes) != sizeof(int64))
        elog(ERROR, "many_models.train_sink: unexpected state");
    memcpy(&sink->rows, VARDATA_ANY(bytes), sizeof(int64));
    PG_RETURN_POINTER(sink);
}

Datum many_sink_combine(PG_FUNCTION_ARGS) {
    MemoryContext aggregate_context;
    if (!AggCheckCallContext(fcinfo, &aggregate_context))
        elog(ERROR, "many_models.train_sink called outside an aggregate");
    auto* into = PG_ARGISNULL(0) ? nullptr : (Sink*)PG_GETARG_POINTER(0);
    auto* from = PG_ARGISNULL(1) ? nullptr : (Sink*)PG_GETARG_POINTER(1);
    if (into == nullptr) into = (Sink*)MemoryContextAllocZero(aggregate_context, sizeof(Sink));
    if (from != nullptr) into->rows += from->rows;
    PG_RETURN_POINTER(into);
}

Datum many_sink_final(PG_FUNCTION_ARGS) {
    auto* sink = PG_ARGISNULL(0) ? nullptr : (Sink*)PG_GETARG_POINTER(0);
    if (sink == nullptr) PG_RETURN_INT64(0);
    if (sink->live) many::engine::finish_sink(sink, sink->rows);
    PG_RETURN_INT64(sink->rows);
}
}
