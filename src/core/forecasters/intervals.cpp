#include "core/forecasters/intervals.h"

#include <algorithm>
#include <array>
#include <bit>
#include <boost/math/distributions/normal.hpp>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <cstdint>

#include "core/error.h"

namespace many::core {

namespace {

double student_or_normal(double tail, double df) {
    return df > 0 ? -boost::math::quantile(boost::math::students_t(df), tail)
                  : -boost::math::quantile(boost::math::normal(), tail);
}

// One group after the other asks for the same few.
struct Known {
    double tail = 0, df = 0, distance = 0;
};
thread_local std::array<Known, 16> known;

}  // namespace

double quantile_distance(double tail, double df) {
    constexpr double kLeast = 1e-300;  // Student's t would overflow behind it
    if (!(tail > 0 && tail <= 0.5)) {
        throw Error(ErrorKind::invalid_argument, "the tail of a quantile is between 0 and 1/2");
    }
    tail = std::max(tail, kLeast);
    if (!(df > 0)) df = 0;
    const std::uint64_t mixed =
        (std::bit_cast<std::uint64_t>(tail) ^ std::bit_cast<std::uint64_t>(df) >> 5) *
        0x9e3779b97f4a7c15ULL;
    Known& place = known[mixed >> 60];
    if (place.tail != tail || place.df != df) place = {tail, df, student_or_normal(tail, df)};
    return place.distance;
}

double interval_half_width(double variance, double level, double df) {
    if (!(level > 0 && level < 1)) {
        throw Error(ErrorKind::invalid_argument, "the level of an interval is between 0 and 1");
    }
    if (!(variance >= 0)) return std::nan("");
    // The quantile of the tail: 1 - tail would lose digits of a level near 1.
    return quantile_distance((1 - level) / 2, df) * std::sqrt(variance);
}

}  // namespace many::core
