// The features a model was trained on, and how far recent ones are from them.
//
//   model_moments   mean and standard deviation of every term
//   model_reference the error that errors to come are compared with
//   model_checksum  what tells models apart, wherever their copies are
//   feature_shift   the population stability index of the feature that moved most; called by
//                   evaluate_many_models for every group and period
#include "core/codec/linear_model.h"
#include "core/selection/stability.h"
#include "pg/server.h"
#include "pg/source.h"
#include "serving/forecast_value.h"
#include "serving/model_value.h"
#include "serving/term_name.h"
#include "wall/wall.h"

#include <algorithm>
#include <cmath>
#include <vector>

using namespace many;
using namespace many::serving;

namespace {

// Of each term, palloc'd.
struct TermMoments {
    double* means;
    double* spreads;
};

TermMoments read_moments(const core::LinearModelView& view) {
    const Size n = static_cast<Size>(view.n_terms());
    TermMoments moments = {static_cast<double*>(palloc(sizeof(double) * (n + 1))),
                           static_cast<double*>(palloc(sizeof(double) * (n + 1)))};
    wall::WallError error;
    if (!wall::across_wall(&error, [&] {
            std::vector<double> means;
            std::vector<double> spreads;
            view.term_moments(means, spreads);
            std::copy(means.begin(), means.end(), moments.means);
            std::copy(spreads.begin(), spreads.end(), moments.spreads);
        }))
        wall::raise_wall_error(&error);
    return moments;
}

// The feature that moved most so far: one whose index is more than chance before others.
struct Largest {
    core::Stability value;
    int feature;  // -1: none
};

void consider(Largest* largest, const core::Stability& s, int feature) {
    if (!std::isfinite(s.index)) return;
    const bool is_sure = s.index > s.noise;
    const bool was_sure = largest->value.index > largest->value.noise;
    if (largest->feature >= 0 &&
        (was_sure && !is_sure ? true : is_sure == was_sure && s.index <= largest->value.index))
        return;
    *largest = {s, feature};
}

// Rows per level of a categorical feature, in the model's order: the terms', the reference, others.
core::Stability compare_levels(const core::LinearModelView& view, const TermMoments* moments,
                               int first, int n_terms, int feature, JsonbContainer* counts) {
    const Size k = static_cast<Size>(n_terms) + 2;
    auto* training = static_cast<double*>(palloc0(sizeof(double) * k));
    auto* recent = static_cast<double*>(palloc0(sizeof(double) * k));
    double rest = view.n_rows();
    double known = 0;
    double total = 0;
    const auto rows_of = [counts](std::string_view level) {
        JsonbValue space;
        const JsonbValue* n = getKeyJsonValueFromContainer(counts, level.data(),
                                                           static_cast<int>(level.size()), &space);
        return n == nullptr || n->type != jbvNumeric
                   ? 0.0
                   : DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
                                                        NumericGetDatum(n->val.numeric)));
    };
    for (int i = 0; i < n_terms; ++i) {
        training[i] = moments->means[first + i] * view.n_rows();
        recent[i] = rows_of(view.term(first + i).level);
        rest -= training[i];
        known += recent[i];
    }
    training[n_terms] = rest > 0 ? rest : 0;
    recent[n_terms] = rows_of(view.reference_level(feature));
    known += recent[n_terms];

    JsonbIterator* iterator = JsonbIteratorInit(counts);
    JsonbValue value;
    JsonbIteratorToken token;
    while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
        if (token == WJB_VALUE && value.type == jbvNumeric)
            total += DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
                                                        NumericGetDatum(value.val.numeric)));
    recent[n_terms + 1] = total > known ? total - known : 0;
    const Size used = recent[n_terms + 1] > 0 ? k : k - 1;
    if (used < 2 || !(total > 0)) return {std::nan(""), 0};
    return core::level_stability(training, recent, used);
}

// The k-th element of levels when it is an object; nullptr otherwise.
JsonbContainer* level_counts(Jsonb* levels, int feature) {
    if (levels == nullptr || !JB_ROOT_IS_ARRAY(levels)) return nullptr;
    const JsonbValue* value =
        getIthJsonbValueFromContainer(&levels->root, static_cast<uint32>(feature));
    if (value == nullptr || value->type != jbvBinary ||
        !JsonContainerIsObject(value->val.binary.data))
        return nullptr;
    return value->val.binary.data;
}

