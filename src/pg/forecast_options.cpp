// Options of the forecasters: see forecast_options.h. Plain C++ without destructors: every function
// here may raise.
#include "pg/forecast_options.h"

#include <cmath>

extern "C" {
#include "common/int.h"
}

namespace many::pg {

namespace {

using core::ForecastMethod;

constexpr uint64 bit(ForecastMethod method) {
    return UINT64CONST(1) << static_cast<int>(method);
}

constexpr uint64 kCandidates = bit(ForecastMethod::auto_forecast) | bit(ForecastMethod::ensemble);
constexpr uint64 kSmoothing = bit(ForecastMethod::ses) | bit(ForecastMethod::holt) |
                              bit(ForecastMethod::damped_holt) | bit(ForecastMethod::holt_winters) |
                              bit(ForecastMethod::ets);
constexpr uint64 kTrend = bit(ForecastMethod::holt) | bit(ForecastMethod::damped_holt) |
                          bit(ForecastMethod::holt_winters) | bit(ForecastMethod::ets);
constexpr uint64 kThetas = bit(ForecastMethod::theta) | bit(ForecastMethod::optimised_theta) |
                           bit(ForecastMethod::dynamic_theta);
constexpr uint64 kDemands =
    bit(ForecastMethod::croston) | bit(ForecastMethod::sba) | bit(ForecastMethod::tsb);
constexpr uint64 kArima = bit(ForecastMethod::arima);
constexpr uint64 kAuto = bit(ForecastMethod::autoregression);
constexpr uint64 kEts = bit(ForecastMethod::ets);

// Options of one method, and of which.
struct MethodOption {
    const char* key;
    uint64 methods;
};
constexpr MethodOption kMethodOptions[] = {
    {"window", bit(ForecastMethod::window_average) | bit(ForecastMethod::seasonal_window_average)},
    {"alpha", kSmoothing | kThetas | kDemands | bit(ForecastMethod::adida)},
    {"beta", kTrend | kDemands},
    {"gamma", bit(ForecastMethod::holt_winters) | kEts},
    {"phi", bit(ForecastMethod::damped_holt) | kEts},
    {"form", kEts},
    {"start", kSmoothing},
    {"season", bit(ForecastMethod::holt_winters)},
    {"additive_only", kEts},
    {"multiplicative_trend", kEts},
    {"optimise", kDemands},
    {"aggregation", bit(ForecastMethod::adida) | bit(ForecastMethod::imapa)},
    {"order", kArima},
    {"seasonal_order", kArima},
    {"constant", kArima},
    {"max_p", kArima},
    {"max_q", kArima},
    {"max_seasonal_p", kArima},
    {"max_seasonal_q", kArima},
    {"d", kArima},
    {"seasonal_d", kArima},
    {"seasonal", kArima | kAuto | kThetas},
    {"lags", kAuto},
    {"calendar", kArima | kAuto},
    {"candidates", kCandidates},
    {"combine", bit(ForecastMethod::ensemble)},
};

// Of every forecaster; then those of every run, which are read elsewhere.
constexpr const char* kSharedKeys[] = {
    "frequency", "season_length", "fill",     "duplicates",  "trim_leading_zeros",
    "time_zone", "horizon",       "interval", "lower_bound", "upper_bound",
    "round",     "step_down",     "backtest", "cv_folds",    "min_rows",
    "seed",      "refresh",
};
constexpr const char* kRunKeys =
    "holdout, null_policy, max_failed_fraction, seconds_per_group, group_options";

bool is_shared_key(const char* key) {
    for (const char* shared : kSharedKeys)
        if (strcmp(shared, key) == 0) return true;
    return false;
}

bool takes(ForecastMethod method, const char* key) {
    for (const MethodOption& option : kMethodOptions)
        if (strcmp(option.key, key) == 0) return (option.methods & bit(method)) != 0;
    return false;
}

bool is_word(const JsonbValue* value, const char* word) {
    return value->type == jbvString && value->val.string.len == (int)strlen(word) &&
           strncmp(value->val.string.val, word, strlen(word)) == 0;
}

// Index of a string among `words`, n of them; raises with `valid` when there is none.
int choose_word(const char* key, const JsonbValue* value, const char* const* words, int n,
                const char* valid) {
    for (int i = 0; i < n; i++)
        if (is_word(value, words[i])) return i;
    raise_option_value(key, value, valid);
}

// Reads an array of whole numbers, or a number alone where `alone`; returns their count.
int whole_numbers(const char* key, const JsonbValue* value, bool alone, int low, int high, int most,
                  int* to, const char* valid) {
    int n = 0;
    JsonbValue element;
    if (alone && value->type == jbvNumeric) {
        to[0] = (int)option_int64(key, value, low, high, valid);
        return 1;
    }
    if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
        raise_option_value(key, value, valid);
    JsonbIterator* iterator = JsonbIteratorInit(value->val.binary.data);
    (void)JsonbIteratorNext(&iterator, &element, false);
    for (;;) {
        const JsonbIteratorToken token = JsonbIteratorNext(&iterator, &element, true);
        if (token == WJB_DONE) break;
        if (token != WJB_ELEM) continue;
        if (n == most) raise_option_value(key, value, valid);
        to[n++] = (int)option_int64(key, &element, low, high, valid);
    }
    return n;
}

void set_orders(core::MethodSpec* method, const char* key, const JsonbValue* value) {
    int orders[3];
    static const char* const valid = "three whole numbers from 0 to 20, such as [1, 1, 1]";
    if (whole_numbers(key, value, false, 0, 20, 3, orders, valid) != 3)
        raise_option_value(key, value, valid);
    method->has_order = true;
    if (strcmp(key, "order") == 0) {
        method->order.p = orders[0];
        method->order.d = orders[1];
        method->order.q = orders[2];
    } else {
        method->order.P = orders[0];
        method->order.D = orders[1];
        method->order.Q = orders[2];
    }
}

void set_form(core::MethodSpec* method, const JsonbValue* value) {
    static const char* const valid =
        "error, trend and season, such as \"AAA\", \"MAdM\" or \"ANN\"";
    if (value->type != jbvString) raise_option_value("form", value, valid);
    const std::string_view name(value->val.string.val, (size_t)value->val.string.len);
    if (!core::EtsForm::parse(name, method->form)) raise_option_value("form", value, valid);
    method->has_form = true;
}

int* search_bound(core::MethodSpec* m, const char* key) {
    if (strcmp(key, "max_p") == 0) return &m->max_p;
    if (strcmp(key, "max_q") == 0) return &m->max_q;
    if (strcmp(key, "max_seasonal_p") == 0) return &m->max_seasonal_p;
    if (strcmp(key, "max_seasonal_q") == 0) return &m->max_seasonal_q;
    if (strcmp(key, "d") == 0) return &m->d;
    if (strcmp(key, "seasonal_d") == 0) return &m->seasonal_d;
    return nullptr;
}

double* smoothing_parameter(core::MethodSpec* m, const char* key) {
    if (strcmp(key, "alpha") == 0) return &m->alpha;
    if (strcmp(key, "beta") == 0) return &m->beta;
    if (strcmp(key, "gamma") == 0) return &m->gamma;
    if (strcmp(key, "phi") == 0) return &m->phi;
    return nullptr;
}

bool* method_flag(core::MethodSpec* m, const char* key) {
    if (strcmp(key, "additive_only") == 0) return &m->additive_only;
    if (strcmp(key, "multiplicative_trend") == 0) return &m->multiplicative_trend;
    if (strcmp(key, "optimise") == 0) return &m->optimise;
    if (strcmp(key, "constant") == 0) return &m->constant;
    if (strcmp(key, "seasonal") == 0) return &m->seasonal;
    if (strcmp(key, "calendar") == 0) return &m->calendar;
    return nullptr;
}

// An option of one method; false when the method has no such option.
bool set_method_option(core::MethodSpec* m, const char* key, const JsonbValue* value) {
    if (!takes(m->method, key)) return false;
    if (double* parameter = smoothing_parameter(m, key)) {
        *parameter = option_float8(key, value, 0, 1, "a number from 0 to 1");
    } else if (bool* flag = method_flag(m, key)) {
        *flag = option_bool(key, value);
    } else if (int* bound = search_bound(m, key)) {
        *bound = (int)option_int64(key, value, 0, 20, "a whole number from 0 to 20");
    } else if (strcmp(key, "window") == 0) {
        m->window = (int)option_int64(key, value, 1, 100000, "a whole number of at least 1");
    } else if (strcmp(key, "aggregation") == 0) {
        m->aggregation = (int)option_int64(key, value, 1, 10000, "a whole number of at least 1");
    } else if (strcmp(key, "lags") == 0) {
        m->n_lags = (int)option_int64(key, value, 1, 400, "a whole number from 1 to 400");
    } else if (strcmp(key, "form") == 0) {
        set_form(m, value);
    } else if (strcmp(key, "start") == 0) {
        static const char* const words[] = {"optimal", "heuristic", "textbook"};
        m->start = (core::EtsOptions::Start)choose_word(
            key, value, words, 3, "\"optimal\", \"heuristic\" or \"textbook\"");
    } else if (strcmp(key, "season") == 0) {
        static const char* const words[] = {"additive", "multiplicative"};
        m->multiplicative_season =
            choose_word(key, value, words, 2, "\"additive\" or \"multiplicative\"") == 1;
    } else {
        set_orders(m, key, value);
    }
    return true;
}

const char* method_keys(ForecastMethod method) {
    StringInfoData keys;
    initStringInfo(&keys);
    for (const MethodOption& option : kMethodOptions)
        if ((option.methods & bit(method)) != 0)
            appendStringInfo(&keys, "%s%s", keys.len > 0 ? ", " : "", option.key);
    return keys.data;
}

// An option that the method has not: of others, or of none.
[[noreturn]] void raise_not_taken(const char* shown, const char* key, ForecastMethod method,
                                  const char* valid) {
    StringInfoData owners;
    initStringInfo(&owners);
    for (int i = 1; i < 64; i++) {
        const auto other = (ForecastMethod)i;
        if (strcmp(core::method_name(other), "unknown") != 0 && takes(other, key))
            appendStringInfo(&owners, "%s%s", owners.len > 0 ? ", " : "", core::method_name(other));
    }
    if (owners.len == 0) raise_unknown_option(shown, valid);
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("option \"%s\" does not go with algorithm \"%s\"", shown,
                           core::method_name(method)),
                    errdetail("It is an option of %s.", owners.data),
                    errhint("Valid options are %s.", valid)));
    pg_unreachable();
}

