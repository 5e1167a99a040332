// Times and time zones for tests.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

#include "core/forecasters/calendar.h"
#include "core/forecasters/time_grid.h"
#include "core/learners/group_trainer.h"

namespace many::core {

constexpr std::int64_t kTestSecond = 1'000'000, kTestMinute = 60 * kTestSecond,
                       kTestHour = 60 * kTestMinute, kTestDay = 24 * kTestHour;

inline std::int64_t day(std::int64_t year, int month, int d) {
    return days_from_civil(year, month, d);
}
inline std::int64_t stamp(std::int64_t year, int month, int d, int hour = 0, int minute = 0) {
    return day(year, month, d) * kTestDay + hour * kTestHour + minute * kTestMinute;
}

// A zone from its changes of offset; which absolute time a clock time means follows the server: the
// offset before where the clocks leap forward, the one after where they go back.
struct FakeZone {
    struct Change {
        std::int64_t at;  // absolute
        std::int64_t offset;
    };
    std::int64_t first_offset;
    std::vector<Change> changes;

    [[nodiscard]] TimeZoneMap map() const { return {to_local, to_absolute, this}; }

    static std::int64_t to_local(const void* zone, std::int64_t absolute) {
        const auto& z = *static_cast<const FakeZone*>(zone);
        std::int64_t offset = z.first_offset;
        for (const Change& c : z.changes) {
            if (absolute >= c.at) offset = c.offset;
        }
        return absolute + offset;
    }
    static std::int64_t to_absolute(const void* zone, std::int64_t local) {
        const auto& z = *static_cast<const FakeZone*>(zone);
        std::int64_t before = z.first_offset;
        for (const Change& c : z.changes) {
            if (local < c.at + std::max(before, c.offset)) {
                const bool unclear = local >= c.at + std::min(before, c.offset);
                return local - (unclear && c.offset < before ? c.offset : before);
            }
            before = c.offset;
        }
        return local - before;
    }
};

// Europe/Berlin, 2023 and 2024.
inline FakeZone berlin() {
    return {kTestHour,
            {{stamp(2023, 3, 26, 1), 2 * kTestHour},
             {stamp(2023, 10, 29, 1), kTestHour},
             {stamp(2024, 3, 31, 1), 2 * kTestHour},
             {stamp(2024, 10, 27, 1), kTestHour}}};
}
// America/Sao_Paulo, summer of 2017: no midnight on 2017-10-15, 23 o'clock twice on 2018-02-17.
inline FakeZone sao_paulo() {
    return {-3 * kTestHour,
            {{stamp(2017, 10, 15, 3), -2 * kTestHour}, {stamp(2018, 2, 18, 2), -3 * kTestHour}}};
}

// Rows of build_series.
struct TestRows {
    int n_features = 0;
    std::vector<double> data;

    void add(std::int64_t time, double target, std::initializer_list<double> features = {}) {
        data.insert(data.end(), features);
        data.push_back(target);
        data.push_back(std::bit_cast<double>(time));
    }
    [[nodiscard]] std::size_t stride() const { return static_cast<std::size_t>(n_features) + 2; }
    [[nodiscard]] std::size_t size() const { return data.size() / stride(); }
    void swap(std::size_t a, std::size_t b) {
        std::swap_ranges(data.begin() + static_cast<std::ptrdiff_t>(a * stride()),
                         data.begin() + static_cast<std::ptrdiff_t>((a + 1) * stride()),
                         data.begin() + static_cast<std::ptrdiff_t>(b * stride()));
    }
};

struct BuiltSeries {
    SeriesStatus status = SeriesStatus::ok;
    RegularSeries series;
    std::int64_t at = 0;
};

inline BuiltSeries build(const GridSpec& spec, TestRows rows, const TimeZoneMap& zone = {},
                         std::size_t max_length = 100000) {
    BuiltSeries b;
    b.status = build_series(spec, zone, rows.data.data(), rows.size(), rows.stride(),
                            rows.n_features, max_length, b.series, b.at);
    return b;
}

// A series of 1, 2, 3, .. at these times.
inline BuiltSeries build_times(const GridSpec& spec, const std::vector<std::int64_t>& times,
                               const TimeZoneMap& zone = {}, std::size_t max_length = 100000) {
    TestRows rows;
    for (std::size_t i = 0; i < times.size(); ++i) rows.add(times[i], static_cast<double>(i + 1));
    return build(spec, rows, zone, max_length);
}

}  // namespace many::core
