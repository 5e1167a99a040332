// ARIMA: seasonal models (p, d, q)(P, D, Q)_m with a mean or a drift and regressors.
//
//     y_t = c + x_t' b + n_t,   phi(B) Phi(B^m) (1 - B)^d (1 - B^m)^D n_t = theta(B) Theta(B^m) e_t
//
// (Box & Jenkins 1970; signs and names as R: 1 - sum ar_i B^i, 1 + sum ma_j B^j, sar, sma). A
// constant is the mean (`intercept`) of a model that is not differenced, and the drift (c t, t = 1 ..
// n) of one that is differenced once in all; with more it has no meaning and is left out.
//
// Estimation: exact maximum likelihood of the differenced series (arma_filter.h), sigma2 and the
// coefficients of constant and regressors concentrated out by generalised least squares. What is
// minimised is then a sum of squares, of u_t |V|^(1/2n), u: standardised innovations, |V|: the
// determinant of their variances (Ansley 1979), so that Levenberg-Marquardt applies
// (numeric/least_squares_search.h), which needs a fraction of the evaluations of a quasi-Newton
// search: NLopt has no such method. Searched from the conditional least squares estimate, from
// those of the autoregressive and the moving average part alone, and from white noise, as likelihoods
// of mixed models have several maxima; the best is taken.
//
// Differences from R's arima(): there the differenced part is in the state with a prior variance of
// 10^6 sigma^2, here it is differenced, which is the limit; forecast's sigma2 counts the
// residuals of that prior as well.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/forecasters/arma_polynomials.h"
#include "core/forecasters/forecaster.h"
#include "core/learners/linear.h"  // StopSignal

namespace many::core {

struct ArimaOptions {
    ArimaOrder order;                    // m is that of the series
    bool constant = true;                // ignored for d + D > 1
    std::span<const double> regressors;  // n x n_regressors, column-major
    int n_regressors = 0;
    // Coefficients to take as they are, in the order of ArimaFit::coefficients; none: estimated.
    std::span<const double> given;
    bool std_errors = true;
    bool several_starts = true;  // false: from the conditional estimate only
};

struct ArimaFit {
    FitSummary summary;  // n_parameters: the coefficients estimated, and sigma2
    ArimaOrder order;
    bool has_constant = false;
    int n_regressors = 0;
    int n_used = 0;  // n - d - D m
    // ar, ma, sar, sma, constant, regressors. Collinear regressors: NaN, and no part in forecasts.
    std::vector<double> coefficients, std_errors;
    double sum_of_squares = 0;  // of the standardised innovations

    // What forecasts start from.
    int n = 0;
    std::vector<double> last;        // the last n_lost values without constant and regressors
    std::vector<double> state;       // of the ARMA process at n + 1 (arma_filter.h)
    std::vector<double> covariance;  // of its error but for the shock of n + 1, / sigma2; or empty

    [[nodiscard]] double coefficient(int index) const noexcept {
        return coefficients[static_cast<std::size_t>(index)];
    }
};

// Never throws for what the series looks like. Stopped by the signal: status `stopped`.
[[nodiscard]] ArimaFit fit_arima(const SeriesView& series, const ArimaOptions& options,
                                 const StopSignal& stop = {});

// future: h x n_regressors, column-major, h = out.mean.size().
[[nodiscard]] ForecastStatus forecast_arima(const ArimaFit& fit, std::span<const double> future,
                                            const ForecastOut& out);

// New observations move the filter's state; the coefficients stay. x: of the new observations,
// column-major, n_regressors columns. False, and the fit as it was, where something is not finite.
// Cost O(r) for each, r states; O(r^2) while the filter is not steady.
[[nodiscard]] bool update_arima(ArimaFit& fit, std::span<const double> y,
                                std::span<const double> x);

// One-step forecasts of the series of the fit: y less the standardised innovations (in units of the
// variance of the steady filter, as R's residuals); NaN for the values lost by differencing. False
// where the filter is not defined.
[[nodiscard]] bool arima_one_step(const ArimaFit& fit, std::span<const double> y,
                                  std::span<const double> x, std::span<double> fitted);

// The series as a recursion in its deviations u from what is expected, with the errors e to come:
// u_t = e_t + sum ma_k e_(t-k) + sum ar_k u_(t-k), over lags k; those of 0 are left out.
struct LinearRecursion {
    struct Term {
        std::size_t lag = 1;
        double weight = 0;
    };
    std::vector<Term> ar, ma;
};
[[nodiscard]] LinearRecursion arima_recursion(const ArimaFit& fit);

// Names of the coefficients as R has them: ar1, ma1, sar1, sma1, intercept or drift, xreg1.
[[nodiscard]] std::vector<std::string> coefficient_names(const ArimaFit& fit);

}  // namespace many::core
