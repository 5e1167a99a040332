// forecast_svg: see forecast_plot.h. Layout, from the top: title, legend, plot, labels of the time.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "core/plot/plot_scale.h"

namespace many::core {

namespace {

constexpr const char* kActualColour = "#262626";
constexpr const char* kFittedColour = "#E69F00";
constexpr const char* kForecastColour = "#0072B2";
constexpr std::array<const char*, 2> kBandColours = {"#CCE3F0", "#8FC1DF"};  // wider, narrower
constexpr const char* kGridColour = "#E6E6E6";
constexpr const char* kTextColour = "#404040";

constexpr double kFontSize = 12, kTitleSize = 16;
constexpr double kCharacter = 0.56;  // mean width of a character, of the font's size
constexpr double kLine = 18;         // height of a line of text
constexpr int kLongestLabel = 24;    // columns
constexpr double kDotSpacing = 9;    // points further apart are marked

struct Point {
    double x, y;
};

double text_width(std::string_view text, double size) {
    return text_columns(text) * kCharacter * size;
}

// Shortest with one decimal; never in the session's locale.
void append_number(std::string& out, double value) {
    std::array<char, 40> digits{};
    const double rounded = std::round(value * 10) / 10;
    const auto result =
        std::to_chars(digits.data(), digits.data() + digits.size(), rounded == 0 ? 0.0 : rounded);
    out.append(digits.data(), result.ptr);
}

void append_attribute(std::string& out, const char* name, double value) {
    out += ' ';
    out += name;
    out += "=\"";
    append_number(out, value);
    out += '"';
}

void append_escaped(std::string& out, std::string_view text) {
    for (const char c : text) {
        switch (c) {
            case '&':
                out += "&amp;";
                break;
            case '<':
                out += "&lt;";
                break;
            case '>':
                out += "&gt;";
                break;
            case '"':
                out += "&quot;";
                break;
            case '\'':
                out += "&#39;";
                break;
            default:
                out += c;
        }
    }
}

class Drawing {
  public:
    Drawing(const PlotData& data, const SvgOptions& options);
    std::string take();

  private:
    void open();
    void legend();
    void legend_entry(double& x, const char* shape, const char* colour, std::string_view name);
    void value_grid();
    void time_axis();
    void band(std::size_t which);
    void start_line();
    void series(const std::vector<double>& values, int from, const char* colour, double width,
                const char* dashes);
    void marks(const std::vector<double>& values, const char* colour);

    void text(double x, double y, std::string_view what, const char* extra);
    void line(Point a, Point b, const char* extra);
    void path(const std::vector<Point>& points, bool& open);
    [[nodiscard]] bool has(const std::vector<double>& values, int i) const;
    [[nodiscard]] Point at(int i, double value) const;
    [[nodiscard]] double x_of(double i) const;

