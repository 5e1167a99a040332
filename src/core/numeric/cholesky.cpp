// Rows are kept as planes of p + 2 columns: the mean, the features, the target. Step j of the
// factorisation turns column j of the rows below from C into U; what stands between the two parts
// of a row (columns j + 1 .. i - 1 of row i) is of no meaning and overwritten when its turn comes,
// so that whole lanes can be worked on.
#include "core/numeric/cholesky.h"

#include <algorithm>
#include <cmath>

#include "core/numeric/wide.h"

namespace many::core {
namespace {

constexpr std::size_t kPollEvery = 100000;  // inner steps between looks at the stop signal: 1 ms
// What triple-double leaves of the residuals of an exact fit, relative to the terms that cancel.
constexpr double kResidualNoise = 0x1p-140;
constexpr double kNaN = __builtin_nan("");

struct Planes {
    double* data;
    std::size_t stride, plane;
    [[nodiscard]] MANY_INLINE double* row(std::size_t i) const noexcept {
        return data + i * stride;
    }
};

template <class W, class T>
MANY_INLINE void load_rows(const ScaledGram& gram, const double* ridge, const Planes& rows) {
    using Triple = BasicTripleDouble<T>;
    using Lanes = typename W::template With<T>;
    const std::size_t p = static_cast<std::size_t>(gram.p);
    const double* c = gram.c.data();
    const std::size_t plane = gram.c.plane();
    for (std::size_t i = 0; i <= p; c += round_up_to_lanes(p + 1 - i), ++i) {
        double* row = rows.row(i);
        const TripleDouble mean = gram.centred ? gram.mean[i] : TripleDouble();
        const Lanes means = Lanes::all(from_triple<W>(mean));
        // Whole lanes, as they are read next: before (i, i) stand columns of no meaning.
        const std::size_t first = (1 + i) / kLanes<T> * kLanes<T>;
        if (first > 0) means.store(row, rows.plane);
        for (std::size_t k = first; k < p + 2; k += kLanes<T>) {
            const auto lanes = from_triple<Lanes>(Triple::load(c + k - (1 + i), plane));
            replace_column(lanes, k, 0, means).store(row + k, rows.plane);
        }
        if (ridge != nullptr && i < p) {
            const TripleDouble diagonal = TripleDouble::load(c, plane) + TripleDouble(ridge[i]);
            from_triple<W>(diagonal).store(row + 1 + i, rows.plane);
        }
    }
}

// Leaves column j out.
template <class W>
MANY_INLINE void drop_column(const Planes& rows, std::size_t j, std::size_t p) {
    for (std::size_t k = 0; k < rows.stride; ++k) W().store(rows.row(j) + k, rows.plane);
    for (std::size_t i = j + 1; i <= p; ++i) W().store(rows.row(i) + 1 + j, rows.plane);
}

template <class W, class T>
MANY_INLINE FitStatus eliminate(const ScaledGram& gram, bool penalised, double drop2,
                                const StopSignal& stop, const Planes& rows, Cholesky& out) {
    using Lanes = typename W::template With<T>;
    const std::size_t p = static_cast<std::size_t>(gram.p);
    const std::size_t plane = rows.plane;
    std::size_t work = 0;
    out.rank = 0;
    out.dropped_variable = false;
    for (std::size_t j = 0; j < p; ++j) {
        double* source = rows.row(j);
        const W pivot = W::load(source + 1 + j, plane);
        // A constant column is judged by gram, in the full precision of the sums.
        const bool constant = !penalised && drop2 > 0 && gram.is_constant(static_cast<int>(j));
        const bool keep = !constant && pivot.value() > drop2 * gram.norm2[j];
        out.kept[j] = keep;
        if (!keep) {
            out.dropped_variable = out.dropped_variable || !constant;
            W().store(out.inverse.data() + j, p);
            drop_column<W>(rows, j, p);
            continue;
        }
        ++out.rank;
        const W inverse = reciprocal(pivot);
        inverse.store(out.inverse.data() + j, p);
        const std::size_t left_end = (j + 1 + kLanes<T>) / kLanes<T> * kLanes<T>;
        const Lanes inverses = Lanes::all(inverse);
        double* factor = out.column.data();
        for (std::size_t k = (2 + j) / kLanes<T> * kLanes<T>; k < p + 2; k += kLanes<T>) {
            (Lanes::load(source + k, plane) * inverses).store(factor + k, rows.stride);
        }
        for (std::size_t i = j + 1; i <= p; ++i) {
            double* row = rows.row(i);
            const Lanes factors = Lanes::all(W::load(factor + 1 + i, rows.stride));
            const auto updated = [&](std::size_t k) {
                return minus_product(Lanes::load(row + k, plane), factors,
                                     Lanes::load(source + k, plane));
            };
            std::size_t k = 0;
            for (; k + kLanes<T> < left_end; k += kLanes<T>) updated(k).store(row + k, plane);
            // Within the lanes: a store of one number would hold up the loads that follow.
            replace_column(updated(k), k, 1 + j, -factors).store(row + k, plane);
            const std::size_t right = (1 + i) / kLanes<T> * kLanes<T>;
            for (k = std::max(left_end, right); k < p + 2; k += kLanes<T>) {
                updated(k).store(row + k, plane);
            }
            work += rows.stride;
            if (work > kPollEvery) {
                work = 0;
                if (const FitStatus s = stop.poll(); s != FitStatus::ok) return s;
            }
        }
        // The row of U: of the columns that the last lanes hold too, 0.
        W(1.0).store(source + 1 + j, plane);
        for (std::size_t k = j + 2; k < left_end; ++k) W().store(source + k, plane);
    }
    return FitStatus::ok;
}

// The diagonal of [1 / n + |D^-1/2 U mean|^2, C^-1], from the rows of U.
template <class W, class T>
MANY_INLINE void invert_diagonal(const ScaledGram& gram, const Planes& rows, Cholesky& out) {
    using Lanes = typename W::template With<T>;
    const std::size_t p = static_cast<std::size_t>(gram.p);
    double* sum = out.diagonal.data();
    for (std::size_t k = 0; k < rows.stride; k += kLanes<T>) Lanes().store(sum + k, rows.stride);
    if (gram.centred) reciprocal(W(gram.n)).store(sum, rows.stride);
    for (std::size_t i = 0; i < p; ++i) {
        const double* row = rows.row(i);
        const Lanes minus = Lanes::all(-W::load(out.inverse.data() + i, p));
        for (std::size_t k = 0; k < i + 2; k += kLanes<T>) {
            const Lanes u = Lanes::load(row + k, rows.plane);
            minus_product(Lanes::load(sum + k, rows.stride), u * u, minus)
                .store(sum + k, rows.stride);
        }
    }
}

template <class W>
MANY_INLINE double explained_share(const TripleDouble& total, const W& rss) {
    const W t = from_triple<W>(total);
    return t.value() > 0 ? ((t - rss) / t).value() : kNaN;
}

// Residual sum of squares, cleared of rounding noise, and all that is proportional to its root.
template <class W, class T>
MANY_INLINE void errors(const ScaledGram& gram, W rss, Cholesky& out) {
    using Lanes = typename W::template With<T>;
    const std::size_t p = static_cast<std::size_t>(gram.p);
    out.r2 = explained_share(gram.at(gram.p, gram.p), rss);
    out.r2_about_mean = gram.centred ? out.r2 : explained_share(gram.target_spread(), rss);
    out.sigma = out.intercept_std_error = kNaN;
    if (!(out.df > 0)) {
        std::fill(out.std_error.begin(), out.std_error.end(), kNaN);
        return;
    }
    const W variance = rss / W(out.df);
    out.sigma = square_root(variance).value();
    const Lanes variances = Lanes::all(variance);
    const double* diagonal = out.diagonal.data();
    if (gram.centred) {
        out.intercept_std_error = square_root(variance * W::load(diagonal, out.stride)).value();
    }
    for (std::size_t k = 0; k < p; k += kLanes<T>) {
        store_lanes(out.std_error.data() + k,
                    square_root(variances * Lanes::load(diagonal + 1 + k, out.stride)).value());
    }
    for (std::size_t j = 0; j < p; ++j) {
        if (!out.kept[j]) out.std_error[j] = kNaN;
    }
}

template <class W, class T>
MANY_INLINE FitStatus solve(const ScaledGram& gram, const double* ridge, double drop2, Task task,
                            const StopSignal& stop, Cholesky& out) {
    using Lanes = typename W::template With<T>;
    const std::size_t p = static_cast<std::size_t>(gram.p);
    const Planes rows{out.rows.data(), out.stride, (p + 1) * out.stride + kRowPad};
    load_rows<W, T>(gram, ridge, rows);
    if (const FitStatus s = eliminate<W, T>(gram, ridge != nullptr, drop2, stop, rows, out);
        s != FitStatus::ok) {
        return s;
    }
    const double* target = rows.row(p);
    out.df = gram.n - out.rank - (gram.centred ? 1 : 0);
    out.intercept = target[0];
    double reach = gram.norm[p], inflation = 0;
    for (std::size_t j = 0; j < p; ++j) {
        const double b = 0.0 - target[1 + j];  // not -0
        out.coefficient[j] = b;
        reach += std::fabs(b) * gram.norm[j];
    }
    // Rounded: the bound needs no more.
    double* square = out.diagonal.data();
    for (std::size_t k = 0; k < out.stride; ++k) square[k] = 0;
    for (std::size_t i = 0; i < p; ++i) {
        const double* row = rows.row(i);
        const T inverse = all_lanes<T>(out.inverse[i]);
        for (std::size_t k = 0; k < i + 2; k += kLanes<T>) {
            const T u = load_lanes<T>(row + k);
            store_lanes(square + k, T(load_lanes<T>(square + k) + u * u * inverse));
        }
    }
    for (std::size_t j = 0; j < p; ++j) {
        inflation += square[1 + j] * gram.square[j];
    }
    out.condition_bound = std::sqrt(std::fmax(1.0, out.rank * inflation));
    W rss = W::load(target + 1 + p, rows.plane);
    if (out.df <= 0 || !(rss.value() > kResidualNoise * reach * reach)) rss = W();
    out.rss = rss.value();
    if (task == Task::coefficients) return FitStatus::ok;
    for (std::size_t i = 0; i < p; ++i) {
        const Lanes root = Lanes::all(square_root(W::load(out.inverse.data() + i, p)));
        const double* row = rows.row(i);
        double* factor = out.factor.data() + i * out.stride;
        for (std::size_t k = 0; k < i + 2; k += kLanes<T>) {
            store_lanes(factor + k, (Lanes::load(row + k, rows.plane) * root).value());
        }
    }
    if (task == Task::factor) return FitStatus::ok;
    invert_diagonal<W, T>(gram, rows, out);
    errors<W, T>(gram, rss, out);
    return FitStatus::ok;
}

#if MANY_X86_DISPATCH
template <class W>
MANY_TARGET_FMA FitStatus solve_fma(const ScaledGram& gram, const double* ridge, double drop2,
                                    Task task, const StopSignal& stop, Cholesky& out) {
    return solve<W, Lanes4>(gram, ridge, drop2, task, stop, out);
}
const bool kFma = cpu_level() != CpuLevel::base;
#endif

template <class W>
FitStatus dispatch(const ScaledGram& gram, const double* ridge, double drop2, Task task,
                   const StopSignal& stop, Cholesky& out) {
    const std::size_t p = static_cast<std::size_t>(gram.p);
    out.stride = round_up_to_lanes(p + 2);
    out.kept.resize(p);
    out.coefficient.resize(p);
    out.std_error.resize(p + kRowPad);
    out.rows.resize(W::kParts * ((p + 1) * out.stride + kRowPad));
    out.inverse.resize(W::kParts * p);
    out.column.resize(W::kParts * out.stride);
    out.diagonal.resize(W::kParts * out.stride + kRowPad);
    if (task != Task::coefficients) out.factor.resize(p * out.stride);
#if MANY_X86_DISPATCH
    if (kFma) return solve_fma<W>(gram, ridge, drop2, task, stop, out);
#endif
    return solve<W, double>(gram, ridge, drop2, task, stop, out);
}

}  // namespace

FitStatus solve_cholesky(const ScaledGram& gram, const double* ridge, double drop2,
                         Precision precision, Task task, const StopSignal& stop, Cholesky& out) {
    if (precision == Precision::double_double) {
        return dispatch<DoubleDouble>(gram, ridge, drop2, task, stop, out);
    }
    return dispatch<TripleDouble>(gram, ridge, drop2, task, stop, out);
}

}  // namespace many::core
