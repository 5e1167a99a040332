#include "core/forecasters/calendar.h"

namespace many::core {

namespace {

constexpr std::int64_t kDaysOfEra = 146097;        // 400 years
constexpr std::int64_t kEpochFromMarch0 = 730425;  // 0000-03-01 to 2000-01-01

// The server's limits (its datatype/timestamp.h): from 4714-11-24 BC on, dates before 5874898-01-01,
// timestamps before 294277-01-01.
constexpr std::int64_t kFirstDate = -2451545;
constexpr std::int64_t kEndDate = 2145031949;
constexpr std::int64_t kFirstTimestamp = -211813488000000000;
constexpr std::int64_t kEndTimestamp = 9223371331200000000;

}  // namespace

namespace {

// Of 0 <= z < 2^29 days since 0000-03-01: multiplications instead of divisions (Neri & Schneider 2023).
CivilDate civil_from_march(std::uint32_t z) noexcept {
    const std::uint32_t quarter_days = 4 * z + 3, century = quarter_days / 146097;
    const std::uint32_t of_century = quarter_days % 146097 | 3;
    const std::uint64_t product = std::uint64_t{2939745} * of_century;
    const auto year = static_cast<std::uint32_t>(product >> 32);
    const std::uint32_t of_year = static_cast<std::uint32_t>(product) / 2939745 / 4;
    const std::uint32_t date = 2141 * of_year + 197913;
    const bool next = of_year >= 306;  // January, February
    return {std::int64_t{100} * century + year + (next ? 1 : 0),
            static_cast<int>(date >> 16) - (next ? 12 : 0),
            static_cast<int>((date & 0xffff) / 2141) + 1};
}

}  // namespace

CivilDate civil_from_days(std::int64_t days) noexcept {
    std::int64_t z = days + kEpochFromMarch0, era = 0;
    if (z < 0 || z >= 1 << 29) {
        era = floor_div(z, kDaysOfEra);
        z -= era * kDaysOfEra;
    }
    CivilDate date = civil_from_march(static_cast<std::uint32_t>(z));
    date.year += era * 400;
    return date;
}

std::int64_t days_from_civil(std::int64_t year, int month, int day) noexcept {
    const std::int64_t y = month <= 2 ? year - 1 : year;
    const std::int64_t era = floor_div(y, 400);
    const std::int64_t year_of_era = y - era * 400;
    const std::int64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    const std::int64_t of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
    return era * kDaysOfEra + of_era - kEpochFromMarch0;
}

int days_in_month(std::int64_t year, int month) noexcept {
    if (month == 2) {
        const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        return leap ? 29 : 28;
    }
    return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

int day_of_week(std::int64_t days) noexcept {
    // 2000-01-01 was a Saturday.
    return static_cast<int>((floor_mod(days, 7) + 5) % 7);
}

bool is_finite_time(TimeType type, std::int64_t time) noexcept {
    switch (type) {
        case TimeType::integer:
            return true;
        case TimeType::date:
            return time >= kFirstDate && time < kEndDate;
        default:
            return time >= kFirstTimestamp && time < kEndTimestamp;
    }
}

}  // namespace many::core
