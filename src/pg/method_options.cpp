// Options of the methods: see method_options.h. Plain C++ without destructors: every function here may
// raise.
#include "pg/method_options.h"

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

bool is_word(const JsonbValue* value, const char* word) {
    return value->type == jbvString && value->val.string.len == (int)strlen(word) &&
           strncmp(value->val.string.val, word, strlen(word)) == 0;
}

}  // namespace

bool takes_option(ForecastMethod method, const char* key) {
    for (const MethodOption& option : kMethodOptions)
        if (strcmp(option.key, key) == 0) return (option.methods & bit(method)) != 0;
    return false;
}

bool is_method_option(const char* key) {
    for (const MethodOption& option : kMethodOptions)
        if (strcmp(option.key, key) == 0) return true;
    return false;
}

int choose_word(const char* key, const JsonbValue* value, const char* const* words, int n,
                const char* valid) {
    for (int i = 0; i < n; i++)
        if (is_word(value, words[i])) return i;
    raise_option_value(key, value, valid);
}

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

namespace {

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

}  // namespace

bool set_method_option(core::MethodSpec* m, const char* key, const JsonbValue* value) {
    if (!takes_option(m->method, key)) return false;
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

const char* method_option_keys(ForecastMethod method) {
    StringInfoData keys;
    initStringInfo(&keys);
    for (const MethodOption& option : kMethodOptions)
        if ((option.methods & bit(method)) != 0)
            appendStringInfo(&keys, "%s%s", keys.len > 0 ? ", " : "", option.key);
    return keys.data;
}

void raise_not_taken(const char* shown, const char* key, ForecastMethod method, const char* valid) {
    StringInfoData owners;
    initStringInfo(&owners);
    for (int i = 1; i < 64; i++) {
        const auto other = (ForecastMethod)i;
        if (strcmp(core::method_name(other), "unknown") != 0 && takes_option(other, key))
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

namespace {

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
                            method_option_keys(to->method));
    }
}

}  // namespace

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

}  // namespace many::pg