const char* candidate_list() {
    StringInfoData list;
    initStringInfo(&list);
    for (int i = 1; i < 64; i++) {
        const auto method = (ForecastMethod)i;
        const char* name = core::method_name(method);
        if (strcmp(name, "unknown") != 0 && (bit(method) & kCandidates) == 0)
            appendStringInfo(&list, "%s%s", list.len > 0 ? ", " : "one of ", name);
    }
    return list.data;
}

// "ets", or {"algorithm": "ets", "form": "AAA"}.
void read_candidate(core::MethodSpec* to, const JsonbValue* value) {
    static const char* const valid =
        "names of forecasters, or objects such as {\"algorithm\": \"ets\", \"form\": \"AAA\"}";
    JsonbValue item = *value;
    Jsonb* object = nullptr;
    if (value->type == jbvBinary && JsonContainerIsObject(value->val.binary.data)) {
        object = JsonbValueToJsonb((JsonbValue*)value);
        JsonbValue* name = getKeyJsonValueFromContainer(&object->root, "algorithm", 9, nullptr);
        if (name == nullptr) raise_option_value("candidates", value, valid);
        item = *name;
    }
    if (item.type != jbvString) raise_option_value("candidates", value, valid);
    *to = core::MethodSpec();
    const std::string_view name(item.val.string.val, (size_t)item.val.string.len);
    if (!core::method_from_name(name, to->method) || (bit(to->method) & kCandidates) != 0)
        raise_option_value("candidates", &item, candidate_list());
    if (object == nullptr) return;
    char* key;
    OptionScan scan;
    option_scan_begin(&scan, object, "candidates");
    while (option_scan_next(&scan, &key, &item)) {
        if (strcmp(key, "algorithm") == 0 || item.type == jbvNull) continue;
        if (!set_method_option(to, key, &item))
            raise_not_taken(psprintf("candidates.%s", key), key, to->method,
                            method_keys(to->method));
    }
}

