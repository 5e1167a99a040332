// The names that a rule may use, as columns of a row that evaluate_rule fills.
#pragma once

#include "pg/server.h"

namespace many::promotion {

constexpr const char* kSides[] = {"candidate", "production", "baseline"};
constexpr int kSideCount = 3;

enum Field {
    kNRows,
    kRmse,
    kMae,
    kMape,
    kSmape,
    kR2,
    kBias,
    kMase,
    kModelId,
    kVersion,
    kTrainedAt,
    kTrainedRows,
    kFields
};
// As the attributes of the type many_models.model_quality.
constexpr const char* kFieldNames[kFields] = {"n_rows",   "rmse",    "mae",        "mape",
                                              "smape",    "r2",      "bias",       "mase",
                                              "model_id", "version", "trained_at", "trained_rows"};
constexpr Oid kFieldTypes[kFields] = {INT8OID,   FLOAT8OID, FLOAT8OID,      FLOAT8OID,
                                      FLOAT8OID, FLOAT8OID, FLOAT8OID,      FLOAT8OID,
                                      INT8OID,   INT4OID,   TIMESTAMPTZOID, INT8OID};

// Attribute numbers (1-based): each side's fields, then the side as a whole.
constexpr int kSideColumns = kFields + 1;
constexpr int field_column(int side, int field) {
    return side * kSideColumns + field + 1;
}
constexpr int whole_column(int side) {
    return field_column(side, kFields);
}
constexpr int kKeyColumn = kSideCount * kSideColumns + 1;
constexpr int kDifferencesColumn = kKeyColumn + 1;
constexpr int kRuleColumns = kDifferencesColumn;

// The checked expression tree of a text; Vars of varno 1 name the columns above.
Expr* parse_rule_expression(const char* text);

// The type of a side as a whole, many_models.model_quality.
Oid quality_type();

}  // namespace many::promotion
