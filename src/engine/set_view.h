// The typed view <model_set>_models in the caller's schema: what a dashboard joins on.
#pragma once

#include "engine/train_spec.h"

namespace many::engine {

// Creates the view if it is not there; a NOTICE says why when it cannot be.
void create_set_view(const TrainPlan* plan);

}  // namespace many::engine
