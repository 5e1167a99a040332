// A forecaster in production, judged on the observations that a candidate is judged on.
//
// It is fair where the rival has not seen them: its series ends before the first. Then its forecasts of
// their times are compared with them. A rival that ends earlier than the candidate's training part looks
// further ahead, as it would have had to. One that ends later knows what the candidate is to guess, and
// is not compared; nor one of another step or time zone, whose values mean something else.
//
// All errors are of forecasts from one origin and depend on each other: the test is that for
// differences in time (comparison.h).
#include <algorithm>
#include <cmath>

#include "core/learners/forecast_trainer_impl.h"
#include "core/selection/comparison.h"

namespace many::core {

// Which step ahead each point is for the rival.
bool ForecastTrainer::Impl::rival_steps(const ForecastModel& rival,
                                        std::span<const JudgedPoint> held,
                                        std::vector<std::int64_t>& steps) const {
    const TimeGrid& own = series.grid;
    if (rival.grid.type != own.type || !(rival.grid.step == own.step) || rival.zone != spec->zone) {
        return false;
    }
    steps.clear();
    for (const JudgedPoint& p : held) {
        std::int64_t index = 0;
        if (!index_of(rival.grid, time_at(own, p.at, zone), zone, index)) return false;
        const std::int64_t step = index - (rival.n - 1);
        if (step < 1 || step > kMaxHorizon) return false;
        steps.push_back(step);
    }
    return true;
}

bool ForecastTrainer::Impl::rival_future(const ForecastModel& rival, const int* columns, int h,
                                         std::vector<double>& x) const {
    const auto height = static_cast<std::size_t>(h);
    x.assign(height * static_cast<std::size_t>(rival.n_features), 0.0);
    for (int s = 0; s < h && rival.n_features > 0; ++s) {
        std::int64_t index = 0;
        const std::int64_t time = time_at(rival.grid, rival.n + s, zone);
        if (!index_of(series.grid, time, zone, index) || index < 0 || index >= size()) return false;
        for (int k = 0; k < rival.n_features; ++k) {
            const int column = columns == nullptr ? k : columns[k];
            if (column < 0 || column >= spec->n_features) return false;
            x[static_cast<std::size_t>(k) * height + static_cast<std::size_t>(s)] =
                series.x[static_cast<std::size_t>(column) * series.y.size() +
                         static_cast<std::size_t>(index)];
        }
    }
    return true;
}

void ForecastTrainer::Impl::compare(const Rival& rival, std::span<const JudgedPoint> held,
                                    Comparison& comparison) {
    if (held.empty() || rival.forecaster == nullptr) return;
    ForecastModel model;
    std::vector<std::int64_t> steps;
    std::vector<double> x;
    decode_forecast_model(rival.forecaster, rival.forecaster_bytes, model);
    if (!rival_steps(model, held, steps)) return;
    const auto h = static_cast<int>(*std::max_element(steps.begin(), steps.end()));
    if (!rival_future(model, rival.columns, h, x)) return;
    std::vector<double> forecast(static_cast<std::size_t>(h), FitSummary::kNone);
    std::vector<std::uint8_t> said(static_cast<std::size_t>(h), 0);
    if (forecast_model(model, zone, x, {}, {forecast, {}, {}, said}) != ForecastStatus::ok) return;

    std::vector<JudgedPoint> judged;
    std::vector<double> by_square;
    std::vector<double> by_absolute;
    for (std::size_t i = 0; i < held.size(); ++i) {
        JudgedPoint point = held[i];
        const double own = point.forecast;
        point.forecast = forecast[static_cast<std::size_t>(steps[i] - 1)];
        if (!std::isfinite(point.forecast)) continue;
        const double e = point.forecast - point.actual;
        const double candidate = own - point.actual;
        by_square.push_back(e * e - candidate * candidate);
        by_absolute.push_back(std::fabs(e) - std::fabs(candidate));
        judged.push_back(point);
    }
    if (judged.empty()) return;
    paired_in_time(by_square, by_absolute, &comparison.paired);
    const StepMetrics m = judge_points(judged);
    comparison.rival = {m.n, m.rmse, m.mae, m.mape, m.smape, m.r2, m.bias};
    comparison.rival_mase = m.mase;
}

}  // namespace many::core
