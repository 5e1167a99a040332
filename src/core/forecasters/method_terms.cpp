// What a user reads of a fit: its parameters and states as rows, and its short name.
#include <cmath>
#include <iterator>

#include "core/forecasters/method.h"

namespace many::core {
namespace {

constexpr const char* kParameter = "parameter";
constexpr const char* kOrder = "order";
constexpr const char* kState = "state";
constexpr const char* kSeasonal = "seasonal";

class Terms {
  public:
    explicit Terms(std::vector<FitTerm>& out) : out_(out) {}

    void operator()(const SimpleFit& f) const {
        if (f.window > 0) add(kParameter, "window", f.window);
        if (f.method == SimpleMethod::drift) add(kParameter, "drift", f.slope);
        if (f.method == SimpleMethod::naive2) {
            add(kState, "level", f.factors.empty() ? f.levels[0] : f.levels[0] / f.factors[0]);
            add_season("season", f.factors);
        } else if (f.levels.size() == 1) {
            add(kState, "level", f.levels[0]);
        } else {
            add_season("level", f.levels);
        }
    }

    void operator()(const EtsFit& f) const {
        const EtsParameters& p = f.parameters;
        add(kParameter, "alpha", p.alpha);
        if (f.form.has_trend()) add(kParameter, "beta", p.beta);
        if (f.form.has_season()) add(kParameter, "gamma", p.gamma);
        if (f.form.damped()) add(kParameter, "phi", p.phi);
        add(kParameter, "initial_level", f.initial.level);
        if (f.form.has_trend()) add(kParameter, "initial_trend", f.initial.trend);
        add(kState, "level", f.last.level);
        if (f.form.has_trend()) add(kState, "trend", f.last.trend);
        add_season("season", f.last.seasonal);
    }

    void operator()(const ThetaFit& f) const {
        add(kParameter, "alpha", f.alpha);
        add(kParameter, "theta", f.theta);
        add(kParameter, "initial_level", f.initial_level);
        add(kState, "level", f.level);
        add(kState, "intercept", f.intercept);
        add(kState, "slope", f.slope);
        add_season("season", f.seasonal);
    }

    void operator()(const ArimaFit& f) const {
        const ArimaOrder& o = f.order;
        add(kOrder, "p", o.p);
        add(kOrder, "d", o.d);
        add(kOrder, "q", o.q);
        if (o.m > 1) {
            add(kOrder, "P", o.P);
            add(kOrder, "D", o.D);
            add(kOrder, "Q", o.Q);
        }
        std::size_t next = 0;
        const auto part = [&](const char* name, int count) {
            for (int i = 1; i <= count; ++i, ++next) {
                out_.push_back({kParameter, name, i, f.coefficients[next], f.std_errors[next]});
            }
        };
        part("ar", o.p);
        part("ma", o.q);
        part("sar", o.P);
        part("sma", o.Q);
        if (f.has_constant) {
            out_.push_back({kParameter, o.d + o.D > 0 ? "drift" : "intercept", 0,
                            f.coefficients[next], f.std_errors[next]});
            ++next;
        }
        part("xreg", f.n_regressors);
    }

    void operator()(const IntermittentFit& f) const {
        for (const IntermittentLevel& level : f.levels) {
            const int index = f.method == IntermittentMethod::imapa ? level.aggregation : 0;
            const auto push = [&](const char* kind, const char* name, double value) {
                out_.push_back({kind, name, index, value, FitSummary::kNone});
            };
            if (f.method == IntermittentMethod::adida) {
                push(kParameter, "aggregation", level.aggregation);
            }
            push(kParameter, "alpha", level.alpha);
            if (!std::isnan(level.beta)) push(kParameter, "beta", level.beta);
            push(kState, "size", level.size);
            push(kState, "interval", level.interval);
            push(kState, "rate", level.rate);
        }
        if (f.levels.size() != 1) add(kState, "rate", f.rate);
    }

    void operator()(const MstlFit& f) const {
        static constexpr const char* kNames[] = {"season", "season2", "season3", "season4"};
        (*this)(f.adjusted);
        for (std::size_t i = 0; i < f.last_cycle.size(); ++i) {
            add_season(kNames[std::min(i, std::size(kNames) - 1)], f.last_cycle[i]);
        }
    }

