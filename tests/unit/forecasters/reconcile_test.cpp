#include "unit/forecasters/reconcile_support.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <random>

#include "core/error.h"

namespace many::core {
namespace {

// References: S (S' W^-1 S)^-1 S' W^-1 y with explicit inverses and the formula of hts for lambda, in R.
TEST(Reconcile, ols_and_structure_equal_the_inverse_form) {
    expect_leaves(
        run(grouped(), ReconcileMethod::ols, kBase),
        {12.9848484848485, 22.9318181818182, 34.4318181818182, 40.4621212121212, 46.9090909090909});
    expect_leaves(
        run(grouped(), ReconcileMethod::wls_structure, kBase),
        {12.4259259259259, 22.3268921095008, 33.8268921095008, 40.3760064412238, 46.7769726247987});
}

TEST(Reconcile, variances_and_mint_equal_the_inverse_form) {
    const Doubles errors = errors_of(9, 60, 4);
    double lambda = 0;
    expect_leaves(
        run(grouped(), ReconcileMethod::wls_variance, kBase, {errors, 60, {}}),
        {12.8135924116176, 24.6154144212958, 32.5702923149827, 40.9898833181587, 45.3425986016083});
    expect_leaves(
        run(grouped(), ReconcileMethod::mint_shrink, kBase, {errors, 60, {}}, &lambda),
        {12.7274832971607, 24.6408954777583, 32.9989865326889, 40.876017293463, 46.8932012567492});
    EXPECT_NEAR(lambda, 0.0465913559928777, 1e-12);
}

TEST(Reconcile, mint_of_fewer_steps_than_nodes) {
    const Doubles errors = errors_of(9, 6, 9);
    double lambda = 0;
    expect_leaves(
        run(grouped(), ReconcileMethod::mint_shrink, kBase, {errors, 6, {}}, &lambda),
        {12.8798955130359, 24.9926756191096, 32.3131135665439, 41.049618071392, 46.3190296155837});
    EXPECT_NEAR(lambda, 0.271822845574534, 1e-12);
}

TEST(Reconcile, one_aggregate_by_hand) {
    Hierarchy hierarchy(2);
    hierarchy.add(std::vector{0, 1});
    // 3 too much, a third each by OLS; by variances 1, 2 and 3: 1/6, 2/6, 3/6 of it.
    expect_leaves(run(hierarchy, ReconcileMethod::ols, {1, 2, 6}), {2, 3, 5}, 1e-15);
    const Doubles errors = {1, -1, std::sqrt(2), std::sqrt(2), -std::sqrt(3), std::sqrt(3)};
    expect_leaves(run(hierarchy, ReconcileMethod::wls_variance, {1, 2, 6}, {errors, 2, {}}),
                  {1.5, 3, 4.5}, 1e-14);
}

TEST(Reconcile, bottom_up_and_top_down_by_hand) {
    const Hierarchy hierarchy = tree(2, 2);
    const Doubles base = {1, 3, 2, 2, 10, 10, 100};
    EXPECT_EQ(run(hierarchy, ReconcileMethod::bottom_up, base), (Doubles{1, 3, 2, 2, 4, 4, 8}));
    EXPECT_EQ(run(hierarchy, ReconcileMethod::top_down, base),
              (Doubles{12.5, 37.5, 25, 25, 50, 50, 100}));
    const Doubles averages = {1, 1, 2, 4};
    EXPECT_EQ(run(hierarchy, ReconcileMethod::top_down_averages, base, {{}, 0, averages}),
              (Doubles{12.5, 12.5, 25, 50, 25, 75, 100}));
    // Children of sum 0: equal shares.
    EXPECT_EQ(run(hierarchy, ReconcileMethod::top_down, {0, 0, 2, 2, 10, 10, 100}),
              (Doubles{25, 25, 25, 25, 50, 50, 100}));
    // Aggregates of bottom_up are not looked at.
    EXPECT_EQ(run(hierarchy, ReconcileMethod::bottom_up, {1, 3, 2, 2, kNan, kNan, kNan}),
              (Doubles{1, 3, 2, 2, 4, 4, 8}));
}

TEST(Reconcile, top_down_of_a_forest_with_lone_leaves) {
    Hierarchy hierarchy(4);
    hierarchy.add(std::vector{0, 1});
    hierarchy.add(std::vector{2});
    EXPECT_EQ(run(hierarchy, ReconcileMethod::top_down, {1, 1, 5, 7, 10, 20}),
              (Doubles{5, 5, 20, 7, 10, 20}));
}

TEST(Reconcile, results_are_coherent_and_coherent_forecasts_stay) {
    std::mt19937_64 random(7);
    std::normal_distribution<double> normal;
    for (const auto& hierarchy : {grouped(), tree(1, 1), tree(7, 5), tree(3, 40)}) {
        const auto n = static_cast<std::size_t>(hierarchy.n_nodes());
        for (const int n_steps : {2, 12, 300}) {
            Doubles errors(n * static_cast<std::size_t>(n_steps));
            for (double& e : errors) e = normal(random);
            Doubles base(n);
            for (double& v : base) v = 100 + 30 * normal(random);
            const Doubles coherent = run(hierarchy, ReconcileMethod::bottom_up, base);
            EXPECT_EQ(incoherence(hierarchy, coherent), 0);
            for (const ReconcileMethod method : kProjections) {
                const ReconcileHistory history{errors, n_steps, {}};
                const Doubles out = run(hierarchy, method, base, history);
                EXPECT_LT(incoherence(hierarchy, out), 1e-10);
                const Doubles kept = run(hierarchy, method, coherent, history);
                const Doubles again = run(hierarchy, method, out, history);
                for (std::size_t i = 0; i < n; ++i) {
                    EXPECT_NEAR(kept[i], coherent[i], 1e-10);
                    EXPECT_NEAR(again[i], out[i], 1e-9);
                }
                EXPECT_EQ(run(hierarchy, method, base, history), out);  // the same bits
            }
        }
    }
}

TEST(Reconcile, nodes_that_were_never_wrong_keep_their_forecast) {
    Hierarchy hierarchy = tree(2, 2);
    Doubles errors = errors_of(7, 10, 0);
    std::fill(errors.begin() + 60, errors.end(), 0.0);  // of the total
    for (const ReconcileMethod method :
         {ReconcileMethod::wls_variance, ReconcileMethod::mint_shrink}) {
        const Doubles out = run(hierarchy, method, {1, 3, 2, 2, 10, 10, 100}, {errors, 10, {}});
        EXPECT_NEAR(out[6], 100, 1e-10);
        // None was ever wrong: nothing is known, and the leaves stay as they are.
        const Doubles none(70, 0.0);
        EXPECT_EQ(run(hierarchy, method, {1, 3, 2, 2, 10, 10, 100}, {none, 10, {}}),
                  (Doubles{1, 3, 2, 2, 4, 4, 8}));
    }
}

TEST(Reconcile, missing_errors) {
    Doubles errors = errors_of(9, 60, 4);
    errors[3] = kNan;
    Doubles shorter = errors;
    for (std::size_t i = 9; i-- > 0;)
        shorter.erase(shorter.begin() + static_cast<std::ptrdiff_t>(i * 60 + 3));
    EXPECT_EQ(run(grouped(), ReconcileMethod::mint_shrink, kBase, {errors, 60, {}}),
              run(grouped(), ReconcileMethod::mint_shrink, kBase, {shorter, 59, {}}));
    Reconciler reconciler;
    std::fill(errors.begin(), errors.begin() + 60, kNan);
    EXPECT_EQ(reconciler.prepare(grouped(), ReconcileMethod::wls_variance, {errors, 60, {}}),
              ForecastStatus::too_short);
    EXPECT_EQ(reconciler.prepare(grouped(), ReconcileMethod::mint_shrink, {errors, 60, {}}),
              ForecastStatus::too_short);
    EXPECT_EQ(reconciler.prepare(grouped(), ReconcileMethod::mint_shrink, {}),
              ForecastStatus::too_short);
}

TEST(Reconcile, scale_does_not_matter_and_what_is_not_finite_is_said) {
    const Doubles errors = errors_of(9, 60, 4);
    Doubles large = errors;
    for (double& e : large) e = std::scalbn(e, 1000);
    for (const ReconcileMethod method :
         {ReconcileMethod::wls_variance, ReconcileMethod::mint_shrink})
        EXPECT_EQ(run(grouped(), method, kBase, {errors, 60, {}}),
                  run(grouped(), method, kBase, {large, 60, {}}));
    Reconciler reconciler;
    large[5] = std::numeric_limits<double>::infinity();
    EXPECT_EQ(reconciler.prepare(grouped(), ReconcileMethod::wls_variance, {large, 60, {}}),
              ForecastStatus::overflow);
    EXPECT_EQ(reconciler.prepare(grouped(), ReconcileMethod::mint_shrink, {large, 60, {}}),
              ForecastStatus::overflow);
    Doubles out(9), base = kBase;
    ASSERT_EQ(reconciler.prepare(grouped(), ReconcileMethod::ols), ForecastStatus::ok);
    base[2] = kNan;
    EXPECT_EQ(reconciler.reconcile(base, out), ForecastStatus::overflow);
    EXPECT_EQ(reconciler.reconcile(Doubles(9, 1e308), out), ForecastStatus::overflow);
}

TEST(Reconcile, mistakes_are_refused) {
    Hierarchy hierarchy(3);
    EXPECT_THROW(hierarchy.add({}), Error);
    EXPECT_THROW(hierarchy.add(std::vector{0, 3}), Error);
    EXPECT_THROW(hierarchy.add(std::vector{-1}), Error);
    EXPECT_THROW(hierarchy.add(std::vector{1, 1}), Error);
    EXPECT_THROW(Hierarchy(-1), Error);
    Reconciler reconciler;
    for (const ReconcileMethod method :
         {ReconcileMethod::top_down, ReconcileMethod::top_down_averages})
        EXPECT_THROW((void)reconciler.prepare(grouped(), method, {{}, 0, Doubles(5, 1)}), Error);
    EXPECT_THROW((void)reconciler.prepare(grouped(), ReconcileMethod::mint_shrink, {kBase, 2, {}}),
                 Error);
    Doubles out(8);
    ASSERT_EQ(reconciler.prepare(grouped(), ReconcileMethod::ols), ForecastStatus::ok);
    EXPECT_THROW((void)reconciler.reconcile(Doubles(8), out), Error);
}

TEST(Reconcile, stops_when_told) {
    const int stop = 1;
    Reconciler reconciler;
    EXPECT_EQ(reconciler.prepare(tree(5, 5), ReconcileMethod::ols, {}, {&stop, 0}),
              ForecastStatus::stopped);
}

}  // namespace
}  // namespace many::core
