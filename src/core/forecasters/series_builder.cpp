#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "core/forecasters/calendar.h"
#include "core/forecasters/grid_inference.h"
#include "core/forecasters/time_grid.h"
#include "core/learners/group_trainer.h"

namespace many::core {

namespace {

// A total order of doubles, NaN and both zeros told apart.
std::int64_t order_key(double value) noexcept {
    const std::int64_t bits = std::bit_cast<std::int64_t>(value);
    return bits < 0 ? bits ^ std::numeric_limits<std::int64_t>::max() : bits;
}

constexpr std::size_t kKeptRows = 1 << 16;  // memory of a longer series goes back

struct RowRef {
    std::int64_t time;
    const double* row;
};

// Rows order[begin .. end) of one observation.
struct Observation {
    std::int64_t index;
    std::size_t begin, end;
    double value;  // null_value(): missing
};

bool same_grids(const GridSpec& a, const GridSpec& b) noexcept {
    return a.type == b.type && a.step == b.step;
}

bool same_zone(const TimeZoneMap& a, const TimeZoneMap& b) noexcept {
    return a.to_local == b.to_local && a.to_absolute == b.to_absolute && a.zone == b.zone;
}

}  // namespace

struct SeriesScratch::Impl {
    std::vector<RowRef> order, spare;
    std::vector<std::size_t> runs;
    std::vector<Observation> observations;
    std::vector<std::int64_t> times;  // of the series at hand, each once

    // The last series that was laid on a grid without a complaint.
    GridSpec spec;
    TimeZoneMap zone;
    std::vector<std::int64_t> known_times, known_places;
    TimeGrid known_grid;
    bool gapless = false;  // places 0, 1, 2, ..
};

SeriesScratch::SeriesScratch() : impl_(std::make_unique<Impl>()) {}
SeriesScratch::~SeriesScratch() = default;
void SeriesScratch::forget() {
    *impl_ = {};
}

class SeriesBuilder {
  public:
    SeriesBuilder(const GridSpec& spec, const TimeZoneMap& zone, int n_features, RegularSeries& out,
                  SeriesScratch& scratch)
        : spec_(spec),
          zone_(zone),
          features_(static_cast<std::size_t>(n_features)),
          out_(out),
          own_(*scratch.impl_),
          order_(own_.order),
          observations_(own_.observations) {}

    SeriesStatus build(const double* rows, std::size_t n, std::size_t stride,
                       std::size_t max_length, std::int64_t& at);

  private:
    [[nodiscard]] double target(std::size_t i) const noexcept { return order_[i].row[features_]; }
    [[nodiscard]] bool before(const RowRef& a, const RowRef& b) const noexcept {
        return a.time != b.time ? a.time < b.time : values_before(a, b);
    }
    [[nodiscard]] bool values_before(const RowRef& a, const RowRef& b) const noexcept;
    SeriesStatus read_rows(const double* rows, std::size_t n, std::size_t stride, std::int64_t& at);
    void sort_rows();
    SeriesStatus lay(std::int64_t& at);
    SeriesStatus find_places(std::int64_t& at);
    SeriesStatus observe(std::int64_t& at);
    [[nodiscard]] bool place_whole(std::size_t max_length);
    [[nodiscard]] double merge(std::size_t begin, std::size_t end, int column) const noexcept;
    SeriesStatus merge_target(Observation& o, std::int64_t& at);
    SeriesStatus cut(std::size_t max_length, std::int64_t& at);
    void place();
    void fill_target();
    void fill_feature(double* x, std::size_t n) const noexcept;

