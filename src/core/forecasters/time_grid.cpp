#include "core/forecasters/time_grid.h"

#include <algorithm>
#include <limits>

#include "core/forecasters/calendar.h"

namespace many::core {

namespace {

constexpr std::int64_t kMaxInt64 = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kMinInt64 = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t kMaxMonth = 12 * 10'000'000LL;  // beyond all types' ends
constexpr std::int64_t kMinute = 60'000'000, kHour = 60 * kMinute;

__extension__ using Wide = __int128;  // of two times at either end of their range

std::int64_t infinity(TimeType type, bool negative) noexcept {
    if (type == TimeType::date)
        return negative ? std::numeric_limits<std::int32_t>::min()
                        : std::numeric_limits<std::int32_t>::max();
    return negative ? kMinInt64 : kMaxInt64;
}

bool in_local_time(const TimeGrid& grid, const TimeZoneMap& zone) noexcept {
    return grid.local && grid.type == TimeType::timestamptz && zone.to_local != nullptr &&
           zone.to_absolute != nullptr;
}

// Months since the year 0.
std::int64_t month_of(const CivilDate& date) noexcept {
    return date.year * 12 + date.month - 1;
}

// The time of observation i, local where the grid is; false beyond the range of the type.
bool grid_time(const TimeGrid& grid, std::int64_t i, std::int64_t& out) noexcept {
    if (grid.step.months <= 0) {
        const Wide time = static_cast<Wide>(i) * grid.step.units + grid.origin;
        out = static_cast<std::int64_t>(time);
        return out == time;
    }
    const std::int64_t per_day = units_per_day(grid.type);
    if (per_day == 0 || (per_day == 1 && !is_finite_time(grid.type, grid.origin))) return false;
    std::int64_t month = 0;
    if (__builtin_mul_overflow(i, static_cast<std::int64_t>(grid.step.months), &month) ||
        __builtin_add_overflow(month, month_of(civil_from_days(floor_div(grid.origin, per_day))),
                               &month) ||
        month > kMaxMonth || month < -kMaxMonth) {
        return false;
    }
    const std::int64_t year = floor_div(month, 12);
    const int of_year = static_cast<int>(month - year * 12) + 1;
    const int day = std::clamp(grid.day_of_month, 1, days_in_month(year, of_year));
    return !__builtin_mul_overflow(days_from_civil(year, of_year, day), per_day, &out) &&
           !__builtin_add_overflow(out, floor_mod(grid.origin, per_day), &out);
}

// The last observation not after the time; false when there are too many between.
bool index_before(const TimeGrid& grid, std::int64_t time, std::int64_t& index) noexcept {
    if (grid.step.months > 0) {
        const std::int64_t per_day = units_per_day(grid.type);
        if (per_day == 0 || (per_day == 1 && !is_finite_time(grid.type, grid.origin))) return false;
        const std::int64_t months = month_of(civil_from_days(floor_div(time, per_day))) -
                                    month_of(civil_from_days(floor_div(grid.origin, per_day)));
        index = floor_div(months, grid.step.months);
        return true;
    }
    const bool before = time < grid.origin;
    const std::uint64_t a = static_cast<std::uint64_t>(before ? grid.origin : time);
    const std::uint64_t b = static_cast<std::uint64_t>(before ? time : grid.origin);
    const std::uint64_t units = static_cast<std::uint64_t>(grid.step.units);
    const std::uint64_t steps = (a - b) / units;
    if (steps >= static_cast<std::uint64_t>(kMaxInt64)) return false;
    index = static_cast<std::int64_t>(steps);
    if (before) index = -index - ((a - b) % units != 0 ? 1 : 0);
    return true;
}

std::string counted(std::int64_t n, const char* unit) {
    return n == 1 ? unit : std::to_string(n) + " " + unit + "s";
}

bool is_step(TimeType type, const TimeStep& step, std::int64_t microseconds) noexcept {
    if (step.months > 0 || type == TimeType::integer) return false;
    if (type != TimeType::date) return step.units == microseconds;
    return microseconds % kMicrosecondsPerDay == 0 &&
           step.units == microseconds / kMicrosecondsPerDay;
}

// Which regressors the calendar has for a step.
struct CalendarTerms {
    bool month = false, weekday = false, hour = false;
    [[nodiscard]] int columns() const noexcept {
        return (month ? 11 : 0) + (weekday ? 6 : 0) + (hour ? 23 : 0);
    }
};

CalendarTerms calendar_terms(TimeType type, const TimeStep& step) noexcept {
    const std::int64_t per_day = units_per_day(type);
    if (per_day == 0) return {};
    if (step.months > 0) return {step.months < 12, false, false};
    return {step.units < 365 * per_day, step.units<7 * per_day, per_day> 1 && step.units < per_day};
}

// The time on the clocks of the zone.
bool clock_time(const TimeGrid& grid, const TimeZoneMap& zone, std::int64_t i, std::int64_t& out) {
    if (!grid_time(grid, i, out)) return false;
    if (grid.local && grid.type == TimeType::timestamptz) return true;
    if (!is_finite_time(grid.type, out)) return false;
    if (grid.type == TimeType::timestamptz && zone.to_local != nullptr)
        out = zone.to_local(zone.zone, out);
    return true;
}

}  // namespace

std::int64_t time_at(const TimeGrid& grid, std::int64_t i, const TimeZoneMap& zone) {
    std::int64_t time = 0;
    if (!grid_time(grid, i, time)) return infinity(grid.type, i < 0);
    if (!is_finite_time(grid.type, time)) return infinity(grid.type, time < 0);
    if (!in_local_time(grid, zone)) return time;
    time = zone.to_absolute(zone.zone, time);
    return is_finite_time(grid.type, time) ? time : infinity(grid.type, time < 0);
}

bool index_of(const TimeGrid& grid, std::int64_t time, const TimeZoneMap& zone,
              std::int64_t& index) {
    if (!grid.step.given() || !is_finite_time(grid.type, time)) return false;
    const bool local = in_local_time(grid, zone);
    const std::int64_t work = local ? zone.to_local(zone.zone, time) : time;
    std::int64_t near = 0, there = 0;
    if (!index_before(grid, work, near)) return false;
    if (grid_time(grid, near, there) && there == work) {
        index = near;
        return true;
    }
    if (!local || near >= kMaxInt64 / 2 || near <= kMinInt64 / 2) return false;
    // A local time that the clocks leapt over stands elsewhere, by the server's rule.
    for (const std::int64_t candidate : {near, near - 1, near + 1}) {
        if (time_at(grid, candidate, zone) != time) continue;
        index = candidate;
        return true;
    }
    return false;
}

std::string step_name(TimeType type, const TimeStep& step) {
    if (!step.given()) return {};
    if (step.months > 0) {
        if (step.months % 12 == 0) return counted(step.months / 12, "year");
        return step.months == 3 ? "quarter" : counted(step.months, "month");
    }
    if (type == TimeType::integer) return std::to_string(step.units);
    struct Unit {
        std::int64_t size;
        const char* name;
    };
    constexpr Unit kDays[] = {{7, "week"}, {1, "day"}};
    constexpr Unit kMicroseconds[] = {{7 * kMicrosecondsPerDay, "week"},
                                      {kMicrosecondsPerDay, "day"},
                                      {kHour, "hour"},
                                      {kMinute, "minute"},
                                      {1'000'000, "second"},
                                      {1000, "millisecond"},
                                      {1, "microsecond"}};
    const auto units = type == TimeType::date ? std::span<const Unit>(kDays)
                                              : std::span<const Unit>(kMicroseconds);
    const auto unit = std::find_if(units.begin(), units.end(),
                                   [&](const Unit& u) { return step.units % u.size == 0; });
    return counted(step.units / unit->size, unit->name);
}

void default_season_lengths(TimeType type, const TimeStep& step, std::vector<int>& out) {
    out.clear();
    if (step.months == 1) out = {12};
    if (step.months == 3) out = {4};
    if (is_step(type, step, 7 * kMicrosecondsPerDay)) out = {52};
    if (is_step(type, step, kMicrosecondsPerDay)) out = {7};
    if (is_step(type, step, kHour)) out = {24, 168};
    if (is_step(type, step, 30 * kMinute)) out = {48, 336};
    if (is_step(type, step, 15 * kMinute)) out = {96, 672};
    if (is_step(type, step, kMinute)) out = {1440};
}

int default_horizon(TimeType type, const TimeStep& step) noexcept {
    if (step.months == 12) return 6;
    if (step.months == 3) return 8;
    if (step.months == 1) return 18;
    if (is_step(type, step, 7 * kMicrosecondsPerDay)) return 13;
    if (is_step(type, step, kMicrosecondsPerDay)) return 14;
    return is_step(type, step, kHour) ? 48 : 10;
}

int calendar_columns(const TimeGrid& grid, const TimeZoneMap& zone, std::int64_t first,
                     std::int64_t n, std::vector<double>& x) {
    const CalendarTerms terms = calendar_terms(grid.type, grid.step);
    const int columns = terms.columns();
    if (n <= 0 || columns == 0) return columns;
    const std::size_t begin = x.size(), rows = static_cast<std::size_t>(n);
    x.resize(begin + static_cast<std::size_t>(columns) * rows, 0.0);
    const std::int64_t per_day = units_per_day(grid.type);
    for (std::size_t r = 0; r < rows; ++r) {
        std::int64_t i = 0, time = 0;
        if (__builtin_add_overflow(first, static_cast<std::int64_t>(r), &i) ||
            !clock_time(grid, zone, i, time)) {
            continue;
        }
        const std::int64_t day = floor_div(time, per_day);
        std::size_t column = 0;
        // Level k of a factor, 0 the base, among `levels`.
        const auto set = [&](bool has, int k, std::size_t levels) {
            if (!has) return;
            if (k > 0) x[begin + (column + static_cast<std::size_t>(k) - 1) * rows + r] = 1;
            column += levels - 1;
        };
        set(terms.month, terms.month ? civil_from_days(day).month - 1 : 0, 12);
        set(terms.weekday, day_of_week(day), 7);
        set(terms.hour, static_cast<int>(floor_mod(time, per_day) / kHour), 24);
    }
    return columns;
}

}  // namespace many::core
