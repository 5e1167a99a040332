// The one formula for predictions, shared by evaluation and scoring so that both have the same
// bits: target_mean + sum b_j (x_j - mean_j), which has no cancellation for large offsets.
#pragma once

#include <cstring>

#include "core/numeric/target.h"

namespace many::core {

MANY_INLINE double load_double(const unsigned char* at) noexcept {
    double v;
    std::memcpy(&v, at, sizeof v);
    return v;
}

// Coefficients and means as p unaligned doubles each; coefficients must not be NaN. In two
// interleaved sums, for the latency of an addition.
MANY_INLINE double predict_centred(double target_mean, const unsigned char* coefficient,
                                   const unsigned char* mean, const double* x, int p) noexcept {
    double even = target_mean, odd = 0;
    int j = 0;
    for (; j + 1 < p; j += 2, coefficient += 16, mean += 16) {
        even += load_double(coefficient) * (x[j] - load_double(mean));
        odd += load_double(coefficient + 8) * (x[j + 1] - load_double(mean + 8));
    }
    if (j < p) even += load_double(coefficient) * (x[j] - load_double(mean));
    return even + odd;
}

// As above; NaN coefficients (dropped terms) count 0, but a NaN or infinite x still shows.
MANY_INLINE double predict_centred_dropped(double target_mean, const unsigned char* coefficient,
                                           const unsigned char* mean, const double* x,
                                           int p) noexcept {
    double even = target_mean, odd = 0;
    for (int j = 0; j < p; ++j) {
        const double b = load_double(coefficient + 8 * j);
        const double term = (b == b ? b : 0.0) * (x[j] - load_double(mean + 8 * j));
        (j % 2 == 0 ? even : odd) += term;
    }
    return even + odd;
}

}  // namespace many::core
