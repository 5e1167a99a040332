// A linear model as bytes: compact, versioned, checksummed, read in place.
//
// All numbers little-endian; no alignment is assumed (fields are loaded by memcpy, which compiles
// to plain loads). Layout of format version 1:
//
//   offset size
//   0      4    magic "MMLM"
//   4      2    format version (1)
//   6      1    algorithm (core::Algorithm)
//   7      1    flags: 1 intercept, 2 inverse factor present (OLS), 4 features imputed by mean,
//               8 has categorical features, 16 moments of the features present
//   8      4    total bytes
//   12     4    CRC-32C (Castagnoli) of all bytes with this field as 0 and interval_t as 0
//   16     2    n_features (as the caller passes them)
//   18     2    n_terms (p, without the intercept)
//   20     4    rank
//   24     ...  doubles: see the accessors' order (interval_t first)
//   then        p coefficients, p means, p std errors, packed inverse factor if present,
//               p means and p standard deviations of the terms (only with flag 16: where means and
//               inverse factor do not tell them),
//               n_features feature means (only with flag 4; for a categorical feature the index of
//               its most frequent level)
//   then        per feature, if flag 8: u8 kind (0 numeric, 1 categorical), u16 number of levels,
//               then the levels sorted bytewise (u16 length + bytes each); level 0 is the
//               reference, each other level is one term
//
// Without flag 8 term j is feature j. Metrics of the splits are stored too, so that one model is
// one row of one table. Interval_t is a cache slot: 0 on disk; a scorer that has many rows fills it
// once with the t quantile of its level (set_interval_level).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/learners/linear.h"

namespace many::core {

// Levels of a categorical feature; sorted bytewise, first = reference. Empty = numeric feature.
struct FeatureLevels {
    std::vector<std::string> levels;
};

struct ModelParts {
    const LinearFit* fit = nullptr;
    SplitMetrics train{}, holdout{};                     // cv is in fit->cv
    bool imputed = false;                                // null_policy impute_mean
    std::vector<double> feature_means;                   // n_features, only when imputed
    const std::vector<FeatureLevels>* levels = nullptr;  // n_features entries, or nullptr
    int n_features = 0;
};

// Encodes; the buffer is overwritten and keeps its capacity.
void encode_model(const ModelParts& parts, std::vector<unsigned char>& bytes);

enum class ScoreCode : std::uint8_t {
    ok = 0,
    null_feature = 1,  // feature `feature` is NULL and the model does not impute
    unseen_level = 2,  // feature `feature` has a level that training did not see
    not_finite = 3,    // feature `feature` is NaN or infinite
    imputed = 4,       // feature `feature` was NULL and took the group's mean (prediction valid)
    no_model = 5,      // there is no model for the row's group (set by the caller)
    overflow = 6,      // the prediction is not finite
    // Of forecasts.
    without_season = 7,  // the series was too short for its season (prediction valid)
    naive_instead = 8,   // it was too short for the method at all (prediction valid)
    explosive = 9,       // far outside of everything that was seen (prediction valid)
    no_future = 10,      // the features of this time are not there (feature: which, all: n)
};

struct Score {
    double prediction = 0, lower = 0, upper = 0;  // NaN: not available
    ScoreCode code = ScoreCode::ok;
    std::uint16_t feature = 0;
};

// One value passed to a model: a number, or the text of a level.
struct FeatureValue {
    double number = 0;
    const char* text = nullptr;
    std::uint32_t text_length = 0;
    bool is_null = false;
};

// A view on encoded bytes. `open` checks magic, version, lengths and (if asked) the checksum and
// throws Error{invalid_data}; every later access stays inside the bytes whatever they contain.
class LinearModelView {
  public:
    enum class Check { structure, checksum };
    // Cost O(1) for structure (O(n_features + levels) with categoricals), O(bytes) for checksum.
    static LinearModelView open(const void* bytes, std::size_t length, Check check);
    // As open(structure) without the throw: false when the bytes are not a model. For hot loops.
    [[nodiscard]] static bool try_open(const void* bytes, std::size_t length,
                                       LinearModelView* out) noexcept;

