// The queries of an evaluation: see evaluate_query.h. They run as the caller.
#include "pg/server.h"

#include "serving/evaluate_query.h"

#include "pg/feature_reader.h"
#include "pg/forecast_options.h"
#include "serving/score_table.h"

namespace many::serving {

namespace {

bool listed(char** names, int n, const char* name) {
    for (int i = 0; i < n; ++i)
        if (strcmp(names[i], name) == 0) return true;
    return false;
}

Form_pg_attribute column_of(const pg::Source* source, const char* name) {
    const int column = pg::source_column(source, name);
    return column == 0 ? nullptr : TupleDescAttr(source->columns, column - 1);
}

Form_pg_attribute required_column(const pg::Source* source, const char* which, const char* name,
                                  const char* role) {
    Form_pg_attribute attribute = column_of(source, name);
    if (attribute == nullptr)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
                        errmsg("%s has no column \"%s\", which is %s", which, name, role),
                        errhint("Its columns are %s.", pg::source_column_list(source))));
    return attribute;
}

bool is_time(Oid type) {
    return type == DATEOID || type == TIMESTAMPOID || type == TIMESTAMPTZOID;
}

// The columns that score_many_models gives every predictions table and that are read here.
struct ResultColumnType {
    const char* name;
    Oid type;
};
constexpr ResultColumnType kRead[] = {{"run_id", INT8OID},   {"prediction", FLOAT8OID},
                                      {"lower", FLOAT8OID},  {"upper", FLOAT8OID},
                                      {"model_id", INT8OID}, {"model_version", INT4OID}};

void check_predictions(const EvaluateSpec* spec) {
    for (const ResultColumnType& column : kRead) {
        Form_pg_attribute attribute = required_column(spec->predictions, "predictions", column.name,
                                                      "a column that scoring writes");
        if (attribute->atttypid != column.type)
            ereport(ERROR,
                    (errcode(ERRCODE_DATATYPE_MISMATCH),
                     errmsg("predictions: column \"%s\" has type %s, not %s", column.name,
                            format_type_be(attribute->atttypid), format_type_be(column.type)),
                     errhint("Give a table that score_many_models made, or a query over "
                             "one.")));
    }
    for (int i = 0; i < spec->run->n_keys; ++i) {
        (void)required_column(spec->predictions, "predictions", spec->run->partition_by[i],
                              "a partition column");
        (void)required_column(spec->source, "the source", spec->run->partition_by[i],
                              "a partition column");
    }
}

// What the predictions have besides keys and results was carried along to know the rows by. Of
// forecasts the time alone: steps ahead and quantiles are no columns of the actuals.
void find_ids(EvaluateSpec* spec) {
    const bool forecasts = pg::is_forecaster(spec->run->algorithm);
    TupleDesc columns = spec->predictions->columns;
    spec->ids = static_cast<char**>(palloc0(sizeof(char*) * static_cast<Size>(columns->natts + 1)));
    for (int i = 0; i < columns->natts; ++i) {
        Form_pg_attribute attribute = TupleDescAttr(columns, i);
        char* name = NameStr(attribute->attname);
        if (attribute->attisdropped || is_result_column(name) ||
            (forecasts && strcmp(name, spec->run->time_column) != 0) ||
            listed(spec->run->partition_by, spec->run->n_keys, name))
            continue;
        spec->ids[spec->n_ids++] = pstrdup(name);
    }
}

void check_ids(const EvaluateSpec* spec) {
    for (int i = 0; i < spec->n_ids; ++i) {
        const char* name = spec->ids[i];
        if (listed(spec->ids, i, name))
            ereport(ERROR, (errcode(ERRCODE_DUPLICATE_COLUMN),
                            errmsg("column \"%s\" appears twice in id_columns", name)));
        if (is_result_column(name))
            ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                            errmsg("id_columns: \"%s\" cannot name a row", name),
                            errhint("Ids are columns that score_many_models carried along.")));
        (void)required_column(spec->predictions, "predictions", name, "among id_columns");
        (void)required_column(spec->source, "the source", name, "an id of the predictions");
    }
}

void check_target(EvaluateSpec* spec) {
    if (spec->target == nullptr) spec->target = spec->run->target;
    Form_pg_attribute attribute =
        required_column(spec->source, "the source", spec->target, "the target");
    pg::FeatureReader reader;
    if (!pg::feature_reader_init(&reader, attribute->atttypid) ||
        reader.kind != pg::FeatureKind::number)
        ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                        errmsg("target: column \"%s\" has type %s, not a number", spec->target,
                               format_type_be(attribute->atttypid))));
}

