#include "core/forecasters/reconcile.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <random>

#include "core/error.h"

namespace many::core {
namespace {

using Doubles = std::vector<double>;
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

constexpr ReconcileMethod kProjections[] = {ReconcileMethod::ols, ReconcileMethod::wls_structure,
                                            ReconcileMethod::wls_variance,
                                            ReconcileMethod::mint_shrink};

// Five leaves; A = 0 1 2, B = 3 4, the total, and a group that crosses A and B.
Hierarchy grouped() {
    Hierarchy hierarchy(5);
    hierarchy.add(std::vector{0, 1, 2});
    hierarchy.add(std::vector{3, 4});
    hierarchy.add(std::vector{4, 3, 2, 1, 0});
    hierarchy.add(std::vector{0, 3});
    return hierarchy;
}
const Doubles kBase = {10.5, 21, 32.5, 40, 47, 70, 85, 160, 54};

Doubles errors_of(int n_nodes, int n_steps, int common) {
    Doubles errors;
    for (int i = 1; i <= n_nodes; ++i) {
        for (int t = 1; t <= n_steps; ++t)
            errors.push_back(((i * 37 + t * 101 + i * t * 17) % 41 - 20) / (3.0 + i % 4) +
                             common * ((t * t) % 7 - 3) * (i % 3));
    }
    return errors;
}

// A total of groups of `each` leaves.
Hierarchy tree(int n_groups, int each) {
    Hierarchy hierarchy(n_groups * each);
    std::vector<int> all;
    for (int g = 0; g < n_groups; ++g) {
        std::vector<int> leaves;
        for (int i = 0; i < each; ++i) leaves.push_back(g * each + i);
        all.insert(all.end(), leaves.begin(), leaves.end());
        hierarchy.add(leaves);
    }
    hierarchy.add(all);
    return hierarchy;
}

Doubles run(const Hierarchy& hierarchy, ReconcileMethod method, const Doubles& base,
            const ReconcileHistory& history = {}, double* lambda = nullptr) {
    Reconciler reconciler;
    EXPECT_EQ(reconciler.prepare(hierarchy, method, history), ForecastStatus::ok);
    Doubles out(base.size());
    EXPECT_EQ(reconciler.reconcile(base, out), ForecastStatus::ok);
    if (lambda != nullptr) *lambda = reconciler.shrinkage();
    return out;
}

void expect_leaves(const Doubles& out, const Doubles& leaves, double tolerance = 1e-10) {
    for (std::size_t i = 0; i < leaves.size(); ++i) EXPECT_NEAR(out[i], leaves[i], tolerance) << i;
}

double incoherence(const Hierarchy& hierarchy, const Doubles& y) {
    double most = 0;
    for (int a = 0; a < hierarchy.n_aggregates(); ++a) {
        double sum = 0;
        for (const int leaf : hierarchy.leaves_of(a)) sum += y[static_cast<std::size_t>(leaf)];
        const double own = y[static_cast<std::size_t>(hierarchy.n_leaves() + a)];
        most = std::max(most, std::fabs(own - sum));
    }
    return most;
}

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

// --- Without negative forecasts ---------------------------------------------------------------------

Doubles run_nonnegative(const Hierarchy& hierarchy, ReconcileMethod method, const Doubles& base,
                        const ReconcileHistory& history = {}) {
    Reconciler reconciler;
    EXPECT_EQ(reconciler.prepare(hierarchy, method, history), ForecastStatus::ok);
    Doubles out(base);
    EXPECT_EQ(reconciler.reconcile_nonnegative(out, out), ForecastStatus::ok);
    return out;
}

// References: solve.QP() of R's quadprog, with W^-1.
TEST(Reconcile, nonnegative_equals_the_quadratic_programme) {
    const Doubles base = {1, -3, 4, 2, -1, 5, -2, 2.5, 1.5}, errors = errors_of(9, 60, 4);
    const ReconcileHistory history{errors, 60, {}};
    const auto leaves = [&](ReconcileMethod method) {
        return run_nonnegative(grouped(), method, base, history);
    };
    expect_leaves(leaves(ReconcileMethod::ols), {0.875, 0, 3.25, 0, 0}, 1e-12);
    expect_leaves(leaves(ReconcileMethod::wls_structure),
                  {0.812312312312312, 0, 3.68318318318318, 0.42942942942943, 0}, 1e-12);
    expect_leaves(leaves(ReconcileMethod::wls_variance),
                  {1.14752195065838, 0, 3.91011344198239, 0.132855621247397, 0}, 1e-12);
    expect_leaves(leaves(ReconcileMethod::mint_shrink),
                  {0.938080398806438, 0, 4.08514331633247, 0.0945467940012777, 0}, 1e-12);
}

TEST(Reconcile, nonnegative_by_hand) {
    Hierarchy hierarchy(2);
    hierarchy.add(std::vector{0, 1});
    // OLS without bounds: {-2, 4, 2}; with the first at 0 the second is the mean of 4 and 2.
    expect_leaves(run_nonnegative(hierarchy, ReconcileMethod::ols, {-2, 4, 2}), {0, 3, 3}, 1e-14);
    EXPECT_EQ(run_nonnegative(hierarchy, ReconcileMethod::ols, {-2, -4, 1}), (Doubles{0, 0, 0}));
    EXPECT_EQ(run_nonnegative(hierarchy, ReconcileMethod::bottom_up, {-2, 4, 9}),
              (Doubles{0, 4, 4}));
    EXPECT_EQ(run_nonnegative(hierarchy, ReconcileMethod::top_down, {-2, 4, 9}),
              (Doubles{0, 9, 9}));
    EXPECT_EQ(run_nonnegative(hierarchy, ReconcileMethod::top_down, {1, 1, -9}),
              (Doubles{0, 0, 0}));
    EXPECT_EQ(run_nonnegative(Hierarchy(2), ReconcileMethod::ols, {-1, 2}), (Doubles{0, 2}));
    Reconciler reconciler;
    const Doubles averages = {-1, 3};
    Doubles out(3);
    ASSERT_EQ(reconciler.prepare(hierarchy, ReconcileMethod::top_down_averages, {{}, 0, averages}),
              ForecastStatus::ok);
    EXPECT_EQ(reconciler.reconcile_nonnegative(Doubles{1, 1, 2}, out),
              ForecastStatus::not_positive);
}

// W by its definition.
std::vector<Doubles> weights_of(const Hierarchy& hierarchy, ReconcileMethod method,
                                const Doubles& errors, int n_steps, double lambda) {
    const auto n = static_cast<std::size_t>(hierarchy.n_nodes()),
               t = static_cast<std::size_t>(n_steps);
    std::vector<Doubles> w(n, Doubles(n));
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j < n; ++j) {
            double sum = 0;
            for (std::size_t s = 0; s < t; ++s) sum += errors[i * t + s] * errors[j * t + s];
            w[i][j] = (i == j ? 1 : 1 - lambda) * sum / n_steps;
            if (method != ReconcileMethod::mint_shrink && i != j) w[i][j] = 0;
        }
        if (method == ReconcileMethod::ols) w[i][i] = 1;
    }
    return w;
}

