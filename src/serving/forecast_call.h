// What forecast, model_forecast and the scoring of forecasters share: features of times to come, and
// the scores of steps.
#pragma once

#include "core/learners/forecast_trainer.h"
#include "serving/forecast_value.h"
#include "serving/predict_set.h"

namespace many::serving {

// Raises 22023.
void check_horizon(int horizon);

// Raises 42804 unless values of the type can be times of the model.
void check_time_type(Oid type, const core::ForecastModel* model);

// A handle that stays from call to call of one query.
ForecastHandle* query_handle(FunctionCallInfo fcinfo);

// Rows of the source behind the series' end, in any order. x: n x n_features, column-major.
struct FutureRows {
    int n;
    int64* times;
    double* x;
};

// From arrays of the same order: times, and the features one after the other. Raises 22023 when their
// lengths do not fit.
void read_future(FutureRows* rows, ArrayType* times, ArrayType* x, int n_features);

// Forecasts up to `horizon` steps; returns how many there are: as far as the features of each step are
// there.
int forecast_steps(ForecastHandle* handle, const core::ForecastModel* model, int horizon,
                   const ForecastSpread& spread, const FutureRows* future, ForecastRows* rows);

// Of an array of objects with the features by name, one for each step from the first: as many as there
// are, at most `horizon`. Raises 22023.
void features_by_step(const CachedRun* run, Jsonb* features, ForecastHandle* handle, int horizon,
                      FutureRows* rows);

// A time as ISO text, whatever the session's DateStyle.
char* iso_time(core::TimeType type, int64 time);

core::Score step_score(const ForecastRows* rows, int step, int rung);

}  // namespace many::serving
