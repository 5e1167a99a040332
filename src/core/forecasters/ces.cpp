// Forms, their region, the filter, forecasts, and moving a fit on.
#include "core/forecasters/ces.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/forecasters/ces_kernel.h"
#include "core/forecasters/ets_region.h"

namespace many::core {

namespace {

constexpr std::string_view kNames[] = {"none", "simple", "partial", "full"};
constexpr double kOutermostRoot = 1.01;

// One complex smoothing step by an error.
void smooth(double re, double im, double error, double& level, double& potential) noexcept {
    const double l = level, c = potential;
    level = l - (1 - im) * c + (re - im) * error;
    potential = l + (1 - re) * c + (re + im) * error;
}

// What one observation touches; s, p: of its season.
struct At {
    double &l, &c, &s, &p;
};

template <CesForm F>
double predict(const At& x) noexcept {
    if constexpr (F == CesForm::none) return x.l;
    if constexpr (F == CesForm::simple) return x.s;
    return x.l + x.s;
}

template <CesForm F>
void move(const CesParameters& w, double error, const At& x) noexcept {
    if constexpr (F == CesForm::simple) {
        smooth(w.a0, w.a1, error, x.s, x.p);
        return;
    }
    smooth(w.a0, w.a1, error, x.l, x.c);
    if constexpr (F == CesForm::partial) x.s += w.b0 * error;
    if constexpr (F == CesForm::full) smooth(w.b0, w.b1, error, x.s, x.p);
}

// Calls f with the form as a constant.
template <class Function>
auto with_form(CesForm form, Function&& f) {
    switch (form) {
        case CesForm::simple:
            return f.template operator()<CesForm::simple>();
        case CesForm::partial:
            return f.template operator()<CesForm::partial>();
        case CesForm::full:
            return f.template operator()<CesForm::full>();
        default:
            return f.template operator()<CesForm::none>();
    }
}

// Where the seasons of a state stand; a form without has one slot that nothing reads.
struct Seasons {
    double nothing[2] = {0, 0};
    double *s = nothing, *p = nothing + 1;
    std::size_t m = 1;
    std::size_t p_step = 0;

