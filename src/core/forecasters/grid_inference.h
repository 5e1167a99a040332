// Which grid the times of a series lie on: the step, when it is not given, and where it is anchored.
//
// Months. All times on one clock time and on one day of their months (or the month's end, where the
// month is shorter) are steps of months: the greatest common divisor of the distances in months.
// Otherwise the step is a fixed number of units: the greatest common divisor of the distances
// between neighbours, unless one distance makes up three quarters of them and is not a divisor of
// the others: then that distance is the step and the times off its grid are strays, which the caller
// reports. (A weekly series with one date a day late is not a daily series with gaps.)
//
// timestamptz. Whole days and months are of local time, where all local clock times are the same;
// steps of other lengths are of absolute time, but where only local time makes them regular.
// A local time that the clocks leap over counts as the time the server makes of it.
#pragma once

#include <cstdint>
#include <span>

#include "core/forecasters/time_grid.h"

namespace many::core {

// times: ascending, all different, at least one, finite. The grid's origin is at the first; of a
// given step the times need not all lie on it. Statuses: ok, no_step.
// Throws Error{invalid_argument} for a step of months among integers.
[[nodiscard]] SeriesStatus lay_grid(const GridSpec& spec, const TimeZoneMap& zone,
                                    std::span<const std::int64_t> times, TimeGrid& grid);

}  // namespace many::core
