// Reconciled forecasts that are not negative, and standard errors.
#include <algorithm>
#include <cmath>
#include <random>

#include "core/error.h"
#include "unit/forecasters/reconcile_support.h"

namespace many::core {
namespace {

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
