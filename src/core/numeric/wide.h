// Double-double and triple-double scalars: unevaluated sums of two or three doubles, about 104 and
// 155 significant bits.
//
// Sources: Dekker 1971; Knuth, TAOCP 2, 4.2.2; Hida, Li & Bailey 2001; Fabiano, Muller & Picot
// 2019. Errors are a few units of the last bit relative to the largest operand of a sum (not to
// the sum, when it cancels), which is what backward stable algorithms need. No branches, no
// allocation, FMA only where written: the same bits on every CPU. Not for infinities: they turn
// into NaN. Everything is always_inline, see target.h.
#pragma once

#include <cmath>

#include "core/numeric/target.h"

namespace many::core {

namespace detail {

// s + e = a + b exactly.
MANY_INLINE double sum2(double a, double b, double& e) noexcept {
    const double s = a + b;
    const double z = s - a;
    e = (a - (s - z)) + (b - z);
    return s;
}

// As sum2, for |a| >= |b| (or a = 0).
MANY_INLINE double fast_sum2(double a, double b, double& e) noexcept {
    const double s = a + b;
    e = b - (s - a);
    return s;
}

// p + e = a b exactly, barring underflow.
MANY_INLINE double product2(double a, double b, double& e) noexcept {
    const double p = a * b;
    e = __builtin_fma(a, b, -p);
    return p;
}

}  // namespace detail

struct DoubleDouble {
    double hi = 0, lo = 0;

    DoubleDouble() = default;
    MANY_INLINE constexpr DoubleDouble(double a) noexcept : hi(a), lo(0) {}
    MANY_INLINE constexpr DoubleDouble(double a, double b) noexcept : hi(a), lo(b) {}
    [[nodiscard]] MANY_INLINE double value() const noexcept { return hi; }
};

struct TripleDouble {
    double hi = 0, mid = 0, lo = 0;

