#include "core/forecasters/intervals.h"

#include <boost/math/distributions/normal.hpp>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>

#include "core/error.h"

namespace many::core {

double interval_half_width(double variance, double level, double df) {
    if (!(level > 0 && level < 1)) {
        throw Error(ErrorKind::invalid_argument, "the level of an interval is between 0 and 1");
    }
    if (!(variance >= 0)) return std::nan("");
    // The quantile of the tail: 1 - tail would lose digits of a level near 1.
    const double tail = (1 - level) / 2;
    const double z = df > 0 ? -boost::math::quantile(boost::math::students_t(df), tail)
                            : -boost::math::quantile(boost::math::normal(), tail);
    return z * std::sqrt(variance);
}

}  // namespace many::core
