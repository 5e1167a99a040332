// Micro-benchmarks of ARIMA: one series of 120 values, fit and forecast of 12 steps, as R's figures
// in docs/forecasting.md; and what a fit consists of.
#include <benchmark/benchmark.h>

#include <random>
#include <vector>

#include "core/forecasters/arma_filter.h"
#include "core/forecasters/auto_arima.h"
#include "core/forecasters/stl.h"

namespace many::core {
namespace {

// An integrated seasonal moving average, the airline model, around a level.
std::vector<double> make_series(int n, int m) {
    std::mt19937_64 random(42);
    std::normal_distribution<double> normal(0, 5);
    std::vector<double> y, e;
    for (int t = 0; t < n + m; ++t) {
        const std::size_t i = static_cast<std::size_t>(t), s = static_cast<std::size_t>(m);
        e.push_back(normal(random));
        if (t <= m) {
            y.push_back(500 + 10 * normal(random));
            continue;
        }
        const double shock = e[i] - 0.4 * e[i - 1] - 0.6 * e[i - s] + 0.24 * e[i - s - 1];
        y.push_back(m == 1 ? y[i - 1] + e[i] - 0.4 * e[i - 1]
                           : y[i - 1] + y[i - s] - y[i - s - 1] + shock);
    }
    return {y.begin() + m, y.end()};
}

void forecast_12(const ArimaFit& fit) {
    double mean[12], variance[12];
    const ForecastStatus status = forecast_arima(fit, {}, {mean, variance});
    benchmark::DoNotOptimize(status);
    benchmark::DoNotOptimize(mean[11]);
}

void arima_fixed(benchmark::State& state) {
    const int m = static_cast<int>(state.range(0));
    const std::vector<double> y = make_series(120, m);
    ArimaOptions options;
    options.order =
        m == 1 ? ArimaOrder{.p = 1, .d = 1, .q = 1} : ArimaOrder{.d = 1, .q = 1, .D = 1, .Q = 1};
    options.constant = false;
    for (auto _ : state) forecast_12(fit_arima({y, m}, options));
}
BENCHMARK(arima_fixed)->Arg(1)->Arg(12)->Unit(benchmark::kMicrosecond);

void arima_automatic(benchmark::State& state) {
    const int m = static_cast<int>(state.range(0)), n = static_cast<int>(state.range(1));
    const std::vector<double> y = make_series(n, m);
    for (auto _ : state) forecast_12(fit_auto_arima({y, m}).fit);
}
BENCHMARK(arima_automatic)
    ->Args({1, 120})
    ->Args({12, 120})
    ->Args({52, 120})
    ->Args({24, 960})
    ->Unit(benchmark::kMicrosecond);

// One likelihood of the airline model.
void arma_likelihood(benchmark::State& state) {
    const int n = static_cast<int>(state.range(0));
    const ArimaOrder order{.d = 1, .q = 1, .D = 1, .Q = 1, .m = 12};
    const std::vector<double> w = difference(make_series(n + 13, 12), order);
    ArmaFilter filter;
    filter.set_series(w.data(), n, 1);
    filter.set_order(order);
    const double coefficients[] = {-0.4, -0.6};
    for (auto _ : state) {
        filter.set_coefficients(coefficients);
        benchmark::DoNotOptimize(filter.exact());
    }
}
BENCHMARK(arma_likelihood)->Arg(120)->Arg(1000);

void stl_decomposition(benchmark::State& state) {
    const std::vector<double> y = make_series(120, 12);
    for (auto _ : state) benchmark::DoNotOptimize(stl({y, 12}).trend.data());
}
BENCHMARK(stl_decomposition)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace many::core
