// Estimates ARMA models of one differenced series: see the header.
#include "core/forecasters/arima_estimator.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace many::core {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kCollinear = 1e-10;    // of a column's length, left by the columns before it
constexpr double kNothingLeft = 1e-14;  // of the largest value: rounding of the differences
constexpr double kLeastPivot = 1e-13;
constexpr double kHessianStep = 1e-4;
constexpr int kMaxIterations = 100;
// Of a free autoregressive parameter.
constexpr double kStartBorder = 2;  // a partial of 0.96
constexpr double kBorder = 4;       // a partial of 0.9993

std::size_t at(int i) noexcept {
    return static_cast<std::size_t>(i);
}

double dot(const double* a, const double* b, std::size_t n) noexcept {
    double sum = 0;
    for (std::size_t t = 0; t < n; ++t) sum += a[t] * b[t];
    return sum;
}

double largest_of(std::span<const double> x) noexcept {
    double largest = 0;
    for (const double v : x)
        largest = std::isfinite(v) ? std::fmax(largest, std::fabs(v)) : kInfinity;
    return largest;
}

// Cholesky inverse of a symmetric k x k matrix, in place; false if not positive definite.
bool invert(std::vector<double>& a, std::size_t k) {
    std::vector<double> l(k * k, 0.0), inverse(k * k, 0.0);
    for (std::size_t i = 0; i < k; ++i) {
        for (std::size_t j = 0; j <= i; ++j) {
            double sum = a[i * k + j];
            for (std::size_t m = 0; m < j; ++m) sum -= l[i * k + m] * l[j * k + m];
            if (i == j && !(sum > 0)) return false;
            l[i * k + j] = i == j ? std::sqrt(sum) : sum / l[j * k + j];
        }
    }
    for (std::size_t c = 0; c < k; ++c) {
        for (std::size_t i = c; i < k; ++i) {
            double sum = i == c ? 1 : 0;
            for (std::size_t m = c; m < i; ++m) sum -= l[i * k + m] * inverse[m * k + c];
            inverse[i * k + c] = sum / l[i * k + i];
        }
    }
    for (std::size_t i = 0; i < k; ++i) {
        for (std::size_t j = 0; j < k; ++j) {
            double sum = 0;
            for (std::size_t m = std::max(i, j); m < k; ++m) {
                sum += inverse[m * k + i] * inverse[m * k + j];
            }
            a[i * k + j] = sum;
        }
    }
    return true;
}

}  // namespace

ForecastStatus ArimaEstimator::prepare(const SeriesView& series, const ArimaOrder& order,
                                       bool constant, std::span<const double> regressors,
                                       int n_regressors) {
    const std::size_t n = series.y.size();
    current_ = {.p = -1};
    raw_.clear();
    raw_.reserve(n + regressors.size());
    if (constant) {
        for (std::size_t t = 1; t <= n; ++t) {
            raw_.push_back(order.d + order.D > 0 ? static_cast<double>(t) : 1.0);
        }
    }
    raw_.insert(raw_.end(), regressors.begin(), regressors.end());
    const double magnitude = largest_of(series.y);
    if (!std::isfinite(magnitude) || !std::isfinite(largest_of(raw_))) {
        return ForecastStatus::overflow;
    }
    const std::vector<double> w = difference(series.y, order);
    n_ = static_cast<int>(w.size());
    if (n_ < 1) return ForecastStatus::too_short;
    std::vector<std::vector<double>> differenced;
    differenced.reserve(static_cast<std::size_t>(n_regressors) + 1);
    for (int j = 0; j < n_regressors + (constant ? 1 : 0); ++j) {
        differenced.push_back(difference({raw_.data() + at(j) * n, n}, order));
    }
    orthogonalise(differenced);
    explained_.assign(at(kept_), 0.0);
    columns_.insert(columns_.begin(), w.begin(), w.end());
    double* const rest = columns_.data();
    const double unit = largest_of(w);
    if (!std::isfinite(unit)) return ForecastStatus::overflow;
    if (unit > 0) {
        for (std::size_t t = 0; t < at(n_); ++t) rest[t] /= unit;
    }
    for (int pass = 0; pass < 2; ++pass) {
        for (std::size_t j = 0; j < at(kept_); ++j) {
            const double* const q = columns_.data() + (j + 1) * at(n_);
            const double part = dot(q, rest, at(n_));
            explained_[j] += part * unit;
            for (std::size_t t = 0; t < at(n_); ++t) rest[t] -= part * q[t];
        }
    }
    scale_ = std::sqrt(dot(rest, rest, at(n_)) / n_);
    if (scale_ * unit <= kNothingLeft * magnitude) {
        scale_ = 0;
        std::fill(rest, rest + n_, 0.0);
    } else {
        for (std::size_t t = 0; t < at(n_); ++t) rest[t] /= scale_;
        scale_ *= unit;
    }
    filter_.set_series(columns_.data(), n_, 1 + kept_);
    work_.assign(at(n_), 0.0);
    beta_.assign(at(kept_), 0.0);
    gram_.assign(at(kept_) * at(kept_), 0.0);
    return ForecastStatus::ok;
}

