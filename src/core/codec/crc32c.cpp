// CRC-32C (Castagnoli, reflected polynomial 0x82f63b78; RFC 3720, appendix B.4): by the CPU's own
// instruction where there is one, else eight bytes a step from tables (slicing-by-8, Kounavis &
// Berry 2005).
#include <array>
#include <cstring>

#include "core/codec/linear_model.h"
#include "core/numeric/target.h"

namespace many::core {
namespace {

using Tables = std::array<std::array<std::uint32_t, 256>, 8>;

constexpr Tables make_tables() {
    Tables t{};
    for (std::uint32_t i = 0; i < 256; ++i) {
        std::uint32_t crc = i;
        for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78U : 0U);
        t[0][i] = crc;
    }
    for (std::uint32_t i = 0; i < 256; ++i) {
        for (std::size_t k = 1; k < 8; ++k) {
            t[k][i] = (t[k - 1][i] >> 8) ^ t[0][t[k - 1][i] & 0xff];
        }
    }
    return t;
}

constexpr Tables kTables = make_tables();

std::uint32_t update_tables(std::uint32_t crc, const unsigned char* at, std::size_t n) noexcept {
    for (; n >= 8; n -= 8, at += 8) {
        const std::uint32_t low = crc ^ (std::uint32_t(at[0]) | std::uint32_t(at[1]) << 8 |
                                         std::uint32_t(at[2]) << 16 | std::uint32_t(at[3]) << 24);
        crc = kTables[7][low & 0xff] ^ kTables[6][(low >> 8) & 0xff] ^
              kTables[5][(low >> 16) & 0xff] ^ kTables[4][low >> 24] ^ kTables[3][at[4]] ^
              kTables[2][at[5]] ^ kTables[1][at[6]] ^ kTables[0][at[7]];
    }
    for (; n > 0; --n, ++at) crc = (crc >> 8) ^ kTables[0][(crc ^ *at) & 0xff];
    return crc;
}

#if MANY_X86_DISPATCH
MANY_TARGET_CRC std::uint32_t update_cpu(std::uint32_t crc, const unsigned char* at,
                                         std::size_t n) noexcept {
    std::uint64_t wide = crc;
    for (; n >= 8; n -= 8, at += 8) {
        std::uint64_t word;
        std::memcpy(&word, at, sizeof word);
        wide = __builtin_ia32_crc32di(wide, word);
    }
    crc = static_cast<std::uint32_t>(wide);
    for (; n > 0; --n, ++at) crc = __builtin_ia32_crc32qi(crc, *at);
    return crc;
}

bool has_crc() noexcept {
    __builtin_cpu_init();
    return __builtin_cpu_supports("sse4.2");
}
const bool kCrc = has_crc();
#endif

}  // namespace

std::uint32_t crc32c(const void* bytes, std::size_t length, std::uint32_t seed) noexcept {
    const auto* at = static_cast<const unsigned char*>(bytes);
#if MANY_X86_DISPATCH
    if (kCrc) return ~update_cpu(~seed, at, length);
#endif
    return ~update_tables(~seed, at, length);
}

}  // namespace many::core
