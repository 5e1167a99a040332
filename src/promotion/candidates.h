// The groups of a promotion: the candidate of each beside what is in production, and what the rule
// says of it; one pass over both, decisions are written as they come.
#pragma once

#include "promotion/repository.h"
#include "promotion/rule.h"
#include "registry/production.h"

namespace many::promotion {

// What has to be known of a run.
struct RunFacts {
    registry::TrainingRun* run;
    TimestampTz finished_at;
    int64 trained;
    int64 without_model;       // failed and skipped groups
    int64 compared_promotion;  // in force when it was trained; 0: nothing
    const char* missing;       // why the candidates' rows do not do for its models, or nullptr
};

struct Contest {
    RunFacts candidate;
    int n_runs;      // ever promoted
    RunFacts* runs;  // by run_id
    const registry::ProductionState* production;
    int64 production_groups;
    Rule* rule;
    bool compared;   // the training compared all groups that can be with what is in production now
    bool rescanned;  // kRescanRelation has what a rescan found
};

struct Decisions {
    int64 promoted, kept, rejected;
    int64 staying;            // models that stay in production
    int64* staying_by_layer;  // by layer of the state before; allocated by the caller
    int64 by_training, by_rescan, not_compared;
};

// Reads the facts as the caller. Needs an SPI connection.
void read_facts(Contest* contest, const char* model_set, int version);

// Of a run that was promoted; nullptr: unknown.
RunFacts* find_facts(const Contest* contest, int64 run_id);

// SQL: the candidates as a subquery; a condition that rows of `a`, a candidate, and `b`, a model in
// production, are of one group.
char* candidate_rows(const registry::TrainingRun* run);
char* group_condition(const Contest* contest, const char* a, const char* b);

// Whether candidates tell what is in production of their groups, as far as the rule asks, without a look
// at production: they were compared with it, it is one layer, and the groups have the same names there.
bool candidates_suffice(const Contest* contest);

// Makes the comparisons that are not with what is in production now, and could be: of those groups
// alone when they are few. Sets contest->rescanned.
void renew_comparisons(Contest* contest);

// Writes models of promoted groups to `models` (nullptr: a dry run, then they go to the report), all
// other groups to `report`.
void decide(Contest* contest, int64 promotion_id, int64 storage, RowWriter* models,
            RowWriter* report, Decisions* decisions);

// The relation of a rescan's results, as query text sees it.
constexpr const char* kRescanRelation = "many_models_rescan";

}  // namespace many::promotion
