// model_sql: a linear model as an expression of standard SQL over its feature columns.
//
// The centred form of the prediction, target_mean + sum b_j (x_j - mean_j), as the scorer has it: no
// digits are lost to large offsets, such as those of timestamps.
#include "core/codec/linear_model.h"
#include "pg/server.h"
#include "pg/source.h"
#include "serving/model_value.h"
#include "serving/sql_text.h"

#include <cmath>

using namespace many;
using namespace many::serving;

namespace {

using Walk = core::LinearModelView::FeatureWalk;

struct Columns {
    int n;
    char** names;
    const Oid* types;  // nullptr: not known; all that are not categorical are numbers
    const char* alias;
};

void append_levels(StringInfo sql, const core::LinearModelView& model, Walk* walk,
                   const char* column) {
    appendStringInfoString(sql, "\n  + CASE ");
    if (model.imputed()) {
        appendStringInfo(sql, "WHEN %s IS NULL THEN ", column);
        append_double(sql, level_part(model, *walk, walk->imputed_value()));
        appendStringInfoString(sql, " ELSE CASE ");
    }
    appendStringInfoString(sql, column);
    std::string_view level;
    for (int l = 0; walk->next_level(&level); ++l) {
        appendStringInfoString(sql, " WHEN ");
        append_string(sql, level.data(), static_cast<int>(level.size()));
        appendStringInfoString(sql, " THEN ");
        append_double(sql, level_part(model, *walk, l));
    }
    appendStringInfoString(sql, model.imputed() ? " END END" : " END");
}

void append_feature(StringInfo sql, const core::LinearModelView& model, const Walk& walk,
                    SqlKind kind, const char* column) {
    const double b = term_weight(model, walk.first_term());
    appendStringInfoString(sql, "\n ");
    append_term(sql, b);
    appendStringInfoString(sql, " * (");
    if (model.imputed()) appendStringInfoString(sql, "COALESCE(");
    append_number(sql, kind, column);
    if (model.imputed()) {
        appendStringInfoString(sql, ", ");
        append_double(sql, walk.imputed_value());
        appendStringInfoChar(sql, ')');
    }
    append_term(sql, -model.mean(walk.first_term()));
    appendStringInfoChar(sql, ')');
}

text* expression_of(const core::LinearModelView& model, const Columns* columns) {
    StringInfoData sql;
    initStringInfo(&sql);
    appendStringInfoString(&sql, "(CAST(");
    append_double(&sql, model.target_mean());
    appendStringInfoString(&sql, " AS DOUBLE PRECISION)");
    Walk walk(model);
    for (int k = 0; k < columns->n && walk.next(); ++k) {
        CHECK_FOR_INTERRUPTS();
        const char* column = sql_column(columns->alias, columns->names[k]);
        SqlKind kind = walk.categorical() ? SqlKind::text : SqlKind::number;
        if (columns->types != nullptr) kind = sql_kind(columns->types[k]);
        require_kind(walk, kind, columns->names[k]);
        if (walk.categorical())
            append_levels(&sql, model, &walk, column);
        else
            append_feature(&sql, model, walk, kind, column);
    }
    appendStringInfoChar(&sql, ')');
    return cstring_to_text_with_len(sql.data, sql.len);
}

Oid* types_of(ArrayType* array, int n) {
    int n_types = 0;
    char** names = pg::text_array_to_strings(array, "feature_types", &n_types);
    if (n_types != n)
        ereport(ERROR,
                (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                 errmsg("feature_types has %d names, the model has %d features", n_types, n)));
    auto* types = static_cast<Oid*>(palloc(sizeof(Oid) * (static_cast<Size>(n) + 1)));
    for (int i = 0; i < n; ++i)
        types[i] = DatumGetObjectId(DirectFunctionCall1(regtypein, CStringGetDatum(names[i])));
    return types;
}

}  // namespace

extern "C" {

PG_FUNCTION_INFO_V1(many_model_expression);

// model_expression(model, features, feature_types, alias) -> text
Datum many_model_expression(PG_FUNCTION_ARGS) {
    if (PG_ARGISNULL(0)) PG_RETURN_NULL();
    ModelBytes bytes;
    core::LinearModelView model;
    if (!open_model_value(PG_GETARG_DATUM(0), &bytes, &model)) PG_RETURN_NULL();
    if (PG_ARGISNULL(1))
        ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("features is NULL"),
                        errhint("Give the names of the feature columns, in the order of the "
                                "fit.")));
    Columns columns = {};
    columns.names = pg::text_array_to_strings(PG_GETARG_ARRAYTYPE_P(1), "features", &columns.n);
    if (columns.n != model.n_features())
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("features has %d names, the model has %d features", columns.n,
                               model.n_features())));
    if (!PG_ARGISNULL(2)) columns.types = types_of(PG_GETARG_ARRAYTYPE_P(2), columns.n);
    if (!PG_ARGISNULL(3)) columns.alias = text_to_cstring(PG_GETARG_TEXT_PP(3));
    PG_RETURN_TEXT_P(expression_of(model, &columns));
}

}  // extern "C"
