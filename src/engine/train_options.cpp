#include "pg/server.h"

#include "engine/train_options.h"

namespace many::engine {

namespace {

constexpr const char* kRunOptionKeys =
    "holdout, cv_folds, min_rows, null_policy, max_failed_fraction, seconds_per_group, "
    "group_options, seed, max_levels, append_only, fit_intercept, standardize, lambda, alpha";

void require_object(const char* key, const JsonbValue* value, const char* valid) {
    if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
        pg::raise_option_value(key, value, valid);
}

void parse_holdout(RunOptions* options, const JsonbValue* value) {
    static const char* const valid =
        "{\"fraction\": 0.2}, {\"rows\": 20} or {\"since\": \"2026-01-01\"}, and \"exact\": true "
        "beside a fraction";
    core::HoldoutSpec& holdout = options->holdout;
    char* key;
    JsonbValue item;
    int given = 0;
    if (value->type == jbvNull) return;
    require_object("holdout", value, valid);
    pg::OptionScan scan;
    Jsonb* object = JsonbValueToJsonb((JsonbValue*)value);
    pg::option_scan_begin(&scan, object, "holdout");
    while (pg::option_scan_next(&scan, &key, &item)) {
        if (strcmp(key, "fraction") == 0) {
            holdout.kind = core::HoldoutSpec::Kind::fraction;
            holdout.fraction =
                pg::option_float8("holdout.fraction", &item, 0, 0.9, "a number from 0 to 0.9");
            if (holdout.fraction == 0) holdout.kind = core::HoldoutSpec::Kind::none;
            given++;
        } else if (strcmp(key, "rows") == 0) {
            holdout.rows = pg::option_int64("holdout.rows", &item, 0, PG_INT64_MAX,
                                            "a whole number, 0 for no holdout");
            holdout.kind =
                holdout.rows == 0 ? core::HoldoutSpec::Kind::none : core::HoldoutSpec::Kind::rows;
            given++;
        } else if (strcmp(key, "since") == 0) {
            options->since = pg::option_string("holdout.since", &item, "a date or timestamp");
            holdout.kind = core::HoldoutSpec::Kind::since;
            given++;
        } else if (strcmp(key, "exact") == 0) {
            holdout.exact = pg::option_bool("holdout.exact", &item);
        } else {
            pg::raise_unknown_option(psprintf("holdout.%s", key), "fraction, rows, since, exact");
        }
    }
    if (given != 1) pg::raise_option_value("holdout", value, valid);
}

core::NullPolicy parse_null_policy(const JsonbValue* value) {
    static const char* const valid = "\"skip_row\", \"error\" or \"impute_mean\"";
    if (value->type == jbvNull) return core::NullPolicy::skip_row;
    const char* name = pg::option_string("null_policy", value, valid);
    if (strcmp(name, "skip_row") == 0) return core::NullPolicy::skip_row;
    if (strcmp(name, "error") == 0) return core::NullPolicy::error;
    if (strcmp(name, "impute_mean") == 0) return core::NullPolicy::impute_mean;
    pg::raise_option_value("null_policy", value, valid);
}

// The datum's bytes in the form find_override reads.
void append_override_value(StringInfo bytes, const KeySpec* key, Datum value) {
    uint32 n;
    const char* data;
    static const char zeros[8] = {0};
    if (key->typbyval) {
        n = sizeof value;
        data = (const char*)&value;
    } else if (key->typlen > 0) {
        n = (uint32)key->typlen;
        data = DatumGetPointer(value);
    } else {
        struct varlena* packed = PG_DETOAST_DATUM_PACKED(value);
        n = VARSIZE_ANY_EXHDR(packed);
        data = VARDATA_ANY(packed);
    }
    appendBinaryStringInfo(bytes, (const char*)&n, sizeof n);
    appendBinaryStringInfo(bytes, data, (int)n);
    const uint32 pad = (8 - (sizeof n + n) % 8) % 8;
    appendBinaryStringInfo(bytes, zeros, (int)pad);
}

void encode_override_key(const TrainPlan* plan, const KeySpec* keys, Override* entry,
                         Jsonb* key_object, StringInfo bytes) {
    JsonbValue items[kMaxKeys];
    char* name;
    JsonbValue item;
    pg::OptionScan scan;
    pg::option_scan_begin(&scan, key_object, "group_options key");
    while (pg::option_scan_next(&scan, &name, &item)) {
        int column = -1;
        for (int i = 0; i < plan->arguments.n_keys; i++)
            if (strcmp(plan->arguments.partition_by[i], name) == 0) column = i;
        if (column < 0)
            ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                            errmsg("group_options: \"%s\" is not a partition column", name)));
        entry->columns |= 1U << column;
        if (item.type == jbvNull) entry->null_columns |= 1U << column;
        items[column] = item;
    }
    for (int i = 0; i < plan->arguments.n_keys; i++) {
        Oid input;
        Oid parameter;
        if (((entry->columns >> i) & 1) == 0 || ((entry->null_columns >> i) & 1) != 0) continue;
        char* text = items[i].type == jbvString
                         ? pnstrdup(items[i].val.string.val, (Size)items[i].val.string.len)
                         : pg::jsonb_value_text(&items[i]);
        getTypeInputInfo(keys[i].type, &input, &parameter);
        append_override_value(bytes, &keys[i], OidInputFunctionCall(input, text, parameter, -1));
    }
}

