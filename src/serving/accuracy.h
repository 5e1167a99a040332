// What the aggregate evaluate_pairs returns: an array of numbers in this order.
#pragma once

namespace many::serving {

enum EvaluateCount {
    kPredictions,        // ids with a row of predictions
    kWithoutActual,      // ... and a prediction, but no actual
    kWithoutPrediction,  // ... whose prediction is NULL
    kNotScored,          // ids with an actual and no row of predictions
    kAmbiguous,          // ids with more than one row on a side
    kEvaluateCounts
};

// After them: n_rows, rmse, mae, mape, smape, r2, bias, coverage.
constexpr int kEvaluateMetrics = 8;
constexpr int kEvaluateValues = kEvaluateCounts + kEvaluateMetrics;

}  // namespace many::serving
