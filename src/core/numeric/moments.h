// Streaming cross-products of the rows of a group, in triple-double, order-free.
//
// A row is d doubles (x_1 .. x_p, y), d = p + 1. With z = (1, x_1, .., x_p, y), q = d + 1, the
// moments are the sums of z_i z_j over the rows for 0 <= i <= j < q. Slot (0,0) is the row count,
// slots (0,j) the column sums. Every slot is a sum of three doubles (high, middle, low) obtained by
// cascaded error-free transformations (Ogita, Rump, Oishi 2005: "Accurate sum and dot product",
// SumK with K = 3): about 150 significant bits, so that the rounded results do not depend on the
// order in which rows and partial moments arrive.
//
// Memory: three planes of `slots()` doubles (all high parts, all middle parts, all low parts); row
// i of the triangle starts at `row(i)` and is padded to a multiple of the vector width. A moments
// buffer is flat (memcpy, files and shared memory are all fine) and needs no alignment beyond 8.
//
// NaN policy: the caller keeps NaN and infinity out. Products beyond 1.8e308 make the slot
// non-finite, which `moments_finite` reports; products below 1e-290 lose their low parts.
#pragma once

#include <cstddef>

namespace many::core {

class MomentLayout {
  public:
    static constexpr int kPad = 4;
    static constexpr int kMaxColumns = 1600;  // as PostgreSQL's own limit of columns

    explicit MomentLayout(int n_columns) noexcept
        : q_(n_columns + 1), slots_(padded_total(static_cast<std::size_t>(n_columns) + 1)) {}

    [[nodiscard]] int columns() const noexcept { return q_ - 1; }  // d = p + 1
    [[nodiscard]] int q() const noexcept { return q_; }
    // First slot of row i of the triangle: the slot of (i, i).
    [[nodiscard]] std::size_t row(int i) const noexcept {
        return slots_ - padded_total(static_cast<std::size_t>(q_ - i));
    }
    // Slot of (i, j), i <= j.
    [[nodiscard]] std::size_t slot(int i, int j) const noexcept {
        return row(i) + static_cast<std::size_t>(j - i);
    }
    [[nodiscard]] std::size_t slots() const noexcept { return slots_; }
    [[nodiscard]] std::size_t doubles() const noexcept { return 3 * slots(); }
    [[nodiscard]] std::size_t bytes() const noexcept { return doubles() * sizeof(double); }

  private:
    // Slots of the rows of 1 .. length columns, each rounded up to kPad. Rows whose length has the
    // same quotient come in runs of kPad, so that the sum has a closed form.
    [[nodiscard]] static std::size_t padded_total(std::size_t length) noexcept {
        const std::size_t full = length / kPad, rest = length % kPad;
        return kPad * (kPad * full * (full + 1) / 2 + rest * (full + 1));
    }

    int q_;
    std::size_t slots_;
};

// All slots to zero.
void moments_clear(double* moments, const MomentLayout& layout) noexcept;

// Adds n rows; row r starts at rows + r * stride and holds layout.columns() doubles.
// Cost O(n q^2 / 2), about 60 ns for d = 9 with AVX2. Dispatches on the CPU at load time; the bits
// of the result are the same on every CPU.
void moments_add_rows(double* moments, const MomentLayout& layout, const double* rows,
                      std::size_t n, std::size_t stride) noexcept;

// The same for rows that lie apart: rows[r] points to layout.columns() doubles.
void moments_gather_rows(double* moments, const MomentLayout& layout, const double* const* rows,
                         std::size_t n) noexcept;

// into += from. Cost O(q^2 / 2).
void moments_merge(double* into, const double* from, const MomentLayout& layout) noexcept;

// into -= from: with fold moments, the training part of a fold is the whole minus the fold.
void moments_subtract(double* into, const double* from, const MomentLayout& layout) noexcept;

[[nodiscard]] inline double moments_count(const double* moments) noexcept {
    return moments[0];
}

[[nodiscard]] bool moments_finite(const double* moments, const MomentLayout& layout) noexcept;

}  // namespace many::core
