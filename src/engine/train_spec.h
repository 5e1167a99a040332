// The arguments of train_many_models, checked, and as a specification for the run's processes.
#pragma once

#include "engine/run_segment.h"
#include "pg/learner_options.h"
#include "pg/source.h"
#include "registry/key_text.h"
#include "registry/registry.h"

namespace many::engine {

// As given; nullptr / n < 0: NULL, taken from the stored definition.
struct TrainArguments {
    char* model_set;
    char* source;
    int n_keys;  // -1: NULL
    char** partition_by;
    char* target;
    int n_features;  // -1: NULL
    char** features;
    char* algorithm;
    char* time_column;
    Jsonb* options;  // nullptr: NULL
    Jsonb* tags;
    int workers;
};

struct TrainPlan {
    TrainArguments arguments;  // completed from the stored definition
    pg::Source* source;
    bool features_given;  // by the user or the definition, not found automatically
    int n_features;       // as used
    char** features;
    Oid* key_types;      // as declared
    Oid* feature_types;  // as declared
    pg::LearnerOptions learner;
    RunSpec* spec;
    double max_failed_fraction;
    const char* read_from;  // the scan reads rows from this time on only: a typed constant
};

// Raises 42501 unless the current role may train the set. Who is not its owner trains it as it is
// defined: arguments that differ are refused. What is stored the owner runs later, with rights of his
// own; and what the definition says of a version is true of all versions.
// `features_found`: the arguments have features that were found, for none were given.
void require_training_allowed(const registry::ModelSet* stored, const TrainArguments* arguments,
                              bool features_found = false);

// Completes, checks (require_training_allowed included) and plans; raises on any mistake of the caller's. `stored` may be nullptr.
TrainPlan* plan_training(TrainArguments* arguments, const registry::ModelSet* stored);

// The partition columns, to write keys as the registry has them and to read them back.
registry::KeyColumn* key_columns(const TrainPlan* plan);

// SELECT many_models.train_sink($1, ...) FROM source AS s, columns in the sink's order. $1, of type
// kSinkParameter, is the run's token: the text of a query is seen in pg_stat_activity, in logs and by
// functions in the source, a parameter is not.
char* sink_query(const TrainPlan* plan);
constexpr Oid kSinkParameter = INT8OID;

}  // namespace many::engine
