// From the text of a rule to a checked expression; see rule.h.
#include "pg/server.h"

#include "promotion/rule_names.h"

extern "C" {
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "nodes/makefuncs.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_expr.h"
#include "parser/parse_node.h"
#include "parser/parse_type.h"
#include "utils/regproc.h"
}

namespace many::promotion {

namespace {

const char* const kValidNames =
    "A rule may use candidate, production and baseline, each with n_rows, rmse, mae, mape, smape, "
    "r2, bias, mase, model_id, version, trained_at and trained_rows, and key, the partition key as "
    "jsonb.";

[[noreturn]] void refuse(int sqlstate, const char* what, const char* hint) {
    ereport(ERROR, (errcode(sqlstate), errmsg("%s cannot be used in a rule", what),
                    hint == nullptr ? 0 : errhint("%s", hint)));
    pg_unreachable();
}

// --- The raw tree: what must not even be transformed ------------------------------------------

bool refuse_raw(Node* node, void* context) {
    if (node == nullptr) return false;
    switch (nodeTag(node)) {
        case T_SubLink:
            refuse(ERRCODE_INVALID_PARAMETER_VALUE, "a subquery", kValidNames);
        case T_SelectStmt:
            refuse(ERRCODE_INVALID_PARAMETER_VALUE, "a query", kValidNames);
        case T_ParamRef:
            refuse(ERRCODE_UNDEFINED_PARAMETER, "a parameter", nullptr);
        case T_TypeName: {
            // Reading a literal of a user's type would run its input function.
            const Oid type = LookupTypeNameOid(nullptr, (TypeName*)node, true);
            if (OidIsValid(type) && type >= FirstNormalObjectId)
                refuse(ERRCODE_INSUFFICIENT_PRIVILEGE, psprintf("type %s", format_type_be(type)),
                       "Only types of PostgreSQL itself are allowed.");
            return false;
        }
        default:
            return pg::walk_raw_expression(node, refuse_raw, context);
    }
}

Node* parse_raw(const char* text) {
    static const char* const one = "Give one condition, such as 'candidate.r2 > 0.8'.";
    List* statements = raw_parser(text, RAW_PARSE_PLPGSQL_EXPR);
    auto* select = (SelectStmt*)linitial_node(RawStmt, statements)->stmt;
    if (list_length(select->targetList) != 1 || select->distinctClause != NIL ||
        select->fromClause != NIL || select->whereClause != nullptr || select->groupClause != NIL ||
        select->havingClause != nullptr || select->windowClause != NIL ||
        select->sortClause != NIL || select->limitCount != nullptr ||
        select->limitOffset != nullptr || select->lockingClause != NIL ||
        select->intoClause != nullptr || select->op != SETOP_NONE || select->withClause != nullptr)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("a rule must be one boolean expression"), errhint("%s", one)));
    auto* target = linitial_node(ResTarget, select->targetList);
    if (target->name != nullptr || target->indirection != NIL)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("a rule must be one boolean expression, without a name"),
                        errhint("%s", one)));
    refuse_raw(target->val, nullptr);
    return target->val;
}

// --- Names ------------------------------------------------------------------------------------

Node* rule_var(int column, Oid type, int location) {
    Var* var = makeVar(1, (AttrNumber)column, type, -1, InvalidOid, 0);
    var->location = location;
    return (Node*)var;
}

[[noreturn]] void raise_unknown_name(ParseState* state, const ColumnRef* reference) {
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
                    errmsg("there is no %s in a rule", NameListToString(reference->fields)),
                    errhint("%s", kValidNames), parser_errposition(state, reference->location)));
    pg_unreachable();
}

Node* resolve_name(ParseState* state, ColumnRef* reference) {
    const int n = list_length(reference->fields);
    for (ListCell* cell = list_head(reference->fields); cell != nullptr;
         cell = lnext(reference->fields, cell))
        if (!IsA(lfirst(cell), String)) refuse(ERRCODE_INVALID_PARAMETER_VALUE, "*", kValidNames);
    const char* first = strVal(linitial(reference->fields));
    if (strcmp(first, "key") == 0) {
        if (n == 1) return rule_var(kKeyColumn, JSONBOID, reference->location);
        ereport(ERROR,
                (errcode(ERRCODE_UNDEFINED_COLUMN),
                 errmsg("there is no %s in a rule", NameListToString(reference->fields)),
                 errhint("key is jsonb: write key ->> '%s'.", strVal(lsecond(reference->fields))),
                 parser_errposition(state, reference->location)));
    }
    int side = 0;
    while (side < kSideCount && strcmp(first, kSides[side]) != 0) side++;
    if (side == kSideCount || n > 2) raise_unknown_name(state, reference);
    if (n == 1) return rule_var(whole_column(side), quality_type(), reference->location);
    for (int field = 0; field < kFields; field++)
        if (strcmp(strVal(lsecond(reference->fields)), kFieldNames[field]) == 0)
            return rule_var(field_column(side, field), kFieldTypes[field], reference->location);
    raise_unknown_name(state, reference);
}

// --- The transformed tree ---------------------------------------------------------------------

bool is_ours(Oid function) {
    return getExtensionOfObject(ProcedureRelationId, function) ==
           get_extension_oid("many_models", false);
}

