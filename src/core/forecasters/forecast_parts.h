// What the files of forecast_model.h share.
#pragma once

#include <span>
#include <vector>

#include "core/forecasters/forecast_model.h"

namespace many::core {

// The mean without the first and the last of three or more ascending values.
[[nodiscard]] double trimmed_mean(std::span<const double> sorted);

// Median, mean, weighted or trimmed mean of the members' values that are not NaN; NaN when all are. Scratch is
// kept between calls.
class Combiner {
  public:
    Combiner(Combination combination, std::span<const double> weights)
        : combination_(combination), weights_(weights) {}

    // values: stride apart, one per member.
    [[nodiscard]] double operator()(const double* values, std::size_t members, std::size_t stride);

  private:
    Combination combination_;
    std::span<const double> weights_;
    std::vector<double> sorted_;
};

// Quantiles of the model's bootstrap. means: members x h. quantiles: h x probabilities, step-major;
// NaN where a path is. False: no residuals, or a member without a recursion.
[[nodiscard]] bool bootstrap_quantiles(const ForecastModel& model, std::span<const double> means,
                                       std::span<const double> probabilities,
                                       std::span<double> quantiles);

// What is wrong with a model as a whole, its fits included; nullptr: nothing.
[[nodiscard]] const char* model_defect(const ForecastModel& model) noexcept;

}  // namespace many::core