void check_features(const EvaluateSpec* spec) {
    for (int i = 0; i < spec->run->n_features; ++i) {
        Form_pg_attribute attribute =
            required_column(spec->source, "the source", spec->run->features[i], "a feature");
        pg::FeatureReader reader;
        if (!pg::feature_reader_init(&reader, attribute->atttypid))
            ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                            errmsg("feature \"%s\" has type %s", spec->run->features[i],
                                   format_type_be(attribute->atttypid)),
                            errhint("Cast the column in a source query.")));
    }
}

// The time column, if rows can be told apart by it; nullptr otherwise.
const char* time_of_ids(const EvaluateSpec* spec) {
    const char* name = spec->run->time_column;
    return name != nullptr && listed(spec->ids, spec->n_ids, name) ? name : nullptr;
}

void check_period(EvaluateSpec* spec) {
    const char* time = time_of_ids(spec);
    if (time == nullptr && (spec->options.since != nullptr || spec->options.until != nullptr))
        ereport(ERROR,
                (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                 errmsg("since and until need the time column of the model set among the ids"),
                 errhint("Score with the time column among id_columns, or limit the source and the "
                         "predictions by queries.")));
    if (spec->period == nullptr) return;
    static const char* const units[] = {"minute", "hour",    "day",  "week",
                                        "month",  "quarter", "year", nullptr};
    bool known = false;
    for (const char* const* unit = units; *unit != nullptr; ++unit)
        known |= strcmp(*unit, spec->period) == 0;
    if (!known)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("invalid value for period: \"%s\"", spec->period),
                        errhint("Valid are minute, hour, day, week, month, quarter, year, and NULL "
                                "for one period.")));
    if (time != nullptr && is_time(getBaseType(column_of(spec->predictions, time)->atttypid)))
        return;
    spec->period = nullptr;
    ereport(NOTICE, (errmsg("evaluating as one period: no date or timestamp among the ids is the "
                            "time column of the model set")));
}

// --- Pieces of the queries --------------------------------------------------------------------

void append_keys(StringInfo list, const EvaluateSpec* spec, const char* prefix, bool trailing) {
    const int n = spec->run->n_keys;
    for (int i = 0; i < n; ++i) appendStringInfo(list, "%s%sk%d", i > 0 ? ", " : "", prefix, i + 1);
    if (n > 0 && trailing) appendStringInfoString(list, ", ");
}

// A column of one side, under the collation that the predictions have.
void append_side_column(StringInfo query, const EvaluateSpec* spec, const char* name,
                        const char* alias) {
    Form_pg_attribute attribute = column_of(spec->predictions, name);
    appendStringInfo(query, "s.%s", quote_identifier(name));
    if (OidIsValid(attribute->attcollation)) {
        HeapTuple tuple = SearchSysCache1(COLLOID, ObjectIdGetDatum(attribute->attcollation));
        if (!HeapTupleIsValid(tuple))
            elog(ERROR, "cache lookup failed for collation %u", attribute->attcollation);
        const auto* form = reinterpret_cast<Form_pg_collation>(GETSTRUCT(tuple));
        appendStringInfo(query, " COLLATE %s",
                         quote_qualified_identifier(get_namespace_name(form->collnamespace),
                                                    NameStr(form->collname)));
        ReleaseSysCache(tuple);
    }
    appendStringInfo(query, " AS %s, ", alias);
}

void append_side_columns(StringInfo query, const EvaluateSpec* spec) {
    for (int i = 0; i < spec->run->n_keys; ++i)
        append_side_column(query, spec, spec->run->partition_by[i], psprintf("k%d", i + 1));
    for (int i = 0; i < spec->n_ids; ++i)
        append_side_column(query, spec, spec->ids[i], psprintf("i%d", i + 1));
}

// AND s.time >= since AND s.time < until
void append_range(StringInfo query, const EvaluateSpec* spec, const pg::Source* side) {
    const char* time = time_of_ids(spec);
    if (time == nullptr) return;
    const char* type = format_type_extended(getBaseType(column_of(side, time)->atttypid), -1,
                                            FORMAT_TYPE_FORCE_QUALIFY);
    const struct {
        const char* limit;
        const char* compare;
    } ends[] = {{spec->options.since, ">="}, {spec->options.until, "<"}};
    for (const auto& end : ends)
        if (end.limit != nullptr)
            appendStringInfo(query, " AND s.%s OPERATOR(pg_catalog.%s) %s::%s",
                             quote_identifier(time), end.compare, quote_literal_cstr(end.limit),
                             type);
}

// The start of the period that a time lies in, as a timestamp.
char* period_expression(const EvaluateSpec* spec, const char* value, Oid type) {
    if (spec->period == nullptr) return pstrdup("NULL::pg_catalog.timestamp");
    const char* unit = quote_literal_cstr(spec->period);
    if (getBaseType(type) == TIMESTAMPTZOID)
        return psprintf("pg_catalog.date_trunc(%s, pg_catalog.timezone(%s, %s))", unit,
                        quote_literal_cstr(spec->options.time_zone), value);
    return psprintf("pg_catalog.date_trunc(%s, %s::pg_catalog.timestamp)", unit, value);
}

