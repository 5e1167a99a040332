#include "core/learners/linear_active.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/learners/linear_workspace.h"

namespace many::core {
namespace {

constexpr double kDrop2 = LinearSolver::kCollinear * LinearSolver::kCollinear;
// A column whose pivot is below this share of its square is not told from a collinear one in
// double. With those above it, predictions have relative errors of 1e-16 / sqrt(kSafePivot).
constexpr double kSafePivot = 1e-10;
// An optimality condition is violated when it is by this share of the penalty, and by more than
// what rounding does to the sum, in parts of its terms.
constexpr double kSlack = 1e-9;
constexpr double kRounding = 1e-14;
constexpr double kWideRounding = 1e-15;  // in extended precision: the coefficients are rounded
constexpr std::size_t kPollEvery = 1000000;

// The first coefficient of the set that comes to zero when `present` changes by `share` times
// change(j), share growing from 0 to *share; -1 when none does. *share becomes where.
template <class Change>
int first_to_vanish(const SignedCoefficients& c, const Change& change, double* share) {
    int leaves = -1;
    for (std::size_t j = 0; j < c.sign.size(); ++j) {
        const double d = change(j) * c.sign[j];
        if (!(d < 0)) continue;
        const double at = std::fabs(c.present[j]) / -d;
        if (leaves < 0 ? at <= *share : at < *share) {
            *share = at;
            leaves = static_cast<int>(j);
        }
    }
    return leaves;
}

template <class Change>
void move(SignedCoefficients& c, const Change& change, double share) {
    for (std::size_t j = 0; j < c.sign.size(); ++j) {
        if (c.sign[j] != 0) c.present[j] += share * change(j);
    }
}

// The search, over equations with
//   c                the coefficients
//   solve            `trial` for the signs; *dependent: a column of the set that is collinear with
//                    others of it; *unsure: no answer in this precision
//   flat_direction   into `trial`: what the coefficients change by when that of `dependent` grows by
//                    1 and no prediction changes
//   weight           what the penalty counts a coefficient by
//   worst_violation  the column that should enter and the sign it wants, or -1: `trial` is the minimum
//   enter, leave     change the set
// *found: `present` is the minimum.
template <class Equations>
FitStatus search_signs(Equations& e, const StopSignal& stop, bool* found) {
    SignedCoefficients& c = e.c;
    const std::size_t limit = 3 * c.sign.size() + 20;
    int entered = -1;
    *found = false;
    for (std::size_t step = 0; step < limit; ++step) {
        int dependent = -1;
        bool unsure = false;
        FitStatus s = e.solve(stop, &dependent, &unsure);
        if (s != FitStatus::ok || unsure) return s;
        if (dependent >= 0) {
            s = e.flat_direction(dependent, stop);
            if (s != FitStatus::ok) return s;
            double slope = 0;  // of the penalty; 0: all points on the way are as good
            for (std::size_t j = 0; j < c.sign.size(); ++j) {
                slope += c.sign[j] * e.weight(j) * c.trial[j];
            }
            const double way = slope > 0 ? -1.0 : 1.0;
            const auto change = [&c, way](std::size_t j) { return way * c.trial[j]; };
            double share = std::numeric_limits<double>::max();
            const int leaves = first_to_vanish(c, change, &share);
            if (leaves < 0) return FitStatus::ok;
            move(c, change, share);
            e.leave(leaves);
            continue;
        }
        const auto change = [&c](std::size_t j) { return c.trial[j] - c.present[j]; };
        double share = 1;
        const int leaves = first_to_vanish(c, change, &share);
        if (leaves >= 0) {
            if (leaves == entered && share == 0) return FitStatus::ok;  // it would go in circles
            move(c, change, share);
            e.leave(leaves);
            entered = -1;
            continue;
        }
        c.present = c.trial;
        signed char wants = 0;
        entered = e.worst_violation(&wants);
        if (entered < 0) {
            *found = true;
            return FitStatus::ok;
        }
        e.enter(entered, wants);
    }
    return FitStatus::ok;
}

// The rows and columns `active` of g, and the column `target`.
void take_columns(const ScaledGram& g, const std::vector<int>& active, int target,
                  ScaledGram& out) {
    const int a = static_cast<int>(active.size());
    const std::size_t m = active.size() + 1;
    out.p = a;
    out.n = g.n;
    out.centred = g.centred;
    out.c.resize(a + 1);
    out.mean.resize(m);
    out.square.resize(m);
    out.norm2.resize(m);
    out.norm.resize(m);
    for (int i = 0; i <= a; ++i) {
        const std::size_t si = static_cast<std::size_t>(i);
        const int from = i == a ? target : active[si];
        const std::size_t source = static_cast<std::size_t>(from);
        out.mean.set(si, g.mean[source]);
        out.square[si] = g.square[source];
        out.norm2[si] = g.norm2[source];
        out.norm[si] = g.norm[source];
        for (int j = 0; j <= i; ++j) {
            const int column = j == a ? target : active[static_cast<std::size_t>(j)];
            out.c.set(i, j, g.at(from, column));
        }
    }
}

}  // namespace

void SignedCoefficients::clear(std::size_t p) {
    sign.assign(p, 0);
    present.assign(p, 0.0);
    trial.assign(p, 0.0);
}

// --- In double ------------------------------------------------------------------------------------

void ActiveSet::start(const double* r, const double* target, std::size_t p, std::size_t max_rank) {
    r_ = r;
    target_ = target;
    p_ = p;
    max_rank_ = max_rank;
    l2_ = 0;
    c_.clear(p);
    order_.clear();
    factored_ = 0;
    columns_.resize(p * p);
    inverse_.resize(p);
    work_row_.resize(p);
    gradient_.resize(p);
    root_.resize(p);
    for (std::size_t j = 0; j < p; ++j) root_[j] = std::sqrt(r[j * p + j]);
}

void ActiveSet::enter(int column, signed char wants) {
    c_.sign[static_cast<std::size_t>(column)] = wants;
    order_.push_back(column);
}

void ActiveSet::leave(int column) {
    c_.sign[static_cast<std::size_t>(column)] = 0;
    c_.present[static_cast<std::size_t>(column)] = 0;
    const auto at = std::find(order_.begin(), order_.end(), column);
    factored_ = std::min(factored_, static_cast<std::size_t>(at - order_.begin()));
    order_.erase(at);
}

void ActiveSet::adopt(std::size_t column, double coefficient) {
    if (c_.sign[column] != 0) leave(static_cast<int>(column));
    if (coefficient == 0) return;
    enter(static_cast<int>(column), coefficient > 0 ? 1 : -1);
    c_.present[column] = coefficient;
}

// Appends row i to the factor; false: its column cannot be told from a collinear one.
bool ActiveSet::factor_row(std::size_t i) {
    const double* source = r_ + static_cast<std::size_t>(order_[i]) * p_;
    double* row = work_row_.data();
    for (std::size_t j = 0; j < i; ++j) row[j] = source[order_[j]];
    const double square = source[order_[i]] + l2_;
    double pivot = square;
    for (std::size_t m = 0; m < i; ++m) {
        double* column = columns_.data() + m * p_;
        const double l = row[m] * inverse_[m];
        for (std::size_t j = m + 1; j < i; ++j) row[j] -= l * column[j];
        column[i] = l;
        pivot -= l * l;
    }
    work_ += i * i / 2;
    if (!(pivot > kSafePivot * square) || (i >= max_rank_ && l2_ == 0)) return false;
    inverse_[i] = 1.0 / std::sqrt(pivot);
    return true;
}

// The inverse of L' and, before it, of L, applied to n numbers.
void ActiveSet::solve_factored(double* x, std::size_t n) const {
    for (std::size_t m = n; m-- > 0;) {
        const double* column = columns_.data() + m * p_;
        double sum = x[m];
        for (std::size_t j = m + 1; j < n; ++j) sum -= column[j] * x[j];
        x[m] = sum * inverse_[m];
    }
}

struct DoubleEquations {
    ActiveSet& a;
    SignedCoefficients& c;
    double l1;

