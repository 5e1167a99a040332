// ARIMA with fixed orders: the filter against the covariance matrix, R's values on a made series,
// regressors, what cannot be fitted, degenerate series.
#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

#include "unit/forecasters/arima_support.h"

namespace many::test {
namespace {

using core::ArimaFit;
using core::ArimaOptions;
using core::ArimaOrder;
using core::ForecastStatus;

std::vector<double> noise(std::size_t n, std::int64_t seed = 7) {
    std::vector<double> w = uniforms(n, seed);
    for (std::size_t t = 1; t < n; ++t) w[t] = w[t] - 0.5 + 0.6 * w[t - 1];
    return w;
}

ArimaFit given(const std::vector<double>& y, const ArimaOrder& order,
               const std::vector<double>& coefficients, bool constant = false) {
    ArimaOptions options;
    options.order = order;
    options.constant = constant;
    options.given = coefficients;
    return core::fit_arima({y, order.m}, options);
}

ArimaFit estimated(const std::vector<double>& y, const ArimaOrder& order, bool constant = false) {
    ArimaOptions options;
    options.order = order;
    options.constant = constant;
    return core::fit_arima({y, order.m}, options);
}

struct Forecast {
    std::vector<double> mean, variance;
    ForecastStatus status;
};

Forecast forecast(const ArimaFit& fit, std::size_t h, const std::vector<double>& future = {}) {
    Forecast f{std::vector<double>(h), std::vector<double>(h), {}};
    f.status = core::forecast_arima(fit, future, {f.mean, f.variance});
    return f;
}

struct Model {
    ArimaOrder order;
    std::vector<double> coefficients;
};

std::vector<Model> models() {
    return {{{.p = 1}, {0.7}},
            {{.p = 1}, {-0.99}},
            {{.q = 1}, {0.4}},
            {{.q = 1}, {-1.0}},    // on the border of invertibility
            {{.q = 2}, {2.5, 1}},  // beyond it
            {{.p = 2, .q = 1}, {0.5, 0.3, -0.6}},
            {{.p = 1, .q = 3}, {-0.4, 0.2, 0.1, -0.3}},
            {{.P = 1, .Q = 1, .m = 4}, {0.8, -0.5}},
            {{.q = 1, .Q = 1, .m = 12}, {-0.4, -0.6}},
            {{.p = 2, .q = 1, .P = 1, .Q = 2, .m = 6}, {0.4, 0.2, 0.5, 0.3, -0.4, 0.2}},
            {{.p = 7, .P = 1, .m = 4}, {0.1, 0, 0, 0.2, 0, 0, 0.3, 0.4}}};
}

// The filter, with its switch to the steady state, is the multivariate normal density.
TEST(Arima, LikelihoodIsTheOneOfTheCovarianceMatrix) {
    for (const Model& m : models()) {
        for (const std::size_t n : {3, 30, 150}) {
            const std::vector<double> w = noise(n);
            const ArimaFit fit = given(w, m.order, m.coefficients);
            const LongWay expected = long_way(m.order, m.coefficients, w);
            ASSERT_EQ(fit.summary.status, ForecastStatus::ok);
            EXPECT_NEAR(fit.summary.log_likelihood, expected.log_likelihood,
                        1e-9 * std::fabs(expected.log_likelihood) + 1e-10)
                << m.order.p << m.order.q << m.order.P << m.order.Q << " n = " << n;
            EXPECT_NEAR(fit.sum_of_squares / expected.sum_of_squares, 1, 1e-9);
        }
    }
}

TEST(Arima, ForecastsAreConditionalMeansAndVariances) {
    for (const Model& m : models()) {
        for (const std::size_t n : {5, 60}) {
            const std::vector<double> w = noise(n, 11);
            const ArimaFit fit = given(w, m.order, m.coefficients);
            const LongWay expected = long_way(m.order, m.coefficients, w, 20);
            const Forecast f = forecast(fit, 20);
            ASSERT_EQ(f.status, ForecastStatus::ok);
            for (std::size_t h = 0; h < 20; ++h) {
                EXPECT_NEAR(f.mean[h], expected.mean[h], 1e-9);
                EXPECT_NEAR(f.variance[h] / fit.summary.sigma2 / expected.variance[h], 1, 1e-9);
            }
        }
    }
}

// Of a differenced model: those of its differences, added up.
TEST(Arima, DifferencesAddUp) {
    const std::vector<double> y = made_series();
    const ArimaOrder order{.d = 1, .q = 1, .D = 1, .Q = 1, .m = 12};
    const std::vector<double> c{-0.4, -0.6};
    const ArimaFit fit = given(y, order, c);
    const LongWay expected = long_way({.q = 1, .Q = 1, .m = 12}, c, core::difference(y, order), 30);
    const Forecast f = forecast(fit, 30);
    std::vector<double> z = y;
    for (std::size_t h = 0; h < 30; ++h) {
        const std::size_t n = z.size();
        z.push_back(expected.mean[h] + z[n - 1] + z[n - 12] - z[n - 13]);
        EXPECT_NEAR(f.mean[h], z.back(), 1e-8);
    }
    EXPECT_NEAR(fit.summary.log_likelihood, expected.log_likelihood, 1e-9);
}

// R 4.2.2, arima() of the differences and of the series (kappa = 1e8) with these coefficients.
TEST(Arima, GivenParametersAsInR) {
    const ArimaFit fit =
        given(made_series(), {.d = 1, .q = 1, .D = 1, .Q = 1, .m = 12}, {-0.4, -0.6});
    EXPECT_NEAR(fit.summary.log_likelihood, -180.75179116280933, 1e-9);
    EXPECT_NEAR(fit.summary.sigma2, 8.8109041624912017, 1e-9);
    const double mean[] = {275.71517271684888, 251.55247887872611, 284.97565092999781,
                           261.03661692340557, 268.32837578717874, 241.27297322282774,
                           236.49345508234288, 277.15982976346049, 270.24087476142165,
                           284.89584204081297, 261.34186469540805, 253.85022978445491,
                           285.46614574509351, 261.30345190697074};
    const double se[] = {1.00062637428, 1.16680496808, 1.3121030928,  1.44284275607, 1.562682281,
                         1.67396433772, 1.77829617796, 1.87683723032, 1.97045646531, 2.05982508341,
                         2.1454743221,  2.22783319828, 2.44259643841, 2.58310267678};
    const Forecast f = forecast(fit, 14);
    for (std::size_t h = 0; h < 14; ++h) {
        EXPECT_NEAR(f.mean[h] / mean[h], 1, 1e-12);
        EXPECT_NEAR(std::sqrt(f.variance[h] / fit.summary.sigma2), se[h], 1e-6);
    }
}

// arima(y, order = c(2, 1, 1), method = "ML") of R 4.2.2 with reltol = 1e-14.
TEST(Arima, EstimatesAsInR) {
    const ArimaFit fit = estimated(made_series(), {.p = 2, .d = 1, .q = 1});
    EXPECT_EQ(fit.summary.status, ForecastStatus::ok);
    EXPECT_NEAR(fit.summary.log_likelihood, -356.667481287, 1e-4);
    const double c[] = {-0.02412012116, 0.0751364814361, -0.857511565127};
    const double se[] = {0.120560348028, 0.117542658182, 0.0492920435658};
    for (int i = 0; i < 3; ++i) {
        EXPECT_NEAR(fit.coefficient(i), c[i], 1e-4);
        EXPECT_NEAR(fit.std_errors[static_cast<std::size_t>(i)] / se[i], 1, 1e-3);
    }
    EXPECT_EQ(fit.n_used, 83);
    EXPECT_NEAR(fit.summary.aic, -2 * fit.summary.log_likelihood + 8, 1e-9);
    EXPECT_NEAR(fit.summary.aicc, fit.summary.aic + 2.0 * 4 * 5 / (83 - 5), 1e-9);
    EXPECT_NEAR(fit.summary.bic, -2 * fit.summary.log_likelihood + 4 * std::log(83), 1e-9);
    EXPECT_EQ(core::coefficient_names(fit), (std::vector<std::string>{"ar1", "ar2", "ma1"}));
}

// arima(y, order = c(1, 0, 0), xreg = cbind(t^2 / 100, u)) of R 4.2.2.
TEST(Arima, RegressorsAsInR) {
    const std::vector<double> y = made_series();
    std::vector<double> x;
    for (int t = 1; t <= 84; ++t) x.push_back(t * t / 100.0);
    const std::vector<double> u = uniforms(84);
    x.insert(x.end(), u.begin(), u.end());
    ArimaOptions options;
    options.order = {.p = 1};
    options.regressors = x;
    options.n_regressors = 2;
    const ArimaFit fit = core::fit_arima({y, 1}, options);
    EXPECT_NEAR(fit.summary.log_likelihood, -353.040831602, 1e-6);
    const double c[] = {0.0285557534426, 203.90000243, 0.731430372005, 12.474206194};
    const double se[] = {0.112307223555, 3.88262767695, 0.0856867767109, 6.24947173943};
    for (int i = 0; i < 4; ++i) {
        EXPECT_NEAR(fit.coefficient(i), c[i], 1e-4 * std::fmax(1, std::fabs(c[i]))) << i;
        EXPECT_NEAR(fit.std_errors[static_cast<std::size_t>(i)] / se[i], 1, 0.01) << i;
    }
    EXPECT_EQ(core::coefficient_names(fit),
              (std::vector<std::string>{"ar1", "intercept", "xreg1", "xreg2"}));
    // A future regressor moves the forecast by its coefficient.
    const Forecast f = forecast(fit, 2, {70, 70, 0, 0}), g = forecast(fit, 2, {70, 71, 0, 1});
    EXPECT_NEAR(g.mean[0], f.mean[0], 1e-12);
    EXPECT_NEAR(g.mean[1] - f.mean[1], fit.coefficient(2) + fit.coefficient(3), 1e-9);
    EXPECT_EQ(forecast(fit, 2, {70, 70}).status, ForecastStatus::not_admissible);
}

TEST(Arima, CollinearRegressorsTakeNoPart) {
    const std::vector<double> y = made_series();
    std::vector<double> x;
    for (int copy = 0; copy < 2; ++copy) {
        for (int t = 0; t < 84; ++t) x.push_back((copy + 1) * std::fmod(t * 7, 5));
    }
    ArimaOptions options;
    options.order = {.p = 1, .d = 1};
    options.regressors = x;
    options.n_regressors = 2;
    options.constant = false;
    const ArimaFit two = core::fit_arima({y, 1}, options);
    options.regressors = std::span<const double>(x).first(84);
    options.n_regressors = 1;
    const ArimaFit one = core::fit_arima({y, 1}, options);
    EXPECT_EQ(two.summary.status, ForecastStatus::ok);
    EXPECT_TRUE(std::isnan(two.coefficient(2)));
    EXPECT_EQ(two.summary.n_parameters, one.summary.n_parameters);
    EXPECT_NEAR(two.coefficient(1), one.coefficient(1), 1e-9);
    EXPECT_NEAR(forecast(two, 1, {3, 1e9}).mean[0], forecast(one, 1, {3}).mean[0], 1e-9);
}

// Regressors are generalised least squares: of given errors, moved by a line, the line comes back.
TEST(Arima, LevelAndDriftMoveWithTheSeries) {
    const std::vector<double> w = noise(60);
    std::vector<double> y = w;
    for (std::size_t t = 0; t < y.size(); ++t) y[t] = 1e6 + 3 * w[t];
    const ArimaFit a = estimated(w, {.p = 1}, true), b = estimated(y, {.p = 1}, true);
    EXPECT_NEAR(b.coefficient(0), a.coefficient(0), 1e-5);
    EXPECT_NEAR(b.coefficient(1), 1e6 + 3 * a.coefficient(1), 1e-4);
    EXPECT_NEAR(b.summary.log_likelihood, a.summary.log_likelihood - 60 * std::log(3), 1e-6);
    const ArimaFit drift = estimated(w, {.d = 1}, true);
    EXPECT_NEAR(drift.coefficient(0), (w.back() - w.front()) / 59, 1e-12);
    EXPECT_EQ(core::coefficient_names(drift), std::vector<std::string>{"drift"});
    EXPECT_NEAR(forecast(drift, 5).mean[4], w.back() + 5 * drift.coefficient(0), 1e-12);
    // Twice differenced, a constant has no meaning.
    EXPECT_FALSE(estimated(w, {.d = 2}, true).has_constant);
}

// With more terms the maximum is no lower.
TEST(Arima, LikelihoodGrowsWithTheModel) {
    const std::vector<double> y = made_series();
    double last = -1e300;
    for (int q = 0; q <= 4; ++q) {
        const ArimaFit fit = estimated(y, {.p = 1, .d = 1, .q = q, .Q = 1, .m = 12});
        EXPECT_GE(fit.summary.log_likelihood, last - 1e-6);
        last = fit.summary.log_likelihood;
    }
}

TEST(Arima, EstimatesAreStationaryAndInvertible) {
    for (std::int64_t seed = 1; seed <= 30; ++seed) {
        const std::vector<double> w = noise(40, seed * 1001);
        const ArimaFit fit = estimated(w, {.p = 2, .d = 1, .q = 2});
        const std::span<const double> c = fit.coefficients;
        std::vector<double> ma{-c[2], -c[3]};
        EXPECT_TRUE(core::roots_outside(c.first(2), 1 - 1e-9));
        EXPECT_TRUE(core::roots_outside(ma, 1 - 1e-6));
    }
}

TEST(Arima, RefusesWhatIsNotAdmissible) {
    const std::vector<double> y = made_series();
    EXPECT_EQ(given(y, {.p = 1}, {1.0}).summary.status, ForecastStatus::not_admissible);
    EXPECT_EQ(given(y, {.p = 1}, {0.5, 0.5}).summary.status, ForecastStatus::not_admissible);
    EXPECT_EQ(estimated(y, {.p = -1}).summary.status, ForecastStatus::not_admissible);
    EXPECT_EQ(estimated(y, {.P = 1, .m = 1}).summary.status, ForecastStatus::not_admissible);
    EXPECT_EQ(estimated(y, {.P = 1, .m = 2000000000}).summary.status,
              ForecastStatus::not_admissible);
    EXPECT_EQ(estimated(y, {.p = 40, .q = 40}).summary.status, ForecastStatus::not_admissible);
    EXPECT_EQ(estimated({1, 2, 3}, {.p = 2, .d = 1, .q = 2}).summary.status,
              ForecastStatus::too_short);
    EXPECT_EQ(estimated({}, {}).summary.status, ForecastStatus::too_short);
    EXPECT_EQ(forecast(estimated({}, {}), 3).status, ForecastStatus::not_admissible);
    const double inf = std::numeric_limits<double>::infinity();
    EXPECT_EQ(estimated({1, 2, inf, 3, 4}, {}).summary.status, ForecastStatus::overflow);
}

TEST(Arima, StopsWhenAsked) {
    const std::vector<double> y = made_series();
    volatile int flag = 1;
    core::StopSignal stop;
    stop.flag = &flag;
    ArimaOptions options;
    options.order = {.p = 2, .d = 1, .q = 1};
    EXPECT_EQ(core::fit_arima({y, 1}, options, stop).summary.status, ForecastStatus::stopped);
}

TEST(Arima, SameBitsEveryTime) {
    const std::vector<double> y = made_series();
    const ArimaFit a = estimated(y, {.p = 1, .d = 1, .q = 2, .P = 1, .Q = 1, .m = 12});
    const ArimaFit b = estimated(y, {.p = 1, .d = 1, .q = 2, .P = 1, .Q = 1, .m = 12});
    ASSERT_EQ(a.coefficients.size(), b.coefficients.size());
    EXPECT_EQ(std::memcmp(a.coefficients.data(), b.coefficients.data(),
                          a.coefficients.size() * sizeof(double)),
              0);
    EXPECT_EQ(a.summary.log_likelihood, b.summary.log_likelihood);
}

// A line has no errors: its forecasts are exact and certain.
TEST(Arima, ALineGoesOn) {
    std::vector<double> y(40);
    std::iota(y.begin(), y.end(), 5.0);
    const ArimaFit fit = estimated(y, {.p = 1, .d = 1, .q = 1}, true);
    EXPECT_EQ(fit.summary.status, ForecastStatus::ok);
    const Forecast f = forecast(fit, 3);
    EXPECT_NEAR(f.mean[2], 47, 1e-9);
    EXPECT_EQ(f.variance[2], 0);
}

TEST(Polynomials, FreeParametersGoThereAndBack) {
    std::vector<double> x{0.3, -1.2, 0.7, 2.5}, y = x;
    core::stationary_from_free(x.data(), 4);
    EXPECT_TRUE(core::roots_outside(x, 1));
    ASSERT_TRUE(core::free_from_stationary(x.data(), 4));
    for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(x[i], y[i], 1e-12);
    // (1 - 0.5 z)(1 - 0.9 z): roots 2 and 1.11.
    const std::vector<double> ar{1.4, -0.45};
    EXPECT_TRUE(core::roots_outside(ar, 1.1));
    EXPECT_FALSE(core::roots_outside(ar, 1.12));
}

TEST(Polynomials, MovingAveragesAreMadeInvertible) {
    std::vector<double> ma{2.5, 1};  // (1 + 2 z)(1 + 0.5 z) -> (1 + 0.5 z)^2
    core::make_invertible(ma.data(), 2);
    EXPECT_NEAR(ma[0], 1, 1e-7);
    EXPECT_NEAR(ma[1], 0.25, 1e-7);
    std::vector<double> kept{0.3, 0.2, 0};
    core::make_invertible(kept.data(), 3);
    EXPECT_EQ(kept, (std::vector<double>{0.3, 0.2, 0}));
    std::vector<double> cubic{4, 0, 0};  // an inner root and none else
    core::make_invertible(cubic.data(), 3);
    EXPECT_NEAR(cubic[0], 0.25, 1e-12);
}

TEST(Polynomials, Differences) {
    const ArimaOrder o{.d = 1, .D = 1, .m = 4};
    EXPECT_EQ(core::difference_coefficients(o), (std::vector<double>{1, 0, 0, 1, -1}));
    EXPECT_EQ(core::difference(std::vector<double>{1, 2, 4, 8, 16, 33}, o),
              (std::vector<double>{16}));
    EXPECT_TRUE(core::difference(std::vector<double>{1, 2, 4}, o).empty());
}

}  // namespace
}  // namespace many::test
