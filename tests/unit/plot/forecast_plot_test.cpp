#include "core/plot/forecast_plot.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <sstream>

#include "core/error.h"
#include "core/plot/plot_scale.h"

namespace many::core {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

// n actuals 0, 1, 2, ..., then h forecasts that go on, with an interval of +-2 or two.
PlotData example(int n, int h, int bands = 1) {
    PlotData data;
    data.title = "Units";
    for (int i = 0; i < n + h; ++i) {
        data.times.push_back("t" + std::to_string(i));
        data.actual.push_back(i < n ? i : kNan);
        data.mean.push_back(i < n ? kNan : i);
    }
    for (int k = 0; k < bands; ++k) {
        PlotBand band{k == 0 ? 0.95 : 0.8, data.mean, data.mean};
        for (double& v : band.lower) v -= 2 - k;
        for (double& v : band.upper) v += 2 - k;
        data.bands.push_back(band);
    }
    return data;
}

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
}

int count(const std::string& text, const std::string& what) {
    int n = 0;
    for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1))
        ++n;
    return n;
}

// Elements nest and end, attributes are quoted, text has no bare & or <.
bool is_well_formed(const std::string& xml) {
    std::vector<std::string> open;
    for (std::size_t i = 0; i < xml.size();) {
        if (xml[i] == '&') {
            const std::size_t end = xml.find(';', i);
            if (end == std::string::npos || end - i > 6) return false;
        }
        if (xml[i] != '<') {
            if (open.empty() && xml[i] != '\n') return false;
            ++i;
            continue;
        }
        const std::size_t end = xml.find('>', i);
        if (end == std::string::npos) return false;
        const std::string tag = xml.substr(i + 1, end - i - 1);
        if (tag.find('<') != std::string::npos || count(tag, "\"") % 2 != 0) return false;
        if (tag[0] == '/') {
            if (open.empty() || open.back() != tag.substr(1)) return false;
            open.pop_back();
        } else if (tag.back() != '/') {
            open.push_back(tag.substr(0, tag.find(' ')));
        }
        i = end + 1;
    }
    return open.empty();
}

TEST(ForecastPlot, value_axis_is_round_and_covers) {
    PlotData data = example(10, 3);
    data.actual[4] = 10300;
    const ValueAxis axis = value_axis(data, 6);
    EXPECT_EQ(axis.low, 0);
    EXPECT_EQ(axis.high, 12500);
    EXPECT_EQ(axis.label(axis.n_ticks - 1), "12,500");
    EXPECT_EQ(axis.label(0), "0");
    data = example(3, 0, 0);
    data.actual = {0.1031, 0.1049, 0.1032};
    const ValueAxis fine = value_axis(data, 5);
    EXPECT_EQ(fine.label(0), "0.1030");
    EXPECT_EQ(fine.label(1), "0.1035");
    EXPECT_NEAR(fine.high, 0.105, 1e-12);
    data.actual = {-7, -1, -3};
    EXPECT_EQ(value_axis(data, 5).high, 0);
    EXPECT_EQ(value_axis(data, 5).label(0), "-8");
}

TEST(ForecastPlot, labels_are_evenly_spaced) {
    for (int n = 1; n < 700; ++n) {
        for (const int most : {1, 3, 8}) {
            const std::vector<int> at = label_indexes(n, most);
            ASSERT_FALSE(at.empty());
            ASSERT_LE(at.size(), static_cast<std::size_t>(most));
            ASSERT_LT(at.back(), n);
            for (std::size_t i = 2; i < at.size(); ++i) ASSERT_EQ(at[i] - at[i - 1], at[1] - at[0]);
            ASSERT_TRUE(most < 8 || n < 8 || at.size() >= 4) << n;
        }
    }
    EXPECT_EQ(label_indexes(78, 8), (std::vector<int>{0, 12, 24, 36, 48, 60, 72}));
}

TEST(ForecastPlot, text_is_measured_and_cut) {
    EXPECT_EQ(text_columns("abc"), 3);
    EXPECT_EQ(text_columns("Köln"), 4);
    EXPECT_EQ(text_columns("売上"), 4);
    EXPECT_EQ(fit_text("abcdefgh", 6), "abc...");
    EXPECT_EQ(fit_text("abc", 6), "abc");
    EXPECT_EQ(fit_text("a\tb\x1b[1m", 9), "a b [1m");
    EXPECT_EQ(fit_text("売上売上", 6), "売...");
}

TEST(ForecastPlot, svg_is_well_formed_and_escaped) {
    PlotData data = example(12, 4, 2);
    data.title = "<script>alert('x')</script> & \"more\"\x01";
    data.times[0] = "<&>";
    data.fitted = data.actual;
    const std::string svg = forecast_svg(data, {});
    EXPECT_TRUE(is_well_formed(svg)) << svg;
    EXPECT_EQ(svg.find("<script"), std::string::npos);
    EXPECT_NE(svg.find("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;more&quot; <"),
              std::string::npos);
    EXPECT_NE(svg.find(">&lt;&amp;&gt;<"), std::string::npos);
    for (const char* part : {"Actual", "Fitted", "Forecast", "80 % interval", "95 % interval"})
        EXPECT_NE(svg.find(part), std::string::npos) << part;
    EXPECT_EQ(count(svg, "<path"), 5);  // two bands, three lines
    EXPECT_EQ(svg.find("nan"), std::string::npos);
}

