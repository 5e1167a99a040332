#include "core/forecasters/ets_optimiser.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/forecasters/ets_region.h"

namespace many::core {

namespace {

constexpr double kLow = EtsBounds::kLow;
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr std::array<double, kEtsSmoothing> kLower = {kLow, 0, 0, EtsBounds::kPhiLow};
constexpr std::array<double, kEtsSmoothing> kUpper = {EtsBounds::kHigh, 1, 1, EtsBounds::kPhiHigh};

double share(double value, double high) noexcept {
    const double width = high - kLow;
    return width > 0 ? std::clamp((value - kLow) / width, 0.0, 1.0) : 0.0;
}

}  // namespace

void EtsOptimiser::start(const EtsProblem& problem, const EtsParameters& fixed) {
    problem_ = problem;
    fixed_ = fixed;
    k_ = static_cast<std::size_t>(problem.size());
    stride_ = problem.stride();
    free_smoothing_ = {std::isnan(fixed.alpha), problem.form.has_trend() && std::isnan(fixed.beta),
                       problem.form.has_season() && std::isnan(fixed.gamma),
                       problem.form.damped() && std::isnan(fixed.phi)};
    p_.assign(k_, 0);
    season_.assign(static_cast<std::size_t>(problem.season_length), 0);
    hessian_.assign(k_ * stride_, 0);
    factor_.assign(k_ * stride_, 0);
    gradient_.assign(k_, 0);
    step_.assign(k_, 0);
    trial_.assign(k_, 0);
    is_free_.assign(k_, 0);
    free_.reserve(k_);
}

void EtsOptimiser::to_natural(const std::vector<double>& x) noexcept {
    p_ = x;
    p_[0] = free_smoothing_[0] ? x[0] : fixed_.alpha;
    const double alpha = p_[0];
    const EtsForm& form = problem_.form;
    p_[1] = !form.has_trend() ? 0 : free_smoothing_[1] ? kLow + x[1] * (alpha - kLow) : fixed_.beta;
    p_[2] = !form.has_season()   ? 0
            : free_smoothing_[2] ? kLow + x[2] * (1 - alpha - kLow)
                                 : fixed_.gamma;
    p_[3] = !form.damped() ? 1 : free_smoothing_[3] ? x[3] : fixed_.phi;
}

const std::vector<double>& EtsOptimiser::natural(const std::vector<double>& x) {
    to_natural(x);
    return p_;
}

EtsParameters EtsOptimiser::parameters(const std::vector<double>& x) noexcept {
    to_natural(x);
    const EtsForm& form = problem_.form;
    EtsParameters out;
    out.alpha = p_[0];
    if (form.has_trend()) out.beta = p_[1];
    if (form.has_season()) out.gamma = p_[2];
    if (form.damped()) out.phi = p_[3];
    return out;
}

void EtsOptimiser::place(const EtsParameters& p, std::vector<double>& x) const noexcept {
    const double alpha = free_smoothing_[0] ? p.alpha : fixed_.alpha;
    x[0] = std::clamp(alpha, kLower[0], kUpper[0]);
    x[1] = free_smoothing_[1] ? share(p.beta, alpha) : 0;
    x[2] = free_smoothing_[2] ? share(p.gamma, 1 - alpha) : 0;
    x[3] = free_smoothing_[3] ? std::clamp(p.phi, kLower[3], kUpper[3]) : 1;
}

double EtsOptimiser::evaluate(const std::vector<double>& x) {
    to_natural(x);
    // Free ones are inside their bounds by construction; given ones need not be.
    const EtsForm& form = problem_.form;
    const bool given_usable =
        p_[0] >= 0 && p_[0] <= 1 &&
        (!form.has_trend() || free_smoothing_[1] || (p_[1] >= 0 && p_[1] <= p_[0])) &&
        (!form.has_season() || free_smoothing_[2] || (p_[2] >= 0 && p_[2] <= 1 - p_[0] + 1e-12)) &&
        (!form.damped() || free_smoothing_[3] || (p_[3] > 0 && p_[3] <= 1));
    if (!given_usable) return kInfinity;
    if (!is_admissible(form, p_[0], p_[1], p_[2], p_[3], problem_.season_length)) {
        return kInfinity;
    }
    return ets_objective(problem_, p_.data(), season_.data());
}

// Gradient and Gauss-Newton matrix of half the objective's sum of squares (divided by G^2), in x.
bool EtsOptimiser::model_at(const std::vector<double>& x) {
    to_natural(x);
    if (!ets_derivatives(problem_, p_.data(), derivatives_)) return false;
    const double n = static_cast<double>(problem_.y.size()), squares = derivatives_.sums.squares;
    const double* gram = derivatives_.gram.data();
    const double* cross = derivatives_.cross.data();
    const double* slope = derivatives_.log_slope.data();
    const bool relative = problem_.form.error == EtsError::multiplicative;
    for (std::size_t i = 0; i < k_; ++i) {
        double* row = hessian_.data() + i * stride_;
        std::copy_n(gram + i * stride_, k_, row);
        gradient_[i] = cross[i];
        if (!relative) continue;
        const double gi = slope[i] / n;
        gradient_[i] += squares * gi;
        for (std::size_t j = 0; j < k_; ++j) {
            const double gj = slope[j] / n;
            row[j] += cross[i] * gj + gi * cross[j] + squares * gi * gj;
        }
    }
    // From (alpha, beta, gamma) to (alpha, u, w).
    const double to_beta = free_smoothing_[1] ? x[1] : 0, to_gamma = free_smoothing_[2] ? -x[2] : 0;
    const double beta_width = p_[0] - kLow, gamma_width = 1 - p_[0] - kLow;
    const auto change = [&](double& a, double& b, double& c) {
        a += to_beta * b + to_gamma * c;
        b *= beta_width;
        c *= gamma_width;
    };
    for (std::size_t i = 0; i < k_; ++i) {
        double* row = hessian_.data() + i * stride_;
        change(row[0], row[1], row[2]);
    }
    for (std::size_t j = 0; j < k_; ++j) {
        change(hessian_[j], hessian_[stride_ + j], hessian_[2 * stride_ + j]);
    }
    change(gradient_[0], gradient_[1], gradient_[2]);
    return true;
}

void EtsOptimiser::choose_free(const std::vector<double>& x, bool states_free) {
    for (std::size_t i = 0; i < k_; ++i) {
        bool free = i < kEtsSmoothing ? free_smoothing_[i] : states_free;
        if (i < kEtsSmoothing && free) {
            free = !(x[i] <= kLower[i] && gradient_[i] >= 0) &&
                   !(x[i] >= kUpper[i] && gradient_[i] <= 0);
        }
        if (!(hessian_[i * stride_ + i] > 0)) free = false;
        is_free_[i] = free ? 1 : 0;
    }
}

// (H + damping diag H) step = -gradient - H_fixed step_fixed over the free ones, by Cholesky.
bool EtsOptimiser::solve_free(double damping) {
    free_.clear();
    for (std::size_t i = 0; i < k_; ++i) {
        if (is_free_[i] != 0) free_.push_back(static_cast<int>(i));
    }
    const std::size_t f = free_.size();
    for (std::size_t a = 0; a < f; ++a) {
        const std::size_t i = static_cast<std::size_t>(free_[a]);
        const double* from = hessian_.data() + i * stride_;
        double* row = factor_.data() + a * stride_;
        double right = -gradient_[i];
        for (std::size_t j = 0; j < k_; ++j) {
            if (is_free_[j] == 0 && step_[j] != 0) right -= from[j] * step_[j];
        }
        for (std::size_t b = 0; b <= a; ++b) {
            const double* other = factor_.data() + b * stride_;
            double sum = from[free_[b]];
            if (b == a) sum *= 1 + damping;
            for (std::size_t c = 0; c < b; ++c) sum -= row[c] * other[c];
            if (b < a) {
                row[b] = sum / other[b];
            } else {
                if (!(sum > 1e-15 * from[i])) return false;
                row[a] = std::sqrt(sum);
            }
        }
        for (std::size_t c = 0; c < a; ++c) right -= row[c] * trial_[c];
        trial_[a] = right / row[a];
    }
    for (std::size_t a = f; a-- > 0;) {
        double sum = trial_[a];
        for (std::size_t c = a + 1; c < f; ++c) sum -= factor_[c * stride_ + a] * trial_[c];
        trial_[a] = sum / factor_[a * stride_ + a];
    }
    for (std::size_t a = 0; a < f; ++a) step_[static_cast<std::size_t>(free_[a])] = trial_[a];
    return true;
}

bool EtsOptimiser::solve_step(const std::vector<double>& x, double damping) {
    for (std::size_t i = 0; i < k_; ++i) {
        if (is_free_[i] == 0) step_[i] = 0;
    }
    std::array<unsigned char, kEtsSmoothing> before{};
    std::copy_n(is_free_.begin(), kEtsSmoothing, before.begin());
    bool solved = false, clipped = true;
    while (clipped) {
        solved = solve_free(damping);
        clipped = false;
        for (std::size_t i = 0; solved && i < kEtsSmoothing; ++i) {
            if (is_free_[i] == 0) continue;
            const double to = x[i] + step_[i];
            if (to >= kLower[i] && to <= kUpper[i]) continue;
            step_[i] = (to < kLower[i] ? kLower[i] : kUpper[i]) - x[i];
            is_free_[i] = 0;
            clipped = true;
        }
    }
    std::copy_n(before.begin(), kEtsSmoothing, is_free_.begin());
    return solved;
}

// Decrease of half the sum of squares that the model promises for the step.
double EtsOptimiser::predicted() const noexcept {
    double decrease = 0;
    for (std::size_t i = 0; i < k_; ++i) {
        if (step_[i] == 0) continue;
        const double* row = hessian_.data() + i * stride_;
        double product = 0;
        for (std::size_t j = 0; j < k_; ++j) product += row[j] * step_[j];
        decrease -= step_[i] * (gradient_[i] + 0.5 * product);
    }
    return decrease;
}

FitStatus EtsOptimiser::improve(EtsPoint& point, int max_iterations, bool states_free,
                                const StopSignal& stop) {
    constexpr double kTolerance = 1e-6;  // of -2 log L
    std::vector<double>& x = point.x;
    const double n = static_cast<double>(problem_.y.size());
    double damping = 1e-3, growth = 2;
    bool fresh = false;
    int small = 0;
    point.converged = false;
    for (int iteration = 0; iteration < max_iterations && !point.converged; ++iteration) {
        if (const FitStatus s = stop.poll(); s != FitStatus::ok) return s;
        if (!fresh) {
            if (!model_at(x)) return FitStatus::ok;
            choose_free(x, states_free);
            fresh = true;
            if (derivatives_.sums.squares <= exact_squares(problem_.y.size())) {
                point.converged = true;
                break;
            }
        }
        double decrease = 0, objective = kInfinity;
        if (solve_step(x, damping)) {
            decrease = predicted() * 2 * n / derivatives_.sums.squares;
            for (std::size_t i = 0; i < k_; ++i) trial_[i] = x[i] + step_[i];
            if (decrease < kTolerance && damping < 1) {
                point.converged = true;
            }
            objective = evaluate(trial_);
        }
        if (objective < point.objective) {
            const double won = point.objective - objective, ratio = won / decrease;
            x.swap(trial_);
            point.objective = objective;
            const double c = 2 * ratio - 1;
            damping = std::max(damping * std::max(1.0 / 3, 1 - c * c * c), 1e-9);
            growth = 2;
            fresh = false;
            small = won < kTolerance ? small + 1 : 0;
            if (small >= 2) point.converged = true;
        } else {
            damping *= growth;
            growth *= 2;
            if (damping > 1e8) point.converged = true;
        }
    }
    return FitStatus::ok;
}

}  // namespace many::core
