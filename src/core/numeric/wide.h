// Double-double and triple-double numbers: unevaluated sums of two or three doubles, about 104 and
// 155 significant bits.
//
// Sources: Dekker 1971; Knuth, TAOCP 2, 4.2.2; Hida, Li & Bailey 2001; Fabiano, Muller & Picot
// 2019. Errors are a few units of the last bit relative to the largest operand of a sum (not to
// the sum, when it cancels), which is what backward stable algorithms need. No branches, no
// allocation, FMA only where written: the same bits on every CPU. Not for infinities: they turn
// into NaN. Everything is always_inline, see target.h.
//
// The parts are of type T: a double, or the lanes of a vector register (lanes.h), each lane then a
// number of its own, with the bits that the scalar would have. Arrays of such numbers are kept in
// planes: all high parts, then all parts of the second order, ...
#pragma once

#include <cmath>
#include <cstddef>

#include "core/numeric/lanes.h"
#include "core/numeric/target.h"

namespace many::core {

namespace detail {

// s + e = a + b exactly.
template <class T>
MANY_INLINE T sum2(const T& a, const T& b, T& e) noexcept {
    const T s = a + b;
    const T z = s - a;
    e = (a - (s - z)) + (b - z);
    return s;
}

// As sum2, for |a| >= |b| (or a = 0).
template <class T>
MANY_INLINE T fast_sum2(const T& a, const T& b, T& e) noexcept {
    const T s = a + b;
    e = b - (s - a);
    return s;
}

// p + e = a b exactly, barring underflow.
template <class T>
MANY_INLINE T product2(const T& a, const T& b, T& e) noexcept {
    const T p = a * b;
    fused(a, b, -p, e);
    return p;
}

}  // namespace detail

template <class T>
struct BasicDoubleDouble {
    static constexpr std::size_t kParts = 2;
    template <class V>
    using With = BasicDoubleDouble<V>;

    T hi{}, lo{};

    BasicDoubleDouble() = default;
    MANY_INLINE constexpr BasicDoubleDouble(const T& a) noexcept : hi(a), lo{} {}
    MANY_INLINE constexpr BasicDoubleDouble(const T& a, const T& b) noexcept : hi(a), lo(b) {}
    [[nodiscard]] MANY_INLINE T value() const noexcept { return hi; }

    [[nodiscard]] static MANY_INLINE BasicDoubleDouble load(const double* at,
                                                            std::size_t plane) noexcept {
        return {load_lanes<T>(at), load_lanes<T>(at + plane)};
    }
    MANY_INLINE void store(double* at, std::size_t plane) const noexcept {
        store_lanes(at, hi);
        store_lanes(at + plane, lo);
    }
    // The same number in all lanes.
    [[nodiscard]] static MANY_INLINE BasicDoubleDouble
    all(const BasicDoubleDouble<double>& a) noexcept {
        return {all_lanes<T>(a.hi), all_lanes<T>(a.lo)};
    }

