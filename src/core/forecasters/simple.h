// The benchmarks: naive, seasonal naive, mean, drift, averages of windows, naive2.
//
//   naive                    y_n;                            var_h = h s2
//   seasonal_naive           y of the same season last seen; var_h = (floor((h - 1) / m) + 1) s2
//   mean                     mean of y;                      var_h = s2 (1 + 1 / n), Student's t
//   drift                    y_n + h (y_n - y_1) / (n - 1);  var_h = s2 (h + h^2 / (n - 1))
//   window_average           mean of the last w values;      var_h = s2
//   seasonal_window_average  mean of the last w values of the season;  var_h = s2
//   naive2                   naive on the seasonally adjusted series, if the seasonal test says so
// s2 is the mean of the squared one-step errors (drift: divisor n - 2; mean: n - 1). The variances of
// the windows take the series for a constant level (seasonal level) and noise, as the methods do.
//
// Source: Hyndman & Athanasopoulos, Forecasting: Principles and Practice, 3rd ed., 5.2 and 5.5 (and
// R's forecast, which the first four equal); naive2: Makridakis, Spiliotis & Assimakopoulos (2020),
// Int. J. Forecasting 36, the benchmark of the M competitions.
#pragma once

#include <cstdint>
#include <vector>

#include "core/forecasters/forecaster.h"

namespace many::core {

enum class SimpleMethod : std::uint8_t {
    naive,
    seasonal_naive,
    mean,
    drift,
    window_average,
    seasonal_window_average,
    naive2,
};

struct SimpleOptions {
    // Values (seasonal_window_average: seasons) of the window; cut to what the series has.
    int window = 4;
};

struct SimpleFit {
    SimpleMethod method = SimpleMethod::naive;
    int n = 0;
    int season_length = 1;  // period of `levels`
    int window = 0;         // what was used
    // levels[j]: the forecast of step j + 1, j < season_length, which then repeat.
    std::vector<double> levels;
    std::vector<double> factors;  // naive2: what the seasonally adjusted forecast is multiplied by
    double slope = 0;             // drift
    double degrees_of_freedom = 0;  // of Student's t; 0: the interval is Gaussian
    FitSummary summary;             // sigma2 is s2; no likelihood
};

// Statuses: ok; too_short (no value; seasonal methods: less than a season; sigma2 is NaN where the
// errors are too few for it); overflow (a value is not finite). Cost O(n), naive2 O(n m).
[[nodiscard]] ForecastStatus fit_simple(SimpleMethod method, const SeriesView& series,
                                        const SimpleOptions& options, SimpleFit& out);

[[nodiscard]] ForecastStatus forecast_simple(const SimpleFit& fit, const ForecastOut& out);

// New observations: what a refit would give (naive2: with the seasonal figure as it is). False, and
// the fit as it was: the window averages, whose values are not kept; a value that is not finite.
[[nodiscard]] bool update_simple(SimpleFit& fit, std::span<const double> y);

// One-step forecasts of the fit's series, and the errors (naive2: of the adjusted series); NaN for the
// first values. Both as long as y.
void simple_one_step(const SimpleFit& fit, std::span<const double> y, std::span<double> fitted,
                     std::span<double> errors);

}  // namespace many::core
