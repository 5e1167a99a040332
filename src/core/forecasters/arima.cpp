// ARIMA with fixed orders: see the header.
#include "core/forecasters/arima.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/forecasters/arima_estimator.h"

namespace many::core {
namespace {

constexpr double kTolerance = 1e-11;      // relative, of the sum of squares
constexpr double kRoughTolerance = 1e-5;  // of the conditional estimate, which is only a start

std::size_t at(int i) noexcept {
    return static_cast<std::size_t>(i);
}

// The series without constant and regressors whose coefficients are given.
std::vector<double> without_regressors(const SeriesView& series, const ArimaOptions& options,
                                       bool constant) {
    const std::size_t n = series.y.size();
    std::size_t j = at(options.order.n_arma());
    std::vector<double> y(series.y.begin(), series.y.end());
    if (constant) {
        const double c = options.given[j++];
        const bool drift = options.order.d + options.order.D > 0;
        for (std::size_t t = 0; t < n; ++t) y[t] -= drift ? c * static_cast<double>(t + 1) : c;
    }
    for (std::size_t k = 0; k < at(options.n_regressors); ++k) {
        const double b = options.given[j + k];
        for (std::size_t t = 0; t < n; ++t) y[t] -= b * options.regressors[k * n + t];
    }
    return y;
}

void fit_given(const SeriesView& series, const ArimaOptions& options, ArimaFit& fit) {
    const std::vector<double> y = without_regressors(series, options, fit.has_constant);
    const std::span<const double> arma = options.given.first(at(fit.order.n_arma()));
    std::vector<double> free;
    ArimaEstimator estimator;
    FitSummary& s = fit.summary;
    s.status = estimator.prepare({y, series.season_length}, fit.order, false, {}, 0);
    if (s.status != ForecastStatus::ok) return;
    if (!ArimaEstimator::free_parameters(fit.order, arma, free) ||
        !estimator.finish({y, series.season_length}, arma, false, {}, fit)) {
        s.status = ForecastStatus::not_admissible;
        return;
    }
    s.sigma2 = fit.sum_of_squares / fit.n_used;
    s.n_parameters = 1;
    fit.coefficients.assign(options.given.begin(), options.given.end());
    fit.std_errors.assign(fit.coefficients.size(), FitSummary::kNone);
    if (estimator.exact_already()) return;
    s.aic = -2 * s.log_likelihood + 2;
    s.bic = -2 * s.log_likelihood + std::log(fit.n_used);
    s.aicc = fit.n_used > 2 ? s.aic + 4.0 / (fit.n_used - 2) : s.aic;
}

// Free parameters of the order with those of its autoregressive or moving average part alone, from
// the conditional estimate of that part, and 0 for the others.
std::vector<double> start_of_part(ArimaEstimator& estimator, const ArimaOrder& order,
                                  bool autoregressive, const StopSignal& stop) {
    ArimaOrder part = order;
    (autoregressive ? part.q : part.p) = 0;
    (autoregressive ? part.Q : part.P) = 0;
    const ArmaEstimate found = estimator.conditional(part, kRoughTolerance, stop);
    std::vector<double> start(at(order.n_arma()), 0.0);
    if (found.status != ForecastStatus::ok) return {};
    const std::vector<double> inside = ArimaEstimator::inside(part, found.free);
    const auto from = inside.begin();
    if (autoregressive) {
        std::copy(from, from + order.p, start.begin());
        std::copy(from + order.p, from + order.p + order.P, start.begin() + order.p + order.q);
    } else {
        std::copy(from, from + order.q, start.begin() + order.p);
        std::copy(from + order.q, from + order.q + order.Q,
                  start.begin() + order.p + order.q + order.P);
    }
    return start;
}

ArmaEstimate search(ArimaEstimator& estimator, const ArimaOptions& options, const ArimaOrder& order,
                    const StopSignal& stop) {
    std::vector<std::vector<double>> starts;
    ArmaEstimate rough = estimator.conditional(order, kRoughTolerance, stop);
    if (rough.status == ForecastStatus::stopped) return rough;
    if (rough.status == ForecastStatus::ok) {
        starts.push_back(ArimaEstimator::inside(order, rough.free));
    }
    if (options.several_starts || starts.empty()) starts.emplace_back(at(order.n_arma()), 0.0);
    if (options.several_starts && order.p + order.P > 0 && order.q + order.Q > 0) {
        for (const bool autoregressive : {true, false}) {
            starts.push_back(start_of_part(estimator, order, autoregressive, stop));
        }
    }
    ArmaEstimate best;
    best.objective = std::numeric_limits<double>::infinity();
    best.status = ForecastStatus::not_converged;
    for (const std::vector<double>& start : starts) {
        if (start.empty() && order.n_arma() > 0) continue;
        ArmaEstimate found = estimator.exact(order, start, kTolerance, stop);
        if (found.status == ForecastStatus::stopped) return found;
        if (found.objective < best.objective) best = std::move(found);
    }
    if (best.free.empty()) best.free.assign(at(order.n_arma()), 0.0);
    return best;
}

}  // namespace

ArimaFit fit_arima(const SeriesView& series, const ArimaOptions& options, const StopSignal& stop) {
    ArimaFit fit;
    fit.order = options.order;
    fit.order.m = std::max(1, series.season_length);
    fit.has_constant = options.constant && fit.order.d + fit.order.D <= 1;
    fit.n_regressors = options.n_regressors;
    FitSummary& s = fit.summary;
    const std::size_t n_given = options.given.size();
    if (!fit.order.valid() || options.n_regressors < 0 ||
        options.regressors.size() != at(options.n_regressors) * series.y.size() ||
        (n_given != 0 &&
         n_given != at(fit.order.n_arma() + (fit.has_constant ? 1 : 0) + options.n_regressors))) {
        s.status = ForecastStatus::not_admissible;
        return fit;
    }
    if (n_given != 0) {
        ArimaOptions given = options;
        given.order = fit.order;
        fit_given(series, given, fit);
        return fit;
    }
    ArimaEstimator estimator;
    s.status = estimator.prepare(series, fit.order, fit.has_constant, options.regressors,
                                 options.n_regressors);
    if (s.status != ForecastStatus::ok) return fit;
    if (estimator.n_used() <= fit.order.n_arma() + estimator.n_kept()) {
        s.status = ForecastStatus::too_short;
        return fit;
    }
    std::vector<double> arma(at(fit.order.n_arma()), 0.0);
    if (!estimator.exact_already()) {
        const ArmaEstimate best = search(estimator, options, fit.order, stop);
        s.status = best.status;
        if (s.status == ForecastStatus::stopped) return fit;
        arma = ArimaEstimator::coefficients(fit.order, best.free);
    }
    if (!estimator.finish(series, arma, options.std_errors, stop, fit)) {
        s.status = ForecastStatus::overflow;
    }
    return fit;
}

namespace {

// phi(B) Phi(B^m) and theta(B) Theta(B^m).
void expand(const ArimaFit& fit, LagPolynomial& ar, LagPolynomial& ma) {
    const ArimaOrder& o = fit.order;
    ar.resize(o.p, o.P, o.m);
    ma.resize(o.q, o.Q, o.m);
    std::vector<double> negative;
    negative.reserve(at(o.p + o.P));
    for (int i = 0; i < o.p; ++i) negative.push_back(-fit.coefficient(i));
    for (int i = 0; i < o.P; ++i) negative.push_back(-fit.coefficient(o.p + o.q + i));
    ar.multiply(negative.data(), negative.data() + o.p);
    ma.multiply(fit.coefficients.data() + o.p, fit.coefficients.data() + o.p + o.q + o.P);
}

// Constant and regressors at step j of h.
double level_at(const ArimaFit& fit, std::span<const double> future, std::size_t j,
                std::size_t h) noexcept {
    std::size_t c = at(fit.order.n_arma());
    double level = 0;
    if (fit.has_constant) {
        const double constant = fit.coefficients[c++];
        const bool drift = fit.order.d + fit.order.D > 0;
        const double step = static_cast<double>(at(fit.n) + j + 1);
        if (!std::isnan(constant)) level += drift ? constant * step : constant;
    }
    for (std::size_t k = 0; k < at(fit.n_regressors); ++k) {
        const double b = fit.coefficients[c + k];
        if (!std::isnan(b)) level += b * future[k * h + j];
    }
    return level;
}

// What the error of the state at n + 1 does to the variance of the steps 1, 2, ..: the state is read
// by Z T^j in w, and by the sums of these that undo the differences in y.
class StateError {
  public:
    StateError(const ArimaFit& fit, const std::vector<double>& phi, const std::vector<double>& undo)
        : fit_(fit), phi_(phi), undo_(undo), reading_(phi.size(), 0.0), next_(phi.size(), 0.0) {
        reading_[0] = 1;
    }