    TripleDouble() = default;
    MANY_INLINE constexpr TripleDouble(double a) noexcept : hi(a), mid(0), lo(0) {}
    MANY_INLINE constexpr TripleDouble(double a, double b, double c) noexcept
        : hi(a), mid(b), lo(c) {}
    [[nodiscard]] MANY_INLINE double value() const noexcept { return hi; }
    // The sum of any three doubles, renormalised: |mid| <= ulp(hi), |lo| <= ulp(mid).
    [[nodiscard]] static MANY_INLINE TripleDouble of(double a, double b, double c) noexcept {
        double e1, e2, e3;
        const double s = detail::sum2(b, c, e2);
        const double h = detail::sum2(a, s, e1);
        const double m = detail::sum2(e1, e2, e3);
        double l;
        const double hi = detail::fast_sum2(h, m, l);
        double low;
        const double mid = detail::sum2(l, e3, low);
        return {hi, mid, low};
    }
};

// Conversions between the two: `narrow` rounds, `widen` is exact.
MANY_INLINE DoubleDouble narrow(const TripleDouble& a) noexcept {
    double e;
    const double s = detail::fast_sum2(a.hi, a.mid + a.lo, e);
    return {s, e};
}
MANY_INLINE TripleDouble widen(const DoubleDouble& a) noexcept {
    return {a.hi, a.lo, 0.0};
}
MANY_INLINE TripleDouble widen(const TripleDouble& a) noexcept {
    return a;
}

template <class W>
MANY_INLINE W from_triple(const TripleDouble& a) noexcept;
template <>
MANY_INLINE DoubleDouble from_triple<DoubleDouble>(const TripleDouble& a) noexcept {
    return narrow(a);
}
template <>
MANY_INLINE TripleDouble from_triple<TripleDouble>(const TripleDouble& a) noexcept {
    return a;
}

MANY_INLINE DoubleDouble operator-(const DoubleDouble& a) noexcept {
    return {-a.hi, -a.lo};
}
MANY_INLINE TripleDouble operator-(const TripleDouble& a) noexcept {
    return {-a.hi, -a.mid, -a.lo};
}

// Exact for powers of two.
MANY_INLINE DoubleDouble scaled(const DoubleDouble& a, double power) noexcept {
    return {a.hi * power, a.lo * power};
}
MANY_INLINE TripleDouble scaled(const TripleDouble& a, double power) noexcept {
    return {a.hi * power, a.mid * power, a.lo * power};
}

MANY_INLINE DoubleDouble operator+(const DoubleDouble& a, const DoubleDouble& b) noexcept {
    double e, f;
    const double s = detail::sum2(a.hi, b.hi, e);
    const double t = detail::sum2(a.lo, b.lo, f);
    e += t;
    double e2;
    const double s2 = detail::fast_sum2(s, e, e2);
    double lo;
    const double hi = detail::fast_sum2(s2, e2 + f, lo);
    return {hi, lo};
}

MANY_INLINE TripleDouble operator+(const TripleDouble& a, const TripleDouble& b) noexcept {
    double e0, e1, e2;
    const double s0 = detail::sum2(a.hi, b.hi, e0);
    const double t = detail::sum2(a.mid, b.mid, e1);
    const double s1 = detail::sum2(t, e0, e2);
    return TripleDouble::of(s0, s1, (a.lo + b.lo) + (e1 + e2));
}

MANY_INLINE DoubleDouble operator*(const DoubleDouble& a, const DoubleDouble& b) noexcept {
    double e;
    const double p = detail::product2(a.hi, b.hi, e);
    e += a.hi * b.lo + a.lo * b.hi;
    double lo;
    const double hi = detail::fast_sum2(p, e, lo);
    return {hi, lo};
}

MANY_INLINE TripleDouble operator*(const TripleDouble& a, const TripleDouble& b) noexcept {
    double e00, e01, e10, u, v;
    const double p00 = detail::product2(a.hi, b.hi, e00);
    const double p01 = detail::product2(a.hi, b.mid, e01);
    const double p10 = detail::product2(a.mid, b.hi, e10);
    const double t = detail::sum2(p01, p10, u);
    const double s1 = detail::sum2(e00, t, v);
    const double third = (a.hi * b.lo + a.lo * b.hi) + a.mid * b.mid + (e01 + e10) + (u + v);
    return TripleDouble::of(p00, s1, third);
}

MANY_INLINE DoubleDouble operator*(const DoubleDouble& a, double b) noexcept {
    double e;
    const double p = detail::product2(a.hi, b, e);
    e += a.lo * b;
    double lo;
    const double hi = detail::fast_sum2(p, e, lo);
    return {hi, lo};
}

MANY_INLINE TripleDouble operator*(const TripleDouble& a, double b) noexcept {
    double e0, e1, u;
    const double p0 = detail::product2(a.hi, b, e0);
    const double p1 = detail::product2(a.mid, b, e1);
    const double s1 = detail::sum2(e0, p1, u);
    return TripleDouble::of(p0, s1, a.lo * b + (e1 + u));
}

template <class W>
MANY_INLINE W operator-(const W& a, const W& b) noexcept requires requires(W w) {
    w.hi;
}
{ return a + (-b); }

// a - b c, with one renormalisation less than written out: the inner step of every solver here.
MANY_INLINE DoubleDouble minus_product(const DoubleDouble& a, const DoubleDouble& b,
                                       const DoubleDouble& c) noexcept {
    double e, f;
    const double p = detail::product2(b.hi, c.hi, e);
    const double s = detail::sum2(a.hi, -p, f);
    f += (a.lo - e) - (b.hi * c.lo + b.lo * c.hi);
    double lo;
    const double hi = detail::fast_sum2(s, f, lo);
    return {hi, lo};
}

MANY_INLINE TripleDouble minus_product(const TripleDouble& a, const TripleDouble& b,
                                       const TripleDouble& c) noexcept {
    double e00, e01, e10, u, v, w, x;
    const double p00 = detail::product2(b.hi, c.hi, e00);
    const double p01 = detail::product2(b.hi, c.mid, e01);
    const double p10 = detail::product2(b.mid, c.hi, e10);
    const double third = (b.hi * c.lo + b.lo * c.hi) + b.mid * c.mid + (e01 + e10);
    const double t = detail::sum2(p01, p10, u);
    const double m = detail::sum2(e00, t, v);
    const double s0 = detail::sum2(a.hi, -p00, w);
    const double n = detail::sum2(a.mid, -m, x);
    double y;
    const double s1 = detail::sum2(n, w, y);
    return TripleDouble::of(s0, s1, (a.lo - third) + ((x + y) - (u + v)));
}

MANY_INLINE DoubleDouble operator/(const DoubleDouble& a, const DoubleDouble& b) noexcept {
    const double q0 = a.hi / b.hi;
    const DoubleDouble r = minus_product(a, b, q0);
    const double q1 = r.hi / b.hi;
    const double q2 = minus_product(r, b, q1).hi / b.hi;
    double e, lo;
    const double s = detail::fast_sum2(q0, q1, e);
    const double hi = detail::fast_sum2(s, e + q2, lo);
    return {hi, lo};
}

MANY_INLINE TripleDouble operator/(const TripleDouble& a, const TripleDouble& b) noexcept {
    const double q0 = a.hi / b.hi;
    TripleDouble r = minus_product(a, b, q0);
    const double q1 = r.hi / b.hi;
    r = minus_product(r, b, q1);
    const double q2 = r.hi / b.hi;
    r = minus_product(r, b, q2);
    return TripleDouble::of(q0, q1, q2) + TripleDouble(r.hi / b.hi);
}

// Square roots; 0 for arguments <= 0 (rounding errors of what is a sum of squares).
MANY_INLINE DoubleDouble square_root(const DoubleDouble& a) noexcept {
    if (!(a.hi > 0)) return {};
    const double x = __builtin_sqrt(a.hi);
    const double r = minus_product(a, x, x).hi;
    double lo;
    const double hi = detail::fast_sum2(x, r / (2 * x), lo);
    return {hi, lo};
}

MANY_INLINE TripleDouble square_root(const TripleDouble& a) noexcept {
    if (!(a.hi > 0)) return {};
    const double x = __builtin_sqrt(a.hi);
    const double first = minus_product(a, x, x).hi / (2 * x);
    const TripleDouble y = TripleDouble::of(x, first, 0.0);
    const double second = minus_product(a, y, y).hi / (2 * x);
    const TripleDouble z = y + TripleDouble(second);
    return z + TripleDouble(minus_product(a, z, z).hi / (2 * x));
}

}  // namespace many::core