    [[nodiscard]] static double weight(std::size_t) noexcept { return 1; }
    void enter(int column, signed char wants) { a.enter(column, wants); }
    void leave(int column) { a.leave(column); }

    [[nodiscard]] FitStatus solve(const StopSignal& stop, int* dependent, bool* unsure) {
        const std::size_t n = a.order_.size();
        for (; a.factored_ < n; ++a.factored_) {
            if (a.factor_row(a.factored_)) continue;
            const bool collinear = a.l2_ == 0 && a.factored_ >= a.max_rank_;
            if (collinear && a.factored_ + 1 == n) {
                *dependent = a.order_[a.factored_];
            } else {
                *unsure = true;
            }
            return FitStatus::ok;
        }
        double* x = a.work_row_.data();
        for (std::size_t i = 0; i < n; ++i) {
            const std::size_t j = static_cast<std::size_t>(a.order_[i]);
            x[i] = a.target_[j] - (c.sign[j] > 0 ? l1 : -l1);
        }
        for (std::size_t m = 0; m < n; ++m) {
            const double* column = a.columns_.data() + m * a.p_;
            x[m] *= a.inverse_[m];
            for (std::size_t j = m + 1; j < n; ++j) x[j] -= x[m] * column[j];
        }
        a.solve_factored(x, n);
        std::fill(c.trial.begin(), c.trial.end(), 0.0);
        for (std::size_t i = 0; i < n; ++i) c.trial[static_cast<std::size_t>(a.order_[i])] = x[i];
        a.work_ += n * (n + a.p_);
        if (a.work_ < kPollEvery) return FitStatus::ok;
        a.work_ = 0;
        return stop.poll();
    }

