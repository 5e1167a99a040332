// Standard errors of coherent forecasts: see reconcile.h.
//
// A sum of reconciled leaves, with e 1 at these leaves, is y~ = e' y - u' C y, (C W C') u = C W e. With
// base forecasts whose errors have the covariance Sigma = D R D (D their standard deviations at this
// step, R the correlations of the one-step errors) its variance is
//   e' Sigma e - 2 u' C Sigma e + u' C Sigma C' u.
// R = lambda I + (1 - lambda) Z Z' / T is never formed, as W is not.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/forecasters/reconcile.h"
#include "core/forecasters/reconcile_parts.h"

namespace many::core {

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

int largest_exponent(std::span<const double> values) noexcept {
    double most = 0;
    for (const double v : values) {
        if (std::isfinite(v)) most = std::max(most, v);
    }
    return most > 0 ? std::ilogb(most) : 0;
}

}  // namespace

// The errors of all nodes over their root mean squares; a node that was never wrong has zeros.
void Reconciler::keep_correlations(const Reconciler& from) {
    const auto n_leaves = static_cast<std::size_t>(hierarchy_.n_leaves());
    const auto k = static_cast<std::size_t>(hierarchy_.n_aggregates());
    const auto t = static_cast<std::size_t>(from.n_steps_);
    std::vector<double> z(from.leaf_errors_);
    z.insert(z.end(), from.constraint_errors_.begin(), from.constraint_errors_.end());
    for (std::size_t a = 0; a < k; ++a) {
        double* into = &z[(n_leaves + a) * t];
        for (const int leaf : hierarchy_.leaves_of(static_cast<int>(a))) {
            const double* errors = &from.leaf_errors_[static_cast<std::size_t>(leaf) * t];
            for (std::size_t s = 0; s < t; ++s) into[s] += errors[s];
        }
    }
    for (std::size_t i = 0; i < n_leaves + k; ++i) {
        const double scale = from.weights_[i] > 0 ? 1 / std::sqrt(from.weights_[i]) : 0;
        for (std::size_t s = 0; s < t; ++s) z[i * t + s] *= scale;
    }
    correlation_steps_ = t;
    correlation_lambda_ = from.lambda_;
    correlated_errors_ = std::move(z);
    never_wrong_.assign(n_leaves + k, 0);
    for (std::size_t i = 0; i < n_leaves + k; ++i) never_wrong_[i] = from.weights_[i] > 0 ? 0 : 1;
}

ForecastStatus Reconciler::correlate(const ReconcileHistory& history, const StopSignal& stop) {
    const auto n = static_cast<std::size_t>(hierarchy_.n_nodes());
    if (history.n_steps < 0 ||
        history.errors.size() != n * static_cast<std::size_t>(history.n_steps))
        throw Error(ErrorKind::invalid_argument, "errors are as many as nodes times steps");
    if (method_ == ReconcileMethod::mint_shrink) {
        keep_correlations(*this);
        return ForecastStatus::ok;
    }
    Reconciler other;
    other.hierarchy_ = hierarchy_;
    other.weights_.assign(n, 1);
    const ForecastStatus status = other.take_errors(history, stop);
    if (status == ForecastStatus::ok) keep_correlations(other);
    return status;
}

