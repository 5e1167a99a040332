#include "core/forecasters/grid_inference.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <numeric>
#include <vector>

#include "core/error.h"
#include "core/forecasters/calendar.h"

namespace many::core {

namespace {

using Times = std::span<const std::int64_t>;

struct Spacing {
    std::uint64_t step = 0;
    bool regular = false;  // the most frequent distance divides all
};

std::uint64_t distance(Times times, std::size_t i) noexcept {
    return static_cast<std::uint64_t>(times[i + 1]) - static_cast<std::uint64_t>(times[i]);
}

// times: ascending, all different, two or more.
Spacing spacing(Times times) {
    const std::size_t n = times.size() - 1;
    const std::uint64_t first = distance(times, 0);
    std::size_t same = 1;
    while (same < n && distance(times, same) == first) ++same;
    if (same == n) return {first, true};

    std::vector<std::uint64_t> distances(n);
    std::uint64_t divisor = 0;
    for (std::size_t i = 0; i < n; ++i) {
        distances[i] = distance(times, i);
        divisor = std::gcd(divisor, distances[i]);
    }
    std::sort(distances.begin(), distances.end());
    std::uint64_t mode = 0;
    std::size_t count = 0;
    for (std::size_t i = 0, run = 1; i < n; ++i, ++run) {
        if (i + 1 < n && distances[i + 1] == distances[i]) continue;
        if (run > count) {
            mode = distances[i];
            count = run;
        }
        run = 0;
    }
    if (mode == divisor) return {mode, true};
    return {count >= n - n / 4 ? mode : divisor, false};
}

bool set_units(std::uint64_t distance, std::int64_t per_unit, TimeGrid& grid) noexcept {
    constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    if (distance > kMost / static_cast<std::uint64_t>(per_unit)) return false;
    grid.step = {0, static_cast<std::int64_t>(distance) * per_unit};
    return true;
}

bool is_month_end(const CivilDate& date) noexcept {
    return date.day == days_in_month(date.year, date.month);
}

// The day aimed at in each month: that of the first time, unless it is the end of its month; then 31
// if all are ends of their months, otherwise the largest.
int aimed_day(Times days) noexcept {
    const CivilDate first = civil_from_days(days[0]);
    if (!is_month_end(first)) return first.day;
    int largest = first.day;
    bool all_ends = true;
    for (const std::int64_t d : days) {
        const CivilDate date = civil_from_days(d);
        all_ends = all_ends && is_month_end(date);
        largest = std::max(largest, date.day);
    }
    return all_ends ? 31 : largest;
}

bool month_step(Times days, TimeGrid& grid) noexcept {
    const int aim = aimed_day(days);
    std::int64_t divisor = 0, before = 0;
    for (std::size_t i = 0; i < days.size(); ++i) {
        const CivilDate date = civil_from_days(days[i]);
        if (date.day != std::min(aim, days_in_month(date.year, date.month))) return false;
        const std::int64_t month = date.year * 12 + date.month;
        if (i > 0 && month == before) return false;
        if (i > 0) divisor = std::gcd(divisor, month - before);
        before = month;
    }
    if (divisor > std::numeric_limits<std::int32_t>::max()) return false;
    grid.step = {static_cast<std::int32_t>(divisor), 0};
    grid.day_of_month = aim;
    return true;
}

// The step between days, two or more.
bool day_step(Times days, TimeGrid& grid) {
    return month_step(days, grid) || set_units(spacing(days).step, units_per_day(grid.type), grid);
}

// Times of timestamps as days and one clock time.
struct WholeDays {
    std::vector<std::int64_t> clocks;  // the times, local
    std::vector<std::int64_t> days;
    std::int64_t clock = 0;

    // False when the clock times differ.
    bool read(TimeType type, const TimeZoneMap& zone, Times times);

