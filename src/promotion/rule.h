// The rule of a promotion: one SQL expression over what is known of a group's candidate, its model
// in production and the baseline.
//
// The text is parsed as an expression, transformed with names of ours only (no table is in reach),
// and its tree is checked node by node: constants, the names, operators and functions that came with
// PostgreSQL and do not write or depend on anything but the statement, and `significant`. It is
// evaluated as the caller, in a read-only transaction.
//
// Conditions joined by AND are evaluated one by one, so that a refusal can say which was not true
// and by which values.
#pragma once

#include "core/selection/rival.h"
#include "pg/server.h"

namespace many::promotion {

// What a rule knows of one model, on the rows that were held out. Metrics that are NaN are NULL.
struct Quality {
    bool present;      // false: the whole is NULL
    bool has_metrics;  // false: n_rows and metrics are NULL
    core::SplitMetrics metrics;
    double mase;    // of forecasters; NaN otherwise
    bool is_model;  // has what follows
    int64 model_id;
    int32 version;
    TimestampTz trained_at;
    int64 trained_rows;
};

struct RuleInput {
    Quality candidate;
    Quality production;
    Quality baseline;
    Datum key;  // jsonb
    core::PairedDifferences differences;
    const char* not_compared;  // why a production model has no metrics, or nullptr
};

struct Rule;

// Parses and checks, in the current memory context. nullptr text gives a rule that accepts all.
// Needs many_models in the search_path (pin_rule_path).
Rule* parse_rule(const char* text);
bool rule_compares(const Rule* rule);  // uses production's metrics
// Uses what production is beside these and its model_id: version, trained_at, trained_rows, or all.
bool rule_describes_production(const Rule* rule);

enum class Verdict { accepted, refused, unknown };  // true, false, NULL

// For a verdict that is not `accepted`, *reason says which condition and values decided it, palloc'd
// in the current context.
Verdict evaluate_rule(Rule* rule, const RuleInput* input, char** reason);

// Pins search_path to what rules may use, until AtEOXact_GUC of the level returned.
int pin_rule_path();

}  // namespace many::promotion
