// Coherent forecasts: those of aggregates are the sums of those of what they add up.
//
// Base forecasts y of all nodes, made independently, are projected on the coherent ones. With C the
// constraints (a row for each aggregate: 1 at it, -1 at its leaves; C y = 0 when y is coherent) and W
// the covariance of the base forecasts' errors,
//   y~ = y - W C' (C W C')^-1 C y,
// which is S (S' W^-1 S)^-1 S' W^-1 y of the literature, with a system of the size of the aggregates
// instead of the leaves, and without an inverse of W. Only the leaves are computed so; aggregates are
// then their sums.
//   ols            W = I                                       Hyndman et al. (2011)
//   wls_structure  W = diag(number of leaves)                  Athanasopoulos et al. (2017)
//   wls_variance   W = diag(mean squared one-step error)       Hyndman, Lee & Wang (2016)
//   mint_shrink    W = lambda diag(V) + (1 - lambda) V, V = E E' / T of one-step errors E;
//                  lambda by Schaefer & Strimmer (2005)        Wickramasuriya et al. (2019)
// W of mint has rank T plus a diagonal and is never formed: C W C' takes C E and the overlaps of the
// aggregates, lambda takes the smaller of E E' and E' E.
//   bottom_up      leaves as they are
//   top_down       each node's forecast is shared out among its children in proportion to their base
//                  forecasts, from the roots on              Athanasopoulos, Ahmed & Hyndman (2009)
//   top_down_averages   the roots' forecasts, by the leaves' shares of given averages
//                                                              Gross & Sohl (1990), method F
// Both top_down need aggregates that are nested or disjoint; leaves outside of all keep their forecast.
// Children whose base forecasts sum to 0 get equal shares.
//
// Invariants: the leaves' sums are exactly the aggregates' values, in the order of the leaves; coherent base
// forecasts are not changed by any projection (but for rounding). A constraint that others imply under W
// (a pivot below 1e-13 of its diagonal, such as of nodes that were never wrong) is left out of the system;
// it holds by the sums. The same bits from run to run. Forecasts may become negative, but for
// reconcile_nonnegative.
//
// Sources: Wickramasuriya, Athanasopoulos & Hyndman (2019), J. Am. Stat. Assoc. 114; Hyndman, Ahmed,
// Athanasopoulos & Shang (2011), Comput. Stat. Data Anal. 55; Schaefer & Strimmer (2005), Stat. Appl.
// Genet. Mol. Biol. 4, without centring, as R's hts has it; Wickramasuriya, Turlach & Hyndman (2020),
// Stat. Comput. 30, for forecasts that are not negative.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/forecasters/forecaster.h"
#include "core/learners/linear.h"  // StopSignal

namespace many::core {

enum class ReconcileMethod : std::uint8_t {
    bottom_up,
    top_down,
    top_down_averages,
    ols,
    wls_structure,
    wls_variance,
    mint_shrink,
};

// Nodes: leaves 0 .. n_leaves - 1, then the aggregates in the order they were added.
class Hierarchy {
  public:
    static constexpr int kMostAggregates = 5000;  // whose system takes 100 MB

    explicit Hierarchy(int n_leaves);
    // The leaves that the next aggregate sums. Throws Error: none, out of range, one twice, too many
    // aggregates.
    void add(std::span<const int> leaves);

    [[nodiscard]] int n_leaves() const noexcept { return n_leaves_; }
    [[nodiscard]] int n_aggregates() const noexcept { return static_cast<int>(first_.size()) - 1; }
    [[nodiscard]] int n_nodes() const noexcept { return n_leaves_ + n_aggregates(); }
    [[nodiscard]] std::span<const int> leaves_of(int aggregate) const noexcept {
        const auto a = static_cast<std::size_t>(aggregate);
        return {leaves_.data() + first_[a], first_[a + 1] - first_[a]};
    }

