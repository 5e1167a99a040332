// Pieces of standard SQL: see sql_text.h.
#include "serving/sql_text.h"

#include <cmath>
#include <cstdio>

#include "pg/feature_reader.h"

namespace many::serving {

namespace {

char* field(const char* name, const char* column) {
    return psprintf("EXTRACT(%s FROM %s)", name, column);
}

// Days since 1970-01-01 from year, month and day (proleptic Gregorian, years from 1 on), since
// databases do not agree on what the difference of two dates is. The year begins in March, so that
// the leap day is its last: y = year less one in January and February, m = 0 for March.
void append_days(StringInfo sql, const char* column) {
    const char* year = field("YEAR", column);
    const char* month = field("MONTH", column);
    const char* turn = psprintf("FLOOR((%s + 9) / 12.0)", month);  // 0 in January and February
    const char* y = psprintf("(%s + %s - 1)", year, turn);
    appendStringInfo(sql,
                     "365 * %s + FLOOR(%s / 4.0) - FLOOR(%s / 100.0) + FLOOR(%s / 400.0) + "
                     "FLOOR((153 * (%s + 9 - 12 * %s) + 2) / 5.0) + %s - 719469",
                     y, y, y, y, month, turn, field("DAY", column));
}

void append_seconds(StringInfo sql, const char* column) {
    appendStringInfoString(sql, "86400 * (");
    append_days(sql, column);
    appendStringInfo(sql, ") + 3600 * %s + 60 * %s + %s", field("HOUR", column),
                     field("MINUTE", column), field("SECOND", column));
}

}  // namespace

SqlKind sql_kind(Oid type) {
    pg::FeatureReader reader;
    if (!pg::feature_reader_init(&reader, type))
        ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                        errmsg("type %s cannot be a feature", format_type_be(type))));
    if (reader.kind == pg::FeatureKind::level)
        return reader.is_enum ? SqlKind::label : SqlKind::text;
    switch (reader.type) {
        case BOOLOID:
            return SqlKind::boolean;
        case DATEOID:
            return SqlKind::date;
        case TIMESTAMPOID:
            return SqlKind::timestamp;
        case TIMESTAMPTZOID:
            return SqlKind::timestamptz;
        default:
            return SqlKind::number;
    }
}

void append_double(StringInfo sql, double value) {
    char digits[40];
    if (!std::isfinite(value))
        ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
                        errmsg("the model has a coefficient that is not finite")));
    std::snprintf(digits, sizeof digits, "%.16E", value);
    appendStringInfoString(sql, digits);
}

void append_term(StringInfo sql, double value) {
    appendStringInfoString(sql, std::signbit(value) ? " - " : " + ");
    append_double(sql, std::fabs(value));
}

void append_string(StringInfo sql, const char* text, int length) {
    appendStringInfoChar(sql, '\'');
    for (int i = 0; i < length; ++i) {
        if (text[i] == '\'') appendStringInfoChar(sql, '\'');
        appendStringInfoChar(sql, text[i]);
    }
    appendStringInfoChar(sql, '\'');
}

char* sql_column(const char* alias, const char* name) {
    if (alias == nullptr) return pstrdup(quote_identifier(name));
    return psprintf("%s.%s", quote_identifier(alias), quote_identifier(name));
}

void append_number(StringInfo sql, SqlKind kind, const char* column) {
    switch (kind) {
        case SqlKind::boolean:
            appendStringInfo(sql, "CASE WHEN %s THEN 1.0E+00 WHEN NOT %s THEN 0.0E+00 END", column,
                             column);
            return;
        case SqlKind::date:
            appendStringInfoString(sql, "CAST(");
            append_days(sql, column);
            break;
        case SqlKind::timestamp:
            appendStringInfoString(sql, "CAST(");
            append_seconds(sql, column);
            break;
        case SqlKind::timestamptz:
            appendStringInfoString(sql, "CAST(");
            append_seconds(sql,
                           psprintf("(%s AT TIME ZONE INTERVAL '0:00' HOUR TO MINUTE)", column));
            break;
        default:
            appendStringInfo(sql, "CAST(%s", column);
    }
    appendStringInfoString(sql, " AS DOUBLE PRECISION)");
}

double term_weight(const core::LinearModelView& model, int term) {
    const double b = model.coefficient(term);
    return std::isnan(b) ? 0.0 : b;
}

double level_part(const core::LinearModelView& model,
                  const core::LinearModelView::FeatureWalk& walk, double level) {
    const int first = walk.first_term();
    long double sum = 0;  // close to what is left when large parts cancel
    for (int l = 1; l < walk.n_levels(); ++l) {
        const long double weight = term_weight(model, first + l - 1);
        sum += weight * ((l == level ? 1.0L : 0.0L) - model.mean(first + l - 1));
    }
    return static_cast<double>(sum);
}

void require_kind(const core::LinearModelView::FeatureWalk& walk, SqlKind kind, const char* name) {
    if (is_level(kind) == walk.categorical()) return;
    ereport(ERROR,
            (errcode(ERRCODE_DATATYPE_MISMATCH),
             walk.categorical()
                 ? errmsg("feature \"%s\" has levels in the model, but no type of texts", name)
                 : errmsg("feature \"%s\" has a type of texts, but no levels in the model", name)));
}

}  // namespace many::serving
