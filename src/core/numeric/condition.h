// Condition number of a design from what a Cholesky solver leaves behind.
#pragma once

#include <vector>

#include "core/numeric/cholesky.h"
#include "core/numeric/gram.h"

namespace many::core {

// Of [1 X] with columns of unit length (X alone when not centred), collinear columns left out:
// kappa^2 = largest eigenvalue of its cross-products G over the smallest. Up to kMaxDense columns
// both come from a tridiagonal form of G (Householder); where the smallest is too near the rounding
// of G, and for more columns, it is the inverse of the largest of G^-1 = F'F, with F from
// Cholesky::factor. Relative accuracy 1e-7 or better for k <= kMaxDense columns, typically so beyond.
class ConditionNumber {
  public:
    static constexpr int kMaxDense = 96;

    // `solved` of `gram`, with Task::factor or more. Cost O(k^3), 0.5 us for k = 9; O(96 k^2) for
    // k > kMaxDense.
    [[nodiscard]] FitStatus compute(const ScaledGram& gram, const Cholesky& solved,
                                    const StopSignal& stop, double* result);

  private:
    void fill_design(const ScaledGram& gram);
    void fill_root(const ScaledGram& gram, const Cholesky& solved);
    [[nodiscard]] double largest_of_inverse();
    [[nodiscard]] FitStatus by_lanczos(const StopSignal& stop, double* result);
    template <class Multiply>
    double largest_by_lanczos(const Multiply& multiply);

    std::size_t k_ = 0, stride_ = 0;
    std::vector<std::size_t> columns_;           // kept
    std::vector<double> design_, root_;          // k rows of stride_
    std::vector<double> inverse_norm_, cosine_;  // of the features; with the intercept
    std::vector<double> alpha_, beta2_;          // tridiagonal: diagonal, squares beside it
    std::vector<double> work_, current_, previous_, product_;
};

}  // namespace many::core
