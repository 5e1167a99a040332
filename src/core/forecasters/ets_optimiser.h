// Maximum likelihood of an ETS model: Levenberg-Marquardt inside a box.
//
// The likelihood is a sum of squares (ets_kernel.h), so first derivatives of the errors give a good
// second-order model: a fit takes 10 to 40 iterations where a simplex needs thousands of evaluations
// in as many dimensions as there are seasons, and ends at a better point. NLopt has no method for
// least squares; of its methods the fastest here needs a multiple of the time (docs/forecasting.md).
//
// Bounds: beta and gamma are replaced by their place between their bounds, which depend on alpha:
//     beta = low + u (alpha - low),  gamma = low + w (1 - alpha - low),
// so that all bounds are a box in (alpha, u, w, phi). Parameters that a step would take out of the box
// stop at its wall, and the others are solved for again. States are free; a point outside of the
// model's domain or of the admissible region has an infinite objective, and is never accepted.
// Nielsen's rule for the damping (Madsen, Nielsen & Tingleff 2004, Methods for non-linear least
// squares problems).
#pragma once

#include <array>
#include <vector>

#include "core/forecasters/ets_kernel.h"

namespace many::core {

// A point: alpha, u, w, phi, then the states as in ets_kernel.h.
struct EtsPoint {
    std::vector<double> x;
    double objective = 0;  // -2 log L
    bool converged = false;
};

class EtsOptimiser {
  public:
    // fixed: parameters the caller gave (NaN: free). Free ones that the form does not have are 0
    // (phi: 1) and stay so.
    void start(const EtsProblem& problem, const EtsParameters& fixed);
    [[nodiscard]] double evaluate(const std::vector<double>& x);
    [[nodiscard]] EtsParameters parameters(const std::vector<double>& x) noexcept;
    // The x of given parameters, into the first four.
    void place(const EtsParameters& p, std::vector<double>& x) const noexcept;
    // Improves the point; states_free: the states too.
    [[nodiscard]] FitStatus improve(EtsPoint& point, int max_iterations, bool states_free,
                                    const StopSignal& stop);
    [[nodiscard]] const std::vector<double>& natural(const std::vector<double>& x);

  private:
    void to_natural(const std::vector<double>& x) noexcept;
    [[nodiscard]] bool model_at(const std::vector<double>& x);
    void choose_free(const std::vector<double>& x, bool states_free);
    [[nodiscard]] bool solve_step(const std::vector<double>& x, double damping);
    [[nodiscard]] bool solve_free(double damping);
    [[nodiscard]] double predicted() const noexcept;

    EtsProblem problem_;
    EtsParameters fixed_;
    std::array<bool, kEtsSmoothing> free_smoothing_{};
    EtsDerivatives derivatives_;
    std::vector<double> p_, season_;
    std::vector<double> hessian_, gradient_, factor_, step_, trial_;
    std::vector<int> free_;
    std::vector<unsigned char> is_free_;
    std::size_t k_ = 0, stride_ = 0;
};

}  // namespace many::core
