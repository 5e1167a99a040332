// The Theta method: standard, optimised, dynamic optimised.
//
// The series is seasonally adjusted first when its autocorrelation at the seasonal lag says so (a
// 90 % test): classical decomposition, multiplicative (additive if not all values are positive).
// Then, with z the adjusted series, c = 1 - alpha, omega = 1 - 1 / theta:
//   standard            simple exponential smoothing of z with a drift of half the slope of z on time
//                       (theta = 2): z_(n+h) = l_n + slope / 2 (h - 1 + (1 - c^n) / alpha).
//                       Assimakopoulos & Nikolopoulos (2000), Int. J. Forecasting 16; in the form
//                       of Hyndman & Billah (2003), same journal 19.
//   optimised           mu_t = l_(t-1) + omega (c^(t-1) A + (1 - c^t) / alpha B),  l_t = alpha z_t + c l_(t-1),
//                       with A + B t the line through all of z; alpha, l_0 and theta by least squares.
//   dynamic_optimised   the same with the line A_(t-1) + B_(t-1) t through z_1 .. z_(t-1), so that the
//                       trend may change; its sum of squares starts at t = 3, where there is a line.
//                       Fiorucci, Pellegrini, Louzada, Petropoulos & Koehler (2016), Int. J. Forecasting
//                       32, with its bounds 0.1 <= alpha <= 0.99, theta >= 1.
// Given alpha, mu is linear in l_0 and omega: the optimised forms solve for them, and search alpha alone.
#pragma once

#include <cstdint>
#include <vector>

#include "core/forecasters/ets.h"

namespace many::core {

enum class ThetaKind : std::uint8_t { standard, optimised, dynamic_optimised };

struct ThetaOptions {
    ThetaKind kind = ThetaKind::standard;
    bool seasonal_test = true;         // false: no seasonal adjustment
    double alpha = FitSummary::kNone;  // given: not searched
};

struct ThetaFit {
    ThetaKind kind = ThetaKind::standard;
    int n = 0;
    int season_length = 1;  // 1: not seasonally adjusted
    bool additive_season = false;
    std::vector<double> seasonal;  // of the steps 1 .. m ahead
    double alpha = 0, level = 0, initial_level = 0;
    double theta = 2;  // infinity: omega = 1
    double omega = 0.5;
    double intercept = 0, slope = 0;  // of the line through z at t = 1 .. n: A_n, B_n
    double mean = 0;                  // of z
    FitSummary summary;               // of z; sigma2 = sum of squares / (n - parameters)
};

// Statuses: ok; too_short (fewer than 4 values); overflow; stopped.
[[nodiscard]] ForecastStatus fit_theta(const SeriesView& series, const ThetaOptions& options,
                                       const StopSignal& stop, EtsWorkspace& workspace,
                                       ThetaFit& out);

// variance: sigma2 (1 + (h - 1) alpha^2); dynamic_optimised: sigma2 times the sum of the squared
// responses to the errors of the steps 1 .. h; times the square of the seasonal factor.
// R's thetaf() leaves the variance without that factor: scaled_variance = false does so, too.
[[nodiscard]] ForecastStatus forecast_theta(const ThetaFit& fit, const ForecastOut& out,
                                            bool scaled_variance = true);

// New observations move the level and the line through the series; alpha, theta and the seasonal
// figure stay. False, and the fit as it was, where something is not finite.
[[nodiscard]] bool update_theta(ThetaFit& fit, std::span<const double> y);

// One-step forecasts of the series of the fit, and the errors of z (both as long as y; NaN where the
// line of the dynamic form is not there yet).
void theta_one_step(const ThetaFit& fit, std::span<const double> y, std::span<double> fitted,
                    std::span<double> errors);

// The series' continuation when the errors of z are these.
void theta_path(const ThetaFit& fit, std::span<const double> errors, std::span<double> path);

}  // namespace many::core
