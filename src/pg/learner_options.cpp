// Options of the linear learners: see learner_options.h. Plain C++ without destructors: every
// function here may raise.
#include "pg/learner_options.h"

#include <cmath>

extern "C" {
#include "utils/json.h"
}

namespace many::pg {

namespace {

struct AlgorithmName {
    core::Algorithm algorithm;
    const char* name;
};

constexpr AlgorithmName kAlgorithms[] = {
    {core::Algorithm::linear_regression, "linear_regression"},
    {core::Algorithm::ridge, "ridge"},
    {core::Algorithm::lasso, "lasso"},
    {core::Algorithm::elastic_net, "elastic_net"},
};

const char* const kAlgorithmList = "\"linear_regression\", \"ridge\", \"lasso\", \"elastic_net\"";

void set_lambda(LearnerOptions* options, const JsonbValue* value) {
    static const char* const valid = "a number of at least 0, or \"auto\"";
    options->lambda_set = true;
    if (value->type == jbvString) {
        if (value->val.string.len != 4 || strncmp(value->val.string.val, "auto", 4) != 0)
            raise_option_value("lambda", value, valid);
        options->lambda_auto = true;
        options->lambda = 0;
        return;
    }
    options->lambda = option_float8("lambda", value, 0, 1e300, valid);
    options->lambda_auto = false;
}

[[noreturn]] void raise_conflict(const char* key, core::Algorithm algorithm, const char* hint) {
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("option \"%s\" does not go with algorithm \"%s\"", key,
                           algorithm_name(algorithm)),
                    errhint("%s", hint)));
    pg_unreachable();
}

}  // namespace

const char* const kLearnerOptionKeys =
    "\"fit_intercept\", \"standardize\", \"lambda\", \"alpha\", \"cv_folds\", \"min_rows\", "
    "\"seed\"";

const char* algorithm_name(core::Algorithm algorithm) {
    for (const AlgorithmName& entry : kAlgorithms)
        if (entry.algorithm == algorithm) return entry.name;
    return "unknown";
}

bool algorithm_from_name(const char* name, core::Algorithm* algorithm) {
    for (const AlgorithmName& entry : kAlgorithms) {
        if (strcmp(entry.name, name) == 0) {
            *algorithm = entry.algorithm;
            return true;
        }
    }
    return false;
}

void set_learner_algorithm(LearnerOptions* options, const char* name, const char* others) {
    if (!algorithm_from_name(name, &options->algorithm))
        ereport(
            ERROR,
            (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("unknown algorithm \"%s\"", name),
             others == nullptr ? errhint("Valid algorithms are %s.", kAlgorithmList)
                               : errhint("Valid algorithms are %s, %s.", kAlgorithmList, others)));
}

bool set_learner_option(LearnerOptions* options, const char* key, const JsonbValue* value) {
    static constexpr LearnerOptions defaults{};
    const bool reset = value->type == jbvNull;
    if (strcmp(key, "fit_intercept") == 0) {
        options->fit_intercept = reset ? true : option_bool(key, value);
    } else if (strcmp(key, "standardize") == 0) {
        options->standardize = reset ? true : option_bool(key, value);
    } else if (strcmp(key, "lambda") == 0) {
        if (reset) {
            options->lambda_set = options->lambda_auto = false;
            options->lambda = defaults.lambda;
        } else {
            set_lambda(options, value);
        }
    } else if (strcmp(key, "alpha") == 0) {
        options->alpha_set = !reset;
        options->alpha =
            reset ? defaults.alpha : option_float8(key, value, 0, 1, "a number from 0 to 1");
    } else if (strcmp(key, "cv_folds") == 0) {
        options->cv_folds_set = !reset;
        options->cv_folds = reset ? 0
                                  : static_cast<int>(option_int64(key, value, 2, kMaxCvFolds,
                                                                  "an integer from 2 to 100"));
    } else if (strcmp(key, "min_rows") == 0) {
        options->min_rows =
            reset ? -1 : option_int64(key, value, 1, PG_INT64_MAX, "an integer of at least 1");
    } else if (strcmp(key, "seed") == 0) {
        options->seed =
            reset ? 0 : option_int64(key, value, PG_INT64_MIN, PG_INT64_MAX, "a 64-bit integer");
    } else {
        return false;
    }
    return true;
}