    friend MANY_INLINE BasicDoubleDouble operator-(const BasicDoubleDouble& a) noexcept {
        return {-a.hi, -a.lo};
    }
    friend MANY_INLINE BasicDoubleDouble operator+(const BasicDoubleDouble& a,
                                                   const BasicDoubleDouble& b) noexcept {
        T e, f;
        const T s = detail::sum2(a.hi, b.hi, e);
        const T t = detail::sum2(a.lo, b.lo, f);
        e += t;
        T e2;
        const T s2 = detail::fast_sum2(s, e, e2);
        T lo;
        const T hi = detail::fast_sum2<T>(s2, e2 + f, lo);
        return {hi, lo};
    }
    friend MANY_INLINE BasicDoubleDouble operator-(const BasicDoubleDouble& a,
                                                   const BasicDoubleDouble& b) noexcept {
        return a + (-b);
    }
    friend MANY_INLINE BasicDoubleDouble operator*(const BasicDoubleDouble& a,
                                                   const BasicDoubleDouble& b) noexcept {
        T e;
        const T p = detail::product2(a.hi, b.hi, e);
        e += a.hi * b.lo + a.lo * b.hi;
        T lo;
        const T hi = detail::fast_sum2(p, e, lo);
        return {hi, lo};
    }
    // a - b c, with one renormalisation less than written out: the inner step of every solver here.
    friend MANY_INLINE BasicDoubleDouble minus_product(const BasicDoubleDouble& a,
                                                       const BasicDoubleDouble& b,
                                                       const BasicDoubleDouble& c) noexcept {
        T e, f;
        const T p = detail::product2(b.hi, c.hi, e);
        const T s = detail::sum2<T>(a.hi, -p, f);
        f += (a.lo - e) - (b.hi * c.lo + b.lo * c.hi);
        T lo;
        const T hi = detail::fast_sum2(s, f, lo);
        return {hi, lo};
    }
    friend MANY_INLINE BasicDoubleDouble operator/(const BasicDoubleDouble& a,
                                                   const BasicDoubleDouble& b) noexcept {
        const T q0 = a.hi / b.hi;
        const BasicDoubleDouble r = minus_product(a, b, q0);
        const T q1 = r.hi / b.hi;
        const T q2 = minus_product(r, b, q1).hi / b.hi;
        T e, lo;
        const T s = detail::fast_sum2(q0, q1, e);
        const T hi = detail::fast_sum2<T>(s, e + q2, lo);
        return {hi, lo};
    }
    // 1 / a with one division: q / (1 - r) = q (1 + r + r^2 + ..) where r = 1 - q a.
    friend MANY_INLINE BasicDoubleDouble reciprocal(const BasicDoubleDouble& a) noexcept {
        const T q = all_lanes<T>(1.0) / a.hi;
        T r;
        fused(-q, a.hi, all_lanes<T>(1.0), r);  // exact: the remainder of a rounded quotient
        fused(-q, a.lo, r, r);
        fused(r, r, r, r);
        T lo;
        const T hi = detail::fast_sum2<T>(q, q * r, lo);
        return {hi, lo};
    }
    // 0 for arguments <= 0 (rounding errors of what is a sum of squares).
    friend MANY_INLINE BasicDoubleDouble square_root(const BasicDoubleDouble& a) noexcept {
        const T one = all_lanes<T>(1.0), none{};
        const auto positive = a.hi > none;
        T x;
        root(positive ? a.hi : one, x);
        const T r = minus_product(a, x, x).hi;
        T lo;
        const T hi = detail::fast_sum2<T>(x, r / (2.0 * x), lo);
        return {positive ? hi : none, positive ? lo : none};
    }
};

template <class T>
struct BasicTripleDouble {
    static constexpr std::size_t kParts = 3;
    template <class V>
    using With = BasicTripleDouble<V>;

    T hi{}, mid{}, lo{};

    BasicTripleDouble() = default;
    MANY_INLINE constexpr BasicTripleDouble(const T& a) noexcept : hi(a), mid{}, lo{} {}
    MANY_INLINE constexpr BasicTripleDouble(const T& a, const T& b, const T& c) noexcept
        : hi(a), mid(b), lo(c) {}
    [[nodiscard]] MANY_INLINE T value() const noexcept { return hi; }
    // The sum of any three doubles, exactly, renormalised: |mid| <= ulp(hi), and |lo| is below the
    // last bit of what was added to hi.
    [[nodiscard]] static MANY_INLINE BasicTripleDouble of(const T& a, const T& b,
                                                          const T& c) noexcept {
        T e1, e2, low;
        const T h = detail::sum2(a, b, e1);
        const T m = detail::sum2(e1, c, low);
        const T hi = detail::sum2(h, m, e2);
        return {hi, e2, low};
    }

    [[nodiscard]] static MANY_INLINE BasicTripleDouble load(const double* at,
                                                            std::size_t plane) noexcept {
        return {load_lanes<T>(at), load_lanes<T>(at + plane), load_lanes<T>(at + 2 * plane)};
    }
    MANY_INLINE void store(double* at, std::size_t plane) const noexcept {
        store_lanes(at, hi);
        store_lanes(at + plane, mid);
        store_lanes(at + 2 * plane, lo);
    }
    [[nodiscard]] static MANY_INLINE BasicTripleDouble
    all(const BasicTripleDouble<double>& a) noexcept {
        return {all_lanes<T>(a.hi), all_lanes<T>(a.mid), all_lanes<T>(a.lo)};
    }

