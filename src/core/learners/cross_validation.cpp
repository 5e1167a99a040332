// Cross-validation of the linear family from moments alone: no second pass over the rows.
//
// For each split the model is fitted on the training moments; its squared errors on the test rows
// are a quadratic form in the test moments, shifted to the training means so that nothing cancels.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/learners/linear_workspace.h"

namespace many::core {
namespace {

// Where R + l2 I is positive definite by a margin in double: l2 against the trace of R.
constexpr double kDoubleMargin = 1e-12;

// Ridge in double, on the standardized scale, for the search over lambda. chol: p x p scratch.
FitStatus ridge_in_double(const std::vector<double>& correlation, const std::vector<double>& target,
                          double l2, const StopSignal& stop, std::vector<double>& chol,
                          std::vector<double>& beta) {
    const std::size_t p = target.size();
    chol.resize(p * p);
    for (std::size_t i = 0; i < p; ++i) {
        double* row = chol.data() + i * p;
        double z = target[i];
        for (std::size_t j = 0; j <= i; ++j) {
            const double* other = chol.data() + j * p;
            double sum = correlation[i * p + j] + (i == j ? l2 : 0.0);
            for (std::size_t k = 0; k < j; ++k) sum -= row[k] * other[k];
            if (j < i) {
                row[j] = sum * other[j];
                z -= row[j] * beta[j];
            } else {
                row[i] = sum > 0 ? 1.0 / std::sqrt(sum) : 0.0;  // 0: a constant column
            }
        }
        beta[i] = z * row[i];
        if (i % 64 == 63) {
            if (const FitStatus s = stop.poll(); s != FitStatus::ok) return s;
        }
    }
    for (std::size_t i = p; i-- > 0;) {
        for (std::size_t k = i + 1; k < p; ++k) beta[i] -= chol[k * p + i] * beta[k];
        beta[i] *= chol[i * p + i];
    }
    return stop.poll();
}

}  // namespace

// One model (scaled coefficients b) on the test part of a split.
void LinearSolver::Workspace::add_fold_errors(const ScaledGram& g, const double* b, double n,
                                              FoldSums& out) {
    const std::size_t p = static_cast<std::size_t>(g.p);
    DoubleDouble error = sums[p];
    for (std::size_t j = 0; j < p; ++j) error = minus_product(error, sums[j], DoubleDouble(b[j]));
    const double back = 1.0 / g.unit[p];
    out.n += n;
    out.error -= error.value() * back;
    out.square += std::max(0.0, residual_square(products, b, form).value()) * back * back;
}

// All models of the path on one split; false: the training part allows no fit.
FitStatus LinearSolver::Workspace::evaluate_split(const LinearOptions& options, double n_test,
                                                  const StopSignal& stop, bool* evaluated) {
    const ScaledGram& g = fold_gram;
    const std::size_t p = static_cast<std::size_t>(g.p);
    coefficient.assign(p, 0.0);
    *evaluated = false;
    if (options.algorithm == Algorithm::linear_regression) {
        if (const FitStatus s = least_squares(g, Task::coefficients, stop); s != FitStatus::ok) {
            return s;
        }
        if (!(solved.df > 0)) return FitStatus::ok;
        add_fold_errors(g, solved.coefficient.data(), n_test, fold_sums[0]);
        *evaluated = true;
        return FitStatus::ok;
    }
    standardize(g, options);
    beta.assign(p, 0.0);
    start_path(g);
    double trace = 0;
    for (std::size_t j = 0; j < p; ++j) trace += correlation[j * p + j];
    for (std::size_t i = 0; i < path.size(); ++i) {
        FitStatus s = FitStatus::ok;
        const bool delicate = options.alpha == 0 && path[i] < kDoubleMargin * trace;
        if (path.size() == 1 || delicate) {
            s = options.alpha == 0 ? solve_ridge(g, path[i], stop, coefficient.data())
                                   : solve_sparse(g, options, path[i], stop, coefficient.data());
        } else {
            const double l1 = path[i] * options.alpha * g.unit[p] / target_scale;
            const double l2 = path[i] * (1 - options.alpha);
            if (l1 == 0) {
                s = ridge_in_double(correlation, target, l2, stop, cholesky_scratch, beta);
            } else {
                s = solve_point(g, l1, l2, stop);
            }
            for (std::size_t j = 0; j < p; ++j) {
                coefficient[j] = scale[j] > 0 ? beta[j] * target_scale / scale[j] : 0.0;
            }
        }
        if (s == FitStatus::cancelled || s == FitStatus::timed_out) return s;
        add_fold_errors(g, coefficient.data(), n_test, fold_sums[i]);
    }
    *evaluated = true;
    return FitStatus::ok;
}

FitStatus LinearSolver::Workspace::cross_validate(const double* moments, int p,
                                                  const LinearOptions& options,
                                                  const double* trains, const double* tests,
                                                  int n_splits, const StopSignal& stop,
                                                  double* lambda, SplitMetrics* cv) {
    const MomentLayout layout(p + 1);
    const bool ols = options.algorithm == Algorithm::linear_regression;
    path.assign(1, *lambda);
    if (!ols && options.lambda_auto) {
        standardize(gram, options);
        fill_path(gram, options);
    }
    fold_sums.assign(path.size(), FoldSums());
    fold_moments.resize(layout.doubles());
    pooled.resize(layout.doubles());
    moments_clear(pooled.data(), layout);
    for (int i = 0; i < n_splits; ++i) {
        const double* test = tests + static_cast<std::size_t>(i) * layout.doubles();
        const double* train = fold_moments.data();
        if (trains != nullptr) {
            train = trains + static_cast<std::size_t>(i) * layout.doubles();
        } else {
            std::memcpy(fold_moments.data(), moments, layout.bytes());
            moments_subtract(fold_moments.data(), test, layout);
        }
        const double n_test = moments_count(test);
        if (!(n_test > 0) || !(moments_count(train) >= 1)) continue;
        FitStatus s = build_gram(train, p, options.fit_intercept, stop, fold_gram);
        if (s != FitStatus::ok) return s;
        if (fold_gram.is_constant(p)) continue;
        shifted_products(test, fold_gram, products, sums);
        bool evaluated = false;
        s = evaluate_split(options, n_test, stop, &evaluated);
        if (s != FitStatus::ok) return s;
        if (evaluated) moments_merge(pooled.data(), test, layout);
    }
    std::size_t best = 0;
    for (std::size_t i = 1; i < path.size(); ++i) {
        if (fold_sums[i].square < fold_sums[best].square) best = i;
    }
    *lambda = path[best];
    const FoldSums& f = fold_sums[best];
    if (!(f.n > 0)) return FitStatus::ok;
    const double spread = target_spread(pooled.data(), p);
    cv->n_rows = f.n;
    cv->rmse = std::sqrt(f.square / f.n);
    cv->bias = f.error / f.n;
    cv->r2 = spread > 0 ? 1 - f.square / spread : __builtin_nan("");
    return FitStatus::ok;
}

}  // namespace many::core
