// From raw rows to design rows: levels to one-hot terms, NULLs to the group's means.
//
// A design is learned from one subset of the rows of a group (its training part) and applied to
// any row of the group. Everything learned is order-free: means come from triple-double sums.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/codec/linear_model.h"
#include "core/learners/group_trainer.h"

namespace many::core {

class RowDesign {
  public:
    enum class Problem { none, too_many_levels, level_too_long, always_null, too_many_terms };

    // Learns from the rows `rows[index[0]] .. rows[index[n - 1]]` (each stride doubles). The
    // spec and the strings of `lookup` need to live as long as the call only.
    // Cost O(n (features + categoricals log levels)).
    [[nodiscard]] Problem learn(const TrainSpec& spec, const double* rows, std::size_t stride,
                                const std::uint32_t* index, std::size_t n,
                                const LevelLookup& lookup);
    // Takes the terms from `whole` (learned from a superset), but means and the levels that count
    // as seen from the rows given: the training part of a cross-validation split.
    [[nodiscard]] Problem learn_within(const RowDesign& whole, const TrainSpec& spec,
                                       const double* rows, std::size_t stride,
                                       const std::uint32_t* index, std::size_t n);

    // The feature `learn` failed on.
    [[nodiscard]] int problem_feature() const noexcept { return problem_feature_; }
    [[nodiscard]] int terms() const noexcept { return terms_; }
    [[nodiscard]] bool has_categorical() const noexcept { return has_categorical_; }
    [[nodiscard]] const std::vector<FeatureLevels>& levels() const noexcept { return levels_; }
    // Means; for a categorical feature the index of its most frequent level.
    [[nodiscard]] const std::vector<double>& feature_means() const noexcept { return means_; }

    // out: terms() + 1 doubles (x, y). False: the row has a level that was not seen.
    [[nodiscard]] bool expand(const double* row, double* out) const noexcept;

  private:
    struct Level {
        std::uint64_t key = 0;
        std::int64_t count = 0;
        int index = 0;  // in the sorted texts
    };
    struct Feature {
        bool categorical = false;
        int first_term = 0;
        std::vector<Level> levels;  // sorted by key
    };

    Problem count(const TrainSpec& spec, const double* rows, std::size_t stride,
                  const std::uint32_t* index, std::size_t n);
    Problem name_levels(int feature, const LevelLookup& lookup);
    [[nodiscard]] double most_frequent(const Feature& feature) const;

    int n_features_ = 0, terms_ = 0, problem_feature_ = 0;
    bool has_categorical_ = false;
    std::vector<Feature> features_;
    std::vector<FeatureLevels> levels_;
    std::vector<double> means_;
};

}  // namespace many::core
