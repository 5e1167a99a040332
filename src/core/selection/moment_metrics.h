// Metrics of a model on rows of which only the moments are known.
//
// With z = (1, x_1 .. x_p, y) and v = (c, b_1 .. b_p, -1), c = target_mean - sum b_j mean_j, the
// error of a row is e = prediction - y = v'z, so that sum e = v'(sums) and sum e^2 = v' M v. Both
// cancel: the terms are as large as the offsets of the values, the sums as small as the errors.
// They are formed in triple-double from triple-double sums, and rounded to 2^-140 of the largest
// terms, which is above the rounding of the sums (and so independent of the order of the rows) and
// far below what predictions in double can tell.
#pragma once

#include "core/learners/linear.h"

namespace many::core {

// n_rows, rmse, r2 and bias as holdout_finish gives them; mae, mape and smape are NaN: they need the
// rows. n_rows = 0 and the rest NaN without rows, or when the moments are not finite.
// moments: MomentLayout(fit.p + 1). Dropped terms count 0. Cost O(p^2 / 2).
[[nodiscard]] SplitMetrics moment_metrics(const double* moments, const LinearFit& fit);

// Of a model that predicts one value for every row.
[[nodiscard]] SplitMetrics constant_metrics(const double* moments, int n_features, double value);

}  // namespace many::core
