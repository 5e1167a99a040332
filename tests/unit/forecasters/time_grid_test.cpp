#include "core/forecasters/time_grid.h"

#include <gtest/gtest.h>

#include <limits>

#include "core/error.h"
#include "unit/forecasters/time_support.h"

namespace many::core {
namespace {

using Times = std::vector<std::int64_t>;
using Ints = std::vector<int>;

constexpr std::int64_t kMin = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();

GridSpec spec_of(TimeType type, FillPolicy fill = FillPolicy::error, TimeStep step = {}) {
    GridSpec spec;
    spec.type = type;
    spec.fill = fill;
    spec.step = step;
    return spec;
}

// The grid of the times, which all lie on it where time_at says.
TimeGrid grid_of(const GridSpec& spec, const Times& times, const TimeZoneMap& zone = {}) {
    const BuiltSeries b = build_times(spec, times, zone);
    EXPECT_EQ(b.status, SeriesStatus::ok) << "at " << b.at;
    for (const std::int64_t t : times) {
        std::int64_t i = -1;
        EXPECT_TRUE(index_of(b.series.grid, t, zone, i)) << t;
        EXPECT_EQ(time_at(b.series.grid, i, zone), t);
    }
    return b.series.grid;
}

std::string inferred(TimeType type, const Times& times, const TimeZoneMap& zone = {}) {
    return step_name(type, grid_of(spec_of(type, FillPolicy::zero), times, zone).step);
}

TEST(Calendar, days) {
    EXPECT_EQ(days_from_civil(2000, 1, 1), 0);
    EXPECT_EQ(days_from_civil(1970, 1, 1), -10957);
    EXPECT_EQ(days_from_civil(2024, 2, 29), 8825);
    EXPECT_EQ(days_from_civil(1900, 3, 1) - days_from_civil(1900, 2, 28), 1);
    EXPECT_EQ(days_from_civil(1, 1, 1), -730119);
    EXPECT_EQ(days_from_civil(9999, 12, 31), 2921939);
    EXPECT_EQ(days_from_civil(0, 12, 31), -730120);       // 1 BC
    EXPECT_EQ(days_from_civil(-4713, 11, 24), -2451545);  // the server's first date, 4714 BC
    EXPECT_EQ(day_of_week(0), 5);
    EXPECT_EQ(day_of_week(day(2024, 2, 29)), 3);
    EXPECT_EQ(day_of_week(day(1, 1, 1)), 0);
}

TEST(Calendar, back_from_every_day) {
    const auto returns = [](std::int64_t d) {
        const CivilDate date = civil_from_days(d);
        return date.day >= 1 && date.day <= days_in_month(date.year, date.month) &&
               days_from_civil(date.year, date.month, date.day) == d;
    };
    for (std::int64_t d = day(-900, 1, 1); d < day(3000, 1, 1); ++d) ASSERT_TRUE(returns(d)) << d;
    for (std::int64_t d = -3'000'000; d < 2'200'000'000; d += 9973) ASSERT_TRUE(returns(d)) << d;
}

TEST(Calendar, counts_on_through_eight_centuries) {
    CivilDate expected = civil_from_days(day(-401, 1, 1));
    EXPECT_EQ(expected.year, -401);
    for (std::int64_t d = day(-401, 1, 1); d < day(401, 1, 1); ++d) {
        const CivilDate date = civil_from_days(d);
        ASSERT_TRUE(date.year == expected.year && date.month == expected.month &&
                    date.day == expected.day)
            << d;
        ASSERT_EQ(days_from_civil(date.year, date.month, date.day), d);
        if (++expected.day > days_in_month(expected.year, expected.month)) {
            expected.day = 1;
            if (++expected.month > 12) {
                expected.month = 1;
                ++expected.year;
            }
        }
    }
}

TEST(Calendar, knows_what_a_column_can_hold) {
    EXPECT_TRUE(is_finite_time(TimeType::integer, kMin));
    EXPECT_TRUE(is_finite_time(TimeType::date, day(5874897, 12, 31)));
    EXPECT_FALSE(is_finite_time(TimeType::date, day(5874898, 1, 1)));
    EXPECT_TRUE(is_finite_time(TimeType::date, day(-4713, 11, 24)));
    EXPECT_FALSE(is_finite_time(TimeType::date, std::numeric_limits<std::int32_t>::max()));
    EXPECT_FALSE(is_finite_time(TimeType::date, std::numeric_limits<std::int32_t>::min()));
    EXPECT_TRUE(is_finite_time(TimeType::timestamp, day(294277, 1, 1) * kTestDay - 1));
    EXPECT_FALSE(is_finite_time(TimeType::timestamp, day(294277, 1, 1) * kTestDay));
    EXPECT_TRUE(is_finite_time(TimeType::timestamptz, day(-4713, 11, 24) * kTestDay));
    EXPECT_FALSE(is_finite_time(TimeType::timestamptz, kMin));
}

TEST(TimeGrid, names_of_steps) {
    const auto name = [](std::int32_t months, std::int64_t units, TimeType type) {
        return step_name(type, {months, units});
    };
    EXPECT_EQ(name(1, 0, TimeType::date), "month");
    EXPECT_EQ(name(3, 0, TimeType::date), "quarter");
    EXPECT_EQ(name(6, 0, TimeType::timestamp), "6 months");
    EXPECT_EQ(name(12, 0, TimeType::date), "year");
    EXPECT_EQ(name(24, 0, TimeType::date), "2 years");
    EXPECT_EQ(name(0, 7, TimeType::date), "week");
    EXPECT_EQ(name(0, 10, TimeType::date), "10 days");
    EXPECT_EQ(name(0, 14 * kTestDay, TimeType::timestamptz), "2 weeks");
    EXPECT_EQ(name(0, 36 * kTestHour, TimeType::timestamp), "36 hours");
    EXPECT_EQ(name(0, 15 * kTestMinute, TimeType::timestamp), "15 minutes");
    EXPECT_EQ(name(0, 90 * kTestSecond, TimeType::timestamp), "90 seconds");
    EXPECT_EQ(name(0, 5000, TimeType::timestamp), "5 milliseconds");
    EXPECT_EQ(name(0, 1, TimeType::timestamp), "microsecond");
    EXPECT_EQ(name(0, 7, TimeType::integer), "7");
    EXPECT_EQ(name(0, 0, TimeType::integer), "");
}

TEST(TimeGrid, defaults_by_the_step) {
    const auto seasons = [](TimeType type, const TimeStep& step) {
        Ints out = {99};
        default_season_lengths(type, step, out);
        return out;
    };
    EXPECT_EQ(seasons(TimeType::date, {12, 0}), Ints());
    EXPECT_EQ(seasons(TimeType::date, {3, 0}), Ints{4});
    EXPECT_EQ(seasons(TimeType::date, {1, 0}), Ints{12});
    EXPECT_EQ(seasons(TimeType::date, {0, 7}), Ints{52});
    EXPECT_EQ(seasons(TimeType::date, {0, 1}), Ints{7});
    EXPECT_EQ(seasons(TimeType::timestamp, {0, 7 * kTestDay}), Ints{52});
    EXPECT_EQ(seasons(TimeType::timestamptz, {0, kTestDay}), Ints{7});
    EXPECT_EQ(seasons(TimeType::timestamptz, {0, kTestHour}), (Ints{24, 168}));
    EXPECT_EQ(seasons(TimeType::timestamp, {0, 30 * kTestMinute}), (Ints{48, 336}));
    EXPECT_EQ(seasons(TimeType::timestamp, {0, 15 * kTestMinute}), (Ints{96, 672}));
    EXPECT_EQ(seasons(TimeType::timestamp, {0, kTestMinute}), Ints{1440});
    EXPECT_EQ(seasons(TimeType::timestamp, {0, 7 * kTestMinute}), Ints());
    EXPECT_EQ(seasons(TimeType::integer, {0, kTestDay}), Ints());
    EXPECT_EQ(default_horizon(TimeType::date, {12, 0}), 6);
    EXPECT_EQ(default_horizon(TimeType::date, {3, 0}), 8);
    EXPECT_EQ(default_horizon(TimeType::date, {1, 0}), 18);
    EXPECT_EQ(default_horizon(TimeType::date, {0, 7}), 13);
    EXPECT_EQ(default_horizon(TimeType::timestamp, {0, kTestDay}), 14);
    EXPECT_EQ(default_horizon(TimeType::timestamp, {0, kTestHour}), 48);
    EXPECT_EQ(default_horizon(TimeType::timestamp, {0, kTestMinute}), 10);
    EXPECT_EQ(default_horizon(TimeType::integer, {0, 7}), 10);
}

TEST(TimeGrid, infers_fixed_steps) {
    EXPECT_EQ(inferred(TimeType::integer, {-3, 4, 11}), "7");
    EXPECT_EQ(inferred(TimeType::integer, {kMax - 1, kMax}), "1");
    EXPECT_EQ(inferred(TimeType::integer, {10, 20, 50, 60}), "10");  // a gap
    EXPECT_EQ(inferred(TimeType::integer, {0, 2, 4, 7, 9, 11, 14}), "1");
    EXPECT_EQ(inferred(TimeType::date, {day(2024, 2, 28), day(2024, 2, 29), day(2024, 3, 1)}),
              "day");
    EXPECT_EQ(inferred(TimeType::date, {day(2024, 1, 1), day(2024, 1, 8), day(2024, 1, 29)}),
              "week");
    EXPECT_EQ(inferred(TimeType::date, {day(2024, 1, 5), day(2024, 1, 8), day(2024, 1, 9)}),
              "day");  // no weekends
    const std::int64_t t = stamp(2024, 1, 31, 23);
    EXPECT_EQ(inferred(TimeType::timestamp, {t, t + kTestHour, t + 2 * kTestHour}), "hour");
    EXPECT_EQ(inferred(TimeType::timestamp, {t, t + 900 * kTestSecond}), "15 minutes");
    EXPECT_EQ(inferred(TimeType::timestamp, {t, t + kTestDay, t + 2 * kTestDay}), "day");
    EXPECT_EQ(inferred(TimeType::timestamp, {t, t + 3, t + 6}), "3 microseconds");
    EXPECT_EQ(inferred(TimeType::timestamp, {t, t + 7 * kTestDay, t + 14 * kTestDay}), "week");
}

TEST(TimeGrid, infers_months) {
    const auto dates = [](std::vector<CivilDate> list) {
        Times times;
        for (const CivilDate& d : list) times.push_back(day(d.year, d.month, d.day));
        return times;
    };
    const auto step = [&](const std::vector<CivilDate>& list) {
        return inferred(TimeType::date, dates(list));
    };
    EXPECT_EQ(step({{2023, 12, 1}, {2024, 1, 1}, {2024, 2, 1}}), "month");
    EXPECT_EQ(step({{2023, 2, 1}, {2023, 3, 1}}), "month");  // 28 days, which are no 4 weeks
    EXPECT_EQ(step({{2023, 1, 15}, {2023, 4, 15}, {2023, 10, 15}}), "quarter");
    EXPECT_EQ(step({{2023, 3, 31}, {2023, 6, 30}, {2023, 9, 30}, {2023, 12, 31}}), "quarter");
    EXPECT_EQ(step({{2020, 1, 1}, {2021, 1, 1}, {2024, 1, 1}}), "year");
    EXPECT_EQ(step({{2020, 2, 29}, {2021, 2, 28}, {2024, 2, 29}}), "year");
    EXPECT_EQ(step({{-4, 1, 1}, {-3, 1, 1}, {-2, 1, 1}, {1, 1, 1}}), "year");
    EXPECT_EQ(step({{2024, 1, 30}, {2024, 2, 29}, {2024, 3, 30}}), "month");
    EXPECT_EQ(step({{2024, 1, 30}, {2024, 2, 29}, {2024, 3, 31}}),
              "day");  // neither 30 nor the end
    EXPECT_EQ(inferred(TimeType::timestamp, {stamp(2024, 1, 1, 6), stamp(2024, 2, 1, 6)}), "month");
    // Another clock time: no months.
    EXPECT_EQ(inferred(TimeType::timestamp, {stamp(2024, 1, 1, 6), stamp(2024, 2, 1, 7)}),
              "745 hours");
}

// Strays are reported, not turned into a fine grid full of gaps.
TEST(TimeGrid, one_stray_date_does_not_make_weeks_days) {
    Times weekly;
    for (int i = 0; i < 20; ++i) weekly.push_back(day(2024, 1, 1) + 7 * i);
    weekly[9] += 1;
    const BuiltSeries b = build_times(spec_of(TimeType::date, FillPolicy::zero), weekly);
    EXPECT_EQ(b.status, SeriesStatus::off_grid);
    EXPECT_EQ(b.at, weekly[9]);
    EXPECT_EQ(step_name(TimeType::date, b.series.grid.step), "week");
}

TEST(TimeGrid, month_ends) {
    const TimeGrid ends =
        grid_of(spec_of(TimeType::date), {day(2024, 1, 31), day(2024, 2, 29), day(2024, 3, 31)});
    EXPECT_EQ(ends.day_of_month, 31);
    EXPECT_EQ(time_at(ends, 3, {}), day(2024, 4, 30));
    EXPECT_EQ(time_at(ends, 13, {}), day(2025, 2, 28));
    EXPECT_EQ(time_at(ends, 14, {}), day(2025, 3, 31));
    EXPECT_EQ(time_at(ends, -2, {}), day(2023, 11, 30));
    // Where all that was seen are ends, ends it is.
    const TimeGrid quarters =
        grid_of(spec_of(TimeType::date), {day(2023, 6, 30), day(2023, 9, 30)});
    EXPECT_EQ(time_at(quarters, 2, {}), day(2023, 12, 31));
    const TimeGrid february =
        grid_of(spec_of(TimeType::date), {day(2022, 2, 28), day(2023, 2, 28)});
    EXPECT_EQ(time_at(february, 2, {}), day(2024, 2, 29));
    // The 30th, but for February.
    const TimeGrid thirty =
        grid_of(spec_of(TimeType::date), {day(2023, 2, 28), day(2023, 3, 30), day(2023, 4, 30)});
    EXPECT_EQ(thirty.day_of_month, 30);
    EXPECT_EQ(time_at(thirty, 3, {}), day(2023, 5, 30));
    EXPECT_EQ(time_at(thirty, 12, {}), day(2024, 2, 29));
    std::int64_t i = 0;
    EXPECT_FALSE(index_of(thirty, day(2023, 5, 31), {}, i));
    EXPECT_TRUE(index_of(thirty, day(2022, 12, 30), {}, i));
    EXPECT_EQ(i, -2);
}

TEST(TimeGrid, given_steps) {
    const TimeStep month = {1, 0}, hour = {0, kTestHour};
    const TimeGrid one =
        grid_of(spec_of(TimeType::date, FillPolicy::error, month), {day(2024, 1, 31)});
    EXPECT_EQ(time_at(one, 1, {}), day(2024, 2, 29));
    const BuiltSeries stray = build_times(spec_of(TimeType::date, FillPolicy::zero, month),
                                          {day(2024, 1, 1), day(2024, 2, 1), day(2024, 3, 15)});
    EXPECT_EQ(stray.status, SeriesStatus::off_grid);
    EXPECT_EQ(stray.at, day(2024, 3, 15));
    const BuiltSeries clock = build_times(spec_of(TimeType::timestamp, FillPolicy::zero, month),
                                          {stamp(2024, 1, 1), stamp(2024, 2, 1, 3)});
    EXPECT_EQ(clock.status, SeriesStatus::off_grid);
    const BuiltSeries minutes =
        build_times(spec_of(TimeType::timestamp, FillPolicy::zero, hour),
                    {stamp(2024, 1, 1, 0, 30), stamp(2024, 1, 1, 1, 30), stamp(2024, 1, 1, 2, 31)});
    EXPECT_EQ(minutes.at, stamp(2024, 1, 1, 2, 31));
    EXPECT_THROW((void)build_times(spec_of(TimeType::integer, FillPolicy::zero, month), {1, 2}),
                 Error);
}

TEST(TimeGrid, days_of_local_time_have_23_and_25_hours) {
    const FakeZone zone = berlin();
    Times midnights;
    for (std::int64_t d = day(2023, 3, 24); d < day(2023, 11, 2); ++d)
        midnights.push_back(FakeZone::to_absolute(&zone, d * kTestDay));
    ASSERT_EQ(midnights[3] - midnights[2], 23 * kTestHour);
    const TimeGrid grid = grid_of(spec_of(TimeType::timestamptz), midnights, zone.map());
    EXPECT_TRUE(grid.local);
    EXPECT_EQ(grid.step.units, kTestDay);
    EXPECT_EQ(time_at(grid, 365, zone.map()), stamp(2024, 3, 22, 23));
    const BuiltSeries given = build_times(
        spec_of(TimeType::timestamptz, FillPolicy::error, {0, kTestDay}), midnights, zone.map());
    EXPECT_EQ(given.status, SeriesStatus::ok);
    EXPECT_EQ(given.series.y.size(), midnights.size());
}

TEST(TimeGrid, months_and_weeks_of_local_time) {
    const FakeZone zone = berlin();
    Times months, weeks;
    for (int m = 1; m <= 12; ++m) months.push_back(FakeZone::to_absolute(&zone, stamp(2023, m, 1)));
    for (int w = 0; w < 60; ++w)
        weeks.push_back(FakeZone::to_absolute(&zone, stamp(2023, 1, 2) + w * 7 * kTestDay));
    EXPECT_EQ(inferred(TimeType::timestamptz, months, zone.map()), "month");
    EXPECT_EQ(inferred(TimeType::timestamptz, weeks, zone.map()), "week");
    // Without the zone they are neither.
    EXPECT_NE(inferred(TimeType::timestamp, months), "month");
}

TEST(TimeGrid, hours_are_of_absolute_time) {
    const FakeZone zone = berlin();
    Times hours, utc_days;
    for (int h = 0; h < 72; ++h) hours.push_back(stamp(2023, 10, 28) + h * kTestHour);
    for (int d = 0; d < 400; ++d) utc_days.push_back(stamp(2023, 1, 1) + d * kTestDay);
    const BuiltSeries b = build_times(spec_of(TimeType::timestamptz), hours, zone.map());
    EXPECT_EQ(b.status, SeriesStatus::ok);
    EXPECT_FALSE(b.series.grid.local);
    EXPECT_EQ(b.series.y.size(), 72U);
    const TimeGrid absolute = grid_of(spec_of(TimeType::timestamptz), utc_days, zone.map());
    EXPECT_FALSE(absolute.local);
    EXPECT_EQ(step_name(TimeType::timestamptz, absolute.step), "day");
    const TimeGrid given = grid_of(spec_of(TimeType::timestamptz, FillPolicy::error, {0, kTestDay}),
                                   utc_days, zone.map());
    EXPECT_FALSE(given.local);
}

TEST(TimeGrid, months_cut_in_utc) {
    const FakeZone zone = berlin();
    Times months;
    for (int m = 1; m <= 12; ++m) months.push_back(stamp(2023, m, 1));
    for (const TimeStep step : {TimeStep{}, TimeStep{1, 0}}) {
        const TimeGrid grid =
            grid_of(spec_of(TimeType::timestamptz, FillPolicy::error, step), months, zone.map());
        EXPECT_FALSE(grid.local);
        EXPECT_EQ(grid.step.months, 1);
        EXPECT_EQ(time_at(grid, 12, zone.map()), stamp(2024, 1, 1));
    }
}

// Shifts of 8 hours by the clock on the wall, where the clocks change.
TEST(TimeGrid, shorter_steps_of_local_time) {
    const FakeZone zone = berlin();
    Times shifts;
    for (std::int64_t d = day(2023, 3, 1); d < day(2023, 4, 20); ++d) {
        for (const int hour : {6, 14, 22})
            shifts.push_back(FakeZone::to_absolute(&zone, d * kTestDay + hour * kTestHour));
    }
    const TimeGrid grid = grid_of(spec_of(TimeType::timestamptz), shifts, zone.map());
    EXPECT_TRUE(grid.local);
    EXPECT_EQ(grid.step.units, 8 * kTestHour);
    const TimeGrid given = grid_of(
        spec_of(TimeType::timestamptz, FillPolicy::error, {0, 8 * kTestHour}), shifts, zone.map());
    EXPECT_TRUE(given.local);
}

TEST(TimeGrid, a_midnight_that_is_not_there) {
    const FakeZone zone = sao_paulo();
    for (const std::int64_t first : {day(2017, 10, 10), day(2017, 10, 15)}) {
        Times days;
        for (std::int64_t d = first; d < day(2018, 3, 1); ++d)
            days.push_back(FakeZone::to_absolute(&zone, d * kTestDay));
        const TimeGrid grid = grid_of(spec_of(TimeType::timestamptz), days, zone.map());
        EXPECT_TRUE(grid.local);
        EXPECT_EQ(grid.step.units, kTestDay);
        std::int64_t i = 0;
        EXPECT_TRUE(index_of(grid, stamp(2017, 10, 15, 3), zone.map(), i));
        EXPECT_EQ(i, day(2017, 10, 15) - first);
        const TimeGrid given = grid_of(
            spec_of(TimeType::timestamptz, FillPolicy::error, {0, kTestDay}), days, zone.map());
        EXPECT_EQ(given.origin, grid.origin);
    }
}

TEST(TimeGrid, hostile_times) {
    const auto status = [](const GridSpec& spec, const Times& times) {
        return build_times(spec, times).status;
    };
    for (const TimeType type : {TimeType::date, TimeType::timestamp, TimeType::timestamptz}) {
        for (const std::int64_t t : {kMin, kMin + 1, kMax - 1, kMax}) {
            EXPECT_EQ(status(spec_of(type), {0, t}), SeriesStatus::infinite_time);
        }
    }
    EXPECT_EQ(status(spec_of(TimeType::date), {0, 2147483647}), SeriesStatus::infinite_time);
    EXPECT_EQ(status(spec_of(TimeType::date), {0, -2147483648LL}), SeriesStatus::infinite_time);
    const auto integers = spec_of(TimeType::integer, FillPolicy::zero);
    EXPECT_EQ(status(integers, {kMin, kMax}), SeriesStatus::no_step);
    EXPECT_EQ(status(integers, {kMin, 0, 1, kMax}), SeriesStatus::too_long);
    EXPECT_EQ(status(integers, {kMin, kMin / 2, 0}), SeriesStatus::ok);
    EXPECT_EQ(status(spec_of(TimeType::integer, FillPolicy::zero, {0, 1}), {kMin, kMax}),
              SeriesStatus::too_long);
    EXPECT_EQ(status(spec_of(TimeType::integer, FillPolicy::zero, {0, kMax}), {kMin, -1}),
              SeriesStatus::ok);
    const std::int64_t first = day(-4713, 11, 24) * kTestDay,
                       last = day(294277, 1, 1) * kTestDay - 1;
    for (const TimeType type : {TimeType::timestamp, TimeType::timestamptz}) {
        EXPECT_EQ(status(spec_of(type, FillPolicy::zero), {first, last}), SeriesStatus::no_step);
        EXPECT_EQ(status(spec_of(type, FillPolicy::zero), {first, first + 1, last}),
                  SeriesStatus::too_long);
        EXPECT_EQ(status(spec_of(type, FillPolicy::zero, {1, 0}), {first, last}),
                  SeriesStatus::off_grid);
    }
    EXPECT_EQ(status(spec_of(TimeType::date, FillPolicy::zero),
                     {day(-4712, 1, 1), day(2024, 1, 1), day(2025, 1, 1), day(5874897, 1, 1)}),
              SeriesStatus::too_long);
}

TEST(TimeGrid, times_beyond_the_type_are_infinite) {
    TimeGrid grid;
    grid.type = TimeType::date;
    grid.step = {1, 0};
    grid.day_of_month = 31;
    grid.origin = day(2024, 1, 31);
    EXPECT_EQ(time_at(grid, kMax, {}), 2147483647);
    EXPECT_EQ(time_at(grid, 12LL * 6'000'000, {}), 2147483647);
    EXPECT_EQ(time_at(grid, kMin, {}), -2147483648LL);
    grid.type = TimeType::timestamp;
    EXPECT_EQ(time_at(grid, 12LL * 300'000, {}), kMax);
    grid.step = {0, kTestDay};
    EXPECT_EQ(time_at(grid, kMax, {}), kMax);
    EXPECT_EQ(time_at(grid, -3'000'000'000, {}), kMin);
    grid.type = TimeType::integer;
    grid.step = {0, 5};
    grid.origin = kMax - 7;
    EXPECT_EQ(time_at(grid, 1, {}), kMax - 2);
    EXPECT_EQ(time_at(grid, 2, {}), kMax);
}

// A grid from damaged bytes does no harm.
TEST(TimeGrid, senseless_grids) {
    for (const TimeType type :
         {TimeType::integer, TimeType::date, TimeType::timestamp, TimeType::timestamptz}) {
        for (const TimeStep step : {TimeStep{}, TimeStep{-5, -5}, TimeStep{2147483647, 3},
                                    TimeStep{1, kMin}, TimeStep{0, kMin}, TimeStep{0, kMax}}) {
            for (const std::int64_t origin : {kMin, std::int64_t{0}, kMax}) {
                TimeGrid grid{type, true, step, origin, -7};
                std::int64_t index = 0;
                std::vector<double> x;
                for (const std::int64_t i : {kMin, std::int64_t{-1}, std::int64_t{1}, kMax}) {
                    (void)time_at(grid, i, berlin().map());
                    (void)index_of(grid, i, {}, index);
                    EXPECT_GE(calendar_columns(grid, {}, i, 3, x), 0);
                }
                EXPECT_NO_THROW((void)step_name(type, step));
            }
        }
    }
}

TEST(TimeGrid, calendar_of_days) {
    TimeGrid grid;
    grid.type = TimeType::date;
    grid.step = {0, 1};
    grid.origin = day(2024, 2, 28);  // a Wednesday
    std::vector<double> x = {42};
    ASSERT_EQ(calendar_columns(grid, {}, 1, 2, x), 17);
    ASSERT_EQ(x.size(), 1U + 2 * 17);
    EXPECT_EQ(x[0], 42);
    for (std::size_t c = 0; c < 17; ++c) {
        // 29 February, a Thursday; 1 March, a Friday.
        EXPECT_EQ(x[1 + 2 * c], c == 0 || c == 11 + 2 ? 1 : 0) << c;
        EXPECT_EQ(x[2 + 2 * c], c == 1 || c == 11 + 3 ? 1 : 0) << c;
    }
}

TEST(TimeGrid, calendar_by_step) {
    const auto columns = [](TimeType type, const TimeStep& step) {
        TimeGrid grid;
        grid.type = type;
        grid.step = step;
        grid.day_of_month = 1;
        std::vector<double> x;
        const int n = calendar_columns(grid, {}, 0, 5, x);
        EXPECT_EQ(x.size(), static_cast<std::size_t>(5 * n));
        return n;
    };
    EXPECT_EQ(columns(TimeType::integer, {0, 1}), 0);
    EXPECT_EQ(columns(TimeType::date, {12, 0}), 0);
    EXPECT_EQ(columns(TimeType::date, {3, 0}), 11);
    EXPECT_EQ(columns(TimeType::date, {0, 7}), 11);
    EXPECT_EQ(columns(TimeType::date, {0, 1}), 17);
    EXPECT_EQ(columns(TimeType::timestamp, {0, kTestHour}), 40);
}

TEST(TimeGrid, calendar_of_hours_is_the_clock_on_the_wall) {
    const FakeZone zone = berlin();
    TimeGrid grid;
    grid.type = TimeType::timestamptz;
    grid.step = {0, kTestHour};
    grid.origin = stamp(2023, 3, 26, 0);  // 01:00, then 03:00
    std::vector<double> x;
    ASSERT_EQ(calendar_columns(grid, zone.map(), 0, 2, x), 40);
    EXPECT_EQ(x[2 * (17 + 0)], 1);
    EXPECT_EQ(x[2 * (17 + 2) + 1], 1);
    EXPECT_EQ(x[2 * 16], 1);  // Sunday
    EXPECT_EQ(x[2 * 1], 1);   // March
}

}  // namespace
}  // namespace many::core
