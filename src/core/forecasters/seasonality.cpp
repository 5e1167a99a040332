#include "core/forecasters/seasonality.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

namespace many::core {

namespace {

constexpr std::size_t kAtOnce = 8;

// sums[k] += z_t z_(t-lag-k)
template <std::size_t... K>
void add_products(double* sums, double value, const double* lagged, std::index_sequence<K...>) {
    ((sums[K] += value * *(lagged - K)), ...);
}

// out[lag]: the sum of z_t z_(t-lag), each added up in the order of time; several lags at once, since
// each addition of one has to wait for the one before.
void lagged_products(std::span<const double> z, std::span<double> out) {
    for (std::size_t lag = 0; lag < out.size(); lag += kAtOnce) {
        double sums[kAtOnce] = {};
        const std::size_t last = lag + kAtOnce - 1;
        for (std::size_t t = lag; t < std::min(last, z.size()); ++t) {
            for (std::size_t k = 0; lag + k <= t; ++k) sums[k] += z[t] * z[t - lag - k];
        }
        for (std::size_t t = last; t < z.size(); ++t) {
            add_products(sums, z[t], z.data() + (t - lag), std::make_index_sequence<kAtOnce>());
        }
        const std::size_t n = std::min(kAtOnce, out.size() - lag);
        std::copy(sums, sums + n, out.begin() + static_cast<std::ptrdiff_t>(lag));
    }
}

}  // namespace

bool is_seasonal(const SeriesView& series, double z) {
    const auto y = series.y;
    const int n = series.size(), m = series.season_length;
    if (m < 2 || n <= m) return false;
    double low = y[0], high = y[0];
    for (const double v : y) {
        low = std::min(low, v);
        high = std::max(high, v);
    }
    if (low == high) return false;
    const double scale = 1 / std::max(std::fabs(low), std::fabs(high));  // squares stay finite
    double mean = 0;
    for (const double v : y) mean += v * scale;
    mean /= n;
    std::vector<double> centred(y.size()), covariances(static_cast<std::size_t>(m) + 1);
    for (std::size_t t = 0; t < y.size(); ++t) centred[t] = y[t] * scale - mean;
    lagged_products(centred, covariances);
    const double variance = covariances[0];
    if (!(variance > 0)) return false;
    double squares = 0;
    for (std::size_t lag = 1; lag + 1 < covariances.size(); ++lag) {
        const double r = covariances[lag] / variance;
        squares += r * r;
    }
    return std::fabs(covariances.back() / variance) > z * std::sqrt((1 + 2 * squares) / n);
}

bool seasonal_figure(const SeriesView& series, bool multiplicative, std::span<double> figure) {
    const auto y = series.y;
    const int n = series.size(), m = series.season_length, half = m / 2;
    if (m < 2 || n < 2 * m) return false;
    const bool even = m % 2 == 0;
    // The centred moving average, of half .. n - half - 1.
    std::vector<double> shares(y.begin(), y.end()), trend(y.size());
    for (double& v : shares) v /= m;
    for (int j = -half; j <= half; ++j) {
        const double weight = even && (j == -half || j == half) ? 0.5 : 1.0;
        for (int t = half; t < n - half; ++t) {
            const int at = t + j;
            trend[static_cast<std::size_t>(t)] += weight * shares[static_cast<std::size_t>(at)];
        }
    }
    for (int k = 0; k < m; ++k) {
        double sum = 0;
        int count = 0;
        for (int t = k; t < n; t += m) {
            if (t < half || t >= n - half) continue;
            const double value = y[static_cast<std::size_t>(t)];
            const double smooth = trend[static_cast<std::size_t>(t)];
            sum += multiplicative ? value / smooth : value - smooth;
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
