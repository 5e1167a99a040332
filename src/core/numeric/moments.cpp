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

template <class V>
MANY_INLINE void two_sum(const V& a, const V& b, V& sum, V& error) {  // Knuth
    const V s = a + b;
    const V z = s - a;
    error = (a - (s - z)) + (b - z);
    sum = s;
}

template <class V>
MANY_INLINE void product_error(const V& a, const V& b, const V& product, V& error) {
    for (unsigned k = 0; k < sizeof(V) / sizeof(double); ++k) {
        error[k] = __builtin_fma(a[k], b[k], -product[k]);
    }
}

// One more pair (value, error) into the cascade s0 + s1 + s2.
template <class V>
MANY_INLINE void cascade(V& s0, V& s1, V& s2, const V& value, const V& error) {
    V r, t, u, v;
    two_sum(s0, value, s0, r);
    two_sum(r, error, t, u);
    two_sum(s1, t, s1, v);
    s2 += u + v;
}

// Slots of row i, columns j0 .. j0 + W - 1: the three planes start at high, high + plane, ...
template <int W>
MANY_INLINE void add_strip(const double* z, std::size_t width, std::size_t n, int i, int j0,
                           double* high, std::size_t plane) {
    using V = typename VectorOf<W>::Type;
    using Stored = typename VectorOf<W>::Stored;
    V s0 = *reinterpret_cast<const Stored*>(high);
    V s1 = *reinterpret_cast<const Stored*>(high + plane);
    V s2 = *reinterpret_cast<const Stored*>(high + 2 * plane);
    if (i == 0) {  // products with 1 are exact
        for (std::size_t r = 0; r < n; ++r, z += width) {
            const V b = *reinterpret_cast<const Stored*>(z + j0);
            V e, v;
            two_sum(s0, b, s0, e);
            two_sum(s1, e, s1, v);
            s2 += v;
        }
    } else {
        for (std::size_t r = 0; r < n; ++r, z += width) {
            const V a = z[i] - V{};  // broadcast
            const V b = *reinterpret_cast<const Stored*>(z + j0);
            const V p = a * b;
            V e;
            product_error(a, b, p, e);
            cascade(s0, s1, s2, p, e);
        }
    }
    *reinterpret_cast<Stored*>(high) = s0;
    *reinterpret_cast<Stored*>(high + plane) = s1;
    *reinterpret_cast<Stored*>(high + 2 * plane) = s2;
}

template <int W>
MANY_INLINE void add_block(const double* z, std::size_t width, std::size_t n, int q,
                           double* moments, std::size_t plane) {
    double* high = moments;
    for (int i = 0; i < q; ++i) {
        int j = i;
        if constexpr (W == kVector) {
            for (; q - j > MomentLayout::kPad; j += W, high += W) {
                add_strip<W>(z, width, n, i, j, high, plane);
            }
        }
        for (; j < q; j += MomentLayout::kPad, high += MomentLayout::kPad) {
            add_strip<MomentLayout::kPad>(z, width, n, i, j, high, plane);
        }
    }
}

using BlockFunction = void (*)(const double*, std::size_t, std::size_t, int, double*, std::size_t);

void add_block_base(const double* z, std::size_t width, std::size_t n, int q, double* moments,
                    std::size_t plane) {
    add_block<MomentLayout::kPad>(z, width, n, q, moments, plane);
}

#if MANY_X86_DISPATCH
MANY_TARGET_FMA void add_block_fma(const double* z, std::size_t width, std::size_t n, int q,
                                   double* moments, std::size_t plane) {
    add_block<MomentLayout::kPad>(z, width, n, q, moments, plane);
}

MANY_TARGET_AVX512 void add_block_avx512(const double* z, std::size_t width, std::size_t n, int q,
                                         double* moments, std::size_t plane) {
    add_block<kVector>(z, width, n, q, moments, plane);
}
#endif

BlockFunction best_block_function() noexcept {
#if MANY_X86_DISPATCH
    switch (cpu_level()) {
        case CpuLevel::avx512:
            return add_block_avx512;
        case CpuLevel::fma:
            return add_block_fma;
        case CpuLevel::base:
            break;
    }
#endif
    return add_block_base;
}

const BlockFunction kAddBlock = best_block_function();

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

// row_at(r): the first of layout.columns() doubles of row r.
template <class RowAt>
MANY_INLINE void add_rows(double* moments, const MomentLayout& layout, std::size_t n,
                          RowAt row_at) noexcept {
    const int q = layout.q();
    const std::size_t d = static_cast<std::size_t>(layout.columns());
    // A strip that starts at the last column reads kVector doubles.
    const std::size_t width = (static_cast<std::size_t>(q) + 2 * kVector - 2) / kVector * kVector;
    alignas(64) double scratch[kScratch];
    const std::size_t block = std::clamp<std::size_t>(kScratch / width, 1, kBlockRows);
    std::memset(scratch, 0, std::min(block, n) * width * sizeof(double));
    for (std::size_t first = 0; first < n; first += block) {
        const std::size_t m = std::min(block, n - first);
        for (std::size_t r = 0; r < m; ++r) {
            double* z = scratch + r * width;
            const double* row = row_at(first + r);
            z[0] = 1.0;
            for (std::size_t c = 0; c < d; ++c) z[c + 1] = row[c];
        }
        kAddBlock(scratch, width, m, q, moments, layout.slots());
    }
}

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
    add_rows(moments, layout, n, [=](std::size_t r) { return rows + r * stride; });
}

void moments_gather_rows(double* moments, const MomentLayout& layout, const double* const* rows,
                         std::size_t n) noexcept {
    add_rows(moments, layout, n, [=](std::size_t r) { return rows[r]; });
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
