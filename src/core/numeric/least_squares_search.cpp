// Least squares by Levenberg-Marquardt with learnt curvature: see the header.
#include "core/numeric/least_squares_search.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace many::core {
namespace {

constexpr double kDifference = 1e-6;  // step of the derivatives
constexpr double kFirstDamping = 1e-3, kLeastDamping = 1e-12, kMostDamping = 1e10;
constexpr double kLeastDiagonal = 1e-12;  // of the largest: keeps flat directions solvable

double dot(const double* a, const double* b, std::size_t n) noexcept {
    double s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    std::size_t t = 0;
    for (; t + 4 <= n; t += 4) {
        s0 += a[t] * b[t];
        s1 += a[t + 1] * b[t + 1];
        s2 += a[t + 2] * b[t + 2];
        s3 += a[t + 3] * b[t + 3];
    }
    for (; t < n; ++t) s0 += a[t] * b[t];
    return (s0 + s1) + (s2 + s3);
}

}  // namespace

void LeastSquaresSearch::resize(int n_residuals, int n_parameters) {
    n_ = static_cast<std::size_t>(n_residuals);
    k_ = static_cast<std::size_t>(n_parameters);
    r_.assign(n_, 0.0);
    trial_r_.assign(n_, 0.0);
    jacobian_.assign(n_ * k_, 0.0);
    a_.assign(k_ * k_, 0.0);
    factor_ = a_;
    curvature_ = a_;
    g_.assign(k_, 0.0);
    old_g_ = mixed_g_ = step_ = trial_ = miss_ = g_;
}

bool LeastSquaresSearch::jacobian(ResidualFunction& f, double* x, const StopSignal& stop) {
    for (std::size_t j = 0; j < k_; ++j) {
        if (stop.poll() != FitStatus::ok) return false;
        double* const column = jacobian_.data() + j * n_;
        const double here = x[j];
        bool found = false;
        for (const double sign : {1.0, -1.0}) {
            x[j] = here + sign * kDifference * std::fmax(1.0, std::fabs(here));
            const double h = x[j] - here;
            if (!f.residuals(x, trial_r_.data())) continue;
            for (std::size_t t = 0; t < n_; ++t) column[t] = (trial_r_[t] - r_[t]) / h;
            found = true;
            break;
        }
        x[j] = here;
        if (!found) std::fill(column, column + n_, 0.0);
    }
    return true;
}

void LeastSquaresSearch::normal_equations() {
    for (std::size_t i = 0; i < k_; ++i) {
        const double* const column = jacobian_.data() + i * n_;
        g_[i] = dot(column, r_.data(), n_);
        for (std::size_t j = 0; j <= i; ++j) {
            a_[i * k_ + j] = dot(column, jacobian_.data() + j * n_, n_);
        }
    }
}

void LeastSquaresSearch::mixed_gradient() {
    for (std::size_t i = 0; i < k_; ++i) {
        mixed_g_[i] = dot(jacobian_.data() + i * n_, r_.data(), n_);
    }
}

// So that curvature * step is the change of J' at the residuals of now.
void LeastSquaresSearch::learn_curvature() {
    double y_step = 0, wanted = 0, had = 0;
    for (std::size_t i = 0; i < k_; ++i) {
        y_step += (g_[i] - old_g_[i]) * step_[i];
        wanted += (g_[i] - mixed_g_[i]) * step_[i];
    }
    if (!(y_step > 0)) return;
    had = quadratic(curvature_);
    const double size = had == 0 ? 1 : std::fmin(1.0, std::fabs(wanted / had));
    for (double& c : curvature_) c *= size;
    double miss_step = 0;
    for (std::size_t i = 0; i < k_; ++i) {
        double product = 0;
        for (std::size_t j = 0; j < k_; ++j) {
            product += curvature_[std::max(i, j) * k_ + std::min(i, j)] * step_[j];
        }
        miss_[i] = g_[i] - mixed_g_[i] - product;
        miss_step += miss_[i] * step_[i];
    }
    for (std::size_t i = 0; i < k_; ++i) {
        const double y_i = (g_[i] - old_g_[i]) / y_step;
        for (std::size_t j = 0; j <= i; ++j) {
            const double y_j = (g_[j] - old_g_[j]) / y_step;
            curvature_[i * k_ + j] += miss_[i] * y_j + y_i * miss_[j] - miss_step * y_i * y_j;
        }
    }
}

double LeastSquaresSearch::quadratic(const std::vector<double>& a) const noexcept {
    double sum = 0;
    for (std::size_t i = 0; i < k_; ++i) {
        for (std::size_t j = 0; j < i; ++j) sum += 2 * a[i * k_ + j] * step_[i] * step_[j];
        sum += a[i * k_ + i] * step_[i] * step_[i];
    }
    return sum;
}

