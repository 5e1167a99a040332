#include "pg/server.h"

#include "pg/source.h"

#include <initializer_list>

extern "C" {
#include "catalog/pg_constraint.h"
#include "nodes/parsenodes.h"
#include "utils/plancache.h"
#include "utils/varlena.h"
}

namespace many::pg {

namespace {

// A source is a query when it parses as one and starts like one; a name never starts so.
bool looks_like_query(const char* text) {
    const char* p = text;
    for (;;) {
        while (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r' || *p == '(') p++;
        if (p[0] == '-' && p[1] == '-') {
            while (*p && *p != '\n') p++;
        } else if (p[0] == '/' && p[1] == '*') {
            int depth = 0;
            while (*p) {
                if (p[0] == '/' && p[1] == '*') {
                    depth++;
                    p += 2;
                } else if (p[0] == '*' && p[1] == '/') {
                    p += 2;
                    if (--depth == 0) break;
                } else {
                    p++;
                }
            }
        } else {
            break;
        }
    }
    const auto keyword = [p](const char* word) {
        const size_t n = strlen(word);
        if (pg_strncasecmp(p, word, n) != 0) return false;
        const char next = p[n];
        return next == '\0' || isspace(static_cast<unsigned char>(next)) || next == '(' ||
               next == '*' || next == '-' || next == '/' || next == '\'' || next == '"';
    };
    if (text[0] == '"') return false;
    for (const char* word :
         {"select", "with", "values", "table", "insert", "update", "delete", "merge", "explain",
          "create", "drop", "alter", "copy", "call", "do", "truncate", "set", "begin", "commit"})
        if (keyword(word) && strlen(p) > strlen(word)) return true;
    return false;
}

char* checked_query(const char* text, const char* argument) {
    List* statements = raw_parser(text, RAW_PARSE_DEFAULT);
    if (list_length(statements) != 1)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("%s must be one query, not %d statements", argument,
                               list_length(statements)),
                        errhint("Give the name of a table or view, or one SELECT or WITH query.")));
    auto* statement = linitial_node(RawStmt, statements);
    if (!IsA(statement->stmt, SelectStmt) || ((SelectStmt*)statement->stmt)->intoClause != nullptr)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("%s must be a SELECT or WITH query", argument),
                        errhint("Give the name of a table or view, or one SELECT or WITH query.")));
    // Without a trailing semicolon or comment the text can stand in parentheses.
    char* copy = pstrdup(text);
    if (statement->stmt_len > 0) copy[statement->stmt_location + statement->stmt_len] = '\0';
    return psprintf("(%s\n)", copy + (statement->stmt_location > 0 ? statement->stmt_location : 0));
}

Oid checked_relation(const char* text, const char* argument, char** from_clause) {
    List* names = qualified_name_parts(text);
    RangeVar* range = makeRangeVarFromNameList(names);
    Oid relation = RangeVarGetRelid(range, NoLock, true);
    if (!OidIsValid(relation))
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
                        errmsg("%s \"%s\" does not exist", argument, text),
                        errhint("Give the name of a table or view that is visible in the "
                                "search_path, or one SELECT or WITH query.")));
    const char kind = get_rel_relkind(relation);
    if (kind != RELKIND_RELATION && kind != RELKIND_VIEW && kind != RELKIND_MATVIEW &&
        kind != RELKIND_PARTITIONED_TABLE && kind != RELKIND_FOREIGN_TABLE)
        ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
                        errmsg("%s \"%s\" is not a table or view", argument, text)));
    *from_clause = quote_qualified_identifier(get_namespace_name(get_rel_namespace(relation)),
                                              get_rel_name(relation));
    return relation;
}

}  // namespace

void enter_source(SourceGuard* guard) {
    GetUserIdAndSecContext(&guard->user, &guard->context);
    SetUserIdAndSecContext(guard->user, guard->context | SECURITY_RESTRICTED_OPERATION);
    guard->guc_level = NewGUCNestLevel();
    guard->was_read_only = XactReadOnly;
    XactReadOnly = true;
}

void leave_source(const SourceGuard* guard) {
    XactReadOnly = guard->was_read_only;
    AtEOXact_GUC(false, guard->guc_level);
    SetUserIdAndSecContext(guard->user, guard->context);
}

SPIPlanPtr prepare_source(const char* query) {
    SourceGuard guard;
    SPIPlanPtr plan = nullptr;
    MemoryContext context = CurrentMemoryContext;
    enter_source(&guard);
    PG_TRY();
    { plan = SPI_prepare(query, 0, nullptr); }
    PG_CATCH();
    {
        XactReadOnly = guard.was_read_only;
        PG_RE_THROW();
    }
    PG_END_TRY();
    leave_source(&guard);
    MemoryContextSwitchTo(context);  // SPI leaves its own, which ends with the connection
    return plan;
}

Source* describe_source(const char* text, const char* argument) {
    auto* source = (Source*)palloc0(sizeof(Source));
    source->text = text;
    source->is_query = looks_like_query(text);
    if (source->is_query) {
        source->from_clause = checked_query(text, argument);
    } else {
        char* from_clause = nullptr;
        source->relation = checked_relation(text, argument, &from_clause);
        source->from_clause = from_clause;
    }
    char* query = psprintf("SELECT * FROM %s AS s", source->from_clause);
    SPIPlanPtr plan = prepare_source(query);
    if (plan == nullptr)
        ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not plan %s", argument)));
    auto* cached = static_cast<CachedPlanSource*>(linitial(SPI_plan_get_plan_sources(plan)));
    if (cached->resultDesc == nullptr)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("%s returns no columns", argument)));
    source->columns = CreateTupleDescCopy(cached->resultDesc);
    SPI_freeplan(plan);
    return source;
}