void finish_learner_options(LearnerOptions* options) {
    const core::Algorithm algorithm = options->algorithm;
    double fixed_alpha = 0;
    switch (algorithm) {
        case core::Algorithm::linear_regression:
            if (options->lambda_auto || options->lambda != 0)
                raise_conflict(
                    "lambda", algorithm,
                    "Choose \"ridge\", \"lasso\" or \"elastic_net\" for a penalised fit.");
            break;
        case core::Algorithm::ridge:
            break;
        case core::Algorithm::lasso:
            fixed_alpha = 1;
            break;
        case core::Algorithm::elastic_net:
            fixed_alpha = options->alpha_set ? options->alpha : 0.5;
            break;
    }
    if (options->alpha_set && options->alpha != fixed_alpha)
        raise_conflict("alpha", algorithm, "\"alpha\" mixes the penalties of \"elastic_net\".");
    options->alpha = fixed_alpha;
    if (algorithm != core::Algorithm::linear_regression && !options->lambda_set)
        options->lambda_auto = true;
    if (options->lambda_auto && !options->cv_folds_set) options->cv_folds = kDefaultCvFolds;
}

core::GroupOptions to_group_options(const LearnerOptions& options) {
    core::GroupOptions group;
    group.linear.algorithm = options.algorithm;
    group.linear.fit_intercept = options.fit_intercept;
    group.linear.standardize = options.standardize;
    group.linear.lambda_auto = options.lambda_auto;
    group.linear.lambda = options.lambda;
    group.linear.alpha = options.alpha;
    group.min_rows = options.min_rows;
    return group;
}

char* jsonb_value_text(const JsonbValue* value) {
    StringInfoData text;
    initStringInfo(&text);
    switch (value->type) {
        case jbvNull:
            appendStringInfoString(&text, "null");
            break;
        case jbvBool:
            appendStringInfoString(&text, value->val.boolean ? "true" : "false");
            break;
        case jbvNumeric:
            appendStringInfoString(&text, DatumGetCString(DirectFunctionCall1(
                                              numeric_out, NumericGetDatum(value->val.numeric))));
            break;
        case jbvString:
            escape_json(&text, pnstrdup(value->val.string.val, value->val.string.len));
            break;
        case jbvBinary:
            JsonbToCString(&text, value->val.binary.data, value->val.binary.len);
            break;
        default:
            appendStringInfoString(&text, "?");
    }
    return text.data;
}

void raise_option_value(const char* key, const JsonbValue* value, const char* valid) {
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("invalid value for option \"%s\": %s", key, jsonb_value_text(value)),
                    errhint("Valid is %s.", valid)));
    pg_unreachable();
}

void raise_unknown_option(const char* key, const char* valid_keys) {
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("unknown option \"%s\"", key),
                    errhint("Valid options are %s.", valid_keys)));
    pg_unreachable();
}

double option_float8(const char* key, const JsonbValue* value, double low, double high,
                     const char* valid) {
    if (value->type != jbvNumeric) raise_option_value(key, value, valid);
    const double number = DatumGetFloat8(
        DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(value->val.numeric)));
    if (!(number >= low && number <= high)) raise_option_value(key, value, valid);
    return number;
}

int64 option_int64(const char* key, const JsonbValue* value, int64 low, int64 high,
                   const char* valid) {
    if (value->type != jbvNumeric) raise_option_value(key, value, valid);
    const Datum numeric = NumericGetDatum(value->val.numeric);
    const double near = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, numeric));
    const Datum whole = DirectFunctionCall2(numeric_trunc, numeric, Int32GetDatum(0));
    if (!(std::fabs(near) < 9.223372036854775e18) ||
        !DatumGetBool(DirectFunctionCall2(numeric_eq, numeric, whole)))
        raise_option_value(key, value, valid);
    const int64 number = DatumGetInt64(DirectFunctionCall1(numeric_int8, numeric));
    if (number < low || number > high) raise_option_value(key, value, valid);
    return number;
}

bool option_bool(const char* key, const JsonbValue* value) {
    if (value->type != jbvBool) raise_option_value(key, value, "true or false");
    return value->val.boolean;
}

char* option_string(const char* key, const JsonbValue* value, const char* valid) {
    if (value->type != jbvString) raise_option_value(key, value, valid);
    return pnstrdup(value->val.string.val, value->val.string.len);
}

void option_scan_begin(OptionScan* scan, Jsonb* options, const char* what) {
    JsonbValue ignored;
    if (!JB_ROOT_IS_OBJECT(options))
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("\"%s\" must be a JSON object", what)));
    scan->iterator = JsonbIteratorInit(&options->root);
    JsonbIteratorNext(&scan->iterator, &ignored, true);
}

bool option_scan_next(OptionScan* scan, char** key, JsonbValue* value) {
    JsonbValue name;
    if (JsonbIteratorNext(&scan->iterator, &name, true) != WJB_KEY) return false;
    *key = pnstrdup(name.val.string.val, name.val.string.len);
    JsonbIteratorNext(&scan->iterator, value, true);
    return true;
}

}  // namespace many::pg