    const PlotData& data_;
    const SvgOptions& options_;
    ValueAxis axis_;
    int n_, start_, joint_;  // joint_: the last actual, when the forecast goes on right behind it
    std::string title_;
    double left_ = 0, right_ = 0, top_ = 0, bottom_ = 0, legend_y_ = 0;
    std::string out_;
};

Drawing::Drawing(const PlotData& data, const SvgOptions& options)
    : data_(data),
      options_(options),
      axis_(value_axis(data, std::clamp(options.height / 60, 3, 12))),
      n_(static_cast<int>(data.times.size())),
      start_(forecast_start(data)),
      joint_(last_actual(data)) {
    if (start_ < 0 || joint_ != start_ - 1) joint_ = -1;
    double widest = 0;
    for (int i = 0; i < axis_.n_ticks; ++i)
        widest = std::max(widest, text_width(axis_.label(i), kFontSize));
    const double margin = 16;
    title_ = fit_text(data.title,
                      static_cast<int>((options.width - 2 * margin) / (kTitleSize * kCharacter)));
    left_ = margin + widest + 8;
    right_ = options.width - margin - 4;
    legend_y_ = title_.empty() ? 24 : 50;
    top_ = legend_y_ + 16;
    bottom_ = options.height - kLine - 16;
}

double Drawing::x_of(double i) const {
    return n_ == 1 ? (left_ + right_) / 2 : left_ + (right_ - left_) * i / (n_ - 1);
}

Point Drawing::at(int i, double value) const {
    return {x_of(i), bottom_ - (bottom_ - top_) * axis_.place(value)};
}

bool Drawing::has(const std::vector<double>& values, int i) const {
    return i >= 0 && i < static_cast<int>(values.size()) &&
           std::isfinite(values[static_cast<std::size_t>(i)]);
}

void Drawing::text(double x, double y, std::string_view what, const char* extra) {
    out_ += "<text";
    append_attribute(out_, "x", x);
    append_attribute(out_, "y", y);
    out_ += extra;
    out_ += '>';
    append_escaped(out_, what);
    out_ += "</text>\n";
}

void Drawing::line(Point a, Point b, const char* extra) {
    out_ += "<line";
    append_attribute(out_, "x1", a.x);
    append_attribute(out_, "y1", a.y);
    append_attribute(out_, "x2", b.x);
    append_attribute(out_, "y2", b.y);
    out_ += extra;
    out_ += "/>\n";
}

// Moves on to each point in turn; the first one lifts the pen unless `open`.
void Drawing::path(const std::vector<Point>& points, bool& open) {
    for (const Point& point : points) {
        out_ += open ? 'L' : 'M';
        append_number(out_, point.x);
        out_ += ' ';
        append_number(out_, point.y);
        open = true;
    }
}

void Drawing::open() {
    out_ += "<svg xmlns=\"http://www.w3.org/2000/svg\"";
    append_attribute(out_, "width", options_.width);
    append_attribute(out_, "height", options_.height);
    out_ += " viewBox=\"0 0 " + std::to_string(options_.width) + ' ' +
            std::to_string(options_.height) + "\" role=\"img\"" +
            " font-family=\"Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif\"" +
            " font-size=\"12\" fill=\"" + kTextColour + "\">\n<title>";
    append_escaped(out_, title_.empty() ? std::string_view("Forecast") : std::string_view(title_));
    out_ += "</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#FFFFFF\"/>\n";
    if (!title_.empty())
        text(16, 27, title_, " font-size=\"16\" font-weight=\"bold\" fill=\"#1A1A1A\"");
}

void Drawing::legend_entry(double& x, const char* shape, const char* colour,
                           std::string_view name) {
    const double needed = 30 + text_width(name, kFontSize);
    if (x + needed > options_.width - 8) return;
    out_ += std::string(shape == std::string_view("band") ? "<rect" : "<line");
    const double y = legend_y_ - 4;
    if (shape == std::string_view("band")) {
        append_attribute(out_, "x", x);
        append_attribute(out_, "y", y - 6);
        out_ += std::string(" width=\"22\" height=\"12\" fill=\"") + colour + "\"/>\n";
    } else {
        append_attribute(out_, "x1", x);
        append_attribute(out_, "y1", y);
        append_attribute(out_, "x2", x + 22);
        append_attribute(out_, "y2", y);
        out_ +=
            std::string(" stroke=\"") + colour + "\"" +
            (shape == std::string_view("dashes") ? " stroke-width=\"1.4\" stroke-dasharray=\"5 3\""
                                                 : " stroke-width=\"2.2\"") +
            "/>\n";
    }
    text(x + 28, legend_y_, name, "");
    x += needed + 16;
}

void Drawing::legend() {
    double x = 16;
    const auto any = [](const std::vector<double>& values) {
        return std::any_of(values.begin(), values.end(), [](double v) { return std::isfinite(v); });
    };
    if (any(data_.actual)) legend_entry(x, "line", kActualColour, "Actual");
    if (any(data_.fitted)) legend_entry(x, "dashes", kFittedColour, "Fitted");
    if (start_ >= 0) legend_entry(x, "line", kForecastColour, "Forecast");
    for (std::size_t k = data_.bands.size(); k > 0; --k) {
        const std::size_t colour = data_.bands.size() == 1 ? 0 : k - 1;
        legend_entry(x, "band", kBandColours[colour], band_name(data_.bands[k - 1]));
    }
}

void Drawing::value_grid() {
    for (int i = 0; i < axis_.n_ticks; ++i) {
        const double y = at(0, axis_.tick(i)).y;
        const std::string stroke = std::string(" stroke=\"") + kGridColour + "\"";
        line({left_, y}, {right_, y}, stroke.c_str());
        text(left_ - 8, y + 4, axis_.label(i), " text-anchor=\"end\"");
    }
}

void Drawing::time_axis() {
    int widest = 1;
    for (const std::string& time : data_.times)
        widest = std::max(widest, std::min(text_columns(time), kLongestLabel));
    const double each = widest * kCharacter * kFontSize + 24;
    const int most = std::clamp(static_cast<int>((right_ - left_) / each) + 1, 1, 8);
    line({left_, bottom_}, {right_, bottom_}, " stroke=\"#808080\"");
    for (const int i : label_indexes(n_, most)) {
        const std::string label = fit_text(data_.times[static_cast<std::size_t>(i)], kLongestLabel);
        const double half = text_width(label, kFontSize) / 2, x = x_of(i);
        line({x, bottom_}, {x, bottom_ + 5}, " stroke=\"#808080\"");
        text(std::clamp(x, half + 2, std::max(options_.width - half - 2, half + 2)),
             bottom_ + kLine + 2, label, " text-anchor=\"middle\"");
    }
}

// One polygon for each run without a gap; it opens at the last actual, where the forecast goes on.
void Drawing::band(std::size_t which) {
    const PlotBand& band = data_.bands[which];
    const std::size_t colour = data_.bands.size() == 1 ? 0 : which;
    const auto both = [&](int i) { return has(band.lower, i) && has(band.upper, i); };
    for (int i = 0; i < n_; ++i) {
        if (!both(i)) continue;
        std::vector<Point> outline;
        int end = i;
        if (joint_ >= 0 && i == start_)
            outline.push_back(at(joint_, data_.actual[static_cast<std::size_t>(joint_)]));
        for (; both(end); ++end)
            outline.push_back(at(end, band.upper[static_cast<std::size_t>(end)]));
        for (int k = end - 1; k >= i; --k)
            outline.push_back(at(k, band.lower[static_cast<std::size_t>(k)]));
        if (outline.size() == 2) {  // one step alone: a bar
            outline = {{outline[0].x - 3, outline[0].y},
                       {outline[0].x + 3, outline[0].y},
                       {outline[1].x + 3, outline[1].y},
                       {outline[1].x - 3, outline[1].y}};
        }
        out_ += std::string("<path fill=\"") + kBandColours[colour] + "\" d=\"";
        bool open = false;
        path(outline, open);
        out_ += "Z\"/>\n";
        i = end;
    }
}

void Drawing::start_line() {
    if (start_ <= 0) return;
    const double x = x_of(start_ - 0.5);
    line({x, top_ - 6}, {x, bottom_}, " stroke=\"#8C8C8C\" stroke-dasharray=\"2 3\"");
}

// The extremes of what falls on one pixel column, in order, stand for all of it.
void Drawing::series(const std::vector<double>& values, int from, const char* colour, double width,
                     const char* dashes) {
    if (values.empty()) return;
    std::string d;
    std::swap(d, out_);
    bool open = false;
    if (from >= 0) path({at(from, data_.actual[static_cast<std::size_t>(from)])}, open);
    std::vector<Point> column;
    const auto flush = [&] {
        if (column.size() > 4) {
            const auto [low, high] =
                std::minmax_element(column.begin(), column.end(),
                                    [](const Point& a, const Point& b) { return a.y < b.y; });
            const Point first = column.front(), last = column.back();
            const Point one = *std::min(low, high), two = *std::max(low, high);
            column = {first, one, two, last};
        }
        path(column, open);
        column.clear();
    };
    for (int i = 0; i < n_; ++i) {
        if (!has(values, i)) {
            flush();
            if (from < 0 || i > from) open = false;
            continue;
        }
        const Point point = at(i, values[static_cast<std::size_t>(i)]);
        if (!column.empty() && std::floor(column.front().x) != std::floor(point.x)) flush();
        column.push_back(point);
    }
    flush();
    std::swap(d, out_);
    if (d.empty()) return;
    out_ += std::string("<path fill=\"none\" stroke=\"") + colour + "\"";
    append_attribute(out_, "stroke-width", width);
    out_ += std::string(" stroke-linejoin=\"round\" stroke-linecap=\"round\"") + dashes + " d=\"" +
            d + "\"/>\n";
}

// Points, where there is room for them, and always those between two gaps: a line has none of them.
void Drawing::marks(const std::vector<double>& values, const char* colour) {
    const bool all = n_ == 1 || (right_ - left_) / (n_ - 1) >= kDotSpacing;
    for (int i = 0; i < n_; ++i) {
        if (!has(values, i)) continue;
        const bool joined = joint_ >= 0 && i == start_ && &values == &data_.mean;
        if (!all && (joined || has(values, i - 1) || has(values, i + 1))) continue;
        const Point point = at(i, values[static_cast<std::size_t>(i)]);
        out_ += "<circle";
        append_attribute(out_, "cx", point.x);
        append_attribute(out_, "cy", point.y);
        out_ += std::string(" r=\"2.4\" fill=\"") + colour + "\"/>\n";
    }
}

std::string Drawing::take() {
    open();
    legend();
    value_grid();
    for (std::size_t k = 0; k < data_.bands.size(); ++k) band(k);
    time_axis();
    start_line();
    series(data_.actual, -1, kActualColour, 1.8, "");
    series(data_.fitted, -1, kFittedColour, 1.4, " stroke-dasharray=\"5 3\"");
    series(data_.mean, joint_, kForecastColour, 2.2, "");
    marks(data_.actual, kActualColour);
    marks(data_.mean, kForecastColour);
    out_ += "</svg>\n";
    return std::move(out_);
}

}  // namespace

std::string forecast_svg(const PlotData& data, const SvgOptions& options) {
    check_plot_data(data);
    check_plot_size("width", options.width, 240, 4000);
    check_plot_size("height", options.height, 160, 4000);
    return Drawing(data, options).take();
}

}  // namespace many::core
