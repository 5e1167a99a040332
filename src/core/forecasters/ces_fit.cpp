// fit_ces and choose_ces: start, search, criteria.
//
// The series is divided by a power of two (which is exact) to magnitude 1, so that sums of squares of
// any double are finite and tolerances mean the same for every series. Two to four parameters are
// searched: the sum of squared one-step errors by Levenberg-Marquardt (numeric/least_squares_search.h)
// from several starts, a few iterations each and the best of them to the end; then a simplex (Nelder &
// Mead 1965) around the point found, as the least is often at the border of the region (a season that
// does not change), along which a Levenberg-Marquardt step cannot go. NLopt is not used: it has no
// method for least squares, and its simplex alone takes a multiple of the evaluations.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>

#include "core/forecasters/ces.h"
#include "core/forecasters/ces_kernel.h"
#include "core/forecasters/seasonality.h"
#include "core/numeric/least_squares_search.h"

namespace many::core {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr int kMost = 4;  // parameters
using Point = std::array<double, kMost>;

constexpr double kLevelStarts[][2] = {{1.3, 1.003}, {1.9, 1.01}, {1.05, 1.01},
                                      {1.0, 0.97},  {1.5, 1.2},  {1.6, 1.0}};
constexpr double kSeasonStarts[][2] = {{1.3, 1.003}, {1.05, 1.01}, {1.9, 1.01}};
constexpr double kShareStarts[] = {0.1, 0.5};
constexpr std::size_t kKept = 2;  // starts that are improved to the end

int n_smoothing(CesForm form) noexcept {
    return form == CesForm::full ? 4 : form == CesForm::partial ? 3 : 2;
}

double& parameter(CesParameters& p, std::size_t i) noexcept {
    double* const all[kMost] = {&p.a0, &p.a1, &p.b0, &p.b1};
    return *all[i];
}

struct Candidate {
    Point x{};
    double squares = 0;
};

// The errors of a form as a function of the parameters that are free.
// NOLINTNEXTLINE(cppcoreguidelines-virtual-class-destructor): final, and never deleted by its base
class Problem final : public ResidualFunction {
  public:
    // given: NaN where free. x0: the heuristic start.
    void set(CesForm form, int season_length, std::span<const double> y,
             const CesOptions& options) {
        form_ = form;
        m_ = season_length;
        y_ = y;
        backcast_ = options.start == CesOptions::Start::backcast;
        fixed_ = {};
        n_free_ = 0;
        CesParameters given = options.parameters;
        for (std::size_t i = 0; i < static_cast<std::size_t>(n_smoothing(form)); ++i) {
            parameter(fixed_, i) = parameter(given, i);
            if (std::isnan(parameter(given, i))) free_[n_free_++] = i;
        }
    }
    [[nodiscard]] int n_free() const noexcept { return static_cast<int>(n_free_); }
    [[nodiscard]] CesState& heuristic() noexcept { return heuristic_; }
    [[nodiscard]] const CesState& initial() const noexcept { return initial_; }
    [[nodiscard]] const CesState& last() const noexcept { return state_; }

    [[nodiscard]] CesParameters parameters(const double* x) const noexcept {
        CesParameters p = fixed_;
        for (std::size_t i = 0; i < n_free_; ++i) parameter(p, free_[i]) = x[i];
        return p;
    }
    // The free ones of all.
    [[nodiscard]] Point pick(CesParameters p) const noexcept {
        Point x{};
        for (std::size_t i = 0; i < n_free_; ++i) x[i] = parameter(p, free_[i]);
        return x;
    }

    bool residuals(const double* x, double* r) override {
        const CesParameters p = parameters(x);
        if (!is_admissible(form_, p, m_)) return false;
        state_ = heuristic_;
        if (backcast_) {
            if (!run_ces(form_, p, y_, false, state_, nullptr, nullptr)) return false;
            if (!run_ces(form_, p, y_, true, state_, nullptr, nullptr)) return false;
            coast_ces(form_, p, m_, state_);
        }
        initial_ = state_;
        return run_ces(form_, p, y_, false, state_, nullptr, r);
    }
    // Infinite where there are no errors. scratch: n values.
    [[nodiscard]] double squares(const double* x, std::vector<double>& scratch) {
        if (!residuals(x, scratch.data())) return kInfinity;
        double sum = 0;
        for (const double e : scratch) sum += e * e;
        return std::isfinite(sum) ? sum : kInfinity;
    }