// Modified Gram-Schmidt, each column twice.
void ArimaEstimator::orthogonalise(const std::vector<std::vector<double>>& raw) {
    columns_.clear();
    pivots_.assign(raw.size(), -1);
    triangle_.assign(raw.size() * raw.size(), 0.0);
    const std::size_t n = at(n_), all = raw.size();
    kept_ = 0;
    for (std::size_t j = 0; j < all; ++j) {
        std::vector<double> column = raw[j];
        const double unit = largest_of(column);
        if (!(unit > 0) || !std::isfinite(unit)) continue;
        for (double& v : column) v /= unit;
        const double length = std::sqrt(dot(column.data(), column.data(), n));
        std::vector<double> part(at(kept_) + 1, 0.0);
        for (int pass = 0; pass < 2; ++pass) {
            for (std::size_t i = 0; i < at(kept_); ++i) {
                const double* const q = columns_.data() + i * n;
                const double projection = dot(q, column.data(), n);
                part[i] += projection;
                for (std::size_t t = 0; t < n; ++t) column[t] -= projection * q[t];
            }
        }
        const double left = std::sqrt(dot(column.data(), column.data(), n));
        if (left <= kCollinear * length) continue;
        part.back() = left;
        for (double& v : column) v /= left;
        columns_.insert(columns_.end(), column.begin(), column.end());
        for (std::size_t i = 0; i < part.size(); ++i) {
            triangle_[at(kept_) * all + i] = part[i] * unit;
        }
        pivots_[j] = kept_++;
    }
}

void ArimaEstimator::set_order(const ArimaOrder& order) {
    ArimaOrder wanted = order;
    wanted.d = wanted.D = 0;
    if (wanted == current_) return;
    current_ = wanted;
    filter_.set_order(wanted);
    search_.resize(n_, wanted.n_arma());
}

// Coefficients of the filtered regressors by Cholesky, and what they leave of the series.
bool ArimaEstimator::project() noexcept {
    const std::size_t k = at(kept_), n = at(n_);
    const double* const y = filter_.standardized(0);
    for (std::size_t i = 0; i < k; ++i) {
        const double* const x = filter_.standardized(static_cast<int>(i) + 1);
        beta_[i] = dot(x, y, n);
        for (std::size_t j = 0; j <= i; ++j) {
            double sum = dot(x, filter_.standardized(static_cast<int>(j) + 1), n);
            const double whole = sum;
            for (std::size_t m = 0; m < j; ++m) sum -= gram_[i * k + m] * gram_[j * k + m];
            if (i == j) {
                // A column that the filter turns into nothing has no effect to speak of.
                gram_[i * k + i] = sum > kLeastPivot * whole ? std::sqrt(sum) : kInfinity;
            } else {
                gram_[i * k + j] = std::isinf(gram_[j * k + j]) ? 0 : sum / gram_[j * k + j];
            }
        }
        for (std::size_t m = 0; m < i; ++m) beta_[i] -= gram_[i * k + m] * beta_[m];
        beta_[i] /= gram_[i * k + i];
    }
    for (std::size_t i = k; i-- > 0;) {
        for (std::size_t m = i + 1; m < k; ++m) beta_[i] -= gram_[m * k + i] * beta_[m];
        beta_[i] /= gram_[i * k + i];
    }
    std::copy(y, y + n, work_.begin());
    for (std::size_t i = 0; i < k; ++i) {
        const double* const x = filter_.standardized(static_cast<int>(i) + 1);
        for (std::size_t t = 0; t < n; ++t) work_[t] -= beta_[i] * x[t];
    }
    sum_ = dot(work_.data(), work_.data(), n);
    return std::isfinite(sum_);
}

