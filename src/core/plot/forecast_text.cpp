// forecast_text: see forecast_plot.h. Layout, from the top: title, legend, plot, axis, labels.
//
// Lines are drawn on a grid of dots, 2 x 4 in a character (a braille pattern), or 1 x 1 in ASCII.
// A character shows, by rank: dots of actual and forecast, the line where the forecast starts,
// a fitted value, an interval.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>

#include "core/plot/plot_scale.h"

namespace many::core {

namespace {

constexpr int kLongestLabel = 20;  // columns

// What differs between the two kinds of characters.
struct Glyphs {
    int dots_across, dots_down;
    const char* actual;  // nullptr: braille patterns
    const char* forecast;
    const char *start, *fitted, *outer, *inner;
    const char *axis, *value_tick, *corner, *base, *time_tick;
};

constexpr Glyphs kBraille = {2, 4, nullptr, nullptr, "┊", "·", "░", "▒", "│", "┤", "└", "─", "┬"};
constexpr Glyphs kAscii = {1, 1, "*", "o", "|", ".", ":", "%", "|", "+", "+", "-", "+"};

struct Cell {
    std::uint8_t dots = 0;  // of the braille pattern; ASCII: 1
    bool forecast = false, start = false, fitted = false;
    std::uint8_t band = 0;  // 1: the outer, 2: the inner
};

// Bits of the braille patterns: U+2800 + these.
constexpr std::uint8_t kDots[4][2] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};

std::string braille(std::uint8_t dots) {
    return {static_cast<char>(0xE2), static_cast<char>(0xA0 | (dots >> 6)),
            static_cast<char>(0x80 | (dots & 0x3F))};
}

struct Dot {
    int x, y;
};

std::string padded_left(const std::string& text, int columns) {
    return std::string(static_cast<std::size_t>(std::max(columns - text_columns(text), 0)), ' ') +
           text;
}

void trim_right(std::string& line) {
    line.erase(line.find_last_not_of(' ') + 1);
}

class Drawing {
  public:
    Drawing(const PlotData& data, const TextOptions& options);
    std::string take();

  private:
    void series(const std::vector<double>& values, bool forecast);
    void fitted();
    void band(const PlotBand& band, std::uint8_t rank);
    void start_line();
    void draw(Dot from, Dot to, bool forecast);
    void dot(Dot at, bool forecast);
    [[nodiscard]] std::string legend() const;
    void rows(std::string& out) const;
    void time_axis(std::string& out) const;
    [[nodiscard]] const char* glyph(const Cell& cell, std::string& pattern) const;

    [[nodiscard]] Dot at(int i, double value) const;
    [[nodiscard]] int cell_column(int i) const;
    [[nodiscard]] double value_at(const std::vector<double>& values, double index) const;
    Cell& cell(int column, int row) {
        return cells_[static_cast<std::size_t>(row) * static_cast<std::size_t>(columns_) +
                      static_cast<std::size_t>(column)];
    }

