// Least squares from moments: hard data, collinearity, scales, statuses, cross-validation.
#include "core/learners/linear.h"

#include <gtest/gtest.h>

#include <chrono>
#include <limits>

#include "core/error.h"
#include "unit/exact.h"

namespace many::test {
namespace {

using core::FitStatus;
using core::LinearFit;
using core::LinearOptions;

Matrix noisy(std::size_t n, const std::vector<double>& scale, const std::vector<double>& offset,
             double noise, std::uint64_t seed) {
    std::mt19937_64 g(seed);
    std::normal_distribution<double> normal;
    Matrix rows;
    for (std::size_t r = 0; r < n; ++r) {
        std::vector<double> row;
        double y = 0.5;
        for (std::size_t j = 0; j < scale.size(); ++j) {
            row.push_back(offset[j] + scale[j] * normal(g));
            y += (j % 2 == 0 ? 1.5 : -0.7) * row.back() / scale[j];
        }
        row.push_back(y + noise * normal(g));
        rows.push_back(row);
    }
    return rows;
}

void expect_exact(const Matrix& rows, double digits) {
    const LinearFit fit = fit_rows_of(rows);
    const ExactFit exact = exact_least_squares(rows, true);
    EXPECT_GE(lre(fit.intercept, exact.b[0]), digits);
    EXPECT_GE(lre(fit.intercept_std_error, exact.se[0]), digits);
    for (std::size_t j = 0; j < fit.coefficient.size(); ++j) {
        EXPECT_GE(lre(fit.coefficient[j], exact.b[j + 1]), digits) << j;
        EXPECT_GE(lre(fit.std_error[j], exact.se[j + 1]), digits) << j;
    }
    EXPECT_GE(lre(fit.rss, exact.rss), digits);
    EXPECT_GE(lre(fit.tss, exact.tss), digits);
    EXPECT_GE(lre(fit.sigma, exact.sigma), digits);
}

TEST(LeastSquares, LargeOffsets) {
    expect_exact(noisy(300, {1, 1, 1}, {1e9, -1e9, 5e8}, 1, 1), 14.9);
    expect_exact(noisy(300, {1e-3, 1}, {1e6, 1e9}, 1e-3, 2), 14.9);
}

TEST(LeastSquares, WildScales) {
    expect_exact(noisy(200, {1e-8, 1, 1e8}, {0, 0, 0}, 1, 3), 14.9);
    expect_exact(noisy(200, {1e-100, 1e100}, {1e-100, 1e101}, 1, 4), 14.9);
}

TEST(LeastSquares, NearlyCollinearColumns) {
    for (const double gap : {1e-3, 1e-6, 1e-9, 1e-11}) {
        Matrix rows = noisy(100, {1, 1, 1}, {0, 3, 1}, 1, 5);
        std::mt19937_64 g(6);
        std::normal_distribution<double> normal;
        for (auto& row : rows) row[2] = row[0] + row[1] + gap * normal(g);
        expect_exact(rows, 14.9);
    }
}

TEST(LeastSquares, TinyResiduals) {
    expect_exact(noisy(200, {1, 1}, {0, 0}, 1e-9, 7), 14.9);
    expect_exact(noisy(200, {1, 1}, {1000, 0}, 1e-12, 8), 14.9);
}

TEST(LeastSquares, ExactLineHasNoResiduals) {
    Matrix rows;
    for (int i = 0; i < 50; ++i) rows.push_back({double(i), 3.0 + 2.0 * i});
    const LinearFit fit = fit_rows_of(rows);
    EXPECT_EQ(fit.coefficient[0], 2);
    EXPECT_EQ(fit.intercept, 3);
    EXPECT_EQ(fit.rss, 0);
    EXPECT_EQ(fit.sigma, 0);
}

TEST(LeastSquares, LaterCollinearColumnIsDropped) {
    Matrix rows = noisy(80, {1, 1, 1, 1}, {0.1, 3.3, 0, 7}, 1, 9);
    for (auto& row : rows) row[2] = row[0] + row[1];  // rounded: not exact
    const LinearFit fit = fit_rows_of(rows);
    EXPECT_EQ(fit.rank, 3);
    EXPECT_TRUE(std::isnan(fit.coefficient[2]));
    EXPECT_TRUE(std::isnan(fit.std_error[2]));
    Matrix without = rows;
    for (auto& row : without) row.erase(row.begin() + 2);
    const LinearFit three = fit_rows_of(without);
    const std::size_t kept[] = {0, 1, 3};
    for (std::size_t j = 0; j < 3; ++j) {
        EXPECT_NEAR(fit.coefficient[kept[j]], three.coefficient[j], 1e-14);
        EXPECT_NEAR(fit.std_error[kept[j]], three.std_error[j], 1e-14);
    }
    EXPECT_EQ(fit.df_residual, 76);
    EXPECT_DOUBLE_EQ(fit.sigma, three.sigma);
    EXPECT_NEAR(fit.condition_number / three.condition_number, 1, 1e-6);
}

TEST(LeastSquares, DuplicatedAndConstantColumns) {
    Matrix rows = noisy(60, {1, 1, 1, 1}, {1e6, 0, 2, 0}, 1, 10);
    for (auto& row : rows) {
        row[1] = 42.1;    // constant
        row[3] = row[0];  // duplicate
    }
    const LinearFit fit = fit_rows_of(rows);
    EXPECT_EQ(fit.rank, 2);
    EXPECT_FALSE(std::isnan(fit.coefficient[0]));
    EXPECT_TRUE(std::isnan(fit.coefficient[1]));
    EXPECT_FALSE(std::isnan(fit.coefficient[2]));
    EXPECT_TRUE(std::isnan(fit.coefficient[3]));
    LinearOptions uncentred;
    uncentred.fit_intercept = false;  // there a constant is a feature like any other
    EXPECT_EQ(fit_rows_of(rows, uncentred).rank, 3);
}

TEST(LeastSquares, FewerRowsThanParameters) {
    const LinearFit fit = fit_rows_of(noisy(3, {1, 1, 1, 1}, {0, 0, 0, 0}, 1, 11));
    EXPECT_EQ(fit.rank, 2);
    EXPECT_EQ(fit.df_residual, 0);
    EXPECT_EQ(fit.rss, 0);
    EXPECT_TRUE(std::isnan(fit.sigma));
    EXPECT_TRUE(std::isnan(fit.std_error[0]));
}

TEST(LeastSquares, MillionRowsOfAlmostConstantTarget) {
    const core::MomentLayout layout(2);
    std::vector<double> m(layout.doubles(), 0.0);
    std::mt19937_64 g(12);
    double sum_x = 0, square = 0;
    std::vector<std::pair<double, double>> small;
    for (int i = 0; i < 1000000; ++i) {
        const double x = double(i % 101);
        const double bump = 1e-8 * double(i % 7);
        const double row[2] = {x, 1e0 + bump};
        core::moments_add_rows(m.data(), layout, row, 1, 2);
        small.emplace_back(x, row[1] - 1.0);  // exact
        sum_x += x;
    }
    double sum_y = 0, cross = 0, yy = 0;
    for (const auto& [x, y] : small) sum_y += y;
    for (const auto& [x, y] : small) {
        const double dx = x - sum_x / 1e6, dy = y - sum_y / 1e6;
        square += dx * dx;
        cross += dx * dy;
        yy += dy * dy;
    }
    core::LinearSolver solver;
    LinearFit fit;
    ASSERT_EQ(solver.fit(m.data(), 1, {}, nullptr, 0, {}, fit), FitStatus::ok);
    EXPECT_NEAR(fit.coefficient[0] / (cross / square), 1, 1e-6);  // naive sums are the weak side
    EXPECT_NEAR(fit.tss / yy, 1, 1e-9);
}

TEST(LeastSquares, ConstantTargets) {
    for (const double c : {0.0, 0.1, 1e9 + 0.1, -3e-200}) {
        Matrix rows = noisy(1000, {1, 1}, {1e9, 0.1}, 1, 13);
        for (auto& row : rows) row[2] = c;
        FitStatus status = FitStatus::ok;
        (void)fit_rows_of(rows, {}, &status);
        EXPECT_EQ(status, FitStatus::constant_target) << c;
    }
    Matrix rows = noisy(1000, {1}, {1}, 1, 14);
    for (auto& row : rows) row[1] = 0.1;
    rows[5][1] = std::nextafter(0.1, 1);  // one unit in the last place of one row
    EXPECT_GT(fit_rows_of(rows).tss, 0);
}

TEST(LeastSquares, Statuses) {
    const core::MomentLayout layout(2);
    std::vector<double> m(layout.doubles(), 0.0);
    core::LinearSolver solver;
    LinearFit fit;
    EXPECT_EQ(solver.fit(m.data(), 1, {}, nullptr, 0, {}, fit), FitStatus::too_few_rows);
    const double row[2] = {1e300, 1};
    core::moments_add_rows(m.data(), layout, row, 1, 2);
    EXPECT_EQ(solver.fit(m.data(), 1, {}, nullptr, 0, {}, fit), FitStatus::not_finite);
    const std::vector<double> good = moments_of(noisy(20, {1}, {0}, 1, 15));
    volatile int flag = 1;
    EXPECT_EQ(solver.fit(good.data(), 1, {}, nullptr, 0, {&flag, 0}, fit), FitStatus::cancelled);
    EXPECT_EQ(solver.fit(good.data(), 1, {}, nullptr, 0, {nullptr, 1}, fit), FitStatus::timed_out);
    LinearOptions bad;
    bad.algorithm = core::Algorithm::lasso;
    bad.lambda = -1;
    EXPECT_THROW((void)solver.fit(good.data(), 1, bad, nullptr, 0, {}, fit), core::Error);
    bad.lambda = 0;
    bad.lambda_auto = true;  // without folds
    EXPECT_THROW((void)solver.fit(good.data(), 1, bad, nullptr, 0, {}, fit), core::Error);
}

TEST(LeastSquares, StopsWithinMilliseconds) {
    const Matrix rows =
        noisy(400, std::vector<double>(300, 1.0), std::vector<double>(300, 0.0), 1, 16);
    const std::vector<double> m = moments_of(rows);
    core::LinearSolver solver;
    LinearFit fit;
    core::StopSignal stop;
    using namespace std::chrono;
    const auto start = steady_clock::now();
    stop.deadline_us = duration_cast<microseconds>(start.time_since_epoch()).count() + 1000;
    EXPECT_EQ(solver.fit(m.data(), 300, {}, nullptr, 0, stop, fit), FitStatus::timed_out);
}

TEST(LeastSquares, NoIntercept) {
    const Matrix rows = noisy(50, {1, 2}, {10, -3}, 1, 17);
    LinearOptions options;
    options.fit_intercept = false;
    const LinearFit fit = fit_rows_of(rows, options);
    const ExactFit exact = exact_least_squares(rows, false);
    EXPECT_EQ(fit.intercept, 0);
    EXPECT_TRUE(std::isnan(fit.intercept_std_error));
    EXPECT_EQ(fit.target_mean, 0);
    EXPECT_EQ(fit.mean[0], 0);
    for (std::size_t j = 0; j < 2; ++j) {
        EXPECT_GE(lre(fit.coefficient[j], exact.b[j]), 14.9);
        EXPECT_GE(lre(fit.std_error[j], exact.se[j]), 14.9);
    }
    EXPECT_GE(lre(fit.tss, exact.tss), 14.9);
    EXPECT_EQ(fit.df_residual, 48);
}

TEST(LeastSquares, LeverageFromTheInverseFactor) {
    const Matrix rows = noisy(40, {1, 2}, {100, -3}, 1, 19);
    const LinearFit fit = fit_rows_of(rows);
    double total = 0;  // leverages add up to the number of parameters
    for (const auto& row : rows) {
        const double d0 = row[0] - fit.mean[0], d1 = row[1] - fit.mean[1];
        const double w0 = fit.inverse_factor[0] * d0;
        const double w1 = fit.inverse_factor[1] * d0 + fit.inverse_factor[2] * d1;
        total += 1 / fit.n_rows + w0 * w0 + w1 * w1;
    }
    EXPECT_NEAR(total, 3, 1e-12);
}

TEST(CrossValidation, PooledErrorsMatchRefitting) {
    const Matrix rows = noisy(101, {1, 1}, {1e5, 3}, 2, 20);
    constexpr int kFolds = 4;
    const core::MomentLayout layout(3);
    std::vector<Matrix> parts(kFolds);
    for (std::size_t r = 0; r < rows.size(); ++r) parts[r * 7 % kFolds].push_back(rows[r]);
    std::vector<double> folds;
    double square = 0, error = 0, mean = 0, spread = 0;
    for (const auto& row : rows) mean += row[2] / 101;
    for (const auto& row : rows) spread += (row[2] - mean) * (row[2] - mean);
    for (int f = 0; f < kFolds; ++f) {
        const auto m = moments_of(parts[std::size_t(f)]);
        folds.insert(folds.end(), m.begin(), m.end());
        Matrix train;
        for (int o = 0; o < kFolds; ++o) {
            if (o != f) train.insert(train.end(), parts[o].begin(), parts[o].end());
        }
        const LinearFit fit = fit_rows_of(train);
        for (const auto& row : parts[std::size_t(f)]) {
            double e = fit.target_mean - row[2];
            for (std::size_t j = 0; j < 2; ++j) e += fit.coefficient[j] * (row[j] - fit.mean[j]);
            square += e * e;
            error += e;
        }
    }
    const std::vector<double> m = moments_of(rows);
    core::LinearSolver solver;
    LinearFit fit;
    ASSERT_EQ(solver.fit(m.data(), 2, {}, folds.data(), kFolds, {}, fit), FitStatus::ok);
    EXPECT_EQ(fit.cv.n_rows, 101);
    EXPECT_NEAR(fit.cv.rmse, std::sqrt(square / 101), 1e-9);
    EXPECT_NEAR(fit.cv.bias, error / 101, 1e-9);
    EXPECT_NEAR(fit.cv.r2, 1 - square / spread, 1e-9);
    EXPECT_TRUE(std::isnan(fit.cv.mae));
}

}  // namespace
}  // namespace many::test
