// The aggregate many_models.fit(options, target, features): one model per group of any query.
//
// The state is a flat bytea: a header, the options as parsed, counts, and the moments buffers (one,
// or one per fold). The executor keeps it in the aggregate's context and the transition function
// adds rows in place, so that a row costs no allocation. States are merged by adding moments; the
// result does not depend on the order of rows or of merges, nor on the number of workers.
//
// States may come from anyone who builds an aggregate of these functions: whatever is read from one
// is checked against its length first.
#include "core/learners/group_trainer.h"
#include "core/numeric/moments.h"
#include "core/selection/split.h"
#include "pg/learner_options.h"
#include "pg/server.h"
#include "serving/model_value.h"
#include "wall/wall.h"

#include <cmath>
#include <cstring>
#include <new>

using namespace many;
using namespace many::serving;

namespace {

constexpr uint32 kStateMagic = 0x4d4d4653;  // "MMFS"
constexpr int kMaxFeatures = core::MomentLayout::kMaxColumns - 1;

// LearnerOptions without padding, so that two can be compared as bytes.
struct StoredOptions {
    int64 min_rows;
    int64 seed;
    double lambda;
    double alpha;
    int32 algorithm;
    int32 cv_folds;
    uint8 fit_intercept;
    uint8 standardize;
    uint8 lambda_auto;
    uint8 reserved[5];
};

struct FitState {
    int32 vl_len_;
    uint32 magic;
    int32 n_features;  // -1: no row with features seen yet, then there are no moments
    int32 reserved;
    StoredOptions options;
    int64 n_null;        // rows skipped: NULL target or feature
    int64 n_not_finite;  // rows with NaN or infinity
    // then max(1, cv_folds) moments buffers

    double* moments() { return reinterpret_cast<double*>(this + 1); }
    const double* moments() const { return reinterpret_cast<const double*>(this + 1); }
    int n_moments() const { return options.cv_folds > 0 ? options.cv_folds : 1; }
};
static_assert(sizeof(FitState) % 8 == 0 && sizeof(StoredOptions) == 48);

// What the transition function keeps between rows: the options of the row before, parsed, and room
// for one row.
struct FitCall {
    StoredOptions options;
    char* options_bytes;  // as they came, to recognise them
    Size options_length;
    bool has_options;
    int row_capacity;
    double* row;
};

[[noreturn]] void raise_bad_state() {
    ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("invalid state of aggregate fit")));
    pg_unreachable();
}

Size state_size(int n_features, const StoredOptions* options) {
    if (n_features < 0) return sizeof(FitState);
    const Size n = options->cv_folds > 0 ? static_cast<Size>(options->cv_folds) : 1;
    return sizeof(FitState) + n * core::MomentLayout(n_features + 1).bytes();
}

FitState* new_state(int n_features, const StoredOptions* options) {
    const Size size = state_size(n_features, options);
    if (!AllocSizeIsValid(size))
        ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                        errmsg("the statistics of %d features and %d folds are too large",
                               n_features, options->cv_folds)));
    auto* state = static_cast<FitState*>(palloc0(size));
    SET_VARSIZE(state, size);
    state->magic = kStateMagic;
    state->n_features = n_features;
    state->options = *options;
    return state;
}

FitState* checked_state(Datum value) {
    auto* state = reinterpret_cast<FitState*>(DatumGetPointer(value));
    if (VARATT_IS_EXTENDED(state) || !PointerIsAligned(state, double))
        state = reinterpret_cast<FitState*>(PG_DETOAST_DATUM_COPY(value));
    if (VARSIZE(state) < sizeof(FitState) || state->magic != kStateMagic ||
        state->n_features < -1 || state->n_features > kMaxFeatures || state->options.cv_folds < 0 ||
        state->options.cv_folds > pg::kMaxCvFolds ||
        VARSIZE(state) != state_size(state->n_features, &state->options))
        raise_bad_state();
    return state;
}

