// Sets of more columns than a function has arguments: a row comes to the sink as one record, and
// what a group's sums and fit take is no longer small beside the memory budget.
#pragma once

#include "engine/run_segment.h"

namespace many::engine {

constexpr int kMaxArguments = 100;     // FUNC_MAX_ARGS
constexpr int kMaxNarrowColumns = 96;  // partition columns and features; state, run, target, time

inline bool is_wide(int n_keys, int n_features) {
    return n_keys + n_features > kMaxNarrowColumns;
}

// The columns of a row as they come to the sink (keys, time, target, features): how many, the base
// type of one.
int n_columns(const RunSpec* spec);
Oid column_type(RunSpec* spec, int column);
// 42804 for a type that is not the run's: the values are read as what they were when it began.
void require_column_type(RunSpec* spec, int column, Oid type);

// What reads a record; plain data, in the context of the sink.
struct RecordReader {
    RunSpec* spec;
    int n;           // columns
    TupleDesc type;  // of the record before, or nullptr
    MemoryContext context;
    Datum* datums;
    bool* nulls;
    NullableDatum* values;
};

RecordReader* make_record_reader(RunSpec* spec, MemoryContext context);
// The record's columns, valid until the next call; 42804 if their types are not the run's.
const NullableDatum* read_record(RecordReader* reader, HeapTupleHeader record);

// What a process needs for one group beside its rows: sums, and the matrices of the fit.
Size group_sums_bytes(const RunSpec* spec);
Size group_fit_bytes(const RunSpec* spec);
// 54011 for more features than a fit takes, 53400 when the memory budget is too small for them.
void require_room(const RunSpec* spec);

}  // namespace many::engine
