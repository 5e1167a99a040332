# The one list of compiler flags; CMakeLists.txt and Makefile.pgxs both read it (name = words, one
# logical line).

# Everything. No contraction of a*b+c into an FMA by the compiler: the same bits from every build.
COMMON_FLAGS = -std=c++20 -Wall -Wextra -fPIC -ffp-contract=off -fno-math-errno -fno-semantic-interposition

# The core is linked into one module and exports nothing. GCC warns of the calling convention of vector types, which
# does not matter: the functions that have them are all inlined (numeric/lanes.h).
CORE_FLAGS = -fvisibility=hidden -Wno-psabi

# Sources with server headers: the dialect of C that these are written in. Visibility is left alone,
# as PGDLLEXPORT is empty before PostgreSQL 16: extension/exports.map says what the module exports.
MODULE_FLAGS = -fno-strict-aliasing -fwrapv -Wno-unused-parameter -Wno-register -fvisibility-inlines-hidden
MODULE_LINK_FLAGS = -Wl,-z,relro,-z,now -Wl,--as-needed