void read_candidates(core::ForecastSpec* spec, const JsonbValue* value) {
    static const char* const valid = "an array of 1 to 12 forecasters";
    JsonbValue element;
    if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
        raise_option_value("candidates", value, valid);
    spec->n_candidates = 0;
    JsonbIterator* iterator = JsonbIteratorInit(value->val.binary.data);
    (void)JsonbIteratorNext(&iterator, &element, false);
    for (;;) {
        const JsonbIteratorToken token = JsonbIteratorNext(&iterator, &element, true);
        if (token == WJB_DONE) break;
        if (token != WJB_ELEM) continue;
        if (spec->n_candidates == core::kMaxCandidates)
            raise_option_value("candidates", value, valid);
        read_candidate(&spec->candidates[spec->n_candidates++], &element);
    }
    if (spec->n_candidates == 0) raise_option_value("candidates", value, valid);
}

void read_backtest(ForecastOptions* options, const JsonbValue* value) {
    static const char* const valid =
        "an object such as {\"folds\": 3, \"horizon\": 12, \"gap\": 0, \"step\": 12, \"window\": "
        "0}";
    if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
        raise_option_value("backtest", value, valid);
    core::BacktestSpec* backtest = &options->spec.backtest;
    char* key;
    JsonbValue item;
    OptionScan scan;
    option_scan_begin(&scan, JsonbValueToJsonb((JsonbValue*)value), "backtest");
    while (option_scan_next(&scan, &key, &item)) {
        static const char* const whole = "a whole number of at least 0";
        const char* name = psprintf("backtest.%s", key);
        if (strcmp(key, "folds") == 0) {
            backtest->folds = (int)option_int64(name, &item, 1, core::kMaxBacktestFolds,
                                                "a whole number from 1 to 100");
        } else if (strcmp(key, "horizon") == 0) {
            backtest->horizon = (int)option_int64(name, &item, 1, core::kMaxHorizon,
                                                  "a whole number of at least 1");
        } else if (strcmp(key, "gap") == 0) {
            backtest->gap = (int)option_int64(name, &item, 0, core::kMaxHorizon, whole);
        } else if (strcmp(key, "step") == 0) {
            backtest->step = (int)option_int64(name, &item, 1, core::kMaxHorizon, whole);
        } else if (strcmp(key, "window") == 0) {
            backtest->window = (int)option_int64(name, &item, 0, 10000000, whole);
        } else {
            raise_unknown_option(name, "folds, horizon, gap, step, window");
        }
    }
}

