// Seasonal structure of a series by the classical means: autocorrelation test, decomposition by
// moving averages. Kendall & Stuart (1983), The Advanced Theory of Statistics 3; conventions of R's
// decompose() and of the M4 competition's benchmarks.
#pragma once

#include <span>

#include "core/forecasters/forecaster.h"

namespace many::core {

// Whether the autocorrelation at the seasonal lag m is outside of the limit z of white noise with the
// autocorrelations of the shorter lags (Bartlett's formula): |r_m| > z sqrt((1 + 2 sum r_i^2, i < m) / n).
// False for m < 2, n <= m and for a constant series. Cost O(n m).
[[nodiscard]] bool is_seasonal(const SeriesView& series, double z);

// The seasonal figure: figure[i] of the observations i, i + m, .. (m values, m >= 2, n >= 2 m).
// Centred moving average as the trend, mean deviation from it (quotient by it, when
// multiplicative) of each season, which then sum to 0 (have mean 1). False when a value is not
// finite (a trend of 0).
[[nodiscard]] bool seasonal_figure(const SeriesView& series, bool multiplicative,
                                   std::span<double> figure);

}  // namespace many::core
