// What the fits of a forecaster cost: for estimates of a run.
#pragma once

#include "core/learners/forecast_trainer.h"

namespace many::engine {

// Microseconds of one group of `rows` observations: choice, holdout, backtest, intervals, final fit.
double forecast_fit_us(const core::ForecastSpec& spec, double rows);

// Bytes of the model.
double forecast_model_bytes(const core::ForecastSpec& spec, double rows);

}  // namespace many::engine
