// What plot_series and plot_forecast share: a picture of plain arrays.
#pragma once

#include "pg/server.h"

namespace many::serving {

enum class PlotFormat { svg, text, ascii };

// Arrays of n values, NaN: a gap; nullptr: none. Text in UTF-8 (plot_utf8).
struct Plot {
    int n;
    char** labels;  // nullptr: 1, 2, ...
    const char* title;
    const double *actual, *fitted, *mean;
    int n_bands;  // the wider first
    double levels[2];
    const double *lower[2], *upper[2];
    PlotFormat format;
    int width, height;
};

// svg, text or ascii; nullptr: svg. Raises 22023.
PlotFormat plot_format(const char* name);
// Size in pixels or characters where the caller gave none.
int plot_width(PlotFormat format);
int plot_height(PlotFormat format);

char* plot_utf8(char* text);

// The picture in the database's encoding, in the current memory context. Raises 22023 for sizes out of
// range and when there is nothing to draw.
text* draw_plot(const Plot* plot);

}  // namespace many::serving
