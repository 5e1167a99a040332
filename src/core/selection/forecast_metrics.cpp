#include "core/selection/forecast_metrics.h"

#include <algorithm>
#include <cmath>

namespace many::core {
namespace {

constexpr double kMiss = 40;  // 2 / 0.05: what the interval score charges per unit outside

// Adds up values and squares relative to a power of two that no value exceeds.
class ScaledMean {
  public:
    // unit: 2^-exponent of the largest value.
    explicit ScaledMean(double unit) noexcept : unit_(unit) {}
    void add(double value) noexcept {
        const double v = value * unit_;
        sum_ += v;
        squares_ += v * v;
        ++n_;
    }
    [[nodiscard]] double n() const noexcept { return static_cast<double>(n_); }
    [[nodiscard]] double mean() const noexcept {
        return n_ > 0 ? sum_ / n() / unit_ : FitSummary::kNone;
    }
    [[nodiscard]] double root_mean_square() const noexcept {
        return n_ > 0 ? std::sqrt(squares_ / n()) / unit_ : FitSummary::kNone;
    }

  private:
    double unit_, sum_ = 0, squares_ = 0;
    long long n_ = 0;
};

double unit_of(double largest) noexcept {
    if (!(largest > 0) || !std::isfinite(largest)) return 1;
    int exponent = 0;
    (void)std::frexp(largest, &exponent);
    return std::ldexp(1.0, std::clamp(-exponent, -1022, 1022));
}

template <class Value>
double unit_of_all(std::span<const JudgedPoint> points, Value value) {
    double largest = 0;
    for (const JudgedPoint& p : points) {
        const double v = std::fabs(value(p));
        if (v > largest) largest = v;
    }
    return unit_of(largest);
}

struct Accuracy {
    double n = 0, rmse = 0, mae = 0, mape = 0, smape = 0, mase = 0, rmsse = 0, bias = 0, r2 = 0;
};

double symmetric_share(double actual, double forecast) noexcept {
    const double size = std::fabs(actual) / 2 + std::fabs(forecast) / 2;
    return size > 0 ? std::fabs(forecast - actual) / size : 0.0;
}

// Of value(point), a forecast of the point's actual.
template <class Value>
Accuracy accuracy_of(std::span<const JudgedPoint> points, Value value) {
    const double unit =
        unit_of_all(points, [&](const JudgedPoint& p) { return value(p) - p.actual; });
    ScaledMean error(unit), absolute(unit), share(1), symmetric(1), scaled(1), squared(1);
    ScaledMean actual(unit_of_all(points, [](const JudgedPoint& p) { return p.actual; }));
    for (const JudgedPoint& p : points) {
        const double e = value(p) - p.actual;
        error.add(e);
        absolute.add(std::fabs(e));
        actual.add(p.actual);
        if (p.actual != 0) share.add(std::fabs(e / p.actual));
        symmetric.add(symmetric_share(p.actual, value(p)));
        if (p.scale.mase > 0) scaled.add(std::fabs(e) / p.scale.mase);
        if (p.scale.rmsse > 0) squared.add(e / p.scale.rmsse);
    }
    const double mean = actual.mean();
    ScaledMean spread(unit_of_all(points, [&](const JudgedPoint& p) { return p.actual - mean; }));
    for (const JudgedPoint& p : points) spread.add(p.actual - mean);
    const double deviation = spread.root_mean_square();
    const double ratio = error.root_mean_square() / deviation;
    const bool constant = !(deviation > 1e-15 * std::fabs(mean)) || points.size() < 2;
    return {error.n(),
            error.root_mean_square(),
            absolute.mean(),
            share.mean(),
            symmetric.mean(),
            scaled.mean(),
            squared.root_mean_square(),
            error.mean(),
            constant ? FitSummary::kNone : 1 - ratio * ratio};
}

}  // namespace

ErrorScale error_scale(std::span<const double> y, std::span<const unsigned char> observed,
                       int season_length) {
    const std::size_t n = y.size();
    const auto m = static_cast<std::size_t>(std::max(season_length, 1));
    const std::size_t lag = n > m ? m : 1;
    std::size_t first = 0;
    while (first < n && y[first] == 0) ++first;
    double largest = 0;
    for (const double v : y) largest = std::max(largest, std::fabs(v));
    const double unit = unit_of(2 * largest);
    ScaledMean seasonal(unit), successive(unit);
    for (std::size_t t = 1; t < n; ++t) {
        if (observed[t] == 0) continue;
        if (t >= lag && observed[t - lag] != 0) seasonal.add(std::fabs(y[t] - y[t - lag]));
        if (t > first && observed[t - 1] != 0) successive.add(y[t] - y[t - 1]);
    }
    ErrorScale scale;
    if (seasonal.mean() > 0) scale.mase = seasonal.mean();
    if (successive.root_mean_square() > 0) scale.rmsse = successive.root_mean_square();
    return scale;
}

StepMetrics judge_points(std::span<const JudgedPoint> points) {
    StepMetrics out;
    if (points.empty()) return out;
    const Accuracy own = accuracy_of(points, [](const JudgedPoint& p) { return p.forecast; });
    out.n = own.n;
    out.rmse = own.rmse;
    out.mae = own.mae;
    out.mape = own.mape;
    out.smape = own.smape;
    out.mase = own.mase;
    out.rmsse = own.rmsse;
    out.bias = own.bias;
    out.r2 = own.r2;
    const Accuracy benchmark = accuracy_of(points, [](const JudgedPoint& p) { return p.naive2; });
    if (benchmark.smape > 0 && benchmark.mase > 0) {
        out.owa = (own.smape / benchmark.smape + own.mase / benchmark.mase) / 2;
    }
    double inside = 0;
    ScaledMean score(unit_of_all(points, [](const JudgedPoint& p) {
        return std::fmax(std::fabs(p.upper), std::fmax(std::fabs(p.lower), std::fabs(p.actual)));
    }));
    for (const JudgedPoint& p : points) {
        if (std::isnan(p.lower) || std::isnan(p.upper)) continue;
        const double miss = std::max({p.lower - p.actual, p.actual - p.upper, 0.0});
        inside += miss > 0 ? 0 : 1;
        score.add(p.upper - p.lower + kMiss * miss);
    }
    if (score.n() > 0) out.coverage = inside / score.n();
    out.winkler = score.mean();
    return out;
}

std::vector<StepMetrics> judge_steps(std::span<const JudgedPoint> points, int n_steps) {
    std::vector<JudgedPoint> ordered;
    for (const JudgedPoint& p : points) {
        if (p.step <= n_steps) ordered.push_back(p);
    }
    std::stable_sort(ordered.begin(), ordered.end(),
                     [](const JudgedPoint& a, const JudgedPoint& b) { return a.step < b.step; });
    std::vector<StepMetrics> out;
    std::size_t first = 0;
    for (int s = 1; s <= n_steps; ++s) {
        std::size_t end = first;
        while (end < ordered.size() && ordered[end].step == s) ++end;
        out.push_back(judge_points(std::span(ordered).subspan(first, end - first)));
        first = end;
    }
    return out;
}

SplitMetrics naive2_metrics(std::span<const JudgedPoint> points) {
    const double none = FitSummary::kNone;
    if (points.empty()) return {0, none, none, none, none, none, none};
    const Accuracy a = accuracy_of(points, [](const JudgedPoint& p) { return p.naive2; });
    return {a.n, a.rmse, a.mae, a.mape, a.smape, a.r2, a.bias};
}

double naive2_mase(std::span<const JudgedPoint> points) {
    return accuracy_of(points, [](const JudgedPoint& p) { return p.naive2; }).mase;
}

}  // namespace many::core
