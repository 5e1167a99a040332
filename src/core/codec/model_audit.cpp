// See model_audit.h. What training may leave undefined (NaN) is not a defect: statistics, errors,
// the coefficient of a dropped term.
#include "core/codec/model_audit.h"

#include <cmath>

namespace many::core {
namespace {

bool is_count(double v, double least) noexcept {
    return std::isfinite(v) && v >= least && v == std::floor(v);
}

bool undefined_or_at_least_0(double v) noexcept {
    return std::isnan(v) || (std::isfinite(v) && v >= 0);
}

const char* scalar_defect(const LinearModelView& m) noexcept {
    if (m.interval_t() != 0) return "its cache slot is in use";
    if (!is_count(m.n_rows(), 1)) return "its number of rows is impossible";
    if (!is_count(m.df_residual(), 0) || m.df_residual() > m.n_rows()) {
        return "its degrees of freedom are impossible";
    }
    if (!undefined_or_at_least_0(m.sigma()) || !undefined_or_at_least_0(m.rss()) ||
        !undefined_or_at_least_0(m.tss())) {
        return "its sums of squares are impossible";
    }
    if (!std::isfinite(m.lambda()) || m.lambda() < 0 || !(m.alpha() >= 0 && m.alpha() <= 1)) {
        return "its penalty is impossible";
    }
    if (!std::isfinite(m.target_mean()) || !std::isfinite(m.intercept())) {
        return "its intercept is not finite";
    }
    return nullptr;
}

const char* feature_defect(const LinearModelView& m) noexcept {
    LinearModelView::FeatureWalk walk(m);
    while (walk.next()) {
        if (walk.categorical() && walk.n_levels() == 0) return "a categorical feature has no level";
        if (!m.imputed()) continue;
        const double v = walk.imputed_value();
        if (walk.categorical() ? !is_count(v, 0) || v >= walk.n_levels() : !std::isfinite(v)) {
            return "what stands in for NULL is impossible";
        }
    }
    return nullptr;
}

}  // namespace

const char* model_defect(const LinearModelView& m) noexcept {
    if (const char* defect = scalar_defect(m)) return defect;
    int dropped = 0;
    for (int j = 0; j < m.n_terms(); ++j) {
        if (std::isnan(m.coefficient(j))) {
            ++dropped;
        } else if (!std::isfinite(m.coefficient(j))) {
            return "a coefficient is not finite";
        }
        if (!std::isfinite(m.mean(j))) return "a mean is not finite";
    }
    const int missing = m.n_terms() - m.rank();
    const bool ols = m.algorithm() == Algorithm::linear_regression;
    if (dropped > missing || (ols && dropped < missing)) return "its rank is impossible";
    return feature_defect(m);
}

}  // namespace many::core
