// A rival model, usually the one in production, judged on the rows that a candidate is judged on,
// and whether the difference between the two is more than chance.
//
// A comparison state is flat (doubles only) and order-free, like the state of metrics.h. Rows that
// the rival cannot score (a NULL it does not impute, a level it never saw) are left out of it:
// n_rows of the rival says how many there were.
//
// The test is the paired t test of d = loss of the rival - loss of the candidate by row, with the
// loss e^2 or |e|: the test of Diebold & Mariano 1995 for forecasts one step ahead, with the
// correction of Harvey, Leybourne & Newbold 1997 for small samples (for h = 1 it makes the
// statistic mean(d) / (sd(d) / sqrt(n)), to be compared with Student's t of n - 1 degrees of
// freedom). It supposes rows that are independent of each other. Errors of one forecast at several
// steps are not: paired_in_time.
#pragma once

#include <cstddef>
#include <limits>
#include <span>

#include "core/learners/group_trainer.h"
#include "core/selection/rival.h"

namespace many::core {

// Doubles in a comparison state.
[[nodiscard]] std::size_t comparison_state_doubles() noexcept;

// centre: a value near the actuals (the training split's mean), about which they are centred.
void comparison_start(double* state, double centre) noexcept;

// One row: actual, and what both models say. Predictions must be finite.
void comparison_add(double* state, double y, double candidate, double rival) noexcept;

// Metrics of the rival and the paired differences; n_rows = 0 and n = 0 when there were no rows.
void comparison_finish(const double* state, SplitMetrics* rival,
                       PairedDifferences* paired) noexcept;

// The same test for differences in the order of time that depend on their neighbours, as those of the
// steps of one forecast do. The deviations are long-run ones, by the first B = max(2, 0.4 n^(2/3))
// cosines of the series (equal-weighted cosine estimator), with B degrees of freedom: Lazarus, Lewis,
// Stock & Watson 2018, "HAR inference: recommendations for practice". Of two or three differences it
// is Student's test. O(n^(5/3)).
void paired_in_time(std::span<const double> by_square, std::span<const double> by_absolute,
                    PairedDifferences* paired);

// The rival's prediction for a row of numbers (n_features doubles, as the candidate reads them);
// false when it has none. Throws bad_alloc only (models of more than 256 terms).
[[nodiscard]] bool rival_predicts(const Rival& rival, const double* row, double* prediction);

// The same for rows with NULLs and levels (GroupTrainer's rows form).
[[nodiscard]] bool rival_predicts(const Rival& rival, const double* row, const TrainSpec& spec,
                                  const LevelLookup& levels, double* prediction);

// Probability, when the rival is as good as the candidate, of a mean difference at least this much
// in favour of the candidate: one-sided. NaN for n < 2. Without any spread: 0, 0.5 or 1 by the sign
// of the mean. df: of sd, n - 1 if it is not given.
[[nodiscard]] double paired_p_value(double n, double mean, double sd,
                                    double df = std::numeric_limits<double>::quiet_NaN()) noexcept;

}  // namespace many::core
