// What the tests of ridge, lasso and elastic net share.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "core/learners/linear.h"
#include "unit/support.h"

namespace many::test {

inline Matrix correlated(std::size_t n, std::size_t p, double offset, std::uint64_t seed) {
    std::mt19937_64 g(seed);
    std::normal_distribution<double> normal;
    Matrix rows;
    for (std::size_t r = 0; r < n; ++r) {
        std::vector<double> row(p);
        const double common = normal(g);
        double y = 3;
        for (std::size_t j = 0; j < p; ++j) {
            row[j] = offset + (common + normal(g)) * std::pow(10.0, double(j % 3) - 1);
            if (j % 3 == 0) y += row[j] * (j % 2 == 0 ? 1 : -1);
        }
        row.push_back(y + normal(g));
        rows.push_back(row);
    }
    return rows;
}

// Largest violation of the optimality conditions, relative to lambda, at 150 digits.
double violation(const Matrix& rows, const core::LinearFit& fit, const core::LinearOptions& o);

constexpr int kFolds = 5;

// Row r is in fold r mod kFolds.
inline std::vector<double> fold_moments(const Matrix& rows) {
    std::vector<Matrix> parts(kFolds);
    for (std::size_t r = 0; r < rows.size(); ++r) parts[r % kFolds].push_back(rows[r]);
    std::vector<double> folds;
    for (const Matrix& part : parts) {
        const auto m = moments_of(part);
        folds.insert(folds.end(), m.begin(), m.end());
    }
    return folds;
}

inline core::LinearFit fit_auto(const Matrix& rows, core::LinearOptions o) {
    o.lambda_auto = true;
    core::LinearSolver solver;
    core::LinearFit fit;
    const std::vector<double> m = moments_of(rows), folds = fold_moments(rows);
    EXPECT_EQ(solver.fit(m.data(), int(rows[0].size()) - 1, o, folds.data(), kFolds, {}, fit),
              core::FitStatus::ok);
    return fit;
}

}  // namespace many::test
