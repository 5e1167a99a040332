#include "core/forecasters/method_check.h"

#include <algorithm>
#include <cmath>

#include "core/forecasters/ces_kernel.h"

namespace many::core {
namespace {

constexpr std::size_t kMostSeasons = 16, kMostLevels = 1'000'000;

bool finite(double v) noexcept {
    return std::isfinite(v);
}

bool all_finite(std::span<const double> values) noexcept {
    return std::all_of(values.begin(), values.end(), finite);
}

bool within(double v, double low, double high) noexcept {
    return v >= low && v <= high;
}

// A variance, scale or count that may be missing or overflow.
bool missing_or_not_negative(double v) noexcept {
    return std::isnan(v) || v >= 0;
}

bool sound(const FitSummary& s) noexcept {
    return s.status <= ForecastStatus::stopped && s.n_parameters >= 0 &&
           missing_or_not_negative(s.sigma2);
}

bool sound(const SimpleFit& f) noexcept {
    const bool seasonal = f.method == SimpleMethod::seasonal_naive ||
                          f.method == SimpleMethod::seasonal_window_average ||
                          f.method == SimpleMethod::naive2;
    if (f.method > SimpleMethod::naive2 || f.n < 1 || f.season_length < 1 || f.window < 0 ||
        f.levels.size() != static_cast<std::size_t>(f.season_length) ||
        (!seasonal && f.season_length != 1) || !all_finite(f.levels) || !finite(f.slope) ||
        (f.degrees_of_freedom != 0 && !within(f.degrees_of_freedom, 1, f.n))) {
        return false;
    }
    if (f.method == SimpleMethod::drift ? f.n < 2 : f.slope != 0) return false;
    if (f.factors.empty()) return f.method != SimpleMethod::naive2 || f.season_length == 1;
    return f.method == SimpleMethod::naive2 && f.factors.size() == f.levels.size() &&
           std::all_of(f.factors.begin(), f.factors.end(),
                       [](double v) { return finite(v) && v > 0; });
}

bool sound(const EtsState& s, const EtsFit& f) noexcept {
    const std::size_t m =
        f.form.has_season() ? static_cast<std::size_t>(f.season_length) : std::size_t{0};
    return finite(s.level) && finite(s.trend) && s.seasonal.size() == m && all_finite(s.seasonal);
}

bool sound(const EtsFit& f) noexcept {
    const EtsForm& form = f.form;
    if (form.error > EtsError::multiplicative || form.trend > EtsTrend::multiplicative_damped ||
        form.season > EtsSeason::multiplicative || f.n < 1) {
        return false;
    }
    if (form.has_season() ? !within(f.season_length, 2, kLongestEtsSeason) : f.season_length != 1) {
        return false;
    }
    const EtsParameters& p = f.parameters;
    return within(p.alpha, 0, 1) && (!form.has_trend() || within(p.beta, 0, 1)) &&
           (!form.has_season() || within(p.gamma, 0, 1)) &&
           (!form.damped() || within(p.phi, 0, 1)) && sound(f.initial, f) && sound(f.last, f);
}

bool sound(const ThetaFit& f) noexcept {
    if (f.kind > ThetaKind::dynamic_optimised || f.n < 1 || f.season_length < 1) return false;
    const std::size_t m = static_cast<std::size_t>(f.season_length);
    if (m == 1 ? !f.seasonal.empty() : f.seasonal.size() != m) return false;
    if (!f.additive_season &&
        std::any_of(f.seasonal.begin(), f.seasonal.end(), [](double v) { return !(v > 0); })) {
        return false;
    }
    const double numbers[] = {f.level, f.initial_level, f.intercept, f.slope, f.mean};
    return all_finite(f.seasonal) && all_finite(numbers) && f.alpha > 0 && f.alpha <= 1 &&
           within(f.omega, 0, 1) && f.theta >= 1;
}

bool sound(const ArimaFit& f) noexcept {
    const ArimaOrder& o = f.order;
    if (!o.valid() || f.n < 1 || !within(f.n_used, 1, f.n) || f.n_regressors < 0 ||
        f.n_regressors > (1 << 20)) {
        return false;
    }
    const auto size = [](int i) { return static_cast<std::size_t>(i); };
    const std::size_t k = size(o.n_arma()) + (f.has_constant ? 1 : 0) + size(f.n_regressors);
    const std::size_t r = size(std::max(o.n_ar(), o.n_ma() + 1));
    if (f.coefficients.size() != k || f.std_errors.size() != k ||
        f.last.size() != size(o.n_lost()) || f.state.size() != r ||
        (!f.covariance.empty() && f.covariance.size() != r * r)) {
        return false;
    }
    const std::span<const double> all = f.coefficients;
    const auto known = [](double v) { return !std::isinf(v); };  // NaN: collinear
    return all_finite(all.first(size(o.n_arma()))) && std::all_of(all.begin(), all.end(), known) &&
           all_finite(f.last) && all_finite(f.state) && all_finite(f.covariance) &&
           missing_or_not_negative(f.sum_of_squares);
}

bool sound(const IntermittentLevel& level) noexcept {
    const auto smoothing = [](double v) { return std::isnan(v) || within(v, 0, 1); };
    return level.method <= IntermittentMethod::ses && level.aggregation >= 1 &&
           smoothing(level.alpha) && smoothing(level.beta) && finite(level.size) &&
           level.size >= 0 && level.interval > 0 && within(level.waiting, 0, kMostObservations) &&
           finite(level.rate) && level.rate >= 0;
}

bool sound(const IntermittentFit& f) noexcept {
    if (f.method > IntermittentMethod::ses || f.n < 1 || f.n_demands < 0 || f.n_demands > f.n ||
        !(std::isnan(f.mean_interval) || f.mean_interval > 0) || f.levels.size() > kMostLevels ||
        !finite(f.rate) || f.rate < 0) {
        return false;
    }
    if (f.method != IntermittentMethod::imapa && f.levels.size() > 1) return false;
    if (f.levels.empty() != (f.n_demands == 0)) return false;
    return std::all_of(f.levels.begin(), f.levels.end(),
                       [](const IntermittentLevel& level) { return sound(level); });
}

bool sound(const MstlFit& f) noexcept {
    if (f.season_lengths.size() > kMostSeasons || f.last_cycle.size() != f.season_lengths.size()) {
        return false;
    }
    for (std::size_t i = 0; i < f.season_lengths.size(); ++i) {
        const int m = f.season_lengths[i];
        if (m < 2 || f.last_cycle[i].size() != static_cast<std::size_t>(m) ||
            !all_finite(f.last_cycle[i])) {
            return false;
        }
    }
    return !f.adjusted.form.has_season() && sound(f.adjusted) && sound(f.adjusted.summary);
}

bool sound(const AutoregressionFit& f) noexcept {
    const std::size_t longest = f.lags.empty() ? 0 : static_cast<std::size_t>(f.lags.back());
    const auto known = [](double v) { return !std::isinf(v); };  // NaN: collinear
    if (f.n < 1 || !within(f.n_used, 1, f.n) || f.n_used > f.n ||
        !within(f.n_lags, 0, AutoregressionOptions::kMaxLags) ||
        f.coefficients.size() != f.lags.size() || f.std_errors.size() != f.lags.size() ||
        f.regressor_std_errors.size() != f.regressor_coefficients.size() ||
        f.last.size() != longest) {
        return false;
    }
    int before = 0;
    for (const int lag : f.lags) {
        if (lag <= before) return false;
        before = lag;
    }
    return finite(f.intercept) && all_finite(f.last) &&
           std::all_of(f.coefficients.begin(), f.coefficients.end(), known) &&
           std::all_of(f.regressor_coefficients.begin(), f.regressor_coefficients.end(), known);
}

bool sound(const CesState& s, const CesFit& f) noexcept {
    const std::size_t m = f.form == CesForm::none ? 0 : static_cast<std::size_t>(f.season_length);
    const bool potential = f.form == CesForm::simple || f.form == CesForm::full;
    return finite(s.level) && finite(s.potential) && s.seasonal.size() == m &&
           s.seasonal_potential.size() == (potential ? m : 0) && all_finite(s.seasonal) &&
           all_finite(s.seasonal_potential);
}

bool sound(const CesFit& f) noexcept {
    const CesParameters& p = f.parameters;
    if (f.form > CesForm::full || f.n < 1 ||
        (f.form == CesForm::none ? f.season_length != 1
                                 : !within(f.season_length, 2, kLongestCesSeason))) {
        return false;
    }
    return finite(p.a0) && finite(p.a1) && (f.form < CesForm::partial || finite(p.b0)) &&
           (f.form != CesForm::full || finite(p.b1)) && sound(f.initial, f) && sound(f.last, f);
}

// The fit that the method's name stands for.
bool belongs(const MethodFit& f) noexcept {
    const auto* simple = std::get_if<SimpleFit>(&f.fit);
    const auto* theta = std::get_if<ThetaFit>(&f.fit);
    const auto* demand = std::get_if<IntermittentFit>(&f.fit);
    const auto is = [](const auto* fit, auto method, auto kind) {
        (void)method;
        return fit != nullptr && kind(*fit) == method;
    };
    const auto by_simple = [&](SimpleMethod m) {
        return is(simple, m, [](const SimpleFit& s) { return s.method; });
    };
    const auto by_theta = [&](ThetaKind k) {
        return is(theta, k, [](const ThetaFit& t) { return t.kind; });
    };
    const auto by_demand = [&](IntermittentMethod m) {
        return is(demand, m, [](const IntermittentFit& i) { return i.method; });
    };
    switch (f.method) {
        case ForecastMethod::naive:
            return by_simple(SimpleMethod::naive);
        case ForecastMethod::seasonal_naive:
            return by_simple(SimpleMethod::seasonal_naive);
        case ForecastMethod::mean:
            return by_simple(SimpleMethod::mean);
        case ForecastMethod::drift:
            return by_simple(SimpleMethod::drift);
        case ForecastMethod::window_average:
            return by_simple(SimpleMethod::window_average);
        case ForecastMethod::seasonal_window_average:
            return by_simple(SimpleMethod::seasonal_window_average);
        case ForecastMethod::naive2:
            return by_simple(SimpleMethod::naive2);
        case ForecastMethod::ses:
        case ForecastMethod::holt:
        case ForecastMethod::damped_holt:
        case ForecastMethod::holt_winters:
        case ForecastMethod::ets:
            return std::holds_alternative<EtsFit>(f.fit);
        case ForecastMethod::theta:
            return by_theta(ThetaKind::standard);
        case ForecastMethod::optimised_theta:
            return by_theta(ThetaKind::optimised);
        case ForecastMethod::dynamic_theta:
            return by_theta(ThetaKind::dynamic_optimised);
        case ForecastMethod::arima:
            return std::holds_alternative<ArimaFit>(f.fit);
        case ForecastMethod::croston:
            return by_demand(IntermittentMethod::croston);
        case ForecastMethod::sba:
            return by_demand(IntermittentMethod::sba);
        case ForecastMethod::tsb:
            return by_demand(IntermittentMethod::tsb);
        case ForecastMethod::adida:
            return by_demand(IntermittentMethod::adida);
        case ForecastMethod::imapa:
            return by_demand(IntermittentMethod::imapa);
        case ForecastMethod::mstl:
            return std::holds_alternative<MstlFit>(f.fit);
        case ForecastMethod::autoregression:
            return std::holds_alternative<AutoregressionFit>(f.fit);
        case ForecastMethod::ces:
            return std::holds_alternative<CesFit>(f.fit);
        default:
            return false;
    }
}

}  // namespace

// NOLINTNEXTLINE(bugprone-exception-escape): never without a value
const char* fit_defect(const MethodFit& fit) {
    if (!belongs(fit)) return "a fit is not of its method";
    if (n_observations(fit) > kMostObservations) return "a fit has too many observations";
    if (!sound(fit.summary())) return "the summary of a fit is out of range";
    if (!std::visit([](const auto& f) { return sound(f); }, fit.fit)) {
        return "a parameter or state of a fit is out of range";
    }
    return nullptr;
}

}  // namespace many::core
