#include "core/plot/plot_scale.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <span>

#include "core/error.h"

namespace many::core {

namespace {

// A range so small against its values that no label could tell its ends apart is taken for a point.
constexpr double kLeastRange = 1e-12;
constexpr double kLeastValue = 1e-290;

struct Range {
    double low = std::numeric_limits<double>::infinity(), high = -low;

    void add(std::span<const double> values) {
        for (const double value : values) {
            if (!std::isfinite(value)) continue;
            const double v = std::clamp(value, -kPlotLimit, kPlotLimit);
            low = std::min(low, v);
            high = std::max(high, v);
        }
    }
};

Range range_of(const PlotData& data) {
    Range range;
    range.add(data.actual);
    range.add(data.fitted);
    range.add(data.mean);
    for (const PlotBand& band : data.bands) {
        range.add(band.lower);
        range.add(band.upper);
    }
    if (range.low > range.high) return {0, 1};
    const double size = std::max(std::fabs(range.low), std::fabs(range.high));
    if (size < kLeastValue) return {-1, 1};
    const double width = range.high - range.low;
    if (width < kLeastRange * size) return {range.low - 0.1 * size, range.high + 0.1 * size};
    if (range.low > 0 && range.low < 0.5 * width) range.low = 0;
    if (range.high < 0 && -range.high < 0.5 * width) range.high = 0;
    return range;
}

double round_step(double raw) {
    const double power = std::pow(10, std::floor(std::log10(raw)));
    for (const double factor : {1.0, 2.0, 2.5, 5.0}) {
        if (raw <= factor * power * (1 + 1e-9)) return factor * power;
    }
    return 10 * power;
}

std::string printed(double value, std::chars_format format, int precision) {
    std::array<char, 400> digits{};  // 1e300 has 301
    const auto result =
        std::to_chars(digits.data(), digits.data() + digits.size(), value, format, precision);
    return {digits.data(), result.ptr};
}

// 1234567.5 -> 1,234,567.5
std::string grouped(const std::string& digits) {
    const std::size_t begin = digits[0] == '-' ? 1 : 0;
    std::size_t end = digits.find('.');
    if (end == std::string::npos) end = digits.size();
    std::string out = digits.substr(0, begin);
    for (std::size_t i = begin; i < end; ++i) {
        if (i > begin && (end - i) % 3 == 0) out += ',';
        out += digits[i];
    }
    return out + digits.substr(end);
}

// One code point of UTF-8 that is valid; moves on.
char32_t next_code_point(std::string_view text, std::size_t& i) {
    const auto byte = [&](std::size_t k) {
        return k < text.size() ? static_cast<unsigned char>(text[k]) : 0U;
    };
    const unsigned first = byte(i);
    const int more = first < 0xC0 ? 0 : first < 0xE0 ? 1 : first < 0xF0 ? 2 : 3;
    char32_t code = more == 0 ? first : first & (0x3FU >> more);
    for (int k = 1; k <= more; ++k) code = (code << 6) | (byte(i + k) & 0x3FU);
    i = std::min(i + 1 + static_cast<std::size_t>(more), text.size());
    return code;
}

struct CodeRange {
    char32_t from, to;
};

// Blocks, not the whole table of Unicode: a label that is a column off does no harm.
constexpr CodeRange kWide[] = {{0x1100, 0x115F}, {0x2E80, 0xA4CF},   {0xAC00, 0xD7A3},
                               {0xF900, 0xFAFF}, {0xFE30, 0xFE6F},   {0xFF00, 0xFF60},
                               {0xFFE0, 0xFFE6}, {0x1F300, 0x1FAFF}, {0x20000, 0x3FFFD}};
constexpr CodeRange kMarks[] = {{0x300, 0x36F},   {0x483, 0x489},   {0x591, 0x5BD},
                                {0x610, 0x61A},   {0x64B, 0x65F},   {0x200B, 0x200F},
                                {0x202A, 0x202E}, {0x2060, 0x2064}, {0x20D0, 0x20FF},
                                {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F}};

bool within(std::span<const CodeRange> ranges, char32_t code) {
    return std::any_of(ranges.begin(), ranges.end(),
                       [code](const CodeRange& r) { return code >= r.from && code <= r.to; });
}

int columns_of(char32_t code) {
    if (within(kMarks, code)) return 0;
    return within(kWide, code) ? 2 : 1;
}

bool is_control(char32_t code) {
    return code < 0x20 || (code >= 0x7F && code < 0xA0) || (code >= 0xFFFE && code <= 0xFFFF);
}

[[noreturn]] void refuse(const std::string& message) {
    throw Error(ErrorKind::invalid_argument, message);
}

void check_length(const char* name, const std::vector<double>& values, std::size_t n, bool must) {
    if (values.size() == n || (!must && values.empty())) return;
    refuse(std::string(name) + " has " + std::to_string(values.size()) + " values for " +
           std::to_string(n) + " times");
}

}  // namespace

double ValueAxis::place(double value) const noexcept {
    return (std::clamp(value, -kPlotLimit, kPlotLimit) - low) / (high - low);
}

std::string ValueAxis::label(int i) const {
    double value = tick(i);
    if (std::fabs(value) < 1e-9 * step) value = 0;
    const double most = std::max(std::fabs(low), std::fabs(high));
    if (most >= 1e12 || step < 1e-6) {
        const int digits =
            std::clamp(static_cast<int>(std::ceil(std::log10(most / step))) + 2, 3, 15);
        return printed(value, std::chars_format::general, digits);
    }
    int decimals = std::max(0, -static_cast<int>(std::floor(std::log10(step) + 1e-9)));
    const double units = step * std::pow(10, decimals);
    if (std::fabs(units - std::round(units)) > 1e-6) ++decimals;  // steps of 2.5
    return grouped(printed(value, std::chars_format::fixed, decimals));
}

ValueAxis value_axis(const PlotData& data, int n_ticks) {
    const Range range = range_of(data);
    ValueAxis axis;
    axis.step = round_step((range.high - range.low) / std::max(n_ticks - 1, 1));
    const double from = std::floor(range.low / axis.step + 1e-9);
    const double to = std::ceil(range.high / axis.step - 1e-9);
    axis.low = from * axis.step;
    axis.n_ticks = static_cast<int>(std::max(to - from, 1.0)) + 1;
    axis.high = axis.tick(axis.n_ticks - 1);
    return axis;
}

std::vector<int> label_indexes(int n, int most) {
    // Steps that keep to quarters, years of months, and hours of days as far as they can.
    constexpr int kSteps[] = {1, 2, 3, 4, 6, 12, 24, 36, 48, 60, 96, 120, 240, 360, 480, 600, 1200};
    most = std::max(most, 1);
    const auto count = [n](int step) { return (n + step - 1) / step; };
    int step = std::max((n + most - 1) / most, 1);
    for (const int nice : kSteps) {
        if (count(nice) > most) continue;
        if (count(nice) >= std::min(most, 5) || nice == step) step = nice;
        break;
    }
    std::vector<int> indexes;
    for (int i = 0; i < n; i += step) indexes.push_back(i);
    return indexes;
}

void check_plot_data(const PlotData& data) {
    const std::size_t n = data.times.size();
    if (n == 0) refuse("there is nothing to draw: no times");
    if (n > static_cast<std::size_t>(std::numeric_limits<int>::max() / 4)) refuse("too many times");
    check_length("actual", data.actual, n, false);
    check_length("fitted", data.fitted, n, false);
    check_length("forecast", data.mean, n, false);
    if (data.bands.size() > 2) refuse("more than two intervals");
    for (const PlotBand& band : data.bands) {
        check_length("lower", band.lower, n, true);
        check_length("upper", band.upper, n, true);
        if (!(band.level > 0 && band.level < 1))
            refuse("the level of an interval is between 0 and 1");
    }
}

void check_plot_size(const char* name, int value, int least, int most) {
    if (value >= least && value <= most) return;
    refuse(std::string("invalid ") + name + " of the picture: " + std::to_string(value) +
           " (from " + std::to_string(least) + " to " + std::to_string(most) + ")");
}

int forecast_start(const PlotData& data) {
    for (std::size_t i = 0; i < data.mean.size(); ++i) {
        if (std::isfinite(data.mean[i])) return static_cast<int>(i);
    }
    return -1;
}

int last_actual(const PlotData& data) {
    for (std::size_t i = data.actual.size(); i > 0; --i) {
        if (std::isfinite(data.actual[i - 1])) return static_cast<int>(i - 1);
    }
    return -1;
}

std::string band_name(const PlotBand& band) {
    const double percent = 100 * band.level;
    const bool whole = std::fabs(percent - std::round(percent)) < 1e-9;
    return printed(percent, std::chars_format::general, whole ? 3 : 5) + " % interval";
}

int text_columns(std::string_view text) {
    int columns = 0;
    for (std::size_t i = 0; i < text.size();) columns += columns_of(next_code_point(text, i));
    return columns;
}

std::string fit_text(std::string_view text, int columns) {
    constexpr std::string_view kCut = "...";
    const bool cut = text_columns(text) > columns;
    const int room = cut ? std::max(columns - static_cast<int>(kCut.size()), 0) : columns;
    std::string out;
    int used = 0;
    for (std::size_t i = 0; i < text.size();) {
        const std::size_t begin = i;
        const char32_t code = next_code_point(text, i);
        used += columns_of(code);
        if (used > room) break;
        if (is_control(code))
            out += ' ';
        else
            out += text.substr(begin, i - begin);
    }
    if (cut && columns >= static_cast<int>(kCut.size())) out += kCut;
    return out;
}

}  // namespace many::core
