// Metrics of predictions against actuals, accumulated row by row, order-free.
//
// A holdout state is flat (doubles only): the coefficients of the model to evaluate and the sums of
// its errors so far, each sum in triple-double (see numeric/moments.h), so that the metrics do not
// depend on the order of the rows. States of the same model may be merged.
//
// rmse = sqrt(mean e^2), mae = mean |e|, bias = mean e with e = prediction - actual;
// mape = mean |e / y| over rows with y <> 0 (NaN when there are none), a fraction, not percent;
// smape = mean 2|e| / (|y| + |prediction|), a row with both 0 counting 0 (Makridakis 1993; 0..2);
// r2 = 1 - sum e^2 / sum (y - mean y)^2 on the same rows; NaN when y is constant there.
//
// Beside the model, the state judges the baseline: one number, the mean of the training split.
#pragma once

#include <cstddef>

#include "core/learners/linear.h"

namespace many::core {

// Doubles in the state of a model of p terms.
[[nodiscard]] std::size_t holdout_state_doubles(int p) noexcept;

// Prepares the state to evaluate `fit` (dropped terms count 0) beside the prediction `baseline`.
void holdout_start(double* state, const LinearFit& fit, double baseline) noexcept;

// Adds n rows (x_1 .. x_p, y), row r at rows + r * stride. Cost O(n p).
void holdout_add_rows(double* state, int p, const double* rows, std::size_t n,
                      std::size_t stride) noexcept;

// Prepares a state of one term for predictions made elsewhere: its rows are (prediction, actual).
void accuracy_start(double* state) noexcept;

// into += from, two states that were started alike.
void holdout_merge(double* into, const double* from, int p) noexcept;

// The metrics over the rows added; n_rows = 0 and the rest NaN when there were none.
[[nodiscard]] SplitMetrics holdout_finish(const double* state, int p) noexcept;

// The same of the baseline.
[[nodiscard]] SplitMetrics holdout_baseline(const double* state, int p) noexcept;
[[nodiscard]] double holdout_baseline_value(const double* state) noexcept;

// The prediction of the model that the state evaluates. Cost O(p).
[[nodiscard]] double holdout_predict(const double* state, int p, const double* x) noexcept;

}  // namespace many::core
