// How often to difference a series: KPSS test, seasonal strength; and autocorrelations.
//
// KPSS (Kwiatkowski, Phillips, Schmidt & Shin 1992), level: sum of squared partial sums of y - mean
// over n^2 times the long-run variance by Bartlett's window with trunc(3 sqrt(n) / 13) lags; above
// 0.463 stationarity is rejected at 5 %. Seasonal strength (Wang, Smith & Hyndman 2006): 1 -
// var(remainder) / var(remainder + season) of an STL decomposition; above 0.64 the season is
// differenced (Hyndman & Athanasopoulos 2021, 9.1). Choices as ndiffs() and nsdiffs() of R's forecast.
#pragma once

#include <span>
#include <vector>

#include "core/forecasters/forecaster.h"

namespace many::core {

// Lags 1 .. max_lag, divisor n; NaN for a series without variance.
[[nodiscard]] std::vector<double> autocorrelations(std::span<const double> y, int max_lag);

// All values equal to 1.5e-8 of their size in the mean, as R's all.equal.
[[nodiscard]] bool is_constant(std::span<const double> y) noexcept;

// NaN where the long-run variance is not positive.
[[nodiscard]] double kpss_level(std::span<const double> y, int lags);

// Differences until the KPSS test accepts, at most max_d.
[[nodiscard]] int count_differences(std::span<const double> y, int max_d = 2);

// In [0, 1]; 0 for n <= 2 m.
[[nodiscard]] double seasonal_strength(const SeriesView& series);

// 0 or 1.
[[nodiscard]] int count_seasonal_differences(const SeriesView& series);

}  // namespace many::core
