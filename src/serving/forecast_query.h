// The query of a scoring run of forecasters: models in place of source rows.
#pragma once

#include "serving/score_query.h"

namespace many::serving {

// Whether the models are forecasters. Raises 0A000 when only some are.
bool scores_forecast(const ScoreModels* models);

// Fills in the carried columns: the partition columns, the time column, horizon_step, the quantiles. Where the models
// have features, spec->source (not nullptr then) is to have those of the times to come: checked as
// describe_score does.
void describe_forecast_score(ScoreSpec* spec);

// SELECT carried..., score: for each model `horizon` rows (0: as many as suit the step of its series), for
// each group that got no model one, without time and step.
char* build_forecast_query(const ScoreSpec* spec, int horizon);

}  // namespace many::serving