Largest compare_features(const core::LinearModelView& view, const double* numbers, Jsonb* levels,
                         const bool* left_out) {
    const TermMoments moments = read_moments(view);
    const int n_terms = view.n_terms();
    Largest largest = {{0, 0}, -1};
    for (int first = 0; first < n_terms;) {
        CHECK_FOR_INTERRUPTS();
        const core::LinearModelView::Term term = view.term(first);
        int n = 1;
        if (term.level.data() != nullptr)
            while (first + n < n_terms && view.term(first + n).feature == term.feature) ++n;
        const double* recent = numbers + 3 * term.feature;
        if (left_out[term.feature]) {
            // a calendar moves on by itself
        } else if (term.level.data() != nullptr) {
            JsonbContainer* counts = level_counts(levels, term.feature);
            if (counts != nullptr)
                consider(&largest, compare_levels(view, &moments, first, n, term.feature, counts),
                         term.feature);
        } else if (recent[0] > 0 && std::isfinite(moments.spreads[first])) {
            consider(&largest,
                     core::normal_stability(
                         {view.n_rows(), moments.means[first], moments.spreads[first]},
                         {recent[0], recent[1], recent[2]}),
                     term.feature);
        }
        first += n;
    }
    return largest;
}

// Elements of a float8 array without NULLs, or nullptr; NULL counts as 0.
double* read_numbers(ArrayType* array, int expected) {
    Datum* elements;
    bool* nulls;
    int n = 0;
    deconstruct_array(array, FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &elements,
                      &nulls, &n);
    if (ARR_NDIM(array) > 1 || n != expected)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("numbers must have %d elements, not %d", expected, n)));
    auto* numbers = static_cast<double*>(palloc(sizeof(double) * static_cast<Size>(n + 1)));
    for (int i = 0; i < n; ++i) numbers[i] = nulls[i] ? 0 : DatumGetFloat8(elements[i]);
    return numbers;
}

// What a model's errors are compared with: of the holdout, else of cross-validation, else of the fit.
struct Reference {
    const char* name;
    double rmse;
    double n_rows;
};

// Both return the least error that is a measure for others: one of more than rounding.
double model_references(const core::LinearModelView& view, Reference* references) {
    const core::SplitMetrics holdout = view.holdout();
    const core::SplitMetrics cv = view.cv();
    references[0] = {"holdout", holdout.rmse, holdout.n_rows};
    references[1] = {"cv", cv.rmse, cv.n_rows};
    references[2] = {"fit", view.sigma(), view.df_residual()};
    return 1e-9 * std::sqrt(view.tss() / view.n_rows());
}

double forecast_references(const ModelBytes& bytes, Reference* references) {
    static const char* const names[] = {"holdout", "cv", "fit"};
    static const core::ForecastSplit splits[] = {
        core::ForecastSplit::holdout, core::ForecastSplit::cv, core::ForecastSplit::train};
    double mase = NAN;
    for (int i = 0; i < 3; ++i) {
        const core::SplitMetrics m = forecast_metrics(bytes, splits[i], &mase);
        references[i] = {names[i], m.rmse, m.n_rows};
    }
    return 1e-9 * forecast_spread(bytes);
}

}  // namespace

