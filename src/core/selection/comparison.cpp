// State, in doubles: [0] centre of y, [1] rows, [2] rows with y <> 0, [3] unused, then the sums in
// three planes (high, middle, low).
#include "core/selection/comparison.h"

#include <algorithm>
#include <bit>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <cstring>
#include <limits>
#include <numbers>
#include <vector>

#include "core/learners/linear_workspace.h"
#include "core/numeric/wide.h"

namespace many::core {
namespace {

enum Sum {
    kError,
    kSquare,
    kAbsolute,
    kShare,
    kSymmetric,
    kActual,
    kActualSquare,
    kActualLow,
    kByAbsolute,  // differences of |e|, their squares, what rounding took from the squares
    kByAbsoluteSquare,
    kByAbsoluteLow,
    kBySquare,  // of e^2
    kBySquareSquare,
    kBySquareLow,
    kSums
};
constexpr std::size_t kHead = 4;
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

double& at(double* state, std::size_t plane, Sum k) noexcept {
    return state[kHead + plane * kSums + k];
}

void add(double* state, Sum k, double value) noexcept {
    double t, u;
    double& high = at(state, 0, k);
    high = detail::sum2(high, value, t);
    double& middle = at(state, 1, k);
    middle = detail::sum2(middle, t, u);
    at(state, 2, k) += u;
}

void add_with_square(double* state, Sum k, double value) noexcept {
    double low;
    const double square = detail::product2(value, value, low);
    add(state, k, value);
    add(state, static_cast<Sum>(k + 1), square);
    add(state, static_cast<Sum>(k + 2), low);
}

TripleDouble sum(const double* state, Sum k) noexcept {
    const double* s = state + kHead + k;
    return TripleDouble::of(s[0], s[kSums], s[2 * kSums]);
}

// Sum of squares about the mean, of what add_with_square collected.
double spread(const double* state, Sum k, double n, double* uncentred) noexcept {
    const TripleDouble square =
        sum(state, static_cast<Sum>(k + 1)) + sum(state, static_cast<Sum>(k + 2));
    const TripleDouble mean = sum(state, k) / TripleDouble(n);
    *uncentred = square.value();
    return minus_product(square, sum(state, k), mean).value();
}

double deviation(const double* state, Sum k, double n) noexcept {
    double uncentred;
    const double s = spread(state, k, n, &uncentred);
    if (!(n > 1)) return kNaN;
    return s > 1e-40 * uncentred ? std::sqrt(s / (n - 1)) : 0.0;
}

}  // namespace

std::size_t comparison_state_doubles() noexcept {
    return kHead + 3 * static_cast<std::size_t>(kSums);
}

void comparison_start(double* state, double centre) noexcept {
    std::memset(state, 0, comparison_state_doubles() * sizeof(double));
    state[0] = centre;
}

void comparison_add(double* state, double y, double candidate, double rival) noexcept {
    const double e = rival - y;
    const double own = candidate - y;
    const double size = std::fabs(y) + std::fabs(rival);
    state[1] += 1;
    state[2] += y != 0 ? 1 : 0;
    add(state, kError, e);
    add(state, kSquare, e * e);
    add(state, kAbsolute, std::fabs(e));
    add(state, kShare, y != 0 ? std::fabs(e / y) : 0.0);
    add(state, kSymmetric, size > 0 ? 2 * std::fabs(e) / size : 0.0);
    add_with_square(state, kActual, y - state[0]);
    add_with_square(state, kByAbsolute, std::fabs(e) - std::fabs(own));
    add_with_square(state, kBySquare, e * e - own * own);
}

void comparison_finish(const double* state, SplitMetrics* rival,
                       PairedDifferences* paired) noexcept {
    const double n = state[1];
    *rival = no_metrics();
    *paired = PairedDifferences{};
    if (!(n > 0)) return;
    double uncentred;
    const double total = spread(state, kActual, n, &uncentred);
    const double square = sum(state, kSquare).value();
    rival->n_rows = n;
    rival->rmse = std::sqrt(square / n);
    rival->mae = sum(state, kAbsolute).value() / n;
    rival->mape = state[2] > 0 ? sum(state, kShare).value() / state[2] : kNaN;
    rival->smape = sum(state, kSymmetric).value() / n;
    rival->bias = sum(state, kError).value() / n;
    if (total > 1e-40 * uncentred) rival->r2 = 1 - square / total;
    paired->n = n;
    paired->mean_squared = sum(state, kBySquare).value() / n;
    paired->sd_squared = deviation(state, kBySquare, n);
    paired->mean_absolute = sum(state, kByAbsolute).value() / n;
    paired->sd_absolute = deviation(state, kByAbsolute, n);
}

namespace {

bool take(const Score& score, double* prediction) noexcept {
    *prediction = score.prediction;
    return score.code == ScoreCode::ok || score.code == ScoreCode::imputed;
}

}  // namespace

bool rival_predicts(const Rival& rival, const double* row, double* prediction) {
    if (rival.view.has_levels()) return false;
    if (rival.columns == nullptr) return take(rival.view.score_numeric(row), prediction);
    constexpr int kStack = 256;
    const int n = rival.view.n_features();
    double local[kStack];
    std::vector<double> heap;
    double* x = local;
    if (n > kStack) {
        heap.resize(std::size_t(n));
        x = heap.data();
    }
    for (int k = 0; k < n; ++k) x[k] = row[rival.columns[k]];
    return take(rival.view.score_numeric(x), prediction);
}

bool rival_predicts(const Rival& rival, const double* row, const TrainSpec& spec,
                    const LevelLookup& levels, double* prediction) {
    constexpr int kStack = 64;
    const int n = rival.view.n_features();
    FeatureValue local[kStack];
    std::vector<FeatureValue> heap;
    FeatureValue* values = local;
    if (n > kStack) {
        heap.resize(std::size_t(n));
        values = heap.data();
    }
    for (int k = 0; k < n; ++k) {
        const int column = rival.columns == nullptr ? k : rival.columns[k];
        const double v = row[column];
        FeatureValue& to = values[k];
        to.is_null = is_null_value(v);
        if (to.is_null) continue;
        const std::size_t at = static_cast<std::size_t>(column);
        if (at < spec.categorical.size() && spec.categorical[at]) {
            const std::string_view text = levels(column, std::bit_cast<std::uint64_t>(v));
            to.text = text.data();
            to.text_length = static_cast<std::uint32_t>(text.size());
        } else {
            to.number = v;
        }
    }
    return take(rival.view.score(values), prediction);
}

namespace {

// Cosines of the long-run deviation of n differences: with less than two there is next to no power,
// and n - 1 are all there are, which makes it the ordinary deviation.
int cosines(std::size_t n) noexcept {
    const int least = n > 2 ? 2 : 1;
    return std::max(least, static_cast<int>(0.4 * std::pow(static_cast<double>(n), 2.0 / 3.0)));
}

// About their mean; differences that are equal but for rounding have none.
double long_run_deviation(std::span<const double> d, double mean) {
    const auto n = static_cast<double>(d.size());
    const int b = cosines(d.size());
    double squares = 0;
    double far = 0;
    double largest = 0;
    for (const double v : d) {
        squares += (v - mean) * (v - mean);
        far = std::max(far, std::fabs(v - mean));
        largest = std::max(largest, std::fabs(v));
    }
    if (far <= 1e-14 * largest) return 0;
    double slow = 0;
    for (int j = 1; j <= b; ++j) {
        double sum = 0;
        for (std::size_t i = 0; i < d.size(); ++i)
            sum +=
                (d[i] - mean) * std::cos(std::numbers::pi * j * (static_cast<double>(i) + 0.5) / n);
        slow += 2 / n * sum * sum;
    }
    // A few numbers that happen to be symmetric in time have no cosine: they are not certain for that.
    const double ordinary = squares / (n - 1);
    return std::sqrt(slow / b > 1e-12 * ordinary ? slow / b : ordinary);
}

double mean_of(std::span<const double> d) noexcept {
    double sum = 0;
    for (const double v : d) sum += v;
    return sum / static_cast<double>(d.size());
}

}  // namespace

void paired_in_time(std::span<const double> by_square, std::span<const double> by_absolute,
                    PairedDifferences* paired) {
    *paired = PairedDifferences{};
    paired->n = static_cast<double>(by_square.size());
    if (by_square.empty()) return;
    paired->mean_squared = mean_of(by_square);
    paired->mean_absolute = mean_of(by_absolute);
    if (by_square.size() < 2) return;
    paired->sd_squared = long_run_deviation(by_square, paired->mean_squared);
    paired->sd_absolute = long_run_deviation(by_absolute, paired->mean_absolute);
    paired->df = cosines(by_square.size());
}

double paired_p_value(double n, double mean, double sd, double df) noexcept {
    namespace policies = boost::math::policies;
    using Quiet = policies::policy<policies::domain_error<policies::ignore_error>,
                                   policies::overflow_error<policies::ignore_error>,
                                   policies::underflow_error<policies::ignore_error>,
                                   policies::denorm_error<policies::ignore_error>,
                                   policies::evaluation_error<policies::ignore_error>,
                                   policies::promote_double<false>>;
    using StudentT = boost::math::students_t_distribution<double, Quiet>;
    if (!(n > 1) || !std::isfinite(mean) || !(sd >= 0)) return kNaN;
    if (sd == 0) return mean > 0 ? 0.0 : mean < 0 ? 1.0 : 0.5;
    const double t = mean / (sd / std::sqrt(n));
    if (!std::isfinite(t)) return t > 0 ? 0.0 : 1.0;
    return boost::math::cdf(boost::math::complement(StudentT(df > 0 ? df : n - 1), t));
}

}  // namespace many::core
