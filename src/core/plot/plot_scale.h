// What both kinds of pictures share: the value axis, the choice of time labels, widths of text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/plot/forecast_plot.h"

namespace many::core {

// Values beyond are drawn there.
inline constexpr double kPlotLimit = 1e300;

// Round numbers from low to high: low + i step, i < n_ticks.
struct ValueAxis {
    double low = 0, high = 1, step = 0.5;
    int n_ticks = 3;

    [[nodiscard]] double tick(int i) const noexcept { return low + i * step; }
    // 0 at low, 1 at high.
    [[nodiscard]] double place(double value) const noexcept;
    [[nodiscard]] std::string label(int i) const;
};

// Covers all values of the data, and 0 when that is not far; about `n_ticks` ticks.
[[nodiscard]] ValueAxis value_axis(const PlotData& data, int n_ticks);

// The indexes to label, evenly spaced, at most `most` (at least one).
[[nodiscard]] std::vector<int> label_indexes(int n, int most);

// Lengths equal, bands at most two; throws Error.
void check_plot_data(const PlotData& data);
void check_plot_size(const char* name, int value, int least, int most);

// Where the forecast begins: index of its first value; -1: there is none.
[[nodiscard]] int forecast_start(const PlotData& data);

// Index of the last actual; -1: there is none.
[[nodiscard]] int last_actual(const PlotData& data);

// "95 % interval"
[[nodiscard]] std::string band_name(const PlotBand& band);

// Columns that UTF-8 text takes in a terminal: 2 for East Asian and emoji, 0 for combining marks.
[[nodiscard]] int text_columns(std::string_view text);

// The text's beginning of at most `columns` columns, "..." at its end when cut; control characters
// become spaces.
[[nodiscard]] std::string fit_text(std::string_view text, int columns);

}  // namespace many::core
