# shellcheck shell=bash
# Shared by the tools: packages, build, a private copy of PostgreSQL, private clusters.
#
# Nothing here installs into the machine's PostgreSQL or talks to its cluster. The server finds
# its files relative to its own binary, so a copy of the binaries beside links to the rest is an
# installation of its own: build/pg. Ours goes there. PostgreSQL refuses to run as root: then the
# server, and what starts servers, runs as an unprivileged user.
#
# Settings from the environment: PG_MAJOR (15), PG_CONFIG, MANY_NEW_PG_CONFIG (of a newer server, to
# upgrade to), MANY_BUILD_DIR (build/), MANY_JOBS, MANY_CMAKE_ARGS.

umask 022
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
PG_MAJOR=${PG_MAJOR:-15}
build=${MANY_BUILD_DIR:-$root/build}
mkdir -p "$build"
build=$(cd "$build" && pwd -P)
jobs=${MANY_JOBS:-$(nproc 2>/dev/null || echo 2)}
port=5432  # of private sockets only: no cluster of ours listens on TCP

say() { printf '== %s\n' "$*" >&2; }
die() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

# --- Packages -------------------------------------------------------------------------------------

# shellcheck disable=SC2034
build_packages=(g++ make cmake libboost-dev libgtest-dev libbenchmark-dev
    "postgresql-$PG_MAJOR" "postgresql-server-dev-$PG_MAJOR")
# shellcheck disable=SC2034
test_packages=(libipc-run-perl binutils valgrind "postgresql-$PG_MAJOR-cron"
    unixodbc odbc-postgresql libpostgresql-jdbc-java)
# Any JDK will do.
command -v javac >/dev/null || test_packages+=(default-jdk-headless)
# shellcheck disable=SC2034
lint_packages=(clang-format clang-tidy shellcheck)

# need_packages NAME...: installs those that are missing; when none is, apt is not called at all.
need_packages() {
    if ! command -v dpkg-query >/dev/null; then
        say "not a Debian machine: taking for granted what corresponds to: $*"
        return
    fi
    local name missing=() sudo=()
    for name in "$@"; do
        # shellcheck disable=SC2016
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || missing+=("$name")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || die "please install, as root: ${missing[*]}"
        sudo=(sudo)
    fi
    # A first installation of the server would also create and start a cluster, which we have no use for.
    local drop_in=/etc/postgresql-common/createcluster.d/no-main-cluster.conf
    if [[ " ${missing[*]} " == *" postgresql-$PG_MAJOR "* ]] && [ ! -e $drop_in ] &&
        [ ! -e "/etc/postgresql/$PG_MAJOR/main" ]; then
        say "writing $drop_in, so that the package makes no cluster of its own"
        "${sudo[@]}" mkdir -p "$(dirname $drop_in)"
        echo "create_main_cluster = false" | "${sudo[@]}" tee $drop_in >/dev/null
    fi
    say "installing packages: ${missing[*]}"
    "${sudo[@]}" apt-get update -qq || die "apt-get update failed"
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        "${missing[@]}" >"$build/apt.log" 2>&1 || {
        tail -n 20 "$build/apt.log" >&2
        die "apt-get install failed"
    }
}

# --- The unprivileged user ------------------------------------------------------------------------

# Not before need_packages: the server's package brings the user postgres.
find_run_user() {
    if [ "$(id -u)" -ne 0 ]; then
        run_user=$(id -un)
    elif id -u postgres >/dev/null 2>&1; then
        run_user=postgres
    else
        run_user=nobody
    fi
}

# as_user COMMAND...: runs it as the unprivileged user, in a directory that one can enter, without
# our locks.
as_user() {
    (
        cd "${private:-/}" || exit 1
        exec 8>&- 9>&-
        if [ "$(id -u)" -ne 0 ]; then exec "$@"; fi
        exec runuser -u "$run_user" -- env HOME=/nonexistent USER="$run_user" LOGNAME="$run_user" "$@"
    )
}

give_to_user() {
    if [ "$(id -u)" -eq 0 ]; then chown -R "$run_user:$(id -gn "$run_user")" "$@"; fi
}

# find_private: sets `private`, where trees and clusters live: build/, or a directory under /tmp
# (remembered in build/private) when the unprivileged user cannot reach this checkout.
find_private() {
    find_run_user
    private=$build
    if as_user test -r "$root/sources.mk" 2>/dev/null && as_user test -x "$build" 2>/dev/null; then return; fi
    private=$(cat "$build/private" 2>/dev/null || true)
    if [ ! -d "$private" ] || [ ! -O "$private" ]; then
        private=$(mktemp -d /tmp/many_models.XXXXXX)
        echo "$private" >"$build/private"
    fi
    chmod 755 "$private"
    say "user $run_user cannot reach $root; servers live in $private"
}

