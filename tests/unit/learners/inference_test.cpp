// Student t against published tables and closed forms.
#include <gtest/gtest.h>

#include "core/learners/linear.h"
#include "unit/support.h"

namespace many::test {
namespace {

TEST(Inference, PublishedQuantiles) {
    // NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2, upper critical values.
    const struct {
        double level, df, t;
    } table[] = {{0.95, 1, 12.706}, {0.95, 2, 4.303},   {0.95, 5, 2.571},  {0.95, 10, 2.228},
                 {0.95, 30, 2.042}, {0.95, 100, 1.984}, {0.99, 10, 3.169}, {0.90, 10, 1.812},
                 {0.99, 30, 2.750}, {0.80, 4, 1.533},   {0.998, 6, 5.208}, {0.998, 60, 3.232}};
    for (const auto& row : table) EXPECT_NEAR(core::t_quantile(row.level, row.df), row.t, 5.1e-4);
    // Closed forms: df = 1 is Cauchy, df = 2 has t = a sqrt(2 / (1 - a^2)) for level a.
    EXPECT_NEAR(core::t_quantile(0.95, 1), std::tan(M_PI * 0.475), 1e-11);
    EXPECT_NEAR(core::t_quantile(0.95, 2), 0.95 * std::sqrt(2 / (1 - 0.95 * 0.95)), 1e-13);
    EXPECT_NEAR(core::t_quantile(0.95, 1e9), 1.959963984540054, 1e-8);
}

TEST(Inference, EdgesOfQuantiles) {
    EXPECT_TRUE(std::isnan(core::t_quantile(0.95, 0)));
    EXPECT_TRUE(std::isnan(core::t_quantile(0.95, -3)));
    EXPECT_TRUE(std::isnan(core::t_quantile(1.5, 3)));
    EXPECT_TRUE(std::isnan(core::t_quantile(std::nan(""), 3)));
    EXPECT_EQ(core::t_quantile(0, 3), 0);
    EXPECT_TRUE(std::isinf(core::t_quantile(1, 3)));
}

TEST(Inference, Coefficient) {
    // df = 2: P(|T| > t) = 1 - t / sqrt(2 + t^2).
    const auto r = core::infer(3, 1.5, 2, 0.95);
    EXPECT_DOUBLE_EQ(r.t_value, 2);
    EXPECT_NEAR(r.p_value, 1 - 2 / std::sqrt(6.0), 1e-14);
    EXPECT_NEAR(r.upper - 3, std::sqrt(2 / (1 - 0.95 * 0.95)) * 0.95 * 1.5, 1e-11);
    EXPECT_NEAR(3 - r.lower, std::sqrt(2 / (1 - 0.95 * 0.95)) * 0.95 * 1.5, 1e-11);
    // Far tail: no cancellation to 0. For df = 2 and large t the p-value is 1 / t^2.
    EXPECT_NEAR(core::infer(1e7, 1, 2, 0.95).p_value * 1e14, 1, 1e-9);
}

TEST(Inference, UndefinedIsNaN) {
    const double nan = std::nan("");
    EXPECT_TRUE(std::isnan(core::infer(nan, 1, 5, 0.95).t_value));
    EXPECT_TRUE(std::isnan(core::infer(1, nan, 5, 0.95).p_value));
    EXPECT_TRUE(std::isnan(core::infer(1, 1, 0, 0.95).lower));
    EXPECT_EQ(core::infer(1, 0, 5, 0.95).p_value, 0);  // an exact fit
    EXPECT_TRUE(std::isnan(core::infer(0, 0, 5, 0.95).t_value));
}

TEST(Inference, FitStatistics) {
    const auto s = core::fit_statistics(10, 7, 2, 0.75, true);
    EXPECT_EQ(s.n_parameters, 3);
    EXPECT_DOUBLE_EQ(s.r2, 0.75);
    EXPECT_DOUBLE_EQ(s.adj_r2, 1 - 0.25 * 9 / 7);
    const double ll = -5 * (std::log(2 * M_PI) + std::log(0.2) + 1);
    EXPECT_DOUBLE_EQ(s.log_likelihood, ll);
    EXPECT_DOUBLE_EQ(s.aic, -2 * ll + 8);
    EXPECT_DOUBLE_EQ(s.bic, -2 * ll + 4 * std::log(10));
    EXPECT_DOUBLE_EQ(core::fit_statistics(10, 8, 2, 0.75, false).adj_r2, 1 - 0.25 * 10 / 8);
    EXPECT_DOUBLE_EQ(core::fit_statistics(1e6, 1e6 - 2, 1, 1e-12, true).adj_r2,
                     (1e-12 * 999999 - 1) / 999998);
    EXPECT_TRUE(std::isnan(core::fit_statistics(10, 7, 0, std::nan(""), true).adj_r2));
}

}  // namespace
}  // namespace many::test
