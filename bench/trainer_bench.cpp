// Micro-benchmarks of the forecast trainer: rows of one monthly series to the encoded model, the
// last 18 of 120 observations held out.
#include <benchmark/benchmark.h>

#include <bit>
#include <cmath>
#include <random>
#include <vector>

#include "core/learners/forecast_trainer.h"

namespace many::core {
namespace {

std::vector<double> monthly_rows(int n) {
    std::mt19937_64 random(42);
    std::normal_distribution<double> noise(0, 5);
    std::vector<double> rows;
    for (std::int64_t t = 0; t < n; ++t) {
        const double x = static_cast<double>(t);
        rows.push_back(100 + 0.3 * x + 15 * std::sin(6.283185307179586 * x / 12) + noise(random));
        rows.push_back(std::bit_cast<double>(t));
    }
    return rows;
}

ForecastSpec monthly_spec(ForecastMethod method) {
    ForecastSpec spec;
    spec.method.method = method;
    spec.grid.step.units = 1;
    spec.n_season_lengths = 1;
    spec.season_lengths[0] = 12;
    spec.horizon = 18;
    spec.holdout.kind = HoldoutSpec::Kind::rows;
    spec.holdout.rows = 18;
    return spec;
}

void run(benchmark::State& state, const ForecastSpec& spec) {
    const std::vector<double> rows = monthly_rows(120);
    ForecastTrainer trainer;
    GroupResult result;
    std::vector<double> scratch;
    for (auto _ : state) {
        scratch = rows;
        trainer.fit_rows(spec, {}, scratch.data(), 120, 2, {}, result);
        if (result.status != FitStatus::ok) state.SkipWithError("no model");
        benchmark::DoNotOptimize(result.model.data());
    }
}

void trainer(benchmark::State& state, ForecastMethod method) {
    run(state, monthly_spec(method));
}
BENCHMARK_CAPTURE(trainer, naive, ForecastMethod::naive);
BENCHMARK_CAPTURE(trainer, seasonal_naive, ForecastMethod::seasonal_naive);
BENCHMARK_CAPTURE(trainer, ets, ForecastMethod::ets)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(trainer, ensemble, ForecastMethod::ensemble)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(trainer, auto_forecast, ForecastMethod::auto_forecast)
    ->Unit(benchmark::kMillisecond);

void trainer_conformal(benchmark::State& state) {
    ForecastSpec spec = monthly_spec(ForecastMethod::theta);
    spec.intervals = IntervalMethod::conformal;
    run(state, spec);
}
BENCHMARK(trainer_conformal)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace many::core
