// Forecasts of ETS: the mean and variance of the classes that have them, the plain recursion,
// simulation. Hyndman, Koehler, Ord & Snyder (2008), chapter 6; Hyndman, Koehler, Ord & Snyder
// (2005), J. Forecasting 24.
//
// With x = (l, b), w = (1, phi), F = [1 phi; 0 phi], g = (alpha, beta), relative errors e of variance v:
//  class 1   var_h = sigma2 (1 + sum_{j<h} c_j^2),  c_j = w F^(j-1) g + gamma [m divides j];
//  class 2   theta_h = mu_h^2 + v sum_{j<h} c_j^2 theta_(h-j),  var_h = (1 + v) theta_h - mu_h^2;
//  class 3   y_h = (w x) s (1 + e), where x moves by F + g w e and the season's s by 1 + gamma e at the
//            steps that are whole seasons before h: the first two moments of (w x) s follow from those
//            of x s, one step after the other (Gaussian e: E e^3 = 0, E e^4 = 3 v^2).
// Symbols: as in ets.h.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "core/forecasters/ets_step.h"
#include "core/selection/split.h"

namespace many::core {

namespace {

constexpr double kNone = FitSummary::kNone;
// Relative errors of more than the forecast itself are not Gaussian; moments of products of them
// grow without bound.
constexpr double kMostRelative = 1;

bool all_finite(std::span<const double> values) noexcept {
    return std::all_of(values.begin(), values.end(), [](double v) { return std::isfinite(v); });
}

// c_1 .. c_(h-1) into c[1..]; additive trend and season or none.
void impulse_responses(const EtsFit& fit, std::span<double> c) {
    const EtsParameters& p = fit.parameters;
    const double phi = fit.form.damped() ? p.phi : 1, beta = fit.form.has_trend() ? p.beta : 0,
                 gamma = fit.form.has_season() ? p.gamma : 0;
    double growth = 0, power = 1;  // phi + .. + phi^j
    for (std::size_t j = 1; j < c.size(); ++j) {
        power *= phi;
        growth += power;
        const bool whole =
            fit.form.has_season() && j % static_cast<std::size_t>(fit.season_length) == 0;
        c[j] = p.alpha + beta * growth + (whole ? gamma : 0);
    }
}

void additive_variance(const EtsFit& fit, std::span<double> variance) {
    std::vector<double> c(variance.size());
    impulse_responses(fit, c);
    double sum = 1;
    for (std::size_t h = 0; h < variance.size(); ++h) {
        if (h > 0) sum += c[h] * c[h];
        variance[h] = fit.summary.sigma2 * sum;
    }
}

// Of the magnitude that squares are scaled by, so that none of them overflows.
int exponent_of(double value) noexcept {
    int exponent = 0;
    if (std::isfinite(value)) (void)std::frexp(value, &exponent);
    return exponent;
}

void relative_variance(const EtsFit& fit, std::span<const double> mean,
                       std::span<double> variance) {
    const std::size_t horizon = variance.size();
    const double v = fit.summary.sigma2;
    const int exponent = exponent_of(mean[0]);
    std::vector<double> c(horizon), theta(horizon);
    impulse_responses(fit, c);
    for (std::size_t h = 0; h < horizon; ++h) {
        const double mu = std::ldexp(mean[h], -exponent);
        double sum = 0;
        for (std::size_t j = 1; j <= h; ++j) sum += c[j] * c[j] * theta[h - j];
        theta[h] = mu * mu + v * sum;
        // (1 + v) theta - mu^2, without the difference of equals.
        variance[h] = std::ldexp(v * theta[h] + v * sum, 2 * exponent);
    }
}

// The first two moments of x s: mean (x1, x2), second [q11 q12; q12 q22].
struct Moments {
    double x1, x2, q11, q12, q22;
};

// One step; of a whole season before h: s moves too.
void move_moments(const EtsParameters& p, double beta, double phi, double gamma, double v,
                  Moments& m) noexcept {
    // A = F, B = g w: A q A', A q B' + B q A', B q B'.
    const double f1 = m.x1 + phi * m.x2, f2 = phi * m.x2;  // F x; w x = f1
    const double a11 = m.q11 + phi * (2 * m.q12 + phi * m.q22), a12 = phi * (m.q12 + phi * m.q22),
                 a22 = phi * phi * m.q22;
    const double w1 = a11, w2 = a12, ww = a11;  // (F q w'), w q w'
    const double alpha = p.alpha;
    const double linear = 2 * gamma * v, square = v + 3 * gamma * gamma * v * v,
                 plain = 1 + gamma * gamma * v;
    m.x1 = f1 + gamma * v * alpha * f1;
    m.x2 = f2 + gamma * v * beta * f1;
    m.q11 = plain * a11 + linear * 2 * w1 * alpha + square * alpha * alpha * ww;
    m.q12 = plain * a12 + linear * (w1 * beta + w2 * alpha) + square * alpha * beta * ww;
    m.q22 = plain * a22 + linear * 2 * w2 * beta + square * beta * beta * ww;
}

void ratio_season_moments(const EtsFit& fit, std::span<double> mean, std::span<double> variance) {
    const EtsParameters& p = fit.parameters;
    const double phi = fit.form.damped() ? p.phi : 1, beta = fit.form.has_trend() ? p.beta : 0,
                 v = fit.summary.sigma2, s_gamma = p.gamma;
    const std::size_t horizon = mean.size(), m = static_cast<std::size_t>(fit.season_length);
    const int exponent = exponent_of(fit.last.level);
    for (std::size_t j = 0; j < std::min(m, horizon); ++j) {
        const double l = std::ldexp(fit.last.level, -exponent),
                     b = std::ldexp(fit.last.trend, -exponent), s = fit.last.seasonal[j];
        Moments at{l * s, b * s, l * s * l * s, l * s * b * s, b * s * b * s};
        for (std::size_t h = 0; h < horizon; ++h) {  // step h + 1
            const bool whole = h % m == j;
            if (whole) {
                const double mu = at.x1 + phi * at.x2;
                const double square = at.q11 + phi * (2 * at.q12 + phi * at.q22);
                mean[h] = std::ldexp(mu, exponent);
                const double spread = (1 + v) * square - mu * mu;
                variance[h] = std::isfinite(spread)
                                  ? std::ldexp(std::max(spread, 0.0), 2 * exponent)
                                  : std::numeric_limits<double>::infinity();
            }
            move_moments(p, beta, phi, whole ? s_gamma : 0, v, at);
        }
    }
}

// As Marsaglia's polar method needs a varying number of draws, Box and Muller's.
class Gaussian {
  public:
    explicit Gaussian(std::uint64_t seed) noexcept
        : state_(detail::mix64(seed ^ 0x9e3779b97f4a7c15ULL)) {}
    double operator()() noexcept {
        if (has_spare_) {
            has_spare_ = false;
            return spare_;
        }
        const double radius = std::sqrt(-2 * std::log(uniform())),
                     angle = 2 * std::numbers::pi * uniform();
        spare_ = radius * std::sin(angle);
        has_spare_ = true;
        return radius * std::cos(angle);
    }

