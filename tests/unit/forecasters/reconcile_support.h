// Hierarchies that the tests of reconciliation share.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/forecasters/reconcile.h"

namespace many::core {

using Doubles = std::vector<double>;
inline constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

inline constexpr ReconcileMethod kProjections[] = {
    ReconcileMethod::ols, ReconcileMethod::wls_structure, ReconcileMethod::wls_variance,
    ReconcileMethod::mint_shrink};

// Five leaves; A = 0 1 2, B = 3 4, the total, and a group that crosses A and B.
inline Hierarchy grouped() {
    Hierarchy hierarchy(5);
    hierarchy.add(std::vector{0, 1, 2});
    hierarchy.add(std::vector{3, 4});
    hierarchy.add(std::vector{4, 3, 2, 1, 0});
    hierarchy.add(std::vector{0, 3});
    return hierarchy;
}
inline const Doubles kBase = {10.5, 21, 32.5, 40, 47, 70, 85, 160, 54};

inline Doubles errors_of(int n_nodes, int n_steps, int common) {
    Doubles errors;
    for (int i = 1; i <= n_nodes; ++i) {
        for (int t = 1; t <= n_steps; ++t)
            errors.push_back(((i * 37 + t * 101 + i * t * 17) % 41 - 20) / (3.0 + i % 4) +
                             common * ((t * t) % 7 - 3) * (i % 3));
    }
    return errors;
}

// A total of groups of `each` leaves.
inline Hierarchy tree(int n_groups, int each) {
    Hierarchy hierarchy(n_groups * each);
    std::vector<int> all;
    for (int g = 0; g < n_groups; ++g) {
        std::vector<int> leaves;
        for (int i = 0; i < each; ++i) leaves.push_back(g * each + i);
        all.insert(all.end(), leaves.begin(), leaves.end());
        hierarchy.add(leaves);
    }
    hierarchy.add(all);
    return hierarchy;
}

inline Doubles run(const Hierarchy& hierarchy, ReconcileMethod method, const Doubles& base,
                   const ReconcileHistory& history = {}, double* lambda = nullptr) {
    Reconciler reconciler;
    EXPECT_EQ(reconciler.prepare(hierarchy, method, history), ForecastStatus::ok);
    Doubles out(base.size());
    EXPECT_EQ(reconciler.reconcile(base, out), ForecastStatus::ok);
    if (lambda != nullptr) *lambda = reconciler.shrinkage();
    return out;
}

inline void expect_leaves(const Doubles& out, const Doubles& leaves, double tolerance = 1e-10) {
    for (std::size_t i = 0; i < leaves.size(); ++i) EXPECT_NEAR(out[i], leaves[i], tolerance) << i;
}

inline double incoherence(const Hierarchy& hierarchy, const Doubles& y) {
    double most = 0;
    for (int a = 0; a < hierarchy.n_aggregates(); ++a) {
        double sum = 0;
        for (const int leaf : hierarchy.leaves_of(a)) sum += y[static_cast<std::size_t>(leaf)];
        const double own = y[static_cast<std::size_t>(hierarchy.n_leaves() + a)];
        most = std::max(most, std::fabs(own - sum));
    }
    return most;
}

}  // namespace many::core
