// The ladder: what becomes of a series that is too short for what was asked, or has no season.
#include <gtest/gtest.h>

#include "core/learners/forecast_trainer.h"
#include "unit/forecasters/trainer_support.h"

namespace many::core {
namespace {

using test::plain_spec;
using test::rows_of;
using test::RowTable;
using test::train;
using test::Trained;

TEST(ForecastTrainerLadder, ladder_for_short_series) {
    const auto rung = [](ForecastSpec spec, int n) {
        const Trained t =
            train(test::with_season(spec, 12), rows_of(test::seasonal_series(n, 12, 2)));
        EXPECT_EQ(t.result.status, FitStatus::ok) << t.result.message;
        return t.result.status == FitStatus::ok ? int{t.model.rung} : -1;
    };
    const ForecastSpec winters = plain_spec(ForecastMethod::holt_winters);
    EXPECT_EQ(rung(winters, 48), 0);
    EXPECT_EQ(rung(winters, 12), 1);
    EXPECT_EQ(rung(winters, 2), 2);
    EXPECT_EQ(rung(winters, 1), 2);
    EXPECT_EQ(rung(plain_spec(ForecastMethod::seasonal_naive), 12), 0);
    EXPECT_EQ(rung(plain_spec(ForecastMethod::seasonal_naive), 11), 1);
    EXPECT_EQ(rung(plain_spec(ForecastMethod::drift), 1), 2);
    EXPECT_EQ(rung(plain_spec(ForecastMethod::auto_forecast), 1), 1);
    EXPECT_EQ(rung(plain_spec(ForecastMethod::ensemble), 1), 1);  // naive, of seasonal_naive

    ForecastSpec strict = test::with_season(winters, 12);
    strict.step_down = false;
    const Trained t = train(strict, rows_of({1, 2, 3}));
    EXPECT_EQ(t.result.status, FitStatus::too_few_rows);
    EXPECT_EQ(t.result.message, "holt_winters needs more than the 3 observations of the series");
    EXPECT_NE(t.result.hint.find("season_length"), std::string::npos);
    EXPECT_TRUE(t.result.model.empty());
}

ForecastSpec seasonal_ets() {
    ForecastSpec spec = plain_spec(ForecastMethod::ets);
    spec.method.has_form = EtsForm::parse("ANA", spec.method.form);
    return spec;
}

ForecastSpec airline() {
    ForecastSpec spec = plain_spec(ForecastMethod::arima);
    spec.method.has_order = true;
    spec.method.order = {.p = 0, .d = 1, .q = 1, .P = 0, .D = 1, .Q = 1};
    return spec;
}

// What was asked for with a season, in series that have none or not two of it.
TEST(ForecastTrainerLadder, ladder_from_season_to_none) {
    struct Case {
        ForecastSpec spec;
        ForecastMethod instead;
        int fewest;  // values of a series with a season of 12
    };
    const Case cases[] = {
        {plain_spec(ForecastMethod::seasonal_naive), ForecastMethod::naive, 12},
        {plain_spec(ForecastMethod::seasonal_window_average), ForecastMethod::window_average, 12},
        {plain_spec(ForecastMethod::holt_winters), ForecastMethod::holt, 24},
        {plain_spec(ForecastMethod::mstl), ForecastMethod::ets, 24},
        {seasonal_ets(), ForecastMethod::ets, 24},
        {airline(), ForecastMethod::arima, 16},
    };
    for (const Case& c : cases) {
        const char* name = method_name(c.spec.method.method);
        const auto trained = [&](int m, int n) {
            const Trained t =
                train(test::with_season(c.spec, m), rows_of(test::seasonal_series(n, 12, 2)));
            EXPECT_EQ(t.result.status, FitStatus::ok) << name << ": " << t.result.message;
            return t.model;
        };
        for (const int n : {9, 20, 40}) {
            const ForecastModel model = trained(1, n);
            ASSERT_EQ(model.members.size(), 1U) << name;
            EXPECT_EQ(model.rung, 1) << name << n;
            EXPECT_EQ(model.asked, c.spec.method.method);
            EXPECT_EQ(model.members[0].method, c.instead) << name << n;
        }
        EXPECT_EQ(trained(12, c.fewest).rung, 0) << name;
        const ForecastModel short_one = trained(12, c.fewest - 1);
        EXPECT_EQ(short_one.rung, 1) << name;
        EXPECT_EQ(short_one.members.at(0).method, c.instead) << name;
        const bool takes_one_value =
            c.instead == ForecastMethod::naive || c.instead == ForecastMethod::window_average;
        EXPECT_EQ(trained(12, 1).rung, takes_one_value ? 1 : 2) << name;
    }
    // What finds a season by itself finds none: as asked.
    for (const ForecastMethod method :
         {ForecastMethod::ets, ForecastMethod::arima, ForecastMethod::theta, ForecastMethod::ces,
          ForecastMethod::naive2, ForecastMethod::autoregression, ForecastMethod::ensemble}) {
        for (const int m : {1, 12}) {
            const Trained t = train(test::with_season(plain_spec(method), m),
                                    rows_of(test::seasonal_series(14, 12, 2)));
            EXPECT_EQ(t.result.status, FitStatus::ok) << method_name(method);
            EXPECT_EQ(t.model.rung, 0) << method_name(method) << m;
        }
    }
}

TEST(ForecastTrainerLadder, strict_methods_say_what_they_lack) {
    const auto outcome = [](ForecastSpec spec, int m, int n) {
        spec.step_down = false;
        return train(test::with_season(spec, m), rows_of(test::seasonal_series(n, 12, 2))).result;
    };
    for (const ForecastSpec& spec :
         {plain_spec(ForecastMethod::holt_winters), seasonal_ets(), airline()}) {
        const GroupResult r = outcome(spec, 1, 40);
        EXPECT_EQ(r.status, FitStatus::no_forecast);
        EXPECT_EQ(r.message, std::string(method_name(spec.method.method)) +
                                 " needs a season, and the series has none");
        EXPECT_EQ(r.hint, "Set option season_length, or step_down to true.");
    }
    EXPECT_EQ(outcome(plain_spec(ForecastMethod::holt_winters), 12, 23).message,
              "holt_winters needs more than the 23 observations of the series");
    const GroupResult r = outcome(plain_spec(ForecastMethod::holt_winters), 401, 802);
    EXPECT_EQ(r.status, FitStatus::no_forecast);
    EXPECT_EQ(r.message, "holt_winters takes seasons of at most 400 observations, not of 401");
}

// A candidate without the season it needs is left out; when it is the only one, it steps down.
TEST(ForecastTrainerLadder, candidates_that_need_a_season) {
    const std::vector<double> y = test::seasonal_series(30, 12, 2);
    for (const ForecastMethod several : {ForecastMethod::auto_forecast, ForecastMethod::ensemble}) {
        ForecastSpec spec = test::with_season(plain_spec(several), 1);
        spec.n_candidates = 2;
        spec.candidates[0].method = ForecastMethod::holt_winters;
        spec.candidates[1].method = ForecastMethod::ses;
        const Trained both = train(spec, rows_of(y));
        ASSERT_EQ(both.result.status, FitStatus::ok) << both.result.message;
        EXPECT_EQ(both.model.rung, 0);
        ASSERT_EQ(both.model.members.size(), 1U);
        EXPECT_EQ(both.model.members[0].method, ForecastMethod::ses);
        spec.n_candidates = 1;
        const Trained alone = train(spec, rows_of(y));
        ASSERT_EQ(alone.result.status, FitStatus::ok) << alone.result.message;
        EXPECT_EQ(alone.model.rung, 1);
        EXPECT_EQ(alone.model.members.at(0).method, ForecastMethod::holt);
    }
}

// What stepped down for want of values may have enough now; a series without a season gets none.
TEST(ForecastTrainerLadder, append_to_a_model_that_stepped_down) {
    const auto appends = [](int m, int n) {
        const ForecastSpec spec = test::with_season(plain_spec(ForecastMethod::holt_winters), m);
        const Trained old = train(spec, rows_of(test::seasonal_series(n, 12, 2)));
        EXPECT_EQ(old.model.rung, 1);
        RowTable next;
        next.add(n + 1, 100);
        ForecastTrainer trainer;
        GroupResult result;
        return trainer.append_rows(spec, {}, old.model, next.data.data(), next.size(),
                                   next.stride(), result);
    };
    EXPECT_TRUE(appends(1, 30));
    EXPECT_FALSE(appends(12, 23));
}

}  // namespace
}  // namespace many::core
