// plot_forecast: the end of one group's series, from the source of its model, and the model's forecast
// behind it, as a picture.
//
// The source is read as the caller and guarded (pg/source.h): its text is that of whoever trained. Rows
// are put where they lie on the model's grid, one after the other: memory is that of one series.
// Times without a row stay gaps. Rows behind the end of the model's series are drawn beside the forecast.
#include "pg/arguments.h"
#include "pg/forecast_options.h"
#include "pg/read_query.h"
#include "pg/source.h"
#include "registry/registry.h"
#include "serving/forecast_call.h"
#include "serving/plot_call.h"
#include "serving/score_query_parts.h"

#include <algorithm>
#include <cmath>
#include <cstring>

using namespace many;
using namespace many::serving;

namespace {

enum Argument {
    kModelSet,
    kKey,
    kHorizon,
    kHistory,
    kFormat,
    kWidth,
    kHeight,
    kFeatures,
    kVersion
};

constexpr int kMostHistory = 100000;
constexpr int kLeastHistory = 30;
constexpr double kLevels[] = {0.95, 0.8};

// Where the series comes from: the run that made the model, or, when its version was dropped and the
// model is in production, the set's definition.
struct Definition {
    const char* model_set;
    const char* source;
    const char* target;
    const char* time_column;
    int n_keys;
    const char** keys;
    Oid* key_types;  // base types
};

// Rows of one observation, by the option duplicates.
struct Observation {
    double sum, largest;
    int64 n;
};

// `history` observations up to the end of the model's series, then `horizon` steps. What the model said
// of the history follows from the whole series: then more is read than is drawn.
struct Window {
    const core::ForecastModel* model;
    core::TimeZoneMap zone;
    int history, horizon;
    int read;  // observations read up to the end of the series, history or more
    Oid time_type;
    Observation* observations;  // read + horizon

    [[nodiscard]] int size() const { return history + horizon; }
    [[nodiscard]] bool reads_all() const { return read == model->n; }
};

ForecastHandle* call_handle(FunctionCallInfo fcinfo) {
    if (fcinfo->flinfo->fn_extra == nullptr)
        fcinfo->flinfo->fn_extra = make_forecast_handle(fcinfo->flinfo->fn_mcxt);
    return static_cast<ForecastHandle*>(fcinfo->flinfo->fn_extra);
}

double* gaps(int n) {
    auto* out = static_cast<double*>(palloc(sizeof(double) * static_cast<Size>(n)));
    for (int i = 0; i < n; ++i) out[i] = NAN;
    return out;
}

// --- Arguments ----------------------------------------------------------------------------------

void check_arguments(FunctionCallInfo fcinfo) {
    if (PG_ARGISNULL(kModelSet) || PG_ARGISNULL(kKey))
        ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                        errmsg("model_set and key must not be NULL")));
    if (!PG_ARGISNULL(kHorizon)) check_horizon(PG_GETARG_INT32(kHorizon));
    if (!PG_ARGISNULL(kHistory) &&
        (PG_GETARG_INT32(kHistory) < 1 || PG_GETARG_INT32(kHistory) > kMostHistory))
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("history must be from 1 to %d, not %d", kMostHistory,
                               PG_GETARG_INT32(kHistory)),
                        errhint("It counts the observations before the forecast.")));
    (void)pg::version_argument(fcinfo, kVersion);
}

// Four times the forecast, two seasons at least.
int default_history(const core::ForecastModel* model, int horizon) {
    int64 n = std::max<int64>(kLeastHistory, 4 * static_cast<int64>(horizon));
    for (const int season : model->season_lengths)
        n = std::max<int64>(n, 2 * static_cast<int64>(season));
    return static_cast<int>(std::min<int64>(n, kMostHistory));
}

// The names and types of the keys, which outlive the cache's entry.
void copy_keys(Definition* definition, const CachedModel* entry) {
    const Size n = static_cast<Size>(entry->set->n_keys) + 1;
    definition->n_keys = entry->set->n_keys;
    definition->keys = static_cast<const char**>(palloc(sizeof(char*) * n));
    definition->key_types = static_cast<Oid*>(palloc(sizeof(Oid) * n));
    for (int i = 0; i < definition->n_keys; ++i) {
        definition->keys[i] = pstrdup(entry->run->columns[i].name);
        definition->key_types[i] = entry->run->columns[i].base_type;
    }
}

