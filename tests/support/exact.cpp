#include "unit/exact.h"

#include <cmath>

namespace many::test {

ExactFit exact_least_squares(const Matrix& rows, bool intercept) {
    const std::size_t n = rows.size(), p = rows[0].size() - 1, k = p + (intercept ? 1 : 0);
    const auto x = [&](std::size_t r, std::size_t j) -> Exact {
        return intercept ? (j == 0 ? Exact(1) : Exact(rows[r][j - 1])) : Exact(rows[r][j]);
    };
    std::vector<std::vector<Exact>> a(k, std::vector<Exact>(2 * k + 1, Exact(0)));
    Exact sum = 0, square = 0;
    for (std::size_t r = 0; r < n; ++r) {
        const Exact y = rows[r][p];
        sum += y;
        square += y * y;
        for (std::size_t i = 0; i < k; ++i) {
            const Exact xi = x(r, i);
            for (std::size_t j = 0; j < k; ++j) a[i][j] += xi * x(r, j);
            a[i][2 * k] += xi * y;
        }
    }
    for (std::size_t i = 0; i < k; ++i) a[i][k + i] = 1;
    for (std::size_t i = 0; i < k; ++i) {  // Gauss-Jordan; positive definite, so no pivoting
        const Exact pivot = a[i][i];
        for (Exact& v : a[i]) v /= pivot;
        for (std::size_t r = 0; r < k; ++r) {
            if (r == i) continue;
            const Exact factor = a[r][i];
            for (std::size_t c = 0; c <= 2 * k; ++c) a[r][c] -= factor * a[i][c];
        }
    }
    ExactFit fit;
    for (std::size_t i = 0; i < k; ++i) fit.b.push_back(a[i][2 * k]);
    fit.rss = 0;
    for (std::size_t r = 0; r < n; ++r) {
        Exact e = rows[r][p];
        for (std::size_t j = 0; j < k; ++j) e -= fit.b[j] * x(r, j);
        fit.rss += e * e;
    }
    fit.tss = intercept ? Exact(square - sum * sum / Exact(n)) : square;
    fit.r2 = 1 - fit.rss / fit.tss;
    fit.sigma = sqrt(Exact(fit.rss / Exact(n - k)));
    for (std::size_t i = 0; i < k; ++i) fit.se.push_back(fit.sigma * sqrt(a[i][k + i]));
    return fit;
}

double lre(double x, const Exact& c) {
    const Exact error = abs(Exact(x) - c);
    if (error == 0) return 15;
    const Exact relative = abs(c) < Exact("1e-100") ? error : Exact(error / abs(c));
    return std::fmin(15, -static_cast<double>(log10(relative)));
}

}  // namespace many::test
