#include "core/forecasters/seasonality.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace many::core {

bool is_seasonal(const SeriesView& series, double z) {
    const auto y = series.y;
    const int n = series.size(), m = series.season_length;
    if (m < 2 || n <= m) return false;
    const auto [low, high] = std::minmax_element(y.begin(), y.end());
    if (*low == *high) return false;
    const double scale = 1 / std::max(std::fabs(*low), std::fabs(*high));  // squares stay finite
    double mean = 0;
    for (const double v : y) mean += v * scale;
    mean /= n;
    const auto covariance = [&](int lag) {
        double sum = 0;
        for (int t = lag; t < n; ++t) {
            sum += (y[static_cast<std::size_t>(t)] * scale - mean) *
                   (y[static_cast<std::size_t>(t - lag)] * scale - mean);
        }
        return sum;
    };
    const double variance = covariance(0);
    if (!(variance > 0)) return false;
    double squares = 0;
    for (int lag = 1; lag < m; ++lag) {
        const double r = covariance(lag) / variance;
        squares += r * r;
    }
    return std::fabs(covariance(m) / variance) > z * std::sqrt((1 + 2 * squares) / n);
}

bool seasonal_figure(const SeriesView& series, bool multiplicative, std::span<double> figure) {
    const auto y = series.y;
    const int n = series.size(), m = series.season_length, half = m / 2;
    if (m < 2 || n < 2 * m) return false;
    const bool even = m % 2 == 0;
    for (int k = 0; k < m; ++k) {
        double sum = 0;
        int count = 0;
        for (int t = k; t < n; t += m) {
            if (t < half || t >= n - half) continue;
            double trend = 0;
            for (int j = t - half; j <= t + half; ++j) {
                const double weight = even && (j == t - half || j == t + half) ? 0.5 : 1.0;
                trend += weight * (y[static_cast<std::size_t>(j)] / m);
            }
            const double value = y[static_cast<std::size_t>(t)];
            sum += multiplicative ? value / trend : value - trend;
            ++count;
        }
        figure[static_cast<std::size_t>(k)] = sum / count;
    }
    const double mean = std::accumulate(figure.begin(), figure.begin() + m, 0.0) / m;
    for (int k = 0; k < m; ++k) {
        double& f = figure[static_cast<std::size_t>(k)];
        f = multiplicative ? f / mean : f - mean;
        if (!std::isfinite(f)) return false;
    }
    return true;
}

}  // namespace many::core
