// model_set_sql: a version of a model set as one statement of standard SQL.
//
//   WITH many_models_groups (g, k1, ..., c, b1, m1, ...) AS (VALUES (1, key, ..., c, b1, m1, ...), ...),
//   many_models_levels_3 (g, level, c) AS (VALUES (1, 'red', part), ...)
//   SELECT s.*, m.c + m.b1 * (x1 - m.m1) + ... + l3.c AS prediction
//   FROM source AS s
//   LEFT JOIN many_models_groups AS m ON ...
//   LEFT JOIN many_models_levels_3 AS l3 ON l3.g = m.g AND l3.level = s.x3
//
// One row of m per group; per categorical feature one table of levels. In the first row values have
// casts, which the others follow: without them PostgreSQL would take the numbers for numeric and
// convert them once per row scored.
#include "core/codec/linear_model.h"
#include "pg/arguments.h"
#include "pg/server.h"
#include "pg/source.h"
#include "registry/registry.h"
#include "serving/model_value.h"
#include "serving/score_query.h"
#include "serving/sql_text.h"

#include <cmath>

extern "C" {
#include "access/transam.h"
#include "utils/portal.h"
}

using namespace many;
using namespace many::serving;

namespace {

using Walk = core::LinearModelView::FeatureWalk;

constexpr int kBatch = 100;                      // models fetched at a time
constexpr int kMaxStatement = MaxAllocSize / 4;  // bytes of each list

struct Statement {
    const registry::TrainingRun* run;
    Oid* key_types;
    SqlKind* kinds;  // per feature
    bool imputed;
    int n_groups;
    StringInfoData models;   // rows of m
    StringInfoData* levels;  // per feature, rows of l<k>
};

Oid type_of(const char* name) {
    return DatumGetObjectId(DirectFunctionCall1(regtypein, CStringGetDatum(name)));
}

// The standard's name of a type that has one, else a qualified name.
const char* type_name(Oid type) {
    const bool builtin = type < FirstGenbkiObjectId;
    return format_type_extended(type, -1, builtin ? 0 : FORMAT_TYPE_FORCE_QUALIFY);
}

// A key's value from its text; `first`: in the row that settles the types.
void append_key(StringInfo sql, Oid type, const char* value, bool first) {
    const char* const cast = psprintf(" AS %s)", type_name(type));
    if (value == nullptr) {
        appendStringInfo(sql, first ? "CAST(NULL%s" : "NULL", cast);
        return;
    }
    const int length = static_cast<int>(strlen(value));
    switch (type) {
        case INT2OID:
        case INT4OID:
        case INT8OID:
            appendStringInfoString(sql, value);
            return;
        case NUMERICOID:
        case FLOAT4OID:
        case FLOAT8OID:
            if (strspn(value, "+-.0123456789eE") != strlen(value)) break;  // NaN, Infinity
            appendStringInfo(sql, first ? "CAST(%s%s" : "%s", value, cast);
            return;
        case BOOLOID:
            appendStringInfoString(sql, value[0] == 't' ? "TRUE" : "FALSE");
            return;
        case TEXTOID:
        case VARCHAROID:
        case BPCHAROID:
        case NAMEOID:
            append_string(sql, value, length);
            return;
        case DATEOID:
            appendStringInfoString(sql, "DATE ");
            append_string(sql, value, length);
            return;
        case TIMESTAMPOID:
            appendStringInfoString(sql, "TIMESTAMP ");
            append_string(sql, value, length);
            return;
        case TIMESTAMPTZOID:
            appendStringInfoString(sql, "TIMESTAMP WITH TIME ZONE ");
            append_string(sql, value, length);
            return;
        default:
            break;
    }
    appendStringInfoString(sql, "CAST(");
    append_string(sql, value, length);
    appendStringInfoString(sql, cast);
}

void append_value(StringInfo sql, double value, bool first) {
    appendStringInfoString(sql, first ? ", CAST(" : ", ");
    append_double(sql, value);
    if (first) appendStringInfoString(sql, " AS DOUBLE PRECISION)");
}

// Rows of l<k>, and the level that stands in for NULL into m.
void add_levels(Statement* st, const core::LinearModelView& model, Walk* walk, int feature) {
    StringInfo rows = &st->levels[feature];
    std::string_view level;
    bool found = false;
    for (int l = 0; walk->next_level(&level); ++l) {
        const bool first = rows->len == 0;
        appendStringInfo(rows, "%s\n    (%d, ", first ? "" : ",", st->n_groups);
        append_string(rows, level.data(), static_cast<int>(level.size()));
        append_value(rows, level_part(model, *walk, l), first);
        appendStringInfoChar(rows, ')');
        if (!model.imputed() || found || walk->imputed_value() != l) continue;
        found = true;
        appendStringInfoString(&st->models, ", ");
        append_string(&st->models, level.data(), static_cast<int>(level.size()));
    }
    if (st->imputed && !found) appendStringInfoString(&st->models, ", NULL");
}

void require_room(const StringInfo rows) {
    if (rows->len > kMaxStatement)
        ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                        errmsg("the statement would be too large"),
                        errhint("Score in this database, or take the groups one by one with "
                                "many_models.model_sql.")));
}

