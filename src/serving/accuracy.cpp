// Aggregates over predictions and actuals.
//
//   accuracy        metrics of (prediction, actual [, lower, upper]): by the code that judges the
//                   holdout, so that both mean the same and do not depend on the order of the rows
//   pair            the rows of one id, of predictions and of the source: the latest run's prediction,
//                   the actual, and how many of each there were
//   evaluate_pairs  the metrics and counts of pairs; what evaluate_many_models groups by
//
// States are flat values (bytea), which partial aggregation can move.
#include "serving/accuracy.h"
#include "core/selection/metrics.h"
#include "pg/server.h"
#include "pg/worker_cpu.h"

#include <cmath>

using namespace many;
using namespace many::serving;

namespace {

constexpr uint32 kPairMagic = 0x4d4d5052;      // "MMPR"
constexpr uint32 kAccuracyMagic = 0x4d4d4143;  // "MMAC"
constexpr Size kSums = 42;                     // of a state for given predictions

enum PairHas : uint32 {
    kHasPrediction = 1,
    kHasInterval = 2,
    kHasActual = 4,
    kHasVersion = 8,
    kHasModel = 16
};

struct Pair {
    int32 vl_len;
    uint32 magic;
    int64 run_id;
    double prediction;
    double lower;
    double upper;
    double actual;
    int64 model_id;
    int32 version;
    uint32 has;
    int32 n_predictions;  // of that run
    int32 n_actuals;
};
static_assert(sizeof(Pair) % 8 == 0);

struct Accuracy {
    int32 vl_len;
    uint32 magic;
    int64 n_interval;
    int64 n_covered;
    int64 counts[kEvaluateCounts];
    double sums[kSums];
};
static_assert(sizeof(Accuracy) % 8 == 0);

[[noreturn]] void raise_bad_state(const char* name) {
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("the value is no state of the aggregate %s", name)));
    pg_unreachable();
}

template <class State>
State* new_state(uint32 magic) {
    auto* state = static_cast<State*>(palloc0(sizeof(State)));
    SET_VARSIZE(state, sizeof(State));
    state->magic = magic;
    return state;
}

Accuracy* new_accuracy() {
    if (core::holdout_state_doubles(1) != kSums) elog(ERROR, "unexpected size of metrics");
    auto* state = new_state<Accuracy>(kAccuracyMagic);
    core::accuracy_start(state->sums);
    return state;
}

template <class State>
State* checked(Datum value, uint32 magic, const char* name) {
    auto* state = reinterpret_cast<State*>(DatumGetPointer(value));
    if (VARATT_IS_EXTENDED(state) || !PointerIsAligned(state, double))
        state = reinterpret_cast<State*>(PG_DETOAST_DATUM_COPY(value));
    if (VARSIZE(state) != sizeof(State) || state->magic != magic) raise_bad_state(name);
    return state;
}

Pair* checked_pair(Datum value) {
    return checked<Pair>(value, kPairMagic, "pair");
}

Accuracy* checked_accuracy(Datum value) {
    return checked<Accuracy>(value, kAccuracyMagic, "accuracy");
}

void require_aggregate(FunctionCallInfo fcinfo, const char* name) {
    if (AggCheckCallContext(fcinfo, nullptr) == 0)
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("%s is part of an aggregate and cannot be called alone", name)));
}

// --- Pairs ------------------------------------------------------------------------------------

void add_prediction(Pair* pair, FunctionCallInfo fcinfo) {
    const int64 run_id = PG_GETARG_INT64(1);
    if (pair->n_predictions > 0 && run_id < pair->run_id) return;
    if (pair->n_predictions > 0 && run_id == pair->run_id) {
        if (pair->n_predictions < PG_INT32_MAX) ++pair->n_predictions;
        return;
    }
    pair->run_id = run_id;
    pair->n_predictions = 1;
    pair->has &= kHasActual;
    const auto value_of = [fcinfo](int i) { return PG_ARGISNULL(i) ? 0 : PG_GETARG_FLOAT8(i); };
    pair->prediction = value_of(2);
    pair->lower = value_of(3);
    pair->upper = value_of(4);
    if (!PG_ARGISNULL(2) && std::isfinite(pair->prediction)) pair->has |= kHasPrediction;
    if (!PG_ARGISNULL(3) && !PG_ARGISNULL(4)) pair->has |= kHasInterval;
    if (!PG_ARGISNULL(5)) {
        pair->model_id = PG_GETARG_INT64(5);
        pair->has |= kHasModel;
    }
    if (!PG_ARGISNULL(6)) {
        pair->version = PG_GETARG_INT32(6);
        pair->has |= kHasVersion;
    }
}

