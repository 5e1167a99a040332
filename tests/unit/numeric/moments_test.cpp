// Streaming moments: exact sums, and results that do not depend on the order of rows and partials.
#include "core/numeric/moments.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "unit/exact.h"

namespace many::test {
namespace {

using core::MomentLayout;

Matrix random_rows(std::size_t n, std::size_t d, double offset, std::uint64_t seed,
                   bool wild = false) {
    std::mt19937_64 g(seed);
    std::normal_distribution<double> normal;
    Matrix rows(n, std::vector<double>(d));
    for (auto& row : rows) {
        for (std::size_t j = 0; j < d; ++j) {
            const double scale = wild ? std::pow(10.0, static_cast<double>(j % 17) - 8) : 1.0;
            row[j] = offset + normal(g) * scale;
        }
    }
    return rows;
}

TEST(MomentLayout, RowsArePaddedAndDisjoint) {
    for (int d = 1; d < 40; ++d) {
        const MomentLayout layout(d);
        std::size_t expected = 0;
        for (int i = 0; i <= layout.q(); ++i) {
            EXPECT_EQ(layout.row(i), expected) << d << ' ' << i;
            expected += static_cast<std::size_t>((layout.q() - i + 3) / 4 * 4);
        }
        EXPECT_EQ(layout.slots(), layout.row(layout.q()));
    }
}

TEST(Moments, SumsAreExactTo140Bits) {
    for (const std::size_t d : {1U, 2U, 3U, 4U, 7U, 8U, 9U, 12U, 21U}) {
        const Matrix rows = random_rows(301, d, 1e6, d);
        const MomentLayout layout(static_cast<int>(d));
        const std::vector<double> m = moments_of(rows);
        EXPECT_EQ(core::moments_count(m.data()), 301);
        for (int i = 0; i < layout.q(); ++i) {
            for (int j = i; j < layout.q(); ++j) {
                Exact sum = 0, size = 0;
                for (const auto& row : rows) {
                    const Exact a = i == 0 ? 1.0 : row[static_cast<std::size_t>(i) - 1];
                    const Exact b = j == 0 ? 1.0 : row[static_cast<std::size_t>(j) - 1];
                    sum += a * b;
                    size += abs(a * b);
                }
                const std::size_t s = layout.slot(i, j);
                const Exact got =
                    Exact(m[s]) + Exact(m[layout.slots() + s]) + Exact(m[2 * layout.slots() + s]);
                EXPECT_LE(abs(got - sum), size * pow(Exact(2), -140)) << d << ' ' << i << ' ' << j;
            }
        }
    }
}

TEST(Moments, PaddingStaysZeroAndBlocksDoNotMatter) {
    for (const std::size_t d : {1U, 3U, 5U, 9U, 10U, 30U}) {
        const Matrix rows = random_rows(200, d, 3, d);
        const MomentLayout layout(static_cast<int>(d));
        const std::vector<double> one_by_one = moments_of(rows);
        const std::size_t stride = d + 2;
        std::vector<double> flat(rows.size() * stride, 12345.0);
        for (std::size_t r = 0; r < rows.size(); ++r) {
            std::copy(rows[r].begin(), rows[r].end(), flat.begin() + std::ptrdiff_t(r * stride));
        }
        std::vector<double> at_once(layout.doubles(), 0.0);
        core::moments_add_rows(at_once.data(), layout, flat.data(), rows.size(), stride);
        EXPECT_EQ(std::memcmp(one_by_one.data(), at_once.data(), layout.bytes()), 0) << d;
        for (int i = 0; i < layout.q(); ++i) {
            const std::size_t used = layout.slot(i, layout.q() - 1);
            for (std::size_t s = used + 1; s < layout.row(i + 1); ++s) EXPECT_EQ(at_once[s], 0);
        }
    }
}

// Rows in random order, dealt to random partials that are merged in random order.
std::vector<double> shuffled_moments(const Matrix& rows, std::mt19937_64& g) {
    const MomentLayout layout(static_cast<int>(rows[0].size()));
    std::vector<std::size_t> order(rows.size());
    std::iota(order.begin(), order.end(), 0U);
    std::shuffle(order.begin(), order.end(), g);
    std::vector<std::vector<double>> partials(1 + g() % 9,
                                              std::vector<double>(layout.doubles(), 0.0));
    for (const std::size_t r : order) {
        core::moments_add_rows(partials[g() % partials.size()].data(), layout, rows[r].data(), 1,
                               rows[r].size());
    }
    while (partials.size() > 1) {
        std::swap(partials[g() % partials.size()], partials.back());
        core::moments_merge(partials[g() % (partials.size() - 1)].data(), partials.back().data(),
                            layout);
        partials.pop_back();
    }
    return partials[0];
}

void expect_same_bits(const core::LinearFit& a, const core::LinearFit& b) {
    const auto same = [](const std::vector<double>& x, const std::vector<double>& y) {
        return x.size() == y.size() && std::memcmp(x.data(), y.data(), 8 * x.size()) == 0;
    };
    EXPECT_TRUE(same(a.coefficient, b.coefficient));
    EXPECT_TRUE(same(a.std_error, b.std_error));
    EXPECT_TRUE(same(a.mean, b.mean));
    EXPECT_TRUE(same(a.inverse_factor, b.inverse_factor));
    EXPECT_EQ(a.intercept, b.intercept);
    EXPECT_EQ(a.intercept_std_error, b.intercept_std_error);
    EXPECT_EQ(a.rss, b.rss);
    EXPECT_EQ(a.tss, b.tss);
    EXPECT_EQ(a.sigma, b.sigma);
    EXPECT_EQ(a.condition_number, b.condition_number);
}

TEST(Moments, FitsDoNotDependOnTheOrder) {
    std::mt19937_64 g(11);
    struct Case {
        double offset;
        bool wild;
    };
    for (const Case c : {Case{0, false}, Case{1e9, false}, Case{0, true}, Case{100, true}}) {
        for (const std::size_t d : {2U, 4U, 9U}) {
            const Matrix rows = random_rows(400, d, c.offset, d + 100, c.wild);
            core::LinearSolver solver;
            core::LinearFit first;
            const std::vector<double> m = moments_of(rows);
            ASSERT_EQ(solver.fit(m.data(), int(d) - 1, {}, nullptr, 0, {}, first),
                      core::FitStatus::ok);
            for (int trial = 0; trial < 40; ++trial) {
                const std::vector<double> other = shuffled_moments(rows, g);
                core::LinearFit fit;
                ASSERT_EQ(solver.fit(other.data(), int(d) - 1, {}, nullptr, 0, {}, fit),
                          core::FitStatus::ok);
                expect_same_bits(first, fit);
            }
        }
    }
}

TEST(Moments, SubtractingUndoesMerging) {
    const Matrix rows = random_rows(300, 5, 1e5, 3);
    const MomentLayout layout(5);
    const Matrix head(rows.begin(), rows.begin() + 200), tail(rows.begin() + 200, rows.end());
    std::vector<double> m = moments_of(rows);
    const std::vector<double> t = moments_of(tail), h = moments_of(head);
    core::moments_subtract(m.data(), t.data(), layout);
    core::LinearSolver solver;
    core::LinearFit a, b;
    ASSERT_EQ(solver.fit(m.data(), 4, {}, nullptr, 0, {}, a), core::FitStatus::ok);
    ASSERT_EQ(solver.fit(h.data(), 4, {}, nullptr, 0, {}, b), core::FitStatus::ok);
    expect_same_bits(a, b);
}

TEST(Moments, OverflowIsSeen) {
    const MomentLayout layout(2);
    std::vector<double> m(layout.doubles(), 0.0);
    EXPECT_TRUE(core::moments_finite(m.data(), layout));
    const double row[2] = {1e200, 1};
    core::moments_add_rows(m.data(), layout, row, 1, 2);
    EXPECT_FALSE(core::moments_finite(m.data(), layout));
    core::moments_clear(m.data(), layout);
    EXPECT_TRUE(core::moments_finite(m.data(), layout));
}

}  // namespace
}  // namespace many::test