// Gauss-Jordan with pivots.
Doubles solved(std::vector<Doubles> a, Doubles b) {
    const std::size_t n = b.size();
    for (std::size_t i = 0; i < n; ++i) {
        std::size_t best = i;
        for (std::size_t r = i; r < n; ++r) {
            if (std::fabs(a[r][i]) > std::fabs(a[best][i])) best = r;
        }
        std::swap(a[i], a[best]);
        std::swap(b[i], b[best]);
        for (std::size_t r = 0; r < n; ++r) {
            if (r == i) continue;
            const double by = a[r][i] / a[i][i];
            for (std::size_t c = i; c < n; ++c) a[r][c] -= by * a[i][c];
            b[r] -= by * b[i];
        }
    }
    for (std::size_t i = 0; i < n; ++i) b[i] /= a[i][i];
    return b;
}

// The conditions of the programme, whose solution is the only point that meets them: with r = W^-1 (y~ - y)
// and g = S' r, g is 0 at leaves above 0, not negative at those at 0.
TEST(Reconcile, nonnegative_meets_the_optimality_conditions) {
    std::mt19937_64 random(11);
    std::normal_distribution<double> normal;
    int held = 0, cases = 0;
    for (const auto& hierarchy : {grouped(), tree(4, 3), tree(2, 9)}) {
        const auto n = static_cast<std::size_t>(hierarchy.n_nodes());
        const auto n_leaves = static_cast<std::size_t>(hierarchy.n_leaves());
        for (int repetition = 0; repetition < 40; ++repetition) {
            Doubles errors(n * 50), base(n);
            for (double& e : errors) e = normal(random);
            for (double& v : base) v = 1.5 * normal(random) + 0.3;
            for (const ReconcileMethod method :
                 {ReconcileMethod::ols, ReconcileMethod::wls_variance,
                  ReconcileMethod::mint_shrink}) {
                double lambda = 0;
                const ReconcileHistory history{errors, 50, {}};
                (void)run(hierarchy, method, base, history, &lambda);
                const Doubles out = run_nonnegative(hierarchy, method, base, history);
                EXPECT_EQ(incoherence(hierarchy, out), 0);
                Doubles gap(n);
                for (std::size_t i = 0; i < n; ++i) gap[i] = out[i] - base[i];
                const Doubles r = solved(weights_of(hierarchy, method, errors, 50, lambda), gap);
                for (std::size_t leaf = 0; leaf < n_leaves; ++leaf) {
                    double g = r[leaf];
                    for (int a = 0; a < hierarchy.n_aggregates(); ++a) {
                        const auto of = hierarchy.leaves_of(a);
                        if (std::find(of.begin(), of.end(), static_cast<int>(leaf)) != of.end())
                            g += r[n_leaves + static_cast<std::size_t>(a)];
                    }
                    EXPECT_GE(out[leaf], 0);
                    if (out[leaf] > 0)
                        EXPECT_NEAR(g, 0, 1e-8);
                    else
                        EXPECT_GE(g, -1e-8);
                    held += out[leaf] == 0 ? 1 : 0;
                    ++cases;
                }
            }
        }
    }
    EXPECT_GT(held, cases / 10);
    EXPECT_LT(held, cases * 9 / 10);
}

