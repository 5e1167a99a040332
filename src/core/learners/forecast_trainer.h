// From the rows of one group, in any order, to an encoded forecaster with its metrics: the peer of
// GroupTrainer for algorithms that forecast.
//
// The rows become a regular series (forecasters/time_grid.h). The last of them are held out: the
// method is fitted to the series before and judged on them. With folds (options cv_folds, or where
// candidates, weights or conformal intervals need them) a rolling-origin backtest judges by horizon
// step (Tashman 2000). The final fit is of the whole series. Nothing of later rows reaches an
// earlier fit: candidates of auto_forecast are chosen anew on each training part that is judged.
//
// Short series: a method that needs more values than there are steps down - without its season, then
// naive - unless spec.step_down is false; the model's rung says so.
#pragma once

#include <cstdint>
#include <memory>

#include "core/forecasters/forecast_model.h"
#include "core/learners/group_trainer.h"

namespace many::core {

constexpr int kMaxCandidates = 12;
constexpr int kMaxSeasons = 4;
constexpr int kMaxBacktestFolds = 100;
constexpr int kMaxHorizon = 10000;

// Rolling origin: fold i of `folds` (0 the latest) tests on `horizon` observations that end
// i * step before the series' end, and trains on those before them, `gap` observations apart. Step s
// is the s-th of these observations. Folds that leave nothing to train on are left out.
//
// Candidates are chosen and weighed by the same backtest of the part they are chosen for (folds 0:
// of 3 folds, training on half of it at least; a part too short for that: over a quarter of it).
// Conformal intervals take its errors too (folds 0: 20 folds, step 1).
struct BacktestSpec {
    int folds = 0;    // 0: no backtest
    int horizon = 0;  // 0: the run's
    int gap = 0;
    int step = 0;    // between origins; 0: as horizon
    int window = 0;  // sliding: observations to train on; 0: expanding, all before
};

// Trivially copyable.
struct ForecastSpec {
    MethodSpec method;     // auto_forecast, ensemble: of the candidates
    int n_candidates = 0;  // 0: default_candidates, and for auto_forecast tsb where it applies
    MethodSpec candidates[kMaxCandidates];
    Combination combination =
        Combination::single;    // ensemble; single: trimmed, of named ones median
    int n_season_lengths = -1;  // -1: by the step
    int season_lengths[kMaxSeasons] = {};
    GridSpec grid;
    char zone[64] = {};  // of a timestamptz
    int horizon = 0;     // 0: by the step
    BacktestSpec backtest;
    IntervalMethod intervals = IntervalMethod::analytic;
    double lower_bound = FitSummary::kNone, upper_bound = FitSummary::kNone;
    bool round = false;
    bool step_down = true;
    HoldoutSpec holdout;         // kind fraction, rows, since: of the series' observations
    std::int64_t min_rows = -1;  // -1: 1
    std::uint64_t seed = 0;
    int n_features = 0;
    std::int64_t max_length = 10'000'000;  // observations of a series on its grid
};

// The candidates of auto_forecast and ensemble when the caller names none.
// auto_forecast: seasonal_naive, ets, arima, theta. With n_candidates = 0 the trainer adds tsb where
// more than half of the values of the part at hand are 0.
// ensemble: arima, mstl, dynamic_theta, autoregression, seasonal_naive, trimmed: chosen on M3 and M4
// (docs/forecasting.md).
void default_candidates(ForecastMethod method, ForecastSpec& spec);

// The one-step forecasts of the series that the model was fitted to, the members' combined as their
// forecasts are; NaN where there is none. False: a member has no such thing.
[[nodiscard]] bool fitted_values(const ForecastModel& model, const SeriesData& data,
                                 std::vector<double>& fitted);

// One forecast of a backtest, for backtest_many_models.
struct BacktestPoint {
    int fold;
    int step;                               // 1 .. horizon
    std::int64_t at;                        // index of the observation in the series
    double actual, forecast, lower, upper;  // of the 95 % interval, NaN: none
};

class ForecastTrainer {
  public:
    ForecastTrainer();
    ~ForecastTrainer();
    ForecastTrainer(const ForecastTrainer&) = delete;
    ForecastTrainer& operator=(const ForecastTrainer&) = delete;

    // rows: n rows of n_features + 2 doubles (features, target, bit-cast int64 time) at
    // rows + r * stride; may be reordered and overwritten. Statuses and messages as GroupTrainer's
    // ({target}, {k} for names of columns; {time:N} for the time N of the time column).
    // result.comparison.baseline: naive2 (seasonal) on the held-out observations.
    // rival: a stored forecaster, compared on these observations when its series ends before the first
    // of them and all that are held out are steps of its forecast; comparison.rival.n_rows is 0
    // otherwise. Its features are columns of the rows.
    void fit_rows(const ForecastSpec& spec, const TimeZoneMap& zone, double* rows, std::size_t n,
                  std::size_t stride, const StopSignal& stop, GroupResult& result,
                  const Rival* rival = nullptr);

    // As fit_rows without the final fit: the points of the backtest (and `grid` they lie on).
    void backtest_rows(const ForecastSpec& spec, const TimeZoneMap& zone, double* rows,
                       std::size_t n, std::size_t stride, const StopSignal& stop,
                       GroupResult& result, TimeGrid& grid, std::vector<BacktestPoint>& points);

    // The stored model with new observations behind its end: states move, parameters stay. False
    // when it allows none, or a fit may be of another kind, such as of a model that stepped down
    // (then: fit_rows). rows: those after the model's last time. result.comparison: none.
    [[nodiscard]] bool append_rows(const ForecastSpec& spec, const TimeZoneMap& zone,
                                   const ForecastModel& model, const double* rows, std::size_t n,
                                   std::size_t stride, GroupResult& result);

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace many::core
