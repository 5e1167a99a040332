// What LinearSolver keeps from group to group. Private to learners/linear*.cpp.
#pragma once

#include <vector>

#include "core/learners/linear.h"
#include "core/learners/linear_active.h"
#include "core/numeric/cholesky.h"
#include "core/numeric/condition.h"
#include "core/numeric/gram.h"

namespace many::core {

// Out-of-fold errors of predictions, summed over the folds.
struct FoldSums {
    double n = 0, error = 0, square = 0;  // error = sum (prediction - actual)
};

struct LinearSolver::Workspace {
    ScaledGram gram;
    Cholesky solved;
    ConditionNumber condition;

    // Penalised fits: the problem in standardized coefficients, in units of the target's spread.
    std::vector<double> correlation;  // p x p, full, symmetric; zero rows for constant columns
    std::vector<double> target;       // p
    std::vector<double> scale;        // p: s_j of the scaled columns (0: constant)
    std::vector<double> beta, gradient, ridge;
    std::vector<int> active;
    SignedCoefficients wide;  // of the search in extended precision: scaled coefficients
    ActiveSet narrow;         // the search in double: standardized coefficients
    double target_scale = 1;
    ScaledGram active_gram;
    double polished_intercept = 0;

    // Cross-validation.
    ScaledGram fold_gram;
    std::vector<double> fold_moments, path, coefficient;
    SymmetricPlanes<DoubleDouble> products;
    VectorPlanes<DoubleDouble> sums;
    std::vector<FoldSums> fold_sums;
    std::vector<double> pooled, cholesky_scratch, form;

    // Least squares on g into `solved`: in double-double where that is exact enough, else in
    // triple-double.
    [[nodiscard]] FitStatus least_squares(const ScaledGram& g, Task task, const StopSignal& stop);
    [[nodiscard]] FitStatus fit_ols(bool inference, const StopSignal& stop, LinearFit& out);
    [[nodiscard]] FitStatus fit_penalised(const LinearOptions& options, double lambda,
                                          const StopSignal& stop, LinearFit& out);
    // Cross-validates; with lambda_auto, *lambda becomes the best of the path.
    [[nodiscard]] FitStatus cross_validate(const double* moments, int p,
                                           const LinearOptions& options, const double* trains,
                                           const double* tests, int n_folds, const StopSignal& stop,
                                           double* lambda, SplitMetrics* cv);

    void add_fold_errors(const ScaledGram& g, const double* b, double n, FoldSums& out);
    [[nodiscard]] FitStatus evaluate_split(const LinearOptions& options, double n_test,
                                           const StopSignal& stop, bool* evaluated);

    // Pieces of the penalised fits (linear_path.cpp).
    void standardize(const ScaledGram& g, const LinearOptions& options);
    [[nodiscard]] double largest_lambda(const ScaledGram& g, double alpha) const;
    void fill_path(const ScaledGram& g, const LinearOptions& options);
    [[nodiscard]] FitStatus descend(int p, double l1, double l2, double tolerance,
                                    int max_iterations, const StopSignal& stop);
    [[nodiscard]] FitStatus solve_ridge(const ScaledGram& g, double lambda, const StopSignal& stop,
                                        double* scaled_coefficient);
    [[nodiscard]] FitStatus solve_sparse(const ScaledGram& g, const LinearOptions& options,
                                         double lambda, const StopSignal& stop,
                                         double* scaled_coefficient);

    // And of their search (linear_active.cpp).
    static constexpr double kCoarseTolerance = 1e-5;
    static constexpr int kCoarseSweeps = 300;
    void start_path(const ScaledGram& g);
    // One point of a path, into beta.
    [[nodiscard]] FitStatus solve_point(const ScaledGram& g, double l1, double l2,
                                        const StopSignal& stop);
    [[nodiscard]] FitStatus solve_active(const ScaledGram& g, double l1, double l2,
                                         const StopSignal& stop, int* dependent);
    [[nodiscard]] FitStatus solve_taken(const double* penalty, const StopSignal& stop);
    // From the coefficients of `narrow`, into `wide`. *found: wide.present is the minimum.
    [[nodiscard]] FitStatus search_active(const ScaledGram& g, double l1, double l2,
                                          const StopSignal& stop, bool* found);
};

[[nodiscard]] inline SplitMetrics no_metrics() noexcept {
    const double nan = __builtin_nan("");
    return {0, nan, nan, nan, nan, nan, nan};
}

}  // namespace many::core
