// What predict, predict_interval and their forms for arrays share: one row scored with a cached model.
#pragma once

#include "pg/server.h"
#include "serving/model_cache.h"

namespace many::serving {

// The score of a row of features. Raises 22023 for a feature that is missing or of another kind. The
// values, the text of a level among them, stay in entry->run->values until the next call.
core::Score score_entry(CachedModel* entry, Jsonb* features);

// Puts the features of an object into run->values. Raises as score_entry.
void read_features(const CachedRun* run, Jsonb* features);

// Raises 22023.
void check_interval_level(double level);

}  // namespace many::serving
