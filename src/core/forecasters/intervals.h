// From a forecast's variance to its interval.
#pragma once

namespace many::core {

// Half the width of the central interval of `level` (0 < level < 1), of a Gaussian error of this
// variance, or of Student's t when its variance was estimated with `df` degrees of freedom and the
// method's interval is that of t (df > 0). NaN for a variance that is not there.
[[nodiscard]] double interval_half_width(double variance, double level, double df = 0);

// How far from the middle, in roots of the variance, the quantile is that cuts off this tail
// (0 < tail <= 1/2): of the normal distribution, or of Student's t (df > 0).
[[nodiscard]] double quantile_distance(double tail, double df = 0);

}  // namespace many::core
