// ARIMA with orders chosen by the series, and every kind of series through both kinds of ARIMA.
#include "core/forecasters/auto_arima.h"

#include <gtest/gtest.h>

#include "core/forecasters/arima_estimator.h"
#include "unit/forecasters/arima_support.h"

namespace many::test {
namespace {

using core::AutoArimaFit;
using core::AutoArimaOptions;
using core::ForecastStatus;

AutoArimaFit chosen(const std::vector<double>& y, int m, const AutoArimaOptions& options = {}) {
    return core::fit_auto_arima({y, m}, options);
}

// R's auto.arima(): ARIMA(1,0,0)(2,1,0)[12] with drift, AICc 359.38.
TEST(AutoArima, ChoosesAsR) {
    const AutoArimaFit a = chosen(made_series(), 12);
    EXPECT_EQ(a.fit.order, (core::ArimaOrder{.p = 1, .P = 2, .D = 1, .m = 12}));
    EXPECT_TRUE(a.fit.has_constant);
    EXPECT_FALSE(a.approximated);
    EXPECT_NEAR(a.fit.summary.aicc, 359.38, 0.005);
    EXPECT_NEAR(a.fit.coefficient(0), 0.7367477801859, 1e-3);
    EXPECT_NEAR(a.fit.coefficient(3), 0.7164090002581, 1e-3);
    EXPECT_NEAR(a.fit.summary.sigma2, 6.901389344625, 7e-3);
}

TEST(AutoArima, NoiseIsNoise) {
    const AutoArimaFit a = chosen(uniforms(100, 5), 1);
    EXPECT_EQ(a.fit.order, (core::ArimaOrder{}));
    EXPECT_TRUE(a.fit.has_constant);
}

TEST(AutoArima, LongSeriesAreApproximatedUnlessAskedNotTo) {
    std::vector<double> y = uniforms(400, 3);
    for (std::size_t t = 1; t < y.size(); ++t) y[t] += 0.8 * y[t - 1];
    const AutoArimaFit a = chosen(y, 1);
    EXPECT_TRUE(a.approximated);
    AutoArimaOptions options;
    options.approximation = core::Approximation::never;
    const AutoArimaFit b = chosen(y, 1, options);
    EXPECT_FALSE(b.approximated);
    EXPECT_LE(b.fit.summary.aicc, a.fit.summary.aicc + 2);
    EXPECT_GE(a.fit.order.p, 1);
}

// A conditional estimate that explodes ends at the border of stationarity: such a model does not count.
TEST(AutoArima, ModelsThatAreNotStationaryDoNotCount) {
    std::vector<double> y = uniforms(40, 4);
    for (std::size_t t = 1; t < y.size(); ++t) y[t] += 1.15 * y[t - 1];
    AutoArimaOptions options;
    options.d = 0;
    options.constant = false;
    options.max_q = 0;
    EXPECT_EQ(chosen(y, 1, options).fit.order, (core::ArimaOrder{}));
    options.d = 2;
    EXPECT_EQ(chosen(y, 1, options).fit.summary.status, ForecastStatus::ok);

    const core::ArimaOrder order{.p = 1, .q = 1, .P = 1, .m = 4};
    EXPECT_FALSE(core::ArimaEstimator::at_border(order, std::vector<double>{3.9, 9, -3.9}));
    EXPECT_TRUE(core::ArimaEstimator::at_border(order, std::vector<double>{-4.1, 0, 0}));
    EXPECT_TRUE(core::ArimaEstimator::at_border(order, std::vector<double>{0, 0, 4.1}));
}

TEST(AutoArima, OptionsBoundTheSearch) {
    AutoArimaOptions options;
    options.max_p = options.max_q = 0;
    options.seasonal = false;
    options.constant = false;
    options.d = 1;
    const AutoArimaFit a = chosen(made_series(), 12, options);
    EXPECT_EQ(a.fit.order, (core::ArimaOrder{.d = 1}));
    EXPECT_FALSE(a.fit.has_constant);
    options = {};
    options.seasonal_d = 0;
    options.max_seasonal_p = options.max_seasonal_q = 0;
    const AutoArimaFit b = chosen(made_series(), 12, options);
    EXPECT_EQ(b.fit.order.P + b.fit.order.D + b.fit.order.Q, 0);
    options = {};
    options.max_models = 3;
    EXPECT_EQ(chosen(made_series(), 12, options).n_models, 3);
}

// As in R, AIC replaces AICc, which three values leave no room for.
TEST(AutoArima, TwoAndThreeValuesHaveAMean) {
    for (const std::vector<double>& y : {std::vector<double>{200, 210}, {200, 210, 199}}) {
        const AutoArimaFit a = chosen(y, 12);
        ASSERT_EQ(a.fit.summary.status, ForecastStatus::ok);
        ASSERT_TRUE(a.fit.has_constant);
        EXPECT_NEAR(a.fit.coefficients.back(), y.size() == 2 ? 205 : 203, 1e-9);
    }
}

// What a regressor explains is not differenced away.
TEST(AutoArima, RegressorsComeFirst) {
    std::vector<double> x, y;
    for (const double u : uniforms(60, 9)) {
        x.push_back(x.empty() ? 0 : x.back() + u - 0.5);
        y.push_back(5 * x.back());
    }
    const std::vector<double> e = uniforms(60, 99);
    for (std::size_t t = 0; t < y.size(); ++t) y[t] += 0.1 * e[t];
    AutoArimaOptions options;
    options.regressors = x;
    options.n_regressors = 1;
    const AutoArimaFit a = chosen(y, 1, options);
    EXPECT_EQ(a.fit.order.d, 0);
    EXPECT_NEAR(a.fit.coefficients.back(), 5, 0.05);
}

TEST(AutoArima, StopsWhenAsked) {
    const std::vector<double> y = made_series();
    volatile int flag = 1;
    core::StopSignal stop;
    stop.flag = &flag;
    EXPECT_EQ(core::fit_auto_arima({y, 12}, {}, stop).fit.summary.status, ForecastStatus::stopped);
}

std::vector<std::vector<double>> strange_series() {
    std::vector<std::vector<double>> all;
    for (std::size_t n = 0; n <= 27; ++n) {
        all.push_back(made_series(n));
        all.emplace_back(n, 0.0);
        all.emplace_back(n, -7.25);
        all.emplace_back(n, 1e300);
        all.emplace_back(n, 0.0);
        if (n > 0) all.back()[n / 2] = 1;
        std::vector<double> wild = uniforms(n);
        for (double& v : wild) v *= 1e300;
        all.push_back(wild);
        for (double& v : wild) v = v / 1e300 / 1e300;
        all.push_back(wild);
        std::vector<double> signs, powers;
        for (std::size_t t = 0; t < n; ++t) {
            signs.push_back(t % 2 == 0 ? 1.7e308 : -1.7e308);
            powers.push_back(std::pow(10, static_cast<double>(t)));
        }
        all.push_back(signs);
        all.push_back(powers);
    }
    return all;
}

void expect_sound(const core::ArimaFit& fit, const std::vector<double>& y) {
    std::vector<double> mean(15), variance(15);
    const ForecastStatus status = core::forecast_arima(fit, {}, {mean, variance});
    if (fit.summary.status != ForecastStatus::ok || status != ForecastStatus::ok) return;
    for (std::size_t h = 0; h < 15; ++h) {
        EXPECT_TRUE(std::isfinite(mean[h])) << y.size();
        EXPECT_TRUE(std::isfinite(variance[h]) && variance[h] >= 0) << y.size();
    }
}

TEST(AutoArima, StrangeSeries) {
    for (const std::vector<double>& y : strange_series()) {
        for (const int m : {1, 4, 12}) {
            expect_sound(chosen(y, m).fit, y);
            core::ArimaOptions options;
            options.order = {.p = 1, .d = 1, .q = 1};
            expect_sound(core::fit_arima({y, m}, options), y);
            if (m == 1) continue;
            options.order = {.p = 1, .q = 1, .P = 1, .D = 1, .Q = 1};
            expect_sound(core::fit_arima({y, m}, options), y);
        }
    }
}

// A constant series goes on as it is, for certain.
TEST(AutoArima, ConstantSeries) {
    for (const std::size_t n : {1, 2, 13, 40}) {
        const AutoArimaFit a = chosen(std::vector<double>(n, 3.5), 12);
        std::vector<double> mean(4), variance(4);
        EXPECT_EQ(a.fit.summary.status, n == 1 ? ForecastStatus::too_short : ForecastStatus::ok);
        if (n == 1) continue;
        ASSERT_EQ(core::forecast_arima(a.fit, {}, {mean, variance}), ForecastStatus::ok);
        EXPECT_DOUBLE_EQ(mean[3], 3.5);
        EXPECT_EQ(variance[3], 0);
    }
}

}  // namespace
}  // namespace many::test
