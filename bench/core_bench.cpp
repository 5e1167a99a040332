// Micro-benchmarks of the core: cost per row of the moments, per group of a fit, per row of scoring.
// Build with -DMANY_BENCH=ON; run build/.../many_bench.
#include <benchmark/benchmark.h>

#include <random>
#include <vector>

#include "core/codec/linear_model.h"
#include "core/learners/group_trainer.h"
#include "core/numeric/moments.h"
#include "core/selection/metrics.h"

namespace many::core {
namespace {

// n rows of p features and a target that depends on them.
std::vector<double> make_rows(std::size_t n, int p) {
    std::mt19937_64 random(42);
    std::uniform_real_distribution<double> uniform(0, 1);
    std::vector<double> rows;
    for (std::size_t r = 0; r < n; ++r) {
        double y = uniform(random);
        for (int j = 0; j < p; ++j) {
            rows.push_back(uniform(random));
            y += rows.back() * (j + 1);
        }
        rows.push_back(y);
    }
    return rows;
}

std::vector<double> make_moments(const std::vector<double>& rows, int p) {
    const MomentLayout layout(p + 1);
    const std::size_t stride = static_cast<std::size_t>(p) + 1;
    std::vector<double> moments(layout.doubles());
    moments_add_rows(moments.data(), layout, rows.data(), rows.size() / stride, stride);
    return moments;
}

void add_rows(benchmark::State& state) {
    const int p = static_cast<int>(state.range(0));
    const std::size_t n = static_cast<std::size_t>(state.range(1));
    const std::vector<double> rows = make_rows(n, p);
    const MomentLayout layout(p + 1);
    std::vector<double> moments(layout.doubles());
    for (auto _ : state) {
        moments_add_rows(moments.data(), layout, rows.data(), n, static_cast<std::size_t>(p) + 1);
        benchmark::DoNotOptimize(moments.data());
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(n));
}
BENCHMARK(add_rows)->Args({2, 16})->Args({8, 8})->Args({8, 16})->Args({8, 64})->Args({20, 64});

void fit(benchmark::State& state) {
    const int p = static_cast<int>(state.range(0));
    const std::vector<double> moments = make_moments(make_rows(1000, p), p);
    LinearSolver solver;
    LinearFit out;
    LinearOptions options;
    options.inference = state.range(1) != 0;
    for (auto _ : state) {
        benchmark::DoNotOptimize(solver.fit(moments.data(), p, options, nullptr, 0, {}, out));
    }
}
BENCHMARK(fit)->Args({2, 1})->Args({8, 1})->Args({8, 0})->Args({20, 1});

// A group as a run trains it: the training split's fit, the final fit, the model's bytes.
void train_group(benchmark::State& state) {
    const int p = static_cast<int>(state.range(0));
    const std::vector<double> moments = make_moments(make_rows(1000, p), p);
    TrainSpec spec;
    spec.n_features = p;
    GroupTrainer trainer(spec);
    std::vector<double> holdout(trainer.holdout_doubles());
    GroupResult result;
    for (auto _ : state) {
        benchmark::DoNotOptimize(trainer.prepare_holdout(moments.data(), {}, {}, holdout.data()));
        trainer.finish(moments.data(), holdout.data(), {}, {}, result);
    }
}
BENCHMARK(train_group)->Arg(2)->Arg(8)->Arg(20);

void evaluate_holdout(benchmark::State& state) {
    const int p = static_cast<int>(state.range(0));
    const std::vector<double> rows = make_rows(1000, p);
    const std::vector<double> moments = make_moments(rows, p);
    LinearSolver solver;
    LinearFit out;
    if (solver.fit(moments.data(), p, {}, nullptr, 0, {}, out) != FitStatus::ok) return;
    std::vector<double> sums(holdout_state_doubles(p));
    holdout_start(sums.data(), out, out.target_mean);
    for (auto _ : state) {
        holdout_add_rows(sums.data(), p, rows.data(), 1000, static_cast<std::size_t>(p) + 1);
    }
    state.SetItemsProcessed(state.iterations() * 1000);
}
BENCHMARK(evaluate_holdout)->Arg(8);

void score(benchmark::State& state) {
    const int p = static_cast<int>(state.range(0));
    const std::vector<double> rows = make_rows(1000, p);
    const std::vector<double> moments = make_moments(rows, p);
    LinearSolver solver;
    LinearFit out;
    if (solver.fit(moments.data(), p, {}, nullptr, 0, {}, out) != FitStatus::ok) return;
    ModelParts parts;
    parts.fit = &out;
    parts.n_features = p;
    std::vector<unsigned char> bytes;
    encode_model(parts, bytes);
    if (state.range(1) != 0) LinearModelView::set_interval_level(bytes.data(), bytes.size(), 0.95);
    std::size_t row = 0;
    for (auto _ : state) {
        LinearModelView view;
        if (!LinearModelView::try_open(bytes.data(), bytes.size(), &view)) return;
        benchmark::DoNotOptimize(
            view.score_numeric(rows.data() + row * (static_cast<std::size_t>(p) + 1)));
        row = (row + 1) % 1000;
    }
}
BENCHMARK(score)->Args({8, 0})->Args({8, 1});

}  // namespace
}  // namespace many::core
