// State, in doubles: [0] target mean of the fit, [1] rows, [2] rows with y <> 0, [3] the baseline's
// prediction, about which y is centred, then p coefficients, p means, then the twelve sums in three
// planes (high, middle, low).
#include "core/selection/metrics.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "core/learners/linear_workspace.h"
#include "core/learners/prediction.h"

namespace many::core {
namespace {

enum Sum {
    kError,
    kSquare,
    kAbsolute,
    kShare,
    kSymmetric,
    kActual,  // y - baseline
    kActualSquare,
    kActualLow,
    kBaselineAbsolute,
    kBaselineShare,
    kBaselineSymmetric,
    kUnused,
    kSums
};
constexpr std::size_t kHead = 4;

// W of the sums in triple-double; they stand next to each other in each of the planes. W is what one
// register holds: GCC copies wider vectors, and those filled element by element, through the stack.
template <int W>
struct Cascade {
    typedef double Lanes __attribute__((vector_size(W * sizeof(double))));
    typedef double StoredLanes
        __attribute__((vector_size(W * sizeof(double)), aligned(sizeof(double)), may_alias));
    Lanes high, middle, low;

    MANY_INLINE explicit Cascade(const double* planes)
        : high(*reinterpret_cast<const StoredLanes*>(planes)),
          middle(*reinterpret_cast<const StoredLanes*>(planes + kSums)),
          low(*reinterpret_cast<const StoredLanes*>(planes + 2 * kSums)) {}
    MANY_INLINE void store(double* planes) const {
        *reinterpret_cast<StoredLanes*>(planes) = high;
        *reinterpret_cast<StoredLanes*>(planes + kSums) = middle;
        *reinterpret_cast<StoredLanes*>(planes + 2 * kSums) = low;
    }
    template <class... Values>
    MANY_INLINE void add(Values... values) {
        Lanes t, u;
        two_sum(high, Lanes{values...}, high, t);
        two_sum(middle, t, middle, u);
        low += u;
    }
    // Knuth
    static MANY_INLINE void two_sum(const Lanes& a, const Lanes& b, Lanes& sum, Lanes& error) {
        const Lanes s = a + b;
        const Lanes z = s - a;
        error = (a - (s - z)) + (b - z);
        sum = s;
    }
};

// Four of the sums on a CPU with registers of two.
struct CascadePair {
    Cascade<2> first, second;