void add_model(Statement* st, HeapTuple tuple, TupleDesc descriptor) {
    const registry::TrainingRun* run = st->run;
    StringInfo rows = &st->models;
    const bool first = st->n_groups++ == 0;
    bool is_null = false;
    ModelBytes bytes;
    core::LinearModelView model;
    if (!open_model_value(SPI_getbinval(tuple, descriptor, 1, &is_null), &bytes, &model) ||
        model.n_features() != run->n_features)
        ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("damaged model value")));
    if (first) st->imputed = model.imputed();
    appendStringInfo(rows, "%s\n    (%d", first ? "" : ",", st->n_groups);
    for (int i = 0; i < run->n_keys; ++i) {
        appendStringInfoString(rows, ", ");
        append_key(rows, st->key_types[i], SPI_getvalue(tuple, descriptor, i + 2), first);
    }
    append_value(rows, model.target_mean(), first);
    Walk walk(model);
    for (int k = 0; k < run->n_features && walk.next(); ++k) {
        require_kind(walk, st->kinds[k], run->features[k]);
        if (walk.categorical()) {
            add_levels(st, model, &walk, k);
            require_room(&st->levels[k]);
            continue;
        }
        append_value(rows, term_weight(model, walk.first_term()), first);
        append_value(rows, model.mean(walk.first_term()), first);
        if (!st->imputed) continue;
        if (model.imputed())
            append_value(rows, walk.imputed_value(), first);
        else
            appendStringInfoString(rows, ", NULL");
    }
    appendStringInfoChar(rows, ')');
    require_room(rows);
}

char* models_query(const registry::TrainingRun* run) {
    StringInfoData sql;
    initStringInfo(&sql);
    appendStringInfoString(&sql, "SELECT k.model");
    for (int i = 0; i < run->n_keys; ++i)
        appendStringInfo(&sql, ", k.partition_key OPERATOR(pg_catalog.->>) %s",
                         quote_literal_cstr(run->partition_by[i]));
    appendStringInfo(
        &sql,
        " FROM many_models.model_store AS k WHERE k.storage OPERATOR(pg_catalog.=) '" INT64_FORMAT
        "'::pg_catalog.int8 AND k.run_id OPERATOR(pg_catalog.=) '" INT64_FORMAT
        "'::pg_catalog.int8 ORDER BY k.model_id",
        run->storage, run->run_id);
    return sql.data;
}

