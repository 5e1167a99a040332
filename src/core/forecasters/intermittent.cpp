#include "core/forecasters/intermittent.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <span>

namespace many::core {

namespace {

constexpr double kDefaultSmoothing = 0.1;
constexpr double kLow = 0.05, kHigh = 0.3;
constexpr std::size_t kFewestSums = 4;

// Croston's three methods as a recursion over the series.
struct Recursion {
    IntermittentMethod method = IntermittentMethod::croston;
    double alpha = 0, beta = 0;
    double size = 0;
    double interval = 0;  // tsb: the probability
    int waiting = 0;
    bool started = false;
    double rate = 0;

    void move(double y) noexcept {
        const bool demand = y > 0;
        const bool tsb = method == IntermittentMethod::tsb;
        ++waiting;
        if (!started) {
            if (!demand) return;
            started = true;
            size = y;
            interval = tsb ? 1.0 / waiting : waiting;
        } else if (demand) {
            size += alpha * (y - size);
            interval += beta * ((tsb ? 1.0 : waiting) - interval);
        } else if (tsb) {
            interval -= beta * interval;
        } else {
            return;
        }
        if (demand) waiting = 0;
        if (tsb) {
            rate = interval * size;
        } else {
            rate = size / interval;
            if (method == IntermittentMethod::sba) rate *= 1 - beta / 2;
        }
    }
};

// Polls the stop signal once in some 65,536 values.
class Work {
  public:
    explicit Work(const StopSignal& stop) noexcept : stop_(stop) {}
    [[nodiscard]] bool stopped() const noexcept { return stopped_; }
    void spend(std::size_t values) noexcept {
        spent_ += values + 1;
        if (spent_ < 65536) return;
        spent_ = 0;
        stopped_ = stopped_ || stop_.poll() != FitStatus::ok;
    }