    double variance_of_next_step() {
        if (fit_.covariance.empty()) return 0;
        const std::size_t r = phi_.size(), j = weights_.size() / r;
        weights_.insert(weights_.end(), reading_.begin(), reading_.end());
        double* const mine = weights_.data() + j * r;
        for (std::size_t k = 0; k < undo_.size() && k < j; ++k) {
            for (std::size_t i = 0; i < r && undo_[k] != 0; ++i) {
                mine[i] += undo_[k] * weights_[(j - 1 - k) * r + i];
            }
        }
        double variance = 0;
        for (std::size_t i = 0; i < r; ++i) {
            double row = 0;
            for (std::size_t k = 0; k < r; ++k) row += fit_.covariance[i * r + k] * mine[k];
            variance += mine[i] * row;
        }
        // reading T: the first entry collects phi, the others move up by one.
        next_[0] = 0;
        for (std::size_t i = 0; i < r; ++i) next_[0] += reading_[i] * phi_[i];
        for (std::size_t i = 1; i < r; ++i) next_[i] = reading_[i - 1];
        reading_.swap(next_);
        return std::fmax(variance, 0.0);
    }

  private:
    const ArimaFit& fit_;
    const std::vector<double>& phi_;
    const std::vector<double>& undo_;
    std::vector<double> reading_, next_, weights_;
};

}  // namespace

// The forecast of the ARMA process follows the state; those of the series add up its differences.
// Error of step h: that of the state at n + 1, carried through both, and the shocks since, by the
// psi weights (Box & Jenkins 1970, 5.1).
ForecastStatus forecast_arima(const ArimaFit& fit, std::span<const double> future,
                              const ForecastOut& out) {
    const std::size_t h = out.mean.size(), r = fit.state.size();
    if (fit.n_used == 0 || r == 0 || out.variance.size() != h ||
        future.size() != h * at(fit.n_regressors)) {
        return ForecastStatus::not_admissible;
    }
    LagPolynomial ar, ma;
    expand(fit, ar, ma);
    std::vector<double> phi(r, 0.0);
    for (std::size_t k = 0; k < ar.c.size(); ++k) phi[k] = -ar.c[k];
    const std::vector<double> undo = difference_coefficients(fit.order);
    std::vector<double> state = fit.state, eta(fit.last), psi(h, 0.0), arma_psi(h, 0.0);
    StateError state_error(fit, phi, undo);
    double shocks = 0;
    bool finite = true;
    for (std::size_t j = 0; j < h; ++j) {
        double mean = state[0], shock = j == 0 ? 1 : j <= ma.c.size() ? ma.c[j - 1] : 0;
        for (std::size_t i = 0; i < ar.c.size() && i < j; ++i) {
            shock += phi[i] * arma_psi[j - 1 - i];
        }
        arma_psi[j] = shock;
        for (std::size_t k = 0; k < undo.size(); ++k) {
            mean += undo[k] * eta[eta.size() - 1 - k];
            if (k < j) shock += undo[k] * psi[j - 1 - k];
        }
        eta.push_back(mean);
        psi[j] = shock;
        shocks += shock * shock;
        out.mean[j] = mean + level_at(fit, future, j, h);
        out.variance[j] = fit.summary.sigma2 * (shocks + state_error.variance_of_next_step());
        finite = finite && std::isfinite(out.mean[j]) && std::isfinite(out.variance[j]);
        const double first = state[0];
        for (std::size_t i = 0; i < r; ++i) {
            state[i] = phi[i] * first + (i + 1 < r ? state[i + 1] : 0);
        }
    }
    return finite ? ForecastStatus::ok : ForecastStatus::overflow;
}

namespace {

// The filter at rest or not, one value further: state and, while it is there, covariance.
class FilterStep {
  public:
    explicit FilterStep(const ArimaFit& fit)
        : phi_(fit.state.size(), 0.0), shock_(phi_.size(), 0.0) {
        LagPolynomial ar, ma;
        expand(fit, ar, ma);
        for (std::size_t k = 0; k < ar.c.size() && k < phi_.size(); ++k) phi_[k] = -ar.c[k];
        shock_[0] = 1;
        for (std::size_t k = 0; k < ma.c.size() && k + 1 < shock_.size(); ++k) {
            shock_[k + 1] = ma.c[k];
        }
        gain_ = shock_;
    }

