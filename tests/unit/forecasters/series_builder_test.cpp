// build_series: what rows become. Which steps there are is in time_grid_test.cpp.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "unit/forecasters/time_support.h"

namespace many::core {
namespace {

using Doubles = std::vector<double>;
using Bytes = std::vector<unsigned char>;

constexpr double kHuge = std::numeric_limits<double>::max();

GridSpec integers(FillPolicy fill, DuplicatePolicy duplicates = DuplicatePolicy::error) {
    GridSpec spec;
    spec.step = {0, 1};
    spec.fill = fill;
    spec.duplicates = duplicates;
    return spec;
}

TestRows rows_of(const std::vector<std::pair<std::int64_t, double>>& list) {
    TestRows rows;
    for (const auto& [time, value] : list) rows.add(time, value);
    return rows;
}

TEST(SeriesBuilder, a_whole_series) {
    const BuiltSeries b = build(integers(FillPolicy::error), rows_of({{7, 30}, {5, 10}, {6, 20}}));
    EXPECT_EQ(b.status, SeriesStatus::ok);
    EXPECT_EQ(b.series.y, (Doubles{10, 20, 30}));
    EXPECT_EQ(b.series.observed, (Bytes{1, 1, 1}));
    EXPECT_EQ(b.series.grid.origin, 5);
    EXPECT_EQ(b.series.n_filled + b.series.n_merged + b.series.n_trimmed, 0);
}

TEST(SeriesBuilder, gaps_are_filled_as_asked) {
    const TestRows rows = rows_of({{0, 8}, {1, null_value()}, {3, 2}, {4, 5}});
    const BuiltSeries error = build(integers(FillPolicy::error), rows);
    EXPECT_EQ(error.status, SeriesStatus::gap);
    EXPECT_EQ(error.at, 1);
    const auto filled = [&](FillPolicy fill) {
        const BuiltSeries b = build(integers(fill), rows);
        EXPECT_EQ(b.status, SeriesStatus::ok);
        EXPECT_EQ(b.series.observed, (Bytes{1, 0, 0, 1, 1}));
        EXPECT_EQ(b.series.n_filled, 2);
        return b.series.y;
    };
    EXPECT_EQ(filled(FillPolicy::zero), (Doubles{8, 0, 0, 2, 5}));
    EXPECT_EQ(filled(FillPolicy::forward), (Doubles{8, 8, 8, 2, 5}));
    EXPECT_EQ(filled(FillPolicy::interpolate), (Doubles{8, 6, 4, 2, 5}));
    EXPECT_EQ(filled(FillPolicy::null), (Doubles{8, 6, 4, 2, 5}));
}

TEST(SeriesBuilder, interpolation_of_extremes) {
    const BuiltSeries b =
        build(integers(FillPolicy::interpolate), rows_of({{0, -kHuge}, {2, kHuge}, {4, kHuge}}));
    EXPECT_EQ(b.series.y, (Doubles{-kHuge, 0, kHuge, kHuge, kHuge}));
}

TEST(SeriesBuilder, the_missing_month_is_named) {
    GridSpec spec;
    spec.type = TimeType::date;
    const BuiltSeries b = build_times(
        spec, {day(2023, 12, 31), day(2024, 1, 31), day(2024, 3, 31), day(2024, 4, 30)});
    EXPECT_EQ(b.status, SeriesStatus::gap);
    EXPECT_EQ(b.at, day(2024, 2, 29));
}

TEST(SeriesBuilder, ragged_ends_are_cut) {
    const BuiltSeries b =
        build(integers(FillPolicy::error),
              rows_of({{0, null_value()}, {2, null_value()}, {3, 4}, {4, 5}, {5, null_value()}}));
    EXPECT_EQ(b.status, SeriesStatus::ok);
    EXPECT_EQ(b.series.y, (Doubles{4, 5}));
    EXPECT_EQ(b.series.grid.origin, 3);
    EXPECT_EQ(b.series.n_filled, 0);
}

TEST(SeriesBuilder, nothing_usable) {
    EXPECT_EQ(build(integers(FillPolicy::error), {}).status, SeriesStatus::empty);
    EXPECT_EQ(build(integers(FillPolicy::error), rows_of({{1, null_value()}})).status,
              SeriesStatus::empty);
    GridSpec inferred;
    const BuiltSeries one = build(inferred, rows_of({{9, 1}}));
    EXPECT_EQ(one.status, SeriesStatus::no_step);
    EXPECT_EQ(one.at, 9);
    EXPECT_EQ(build(inferred, rows_of({{9, 1}, {9, 2}})).status, SeriesStatus::duplicate);
    EXPECT_EQ(build(integers(FillPolicy::error), rows_of({{9, 1}})).series.y, Doubles{1});
    // The time of a missing value says what the step is.
    EXPECT_EQ(build(inferred, rows_of({{9, 1}, {11, null_value()}})).series.grid.step.units, 2);
}

TEST(SeriesBuilder, duplicates) {
    TestRows rows;
    rows.n_features = 1;
    rows.add(1, 7, {100});
    rows.add(2, 5, {1});
    rows.add(2, null_value(), {9});
    rows.add(2, -1, {2});
    rows.add(2, 5, {3});
    const BuiltSeries error = build(integers(FillPolicy::error), rows);
    EXPECT_EQ(error.status, SeriesStatus::duplicate);
    EXPECT_EQ(error.at, 2);
    const auto merged = [&](DuplicatePolicy policy, double y, double x) {
        const BuiltSeries b = build(integers(FillPolicy::error, policy), rows);
        EXPECT_EQ(b.status, SeriesStatus::ok);
        EXPECT_EQ(b.series.y, (Doubles{7, y}));
        EXPECT_EQ(b.series.x, (Doubles{100, x}));
        EXPECT_EQ(b.series.n_merged, 2);
    };
    merged(DuplicatePolicy::sum, 9, 15.0 / 4);
    merged(DuplicatePolicy::mean, 3, 15.0 / 4);
    merged(DuplicatePolicy::last, 5, 3);
    // A row without a value beside one with a value is no duplicate, and not heard.
    TestRows pair;
    pair.n_features = 1;
    pair.add(1, 4, {6});
    pair.add(1, null_value(), {8});
    const BuiltSeries b = build(integers(FillPolicy::error), pair);
    EXPECT_EQ(b.status, SeriesStatus::ok);
    EXPECT_EQ(b.series.x, Doubles{6});
    EXPECT_EQ(b.series.n_merged, 0);
}

TEST(SeriesBuilder, mean_of_large_values) {
    const BuiltSeries b = build(integers(FillPolicy::error, DuplicatePolicy::mean),
                                rows_of({{1, kHuge}, {1, kHuge}}));
    EXPECT_EQ(b.series.y, Doubles{kHuge});
}

TEST(SeriesBuilder, leading_zeros) {
    GridSpec spec = integers(FillPolicy::error);
    spec.trim_leading_zeros = true;
    // What lies before the first other value is gone, gaps included.
    const BuiltSeries b =
        build(spec, rows_of({{0, 0}, {1, 0}, {3, 0}, {4, null_value()}, {5, 2}, {6, 0}, {7, 3}}));
    EXPECT_EQ(b.status, SeriesStatus::ok);
    EXPECT_EQ(b.series.y, (Doubles{2, 0, 3}));
    EXPECT_EQ(b.series.grid.origin, 5);
    EXPECT_EQ(b.series.n_trimmed, 5);
    const BuiltSeries zeros = build(spec, rows_of({{0, 0}, {1, 0}}));
    EXPECT_EQ(zeros.series.y, (Doubles{0, 0}));
    EXPECT_EQ(zeros.series.n_trimmed, 0);
    spec.trim_leading_zeros = false;
    EXPECT_EQ(build(spec, rows_of({{0, 0}, {1, 1}})).series.y.size(), 2U);
}

TEST(SeriesBuilder, origin_of_a_series_cut_at_its_beginning) {
    GridSpec spec;
    spec.type = TimeType::timestamptz;
    spec.trim_leading_zeros = true;
    spec.fill = FillPolicy::zero;
    const FakeZone zone = sao_paulo();
    TestRows rows;
    for (std::int64_t d = day(2017, 10, 12); d < day(2017, 10, 20); ++d)
        rows.add(FakeZone::to_absolute(&zone, d * kTestDay), d < day(2017, 10, 15) ? 0 : 1);
    const BuiltSeries b = build(spec, rows, zone.map());
    EXPECT_EQ(b.status, SeriesStatus::ok);
    EXPECT_EQ(b.series.y, Doubles(5, 1));
    // Midnight, though there was none.
    EXPECT_EQ(b.series.grid.origin, stamp(2017, 10, 15));
    EXPECT_EQ(time_at(b.series.grid, 0, zone.map()), stamp(2017, 10, 15, 3));
    EXPECT_EQ(time_at(b.series.grid, 1, zone.map()), stamp(2017, 10, 16, 2));

    GridSpec months;
    months.type = TimeType::date;
    months.trim_leading_zeros = true;
    const BuiltSeries m = build(
        months, rows_of({{day(2024, 1, 31), 0}, {day(2024, 2, 29), 3}, {day(2024, 3, 31), 4}}));
    EXPECT_EQ(m.series.grid.origin, day(2024, 2, 29));
    EXPECT_EQ(time_at(m.series.grid, 1, {}), day(2024, 3, 31));
}

TEST(SeriesBuilder, features_of_missing_times_go_on) {
    TestRows rows;
    rows.n_features = 3;
    const double null = null_value();
    rows.add(0, 1, {null, 5, null});
    rows.add(1, null, {2, null, null});  // the value is missing, what is known beside it is not
    rows.add(3, 4, {null, 7, null});
    rows.add(4, 5, {3, 8, null});
    const BuiltSeries b = build(integers(FillPolicy::zero), rows);
    ASSERT_EQ(b.series.x.size(), 15U);
    const Doubles two(b.series.x.begin(), b.series.x.begin() + 10);
    EXPECT_EQ(two, (Doubles{2, 2, 2, 2, 3, 5, 5, 5, 7, 8}));
    for (std::size_t t = 10; t < 15; ++t) EXPECT_TRUE(is_null_value(b.series.x[t]));
}

TEST(SeriesBuilder, length_is_limited_before_memory_is_taken) {
    const BuiltSeries late = build(integers(FillPolicy::zero),
                                   rows_of({{0, 1}, {1, 1}, {2, 1}, {1'000'000'000'000, 1}}));
    EXPECT_EQ(late.status, SeriesStatus::too_long);
    EXPECT_EQ(late.at, 1'000'000'000'000);
    const BuiltSeries early =
        build(integers(FillPolicy::zero), rows_of({{-1'000'000'000'000, 1}, {0, 1}, {1, 1}}));
    EXPECT_EQ(early.at, -1'000'000'000'000);
    const TestRows four = rows_of({{1, 1}, {2, 1}, {3, 1}, {4, 1}});
    EXPECT_EQ(build(integers(FillPolicy::zero), four, {}, 4).status, SeriesStatus::ok);
    EXPECT_EQ(build(integers(FillPolicy::zero), four, {}, 3).status, SeriesStatus::too_long);
}

// Two absolute times of one local day are one observation.
TEST(SeriesBuilder, a_clock_time_that_comes_twice) {
    const FakeZone zone = berlin();
    GridSpec spec;
    spec.type = TimeType::timestamptz;
    spec.step = {0, kTestDay};
    TestRows rows;
    rows.add(stamp(2023, 10, 28, 0), 1);  // 02:00
    rows.add(stamp(2023, 10, 29, 0), 5);  // 02:00
    rows.add(stamp(2023, 10, 29, 1), 2);  // 02:00 again
    rows.add(stamp(2023, 10, 30, 1), 3);
    EXPECT_EQ(build(spec, rows, zone.map()).status, SeriesStatus::duplicate);
    spec.duplicates = DuplicatePolicy::sum;
    EXPECT_EQ(build(spec, rows, zone.map()).series.y, (Doubles{1, 7, 3}));
    spec.duplicates = DuplicatePolicy::last;
    EXPECT_EQ(build(spec, rows, zone.map()).series.y, (Doubles{1, 5, 3}));
}

TEST(SeriesBuilder, other_nan_and_infinities_are_not_hidden) {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const BuiltSeries b =
        build(integers(FillPolicy::zero), rows_of({{0, 1}, {1, nan}, {2, HUGE_VAL}}));
    EXPECT_EQ(b.status, SeriesStatus::ok);
    EXPECT_TRUE(std::isnan(b.series.y[1]));
    EXPECT_EQ(b.series.y[2], HUGE_VAL);
    EXPECT_EQ(b.series.n_filled, 0);
}

TEST(SeriesBuilder, the_order_of_rows_changes_no_bit) {
    std::mt19937_64 random(20240229);
    TestRows rows;
    rows.n_features = 2;
    for (int i = 0; i < 300; ++i) {
        const auto time = static_cast<std::int64_t>(random() % 120);
        const auto value = [&] {
            const auto kind = random() % 10;
            if (kind == 0) return null_value();
            return kind == 1 ? -0.0 : 1.0 / static_cast<double>(1 + random() % 50);
        };
        const double y = value(), a = value(), b = value();
        rows.add(day(2024, 1, 1) + time, y, {a, b});
    }
    for (const DuplicatePolicy policy :
         {DuplicatePolicy::sum, DuplicatePolicy::mean, DuplicatePolicy::last}) {
        GridSpec spec;
        spec.type = TimeType::date;
        spec.fill = FillPolicy::interpolate;
        spec.duplicates = policy;
        const BuiltSeries first = build(spec, rows);
        ASSERT_EQ(first.status, SeriesStatus::ok);
        EXPECT_GT(first.series.n_merged, 0);
        EXPECT_GT(first.series.n_filled, 0);
        for (int shuffle = 0; shuffle < 20; ++shuffle) {
            for (std::size_t r = rows.size() - 1; r > 0; --r) {
                const std::size_t other = random() % (r + 1);
                if (other != r) rows.swap(r, other);
            }
            const BuiltSeries again = build(spec, rows);
            const auto bits = [](const Doubles& v) {
                std::vector<std::uint64_t> out;
                for (const double d : v) out.push_back(std::bit_cast<std::uint64_t>(d));
                return out;
            };
            ASSERT_EQ(bits(again.series.y), bits(first.series.y));
            ASSERT_EQ(bits(again.series.x), bits(first.series.x));
            ASSERT_EQ(again.series.observed, first.series.observed);
            ASSERT_EQ(again.series.n_merged, first.series.n_merged);
            ASSERT_EQ(again.series.grid.origin, first.series.grid.origin);
        }
    }
}

// Rows of some series of a table: the same times or others, in the order of two readers, with gaps,
// duplicates and missing values now and then.
TestRows some_rows(std::mt19937_64& random) {
    TestRows rows;
    rows.n_features = 1;
    const auto one_of = [&](std::uint64_t n) { return random() % n; };
    const int n = one_of(3) == 0 ? 1 + static_cast<int>(one_of(5)) : 40;
    const std::int64_t first = one_of(3) == 0 ? 5 : 0;
    std::vector<std::int64_t> second;
    const auto add = [&](std::int64_t month) {
        const double y = one_of(60) == 0 ? null_value() : static_cast<double>(one_of(9));
        const double x = one_of(60) == 0 ? null_value() : static_cast<double>(one_of(9));
        const std::int64_t stray = one_of(200) == 0 ? 3 : 0;
        rows.add(day(2020 + month / 12, static_cast<int>(month % 12) + 1, 1) + stray, y, {x});
    };
    const bool gaps = one_of(3) == 0, again = one_of(4) == 0;
    for (std::int64_t month = first; month < first + n; ++month) {
        if (gaps && one_of(9) == 0) continue;
        if (one_of(2) == 0)
            second.push_back(month);
        else
            add(month);
        if (again && one_of(9) == 0) second.push_back(month);
    }
    for (const std::int64_t month : second) add(month);
    return rows;
}

TEST(SeriesBuilder, what_is_kept_from_series_to_series_changes_nothing) {
    std::mt19937_64 random(20250517);
    SeriesScratch scratch;
    int n_ok = 0;
    for (int i = 0; i < 3000; ++i) {
        GridSpec spec;
        spec.type = TimeType::date;
        if (random() % 4 == 0) spec.step = {1, 0};
        if (random() % 8 == 0) spec.step = {0, 7};
        spec.fill = random() % 2 == 0 ? FillPolicy::error : FillPolicy::interpolate;
        spec.duplicates = random() % 2 == 0 ? DuplicatePolicy::error : DuplicatePolicy::sum;
        spec.trim_leading_zeros = random() % 4 == 0;
        const std::size_t longest = random() % 8 == 0 ? 20 : 1000;
        TestRows rows = some_rows(random);
        const BuiltSeries fresh = build(spec, rows, {}, longest);
        RegularSeries out;
        std::int64_t at = 0;
        ASSERT_EQ(build_series(spec, {}, rows.data.data(), rows.size(), rows.stride(), 1, longest,
                               out, at, scratch),
                  fresh.status);
        if (fresh.status != SeriesStatus::ok) {
            ASSERT_EQ(at, fresh.at);
            continue;
        }
        ++n_ok;
        const auto same = [](const Doubles& a, const Doubles& b) {
            return a.size() == b.size() &&
                   std::equal(a.begin(), a.end(), b.begin(), [](double l, double r) {
                       return std::bit_cast<std::uint64_t>(l) == std::bit_cast<std::uint64_t>(r);
                   });
        };
        ASSERT_TRUE(same(out.y, fresh.series.y) && same(out.x, fresh.series.x));
        ASSERT_EQ(out.observed, fresh.series.observed);
        ASSERT_EQ(out.grid.origin, fresh.series.grid.origin);
        ASSERT_EQ(out.grid.step, fresh.series.grid.step);
        ASSERT_EQ(out.n_filled, fresh.series.n_filled);
        ASSERT_EQ(out.n_merged, fresh.series.n_merged);
        ASSERT_EQ(out.n_trimmed, fresh.series.n_trimmed);
    }
    EXPECT_GT(n_ok, 500);
}

}  // namespace
}  // namespace many::core
