// Autoregression: a linear model of lags, seasonal lags and regressors, by least squares.
//
//     y_t = c + sum phi_i y_(t-i) + sum b_j x_tj + e_t,    i in {1 .. p} and seasonal lags
//
// The seasonal lags are, in this order, those of the season lengths m (if n >= 3 m) and twice the
// first (if n >= 5 m). AICc chooses how many of them and, unless given, p: among p = 0 .. min(10 log10
// n, n / 4) on the observations that all candidates can use; the chosen model is then fitted to all
// that it can use. Likelihood and criteria are conditional on the first observations, so they do not
// compare with those of other methods. Nothing keeps the polynomial stationary: an explosive series
// has an explosive forecast.
//
// Source: least squares of autoregressions, Box & Jenkins 1970, 7.A; AICc, Hurvich & Tsai 1989;
// forecasts by recursion, their variance by the psi weights, Hyndman & Athanasopoulos, Forecasting:
// Principles and Practice, 3rd ed., 9.8. The rows are folded into a triangular factor block by block
// (Golub & Van Loan, Matrix Computations, 4th ed., 5.2 and 6.5.3), so memory does not grow with n.
#pragma once

#include <span>
#include <vector>

#include "core/forecasters/forecaster.h"
#include "core/learners/linear.h"  // StopSignal

namespace many::core {

struct AutoregressionOptions {
    static constexpr int kMaxLags = 500;
    int n_lags = 0;        // p; 0: chosen
    bool seasonal = true;  // false: no seasonal lags
    // Ascending; none: the series' own.
    std::span<const int> season_lengths;
    std::span<const double> regressors;  // n x n_regressors, column-major
    int n_regressors = 0;
};

struct AutoregressionFit {
    FitSummary summary;  // n_parameters: the coefficients, and sigma2
    int n = 0;
    int n_used = 0;  // observations that are explained: n less the longest lag
    int n_lags = 0;  // p
    double intercept = 0, intercept_std_error = 0;
    std::vector<int> lags;  // ascending: 1 .. p, and the seasonal ones beyond
    // Of collinear columns NaN, and no part in forecasts.
    std::vector<double> coefficients, std_errors;  // of the lags
    std::vector<double> regressor_coefficients, regressor_std_errors;
    std::vector<double>
        last;  // the last observations, as many as the longest lag, in order of time
};

// Statuses: ok; too_short (no degree of freedom left); overflow (a value is not finite, or a
// coefficient); not_admissible (n_lags outside of 0 .. kMaxLags); stopped. Cost O(n k^2), k columns.
[[nodiscard]] ForecastStatus fit_autoregression(const SeriesView& series,
                                                const AutoregressionOptions& options,
                                                const StopSignal& stop, AutoregressionFit& out);

// future: h x n_regressors, column-major, h = out.mean.size().
[[nodiscard]] ForecastStatus forecast_autoregression(const AutoregressionFit& fit,
                                                     std::span<const double> future,
                                                     const ForecastOut& out);

// One-step forecasts of the series the fit is of, with its regressors; NaN for the first, as many as
// the longest lag. False: the regressors are not as many as the series wants.
[[nodiscard]] bool autoregression_one_step(const AutoregressionFit& fit, std::span<const double> y,
                                           std::span<const double> regressors,
                                           std::span<double> fitted);

// New observations behind the end: the lags move, the coefficients stay. Regressors of what has been
// observed play no part. False, and nothing is changed, when a value is not finite.
[[nodiscard]] bool update_autoregression(AutoregressionFit& fit, std::span<const double> y);

}  // namespace many::core
