// Coherent forecasts without negative ones: see reconcile.h.
//
// Of all coherent y~ with no leaf below 0 the nearest to y, by (y~ - y)' W^-1 (y~ - y). With the leaves A
// held at 0 that is the projection with a constraint more for each of them, B = [C; rows of the unit
// matrix at A],
//   y~ = y - W B' z,  (B W B') z = B y,
// which needs no inverse of W; it is the solution when no free leaf is below 0 and no z of A above 0
// (letting such a leaf go would bring y~ nearer to y). Block principal pivoting (Kim & Park 2011, as in
// the source) exchanges all leaves that break this, and where that has not helped three times, the last
// one alone (Murty 1974), by which it ends: no set comes twice. The system's rows of C stay factored.
#include <algorithm>
#include <cmath>
#include <string>

#include "core/error.h"
#include "core/forecasters/reconcile.h"
#include "core/forecasters/reconcile_parts.h"

namespace many::core {

namespace {

constexpr int kMostPivots = 1000;
constexpr int kPatience = 3;
constexpr double kTolerance = 1e-10;  // of the largest base forecast

// Solutions for sets of leaves held at 0.
class Restricted {
  public:
    Restricted(const ReconcileParts& parts, std::span<const double> base)
        : parts_(parts), base_(base), above_(aggregates_above(parts.hierarchy)) {}

    // z of the aggregates and of `fixed`, then y~ of the leaves.
    ForecastStatus solve(const std::vector<int>& fixed, std::span<double> leaves,
                         const StopSignal& stop);
    [[nodiscard]] double z_of(std::size_t fixed) const { return z_[n_aggregates() + fixed]; }

  private:
    [[nodiscard]] std::size_t n_aggregates() const {
        return static_cast<std::size_t>(parts_.hierarchy.n_aggregates());
    }
    [[nodiscard]] std::size_t n_leaves() const {
        return static_cast<std::size_t>(parts_.hierarchy.n_leaves());
    }
    [[nodiscard]] const double* row(std::size_t i) const {
        const std::size_t k = n_aggregates();
        return i < k ? &parts_.factor[triangle_row(i)]
                     : &extension_[triangle_row(i) - triangle_row(k)];
    }
    void set_row(const std::vector<int>& fixed, std::size_t i, double* into) const;
    ForecastStatus extend(const std::vector<int>& fixed, const StopSignal& stop);
    void substitute();

