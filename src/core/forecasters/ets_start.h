// Initial states of ETS models before anything is optimised.
#pragma once

#include <vector>

#include "core/forecasters/ets.h"

namespace many::core {

// Scratch of the heuristics, and what they find out once for all forms of a series.
struct EtsStartScratch {
    std::vector<double> adjusted, seasonal;
};

// Hyndman et al. (2002), 3.1, in R's form: seasonal states from a classical decomposition (fewer
// than three seasons: from the deviations of a line with one harmonic), level and trend from a line
// through the first max(10, 2 m) seasonally adjusted values. y: at least m + 1 values.
void heuristic_start(const EtsForm& form, std::span<const double> y, int season_length,
                     EtsStartScratch& scratch, EtsState& out);

// As Holt and Winters had it. No season: the first value, and the first difference (quotient);
// season: the mean of the first season, the mean step between the first two, and what the first
// season's values differ from its mean (quotient). False: y is too short (2 values, 2 seasons).
[[nodiscard]] bool textbook_start(const EtsForm& form, std::span<const double> y, int season_length,
                                  EtsState& out);

}  // namespace many::core
