// Options of the forecasters: see forecast_options.h. Plain C++ without destructors: every function
// here may raise.
#include "pg/forecast_options.h"

#include "pg/method_options.h"

#include <cmath>

extern "C" {
#include "common/int.h"
}

namespace many::pg {

namespace {

using core::ForecastMethod;

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
    return is_method_option(key) || is_shared_key(key);
}

const char* forecast_option_keys(ForecastMethod method) {
    StringInfoData keys;
    initStringInfo(&keys);
    for (const char* key : kSharedKeys) appendStringInfo(&keys, "%s, ", key);
    const char* own = method_option_keys(method);
    appendStringInfo(&keys, "%s%s%s", kRunKeys, own[0] != '\0' ? ", " : "", own);
    return keys.data;
}

bool set_forecast_option(ForecastOptions* options, const char* key, const JsonbValue* value) {
    core::ForecastSpec* spec = &options->spec;
    if (value->type == jbvNull)  // as if it were not there
        return takes_option(spec->method.method, key) || is_shared_key(key);
    if (set_series_option(options, key, value) || set_result_option(options, key, value))
        return true;
    if (!takes_option(spec->method.method, key)) return false;
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
