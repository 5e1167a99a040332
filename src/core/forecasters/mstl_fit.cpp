#include "core/forecasters/mstl_fit.h"

#include <algorithm>
#include <cmath>

#include "core/forecasters/stl.h"

namespace many::core {

bool adjust_mstl(std::span<const double> y, std::span<const int> season_lengths,
                 std::vector<double>& adjusted, MstlFit* out) {
    // Scaled by a power of two: no sum of loess overflows.
    double largest = 0;
    for (const double v : y) {
        if (!std::isfinite(v)) return false;
        largest = std::max(largest, std::fabs(v));
    }
    int exponent = 0;
    (void)std::frexp(largest, &exponent);
    adjusted.assign(y.begin(), y.end());
    for (double& v : adjusted) v = std::ldexp(v, -exponent);
    Decomposition d = mstl(adjusted, season_lengths);
    if (d.status != ForecastStatus::ok) return false;
    const std::size_t n = y.size();
    for (std::size_t i = 0; i < d.seasons.size(); ++i) {
        const std::vector<double>& s = d.seasonal[i];
        for (std::size_t t = 0; t < n; ++t) adjusted[t] -= s[t];
        if (out == nullptr) continue;
        const std::size_t m = static_cast<std::size_t>(d.seasons[i]);
        std::vector<double> cycle(s.end() - d.seasons[i], s.end());
        for (double& v : cycle) v = std::ldexp(v, exponent);
        out->season_lengths.push_back(static_cast<int>(m));
        out->last_cycle.push_back(std::move(cycle));
    }
    for (double& v : adjusted) v = std::ldexp(v, exponent);
    return true;
}

ForecastStatus fit_mstl(std::span<const double> y, std::span<const int> season_lengths,
                        const EtsOptions& options, const StopSignal& stop, EtsWorkspace& workspace,
                        MstlFit& out) {
    out = {};
    const auto finish = [&](ForecastStatus status) {
        out.summary.status = status;
        return status;
    };
    if (y.empty()) return finish(ForecastStatus::too_short);
    std::vector<double> adjusted;
    if (!adjust_mstl(y, season_lengths, adjusted, &out)) return finish(ForecastStatus::overflow);
    const ForecastStatus status = choose_ets({adjusted, 1}, options, stop, workspace, out.adjusted);
    out.summary = out.adjusted.summary;
    return finish(status);
}

void add_seasons(const MstlFit& fit, std::span<double> values) noexcept {
    for (const std::vector<double>& cycle : fit.last_cycle) {
        for (std::size_t h = 0; h < values.size(); ++h) values[h] += cycle[h % cycle.size()];
    }
}

ForecastStatus forecast_mstl(const MstlFit& fit, const ForecastOut& out) {
    const ForecastStatus status = forecast_ets(fit.adjusted, out);
    add_seasons(fit, out.mean);
    if (status != ForecastStatus::ok) return status;
    const bool finite =
        std::all_of(out.mean.begin(), out.mean.end(), [](double v) { return std::isfinite(v); });
    return finite ? ForecastStatus::ok : ForecastStatus::overflow;
}

bool update_mstl(MstlFit& fit, std::span<const double> y) {
    std::vector<double> seasons(y.size(), 0.0);
    add_seasons(fit, seasons);
    for (std::size_t t = 0; t < y.size(); ++t) seasons[t] = y[t] - seasons[t];
    if (update_ets(fit.adjusted, seasons) != ForecastStatus::ok) return false;
    for (std::vector<double>& cycle : fit.last_cycle) {
        const auto turn = static_cast<std::ptrdiff_t>(y.size() % cycle.size());
        std::rotate(cycle.begin(), cycle.begin() + turn, cycle.end());
    }
    return true;
}

}  // namespace many::core
