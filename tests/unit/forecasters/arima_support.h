// A made series for the tests of ARIMA and STL, and the Gaussian likelihood of an ARMA process from
// its covariance matrix: everything the filter computes, the long way.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

#include "core/forecasters/arima.h"

namespace many::test {

// Uniform numbers in (0, 1): Park & Miller's generator, the same in R's doubles.
inline std::vector<double> uniforms(std::size_t n, std::int64_t seed = 42) {
    std::vector<double> u;
    for (std::size_t i = 0; i < n; ++i) {
        seed = seed * 16807 % 2147483647;
        u.push_back(static_cast<double>(seed) / 2147483647);
    }
    return u;
}

// A trend, a season of 12, and a random walk.
inline std::vector<double> made_series(std::size_t n = 84) {
    static constexpr std::array<double, 12> kSeason = {5, -3, 8, 0, 2, -7, -9, 4, 1, 6, -2, -5};
    std::vector<double> y;
    double walk = 0;
    for (const double u : uniforms(n)) {
        walk += 8 * (u - 0.5);
        const std::size_t t = y.size();
        y.push_back(200 + static_cast<double>(t + 1) + 3 * kSeason[t % 12] + walk);
    }
    return y;
}

// Autocovariances of lags 0 .. n - 1 at unit variance, by psi weights summed until they vanish.
inline std::vector<double> autocovariances(const core::ArimaOrder& o, const std::vector<double>& c,
                                           std::size_t n) {
    core::LagPolynomial ar, ma;
    ar.resize(o.p, o.P, o.m);
    ma.resize(o.q, o.Q, o.m);
    std::vector<double> a, s;
    for (int i = 0; i < o.p; ++i) a.push_back(-c[static_cast<std::size_t>(i)]);
    for (int i = 0; i < o.P; ++i) s.push_back(-c[static_cast<std::size_t>(o.p + o.q + i)]);
    ar.multiply(a.data(), s.data());
    ma.multiply(c.data() + o.p, c.data() + o.p + o.q + o.P);
    std::vector<double> psi{1};
    const std::size_t length = 6000 + n;
    for (std::size_t k = 1; k < length; ++k) {
        double v = k <= ma.c.size() ? ma.c[k - 1] : 0;
        for (std::size_t i = 1; i <= ar.c.size() && i <= k; ++i) v -= ar.c[i - 1] * psi[k - i];
        psi.push_back(v);
    }
    std::vector<double> gamma(n, 0.0);
    for (std::size_t lag = 0; lag < n; ++lag) {
        for (std::size_t k = 0; k + lag < length; ++k) gamma[lag] += psi[k] * psi[k + lag];
    }
    return gamma;
}

// Lower Cholesky factor of the Toeplitz matrix of gamma.
inline std::vector<std::vector<double>> toeplitz_factor(const std::vector<double>& gamma,
                                                        std::size_t n) {
    std::vector<std::vector<double>> l(n, std::vector<double>(n, 0.0));
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j <= i; ++j) {
            double sum = gamma[i - j];
            for (std::size_t k = 0; k < j; ++k) sum -= l[i][k] * l[j][k];
            l[i][j] = i == j ? std::sqrt(sum) : sum / l[j][j];
        }
    }
    return l;
}

struct LongWay {
    double log_likelihood, sum_of_squares;
    std::vector<double> mean, variance;  // of h more values; variance / sigma2
};

// Likelihood with sigma2 concentrated out and conditional means of h more values of w ~ ARMA.
inline LongWay long_way(const core::ArimaOrder& o, const std::vector<double>& c,
                        const std::vector<double>& w, std::size_t h = 0) {
    const std::size_t n = w.size();
    const auto l = toeplitz_factor(autocovariances(o, c, n + h), n + h);
    std::vector<double> u(n + h, 0.0);
    LongWay out{0, 0, {}, {}};
    double log_determinant = 0;
    for (std::size_t t = 0; t < n + h; ++t) {
        double predicted = 0, variance = 0;
        for (std::size_t k = 0; k < t && k < n; ++k) predicted += l[t][k] * u[k];
        if (t < n) {
            u[t] = (w[t] - predicted) / l[t][t];
            out.sum_of_squares += u[t] * u[t];
            log_determinant += 2 * std::log(l[t][t]);
        } else {
            for (std::size_t k = n; k <= t; ++k) variance += l[t][k] * l[t][k];
            out.mean.push_back(predicted);
            out.variance.push_back(variance);
        }
    }
    const double count = static_cast<double>(n);
    out.log_likelihood =
        -0.5 * (count * std::log(2 * M_PI * out.sum_of_squares / count) + log_determinant + count);
    return out;
}

}  // namespace many::test
