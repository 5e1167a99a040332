#include "core/selection/forecast_metrics.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

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

// 2^-e of a value m 2^e, 1/2 <= m < 1, but a normal number.
double unit_of(double largest) noexcept {
    constexpr int kDigits = 52, kBias = 1023, kInfinite = 2047;
    if (!(largest > 0)) return 1;
    const auto biased = static_cast<int>(std::bit_cast<std::uint64_t>(largest) >> kDigits);
    if (biased == kInfinite) return 1;
    const int of_unit = std::clamp(2 * kBias - 1 - biased, 1, 2 * kBias - 1);  // e: biased - 1022
    return std::bit_cast<double>(static_cast<std::uint64_t>(of_unit) << kDigits);
}

template <class Value>
double unit_of_all(std::span<const JudgedPoint> points, Value value) {
    double largest = 0;
    for (const JudgedPoint& p : points) {
        const double v = std::fabs(value(p));
        largest = v > largest ? v : largest;
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

// Of one forecast, bit by bit what accuracy_of comes to: the square of what is scaled to 1/2 .. 1 has
// that as its root.
Accuracy accuracy_of_one(const JudgedPoint& p, double forecast) noexcept {
    const double e = forecast - p.actual, size = std::fabs(e), none = FitSummary::kNone;
    const double scaled = e / p.scale.rmsse;
    return {1,
            size,
            size,
            p.actual != 0 ? std::fabs(e / p.actual) : none,
            symmetric_share(p.actual, forecast),
            p.scale.mase > 0 ? size / p.scale.mase : none,
            p.scale.rmsse > 0 ? std::sqrt(scaled * scaled) : none,
            e + 0.0,  // no -0
            none};
}

// Of value(point), a forecast of the point's actual.
template <class Value>
Accuracy accuracy_of(std::span<const JudgedPoint> points, Value value) {
    if (points.size() == 1 && std::isfinite(value(points[0]) - points[0].actual)) {
        return accuracy_of_one(points[0], value(points[0]));
    }
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

inline bool has_interval(const JudgedPoint& p) noexcept {
    return !std::isnan(p.lower) && !std::isnan(p.upper);
}

void judge_intervals(std::span<const JudgedPoint> points, StepMetrics& out) {
    const auto none = [](const JudgedPoint& p) { return !has_interval(p); };
    if (std::all_of(points.begin(), points.end(), none)) return;
    double inside = 0, largest = 0;
    for (const JudgedPoint& p : points) {
        for (const double v : {p.upper, p.lower, p.actual}) {
            if (std::fabs(v) > largest) largest = std::fabs(v);
        }
    }
    ScaledMean score(unit_of(largest));
    for (const JudgedPoint& p : points) {
        if (!has_interval(p)) continue;
        const double miss = std::max({p.lower - p.actual, p.actual - p.upper, 0.0});
        inside += miss > 0 ? 0 : 1;
        score.add(p.upper - p.lower + kMiss * miss);
    }
    out.coverage = inside / score.n();
    out.winkler = score.mean();
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
    const bool has_benchmark = std::any_of(
        points.begin(), points.end(), [](const JudgedPoint& p) { return !std::isnan(p.naive2); });
    if (has_benchmark) {
        const Accuracy naive2 = accuracy_of(points, [](const JudgedPoint& p) { return p.naive2; });
        if (naive2.smape > 0 && naive2.mase > 0) {
            out.owa = (own.smape / naive2.smape + own.mase / naive2.mase) / 2;
        }
    }
    judge_intervals(points, out);
    return out;
}

std::vector<StepMetrics> judge_steps(std::span<const JudgedPoint> points, int n_steps) {
    const auto earlier = [](const JudgedPoint& a, const JudgedPoint& b) { return a.step < b.step; };
    std::vector<JudgedPoint> sorted;
    std::span<const JudgedPoint> ordered = points;
    if (!std::is_sorted(points.begin(), points.end(), earlier)) {  // of several folds
        sorted.assign(points.begin(), points.end());
        std::stable_sort(sorted.begin(), sorted.end(), earlier);
        ordered = sorted;
    }
    std::vector<StepMetrics> out;
    out.reserve(static_cast<std::size_t>(std::max(n_steps, 0)));
    std::size_t first = 0;
    for (int s = 1; s <= n_steps; ++s) {
        std::size_t end = first;
        while (end < ordered.size() && ordered[end].step == s) ++end;
        out.push_back(judge_points(ordered.subspan(first, end - first)));
        first = end;
    }
    return out;
}

Naive2Metrics naive2_metrics(std::span<const JudgedPoint> points) {
    Naive2Metrics out;
    if (points.empty()) return out;
    const Accuracy a = accuracy_of(points, [](const JudgedPoint& p) { return p.naive2; });
    out.metrics = {a.n, a.rmse, a.mae, a.mape, a.smape, a.r2, a.bias};
    out.mase = a.mase;
    return out;
}

}  // namespace many::core
