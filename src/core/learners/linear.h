// The linear family, fitted from moments: ordinary least squares, ridge, lasso, elastic net.
//
// Objective (intercept b0 free; s_j the population standard deviation (divisor n) of x_j in the
// group if `standardize`, else 1):
//
//   1/(2n) sum (y - b0 - x'b)^2 + lambda ( alpha sum s_j |b_j| + (1 - alpha)/2 sum s_j^2 b_j^2 )
//
// linear_regression: lambda = 0. ridge: alpha = 0. lasso: alpha = 1. Coefficients are returned on
// the scale of the data. This is scikit-learn's ElasticNet(alpha=lambda, l1_ratio=alpha) on
// standardized x, and glmnet's lasso; glmnet's gaussian ridge divides lambda by sd_n(y).
// Sources: Hoerl & Kennard 1970; Tibshirani 1996; Zou & Hastie 2005; Friedman, Hastie & Tibshirani
// 2010 (covariance updates); linear_active.h; Golub & Van Loan, Matrix Computations, 4th ed., 4.2.
//
// Precision: the centred cross-products are formed in triple-double, factored by Cholesky in
// double-double, and again in triple-double when the scaled condition number exceeds
// kWideCondition; results are rounded to double once, at the end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/numeric/moments.h"

namespace many::core {

enum class Algorithm : std::uint8_t {
    linear_regression = 1,
    ridge = 2,
    lasso = 3,
    elastic_net = 4
};

enum class FitStatus : std::uint8_t {
    ok = 0,
    too_few_rows,      // fewer rows than min_rows, or no degree of freedom to fit at all
    constant_target,   // every target value is the same: nothing to explain
    not_finite,        // moments overflowed a double
    not_converged,     // coordinate descent hit max_iterations
    timed_out,         // options.deadline passed
    cancelled,         // the stop flag was raised
    null_value,        // a NULL where null_policy is error, or a feature that is always NULL
    not_finite_input,  // NaN or infinity in a row
    too_many_levels,   // of a categorical feature, or too many terms in all
    irregular_series,  // of forecasters: gaps, duplicates or times off the grid that are refused
    no_forecast,       // of forecasters: the method does not suit the values or its parameters
};

// Raised by another thread of control (a signal handler); polled at least every 10 ms of work.
struct StopSignal {
    const volatile int* flag = nullptr;             // nullptr: never
    std::int64_t deadline_us = 0;                   // steady clock, microseconds; 0: none
    [[nodiscard]] FitStatus poll() const noexcept;  // ok, cancelled or timed_out
};

struct LinearOptions {
    Algorithm algorithm = Algorithm::linear_regression;
    bool fit_intercept = true;
    bool standardize = true;
    bool lambda_auto = false;  // lambda by k-fold cross-validation; needs fold moments
    double lambda = 0.0;
    double alpha = 1.0;  // mixing of the elastic net; ridge 0, lasso 1
    // lambda path for lambda_auto: n_lambda values, log-spaced from lambda_max() down to
    // lambda_min_ratio times it. With a ridge part (alpha < 1) it goes down at least to where
    // lambda (1 - alpha) is 1e-6 of the smallest variance among the features (of 1 if standardize),
    // so that no unit of the target forces shrinkage; but never below 1e-30 of its top.
    int n_lambda = 100;
    double lambda_min_ratio = 1e-4;
    bool inference = true;  // false: only what predictions need, in half of the time; see LinearFit
    double tolerance = 1e-10;  // of the descent in degenerate cases: largest standardized change
    int max_iterations = 100000;
};

// Metrics that follow from sums; NaN where they do not apply.
struct SplitMetrics {
    double n_rows, rmse, mae, mape, smape, r2, bias;
};

// One fitted model. The vectors keep their capacity from group to group. Fitted without
// LinearOptions::inference, sigma, r2 and standard errors are NaN, inverse_factor is empty and
// condition_number 1.
struct LinearFit {
    Algorithm algorithm = Algorithm::linear_regression;
    bool has_intercept = true;
    int p = 0;     // terms without the intercept
    int rank = 0;  // terms in the model (without the intercept) that are not collinear
    double n_rows = 0;
    double df_residual = 0;  // n - rank - intercept (OLS); n - active - intercept otherwise
    double rss = 0;          // residual sum of squares
    double tss = 0;          // total, centred iff has_intercept
    double sigma = 0;        // sqrt(rss / df_residual); NaN when df_residual <= 0
    // 1 - rss / tss, and the same with the total about the mean, also without intercept: formed
    // before rss and tss are rounded. NaN where the total is 0.
    double r2 = 0, r2_about_mean = 0;
    double lambda = 0, alpha = 0;  // as used (after lambda_auto)
    // 2-norm condition number of [1 X] with columns scaled to unit length (Belsley, Kuh & Welsch
    // 1980), collinear columns left out.
    double condition_number = 1;
    double intercept = 0, intercept_std_error = 0;  // 0 and NaN without intercept
    double target_mean = 0;                         // 0 without intercept
    std::vector<double> coefficient;                // p; NaN = dropped as collinear (OLS)
    std::vector<double> std_error;                  // p; NaN where not defined (dropped; penalised)
    std::vector<double> mean;                       // p; feature means, 0 without intercept
    std::vector<double> location, spread;  // p; feature means and standard deviations (divisor n)
    // OLS: packed lower triangle (row-major, p (p + 1) / 2) of the inverse Cholesky factor W of the
    // centred cross-products, C^-1 = W'W; rows and columns of dropped terms are 0. The leverage of
    // a row x is (has_intercept ? 1/n : 0) + |W (x - mean)|^2. Empty for penalised fits.
    std::vector<double> inverse_factor;
    SplitMetrics cv{};  // over the folds, when there were any; n_rows = 0 otherwise
};

// Workspace and solver; one per process, reused for all groups: no allocation after the first fit
// of a shape. Not thread safe.
class LinearSolver {
  public:
    LinearSolver();
    ~LinearSolver();
    LinearSolver(const LinearSolver&) = delete;
    LinearSolver& operator=(const LinearSolver&) = delete;

