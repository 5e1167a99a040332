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

template <class W>
void unscale(const ScaledGram& g, const Cholesky<W>& c, LinearFit& out) {
    const std::size_t p = static_cast<std::size_t>(g.p);
    const double target = 1.0 / g.unit[p];  // powers of two: exact
    out.rank = c.rank;
    out.df_residual = c.df;
    out.rss = c.rss.value() * target * target;
    out.sigma = c.sigma * target;
    out.intercept = c.intercept.value() * target;
    out.intercept_std_error = c.intercept_std_error * target;
    out.coefficient.resize(p);
    out.std_error.resize(p);
    out.inverse_factor.resize(p * (p + 1) / 2);
    for (std::size_t j = 0; j < p; ++j) {
        const double b = c.coefficient[j].value() * g.unit[j] * target;
        out.coefficient[j] = c.kept[j] ? b : std::numeric_limits<double>::quiet_NaN();
        out.std_error[j] = c.std_error[j] * g.unit[j] * target;
    }
    std::size_t at = 0;
    for (std::size_t i = 0; i < p; ++i) {
        for (std::size_t j = 0; j <= i; ++j, ++at) {
            out.inverse_factor[at] = c.inverse_factor[at] * g.unit[j];
        }
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

FitStatus LinearSolver::Workspace::least_squares(const ScaledGram& g, const StopSignal& stop,
                                                 bool* in_wide) {
    *in_wide = false;
    if (const FitStatus s = solve_cholesky(g, nullptr, kDrop2, stop, narrow); s != FitStatus::ok) {
        return s;
    }
    const double total = g.at(g.p, g.p).value();
    if (!narrow.dropped_variable && narrow.condition_bound <= kWideCondition &&
        (narrow.rss.value() > kWideResidual * total || narrow.df <= 0)) {
        return FitStatus::ok;
    }
    *in_wide = true;
    return solve_cholesky(g, nullptr, kDrop2, stop, wide);
}

// kappa([1 X] with unit columns)^2 = largest eigenvalue of G times that of G^-1, where
// G^-1 = F'F with F = [1/sqrt n, 0; -D^-1/2 U mean, D^-1/2 U] and columns scaled by their norms.
template <class W>
FitStatus LinearSolver::Workspace::condition_number(const ScaledGram& g, const Cholesky<W>& c,
                                                    const StopSignal& stop, double* result) {
    const int first = g.centred ? 1 : 0;
    const int k = c.rank + first;
    *result = 1;
    if (k <= 1) return FitStatus::ok;
    FitStatus status = FitStatus::ok;
    const std::size_t kk = static_cast<std::size_t>(k);
    design.assign(kk * kk, 0.0);
    root.assign(kk * kk, 0.0);
    transformed.resize(kk);
    const double root_n = std::sqrt(g.n);
    if (g.centred) design[0] = root[0] = 1;
    int r = first;
    for (int i = 0; i < g.p; ++i) {
        const std::size_t si = static_cast<std::size_t>(i);
        if (!c.kept[si]) continue;
        const double norm_i = std::sqrt(g.norm2[si]);
        const double mean_i = g.centred ? g.mean[si].value() : 0.0;
        double* row = design.data() + static_cast<std::size_t>(r) * kk;
        double* root_row = root.data() + static_cast<std::size_t>(r) * kk;
        if (g.centred) {
            row[0] = design[static_cast<std::size_t>(r)] = root_n * mean_i / norm_i;
            root_row[0] = -c.projected[si].value() * std::sqrt(c.inverse[si].value()) * root_n;
        }
        int s = first;
        for (int j = 0; j <= i; ++j) {
            const std::size_t sj = static_cast<std::size_t>(j);
            if (!c.kept[sj]) continue;
            const double norm_j = std::sqrt(g.norm2[sj]);
            const double mean_j = g.centred ? g.mean[sj].value() : 0.0;
            const double product = g.at(i, j).value() + g.n * mean_i * mean_j;
            row[s] = design[static_cast<std::size_t>(s) * kk + static_cast<std::size_t>(r)] =
                product / (norm_i * norm_j);
            root_row[s] = c.inverse_factor[packed(i, j)] * norm_j;
            ++s;
        }
        ++r;
    }
    const double top = largest(k, [&](const double* in, double* out) {
        for (std::size_t i = 0; i < kk; ++i) {
            const double* row = design.data() + i * kk;
            double sum = 0;
            for (std::size_t j = 0; j < kk; ++j) sum += row[j] * in[j];
            out[i] = sum;
        }
        status = stop.poll();
        return status == FitStatus::ok;
    });
    if (status != FitStatus::ok) return status;
    const double inverse_top = largest(k, [&](const double* in, double* out) {
        for (std::size_t i = 0; i < kk; ++i) out[i] = 0;
        for (std::size_t i = 0; i < kk; ++i) {
            const double* row = root.data() + i * kk;
            double sum = 0;
            for (std::size_t j = 0; j <= i; ++j) sum += row[j] * in[j];
            for (std::size_t j = 0; j <= i; ++j) out[j] += sum * row[j];
        }
        status = stop.poll();
        return status == FitStatus::ok;
    });
    *result = std::sqrt(std::fmax(1.0, top * inverse_top));
    return status;
}

FitStatus LinearSolver::Workspace::fit_ols(const StopSignal& stop, LinearFit& out) {
    bool in_wide = false;
    if (const FitStatus s = least_squares(gram, stop, &in_wide); s != FitStatus::ok) return s;
    out.condition_number = 1;
    if (in_wide) {
        unscale(gram, wide, out);
        if (!wants_condition) return FitStatus::ok;
        return condition_number(gram, wide, stop, &out.condition_number);
    }
    unscale(gram, narrow, out);
    if (!wants_condition) return FitStatus::ok;
    return condition_number(gram, narrow, stop, &out.condition_number);
}

template FitStatus LinearSolver::Workspace::condition_number(const ScaledGram&,
                                                             const Cholesky<DoubleDouble>&,
                                                             const StopSignal&, double*);

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
    w.wants_condition = options.condition_number;
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
    out.tss = w.gram.at(p, p).value() * target * target;
    out.target_mean = options.fit_intercept ? w.gram.mean[sp].value() * target : 0.0;
    out.mean.resize(sp);
    out.location.resize(sp);
    out.spread.resize(sp);
    for (std::size_t j = 0; j < sp; ++j) {
        out.location[j] = w.gram.mean[j].value() / w.gram.unit[j];
        out.mean[j] = options.fit_intercept ? out.location[j] : 0.0;
        out.spread[j] = std::sqrt(std::fmax(w.gram.spread[j].value(), 0.0) / n) / w.gram.unit[j];
    }
    out.cv = no_metrics();
    double lambda = options.lambda;
    if (has_splits) {
        const FitStatus s =
            w.cross_validate(moments, p, options, trains, tests, n_splits, stop, &lambda, &out.cv);
        if (s != FitStatus::ok) return s;
    }
    if (ols) return w.fit_ols(stop, out);
    out.alpha = options.alpha;
    return w.fit_penalised(options, lambda, stop, out);
}

}  // namespace many::core
