#include <algorithm>

#include "unit/exact.h"
#include "unit/learners/penalised_support.h"

namespace many::test {

double violation(const Matrix& rows, const core::LinearFit& fit, const core::LinearOptions& o) {
    const std::size_t n = rows.size(), p = rows[0].size() - 1;
    const auto b = [&](std::size_t j) { return Exact(fit.coefficient[j]); };
    std::vector<Exact> mean(p + 1, Exact(0)), spread(p, Exact(0));
    for (const auto& row : rows) {
        for (std::size_t j = 0; j <= p; ++j) mean[j] += Exact(row[j]) / n;
    }
    for (const auto& row : rows) {
        for (std::size_t j = 0; j < p; ++j) {
            const Exact d = Exact(row[j]) - mean[j];
            spread[j] += d * d / n;
        }
    }
    std::vector<Exact> gradient(p, Exact(0));
    for (const auto& row : rows) {
        Exact e = Exact(row[p]);
        if (o.fit_intercept) e -= mean[p];
        for (std::size_t j = 0; j < p; ++j) {
            e -= b(j) * (Exact(row[j]) - (o.fit_intercept ? mean[j] : Exact(0)));
        }
        for (std::size_t j = 0; j < p; ++j) {
            gradient[j] += e * (Exact(row[j]) - (o.fit_intercept ? mean[j] : Exact(0))) / n;
        }
    }
    double worst = 0;
    for (std::size_t j = 0; j < p; ++j) {
        const Exact s = o.standardize ? Exact(sqrt(spread[j])) : Exact(1);
        if (s == 0) continue;
        const Exact l1 = o.alpha * Exact(o.lambda), l2 = (1 - o.alpha) * Exact(o.lambda);
        const Exact g = gradient[j] / s - l2 * s * b(j);
        const Exact excess = fit.coefficient[j] > 0   ? Exact(abs(g - l1))
                             : fit.coefficient[j] < 0 ? Exact(abs(g + l1))
                                                      : Exact(abs(g) - l1);
        worst = std::max(worst, double(excess / o.lambda));
    }
    return worst;
}

}  // namespace many::test
