// Lanes: the doubles that one vector register holds, and the operations on them that C++ has no
// operator for. A kernel that is written for a type of lanes T runs for T = double as well, with
// the same bits in each lane.
//
// All is always_inline: no value of these types is passed to or returned from a function, so their
// calling convention, which GCC warns of (-Wno-psabi in flags.mk), does not matter.
#pragma once

#include <cstddef>

#include "core/numeric/target.h"

namespace many::core {

template <int W>
struct LanesOf {
    typedef double Type __attribute__((vector_size(W * sizeof(double))));
};
template <>
struct LanesOf<1> {
    using Type = double;
};
// What the kernels use with AVX2; rows that they work on are padded to as many.
using Lanes4 = LanesOf<4>::Type;
inline constexpr std::size_t kRowPad = 4;

template <class T>
inline constexpr std::size_t kLanes = sizeof(T) / sizeof(double);

[[nodiscard]] constexpr std::size_t round_up_to_lanes(std::size_t n) noexcept {
    return (n + kRowPad - 1) / kRowPad * kRowPad;
}

template <class T>
[[nodiscard]] MANY_INLINE T load_lanes(const double* at) noexcept {
    if constexpr (kLanes<T> == 1) {
        return *at;
    } else {
        typedef double Stored
            __attribute__((vector_size(sizeof(T)), aligned(sizeof(double)), may_alias));
        return *reinterpret_cast<const Stored*>(at);
    }
}

template <class T>
MANY_INLINE void store_lanes(double* at, const T& value) noexcept {
    if constexpr (kLanes<T> == 1) {
        *at = value;
    } else {
        typedef double Stored
            __attribute__((vector_size(sizeof(T)), aligned(sizeof(double)), may_alias));
        *reinterpret_cast<Stored*>(at) = value;
    }
}

template <class T>
[[nodiscard]] MANY_INLINE T all_lanes(double value) noexcept {
    return value - T{};  // folded away, which the sum with 0 is not: it turns -0 into 0
}

// Of the lanes c, c + 1, .. of a row: column n is replaced, if it is among them.
template <class T>
[[nodiscard]] MANY_INLINE T replace_column(const T& lanes, std::size_t c, std::size_t n,
                                           const T& value) noexcept {
    if constexpr (kLanes<T> == 1) {
        return n == c ? value : lanes;
    } else {
        using Mask = decltype(lanes < T{});
        typedef long long Stored __attribute__((vector_size(sizeof(T)), aligned(8), may_alias));
        static constexpr long long kMask[2 * kLanes<T> - 1] = {0, 0, 0, -1, 0, 0, 0};
        static_assert(kLanes<T> == 4);
        if (n < c || n >= c + kLanes<T>) return lanes;
        const Stored one = *reinterpret_cast<const Stored*>(kMask + kLanes<T> - 1 - (n - c));
        return (Mask)one ? value : lanes;
    }
}

// out = a b + c, rounded once.
template <class T>
MANY_INLINE void fused(const T& a, const T& b, const T& c, T& out) noexcept {
    if constexpr (kLanes<T> == 1) {
        out = __builtin_fma(a, b, c);
    } else {
        T r;
        for (std::size_t k = 0; k < kLanes<T>; ++k) r[k] = __builtin_fma(a[k], b[k], c[k]);
        out = r;
    }
}

template <class T>
MANY_INLINE void root(const T& a, T& out) noexcept {
    if constexpr (kLanes<T> == 1) {
        out = __builtin_sqrt(a);
    } else {
        T r;
        for (std::size_t k = 0; k < kLanes<T>; ++k) r[k] = __builtin_sqrt(a[k]);
        out = r;
    }
}

}  // namespace many::core
