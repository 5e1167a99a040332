// The sink: an aggregate whose transition function is the entry to the exchange.
//
// A run executes SELECT many_models.train_sink(run, keys..., [time], target, features...) FROM
// source. Each process of that plan, on its first row, attaches to the run and sets up a table of
// groups; each row is encoded into its group; when the partial aggregate ends (serialize) or the
// whole one (final), the table goes to the process's bucket files. The aggregate's own result is
// the number of rows.
//
// Invariants: nothing is allocated per row but by growth of the table; the executor's per-row
// context takes what detoasting leaves. No C++ object with a destructor lives here.
#include "pg/server.h"

#include "core/selection/split.h"
#include "engine/exchange.h"
#include "engine/levels.h"
#include "engine/progress.h"
#include "pg/settings.h"

namespace many::engine {

namespace {

constexpr uint32 kRowsPerReport = 2048;
constexpr uint32 kRowsExchangeBlock = 32;   // rows of a chunk in the rows exchange
constexpr uint64 kSparseRowsPerGroup = 8;   // fewer rows per group at a flush: rows pass through
constexpr int kFirstArgument = 2;           // of the run's columns: after state and run

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
    double* row;
    Group* scratch_group;  // pass-through mode
    uint64 rows_since_flush;
    Size table_budget;
    bool passes_through;
    bool reports;  // the run's own session
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
    key_codec_init(&sink->codec, spec);
    sink->readers =
        (pg::FeatureReader*)palloc0(sizeof(pg::FeatureReader) * (Size)(spec->n_features + 1));
    for (int i = 0; i < spec->n_features; i++)
        (void)pg::feature_reader_init(&sink->readers[i], spec->features()[i].type);
    (void)pg::feature_reader_init(&sink->target, spec->target_type);
    group_table_init(&sink->table, spec, &sink->codec, context);
    const int process = (int)pg_atomic_fetch_add_u32(&segment->n_processes, 1);
    chunk_writer_init(&sink->writer, segment, process, context);
    levels_init(&sink->levels, context, spec->budget_bytes / 4);
    sink->row = (double*)palloc0(sizeof(double) * (Size)row_stride(spec));
    sink->scratch_group = (Group*)palloc0(sizeof(Group));
    // The buffers of the bucket files come out of the budget too.
    const Size files = (Size)segment->n_buckets * 2 * (BLCKSZ + 512);
    sink->table_budget = spec->budget_bytes > files + spec->budget_bytes / 8
                             ? spec->budget_bytes - files - spec->budget_bytes / 8
                             : spec->budget_bytes / 8;
    MemoryContextSwitchTo(old);
    return sink;
}

void publish_counts(Sink* sink) {
    pg_atomic_fetch_add_u64(&sink->segment->rows_read, (int64)sink->rows_unreported);
    if (sink->skipped_unreported > 0)
        pg_atomic_fetch_add_u64(&sink->segment->rows_skipped, (int64)sink->skipped_unreported);
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

// The table is over budget: everything to the files. Where groups came by with few rows each, rows
// go straight to the files from now on: a table would only cost cache misses.
void flush_table(Sink* sink) {
    const bool sparse =
        sink->rows_since_flush < sink->table.n_groups * kSparseRowsPerGroup;
    note_peak(sink);
    write_table(&sink->writer, &sink->table);
    sink->rows_since_flush = 0;
    if (sparse) {
        sink->passes_through = true;
        group_table_free(&sink->table);
    }
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

enum class RowState { usable, has_null, bad };

// Reads time, target and features into sink->row; in the rows exchange NULLs stay in the row.
RowState read_row(Sink* sink, const NullableDatum* values, int* bad_column) {
    const RunSpec* spec = sink->spec;
    RunSpec* mutable_spec = sink->spec;
    const int p = spec->n_features;
    const bool keep_nulls = spec->exchange == Exchange::rows;
    double* row = sink->row;
    RowState state = RowState::usable;
    bool time_is_null = false;
    if (spec->has_time) {
        time_is_null = values->isnull;
        const int64 time = time_is_null ? 0 : time_of(spec, values->value);
        memcpy(&row[p + 1], &time, sizeof time);
        values++;
    }
    const NullableDatum* target = values++;
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

bool is_held_out(const RunSpec* spec, const double* row) {
    const core::HoldoutSpec& holdout = spec->holdout;
    if (spec->exchange == Exchange::rows) return false;
    switch (holdout.kind) {
        case core::HoldoutSpec::Kind::fraction:
            return core::in_holdout(
                core::row_hash(row, (size_t)spec->n_features + 1, (uint64)spec->seed),
                holdout.fraction);
        case core::HoldoutSpec::Kind::since: {
            int64 time;
            memcpy(&time, &row[spec->n_features + 1], sizeof time);
            return time >= holdout.since;
        }
        default:
            return false;
    }
}

void note_unusable(Sink* sink, Group* group, RowState state, int column) {
    if (state == RowState::has_null && sink->spec->null_policy != core::NullPolicy::error) {
        group->info.n_null++;
        sink->skipped_unreported++;
    } else {
        group_note_bad(group, column, state == RowState::has_null, 1);
    }
}

void pass_through(Sink* sink, uint64 hash, RowState state, int bad_column) {
    const KeyCodec* codec = &sink->codec;
    if (state == RowState::usable) {
        write_rows(&sink->writer, is_held_out(sink->spec, sink->row), hash, codec->image,
                   codec->length, sink->row, 1, sink->table.stride);
        return;
    }
    Group* group = sink->scratch_group;
    memset(group, 0, sizeof *group);
    group->hash = hash;
    group->key = codec->image;
    group->key_length = codec->length;
    note_unusable(sink, group, state, bad_column);
    write_info(&sink->writer, group);
}

void add_row(Sink* sink, const NullableDatum* values) {
    const RunSpec* spec = sink->spec;
    const uint64 hash = key_encode(&sink->codec, values);
    int bad_column = 0;
    if (unlikely(sink->codec.length > kMaxKeyLength))
        ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                        errmsg("partition key of %u bytes is longer than %u bytes",
                               sink->codec.length, kMaxKeyLength),
                        errhint("Partition by a shorter column, such as an id or a hash.")));
    const RowState state = read_row(sink, values + spec->n_keys, &bad_column);
    sink->rows_since_flush++;
    if (++sink->rows_unreported >= kRowsPerReport) publish_counts(sink);
    if (sink->passes_through) {
        pass_through(sink, hash, state, bad_column);
        return;
    }
    bool found = false;
    Group* group =
        group_table_lookup(&sink->table, hash, sink->codec.image, sink->codec.length, &found);
    if (unlikely(state != RowState::usable)) {
        note_unusable(sink, group, state, bad_column);
    } else {
        const Size bytes = (Size)sink->table.stride * sizeof(double);
        group->n_rows++;
        if (spec->has_time) {
            int64 time;
            memcpy(&time, &sink->row[spec->n_features + 1], sizeof time);
            group_see_time(group, time);
        }
        if (is_held_out(spec, sink->row)) {
            if (group->n_hold >= sink->table.block_rows) {
                write_rows(&sink->writer, true, group->hash, group->key, group->key_length,
                           group->hold, group->n_hold, sink->table.stride);
                group->n_hold = 0;
            }
            memcpy(group_hold_slot(&sink->table, group), sink->row, bytes);
        } else {
            if (spec->exchange == Exchange::rows && group->n_train >= kRowsExchangeBlock) {
                write_rows(&sink->writer, false, group->hash, group->key, group->key_length,
                           group->train, group->n_train, sink->table.stride);
                group->n_train = 0;
            }
            memcpy(group_train_slot(&sink->table, group), sink->row, bytes);
        }
    }
    if (unlikely(sink->table.used_bytes > sink->table_budget)) flush_table(sink);
}

// Ends a live sink: everything to the files, memory back; leaves a summary.
void finish_sink(Sink* sink, int64 rows) {
    publish_counts(sink);
    if (!sink->passes_through) {
        note_peak(sink);
        write_table(&sink->writer, &sink->table);
        group_table_free(&sink->table);
    }
    chunk_writer_finish(&sink->writer);
    levels_write(&sink->levels, sink->segment, sink->writer.process);
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
        if (!AggCheckCallContext(fcinfo, &aggregate_context) || PG_ARGISNULL(1))
            elog(ERROR, "many_models.train_sink called outside an aggregate");
        sink = many::engine::make_sink(aggregate_context, PG_GETARG_INT64(1));
        const auto* spec = sink->spec;
        if (PG_NARGS() != many::engine::kFirstArgument + spec->n_keys + (spec->has_time ? 1 : 0) +
                              1 + spec->n_features)
            elog(ERROR, "many_models.train_sink: wrong number of arguments");
    }
    sink->rows++;
    many::engine::add_row(sink, &fcinfo->args[many::engine::kFirstArgument]);
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
    if (into == nullptr)
        into = (Sink*)MemoryContextAllocZero(aggregate_context, sizeof(Sink));
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
