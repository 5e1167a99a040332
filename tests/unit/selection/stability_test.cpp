// The population stability index: against its definition with many bins, and under no shift at all.
#include "core/selection/stability.h"

#include <gtest/gtest.h>

#include "unit/support.h"

namespace many::test {
namespace {

using core::Sample;
using core::Stability;

double density(double x, double mean, double spread) {
    const double z = (x - mean) / spread;
    return std::exp(-0.5 * z * z) / (spread * std::sqrt(2 * 3.14159265358979323846));
}

// sum (q - p) ln (q / p) over narrow bins.
double by_bins(const Sample& a, const Sample& b) {
    const double low = std::fmin(a.mean - 12 * a.spread, b.mean - 12 * b.spread);
    const double high = std::fmax(a.mean + 12 * a.spread, b.mean + 12 * b.spread);
    const int n = 200000;
    const double width = (high - low) / n;
    double sum = 0;
    for (int i = 0; i < n; ++i) {
        const double x = low + (i + 0.5) * width;
        const double p = density(x, a.mean, a.spread), q = density(x, b.mean, b.spread);
        if (p > 1e-300 && q > 1e-300) sum += (q - p) * std::log(q / p) * width;
    }
    return sum;
}

TEST(Stability, IsTheIndexOfManyBins) {
    const Sample training{1e9, 10, 2};
    for (const Sample& recent :
         {Sample{1e9, 10, 2}, Sample{1e9, 11, 2}, Sample{1e9, 10, 3}, Sample{1e9, 8, 1.5}}) {
        const double expected = by_bins(training, recent);
        EXPECT_NEAR(core::normal_stability(training, recent).index, expected,
                    1e-5 * (1 + expected));
        EXPECT_NEAR(core::normal_stability(recent, training).index, expected,
                    1e-5 * (1 + expected));
    }
    // Half a standard deviation: d^2 / v.
    EXPECT_NEAR(core::normal_stability(training, {1e9, 11, 2}).index, 0.25, 1e-8);
}

TEST(Stability, ConstantSamplesAreNotInfinitelyFar) {
    const Sample varies{1000, 5, 2}, constant{30, 5, 0};
    const Stability s = core::normal_stability(varies, constant);
    EXPECT_GT(s.index, s.noise);
    EXPECT_LT(s.index, 100);
    const Stability same = core::normal_stability({100, 7, 0}, {10, 7, 0});
    EXPECT_EQ(same.index, 0);
    const Stability moved = core::normal_stability({100, 7, 0}, {10, 8, 0});
    EXPECT_GT(moved.index, 1);
    EXPECT_TRUE(std::isfinite(moved.index));
}

TEST(Stability, Levels) {
    const double p[] = {500000, 300000, 200000}, q[] = {400000, 350000, 250000};
    const double expected = (0.4 - 0.5) * std::log(0.4 / 0.5) + 0.05 * std::log(0.35 / 0.3) +
                            0.05 * std::log(0.25 / 0.2);
    EXPECT_NEAR(core::level_stability(p, q, 3).index, expected, 1e-6);
    EXPECT_NEAR(core::level_stability(p, p, 3).index, 0, 1e-15);
    // A level that training did not have.
    const double old_levels[] = {50, 50, 0}, new_level[] = {20, 20, 60};
    EXPECT_GT(core::level_stability(old_levels, new_level, 3).index, 1);
    // 99 % quantiles of chi square, from tables: 4 and 9 degrees of freedom.
    const double flat[10] = {1e6, 1e6, 1e6, 1e6, 1e6, 1e6, 1e6, 1e6, 1e6, 1e6};
    EXPECT_NEAR(core::level_stability(flat, flat, 5).noise / (2 / 5e6), 13.277, 0.05);
    EXPECT_NEAR(core::level_stability(flat, flat, 10).noise / (2 / 1e7), 21.666, 0.05);
}

// Of samples of one population about one in a hundred exceeds the noise.
TEST(Stability, NoiseIsWhatChanceGives) {
    std::mt19937_64 g(77);
    std::normal_distribution<double> normal(3, 5);
    std::uniform_int_distribution<int> level(0, 3);
    const int trials = 4000;
    for (const int n : {20, 60}) {
        int numbers = 0, levels = 0;
        for (int t = 0; t < trials; ++t) {
            const auto sample = [&](int rows) {
                double sum = 0, square = 0;
                for (int i = 0; i < rows; ++i) {
                    const double x = normal(g);
                    sum += x;
                    square += x * x;
                }
                const double mean = sum / rows;
                return Sample{double(rows), mean, std::sqrt(square / rows - mean * mean)};
            };
            const Stability s = core::normal_stability(sample(300), sample(n));
            numbers += s.index > s.noise ? 1 : 0;
            double p[4] = {}, q[4] = {};
            for (int i = 0; i < 300; ++i) p[level(g)]++;
            for (int i = 0; i < n; ++i) q[level(g)]++;
            const Stability l = core::level_stability(p, q, 4);
            levels += l.index > l.noise ? 1 : 0;
        }
        EXPECT_LT(numbers, trials * 3 / 100);
        EXPECT_LT(levels, trials * 3 / 100);
        EXPECT_GT(numbers, 0);
        EXPECT_GT(levels, 0);
    }
}

}  // namespace
}  // namespace many::test
