// Ordinary least squares, and the entry of the linear family.
//
// moments -> ScaledGram (triple-double) -> Cholesky in double-double -> again in triple-double when
// that is not exact enough -> LinearFit, rounded once. linear_path.cpp has the penalised fits.
#include "core/learners/linear.h"

#include <chrono>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/learners/linear_workspace.h"

namespace many::core {
namespace {

constexpr double kDrop2 = LinearSolver::kCollinear * LinearSolver::kCollinear;
// Below this share of the total, double-double has no digits of the residuals left to round.
constexpr double kWideResidual = 1e-12;
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

void check_options(int p, const LinearOptions& o, bool has_folds) {
    const auto reject = [](const char* what) { throw Error(ErrorKind::invalid_argument, what); };
    if (p < 0 || p + 1 > MomentLayout::kMaxColumns) reject("number of terms out of range");
    if (o.algorithm == Algorithm::linear_regression) return;
    if (!(o.lambda >= 0) || std::isinf(o.lambda)) reject("lambda must be finite and at least 0");
    if (!(o.alpha >= 0 && o.alpha <= 1)) reject("alpha must be between 0 and 1");
    if (o.lambda_auto && !has_folds) reject("the search for lambda needs at least 2 folds");
    if (o.lambda_auto && (o.n_lambda < 1 || !(o.lambda_min_ratio > 0 && o.lambda_min_ratio <= 1))) {
        reject("n_lambda must be at least 1 and lambda_min_ratio in (0, 1]");
    }
}

LinearOptions resolved(LinearOptions o) {
    if (o.algorithm == Algorithm::ridge) o.alpha = 0;
    if (o.algorithm == Algorithm::lasso) o.alpha = 1;
    return o;
}

void unscale(const ScaledGram& g, const Cholesky& c, bool inference, LinearFit& out) {
    const std::size_t p = static_cast<std::size_t>(g.p);
    const double target = 1.0 / g.unit[p];  // powers of two: exact
    out.rank = c.rank;
    out.df_residual = c.df;
    out.rss = c.rss * target * target;
    out.intercept = c.intercept * target;
    out.coefficient.resize(p);
    for (std::size_t j = 0; j < p; ++j) {
        out.coefficient[j] = c.kept[j] != 0 ? c.coefficient[j] * g.unit[j] * target : kNaN;
    }
    out.r2 = out.r2_about_mean = out.sigma = out.intercept_std_error = kNaN;
    if (!inference) {
        out.std_error.assign(p, kNaN);
        out.inverse_factor.clear();
        return;
    }
    out.r2 = c.r2;
    out.r2_about_mean = c.r2_about_mean;
    out.sigma = c.sigma * target;
    out.intercept_std_error = c.intercept_std_error * target;
    out.std_error.resize(p);
    out.inverse_factor.resize(p * (p + 1) / 2);
    double* factor = out.inverse_factor.data();
    for (std::size_t i = 0; i < p; ++i) {
        out.std_error[i] = c.std_error[i] * g.unit[i] * target;
        const double* row = c.factor_row(static_cast<int>(i)) + 1;
        for (std::size_t j = 0; j <= i; ++j) *factor++ = row[j] * g.unit[j];
    }
}

}  // namespace

FitStatus StopSignal::poll() const noexcept {
    if (flag != nullptr && *flag != 0) return FitStatus::cancelled;
    if (deadline_us != 0) {
        const auto now = std::chrono::steady_clock::now().time_since_epoch();
        if (std::chrono::duration_cast<std::chrono::microseconds>(now).count() >= deadline_us) {
            return FitStatus::timed_out;
        }
    }
    return FitStatus::ok;
}

FitStatus LinearSolver::Workspace::least_squares(const ScaledGram& g, Task task,
                                                 const StopSignal& stop) {
    const FitStatus s =
        solve_cholesky(g, nullptr, kDrop2, Precision::double_double, task, stop, solved);
    if (s != FitStatus::ok ||
        (!solved.dropped_variable && solved.condition_bound <= kWideCondition &&
         (solved.rss > kWideResidual * g.square[static_cast<std::size_t>(g.p)] ||
          solved.df <= 0))) {
        return s;
    }
    return solve_cholesky(g, nullptr, kDrop2, Precision::triple_double, task, stop, solved);
}

FitStatus LinearSolver::Workspace::fit_ols(bool inference, const StopSignal& stop, LinearFit& out) {
    const Task task = inference ? Task::inference : Task::coefficients;
    if (const FitStatus s = least_squares(gram, task, stop); s != FitStatus::ok) return s;
    unscale(gram, solved, inference, out);
    return inference ? condition.compute(gram, solved, stop, &out.condition_number) : FitStatus::ok;
}

LinearSolver::LinearSolver() : workspace_(new Workspace) {}
LinearSolver::~LinearSolver() {
    delete workspace_;
}

FitStatus LinearSolver::fit(const double* moments, int p, const LinearOptions& options,
                            const double* folds, int n_folds, const StopSignal& stop,
                            LinearFit& out) {
    return fit_splits(moments, p, options, nullptr, folds, n_folds, stop, out);
}

FitStatus LinearSolver::fit_splits(const double* moments, int p, const LinearOptions& given,
                                   const double* trains, const double* tests, int n_splits,
                                   const StopSignal& stop, LinearFit& out) {
    const LinearOptions options = resolved(given);
    const bool has_splits = tests != nullptr && n_splits >= (trains != nullptr ? 1 : 2);
    check_options(p, options, has_splits);
    Workspace& w = *workspace_;
    const std::size_t sp = static_cast<std::size_t>(p);
    const double n = moments_count(moments);
    if (!(n >= 1)) return std::isnan(n) ? FitStatus::not_finite : FitStatus::too_few_rows;
    if (const FitStatus s = build_gram(moments, p, options.fit_intercept, stop, w.gram);
        s != FitStatus::ok) {
        return s;
    }
    if (w.gram.is_constant(p)) return FitStatus::constant_target;

    const bool ols = options.algorithm == Algorithm::linear_regression;
    out.algorithm = options.algorithm;
    out.has_intercept = options.fit_intercept;
    out.p = p;
    out.n_rows = n;
    out.lambda = out.alpha = 0;
    const double target = 1.0 / w.gram.unit[sp];
    out.tss = w.gram.square[sp] * target * target;
    out.target_mean = options.fit_intercept ? w.gram.mean[sp].value() * target : 0.0;
    out.mean.resize(sp);
    out.location.resize(sp);
    out.spread.resize(sp);
    for (std::size_t j = 0; j < sp; ++j) {
        out.location[j] = w.gram.mean[j].value() / w.gram.unit[j];
        out.mean[j] = options.fit_intercept ? out.location[j] : 0.0;
        out.spread[j] = std::sqrt(std::fmax(w.gram.spread(j), 0.0) / n) / w.gram.unit[j];
    }
    out.condition_number = 1;
    out.cv = no_metrics();
    double lambda = options.lambda;
    if (has_splits) {
        const FitStatus s =
            w.cross_validate(moments, p, options, trains, tests, n_splits, stop, &lambda, &out.cv);
        if (s != FitStatus::ok) return s;
    }
    if (ols) return w.fit_ols(options.inference, stop, out);
    out.alpha = options.alpha;
    return w.fit_penalised(options, lambda, stop, out);
}

}  // namespace many::core