extern "C" {

PG_FUNCTION_INFO_V1(many_model_moments);
PG_FUNCTION_INFO_V1(many_model_reference);
PG_FUNCTION_INFO_V1(many_model_checksum);
PG_FUNCTION_INFO_V1(many_feature_shift);

// model, features text[] -> (term, mean, sd)
Datum many_model_moments(PG_FUNCTION_ARGS) {
    InitMaterializedSRF(fcinfo, 0);
    auto* result = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
    ModelBytes bytes;
    core::LinearModelView view;
    if (PG_ARGISNULL(0) || open_any_model(PG_GETARG_DATUM(0), &bytes, &view) != ModelKind::linear)
        return Datum(0);
    char** names =
        PG_ARGISNULL(1) ? nullptr : feature_names(PG_GETARG_ARRAYTYPE_P(1), view.n_features());
    const TermMoments moments = read_moments(view);
    for (int i = 0; i < view.n_terms(); ++i) {
        const double numbers[] = {moments.means[i], moments.spreads[i]};
        Datum values[3] = {PointerGetDatum(term_name(view, i, names))};
        bool nulls[3] = {};
        for (int j = 0; j < 2; ++j) {
            values[j + 1] = Float8GetDatum(numbers[j]);
            nulls[j + 1] = std::isnan(numbers[j]);
        }
        tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
    }
    return Datum(0);
}

// model -> (reference, rmse, n_rows): of the holdout, else of cross-validation, else of the fit
Datum many_model_reference(PG_FUNCTION_ARGS) {
    TupleDesc descriptor;
    if (get_call_result_type(fcinfo, nullptr, &descriptor) != TYPEFUNC_COMPOSITE ||
        descriptor->natts != 3)
        elog(ERROR, "model_reference: unexpected result type");
    Datum values[3] = {};
    bool nulls[3] = {true, true, true};
    ModelBytes bytes;
    core::LinearModelView view;
    Reference references[3];
    const ModelKind kind =
        PG_ARGISNULL(0) ? ModelKind::error : open_any_model(PG_GETARG_DATUM(0), &bytes, &view);
    if (kind != ModelKind::error) {
        const double least = kind == ModelKind::forecast ? forecast_references(bytes, references)
                                                         : model_references(view, references);
        for (const Reference& reference : references) {
            if (!(reference.n_rows > 0) || !std::isfinite(reference.rmse)) continue;
            values[0] = CStringGetTextDatum(reference.name);
            values[1] = Float8GetDatum(std::fmax(reference.rmse, least));
            values[2] = Int64GetDatum(static_cast<int64>(reference.n_rows));
            nulls[0] = nulls[1] = nulls[2] = false;
            break;
        }
    }
    PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), values, nulls)));
}

// The checksum in the head of a model; NULL for an error value.
Datum many_model_checksum(PG_FUNCTION_ARGS) {
    const auto* head = PG_DETOAST_DATUM_SLICE(PG_GETARG_DATUM(0), 0, 16);
    const char* bytes = VARDATA_ANY(head);
    uint32 checksum = 0;
    if (VARSIZE_ANY_EXHDR(head) < 16 ||
        (memcmp(bytes, "MMLM", 4) != 0 && memcmp(bytes, "MMFM", 4) != 0))
        PG_RETURN_NULL();
    memcpy(&checksum, bytes + 12, sizeof checksum);
    PG_RETURN_INT64(static_cast<int64>(checksum));
}

// model, features text[], left_out text[], numbers float8[], levels jsonb -> (psi, feature, noise)
Datum many_feature_shift(PG_FUNCTION_ARGS) {
    TupleDesc descriptor;
    if (get_call_result_type(fcinfo, nullptr, &descriptor) != TYPEFUNC_COMPOSITE ||
        descriptor->natts != 3)
        elog(ERROR, "feature_shift: unexpected result type");
    Datum values[3] = {};
    bool nulls[3] = {true, true, true};
    ModelBytes bytes;
    core::LinearModelView view;
    if (!PG_ARGISNULL(0) && !PG_ARGISNULL(1) && !PG_ARGISNULL(2) && !PG_ARGISNULL(3) &&
        open_any_model(PG_GETARG_DATUM(0), &bytes, &view) == ModelKind::linear) {
        const int n = view.n_features();
        char** names = feature_names(PG_GETARG_ARRAYTYPE_P(1), n);
        int n_left_out = 0;
        char** left_out_names =
            pg::text_array_to_strings(PG_GETARG_ARRAYTYPE_P(2), "left_out", &n_left_out);
        auto* left_out = static_cast<bool*>(palloc0(static_cast<Size>(n) + 1));
        for (int i = 0; i < n; ++i)
            for (int j = 0; j < n_left_out; ++j)
                left_out[i] |= strcmp(names[i], left_out_names[j]) == 0;
        const double* numbers = read_numbers(PG_GETARG_ARRAYTYPE_P(3), 3 * n);
        Jsonb* levels = PG_ARGISNULL(4) ? nullptr : PG_GETARG_JSONB_P(4);
        const Largest largest = compare_features(view, numbers, levels, left_out);
        if (largest.feature >= 0) {
            values[0] = Float8GetDatum(largest.value.index);
            values[1] = CStringGetTextDatum(names[largest.feature]);
            values[2] = Float8GetDatum(largest.value.noise);
            nulls[0] = nulls[1] = nulls[2] = false;
        }
    }
    PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), values, nulls)));
}

}  // extern "C"
