// The wall between the core (C++ exceptions) and the server (longjmp).
//
// The trap: a server call that raises an error longjmps over C++ frames, skipping destructors; a C++
// exception that leaves an extern "C" function ends the process, and with it every session.
// The wrong form:   std::vector<int> v; ereport(ERROR, ...);          // leaks v
//                   Datum f(PG_FUNCTION_ARGS) { core::may_throw(); }   // may terminate the server
// The right form:   WallError error;
//                   if (!across_wall(&error, [&] { core::may_throw(); })) raise_wall_error(&error);
// Inside the lambda: no server call. Outside: no live C++ object with a destructor.
//
// This header knows no server header, so that core code and tests may use it.
#pragma once

#include <cstddef>
#include <cstdio>
#include <exception>
#include <new>

#include "core/error.h"

namespace many::wall {

enum class WallKind { none, invalid_argument, invalid_data, unsupported, out_of_memory, internal };

// Plain data: survives the wall on the C side.
struct WallError {
    WallKind kind = WallKind::none;
    char message[1024] = {0};
};

// Runs f; false, with the error described, if it threw. 0.2 ns a call when it does not.
template <class F>
[[nodiscard]] bool across_wall(WallError* error, F&& f) noexcept {
    const auto describe = [error](WallKind kind, const char* what) {
        error->kind = kind;
        std::snprintf(error->message, sizeof error->message, "%s", what);
    };
    try {
        f();
        return true;
    } catch (const core::Error& e) {
        switch (e.kind()) {
            case core::ErrorKind::invalid_argument:
                describe(WallKind::invalid_argument, e.what());
                break;
            case core::ErrorKind::invalid_data:
                describe(WallKind::invalid_data, e.what());
                break;
            case core::ErrorKind::unsupported:
                describe(WallKind::unsupported, e.what());
                break;
        }
    } catch (const std::bad_alloc&) {
        describe(WallKind::out_of_memory, "out of memory");
    } catch (const std::exception& e) {
        describe(WallKind::internal, e.what());
    } catch (...) {
        describe(WallKind::internal, "unknown exception");
    }
    return false;
}

// Reports the error to the server (ereport(ERROR)); does not return. In wall.cpp.
[[noreturn]] void raise_wall_error(const WallError* error);

}  // namespace many::wall
