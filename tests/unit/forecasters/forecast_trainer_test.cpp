// From rows to a stored forecaster: metrics by hand, statuses and their messages, the choice among
// candidates, ensembles.
#include "core/learners/forecast_trainer.h"

#include <gtest/gtest.h>

#include <limits>

#include "unit/forecasters/trainer_support.h"

namespace many::core {
namespace {

using test::plain_spec;
using test::rows_of;
using test::RowTable;
using test::train;
using test::Trained;

constexpr double kTiny = 1e-12;

TEST(ForecastTrainer, holdout_of_naive_by_hand) {
    const Trained t =
        train(test::hold_out(plain_spec(ForecastMethod::naive), 2), rows_of({1, 3, 2, 5, 4}));
    ASSERT_EQ(t.result.status, FitStatus::ok) << t.result.message;
    EXPECT_EQ(t.result.rows_used, 5);
    EXPECT_EQ(t.result.rows_skipped, 0);
    // Training part 1, 3, 2: forecasts 2, 2 of 5, 4.
    const StepMetrics& m = t.total(ForecastSplit::holdout);
    EXPECT_EQ(m.n, 2);
    EXPECT_NEAR(m.rmse, std::sqrt(6.5), kTiny);
    EXPECT_NEAR(m.mae, 2.5, kTiny);
    EXPECT_NEAR(m.bias, -2.5, kTiny);
    EXPECT_NEAR(m.mape, (3.0 / 5 + 2.0 / 4) / 2, kTiny);
    EXPECT_NEAR(m.smape, (6.0 / 7 + 4.0 / 6) / 2, kTiny);
    EXPECT_NEAR(m.mase, 2.5 / 1.5, kTiny);
    EXPECT_NEAR(m.rmsse, std::sqrt(6.5 / 2.5), kTiny);
    EXPECT_NEAR(m.owa, 1, kTiny);
    EXPECT_NEAR(m.r2, 1 - 13 / 0.5, 1e-9);
    EXPECT_EQ(m.coverage, 1);
    const double width = 2 * 1.959963984540054 * std::sqrt(2.5);
    EXPECT_NEAR(m.winkler, width * (1 + std::sqrt(2.0)) / 2, 1e-9);
    ASSERT_EQ(t.model.holdout.size(), 2U);
    EXPECT_NEAR(t.model.holdout[0].mae, 3, kTiny);
    EXPECT_NEAR(t.model.holdout[1].bias, -2, kTiny);
    EXPECT_EQ(t.result.comparison.baseline.n_rows, 2);
    EXPECT_NEAR(t.result.comparison.baseline.rmse, std::sqrt(6.5), kTiny);
    // One-step errors of the final fit.
    const StepMetrics& in = t.total(ForecastSplit::train);
    EXPECT_EQ(in.n, 4);
    EXPECT_NEAR(in.mae, 7.0 / 4, kTiny);
    EXPECT_NEAR(in.mase, 1, kTiny);
    EXPECT_NEAR(t.model.mase_scale, 1.75, kTiny);
    EXPECT_EQ(t.model.n, 5);
    EXPECT_EQ(t.total(ForecastSplit::cv).n, 0);
    EXPECT_EQ(test::forecast(t.model, 3).mean, (std::vector<double>{4, 4, 4}));
}

TEST(ForecastTrainer, interval_score_charges_misses) {
    // Training part 1, 2, 1, 2: s2 = 1; then 12: 10 away, outside.
    const Trained t =
        train(test::hold_out(plain_spec(ForecastMethod::naive), 1), rows_of({1, 2, 1, 2, 12}));
    const StepMetrics& m = t.total(ForecastSplit::holdout);
    EXPECT_EQ(m.coverage, 0);
    EXPECT_NEAR(m.winkler, 2 * 1.959963984540054 + 40 * (10 - 1.959963984540054), 1e-8);
}

TEST(ForecastTrainer, holdout_sizes) {
    const auto held = [](HoldoutSpec h, int n) {
        ForecastSpec spec = plain_spec(ForecastMethod::naive, 1000);
        spec.holdout = h;
        return train(spec, rows_of(test::seasonal_series(n, 7, 1))).total(ForecastSplit::holdout).n;
    };
    HoldoutSpec h;
    h.fraction = 0.2;
    EXPECT_EQ(held(h, 30), 6);
    EXPECT_EQ(held(h, 31), 7);
    EXPECT_EQ(held(h, 1), 0);  // nothing would be left
    h.fraction = 0.1;
    EXPECT_EQ(held(h, 30), 3);
    h.kind = HoldoutSpec::Kind::rows;
    h.rows = 5;
    EXPECT_EQ(held(h, 6), 5);
    EXPECT_EQ(held(h, 5), 0);
    h.kind = HoldoutSpec::Kind::since;
    h.since = 28;  // times are 1 .. n
    EXPECT_EQ(held(h, 30), 3);
    h.since = 100;
    EXPECT_EQ(held(h, 30), 0);
}

TEST(ForecastTrainer, steps_beyond_the_horizon_count_in_total_only) {
    const Trained t = train(test::hold_out(plain_spec(ForecastMethod::naive, 3), 10),
                            rows_of(test::seasonal_series(40, 7, 1)));
    EXPECT_EQ(t.model.holdout.size(), 3U);
    EXPECT_EQ(t.total(ForecastSplit::holdout).n, 10);
}

TEST(ForecastTrainer, filled_observations_do_not_count) {
    ForecastSpec spec = test::hold_out(plain_spec(ForecastMethod::naive), 4);
    spec.grid.fill = FillPolicy::zero;
    RowTable rows;
    for (const int t : {1, 2, 3, 4, 5, 7, 8}) rows.add(t, t == 7 ? 9.0 : 5.0);
    const Trained t = train(spec, rows);
    ASSERT_EQ(t.result.status, FitStatus::ok);
    EXPECT_EQ(t.model.n, 8);
    EXPECT_EQ(t.model.n_filled, 1);
    EXPECT_EQ(t.result.rows_used, 7);
    const StepMetrics& m = t.total(ForecastSplit::holdout);
    EXPECT_EQ(m.n, 3);
    EXPECT_NEAR(m.mae, 4.0 / 3, kTiny);
    EXPECT_EQ(t.model.holdout[1].n, 0);
    EXPECT_TRUE(std::isnan(m.mase));  // the training part is constant
}

TEST(ForecastTrainer, missing_targets_are_skipped_rows) {
    ForecastSpec spec = plain_spec(ForecastMethod::naive);
    spec.grid.fill = FillPolicy::forward;
    RowTable rows = rows_of({1, 2, 3, 4});
    rows.data[2 * 2] = null_value();
    rows.data[3 * 2] = null_value();  // behind the last value: not part of the series
    const Trained t = train(spec, rows);
    ASSERT_EQ(t.result.status, FitStatus::ok) << t.result.message;
    EXPECT_EQ(t.result.rows_skipped, 2);
    EXPECT_EQ(t.result.rows_used, 2);
    EXPECT_EQ(t.model.n, 2);
}

TEST(ForecastTrainer, rows_can_be_used_again) {  // after an interrupt
    ForecastTrainer trainer;
    RowTable rows = rows_of({1, 2, 3, 5, 4});
    rows.data[1 * 2 + 1] = null_value();  // no time
    rows.data[0 * 2 + 1] = std::bit_cast<double>(std::int64_t{2});
    GroupResult first, second;
    const ForecastSpec spec = plain_spec(ForecastMethod::mean);
    for (GroupResult* r : {&first, &second}) {
        trainer.fit_rows(spec, {}, rows.data.data(), rows.size(), rows.stride(), {}, *r);
        EXPECT_EQ(r->status, FitStatus::ok) << r->message;
        EXPECT_EQ(r->rows_skipped, 1);
        EXPECT_EQ(r->rows_used, 4);
    }
    EXPECT_EQ(first.model, second.model);
}

TEST(ForecastTrainer, order_of_rows_changes_no_bit) {
    for (const ForecastMethod method : {ForecastMethod::ets, ForecastMethod::auto_forecast,
                                        ForecastMethod::ensemble, ForecastMethod::arima}) {
        ForecastSpec spec = test::with_season(test::hold_out(plain_spec(method, 6), 6), 6);
        spec.grid.duplicates = DuplicatePolicy::mean;
        spec.backtest.folds = 2;
        RowTable rows = rows_of(test::seasonal_series(48, 6, 5));
        for (int k = 0; k < 5; ++k) rows.add(7 * k + 3, 90.0 + 0.1 * k);
        const Trained first = train(spec, rows);
        ASSERT_EQ(first.result.status, FitStatus::ok) << first.result.message;
        for (const std::uint64_t seed : {1, 2}) {
            rows.shuffle(seed);
            EXPECT_EQ(train(spec, rows).result.model, first.result.model) << method_name(method);
        }
    }
}

TEST(ForecastTrainer, one_trainer_for_many_groups) {
    ForecastTrainer trainer;
    const ForecastSpec spec =
        test::with_season(test::hold_out(plain_spec(ForecastMethod::auto_forecast, 6), 6), 6);
    for (const std::uint64_t seed : {1, 2, 1}) {
        RowTable rows = rows_of(test::seasonal_series(seed == 1 ? 48 : 30, 6, seed));
        GroupResult result;
        trainer.fit_rows(spec, {}, rows.data.data(), rows.size(), rows.stride(), {}, result);
        EXPECT_EQ(result.model, train(spec, rows).result.model);
    }
}

TEST(ForecastTrainer, series_statuses) {
    const auto outcome = [](const ForecastSpec& spec, const RowTable& rows) {
        return train(spec, rows).result;
    };
    const ForecastSpec spec = plain_spec(ForecastMethod::naive);
    RowTable gap;
    for (const int t : {1, 2, 3, 5, 6, 9}) gap.add(t, t);
    GroupResult r = outcome(spec, gap);
    EXPECT_EQ(r.status, FitStatus::irregular_series);
    EXPECT_EQ(r.message, "the series has no value at {time:4} and 2 more times, at a step of 1");
    EXPECT_EQ(r.hint,
              "Set option fill to \"zero\", \"forward\", \"interpolate\" or \"null\", or frequency "
              "if the "
              "step is another.");

    RowTable twice = rows_of({1, 2, 3, 4});
    twice.add(2, 7);
    twice.add(2, 8);
    twice.add(3, 8);
    r = outcome(spec, twice);
    EXPECT_EQ(r.status, FitStatus::irregular_series);
    EXPECT_EQ(r.message, "the series has 3 rows of the time {time:2} and 1 more duplicate");
    EXPECT_NE(r.hint.find("Set option duplicates to"), std::string::npos);

    ForecastSpec tens = spec;
    tens.grid.step.units = 10;
    RowTable off;
    for (const int t : {10, 20, 33, 40}) off.add(t, t);
    r = outcome(tens, off);
    EXPECT_EQ(r.status, FitStatus::irregular_series);
    EXPECT_EQ(r.message, "the time {time:33} is not on the grid of the step 10");
    EXPECT_NE(r.hint.find("Set option frequency"), std::string::npos);

    ForecastSpec inferred = spec;
    inferred.grid.step.units = 0;
    r = outcome(inferred, rows_of({4}));
    EXPECT_EQ(r.status, FitStatus::too_few_rows);
    EXPECT_EQ(r.message,
              "the series has the one time {time:1}, from which no step can be inferred");
    EXPECT_EQ(r.hint, "Set option frequency, for example to \"day\".");

    ForecastSpec limited = spec;
    limited.max_length = 100;
    limited.grid.fill = FillPolicy::zero;
    RowTable far = rows_of({1, 2, 3});
    far.add(1000, 4);
    r = outcome(limited, far);
    EXPECT_EQ(r.status, FitStatus::irregular_series);
    EXPECT_EQ(r.message,
              "with the time {time:1000} the series has more than 100 observations at a step of 1");

    ForecastSpec stamps = spec;
    stamps.grid.type = TimeType::timestamp;
    RowTable infinite = rows_of({1, 2, 3});
    infinite.add(std::numeric_limits<std::int64_t>::max(), 4);
    r = outcome(stamps, infinite);
    EXPECT_EQ(r.status, FitStatus::not_finite_input);
    EXPECT_EQ(r.message, "the time {time:9223372036854775807} is not finite");

    r = outcome(spec, rows_of({null_value(), null_value()}));
    EXPECT_EQ(r.status, FitStatus::too_few_rows);
    EXPECT_EQ(r.message, "target {target} has no value");
    EXPECT_EQ(r.rows_skipped, 2);

    r = outcome(spec, rows_of({1, std::nan(""), std::numeric_limits<double>::infinity()}));
    EXPECT_EQ(r.status, FitStatus::not_finite_input);
    EXPECT_EQ(r.message, "target {target} is NaN or infinite in 2 rows");

    ForecastSpec many = spec;
    many.min_rows = 5;
    r = outcome(many, rows_of({1, 2, 3}));
    EXPECT_EQ(r.status, FitStatus::too_few_rows);
    EXPECT_EQ(r.message, "the series has 3 values, fewer than min_rows = 5");
}

TEST(ForecastTrainer, fit_statuses) {
    ForecastSpec croston = plain_spec(ForecastMethod::croston);
    GroupResult r = train(croston, rows_of({1, 0, -2, 3})).result;
    EXPECT_EQ(r.status, FitStatus::no_forecast);
    EXPECT_EQ(r.message,
              "croston needs values of at least 0, and target {target} is -2 at {time:3}");
    ForecastSpec winters = test::with_season(plain_spec(ForecastMethod::holt_winters), 4);
    winters.method.multiplicative_season = true;
    std::vector<double> y = test::seasonal_series(40, 4, 3);
    y[17] = 0;
    r = train(winters, rows_of(y)).result;
    EXPECT_EQ(r.status, FitStatus::no_forecast);
    EXPECT_EQ(r.message,
              "holt_winters needs values above 0, and target {target} is 0 at {time:18}");
    ForecastSpec wrong = plain_spec(ForecastMethod::ses);
    wrong.method.alpha = 2;
    r = train(wrong, rows_of(test::seasonal_series(40, 4, 3))).result;
    EXPECT_EQ(r.status, FitStatus::no_forecast);
    EXPECT_EQ(r.message, "ses has no forecast with the parameters given");
}

TEST(ForecastTrainer, stop_signal) {
    const volatile int raised = 1;
    StopSignal stop;
    stop.flag = &raised;
    const RowTable rows = rows_of(test::seasonal_series(48, 6, 1));
    GroupResult r = train(plain_spec(ForecastMethod::auto_forecast), rows, stop).result;
    EXPECT_EQ(r.status, FitStatus::cancelled);
    EXPECT_TRUE(r.model.empty());
    stop = {};
    stop.deadline_us = 1;
    r = train(plain_spec(ForecastMethod::ensemble), rows, stop).result;
    EXPECT_EQ(r.status, FitStatus::timed_out);
}

TEST(ForecastTrainer, auto_forecast_takes_the_best_of_the_backtest) {
    ForecastSpec spec = plain_spec(ForecastMethod::auto_forecast, 4);
    spec.n_candidates = 3;
    spec.candidates[0].method = ForecastMethod::mean;
    spec.candidates[1].method = ForecastMethod::drift;
    spec.candidates[2].method = ForecastMethod::croston;  // fails: negative values
    std::vector<double> line;
    for (int t = 0; t < 40; ++t) line.push_back(-10.0 + t + (t % 2));
    Trained t = train(spec, rows_of(line));
    ASSERT_EQ(t.result.status, FitStatus::ok);
    ASSERT_EQ(t.model.members.size(), 1U);
    EXPECT_EQ(t.model.members[0].method, ForecastMethod::drift);
    EXPECT_EQ(t.model.asked, ForecastMethod::auto_forecast);
    EXPECT_EQ(t.model.rung, 0);
    // A tie goes to the first.
    t = train(spec, rows_of(std::vector<double>(20, 3.0)));
    EXPECT_EQ(t.model.members[0].method, ForecastMethod::mean);
    // None has a fit: naive.
    spec.candidates[0].method = spec.candidates[1].method = ForecastMethod::sba;
    t = train(spec, rows_of({-1, 2, 3, 4, 5, 6}));
    ASSERT_EQ(t.result.status, FitStatus::ok);
    EXPECT_EQ(t.model.rung, 2);
    EXPECT_EQ(t.model.members[0].method, ForecastMethod::naive);
}

TEST(ForecastTrainer, intermittent_series_may_be_forecast_by_tsb) {
    std::vector<double> y;
    std::mt19937_64 random(7);
    for (int t = 0; t < 80; ++t) {  // demand dies out: all but tsb go on with it
        y.push_back(t < 50 && random() % 4 == 0 ? 5.0 + static_cast<double>(random() % 3) : 0.0);
    }
    ForecastSpec spec = plain_spec(ForecastMethod::auto_forecast, 4);
    const Trained t = train(spec, rows_of(y));
    ASSERT_EQ(t.result.status, FitStatus::ok);
    default_candidates(ForecastMethod::auto_forecast, spec);
    EXPECT_EQ(spec.n_candidates, 4);
    const Trained named = train(spec, rows_of(y));  // named candidates are those, and no other
    EXPECT_NE(named.model.members[0].method, ForecastMethod::tsb);
}

TEST(ForecastTrainer, weights_by_hand) {
    ForecastSpec spec = plain_spec(ForecastMethod::ensemble, 2);
    spec.n_candidates = 2;
    spec.candidates[0].method = ForecastMethod::naive;
    spec.candidates[1].method = ForecastMethod::mean;
    spec.combination = Combination::weighted;
    spec.backtest.folds = 1;
    // Trains on 1, 2, 1, 2, tests on 1, 3: naive's errors 1, -1, mean's 0.5, -1.5.
    Trained t = train(spec, rows_of({1, 2, 1, 2, 1, 3}));
    ASSERT_EQ(t.result.status, FitStatus::ok);
    ASSERT_EQ(t.model.weights.size(), 2U);
    EXPECT_NEAR(t.model.weights[0], 5.0 / 9, kTiny);
    EXPECT_NEAR(t.model.weights[1], 4.0 / 9, kTiny);
    EXPECT_NEAR(test::forecast(t.model, 1).mean[0], 5.0 / 9 * 3 + 4.0 / 9 * 10 / 6, kTiny);
    // Without any error the weight is theirs alone.
    t = train(spec, rows_of({1, 2, 3, 3, 3, 3}));
    EXPECT_EQ(t.model.weights, (std::vector<double>{1, 0}));
    t = train(spec, rows_of({4, 4, 4, 4, 4, 4}));
    EXPECT_EQ(t.model.weights, (std::vector<double>{0.5, 0.5}));
}

TEST(ForecastTrainer, an_ensemble_without_names_is_the_trimmed_mean_of_five) {
    ForecastSpec spec = test::with_season(plain_spec(ForecastMethod::ensemble, 3), 6);
    const Trained t = train(spec, rows_of(test::seasonal_series(60, 6, 5)));
    ASSERT_EQ(t.result.status, FitStatus::ok);
    EXPECT_EQ(t.model.combination, Combination::trimmed);
    using enum ForecastMethod;
    const ForecastMethod five[] = {arima, mstl, dynamic_theta, autoregression, seasonal_naive};
    ASSERT_EQ(t.model.members.size(), std::size(five));
    std::vector<double> at_first;
    for (std::size_t k = 0; k < std::size(five); ++k) {
        EXPECT_EQ(t.model.members[k].method, five[k]);
        double mean = 0, variance = 0;
        ASSERT_EQ(forecast_method(t.model.members[k], {}, {{&mean, 1}, {&variance, 1}}),
                  ForecastStatus::ok);
        at_first.push_back(mean);
    }
    std::sort(at_first.begin(), at_first.end());
    EXPECT_NEAR(test::forecast(t.model, 3).mean[0], (at_first[1] + at_first[2] + at_first[3]) / 3,
                1e-9);

    spec.n_candidates = 2;  // named: the median
    spec.candidates[0].method = naive;
    spec.candidates[1].method = mean;
    EXPECT_EQ(train(spec, rows_of(test::seasonal_series(60, 6, 5))).model.combination,
              Combination::median);
}

TEST(ForecastTrainer, ensembles_go_on_without_the_members_that_fail) {
    ForecastSpec spec = plain_spec(ForecastMethod::ensemble, 2);
    spec.n_candidates = 3;
    spec.candidates[0].method = ForecastMethod::croston;
    spec.candidates[1].method = ForecastMethod::naive;
    spec.candidates[2].method = ForecastMethod::mean;
    spec.combination = Combination::mean;
    Trained t = train(spec, rows_of({-3, 2, 1, 2, 1, 3}));
    ASSERT_EQ(t.result.status, FitStatus::ok);
    EXPECT_EQ(t.model.members.size(), 2U);
    EXPECT_NEAR(test::forecast(t.model, 1).mean[0], (3 + 1) / 2.0, kTiny);
    spec.combination = Combination::median;
    t = train(spec, rows_of({3, 0, 1, 2, 1, 5}));
    EXPECT_EQ(t.model.members.size(), 3U);
    spec.n_candidates = 1;
    t = train(spec, rows_of({-3, 2, 1, 2, 1, 3}));
    EXPECT_EQ(t.model.rung, 2);
}

TEST(ForecastTrainer, features_reach_the_forecast) {
    ForecastSpec spec = test::hold_out(plain_spec(ForecastMethod::arima, 3), 5);
    spec.n_features = 1;
    spec.method.has_order = true;
    std::mt19937_64 random(11);
    std::normal_distribution<double> noise(0, 0.01);
    RowTable rows;
    for (int t = 0; t < 60; ++t) {
        const double x = static_cast<double>((t * 7) % 11);
        rows.add(t, 5 + 2 * x + noise(random), {x});
    }
    const Trained t = train(spec, rows);
    ASSERT_EQ(t.result.status, FitStatus::ok) << t.result.message;
    EXPECT_LT(t.total(ForecastSplit::holdout).mae, 0.05);
    const std::vector<double> future = {0, 10};
    const test::Steps steps = test::forecast(t.model, 2, 0.95, future);
    EXPECT_NEAR(steps.mean[0], 5, 0.05);
    EXPECT_NEAR(steps.mean[1], 25, 0.05);

    for (std::size_t r = 0; r < rows.size(); ++r) rows.data[r * 3] = null_value();
    const GroupResult r = train(spec, rows).result;
    EXPECT_EQ(r.status, FitStatus::null_value);
    EXPECT_EQ(r.message, "feature {0} is NULL in every row");
}

TEST(ForecastTrainer, calendar_of_days) {
    ForecastSpec spec = plain_spec(ForecastMethod::arima, 14);
    spec.grid.type = TimeType::date;
    spec.method.has_order = true;
    spec.method.calendar = true;
    RowTable rows;
    for (int t = 0; t < 700; ++t) rows.add(t, 50 + (t % 7 == 2 ? 20.0 : 0.0) + 0.01 * (t % 3));
    const Trained t = train(test::hold_out(spec, 14), rows);
    ASSERT_EQ(t.result.status, FitStatus::ok) << t.result.message;
    EXPECT_TRUE(t.model.calendar);
    EXPECT_LT(t.total(ForecastSplit::holdout).mae, 0.1);
    EXPECT_NEAR(test::forecast(t.model, 7).mean[(702 - 700) % 7], 70, 0.5);  // day 702 = 2 mod 7
}

TEST(ForecastTrainer, callers_mistakes_throw) {
    const RowTable rows = rows_of({1, 2, 3});
    const auto rejects = [&](auto change) {
        ForecastSpec spec = plain_spec(ForecastMethod::naive);
        change(spec);
        EXPECT_ANY_THROW((void)train(spec, rows));
    };
    rejects([](ForecastSpec& s) { s.method.method = ForecastMethod::none; });
    rejects([](ForecastSpec& s) { s.n_candidates = kMaxCandidates + 1; });
    rejects([](ForecastSpec& s) {
        s.method.method = ForecastMethod::ensemble;
        s.n_candidates = 1;
        s.candidates[0].method = ForecastMethod::auto_forecast;
    });
    rejects([](ForecastSpec& s) { s.horizon = kMaxHorizon + 1; });
    rejects([](ForecastSpec& s) { s.backtest.folds = kMaxBacktestFolds + 1; });
    rejects([](ForecastSpec& s) {
        s.lower_bound = 2;
        s.upper_bound = 1;
    });
}

const std::vector<ForecastMethod>& all_methods() {
    using enum ForecastMethod;
    static const std::vector<ForecastMethod> all = {naive,
                                                    seasonal_naive,
                                                    mean,
                                                    drift,
                                                    window_average,
                                                    seasonal_window_average,
                                                    naive2,
                                                    ses,
                                                    holt,
                                                    damped_holt,
                                                    holt_winters,
                                                    ets,
                                                    theta,
                                                    optimised_theta,
                                                    dynamic_theta,
                                                    arima,
                                                    croston,
                                                    sba,
                                                    tsb,
                                                    adida,
                                                    imapa,
                                                    mstl,
                                                    ces,
                                                    autoregression,
                                                    auto_forecast,
                                                    ensemble};
    return all;
}

// Never a crash, a NaN, or an absurd forecast without its flag; a status says why.
TEST(ForecastTrainer, degenerate_series_through_every_method) {
    constexpr int m = 4;
    std::vector<std::vector<double>> series = {
        {5}, std::vector<double>(12, 0.0), std::vector<double>(12, 7.5)};
    for (int n = 2; n <= 2 * m + 1; ++n) series.push_back(test::seasonal_series(n, m, 9));
    std::vector<double> spike(20, 0.0);
    spike[11] = 100;
    series.push_back(spike);
    series.push_back(std::vector<double>(12, 1e300));
    std::vector<double> huge = test::seasonal_series(20, m, 4);
    for (double& v : huge) v *= 1e298;
    series.push_back(huge);
    huge[7] = -1e300;
    series.push_back(huge);
    for (const ForecastMethod method : all_methods()) {
        for (const IntervalMethod intervals :
             {IntervalMethod::analytic, IntervalMethod::bootstrap, IntervalMethod::conformal}) {
            ForecastSpec spec = test::with_season(test::hold_out(plain_spec(method, 3), 2), m);
            spec.intervals = intervals;
            spec.backtest.folds = 2;
            for (std::size_t i = 0; i < series.size(); ++i) {
                const Trained t = train(spec, rows_of(series[i]));
                const std::string what = std::string(method_name(method)) + ", series " +
                                         std::to_string(i) + ": " + t.result.message;
                if (t.result.status != FitStatus::ok) {
                    EXPECT_FALSE(t.result.message.empty()) << what;
                    EXPECT_TRUE(t.result.model.empty()) << what;
                    continue;
                }
                const test::Steps steps = test::forecast(t.model, 9);
                if (steps.status != ForecastStatus::ok) continue;
                for (std::size_t h = 0; h < 9; ++h) {
                    EXPECT_TRUE(std::isfinite(steps.mean[h]) ||
                                (steps.flags[h] & kForecastNotFinite) != 0)
                        << what << ", step " << h + 1;
                    EXPECT_FALSE(steps.lower[h] > steps.upper[h]) << what;
                }
            }
        }
    }
}

TEST(ForecastTrainer, append_moves_the_state) {
    const std::vector<double> y = test::seasonal_series(60, 6, 21);
    const std::vector<double> before(y.begin(), y.begin() + 50);
    for (const ForecastMethod method : {ForecastMethod::naive, ForecastMethod::seasonal_naive,
                                        ForecastMethod::mean, ForecastMethod::drift}) {
        const ForecastSpec spec = test::with_season(plain_spec(method), 6);
        const Trained old = train(spec, rows_of(before));
        RowTable more;
        for (int t = 50; t < 60; ++t) more.add(t + 1, y[static_cast<std::size_t>(t)]);
        more.shuffle(3);
        ForecastTrainer trainer;
        GroupResult result;
        ASSERT_TRUE(trainer.append_rows(spec, {}, old.model, more.data.data(), more.size(),
                                        more.stride(), result))
            << method_name(method);
        ForecastModel moved;
        decode_forecast_model(result.model.data(), result.model.size(), moved);
        EXPECT_EQ(moved.n, 60);
        EXPECT_EQ(result.rows_used, 60);
        const test::Steps a = test::forecast(moved, 8),
                          b = test::forecast(train(spec, rows_of(y)).model, 8);
        for (std::size_t h = 0; h < 8; ++h) EXPECT_NEAR(a.mean[h], b.mean[h], 1e-9);
    }
}

TEST(ForecastTrainer, append_asks_for_a_refit) {
    const ForecastSpec spec = plain_spec(ForecastMethod::naive);
    const Trained old = train(spec, rows_of({1, 2, 3}));
    const auto appends = [&](ForecastSpec with, const RowTable& rows) {
        ForecastTrainer trainer;
        GroupResult result;
        RowTable copy = rows;
        return trainer.append_rows(with, {}, old.model, copy.data.data(), copy.size(),
                                   copy.stride(), result);
    };
    RowTable next, again, far;
    next.add(4, 9);
    again.add(3, 9);
    far.add(6, 9);
    EXPECT_TRUE(appends(spec, next));
    EXPECT_FALSE(appends(spec, again));  // not behind the end
    EXPECT_FALSE(appends(spec, far));    // a gap, fill: error
    ForecastSpec fill = spec;
    fill.grid.fill = FillPolicy::forward;  // needs the value before the gap
    EXPECT_FALSE(appends(fill, far));
    fill.grid.fill = FillPolicy::zero;
    EXPECT_TRUE(appends(fill, far));
    RowTable bad;
    bad.add(4, std::nan(""));
    EXPECT_FALSE(appends(spec, bad));
    ForecastSpec feature = spec;
    feature.n_features = 1;
    EXPECT_FALSE(appends(feature, next));
}

}  // namespace
}  // namespace many::core
