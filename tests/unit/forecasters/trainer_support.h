// Rows of one group for the forecast trainer, and what comes out of it.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "core/learners/forecast_trainer.h"

namespace many::test {

// Rows (features, target, time).
struct RowTable {
    int n_features = 0;
    std::vector<double> data;

    void add(std::int64_t time, double target, std::vector<double> features = {}) {
        n_features = static_cast<int>(features.size());
        data.insert(data.end(), features.begin(), features.end());
        data.push_back(target);
        data.push_back(std::bit_cast<double>(time));
    }
    [[nodiscard]] std::size_t stride() const { return static_cast<std::size_t>(n_features) + 2; }
    [[nodiscard]] std::size_t size() const { return data.size() / stride(); }
    void shuffle(std::uint64_t seed) {
        std::vector<std::size_t> order(size());
        for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
        std::mt19937_64 random(seed);
        for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random() % i]);
        std::vector<double> moved;
        for (const std::size_t r : order) {
            const auto row = data.begin() + static_cast<std::ptrdiff_t>(r * stride());
            moved.insert(moved.end(), row, row + static_cast<std::ptrdiff_t>(stride()));
        }
        data = moved;
    }
};

// Times 1, 2, ..
inline RowTable rows_of(const std::vector<double>& y) {
    RowTable rows;
    for (std::size_t t = 0; t < y.size(); ++t) rows.add(static_cast<std::int64_t>(t + 1), y[t]);
    return rows;
}

// Integer times at steps of 1, no season, nothing held out.
inline core::ForecastSpec plain_spec(core::ForecastMethod method, int horizon = 4) {
    core::ForecastSpec spec;
    spec.method.method = method;
    spec.grid.step.units = 1;
    spec.n_season_lengths = 0;
    spec.horizon = horizon;
    spec.holdout.kind = core::HoldoutSpec::Kind::none;
    return spec;
}

inline core::ForecastSpec with_season(core::ForecastSpec spec, int m) {
    spec.n_season_lengths = 1;
    spec.season_lengths[0] = m;
    return spec;
}

inline core::ForecastSpec hold_out(core::ForecastSpec spec, int rows) {
    spec.holdout.kind = core::HoldoutSpec::Kind::rows;
    spec.holdout.rows = rows;
    return spec;
}

struct Trained {
    core::GroupResult result;
    core::ForecastModel model;
    [[nodiscard]] const core::StepMetrics& total(core::ForecastSplit split) const {
        return model.total[static_cast<int>(split)];
    }
};

inline Trained train(const core::ForecastSpec& spec, RowTable rows,
                     const core::StopSignal& stop = {}) {
    core::ForecastTrainer trainer;
    Trained out;
    trainer.fit_rows(spec, {}, rows.data.data(), rows.size(), rows.stride(), stop, out.result);
    if (out.result.status == core::FitStatus::ok) {
        core::decode_forecast_model(out.result.model.data(), out.result.model.size(), out.model);
    }
    return out;
}

struct Backtested {
    core::GroupResult result;
    core::TimeGrid grid;
    std::vector<core::BacktestPoint> points;
};

inline Backtested backtest(const core::ForecastSpec& spec, RowTable rows) {
    core::ForecastTrainer trainer;
    Backtested out;
    trainer.backtest_rows(spec, {}, rows.data.data(), rows.size(), rows.stride(), {}, out.result,
                          out.grid, out.points);
    return out;
}

struct Steps {
    core::ForecastStatus status = core::ForecastStatus::ok;
    std::vector<double> mean, lower, upper;
    std::vector<std::uint8_t> flags;
};

inline Steps forecast(const core::ForecastModel& model, std::size_t h, double level = 0.95,
                      std::span<const double> future = {}) {
    Steps out{{},
              std::vector<double>(h),
              std::vector<double>(h),
              std::vector<double>(h),
              std::vector<std::uint8_t>(h)};
    out.status = core::forecast_model(model, {}, future, std::span(&level, 1),
                                      {out.mean, out.lower, out.upper, out.flags});
    return out;
}

// Level, season of m and noise, positive.
inline std::vector<double> seasonal_series(int n, int m, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    std::normal_distribution<double> noise(0, 3);
    std::vector<double> y;
    for (int t = 0; t < n; ++t) {
        y.push_back(100 + 0.2 * t + 12 * std::sin(6.283185307179586 * t / m) + noise(random));
    }
    return y;
}

}  // namespace many::test