void find_definition(Definition* definition, int version, const registry::ModelSet* set) {
    const registry::TrainingRun* run =
        registry::find_training_run_if_any(definition->model_set, version);
    definition->source = run != nullptr ? run->source : set->source;
    definition->target = run != nullptr ? run->target : set->target;
    definition->time_column = run != nullptr ? run->time_column : set->time_column;
}

// --- The source ---------------------------------------------------------------------------------

const char* literal(const char* text, Oid type) {
    return psprintf("%s::%s", quote_literal_cstr(text), qualified_type(type));
}

// Raises 42804 when the column has not the kind of times that the model's series had.
Oid checked_time_type(const pg::Source* source, const char* name, core::TimeType expected) {
    const Oid type =
        getBaseType(required_column(source, name, "the time column of the models")->atttypid);
    bool is_time = pg::time_type_of(type) == expected;
    if (expected == core::TimeType::integer)
        is_time = type == INT2OID || type == INT4OID || type == INT8OID;
    if (!is_time)
        ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                        errmsg("time column \"%s\" has type %s, with which the models were not "
                               "trained",
                               name, format_type_be(type)),
                        errhint("Train the set again, or change the column back.")));
    return type;
}

void append_key_condition(StringInfo query, const pg::Source* source, const Definition* definition,
                          int i, Jsonb* key) {
    const char* name = definition->keys[i];
    const Form_pg_attribute column = required_column(source, name, "a partition column");
    const Oid type = definition->key_types[i];
    JsonbValue space;
    const JsonbValue* value =
        getKeyJsonValueFromContainer(&key->root, name, static_cast<int>(strlen(name)), &space);
    if (value == nullptr || value->type == jbvNull) {
        appendStringInfo(query, " AND s.%s IS NULL", quote_identifier(name));
        return;
    }
    const char* text = JsonbToCString(nullptr, &key->root, static_cast<int>(VARSIZE(key)));
    appendStringInfo(query, " AND s.%s %s %s", quote_identifier(name),
                     equality_operator(name, getBaseType(column->atttypid), type),
                     registry::key_value_sql(literal(text, JSONBOID), name, type));
}

// The rows of the window: time, target.
const char* window_query(Window* window, const Definition* definition, Jsonb* key, int64 from) {
    const pg::Source* source =
        pg::describe_source(definition->source, "the source of the model set");
    StringInfoData query;
    initStringInfo(&query);
    (void)required_column(source, definition->target, "the target");
    window->time_type =
        checked_time_type(source, definition->time_column, window->model->grid.type);
    const char* time = quote_identifier(definition->time_column);
    appendStringInfo(&query,
                     "SELECT s.%s, many_models.number_of(s.%s) FROM %s AS s WHERE s.%s "
                     "OPERATOR(pg_catalog.>=) %s",
                     time, quote_identifier(definition->target), source->from_clause, time,
                     literal(iso_time(window->model->grid.type, from), window->time_type));
    for (int i = 0; i < definition->n_keys; ++i)
        append_key_condition(&query, source, definition, i, key);
    return query.data;
}

void take_row(TupleTableSlot* slot, void* argument) {
    auto* window = static_cast<Window*>(argument);
    if (slot->tts_isnull[0] || slot->tts_isnull[1]) return;
    const double value = DatumGetFloat8(slot->tts_values[1]);
    int64 index = 0;
    if (!std::isfinite(value) ||
        !core::index_of(window->model->grid,
                        pg::time_number(window->time_type, slot->tts_values[0]), window->zone,
                        index))
        return;
    const int64 first = window->model->n - window->read;
    if (index < first || index - first >= window->read + window->horizon) return;
    Observation* o = &window->observations[index - first];
    o->sum += value;
    o->largest = o->n == 0 ? value : std::max(o->largest, value);
    o->n++;
}

core::DuplicatePolicy duplicate_policy(const char* options) {
    JsonbValue space;
    if (options == nullptr) return core::DuplicatePolicy::error;
    Jsonb* object = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(options)));
    const JsonbValue* value = getKeyJsonValueFromContainer(&object->root, "duplicates", 10, &space);
    const auto is = [value](const char* word) {
        return value->val.string.len == static_cast<int>(strlen(word)) &&
               memcmp(value->val.string.val, word, strlen(word)) == 0;
    };
    if (value == nullptr || value->type != jbvString) return core::DuplicatePolicy::error;
    if (is("sum")) return core::DuplicatePolicy::sum;
    if (is("last")) return core::DuplicatePolicy::last;
    return core::DuplicatePolicy::mean;
}

