// The query of a scoring run: see score_query.h. Runs as the caller; needs an SPI connection.
#include "serving/score_query.h"

#include "pg/feature_reader.h"
#include "registry/access.h"
#include "registry/key_text.h"
#include "serving/score_query_parts.h"

extern "C" {
#include "catalog/pg_operator.h"
#include "nodes/makefuncs.h"
#include "parser/parse_oper.h"
#include "storage/lmgr.h"
}

namespace many::serving {

namespace {

constexpr int kMaxVariadic = FUNC_MAX_ARGS - 4;  // after the fixed arguments of score_row

}  // namespace

Oid type_from_text(const char* name) {
    const Oid type = pg::find_type(name);
    if (!OidIsValid(type))
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                        errmsg("type %s of the training run does not exist any more", name)));
    return type;
}

char* qualified_type(Oid type) {
    return format_type_extended(getBaseType(type), -1, FORMAT_TYPE_FORCE_QUALIFY);
}

Form_pg_attribute required_column(const pg::Source* source, const char* name, const char* role) {
    const int column = pg::source_column(source, name);
    if (column == 0)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
                        errmsg("the source has no column \"%s\", which is %s", name, role),
                        errhint("Its columns are %s.", pg::source_column_list(source))));
    return TupleDescAttr(source->columns, column - 1);
}

namespace {

void carry(ScoreSpec* spec, Form_pg_attribute attribute) {
    for (int i = 0; i < spec->n_carried; ++i)
        if (strcmp(spec->carried[i].name, NameStr(attribute->attname)) == 0) return;
    spec->carried[spec->n_carried++] = {pstrdup(NameStr(attribute->attname)), attribute->atttypid,
                                        attribute->atttypmod, attribute->attcollation};
}

bool is_integer(Oid type) {
    return type == INT2OID || type == INT4OID || type == INT8OID;
}
bool is_text(Oid type) {
    return type == TEXTOID || type == VARCHAROID;
}

}  // namespace

void check_keys(const ScoreSpec* spec, const registry::TrainingRun* run) {
    for (int i = 0; i < run->n_keys; ++i) {
        const Oid now = getBaseType(spec->carried[i].type);
        const Oid trained = getBaseType(type_from_text(run->key_types[i]));
        if (now == trained || (is_integer(now) && is_integer(trained)) ||
            (is_text(now) && is_text(trained)))
            continue;
        ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                        errmsg("partition column \"%s\" has type %s, the models were trained by "
                               "type %s",
                               run->partition_by[i], format_type_be(spec->carried[i].type),
                               run->key_types[i]),
                        errhint("Cast the column in a source query.")));
    }
}

void check_features(const ScoreSpec* spec, const registry::TrainingRun* run) {
    for (int i = 0; i < run->n_features; ++i) {
        Form_pg_attribute attribute =
            required_column(spec->source, run->features[i], "a feature of the models");
        const Oid trained = type_from_text(run->feature_types[i]);
        pg::FeatureReader now;
        pg::FeatureReader then;
        // Days and seconds are different numbers: the unit must be the same too.
        if (!pg::feature_reader_init(&now, attribute->atttypid) ||
            !pg::feature_reader_init(&then, trained) || now.kind != then.kind ||
            strcmp(pg::feature_unit(now.type), pg::feature_unit(then.type)) != 0)
            ereport(ERROR,
                    (errcode(ERRCODE_DATATYPE_MISMATCH),
                     errmsg("feature \"%s\" has type %s, the models were trained with type %s",
                            run->features[i], format_type_be(attribute->atttypid),
                            run->feature_types[i]),
                     errhint("Cast the column in a source query.")));
    }
}