bool ArimaEstimator::evaluate(const double* coefficients, bool to_the_end) {
    filter_.set_coefficients(coefficients);
    return (exact_ ? filter_.exact(to_the_end) : filter_.conditional()) && project();
}

double ArimaEstimator::objective_at(const double* coefficients) {
    if (!evaluate(coefficients)) return kInfinity;
    return std::log(sum_ / n_) + filter_.log_determinant() / n_;
}

bool ArimaEstimator::residuals(const double* x, double* r) {
    double raw[ArimaOrder::kMaxCoefficients];
    const int k = current_.n_arma();
    std::copy(x, x + k, raw);
    stationary_from_free(raw, current_.p);
    stationary_from_free(raw + current_.p + current_.q, current_.P);
    if (!evaluate(raw)) return false;
    const double factor = std::exp(0.5 * filter_.log_determinant() / n_);
    if (!std::isfinite(factor)) return false;
    for (std::size_t t = 0; t < at(n_); ++t) r[t] = work_[t] * factor;
    return true;
}

std::vector<double> ArimaEstimator::coefficients(const ArimaOrder& order,
                                                 std::span<const double> free) {
    std::vector<double> c(free.begin(), free.end());
    stationary_from_free(c.data(), order.p);
    stationary_from_free(c.data() + order.p + order.q, order.P);
    make_invertible(c.data() + order.p, order.q);
    make_invertible(c.data() + order.p + order.q + order.P, order.Q);
    return c;
}

bool ArimaEstimator::free_parameters(const ArimaOrder& order, std::span<const double> coefficients,
                                     std::vector<double>& free) {
    free.assign(coefficients.begin(), coefficients.begin() + order.n_arma());
    return free_from_stationary(free.data(), order.p) &&
           free_from_stationary(free.data() + order.p + order.q, order.P);
}

ArmaEstimate ArimaEstimator::conditional(const ArimaOrder& order, double tolerance,
                                         const StopSignal& stop) {
    set_order(order);
    exact_ = false;
    ArmaEstimate estimate;
    estimate.free.assign(at(order.n_arma()), 0.0);
    const int n_residuals = n_ - order.n_ar();
    if (n_residuals <= order.n_arma() + kept_) {
        estimate.status = ForecastStatus::too_short;
        return estimate;
    }
    const SearchResult found =
        search_.minimise(*this, estimate.free.data(), {kMaxIterations, tolerance, 1}, stop);
    estimate.conditional = std::log(found.sum_of_squares / n_residuals);
    if (found.stopped) estimate.status = ForecastStatus::stopped;
    if (!std::isfinite(found.sum_of_squares)) estimate.status = ForecastStatus::not_converged;
    return estimate;
}

bool ArimaEstimator::at_border(const ArimaOrder& order, std::span<const double> free) noexcept {
    const auto beyond = [](double x) { return std::fabs(x) > kBorder; };
    const auto seasonal = free.begin() + order.p + order.q;
    return std::any_of(free.begin(), free.begin() + order.p, beyond) ||
           std::any_of(seasonal, seasonal + order.P, beyond);
}

std::vector<double> ArimaEstimator::inside(const ArimaOrder& order, std::vector<double> free) {
    const int seasonal = order.p + order.q;
    for (int i = 0; i < order.n_arma(); ++i) {
        const bool ar = i < order.p || (i >= seasonal && i < seasonal + order.P);
        double& x = free[at(i)];
        if (ar) x = std::clamp(x, -kStartBorder, kStartBorder);
    }
    make_invertible(free.data() + order.p, order.q);
    make_invertible(free.data() + seasonal + order.P, order.Q);
    return free;
}

