// The rows form of group training: all rows of a group at once.
//
// usable rows -> order of time -> holdout -> training split fitted and judged -> all rows fitted.
// Rows are addressed by index and expanded block by block, so that the working memory is a few
// moments buffers and not a copy of the group.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/error.h"
#include "core/learners/group_trainer_impl.h"
#include "core/learners/linear_workspace.h"
#include "core/selection/comparison.h"
#include "core/selection/split.h"

namespace many::core {
namespace {

constexpr std::size_t kPollRows = 4096;
// Rows between looks at the stop signal: about a millisecond of accumulation.
std::size_t block_rows(int terms) noexcept {
    const std::size_t q = static_cast<std::size_t>(terms) + 2;
    return std::clamp<std::size_t>(1000000 / (q * q), 1, 256);
}

std::string column_name(std::size_t column, std::size_t n_features) {
    if (column < n_features) return "feature {" + std::to_string(column) + "}";
    return column == n_features ? "target {target}" : "the time column";
}

}  // namespace

// Fills `usable`; false when NULLs or values that are not finite end the group here.
bool GroupTrainer::Impl::select_rows(const Rows& rows, std::size_t n, const StopSignal& stop,
                                     GroupResult& result) {
    const std::size_t features = static_cast<std::size_t>(spec.n_features);
    const std::size_t columns = features + 1 + (spec.has_time ? 1 : 0);
    const bool impute = spec.null_policy == NullPolicy::impute_mean;
    std::vector<std::size_t> nulls(columns), infinite(columns);
    usable.clear();
    for (std::size_t r = 0; r < n; ++r) {
        if (r % kPollRows == 0) {
            if (const FitStatus s = stop.poll(); s != FitStatus::ok) {
                explain(s, 0, {}, result);
                return false;
            }
        }
        const double* row = rows.at(static_cast<std::uint32_t>(r));
        bool keep = true;
        for (std::size_t c = 0; c < columns; ++c) {
            if (!is_null_value(row[c])) continue;
            ++nulls[c];
            if (!impute || c >= features) keep = false;
        }
        if (!keep) {
            ++result.rows_skipped;
            continue;
        }
        for (std::size_t c = 0; c <= features; ++c) {
            const bool categorical = c < spec.categorical.size() && spec.categorical[c];
            if (!categorical && !std::isfinite(row[c]) && !is_null_value(row[c])) ++infinite[c];
        }
        usable.push_back(static_cast<std::uint32_t>(r));
    }
    for (std::size_t c = 0; c < columns && spec.null_policy == NullPolicy::error; ++c) {
        if (nulls[c] == 0) continue;
        result.status = FitStatus::null_value;
        result.message = column_name(c, features) + " is NULL in " + counted(nulls[c], "row");
        result.hint = "Filter the rows out, or set null_policy to skip_row or impute_mean.";
        return false;
    }
    for (std::size_t c = 0; c <= features; ++c) {
        if (infinite[c] == 0) continue;
        result.status = FitStatus::not_finite_input;
        result.message =
            column_name(c, features) + " is NaN or infinite in " + counted(infinite[c], "row");
        result.hint = "Filter these rows out in the source query.";
        return false;
    }
    return true;
}

// By time; ties by the values, so that the order does not depend on how the rows arrived.
void GroupTrainer::Impl::order_by_time(const Rows& rows) {
    const std::size_t d = static_cast<std::size_t>(spec.n_features) + 1;
    std::sort(usable.begin(), usable.end(), [&](std::uint32_t a, std::uint32_t b) {
        const double* x = rows.at(a);
        const double* y = rows.at(b);
        const auto time_x = std::bit_cast<std::int64_t>(x[d]);
        const auto time_y = std::bit_cast<std::int64_t>(y[d]);
        if (time_x != time_y) return time_x < time_y;
        for (std::size_t c = 0; c < d; ++c) {
            const auto bits_x = std::bit_cast<std::uint64_t>(x[c]);
            const auto bits_y = std::bit_cast<std::uint64_t>(y[c]);
            if (bits_x != bits_y) return bits_x < bits_y;
        }
        return false;
    });
}

// Fills `held`, by position in `usable`.
void GroupTrainer::Impl::choose_holdout(const Rows& rows) {
    const HoldoutSpec& h = spec.holdout;
    const std::size_t n = usable.size();
    const std::size_t d = static_cast<std::size_t>(spec.n_features) + 1;
    held.assign(n, 0);
    if (h.kind == HoldoutSpec::Kind::none) return;
    if (h.kind == HoldoutSpec::Kind::since) {
        for (std::size_t i = 0; i < n; ++i) {
            held[i] = std::bit_cast<std::int64_t>(rows.at(usable[i])[d]) >= h.since;
        }
        return;
    }
    std::size_t share = 0;
    if (h.kind == HoldoutSpec::Kind::fraction) {
        // A hair less, so that 0.1 of 30 rows is 3 and not 4.
        share =
            static_cast<std::size_t>(std::ceil(h.fraction * static_cast<double>(n) * (1 - 1e-12)));
    } else {
        share = static_cast<std::size_t>(h.rows);
    }
    share = std::min(share, n);
    if (spec.has_time) {
        std::fill(held.end() - static_cast<std::ptrdiff_t>(share), held.end(), 1);
        return;
    }
    if (h.kind == HoldoutSpec::Kind::fraction && !h.exact) {
        for (std::size_t i = 0; i < n; ++i) held[i] = in_holdout(hashes[usable[i]], h.fraction);
        return;
    }
    // The smallest hashes; equal ones by the values, of which equal ones are interchangeable.
    std::vector<std::uint32_t> order(n);
    std::iota(order.begin(), order.end(), 0U);
    std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
        const std::uint64_t hash_a = hashes[usable[a]], hash_b = hashes[usable[b]];
        if (hash_a != hash_b) return hash_a < hash_b;
        const double* x = rows.at(usable[a]);
        const double* y = rows.at(usable[b]);
        for (std::size_t c = 0; c < d; ++c) {
            const auto bits_x = std::bit_cast<std::uint64_t>(x[c]);
            const auto bits_y = std::bit_cast<std::uint64_t>(y[c]);
            if (bits_x != bits_y) return bits_x < bits_y;
        }
        return false;
    });
    for (std::size_t i = 0; i < share; ++i) held[order[i]] = 1;
}