char* equality_operator(const char* column, Oid source_type, Oid key_type) {
    Oid equality = InvalidOid;
    Oid left = source_type;
    if (source_type == key_type) {
        equality = lookup_type_cache(source_type, TYPECACHE_EQ_OPR)->eq_opr;
    } else {
        Operator op = compatible_oper(
            nullptr, list_make2(makeString(pstrdup("pg_catalog")), makeString(pstrdup("="))),
            source_type, key_type, true, -1);
        if (op != nullptr) {
            equality = oprid(op);
            left = reinterpret_cast<Form_pg_operator>(GETSTRUCT(op))->oprleft;
            ReleaseSysCache(op);
        }
    }
    if (!OidIsValid(equality) || !op_hashjoinable(equality, left))
        elog(ERROR, "partition column \"%s\" has no equality that can be hashed", column);
    HeapTuple tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(equality));
    if (!HeapTupleIsValid(tuple)) elog(ERROR, "cache lookup failed for operator %u", equality);
    const auto* form = reinterpret_cast<Form_pg_operator>(GETSTRUCT(tuple));
    char* text =
        psprintf("OPERATOR(%s.%s)", quote_identifier(get_namespace_name(form->oprnamespace)),
                 NameStr(form->oprname));
    ReleaseSysCache(tuple);
    return text;
}

// The value of a key column as an expression over k, a row of model_store.
char* key_expression(const registry::TrainingRun* run, int i) {
    return registry::key_value_sql("k.partition_key", run->partition_by[i],
                                   type_from_text(run->key_types[i]));
}

namespace {

char* select_one_text(const char* query) {
    if (SPI_execute(query, true, 1) != SPI_OK_SELECT) elog(ERROR, "could not read the models");
    return SPI_processed > 0 ? SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1)
                             : nullptr;
}

// A key value that is not NULL, as text; nullptr when all are NULL.
char* some_key_value(const ScoreSpec* spec, int i) {
    const char* name = quote_literal_cstr(spec->run->partition_by[i]);
    return select_one_text(
        psprintf("SELECT k.partition_key OPERATOR(pg_catalog.->>) %s FROM %s AND "
                 "(k.partition_key OPERATOR(pg_catalog.->>) %s) IS NOT NULL LIMIT 1",
                 name, score_models_rows(&spec->models), name));
}

}  // namespace

void append_join_condition(StringInfo query, const ScoreSpec* spec, int i) {
    const registry::TrainingRun* run = spec->run;
    const char* column = quote_identifier(run->partition_by[i]);
    const Oid key_type = getBaseType(type_from_text(run->key_types[i]));
    const char* equals =
        equality_operator(run->partition_by[i], getBaseType(spec->carried[i].type), key_type);
    if (i > 0) appendStringInfoString(query, " AND ");
    if (!spec->models.nullable_keys[i]) {
        appendStringInfo(query, "s.%s %s m.k%d", column, equals, i + 1);
        return;
    }
    // NULL is a group of its own. Both conditions can be hashed: a NULL takes the place of some
    // key, and whether it was one is compared beside.
    char* stand_in = some_key_value(spec, i);
    if (stand_in != nullptr) {
        const char* literal =
            psprintf("%s::%s", quote_literal_cstr(stand_in), qualified_type(key_type));
        appendStringInfo(query, "coalesce(s.%s, %s) %s coalesce(m.k%d, %s) AND ", column, literal,
                         equals, i + 1, literal);
    }
    appendStringInfo(query, "(s.%s IS NULL) OPERATOR(pg_catalog.=) (m.k%d IS NULL)", column, i + 1);
}

