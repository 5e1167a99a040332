// The time-series references that are not shipped (data/README.md of the shared folder): series and
// what R's forecast 8.20 says of them.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "unit/support.h"

namespace many::test {

struct ReferenceSeries {
    std::vector<double> y;
    int season_length = 1, horizon = 1;
};

struct ReferenceForecast {
    std::vector<double> mean, lower80, upper80, lower95, upper95, point;
};

using SeriesById = std::map<std::string, ReferenceSeries>;
using ForecastsById = std::map<std::string, ReferenceForecast>;

inline const SeriesById& reference_series() {
    static const SeriesById all = [] {
        SeriesById out;
        const std::string dir = shared_dir() + "/ts/";
        const Csv list = read_csv(dir + "ref_series.csv");
        for (const auto& row : list.rows) {
            ReferenceSeries& s = out[row[list.column("series_id")]];
            s.season_length = std::stoi(row[list.column("m")]);
            s.horizon = std::stoi(row[list.column("h")]);
        }
        for (const char* file : {"m3.csv.gz", "m4_hourly.csv.gz", "classic.csv"}) {
            const Csv csv = read_csv(dir + file);
            const std::size_t id = csv.column("series_id"), y = csv.column("y");
            const bool split = std::string(file) != "classic.csv";
            const std::size_t test = split ? csv.column("is_test") : 0;
            for (const auto& row : csv.rows) {
                const auto found = out.find(row[id]);
                if (found == out.end() || (split && row[test] != "0")) continue;
                found->second.y.push_back(number(row[y]));
            }
        }
        return out;
    }();
    return all;
}

// By method, then by series.
inline const ForecastsById& reference_forecasts(const std::string& method) {
    static const std::map<std::string, ForecastsById> all = [] {
        std::map<std::string, ForecastsById> out;
        const Csv csv = read_csv(shared_dir() + "/ts/ref_forecasts.csv.gz");
        for (const auto& row :
             csv.rows) {  // series_id, method, h, mean, lo80, hi80, lo95, hi95, point
            ReferenceForecast& f = out[row[1]][row[0]];
            f.mean.push_back(number(row[3]));
            f.lower80.push_back(number(row[4]));
            f.upper80.push_back(number(row[5]));
            f.lower95.push_back(number(row[6]));
            f.upper95.push_back(number(row[7]));
            f.point.push_back(number(row[8]));
        }
        return out;
    }();
    return all.at(method);
}

// |a - b| relative to max(1, |b|); 0 where the reference has no value.
inline double relative_difference(double a, double b) {
    return std::isnan(b) ? 0 : std::fabs(a - b) / std::max(1.0, std::fabs(b));
}

#define MANY_NEED_SHARED_DATA()                         \
    if (::many::test::shared_dir().empty())             \
    GTEST_SKIP() << "the shared reference data is not " \
                    "here"

}  // namespace many::test