bool GroupTrainer::Impl::explain_design(RowDesign::Problem problem, GroupResult& result) const {
    const std::string feature = "feature {" + std::to_string(design.problem_feature()) + "}";
    switch (problem) {
        case RowDesign::Problem::none:
            return true;
        case RowDesign::Problem::too_many_levels:
            result.status = FitStatus::too_many_levels;
            result.message = feature + " has more than " +
                             counted(static_cast<std::size_t>(spec.max_levels), "level");
            result.hint = "Leave the feature out, or map its rare levels to one.";
            return false;
        case RowDesign::Problem::level_too_long:
            result.status = FitStatus::too_many_levels;
            result.message = feature + " has a level longer than 65535 bytes";
            result.hint = "Shorten the values of the feature in the source query.";
            return false;
        case RowDesign::Problem::always_null:
            result.status = FitStatus::null_value;
            result.message = feature + " is NULL in every row";
            result.hint = "Leave the feature out for this group.";
            return false;
        case RowDesign::Problem::too_many_terms:
            result.status = FitStatus::too_many_levels;
            result.message = "the features expand to more than " +
                             std::to_string(MomentLayout::kMaxColumns - 1) + " terms";
            result.hint = "Leave features with many levels out.";
            return false;
    }
    return false;
}

FitStatus GroupTrainer::Impl::accumulate(const Rows& rows, const RowDesign& d,
                                         const std::uint32_t* index, std::size_t n, double* moments,
                                         const StopSignal& stop) {
    const MomentLayout terms(d.terms() + 1);
    const std::size_t width = static_cast<std::size_t>(terms.columns());
    const std::size_t rows_per_block = block_rows(d.terms());
    block.resize(rows_per_block * width);
    for (std::size_t first = 0; first < n; first += rows_per_block) {
        const std::size_t m = std::min(rows_per_block, n - first);
        std::size_t filled = 0;
        for (std::size_t i = 0; i < m; ++i) {
            if (d.expand(rows.at(index[first + i]), block.data() + filled * width)) ++filled;
        }
        moments_add_rows(moments, terms, block.data(), filled, width);
        if (const FitStatus s = stop.poll(); s != FitStatus::ok) return s;
    }
    return FitStatus::ok;
}

// Metrics of `fit` on rows, into `state`; those with a level unseen in training are left out.
template <class WithRow>
FitStatus GroupTrainer::Impl::evaluate(const Rows& rows, const RowDesign& d,
                                       const std::vector<std::uint32_t>& index, double mean,
                                       const StopSignal& stop, WithRow with_row) {
    const std::size_t width = static_cast<std::size_t>(d.terms()) + 1;
    const std::size_t rows_per_block = block_rows(d.terms());
    block.resize(rows_per_block * width);
    state.resize(holdout_state_doubles(d.terms()));
    holdout_start(state.data(), fit, mean);
    for (std::size_t first = 0; first < index.size(); first += rows_per_block) {
        const std::size_t m = std::min(rows_per_block, index.size() - first);
        std::size_t filled = 0;
        for (std::size_t i = 0; i < m; ++i) {
            double* expanded = block.data() + filled * width;
            const double* row = rows.at(index[first + i]);
            if (!d.expand(row, expanded)) continue;
            with_row(expanded, row);
            ++filled;
        }
        holdout_add_rows(state.data(), d.terms(), block.data(), filled, width);
        if (const FitStatus s = stop.poll(); s != FitStatus::ok) return s;
    }
    return FitStatus::ok;
}

