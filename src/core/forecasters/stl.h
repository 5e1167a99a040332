// STL: a series as trend, seasonal components and remainder, by loess (Cleveland, Cleveland, McRae &
// Terpenning 1990), and its extension to several seasons, MSTL (Bandara, Hyndman & Bergmeir 2021).
//
// STL. The inner loop smooths the cycle-subseries of y - trend, takes a low-pass filter of them off
// (so that trend stays out of the season), and smooths y - season to the next trend. The outer loop
// gives values far off less weight. Loess is evaluated at every jump-th point and interpolated in
// between, as the authors do. Windows and jumps that are not given are R's: trend, the next odd of
// 1.5 m / (1 - 1.5 / seasonal window); low-pass, the next odd of m; jumps a tenth of the window.
//
// MSTL. Seasons from the shortest to the longest, each by an STL of the series without the others,
// twice over; seasonal windows 11, 15, 19 .. Seasons that do not fit into the series twice are left
// out. A series without any has its loess trend (R: Friedman's super smoother).
//
// No state; deterministic. m: observations of a season, n: of the series.
#pragma once

#include <span>
#include <vector>

#include "core/forecasters/forecaster.h"

namespace many::core {

struct StlOptions {
    int season_window = 11;                                        // odd, cycles
    int trend_window = 0;                                          // odd, observations; 0: as above
    int low_pass_window = 0;                                       // likewise
    int season_degree = 0, trend_degree = 1, low_pass_degree = 1;  // of the local polynomials
    int inner = 2, outer = 0;                                      // robust: 1 and 15
};

struct Decomposition {
    ForecastStatus status = ForecastStatus::ok;
    std::vector<double> trend, remainder;       // n
    std::vector<int> seasons;                   // those decomposed, ascending
    std::vector<std::vector<double>> seasonal;  // n, one for each
};

// n > 2 m, m > 1; too_short otherwise. O(n window) for each of the smoothers.
[[nodiscard]] Decomposition stl(const SeriesView& series, const StlOptions& options = {});

[[nodiscard]] Decomposition mstl(std::span<const double> y, std::span<const int> season_lengths,
                                 int rounds = 2);

// Adds to out.mean, forecasts of the series without its seasons, the last cycle of each season.
void add_seasons(const Decomposition& decomposition, const ForecastOut& out);

}  // namespace many::core
