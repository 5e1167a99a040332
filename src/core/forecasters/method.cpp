// Which method is called what, and who fits, forecasts and updates it.
#include "core/forecasters/method.h"

#include <algorithm>
#include <cmath>

#include "core/forecasters/auto_arima.h"
#include "core/forecasters/method_check.h"
#include "core/forecasters/mstl_fit.h"

namespace many::core {
namespace {

struct MethodEntry {
    const char* name;
    ForecastMethod method;
    bool seasonal;
};

constexpr MethodEntry kMethods[] = {
    {"naive", ForecastMethod::naive, false},
    {"seasonal_naive", ForecastMethod::seasonal_naive, true},
    {"mean", ForecastMethod::mean, false},
    {"drift", ForecastMethod::drift, false},
    {"window_average", ForecastMethod::window_average, false},
    {"seasonal_window_average", ForecastMethod::seasonal_window_average, true},
    {"naive2", ForecastMethod::naive2, true},
    {"ses", ForecastMethod::ses, false},
    {"holt", ForecastMethod::holt, false},
    {"damped_holt", ForecastMethod::damped_holt, false},
    {"holt_winters", ForecastMethod::holt_winters, true},
    {"ets", ForecastMethod::ets, true},
    {"theta", ForecastMethod::theta, true},
    {"optimised_theta", ForecastMethod::optimised_theta, true},
    {"dynamic_theta", ForecastMethod::dynamic_theta, true},
    {"arima", ForecastMethod::arima, true},
    {"croston", ForecastMethod::croston, false},
    {"sba", ForecastMethod::sba, false},
    {"tsb", ForecastMethod::tsb, false},
    {"adida", ForecastMethod::adida, false},
    {"imapa", ForecastMethod::imapa, false},
    {"mstl", ForecastMethod::mstl, true},
    {"ces", ForecastMethod::ces, true},
    {"autoregression", ForecastMethod::autoregression, true},
    {"auto_forecast", ForecastMethod::auto_forecast, true},
    {"ensemble", ForecastMethod::ensemble, true},
};

const MethodEntry* find_method(ForecastMethod method) noexcept {
    for (const MethodEntry& e : kMethods) {
        if (e.method == method) return &e;
    }
    return nullptr;
}

// The alternative of type T, keeping its memory where it is that already.
template <class T>
T& become(AnyFit& fit) {
    if (T* same = std::get_if<T>(&fit)) return *same;
    return fit.emplace<T>();
}

ForecastStatus fit_simple_spec(SimpleMethod method, const MethodSpec& spec,
                               const SeriesData& series, MethodFit& out) {
    return fit_simple(method, series.view(), {spec.window}, become<SimpleFit>(out.fit));
}

// holt, damped_holt and holt_winters by their own rules: not the highest likelihood (ets.h).
EtsOptions ets_options(const MethodSpec& spec) {
    EtsOptions options;
    if (spec.method == ForecastMethod::damped_holt) options = damped_holt_options();
    if (spec.method == ForecastMethod::holt || spec.method == ForecastMethod::holt_winters) {
        options = holt_options();
    }
    options.parameters = {spec.alpha, spec.beta, spec.gamma, spec.phi};
    if (spec.start != EtsOptions::Start::optimal) options.start = spec.start;
    options.additive_only = spec.additive_only;
    options.multiplicative_trend = spec.multiplicative_trend;
    return options;
}

ForecastStatus fit_form(const EtsForm& form, const MethodSpec& spec, const SeriesData& series,
                        const StopSignal& stop, ForecastWorkspace& workspace, MethodFit& out) {
    return fit_ets(series.view(), form, ets_options(spec), stop, workspace.ets(),
                   become<EtsFit>(out.fit));
}

EtsForm form_of(const MethodSpec& spec) noexcept {
    switch (spec.method) {
        case ForecastMethod::holt:
            return {EtsError::additive, EtsTrend::additive, EtsSeason::none};
        case ForecastMethod::damped_holt:
            return {EtsError::additive, EtsTrend::additive_damped, EtsSeason::none};
        case ForecastMethod::holt_winters:
            return spec.multiplicative_season
                       ? EtsForm{EtsError::multiplicative, EtsTrend::additive,
                                 EtsSeason::multiplicative}
                       : EtsForm{EtsError::additive, EtsTrend::additive, EtsSeason::additive};
        default:
            return spec.form;
    }
}

ForecastStatus fit_exponential(const MethodSpec& spec, const SeriesData& series,
                               const StopSignal& stop, ForecastWorkspace& workspace,
                               MethodFit& out) {
    if (spec.method == ForecastMethod::ses) {
        return fit_form({}, spec, series, stop, workspace, out);
    }
    if (spec.method != ForecastMethod::ets || spec.has_form) {
        return fit_form(form_of(spec), spec, series, stop, workspace, out);
    }
    return choose_ets(series.view(), ets_options(spec), stop, workspace.ets(),
                      become<EtsFit>(out.fit));
}

ForecastStatus fit_theta_spec(ThetaKind kind, const MethodSpec& spec, const SeriesData& series,
                              const StopSignal& stop, ForecastWorkspace& workspace,
                              MethodFit& out) {
    if (!std::isnan(spec.alpha) && !(spec.alpha > 0 && spec.alpha <= 1)) {
        return ForecastStatus::not_admissible;
    }
    return fit_theta(series.view(), {kind, spec.seasonal, spec.alpha}, stop, workspace.ets(),
                     become<ThetaFit>(out.fit));
}

ForecastStatus fit_arima_spec(const MethodSpec& spec, const SeriesData& series,
                              const StopSignal& stop, MethodFit& out) {
    ArimaFit& fit = become<ArimaFit>(out.fit);
    SeriesView view = series.view();
    if (!spec.seasonal) view.season_length = 1;
    if (spec.has_order) {
        ArimaOptions options;
        options.order = spec.order;
        options.constant = spec.constant;
        options.regressors = series.x;
        options.n_regressors = series.n_features;
        options.std_errors = spec.inference;
        fit = fit_arima(view, options, stop);
        return fit.summary.status;
    }
    if (view.season_length > ArimaOrder::kMaxLag) view.season_length = 1;
    AutoArimaOptions options;
    options.max_p = spec.max_p;
    options.max_q = spec.max_q;
    options.max_seasonal_p = spec.max_seasonal_p;
    options.max_seasonal_q = spec.max_seasonal_q;
    options.d = spec.d;
    options.seasonal_d = spec.seasonal_d;
    options.seasonal = spec.seasonal;
    options.constant = spec.constant;
    options.regressors = series.x;
    options.n_regressors = series.n_features;
    options.std_errors = spec.inference;
    fit = fit_auto_arima(view, options, stop).fit;
    return fit.summary.status;
}

ForecastStatus fit_autoregression_spec(const MethodSpec& spec, const SeriesData& series,
                                       const StopSignal& stop, MethodFit& out) {
    AutoregressionOptions options;
    options.n_lags = spec.n_lags;
    options.seasonal = spec.seasonal;
    options.season_lengths = series.season_lengths;
    options.regressors = series.x;
    options.n_regressors = series.n_features;
    return fit_autoregression(series.view(), options, stop, become<AutoregressionFit>(out.fit));
}

ForecastStatus fit_intermittent_spec(IntermittentMethod method, const MethodSpec& spec,
                                     const SeriesData& series, const StopSignal& stop,
                                     MethodFit& out) {
    return fit_intermittent(method, series.view(),
                            {spec.alpha, spec.beta, spec.optimise, spec.aggregation}, stop,
                            become<IntermittentFit>(out.fit));
}

ForecastStatus dispatch(const MethodSpec& spec, const SeriesData& series, const StopSignal& stop,
                        ForecastWorkspace& workspace, MethodFit& out) {
    const auto simple = [&](SimpleMethod m) { return fit_simple_spec(m, spec, series, out); };
    const auto theta = [&](ThetaKind kind) {
        return fit_theta_spec(kind, spec, series, stop, workspace, out);
    };
    const auto intermittent = [&](IntermittentMethod m) {
        return fit_intermittent_spec(m, spec, series, stop, out);
    };
    switch (spec.method) {
        case ForecastMethod::naive:
            return simple(SimpleMethod::naive);
        case ForecastMethod::seasonal_naive:
            return simple(SimpleMethod::seasonal_naive);
        case ForecastMethod::mean:
            return simple(SimpleMethod::mean);
        case ForecastMethod::drift:
            return simple(SimpleMethod::drift);
        case ForecastMethod::window_average:
            return simple(SimpleMethod::window_average);
        case ForecastMethod::seasonal_window_average:
            return simple(SimpleMethod::seasonal_window_average);
        case ForecastMethod::naive2:
            return simple(SimpleMethod::naive2);
        case ForecastMethod::ses:
        case ForecastMethod::holt:
        case ForecastMethod::damped_holt:
        case ForecastMethod::holt_winters:
        case ForecastMethod::ets:
            return fit_exponential(spec, series, stop, workspace, out);
        case ForecastMethod::theta:
            return theta(ThetaKind::standard);
        case ForecastMethod::optimised_theta:
            return theta(ThetaKind::optimised);
        case ForecastMethod::dynamic_theta:
            return theta(ThetaKind::dynamic_optimised);
        case ForecastMethod::arima:
            return fit_arima_spec(spec, series, stop, out);
        case ForecastMethod::croston:
            return intermittent(IntermittentMethod::croston);
        case ForecastMethod::sba:
            return intermittent(IntermittentMethod::sba);
        case ForecastMethod::tsb:
            return intermittent(IntermittentMethod::tsb);
        case ForecastMethod::adida:
            return intermittent(IntermittentMethod::adida);
        case ForecastMethod::imapa:
            return intermittent(IntermittentMethod::imapa);
        case ForecastMethod::mstl:
            return fit_mstl(series.y, series.season_lengths, ets_options(spec), stop,
                            workspace.ets(), become<MstlFit>(out.fit));
        case ForecastMethod::autoregression:
            return fit_autoregression_spec(spec, series, stop, out);
        case ForecastMethod::ces:
            return choose_ces(series.view(), {}, stop, workspace.ces(), become<CesFit>(out.fit));
        default:
            return ForecastStatus::not_admissible;
    }
}

// One overload per fit.
struct Forecast {
    std::span<const double> future;
    const ForecastOut& out;

