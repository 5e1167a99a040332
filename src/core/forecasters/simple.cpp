#include "core/forecasters/simple.h"

#include <algorithm>
#include <cmath>

#include "core/forecasters/seasonality.h"

namespace many::core {

namespace {

constexpr double kSeasonalLimit =
    1.645;  // naive2: as the M4 competition has it, not the exact quantile

// Scaled by a power of two, so that no sum overflows which the mean does not.
double mean_of(std::span<const double> y, std::size_t step = 1) {
    const std::size_t count = (y.size() + step - 1) / step;
    const double n = static_cast<double>(count);
    double sum = 0;
    for (std::size_t i = 0; i < y.size(); i += step) sum += y[i];
    if (std::isfinite(sum)) return sum / n;
    sum = 0;
    for (std::size_t i = 0; i < y.size(); i += step) sum += y[i] / n;
    return sum;
}

struct Squares {
    double sum = 0;
    int count = 0;
    void add(double e) noexcept {
        sum += e * e;
        ++count;
    }
    [[nodiscard]] double over(int divisor) const noexcept {
        return divisor > 0 ? sum / divisor : FitSummary::kNone;
    }
};

// y_t - y_(t-lag) - slope; of a difference that overflows the square is infinite.
double difference_variance(std::span<const double> y, std::size_t lag, double slope, int lost) {
    Squares squares;
    for (std::size_t t = lag; t < y.size(); ++t) squares.add(y[t] - y[t - lag] - slope);
    return squares.over(squares.count - lost);
}

// The last window of each of m seasons (m = 1: of all), and the one-step errors of such windows.
void fit_windows(std::span<const double> y, std::size_t m, int window, SimpleFit& out) {
    const std::size_t n = y.size();
    const std::size_t w = std::min(static_cast<std::size_t>(std::max(window, 1)), n / m);
    out.window = static_cast<int>(w);
    out.levels.resize(m);
    const auto average = [&](std::size_t t) {  // of the w values of t's season before t
        return mean_of(y.subspan(t - w * m, (w - 1) * m + 1), m);
    };
    for (std::size_t j = 0; j < m; ++j) out.levels[j] = average(n + j);
    Squares squares;
    for (std::size_t t = w * m; t < n; ++t) squares.add(y[t] - average(t));
    out.summary.sigma2 = squares.over(squares.count);
    out.summary.n_parameters = static_cast<int>(m) + 1;
}

void fit_seasonal_naive(std::span<const double> y, int m, SimpleFit& out) {
    out.levels.assign(y.end() - m, y.end());
    out.summary.sigma2 = difference_variance(y, static_cast<std::size_t>(m), 0, 0);
    out.summary.n_parameters = 1;
}

void fit_mean(std::span<const double> y, SimpleFit& out) {
    const int n = static_cast<int>(y.size());
    out.levels[0] = mean_of(y);
    Squares squares;
    for (const double v : y) squares.add(v - out.levels[0]);
    out.summary.sigma2 = squares.over(n - 1);
    out.degrees_of_freedom = n > 1 ? n - 1 : 0;
    out.summary.n_parameters = 2;
}

void fit_drift(std::span<const double> y, SimpleFit& out) {
    const double steps = static_cast<double>(y.size() - 1);
    const double rise = y.back() - y.front();
    out.slope = std::isfinite(rise) ? rise / steps : y.back() / steps - y.front() / steps;
    out.levels[0] = y.back();
    out.summary.sigma2 = difference_variance(y, 1, out.slope, 1);
    out.summary.n_parameters = 2;
}

void fit_naive2(const SeriesView& series, SimpleFit& out) {
    const auto y = series.y;
    const std::size_t n = y.size(), m = static_cast<std::size_t>(series.season_length);
    out.levels[0] = y.back();
    std::vector<double> figure(m, 1.0);
    const bool seasonal = n >= 3 * m && is_seasonal(series, kSeasonalLimit) &&
                          seasonal_figure(series, true, figure) &&
                          *std::min_element(figure.begin(), figure.end()) > 0;
    if (!seasonal) {
        out.season_length = 1;
        out.summary.sigma2 = difference_variance(y, 1, 0, 0);
    } else {
        std::vector<double> adjusted(n);
        for (std::size_t t = 0; t < n; ++t) adjusted[t] = y[t] / figure[t % m];
        out.season_length = series.season_length;
        out.levels.resize(m);
        for (std::size_t j = 0; j < m; ++j) out.levels[j] = adjusted.back() * figure[(n + j) % m];
        out.factors.resize(m);
        for (std::size_t j = 0; j < m; ++j) out.factors[j] = figure[(n + j) % m];
        out.summary.sigma2 = difference_variance(adjusted, 1, 0, 0);
    }
    out.summary.n_parameters = 1;
}

bool has_season(SimpleMethod method) noexcept {
    return method == SimpleMethod::seasonal_naive ||
           method == SimpleMethod::seasonal_window_average;
}

ForecastStatus finish(ForecastStatus status, SimpleFit& out) {
    out.summary.status = status;
    return status;
}

}  // namespace

ForecastStatus fit_simple(SimpleMethod method, const SeriesView& series,
                          const SimpleOptions& options, SimpleFit& out) {
    const auto y = series.y;
    const int m = std::max(series.season_length, 1);
    out = {};
    out.method = method;
    out.n = series.size();
    out.season_length = has_season(method) ? m : 1;
    out.levels.assign(1, 0);
    const int least = has_season(method) ? m : method == SimpleMethod::drift ? 2 : 1;
    if (out.n < least) return finish(ForecastStatus::too_short, out);
    for (const double v : y) {
        if (!std::isfinite(v)) return finish(ForecastStatus::overflow, out);
    }
    switch (method) {
        case SimpleMethod::naive:
            out.levels[0] = y.back();
            out.summary.sigma2 = difference_variance(y, 1, 0, 0);
            out.summary.n_parameters = 1;
            break;
        case SimpleMethod::seasonal_naive:
            fit_seasonal_naive(y, m, out);
            break;
        case SimpleMethod::mean:
            fit_mean(y, out);
            break;
        case SimpleMethod::drift:
            fit_drift(y, out);
            break;
        case SimpleMethod::window_average:
            fit_windows(y, 1, options.window, out);
            break;
        case SimpleMethod::seasonal_window_average:
            fit_windows(y, static_cast<std::size_t>(m), options.window, out);
            break;
        case SimpleMethod::naive2:
            fit_naive2({y, m}, out);
            break;
    }
    return finish(ForecastStatus::ok, out);
}

ForecastStatus forecast_simple(const SimpleFit& fit, const ForecastOut& out) {
    const double s2 = fit.summary.sigma2, n = fit.n;
    const std::size_t m = fit.levels.size();
    bool finite = true;
    for (std::size_t i = 0; i < out.mean.size(); ++i) {
        const double h = static_cast<double>(i + 1);
        const std::size_t j = i % m, seasons = i / m + 1;
        out.mean[i] = fit.levels[j] + h * fit.slope;
        double scale = 1;
        switch (fit.method) {
            case SimpleMethod::naive:
                scale = h;
                break;
            case SimpleMethod::naive2:
                scale = fit.factors.empty() ? h : h * fit.factors[j] * fit.factors[j];
                break;
            case SimpleMethod::seasonal_naive:
                scale = static_cast<double>(seasons);
                break;
            case SimpleMethod::mean:
                scale = 1 + 1 / n;
                break;
            case SimpleMethod::drift:
                scale = h + h * h / (n - 1);
                break;
            default:
                break;
        }
        out.variance[i] = s2 * scale;
        finite = finite && std::isfinite(out.mean[i]);
    }
    return finite ? ForecastStatus::ok : ForecastStatus::overflow;
}

namespace {

// naive, naive2 and drift: the last value, the mean of the differences and their squares (Welford).
void move_walk(SimpleFit& fit, std::span<const double> y) {
    const bool drift = fit.method == SimpleMethod::drift;
    const std::size_t m = fit.levels.size();
    const double lost = drift ? 2 : 1;
    double squares = fit.n > lost ? fit.summary.sigma2 * (fit.n - lost) : 0;
    double last = fit.factors.empty() ? fit.levels[0] : fit.levels[0] / fit.factors[0];
    double n = fit.n;
    for (std::size_t i = 0; i < y.size(); ++i, ++n) {
        const double z = fit.factors.empty() ? y[i] : y[i] / fit.factors[i % m];
        const double change = z - last, before = change - fit.slope;
        if (drift) fit.slope += before / n;
        squares += before * (change - fit.slope);
        last = z;
    }
    fit.summary.sigma2 = n > lost ? squares / (n - lost) : FitSummary::kNone;
    if (fit.factors.empty()) {
        fit.levels[0] = last;
        return;
    }
    std::rotate(fit.factors.begin(),
                fit.factors.begin() + static_cast<std::ptrdiff_t>(y.size() % m), fit.factors.end());
    for (std::size_t j = 0; j < m; ++j) fit.levels[j] = last * fit.factors[j];
}

void move_seasons(SimpleFit& fit, std::span<const double> y) {
    const std::size_t m = fit.levels.size();
    const int count = fit.n - static_cast<int>(m), more = static_cast<int>(y.size());
    double squares = count > 0 ? fit.summary.sigma2 * count : 0;
    for (std::size_t i = 0; i < y.size(); ++i) {
        const double e = y[i] - fit.levels[i % m];
        squares += e * e;
        fit.levels[i % m] = y[i];
    }
    if (count + more > 0) fit.summary.sigma2 = squares / (count + more);
    std::rotate(fit.levels.begin(), fit.levels.begin() + static_cast<std::ptrdiff_t>(y.size() % m),
                fit.levels.end());
}

void move_mean(SimpleFit& fit, std::span<const double> y) {
    double squares = fit.n > 1 ? fit.summary.sigma2 * (fit.n - 1) : 0, n = fit.n;
    for (const double v : y) {
        const double before = v - fit.levels[0];
        fit.levels[0] += before / ++n;
        squares += before * (v - fit.levels[0]);
    }
    if (n > 1) fit.summary.sigma2 = squares / (n - 1);
    fit.degrees_of_freedom = n > 1 ? n - 1 : 0;
}

}  // namespace

bool update_simple(SimpleFit& fit, std::span<const double> y) {
    for (const double v : y) {
        if (!std::isfinite(v)) return false;
    }
    SimpleFit moved = fit;
    switch (fit.method) {
        case SimpleMethod::naive:
        case SimpleMethod::drift:
        case SimpleMethod::naive2:
            move_walk(moved, y);
            break;
        case SimpleMethod::seasonal_naive:
            move_seasons(moved, y);
            break;
        case SimpleMethod::mean:
            move_mean(moved, y);
            break;
        default:
            return false;
    }
    if (!std::isfinite(moved.levels[0]) || !std::isfinite(moved.slope)) return false;
    fit = std::move(moved);
    fit.n += static_cast<int>(y.size());
    return true;
}

void simple_one_step(const SimpleFit& fit, std::span<const double> y, std::span<double> fitted,
                     std::span<double> errors) {
    const std::size_t n = y.size(), m = fit.levels.size();
    const bool windows = fit.method == SimpleMethod::window_average ||
                         fit.method == SimpleMethod::seasonal_window_average;
    const std::size_t w = static_cast<std::size_t>(std::max(fit.window, 1));
    // The factor of the value t: factors[j] is that of the value n + j.
    const std::size_t ahead = m - static_cast<std::size_t>(fit.n) % m;
    const auto factor = [&](std::size_t t) {
        return fit.factors.empty() ? 1 : fit.factors[(t + ahead) % m];
    };
    const std::size_t first = fit.method == SimpleMethod::mean             ? 0
                              : windows                                    ? w * m
                              : fit.method == SimpleMethod::seasonal_naive ? m
                                                                           : 1;
    for (std::size_t t = 0; t < n; ++t) {
        if (t < first) {
            fitted[t] = errors[t] = FitSummary::kNone;
        } else if (fit.method == SimpleMethod::mean) {
            fitted[t] = fit.levels[0];
        } else if (windows) {
            fitted[t] = mean_of(y.subspan(t - w * m, (w - 1) * m + 1), m);
        } else if (fit.method == SimpleMethod::seasonal_naive) {
            fitted[t] = y[t - m];
        } else {
            fitted[t] = y[t - 1] / factor(t - 1) * factor(t) + fit.slope;
        }
        if (t >= first) errors[t] = (y[t] - fitted[t]) / factor(t);
    }
}

}  // namespace many::core