int index_of_id(const EvaluateSpec* spec, const char* name) {
    for (int i = 0; i < spec->n_ids; ++i)
        if (strcmp(spec->ids[i], name) == 0) return i + 1;
    return 0;
}

}  // namespace

void describe_evaluation(EvaluateSpec* spec, char** id_columns, int n_id_columns) {
    check_predictions(spec);
    if (id_columns != nullptr) {
        spec->ids = id_columns;
        spec->n_ids = n_id_columns;
    } else {
        find_ids(spec);
    }
    check_ids(spec);
    check_target(spec);
    check_period(spec);
    if (spec->options.features) check_features(spec);
}

char* build_evaluate_query(const EvaluateSpec* spec) {
    StringInfoData query;
    const char* time = time_of_ids(spec);
    initStringInfo(&query);
    appendStringInfoString(&query, "SELECT ");
    append_keys(&query, spec, "p.", true);
    appendStringInfo(
        &query,
        "%s AS period, many_models.pair_version(p.pair) AS version, "
        "pg_catalog.max(many_models.pair_model(p.pair)), "
        "many_models.evaluate_pairs(p.pair) FROM (SELECT ",
        period_expression(
            spec, spec->period == nullptr ? "" : psprintf("p.i%d", index_of_id(spec, time)),
            spec->period == nullptr ? InvalidOid : column_of(spec->predictions, time)->atttypid));
    append_keys(&query, spec, "u.", true);
    for (int i = 1; i <= spec->n_ids; ++i) appendStringInfo(&query, "u.i%d, ", i);
    appendStringInfoString(
        &query,
        "many_models.pair(u.run_id, u.prediction, u.lower, u.upper, u.model_id, u.model_version, "
        "u.actual) AS pair FROM (SELECT ");
    append_side_columns(&query, spec);
    appendStringInfo(&query,
                     "s.run_id, s.prediction, s.lower, s.upper, s.model_id, s.model_version, "
                     "NULL::pg_catalog.float8 AS actual FROM %s AS s WHERE s.run_id "
                     "OPERATOR(pg_catalog.=) ANY (%s::pg_catalog.int8[])",
                     spec->predictions->from_clause, quote_literal_cstr(spec->scoring_runs));
    append_range(&query, spec, spec->predictions);
    appendStringInfoString(&query, " UNION ALL SELECT ");
    append_side_columns(&query, spec);
    const char* target = quote_identifier(spec->target);
    appendStringInfo(&query,
                     "NULL, NULL, NULL, NULL, NULL, NULL, many_models.number_of(s.%s) FROM %s AS s "
                     "WHERE s.%s IS NOT NULL",
                     target, spec->source->from_clause, target);
    append_range(&query, spec, spec->source);
    appendStringInfoString(&query, ") AS u GROUP BY ");
    append_keys(&query, spec, "u.", spec->n_ids > 0);
    for (int i = 1; i <= spec->n_ids; ++i)
        appendStringInfo(&query, "%su.i%d", i > 1 ? ", " : "", i);
    if (spec->run->n_keys + spec->n_ids == 0) appendStringInfoString(&query, "()");
    appendStringInfoString(&query, ") AS p GROUP BY ");
    append_keys(&query, spec, "p.", true);
    appendStringInfoString(&query, "period, version");
    return query.data;
}

namespace {

// Per feature: f<i>, the number, or c<i>, the level.
void append_features(StringInfo query, const EvaluateSpec* spec, const bool* is_level) {
    for (int i = 0; i < spec->run->n_features; ++i) {
        const char* name = quote_identifier(spec->run->features[i]);
        if (is_level[i])
            appendStringInfo(query, "s.%s::pg_catalog.text COLLATE pg_catalog.\"C\" AS c%d, ", name,
                             i + 1);
        else
            appendStringInfo(query, "many_models.number_of(s.%s) AS f%d, ", name, i + 1);
    }
}

// count, mean, standard deviation of each. Finite values whose squares are finite.
char* numbers_expression(const EvaluateSpec* spec, const bool* is_level) {
    StringInfoData list;
    initStringInfo(&list);
    appendStringInfoString(&list, "ARRAY[");
    for (int i = 0; i < spec->run->n_features; ++i) {
        if (i > 0) appendStringInfoString(&list, ", ");
        if (is_level[i]) {
            appendStringInfoString(&list, "0, 0, 0");
            continue;
        }
        const char* finite = psprintf(
            "FILTER (WHERE r.f%d OPERATOR(pg_catalog.>=) '-1e150'::pg_catalog.float8 AND r.f%d "
            "OPERATOR(pg_catalog.<=) '1e150'::pg_catalog.float8)",
            i + 1, i + 1);
        appendStringInfo(&list,
                         "pg_catalog.count(*) %s, pg_catalog.avg(r.f%d) %s, "
                         "pg_catalog.stddev_pop(r.f%d) %s",
                         finite, i + 1, finite, i + 1, finite);
    }
    appendStringInfoString(&list, "]::pg_catalog.float8[]");
    return list.data;
}

// [null, {"red": 3, "blue": 4}, ...]
char* levels_expression(const EvaluateSpec* spec, const bool* is_level) {
    StringInfoData list;
    initStringInfo(&list);
    appendStringInfoString(&list, "pg_catalog.jsonb_build_array(");
    for (int i = 0; i < spec->run->n_features; ++i) {
        if (i > 0) appendStringInfoString(&list, ", ");
        if (is_level[i])
            appendStringInfo(
                &list,
                "pg_catalog.jsonb_object_agg(q.c%d, q.n) FILTER (WHERE q.g%d AND q.c%d "
                "IS NOT NULL)",
                i + 1, i + 1, i + 1);
        else
            appendStringInfoString(&list, "NULL::pg_catalog.text");
    }
    appendStringInfoChar(&list, ')');
    return list.data;
}

}  // namespace

