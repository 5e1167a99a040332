// predict_many and predict_many_interval: predictions of many rows, by arrays of keys and features, from
// one state of the registry.
#include "serving/predict_set.h"
#include "serving/score_reason.h"
#include "serving/score_value.h"

#include <cmath>
#include <cstring>

using namespace many;
using namespace many::serving;

namespace {

struct Rows {
    int n;
    Datum* keys;
    Datum* features;
    int now;  // for error messages; -1: none
};

Datum* elements_of(ArrayType* array, const char* name, int* n) {
    if (ARR_NDIM(array) > 1)
        ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
                        errmsg("%s must have one dimension", name)));
    Datum* elements;
    bool* nulls;
    deconstruct_array(array, JSONBOID, -1, false, TYPALIGN_INT, &elements, &nulls, n);
    for (int i = 0; i < *n; ++i)
        if (nulls[i])
            ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                            errmsg("element %d of %s is NULL", i + 1, name),
                            errhint("A missing value is a null within the object.")));
    return elements;
}

void read_rows(FunctionCallInfo fcinfo, Rows* rows) {
    int n_features;
    rows->keys = elements_of(PG_GETARG_ARRAYTYPE_P(1), "keys", &rows->n);
    rows->features = elements_of(PG_GETARG_ARRAYTYPE_P(2), "features", &n_features);
    rows->now = -1;
    if (rows->n != n_features)
        ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
                        errmsg("%d keys and %d features given", rows->n, n_features),
                        errhint("keys and features have one element for each prediction.")));
}

int read_version(FunctionCallInfo fcinfo, int argument) {
    if (PG_ARGISNULL(argument)) return 0;
    const int version = PG_GETARG_INT32(argument);
    if (version < 1)
        ereport(
            ERROR,
            (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
             errmsg("invalid value for version: %d", version),
             errhint("Versions count from 1; NULL is what is in production, then the latest.")));
    return version;
}

void name_element(void* argument) {
    const auto* rows = static_cast<const Rows*>(argument);
    if (rows->now >= 0) errcontext("element %d of keys and features", rows->now + 1);
}

// What becomes of each score.
struct Output {
    double level;        // 0: no interval
    Datum* predictions;  // of predict_many
    bool* nulls;
    ReturnSetInfo* result;  // of predict_many_interval
};

char* reason_of(const CachedRun* run, const core::Score& score) {
    const bool has_feature = score.feature < run->n_features;
    const core::FeatureValue* value = has_feature ? &run->values[score.feature] : nullptr;
    return score_reason(score.code, has_feature ? run->features[score.feature].name : "?",
                        value == nullptr || value->text == nullptr ? "" : value->text,
                        value == nullptr ? 0 : static_cast<int>(value->text_length));
}

void put_row(const Output* output, int i, const CachedModel* entry, const core::Score& score) {
    const bool has_model = entry->model_length > 0;
    const double numbers[] = {score.prediction, score.lower, score.upper};
    Datum values[7] = {Int64GetDatum(i + 1)};
    bool nulls[7] = {false, true, true, true, !has_model, false, true};
    for (int k = 0; k < 3 && is_usable(score.code); ++k) {
        values[k + 1] = Float8GetDatum(numbers[k]);
        nulls[k + 1] = std::isnan(numbers[k]);
    }
    values[4] = Int32GetDatum(entry->run->version);
    values[5] = CStringGetTextDatum(has_model ? "group" : "none");
    const char* reason = reason_of(entry->run, score);
    nulls[6] = reason == nullptr;
    if (reason != nullptr) values[6] = CStringGetTextDatum(reason);
    tuplestore_putvalues(output->result->setResult, output->result->setDesc, values, nulls);
}

void score_rows(const text* model_set, int version, Rows* rows, const Output* output) {
    const MemoryContext per_row = AllocSetContextCreate(
        CurrentMemoryContext, "many_models predictions", ALLOCSET_DEFAULT_SIZES);
    const MemoryContext old = MemoryContextSwitchTo(per_row);
    for (int i = 0; i < rows->n; ++i) {
        CHECK_FOR_INTERRUPTS();
        rows->now = i;
        CachedModel* entry = find_cached_model(model_set, DatumGetJsonbP(rows->keys[i]), version);
        if (output->level > 0 && entry->model_length > 0) set_cached_level(entry, output->level);
        const core::Score score = score_entry(entry, DatumGetJsonbP(rows->features[i]));
        if (output->result != nullptr) {
            put_row(output, i, entry, score);
        } else {
            output->nulls[i] = !is_usable(score.code);
            output->predictions[i] = Float8GetDatum(score.prediction);
        }
        MemoryContextReset(per_row);
    }
    rows->now = -1;
    MemoryContextSwitchTo(old);
    MemoryContextDelete(per_row);
}

void predict_rows(const text* model_set, int version, Rows* rows, const Output* output) {
    ErrorContextCallback context = {error_context_stack, name_element, rows};
    error_context_stack = &context;
    CacheBatch batch;
    begin_cache_batch(&batch);
    PG_TRY();
    { score_rows(model_set, version, rows, output); }
    PG_CATCH();
    {
        end_cache_batch(&batch, true);
        PG_RE_THROW();
    }
    PG_END_TRY();
    end_cache_batch(&batch, false);
    error_context_stack = context.previous;
}

bool has_null_argument(FunctionCallInfo fcinfo, int n) {
    for (int i = 0; i < n; ++i)
        if (PG_ARGISNULL(i)) return true;
    return false;
}

}  // namespace

extern "C" {

PG_FUNCTION_INFO_V1(many_predict_many);
PG_FUNCTION_INFO_V1(many_predict_many_interval);

// predict_many(model_set, keys, features, version)
Datum many_predict_many(PG_FUNCTION_ARGS) {
    if (has_null_argument(fcinfo, 3)) PG_RETURN_NULL();
    Rows rows;
    read_rows(fcinfo, &rows);
    const int version = read_version(fcinfo, 3);
    if (rows.n == 0) PG_RETURN_ARRAYTYPE_P(construct_empty_array(FLOAT8OID));
    const Size n = static_cast<Size>(rows.n);
    Output output = {};
    output.predictions = static_cast<Datum*>(palloc(sizeof(Datum) * n));
    output.nulls = static_cast<bool*>(palloc(n));
    predict_rows(PG_GETARG_TEXT_PP(0), version, &rows, &output);
    int dimensions[] = {rows.n};
    int lower_bounds[] = {1};
    PG_RETURN_ARRAYTYPE_P(construct_md_array(output.predictions, output.nulls, 1, dimensions,
                                             lower_bounds, FLOAT8OID, sizeof(float8),
                                             FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

// predict_many_interval(model_set, keys, features, level, version)
Datum many_predict_many_interval(PG_FUNCTION_ARGS) {
    InitMaterializedSRF(fcinfo, 0);
    if (has_null_argument(fcinfo, 4)) return Datum(0);
    Output output = {};
    output.level = PG_GETARG_FLOAT8(3);
    check_interval_level(output.level);
    Rows rows;
    read_rows(fcinfo, &rows);
    const int version = read_version(fcinfo, 4);
    output.result = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
    predict_rows(PG_GETARG_TEXT_PP(0), version, &rows, &output);
    return Datum(0);
}

}  // extern "C"
