// The extended scalars against 150-digit arithmetic.
#include "core/numeric/wide.h"

#include <gtest/gtest.h>

#include <cstring>

#include "unit/exact.h"

namespace many::test {
namespace {

using core::DoubleDouble;
using core::TripleDouble;

Exact exact(const DoubleDouble& a) {
    return Exact(a.hi) + Exact(a.lo);
}
Exact exact(const TripleDouble& a) {
    return Exact(a.hi) + Exact(a.mid) + Exact(a.lo);
}

template <class W>
struct Bits;
template <>
struct Bits<DoubleDouble> {
    static constexpr int kBits = 101;
    static DoubleDouble random(std::mt19937_64& g) {
        std::normal_distribution<double> normal;
        const double scale = std::ldexp(1.0, static_cast<int>(g() % 60) - 30);
        return DoubleDouble(normal(g) * scale) + DoubleDouble(normal(g) * scale * 0x1p-55);
    }
};
template <>
struct Bits<TripleDouble> {
    static constexpr int kBits = 150;
    static TripleDouble random(std::mt19937_64& g) {
        std::normal_distribution<double> normal;
        const double scale = std::ldexp(1.0, static_cast<int>(g() % 60) - 30);
        return TripleDouble::of(normal(g) * scale, normal(g) * scale * 0x1p-54,
                                normal(g) * scale * 0x1p-108);
    }
};

template <class W>
class Wide : public testing::Test {};
using Scalars = testing::Types<DoubleDouble, TripleDouble>;
TYPED_TEST_SUITE(Wide, Scalars);

TYPED_TEST(Wide, OperationsHaveTheirBits) {
    using W = TypeParam;
    std::mt19937_64 g(7);
    const Exact unit = pow(Exact(2), -Bits<W>::kBits);
    for (int i = 0; i < 2000; ++i) {
        const W a = Bits<W>::random(g), b = Bits<W>::random(g), c = Bits<W>::random(g);
        const Exact ea = exact(a), eb = exact(b), ec = exact(c);
        EXPECT_LE(abs(exact(a + b) - (ea + eb)), unit * (abs(ea) + abs(eb)));
        EXPECT_LE(abs(exact(a - b) - (ea - eb)), unit * (abs(ea) + abs(eb)));
        EXPECT_LE(abs(exact(a * b) - ea * eb), unit * abs(ea * eb));
        EXPECT_LE(abs(exact(a * 3.7) - ea * Exact(3.7)), unit * abs(ea) * 4);
        EXPECT_LE(abs(exact(a / b) - ea / eb), unit * abs(ea / eb));
        EXPECT_LE(abs(exact(minus_product(a, b, c)) - (ea - eb * ec)),
                  unit * (abs(ea) + abs(eb * ec)));
        const W square = a * a;
        EXPECT_LE(abs(exact(square_root(square)) - sqrt(exact(square))), unit * abs(ea));
    }
}

TYPED_TEST(Wide, RenormalisedAndRounded) {
    using W = TypeParam;
    std::mt19937_64 g(8);
    for (int i = 0; i < 2000; ++i) {
        const W a = Bits<W>::random(g) * Bits<W>::random(g) - Bits<W>::random(g);
        EXPECT_LE(abs(Exact(a.value()) - exact(a)), abs(exact(a)) * Exact(0x1.0000001p-53));
    }
}

TYPED_TEST(Wide, ReciprocalsHaveTheirBits) {
    using W = TypeParam;
    std::mt19937_64 g(9);
    const Exact unit = pow(Exact(2), -Bits<W>::kBits);
    for (int i = 0; i < 2000; ++i) {
        const W a = Bits<W>::random(g);
        EXPECT_LE(abs(exact(reciprocal(a)) * exact(a) - 1), unit);
    }
}

#if MANY_X86_DISPATCH
// All operations on four numbers at once; results of one operation after the other.
template <class T, class W>
MANY_INLINE void operate(const double* a, const double* b, const double* c, double* out) {
    using Lanes = typename W::template With<T>;
    constexpr std::size_t kPlane = 4, kSize = W::kParts * kPlane;
    for (std::size_t k = 0; k < kPlane; k += core::kLanes<T>) {
        const Lanes x = Lanes::load(a + k, kPlane), y = Lanes::load(b + k, kPlane);
        const Lanes z = Lanes::load(c + k, kPlane);
        double* at = out + k;
        for (const Lanes& r : {x + y, x - y, x * y, x / y, minus_product(x, y, z), reciprocal(x),
                               square_root(x), replace_column(x, k, 2, y)}) {
            r.store(at, kPlane);
            at += kSize;
        }
    }
}
template <class W>
MANY_TARGET_FMA void operate_on_lanes(const double* a, const double* b, const double* c,
                                      double* out) {
    operate<core::Lanes4, W>(a, b, c, out);
}

TYPED_TEST(Wide, LanesHaveTheBitsOfScalars) {
    using W = TypeParam;
    if (core::cpu_level() == core::CpuLevel::base) GTEST_SKIP() << "no AVX2";
    std::mt19937_64 g(10);
    constexpr std::size_t kSize = W::kParts * 4;
    for (int i = 0; i < 2000; ++i) {
        double a[kSize], b[kSize], c[kSize], lanes[8 * kSize] = {}, scalars[8 * kSize] = {};
        for (std::size_t k = 0; k < 4; ++k) {
            Bits<W>::random(g).store(a + k, 4);
            Bits<W>::random(g).store(b + k, 4);
            Bits<W>::random(g).store(c + k, 4);
        }
        operate<double, W>(a, b, c, scalars);
        operate_on_lanes<W>(a, b, c, lanes);
        ASSERT_EQ(std::memcmp(lanes, scalars, sizeof lanes), 0);
    }
}
#endif

TYPED_TEST(Wide, RootOfNothing) {
    EXPECT_EQ(square_root(TypeParam(0.0)).value(), 0);
    EXPECT_EQ(square_root(TypeParam(-1e-30)).value(), 0);
}

}  // namespace
}  // namespace many::test
