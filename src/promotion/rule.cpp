// Evaluation of a rule, and the reason when it is not true; see rule.h.
#include "promotion/rule.h"

#include <cmath>
#include <initializer_list>

#include "core/selection/comparison.h"
#include "pg/settings.h"
#include "promotion/rule_names.h"
#include "wall/wall.h"

extern "C" {
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
}

namespace many::promotion {

namespace {

// One of the conditions joined by AND.
struct Condition {
    ExprState* state;
    int n_columns;  // that it refers to, in the order of their first appearance
    int columns[kRuleColumns];
};

}  // namespace

struct Rule {
    int n_conditions;
    Condition* conditions;
    bool uses[kRuleColumns + 1];  // by column
    TupleTableSlot* slot;
    TupleDesc quality;  // of the sides as a whole
    ExprContext* context;
};

namespace {

TupleDesc rule_columns(Oid whole) {
    TupleDesc columns = CreateTemplateTupleDesc(kRuleColumns);
    for (int side = 0; side < kSideCount; side++) {
        for (int field = 0; field < kFields; field++)
            TupleDescInitEntry(columns, (AttrNumber)field_column(side, field), kFieldNames[field],
                               kFieldTypes[field], -1, 0);
        TupleDescInitEntry(columns, (AttrNumber)whole_column(side), kSides[side], whole, -1, 0);
    }
    TupleDescInitEntry(columns, (AttrNumber)kKeyColumn, "key", JSONBOID, -1, 0);
    TupleDescInitEntry(columns, (AttrNumber)kDifferencesColumn, "differences",
                       get_array_type(FLOAT8OID), -1, 0);
    return columns;
}

bool note_columns(Node* node, void* context) {
    auto* condition = (Condition*)context;
    if (node == nullptr) return false;
    if (!IsA(node, Var)) return pg::walk_expression(node, note_columns, context);
    const int column = ((Var*)node)->varattno;
    for (int i = 0; i < condition->n_columns; i++)
        if (condition->columns[i] == column) return false;
    condition->columns[condition->n_columns++] = column;
    return false;
}

}  // namespace

int pin_rule_path() {
    const int level = NewGUCNestLevel();
    pg::set_local("search_path", "pg_catalog, many_models, pg_temp");
    return level;
}

Rule* parse_rule(const char* text) {
    auto* rule = (Rule*)palloc0(sizeof(Rule));
    if (text == nullptr) return rule;
    Expr* expression = expression_planner(parse_rule_expression(text));
    List* conditions = make_ands_implicit(expression);
    rule->conditions = (Condition*)palloc0(sizeof(Condition) * ((Size)list_length(conditions) + 1));
    rule->quality = lookup_rowtype_tupdesc_copy(quality_type(), -1);
    rule->slot = MakeSingleTupleTableSlot(rule_columns(quality_type()), &TTSOpsVirtual);
    rule->context = CreateStandaloneExprContext();
    rule->context->ecxt_scantuple = rule->slot;
    ListCell* cell;
    foreach (cell, conditions) {
        Condition* condition = &rule->conditions[rule->n_conditions++];
        (void)note_columns((Node*)lfirst(cell), condition);
        for (int i = 0; i < condition->n_columns; i++) rule->uses[condition->columns[i]] = true;
        condition->state = ExecInitExpr((Expr*)lfirst(cell), nullptr);
    }
    return rule;
}

constexpr int kProduction = 1;  // of kSides

bool rule_describes_production(const Rule* rule) {
    bool uses = rule->uses[whole_column(kProduction)];
    for (const Field field : {kVersion, kTrainedAt, kTrainedRows})
        uses = uses || rule->uses[field_column(kProduction, field)];
    return uses;
}

bool rule_compares(const Rule* rule) {
    if (rule->uses[whole_column(kProduction)] || rule->uses[kDifferencesColumn]) return true;
    for (int field = kNRows; field <= kMase; field++)
        if (rule->uses[field_column(kProduction, field)]) return true;
    return false;
}

// --- The row ----------------------------------------------------------------------------------

namespace {

NullableDatum number(double value) {
    return {std::isnan(value) ? Datum(0) : Float8GetDatum(value), std::isnan(value)};
}

NullableDatum field_value(const Quality* quality, int field) {
    const core::SplitMetrics& m = quality->metrics;
    if (!quality->present || (field <= kMase && !quality->has_metrics) ||
        (field > kMase && !quality->is_model))
        return {0, true};
    switch (field) {
        case kNRows:
            return {Int64GetDatum((int64)m.n_rows), false};
        case kRmse:
            return number(m.rmse);
        case kMae:
            return number(m.mae);
        case kMape:
            return number(m.mape);
        case kSmape:
            return number(m.smape);
        case kR2:
            return number(m.r2);
        case kBias:
            return number(m.bias);
        case kMase:
            return number(quality->mase);
        case kModelId:
            return {Int64GetDatum(quality->model_id), false};
        case kVersion:
            return {Int32GetDatum(quality->version), false};
        case kTrainedAt:
            return {TimestampTzGetDatum(quality->trained_at), false};
        default:
            return {Int64GetDatum(quality->trained_rows), false};
    }
}

void set_column(Rule* rule, int column, Datum value, bool is_null) {
    rule->slot->tts_values[column - 1] = value;
    rule->slot->tts_isnull[column - 1] = is_null;
}

void set_side(Rule* rule, int side, const Quality* quality) {
    for (int field = 0; field < kFields; field++) {
        const int column = field_column(side, field);
        if (!rule->uses[column]) continue;
        const NullableDatum value = field_value(quality, field);
        set_column(rule, column, value.value, value.isnull);
    }
    if (!rule->uses[whole_column(side)]) return;
    Datum values[kFields];
    bool nulls[kFields];
    if (!quality->present) {
        set_column(rule, whole_column(side), Datum(0), true);
        return;
    }
    for (int field = 0; field < kFields; field++) {
        const NullableDatum value = field_value(quality, field);
        values[field] = value.value;
        nulls[field] = value.isnull;
    }
    HeapTuple tuple = heap_form_tuple(rule->quality, values, nulls);
    set_column(rule, whole_column(side), heap_copy_tuple_as_datum(tuple, rule->quality), false);
}

// Of significant(): n, mean and deviation of both losses, degrees of freedom (NaN: n - 1); nothing in
// production: empty.
void set_differences(Rule* rule, const RuleInput* input) {
    if (!rule->uses[kDifferencesColumn]) return;
    if (!input->production.present) {
        set_column(rule, kDifferencesColumn, PointerGetDatum(construct_empty_array(FLOAT8OID)),
                   false);
        return;
    }
    const core::PairedDifferences& d = input->differences;
    const Datum values[] = {Float8GetDatum(d.n),           Float8GetDatum(d.mean_squared),
                            Float8GetDatum(d.sd_squared),  Float8GetDatum(d.mean_absolute),
                            Float8GetDatum(d.sd_absolute), Float8GetDatum(d.df)};
    set_column(
        rule, kDifferencesColumn,
        PointerGetDatum(construct_array(const_cast<Datum*>(values), lengthof(values), FLOAT8OID,
                                        sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE)),
        false);
}

void fill_row(Rule* rule, const RuleInput* input) {
    ExecClearTuple(rule->slot);
    set_side(rule, 0, &input->candidate);
    set_side(rule, 1, &input->production);
    set_side(rule, 2, &input->baseline);
    set_differences(rule, input);
    if (rule->uses[kKeyColumn]) set_column(rule, kKeyColumn, input->key, false);
    for (int column = 1; column <= kRuleColumns; column++)
        if (!rule->uses[column]) set_column(rule, column, Datum(0), true);
    ExecStoreVirtualTuple(rule->slot);
}

// --- The reason -------------------------------------------------------------------------------

void append_value(StringInfo text, int field, NullableDatum value) {
    if (value.isnull) {
        appendStringInfoString(text, " is NULL");
        return;
    }
    switch (kFieldTypes[field]) {
        case FLOAT8OID:
            appendStringInfo(text, " = %.6g", DatumGetFloat8(value.value));
            return;
        case INT4OID:
            appendStringInfo(text, " = %d", DatumGetInt32(value.value));
            return;
        case TIMESTAMPTZOID:
            appendStringInfo(text, " = %s", timestamptz_to_str(DatumGetTimestampTz(value.value)));
            return;
        default:
            appendStringInfo(text, " = " INT64_FORMAT, DatumGetInt64(value.value));
    }
}

void append_significance(StringInfo text, const RuleInput* input) {
    const core::PairedDifferences& d = input->differences;
    if (!input->production.present) {
        appendStringInfoString(text, "nothing in production");
        return;
    }
    if (!(d.n > 1)) {
        appendStringInfo(text, "%.0f rows to compare", d.n);
        return;
    }
    appendStringInfo(text, "p = %.3g for squared, %.3g for absolute errors of %.0f rows",
                     core::paired_p_value(d.n, d.mean_squared, d.sd_squared, d.df),
                     core::paired_p_value(d.n, d.mean_absolute, d.sd_absolute, d.df), d.n);
}

void append_column(StringInfo text, const RuleInput* input, int column) {
    const Quality* sides[] = {&input->candidate, &input->production, &input->baseline};
    if (column == kKeyColumn) {
        appendStringInfo(text, "key = %s",
                         JsonbToCString(nullptr, &DatumGetJsonbP(input->key)->root, 0));
        return;
    }
    if (column == kDifferencesColumn) {
        append_significance(text, input);
        return;
    }
    const int side = (column - 1) / kSideColumns;
    const int field = (column - 1) % kSideColumns;
    appendStringInfoString(text, kSides[side]);
    if (field == kFields) {
        appendStringInfoString(text, sides[side]->present ? " is not NULL" : " is NULL");
        return;
    }
    appendStringInfo(text, ".%s", kFieldNames[field]);
    append_value(text, field, field_value(sides[side], field));
}

bool names_production_metric(const Condition* condition) {
    for (int i = 0; i < condition->n_columns; i++) {
        const int column = condition->columns[i];
        if (column == kDifferencesColumn ||
            (column >= field_column(1, kNRows) && column <= field_column(1, kMase)))
            return true;
    }
    return false;
}

void append_condition(StringInfo text, const Condition* condition, const RuleInput* input) {
    for (int i = 0; i < condition->n_columns; i++) {
        if (i > 0) appendStringInfoString(text, ", ");
        append_column(text, input, condition->columns[i]);
    }
    if (input->not_compared != nullptr && names_production_metric(condition))
        appendStringInfo(text, " (not compared with production: %s)", input->not_compared);
}

struct GroupContext {
    Datum key;
};

void describe_group(void* argument) {
    char* key = JsonbToCString(nullptr, &DatumGetJsonbP(((GroupContext*)argument)->key)->root, 0);
    errcontext("rule of a promotion, group %s", key);
}

}  // namespace

Verdict evaluate_rule(Rule* rule, const RuleInput* input, char** reason) {
    *reason = nullptr;
    if (rule->n_conditions == 0) return Verdict::accepted;
    GroupContext group = {input->key};
    ErrorContextCallback context;
    context.callback = describe_group;
    context.arg = &group;
    context.previous = error_context_stack;
    error_context_stack = &context;
    ResetExprContext(rule->context);
    MemoryContext old = MemoryContextSwitchTo(rule->context->ecxt_per_tuple_memory);
    fill_row(rule, input);
    Verdict verdict = Verdict::accepted;
    bool unknown[64] = {false};
    int refused = -1;
    for (int i = 0; i < rule->n_conditions && refused < 0; i++) {
        bool is_null = false;
        const Datum value = ExecEvalExpr(rule->conditions[i].state, rule->context, &is_null);
        if (is_null) {
            verdict = Verdict::unknown;
            if (i < (int)lengthof(unknown)) unknown[i] = true;
        } else if (!DatumGetBool(value)) {
            verdict = Verdict::refused;
            refused = i;
        }
    }
    MemoryContextSwitchTo(old);
    error_context_stack = context.previous;
    if (verdict == Verdict::accepted) return verdict;
    StringInfoData text;
    initStringInfo(&text);
    appendStringInfo(&text, "rule is %s: ", verdict == Verdict::refused ? "false" : "NULL");
    const int start = text.len;
    for (int i = 0; i < rule->n_conditions && i < (int)lengthof(unknown); i++) {
        if (refused >= 0 ? i != refused : !unknown[i]) continue;
        if (text.len > start) appendStringInfoString(&text, ", ");
        append_condition(&text, &rule->conditions[i], input);
    }
    if (text.len == start) {  // a constant, or a condition beyond those that are told apart
        text.len -= 2;
        text.data[text.len] = '\0';
    }
    *reason = text.data;
    return verdict;
}

}  // namespace many::promotion

