#include "core/forecasters/reconcile.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "core/error.h"
#include "core/forecasters/reconcile_parts.h"

namespace many::core {

namespace {

[[noreturn]] void refuse(const std::string& message) {
    throw Error(ErrorKind::invalid_argument, message);
}

bool all_finite(std::span<const double> values) noexcept {
    return std::all_of(values.begin(), values.end(), [](double v) { return std::isfinite(v); });
}

// Sum of squares of all products of two rows of x (n x t): || x x' ||^2 = || x' x ||^2, the smaller.
double sum_of_squared_products(const std::vector<double>& x, std::size_t n, std::size_t t,
                               const StopSignal& stop) {
    double sum = 0;
    if (n <= t) {
        for (std::size_t i = 0; i < n && stop.poll() == FitStatus::ok; ++i) {
            const double own = dot_product(&x[i * t], &x[i * t], t);
            sum += own * own;
            for (std::size_t j = 0; j < i; ++j) {
                const double product = dot_product(&x[i * t], &x[j * t], t);
                sum += 2 * product * product;
            }
        }
        return sum;
    }
    std::vector<double> products(t * t);  // lower triangle
    for (std::size_t i = 0; i < n && stop.poll() == FitStatus::ok; ++i) {
        const double* row = &x[i * t];
        for (std::size_t a = 0; a < t; ++a) {
            double* into = &products[a * t];
            for (std::size_t b = 0; b <= a; ++b) into[b] += row[a] * row[b];
        }
    }
    for (std::size_t a = 0; a < t; ++a) {
        for (std::size_t b = 0; b < a; ++b) sum += 2 * products[a * t + b] * products[a * t + b];
        sum += products[a * t + a] * products[a * t + a];
    }
    return sum;
}

// Exponent of two that takes the largest error to about 1, so that no square overflows.
int exponent_of(std::span<const double> errors) noexcept {
    double most = 0;
    for (const double e : errors) {
        if (std::isfinite(e)) most = std::max(most, std::fabs(e));
    }
    return most > 0 ? std::ilogb(most) : 0;
}

}  // namespace

// --- Hierarchy --------------------------------------------------------------------------------------

Hierarchy::Hierarchy(int n_leaves)
    : n_leaves_(n_leaves), last_seen_(static_cast<std::size_t>(std::max(n_leaves, 0)), -1) {
    if (n_leaves < 0) refuse("a hierarchy has leaves");
}

void Hierarchy::add(std::span<const int> leaves) {
    const int aggregate = n_aggregates();
    if (leaves.empty()) refuse("an aggregate without leaves");
    if (aggregate >= kMostAggregates)
        throw Error(ErrorKind::unsupported,
                    "more than " + std::to_string(kMostAggregates) + " aggregates");
    for (const int leaf : leaves) {
        if (leaf < 0 || leaf >= n_leaves_) refuse("an aggregate of a leaf that does not exist");
        int& seen = last_seen_[static_cast<std::size_t>(leaf)];
        if (seen == aggregate) refuse("an aggregate has a leaf twice");
        seen = aggregate;
    }
    leaves_.insert(leaves_.end(), leaves.begin(), leaves.end());
    std::sort(leaves_.begin() + static_cast<std::ptrdiff_t>(first_.back()), leaves_.end());
    first_.push_back(leaves_.size());
}

// --- Preparation ------------------------------------------------------------------------------------

ForecastStatus Reconciler::prepare(const Hierarchy& hierarchy, ReconcileMethod method,
                                   const ReconcileHistory& history, const StopSignal& stop) {
    *this = Reconciler();
    hierarchy_ = hierarchy;
    method_ = method;
    const auto n = static_cast<std::size_t>(hierarchy.n_nodes());
    const bool needs_errors =
        method == ReconcileMethod::wls_variance || method == ReconcileMethod::mint_shrink;
    if (needs_errors && (history.n_steps < 0 ||
                         history.errors.size() != n * static_cast<std::size_t>(history.n_steps)))
        refuse("errors are as many as nodes times steps");
    switch (method) {
        case ReconcileMethod::bottom_up:
            return ForecastStatus::ok;
        case ReconcileMethod::top_down:
            nest();
            return ForecastStatus::ok;
        case ReconcileMethod::top_down_averages:
            if (history.averages.size() != static_cast<std::size_t>(hierarchy.n_leaves()))
                refuse("averages are as many as leaves");
            if (!all_finite(history.averages)) return ForecastStatus::overflow;
            nest();
            // The averages of aggregates follow; then shares are taken of them as of forecasts.
            weights_.assign(history.averages.begin(), history.averages.end());
            for (int a = 0; a < hierarchy.n_aggregates(); ++a)
                weights_.push_back(sum_over(history.averages, hierarchy.leaves_of(a)));
            return ForecastStatus::ok;
        default:
            break;
    }
    ForecastStatus status = weigh(history);
    if (status == ForecastStatus::ok && method == ReconcileMethod::mint_shrink)
        status = take_errors(history, stop);
    return status == ForecastStatus::ok ? factor(stop) : status;
}

// Parents by falling size; each aggregate's leaves must all stand in one smaller-than-before owner.
void Reconciler::nest() {
    const auto n_leaves = static_cast<std::size_t>(hierarchy_.n_leaves());
    const auto k = static_cast<std::size_t>(hierarchy_.n_aggregates());
    order_.resize(k);
    std::iota(order_.begin(), order_.end(), 0);
    std::stable_sort(order_.begin(), order_.end(), [this](int a, int b) {
        return hierarchy_.leaves_of(a).size() > hierarchy_.leaves_of(b).size();
    });
    std::vector<int> owner(n_leaves, -1), parent(n_leaves + k, -1);
    for (const int a : order_) {
        const auto leaves = hierarchy_.leaves_of(a);
        const int above = owner[static_cast<std::size_t>(leaves[0])];
        for (const int leaf : leaves) {
            int& of = owner[static_cast<std::size_t>(leaf)];
            if (of != above)
                refuse("top_down needs aggregates that are nested or have no leaf in common");
            of = a;
        }
        parent[n_leaves + static_cast<std::size_t>(a)] = above;
    }
    std::copy(owner.begin(), owner.end(), parent.begin());
    first_child_.assign(k + 1, 0);
    for (const int p : parent) {
        if (p >= 0) ++first_child_[static_cast<std::size_t>(p) + 1];
    }
    std::partial_sum(first_child_.begin(), first_child_.end(), first_child_.begin());
    children_.resize(first_child_.back());
    std::vector<std::size_t> next(first_child_.begin(), first_child_.end() - 1);
    for (std::size_t node = 0; node < parent.size(); ++node) {
        if (parent[node] >= 0)
            children_[next[static_cast<std::size_t>(parent[node])]++] = static_cast<int>(node);
    }
}

ForecastStatus Reconciler::weigh(const ReconcileHistory& history) {
    const auto n = static_cast<std::size_t>(hierarchy_.n_nodes());
    weights_.assign(n, 1);
    if (method_ == ReconcileMethod::wls_structure) {
        for (int a = 0; a < hierarchy_.n_aggregates(); ++a)
            weights_[static_cast<std::size_t>(hierarchy_.n_leaves()) +
                     static_cast<std::size_t>(a)] =
                static_cast<double>(hierarchy_.leaves_of(a).size());
    }
    if (method_ != ReconcileMethod::wls_variance) return ForecastStatus::ok;
    const auto t = static_cast<std::size_t>(history.n_steps);
    const int exponent = exponent_of(history.errors);
    for (std::size_t i = 0; i < n; ++i) {
        double sum = 0;
        std::size_t count = 0;
        for (const double error : history.errors.subspan(i * t, t)) {
            if (std::isnan(error)) continue;
            const double e = std::scalbn(error, -exponent);
            sum += e * e;
            ++count;
        }
        if (count == 0) return ForecastStatus::too_short;
        if (!std::isfinite(sum)) return ForecastStatus::overflow;
        weights_[i] = sum / static_cast<double>(count);
    }
    return ForecastStatus::ok;
}

// Errors of the steps that all nodes have, scaled: their variances, lambda, and what C makes of them.
ForecastStatus Reconciler::take_errors(const ReconcileHistory& history, const StopSignal& stop) {
    const auto n = static_cast<std::size_t>(hierarchy_.n_nodes());
    const auto n_leaves = static_cast<std::size_t>(hierarchy_.n_leaves());
    const auto all = static_cast<std::size_t>(history.n_steps);
    std::vector<unsigned char> complete(all, 1);
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t s = 0; s < all; ++s) {
            const double error = history.errors[i * all + s];
            if (std::isinf(error)) return ForecastStatus::overflow;
            if (std::isnan(error)) complete[s] = 0;
        }
    }
    const auto t = static_cast<std::size_t>(std::count(complete.begin(), complete.end(), 1));
    if (t < 2) return ForecastStatus::too_short;
    n_steps_ = static_cast<int>(t);
    const int exponent = exponent_of(history.errors);
    std::vector<double> errors;
    errors.reserve(n * t);
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t s = 0; s < all; ++s) {
            if (complete[s] != 0)
                errors.push_back(std::scalbn(history.errors[i * all + s], -exponent));
        }
        weights_[i] = dot_product(&errors[i * t], &errors[i * t], t) / static_cast<double>(t);
    }
    lambda_ = shrinkage_of(errors, stop);
    if (stop.poll() != FitStatus::ok) return ForecastStatus::stopped;
    constraint_errors_.assign(errors.begin() + static_cast<std::ptrdiff_t>(n_leaves * t),
                              errors.end());
    for (int a = 0; a < hierarchy_.n_aggregates(); ++a) {
        double* into = &constraint_errors_[static_cast<std::size_t>(a) * t];
        for (const int leaf : hierarchy_.leaves_of(a)) {
            const double* from = &errors[static_cast<std::size_t>(leaf) * t];
            for (std::size_t s = 0; s < t; ++s) into[s] -= from[s];
        }
    }
    errors.resize(n_leaves * t);
    leaf_errors_ = std::move(errors);
    return ForecastStatus::ok;
}

