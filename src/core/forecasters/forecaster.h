// What all forecasters share: the series they are given and the forecasts they give.
//
// A series is regular and complete: y[t], t = 0 .. n - 1, finite, in order of time, gaps filled
// before. A forecaster has a fit, which is a plain struct (parameters, states, information criteria;
// what a model's bytes hold), made by fit_<method>(series, options) and moved on by
// forecast_<method>(fit, horizon, out). Fits never throw for what a series looks like: they report.
#pragma once

#include <cstdint>
#include <limits>
#include <span>

namespace many::core {

// y: n values; season_length: observations of a season, 1 for none.
struct SeriesView {
    std::span<const double> y;
    int season_length = 1;

    [[nodiscard]] int size() const noexcept { return static_cast<int>(y.size()); }
};

enum class ForecastStatus : std::uint8_t {
    ok,
    too_short,       // fewer values than the method needs
    not_positive,    // a multiplicative form of values that are not all positive; negative demand
    constant,        // no variation where the method divides by it
    not_admissible,  // fixed parameters outside the region where forecasts are defined
    not_converged,   // the optimiser gave up; the best point found is there
    overflow,        // a value, parameter or forecast is not finite
    stopped,         // by the stop signal, which says why
};

// How well a fit describes its own series. NaN: the method has no such thing.
struct FitSummary {
    static constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
    ForecastStatus status = ForecastStatus::ok;
    int n_parameters =
        0;  // those of the mean and the start, and the variance: the k of the criteria
    double sigma2 =
        kNone;  // variance of the one-step errors, by the method's own degrees of freedom
    double log_likelihood = kNone;
    double aic = kNone, aicc = kNone, bic = kNone;
};

// Forecasts of the steps 1 .. h behind the series' end; each span has h entries.
// variance: of the forecast error, where the model has an analytic one; NaN otherwise.
struct ForecastOut {
    std::span<double> mean;
    std::span<double> variance;
};

}  // namespace many::core