bool LeastSquaresSearch::damped_step(double damping, bool with_curvature) {
    double largest = 0;
    for (std::size_t i = 0; i < k_; ++i) largest = std::fmax(largest, a_[i * k_ + i]);
    if (!(largest > 0) || !std::isfinite(largest)) return false;
    for (std::size_t i = 0; i < k_; ++i) {
        for (std::size_t j = 0; j <= i; ++j) {
            double sum = a_[i * k_ + j];
            if (i == j) sum += damping * std::fmax(sum, kLeastDiagonal * largest);
            if (with_curvature) sum += curvature_[i * k_ + j];
            for (std::size_t l = 0; l < j; ++l) sum -= factor_[i * k_ + l] * factor_[j * k_ + l];
            if (i == j) {
                if (!(sum > 0)) return false;
                factor_[i * k_ + i] = std::sqrt(sum);
            } else {
                factor_[i * k_ + j] = sum / factor_[j * k_ + j];
            }
        }
    }
    for (std::size_t i = 0; i < k_; ++i) {
        double sum = -g_[i];
        for (std::size_t l = 0; l < i; ++l) sum -= factor_[i * k_ + l] * step_[l];
        step_[i] = sum / factor_[i * k_ + i];
    }
    for (std::size_t i = k_; i-- > 0;) {
        double sum = step_[i];
        for (std::size_t l = i + 1; l < k_; ++l) sum -= factor_[l * k_ + i] * step_[l];
        step_[i] = sum / factor_[i * k_ + i];
    }
    return std::all_of(step_.begin(), step_.end(), [](double s) { return std::isfinite(s); });
}

SearchResult LeastSquaresSearch::minimise(ResidualFunction& f, double* x,
                                          const SearchLimits& limits, const StopSignal& stop) {
    SearchResult result;
    result.sum_of_squares = std::numeric_limits<double>::infinity();
    if (!f.residuals(x, r_.data())) return result;
    double sum = dot(r_.data(), r_.data(), n_);
    if (!std::isfinite(sum)) return result;
    double damping = kFirstDamping, growth = 2;
    bool with_curvature = false;
    std::fill(curvature_.begin(), curvature_.end(), 0.0);
    while (k_ > 0 && sum > 0 && !result.converged && result.iterations < limits.max_iterations) {
        if (result.iterations++ > 0) mixed_gradient();
        if (!jacobian(f, x, stop)) {
            result.stopped = true;
            break;
        }
        old_g_.swap(g_);
        normal_equations();
        if (result.iterations > 1) learn_curvature();
        bool other_model_tried = result.iterations == 1;
        for (;;) {
            double predicted = 0, decrease = 0, trial_sum = 0;
            if (damped_step(damping, with_curvature)) {
                double longest = 0;
                for (const double s : step_) longest = std::fmax(longest, std::fabs(s));
                const double shrink = longest > limits.max_step ? limits.max_step / longest : 1;
                double linear = 0;
                for (std::size_t i = 0; i < k_; ++i) {
                    step_[i] *= shrink;
                    trial_[i] = x[i] + step_[i];
                    linear -= 2 * step_[i] * g_[i];
                }
                const double by_jacobian = linear - quadratic(a_);
                const double by_both = by_jacobian - quadratic(curvature_);
                predicted = with_curvature ? by_both : by_jacobian;
                if (!(predicted > limits.tolerance * sum)) {
                    if (other_model_tried) {
                        result.converged = true;
                        break;
                    }
                    other_model_tried = true;
                    with_curvature = !with_curvature;
                    continue;
                }
                if (f.residuals(trial_.data(), trial_r_.data())) {
                    trial_sum = dot(trial_r_.data(), trial_r_.data(), n_);
                    decrease = sum - trial_sum;
                }
                if (decrease > 0) {
                    with_curvature =
                        std::fabs(by_both - decrease) < std::fabs(by_jacobian - decrease);
                }
            }
            if (decrease > 0) {
                const double ratio = 2 * decrease / predicted - 1;
                damping *= std::clamp(1 - ratio * ratio * ratio, 1.0 / 9, 2.0);
                damping = std::fmax(damping, kLeastDamping);
                growth = 2;
                std::copy(trial_.begin(), trial_.end(), x);
                r_.swap(trial_r_);
                sum = trial_sum;
                break;
            }
            damping *= growth;
            growth *= 2;
            if (damping > kMostDamping) {
                result.converged = true;
                break;
            }
        }
    }
    result.converged = result.converged || k_ == 0 || sum == 0;
    result.sum_of_squares = sum;
    return result;
}

}  // namespace many::core
