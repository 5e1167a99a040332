// Which rows are held out, and which fold a row falls in: a seeded hash of the row's values.
//
// The hash sees only the values (x_1 .. x_p, y) and the seed: not the row's place in the table, the
// process that reads it, nor the time; so the split is the same for any number of workers and any
// order, and equal rows fall on the same side. -0.0 hashes as 0.0, every NaN as one NaN.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace many::core {

namespace detail {
inline std::uint64_t mix64(std::uint64_t h) noexcept {  // Steele, Lea & Flood 2014 (SplitMix64)
    h ^= h >> 30;
    h *= 0xbf58476d1ce4e5b9ULL;
    h ^= h >> 27;
    h *= 0x94d049bb133111ebULL;
    return h ^ (h >> 31);
}
}  // namespace detail

// 64-bit hash of d doubles. Cost about 2 ns a value.
[[nodiscard]] inline std::uint64_t row_hash(const double* values, std::size_t d,
                                            std::uint64_t seed) noexcept {
    std::uint64_t h = detail::mix64(seed + 0x9e3779b97f4a7c15ULL);
    for (std::size_t i = 0; i < d; ++i) {
        const double v = values[i] == values[i] ? values[i] + 0.0 : __builtin_nan("");
        std::uint64_t bits;
        std::memcpy(&bits, &v, sizeof bits);
        h = (h ^ bits) * 0x9fb21c651e98df25ULL;
        h ^= h >> 32;
    }
    return detail::mix64(h);
}

// True for the share `fraction` (0..1) of all hashes.
[[nodiscard]] inline bool in_holdout(std::uint64_t hash, double fraction) noexcept {
    return static_cast<double>(hash >> 11) * 0x1p-53 < fraction;
}

// Fold 0 .. k-1, independent of in_holdout.
[[nodiscard]] inline int fold_of(std::uint64_t hash, int k) noexcept {
    return static_cast<int>((detail::mix64(hash ^ 0x5851f42d4c957f2dULL) >> 33) %
                            static_cast<std::uint64_t>(k));
}

}  // namespace many::core
