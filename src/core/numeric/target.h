// Inlining and CPU dispatch for the numerical kernels.
//
// A kernel is written once, as an always_inline body, and wrapped into one function per instruction
// set; all it calls must be always_inline too, so that no copy compiled for a newer CPU is ever
// shared with code for an older one. Every operation is an IEEE operation or an explicit FMA, so
// that all wrappers return the same bits. Plain wrappers and a table of pointers rather than
// target_clones: ifuncs do not exist with musl, and run too early under sanitizers.
#pragma once

#include <cstdlib>
#include <cstring>

#define MANY_INLINE __attribute__((always_inline)) inline

#if defined(__x86_64__) && defined(__GNUC__) && !defined(MANY_NO_DISPATCH)
#define MANY_X86_DISPATCH 1
#define MANY_TARGET_FMA __attribute__((target("avx2,fma")))
#define MANY_TARGET_AVX512 __attribute__((target("avx2,fma,avx512f,avx512dq,avx512vl")))
#define MANY_TARGET_CRC __attribute__((target("sse4.2")))
#else
#define MANY_X86_DISPATCH 0
#endif

namespace many::core {

enum class CpuLevel { base, fma, avx512 };

// The best level this CPU and the operating system support; the environment variable
// MANY_MODELS_CPU = "base" or "fma" of the process lowers it (to compare, and for emulators such as
// valgrind, which do not know every encoding).
inline CpuLevel cpu_level() noexcept {
#if MANY_X86_DISPATCH
    __builtin_cpu_init();
    const char* wanted = std::getenv("MANY_MODELS_CPU");
    if (wanted != nullptr && std::strcmp(wanted, "base") == 0) return CpuLevel::base;
    const bool fma = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (wanted != nullptr && std::strcmp(wanted, "fma") == 0) {
        return fma ? CpuLevel::fma : CpuLevel::base;
    }
    if (fma && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl")) {
        return CpuLevel::avx512;
    }
    return fma ? CpuLevel::fma : CpuLevel::base;
#else
    return CpuLevel::base;
#endif
}

}  // namespace many::core
