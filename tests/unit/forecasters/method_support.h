// Series and specs that the tests of methods and of stored forecasters share.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "core/forecasters/method.h"

namespace many::core {

using Doubles = std::vector<double>;

// Uniform in (-1, 1), the same everywhere.
class Noise {
  public:
    explicit Noise(std::uint64_t seed) : state_(seed * 2 + 1) {}
    double operator()() {
        state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL;
        return static_cast<double>(state_ >> 11) * 0x1p-52 - 1;
    }

  private:
    std::uint64_t state_;
};

// Positive, with a trend and a season.
inline Doubles seasonal_series(int n, int m, std::uint64_t seed = 1) {
    Noise noise(seed);
    Doubles y;
    for (int t = 0; t < n; ++t) {
        y.push_back((100 + 0.7 * t) * (1 + 0.3 * std::sin(2 * M_PI * t / m)) + 5 * noise());
    }
    return y;
}

inline Doubles demand_series(int n, std::uint64_t seed = 1) {
    Noise noise(seed);
    Doubles y;
    for (int t = 0; t < n; ++t) {
        const double size = std::floor(3 + 2 * noise());
        y.push_back(noise() > 0.3 ? size : 0);
    }
    return y;
}

inline MethodSpec spec_of(ForecastMethod method) {
    MethodSpec spec;
    spec.method = method;
    return spec;
}

// Every method that is fitted by itself, and variants of some.
inline std::vector<MethodSpec> all_specs() {
    std::vector<MethodSpec> specs;
    for (const ForecastMethod m : {ForecastMethod::naive,
                                   ForecastMethod::seasonal_naive,
                                   ForecastMethod::mean,
                                   ForecastMethod::drift,
                                   ForecastMethod::window_average,
                                   ForecastMethod::seasonal_window_average,
                                   ForecastMethod::naive2,
                                   ForecastMethod::ses,
                                   ForecastMethod::holt,
                                   ForecastMethod::damped_holt,
                                   ForecastMethod::holt_winters,
                                   ForecastMethod::ets,
                                   ForecastMethod::theta,
                                   ForecastMethod::optimised_theta,
                                   ForecastMethod::dynamic_theta,
                                   ForecastMethod::arima,
                                   ForecastMethod::croston,
                                   ForecastMethod::sba,
                                   ForecastMethod::tsb,
                                   ForecastMethod::adida,
                                   ForecastMethod::imapa,
                                   ForecastMethod::mstl,
                                   ForecastMethod::ces}) {
        specs.push_back(spec_of(m));
    }
    MethodSpec multiplicative = spec_of(ForecastMethod::holt_winters);
    multiplicative.multiplicative_season = true;
    specs.push_back(multiplicative);
    MethodSpec airline = spec_of(ForecastMethod::arima);
    airline.has_order = true;
    airline.order = {.p = 0, .d = 1, .q = 1, .P = 0, .D = 1, .Q = 1};
    specs.push_back(airline);
    MethodSpec mixed = spec_of(ForecastMethod::arima);
    mixed.has_order = true;
    mixed.order = {.p = 1, .d = 0, .q = 1};
    specs.push_back(mixed);
    return specs;
}

struct Forecasts {
    explicit Forecasts(std::size_t h) : mean(h), variance(h) {}
    Doubles mean, variance;
    [[nodiscard]] ForecastOut out() { return {mean, variance}; }
};

}  // namespace many::core
