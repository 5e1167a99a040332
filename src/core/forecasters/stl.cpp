// STL and MSTL: see the header.
#include "core/forecasters/stl.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace many::core {
namespace {

std::size_t at(int i) noexcept {
    return static_cast<std::size_t>(i);
}
int next_odd(double x) noexcept {
    const int k = static_cast<int>(std::lround(std::ceil(x)));
    return k % 2 == 0 ? k + 1 : k;
}
int tenth(int window) noexcept {
    return (window + 9) / 10;
}

struct Smoother {
    int window = 0, degree = 0, jump = 1;
};

// Loess of y[0 .. n) with the weights rho (or nullptr); positions are 1 .. n as in the paper.
class Loess {
  public:
    void resize(std::size_t n) { weight_.assign(n, 0.0); }

    // The fit at position x from the values left .. right; false if none has weight.
    bool fit_at(const double* y, int n, const Smoother& s, double x, int left, int right,
                const double* rho, double& value) noexcept {
        double h = std::fmax(x - left, right - x);
        const int beyond = s.window > n ? (s.window - n) / 2 : 0;
        h += beyond;
        const double far = 0.999 * h, near = 0.001 * h;
        double total = 0;
        for (int j = left; j <= right; ++j) {
            const double r = std::fabs(j - x);
            double w = 0;
            if (r <= far) {
                const double q = r / h, c = 1 - q * q * q;
                w = r <= near ? 1 : c * c * c;
                if (rho != nullptr) w *= rho[j - 1];
            }
            weight_[at(j - left)] = w;
            total += w;
        }
        if (!(total > 0)) return false;
        double slope = 0, centre = 0;
        if (h > 0 && s.degree > 0) {
            double spread = 0;
            for (int j = left; j <= right; ++j) centre += weight_[at(j - left)] * j;
            centre /= total;
            for (int j = left; j <= right; ++j) {
                spread += weight_[at(j - left)] * (j - centre) * (j - centre);
            }
            spread /= total;
            if (std::sqrt(spread) > 0.001 * (n - 1)) slope = (x - centre) / spread;
        }
        value = 0;
        for (int j = left; j <= right; ++j) {
            value += weight_[at(j - left)] / total * (slope * (j - centre) + 1) * y[j - 1];
        }
        return true;
    }

    void smooth(const double* y, int n, const Smoother& s, const double* rho,
                double* out) noexcept {
        if (n < 2) {
            out[0] = y[0];
            return;
        }
        const int jump = std::min(s.jump, n - 1), half = (s.window + 1) / 2;
        int left = 1, right = std::min(s.window, n), last = 1;
        for (int i = 1; i <= n; i += jump) {
            if (s.window < n) {
                left = std::clamp(i - half + 1, 1, n - s.window + 1);
                right = left + s.window - 1;
            }
            if (!fit_at(y, n, s, i, left, right, rho, out[i - 1])) out[i - 1] = y[i - 1];
            interpolate(out, last, i);
            last = i;
        }
        if (last != n) {
            if (!fit_at(y, n, s, n, left, right, rho, out[n - 1])) out[n - 1] = y[n - 1];
            interpolate(out, last, n);
        }
    }

  private:
    static void interpolate(double* out, int from, int to) noexcept {
        for (int j = from + 1; j < to; ++j) {
            out[j - 1] = out[from - 1] + (out[to - 1] - out[from - 1]) / (to - from) * (j - from);
        }
    }
    std::vector<double> weight_;
};

// Means of `length` values on end: n - length + 1 of them; out may be y.
void moving_average(const double* y, int n, int length, double* out) noexcept {
    double sum = 0;
    for (int t = 0; t < length; ++t) sum += y[t];
    for (int t = 0; t + length <= n; ++t) {
        const double leaves = y[t];
        out[t] = sum / length;
        if (t + length < n) sum += y[t + length] - leaves;
    }
}

class Stl {
  public:
    Stl(int n, int m, const StlOptions& o) : n_(n), m_(m), outer_(o.outer), inner_(o.inner) {
        season_ = {o.season_window, o.season_degree, tenth(o.season_window)};
        const int trend =
            o.trend_window > 0 ? o.trend_window : next_odd(1.5 * m / (1 - 1.5 / o.season_window));
        trend_ = {trend, o.trend_degree, tenth(trend)};
        const int low = o.low_pass_window > 0 ? o.low_pass_window : next_odd(m);
        low_pass_ = {low, o.low_pass_degree, tenth(low)};
        const std::size_t size = at(n) + 2 * at(m);
        loess_.resize(size);
        for (auto* v : {&cycle_, &smooth_, &seasons_, &low_, &rest_}) v->assign(size, 0.0);
    }

    // trend and seasonal: n values, filled.
    void run(const double* y, double* trend, double* seasonal) {
        std::fill(trend, trend + n_, 0.0);
        const double* rho = nullptr;
        for (int pass = 0; pass <= outer_; ++pass) {
            for (int i = 0; i < inner_; ++i) inner(y, rho, trend, seasonal);
            if (pass == outer_) break;
            robustness(y, trend, seasonal);
            rho = rho_.data();
        }
    }

  private:
    void inner(const double* y, const double* rho, double* trend, double* seasonal) noexcept {
        for (int t = 0; t < n_; ++t) rest_[at(t)] = y[t] - trend[t];
        smooth_cycles(rho);
        const int whole = n_ + 2 * m_;
        moving_average(seasons_.data(), whole, m_, low_.data());
        moving_average(low_.data(), whole - m_ + 1, m_, low_.data());
        moving_average(low_.data(), n_ + 2, 3, low_.data());
        loess_.smooth(low_.data(), n_, low_pass_, nullptr, rest_.data());
        for (int t = 0; t < n_; ++t) {
            seasonal[t] = seasons_[at(t + m_)] - rest_[at(t)];
            low_[at(t)] = y[t] - seasonal[t];
        }
        loess_.smooth(low_.data(), n_, trend_, rho, trend);
    }

