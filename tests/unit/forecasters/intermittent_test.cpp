#include "core/forecasters/intermittent.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

namespace many::core {
namespace {

using Doubles = std::vector<double>;
using enum IntermittentMethod;

constexpr IntermittentMethod kAll[] = {croston, sba, tsb, adida, imapa};

struct Result {
    IntermittentFit fit;
    Doubles mean, variance;
    ForecastStatus status = ForecastStatus::ok;
};

IntermittentOptions given(double alpha, double beta = FitSummary::kNone) {
    IntermittentOptions options;
    options.alpha = alpha;
    options.beta = beta;
    return options;
}

Result run(IntermittentMethod method, const Doubles& y, const IntermittentOptions& options = {}) {
    Result r;
    r.mean.assign(3, -1);
    r.variance.assign(3, -1);
    r.status = fit_intermittent(method, {y, 1}, options, {}, r.fit);
    if (r.status == ForecastStatus::ok) {
        r.status = forecast_intermittent(r.fit, {r.mean, r.variance});
    }
    return r;
}

Doubles random_demand(int n, double probability, unsigned seed) {
    std::mt19937_64 random(seed);
    Doubles y;
    for (int t = 0; t < n; ++t) {
        const double u = static_cast<double>(random() >> 11) * 0x1p-53;
        y.push_back(u < probability ? 1 + static_cast<double>(random() % 9) : 0);
    }
    return y;
}

// Demands 6, 2, 10 at t = 2, 3, 7: sizes 6, 4, 7 and intervals 2, 1.5, 2.75 at smoothing 0.5.
const Doubles kDemand = {0, 6, 2, 0, 0, 0, 10, 0};

TEST(Intermittent, croston_by_hand) {
    const Result r = run(croston, kDemand, given(0.5));
    EXPECT_EQ(r.mean, Doubles(3, 7 / 2.75));
    for (const double v : r.variance) EXPECT_TRUE(std::isnan(v));
    EXPECT_EQ(r.fit.n_demands, 3);
    EXPECT_DOUBLE_EQ(r.fit.mean_interval, 7.0 / 3);
    EXPECT_EQ(r.fit.levels.at(0).waiting, 1);
    // Forecasts 3 of t = 3, 4 / 1.5 of t = 4 .. 7, 7 / 2.75 of t = 8.
    const double e = 4 / 1.5, last = 7 / 2.75;
    EXPECT_DOUBLE_EQ(r.fit.summary.sigma2, (1 + 3 * e * e + (10 - e) * (10 - e) + last * last) / 6);
    // Sizes and intervals have a smoothing of their own: 6, 5, 6.25 by 0.25.
    EXPECT_DOUBLE_EQ(run(croston, kDemand, given(0.25, 0.5)).mean[0], 6.25 / 2.75);
}

TEST(Intermittent, sba_corrects_by_the_smoothing_of_the_intervals) {
    EXPECT_DOUBLE_EQ(run(sba, kDemand, given(0.5)).mean[0], 0.75 * 7 / 2.75);
    EXPECT_DOUBLE_EQ(run(sba, kDemand, given(0.25, 0.5)).mean[0], 0.75 * 6.25 / 2.75);
}

TEST(Intermittent, tsb_fades_where_croston_stands) {
    // Probability by 0.5: 1/2, 3/4, 3/8, 3/16, 3/32, 35/64, 35/128.
    Doubles y = kDemand;
    EXPECT_DOUBLE_EQ(run(tsb, y, given(0.5)).mean[0], 7 * 35.0 / 128);
    // By 0.25 and 0.5: sizes as above 6, 5, 6.25.
    EXPECT_DOUBLE_EQ(run(tsb, y, given(0.25, 0.5)).mean[0], 6.25 * 35.0 / 128);
    EXPECT_EQ(run(tsb, y).fit.levels.at(0).waiting, 1);
    const double standing = run(croston, y, given(0.5)).mean[0];
    y.insert(y.end(), 3, 0);
    EXPECT_DOUBLE_EQ(run(tsb, y, given(0.5)).mean[0], 7 * 35.0 / 1024);
    EXPECT_EQ(run(croston, y, given(0.5)).mean[0], standing);
}

TEST(Intermittent, adida_smooths_sums_that_end_with_the_series) {
    // The mean interval 7 / 3 gives sums of two: 6, 2, 0, 10; 6, 4, 2, 6 smoothed by 0.5.
    const Result r = run(adida, kDemand, given(0.5));
    EXPECT_EQ(r.fit.levels.at(0).aggregation, 2);
    EXPECT_DOUBLE_EQ(r.mean[0], 3);
    IntermittentOptions three = given(0.5);
    three.aggregation = 3;  // 2, 10 (the first two are left over): 6 of three periods
    EXPECT_DOUBLE_EQ(run(adida, kDemand, three).mean[0], 2);
    three.aggregation = 100;  // cut to the series
    EXPECT_DOUBLE_EQ(run(adida, kDemand, three).mean[0], 18.0 / 8);
}

TEST(Intermittent, adida_rounds_the_mean_interval) {
    EXPECT_EQ(run(adida, {0, 0, 0, 1, 0, 0, 0, 1, 1}).fit.levels.at(0).aggregation, 3);
    EXPECT_EQ(run(adida, {0, 0, 1, 1, 0}).fit.levels.at(0).aggregation, 2);
    EXPECT_EQ(run(adida, {0, 0, 1, 1, 1, 0, 1}).fit.levels.at(0).aggregation, 2);
    EXPECT_EQ(run(adida, {0, 1, 1, 1, 1}).fit.levels.at(0).aggregation, 1);
}

TEST(Intermittent, imapa_is_the_mean_of_its_levels) {
    // Level 1: p = 7 / 3, sba (v > 2 - 3.5); level 2: sums 6, 2, 0, 10, p = 4 / 3, v = 16 / 36 > 0, sba;
    // intervals 1, 1, 1.5 by 0.5, sizes 6, 4, 7. Level 3 would have two sums only.
    const Result r = run(imapa, kDemand, given(0.5));
    ASSERT_EQ(r.fit.levels.size(), 2U);
    EXPECT_EQ(r.fit.levels[0].method, sba);
    EXPECT_EQ(r.fit.levels[1].method, sba);
    const double first = 0.75 * 7 / 2.75, second = 0.75 * 7 / 1.5 / 2;
    EXPECT_DOUBLE_EQ(r.fit.levels[1].rate, second);
    EXPECT_DOUBLE_EQ(r.mean[0], (first + second) / 2);
    IntermittentOptions one = given(0.5);
    one.aggregation = 1;
    EXPECT_DOUBLE_EQ(run(imapa, kDemand, one).mean[0], first);
}

TEST(Intermittent, imapa_chooses_by_interval_and_variation) {
    EXPECT_EQ(run(imapa, {3, 4, 5, 4}).fit.levels.at(0).method, ses);
    // One gap in 15: p = 16 / 15, equal sizes: v = 0 < 0.4.
    Doubles y(16, 2.0);
    y[7] = 0;
    EXPECT_EQ(run(imapa, y).fit.levels.at(0).method, croston);
    // One size of b among fourteen of 2: v = 15 (b - 2)^2 / (b + 28)^2, border 2 - 1.6 at b = 7.855.
    y[3] = 7.5;
    EXPECT_EQ(run(imapa, y).fit.levels.at(0).method, croston);
    y[3] = 8;
    EXPECT_EQ(run(imapa, y).fit.levels.at(0).method, sba);
}

// The mean squared rate as defined, by the forecasts of the series' beginnings.
double rate_cost(IntermittentMethod method, const Doubles& y, double alpha, double beta) {
    double cost = 0, sum = 0;
    for (std::size_t t = 0; t < y.size(); ++t) {
        const Doubles before(y.begin(), y.begin() + static_cast<std::ptrdiff_t>(t));
        sum += y[t];
        if (std::count(before.begin(), before.end(), 0.0) == static_cast<std::ptrdiff_t>(t))
            continue;
        const double e =
            run(method, before, given(alpha, beta)).mean[0] - sum / static_cast<double>(t + 1);
        cost += e * e;
    }
    return cost;
}

TEST(Intermittent, search_ends_at_the_least_mean_squared_rate) {
    IntermittentOptions options;
    options.optimise = true;
    for (const IntermittentMethod method : {croston, sba, tsb}) {
        for (unsigned seed = 1; seed <= 5; ++seed) {
            const Doubles y = random_demand(60, 0.3, seed);
            const IntermittentLevel best = run(method, y, options).fit.levels.at(0);
            const double least = rate_cost(method, y, best.alpha, best.beta);
            for (int i = 0; i <= 10; ++i) {
                for (int j = 0; j <= 10; ++j) {
                    const double alpha = 0.05 + 0.025 * i, beta = 0.05 + 0.025 * j;
                    EXPECT_LE(least, rate_cost(method, y, alpha, beta) * (1 + 1e-3));
                }
            }
        }
    }
}

TEST(Intermittent, a_given_smoothing_is_not_searched) {
    IntermittentOptions options = given(0.17);
    options.optimise = true;
    const Doubles y = random_demand(80, 0.3, 9);
    for (const IntermittentMethod method : kAll) {
        for (const IntermittentLevel& level : run(method, y, options).fit.levels) {
            EXPECT_EQ(level.alpha, 0.17);
        }
    }
    options = given(FitSummary::kNone, 0.2);
    EXPECT_EQ(run(croston, y, options).fit.levels.at(0).alpha, 0.1);
    EXPECT_EQ(run(croston, y, options).fit.levels.at(0).beta, 0.2);
    EXPECT_EQ(run(tsb, y).fit.levels.at(0).beta, 0.1);
}

TEST(Intermittent, search_of_ses_ends_at_the_least_squares) {
    const auto squares = [](const Doubles& y, double alpha) {
        double level = y[0], sum = 0;
        for (const double v : y) {
            sum += (v - level) * (v - level);
            level += alpha * (v - level);
        }
        return sum;
    };
    for (unsigned seed = 1; seed <= 5; ++seed) {
        const Doubles y = random_demand(60, 0.9, seed);
        IntermittentOptions options;
        options.aggregation = 1;
        const double alpha = run(adida, y, options).fit.levels.at(0).alpha;
        for (int i = 0; i <= 50; ++i) {
            EXPECT_LE(squares(y, alpha), squares(y, 0.05 + 0.005 * i) * (1 + 1e-9));
        }
    }
}

TEST(Intermittent, few_demands) {
    for (const IntermittentMethod method : kAll) {
        for (const std::size_t n : {1, 2, 30}) {  // none
            const Result none = run(method, Doubles(n, 0.0));
            EXPECT_EQ(none.status, ForecastStatus::ok);
            EXPECT_EQ(none.mean, Doubles(3, 0.0));
            EXPECT_TRUE(std::isnan(none.fit.mean_interval));
        }
        const Result one = run(method, {5});
        EXPECT_EQ(one.status, ForecastStatus::ok);
        // sba 0.95 * 5; the others 5.
        EXPECT_DOUBLE_EQ(one.mean[0], method == sba ? 4.75 : 5);
    }
    Doubles spike(20, 0.0);
    spike[9] = 4;
    EXPECT_DOUBLE_EQ(run(croston, spike).mean[0], 0.4);
    EXPECT_DOUBLE_EQ(run(sba, spike).mean[0], 0.38);
    EXPECT_DOUBLE_EQ(run(tsb, spike).mean[0], 0.4 * std::pow(0.9, 10));
    EXPECT_GT(run(adida, spike).mean[0], 0);  // sums of ten: 4, 0
    EXPECT_TRUE(std::isfinite(run(imapa, spike).mean[0]));
    EXPECT_TRUE(std::isnan(run(croston, {0, 0, 3}).fit.summary.sigma2));  // no error to judge by
}

TEST(Intermittent, what_is_refused) {
    const double inf = std::numeric_limits<double>::infinity();
    for (const IntermittentMethod method : kAll) {
        EXPECT_EQ(run(method, {}).status, ForecastStatus::too_short);
        EXPECT_EQ(run(method, {1, -1, 2}).status, ForecastStatus::not_positive);
        EXPECT_EQ(run(method, {1, inf}).status, ForecastStatus::overflow);
        EXPECT_EQ(run(method, {std::nan(""), 1}).status, ForecastStatus::overflow);
        EXPECT_EQ(run(method, kDemand, given(1.01)).status, ForecastStatus::not_admissible);
        EXPECT_EQ(run(method, kDemand, given(0.1, -0.1)).status, ForecastStatus::not_admissible);
        EXPECT_EQ(run(method, {-0.0, 2}).status, ForecastStatus::ok);
    }
    IntermittentOptions options;
    options.aggregation = -1;
    EXPECT_EQ(run(adida, kDemand, options).status, ForecastStatus::not_admissible);
}

TEST(Intermittent, forecasts_are_between_zero_and_the_largest_value) {
    const double max = std::numeric_limits<double>::max();
    std::vector<Doubles> all = {
        {7, 7},           {0, 3},           Doubles(40, 7.0),   Doubles(13, 1e300),
        Doubles(50, max), {max, 0, 0, max}, {1e300, 0, 1e-300}, {5e-324, 0, 5e-324}};
    for (std::size_t at = 0; at < 25; ++at) {
        Doubles spike(25, 0.0);
        spike[at] = at % 2 == 0 ? 1 : 1e300;
        all.push_back(spike);
    }
    for (unsigned seed = 0; seed < 40; ++seed) {
        all.push_back(random_demand(static_cast<int>(2 + seed * 3), 0.05 + 0.02 * seed, seed));
    }
    for (const IntermittentMethod method : kAll) {
        for (const bool optimise : {false, true}) {
            for (const double alpha : {FitSummary::kNone, 0.0, 1.0}) {
                for (const Doubles& y : all) {
                    IntermittentOptions options = given(alpha);
                    options.optimise = optimise;
                    const Result r = run(method, y, options);
                    ASSERT_EQ(r.status, ForecastStatus::ok);
                    EXPECT_GE(r.mean[0], 0);
                    EXPECT_LE(r.mean[0], *std::max_element(y.begin(), y.end()));
                    for (const IntermittentLevel& level : r.fit.levels) {
                        EXPECT_TRUE(std::isfinite(level.size) && std::isfinite(level.rate));
                    }
                }
            }
        }
    }
}

TEST(Intermittent, constant_series) {
    for (const IntermittentMethod method : kAll) {
        const Result r = run(method, Doubles(40, 7.0));
        EXPECT_DOUBLE_EQ(r.mean[0], method == sba ? 7 * 0.95 : 7);
        EXPECT_DOUBLE_EQ(run(method, Doubles(40, 1e300)).mean[0] / 1e300, r.mean[0] / 7);
    }
}

TEST(Intermittent, roundings_never_exceed_the_largest_value) {
    const double max = std::numeric_limits<double>::max();
    IntermittentOptions options = given(0.3);
    for (const double v : {max, 0.1, 0.7, 1 / 3.0, 1e-3, 0.9999999999999999}) {
        for (int k = 1; k <= 100; ++k) {
            options.aggregation = k;
            EXPECT_LE(run(adida, Doubles(100, v), options).mean[0], v) << k;
        }
    }
}

TEST(Intermittent, bits_and_scale) {
    IntermittentOptions options;
    options.optimise = true;
    for (const IntermittentMethod method : kAll) {
        Doubles y = random_demand(90, 0.3, 3);
        const double once = run(method, y, options).mean[0];
        (void)run(method, random_demand(50, 0.5, 4), options);
        const double again = run(method, y, options).mean[0];
        EXPECT_EQ(std::memcmp(&once, &again, sizeof once), 0);
        for (double& v : y) v *= 0x1p700;
        EXPECT_EQ(run(method, y, options).mean[0], once * 0x1p700);
    }
}

TEST(Intermittent, stops_when_told) {
    const volatile int flag = 1;
    StopSignal stop;
    stop.flag = &flag;
    IntermittentOptions options;
    options.optimise = true;
    const Doubles y = random_demand(100000, 0.3, 1);
    for (const IntermittentMethod method : kAll) {
        IntermittentFit fit;
        EXPECT_EQ(fit_intermittent(method, {y, 1}, options, stop, fit), ForecastStatus::stopped);
    }
}

}  // namespace
}  // namespace many::core
