// hierarchy_rows: the rows of a hierarchy's forecasts or errors, nodes and steps numbered. The query runs
// as the caller, under the caller's search_path, as any source does; what `reconcile` makes of the
// rows is SQL.
#include "pg/read_query.h"
#include "pg/server.h"
#include "pg/source.h"

#include <cmath>

using namespace many;

namespace {

enum Argument { kSource, kPartitionBy, kTimeColumn, kValueColumn, kRole, kEveryStep };

// Columns of the query: key, node, step, time, value, rows of the same key and time.
enum Column { kKey, kNode, kStep, kTime, kValue, kCopies };

struct Rows {
    const char* role;  // the argument that the source is, for messages
    ReturnSetInfo* result;
    int64 n_rows, n_nodes, n_steps;
};

char* required_text(FunctionCallInfo fcinfo, int argument, const char* name) {
    if (PG_ARGISNULL(argument))
        ereport(ERROR,
                (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s must not be NULL", name)));
    return text_to_cstring(PG_GETARG_TEXT_PP(argument));
}

const char* column_of(const pg::Source* source, const char* name, const char* role) {
    if (pg::source_column(source, name) == 0)
        ereport(ERROR,
                (errcode(ERRCODE_UNDEFINED_COLUMN), errmsg("%s has no column \"%s\"", role, name),
                 errhint("Its columns are %s.", pg::source_column_list(source))));
    return quote_identifier(name);
}

void append_query(StringInfo sql, FunctionCallInfo fcinfo, const pg::Source* source,
                  const char* role) {
    if (PG_ARGISNULL(kPartitionBy))
        ereport(ERROR,
                (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("partition_by must not be NULL")));
    int n;
    char** keys =
        pg::text_array_to_strings(PG_GETARG_ARRAYTYPE_P(kPartitionBy), "partition_by", &n);
    if (n < 1 || n > 32)
        ereport(ERROR,
                (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("partition_by has %d columns", n),
                 errhint("A hierarchy has 1 to 32 of them.")));
    const char* time = column_of(source, required_text(fcinfo, kTimeColumn, "time_column"), role);
    const char* value =
        column_of(source, required_text(fcinfo, kValueColumn, "the column of values"), role);
    // Sorted by the columns themselves: comparisons of jsonb are many times slower.
    StringInfoData names, columns;
    initStringInfo(&names);
    initStringInfo(&columns);
    for (int i = 0; i < n; ++i) {
        const char* column = column_of(source, keys[i], role);
        appendStringInfo(&names, "%s%s, s.%s", i > 0 ? ", " : "", quote_literal_cstr(keys[i]),
                         column);
        appendStringInfo(&columns, "%ss.%s", i > 0 ? ", " : "", column);
    }
    appendStringInfo(sql,
                     "SELECT pg_catalog.jsonb_build_object(%s), "
                     "pg_catalog.dense_rank() OVER (ORDER BY %s), "
                     "pg_catalog.dense_rank() OVER (ORDER BY s.%s), "
                     "pg_catalog.to_jsonb(s.%s) OPERATOR(pg_catalog.#>>) '{}', "
                     "s.%s::pg_catalog.float8, "
                     "pg_catalog.count(*) OVER (PARTITION BY %s, s.%s) FROM %s AS s",
                     names.data, columns.data, time, time, value, columns.data, time,
                     source->from_clause);
}

char* key_text(Datum key) {
    return JsonbToCString(nullptr, &DatumGetJsonbP(key)->root, -1);
}

void take_row(TupleTableSlot* slot, void* argument) {
    auto* rows = static_cast<Rows*>(argument);
    const Datum* values = slot->tts_values;
    if (slot->tts_isnull[kTime])
        ereport(ERROR,
                (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                 errmsg("%s has a row of %s without a time", rows->role, key_text(values[kKey]))));
    if (DatumGetInt64(values[kCopies]) > 1)
        ereport(ERROR, (errcode(ERRCODE_CARDINALITY_VIOLATION),
                        errmsg("%s has " INT64_FORMAT " rows of %s at %s", rows->role,
                               DatumGetInt64(values[kCopies]), key_text(values[kKey]),
                               TextDatumGetCString(values[kTime]))));
    ++rows->n_rows;
    const int64 node = DatumGetInt64(values[kNode]), step = DatumGetInt64(values[kStep]);
    if (node > rows->n_nodes) rows->n_nodes = node;
    if (step > rows->n_steps) rows->n_steps = step;
    Datum out[] = {values[kKey], Int32GetDatum(static_cast<int32>(node)),
                   Int32GetDatum(static_cast<int32>(step)), values[kTime], values[kValue]};
    bool nulls[] = {false, false, false, false, slot->tts_isnull[kValue]};
    tuplestore_putvalues(rows->result->setResult, rows->result->setDesc, out, nulls);
}

}  // namespace

extern "C" {

PG_FUNCTION_INFO_V1(many_hierarchy_rows);

// hierarchy_rows(source, partition_by, time_column, value_column, role, every_step)
Datum many_hierarchy_rows(PG_FUNCTION_ARGS) {
    InitMaterializedSRF(fcinfo, 0);
    Rows rows = {};
    rows.result = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
    rows.role = required_text(fcinfo, kRole, "role");
    if (PG_ARGISNULL(kSource)) return Datum(0);
    const bool every_step = !PG_ARGISNULL(kEveryStep) && PG_GETARG_BOOL(kEveryStep);
    if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
    const pg::Source* source =
        pg::describe_source(text_to_cstring(PG_GETARG_TEXT_PP(kSource)), rows.role);
    StringInfoData sql;
    initStringInfo(&sql);
    append_query(&sql, fcinfo, source, rows.role);
    (void)pg::run_read_query(sql.data, 1, take_row, &rows);
    if (every_step && rows.n_rows != rows.n_nodes * rows.n_steps)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("%s has " INT64_FORMAT " rows for " INT64_FORMAT
                               " nodes and " INT64_FORMAT " times",
                               rows.role, rows.n_rows, rows.n_nodes, rows.n_steps),
                        errhint("Each node, aggregates too, has a row for each time.")));
    SPI_finish();
    return Datum(0);
}

}  // extern "C"