void parse_options(Jsonb* json, StoredOptions* stored) {
    pg::LearnerOptions options;
    pg::OptionScan scan;
    char* key;
    JsonbValue value;
    pg::option_scan_begin(&scan, json, "options");
    while (pg::option_scan_next(&scan, &key, &value)) {
        if (strcmp(key, "algorithm") == 0)
            pg::set_learner_algorithm(&options,
                                      pg::option_string(key, &value, "the name of an algorithm"));
        else if (!pg::set_learner_option(&options, key, &value))
            pg::raise_unknown_option(key, psprintf("\"algorithm\", %s", pg::kLearnerOptionKeys));
    }
    pg::finish_learner_options(&options);
    memset(stored, 0, sizeof *stored);
    stored->min_rows = options.min_rows;
    stored->seed = options.seed;
    stored->lambda = options.lambda;
    stored->alpha = options.alpha;
    stored->algorithm = static_cast<int32>(options.algorithm);
    stored->cv_folds = options.cv_folds;
    stored->fit_intercept = options.fit_intercept;
    stored->standardize = options.standardize;
    stored->lambda_auto = options.lambda_auto;
}

// The options of this row; parsed again only when they are not those of the row before.
void read_options(FunctionCallInfo fcinfo, FitCall* call) {
    const auto* packed = PG_ARGISNULL(1) ? nullptr : PG_DETOAST_DATUM_PACKED(PG_GETARG_DATUM(1));
    const char* bytes = packed == nullptr ? "" : VARDATA_ANY(packed);
    const Size length = packed == nullptr ? 0 : VARSIZE_ANY_EXHDR(packed);
    if (call->has_options && length == call->options_length &&
        memcmp(bytes, call->options_bytes, length) == 0)
        return;
    call->has_options = false;
    if (packed == nullptr) {
        call->options = StoredOptions{};
        call->options.algorithm = static_cast<int32>(core::Algorithm::linear_regression);
        call->options.min_rows = -1;
        call->options.fit_intercept = call->options.standardize = 1;
    } else {
        parse_options(PG_GETARG_JSONB_P(1), &call->options);
    }
    if (call->options_bytes != nullptr) pfree(call->options_bytes);
    call->options_bytes =
        static_cast<char*>(MemoryContextAlloc(fcinfo->flinfo->fn_mcxt, length + 1));
    memcpy(call->options_bytes, bytes, length);
    call->options_length = length;
    call->has_options = true;
}

FitCall* fit_call(FunctionCallInfo fcinfo) {
    auto* call = static_cast<FitCall*>(fcinfo->flinfo->fn_extra);
    if (call == nullptr) {
        call =
            static_cast<FitCall*>(MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(FitCall)));
        fcinfo->flinfo->fn_extra = call;
    }
    return call;
}

double* row_buffer(FunctionCallInfo fcinfo, FitCall* call, int n) {
    if (call->row_capacity < n) {
        call->row_capacity = n;
        call->row = static_cast<double*>(
            MemoryContextAlloc(fcinfo->flinfo->fn_mcxt, sizeof(double) * static_cast<Size>(n)));
    }
    return call->row;
}

void require_same_options(const StoredOptions* a, const StoredOptions* b) {
    if (memcmp(a, b, sizeof *a) != 0)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("the options of fit differ between rows of a group"),
                        errhint("Give one options value, or make it a GROUP BY expression.")));
}

void require_same_length(int a, int b) {
    if (a != b)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("features has %d elements in one row and %d in another", a, b),
                        errhint("All rows of a group have the same features.")));
}

int feature_count(const ArrayType* features) {
    if (ARR_NDIM(features) > 1)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("features must be a one-dimensional array")));
    const int n = ARR_NDIM(features) == 0 ? 0 : ARR_DIMS(features)[0];
    if (n > kMaxFeatures)
        ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                        errmsg("features has %d elements; the limit is %d", n, kMaxFeatures)));
    return n;
}

