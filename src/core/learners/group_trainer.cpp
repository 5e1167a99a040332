// The statistics form of group training, and what both forms share: limits, messages, encoding.
#include "core/learners/group_trainer.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <utility>

#include "core/error.h"
#include "core/learners/group_trainer_impl.h"
#include "core/learners/linear_workspace.h"
#include "core/selection/comparison.h"
#include "core/selection/moment_metrics.h"
#include "core/selection/split.h"

namespace many::core {
namespace {

void check_spec(const TrainSpec& spec) {
    const auto reject = [](const char* what) { throw Error(ErrorKind::invalid_argument, what); };
    if (spec.n_features < 0 || spec.n_features + 1 > MomentLayout::kMaxColumns) {
        reject("number of features out of range");
    }
    const HoldoutSpec& h = spec.holdout;
    if (h.kind == HoldoutSpec::Kind::fraction && !(h.fraction > 0 && h.fraction < 1)) {
        reject("the holdout fraction must be between 0 and 1");
    }
    if (h.kind == HoldoutSpec::Kind::rows && h.rows < 0)
        reject("holdout rows must not be negative");
    if (h.kind == HoldoutSpec::Kind::since && !spec.has_time) {
        reject("a holdout by time needs a time column");
    }
    if (spec.cv_folds < 0 || spec.cv_folds == 1) reject("cv_folds must be at least 2");
    if (spec.max_levels < 1) reject("max_levels must be at least 1");
}

}  // namespace

GroupTrainer::Impl::Impl(TrainSpec s) : spec(std::move(s)), layout(spec.n_features + 1) {}

GroupTrainer::GroupTrainer(TrainSpec spec) {
    check_spec(spec);
    impl_ = std::make_unique<Impl>(std::move(spec));
}
GroupTrainer::~GroupTrainer() = default;

const TrainSpec& GroupTrainer::spec() const noexcept {
    return impl_->spec;
}

int GroupTrainer::n_moments() const noexcept {
    return impl_->spec.cv_folds > 1 ? impl_->spec.cv_folds : 1;
}

std::size_t GroupTrainer::holdout_doubles() const noexcept {
    return 1 + holdout_state_doubles(impl_->spec.n_features);
}

namespace {

// The sum of the fold moments: the one buffer itself where there is one.
const double* sum_moments(const double* moments, int n, const MomentLayout& layout,
                          std::vector<double>& total) {
    if (n == 1) return moments;
    total.resize(layout.doubles());
    std::memcpy(total.data(), moments, layout.bytes());
    for (int i = 1; i < n; ++i) {
        moments_merge(total.data(), moments + std::size_t(i) * layout.doubles(), layout);
    }
    return total.data();
}

}  // namespace

bool GroupTrainer::Impl::can_be_evaluated(FitStatus status) const noexcept {
    return status == FitStatus::ok &&
           (fit.algorithm != Algorithm::linear_regression || fit.df_residual > 0);
}

double GroupTrainer::Impl::baseline(const double* moments) const noexcept {
    return fit.has_intercept ? fit.target_mean
                             : column_sum(moments, fit.p, fit.p) / moments_count(moments);
}

// state: [0] 1 when there is a model to evaluate, then the state of metrics.h.
FitStatus GroupTrainer::prepare_holdout(const double* moments, const GroupOptions& options,
                                        const StopSignal& stop, double* state) {
    Impl& m = *impl_;
    const double* total = sum_moments(moments, n_moments(), m.layout, m.total);
    const bool folds = options.linear.lambda_auto && m.spec.cv_folds > 1 &&
                       options.linear.algorithm != Algorithm::linear_regression;
    LinearOptions linear = options.linear;
    linear.inference = false;  // of this fit only predictions are asked
    const FitStatus s = m.solver.fit(total, m.spec.n_features, linear, folds ? moments : nullptr,
                                     folds ? m.spec.cv_folds : 0, stop, m.fit);
    std::memset(state, 0, holdout_doubles() * sizeof(double));
    if (m.can_be_evaluated(s)) {
        state[0] = 1;
        holdout_start(state + 1, m.fit, m.baseline(total));
    }
    return s == FitStatus::cancelled || s == FitStatus::timed_out ? s : FitStatus::ok;
}

void GroupTrainer::add_holdout_rows(double* state, double* moments, const double* rows,
                                    std::size_t n, std::size_t stride) const noexcept {
    const Impl& m = *impl_;
    if (state[0] != 0) holdout_add_rows(state + 1, m.spec.n_features, rows, n, stride);
    if (m.spec.cv_folds <= 1) {
        moments_add_rows(moments, m.layout, rows, n, stride);
        return;
    }
    const std::size_t d = static_cast<std::size_t>(m.layout.columns());
    for (std::size_t r = 0; r < n; ++r) {
        const double* row = rows + r * stride;
        const int fold = fold_of(row_hash(row, d, m.spec.seed), m.spec.cv_folds);
        moments_add_rows(moments + std::size_t(fold) * m.layout.doubles(), m.layout, row, 1, d);
    }
}

void GroupTrainer::start_comparison(double* comparison, const double* state) const noexcept {
    comparison_start(comparison, holdout_baseline_value(state + 1));
}

void GroupTrainer::add_comparison_rows(double* comparison, const double* state, const Rival& rival,
                                       const double* rows, std::size_t n,
                                       std::size_t stride) const {
    const int p = impl_->spec.n_features;
    for (std::size_t r = 0; r < n && state[0] != 0; ++r) {
        const double* row = rows + r * stride;
        double other;
        if (rival_predicts(rival, row, &other))
            comparison_add(comparison, row[p], holdout_predict(state + 1, p, row), other);
    }
}

void GroupTrainer::finish(const double* moments, const double* state, const GroupOptions& options,
                          const StopSignal& stop, GroupResult& result, const double* comparison) {
    Impl& m = *impl_;
    const int p = m.spec.n_features;
    const double* total = sum_moments(moments, n_moments(), m.layout, m.total);
    const double n = moments_count(total);
    result.message.clear();
    result.hint.clear();
    result.model.clear();
    result.rows_skipped = 0;
    result.rows_used = static_cast<std::int64_t>(n);
    if (!m.enough_rows(n, p, options, result)) return;
    const bool folds = m.spec.cv_folds > 1;
    const FitStatus s = m.solver.fit(total, p, options.linear, folds ? moments : nullptr,
                                     folds ? m.spec.cv_folds : 0, stop, m.fit);
    m.explain(s, n, options, result);
    if (s != FitStatus::ok) return;
    const bool evaluated = state != nullptr && state[0] != 0;
    result.comparison = Comparison{no_metrics(), no_metrics(), {}};
    if (evaluated) result.comparison.baseline = holdout_baseline(state + 1, p);
    if (evaluated && comparison != nullptr)
        comparison_finish(comparison, &result.comparison.rival, &result.comparison.paired);
    m.encode(evaluated ? holdout_finish(state + 1, p) : no_metrics(), nullptr, total, nullptr,
             result);
}

void GroupTrainer::finish_split(const double* train, const double* held,
                                const GroupOptions& options, const StopSignal& stop,
                                GroupResult& result) {
    Impl& m = *impl_;
    const int p = m.spec.n_features;
    m.total.assign(train, train + m.layout.doubles());
    moments_merge(m.total.data(), held, m.layout);
    const double n = moments_count(m.total.data());
    SplitMetrics holdout = no_metrics();
    SplitMetrics baseline = no_metrics();
    result.message.clear();
    result.hint.clear();
    result.model.clear();
    result.rows_skipped = 0;
    result.rows_used = static_cast<std::int64_t>(n);
    if (!m.enough_rows(n, p, options, result)) return;
    if (moments_count(held) > 0) {
        LinearOptions linear = options.linear;
        linear.inference = false;  // of this fit only predictions are asked
        const FitStatus s = m.solver.fit(train, p, linear, nullptr, 0, stop, m.fit);
        if (m.can_be_evaluated(s)) {
            holdout = moment_metrics(held, m.fit);
            baseline = constant_metrics(held, p, m.baseline(train));
        }
    }
    const FitStatus s = m.solver.fit(m.total.data(), p, options.linear, nullptr, 0, stop, m.fit);
    m.explain(s, n, options, result);
    if (s != FitStatus::ok) return;
    result.comparison = Comparison{baseline, no_metrics(), {}};
    m.encode(holdout, nullptr, m.total.data(), nullptr, result);
}

bool GroupTrainer::Impl::enough_rows(double n, int terms, const GroupOptions& options,
                                     GroupResult& result) const {
    const std::int64_t parameters = terms + (options.linear.fit_intercept ? 1 : 0);
    const std::int64_t least = options.min_rows >= 0 ? options.min_rows : parameters + 2;
    if (n >= static_cast<double>(least) && n >= 1) return true;
    result.status = FitStatus::too_few_rows;
    result.message = "has " + counted(static_cast<std::size_t>(n), "usable row") +
                     ", fewer than min_rows = " + std::to_string(std::max<std::int64_t>(least, 1));
    return false;
}

void GroupTrainer::Impl::explain(FitStatus status, double n, const GroupOptions& options,
                                 GroupResult& result) const {
    result.status = status;
    const auto rows = static_cast<std::size_t>(n);
    switch (status) {
        case FitStatus::too_few_rows:
            result.message = "has " + counted(rows, "usable row") + ", too few to fit";
            break;
        case FitStatus::constant_target:
            result.message =
                rows == 1 ? "target {target} cannot vary in 1 row"
                          : "target {target} has the same value in all " + counted(rows, "row");
            break;
        case FitStatus::not_finite:
            result.message = "the sums of squares of the values overflow double precision";
            result.hint = "Rescale features and target to a common order of magnitude.";
            break;
        case FitStatus::not_converged:
            result.message = "coordinate descent did not converge in " +
                             std::to_string(options.linear.max_iterations) + " iterations";
            result.hint =
                options.linear.standardize
                    ? "Set a larger lambda, or use ridge, whose fit needs no iterations."
                    : "Set standardize to true or a larger lambda, or use ridge, whose fit needs "
                      "no iterations.";
            break;
        case FitStatus::timed_out:
            result.message = "took longer than the time allowed for a group";
            break;
        case FitStatus::cancelled:
            result.message = "cancelled";
            break;
        default:
            break;
    }
}

void GroupTrainer::Impl::encode(const SplitMetrics& holdout, const SplitMetrics* in_sample,
                                const double* moments, const RowDesign* row_design,
                                GroupResult& result) {
    ModelParts parts;
    parts.fit = &fit;
    parts.holdout = holdout;
    parts.n_features = spec.n_features;
    parts.train = in_sample != nullptr ? *in_sample : no_metrics();
    parts.train.n_rows = fit.n_rows;
    parts.train.rmse = std::sqrt(fit.rss / fit.n_rows);
    parts.train.r2 = fit.r2_about_mean;  // as for the other splits
    parts.train.bias = 0;
    if (!fit.has_intercept) {
        double bias = -column_sum(moments, fit.p, fit.p);
        for (int j = 0; j < fit.p; ++j) {
            const double b = fit.coefficient[std::size_t(j)];
            if (b == b) bias += b * column_sum(moments, fit.p, j);
        }
        parts.train.bias = bias / fit.n_rows;
    }
    if (row_design != nullptr) {
        parts.imputed = spec.null_policy == NullPolicy::impute_mean;
        if (parts.imputed) parts.feature_means = row_design->feature_means();
        if (row_design->has_categorical()) parts.levels = &row_design->levels();
    }
    encode_model(parts, result.model);
}

}  // namespace many::core
