// A trained forecaster as it is stored: one or several fits, how they are combined, where the series
// ends, how its intervals are made, and what was measured of it. And its bytes.
//
// Layout of the bytes, little-endian, no alignment assumed, format version 1:
//
//   offset size
//   0      4    magic "MMFM"
//   4      2    format version (1)
//   6      1    method asked for (ForecastMethod)
//   7      1    flags: 1 rounded, 2 regressors of the calendar
//   8      4    total bytes
//   12     4    CRC-32C of all bytes with this field as 0
//   16     ...  sections (forecast_codec.cpp): the model, its members, metrics, scores, residuals
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "core/forecasters/method.h"
#include "core/forecasters/time_grid.h"
#include "core/learners/linear.h"

namespace many::core {

// How the fits of an ensemble become one forecast. trimmed: the mean without the least and the largest
// (of two: their mean), as robust as the median and of less variance (Jose & Winkler 2008, Int. J.
// Forecasting 24). Part of the model format: never renumber.
enum class Combination : std::uint8_t { single, median, mean, weighted, trimmed };

// analytic: of the model's variance (NaN where it has none); of an ensemble: the combination of its
// members' interval ends, of those that have one (the errors of forecasts of one series go together, so that no
// variance of the combination follows from the members').
// bootstrap: quantiles of paths, which the models' recursions make of their one-step errors, drawn
// with replacement (of an ensemble: of the same times for all members, and combined). Analytic where
// a member has no recursion (adida, imapa).
// conformal: forecast -/+ the quantile of the backtest's absolute errors at this step, the
// ceil((n + 1) level)-th of n (Vovk, Gammerman & Shafer 2005). Where n is too small for that, of the
// errors of all steps, each in units of its step's mean, times that mean. None where these are too few as
// well. Beyond conformal_steps: that of the last step times sqrt(h / conformal_steps).
enum class IntervalMethod : std::uint8_t { none, analytic, bootstrap, conformal };

// Of the errors of one split (train: one-step errors of the final fit; holdout; cv: the backtest) at
// one horizon step, or of all steps (step 0). NaN where a metric does not apply.
struct StepMetrics {
    double n = 0;
    double rmse = FitSummary::kNone, mae = FitSummary::kNone;
    double mape = FitSummary::kNone, smape = FitSummary::kNone;  // fractions, as SplitMetrics
    double mase = FitSummary::kNone,
           rmsse = FitSummary::kNone;  // scaled by the split's training part
    double owa = FitSummary::kNone;    // mean of the ratios of smape and mase to naive2's
    double bias = FitSummary::kNone;   // mean of forecast - actual
    double r2 = FitSummary::kNone;
    double coverage = FitSummary::kNone;  // share of actuals inside the 95 % interval
    double winkler = FitSummary::kNone;   // mean interval score of the 95 % interval
};

// Splits, as in the metrics view.
enum class ForecastSplit : std::uint8_t { train = 0, holdout = 1, cv = 2 };

struct ForecastModel {
    ForecastMethod asked = ForecastMethod::none;  // the run's algorithm
    // How far down the ladder for short series: 0 as asked; 1 without season; 2 naive.
    std::uint8_t rung = 0;
    Combination combination = Combination::single;
    std::vector<MethodFit> members;  // at least one
    std::vector<double> weights;     // weighted: one per member

    TimeGrid grid;
    std::int64_t n = 0;  // observations, the filled included; the last is at time_at(grid, n - 1)
    std::int64_t n_filled = 0, n_merged = 0, n_trimmed = 0;
    std::string zone;  // of a timestamptz; empty otherwise
    std::vector<int> season_lengths;
    int n_features = 0;     // the user's
    bool calendar = false;  // the fits' regressors go on with calendar_columns (time_grid.h)

    IntervalMethod intervals = IntervalMethod::analytic;
    // conformal: per step 1 .. conformal_steps, n_scores sorted absolute errors (step-major).
    int conformal_steps = 0, n_scores = 0;
    std::vector<double> scores;
    // bootstrap: centred one-step errors of each member in the units its recursion takes them
    // (member-major, as many of each: set_residuals()), and the seed of the paths.
    std::vector<double> residuals;
    std::uint64_t seed = 0;

