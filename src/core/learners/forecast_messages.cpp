// What a group without a forecast tells its user: which time, which value, what to do.
#include <bit>
#include <cstdio>
#include <cstring>

#include "core/learners/forecast_trainer_impl.h"

namespace many::core {
namespace {

std::string time_text(std::int64_t time) {
    return "{time:" + std::to_string(time) + "}";
}

std::string counted(std::int64_t n, const char* noun) {
    return std::to_string(n) + ' ' + noun + (n == 1 ? "" : "s");
}

std::string number_text(double value) {
    char text[32];
    (void)std::snprintf(text, sizeof text, "%.15g", value);
    return text;
}

std::string and_more(std::int64_t n, const char* noun) {
    return n > 0 ? " and " + std::to_string(n) + " more " + noun + (n == 1 ? "" : "s") : "";
}

// The series under policies that close its eyes to gaps and duplicates: what there is of both.
bool tolerant_series(const ForecastSpec& spec, const TimeZoneMap& zone, double* rows, std::size_t n,
                     std::size_t stride, RegularSeries& out) {
    GridSpec grid = spec.grid;
    grid.fill = FillPolicy::zero;
    grid.duplicates = DuplicatePolicy::last;
    std::int64_t time = 0;
    return build_series(grid, zone, rows, n, stride, spec.n_features,
                        static_cast<std::size_t>(spec.max_length), out, time) == SeriesStatus::ok;
}

const char* name_of(const ForecastSpec& spec) noexcept {
    return method_name(spec.method.method);
}

}  // namespace

void ForecastTrainer::Impl::explain_series(SeriesStatus status, double* rows, std::size_t n,
                                           std::size_t stride, std::int64_t at,
                                           GroupResult& result) const {
    const std::size_t time_column = static_cast<std::size_t>(spec->n_features) + 1;
    const auto step = [this] { return step_name(series.grid.type, series.grid.step); };
    RegularSeries seen;
    result.status = FitStatus::irregular_series;
    switch (status) {
        case SeriesStatus::ok:
            break;
        case SeriesStatus::empty:
            result.status = FitStatus::too_few_rows;
            result.message = "target {target} has no value";
            break;
        case SeriesStatus::off_grid:
            result.message =
                "the time " + time_text(at) + " is not on the grid of the step " + step();
            result.hint =
                "Set option frequency to a step that all times are on, or truncate the times in "
                "the "
                "source query and set duplicates to \"sum\", \"mean\" or \"last\".";
            break;
        case SeriesStatus::no_step:
            result.status = FitStatus::too_few_rows;
            result.message = "the series has the one time " + time_text(at) +
                             ", from which no step can be inferred";
            result.hint = "Set option frequency, for example to \"day\".";
            if (n > 1) {
                const auto time_of = [&](std::size_t r) {
                    return std::bit_cast<std::int64_t>(rows[r * stride + time_column]);
                };
                for (std::size_t r = 1; r < n; ++r) {
                    if (time_of(r) == time_of(0)) continue;
                    result.status = FitStatus::irregular_series;
                    result.message =
                        "no step can be inferred from the times of the series, which "
                        "begins at " +
                        time_text(at);
                    break;
                }
            }
            break;
        case SeriesStatus::duplicate: {
            std::int64_t same = 0;
            for (std::size_t r = 0; r < n; ++r) {
                const double* row = rows + r * stride;
                if (std::bit_cast<std::int64_t>(row[time_column]) == at &&
                    !is_null_value(row[time_column - 1]))
                    ++same;
            }
            // Times that differ can be one observation: of a local time that comes twice.
            result.message =
                same > 1
                    ? "the series has " + counted(same, "row") + " of the time " + time_text(at)
                    : "the series has several rows of the observation at " + time_text(at);
            if (tolerant_series(*spec, zone, rows, n, stride, seen) && same > 1) {
                result.message += and_more(seen.n_merged - (same - 1), "duplicate");
            }
            result.hint =
                "Set option duplicates to \"sum\", \"mean\" or \"last\", or aggregate in the "
                "source query.";
            break;
        }
        case SeriesStatus::gap:
            result.message = "the series has no value at " + time_text(at);
            if (tolerant_series(*spec, zone, rows, n, stride, seen)) {
                result.message += and_more(seen.n_filled - 1, "time");
            }
            result.message += ", at a step of " + step();
            result.hint =
                "Set option fill to \"zero\", \"forward\", \"interpolate\" or \"null\", or "
                "frequency if the step is another.";
            break;
        case SeriesStatus::too_long:
            result.message = "with the time " + time_text(at) + " the series has more than " +
                             std::to_string(spec->max_length) + " observations at a step of " +
                             step();
            result.hint =
                "Filter the row out if its time is wrong, or set frequency to a longer step.";
            break;
        case SeriesStatus::infinite_time:
            result.status = FitStatus::not_finite_input;
            result.message = "the time " + time_text(at) + " is not finite";
            result.hint = "Filter these rows out in the source query.";
            break;
    }
}

void ForecastTrainer::Impl::explain_fit(ForecastStatus status, GroupResult& result) const {
    const std::string n = counted(size(), "observation"), name = name_of(*spec);
    result.status = FitStatus::no_forecast;
    switch (status) {
        case ForecastStatus::ok:
        case ForecastStatus::stopped:
            break;
        case ForecastStatus::too_short:
            result.status = FitStatus::too_few_rows;
            if (seasons.empty() && needs_season(spec->method)) {
                result.status = FitStatus::no_forecast;
                result.message = name + " needs a season, and the series has none";
                result.hint = "Set option season_length, or step_down to true.";
                break;
            }
            result.message = name + " needs more than the " + n + " of the series";
            result.hint = spec->step_down
                              ? "Set option min_rows to skip short series."
                              : "Set option season_length to a shorter one, or step_down to true.";
            break;
        case ForecastStatus::not_positive: {
            std::size_t t = 0;
            const bool zero_counts =  // intermittent demand: 0 is a value like others
                !(spec->method.method >= ForecastMethod::croston &&
                  spec->method.method <= ForecastMethod::imapa);
            while (t + 1 < series.y.size() && !(zero_counts ? series.y[t] <= 0 : series.y[t] < 0)) {
                ++t;
            }
            result.message = name + " needs values " + (zero_counts ? "above 0" : "of at least 0") +
                             ", and target {target} is " + number_text(series.y[t]) + " at " +
                             time_text(time_at(series.grid, static_cast<std::int64_t>(t), zone));
            result.hint = zero_counts ? "Use an additive form, or a method without one."
                                      : "Net returns against the demand in the source query.";
            break;
        }
        case ForecastStatus::constant:
            result.status = FitStatus::constant_target;
            result.message = "target {target} has the same value in all " + n;
            break;
        case ForecastStatus::not_admissible:
            if (needs_season(spec->method) && spec->method.method != ForecastMethod::arima &&
                season_length() > kLongestEtsSeason) {
                result.message = name + " takes seasons of at most " +
                                 std::to_string(kLongestEtsSeason) + " observations, not of " +
                                 std::to_string(season_length());
                result.hint = "Set option season_length to a shorter one, or use mstl.";
                break;
            }
            result.message = name + " has no forecast with the parameters given";
            result.hint = "Leave out parameters that are to be estimated, or set others.";
            break;
        case ForecastStatus::not_converged:
            result.status = FitStatus::not_converged;
            result.message = "the search of " + name + " for its parameters did not converge";
            result.hint = "Set parameters, or use another method.";
            break;
        case ForecastStatus::overflow:
            result.status = FitStatus::not_finite;
            result.message = "the values overflow double precision in " + name;
            result.hint = "Rescale target {target} to a smaller order of magnitude.";
            break;
    }
}

}  // namespace many::core
