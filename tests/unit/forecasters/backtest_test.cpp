// Rolling origin: where folds lie, what they may know, the intervals made of their errors.
#include <gtest/gtest.h>

#include <cstring>

#include "core/selection/forecast_metrics.h"
#include "unit/forecasters/trainer_support.h"

namespace many::core {
namespace {

using test::backtest;
using test::Backtested;
using test::plain_spec;
using test::rows_of;
using test::train;
using test::Trained;

std::vector<double> counting(int n) {
    std::vector<double> y;
    for (int t = 0; t < n; ++t) y.push_back(t);
    return y;
}

ForecastSpec naive_backtest(BacktestSpec b, int horizon = 2) {
    ForecastSpec spec = plain_spec(ForecastMethod::naive, horizon);
    spec.backtest = b;
    return spec;
}

// Values are their index: naive's forecast tells where its training part ends.
TEST(Backtest, folds_lie_where_they_are_said_to) {
    BacktestSpec b;
    b.folds = 3;
    const Backtested r = backtest(naive_backtest(b), rows_of(counting(10)));
    ASSERT_EQ(r.result.status, FitStatus::ok) << r.result.message;
    ASSERT_EQ(r.points.size(), 6U);
    for (std::size_t i = 0; i < 6; ++i) {
        const BacktestPoint& p = r.points[i];
        const int fold = static_cast<int>(i / 2), step = static_cast<int>(i % 2) + 1;
        EXPECT_EQ(p.fold, fold);
        EXPECT_EQ(p.step, step);
        EXPECT_EQ(p.at, 10 - 2 * fold - 3 + step);
        EXPECT_EQ(p.actual, static_cast<double>(p.at));
        EXPECT_EQ(p.forecast, p.actual - step);
        EXPECT_LT(p.lower, p.forecast);
        EXPECT_GT(p.upper, p.forecast);
    }
    EXPECT_EQ(time_at(r.grid, r.points[0].at, {}), 9);
}

TEST(Backtest, gap_step_and_window) {
    BacktestSpec b;
    b.folds = 4;
    b.gap = 3;
    b.step = 1;
    b.horizon = 1;
    Backtested r = backtest(naive_backtest(b, 5), rows_of(counting(10)));
    ASSERT_EQ(r.points.size(), 4U);
    for (int i = 0; i < 4; ++i) {
        EXPECT_EQ(r.points[static_cast<std::size_t>(i)].at, 9 - i);
        EXPECT_EQ(r.points[static_cast<std::size_t>(i)].forecast, 9 - i - 4);
    }
    // A window of 3: the mean of three values; expanding: of all.
    ForecastSpec spec = naive_backtest(b, 5);
    spec.method.method = ForecastMethod::mean;
    spec.backtest.gap = 0;
    EXPECT_EQ(backtest(spec, rows_of(counting(10))).points[0].forecast, 4);
    spec.backtest.window = 3;
    r = backtest(spec, rows_of(counting(10)));
    EXPECT_EQ(r.points[0].forecast, 7);
    EXPECT_EQ(r.points[3].forecast, 4);
}

TEST(Backtest, folds_without_training_are_left_out) {
    BacktestSpec b;
    b.folds = 10;
    EXPECT_EQ(backtest(naive_backtest(b), rows_of(counting(7))).points.size(), 6U);
    const Backtested r = backtest(naive_backtest(b, 7), rows_of(counting(7)));
    EXPECT_EQ(r.result.status, FitStatus::too_few_rows);
    EXPECT_EQ(r.result.message, "the series has 7 observations, too few for a fold of horizon 7");
    EXPECT_TRUE(r.points.empty());
}

TEST(Backtest, metrics_of_folds_are_in_the_model) {
    ForecastSpec spec = plain_spec(ForecastMethod::naive, 2);
    spec.backtest.folds = 2;
    const Trained t = train(spec, rows_of({0, 1, 3, 2, 5, 4, 8}));
    ASSERT_EQ(t.result.status, FitStatus::ok);
    // Fold 0: trains on 0 1 3 2 5, tests on 4, 8: errors 1, -3. Fold 1: on 0 1 3, tests
    // on 2, 5: 1, -2. rmsse leaves the leading 0 out of its scale.
    const StepMetrics& m = t.total(ForecastSplit::cv);
    EXPECT_EQ(m.n, 4);
    EXPECT_NEAR(m.mae, 7.0 / 4, 1e-12);
    EXPECT_NEAR(m.mase, (4 / (7.0 / 4) + 3 / 1.5) / 4, 1e-12);
    EXPECT_NEAR(m.rmsse, std::sqrt((10 / (14.0 / 3) + 5 / 4.0) / 4), 1e-12);
    ASSERT_EQ(t.model.cv.size(), 2U);
    EXPECT_NEAR(t.model.cv[0].mae, 1, 1e-12);
    EXPECT_NEAR(t.model.cv[1].bias, -2.5, 1e-12);
    EXPECT_NEAR(m.owa, 1, 1e-12);
}

TEST(Backtest, no_later_value_reaches_an_earlier_fold) {
    const std::vector<double> y = test::seasonal_series(60, 6, 31);
    std::mt19937_64 random(5);
    for (const ForecastMethod method :
         {ForecastMethod::auto_forecast, ForecastMethod::ensemble, ForecastMethod::ets}) {
        for (const IntervalMethod intervals :
             {IntervalMethod::analytic, IntervalMethod::conformal, IntervalMethod::bootstrap}) {
            ForecastSpec spec = test::with_season(plain_spec(method, 4), 6);
            spec.combination = Combination::weighted;
            spec.intervals = intervals;
            spec.backtest.folds = 3;
            const Backtested before = backtest(spec, rows_of(y));
            std::vector<double> changed = y;
            for (std::size_t t = 52; t < 60; ++t) {
                changed[t] = 50 + static_cast<double>(random() % 100);
            }
            const Backtested after = backtest(spec, rows_of(changed));
            ASSERT_EQ(before.points.size(), 12U);
            ASSERT_EQ(after.points.size(), 12U);
            for (std::size_t i = 8; i < 12; ++i) {  // fold 2: trains on 48, tests on 48 .. 51
                const BacktestPoint &a = before.points[i], &b = after.points[i];
                ASSERT_EQ(a.fold, 2);
                EXPECT_EQ(a.forecast, b.forecast) << method_name(method);
                EXPECT_EQ(std::memcmp(&a.lower, &b.lower, 16), 0) << method_name(method);
            }
            EXPECT_NE(before.points[0].forecast, after.points[0].forecast);
        }
    }
}

// The gap was closed with the help of the value behind it, which a fold that ends in it does not
// know.
TEST(Backtest, no_later_value_comes_in_by_interpolation) {
    const auto forecast_with = [](double behind) {
        ForecastSpec spec = plain_spec(ForecastMethod::naive, 3);
        spec.grid.fill = FillPolicy::interpolate;
        spec.backtest.folds = 1;
        test::RowTable rows;
        for (const int t : {1, 2, 3, 4, 5}) rows.add(t, t);
        for (const int t : {9, 10, 11}) rows.add(t, behind);
        return backtest(spec, rows).points;
    };
    const auto a = forecast_with(100), b = forecast_with(-100);
    ASSERT_EQ(a.size(), 3U);
    for (std::size_t i = 0; i < 3; ++i) {
        EXPECT_EQ(a[i].forecast, 5);
        EXPECT_EQ(b[i].forecast, 5);
        EXPECT_EQ(a[i].upper, b[i].upper);
    }
}

TEST(Backtest, the_holdout_has_no_part_in_the_choice) {
    const std::vector<double> y = test::seasonal_series(60, 6, 8);
    ForecastSpec spec =
        test::with_season(test::hold_out(plain_spec(ForecastMethod::auto_forecast, 6), 6), 6);
    const Trained t = train(spec, rows_of(y));
    // The model of the rest alone forecasts the held-out values just as the metrics say.
    const std::vector<double> rest(y.begin(), y.end() - 6);
    spec.holdout.kind = HoldoutSpec::Kind::none;
    const test::Steps steps = test::forecast(train(spec, rows_of(rest)).model, 6);
    double sum = 0;
    for (std::size_t h = 0; h < 6; ++h) {
        sum += std::fabs(steps.mean[h] - y[54 + h]);
        EXPECT_NEAR(t.model.holdout[h].mae, std::fabs(steps.mean[h] - y[54 + h]), 1e-12);
    }
    EXPECT_NEAR(t.total(ForecastSplit::holdout).mae, sum / 6, 1e-12);
}

TEST(Backtest, conformal_scores_are_sorted_errors_by_step) {
    ForecastSpec spec = plain_spec(ForecastMethod::naive, 2);
    spec.intervals = IntervalMethod::conformal;
    spec.backtest.folds = 3;
    spec.backtest.step = 1;
    const Trained t = train(spec, rows_of({0, 0, 0, 0, 1, 3, 8, 4}));
    ASSERT_EQ(t.result.status, FitStatus::ok);
    ASSERT_EQ(t.model.conformal_steps, 2);
    ASSERT_EQ(t.model.n_scores, 3);
    // Origins at 3, 1, 0: steps 8 4, 3 8, 1 3.
    EXPECT_EQ(t.model.scores, (std::vector<double>{1, 2, 5, 1, 3, 7}));
    const test::Steps steps = test::forecast(t.model, 2, 0.5);
    EXPECT_EQ(steps.upper, (std::vector<double>{4 + 2, 4 + 3}));
}

// Values that come in any order alike, forecast by their mean: an interval of 19 errors of 20
// covers 95 %, whatever the distribution; here a skewed one. 4 standard deviations of the share.
TEST(Backtest, conformal_intervals_cover) {
    constexpr int kSeries = 400;
    double inside = 0;
    for (int s = 0; s < kSeries; ++s) {
        std::mt19937_64 random(static_cast<std::uint64_t>(s) + 1000);
        std::exponential_distribution<double> skewed(0.2);
        std::vector<double> y;
        for (int t = 0; t < 80; ++t) y.push_back(skewed(random));
        ForecastSpec spec = test::hold_out(plain_spec(ForecastMethod::mean, 1), 1);
        spec.intervals = IntervalMethod::conformal;
        spec.backtest.folds = 39;
        const Trained t = train(spec, rows_of(y));
        ASSERT_EQ(t.result.status, FitStatus::ok);
        inside += t.total(ForecastSplit::holdout).coverage;
    }
    const double share = inside / kSeries, deviation = std::sqrt(0.95 * 0.05 / kSeries);
    EXPECT_NEAR(share, 0.95, 4 * deviation);
}

TEST(Backtest, bootstrap_intervals_cover) {
    constexpr int kSeries = 300;
    double inside = 0;
    for (int s = 0; s < kSeries; ++s) {
        std::mt19937_64 random(static_cast<std::uint64_t>(s) + 5000);
        std::normal_distribution<double> noise(0, 1);
        std::vector<double> y = {0};
        for (int t = 1; t < 120; ++t) y.push_back(y.back() + noise(random));
        ForecastSpec spec = test::hold_out(plain_spec(ForecastMethod::naive, 1), 1);
        spec.intervals = IntervalMethod::bootstrap;
        inside += train(spec, rows_of(y)).total(ForecastSplit::holdout).coverage;
    }
    const double share = inside / kSeries, deviation = std::sqrt(0.95 * 0.05 / kSeries);
    EXPECT_NEAR(share, 0.95, 4 * deviation);
}

TEST(ForecastMetrics, scale_of_observed_differences) {
    const std::vector<double> y = {0, 0, 4, 9, 4, 7};
    const std::vector<unsigned char> all(6, 1), some = {1, 1, 1, 0, 1, 1};
    EXPECT_NEAR(error_scale(y, all, 1).mase, (0 + 4 + 5 + 5 + 3) / 5.0, 1e-12);
    EXPECT_NEAR(error_scale(y, all, 2).mase, (4 + 9 + 0 + 2) / 4.0, 1e-12);
    // rmsse from the first demand on.
    EXPECT_NEAR(error_scale(y, all, 2).rmsse, std::sqrt((25 + 25 + 9) / 3.0), 1e-12);
    EXPECT_NEAR(error_scale(y, some, 1).mase, (0 + 4 + 3) / 3.0, 1e-12);
    EXPECT_NEAR(error_scale(y, some, 1).rmsse, 3, 1e-12);
    EXPECT_NEAR(error_scale(y, all, 12).mase, (0 + 4 + 5 + 5 + 3) / 5.0, 1e-12);  // shorter than m
    EXPECT_TRUE(std::isnan(error_scale(std::vector<double>{3, 3}, {all.data(), 2}, 1).mase));
    EXPECT_TRUE(std::isnan(error_scale(std::vector<double>{3}, {all.data(), 1}, 1).mase));
}

TEST(ForecastMetrics, huge_errors_do_not_overflow) {
    std::vector<JudgedPoint> points(2);
    for (JudgedPoint& p : points) {
        p.actual = 1e300;
        p.forecast = 9e300;
        p.scale = {1e300, 1e300};
    }
    points[1].actual = 5e300;
    const StepMetrics m = judge_points(points);
    EXPECT_NEAR(m.rmse / 1e300, std::sqrt((64 + 16) / 2.0), 1e-12);
    EXPECT_NEAR(m.mase, 6, 1e-12);
    EXPECT_NEAR(m.rmsse, std::sqrt(40.0), 1e-12);
    EXPECT_NEAR(m.r2, 1 - 80.0 / 8, 1e-12);
}

TEST(ForecastMetrics, zeros) {
    std::vector<JudgedPoint> points(2);
    points[1].forecast = 1;
    const StepMetrics m = judge_points(points);
    EXPECT_TRUE(std::isnan(m.mape));
    EXPECT_EQ(m.smape, 1);  // 0 and 2
    EXPECT_TRUE(std::isnan(m.mase));
    EXPECT_TRUE(std::isnan(m.r2));
    EXPECT_TRUE(std::isnan(m.coverage));
    EXPECT_TRUE(std::isnan(m.owa));
    EXPECT_EQ(judge_points({}).n, 0);
}

}  // namespace
}  // namespace many::core
