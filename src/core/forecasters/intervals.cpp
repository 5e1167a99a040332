#include "core/forecasters/intervals.h"

#include <algorithm>
#include <boost/math/distributions/normal.hpp>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>

#include "core/error.h"

namespace many::core {

double quantile_distance(double tail, double df) {
    constexpr double kLeast = 1e-300;  // Student's t would overflow behind it
    if (!(tail > 0 && tail <= 0.5)) {
        throw Error(ErrorKind::invalid_argument, "the tail of a quantile is between 0 and 1/2");
    }
    tail = std::max(tail, kLeast);
    return df > 0 ? -boost::math::quantile(boost::math::students_t(df), tail)
                  : -boost::math::quantile(boost::math::normal(), tail);
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