    double lower_bound = FitSummary::kNone, upper_bound = FitSummary::kNone;  // NaN: none
    bool round = false;                                                       // to whole numbers
    double smallest = 0, largest = 0;  // of the series: what an absurd forecast is judged by
    double mase_scale = FitSummary::kNone, rmsse_scale = FitSummary::kNone;  // of the whole series

    StepMetrics total[3];              // by ForecastSplit, all steps
    std::vector<StepMetrics> holdout;  // by step
    // The scales of their mase and rmsse: of the series before.
    double holdout_mase_scale = FitSummary::kNone, holdout_rmsse_scale = FitSummary::kNone;
    std::vector<StepMetrics> cv;  // by step
};

// Flags of one forecast step; 0: nothing to say.
enum ForecastFlag : std::uint8_t {
    kForecastBounded = 1,     // cut at lower_bound or upper_bound
    kForecastExplosive = 2,   // more than kExplosive ranges of the series away from it
    kForecastNoInterval = 4,  // the method has none (or none at this step)
    kForecastNotFinite = 8,   // no forecast
    kForecastPartial = 16,    // an ensemble without the members whose forecast is not finite
};
constexpr double kExplosive = 10;

// One step. lower, upper: n_levels values each in the caller's arrays.
struct ForecastSteps {
    std::span<double> mean;          // h
    std::span<double> lower, upper;  // h x n_levels, step-major
    std::span<std::uint8_t> flags;   // h
    // Quantiles asked for beside: ascending between 0 and 1; and h x as many, step-major.
    std::span<const double> probabilities = {};
    std::span<double> quantiles = {};
};

// Fills model.residuals from the series that the members were fitted to (x as the fits had it);
// leaves none where a member has no recursion for paths. At most the last kMaxResiduals of each.
constexpr std::size_t kMaxResiduals = 500;
void set_residuals(ForecastModel& model, const SeriesData& series);

// Forecasts h = out.mean.size() steps behind the series' end, with central intervals of the levels
// (0 < level < 1, or Error{invalid_argument}) and quantiles (likewise). future: h x n_features,
// column-major; of the user's
// features (those of the calendar are added here). Deterministic. Cost: of the members; with
// bootstrap 1,000 paths (fewer beyond 2,000 steps).
// In this order: members combined; flags; rounded (mean to the nearest, interval ends outward); cut
// at the bounds (rounded models: at the whole numbers inside them). So lower <= mean <= upper, and
// nothing is outside the bounds. kForecastBounded is about the mean alone. An interval that is
// infinite is none. Steps without a finite forecast are NaN and flagged; the status is ok then.
// Quantiles are what the intervals' ends are, rounded and cut likewise, and ascend; but those of a
// bootstrap may all lie on one side of the mean, as may be of a skewed distribution. The median is the
// mean, of a bootstrap that of the paths. NaN where the model has no interval.
// Status not_admissible: sizes that do not belong together, a model without members.
[[nodiscard]] ForecastStatus forecast_model(const ForecastModel& model, const TimeZoneMap& zone,
                                            std::span<const double> future,
                                            std::span<const double> levels,
                                            const ForecastSteps& out);

// Moves the model forward by the observations that follow on its end: the members' states, the end, the
// range of values. Parameters, metrics and what intervals are made of stay. x: y.size() x n_features,
// column-major, of the user's features. False, and the model as it was, where a member allows none
// (update_method): fit again.
[[nodiscard]] bool move_forward(ForecastModel& model, const TimeZoneMap& zone,
                                std::span<const double> y, std::span<const double> x);

// Overwrites the buffer, which keeps its capacity.
void encode_forecast_model(const ForecastModel& model, std::vector<unsigned char>& bytes);

// Whether bytes begin as a forecaster's model does (not: whether they are whole).
[[nodiscard]] bool is_forecast_model(const void* bytes, std::size_t length) noexcept;

// Checks magic, version, lengths, checksum, and that the values make sense (a hostile import):
// throws Error{invalid_data}. Never reads outside of the bytes, whatever they contain.
void decode_forecast_model(const void* bytes, std::size_t length, ForecastModel& out);

}  // namespace many::core