bool set_series_option(ForecastOptions* options, const char* key, const JsonbValue* value) {
    core::ForecastSpec* spec = &options->spec;
    if (strcmp(key, "frequency") == 0) {
        options->frequency =
            value->type == jbvNumeric
                ? DatumGetCString(
                      DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)))
                : option_string(key, value,
                                "\"day\", \"week\", \"month\", an interval, or, for an integer "
                                "time column, a whole number");
    } else if (strcmp(key, "season_length") == 0) {
        spec->n_season_lengths =
            whole_numbers(key, value, true, 1, 100000, core::kMaxSeasons, spec->season_lengths,
                          "a whole number of at least 1 (1: no season), or up to 4 of them");
    } else if (strcmp(key, "fill") == 0) {
        static const char* const words[] = {"error", "null", "zero", "forward", "interpolate"};
        spec->grid.fill = (core::FillPolicy)choose_word(
            key, value, words, 5, "\"error\", \"null\", \"zero\", \"forward\" or \"interpolate\"");
    } else if (strcmp(key, "duplicates") == 0) {
        static const char* const words[] = {"error", "sum", "mean", "last"};
        spec->grid.duplicates = (core::DuplicatePolicy)choose_word(
            key, value, words, 4, "\"error\", \"sum\", \"mean\" or \"last\"");
    } else if (strcmp(key, "trim_leading_zeros") == 0) {
        spec->grid.trim_leading_zeros = option_bool(key, value);
    } else if (strcmp(key, "time_zone") == 0) {
        options->zone = option_string(key, value, "the name of a time zone");
    } else if (strcmp(key, "horizon") == 0) {
        spec->horizon =
            (int)option_int64(key, value, 1, core::kMaxHorizon, "a whole number from 1 to 10000");
    } else {
        return false;
    }
    return true;
}

bool set_result_option(ForecastOptions* options, const char* key, const JsonbValue* value) {
    core::ForecastSpec* spec = &options->spec;
    if (strcmp(key, "interval") == 0) {
        static const char* const words[] = {"none", "analytic", "bootstrap", "conformal"};
        spec->intervals = (core::IntervalMethod)choose_word(
            key, value, words, 4, "\"analytic\", \"bootstrap\", \"conformal\" or \"none\"");
    } else if (strcmp(key, "lower_bound") == 0) {
        spec->lower_bound = option_float8(key, value, -1e300, 1e300, "a number");
    } else if (strcmp(key, "upper_bound") == 0) {
        spec->upper_bound = option_float8(key, value, -1e300, 1e300, "a number");
    } else if (strcmp(key, "round") == 0) {
        spec->round = option_bool(key, value);
    } else if (strcmp(key, "step_down") == 0) {
        spec->step_down = option_bool(key, value);
    } else if (strcmp(key, "backtest") == 0) {
        read_backtest(options, value);
    } else if (strcmp(key, "cv_folds") == 0) {
        spec->backtest.folds = (int)option_int64(key, value, 1, core::kMaxBacktestFolds,
                                                 "a whole number from 1 to 100");
    } else if (strcmp(key, "refresh") == 0) {
        static const char* const words[] = {"refit", "update"};
        options->updates = choose_word(key, value, words, 2, "\"refit\" or \"update\"") == 1;
    } else if (strcmp(key, "min_rows") == 0) {
        spec->min_rows = option_int64(key, value, 1, PG_INT64_MAX, "an integer of at least 1");
    } else if (strcmp(key, "seed") == 0) {
        spec->seed =
            (uint64)option_int64(key, value, PG_INT64_MIN, PG_INT64_MAX, "a 64-bit integer");
    } else {
        return false;
    }
    return true;
}

