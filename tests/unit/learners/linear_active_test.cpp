// The active-set search: every point of a path is a minimum, whatever the columns are like.
#include "core/learners/linear_active.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "core/learners/linear_workspace.h"
#include "unit/learners/penalised_support.h"
#include "unit/support.h"

namespace many::test {
namespace {

using core::ActiveSet;
using core::Algorithm;
using core::FitStatus;
using core::LinearFit;
using core::LinearOptions;

enum class Design { independent, near, nearer, collinear, duplicated, wide, ties };
constexpr Design kDesigns[] = {Design::independent, Design::near, Design::nearer, Design::collinear,
                               Design::duplicated,  Design::wide, Design::ties};

Matrix make_rows(Design design, std::size_t p, std::uint64_t seed) {
    std::mt19937_64 g(seed);
    std::normal_distribution<double> normal;
    Matrix rows;
    const std::size_t n = design == Design::wide ? p - 1 : 12 * p;
    for (std::size_t r = 0; r < n; ++r) {
        std::vector<double> row(p);
        const double common = normal(g);
        double y = normal(g);
        for (std::size_t j = 0; j < p; ++j) {
            double x = common + normal(g);
            if (design == Design::near && j % 2 == 1) x = row[j - 1] + 1e-5 * x;
            if (design == Design::nearer && j % 2 == 1) x = row[j - 1] + 1e-8 * x;
            if (design == Design::collinear && j % 4 == 3) x = row[j - 1] - row[j - 2] + row[j - 3];
            if (design == Design::duplicated && j % 2 == 1) x = row[j - 1];
            if (design == Design::ties) x = (r >> (j % 7)) % 2 == 1 ? 1 : -1;
            row[j] = x;
            y += x * (double(j % 3) - 0.7);
        }
        if (design == Design::ties) y = std::round(y);
        row.push_back(y);
        rows.push_back(row);
    }
    return rows;
}

struct Standardized {
    std::size_t p, rank;
    std::vector<double> r, target;
};

Standardized standardize(const Matrix& rows) {
    const std::size_t n = rows.size(), p = rows[0].size() - 1;
    Standardized s{p, n - 1, std::vector<double>(p * p), std::vector<double>(p)};
    std::vector<std::vector<long double>> z(p + 1, std::vector<long double>(n));
    for (std::size_t j = 0; j <= p; ++j) {
        long double mean = 0, square = 0;
        for (const auto& row : rows) mean += row[j] / (long double)(n);
        for (std::size_t i = 0; i < n; ++i) {
            z[j][i] = rows[i][j] - mean;
            square += z[j][i] * z[j][i];
        }
        for (long double& v : z[j]) v /= std::sqrt(square);
    }
    const auto product = [&](std::size_t i, std::size_t j) {
        long double sum = 0;
        for (std::size_t k = 0; k < n; ++k) sum += z[i][k] * z[j][k];
        return double(sum);
    };
    for (std::size_t i = 0; i < p; ++i) {
        s.target[i] = product(i, p);
        for (std::size_t j = 0; j < p; ++j)
            s.r[i * p + j] = product(std::max(i, j), std::min(i, j));
    }
    return s;
}

// Largest violation of the optimality conditions by the coefficients b, relative to l1.
double excess(const Standardized& s, const std::vector<double>& b, double l1, double l2) {
    double worst = 0;
    for (std::size_t j = 0; j < s.p; ++j) {
        long double g = s.target[j] - (long double)(l2)*b[j];
        for (std::size_t k = 0; k < s.p; ++k) g -= (long double)(s.r[j * s.p + k]) * b[k];
        const double off = b[j] > 0   ? std::fabs(double(g - l1))
                           : b[j] < 0 ? std::fabs(double(g + l1))
                                      : std::fabs(double(g)) - l1;
        worst = std::max(worst, off / l1);
    }
    return worst;
}

double top_of(const Standardized& s) {
    double top = 0;
    for (const double r : s.target) top = std::max(top, std::fabs(r));
    return top;
}

TEST(ActiveSet, EveryPointOfAPathIsAMinimum) {
    for (const Design design : kDesigns) {
        for (const std::size_t p : {1U, 2U, 8U, 31U}) {
            for (const double share : {0.0, 1e-3, 1.0}) {  // of l2 in l1
                if (p == 1 && design == Design::wide) continue;
                const Standardized s = standardize(make_rows(design, p, 100 + p));
                ActiveSet set;
                set.start(s.r.data(), s.target.data(), p, s.rank);
                int unsure = 0;
                for (int i = 0; i < 100; ++i) {
                    const double l1 = 1.1 * top_of(s) * std::pow(1e-5, i / 99.0);
                    ActiveSet::Outcome outcome;
                    ASSERT_EQ(set.search(l1, share * l1, {}, &outcome), FitStatus::ok);
                    if (outcome == ActiveSet::Outcome::unsure) {
                        ++unsure;
                        continue;
                    }
                    EXPECT_LE(excess(s, set.coefficients().present, l1, share * l1), 2e-8)
                        << int(design) << ' ' << p << ' ' << share << ' ' << i;
                }
                if (design == Design::independent || design == Design::wide) {
                    EXPECT_EQ(unsure, 0);
                }
                if (design == Design::nearer && p > 2 && share == 0) {
                    EXPECT_GT(unsure, 0);
                }
            }
        }
    }
}

TEST(ActiveSet, DoesNotDependOnTheStepsOfThePath) {
    const Standardized s = standardize(make_rows(Design::independent, 12, 5));
    const double l1 = 1e-3 * top_of(s);
    std::vector<double> first;
    for (const int steps : {1, 3, 50}) {
        ActiveSet set;
        set.start(s.r.data(), s.target.data(), s.p, s.rank);
        ActiveSet::Outcome outcome = ActiveSet::Outcome::unsure;
        for (int i = 1; i <= steps; ++i) {
            ASSERT_EQ(set.search(top_of(s) * std::pow(1e-3, double(i) / steps), 0, {}, &outcome),
                      FitStatus::ok);
        }
        ASSERT_EQ(set.search(l1, 0, {}, &outcome), FitStatus::ok);
        ASSERT_EQ(outcome, ActiveSet::Outcome::found);
        const std::vector<double>& b = set.coefficients().present;
        if (first.empty()) first = b;
        for (std::size_t j = 0; j < s.p; ++j) EXPECT_NEAR(b[j], first[j], 1e-12);
    }
}

TEST(ActiveSet, GoesOnFromAdoptedCoefficients) {
    const Standardized s = standardize(make_rows(Design::independent, 6, 8));
    const double l1 = 0.01 * top_of(s);
    ActiveSet set;
    ActiveSet::Outcome outcome;
    set.start(s.r.data(), s.target.data(), s.p, s.rank);
    ASSERT_EQ(set.search(l1, 0, {}, &outcome), FitStatus::ok);
    const std::vector<double> minimum = set.coefficients().present;
    for (std::size_t j = 0; j < s.p; ++j) set.adopt(j, j % 2 == 0 ? 1.0 : -0.5);  // of any signs
    set.adopt(3, 0);
    EXPECT_EQ(set.coefficients().sign[3], 0);
    ASSERT_EQ(set.search(l1, 0, {}, &outcome), FitStatus::ok);
    EXPECT_EQ(outcome, ActiveSet::Outcome::found);
    for (std::size_t j = 0; j < s.p; ++j) {
        EXPECT_NEAR(set.coefficients().present[j], minimum[j], 1e-13);
    }
}

TEST(ActiveSet, StopsWhenTold) {
    const Standardized s = standardize(make_rows(Design::independent, 120, 9));
    const volatile int raised = 1;
    core::StopSignal stop;
    stop.flag = &raised;
    ActiveSet set;
    ActiveSet::Outcome outcome;
    set.start(s.r.data(), s.target.data(), s.p, s.rank);
    EXPECT_EQ(set.search(1e-6 * top_of(s), 0, stop, &outcome), FitStatus::cancelled);
}

// In extended precision nothing is left to the descent, whatever the columns are like; and from any
// start the end is the same.
TEST(ActiveSet, ExtendedPrecisionDecides) {
    for (const Design design : kDesigns) {
        const Matrix rows = make_rows(design, 12, 31);
        core::LinearSolver::Workspace w;
        LinearOptions o;
        o.algorithm = Algorithm::lasso;
        ASSERT_EQ(build_gram(moments_of(rows).data(), 12, true, {}, w.gram), FitStatus::ok);
        w.standardize(w.gram, o);
        const double top =
            *std::max_element(w.target.begin(), w.target.end(),
                              [](double a, double b) { return std::fabs(a) < std::fabs(b); });
        w.start_path(w.gram);
        for (int i = 0; i < 60; ++i) {
            const double l1 = std::fabs(top) * std::pow(1e-6, i / 59.0);
            ASSERT_EQ(w.solve_point(w.gram, l1, 0, {}), FitStatus::ok);
            bool found = false;
            ASSERT_EQ(w.search_active(w.gram, l1, 0, {}, &found), FitStatus::ok);
            EXPECT_TRUE(found) << int(design) << ' ' << i;
            if (i % 10 != 9) continue;
            const std::vector<double> minimum = w.wide.present;
            w.start_path(w.gram);  // from zero at once
            ASSERT_EQ(w.search_active(w.gram, l1, 0, {}, &found), FitStatus::ok);
            EXPECT_TRUE(found) << int(design) << ' ' << i;
            const bool unique = design == Design::independent || design == Design::near;
            for (std::size_t j = 0; unique && j < 12; ++j) {
                EXPECT_NEAR(w.wide.present[j], minimum[j], 1e-12 * (1 + std::fabs(minimum[j])));
            }
            w.start_path(w.gram);
        }
    }
}

// The fits of a solver: optimal at 150 digits, and the lambda that a search by separate fits finds.
TEST(PenalisedPath, DesignsOfAllKinds) {
    for (const Design design : kDesigns) {
        for (const double alpha : {1.0, 0.5}) {
            LinearOptions o;
            o.algorithm = Algorithm::elastic_net;
            o.alpha = alpha;
            o.n_lambda = 15;
            const Matrix rows = make_rows(design, 12, 77);
            const LinearFit fit = fit_auto(rows, o);
            std::vector<Matrix> parts(kFolds), trains(kFolds);
            for (std::size_t r = 0; r < rows.size(); ++r) {
                for (std::size_t f = 0; f < kFolds; ++f) {
                    (r % kFolds == f ? parts : trains)[f].push_back(rows[r]);
                }
            }
            const double top = core::lambda_max(moments_of(rows).data(), 12, o);
            double bottom = top * o.lambda_min_ratio;
            if (alpha < 1) bottom = std::fmin(bottom, 1e-6 / (1 - alpha));
            double best = 1e300, best_lambda = 0;
            for (int i = 0; i < o.n_lambda; ++i) {
                o.lambda = top * std::pow(bottom / top, double(i) / (o.n_lambda - 1));
                double square = 0;
                for (std::size_t f = 0; f < kFolds; ++f) {
                    const LinearFit part = fit_rows_of(trains[f], o);
                    EXPECT_LE(violation(trains[f], part, o), 1e-6) << int(design) << ' ' << i;
                    for (const auto& row : parts[f]) {
                        double e = part.intercept - row[12];
                        for (std::size_t j = 0; j < 12; ++j) e += part.coefficient[j] * row[j];
                        square += e * e;
                    }
                }
                if (square < best) best = square, best_lambda = o.lambda;
            }
            EXPECT_NEAR(fit.lambda / best_lambda, 1, 1e-9) << int(design) << ' ' << alpha;
            EXPECT_NEAR(fit.cv.rmse / std::sqrt(best / double(rows.size())), 1, 1e-7)
                << int(design) << ' ' << alpha;
        }
    }
}

}  // namespace
}  // namespace many::test
