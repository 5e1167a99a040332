// Backtests: the forecasts of each group's past, fold by fold, beside what came. A run like a training
// (the same scan, exchange and fit phase) whose results are points instead of models, and stay in the
// run's files until the session reads them.
#pragma once

#include "core/learners/forecast_trainer.h"
#include "pg/server.h"

namespace many::engine {

// What a group's result begins with in the place of a model, followed by its BacktestPoints.
struct BacktestHead {
    core::TimeGrid grid;
    uint32 n;
};

}  // namespace many::engine
