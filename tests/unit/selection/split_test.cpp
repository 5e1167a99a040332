// The hash by which a refresh tells rows apart: every bit of every value counts, and its place.
#include "core/selection/split.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <set>
#include <vector>

namespace many::test {
namespace {

std::uint64_t hash_of(const std::vector<double>& row) {
    return core::bitwise_row_hash(row.data(), row.size());
}

TEST(BitwiseRowHash, TellsWhatArithmeticDoesNot) {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const double other_nan = std::bit_cast<double>(std::bit_cast<std::uint64_t>(nan) ^ 5);
    const double infinity = std::numeric_limits<double>::infinity();
    std::set<std::uint64_t> seen;
    for (const double v : {0.0, -0.0, nan, other_nan, -nan, infinity, -infinity, 1.0,
                           std::nextafter(1.0, 2.0), 5e-324})
        EXPECT_TRUE(seen.insert(hash_of({3, v, 7})).second) << v;
    EXPECT_EQ(hash_of({3, other_nan, 7}), hash_of({3, other_nan, 7}));
}

TEST(BitwiseRowHash, TellsTheOrderAndTheNumberOfValues) {
    std::set<std::uint64_t> seen;
    for (const std::vector<double>& row : {std::vector<double>{1, 2, 3},
                                           {2, 1, 3},
                                           {1, 3, 2},
                                           {3, 2, 1},
                                           {1, 2},
                                           {1, 2, 3, 0},
                                           {1},
                                           {}})
        EXPECT_TRUE(seen.insert(hash_of(row)).second);
}

TEST(BitwiseRowHash, EveryBitChangesTheHash) {
    std::mt19937_64 g(7);
    std::vector<double> row(9);
    for (double& v : row) v = std::bit_cast<double>(g());
    std::set<std::uint64_t> seen{hash_of(row)};
    for (double& v : row) {
        for (int bit = 0; bit < 64; ++bit) {
            const double before = v;
            v = std::bit_cast<double>(std::bit_cast<std::uint64_t>(v) ^ (std::uint64_t{1} << bit));
            EXPECT_TRUE(seen.insert(hash_of(row)).second);
            v = before;
        }
    }
}

// Rows of many values: each and its place count as well.
TEST(BitwiseRowHash, LongRows) {
    for (const std::size_t d : {127, 128, 129, 255, 256, 257, 1000}) {
        std::vector<double> row(d);
        for (std::size_t i = 0; i < d; ++i) row[i] = double(i % 7);
        std::set<std::uint64_t> seen{hash_of(row)};
        for (std::size_t i = 0; i < d; ++i) {
            row[i] += 100;
            EXPECT_TRUE(seen.insert(hash_of(row)).second) << d << " " << i;
            row[i] -= 100;
        }
        row.push_back(0);
        EXPECT_TRUE(seen.insert(hash_of(row)).second) << d;
    }
}

// Small integers, as tables have them: their hashes must not meet, nor their sums over rows.
TEST(BitwiseRowHash, SmallIntegersDoNotCollide) {
    std::set<std::uint64_t> seen;
    for (int a = 0; a < 100; ++a)
        for (int b = 0; b < 100; ++b)
            for (int c = 0; c < 10; ++c)
                EXPECT_TRUE(seen.insert(hash_of({double(a), double(b), double(c)})).second);
    std::set<std::uint64_t> sums;
    for (int a = 0; a < 300; ++a)
        for (int b = 0; b <= a; ++b)
            EXPECT_TRUE(sums.insert(hash_of({double(a), 1}) + hash_of({double(b), 1})).second);
}

}  // namespace
}  // namespace many::test
