// Ridge, lasso and elastic net from a scaled Gram matrix.
//
// The minimum for given signs of the coefficients is a linear system. Which ones are not zero, and
// their signs, is found by an active-set search from the top of the path down (linear_active.h),
// first in double, then, from what that found, in extended precision: where its solution satisfies
// the optimality conditions, it is the minimum to the last digit. Coordinate descent (Friedman,
// Hastie & Tibshirani 2010, 2.2) is left for degenerate cases, in which signs are within rounding.
//
// Symbols: R, r: cross-products of the standardized features with each other and with the target in
// units of its spread; beta: coefficients on that scale; l1, l2: the two penalties there.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/learners/linear_workspace.h"

namespace many::core {
namespace {

constexpr double kRidgeLambdaMaxAlpha = 1e-3;  // as glmnet
constexpr double kLeastRidge = 1e-6;           // end of the path, in variances of a feature
constexpr double kLeastRatio = 1e-30;          // of its end to its top: 3 values a decade
constexpr double kDrop2 = LinearSolver::kCollinear * LinearSolver::kCollinear;
constexpr std::size_t kPollEvery = 1000000;
constexpr double kRung = 0.56234132519034907;  // 10^(-1/4)

double soft_threshold(double value, double limit) noexcept {
    if (value > limit) return value - limit;
    if (value < -limit) return value + limit;
    return 0;
}

// Spread below the rounding of the column counts as none.
bool varies(const ScaledGram& g, std::size_t j) noexcept {
    return g.spread(j) > kDrop2 * g.norm2[j];
}

}  // namespace

void LinearSolver::Workspace::standardize(const ScaledGram& g, const LinearOptions& options) {
    const std::size_t p = static_cast<std::size_t>(g.p);
    correlation.assign(p * p, 0.0);
    target.assign(p, 0.0);
    scale.assign(p, 0.0);
    target_scale = std::sqrt(g.at(g.p, g.p).value() / g.n);
    for (std::size_t j = 0; j < p; ++j) {
        if (options.standardize) {
            scale[j] = varies(g, j) ? std::sqrt(g.spread(j) / g.n) : 0.0;
        } else {
            scale[j] = varies(g, j) || (!g.centred && g.norm2[j] > 0) ? g.unit[j] : 0.0;
        }
    }
    for (std::size_t i = 0; i < p; ++i) {
        if (scale[i] == 0) continue;
        const int row = static_cast<int>(i);
        target[i] = g.at(g.p, row).value() / (g.n * scale[i] * target_scale);
        for (std::size_t j = 0; j <= i; ++j) {
            if (scale[j] == 0) continue;
            const double r = g.at(row, static_cast<int>(j)).value() / (g.n * scale[i] * scale[j]);
            correlation[i * p + j] = correlation[j * p + i] = r;
        }
    }
}

// Of the problem that `standardize` prepared; see lambda_max().
double LinearSolver::Workspace::largest_lambda(const ScaledGram& g, double alpha) const {
    const std::size_t p = static_cast<std::size_t>(g.p);
    if (alpha > 0) {
        double top = 0;
        for (const double r : target) top = std::max(top, std::fabs(r));
        return top / std::max(alpha, kRidgeLambdaMaxAlpha) * target_scale / g.unit[p];
    }
    double cosine = 0, size = 0;
    for (std::size_t j = 0; j < p; ++j) {
        const double diagonal = correlation[j * p + j];
        if (!(diagonal > 0)) continue;
        cosine = std::max(cosine, std::fabs(target[j]) / std::sqrt(diagonal));
        size = std::max(size, diagonal);
    }
    return std::min(cosine * size / kRidgeLambdaMaxAlpha, std::numeric_limits<double>::max());
}

// The candidates of lambda_auto, descending, for the problem that `standardize` prepared.
void LinearSolver::Workspace::fill_path(const ScaledGram& g, const LinearOptions& options) {
    const std::size_t p = static_cast<std::size_t>(g.p);
    const double top = largest_lambda(g, options.alpha);
    double ratio = options.lambda_min_ratio;
    if (options.alpha < 1 && top > 0) {
        double least = std::numeric_limits<double>::infinity();  // variance of a feature
        for (std::size_t j = 0; j < p; ++j) {
            if (scale[j] == 0) continue;
            const double variance =
                varies(g, j) ? g.spread(j) / (g.n * scale[j] * scale[j]) : correlation[j * p + j];
            least = std::min(least, variance);
        }
        const double bottom = kLeastRidge * least / (1 - options.alpha);
        ratio = std::min(ratio, std::max(bottom / top, kLeastRatio));
    }
    path.clear();
    for (int i = 0; i < options.n_lambda && (i == 0 || top > 0); ++i) {
        const double share = options.n_lambda > 1 ? double(i) / (options.n_lambda - 1) : 0.0;
        path.push_back(top * std::pow(ratio, share));
    }
}

// Continues from beta. A sweep over all coefficients, then sweeps over those that are not zero until
// they rest, and again, until a full sweep changes nothing.
FitStatus LinearSolver::Workspace::descend(int n_terms, double l1, double l2, double tolerance,
                                           int max_iterations, const StopSignal& stop) {
    const std::size_t p = static_cast<std::size_t>(n_terms);
    gradient = target;  // r - R beta, kept from here on
    for (std::size_t j = 0; j < p; ++j) {
        for (std::size_t k = 0; k < p; ++k) gradient[j] -= correlation[j * p + k] * beta[k];
    }
    bool full = true;
    std::size_t work = 0;
    for (int iteration = 0; iteration < max_iterations; ++iteration) {
        double largest_change = 0;
        for (std::size_t j = 0; j < p; ++j) {
            const double diagonal = correlation[j * p + j];
            if (diagonal == 0 || (!full && beta[j] == 0)) continue;
            const double next =
                soft_threshold(gradient[j] + diagonal * beta[j], l1) / (diagonal + l2);
            const double change = next - beta[j];
            if (change == 0) continue;
            beta[j] = next;
            const double* column = correlation.data() + j * p;
            for (std::size_t k = 0; k < p; ++k) gradient[k] -= change * column[k];
            largest_change = std::max(largest_change, std::fabs(change) * std::sqrt(diagonal));
            work += p;
        }
        if (largest_change < tolerance) {
            if (full) return FitStatus::ok;
            full = true;
        } else {
            full = false;
        }
        if (work > kPollEvery) {
            work = 0;
            if (const FitStatus s = stop.poll(); s != FitStatus::ok) return s;
        }
    }
    return FitStatus::not_converged;
}

FitStatus LinearSolver::Workspace::solve_ridge(const ScaledGram& g, double lambda,
                                               const StopSignal& stop, double* scaled_coefficient) {
    wide.sign.assign(static_cast<std::size_t>(g.p), 0);
    for (std::size_t j = 0; j < wide.sign.size(); ++j) wide.sign[j] = scale[j] != 0;
    int dependent = -1;
    const FitStatus s = solve_active(g, 0.0, lambda, stop, &dependent);
    if (s == FitStatus::ok) std::copy(wide.trial.begin(), wide.trial.end(), scaled_coefficient);
    return s;
}

void LinearSolver::Workspace::start_path(const ScaledGram& g) {
    const double rank = std::max(0.0, g.n - (g.centred ? 1 : 0));
    narrow.start(correlation.data(), target.data(), target.size(), static_cast<std::size_t>(rank));
}

FitStatus LinearSolver::Workspace::solve_sparse(const ScaledGram& g, const LinearOptions& options,
                                                double lambda, const StopSignal& stop,
                                                double* scaled_coefficient) {
    const std::size_t p = static_cast<std::size_t>(g.p);
    const double unit = g.unit[p] / target_scale;
    const double l1 = lambda * options.alpha * unit, l2 = lambda * (1 - options.alpha);
    if (l1 == 0) return solve_ridge(g, l2, stop, scaled_coefficient);
    double top = 0;
    for (const double r : target) top = std::max(top, std::fabs(r));
    start_path(g);
    // Quarter decades from the null solution down. A point that is not found does no harm.
    ActiveSet::Outcome outcome;
    for (double rung = top * kRung; rung > l1 && rung > top * 1e-8; rung *= kRung) {
        const FitStatus s = narrow.search(rung, l2 * rung / l1, stop, &outcome);
        if (s != FitStatus::ok) return s;
    }
    FitStatus s = narrow.search(l1, l2, stop, &outcome);
    if (s != FitStatus::ok) return s;
    bool found = false;
    s = search_active(g, l1, l2, stop, &found);
    if (s != FitStatus::ok) return s;
    if (found) {
        std::copy(wide.present.begin(), wide.present.end(), scaled_coefficient);
        return FitStatus::ok;
    }
    // Degenerate: several solutions, or signs within rounding. The descent decides.
    beta.assign(p, 0.0);
    for (std::size_t j = 0; j < p; ++j) {
        if (scale[j] > 0) beta[j] = wide.present[j] * scale[j] / target_scale;
    }
    s = descend(g.p, l1, l2, options.tolerance, options.max_iterations, stop);
    if (s != FitStatus::ok) return s;
    DoubleDouble intercept = core::narrow(g.mean[p]);
    for (std::size_t j = 0; j < p; ++j) {
        scaled_coefficient[j] = scale[j] > 0 ? beta[j] * target_scale / scale[j] : 0.0;
        intercept = intercept - core::narrow(g.mean[j]) * scaled_coefficient[j];
    }
    polished_intercept = g.centred ? intercept.value() : 0.0;
    return FitStatus::ok;
}

FitStatus LinearSolver::Workspace::fit_penalised(const LinearOptions& options, double lambda,
                                                 const StopSignal& stop, LinearFit& out) {
    const std::size_t p = static_cast<std::size_t>(gram.p);
    // Rank and condition number are of the design, whatever the penalty.
    const Task task = options.inference ? Task::factor : Task::coefficients;
    if (const FitStatus s =
            solve_cholesky(gram, nullptr, kDrop2, Precision::double_double, task, stop, solved);
        s != FitStatus::ok) {
        return s;
    }
    out.rank = solved.rank;
    if (options.inference) {
        const FitStatus s = condition.compute(gram, solved, stop, &out.condition_number);
        if (s != FitStatus::ok) return s;
    }
    standardize(gram, options);
    coefficient.resize(p);
    const FitStatus s = options.alpha == 0
                            ? solve_ridge(gram, lambda, stop, coefficient.data())
                            : solve_sparse(gram, options, lambda, stop, coefficient.data());
    if (s != FitStatus::ok) return s;

    const double back = 1.0 / gram.unit[p];
    const double nan = __builtin_nan("");
    double used = 0;
    out.coefficient.resize(p);
    for (std::size_t j = 0; j < p; ++j) {
        out.coefficient[j] = coefficient[j] * gram.unit[j] * back;
        used += coefficient[j] != 0;
    }
    out.lambda = lambda;
    out.intercept = polished_intercept * back;
    out.intercept_std_error = nan;
    out.std_error.assign(p, nan);
    out.inverse_factor.clear();
    const TripleDouble rss = residual_square(gram.c, coefficient.data(), form);
    out.rss = std::max(0.0, rss.value()) * back * back;
    const auto explained_share = [&rss, nan](const TripleDouble& total) {
        return total.value() > 0 ? ((total - rss) / total).value() : nan;
    };
    out.r2 = explained_share(gram.at(gram.p, gram.p));
    out.r2_about_mean = explained_share(gram.target_spread());
    out.df_residual = gram.n - used - (gram.centred ? 1 : 0);
    out.sigma = out.df_residual > 0 ? std::sqrt(out.rss / out.df_residual) : nan;
    return FitStatus::ok;
}

double lambda_max(const double* moments, int p, const LinearOptions& options) {
    LinearSolver::Workspace w;
    if (!(moments_count(moments) >= 1) ||
        build_gram(moments, p, options.fit_intercept, {}, w.gram) != FitStatus::ok ||
        w.gram.is_constant(p)) {
        return 0;
    }
    w.standardize(w.gram, options);
    const double alpha = options.algorithm == Algorithm::ridge   ? 0.0
                         : options.algorithm == Algorithm::lasso ? 1.0
                                                                 : options.alpha;
    return w.largest_lambda(w.gram, alpha);
}

}  // namespace many::core