  private:
    StopSignal stop_;
    std::size_t spent_ = 0;
    bool stopped_ = false;
};

// Least f(x) over the free coordinates of x in [kLow, kHigh]; the others stay as they are.
template <class F>
void search(std::array<double, 2>& x, std::array<bool, 2> is_free, const Work& work, const F& f) {
    constexpr int kGrid = 7;
    constexpr double kWidth = (kHigh - kLow) / (kGrid - 1), kEnd = 1e-5;
    std::array<double, 2> trial = x;
    double least = std::numeric_limits<double>::infinity();
    for (int i = 0; i < (is_free[0] ? kGrid : 1) && !work.stopped(); ++i) {
        for (int j = 0; j < (is_free[1] ? kGrid : 1); ++j) {
            if (is_free[0]) trial[0] = kLow + i * kWidth;
            if (is_free[1]) trial[1] = kLow + j * kWidth;
            const double value = f(trial);
            if (value < least) {
                least = value;
                x = trial;
            }
        }
    }
    for (double step = kWidth / 2; step > kEnd && !work.stopped();) {
        bool better = false;
        for (std::size_t c = 0; c < 2; ++c) {
            if (!is_free[c]) continue;
            for (const double direction : {step, -step}) {
                trial = x;
                trial[c] = std::clamp(x[c] + direction, kLow, kHigh);
                const double value = f(trial);
                if (!(value < least)) continue;
                least = value;
                x = trial;
                better = true;
                break;
            }
        }
        if (!better) step /= 2;
    }
}

// Sums of k values each, the last of which ends with the series.
void aggregate(std::span<const double> y, std::size_t k, std::vector<double>& sums) {
    sums.clear();
    for (std::size_t t = y.size() % k; t < y.size(); t += k) {
        double sum = 0;
        for (std::size_t i = 0; i < k; ++i) sum += y[t + i];
        sums.push_back(sum);
    }
}

// Simple exponential smoothing from the first value.
struct Ses {
    double squares = 0, level = 0;
};

Ses smooth(std::span<const double> z, double alpha) noexcept {
    Ses out;
    out.level = z[0];
    for (const double v : z) {
        const double e = v - out.level;
        out.squares += e * e;
        out.level += alpha * e;
    }
    return out;
}

struct Context {
    const IntermittentOptions& options;
    Work work;
    std::vector<double> sums, target;
};

// The mean squared rate of Kourentzes (2014), times the number of forecasts.
double rate_cost(std::span<const double> z, std::span<const double> target, Recursion model,
                 Work& work) noexcept {
    double cost = 0;
    for (std::size_t t = 0; t < z.size(); ++t) {
        if (model.started) {
            const double e = model.rate - target[t];
            cost += e * e;
        }
        model.move(z[t]);
    }
    work.spend(z.size());
    return cost;
}

void fit_ses(std::span<const double> z, Context& context, IntermittentLevel& level) {
    std::array<double, 2> x = {context.options.alpha, 0};
    if (std::isnan(x[0])) {
        search(x, {true, false}, context.work, [&](const std::array<double, 2>& p) {
            context.work.spend(z.size());
            return smooth(z, p[0]).squares;
        });
    }
    level.method = IntermittentMethod::ses;
    level.alpha = x[0];
    level.beta = FitSummary::kNone;
    level.size = smooth(z, x[0]).level / level.aggregation;
    level.interval = 1;
    level.rate = level.size;
}

// Croston, sba or tsb; the mean square of the one-step errors.
double fit_recursion(std::span<const double> z, Context& context, IntermittentLevel& level) {
    const IntermittentOptions& given = context.options;
    const std::array<bool, 2> is_free = {given.optimise && std::isnan(given.alpha),
                                         given.optimise && std::isnan(given.beta)};
    std::array<double, 2> x = {given.alpha, given.beta};
    if (std::isnan(x[0])) x[0] = kDefaultSmoothing;
    if (std::isnan(x[1])) x[1] = x[0];
    Recursion model;
    model.method = level.method;
    const auto at = [&](const std::array<double, 2>& p) {
        Recursion m = model;
        m.alpha = p[0];
        m.beta = p[1];
        return m;
    };
    if (is_free[0] || is_free[1]) {
        context.target.resize(z.size());
        double sum = 0;
        for (std::size_t t = 0; t < z.size(); ++t) {
            sum += z[t];
            context.target[t] = sum / static_cast<double>(t + 1);
        }
        search(x, is_free, context.work, [&](const std::array<double, 2>& p) {
            return rate_cost(z, context.target, at(p), context.work);
        });
    }
    model = at(x);
    double squares = 0;
    int count = 0;
    for (const double v : z) {
        if (model.started) {
            squares += (v - model.rate) * (v - model.rate);
            ++count;
        }
        model.move(v);
    }
    level.alpha = x[0];
    level.beta = x[1];
    level.size = model.size / level.aggregation;
    level.interval = model.method == IntermittentMethod::tsb ? 1 / model.interval : model.interval;
    level.waiting = model.waiting;
    level.rate = model.rate / level.aggregation;
    return count > 0 ? squares / count : FitSummary::kNone;
}

struct Pattern {
    int n_demands = 0, longest = 0, last = 0;
    double variation = 0;  // squared coefficient of variation of the sizes
    [[nodiscard]] double interval() const noexcept { return static_cast<double>(last) / n_demands; }
};

Pattern pattern_of(std::span<const double> z) noexcept {
    Pattern out;
    double mean = 0, squares = 0;
    for (std::size_t t = 0; t < z.size(); ++t) {
        if (!(z[t] > 0)) continue;
        const int now = static_cast<int>(t) + 1;
        out.longest = std::max(out.longest, now - out.last);
        out.last = now;
        ++out.n_demands;
        const double difference = z[t] - mean;
        mean += difference / out.n_demands;
        squares += difference * (z[t] - mean);
    }
    if (out.n_demands > 1) out.variation = squares / (out.n_demands - 1) / (mean * mean);
    return out;
}

IntermittentMethod method_for(const Pattern& pattern) noexcept {
    if (pattern.last == pattern.n_demands) return IntermittentMethod::ses;
    return pattern.variation > 2 - 1.5 * pattern.interval() ? IntermittentMethod::sba
                                                            : IntermittentMethod::croston;
}

void fit_imapa(std::span<const double> z, const Pattern& pattern, Context& context,
               IntermittentFit& out) {
    const int most = context.options.aggregation > 0 ? context.options.aggregation
                                                     : std::max(pattern.longest, 1);
    double sum = 0;
    for (int k = 1; k <= most && !context.work.stopped(); ++k) {
        if (k > 1 && z.size() / static_cast<std::size_t>(k) < kFewestSums) break;
        aggregate(z, static_cast<std::size_t>(k), context.sums);
        context.work.spend(z.size());
        const Pattern at_level = pattern_of(context.sums);
        IntermittentLevel level;
        level.aggregation = k;
        // The demands may all be in what the blocks leave over: the forecast of this level is 0.
        level.method = at_level.n_demands > 0 ? method_for(at_level) : IntermittentMethod::ses;
        if (level.method == IntermittentMethod::ses) {
            fit_ses(context.sums, context, level);
        } else {
            (void)fit_recursion(context.sums, context, level);
        }
        sum += level.rate;
        out.levels.push_back(level);
    }
    out.rate = sum / static_cast<double>(out.levels.size());
}

void fit_adida(std::span<const double> z, const Pattern& pattern, Context& context,
               IntermittentFit& out) {
    int k = context.options.aggregation;
    if (out.method == IntermittentMethod::ses) {
        k = 1;
    } else if (k == 0) {
        k = static_cast<int>(std::lround(pattern.interval()));
    }
    IntermittentLevel level;
    level.aggregation = std::clamp(k, 1, out.n);
    aggregate(z, static_cast<std::size_t>(level.aggregation), context.sums);
    fit_ses(context.sums, context, level);
    out.rate = level.rate;
    out.levels.push_back(level);
}

bool in_range(double smoothing) noexcept {
    return std::isnan(smoothing) || (smoothing >= 0 && smoothing <= 1);
}

}  // namespace

ForecastStatus fit_intermittent(IntermittentMethod method, const SeriesView& series,
                                const IntermittentOptions& options, const StopSignal& stop,
                                IntermittentFit& out) {
    out = {};
    out.method = method;
    out.n = series.size();
    const auto finish = [&](ForecastStatus status) {
        out.summary.status = status;
        return status;
    };
    if (!in_range(options.alpha) || !in_range(options.beta) || options.aggregation < 0) {
        return finish(ForecastStatus::not_admissible);
    }
    if (out.n == 0) return finish(ForecastStatus::too_short);
    double largest = 0;
    bool negative = false;
    for (const double v : series.y) {
        if (!std::isfinite(v)) return finish(ForecastStatus::overflow);
        negative = negative || v < 0;
        largest = std::max(largest, v);
    }
    if (negative) return finish(ForecastStatus::not_positive);
    if (largest == 0) return finish(ForecastStatus::ok);
    // Scaled by a power of two: no sum overflows. The result is scaled back.
    int exponent = 0;
    largest = std::frexp(largest, &exponent);
    std::vector<double> z(series.y.begin(), series.y.end());
    for (double& v : z) v = std::ldexp(v, -exponent);
    const Pattern pattern = pattern_of(z);
    out.n_demands = pattern.n_demands;
    out.mean_interval = pattern.interval();
    Context context{options, Work(stop), {}, {}};
    if (method == IntermittentMethod::imapa) {
        fit_imapa(z, pattern, context, out);
    } else if (method == IntermittentMethod::adida || method == IntermittentMethod::ses) {
        fit_adida(z, pattern, context, out);
    } else {
        IntermittentLevel level;
        level.method = method;
        out.summary.sigma2 = std::ldexp(fit_recursion(z, context, level), 2 * exponent);
        out.rate = level.rate;
        out.levels.push_back(level);
    }
    if (context.work.stopped()) return finish(ForecastStatus::stopped);
    for (IntermittentLevel& level : out.levels) {
        level.size = std::ldexp(level.size, exponent);
        level.rate = std::ldexp(std::min(level.rate, largest), exponent);
    }
    // Roundings may take a mean of equal values above them, and the largest double to infinity.
    out.rate = std::ldexp(std::min(out.rate, largest), exponent);
    return finish(ForecastStatus::ok);
}

ForecastStatus forecast_intermittent(const IntermittentFit& fit, const ForecastOut& out) {
    std::fill(out.mean.begin(), out.mean.end(), fit.rate);
    std::fill(out.variance.begin(), out.variance.end(), FitSummary::kNone);
    return fit.summary.status;
}

namespace {

bool is_recursive(IntermittentMethod method) noexcept {
    return method == IntermittentMethod::croston || method == IntermittentMethod::sba ||
           method == IntermittentMethod::tsb;
}

}  // namespace

bool update_intermittent(IntermittentFit& fit, std::span<const double> y) {
    if (!is_recursive(fit.method)) return false;
    const bool none = fit.levels.empty();
    for (const double v : y) {
        if (!std::isfinite(v) || v < 0 || (none && v > 0)) return false;
    }
    if (!none) {
        IntermittentLevel& level = fit.levels.front();
        const bool tsb = fit.method == IntermittentMethod::tsb;
        Recursion model{fit.method, level.alpha, level.beta, level.size, level.interval};
        if (tsb) model.interval = 1 / level.interval;
        model.waiting = level.waiting;
        model.started = true;
        model.rate = level.rate;
        int n_demands = fit.n_demands;
        for (const double v : y) {
            n_demands += v > 0 ? 1 : 0;
            model.move(v);
        }
        if (!std::isfinite(model.rate)) return false;
        level.size = model.size;
        level.interval = tsb ? 1 / model.interval : model.interval;
        level.waiting = model.waiting;
        level.rate = model.rate;
        fit.rate = model.rate;
        fit.n_demands = n_demands;
        const int last = fit.n + static_cast<int>(y.size()) - model.waiting;
        fit.mean_interval = static_cast<double>(last) / n_demands;
    }
    fit.n += static_cast<int>(y.size());
    return true;
}

bool intermittent_one_step(const IntermittentFit& fit, std::span<const double> y,
                           std::span<double> fitted) {
    if (!is_recursive(fit.method)) return false;
    Recursion model;
    model.method = fit.method;
    if (!fit.levels.empty()) {
        model.alpha = fit.levels.front().alpha;
        model.beta = fit.levels.front().beta;
    }
    for (std::size_t t = 0; t < y.size(); ++t) {
        fitted[t] = model.started ? model.rate : FitSummary::kNone;
        model.move(y[t]);
    }
    return true;
}

}  // namespace many::core
