// predict and predict_interval by model set: one row, from JSON, with the session's model cache.
#include "serving/predict_set.h"

#include "core/forecasters/forecast_model.h"
#include "pg/learner_options.h"
#include "serving/model_value.h"
#include "serving/score_value.h"
#include "wall/wall.h"

#include <cmath>
#include <cstring>

using namespace many;
using namespace many::serving;

namespace {

char* feature_list(const CachedRun* run) {
    StringInfoData list;
    initStringInfo(&list);
    for (int i = 0; i < run->n_features; ++i)
        appendStringInfo(&list, "%s\"%s\"", i == 0 ? "" : ", ", run->features[i].name);
    return list.data;
}

[[noreturn]] void raise_missing(const CachedRun* run, const CachedFeature* feature) {
    ereport(
        ERROR,
        (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("features has no \"%s\"", feature->name),
         errhint("The features are %s; null stands for a missing value.", feature_list(run))));
    pg_unreachable();
}

[[noreturn]] void raise_kind(const CachedFeature* feature, const JsonbValue* value) {
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("invalid value for feature \"%s\" of type %s: %s", feature->name,
                           format_type_be(feature->type), pg::jsonb_value_text(value))));
    pg_unreachable();
}

double parse_number(const CachedFeature* feature, const JsonbValue* value) {
    if (value->type != jbvString) raise_kind(feature, value);
    char* text = pnstrdup(value->val.string.val, value->val.string.len);
    return pg::feature_number(
        &feature->reader, OidInputFunctionCall(feature->input, text, feature->input_parameter, -1));
}

double number_of(const CachedFeature* feature, const JsonbValue* value) {
    switch (feature->reader.type) {
        case BOOLOID:
            if (value->type == jbvBool) return value->val.boolean ? 1 : 0;
            return parse_number(feature, value);
        case DATEOID:
        case TIMESTAMPOID:
        case TIMESTAMPTZOID:
            return parse_number(feature, value);
        default:
            if (value->type != jbvNumeric) return parse_number(feature, value);
    }
    const double number = pg::numeric_number(NumericGetDatum(value->val.numeric));
    return feature->reader.type == FLOAT4OID ? static_cast<double>(static_cast<float>(number))
                                             : number;
}

// A feature's value from the object; the text of a level points into the object.
void read_feature(const CachedRun* run, int i, Jsonb* features) {
    const CachedFeature* feature = &run->features[i];
    core::FeatureValue* to = &run->values[i];
    JsonbValue space;
    const JsonbValue* value =
        getKeyJsonValueFromContainer(&features->root, feature->name, feature->name_length, &space);
    if (value == nullptr) raise_missing(run, feature);
    *to = core::FeatureValue{};
    if (value->type == jbvNull) {
        to->is_null = true;
    } else if (feature->reader.kind == pg::FeatureKind::number) {
        to->number = number_of(feature, value);
    } else {
        if (value->type != jbvString) raise_kind(feature, value);
        to->text = value->val.string.val;
        to->text_length = static_cast<uint32>(value->val.string.len);
        if (feature->reader.type == BPCHAROID)
            while (to->text_length > 0 && to->text[to->text_length - 1] == ' ') --to->text_length;
    }
}

TupleDesc interval_type(FunctionCallInfo fcinfo) {
    auto* type = static_cast<TupleDesc>(fcinfo->flinfo->fn_extra);
    if (type != nullptr) return type;
    const MemoryContext old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
    if (get_call_result_type(fcinfo, nullptr, &type) != TYPEFUNC_COMPOSITE)
        elog(ERROR, "return type must be a row type");
    type = BlessTupleDesc(type);
    MemoryContextSwitchTo(old);
    fcinfo->flinfo->fn_extra = type;
    return type;
}

}  // namespace

namespace many::serving {

void read_features(const CachedRun* run, Jsonb* features) {
    if (!JB_ROOT_IS_OBJECT(features))
        ereport(ERROR,
                (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("features must be a JSON object"),
                 errhint("The features are %s.", feature_list(run))));
    for (int i = 0; i < run->n_features; ++i) read_feature(run, i, features);
}

core::Score score_entry(CachedModel* entry, Jsonb* features) {
    const CachedRun* run = entry->run;
    if (entry->model_length > 0 && core::is_forecast_model(entry->model(), entry->model_length))
        raise_forecaster();
    read_features(run, features);
    core::Score score;
    score.code = core::ScoreCode::no_model;
    if (entry->model_length == 0) return score;
    bool opened = true;
    wall::WallError error;
    if (!wall::across_wall(&error, [&] {
            core::LinearModelView view;
            opened = core::LinearModelView::try_open(entry->model(), entry->model_length, &view) &&
                     view.n_features() == run->n_features;
            if (opened) score = view.score(run->values);
        }))
        wall::raise_wall_error(&error);
    if (!opened) ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("damaged model value")));
    return score;
}

void check_interval_level(double level) {
    if (!(level > 0 && level < 1))
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("invalid value for level: %g", level),
                        errhint("The level is between 0 and 1, for example 0.95.")));
}

}  // namespace many::serving

extern "C" {

PG_FUNCTION_INFO_V1(many_predict_set);
PG_FUNCTION_INFO_V1(many_predict_interval_set);

Datum many_predict_set(PG_FUNCTION_ARGS) {
    CachedModel* entry = find_cached_model(PG_GETARG_TEXT_PP(0), PG_GETARG_JSONB_P(1));
    const core::Score score = score_entry(entry, PG_GETARG_JSONB_P(2));
    if (!is_usable(score.code)) PG_RETURN_NULL();
    PG_RETURN_FLOAT8(score.prediction);
}

Datum many_predict_interval_set(PG_FUNCTION_ARGS) {
    const double level = PG_GETARG_FLOAT8(3);
    check_interval_level(level);
    TupleDesc type = interval_type(fcinfo);
    CachedModel* entry = find_cached_model(PG_GETARG_TEXT_PP(0), PG_GETARG_JSONB_P(1));
    const bool has_model = entry->model_length > 0;
    if (has_model) set_cached_level(entry, level);
    const core::Score score = score_entry(entry, PG_GETARG_JSONB_P(2));
    const double numbers[] = {score.prediction, score.lower, score.upper};
    Datum values[5] = {};
    bool nulls[5] = {true, true, true, true, false};
    for (int i = 0; i < 3 && is_usable(score.code); ++i) {
        values[i] = Float8GetDatum(numbers[i]);
        nulls[i] = std::isnan(numbers[i]);
    }
    values[3] = Int32GetDatum(entry->run->version);
    nulls[3] = !has_model;
    values[4] = CStringGetTextDatum(has_model ? "group" : "none");
    PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(type, values, nulls)));
}

}  // extern "C"
