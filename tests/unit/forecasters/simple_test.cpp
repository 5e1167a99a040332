#include "core/forecasters/simple.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/forecasters/intervals.h"

namespace many::core {
namespace {

struct Result {
    SimpleFit fit;
    std::vector<double> mean, variance;
    ForecastStatus status = ForecastStatus::ok;
};

Result run(SimpleMethod method, const std::vector<double>& y, int season_length, int window = 4,
           std::size_t horizon = 4) {
    Result r;
    r.mean.resize(horizon);
    r.variance.resize(horizon);
    SimpleOptions options;
    options.window = window;
    r.status = fit_simple(method, {y, season_length}, options, r.fit);
    if (r.status == ForecastStatus::ok) r.status = forecast_simple(r.fit, {r.mean, r.variance});
    return r;
}

using Doubles = std::vector<double>;

TEST(Simple, naive_repeats_the_last_value) {
    const Result r = run(SimpleMethod::naive, {1, 3, 4, 8}, 1);
    EXPECT_EQ(r.mean, (Doubles{8, 8, 8, 8}));
    EXPECT_DOUBLE_EQ(r.fit.summary.sigma2, 7);  // (4 + 1 + 16) / 3
    EXPECT_EQ(r.variance, (Doubles{7, 14, 21, 28}));
}

TEST(Simple, seasonal_naive_repeats_the_last_season) {
    const Result r = run(SimpleMethod::seasonal_naive, {1, 2, 3, 5}, 2);
    EXPECT_EQ(r.mean, (Doubles{3, 5, 3, 5}));
    EXPECT_DOUBLE_EQ(r.fit.summary.sigma2, 6.5);  // (4 + 9) / 2
    EXPECT_EQ(r.variance, (Doubles{6.5, 6.5, 13, 13}));
}

TEST(Simple, mean_has_the_interval_of_student) {
    const Result r = run(SimpleMethod::mean, {1, 2, 3}, 1, 4, 1);
    EXPECT_DOUBLE_EQ(r.mean[0], 2);
    EXPECT_DOUBLE_EQ(r.variance[0], 4.0 / 3);
    // t with 2 degrees of freedom has the 97.5 % quantile 4.302652729749464.
    EXPECT_NEAR(interval_half_width(r.variance[0], 0.95, r.fit.degrees_of_freedom),
                4.302652729749464 * std::sqrt(4.0 / 3), 1e-12);
}

TEST(Simple, drift_goes_on) {
    const Result r = run(SimpleMethod::drift, {1, 2, 7}, 1, 4, 2);
    EXPECT_EQ(r.mean, (Doubles{10, 13}));
    EXPECT_DOUBLE_EQ(r.fit.summary.sigma2, 8);  // (1 - 3)^2 + (5 - 3)^2 over 1
    EXPECT_DOUBLE_EQ(r.variance[1], 8 * (2 + 4.0 / 2));
}

TEST(Simple, windows) {
    const Result flat = run(SimpleMethod::window_average, {10, 1, 2, 6}, 1, 2);
    EXPECT_EQ(flat.mean, (Doubles{4, 4, 4, 4}));
    EXPECT_DOUBLE_EQ(flat.fit.summary.sigma2, (3.5 * 3.5 + 4.5 * 4.5) / 2);
    const Result season = run(SimpleMethod::seasonal_window_average, {90, 90, 1, 2, 3, 6}, 2, 2);
    EXPECT_EQ(season.mean, (Doubles{2, 4, 2, 4}));
    const Result cut = run(SimpleMethod::window_average, {1, 3}, 1, 100);
    EXPECT_EQ(cut.fit.window, 2);
    EXPECT_EQ(cut.mean[0], 2);
    EXPECT_TRUE(std::isnan(cut.variance[0]));  // no error is left to judge by
}

TEST(Simple, naive2_adjusts_only_what_is_seasonal) {
    Doubles y;
    for (int t = 0; t < 24; ++t) y.push_back(t % 4 == 3 ? 30 : 10);
    const Result r = run(SimpleMethod::naive2, y, 4, 4, 8);
    for (std::size_t h = 0; h < 8; ++h) EXPECT_NEAR(r.mean[h], h % 4 == 3 ? 30 : 10, 1e-12);
    y.resize(11);  // fewer than three seasons
    EXPECT_EQ(run(SimpleMethod::naive2, y, 4).mean, (Doubles{10, 10, 10, 10}));
}

TEST(Simple, degenerate_series_never_give_nan) {
    constexpr SimpleMethod kAll[] = {
        SimpleMethod::naive, SimpleMethod::seasonal_naive, SimpleMethod::mean,
        SimpleMethod::drift, SimpleMethod::window_average, SimpleMethod::seasonal_window_average,
        SimpleMethod::naive2};
    const double inf = std::numeric_limits<double>::infinity();
    std::vector<Doubles> all = {{},
                                {5},
                                {5, 5},
                                {0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
                                Doubles(40, 7.0),
                                {1e308, -1e308, 1e308, -1e308},
                                Doubles(13, 1e300),
                                {inf, 1},
                                {std::nan(""), 1}};
    Doubles spike(30, 0.0);
    spike[11] = 1;
    all.push_back(spike);
    for (int n = 2; n <= 25; ++n) {
        Doubles y;
        for (int t = 0; t < n; ++t) y.push_back(t % 3);
        all.push_back(y);
    }
    for (const SimpleMethod method : kAll) {
        for (const Doubles& y : all) {
            for (const int m : {1, 4, 12}) {
                const Result r = run(method, y, m, 4, 30);
                if (r.status != ForecastStatus::ok) continue;
                for (const double v : r.mean) EXPECT_TRUE(std::isfinite(v));
            }
        }
    }
    EXPECT_EQ(run(SimpleMethod::naive, {}, 1).status, ForecastStatus::too_short);
    EXPECT_EQ(run(SimpleMethod::seasonal_naive, {1, 2, 3}, 4).status, ForecastStatus::too_short);
    EXPECT_EQ(run(SimpleMethod::mean, {1, inf}, 1).status, ForecastStatus::overflow);
    EXPECT_DOUBLE_EQ(run(SimpleMethod::mean, Doubles(13, 1e308), 1).mean[0], 1e308);
}

TEST(Simple, interval_levels_are_checked) {
    for (int again = 0; again < 2; ++again) {  // quantiles are kept
        for (const double df : {3.0, 0.0, 1e6, 119.0}) {
            const double expected = df == 3     ? 3.182446305284263
                                    : df == 119 ? 1.98009987645692
                                                : 1.959963984540054;
            EXPECT_NEAR(interval_half_width(1, 0.95, df), expected, df == 1e6 ? 1e-5 : 1e-11);
            EXPECT_NEAR(interval_half_width(1, 0.5), 0.6744897501960817, 1e-12);
        }
    }
    EXPECT_NEAR(interval_half_width(4, 0.95), 2 * 1.959963984540054, 1e-12);
    EXPECT_TRUE(std::isnan(interval_half_width(std::nan(""), 0.95)));
    EXPECT_THROW((void)interval_half_width(1, 1), Error);
}

}  // namespace
}  // namespace many::core