ArmaEstimate ArimaEstimator::exact(const ArimaOrder& order, std::span<const double> from,
                                   double tolerance, const StopSignal& stop) {
    set_order(order);
    exact_ = true;
    ArmaEstimate estimate;
    estimate.free.assign(from.begin(), from.end());
    SearchResult found =
        search_.minimise(*this, estimate.free.data(), {kMaxIterations, tolerance, 1}, stop);
    if (!found.converged && !found.stopped) {
        // Beyond the border of invertibility, where a step means ever less: on from the reciprocals.
        make_invertible(estimate.free.data() + order.p, order.q);
        make_invertible(estimate.free.data() + order.p + order.q + order.P, order.Q);
        found = search_.minimise(*this, estimate.free.data(), {kMaxIterations, tolerance, 1}, stop);
    }
    estimate.objective = std::log(found.sum_of_squares / n_);
    if (!found.converged) estimate.status = ForecastStatus::not_converged;
    if (found.stopped) estimate.status = ForecastStatus::stopped;
    return estimate;
}

double ArimaEstimator::objective(const ArimaOrder& order, std::span<const double> free) {
    set_order(order);
    exact_ = true;
    std::vector<double> c(free.begin(), free.end());
    stationary_from_free(c.data(), order.p);
    stationary_from_free(c.data() + order.p + order.q, order.P);
    return objective_at(c.data());
}

double ArimaEstimator::minus_2_loglik(double objective) const noexcept {
    return n_ * (objective + 2 * std::log(scale_) + std::log(2 * M_PI) + 1);
}

// In the order of the raw columns; NaN for collinear ones.
std::vector<double> ArimaEstimator::original_beta() const {
    const std::size_t k = at(kept_), all = pivots_.size();
    std::vector<double> b(k);
    for (std::size_t i = k; i-- > 0;) {
        b[i] = explained_[i] + scale_ * beta_[i];
        for (std::size_t j = i + 1; j < k; ++j) b[i] -= triangle_[j * all + i] * b[j];
        b[i] /= triangle_[i * all + i];
    }
    std::vector<double> original(all, kNaN);
    for (std::size_t j = 0; j < all; ++j) {
        if (pivots_[j] >= 0) original[j] = b[at(pivots_[j])];
    }
    return original;
}

bool ArimaEstimator::finish(const SeriesView& series, std::span<const double> arma,
                            bool with_std_errors, const StopSignal& stop, ArimaFit& fit) {
    set_order(fit.order);
    exact_ = true;
    if (!evaluate(arma.data(), true)) return false;
    const std::size_t n = series.y.size();
    const int k = fit.order.n_arma() + kept_;
    fit.n = static_cast<int>(n);
    fit.n_used = n_;
    fit.coefficients.assign(arma.begin(), arma.end());
    const std::vector<double> beta = original_beta();
    fit.coefficients.insert(fit.coefficients.end(), beta.begin(), beta.end());

    fit.sum_of_squares = sum_ * scale_ * scale_;
    FitSummary& s = fit.summary;
    s.n_parameters = k + 1;
    s.sigma2 = fit.sum_of_squares / (n_ - k);
    if (scale_ > 0) {
        const double m2 = minus_2_loglik(std::log(sum_ / n_) + filter_.log_determinant() / n_);
        s.log_likelihood = -m2 / 2;
        s.aic = m2 + 2 * s.n_parameters;
        s.bic = m2 + std::log(n_) * s.n_parameters;
        const int rest = n_ - s.n_parameters - 1;
        s.aicc = rest > 0 ? s.aic + 2.0 * s.n_parameters * (s.n_parameters + 1) / rest : kInfinity;
    }
    const std::vector<double> states = filter_.last_states();
    const std::size_t r = at(filter_.n_states());
    fit.state.assign(states.begin(), states.begin() + static_cast<std::ptrdiff_t>(r));
    for (std::size_t j = 0; j < at(kept_); ++j) {
        for (std::size_t i = 0; i < r; ++i) fit.state[i] -= beta_[j] * states[(j + 1) * r + i];
    }
    for (double& v : fit.state) v *= scale_;
    fit.last.clear();
    for (std::size_t t = n - std::min(n, at(fit.order.n_lost())); t < n; ++t) {
        double v = series.y[t];
        for (std::size_t j = 0; j < beta.size(); ++j) {
            if (pivots_[j] >= 0) v -= beta[j] * raw_[j * n + t];
        }
        fit.last.push_back(v);
    }
    fit.std_errors.assign(fit.coefficients.size(), kNaN);
    if (with_std_errors && scale_ > 0) beta_std_errors(fit);
    fit.covariance = filter_.last_covariance();
    if (with_std_errors && scale_ > 0) arma_std_errors(fit.order, arma, stop, fit);
    return std::isfinite(fit.sum_of_squares);
}