TEST(Reconcile, nonnegative_leaves_alone_what_is_not_negative) {
    const Doubles errors = errors_of(9, 60, 4);
    for (const ReconcileMethod method : kProjections)
        EXPECT_EQ(run_nonnegative(grouped(), method, kBase, {errors, 60, {}}),
                  run(grouped(), method, kBase, {errors, 60, {}}));
    // Nodes that were never wrong keep their forecast, but for the bound.
    Doubles known = errors_of(7, 10, 0);
    std::fill(known.begin(), known.begin() + 10, 0.0);
    for (const ReconcileMethod method :
         {ReconcileMethod::wls_variance, ReconcileMethod::mint_shrink}) {
        const Doubles out =
            run_nonnegative(tree(2, 2), method, {-1, 3, -20, 2, 1, 1, 3}, {known, 10, {}});
        EXPECT_EQ(out[0], 0);
        EXPECT_EQ(incoherence(tree(2, 2), out), 0);
        for (const double v : out) EXPECT_GE(v, 0);
    }
}

TEST(Reconcile, nonnegative_of_many_leaves_in_the_same_bits) {
    const Hierarchy hierarchy = tree(12, 25);
    const auto n = static_cast<std::size_t>(hierarchy.n_nodes());
    const Doubles errors = errors_of(hierarchy.n_nodes(), 40, 1);
    Doubles base(n);
    for (std::size_t i = 0; i < n; ++i) base[i] = static_cast<double>(i * 37 % 41) - 15;
    for (const ReconcileMethod method : kProjections) {
        const ReconcileHistory history{errors, 40, {}};
        const Doubles out = run_nonnegative(hierarchy, method, base, history);
        EXPECT_EQ(incoherence(hierarchy, out), 0);
        for (const double v : out) EXPECT_GE(v, 0);
        EXPECT_EQ(run_nonnegative(hierarchy, method, base, history), out);
    }
    Reconciler reconciler;
    const int stop = 1;
    ASSERT_EQ(reconciler.prepare(hierarchy, ReconcileMethod::ols), ForecastStatus::ok);
    EXPECT_EQ(reconciler.reconcile_nonnegative(base, base, {&stop, 0}), ForecastStatus::stopped);
}

// --- Standard errors --------------------------------------------------------------------------------

Doubles run_errors(const Hierarchy& hierarchy, ReconcileMethod method, const Doubles& base,
                   const ReconcileHistory& history, bool correlated) {
    Reconciler reconciler;
    EXPECT_EQ(reconciler.prepare(hierarchy, method, history), ForecastStatus::ok);
    if (correlated) {
        EXPECT_EQ(reconciler.correlate(history), ForecastStatus::ok);
    }
    Doubles out(base);
    EXPECT_EQ(reconciler.standard_errors(out, out), ForecastStatus::ok);
    return out;
}

struct ErrorCase {
    ReconcileMethod method;
    bool correlated;
    Doubles expected;
};

