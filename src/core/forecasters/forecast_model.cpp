// Forecasts of a stored model: members combined, intervals, flags, rounding, bounds.
#include "core/forecasters/forecast_model.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "core/error.h"
#include "core/forecasters/forecast_parts.h"
#include "core/forecasters/intervals.h"
#include "core/forecasters/method_check.h"

namespace many::core {

double trimmed_mean(std::span<const double> sorted) {
    const auto inner = sorted.size() > 2 ? sorted.subspan(1, sorted.size() - 2) : sorted;
    double mean = 0;  // of parts: a sum may overflow
    for (const double v : inner) mean += v / static_cast<double>(inner.size());
    return mean;
}

double Combiner::operator()(const double* values, std::size_t members, std::size_t stride) {
    if (combination_ == Combination::single || members == 1) return values[0];
    if (combination_ == Combination::median || combination_ == Combination::trimmed) {
        sorted_.clear();
        for (std::size_t k = 0; k < members; ++k) {
            const double v = values[k * stride];
            if (!std::isnan(v)) sorted_.push_back(v);
        }
        if (sorted_.empty()) return FitSummary::kNone;
        std::sort(sorted_.begin(), sorted_.end());
        if (combination_ == Combination::trimmed) return trimmed_mean(sorted_);
        const std::size_t half = sorted_.size() / 2;
        if (sorted_.size() % 2 == 1) return sorted_[half];
        return std::midpoint(sorted_[half - 1], sorted_[half]);
    }
    double sum = 0, total = 0;
    for (std::size_t k = 0; k < members; ++k) {
        const double v = values[k * stride];
        if (std::isnan(v)) continue;
        const double w = combination_ == Combination::weighted ? weights_[k] : 1;
        if (w == 0) continue;
        sum += w * v;
        total += w;
    }
    return total > 0 ? sum / total : FitSummary::kNone;
}

namespace {

class Forecaster {
  public:
    Forecaster(const ForecastModel& model, std::span<const double> levels, const ForecastSteps& out)
        : model_(model),
          levels_(levels),
          out_(out),
          members_(model.members.size()),
          h_(out.mean.size()),
          combine_(model.combination, model.weights) {}

    ForecastStatus run(std::span<const double> regressors);

  private:
    [[nodiscard]] ForecastStatus forecast_members(std::span<const double> regressors);
    void combine_means();
    void analytic();
    void analytic_quantiles();
    [[nodiscard]] bool bootstrap();
    void conformal();
    void conformal_quantiles(std::span<const double> pooled);
    void make_intervals();
    [[nodiscard]] double conformal_width(std::size_t step, double level,
                                         std::span<const double> pooled) const;
    [[nodiscard]] std::vector<double> pooled_scores() const;
    [[nodiscard]] double mean_score(std::size_t step) const noexcept;
    void clear_intervals();
    void finish_step(std::size_t t);
    void finish_quantiles(std::size_t t);
    [[nodiscard]] bool explosive(double mean) const noexcept;

