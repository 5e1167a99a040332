// The likelihood of an ETS model and its derivatives, on a series scaled to magnitude 1.
//
// -2 log L = n log sum e^2 + 2 sum log |mu| (the second term for multiplicative errors only) is
// n log sum r^2 with r = G e and G the geometric mean of mu: least squares for every form. So the
// derivatives that are wanted are those of e and of log mu, which follow the recursions beside the
// states ("forward"), exactly.
//
// Parameters, natural order: alpha, beta, gamma, phi, then l, b (with a trend) and the seasonal states
// 1 .. m - 1; seasonal state 0 is what makes their sum 0 (additive) or m (multiplicative).
// Seasonal state j is that of observation j.
#pragma once

#include <vector>

#include "core/forecasters/ets.h"
#include "core/numeric/lanes.h"

namespace many::core {

inline constexpr int kEtsSmoothing = 4;  // alpha, beta, gamma, phi; unused ones are not free

struct EtsProblem {
    EtsForm form;
    int season_length = 1;  // 1 unless the form has a season
    std::span<const double> y;

    [[nodiscard]] int n_states() const noexcept {
        return 1 + (form.has_trend() ? 1 : 0) + (form.has_season() ? season_length - 1 : 0);
    }
    [[nodiscard]] int size() const noexcept { return kEtsSmoothing + n_states(); }
    // Rows of vectors are padded to full lanes.
    [[nodiscard]] std::size_t stride() const noexcept {
        return round_up_to_lanes(static_cast<std::size_t>(size()));
    }
};

// Sums over the series: gram = sum de de' (rows of `stride`, both triangles), cross = sum e de,
// log_slope = sum dmu / mu (multiplicative errors; otherwise 0).
struct EtsDerivatives {
    EtsSums sums;
    std::vector<double> gram, cross, log_slope;
    std::vector<double> scratch;
};

// Sum of squares below which a fit is exact: what rounding leaves of values of magnitude 1.
[[nodiscard]] inline double exact_squares(std::size_t n) noexcept {
    constexpr double kEps = 0x1p-50;
    return static_cast<double>(n) * kEps * kEps;
}

// -2 log L; infinity where the states leave their domain. season: scratch of m doubles.
[[nodiscard]] double ets_objective(const EtsProblem& problem, const double* parameters,
                                   double* season);

// False where ets_objective is infinite.
[[nodiscard]] bool ets_derivatives(const EtsProblem& problem, const double* parameters,
                                   EtsDerivatives& out);

}  // namespace many::core
