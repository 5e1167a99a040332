#include "pg/server.h"

#include "engine/train_spec.h"

#include "engine/key_image.h"
#include "engine/train_options.h"
#include "engine/wide_rows.h"
#include "registry/access.h"
#include "registry/key_text.h"

namespace many::engine {

namespace {

using registry::kMaxModelSetName;

bool listed(char** names, int n, const char* name) {
    for (int i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0) return true;
    return false;
}

[[noreturn]] void raise_missing(const char* argument, const char* hint) {
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("argument %s is missing", argument), errhint("%s", hint)));
    pg_unreachable();
}

void complete_from_definition(TrainArguments* a, const registry::ModelSet* stored) {
    if (a->model_set == nullptr || a->model_set[0] == '\0')
        raise_missing("model_set", "Give the model set a name, such as 'demand'.");
    if ((int)strlen(a->model_set) > kMaxModelSetName)
        ereport(ERROR, (errcode(ERRCODE_NAME_TOO_LONG),
                        errmsg("model set name \"%s\" is too long", a->model_set),
                        errhint("At most %d bytes, so that \"<model_set>_predictions\" is a "
                                "table name.",
                                kMaxModelSetName)));
    if (stored != nullptr) {
        if (a->source == nullptr) a->source = (char*)stored->source;
        if (a->n_keys < 0) {
            a->n_keys = stored->n_keys;
            a->partition_by = stored->partition_by;
        }
        if (a->target == nullptr) a->target = (char*)stored->target;
        if (a->n_features < 0) {
            a->n_features = stored->n_features;
            a->features = stored->features;
        }
        if (a->algorithm == nullptr) a->algorithm = (char*)stored->algorithm;
        if (a->time_column == nullptr) a->time_column = (char*)stored->time_column;
        if (a->options == nullptr || JB_ROOT_COUNT(a->options) == 0)
            a->options =
                DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(stored->options)));
        if (a->tags == nullptr || JB_ROOT_COUNT(a->tags) == 0)
            a->tags = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(stored->tags)));
    }
    static const char* const first =
        "The first training of a model set defines it: give source, "
        "partition_by and target.";
    if (a->source == nullptr) raise_missing("source", first);
    if (a->n_keys < 0) raise_missing("partition_by", first);
    if (a->target == nullptr) raise_missing("target", first);
    if (a->algorithm == nullptr) a->algorithm = pstrdup("linear_regression");
    if (a->options == nullptr)
        a->options = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")));
    if (a->tags == nullptr)
        a->tags = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")));
}

void require_unique(char** names, int n, const char* argument) {
    for (int i = 0; i < n; i++)
        if (listed(names, i, names[i]))
            ereport(ERROR, (errcode(ERRCODE_DUPLICATE_COLUMN),
                            errmsg("column \"%s\" appears twice in %s", names[i], argument)));
}

int require_column(const pg::Source* source, const char* name, const char* argument) {
    const int column = pg::source_column(source, name);
    if (column == 0)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
                        errmsg("%s: column \"%s\" is not in the source", argument, name),
                        errhint("The source's columns are %s.", pg::source_column_list(source))));
    for (int i = column; i < source->columns->natts; i++)
        if (strcmp(NameStr(TupleDescAttr(source->columns, i)->attname), name) == 0)
            ereport(ERROR,
                    (errcode(ERRCODE_AMBIGUOUS_COLUMN),
                     errmsg("%s: the source has more than one column \"%s\"", argument, name),
                     errhint("Rename one of them in the source query.")));
    return column;
}

void require_distinct_roles(const TrainArguments* a) {
    static const char* const hint = "Leave it out of features.";
    for (int i = 0; i < a->n_features; i++) {
        if (strcmp(a->features[i], a->target) == 0)
            ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                            errmsg("target \"%s\" is among the features", a->target),
                            errhint("%s", hint)));
        if (listed(a->partition_by, a->n_keys, a->features[i]))
            ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                            errmsg("partition column \"%s\" is among the features", a->features[i]),
                            errdetail("It has one value in each group."), errhint("%s", hint)));
    }
    if (listed(a->partition_by, a->n_keys, a->target))
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("target \"%s\" is among the partition columns", a->target)));
    if (a->time_column != nullptr && strcmp(a->time_column, a->target) == 0)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("target \"%s\" is the time column too", a->target)));
    if (a->time_column != nullptr && listed(a->partition_by, a->n_keys, a->time_column))
        ereport(ERROR,
                (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                 errmsg("time column \"%s\" is among the partition columns", a->time_column)));
}