// --- significant() ----------------------------------------------------------------------------

extern "C" {

PG_FUNCTION_INFO_V1(many_significant);

// significant(level, loss, differences): differences as set_differences makes them, put in by the
// rule.
Datum many_significant(PG_FUNCTION_ARGS) {
    using namespace many;
    const double level = PG_ARGISNULL(0) ? -1 : PG_GETARG_FLOAT8(0);
    const char* loss = PG_ARGISNULL(1) ? "NULL" : text_to_cstring(PG_GETARG_TEXT_PP(1));
    const bool squared = strcmp(loss, "squared") == 0;
    if (!(level > 0 && level < 1))
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("the level of significant() must be between 0 and 1"),
                        errhint("For example significant(0.05).")));
    if (!squared && strcmp(loss, "absolute") != 0)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("significant() knows no loss \"%s\"", loss),
                        errhint("Valid are 'squared' and 'absolute'.")));
    if (PG_ARGISNULL(2))
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("significant() is for the rules of promote_models")));
    int n = 0;
    Datum* values;
    bool* nulls;
    deconstruct_array(PG_GETARG_ARRAYTYPE_P(2), FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL,
                      TYPALIGN_DOUBLE, &values, &nulls, &n);
    if (n == 0) PG_RETURN_BOOL(true);  // nothing in production
    if (n != 6)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("significant() takes the differences that its rule gives it")));
    const int at = squared ? 1 : 3;
    if (nulls[0] || nulls[at] || nulls[at + 1] || nulls[5]) PG_RETURN_NULL();
    const double p =
        core::paired_p_value(DatumGetFloat8(values[0]), DatumGetFloat8(values[at]),
                             DatumGetFloat8(values[at + 1]), DatumGetFloat8(values[5]));
    if (std::isnan(p)) PG_RETURN_NULL();  // fewer than two rows, or not compared: not known
    PG_RETURN_BOOL(p < level);
}
}