void read_models(Statement* st) {
    SPIPlanPtr plan = SPI_prepare(models_query(st->run), 0, nullptr);
    if (plan == nullptr) elog(ERROR, "could not plan the reading of models: %d", SPI_result);
    Portal portal = SPI_cursor_open(nullptr, plan, nullptr, nullptr, true);
    MemoryContext row_context =
        AllocSetContextCreate(CurrentMemoryContext, "many_models model", ALLOCSET_DEFAULT_SIZES);
    for (;;) {
        SPI_cursor_fetch(portal, true, kBatch);
        if (SPI_processed == 0) break;
        for (uint64 i = 0; i < SPI_processed; ++i) {
            CHECK_FOR_INTERRUPTS();
            MemoryContext old = MemoryContextSwitchTo(row_context);
            add_model(st, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
            MemoryContextSwitchTo(old);
            MemoryContextReset(row_context);
        }
        SPI_freetuptable(SPI_tuptable);
    }
    SPI_cursor_close(portal);
    if (st->n_groups == 0)
        ereport(ERROR, (errcode(ERRCODE_NO_DATA_FOUND),
                        errmsg("version %d of model set \"%s\" has no models", st->run->version,
                               st->run->model_set)));
}

// A feature of s as the text of a level.
char* level_text(const Statement* st, int k) {
    const char* column = sql_column("s", st->run->features[k]);
    char* text =
        st->kinds[k] == SqlKind::label ? psprintf("CAST(%s AS VARCHAR)", column) : pstrdup(column);
    return st->imputed ? psprintf("COALESCE(%s, m.n%d)", text, k + 1) : text;
}

void append_lists(StringInfo sql, const Statement* st) {
    const registry::TrainingRun* run = st->run;
    appendStringInfoString(sql, "WITH many_models_groups (g");
    for (int i = 0; i < run->n_keys; ++i) appendStringInfo(sql, ", k%d", i + 1);
    appendStringInfoString(sql, ", c");
    for (int k = 0; k < run->n_features; ++k) {
        if (!is_level(st->kinds[k])) appendStringInfo(sql, ", b%d, m%d", k + 1, k + 1);
        if (st->imputed) appendStringInfo(sql, ", n%d", k + 1);
    }
    appendStringInfoString(sql, ") AS (VALUES");
    appendBinaryStringInfo(sql, st->models.data, st->models.len);
    for (int k = 0; k < run->n_features; ++k) {
        if (!is_level(st->kinds[k])) continue;
        require_room(sql);
        appendStringInfo(sql, "\n), many_models_levels_%d (g, level, c) AS (VALUES", k + 1);
        appendBinaryStringInfo(sql, st->levels[k].data, st->levels[k].len);
    }
    appendStringInfoString(sql, "\n)\n");
}

void append_prediction(StringInfo sql, const Statement* st) {
    appendStringInfoString(sql, "SELECT s.*, m.c");
    for (int k = 0; k < st->run->n_features; ++k) {
        if (is_level(st->kinds[k])) {
            appendStringInfo(sql, "\n    + l%d.c", k + 1);
            continue;
        }
        appendStringInfo(sql, "\n    + m.b%d * (%s", k + 1, st->imputed ? "COALESCE(" : "");
        append_number(sql, st->kinds[k], sql_column("s", st->run->features[k]));
        if (st->imputed) appendStringInfo(sql, ", m.n%d)", k + 1);
        appendStringInfo(sql, " - m.m%d)", k + 1);
    }
    appendStringInfoString(sql, " AS prediction\n");
}

void append_joins(StringInfo sql, const Statement* st) {
    const registry::TrainingRun* run = st->run;
    appendStringInfoString(sql, "LEFT JOIN many_models_groups AS m ON ");
    if (run->n_keys == 0) appendStringInfoString(sql, "1 = 1");
    for (int i = 0; i < run->n_keys; ++i)
        appendStringInfo(sql, "%sm.k%d %s %s", i > 0 ? " AND " : "", i + 1,
                         run->nullable_keys[i] ? "IS NOT DISTINCT FROM" : "=",
                         sql_column("s", run->partition_by[i]));
    for (int k = 0; k < run->n_features; ++k)
        if (is_level(st->kinds[k]))
            appendStringInfo(sql,
                             "\nLEFT JOIN many_models_levels_%d AS l%d ON l%d.g = m.g AND "
                             "l%d.level = %s",
                             k + 1, k + 1, k + 1, k + 1, level_text(st, k));
}

text* statement_text(const Statement* st, const char* from_clause) {
    StringInfoData sql;
    initStringInfo(&sql);
    append_lists(&sql, st);
    append_prediction(&sql, st);
    appendStringInfo(&sql, "FROM %s AS s\n", from_clause);
    append_joins(&sql, st);
    return cstring_to_text_with_len(sql.data, sql.len);
}

Statement* new_statement(const registry::TrainingRun* run) {
    auto* st = static_cast<Statement*>(palloc0(sizeof(Statement)));
    const Size n_features = static_cast<Size>(run->n_features) + 1;
    st->run = run;
    st->key_types = static_cast<Oid*>(palloc(sizeof(Oid) * (static_cast<Size>(run->n_keys) + 1)));
    for (int i = 0; i < run->n_keys; ++i)
        st->key_types[i] = getBaseType(type_of(run->key_types[i]));
    st->kinds = static_cast<SqlKind*>(palloc(sizeof(SqlKind) * n_features));
    st->levels = static_cast<StringInfoData*>(palloc0(sizeof(StringInfoData) * n_features));
    for (int k = 0; k < run->n_features; ++k) {
        st->kinds[k] = sql_kind(type_of(run->feature_types[k]));
        if (is_level(st->kinds[k])) initStringInfo(&st->levels[k]);
    }
    initStringInfo(&st->models);
    return st;
}

}  // namespace

extern "C" {

PG_FUNCTION_INFO_V1(many_model_set_sql);

// model_set_sql(model_set, version, source) -> text
Datum many_model_set_sql(PG_FUNCTION_ARGS) {
    const char* model_set = pg::required_text_argument(fcinfo, 0, "model_set");
    const int version = pg::version_argument(fcinfo, 1);
    const char* source = pg::text_argument(fcinfo, 2);
    const MemoryContext caller = CurrentMemoryContext;
    if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
    registry::lock_models();
    PushActiveSnapshot(GetTransactionSnapshot());  // the statement's is older than the lock
    Statement* st = new_statement(registry::find_training_run(model_set, version));
    const char* from_clause =
        pg::from_clause_text(source != nullptr ? source : st->run->source, "source");
    read_models(st);
    PopActiveSnapshot();
    const MemoryContext spi = MemoryContextSwitchTo(caller);
    text* result = statement_text(st, from_clause);
    MemoryContextSwitchTo(spi);
    SPI_finish();
    PG_RETURN_TEXT_P(result);
}

}  // extern "C"
