// The accumulation kernel: strips of the triangle, three accumulators each, held in registers over
// a block of rows.
//
// A block of rows is laid out as z = (1, x_1, .., x_p, y, 0, ..), so that strip (i; j .. j + W - 1)
// multiplies the broadcast z_i with W consecutive values; what stands in the padding adds zeros.
// The bits do not depend on W or on the size of a block: every slot sees its rows one by one.
#include "core/numeric/moments.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "core/numeric/lanes.h"
#include "core/numeric/target.h"

namespace many::core {
namespace {

constexpr int kVector = 8;      // widest vector, in doubles
constexpr int kScratch = 4096;  // doubles of a block: within the first-level cache
constexpr std::size_t kBlockRows = 32;

template <int W>
struct VectorOf {
    typedef double Type __attribute__((vector_size(W * sizeof(double))));
    // As it may stand in memory: aligned as a double.
    typedef double Stored
        __attribute__((vector_size(W * sizeof(double)), aligned(sizeof(double)), may_alias));
};

// a b + c, rounded once.
template <class V>
MANY_INLINE void fused(const V& a, const V& b, const V& c, V& out) {
    V r;
    for (unsigned k = 0; k < sizeof(V) / sizeof(double); ++k)
        r[k] = __builtin_fma(a[k], b[k], c[k]);
    out = r;
}

// What a level of the CPU has: the doubles of its vectors, and whether it multiplies and adds in one
// instruction. Such CPUs have units for that beside those that only add, and the cascade is
// nothing but sums: half of them are written as 1 * a + b, which gives the same bits and keeps both
// kinds of units busy. The compiler must not know that it is a 1, or it writes a sum again.
template <CpuLevel level>
struct Unit {
    static constexpr bool kFused = level != CpuLevel::base;
    static constexpr int kWidth = level == CpuLevel::avx512 ? kVector : MomentLayout::kPad;
};
const volatile double kOne = 1.0;

template <class V>
struct Ones {
    V plus, minus;
};

template <class V>
MANY_INLINE void two_sum(const V& a, const V& b, V& sum, V& error) {  // Knuth
    const V s = a + b;
    const V z = s - a;
    error = (a - (s - z)) + (b - z);
    sum = s;
}

template <bool is_fused, class V>
MANY_INLINE void two_sum(const V& a, const V& b, const Ones<V>& one, V& sum, V& error) {
    if constexpr (is_fused) {
        const V s = a + b;
        const V z = s - a;
        V rest_a, rest_b;
        fused(one.minus, z, s, rest_a);
        fused(one.minus, z, b, rest_b);
        const V error_a = a - rest_a;
        fused(one.plus, rest_b, error_a, error);
        sum = s;
    } else {
        two_sum(a, b, sum, error);
    }
}

// One more pair (value, error) into the cascade s0 + s1 + s2.
template <bool is_fused, class V>
MANY_INLINE void cascade(V& s0, V& s1, V& s2, const V& value, const V& error, const Ones<V>& one) {
    V r, t, u, v;
    two_sum<is_fused>(s0, value, one, s0, r);
    two_sum<is_fused>(r, error, one, t, u);
    two_sum<is_fused>(s1, t, one, s1, v);
    s2 += u + v;
}

// Slots of row i, columns j0 .. j0 + W - 1: the three planes start at high, high + plane, ...
template <int W, bool is_fused>
MANY_INLINE void add_strip(const double* z, std::size_t width, std::size_t n, int i, int j0,
                           double* high, std::size_t plane) {
    using V = typename VectorOf<W>::Type;
    using Stored = typename VectorOf<W>::Stored;
    const double unit = kOne;
    const Ones<V> one = {unit - V{}, -unit - V{}};
    V s0 = *reinterpret_cast<const Stored*>(high);
    V s1 = *reinterpret_cast<const Stored*>(high + plane);
    V s2 = *reinterpret_cast<const Stored*>(high + 2 * plane);
    if (i == 0) {  // products with 1 are exact
        for (std::size_t r = 0; r < n; ++r, z += width) {
            const V b = *reinterpret_cast<const Stored*>(z + j0);
            V e, v;
            two_sum<is_fused>(s0, b, one, s0, e);
            two_sum<is_fused>(s1, e, one, s1, v);
            s2 += v;
        }
    } else {
        for (std::size_t r = 0; r < n; ++r, z += width) {
            const V a = z[i] - V{};  // broadcast
            const V b = *reinterpret_cast<const Stored*>(z + j0);
            const V p = a * b;
            V e;
            fused(a, b, -p, e);
            cascade<is_fused>(s0, s1, s2, p, e, one);
        }
    }
    *reinterpret_cast<Stored*>(high) = s0;
    *reinterpret_cast<Stored*>(high + plane) = s1;
    *reinterpret_cast<Stored*>(high + 2 * plane) = s2;
}

// Rows as z, `width` doubles each, zeros behind the last column. z: room for one vector more.
void pack_rows(const double* const* rows, std::size_t n, std::size_t d, double* z,
               std::size_t width) {
    for (std::size_t r = 0; r < n; ++r, z += width) {
        z[0] = 1.0;
        for (std::size_t c = 0; c < d; ++c) z[c + 1] = rows[r][c];
        for (std::size_t c = d + 1; c < width; ++c) z[c] = 0.0;
    }
}

#if MANY_X86_DISPATCH
MANY_TARGET_AVX512 void pack_rows_avx512(const double* const* rows, std::size_t n, std::size_t d,
                                         double* z, std::size_t width) {
    for (std::size_t r = 0; r < n; ++r, z += width) {
        for (std::size_t c = 0; c < width; c += kVector) {
            const std::size_t left = d > c ? d - c : 0;
            const auto mask = static_cast<__mmask8>(left >= kVector ? 0xffU : (1U << left) - 1);
            _mm512_storeu_pd(z + 1 + c, _mm512_maskz_loadu_pd(mask, rows[r] + c));
        }
        z[0] = 1.0;
    }
}
#endif

using PackFunction = void (*)(const double* const*, std::size_t, std::size_t, double*, std::size_t);

template <CpuLevel level, PackFunction pack>
MANY_INLINE void add_rows(double* moments, const MomentLayout& layout, const double* const* rows,
                          std::size_t n) {
    constexpr int W = Unit<level>::kWidth;
    constexpr bool is_fused = Unit<level>::kFused;
    const int q = layout.q();
    const std::size_t plane = layout.slots();
    // A strip that starts at the last column reads W doubles.
    const std::size_t width =
        (static_cast<std::size_t>(q + W - 1) + kVector - 1) / kVector * kVector;
    const std::size_t block = std::clamp<std::size_t>(kScratch / width, 1, kBlockRows);
    alignas(64) double z[kScratch + kVector];
    for (std::size_t first = 0; first < n; first += block) {
        const std::size_t m = std::min(block, n - first);
        pack(rows + first, m, static_cast<std::size_t>(q) - 1, z, width);
        double* high = moments;
        for (int i = 0; i < q; ++i) {
            int j = i;
            if constexpr (W == kVector) {
                for (; q - j > MomentLayout::kPad; j += W, high += W)
                    add_strip<W, is_fused>(z, width, m, i, j, high, plane);
            }
            for (; j < q; j += MomentLayout::kPad, high += MomentLayout::kPad)
                add_strip<MomentLayout::kPad, is_fused>(z, width, m, i, j, high, plane);
        }
    }
}

using AddFunction = void (*)(double*, const MomentLayout&, const double* const*, std::size_t);

void add_rows_base(double* moments, const MomentLayout& layout, const double* const* rows,
                   std::size_t n) {
    add_rows<CpuLevel::base, pack_rows>(moments, layout, rows, n);
}

#if MANY_X86_DISPATCH
MANY_TARGET_FMA void add_rows_fma(double* moments, const MomentLayout& layout,
                                  const double* const* rows, std::size_t n) {
    add_rows<CpuLevel::fma, pack_rows>(moments, layout, rows, n);
}

MANY_TARGET_AVX512 void add_rows_avx512(double* moments, const MomentLayout& layout,
                                        const double* const* rows, std::size_t n) {
    add_rows<CpuLevel::avx512, pack_rows_avx512>(moments, layout, rows, n);
}
#endif

AddFunction best_add_function() noexcept {
#if MANY_X86_DISPATCH
    switch (cpu_level()) {
        case CpuLevel::avx512:
            return add_rows_avx512;
        case CpuLevel::fma:
            return add_rows_fma;
        case CpuLevel::base:
            break;
    }
#endif
    return add_rows_base;
}

const AddFunction kAddRows = best_add_function();

// 0 * x is NaN exactly when x is not finite. n: a multiple of kPad.
template <class T>
MANY_INLINE bool all_finite(const double* x, std::size_t n) {
    T check[MomentLayout::kPad] = {};  // sums that do not wait for each other
    std::size_t k = 0;
    for (; k + MomentLayout::kPad * kLanes<T> <= n; k += MomentLayout::kPad * kLanes<T>) {
        for (std::size_t s = 0; s < MomentLayout::kPad; ++s) {
            check[s] = check[s] + 0.0 * load_lanes<T>(x + k + s * kLanes<T>);
        }
    }
    for (; k < n; k += kLanes<T>) check[0] = check[0] + 0.0 * load_lanes<T>(x + k);
    double parts[MomentLayout::kPad] = {};
    store_lanes(parts, T((check[0] + check[1]) + (check[2] + check[3])));
    return (parts[0] + parts[1]) + (parts[2] + parts[3]) == 0.0;
}

bool all_finite_base(const double* x, std::size_t n) {
    return all_finite<double>(x, n);
}
#if MANY_X86_DISPATCH
MANY_TARGET_FMA bool all_finite_fma(const double* x, std::size_t n) {
    return all_finite<Lanes4>(x, n);
}
bool (*const kFinite)(const double*, std::size_t) = cpu_level() != CpuLevel::base ? all_finite_fma
                                                                                  : all_finite_base;
#else
bool (*const kFinite)(const double*, std::size_t) = all_finite_base;
#endif

// into += sign * from, slot by slot, by the same cascade.
void combine(double* into, const double* from, const MomentLayout& layout, double sign) noexcept {
    const std::size_t plane = layout.slots();
    double* high = into;
    double* middle = into + plane;
    double* low = into + 2 * plane;
    for (std::size_t k = 0; k < plane; ++k) {
        double r, v, w;
        two_sum(high[k], sign * from[k], high[k], r);
        two_sum(middle[k], sign * from[plane + k], middle[k], v);
        two_sum(middle[k], r, middle[k], w);
        low[k] += sign * from[2 * plane + k] + (v + w);
    }
}

}  // namespace

void moments_clear(double* moments, const MomentLayout& layout) noexcept {
    std::memset(moments, 0, layout.bytes());
}

void moments_add_rows(double* moments, const MomentLayout& layout, const double* rows,
                      std::size_t n, std::size_t stride) noexcept {
    const double* starts[kBlockRows];
    for (std::size_t first = 0; first < n; first += kBlockRows) {
        const std::size_t m = std::min(kBlockRows, n - first);
        for (std::size_t r = 0; r < m; ++r) starts[r] = rows + (first + r) * stride;
        kAddRows(moments, layout, starts, m);
    }
}

void moments_gather_rows(double* moments, const MomentLayout& layout, const double* const* rows,
                         std::size_t n) noexcept {
    kAddRows(moments, layout, rows, n);
}

void moments_merge(double* into, const double* from, const MomentLayout& layout) noexcept {
    combine(into, from, layout, 1.0);
}

void moments_subtract(double* into, const double* from, const MomentLayout& layout) noexcept {
    combine(into, from, layout, -1.0);
}

bool moments_finite(const double* moments, const MomentLayout& layout) noexcept {
    return kFinite(moments, layout.doubles());
}

}  // namespace many::core
