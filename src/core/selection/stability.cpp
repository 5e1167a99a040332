#include "core/selection/stability.h"

#include <cmath>

namespace many::core {
namespace {

constexpr double kQuantile = 2.3263478740408408;  // of the normal distribution, 99 %
constexpr double kChi2Two = 9.210340371976183;    // of chi square with 2 degrees of freedom
constexpr double kLevelRows = 0.5;

// Mean and variance of a sample with one row that has the moments of another.
struct Moments {
    double mean, variance;
};

Moments with_row_of(const Sample& sample, const Sample& other) noexcept {
    const double n = sample.n + 1;
    const double mean = (sample.n * sample.mean + other.mean) / n;
    const double d = sample.mean - mean;
    const double e = other.mean - mean;
    return {mean, (sample.n * (sample.spread * sample.spread + d * d) +
                   (other.spread * other.spread + e * e)) /
                      n};
}

// Wilson and Hilferty 1931.
double chi2_quantile(double df) noexcept {
    const double v = 2 / (9 * df);
    return df * std::pow(1 - v + kQuantile * std::sqrt(v), 3);
}

}  // namespace

Stability normal_stability(const Sample& training, const Sample& recent) noexcept {
    const Moments a = with_row_of(training, recent);
    const Moments b = with_row_of(recent, training);
    const double noise = kChi2Two * (1 / training.n + 1 / recent.n);
    if (!(a.variance > 0) || !(b.variance > 0)) return {0, noise};  // the same constant
    const double d2 = (a.mean - b.mean) * (a.mean - b.mean);
    const double index =
        0.5 * ((a.variance + d2) / b.variance + (b.variance + d2) / a.variance) - 1;
    return {std::fmax(index, 0.0), noise};
}

Stability level_stability(const double* training, const double* recent, std::size_t k) noexcept {
    double n1 = 0, n2 = 0;
    for (std::size_t i = 0; i < k; ++i) {
        n1 += training[i];
        n2 += recent[i];
    }
    const double half = kLevelRows * static_cast<double>(k);
    double index = 0;
    for (std::size_t i = 0; i < k; ++i) {
        const double p = (training[i] + kLevelRows) / (n1 + half);
        const double q = (recent[i] + kLevelRows) / (n2 + half);
        index += (q - p) * std::log(q / p);
    }
    return {index, chi2_quantile(static_cast<double>(k) - 1) * (1 / n1 + 1 / n2)};
}

}  // namespace many::core