// Every column of a usable type that has no other role; a primary key identifies, it explains
// nothing.
void find_features(TrainPlan* plan) {
    const TrainArguments* a = &plan->arguments;
    int n_identifiers = 0;
    char** identifiers = pg::source_primary_key(plan->source, &n_identifiers);
    StringInfoData names;
    initStringInfo(&names);
    plan->features = (char**)palloc0(sizeof(char*) * (Size)(plan->source->columns->natts + 1));
    for (int i = 0; i < plan->source->columns->natts; i++) {
        Form_pg_attribute attribute = TupleDescAttr(plan->source->columns, i);
        char* name = NameStr(attribute->attname);
        pg::FeatureReader reader;
        if (attribute->attisdropped || strcmp(name, a->target) == 0 ||
            (a->time_column != nullptr && strcmp(name, a->time_column) == 0) ||
            listed(a->partition_by, a->n_keys, name) || listed(identifiers, n_identifiers, name) ||
            !pg::feature_reader_init(&reader, getBaseType(attribute->atttypid)))
            continue;
        plan->features[plan->n_features++] = pstrdup(name);
        appendStringInfo(&names, "%s%s", names.len > 0 ? ", " : "", name);
    }
    if (plan->n_features == 0)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("the source has no column that could be a feature"),
                        errhint("Its columns are %s.", pg::source_column_list(plan->source))));
    ereport(NOTICE, (errmsg("features not given, using %s", names.data)));
}

void describe_keys(TrainPlan* plan, KeySpec* keys) {
    const TrainArguments* a = &plan->arguments;
    plan->key_types = (Oid*)palloc0(sizeof(Oid) * (Size)(a->n_keys + 1));
    for (int i = 0; i < a->n_keys; i++) {
        const int column = require_column(plan->source, a->partition_by[i], "partition_by");
        Form_pg_attribute attribute = TupleDescAttr(plan->source->columns, column - 1);
        KeySpec* key = &keys[i];
        const Oid base = getBaseType(attribute->atttypid);
        TypeCacheEntry* cache =
            lookup_type_cache(base, TYPECACHE_HASH_EXTENDED_PROC | TYPECACHE_EQ_OPR);
        if (!OidIsValid(cache->hash_extended_proc) || !OidIsValid(cache->eq_opr))
            ereport(ERROR, (errcode(ERRCODE_UNDEFINED_FUNCTION),
                            errmsg("partition_by: column \"%s\" has type %s, which cannot be "
                                   "hashed",
                                   a->partition_by[i], format_type_be(base)),
                            errhint("Cast it in the source query, for example to text.")));
        if (registry::key_type_runs_code(base))
            ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                            errmsg("partition_by: column \"%s\" has type %s", a->partition_by[i],
                                   format_type_be(base)),
                            errdetail("Reading such a value may run functions of whoever made the "
                                      "type: rows and domains within a type have constraints."),
                            errhint("Cast it in the source query, for example to text.")));
        plan->key_types[i] = attribute->atttypid;
        namestrcpy(&key->name, a->partition_by[i]);
        key->type = base;
        key->collation = attribute->attcollation;
        key->form = key_form_of(base, key->collation);
        get_typlenbyvalalign(base, &key->typlen, &key->typbyval, &key->typalign);
        if (key->typlen == -2)
            ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                            errmsg("partition_by: column \"%s\" has type %s", a->partition_by[i],
                                   format_type_be(base)),
                            errhint("Cast it in the source query, for example to text.")));
    }
}

void describe_features(TrainPlan* plan, FeatureSpec* features) {
    plan->feature_types = (Oid*)palloc0(sizeof(Oid) * (Size)(plan->n_features + 1));
    for (int i = 0; i < plan->n_features; i++) {
        const int column = require_column(plan->source, plan->features[i], "features");
        Form_pg_attribute attribute = TupleDescAttr(plan->source->columns, column - 1);
        pg::FeatureReader reader;
        const Oid base = getBaseType(attribute->atttypid);
        if (!pg::feature_reader_init(&reader, base))
            ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                            errmsg("features: column \"%s\" has type %s", plan->features[i],
                                   format_type_be(attribute->atttypid)),
                            errhint("Features are numbers, booleans, dates, timestamps, texts or "
                                    "enums; cast it in the source query.")));
        plan->feature_types[i] = attribute->atttypid;
        namestrcpy(&features[i].name, plan->features[i]);
        features[i].type = base;
        features[i].kind = reader.kind;
    }
}

