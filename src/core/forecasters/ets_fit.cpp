// fit_ets and choose_ets: checks, scaling, starting points, criteria.
//
// The series is divided by a power of two (which is exact) to magnitude 1: sums of squares of any
// double are finite, and tolerances mean the same for every series. Starting points: see kStarts.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "core/forecasters/ets.h"
#include "core/forecasters/ets_optimiser.h"
#include "core/forecasters/ets_region.h"
#include "core/forecasters/ets_start.h"
#include "core/forecasters/unit_roots.h"

namespace many::core {

struct EtsWorkspace::Impl {
    EtsOptimiser optimiser;
    EtsStartScratch start;
    std::vector<double> scaled, x;
    std::vector<EtsPoint> points;
    std::size_t n_points = 0;
    EtsState state;
    EtsFit candidate;
};

EtsWorkspace::EtsWorkspace() : impl_(new Impl) {}
EtsWorkspace::~EtsWorkspace() {
    delete impl_;
}

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// alpha, share of beta in its range, share of gamma in its range, phi. Likelihoods of these models
// have several maxima, typically one with smooth and one with erratic levels: all starts are improved
// a little, the best of them more, the best of these to the end (search()).
struct StartingPoint {
    double alpha, u, w, phi;
};
constexpr StartingPoint kStarts[] = {
    {0.05, 0.1, 0.05, 0.978}, {0.2, 0.05, 0.05, 0.978}, {0.2, 0.5, 0.3, 0.9},
    {0.5, 0.05, 0.3, 0.95},   {0.5, 0.5, 0.05, 0.9},    {0.9, 0.02, 0.1, 0.978},
    {0.95, 0.5, 0.5, 0.88},   {0.02, 0.9, 0.05, 0.97},  {0.1, 0.95, 0.1, 0.95},
    {0.95, 0.95, 0.05, 0.88}, {0.01, 0.5, 0.01, 0.975},
};
// Where none of these has a likelihood (values over several orders of magnitude, relative errors of
// 30): hardly anything moves.
constexpr StartingPoint kStill[] = {{0.01, 0, 0, 0.978}};
// Of the near search. Those around them are as good (docs/forecasting.md).
constexpr StartingPoint kNearPlain[] = {{0.7, 0.05, 0, 1}};
constexpr StartingPoint kNearDamped[] = {{0.6, 0.02, 0, 0.97}};
constexpr StartingPoint kNearSeasonal[] = {{0.5, 0.05, 0.05, 0.978}};

std::span<const StartingPoint> near_start(const EtsForm& form) noexcept {
    if (form.has_season()) return kNearSeasonal;
    return form.damped() ? kNearDamped : kNearPlain;
}

// The state in the order of the parameters of ets_kernel.h, and back.
void pack(const EtsForm& form, const EtsState& state, std::vector<double>& x) {
    x.resize(kEtsSmoothing);
    x.push_back(state.level);
    if (form.has_trend()) x.push_back(state.trend);
    if (form.has_season()) x.insert(x.end(), state.seasonal.begin() + 1, state.seasonal.end());
}

void unpack(const EtsForm& form, int m, const std::vector<double>& x, EtsState& state) {
    std::size_t at = kEtsSmoothing;
    state.level = x[at++];
    state.trend = form.has_trend() ? x[at++] : 0;
    state.seasonal.clear();
    if (!form.has_season()) return;
    state.seasonal.assign(1, form.season == EtsSeason::multiplicative ? m : 0);
    for (int j = 1; j < m; ++j) {
        state.seasonal.push_back(x[at]);
        state.seasonal[0] -= x[at++];
    }
}

void scale_state(const EtsForm& form, int exponent, EtsState& state) {
    state.level = std::ldexp(state.level, exponent);
    if (!form.multiplicative_trend()) state.trend = std::ldexp(state.trend, exponent);
    if (form.season != EtsSeason::additive) return;
    for (double& s : state.seasonal) s = std::ldexp(s, exponent);
}

// Divides by a power of two to 1/2 <= max |y| < 1. False: a value is not finite.
bool scale_series(std::span<const double> y, std::vector<double>& out, int& exponent) {
    double largest = 0;
    for (const double v : y) {
        if (!std::isfinite(v)) return false;
        largest = std::max(largest, std::fabs(v));
    }
    exponent = 0;
    if (largest > 0) (void)std::frexp(largest, &exponent);
    out.resize(y.size());
    for (std::size_t i = 0; i < y.size(); ++i) out[i] = std::ldexp(y[i], -exponent);
    return true;
}

// k: what was estimated but for the variance.
void set_criteria(const EtsProblem& problem, int k, int exponent, double objective, double squares,
                  FitSummary& out) {
    const double n = static_cast<double>(problem.y.size());
    out.n_parameters = k + 1;
    // The scaled likelihood's unit: sum e^2 (additive) or sum log mu (multiplicative) move by it.
    out.log_likelihood = -0.5 * objective - n * exponent * std::log(2.0);
    const double penalty = k + 1, deviance = -2 * out.log_likelihood;
    out.aic = deviance + 2 * penalty;
    out.bic = deviance + penalty * std::log(n);
    out.aicc =
        n - penalty - 1 > 0 ? out.aic + 2 * penalty * (penalty + 1) / (n - penalty - 1) : kInfinity;
    out.sigma2 = squares / (n - k);
    if (problem.form.error == EtsError::additive) out.sigma2 = std::ldexp(out.sigma2, 2 * exponent);
}

// Halves what moves the state away from the mean of the series.
void flatten(const EtsProblem& problem, EtsState& state) {
    double mean = 0;
    for (const double v : problem.y) mean += v / static_cast<double>(problem.y.size());
    const EtsForm& form = problem.form;
    const double flat = form.season == EtsSeason::multiplicative ? 1 : 0;
    state.level += (mean - state.level) * 0.75;
    state.trend += ((form.multiplicative_trend() ? 1 : 0) - state.trend) * 0.75;
    for (double& s : state.seasonal) s += (flat - s) * 0.75;
}

// The starts with the state of w, into w.points; whether one of them has a likelihood. Starts that
// differ in nothing the form has are taken once.
bool place_starts(EtsWorkspace::Impl& w, const EtsForm& form,
                  std::span<const StartingPoint> starts) {
    EtsOptimiser& optimiser = w.optimiser;
    pack(form, w.state, w.x);
    bool any = false;
    w.n_points = 0;
    w.points.resize(std::size(kStarts));
    for (const StartingPoint& s : starts) {
        const double low = EtsBounds::kLow;
        EtsParameters p;
        p.alpha = s.alpha;
        p.beta = low + s.u * (s.alpha - low);
        p.gamma = low + s.w * (1 - s.alpha - low);
        p.phi = s.phi;
        optimiser.place(p, w.x);
        const double objective = optimiser.evaluate(w.x);
        bool known = !std::isfinite(objective);
        for (std::size_t i = 0; i < w.n_points; ++i)
            known = known || objective == w.points[i].objective;
        if (known) continue;
        EtsPoint& point = w.points[w.n_points++];
        point.x = w.x;
        point.objective = objective;
        point.converged = false;
        any = true;
    }
    return any;
}

// Finds the best point from the starts; the state is the heuristic one.
FitStatus search(EtsWorkspace::Impl& w, const EtsProblem& problem, const EtsOptions& options,
                 const StopSignal& stop) {
    const bool states_free = options.start == EtsOptions::Start::optimal;
    struct Round {
        std::size_t points;
        int iterations;
    };
    static constexpr Round kRounds[] = {{std::size(kStarts), 3}, {4, 8}, {1, 300}};
    bool any = options.search == EtsOptions::Search::near &&
               place_starts(w, problem.form, near_start(problem.form));
    if (!any) any = place_starts(w, problem.form, kStarts);  // or the one is not in the region
    // A line or a season that goes below zero is no start of a multiplicative form: flatter ones are.
    for (int i = 0; i < 4 && states_free && !any; ++i) {
        flatten(problem, w.state);
        any = place_starts(w, problem.form, kStarts);
    }
    if (!any) (void)place_starts(w, problem.form, kStill);
    for (const Round& round : kRounds) {
        w.n_points = std::min(w.n_points, round.points);
        for (std::size_t i = 0; i < w.n_points; ++i) {
            EtsPoint& point = w.points[i];
            if (point.converged) continue;
            const FitStatus s = w.optimiser.improve(point, round.iterations, states_free, stop);
            if (s != FitStatus::ok) return s;
        }
        std::stable_sort(
            w.points.begin(), w.points.begin() + static_cast<std::ptrdiff_t>(w.n_points),
            [](const EtsPoint& a, const EtsPoint& b) { return a.objective < b.objective; });
    }
    return FitStatus::ok;
}

ForecastStatus finish(ForecastStatus status, EtsFit& out) {
    out.summary.status = status;
    return status;
}

int n_estimated(const EtsForm& form, int season_length, const EtsOptions& options) noexcept {
    const EtsParameters& p = options.parameters;
    int k = std::isnan(p.alpha) ? 1 : 0;
    if (form.has_trend() && std::isnan(p.beta)) ++k;
    if (form.has_season() && std::isnan(p.gamma)) ++k;
    if (form.damped() && std::isnan(p.phi)) ++k;
    if (options.start != EtsOptions::Start::optimal) return k;
    return k + 1 + (form.has_trend() ? 1 : 0) + (form.has_season() ? season_length - 1 : 0);
}

// The form of a series that is scaled already.
ForecastStatus fit_scaled(const SeriesView& series, int exponent, const EtsForm& form,
                          const EtsOptions& options, const StopSignal& stop, EtsWorkspace::Impl& w,
                          EtsFit& out) {
    out = {};
    out.form = form;
    out.n = series.size();
    out.season_length = form.has_season() ? series.season_length : 1;
    if (form.has_season() &&
        (series.season_length < 2 || series.season_length > kLongestEtsSeason)) {
        return finish(ForecastStatus::not_admissible, out);
    }
    const EtsProblem problem{form, out.season_length, w.scaled};
    const int k = n_estimated(form, out.season_length, options);
    const bool textbook = options.start == EtsOptions::Start::textbook;
    if (out.n < std::max(k + 2, textbook ? 1 : out.season_length + 2))
        return finish(ForecastStatus::too_short, out);
    if (form.needs_positive() && !(*std::min_element(w.scaled.begin(), w.scaled.end()) > 0)) {
        return finish(ForecastStatus::not_positive, out);
    }
    if (textbook) {
        if (!textbook_start(form, w.scaled, out.season_length, w.state)) {
            return finish(ForecastStatus::too_short, out);
        }
    } else {
        heuristic_start(form, w.scaled, out.season_length, w.start, w.state);
    }
    w.optimiser.start(problem, options.parameters);
    if (search(w, problem, options, stop) != FitStatus::ok) {
        return finish(ForecastStatus::stopped, out);
    }
    if (w.n_points == 0) return finish(ForecastStatus::not_admissible, out);
    EtsPoint& best = w.points[0];
    out.parameters = w.optimiser.parameters(best.x);
    unpack(form, out.season_length, best.x, out.initial);
    out.last = out.initial;
    EtsSums sums;
    const ForecastStatus filtered =
        filter_ets(form, out.parameters, w.scaled, out.last, {}, {}, sums);
    if (filtered != ForecastStatus::ok) return finish(filtered, out);
    set_criteria(problem, k, exponent, best.objective, sums.squares, out.summary);
    scale_state(form, exponent, out.initial);
    scale_state(form, exponent, out.last);
    return finish(best.converged ? ForecastStatus::ok : ForecastStatus::not_converged, out);
}

// Forms with seasons longer than this, as those of hours, are chosen by more than the likelihood of one
// step: forecasts reach as far as the season, and a slope that was found within it goes on for days.
constexpr int kShortSeason = 12;

struct LongSeason {
    bool is_long = false;   // no trend without damping
    bool is_clear = false;  // no form without the season