void add_actual(Pair* pair, double actual) {
    if (pair->n_actuals < PG_INT32_MAX) ++pair->n_actuals;
    if (!std::isfinite(actual)) return;
    pair->actual = actual;
    pair->has |= kHasActual;
}

// --- Accuracy ---------------------------------------------------------------------------------

void add_row(Accuracy* state, double prediction, double actual) {
    const double row[2] = {prediction, actual};
    core::holdout_add_rows(state->sums, 1, row, 1, 2);
}

void add_interval(Accuracy* state, double lower, double upper, double actual) {
    ++state->n_interval;
    state->n_covered += lower <= actual && actual <= upper ? 1 : 0;
}

void add_pair(Accuracy* state, const Pair* pair) {
    int64* counts = state->counts;
    const bool has_actual = (pair->has & kHasActual) != 0;
    if (pair->n_predictions == 0) {
        counts[kNotScored] += has_actual ? 1 : 0;
        return;
    }
    ++counts[kPredictions];
    if (pair->n_predictions > 1 || pair->n_actuals > 1) ++counts[kAmbiguous];
    if ((pair->has & kHasPrediction) == 0) {
        ++counts[kWithoutPrediction];
    } else if (!has_actual) {
        ++counts[kWithoutActual];
    } else {
        add_row(state, pair->prediction, pair->actual);
        if ((pair->has & kHasInterval) != 0)
            add_interval(state, pair->lower, pair->upper, pair->actual);
    }
}

double coverage(const Accuracy* state) {
    return state->n_interval > 0
               ? static_cast<double>(state->n_covered) / static_cast<double>(state->n_interval)
               : std::nan("");
}

}  // namespace

