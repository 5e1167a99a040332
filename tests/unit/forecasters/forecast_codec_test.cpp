// Forecasters as bytes: all of a model returns, and nothing but a model is taken for one.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "core/forecasters/forecast_model.h"
#include "unit/forecasters/forecast_model_support.h"

namespace many::core {
namespace {

ForecastModel rich_model(MethodFit fit) {
    ForecastModel m = model_of({std::move(fit)});
    m.rung = 1;
    m.grid = {TimeType::timestamptz, true, {1, 0}, -86400000000LL, 31};
    m.n = 72;
    m.n_filled = 3;
    m.n_merged = 2;
    m.n_trimmed = 1;
    m.zone = "Europe/Berlin";
    m.season_lengths = {12};
    m.conformal_steps = 2;
    m.n_scores = 2;
    m.scores = {1, 2, 3, 4};
    m.residuals = {-1, 0.5, 0.5};
    m.seed = 0x123456789abcdef0ULL;
    m.lower_bound = 0;
    m.round = true;
    m.smallest = 1;
    m.largest = 1e3;
    m.mase_scale = 2.5;
    m.total[1].n = 12;
    m.total[1].rmse = 3.25;
    m.holdout.resize(2);
    m.holdout[1].winkler = 7;
    m.cv.resize(1);
    m.cv[0].owa = 0.875;
    return m;
}

std::vector<MethodFit> all_fits() {
    ForecastWorkspace workspace;
    const Doubles y = seasonal_series(72, 12), demand = demand_series(72);
    std::vector<MethodFit> fits;
    for (const MethodSpec& spec : all_specs()) {
        const bool intermittent =
            spec.method >= ForecastMethod::croston && spec.method <= ForecastMethod::imapa;
        MethodFit fit;
        EXPECT_EQ(fit_method(spec, {intermittent ? demand : y, kMonths}, {}, workspace, fit),
                  ForecastStatus::ok);
        fits.push_back(fit);
    }
    return fits;
}

TEST(ForecastCodec, every_method_comes_back_with_the_same_bits) {
    std::vector<unsigned char> bytes, again;
    for (const MethodFit& fit : all_fits()) {
        const ForecastModel m = rich_model(fit);
        encode_forecast_model(m, bytes);
        EXPECT_TRUE(is_forecast_model(bytes.data(), bytes.size()));
        ForecastModel back;
        decode_forecast_model(bytes.data(), bytes.size(), back);
        encode_forecast_model(back, again);
        EXPECT_EQ(bytes, again);
        const Steps a = forecast(m, 30, {0.8, 0.95}), b = forecast(back, 30, {0.8, 0.95});
        EXPECT_EQ(a.status, ForecastStatus::ok);
        EXPECT_TRUE(same_bits(a.mean, b.mean)) << method_name(fit.method);
        EXPECT_TRUE(same_bits(a.lower, b.lower) && same_bits(a.upper, b.upper));
        EXPECT_EQ(fit_label(fit), fit_label(back.members[0]));
        // A model that goes on is the same, too.
        MethodFit here = m.members[0], there = back.members[0];
        const Doubles more = {3, 0, 4};
        EXPECT_EQ(update_method(here, more, {}), update_method(there, more, {}));
        EXPECT_TRUE(
            same_bits(forecast(model_of({here}), 5).mean, forecast(model_of({there}), 5).mean));
    }
}

TEST(ForecastCodec, all_that_belongs_to_the_model_comes_back) {
    ForecastModel m = rich_model(level_fit(5, 1));
    m.members.push_back(level_fit(6, 2));
    m.combination = Combination::weighted;
    m.weights = {0.25, 0.75};
    m.asked = ForecastMethod::ensemble;
    m.residuals.push_back(0);
    m.calendar = true;
    std::vector<unsigned char> bytes;
    encode_forecast_model(m, bytes);
    ForecastModel back;
    back.cv.resize(9);  // what was there before is gone
    decode_forecast_model(bytes.data(), bytes.size(), back);
    EXPECT_EQ(back.asked, ForecastMethod::ensemble);
    EXPECT_EQ(back.rung, 1);
    EXPECT_EQ(back.members.size(), 2U);
    EXPECT_EQ(back.weights, m.weights);
    EXPECT_EQ(back.grid.type, TimeType::timestamptz);
    EXPECT_TRUE(back.grid.local);
    EXPECT_EQ(back.grid.step, m.grid.step);
    EXPECT_EQ(back.grid.origin, m.grid.origin);
    EXPECT_EQ(back.grid.day_of_month, 31);
    EXPECT_EQ(back.n, 72);
    EXPECT_EQ(back.n_filled, 3);
    EXPECT_EQ(back.n_merged, 2);
    EXPECT_EQ(back.n_trimmed, 1);
    EXPECT_EQ(back.zone, "Europe/Berlin");
    EXPECT_EQ(back.season_lengths, m.season_lengths);
    EXPECT_TRUE(back.calendar && back.round);
    EXPECT_EQ(back.scores, m.scores);
    EXPECT_EQ(back.residuals, m.residuals);
    EXPECT_EQ(back.seed, m.seed);
    EXPECT_EQ(back.lower_bound, 0);
    EXPECT_TRUE(std::isnan(back.upper_bound));
    EXPECT_EQ(back.mase_scale, 2.5);
    EXPECT_TRUE(std::isnan(back.rmsse_scale));
    EXPECT_EQ(back.total[1].rmse, 3.25);
    EXPECT_TRUE(std::isnan(back.total[1].mae));
    EXPECT_EQ(back.holdout.size(), 2U);
    EXPECT_EQ(back.holdout[1].winkler, 7);
    EXPECT_EQ(back.cv.size(), 1U);
    EXPECT_EQ(back.cv[0].owa, 0.875);
}

// Metrics of the steps of a holdout mostly follow from a few of them and are not written then.
TEST(ForecastCodec, metrics_of_steps_return_with_every_bit) {
    ForecastModel m = model_of({level_fit(1, 1)});
    m.holdout_mase_scale = 3;
    m.holdout_rmsse_scale = 7;
    for (const double e : {1.0, -1.1, 0.0, 1e300, 5e-324}) {
        StepMetrics s;
        s.n = 1;
        s.rmse = s.mae = std::fabs(e);
        s.bias = e;
        s.mape = s.smape = std::fabs(e) / 11;
        s.mase = s.mae / 3;
        s.rmsse = s.rmse / 7;
        s.coverage = e < 0 ? 0 : 1;
        s.winkler = 4.5;
        m.holdout.push_back(s);
    }
    std::vector<unsigned char> bytes;
    encode_forecast_model(m, bytes);
    const std::size_t length = bytes.size();
    StepMetrics other = m.holdout[1];
    other.n = 2;
    other.coverage = 0.5;
    m.holdout.push_back(other);  // of two forecasts
    other.n = 1;
    other.mase = 0.25;  // of another fold: not in this scale
    m.holdout.push_back(other);
    m.holdout.push_back({});
    ForecastModel back;
    encode_forecast_model(m, bytes);
    EXPECT_LT(length, 700);
    decode_forecast_model(bytes.data(), bytes.size(), back);
    EXPECT_EQ(back.holdout_mase_scale, 3);
    EXPECT_EQ(back.holdout_rmsse_scale, 7);
    ASSERT_EQ(back.holdout.size(), m.holdout.size());
    for (std::size_t i = 0; i < m.holdout.size(); ++i) {
        for (const auto metric :
             {&StepMetrics::n, &StepMetrics::rmse, &StepMetrics::mae, &StepMetrics::mape,
              &StepMetrics::smape, &StepMetrics::mase, &StepMetrics::rmsse, &StepMetrics::owa,
              &StepMetrics::bias, &StepMetrics::r2, &StepMetrics::coverage,
              &StepMetrics::winkler}) {
            const double was = m.holdout[i].*metric, is = back.holdout[i].*metric;
            EXPECT_TRUE(std::isnan(was)
                            ? std::isnan(is)
                            : std::bit_cast<std::uint64_t>(was) == std::bit_cast<std::uint64_t>(is))
                << i << ": " << was << ", " << is;
        }
    }
    std::vector<unsigned char> again;
    encode_forecast_model(back, again);
    EXPECT_EQ(again, bytes);
}

TEST(ForecastCodec, only_forecasters_are_taken_for_one) {
    std::vector<unsigned char> bytes;
    encode_forecast_model(model_of({level_fit(1, 1)}), bytes);
    EXPECT_FALSE(is_forecast_model(bytes.data(), 15));
    EXPECT_FALSE(is_forecast_model(nullptr, 0));
    bytes[0] = 'X';
    EXPECT_FALSE(is_forecast_model(bytes.data(), bytes.size()));
}

// The checksum by a table of its own, not by the function that is tested.
struct CrcTable {
    std::uint32_t of_byte[256];
    CrcTable() {
        for (std::uint32_t byte = 0; byte < 256; ++byte) {
            std::uint32_t crc = byte;
            for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ ((crc & 1) != 0 ? 0x82f63b78U : 0U);
            of_byte[byte] = crc;
        }
    }
};

void set_checksum(std::vector<unsigned char>& bytes) {
    static const CrcTable table;
    if (bytes.size() < 16) return;
    const std::uint32_t zero = 0;
    std::memcpy(bytes.data() + 12, &zero, 4);
    std::uint32_t crc = 0xffffffffU;
    const unsigned char* const end = bytes.data() + bytes.size();
    for (const unsigned char* byte = bytes.data(); byte != end; ++byte)
        crc = crc >> 8 ^ table.of_byte[(crc ^ *byte) & 0xff];
    crc = ~crc;
    std::memcpy(bytes.data() + 12, &crc, 4);
}

// A model, which then can be used; or the error that it has to be.
bool decodes(const std::vector<unsigned char>& bytes) {
    ForecastModel model;
    try {
        decode_forecast_model(bytes.data(), bytes.size(), model);
    } catch (const Error& e) {
        EXPECT_EQ(e.kind(), ErrorKind::invalid_data);
        return false;
    }
    if (model.calendar) return true;  // its regressors depend on a zone
    const Doubles future(3 * static_cast<std::size_t>(std::min(model.n_features, 1000)), 1.0);
    const Steps s = forecast(model, 3, {0.9}, future);
    for (std::size_t h = 0; h < 3 && s.status == ForecastStatus::ok; ++h) {
        EXPECT_EQ(std::isnan(s.mean[h]), (s.flags[h] & kForecastNotFinite) != 0);
        if (std::isnan(s.lower[h])) continue;
        EXPECT_LE(s.lower[h], s.mean[h]);
        EXPECT_LE(s.mean[h], s.upper[h]);
    }
    std::vector<FitTerm> terms;
    for (MethodFit& member : model.members) {
        list_terms(member, terms);
        EXPECT_FALSE(fit_label(member).empty());
        (void)update_method(member, Doubles{1, 2}, {});
    }
    return true;
}

TEST(ForecastCodec, truncated_and_flipped_bytes_are_errors) {
    std::vector<unsigned char> bytes;
    for (const MethodFit& fit : all_fits()) {
        encode_forecast_model(rich_model(fit), bytes);
        ASSERT_TRUE(decodes(bytes));
        for (std::size_t n = 0; n < bytes.size(); ++n) {
            std::vector<unsigned char> cut(bytes.begin(),
                                           bytes.begin() + static_cast<std::ptrdiff_t>(n));
            EXPECT_FALSE(decodes(cut));
            if (n < 16) continue;
            const std::uint32_t length = static_cast<std::uint32_t>(n);
            std::memcpy(cut.data() + 8, &length, 4);
            set_checksum(cut);
            // Only the sections of scores and residuals may be missing: scores are counted.
            EXPECT_TRUE(!decodes(cut) || bytes.size() - n < 64) << n;
        }
        for (std::size_t i = 0; i < bytes.size(); ++i) {
            std::vector<unsigned char> flipped = bytes;
            flipped[i] ^= 0x40;
            EXPECT_FALSE(decodes(flipped)) << i;
        }
        std::vector<unsigned char> longer = bytes;
        longer.push_back(0);
        EXPECT_FALSE(decodes(longer));
    }
}

TEST(ForecastCodec, hostile_values_with_a_right_checksum_never_crash) {
    std::vector<unsigned char> bytes;
    const std::uint32_t words[] = {0,           1,           0x7fffffffU, 0x80000000U,
                                   0xffffffffU, 0x7ff00000U, 0x7ff80000U, 0x00010000U};
    int taken = 0, refused = 0;
    for (const MethodFit& fit : all_fits()) {
        encode_forecast_model(rich_model(fit), bytes);
        for (std::size_t i = 0; i < bytes.size(); ++i) {
            for (const unsigned char mask : {0x01, 0x80, 0xff}) {
                std::vector<unsigned char> flipped = bytes;
                flipped[i] ^= mask;
                if (i < 12 || i >= 16) set_checksum(flipped);
                ++(decodes(flipped) ? taken : refused);
            }
            for (const std::uint32_t word : words) {
                if (i < 16 || i + 4 > bytes.size()) continue;
                std::vector<unsigned char> changed = bytes;
                std::memcpy(changed.data() + i, &word, 4);
                set_checksum(changed);
                ++(decodes(changed) ? taken : refused);
            }
        }
    }
    // Most of what changes a number only is a model still; what changes a size is none.
    EXPECT_GT(taken, 10000);
    EXPECT_GT(refused, 10000);
}

TEST(ForecastCodec, values_that_make_no_sense_are_refused) {
    const auto refused = [](const auto& change) {
        ForecastModel m = rich_model(level_fit(5, 1));
        change(m);
        std::vector<unsigned char> bytes;
        encode_forecast_model(m, bytes);
        return !decodes(bytes);
    };
    EXPECT_FALSE(refused([](ForecastModel&) {}));
    EXPECT_TRUE(refused([](ForecastModel& m) { m.asked = ForecastMethod::none; }));
    EXPECT_TRUE(refused([](ForecastModel& m) { m.members.clear(); }));
    EXPECT_TRUE(refused([](ForecastModel& m) { m.n = 0; }));
    EXPECT_TRUE(refused([](ForecastModel& m) { m.rung = 3; }));
    EXPECT_TRUE(refused([](ForecastModel& m) { m.grid.step = {}; }));
    EXPECT_TRUE(refused([](ForecastModel& m) { m.grid.step = {1, 1}; }));
    EXPECT_TRUE(refused([](ForecastModel& m) { m.grid.day_of_month = 32; }));
    EXPECT_TRUE(refused([](ForecastModel& m) { m.zone = std::string(64, 'x'); }));
    EXPECT_TRUE(refused([](ForecastModel& m) { m.zone = "a\nb"; }));
    EXPECT_TRUE(refused([](ForecastModel& m) { m.season_lengths = {1}; }));
    EXPECT_TRUE(refused([](ForecastModel& m) { m.weights = {1}; }));
    EXPECT_TRUE(refused([](ForecastModel& m) { m.combination = Combination::weighted; }));
    EXPECT_TRUE(refused([](ForecastModel& m) { m.upper_bound = -1; }));
    EXPECT_TRUE(refused([](ForecastModel& m) { m.smallest = kNaN; }));
    EXPECT_TRUE(refused([](ForecastModel& m) { m.scores = {2, 1, 3, 4}; }));
    EXPECT_TRUE(refused([](ForecastModel& m) { m.scores.pop_back(); }));
    EXPECT_TRUE(refused([](ForecastModel& m) { m.residuals[0] = kNaN; }));
    EXPECT_TRUE(refused([](ForecastModel& m) { m.n_features = -1; }));
    EXPECT_TRUE(refused([](ForecastModel& m) { m.members[0].method = ForecastMethod::ets; }));
    EXPECT_TRUE(refused([](ForecastModel& m) {
        std::get<SimpleFit>(m.members[0].fit).levels[0] = std::numeric_limits<double>::infinity();
    }));
    EXPECT_TRUE(
        refused([](ForecastModel& m) { std::get<SimpleFit>(m.members[0].fit).levels.clear(); }));
    EXPECT_TRUE(refused([](ForecastModel& m) {
        ArimaFit arima;
        arima.order.p = 1 << 30;
        m.members[0] = {ForecastMethod::arima, arima};
    }));
}

}  // namespace
}  // namespace many::core