namespace {

// Two models for one row would double it: possible only where the source's equality is wider than
// the one of training.
void check_keys_distinct(const ScoreSpec* spec) {
    const registry::TrainingRun* run = spec->run;
    bool wider = false;
    StringInfoData list;
    initStringInfo(&list);
    for (int i = 0; i < run->n_keys; ++i) {
        const CarriedColumn* column = &spec->carried[i];
        const bool fuzzy =
            OidIsValid(column->collation) && !get_collation_isdeterministic(column->collation);
        wider |=
            fuzzy || getBaseType(column->type) != getBaseType(type_from_text(run->key_types[i]));
        appendStringInfo(&list, "%s%s", i > 0 ? ", " : "", key_expression(run, i));
        if (!fuzzy) continue;
        char* collation = get_collation_name(column->collation);
        HeapTuple tuple = SearchSysCache1(COLLOID, ObjectIdGetDatum(column->collation));
        const Oid schema = reinterpret_cast<Form_pg_collation>(GETSTRUCT(tuple))->collnamespace;
        ReleaseSysCache(tuple);
        appendStringInfo(&list, " COLLATE %s",
                         quote_qualified_identifier(get_namespace_name(schema), collation));
    }
    if (!wider) return;
    if (select_one_text(psprintf("SELECT '1'::pg_catalog.text FROM %s GROUP BY %s HAVING "
                                 "pg_catalog.count(*) OPERATOR(pg_catalog.>) 1 LIMIT 1",
                                 score_models_rows(&spec->models), list.data)) != nullptr)
        ereport(ERROR, (errcode(ERRCODE_CARDINALITY_VIOLATION),
                        errmsg("a row of the source would match more than one model"),
                        errdetail("The source compares partition columns by another collation or "
                                  "type than the training did.")));
}

}  // namespace

void describe_score(ScoreSpec* spec, char** id_columns, int n_id_columns) {
    const registry::TrainingRun* run = spec->run;
    char** primary_key = nullptr;
    int n_primary_key = 0;
    if (id_columns == nullptr) primary_key = pg::source_primary_key(spec->source, &n_primary_key);
    const int n = run->n_keys + n_id_columns + n_primary_key + 1;
    spec->n_carried = 0;
    spec->carried =
        static_cast<CarriedColumn*>(palloc0(sizeof(CarriedColumn) * static_cast<Size>(n)));
    for (int i = 0; i < run->n_keys; ++i)
        carry(spec, required_column(spec->source, run->partition_by[i], "a partition column"));
    if (id_columns != nullptr) {
        for (int i = 0; i < n_id_columns; ++i)
            carry(spec, required_column(spec->source, id_columns[i], "among id_columns"));
    } else {
        for (int i = 0; i < n_primary_key; ++i)
            carry(spec, required_column(spec->source, primary_key[i], "of the primary key"));
        const int time =
            run->time_column == nullptr ? 0 : pg::source_column(spec->source, run->time_column);
        if (time > 0) carry(spec, TupleDescAttr(spec->source->columns, time - 1));
    }
    for (int i = 0; i < spec->models.n_runs; ++i) {
        check_keys(spec, spec->models.runs[i]);
        check_features(spec, spec->models.runs[i]);
    }
    check_keys_distinct(spec);
}

namespace {

void append_columns(StringInfo query, char** names, int n, bool* first) {
    for (int i = 0; i < n; ++i) {
        appendStringInfo(query, "%ss.%s", *first ? "" : ", ", quote_identifier(names[i]));
        *first = false;
    }
}

void append_carried(StringInfo query, const ScoreSpec* spec) {
    appendStringInfoString(query, "SELECT ");
    for (int i = 0; i < spec->n_carried; ++i)
        appendStringInfo(query, "s.%s, ", quote_identifier(spec->carried[i].name));
}

}  // namespace

namespace {

void append_text_array(StringInfo query, char** strings, int n) {
    appendStringInfoString(query, "ARRAY[");
    for (int i = 0; i < n; ++i)
        appendStringInfo(query, "%s%s", i > 0 ? ", " : "", quote_literal_cstr(strings[i]));
    appendStringInfoString(query, "]::pg_catalog.text[]");
}

// What score_row loads: storage and run_id of the version (0, 0: none), then layer and storage of
// each layer in force.
void append_model_list(StringInfo query, const ScoreModels* models) {
    const bool run = models->uses_run || models->production->n_layers == 0;
    appendStringInfo(query, "'{" INT64_FORMAT "," INT64_FORMAT, run ? models->run->storage : 0,
                     run ? models->run->run_id : 0);
    for (int i = 0; i < models->production->n_layers; ++i)
        appendStringInfo(query, "," INT64_FORMAT "," INT64_FORMAT, models->production->layers[i],
                         models->production->storages[i]);
    appendStringInfoString(query, "}'::pg_catalog.int8[]");
}

}  // namespace

