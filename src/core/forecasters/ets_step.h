// One step of the recursions of ETS (ets.h has the equations), for the filter, the forecasts and the
// simulation. Symbols: l, b, s the states before the step; q, mu, d as in ets.h.
#pragma once

#include <cmath>

#include "core/forecasters/ets.h"
#include "core/numeric/target.h"

namespace many::core {

// The parts of a form that change the arithmetic; damping is phi < 1.
enum class EtsTrendKind { none, additive, multiplicative, multiplicative_damped };

[[nodiscard]] inline EtsTrendKind trend_kind(const EtsForm& form) noexcept {
    switch (form.trend) {
        case EtsTrend::none:
            return EtsTrendKind::none;
        case EtsTrend::multiplicative:
            return EtsTrendKind::multiplicative;
        case EtsTrend::multiplicative_damped:
            return EtsTrendKind::multiplicative_damped;
        default:
            return EtsTrendKind::additive;
    }
}

// What a step finds before it sees y: growth is phi b or b^phi.
struct EtsPrediction {
    double growth = 0, q = 0, mu = 0;
};

template <EtsTrendKind T, EtsSeason S>
[[nodiscard]] MANY_INLINE EtsPrediction predict_step(double l, double b, double s,
                                                     double phi) noexcept {
    EtsPrediction p;
    if constexpr (T == EtsTrendKind::none) {
        p.q = l;
    } else if constexpr (T == EtsTrendKind::additive) {
        p.growth = phi * b;
        p.q = l + p.growth;
    } else {
        p.growth = T == EtsTrendKind::multiplicative ? b : std::pow(b, phi);
        p.q = l * p.growth;
    }
    p.mu = S == EtsSeason::none ? p.q : S == EtsSeason::additive ? p.q + s : p.q * s;
    return p;
}

// Moves l, b, s by y.
template <EtsTrendKind T, EtsSeason S>
MANY_INLINE void update_step(const EtsPrediction& p, double y, double alpha, double beta,
                             double gamma, double& l, double& b, double& s) noexcept {
    const double u = y - p.mu;
    const double d = S == EtsSeason::multiplicative ? u / s : u;
    if constexpr (T == EtsTrendKind::additive) {
        b = p.growth + beta * d;
    } else if constexpr (T != EtsTrendKind::none) {
        b = p.growth + beta * d / l;
    }
    l = p.q + alpha * d;
    if constexpr (S == EtsSeason::additive) {
        s += gamma * u;
    } else if constexpr (S == EtsSeason::multiplicative) {
        s += gamma * u / p.q;
    }
}

// Calls f.template operator()<trend kind, season>().
template <class F>
decltype(auto) with_shape(const EtsForm& form, F&& f) {
    const auto with_trend = [&]<EtsTrendKind T>() -> decltype(auto) {
        switch (form.season) {
            case EtsSeason::additive:
                return f.template operator()<T, EtsSeason::additive>();
            case EtsSeason::multiplicative:
                return f.template operator()<T, EtsSeason::multiplicative>();
            default:
                return f.template operator()<T, EtsSeason::none>();
        }
    };
    switch (trend_kind(form)) {
        case EtsTrendKind::additive:
            return with_trend.template operator()<EtsTrendKind::additive>();
        case EtsTrendKind::multiplicative:
            return with_trend.template operator()<EtsTrendKind::multiplicative>();
        case EtsTrendKind::multiplicative_damped:
            return with_trend.template operator()<EtsTrendKind::multiplicative_damped>();
        default:
            return with_trend.template operator()<EtsTrendKind::none>();
    }
}

}  // namespace many::core
