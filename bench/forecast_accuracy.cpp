// Accuracy of the forecasting methods on the M3 and M4 competition data that the project's reference
// data has (data/README.md there; none of it is shipped), beside published figures.
//
//   many_forecast_accuracy run [--set SET] [--frequency F] [--method M] [--every N] [--processes P]
//                              [--forecasts FILE] RESULTS.csv
//   many_forecast_accuracy table RESULTS.csv
//
// `run` trains each method on the training part of each series, as a run of train_many_models does
// (ForecastTrainer with its defaults: season by the frequency, steps down for short series), forecasts
// its test part, and appends a line per series and method to RESULTS.csv; what is in there already is
// left out, so that a run goes on where it was interrupted. --every N takes the series whose place in
// the order of the file is a multiple of N. --forecasts keeps the forecasts and bounds themselves.
// `table` prints a table per set and frequency. MANY_SHARED_DATA: the folder of the reference data.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "accuracy_data.h"
#include "core/learners/forecast_trainer.h"

namespace {

using namespace many::core;
using namespace many::bench;

// --- One series, one method -----------------------------------------------------------------------

struct Judged {
    double smape = 0, mase = 0, inside80 = 0, inside95 = 0, msis = 0, cpu_ms = 0;
    std::string label;
    std::vector<double> mean, lower, upper;
};

double cpu_ms() {
    timespec t{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_nsec) * 1e-6;
}

// A method with its defaults, and the other season of holt_winters.
struct Contender {
    ForecastMethod method;
    bool multiplicative = false;
    [[nodiscard]] std::string name() const {
        return std::string(method_name(method)) + (multiplicative ? " multiplicative" : "");
    }
};

ForecastSpec spec_of(const Series& s, const Contender& contender) {
    ForecastSpec spec;
    spec.method.method = contender.method;
    spec.method.multiplicative_season = contender.multiplicative;
    spec.grid.step.units = 1;
    spec.n_season_lengths = static_cast<int>(s.seasons.size());
    std::copy(s.seasons.begin(), s.seasons.end(), spec.season_lengths);
    spec.horizon = static_cast<int>(s.test.size());
    spec.holdout.kind = HoldoutSpec::Kind::none;
    return spec;
}

void judge(const Series& s, Judged& out) {
    double scale = 0;
    const auto m = static_cast<std::size_t>(s.scale_lag);
    for (std::size_t t = m; t < s.y.size(); ++t) scale += std::fabs(s.y[t] - s.y[t - m]);
    scale /= static_cast<double>(s.y.size() - m);
    const auto h = static_cast<double>(s.test.size());
    for (std::size_t i = 0; i < s.test.size(); ++i) {
        const double y = s.test[i], f = out.mean[i], miss = std::fabs(y - f);
        out.smape += 200 * miss / (std::fabs(y) + std::fabs(f)) / h;
        out.mase += miss / scale / h;
        const double low = out.lower[2 * i + 1], high = out.upper[2 * i + 1];
        out.inside80 += (std::isnan(low)                                  ? FitSummary::kNone
                         : y >= out.lower[2 * i] && y <= out.upper[2 * i] ? 1.0
                                                                          : 0.0) /
                        h;
        out.inside95 += (std::isnan(low)         ? FitSummary::kNone
                         : y >= low && y <= high ? 1.0
                                                 : 0.0) /
                        h;
        const double outside = std::max({0.0, low - y, y - high});
        out.msis += (high - low + 40 * outside) / scale / h;
    }
}

// False, with the reason in `label`: there is no forecast.
bool run_one(const Series& s, const Contender& contender, ForecastTrainer& trainer, Judged& out) {
    const double levels[] = {0.8, 0.95};
    const std::size_t h = s.test.size();
    std::vector<double> rows;
    for (std::size_t t = 0; t < s.y.size(); ++t) {
        rows.push_back(s.y[t]);
        rows.push_back(std::bit_cast<double>(static_cast<std::int64_t>(t)));
    }
    const ForecastSpec spec = spec_of(s, contender);
    GroupResult result;
    out.mean.assign(h, 0);
    out.lower.assign(2 * h, 0);
    out.upper.assign(2 * h, 0);
    std::vector<std::uint8_t> flags(h);
    const double began = cpu_ms();
    trainer.fit_rows(spec, {}, rows.data(), s.y.size(), 2, {}, result);
    if (result.status != FitStatus::ok) {
        out.label = result.message;
        return false;
    }
    ForecastModel model;
    decode_forecast_model(result.model.data(), result.model.size(), model);
    if (forecast_model(model, {}, {}, levels, {out.mean, out.lower, out.upper, flags}) !=
        ForecastStatus::ok) {
        out.label = "no forecast";
        return false;
    }
    out.cpu_ms = cpu_ms() - began;
    for (std::size_t i = 0; i < model.members.size(); ++i) {
        out.label += (i > 0 ? " | " : "") + fit_label(model.members[i]);
    }
    std::replace(out.label.begin(), out.label.end(), ',', ';');
    judge(s, out);
    return std::isfinite(out.smape) && std::isfinite(out.mase);
}

// --- run ------------------------------------------------------------------------------------------

constexpr Contender kContenders[] = {{ForecastMethod::naive2},
                                     {ForecastMethod::naive},
                                     {ForecastMethod::seasonal_naive},
                                     {ForecastMethod::mean},
                                     {ForecastMethod::drift},
                                     {ForecastMethod::window_average},
                                     {ForecastMethod::seasonal_window_average},
                                     {ForecastMethod::ses},
                                     {ForecastMethod::holt},
                                     {ForecastMethod::damped_holt},
                                     {ForecastMethod::holt_winters},
                                     {ForecastMethod::holt_winters, true},
                                     {ForecastMethod::ets},
                                     {ForecastMethod::theta},
                                     {ForecastMethod::optimised_theta},
                                     {ForecastMethod::dynamic_theta},
                                     {ForecastMethod::arima},
                                     {ForecastMethod::ces},
                                     {ForecastMethod::mstl},
                                     {ForecastMethod::autoregression},
                                     {ForecastMethod::auto_forecast},
                                     {ForecastMethod::ensemble}};

constexpr char kHeader[] =
    "set,frequency,series_id,every,method,smape,mase,inside80,inside95,msis95,cpu_ms,label\n";

struct Arguments {
    std::vector<std::string> sets, frequencies, methods;
    int every = 1, processes = 2;
    std::string forecasts, results;
};

// One write of whole lines to a file opened to append: processes do not mix.
void append(int file, const std::string& text) {
    if (write(file, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
        throw std::runtime_error("cannot write");
    }
}

int open_to_append(const std::string& path, const char* header) {
    const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (file < 0) throw std::runtime_error("cannot open " + path);
    if (lseek(file, 0, SEEK_END) == 0) append(file, header);
    return file;
}

bool listed(const std::vector<std::string>& names, const std::string& name) {
    return names.empty() || std::find(names.begin(), names.end(), name) != names.end();
}

struct Job {
    const Series* series;
    Contender contender;
};

void work(const std::vector<Job>& jobs, int part, const Arguments& a, int results, int forecasts) {
    ForecastTrainer trainer;
    char line[512];
    for (std::size_t i = static_cast<std::size_t>(part); i < jobs.size();
         i += static_cast<std::size_t>(a.processes)) {
        const auto& [series, contender] = jobs[i];
        const std::string name = contender.name();
        Judged judged;
        if (!run_one(*series, contender, trainer, judged)) {
            std::fprintf(stderr, "%s %s: %s\n", series->id.c_str(), name.c_str(),
                         judged.label.c_str());
            continue;
        }
        std::snprintf(line, sizeof line, "%s,%s,%s,%d,%s,%.17g,%.17g,%.6g,%.6g,%.17g,%.6g,",
                      series->set.c_str(), series->frequency.c_str(), series->id.c_str(), a.every,
                      name.c_str(), judged.smape, judged.mase, judged.inside80, judged.inside95,
                      judged.msis, judged.cpu_ms);
        append(results, line + judged.label + "\n");
        if (forecasts < 0) continue;
        std::string text;
        for (std::size_t h = 0; h < judged.mean.size(); ++h) {
            std::snprintf(line, sizeof line, "%s,%s,%s,%zu,%.17g,%.17g,%.17g,%.17g,%.17g\n",
                          series->set.c_str(), series->id.c_str(), name.c_str(), h + 1,
                          judged.mean[h], judged.lower[2 * h], judged.upper[2 * h],
                          judged.lower[2 * h + 1], judged.upper[2 * h + 1]);
            text += line;
        }
        append(forecasts, text);
    }
}

int run(const Arguments& a) {
    std::set<std::string> done;
    if (std::ifstream(a.results).good()) {
        for (const auto& row : read_csv(a.results).rows) {
            done.insert(row[0] + ',' + row[2] + ',' + row[4]);
        }
    }
    const int results = open_to_append(a.results, kHeader);
    const int forecasts =
        a.forecasts.empty()
            ? -1
            : open_to_append(a.forecasts, "set,series_id,method,h,mean,lo80,hi80,lo95,hi95\n");
    std::vector<Series> all;
    for (const char* set : {"m3", "m4_daily", "m4_hourly"}) {
        if (!listed(a.sets, set)) continue;
        int i = 0;
        for (Series& s : read_series(set)) {
            if (i++ % a.every == 0 && listed(a.frequencies, s.frequency))
                all.push_back(std::move(s));
        }
    }
    std::vector<Job> jobs;
    for (const Contender& c : kContenders) {
        if (!listed(a.methods, c.name())) continue;
        for (const Series& s : all) {
            if (!done.contains(s.set + ',' + s.id + ',' + c.name())) jobs.push_back({&s, c});
        }
    }
    std::fprintf(stderr, "%zu fits\n", jobs.size());
    std::vector<pid_t> children;
    for (int p = 0; p < a.processes; ++p) {
        const pid_t child = fork();
        if (child < 0) throw std::runtime_error("cannot fork");
        if (child == 0) {
            try {
                work(jobs, p, a, results, forecasts);
            } catch (const std::exception& e) {
                std::fprintf(stderr, "%s\n", e.what());
                _exit(1);
            }
            _exit(0);
        }
        children.push_back(child);
    }
    int failed = 0;
    for (const pid_t child : children) {
        int status = 0;
        waitpid(child, &status, 0);
        failed += status != 0;
    }
    return failed == 0 ? 0 : 1;
}

// --- table ----------------------------------------------------------------------------------------

struct Mean {
    double sum = 0;
    int n = 0;
    void add(double v) {
        if (std::isnan(v)) return;
        sum += v;
        ++n;
    }
    [[nodiscard]] double value() const { return n > 0 ? sum / n : FitSummary::kNone; }
};

struct Row {
    Mean smape, mase, inside80, inside95, msis, cpu_ms;
};

struct Published {
    std::string name;
    double smape = 0, mase = 0;
};

using Place = std::pair<std::string, std::string>;  // set, frequency

// By place and method; benchmarks of no method here by place under "".
std::map<Place, std::multimap<std::string, Published>> read_published() {
    std::map<Place, std::multimap<std::string, Published>> out;
    const std::map<std::string, std::string> of_r = {
        {"naive", "naive"}, {"snaive", "seasonal_naive"},
        {"ses", "ses"},     {"holt", "holt"},
        {"ets", "ets"},     {"damped", "damped_holt"},
        {"theta", "theta"}, {"auto.arima", "arima"}};
    const std::string dir = data_dir() + "/published/";
    const Csv r = read_csv(dir + "r_forecast_accuracy.csv");
    for (const auto& row : r.rows) {
        if (row[r.column("subset")] != "dev") continue;
        out[{row[r.column("set")], row[r.column("period")]}].emplace(
            of_r.at(row[r.column("method")]),
            Published{"R " + row[r.column("method")], number(row[r.column("smape")]),
                      number(row[r.column("mase")])});
    }
    const std::map<std::string, std::string> of_m3 = {{"NAIVE2", "naive2"},
                                                      {"COMB S-H-D", ""},
                                                      {"THETA", ""},
                                                      {"B-J auto", ""},
                                                      {"ForecastPro", ""}};
    const Csv m3 = read_csv(dir + "m3_accuracy.csv");
    for (const auto& row : m3.rows) {
        const auto method = of_m3.find(row[m3.column("method")]);
        if (row[m3.column("subset")] != "dev_even" || method == of_m3.end()) continue;
        out[{"m3", row[m3.column("period")]}].emplace(
            method->second,
            Published{"M3 " + method->first, number(row[m3.column("smape_series_mean")]),
                      number(row[m3.column("mase_mean")])});
    }
    const Csv m4 = read_csv(dir + "m4_point_by_frequency.csv");
    for (const auto& row : m4.rows) {
        const std::string& name = row[m4.column("method")];
        const std::string& frequency = row[m4.column("frequency")];
        static const std::set<std::string> shown = {"Naive2", "SES",   "Holt",
                                                    "Damped", "Theta", "Com"};
        if (!shown.contains(name) || (frequency != "Hourly" && frequency != "Daily")) continue;
        out[{frequency == "Hourly" ? "m4_hourly" : "m4_daily",
             frequency == "Hourly" ? "hourly" : "daily"}]
            .emplace("",
                     Published{"M4 " + name + " (all " + row[m4.column("n_series")] + ")",
                               number(row[m4.column("smape")]), number(row[m4.column("mase")])});
    }
    return out;
}

void print_percent(const char* format, double share) {
    if (std::isnan(share)) {
        std::printf(" |");
    } else {
        std::printf(format, 100 * share);
    }
}

int table(const std::string& path) {
    std::map<Place, std::map<std::string, Row>> places;
    std::map<Place, int> every;
    const Csv csv = read_csv(path);
    for (const auto& row : csv.rows) {
        std::vector<Place> of = {{row[0], row[1]}};
        if (row[0] == "m3") of.push_back({"m3", "all"});
        for (const Place& place : of) {
            every[place] = std::max(every[place], std::stoi(row[3]));
            Row& r = places[place][row[4]];
            Mean* const into[] = {&r.smape, &r.mase, &r.inside80, &r.inside95, &r.msis, &r.cpu_ms};
            for (std::size_t i = 0; i < std::size(into); ++i) into[i]->add(number(row[5 + i]));
        }
    }
    const auto published = read_published();
    for (const auto& [place, rows] : places) {
        std::printf("\n%s, %s%s\n\n", place.first.c_str(), place.second.c_str(),
                    every[place] > 1
                        ? (", every " + std::to_string(every[place]) + "th series").c_str()
                        : "");
        std::printf(
            "| method | n | sMAPE | MASE | OWA | 80 %% | 95 %% | MSIS | ms | published | sMAPE | "
            "MASE "
            "| ratio |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|\n");
        const auto naive2 = rows.find("naive2");
        const auto owa = [&](double smape, double mase) {
            if (naive2 == rows.end()) return FitSummary::kNone;
            return (smape / naive2->second.smape.value() + mase / naive2->second.mase.value()) / 2;
        };
        const auto known = published.find(place);
        for (const Contender& c : kContenders) {
            const std::string name = c.name();
            const auto found = rows.find(name);
            if (found == rows.end()) continue;
            const Row& r = found->second;
            const double smape = r.smape.value(), mase = r.mase.value();
            std::printf("| `%s` | %d | %.3f | %.3f | %.3f |", name.c_str(), r.smape.n, smape, mase,
                        owa(smape, mase));
            print_percent(" %.1f |", r.inside80.value());
            print_percent(" %.1f |", r.inside95.value());
            std::printf(" %.2f | %.3g |", r.msis.value(), r.cpu_ms.value());
            const auto theirs = known == published.end() ? decltype(known->second.begin()){}
                                                         : known->second.find(name);
            if (known == published.end() || theirs == known->second.end()) {
                std::printf(" | | | |\n");
                continue;
            }
            const Published& p = theirs->second;
            std::printf(" %s | %.3f | %.3f | %.3f, %.3f |\n", p.name.c_str(), p.smape, p.mase,
                        smape / p.smape, mase / p.mase);
        }
        if (known == published.end()) continue;
        const auto [first, last] = known->second.equal_range("");
        for (auto p = first; p != last; ++p) {
            std::printf("| %s | | %.3f | %.3f | %.3f | | | | | | | | |\n", p->second.name.c_str(),
                        p->second.smape, p->second.mase, owa(p->second.smape, p->second.mase));
        }
    }
    return 0;
}

Arguments parse(int argc, char** argv) {
    Arguments a;
    for (int i = 2; i < argc; ++i) {
        const std::string word = argv[i];
        if (!word.starts_with("--")) {
            a.results = word;
            continue;
        }
        if (++i == argc) throw std::runtime_error(word + " needs a value");
        const std::string value = argv[i];
        if (word == "--set")
            a.sets.push_back(value);
        else if (word == "--frequency")
            a.frequencies.push_back(value);
        else if (word == "--method")
            a.methods.push_back(value);
        else if (word == "--every")
            a.every = std::max(1, std::stoi(value));
        else if (word == "--processes")
            a.processes = std::max(1, std::stoi(value));
        else if (word == "--forecasts")
            a.forecasts = value;
        else
            throw std::runtime_error("no option " + word);
    }
    if (a.results.empty()) throw std::runtime_error("no file for the results");
    return a;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        const std::string what = argc > 1 ? argv[1] : "";
        if (what == "run") return run(parse(argc, argv));
        if (what == "table") return table(parse(argc, argv).results);
        std::fprintf(
            stderr,
            "many_forecast_accuracy run | table: see the head of bench/forecast_accuracy.cpp\n");
        return 2;
    } catch (const std::exception& e) {
        std::fprintf(stderr, "many_forecast_accuracy: %s\n", e.what());
        return 1;
    }
}
