// From a forecast's variance to its interval.
#pragma once

namespace many::core {

// Half the width of the central interval of `level` (0 < level < 1), of a Gaussian error of this
// variance, or of Student's t when its variance was estimated with `df` degrees of freedom and the
// method's interval is that of t (df > 0). NaN for a variance that is not there.
[[nodiscard]] double interval_half_width(double variance, double level, double df = 0);

}  // namespace many::core