namespace {

// Sigma = diag(single) + shared X X', and what C makes of it.
struct BaseCovariance {
    std::vector<double> single;
    double shared = 0;
    std::size_t n_steps = 0;
    std::vector<double> x;        // n_nodes x n_steps
    std::vector<double> cx;       // C X
    std::vector<double> of_gaps;  // C Sigma C', lower triangle
};

void constrain(const Hierarchy& hierarchy, const std::vector<std::vector<int>>& above,
               BaseCovariance& sigma) {
    const auto n_leaves = static_cast<std::size_t>(hierarchy.n_leaves());
    const auto k = static_cast<std::size_t>(hierarchy.n_aggregates());
    const std::size_t t = sigma.n_steps;
    sigma.cx.assign(sigma.x.begin() + static_cast<std::ptrdiff_t>(n_leaves * t), sigma.x.end());
    sigma.of_gaps.assign(triangle_row(k), 0);
    for (std::size_t leaf = 0; leaf < n_leaves; ++leaf) {
        for (const int a : above[leaf]) {
            const auto row = static_cast<std::size_t>(a);
            for (std::size_t s = 0; s < t; ++s) sigma.cx[row * t + s] -= sigma.x[leaf * t + s];
            for (const int b : above[leaf]) {
                if (b > a) break;
                sigma.of_gaps[triangle_row(row) + static_cast<std::size_t>(b)] +=
                    sigma.single[leaf];
            }
        }
    }
    for (std::size_t a = 0; a < k; ++a) {
        double* row = &sigma.of_gaps[triangle_row(a)];
        row[a] += sigma.single[n_leaves + a];
        for (std::size_t b = 0; t > 0 && b <= a; ++b)
            row[b] += sigma.shared * dot_product(&sigma.cx[a * t], &sigma.cx[b * t], t);
    }
}

// Of a sum of leaves: the covariances with the gaps (C M e) of M = diag(single) + shared X X', where e
// is 1 at `leaves` and cx = C X.
void gap_covariances(std::span<const int> leaves, const std::vector<std::vector<int>>& above,
                     std::span<const double> single, double shared, std::size_t t,
                     std::span<const double> x, std::span<const double> cx,
                     std::vector<double>& scratch, std::span<double> into) {
    std::fill(into.begin(), into.end(), 0.0);
    scratch.assign(t, 0);
    for (const int l : leaves) {
        const auto leaf = static_cast<std::size_t>(l);
        for (std::size_t i = 0; !into.empty() && i < above[leaf].size(); ++i)
            into[static_cast<std::size_t>(above[leaf][i])] -= single[leaf];
        for (std::size_t s = 0; s < t; ++s) scratch[s] += x[leaf * t + s];
    }
    for (std::size_t a = 0; t > 0 && a < into.size(); ++a)
        into[a] += shared * dot_product(&cx[a * t], scratch.data(), t);
}

// What is unknown of a gap does not matter where its weight is 0.
double variance_of(double before, std::span<const double> u, std::span<const double> with_gaps,
                   const std::vector<double>& of_gaps) noexcept {
    double variance = before;
    for (std::size_t a = 0; a < u.size(); ++a) {
        if (u[a] == 0) continue;
        const double* row = &of_gaps[triangle_row(a)];
        double sum = u[a] * row[a] - 2 * with_gaps[a];
        for (std::size_t b = 0; b < a; ++b) {
            if (u[b] != 0) sum += 2 * u[b] * row[b];
        }
        variance += u[a] * sum;
    }
    return variance;
}

}  // namespace

ForecastStatus Reconciler::standard_errors(std::span<const double> base, std::span<double> out,
                                           const StopSignal& stop) const {
    const auto n_leaves = static_cast<std::size_t>(hierarchy_.n_leaves());
    const auto n = static_cast<std::size_t>(hierarchy_.n_nodes());
    if (base.size() != n || out.size() != n)
        throw Error(ErrorKind::invalid_argument, "standard errors are as many as nodes");
    if (method_ == ReconcileMethod::top_down || method_ == ReconcileMethod::top_down_averages) {
        std::fill(out.begin(), out.end(), kNan);  // not linear in the base forecasts
        return ForecastStatus::ok;
    }
    const bool projects = method_ != ReconcileMethod::bottom_up;
    const std::size_t t = correlation_steps_, k = projects ? n - n_leaves : 0;
    const int exponent = largest_exponent(base);
    BaseCovariance sigma;
    sigma.shared = t > 0 ? (1 - correlation_lambda_) / static_cast<double>(t) : 0;
    sigma.n_steps = t;
    sigma.x = correlated_errors_;
    for (std::size_t i = 0; i < n; ++i) {
        const double d = std::scalbn(base[i], -exponent);
        sigma.single.push_back((t > 0 && never_wrong_[i] == 0 ? correlation_lambda_ : 1) * d * d);
        for (std::size_t s = 0; s < t; ++s) sigma.x[i * t + s] *= d;
    }
    const auto above = aggregates_above(hierarchy_);
    const ReconcileParts own_parts = parts();
    std::vector<double> weights(n_leaves);
    for (std::size_t i = 0; projects && i < n_leaves; ++i)
        weights[i] = own_parts.own * own_parts.weights[i];
    if (projects) constrain(hierarchy_, above, sigma);
    std::vector<double> u(k), with_gaps(k), scratch;
    for (std::size_t i = 0; i < n; ++i) {
        if (stop.poll() != FitStatus::ok) return ForecastStatus::stopped;
        const int alone = static_cast<int>(i);
        const std::span<const int> leaves =
            i < n_leaves ? std::span<const int>(&alone, 1)
                         : hierarchy_.leaves_of(static_cast<int>(i - n_leaves));
        gap_covariances(leaves, above, weights, own_parts.shared, own_parts.n_steps, leaf_errors_,
                        constraint_errors_, scratch, u);
        solve(u);
        gap_covariances(leaves, above, sigma.single, sigma.shared, t, sigma.x, sigma.cx, scratch,
                        with_gaps);
        double before = sigma.shared * dot_product(scratch.data(), scratch.data(), t);
        for (const int leaf : leaves) before += sigma.single[static_cast<std::size_t>(leaf)];
        const double variance = variance_of(before, u, with_gaps, sigma.of_gaps);
        out[i] = std::scalbn(std::sqrt(std::max(variance, 0.0)), exponent);
        if (!std::isfinite(variance)) out[i] = kNan;
    }
    return ForecastStatus::ok;
}

}  // namespace many::core