    MANY_INLINE explicit CascadePair(const double* planes) : first(planes), second(planes + 2) {}
    MANY_INLINE void store(double* planes) const {
        first.store(planes);
        second.store(planes + 2);
    }
    MANY_INLINE void add(double a, double b, double c, double d) {
        first.add(a, b);
        second.add(c, d);
    }
};

template <class Four>
MANY_INLINE void add_rows(double* state, int p, const double* rows, std::size_t n,
                          std::size_t stride) {
    const std::size_t sp = static_cast<std::size_t>(p);
    const auto* coefficient = reinterpret_cast<const unsigned char*>(state + kHead);
    const auto* mean = reinterpret_cast<const unsigned char*>(state + kHead + sp);
    double* planes = state + kHead + 2 * sp;
    Four errors(planes);
    Four actuals(planes + 4);
    Four baselines(planes + 8);
    const double baseline = state[3];
    const double baseline_size = std::fabs(baseline);
    double nonzero = state[2];
    for (std::size_t r = 0; r < n; ++r) {
        const double* x = rows + r * stride;
        const double y = x[sp];
        const double f = predict_centred(state[0], coefficient, mean, x, p);
        const double e = f - y;
        const double size = std::fabs(y) + std::fabs(f);
        const double d = y - baseline;
        const double share = y != 0 ? std::fabs(e / y) : 0.0;
        const double symmetric = size > 0 ? 2 * std::fabs(e) / size : 0.0;
        const double far = std::fabs(d);
        const double both = std::fabs(y) + baseline_size;
        const double baseline_share = y != 0 ? std::fabs(d / y) : 0.0;
        const double baseline_symmetric = both > 0 ? 2 * far / both : 0.0;
        nonzero += y != 0 ? 1 : 0;
        // In the order of Sum.
        errors.add(e, e * e, std::fabs(e), share);
        actuals.add(symmetric, d, d * d, __builtin_fma(d, d, -(d * d)));
        baselines.add(far, baseline_share, baseline_symmetric, 0.0);
    }
    errors.store(planes);
    actuals.store(planes + 4);
    baselines.store(planes + 8);
    state[1] += static_cast<double>(n);
    state[2] = nonzero;
}

#if MANY_X86_DISPATCH
MANY_TARGET_FMA void add_rows_fma(double* state, int p, const double* rows, std::size_t n,
                                  std::size_t stride) {
    add_rows<Cascade<4>>(state, p, rows, n, stride);
}
const bool kFma = cpu_level() != CpuLevel::base;
#endif

}  // namespace

std::size_t holdout_state_doubles(int p) noexcept {
    return kHead + 2 * static_cast<std::size_t>(p) + 3 * kSums;
}

void holdout_start(double* state, const LinearFit& fit, double baseline) noexcept {
    const std::size_t p = static_cast<std::size_t>(fit.p);
    std::memset(state, 0, holdout_state_doubles(fit.p) * sizeof(double));
    state[0] = fit.target_mean;
    state[3] = baseline;
    for (std::size_t j = 0; j < p; ++j) {
        const double b = fit.coefficient[j];
        state[kHead + j] = b == b ? b : 0.0;
        state[kHead + p + j] = fit.mean[j];
    }
}

void holdout_add_rows(double* state, int p, const double* rows, std::size_t n,
                      std::size_t stride) noexcept {
#if MANY_X86_DISPATCH
    if (kFma) {
        add_rows_fma(state, p, rows, n, stride);
        return;
    }
#endif
    add_rows<CascadePair>(state, p, rows, n, stride);
}

void accuracy_start(double* state) noexcept {
    std::memset(state, 0, holdout_state_doubles(1) * sizeof(double));
    state[kHead] = 1;  // prediction = 0 + 1 (x - 0): exact
}

void holdout_merge(double* into, const double* from, int p) noexcept {
    const std::size_t planes = kHead + 2 * static_cast<std::size_t>(p);
    into[1] += from[1];
    into[2] += from[2];
    for (std::size_t k = 0; k < kSums; ++k) {
        double* to = into + planes + k;
        for (std::size_t plane = 0; plane < 3; ++plane) {
            double rest = from[planes + plane * kSums + k];
            for (const std::size_t level : {std::size_t{0}, std::size_t{kSums}}) {
                const double s = to[level] + rest;
                const double z = s - to[level];
                rest = (to[level] - (s - z)) + (rest - z);
                to[level] = s;
            }
            to[2 * kSums] += rest;
        }
    }
}

double holdout_predict(const double* state, int p, const double* x) noexcept {
    const auto* coefficient = reinterpret_cast<const unsigned char*>(state + kHead);
    return predict_centred(state[0], coefficient, coefficient + 8 * static_cast<std::size_t>(p), x,
                           p);
}

double holdout_baseline_value(const double* state) noexcept {
    return state[3];
}

namespace {

struct HoldoutSums {
    const double* planes;
    double n, nonzero;

    HoldoutSums(const double* state, int p) noexcept
        : planes(state + kHead + 2 * static_cast<std::size_t>(p)), n(state[1]), nonzero(state[2]) {}
    [[nodiscard]] TripleDouble sum(Sum k) const noexcept {
        return TripleDouble::of(planes[k], planes[kSums + k], planes[2 * kSums + k]);
    }
    [[nodiscard]] double mean(Sum k) const noexcept { return sum(k).value() / n; }
    // Over rows with y <> 0.
    [[nodiscard]] double share(Sum k) const noexcept {
        return nonzero > 0 ? sum(k).value() / nonzero : std::numeric_limits<double>::quiet_NaN();
    }
    [[nodiscard]] double r2(double square) const noexcept {
        const TripleDouble total = sum(kActualSquare) + sum(kActualLow);
        const TripleDouble centre = sum(kActual) / TripleDouble(n);
        const double spread = minus_product(total, sum(kActual), centre).value();
        return spread > 1e-40 * total.value() ? 1 - square / spread
                                              : std::numeric_limits<double>::quiet_NaN();
    }
};

}  // namespace

SplitMetrics holdout_finish(const double* state, int p) noexcept {
    const HoldoutSums s(state, p);
    if (!(s.n > 0)) return no_metrics();
    const double square = s.sum(kSquare).value();
    return {s.n,
            std::sqrt(square / s.n),
            s.mean(kAbsolute),
            s.share(kShare),
            s.mean(kSymmetric),
            s.r2(square),
            s.mean(kError)};
}

SplitMetrics holdout_baseline(const double* state, int p) noexcept {
    const HoldoutSums s(state, p);
    if (!(s.n > 0)) return no_metrics();
    const double square = (s.sum(kActualSquare) + s.sum(kActualLow)).value();
    return {s.n,
            std::sqrt(square / s.n),
            s.mean(kBaselineAbsolute),
            s.share(kBaselineShare),
            s.mean(kBaselineSymmetric),
            s.r2(square),
            -s.mean(kActual)};
}

}  // namespace many::core