    const GridSpec& spec_;
    const TimeZoneMap& zone_;
    std::size_t features_;
    RegularSeries& out_;
    SeriesScratch::Impl& own_;
    std::vector<RowRef>& order_;
    std::vector<Observation>& observations_;
};

bool SeriesBuilder::values_before(const RowRef& a, const RowRef& b) const noexcept {
    for (std::size_t k = 0; k <= features_; ++k) {
        const std::size_t c = k == 0 ? features_ : k - 1;
        const std::int64_t left = order_key(a.row[c]), right = order_key(b.row[c]);
        if (left != right) return left < right;
    }
    return false;
}

SeriesStatus SeriesBuilder::read_rows(const double* rows, std::size_t n, std::size_t stride,
                                      std::int64_t& at) {
    order_.resize(n);
    bool any = false;
    std::int64_t first = std::numeric_limits<std::int64_t>::max(),
                 last = std::numeric_limits<std::int64_t>::min();
    for (std::size_t r = 0; r < n; ++r) {
        const double* row = rows + r * stride;
        const std::int64_t time = std::bit_cast<std::int64_t>(row[features_ + 1]);
        first = std::min(first, time);
        last = std::max(last, time);
        any = any || !is_null_value(row[features_]);
        order_[r] = {time, row};
    }
    if (!is_finite_time(spec_.type, first) || !is_finite_time(spec_.type, last)) {
        at = is_finite_time(spec_.type, first) ? last : first;
        for (const RowRef& r : order_) {
            if (!is_finite_time(spec_.type, r.time)) at = std::min(at, r.time);
        }
        return SeriesStatus::infinite_time;
    }
    if (!any) return SeriesStatus::empty;
    sort_rows();
    return SeriesStatus::ok;
}

// Rows come in some ascending runs, one of each process that read them: these are merged.
void SeriesBuilder::sort_rows() {
    const auto less = [this](const RowRef& a, const RowRef& b) { return before(a, b); };
    if (order_.size() > kKeptRows) {  // in place
        if (!std::is_sorted(order_.begin(), order_.end(), less))
            std::sort(order_.begin(), order_.end(), less);
        return;
    }
    std::vector<std::size_t>& runs = own_.runs;
    runs.assign(1, 0);
    for (std::size_t i = 1; i < order_.size(); ++i) {
        if (less(order_[i], order_[i - 1])) runs.push_back(i);
    }
    runs.push_back(order_.size());
    while (runs.size() > 2) {
        own_.spare.resize(order_.size());
        const auto at = [](auto& rows, std::size_t i) {
            return rows.begin() + static_cast<std::ptrdiff_t>(i);
        };
        std::size_t kept = 0;
        for (std::size_t i = 0; i + 1 < runs.size(); i += 2) {
            const std::size_t begin = runs[i], middle = runs[i + 1];
            const std::size_t end = i + 2 < runs.size() ? runs[i + 2] : middle;
            std::merge(at(order_, begin), at(order_, middle), at(order_, middle), at(order_, end),
                       at(own_.spare, begin), less);
            runs[kept++] = begin;
        }
        runs[kept++] = order_.size();
        runs.resize(kept);
        order_.swap(own_.spare);
    }
}

// The grid, and where on it each time lies.
SeriesStatus SeriesBuilder::lay(std::int64_t& at) {
    std::vector<std::int64_t>& times = own_.times;
    times.clear();
    for (const RowRef& r : order_) {
        if (times.empty() || r.time != times.back()) times.push_back(r.time);
    }
    if (times == own_.known_times && same_grids(spec_, own_.spec) && same_zone(zone_, own_.zone)) {
        out_.grid = own_.known_grid;
        return SeriesStatus::ok;
    }
    own_.known_times.clear();
    at = times[0];
    const SeriesStatus status = lay_grid(spec_, zone_, times, out_.grid);
    if (status == SeriesStatus::ok) return find_places(at);
    if (status != SeriesStatus::no_step || times.size() > 1) return status;
    std::int64_t values = 0;
    for (std::size_t i = 0; i < order_.size(); ++i) values += is_null_value(target(i)) ? 0 : 1;
    return values > 1 && spec_.duplicates == DuplicatePolicy::error ? SeriesStatus::duplicate
                                                                    : status;
}

SeriesStatus SeriesBuilder::find_places(std::int64_t& at) {
    const TimeGrid& grid = out_.grid;
    const std::vector<std::int64_t>& times = own_.times;
    std::vector<std::int64_t>& places = own_.known_places;
    // Farther than indices reach: only integers, and timestamps at steps of a microsecond or so.
    if (grid.step.months == 0) {
        const std::uint64_t span =
            static_cast<std::uint64_t>(times.back()) - static_cast<std::uint64_t>(times.front());
        if (span / static_cast<std::uint64_t>(grid.step.units) >=
            static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
            at = times.back();
            return SeriesStatus::too_long;
        }
    }
    places.resize(times.size());
    std::int64_t index = 0;
    own_.gapless = true;
    for (std::size_t i = 0; i < times.size(); ++i) {
        const std::int64_t before = index;
        // Most times are those of the next observation: half the arithmetic of finding one.
        if (i > 0 && before < std::numeric_limits<std::int64_t>::max() &&
            time_at(grid, before + 1, zone_) == times[i] && is_finite_time(grid.type, times[i])) {
            index = before + 1;
        } else if (!index_of(grid, times[i], zone_, index) ||
                   (i > 0 && index < before)) {  // clock times set back
            at = times[i];
            return SeriesStatus::off_grid;
        }
        places[i] = index;
        own_.gapless = own_.gapless && index == static_cast<std::int64_t>(i);
    }
    own_.known_times.swap(own_.times);
    own_.known_grid = grid;
    own_.spec = spec_;
    own_.zone = zone_;
    return SeriesStatus::ok;
}

// Rows become observations: one per place on the grid.
SeriesStatus SeriesBuilder::observe(std::int64_t& at) {
    observations_.clear();
    const std::int64_t* place = own_.known_places.data();
    for (std::size_t i = 0; i < order_.size(); ++i) {
        if (i > 0 && order_[i].time != order_[i - 1].time) ++place;
        if (observations_.empty() || *place != observations_.back().index)
            observations_.push_back({*place, i, i, null_value()});
        observations_.back().end = i + 1;
    }
    for (Observation& o : observations_) {
        if (const SeriesStatus s = merge_target(o, at); s != SeriesStatus::ok) return s;
    }
    return SeriesStatus::ok;
}

// A series with one row for each place is the rows as they are. False: it is not one.
bool SeriesBuilder::place_whole(std::size_t max_length) {
    const std::size_t n = order_.size();
    if (!own_.gapless || n != own_.known_places.size() || spec_.trim_leading_zeros ||
        n > max_length) {
        return false;
    }
    bool missing = false;
    out_.y.resize(n);
    for (std::size_t t = 0; t < n; ++t) {
        out_.y[t] = target(t);
        missing = missing || is_null_value(out_.y[t]);
    }
    if (missing) return false;
    out_.observed.assign(n, 1);
    out_.x.resize(n * features_);
    for (std::size_t c = 0; c < features_; ++c) {
        double* x = out_.x.data() + c * n;
        for (std::size_t t = 0; t < n; ++t) x[t] = order_[t].row[c];
        fill_feature(x, n);
    }
    return true;
}

// Sum (target of `sum`) or mean of what is not NULL in a column of rows.
double SeriesBuilder::merge(std::size_t begin, std::size_t end, int column) const noexcept {
    const std::size_t c = static_cast<std::size_t>(column);
    double sum = 0, count = 0, single = null_value();
    for (std::size_t i = begin; i < end; ++i) {
        const double v = order_[i].row[c];
        if (is_null_value(v)) continue;
        single = v;
        sum += v;
        ++count;
    }
    if (count < 2 || (c == features_ && spec_.duplicates == DuplicatePolicy::sum))
        return count < 2 ? single : sum;
    if (std::isfinite(sum)) return sum / count;
    double mean = 0;  // of large values, or not finite either
    for (std::size_t i = begin; i < end; ++i) {
        if (const double v = order_[i].row[c]; !is_null_value(v)) mean += v / count;
    }
    return mean;
}

SeriesStatus SeriesBuilder::merge_target(Observation& o, std::int64_t& at) {
    std::size_t values = 0, last = o.begin;
    for (std::size_t i = o.begin; i < o.end; ++i) {
        if (is_null_value(target(i))) continue;
        ++values;
        // Rows of one time are in order of their targets; of one place (clocks set back), not.
        if (values == 1 || order_key(target(i)) >= order_key(target(last))) last = i;
    }
    if (values > 1 && spec_.duplicates == DuplicatePolicy::error) {
        at = order_[o.begin].time;
        return SeriesStatus::duplicate;
    }
    if (values == 1 || (values > 1 && spec_.duplicates == DuplicatePolicy::last)) {
        o.begin = last;
        o.end = last + 1;
    }
    o.value = merge(o.begin, o.end, static_cast<int>(features_));
    if (values > 1) out_.n_merged += static_cast<std::int64_t>(values) - 1;
    return SeriesStatus::ok;
}

// Leaves out what is missing at both ends and, if asked, leading zeros; checks what is left.
SeriesStatus SeriesBuilder::cut(std::size_t max_length, std::int64_t& at) {
    const auto has_value = [](const Observation& o) { return !is_null_value(o.value); };
    const auto end = std::find_if(observations_.rbegin(), observations_.rend(), has_value).base();
    auto begin = std::find_if(observations_.begin(), end, has_value);
    if (spec_.trim_leading_zeros) {
        const auto other = std::find_if(
            begin, end, [&](const Observation& o) { return has_value(o) && o.value != 0; });
        if (other != end) {
            out_.n_trimmed = other->index - begin->index;
            begin = other;
        }
    }
    observations_.erase(end, observations_.end());
    observations_.erase(observations_.begin(), begin);

    const std::int64_t first = observations_.front().index;
    const auto steps = static_cast<std::uint64_t>(observations_.back().index - first);
    if (steps >= max_length) {
        // The far-off time: on the side of the widest gap where there are fewer.
        std::size_t widest = 1;
        for (std::size_t i = 2; i < observations_.size(); ++i) {
            if (observations_[i].index - observations_[i - 1].index >
                observations_[widest].index - observations_[widest - 1].index)
                widest = i;
        }
        const bool early = 2 * widest < observations_.size();
        at = order_[observations_.size() < 2 ? 0 : observations_[early ? widest - 1 : widest].begin]
                 .time;
        return SeriesStatus::too_long;
    }
    for (std::size_t i = 1; i < observations_.size() && spec_.fill == FillPolicy::error; ++i) {
        const std::int64_t next = observations_[i - 1].index + 1;
        if (observations_[i].index == next && has_value(observations_[i])) continue;
        at = time_at(out_.grid, next, zone_);
        return SeriesStatus::gap;
    }
    return SeriesStatus::ok;
}

void SeriesBuilder::place() {
    const std::int64_t first = observations_.front().index;
    const std::size_t n = static_cast<std::size_t>(observations_.back().index - first) + 1;
    out_.y.assign(n, null_value());
    out_.x.assign(n * features_, null_value());
    out_.observed.assign(n, 0);
    for (const Observation& o : observations_) {
        const std::size_t t = static_cast<std::size_t>(o.index - first);
        out_.y[t] = o.value;
        out_.observed[t] = is_null_value(o.value) ? 0 : 1;
        for (std::size_t c = 0; c < features_; ++c)
            out_.x[c * n + t] = merge(o.begin, o.end, static_cast<int>(c));
    }
    fill_target();
    for (std::size_t c = 0; c < features_; ++c) fill_feature(out_.x.data() + c * n, n);
}

// The first and the last value are there.
void SeriesBuilder::fill_target() {
    std::vector<double>& y = out_.y;
    for (std::size_t t = 0; t < y.size(); ++t) {
        if (out_.observed[t] != 0) continue;
        std::size_t end = t;
        while (out_.observed[end] == 0) ++end;
        const double left = y[t - 1], right = y[end];
        const double width = static_cast<double>(end - t + 1);
        for (std::size_t i = t; i < end; ++i) {
            const double steps = static_cast<double>(i - t + 1);
            const double rise = (right - left) * steps / width;
            if (spec_.fill == FillPolicy::zero) {
                y[i] = 0;
            } else if (spec_.fill == FillPolicy::forward) {
                y[i] = left;
            } else if (std::isfinite(rise)) {
                y[i] = left + rise;
            } else {
                y[i] = left * (1 - steps / width) + right * (steps / width);
            }
        }
        out_.n_filled += static_cast<std::int64_t>(end - t);
        t = end;
    }
}

void SeriesBuilder::fill_feature(double* x, std::size_t n) const noexcept {
    std::size_t known = 0;
    while (known < n && is_null_value(x[known])) ++known;
    if (known == n) return;
    std::fill(x, x + known, x[known]);
    for (std::size_t t = known + 1; t < n; ++t) {
        if (is_null_value(x[t])) x[t] = x[t - 1];
    }
}

SeriesStatus SeriesBuilder::build(const double* rows, std::size_t n, std::size_t stride,
                                  std::size_t max_length, std::int64_t& at) {
    if (const SeriesStatus s = read_rows(rows, n, stride, at); s != SeriesStatus::ok) return s;
    if (const SeriesStatus s = lay(at); s != SeriesStatus::ok) return s;
    if (place_whole(max_length)) return SeriesStatus::ok;
    if (const SeriesStatus s = observe(at); s != SeriesStatus::ok) return s;
    if (const SeriesStatus s = cut(max_length, at); s != SeriesStatus::ok) return s;
    place();
    if (const std::int64_t first = observations_.front().index; first != 0) {
        // In the grid's own time, whatever the clocks do there.
        TimeGrid own = out_.grid;
        own.type = own.type == TimeType::timestamptz ? TimeType::timestamp : own.type;
        out_.grid.origin = time_at(own, first, {});
    }
    return SeriesStatus::ok;
}

SeriesStatus build_series(const GridSpec& spec, const TimeZoneMap& zone, double* rows,
                          std::size_t n, std::size_t stride, int n_features, std::size_t max_length,
                          RegularSeries& out, std::int64_t& at, SeriesScratch& scratch) {
    out.grid = {};
    out.grid.type = spec.type;
    out.grid.step = spec.step;
    out.y.clear();
    out.x.clear();
    out.observed.clear();
    out.n_filled = out.n_merged = out.n_trimmed = 0;
    at = 0;
    if (n == 0) return SeriesStatus::empty;
    const SeriesStatus status =
        SeriesBuilder(spec, zone, n_features, out, scratch).build(rows, n, stride, max_length, at);
    if (n > kKeptRows) scratch.forget();
    return status;
}

SeriesStatus build_series(const GridSpec& spec, const TimeZoneMap& zone, double* rows,
                          std::size_t n, std::size_t stride, int n_features, std::size_t max_length,
                          RegularSeries& out, std::int64_t& at) {
    SeriesScratch scratch;
    return build_series(spec, zone, rows, n, stride, n_features, max_length, out, at, scratch);
}

}  // namespace many::core
