#include "core/forecasters/forecast_model.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "core/error.h"
#include "core/forecasters/intervals.h"
#include "unit/forecasters/forecast_model_support.h"

namespace many::core {
namespace {

const double kZ95 = 1.959963984540054;

// All quantiles of `h` steps, step-major.
Doubles quantiles(const ForecastModel& model, std::size_t h, const Doubles& p) {
    Doubles mean(h), found(h * p.size());
    std::vector<std::uint8_t> flags(h);
    EXPECT_EQ(forecast_model(model, {}, {}, {}, {mean, {}, {}, flags, p, found}),
              ForecastStatus::ok);
    return found;
}

// --- Combination, intervals -----------------------------------------------------------------------

TEST(ForecastModel, a_single_member_has_its_own_interval) {
    const Steps s = forecast(model_of({level_fit(5, 4)}), 2, {0.8, 0.95});
    EXPECT_EQ(s.status, ForecastStatus::ok);
    EXPECT_EQ(s.mean, (Doubles{5, 5}));
    EXPECT_NEAR(s.upper[1], 5 + kZ95 * 2, 1e-12);
    EXPECT_NEAR(s.lower[1], 5 - kZ95 * 2, 1e-12);
    EXPECT_NEAR(s.upper[3], 5 + kZ95 * std::sqrt(8.0), 1e-12);  // step 2
    EXPECT_LT(s.upper[0], s.upper[1]);
    EXPECT_EQ(s.flags, (std::vector<std::uint8_t>{0, 0}));
}

TEST(ForecastModel, members_and_their_interval_ends_are_combined) {
    const std::vector<MethodFit> three = {level_fit(1, 1), level_fit(2, 16), level_fit(12, 4)};
    const double ends[] = {1 - kZ95, 2 - 4 * kZ95, 12 - 2 * kZ95};
    Steps s = forecast(model_of(three, Combination::median), 1);
    EXPECT_EQ(s.mean[0], 2);
    EXPECT_NEAR(s.lower[0], ends[0], 1e-12);       // -0.96 is between -5.8 and 8.1
    EXPECT_NEAR(s.upper[0], 2 + 4 * kZ95, 1e-12);  // 9.8 is between 3.0 and 15.9
    s = forecast(model_of(three, Combination::mean), 1);
    EXPECT_DOUBLE_EQ(s.mean[0], 5);
    EXPECT_NEAR(s.lower[0], (ends[0] + ends[1] + ends[2]) / 3, 1e-12);
    ForecastModel weighted = model_of(three, Combination::weighted);
    weighted.weights = {1, 2, 1};
    s = forecast(weighted, 1);
    EXPECT_DOUBLE_EQ(s.mean[0], (1 + 2 * 2 + 12) / 4.0);
    EXPECT_NEAR(s.lower[0], (ends[0] + 2 * ends[1] + ends[2]) / 4, 1e-12);
    s = forecast(model_of({level_fit(1, 1), level_fit(4, 1)}, Combination::median), 1);
    EXPECT_DOUBLE_EQ(s.mean[0], 2.5);
}

TEST(ForecastModel, the_trimmed_mean_is_without_the_extremes_of_each_step) {
    std::vector<MethodFit> members = {level_fit(40, 1), level_fit(1, 16), level_fit(2, 4),
                                      level_fit(-90, 1), level_fit(6, 1)};
    Steps s = forecast(model_of(members, Combination::trimmed), 1);
    EXPECT_DOUBLE_EQ(s.mean[0], (1 + 2 + 6) / 3.0);
    // Of the lower ends 38.0, -6.8, -1.9, -92.0, 4.0.
    EXPECT_NEAR(s.lower[0], (1 - 4 * kZ95 + 2 - 2 * kZ95 + 6 - kZ95) / 3, 1e-12);
    members.resize(2);
    s = forecast(model_of(members, Combination::trimmed), 1);
    EXPECT_DOUBLE_EQ(s.mean[0], 20.5);
    members = {level_fit(1e308, 1), level_fit(1.1e308, 1), level_fit(1.2e308, 1),
               level_fit(1.3e308, 1), level_fit(1.4e308, 1)};
    EXPECT_NEAR(forecast(model_of(members, Combination::trimmed), 1).mean[0] / 1e308, 1.2, 1e-12);
}

TEST(ForecastModel, members_without_interval_or_forecast_are_left_out) {
    std::vector<MethodFit> members = {level_fit(1, 1), level_fit(3, kNaN)};
    Steps s = forecast(model_of(members, Combination::mean), 1);
    EXPECT_EQ(s.mean[0], 2);
    EXPECT_NEAR(s.lower[0], 1 - kZ95, 1e-12);  // of the first alone
    EXPECT_NEAR(s.upper[0], 1 + kZ95, 1e-12);
    EXPECT_EQ(s.flags[0], 0);
    members[0].fit.emplace<SimpleFit>() = std::get<SimpleFit>(level_fit(20, 1).fit);
    s = forecast(model_of(members, Combination::mean), 1);
    EXPECT_EQ(s.mean[0], 11.5);
    EXPECT_EQ(s.lower[0], 11.5);  // never above the forecast

    SimpleFit steep = std::get<SimpleFit>(level_fit(1e308, 1).fit);
    steep.method = SimpleMethod::drift;
    steep.slope = 1e308;
    members[1] = {ForecastMethod::drift, steep};
    s = forecast(model_of(members, Combination::mean), 2);
    EXPECT_EQ(s.mean[1], 20);
    EXPECT_EQ(s.flags[1], kForecastPartial);
    s = forecast(model_of({members[1]}), 2);
    EXPECT_EQ(s.status, ForecastStatus::ok);
    EXPECT_TRUE(std::isnan(s.mean[0]) && std::isnan(s.lower[0]) && std::isnan(s.upper[0]));
    EXPECT_EQ(s.flags[0], kForecastNotFinite | kForecastNoInterval);
}

TEST(ForecastModel, an_interval_that_is_not_there_is_flagged) {
    Steps s = forecast(model_of({level_fit(3, kNaN)}), 1);
    EXPECT_EQ(s.mean[0], 3);
    EXPECT_TRUE(std::isnan(s.lower[0]) && std::isnan(s.upper[0]));
    EXPECT_EQ(s.flags[0], kForecastNoInterval);
    s = forecast(model_of({level_fit(3, std::numeric_limits<double>::infinity())}), 1);
    EXPECT_EQ(s.flags[0], kForecastNoInterval);
    ForecastModel none = model_of({level_fit(3, 1)});
    none.intervals = IntervalMethod::none;
    EXPECT_EQ(forecast(none, 1).flags[0], kForecastNoInterval);
    EXPECT_EQ(forecast(none, 1, {}).flags[0], 0);  // none was asked for
}

TEST(ForecastModel, sizes_and_levels_are_checked) {
    const ForecastModel m = model_of({level_fit(3, 1)});
    EXPECT_THROW((void)forecast(m, 1, {0.0}), Error);
    EXPECT_THROW((void)forecast(m, 1, {1.0}), Error);
    EXPECT_THROW((void)forecast(m, 1, {kNaN}), Error);
    EXPECT_EQ(forecast(m, 1, {0.9}, {1}).status, ForecastStatus::not_admissible);
    EXPECT_EQ(forecast(model_of({level_fit(1, 1)}), 0).status, ForecastStatus::ok);
    ForecastModel empty = m;
    empty.members.clear();
    EXPECT_EQ(forecast(empty, 1).status, ForecastStatus::not_admissible);
    Doubles mean(1), ends(3);
    std::vector<std::uint8_t> flags(1);
    EXPECT_EQ(forecast_model(m, {}, {}, Doubles{0.9}, {mean, ends, ends, flags}),
              ForecastStatus::not_admissible);
}

TEST(ForecastModel, student_for_the_mean) {
    ForecastWorkspace workspace;
    MethodFit fit;
    const Doubles y = {1, 2, 3};
    ASSERT_EQ(fit_method(spec_of(ForecastMethod::mean), {y, {}}, {}, workspace, fit),
              ForecastStatus::ok);
    const Steps s = forecast(model_of({fit}), 1);
    EXPECT_NEAR(s.upper[0], 2 + 4.302652729749464 * std::sqrt(4.0 / 3), 1e-12);
}

TEST(ForecastModel, conformal_takes_the_order_statistic_of_the_step) {
    ForecastModel m = model_of({level_fit(10, kNaN)});
    m.intervals = IntervalMethod::conformal;
    m.conformal_steps = 2;
    m.n_scores = 4;
    m.scores = {1, 2, 3, 4, 2, 4, 6, 8};
    // (4 + 1) 0.6 = 3: the third; (4 + 1) 0.61: the fourth.
    Steps s = forecast(m, 3, {0.6, 0.61});
    EXPECT_DOUBLE_EQ(s.upper[0], 13);
    EXPECT_DOUBLE_EQ(s.lower[1], 6);
    EXPECT_DOUBLE_EQ(s.upper[2], 16);
    EXPECT_DOUBLE_EQ(s.upper[3], 18);
    EXPECT_DOUBLE_EQ(s.upper[4], 10 + 6 * std::sqrt(3.0 / 2));  // beyond
    // (4 + 1) 0.85 is more than there are; (8 + 1) 0.85 = 7.65: the eighth of all eight in units of
    // their means 2.5 and 5, 1.6.
    s = forecast(m, 2, {0.85});
    EXPECT_DOUBLE_EQ(s.upper[0], 10 + 1.6 * 2.5);
    EXPECT_DOUBLE_EQ(s.upper[1], 10 + 1.6 * 5);
    s = forecast(m, 1, {0.95});
    EXPECT_EQ(s.flags[0], kForecastNoInterval);
    m.scores.assign(8, 0.0);
    EXPECT_DOUBLE_EQ(forecast(m, 1, {0.6}).upper[0], 10);
    m.scores.clear();
    m.n_scores = 0;
    EXPECT_EQ(forecast(m, 1, {0.6}).flags[0], kForecastNoInterval);
}

TEST(ForecastModel, bootstrap_draws_the_residuals) {
    ForecastModel m = model_of({level_fit(10, 4)});
    m.intervals = IntervalMethod::bootstrap;
    m.residuals = {-1, 1};
    m.seed = 5;
    Steps s = forecast(m, 2, {0.9});
    EXPECT_EQ(s.lower[0], 9);
    EXPECT_EQ(s.upper[0], 11);
    EXPECT_EQ(s.lower[1], 8);  // a quarter of the paths each of 8 and 12
    EXPECT_EQ(s.upper[1], 12);
    s = forecast(m, 2, {0.4});
    EXPECT_EQ(s.lower[1], 10);
    // Members are hit by the same times: their combination's errors do not cancel.
    ForecastModel two = model_of({level_fit(10, 4), level_fit(20, 4)}, Combination::mean);
    two.intervals = IntervalMethod::bootstrap;
    two.residuals = {-1, 1, -3, 3};
    s = forecast(two, 1, {0.9});
    EXPECT_EQ(s.lower[0], 13);
    EXPECT_EQ(s.upper[0], 17);
    m.residuals.clear();
    EXPECT_NEAR(forecast(m, 1, {0.95}).upper[0], 10 + 2 * kZ95, 1e-12);  // analytic
}

TEST(ForecastModel, bootstrap_is_near_the_variance_and_follows_the_seed_alone) {
    const Doubles y = seasonal_series(144, 12);
    ForecastWorkspace workspace;
    for (const ForecastMethod method :
         {ForecastMethod::holt_winters, ForecastMethod::ses, ForecastMethod::theta,
          ForecastMethod::arima, ForecastMethod::naive, ForecastMethod::mstl}) {
        MethodFit fit;
        ASSERT_EQ(fit_method(spec_of(method), {y, kMonths}, {}, workspace, fit),
                  ForecastStatus::ok);
        ForecastModel m = model_of({fit});
        m.seed = 1;
        const Steps analytic = forecast(m, 12, {0.5});
        m.intervals = IntervalMethod::bootstrap;
        set_residuals(m, {y, kMonths});
        ASSERT_GT(m.residuals.size(), 100U);
        const Steps a = forecast(m, 12, {0.5}), again = forecast(m, 12, {0.5});
        EXPECT_TRUE(same_bits(a.lower, again.lower) && same_bits(a.upper, again.upper));
        m.seed = 2;
        EXPECT_FALSE(same_bits(a.lower, forecast(m, 12, {0.5}).lower));
        for (std::size_t h = 6; h < 12; ++h) {  // the sum of several is nearly normal
            const double ratio =
                (a.upper[h] - a.lower[h]) / (analytic.upper[h] - analytic.lower[h]);
            EXPECT_GT(ratio, 0.6) << method_name(method) << h;
            EXPECT_LT(ratio, 1.6) << method_name(method) << h;
        }
    }
}

// --- Bounds, rounding, flags ----------------------------------------------------------------------

TEST(ForecastModel, rounded_outward_and_cut_at_the_bounds) {
    ForecastModel m = model_of({level_fit(2.4, 1)});
    m.round = true;
    Steps s = forecast(m, 1);
    EXPECT_EQ(s.mean[0], 2);
    EXPECT_EQ(s.lower[0], 0);  // 0.44
    EXPECT_EQ(s.upper[0], 5);  // 4.36
    m.lower_bound = 0.5;       // the whole numbers from 1
    m.upper_bound = 4.9;
    s = forecast(m, 1);
    EXPECT_EQ(s.lower[0], 1);
    EXPECT_EQ(s.upper[0], 4);
    EXPECT_EQ(s.flags[0], 0);
    m.round = false;
    m.lower_bound = 3;
    s = forecast(m, 1);
    EXPECT_EQ(s.mean[0], 3);
    EXPECT_EQ(s.lower[0], 3);
    EXPECT_EQ(s.upper[0], 2.4 + kZ95);
    EXPECT_EQ(s.flags[0], kForecastBounded);
    m.upper_bound = 3.5;
    EXPECT_EQ(forecast(m, 1).upper[0], 3.5);
    m = model_of({level_fit(-2.5, 1)});
    m.round = true;
    EXPECT_EQ(forecast(m, 1).mean[0], -3);
    m.lower_bound = 0;
    s = forecast(m, 1);
    EXPECT_EQ(s.mean[0], 0);
    EXPECT_EQ(s.lower[0], 0);
    EXPECT_EQ(s.flags[0], kForecastBounded);
}

// --- Quantiles ------------------------------------------------------------------------------------

TEST(ForecastModel, quantiles_of_a_variance) {
    const Doubles q = quantiles(model_of({level_fit(5, 4)}), 2, {0.025, 0.5, 0.9});
    EXPECT_NEAR(q[0], 5 - kZ95 * 2, 1e-12);
    EXPECT_EQ(q[1], 5);
    EXPECT_NEAR(q[2], 5 + 1.2815515655446004 * 2, 1e-12);
    EXPECT_NEAR(q[5], 5 + 1.2815515655446004 * std::sqrt(8.0), 1e-12);  // step 2
    // Far tails are far, not infinite.
    const Doubles far = quantiles(model_of({level_fit(5, 4)}), 1, {5e-324, 0.5});
    EXPECT_TRUE(std::isfinite(far[0]) && far[0] < -60);
}

TEST(ForecastModel, quantiles_of_members_are_combined) {
    const ForecastModel m =
        model_of({level_fit(1, 1), level_fit(4, 1), level_fit(2, kNaN)}, Combination::mean);
    const Doubles q = quantiles(m, 1, {0.025, 0.5});
    EXPECT_NEAR(q[0], 2.5 - kZ95, 1e-12);
    EXPECT_NEAR(q[1], 7.0 / 3, 1e-12);  // the forecast
}

TEST(ForecastModel, conformal_quantiles_ascend_from_the_forecast_outward) {
    ForecastModel m = model_of({level_fit(0, 1)});
    m.intervals = IntervalMethod::conformal;
    m.conformal_steps = 2;
    m.n_scores = 4;
    m.scores = {1, 2, 3, 10, 1, 1, 1, 1};
    // 80 %: the fourth of four; 96 %: of all steps in units of their means, 4 and 1, the eighth of
    // eight is none; 88 %: the eighth of eight, 2.5 x 4.
    const Doubles q = quantiles(m, 1, {0.02, 0.06, 0.1, 0.3, 0.5, 0.7, 0.9});
    EXPECT_TRUE(std::isnan(q[0]));
    EXPECT_EQ(q[1], -10);
    EXPECT_EQ(q[2], -10);
    EXPECT_EQ(q[3], -2);
    EXPECT_EQ(q[4], 0);
    EXPECT_EQ(q[5], 2);
    EXPECT_EQ(q[6], 10);
    // The errors of all steps may be narrower than those of one: the order is kept.
    m.conformal_steps = 4;
    m.scores = {1, 1, 1, 10, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    EXPECT_EQ(quantiles(m, 1, {0.91}), (Doubles{3.25}));
    EXPECT_EQ(quantiles(m, 1, {0.9, 0.91}), (Doubles{10, 10}));
}

TEST(ForecastModel, bootstrap_quantiles_are_those_of_the_paths) {
    ForecastModel m = model_of({level_fit(10, 1)});
    m.intervals = IntervalMethod::bootstrap;
    m.seed = 7;
    m.residuals = {-1, -1, -1, -1, -1, -1, -1, -1, -1, 9};  // skewed: the mean is not the median
    const Doubles q = quantiles(m, 1, {0.1, 0.5, 0.8, 0.99});
    EXPECT_EQ(q, (Doubles{9, 9, 9, 19}));
    // Rounded, cut, in order.
    m.round = true;
    m.upper_bound = 15.5;
    EXPECT_EQ(quantiles(m, 1, {0.1, 0.99}), (Doubles{9, 15}));
}

TEST(ForecastModel, quantiles_are_rounded_outward_and_cut) {
    ForecastModel m = model_of({level_fit(5.4, 4)});
    m.round = true;
    m.lower_bound = 2;
    EXPECT_EQ(quantiles(m, 1, {0.025, 0.1, 0.5, 0.9}), (Doubles{2, 2, 5, 8}));
    // No -0.
    m = model_of({level_fit(-0.2, 0)});
    m.round = true;
    const Steps s = forecast(m, 1);
    EXPECT_FALSE(std::signbit(s.mean[0]) || std::signbit(s.upper[0]));
    for (const double q : quantiles(m, 1, {0.5, 0.9})) EXPECT_FALSE(std::signbit(q));
}

TEST(ForecastModel, no_interval_no_quantiles) {
    ForecastModel m = model_of({level_fit(5, kNaN)});
    for (const double q : quantiles(m, 2, {0.1, 0.5})) EXPECT_TRUE(std::isnan(q));
    m = model_of({level_fit(5, 4)});
    m.intervals = IntervalMethod::none;
    for (const double q : quantiles(m, 2, {0.1, 0.5})) EXPECT_TRUE(std::isnan(q));
}

TEST(ForecastModel, quantiles_are_checked) {
    const ForecastModel m = model_of({level_fit(5, 4)});
    for (const Doubles& p :
         {Doubles{0}, Doubles{1}, Doubles{0.5, 0.5}, Doubles{0.9, 0.1}, Doubles{kNaN}}) {
        EXPECT_THROW((void)quantiles(m, 1, p), Error);
    }
    Doubles mean(1), found(3);
    const Doubles p = {0.1, 0.9};
    std::vector<std::uint8_t> flags(1);
    EXPECT_EQ(forecast_model(m, {}, {}, {}, {mean, {}, {}, flags, p, found}),
              ForecastStatus::not_admissible);
}

TEST(ForecastModel, forecasts_far_from_the_series_are_explosive) {
    ForecastModel m = model_of({level_fit(60, 1)});
    m.smallest = 5;
    m.largest = 10;
    EXPECT_EQ(forecast(m, 1).flags[0], 0);  // ten ranges above
    m.members[0] = level_fit(60.1, 1);
    EXPECT_EQ(forecast(m, 1).flags[0], kForecastExplosive);
    m.upper_bound = 20;  // flagged although it is cut
    EXPECT_EQ(forecast(m, 1).flags[0], kForecastExplosive | kForecastBounded);
    m.upper_bound = kNaN;
    m.members[0] = level_fit(-45.1, 1);
    EXPECT_EQ(forecast(m, 1).flags[0], kForecastExplosive);
    m.members[0] = level_fit(7, 1);
    m.smallest = m.largest = 7;
    EXPECT_EQ(forecast(m, 1).flags[0], 0);
    m.members[0] = level_fit(8, 1);
    EXPECT_EQ(forecast(m, 1).flags[0], kForecastExplosive);
    m.smallest = -1.7e308;
    m.largest = 1.7e308;
    EXPECT_EQ(forecast(m, 1).flags[0], 0);
}

}  // namespace
}  // namespace many::core
