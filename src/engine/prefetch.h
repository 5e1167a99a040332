// Memory that will be needed soon, fetched while there is other work.
#pragma once

namespace many::engine {

// The empty statement counts as an effect: GCC takes a function that does nothing but prefetch for
// one without effects, and drops the calls to it.
inline void prefetch_line(const void* at) {
    __builtin_prefetch(at);
    asm volatile("");
}

// The cache lines of `bytes` bytes from `at`.
inline void prefetch_bytes(const void* at, unsigned long bytes) {
    constexpr unsigned long kLine = 64;
    for (unsigned long i = 0; i < bytes; i += kLine) prefetch_line((const char*)at + i);
}

}  // namespace many::engine
