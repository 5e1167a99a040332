// What a model's terms are called.
#pragma once

#include "core/codec/linear_model.h"
#include "pg/server.h"

namespace many::serving {

// The names of the features of a model; raises 22023 unless there are n.
char** feature_names(ArrayType* names, int n);

// The feature's name, or x1, x2, ... without names, and the level of a categorical feature:
// colour=red.
text* term_name(const core::LinearModelView& view, int index, char** names);

}  // namespace many::serving
