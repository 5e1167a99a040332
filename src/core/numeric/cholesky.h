// Least squares from centred cross-products by a Cholesky factorisation in extended precision.
//
// C (features, then the target as the last column) is factored as L D L' with unit lower L, column
// by column (right-looking, so that the inner steps are independent). What is done to the rows of C
// is done to those of the identity and to the means as well, which turns them into U = L^-1 and
// U mean, and in the target's row into -b and the intercept; residual sum of squares = last pivot,
// C^-1 = U' D^-1 U. Golub & Van Loan, Matrix Computations, 4th ed., 3.2, 4.1.2, 5.3.2.
//
// A column whose pivot falls to drop2 times its own uncentred sum of squares is left out (collinear
// with the columns before it): its row and column of U and its coefficient are 0.
#pragma once

#include <cstddef>
#include <vector>

#include "core/learners/linear.h"
#include "core/numeric/gram.h"

namespace many::core {

enum class Precision { double_double, triple_double };

struct Cholesky {
    // Results: of the scaled columns, rounded to double.
    std::vector<unsigned char> kept;  // p
    std::vector<double> coefficient;  // p
    double intercept = 0;             // mean of the target - sum b mean; 0 when not centred
    double rss = 0, df = 0;
    int rank = 0;
    bool dropped_variable = false;  // a column left out although it is not constant
    // Upper bound of the condition number of the columns kept, scaled to unit diagonal of C:
    // sqrt(p sum of the variance inflation factors).
    double condition_bound = 1;
    // D^-1/2 [U mean, U]: p rows of `stride`, row i holds the part of the mean (0 when not centred),
    // then i + 1 columns.
    std::vector<double> factor;
    std::size_t stride = 0;

    // With Task::inference only. NaN where not defined.
    double r2 = 0, r2_about_mean = 0;  // 1 - rss / total, of both totals
    double sigma = 0, intercept_std_error = 0;
    std::vector<double> std_error;  // p, and padding

    // Scratch.
    std::vector<double> rows, inverse, column, diagonal;
    [[nodiscard]] const double* factor_row(int i) const noexcept {
        return factor.data() + static_cast<std::size_t>(i) * stride;
    }
};

// What is asked of a factorisation, each step with what stands before it.
enum class Task {
    coefficients,  // and all of the results above it but `factor`
    factor,
    inference,
};

// ridge: added to the diagonal of the features, p doubles or nullptr (the residuals, `rss` and what
// follows from it, are then not those of the penalised fit). Cost O(p^3 / 3), 0.5 us for p = 8.
[[nodiscard]] FitStatus solve_cholesky(const ScaledGram& gram, const double* ridge, double drop2,
                                       Precision precision, Task task, const StopSignal& stop,
                                       Cholesky& out);

}  // namespace many::core