    LongSeason(const SeriesView& series, const EtsOptions& options) {
        const int m = series.season_length;
        is_long = m > kShortSeason && m <= options.max_season_length;
        is_clear = is_long && count_seasonal_differences(series) > 0;
    }
};

bool considered(const EtsForm& form, int season_length, const LongSeason& season,
                const EtsOptions& options) noexcept {
    if (season.is_clear && !form.has_season()) return false;
    if (season.is_long && options.damped && form.has_trend() && !form.damped()) return false;
    if (!form.stable()) return false;
    if (options.additive_only && form.needs_positive()) return false;
    if (!options.trend && form.has_trend()) return false;
    if (!options.damped && form.damped()) return false;
    if (!options.multiplicative_trend && form.multiplicative_trend()) return false;
    return !form.has_season() || (season_length > 1 && season_length <= options.max_season_length);
}

}  // namespace

EtsOptions damped_holt_options() noexcept {
    EtsOptions options;
    options.start = EtsOptions::Start::heuristic;
    options.search = EtsOptions::Search::near;
    return options;
}

EtsOptions holt_options() noexcept {
    EtsOptions options;
    options.search = EtsOptions::Search::near;
    return options;
}

ForecastStatus fit_ets(const SeriesView& series, const EtsForm& form, const EtsOptions& options,
                       const StopSignal& stop, EtsWorkspace& workspace, EtsFit& out) {
    EtsWorkspace::Impl& w = workspace.impl();
    int exponent = 0;
    if (!scale_series(series.y, w.scaled, exponent)) {
        out = {};
        return finish(ForecastStatus::overflow, out);
    }
    return fit_scaled(series, exponent, form, options, stop, w, out);
}

