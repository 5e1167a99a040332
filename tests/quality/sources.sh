#!/usr/bin/env bash
# sources.mk is complete: every C++ source under src and every file of the install script is in it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

status=0
for file in $(find src -name '*.cpp') sql/*.sql; do
    if ! grep -qE "(^|[[:space:]])$file([[:space:]]|\$)" sources.mk; then
        echo "$file is not in sources.mk"
        status=1
    fi
done
exit $status