    // Fits p features from the moments (MomentLayout(p + 1)) of a group.
    //
    // folds: n_folds moments buffers, each layout.doubles() long, contiguous, whose sum is
    // `moments`; nullptr/0 when not cross-validating. With folds, out.cv gets the pooled
    // out-of-fold metrics (rmse, r2, bias; mae, mape, smape NaN) of the options as chosen.
    //
    // Columns whose residual norm, after the columns before them, is below kCollinear times their
    // own norm are dropped (OLS), as R's lm does with a larger tolerance: the later column goes.
    // Penalised fits give constant columns the coefficient 0.
    //
    // Returns ok, or the reason why there is no model (out is then unspecified). With fewer rows
    // than parameters OLS fits what the rank allows; the caller decides about min_rows.
    // Cost O(p^3) (OLS), 1 to 2 us for p = 8; lambda_auto O(folds n_lambda p^2), p^3 but for lasso.
    [[nodiscard]] FitStatus fit(const double* moments, int p, const LinearOptions& options,
                                const double* folds, int n_folds, const StopSignal& stop,
                                LinearFit& out);

    // As fit, for splits that are not the folds of one partition (rolling origin): split i trains
    // on the moments trains + i * layout.doubles() and is judged on tests + i * layout.doubles().
    // trains = nullptr: the training part is the whole minus the test part, as for fit.
    // A split whose training part allows no fit is left out of out.cv.
    [[nodiscard]] FitStatus fit_splits(const double* moments, int p, const LinearOptions& options,
                                       const double* trains, const double* tests, int n_splits,
                                       const StopSignal& stop, LinearFit& out);

    static constexpr double kCollinear = 1e-14;
    static constexpr double kWideCondition = 1e5;

    struct Workspace;  // linear_workspace.h

  private:
    Workspace* workspace_;
};

// Top of the path of lambda_auto, from moments. 0 < alpha <= 1: the smallest lambda with all
// coefficients zero (alpha < 0.001: of alpha = 0.001), in units of the target. alpha = 0 (ridge):
// no lambda does that, and lambda has no unit of the target in it: 1000 times the largest
// |cor(x_j, y)|, times the largest variance of a feature unless standardize. (Without an intercept:
// cosines and mean squares; both in units of s_j.) glmnet's ridge path starts at this times sd_n(y).
[[nodiscard]] double lambda_max(const double* moments, int p, const LinearOptions& options);

// Inference, computed when read rather than stored.
struct CoefficientInference {
    double t_value, p_value, lower, upper;  // NaN where not defined
};
[[nodiscard]] CoefficientInference infer(double estimate, double std_error, double df_residual,
                                         double level) noexcept;
// Two-sided Student t quantile: t with P(|T| <= t) = level; NaN for df <= 0.
[[nodiscard]] double t_quantile(double level, double df) noexcept;

// Gaussian fit statistics, with the maximum-likelihood variance rss / n, as R's logLik.lm: the
// parameters counted are rank + intercept + 1 (the variance).
struct FitStatistics {
    double n_parameters;  // rank + intercept
    double r2, adj_r2, log_likelihood, aic, bic, deviance;
};
[[nodiscard]] FitStatistics fit_statistics(double n_rows, double df_residual, double rss, double r2,
                                           bool has_intercept) noexcept;

}  // namespace many::core
