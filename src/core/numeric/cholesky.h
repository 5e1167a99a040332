// Least squares from centred cross-products by a Cholesky factorisation in extended precision.
//
// C (features, then the target as the last column) is factored as L D L' with unit lower L, column
// by column (right-looking, so that the inner steps are independent). With U = L^-1:
// coefficients b = U' l_target, residual sum of squares = last pivot, C^-1 = U' D^-1 U.
// Golub & Van Loan, Matrix Computations, 4th ed., 4.1.2, 5.3.2.
//
// One scalar type W of wide.h per instantiation; the precision is chosen by the caller. A column
// whose pivot falls to drop2 times its own uncentred sum of squares is left out (collinear with the
// columns before it): its pivot, row and column of U and coefficient are 0.
#pragma once

#include <cstddef>
#include <vector>

#include "core/learners/linear.h"
#include "core/numeric/gram.h"
#include "core/numeric/wide.h"

namespace many::core {

template <class W>
struct Cholesky {
    // Results. Packed lower triangles have rows of p (+ 1) columns.
    std::vector<W> u;                 // p: U
    std::vector<W> pivot, inverse;    // p + 1: D and 1 / D (0 when dropped)
    std::vector<W> coefficient;       // p, of the scaled columns
    std::vector<W> diagonal;          // p: of C^-1
    std::vector<W> projected;         // p: U mean
    std::vector<unsigned char> kept;  // p
    W rss{};
    W intercept{};         // mean of the target - sum b mean
    W leverage_of_zero{};  // 1 / n + |D^-1/2 U mean|^2; 0 when not centred
    int rank = 0;
    bool dropped_variable = false;  // a column left out although it is not constant
    // Upper bound of the condition number of the columns kept, scaled to unit diagonal of C:
    // sqrt(p sum of the variance inflation factors).
    double condition_bound = 1;

    // Of the scaled columns, rounded; without ridge only. NaN where not defined.
    double df = 0, sigma = 0, intercept_std_error = 0;
    std::vector<double> std_error;       // p
    std::vector<double> inverse_factor;  // packed p: D^-1/2 U

    // Scratch.
    std::vector<W> l, column;
};

// ridge: added to the diagonal of the features, p doubles or nullptr.
[[nodiscard]] FitStatus solve_cholesky(const ScaledGram& gram, const double* ridge, double drop2,
                                       const StopSignal& stop, Cholesky<DoubleDouble>& out);
[[nodiscard]] FitStatus solve_cholesky(const ScaledGram& gram, const double* ridge, double drop2,
                                       const StopSignal& stop, Cholesky<TripleDouble>& out);

// sum of squares of target - x'b (on scaled columns): quadratic form of packed products.
[[nodiscard]] double residual_square(const DoubleDouble* products, int p, const double* b);
[[nodiscard]] double residual_square(const TripleDouble* products, int p, const double* b);

}  // namespace many::core
