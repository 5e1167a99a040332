// Where the smoothing parameters of an ETS model may be.
#pragma once

#include "core/forecasters/ets.h"

namespace many::core {

struct EtsBounds {
    static constexpr double kLow = 1e-4;  // of alpha, beta, gamma
    static constexpr double kHigh = 1 - 1e-4;
    static constexpr double kPhiLow = 0.8, kPhiHigh = 0.98;
};

// Whether forecasts depend on the distant past less and less: the roots of the characteristic
// polynomial of the model with additive errors are not outside of the unit circle (Hyndman, Akram &
// Archibald 2008, Ann. Inst. Stat. Math. 60). Used for every form, as Hyndman & Khandakar do.
// alpha, beta <= alpha, gamma <= 1 - alpha, phi <= 1 are taken as inside their bounds; then only
// forms with trend and season can fail. Cost O(m^2) for these.
[[nodiscard]] bool is_admissible(const EtsForm& form, double alpha, double beta, double gamma,
                                 double phi, int season_length) noexcept;

// Schur-Cohn: whether all roots of the polynomial (a[0] the constant, a[degree] = 1) are inside the
// circle of that radius around 0. a is destroyed. Cost O(degree^2).
[[nodiscard]] bool roots_inside_circle(double* a, int degree, double radius) noexcept;

// Within the bounds 0 <= alpha <= 1 and so on, and admissible: what parameters that are given must be.
[[nodiscard]] bool is_usable(const EtsForm& form, const EtsParameters& p,
                             int season_length) noexcept;

}  // namespace many::core
