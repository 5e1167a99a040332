// What the files of reconcile.h share: the parts of a prepared reconciliation, triangles stored row by
// row, and their factors.
#pragma once

#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

#include "core/forecasters/reconcile.h"

namespace many::core {

// W = own diag(weights) + shared E E', with E the errors by which it was estimated, if any.
struct ReconcileParts {
    const Hierarchy& hierarchy;
    const std::vector<double>& weights;
    double own, shared;
    std::size_t n_steps;
    const std::vector<double>& leaf_errors;        // n_leaves x n_steps
    const std::vector<double>& constraint_errors;  // C E
    const std::vector<double>& factor;             // of C W C'
};

// A pivot below this share of its diagonal says that the constraint follows from those before it.
inline constexpr double kDependentPivot = 1e-13;

// Where a row of a lower triangle stored row by row begins.
inline std::size_t triangle_row(std::size_t row) noexcept {
    return row * (row + 1) / 2;
}

// Four sums at a time: one would wait for itself.
inline double dot_product(const double* a, const double* b, std::size_t n) noexcept {
    double sum[4] = {0, 0, 0, 0};
    std::size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        for (std::size_t k = 0; k < 4; ++k) sum[k] += a[i + k] * b[i + k];
    }
    for (; i < n; ++i) sum[0] += a[i] * b[i];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

inline double sum_over(std::span<const double> values, std::span<const int> leaves) noexcept {
    double sum = 0;
    for (const int leaf : leaves) sum += values[static_cast<std::size_t>(leaf)];
    return sum;
}

// Row i of a symmetric matrix into that of its factor L L', with the rows before it, rows(j), done. A
// dependent row has a diagonal of 0.
template <class Rows>
void factor_row(double* row, std::size_t i, const Rows& rows) noexcept {
    for (std::size_t j = 0; j < i; ++j) {
        const double* other = rows(j);
        row[j] = other[j] > 0 ? (row[j] - dot_product(row, other, j)) / other[j] : 0;
    }
    const double pivot = row[i] - dot_product(row, row, i);
    row[i] = pivot > kDependentPivot * row[i] ? std::sqrt(pivot) : 0;
}

// The aggregates that sum each leaf, ascending.
inline std::vector<std::vector<int>> aggregates_above(const Hierarchy& hierarchy) {
    std::vector<std::vector<int>> above(static_cast<std::size_t>(hierarchy.n_leaves()));
    for (int a = 0; a < hierarchy.n_aggregates(); ++a) {
        for (const int leaf : hierarchy.leaves_of(a))
            above[static_cast<std::size_t>(leaf)].push_back(a);
    }
    return above;
}

}  // namespace many::core
