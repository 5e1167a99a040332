// Population stability: how far recent values of a feature are from those of the training.
//
// The population stability index of shares p and q is sum (q - p) ln (q / p) (Siddiqi, Credit Risk
// Scorecards, 2006), which is the symmetrised divergence of Kullback and Leibler (1951). For a
// numeric feature it is taken between two normal distributions with the means and variances of both
// samples, which needs no bins:
//
//   1/2 ((v1 + d^2) / v2 + (v2 + d^2) / v1) - 1,  d = m1 - m2
//
// Each sample is taken together with one row of the other's moments (categorical: half a row per
// level), so that a constant sample or a level that one side lacks is far away, not infinitely far.
//
// Samples of the same population differ by chance: the index is then about (1/n1 + 1/n2) times chi
// square, with 2 degrees of freedom for a numeric feature, levels - 1 for a categorical one (Yurdakul,
// Statistical Properties of Population Stability Index, 2018). `noise` is its 99 % quantile.
#pragma once

#include <cstddef>

namespace many::core {

struct Sample {
    double n, mean, spread;  // spread: standard deviation, divisor n
};

struct Stability {
    double index, noise;
};

// Both samples have rows.
[[nodiscard]] Stability normal_stability(const Sample& training, const Sample& recent) noexcept;

// Rows per level on both sides, k >= 2 levels, each side with rows.
[[nodiscard]] Stability level_stability(const double* training, const double* recent,
                                        std::size_t k) noexcept;

}  // namespace many::core
