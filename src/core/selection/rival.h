// What a candidate is compared with: a rival model and a baseline; see comparison.h.
#pragma once

#include <limits>

#include "core/codec/linear_model.h"

namespace many::core {

struct Rival {
    LinearModelView view;
    // The rival's feature k is column columns[k] of the rows; nullptr: column k.
    const int* columns = nullptr;
};

// By row: loss of the rival - loss of the candidate, over the rows that both predict.
struct PairedDifferences {
    double n = 0;
    double mean_squared = std::numeric_limits<double>::quiet_NaN();   // of e^2
    double sd_squared = std::numeric_limits<double>::quiet_NaN();     // divisor n - 1
    double mean_absolute = std::numeric_limits<double>::quiet_NaN();  // of |e|
    double sd_absolute = std::numeric_limits<double>::quiet_NaN();
};

// On the rows that the candidate's training split was judged on.
struct Comparison {
    SplitMetrics baseline{};  // the mean of the training split; n_rows = 0: nothing was held out
    SplitMetrics rival{};     // n_rows = 0: there is none, or it predicts none of the rows
    PairedDifferences paired;
};

}  // namespace many::core