  private:
    int n_leaves_;
    std::vector<std::size_t> first_{0};
    std::vector<int> leaves_, last_seen_;
};

// What some methods need beside the hierarchy.
struct ReconcileHistory {
    // One-step errors, n_nodes x n_steps, a node's errors together. NaN: not known. wls_variance uses
    // each node's own errors, mint_shrink the steps that all nodes have.
    std::span<const double> errors;
    int n_steps = 0;
    std::span<const double> averages;  // top_down_averages: of the leaves' past
};

// Made once for a hierarchy, then used for each step's forecasts.
struct ReconcileParts;

class Reconciler {
  public:
    // Statuses: ok; too_short (a node without an error; mint_shrink: fewer than 2 complete steps);
    // overflow (an infinite error; averages not finite); stopped. Throws Error: lengths that do not
    // fit, top_down with aggregates that are not nested. Cost, for n nodes, k aggregates of s leaves in
    // sum, T steps: O(s + k^3 / 3), mint_shrink O((n + s) T + n T min(n, T) + k^2 (k + T)).
    [[nodiscard]] ForecastStatus prepare(const Hierarchy& hierarchy, ReconcileMethod method,
                                         const ReconcileHistory& history = {},
                                         const StopSignal& stop = {});

    // base, out: n_nodes; may be the same. Status ok, or overflow: a base forecast that the method
    // uses, or a result, is not finite. Cost O(s + k^2 + n T).
    [[nodiscard]] ForecastStatus reconcile(std::span<const double> base,
                                           std::span<double> out) const;

    // The same without a leaf below 0: of such coherent forecasts the nearest to base, in W^-1. bottom_up:
    // negative leaves are 0; top_down: shares of what is not negative. Status also not_converged (too
    // many exchanges), not_positive (top_down_averages with negative shares), stopped. Throws Error:
    // aggregates and leaves held at 0 more than kMostAggregates. Cost of an exchange with m leaves at 0:
    // O(s + m (k + m)^2), mint_shrink + O((k + m) m T).
    [[nodiscard]] ForecastStatus reconcile_nonnegative(std::span<const double> base,
                                                       std::span<double> out,
                                                       const StopSignal& stop = {}) const;

    // Takes the correlations of the base forecasts' errors from their history, shrunk as by mint_shrink,
    // whatever the method; without it they are taken for uncorrelated. Statuses as of prepare.
    [[nodiscard]] ForecastStatus correlate(const ReconcileHistory& history,
                                           const StopSignal& stop = {});
    // Standard errors of the reconciled forecasts (without bounds), from those of the base forecasts of
    // the same step. base, out: n_nodes; may be the same. NaN: not known; an unknown one makes unknown
    // what it goes into, and all are of top_down, which is not linear. Status ok or stopped. Cost
    // O(n (k^2 + k T)).
    [[nodiscard]] ForecastStatus standard_errors(std::span<const double> base,
                                                 std::span<double> out,
                                                 const StopSignal& stop = {}) const;

    // Intensity of the shrinkage of mint_shrink, 0 .. 1; NaN of other methods.
    [[nodiscard]] double shrinkage() const noexcept { return lambda_; }

  private:
    void nest();
    ForecastStatus weigh(const ReconcileHistory& history);
    ForecastStatus take_errors(const ReconcileHistory& history, const StopSignal& stop);
    [[nodiscard]] double shrinkage_of(std::span<const double> errors, const StopSignal& stop) const;
    [[nodiscard]] ForecastStatus factor(const StopSignal& stop);
    void project(std::span<const double> base, std::span<double> out) const;
    void share(std::span<const double> base, std::span<double> out) const;
    void solve(std::span<double> x) const;
    [[nodiscard]] ReconcileParts parts() const;
    ForecastStatus pivot(std::span<const double> base, std::span<double> leaves,
                         const StopSignal& stop) const;
    void keep_correlations(const Reconciler& from);

    Hierarchy hierarchy_{0};
    ReconcileMethod method_ = ReconcileMethod::bottom_up;
    std::vector<double> weights_;  // diagonal of W, or of its diagonal part; top_down: averages
    double lambda_ = FitSummary::kNone;
    int n_steps_ = 0;                        // of what follows
    std::vector<double> leaf_errors_;        // n_leaves x n_steps_
    std::vector<double> constraint_errors_;  // C E: n_aggregates x n_steps_
    std::vector<double> system_;     // rows of the lower triangle of C W C', then its factor
    double correlation_lambda_ = 1;  // of what `correlate` took
    std::size_t correlation_steps_ = 0;
    std::vector<double> correlated_errors_;  // over their root mean squares, n_nodes x steps
    std::vector<unsigned char> never_wrong_;
    // top_down: aggregates, parents first; children of each (a range of `children_`).
    std::vector<int> order_, children_;
    std::vector<std::size_t> first_child_;
};

}  // namespace many::core