    // Each cycle-subseries of rest_, a cycle longer at both ends, to seasons_ (n + 2 m values).
    void smooth_cycles(const double* rho) noexcept {
        for (int j = 0; j < m_; ++j) {
            const int k = (n_ - j - 1) / m_ + 1;
            for (int i = 0; i < k; ++i) cycle_[at(i)] = rest_[at(i * m_ + j)];
            const double* weights = nullptr;
            if (rho != nullptr) {
                for (int i = 0; i < k; ++i) low_[at(i)] = rho[i * m_ + j];
                weights = low_.data();
            }
            double* const out = smooth_.data();
            loess_.smooth(cycle_.data(), k, season_, weights, out + 1);
            const int window = std::min(season_.window, k);
            if (!loess_.fit_at(cycle_.data(), k, season_, 0, 1, window, weights, out[0])) {
                out[0] = out[1];
            }
            if (!loess_.fit_at(cycle_.data(), k, season_, k + 1, k - window + 1, k, weights,
                               out[k + 1])) {
                out[k + 1] = out[k];
            }
            for (int i = 0; i < k + 2; ++i) seasons_[at(i * m_ + j)] = out[i];
        }
    }

    // Bisquare weights of the remainders, in units of six times their median.
    void robustness(const double* y, const double* trend, const double* seasonal) {
        rho_.resize(at(n_));
        for (int t = 0; t < n_; ++t) rho_[at(t)] = std::fabs(y[t] - trend[t] - seasonal[t]);
        std::vector<double> sorted = rho_;
        std::sort(sorted.begin(), sorted.end());
        const double limit = 3 * (sorted[at(n_ / 2)] + sorted[at((n_ - 1) / 2)]);
        for (double& r : rho_) {
            const double q = r / limit;
            r = r <= 0.001 * limit ? 1 : r > 0.999 * limit ? 0 : (1 - q * q) * (1 - q * q);
        }
    }

    int n_, m_, outer_, inner_;
    Smoother season_, trend_, low_pass_;
    Loess loess_;
    std::vector<double> cycle_, smooth_, seasons_, low_, rest_, rho_;
};

}  // namespace

Decomposition stl(const SeriesView& series, const StlOptions& options) {
    Decomposition d;
    const int n = series.size(), m = series.season_length;
    if (m < 2 || n <= 2 * m || options.season_window < 2) {
        d.status = ForecastStatus::too_short;
        return d;
    }
    d.seasons = {m};
    d.trend.assign(at(n), 0.0);
    d.seasonal.assign(1, d.trend);
    Stl(n, m, options).run(series.y.data(), d.trend.data(), d.seasonal[0].data());
    d.remainder.resize(at(n));
    for (std::size_t t = 0; t < at(n); ++t) {
        d.remainder[t] = series.y[t] - d.trend[t] - d.seasonal[0][t];
        if (!std::isfinite(d.remainder[t])) d.status = ForecastStatus::overflow;
    }
    return d;
}

Decomposition mstl(std::span<const double> y, std::span<const int> season_lengths, int rounds) {
    Decomposition d;
    const int n = static_cast<int>(y.size());
    if (n < 1) {
        d.status = ForecastStatus::too_short;
        return d;
    }
    for (const int m : season_lengths) {
        if (m > 1 && 2 * m < n) d.seasons.push_back(m);
    }
    std::sort(d.seasons.begin(), d.seasons.end());
    d.seasons.erase(std::unique(d.seasons.begin(), d.seasons.end()), d.seasons.end());
    std::vector<double> rest(y.begin(), y.end());
    d.trend.assign(at(n), 0.0);
    d.seasonal.assign(d.seasons.size(), d.trend);
    if (d.seasons.empty()) {
        Loess loess;
        loess.resize(at(n));
        const int window = next_odd(std::fmax(3, 0.75 * n));
        loess.smooth(rest.data(), n, {window, 1, 1}, nullptr, d.trend.data());
    }
    if (d.seasons.size() == 1) rounds = 1;
    std::vector<double> part(at(n));
    for (int round = 0; round < rounds; ++round) {
        for (std::size_t i = 0; i < d.seasons.size(); ++i) {
            for (std::size_t t = 0; t < at(n); ++t) rest[t] += d.seasonal[i][t];
            StlOptions options;
            options.season_window = 11 + 4 * static_cast<int>(i);
            Stl(n, d.seasons[i], options).run(rest.data(), d.trend.data(), d.seasonal[i].data());
            for (std::size_t t = 0; t < at(n); ++t) rest[t] -= d.seasonal[i][t];
        }
    }
    d.remainder.resize(at(n));
    for (std::size_t t = 0; t < at(n); ++t) {
        d.remainder[t] = rest[t] - d.trend[t];
        if (!std::isfinite(d.remainder[t])) d.status = ForecastStatus::overflow;
    }
    return d;
}

void add_seasons(const Decomposition& decomposition, const ForecastOut& out) {
    for (std::size_t i = 0; i < decomposition.seasons.size(); ++i) {
        const std::vector<double>& s = decomposition.seasonal[i];
        const std::size_t m = at(decomposition.seasons[i]);
        for (std::size_t h = 0; h < out.mean.size(); ++h) out.mean[h] += s[s.size() - m + h % m];
    }
}

}  // namespace many::core