[[noreturn]] void raise_frequency(const char* frequency, const char* detail) {
    ereport(ERROR,
            (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
             errmsg("invalid value for option \"frequency\": \"%s\"", frequency),
             errdetail("%s", detail),
             errhint("Valid are \"year\", \"quarter\", \"month\", \"week\", \"day\", \"hour\", "
                     "\"minute\", \"second\", an interval such as \"2 weeks\" or \"15 minutes\", "
                     "or, for an integer time column, a whole number.")));
    pg_unreachable();
}

core::TimeStep integer_step(const char* frequency) {
    char* end;
    errno = 0;
    const long long step = strtoll(frequency, &end, 10);
    if (errno != 0 || end == frequency || *end != '\0' || step <= 0)
        raise_frequency(frequency, "The time column is an integer: give the step between rows.");
    core::TimeStep result;
    result.units = step;
    return result;
}

// The server's own reading of an interval, whose errors say nothing of the option.
const Interval* frequency_interval(const char* frequency, const char* text) {
    const Interval* volatile interval = nullptr;
    MemoryContext context = CurrentMemoryContext;
    PG_TRY();
    {
        interval = DatumGetIntervalP(DirectFunctionCall3(
            interval_in, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
    }
    PG_CATCH();
    {
        const int code = geterrcode();
        if (ERRCODE_TO_CATEGORY(code) != ERRCODE_DATA_EXCEPTION) PG_RE_THROW();
        MemoryContextSwitchTo(context);
        FlushErrorState();
    }
    PG_END_TRY();
    if (interval == nullptr) raise_frequency(frequency, "It is no step of time.");
    return interval;
}

core::TimeStep interval_step(const char* frequency, core::TimeType type) {
    // The server takes "m" for a minute and a number for seconds: not what either is meant to be here.
    if (pg_strcasecmp(frequency, "m") == 0)
        raise_frequency(frequency, "It could be a minute or a month.");
    if (strspn(frequency, "0123456789.+- ") == strlen(frequency))
        raise_frequency(frequency, "The time column is no integer: the number needs a unit.");
    const char* text = strcmp(frequency, "quarter") == 0      ? "3 months"
                       : isalpha((unsigned char)frequency[0]) ? psprintf("1 %s", frequency)
                                                              : frequency;
    const Interval* interval = frequency_interval(frequency, text);
    core::TimeStep step;
    const bool has_days = interval->day != 0 || interval->time != 0;
    if (interval->month < 0 || interval->day < 0 || interval->time < 0 ||
        (interval->month != 0 && has_days) || (interval->month == 0 && !has_days))
        raise_frequency(frequency, "It must be positive, and months cannot be mixed with days.");
    if (interval->month > 0) {
        step.months = interval->month;
        return step;
    }
    const int64 day = type == core::TimeType::date ? 1 : USECS_PER_DAY;
    if (type == core::TimeType::date && interval->time % USECS_PER_DAY != 0)
        raise_frequency(frequency, "The time column is a date: the step is at least a day.");
    const int64 time =
        type == core::TimeType::date ? interval->time / USECS_PER_DAY : interval->time;
    if (pg_mul_s64_overflow(interval->day, day, &step.units) ||
        pg_add_s64_overflow(step.units, time, &step.units))
        raise_frequency(frequency, "It is out of range.");
    return step;
}

void check_methods(const core::ForecastSpec* spec, int n_features) {
    const bool several = spec->n_candidates > 0;
    const int n = several ? spec->n_candidates : 1;
    for (int i = 0; i < n; i++) {
        const core::MethodSpec* m = several ? &spec->candidates[i] : &spec->method;
        core::ArimaOrder order = m->order;
        order.m = 2;
        if (m->has_order && !order.valid())
            ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                            errmsg("option \"order\" has too many coefficients")));
        if (n_features > 0 && !several && !core::method_takes_features(m->method))
            ereport(ERROR,
                    (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                     errmsg("algorithm \"%s\" takes no features", core::method_name(m->method)),
                     errhint("Leave features out, or use \"arima\" or \"autoregression\", whose "
                             "forecasts need their future values.")));
    }
}

}  // namespace

