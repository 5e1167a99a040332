// Micro-benchmarks of the forecasters: one series, fit and forecast of 12 steps, 120 observations
// (R's figures for the same: docs/forecasting.md).
#include <benchmark/benchmark.h>

#include <cmath>
#include <random>
#include <vector>

#include "core/forecasters/ces.h"
#include "core/forecasters/ets.h"
#include "core/forecasters/intermittent.h"
#include "core/forecasters/simple.h"
#include "core/forecasters/theta.h"

namespace many::core {
namespace {

constexpr std::size_t kHorizon = 12;

// Trend, season of m and noise.
std::vector<double> make_series(int n, int m) {
    std::mt19937_64 random(42);
    std::normal_distribution<double> noise(0, 5);
    std::vector<double> y;
    for (int t = 0; t < n; ++t) {
        y.push_back(100 + 0.3 * t + 15 * std::sin(6.283185307179586 * t / m) + noise(random));
    }
    return y;
}

void forecast_and_keep(const EtsFit& fit) {
    double mean[kHorizon], variance[kHorizon];
    benchmark::DoNotOptimize(forecast_ets(fit, {mean, variance}));
}

void ets_form(benchmark::State& state, const char* name, int m) {
    const std::vector<double> y = make_series(120, m);
    EtsForm form;
    if (!EtsForm::parse(name, form)) state.SkipWithError("no such form");
    EtsWorkspace workspace;
    EtsFit fit;
    for (auto _ : state) {
        benchmark::DoNotOptimize(fit_ets({y, m}, form, {}, {}, workspace, fit));
        forecast_and_keep(fit);
    }
}
BENCHMARK_CAPTURE(ets_form, ANN, "ANN", 12);
BENCHMARK_CAPTURE(ets_form, AAN, "AAN", 12);
BENCHMARK_CAPTURE(ets_form, AAdN, "AAdN", 12);
BENCHMARK_CAPTURE(ets_form, AAA_12, "AAA", 12);
BENCHMARK_CAPTURE(ets_form, MAM_12, "MAM", 12);
BENCHMARK_CAPTURE(ets_form, MAdM_12, "MAdM", 12);

// Season 1, 4, 12; 52 is beyond what is modelled, and the forms without season are tried.
void ets_automatic(benchmark::State& state) {
    const int m = static_cast<int>(state.range(0));
    const std::vector<double> y = make_series(120, m);
    EtsWorkspace workspace;
    EtsFit fit;
    for (auto _ : state) {
        benchmark::DoNotOptimize(choose_ets({y, m}, {}, {}, workspace, fit));
        forecast_and_keep(fit);
    }
}
BENCHMARK(ets_automatic)->Arg(1)->Arg(4)->Arg(12)->Arg(52)->Unit(benchmark::kMillisecond);

// What damped_holt is: the form (A,Ad,N) by its own options.
void damped_holt(benchmark::State& state) {
    const std::vector<double> y = make_series(120, 12);
    EtsForm form;
    if (!EtsForm::parse("AAdN", form)) state.SkipWithError("no such form");
    EtsWorkspace workspace;
    EtsFit fit;
    for (auto _ : state) {
        benchmark::DoNotOptimize(fit_ets({y, 12}, form, damped_holt_options(), {}, workspace, fit));
        forecast_and_keep(fit);
    }
}
BENCHMARK(damped_holt);

void ces_form(benchmark::State& state, CesForm form) {
    const std::vector<double> y = make_series(120, 12);
    CesWorkspace workspace;
    CesFit fit;
    for (auto _ : state) {
        double mean[kHorizon], variance[kHorizon];
        benchmark::DoNotOptimize(fit_ces({y, 12}, form, {}, {}, workspace, fit));
        benchmark::DoNotOptimize(forecast_ces(fit, {mean, variance}));
    }
}
BENCHMARK_CAPTURE(ces_form, none, CesForm::none);
BENCHMARK_CAPTURE(ces_form, simple_12, CesForm::simple);
BENCHMARK_CAPTURE(ces_form, partial_12, CesForm::partial);
BENCHMARK_CAPTURE(ces_form, full_12, CesForm::full);

void ces_automatic(benchmark::State& state) {
    const int m = static_cast<int>(state.range(0));
    const std::vector<double> y = make_series(120, m);
    CesWorkspace workspace;
    CesFit fit;
    for (auto _ : state) {
        double mean[kHorizon], variance[kHorizon];
        benchmark::DoNotOptimize(choose_ces({y, m}, {}, {}, workspace, fit));
        benchmark::DoNotOptimize(forecast_ces(fit, {mean, variance}));
    }
}
BENCHMARK(ces_automatic)->Arg(1)->Arg(4)->Arg(12)->Arg(52)->Unit(benchmark::kMillisecond);

void theta(benchmark::State& state, ThetaKind kind) {
    const std::vector<double> y = make_series(120, 52);
    ThetaOptions options;
    options.kind = kind;
    EtsWorkspace workspace;
    ThetaFit fit;
    for (auto _ : state) {
        double mean[kHorizon], variance[kHorizon];
        benchmark::DoNotOptimize(fit_theta({y, 52}, options, {}, workspace, fit));
        benchmark::DoNotOptimize(forecast_theta(fit, {mean, variance}));
    }
}
BENCHMARK_CAPTURE(theta, standard, ThetaKind::standard);
BENCHMARK_CAPTURE(theta, optimised, ThetaKind::optimised);
BENCHMARK_CAPTURE(theta, dynamic_optimised, ThetaKind::dynamic_optimised);

void simple(benchmark::State& state, SimpleMethod method) {
    const std::vector<double> y = make_series(120, 12);
    SimpleFit fit;
    for (auto _ : state) {
        double mean[kHorizon], variance[kHorizon];
        benchmark::DoNotOptimize(fit_simple(method, {y, 12}, {}, fit));
        benchmark::DoNotOptimize(forecast_simple(fit, {mean, variance}));
    }
}
BENCHMARK_CAPTURE(simple, naive, SimpleMethod::naive);
BENCHMARK_CAPTURE(simple, seasonal_naive, SimpleMethod::seasonal_naive);
BENCHMARK_CAPTURE(simple, mean, SimpleMethod::mean);
BENCHMARK_CAPTURE(simple, drift, SimpleMethod::drift);
BENCHMARK_CAPTURE(simple, seasonal_window_average, SimpleMethod::seasonal_window_average);
BENCHMARK_CAPTURE(simple, naive2, SimpleMethod::naive2);

// One period in four has demand.
void intermittent(benchmark::State& state, IntermittentMethod method, bool optimise) {
    std::mt19937_64 random(42);
    std::vector<double> y;
    for (int t = 0; t < 120; ++t) {
        const auto draw = random();
        y.push_back(draw % 4 == 0 ? static_cast<double>(1 + (draw >> 8) % 9) : 0);
    }
    IntermittentOptions options;
    options.optimise = optimise;
    IntermittentFit fit;
    for (auto _ : state) {
        double mean[kHorizon], variance[kHorizon];
        benchmark::DoNotOptimize(fit_intermittent(method, {y, 1}, options, {}, fit));
        benchmark::DoNotOptimize(forecast_intermittent(fit, {mean, variance}));
    }
}
BENCHMARK_CAPTURE(intermittent, croston, IntermittentMethod::croston, false);
BENCHMARK_CAPTURE(intermittent, croston_optimised, IntermittentMethod::croston, true);
BENCHMARK_CAPTURE(intermittent, sba_optimised, IntermittentMethod::sba, true);
BENCHMARK_CAPTURE(intermittent, tsb, IntermittentMethod::tsb, false);
BENCHMARK_CAPTURE(intermittent, tsb_optimised, IntermittentMethod::tsb, true);
BENCHMARK_CAPTURE(intermittent, adida, IntermittentMethod::adida, false);
BENCHMARK_CAPTURE(intermittent, imapa, IntermittentMethod::imapa, false);
BENCHMARK_CAPTURE(intermittent, imapa_optimised, IntermittentMethod::imapa, true);

}  // namespace
}  // namespace many::core
