// Ridge, lasso and elastic net from a scaled Gram matrix.
//
// Coordinate descent with covariance updates (Friedman, Hastie & Tibshirani 2010, 2.2) finds which
// coefficients are not zero, and their signs; given those the solution is a linear system, which
// is solved in extended precision. Where that solution satisfies the optimality conditions it is
// the minimum, however coarse the descent was; where it does not, an active-set search goes on from
// there. So the result does not depend on tolerances but in degenerate cases.
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
constexpr int kCoarseSweeps = 300;

double soft_threshold(double value, double limit) noexcept {
    if (value > limit) return value - limit;
    if (value < -limit) return value + limit;
    return 0;
}

// Spread below the rounding of the column counts as none.
bool varies(const ScaledGram& g, std::size_t j) noexcept {
    return g.spread(j) > kDrop2 * g.norm2[j];
}

// The rows and columns `active` of g, and the target.
void take_columns(const ScaledGram& g, const std::vector<int>& active, ScaledGram& out) {
    const int a = static_cast<int>(active.size());
    const std::size_t m = active.size() + 1;
    out.p = a;
    out.n = g.n;
    out.centred = g.centred;
    out.c.resize(a + 1);
    out.mean.resize(m);
    out.square.resize(m);
    out.norm2.resize(m);
    out.norm.resize(m);
    for (int i = 0; i <= a; ++i) {
        const std::size_t si = static_cast<std::size_t>(i);
        const int from = i == a ? g.p : active[si];
        const std::size_t source = static_cast<std::size_t>(from);
        out.mean.set(si, g.mean[source]);
        out.square[si] = g.square[source];
        out.norm2[si] = g.norm2[source];
        out.norm[si] = g.norm[source];
        for (int j = 0; j <= i; ++j) {
            const int column = j == a ? g.p : active[static_cast<std::size_t>(j)];
            out.c.set(i, j, g.at(from, column));
        }
    }
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

// Continues from beta; gradient = r - R beta is kept. A sweep over all coefficients, then sweeps
// over those that are not zero until they rest, and again, until a full sweep changes nothing.
FitStatus LinearSolver::Workspace::descend(int n_terms, double l1, double l2, double tolerance,
                                           int max_iterations, const StopSignal& stop) {
    const std::size_t p = static_cast<std::size_t>(n_terms);
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

// Minimises over the coefficients whose `sign` is not 0, with the penalty's slope fixed by these
// signs (l1 = 0: over all), in extended precision. The result, in `trial` and polished_intercept,
// may have other signs; columns collinear with earlier ones get sign 0 and coefficient 0.
FitStatus LinearSolver::Workspace::solve_active(const ScaledGram& g, double l1, double l2,
                                                const StopSignal& stop) {
    const std::size_t p = static_cast<std::size_t>(g.p);
    active.clear();
    for (std::size_t j = 0; j < p; ++j) {
        if (sign[j] != 0) active.push_back(static_cast<int>(j));
    }
    take_columns(g, active, active_gram);
    const int a = static_cast<int>(active.size());
    ridge.resize(active.size());
    for (int i = 0; i < a; ++i) {
        const std::size_t j = static_cast<std::size_t>(active[static_cast<std::size_t>(i)]);
        ridge[static_cast<std::size_t>(i)] = g.n * l2 * scale[j] * scale[j];
        if (l1 > 0) {
            const double pull = g.n * l1 * scale[j] * target_scale;
            const TripleDouble pulled =
                active_gram.at(a, i) + TripleDouble(sign[j] > 0 ? -pull : pull);
            active_gram.c.set(a, i, pulled);
        }
    }
    const auto solve = [&](Precision precision) {
        return solve_cholesky(active_gram, ridge.data(), kDrop2, precision, Task::coefficients,
                              stop, solved);
    };
    FitStatus s = solve(Precision::double_double);
    if (s == FitStatus::ok &&
        (solved.dropped_variable || solved.condition_bound > kWideCondition)) {
        s = solve(Precision::triple_double);
    }
    if (s != FitStatus::ok) return s;
    trial.assign(p, 0.0);
    polished_intercept = solved.intercept;
    for (std::size_t i = 0; i < active.size(); ++i) {
        const std::size_t j = static_cast<std::size_t>(active[i]);
        trial[j] = solved.coefficient[i];
        if (solved.kept[i] == 0) sign[j] = 0;
    }
    return FitStatus::ok;
}

// The coefficient at zero in `trial` that violates |r - R beta| <= l1 most, with the sign it wants;
// -1 when there is none: then `trial` is the minimum.
int LinearSolver::Workspace::worst_violation(const ScaledGram& g, double l1, int* wants) const {
    const std::size_t p = static_cast<std::size_t>(g.p);
    int worst = -1;
    double worst_excess = 0;
    for (std::size_t j = 0; j < p; ++j) {
        if (trial[j] != 0 || scale[j] == 0) continue;
        const int row = static_cast<int>(j);
        DoubleDouble sum = core::narrow(g.at(g.p, row));
        double magnitude = std::fabs(sum.value());
        for (std::size_t k = 0; k < p; ++k) {
            if (trial[k] == 0) continue;
            const int column = static_cast<int>(k);
            const DoubleDouble c = core::narrow(g.at(std::max(row, column), std::min(row, column)));
            sum = minus_product(sum, c, DoubleDouble(trial[k]));
            magnitude += std::fabs(c.value() * trial[k]);
        }
        const double limit = g.n * scale[j] * target_scale * l1 * (1 + 1e-9) + 1e-15 * magnitude;
        const double excess = (std::fabs(sum.value()) - limit) / scale[j];
        if (excess > worst_excess) {
            worst_excess = excess;
            worst = row;
            *wants = sum.value() > 0 ? 1 : -1;
        }
    }
    return worst;
}

// Active-set search (Lee, Battle, Raina & Ng 2007, without their line search beyond the first
// zero) from the signs of beta. Each step lowers the objective, so it ends; rounding may make it
// cycle, hence the limit. *found: `trial` is the minimum.
FitStatus LinearSolver::Workspace::search_active(const ScaledGram& g, double l1, double l2,
                                                 const StopSignal& stop, bool* found) {
    const std::size_t p = static_cast<std::size_t>(g.p);
    *found = false;
    sign.assign(p, 0);
    present.assign(p, 0.0);
    for (std::size_t j = 0; j < p; ++j) {
        if (scale[j] == 0) continue;
        sign[j] = l1 == 0 ? 1 : beta[j] > 0 ? 1 : beta[j] < 0 ? -1 : 0;
        present[j] = beta[j] * target_scale / scale[j];
    }
    const int limit = 2 * g.p + 20;
    for (int step = 0; step < limit; ++step) {
        if (const FitStatus s = solve_active(g, l1, l2, stop); s != FitStatus::ok) return s;
        if (l1 == 0) {
            *found = true;
            return FitStatus::ok;
        }
        double share = 1;
        int leaves = -1;
        for (const int k : active) {
            const std::size_t j = static_cast<std::size_t>(k);
            if (sign[j] == 0 || trial[j] * sign[j] > 0) continue;
            const double at = present[j] == 0 ? 0.0 : present[j] / (present[j] - trial[j]);
            if (leaves < 0 || at < share) {
                share = at;
                leaves = k;
            }
        }
        if (leaves >= 0) {  // on the way to `trial` this one comes to zero first
            for (std::size_t j = 0; j < p; ++j) present[j] += share * (trial[j] - present[j]);
            present[static_cast<std::size_t>(leaves)] = 0;
            sign[static_cast<std::size_t>(leaves)] = 0;
            continue;
        }
        present = trial;
        int wants = 0;
        const int enters = worst_violation(g, l1, &wants);
        if (enters < 0) {
            *found = true;
            return FitStatus::ok;
        }
        sign[static_cast<std::size_t>(enters)] = static_cast<signed char>(wants);
    }
    return FitStatus::ok;
}

FitStatus LinearSolver::Workspace::solve_ridge(const ScaledGram& g, double lambda,
                                               const StopSignal& stop, double* scaled_coefficient) {
    bool found = false;
    beta.assign(static_cast<std::size_t>(g.p), 0.0);
    const FitStatus s = search_active(g, 0.0, lambda, stop, &found);
    if (s == FitStatus::ok) std::copy(trial.begin(), trial.end(), scaled_coefficient);
    return s;
}

FitStatus LinearSolver::Workspace::solve_sparse(const ScaledGram& g, const LinearOptions& options,
                                                double lambda, const StopSignal& stop,
                                                double* scaled_coefficient) {
    const std::size_t p = static_cast<std::size_t>(g.p);
    const double unit = g.unit[p] / target_scale;
    const double l1 = lambda * options.alpha * unit, l2 = lambda * (1 - options.alpha);
    const auto stopped = [](FitStatus s) {
        return s == FitStatus::cancelled || s == FitStatus::timed_out;
    };
    beta.assign(p, 0.0);
    gradient = target;
    double top = 0;
    for (const double r : target) top = std::max(top, std::fabs(r));
    // Warm starts: quarter decades from the null solution down, coarse.
    FitStatus status = FitStatus::ok;
    for (double rung = top * kRung; l1 > 0 && rung > l1 && rung > top * 1e-8; rung *= kRung) {
        status = descend(g.p, rung, l2 * rung / l1, 1e-3, 100, stop);
        if (stopped(status)) return status;
    }
    status = descend(g.p, l1, l2, 1e-5, std::min(options.max_iterations, kCoarseSweeps), stop);
    if (stopped(status)) return status;
    bool found = false;
    status = search_active(g, l1, l2, stop, &found);
    if (status != FitStatus::ok) return status;
    if (found) {
        std::copy(trial.begin(), trial.end(), scaled_coefficient);
        return FitStatus::ok;
    }
    // Degenerate: several solutions, or signs within rounding. The descent decides.
    for (std::size_t j = 0; j < p; ++j) {  // from fresh sums, free of gathered rounding errors
        gradient[j] = target[j];
        for (std::size_t k = 0; k < p; ++k) gradient[j] -= correlation[j * p + k] * beta[k];
    }
    status = descend(g.p, l1, l2, options.tolerance, options.max_iterations, stop);
    if (status != FitStatus::ok) return status;
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