    const ForecastModel& model_;
    std::span<const double> levels_;
    const ForecastSteps& out_;
    std::size_t members_, h_;
    Combiner combine_;
    std::vector<double> means_, variances_;  // members x h
    double low_ = 0, high_ = 0;              // bounds
};

ForecastStatus Forecaster::forecast_members(std::span<const double> regressors) {
    means_.assign(members_ * h_, FitSummary::kNone);
    variances_ = means_;
    for (std::size_t k = 0; k < members_; ++k) {
        const std::span<double> mean = std::span<double>(means_).subspan(k * h_, h_),
                                variance = std::span<double>(variances_).subspan(k * h_, h_);
        const ForecastStatus status =
            forecast_method(model_.members[k], regressors, {mean, variance});
        if (status == ForecastStatus::not_admissible) return status;
        for (std::size_t t = 0; t < h_; ++t) {
            if (!std::isfinite(mean[t])) mean[t] = variance[t] = FitSummary::kNone;
        }
    }
    return ForecastStatus::ok;
}

void Forecaster::combine_means() {
    for (std::size_t t = 0; t < h_; ++t) {
        out_.mean[t] = combine_(means_.data() + t, members_, h_);
        bool partial = false;
        for (std::size_t k = 0; k < members_; ++k) partial |= std::isnan(means_[k * h_ + t]);
        if (!std::isfinite(out_.mean[t])) {
            out_.mean[t] = FitSummary::kNone;
            out_.flags[t] |= kForecastNotFinite;
        } else if (partial) {
            out_.flags[t] |= kForecastPartial;
        }
    }
}

void Forecaster::clear_intervals() {
    std::fill(out_.lower.begin(), out_.lower.end(), FitSummary::kNone);
    std::fill(out_.upper.begin(), out_.upper.end(), FitSummary::kNone);
    std::fill(out_.quantiles.begin(), out_.quantiles.end(), FitSummary::kNone);
}

void Forecaster::analytic() {
    std::vector<double> z(members_ * levels_.size());
    for (std::size_t k = 0; k < members_; ++k) {
        const double df = interval_degrees_of_freedom(model_.members[k]);
        for (std::size_t l = 0; l < levels_.size(); ++l) {
            z[k * levels_.size() + l] = interval_half_width(1, levels_[l], df);
        }
    }
    std::vector<double> lower(members_), upper(members_);
    for (std::size_t t = 0; t < h_; ++t) {
        for (std::size_t l = 0; l < levels_.size(); ++l) {
            for (std::size_t k = 0; k < members_; ++k) {
                const double variance = variances_[k * h_ + t], mean = means_[k * h_ + t];
                const double half = z[k * levels_.size() + l] *
                                    (variance >= 0 ? std::sqrt(variance) : FitSummary::kNone);
                lower[k] = mean - half;
                upper[k] = mean + half;
            }
            out_.lower[t * levels_.size() + l] = combine_(lower.data(), members_, 1);
            out_.upper[t * levels_.size() + l] = combine_(upper.data(), members_, 1);
        }
    }
    if (!out_.probabilities.empty()) analytic_quantiles();
}

void Forecaster::analytic_quantiles() {
    const std::span<const double> p = out_.probabilities;
    std::vector<double> z(members_ * p.size()), places(members_);
    for (std::size_t k = 0; k < members_; ++k) {
        const double df = interval_degrees_of_freedom(model_.members[k]);
        for (std::size_t i = 0; i < p.size(); ++i) {
            z[k * p.size() + i] =
                p[i] < 0.5 ? -quantile_distance(p[i], df) : quantile_distance(1 - p[i], df);
        }
    }
    for (std::size_t t = 0; t < h_; ++t) {
        for (std::size_t i = 0; i < p.size(); ++i) {
            for (std::size_t k = 0; k < members_; ++k) {
                const double variance = variances_[k * h_ + t];
                const double root = variance >= 0 ? std::sqrt(variance) : FitSummary::kNone;
                places[k] = means_[k * h_ + t] + z[k * p.size() + i] * root;
            }
            double& place = out_.quantiles[t * p.size() + i];
            place = combine_(places.data(), members_, 1);
            if (std::isnan(place)) continue;
            // Members without a variance have a part in the mean only.
            if (p[i] <= 0.5) place = std::min(place, out_.mean[t]);
            if (p[i] >= 0.5) place = std::max(place, out_.mean[t]);
        }
    }
}

// Ends of intervals and quantiles from the same paths.
bool Forecaster::bootstrap() {
    const std::size_t levels = levels_.size(), n = out_.probabilities.size();
    std::vector<double> p;
    p.reserve(2 * levels + n);
    for (const double level : levels_) {
        const double tail = (1 - level) / 2;
        p.push_back(tail);
        p.push_back(1 - tail);
    }
    p.insert(p.end(), out_.probabilities.begin(), out_.probabilities.end());
    std::vector<double> found(h_ * p.size());
    if (!bootstrap_quantiles(model_, means_, p, found)) return false;
    for (std::size_t t = 0; t < h_; ++t) {
        const double* at = found.data() + t * p.size();
        for (std::size_t l = 0; l < levels; ++l) {
            out_.lower[t * levels + l] = at[2 * l];
            out_.upper[t * levels + l] = at[2 * l + 1];
        }
        for (std::size_t i = 0; i < n; ++i) out_.quantiles[t * n + i] = at[2 * levels + i];
    }
    return true;
}

double Forecaster::mean_score(std::size_t step) const noexcept {
    const std::size_t n = static_cast<std::size_t>(model_.n_scores);
    double sum = 0;
    for (std::size_t i = 0; i < n; ++i) {
        sum += model_.scores[step * n + i] / static_cast<double>(n);
    }
    return sum;
}

// All scores in units of their step's mean, sorted. Steps without error have no unit.
std::vector<double> Forecaster::pooled_scores() const {
    const std::size_t n = static_cast<std::size_t>(model_.n_scores);
    std::vector<double> pooled;
    pooled.reserve(model_.scores.size());
    for (std::size_t step = 0; step < static_cast<std::size_t>(model_.conformal_steps); ++step) {
        const double unit = mean_score(step);
        if (!(unit > 0)) continue;
        for (std::size_t i = 0; i < n; ++i) pooled.push_back(model_.scores[step * n + i] / unit);
    }
    std::sort(pooled.begin(), pooled.end());
    return pooled;
}

// The ceil((n + 1) level)-th of n sorted values; NaN when there are not as many.
double conformal_quantile(std::span<const double> sorted, double level) noexcept {
    // (n + 1) level may be a whole number but for its last bit.
    const double n = static_cast<double>(sorted.size());
    const double rank = std::ceil((n + 1) * level * (1 - 1e-12));
    return rank > n ? FitSummary::kNone : sorted[static_cast<std::size_t>(std::max(rank, 1.0)) - 1];
}

double Forecaster::conformal_width(std::size_t step, double level,
                                   std::span<const double> pooled) const {
    const std::size_t n = static_cast<std::size_t>(model_.n_scores),
                      steps = static_cast<std::size_t>(model_.conformal_steps);
    const std::size_t at = std::min(step, steps - 1);
    double width =
        conformal_quantile(std::span<const double>(model_.scores).subspan(at * n, n), level);
    if (std::isnan(width)) width = conformal_quantile(pooled, level) * mean_score(at);
    if (step < steps) return width;
    return width * std::sqrt(static_cast<double>(step + 1) / static_cast<double>(steps));
}

void Forecaster::conformal() {
    if (model_.conformal_steps < 1 || model_.n_scores < 1) {
        clear_intervals();
        return;
    }
    const std::vector<double> pooled = pooled_scores();
    for (std::size_t t = 0; t < h_; ++t) {
        for (std::size_t l = 0; l < levels_.size(); ++l) {
            if (!(levels_[l] > 0 && levels_[l] < 1)) (void)interval_half_width(1, levels_[l]);
            const double half = conformal_width(t, levels_[l], pooled);
            out_.lower[t * levels_.size() + l] = out_.mean[t] - half;
            out_.upper[t * levels_.size() + l] = out_.mean[t] + half;
        }
    }
    conformal_quantiles(pooled);
}

// Those of the interval that they are the ends of; in the middle there is the forecast.
void Forecaster::conformal_quantiles(std::span<const double> pooled) {
    const std::span<const double> p = out_.probabilities;
    for (std::size_t t = 0; t < h_; ++t) {
        for (std::size_t i = 0; i < p.size(); ++i) {
            const bool below = p[i] < 0.5;
            const double level = 1 - 2 * (below ? p[i] : 1 - p[i]);
            const double half = level > 0 ? conformal_width(t, level, pooled) : 0;
            out_.quantiles[t * p.size() + i] = out_.mean[t] + (below ? -half : half);
        }
    }
}

// In 64ths, so that no difference overflows. A constant series has a range of what rounding leaves.
bool Forecaster::explosive(double mean) const noexcept {
    constexpr double kUnit = 0x1p-6, kRounding = 1e-6;
    const double low = model_.smallest * kUnit, high = model_.largest * kUnit;
    const double range =
        std::max(high - low, kRounding * std::max(std::fabs(low), std::fabs(high)));
    const double at = mean * kUnit;
    return at - high > kExplosive * range || low - at > kExplosive * range;
}

// "+ 0.0" makes 0 of the -0 that small negative values are rounded to.
void Forecaster::finish_step(std::size_t t) {
    double& mean = out_.mean[t];
    const std::size_t levels = levels_.size();
    if (!std::isnan(mean)) {
        if (explosive(mean)) out_.flags[t] |= kForecastExplosive;
        if (model_.round) mean = std::round(mean) + 0.0;
        if (mean < low_ || mean > high_) out_.flags[t] |= kForecastBounded;
        mean = std::min(std::max(mean, low_), high_);
    }
    for (std::size_t l = 0; l < levels; ++l) {
        double &lower = out_.lower[t * levels + l], &upper = out_.upper[t * levels + l];
        if (std::isnan(mean) || !std::isfinite(lower) || !std::isfinite(upper)) {
            lower = upper = FitSummary::kNone;
            out_.flags[t] |= kForecastNoInterval;
            continue;
        }
        if (model_.round) {
            lower = std::floor(lower) + 0.0;
            upper = std::ceil(upper) + 0.0;
        }
        lower = std::min(std::clamp(lower, low_, high_), mean);
        upper = std::max(std::clamp(upper, low_, high_), mean);
    }
}

// Rounded outward as intervals are. Then in order, from the middle outward: conformal quantiles are
// of one step's errors where these suffice, and of all steps' otherwise.
void Forecaster::finish_quantiles(std::size_t t) {
    const std::span<const double> p = out_.probabilities;
    const std::span<double> q = out_.quantiles.subspan(t * p.size(), p.size());
    for (std::size_t i = 0; i < p.size(); ++i) {
        if (std::isnan(out_.mean[t]) || !std::isfinite(q[i])) {
            q[i] = FitSummary::kNone;
            continue;
        }
        if (model_.round) {
            q[i] = p[i] < 0.5 ? std::floor(q[i]) : p[i] > 0.5 ? std::ceil(q[i]) : std::round(q[i]);
            q[i] += 0.0;
        }
        q[i] = std::clamp(q[i], low_, high_);
    }
    const auto middle = std::lower_bound(p.begin(), p.end(), 0.5) - p.begin();
    double low = std::numeric_limits<double>::infinity(), high = -low;
    for (auto i = static_cast<std::size_t>(middle); i < p.size(); ++i) {
        if (std::isnan(q[i])) continue;
        if (low > q[i]) low = q[i];
        q[i] = high = std::max(q[i], high);
    }
    for (auto i = static_cast<std::size_t>(middle); i-- > 0;) {
        if (!std::isnan(q[i])) q[i] = low = std::min(q[i], low);
    }
}

void Forecaster::make_intervals() {
    switch (model_.intervals) {
        case IntervalMethod::none:
            clear_intervals();
            break;
        case IntervalMethod::conformal:
            conformal();
            break;
        case IntervalMethod::bootstrap:
            if (bootstrap()) break;
            [[fallthrough]];
        case IntervalMethod::analytic:
            analytic();
            break;
    }
}

void check_probabilities(std::span<const double> probabilities) {
    double before = 0;
    for (const double p : probabilities) {
        if (!(p > before && p < 1)) {
            throw Error(ErrorKind::invalid_argument, "quantiles ascend between 0 and 1");
        }
        before = p;
    }
}

ForecastStatus Forecaster::run(std::span<const double> regressors) {
    std::fill(out_.flags.begin(), out_.flags.end(), std::uint8_t{0});
    for (const double level : levels_) {
        if (!(level > 0 && level < 1)) (void)interval_half_width(1, level);  // throws
    }
    check_probabilities(out_.probabilities);
    const ForecastStatus status = forecast_members(regressors);
    if (status != ForecastStatus::ok) return status;
    combine_means();
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    low_ = std::isnan(model_.lower_bound) ? -kInfinity : model_.lower_bound;
    high_ = std::isnan(model_.upper_bound) ? kInfinity : model_.upper_bound;
    if (model_.round && std::ceil(low_) <= std::floor(high_)) {
        low_ = std::ceil(low_);
        high_ = std::floor(high_);
    }
    if (!levels_.empty() || !out_.probabilities.empty()) make_intervals();
    for (std::size_t t = 0; t < h_; ++t) {
        finish_step(t);
        if (!out_.probabilities.empty()) finish_quantiles(t);
    }
    return ForecastStatus::ok;
}

}  // namespace

ForecastStatus forecast_model(const ForecastModel& model, const TimeZoneMap& zone,
                              std::span<const double> future, std::span<const double> levels,
                              const ForecastSteps& out) {
    const std::size_t h = out.mean.size(), features = static_cast<std::size_t>(model.n_features);
    if (model.members.empty() || future.size() != h * features || out.flags.size() != h ||
        out.lower.size() != h * levels.size() || out.upper.size() != out.lower.size() ||
        out.quantiles.size() != h * out.probabilities.size() ||
        (model.combination == Combination::weighted &&
         model.weights.size() != model.members.size())) {
        return ForecastStatus::not_admissible;
    }
    if (h == 0) return ForecastStatus::ok;
    Forecaster forecaster(model, levels, out);
    if (!model.calendar) return forecaster.run(future);
    std::vector<double> regressors(future.begin(), future.end());
    (void)calendar_columns(model.grid, zone, model.n, static_cast<std::int64_t>(h), regressors);
    return forecaster.run(regressors);
}

bool move_forward(ForecastModel& model, const TimeZoneMap& zone, std::span<const double> y,
                  std::span<const double> x) {
    const auto k = static_cast<std::int64_t>(y.size());
    std::vector<double> regressors(x.begin(), x.end());
    if (model.calendar) (void)calendar_columns(model.grid, zone, model.n, k, regressors);
    std::vector<MethodFit> members = model.members;
    for (MethodFit& member : members) {
        // Values that near the largest double may overflow in a state alone.
        if (!update_method(member, y, regressors) || fit_defect(member) != nullptr) return false;
    }
    model.members = std::move(members);
    model.n += k;
    for (const double v : y) {
        model.smallest = std::min(model.smallest, v);
        model.largest = std::max(model.largest, v);
    }
    return true;
}

}  // namespace many::core
