// The least sum of squares of residuals that depend on a few parameters.
//
// Levenberg-Marquardt with derivatives by forward differences; the damping follows Nielsen (1999),
// each parameter in units of its own column of the Jacobian (Marquardt 1963). J'J alone is a poor
// model where the residuals curve (a moving average at the border of invertibility): the rest of the
// Hessian is learnt from the gradients as in NL2SOL (Dennis, Gay & Welsch 1981, the update of their
// section 3 with its sizing), and used when it foretold the last decrease better than J'J did, or when
// J'J sees nothing left to gain. Points without residuals (outside the domain) are steps that do not
// help. Descends only: the point returned is never worse than the one given.
#pragma once

#include <cstddef>
#include <vector>

#include "core/learners/linear.h"  // StopSignal

namespace many::core {

// The residuals at x; false where there are none.
class ResidualFunction {
  public:
    virtual bool residuals(const double* x, double* r) = 0;

  protected:
    ~ResidualFunction() = default;
};

struct SearchLimits {
    int max_iterations = 50;
    double tolerance = 1e-10;  // least relative decrease of the sum of squares worth a step
    double max_step = 1;       // of a parameter
};

struct SearchResult {
    double sum_of_squares = 0;  // infinite: none at the start
    int iterations = 0;
    bool converged = false;
    bool stopped = false;  // by the signal
};

class LeastSquaresSearch {
  public:
    void resize(int n_residuals, int n_parameters);  // allocates; minimise() does not
    // From x, which is replaced. One residual vector a parameter and iteration, and one a step.
    SearchResult minimise(ResidualFunction& f, double* x, const SearchLimits& limits,
                          const StopSignal& stop);

  private:
    bool jacobian(ResidualFunction& f, double* x, const StopSignal& stop);  // false: stopped
    void normal_equations();
    void mixed_gradient();  // J'r of the last Jacobian and the residuals of now
    void learn_curvature();
    // step_ from (model + damping diag J'J) step = -J'r
    bool damped_step(double damping, bool with_curvature);
    [[nodiscard]] double quadratic(const std::vector<double>& a) const noexcept;  // of step_

    std::size_t n_ = 0, k_ = 0;
    std::vector<double> r_, trial_r_, jacobian_;  // n; n; k columns of n
    std::vector<double> a_, factor_;              // J'J, k x k, lower triangle
    std::vector<double> curvature_;               // the rest of half the Hessian, likewise
    std::vector<double> g_, old_g_, mixed_g_, step_, trial_, miss_;
};

}  // namespace many::core
