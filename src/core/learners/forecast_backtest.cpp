// Rolling origin (Tashman 2000): folds of a part, their forecasts judged, and the intervals that are
// made of such errors.
#include <algorithm>
#include <cmath>

#include "core/forecasters/method_paths.h"
#include "core/learners/forecast_trainer_impl.h"

namespace many::core {
namespace {

constexpr double kJudgedLevel = 0.95;
constexpr int kSelectionFolds = 3;
// Quantiles of the level 0.95 need 19 errors, (k + 1) 0.95 <= k.
constexpr int kConformalFolds = 20;

std::size_t at(int i) noexcept {
    return static_cast<std::size_t>(i);
}

}  // namespace

// The latest fold first. Folds whose training part has fewer than `least` observations are left out,
// and those before them.
std::vector<Fold> ForecastTrainer::Impl::folds_of(Part part, const BacktestSpec& b,
                                                  int least) const {
    std::vector<Fold> folds;
    for (int i = 0; i < b.folds; ++i) {
        const std::int64_t test = part.end - std::int64_t{i} * b.step - b.horizon;
        const std::int64_t end = test - b.gap;
        if (end - part.begin < std::max(least, 1)) break;
        const std::int64_t begin =
            b.window > 0 ? std::max<std::int64_t>(part.begin, end - b.window) : part.begin;
        folds.push_back({i,
                         {static_cast<int>(begin), static_cast<int>(end)},
                         static_cast<int>(test),
                         b.horizon});
    }
    return folds;
}

// default_step 0: the horizon.
BacktestSpec ForecastTrainer::Impl::resolved_backtest(int default_folds, int default_step) const {
    BacktestSpec b = spec->backtest;
    const bool given = b.folds > 0;
    if (b.horizon <= 0) b.horizon = horizon;
    if (b.step <= 0) b.step = given || default_step <= 0 ? b.horizon : default_step;
    if (!given) b.folds = default_folds;
    return b;
}

// As the backtest that was asked for, on training parts that leave the candidates something to be
// fitted to; otherwise, as for every short part, on the last quarter at most.
std::vector<Fold> ForecastTrainer::Impl::selection_folds(Part part) const {
    const BacktestSpec b = resolved_backtest(kSelectionFolds, 0);
    const int n = part.size();
    const int least =
        spec->backtest.folds > 0 ? std::max(2, std::min(n / 2, season_length() + 1)) : (n + 1) / 2;
    std::vector<Fold> folds = folds_of(part, b, least);
    if (!folds.empty()) return folds;
    BacktestSpec fitting = b;
    fitting.gap = 0;
    fitting.horizon = std::clamp(n / 4, 1, b.horizon);
    fitting.step = fitting.horizon;
    return folds_of(part, fitting, (n + 1) / 2);
}

ForecastStatus ForecastTrainer::Impl::add_intervals(Part part, ForecastModel& model) {
    model.intervals = spec->intervals;
    model.conformal_steps = model.n_scores = 0;
    model.scores.clear();
    model.residuals.clear();
    if (spec->intervals == IntervalMethod::conformal) return add_scores(part, model);
    if (spec->intervals == IntervalMethod::bootstrap) set_residuals(model, data_of(part, true));
    return ForecastStatus::ok;
}

// Split conformal prediction by step (Lei et al. 2018; for steps ahead Stankeviciute, Alaa & van der
// Schaar 2021): absolute errors of forecasts whose fits have not seen what they are of.
ForecastStatus ForecastTrainer::Impl::add_scores(Part part, ForecastModel& model) {
    BacktestSpec b = resolved_backtest(kConformalFolds, 1);
    b.gap = 0;  // the distance of a step is that of the forecasts to come
    std::vector<Fold> folds = folds_of(part, b, std::max(2, part.size() / 3));
    if (folds.empty()) {
        b.horizon = std::clamp(part.size() / 4, 1, b.horizon);
        folds = folds_of(part, b, std::max(1, part.size() / 3));
    }
    std::vector<std::vector<double>> errors(at(b.horizon));
    ForecastModel inner;
    for (const Fold& fold : folds) {
        const ForecastStatus status = fit_part(fold.train, inner);
        if (status == ForecastStatus::stopped) return status;
        if (status != ForecastStatus::ok) continue;
        inner.intervals = IntervalMethod::none;
        std::vector<double> forecast(at(fold.count));
        flags.assign(at(fold.count), 0);
        if (forecast_model(inner, zone, future_of(fold.test, fold.count, spec->n_features), {},
                           {forecast, {}, {}, flags}) != ForecastStatus::ok) {
            continue;
        }
        for (int i = 0; i < fold.count; ++i) {
            const double e = forecast[at(i)] - series.y[at(fold.test + i)];
            if (series.observed[at(fold.test + i)] != 0 && std::isfinite(e)) {
                errors[at(i)].push_back(std::fabs(e));
            }
        }
    }
    // As many of each step, the latest: the scores are one table.
    std::size_t n = folds.size();
    for (const auto& of_step : errors) n = std::min(n, of_step.size());
    if (n == 0) return ForecastStatus::ok;
    model.conformal_steps = b.horizon;
    model.n_scores = static_cast<int>(n);
    for (auto& of_step : errors) {
        of_step.resize(n);
        std::sort(of_step.begin(), of_step.end());
        model.scores.insert(model.scores.end(), of_step.begin(), of_step.end());
    }
    return ForecastStatus::ok;
}

bool fitted_values(const ForecastModel& model, const SeriesData& data,
                   std::vector<double>& fitted) {
    const std::size_t n = data.y.size(), k = model.members.size();
    if (model.combination == Combination::single) {
        std::vector<double> errors(n);
        fitted.resize(n);
        if (!one_step_method(model.members[0], data, fitted, errors)) return false;
        for (double& v : fitted) v = std::isfinite(v) ? v : FitSummary::kNone;
        return true;
    }
    std::vector<double> each(k * n), errors(n), row(k);
    for (std::size_t i = 0; i < k; ++i) {
        const std::span<double> own = std::span(each).subspan(i * n, n);
        if (!one_step_method(model.members[i], data, own, errors)) return false;
    }
    fitted.assign(n, FitSummary::kNone);
    for (std::size_t t = 0; t < n; ++t) {
        bool all = true;
        for (std::size_t i = 0; i < k; ++i) {
            row[i] = each[i * n + t];
            all = all && std::isfinite(row[i]);
        }
        if (all) fitted[t] = combine(model.combination, row, model.weights);
    }
    return true;
}

ForecastStatus ForecastTrainer::Impl::judge(const Fold& fold, std::vector<JudgedPoint>& points) {
    ForecastModel model;
    ForecastStatus status = fit_part(fold.train, model);
    if (status == ForecastStatus::ok) status = add_intervals(fold.train, model);
    if (status == ForecastStatus::stopped) return status;
    const int gap = fold.test - fold.train.end, h = gap + fold.count;
    if (status != ForecastStatus::ok) return ForecastStatus::ok;
    std::vector<double> forecast(at(h)), low(at(h)), high(at(h));
    std::vector<std::uint8_t> said(at(h));
    const double level = kJudgedLevel;
    status = forecast_model(model, zone, future_of(fold.train.end, h, spec->n_features),
                            std::span(&level, 1), {forecast, low, high, said});
    if (status != ForecastStatus::ok) return ForecastStatus::ok;
    MethodSpec benchmark;
    benchmark.method = ForecastMethod::naive2;
    MethodFit naive2;
    mean.assign(at(h), FitSummary::kNone);
    variance.assign(at(h), 0);
    if (fit_method(benchmark, data_of(fold.train, true), stop, workspace, naive2) !=
            ForecastStatus::ok ||
        forecast_method(naive2, {}, {mean, variance}) != ForecastStatus::ok) {
        std::fill(mean.begin(), mean.end(), FitSummary::kNone);
    }
    const ErrorScale scale =
        error_scale(actuals(fold.train), observed(fold.train), season_length());
    for (int i = 0; i < fold.count; ++i) {
        const std::size_t t = at(fold.test + i), s = at(gap + i);
        if (series.observed[t] == 0 || !std::isfinite(forecast[s])) continue;
        const bool has_interval = (said[s] & kForecastNoInterval) == 0;
        points.push_back({fold.number, i + 1, fold.test + i, series.y[t], forecast[s],
                          has_interval ? low[s] : FitSummary::kNone,
                          has_interval ? high[s] : FitSummary::kNone, mean[s], scale});
    }
    return ForecastStatus::ok;
}

StepMetrics ForecastTrainer::Impl::in_sample(const ForecastModel& model, const ErrorScale& scale) {
    const Part whole{0, size()};
    StepMetrics out;
    std::vector<double> fitted;
    std::vector<JudgedPoint> points;
    points.reserve(at(size()));
    if (fitted_values(model, data_of(whole, true), fitted)) {
        for (int t = 0; t < size(); ++t) {
            if (series.observed[at(t)] == 0 || !std::isfinite(fitted[at(t)])) continue;
            JudgedPoint point;
            point.at = t;
            point.actual = series.y[at(t)];
            point.forecast = fitted[at(t)];
            point.scale = scale;
            points.push_back(point);
        }
        out = judge_points(points);
    }
    out.n = points.empty() ? static_cast<double>(n_observed(whole)) : out.n;
    return out;
}

}  // namespace many::core
