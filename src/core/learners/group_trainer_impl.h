// What a GroupTrainer keeps from group to group. Private to learners/group_*.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "core/codec/linear_model.h"
#include "core/learners/group_trainer.h"
#include "core/learners/row_design.h"
#include "core/numeric/moments.h"

namespace many::core {

// "1 row", "2 rows".
[[nodiscard]] inline std::string counted(std::size_t n, const char* noun) {
    return std::to_string(n) + ' ' + noun + (n == 1 ? "" : "s");
}

struct GroupTrainer::Impl {
    explicit Impl(TrainSpec s);

    TrainSpec spec;
    MomentLayout layout;  // statistics form
    LinearSolver solver;
    LinearFit fit;
    std::vector<double> total;

    // Rows form.
    std::vector<std::uint32_t> usable, training, held_rows, fold_rows;  // in the order of time
    std::vector<unsigned char> held;                                    // by position in `usable`
    std::vector<std::uint64_t> hashes;                                  // by row
    RowDesign design, split_design, split_within;
    std::vector<double> whole, trains, tests, block, state, comparison;
    bool has_nulls = false;  // among the features of usable rows (impute_mean)

    struct Rows {
        const double* data = nullptr;
        std::size_t stride = 0;
        [[nodiscard]] const double* at(std::uint32_t r) const noexcept { return data + r * stride; }
    };

    // Everything after the final fit: metrics, encoding. in_sample: mae, mape, smape, or nullptr.
    void encode(const SplitMetrics& holdout, const SplitMetrics* in_sample, const double* moments,
                const RowDesign* levels, GroupResult& result);
    // Fills status, message and hint; true when the fit may go on.
    bool enough_rows(double n, int terms, const GroupOptions& options, GroupResult& result) const;
    void explain(FitStatus status, double n, const GroupOptions& options,
                 GroupResult& result) const;
    // An evaluated split is one whose model has something left to judge it by.
    [[nodiscard]] bool can_be_evaluated(FitStatus status) const noexcept;
    // Mean of the target in the rows of `moments`, which `fit` was fitted to.
    [[nodiscard]] double baseline(const double* moments) const noexcept;

    // Rows form (group_rows.cpp).
    bool select_rows(const Rows& rows, std::size_t n, const StopSignal& stop, GroupResult& result);
    void order_by_time(const Rows& rows);
    void choose_holdout(const Rows& rows);
    void note_nulls(const Rows& rows);
    [[nodiscard]] FitStatus judge_holdout(const Rows& rows, const LevelLookup& levels,
                                          const GroupOptions& options, const StopSignal& stop,
                                          const Rival* rival, SplitMetrics* out,
                                          Comparison* comparison);
    bool explain_design(RowDesign::Problem problem, GroupResult& result) const;
    // Adds rows to moments through a design; unseen levels are left out.
    [[nodiscard]] FitStatus accumulate(const Rows& rows, const RowDesign& d,
                                       const std::uint32_t* index, std::size_t n, double* moments,
                                       const StopSignal& stop);
    // Fills `state` with what was found of `index`. with_row(expanded, raw): called for each row.
    template <class WithRow>
    [[nodiscard]] FitStatus evaluate(const Rows& rows, const RowDesign& d,
                                     const std::vector<std::uint32_t>& index, double mean,
                                     const StopSignal& stop, WithRow with_row);
    // Fits the rows of `index` (ordered), with cross-validation where asked.
    [[nodiscard]] FitStatus fit_subset(const Rows& rows, const RowDesign& d,
                                       const std::vector<std::uint32_t>& index,
                                       const GroupOptions& options, bool cross_validate,
                                       const StopSignal& stop);
    [[nodiscard]] FitStatus make_splits(const Rows& rows, const RowDesign& d,
                                        const std::vector<std::uint32_t>& index, bool learn_each,
                                        const StopSignal& stop);
};

}  // namespace many::core
