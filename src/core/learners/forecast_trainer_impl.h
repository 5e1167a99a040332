// What a ForecastTrainer keeps while it works at a group. Private to learners/forecast_*.cpp.
//
// A part is what a fit may see: observations begin .. end - 1 of the group's series. Everything that
// is judged is fitted to a part by fit_part, which chooses, weighs and steps down anew from that
// part alone. The fits of single methods are kept by (candidate, rung, part), since the parts of
// nested backtests coincide: what is the same fit is made once.
#pragma once

#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "core/learners/forecast_trainer.h"
#include "core/selection/forecast_metrics.h"

namespace many::core {

struct Part {
    int begin = 0, end = 0;
    [[nodiscard]] int size() const noexcept { return end - begin; }
};

// Tests on the observations test .. test + count - 1, test >= train.end.
struct Fold {
    int number = 0;
    Part train;
    int test = 0, count = 0;
};

struct ForecastTrainer::Impl {
    // Rungs of the ladder for short series.
    static constexpr int kAsAsked = 0, kWithoutSeason = 1, kNaive = 2, kRungs = 3;

    struct Member {
        ForecastStatus status = ForecastStatus::ok;
        MethodFit fit;
    };
    // Of a candidate over the folds of a selection.
    struct Score {
        bool judged = false;  // it has a forecast of every fold
        double mase = 0;
        double mse = 0;  // in units of the largest value of the part
    };

    ForecastWorkspace workspace;

    // The group at hand.
    const ForecastSpec* spec = nullptr;
    TimeZoneMap zone;
    StopSignal stop;
    RegularSeries series;
    std::vector<int> seasons;
    std::vector<double> regressors;  // n x n_regressors, column-major: features, calendar
    int n_regressors = 0;
    bool calendar = false;
    int horizon = 1;
    std::vector<MethodSpec> candidates;  // one for a single method
    int zero_candidate = -1;             // the one that takes part for intermittent parts alone
    std::map<std::tuple<int, int, int, int>, Member> members;

    // Scratch.
    SeriesScratch scratch;
    std::vector<double> values, part_x, future, mean, variance, lower, upper;
    std::vector<std::uint8_t> flags;

    // forecast_rows.cpp. Drops rows that say nothing; false: result says why there is no series.
    [[nodiscard]] bool make_series(double* rows, std::size_t n, std::size_t stride,
                                   GroupResult& result);
    // Seasons, regressors, horizon, candidates.
    void prepare();
    // Observations that are held out.
    [[nodiscard]] int holdout_size() const;

    [[nodiscard]] int size() const noexcept { return static_cast<int>(series.y.size()); }
    [[nodiscard]] int season_length() const noexcept { return seasons.empty() ? 1 : seasons[0]; }
    [[nodiscard]] std::span<const unsigned char> observed(Part part) const noexcept;
    [[nodiscard]] std::span<const double> actuals(Part part) const noexcept;
    [[nodiscard]] std::int64_t n_observed(Part part) const noexcept;

    // forecast_fit.cpp
    // The values of a part as a fit may see them; valid until the next call.
    [[nodiscard]] std::span<const double> training_values(Part part);
    [[nodiscard]] SeriesData data_of(Part part, bool with_seasons);
    // Columns first .. of `regressors` for count observations from `from`, column-major.
    [[nodiscard]] std::span<const double> future_of(int from, int count, int columns);
    [[nodiscard]] bool combined() const noexcept {
        return spec->method.method == ForecastMethod::auto_forecast ||
               spec->method.method == ForecastMethod::ensemble;
    }
    // Whether the part has no season for a method that is to have one: too short as it was asked for.
    [[nodiscard]] bool lacks_season(const MethodSpec& method, Part part) const noexcept;
    const Member& fit_member(int candidate, int rung, Part part);
    // Chooses and fits; `stopped`, or the reason why no rung has a fit.
    [[nodiscard]] ForecastStatus fit_part(Part part, ForecastModel& out);
    [[nodiscard]] ForecastStatus fit_rung(int rung, Part part, ForecastModel& out);
    [[nodiscard]] ForecastStatus fit_combined(int rung, Part part, ForecastModel& out);
    [[nodiscard]] std::vector<int> taking_part(Part part) const;
    [[nodiscard]] ForecastStatus score(const std::vector<int>& who, int rung, Part part,
                                       std::vector<Score>& out);
    [[nodiscard]] bool forecast_member(const Member& member, const Fold& fold);

    // forecast_backtest.cpp
    [[nodiscard]] std::vector<Fold> folds_of(Part part, const BacktestSpec& spec, int least) const;
    [[nodiscard]] BacktestSpec resolved_backtest(int default_folds, int default_step) const;
    [[nodiscard]] std::vector<Fold> selection_folds(Part part) const;
    // What intervals are made of: needs backtests of the part, or its residuals.
    [[nodiscard]] ForecastStatus add_intervals(Part part, ForecastModel& model);
    [[nodiscard]] ForecastStatus add_scores(Part part, ForecastModel& model);
    // Fits the fold's training part and adds its observed points; a training part without a fit
    // adds none. Only `stopped` is a failure.
    [[nodiscard]] ForecastStatus judge(const Fold& fold, std::vector<JudgedPoint>& points);
    [[nodiscard]] StepMetrics in_sample(const ForecastModel& model, const ErrorScale& scale);

    // forecast_rival.cpp. Leaves comparison as it is when the rival cannot be judged on these points.
    void compare(const Rival& rival, std::span<const JudgedPoint> held, Comparison& comparison);
    [[nodiscard]] bool rival_steps(const ForecastModel& rival, std::span<const JudgedPoint> held,
                                   std::vector<std::int64_t>& steps) const;
    // The rival's features for its steps 1 .. h, column-major; false: not all are known.
    [[nodiscard]] bool rival_future(const ForecastModel& rival, const int* columns, int h,
                                    std::vector<double>& x) const;

    // forecast_messages.cpp
    void explain_series(SeriesStatus status, double* rows, std::size_t n, std::size_t stride,
                        std::int64_t at, GroupResult& result) const;
    void explain_fit(ForecastStatus status, GroupResult& result) const;
};

// Whether the method has no fit without a season: holt_winters; ets and arima with a seasonal form or
// order given.
[[nodiscard]] bool needs_season(const MethodSpec& spec) noexcept;

// The values' combination: what an ensemble's forecast is made of its members'.
[[nodiscard]] double combine(Combination how, std::span<double> values,
                             std::span<const double> weights);

}  // namespace many::core
