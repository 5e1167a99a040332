// What the queries of the two kinds of scoring share.
#pragma once

#include "serving/score_query.h"

namespace many::serving {

// The type of a training run by its name; raises 42704 when it is gone.
Oid type_from_text(const char* name);
// By name, schema and base type.
char* qualified_type(Oid type);

Form_pg_attribute required_column(const pg::Source* source, const char* name, const char* role);

// The partition columns and features of the source, against those that a run was trained with.
void check_keys(const ScoreSpec* spec, const registry::TrainingRun* run);
void check_features(const ScoreSpec* spec, const registry::TrainingRun* run);

// The equality of a source column and a key of the models, as "OPERATOR(schema.=)".
char* equality_operator(const char* column, Oid source_type, Oid key_type);

// The value of a key column as an expression over k, a row with a partition_key.
char* key_expression(const registry::TrainingRun* run, int i);

// "s.column = m.k<i + 1>", such that NULL equals NULL.
void append_join_condition(StringInfo query, const ScoreSpec* spec, int i);

}  // namespace many::serving
