// A fit's own series one step at a time, and its possible futures.
//
// Errors are in the units that a method's recursion takes them in: relative for exponential
// smoothing with multiplicative errors, of the seasonally adjusted series for theta and naive2, of
// the series otherwise.
#pragma once

#include <span>
#include <vector>

#include "core/forecasters/method.h"

namespace many::core {

// One-step forecasts of the fit's series (the one it was fitted to, with its x) by its final
// parameters, and their errors; NaN where there is none. Both as long as y. False, and all NaN: the
// method has no such thing (adida, imapa).
[[nodiscard]] bool one_step_method(const MethodFit& fit, const SeriesData& series,
                                   std::span<double> fitted, std::span<double> errors);

// Draws futures. Keeps references to the fit and to `mean`, its forecasts (forecast_method).
class PathMaker {
  public:
    PathMaker(const MethodFit& fit, std::span<const double> mean);
    // False: the method has no recursion; run() is not for it.
    [[nodiscard]] bool possible() const noexcept { return kind_ != Kind::none; }
    // path: as long as `mean`, from as many errors.
    void run(std::span<const double> errors, std::span<double> path);

  private:
    enum class Kind { none, linear, ets, theta, mstl };
    void linear_path(std::span<const double> errors, std::span<double> path);

    const MethodFit& fit_;
    std::span<const double> mean_;
    Kind kind_ = Kind::none;
    LinearRecursion recursion_;
    std::span<const double> factors_;  // of the deviations, by step; none: 1
    std::vector<double> deviations_, season_;
};

}  // namespace many::core
