// From the data of one group, in either form of the exchange, to an encoded model with metrics.
//
// Statistics form: the caller accumulates the training rows of a group into n_moments() moments
// buffers (one, or one per fold by fold_of), then
//   prepare_holdout  fits the training split, ready to be evaluated;
//   add_holdout_rows (any number of times, any order) evaluates held-out rows and adds them to the
//                    moments, which so become those of all rows;
//   finish           refits on all rows, encodes model and metrics.
// With a rival, start_comparison and add_comparison_rows go beside the first two.
// Without a holdout only `finish` is called. In-sample mae, mape and smape are NaN here.
//
// Rows form: `fit_rows` gets all rows of the group at once, in any order, and does the same, with
// what needs the rows: splits by time or by exact counts, rolling-origin cross-validation, means of
// the group for NULLs, levels of categorical features. In-sample mae, mape, smape are computed.
//
// Both forms give the same bits for the same rows, split and options where both apply (up to the
// in-sample metrics), for any order of the rows: where rows are sorted, ties in time are broken by
// the rows' values.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/learners/linear.h"
#include "core/selection/metrics.h"
#include "core/selection/rival.h"

namespace many::core {

struct HoldoutSpec {
    enum class Kind : std::uint8_t { none, fraction, rows, since };
    Kind kind = Kind::fraction;
    double fraction = 0.2;   // 0 < fraction < 1
    std::int64_t rows = 0;   // kind rows
    std::int64_t since = 0;  // kind since: rows with time >= since (units of the time column)
    // Rows form only: with a time column "the last", otherwise those with the smallest row_hash;
    // the share is then exact: ceil(fraction * n). Statistics form: in_holdout(row_hash).
    bool exact = false;
};

enum class NullPolicy : std::uint8_t { skip_row, error, impute_mean };

struct TrainSpec {
    int n_features = 0;
    std::vector<bool> categorical;  // n_features
    bool has_time = false;          // rows carry an int64 time (bit-cast) after the target
    HoldoutSpec holdout;
    int cv_folds = 0;  // 0: none. Folds by fold_of(row_hash), or rolling origin with has_time
    NullPolicy null_policy = NullPolicy::skip_row;
    std::uint64_t seed = 0;
    int max_levels = 100;  // of one categorical feature in one group
};

// What may differ from group to group.
struct GroupOptions {
    LinearOptions linear;
    std::int64_t min_rows = -1;  // -1: parameters + 2
};

// In rows, a NULL is this NaN (never the result of arithmetic); a categorical value is the 64-bit
// key of its level, bit-cast.
constexpr std::uint64_t kNullBits =  // a quiet NaN with a payload no arithmetic produces
    0x7ff84e554c4c0001ULL;
[[nodiscard]] inline double null_value() noexcept {
    return std::bit_cast<double>(kNullBits);
}
[[nodiscard]] inline bool is_null_value(double value) noexcept {
    return std::bit_cast<std::uint64_t>(value) == kNullBits;
}

// Text of a level by feature and key; must stay valid during the call of fit_rows.
using LevelLookup = std::function<std::string_view(int feature, std::uint64_t key)>;

struct GroupResult {
    FitStatus status = FitStatus::ok;
    std::string message;               // why there is no model (status not ok), with the numbers
    std::string hint;                  // what to do; may be empty
    std::int64_t rows_used = 0;        // rows in the final fit
    std::int64_t rows_skipped = 0;     // rows form: rows left out for a NULL
    std::vector<unsigned char> model;  // encoded, status ok only
    Comparison comparison;             // status ok only
};

class GroupTrainer {
  public:
    explicit GroupTrainer(TrainSpec spec);
    ~GroupTrainer();
    GroupTrainer(const GroupTrainer&) = delete;
    GroupTrainer& operator=(const GroupTrainer&) = delete;

    [[nodiscard]] const TrainSpec& spec() const noexcept;

    // Statistics form. moments: n_moments() buffers of MomentLayout(n_features + 1), contiguous.
    [[nodiscard]] int n_moments() const noexcept;  // max(1, cv_folds)
    [[nodiscard]] std::size_t holdout_doubles() const noexcept;
    // A training split too small to fit leaves the state marked "not evaluated": add_holdout_rows
    // then only adds the rows, and the holdout metrics have n_rows = 0. Returns cancelled /
    // timed_out / ok.
    [[nodiscard]] FitStatus prepare_holdout(const double* moments, const GroupOptions& options,
                                            const StopSignal& stop, double* state);
    void add_holdout_rows(double* state, double* moments, const double* rows, std::size_t n,
                          std::size_t stride) const noexcept;
    // Judges a rival beside the candidate (comparison_state_doubles()): start it when the holdout is
    // prepared, then add the rows that are added to the holdout.
    void start_comparison(double* comparison, const double* state) const noexcept;
    void add_comparison_rows(double* comparison, const double* state, const Rival& rival,
                             const double* rows, std::size_t n, std::size_t stride) const;
    // state: nullptr without a holdout. comparison: nullptr without a rival.
    void finish(const double* moments, const double* state, const GroupOptions& options,
                const StopSignal& stop, GroupResult& result, const double* comparison = nullptr);
    // As all three, from the moments of the training split and those of the held-out rows, one
    // buffer each: for data that grow, whose rows are not kept. mae, mape and smape of the holdout
    // are NaN. Without folds.
    void finish_split(const double* train, const double* held, const GroupOptions& options,
                      const StopSignal& stop, GroupResult& result);

    // Rows form. rows: n rows of n_features + 1 (+ 1 with has_time) doubles, row r at
    // rows + r * stride; may be reordered and overwritten.
    // rival: judged beside the candidate, or nullptr.
    void fit_rows(double* rows, std::size_t n, std::size_t stride, const LevelLookup& levels,
                  const GroupOptions& options, const StopSignal& stop, GroupResult& result,
                  const Rival* rival = nullptr);

    // The feature (0-based) a message should name is written as {k}: the caller, who knows the
    // names, replaces it.

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace many::core