// Of generalised least squares, with the variance that divides by n, as R has it; what the ARMA
// coefficients add comes with theirs.
void ArimaEstimator::beta_std_errors(ArimaFit& fit) const {
    const std::size_t k = at(kept_), all = pivots_.size();
    if (k == 0) return;
    // Raw columns = orthonormal ones * triangle': information of the raw coefficients.
    std::vector<double> information(k * k, 0.0);
    for (std::size_t i = 0; i < k; ++i) {
        for (std::size_t j = 0; j < k; ++j) {
            double sum = 0;
            for (std::size_t a = 0; a <= i; ++a) {
                for (std::size_t b = 0; b <= j; ++b) {
                    const double g = dot(filter_.standardized(static_cast<int>(a) + 1),
                                         filter_.standardized(static_cast<int>(b) + 1), at(n_));
                    sum += triangle_[i * all + a] * g * triangle_[j * all + b];
                }
            }
            information[i * k + j] = sum;
        }
    }
    std::vector<double> unit(k);  // diagonal scaled to 1 before it is inverted
    for (std::size_t i = 0; i < k; ++i) unit[i] = 1 / std::sqrt(information[i * k + i]);
    for (std::size_t i = 0; i < k * k; ++i) information[i] *= unit[i / k] * unit[i % k];
    if (!invert(information, k)) return;
    const double variance = fit.sum_of_squares / n_;
    for (std::size_t j = 0; j < all; ++j) {
        if (pivots_[j] < 0) continue;
        const std::size_t i = at(pivots_[j]);
        fit.std_errors[at(fit.order.n_arma()) + j] =
            std::sqrt(variance * information[i * k + i]) * unit[i];
    }
}

void ArimaEstimator::arma_std_errors(const ArimaOrder& order, std::span<const double> arma,
                                     const StopSignal& stop, ArimaFit& fit) {
    const std::size_t k = at(order.n_arma());
    std::vector<double> hessian(k * k), x(arma.begin(), arma.end());
    const double h = kHessianStep;
    const auto moved = [&](std::size_t i, double by_i, std::size_t j, double by_j) {
        x.assign(arma.begin(), arma.end());
        x[i] += by_i;
        x[j] += by_j;
        return objective_at(x.data());
    };
    for (std::size_t i = 0; i < k; ++i) {
        for (std::size_t j = 0; j <= i; ++j) {
            if (stop.poll() != FitStatus::ok) return;
            const double d =
                moved(i, h, j, h) - moved(i, h, j, -h) - moved(i, -h, j, h) + moved(i, -h, j, -h);
            hessian[i * k + j] = hessian[j * k + i] = n_ * d / (8 * h * h);
        }
    }
    const bool finite =
        std::all_of(hessian.begin(), hessian.end(), [](double v) { return std::isfinite(v); });
    if (!finite || !invert(hessian, k)) return;
    for (std::size_t i = 0; i < k; ++i) fit.std_errors[i] = std::sqrt(hessian[i * k + i]);
    // The regressors' coefficients move with those of the ARMA part.
    std::vector<std::vector<double>> slope;
    slope.reserve(k);
    for (std::size_t i = 0; i < k && kept_ > 0; ++i) {
        moved(i, h, i, 0);
        slope.push_back(original_beta());
        moved(i, -h, i, 0);
        const std::vector<double> below = original_beta();
        for (std::size_t j = 0; j < below.size(); ++j) {
            slope[i][j] = (slope[i][j] - below[j]) / (2 * h);
        }
    }
    for (std::size_t j = 0; j < pivots_.size(); ++j) {
        double& se = fit.std_errors[k + j];
        double variance = se * se;
        for (std::size_t a = 0; a < slope.size(); ++a) {
            for (std::size_t b = 0; b < slope.size(); ++b) {
                variance += slope[a][j] * hessian[a * k + b] * slope[b][j];
            }
        }
        se = std::sqrt(variance);
    }
}

}  // namespace many::core
