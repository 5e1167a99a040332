// Holdout metrics against plain sums in long double; independence of order.
#include "core/selection/metrics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "core/learners/prediction.h"
#include "core/selection/split.h"
#include "unit/support.h"

namespace many::test {
namespace {

core::LinearFit plane(double offset) {
    core::LinearFit fit;
    fit.p = 3;
    fit.target_mean = 10 + offset;
    fit.coefficient = {2, std::nan(""), -1};
    fit.mean = {1, 5, 3};
    return fit;
}

Matrix rows_for(double offset) {
    std::mt19937_64 g(41);
    std::normal_distribution<double> normal;
    Matrix rows;
    for (int i = 0; i < 500; ++i) {
        const double a = normal(g), b = normal(g), c = normal(g);
        rows.push_back({a, b, c, i % 50 == 0 ? 0.0 : offset + 10 + 2 * a - c + normal(g)});
    }
    return rows;
}

core::SplitMetrics evaluate(const Matrix& rows, const core::LinearFit& fit) {
    std::vector<double> state(core::holdout_state_doubles(fit.p));
    core::holdout_start(state.data(), fit, fit.target_mean);
    for (const auto& row : rows) {
        core::holdout_add_rows(state.data(), fit.p, row.data(), 1, row.size());
    }
    return core::holdout_finish(state.data(), fit.p);
}

TEST(Metrics, MatchPlainSums) {
    for (const double offset : {0.0, 1e6}) {
        const core::LinearFit fit = plane(offset);
        const Matrix rows = rows_for(offset);
        long double square = 0, absolute = 0, share = 0, symmetric = 0, error = 0, y_sum = 0;
        int nonzero = 0;
        for (const auto& r : rows) {
            const long double f = fit.target_mean + 2.0L * (r[0] - 1.0L) - (r[2] - 3.0L);
            const long double e = f - r[3];
            square += e * e;
            absolute += std::fabs(e);
            error += e;
            if (r[3] != 0) share += std::fabs(e / r[3]), ++nonzero;
            symmetric += 2 * std::fabs(e) / (std::fabs(r[3]) + std::fabs(f));
            y_sum += r[3];
        }
        const long double n = rows.size(), mean = y_sum / n;
        long double spread = 0;
        for (const auto& r : rows) spread += (r[3] - mean) * (r[3] - mean);
        const core::SplitMetrics m = evaluate(rows, fit);
        EXPECT_EQ(m.n_rows, 500);
        EXPECT_NEAR(m.rmse / std::sqrt(square / n), 1, 1e-12);
        EXPECT_NEAR(m.mae / (absolute / n), 1, 1e-11);
        EXPECT_NEAR(m.mape / (share / nonzero), 1, 1e-10);
        EXPECT_NEAR(m.smape / (symmetric / n), 1, 1e-10);
        EXPECT_NEAR(m.bias, error / n, 1e-8);
        EXPECT_NEAR(m.r2, 1 - square / spread, 1e-11);
    }
}

// One sum of a state (see metrics.cpp), by the scalar formula: Knuth's two-sum, twice.
void add_to_sum(double* high, std::size_t plane, double v) {
    double* sums[2] = {high, high + plane};
    for (double* sum : sums) {
        const double s = *sum + v, z = s - *sum;
        v = (*sum - (s - z)) + (v - z);
        *sum = s;
    }
    high[2 * plane] += v;
}

// The kernel that the CPU was given has the bits of the scalar formula.
TEST(Metrics, SumsHaveTheBitsOfTheScalarFormula) {
    std::mt19937_64 g(43);
    std::normal_distribution<double> normal;
    for (int trial = 0; trial < 2000; ++trial) {
        core::LinearFit fit;
        fit.p = trial % 18;
        const std::size_t p = std::size_t(fit.p), stride = p + 1 + g() % 3, n = g() % 40;
        const double scale = std::pow(10.0, double(g() % 20) - 8);
        fit.target_mean = normal(g) * scale;
        for (std::size_t j = 0; j < p; ++j) {
            fit.coefficient.push_back(normal(g));
            fit.mean.push_back(normal(g) * scale);
        }
        std::vector<double> rows(n * stride);
        for (double& v : rows) v = g() % 17 == 0 ? 0.0 : normal(g) * scale;
        std::vector<double> state(core::holdout_state_doubles(fit.p));
        core::holdout_start(state.data(), fit, 0.5 * fit.target_mean);
        std::vector<double> expected = state;
        core::holdout_add_rows(state.data(), fit.p, rows.data(), n, stride);
        const auto* coefficient = reinterpret_cast<const unsigned char*>(&expected[4]);
        for (std::size_t r = 0; r < n; ++r) {
            const double* x = &rows[r * stride];
            const double m = 0.5 * fit.target_mean, y = x[p], d = y - m;
            const double f =
                core::predict_centred(fit.target_mean, coefficient, coefficient + 8 * p, x, fit.p);
            const double e = f - y, size = std::fabs(y) + std::fabs(f);
            const double both = std::fabs(y) + std::fabs(m);
            const double values[12] = {e,
                                       e * e,
                                       std::fabs(e),
                                       y != 0 ? std::fabs(e / y) : 0,
                                       size > 0 ? 2 * std::fabs(e) / size : 0,
                                       d,
                                       d * d,
                                       std::fma(d, d, -(d * d)),
                                       std::fabs(d),
                                       y != 0 ? std::fabs(d / y) : 0,
                                       both > 0 ? 2 * std::fabs(d) / both : 0,
                                       0};
            for (std::size_t k = 0; k < 12; ++k)
                add_to_sum(&expected[4 + 2 * p + k], 12, values[k]);
            expected[1] += 1;
            expected[2] += y != 0 ? 1 : 0;
        }
        ASSERT_EQ(std::memcmp(state.data(), expected.data(), 8 * state.size()), 0) << trial;
    }
}

// The baseline is one number: its metrics are those of a model without terms.
TEST(Metrics, BaselineIsAModelWithoutTerms) {
    for (const double offset : {0.0, 1e6}) {
        const core::LinearFit fit = plane(offset);
        core::LinearFit constant;
        constant.target_mean = 9.5 + offset;
        std::vector<double> state(core::holdout_state_doubles(3));
        std::vector<double> alone(core::holdout_state_doubles(0));
        core::holdout_start(state.data(), fit, constant.target_mean);
        core::holdout_start(alone.data(), constant, 0);
        for (const auto& row : rows_for(offset)) {
            core::holdout_add_rows(state.data(), 3, row.data(), 1, 4);
            core::holdout_add_rows(alone.data(), 0, row.data() + 3, 1, 1);
            EXPECT_EQ(core::holdout_predict(state.data(), 3, row.data()),
                      fit.target_mean + 2 * (row[0] - 1) - (row[2] - 3));
        }
        EXPECT_EQ(core::holdout_baseline_value(state.data()), constant.target_mean);
        const core::SplitMetrics m = core::holdout_baseline(state.data(), 3);
        const core::SplitMetrics n = core::holdout_finish(alone.data(), 0);
        EXPECT_EQ(m.n_rows, 500);
        EXPECT_NEAR(m.rmse, n.rmse, 1e-15 * n.rmse);
        EXPECT_EQ(m.mae, n.mae);
        EXPECT_EQ(m.mape, n.mape);
        EXPECT_EQ(m.smape, n.smape);
        EXPECT_EQ(m.bias, n.bias);
        EXPECT_NEAR(m.r2, n.r2, 1e-9);
    }
}

TEST(Metrics, OrderDoesNotMatter) {
    Matrix rows = rows_for(1e3);
    const core::SplitMetrics first = evaluate(rows, plane(1e3));
    std::mt19937_64 g(42);
    for (int trial = 0; trial < 20; ++trial) {
        std::shuffle(rows.begin(), rows.end(), g);
        const core::SplitMetrics other = evaluate(rows, plane(1e3));
        EXPECT_EQ(std::memcmp(&first, &other, sizeof first), 0);
    }
}

TEST(Metrics, Edges) {
    core::LinearFit fit = plane(0);
    const core::SplitMetrics none = evaluate({}, fit);
    EXPECT_EQ(none.n_rows, 0);
    EXPECT_TRUE(std::isnan(none.rmse));
    fit.coefficient = {0, 0, 0};
    fit.target_mean = 0;
    const core::SplitMetrics zero = evaluate({{1, 1, 1, 0}, {2, 2, 2, 0}}, fit);
    EXPECT_EQ(zero.rmse, 0);
    EXPECT_EQ(zero.smape, 0);            // both sides 0 count 0
    EXPECT_TRUE(std::isnan(zero.mape));  // no row with y <> 0
    EXPECT_TRUE(std::isnan(zero.r2));    // y is constant
    EXPECT_TRUE(std::isnan(evaluate({{1, 1, 1, 0.1}, {2, 2, 2, 0.1}}, fit).r2));
}

TEST(Split, HashesAreStableAndUniform) {
    const double a[3] = {1, -0.0, 3}, b[3] = {1, 0.0, 3};
    EXPECT_EQ(core::row_hash(a, 3, 5), core::row_hash(b, 3, 5));
    EXPECT_NE(core::row_hash(a, 3, 5), core::row_hash(a, 3, 6));
    std::vector<int> folds(5);
    int held = 0;
    for (int i = 0; i < 20000; ++i) {
        const double row[2] = {double(i), double(i % 10)};
        const std::uint64_t h = core::row_hash(row, 2, 0);
        held += core::in_holdout(h, 0.2);
        ++folds[std::size_t(core::fold_of(h, 5))];
    }
    EXPECT_NEAR(held, 4000, 200);
    for (const int n : folds) EXPECT_NEAR(n, 4000, 200);
}

// Predictions made elsewhere: the same metrics as those of the model that made them, in any parts.
TEST(Metrics, OfGivenPredictions) {
    const core::LinearFit fit = plane(1e6);
    const Matrix rows = rows_for(1e6);
    const core::SplitMetrics expected = evaluate(rows, fit);
    core::LinearFit kept = fit;
    kept.coefficient[1] = 0;
    const std::size_t n = core::holdout_state_doubles(1);
    std::vector<double> whole(n);
    std::vector<std::vector<double>> parts(7, std::vector<double>(n));
    core::accuracy_start(whole.data());
    for (auto& part : parts) core::accuracy_start(part.data());
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const auto& r = rows[i];
        const double f = core::predict_centred(
            kept.target_mean, reinterpret_cast<const unsigned char*>(kept.coefficient.data()),
            reinterpret_cast<const unsigned char*>(kept.mean.data()), r.data(), kept.p);
        const double pair[] = {f, r[3]};
        core::holdout_add_rows(whole.data(), 1, pair, 1, 2);
        core::holdout_add_rows(parts[i % parts.size()].data(), 1, pair, 1, 2);
    }
    std::vector<double> merged(n);
    core::accuracy_start(merged.data());
    for (const auto& part : parts) core::holdout_merge(merged.data(), part.data(), 1);
    for (const double* state : {whole.data(), merged.data()}) {
        const core::SplitMetrics m = core::holdout_finish(state, 1);
        EXPECT_EQ(m.n_rows, expected.n_rows);
        EXPECT_EQ(m.rmse, expected.rmse);
        EXPECT_EQ(m.mae, expected.mae);
        EXPECT_EQ(m.mape, expected.mape);
        EXPECT_EQ(m.smape, expected.smape);
        EXPECT_EQ(m.bias, expected.bias);
        EXPECT_NEAR(m.r2, expected.r2, 1e-15);  // the actuals are centred elsewhere
    }
}

}  // namespace
}  // namespace many::test