// Over the pairs i != j of nodes: sum of the variances of the correlations r_ij over the sum of their
// squares. With x the errors over their root mean squares, r = x x' / T and
//   var(r_ij) = (sum_t (x_it x_jt)^2 - (sum_t x_it x_jt)^2 / T) / (T (T - 1)),
// whose sums over all pairs are those of squares over the nodes; what belongs to i = j is taken off.
double Reconciler::shrinkage_of(std::span<const double> errors, const StopSignal& stop) const {
    const auto n = weights_.size(), t = static_cast<std::size_t>(n_steps_);
    const auto steps = static_cast<double>(t);
    std::vector<double> x, of_step(t);  // nodes without an error have no correlations
    x.reserve(n * t);
    double fourth_powers = 0;
    for (std::size_t i = 0; i < n; ++i) {
        if (!(weights_[i] > 0)) continue;
        const double scale = std::sqrt(weights_[i]);
        for (std::size_t s = 0; s < t; ++s) {
            const double value = errors[i * t + s] / scale, square = value * value;
            x.push_back(value);
            of_step[s] += square;
            fourth_powers += square * square;
        }
    }
    const std::size_t n_used = x.size() / t;
    const double own = static_cast<double>(n_used) * steps * steps;  // of the pairs i = j
    const double products = sum_of_squared_products(x, n_used, t, stop) - own;
    if (n_used < 2 || !(products > 0)) return 1;
    double variances = -fourth_powers - products / steps;
    for (const double square : of_step) variances += square * square;
    variances /= steps * (steps - 1);
    return std::clamp(variances / (products / (steps * steps)), 0.0, 1.0);
}