void describe_target(TrainPlan* plan, RunSpec* spec) {
    const TrainArguments* a = &plan->arguments;
    const int column = require_column(plan->source, a->target, "target");
    const Oid base = getBaseType(TupleDescAttr(plan->source->columns, column - 1)->atttypid);
    pg::FeatureReader reader;
    if (!pg::feature_reader_init(&reader, base) || reader.kind != pg::FeatureKind::number)
        ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                        errmsg("target: column \"%s\" has type %s, not a number", a->target,
                               format_type_be(base)),
                        errhint("Cast it in the source query.")));
    spec->target_type = base;
    namestrcpy(&spec->target, a->target);
}

void describe_time(TrainPlan* plan, const RunOptions* options, RunSpec* spec) {
    const TrainArguments* a = &plan->arguments;
    spec->holdout = options->holdout;
    if (a->time_column == nullptr) {
        if (options->since != nullptr)
            ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                            errmsg("holdout.since needs a time column"),
                            errhint("Give time_column, or use a fraction or rows.")));
        return;
    }
    const int column = require_column(plan->source, a->time_column, "time_column");
    const Oid base = getBaseType(TupleDescAttr(plan->source->columns, column - 1)->atttypid);
    if (base != DATEOID && base != TIMESTAMPOID && base != TIMESTAMPTZOID && base != INT2OID &&
        base != INT4OID && base != INT8OID)
        ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                        errmsg("time_column: column \"%s\" has type %s", a->time_column,
                               format_type_be(base)),
                        errhint("It must be a date, a timestamp or an integer.")));
    spec->has_time = true;
    spec->time_type = base;
    if (options->since == nullptr) return;
    Oid input;
    Oid parameter;
    getTypeInputInfo(base, &input, &parameter);
    const Datum since = OidInputFunctionCall(input, (char*)options->since, parameter, -1);
    spec->holdout.since = base == INT2OID   ? DatumGetInt16(since)
                          : base == INT4OID ? DatumGetInt32(since)
                          : base == DATEOID ? DatumGetDateADT(since)
                                            : DatumGetInt64(since);
}

[[noreturn]] void refuse_append_only(const char* with, const char* hint) {
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("option append_only cannot be combined with %s", with),
                    errdetail("Only sums over the rows of a group are kept, not the rows."),
                    errhint("%s", hint)));
    pg_unreachable();
}

// Of append_only: all that is asked follows from sums to which new rows can be added.
void require_sums_suffice(const TrainPlan* plan, RunSpec* spec) {
    using Kind = core::HoldoutSpec::Kind;
    if (!spec->has_time)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("option append_only needs a time column"),
                        errhint("Give time_column: by it a refresh finds the new rows.")));
    for (int i = 0; i < spec->n_features; i++)
        if (spec->features()[i].kind == pg::FeatureKind::level)
            refuse_append_only(
                psprintf("the categorical feature \"%s\"", NameStr(spec->features()[i].name)),
                "Leave it out of features, or encode it as numbers in the source query.");
    if (spec->null_policy == core::NullPolicy::impute_mean)
        refuse_append_only("null_policy \"impute_mean\"", "Use \"skip_row\" or \"error\".");
    if (spec->holdout.kind == Kind::rows)
        refuse_append_only("holdout.rows", "Hold out a fraction of the rows, or all since a time.");
    if (spec->holdout.exact)
        refuse_append_only("holdout.exact", "Leave it out: a hash of the row decides.");
    if (plan->learner.lambda_auto) refuse_append_only("lambda \"auto\"", "Set lambda to a number.");
    if (spec->cv_folds > 0) refuse_append_only("cv_folds", "Use a holdout.");
}

