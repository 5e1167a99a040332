#!/usr/bin/env bash
# What differs between versions of the server is wrapped in pg/compat.h: no other source tests the version, or calls
# by itself what compat.h wraps, which would compile with one version only, or with servers without assertions only.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
cd "$root"

wrapped='PG_VERSION_NUM|stringToQualifiedNameList|textToQualifiedNameList|object_(aclcheck|ownercheck)'
wrapped+='|pg_(namespace|proc|type|database|tablespace|language)_aclcheck|pg_[a-z]+_ownercheck'
wrapped+='|check_is_member_of_role|check_can_set_role|(MyProc|proc)->(vxid\.)?lxid|get_guc_variables|GetNumConfigOptions|pg_b64_[a-z]+'
wrapped+='|(raw_)?expression_tree_(walker|mutator)|BGWORKER_BYPASS_ROLELOGINCHECK|index_beginscan'
if grep -rnE "\b($wrapped)\b" src --include='*.cpp' --include='*.h' | grep -vE '^src/pg/compat\.h:|:[[:space:]]*//'; then
    echo "only src/pg/compat.h may name these"
    exit 1
fi
# linitial_node and castNode assert a node's tag, and a plan source has none: a server with assertions has no name for it.
if grep -rnE '[Nn]ode\(CachedPlan' src --include='*.cpp' --include='*.h'; then
    echo "a plan source is no node"
    exit 1
fi
