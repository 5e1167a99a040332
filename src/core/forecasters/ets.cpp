// Forms, the filter, and moving a fit on.
#include "core/forecasters/ets.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "core/forecasters/ets_step.h"

namespace many::core {

bool EtsForm::stable() const noexcept {
    if (error == EtsError::additive) {
        return !multiplicative_trend() && season != EtsSeason::multiplicative;
    }
    return !(multiplicative_trend() && season == EtsSeason::additive);
}

int EtsForm::n_parameters(int season_length) const noexcept {
    return 2 + (has_trend() ? 2 : 0) + (damped() ? 1 : 0) + (has_season() ? season_length : 0);
}

std::string EtsForm::name() const {
    static constexpr const char* kTrends[] = {"N", "A", "Ad", "M", "Md"};
    static constexpr const char* kSeasons[] = {"N", "A", "M"};
    std::string out = error == EtsError::additive ? "A" : "M";
    out += kTrends[static_cast<int>(trend)];
    return out += kSeasons[static_cast<int>(season)];
}

bool EtsForm::parse(std::string_view name, EtsForm& out) noexcept {
    if (name.size() < 3 || name.size() > 4) return false;
    const bool is_damped = name.size() == 4;
    const char e = name.front(), t = name[1], s = name.back();
    if ((e != 'A' && e != 'M') || (is_damped && name[2] != 'd')) return false;
    out.error = e == 'A' ? EtsError::additive : EtsError::multiplicative;
    if (t == 'N' && !is_damped) {
        out.trend = EtsTrend::none;
    } else if (t == 'A') {
        out.trend = is_damped ? EtsTrend::additive_damped : EtsTrend::additive;
    } else if (t == 'M') {
        out.trend = is_damped ? EtsTrend::multiplicative_damped : EtsTrend::multiplicative;
    } else {
        return false;
    }
    if (s != 'N' && s != 'A' && s != 'M') return false;
    out.season = s == 'N'   ? EtsSeason::none
                 : s == 'A' ? EtsSeason::additive
                            : EtsSeason::multiplicative;
    return true;
}

namespace {

template <EtsTrendKind T, EtsSeason S>
ForecastStatus filter(bool relative, const EtsParameters& w, std::span<const double> y,
                      EtsState& state, std::span<double> fitted, std::span<double> residuals,
                      EtsSums& sums) {
    constexpr bool kRatioTrend =
        T == EtsTrendKind::multiplicative || T == EtsTrendKind::multiplicative_damped;
    const double beta = T == EtsTrendKind::none ? 0 : w.beta, phi = std::isnan(w.phi) ? 1 : w.phi,
                 gamma = S == EtsSeason::none ? 0 : w.gamma;
    double l = state.level, b = state.trend, none = 0;
    const std::size_t m = S == EtsSeason::none ? 1 : state.seasonal.size();
    double* season = S == EtsSeason::none ? &none : state.seasonal.data();
    std::size_t j = 0;
    for (std::size_t t = 0; t < y.size(); ++t) {
        double& s = season[j];
        const EtsPrediction at = predict_step<T, S>(l, b, s, phi);
        bool ok = std::isfinite(at.mu);
        if (relative) ok = ok && at.mu != 0;
        if constexpr (S == EtsSeason::multiplicative) ok = ok && s > 0 && at.q > 0;
        if constexpr (kRatioTrend) ok = ok && l > 0 && b > 0;
        if (!ok) return ForecastStatus::overflow;
        const double e = relative ? (y[t] - at.mu) / at.mu : y[t] - at.mu;
        if (!fitted.empty()) fitted[t] = at.mu;
        if (!residuals.empty()) residuals[t] = e;
        sums.squares += e * e;
        if (relative) sums.logs += std::log(std::fabs(at.mu));
        update_step<T, S>(at, y[t], w.alpha, beta, gamma, l, b, s);
        if (++j == m) j = 0;
    }
    if (!std::isfinite(l) || !std::isfinite(b)) return ForecastStatus::overflow;
    state.level = l;
    state.trend = b;
    // The season of the next observation comes first.
    if constexpr (S != EtsSeason::none) {
        std::rotate(state.seasonal.begin(), state.seasonal.begin() + static_cast<std::ptrdiff_t>(j),
                    state.seasonal.end());
    }
    return ForecastStatus::ok;
}

}  // namespace

ForecastStatus filter_ets(const EtsForm& form, const EtsParameters& parameters,
                          std::span<const double> y, EtsState& state, std::span<double> fitted,
                          std::span<double> residuals, EtsSums& sums) {
    sums = {};
    return with_shape(form, [&]<EtsTrendKind T, EtsSeason S>() {
        return filter<T, S>(form.error == EtsError::multiplicative, parameters, y, state, fitted,
                            residuals, sums);
    });
}

ForecastStatus update_ets(EtsFit& fit, std::span<const double> y) {
    for (const double v : y) {
        if (!std::isfinite(v)) return ForecastStatus::overflow;
        if (fit.form.needs_positive() && !(v > 0)) return ForecastStatus::not_positive;
    }
    EtsState moved = fit.last;
    EtsSums sums;
    const ForecastStatus status = filter_ets(fit.form, fit.parameters, y, moved, {}, {}, sums);
    if (status != ForecastStatus::ok) return status;
    fit.last = std::move(moved);
    fit.n += static_cast<int>(y.size());
    return status;
}

}  // namespace many::core
