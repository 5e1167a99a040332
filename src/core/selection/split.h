// Which rows are held out, and which fold a row falls in: a seeded hash of the row's values.
//
// The hash sees only the values (x_1 .. x_p, y) and the seed: not the row's place in the table, the
// process that reads it, nor the time; so the split is the same for any number of workers and any
// order, and equal rows fall on the same side. -0.0 hashes as 0.0, every NaN as one NaN.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace many::core {

namespace detail {
inline constexpr std::uint64_t mix64(
    std::uint64_t h) noexcept {  // Steele, Lea & Flood 2014 (SplitMix64)
    h ^= h >> 30;
    h *= 0xbf58476d1ce4e5b9ULL;
    h ^= h >> 27;
    h *= 0x94d049bb133111ebULL;
    return h ^ (h >> 31);
}

// Bits of a value with one zero and one NaN.
inline std::uint64_t canonical_bits(double value) noexcept {
    const double v = value + 0.0;  // -0 becomes 0
    std::uint64_t bits;
    std::memcpy(&bits, &v, sizeof bits);
    return v == v ? bits : 0x7ff8000000000000ULL;
}
// The same of a finite value.
inline std::uint64_t canonical_finite(double value) noexcept {
    std::uint64_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits << 1 == 0 ? 0 : bits;
}
// Both halves of the 128-bit product, folded.
inline std::uint64_t fold_product(std::uint64_t a, std::uint64_t b) noexcept {
    __extension__ using Wide = unsigned __int128;
    const Wide product = static_cast<Wide>(a) * b;
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

template <class Canonical>
[[nodiscard]] inline std::uint64_t row_hash_by(const double* values, std::size_t d,
                                               std::uint64_t seed, Canonical canonical) noexcept {
    const std::uint64_t start = mix64(seed + 0x9e3779b97f4a7c15ULL);
    std::uint64_t h = 0;
    std::uint64_t key = start;
    std::size_t i = 0;
    for (; i + 1 < d; i += 2) {
        key += 0xd1342543de82ef95ULL;
        h += fold_product(canonical(values[i]) ^ key,
                          canonical(values[i + 1]) ^ ~key * 0x2545f4914f6cdd1dULL);
    }
    if (i < d) h += fold_product(canonical(values[i]) ^ (key + 0xd1342543de82ef95ULL), start | 1);
    return mix64(h ^ (static_cast<std::uint64_t>(d) * 0x9fb21c651e98df25ULL));
}
}  // namespace detail

// 64-bit hash of d doubles. Pairs of values are multiplied independently of each other, so that a
// row of 9 costs about 4 ns; each pair has constants of its own, so that order matters.
[[nodiscard]] inline std::uint64_t row_hash(const double* values, std::size_t d,
                                            std::uint64_t seed) noexcept {
    return detail::row_hash_by(values, d, seed,
                               [](double v) noexcept { return detail::canonical_bits(v); });
}
// The same hash, of values that are known to be finite.
[[nodiscard]] inline std::uint64_t finite_row_hash(const double* values, std::size_t d,
                                                   std::uint64_t seed) noexcept {
    return detail::row_hash_by(values, d, seed,
                               [](double v) noexcept { return detail::canonical_finite(v); });
}

// Hash of d doubles (at most kBitwiseKeys - 1) bit by bit, whatever they are: a NaN, a time, the hash
// of a text. Pairs are multiplied after constants of their own were added, and the products summed in
// 128 bits: a multiplication per pair and no more (Black et al. 1999, UMAC's NH).
inline constexpr std::size_t kBitwiseKeys = 1664;
namespace detail {
inline constexpr std::array<std::uint64_t, kBitwiseKeys> kKeys = [] {
    std::array<std::uint64_t, kBitwiseKeys> keys{};
    std::uint64_t state = 0;
    for (std::uint64_t& key : keys) key = mix64(state += 0x9e3779b97f4a7c15ULL);
    return keys;
}();
inline std::uint64_t bits_of(const double& value) noexcept {
    std::uint64_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}
}  // namespace detail
[[nodiscard]] inline std::uint64_t bitwise_row_hash(const double* values, std::size_t d) noexcept {
    __extension__ using Wide = unsigned __int128;
    const auto& keys = detail::kKeys;
    Wide sum = 0;
    std::size_t i = 0;
    for (; i + 1 < d; i += 2)
        sum += static_cast<Wide>(detail::bits_of(values[i]) + keys[i]) *
               (detail::bits_of(values[i + 1]) + keys[i + 1]);
    if (i < d) sum += static_cast<Wide>(detail::bits_of(values[i]) + keys[i]) * keys[i + 1];
    return detail::mix64(static_cast<std::uint64_t>(sum) ^ static_cast<std::uint64_t>(sum >> 64) ^
                         (static_cast<std::uint64_t>(d) * 0x9fb21c651e98df25ULL));
}

// True for the share `fraction` (0..1) of all hashes: those below this bound, in their upper 53 bits.
[[nodiscard]] inline std::uint64_t holdout_bound(double fraction) noexcept {
    return static_cast<std::uint64_t>(std::ceil(fraction * 0x1p53));
}
[[nodiscard]] inline bool in_holdout(std::uint64_t hash, double fraction) noexcept {
    return (hash >> 11) < holdout_bound(fraction);
}

// Fold 0 .. k-1, independent of in_holdout.
[[nodiscard]] inline int fold_of(std::uint64_t hash, int k) noexcept {
    return static_cast<int>((detail::mix64(hash ^ 0x5851f42d4c957f2dULL) >> 33) %
                            static_cast<std::uint64_t>(k));
}

}  // namespace many::core
