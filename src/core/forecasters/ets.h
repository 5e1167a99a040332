// Exponential smoothing as innovations state space models ETS(error, trend, season).
//
// One source of error e_t drives a level l, a trend b and m seasonal states s. With
// q = l + phi b (no trend: l; multiplicative trend: l b^phi), the one-step forecast is
// mu = q + s or q s (no season: q), the error e = y - mu (additive) or (y - mu) / mu (multiplicative),
// and with d = y - mu (multiplicative season: (y - mu) / s) the states move by
//     l' = q + alpha d,   b' = phi b + beta d   (multiplicative trend: b^phi + beta d / l),
//     s' = s + gamma (y - mu)   (multiplicative season: s + gamma (y - mu) / q).
// So beta and gamma are those of the innovations form: beta = alpha beta* of the textbooks.
// ses = (A,N,N), holt = (A,A,N), damped_holt = (A,Ad,N) with options of its own, holt_winters = (A,A,A) or (M,A,M).
//
// Fixed by the caller or estimated: alpha, beta, gamma, phi and the initial states, by maximum
// likelihood inside 1e-4 <= alpha <= 0.9999, 1e-4 <= beta <= alpha, 1e-4 <= gamma <= 1 - alpha,
// 0.8 <= phi <= 0.98 and the admissible (forecastible) region. The form is given, or the one of the
// least AICc.
//
// Source: Hyndman, Koehler, Snyder & Grose (2002), Int. J. Forecasting 18; Hyndman, Koehler, Ord &
// Snyder (2008), Forecasting with Exponential Smoothing; Hyndman & Khandakar (2008), J. Stat. Software
// 27(3), whose conventions (bounds, criteria, restrictions) are kept.
// How it is optimised: ets_optimiser.h. Everything here is deterministic, bit for bit.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/forecasters/forecaster.h"
#include "core/learners/linear.h"

namespace many::core {

enum class EtsError : std::uint8_t { additive, multiplicative };
enum class EtsTrend : std::uint8_t {
    none,
    additive,
    additive_damped,
    multiplicative,
    multiplicative_damped,
};
enum class EtsSeason : std::uint8_t { none, additive, multiplicative };

struct EtsForm {
    EtsError error = EtsError::additive;
    EtsTrend trend = EtsTrend::none;
    EtsSeason season = EtsSeason::none;

    [[nodiscard]] bool operator==(const EtsForm&) const noexcept = default;
    [[nodiscard]] bool has_trend() const noexcept { return trend != EtsTrend::none; }
    [[nodiscard]] bool has_season() const noexcept { return season != EtsSeason::none; }
    [[nodiscard]] bool damped() const noexcept {
        return trend == EtsTrend::additive_damped || trend == EtsTrend::multiplicative_damped;
    }
    [[nodiscard]] bool multiplicative_trend() const noexcept {
        return trend == EtsTrend::multiplicative || trend == EtsTrend::multiplicative_damped;
    }
    // Some part is multiplicative: the series has to be positive.
    [[nodiscard]] bool needs_positive() const noexcept {
        return error == EtsError::multiplicative || season == EtsSeason::multiplicative ||
               multiplicative_trend();
    }
    // One of the forms whose forecasts are stable: not (A,M,*), (A,Md,*), (A,*,M), (M,M,A), (M,Md,A).
    [[nodiscard]] bool stable() const noexcept;
    // Smoothing parameters and free initial states; the criteria count the variance too.
    [[nodiscard]] int n_parameters(int season_length) const noexcept;
    // As "MAdM".
    [[nodiscard]] std::string name() const;
    [[nodiscard]] static bool parse(std::string_view name, EtsForm& out) noexcept;
};

// A state for each observation of a season is estimated: memory goes with the square.
constexpr int kLongestEtsSeason = 400;

// NaN: not given.
struct EtsParameters {
    double alpha = FitSummary::kNone;
    double beta = FitSummary::kNone;
    double gamma = FitSummary::kNone;
    double phi = FitSummary::kNone;
};

// seasonal[j]: the state of the season of the (j + 1)-th observation to come, j = 0 .. m - 1.
struct EtsState {
    double level = 0;
    double trend = 0;
    std::vector<double> seasonal;
};

struct EtsFit {
    EtsForm form;
    int season_length = 1;
    int n = 0;  // observations that the state has seen
    EtsParameters parameters;
    EtsState initial;  // before the first observation of the fit
    EtsState last;     // behind the last one
    // log_likelihood is -n/2 log(sum e^2) - sum log |mu| (the second for multiplicative errors only):
    // constants dropped. sigma2 = sum e^2 / (n - parameters), relative for multiplicative errors.
    FitSummary summary;
};

struct EtsOptions {
    enum class Start : std::uint8_t {
        optimal,    // estimated with the parameters
        heuristic,  // that of Hyndman et al. (2002), section 3.1, as it is
        textbook,  // level, trend and season of the first (two) seasons, as Holt and Winters had it
    };
    // A likelihood of few observations has several maxima, and the highest is often one of erratic
    // level and trend, which fits the past and forecasts badly.
    enum class Search : std::uint8_t {
        wide,  // from many starting values of the parameters, to the highest maximum found
        near,  // from one, of a trend that hardly changes, to the maximum next to it
    };
    EtsParameters parameters;  // fixed where given
    Start start = Start::optimal;
    Search search = Search::wide;
    // Of the automatic choice.
    bool additive_only = false;
    bool multiplicative_trend = false;  // consider it
    bool trend = true;
    bool damped = true;
    int max_season_length = 24;  // longer seasons are not modelled: too many states
};

// damped_holt: the options for the form (A,Ad,N). Six parameters are too many for the short series that
// it is used on, so the level and trend at the start are the heuristic ones, and the search is near;
// more accurate than the maximum of the likelihood (docs/forecasting.md).
[[nodiscard]] EtsOptions damped_holt_options() noexcept;
// holt, holt_winters: (A,A,N), (A,A,A), (M,A,M). The search is near, for the same reason; the start is
// estimated.
[[nodiscard]] EtsOptions holt_options() noexcept;

// Scratch that fits share; one per thread. Fits leave nothing in it that the next one could see.
class EtsWorkspace {
  public:
    EtsWorkspace();
    ~EtsWorkspace();
    EtsWorkspace(const EtsWorkspace&) = delete;
    EtsWorkspace& operator=(const EtsWorkspace&) = delete;
    struct Impl;
    [[nodiscard]] Impl& impl() noexcept { return *impl_; }