    const PlotData& data_;
    const TextOptions& options_;
    const Glyphs& glyphs_;
    ValueAxis axis_;
    int n_, start_, joint_, label_columns_ = 0, columns_ = 0, rows_ = 0;
    std::vector<Cell> cells_;
};

Drawing::Drawing(const PlotData& data, const TextOptions& options)
    : data_(data),
      options_(options),
      glyphs_(options.ascii ? kAscii : kBraille),
      n_(static_cast<int>(data.times.size())),
      start_(forecast_start(data)),
      joint_(last_actual(data)) {
    if (start_ < 0 || joint_ != start_ - 1) joint_ = -1;
    rows_ = options.height - 3 - (data.title.empty() ? 0 : 1);
    axis_ = value_axis(data, std::clamp(rows_ / 3, 2, 8));
    for (int i = 0; i < axis_.n_ticks; ++i)
        label_columns_ = std::max(label_columns_, text_columns(axis_.label(i)));
    columns_ = options.width - label_columns_ - 2;
    cells_.resize(static_cast<std::size_t>(rows_) * static_cast<std::size_t>(columns_));
}

Dot Drawing::at(int i, double value) const {
    const int width = columns_ * glyphs_.dots_across - 1, height = rows_ * glyphs_.dots_down - 1;
    const double x = n_ == 1 ? width / 2.0 : static_cast<double>(i) * width / (n_ - 1);
    return {static_cast<int>(std::lround(x)),
            static_cast<int>(std::lround((1 - axis_.place(value)) * height))};
}

int Drawing::cell_column(int i) const {
    return at(i, axis_.low).x / glyphs_.dots_across;
}

void Drawing::dot(Dot at, bool forecast) {
    Cell& into = cell(at.x / glyphs_.dots_across, at.y / glyphs_.dots_down);
    into.dots =
        static_cast<std::uint8_t>(into.dots | (options_.ascii ? 1 : kDots[at.y % 4][at.x % 2]));
    into.forecast = into.forecast || forecast;
}

// Bresenham (1965).
void Drawing::draw(Dot from, Dot to, bool forecast) {
    const int dx = std::abs(to.x - from.x), dy = -std::abs(to.y - from.y);
    const int step_x = from.x < to.x ? 1 : -1, step_y = from.y < to.y ? 1 : -1;
    int error = dx + dy;
    for (;;) {
        dot(from, forecast);
        if (from.x == to.x && from.y == to.y) return;
        const int twice = 2 * error;
        if (twice >= dy) {
            error += dy;
            from.x += step_x;
        }
        if (twice <= dx) {
            error += dx;
            from.y += step_y;
        }
    }
}

void Drawing::series(const std::vector<double>& values, bool forecast) {
    bool open = false;
    Dot last{};
    if (forecast && joint_ >= 0) {
        last = at(joint_, data_.actual[static_cast<std::size_t>(joint_)]);
        open = true;
    }
    for (int i = forecast ? std::max(start_, 0) : 0; i < static_cast<int>(values.size()); ++i) {
        const double value = values[static_cast<std::size_t>(i)];
        if (!std::isfinite(value)) {
            open = false;
            continue;
        }
        const Dot next = at(i, value);
        draw(open ? last : next, next, forecast);
        last = next;
        open = true;
    }
}

void Drawing::fitted() {
    for (int i = 0; i < static_cast<int>(data_.fitted.size()); ++i) {
        const double value = data_.fitted[static_cast<std::size_t>(i)];
        if (!std::isfinite(value)) continue;
        const Dot where = at(i, value);
        cell(where.x / glyphs_.dots_across, where.y / glyphs_.dots_down).fitted = true;
    }
}

// Interpolated; from the last actual on, where the forecast goes on right behind it.
double Drawing::value_at(const std::vector<double>& values, double index) const {
    const int i = std::clamp(static_cast<int>(std::floor(index)), 0, n_ - 1);
    const int j = std::min(i + 1, n_ - 1);
    const auto value = [&](int k) {
        return joint_ >= 0 && k == joint_ ? data_.actual[static_cast<std::size_t>(k)]
                                          : values[static_cast<std::size_t>(k)];
    };
    const double part = index - i;
    if (part < 1e-9) return value(i);
    return (1 - part) * value(i) + part * value(j);
}

void Drawing::band(const PlotBand& band, std::uint8_t rank) {
    for (int column = 0; column < columns_; ++column) {
        const int across = glyphs_.dots_across, width = columns_ * across - 1;
        const double x = column * across + (across - 1) / 2.0;
        const double index = n_ == 1 || width == 0 ? 0 : std::min(x * (n_ - 1) / width, n_ - 1.0);
        if (n_ == 1 && column != cell_column(0)) continue;
        const double lower = value_at(band.lower, index), upper = value_at(band.upper, index);
        if (!std::isfinite(lower) || !std::isfinite(upper)) continue;
        const double low = axis_.place(lower), high = axis_.place(upper);
        for (int row = 0; row < rows_; ++row) {
            const double place = 1 - (row + 0.5) / rows_;
            if (place >= low && place <= high)
                cell(column, row).band = std::max(cell(column, row).band, rank);
        }
    }
}

void Drawing::start_line() {
    if (start_ <= 0) return;
    const int before = cell_column(start_ - 1), first = cell_column(start_);
    const int column = before + (first - before + 1) / 2;
    for (int row = 0; row < rows_; ++row) cell(column, row).start = true;
}

std::string Drawing::legend() const {
    std::string line;
    const auto entry = [&line](const std::string& sign, const std::string& name) {
        line += (line.empty() ? "" : "  ") + sign + ' ' + name;
    };
    const auto any = [](const std::vector<double>& values) {
        return std::any_of(values.begin(), values.end(), [](double v) { return std::isfinite(v); });
    };
    const bool actual = any(data_.actual), forecast = start_ >= 0;
    if (options_.ascii) {
        if (actual) entry(glyphs_.actual, "actual");
        if (forecast) entry(glyphs_.forecast, "forecast");
    } else if (actual || forecast) {
        entry(braille(0x24) + braille(0x12), actual && forecast ? "actual, forecast"
                                             : actual           ? "actual"
                                                                : "forecast");
    }
    if (any(data_.fitted)) entry(glyphs_.fitted, "fitted");
    for (std::size_t k = data_.bands.size(); k > 0; --k) {
        const bool inner = k == 2;
        entry(inner ? glyphs_.inner : glyphs_.outer, band_name(data_.bands[k - 1]));
    }
    if (start_ > 0) entry(glyphs_.start, "start");
    return fit_text(line, options_.width);
}

const char* Drawing::glyph(const Cell& cell, std::string& pattern) const {
    if (cell.dots != 0) {
        if (options_.ascii) return cell.forecast ? glyphs_.forecast : glyphs_.actual;
        pattern = braille(cell.dots);
        return pattern.c_str();
    }
    if (cell.start) return glyphs_.start;
    if (cell.fitted) return glyphs_.fitted;
    if (cell.band == 0) return " ";
    return cell.band == 2 ? glyphs_.inner : glyphs_.outer;
}

void Drawing::rows(std::string& out) const {
    std::vector<std::string> labels(static_cast<std::size_t>(rows_));
    for (int i = 0; i < axis_.n_ticks; ++i) {
        const int row = at(0, axis_.tick(i)).y / glyphs_.dots_down;
        labels[static_cast<std::size_t>(row)] = axis_.label(i);
    }
    std::string pattern;
    for (int row = 0; row < rows_; ++row) {
        const std::string& label = labels[static_cast<std::size_t>(row)];
        std::string line = padded_left(label, label_columns_) + ' ';
        line += label.empty() ? glyphs_.axis : glyphs_.value_tick;
        for (int column = 0; column < columns_; ++column)
            line +=
                glyph(cells_[static_cast<std::size_t>(row) * static_cast<std::size_t>(columns_) +
                             static_cast<std::size_t>(column)],
                      pattern);
        trim_right(line);
        out += line + '\n';
    }
}

void Drawing::time_axis(std::string& out) const {
    int widest = 1;
    for (const std::string& time : data_.times)
        widest = std::max(widest, std::min(text_columns(time), kLongestLabel));
    const int most = std::clamp(columns_ / (widest + 3) + 1, 1, 8);
    std::vector<bool> ticks(static_cast<std::size_t>(columns_));
    std::string labels;
    int used = 0;  // columns of the line of labels
    const int margin = label_columns_ + 2;
    for (const int i : label_indexes(n_, most)) {
        const int column = cell_column(i);
        const std::string label = fit_text(data_.times[static_cast<std::size_t>(i)], kLongestLabel);
        const int width = text_columns(label);
        const int begin =
            std::clamp(margin + column - width / 2, 0, std::max(options_.width - width, 0));
        if (used > 0 && begin < used + 2) continue;
        ticks[static_cast<std::size_t>(column)] = true;
        labels += std::string(static_cast<std::size_t>(std::max(begin - used, 0)), ' ') + label;
        used = begin + width;
    }
    out += std::string(static_cast<std::size_t>(label_columns_) + 1, ' ') + glyphs_.corner;
    for (const bool tick : ticks) out += tick ? glyphs_.time_tick : glyphs_.base;
    trim_right(labels);
    out += '\n' + labels + '\n';
}

std::string Drawing::take() {
    for (std::size_t k = 0; k < data_.bands.size(); ++k)
        band(data_.bands[k], static_cast<std::uint8_t>(k + 1));
    start_line();
    fitted();
    series(data_.actual, false);
    series(data_.mean, true);
    std::string out;
    if (!data_.title.empty()) out += fit_text(data_.title, options_.width) + '\n';
    out += legend() + '\n';
    rows(out);
    time_axis(out);
    return out;
}

}  // namespace

std::string forecast_text(const PlotData& data, const TextOptions& options) {
    check_plot_data(data);
    check_plot_size("width", options.width, 40, 400);
    check_plot_size("height", options.height, 8, 200);
    return Drawing(data, options).take();
}

}  // namespace many::core
