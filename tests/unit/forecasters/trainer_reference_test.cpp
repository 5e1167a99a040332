// auto_forecast and ensembles on a sample of the M3 competition beside R's single methods on the
// same series (forecast 8.20). The whole of it: docs/forecasting.md.
#include <gtest/gtest.h>

#include <map>

#include "unit/forecasters/reference_support.h"
#include "unit/forecasters/trainer_support.h"

namespace many::core {
namespace {

struct Series {
    std::string period;
    int m = 1, h = 1;
    std::vector<double> y;  // training part and test part
};

const std::map<std::string, Series>& m3() {
    static const std::map<std::string, Series> all = [] {
        std::map<std::string, Series> out;
        const std::string dir = test::shared_dir() + "/ts/";
        const test::Csv info = test::read_csv(dir + "m3_info.csv");
        for (const auto& row : info.rows) {
            Series& s = out[row[info.column("series_id")]];
            s.period = row[info.column("period")];
            s.m = std::stoi(row[info.column("m")]);
            s.h = std::stoi(row[info.column("h")]);
        }
        const test::Csv values = test::read_csv(dir + "m3.csv.gz");
        const std::size_t id = values.column("series_id"), y = values.column("y");
        for (const auto& row : values.rows) out.at(row[id]).y.push_back(test::number(row[y]));
        return out;
    }();
    return all;
}

struct Accuracy {
    double smape = 0, mase = 0;
    int n = 0;
    void add(double s, double m) {
        smape += s;
        mase += m;
        ++n;
    }
    [[nodiscard]] double mean_smape() const { return smape / n; }
    [[nodiscard]] double mean_mase() const { return mase / n; }
};

// Mean errors over the sample of R's methods, by (method, period).
std::map<std::pair<std::string, std::string>, Accuracy> errors_of_r(int every) {
    const test::Csv csv =
        test::read_csv(test::shared_dir() + "/ts/r_forecast_errors_by_series.csv.gz");
    std::map<std::pair<std::string, std::string>, Accuracy> out;
    std::map<std::string, int> place;
    int i = 0;
    for (const auto& [id, series] : m3()) place[id] = i++;
    for (const auto& row : csv.rows) {
        if (row[0] != "m3" || place.at(row[2]) % every != 0) continue;
        out[{row[1], m3().at(row[2]).period}].add(test::number(row[3]), test::number(row[4]));
    }
    return out;
}

std::map<std::string, Accuracy> errors_of(ForecastSpec spec, int every) {
    std::map<std::string, Accuracy> out;
    int i = 0;
    for (const auto& [id, series] : m3()) {
        if (i++ % every != 0) continue;
        spec = series.m > 1 ? test::with_season(spec, series.m) : spec;
        if (series.m == 1) spec.n_season_lengths = 0;
        spec.horizon = series.h;
        const test::Trained t =
            test::train(test::hold_out(spec, series.h), test::rows_of(series.y));
        EXPECT_EQ(t.result.status, FitStatus::ok) << id << ": " << t.result.message;
        const StepMetrics& m = t.total(ForecastSplit::holdout);
        EXPECT_EQ(m.n, series.h) << id;
        out[series.period].add(100 * m.smape, m.mase);
    }
    return out;
}

constexpr int kEvery = 12;

TEST(TrainerReference, ensemble_and_choice_beside_single_methods_of_r) {
    MANY_NEED_SHARED_DATA();
    const char* variable = std::getenv("MANY_M3_EVERY");
    const int every = variable != nullptr ? std::atoi(variable) : kEvery;
    const auto r = errors_of_r(every);
    for (const ForecastMethod method : {ForecastMethod::auto_forecast, ForecastMethod::ensemble}) {
        for (const auto& [period, own] : errors_of(test::plain_spec(method), every)) {
            std::printf("%-14s %-10s %4d  smape %7.3f  mase %6.3f", method_name(method),
                        period.c_str(), own.n, own.mean_smape(), own.mean_mase());
            for (const char* other : {"ets", "theta", "auto.arima"}) {
                const auto found = r.find({other, period});
                if (found == r.end()) continue;
                std::printf("  %s %.3f %.3f", other, found->second.mean_smape(),
                            found->second.mean_mase());
            }
            std::printf("\n");
        }
    }
}

}  // namespace
}  // namespace many::core
