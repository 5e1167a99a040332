// Forecasts of the M3 series (the half that the shared data has) against what was held back, beside
// the accuracy of R's forecast 8.20 on the same series. sMAPE in percent and MASE, means over series.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "core/forecasters/ces.h"
#include "unit/forecasters/reference_support.h"
#include "unit/forecasters/trainer_support.h"

namespace many::core {
namespace {

struct Series {
    std::string period;
    int season_length = 1;
    std::vector<double> y, held_back;
};

const std::map<std::string, Series>& m3_series() {
    static const std::map<std::string, Series> all = [] {
        std::map<std::string, Series> out;
        const std::string dir = test::shared_dir() + "/ts/";
        const auto info = test::read_csv(dir + "m3_info.csv");
        const std::size_t id = info.column("series_id"), m = info.column("m"),
                          period = info.column("period");
        for (const auto& row : info.rows) {
            Series& s = out[row[id]];
            s.period = row[period];
            s.season_length = std::stoi(row[m]);
        }
        const auto values = test::read_csv(dir + "m3.csv.gz");
        const std::size_t key = values.column("series_id"), y = values.column("y"),
                          is_test = values.column("is_test");
        for (const auto& row : values.rows) {
            Series& s = out.at(row[key]);
            (row[is_test] == "1" ? s.held_back : s.y).push_back(test::number(row[y]));
        }
        return out;
    }();
    return all;
}

struct Accuracy {
    double smape = 0, mase = 0;
    int n = 0;
    void add(const Series& s, const std::vector<double>& forecast) {
        const double steps = static_cast<double>(forecast.size());
        double percent = 0, error = 0, scale = 0;
        for (std::size_t h = 0; h < forecast.size(); ++h) {
            const double miss = std::fabs(s.held_back[h] - forecast[h]);
            percent += 200 * miss / (std::fabs(s.held_back[h]) + std::fabs(forecast[h])) / steps;
            error += miss / steps;
        }
        const std::size_t m = static_cast<std::size_t>(s.season_length);
        for (std::size_t t = m; t < s.y.size(); ++t) scale += std::fabs(s.y[t] - s.y[t - m]);
        scale /= static_cast<double>(s.y.size() - m);
        ++n;
        smape += (percent - smape) / n;
        mase += (error / scale - mase) / n;
    }
};

// By period, and "all".
std::map<std::string, Accuracy> accuracy_of_r(const std::string& method) {
    std::map<std::string, Accuracy> out;
    const auto csv = test::read_csv(test::shared_dir() + "/published/r_forecast_accuracy.csv");
    for (const auto& row : csv.rows) {
        if (row[csv.column("subset")] != "dev" || row[csv.column("set")] != "m3" ||
            row[csv.column("method")] != method) {
            continue;
        }
        out[row[csv.column("period")]] = {test::number(row[csv.column("smape")]),
                                          test::number(row[csv.column("mase")]),
                                          std::stoi(row[csv.column("n")])};
    }
    return out;
}

// forecast(series, horizon) of every series, or of those whose place is a multiple of `every`.
template <class Forecast>
std::map<std::string, Accuracy> accuracy_of(const Forecast& forecast, int every) {
    int place = 0;
    std::map<std::string, Accuracy> out;
    for (const auto& [id, s] : m3_series()) {
        if (place++ % every != 0) continue;
        const std::vector<double> mean = forecast(s, s.held_back.size());
        out[s.period].add(s, mean);
        out["all"].add(s, mean);
    }
    return out;
}

// Of every series, or of those whose place is a multiple of `every`, by the trainer.
std::map<std::string, Accuracy> accuracy_of_method(ForecastMethod method, int every = 1) {
    int place = 0;
    std::map<std::string, Accuracy> out;
    for (const auto& [id, s] : m3_series()) {
        if (place++ % every != 0) continue;
        ForecastSpec spec = test::plain_spec(method, static_cast<int>(s.held_back.size()));
        if (s.season_length > 1) spec = test::with_season(spec, s.season_length);
        const test::Trained t = test::train(spec, test::rows_of(s.y));
        EXPECT_EQ(t.result.status, FitStatus::ok) << id << ": " << t.result.message;
        const std::vector<double> mean = test::forecast(t.model, s.held_back.size()).mean;
        out[s.period].add(s, mean);
        out["all"].add(s, mean);
    }
    return out;
}

// MANY_M3_EVERY, or what is usual: with another sample (sanitizers) all runs and nothing is judged.
int sample_or(int usual) {
    const char* variable = std::getenv("MANY_M3_EVERY");
    return variable != nullptr ? std::max(1, std::atoi(variable)) : usual;
}

// The goal that docs/forecasting.md states: within 1 % of R in each period, or better.
TEST(Accuracy, smoothing_and_theta_are_those_of_r_or_better) {
    MANY_NEED_SHARED_DATA();
    using enum ForecastMethod;
    const std::pair<ForecastMethod, const char*> methods[] = {
        {naive, "naive"}, {seasonal_naive, "snaive"}, {ses, "ses"},
        {holt, "holt"},   {damped_holt, "damped"},    {theta, "theta"}};
    for (const auto& [method, name] : methods) {
        const int every = sample_or(1);
        const auto here = accuracy_of_method(method, every);
        if (every != 1) continue;
        const auto r = accuracy_of_r(name);
        ASSERT_EQ(r.size(), 5U);
        for (const auto& [period, theirs] : r) {
            const Accuracy& ours = here.at(period);
            EXPECT_EQ(ours.n, theirs.n);
            EXPECT_LT(ours.smape, theirs.smape * 1.01) << name << ", " << period;
            EXPECT_LT(ours.mase, theirs.mase * 1.01) << name << ", " << period;
        }
    }
}

// Every sixth series. What was measured when the method was as the documentation says, and 0.3 %: a
// method that got worse fails here. Lower these when it got better.
TEST(Accuracy, methods_are_as_accurate_as_they_were) {
    MANY_NEED_SHARED_DATA();
    using enum ForecastMethod;
    struct Measured {
        ForecastMethod method;
        double smape, mase;
    };
    static constexpr Measured kMeasured[] = {
        {naive2, 13.068, 1.4396},
        {naive, 14.147, 1.5367},
        {seasonal_naive, 13.651, 1.5479},
        {drift, 14.553, 1.4145},
        {ses, 13.320, 1.5001},
        {holt, 13.335, 1.3814},
        {damped_holt, 13.404, 1.3887},
        {ets, 12.296, 1.3023},
        {theta, 11.726, 1.2415},
        {optimised_theta, 11.917, 1.2399},
        {dynamic_theta, 11.619, 1.2247},
        {arima, 12.304, 1.3121},
        {ces, 12.109, 1.3008},
        {mstl, 12.507, 1.3053},
        {autoregression, 15.394, 1.7368},
        {auto_forecast, 12.340, 1.2734},
        {ensemble, 11.174, 1.1923},
    };
    for (const Measured& m : kMeasured) {
        const int every = sample_or(6);
        const Accuracy all = accuracy_of_method(m.method, every).at("all");
        if (every != 6) continue;
        EXPECT_EQ(all.n, 251);
        EXPECT_LT(all.smape, m.smape * 1.003) << method_name(m.method);
        EXPECT_LT(all.mase, m.mase * 1.003) << method_name(m.method);
    }
}

// M4's hours, every third of the series that are there. M4 has 17.31 and 1.824 for ETS, on all of them.
TEST(Accuracy, ets_of_hours_is_that_of_m4_or_better) {
    MANY_NEED_SHARED_DATA();
    const auto csv = test::read_csv(test::shared_dir() + "/ts/m4_hourly.csv.gz");
    std::map<std::string, Series> hours;
    for (const auto& row : csv.rows) {  // series_id, t, y, is_test
        Series& s = hours[row[0]];
        s.season_length = 24;
        (row[3] == "1" ? s.held_back : s.y).push_back(test::number(row[2]));
    }
    ASSERT_EQ(hours.size(), 207U);
    const int every = sample_or(3);
    int place = 0;
    Accuracy all;
    EtsWorkspace workspace;
    for (const auto& [id, s] : hours) {
        if (place++ % every != 0) continue;
        EtsFit fit;
        EXPECT_EQ(choose_ets({s.y, 24}, {}, {}, workspace, fit), ForecastStatus::ok) << id;
        std::vector<double> mean(s.held_back.size()), variance(mean.size());
        EXPECT_EQ(forecast_ets(fit, {mean, variance}), ForecastStatus::ok) << id;
        all.add(s, mean);
    }
    if (every > 3) return;
    EXPECT_LT(all.smape, 17.31 * 1.01);
    EXPECT_LT(all.mase, 1.824 * 1.01);
}

TEST(Accuracy, ces_is_what_the_documentation_says) {
    MANY_NEED_SHARED_DATA();
    CesWorkspace workspace;
    const int every = sample_or(1);
    const auto forecast = [&](const Series& s, std::size_t horizon) {
        CesFit fit;
        EXPECT_EQ(choose_ces({s.y, s.season_length}, {}, {}, workspace, fit), ForecastStatus::ok);
        std::vector<double> mean(horizon), variance(horizon);
        EXPECT_EQ(forecast_ces(fit, {mean, variance}), ForecastStatus::ok);
        return mean;
    };
    const auto here = accuracy_of(forecast, every);
    if (every != 1) return;
    EXPECT_LT(here.at("all").smape, 13.08);
    EXPECT_LT(here.at("all").mase, 1.537);
    // auto.ces() of R's smooth 4.3.1 on the same series, and 1 %.
    const std::map<std::string, std::pair<double, double>> r = {{"yearly", {17.38, 3.332}},
                                                                {"quarterly", {9.38, 1.162}},
                                                                {"monthly", {14.63, 0.863}},
                                                                {"other", {5.14, 2.445}}};
    for (const auto& [period, theirs] : r) {
        EXPECT_LT(here.at(period).smape, theirs.first * 1.01) << period;
        EXPECT_LT(here.at(period).mase, theirs.second * 1.01) << period;
    }
    // It chooses the season: better than R's methods that have none.
    for (const char* method : {"ses", "holt", "damped", "snaive"}) {
        EXPECT_LT(here.at("all").smape, accuracy_of_r(method).at("all").smape) << method;
    }
}

}  // namespace
}  // namespace many::core
