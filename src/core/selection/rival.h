// What a candidate is compared with: a rival model and a baseline; see comparison.h.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>

#include "core/codec/linear_model.h"

namespace many::core {

struct Rival {
    LinearModelView view;
    // The rival's feature k is column columns[k] of the rows; nullptr: column k.
    const int* columns = nullptr;
    // Of a forecaster the model's bytes, which were checked; there is no view then.
    const void* forecaster = nullptr;
    std::size_t forecaster_bytes = 0;
};

// By row: loss of the rival - loss of the candidate, over the rows that both predict.
struct PairedDifferences {
    double n = 0;
    double mean_squared = std::numeric_limits<double>::quiet_NaN();   // of e^2
    double sd_squared = std::numeric_limits<double>::quiet_NaN();     // divisor n - 1
    double mean_absolute = std::numeric_limits<double>::quiet_NaN();  // of |e|
    double sd_absolute = std::numeric_limits<double>::quiet_NaN();
    // Of the deviations; NaN: n - 1. Of differences in time see paired_in_time.
    double df = std::numeric_limits<double>::quiet_NaN();
};

// On the rows that the candidate's training split was judged on.
struct Comparison {
    SplitMetrics baseline{};  // the mean of the training split; n_rows = 0: nothing was held out
    SplitMetrics rival{};     // n_rows = 0: there is none, or it predicts none of the rows
    PairedDifferences paired;
    // Of forecasters (forecast_metrics.h); NaN otherwise.
    double baseline_mase = std::numeric_limits<double>::quiet_NaN();
    double rival_mase = std::numeric_limits<double>::quiet_NaN();
};

// A comparison as the registry keeps it: rmse, mae, mape, smape, r2, bias of the baseline; with a
// rival, then n_rows and the same of the rival, then the paired differences without n, which is the
// rival's n_rows. Of forecasters then mase of the baseline; with a rival also that of the rival, and
// the degrees of freedom.
constexpr int kBaselineNumbers = 6;
constexpr int kRivalNumbers = kBaselineNumbers + 7 + 4;
constexpr int kComparisonNumbers = kRivalNumbers + 3;

// Whether that many numbers speak of a rival.
[[nodiscard]] constexpr bool has_rival_numbers(int n) noexcept {
    return n >= kRivalNumbers;
}

// The count of numbers written: 0 when nothing was held out.
[[nodiscard]] inline int comparison_numbers(const Comparison& c, bool with_rival,
                                            double* to) noexcept {
    if (!(c.baseline.n_rows > 0)) return 0;
    const SplitMetrics& b = c.baseline;
    const SplitMetrics& r = c.rival;
    const double numbers[kRivalNumbers] = {b.rmse,
                                           b.mae,
                                           b.mape,
                                           b.smape,
                                           b.r2,
                                           b.bias,
                                           r.n_rows,
                                           r.rmse,
                                           r.mae,
                                           r.mape,
                                           r.smape,
                                           r.r2,
                                           r.bias,
                                           c.paired.mean_squared,
                                           c.paired.sd_squared,
                                           c.paired.mean_absolute,
                                           c.paired.sd_absolute};
    int n = with_rival ? kRivalNumbers : kBaselineNumbers;
    for (int i = 0; i < n; ++i) to[i] = numbers[i];
    const bool of_forecasters =
        !std::isnan(c.baseline_mase) ||
        (with_rival && (!std::isnan(c.rival_mase) || !std::isnan(c.paired.df)));
    if (!of_forecasters) return n;
    to[n++] = c.baseline_mase;
    if (!with_rival) return n;
    to[n++] = c.rival_mase;
    to[n++] = c.paired.df;
    return n;
}

// n_rows of the baseline is that of the candidate's holdout. False when n is another count.
[[nodiscard]] inline bool read_comparison(const double* numbers, int n, double n_rows,
                                          Comparison* c) noexcept {
    const bool with_rival = has_rival_numbers(n);
    const int plain = with_rival ? kRivalNumbers : kBaselineNumbers;
    const bool with_mase = n == plain + (with_rival ? 3 : 1);
    if (n != plain && !with_mase) return false;
    const double* v = numbers;
    c->baseline = {n_rows, v[0], v[1], v[2], v[3], v[4], v[5]};
    if (with_mase) c->baseline_mase = v[plain];
    if (!with_rival) return true;
    c->rival = {v[6], v[7], v[8], v[9], v[10], v[11], v[12]};
    c->paired = {v[6], v[13], v[14], v[15], v[16]};
    if (!with_mase) return true;
    c->rival_mase = v[plain + 1];
    c->paired.df = v[plain + 2];
    return true;
}

}  // namespace many::core