    // w: the differenced value.
    void move(double w, std::vector<double>& state, std::vector<double>& covariance) {
        const std::size_t r = phi_.size();
        if (!covariance.empty()) condition(covariance);
        const double v = w - state[0];
        for (std::size_t i = 0; i < r; ++i) state[i] += gain_[i] * v;
        const double first = state[0];
        for (std::size_t i = 0; i < r; ++i) {
            state[i] = phi_[i] * first + (i + 1 < r ? state[i + 1] : 0);
        }
    }

  private:
    // Gain of this step; the covariance becomes that of the next one, without its shock.
    void condition(std::vector<double>& p) {
        const std::size_t r = phi_.size();
        for (std::size_t i = 0; i < r; ++i) {
            for (std::size_t j = 0; j < r; ++j) p[i * r + j] += shock_[i] * shock_[j];
        }
        const double f = p[0];
        column_.resize(r);
        for (std::size_t i = 0; i < r; ++i) column_[i] = p[i * r];
        for (std::size_t i = 0; i < r; ++i) gain_[i] = column_[i] / f;
        for (std::size_t i = 0; i < r; ++i) {
            for (std::size_t j = 0; j < r; ++j) p[i * r + j] -= column_[i] * gain_[j];
        }
        const auto at_or_0 = [&p, r](std::size_t i, std::size_t j) {
            return i < r && j < r ? p[i * r + j] : 0.0;
        };
        const double corner = p[0];
        for (std::size_t j = 0; j < r; ++j) column_[j] = at_or_0(0, j + 1);
        double largest = 0;
        // Row by row: what a row needs stands in itself, the next one, and the first one's copy.
        for (std::size_t i = 0; i < r; ++i) {
            const double below = at_or_0(i + 1, 0);
            for (std::size_t j = 0; j < r; ++j) {
                p[i * r + j] = phi_[i] * phi_[j] * corner + phi_[i] * column_[j] + phi_[j] * below +
                               at_or_0(i + 1, j + 1);
                largest = std::fmax(largest, std::fabs(p[i * r + j]));
            }
        }
        if (largest < kRest) {
            p.clear();
            gain_ = shock_;
        }
    }

