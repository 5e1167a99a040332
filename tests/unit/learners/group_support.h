// Helpers of the tests of group training.
#pragma once

#include <gtest/gtest.h>

#include "core/codec/linear_model.h"
#include "core/learners/group_trainer.h"
#include "unit/support.h"

namespace many::test {

using core::FitStatus;
using core::GroupOptions;
using core::GroupResult;
using core::GroupTrainer;
using core::HoldoutSpec;
using core::LinearModelView;
using core::NullPolicy;
using core::TrainSpec;

inline Matrix group_rows(std::size_t n, std::size_t p, std::uint64_t seed) {
    std::mt19937_64 g(seed);
    std::normal_distribution<double> normal;
    Matrix rows;
    for (std::size_t r = 0; r < n; ++r) {
        std::vector<double> row;
        double y = 2;
        for (std::size_t j = 0; j < p; ++j) {
            row.push_back(100 * double(j) + normal(g));
            y += row.back() * (double(j) - 0.7);
        }
        row.push_back(y + normal(g));
        rows.push_back(row);
    }
    return rows;
}

inline std::string no_levels(int, std::uint64_t) {
    return "";
}

inline GroupResult rows_form(const TrainSpec& spec, const Matrix& rows,
                             const GroupOptions& options = {},
                             const core::LevelLookup& lookup = no_levels) {
    GroupTrainer trainer(spec);
    std::vector<double> flat;
    for (const auto& row : rows) flat.insert(flat.end(), row.begin(), row.end());
    GroupResult result;
    trainer.fit_rows(flat.data(), rows.size(), rows.empty() ? 1 : rows[0].size(), lookup, options,
                     {}, result);
    return result;
}

inline LinearModelView view(const GroupResult& r) {
    EXPECT_EQ(r.status, FitStatus::ok) << r.message;
    return LinearModelView::open(r.model.data(), r.model.size(), LinearModelView::Check::checksum);
}

inline TrainSpec spec_of(int p) {
    TrainSpec spec;
    spec.n_features = p;
    spec.categorical.assign(std::size_t(p), false);
    return spec;
}

// Plain metrics of a least-squares fit of `train` on `test`.
inline core::SplitMetrics naive(const Matrix& train, const Matrix& test) {
    const core::LinearFit fit = fit_rows_of(train);
    long double square = 0, absolute = 0, error = 0, sum = 0, spread = 0, share = 0, symmetric = 0;
    for (const auto& row : test) sum += row.back();
    const long double n = test.size(), mean = sum / n;
    for (const auto& row : test) {
        long double f = fit.intercept;
        for (std::size_t j = 0; j + 1 < row.size(); ++j)
            f += (long double)fit.coefficient[j] * row[j];
        const long double y = row.back(), e = f - y;
        square += e * e;
        absolute += std::fabs(e);
        error += e;
        share += std::fabs(e / y);
        symmetric += 2 * std::fabs(e) / (std::fabs(y) + std::fabs(f));
        spread += (y - mean) * (y - mean);
    }
    return {double(n),         double(std::sqrt(square / n)), double(absolute / n),
            double(share / n), double(symmetric / n),         double(1 - square / spread),
            double(error / n)};
}

inline void expect_metrics(const core::SplitMetrics& m, const core::SplitMetrics& n) {
    EXPECT_EQ(m.n_rows, n.n_rows);
    EXPECT_NEAR(m.rmse, n.rmse, 1e-9);
    EXPECT_NEAR(m.mae, n.mae, 1e-9);
    EXPECT_NEAR(m.mape, n.mape, 1e-9);
    EXPECT_NEAR(m.smape, n.smape, 1e-9);
    EXPECT_NEAR(m.r2, n.r2, 1e-9);
    EXPECT_NEAR(m.bias, n.bias, 1e-9);
}

}  // namespace many::test