TEST(ForecastPlot, svg_places_points) {
    PlotData data;
    data.times = {"a", "b", "c"};
    data.actual = {0, 10, kNan};
    data.mean = {kNan, kNan, 5};
    const std::string svg = forecast_svg(data, {400, 200});
    // Axis 0 .. 10 is 16 + two digits of 6.72 + 8 from the left and 34 from the bottom; the right margin is 20.
    EXPECT_NE(svg.find("d=\"M37.4 166L208.7 40\""), std::string::npos) << svg;
    EXPECT_NE(svg.find("d=\"M208.7 40L380 103\""), std::string::npos) << svg;  // joined
    EXPECT_NE(svg.find("x1=\"294.4\" y1=\"34\" x2=\"294.4\""), std::string::npos) << svg;
    data.actual[1] = kNan;  // a gap in between: not joined; lone points are marked
    const std::string gap = forecast_svg(data, {400, 200});
    EXPECT_EQ(count(gap, "<circle"), 2);
    EXPECT_EQ(count(gap, "L380"), 0);
}

TEST(ForecastPlot, long_series_are_thinned_to_their_extremes) {
    PlotData data;
    for (int i = 0; i < 200000; ++i) {
        data.times.push_back("x");
        data.actual.push_back(i == 77777 ? 1000 : i % 2);
    }
    const std::string svg = forecast_svg(data, {});
    EXPECT_LT(svg.size(), 80000U);
    EXPECT_TRUE(is_well_formed(svg));
    EXPECT_GE(count(svg, " 40L"), 1);  // the spike reaches the top
}

TEST(ForecastPlot, text_has_its_size) {
    for (const bool ascii : {false, true}) {
        for (const int width : {40, 80, 133}) {
            const std::string text = forecast_text(example(40, 12, 2), {width, 20, ascii});
            const auto lines = lines_of(text);
            EXPECT_EQ(lines.size(), 20U);
            for (const std::string& line : lines) EXPECT_LE(text_columns(line), width) << line;
            EXPECT_EQ(lines[0], "Units");
            EXPECT_NE(lines.back().find("t0"), std::string::npos);
        }
    }
}

TEST(ForecastPlot, text_in_ascii_draws_what_is_there) {
    PlotData data;
    data.times = {"a", "b", "c", "d", "e"};
    data.actual = {0, 2, 4, kNan, kNan};
    data.mean = {kNan, kNan, kNan, 4, 4};
    data.bands = {{0.9, {kNan, kNan, kNan, 2, 2}, {kNan, kNan, kNan, 6, 6}}};
    EXPECT_EQ(forecast_text(data, {40, 10, true}),
              "* actual  o forecast  : 90 % interval...\n"
              "10 +                      |\n"
              "   |                      |\n"
              "   |                      |\n"
              "   |                      |:::::::::::::\n"
              "   |              ****oooooooooooooooooo\n"
              "   |     *********        |   ::::::::::\n"
              " 0 +*****                 |\n"
              "   ++--------+--------+-------+--------+\n"
              "    a        b        c       d        e\n");
}

TEST(ForecastPlot, degenerate_data_are_drawn) {
    const std::vector<std::vector<double>> all = {
        {5},         {kNan},       {kInf, -kInf, kNan}, {1e308, -1e308},
        {5e-324, 0}, {7, 7, 7, 7}, {1e15, 1e15 + 1},    {0, 1e-200},
    };
    for (const auto& values : all) {
        for (int forecast = 0; forecast < 2; ++forecast) {
            PlotData data;
            data.times.assign(values.size(), "2024-01-01 00:00:00+00 and much more text than fits");
            (forecast == 0 ? data.actual : data.mean) = values;
            if (forecast == 1) data.bands = {{0.5, values, values}, {0.25, values, values}};
            const std::string svg = forecast_svg(data, {240, 160});
            EXPECT_TRUE(is_well_formed(svg));
            EXPECT_EQ(svg.find("nan"), std::string::npos);
            EXPECT_EQ(svg.find("inf\""), std::string::npos);
            for (const bool ascii : {false, true})
                EXPECT_EQ(lines_of(forecast_text(data, {40, 8, ascii})).size(), 8U);
        }
    }
}

TEST(ForecastPlot, mistakes_are_refused) {
    const auto refused = [](const PlotData& data, int width) {
        EXPECT_THROW((void)forecast_svg(data, {width, 400}), Error);
        EXPECT_THROW((void)forecast_text(data, {width, 20, false}), Error);
    };
    PlotData data = example(5, 2);
    refused(data, 1);
    refused(data, 100000);
    refused({}, 300);
    data.actual.pop_back();
    refused(data, 300);
    data = example(5, 2);
    data.bands[0].upper.clear();
    refused(data, 300);
    data = example(5, 2);
    data.bands[0].level = 95;
    refused(data, 300);
    data = example(5, 2, 2);
    data.bands.push_back(data.bands[0]);
    refused(data, 300);
}

}  // namespace
}  // namespace many::core