// Of a function or an operator's function; raises when it must not run.
bool refuse_function(Oid function, void*) {
    HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
    if (!HeapTupleIsValid(tuple)) elog(ERROR, "cache lookup failed for function %u", function);
    const auto* form = (Form_pg_proc)GETSTRUCT(tuple);
    const bool is_builtin =
        form->pronamespace == PG_CATALOG_NAMESPACE && function < FirstNormalObjectId;
    const char* name = psprintf("function %s", format_procedure(function));
    if (!is_builtin && !is_ours(function))
        refuse(ERRCODE_INSUFFICIENT_PRIVILEGE, name,
               "Only functions, operators and casts of PostgreSQL itself are allowed, and "
               "significant().");
    if (form->provolatile == PROVOLATILE_VOLATILE)
        refuse(ERRCODE_INVALID_PARAMETER_VALUE, name,
               "It is volatile: its result changes within a statement, or it has side effects.");
    if (form->proretset || form->prokind != PROKIND_FUNCTION)
        refuse(ERRCODE_INVALID_PARAMETER_VALUE, name, "It does not return one value for a group.");
    // table_to_xml and the like run queries over whatever they are given.
    if (form->prorettype == XMLOID) refuse(ERRCODE_INVALID_PARAMETER_VALUE, name, nullptr);
    ReleaseSysCache(tuple);
    return false;
}

bool refuse_node(Node* node, void* context) {
    if (node == nullptr) return false;
    switch (nodeTag(node)) {
        case T_List:
        case T_Var:
        case T_Const:
        case T_FuncExpr:
        case T_NamedArgExpr:
        case T_OpExpr:
        case T_DistinctExpr:
        case T_NullIfExpr:
        case T_ScalarArrayOpExpr:
        case T_BoolExpr:
        case T_FieldSelect:
        case T_RelabelType:
        case T_CoerceViaIO:
        case T_ArrayCoerceExpr:
        case T_CollateExpr:
        case T_CaseExpr:
        case T_CaseWhen:
        case T_CaseTestExpr:
        case T_ArrayExpr:
        case T_RowExpr:
        case T_RowCompareExpr:
        case T_CoalesceExpr:
        case T_MinMaxExpr:
        case T_SQLValueFunction:
        case T_NullTest:
        case T_BooleanTest:
        case T_SubscriptingRef:
            break;
        case T_Aggref:
        case T_GroupingFunc:
            refuse(ERRCODE_INVALID_PARAMETER_VALUE, "an aggregate function",
                   "A rule is about one group.");
        case T_WindowFunc:
            refuse(ERRCODE_INVALID_PARAMETER_VALUE, "a window function",
                   "A rule is about one group.");
        case T_CoerceToDomain:
            refuse(ERRCODE_INSUFFICIENT_PRIVILEGE, "a domain",
                   "Only types of PostgreSQL itself are allowed.");
        default:
            refuse(ERRCODE_INVALID_PARAMETER_VALUE, "this expression", kValidNames);
    }
    (void)check_functions_in_node(node, refuse_function, nullptr);
    return pg::walk_expression(node, refuse_node, context);
}

// `significant(level, loss)` gets the group's differences as its last argument; and whether a side
// IS NULL is about the side, not (as SQL has it for rows) about each of its columns.
Node* complete_node(Node* node, void* context) {
    if (node == nullptr) return nullptr;
    if (IsA(node, FuncExpr) && is_ours(((FuncExpr*)node)->funcid)) {
        auto* call = (FuncExpr*)copyObjectImpl(node);
        if (strcmp(get_func_name(call->funcid), "significant") != 0)
            refuse(ERRCODE_INVALID_PARAMETER_VALUE,
                   psprintf("function %s", format_procedure(call->funcid)), nullptr);
        if (list_length(call->args) > 2)
            ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                            errmsg("significant() takes a level and a loss"),
                            errhint("For example significant(0.05) or significant(0.05, "
                                    "'absolute').")));
        const Oid array = get_array_type(FLOAT8OID);
        auto* differences = makeNode(NamedArgExpr);
        differences->arg = (Expr*)rule_var(kDifferencesColumn, array, -1);
        differences->name = pstrdup("differences");
        differences->argnumber = 2;
        differences->location = -1;
        call->args = lappend(call->args, differences);
        return (Node*)call;
    }
    if (IsA(node, NullTest)) {
        auto* test = (NullTest*)copyObjectImpl(node);
        if (IsA(test->arg, Var) && ((Var*)test->arg)->vartype == quality_type())
            test->argisrow = false;
        else
            test->arg = (Expr*)complete_node((Node*)test->arg, context);
        return (Node*)test;
    }
    return pg::mutate_expression(node, complete_node, context);
}

struct RuleText {
    const char* text;
};

void describe_rule(void* argument) {
    const int position = geterrposition();
    if (position > 0) {
        errposition(0);
        internalerrposition(position);
        internalerrquery(((RuleText*)argument)->text);
    }
    errcontext("rule of a promotion");
}

}  // namespace

Oid quality_type() {
    return GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum("model_quality"),
                           ObjectIdGetDatum(get_namespace_oid("many_models", false)));
}

Expr* parse_rule_expression(const char* text) {
    RuleText described = {text};
    ErrorContextCallback context;
    context.callback = describe_rule;
    context.arg = &described;
    context.previous = error_context_stack;
    error_context_stack = &context;
    Node* raw = parse_raw(text);
    ParseState* state = make_parsestate(nullptr);
    state->p_sourcetext = text;
    state->p_pre_columnref_hook = resolve_name;
    Node* expression = transformExpr(state, raw, EXPR_KIND_OTHER);
    expression = coerce_to_boolean(state, expression, "RULE");
    assign_expr_collations(state, expression);
    refuse_node(expression, nullptr);
    expression = complete_node(expression, nullptr);
    free_parsestate(state);
    error_context_stack = context.previous;
    return (Expr*)expression;
}

}  // namespace many::promotion