    // Of the column after those that are factored, whose row of L is there.
    [[nodiscard]] FitStatus flat_direction(int dependent, const StopSignal&) {
        const std::size_t n = a.factored_;
        double* x = a.work_row_.data();
        for (std::size_t m = 0; m < n; ++m) x[m] = a.columns_[m * a.p_ + n];
        a.solve_factored(x, n);
        std::fill(c.trial.begin(), c.trial.end(), 0.0);
        for (std::size_t i = 0; i < n; ++i) c.trial[static_cast<std::size_t>(a.order_[i])] = -x[i];
        c.trial[static_cast<std::size_t>(dependent)] = 1;
        return FitStatus::ok;
    }

    [[nodiscard]] int worst_violation(signed char* wants) {
        double* gradient = a.gradient_.data();
        std::copy(a.target_, a.target_ + a.p_, gradient);
        double reach = 1;  // of the terms of a gradient: |r_j| and |R_jk b_k|, by root_[j]
        for (const int k : a.order_) {
            const double b = c.trial[static_cast<std::size_t>(k)];
            const double* row = a.r_ + static_cast<std::size_t>(k) * a.p_;
            for (std::size_t j = 0; j < a.p_; ++j) gradient[j] -= b * row[j];
            reach += std::fabs(b) * a.root_[static_cast<std::size_t>(k)];
        }
        int worst = -1;
        double worst_excess = 0;
        for (std::size_t j = 0; j < a.p_; ++j) {
            if (c.sign[j] != 0) continue;
            const double excess =
                std::fabs(gradient[j]) - (l1 * (1 + kSlack) + kRounding * reach * a.root_[j]);
            if (excess > worst_excess) {
                worst_excess = excess;
                worst = static_cast<int>(j);
                *wants = gradient[j] > 0 ? 1 : -1;
            }
        }
        return worst;
    }
};

FitStatus ActiveSet::search(double l1, double l2, const StopSignal& stop, Outcome* outcome) {
    if (l2 != l2_) factored_ = 0;
    l2_ = l2;
    DoubleEquations equations{*this, c_, l1};
    bool found = false;
    const FitStatus s = search_signs(equations, stop, &found);
    *outcome = found ? Outcome::found : Outcome::unsure;
    return s;
}

// --- In extended precision ------------------------------------------------------------------------

// Minimises over the coefficients whose sign is not 0, with the penalty's slope fixed by these
// signs (l1 = 0: over all), into wide.trial and polished_intercept. Columns collinear with earlier
// ones get the coefficient 0; *dependent is the last of them, or -1.
FitStatus LinearSolver::Workspace::solve_active(const ScaledGram& g, double l1, double l2,
                                                const StopSignal& stop, int* dependent) {
    const std::size_t p = static_cast<std::size_t>(g.p);
    active.clear();
    for (std::size_t j = 0; j < p; ++j) {
        if (wide.sign[j] != 0) active.push_back(static_cast<int>(j));
    }
    take_columns(g, active, g.p, active_gram);
    const int a = static_cast<int>(active.size());
    ridge.resize(active.size());
    for (int i = 0; i < a; ++i) {
        const std::size_t j = static_cast<std::size_t>(active[static_cast<std::size_t>(i)]);
        ridge[static_cast<std::size_t>(i)] = g.n * l2 * scale[j] * scale[j];
        if (l1 > 0) {
            const double pull = g.n * l1 * scale[j] * target_scale;
            const TripleDouble pulled =
                active_gram.at(a, i) + TripleDouble(wide.sign[j] > 0 ? -pull : pull);
            active_gram.c.set(a, i, pulled);
        }
    }
    if (const FitStatus s = solve_taken(ridge.data(), stop); s != FitStatus::ok) return s;
    polished_intercept = solved.intercept;
    wide.trial.assign(p, 0.0);
    *dependent = -1;
    for (std::size_t i = 0; i < active.size(); ++i) {
        wide.trial[static_cast<std::size_t>(active[i])] = solved.coefficient[i];
        if (solved.kept[i] == 0) *dependent = active[i];
    }
    return FitStatus::ok;
}

// active_gram into `solved`, in triple-double where double-double is not exact enough.
FitStatus LinearSolver::Workspace::solve_taken(const double* penalty, const StopSignal& stop) {
    const auto solve = [&](Precision precision) {
        return solve_cholesky(active_gram, penalty, kDrop2, precision, Task::coefficients, stop,
                              solved);
    };
    const FitStatus s = solve(Precision::double_double);
    if (s != FitStatus::ok ||
        (!solved.dropped_variable && solved.condition_bound <= kWideCondition)) {
        return s;
    }
    return solve(Precision::triple_double);
}

struct WideEquations {
    LinearSolver::Workspace& w;
    const ScaledGram& g;
    SignedCoefficients& c;
    double l1, l2;