  private:
    CesForm form_ = CesForm::none;
    int m_ = 1;
    std::span<const double> y_;
    bool backcast_ = false;
    CesParameters fixed_;
    std::array<std::size_t, kMost> free_{};
    std::size_t n_free_ = 0;
    CesState heuristic_, initial_, state_;
};

}  // namespace

struct CesWorkspace::Impl {
    Problem problem;
    LeastSquaresSearch search;
    std::vector<double> scaled, scratch, figure;
    std::vector<Candidate> points;
    std::array<Candidate, kMost + 1> simplex;
    CesFit candidate;
};

CesWorkspace::CesWorkspace() : impl_(new Impl) {}
CesWorkspace::~CesWorkspace() {
    delete impl_;
}

namespace {

// Divides by a power of two to 1/2 <= max |y| < 1. False: a value is not finite.
bool scale(std::span<const double> y, std::vector<double>& out, int& exponent) {
    double largest = 0;
    for (const double v : y) {
        if (!std::isfinite(v)) return false;
        largest = std::max(largest, std::fabs(v));
    }
    exponent = 0;
    if (largest > 0) (void)std::frexp(largest, &exponent);
    out.resize(y.size());
    for (std::size_t i = 0; i < y.size(); ++i) out[i] = std::ldexp(y[i], -exponent);
    return true;
}

void scale_back(int exponent, CesState& x) {
    x.level = std::ldexp(x.level, exponent);
    x.potential = std::ldexp(x.potential, exponent);
    for (double& s : x.seasonal) s = std::ldexp(s, exponent);
    for (double& p : x.seasonal_potential) p = std::ldexp(p, exponent);
}

// The potential that goes with a level, as R's smooth has it.
double potential_of(double level) noexcept {
    return level / 1.1;
}

// Level: mean of the first season (none: of at least 10 values). Season: classical decomposition.
// simple has the sum of both in each season; with backcasting the first season itself, as R does, but
// without it that would have errors of 0 for a season and be preferred for them.
void heuristic_start(CesForm form, std::span<const double> y, const SeriesView& series,
                     bool backcast, std::vector<double>& figure, CesState& x) {
    const std::size_t m = static_cast<std::size_t>(std::max(series.season_length, 1));
    const std::size_t most = ces_has_season(form) ? m : std::max<std::size_t>(m, 10);
    const std::size_t head = std::min(most, y.size());
    double mean = 0;
    for (std::size_t i = 0; i < head; ++i) mean += y[i] / static_cast<double>(head);
    x.level = ces_has_level(form) ? mean : 0;
    x.potential = potential_of(x.level);
    x.seasonal.clear();
    x.seasonal_potential.clear();
    if (!ces_has_season(form)) return;
    figure.resize(m);
    (void)seasonal_figure({y, series.season_length}, false, figure);  // values are finite
    for (std::size_t j = 0; j < m; ++j) {
        double s = figure[j];
        if (form == CesForm::simple) s = backcast ? y[j] : mean + s;
        x.seasonal.push_back(s);
        if (ces_has_seasonal_potential(form)) x.seasonal_potential.push_back(potential_of(s));
    }
}

void place_starts(CesWorkspace::Impl& w, CesForm form) {
    w.points.clear();
    const auto add = [&](CesParameters p) {
        Candidate c;
        c.x = w.problem.pick(p);
        c.squares = w.problem.squares(c.x.data(), w.scratch);
        if (std::isfinite(c.squares)) w.points.push_back(c);
    };
    for (const auto& a : kLevelStarts) {
        if (form == CesForm::partial) {
            for (const double b : kShareStarts) add({a[0], a[1], b, 0});
        } else if (form == CesForm::full) {
            for (const auto& b : kSeasonStarts) add({a[0], a[1], b[0], b[1]});
        } else {
            add({a[0], a[1], 0, 0});
        }
    }
}

bool better(const Candidate& a, const Candidate& b) noexcept {
    return a.squares < b.squares;
}

// False: stopped.
bool descend(CesWorkspace::Impl& w, int iterations, const StopSignal& stop) {
    SearchLimits limits;
    limits.max_iterations = iterations;
    for (Candidate& c : w.points) {
        const SearchResult r = w.search.minimise(w.problem, c.x.data(), limits, stop);
        if (r.stopped) return false;
        c.squares = r.sum_of_squares;
    }
    std::stable_sort(w.points.begin(), w.points.end(), better);
    return true;
}

// One step of the simplex of k + 1 points, sorted; the worst is replaced, or all but the best move.
void simplex_step(CesWorkspace::Impl& w, std::size_t k) {
    auto& s = w.simplex;
    Point centre{};
    for (std::size_t i = 0; i < k; ++i) {
        for (std::size_t j = 0; j < k; ++j) centre[j] += s[i].x[j] / static_cast<double>(k);
    }
    const auto at = [&](double factor) {
        Candidate c;
        for (std::size_t j = 0; j < k; ++j) {
            c.x[j] = centre[j] + factor * (s[k].x[j] - centre[j]);
        }
        c.squares = w.problem.squares(c.x.data(), w.scratch);
        return c;
    };
    const Candidate reflected = at(-1);
    if (better(reflected, s[0])) {
        const Candidate expanded = at(-2);
        s[k] = better(expanded, reflected) ? expanded : reflected;
        return;
    }
    if (better(reflected, s[k - 1])) {
        s[k] = reflected;
        return;
    }
    const Candidate contracted = at(better(reflected, s[k]) ? -0.5 : 0.5);
    if (better(contracted, s[k]) && better(contracted, reflected)) {
        s[k] = contracted;
        return;
    }
    for (std::size_t i = 1; i <= k; ++i) {
        for (std::size_t j = 0; j < k; ++j) s[i].x[j] = (s[i].x[j] + s[0].x[j]) / 2;
        s[i].squares = w.problem.squares(s[i].x.data(), w.scratch);
    }
}

// A simplex around the point, until it has shrunk. Never worse than the point given. False: stopped.
bool polish_once(CesWorkspace::Impl& w, Candidate& best, const StopSignal& stop) {
    constexpr double kEdge = 0.05, kTolerance = 1e-9;
    constexpr int kSteps = 200;
    const std::size_t k = static_cast<std::size_t>(w.problem.n_free());
    w.simplex[0] = best;
    for (std::size_t i = 0; i < k; ++i) {
        Candidate& c = w.simplex[i + 1];
        for (const double edge : {kEdge, -kEdge, kEdge / 10, -kEdge / 10}) {
            c.x = best.x;
            c.x[i] += edge;
            c.squares = w.problem.squares(c.x.data(), w.scratch);
            if (std::isfinite(c.squares)) break;
        }
    }
    const auto end = w.simplex.begin() + static_cast<std::ptrdiff_t>(k) + 1;
    for (int i = 0; i < kSteps; ++i) {
        if (stop.poll() != FitStatus::ok) return false;
        std::stable_sort(w.simplex.begin(), end, better);
        if (!(w.simplex[k].squares - w.simplex[0].squares > kTolerance * w.simplex[0].squares))
            break;
        simplex_step(w, k);
    }
    best = *std::min_element(w.simplex.begin(), end, better);
    return true;
}

// A simplex that has run into the border is flat: a new one goes on along it.
bool polish(CesWorkspace::Impl& w, Candidate& best, const StopSignal& stop) {
    constexpr int kRounds = 5;
    constexpr double kWorthIt = 1e-6;
    for (int i = 0; i < kRounds && w.problem.n_free() > 0; ++i) {
        const double before = best.squares;
        if (!polish_once(w, best, stop)) return false;
        if (!(before - best.squares > kWorthIt * before)) break;
    }
    return true;
}

ForecastStatus finish(ForecastStatus status, CesFit& out) {
    out.summary.status = status;
    return status;
}

// Of the heuristic start, which is derived from the series: the level, and a season but for its mean.
int n_start_states(CesForm form, int season_length, const CesOptions& options) noexcept {
    if (options.start == CesOptions::Start::backcast) return 0;
    return ces_has_season(form) ? season_length : 1;
}

void set_criteria(double squares, int n_free, int n_states, int exponent, CesFit& out) {
    const double n = out.n, k = n_free + n_states + 1;
    FitSummary& s = out.summary;
    s.n_parameters = n_free + n_states + 1;
    s.sigma2 = std::ldexp(squares / (n - n_free), 2 * exponent);
    const double log_variance = std::log(squares / n) + 2 * exponent * std::numbers::ln2;
    s.log_likelihood = -0.5 * n * (std::log(2 * std::numbers::pi) + log_variance + 1);
    s.aic = -2 * s.log_likelihood + 2 * k;
    s.bic = -2 * s.log_likelihood + k * std::log(n);
    s.aicc = n - k - 1 > 0 ? s.aic + 2 * k * (k + 1) / (n - k - 1) : kInfinity;
}

// The form of a series that is scaled already.
ForecastStatus fit_scaled(const SeriesView& series, int exponent, CesForm form,
                          const CesOptions& options, const StopSignal& stop, CesWorkspace::Impl& w,
                          CesFit& out) {
    out = {};
    out.form = form;
    out.n = series.size();
    const int m = series.season_length;
    if (ces_has_season(form)) {
        if (m < 2 || m > kLongestCesSeason) return finish(ForecastStatus::not_admissible, out);
        out.season_length = m;
    }
    w.problem.set(form, out.season_length, w.scaled, options);
    const int k = w.problem.n_free();
    if (out.n < n_smoothing(form) + 3 || (ces_has_season(form) && out.n < 2 * m)) {
        return finish(ForecastStatus::too_short, out);
    }
    heuristic_start(form, w.scaled, series, options.start == CesOptions::Start::backcast, w.figure,
                    w.problem.heuristic());
    w.scratch.resize(w.scaled.size());
    w.search.resize(out.n, k);
    place_starts(w, form);
    if (w.points.empty()) return finish(ForecastStatus::not_admissible, out);
    constexpr int kFewIterations = 5, kIterations = 100;
    if (!descend(w, kFewIterations, stop)) return finish(ForecastStatus::stopped, out);
    w.points.resize(std::min(w.points.size(), kKept));
    if (!descend(w, kIterations, stop)) return finish(ForecastStatus::stopped, out);
    Candidate& best = w.points[0];
    if (!polish(w, best, stop)) return finish(ForecastStatus::stopped, out);
    const double squares = w.problem.squares(best.x.data(), w.scratch);
    out.parameters = w.problem.parameters(best.x.data());
    out.initial = w.problem.initial();
    out.last = out.initial;
    if (!std::isfinite(squares) ||
        filter_ces(form, out.parameters, w.scaled, out.last, {}, {}) != ForecastStatus::ok) {
        return finish(ForecastStatus::overflow, out);
    }
    set_criteria(squares, k, n_start_states(form, m, options), exponent, out);
    scale_back(exponent, out.initial);
    scale_back(exponent, out.last);
    return finish(ForecastStatus::ok, out);
}

}  // namespace

