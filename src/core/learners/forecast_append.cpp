// New observations behind a stored model's end: states move, parameters stay.
//
// The new rows are laid on the model's grid by build_series, with a row of the model's last time
// before them as an anchor. Where that is not plain (a row at or before the end, another grid, a
// gap right behind the end that needs the last value, a method without an update) the answer is to
// fit again, which also finds the words for what is wrong with the rows.
#include <algorithm>
#include <bit>
#include <cmath>

#include "core/learners/forecast_trainer_impl.h"

namespace many::core {
namespace {

std::size_t at(std::int64_t i) noexcept {
    return static_cast<std::size_t>(i);
}

// The series from the model's last observation on; false: fit again.
bool series_behind(const ForecastSpec& spec, const TimeZoneMap& zone, const ForecastModel& model,
                   std::span<const double> rows, std::size_t width, RegularSeries& out) {
    GridSpec grid = spec.grid;
    grid.type = model.grid.type;
    grid.step = model.grid.step;
    grid.trim_leading_zeros = false;
    std::vector<double> with_anchor(width, null_value());
    with_anchor[width - 2] = 0;
    with_anchor[width - 1] = std::bit_cast<double>(time_at(model.grid, model.n - 1, zone));
    with_anchor.insert(with_anchor.end(), rows.begin(), rows.end());
    std::int64_t time = 0;
    if (build_series(grid, zone, with_anchor.data(), with_anchor.size() / width, width,
                     spec.n_features, at(spec.max_length), out, time) != SeriesStatus::ok) {
        return false;
    }
    const std::int64_t n = static_cast<std::int64_t>(out.y.size());
    for (std::int64_t i = 0; i < n; ++i) {
        if (time_at(out.grid, i, zone) != time_at(model.grid, model.n - 1 + i, zone)) return false;
    }
    const bool by_zero = spec.grid.fill == FillPolicy::zero && spec.n_features == 0;
    return n < 2 || out.observed[1] != 0 || by_zero;
}

// Whether a fit of the longer series could be of another kind: what was too short may be long enough
// now (not for a season, where the series has none), and zeros that began a series of zeros are
// leading ones when another value comes.
bool wants_fit(const ForecastSpec& spec, const ForecastModel& model) {
    const bool zeros = model.smallest == 0 && model.largest == 0;
    const bool short_of_values = model.rung > (model.season_lengths.empty() ? 1 : 0);
    return short_of_values || (spec.grid.trim_leading_zeros && zeros);
}

}  // namespace

bool ForecastTrainer::append_rows(const ForecastSpec& spec, const TimeZoneMap& zone,
                                  const ForecastModel& model, const double* rows, std::size_t n,
                                  std::size_t stride, GroupResult& result) {
    result = GroupResult{};
    const double none = FitSummary::kNone;
    result.comparison.baseline = result.comparison.rival = {0, none, none, none, none, none, none};
    if (spec.n_features != model.n_features || model.n < 1 || wants_fit(spec, model)) return false;
    const auto features = static_cast<std::size_t>(spec.n_features), width = features + 2;
    const std::int64_t last = time_at(model.grid, model.n - 1, zone);
    std::vector<double> kept;
    for (std::size_t r = 0; r < n; ++r) {
        const double* row = rows + r * stride;
        const bool no_time = is_null_value(row[features + 1]);
        if (no_time || is_null_value(row[features])) ++result.rows_skipped;
        if (no_time) continue;
        if (std::bit_cast<std::int64_t>(row[features + 1]) <= last) return false;
        for (std::size_t c = 0; c <= features; ++c) {
            if (!std::isfinite(row[c]) && !is_null_value(row[c])) return false;
        }
        kept.insert(kept.end(), row, row + width);
    }
    RegularSeries behind;
    if (!series_behind(spec, zone, model, kept, width, behind)) return false;

    ForecastModel moved = model;
    const std::size_t length = behind.y.size();
    const std::span<const double> y = std::span(behind.y).subspan(1);
    std::vector<double> x;
    for (std::size_t c = 0; c < features; ++c) {
        const auto column = behind.x.begin() + static_cast<std::ptrdiff_t>(c * length);
        x.insert(x.end(), column + 1, column + static_cast<std::ptrdiff_t>(length));
    }
    if (std::any_of(x.begin(), x.end(), is_null_value)) return false;
    if (!move_forward(moved, zone, y, x)) return false;
    moved.n_filled += behind.n_filled;
    moved.n_merged += behind.n_merged;
    result.rows_used = moved.n - moved.n_filled;
    encode_forecast_model(moved, result.model);
    return true;
}

}  // namespace many::core
