// The benchmarks against R's forecast 8.20: forecasts and intervals.
#include <gtest/gtest.h>

#include "core/forecasters/intervals.h"
#include "core/forecasters/simple.h"
#include "unit/forecasters/reference_support.h"

namespace many::core {
namespace {

void expect_equal(SimpleMethod method, const char* name, double interval_tolerance) {
    double worst = 0, worst_interval = 0;
    int n = 0;
    for (const auto& [id, expected] : test::reference_forecasts(name)) {
        const test::ReferenceSeries& s = test::reference_series().at(id);
        SimpleFit fit;
        ASSERT_EQ(fit_simple(method, {s.y, s.season_length}, {}, fit), ForecastStatus::ok) << id;
        const std::size_t horizon = expected.mean.size();
        std::vector<double> mean(horizon), variance(horizon);
        ASSERT_EQ(forecast_simple(fit, {mean, variance}), ForecastStatus::ok) << id;
        for (std::size_t h = 0; h < horizon; ++h, ++n) {
            worst = std::max(worst, test::relative_difference(mean[h], expected.mean[h]));
            const double w80 = interval_half_width(variance[h], 0.8, fit.degrees_of_freedom),
                         w95 = interval_half_width(variance[h], 0.95, fit.degrees_of_freedom);
            const double bounds[][2] = {{mean[h] - w80, expected.lower80[h]},
                                        {mean[h] + w80, expected.upper80[h]},
                                        {mean[h] - w95, expected.lower95[h]},
                                        {mean[h] + w95, expected.upper95[h]}};
            for (const auto& b : bounds) {
                worst_interval = std::max(worst_interval, test::relative_difference(b[0], b[1]));
            }
        }
    }
    EXPECT_GT(n, 1000);
    EXPECT_LT(worst, 1e-9) << name;
    EXPECT_LT(worst_interval, interval_tolerance) << name;
}

TEST(SimpleReference, naive) {
    MANY_NEED_SHARED_DATA();
    expect_equal(SimpleMethod::naive, "naive", 1e-9);
}

TEST(SimpleReference, seasonal_naive) {
    MANY_NEED_SHARED_DATA();
    expect_equal(SimpleMethod::seasonal_naive, "snaive", 1e-9);
}

TEST(SimpleReference, drift) {
    MANY_NEED_SHARED_DATA();
    expect_equal(SimpleMethod::drift, "rwf_drift", 1e-9);
}

TEST(SimpleReference, mean) {
    MANY_NEED_SHARED_DATA();
    expect_equal(SimpleMethod::mean, "meanf", 1e-8);  // R's quantile of t has 5e-9
}

TEST(SimpleReference, naive2) {
    MANY_NEED_SHARED_DATA();
    const test::Csv csv = test::read_csv(test::shared_dir() + "/ts/ref_naive2.csv.gz");
    std::string last;
    SimpleFit fit;
    std::vector<double> mean, variance;
    double worst = 0;
    for (const auto& row : csv.rows) {  // series_id, is_seasonal, h, naive2
        if (row[0] != last) {
            last = row[0];
            const test::ReferenceSeries& s = test::reference_series().at(last);
            ASSERT_EQ(fit_simple(SimpleMethod::naive2, {s.y, s.season_length}, {}, fit),
                      ForecastStatus::ok);
            mean.resize(static_cast<std::size_t>(s.horizon));
            variance.resize(mean.size());
            ASSERT_EQ(forecast_simple(fit, {mean, variance}), ForecastStatus::ok);
            EXPECT_EQ(!fit.factors.empty(), row[1] == "1") << last;
        }
        const std::size_t h = std::stoul(row[2]) - 1;
        worst = std::max(worst, test::relative_difference(mean[h], test::number(row[3])));
    }
    EXPECT_LT(worst, 1e-9);
}

}  // namespace
}  // namespace many::core
