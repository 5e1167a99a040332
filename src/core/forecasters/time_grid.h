// Time in a series: which times follow each other at which step, and a regular series from rows.
//
// Times are integers in the unit of their type: whole numbers, days (date) or microseconds
// (timestamp). A grid is a step and an origin; observation i is at `time_at(i)`, whatever day-light
// saving, month ends and leap years do between. Steps of months are calendar months; steps of whole
// days are taken in local time, others in absolute time, as the server adds intervals to a timestamptz
// (but where only the other of the two puts all times on the grid: grid_inference.h).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace many::core {

enum class TimeType : std::uint8_t { integer, date, timestamp, timestamptz };

// Of a timestamptz: absolute to local microseconds and back, in one zone. Neither throws nor longjmps.
struct TimeZoneMap {
    std::int64_t (*to_local)(const void* zone, std::int64_t absolute) = nullptr;
    std::int64_t (*to_absolute)(const void* zone, std::int64_t local) = nullptr;
    const void* zone = nullptr;
};

// The step between observations. Exactly one of months and units is positive. `units`: integers,
// days (date) or microseconds.
struct TimeStep {
    std::int32_t months = 0;
    std::int64_t units = 0;
    [[nodiscard]] bool given() const noexcept { return months > 0 || units > 0; }
    [[nodiscard]] bool operator==(const TimeStep&) const noexcept = default;
};

enum class FillPolicy : std::uint8_t { error, null, zero, forward, interpolate };
enum class DuplicatePolicy : std::uint8_t { error, sum, mean, last };

struct GridSpec {
    TimeType type = TimeType::integer;
    TimeStep step;  // not given: inferred per group
    FillPolicy fill = FillPolicy::error;
    DuplicatePolicy duplicates = DuplicatePolicy::error;
    bool trim_leading_zeros = false;
};

// Where the observations of a series lie. Trivially copyable; part of a model's bytes.
struct TimeGrid {
    TimeType type = TimeType::integer;
    bool local = false;  // timestamptz: origin and steps are in local time
    TimeStep step;
    std::int64_t origin = 0;        // time of observation 0, in local time if `local`
    std::int32_t day_of_month = 0;  // steps of months: the day aimed at (31: the month's end)
};

// The time of observation i (negative: before the origin), as the source's column has it. Beyond the
// range of the type: its infinity (integers: the extreme value).
[[nodiscard]] std::int64_t time_at(const TimeGrid& grid, std::int64_t i, const TimeZoneMap& zone);
// The observation at this time; false when the time is not on the grid.
[[nodiscard]] bool index_of(const TimeGrid& grid, std::int64_t time, const TimeZoneMap& zone,
                            std::int64_t& index);

// "day", "week", "2 hours", "month", "15 minutes", "7" (integers): for messages and views.
[[nodiscard]] std::string step_name(TimeType type, const TimeStep& step);
// Season lengths by the step, ascending: month {12}, quarter {4}, week {52}, day {7},
// hour {24, 168}, 30 minutes {48, 336}, 15 minutes {96, 672}, minute {1440}; none otherwise.
void default_season_lengths(TimeType type, const TimeStep& step, std::vector<int>& out);
// Steps ahead when the caller names none: year 6, quarter 8, month 18, week 13, day 14, hour 48; else 10
// (the horizons of the M4 competition).
[[nodiscard]] int default_horizon(TimeType type, const TimeStep& step) noexcept;

// Regressors of the calendar for the observations first .. first + n - 1, appended to x (n per
// column): month of the year and day of the week as contrasts with the first, where the step is
// shorter than a year, a week; the hour of the day where it is shorter than a day. Local time.
// Returns the number of columns, which depends on type and step alone; integers: 0.
int calendar_columns(const TimeGrid& grid, const TimeZoneMap& zone, std::int64_t first,
                     std::int64_t n, std::vector<double>& x);

enum class SeriesStatus : std::uint8_t {
    ok,
    empty,          // no usable row
    off_grid,       // a time that is not on the grid of the given step
    no_step,        // no step could be inferred: fewer than 2 different times, or too far apart
    duplicate,      // two rows of one time, duplicates: error
    gap,            // a missing time, fill: error
    too_long,       // more observations on the grid than `max_length`: a far-off time
    infinite_time,  // infinity, or nothing the server's type can hold
};

// A regular series, from the first to the last time that has a value. With fill `null` fits see the
// interpolated value and `observed` tells which are real.
struct RegularSeries {
    TimeGrid grid;
    std::vector<double> y;
    std::vector<double> x;                // n x n_features, column-major
    std::vector<unsigned char> observed;  // 1: from a row, 0: filled
    std::int64_t n_filled = 0;
    std::int64_t n_merged = 0;   // rows that went into another of the same time
    std::int64_t n_trimmed = 0;  // leading zeros left out
};

// What build_series keeps from one series to the next, of one thread: memory, and the grid of the times
// it met last. Series of one table mostly have the same times, and then nothing of a grid is computed
// again. Results do not depend on it.
class SeriesScratch {
  public:
    SeriesScratch();
    ~SeriesScratch();
    SeriesScratch(const SeriesScratch&) = delete;
    SeriesScratch& operator=(const SeriesScratch&) = delete;
    void forget();

  private:
    friend class SeriesBuilder;
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

// rows: n rows of n_features + 2 doubles (features, target, bit-cast int64 time), row r at
// rows + r * stride, any order. Ties in time are ordered by the rows' values (target, then features),
// so that no bit of the result depends on the order of the rows.
//
// Target NULL (null_value() of learners/group_trainer.h): a missing value. Its time counts for the
// step, its features are kept, and it never is a duplicate of a row with a value. NaN and infinities
// go into y and x as they are.
// duplicates: sum and mean are of the target, beside the mean of each feature; last is the row of the
// largest target. Feature NULL, and features of missing times: the last known value before, at the
// beginning the first known; a feature without any stays null_value().
// Leading zeros are trimmed up to the first other value; a series of zeros is left as it is.
//
// `at`: on a status other than ok the time it is about, for messages; out.grid has then the step, if
// one was found (not after empty and infinite_time). Cost O(n log r) of rows in r ascending runs.
[[nodiscard]] SeriesStatus build_series(const GridSpec& spec, const TimeZoneMap& zone, double* rows,
                                        std::size_t n, std::size_t stride, int n_features,
                                        std::size_t max_length, RegularSeries& out,
                                        std::int64_t& at, SeriesScratch& scratch);
[[nodiscard]] SeriesStatus build_series(const GridSpec& spec, const TimeZoneMap& zone, double* rows,
                                        std::size_t n, std::size_t stride, int n_features,
                                        std::size_t max_length, RegularSeries& out,
                                        std::int64_t& at);

}  // namespace many::core
