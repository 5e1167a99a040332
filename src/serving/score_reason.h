// Why a prediction is missing, or not what it could be, in words.
#pragma once

#include "core/codec/linear_model.h"
#include "pg/server.h"

namespace many::serving {

// palloc'd; nullptr for ScoreCode::ok. `feature` is the name of score.feature, `level` the text that was
// not seen in training.
char* score_reason(core::ScoreCode code, const char* feature, const char* level, int level_length);

}  // namespace many::serving