// All of a forecaster's options but those of the run as a whole.
void override_forecast(const RunOptions* options, const TrainPlan* plan, Jsonb* object,
                       Override* entry) {
    pg::ForecastOptions forecast = options->forecast;
    char* key;
    JsonbValue item;
    pg::OptionScan scan;
    pg::option_scan_begin(&scan, object, "group_options options");
    while (pg::option_scan_next(&scan, &key, &item)) {
        if (strcmp(key, "seconds_per_group") == 0)
            entry->seconds_per_group = pg::option_float8("seconds_per_group", &item, 0, 1e6,
                                                         "a number of seconds, 0 for no limit");
        else if (strcmp(key, "seed") == 0 || strcmp(key, "refresh") == 0 ||
                 !pg::set_forecast_option(&forecast, key, &item))
            pg::raise_unknown_option(psprintf("group_options.options.%s", key),
                                     pg::forecast_option_keys(forecast.spec.method.method));
    }
    pg::finish_forecast_options(&forecast, plan->spec->time_type, plan->n_features);
    forecast.spec.holdout = plan->spec->forecast.holdout;
    entry->forecast = forecast.spec;
}

void encode_override(const RunOptions* options, const TrainPlan* plan, const KeySpec* keys,
                     const JsonbValue* element, StringInfo overrides) {
    static const char* const valid = "[{\"key\": {...}, \"options\": {...}}, ...]";
    require_object("group_options", element, valid);
    Jsonb* object = JsonbValueToJsonb((JsonbValue*)element);
    Override entry = {};
    pg::LearnerOptions learner = options->learner;
    StringInfoData values;
    Jsonb* key_object = nullptr;
    Jsonb* option_object = nullptr;
    char* key;
    JsonbValue item;
    pg::OptionScan scan;
    initStringInfo(&values);
    entry.seconds_per_group = options->seconds_per_group;
    pg::option_scan_begin(&scan, object, "group_options");
    while (pg::option_scan_next(&scan, &key, &item)) {
        require_object(key, &item, valid);
        if (strcmp(key, "key") == 0)
            key_object = JsonbValueToJsonb(&item);
        else if (strcmp(key, "options") == 0)
            option_object = JsonbValueToJsonb(&item);
        else
            pg::raise_unknown_option(psprintf("group_options.%s", key), "key, options");
    }
    if (key_object == nullptr || option_object == nullptr)
        pg::raise_option_value("group_options", element, valid);
    encode_override_key(plan, keys, &entry, key_object, &values);
    if (options->forecasts) override_forecast(options, plan, option_object, &entry);
    pg::option_scan_begin(&scan, option_object, "group_options options");
    while (!options->forecasts && pg::option_scan_next(&scan, &key, &item)) {
        if (strcmp(key, "seconds_per_group") == 0)
            entry.seconds_per_group = pg::option_float8("seconds_per_group", &item, 0, 1e6,
                                                        "a number of seconds, 0 for no limit");
        else if (strcmp(key, "cv_folds") == 0 || strcmp(key, "seed") == 0 ||
                 !pg::set_learner_option(&learner, key, &item))
            pg::raise_unknown_option(psprintf("group_options.options.%s", key),
                                     "lambda, alpha, fit_intercept, standardize, min_rows, "
                                     "seconds_per_group");
    }
    if (!options->forecasts) pg::finish_learner_options(&learner);
    if (learner.lambda_auto && plan->learner.cv_folds == 0)
        ereport(ERROR,
                (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                 errmsg("group_options: lambda \"auto\" needs cv_folds among the options of the "
                        "run")));
    entry.options = pg::to_group_options(learner);
    entry.bytes = (uint32)(MAXALIGN(sizeof(Override)) + MAXALIGN((Size)values.len));
    const int start = overrides->len;
    appendBinaryStringInfo(overrides, (const char*)&entry, sizeof entry);
    while (overrides->len - start < (int)MAXALIGN(sizeof(Override)))
        appendStringInfoChar(overrides, '\0');
    appendBinaryStringInfo(overrides, values.data, values.len);
    while (overrides->len - start < (int)entry.bytes) appendStringInfoChar(overrides, '\0');
}

}  // namespace

