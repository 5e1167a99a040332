// Complex exponential smoothing (CES).
//
// A level l and an information potential c are the real and the imaginary part of one complex state,
// smoothed by one complex parameter a0 + i a1. With one source of error e = y - mu,
//     l' = l - (1 - a1) c + (a0 - a1) e,   c' = l + (1 - a0) c + (a0 + a1) e.
// There is no trend and no choice of one: for a1 near 1 the level moves as in simple smoothing (a0 near
// 1) up to following every turn (a0 near 2); a1 above 1 lets forecasts grow, below 1 return to 0.
//     none     mu = l
//     simple   mu = l of one season before; l and c of each season, moved by the equations above
//     partial  mu = l + s of one season before;  s' = s + b0 e
//     full     mu = l + s of one season before;  s and its potential p moved as l and c by b0 + i b1
// Fixed by the caller or estimated: a0, a1, b0, b1, by maximum likelihood (least squares of the
// one-step errors) within the region of is_admissible(). The states at the start are not estimated, but
// derived from the series (CesOptions::Start). The form is given, or the one of the least AICc.
//
// Source: Svetunkov, Kourentzes & Ord (2022), Naval Research Logistics 69(8); the conventions (start,
// region, number of parameters) are those of R's smooth where not said otherwise.
// How it is optimised: ces_fit.cpp. Everything here is deterministic, bit for bit.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/forecasters/forecaster.h"
#include "core/learners/linear.h"  // StopSignal

namespace many::core {

enum class CesForm : std::uint8_t { none, simple, partial, full };

[[nodiscard]] std::string_view ces_name(CesForm form) noexcept;
[[nodiscard]] bool parse_ces(std::string_view name, CesForm& out) noexcept;

// NaN: not given, or the form does not have it.
struct CesParameters {
    double a0 = FitSummary::kNone, a1 = FitSummary::kNone;
    double b0 = FitSummary::kNone, b1 = FitSummary::kNone;
};

// seasonal[j], seasonal_potential[j]: of the season of the (j + 1)-th observation to come, j = 0 ..
// m - 1. simple has no level and potential but these (0 there).
struct CesState {
    double level = 0, potential = 0;
    std::vector<double> seasonal;
    std::vector<double> seasonal_potential;  // simple and full
};

struct CesFit {
    CesForm form = CesForm::none;
    int season_length = 1;
    int n = 0;  // observations that the state has seen
    CesParameters parameters;
    CesState initial;  // before the first observation of the fit
    CesState last;     // behind the last one
    // log_likelihood is the Gaussian one, constants kept. n_parameters: those estimated of a0 .. b1,
    // the variance, and the states of a heuristic start: 1, with a season m. Without these a season
    // found in the series by its start would be had for nothing in the choice of the form.
    // sigma2 = sum e^2 / (n - those of a0 .. b1).
    FitSummary summary;
};

struct CesOptions {
    enum class Start : std::uint8_t {
        // Level: mean of the first observations; season: classical decomposition.
        heuristic,
        // From there through the series, back through it, and so many steps further as a season has:
        // that of R's smooth.
        backcast,
    };
    CesParameters parameters;  // fixed where given
    Start start = Start::heuristic;
};

// Scratch that fits share; one per thread. Fits leave nothing in it that the next one could see.
class CesWorkspace {
  public:
    CesWorkspace();
    ~CesWorkspace();
    CesWorkspace(const CesWorkspace&) = delete;
    CesWorkspace& operator=(const CesWorkspace&) = delete;
    struct Impl;
    [[nodiscard]] Impl& impl() noexcept { return *impl_; }

  private:
    Impl* impl_;
};

// Where past errors are forgotten: the parameters of each part for itself, with what the level and what
// the season has (a0 + i a1; b0 in (0, 2]; b0 + i b1) between the three circles of Svetunkov et al.,
//     |(a0, a1) - (5/2, 0)|^2 > 5/4,  |(a0, a1) - (1/2, 1)|^2 > 1/4,  |(a0, a1) - (3/2, 1/2)|^2 < 3/2,
// and for partial and full the roots of the whole model's characteristic polynomial not further out
// than 1.01: how the sum of the seasons divides into level and season is hardly seen in the data, and
// has a root that is mostly a little above 1 (R's smooth does not ask for the whole). Cost O(m^2) for
// partial and full.
[[nodiscard]] bool is_admissible(CesForm form, const CesParameters& p, int season_length) noexcept;

// The given form. Status (also in out.summary): ok, too_short (none: less than 3 values more than
// parameters; seasonal forms: also less than two seasons), not_admissible (parameters given that are not;
// a season of less than 2 or more than 400 observations), overflow (a value that is not finite),
// stopped. Cost O(n) an iteration, and O(m^2) for partial and full.
[[nodiscard]] ForecastStatus fit_ces(const SeriesView& series, CesForm form,
                                     const CesOptions& options, const StopSignal& stop,
                                     CesWorkspace& workspace, CesFit& out);

// The form of the least AICc, in the order of the enumeration on a tie. Parameters that are given
// are those of each form that has them.
[[nodiscard]] ForecastStatus choose_ces(const SeriesView& series, const CesOptions& options,
                                        const StopSignal& stop, CesWorkspace& workspace,
                                        CesFit& out);

// Runs the form's recursions over y from `state`, which moves on. fitted, residuals: as long as y, or
// empty. Status overflow: a state is not finite; `state` is lost.
[[nodiscard]] ForecastStatus filter_ces(CesForm form, const CesParameters& parameters,
                                        std::span<const double> y, CesState& state,
                                        std::span<double> fitted, std::span<double> residuals);

// New observations move the state, and only it: no refitting. On a status other than ok the fit is
// unchanged.
[[nodiscard]] ForecastStatus update_ces(CesFit& fit, std::span<const double> y);

// mean: the conditional mean. variance: sigma2 (1 + sum of the squared responses of the steps 2 .. h to
// an error of 1 at the first); exact for a linear model. It may be infinite. Cost O(h).
[[nodiscard]] ForecastStatus forecast_ces(const CesFit& fit, const ForecastOut& out);

}  // namespace many::core
