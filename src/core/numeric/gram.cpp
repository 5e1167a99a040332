#include "core/numeric/gram.h"

#include <cmath>

#include "core/numeric/moments.h"

namespace many::core {
namespace {

// Relative to the uncentred sum of squares. One row of 1e8 that differs by one unit of the last
// place is 5e-40; the rounding of the sums is below 1e-42.
constexpr double kConstant = 1e-40;
// A feature whose spread is below this is collinear with the intercept (kCollinear squared).
constexpr double kConstantFeature = 1e-28;
constexpr int kPollColumns = 64;

MANY_INLINE TripleDouble load(const double* moments, std::size_t plane, std::size_t slot) {
    return TripleDouble::of(moments[slot], moments[plane + slot], moments[2 * plane + slot]);
}

MANY_INLINE FitStatus centre(const double* moments, const MomentLayout& layout,
                             const StopSignal& stop, ScaledGram& g) {
    const std::size_t plane = layout.slots();
    const int m = g.p + 1;
    TripleDouble* mean = g.mean.data();
    TripleDouble* spread = g.spread.data();
    TripleDouble* c = g.c.data();
    const double* unit = g.unit.data();
    const TripleDouble inverse_n = TripleDouble(1.0) / TripleDouble(g.n);
    for (int j = 0; j < m; ++j) {
        const std::size_t slot = static_cast<std::size_t>(j) + 1;
        mean[j] = scaled(load(moments, plane, slot), unit[j]) * inverse_n;
    }
    for (int j = 0; j < m; ++j) {
        if (j % kPollColumns == 0) {
            if (const FitStatus s = stop.poll(); s != FitStatus::ok) return s;
        }
        // Row j + 1 of the triangle holds (j, j), (j, j + 1), ...
        std::size_t slot = layout.row(j + 1);
        const TripleDouble sum =
            scaled(load(moments, plane, static_cast<std::size_t>(j) + 1), unit[j]);
        for (int i = j; i < m; ++i, ++slot) {
            const TripleDouble s = scaled(scaled(load(moments, plane, slot), unit[j]), unit[i]);
            const std::size_t at = packed(i, j);
            c[at] = g.centred ? minus_product(s, sum, mean[i]) : s;
            if (i == j) spread[j] = g.centred ? c[at] : minus_product(s, sum, mean[i]);
        }
    }
    return FitStatus::ok;
}

MANY_INLINE void shift(const double* moments, const MomentLayout& layout, const ScaledGram& g,
                       DoubleDouble* products, DoubleDouble* sums) {
    const std::size_t plane = layout.slots();
    const int m = g.p + 1;
    const TripleDouble* mean = g.mean.data();
    const double* unit = g.unit.data();
    const TripleDouble n = moments[0];
    for (int j = 0; j < m; ++j) {
        const TripleDouble a_j = g.centred ? mean[j] : TripleDouble();
        const TripleDouble sum_j =
            scaled(load(moments, plane, static_cast<std::size_t>(j) + 1), unit[j]);
        const TripleDouble shifted_j = minus_product(sum_j, n, a_j);
        sums[j] = narrow(shifted_j);
        std::size_t slot = layout.row(j + 1);
        for (int i = j; i < m; ++i, ++slot) {
            const TripleDouble a_i = g.centred ? mean[i] : TripleDouble();
            const TripleDouble sum_i =
                scaled(load(moments, plane, static_cast<std::size_t>(i) + 1), unit[i]);
            TripleDouble s = scaled(scaled(load(moments, plane, slot), unit[j]), unit[i]);
            s = minus_product(s, sum_i, a_j);  // sum z_i (z_j - a_j)
            products[packed(i, j)] = narrow(minus_product(s, a_i, shifted_j));
        }
    }
}

#if MANY_X86_DISPATCH
MANY_TARGET_FMA FitStatus centre_fma(const double* moments, const MomentLayout& layout,
                                     const StopSignal& stop, ScaledGram& g) {
    return centre(moments, layout, stop, g);
}
MANY_TARGET_FMA void shift_fma(const double* moments, const MomentLayout& layout,
                               const ScaledGram& g, DoubleDouble* products, DoubleDouble* sums) {
    shift(moments, layout, g, products, sums);
}
const bool kFma = cpu_level() != CpuLevel::base;
#endif

}  // namespace

bool ScaledGram::is_constant(int j) const noexcept {
    const std::size_t k = static_cast<std::size_t>(j);
    const double limit = (j == p ? kConstant : kConstantFeature) * norm2[k];
    return !(at(j, j).value() > limit);
}

FitStatus build_gram(const double* moments, int p, bool centred, const StopSignal& stop,
                     ScaledGram& out) {
    const MomentLayout layout(p + 1);
    if (!moments_finite(moments, layout)) return FitStatus::not_finite;
    const std::size_t m = static_cast<std::size_t>(p) + 1;
    out.p = p;
    out.n = moments_count(moments);
    out.centred = centred;
    out.c.resize(m * (m + 1) / 2);
    out.mean.resize(m);
    out.spread.resize(m);
    out.norm2.resize(m);
    out.unit.resize(m);
    for (std::size_t j = 0; j < m; ++j) {
        // The rounded sum, not its high part, which depends on the order of the rows.
        const double square =
            load(moments, layout.slots(), layout.row(static_cast<int>(j) + 1)).value();
        int exponent = 0;
        if (square > 0) std::frexp(square / out.n, &exponent);
        // 2^-(exponent / 2): the exponent of the root mean square.
        out.unit[j] = std::ldexp(1.0, -(exponent >> 1));
        out.norm2[j] = square * out.unit[j] * out.unit[j];
    }
#if MANY_X86_DISPATCH
    if (kFma) return centre_fma(moments, layout, stop, out);
#endif
    return centre(moments, layout, stop, out);
}

double column_sum(const double* moments, int p, int j) noexcept {
    const MomentLayout layout(p + 1);
    return load(moments, layout.slots(), layout.slot(0, j + 1)).value();
}

double target_spread(const double* moments, int p) noexcept {
    const MomentLayout layout(p + 1);
    const std::size_t plane = layout.slots();
    const TripleDouble sum = load(moments, plane, layout.slot(0, p + 1));
    const TripleDouble square = load(moments, plane, layout.slot(p + 1, p + 1));
    const TripleDouble mean = sum / TripleDouble(moments_count(moments));
    const double spread = minus_product(square, sum, mean).value();
    return spread > kConstant * square.value() ? spread : 0.0;
}

void shifted_products(const double* moments, const ScaledGram& gram, DoubleDouble* products,
                      DoubleDouble* sums) {
    const MomentLayout layout(gram.p + 1);
#if MANY_X86_DISPATCH
    if (kFma) {
        shift_fma(moments, layout, gram, products, sums);
        return;
    }
#endif
    shift(moments, layout, gram, products, sums);
}

}  // namespace many::core