// Statistics suffice unless something needs a group's rows together.
Exchange choose_exchange(RunSpec* spec) {
    using Kind = core::HoldoutSpec::Kind;
    if (spec->forecasts) return Exchange::rows;
    for (int i = 0; i < spec->n_features; i++)
        if (spec->features()[i].kind == pg::FeatureKind::level) return Exchange::rows;
    if (spec->null_policy == core::NullPolicy::impute_mean) return Exchange::rows;
    if (spec->holdout.kind == Kind::rows) return Exchange::rows;
    if (spec->holdout.kind == Kind::fraction && !spec->append_only &&
        (spec->has_time || spec->holdout.exact))
        return Exchange::rows;
    if (spec->cv_folds > 0 && spec->has_time) return Exchange::rows;
    return Exchange::statistics;
}

void describe_forecast(const TrainPlan* plan, RunOptions* options, RunSpec* spec) {
    const TrainArguments* a = &plan->arguments;
    if (!spec->has_time)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("algorithm \"%s\" needs a time column", a->algorithm),
                        errhint("Give time_column: a date, a timestamp or an integer.")));
    if (spec->null_policy == core::NullPolicy::impute_mean)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("null_policy \"impute_mean\" does not go with algorithm \"%s\"",
                               a->algorithm),
                        errhint("Use the option fill: a NULL is a missing value of its time.")));
    for (int i = 0; i < spec->n_features; i++)
        if (spec->features()[i].kind == pg::FeatureKind::level)
            ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                            errmsg("features: \"%s\" is categorical, which algorithm \"%s\" "
                                   "cannot use",
                                   NameStr(spec->features()[i].name), a->algorithm),
                            errhint("Encode it as numbers in the source query.")));
    pg::finish_forecast_options(&options->forecast, spec->time_type, spec->n_features);
    spec->forecasts = true;
    spec->updates = options->forecast.updates;
    spec->forecast = options->forecast.spec;
    spec->forecast.holdout = spec->holdout;
    spec->seed = (int64)spec->forecast.seed;
}

// An argument that is not given is taken from the definition.
bool differs(const char* given, const char* stored) {
    return given != nullptr && (stored == nullptr || strcmp(given, stored) != 0);
}

bool object_differs(Jsonb* given, const char* stored) {
    if (given == nullptr || JB_ROOT_COUNT(given) == 0) return false;
    Jsonb* other = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(stored)));
    return compareJsonbContainers(&given->root, &other->root) != 0;
}

bool features_differ(const TrainArguments* a, const registry::ModelSet* stored, bool found) {
    if (found) return stored->n_features >= 0;
    if (a->n_features < 0) return false;
    if (a->n_features != stored->n_features) return true;
    for (int i = 0; i < a->n_features; i++)
        if (strcmp(a->features[i], stored->features[i]) != 0) return true;
    return false;
}

const char* changed_argument(const TrainArguments* a, const registry::ModelSet* stored,
                             bool features_found) {
    if (differs(a->source, stored->source)) return "source";
    if (differs(a->target, stored->target)) return "target";
    if (features_differ(a, stored, features_found)) return "features";
    if (differs(a->algorithm, stored->algorithm)) return "algorithm";
    if (differs(a->time_column, stored->time_column)) return "time_column";
    if (object_differs(a->options, stored->options)) return "options";
    if (object_differs(a->tags, stored->tags)) return "tags";
    return nullptr;
}

}  // namespace

void require_training_allowed(const registry::ModelSet* stored, const TrainArguments* arguments,
                              bool features_found) {
    registry::require_privilege(stored, registry::Privilege::train);
    if (has_privs_of_role(GetUserId(), stored->owner)) return;
    const char* changed = changed_argument(arguments, stored, features_found);
    if (changed != nullptr)
        ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                        errmsg("only the owner of model set \"%s\" may change its %s", stored->name,
                               changed),
                        errhint("Leave %s out: the set is trained as it is defined.", changed)));
}

