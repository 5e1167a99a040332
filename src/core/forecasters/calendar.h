// The proleptic Gregorian calendar on integers, in PostgreSQL's units: days since 2000-01-01,
// microseconds since 2000-01-01 00:00. Years are astronomical: 0 is 1 BC.
//
// Source: the algorithms of Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms" (2013):
// the year begins in March, so that the leap day is its last.
#pragma once

#include <cstdint>

#include "core/forecasters/time_grid.h"

namespace many::core {

constexpr std::int64_t kMicrosecondsPerDay = 86'400'000'000;

// Rounded towards minus infinity. b > 0.
[[nodiscard]] constexpr std::int64_t floor_div(std::int64_t a, std::int64_t b) noexcept {
    return a / b - (a % b < 0 ? 1 : 0);
}
[[nodiscard]] constexpr std::int64_t floor_mod(std::int64_t a, std::int64_t b) noexcept {
    const std::int64_t rest = a % b;
    return rest < 0 ? rest + b : rest;
}

struct CivilDate {
    std::int64_t year;
    int month;  // 1 .. 12
    int day;    // 1 .. 31
};

// Exact for all years up to 10^15 either way.
[[nodiscard]] CivilDate civil_from_days(std::int64_t days) noexcept;
[[nodiscard]] std::int64_t days_from_civil(std::int64_t year, int month, int day) noexcept;
[[nodiscard]] int days_in_month(std::int64_t year, int month) noexcept;
// 0 Monday .. 6 Sunday.
[[nodiscard]] int day_of_week(std::int64_t days) noexcept;

// Whether this is a time the server can have in a column of the type and not an infinity. Any integer.
[[nodiscard]] bool is_finite_time(TimeType type, std::int64_t time) noexcept;

// Units of the type in a day; 0 for integers.
[[nodiscard]] constexpr std::int64_t units_per_day(TimeType type) noexcept {
    return type == TimeType::integer ? 0 : type == TimeType::date ? 1 : kMicrosecondsPerDay;
}

}  // namespace many::core
