#include "engine/estimate.h"

#include "core/numeric/moments.h"
#include "engine/exchange.h"
#include "engine/forecast_cost.h"
#include "engine/group_table.h"
#include "engine/results.h"

#include <algorithm>
#include <cmath>

namespace many::engine {

namespace {

// Microseconds.
constexpr double kScanRow = 0.12;
constexpr double kScanRowTerm = 0.02;
constexpr double kFitGroup = 1.5;
constexpr double kFitTerm = 0.5;
constexpr double kFitTerm2 = 0.13;
constexpr double kHoldout = 1.4;    // another fit, and judging it
constexpr double kFold = 0.9;       // of a fit, for each fold
constexpr double kPenalised = 1.7;  // of a fit by least squares, with a given lambda
constexpr double kPathGroup = 10;   // of a fold, with lambda "auto"
constexpr double kPathTerm = 3.5;
constexpr double kLassoPathTerm2 = 0.25;
constexpr double kPathTerm2 = 0.6;     // a ridge part: each value of lambda has its own matrix
constexpr double kRowsFormRow = 0.05;  // rows exchange: of a row when its group is fitted
constexpr double kRowsFormRowTerm = 0.03;
constexpr double kCollectGroup = 5;
constexpr double kCollectTerm = 0.3;

constexpr double kModelHead = 24 + 8 * (12 + 3 * 7);
constexpr double kRegistryRow = 120;  // a tuple's other columns, its key and index entries
constexpr double kRangeOfBucket = 64;
constexpr double kAloneBytes = 1024 * 1024;  // exchanged: fitted by the session alone

double fit_group_us(const TrainPlan* plan, double p, double rows) {
    if (plan->spec->forecasts) return forecast_fit_us(plan->spec->forecast, rows);
    const auto& learner = plan->learner;
    const double folds = plan->spec->cv_folds;
    const bool is_ols = learner.algorithm == core::Algorithm::linear_regression;
    double one = kFitGroup + kFitTerm * p + kFitTerm2 * p * p;
    if (!is_ols) one *= kPenalised;
    double all = one;
    if (plan->spec->holdout.kind != core::HoldoutSpec::Kind::none) all *= kHoldout;
    if (learner.lambda_auto) {
        const double square =
            learner.algorithm == core::Algorithm::lasso ? kLassoPathTerm2 : kPathTerm2;
        const double searches = plan->spec->holdout.kind == core::HoldoutSpec::Kind::none ? 1 : 2;
        all += searches * folds * (kPathGroup + kPathTerm * p + square * p * p);
    } else {
        all += folds * kFold * one;
    }
    return all;
}

double model_bytes(const TrainPlan* plan, double p, double rows) {
    if (plan->spec->forecasts) return forecast_model_bytes(plan->spec->forecast, rows);
    const bool is_ols = plan->learner.algorithm == core::Algorithm::linear_regression;
    return kModelHead + 24 * p + (is_ols ? 4 * p * (p + 1) : 16 * p);
}

double held_out_share(const core::HoldoutSpec& holdout) {
    switch (holdout.kind) {
        case core::HoldoutSpec::Kind::fraction:
            return holdout.fraction;
        case core::HoldoutSpec::Kind::since:
            return 0.2;  // not known before the rows are read
        default:
            return 0;
    }
}

}  // namespace

Estimate estimate_run(const TrainPlan* plan, const DataShape* shape, int scan_processes,
                      int fit_processes) {
    const RunSpec* spec = plan->spec;
    const double p = std::max(shape->terms, 1.0);
    const double rows = static_cast<double>(shape->rows);
    const double usable = static_cast<double>(shape->usable_rows);
    const double groups = static_cast<double>(shape->groups);
    const double trained = static_cast<double>(shape->trainable);
    const double budget = static_cast<double>(spec->budget_bytes);
    const bool by_rows = spec->exchange == Exchange::rows;
    Estimate e = {};
    const double row_bytes = spec->row_doubles() * static_cast<double>(sizeof(double));
    const double head = sizeof(ChunkHeader) + shape->key_bytes;
    const double sums = static_cast<double>(core::MomentLayout(spec->n_features + 1).bytes()) *
                        std::max(spec->cv_folds, 1);
    const double held = held_out_share(spec->holdout);
    const double rows_per_group = usable / std::max(groups, 1.0);
    const double batches = std::min(budget / 4, usable / scan_processes * (row_bytes + head));
    if (by_rows) {
        // A bucket's rows, in blocks that double, beside the largest group's.
        const double bucket = usable / kRangeOfBucket * row_bytes * 2;
        const double largest = static_cast<double>(shape->largest_rows) * row_bytes * 2;
        e.temp_bytes = usable * row_bytes + std::min(usable, groups * 4) * head;
        e.memory_bytes = std::max(batches, bucket + largest);
    } else {
        // Few rows of a group travel as rows, else as the sums of each process.
        const double as_rows = rows_per_group * (1 - held) * (row_bytes + head / 4);
        const double as_sums = scan_processes * (sums + head + sizeof(MomentsPrefix));
        e.temp_bytes = groups * std::min(as_rows, as_sums) + usable * held * (row_bytes + head / 4);
        e.memory_bytes = batches + groups * std::min(as_rows, sums + sizeof(Group));
    }
    if (e.temp_bytes < kAloneBytes) fit_processes = 1;
    e.seconds.scan = rows * (kScanRow + kScanRowTerm * spec->n_features) / 1e6 / scan_processes;
    e.seconds.fit = trained * fit_group_us(plan, p, rows_per_group) / 1e6 / fit_processes;
    if (by_rows && !spec->forecasts)
        e.seconds.fit += usable * (kRowsFormRow + kRowsFormRowTerm * p) / 1e6 / fit_processes;
    e.seconds.collect = groups * (kCollectGroup + kCollectTerm * p) / 1e6;

    e.memory_bytes = std::min(e.memory_bytes, budget);
    const double results = trained * (model_bytes(plan, p, rows_per_group) + sizeof(ResultHeader)) +
                           groups * shape->key_bytes;
    e.temp_bytes += results;
    e.registry_bytes =
        trained * (model_bytes(plan, p, rows_per_group) + kRegistryRow + shape->key_bytes) +
        (groups - trained) * kRegistryRow * 2;
    return e;
}

}  // namespace many::engine
