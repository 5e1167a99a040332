// The competition series of the reference data, and its CSV files: for forecast_accuracy.cpp.
#pragma once

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "core/forecasters/forecaster.h"

namespace many::bench {

struct Csv {
    std::vector<std::string> header;
    std::vector<std::vector<std::string>> rows;
    [[nodiscard]] std::size_t column(const std::string& name) const {
        const auto at = std::find(header.begin(), header.end(), name);
        if (at == header.end()) throw std::runtime_error("no column " + name);
        return static_cast<std::size_t>(at - header.begin());
    }
};

// Lines without quotes, or with quotes in columns that nothing here reads.
inline std::vector<std::string> split_line(const std::string& line) {
    std::vector<std::string> cells(1);
    bool quoted = false;
    for (const char c : line) {
        if (c == '"') {
            quoted = !quoted;
        } else if (c == ',' && !quoted) {
            cells.emplace_back();
        } else if (c != '\r') {
            cells.back() += c;
        }
    }
    return cells;
}

inline std::string read_file(const std::string& path) {
    std::string text;
    const bool packed = path.ends_with(".gz");
    FILE* in =
        packed ? popen(("gzip -dc '" + path + "'").c_str(), "r") : std::fopen(path.c_str(), "r");
    if (in == nullptr) throw std::runtime_error("cannot read " + path);
    char buffer[65536];
    for (std::size_t n; (n = std::fread(buffer, 1, sizeof buffer, in)) > 0;) text.append(buffer, n);
    if ((packed ? pclose(in) : std::fclose(in)) != 0) {
        throw std::runtime_error("cannot read " + path);
    }
    return text;
}

inline Csv read_csv(const std::string& path) {
    Csv csv;
    std::istringstream lines(read_file(path));
    std::string line;
    std::getline(lines, line);
    csv.header = split_line(line);
    while (std::getline(lines, line)) {
        if (!line.empty()) csv.rows.push_back(split_line(line));
    }
    return csv;
}

inline double number(const std::string& text) {
    return text.empty() || text == "NA" ? core::FitSummary::kNone
                                        : std::strtod(text.c_str(), nullptr);
}

inline std::string data_dir() {
    const char* named = std::getenv("MANY_SHARED_DATA");
    const std::string dir = named != nullptr ? named : MANY_SHARED_DATA_DIR;
    for (const std::string& d : {dir, dir + "/data"}) {
        if (std::ifstream(d + "/ts/m3_info.csv").good()) return d;
    }
    throw std::runtime_error("the reference data is not in " + dir + ": set MANY_SHARED_DATA");
}

struct Series {
    std::string set, frequency, id;
    std::vector<int> seasons;
    int scale_lag = 1;  // of MASE
    std::vector<double> y, test;
};

// In the order of the files. M4's conventions: daily series have no season, hourly ones 24 (and the
// week, for the methods that take several).
inline std::vector<Series> read_series(const std::string& set) {
    std::map<std::string, std::pair<std::string, int>> info;
    if (set == "m3") {
        const Csv csv = read_csv(data_dir() + "/ts/m3_info.csv");
        for (const auto& row : csv.rows) {
            info[row[csv.column("series_id")]] = {row[csv.column("period")],
                                                  std::stoi(row[csv.column("m")])};
        }
    }
    const char* file = set == "m3"          ? "/ts/m3.csv.gz"
                       : set == "m4_hourly" ? "/ts/m4_hourly.csv.gz"
                       : set == "m4_daily"  ? "/ts/m4_daily_subset.csv.gz"
                                            : nullptr;
    if (file == nullptr) throw std::runtime_error("no set " + set);
    std::vector<Series> out;
    for (const auto& row : read_csv(data_dir() + file).rows) {  // series_id, t, y, is_test
        if (out.empty() || out.back().id != row[0]) {
            Series s;
            s.set = set;
            s.id = row[0];
            s.frequency = set == "m3" ? info.at(s.id).first : set.substr(3);
            s.scale_lag = set == "m3" ? info.at(s.id).second : set == "m4_hourly" ? 24 : 1;
            if (s.scale_lag > 1) s.seasons.push_back(s.scale_lag);
            if (set == "m4_hourly") s.seasons.push_back(168);
            out.push_back(std::move(s));
        }
        (row[3] == "1" ? out.back().test : out.back().y).push_back(number(row[2]));
    }
    return out;
}

}  // namespace many::bench
