// Innovations of an ARMA process: see the header.
#include "core/forecasters/arma_filter.h"

#include <algorithm>
#include <cmath>

#include "core/numeric/lanes.h"

namespace many::core {
namespace {

constexpr int kSteadyEvery = 8;           // steps between looks at L
constexpr double kLargeProduct = 1e100;   // of variances, before its logarithm is taken
constexpr double kInvertibleGain = 1e-9;  // difference of K from phi + theta
constexpr double kNoCovariance = 1e-12;

std::size_t at(int i) noexcept {
    return static_cast<std::size_t>(i);
}

// state = T state + gain v; stride doubles and 4 zeros behind them.
MANY_INLINE void advance(double* state, const double* phi, const double* gain, double v,
                         std::size_t stride) noexcept {
    const Lanes4 level = all_lanes<Lanes4>(state[0]), shock = all_lanes<Lanes4>(v);
    for (std::size_t i = 0; i < stride; i += 4) {
        store_lanes<Lanes4>(state + i, load_lanes<Lanes4>(phi + i) * level +
                                           load_lanes<Lanes4>(state + i + 1) +
                                           load_lanes<Lanes4>(gain + i) * shock);
    }
}

// One step of the Chandrasekhar recursions for K F and L; the caller has F.
MANY_INLINE void advance_gain(double* gain, double* l, const double* phi, double over_f,
                              std::size_t stride) noexcept {
    const Lanes4 z = all_lanes<Lanes4>(l[0]), part = all_lanes<Lanes4>(l[0] * over_f);
    for (std::size_t i = 0; i < stride; i += 4) {
        const Lanes4 moved = load_lanes<Lanes4>(phi + i) * z + load_lanes<Lanes4>(l + i + 1);
        const Lanes4 before = load_lanes<Lanes4>(gain + i);
        store_lanes<Lanes4>(gain + i, before - moved * part);
        store_lanes<Lanes4>(l + i, moved - before * part);
    }
}

}  // namespace

void ArmaFilter::set_series(const double* w, int n, int columns) {
    w_ = w;
    n_ = n;
    columns_ = columns;
    u_.assign(at(n) * at(columns), 0.0);
}

void ArmaFilter::set_order(const ArimaOrder& order) {
    order_ = order;
    ar_.resize(order.p, order.P, order.m);
    ma_.resize(order.q, order.Q, order.m);
    negative_ar_.assign(at(order.p), 0.0);
    negative_sar_.assign(at(order.P), 0.0);
    r_ = std::max(ar_.order, ma_.order + 1);
    stride_ = round_up_to_lanes(at(r_));
    phi_.assign(stride_ + 4, 0.0);
    theta_.assign(stride_ + 4, 0.0);
    gain_.assign(stride_ + 4, 0.0);
    l_.assign(stride_ + 4, 0.0);
    state_.assign((stride_ + 4) * at(columns_), 0.0);
    const std::size_t p = at(ar_.order);
    down_.assign(p * (p + 1) / 2, 0.0);
    gamma_.assign(at(ar_.order + ma_.order) + 1, 0.0);
    part_ = gamma_;
    first_.assign(at(r_) + 1, 0.0);
}

void ArmaFilter::set_coefficients(const double* coefficients) noexcept {
    const double* ar = coefficients;
    const double* ma = ar + order_.p;
    const double* sar = ma + order_.q;
    const double* sma = sar + order_.P;
    for (int i = 0; i < order_.p; ++i) negative_ar_[at(i)] = -ar[i];
    for (int i = 0; i < order_.P; ++i) negative_sar_[at(i)] = -sar[i];
    ar_.multiply(negative_ar_.data(), negative_sar_.data());
    ma_.multiply(ma, sma);
    for (std::size_t k = 0; k < ar_.c.size(); ++k) phi_[k] = -ar_.c[k];
    for (std::size_t k = 0; k < ma_.c.size(); ++k) theta_[k] = ma_.c[k];
}

bool ArmaFilter::autocovariances() noexcept {
    const int p = ar_.order, q = ma_.order;
    double* const highest = down_.data() + at(p) * at(p > 0 ? p - 1 : 0) / 2;
    for (int k = 0; k < p; ++k) highest[k] = phi_[at(k)];
    double scale = 1;
    for (int k = p; k >= 1; --k) {
        const double* const a = down_.data() + at(k) * at(k - 1) / 2;
        const double partial = a[k - 1], rest = 1 - partial * partial;
        if (!(std::fabs(partial) < 1) || !(rest > 0)) return false;
        scale /= rest;
        if (k == 1) break;
        double* const lower = down_.data() + at(k - 1) * at(k - 2) / 2;
        for (int j = 0; j < k - 1; ++j) lower[j] = (a[j] + partial * a[k - 2 - j]) / rest;
    }
    // Of the autoregression alone; v: variance of its best prediction from k - 1 values.
    gamma_[0] = scale;
    double v = scale;
    for (int k = 1; k <= p; ++k) {
        const double* const a = down_.data() + at(k) * at(k - 1) / 2;
        const double* const lower = k > 1 ? down_.data() + at(k - 1) * at(k - 2) / 2 : nullptr;
        double sum = a[k - 1] * v;
        for (int j = 1; j < k; ++j) sum += lower[j - 1] * gamma_[at(k - j)];
        gamma_[at(k)] = sum;
        v *= 1 - a[k - 1] * a[k - 1];
    }
    for (int k = p + 1; k <= p + q; ++k) {
        double sum = 0;
        for (std::size_t i = 0; i < ar_.lags.size(); ++i) {
            sum -= ar_.value[i] * gamma_[at(k - ar_.lags[i])];
        }
        gamma_[at(k)] = sum;
    }
    if (q == 0) return std::isfinite(scale);
    // theta(B) theta(1/B) applied to it.
    for (int k = 0; k <= p + q; ++k) {
        double sum = gamma_[at(k)];
        for (std::size_t i = 0; i < ma_.lags.size(); ++i) {
            sum += ma_.value[i] * gamma_[at(std::abs(k - ma_.lags[i]))];
        }
        part_[at(k)] = sum;
    }
    for (int k = 0; k <= p; ++k) {
        double sum = part_[at(k)];
        for (std::size_t i = 0; i < ma_.lags.size(); ++i) {
            sum += ma_.value[i] * part_[at(k + ma_.lags[i])];
        }
        gamma_[at(k)] = sum;
    }
    return std::isfinite(scale);
}

bool ArmaFilter::start() noexcept {
    if (!autocovariances()) return false;
    // part_: psi weights. a_t[i] = sum of phi_k w_t+i-k (k > i) and theta_k e_t+i-k (k >= i).
    part_[0] = 1;
    for (int k = 1; k <= ma_.order; ++k) {
        double sum = ma_.c[at(k - 1)];
        for (std::size_t i = 0; i < ar_.lags.size() && ar_.lags[i] <= k; ++i) {
            sum -= ar_.value[i] * part_[at(k - ar_.lags[i])];
        }
        part_[at(k)] = sum;
    }
    first_[0] = gamma_[0];
    for (int i = 1; i < r_; ++i) {
        double sum = 0;
        for (std::size_t k = 0; k < ar_.lags.size(); ++k) {
            if (ar_.lags[k] > i) sum -= ar_.value[k] * gamma_[at(ar_.lags[k] - i)];
        }
        for (std::size_t k = 0; k < ma_.lags.size(); ++k) {
            if (ma_.lags[k] >= i) sum += ma_.value[k] * part_[at(ma_.lags[k] - i)];
        }
        first_[at(i)] = sum;
    }
    first_[at(r_)] = 0;
    f_ = first_[0];
    // All of it: what an overflow left behind r would come back as NaN.
    std::fill(gain_.begin(), gain_.end(), 0.0);
    for (int i = 0; i < r_; ++i) gain_[at(i)] = phi_[at(i)] * f_ + first_[at(i + 1)];
    std::copy(gain_.begin(), gain_.end(), l_.begin());
    std::fill(state_.begin(), state_.end(), 0.0);
    return std::isfinite(f_) && f_ > 0;
}

int ArmaFilter::transient() noexcept {
    const std::size_t room = stride_ + 4;
    double product = 1;
    int t = 0;
    log_determinant_ = 0;
    for (; t < n_; ++t) {
        const double over_f = 1 / f_, root = std::sqrt(over_f);
        product *= f_;
        if (product > kLargeProduct) {
            log_determinant_ += std::log(product);
            product = 1;
        }
        for (int c = 0; c < columns_; ++c) {
            double* const state = state_.data() + at(c) * room;
            const std::size_t here = at(c) * at(n_) + at(t);
            const double v = w_[here] - state[0];
            u_[here] = v * root;
            advance(state, phi_.data(), gain_.data(), v * over_f, stride_);
        }
        const double z = l_[0];
        advance_gain(gain_.data(), l_.data(), phi_.data(), over_f, stride_);
        f_ = std::fmax(f_ - z * z * over_f, 1.0);  // below 1 by rounding only
        if (t % kSteadyEvery == 0 && std::fabs(z) < kSteady * f_) {
            double largest = 0;
            for (int i = 0; i < r_; ++i) largest = std::fmax(largest, std::fabs(l_[at(i)]));
            if (largest < kSteady * f_) {
                ++t;
                break;
            }
        }
    }
    log_determinant_ += std::log(product);
    return t;
}

int ArmaFilter::constant_gain(int from, int steps) noexcept {
    const std::size_t room = stride_ + 4;
    const int to = std::min(n_, from + steps);
    const double over_f = 1 / f_, root = std::sqrt(over_f);
    for (int c = 0; c < columns_; ++c) {
        double* const state = state_.data() + at(c) * room;
        const double* const w = w_ + at(c) * at(n_);
        double* const u = u_.data() + at(c) * at(n_);
        for (int t = from; t < to; ++t) {
            const double v = w[t] - state[0];
            u[t] = v * root;
            advance(state, phi_.data(), gain_.data(), v * over_f, stride_);
        }
    }
    return to;
}

void ArmaFilter::plain(int from) noexcept {
    const double root = std::sqrt(1 / f_);
    const std::size_t n_ar = ar_.lags.size(), n_ma = ma_.lags.size();
    for (int c = 0; c < columns_; ++c) {
        const double* const w = w_ + at(c) * at(n_);
        double* const u = u_.data() + at(c) * at(n_);
        for (int t = from; t < n_; ++t) {
            double v = w[t];
            for (std::size_t i = 0; i < n_ar; ++i) v += ar_.value[i] * w[t - ar_.lags[i]];
            v *= root;
            for (std::size_t i = 0; i < n_ma; ++i) v -= ma_.value[i] * u[t - ma_.lags[i]];
            u[t] = v;
        }
    }
}

bool ArmaFilter::exact(bool to_the_end) noexcept {
    if (!start()) return false;
    int t = transient();
    if (t < n_) {
        log_determinant_ += (n_ - t) * std::log(f_);
        const double limit = kInvertibleGain * f_;
        bool invertible = !to_the_end;
        for (int i = 0; i < r_ && invertible; ++i) {
            invertible = std::fabs(gain_[at(i)] - (phi_[at(i)] + theta_[at(i)]) * f_) < limit;
        }
        t = constant_gain(t, invertible ? r_ : n_);
        if (t < n_) plain(t);
    }
    return std::isfinite(log_determinant_);
}

bool ArmaFilter::conditional() noexcept {
    const std::size_t n_ar = ar_.lags.size(), n_ma = ma_.lags.size();
    const int from = std::min(ar_.order, n_);
    log_determinant_ = 0;
    double last = 0;
    for (int c = 0; c < columns_; ++c) {
        const double* const w = w_ + at(c) * at(n_);
        double* const u = u_.data() + at(c) * at(n_);
        std::fill(u, u + from, 0.0);
        for (int t = from; t < n_; ++t) {
            double v = w[t];
            for (std::size_t i = 0; i < n_ar; ++i) v += ar_.value[i] * w[t - ar_.lags[i]];
            for (std::size_t i = 0; i < n_ma && ma_.lags[i] <= t; ++i) {
                v -= ma_.value[i] * u[t - ma_.lags[i]];
            }
            u[t] = v;
        }
        if (n_ > 0) last += u[n_ - 1];
    }
    return std::isfinite(last);
}

std::vector<double> ArmaFilter::last_states() {
    std::vector<double> states;
    for (int c = 0; c < columns_; ++c) {
        const auto from = state_.begin() + static_cast<std::ptrdiff_t>(at(c) * (stride_ + 4));
        states.insert(states.end(), from, from + r_);
    }
    return states;
}

std::vector<double> ArmaFilter::last_covariance() {
    if (!start()) return {};
    const std::size_t r = at(r_);
    // From the last row and column upwards: P = T P T' + R R' in terms of the first column and of
    // the entry one further down the diagonal. Without R R' at the end.
    std::vector<double> p(r * r);
    const auto shock = [this](std::size_t i) { return i == 0 ? 1.0 : theta_[i - 1]; };
    for (std::size_t i = r; i-- > 0;) {
        for (std::size_t j = r; j-- > 0;) {
            double sum =
                phi_[i] * phi_[j] * first_[0] + phi_[i] * first_[j + 1] + phi_[j] * first_[i + 1];
            if (i + 1 < r && j + 1 < r) {
                sum += p[(i + 1) * r + j + 1] + shock(i + 1) * shock(j + 1);
            }
            p[i * r + j] = sum;
        }
    }
    for (int t = 0; t < n_; ++t) {
        const double z = l_[0], over_f = 1 / f_;
        double largest = 0;
        for (std::size_t i = 0; i < r; ++i) {
            for (std::size_t j = 0; j < r; ++j) p[i * r + j] -= l_[i] * l_[j] * over_f;
            largest = std::fmax(largest, std::fabs(l_[i]));
        }
        if (largest < kSteady * f_) break;
        advance_gain(gain_.data(), l_.data(), phi_.data(), over_f, stride_);
        f_ = std::fmax(f_ - z * z * over_f, 1.0);
    }
    double largest = 0;
    for (std::size_t i = 0; i < r; ++i) largest = std::fmax(largest, std::fabs(p[i * r + i]));
    if (largest < kNoCovariance) p.clear();
    return p;
}

}  // namespace many::core