// C W C' = lambda C diag(V) C' + (1 - lambda) (C E)(C E)' / T (lambda = 1 without errors), factored
// into L L' row by row; rows of constraints that are left out have a diagonal of 0.
ForecastStatus Reconciler::factor(const StopSignal& stop) {
    const auto n_leaves = static_cast<std::size_t>(hierarchy_.n_leaves());
    const auto k = static_cast<std::size_t>(hierarchy_.n_aggregates());
    const auto t = static_cast<std::size_t>(n_steps_);
    const double own = t > 0 ? lambda_ : 1, shared = t > 0 ? (1 - lambda_) / n_steps_ : 0;
    system_.assign(triangle_row(k), 0);
    std::vector<std::vector<int>> above(n_leaves);
    for (std::size_t a = 0; a < k; ++a) {
        double* row = &system_[triangle_row(a)];
        for (const int leaf : hierarchy_.leaves_of(static_cast<int>(a))) {
            auto& aggregates = above[static_cast<std::size_t>(leaf)];
            aggregates.push_back(static_cast<int>(a));
            for (const int b : aggregates) row[b] += own * weights_[static_cast<std::size_t>(leaf)];
        }
        row[a] += own * weights_[n_leaves + a];
    }
    for (std::size_t i = 0; i < k; ++i) {
        if (stop.poll() != FitStatus::ok) return ForecastStatus::stopped;
        double* row = &system_[triangle_row(i)];
        for (std::size_t j = 0; shared > 0 && j <= i; ++j)
            row[j] +=
                shared * dot_product(&constraint_errors_[i * t], &constraint_errors_[j * t], t);
        factor_row(row, i, [this](std::size_t j) { return &system_[triangle_row(j)]; });
    }
    return all_finite(system_) ? ForecastStatus::ok : ForecastStatus::overflow;
}

