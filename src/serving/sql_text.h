// Pieces of standard SQL for models that are to score in another database (model_sql.cpp,
// model_set_sql.cpp): literals, columns, and features as numbers, all in SQL:2003 core and its
// extract functions, without a function or type of PostgreSQL's own.
#pragma once

#include "core/codec/linear_model.h"
#include "pg/server.h"

namespace many::serving {

// How a column becomes a feature.
enum class SqlKind : uint8 {
    number,
    boolean,
    date,
    timestamp,
    timestamptz,
    text,
    label  // of an enum: text after a cast
};

// Raises 42804 for a type that is no feature.
SqlKind sql_kind(Oid type);

inline bool is_level(SqlKind kind) {
    return kind == SqlKind::text || kind == SqlKind::label;
}

// An approximate numeric literal of 17 significant digits, which read back give the same double:
// -1.2345678901234567E+01.
void append_double(StringInfo sql, double value);

// " + b" or " - b".
void append_term(StringInfo sql, double value);

// 'it''s': quotes doubled, no other escape.
void append_string(StringInfo sql, const char* text, int length);

// alias.column, quoted where need be; alias may be nullptr.
char* sql_column(const char* alias, const char* name);

// The feature's number as DOUBLE PRECISION, by the units of the reference's table of features; NULL
// for NULL. Not for levels.
void append_number(StringInfo sql, SqlKind kind, const char* column);

// The coefficient of a term; 0 when it was dropped as collinear.
double term_weight(const core::LinearModelView& model, int term);

// What level l of the categorical feature at `walk` adds: the sum of b_j ([j = l] - mean_j) over the
// feature's terms. Cost O(levels).
double level_part(const core::LinearModelView& model,
                  const core::LinearModelView::FeatureWalk& walk, double level);

// 42804 when the column's type does not go with what the model has.
void require_kind(const core::LinearModelView::FeatureWalk& walk, SqlKind kind, const char* name);

}  // namespace many::serving
