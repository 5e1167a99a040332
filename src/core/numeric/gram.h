// Cross-products of a group made ready for a solver: scaled by powers of two and centred.
//
// From the moments of z = (1, x_1, .., x_p, y), in triple-double: C = sum (z - mean)(z - mean)'
// with the intercept, the plain cross-products without. Each column is multiplied by a power of
// two (exact) that brings its root mean square near 1, so that features of any scale meet the
// solver alike and nothing overflows.
#pragma once

#include <cstddef>
#include <vector>

#include "core/learners/linear.h"
#include "core/numeric/wide.h"

namespace many::core {

// Packed lower triangle, row-major.
[[nodiscard]] inline std::size_t packed(int i, int j) noexcept {
    return static_cast<std::size_t>(i) * static_cast<std::size_t>(i + 1) / 2 +
           static_cast<std::size_t>(j);
}

struct ScaledGram {
    int p = 0;  // features; the target is column p
    double n = 0;
    bool centred = true;
    std::vector<TripleDouble> c;       // packed, (p + 1) columns
    std::vector<TripleDouble> mean;    // p + 1, of the scaled columns; also when not centred
    std::vector<TripleDouble> spread;  // p + 1, centred sums of squares, also when not centred
    std::vector<double> norm2;         // p + 1, uncentred sums of squares
    std::vector<double> unit;          // p + 1: scaled column = column * unit

    // No variation beyond the rounding of the sums: constant (or zero, when not centred).
    [[nodiscard]] bool is_constant(int j) const noexcept;
    [[nodiscard]] const TripleDouble& at(int i, int j) const noexcept { return c[packed(i, j)]; }
};

// not_finite when the moments are not, or what the stop signal says. n >= 1 is the caller's care.
// Cost O(p^2 / 2), 1 us for p = 8.
[[nodiscard]] FitStatus build_gram(const double* moments, int p, bool centred,
                                   const StopSignal& stop, ScaledGram& out);

// Sums of (z_i - a_i)(z_j - a_j) over the rows of `moments`, and of (z_i - a_i), on the scale of
// `gram`, where a are the means of `gram` (0 when it is not centred): what predictions of a model
// fitted on `gram` are judged by. products: packed (p + 1); sums: p + 1.
void shifted_products(const double* moments, const ScaledGram& gram, DoubleDouble* products,
                      DoubleDouble* sums);

// Sum of squares of the target about its mean, from moments of p features.
[[nodiscard]] double target_spread(const double* moments, int p) noexcept;

// Sum of column j (j = p: the target), rounded.
[[nodiscard]] double column_sum(const double* moments, int p, int j) noexcept;

}  // namespace many::core
