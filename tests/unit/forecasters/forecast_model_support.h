// Small models for the tests of forecast_model.h and forecast_codec.
#pragma once

#include <gtest/gtest.h>

#include <cstring>

#include "core/forecasters/forecast_model.h"
#include "unit/forecasters/method_support.h"

namespace many::core {

inline constexpr double kNaN = FitSummary::kNone;
inline constexpr int kMonths[] = {12};

// A naive forecast of this level and variance, as after n values.
inline MethodFit level_fit(double level, double sigma2) {
    SimpleFit f;
    f.method = SimpleMethod::naive;
    f.n = 10;
    f.levels = {level};
    f.summary.sigma2 = sigma2;
    return {ForecastMethod::naive, f};
}

inline ForecastModel model_of(std::vector<MethodFit> members,
                              Combination combination = Combination::single) {
    ForecastModel m;
    m.asked = members.size() == 1 ? members[0].method : ForecastMethod::ensemble;
    m.members = std::move(members);
    m.combination = combination;
    m.grid.step.units = 1;
    m.n = 10;
    m.smallest = -100;
    m.largest = 100;
    return m;
}

struct Steps {
    Doubles mean, lower, upper;
    std::vector<std::uint8_t> flags;
    ForecastStatus status = ForecastStatus::ok;
};

inline Steps forecast(const ForecastModel& model, std::size_t h, const Doubles& levels = {0.95},
                      const Doubles& future = {}) {
    Steps s{Doubles(h), Doubles(h * levels.size()), Doubles(h * levels.size()),
            std::vector<std::uint8_t>(h)};
    s.status = forecast_model(model, {}, future, levels, {s.mean, s.lower, s.upper, s.flags});
    return s;
}

inline bool same_bits(const Doubles& a, const Doubles& b) {
    return a.size() == b.size() &&
           (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0);
}

}  // namespace many::core