void add_row(FunctionCallInfo fcinfo, FitCall* call, FitState* state, ArrayType* features,
             double target) {
    const int p = state->n_features;
    double* row = row_buffer(fcinfo, call, p + 1);
    memcpy(row, ARR_DATA_PTR(features), sizeof(double) * static_cast<Size>(p));
    row[p] = target;
    double sum = 0;  // NaN exactly when a value is not finite: x - x is 0 or NaN
    for (int i = 0; i <= p; ++i) sum += row[i] - row[i];
    if (std::isnan(sum)) {
        ++state->n_not_finite;
        return;
    }
    const core::MomentLayout layout(p + 1);
    double* moments = state->moments();
    if (state->options.cv_folds > 0) {
        const uint64 hash =
            core::row_hash(row, static_cast<Size>(p) + 1, static_cast<uint64>(state->options.seed));
        moments +=
            layout.doubles() * static_cast<Size>(core::fold_of(hash, state->options.cv_folds));
    }
    core::moments_add_rows(moments, layout, row, 1, static_cast<Size>(p) + 1);
}

// --- The final function -----------------------------------------------------------------------

// Kept for the life of the process, for one shape at a time: its workspace is what makes a fit
// cheap. Never destroyed at exit.
struct FitContext {
    core::GroupTrainer trainer;
    core::GroupResult result;
    explicit FitContext(core::TrainSpec spec) : trainer(std::move(spec)) {}
};
FitContext* fit_context = nullptr;

FitContext* context_for(const FitState* state) {
    if (fit_context != nullptr) {
        const core::TrainSpec& spec = fit_context->trainer.spec();
        if (spec.n_features == state->n_features && spec.cv_folds == state->options.cv_folds &&
            spec.seed == static_cast<uint64>(state->options.seed))
            return fit_context;
        delete fit_context;
        fit_context = nullptr;
    }
    core::TrainSpec spec;
    spec.n_features = state->n_features;
    spec.categorical.assign(static_cast<std::size_t>(state->n_features), false);
    spec.holdout.kind = core::HoldoutSpec::Kind::none;
    spec.cv_folds = state->options.cv_folds;
    spec.seed = static_cast<uint64>(state->options.seed);
    fit_context = new FitContext(std::move(spec));
    return fit_context;
}

core::GroupOptions group_options(const StoredOptions& stored) {
    core::GroupOptions options;
    options.linear.algorithm = static_cast<core::Algorithm>(stored.algorithm);
    options.linear.fit_intercept = stored.fit_intercept;
    options.linear.standardize = stored.standardize;
    options.linear.lambda_auto = stored.lambda_auto;
    options.linear.lambda = stored.lambda;
    options.linear.alpha = stored.alpha;
    options.min_rows = stored.min_rows;
    return options;
}

core::FitStatus finish_group(const FitState* state) {
    static_assert(sizeof(sig_atomic_t) == sizeof(int));
    core::StopSignal stop;
    stop.flag = &InterruptPending;
    wall::WallError error;
    for (;;) {
        core::FitStatus status = core::FitStatus::ok;
        const bool fine = wall::across_wall(&error, [&] {
            FitContext* context = context_for(state);
            context->trainer.finish(state->moments(), nullptr, group_options(state->options), stop,
                                    context->result);
            status = context->result.status;
        });
        CHECK_FOR_INTERRUPTS();
        if (!fine) wall::raise_wall_error(&error);
        if (status != core::FitStatus::cancelled) return status;
        // The interrupt was not a cancel: again.
    }
}

// Messages write the k-th feature (0-based) as {k}, which has the name x<k+1> here, and the target
// as {target}, which has none. Those that start with a verb are about the group.
char* name_features(const char* message) {
    static constexpr char target[] = "{target} ";
    StringInfoData text;
    initStringInfo(&text);
    if (strncmp(message, "has ", 4) == 0) appendStringInfoString(&text, "group ");
    for (const char* p = message; *p != '\0'; ++p) {
        char* end = nullptr;
        const long k = *p == '{' ? strtol(p + 1, &end, 10) : 0;
        if (*p == '{' && end > p + 1 && *end == '}') {
            appendStringInfo(&text, "x%ld", k + 1);
            p = end;
        } else if (strncmp(p, target, sizeof target - 1) == 0) {
            p += sizeof target - 2;
        } else {
            appendStringInfoChar(&text, *p);
        }
    }
    return text.data;
}

