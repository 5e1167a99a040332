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
inline double violation(const Matrix& rows, const core::LinearFit& fit,
                        const core::LinearOptions& o) {
    const std::size_t n = rows.size(), p = rows[0].size() - 1;
    const auto b = [&](std::size_t j) { return Exact(fit.coefficient[j]); };
    std::vector<Exact> mean(p + 1, Exact(0)), spread(p, Exact(0));
    for (const auto& row : rows) {
        for (std::size_t j = 0; j <= p; ++j) mean[j] += Exact(row[j]) / n;
    }
    for (const auto& row : rows) {
        for (std::size_t j = 0; j < p; ++j) {
            const Exact d = Exact(row[j]) - mean[j];
            spread[j] += d * d / n;
        }
    }
    std::vector<Exact> gradient(p, Exact(0));
    for (const auto& row : rows) {
        Exact e = Exact(row[p]);
        if (o.fit_intercept) e -= mean[p];
        for (std::size_t j = 0; j < p; ++j) {
            e -= b(j) * (Exact(row[j]) - (o.fit_intercept ? mean[j] : Exact(0)));
        }
        for (std::size_t j = 0; j < p; ++j) {
            gradient[j] += e * (Exact(row[j]) - (o.fit_intercept ? mean[j] : Exact(0))) / n;
        }
    }
    double worst = 0;
    for (std::size_t j = 0; j < p; ++j) {
        const Exact s = o.standardize ? Exact(sqrt(spread[j])) : Exact(1);
        if (s == 0) continue;
        const Exact l1 = o.alpha * Exact(o.lambda), l2 = (1 - o.alpha) * Exact(o.lambda);
        const Exact g = gradient[j] / s - l2 * s * b(j);
        const Exact excess = fit.coefficient[j] > 0   ? Exact(abs(g - l1))
                             : fit.coefficient[j] < 0 ? Exact(abs(g + l1))
                                                      : Exact(abs(g) - l1);
        worst = std::max(worst, double(excess / o.lambda));
    }
    return worst;
}

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