// Fills trains and tests, one buffer per split. learn_each: what the design learned (means, levels
// seen) has to come from the training part of each split.
FitStatus GroupTrainer::Impl::make_splits(const Rows& rows, const RowDesign& d,
                                          const std::vector<std::uint32_t>& index, bool learn_each,
                                          const StopSignal& stop) {
    const MomentLayout terms(d.terms() + 1);
    const std::size_t k = static_cast<std::size_t>(spec.cv_folds);
    const std::size_t n = index.size();
    trains.assign(k * terms.doubles(), 0.0);
    tests.assign(k * terms.doubles(), 0.0);
    std::vector<std::uint32_t> train, test;
    for (std::size_t i = 0; i < k; ++i) {
        double* train_moments = trains.data() + i * terms.doubles();
        double* test_moments = tests.data() + i * terms.doubles();
        train.clear();
        test.clear();
        if (spec.has_time) {  // k + 1 blocks; split i trains on the first i + 1, tests on the next
            const std::size_t begin = n * (i + 1) / (k + 1), end = n * (i + 2) / (k + 1);
            const auto at = [&](std::size_t r) {
                return index.begin() + static_cast<std::ptrdiff_t>(r);
            };
            train.assign(at(0), at(begin));
            test.assign(at(begin), at(end));
        } else {
            for (const std::uint32_t r : index) {
                (fold_of(hashes[r], spec.cv_folds) == static_cast<int>(i) ? test : train)
                    .push_back(r);
            }
        }
        const RowDesign* rule = &d;
        if (learn_each) {
            const auto problem = split_within.learn_within(d, spec, rows.data, rows.stride,
                                                           train.data(), train.size());
            if (problem != RowDesign::Problem::none) continue;  // the split has no training rows
            rule = &split_within;
        }
        FitStatus s = FitStatus::ok;
        if (i > 0 && spec.has_time && !learn_each) {  // the window before, and its test block
            const double* before = train_moments - terms.doubles();
            std::copy(before, before + terms.doubles(), train_moments);
            moments_merge(train_moments, test_moments - terms.doubles(), terms);
        } else {
            s = accumulate(rows, *rule, train.data(), train.size(), train_moments, stop);
        }
        if (s == FitStatus::ok) {
            s = accumulate(rows, *rule, test.data(), test.size(), test_moments, stop);
        }
        if (s != FitStatus::ok) return s;
    }
    return FitStatus::ok;
}

FitStatus GroupTrainer::Impl::fit_subset(const Rows& rows, const RowDesign& d,
                                         const std::vector<std::uint32_t>& index,
                                         const GroupOptions& options, bool cross_validate,
                                         const StopSignal& stop) {
    const MomentLayout terms(d.terms() + 1);
    const bool learn_each =
        d.has_categorical() || (spec.null_policy == NullPolicy::impute_mean && has_nulls);
    whole.assign(terms.doubles(), 0.0);
    const int k = cross_validate ? spec.cv_folds : 0;
    if (k > 1 && !spec.has_time && !learn_each) {
        // Folds of one partition, as in the statistics form; their sum is the whole.
        tests.assign(static_cast<std::size_t>(k) * terms.doubles(), 0.0);
        for (int i = 0; i < k; ++i) {
            fold_rows.clear();
            for (const std::uint32_t r : index) {
                if (fold_of(hashes[r], k) == i) fold_rows.push_back(r);
            }
            double* fold = tests.data() + static_cast<std::size_t>(i) * terms.doubles();
            const FitStatus s = accumulate(rows, d, fold_rows.data(), fold_rows.size(), fold, stop);
            if (s != FitStatus::ok) return s;
            moments_merge(whole.data(), fold, terms);
        }
        return solver.fit(whole.data(), d.terms(), options.linear, tests.data(), k, stop, fit);
    }
    FitStatus s = accumulate(rows, d, index.data(), index.size(), whole.data(), stop);
    if (s != FitStatus::ok) return s;
    if (k > 1) {
        s = make_splits(rows, d, index, learn_each, stop);
        if (s != FitStatus::ok) return s;
        return solver.fit_splits(whole.data(), d.terms(), options.linear, trains.data(),
                                 tests.data(), k, stop, fit);
    }
    return solver.fit(whole.data(), d.terms(), options.linear, nullptr, 0, stop, fit);
}