    ForecastStatus operator()(const SimpleFit& f) const { return forecast_simple(f, out); }
    ForecastStatus operator()(const EtsFit& f) const { return forecast_ets(f, out); }
    ForecastStatus operator()(const ThetaFit& f) const { return forecast_theta(f, out); }
    ForecastStatus operator()(const ArimaFit& f) const {
        return forecast_arima(f, f.n_regressors > 0 ? future : std::span<const double>{}, out);
    }
    ForecastStatus operator()(const IntermittentFit& f) const {
        return forecast_intermittent(f, out);
    }
    ForecastStatus operator()(const MstlFit& f) const { return forecast_mstl(f, out); }
    ForecastStatus operator()(const CesFit& f) const { return forecast_ces(f, out); }
    ForecastStatus operator()(const AutoregressionFit& f) const {
        return forecast_autoregression(f, future, out);
    }
    // joins
};

struct Update {
    std::span<const double> y, x;

    bool operator()(SimpleFit& f) const { return update_simple(f, y); }
    bool operator()(EtsFit& f) const { return update_ets(f, y) == ForecastStatus::ok; }
    bool operator()(ThetaFit& f) const { return update_theta(f, y); }
    bool operator()(ArimaFit& f) const {
        return update_arima(f, y, f.n_regressors > 0 ? x : std::span<const double>{});
    }
    bool operator()(IntermittentFit& f) const { return update_intermittent(f, y); }
    bool operator()(MstlFit& f) const { return update_mstl(f, y); }
    bool operator()(CesFit& f) const { return update_ces(f, y) == ForecastStatus::ok; }
    bool operator()(AutoregressionFit& f) const { return update_autoregression(f, y); }
    // joins
};

}  // namespace

const char* method_name(ForecastMethod method) noexcept {
    const MethodEntry* entry = find_method(method);
    return entry == nullptr ? "unknown" : entry->name;
}

bool method_from_name(std::string_view name, ForecastMethod& out) noexcept {
    for (const MethodEntry& e : kMethods) {
        if (name != e.name) continue;
        out = e.method;
        return true;
    }
    return false;
}

bool method_takes_features(ForecastMethod method) noexcept {
    return method == ForecastMethod::arima || method == ForecastMethod::autoregression;
}

bool method_is_seasonal(ForecastMethod method) noexcept {
    const MethodEntry* entry = find_method(method);
    return entry != nullptr && entry->seasonal;
}

// NOLINTNEXTLINE(bugprone-exception-escape): never without a value
const FitSummary& MethodFit::summary() const {
    return *std::visit([](const auto& f) { return &f.summary; }, fit);
}

ForecastStatus fit_method(const MethodSpec& spec, const SeriesData& series, const StopSignal& stop,
                          ForecastWorkspace& workspace, MethodFit& out) {
    out.method = spec.method;
    const ForecastStatus status = dispatch(spec, series, stop, workspace, out);
    if (status != ForecastStatus::ok && status != ForecastStatus::not_converged) return status;
    // Values that near the largest double may overflow in a state alone.
    return fit_defect(out) == nullptr ? ForecastStatus::ok : ForecastStatus::overflow;
}

ForecastStatus forecast_method(const MethodFit& fit, std::span<const double> future,
                               const ForecastOut& out) {
    return std::visit(Forecast{future, out}, fit.fit);
}

double interval_degrees_of_freedom(const MethodFit& fit) noexcept {
    const auto* simple = std::get_if<SimpleFit>(&fit.fit);
    return simple == nullptr ? 0 : simple->degrees_of_freedom;
}

int n_observations(const MethodFit& fit) {
    return std::visit(
        [](const auto& f) {
            if constexpr (requires { f.n; }) {
                return f.n;
            } else {
                return f.adjusted.n;
            }
        },
        fit.fit);
}

bool update_method(MethodFit& fit, std::span<const double> y, std::span<const double> x) {
    if (y.empty()) return true;
    const int room = kMostObservations - n_observations(fit);
    if (room < 0 || y.size() > static_cast<std::size_t>(room)) return false;
    return std::visit(Update{y, x}, fit.fit);
}

}  // namespace many::core
