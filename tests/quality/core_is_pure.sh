#!/usr/bin/env bash
# The core has never heard of PostgreSQL: no source of it includes a header of the server or of
# the layers above, and no object of it was compiled with the server's include path.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
cd "$root"

status=0
server='postgres|c\.h|fmgr|pg_|server/|libpq|utils/|catalog/|executor/|storage/|access/|nodes/|lib/|miscadmin'
above='wall/|pg/|engine/|registry/|serving/'
if grep -rnE "#[[:space:]]*include[[:space:]]*[\"<]($server|$above)" src/core; then
    echo "src/core includes headers that it must not know"
    status=1
fi
calls='\b(ereport|elog|palloc0?|CHECK_FOR_INTERRUPTS|abort|terminate)[[:space:]]*\('
if grep -rnE "$calls" src/core --include='*.cpp' --include='*.h' | grep -vE ":[[:space:]]*//|//.*$calls"; then
    echo "src/core calls the server, or ends the process"
    status=1
fi
commands=${MANY_BUILD_DIR:-build}/release/compile_commands.json
if [ -e "$commands" ] && grep -E '"command".*src/core/' "$commands" | grep -E 'postgresql[^ ]*/server'; then
    echo "src/core is compiled with the server's include path"
    status=1
fi
exit $status
