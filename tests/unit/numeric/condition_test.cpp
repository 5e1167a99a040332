// Condition numbers against Jacobi's eigenvalues in extended precision.
#include <gtest/gtest.h>

#include <boost/multiprecision/cpp_bin_float.hpp>

#include "core/learners/linear.h"
#include "unit/support.h"

namespace many::test {
namespace {

using Real60 = boost::multiprecision::number<boost::multiprecision::cpp_bin_float<60>>;

// Cyclic Jacobi: the ratio of the largest eigenvalue to the smallest.
template <class Real>
double eigenvalue_ratio(std::vector<std::vector<Real>> a) {
    const std::size_t k = a.size();
    for (int sweep = 0; sweep < 40; ++sweep) {
        Real off = 0;
        for (std::size_t i = 0; i < k; ++i) {
            for (std::size_t j = 0; j < i; ++j) off += a[i][j] * a[i][j];
        }
        if (off < Real(1e-40)) break;
        for (std::size_t p = 0; p + 1 < k; ++p) {
            for (std::size_t q = p + 1; q < k; ++q) {
                if (a[p][q] == 0) continue;
                const Real theta = (a[q][q] - a[p][p]) / (2 * a[p][q]);
                const Real root = sqrt(Real(theta * theta + 1));
                const Real t = (theta >= 0 ? 1 : -1) / (abs(theta) + root);
                const Real c = 1 / sqrt(Real(t * t + 1)), s = t * c;
                for (std::size_t i = 0; i < k; ++i) {
                    const Real x = a[i][p], y = a[i][q];
                    a[i][p] = c * x - s * y;
                    a[i][q] = s * x + c * y;
                }
                for (std::size_t i = 0; i < k; ++i) {
                    const Real x = a[p][i], y = a[q][i];
                    a[p][i] = c * x - s * y;
                    a[q][i] = s * x + c * y;
                }
            }
        }
    }
    Real least = a[0][0], most = a[0][0];
    for (std::size_t i = 1; i < k; ++i) {
        least = std::min(least, a[i][i]);
        most = std::max(most, a[i][i]);
    }
    return double(Real(most / least));
}

// Of [1 X], columns of unit length; the last column of rows is the target.
template <class Real = Real60>
double condition_of(const Matrix& rows, bool intercept) {
    const std::size_t p = rows[0].size() - 1, k = p + (intercept ? 1 : 0);
    std::vector<std::vector<Real>> g(k, std::vector<Real>(k, Real(0)));
    for (const auto& row : rows) {
        const auto x = [&](std::size_t j) { return Real(j < p ? row[j] : 1.0); };
        for (std::size_t i = 0; i < k; ++i) {
            for (std::size_t j = 0; j < k; ++j) g[i][j] += x(i) * x(j);
        }
    }
    std::vector<Real> norm;
    for (std::size_t i = 0; i < k; ++i) norm.push_back(sqrt(g[i][i]));
    for (std::size_t i = 0; i < k; ++i) {
        for (std::size_t j = 0; j < k; ++j) g[i][j] /= norm[i] * norm[j];
    }
    return std::sqrt(eigenvalue_ratio(g));
}

// The second column is the first one but for `gap`.
Matrix design(std::size_t n, std::size_t p, double offset, double gap, std::uint64_t seed) {
    std::mt19937_64 g(seed);
    std::normal_distribution<double> normal;
    Matrix rows;
    for (std::size_t r = 0; r < n; ++r) {
        std::vector<double> row;
        for (std::size_t j = 0; j < p; ++j) {
            row.push_back(j == 1 ? row[0] + gap * normal(g)
                                 : (offset + normal(g)) * std::pow(10.0, double(j % 4)));
        }
        row.push_back(normal(g));
        rows.push_back(row);
    }
    return rows;
}

TEST(Condition, FromOrthogonalToNearlyCollinear) {
    for (const std::size_t p : {1U, 2U, 3U, 4U, 5U, 8U, 13U}) {
        for (const double gap : {1.0, 0.1, 1e-2, 1e-3, 3e-4, 1e-5, 1e-7, 1e-10}) {
            for (const bool intercept : {true, false}) {
                const Matrix rows = design(40, p, 0.5, gap, p);
                core::LinearOptions options;
                options.fit_intercept = intercept;
                EXPECT_NEAR(
                    fit_rows_of(rows, options).condition_number / condition_of(rows, intercept), 1,
                    1e-7)
                    << p << ' ' << gap << ' ' << intercept;
            }
        }
    }
}

TEST(Condition, FarFromTheOrigin) {
    for (const double offset : {5.0, 300.0, 1e4, 1e7}) {
        const Matrix rows = design(50, 6, offset, 1, 7);
        EXPECT_NEAR(fit_rows_of(rows).condition_number / condition_of(rows, true), 1, 1e-7)
            << offset;
    }
}

TEST(Condition, OfAnOrthogonalDesignIsOne) {
    Matrix rows;
    for (int i = 0; i < 16; ++i) {
        rows.push_back({i & 1 ? 1e6 : -1e6, i & 2 ? 1.0 : -1.0, i & 4 ? 3.0 : -3.0, double(i * i)});
    }
    EXPECT_NEAR(fit_rows_of(rows).condition_number, 1, 1e-12);
    for (auto& row : rows) row[1] = row[0];  // one of the two is dropped
    EXPECT_NEAR(fit_rows_of(rows).condition_number, 1, 1e-12);
}

TEST(Condition, PenalisedFitsHaveTheDesigns) {
    const Matrix rows = design(60, 5, 1, 1e-3, 11);
    core::LinearOptions options;
    options.algorithm = core::Algorithm::lasso;
    options.lambda = 0.1;
    EXPECT_NEAR(fit_rows_of(rows, options).condition_number / condition_of(rows, true), 1, 1e-7);
}

TEST(Condition, OfManyColumns) {
    // By the dense form, and by Lanczos.
    for (const std::size_t p : {60U, 110U}) {
        const Matrix rows = design(300, p, 0.2, 1e-2, p);
        EXPECT_NEAR(fit_rows_of(rows).condition_number / condition_of<long double>(rows, true), 1,
                    1e-6)
            << p;
    }
}

}  // namespace
}  // namespace many::test
