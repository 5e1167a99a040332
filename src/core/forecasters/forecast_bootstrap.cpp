// Intervals by the bootstrap of one-step errors (Hyndman, Koehler, Ord & Snyder 2008, 6.1: simulated
// futures; errors drawn from those of the fit instead of a normal distribution).
#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/forecasters/forecast_parts.h"
#include "core/forecasters/method_paths.h"
#include "core/selection/split.h"

namespace many::core {
namespace {

constexpr std::size_t kPaths = 1000, kMostValues = 2'000'000, kFewestPaths = 200;
constexpr std::size_t kFewestResiduals = 2;

// Uniform in 0 .. n - 1.
class Draw {
  public:
    explicit Draw(std::uint64_t seed) noexcept
        : state_(detail::mix64(seed ^ 0x9e3779b97f4a7c15ULL)) {}
    std::size_t operator()(std::size_t n) noexcept {
        state_ += 0x9e3779b97f4a7c15ULL;
        // n is at most some hundred: no bias that shows.
        return static_cast<std::size_t>((detail::mix64(state_) >> 32) * n >> 32);
    }

  private:
    std::uint64_t state_;
};

// Of sorted values, by linear interpolation between them.
double quantile(std::span<const double> sorted, double p) noexcept {
    const double place = p * static_cast<double>(sorted.size() - 1);
    const std::size_t below = static_cast<std::size_t>(place);
    if (below + 1 >= sorted.size()) return sorted.back();
    const double part = place - static_cast<double>(below);
    return sorted[below] + part * (sorted[below + 1] - sorted[below]);
}

}  // namespace

void set_residuals(ForecastModel& model, const SeriesData& series) {
    model.residuals.clear();
    const std::size_t n = series.y.size();
    std::vector<double> fitted(n), all(n * model.members.size());
    for (std::size_t k = 0; k < model.members.size(); ++k) {
        const std::span<double> errors = std::span<double>(all).subspan(k * n, n);
        if (!one_step_method(model.members[k], series, fitted, errors)) return;
    }
    // The times at which every member has an error.
    std::vector<std::size_t> times;
    for (std::size_t t = n; t-- > 0 && times.size() < kMaxResiduals;) {
        bool known = true;
        for (std::size_t k = 0; k < model.members.size(); ++k) {
            known = known && std::isfinite(all[k * n + t]);
        }
        if (known) times.push_back(t);
    }
    if (times.size() < kFewestResiduals) return;
    const double count = static_cast<double>(times.size());
    for (std::size_t k = 0; k < model.members.size(); ++k) {
        double mean = 0;
        for (const std::size_t t : times) mean += all[k * n + t] / count;
        for (std::size_t i = times.size(); i-- > 0;) {
            const double centred = all[k * n + times[i]] - mean;
            if (!std::isfinite(centred)) {
                model.residuals.clear();
                return;
            }
            model.residuals.push_back(centred);
        }
    }
}

bool bootstrap_quantiles(const ForecastModel& model, std::span<const double> means,
                         std::span<const double> probabilities, std::span<double> quantiles) {
    const std::size_t members = model.members.size(), h = means.size() / members;
    const std::size_t n = model.residuals.size() / members;
    if (n < kFewestResiduals || h == 0) return false;
    std::vector<PathMaker> makers;
    makers.reserve(members);
    for (std::size_t k = 0; k < members; ++k) {
        makers.emplace_back(model.members[k], means.subspan(k * h, h));
        if (!makers.back().possible()) return false;
    }
    const std::size_t n_paths = std::clamp(kMostValues / h, kFewestPaths, kPaths);
    std::vector<double> paths(n_paths * h), errors(h), parts(members * h);
    std::vector<std::size_t> drawn(h);
    Combiner combine(model.combination, model.weights);
    Draw draw(model.seed);
    for (std::size_t i = 0; i < n_paths; ++i) {
        for (std::size_t& d : drawn) d = draw(n);
        for (std::size_t k = 0; k < members; ++k) {
            for (std::size_t t = 0; t < h; ++t) errors[t] = model.residuals[k * n + drawn[t]];
            makers[k].run(errors, std::span<double>(parts).subspan(k * h, h));
        }
        // By step, as quantiles are taken.
        for (std::size_t t = 0; t < h; ++t) {
            paths[t * n_paths + i] = combine(parts.data() + t, members, h);
        }
    }
    for (std::size_t t = 0; t < h; ++t) {
        const std::span<double> at = std::span<double>(paths).subspan(t * n_paths, n_paths);
        const bool known =
            std::none_of(at.begin(), at.end(), [](double v) { return std::isnan(v); });
        if (known) std::sort(at.begin(), at.end());
        const std::span<double> out =
            quantiles.subspan(t * probabilities.size(), probabilities.size());
        for (std::size_t i = 0; i < out.size(); ++i) {
            out[i] = known ? quantile(at, probabilities[i]) : FitSummary::kNone;
        }
    }
    return true;
}

}  // namespace many::core
