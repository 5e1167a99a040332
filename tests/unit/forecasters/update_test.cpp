// Stored forecasters moved forward: against fits of the whole series, and what asks for a fit instead.
#include <gtest/gtest.h>

#include "unit/forecasters/trainer_support.h"

namespace many::core {
namespace {

using test::plain_spec;
using test::rows_of;
using test::RowTable;
using test::train;
using test::Trained;
using test::with_season;

struct Appended {
    bool moved = false;
    GroupResult result;
    ForecastModel model;
};

Appended append(const ForecastSpec& spec, const ForecastModel& model, RowTable rows) {
    ForecastTrainer trainer;
    Appended out;
    out.moved = trainer.append_rows(spec, {}, model, rows.data.data(), rows.size(), rows.stride(),
                                    out.result);
    if (out.moved) {
        decode_forecast_model(out.result.model.data(), out.result.model.size(), out.model);
    }
    return out;
}

// Rows t = from + 1 .. of y, in any order.
RowTable behind(const std::vector<double>& y, std::size_t from) {
    RowTable rows;
    for (std::size_t t = from; t < y.size(); ++t) rows.add(static_cast<std::int64_t>(t + 1), y[t]);
    rows.shuffle(7);
    return rows;
}

void expect_same_forecasts(const ForecastModel& a, const ForecastModel& b, const char* what,
                           std::size_t steps = 20) {
    const test::Steps x = test::forecast(a, steps), y = test::forecast(b, steps);
    for (std::size_t h = 0; h < steps; ++h) {
        EXPECT_NEAR(x.mean[h], y.mean[h], 1e-10 * std::fabs(y.mean[h])) << what << ", step " << h;
        EXPECT_EQ(time_at(a.grid, a.n + static_cast<std::int64_t>(h), {}),
                  time_at(b.grid, b.n + static_cast<std::int64_t>(h), {}));
    }
}

// A spec whose fits of the whole series are the filter over it: parameters given, start by textbook.
ForecastSpec fixed_spec(ForecastMethod method) {
    ForecastSpec spec = with_season(plain_spec(method), 6);
    spec.method.alpha = 0.3;
    spec.method.beta = 0.1;
    spec.method.gamma = 0.15;
    spec.method.phi = 0.9;
    spec.method.start = EtsOptions::Start::textbook;
    return spec;
}

TEST(ForecastUpdate, updated_smoothing_is_a_fit_with_the_same_parameters) {
    const std::vector<double> y = test::seasonal_series(70, 6, 5);
    for (const ForecastMethod method :
         {ForecastMethod::ses, ForecastMethod::holt, ForecastMethod::damped_holt,
          ForecastMethod::holt_winters}) {
        for (const bool multiplicative : {false, true}) {
            ForecastSpec spec = fixed_spec(method);
            spec.method.multiplicative_season = multiplicative;
            Trained old = train(spec, rows_of({y.begin(), y.begin() + 47}));
            ASSERT_EQ(old.result.status, FitStatus::ok) << old.result.message;
            // Twice, by parts that are no whole seasons.
            const Appended once = append(spec, old.model, behind({y.begin(), y.begin() + 52}, 47));
            ASSERT_TRUE(once.moved) << method_name(method);
            const Appended twice = append(spec, once.model, behind(y, 52));
            ASSERT_TRUE(twice.moved) << method_name(method);
            const Trained whole = train(spec, rows_of(y));
            EXPECT_EQ(twice.model.n, 70);
            EXPECT_EQ(twice.result.rows_used, 70);
            EXPECT_EQ(twice.model.largest, whole.model.largest);
            EXPECT_EQ(twice.model.smallest, whole.model.smallest);
            // Of (M,A,M) the mean of later seasons has the variance of the errors in it, which stays.
            expect_same_forecasts(twice.model, whole.model, method_name(method),
                                  multiplicative ? 6 : 20);
        }
    }
}

TEST(ForecastUpdate, members_of_an_ensemble_move_together) {
    const std::vector<double> y = test::seasonal_series(60, 6, 8);
    ForecastSpec spec = with_season(plain_spec(ForecastMethod::ensemble), 6);
    spec.combination = Combination::mean;
    spec.n_candidates = 2;
    spec.candidates[0].method = ForecastMethod::seasonal_naive;
    spec.candidates[1].method = ForecastMethod::drift;
    const Trained old = train(spec, rows_of({y.begin(), y.begin() + 50}));
    const Appended moved = append(spec, old.model, behind(y, 50));
    ASSERT_TRUE(moved.moved);
    expect_same_forecasts(moved.model, train(spec, rows_of(y)).model, "ensemble");
    // One that cannot move keeps them all.
    spec.candidates[1].method = ForecastMethod::window_average;
    const Trained window = train(spec, rows_of({y.begin(), y.begin() + 50}));
    EXPECT_FALSE(append(spec, window.model, behind(y, 50)).moved);
    ForecastModel model = window.model;
    EXPECT_FALSE(move_forward(model, {}, std::span(y).subspan(50), {}));
    EXPECT_EQ(model.n, 50);
    expect_same_forecasts(model, window.model, "as it was");
}

TEST(ForecastUpdate, what_was_measured_stays) {
    const std::vector<double> y = test::seasonal_series(60, 6, 9);
    ForecastSpec spec =
        test::hold_out(with_season(plain_spec(ForecastMethod::seasonal_naive), 6), 8);
    spec.intervals = IntervalMethod::conformal;
    const Trained old = train(spec, rows_of({y.begin(), y.begin() + 55}));
    const Appended moved = append(spec, old.model, behind(y, 55));
    ASSERT_TRUE(moved.moved);
    EXPECT_EQ(moved.model.scores, old.model.scores);
    EXPECT_EQ(moved.model.mase_scale, old.model.mase_scale);
    const StepMetrics &a = moved.model.total[1], &b = old.model.total[1];
    EXPECT_EQ(a.n, b.n);
    EXPECT_EQ(a.rmse, b.rmse);
    EXPECT_EQ(moved.model.holdout.size(), old.model.holdout.size());
    EXPECT_EQ(moved.result.comparison.baseline.n_rows, 0);
}

TEST(ForecastUpdate, gaps_and_duplicates_behind_the_end_are_those_of_a_fit) {
    for (const FillPolicy fill : {FillPolicy::zero, FillPolicy::forward, FillPolicy::interpolate}) {
        for (const DuplicatePolicy duplicates :
             {DuplicatePolicy::sum, DuplicatePolicy::mean, DuplicatePolicy::last}) {
            ForecastSpec spec = fixed_spec(ForecastMethod::holt);
            spec.grid.fill = fill;
            spec.grid.duplicates = duplicates;
            RowTable first = rows_of({5, 7, 6, 9, 8, 11}), all = first, more;
            for (const auto& [time, value] :
                 {std::pair{7, 10.0}, {9, 14.0}, {12, 13.0}, {12, 15.0}, {13, 12.0}}) {
                more.add(time, value);
                all.add(time, value);
            }
            const Appended moved = append(spec, train(spec, first).model, more);
            ASSERT_TRUE(moved.moved);
            const Trained whole = train(spec, all);
            EXPECT_EQ(moved.model.n, 13);
            EXPECT_EQ(moved.model.n_filled, whole.model.n_filled);
            EXPECT_EQ(moved.model.n_merged, whole.model.n_merged);
            EXPECT_EQ(moved.result.rows_used, whole.result.rows_used);
            expect_same_forecasts(moved.model, whole.model, "gaps");
        }
    }
}

TEST(ForecastUpdate, a_longer_series_may_want_a_fit) {
    const std::vector<double> y = test::seasonal_series(40, 6, 4);
    const ForecastSpec spec = with_season(plain_spec(ForecastMethod::holt_winters), 6);
    const Trained stepped = train(spec, rows_of({y.begin(), y.begin() + 7}));
    ASSERT_GT(stepped.model.rung, 0);
    EXPECT_FALSE(append(spec, stepped.model, behind(y, 7)).moved);

    ForecastSpec zeros = plain_spec(ForecastMethod::naive);
    const Trained all_zero = train(zeros, rows_of({0, 0, 0, 0}));
    EXPECT_TRUE(append(zeros, all_zero.model, behind({0, 0, 0, 0, 3}, 4)).moved);
    zeros.grid.trim_leading_zeros = true;  // then all of them are leading ones
    EXPECT_FALSE(append(zeros, all_zero.model, behind({0, 0, 0, 0, 3}, 4)).moved);
}

TEST(ForecastUpdate, values_that_a_model_does_not_allow_leave_it_as_it_was) {
    ForecastSpec spec = fixed_spec(ForecastMethod::holt_winters);
    spec.method.multiplicative_season = true;
    const Trained old = train(spec, rows_of(test::seasonal_series(30, 6, 2)));
    ASSERT_EQ(old.result.status, FitStatus::ok) << old.result.message;
    ForecastModel model = old.model;
    EXPECT_FALSE(move_forward(model, {}, std::vector<double>{100, -1e6, 100}, {}));
    EXPECT_EQ(model.n, 30);
    expect_same_forecasts(model, old.model, "as it was");
    EXPECT_TRUE(move_forward(model, {}, {}, {}));
    expect_same_forecasts(model, old.model, "nothing new");
}

}  // namespace
}  // namespace many::core
