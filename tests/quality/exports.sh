#!/usr/bin/env bash
# The module exports what the server looks up by name, and nothing else: no template, no helper,
# no other library's symbol. And it lacks nothing of its own: a source missing from sources.mk would
# only show when a server loads it.
# Usage: exports.sh [MODULE.so...]
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)

[ $# -gt 0 ] || set -- "${MANY_BUILD_DIR:-$root/build}/release/many_models.so"
for module in "$@"; do
    names=$(nm -D --defined-only "$module" | awk '{ print $NF }')
    extra=$(grep -vE '^(Pg_magic_func|_PG_init|many_[a-z0-9_]+|pg_finfo_many_[a-z0-9_]+)$' <<<"$names" || true)
    if [ -n "$extra" ]; then
        printf '%s exports more than it should:\n%s\n' "$module" "$extra"
        exit 1
    fi
    for name in Pg_magic_func _PG_init; do
        grep -qx "$name" <<<"$names" || { echo "$module does not export $name"; exit 1; }
    done
    if nm -DC --undefined-only "$module" | grep 'many::'; then
        echo "$module lacks these: is a source missing from sources.mk?"
        exit 1
    fi
    # Every function has its record and every record its function.
    while read -r record; do
        grep -qx "${record#pg_finfo_}" <<<"$names" || { echo "$module: $record lacks its function"; exit 1; }
    done < <(grep '^pg_finfo_' <<<"$names")
    echo "$module exports $(wc -l <<<"$names") symbols"
done
