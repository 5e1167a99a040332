// Metrics from moments against the streamed ones; independence of order.
#include "core/selection/moment_metrics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/selection/metrics.h"
#include "unit/learners/group_support.h"
#include "unit/support.h"

namespace many::test {
namespace {

std::vector<double> moments_of(const Matrix& rows) {
    const core::MomentLayout layout(static_cast<int>(rows[0].size()));
    std::vector<double> moments(layout.doubles());
    for (const auto& row : rows)
        core::moments_add_rows(moments.data(), layout, row.data(), 1, row.size());
    return moments;
}

core::LinearFit plane(double offset) {
    core::LinearFit fit;
    fit.p = 3;
    fit.target_mean = 10 + offset;
    fit.coefficient = {2, std::nan(""), -1};
    fit.mean = {1 + offset, 5, 3};
    return fit;
}

Matrix rows_for(double offset, double noise) {
    std::mt19937_64 g(43);
    std::normal_distribution<double> normal;
    Matrix rows;
    for (int i = 0; i < 400; ++i) {
        const double a = offset + normal(g), b = normal(g), c = normal(g);
        rows.push_back({a, b, c, 10 + offset + 2 * (a - 1 - offset) - (c - 3) + noise * normal(g)});
    }
    return rows;
}

core::SplitMetrics streamed(const Matrix& rows, const core::LinearFit& fit) {
    std::vector<double> state(core::holdout_state_doubles(fit.p));
    core::holdout_start(state.data(), fit, 0.0);
    for (const auto& row : rows)
        core::holdout_add_rows(state.data(), fit.p, row.data(), 1, row.size());
    return core::holdout_finish(state.data(), fit.p);
}

TEST(MomentMetrics, OfAConstant) {
    const Matrix rows = rows_for(1e3, 0.5);
    core::LinearFit mean;
    mean.p = 3;
    mean.target_mean = 1012;
    mean.coefficient = {0, 0, 0};
    mean.mean = {0, 0, 0};
    const core::SplitMetrics expected = streamed(rows, mean);
    const core::SplitMetrics m = core::constant_metrics(moments_of(rows).data(), 3, 1012);
    EXPECT_EQ(m.n_rows, 400);
    EXPECT_NEAR(m.rmse, expected.rmse, 1e-12 * expected.rmse);
    EXPECT_NEAR(m.bias, expected.bias, 1e-12 * expected.rmse);
    EXPECT_NEAR(m.r2, expected.r2, 1e-12);
    EXPECT_TRUE(std::isnan(m.mae));
}

TEST(MomentMetrics, MatchStreamedOnes) {
    for (const double offset : {0.0, 1e3, 1e6}) {
        const core::LinearFit fit = plane(offset);
        const Matrix rows = rows_for(offset, 0.5);
        const core::SplitMetrics expected = streamed(rows, fit);
        const core::SplitMetrics m = core::moment_metrics(moments_of(rows).data(), fit);
        // The streamed errors are rounded to the last place of the predictions.
        const double tolerance = 1e-12 + 1e-16 * offset;
        EXPECT_EQ(m.n_rows, 400);
        EXPECT_NEAR(m.rmse, expected.rmse, tolerance);
        EXPECT_NEAR(m.r2, expected.r2, tolerance);
        EXPECT_NEAR(m.bias, expected.bias, tolerance);
        EXPECT_GT(m.rmse, 0.4);
        EXPECT_TRUE(std::isnan(m.mae) && std::isnan(m.mape) && std::isnan(m.smape));
    }
}

TEST(MomentMetrics, DoNotDependOnTheOrderOfRows) {
    for (const double noise : {1.0, 1e-6, 1e-14, 0.0}) {
        Matrix rows = rows_for(1e5, noise);
        const core::LinearFit fit = plane(1e5);
        const core::SplitMetrics first = core::moment_metrics(moments_of(rows).data(), fit);
        for (int i = 0; i < 20; ++i) {
            std::mt19937_64 g(static_cast<unsigned>(i));
            std::shuffle(rows.begin(), rows.end(), g);
            const core::SplitMetrics m = core::moment_metrics(moments_of(rows).data(), fit);
            EXPECT_EQ(m.rmse, first.rmse) << noise;
            EXPECT_EQ(m.bias, first.bias) << noise;
            EXPECT_EQ(m.r2, first.r2) << noise;
        }
    }
}

TEST(MomentMetrics, ExactAndConstantAndEmpty) {
    core::LinearFit fit;
    fit.p = 1;
    fit.coefficient = {0.5};
    fit.mean = {0};
    const core::SplitMetrics exact =
        core::moment_metrics(moments_of({{2, 1}, {4, 2}, {7, 3.5}}).data(), fit);
    EXPECT_EQ(exact.rmse, 0);
    EXPECT_EQ(exact.bias, 0);
    EXPECT_EQ(exact.r2, 1);
    const core::SplitMetrics constant =
        core::moment_metrics(moments_of({{2, 3}, {6, 3}}).data(), fit);
    EXPECT_EQ(constant.rmse, std::sqrt(2.0));
    EXPECT_EQ(constant.bias, -1);
    EXPECT_TRUE(std::isnan(constant.r2));
    const std::vector<double> none(core::MomentLayout(2).doubles());
    EXPECT_EQ(core::moment_metrics(none.data(), fit).n_rows, 0);
    EXPECT_EQ(core::moment_metrics(moments_of({{1e200, 1}}).data(), fit).n_rows, 0);
}

TEST(MomentMetrics, SplitsFinishAsStreamedHoldouts) {
    TrainSpec spec = spec_of(4);
    const Matrix rows = group_rows(120, 4, 7);
    const core::MomentLayout layout(5);
    for (const std::size_t n_train : {0U, 5U, 90U, 120U}) {
        GroupTrainer trainer(spec);
        std::vector<double> train(layout.doubles()), held(layout.doubles());
        for (std::size_t i = 0; i < rows.size(); ++i)
            core::moments_add_rows((i < n_train ? train : held).data(), layout, rows[i].data(), 1,
                                   5);
        GroupResult split, whole;
        trainer.finish_split(train.data(), held.data(), {}, {}, split);
        std::vector<double> total = train, state(trainer.holdout_doubles());
        ASSERT_EQ(trainer.prepare_holdout(total.data(), {}, {}, state.data()), FitStatus::ok);
        for (std::size_t i = n_train; i < rows.size(); ++i)
            trainer.add_holdout_rows(state.data(), total.data(), rows[i].data(), 1, 5);
        trainer.finish(total.data(), state.data(), {}, {}, whole);
        const core::SplitMetrics a = view(split).holdout(), b = view(whole).holdout();
        EXPECT_EQ(split.rows_used, 120);
        EXPECT_EQ(a.n_rows, b.n_rows);
        if (b.n_rows > 0) {
            EXPECT_NEAR(a.rmse, b.rmse, 1e-12 * b.rmse);
            EXPECT_NEAR(a.r2, b.r2, 1e-12);
            EXPECT_NEAR(a.bias, b.bias, 1e-12 * b.rmse);
        }
        for (int j = 0; j < 4; ++j)
            EXPECT_EQ(view(split).coefficient(j), view(whole).coefficient(j));
        EXPECT_EQ(view(split).condition_number(), view(whole).condition_number());
    }
    GroupResult few;
    std::vector<double> none(layout.doubles());
    GroupTrainer(spec).finish_split(none.data(), none.data(), {}, {}, few);
    EXPECT_EQ(few.status, FitStatus::too_few_rows);
}

}  // namespace
}  // namespace many::test
