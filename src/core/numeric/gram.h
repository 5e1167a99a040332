// Cross-products of a group made ready for a solver: scaled by powers of two and centred.
//
// From the moments of z = (1, x_1, .., x_p, y), in triple-double: C = sum (z - mean)(z - mean)'
// with the intercept, the plain cross-products without. Each column is multiplied by a power of
// two (exact) that brings its root mean square near 1, so that features of any scale meet the
// solver alike and nothing overflows.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "core/learners/linear.h"
#include "core/numeric/lanes.h"
#include "core/numeric/moments.h"
#include "core/numeric/wide.h"

namespace many::core {

// A symmetric matrix of extended numbers, in planes: row i holds the columns i .. m - 1 and is
// padded to whole lanes, as the rows of moments are: row i + 1 starts round_up_to_lanes(m - i) after
// row i, at (i, i). What stands in the padding is of no meaning.
template <class W>
class SymmetricPlanes {
  public:
    void resize(int m) {
        if (m == columns() && !data_.empty()) return;
        layout_ = MomentLayout(m - 1);
        data_.resize(2 * kRowPad + W::kParts * plane());
    }
    [[nodiscard]] int columns() const noexcept { return layout_.q(); }
    [[nodiscard]] std::size_t plane() const noexcept { return layout_.slots(); }
    // The lanes before and after a row may be read too.
    [[nodiscard]] const double* data() const noexcept { return data_.data() + kRowPad; }
    [[nodiscard]] double* data() noexcept { return data_.data() + kRowPad; }
    [[nodiscard]] W at(int i, int j) const noexcept {
        return W::load(data() + layout_.slot(std::min(i, j), std::max(i, j)), plane());
    }
    void set(int i, int j, const W& value) noexcept {
        value.store(data() + layout_.slot(std::min(i, j), std::max(i, j)), plane());
    }

  private:
    MomentLayout layout_{0};
    std::vector<double> data_;
};

// A vector of extended numbers, in planes with padding.
template <class W>
class VectorPlanes {
  public:
    void resize(std::size_t n) {
        plane_ = n + kRowPad;
        data_.assign(W::kParts * plane_, 0.0);
    }
    [[nodiscard]] std::size_t plane() const noexcept { return plane_; }
    [[nodiscard]] const double* data() const noexcept { return data_.data(); }
    [[nodiscard]] double* data() noexcept { return data_.data(); }
    [[nodiscard]] W operator[](std::size_t i) const noexcept {
        return W::load(data_.data() + i, plane_);
    }
    void set(std::size_t i, const W& value) noexcept { value.store(data_.data() + i, plane_); }

  private:
    std::size_t plane_ = 0;
    std::vector<double> data_;
};

// Packed lower triangle, row-major.
[[nodiscard]] inline std::size_t packed(int i, int j) noexcept {
    return static_cast<std::size_t>(i) * static_cast<std::size_t>(i + 1) / 2 +
           static_cast<std::size_t>(j);
}

struct ScaledGram {
    int p = 0;  // features; the target is column p
    double n = 0;
    bool centred = true;
    SymmetricPlanes<TripleDouble> c;            // p + 1 columns
    VectorPlanes<TripleDouble> mean;            // p + 1, of the scaled columns
    VectorPlanes<TripleDouble> centred_square;  // p + 1, when not centred: see spread
    // p + 1 doubles each: the diagonal of c, uncentred sums of squares and their roots.
    std::vector<double> square, norm2, norm;
    std::vector<double> unit;  // p + 1, and padding: scaled column = column * unit

    // No variation beyond the rounding of the sums: constant (or zero, when not centred).
    [[nodiscard]] bool is_constant(int j) const noexcept;
    [[nodiscard]] TripleDouble at(int i, int j) const noexcept { return c.at(i, j); }
    // Centred sum of squares, also when not centred.
    [[nodiscard]] double spread(std::size_t j) const noexcept {
        return centred ? square[j] : centred_square[j].value();
    }
    // The same of the target, unrounded; 0 when it is constant.
    [[nodiscard]] TripleDouble target_spread() const noexcept;
};

// not_finite when the moments are not, or what the stop signal says. n >= 1 is the caller's care.
// Cost O(p^2 / 2), 0.3 us for p = 8 with AVX2.
[[nodiscard]] FitStatus build_gram(const double* moments, int p, bool centred,
                                   const StopSignal& stop, ScaledGram& out);

// Sums of (z_i - a_i)(z_j - a_j) over the rows of `moments`, and of (z_i - a_i), on the scale of
// `gram`, where a are the means of `gram` (0 when it is not centred): what predictions of a model
// fitted on `gram` are judged by.
void shifted_products(const double* moments, const ScaledGram& gram,
                      SymmetricPlanes<DoubleDouble>& products, VectorPlanes<DoubleDouble>& sums);

// Sum of squares of target - x'b (on scaled columns): the quadratic form of (-b, 1).
[[nodiscard]] DoubleDouble residual_square(const SymmetricPlanes<DoubleDouble>& products,
                                           const double* b, std::vector<double>& scratch);
[[nodiscard]] TripleDouble residual_square(const SymmetricPlanes<TripleDouble>& products,
                                           const double* b, std::vector<double>& scratch);

// Sum of squares of the target about its mean, from moments of p features; 0 when it is constant.
[[nodiscard]] double target_spread(const double* moments, int p) noexcept;

// Sum of column j (j = p: the target), rounded.
[[nodiscard]] double column_sum(const double* moments, int p, int j) noexcept;

}  // namespace many::core
