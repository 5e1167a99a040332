// The sink: an aggregate whose transition function is the entry to the exchange.
//
// A run executes SELECT many_models.train_sink(run, keys..., [time], target, features...) FROM
// source; with more columns than a function has arguments, train_sink(run, ROW(keys..., features...)).
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
#include "engine/exchange.h"
#include "engine/levels.h"
#include "engine/prefetch.h"
#include "engine/progress.h"
#include "engine/run_resources.h"
#include "engine/wide_rows.h"
#include "pg/settings.h"

extern "C" {
#include "storage/spin.h"
}

namespace many::engine {

namespace {

constexpr uint32 kRowsPerReport = 2048;
constexpr uint32 kSparseShare = 2;  // fewer rows per group in a batch: rows pass through
constexpr uint32 kFewRows = 8;      // of a group in a batch: kept as rows if it has no moments yet
constexpr int kFirstArgument = 2;   // of the run's columns: after state and run
constexpr Size kMaxBatchBytes = 256 * 1024;  // within the second-level cache
constexpr Size kPrefetchSlack = 1024;        // behind a batch, so that prefetching stays inside

// The training rows of one bucket on their way: chunks of one row each, in the files' layout.
struct Batch {
    char* bytes;
    uint32 used;
    uint32 n;
    bool sparse;  // its groups come by with few rows each: straight to the file
    bool done;    // its groups were fitted before the run went on: rows are only counted
};

// Either a live sink (of this process) or the summary of finished ones.
struct Sink {
    bool live;
    int64 rows;  // of finished sinks
    RunSegment* segment;
    RunSpec* spec;
    MemoryContext context;
    KeyCodec codec;
    pg::FeatureReader* readers;  // n_features
    pg::FeatureReader target;
    GroupTable table;
    ChunkWriter writer;
    LevelDictionary levels;
    bool all_float8;       // target and features
    bool is_partial;       // groups that the run does not want come by
    bool notes_times;      // append_only
    RecordReader* record;  // of a wide set, or nullptr
    uint32 few_rows;       // of a group: the sums take more than so many rows
    Size row_bytes;
    Size payload_bytes;    // room for a row or what is wrong with it
    uint64 holdout_bound;  // of finite_row_hash; 0: no holdout by fraction
    Batch* batches;        // n_buckets
    Size batch_bytes;      // capacity of each
    // scratch of fold_batch, one entry per chunk of a batch
    RowLists lists;
    Group** touched;
    double* gathered;  // rows of one chunk
    char* packed[2];   // training and held-out rows of a batch that passes through
    Size table_budget;
    ProcessSlot* slot;
    bool reports;          // the run's own session
    RowsAtTime last;       // of append_only: the rows with the last time ...
    RowsAtTime met_again;  // ... and those that the version before had read
    uint32 rows_unreported;
    uint64 skipped_unreported;
};

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

// A quarter of the budget for batches; the rest, less the files' buffers, for the table.
void make_batches(Sink* sink) {
    const RunSpec* spec = sink->spec;
    const Size n_buckets = (Size)sink->segment->n_buckets;
    const Size share = spec->budget_bytes / 4 / n_buckets;
    const Size files = n_buckets * 2 * (BLCKSZ + 512);
    const Size smallest = sizeof(ChunkHeader) + kMaxKeyLength + sink->payload_bytes;
    sink->batch_bytes = share < kMaxBatchBytes ? share : kMaxBatchBytes;
    if (sink->batch_bytes < smallest) sink->batch_bytes = smallest;
    sink->batches = (Batch*)palloc0(sizeof(Batch) * n_buckets);
    for (Size i = 0; i < n_buckets; i++) sink->batches[i].done = sink->segment->bucket_done[i];
    const Size most =
        sink->batch_bytes /
            (sizeof(ChunkHeader) + 8 +
             (sizeof(GroupInfo) < sink->row_bytes ? sizeof(GroupInfo) : sink->row_bytes)) +
        1;
    sink->lists.rows = (const double**)palloc(sizeof(double*) * most);
    sink->lists.next = (uint32*)palloc(sizeof(uint32) * most);
    sink->touched = (Group**)palloc(sizeof(Group*) * most);
    sink->gathered = (double*)palloc(sink->batch_bytes);
    for (char*& packed : sink->packed) packed = (char*)palloc(sink->batch_bytes);
    const Size taken = files + sink->batch_bytes * (n_buckets + 4);
    sink->table_budget = spec->budget_bytes > taken + spec->budget_bytes / 4
                             ? spec->budget_bytes - taken
                             : spec->budget_bytes / 4;
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

void note_peak(Sink* sink) {
    uint64 peak = pg_atomic_read_u64(&sink->segment->peak_bytes);
    while (peak < sink->table.peak_bytes &&
           !pg_atomic_compare_exchange_u64(&sink->segment->peak_bytes, &peak,
                                           sink->table.peak_bytes)) {
    }
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

int64 time_of(const RunSpec* spec, Datum value) {
    switch (spec->time_type) {
        case INT2OID:
            return DatumGetInt16(value);
        case INT4OID:
            return DatumGetInt32(value);
        case DATEOID:
            return DatumGetDateADT(value);
        default:
            return DatumGetInt64(value);
    }
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
        const int64 time = time_is_null ? kNoTime : time_of(spec, values->value);
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

// Writes one of the group's lists as one chunk of rows.
void write_list(Sink* sink, Group* group, bool held_out) {
    char* gathered = (char*)sink->gathered;
    for (uint32 i = group->list_head[held_out]; i != 0; i = sink->lists.next[i - 1]) {
        memcpy(gathered, sink->lists.rows[i - 1], sink->row_bytes);
        gathered += sink->row_bytes;
    }
    const Stream stream = held_out && !sink->table.splits ? Stream::holdout : Stream::training;
    write_rows(&sink->writer, stream, held_out, group->hash, group->key, group->key_length,
               sink->gathered, group->listed[held_out], sink->table.stride);
}

void settle_group(Sink* sink, Group* group) {
    const bool splits = sink->table.splits;
    const uint32 n = group->listed[0] + (splits ? group->listed[1] : 0);
    const bool folds = sink->table.folds_rows &&
                       (group->moments != nullptr || n + group->n_train >= sink->few_rows);
    if (sink->record != nullptr && !folds) group->n_train += n;
    for (int held_out = 0; held_out < 2; held_out++) {
        if (group->listed[held_out] == 0) continue;
        if (folds && (held_out == 0 || splits))
            group_fold_list(&sink->table, &sink->lists, group, held_out);
        else
            write_list(sink, group, held_out != 0);
    }
    group->listed[0] = group->listed[1] = 0;
    group->list_head[0] = group->list_head[1] = 0;
}

// Fetches the moments of the group that comes next.
void prefetch_moments(const GroupTable* table, const Group* group) {
    constexpr Size kMost = 4096;
    const Size bytes = table->moments_doubles * sizeof(double);
    if (group->moments != nullptr) prefetch_bytes(group->moments, bytes < kMost ? bytes : kMost);
}

void merge_info(Group* group, const char* payload) {
    GroupInfo info;
    memcpy(&info, payload, sizeof info);
    group->info.checksum += info.checksum;
    group->info.n_null += info.n_null;
    if (info.n_bad > 0) group_note_bad(group, info.bad_column, info.bad_is_null != 0, info.n_bad);
}

// Groups the chunks of a batch and settles each group: the group's moments are touched once for all
// its rows in the batch.
void fold_batch(Sink* sink, Batch* batch) {
    GroupTable* table = &sink->table;
    uint32 n_touched = 0;
    sink->lists.n = 0;
    for (const char* p = batch->bytes; p < batch->bytes + batch->used;) {
        ChunkHeader header;
        memcpy(&header, p, sizeof header);
        const char* key = p + sizeof header;
        const char* payload = key + header.key_length;
        bool found = false;
        Group* group = group_table_lookup(table, header.hash, key, header.key_length, &found);
        if (unlikely(header.kind == ChunkKind::info)) {
            merge_info(group, payload);
            p = payload + sizeof(GroupInfo);
            continue;
        }
        if (group->listed[0] + group->listed[1] == 0) sink->touched[n_touched++] = group;
        list_row(&sink->lists, group, header.held_out, (const double*)payload);
        p = payload + sink->row_bytes;
    }
    for (uint32 i = 0; i < n_touched; i++) {
        if (i + 1 < n_touched) prefetch_moments(table, sink->touched[i + 1]);
        settle_group(sink, sink->touched[i]);
    }
    batch->sparse = sink->lists.n >= 64 && n_touched * kSparseShare > sink->lists.n;
    if (table->used_bytes > sink->table_budget) {
        note_peak(sink);
        write_table(&sink->writer, table);
    }
}

// A sparse batch goes to the file as it came; where keys allow it, without headers.
void pass_through(Sink* sink, int bucket, const Batch* batch) {
    const KeyCodec* codec = &sink->codec;
    const Size record = codec->packed_length + sink->row_bytes;
    uint32 n[2] = {0, 0};
    const char* end = batch->bytes + batch->used;
    if (codec->full_length == 0) {
        write_chunks(&sink->writer, bucket, batch->bytes, batch->used);
        return;
    }
    for (const char* p = batch->bytes; p < end;) {
        ChunkHeader header;
        memcpy(&header, p, sizeof header);
        const char* key = p + sizeof header;
        const char* payload = key + header.key_length;
        const Size bytes = header.kind == ChunkKind::rows ? sink->row_bytes : sizeof(GroupInfo);
        if (header.kind == ChunkKind::rows && header.key_length == codec->full_length) {
            char* to = sink->packed[header.held_out] + n[header.held_out]++ * record;
            key_pack(codec, key, to);
            memcpy(to + codec->packed_length, payload, sink->row_bytes);
        } else {
            write_chunks(&sink->writer, bucket, p, (Size)(payload - p) + bytes);
        }
        p = payload + bytes;
    }
    for (int held_out = 0; held_out < 2; held_out++)
        if (n[held_out] > 0)
            write_packed(&sink->writer, bucket, held_out != 0, sink->packed[held_out], n[held_out],
                         record);
}

void end_batch(Sink* sink, int bucket) {
    Batch* batch = &sink->batches[bucket];
    if (batch->n == 0) return;
    if (batch->sparse)
        pass_through(sink, bucket, batch);
    else
        fold_batch(sink, batch);
    batch->used = 0;
    batch->n = 0;
}

// Where the next chunk of a bucket goes; its key and payload follow the header.
char* chunk_place(Sink* sink, int bucket, Size key_length) {
    Batch* batch = &sink->batches[bucket];
    if (unlikely(batch->bytes == nullptr))
        batch->bytes =
            (char*)MemoryContextAllocHuge(sink->context, sink->batch_bytes + kPrefetchSlack);
    const Size most = sizeof(ChunkHeader) + key_length + sink->payload_bytes;
    if (unlikely(batch->used + most > sink->batch_bytes)) end_batch(sink, bucket);
    return batch->bytes + batch->used;
}

// Completes the chunk at chunk_place, whose payload is there.
void add_chunk(Sink* sink, int bucket, char* place, uint64 hash, ChunkKind kind, bool held_out,
               Size payload_bytes) {
    Batch* batch = &sink->batches[bucket];
    const uint32 key_length = sink->codec.length;
    if (unlikely(batch->done)) return;
    ChunkHeader header = {};
    header.hash = hash;
    header.n = 1;
    header.key_length = (uint16)key_length;
    header.kind = kind;
    header.held_out = held_out ? 1 : 0;
    memcpy(place, &header, sizeof header);
    place += sizeof header;
    for (uint32 i = 0; i < key_length; i += 8) memcpy(place + i, sink->codec.image + i, 8);
    batch->used += (uint32)(sizeof header + key_length + payload_bytes);
    batch->n++;
    // Where the bucket's next row will go: it comes some hundred rows later, and its stores must not
    // wait for memory then.
    const Size ahead = payload_bytes + 128;
    prefetch_bytes(place + key_length + payload_bytes + 64,
                   ahead < kPrefetchSlack ? ahead - 64 : kPrefetchSlack - 64);
}

void add_unusable(Sink* sink, int bucket, char* place, uint64 hash, RowState state, int column) {
    GroupInfo info = {};
    char* payload = place + sizeof(ChunkHeader) + sink->codec.length;
    info.checksum = row_checksum(&sink->table, (const double*)payload);
    if (state == RowState::has_null && sink->spec->null_policy != core::NullPolicy::error) {
        info.n_null = 1;
        sink->skipped_unreported++;
    } else {
        info.n_bad = 1;
        info.bad_column = column;
        info.bad_is_null = state == RowState::has_null ? 1 : 0;
    }
    memcpy(payload, &info, sizeof info);
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
    char* place = chunk_place(sink, bucket, sink->codec.length);
    auto* row = (double*)(place + sizeof(ChunkHeader) + sink->codec.length);
    const RowState state = read_row(sink, values + sink->codec.n_keys, row, &bad_column);
    if (unlikely(sink->notes_times) && !note_time(sink, row, hash)) return;
    if (likely(state == RowState::usable))
        add_chunk(sink, bucket, place, hash, ChunkKind::rows, is_held_out(sink, row),
                  sink->row_bytes);
    else
        add_unusable(sink, bucket, place, hash, state, bad_column);
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
        end_batch(sink, bucket);
        if (sink->batches[bucket].bytes != nullptr) pfree(sink->batches[bucket].bytes);
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
