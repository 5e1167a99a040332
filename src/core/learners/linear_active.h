// Active-set search for the lasso and the elastic net: the minimum of
//
//   1/2 b'Rb - r'b + l2/2 b'b + l1 sum |b_j|
//
// by a set of coefficients that are not zero and their signs (Osborne, Presnell & Turlach 2000; Lee,
// Battle, Raina & Ng 2007). Given those, the minimum is the solution of a linear system. Where a
// coefficient comes to zero on the way to it, that one leaves the set; where the solution violates
// the optimality conditions, the one that violates them most enters; where the one that entered is
// collinear with the set, the coefficients move along the direction that changes no prediction until
// one of them leaves. Each step lowers the objective, so the search ends; the limit on its steps is
// there because rounding may make it cycle.
//
// It is there twice: in double, on a factor that follows the set (ActiveSet), for the points of a
// path; and in extended precision (LinearSolver::Workspace::search_active), for columns that double
// does not separate, and for the digits of the final fit.
#pragma once

#include <cstddef>
#include <vector>

#include "core/learners/linear.h"

namespace many::core {

// What a search knows of the coefficients.
struct SignedCoefficients {
    std::vector<signed char> sign;  // 0: not in the set
    std::vector<double> present;    // the best so far, of these signs
    std::vector<double> trial;      // the minimum for these signs; may have others
    void clear(std::size_t p);
};

// The search in double, for one path: each search starts from the end of the one before.
class ActiveSet {
  public:
    enum class Outcome { found, unsure };  // unsure: not to be decided in double

    // Of the next path, which starts from zero. r: p x p, symmetric, with zero rows for columns to
    // leave out; target: p. Both must stay. A set of more than max_rank columns is collinear,
    // whatever rounding says.
    void start(const double* r, const double* target, std::size_t p, std::size_t max_rank);
    // The coefficients are in `present` then; of an unsure outcome, the best found.
    // Cost O(p a) for a columns in the set, and O(a^2) for each that enters, up to O(a^3) when one
    // leaves or l2 changes.
    [[nodiscard]] FitStatus search(double l1, double l2, const StopSignal& stop, Outcome* outcome);
    [[nodiscard]] const SignedCoefficients& coefficients() const noexcept { return c_; }
    // Goes on from coefficients found elsewhere: one of p.
    void adopt(std::size_t column, double coefficient);

  private:
    friend struct DoubleEquations;

    void enter(int column, signed char wants);
    void leave(int column);
    [[nodiscard]] bool factor_row(std::size_t i);
    void solve_factored(double* x, std::size_t n) const;

    const double* r_ = nullptr;
    const double* target_ = nullptr;
    std::size_t p_ = 0, max_rank_ = 0;
    double l2_ = 0;
    std::size_t work_ = 0;  // since the last look at the stop signal
    SignedCoefficients c_;
    std::vector<int> order_;  // of the columns in the set
    // L with L L' = R + l2 I on the set in this order, its first factored_ rows: by columns of p,
    // and the inverse of its diagonal.
    std::size_t factored_ = 0;
    std::vector<double> columns_, inverse_;
    std::vector<double> root_;  // of the diagonal of R
    std::vector<double> work_row_, gradient_;
};

}  // namespace many::core
