#include "core/forecasters/ets_start.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "core/forecasters/seasonality.h"

namespace many::core {

namespace {

struct Line {
    double intercept = 0, slope = 0;  // at t = 1, 2, ..
};

Line fit_line(std::span<const double> y) {
    const double n = static_cast<double>(y.size()), middle = (n + 1) / 2;
    double mean = 0, product = 0, square = 0;
    for (const double v : y) mean += v;
    mean /= n;
    for (std::size_t i = 0; i < y.size(); ++i) {
        const double t = static_cast<double>(i + 1) - middle;
        product += t * (y[i] - mean);
        square += t * t;
    }
    const double slope = square > 0 ? product / square : 0;
    return {mean - slope * middle, slope};
}

// The line of y ~ 1 + t + one harmonic of the season, by normal equations of centred columns.
Line fit_line_and_harmonic(std::span<const double> y, int m) {
    constexpr int kMost = 4;  // t, cos, sin; y last
    const int columns = m > 2 ? 3 : 2;
    const std::size_t n = y.size();
    const auto row = [&](std::size_t i, std::array<double, kMost>& v) {
        const double t = static_cast<double>(i + 1), angle = 2 * std::numbers::pi * t / m;
        v[0] = t;
        v[1] = std::cos(angle);
        if (columns == 3) v[2] = std::sin(angle);
        v[static_cast<std::size_t>(columns)] = y[i];
    };
    std::array<double, kMost> mean{}, v{};
    for (std::size_t i = 0; i < n; ++i) {
        row(i, v);
        for (int j = 0; j <= columns; ++j) mean[j] += v[j] / static_cast<double>(n);
    }
    double a[kMost][kMost] = {};
    for (std::size_t i = 0; i < n; ++i) {
        row(i, v);
        for (int j = 0; j <= columns; ++j) {
            for (int k = 0; k <= columns; ++k) a[j][k] += (v[j] - mean[j]) * (v[k] - mean[k]);
        }
    }
    for (int j = 0; j < columns;
         ++j) {  // Gauss-Jordan; a column that is nearly dependent is left out
        const double pivot = a[j][j];
        if (!(pivot > 1e-9)) {
            a[j][columns] = 0;
            continue;
        }
        for (int k = 0; k <= columns; ++k) a[j][k] /= pivot;
        for (int i = 0; i < columns; ++i) {
            if (i == j) continue;
            const double factor = a[i][j];
            for (int k = 0; k <= columns; ++k) a[i][k] -= factor * a[j][k];
        }
    }
    Line line;
    line.slope = a[0][columns];
    line.intercept = mean[static_cast<std::size_t>(columns)];
    for (int j = 0; j < columns; ++j)
        line.intercept -= a[j][columns] * mean[static_cast<std::size_t>(j)];
    return line;
}

// The seasonal states of the first season, and the seasonally adjusted series.
void start_season(EtsSeason season, std::span<const double> y, int m, EtsStartScratch& scratch,
                  EtsState& out) {
    const bool ratio = season == EtsSeason::multiplicative;
    const std::size_t n = y.size(), length = static_cast<std::size_t>(m);
    std::vector<double>& full = scratch.seasonal;
    full.resize(n);
    out.seasonal.resize(length);
    if (n < 3 * length || !seasonal_figure({y, m}, ratio, out.seasonal)) {
        const Line line = fit_line_and_harmonic(y, m);
        for (std::size_t i = 0; i < n; ++i) {
            const double trend = line.intercept + line.slope * static_cast<double>(i + 1);
            full[i] = ratio ? y[i] / trend : y[i] - trend;
            if (!std::isfinite(full[i])) full[i] = ratio ? 1 : 0;
        }
        std::copy_n(full.begin(), length, out.seasonal.begin());
    } else {
        for (std::size_t i = 0; i < n; ++i) full[i] = out.seasonal[i % length];
    }
    for (std::size_t i = 0; i < n; ++i) {
        scratch.adjusted[i] = ratio ? y[i] / std::max(full[i], 1e-2) : y[i] - full[i];
    }
    // Without the first state, which the sum of the others gives; of quotients no negative ones.
    double sum = 0;
    for (std::size_t j = 1; j < length; ++j) {
        double& s = out.seasonal[j];
        if (ratio) s = std::max(s, 1e-2);
        sum += s;
    }
    if (ratio && sum > m - 1e-2) {
        const double shrink = (m - 1e-2) / sum;
        for (std::size_t j = 1; j < length; ++j) out.seasonal[j] *= shrink;
        sum *= shrink;
    }
    out.seasonal[0] = (ratio ? m : 0) - sum;
}

}  // namespace

void heuristic_start(const EtsForm& form, std::span<const double> y, int season_length,
                     EtsStartScratch& scratch, EtsState& out) {
    std::vector<double>& adjusted = scratch.adjusted;
    adjusted.assign(y.begin(), y.end());
    const int m = form.has_season() ? season_length : 1;
    out.seasonal.clear();
    if (form.has_season()) start_season(form.season, y, m, scratch, out);
    const std::size_t most = static_cast<std::size_t>(std::max(10, 2 * m));
    const std::span<const double> head(adjusted.data(), std::min(most, adjusted.size()));
    out.trend = 0;
    if (!form.has_trend()) {
        out.level = 0;
        for (const double v : head) out.level += v / static_cast<double>(head.size());
        return;
    }
    const Line line = fit_line(head);
    if (!form.multiplicative_trend()) {
        out.level = line.intercept;
        out.trend = line.slope;
        return;
    }
    const double first = line.intercept + line.slope;
    out.trend = (first + line.slope) / first;
    out.level = first / out.trend;
    if (!(out.level > 1e-8 && out.trend > 1e-8 && out.trend < 1e10)) {
        out.level = std::max(adjusted[0], 1e-3);
        out.trend = std::max(adjusted[1] / adjusted[0], 1e-3);
    }
}

bool textbook_start(const EtsForm& form, std::span<const double> y, int season_length,
                    EtsState& out) {
    const std::size_t m = form.has_season() ? static_cast<std::size_t>(season_length) : 1;
    const bool ratio_trend = form.multiplicative_trend();
    if (y.size() < (form.has_trend() || form.has_season() ? 2 * m : 1)) return false;
    const auto mean_of = [&](std::size_t from) {
        double sum = 0;
        for (std::size_t i = from; i < from + m; ++i) sum += y[i];
        return sum / static_cast<double>(m);
    };
    out.level = mean_of(0);
    out.trend = 0;
    if (form.has_trend()) {
        const double second = mean_of(m), width = static_cast<double>(m);
        out.trend =
            ratio_trend ? std::pow(second / out.level, 1 / width) : (second - out.level) / width;
    }
    out.seasonal.clear();
    if (!form.has_season()) return true;
    for (std::size_t j = 0; j < m; ++j) {
        out.seasonal.push_back(form.season == EtsSeason::multiplicative ? y[j] / out.level
                                                                        : y[j] - out.level);
    }
    return true;
}

}  // namespace many::core
