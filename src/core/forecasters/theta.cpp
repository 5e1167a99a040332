#include "core/forecasters/theta.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/forecasters/seasonality.h"

namespace many::core {

namespace {

constexpr double kSeasonalLimit = 1.6448536269514722;  // 95 % quantile of the normal distribution
constexpr double kAlphaLow = 0.1, kAlphaHigh = 0.99;
constexpr int kFewest = 4;

// The line through the values seen so far, as they come: A_t, B_t and the mean.
struct RunningLine {
    double intercept = 0, slope = 0, mean = 0;
    void add(double t, double z) noexcept {  // t = 1, 2, ..
        if (t > 1) slope = ((t - 2) * slope + 6 / t * (z - mean)) / (t + 1);
        mean += (z - mean) / t;
        intercept = mean - (t + 1) / 2 * slope;
    }
};

// What omega multiplies in mu_t. power = c^(t-1).
double trend_part(double intercept, double slope, double alpha, double power) noexcept {
    return power * intercept + (1 - power * (1 - alpha)) / alpha * slope;
}

struct Profile {
    double squares = 0, initial_level = 0, omega = 0, level = 0;
};

// Least squares of z on l_0 and omega given alpha. mu_t = known_t + c^(t-1) l_0 + omega d_t.
Profile profile(std::span<const double> z, const RunningLine& whole, bool dynamic,
                double alpha) noexcept {
    const double c = 1 - alpha;
    double known = 0, power = 1;
    double aa = 0, ab = 0, bb = 0, ra = 0, rb = 0, rr = 0;
    RunningLine line;
    for (std::size_t i = 0; i < z.size(); ++i) {
        const double t = static_cast<double>(i + 1);
        const double d = dynamic ? trend_part(line.intercept, line.slope, alpha, power)
                                 : trend_part(whole.intercept, whole.slope, alpha, power);
        if (!dynamic || i >= 2) {
            const double r = z[i] - known;
            aa += power * power;
            ab += power * d;
            bb += d * d;
            ra += r * power;
            rb += r * d;
            rr += r * r;
        }
        known += alpha * (z[i] - known);
        if (dynamic) line.add(t, z[i]);
        power *= c;
    }
    Profile out;
    const double determinant = aa * bb - ab * ab;
    out.omega = determinant > 1e-12 * aa * bb ? (aa * rb - ab * ra) / determinant : 0;
    out.omega = std::clamp(out.omega, 0.0, 1.0);
    out.initial_level = (ra - out.omega * ab) / aa;
    const double a = out.initial_level, w = out.omega;
    out.squares =
        std::max(rr - 2 * (a * ra + w * rb) + a * a * aa + 2 * a * w * ab + w * w * bb, 0.0);
    out.level = known + power * out.initial_level;
    return out;
}

// The least of f on [kAlphaLow, kAlphaHigh]: a grid, then golden sections around its best.
template <class F>
double search_alpha(const F& f) {
    constexpr int kGrid = 24;
    constexpr double kGolden = 0.6180339887498949, kWidth = (kAlphaHigh - kAlphaLow) / kGrid;
    int best = 0;
    double least = f(kAlphaLow);
    for (int i = 1; i <= kGrid; ++i) {
        const double value = f(kAlphaLow + i * kWidth);
        if (value < least) {
            least = value;
            best = i;
        }
    }
    double low = std::max(kAlphaLow + (best - 1) * kWidth, kAlphaLow),
           high = std::min(kAlphaLow + (best + 1) * kWidth, kAlphaHigh);
    double a = high - kGolden * (high - low), b = low + kGolden * (high - low), fa = f(a),
           fb = f(b);
    for (int i = 0; i < 40 && high - low > 1e-9; ++i) {
        if (fa <= fb) {
            high = b;
            b = a;
            fb = fa;
            a = high - kGolden * (high - low);
            fa = f(a);
        } else {
            low = a;
            a = b;
            fa = fb;
            b = low + kGolden * (high - low);
            fb = f(b);
        }
    }
    const double middle = (low + high) / 2, grid = kAlphaLow + best * kWidth;
    return f(middle) <= least ? middle : grid;  // the ends are points of the grid
}

// Fills out.seasonal and z. A figure with a value of nearly 0 cannot be divided by: not adjusted.
void adjust(const SeriesView& series, bool test, std::vector<double>& z, ThetaFit& out) {
    const auto y = series.y;
    const std::size_t n = y.size(), m = static_cast<std::size_t>(std::max(series.season_length, 1));
    z.assign(y.begin(), y.end());
    if (!test || m < 2 || n <= 2 * m || !is_seasonal(series, kSeasonalLimit)) return;
    std::vector<double> figure(m);
    const bool additive = !(*std::min_element(y.begin(), y.end()) > 0);
    if (!seasonal_figure(series, !additive, figure)) return;
    if (!additive && *std::min_element(figure.begin(), figure.end()) < 1e-4) return;
    for (std::size_t t = 0; t < n; ++t) {
        z[t] = additive ? y[t] - figure[t % m] : y[t] / figure[t % m];
    }
    out.season_length = series.season_length;
    out.additive_season = additive;
    for (std::size_t j = 0; j < m; ++j) out.seasonal.push_back(figure[(n + j) % m]);
}

ForecastStatus fit_standard(std::span<const double> z, const ThetaOptions& options,
                            const StopSignal& stop, EtsWorkspace& workspace, ThetaFit& out) {
    EtsFit ses;
    EtsOptions given;
    given.parameters.alpha = options.alpha;
    const ForecastStatus status = fit_ets({z, 1}, EtsForm{}, given, stop, workspace, ses);
    if (status != ForecastStatus::ok && status != ForecastStatus::not_converged) return status;
    out.alpha = ses.parameters.alpha;
    out.level = ses.last.level;
    out.initial_level = ses.initial.level;
    out.summary.n_parameters = 3;  // alpha, the first level, the variance
    out.summary.sigma2 = ses.summary.sigma2;
    return status;
}

void fit_optimised(std::span<const double> z, const ThetaOptions& options, const RunningLine& line,
                   ThetaFit& out) {
    const bool dynamic = out.kind == ThetaKind::dynamic_optimised;
    const auto squares = [&](double alpha) { return profile(z, line, dynamic, alpha).squares; };
    out.alpha = std::isnan(options.alpha) ? search_alpha(squares) : options.alpha;
    const Profile best = profile(z, line, dynamic, out.alpha);
    out.level = best.level;
    out.initial_level = best.initial_level;
    out.omega = best.omega;
    out.theta = 1 / (1 - best.omega);
    out.summary.n_parameters = 4;
    out.summary.sigma2 = best.squares / std::max(out.n - 3, 1);
}

// A model that runs on behind the series.
struct Run {
    double alpha = 0, omega = 0, level = 0, power = 1;
    bool dynamic = false;
    RunningLine line = {};
    double t = 1;  // of the value to come

