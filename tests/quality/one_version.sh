#!/usr/bin/env bash
# One version everywhere: the control file, META.json and the change log agree, and every upgrade
# script ends at a version that exists.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

version=$(sed -n "s/^default_version = '\(.*\)'/\1/p" extension/many_models.control)
[ -n "$version" ] || { echo "no default_version in extension/many_models.control"; exit 1; }
for count in 1 2; do
    meta=$(grep -oE '"version": *"[^"]+"' META.json | sed -n "${count}s/.*\"\([^\"]*\)\"$/\1/p")
    [ "$meta" = "$version" ] || { echo "META.json says $meta, the control file $version"; exit 1; }
done
grep -qF "[$version]" CHANGELOG.md || { echo "CHANGELOG.md says nothing about $version"; exit 1; }

ends=$version
for upgrade in sql/upgrades/many_models--*--*.sql; do
    [ -e "$upgrade" ] && ends+=" $(basename "$upgrade" .sql | sed 's/^many_models--\(.*\)--.*$/\1/')"
done
for upgrade in sql/upgrades/many_models--*--*.sql; do
    [ -e "$upgrade" ] || continue
    end=$(basename "$upgrade" .sql | sed 's/^.*--//')
    [[ " $ends " == *" $end "* ]] || { echo "$upgrade leads to $end, which leads nowhere"; exit 1; }
done
echo "version $version"