  private:
    bool try_clock(const TimeZoneMap* zone, Times times);
};

bool WholeDays::read(TimeType type, const TimeZoneMap& zone, Times times) {
    const bool zoned =
        type == TimeType::timestamptz && zone.to_local != nullptr && zone.to_absolute != nullptr;
    clocks.assign(times.begin(), times.end());
    if (zoned) {
        for (std::int64_t& t : clocks) t = zone.to_local(zone.zone, t);
    }
    // The first may be the one that stands elsewhere because the clocks leapt over it.
    for (std::size_t i = 0; i < std::min<std::size_t>(clocks.size(), zoned ? 2 : 1); ++i) {
        clock = floor_mod(clocks[i], kMicrosecondsPerDay);
        if (try_clock(zoned ? &zone : nullptr, times)) return true;
    }
    return false;
}

bool WholeDays::try_clock(const TimeZoneMap* zone, Times times) {
    days.clear();
    for (std::size_t i = 0; i < clocks.size(); ++i) {
        std::int64_t day = floor_div(clocks[i], kMicrosecondsPerDay);
        if (clocks[i] - day * kMicrosecondsPerDay != clock) {
            if (zone == nullptr) return false;
            const auto stands_for = [&](std::int64_t d) {
                return zone->to_absolute(zone->zone, d * kMicrosecondsPerDay + clock) == times[i];
            };
            if (!stands_for(day) && !stands_for(--day)) return false;
        }
        if (days.empty() || day > days.back()) days.push_back(day);
    }
    return true;
}

bool all_on_grid(const TimeGrid& grid, const TimeZoneMap& zone, Times times) {
    std::int64_t index = 0;
    return std::all_of(times.begin(), times.end(),
                       [&](std::int64_t t) { return index_of(grid, t, zone, index); });
}

std::vector<std::int64_t> days_of(Times timestamps) {
    std::vector<std::int64_t> days(timestamps.begin(), timestamps.end());
    for (std::int64_t& d : days) d = floor_div(d, kMicrosecondsPerDay);
    return days;
}

void lay_given(const TimeZoneMap& zone, Times times, TimeGrid& grid) {
    grid.origin = times[0];
    const std::int64_t per_day = units_per_day(grid.type);
    if (per_day == 0) return;
    if (per_day == 1) {
        if (grid.step.months > 0) grid.day_of_month = aimed_day(times);
        return;
    }
    const bool whole = grid.step.months > 0 || grid.step.units % per_day == 0;
    if (!whole && (grid.type == TimeType::timestamp || all_on_grid(grid, zone, times))) return;
    TimeGrid absolute = grid;
    WholeDays days;
    if (days.read(grid.type, zone, times)) {
        grid.origin = days.days[0] * per_day + days.clock;
    } else {
        grid.origin = days.clocks[0];
        days.days = days_of(days.clocks);
    }
    grid.local = grid.type == TimeType::timestamptz;
    if (grid.step.months > 0) grid.day_of_month = aimed_day(days.days);
    if (!grid.local || all_on_grid(grid, zone, times)) return;
    if (grid.step.months > 0) absolute.day_of_month = aimed_day(days_of(times));
    // Neither: the times off the preferred one are the strays.
    if (!whole || all_on_grid(absolute, zone, times)) grid = absolute;
}

bool infer_timestamps(const TimeZoneMap& zone, Times times, TimeGrid& grid) {
    WholeDays whole;
    const bool zoned = grid.type == TimeType::timestamptz;
    if (whole.read(grid.type, zone, times) && whole.days.size() > 1) {
        grid.local = zoned;
        grid.origin = whole.days[0] * kMicrosecondsPerDay + whole.clock;
        return day_step(whole.days, grid);
    }
    grid.origin = times[0];
    // Days or months cut in UTC.
    WholeDays utc;
    if (zoned && utc.read(TimeType::timestamp, zone, times)) return day_step(utc.days, grid);
    const Spacing absolute = spacing(times);
    if (!absolute.regular && zoned) {
        const auto& clocks = whole.clocks;
        // Clock times repeat where the clocks go back, and then this is no grid of local time.
        if (std::adjacent_find(clocks.begin(), clocks.end(), std::greater_equal<>()) ==
            clocks.end()) {
            const Spacing local = spacing(clocks);
            if (local.regular) {
                grid.local = true;
                grid.origin = clocks[0];
                return set_units(local.step, 1, grid);
            }
        }
    }
    return set_units(absolute.step, 1, grid);
}

}  // namespace

SeriesStatus lay_grid(const GridSpec& spec, const TimeZoneMap& zone, Times times, TimeGrid& grid) {
    grid = {};
    grid.type = spec.type;
    grid.step = spec.step;
    if (spec.type == TimeType::integer && spec.step.months > 0)
        throw Error(ErrorKind::invalid_argument, "steps of months need dates or timestamps");
    if (spec.step.given()) {
        lay_given(zone, times, grid);
        return SeriesStatus::ok;
    }
    if (times.size() < 2) return SeriesStatus::no_step;
    bool found = false;
    switch (spec.type) {
        case TimeType::integer:
            grid.origin = times[0];
            found = set_units(spacing(times).step, 1, grid);
            break;
        case TimeType::date:
            grid.origin = times[0];
            found = day_step(times, grid);
            break;
        default:
            found = infer_timestamps(zone, times, grid);
            break;
    }
    return found ? SeriesStatus::ok : SeriesStatus::no_step;
}

}  // namespace many::core
