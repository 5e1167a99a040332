#include "core/forecasters/theta.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace many::core {
namespace {

using Doubles = std::vector<double>;
constexpr ThetaKind kKinds[] = {ThetaKind::standard, ThetaKind::optimised,
                                ThetaKind::dynamic_optimised};

ThetaOptions of_kind(ThetaKind kind) {
    ThetaOptions options;
    options.kind = kind;
    return options;
}

Doubles waves(int n, int m) {
    Doubles y;
    for (int t = 0; t < n; ++t) {
        y.push_back(50 + 0.3 * t + 8 * std::sin(2 * 3.141592653589793 * t / m) + (t * 7 % 5));
    }
    return y;
}

// The optimised forms by their definition, step by step; sum of squares from `first` on.
double squares_by_definition(const Doubles& z, const ThetaFit& fit, std::size_t first, double alpha,
                             double omega, double level) {
    const bool dynamic = fit.kind == ThetaKind::dynamic_optimised;
    double sum = 0;
    for (std::size_t i = 0; i < z.size(); ++i) {
        const double t = static_cast<double>(i + 1);
        double a = fit.intercept, b = fit.slope;
        if (dynamic) {  // the line through what has been seen
            double mean = 0, product = 0, square = 0;
            for (std::size_t k = 0; k < i; ++k) mean += z[k] / static_cast<double>(i);
            for (std::size_t k = 0; k < i; ++k) {
                const double d = static_cast<double>(k + 1) - (static_cast<double>(i) + 1) / 2;
                product += d * (z[k] - mean);
                square += d * d;
            }
            b = square > 0 ? product / square : 0;
            a = mean - b * (static_cast<double>(i) + 1) / 2;
        }
        const double mu = level + omega * (std::pow(1 - alpha, t - 1) * a +
                                           (1 - std::pow(1 - alpha, t)) / alpha * b);
        if (i >= first) sum += (z[i] - mu) * (z[i] - mu);
        level += alpha * (z[i] - level);
    }
    return sum;
}

TEST(Theta, optimised_forms_are_least_squares) {
    const Doubles y = waves(40, 9);
    EtsWorkspace workspace;
    for (const ThetaKind kind : {ThetaKind::optimised, ThetaKind::dynamic_optimised}) {
        ThetaFit fit;
        ASSERT_EQ(fit_theta({y, 1}, of_kind(kind), {}, workspace, fit), ForecastStatus::ok);
        const std::size_t first = kind == ThetaKind::optimised ? 0 : 2;
        const auto squares = [&](double alpha, double omega, double level) {
            return squares_by_definition(y, fit, first, alpha, omega, level);
        };
        const double least = squares(fit.alpha, fit.omega, fit.initial_level);
        EXPECT_NEAR(fit.summary.sigma2 * (fit.n - 3), least, 1e-7 * least);
        for (const double step : {-1e-3, 1e-3}) {
            if (fit.alpha + step >= 0.1 && fit.alpha + step <= 0.99) {
                EXPECT_GT(squares(fit.alpha + step, fit.omega, fit.initial_level),
                          least * (1 - 1e-9));
            }
            if (fit.omega + step >= 0 && fit.omega + step <= 1) {
                EXPECT_GT(squares(fit.alpha, fit.omega + step, fit.initial_level),
                          least * (1 - 1e-9));
            }
            EXPECT_GT(squares(fit.alpha, fit.omega, fit.initial_level + step), least * (1 - 1e-9));
        }
    }
}

// theta = 2 and a given alpha: the optimised form's forecasts grow by half the slope, as the standard's.
TEST(Theta, forecasts_of_a_line_go_on) {
    Doubles y;
    for (int t = 1; t <= 30; ++t) y.push_back(10 + 2 * t);
    EtsWorkspace workspace;
    for (const ThetaKind kind : kKinds) {
        ThetaFit fit;
        ASSERT_EQ(fit_theta({y, 1}, of_kind(kind), {}, workspace, fit), ForecastStatus::ok);
        Doubles mean(5), variance(5);
        ASSERT_EQ(forecast_theta(fit, {mean, variance}), ForecastStatus::ok);
        EXPECT_NEAR(fit.slope, 2, 1e-12);
        for (std::size_t h = 1; h < 5; ++h) EXPECT_GT(mean[h], mean[h - 1] + 0.9);
    }
}

// The variance of the dynamic form against the responses to a value moved by 1.
TEST(Theta, dynamic_variance_is_that_of_the_responses) {
    const Doubles y = waves(30, 7);
    EtsWorkspace workspace;
    ThetaFit fit;
    ASSERT_EQ(fit_theta({y, 1}, of_kind(ThetaKind::dynamic_optimised), {}, workspace, fit),
              ForecastStatus::ok);
    Doubles mean(2), variance(2);
    ASSERT_EQ(forecast_theta(fit, {mean, variance}), ForecastStatus::ok);
    // The line through n + 1 values when the last moves by 1: slope by 6 / ((n + 1) (n + 2)), mean by
    // 1 / (n + 1).
    const double n = 30, b = 6 / ((n + 1) * (n + 2)), a = 1 / (n + 1) - (n + 2) / 2 * b;
    const double c = 1 - fit.alpha, power = std::pow(c, n + 1);
    const double response = fit.alpha + fit.omega * (power * a + (1 - power * c) / fit.alpha * b);
    EXPECT_NEAR(variance[1] / variance[0], 1 + response * response, 1e-12);
}

TEST(Theta, seasons_are_taken_out_and_put_back) {
    EtsWorkspace workspace;
    Doubles y;
    for (int t = 0; t < 36; ++t) y.push_back((t % 4 == 0 ? 150 : 100) + (t % 3));
    for (const double shift : {0.0, -120.0}) {  // the second is not positive: additive
        Doubles moved = y;
        for (double& v : moved) v += shift;
        for (const ThetaKind kind : kKinds) {
            ThetaFit fit;
            ASSERT_EQ(fit_theta({moved, 4}, of_kind(kind), {}, workspace, fit), ForecastStatus::ok);
            ASSERT_EQ(fit.season_length, 4);
            EXPECT_EQ(fit.additive_season, shift != 0);
            Doubles mean(8), variance(8);
            ASSERT_EQ(forecast_theta(fit, {mean, variance}), ForecastStatus::ok);
            for (std::size_t h = 0; h < 8; ++h) {
                EXPECT_NEAR(mean[h], (h % 4 == 0 ? 151 : 101) + shift, 3);
            }
            ThetaOptions plain = of_kind(kind);
            plain.seasonal_test = false;
            ASSERT_EQ(fit_theta({moved, 4}, plain, {}, workspace, fit), ForecastStatus::ok);
            EXPECT_EQ(fit.season_length, 1);
        }
    }
}

TEST(Theta, degenerate_series_never_give_nan) {
    const double inf = std::numeric_limits<double>::infinity();
    std::vector<Doubles> all = {{},
                                {5},
                                {1, 2, 3},
                                Doubles(40, 0.0),
                                Doubles(40, 7.0),
                                Doubles(40, 1e300),
                                Doubles(40, -1e300),
                                {1, 2, 3, 4, inf}};
    Doubles spike(40, 0.0), wild;
    spike[17] = 1;
    for (int t = 0; t < 40; ++t) wild.push_back(t % 4 == 0 ? 1e300 : 1e-300);
    all.push_back(spike);
    all.push_back(wild);
    for (int n = 2; n <= 26; ++n) {
        Doubles y;
        for (int t = 0; t < n; ++t) y.push_back(t % 4);
        all.push_back(y);
    }
    EtsWorkspace workspace;
    for (const Doubles& y : all) {
        for (const int m : {1, 4, 12}) {
            for (const ThetaKind kind : kKinds) {
                ThetaFit fit;
                if (fit_theta({y, m}, of_kind(kind), {}, workspace, fit) != ForecastStatus::ok)
                    continue;
                Doubles mean(30), variance(30);
                if (forecast_theta(fit, {mean, variance}) != ForecastStatus::ok) continue;
                for (const double v : mean) EXPECT_TRUE(std::isfinite(v));
            }
        }
    }
    ThetaFit fit;
    EXPECT_EQ(fit_theta({Doubles{1, 2, 3}, 1}, {}, {}, workspace, fit), ForecastStatus::too_short);
    ASSERT_EQ(fit_theta({Doubles(40, 7.0), 4}, {}, {}, workspace, fit), ForecastStatus::ok);
    EXPECT_NEAR(fit.level, 7, 1e-9);
}

}  // namespace
}  // namespace many::core
