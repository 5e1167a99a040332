#include "core/forecasters/ets_kernel.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/forecasters/ets_step.h"

namespace many::core {

namespace {

// log of a product, taken only when the product runs out of range.
struct LogSum {
    double product = 1, sum = 0;
    MANY_INLINE void add(double value) noexcept {
        product *= value;
        if (product < 1e-200 || product > 1e200) [[unlikely]] {
            sum += std::log(product);
            product = 1;
        }
    }
    [[nodiscard]] double total() const noexcept { return sum + std::log(product); }
};

// Inside the domain: what is divided by, or raised to a power, is positive.
template <EtsError E, EtsTrendKind T, EtsSeason S>
[[nodiscard]] MANY_INLINE bool in_domain(const EtsPrediction& p, double l, double b,
                                         double s) noexcept {
    bool ok = true;
    if constexpr (E == EtsError::multiplicative) ok = ok && p.mu > 1e-100;
    if constexpr (S == EtsSeason::multiplicative) ok = ok && p.q > 1e-100 && s > 1e-100;
    if constexpr (T == EtsTrendKind::multiplicative || T == EtsTrendKind::multiplicative_damped) {
        ok = ok && l > 1e-100 && b > 1e-100;
    }
    return ok;
}

struct Start {
    double l, b;
};

Start unpack(const EtsProblem& problem, const double* p, double* season) noexcept {
    const double* at = p + kEtsSmoothing;
    Start start{*at++, 0};
    if (problem.form.has_trend()) start.b = *at++;
    if (problem.form.has_season()) {
        const int m = problem.season_length;
        double rest = problem.form.season == EtsSeason::multiplicative ? m : 0;
        for (int j = 1; j < m; ++j) {
            season[j] = *at++;
            rest -= season[j];
        }
        season[0] = rest;
    }
    return start;
}

template <EtsError E, EtsTrendKind T, EtsSeason S>
double objective(const EtsProblem& problem, const double* p, double* season) noexcept {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    const double alpha = p[0], beta = p[1], gamma = p[2], phi = p[3];
    const std::size_t n = problem.y.size();
    auto [l, b] = unpack(problem, p, season);
    double squares = 0, none = 0;
    LogSum logs;
    const int m = problem.season_length;
    int j = 0;
    for (std::size_t t = 0; t < n; ++t) {
        double& s = S == EtsSeason::none ? none : season[j];
        const double y = problem.y[t];
        const EtsPrediction at = predict_step<T, S>(l, b, s, phi);
        if (!in_domain<E, T, S>(at, l, b, s)) return kInfinity;
        double e = y - at.mu;
        if constexpr (E == EtsError::multiplicative) {
            e /= at.mu;
            logs.add(at.mu);
        }
        squares += e * e;
        update_step<T, S>(at, y, alpha, beta, gamma, l, b, s);
        if constexpr (S != EtsSeason::none) {
            if (++j == m) j = 0;
        }
    }
    if (!(squares < 1e200)) return kInfinity;
    const double size = static_cast<double>(n);
    return std::max(size * std::log(squares) + 2 * logs.total(), size * std::log(exact_squares(n)));
}

// What the derivatives of a step are made of: each is a combination of dl, db, ds and of the unit
// vectors of the smoothing parameters, with these factors.
struct Factors {
    double q_l, q_b, q_phi;       // dq
    double growth_b, growth_phi;  // d growth
    double mu_q, mu_s;            // dmu
    double d_mu, d_q, d_s;        // dd
    double alpha, d;              // dl' = dq + alpha dd + d 1_alpha
    double trend_d, trend_l,
        trend_unit;  // db' = dgrowth + trend_d dd + trend_l dl + trend_unit 1_beta
    double season_s, season_mu, season_q, season_unit;  // ds'
    double e_mu, log_mu, e;                             // de, d log mu
};

template <EtsError E, EtsTrendKind T, EtsSeason S>
[[nodiscard]] MANY_INLINE Factors factors_of(const EtsPrediction& p, const double* w, double l,
                                             double b, double s, double y) noexcept {
    Factors f{};
    const double alpha = w[0], beta = w[1], gamma = w[2], phi = w[3], u = y - p.mu;
    if constexpr (T == EtsTrendKind::none) {
        f.q_l = 1;
    } else if constexpr (T == EtsTrendKind::additive) {
        f.q_l = 1;
        f.q_b = f.growth_b = phi;
        f.q_phi = f.growth_phi = b;
    } else {
        f.growth_b = T == EtsTrendKind::multiplicative ? 1 : phi * p.growth / b;
        f.growth_phi = T == EtsTrendKind::multiplicative ? 0 : p.growth * std::log(b);
        f.q_l = p.growth;
        f.q_b = l * f.growth_b;
        f.q_phi = l * f.growth_phi;
    }
    f.mu_q = S == EtsSeason::multiplicative ? s : 1;
    f.mu_s = S == EtsSeason::none ? 0 : S == EtsSeason::additive ? 1 : p.q;
    f.d = u;
    f.d_mu = -1;
    if constexpr (S == EtsSeason::multiplicative) {
        const double ratio = y / s;
        f.d = ratio - p.q;
        f.d_mu = 0;
        f.d_q = -1;
        f.d_s = -ratio / s;
        const double share = y / p.q;
        f.season_s = 1 - gamma;
        f.season_q = -gamma * share / p.q;
        f.season_unit = share - s;
    } else if constexpr (S == EtsSeason::additive) {
        f.season_s = 1;
        f.season_mu = -gamma;
        f.season_unit = u;
    }
    f.alpha = alpha;
    f.trend_d = beta;
    f.trend_unit = f.d;
    if constexpr (T == EtsTrendKind::multiplicative || T == EtsTrendKind::multiplicative_damped) {
        f.trend_d = beta / l;
        f.trend_unit = f.d / l;
        f.trend_l = -f.trend_d * f.trend_unit;
    }
    f.e = u;
    f.e_mu = -1;
    if constexpr (E == EtsError::multiplicative) {
        f.log_mu = 1 / p.mu;
        f.e = u * f.log_mu;
        f.e_mu = -y * f.log_mu * f.log_mu;
    }
    return f;
}

// The columns c .. c + 3 of a step; the first four are those of the smoothing parameters.
template <EtsError E, EtsTrendKind T, EtsSeason S, bool First>
MANY_INLINE void step_columns(const Factors& f, std::size_t c, double* l, double* b, double* s,
                              double* e, double* cross, double* slope) noexcept {
    using V = Lanes4;
    constexpr bool kRatioTrend =
        T == EtsTrendKind::multiplicative || T == EtsTrendKind::multiplicative_damped;
    const V dl = load_lanes<V>(l + c);
    V dq = f.q_l * dl, growth{}, dmu, dd, ds{};
    if constexpr (T != EtsTrendKind::none) {
        const V db = load_lanes<V>(b + c);
        dq += f.q_b * db;
        growth = f.growth_b * db;
        if constexpr (First) {
            dq[3] += f.q_phi;
            growth[3] += f.growth_phi;
        }
    }
    if constexpr (S == EtsSeason::none) {
        dmu = dq;
        dd = -dmu;
    } else {
        ds = load_lanes<V>(s + c);
        dmu = f.mu_q * dq + f.mu_s * ds;
        dd = S == EtsSeason::additive ? -dmu : f.d_s * ds - dq;
    }
    V next = dq + f.alpha * dd;
    if constexpr (First) next[0] += f.d;
    store_lanes<V>(l + c, next);
    if constexpr (T != EtsTrendKind::none) {
        V trend = growth + f.trend_d * dd;
        if constexpr (kRatioTrend) trend += f.trend_l * dl;
        if constexpr (First) trend[1] += f.trend_unit;
        store_lanes<V>(b + c, trend);
    }
    if constexpr (S != EtsSeason::none) {
        V season =
            S == EtsSeason::additive ? ds + f.season_mu * dmu : f.season_s * ds + f.season_q * dq;
        if constexpr (First) season[2] += f.season_unit;
        store_lanes<V>(s + c, season);
    }
    const V de = f.e_mu * dmu;
    store_lanes<V>(e + c, de);
    store_lanes<V>(cross + c, load_lanes<V>(cross + c) + f.e * de);
    if constexpr (E == EtsError::multiplicative) {
        store_lanes<V>(slope + c, load_lanes<V>(slope + c) + f.log_mu * dmu);
    }
}

constexpr std::size_t kBlock = 4;  // steps whose products are added to the Gram matrix at once

// gram += sum of the outer products of kBlock rows; lower triangle, by whole vectors.
MANY_INLINE void add_products(const double* rows, std::size_t k, std::size_t stride,
                              double* gram) noexcept {
    using V = Lanes4;
    for (std::size_t i = 0; i < k; ++i) {
        double* row = gram + i * stride;
        const double r0 = rows[i], r1 = rows[stride + i], r2 = rows[2 * stride + i],
                     r3 = rows[3 * stride + i];
        for (std::size_t c = 0; c <= i; c += kRowPad) {
            const double* at = rows + c;
            const V sum =
                (r0 * load_lanes<V>(at) + r1 * load_lanes<V>(at + stride)) +
                (r2 * load_lanes<V>(at + 2 * stride) + r3 * load_lanes<V>(at + 3 * stride));
            store_lanes<V>(row + c, load_lanes<V>(row + c) + sum);
        }
    }
}

template <EtsError E, EtsTrendKind T, EtsSeason S>
MANY_INLINE bool derivatives_body(const EtsProblem& problem, const double* p,
                                  EtsDerivatives& out) noexcept {
    const std::size_t n = problem.y.size(), k = static_cast<std::size_t>(problem.size()),
                      stride = problem.stride(),
                      m = static_cast<std::size_t>(problem.season_length);
    double *dl = out.scratch.data(), *db = dl + stride, *rows = db + stride,
           *ds = rows + kBlock * stride, *season = ds + m * stride;
    double *cross = out.cross.data(), *slope = out.log_slope.data(), *gram = out.gram.data();
    auto [l, b] = unpack(problem, p, season);
    double squares = 0, none = 0;
    LogSum logs;
    std::size_t j = 0;
    for (std::size_t t = 0; t < n; ++t) {
        double& s = S == EtsSeason::none ? none : season[j];
        double* dsj = S == EtsSeason::none ? nullptr : ds + j * stride;
        double* de = rows + t % kBlock * stride;
        const double y = problem.y[t];
        const EtsPrediction at = predict_step<T, S>(l, b, s, p[3]);
        if (!in_domain<E, T, S>(at, l, b, s)) return false;
        const Factors f = factors_of<E, T, S>(at, p, l, b, s, y);
        step_columns<E, T, S, true>(f, 0, dl, db, dsj, de, cross, slope);
        for (std::size_t c = kRowPad; c < stride; c += kRowPad) {
            step_columns<E, T, S, false>(f, c, dl, db, dsj, de, cross, slope);
        }
        squares += f.e * f.e;
        if constexpr (E == EtsError::multiplicative) logs.add(at.mu);
        update_step<T, S>(at, y, p[0], p[1], p[2], l, b, s);
        if (t % kBlock == kBlock - 1) add_products(rows, k, stride, gram);
        if constexpr (S != EtsSeason::none) {
            if (++j == m) j = 0;
        }
    }
    if (n % kBlock != 0) {
        std::fill(rows + n % kBlock * stride, rows + kBlock * stride, 0.0);
        add_products(rows, k, stride, gram);
    }
    out.sums = {squares, E == EtsError::multiplicative ? logs.total() : 0};
    return squares < 1e200;
}

template <EtsError E, EtsTrendKind T, EtsSeason S>
bool derivatives_base(const EtsProblem& problem, const double* p, EtsDerivatives& out) noexcept {
    return derivatives_body<E, T, S>(problem, p, out);
}
#if MANY_X86_DISPATCH
template <EtsError E, EtsTrendKind T, EtsSeason S>
MANY_TARGET_FMA bool derivatives_fma(const EtsProblem& problem, const double* p,
                                     EtsDerivatives& out) noexcept {
    return derivatives_body<E, T, S>(problem, p, out);
}
#endif

template <EtsError E, EtsTrendKind T, EtsSeason S>
bool derivatives(const EtsProblem& problem, const double* p, EtsDerivatives& out) noexcept {
#if MANY_X86_DISPATCH
    static const bool fast = cpu_level() >= CpuLevel::fma;
    if (fast) return derivatives_fma<E, T, S>(problem, p, out);
#endif
    return derivatives_base<E, T, S>(problem, p, out);
}

// Derivatives of the initial states: unit vectors, and -1 for what the first seasonal state gives up.
void seed(const EtsProblem& problem, EtsDerivatives& out) {
    const std::size_t stride = problem.stride(), k = static_cast<std::size_t>(problem.size()),
                      m = static_cast<std::size_t>(problem.season_length);
    out.scratch.assign((2 + kBlock + m) * stride + m, 0.0);
    out.gram.assign(k * stride, 0.0);
    out.cross.assign(stride, 0.0);
    out.log_slope.assign(stride, 0.0);
    double* dl = out.scratch.data();
    std::size_t at = kEtsSmoothing;
    dl[at++] = 1;
    if (problem.form.has_trend()) dl[stride + at++] = 1;
    if (!problem.form.has_season()) return;
    double* ds = dl + (2 + kBlock) * stride;
    for (std::size_t j = 1; j < m; ++j, ++at) {
        ds[at] = -1;
        ds[j * stride + at] = 1;
    }
}

}  // namespace

double ets_objective(const EtsProblem& problem, const double* parameters, double* season) {
    return with_shape(problem.form, [&]<EtsTrendKind T, EtsSeason S>() {
        return problem.form.error == EtsError::additive
                   ? objective<EtsError::additive, T, S>(problem, parameters, season)
                   : objective<EtsError::multiplicative, T, S>(problem, parameters, season);
    });
}

bool ets_derivatives(const EtsProblem& problem, const double* parameters, EtsDerivatives& out) {
    seed(problem, out);
    const bool ok = with_shape(problem.form, [&]<EtsTrendKind T, EtsSeason S>() {
        return problem.form.error == EtsError::additive
                   ? derivatives<EtsError::additive, T, S>(problem, parameters, out)
                   : derivatives<EtsError::multiplicative, T, S>(problem, parameters, out);
    });
    if (!ok) return false;
    const std::size_t k = static_cast<std::size_t>(problem.size()), stride = problem.stride();
    for (std::size_t i = 0; i < k; ++i) {
        for (std::size_t j = 0; j < i; ++j) out.gram[j * stride + i] = out.gram[i * stride + j];
    }
    return true;
}

}  // namespace many::core
