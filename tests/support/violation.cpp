#include <algorithm>

#include "unit/exact.h"
#include "unit/learners/penalised_support.h"

namespace many::test {
namespace {

// A type of its own: see exact.cpp.
using Real = boost::multiprecision::number<boost::multiprecision::cpp_bin_float<160>>;

}  // namespace

double violation(const Matrix& rows, const core::LinearFit& fit, const core::LinearOptions& o) {
    const std::size_t n = rows.size(), p = rows[0].size() - 1;
    const auto b = [&](std::size_t j) { return Real(fit.coefficient[j]); };
    std::vector<Real> mean(p + 1, Real(0)), spread(p, Real(0));
    for (const auto& row : rows) {
        for (std::size_t j = 0; j <= p; ++j) mean[j] += Real(row[j]) / n;
    }
    for (const auto& row : rows) {
        for (std::size_t j = 0; j < p; ++j) {
            const Real d = Real(row[j]) - mean[j];
            spread[j] += d * d / n;
        }
    }
    std::vector<Real> gradient(p, Real(0));
    for (const auto& row : rows) {
        Real e = Real(row[p]);
        if (o.fit_intercept) e -= mean[p];
        for (std::size_t j = 0; j < p; ++j) {
            e -= b(j) * (Real(row[j]) - (o.fit_intercept ? mean[j] : Real(0)));
        }
        for (std::size_t j = 0; j < p; ++j) {
            gradient[j] += e * (Real(row[j]) - (o.fit_intercept ? mean[j] : Real(0))) / n;
        }
    }
    double worst = 0;
    for (std::size_t j = 0; j < p; ++j) {
        const Real s = o.standardize ? Real(sqrt(spread[j])) : Real(1);
        if (s == 0) continue;
        const Real l1 = o.alpha * Real(o.lambda), l2 = (1 - o.alpha) * Real(o.lambda);
        const Real g = gradient[j] / s - l2 * s * b(j);
        const Real excess = fit.coefficient[j] > 0   ? Real(abs(g - l1))
                            : fit.coefficient[j] < 0 ? Real(abs(g + l1))
                                                     : Real(abs(g) - l1);
        worst = std::max(worst, double(excess / o.lambda));
    }
    return worst;
}

}  // namespace many::test
