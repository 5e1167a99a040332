// The search for lambda: one group, 5 folds x 100 lambdas, and the final fit.
#include <benchmark/benchmark.h>

#include <random>
#include <vector>

#include "core/learners/linear.h"

namespace many::core {
namespace {

constexpr int kFolds = 5;

enum Design { correlated, near_collinear, collinear, more_columns_than_rows };

std::vector<double> make_folds(Design design, int p, std::vector<double>& moments) {
    std::mt19937_64 random(7);
    std::normal_distribution<double> normal;
    const MomentLayout layout(p + 1);
    std::vector<double> folds(layout.doubles() * kFolds), row;
    moments.assign(layout.doubles(), 0.0);
    const int n = design == more_columns_than_rows ? p : 40 * p;
    for (int r = 0; r < n; ++r) {
        row.clear();
        const double common = normal(random);
        double y = normal(random);
        for (int j = 0; j < p; ++j) {
            double x = common + normal(random);
            if (design == near_collinear && j % 2 == 1) x = row.back() + 1e-5 * normal(random);
            if (design == collinear && j % 4 == 3) x = row[row.size() - 1] - row[row.size() - 2];
            row.push_back(x);
            y += x * (j % 3 - 0.7);
        }
        row.push_back(y);
        double* fold = folds.data() + layout.doubles() * static_cast<std::size_t>(r % kFolds);
        moments_add_rows(fold, layout, row.data(), 1, row.size());
        moments_add_rows(moments.data(), layout, row.data(), 1, row.size());
    }
    return folds;
}

void search_lambda(benchmark::State& state) {
    const int p = static_cast<int>(state.range(0));
    std::vector<double> moments;
    const std::vector<double> folds = make_folds(static_cast<Design>(state.range(1)), p, moments);
    LinearSolver solver;
    LinearFit out;
    LinearOptions options;
    options.algorithm = state.range(2) == 100 ? Algorithm::lasso
                        : state.range(2) == 0 ? Algorithm::ridge
                                              : Algorithm::elastic_net;
    options.alpha = static_cast<double>(state.range(2)) / 100;
    options.lambda_auto = true;
    for (auto _ : state) {
        if (solver.fit(moments.data(), p, options, folds.data(), kFolds, {}, out) !=
            FitStatus::ok) {
            state.SkipWithError("no fit");
        }
    }
    state.counters["lambda"] = out.lambda;
    state.counters["rmse"] = out.cv.rmse;
}
BENCHMARK(search_lambda)
    ->ArgNames({"p", "design", "alpha%"})
    ->ArgsProduct({{8, 30},
                   {correlated, near_collinear, collinear, more_columns_than_rows},
                   {100, 50}})
    ->Args({8, correlated, 0})
    ->Args({30, correlated, 0})
    ->Args({100, correlated, 100})
    ->Args({100, correlated, 50})
    ->Args({300, correlated, 100})
    ->Args({300, correlated, 50})
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace many::core
