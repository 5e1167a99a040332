// Student t inference and Gaussian fit statistics, computed from a stored model when they are read.
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <limits>
#include <numbers>

#include "core/learners/linear.h"

namespace many::core {
namespace {

namespace policies = boost::math::policies;
// No exceptions, no errno: a NaN or an infinity is an answer.
using Quiet = policies::policy<
    policies::domain_error<policies::ignore_error>, policies::pole_error<policies::ignore_error>,
    policies::overflow_error<policies::ignore_error>,
    policies::underflow_error<policies::ignore_error>,
    policies::denorm_error<policies::ignore_error>,
    policies::evaluation_error<policies::ignore_error>,
    policies::indeterminate_result_error<policies::ignore_error>,
    policies::rounding_error<policies::ignore_error>, policies::promote_double<false>>;
using StudentT = boost::math::students_t_distribution<double, Quiet>;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

}  // namespace

double t_quantile(double level, double df) noexcept {
    if (!(df > 0) || !(level >= 0 && level <= 1)) return kNaN;
    if (level == 1) return std::numeric_limits<double>::infinity();
    // The upper tail probability (1 - level) / 2: exact where level is near 1.
    const double tail = (1 - level) / 2;
    return boost::math::quantile(boost::math::complement(StudentT(df), tail));
}

CoefficientInference infer(double estimate, double std_error, double df_residual,
                           double level) noexcept {
    CoefficientInference r{kNaN, kNaN, kNaN, kNaN};
    if (!(df_residual > 0) || !(std_error >= 0) || !std::isfinite(estimate)) return r;
    r.t_value = estimate / std_error;
    if (!std::isnan(r.t_value)) {
        const double t = std::fabs(r.t_value);
        r.p_value = std::isinf(t)
                        ? 0.0
                        : 2 * boost::math::cdf(boost::math::complement(StudentT(df_residual), t));
    }
    const double half = t_quantile(level, df_residual) * std_error;
    r.lower = estimate - half;
    r.upper = estimate + half;
    return r;
}

FitStatistics fit_statistics(double n_rows, double df_residual, double rss, double r2,
                             bool has_intercept) noexcept {
    FitStatistics s{};
    s.n_parameters = n_rows - df_residual;
    s.deviance = rss;
    s.r2 = r2;
    // 1 - (1 - r2) df_total / df_residual, without the rounding of 1 - r2.
    const double df_total = n_rows - (has_intercept ? 1 : 0);
    const double excess = std::fma(r2, df_total, df_residual - df_total);
    s.adj_r2 = df_residual > 0 ? excess / df_residual : kNaN;
    s.log_likelihood =
        -0.5 * n_rows * (std::log(2 * std::numbers::pi) + std::log(rss / n_rows) + 1);
    s.aic = -2 * s.log_likelihood + 2 * (s.n_parameters + 1);
    s.bic = -2 * s.log_likelihood + std::log(n_rows) * (s.n_parameters + 1);
    return s;
}

}  // namespace many::core
