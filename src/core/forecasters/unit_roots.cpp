// How often to difference a series: see the header.
#include "core/forecasters/unit_roots.h"

#include <algorithm>
#include <cmath>

#include "core/forecasters/stl.h"

namespace many::core {
namespace {

constexpr double kKpssCritical = 0.463;  // level, 5 %
constexpr double kStrongSeason = 0.64;
constexpr double kEqual = 1.5e-8;

double mean_of(std::span<const double> y) noexcept {
    double sum = 0;
    for (const double v : y) sum += v;
    return sum / static_cast<double>(y.size());
}

double variance_of(std::span<const double> y) noexcept {
    const double mean = mean_of(y);
    double sum = 0;
    for (const double v : y) sum += (v - mean) * (v - mean);
    return sum / static_cast<double>(y.size() - 1);
}

}  // namespace

std::vector<double> autocorrelations(std::span<const double> y, int max_lag) {
    std::vector<double> r;
    const std::size_t n = y.size();
    if (n == 0) return r;
    const double mean = mean_of(y);
    double all = 0;
    for (const double v : y) all += (v - mean) * (v - mean);
    for (std::size_t lag = 1; lag <= static_cast<std::size_t>(std::max(max_lag, 0)); ++lag) {
        double sum = 0;
        for (std::size_t t = lag; t < n; ++t) sum += (y[t] - mean) * (y[t - lag] - mean);
        r.push_back(all > 0 ? sum / all : FitSummary::kNone);
    }
    return r;
}

bool is_constant(std::span<const double> y) noexcept {
    double distance = 0, size = 0;
    for (const double v : y) {
        distance += std::fabs(v - y[0]);
        size += std::fabs(v);
    }
    return !(distance > kEqual * size);
}

double kpss_level(std::span<const double> y, int lags) {
    const std::size_t n = y.size();
    if (n == 0) return FitSummary::kNone;
    std::vector<double> e(y.begin(), y.end());
    const double mean = mean_of(y);
    double partial = 0, partials = 0, squares = 0;
    for (double& v : e) {
        v -= mean;
        partial += v;
        partials += partial * partial;
        squares += v * v;
    }
    const double count = static_cast<double>(n);
    double variance = squares / count;
    for (int lag = 1; lag <= lags; ++lag) {
        double sum = 0;
        for (std::size_t t = static_cast<std::size_t>(lag); t < n; ++t) {
            sum += e[t] * e[t - static_cast<std::size_t>(lag)];
        }
        variance += 2 / count * (1 - lag / (lags + 1.0)) * sum;
    }
    return variance > 0 ? partials / (count * count) / variance : FitSummary::kNone;
}

int count_differences(std::span<const double> y, int max_d) {
    std::vector<double> x(y.begin(), y.end());
    // In units of the largest value, so that squares do not overflow.
    double unit = 0;
    for (const double v : x) unit = std::fmax(unit, std::fabs(v));
    if (!(unit > 0) || !std::isfinite(unit)) return 0;
    for (double& v : x) v /= unit;
    for (int d = 0;; ++d) {
        if (x.empty() || is_constant(x)) return d;
        const int lags = static_cast<int>(3 * std::sqrt(static_cast<double>(x.size())) / 13);
        const double statistic = kpss_level(x, lags);
        if (std::isnan(statistic)) return std::max(d - 1, 0);
        if (statistic <= kKpssCritical || d == max_d) return d;
        for (std::size_t t = 0; t + 1 < x.size(); ++t) x[t] = x[t + 1] - x[t];
        x.pop_back();
    }
}

double seasonal_strength(const SeriesView& series) {
    double unit = 0;
    for (const double v : series.y) unit = std::fmax(unit, std::fabs(v));
    if (!(unit > 0) || !std::isfinite(unit)) return 0;
    std::vector<double> y(series.y.begin(), series.y.end());
    for (double& v : y) v /= unit;
    Decomposition d = stl({y, series.season_length});
    if (d.status != ForecastStatus::ok) return 0;
    const double rest = variance_of(d.remainder);
    for (std::size_t t = 0; t < y.size(); ++t) d.seasonal[0][t] += d.remainder[t];
    const double both = variance_of(d.seasonal[0]);
    return both > 0 ? std::clamp(1 - rest / both, 0.0, 1.0) : 0;
}

int count_seasonal_differences(const SeriesView& series) {
    if (series.season_length < 2 || is_constant(series.y)) return 0;
    return seasonal_strength(series) > kStrongSeason ? 1 : 0;
}

}  // namespace many::core