TrainPlan* plan_training(TrainArguments* arguments, const registry::ModelSet* stored) {
    auto* plan = (TrainPlan*)palloc0(sizeof(TrainPlan));
    if (stored != nullptr) require_training_allowed(stored, arguments);
    complete_from_definition(arguments, stored);
    plan->arguments = *arguments;
    TrainArguments* a = &plan->arguments;
    if (a->n_keys > kMaxKeys)
        ereport(ERROR, (errcode(ERRCODE_TOO_MANY_COLUMNS),
                        errmsg("partition_by has %d columns, more than %d", a->n_keys, kMaxKeys)));
    require_unique(a->partition_by, a->n_keys, "partition_by");
    if (a->n_features >= 0) require_unique(a->features, a->n_features, "features");
    require_distinct_roles(a);
    RunOptions* options = parse_run_options(a->algorithm, a->options);
    plan->learner = options->learner;
    plan->max_failed_fraction = options->max_failed_fraction;
    plan->source = pg::describe_source(a->source, "source");
    plan->features_given = a->n_features >= 0;
    if (plan->features_given) {
        if (a->n_features == 0 && !options->forecasts)
            raise_missing("features",
                          "Give at least one feature, or NULL for every usable column.");
        plan->n_features = a->n_features;
        plan->features = a->features;
    } else if (options->forecasts) {  // what is to come of them has to be known
        plan->features = (char**)palloc0(sizeof(char*));
    } else {
        (void)require_column(plan->source, a->target, "target");
        find_features(plan);
    }
    RunSpec head = {};
    StringInfoData overrides;
    initStringInfo(&overrides);
    head.n_keys = a->n_keys;
    head.n_features = plan->n_features;
    const Size fixed = (Size)((char*)(head.features() + plan->n_features) - (char*)&head);
    auto* spec = (RunSpec*)palloc0(MAXALIGN(fixed));
    spec->n_keys = head.n_keys;
    spec->n_features = head.n_features;
    describe_keys(plan, spec->keys());
    describe_features(plan, spec->features());
    describe_target(plan, spec);
    describe_time(plan, options, spec);
    spec->null_policy = options->null_policy;
    spec->cv_folds = plan->learner.cv_folds;
    spec->seed = plan->learner.seed;
    spec->max_levels = options->max_levels;
    spec->seconds_per_group = options->seconds_per_group;
    spec->options = pg::to_group_options(plan->learner);
    spec->append_only = options->append_only;
    if (options->forecasts) describe_forecast(plan, options, spec);
    if (spec->append_only) require_sums_suffice(plan, spec);
    spec->exchange = choose_exchange(spec);
    require_room(spec);
    plan->spec = spec;
    spec->n_overrides = encode_overrides(options, plan, spec->keys(), &overrides);
    spec->overrides_offset = (uint32)MAXALIGN(fixed);
    spec->bytes = (uint32)(MAXALIGN(fixed) + MAXALIGN((Size)overrides.len));
    plan->spec = (RunSpec*)palloc0(spec->bytes);
    memcpy(plan->spec, spec, fixed);
    memcpy((char*)plan->spec + spec->overrides_offset, overrides.data, (Size)overrides.len);
    return plan;
}

registry::KeyColumn* key_columns(const TrainPlan* plan) {
    const int n = plan->spec->n_keys;
    auto* columns = (registry::KeyColumn*)palloc0(sizeof(registry::KeyColumn) * (Size)(n + 1));
    for (int i = 0; i < n; i++)
        registry::key_column_init(&columns[i], plan->arguments.partition_by[i], plan->key_types[i],
                                  plan->spec->keys()[i].collation);
    return columns;
}

char* sink_query(const TrainPlan* plan) {
    const TrainArguments* a = &plan->arguments;
    StringInfoData query;
    initStringInfo(&query);
    const bool wide = is_wide(a->n_keys, plan->n_features);
    appendStringInfo(&query, "SELECT many_models.train_sink($1, %s", wide ? "ROW(" : "");
    for (int i = 0; i < a->n_keys; i++)
        appendStringInfo(&query, "s.%s, ", quote_identifier(a->partition_by[i]));
    if (a->time_column != nullptr)
        appendStringInfo(&query, "s.%s, ", quote_identifier(a->time_column));
    appendStringInfo(&query, "s.%s", quote_identifier(a->target));
    for (int i = 0; i < plan->n_features; i++)
        appendStringInfo(&query, ", s.%s", quote_identifier(plan->features[i]));
    appendStringInfo(&query, "%s) FROM %s AS s", wide ? ")" : "", plan->source->from_clause);
    if (plan->read_from != nullptr)
        appendStringInfo(&query, " WHERE s.%s OPERATOR(pg_catalog.>=) %s",
                         quote_identifier(a->time_column), plan->read_from);
    return query.data;
}

}  // namespace many::engine
