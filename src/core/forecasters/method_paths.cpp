#include "core/forecasters/method_paths.h"

#include <algorithm>
#include <cmath>

#include "core/forecasters/mstl_fit.h"

namespace many::core {
namespace {

bool ets_one_step(const EtsFit& fit, std::span<const double> y, std::span<double> fitted,
                  std::span<double> errors) {
    EtsState state = fit.initial;
    EtsSums sums;
    return filter_ets(fit.form, fit.parameters, y, state, fitted, errors, sums) ==
           ForecastStatus::ok;
}

void subtract(std::span<const double> y, std::span<const double> fitted,
              std::span<double> errors) noexcept {
    for (std::size_t t = 0; t < y.size(); ++t) errors[t] = y[t] - fitted[t];
}

struct OneStep {
    const SeriesData& series;
    std::span<double> fitted, errors;

    bool operator()(const SimpleFit& f) const {
        simple_one_step(f, series.y, fitted, errors);
        return true;
    }
    bool operator()(const EtsFit& f) const { return ets_one_step(f, series.y, fitted, errors); }
    bool operator()(const ThetaFit& f) const {
        theta_one_step(f, series.y, fitted, errors);
        return true;
    }
    bool operator()(const ArimaFit& f) const {
        const auto x = f.n_regressors > 0 ? series.x : std::span<const double>{};
        if (!arima_one_step(f, series.y, x, fitted)) return false;
        subtract(series.y, fitted, errors);
        return true;
    }
    bool operator()(const IntermittentFit& f) const {
        if (!intermittent_one_step(f, series.y, fitted)) return false;
        subtract(series.y, fitted, errors);
        return true;
    }
    bool operator()(const MstlFit& f) const {
        std::vector<double> adjusted;
        if (!adjust_mstl(series.y, series.season_lengths, adjusted, nullptr) ||
            !ets_one_step(f.adjusted, adjusted, fitted, errors)) {
            return false;
        }
        for (std::size_t t = 0; t < adjusted.size(); ++t) {
            fitted[t] += series.y[t] - adjusted[t];
        }
        return true;
    }
    bool operator()(const AutoregressionFit& f) const {
        if (!autoregression_one_step(f, series.y, series.x, fitted)) return false;
        subtract(series.y, fitted, errors);
        return true;
    }
    bool operator()(const CesFit& f) const {
        CesState state = f.initial;
        return filter_ces(f.form, f.parameters, series.y, state, fitted, errors) ==
               ForecastStatus::ok;
    }
    // joins
};

// Responses to an error of 1: what a state of nothing forecasts behind it.
LinearRecursion ces_recursion(const CesFit& fit, std::size_t h) {
    LinearRecursion out;
    CesFit after = fit;
    after.last.level = after.last.potential = 0;
    std::fill(after.last.seasonal.begin(), after.last.seasonal.end(), 0.0);
    std::fill(after.last.seasonal_potential.begin(), after.last.seasonal_potential.end(), 0.0);
    const double error = 1;
    std::vector<double> mean(h), variance(h);
    if (update_ces(after, {&error, 1}) != ForecastStatus::ok) return out;
    (void)forecast_ces(after, {mean, variance});
    for (std::size_t i = 0; i < h; ++i) {
        if (mean[i] != 0) out.ma.push_back({i + 1, mean[i]});
    }
    return out;
}

// The recursion of the methods whose forecasts are the last value seen, a season's, or a constant.
bool simple_recursion(const SimpleFit& fit, LinearRecursion& out) {
    switch (fit.method) {
        case SimpleMethod::naive:
        case SimpleMethod::drift:
        case SimpleMethod::naive2:
            out.ar.push_back({1, 1.0});
            break;
        case SimpleMethod::seasonal_naive:
            out.ar.push_back({fit.levels.size(), 1.0});
            break;
        default:  // a level that does not move
            break;
    }
    return true;
}

}  // namespace

bool one_step_method(const MethodFit& fit, const SeriesData& series, std::span<double> fitted,
                     std::span<double> errors) {
    const bool same = n_observations(fit) == series.size();
    if (same && std::visit(OneStep{series, fitted, errors}, fit.fit)) return true;
    std::fill(fitted.begin(), fitted.end(), FitSummary::kNone);
    std::fill(errors.begin(), errors.end(), FitSummary::kNone);
    return false;
}

PathMaker::PathMaker(const MethodFit& fit, std::span<const double> mean) : fit_(fit), mean_(mean) {
    if (const auto* simple = std::get_if<SimpleFit>(&fit.fit)) {
        if (simple_recursion(*simple, recursion_)) kind_ = Kind::linear;
        factors_ = simple->factors;
    } else if (std::holds_alternative<EtsFit>(fit.fit)) {
        kind_ = Kind::ets;
    } else if (std::holds_alternative<ThetaFit>(fit.fit)) {
        kind_ = Kind::theta;
    } else if (const auto* arima = std::get_if<ArimaFit>(&fit.fit)) {
        recursion_ = arima_recursion(*arima);
        kind_ = Kind::linear;
    } else if (const auto* demand = std::get_if<IntermittentFit>(&fit.fit)) {
        // A constant rate, and what demand has been off it.
        const bool one_step = demand->method == IntermittentMethod::croston ||
                              demand->method == IntermittentMethod::sba ||
                              demand->method == IntermittentMethod::tsb;
        if (one_step) kind_ = Kind::linear;
    } else if (std::holds_alternative<MstlFit>(fit.fit)) {
        kind_ = Kind::mstl;
    }
    if (const auto* ar = std::get_if<AutoregressionFit>(&fit.fit)) {
        for (std::size_t i = 0; i < ar->lags.size(); ++i) {
            if (std::isnan(ar->coefficients[i])) continue;
            recursion_.ar.push_back({static_cast<std::size_t>(ar->lags[i]), ar->coefficients[i]});
        }
        kind_ = Kind::linear;
    }
    if (const auto* ces = std::get_if<CesFit>(&fit.fit)) {
        recursion_ = ces_recursion(*ces, mean.size());
        kind_ = Kind::linear;
    }
    // joins
}

void PathMaker::linear_path(std::span<const double> errors, std::span<double> path) {
    const std::size_t h = path.size();
    deviations_.resize(h);
    for (std::size_t t = 0; t < h; ++t) {
        double u = errors[t];
        for (const LinearRecursion::Term& term : recursion_.ma) {
            if (term.lag > t) break;
            u += term.weight * errors[t - term.lag];
        }
        for (const LinearRecursion::Term& term : recursion_.ar) {
            if (term.lag > t) break;
            u += term.weight * deviations_[t - term.lag];
        }
        deviations_[t] = u;
        path[t] = mean_[t] + (factors_.empty() ? u : u * factors_[t % factors_.size()]);
    }
}

void PathMaker::run(std::span<const double> errors, std::span<double> path) {
    switch (kind_) {
        case Kind::linear:
            linear_path(errors, path);
            break;
        case Kind::ets:
            ets_path(std::get<EtsFit>(fit_.fit), errors, season_, path);
            break;
        case Kind::theta:
            theta_path(std::get<ThetaFit>(fit_.fit), errors, path);
            break;
        case Kind::mstl:
            ets_path(std::get<MstlFit>(fit_.fit).adjusted, errors, season_, path);
            add_seasons(std::get<MstlFit>(fit_.fit), path);
            break;
        case Kind::none:
            break;
    }
}

}  // namespace many::core
