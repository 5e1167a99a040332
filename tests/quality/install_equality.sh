#!/usr/bin/env bash
# Both builds, CMake and Makefile.pgxs, install the same files: the same paths and modes, the same
# SQL byte for byte, and modules that export the same symbols. These do not depend on optimisation, which takes most of
# the time: the second build has none.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
build=${MANY_BUILD_DIR:-$root/build}
pg_config=${PG_CONFIG:-pg_config}
work=$build/install_equality
mkdir -p "$work/pgxs"
rm -rf "$work/by_cmake" "$work/by_pgxs"

DESTDIR=$work/by_cmake cmake --install "$build/release" >"$work/cmake.log"
make -C "$work/pgxs" -f "$root/Makefile.pgxs" -j "${MANY_JOBS:-$(nproc)}" PG_CONFIG="$pg_config" \
    PG_CXXFLAGS='-O0 -g0 -Wno-cpp' DESTDIR="$work/by_pgxs" install >"$work/pgxs.log" 2>&1 || { tail -n 30 "$work/pgxs.log"; exit 1; }

files() { (cd "$1" && find . -type f -printf '%p %m\n' | sort); }
diff <(files "$work/by_cmake") <(files "$work/by_pgxs")

for file in $(cd "$work/by_cmake" && find . -type f ! -name '*.so'); do
    cmp "$work/by_cmake/$file" "$work/by_pgxs/$file"
done

modules=$(find "$work/by_cmake" "$work/by_pgxs" -name many_models.so)
# shellcheck disable=SC2086
"$root/tests/quality/exports.sh" $modules
symbols() { nm -D --defined-only "$(find "$1" -name many_models.so)" | awk '{ print $NF }' | sort; }
diff <(symbols "$work/by_cmake") <(symbols "$work/by_pgxs")
echo "$(files "$work/by_cmake" | wc -l) files, the same from both"
