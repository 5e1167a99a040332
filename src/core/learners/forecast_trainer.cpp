#include "core/learners/forecast_trainer.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>

#include "core/error.h"
#include "core/learners/forecast_trainer_impl.h"
#include "core/learners/linear_workspace.h"

namespace many::core {
namespace {

static_assert(std::is_trivially_copyable_v<ForecastSpec>);  // it lies in shared memory

void check_method(const MethodSpec& method, bool several) {
    const bool is_combined =
        method.method == ForecastMethod::auto_forecast || method.method == ForecastMethod::ensemble;
    if (method.method == ForecastMethod::none || (is_combined && !several)) {
        throw Error(ErrorKind::invalid_argument, "no forecasting method to fit");
    }
}

void check_spec(const ForecastSpec& spec) {
    const auto reject = [](const char* what) { throw Error(ErrorKind::invalid_argument, what); };
    check_method(spec.method, true);
    if (spec.n_candidates < 0 || spec.n_candidates > kMaxCandidates) {
        reject("number of candidates out of range");
    }
    for (int i = 0; i < spec.n_candidates; ++i) check_method(spec.candidates[i], false);
    if (spec.n_season_lengths > kMaxSeasons) reject("too many season lengths");
    if (spec.n_features < 0) reject("number of features out of range");
    if (spec.horizon < 0 || spec.horizon > kMaxHorizon) reject("horizon out of range");
    const BacktestSpec& b = spec.backtest;
    if (b.folds < 0 || b.folds > kMaxBacktestFolds) reject("backtest folds out of range");
    if (b.horizon < 0 || b.horizon > kMaxHorizon) reject("backtest horizon out of range");
    if (b.gap < 0 || b.gap > kMaxHorizon) reject("backtest gap out of range");
    if (b.step < 0 || b.window < 0) reject("backtest step and window must not be negative");
    const HoldoutSpec& h = spec.holdout;
    if (h.kind == HoldoutSpec::Kind::fraction && !(h.fraction > 0 && h.fraction < 1)) {
        reject("the holdout fraction must be between 0 and 1");
    }
    if (h.kind == HoldoutSpec::Kind::rows && h.rows < 0)
        reject("holdout rows must not be negative");
    if (spec.lower_bound > spec.upper_bound) reject("lower_bound is above upper_bound");
    if (spec.max_length < 1) reject("max_length must be positive");
}

void reset(GroupResult& result) {
    result.status = FitStatus::ok;
    result.message.clear();
    result.hint.clear();
    result.rows_used = result.rows_skipped = 0;
    result.model.clear();
    result.comparison = Comparison{no_metrics(), no_metrics(), {}};
}

MethodSpec plain(ForecastMethod method) {
    MethodSpec spec;
    spec.method = method;
    return spec;
}

}  // namespace

void default_candidates(ForecastMethod method, ForecastSpec& spec) {
    using enum ForecastMethod;
    spec.n_candidates = 0;
    const auto add = [&spec](ForecastMethod m) {
        spec.candidates[spec.n_candidates] = plain(m);
        spec.candidates[spec.n_candidates].calendar = spec.method.calendar;
        ++spec.n_candidates;
    };
    if (method == auto_forecast) {
        for (const ForecastMethod m : {seasonal_naive, ets, arima, theta}) add(m);
    } else if (method == ensemble) {
        for (const ForecastMethod m :
             {arima, mstl, dynamic_theta, autoregression, seasonal_naive}) {
            add(m);
        }
        if (spec.combination == Combination::single) spec.combination = Combination::trimmed;
    }
}

ForecastTrainer::ForecastTrainer() : impl_(std::make_unique<Impl>()) {}
ForecastTrainer::~ForecastTrainer() = default;

// Fills `series`. Rows without a time are left out, values that are not numbers are refused.
bool ForecastTrainer::Impl::make_series(double* rows, std::size_t n, std::size_t stride,
                                        GroupResult& result) {
    const auto features = static_cast<std::size_t>(spec->n_features);
    std::vector<std::size_t> infinite(features + 1);
    std::size_t kept = 0;
    for (std::size_t r = 0; r < n; ++r) {
        double* row = rows + r * stride;
        if (is_null_value(row[features]) || is_null_value(row[features + 1])) {
            ++result.rows_skipped;
        }
        if (is_null_value(row[features + 1])) continue;
        for (std::size_t c = 0; c <= features; ++c) {
            if (!std::isfinite(row[c]) && !is_null_value(row[c])) ++infinite[c];
        }
        // Swapped, not overwritten: a fit that was interrupted is begun again with the same rows.
        if (kept != r) std::swap_ranges(row, row + features + 2, rows + kept * stride);
        ++kept;
    }
    for (std::size_t c = 0; c <= features; ++c) {
        if (infinite[c] == 0) continue;
        result.status = FitStatus::not_finite_input;
        result.message =
            (c < features ? "feature {" + std::to_string(c) + "}" : "target {target}") +
            " is NaN or infinite in " + std::to_string(infinite[c]) +
            (infinite[c] == 1 ? " row" : " rows");
        result.hint = "Filter these rows out in the source query.";
        return false;
    }
    const auto longest = static_cast<std::size_t>(std::min<std::int64_t>(
        spec->max_length, std::numeric_limits<int>::max() - 2 * kMaxHorizon));
    std::int64_t time = 0;
    const SeriesStatus status = build_series(spec->grid, zone, rows, kept, stride, spec->n_features,
                                             longest, series, time, scratch);
    if (status != SeriesStatus::ok) {
        explain_series(status, rows, kept, stride, time, result);
        return false;
    }
    for (std::size_t c = 0; c < features; ++c) {
        if (!is_null_value(series.x[c * series.y.size()])) continue;
        result.status = FitStatus::null_value;
        result.message = "feature {" + std::to_string(c) + "} is NULL in every row";
        result.hint = "Leave the feature out for this group.";
        return false;
    }
    result.rows_used = n_observed({0, size()});
    const std::int64_t least = std::max<std::int64_t>(spec->min_rows, 1);
    if (result.rows_used >= least) return true;
    result.status = FitStatus::too_few_rows;
    result.message = "the series has " + std::to_string(result.rows_used) +
                     (result.rows_used == 1 ? " value" : " values") +
                     ", fewer than min_rows = " + std::to_string(least);
    return false;
}

void ForecastTrainer::Impl::prepare() {
    const TimeGrid& grid = series.grid;
    seasons.clear();
    if (spec->n_season_lengths < 0) {
        default_season_lengths(grid.type, grid.step, seasons);
    } else {
        for (int i = 0; i < spec->n_season_lengths; ++i) {
            if (spec->season_lengths[i] > 1) seasons.push_back(spec->season_lengths[i]);
        }
        std::sort(seasons.begin(), seasons.end());
        seasons.erase(std::unique(seasons.begin(), seasons.end()), seasons.end());
    }
    horizon = spec->horizon > 0 ? spec->horizon : default_horizon(grid.type, grid.step);
    candidates.clear();
    zero_candidate = -1;
    const ForecastMethod asked = spec->method.method;
    if (asked == ForecastMethod::auto_forecast || asked == ForecastMethod::ensemble) {
        ForecastSpec named = *spec;
        if (named.n_candidates == 0) {
            default_candidates(asked, named);
            if (asked == ForecastMethod::auto_forecast) zero_candidate = named.n_candidates;
        }
        candidates.assign(named.candidates, named.candidates + named.n_candidates);
        if (zero_candidate >= 0) candidates.push_back(plain(ForecastMethod::tsb));
    } else {
        candidates.push_back(spec->method);
    }
    regressors = series.x;
    n_regressors = spec->n_features;
    calendar = std::any_of(candidates.begin(), candidates.end(),
                           [](const MethodSpec& m) { return m.calendar; });
    if (calendar) n_regressors += calendar_columns(grid, zone, 0, size(), regressors);
    members.clear();
}

int ForecastTrainer::Impl::holdout_size() const {
    const HoldoutSpec& h = spec->holdout;
    const std::int64_t n = size();
    std::int64_t held = 0;
    switch (h.kind) {
        case HoldoutSpec::Kind::none:
            return 0;
        case HoldoutSpec::Kind::fraction:
            // A hair less, so that 0.1 of 30 observations is 3 and not 4.
            held = static_cast<std::int64_t>(
                std::ceil(h.fraction * static_cast<double>(n) * (1 - 1e-12)));
            break;
        case HoldoutSpec::Kind::rows:
            held = h.rows;
            break;
        case HoldoutSpec::Kind::since:
            while (held < n && time_at(series.grid, n - 1 - held, zone) >= h.since) ++held;
            break;
    }
    return held < n ? static_cast<int>(held) : 0;
}

namespace {

FitStatus stopped_by(const StopSignal& stop) noexcept {
    const FitStatus s = stop.poll();
    return s == FitStatus::ok ? FitStatus::cancelled : s;
}

void explain_stop(const StopSignal& stop, GroupResult& result) {
    result.status = stopped_by(stop);
    result.message = result.status == FitStatus::timed_out
                         ? "took longer than the time allowed for a group"
                         : "cancelled";
}

// The steps of a split that are told apart: those of the run's horizon.
void put_split(ForecastModel& model, ForecastSplit split, std::span<const JudgedPoint> points,
               int horizon) {
    model.total[static_cast<int>(split)] = judge_points(points);
    if (points.empty()) return;
    int last = 0;
    for (const JudgedPoint& p : points) last = std::max(last, p.step);
    (split == ForecastSplit::holdout ? model.holdout : model.cv) =
        judge_steps(points, std::min(last, horizon));
}

}  // namespace

void ForecastTrainer::fit_rows(const ForecastSpec& spec, const TimeZoneMap& zone, double* rows,
                               std::size_t n, std::size_t stride, const StopSignal& stop,
                               GroupResult& result, const Rival* rival) {
    check_spec(spec);
    Impl& m = *impl_;
    m.spec = &spec;
    m.zone = zone;
    m.stop = stop;
    reset(result);
    if (!m.make_series(rows, n, stride, result)) return;
    m.prepare();
    const Part whole{0, m.size()};

    std::vector<JudgedPoint> held, folds;
    ForecastStatus status = ForecastStatus::ok;
    if (const int k = m.holdout_size(); k > 0) {
        status = m.judge({0, {0, m.size() - k}, m.size() - k, k}, held);
    }
    if (spec.backtest.folds > 0 && status == ForecastStatus::ok) {
        for (const Fold& fold : m.folds_of(whole, m.resolved_backtest(0, 0), 1)) {
            status = m.judge(fold, folds);
            if (status != ForecastStatus::ok) break;
        }
    }
    ForecastModel model;
    if (status == ForecastStatus::ok) status = m.fit_part(whole, model);
    if (status == ForecastStatus::ok) status = m.add_intervals(whole, model);
    m.members.clear();
    if (status == ForecastStatus::stopped) {
        explain_stop(stop, result);
        return;
    }
    if (status != ForecastStatus::ok) {
        m.explain_fit(status, result);
        return;
    }
    model.n_filled = m.series.n_filled;
    model.n_merged = m.series.n_merged;
    model.n_trimmed = m.series.n_trimmed;
    const ErrorScale scale = error_scale(m.series.y, m.series.observed, m.season_length());
    model.mase_scale = scale.mase;
    model.rmsse_scale = scale.rmsse;
    model.total[static_cast<int>(ForecastSplit::train)] = m.in_sample(model, scale);
    put_split(model, ForecastSplit::holdout, held, m.horizon);
    if (!held.empty()) {
        model.holdout_mase_scale = held.front().scale.mase;
        model.holdout_rmsse_scale = held.front().scale.rmsse;
    }
    put_split(model, ForecastSplit::cv, folds, m.resolved_backtest(0, 0).horizon);
    const Naive2Metrics naive2 = naive2_metrics(held);
    result.comparison.baseline = naive2.metrics;
    result.comparison.baseline_mase = naive2.mase;
    if (rival != nullptr) m.compare(*rival, held, result.comparison);
    encode_forecast_model(model, result.model);
}

void ForecastTrainer::backtest_rows(const ForecastSpec& spec, const TimeZoneMap& zone, double* rows,
                                    std::size_t n, std::size_t stride, const StopSignal& stop,
                                    GroupResult& result, TimeGrid& grid,
                                    std::vector<BacktestPoint>& points) {
    check_spec(spec);
    Impl& m = *impl_;
    m.spec = &spec;
    m.zone = zone;
    m.stop = stop;
    reset(result);
    points.clear();
    if (!m.make_series(rows, n, stride, result)) return;
    m.prepare();
    grid = m.series.grid;
    const BacktestSpec b = m.resolved_backtest(3, 0);
    const std::vector<Fold> folds = m.folds_of({0, m.size()}, b, 1);
    if (folds.empty()) {
        result.status = FitStatus::too_few_rows;
        result.message = "the series has " + std::to_string(m.size()) +
                         (m.size() == 1 ? " observation" : " observations") +
                         ", too few for a fold of horizon " + std::to_string(b.horizon) +
                         (b.gap > 0 ? " and gap " + std::to_string(b.gap) : "");
        result.hint = "Set a shorter horizon.";
        return;
    }
    std::vector<JudgedPoint> judged;
    ForecastStatus first_failure = ForecastStatus::ok;
    for (const Fold& fold : folds) {
        if (m.judge(fold, judged) == ForecastStatus::stopped) {
            explain_stop(stop, result);
            break;
        }
        if (judged.empty() && first_failure == ForecastStatus::ok) {
            ForecastModel model;
            first_failure = m.fit_part(fold.train, model);
        }
    }
    m.members.clear();
    if (result.status != FitStatus::ok) return;
    if (judged.empty() && first_failure != ForecastStatus::ok) {
        m.explain_fit(first_failure, result);
        return;
    }
    for (const JudgedPoint& p : judged) {
        points.push_back({p.fold, p.step, p.at, p.actual, p.forecast, p.lower, p.upper});
    }
}

}  // namespace many::core
