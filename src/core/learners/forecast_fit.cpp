// A model of a part of a series: which of the candidates, on which rung, fitted.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/forecasters/forecast_parts.h"
#include "core/learners/forecast_trainer_impl.h"

namespace many::core {
namespace {

std::size_t at(int i) noexcept {
    return static_cast<std::size_t>(i);
}

// The method without its season.
MethodSpec without_season(MethodSpec spec) {
    switch (spec.method) {
        case ForecastMethod::seasonal_naive:
        case ForecastMethod::naive2:
            spec.method = ForecastMethod::naive;
            break;
        case ForecastMethod::seasonal_window_average:
            spec.method = ForecastMethod::window_average;
            break;
        case ForecastMethod::holt_winters:
            spec.method = ForecastMethod::holt;
            break;
        case ForecastMethod::mstl:
            spec.method = ForecastMethod::ets;
            break;
        default:
            break;
    }
    spec.form.season = EtsSeason::none;
    spec.order.P = spec.order.D = spec.order.Q = 0;
    spec.seasonal_d = 0;
    spec.seasonal = false;
    return spec;
}

// Whether a season is part of what was asked for, and not left to the method to find.
bool names_a_season(const MethodSpec& spec) noexcept {
    switch (spec.method) {
        case ForecastMethod::seasonal_naive:
        case ForecastMethod::seasonal_window_average:
        case ForecastMethod::mstl:
            return true;
        default:
            return needs_season(spec);
    }
}

// Whether a series that is too short for the method may do without the season.
bool has_season_to_lose(const MethodSpec& spec, bool seasons) noexcept {
    if (names_a_season(spec)) return true;
    if (!seasons || !spec.seasonal) return false;
    if ((spec.has_form && spec.method == ForecastMethod::ets) ||
        (spec.has_order && spec.method == ForecastMethod::arima)) {
        return false;
    }
    return method_is_seasonal(spec.method);
}

}  // namespace

bool needs_season(const MethodSpec& spec) noexcept {
    switch (spec.method) {
        case ForecastMethod::holt_winters:
            return true;
        case ForecastMethod::ets:
            return spec.has_form && spec.form.season != EtsSeason::none;
        case ForecastMethod::arima:
            return spec.has_order && spec.seasonal &&
                   spec.order.P + spec.order.D + spec.order.Q > 0;
        default:
            return false;
    }
}

double combine(Combination how, std::span<double> values, std::span<const double> weights) {
    const std::size_t k = values.size();
    switch (how) {
        case Combination::single:
            return values[0];
        case Combination::median: {
            std::sort(values.begin(), values.end());
            const double low = values[(k - 1) / 2], high = values[k / 2];
            return low + (high - low) / 2;
        }
        case Combination::mean: {
            double sum = 0;
            for (const double v : values) sum += v / static_cast<double>(k);
            return sum;
        }
        case Combination::trimmed:
            std::sort(values.begin(), values.end());
            return trimmed_mean(values);
        case Combination::weighted: {
            double sum = 0;
            for (std::size_t i = 0; i < k; ++i) sum += weights[i] * values[i];
            return sum;
        }
    }
    return values[0];
}

std::span<const unsigned char> ForecastTrainer::Impl::observed(Part part) const noexcept {
    return std::span(series.observed).subspan(at(part.begin), at(part.size()));
}

std::span<const double> ForecastTrainer::Impl::actuals(Part part) const noexcept {
    return std::span(series.y).subspan(at(part.begin), at(part.size()));
}

std::int64_t ForecastTrainer::Impl::n_observed(Part part) const noexcept {
    const auto seen = observed(part);
    return std::count(seen.begin(), seen.end(), static_cast<unsigned char>(1));
}

// A gap that was closed by interpolation knows of the value behind it. A part that ends in the gap
// must not: there its last value goes on.
std::span<const double> ForecastTrainer::Impl::training_values(Part part) {
    const auto y = actuals(part);
    const auto seen = observed(part);
    const bool looks_ahead =
        spec->grid.fill == FillPolicy::interpolate || spec->grid.fill == FillPolicy::null;
    if (!looks_ahead || part.end == size() || seen.back() != 0) return y;
    values.assign(y.begin(), y.end());
    std::size_t last = values.size();
    while (last > 0 && seen[last - 1] == 0) --last;
    // A part of filled values alone begins in a gap: the value before is the one that was seen.
    std::size_t before = at(part.begin);
    while (last == 0 && before > 0 && series.observed[before - 1] == 0) --before;
    const double value = last > 0     ? values[last - 1]
                         : before > 0 ? series.y[before - 1]
                                      : y.front();
    std::fill(values.begin() + static_cast<std::ptrdiff_t>(last), values.end(), value);
    return values;
}

SeriesData ForecastTrainer::Impl::data_of(Part part, bool with_seasons) {
    SeriesData data;
    data.y = training_values(part);
    if (with_seasons) data.season_lengths = seasons;
    data.n_features = n_regressors;
    part_x.clear();
    for (int c = 0; c < n_regressors; ++c) {
        const auto column = regressors.begin() + std::ptrdiff_t{c} * size();
        part_x.insert(part_x.end(), column + part.begin, column + part.end);
    }
    data.x = part_x;
    return data;
}

std::span<const double> ForecastTrainer::Impl::future_of(int from, int count, int columns) {
    future.clear();
    for (int c = 0; c < columns; ++c) {
        const auto column = regressors.begin() + std::ptrdiff_t{c} * size() + from;
        future.insert(future.end(), column, column + count);
    }
    return future;
}

// A season that is named is seen twice or is none, but for the averages of its own values. Among several
// candidates seasonal_naive, seasonal_window_average and mstl stay what they are without a season.
bool ForecastTrainer::Impl::lacks_season(const MethodSpec& method, Part part) const noexcept {
    if (!(combined() ? needs_season(method) : names_a_season(method))) return false;
    if (seasons.empty()) return true;
    const bool two_seasons = method.method == ForecastMethod::mstl ||
                             (needs_season(method) && method.method != ForecastMethod::arima);
    return two_seasons && part.size() / 2 < seasons[0];
}

const ForecastTrainer::Impl::Member& ForecastTrainer::Impl::fit_member(int candidate, int rung,
                                                                       Part part) {
    const auto [place, is_new] =
        members.try_emplace(std::tuple(candidate, rung, part.begin, part.end));
    Member& member = place->second;
    if (!is_new && member.status != ForecastStatus::stopped) return member;
    MethodSpec method = rung == kNaive ? MethodSpec{} : candidates[at(candidate)];
    if (rung == kNaive) method.method = ForecastMethod::naive;
    if (rung == kAsAsked && lacks_season(method, part)) {
        member.status = ForecastStatus::too_short;
        return member;
    }
    if (rung == kWithoutSeason) {
        if (!has_season_to_lose(method, !seasons.empty())) {
            member.status =
                ForecastStatus::too_short;  // as it was with the season it does not have
            return member;
        }
        method = without_season(method);
    }
    method.inference = part.size() == size();  // no one reads the standard errors of a fold
    if (stop.poll() != FitStatus::ok) {
        member.status = ForecastStatus::stopped;
        return member;
    }
    member.status =
        fit_method(method, data_of(part, rung == kAsAsked), stop, workspace, member.fit);
    return member;
}

// The forecasts of the fold's test observations, into mean[fold gap ..]; false: not finite, none.
bool ForecastTrainer::Impl::forecast_member(const Member& member, const Fold& fold) {
    const int h = fold.test + fold.count - fold.train.end;
    mean.assign(at(h), 0.0);
    variance.assign(at(h), 0.0);
    const ForecastStatus status =
        forecast_method(member.fit, future_of(fold.train.end, h, n_regressors), {mean, variance});
    if (status != ForecastStatus::ok) return false;
    for (double& v : mean) {
        if (!std::isfinite(v)) return false;
        if (v < spec->lower_bound) v = spec->lower_bound;
        if (v > spec->upper_bound) v = spec->upper_bound;
    }
    return true;
}

// All candidates, but the one for intermittent series only where more than half of the values are 0.
std::vector<int> ForecastTrainer::Impl::taking_part(Part part) const {
    std::vector<int> who(candidates.size());
    std::iota(who.begin(), who.end(), 0);
    if (zero_candidate >= 0) {
        const auto y = actuals(part);
        if (2 * std::count(y.begin(), y.end(), 0.0) <= part.size()) {
            who.erase(who.begin() + zero_candidate);
        }
    }
    return who;
}

ForecastStatus ForecastTrainer::Impl::score(const std::vector<int>& who, int rung, Part part,
                                            std::vector<Score>& out) {
    out.assign(who.size(), {true, 0, 0});
    double largest = 0;
    for (const double v : actuals(part)) largest = std::max(largest, std::fabs(v));
    if (!(largest > 0)) largest = 1;
    double n = 0;
    for (const Fold& fold : selection_folds(part)) {
        double scale = error_scale(actuals(fold.train), observed(fold.train), season_length()).mase;
        if (!(scale > 0)) scale = largest;
        for (int i = 0; i < fold.count; ++i) n += series.observed[at(fold.test + i)] != 0 ? 1 : 0;
        for (std::size_t k = 0; k < who.size(); ++k) {
            Score& s = out[k];
            if (!s.judged) continue;
            const Member& member = fit_member(who[k], rung, fold.train);
            if (member.status == ForecastStatus::stopped) return ForecastStatus::stopped;
            if (member.status != ForecastStatus::ok || !forecast_member(member, fold)) {
                s.judged = false;
                continue;
            }
            const int gap = fold.test - fold.train.end;
            for (int i = 0; i < fold.count; ++i) {
                if (series.observed[at(fold.test + i)] == 0) continue;
                const double e = mean[at(gap + i)] - series.y[at(fold.test + i)];
                s.mase += std::fabs(e / scale);
                s.mse += (e / largest) * (e / largest);
            }
        }
    }
    for (Score& s : out) {
        s.mase = n > 0 ? s.mase / n : 0;
        s.mse = n > 0 ? s.mse / n : 0;
    }
    return ForecastStatus::ok;
}

ForecastStatus ForecastTrainer::Impl::fit_combined(int rung, Part part, ForecastModel& out) {
    const std::vector<int> who = taking_part(part);
    const bool choose = spec->method.method == ForecastMethod::auto_forecast;
    const bool weigh = !choose && spec->combination == Combination::weighted;
    std::vector<Score> scores(who.size(), {true, 0, 0});
    if (choose || weigh) {
        const ForecastStatus s = score(who, rung, part, scores);
        if (s != ForecastStatus::ok) return s;
    }
    std::vector<std::size_t> order;
    for (std::size_t k = 0; k < who.size(); ++k) {
        if (scores[k].judged) order.push_back(k);
    }
    if (choose) {
        std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
            return scores[a].mase < scores[b].mase;
        });
    }
    ForecastStatus why = ForecastStatus::too_short;
    for (const std::size_t k : order) {
        const Member& member = fit_member(who[k], rung, part);
        if (member.status == ForecastStatus::stopped) return ForecastStatus::stopped;
        if (member.status != ForecastStatus::ok) {
            if (out.members.empty()) why = member.status;
            continue;
        }
        out.members.push_back(member.fit);
        if (choose) return ForecastStatus::ok;
        if (weigh) out.weights.push_back(scores[k].mse);
    }
    if (out.members.empty()) return why;
    out.combination = spec->combination;
    if (out.combination == Combination::single) {
        out.combination = spec->n_candidates == 0 ? Combination::trimmed : Combination::median;
    }
    // Inverse to the mean squared error; those without any error share the weight among them.
    const bool exact = std::count(out.weights.begin(), out.weights.end(), 0.0) > 0;
    double sum = 0;
    for (double& w : out.weights) {
        w = exact ? (w == 0 ? 1.0 : 0.0) : 1 / w;
        sum += w;
    }
    for (double& w : out.weights) {
        w = sum > 0 && std::isfinite(sum) ? w / sum : 1 / static_cast<double>(out.weights.size());
    }
    return ForecastStatus::ok;
}

