// Reasons in words: see score_reason.h.
#include "serving/score_reason.h"

namespace many::serving {

char* score_reason(core::ScoreCode code, const char* feature, const char* level, int level_length) {
    switch (code) {
        case core::ScoreCode::null_feature:
            return psprintf("feature \"%s\" is NULL", feature);
        case core::ScoreCode::unseen_level:
            return psprintf("feature \"%s\": level \"%.*s\" was not seen in training", feature,
                            level_length, level);
        case core::ScoreCode::not_finite:
            return psprintf("feature \"%s\" is NaN or infinite", feature);
        case core::ScoreCode::imputed:
            return psprintf("feature \"%s\" was NULL and was imputed from its group", feature);
        case core::ScoreCode::no_model:
            return pstrdup("no model for this group");
        case core::ScoreCode::overflow:
            return pstrdup("the prediction is out of range");
        case core::ScoreCode::without_season:
            return pstrdup("the series was too short for its season: forecast without");
        case core::ScoreCode::naive_instead:
            return pstrdup("the series was too short for the algorithm: naive forecast");
        case core::ScoreCode::explosive:
            return pstrdup("the forecast is far outside of the values seen");
        case core::ScoreCode::no_future:
            return pstrdup("the source has no features of this time");
        case core::ScoreCode::ok:
            break;
    }
    return nullptr;
}

}  // namespace many::serving