    static constexpr double kRest = 1e-15;  // of the shock's variance
    std::vector<double> phi_, shock_, gain_, column_;
};

}  // namespace

bool update_arima(ArimaFit& fit, std::span<const double> y, std::span<const double> x) {
    if (fit.n_used == 0 || fit.state.empty() || x.size() != y.size() * at(fit.n_regressors)) {
        return false;
    }
    FilterStep step(fit);
    const std::vector<double> undo = difference_coefficients(fit.order);
    std::vector<double> eta = fit.last, state = fit.state, covariance = fit.covariance;
    for (std::size_t t = 0; t < y.size(); ++t) {
        const double value = y[t] - level_at(fit, x, t, y.size());
        double w = value;
        for (std::size_t k = 0; k < undo.size(); ++k) w -= undo[k] * eta[eta.size() - 1 - k];
        if (!std::isfinite(w)) return false;
        eta.push_back(value);
        step.move(w, state, covariance);
        if (!std::isfinite(state[0])) return false;
    }
    const auto finite = [](double v) { return std::isfinite(v); };
    if (!std::all_of(state.begin(), state.end(), finite) ||
        !std::all_of(covariance.begin(), covariance.end(), finite)) {
        return false;
    }
    fit.last.assign(eta.end() - static_cast<std::ptrdiff_t>(fit.last.size()), eta.end());
    fit.state = std::move(state);
    fit.covariance = std::move(covariance);
    fit.n += static_cast<int>(y.size());
    fit.n_used += static_cast<int>(y.size());
    return true;
}

bool arima_one_step(const ArimaFit& fit, std::span<const double> y, std::span<const double> x,
                    std::span<double> fitted) {
    const std::size_t n = y.size(), lost = at(fit.order.n_lost());
    std::fill(fitted.begin(), fitted.end(), FitSummary::kNone);
    if (n <= lost || x.size() != n * at(fit.n_regressors)) return false;
    // level_at() counts from behind the fit's series.
    ArimaFit from_start;
    from_start.order = fit.order;
    from_start.has_constant = fit.has_constant;
    from_start.n_regressors = fit.n_regressors;
    from_start.coefficients = fit.coefficients;
    std::vector<double> eta(n);
    double largest = 0;
    for (std::size_t t = 0; t < n; ++t) {
        eta[t] = y[t] - level_at(from_start, x, t, n);
        if (!std::isfinite(eta[t])) return false;
        largest = std::fmax(largest, std::fabs(eta[t]));
    }
    int exponent = 0;
    (void)std::frexp(largest, &exponent);
    for (double& v : eta) v = std::ldexp(v, -exponent);
    const std::vector<double> w = difference(eta, fit.order);
    ArmaFilter filter;
    filter.set_series(w.data(), static_cast<int>(w.size()), 1);
    filter.set_order(fit.order);
    filter.set_coefficients(fit.coefficients.data());
    if (!filter.exact()) return false;
    const double* u = filter.standardized(0);
    for (std::size_t t = lost; t < n; ++t) fitted[t] = y[t] - std::ldexp(u[t - lost], exponent);
    return true;
}

LinearRecursion arima_recursion(const ArimaFit& fit) {
    LagPolynomial ar, ma;
    expand(fit, ar, ma);
    const std::vector<double> undo = difference_coefficients(fit.order);
    // (1 + sum ar_k B^k)(1 - sum undo_k B^k)
    std::vector<double> whole(1 + ar.c.size() + undo.size(), 0.0);
    for (std::size_t i = 0; i <= ar.c.size(); ++i) {
        const double a = i == 0 ? 1 : ar.c[i - 1];
        whole[i] += a;
        for (std::size_t k = 0; k < undo.size() && a != 0; ++k) whole[i + k + 1] -= a * undo[k];
    }
    LinearRecursion out;
    for (std::size_t k = 1; k < whole.size(); ++k) {
        if (whole[k] != 0) out.ar.push_back({k, -whole[k]});
    }
    for (std::size_t k = 0; k < ma.c.size(); ++k) {
        if (ma.c[k] != 0) out.ma.push_back({k + 1, ma.c[k]});
    }
    return out;
}

std::vector<std::string> coefficient_names(const ArimaFit& fit) {
    std::vector<std::string> names;
    const auto add = [&names](const char* name, int count) {
        for (int i = 1; i <= count; ++i) names.push_back(name + std::to_string(i));
    };
    add("ar", fit.order.p);
    add("ma", fit.order.q);
    add("sar", fit.order.P);
    add("sma", fit.order.Q);
    if (fit.has_constant) {
        names.emplace_back(fit.order.d + fit.order.D > 0 ? "drift" : "intercept");
    }
    add("xreg", fit.n_regressors);
    return names;
}

}  // namespace many::core