    const ReconcileParts& parts_;
    std::span<const double> base_;
    std::vector<std::vector<int>> above_;
    std::vector<double> extension_;  // the factor's rows of the fixed leaves
    std::vector<double> z_;
};

// Row of B W B' for the i-th fixed leaf.
void Restricted::set_row(const std::vector<int>& fixed, std::size_t i, double* into) const {
    const std::size_t k = n_aggregates(), t = parts_.n_steps;
    const auto leaf = static_cast<std::size_t>(fixed[i]);
    const double* errors = t > 0 ? &parts_.leaf_errors[leaf * t] : nullptr;
    for (std::size_t a = 0; t > 0 && a < k; ++a)
        into[a] = parts_.shared * dot_product(&parts_.constraint_errors[a * t], errors, t);
    for (const int a : above_[leaf]) into[a] -= parts_.own * parts_.weights[leaf];
    for (std::size_t j = 0; t > 0 && j <= i; ++j)
        into[k + j] =
            parts_.shared *
            dot_product(errors, &parts_.leaf_errors[static_cast<std::size_t>(fixed[j]) * t], t);
    into[k + i] += parts_.own * parts_.weights[leaf];
}

ForecastStatus Restricted::extend(const std::vector<int>& fixed, const StopSignal& stop) {
    const std::size_t k = n_aggregates(), all = k + fixed.size();
    extension_.assign(triangle_row(all) - triangle_row(k), 0);
    for (std::size_t i = k; i < all; ++i) {
        if (stop.poll() != FitStatus::ok) return ForecastStatus::stopped;
        double* mine = &extension_[triangle_row(i) - triangle_row(k)];
        set_row(fixed, i - k, mine);
        factor_row(mine, i, [this](std::size_t j) { return row(j); });
    }
    return ForecastStatus::ok;
}

void Restricted::substitute() {
    for (std::size_t i = 0; i < z_.size(); ++i) {
        const double* mine = row(i);
        z_[i] = mine[i] > 0 ? (z_[i] - dot_product(mine, z_.data(), i)) / mine[i] : 0;
    }
    for (std::size_t i = z_.size(); i-- > 0;) {
        const double* mine = row(i);
        z_[i] = mine[i] > 0 ? z_[i] / mine[i] : 0;
        for (std::size_t j = 0; j < i; ++j) z_[j] -= mine[j] * z_[i];
    }
}

ForecastStatus Restricted::solve(const std::vector<int>& fixed, std::span<double> leaves,
                                 const StopSignal& stop) {
    const std::size_t k = n_aggregates(), t = parts_.n_steps;
    const ForecastStatus status = extend(fixed, stop);
    if (status != ForecastStatus::ok) return status;
    z_.assign(k + fixed.size(), 0);
    for (std::size_t a = 0; a < k; ++a)
        z_[a] = base_[n_leaves() + a] -
                sum_over(base_, parts_.hierarchy.leaves_of(static_cast<int>(a)));
    for (std::size_t i = 0; i < fixed.size(); ++i)
        z_[k + i] = base_[static_cast<std::size_t>(fixed[i])];
    substitute();
    std::vector<double> change(n_leaves()), direction(t);
    for (std::size_t a = 0; a < k; ++a) {
        for (const int leaf : parts_.hierarchy.leaves_of(static_cast<int>(a)))
            change[static_cast<std::size_t>(leaf)] += z_[a];
        for (std::size_t s = 0; s < t; ++s)
            direction[s] += z_[a] * parts_.constraint_errors[a * t + s];
    }
    for (std::size_t i = 0; i < fixed.size(); ++i) {
        const auto leaf = static_cast<std::size_t>(fixed[i]);
        change[leaf] -= z_[k + i];
        for (std::size_t s = 0; s < t; ++s)
            direction[s] += z_[k + i] * parts_.leaf_errors[leaf * t + s];
    }
    for (std::size_t i = 0; i < n_leaves(); ++i) {
        leaves[i] = base_[i] + parts_.own * parts_.weights[i] * change[i];
        if (t > 0)
            leaves[i] -=
                parts_.shared * dot_product(&parts_.leaf_errors[i * t], direction.data(), t);
    }
    return ForecastStatus::ok;
}

// The leaves to exchange for a set that breaks the conditions; empty: it is the solution.
std::vector<int> broken_by(const ReconcileParts& parts, const Restricted& restricted,
                           const std::vector<int>& fixed, std::span<const double> leaves,
                           double tolerance) {
    std::vector<int> broken;
    std::size_t next = 0;
    for (std::size_t i = 0; i < leaves.size(); ++i) {
        const bool held = next < fixed.size() && static_cast<std::size_t>(fixed[next]) == i;
        const bool breaks =
            held ? parts.weights[i] * restricted.z_of(next) > tolerance : leaves[i] < -tolerance;
        if (held) ++next;
        if (breaks) broken.push_back(static_cast<int>(i));
    }
    return broken;
}

void exchange(std::vector<int>& fixed, std::span<const int> leaves) {
    for (const int leaf : leaves) {
        const auto at = std::lower_bound(fixed.begin(), fixed.end(), leaf);
        if (at != fixed.end() && *at == leaf)
            fixed.erase(at);
        else
            fixed.insert(at, leaf);
    }
}

}  // namespace

ForecastStatus Reconciler::pivot(std::span<const double> base, std::span<double> leaves,
                                 const StopSignal& stop) const {
    const ReconcileParts own_parts = parts();
    Restricted restricted(own_parts, base);
    double most = 0;
    for (const double v : base) most = std::max(most, std::fabs(v));
    std::vector<int> fixed;
    std::size_t least_broken = leaves.size() + 1;
    int patience = kPatience;
    for (int pivots = 0; pivots < kMostPivots; ++pivots) {
        if (hierarchy_.n_aggregates() + static_cast<int>(fixed.size()) > Hierarchy::kMostAggregates)
            throw Error(ErrorKind::unsupported, "more than " +
                                                    std::to_string(Hierarchy::kMostAggregates) +
                                                    " aggregates and leaves held at 0");
        const ForecastStatus status = restricted.solve(fixed, leaves, stop);
        if (status != ForecastStatus::ok) return status;
        std::vector<int> broken =
            broken_by(own_parts, restricted, fixed, leaves, kTolerance * most);
        if (broken.empty()) {
            for (const int leaf : fixed) leaves[static_cast<std::size_t>(leaf)] = 0;
            return ForecastStatus::ok;
        }
        if (broken.size() < least_broken) {
            least_broken = broken.size();
            patience = kPatience;
        } else if (patience > 0) {
            --patience;
        } else {
            broken.erase(broken.begin(), broken.end() - 1);
        }
        exchange(fixed, broken);
    }
    return ForecastStatus::not_converged;
}

ForecastStatus Reconciler::reconcile_nonnegative(std::span<const double> base,
                                                 std::span<double> out,
                                                 const StopSignal& stop) const {
    const auto n_leaves = static_cast<std::size_t>(hierarchy_.n_leaves());
    const std::vector<double> given(base.begin(), base.end());  // base may be out
    ForecastStatus status = reconcile(given, out);
    if (status != ForecastStatus::ok) return status;
    const std::span<double> leaves = out.first(n_leaves);
    if (!order_.empty()) {  // shares of what is not negative are not
        std::vector<double> positive(given);
        for (double& v : positive) v = std::max(v, 0.0);
        status = reconcile(positive, out);
        if (status != ForecastStatus::ok) return status;
        if (std::any_of(leaves.begin(), leaves.end(), [](double v) { return v < 0; }))
            return ForecastStatus::not_positive;
        return ForecastStatus::ok;
    }
    if (method_ != ReconcileMethod::bottom_up && hierarchy_.n_aggregates() > 0 &&
        std::any_of(leaves.begin(), leaves.end(), [](double v) { return v < 0; }))
        status = pivot(given, leaves, stop);
    if (status != ForecastStatus::ok) return status;
    for (double& v : leaves) v = std::max(v, 0.0);
    for (int a = 0; a < hierarchy_.n_aggregates(); ++a)
        out[n_leaves + static_cast<std::size_t>(a)] = sum_over(out, hierarchy_.leaves_of(a));
    const bool finite =
        std::all_of(out.begin(), out.end(), [](double v) { return std::isfinite(v); });
    return finite ? ForecastStatus::ok : ForecastStatus::overflow;
}

}  // namespace many::core