  private:
    double uniform() noexcept {  // in (0, 1)
        state_ += 0x9e3779b97f4a7c15ULL;
        return (static_cast<double>(detail::mix64(state_) >> 11) + 0.5) * 0x1p-53;
    }
    std::uint64_t state_;
    double spare_ = 0;
    bool has_spare_ = false;
};

constexpr double kSmallest = 1e-300;

// One path; errors empty: of 0.
template <EtsTrendKind T, EtsSeason S>
void run_path(const EtsFit& fit, std::span<const double> errors, std::vector<double>& season,
              std::span<double> out) {
    constexpr bool kRatioTrend =
        T == EtsTrendKind::multiplicative || T == EtsTrendKind::multiplicative_damped;
    const EtsParameters& p = fit.parameters;
    const double beta = T == EtsTrendKind::none ? 0 : p.beta, phi = fit.form.damped() ? p.phi : 1,
                 gamma = S == EtsSeason::none ? 0 : p.gamma;
    const bool relative = fit.form.error == EtsError::multiplicative;
    double l = fit.last.level, b = fit.last.trend, none = 0;
    season = fit.last.seasonal;
    std::size_t j = 0;
    for (std::size_t i = 0; i < out.size(); ++i) {
        double& s = S == EtsSeason::none ? none : season[j];
        const EtsPrediction at = predict_step<T, S>(l, b, s, phi);
        const double e = errors.empty() ? 0 : errors[i];
        double& y = out[i];
        y = relative ? at.mu * (1 + e) : at.mu + e;
        if (!errors.empty()) {
            if (fit.form.needs_positive() && !(y > kSmallest)) y = kSmallest;
            update_step<T, S>(at, y, p.alpha, beta, gamma, l, b, s);
            if constexpr (S == EtsSeason::multiplicative) {
                s = std::max(s, kSmallest);
                l = std::max(l, kSmallest);
            }
            if constexpr (kRatioTrend) {
                l = std::max(l, kSmallest);
                b = std::max(b, kSmallest);
            }
        } else {
            l = at.q;
            b = at.growth;
        }
        if (S != EtsSeason::none && ++j == season.size()) j = 0;
    }
}

void run(const EtsFit& fit, std::span<const double> errors, std::vector<double>& season,
         std::span<double> out) {
    with_shape(fit.form,
               [&]<EtsTrendKind T, EtsSeason S>() { run_path<T, S>(fit, errors, season, out); });
}

}  // namespace

ForecastStatus point_forecast_ets(const EtsFit& fit, std::span<double> mean) {
    std::vector<double> season;
    run(fit, {}, season, mean);
    return all_finite(mean) ? ForecastStatus::ok : ForecastStatus::overflow;
}

ForecastStatus forecast_ets(const EtsFit& fit, const ForecastOut& out) {
    const ForecastStatus status = point_forecast_ets(fit, out.mean);
    std::fill(out.variance.begin(), out.variance.end(), kNone);
    if (status != ForecastStatus::ok || out.mean.empty()) return status;
    const EtsForm& form = fit.form;
    const bool additive_parts =
        !form.multiplicative_trend() && form.season != EtsSeason::multiplicative;
    if (additive_parts) {
        if (form.error == EtsError::additive) {
            additive_variance(fit, out.variance);
        } else {
            relative_variance(fit, out.mean, out.variance);
        }
    } else if (form.error == EtsError::multiplicative && !form.multiplicative_trend() &&
               fit.summary.sigma2 <= kMostRelative) {
        ratio_season_moments(fit, out.mean, out.variance);
    }
    return all_finite(out.mean) ? ForecastStatus::ok : ForecastStatus::overflow;
}

ForecastStatus simulate_ets(const EtsFit& fit, int horizon, int n_paths, std::uint64_t seed,
                            std::span<double> paths) {
    Gaussian gaussian(seed);
    const std::size_t width = static_cast<std::size_t>(horizon);
    const double sigma = std::sqrt(fit.summary.sigma2);
    std::vector<double> season, errors(width);
    for (std::size_t i = 0; i < static_cast<std::size_t>(n_paths); ++i) {
        for (double& e : errors) e = sigma * gaussian();
        run(fit, errors, season, paths.subspan(i * width, width));
    }
    return all_finite(paths) ? ForecastStatus::ok : ForecastStatus::overflow;
}

void ets_path(const EtsFit& fit, std::span<const double> errors, std::vector<double>& season,
              std::span<double> path) {
    run(fit, errors, season, path);
}

}  // namespace many::core
