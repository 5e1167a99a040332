#include "unit/exact.h"

#include <cmath>

namespace many::test {
namespace {

// A type of its own: of functions that several files have the linker takes one, which would else be that of a test,
// sanitized.
using Real = boost::multiprecision::number<boost::multiprecision::cpp_bin_float<160>>;

}  // namespace

ExactFit exact_least_squares(const Matrix& rows, bool intercept) {
    const std::size_t n = rows.size(), p = rows[0].size() - 1, k = p + (intercept ? 1 : 0);
    const auto x = [&](std::size_t r, std::size_t j) -> Real {
        return intercept ? (j == 0 ? Real(1) : Real(rows[r][j - 1])) : Real(rows[r][j]);
    };
    std::vector<std::vector<Real>> a(k, std::vector<Real>(2 * k + 1, Real(0)));
    Real sum = 0, square = 0;
    for (std::size_t r = 0; r < n; ++r) {
        const Real y = rows[r][p];
        sum += y;
        square += y * y;
        for (std::size_t i = 0; i < k; ++i) {
            const Real xi = x(r, i);
            for (std::size_t j = 0; j < k; ++j) a[i][j] += xi * x(r, j);
            a[i][2 * k] += xi * y;
        }
    }
    for (std::size_t i = 0; i < k; ++i) a[i][k + i] = 1;
    for (std::size_t i = 0; i < k; ++i) {  // Gauss-Jordan; positive definite, so no pivoting
        const Real pivot = a[i][i];
        for (Real& v : a[i]) v /= pivot;
        for (std::size_t r = 0; r < k; ++r) {
            if (r == i) continue;
            const Real factor = a[r][i];
            for (std::size_t c = 0; c <= 2 * k; ++c) a[r][c] -= factor * a[i][c];
        }
    }
    ExactFit fit;
    for (std::size_t i = 0; i < k; ++i) fit.b.push_back(Exact(a[i][2 * k]));
    Real rss = 0;
    for (std::size_t r = 0; r < n; ++r) {
        Real e = rows[r][p];
        for (std::size_t j = 0; j < k; ++j) e -= a[j][2 * k] * x(r, j);
        rss += e * e;
    }
    const Real tss = intercept ? Real(square - sum * sum / Real(n)) : square;
    const Real sigma = sqrt(Real(rss / Real(n - k)));
    fit.rss = Exact(rss);
    fit.tss = Exact(tss);
    fit.r2 = Exact(Real(1 - rss / tss));
    fit.sigma = Exact(sigma);
    for (std::size_t i = 0; i < k; ++i) fit.se.push_back(Exact(Real(sigma * sqrt(a[i][k + i]))));
    return fit;
}

double lre(double x, const Exact& c) {
    const Real exact(c);
    const Real error = abs(Real(x) - exact);
    if (error == 0) return 15;
    const Real relative = abs(exact) < Real("1e-100") ? error : Real(error / abs(exact));
    return std::fmin(15, -static_cast<double>(log10(relative)));
}

}  // namespace many::test