    void operator()(const AutoregressionFit& f) const {
        add(kOrder, "p", f.n_lags);
        out_.push_back({kParameter, "intercept", 0, f.intercept, f.intercept_std_error});
        for (std::size_t i = 0; i < f.lags.size(); ++i)
            out_.push_back({kParameter, "lag", f.lags[i], f.coefficients[i], f.std_errors[i]});
        for (std::size_t i = 0; i < f.regressor_coefficients.size(); ++i) {
            out_.push_back({kParameter, "xreg", static_cast<int>(i) + 1,
                            f.regressor_coefficients[i], f.regressor_std_errors[i]});
        }
    }

    void operator()(const CesFit& f) const {
        const CesParameters& p = f.parameters;
        add(kParameter, "a0", p.a0);
        add(kParameter, "a1", p.a1);
        if (f.form >= CesForm::partial) add(kParameter, "b0", p.b0);
        if (f.form == CesForm::full) add(kParameter, "b1", p.b1);
        if (f.form != CesForm::simple) {
            add(kState, "level", f.last.level);
            add(kState, "potential", f.last.potential);
        }
        add_season("season", f.last.seasonal);
        add_season("season_potential", f.last.seasonal_potential);
    }
    // joins

  private:
    void add(const char* kind, const char* name, double value) const {
        out_.push_back({kind, name, 0, value, FitSummary::kNone});
    }
    void add_season(const char* name, const std::vector<double>& values) const {
        for (std::size_t j = 0; j < values.size(); ++j) {
            out_.push_back(
                {kSeasonal, name, static_cast<int>(j) + 1, values[j], FitSummary::kNone});
        }
    }

    std::vector<FitTerm>& out_;
};

std::string label_of(const EtsFit& f) {
    const std::string name = f.form.name();
    return std::string("ETS(") + name.front() + ',' + name.substr(1, name.size() - 2) + ',' +
           name.back() + ')';
}

std::string label_of(const ArimaFit& f) {
    const ArimaOrder& o = f.order;
    const auto triple = [](int a, int b, int c) {
        return '(' + std::to_string(a) + ',' + std::to_string(b) + ',' + std::to_string(c) + ')';
    };
    std::string out = "ARIMA" + triple(o.p, o.d, o.q);
    if (o.P + o.D + o.Q > 0) out += triple(o.P, o.D, o.Q) + '[' + std::to_string(o.m) + ']';
    if (f.has_constant && !std::isnan(f.coefficient(o.n_arma()))) {
        out += o.d + o.D > 0 ? " with drift" : " with mean";
    }
    return out;
}

std::string label_of(const MstlFit& f) {
    std::string out = "MSTL(";
    for (std::size_t i = 0; i < f.season_lengths.size(); ++i) {
        if (i > 0) out += ',';
        out += std::to_string(f.season_lengths[i]);
    }
    return out + ") + " + label_of(f.adjusted);
}

// "AR(1,2,12)": the lags.
std::string label_of(const AutoregressionFit& f) {
    std::string out = "AR(";
    for (std::size_t i = 0; i < f.lags.size(); ++i) {
        if (i > 0) out += ',';
        out += std::to_string(f.lags[i]);
    }
    return out + ')';
}

}  // namespace

void list_terms(const MethodFit& fit, std::vector<FitTerm>& out) {
    out.clear();
    std::visit(Terms(out), fit.fit);
}

std::string fit_label(const MethodFit& fit) {
    if (const auto* ets = std::get_if<EtsFit>(&fit.fit)) return label_of(*ets);
    if (const auto* arima = std::get_if<ArimaFit>(&fit.fit)) return label_of(*arima);
    if (const auto* mstl = std::get_if<MstlFit>(&fit.fit)) return label_of(*mstl);
    if (const auto* ar = std::get_if<AutoregressionFit>(&fit.fit)) return label_of(*ar);
    if (const auto* ces = std::get_if<CesFit>(&fit.fit)) {
        return std::string("CES(").append(ces_name(ces->form)) + ')';
    }
    // joins
    return method_name(fit.method);
}

}  // namespace many::core
