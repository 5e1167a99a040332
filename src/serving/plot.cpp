// plot_series: arrays of actuals and forecasts as a picture. What is drawn and how stands in
// core/plot; here text changes its encoding (the core has UTF-8) and forecasts go on behind the
// actuals.
#include "core/plot/forecast_plot.h"
#include "pg/server.h"
#include "pg/worker_cpu.h"
#include "serving/number_array.h"
#include "serving/plot_call.h"
#include "wall/wall.h"

#include <cmath>
#include <cstdlib>
#include <cstring>

extern "C" {
#include "mb/pg_wchar.h"
}

using namespace many;
using namespace many::serving;

namespace {

enum Argument {
    kLabels,
    kActual,
    kForecast,
    kLower,
    kUpper,
    kTitle,
    kFormat,
    kWidth,
    kHeight,
    kFitted,
    kInnerLower,
    kInnerUpper,
    kLevels
};

struct Request {
    char** labels;
    int n_labels;
    NumberArray actual, forecast, fitted;
    NumberArray lower[2], upper[2];
    double levels[2];
    int n_bands;
    const char* title;
    PlotFormat format;
    int width, height;
};

bool to_utf8() {
    return GetDatabaseEncoding() != PG_UTF8 && GetDatabaseEncoding() != PG_SQL_ASCII;
}

// Ends in a zero, in UTF-8.
char* utf8_text(Datum value) {
    return plot_utf8(TextDatumGetCString(value));
}

void read_labels(FunctionCallInfo fcinfo, Request* request) {
    if (PG_ARGISNULL(kLabels)) return;
    ArrayType* array = PG_GETARG_ARRAYTYPE_P(kLabels);
    if (ARR_NDIM(array) > 1)
        ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
                        errmsg("labels must have at most 1 dimension(s)")));
    Datum* elements;
    bool* nulls;
    deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls,
                      &request->n_labels);
    request->labels =
        static_cast<char**>(palloc(sizeof(char*) * (static_cast<Size>(request->n_labels) + 1)));
    for (int i = 0; i < request->n_labels; ++i)
        request->labels[i] = nulls[i] ? pstrdup("") : utf8_text(elements[i]);
}

void read_bands(FunctionCallInfo fcinfo, Request* request) {
    const NumberArray levels = read_numbers(fcinfo, kLevels, "levels", 1);
    const int arguments[2][2] = {{kLower, kUpper}, {kInnerLower, kInnerUpper}};
    const char* names[2][2] = {{"lower", "upper"}, {"inner_lower", "inner_upper"}};
    for (int k = 0; k < 2; ++k) {
        const NumberArray lower = read_numbers(fcinfo, arguments[k][0], names[k][0], 1);
        const NumberArray upper = read_numbers(fcinfo, arguments[k][1], names[k][1], 1);
        if (lower.values == nullptr && upper.values == nullptr) continue;
        if (lower.size() != upper.size() || lower.size() != request->forecast.size())
            ereport(ERROR,
                    (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
                     errmsg("%s has %d values and %s %d, for %d forecasts", names[k][0],
                            lower.size(), names[k][1], upper.size(), request->forecast.size())));
        if (levels.size() <= k)
            ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
                            errmsg("levels has no level for %s and %s", names[k][0], names[k][1]),
                            errhint("levels are that of lower and upper, then that of inner_lower "
                                    "and inner_upper.")));
        const int band = request->n_bands++;
        request->lower[band] = lower;
        request->upper[band] = upper;
        request->levels[band] = levels.values[k];
    }
}

void read_request(FunctionCallInfo fcinfo, Request* request) {
    request->actual = read_numbers(fcinfo, kActual, "actual", 1);
    request->forecast = read_numbers(fcinfo, kForecast, "forecast", 1);
    request->fitted = read_numbers(fcinfo, kFitted, "fitted", 1);
    request->format =
        plot_format(PG_ARGISNULL(kFormat) ? nullptr : text_to_cstring(PG_GETARG_TEXT_PP(kFormat)));
    request->width = PG_ARGISNULL(kWidth) ? plot_width(request->format) : PG_GETARG_INT32(kWidth);
    request->height =
        PG_ARGISNULL(kHeight) ? plot_height(request->format) : PG_GETARG_INT32(kHeight);
    request->title = PG_ARGISNULL(kTitle) ? "" : utf8_text(PG_GETARG_DATUM(kTitle));
    read_labels(fcinfo, request);
    read_bands(fcinfo, request);
    const int n = request->actual.size() + request->forecast.size();
    if (request->labels != nullptr && request->n_labels != n)
        ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
                        errmsg("%d labels for %d actuals and %d forecasts", request->n_labels,
                               request->actual.size(), request->forecast.size()),
                        errhint("labels has one element for each actual, then one for each "
                                "forecast.")));
    if (request->fitted.values != nullptr && request->fitted.size() != request->actual.size())
        ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
                        errmsg("%d fitted values for %d actuals", request->fitted.size(),
                               request->actual.size())));
}