ReconcileParts Reconciler::parts() const {
    const bool estimated = n_steps_ > 0;
    return {hierarchy_,
            weights_,
            estimated ? lambda_ : 1,
            estimated ? (1 - lambda_) / n_steps_ : 0,
            static_cast<std::size_t>(n_steps_),
            leaf_errors_,
            constraint_errors_,
            system_};
}

// --- Use --------------------------------------------------------------------------------------------

void Reconciler::solve(std::span<double> x) const {
    const std::size_t k = x.size();
    for (std::size_t i = 0; i < k; ++i) {
        const double* row = &system_[triangle_row(i)];
        x[i] = row[i] > 0 ? (x[i] - dot_product(row, x.data(), i)) / row[i] : 0;
    }
    for (std::size_t i = k; i-- > 0;) {
        const double* row = &system_[triangle_row(i)];
        x[i] = row[i] > 0 ? x[i] / row[i] : 0;
        for (std::size_t j = 0; j < i; ++j) x[j] -= row[j] * x[i];
    }
}

void Reconciler::project(std::span<const double> base, std::span<double> out) const {
    const auto n_leaves = static_cast<std::size_t>(hierarchy_.n_leaves());
    const auto k = static_cast<std::size_t>(hierarchy_.n_aggregates());
    const auto t = static_cast<std::size_t>(n_steps_);
    std::vector<double> z(k), change(n_leaves), direction(t);
    for (std::size_t a = 0; a < k; ++a)
        z[a] = base[n_leaves + a] - sum_over(base, hierarchy_.leaves_of(static_cast<int>(a)));
    solve(z);
    for (std::size_t a = 0; a < k; ++a) {
        for (const int leaf : hierarchy_.leaves_of(static_cast<int>(a)))
            change[static_cast<std::size_t>(leaf)] += z[a];
        for (std::size_t s = 0; s < t; ++s) direction[s] += z[a] * constraint_errors_[a * t + s];
    }
    for (std::size_t i = 0; i < n_leaves; ++i) {
        double by = weights_[i] * change[i];
        if (t > 0)
            by = lambda_ * by -
                 (1 - lambda_) / n_steps_ * dot_product(&leaf_errors_[i * t], direction.data(), t);
        out[i] = base[i] + by;
    }
}

void Reconciler::share(std::span<const double> base, std::span<double> out) const {
    const auto n_leaves = static_cast<std::size_t>(hierarchy_.n_leaves());
    const std::span<const double> parts =
        method_ == ReconcileMethod::top_down ? base : std::span<const double>(weights_);
    std::vector<double> shared(base.begin(), base.end());
    for (const int a : order_) {
        const auto aggregate = static_cast<std::size_t>(a);
        const std::span<const int> children(children_.data() + first_child_[aggregate],
                                            first_child_[aggregate + 1] - first_child_[aggregate]);
        const double whole = sum_over(parts, children), mine = shared[n_leaves + aggregate];
        for (const int child : children) {
            const auto c = static_cast<std::size_t>(child);
            const double part = parts[c] / whole;
            shared[c] = mine * (whole != 0 && std::isfinite(part)
                                    ? part
                                    : 1 / static_cast<double>(children.size()));
        }
    }
    std::copy_n(shared.begin(), n_leaves, out.begin());
}

ForecastStatus Reconciler::reconcile(std::span<const double> base, std::span<double> out) const {
    const auto n_leaves = static_cast<std::size_t>(hierarchy_.n_leaves());
    const auto n = static_cast<std::size_t>(hierarchy_.n_nodes());
    if (base.size() != n || out.size() != n) refuse("forecasts are as many as nodes");
    const bool leaves_only = method_ == ReconcileMethod::bottom_up;
    if (!all_finite(leaves_only ? base.first(n_leaves) : base)) return ForecastStatus::overflow;
    if (leaves_only || hierarchy_.n_aggregates() == 0)
        std::copy_n(base.begin(), n_leaves, out.begin());
    else if (!order_.empty())
        share(base, out);
    else
        project(base, out);
    for (int a = 0; a < hierarchy_.n_aggregates(); ++a)
        out[n_leaves + static_cast<std::size_t>(a)] = sum_over(out, hierarchy_.leaves_of(a));
    return all_finite(out) ? ForecastStatus::ok : ForecastStatus::overflow;
}

}  // namespace many::core
