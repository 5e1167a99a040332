#include "core/numeric/gram.h"

#include <bit>
#include <cmath>
#include <cstdint>

namespace many::core {
namespace {

// Relative to the uncentred sum of squares. One row of 1e8 that differs by one unit of the last
// place is 5e-40; the rounding of the sums is below 1e-42.
constexpr double kConstant = 1e-40;
// A feature whose spread is below this is collinear with the intercept (kCollinear squared).
constexpr double kConstantFeature = 1e-28;
constexpr int kPollColumns = 64;

static_assert(kRowPad == MomentLayout::kPad);

// Slots of a moments buffer, renormalised.
template <class T>
MANY_INLINE BasicTripleDouble<T> load(const double* moments, std::size_t plane, std::size_t slot) {
    const auto raw = BasicTripleDouble<T>::load(moments + slot, plane);
    return BasicTripleDouble<T>::of(raw.hi, raw.mid, raw.lo);
}

// The same number in parts that do not overlap, though not rounded from the first on: enough for
// what is subtracted from at once, at half of the cost.
template <class T>
MANY_INLINE BasicTripleDouble<T> disjoint(const BasicTripleDouble<T>& raw) {
    T error, low;
    const T high = detail::sum2(raw.hi, raw.mid, error);
    const T middle = detail::sum2(error, raw.lo, low);
    return {high, middle, low};
}

// Row j + 1 of the triangle of moments holds (j, j), (j, j + 1), ... of the columns, and lies as
// row j of the result does.
template <class T>
MANY_INLINE FitStatus centre(const double* moments, const MomentLayout& layout,
                             const StopSignal& stop, ScaledGram& g) {
    using Lanes = BasicTripleDouble<T>;
    const std::size_t plane = layout.slots();
    const std::size_t m = static_cast<std::size_t>(g.p) + 1;
    const double* unit = g.unit.data();
    double* mean = g.mean.data();
    const std::size_t mean_plane = g.mean.plane();
    const Lanes inverse_n = Lanes::all(TripleDouble(1.0) / TripleDouble(g.n));
    for (std::size_t j = 0; j < m; j += kLanes<T>) {
        const Lanes sum = scaled(load<T>(moments, plane, j + 1), load_lanes<T>(unit + j));
        (sum * inverse_n).store(mean + j, mean_plane);
    }
    double* c = g.c.data();
    const std::size_t c_plane = g.c.plane();
    T check{};  // 0 * x is NaN exactly when x is not finite, as sums that are not make their products
    const double* source = moments + layout.row(1);
    for (std::size_t j = 0, row = 0; j < m; row += round_up_to_lanes(m - j), ++j) {
        if (j % kPollColumns == 0) {
            if (const FitStatus s = stop.poll(); s != FitStatus::ok) return s;
        }
        const T unit_j = all_lanes<T>(unit[j]);
        const TripleDouble one_sum = scaled(load<double>(moments, plane, j + 1), unit[j]);
        const Lanes sum = Lanes::all(one_sum);
        for (std::size_t k = 0; k < m - j; k += kLanes<T>) {
            const Lanes raw = disjoint(Lanes::load(source + row + k, plane));
            const Lanes s = scaled(scaled(raw, unit_j), load_lanes<T>(unit + j + k));
            const Lanes value = g.centred
                                    ? minus_product(s, sum, Lanes::load(mean + j + k, mean_plane))
                                    : Lanes::of(s.hi, s.mid, s.lo);
            value.store(c + row + k, c_plane);
            check = check + 0.0 * value.hi;
        }
        g.square[j] = c[row];
        if (!g.centred) {
            const TripleDouble s = TripleDouble::load(c + row, c_plane);
            g.centred_square.set(j, minus_product(s, one_sum, g.mean[j]));
        }
    }
    double parts[kRowPad] = {};
    store_lanes(parts, check);
    const bool finite = (parts[0] + parts[1]) + (parts[2] + parts[3]) == 0.0;
    return finite ? FitStatus::ok : FitStatus::not_finite;
}

template <class T>
MANY_INLINE void shift(const double* moments, const MomentLayout& layout, const ScaledGram& g,
                       SymmetricPlanes<DoubleDouble>& products, VectorPlanes<DoubleDouble>& sums) {
    using Lanes = BasicTripleDouble<T>;
    const std::size_t plane = layout.slots();
    const std::size_t m = static_cast<std::size_t>(g.p) + 1;
    const double* unit = g.unit.data();
    const double* mean = g.mean.data();
    const std::size_t mean_plane = g.mean.plane();
    const TripleDouble n = moments[0];
    const double* source = moments + layout.row(1);
    for (std::size_t j = 0, row = 0; j < m; row += round_up_to_lanes(m - j), ++j) {
        const TripleDouble a_j = g.centred ? g.mean[j] : TripleDouble();
        const TripleDouble sum_j = scaled(load<double>(moments, plane, j + 1), unit[j]);
        const TripleDouble shifted_j = minus_product(sum_j, n, a_j);
        sums.set(j, narrow(shifted_j));
        const T unit_j = all_lanes<T>(unit[j]);
        const Lanes all_a_j = Lanes::all(a_j), all_shifted_j = Lanes::all(shifted_j);
        for (std::size_t k = 0; k < m - j; k += kLanes<T>) {
            const std::size_t i = j + k;
            const T unit_i = load_lanes<T>(unit + i);
            Lanes s = scaled(scaled(load<T>(source, plane, row + k), unit_j), unit_i);
            if (g.centred) {
                const Lanes sum_i = scaled(load<T>(moments, plane, i + 1), unit_i);
                s = minus_product(s, sum_i, all_a_j);  // sum z_i (z_j - a_j)
                s = minus_product(s, Lanes::load(mean + i, mean_plane), all_shifted_j);
            }
            narrow(s).store(products.data() + row + k, products.plane());
        }
    }
}

// e'Pe with e = (-b, 1), halved: row by row, four partial sums, whatever the width of T.
template <class T, class W>
MANY_INLINE W quadratic(const SymmetricPlanes<W>& products, double* e, std::size_t m) {
    using Lanes = typename W::template With<T>;
    constexpr std::size_t kSums = kRowPad / kLanes<T>;
    const std::size_t plane = products.plane();
    Lanes total[kSums];
    const double* row = products.data();
    for (std::size_t i = 0; i < m; row += round_up_to_lanes(m - i), ++i) {
        const double e_i = e[i];
        e[i] = 0.5 * e_i;  // the diagonal counts once; no later row needs it
        Lanes line[kSums];
        for (std::size_t k = 0; k < m - i; k += kRowPad) {
            for (std::size_t s = 0; s < kSums; ++s) {
                const std::size_t at = k + s * kLanes<T>;
                line[s] = minus_product(line[s], Lanes::load(row + at, plane),
                                        Lanes(-load_lanes<T>(e + i + at)));
            }
        }
        for (std::size_t s = 0; s < kSums; ++s) {
            total[s] = minus_product(total[s], line[s], Lanes(all_lanes<T>(-e_i)));
        }
    }
    double parts[W::kParts * kRowPad];
    for (std::size_t s = 0; s < kSums; ++s) total[s].store(parts + s * kLanes<T>, kRowPad);
    return (W::load(parts, kRowPad) + W::load(parts + 1, kRowPad)) +
           (W::load(parts + 2, kRowPad) + W::load(parts + 3, kRowPad));
}

#if MANY_X86_DISPATCH
MANY_TARGET_FMA FitStatus centre_fma(const double* moments, const MomentLayout& layout,
                                     const StopSignal& stop, ScaledGram& g) {
    return centre<Lanes4>(moments, layout, stop, g);
}
MANY_TARGET_FMA void shift_fma(const double* moments, const MomentLayout& layout,
                               const ScaledGram& g, SymmetricPlanes<DoubleDouble>& products,
                               VectorPlanes<DoubleDouble>& sums) {
    shift<Lanes4>(moments, layout, g, products, sums);
}
template <class W>
MANY_TARGET_FMA W quadratic_fma(const SymmetricPlanes<W>& products, double* e, std::size_t m) {
    return quadratic<Lanes4>(products, e, m);
}
const bool kFma = cpu_level() != CpuLevel::base;
#endif

template <class W>
W residual_square_of(const SymmetricPlanes<W>& products, const double* b, std::vector<double>& e) {
    const std::size_t m = static_cast<std::size_t>(products.columns());
    e.assign(m + kRowPad, 0.0);
    for (std::size_t j = 0; j + 1 < m; ++j) e[j] = -b[j];
    e[m - 1] = 1;
    W half;
#if MANY_X86_DISPATCH
    if (kFma) {
        half = quadratic_fma(products, e.data(), m);
    } else
#endif
    {
        half = quadratic<double>(products, e.data(), m);
    }
    return scaled(half, 2.0);
}

// 2^-(exponent / 2) of a mean square: brings the root mean square near 1.
double unit_of(double mean_square) noexcept {
    if (!(mean_square > 0)) return 1;
    int exponent = static_cast<int>(std::bit_cast<std::uint64_t>(mean_square) >> 52) - 1022;
    if (exponent == -1022) std::frexp(mean_square, &exponent);  // subnormal
    return std::bit_cast<double>(static_cast<std::uint64_t>(1023 - (exponent >> 1)) << 52);
}

}  // namespace

bool ScaledGram::is_constant(int j) const noexcept {
    const std::size_t k = static_cast<std::size_t>(j);
    const double limit = (j == p ? kConstant : kConstantFeature) * norm2[k];
    return !(square[k] > limit);
}

TripleDouble ScaledGram::target_spread() const noexcept {
    const std::size_t k = static_cast<std::size_t>(p);
    const TripleDouble s = centred ? at(p, p) : centred_square[k];
    return s.value() > kConstant * norm2[k] ? s : TripleDouble();
}

FitStatus build_gram(const double* moments, int p, bool centred, const StopSignal& stop,
                     ScaledGram& out) {
    const MomentLayout layout(p + 1);
    const std::size_t m = static_cast<std::size_t>(p) + 1;
    out.p = p;
    out.n = moments_count(moments);
    out.centred = centred;
    out.c.resize(p + 1);
    out.mean.resize(m);
    if (!centred) out.centred_square.resize(m);
    out.square.resize(m);
    out.norm2.resize(m);
    out.norm.resize(m);
    out.unit.assign(m + kRowPad, 1.0);
    const double* diagonal = moments + layout.row(1);
    for (std::size_t j = 0; j < m; diagonal += round_up_to_lanes(m - j), ++j) {
        // The rounded sum, not its high part, which depends on the order of the rows.
        const std::size_t plane = layout.slots();
        const double square = diagonal[0] + (diagonal[plane] + diagonal[2 * plane]);
        out.unit[j] = unit_of(square / out.n);
        out.norm2[j] = square * out.unit[j] * out.unit[j];
        out.norm[j] = std::sqrt(out.norm2[j]);
    }
#if MANY_X86_DISPATCH
    if (kFma) return centre_fma(moments, layout, stop, out);
#endif
    return centre<double>(moments, layout, stop, out);
}

DoubleDouble residual_square(const SymmetricPlanes<DoubleDouble>& products, const double* b,
                             std::vector<double>& scratch) {
    return residual_square_of(products, b, scratch);
}

TripleDouble residual_square(const SymmetricPlanes<TripleDouble>& products, const double* b,
                             std::vector<double>& scratch) {
    return residual_square_of(products, b, scratch);
}

double column_sum(const double* moments, int p, int j) noexcept {
    const MomentLayout layout(p + 1);
    return load<double>(moments, layout.slots(), layout.slot(0, j + 1)).value();
}

double target_spread(const double* moments, int p) noexcept {
    const MomentLayout layout(p + 1);
    const std::size_t plane = layout.slots();
    const TripleDouble sum = load<double>(moments, plane, layout.slot(0, p + 1));
    const TripleDouble square = load<double>(moments, plane, layout.slot(p + 1, p + 1));
    const TripleDouble mean = sum / TripleDouble(moments_count(moments));
    const double spread = minus_product(square, sum, mean).value();
    return spread > kConstant * square.value() ? spread : 0.0;
}

void shifted_products(const double* moments, const ScaledGram& gram,
                      SymmetricPlanes<DoubleDouble>& products, VectorPlanes<DoubleDouble>& sums) {
    const MomentLayout layout(gram.p + 1);
    products.resize(gram.p + 1);
    sums.resize(static_cast<std::size_t>(gram.p) + 1);
#if MANY_X86_DISPATCH
    if (kFma) {
        shift_fma(moments, layout, gram, products, sums);
        return;
    }
#endif
    shift<double>(moments, layout, gram, products, sums);
}

}  // namespace many::core
