// A forecaster as bytes, format version 1 (the head is in forecast_model.h).
//
// Behind the head come sections: u16 tag, u32 length, as many bytes. In this order, each once but the
// members: 1 model, 2 member (one each), 3 metrics, 4 scores (conformal), 5 residuals (bootstrap);
// 4 and 5 only where there are any. A member's section begins with its method (u8), what its payload is
// (u8, Payload) and the payload's version (u8, 1): a method whose fit changes gets a new version, and the
// others stay readable. Numbers are little-endian; lists are a u32 count and the elements.
//
// Decoding reads what is there, never more: counts are compared with the bytes left before memory
// is taken. What was read is then checked as a whole (model_defect): forecasting relies on it.
#include <bit>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "core/codec/linear_model.h"
#include "core/error.h"
#include "core/forecasters/forecast_bytes.h"
#include "core/forecasters/forecast_model.h"
#include "core/forecasters/forecast_parts.h"

namespace many::core {
namespace {

static_assert(std::endian::native == std::endian::little, "models are stored little-endian");

constexpr char kMagic[] = {'M', 'M', 'F', 'M'};
constexpr std::uint16_t kVersion = 1;
constexpr std::size_t kHead = 16;
constexpr std::uint8_t kPayloadVersion = 1;
constexpr std::uint8_t kRounded = 1, kCalendar = 2;

enum Tag : std::uint16_t { model_tag = 1, member_tag, metrics_tag, scores_tag, residuals_tag };
// Part of the format: never renumber.
enum class Payload : std::uint8_t {
    simple = 1,
    ets,
    theta,
    arima,
    intermittent,
    mstl,
    ces,
    autoregression,
};

// --- Fits -----------------------------------------------------------------------------------------

void write(ByteWriter& w, const FitSummary& s) {
    w.all(s.status, s.n_parameters, s.sigma2, s.log_likelihood, s.aic, s.aicc, s.bic);
}
void read(ByteReader& r, FitSummary& s) {
    r.take_enum(s.status, ForecastStatus::stopped);
    r.all(s.n_parameters, s.sigma2, s.log_likelihood, s.aic, s.aicc, s.bic);
}

void write(ByteWriter& w, const SimpleFit& f) {
    w.all(f.method, f.n, f.season_length, f.window, f.slope, f.degrees_of_freedom);
    w.list(f.levels);
    w.list(f.factors);
    write(w, f.summary);
}
void read(ByteReader& r, SimpleFit& f) {
    r.take_enum(f.method, SimpleMethod::naive2);
    r.all(f.n, f.season_length, f.window, f.slope, f.degrees_of_freedom);
    r.list(f.levels);
    r.list(f.factors);
    read(r, f.summary);
}

void write(ByteWriter& w, const EtsState& s) {
    w.all(s.level, s.trend);
    w.list(s.seasonal);
}
void read(ByteReader& r, EtsState& s) {
    r.all(s.level, s.trend);
    r.list(s.seasonal);
}

void write(ByteWriter& w, const EtsFit& f) {
    const EtsParameters& p = f.parameters;
    w.all(f.form.error, f.form.trend, f.form.season, f.season_length, f.n);
    w.all(p.alpha, p.beta, p.gamma, p.phi);
    write(w, f.initial);
    write(w, f.last);
    write(w, f.summary);
}
void read(ByteReader& r, EtsFit& f) {
    EtsParameters& p = f.parameters;
    r.take_enum(f.form.error, EtsError::multiplicative);
    r.take_enum(f.form.trend, EtsTrend::multiplicative_damped);
    r.take_enum(f.form.season, EtsSeason::multiplicative);
    r.all(f.season_length, f.n, p.alpha, p.beta, p.gamma, p.phi);
    read(r, f.initial);
    read(r, f.last);
    read(r, f.summary);
}

void write(ByteWriter& w, const ThetaFit& f) {
    w.all(f.kind, f.n, f.season_length, f.additive_season);
    w.list(f.seasonal);
    w.all(f.alpha, f.level, f.initial_level, f.theta, f.omega, f.intercept, f.slope, f.mean);
    write(w, f.summary);
}
void read(ByteReader& r, ThetaFit& f) {
    r.take_enum(f.kind, ThetaKind::dynamic_optimised);
    r.all(f.n, f.season_length, f.additive_season);
    r.list(f.seasonal);
    r.all(f.alpha, f.level, f.initial_level, f.theta, f.omega, f.intercept, f.slope, f.mean);
    read(r, f.summary);
}

void write(ByteWriter& w, const ArimaFit& f) {
    const ArimaOrder& o = f.order;
    w.all(o.p, o.d, o.q, o.P, o.D, o.Q, o.m, f.has_constant, f.n_regressors, f.n_used, f.n);
    w.put(f.sum_of_squares);
    w.list(f.coefficients);
    w.list(f.std_errors);
    w.list(f.last);
    w.list(f.state);
    w.list(f.covariance);
    write(w, f.summary);
}
void read(ByteReader& r, ArimaFit& f) {
    ArimaOrder& o = f.order;
    r.all(o.p, o.d, o.q, o.P, o.D, o.Q, o.m, f.has_constant, f.n_regressors, f.n_used, f.n);
    r.take(f.sum_of_squares);
    r.list(f.coefficients);
    r.list(f.std_errors);
    r.list(f.last);
    r.list(f.state);
    r.list(f.covariance);
    read(r, f.summary);
}

void write(ByteWriter& w, const IntermittentFit& f) {
    w.all(f.method, f.n, f.n_demands, f.mean_interval, f.rate);
    w.count(f.levels.size());
    for (const IntermittentLevel& v : f.levels) {
        w.all(v.method, v.aggregation, v.alpha, v.beta, v.size, v.interval, v.waiting, v.rate);
    }
    write(w, f.summary);
}
void read(ByteReader& r, IntermittentFit& f) {
    constexpr std::size_t kLevelBytes = 1 + 2 * 4 + 5 * 8;
    r.take_enum(f.method, IntermittentMethod::ses);
    r.all(f.n, f.n_demands, f.mean_interval, f.rate);
    f.levels.resize(r.count(kLevelBytes));
    for (IntermittentLevel& v : f.levels) {
        r.take_enum(v.method, IntermittentMethod::ses);
        r.all(v.aggregation, v.alpha, v.beta, v.size, v.interval, v.waiting, v.rate);
    }
    read(r, f.summary);
}

void write(ByteWriter& w, const MstlFit& f) {
    w.list(f.season_lengths);
    w.count(f.last_cycle.size());
    for (const std::vector<double>& cycle : f.last_cycle) w.list(cycle);
    write(w, f.adjusted);
    write(w, f.summary);
}
void read(ByteReader& r, MstlFit& f) {
    r.list(f.season_lengths);
    f.last_cycle.resize(r.count(4));
    for (std::vector<double>& cycle : f.last_cycle) r.list(cycle);
    read(r, f.adjusted);
    read(r, f.summary);
}

void write(ByteWriter& w, const AutoregressionFit& f) {
    w.all(f.n, f.n_used, f.n_lags, f.intercept, f.intercept_std_error);
    w.list(f.lags);
    w.list(f.coefficients);
    w.list(f.std_errors);
    w.list(f.regressor_coefficients);
    w.list(f.regressor_std_errors);
    w.list(f.last);
    write(w, f.summary);
}
void read(ByteReader& r, AutoregressionFit& f) {
    r.all(f.n, f.n_used, f.n_lags, f.intercept, f.intercept_std_error);
    r.list(f.lags);
    r.list(f.coefficients);
    r.list(f.std_errors);
    r.list(f.regressor_coefficients);
    r.list(f.regressor_std_errors);
    r.list(f.last);
    read(r, f.summary);
}

void write(ByteWriter& w, const CesState& s) {
    w.all(s.level, s.potential);
    w.list(s.seasonal);
    w.list(s.seasonal_potential);
}
void read(ByteReader& r, CesState& s) {
    r.all(s.level, s.potential);
    r.list(s.seasonal);
    r.list(s.seasonal_potential);
}

void write(ByteWriter& w, const CesFit& f) {
    const CesParameters& p = f.parameters;
    w.all(f.form, f.season_length, f.n, p.a0, p.a1, p.b0, p.b1);
    write(w, f.initial);
    write(w, f.last);
    write(w, f.summary);
}
void read(ByteReader& r, CesFit& f) {
    CesParameters& p = f.parameters;
    r.take_enum(f.form, CesForm::full);
    r.all(f.season_length, f.n, p.a0, p.a1, p.b0, p.b1);
    read(r, f.initial);
    read(r, f.last);
    read(r, f.summary);
}

Payload payload_of(const AnyFit& fit) {
    struct Kind {
        Payload operator()(const SimpleFit&) const { return Payload::simple; }
        Payload operator()(const EtsFit&) const { return Payload::ets; }
        Payload operator()(const ThetaFit&) const { return Payload::theta; }
        Payload operator()(const ArimaFit&) const { return Payload::arima; }
        Payload operator()(const IntermittentFit&) const { return Payload::intermittent; }
        Payload operator()(const MstlFit&) const { return Payload::mstl; }
        Payload operator()(const AutoregressionFit&) const { return Payload::autoregression; }
        Payload operator()(const CesFit&) const { return Payload::ces; }
        // joins
    };
    return std::visit(Kind{}, fit);
}

void write_member(ByteWriter& w, const MethodFit& m) {
    w.all(m.method, payload_of(m.fit), kPayloadVersion);
    std::visit([&w](const auto& f) { write(w, f); }, m.fit);
}

void read_member(ByteReader& r, MethodFit& m) {
    // fit_defect() says whether the method is one of those that have such a fit.
    r.take_enum(m.method, ForecastMethod::ensemble);
    const auto payload = static_cast<Payload>(r.get<std::uint8_t>());
    if (r.get<std::uint8_t>() != kPayloadVersion) damaged("a fit has a version not known here");
    switch (payload) {
        case Payload::simple:
            read(r, m.fit.emplace<SimpleFit>());
            return;
        case Payload::ets:
            read(r, m.fit.emplace<EtsFit>());
            return;
        case Payload::theta:
            read(r, m.fit.emplace<ThetaFit>());
            return;
        case Payload::arima:
            read(r, m.fit.emplace<ArimaFit>());
            return;
        case Payload::intermittent:
            read(r, m.fit.emplace<IntermittentFit>());
            return;
        case Payload::mstl:
            read(r, m.fit.emplace<MstlFit>());
            return;
        case Payload::ces:
            read(r, m.fit.emplace<CesFit>());
            return;
        case Payload::autoregression:
            read(r, m.fit.emplace<AutoregressionFit>());
            return;
            // joins
    }
    damaged("a fit is of a kind not known here");
}

// --- The model ------------------------------------------------------------------------------------

void write_model(ByteWriter& w, const ForecastModel& m) {
    w.all(m.rung, m.combination, m.intervals);
    w.count(m.members.size());
    w.list(m.weights);
    const TimeGrid& g = m.grid;
    w.all(g.type, g.local, g.step.months, g.step.units, g.origin, g.day_of_month);
    w.all(m.n, m.n_filled, m.n_merged, m.n_trimmed);
    w.text(m.zone);
    w.list(m.season_lengths);
    w.all(m.n_features, m.conformal_steps, m.n_scores, m.seed);
    w.all(m.lower_bound, m.upper_bound, m.smallest, m.largest, m.mase_scale, m.rmsse_scale);
}

// The number of members.
std::size_t read_model(ByteReader& r, ForecastModel& m) {
    r.take(m.rung);
    r.take_enum(m.combination, Combination::trimmed);
    r.take_enum(m.intervals, IntervalMethod::conformal);
    const std::size_t members = r.get<std::uint32_t>();
    r.list(m.weights);
    TimeGrid& g = m.grid;
    r.take_enum(g.type, TimeType::timestamptz);
    r.all(g.local, g.step.months, g.step.units, g.origin, g.day_of_month);
    r.all(m.n, m.n_filled, m.n_merged, m.n_trimmed);
    r.text(m.zone);
    r.list(m.season_lengths);
    r.all(m.n_features, m.conformal_steps, m.n_scores, m.seed);
    r.all(m.lower_bound, m.upper_bound, m.smallest, m.largest, m.mase_scale, m.rmsse_scale);
    r.end();
    return members;
}

// A mask of the metrics that are written, then these. Left out are those that do not apply, and what
// follows from others: of the step of one forecast n = 1, mae = rmse, bias = mae or -mae. A mask that says
// both that n is written and that it is 1 is one of the latter with a byte of more such rules behind it.
constexpr double StepMetrics::*kMetrics[] = {
    &StepMetrics::n,     &StepMetrics::rmse, &StepMetrics::mae,      &StepMetrics::mape,
    &StepMetrics::smape, &StepMetrics::mase, &StepMetrics::rmsse,    &StepMetrics::owa,
    &StepMetrics::bias,  &StepMetrics::r2,   &StepMetrics::coverage, &StepMetrics::winkler};
constexpr unsigned kN = 1U << 0, kMae = 1U << 2, kMase = 1U << 5, kRmsse = 1U << 6, kBias = 1U << 8,
                   kCoverage = 1U << 10;
constexpr unsigned kSingle = 1U << 12, kMaeIsRmse = 1U << 13, kBiasIsMae = 1U << 14,
                   kBiasIsMinusMae = 1U << 15;
// The rules behind it: coverage is 0 or 1; mase and rmsse are mae and rmse in units of `scale`.
constexpr unsigned kOutside = 1U << 0, kInside = 1U << 1, kMaseIsScaled = 1U << 2,
                   kRmsseIsScaled = 1U << 3;
static_assert(std::size(kMetrics) == 12);

struct Scale {
    double mase = FitSummary::kNone, rmsse = FitSummary::kNone;
};

void write(ByteWriter& w, const StepMetrics& metrics, const Scale& scale = {}) {
    unsigned mask = 0, more = 0;
    for (std::size_t i = 0; i < std::size(kMetrics); ++i) {
        if (!std::isnan(metrics.*kMetrics[i])) mask |= 1U << i;
    }
    const auto replace = [&](bool holds, unsigned metric, unsigned& rules, unsigned rule) {
        if (!holds || (mask & metric) == 0) return;
        mask &= ~metric;
        rules |= rule;
    };
    replace(std::signbit(metrics.bias) && metrics.bias == -metrics.mae, kBias, mask,
            kBiasIsMinusMae);
    replace(!std::signbit(metrics.bias) && metrics.bias == metrics.mae, kBias, mask, kBiasIsMae);
    replace(metrics.mae == metrics.rmse, kMae, mask, kMaeIsRmse);
    replace(metrics.n == 1, kN, mask, kSingle);
    if ((mask & kSingle) != 0) {
        replace(metrics.coverage == 0, kCoverage, more, kOutside);
        replace(metrics.coverage == 1, kCoverage, more, kInside);
        replace(metrics.mase == metrics.mae / scale.mase, kMase, more, kMaseIsScaled);
        replace(metrics.rmsse == metrics.rmse / scale.rmsse, kRmsse, more, kRmsseIsScaled);
    }
    if (more != 0) {
        w.all(static_cast<std::uint16_t>(mask | kN), static_cast<std::uint8_t>(more));
    } else {
        w.put(static_cast<std::uint16_t>(mask));
    }
    for (std::size_t i = 0; i < std::size(kMetrics); ++i) {
        if ((mask >> i & 1) != 0) w.put(metrics.*kMetrics[i]);
    }
}
void read(ByteReader& r, StepMetrics& metrics, const Scale& scale = {}) {
    unsigned mask = r.get<std::uint16_t>(), more = 0;
    if ((mask & kN) != 0 && (mask & kSingle) != 0) {
        mask &= ~kN;
        more = r.get<std::uint8_t>();
    }
    for (std::size_t i = 0; i < std::size(kMetrics); ++i) {
        metrics.*kMetrics[i] = (mask >> i & 1) != 0 ? r.get<double>() : FitSummary::kNone;
    }
    if ((mask & kSingle) != 0) metrics.n = 1;
    if ((mask & kMaeIsRmse) != 0) metrics.mae = metrics.rmse;
    if ((mask & kBiasIsMae) != 0) metrics.bias = metrics.mae;
    if ((mask & kBiasIsMinusMae) != 0) metrics.bias = -metrics.mae;
    if ((more & kOutside) != 0) metrics.coverage = 0;
    if ((more & kInside) != 0) metrics.coverage = 1;
    if ((more & kMaseIsScaled) != 0) metrics.mase = metrics.mae / scale.mase;
    if ((more & kRmsseIsScaled) != 0) metrics.rmsse = metrics.rmse / scale.rmsse;
}

// The scale of the steps' metrics is that of the held-out observations; none is written without steps.
void write_holdout(ByteWriter& w, const ForecastModel& m) {
    w.count(m.holdout.size());
    if (m.holdout.empty()) return;
    const Scale scale = {m.holdout_mase_scale, m.holdout_rmsse_scale};
    w.all(scale.mase, scale.rmsse);
    for (const StepMetrics& s : m.holdout) write(w, s, scale);
}
void read_holdout(ByteReader& r, ForecastModel& m) {
    m.holdout.resize(r.count(sizeof(std::uint16_t)));
    if (m.holdout.empty()) return;
    r.all(m.holdout_mase_scale, m.holdout_rmsse_scale);
    const Scale scale = {m.holdout_mase_scale, m.holdout_rmsse_scale};
    for (StepMetrics& s : m.holdout) read(r, s, scale);
}

void write(ByteWriter& w, const std::vector<StepMetrics>& steps) {
    w.count(steps.size());
    for (const StepMetrics& s : steps) write(w, s);
}
void read(ByteReader& r, std::vector<StepMetrics>& steps) {
    steps.resize(r.count(sizeof(std::uint16_t)));
    for (StepMetrics& s : steps) read(r, s);
}

// Bytes with a head of a forecaster of this version and of this length, whose checksum holds.
void check_head(const unsigned char* bytes, std::size_t length) {
    if (!is_forecast_model(bytes, length)) damaged("it does not begin as one");
    std::uint16_t version = 0;
    std::uint32_t total = 0, stored = 0;
    std::memcpy(&version, bytes + 4, sizeof version);
    std::memcpy(&total, bytes + 8, sizeof total);
    std::memcpy(&stored, bytes + 12, sizeof stored);
    if (version != kVersion) {
        throw Error(ErrorKind::invalid_data, "stored forecaster has format version " +
                                                 std::to_string(version) + ", which is not known");
    }
    if (total != length) damaged("its length is not what it says");
    constexpr unsigned char kZeros[4] = {};
    std::uint32_t crc = crc32c(bytes, 12);
    crc = crc32c(kZeros, sizeof kZeros, crc);
    if (crc32c(bytes + kHead, length - kHead, crc) != stored) damaged("its checksum fails");
}

void expect(std::uint16_t tag, Tag expected) {
    if (tag != expected) damaged("a section is missing or out of place");
}

void read_sections(ByteReader& bytes, ForecastModel& out) {
    ByteReader r(nullptr, 0);
    expect(bytes.section(r), model_tag);
    const std::size_t members = read_model(r, out);
    for (std::size_t i = 0; i < members; ++i) {
        expect(bytes.section(r), member_tag);
        read_member(r, out.members.emplace_back());
        r.end();
    }
    expect(bytes.section(r), metrics_tag);
    for (StepMetrics& total : out.total) read(r, total);
    read_holdout(r, out);
    read(r, out.cv);
    r.end();
    std::uint16_t last = metrics_tag;
    while (!bytes.empty()) {
        const std::uint16_t tag = bytes.section(r);
        if (tag <= last || tag > residuals_tag) damaged("a section is missing or out of place");
        r.list(tag == scores_tag ? out.scores : out.residuals);
        r.end();
        last = tag;
    }
}

}  // namespace

void encode_forecast_model(const ForecastModel& model, std::vector<unsigned char>& bytes) {
    ByteWriter w(bytes);
    for (const char c : kMagic) w.put(c);
    const unsigned flags = (model.round ? kRounded : 0U) | (model.calendar ? kCalendar : 0U);
    w.all(kVersion, model.asked, static_cast<std::uint8_t>(flags), std::uint32_t{0},
          std::uint32_t{0});
    std::size_t start = w.begin_section(model_tag);
    write_model(w, model);
    w.end_section(start);
    for (const MethodFit& member : model.members) {
        start = w.begin_section(member_tag);
        write_member(w, member);
        w.end_section(start);
    }
    start = w.begin_section(metrics_tag);
    for (const StepMetrics& total : model.total) write(w, total);
    write_holdout(w, model);
    write(w, model.cv);
    w.end_section(start);
    const auto numbers = [&](Tag tag, const std::vector<double>& values) {
        if (values.empty()) return;
        start = w.begin_section(tag);
        w.list(values);
        w.end_section(start);
    };
    numbers(scores_tag, model.scores);
    numbers(residuals_tag, model.residuals);
    w.put_at(8, w.size());
    w.put_at(12, 0);
    w.finish();
    const std::uint32_t crc = crc32c(bytes.data(), bytes.size());
    std::memcpy(bytes.data() + 12, &crc, sizeof crc);
}

bool is_forecast_model(const void* bytes, std::size_t length) noexcept {
    return length >= kHead && std::memcmp(bytes, kMagic, sizeof kMagic) == 0;
}

void decode_forecast_model(const void* bytes, std::size_t length, ForecastModel& out) {
    const auto* at = static_cast<const unsigned char*>(bytes);
    check_head(at, length);
    out = {};
    ByteReader head(at + 6, 2);
    head.take_enum(out.asked, ForecastMethod::ensemble);
    const auto flags = head.get<std::uint8_t>();
    if ((flags & ~(kRounded | kCalendar)) != 0) damaged("a flag is not known");
    out.round = (flags & kRounded) != 0;
    out.calendar = (flags & kCalendar) != 0;
    ByteReader sections(at + kHead, length - kHead);
    read_sections(sections, out);
    if (const char* defect = model_defect(out)) damaged(defect);
}

}  // namespace many::core
