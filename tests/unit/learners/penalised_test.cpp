// Ridge, lasso and elastic net: optimality conditions in 150-digit arithmetic, closed forms, and
// the search for lambda against a naive one.
#include <gtest/gtest.h>

#include "core/learners/linear.h"
#include "unit/learners/penalised_support.h"
#include "unit/support.h"

namespace many::test {
namespace {

using core::Algorithm;
using core::FitStatus;
using core::LinearFit;
using core::LinearOptions;

TEST(Penalised, OptimalityConditions) {
    for (const double offset : {0.0, 1e5}) {
        const Matrix rows = correlated(90, 12, offset, 31);
        const std::vector<double> m = moments_of(rows);
        for (const bool intercept : {true, false}) {
            for (const bool standardize : {true, false}) {
                for (const double alpha : {0.0, 0.3, 1.0}) {
                    LinearOptions o;
                    o.algorithm = Algorithm::elastic_net;
                    o.alpha = alpha;
                    o.fit_intercept = intercept;
                    o.standardize = standardize;
                    const double top = core::lambda_max(m.data(), 12, o);
                    for (const double share : {0.9, 0.3, 0.03, 1e-4}) {
                        o.lambda = top * share;
                        const LinearFit fit = fit_rows_of(rows, o);
                        const double bound = offset == 0 ? 1e-10 : 1e-6;
                        EXPECT_LE(violation(rows, fit, o), bound)
                            << offset << intercept << standardize << ' ' << alpha << ' ' << share;
                        EXPECT_TRUE(fit.inverse_factor.empty());
                        EXPECT_TRUE(std::isnan(fit.std_error[0]));
                    }
                }
            }
        }
    }
}

TEST(Penalised, EverythingIsZeroAtLambdaMax) {
    const Matrix rows = correlated(60, 6, 2, 32);
    const std::vector<double> m = moments_of(rows);
    for (const double alpha : {1.0, 0.4}) {
        LinearOptions o;
        o.algorithm = Algorithm::elastic_net;
        o.alpha = alpha;
        const double top = core::lambda_max(m.data(), 6, o);
        const auto active = [&](double lambda) {
            o.lambda = lambda;
            int n = 0;
            for (const double b : fit_rows_of(rows, o).coefficient) n += b != 0;
            return n;
        };
        EXPECT_EQ(active(top * (1 + 1e-9)), 0);
        EXPECT_EQ(active(top * (1 - 1e-6)), 1);
    }
}

TEST(Penalised, OrthogonalDesignHasClosedForms) {
    // Columns of +1 and -1, orthogonal: each coefficient on its own.
    Matrix rows;
    for (int i = 0; i < 8; ++i) {
        const double a = i & 1 ? 1 : -1, b = i & 2 ? 1 : -1, c = i & 4 ? 1 : -1;
        rows.push_back({a, b, c, 10 + 4 * a - 2 * b + 0.25 * c});
    }
    LinearOptions o;
    o.algorithm = Algorithm::lasso;
    o.lambda = 0.5;
    LinearFit fit = fit_rows_of(rows, o);
    EXPECT_DOUBLE_EQ(fit.coefficient[0], 3.5);
    EXPECT_DOUBLE_EQ(fit.coefficient[1], -1.5);
    EXPECT_EQ(fit.coefficient[2], 0);
    EXPECT_DOUBLE_EQ(fit.intercept, 10);
    EXPECT_EQ(fit.df_residual, 8 - 2 - 1);
    o.algorithm = Algorithm::ridge;
    fit = fit_rows_of(rows, o);
    EXPECT_DOUBLE_EQ(fit.coefficient[0], 4 / 1.5);
    EXPECT_DOUBLE_EQ(fit.coefficient[2], 0.25 / 1.5);
    o.algorithm = Algorithm::elastic_net;
    o.alpha = 0.5;
    fit = fit_rows_of(rows, o);
    EXPECT_DOUBLE_EQ(fit.coefficient[0], 3.75 / 1.25);
    EXPECT_EQ(fit.coefficient[2], 0);
}

TEST(Penalised, NoPenaltyIsLeastSquares) {
    const Matrix rows = correlated(70, 5, 3, 33);
    const LinearFit ols = fit_rows_of(rows);
    for (const Algorithm a : {Algorithm::ridge, Algorithm::lasso}) {
        LinearOptions o;
        o.algorithm = a;
        o.lambda = 0;
        const LinearFit fit = fit_rows_of(rows, o);
        for (std::size_t j = 0; j < 5; ++j) {
            EXPECT_NEAR(fit.coefficient[j] / ols.coefficient[j], 1, 1e-13);
        }
        EXPECT_NEAR(fit.rss / ols.rss, 1, 1e-12);
        EXPECT_NEAR(fit.condition_number / ols.condition_number, 1, 1e-9);
    }
}

TEST(Penalised, ConstantDuplicatedAndManyColumns) {
    Matrix rows = correlated(50, 4, 0, 34);
    for (auto& row : rows) {
        row[1] = 7.7;
        row[3] = row[0];
    }
    LinearOptions o;
    o.lambda = 0.01;
    o.algorithm = Algorithm::ridge;
    o.alpha = 0;
    LinearFit fit = fit_rows_of(rows, o);
    EXPECT_EQ(fit.coefficient[1], 0);
    EXPECT_NEAR(fit.coefficient[0], fit.coefficient[3], 1e-12);  // ridge shares
    o.algorithm = Algorithm::lasso;
    o.alpha = 1;
    fit = fit_rows_of(rows, o);
    EXPECT_EQ(fit.coefficient[1], 0);
    EXPECT_LE(violation(rows, fit, o), 1e-9);

    const Matrix wide = correlated(20, 60, 0, 35);  // more features than rows
    o.lambda = 0.05;
    fit = fit_rows_of(wide, o);
    EXPECT_LE(violation(wide, fit, o), 1e-7);
    EXPECT_LT(fit.rank, 20);
    o.algorithm = Algorithm::ridge;
    o.alpha = 0;
    fit = fit_rows_of(wide, o);
    EXPECT_LE(violation(wide, fit, o), 1e-9);
}

TEST(Penalised, FarFromTheOriginWithoutIntercept) {
    // All columns point nearly the same way: the descent alone would creep for ever.
    LinearOptions o;
    o.algorithm = Algorithm::elastic_net;
    o.alpha = 0.5;
    o.fit_intercept = false;
    o.max_iterations = 100;
    const Matrix rows = correlated(90, 12, 1e5, 36);
    const std::vector<double> m = moments_of(rows);
    o.lambda = 1e-4 * core::lambda_max(m.data(), 12, o);
    EXPECT_LE(violation(rows, fit_rows_of(rows, o), o), 1e-6);
}

double r2(const LinearFit& fit) {
    return 1 - fit.rss / fit.tss;
}

TEST(Penalised, LambdaByCrossValidation) {
    const Matrix rows = correlated(120, 8, 5, 37);
    std::vector<Matrix> parts(kFolds), trains(kFolds);
    for (std::size_t r = 0; r < rows.size(); ++r) {
        for (std::size_t f = 0; f < kFolds; ++f) {
            (r % kFolds == f ? parts : trains)[f].push_back(rows[r]);
        }
    }
    const std::vector<double> folds = fold_moments(rows);
    const std::vector<double> m = moments_of(rows);
    for (const Algorithm a : {Algorithm::lasso, Algorithm::elastic_net, Algorithm::ridge}) {
        LinearOptions o;
        o.algorithm = a;
        o.alpha = a == Algorithm::lasso ? 1 : a == Algorithm::ridge ? 0 : 0.5;
        o.n_lambda = 25;
        o.lambda_min_ratio = 1e-3;
        const double top = core::lambda_max(m.data(), 8, o);
        double bottom = top * 1e-3;
        if (o.alpha < 1) bottom = std::fmin(bottom, 1e-6 / (1 - o.alpha));
        double best = 1e300, best_lambda = 0;
        for (int i = 0; i < o.n_lambda; ++i) {
            LinearOptions fixed = o;
            fixed.lambda = top * std::pow(bottom / top, double(i) / 24);
            double square = 0;
            for (std::size_t f = 0; f < kFolds; ++f) {
                const LinearFit fit = fit_rows_of(trains[f], fixed);
                for (const auto& row : parts[f]) {
                    double e = fit.intercept - row[8];
                    for (std::size_t j = 0; j < 8; ++j) e += fit.coefficient[j] * row[j];
                    square += e * e;
                }
            }
            if (square < best) best = square, best_lambda = fixed.lambda;
        }
        const LinearFit fit = fit_auto(rows, o);
        EXPECT_NEAR(fit.lambda / best_lambda, 1, 1e-9);
        EXPECT_NEAR(fit.cv.rmse, std::sqrt(best / 120), 1e-8);
        LinearOptions fixed = o;
        fixed.lambda_auto = false;
        fixed.lambda = fit.lambda;
        const LinearFit direct = fit_rows_of(rows, fixed);
        EXPECT_EQ(fit.coefficient, direct.coefficient);
        core::LinearSolver solver;
        LinearFit judged;  // one lambda with folds: the same metrics
        ASSERT_EQ(solver.fit(m.data(), 8, fixed, folds.data(), kFolds, {}, judged), FitStatus::ok);
        EXPECT_NEAR(judged.cv.rmse, fit.cv.rmse, 1e-8);
    }
}

Matrix scaled_target(Matrix rows, double factor) {
    for (auto& row : rows) row.back() *= factor;
    return rows;
}

Matrix line_with_steps(double factor) {
    Matrix rows;
    for (int i = 0; i < 90; ++i) {
        rows.push_back({double(i), double(i % 7), factor * (2 * i + i % 4)});
    }
    return rows;
}

TEST(Penalised, SearchFollowsTheUnitOfTheTarget) {
    for (const Matrix& rows : {line_with_steps(1), correlated(90, 6, 2, 41)}) {
        for (const Algorithm a : {Algorithm::ridge, Algorithm::lasso}) {
            for (const bool standardize : {true, false}) {
                for (const bool intercept : {true, false}) {
                    LinearOptions o;
                    o.algorithm = a;
                    o.standardize = standardize;
                    o.fit_intercept = intercept;
                    const LinearFit one = fit_auto(rows, o);
                    double size = 0;
                    for (const double b : one.coefficient) size = std::fmax(size, std::fabs(b));
                    // Powers of two change no digit.
                    const std::vector<std::pair<double, double>> factors = {
                        {0x1p-30, 0}, {1e-3, 1e-12}, {1e3, 1e-12}, {0x1p40, 0}};
                    for (const auto& [f, bound] : factors) {
                        const LinearFit fit = fit_auto(scaled_target(rows, f), o);
                        const double unit = a == Algorithm::lasso ? f : 1;
                        EXPECT_NEAR(fit.lambda / unit / one.lambda, 1, bound) << f;
                        EXPECT_NEAR(r2(fit), r2(one), bound) << f;
                        for (std::size_t j = 0; j < one.coefficient.size(); ++j) {
                            EXPECT_NEAR(fit.coefficient[j] / f, one.coefficient[j],
                                        bound * (1 + size));
                        }
                    }
                }
            }
        }
    }
}

TEST(Penalised, SearchForcesNoShrinkage) {
    for (const double factor : {1e-6, 1e-3, 1.0, 1e3, 1e9}) {
        const Matrix rows = line_with_steps(factor);
        const double best = r2(fit_rows_of(rows));
        EXPECT_GT(best, 0.999);
        for (const double alpha : {0.0, 0.1, 0.5, 0.99}) {
            for (const bool standardize : {true, false}) {
                LinearOptions o;
                o.algorithm = Algorithm::elastic_net;
                o.alpha = alpha;
                o.standardize = standardize;
                EXPECT_GT(r2(fit_auto(rows, o)), best - 1e-4) << factor << ' ' << alpha;
            }
        }
    }
}

TEST(Penalised, RidgePathFollowsTheUnitOfTheFeatures) {
    Matrix rows = correlated(90, 4, 0, 42);
    LinearOptions o;
    o.algorithm = Algorithm::ridge;
    const double correlation = core::lambda_max(moments_of(rows).data(), 4, o) / 1000;
    EXPECT_GT(correlation, 0.1);
    EXPECT_LE(correlation, 1);
    o.standardize = false;
    const LinearFit one = fit_auto(rows, o);
    for (auto& row : rows) {
        for (std::size_t j = 0; j < 4; ++j) row[j] *= 0x1p20;
    }
    const LinearFit fit = fit_auto(rows, o);
    EXPECT_EQ(fit.lambda, one.lambda * 0x1p40);
    for (std::size_t j = 0; j < 4; ++j) EXPECT_EQ(fit.coefficient[j] * 0x1p20, one.coefficient[j]);
    // One feature of a scale far from the others': it is not forced out.
    Matrix mixed = line_with_steps(1);
    for (auto& row : mixed) row[0] *= 1e-5;
    EXPECT_GT(r2(fit_auto(mixed, o)), 0.999);
}

TEST(Penalised, SearchFarFromTheOriginWithoutIntercept) {
    // The ridge that separates such columns is below what double precision resolves.
    Matrix rows = line_with_steps(1);
    for (auto& row : rows) {
        row[0] += 1e9;
        row[1] += 1e9;
    }
    LinearOptions o;
    o.algorithm = Algorithm::ridge;
    o.fit_intercept = false;
    const LinearFit fit = fit_auto(rows, o), ols = [&] {
        LinearOptions plain;
        plain.fit_intercept = false;
        return fit_rows_of(rows, plain);
    }();
    EXPECT_NEAR(fit.rss / ols.rss, 1, 0.05);
}

}  // namespace
}  // namespace many::test