ForecastStatus ForecastTrainer::Impl::fit_rung(int rung, Part part, ForecastModel& out) {
    out.members.clear();
    out.weights.clear();
    out.combination = Combination::single;
    out.rung = static_cast<std::uint8_t>(rung);
    if (combined() && rung != kNaive) return fit_combined(rung, part, out);
    const Member& member = fit_member(0, rung, part);
    if (member.status == ForecastStatus::ok) out.members.push_back(member.fit);
    return member.status;
}

// Down the ladder: a single method only when the series is too short for it, since what else ails it
// is for the user to know; several candidates when none of them has a fit.
ForecastStatus ForecastTrainer::Impl::fit_part(Part part, ForecastModel& out) {
    ForecastStatus first = ForecastStatus::ok;
    for (int rung = kAsAsked; rung < (spec->step_down ? kRungs : 1); ++rung) {
        const ForecastStatus status = fit_rung(rung, part, out);
        if (status == ForecastStatus::ok || status == ForecastStatus::stopped) {
            if (status == ForecastStatus::ok) {
                out.asked = spec->method.method;
                out.grid = series.grid;
                out.n = part.end;
                out.zone = spec->zone;
                out.season_lengths = seasons;
                out.n_features = spec->n_features;
                out.calendar = calendar;
                out.lower_bound = spec->lower_bound;
                out.upper_bound = spec->upper_bound;
                out.round = spec->round;
                out.seed = spec->seed;
                const auto y = actuals(part);
                out.smallest = out.largest = y[0];
                for (const double v : y) {
                    out.smallest = v < out.smallest ? v : out.smallest;
                    out.largest = v < out.largest ? out.largest : v;
                }
            }
            return status;
        }
        if (rung == kAsAsked) first = status;
        if (!combined() && status != ForecastStatus::too_short) return status;
    }
    return first;
}

}  // namespace many::core