    friend MANY_INLINE BasicTripleDouble operator-(const BasicTripleDouble& a) noexcept {
        return {-a.hi, -a.mid, -a.lo};
    }
    friend MANY_INLINE BasicTripleDouble operator+(const BasicTripleDouble& a,
                                                   const BasicTripleDouble& b) noexcept {
        T e0, e1, e2;
        const T s0 = detail::sum2(a.hi, b.hi, e0);
        const T t = detail::sum2(a.mid, b.mid, e1);
        const T s1 = detail::sum2(t, e0, e2);
        return of(s0, s1, (a.lo + b.lo) + (e1 + e2));
    }
    friend MANY_INLINE BasicTripleDouble operator-(const BasicTripleDouble& a,
                                                   const BasicTripleDouble& b) noexcept {
        return a + (-b);
    }
    friend MANY_INLINE BasicTripleDouble operator*(const BasicTripleDouble& a,
                                                   const BasicTripleDouble& b) noexcept {
        T e00, e01, e10, u, v;
        const T p00 = detail::product2(a.hi, b.hi, e00);
        const T p01 = detail::product2(a.hi, b.mid, e01);
        const T p10 = detail::product2(a.mid, b.hi, e10);
        const T t = detail::sum2(p01, p10, u);
        const T s1 = detail::sum2(e00, t, v);
        const T third = (a.hi * b.lo + a.lo * b.hi) + a.mid * b.mid + (e01 + e10) + (u + v);
        return of(p00, s1, third);
    }
    friend MANY_INLINE BasicTripleDouble minus_product(const BasicTripleDouble& a,
                                                       const BasicTripleDouble& b,
                                                       const BasicTripleDouble& c) noexcept {
        T e00, e01, e10, u, v, w, x;
        const T p00 = detail::product2(b.hi, c.hi, e00);
        const T p01 = detail::product2(b.hi, c.mid, e01);
        const T p10 = detail::product2(b.mid, c.hi, e10);
        const T third = (b.hi * c.lo + b.lo * c.hi) + b.mid * c.mid + (e01 + e10);
        const T t = detail::sum2(p01, p10, u);
        const T m = detail::sum2(e00, t, v);
        const T s0 = detail::sum2<T>(a.hi, -p00, w);
        const T n = detail::sum2<T>(a.mid, -m, x);
        T y;
        const T s1 = detail::sum2(n, w, y);
        return of(s0, s1, (a.lo - third) + ((x + y) - (u + v)));
    }
    friend MANY_INLINE BasicTripleDouble operator/(const BasicTripleDouble& a,
                                                   const BasicTripleDouble& b) noexcept {
        const T q0 = a.hi / b.hi;
        BasicTripleDouble r = minus_product(a, b, q0);
        const T q1 = r.hi / b.hi;
        r = minus_product(r, b, q1);
        const T q2 = r.hi / b.hi;
        r = minus_product(r, b, q2);
        return of(q0, q1, q2) + BasicTripleDouble(r.hi / b.hi);
    }
    friend MANY_INLINE BasicTripleDouble reciprocal(const BasicTripleDouble& a) noexcept {
        return BasicTripleDouble(all_lanes<T>(1.0)) / a;
    }
    friend MANY_INLINE BasicTripleDouble square_root(const BasicTripleDouble& a) noexcept {
        const T one = all_lanes<T>(1.0), none{};
        const auto positive = a.hi > none;
        T x;
        root(positive ? a.hi : one, x);
        const T twice = 2.0 * x;
        const T first = minus_product(a, x, x).hi / twice;
        const BasicTripleDouble y = of(x, first, none);
        const T second = minus_product(a, y, y).hi / twice;
        const BasicTripleDouble z = y + BasicTripleDouble(second);
        const BasicTripleDouble s = z + BasicTripleDouble(minus_product(a, z, z).hi / twice);
        return {positive ? s.hi : none, positive ? s.mid : none, positive ? s.lo : none};
    }
};

using DoubleDouble = BasicDoubleDouble<double>;
using TripleDouble = BasicTripleDouble<double>;

// Exact for powers of two.
template <class T>
MANY_INLINE BasicDoubleDouble<T> scaled(const BasicDoubleDouble<T>& a, const T& power) noexcept {
    return {a.hi * power, a.lo * power};
}
template <class T>
MANY_INLINE BasicTripleDouble<T> scaled(const BasicTripleDouble<T>& a, const T& power) noexcept {
    return {a.hi * power, a.mid * power, a.lo * power};
}

// Rounds.
template <class T>
MANY_INLINE BasicDoubleDouble<T> narrow(const BasicTripleDouble<T>& a) noexcept {
    T e;
    const T s = detail::fast_sum2<T>(a.hi, a.mid + a.lo, e);
    return {s, e};
}

// See lanes.h.
template <class T>
MANY_INLINE BasicDoubleDouble<T> replace_column(const BasicDoubleDouble<T>& a, std::size_t c,
                                                std::size_t n,
                                                const BasicDoubleDouble<T>& value) noexcept {
    return {replace_column(a.hi, c, n, value.hi), replace_column(a.lo, c, n, value.lo)};
}
template <class T>
MANY_INLINE BasicTripleDouble<T> replace_column(const BasicTripleDouble<T>& a, std::size_t c,
                                                std::size_t n,
                                                const BasicTripleDouble<T>& value) noexcept {
    return {replace_column(a.hi, c, n, value.hi), replace_column(a.mid, c, n, value.mid),
            replace_column(a.lo, c, n, value.lo)};
}

template <class W, class T>
MANY_INLINE W from_triple(const BasicTripleDouble<T>& a) noexcept {
    if constexpr (W::kParts == 2) {
        return narrow(a);
    } else {
        return a;
    }
}

}  // namespace many::core
