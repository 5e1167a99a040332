// The recursions of CES over a series: what the filter and the fit share.
#pragma once

#include <span>

#include "core/forecasters/ces.h"

namespace many::core {

inline constexpr int kLongestCesSeason = 400;

[[nodiscard]] constexpr bool ces_has_level(CesForm form) noexcept {
    return form != CesForm::simple;
}
[[nodiscard]] constexpr bool ces_has_season(CesForm form) noexcept {
    return form != CesForm::none;
}
// simple and full: each season has a potential.
[[nodiscard]] constexpr bool ces_has_seasonal_potential(CesForm form) noexcept {
    return form == CesForm::simple || form == CesForm::full;
}

// From state x over y, forwards from the first value or backwards from the last. x.seasonal[j] is that
// of y[j], y[j + m], .. before and after: the season is not turned. residuals, fitted: n values, or
// null. False: the state is not finite.
[[nodiscard]] bool run_ces(CesForm form, const CesParameters& p, std::span<const double> y,
                           bool backwards, CesState& x, double* fitted, double* residuals) noexcept;

// The states one step on without an observation: level and potential `n_steps` times, each season once.
void coast_ces(CesForm form, const CesParameters& p, int n_steps, CesState& x) noexcept;

}  // namespace many::core