RunOptions* parse_run_options(const char* algorithm, Jsonb* object) {
    auto* options = (RunOptions*)palloc0(sizeof(RunOptions));
    options->learner = pg::LearnerOptions();
    options->holdout = core::HoldoutSpec();
    options->max_failed_fraction = 1.0;
    options->max_levels = 100;
    options->forecasts = pg::forecast_options_init(&options->forecast, algorithm);
    if (!options->forecasts)
        pg::set_learner_algorithm(&options->learner, algorithm, pg::forecaster_list());
    char* key;
    JsonbValue value;
    pg::OptionScan scan;
    pg::option_scan_begin(&scan, object, "options");
    while (pg::option_scan_next(&scan, &key, &value)) {
        if (strcmp(key, "holdout") == 0) {
            parse_holdout(options, &value);
        } else if (strcmp(key, "null_policy") == 0) {
            options->null_policy = parse_null_policy(&value);
        } else if (strcmp(key, "max_failed_fraction") == 0) {
            options->max_failed_fraction =
                pg::option_float8(key, &value, 0, 1, "a number from 0 to 1");
        } else if (strcmp(key, "seconds_per_group") == 0) {
            options->seconds_per_group =
                pg::option_float8(key, &value, 0, 1e6, "a number of seconds, 0 for no limit");
        } else if (strcmp(key, "group_options") == 0) {
            if (value.type == jbvNull) continue;
            if (value.type != jbvBinary || !JsonContainerIsArray(value.val.binary.data))
                pg::raise_option_value(key, &value, "[{\"key\": {...}, \"options\": {...}}, ...]");
            options->group_options = JsonbValueToJsonb(&value);
        } else if (options->forecasts) {
            if (!pg::set_forecast_option(&options->forecast, key, &value))
                pg::raise_forecast_option(options->forecast.spec.method.method, key);
        } else if (strcmp(key, "max_levels") == 0) {
            options->max_levels =
                (int)pg::option_int64(key, &value, 2, 10000, "a whole number from 2 to 10000");
        } else if (strcmp(key, "append_only") == 0) {
            options->append_only = value.type != jbvNull && pg::option_bool(key, &value);
        } else if (!pg::set_learner_option(&options->learner, key, &value)) {
            if (pg::is_forecast_option(key))
                ereport(ERROR,
                        (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                         errmsg("option \"%s\" does not go with algorithm \"%s\"", key, algorithm),
                         errdetail("It is an option of forecasters, such as \"ets\"."),
                         errhint("Valid options are %s.", kRunOptionKeys)));
            pg::raise_unknown_option(key, kRunOptionKeys);
        }
    }
    if (!options->forecasts) pg::finish_learner_options(&options->learner);
    return options;
}

int encode_overrides(const RunOptions* options, const TrainPlan* plan, const KeySpec* keys,
                     StringInfo overrides) {
    int n = 0;
    JsonbValue element;
    if (options->group_options == nullptr) return 0;
    JsonbIterator* iterator = JsonbIteratorInit(&options->group_options->root);
    JsonbIteratorToken token = JsonbIteratorNext(&iterator, &element, false);
    while ((token = JsonbIteratorNext(&iterator, &element, true)) != WJB_DONE) {
        if (token != WJB_ELEM) continue;
        encode_override(options, plan, keys, &element, overrides);
        n++;
    }
    return n;
}

}  // namespace many::engine