# --- The private PostgreSQL -----------------------------------------------------------------------

# link_entries FROM TO: TO becomes a directory of links to the entries of FROM, except ours.
link_entries() {
    mkdir -p "$2"
    find "$1" -mindepth 1 -maxdepth 1 ! -name 'many_models*' -exec ln -sfn -t "$2" {} +
}

# private_copy TREE PG_CONFIG: makes TREE, a copy of that PostgreSQL, unless it is there; sets copy_bin to
# its programs.
private_copy() {
    local tree=$1 system_config=$2
    local bin lib share libdir include server stamp
    bin=$("$system_config" --bindir)
    copy_bin=$tree$bin

    lib=$("$system_config" --pkglibdir)
    share=$("$system_config" --sharedir)
    # Packages that came later (pg_cron, languages) belong into the copy too.
    stamp=$("$bin/postgres" --version; stat -c '%n %s %Y' "$bin/postgres"; find "$lib/" "$share/extension/" | sort | cksum)
    [ "$(cat "$tree/stamp" 2>/dev/null)" != "$stamp" ] || return 0

    say "making a private copy of $("$bin/postgres" --version) in $tree"
    libdir=$("$system_config" --libdir)
    include=$("$system_config" --includedir)
    server=$("$system_config" --includedir-server)
    rm -rf "$tree"
    mkdir -p "$tree$bin" "$tree$libdir" "$(dirname "$tree$include")"
    cp -L "$bin"/* "$tree$bin/"
    link_entries "$lib" "$tree$lib"
    link_entries "$share" "$tree$share"
    rm "$tree$share/extension"
    link_entries "$share/extension" "$tree$share/extension"
    find "$libdir" -maxdepth 1 \( -name 'libpq*' -o -name 'libpg*' -o -name 'libecpg*' \) \
        -exec ln -sfn -t "$tree$libdir" {} +
    ln -sfn "$include" "$tree$include"
    if [ ! -e "$tree$server" ]; then
        mkdir -p "$(dirname "$tree$server")"
        ln -sfn "$server" "$tree$server"
    fi
    if [ "$("$copy_bin/pg_config" --pkglibdir) $("$copy_bin/pg_config" --sharedir)" != "$tree$lib $tree$share" ]; then
        die "the private copy in $tree does not find its own files; is this PostgreSQL relocatable?"
    fi
    echo "$stamp" >"$tree/stamp"
}

# private_tree: makes $private/pg unless it is there; sets pg_config and pg_bin to the private ones.
private_tree() {
    find_private
    local system_config=${PG_CONFIG:-/usr/lib/postgresql/$PG_MAJOR/bin/pg_config}
    [ -x "$system_config" ] || system_config=$(command -v pg_config) || die "no pg_config; set PG_CONFIG"
    private_copy "$private/pg" "$system_config"
    pg_bin=$copy_bin
    pg_config=$pg_bin/pg_config
}

# --- Build ----------------------------------------------------------------------------------------

# take_lock NAME: waits until no other tool holds the lock of that name in this checkout: `build`
# (one tool builds and installs at a time) or `test` (one tool tests at a time). Released by
# release_lock, or at the end.
take_lock() {
    local fd
    case $1 in
    test) fd=8 && exec 8>"$build/test.lock" ;;
    build) fd=9 && exec 9>"$build/build.lock" ;;
    esac
    if ! flock -n "$fd"; then
        say "waiting for another run of the tools, which holds $build/$1.lock"
        flock "$fd"
    fi
}
release_lock() {
    case $1 in
    test) exec 8>&- ;;
    build) exec 9>&- ;;
    esac
}

# build_with DIRECTORY CMAKE-ARGUMENT...: configures and builds $build_target; prints the log only when
# that fails.
build_target=all
build_with() {
    local directory=$1 log=$1/build.log
    shift
    mkdir -p "$directory"
    # shellcheck disable=SC2086
    if ! { cmake -S "$root" -B "$directory" "$@" ${MANY_CMAKE_ARGS:-} &&
        cmake --build "$directory" -j "$jobs" --target $build_target; } >"$log" 2>&1; then
        grep -nE 'error|Error|\*\*\*' -A 6 "$log" | head -n 80 >&2 || true
        say "the build failed; all of it: $log"
        return 1
    fi
    # Warnings are shown, not hidden by the success.
    grep -E -A 3 '^CMake Warning|[0-9]: warning:' "$log" >&2 || true
}

# build_and_install [TARGETS]: builds all, or these targets, in build/release and installs into the private tree.
build_and_install() {
    build_target=${1:-all}
    take_lock build
    private_tree
    build_with "$build/release" "-DPG_CONFIG=$pg_config" || exit 1
    cmake --install "$build/release" >>"$build/release/build.log" || exit 1
    release_lock build
    build_target=all
}

# build_newer: the same for the PostgreSQL that MANY_NEW_PG_CONFIG names, in build/newer and $private/newer:
# the target of the upgrade tests. Sets newer_bin to its programs; to nothing when none is named.
build_newer() {
    newer_bin=
    [ -n "${MANY_NEW_PG_CONFIG:-}" ] || return 0
    [ -x "$MANY_NEW_PG_CONFIG" ] || die "MANY_NEW_PG_CONFIG is not a program: $MANY_NEW_PG_CONFIG"
    take_lock build
    private_copy "$private/newer" "$MANY_NEW_PG_CONFIG"
    build_with "$build/newer" "-DPG_CONFIG=$copy_bin/pg_config" -DMANY_TESTS=OFF || exit 1
    cmake --install "$build/newer" >>"$build/newer/build.log" || exit 1
    release_lock build
    # shellcheck disable=SC2034
    newer_bin=$copy_bin
}

module_is_built() { [ -e "$("$pg_config" --pkglibdir)/many_models.so" ]; }

# --- Private clusters -----------------------------------------------------------------------------

# use_cluster NAME: the functions below, and psql_private, then mean the cluster in $private/NAME.
use_cluster() {
    cluster=$private/$1
    cluster_log=$cluster/log
    mkdir -p "$cluster"
    socket=$cluster/socket
    if [ "${#socket}" -gt 90 ]; then  # the kernel's limit is 107 with the file's name
        socket=$(cat "$cluster/socket_path" 2>/dev/null || true)
        if [ ! -d "$socket" ]; then
            socket=$(mktemp -d /tmp/many_models.XXXXXX)
            echo "$socket" >"$cluster/socket_path"
        fi
    fi
    mkdir -p "$socket"
    chmod 755 "$socket"
    give_to_user "$cluster" "$socket"
}

cluster_runs() { as_user "$pg_bin/pg_ctl" status -D "$cluster/data" >/dev/null 2>&1; }

# start_cluster [FILE]: starts it, made first if need be, with the settings of FILE besides the
# basic ones.
start_cluster() {
    local major
    major=$("$pg_bin/postgres" --version | grep -oE '[0-9]+' | head -n 1)
    if [ "$(cat "$cluster/data/PG_VERSION" 2>/dev/null)" != "$major" ]; then
        rm -rf "$cluster/data"
        as_user "$pg_bin/initdb" -D "$cluster/data" -U postgres --auth=trust --encoding=UTF8 --no-locale \
            --no-sync >"$cluster/initdb.log" 2>&1 || {
            cat "$cluster/initdb.log" >&2
            die "initdb failed"
        }
        as_user sh -c "echo \"include = 'private.conf'\" >>'$cluster/data/postgresql.conf'"
    fi
    {
        echo "listen_addresses = ''"
        echo "port = $port"
        echo "unix_socket_directories = '$socket'"
        echo "max_worker_processes = 16"
        echo "max_parallel_workers = 8"
        echo "log_line_prefix = '%m [%p] %q%a '"
        if [ $# -gt 0 ]; then cat "$1"; fi
    } >"$cluster/private.conf.new"
    mv "$cluster/private.conf.new" "$cluster/data/private.conf"
    give_to_user "$cluster/data/private.conf"
    as_user "$pg_bin/pg_ctl" start -w -t 60 -s -D "$cluster/data" -l "$cluster_log" || {
        tail -n 30 "$cluster_log" >&2
        die "the private server did not start"
    }
}

# stop_cluster: stops it if it runs.
stop_cluster() {
    if cluster_runs; then
        as_user "$pg_bin/pg_ctl" stop -w -t 60 -s -m fast -D "$cluster/data"
    fi
}

# psql_private ARGUMENT...: psql as the superuser of the private cluster, whoever calls.
psql_private() {
    PGHOST=$socket PGPORT=$port PGUSER=postgres PGDATABASE=${PGDATABASE:-postgres} "$pg_bin/psql" "$@"
}