char* build_moments_query(const EvaluateSpec* spec) {
    const int n = spec->run->n_features;
    auto* is_level = static_cast<bool*>(palloc0(static_cast<Size>(n) + 1));
    const char* time = time_of_ids(spec);
    int n_levels = 0;
    for (int i = 0; i < n; ++i) {
        pg::FeatureReader reader;
        (void)pg::feature_reader_init(&reader,
                                      column_of(spec->source, spec->run->features[i])->atttypid);
        is_level[i] = reader.kind == pg::FeatureKind::level;
        n_levels += is_level[i] ? 1 : 0;
    }
    StringInfoData rows;
    initStringInfo(&rows);
    appendStringInfoString(&rows, "SELECT ");
    for (int i = 0; i < spec->run->n_keys; ++i)
        append_side_column(&rows, spec, spec->run->partition_by[i], psprintf("k%d", i + 1));
    append_features(&rows, spec, is_level);
    appendStringInfo(
        &rows, "%s AS period FROM %s AS s WHERE s.%s IS NOT NULL",
        period_expression(
            spec, spec->period == nullptr ? "" : psprintf("s.%s", quote_identifier(time)),
            spec->period == nullptr ? InvalidOid : column_of(spec->source, time)->atttypid),
        spec->source->from_clause, quote_identifier(spec->target));
    append_range(&rows, spec, spec->source);

    StringInfoData query;
    initStringInfo(&query);
    appendStringInfoString(&query, "SELECT ");
    append_keys(&query, spec, n_levels > 0 ? "q." : "r.", true);
    if (n_levels == 0) {
        appendStringInfo(&query, "r.period, %s, NULL::pg_catalog.jsonb FROM (%s) AS r GROUP BY ",
                         numbers_expression(spec, is_level), rows.data);
        append_keys(&query, spec, "r.", true);
        appendStringInfoString(&query, "r.period");
        return query.data;
    }
    // One row of the whole group, and one per level of each feature, put together.
    appendStringInfo(&query,
                     "q.period, pg_catalog.max(q.numbers) FILTER (WHERE q.whole), %s FROM "
                     "(SELECT ",
                     levels_expression(spec, is_level));
    append_keys(&query, spec, "r.", true);
    appendStringInfo(&query, "r.period, %s AS numbers, pg_catalog.count(*) AS n, true",
                     numbers_expression(spec, is_level));
    for (int i = 1; i <= n; ++i)
        if (is_level[i - 1])
            appendStringInfo(&query, " AND GROUPING(r.c%d) OPERATOR(pg_catalog.=) 1", i);
    appendStringInfoString(&query, " AS whole");
    for (int i = 1; i <= n; ++i)
        if (is_level[i - 1])
            appendStringInfo(&query, ", r.c%d, GROUPING(r.c%d) OPERATOR(pg_catalog.=) 0 AS g%d", i,
                             i, i);
    appendStringInfo(&query, " FROM (%s) AS r GROUP BY GROUPING SETS ((", rows.data);
    append_keys(&query, spec, "r.", true);
    appendStringInfoString(&query, "r.period)");
    for (int i = 1; i <= n; ++i) {
        if (!is_level[i - 1]) continue;
        appendStringInfoString(&query, ", (");
        append_keys(&query, spec, "r.", true);
        appendStringInfo(&query, "r.period, r.c%d)", i);
    }
    appendStringInfoString(&query, ")) AS q GROUP BY ");
    append_keys(&query, spec, "q.", true);
    appendStringInfoString(&query, "q.period");
    return query.data;
}

}  // namespace many::serving
