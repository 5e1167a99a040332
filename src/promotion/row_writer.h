// Rows on their way into a table of production, one at a time, from within a running query.
#pragma once

#include "pg/server.h"

namespace many::promotion {

struct RowWriter;

// `fresh`: a table without indexes that this very call made. Its rows are written page by page, and
// frozen: nobody can see the table before the transaction commits, and if it does not, there is none.
// To a transaction that started before and looks at the table nevertheless they are there; which
// rows are in production, and of which promotion, it knows from other tables.
RowWriter* open_rows(Oid relation, bool fresh);
void write_row(RowWriter* writer, const Datum* values, const bool* nulls);
int64 close_writer(RowWriter* writer);  // the number of rows written

}  // namespace many::promotion
