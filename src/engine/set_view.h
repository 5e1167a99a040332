// The typed view <model_set>_models in the caller's schema: what a dashboard joins on.
#pragma once

#include "engine/train_spec.h"

namespace many::engine {

struct SetKeys {
    const char* model_set;
    int n_keys;
    char** partition_by;
    const Oid* key_types;
};

// Creates the view if it is not there; a NOTICE says why when it cannot be.
void create_set_view(const SetKeys* set);
void create_set_view(const TrainPlan* plan);

}  // namespace many::engine
