// What a run reads: a relation by name, or a SELECT / WITH query.
#pragma once

#include "pg/server.h"

namespace many::pg {

struct Source {
    const char* text;         // as the user gave it
    const char* from_clause;  // quoted relation name, or "(query)"; to be followed by an alias
    bool is_query;
    Oid relation;       // InvalidOid for a query
    TupleDesc columns;  // what SELECT * FROM source returns
};

// Around everything that may run functions of a source: parsing and planning too, which evaluate
// constants. They run as the caller, and may be anyone's: in views, in the text that the owner of a set
// stored. So the transaction is read-only meanwhile, roles cannot be changed (RESET ROLE would give
// back what a superuser laid down to run this), no state of the session can be prepared for later,
// and settings that change are set back. An error in between is undone by the abort of the
// (sub)transaction but for XactReadOnly, which the caller restores from was_read_only.
struct SourceGuard {
    Oid user;
    int context;
    int guc_level;
    bool was_read_only;
};
void enter_source(SourceGuard* guard);
void leave_source(const SourceGuard* guard);

// SPI_prepare of a query over a source, guarded; leaves the memory context as it is.
SPIPlanPtr prepare_source(const char* query);

// Parses and plans the source as the caller, before a row is read. `argument` names the argument in
// messages. Errors: 42P01 unknown relation, 42601 syntax (the server's), 22023 not a single SELECT,
// 42809 a relation that holds no rows. Needs an SPI connection.
Source* describe_source(const char* text, const char* argument);

// What describe_source has as from_clause, for a source that need not be in this database: a name as
// given, quoted, or the query in parentheses.
char* from_clause_text(const char* text, const char* argument);

// Attribute number of a column by exact name (1-based), 0 when there is none.
int source_column(const Source* source, const char* name);

// "a, b, c": the source's columns, for hints.
char* source_column_list(const Source* source);

// Columns of the primary key of a source that is a table, in order; count in *n (0: none).
char** source_primary_key(const Source* source, int* n);

// text[] -> C strings; NULL elements raise 22004 naming the argument.
char** text_array_to_strings(ArrayType* array, const char* argument, int* n);
// C strings -> text[]; n < 0 gives nullptr.
ArrayType* strings_to_text_array(char** strings, int n);

// The type that to_regtype finds by the text; InvalidOid when there is none.
Oid find_type(const char* name);

}  // namespace many::pg