    [[nodiscard]] double weight(std::size_t j) const noexcept { return w.scale[j]; }
    void enter(int column, signed char wants) { c.sign[static_cast<std::size_t>(column)] = wants; }
    void leave(int column) {
        c.sign[static_cast<std::size_t>(column)] = 0;
        c.present[static_cast<std::size_t>(column)] = 0;
    }
    [[nodiscard]] FitStatus solve(const StopSignal& stop, int* dependent, bool*) {
        return w.solve_active(g, l1, l2, stop, dependent);
    }

    [[nodiscard]] FitStatus flat_direction(int dependent, const StopSignal& stop) {
        w.active.erase(std::find(w.active.begin(), w.active.end(), dependent));
        take_columns(g, w.active, dependent, w.active_gram);
        if (const FitStatus s = w.solve_taken(nullptr, stop); s != FitStatus::ok) return s;
        std::fill(c.trial.begin(), c.trial.end(), 0.0);
        for (std::size_t i = 0; i < w.active.size(); ++i) {
            c.trial[static_cast<std::size_t>(w.active[i])] = 0.0 - w.solved.coefficient[i];
        }
        c.trial[static_cast<std::size_t>(dependent)] = 1;
        return FitStatus::ok;
    }

    [[nodiscard]] int worst_violation(signed char* wants) const {
        const std::size_t p = c.sign.size();
        int worst = -1;
        double worst_excess = 0;
        for (std::size_t j = 0; j < p; ++j) {
            if (c.sign[j] != 0 || w.scale[j] == 0) continue;
            const int row = static_cast<int>(j);
            DoubleDouble sum = core::narrow(g.at(g.p, row));
            double magnitude = std::fabs(sum.value());
            for (std::size_t k = 0; k < p; ++k) {
                if (c.trial[k] == 0) continue;
                const DoubleDouble product = core::narrow(g.at(row, static_cast<int>(k)));
                sum = minus_product(sum, product, DoubleDouble(c.trial[k]));
                magnitude += std::fabs(product.value() * c.trial[k]);
            }
            const double limit =
                g.n * w.scale[j] * w.target_scale * l1 * (1 + kSlack) + kWideRounding * magnitude;
            const double excess = (std::fabs(sum.value()) - limit) / w.scale[j];
            if (excess > worst_excess) {
                worst_excess = excess;
                worst = row;
                *wants = sum.value() > 0 ? 1 : -1;
            }
        }
        return worst;
    }
};

FitStatus LinearSolver::Workspace::search_active(const ScaledGram& g, double l1, double l2,
                                                 const StopSignal& stop, bool* found) {
    wide.sign = narrow.coefficients().sign;
    wide.present = narrow.coefficients().present;
    for (std::size_t j = 0; j < wide.present.size(); ++j) {
        if (wide.present[j] != 0) wide.present[j] *= target_scale / scale[j];
    }
    WideEquations equations{*this, g, wide, l1, l2};
    return search_signs(equations, stop, found);
}

// One point of a path; narrow.start() was before the first.
FitStatus LinearSolver::Workspace::solve_point(const ScaledGram& g, double l1, double l2,
                                               const StopSignal& stop) {
    const std::size_t p = static_cast<std::size_t>(g.p);
    ActiveSet::Outcome outcome;
    FitStatus s = narrow.search(l1, l2, stop, &outcome);
    if (s != FitStatus::ok) return s;
    if (outcome == ActiveSet::Outcome::found) {
        beta = narrow.coefficients().present;
        return FitStatus::ok;
    }
    bool found = false;
    s = search_active(g, l1, l2, stop, &found);
    if (s != FitStatus::ok) return s;
    beta.assign(p, 0.0);
    for (std::size_t j = 0; j < p; ++j) {
        if (scale[j] > 0) beta[j] = wide.present[j] * scale[j] / target_scale;
    }
    if (!found) {  // signs within rounding: near enough to the minimum
        s = descend(g.p, l1, l2, kCoarseTolerance, kCoarseSweeps, stop);
        if (s != FitStatus::ok && s != FitStatus::not_converged) return s;
    }
    for (std::size_t j = 0; j < p; ++j) narrow.adopt(j, beta[j]);
    return FitStatus::ok;
}

}  // namespace many::core