// Values from the index `at` on among n.
const double* placed(const NumberArray& array, int at, int n) {
    if (array.values == nullptr) return nullptr;
    auto* out = static_cast<double*>(palloc(sizeof(double) * (static_cast<Size>(n) + 1)));
    for (int i = 0; i < n; ++i) {
        const bool inside = i >= at && i - at < array.size();
        out[i] = inside ? array.values[i - at] : std::nan("");
    }
    return out;
}

// --- Behind the wall: no server call ------------------------------------------------------------

std::vector<double> numbers(const double* values, int n) {
    return values == nullptr ? std::vector<double>() : std::vector<double>(values, values + n);
}

std::string drawn(const Plot& plot) {
    core::PlotData data;
    data.title = plot.title;
    for (int i = 0; i < plot.n; ++i)
        data.times.push_back(plot.labels == nullptr ? std::to_string(i + 1)
                                                    : std::string(plot.labels[i]));
    data.actual = numbers(plot.actual, plot.n);
    data.fitted = numbers(plot.fitted, plot.n);
    data.mean = numbers(plot.mean, plot.n);
    for (int k = 0; k < plot.n_bands; ++k)
        data.bands.push_back(
            {plot.levels[k], numbers(plot.lower[k], plot.n), numbers(plot.upper[k], plot.n)});
    if (plot.format == PlotFormat::svg) return core::forecast_svg(data, {plot.width, plot.height});
    return core::forecast_text(data, {plot.width, plot.height, plot.format == PlotFormat::ascii});
}

}  // namespace

namespace many::serving {

PlotFormat plot_format(const char* name) {
    if (name == nullptr || strcmp(name, "svg") == 0) return PlotFormat::svg;
    if (strcmp(name, "ascii") == 0) return PlotFormat::ascii;
    // Braille patterns are in no other encoding.
    if (strcmp(name, "text") == 0)
        return GetDatabaseEncoding() == PG_UTF8 ? PlotFormat::text : PlotFormat::ascii;
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("unknown format of a picture: \"%s\"", name),
                    errhint("Formats are svg, text and ascii.")));
    pg_unreachable();
}

int plot_width(PlotFormat format) {
    return format == PlotFormat::svg ? 800 : 80;
}

int plot_height(PlotFormat format) {
    return format == PlotFormat::svg ? 400 : 20;
}

char* plot_utf8(char* text) {
    return to_utf8() ? pg_server_to_any(text, static_cast<int>(strlen(text)), PG_UTF8) : text;
}

text* draw_plot(const Plot* plot) {
    char* picture = nullptr;  // by malloc: what the wall lets through is plain
    wall::WallError error;
    if (!wall::across_wall(&error, [&] {
            const std::string out = drawn(*plot);
            picture = static_cast<char*>(std::malloc(out.size() + 1));
            if (picture == nullptr) throw std::bad_alloc();
            memcpy(picture, out.c_str(), out.size() + 1);
        }))
        wall::raise_wall_error(&error);
    const Size length = strlen(picture);
    char* copy = length < MaxAllocSize
                     ? static_cast<char*>(palloc_extended(length + 1, MCXT_ALLOC_NO_OOM))
                     : nullptr;
    if (copy != nullptr) memcpy(copy, picture, length + 1);
    std::free(picture);
    if (copy == nullptr) ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
    if (to_utf8()) copy = pg_any_to_server(copy, static_cast<int>(length), PG_UTF8);
    return cstring_to_text(copy);
}

}  // namespace many::serving

extern "C" {

PG_FUNCTION_INFO_V1(many_plot_series);

Datum many_plot_series(PG_FUNCTION_ARGS) {
    pg::join_worker_cpu();
    Request request = {};
    read_request(fcinfo, &request);
    const int before = request.actual.size();
    Plot plot = {};
    plot.n = before + request.forecast.size();
    plot.labels = request.labels;
    plot.title = request.title;
    plot.actual = placed(request.actual, 0, plot.n);
    plot.fitted = placed(request.fitted, 0, plot.n);
    plot.mean = placed(request.forecast, before, plot.n);
    plot.n_bands = request.n_bands;
    for (int k = 0; k < request.n_bands; ++k) {
        plot.levels[k] = request.levels[k];
        plot.lower[k] = placed(request.lower[k], before, plot.n);
        plot.upper[k] = placed(request.upper[k], before, plot.n);
    }
    plot.format = request.format;
    plot.width = request.width;
    plot.height = request.height;
    PG_RETURN_TEXT_P(draw_plot(&plot));
}

}  // extern "C"
