#include "core/numeric/condition.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace many::core {
namespace {

constexpr int kSteps = 96;
constexpr int kIterations = 100;
constexpr double kAccuracy = 1e-9;

}  // namespace

void LargestEigenvalue::start(int k) {
    const std::size_t n = static_cast<std::size_t>(k);
    k_ = k;
    step_ = 0;
    limit_ = std::min(k, kSteps);
    previous_.assign(n, 0.0);
    current_.resize(n);
    product_.resize(n);
    alpha_.resize(static_cast<std::size_t>(limit_));
    beta_.resize(static_cast<std::size_t>(limit_));
    // An equidistributed sequence: no eigenvector of practice is orthogonal to it.
    double norm2 = 0, fraction = 0;
    for (double& v : current_) {
        fraction += 0.6180339887498949;
        fraction -= std::floor(fraction);
        v = 0.5 + fraction;
        norm2 += v * v;
    }
    for (double& v : current_) v /= std::sqrt(norm2);
}

bool LargestEigenvalue::advance() {
    const std::size_t n = static_cast<std::size_t>(k_);
    const std::size_t s = static_cast<std::size_t>(step_);
    double a = 0;
    for (std::size_t i = 0; i < n; ++i) a += current_[i] * product_[i];
    const double b_before = s > 0 ? beta_[s - 1] : 0.0;
    double norm2 = 0;
    for (std::size_t i = 0; i < n; ++i) {
        const double r = product_[i] - a * current_[i] - b_before * previous_[i];
        product_[i] = r;
        norm2 += r * r;
    }
    const double b = std::sqrt(norm2);
    alpha_[s] = a;
    beta_[s] = b;
    ++step_;
    if (!(b > 1e-13 * (std::fabs(a) + b_before))) return false;  // an invariant subspace
    const double inverse = 1.0 / b;
    for (std::size_t i = 0; i < n; ++i) {
        previous_[i] = current_[i];
        current_[i] = product_[i] * inverse;
    }
    return true;
}

double LargestEigenvalue::largest() const {
    const std::size_t m = static_cast<std::size_t>(step_);
    double x = 0;  // Gershgorin's upper bound
    for (std::size_t i = 0; i < m; ++i) {
        const double radius = (i > 0 ? beta_[i - 1] : 0.0) + (i + 1 < m ? beta_[i] : 0.0);
        x = std::max(x, alpha_[i] + radius);
    }
    if (!(x > 0)) return x;
    const double unit = 1.0 / x;
    const double degree = static_cast<double>(m);
    x = 1.0;
    for (int iteration = 0; iteration < kIterations; ++iteration) {
        // The characteristic polynomial with two derivatives, by its three-term recurrence.
        double p0 = 1, p1 = x - alpha_[0] * unit, d0 = 0, d1 = 1, h0 = 0, h1 = 0;  // h = p'' / 2
        for (std::size_t i = 1; i < m; ++i) {
            const double t = x - alpha_[i] * unit;
            const double b = beta_[i - 1] * unit;
            const double p2 = t * p1 - b * b * p0;
            const double d2 = t * d1 + p1 - b * b * d0;
            const double h2 = t * h1 + d1 - b * b * h0;
            p0 = p1, d0 = d1, h0 = h1;
            p1 = p2, d1 = d2, h1 = h2;
            if (i % 16 == 0) {  // only ratios matter
                const double scale = std::fabs(p1) + std::fabs(d1) + std::fabs(h1);
                const double inverse = scale > 0 ? 1.0 / scale : 1.0;
                p0 *= inverse, d0 *= inverse, h0 *= inverse;
                p1 *= inverse, d1 *= inverse, h1 *= inverse;
            }
        }
        if (!(p1 > 0)) break;  // arrived, up to rounding
        const double g = d1 / p1;
        const double h = g * g - 2 * h1 / p1;
        const double root = std::sqrt(std::max(0.0, (degree - 1) * (degree * h - g * g)));
        const double step = degree / (g + root);
        x -= step;
        if (!(step > kAccuracy * x)) break;
    }
    return x / unit;
}

}  // namespace many::core