// References: the diagonal of S P W_h P' S' in R, W_h = D R D of the base standard errors.
TEST(Reconcile, standard_errors_equal_the_matrix_form) {
    const Doubles errors = errors_of(9, 60, 4), sd = {1.5, 2, 2.5, 3, 1, 4, 3.5, 6, 2.8};
    const ErrorCase cases[] = {
        {ReconcileMethod::bottom_up,
         false,
         {1.5, 2, 2.5, 3, 1, 3.53553390593274, 3.16227766016838, 4.74341649025257,
          3.35410196624968}},
        {ReconcileMethod::bottom_up,
         true,
         {1.5, 2, 2.5, 3, 1, 4.2018805144383, 3.84251701588987, 7.42401560366421, 4.3534976417913}},
        {ReconcileMethod::ols,
         false,
         {1.62771282350809, 1.99071190389205, 2.1865762512383, 1.90248134332718, 1.8875625981629,
          2.93960324153292, 2.51667989342117, 3.7365203093304, 1.99531476006557}},
        {ReconcileMethod::ols,
         true,
         {1.24636179020478, 2.15455676015963, 1.86114396992294, 2.10070583450533, 1.90453230299652,
          2.58760046872055, 3.58484986931622, 5.13783561826134, 2.32659493425022}},
        {ReconcileMethod::wls_structure,
         true,
         {0.989915762376826, 1.92127708369408, 2.02207660059087, 2.14584345732808, 1.38263498670338,
          2.53992762483948, 3.19684302175427, 5.09848378183519, 2.55320328061227}},
        {ReconcileMethod::wls_variance,
         false,
         {1.85039683305921, 4.18913104232434, 2.46044856789194, 2.04457290221817, 2.8343897305868,
          3.8230917825743, 2.72417030739613, 4.05234074258354, 2.58241510019318}},
        {ReconcileMethod::mint_shrink,
         true,
         {1.25823989326962, 3.2725553195306, 2.25996709481727, 1.82895863183843, 2.41367197497653,
          3.30041377718396, 2.89779696539335, 5.2481385561373, 2.29681313202138}},
        {ReconcileMethod::mint_shrink,
         false,
         {1.67439765112457, 3.33036815198779, 2.34139873079125, 1.88490109649867, 3.43001372313684,
          3.40152006090949, 3.4160391980615, 5.30097482871597, 2.18717958338253}}};
    for (const ErrorCase& c : cases) {
        const Doubles out = run_errors(grouped(), c.method, sd, {errors, 60, {}}, c.correlated);
        expect_leaves(out, c.expected, 1e-9);
        Doubles large(sd);
        for (double& d : large) d = std::scalbn(d, 1000);
        Doubles scaled = run_errors(grouped(), c.method, large, {errors, 60, {}}, c.correlated);
        for (double& d : scaled) d = std::scalbn(d, -1000);
        EXPECT_EQ(scaled, out);
    }
}

TEST(Reconcile, standard_errors_by_hand) {
    Hierarchy hierarchy(2);
    hierarchy.add(std::vector{0, 1});
    // OLS: the first is (2 a - b + c) / 3, the total (a + b + 2 c) / 3.
    expect_leaves(run_errors(hierarchy, ReconcileMethod::ols, {3, 3, 3}, {}, false),
                  {std::sqrt(6), std::sqrt(6), std::sqrt(6)}, 1e-14);
    expect_leaves(run_errors(hierarchy, ReconcileMethod::bottom_up, {3, 4, 100}, {}, false),
                  {3, 4, 5}, 1e-15);
    // Errors that go together entirely add up.
    const Doubles together = {1, -1, 1, -1, 2, -2, 2, -2, 3, -3, 3, -3};
    const Doubles out =
        run_errors(hierarchy, ReconcileMethod::bottom_up, {3, 4, 100}, {together, 4, {}}, true);
    EXPECT_NEAR(out[2], 7, 1e-12);
    // Not known, of what goes into them; not of a hierarchy apart; not by shares.
    Hierarchy apart(4);
    apart.add(std::vector{0, 1});
    apart.add(std::vector{2, 3});
    for (const ReconcileMethod method : {ReconcileMethod::bottom_up, ReconcileMethod::ols}) {
        const Doubles some = run_errors(apart, method, {kNan, 1, 1, 1, 1, 1}, {}, false);
        EXPECT_TRUE(std::isnan(some[0]) && std::isnan(some[4]));
        EXPECT_EQ(std::isnan(some[1]), method == ReconcileMethod::ols);
        EXPECT_TRUE(some[2] > 0 && some[3] > 0 && some[5] > 0);
    }
    for (const double d : run_errors(apart, ReconcileMethod::top_down, Doubles(6, 1.0), {}, false))
        EXPECT_TRUE(std::isnan(d));
    // Certain forecasts stay so.
    for (const double d : run_errors(apart, ReconcileMethod::ols, Doubles(6, 0.0), {}, false))
        EXPECT_EQ(d, 0);
}

TEST(Reconcile, correlations_need_two_steps) {
    Reconciler reconciler;
    ASSERT_EQ(reconciler.prepare(grouped(), ReconcileMethod::ols), ForecastStatus::ok);
    EXPECT_EQ(reconciler.correlate({errors_of(9, 1, 4), 1, {}}), ForecastStatus::too_short);
    EXPECT_THROW((void)reconciler.correlate({kBase, 2, {}}), Error);
    Doubles out(8);
    EXPECT_THROW((void)reconciler.standard_errors(Doubles(8), out), Error);
    const int stop = 1;
    Doubles all(9, 1.0);
    EXPECT_EQ(reconciler.standard_errors(all, all, {&stop, 0}), ForecastStatus::stopped);
}

}  // namespace
}  // namespace many::core