  private:
    Impl* impl_;
};

// The given form. Status (also in out.summary): ok, too_short (n < parameters + 2), not_positive,
// not_admissible (parameters given that are outside the bounds; a season of less than 2 or more than
// 400 observations), not_converged, overflow (a value that is not finite), stopped.
// Cost per iteration O(n k^2), k parameters; (A,A,A) of 120 months: about 0.5 ms.
[[nodiscard]] ForecastStatus fit_ets(const SeriesView& series, const EtsForm& form,
                                     const EtsOptions& options, const StopSignal& stop,
                                     EtsWorkspace& workspace, EtsFit& out);

// The stable form of the least AICc, in the order of the list of forms on a tie. Of seasons longer than
// 12: without undamped trends, and where the season is strong (unit_roots.h) with a season.
[[nodiscard]] ForecastStatus choose_ets(const SeriesView& series, const EtsOptions& options,
                                        const StopSignal& stop, EtsWorkspace& workspace,
                                        EtsFit& out);

// Runs the form's recursions over y from `state`, which moves on. fitted, residuals: as long as y, or
// empty. sum_squares, sum_log: sum of e^2 and of log |mu| (0 for additive errors). Status overflow: a
// state or forecast is not finite, or not positive where the form divides by it.
struct EtsSums {
    double squares = 0;
    double logs = 0;
};
[[nodiscard]] ForecastStatus filter_ets(const EtsForm& form, const EtsParameters& parameters,
                                        std::span<const double> y, EtsState& state,
                                        std::span<double> fitted, std::span<double> residuals,
                                        EtsSums& sums);

// New observations move the state, and only it: no refitting. On a status other than ok the fit is
// unchanged.
[[nodiscard]] ForecastStatus update_ets(EtsFit& fit, std::span<const double> y);

// Forecasts: the conditional mean, and the variance where there is one (Hyndman et al. 2008, ch. 6):
// class 1 (additive errors without multiplicative parts), class 2 (multiplicative errors, additive
// trend and season), class 3 (multiplicative errors and season, additive trend). The other classes
// have the plain recursion's forecast and NaN as variance, and so has class 3 where sigma2 > 1: see
// simulate_ets. A variance may be infinite.
[[nodiscard]] ForecastStatus forecast_ets(const EtsFit& fit, const ForecastOut& out);

// The plain recursion with errors of 0 (the median, nearly): equal to forecast_ets' mean but for
// class 3.
[[nodiscard]] ForecastStatus point_forecast_ets(const EtsFit& fit, std::span<double> mean);

// paths: n_paths rows of `horizon` values, from Gaussian errors drawn by a generator of its own,
// seeded by `seed` alone. A path whose states leave their domain (a multiplicative part not
// positive) goes on from the smallest positive value.
[[nodiscard]] ForecastStatus simulate_ets(const EtsFit& fit, int horizon, int n_paths,
                                          std::uint64_t seed, std::span<double> paths);

// One path from given errors (relative ones, where the form has them); season: scratch.
void ets_path(const EtsFit& fit, std::span<const double> errors, std::vector<double>& season,
              std::span<double> path);

}  // namespace many::core