ForecastStatus fit_ces(const SeriesView& series, CesForm form, const CesOptions& options,
                       const StopSignal& stop, CesWorkspace& workspace, CesFit& out) {
    CesWorkspace::Impl& w = workspace.impl();
    int exponent = 0;
    out = {};
    if (!scale(series.y, w.scaled, exponent)) return finish(ForecastStatus::overflow, out);
    return fit_scaled(series, exponent, form, options, stop, w, out);
}

ForecastStatus choose_ces(const SeriesView& series, const CesOptions& options,
                          const StopSignal& stop, CesWorkspace& workspace, CesFit& out) {
    CesWorkspace::Impl& w = workspace.impl();
    int exponent = 0;
    out = {};
    if (!scale(series.y, w.scaled, exponent)) return finish(ForecastStatus::overflow, out);
    const ForecastStatus plain = fit_scaled(series, exponent, CesForm::none, options, stop, w, out);
    if (plain == ForecastStatus::stopped) return plain;
    bool found = plain == ForecastStatus::ok;
    for (const CesForm form : {CesForm::simple, CesForm::partial, CesForm::full}) {
        const ForecastStatus status =
            fit_scaled(series, exponent, form, options, stop, w, w.candidate);
        if (status == ForecastStatus::stopped) {
            out = {};
            return finish(status, out);
        }
        if (status != ForecastStatus::ok) continue;
        if (found && !(w.candidate.summary.aicc < out.summary.aicc)) continue;
        std::swap(out, w.candidate);
        found = true;
    }
    return found ? ForecastStatus::ok : plain;
}

}  // namespace many::core