void GroupTrainer::fit_rows(double* rows, std::size_t n, std::size_t stride,
                            const LevelLookup& levels, const GroupOptions& options,
                            const StopSignal& stop, GroupResult& result, const Rival* rival) {
    Impl& m = *impl_;
    const Impl::Rows view{rows, stride};
    if (n > std::numeric_limits<std::uint32_t>::max()) {
        throw Error(ErrorKind::unsupported, "a group has more than 4294967295 rows");
    }
    result = GroupResult{
        FitStatus::ok, {}, {}, 0, 0, std::move(result.model), {no_metrics(), no_metrics(), {}}};
    result.model.clear();
    if (!m.select_rows(view, n, stop, result)) return;
    result.rows_used = static_cast<std::int64_t>(m.usable.size());
    const std::size_t d = static_cast<std::size_t>(m.spec.n_features) + 1;
    m.note_nulls(view);
    if (m.spec.has_time) {
        m.order_by_time(view);
    } else {
        m.hashes.resize(n);
        for (const std::uint32_t r : m.usable) m.hashes[r] = row_hash(view.at(r), d, m.spec.seed);
    }
    if (m.usable.empty()) {  // nothing to learn levels from
        (void)m.enough_rows(0, m.spec.n_features, options, result);
        return;
    }
    const auto learned =
        m.design.learn(m.spec, rows, stride, m.usable.data(), m.usable.size(), levels);
    if (!m.explain_design(learned, result)) return;
    const double n_usable = static_cast<double>(m.usable.size());
    if (!m.enough_rows(n_usable, m.design.terms(), options, result)) return;

    SplitMetrics holdout = no_metrics();
    FitStatus s = m.judge_holdout(view, levels, options, stop, rival, &holdout, &result.comparison);
    if (s == FitStatus::ok) s = m.fit_subset(view, m.design, m.usable, options, true, stop);
    if (s == FitStatus::ok)
        s = m.evaluate(view, m.design, m.usable, m.fit.target_mean, stop,
                       [](const double*, const double*) {});
    m.explain(s, n_usable, options, result);
    if (s != FitStatus::ok) return;
    const SplitMetrics in_sample = holdout_finish(m.state.data(), m.design.terms());
    m.encode(holdout, &in_sample, m.whole.data(), &m.design, result);
}

void GroupTrainer::Impl::note_nulls(const Rows& rows) {
    has_nulls = false;
    if (spec.null_policy != NullPolicy::impute_mean) return;
    for (const std::uint32_t r : usable) {
        const double* row = rows.at(r);
        for (int k = 0; k < spec.n_features; ++k) has_nulls = has_nulls || is_null_value(row[k]);
    }
}

// Fits the training split and judges it on the rows held out. A training split that allows no fit
// leaves *out without rows; only a stop is returned as a failure.
FitStatus GroupTrainer::Impl::judge_holdout(const Rows& rows, const LevelLookup& levels,
                                            const GroupOptions& options, const StopSignal& stop,
                                            const Rival* rival, SplitMetrics* out,
                                            Comparison* compared) {
    choose_holdout(rows);
    training.clear();
    held_rows.clear();
    for (std::size_t i = 0; i < usable.size(); ++i) {
        (held[i] != 0 ? held_rows : training).push_back(usable[i]);
    }
    if (held_rows.empty() || training.empty()) return FitStatus::ok;
    const auto learned =
        split_design.learn(spec, rows.data, rows.stride, training.data(), training.size(), levels);
    if (learned != RowDesign::Problem::none) return FitStatus::ok;
    const bool search = options.linear.lambda_auto && spec.cv_folds > 1 &&
                        options.linear.algorithm != Algorithm::linear_regression;
    FitStatus s = fit_subset(rows, split_design, training, options, search, stop);
    if (s == FitStatus::cancelled || s == FitStatus::timed_out) return s;
    if (!can_be_evaluated(s)) return FitStatus::ok;
    const int terms = split_design.terms();
    const double mean = baseline(whole.data());
    comparison.resize(comparison_state_doubles());
    comparison_start(comparison.data(), mean);
    s = evaluate(rows, split_design, held_rows, mean, stop,
                 [&](const double* expanded, const double* row) {
                     double other;
                     if (rival != nullptr && rival_predicts(*rival, row, spec, levels, &other))
                         comparison_add(comparison.data(), expanded[terms],
                                        holdout_predict(state.data(), terms, expanded), other);
                 });
    if (s != FitStatus::ok) return s;
    *out = holdout_finish(state.data(), terms);
    compared->baseline = holdout_baseline(state.data(), terms);
    comparison_finish(comparison.data(), &compared->rival, &compared->paired);
    return FitStatus::ok;
}

}  // namespace many::core
