// A forecast as a picture: an SVG document, or a drawing of characters for a terminal.
//
// Both draw actuals, fitted values (if given), forecasts and one or two interval bands over the
// index of the time, a line where the forecast starts, and axes. Values of time: whatever text the
// caller has for each index; some of them become labels of the axis. The value axis has round
// numbers. NaN and infinite values are gaps; of more than 1e300 the axis would know no range: they
// are drawn at its border.
//
// Colours are those of Okabe and Ito (2008), which people of any colour vision can tell apart.
#pragma once

#include <string>
#include <vector>

namespace many::core {

// An interval of the forecasts: lower, upper: as long as PlotData::times.
struct PlotBand {
    double level = 0.95;  // in (0, 1)
    std::vector<double> lower, upper;
};

// Each series is empty or as long as `times`. Text is UTF-8.
struct PlotData {
    std::vector<std::string> times;
    std::vector<double> actual, fitted, mean;
    std::vector<PlotBand> bands;  // none, one or two, the wider first
    std::string title;            // may be empty
};

struct SvgOptions {
    int width = 800, height = 400;  // pixels; 240 .. 4,000 and 160 .. 4,000
};

struct TextOptions {
    int width = 80, height = 20;  // characters; 40 .. 400 and 8 .. 200
    bool ascii = false;           // otherwise UTF-8 with braille patterns and shades
};

// A document of its own: <svg xmlns=...>, ASCII but for what the caller's text has, which is escaped
// (control characters become spaces). No script, no reference to anything outside. O(n); long series
// are thinned to the extremes of each pixel column. Throws Error (invalid_argument) for lengths that
// differ and sizes out of range.
[[nodiscard]] std::string forecast_svg(const PlotData& data, const SvgOptions& options);

// Lines ended by \n, at most `width` columns and `height` lines. Fitted values are dots where
// nothing else is. Throws as above.
[[nodiscard]] std::string forecast_text(const PlotData& data, const TextOptions& options);

}  // namespace many::core
