// Against R 4.2: lm() on the lagged columns, ARMAtoMA() for the variances, AICc of all candidates on
// the observations they share.
#include "core/forecasters/autoregression.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/forecasters/forecast_model.h"
#include "core/forecasters/method_paths.h"

namespace many::core {
namespace {

using Doubles = std::vector<double>;
using Ints = std::vector<int>;

constexpr double kTolerance = 1e-10;

Doubles shocks(int n, double divisor) {
    Doubles e;
    for (int t = 1; t <= n; ++t) e.push_back((t * t * 7 + 13 * t) % 101 / divisor);
    return e;
}
Doubles short_memory() {
    Doubles y = shocks(60, 10);
    y[0] = 5;
    for (std::size_t t = 1; t < y.size(); ++t) y[t] += 0.6 * y[t - 1];
    return y;
}
Doubles seasonal_memory() {
    constexpr double kStart[] = {9, 1, 4, 2, 8, 5};
    Doubles y = shocks(96, 20);
    for (std::size_t t = 0; t < y.size(); ++t) {
        if (t > 0) y[t] += 0.5 * y[t - 1];
        y[t] += t >= 6 ? 0.45 * y[t - 6] : kStart[t];
    }
    return y;
}
Doubles regressor(int first, int n) {
    Doubles x;
    for (int t = first; t < first + n; ++t) x.push_back(t * 29 % 17);
    return x;
}

void expect_near(const Doubles& actual, const Doubles& expected) {
    ASSERT_EQ(actual.size(), expected.size());
    for (std::size_t i = 0; i < actual.size(); ++i)
        EXPECT_NEAR(actual[i], expected[i], kTolerance * (1 + std::abs(expected[i]))) << i;
}

struct Result {
    ForecastStatus status = ForecastStatus::ok;
    AutoregressionFit fit;
    Doubles mean, variance;
};
Result run(const Doubles& y, int season_length, const AutoregressionOptions& options,
           std::size_t h = 6, const Doubles& future = {}) {
    Result r;
    r.mean.resize(h);
    r.variance.resize(h);
    r.status = fit_autoregression({y, season_length}, options, {}, r.fit);
    EXPECT_EQ(r.fit.summary.status, r.status);
    if (r.status == ForecastStatus::ok)
        r.status = forecast_autoregression(r.fit, future, {r.mean, r.variance});
    return r;
}

TEST(Autoregression, given_lags_and_a_regressor) {
    const Doubles x = regressor(1, 60);
    AutoregressionOptions options;
    options.n_lags = 3;
    options.regressors = x;
    options.n_regressors = 1;
    const Result r = run(short_memory(), 1, options, 6, regressor(61, 6));
    ASSERT_EQ(r.status, ForecastStatus::ok);
    EXPECT_EQ(r.fit.lags, (Ints{1, 2, 3}));
    EXPECT_EQ(r.fit.n_used, 57);
    expect_near({r.fit.intercept, r.fit.intercept_std_error}, {4.17186279417566, 1.84263495946662});
    expect_near(r.fit.coefficients, {0.401081779991227, 0.167791749040713, 0.0321381619813836});
    expect_near(r.fit.std_errors, {0.142360482561977, 0.142845486594966, 0.135932630937503});
    expect_near(r.fit.regressor_coefficients, {0.084884121892349});
    expect_near(r.fit.regressor_std_errors, {0.0775802672103411});
    const FitSummary& s = r.fit.summary;
    EXPECT_EQ(s.n_parameters, 6);
    expect_near({s.sigma2, s.log_likelihood, s.aic, s.bic, s.aicc},
                {7.13824604466869, -134.278793422709, 280.557586845419, 292.815894452426,
                 282.237586845419});
    expect_near(r.mean, {12.560461617816, 12.9533666980515, 12.555054727977, 12.0392570623031,
                         12.7967832641367, 12.5768450050085});
    expect_near(r.variance, {7.13824604466869, 8.28655137472834, 9.05759834813714, 9.43934453730027,
                             9.62388909592374, 9.71642111765355});
}

TEST(Autoregression, chosen_lags) {
    const Result r = run(short_memory(), 1, {});
    ASSERT_EQ(r.status, ForecastStatus::ok);
    EXPECT_EQ(r.fit.lags, Ints{1});
    EXPECT_EQ(r.fit.n_lags, 1);
    expect_near({r.fit.intercept, r.fit.coefficients[0]}, {5.99054784024985, 0.495349122062945});
    expect_near({r.fit.summary.aicc}, {290.134532091777});
    expect_near(r.mean, {12.1745625555931, 12.0212067136633, 11.9452420320001, 11.9076129936305,
                         11.88897348251, 11.8797404170408});
    expect_near(r.variance, {7.42648483745648, 9.2487270121502, 9.69585194620847, 9.80556332784204,
                             9.83248329213635, 9.83908866403868});
}

TEST(Autoregression, chosen_seasonal_lags) {
    const Result r = run(seasonal_memory(), 6, {}, 13);
    ASSERT_EQ(r.status, ForecastStatus::ok);
    EXPECT_EQ(r.fit.lags, (Ints{1, 6}));
    EXPECT_EQ(r.fit.n_lags, 1);
    EXPECT_EQ(r.fit.last.size(), 6U);
    expect_near({r.fit.intercept, r.fit.coefficients[0], r.fit.coefficients[1]},
                {2.412152920502, 0.43478698790595, 0.521887928387844});
    expect_near({r.fit.summary.log_likelihood}, {-154.962325620837});
    expect_near(r.mean, {41.1975029167544, 42.1284295372816, 42.3000645974257, 41.5995921753672,
                         41.4397914947074, 40.7311659925961, 41.6220133482972, 42.4951815522345,
                         42.964397991537, 42.8028390926164, 42.6491973394008, 42.2125728090039,
                         42.4876566255634});
    expect_near(r.variance, {1.8957825743569, 2.25416079059317, 2.32190850998355, 2.33471552021647,
                             2.33713655390709, 2.33759422544982, 2.86739702263371, 3.26290902355196,
                             3.43041542864257, 3.48658854844955, 3.50315925825245, 3.50766620875856,
                             3.67499495864185});
    AutoregressionOptions plain;
    plain.seasonal = false;
    const Result without = run(seasonal_memory(), 6, plain);
    for (std::size_t i = 0; i < without.fit.lags.size(); ++i)
        EXPECT_EQ(without.fit.lags[i], static_cast<int>(i) + 1);
    // Beside given lags the seasonal one is still there; one of several seasons as well.
    AutoregressionOptions given;
    given.n_lags = 2;
    const Ints seasons = {6, 24};
    given.season_lengths = seasons;
    const Result both = run(seasonal_memory(), 1, given);
    ASSERT_GE(both.fit.lags.size(), 3U);
    EXPECT_EQ(both.fit.n_lags, 2);
    EXPECT_EQ(both.fit.lags[2], 6);
}

TEST(Autoregression, more_rows_than_a_block) {
    // A known process without noise but for rounding: y_t = 2 + 1.2 y_(t-1) - 0.5 y_(t-2) + x_t.
    const Doubles x = regressor(1, 1000);
    Doubles y = {1, 4};
    for (std::size_t t = 2; t < 1000; ++t) y.push_back(2 + 1.2 * y[t - 1] - 0.5 * y[t - 2] + x[t]);
    AutoregressionOptions options;
    options.n_lags = 2;
    options.regressors = x;
    options.n_regressors = 1;
    const Result r = run(y, 1, options, 2, {3, 4});
    ASSERT_EQ(r.status, ForecastStatus::ok);
    expect_near({r.fit.intercept, r.fit.coefficients[0], r.fit.coefficients[1],
                 r.fit.regressor_coefficients[0]},
                {2, 1.2, -0.5, 1});
    EXPECT_EQ(r.fit.summary.sigma2, 0);
    const double next = 2 + 1.2 * y[999] - 0.5 * y[998] + 3;
    expect_near(r.mean, {next, 2 + 1.2 * next - 0.5 * y[999] + 4});
}

TEST(Autoregression, new_observations_move_the_lags) {
    const Doubles y = seasonal_memory();
    AutoregressionFit fit;
    ASSERT_EQ(fit_autoregression({y, 6}, {}, {}, fit), ForecastStatus::ok);
    AutoregressionFit moved = fit;
    const double more[] = {40, 41, 39};
    EXPECT_TRUE(update_autoregression(moved, more));
    EXPECT_EQ(moved.n, 99);
    EXPECT_EQ(moved.last, (Doubles{y[93], y[94], y[95], 40, 41, 39}));
    Doubles mean(1), variance(1);
    ASSERT_EQ(forecast_autoregression(moved, {}, {mean, variance}), ForecastStatus::ok);
    EXPECT_DOUBLE_EQ(mean[0],
                     fit.intercept + fit.coefficients[0] * 39 + fit.coefficients[1] * y[93]);
    const double bad[] = {1, std::numeric_limits<double>::infinity()};
    EXPECT_FALSE(update_autoregression(moved, bad));
    EXPECT_EQ(moved.n, 99);
    const Doubles many(20, 7.0);
    EXPECT_TRUE(update_autoregression(moved, many));
    EXPECT_EQ(moved.last, Doubles(6, 7.0));
}

TEST(Autoregression, collinear_columns_play_no_part) {
    const Doubles y = short_memory();
    Doubles x = regressor(1, 60);
    for (std::size_t t = 0; t < 60; ++t) x.push_back(3 - 2 * x[t]);  // of the first
    x.insert(x.end(), 60, 0.1);                                      // a constant
    AutoregressionOptions options;
    options.n_lags = 3;
    options.regressors = x;
    options.n_regressors = 3;
    Doubles future = regressor(61, 6);
    future.insert(future.end(), 12, std::numeric_limits<double>::quiet_NaN());
    const Result r = run(y, 1, options, 6, future);
    ASSERT_EQ(r.status, ForecastStatus::ok);
    EXPECT_TRUE(std::isnan(r.fit.regressor_coefficients[1]));
    EXPECT_TRUE(std::isnan(r.fit.regressor_std_errors[2]));
    EXPECT_EQ(r.fit.summary.n_parameters, 6);
    EXPECT_NEAR(r.mean[0], 12.560461617816, 1e-9);
}

TEST(Autoregression, a_far_off_level_does_no_harm) {
    Doubles y = short_memory();
    for (double& v : y) v += 1e9;
    const Result r = run(y, 1, {});
    EXPECT_EQ(r.fit.lags, Ints{1});
    EXPECT_NEAR(r.fit.coefficients[0], 0.495349122062945, 1e-6);
    EXPECT_NEAR(r.mean[0], 1e9 + 12.1745625555931, 1e-5);
}

TEST(Autoregression, any_scale) {
    const Doubles y = short_memory();
    const Result one = run(y, 1, {});
    for (const int exponent : {-900, 1000}) {
        Doubles scaled = y;
        for (double& v : scaled) v = std::ldexp(v, exponent);
        const Result r = run(scaled, 1, {});
        EXPECT_EQ(r.status, ForecastStatus::ok);
        EXPECT_EQ(r.fit.coefficients, one.fit.coefficients);
        EXPECT_EQ(r.mean[3], std::ldexp(one.mean[3], exponent));
    }
}

TEST(Autoregression, what_cannot_be_fitted) {
    const auto status = [](const Doubles& y, const AutoregressionOptions& options = {}) {
        return run(y, 1, options).status;
    };
    EXPECT_EQ(status({}), ForecastStatus::too_short);
    EXPECT_EQ(status({1}), ForecastStatus::too_short);
    EXPECT_EQ(status({1, HUGE_VAL, 3}), ForecastStatus::overflow);
    EXPECT_EQ(status({1, NAN, 3}), ForecastStatus::overflow);
    AutoregressionOptions options;
    options.n_lags = 4;
    EXPECT_EQ(status({1, 2, 1, 3, 2}, options), ForecastStatus::too_short);
    EXPECT_EQ(status({1, 2, 1, 3, 2, 5, 1, 9}, options), ForecastStatus::too_short);
    options.n_lags = AutoregressionOptions::kMaxLags + 1;
    EXPECT_EQ(status({1, 2, 3}, options), ForecastStatus::not_admissible);
    const Doubles x = {1, 2, NAN, 4};
    options = {};
    options.regressors = x;
    options.n_regressors = 1;
    EXPECT_EQ(status({1, 2, 1, 3}, options), ForecastStatus::overflow);
    volatile int raised = 1;
    StopSignal stop;
    stop.flag = &raised;
    AutoregressionFit fit;
    EXPECT_EQ(fit_autoregression({short_memory(), 1}, {}, stop, fit), ForecastStatus::stopped);
    // A model with regressors wants their future.
    const Doubles whole = regressor(1, 60);
    options.regressors = whole;
    ASSERT_EQ(fit_autoregression({short_memory(), 1}, options, {}, fit), ForecastStatus::ok);
    Doubles mean(3), variance(3);
    EXPECT_EQ(forecast_autoregression(fit, Doubles{1, 2}, {mean, variance}),
              ForecastStatus::not_admissible);
    EXPECT_EQ(forecast_autoregression(fit, Doubles{1, NAN, 2}, {mean, variance}),
              ForecastStatus::overflow);
}

TEST(Autoregression, degenerate_series) {
    const auto check = [](const Doubles& y, int m) {
        const Result r = run(y, m, {}, 30);
        if (r.status != ForecastStatus::ok) return r;
        for (std::size_t h = 0; h < r.mean.size(); ++h) {
            EXPECT_TRUE(std::isfinite(r.mean[h])) << y.size() << " " << m;
            EXPECT_FALSE(r.variance[h] < 0);
        }
        return r;
    };
    for (const int m : {1, 4, 12}) {
        for (int n = 2; n <= 30; ++n) {
            const auto size = static_cast<std::size_t>(n);
            for (const double level : {0.0, 0.1, -7.0, 1e300, 1e-300}) {
                const Result r = check(Doubles(size, level), m);
                ASSERT_EQ(r.status, ForecastStatus::ok);
                EXPECT_NEAR(r.mean[29], level, 1e-12 * std::abs(level));
                EXPECT_EQ(r.variance[0], 0);
            }
            for (const double height : {1.0, 1e300}) {
                for (std::size_t at = 0; at < size; ++at) {
                    Doubles spike(size, 0.0);
                    spike[at] = height;
                    (void)check(spike, m);
                }
            }
            Doubles line, square;
            for (int t = 0; t < n; ++t) {
                line.push_back(5 + 3 * t);
                square.push_back(t % 2 == 0 ? 4 : 9);
            }
            EXPECT_EQ(check(line, m).status, ForecastStatus::ok);
            EXPECT_EQ(check(square, m).status, ForecastStatus::ok);
        }
    }
    Doubles line;
    for (int t = 0; t < 40; ++t) line.push_back(5 + 3 * t);
    const Result r = run(line, 1, {});
    EXPECT_EQ(r.fit.lags, Ints{1});
    EXPECT_NEAR(r.mean[5], 5 + 3 * 45, 1e-9);
}

TEST(Autoregression, as_a_method_among_others) {
    const Doubles y = seasonal_memory(), x = regressor(1, 96);
    const Ints seasons = {6};
    const SeriesData series{y, seasons, x, 1};
    MethodSpec spec;
    spec.method = ForecastMethod::autoregression;
    ForecastWorkspace workspace;
    ForecastModel model;
    model.members.resize(1);
    MethodFit& fit = model.members[0];
    ASSERT_EQ(fit_method(spec, series, {}, workspace, fit), ForecastStatus::ok);
    EXPECT_EQ(fit_label(fit), "AR(1,6)");
    std::vector<FitTerm> terms;
    list_terms(fit, terms);
    ASSERT_EQ(terms.size(), 5U);
    EXPECT_STREQ(terms[3].name, "lag");
    EXPECT_EQ(terms[3].index, 6);
    EXPECT_GT(terms[3].std_error, 0);

    Doubles fitted(96), errors(96);
    ASSERT_TRUE(one_step_method(fit, series, fitted, errors));
    double squares = 0;
    for (std::size_t t = 0; t < 96; ++t) {
        EXPECT_EQ(std::isnan(errors[t]), t < 6);
        if (t >= 6) squares += errors[t] * errors[t];
    }
    // 90 observations, 4 coefficients.
    EXPECT_NEAR(squares / 86, fit.summary().sigma2, 1e-10);

    model.asked = spec.method;
    model.grid.step = {0, 1};
    model.n = 96;
    model.n_features = 1;
    std::vector<unsigned char> bytes;
    encode_forecast_model(model, bytes);
    ForecastModel read;
    decode_forecast_model(bytes.data(), bytes.size(), read);
    const Doubles future = regressor(97, 8);
    Doubles mean(8), variance(8), again(8), again_variance(8);
    ASSERT_EQ(forecast_method(fit, future, {mean, variance}), ForecastStatus::ok);
    ASSERT_EQ(forecast_method(read.members[0], future, {again, again_variance}),
              ForecastStatus::ok);
    EXPECT_EQ(again, mean);
    EXPECT_EQ(again_variance, variance);

    // Without shocks a path is the forecast; one shock goes through it as the psi weights say.
    PathMaker maker(fit, mean);
    ASSERT_TRUE(maker.possible());
    Doubles shock(8, 0.0), path(8);
    maker.run(shock, path);
    EXPECT_EQ(path, mean);
    shock[0] = 1;
    maker.run(shock, path);
    const auto& ar = std::get<AutoregressionFit>(fit.fit);
    EXPECT_NEAR(path[1] - mean[1], ar.coefficients[0], 1e-12);
    EXPECT_NEAR(path[6] - mean[6], std::pow(ar.coefficients[0], 6) + ar.coefficients[1], 1e-12);

    ASSERT_TRUE(update_method(fit, Doubles{40, 41}, Doubles{1, 2}));
    EXPECT_EQ(std::get<AutoregressionFit>(fit.fit).n, 98);
    std::get<AutoregressionFit>(model.members[0].fit).lags[0] = 7;  // not ascending
    encode_forecast_model(model, bytes);
    EXPECT_THROW(decode_forecast_model(bytes.data(), bytes.size(), read), Error);
}

}  // namespace
}  // namespace many::core