char* from_clause_text(const char* text, const char* argument) {
    if (looks_like_query(text)) return checked_query(text, argument);
    StringInfoData names;
    initStringInfo(&names);
    ListCell* cell;
    foreach (cell, qualified_name_parts(text))
        appendStringInfo(&names, "%s%s", names.len > 0 ? "." : "",
                         quote_identifier(strVal(lfirst(cell))));
    return names.data;
}

int source_column(const Source* source, const char* name) {
    for (int i = 0; i < source->columns->natts; i++) {
        Form_pg_attribute attribute = TupleDescAttr(source->columns, i);
        if (!attribute->attisdropped && strcmp(NameStr(attribute->attname), name) == 0)
            return i + 1;
    }
    return 0;
}

char* source_column_list(const Source* source) {
    StringInfoData list;
    initStringInfo(&list);
    for (int i = 0; i < source->columns->natts; i++) {
        Form_pg_attribute attribute = TupleDescAttr(source->columns, i);
        if (attribute->attisdropped) continue;
        appendStringInfo(&list, "%s%s", list.len > 0 ? ", " : "",
                         quote_identifier(NameStr(attribute->attname)));
    }
    return list.data;
}

char** source_primary_key(const Source* source, int* n) {
    *n = 0;
    if (!OidIsValid(source->relation)) return nullptr;
    Oid constraint = InvalidOid;
    Bitmapset* attributes = get_primary_key_attnos(source->relation, false, &constraint);
    char** names = (char**)palloc0(sizeof(char*) * (bms_num_members(attributes) + 1));
    int member = -1;
    while ((member = bms_next_member(attributes, member)) >= 0)
        names[(*n)++] = get_attname(
            source->relation, (AttrNumber)(member + FirstLowInvalidHeapAttributeNumber), false);
    return names;
}

char** text_array_to_strings(ArrayType* array, const char* argument, int* n) {
    Datum* elements;
    bool* nulls;
    if (ARR_NDIM(array) > 1)
        ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
                        errmsg("%s must be a one-dimensional array", argument)));
    deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, n);
    char** strings = (char**)palloc(sizeof(char*) * (Size)(*n + 1));
    for (int i = 0; i < *n; i++) {
        if (nulls[i])
            ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                            errmsg("%s must not contain NULL", argument)));
        strings[i] = TextDatumGetCString(elements[i]);
    }
    return strings;
}

ArrayType* strings_to_text_array(char** strings, int n) {
    if (n < 0) return nullptr;
    auto* elements = (Datum*)palloc(sizeof(Datum) * (Size)(n + 1));
    for (int i = 0; i < n; i++) elements[i] = CStringGetTextDatum(strings[i]);
    return construct_array(elements, n, TEXTOID, -1, false, TYPALIGN_INT);
}

Oid find_type(const char* name) {
    LOCAL_FCINFO(call, 1);
    InitFunctionCallInfoData(*call, nullptr, 1, InvalidOid, nullptr, nullptr);
    call->args[0].value = CStringGetTextDatum(name);
    call->args[0].isnull = false;
    const Datum type = to_regtype(call);
    return call->isnull ? InvalidOid : DatumGetObjectId(type);
}

}  // namespace many::pg

extern "C" {

PG_FUNCTION_INFO_V1(many_source_columns);

// source_columns(source) -> (name, type, collation, is_builtin): what the source returns, before a row is
// read. Domains as what they are over: a cast to one runs its checks.
Datum many_source_columns(PG_FUNCTION_ARGS) {
    InitMaterializedSRF(fcinfo, 0);
    auto* result = (ReturnSetInfo*)fcinfo->resultinfo;
    if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
    const many::pg::Source* source =
        many::pg::describe_source(text_to_cstring(PG_GETARG_TEXT_PP(0)), "source");
    for (int i = 0; i < source->columns->natts; i++) {
        Form_pg_attribute attribute = TupleDescAttr(source->columns, i);
        if (attribute->attisdropped) continue;
        int32 typmod = attribute->atttypmod;
        const Oid type = getBaseTypeAndTypmod(attribute->atttypid, &typmod);
        Datum values[4] = {
            CStringGetTextDatum(NameStr(attribute->attname)),
            CStringGetTextDatum(format_type_extended(
                type, typmod, FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY)),
            (Datum)0, BoolGetDatum(type < FirstNormalObjectId)};
        bool nulls[4] = {false, false, true, false};
        HeapTuple tuple = SearchSysCache1(COLLOID, ObjectIdGetDatum(attribute->attcollation));
        if (HeapTupleIsValid(tuple)) {
            auto* form = (Form_pg_collation)GETSTRUCT(tuple);
            values[2] = CStringGetTextDatum(quote_qualified_identifier(
                get_namespace_name(form->collnamespace), NameStr(form->collname)));
            nulls[2] = false;
            ReleaseSysCache(tuple);
        }
        tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
    }
    SPI_finish();
    return (Datum)0;
}
}