char* build_score_query(const ScoreSpec* spec) {
    const registry::TrainingRun* run = spec->run;
    const ScoreModels* models = &spec->models;
    StringInfoData query;
    initStringInfo(&query);
    append_carried(&query, spec);
    const bool as_record = run->n_keys + models->n_features > kMaxVariadic;
    bool first = as_record;
    appendStringInfo(&query, "many_models.%s(", as_record ? "score_record" : "score_row");
    append_model_list(&query, models);
    appendStringInfo(&query, ", %.17g, ", spec->level);
    append_text_array(&query, run->partition_by, run->n_keys);
    appendStringInfoString(&query, ", ");
    append_text_array(&query, models->features, models->n_features);
    if (as_record) appendStringInfoString(&query, ", ROW(");
    append_columns(&query, run->partition_by, run->n_keys, &first);
    append_columns(&query, models->features, models->n_features, &first);
    appendStringInfo(&query, "%s) FROM %s AS s", as_record ? ")" : "", spec->source->from_clause);
    return query.data;
}

namespace {

// (run, version, places of its features or NULL), ...
void append_runs(StringInfo query, const ScoreModels* models) {
    appendStringInfoString(query, "(VALUES ");
    for (int i = 0; i < models->n_runs; ++i) {
        const registry::TrainingRun* run = models->runs[i];
        const int* places =
            feature_places(run->features, run->n_features, models->features, models->n_features);
        appendStringInfo(query, "%s('" INT64_FORMAT "'::pg_catalog.int8, %d, ", i > 0 ? ", " : "",
                         run->run_id, run->version);
        appendStringInfoString(query, places == nullptr ? "NULL" : "'{");
        for (int k = 0; places != nullptr && k < run->n_features; ++k)
            appendStringInfo(query, "%s%d", k > 0 ? "," : "", places[k]);
        appendStringInfo(query, "%s::pg_catalog.int4[])", places == nullptr ? "" : "}'");
    }
    appendStringInfoString(query, ") AS r (run_id, version, places)");
}

}  // namespace

char* build_joined_score_query(const ScoreSpec* spec) {
    const registry::TrainingRun* run = spec->run;
    const ScoreModels* models = &spec->models;
    StringInfoData query;
    initStringInfo(&query);
    append_carried(&query, spec);
    appendStringInfoString(
        &query, "many_models.score_joined(m.model_id, m.version, m.model, m.places, ROW(");
    bool first = true;
    append_columns(&query, models->features, models->n_features, &first);
    appendStringInfo(&query, ")) FROM %s AS s LEFT JOIN (SELECT ", spec->source->from_clause);
    for (int i = 0; i < run->n_keys; ++i)
        appendStringInfo(&query, "%s AS k%d, ", key_expression(run, i), i + 1);
    // open_model is volatile, so that the planner evaluates it here and not above the join.
    appendStringInfo(&query,
                     "k.model_id, r.version, r.places, many_models.open_model(k.model, %.17g) AS "
                     "model FROM (SELECT * FROM %s) AS k JOIN ",
                     spec->level, score_models_rows(models));
    append_runs(&query, models);
    appendStringInfoString(&query, " ON r.run_id OPERATOR(pg_catalog.=) k.run_id) AS m ON ");
    for (int i = 0; i < run->n_keys; ++i) append_join_condition(&query, spec, i);
    if (run->n_keys == 0) appendStringInfoString(&query, "true");
    return query.data;
}

}  // namespace many::serving
