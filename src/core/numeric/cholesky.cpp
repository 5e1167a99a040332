#include "core/numeric/cholesky.h"

#include <cmath>

namespace many::core {
namespace {

constexpr std::size_t kPollEvery = 100000;  // inner steps between looks at the stop signal: 1 ms
// What triple-double leaves of the residuals of an exact fit, relative to the terms that cancel.
constexpr double kResidualNoise = 0x1p-140;

template <class W>
MANY_INLINE FitStatus factor(const ScaledGram& gram, const double* ridge, double drop2,
                             const StopSignal& stop, Cholesky<W>& out) {
    const int p = gram.p;
    W* l = out.l.data();
    W* g = out.column.data();
    const TripleDouble* c = gram.c.data();
    const std::size_t slots = packed(p, p) + 1;
    for (std::size_t k = 0; k < slots; ++k) l[k] = from_triple<W>(c[k]);
    if (ridge != nullptr) {
        for (int j = 0; j < p; ++j) {
            l[packed(j, j)] = from_triple<W>(c[packed(j, j)] + TripleDouble(ridge[j]));
        }
    }
    out.rank = 0;
    out.dropped_variable = false;
    std::size_t work = 0;
    for (int j = 0; j < p; ++j) {
        const W pivot = l[packed(j, j)];
        // A constant column is judged by gram, in the full precision of the sums.
        const bool constant = ridge == nullptr && gram.is_constant(j) && drop2 > 0;
        const bool keep = !constant && pivot.value() > drop2 * gram.norm2[std::size_t(j)];
        out.kept[std::size_t(j)] = keep;
        out.pivot[std::size_t(j)] = keep ? pivot : W();
        if (!keep) {
            out.dropped_variable = out.dropped_variable || !constant;
            out.inverse[std::size_t(j)] = W();
            for (int i = j + 1; i <= p; ++i) l[packed(i, j)] = W();
            for (int k = 0; k < j; ++k) l[packed(j, k)] = W();
            continue;
        }
        ++out.rank;
        const W inverse = W(1.0) / pivot;
        out.inverse[std::size_t(j)] = inverse;
        for (int i = j + 1; i <= p; ++i) g[i] = l[packed(i, j)];
        for (int i = j + 1; i <= p; ++i) {
            const W factor = g[i] * inverse;
            W* row = l + packed(i, 0);
            row[j] = factor;
            for (int k = j + 1; k <= i; ++k) row[k] = minus_product(row[k], factor, g[k]);
            work += std::size_t(i - j);
            if (work > kPollEvery) {
                work = 0;
                if (const FitStatus s = stop.poll(); s != FitStatus::ok) return s;
            }
        }
    }
    out.rss = l[packed(p, p)];
    out.pivot[std::size_t(p)] = out.rss;
    return FitStatus::ok;
}

// U = L^-1 row by row: U_i = e_i - sum_k<i l_ik U_k.
template <class W>
MANY_INLINE FitStatus invert(int p, const StopSignal& stop, Cholesky<W>& out) {
    const W* l = out.l.data();
    W* u = out.u.data();
    std::size_t work = 0;
    for (int i = 0; i < p; ++i) {
        W* row = u + packed(i, 0);
        for (int k = 0; k < i; ++k) row[k] = W();
        const bool kept = out.kept[std::size_t(i)];
        row[i] = kept ? W(1.0) : W();
        if (!kept) continue;
        for (int k = 0; k < i; ++k) {
            const W factor = l[packed(i, k)];
            const W* other = u + packed(k, 0);
            for (int j = 0; j <= k; ++j) row[j] = minus_product(row[j], factor, other[j]);
            work += std::size_t(k) + 1;
            if (work > kPollEvery) {
                work = 0;
                if (const FitStatus s = stop.poll(); s != FitStatus::ok) return s;
            }
        }
    }
    return FitStatus::ok;
}

template <class W>
MANY_INLINE void finish(const ScaledGram& gram, Cholesky<W>& out) {
    const int p = gram.p;
    const W* target = out.l.data() + packed(p, 0);
    W* b = out.coefficient.data();
    W* v = out.diagonal.data();
    for (int j = 0; j < p; ++j) b[j] = v[j] = W();
    W intercept = from_triple<W>(gram.mean[std::size_t(p)]);
    W leverage = gram.centred ? W(1.0) / W(gram.n) : W();
    for (int i = 0; i < p; ++i) {
        if (!out.kept[std::size_t(i)]) {
            out.projected[std::size_t(i)] = W();
            continue;
        }
        const W* row = out.u.data() + packed(i, 0);
        const W minus_inverse = -out.inverse[std::size_t(i)];
        const W minus_target = -target[i];
        W projected{};
        for (int j = 0; j <= i; ++j) {
            b[j] = minus_product(b[j], row[j], minus_target);
            v[j] = minus_product(v[j], row[j] * row[j], minus_inverse);
            if (gram.centred) {
                projected =
                    minus_product(projected, row[j], -from_triple<W>(gram.mean[std::size_t(j)]));
            }
        }
        out.projected[std::size_t(i)] = projected;
        leverage = minus_product(leverage, projected * projected, minus_inverse);
    }
    double inflation = 0;
    for (int j = 0; j < p; ++j) {
        intercept = minus_product(intercept, b[j], from_triple<W>(gram.mean[std::size_t(j)]));
        inflation += v[j].value() * gram.at(j, j).value();
    }
    out.intercept = gram.centred ? intercept : W();
    out.leverage_of_zero = leverage;
    out.condition_bound = std::sqrt(std::fmax(1.0, out.rank * inflation));
}

// Residual sum of squares, cleared of rounding noise, and all that is proportional to its root.
template <class W>
MANY_INLINE void errors(const ScaledGram& gram, Cholesky<W>& out) {
    const int p = gram.p;
    out.df = gram.n - out.rank - (gram.centred ? 1 : 0);
    double reach = std::sqrt(gram.norm2[std::size_t(p)]);
    for (int j = 0; j < p; ++j) {
        const double b = out.coefficient[std::size_t(j)].value();
        reach += std::fabs(b) * std::sqrt(gram.norm2[std::size_t(j)]);
    }
    if (out.df <= 0 || !(out.rss.value() > kResidualNoise * reach * reach)) out.rss = W();
    const W variance = out.df > 0 ? out.rss / W(out.df) : W(__builtin_nan(""));
    out.sigma = out.df > 0 ? square_root(variance).value() : __builtin_nan("");
    out.intercept_std_error = __builtin_nan("");
    if (out.df > 0 && gram.centred) {
        out.intercept_std_error = square_root(variance * out.leverage_of_zero).value();
    }
    for (int i = 0; i < p; ++i) {
        double* row = out.inverse_factor.data() + packed(i, 0);
        const W* u = out.u.data() + packed(i, 0);
        const bool kept = out.kept[std::size_t(i)];
        const W root = square_root(out.inverse[std::size_t(i)]);
        for (int j = 0; j <= i; ++j) row[j] = (u[j] * root).value();
        out.std_error[std::size_t(i)] =
            kept && out.df > 0 ? square_root(variance * out.diagonal[std::size_t(i)]).value()
                               : __builtin_nan("");
    }
}

template <class W>
MANY_INLINE FitStatus solve(const ScaledGram& gram, const double* ridge, double drop2,
                            const StopSignal& stop, Cholesky<W>& out) {
    if (const FitStatus s = factor(gram, ridge, drop2, stop, out); s != FitStatus::ok) return s;
    if (const FitStatus s = invert(gram.p, stop, out); s != FitStatus::ok) return s;
    finish(gram, out);
    if (ridge == nullptr) errors(gram, out);
    return FitStatus::ok;
}

// e'Pe with e = (-b, 1).
template <class W>
MANY_INLINE double quadratic(const W* products, int p, const double* b) {
    W sum{};
    for (int i = 0; i <= p; ++i) {
        const double weight = i == p ? 1.0 : -b[i];
        const W* row = products + packed(i, 0);
        W line{};
        for (int j = 0; j < i; ++j) line = minus_product(line, row[j], W(2.0 * b[j]));
        line = minus_product(line, row[i], W(-weight));
        sum = minus_product(sum, line, W(-weight));
    }
    return sum.value();
}

template <class W>
FitStatus solve_base(const ScaledGram& gram, const double* ridge, double drop2,
                     const StopSignal& stop, Cholesky<W>& out) {
    return solve(gram, ridge, drop2, stop, out);
}
template <class W>
double quadratic_base(const W* products, int p, const double* b) {
    return quadratic(products, p, b);
}

#if MANY_X86_DISPATCH
template <class W>
MANY_TARGET_FMA FitStatus solve_fma(const ScaledGram& gram, const double* ridge, double drop2,
                                    const StopSignal& stop, Cholesky<W>& out) {
    return solve(gram, ridge, drop2, stop, out);
}
template <class W>
MANY_TARGET_FMA double quadratic_fma(const W* products, int p, const double* b) {
    return quadratic(products, p, b);
}
const bool kFma = cpu_level() != CpuLevel::base;
#endif

template <class W>
FitStatus dispatch(const ScaledGram& gram, const double* ridge, double drop2,
                   const StopSignal& stop, Cholesky<W>& out) {
    const std::size_t p = static_cast<std::size_t>(gram.p);
    out.u.resize(p * (p + 1) / 2);
    out.pivot.resize(p + 1);
    out.inverse.resize(p + 1);
    out.coefficient.resize(p);
    out.diagonal.resize(p);
    out.projected.resize(p);
    out.kept.resize(p);
    out.std_error.resize(p);
    out.inverse_factor.resize(p * (p + 1) / 2);
    out.l.resize((p + 1) * (p + 2) / 2);
    out.column.resize(p + 1);
#if MANY_X86_DISPATCH
    if (kFma) return solve_fma(gram, ridge, drop2, stop, out);
#endif
    return solve_base(gram, ridge, drop2, stop, out);
}

template <class W>
double dispatch_quadratic(const W* products, int p, const double* b) {
#if MANY_X86_DISPATCH
    if (kFma) return quadratic_fma(products, p, b);
#endif
    return quadratic_base(products, p, b);
}

}  // namespace

FitStatus solve_cholesky(const ScaledGram& gram, const double* ridge, double drop2,
                         const StopSignal& stop, Cholesky<DoubleDouble>& out) {
    return dispatch(gram, ridge, drop2, stop, out);
}

FitStatus solve_cholesky(const ScaledGram& gram, const double* ridge, double drop2,
                         const StopSignal& stop, Cholesky<TripleDouble>& out) {
    return dispatch(gram, ridge, drop2, stop, out);
}

double residual_square(const DoubleDouble* products, int p, const double* b) {
    return dispatch_quadratic(products, p, b);
}

double residual_square(const TripleDouble* products, int p, const double* b) {
    return dispatch_quadratic(products, p, b);
}

}  // namespace many::core
