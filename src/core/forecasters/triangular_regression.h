// Least squares of columns that are tried one after the other: the rows are folded once into a small
// triangle, on which any number of regressions on some of the columns are then made.
//
// With [X y] = Q T, T upper triangular, the columns of T have the inner products of those of [X y]:
// a regression among them is the same regression. Householder reflections fold the rows, Gram-Schmidt
// orthogonalisation, done twice ("twice is enough", Kahan; Giraud, Langou & Rozloznik 2005), takes
// the columns in their turn and leaves out those that depend on the ones before.
#pragma once

#include <cstddef>
#include <vector>

namespace many::core {

// T of rows that are added one by one. Memory O(k^2).
class TriangularFactor {
  public:
    explicit TriangularFactor(std::size_t n_columns);

    // The place for the next row's values, column c at [c * stride()]; then commit() it.
    [[nodiscard]] double* next_row() noexcept { return block_.data() + filled_; }
    [[nodiscard]] std::size_t stride() const noexcept { return kBlock; }
    // True when a block of rows was folded in (a time to poll).
    bool commit();
    void finish();  // after the last row

    [[nodiscard]] std::size_t columns() const noexcept { return k_; }
    // Column c of T: columns() values, 0 below the diagonal.
    [[nodiscard]] const double* column(std::size_t c) const noexcept { return t_.data() + c * k_; }

  private:
    static constexpr std::size_t kBlock = 64;
    void fold();

    std::size_t k_, filled_ = 0;
    std::vector<double> t_, block_;  // k x k; kBlock x k; column-major
};

// A regression of the factor's last column on others, in the order they are added.
class TriangularRegression {
  public:
    // Norm of what the columns before leave of a column, below which it counts as collinear.
    static constexpr double kCollinear = 1e-9;

    explicit TriangularRegression(const TriangularFactor& factor);

    void add(std::size_t column);
    [[nodiscard]] int rank() const noexcept { return static_cast<int>(kept_.size()); }
    [[nodiscard]] double residual_sum() const noexcept;  // of squares

    // Of the columns added, in their order; NaN of collinear ones. factors: the square roots of the
    // diagonal of (X'X)^-1, by which sigma gives standard errors.
    void solve(std::vector<double>& coefficients, std::vector<double>& factors) const;
    // The same factor of the sum of weights times coefficients; weights: one per column added.
    [[nodiscard]] double factor_of(const std::vector<double>& weights) const;

  private:
    const TriangularFactor& factor_;
    std::size_t k_;
    std::vector<double> q_;          // orthonormal columns, k values each
    std::vector<double> r_;          // their triangle: column i has i + 1 values
    std::vector<double> projected_;  // of the target on q
    std::vector<double> residual_;
    std::vector<std::size_t> kept_;  // which of those added
    std::size_t added_ = 0;
};

}  // namespace many::core