extern "C" {

PG_FUNCTION_INFO_V1(many_pair_accum);
PG_FUNCTION_INFO_V1(many_pair_version);
PG_FUNCTION_INFO_V1(many_pair_model);
PG_FUNCTION_INFO_V1(many_accuracy_accum);
PG_FUNCTION_INFO_V1(many_accuracy_combine);
PG_FUNCTION_INFO_V1(many_accuracy_final);
PG_FUNCTION_INFO_V1(many_evaluate_accum);
PG_FUNCTION_INFO_V1(many_evaluate_final);

// state, run_id (NULL: a row of the source), prediction, lower, upper, model_id, version, actual
Datum many_pair_accum(PG_FUNCTION_ARGS) {
    require_aggregate(fcinfo, "pair_accum");
    if (fcinfo->flinfo->fn_extra == nullptr) {
        pg::join_worker_cpu();
        fcinfo->flinfo->fn_extra = fcinfo->flinfo;
    }
    Pair* pair = PG_ARGISNULL(0) ? new_state<Pair>(kPairMagic) : checked_pair(PG_GETARG_DATUM(0));
    if (!PG_ARGISNULL(1))
        add_prediction(pair, fcinfo);
    else if (!PG_ARGISNULL(7))
        add_actual(pair, PG_GETARG_FLOAT8(7));
    PG_RETURN_POINTER(pair);
}

Datum many_pair_version(PG_FUNCTION_ARGS) {
    const Pair* pair = checked_pair(PG_GETARG_DATUM(0));
    if ((pair->has & kHasVersion) == 0) PG_RETURN_NULL();
    PG_RETURN_INT32(pair->version);
}

Datum many_pair_model(PG_FUNCTION_ARGS) {
    const Pair* pair = checked_pair(PG_GETARG_DATUM(0));
    if ((pair->has & kHasModel) == 0) PG_RETURN_NULL();
    PG_RETURN_INT64(pair->model_id);
}

// state, prediction, actual [, lower, upper]
Datum many_accuracy_accum(PG_FUNCTION_ARGS) {
    require_aggregate(fcinfo, "accuracy_accum");
    Accuracy* state = PG_ARGISNULL(0) ? new_accuracy() : checked_accuracy(PG_GETARG_DATUM(0));
    if (PG_ARGISNULL(1) || PG_ARGISNULL(2)) PG_RETURN_POINTER(state);
    const double prediction = PG_GETARG_FLOAT8(1);
    const double actual = PG_GETARG_FLOAT8(2);
    if (!std::isfinite(prediction) || !std::isfinite(actual)) PG_RETURN_POINTER(state);
    add_row(state, prediction, actual);
    if (PG_NARGS() > 4 && !PG_ARGISNULL(3) && !PG_ARGISNULL(4))
        add_interval(state, PG_GETARG_FLOAT8(3), PG_GETARG_FLOAT8(4), actual);
    PG_RETURN_POINTER(state);
}

Datum many_accuracy_combine(PG_FUNCTION_ARGS) {
    require_aggregate(fcinfo, "accuracy_combine");
    if (PG_ARGISNULL(1)) {
        if (PG_ARGISNULL(0)) PG_RETURN_NULL();
        PG_RETURN_DATUM(PG_GETARG_DATUM(0));
    }
    Accuracy* from = checked_accuracy(PG_GETARG_DATUM(1));
    if (PG_ARGISNULL(0)) PG_RETURN_POINTER(from);
    Accuracy* into = checked_accuracy(PG_GETARG_DATUM(0));
    core::holdout_merge(into->sums, from->sums, 1);
    into->n_interval += from->n_interval;
    into->n_covered += from->n_covered;
    for (int i = 0; i < kEvaluateCounts; ++i) into->counts[i] += from->counts[i];
    PG_RETURN_POINTER(into);
}

// -> (n_rows, rmse, mae, mape, smape, r2, bias, coverage)
Datum many_accuracy_final(PG_FUNCTION_ARGS) {
    require_aggregate(fcinfo, "accuracy_final");
    TupleDesc descriptor;
    if (get_call_result_type(fcinfo, nullptr, &descriptor) != TYPEFUNC_COMPOSITE ||
        descriptor->natts != 8)
        elog(ERROR, "accuracy_summary expected");
    Datum values[8];
    bool nulls[8] = {};
    const Accuracy* state = PG_ARGISNULL(0) ? new_accuracy() : checked_accuracy(PG_GETARG_DATUM(0));
    const core::SplitMetrics m = core::holdout_finish(state->sums, 1);
    const double numbers[] = {m.rmse, m.mae, m.mape, m.smape, m.r2, m.bias, coverage(state)};
    values[0] = Int64GetDatum(static_cast<int64>(m.n_rows));
    for (int i = 0; i < 7; ++i) {
        values[i + 1] = Float8GetDatum(numbers[i]);
        nulls[i + 1] = !std::isfinite(numbers[i]);
    }
    PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), values, nulls)));
}

Datum many_evaluate_accum(PG_FUNCTION_ARGS) {
    require_aggregate(fcinfo, "evaluate_accum");
    Accuracy* state = PG_ARGISNULL(0) ? new_accuracy() : checked_accuracy(PG_GETARG_DATUM(0));
    if (!PG_ARGISNULL(1)) add_pair(state, checked_pair(PG_GETARG_DATUM(1)));
    PG_RETURN_POINTER(state);
}

// -> float8[]: the counts, rows, then the metrics and the coverage; NaN: not defined (accuracy.h)
Datum many_evaluate_final(PG_FUNCTION_ARGS) {
    require_aggregate(fcinfo, "evaluate_final");
    const Accuracy* state = PG_ARGISNULL(0) ? new_accuracy() : checked_accuracy(PG_GETARG_DATUM(0));
    const core::SplitMetrics m = core::holdout_finish(state->sums, 1);
    const double metrics[] = {m.n_rows, m.rmse, m.mae,  m.mape,
                              m.smape,  m.r2,   m.bias, coverage(state)};
    Datum values[kEvaluateValues];
    for (int i = 0; i < kEvaluateCounts; ++i)
        values[i] = Float8GetDatum(static_cast<double>(state->counts[i]));
    for (int i = 0; i < kEvaluateMetrics; ++i)
        values[kEvaluateCounts + i] = Float8GetDatum(metrics[i]);
    PG_RETURN_ARRAYTYPE_P(construct_array(values, kEvaluateValues, FLOAT8OID, sizeof(float8),
                                          FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

}  // extern "C"
