#include "engine/forecast_cost.h"

#include <algorithm>
#include <vector>

namespace many::engine {

namespace {

using core::ForecastMethod;

// Microseconds per observation of one fit, measured on series of M3 (docs/forecasting.md has the
// tables): without a season, and with one of 12.
struct MethodCost {
    ForecastMethod method;
    double plain;
    double seasonal;
};
constexpr MethodCost kCosts[] = {
    {ForecastMethod::ses, 0.4, 0.4},
    {ForecastMethod::holt, 0.7, 0.7},
    {ForecastMethod::damped_holt, 1, 1},
    {ForecastMethod::holt_winters, 1, 4},
    {ForecastMethod::ets, 6, 30},
    {ForecastMethod::theta, 0.4, 0.4},
    {ForecastMethod::optimised_theta, 1.5, 1.5},
    {ForecastMethod::dynamic_theta, 2.5, 2.5},
    {ForecastMethod::arima, 12, 60},
    {ForecastMethod::mstl, 6, 12},
    {ForecastMethod::ces, 2, 20},
    {ForecastMethod::autoregression, 0.2, 0.5},
};
constexpr double kSimplest = 0.02;   // naive, means, croston
constexpr double kFormOfMany = 0.1;  // of a search among forms or orders: one that is given
constexpr double kSeries = 1.5;      // of a group, whatever its method
constexpr double kSeriesRow = 0.1;
constexpr int kSelectionFolds = 3;
constexpr int kConformalFolds = 20;
constexpr double kTrainingPart = 0.75;  // of the series, in a fold of a selection
constexpr double kModelHead = 420;
constexpr double kStepBytes = 13 * 8;

bool has_season(const core::ForecastSpec& spec) {
    if (spec.n_season_lengths >= 0)
        return std::any_of(spec.season_lengths, spec.season_lengths + spec.n_season_lengths,
                           [](int m) { return m > 1; });
    if (!spec.grid.step.given()) return true;  // not known before the rows are read
    std::vector<int> lengths;
    core::default_season_lengths(spec.grid.type, spec.grid.step, lengths);
    return !lengths.empty();
}

double one_fit(const core::MethodSpec& method, bool seasonal, double rows) {
    double per_row = kSimplest;
    for (const MethodCost& cost : kCosts)
        if (cost.method == method.method) per_row = seasonal ? cost.seasonal : cost.plain;
    if (method.has_form || method.has_order) per_row *= kFormOfMany;
    return per_row * rows;
}

int horizon_of(const core::ForecastSpec& spec) {
    return spec.horizon > 0 ? spec.horizon : core::default_horizon(spec.grid.type, spec.grid.step);
}

// Choice and fit of one part of the series.
double part_us(const core::ForecastSpec& spec, bool seasonal, double rows) {
    if (spec.n_candidates == 0) return one_fit(spec.method, seasonal, rows);
    double all = 0;
    double most = 0;
    for (int i = 0; i < spec.n_candidates; i++) {
        const double one = one_fit(spec.candidates[i], seasonal, rows);
        all += one;
        most = std::max(most, one);
    }
    const bool chooses = spec.method.method == ForecastMethod::auto_forecast;
    const int folds = spec.backtest.folds > 0 ? spec.backtest.folds : kSelectionFolds;
    double us = chooses ? most : all;
    if (chooses || spec.combination == core::Combination::weighted)
        us += folds * kTrainingPart * all;
    return us;
}

}  // namespace

double forecast_fit_us(const core::ForecastSpec& spec, double rows) {
    const bool seasonal = has_season(spec);
    const double one = part_us(spec, seasonal, rows);
    double parts = 1;
    if (spec.holdout.kind != core::HoldoutSpec::Kind::none) parts += kTrainingPart;
    parts += kTrainingPart * spec.backtest.folds;
    if (spec.intervals == core::IntervalMethod::conformal)
        parts *=
            1 + kTrainingPart * (spec.backtest.folds > 0 ? spec.backtest.folds : kConformalFolds);
    return kSeries + kSeriesRow * rows + parts * one;
}

double forecast_model_bytes(const core::ForecastSpec& spec, double rows) {
    const double horizon = horizon_of(spec);
    double steps = 0;
    if (spec.holdout.kind != core::HoldoutSpec::Kind::none) steps += std::min(horizon, 0.2 * rows);
    if (spec.backtest.folds > 0) steps += horizon;
    const int members = spec.method.method == ForecastMethod::ensemble ? spec.n_candidates : 1;
    double bytes = kModelHead * members + kStepBytes * steps;
    if (spec.intervals == core::IntervalMethod::conformal)
        bytes += 8 * horizon * (spec.backtest.folds > 0 ? spec.backtest.folds : kConformalFolds);
    if (spec.intervals == core::IntervalMethod::bootstrap) bytes += 8 * std::min(rows, 500.0);
    return bytes;
}

}  // namespace many::engine
