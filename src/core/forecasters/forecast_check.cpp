// Whether a stored forecaster makes sense as a whole: what decoding demands of bytes that anybody may
// have written. Forecasting relies on it.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/forecasters/forecast_parts.h"
#include "core/forecasters/method_check.h"

namespace many::core {
namespace {

constexpr std::size_t kMostMembers = 64, kMostSeasons = 16, kLongestZone = 63;
constexpr int kMostFeatures = 1 << 20;
constexpr std::uint8_t kLastRung = 2;

bool sound_grid(const TimeGrid& grid) noexcept {
    const TimeStep& step = grid.step;
    if (step.months < 0 || step.units < 0 || (step.months > 0) == (step.units > 0)) return false;
    if (grid.type == TimeType::integer && step.months > 0) return false;
    return grid.day_of_month >= 0 && grid.day_of_month <= 31;
}

bool sound_zone(const std::string& zone) noexcept {
    return zone.size() <= kLongestZone &&
           std::all_of(zone.begin(), zone.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

bool sound_counts(const ForecastModel& m) noexcept {
    const auto count = [](std::int64_t n) { return n >= 0 && n <= kMostObservations; };
    return m.n >= 1 && count(m.n) && count(m.n_filled) && m.n_merged >= 0 && m.n_trimmed >= 0 &&
           m.n_features >= 0 && m.n_features <= kMostFeatures &&
           m.season_lengths.size() <= kMostSeasons &&
           std::all_of(m.season_lengths.begin(), m.season_lengths.end(),
                       [](int length) { return length > 1; });
}

bool sound_bounds(const ForecastModel& m) noexcept {
    const auto usable = [](double v) { return !std::isinf(v); };
    return usable(m.lower_bound) && usable(m.upper_bound) && !(m.lower_bound > m.upper_bound) &&
           std::isfinite(m.smallest) && std::isfinite(m.largest) && m.smallest <= m.largest &&
           !(m.mase_scale < 0) && !(m.rmsse_scale < 0);
}

bool sound_weights(const ForecastModel& m) noexcept {
    if (m.combination == Combination::single && m.members.size() != 1) return false;
    if (m.combination != Combination::weighted) return m.weights.empty();
    double sum = 0;
    for (const double w : m.weights) {
        if (!(w >= 0) || !std::isfinite(w)) return false;
        sum += w;
    }
    return m.weights.size() == m.members.size() && sum > 0 && std::isfinite(sum);
}

bool sound_scores(const ForecastModel& m) noexcept {
    if (m.conformal_steps < 0 || m.n_scores < 0) return false;
    const std::size_t n = static_cast<std::size_t>(m.n_scores),
                      steps = static_cast<std::size_t>(m.conformal_steps);
    if (m.scores.size() != n * steps) return false;
    for (std::size_t i = 0; i < m.scores.size(); ++i) {
        if (!std::isfinite(m.scores[i]) || m.scores[i] < 0) return false;
        if (i % n > 0 && m.scores[i] < m.scores[i - 1]) return false;
    }
    return true;
}

// Regressors of a member: none, or the model's.
bool sound_regressors(const ForecastModel& m, const MethodFit& fit) noexcept {
    int n = 0;
    if (const auto* arima = std::get_if<ArimaFit>(&fit.fit)) n = arima->n_regressors;
    if (const auto* ar = std::get_if<AutoregressionFit>(&fit.fit))
        n = static_cast<int>(
            std::min<std::size_t>(ar->regressor_coefficients.size(), kMostFeatures + 1));
    return n == 0 || (m.calendar ? n >= m.n_features : n == m.n_features);
}

}  // namespace

const char* model_defect(const ForecastModel& m) noexcept {
    if (m.asked == ForecastMethod::none || std::strcmp(method_name(m.asked), "unknown") == 0) {
        return "its method is not known";
    }
    if (m.members.empty() || m.members.size() > kMostMembers)
        return "it has no members or too many";
    if (m.rung > kLastRung || !sound_counts(m)) return "a count is out of range";
    if (!sound_grid(m.grid) || !sound_zone(m.zone)) return "its times make no sense";
    if (!sound_weights(m)) return "its weights are not those of its members";
    if (!sound_bounds(m)) return "a bound or scale is out of range";
    if (!sound_scores(m)) return "its scores are not sorted errors";
    if (m.residuals.size() % m.members.size() != 0 ||
        !std::all_of(m.residuals.begin(), m.residuals.end(),
                     [](double v) { return std::isfinite(v); })) {
        return "its residuals are not those of its members";
    }
    for (const MethodFit& fit : m.members) {
        if (const char* defect = fit_defect(fit)) return defect;
        if (!sound_regressors(m, fit)) return "a fit has other regressors than the model";
    }
    return nullptr;
}

}  // namespace many::core
