// Metrics of forecasts against actuals, by horizon step and in total.
//
// rmse, mae, mape, smape, r2, bias as metrics.h defines them. Beside these, with q the training
// part's scale of the fold that a forecast belongs to:
//   mase     mean |e| / q, q = mean |y_t - y_(t-m)| (Hyndman & Koehler 2006; M4)
//   rmsse    sqrt(mean (e / q)^2), q^2 = mean (y_t - y_(t-1))^2 from the first value on that is not 0
//            (M5: Makridakis, Spiliotis & Assimakopoulos 2022)
//   owa      (smape / smape of naive2 + mase / mase of naive2) / 2 (M4)
//   coverage share of the actuals inside their 95 % interval, ends included
//   winkler  mean of upper - lower + 40 max(lower - y, 0, y - upper) (Winkler 1972), forecasts
//            with an interval only, as coverage
// Points of a fold without a scale (its training part is constant) have no part in mase and rmsse.
// Means are of values divided by a power of two near the largest, so that no square overflows whose
// root does not. The order of the points decides the last bits: it is that of fold and step.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/forecasters/forecast_model.h"
#include "core/learners/linear.h"

namespace many::core {

// The scales of a training part; NaN where it has no difference or all are 0.
struct ErrorScale {
    double mase = FitSummary::kNone, rmsse = FitSummary::kNone;
};

// season_length: m. observed: only differences of observed values count. Parts no longer than a
// season are scaled by their differences of lag 1.
[[nodiscard]] ErrorScale error_scale(std::span<const double> y,
                                     std::span<const unsigned char> observed, int season_length);

// A forecast beside what came.
struct JudgedPoint {
    int fold = 0;
    int step = 1;         // 1 ..
    std::int64_t at = 0;  // index of the observation
    double actual = 0, forecast = 0;
    double lower = FitSummary::kNone, upper = FitSummary::kNone;
    double naive2 = FitSummary::kNone;
    ErrorScale scale;
};

// Over all points; n = 0 and NaN without any.
[[nodiscard]] StepMetrics judge_points(std::span<const JudgedPoint> points);
// By step: entry s is of step s + 1, s < n_steps.
[[nodiscard]] std::vector<StepMetrics> judge_steps(std::span<const JudgedPoint> points,
                                                   int n_steps);
// The metrics of the points' naive2.
struct Naive2Metrics {
    SplitMetrics metrics{0,
                         FitSummary::kNone,
                         FitSummary::kNone,
                         FitSummary::kNone,
                         FitSummary::kNone,
                         FitSummary::kNone,
                         FitSummary::kNone};
    double mase = FitSummary::kNone;
};
[[nodiscard]] Naive2Metrics naive2_metrics(std::span<const JudgedPoint> points);

}  // namespace many::core