ForecastStatus choose_ets(const SeriesView& series, const EtsOptions& options,
                          const StopSignal& stop, EtsWorkspace& workspace, EtsFit& out) {
    EtsWorkspace::Impl& w = workspace.impl();
    int exponent = 0;
    out = {};
    if (!scale_series(series.y, w.scaled, exponent)) return finish(ForecastStatus::overflow, out);
    // Damped forms before undamped ones, as in R's forecast: the first of equals stays.
    static constexpr EtsTrend kTrends[] = {EtsTrend::none, EtsTrend::additive_damped,
                                           EtsTrend::additive, EtsTrend::multiplicative_damped,
                                           EtsTrend::multiplicative};
    const LongSeason season(series, options);
    bool found = false;
    ForecastStatus first = ForecastStatus::too_short;
    for (const EtsError e : {EtsError::additive, EtsError::multiplicative}) {
        for (const EtsTrend t : kTrends) {
            for (const EtsSeason s :
                 {EtsSeason::none, EtsSeason::additive, EtsSeason::multiplicative}) {
                const EtsForm form{e, t, s};
                if (!considered(form, series.season_length, season, options)) continue;
                const ForecastStatus status =
                    fit_scaled(series, exponent, form, options, stop, w, w.candidate);
                if (status == ForecastStatus::stopped) return finish(status, out);
                if (form == EtsForm{}) first = status;
                if (status != ForecastStatus::ok && status != ForecastStatus::not_converged)
                    continue;
                if (found && !(w.candidate.summary.aicc < out.summary.aicc)) continue;
                std::swap(out, w.candidate);
                found = true;
            }
        }
    }
    return found ? out.summary.status : finish(first, out);
}

}  // namespace many::core