bool is_forecaster(const char* algorithm) {
    ForecastMethod method;
    return core::method_from_name(algorithm, method);
}

char* forecaster_list() {
    StringInfoData list;
    initStringInfo(&list);
    for (int i = 1; i < 64; i++) {
        const char* name = core::method_name((ForecastMethod)i);
        if (strcmp(name, "unknown") != 0)
            appendStringInfo(&list, "%s\"%s\"", list.len > 0 ? ", " : "", name);
    }
    return list.data;
}

bool forecast_options_init(ForecastOptions* options, const char* algorithm) {
    ForecastMethod method;
    if (!core::method_from_name(algorithm, method)) return false;
    options->spec = core::ForecastSpec();
    options->spec.method.method = method;
    options->frequency = nullptr;
    options->zone = nullptr;
    options->updates = false;
    return true;
}

void raise_forecast_option(ForecastMethod method, const char* key) {
    raise_not_taken(key, key, method, forecast_option_keys(method));
}

bool is_forecast_option(const char* key) {
    for (const MethodOption& option : kMethodOptions)
        if (strcmp(option.key, key) == 0) return true;
    return is_shared_key(key);
}

const char* forecast_option_keys(ForecastMethod method) {
    StringInfoData keys;
    initStringInfo(&keys);
    for (const char* key : kSharedKeys) appendStringInfo(&keys, "%s, ", key);
    const char* own = method_keys(method);
    appendStringInfo(&keys, "%s%s%s", kRunKeys, own[0] != '\0' ? ", " : "", own);
    return keys.data;
}

bool set_forecast_option(ForecastOptions* options, const char* key, const JsonbValue* value) {
    core::ForecastSpec* spec = &options->spec;
    if (value->type == jbvNull)  // as if it were not there
        return takes(spec->method.method, key) || is_shared_key(key);
    if (set_series_option(options, key, value) || set_result_option(options, key, value))
        return true;
    if (!takes(spec->method.method, key)) return false;
    if (strcmp(key, "candidates") == 0) {
        read_candidates(spec, value);
    } else if (strcmp(key, "combine") == 0) {
        static const char* const words[] = {"median", "mean", "weighted", "trimmed"};
        spec->combination = (core::Combination)(
            1 +
            choose_word(key, value, words, 4, "\"median\", \"mean\", \"weighted\" or \"trimmed\""));
    } else {
        return set_method_option(&spec->method, key, value);
    }
    return true;
}

void finish_forecast_options(ForecastOptions* options, Oid type, int n_features) {
    core::ForecastSpec* spec = &options->spec;
    spec->n_features = n_features;
    spec->grid.type = time_type_of(type);
    if (options->frequency != nullptr)
        spec->grid.step = spec->grid.type == core::TimeType::integer
                              ? integer_step(options->frequency)
                              : interval_step(options->frequency, spec->grid.type);
    if (spec->grid.type == core::TimeType::timestamptz) {
        const char* zone =
            options->zone != nullptr ? options->zone : pg_get_timezone_name(session_timezone);
        if (pg_tzset(zone) == nullptr || strlen(zone) >= sizeof spec->zone)
            ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                            errmsg("option \"time_zone\": unknown time zone \"%s\"", zone),
                            errhint("Names are those of pg_timezone_names, such as "
                                    "\"Europe/Berlin\".")));
        strlcpy(spec->zone, zone, sizeof spec->zone);
    } else if (options->zone != nullptr) {
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("option \"time_zone\" needs a time column of type timestamptz"),
                        errhint("Times of other types are taken as they are.")));
    }
    if (spec->method.method == ForecastMethod::ensemble &&
        spec->combination == core::Combination::single)
        spec->combination =
            spec->n_candidates == 0 ? core::Combination::trimmed : core::Combination::median;
    if (!std::isnan(spec->lower_bound) && !std::isnan(spec->upper_bound) &&
        !(spec->lower_bound < spec->upper_bound))
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("option \"lower_bound\" must be less than \"upper_bound\"")));
    check_methods(spec, n_features);
}

}  // namespace many::pg
