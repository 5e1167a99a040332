// Polynomials of ARMA models: see the header.
#include "core/forecasters/arma_polynomials.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstddef>
#include <cstdint>

namespace many::core {
namespace {

constexpr int kMaxRootSweeps = 500;

std::size_t at(int i) noexcept {
    return static_cast<std::size_t>(i);
}

// Roots of 1 + sum ma_j z^j, ma_q not 0: Durand-Kerner on the reversed polynomial, whose roots are
// their reciprocals and are no larger than 1 + max |ma_j|.
std::vector<std::complex<double>> reciprocal_roots(const double* ma, int q) {
    std::vector<std::complex<double>> root(at(q));
    double bound = 1;
    for (int j = 0; j < q; ++j) bound = std::fmax(bound, std::pow(std::fabs(ma[j]), 1.0 / (j + 1)));
    for (int i = 0; i < q; ++i) root[at(i)] = std::polar(bound, 0.7 + 2 * M_PI * i / q);
    for (int sweep = 0; sweep < kMaxRootSweeps; ++sweep) {
        double moved = 0;
        for (int i = 0; i < q; ++i) {
            std::complex<double> value = 1, others = 1;
            for (int j = 0; j < q; ++j) {
                value = value * root[at(i)] + ma[j];
                if (j != i) others *= root[at(i)] - root[at(j)];
            }
            if (std::abs(others) == 0) others = 1e-30;
            const std::complex<double> step = value / others;
            root[at(i)] -= step;
            moved = std::fmax(moved, std::abs(step));
        }
        if (moved <= 1e-15 * bound) break;
    }
    return root;
}

}  // namespace

bool ArimaOrder::valid() const noexcept {
    for (const int order : {p, d, q, P, D, Q}) {
        if (order < 0 || order > kMaxCoefficients) return false;
    }
    const std::int64_t season = m;
    return m >= 1 && n_arma() <= kMaxCoefficients && (m > 1 || P + D + Q == 0) &&
           p + P * season <= kMaxLag && q + Q * season <= kMaxLag && D * season <= INT32_MAX / 2;
}

void stationary_from_free(double* x, int p) noexcept {
    // Order k has its coefficients in x[0 .. k - 1]; pairs (j, k - 1 - j) are updated together.
    for (int k = 0; k < p; ++k) {
        const double partial = std::tanh(x[k]);
        for (int j = 0, i = k - 1; j <= i; ++j, --i) {
            const double low = x[j], high = x[i];
            x[j] = low - partial * high;
            if (i != j) x[i] = high - partial * low;
        }
        x[k] = partial;
    }
}

bool free_from_stationary(double* x, int p) noexcept {
    for (int k = p - 1; k >= 0; --k) {
        const double partial = x[k];
        if (!(std::fabs(partial) < 1)) return false;
        const double scale = 1 / (1 - partial * partial);
        for (int j = 0, i = k - 1; j <= i; ++j, --i) {
            const double low = x[j], high = x[i];
            x[j] = (low + partial * high) * scale;
            if (i != j) x[i] = (high + partial * low) * scale;
        }
        x[k] = std::atanh(partial);
    }
    return true;
}

bool roots_outside(std::span<const double> ar, double radius) {
    std::vector<double> x(ar.begin(), ar.end());
    double power = 1;
    for (double& v : x) v *= power *= radius;
    return free_from_stationary(x.data(), static_cast<int>(x.size()));
}

void make_invertible(double* ma, int q) {
    int order = q;
    while (order > 0 && ma[order - 1] == 0) --order;
    if (order == 0) return;
    std::vector<double> as_ar(at(order));
    for (int j = 0; j < order; ++j) as_ar[at(j)] = -ma[j];
    if (free_from_stationary(as_ar.data(), order)) return;
    std::vector<std::complex<double>> roots = reciprocal_roots(ma, order);
    // Where no root moves, the coefficients stay as they are to the last bit.
    const double largest =
        std::abs(*std::max_element(roots.begin(), roots.end(), [](const auto& a, const auto& b) {
            return std::abs(a) < std::abs(b);
        }));
    if (!(largest > 1 + 1e-9)) return;
    std::vector<std::complex<double>> product(at(order) + 1, 0.0);
    product[0] = 1;
    for (int i = 0; i < order; ++i) {
        std::complex<double> r = roots[at(i)];
        if (std::abs(r) > 1) r = 1.0 / std::conj(r);
        for (int j = i + 1; j > 0; --j) product[at(j)] -= r * product[at(j - 1)];
    }
    for (int j = 0; j < order; ++j) ma[j] = product[at(j + 1)].real();
}

void LagPolynomial::resize(int order_1, int order_2, int m) {
    first_ = order_1;
    second_ = order_2;
    m_ = m;
    order = order_1 + order_2 * m;
    c.assign(static_cast<std::size_t>(order), 0.0);
    lags.clear();
    for (int j = 0; j <= order_2; ++j) {
        for (int i = 0; i <= order_1; ++i) {
            if (i + j * m > 0) lags.push_back(i + j * m);
        }
    }
    std::sort(lags.begin(), lags.end());
    lags.erase(std::unique(lags.begin(), lags.end()), lags.end());
    value.assign(lags.size(), 0.0);
}

void LagPolynomial::multiply(const double* a, const double* b) noexcept {
    std::fill(c.begin(), c.end(), 0.0);
    for (int j = 0; j <= second_; ++j) {
        const double seasonal = j == 0 ? 1 : b[j - 1];
        if (j > 0) c[static_cast<std::size_t>(j * m_ - 1)] += seasonal;
        for (int i = 1; i <= first_; ++i) {
            c[static_cast<std::size_t>(i + j * m_ - 1)] += seasonal * a[i - 1];
        }
    }
    for (std::size_t k = 0; k < lags.size(); ++k)
        value[k] = c[static_cast<std::size_t>(lags[k] - 1)];
}

std::vector<double> difference_coefficients(const ArimaOrder& order) {
    std::vector<double> poly{1.0};
    const auto times = [&poly](int lag) {
        std::vector<double> next(poly.size() + static_cast<std::size_t>(lag), 0.0);
        for (std::size_t k = 0; k < poly.size(); ++k) {
            next[k] += poly[k];
            next[k + static_cast<std::size_t>(lag)] -= poly[k];
        }
        poly = std::move(next);
    };
    for (int i = 0; i < order.d; ++i) times(1);
    for (int i = 0; i < order.D; ++i) times(order.m);
    std::vector<double> c;
    for (std::size_t k = 1; k < poly.size(); ++k) c.push_back(-poly[k]);
    return c;
}

std::vector<double> difference(std::span<const double> y, const ArimaOrder& order) {
    std::vector<double> w(y.begin(), y.end());
    const auto once = [&w](int lag) {
        const std::size_t l = static_cast<std::size_t>(lag);
        if (w.size() <= l) {
            w.clear();
            return;
        }
        for (std::size_t t = 0; t + l < w.size(); ++t) w[t] = w[t + l] - w[t];
        w.resize(w.size() - l);
    };
    for (int i = 0; i < order.D; ++i) once(order.m);
    for (int i = 0; i < order.d; ++i) once(1);
    return w;
}

}  // namespace many::core