double observed(const Observation& o, core::DuplicatePolicy duplicates) {
    if (o.n == 0) return NAN;
    if (duplicates == core::DuplicatePolicy::sum) return o.sum;
    if (duplicates == core::DuplicatePolicy::last) return o.largest;
    return o.sum / static_cast<double>(o.n);
}

// --- The text -----------------------------------------------------------------------------------

// "demand: product 22423, country UK"
char* plot_title(const Definition* definition, Jsonb* key) {
    StringInfoData title;
    initStringInfo(&title);
    appendStringInfoString(&title, definition->model_set);
    for (int i = 0; i < definition->n_keys; ++i) {
        const char* name = definition->keys[i];
        JsonbValue space;
        JsonbValue* value =
            getKeyJsonValueFromContainer(&key->root, name, static_cast<int>(strlen(name)), &space);
        appendStringInfo(&title, "%s%s ", i == 0 ? ": " : ", ", name);
        if (value == nullptr || value->type == jbvNull)
            appendStringInfoString(&title, "NULL");
        else if (value->type == jbvString)
            appendBinaryStringInfo(&title, value->val.string.val, value->val.string.len);
        else if (value->type == jbvBool)
            appendStringInfoString(&title, value->val.boolean ? "true" : "false");
        else if (value->type == jbvNumeric)
            appendStringInfoString(&title, DatumGetCString(DirectFunctionCall1(
                                               numeric_out, NumericGetDatum(value->val.numeric))));
    }
    return title.data;
}

// Cuts `tail` off all texts when all end so.
void cut_common_end(char** texts, int n, const char* tail) {
    const Size length = strlen(tail);
    for (int i = 0; i < n; ++i) {
        const Size have = strlen(texts[i]);
        if (have <= length || strcmp(texts[i] + have - length, tail) != 0) return;
    }
    for (int i = 0; i < n; ++i) texts[i][strlen(texts[i]) - length] = '\0';
}

// Times by the clock of the model's zone, without what they have in common.
char** time_labels(const Window* window, const ForecastHandle* handle) {
    const int n = window->size();
    auto** labels = static_cast<char**>(palloc(sizeof(char*) * static_cast<Size>(n)));
    const bool zoned = window->model->grid.type == core::TimeType::timestamptz;
    for (int i = 0; i < n; ++i) {
        int64 time = forecast_time(handle, i + 1 - window->history);
        if (zoned && window->zone.to_local != nullptr)
            time = window->zone.to_local(window->zone.zone, time);
        labels[i] = iso_time(zoned ? core::TimeType::timestamp : window->model->grid.type, time);
    }
    if (window->model->grid.type == core::TimeType::timestamp || zoned) {
        cut_common_end(labels, n, ":00");
        cut_common_end(labels, n, " 00:00");
    }
    return labels;
}

// --- The picture --------------------------------------------------------------------------------

void draw_forecast(Plot* plot, const Window* window, ForecastHandle* handle,
                   const FutureRows* future) {
    double* mean = gaps(plot->n);
    bool has_mean = false;
    for (const double level : kLevels) {
        ForecastRows rows = {};
        double* lower = gaps(plot->n);
        double* upper = gaps(plot->n);
        bool has_band = false;
        const ForecastSpread spread = {level, 0, nullptr};
        const int n = forecast_steps(handle, window->model, window->horizon, spread, future, &rows);
        for (int i = 0; i < n; ++i) {
            const int at = window->history + i;
            mean[at] = rows.mean[i];
            lower[at] = rows.lower[i];
            upper[at] = rows.upper[i];
            has_mean = has_mean || std::isfinite(mean[at]);
            has_band = has_band || std::isfinite(lower[at]);
        }
        if (!has_band) continue;
        plot->levels[plot->n_bands] = level;
        plot->lower[plot->n_bands] = lower;
        plot->upper[plot->n_bands] = upper;
        plot->n_bands++;
    }
    if (has_mean) plot->mean = mean;
}

void draw_actuals(Plot* plot, const Window* window, core::DuplicatePolicy duplicates) {
    double* actual = gaps(plot->n);
    const Observation* first = window->observations + (window->read - window->history);
    for (int i = 0; i < plot->n; ++i) actual[i] = observed(first[i], duplicates);
    plot->actual = actual;
}

