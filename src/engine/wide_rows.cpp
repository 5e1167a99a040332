#include "pg/server.h"

#include "engine/wide_rows.h"

#include "core/numeric/moments.h"
#include "pg/settings.h"

namespace many::engine {

namespace {

// Doubles per product of two columns. Of a fit: its matrices, in three parts each where they are
// extended (the sums centred 1.5, the factorisation 4, the model and its bytes 2), and what a
// penalised fit (sums of the active set, matrices in double) and a search by folds have beside it.
constexpr Size kLeastSquares = 8;
constexpr Size kPenalised = 5;
constexpr Size kFolds = 8;

void use_type(RecordReader* reader, HeapTupleHeader record) {
    if (reader->type != nullptr) FreeTupleDesc(reader->type);
    TupleDesc shared =
        lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(record), HeapTupleHeaderGetTypMod(record));
    MemoryContext old = MemoryContextSwitchTo(reader->context);
    reader->type = CreateTupleDescCopy(shared);
    MemoryContextSwitchTo(old);
    ReleaseTupleDesc(shared);
    if (reader->type->natts != reader->n)
        elog(ERROR, "many_models.train_sink: %d columns, not %d", reader->type->natts, reader->n);
    for (int i = 0; i < reader->n; i++)
        require_column_type(reader->spec, i, TupleDescAttr(reader->type, i)->atttypid);
}

}  // namespace

int n_columns(const RunSpec* spec) {
    return spec->n_keys + (spec->has_time ? 1 : 0) + 1 + spec->n_features;
}

Oid column_type(RunSpec* spec, int column) {
    if (column < spec->n_keys) return spec->keys()[column].type;
    column -= spec->n_keys;
    if (spec->has_time && column-- == 0) return spec->time_type;
    return column == 0 ? spec->target_type : spec->features()[column - 1].type;
}

void require_column_type(RunSpec* spec, int column, Oid type) {
    if (getBaseType(type) == column_type(spec, column)) return;
    ereport(ERROR,
            (errcode(ERRCODE_DATATYPE_MISMATCH),
             errmsg("a column of the source is of type %s, and was of type %s when the run began",
                    format_type_be(type), format_type_be(column_type(spec, column))),
             errhint("Start a new run.")));
}

RecordReader* make_record_reader(RunSpec* spec, MemoryContext context) {
    const int n = n_columns(spec);
    auto* reader = (RecordReader*)MemoryContextAllocZero(context, sizeof(RecordReader));
    reader->spec = spec;
    reader->n = n;
    reader->context = context;
    reader->datums = (Datum*)MemoryContextAlloc(context, sizeof(Datum) * (Size)n);
    reader->nulls = (bool*)MemoryContextAlloc(context, sizeof(bool) * (Size)n);
    reader->values = (NullableDatum*)MemoryContextAlloc(context, sizeof(NullableDatum) * (Size)n);
    return reader;
}

const NullableDatum* read_record(RecordReader* reader, HeapTupleHeader record) {
    if (unlikely(reader->type == nullptr ||
                 reader->type->tdtypeid != HeapTupleHeaderGetTypeId(record) ||
                 reader->type->tdtypmod != HeapTupleHeaderGetTypMod(record)))
        use_type(reader, record);
    HeapTupleData tuple = {};
    tuple.t_len = HeapTupleHeaderGetDatumLength(record);
    ItemPointerSetInvalid(&tuple.t_self);
    tuple.t_tableOid = InvalidOid;
    tuple.t_data = record;
    heap_deform_tuple(&tuple, reader->type, reader->datums, reader->nulls);
    for (int i = 0; i < reader->n; i++) reader->values[i] = {reader->datums[i], reader->nulls[i]};
    return reader->values;
}

Size group_sums_bytes(const RunSpec* spec) {
    return core::MomentLayout(spec->n_features + 1).bytes() * (Size)spec->n_moments();
}

Size group_fit_bytes(const RunSpec* spec) {
    const core::LinearOptions& linear = spec->options.linear;
    const Size m = (Size)spec->n_features + 2;
    Size doubles = kLeastSquares;
    if (linear.algorithm != core::Algorithm::linear_regression) doubles += kPenalised;
    if (spec->cv_folds > 0) doubles += kFolds;
    Size bytes = doubles * m * m * sizeof(double);
    // The rows exchange makes the sums of all rows, and of both parts of each split, while it fits.
    if (spec->exchange == Exchange::rows) bytes += 3 * group_sums_bytes(spec);
    return bytes;
}

void require_room(const RunSpec* spec) {
    constexpr int kMost = core::MomentLayout::kMaxColumns - 1;
    if (spec->n_features > kMost)
        ereport(ERROR, (errcode(ERRCODE_TOO_MANY_COLUMNS),
                        errmsg("%d features are more than %d", spec->n_features, kMost)));
    if (!is_wide(spec->n_keys, spec->n_features)) return;
    // Statistics: a group's sums in the table, and coming from a file. Rows: half is for the rows.
    const Size budget = (Size)pg::memory_budget_bytes();
    const Size fit = group_fit_bytes(spec);
    const Size needed =
        spec->exchange == Exchange::rows ? 2 * fit : fit + 3 * group_sums_bytes(spec);
    if (needed <= budget) return;
    const double mb = 1024.0 * 1024.0;
    ereport(ERROR, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
                    errmsg("%d features take %.0f MB of memory per process, more than "
                           "many_models.memory_budget of %.0f MB",
                           spec->n_features, (double)needed / mb, (double)budget / mb),
                    errhint("Raise many_models.memory_budget, or give fewer features.")));
}

}  // namespace many::engine