    [[nodiscard]] double predict() const noexcept {
        return level + omega * trend_part(line.intercept, line.slope, alpha, power);
    }
    void move(double z) noexcept {
        level += alpha * (z - level);
        if (dynamic) line.add(t, z);
        power *= 1 - alpha;
        ++t;
    }
};

Run run_behind(const ThetaFit& fit, std::size_t ahead) noexcept {
    const double n = static_cast<double>(fit.n) + static_cast<double>(ahead);
    return {fit.alpha,
            fit.omega,
            fit.level,
            std::pow(1 - fit.alpha, n),
            fit.kind == ThetaKind::dynamic_optimised,
            {fit.intercept, fit.slope, fit.mean},
            n + 1};
}

void add_dynamic_variance(const ThetaFit& fit, std::span<double> variance) {
    const std::size_t horizon = variance.size();
    std::fill(variance.begin(), variance.end(), fit.summary.sigma2);
    for (std::size_t i = 0; i + 1 < horizon;
         ++i) {  // an error of 1 at step i + 1 of an empty state
        Run run = run_behind(fit, i);
        run.level = 0;
        run.line = {};
        double error = 1;
        run.move(error);
        for (std::size_t h = i + 1; h < horizon; ++h) {
            const double response = run.predict();
            variance[h] += fit.summary.sigma2 * response * response;
            run.move(response);
        }
    }
}

}  // namespace

ForecastStatus fit_theta(const SeriesView& series, const ThetaOptions& options,
                         const StopSignal& stop, EtsWorkspace& workspace, ThetaFit& out) {
    out = {};
    out.kind = options.kind;
    out.n = series.size();
    const auto finish = [&](ForecastStatus status) {
        out.summary.status = status;
        return status;
    };
    if (out.n < kFewest) return finish(ForecastStatus::too_short);
    double largest = 0;
    for (const double v : series.y) {
        if (!std::isfinite(v)) return finish(ForecastStatus::overflow);
        largest = std::max(largest, std::fabs(v));
    }
    // Scaled by a power of two: no sum of squares overflows. The result is scaled back.
    int exponent = 0;
    if (largest > 0) (void)std::frexp(largest, &exponent);
    std::vector<double> scaled(series.y.begin(), series.y.end()), z;
    for (double& v : scaled) v = std::ldexp(v, -exponent);
    adjust({scaled, series.season_length}, options.seasonal_test, z, out);
    RunningLine line;
    for (std::size_t i = 0; i < z.size(); ++i) line.add(static_cast<double>(i + 1), z[i]);
    out.intercept = line.intercept;
    out.slope = line.slope;
    out.mean = line.mean;
    if (out.kind == ThetaKind::standard) {
        const ForecastStatus status = fit_standard(z, options, stop, workspace, out);
        if (status != ForecastStatus::ok && status != ForecastStatus::not_converged) {
            return finish(status);
        }
    } else {
        fit_optimised(z, options, line, out);
    }
    for (double* v : {&out.level, &out.initial_level, &out.intercept, &out.slope, &out.mean}) {
        *v = std::ldexp(*v, exponent);
    }
    if (out.additive_season) {
        for (double& s : out.seasonal) s = std::ldexp(s, exponent);
    }
    out.summary.sigma2 = std::ldexp(out.summary.sigma2, 2 * exponent);
    return finish(ForecastStatus::ok);
}

ForecastStatus forecast_theta(const ThetaFit& fit, const ForecastOut& out, bool scaled_variance) {
    const double drift = fit.slope / 2, sigma2 = fit.summary.sigma2, alpha = fit.alpha;
    const bool standard = fit.kind == ThetaKind::standard;
    Run run = run_behind(fit, 0);
    // What the drift has been worth at the end of the series.
    const double past = (1 - std::pow(1 - alpha, fit.n)) / alpha;
    for (std::size_t i = 0; i < out.mean.size(); ++i) {
        const double h = static_cast<double>(i);
        if (standard) {
            out.mean[i] = fit.level + drift * (h + past);
        } else {
            out.mean[i] = run.predict();
            run.move(out.mean[i]);
        }
        out.variance[i] = sigma2 * (1 + h * alpha * alpha);
    }
    if (fit.kind == ThetaKind::dynamic_optimised) add_dynamic_variance(fit, out.variance);
    bool finite = true;
    for (std::size_t i = 0; i < out.mean.size(); ++i) {
        if (!fit.seasonal.empty()) {
            const double s = fit.seasonal[i % fit.seasonal.size()];
            out.mean[i] = fit.additive_season ? out.mean[i] + s : out.mean[i] * s;
            if (!fit.additive_season && scaled_variance) out.variance[i] *= s * s;
        }
        finite = finite && std::isfinite(out.mean[i]);
    }
    return finite ? ForecastStatus::ok : ForecastStatus::overflow;
}

namespace {

// The seasonal figure of the value t of the series, t = 0 .. n - 1, n, ..
double figure_at(const ThetaFit& fit, std::size_t t) noexcept {
    const std::size_t m = fit.seasonal.size();
    return fit.seasonal[(t + m - static_cast<std::size_t>(fit.n) % m) % m];
}

double without_season(const ThetaFit& fit, std::size_t t, double y) noexcept {
    if (fit.seasonal.empty()) return y;
    return fit.additive_season ? y - figure_at(fit, t) : y / figure_at(fit, t);
}

double with_season(const ThetaFit& fit, std::size_t t, double z) noexcept {
    if (fit.seasonal.empty()) return z;
    return fit.additive_season ? z + figure_at(fit, t) : z * figure_at(fit, t);
}

}  // namespace

bool update_theta(ThetaFit& fit, std::span<const double> y) {
    RunningLine line{fit.intercept, fit.slope, fit.mean};
    double level = fit.level;
    const std::size_t n = static_cast<std::size_t>(fit.n);
    for (std::size_t i = 0; i < y.size(); ++i) {
        const double z = without_season(fit, n + i, y[i]);
        level += fit.alpha * (z - level);
        line.add(static_cast<double>(n + i + 1), z);
        if (!std::isfinite(level) || !std::isfinite(line.intercept)) return false;
    }
    fit.level = level;
    fit.intercept = line.intercept;
    fit.slope = line.slope;
    fit.mean = line.mean;
    if (!fit.seasonal.empty()) {
        const auto turn = static_cast<std::ptrdiff_t>(y.size() % fit.seasonal.size());
        std::rotate(fit.seasonal.begin(), fit.seasonal.begin() + turn, fit.seasonal.end());
    }
    fit.n += static_cast<int>(y.size());
    return true;
}

void theta_one_step(const ThetaFit& fit, std::span<const double> y, std::span<double> fitted,
                    std::span<double> errors) {
    const bool standard = fit.kind == ThetaKind::standard,
               dynamic = fit.kind == ThetaKind::dynamic_optimised;
    Run run{fit.alpha, fit.omega, fit.initial_level, 1, dynamic};
    if (!dynamic) run.line = {fit.intercept, fit.slope, fit.mean};
    for (std::size_t t = 0; t < y.size(); ++t) {
        const double z = without_season(fit, t, y[t]);
        double mu =
            standard ? run.level + fit.slope / 2 * (1 - run.power) / fit.alpha : run.predict();
        if (dynamic && t < 2) mu = FitSummary::kNone;
        errors[t] = z - mu;
        fitted[t] = with_season(fit, t, mu);
        run.move(z);
    }
}

void theta_path(const ThetaFit& fit, std::span<const double> errors, std::span<double> path) {
    const bool standard = fit.kind == ThetaKind::standard;
    const double past = (1 - std::pow(1 - fit.alpha, fit.n)) / fit.alpha;
    Run run = run_behind(fit, 0);
    double level = fit.level;
    for (std::size_t i = 0; i < path.size(); ++i) {
        double z = 0;
        if (standard) {
            z = level + fit.slope / 2 * (static_cast<double>(i) + past) + errors[i];
            level += fit.alpha * errors[i];
        } else {
            z = run.predict() + errors[i];
            run.move(z);
        }
        path[i] = with_season(fit, static_cast<std::size_t>(fit.n) + i, z);
    }
}

}  // namespace many::core