    Seasons(CesForm form, CesState& x) noexcept {
        if (!ces_has_season(form)) return;
        s = x.seasonal.data();
        m = x.seasonal.size();
        if (!ces_has_seasonal_potential(form)) return;
        p = x.seasonal_potential.data();
        p_step = 1;
    }
    ~Seasons() = default;
    Seasons(const Seasons&) = delete;  // it may point into itself
    Seasons& operator=(const Seasons&) = delete;
};

template <CesForm F>
bool run(const CesParameters& w, std::span<const double> y, bool backwards, CesState& x,
         double* fitted, double* residuals) noexcept {
    const Seasons seasons(F, x);
    const std::size_t n = y.size(), m = seasons.m;
    double l = x.level, c = x.potential;
    std::size_t j = backwards && n > 0 ? (n - 1) % m : 0;
    for (std::size_t i = 0; i < n; ++i) {
        const std::size_t t = backwards ? n - 1 - i : i;
        const At at{l, c, seasons.s[j], seasons.p[j * seasons.p_step]};
        const double mu = predict<F>(at), error = y[t] - mu;
        if (fitted != nullptr) fitted[t] = mu;
        if (residuals != nullptr) residuals[t] = error;
        move<F>(w, error, at);
        if (backwards) {
            j = j == 0 ? m - 1 : j - 1;
        } else if (++j == m) {
            j = 0;
        }
    }
    x.level = l;
    x.potential = c;
    bool finite = std::isfinite(l) && std::isfinite(c);
    for (std::size_t i = 0; ces_has_season(F) && i < m; ++i) {
        finite =
            finite && std::isfinite(seasons.s[i]) && std::isfinite(seasons.p[i * seasons.p_step]);
    }
    return finite;
}

// The predictions of the steps to come, from season `j` on, without observations.
void project(CesForm form, const CesParameters& w, std::size_t j, CesState& x,
             std::span<double> out) noexcept {
    with_form(form, [&]<CesForm F>() {
        const Seasons seasons(F, x);
        for (double& value : out) {
            const At at{x.level, x.potential, seasons.s[j], seasons.p[j * seasons.p_step]};
            value = predict<F>(at);
            move<F>(w, 0, at);
            if (++j >= seasons.m) j = 0;
        }
    });
}

// The season of the next observation comes first.
void turn(std::vector<double>& seasons, std::size_t n) {
    if (seasons.empty()) return;
    std::rotate(seasons.begin(), seasons.begin() + static_cast<std::ptrdiff_t>(n % seasons.size()),
                seasons.end());
}

bool between_circles(double re, double im) noexcept {
    const auto square = [&](double x, double y) {
        return (re - x) * (re - x) + (im - y) * (im - y);
    };
    return square(2.5, 0) > 1.25 && square(0.5, 1) > 0.25 && square(1.5, 0.5) < 1.5;
}

// Of one complex smoothing: the polynomial of its transition z^2 - (2 - re) z + 2 - re - im, the
// response to the errors over it, q[1] z + q[0], and their sum, that of the errors' own recursion.
struct Polynomials {
    std::array<double, 3> transition, errors;
    std::array<double, 2> response;
    Polynomials(double re, double im) noexcept
        : transition{2 - re - im, re - 2, 1},
          errors{},
          response{re * re + im * im - 2 * re, re - im} {
        for (std::size_t i = 0; i < 3; ++i) {
            errors[i] = transition[i] + (i < 2 ? response[i] : 0);
        }
    }
};

// With A, Q_a of the level, B(z^m), Q_b(z^m) of the season (partial: z^m - 1 and b0) the polynomial of
// the whole model is A B + Q_a B + A Q_b.
bool whole_is_stable(CesForm form, const CesParameters& p, int season_length) noexcept {
    const std::size_t m = static_cast<std::size_t>(season_length);
    std::array<double, 2 * kLongestCesSeason + 3> z{};
    const Polynomials level(p.a0, p.a1);
    int degree = 0;
    if (form == CesForm::partial) {
        degree = season_length + 2;
        for (std::size_t i = 0; i < 3; ++i) {
            z[i + m] += level.errors[i];
            z[i] += p.b0 * level.transition[i] - level.errors[i];
        }
    } else {
        degree = 2 * season_length + 2;
        const Polynomials season(p.b0, p.b1);
        for (std::size_t k = 0; k < 3; ++k) {
            for (std::size_t i = 0; i < 3; ++i) {
                z[i + k * m] += level.errors[i] * season.transition[k];
                if (k < 2) z[i + k * m] += level.transition[i] * season.response[k];
            }
        }
    }
    return roots_inside_circle(z.data(), degree, kOutermostRoot);
}

}  // namespace

std::string_view ces_name(CesForm form) noexcept {
    return kNames[static_cast<std::size_t>(form)];
}

bool parse_ces(std::string_view name, CesForm& out) noexcept {
    for (const CesForm form : {CesForm::none, CesForm::simple, CesForm::partial, CesForm::full}) {
        if (ces_name(form) != name) continue;
        out = form;
        return true;
    }
    return false;
}

bool is_admissible(CesForm form, const CesParameters& p, int season_length) noexcept {
    if (!between_circles(p.a0, p.a1)) return false;
    if (form == CesForm::none || form == CesForm::simple) return true;
    if (season_length < 2 || season_length > kLongestCesSeason) return false;
    const bool season =
        form == CesForm::partial ? p.b0 > 0 && p.b0 <= 2 : between_circles(p.b0, p.b1);
    return season && whole_is_stable(form, p, season_length);
}

bool run_ces(CesForm form, const CesParameters& p, std::span<const double> y, bool backwards,
             CesState& x, double* fitted, double* residuals) noexcept {
    return with_form(form,
                     [&]<CesForm F>() { return run<F>(p, y, backwards, x, fitted, residuals); });
}

void coast_ces(CesForm form, const CesParameters& p, int n_steps, CesState& x) noexcept {
    if (ces_has_level(form)) {
        for (int i = 0; i < n_steps; ++i) smooth(p.a0, p.a1, 0, x.level, x.potential);
    }
    if (!ces_has_seasonal_potential(form)) return;
    const bool own = form == CesForm::full;
    for (std::size_t j = 0; j < x.seasonal.size(); ++j) {
        smooth(own ? p.b0 : p.a0, own ? p.b1 : p.a1, 0, x.seasonal[j], x.seasonal_potential[j]);
    }
}

ForecastStatus filter_ces(CesForm form, const CesParameters& parameters, std::span<const double> y,
                          CesState& state, std::span<double> fitted, std::span<double> residuals) {
    const bool ok = run_ces(form, parameters, y, false, state, fitted.data(), residuals.data());
    turn(state.seasonal, y.size());
    turn(state.seasonal_potential, y.size());
    return ok ? ForecastStatus::ok : ForecastStatus::overflow;
}

ForecastStatus update_ces(CesFit& fit, std::span<const double> y) {
    for (const double v : y) {
        if (!std::isfinite(v)) return ForecastStatus::overflow;
    }
    CesState moved = fit.last;
    const ForecastStatus status = filter_ces(fit.form, fit.parameters, y, moved, {}, {});
    if (status != ForecastStatus::ok) return status;
    fit.last = std::move(moved);
    fit.n += static_cast<int>(y.size());
    return status;
}

ForecastStatus forecast_ces(const CesFit& fit, const ForecastOut& out) {
    if (out.mean.empty()) return ForecastStatus::ok;
    CesState x = fit.last;
    project(fit.form, fit.parameters, 0, x, out.mean);
    // An error of 1 in a state of nothing: what comes after are the responses to it.
    x.level = x.potential = 0;
    std::fill(x.seasonal.begin(), x.seasonal.end(), 0.0);
    std::fill(x.seasonal_potential.begin(), x.seasonal_potential.end(), 0.0);
    const double error = 1;
    (void)run_ces(fit.form, fit.parameters, {&error, 1}, false, x, nullptr, nullptr);
    const std::size_t second = x.seasonal.size() > 1 ? 1 : 0;
    project(fit.form, fit.parameters, second, x, out.variance.subspan(1));
    double squares = 1;
    out.variance[0] = 1;  // the error itself
    for (std::size_t h = 0; h < out.variance.size(); ++h) {
        if (h > 0) squares += out.variance[h] * out.variance[h];
        out.variance[h] = fit.summary.sigma2 * squares;
    }
    const bool finite =
        std::all_of(out.mean.begin(), out.mean.end(), [](double v) { return std::isfinite(v); });
    return finite ? ForecastStatus::ok : ForecastStatus::overflow;
}

}  // namespace many::core
