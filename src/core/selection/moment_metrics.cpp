#include "core/selection/moment_metrics.h"

#include <cmath>
#include <limits>
#include <vector>

#include "core/learners/linear_workspace.h"
#include "core/numeric/gram.h"
#include "core/numeric/wide.h"

namespace many::core {
namespace {

constexpr int kGridBits = 140;

TripleDouble sum_at(const double* moments, const MomentLayout& layout, std::size_t slot) {
    const std::size_t plane = layout.slots();
    return TripleDouble::of(moments[slot], moments[plane + slot], moments[2 * plane + slot]);
}

// To a multiple of 2^-kGridBits of `size`.
double on_grid(const TripleDouble& x, double size) {
    if (!(size > 0)) return 0;
    int exponent = 0;
    std::frexp(size, &exponent);
    // In two steps: the grid may lie below the range of normal doubles.
    const int up = kGridBits - exponent;
    const double first = std::ldexp(1.0, up / 2);
    const double second = std::ldexp(1.0, up - up / 2);
    const TripleDouble t = scaled(scaled(x, first), second);
    const double whole = std::nearbyint(t.hi);
    return (whole + std::nearbyint((t.hi - whole) + t.mid)) / second / first;
}

}  // namespace

SplitMetrics moment_metrics(const double* moments, const LinearFit& fit) {
    const int p = fit.p;
    const MomentLayout layout(p + 1);
    const int q = layout.q();
    const double n = moments_count(moments);
    SplitMetrics m = no_metrics();
    if (!(n > 0) || !moments_finite(moments, layout)) return m;
    std::vector<TripleDouble> v(static_cast<std::size_t>(q));
    v[0] = fit.target_mean;
    for (std::size_t j = 0; j < static_cast<std::size_t>(p); ++j) {
        const double b = fit.coefficient[j];
        if (b == b) v[j + 1] = b;
        v[0] = minus_product(v[0], v[j + 1], TripleDouble(fit.mean[j]));
    }
    v[static_cast<std::size_t>(q) - 1] = -1.0;

    TripleDouble error, square;
    double error_size = 0, square_size = 0;
    for (int i = 0; i < q; ++i) {
        const TripleDouble& a = v[static_cast<std::size_t>(i)];
        const TripleDouble term = a * sum_at(moments, layout, layout.slot(0, i));
        error = error + term;
        error_size += std::fabs(term.value());
        TripleDouble row;  // half of the diagonal, and what is right of it
        for (int j = i; j < q; ++j) {
            const TripleDouble s = sum_at(moments, layout, layout.slot(i, j));
            const TripleDouble product = v[static_cast<std::size_t>(j)] * s;
            row = row + (i == j ? scaled(product, 0.5) : product);
            if (i == j) square_size += a.value() * a.value() * s.value();
        }
        square = square + a * row;
    }
    const double sum = on_grid(error, error_size);
    const double squares = std::fmax(on_grid(scaled(square, 2.0), square_size), 0.0);
    const double spread = target_spread(moments, p);
    m.n_rows = n;
    m.rmse = std::sqrt(squares / n);
    m.bias = sum / n;
    if (spread > 0) m.r2 = 1 - squares / spread;
    return m;
}

SplitMetrics constant_metrics(const double* moments, int n_features, double value) {
    const auto p = static_cast<std::size_t>(n_features);
    LinearFit fit;
    fit.p = n_features;
    fit.target_mean = value;
    fit.mean.assign(p, 0.0);
    fit.coefficient.assign(p, std::numeric_limits<double>::quiet_NaN());  // dropped
    return moment_metrics(moments, fit);
}

}  // namespace many::core