Datum final_value(const FitState* state) {
    if (state->n_not_finite > 0)
        return make_error_value(
            core::FitStatus::not_finite, state->n_not_finite,
            psprintf(INT64_FORMAT " rows have a NaN or infinite value", state->n_not_finite),
            "Leave such rows out with a WHERE or FILTER clause.");
    if (state->n_features < 0)
        return make_error_value(core::FitStatus::too_few_rows, 0,
                                psprintf("all " INT64_FORMAT " rows have a NULL", state->n_null),
                                nullptr);
    const core::FitStatus status = finish_group(state);
    const core::GroupResult& result = fit_context->result;
    if (status == core::FitStatus::ok)
        return make_model_value(result.model.data(), result.model.size());
    return make_error_value(status, result.rows_used, name_features(result.message.c_str()),
                            name_features(result.hint.c_str()));
}

void require_aggregate(FunctionCallInfo fcinfo, const char* name) {
    if (AggCheckCallContext(fcinfo, nullptr) == 0)
        ereport(ERROR,
                (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                 errmsg("%s is part of the aggregate fit and cannot be called alone", name)));
}

}  // namespace

extern "C" {

PG_FUNCTION_INFO_V1(many_fit_accum);
PG_FUNCTION_INFO_V1(many_fit_combine);
PG_FUNCTION_INFO_V1(many_fit_final);

Datum many_fit_accum(PG_FUNCTION_ARGS) {
    require_aggregate(fcinfo, "fit_accum");
    FitCall* call = fit_call(fcinfo);
    read_options(fcinfo, call);
    ArrayType* features = PG_ARGISNULL(3) ? nullptr : PG_GETARG_ARRAYTYPE_P(3);
    const int n_features = features == nullptr ? -1 : feature_count(features);
    FitState* state;
    if (PG_ARGISNULL(0)) {
        state = new_state(n_features, &call->options);
    } else {
        state = checked_state(PG_GETARG_DATUM(0));
        require_same_options(&state->options, &call->options);
        if (state->n_features < 0 && n_features >= 0) {
            FitState* grown = new_state(n_features, &call->options);
            grown->n_null = state->n_null;
            state = grown;
        } else if (n_features >= 0) {
            require_same_length(state->n_features, n_features);
        }
    }
    if (features == nullptr || PG_ARGISNULL(2) || ARR_HASNULL(features)) {
        // ARR_HASNULL tells that there may be a NULL; the bitmap tells whether there is.
        if (features == nullptr || PG_ARGISNULL(2) || array_contains_nulls(features)) {
            ++state->n_null;
            PG_RETURN_POINTER(state);
        }
    }
    add_row(fcinfo, call, state, features, PG_GETARG_FLOAT8(2));
    PG_RETURN_POINTER(state);
}

Datum many_fit_combine(PG_FUNCTION_ARGS) {
    require_aggregate(fcinfo, "fit_combine");
    if (PG_ARGISNULL(1)) {
        if (PG_ARGISNULL(0)) PG_RETURN_NULL();
        PG_RETURN_DATUM(PG_GETARG_DATUM(0));
    }
    FitState* from = checked_state(PG_GETARG_DATUM(1));
    if (PG_ARGISNULL(0)) PG_RETURN_POINTER(from);
    FitState* into = checked_state(PG_GETARG_DATUM(0));
    require_same_options(&into->options, &from->options);
    if (into->n_features < 0 && from->n_features >= 0) {
        FitState* grown = new_state(from->n_features, &into->options);
        grown->n_null = into->n_null;
        into = grown;
    }
    if (from->n_features >= 0) {
        require_same_length(into->n_features, from->n_features);
        const core::MomentLayout layout(into->n_features + 1);
        for (int i = 0; i < into->n_moments(); ++i) {
            const Size offset = static_cast<Size>(i) * layout.doubles();
            core::moments_merge(into->moments() + offset, from->moments() + offset, layout);
        }
    }
    into->n_null += from->n_null;
    into->n_not_finite += from->n_not_finite;
    PG_RETURN_POINTER(into);
}

Datum many_fit_final(PG_FUNCTION_ARGS) {
    require_aggregate(fcinfo, "fit_final");
    if (PG_ARGISNULL(0)) PG_RETURN_NULL();
    return final_value(checked_state(PG_GETARG_DATUM(0)));
}

}  // extern "C"
