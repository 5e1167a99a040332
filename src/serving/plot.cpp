// plot_series: arrays of actuals and forecasts as a picture. What is drawn and how stands in
// core/plot; here text changes its encoding (the core has UTF-8) and forecasts go on behind the
// actuals.
#include "core/plot/forecast_plot.h"
#include "pg/server.h"
#include "pg/worker_cpu.h"
#include "serving/number_array.h"
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

enum class Format { svg, text, ascii };

struct Request {
    char** labels;
    int n_labels;
    NumberArray actual, forecast, fitted;
    NumberArray lower[2], upper[2];
    double levels[2];
    int n_bands;
    const char* title;
    Format format;
    int width, height;
};

bool to_utf8() {
    return GetDatabaseEncoding() != PG_UTF8 && GetDatabaseEncoding() != PG_SQL_ASCII;
}

// Ends in a zero, in UTF-8.
char* utf8_text(Datum value) {
    char* given = TextDatumGetCString(value);
    return to_utf8() ? pg_server_to_any(given, static_cast<int>(strlen(given)), PG_UTF8) : given;
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

Format read_format(FunctionCallInfo fcinfo) {
    const char* name = PG_ARGISNULL(kFormat) ? "svg" : text_to_cstring(PG_GETARG_TEXT_PP(kFormat));
    if (strcmp(name, "svg") == 0) return Format::svg;
    if (strcmp(name, "ascii") == 0) return Format::ascii;
    // Braille patterns are in no other encoding.
    if (strcmp(name, "text") == 0)
        return GetDatabaseEncoding() == PG_UTF8 ? Format::text : Format::ascii;
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("unknown format of a picture: \"%s\"", name),
                    errhint("Formats are svg, text and ascii.")));
    pg_unreachable();
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
    request->format = read_format(fcinfo);
    const bool svg = request->format == Format::svg;
    request->width = PG_ARGISNULL(kWidth) ? (svg ? 800 : 80) : PG_GETARG_INT32(kWidth);
    request->height = PG_ARGISNULL(kHeight) ? (svg ? 400 : 20) : PG_GETARG_INT32(kHeight);
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

// --- Behind the wall: no server call ------------------------------------------------------------

std::vector<double> placed(const NumberArray& array, std::size_t at, std::size_t n) {
    std::vector<double> out;
    if (array.values == nullptr) return out;
    out.assign(n, std::nan(""));
    for (int i = 0; i < array.size(); ++i) out[at + static_cast<std::size_t>(i)] = array.values[i];
    return out;
}

std::string drawn(const Request& request) {
    const auto before = static_cast<std::size_t>(request.actual.size());
    const std::size_t n = before + static_cast<std::size_t>(request.forecast.size());
    core::PlotData data;
    data.title = request.title;
    for (std::size_t i = 0; i < n; ++i)
        data.times.push_back(request.labels == nullptr ? std::to_string(i + 1)
                                                       : std::string(request.labels[i]));
    data.actual = placed(request.actual, 0, n);
    data.fitted = placed(request.fitted, 0, n);
    data.mean = placed(request.forecast, before, n);
    for (int k = 0; k < request.n_bands; ++k)
        data.bands.push_back({request.levels[k], placed(request.lower[k], before, n),
                              placed(request.upper[k], before, n)});
    if (request.format == Format::svg)
        return core::forecast_svg(data, {request.width, request.height});
    return core::forecast_text(data,
                               {request.width, request.height, request.format == Format::ascii});
}

}  // namespace

extern "C" {

PG_FUNCTION_INFO_V1(many_plot_series);

Datum many_plot_series(PG_FUNCTION_ARGS) {
    pg::join_worker_cpu();
    Request request = {};
    read_request(fcinfo, &request);
    char* picture = nullptr;  // by malloc: what the wall lets through is plain
    wall::WallError error;
    if (!wall::across_wall(&error, [&] {
            const std::string out = drawn(request);
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
    PG_RETURN_TEXT_P(cstring_to_text(copy));
}

}  // extern "C"