    [[nodiscard]] Algorithm algorithm() const noexcept;
    [[nodiscard]] bool has_intercept() const noexcept;
    [[nodiscard]] bool has_interval() const noexcept;  // OLS with df_residual > 0
    [[nodiscard]] bool imputed() const noexcept;
    [[nodiscard]] bool has_levels() const noexcept;
    [[nodiscard]] int n_features() const noexcept;
    [[nodiscard]] int n_terms() const noexcept;
    [[nodiscard]] int rank() const noexcept;
    // scalars, in stored order after interval_t
    [[nodiscard]] double interval_t() const noexcept;
    [[nodiscard]] double n_rows() const noexcept;
    [[nodiscard]] double df_residual() const noexcept;
    [[nodiscard]] double rss() const noexcept;
    [[nodiscard]] double tss() const noexcept;
    [[nodiscard]] double r2() const noexcept;
    [[nodiscard]] double sigma() const noexcept;
    [[nodiscard]] double lambda() const noexcept;
    [[nodiscard]] double alpha() const noexcept;
    [[nodiscard]] double condition_number() const noexcept;
    [[nodiscard]] double intercept() const noexcept;
    [[nodiscard]] double intercept_std_error() const noexcept;
    [[nodiscard]] double target_mean() const noexcept;
    [[nodiscard]] SplitMetrics train() const noexcept;
    [[nodiscard]] SplitMetrics holdout() const noexcept;
    [[nodiscard]] SplitMetrics cv() const noexcept;
    [[nodiscard]] double coefficient(int term) const noexcept;  // NaN = dropped
    [[nodiscard]] double std_error(int term) const noexcept;
    [[nodiscard]] double mean(int term) const noexcept;

    // Mean and standard deviation (divisor n) of each term over the rows of the fit; n_terms values
    // each. Least squares with intercept has them in its means and inverse factor (C = W^-1 W^-T,
    // the centred cross-products), all others store them; NaN where neither is the case.
    // Cost O(p), O(p^3 / 6) from the inverse factor.
    void term_moments(std::vector<double>& means, std::vector<double>& spreads) const;

    // The feature of a term and its level (empty for a numeric feature). Cost O(features + levels).
    struct Term {
        int feature;
        std::string_view level;
    };
    [[nodiscard]] Term term(int index) const noexcept;
    // The level of a categorical feature that has no term; empty when the feature has no levels.
    [[nodiscard]] std::string_view reference_level(int feature) const noexcept;

    // A walk over the features in order and, of the current one, over its levels. Trivially
    // destructible; stays inside the bytes, whatever they contain.
    class FeatureWalk {
      public:
        explicit FeatureWalk(const LinearModelView& view) noexcept;
        [[nodiscard]] bool next() noexcept;  // to the next feature; false after the last
        [[nodiscard]] bool next_level(std::string_view* level) noexcept;
        [[nodiscard]] bool categorical() const noexcept { return categorical_; }
        [[nodiscard]] int n_levels() const noexcept { return n_levels_; }
        // The term of a numeric feature; level l > 0 of a categorical one is term first_term() + l - 1.
        [[nodiscard]] int first_term() const noexcept { return first_term_; }
        // With imputed(): what stands in for a NULL, the mean or the index of a level; else NaN.
        [[nodiscard]] double imputed_value() const noexcept;

      private:
        const unsigned char* means_ = nullptr;   // of the features; nullptr: not imputed
        const unsigned char* levels_ = nullptr;  // the level section; nullptr: all are numeric
        const unsigned char* end_ = nullptr;
        int n_features_ = 0;
        int feature_ = -1;
        bool categorical_ = false;
        int n_levels_ = 0;
        int levels_left_ = 0;
        int first_term_ = 0;
        int next_term_ = 0;
    };

    // Scores one row of n_features values. Prediction in the centred form target_mean +
    // sum b_j (x_j - mean_j) (no cancellation for large offsets). lower/upper: prediction interval
    // prediction -/+ t sigma sqrt(1 + leverage), t = interval_t(); NaN when interval_t() is 0 or
    // has_interval() is false. Dropped terms count 0. Cost O(p), O(p^2) with intervals;
    // no allocation for n_terms <= 256.
    [[nodiscard]] Score score(const FeatureValue* values) const;
    // As score, for a model without categoricals and a row without NULLs: x has n_features doubles.
    [[nodiscard]] Score score_numeric(const double* x) const;

    // Writes the t quantile of `level` into the cache slot of writable bytes (a private copy).
    static void set_interval_level(void* bytes, std::size_t length, double level);

  private:
    [[nodiscard]] Score score_terms(const double* x) const;

    const unsigned char* bytes_ = nullptr;
    std::size_t length_ = 0;
};

[[nodiscard]] std::uint32_t crc32c(const void* bytes, std::size_t length,
                                   std::uint32_t seed = 0) noexcept;

}  // namespace many::core