// Of a whole series without gaps: how gaps were filled the model does not say.
void draw_fitted(Plot* plot, const Window* window, ForecastHandle* handle,
                 core::DuplicatePolicy duplicates) {
    if (!window->reads_all()) return;
    const Size n = static_cast<Size>(window->read);
    auto* y = static_cast<double*>(palloc(sizeof(double) * n));
    auto* all = static_cast<double*>(palloc(sizeof(double) * n));
    for (Size i = 0; i < n; ++i) {
        y[i] = observed(window->observations[i], duplicates);
        if (std::isnan(y[i])) return;
    }
    if (!make_fitted(handle, y, all)) return;
    double* fitted = gaps(plot->n);
    bool any = false;
    for (int i = 0; i < window->history; ++i) {
        fitted[i] = all[window->read - window->history + i];
        any = any || std::isfinite(fitted[i]);
    }
    if (any) plot->fitted = fitted;
}

}  // namespace

extern "C" {

PG_FUNCTION_INFO_V1(many_plot_forecast);

// plot_forecast(model_set, key, horizon, history, format, width, height, features, version)
Datum many_plot_forecast(PG_FUNCTION_ARGS) {
    check_arguments(fcinfo);
    Plot plot = {};
    plot.format =
        plot_format(PG_ARGISNULL(kFormat) ? nullptr : text_to_cstring(PG_GETARG_TEXT_PP(kFormat)));
    plot.width = PG_ARGISNULL(kWidth) ? plot_width(plot.format) : PG_GETARG_INT32(kWidth);
    plot.height = PG_ARGISNULL(kHeight) ? plot_height(plot.format) : PG_GETARG_INT32(kHeight);
    const char* name = text_to_cstring(PG_GETARG_TEXT_PP(kModelSet));
    Jsonb* key = PG_GETARG_JSONB_P(kKey);
    ForecastHandle* handle = call_handle(fcinfo);
    CachedModel* entry = find_cached_model(PG_GETARG_TEXT_PP(kModelSet), key,
                                           PG_ARGISNULL(kVersion) ? 0 : PG_GETARG_INT32(kVersion));
    if (entry->model_length == 0) PG_RETURN_NULL();
    if (!core::is_forecast_model(entry->model(), entry->model_length))
        ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
                        errmsg("model set \"%s\" does not forecast", name),
                        errhint("Use plot_series, with predictions beside actual values.")));
    Window window = {};
    window.model = decode_forecast(handle, entry->model(), entry->model_length);
    if (window.model->n_features != entry->run->n_features)
        ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("damaged model value")));
    window.zone = forecast_zone(handle);
    window.horizon =
        PG_ARGISNULL(kHorizon) ? forecast_default_horizon(handle) : PG_GETARG_INT32(kHorizon);
    window.history = static_cast<int>(
        std::min<int64>(PG_ARGISNULL(kHistory) ? default_history(window.model, window.horizon)
                                               : PG_GETARG_INT32(kHistory),
                        window.model->n));
    plot.n = window.size();
    window.read = window.model->n <= kMostHistory && window.model->n_filled == 0 &&
                          window.model->n_features == 0
                      ? static_cast<int>(window.model->n)
                      : window.history;
    window.observations = static_cast<Observation*>(
        palloc0(sizeof(Observation) * (static_cast<Size>(window.read) + window.horizon)));
    FutureRows future = {};
    if (window.model->n_features > 0 && !PG_ARGISNULL(kFeatures))
        features_by_step(entry->run, PG_GETARG_JSONB_P(kFeatures), handle, window.horizon, &future);
    // The entry is not used from here on: functions of the source may call predict.
    const int version = entry->run->version;
    Definition definition = {};
    definition.model_set = name;
    copy_keys(&definition, entry);
    draw_forecast(&plot, &window, handle, &future);
    plot.labels = time_labels(&window, handle);
    const MemoryContext outer = CurrentMemoryContext;
    if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
    const registry::ModelSet* set = registry::find_model_set(name, false);
    if (set == nullptr)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                        errmsg("model set \"%s\" does not exist", name)));
    find_definition(&definition, version, set);
    const core::DuplicatePolicy duplicates = duplicate_policy(set->options);
    const int64 from = forecast_time(handle, 1 - window.read);
    (void)pg::run_read_query(window_query(&window, &definition, key, from), 1, take_row, &window);
    MemoryContextSwitchTo(outer);
    draw_actuals(&plot, &window, duplicates);
    draw_fitted(&plot, &window, handle, duplicates);
    plot.title = plot_utf8(plot_title(&definition, key));
    for (int i = 0; i < plot.n; ++i) plot.labels[i] = plot_utf8(plot.labels[i]);
    SPI_finish();
    MemoryContextSwitchTo(outer);
    PG_RETURN_TEXT_P(draw_plot(&plot));
}

}  // extern "C"
