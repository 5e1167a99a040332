# shellcheck shell=bash
# The part `serve` of bench/run: predict() from 8 connections against SELECT by primary key, and the memory
# of a session that is asked for a million models.
#
# The two scripts run in turn, three times; each run starts with new connections, whose caches are empty. What
# is reported are the medians of the three rounds, of the ratios too.
# shellcheck disable=SC2154

serve_groups=100000
serve_seconds=10

make_serve() {
    if [ "$(sql -c "SELECT to_regclass('serve') IS NOT NULL")" = t ]; then return; fi
    say "generating serve: $serve_groups groups of 15 rows"
    sql >/dev/null <<SQL
SELECT setseed(0.42);
CREATE UNLOGGED TABLE serve AS
SELECT h % 1000 AS store, h / 1000 AS product, x1, x2, x3, x4, x5, x6, x7, x8,
       10 + 2 * x1 - 3 * x2 + 0.5 * x3 + (h % 7) * x4 + x5 - x6 + 0.1 * x7 + x8 * 2 + (random() - 0.5) AS units
FROM (SELECT i % $serve_groups AS h, random() AS x1, random() AS x2, random() * 100 AS x3, random() AS x4,
             random() AS x5, random() * 10 AS x6, random() AS x7, random() AS x8
      FROM generate_series(1, 15 * $serve_groups) AS i OFFSET 0) AS r;
DROP TABLE IF EXISTS serve_lookup;
CREATE TABLE serve_lookup AS SELECT DISTINCT store, product, 1.5::float8 AS value FROM serve;
ALTER TABLE serve_lookup ADD PRIMARY KEY (store, product);
SQL
}

# What an application does: a role of its own owns the set, which is in production.
train_serve() {
    sql >/dev/null <<'SQL'
SELECT 'CREATE ROLE serving LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'serving') \gexec
SELECT many_models.grant_usage('serving');
GRANT SELECT ON serve, serve_lookup TO serving;
SET ROLE serving;
SELECT many_models.train_many_models('serve', 'serve', '{store,product}', 'units', '{x1,x2,x3,x4,x5,x6,x7,x8}', options => '{"holdout": {"rows": 0}}');
SELECT many_models.promote_models('serve');
RESET ROLE;
VACUUM ANALYZE;
CHECKPOINT;
SQL
}

serve_scripts() { # folder, expression of the group
    printf '%s\n' "\\set g $2" '\set s :g % 1000' '\set p :g / 1000' >"$1/keys"
    { cat "$1/keys"; cat <<'SQL'; } >"$1/predict.sql"
SELECT many_models.predict('serve', jsonb_build_object('store', :s::int, 'product', :p::int), '{"x1":0.1,"x2":0.2,"x3":30,"x4":0.4,"x5":0.5,"x6":6,"x7":0.7,"x8":0.8}');
SQL
    { cat "$1/keys"; echo 'SELECT value FROM serve_lookup WHERE store = :s AND product = :p;'; } >"$1/lookup.sql"
}

# Transactions per second, 50th and 99th percentile of their latency in microseconds, largest sum of the
# connections' memory of their own in MB.
serve_run() { # folder script
    local postmaster pid now peak=0 client
    postmaster=$(head -n 1 "$cluster/data/postmaster.pid")
    rm -f "$1"/log.*
    as_user "$pg_bin/pgbench" -h "$socket" -p "$port" -U serving -n -M prepared -c 8 -j 2 -T $serve_seconds \
        -l --log-prefix="$1/log" -f "$1/$2.sql" bench >"$1/out" 2>/dev/null &
    client=$!
    while kill -0 $client 2>/dev/null; do
        now=0
        for pid in $(pgrep -P "$postmaster" -f 'serving bench'); do
            now=$((now + $(awk '/^RssAnon/ { s += $2 } END { print s + 0 }' "/proc/$pid/status" 2>/dev/null || echo 0)))
        done
        [ "$now" -gt "$peak" ] && peak=$now
        sleep 0.5
    done
    wait $client
    printf '%s %s %s\n' "$(sed -n 's/^tps = \([0-9]*\).*/\1/p' "$1/out")" \
        "$(cut -d ' ' -f 3 "$1"/log.* | sort -n | awk '{ t[NR] = $1 } END { print t[int(NR / 2)], t[int(NR * 0.99)] }')" $((peak / 1024))
}

median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

column_median() { # rows of numbers, number of the column
    cut -d ' ' -f "$2" <<<"${1%$'\n'}" | median
}

serve_compare() { # folder, expression of the group, its name, goals of both ratios
    local ours theirs ours_all="" theirs_all="" ratios=""
    serve_scripts "$1" "$2"
    for _ in 1 2 3; do
        read -r -a theirs < <(serve_run "$1" lookup)
        read -r -a ours < <(serve_run "$1" predict)
        ours_all+="${ours[*]}"$'\n'
        theirs_all+="${theirs[*]}"$'\n'
        ratios+="$(ratio "${ours[0]}" "${theirs[0]}") $(ratio "${ours[2]}" "${theirs[2]}")"$'\n'
        say "serve, keys $3: predict ${ours[*]}; select ${theirs[*]} (tps, median and 99th percentile in us, MB)"
    done
    report "predict(), 8 connections, $serve_groups models, keys $3, against SELECT by primary key" \
        "$(column_median "$ours_all" 1) tps, $(column_median "$ours_all" 4) MB in 8 sessions; $(column_median "$theirs_all" 1) tps" \
        "$(column_median "$ratios" 1) x" "$4"
    report "99th percentile of the latency (median $(column_median "$ours_all" 2) and $(column_median "$theirs_all" 2) us)" \
        "$(column_median "$ours_all" 3) us; $(column_median "$theirs_all" 3) us" "$(column_median "$ratios" 2) x" "$5"
}

# Growth in MB of what a session has of its own while it is asked for all models of a set, in random order.
serve_growth() { # cache
    local before after pid
    exec 5> >(sql -q >"$folder/growth" 2>&1)
    local client=$!
    printf '%s\n' "SET jit = off; SET many_models.model_cache_size = '$1'; SELECT pg_backend_pid();" \
        "SELECT count(many_models.predict('serve_million', k, '{\"x\": 1}')) FROM (SELECT k FROM serve_asked LIMIT 100) AS a;" >&5
    while [ "$(wc -l <"$folder/growth")" -lt 2 ]; do sleep 0.1; done
    pid=$(head -n 1 "$folder/growth")
    before=$(awk '/^RssAnon/ { print $2 }' "/proc/$pid/status")
    echo "SELECT count(many_models.predict('serve_million', k, '{\"x\": 1}')) FROM serve_asked;" >&5
    while [ "$(wc -l <"$folder/growth")" -lt 3 ]; do sleep 0.1; done
    after=$(awk '/^RssAnon/ { print $2 }' "/proc/$pid/status")
    exec 5>&-
    wait $client || true
    [ "$(tail -n 1 "$folder/growth")" = 1000000 ] || die "serve: $(cat "$folder/growth")"
    ratio $((after - before)) 1024
}

serve_memory() {
    local mb
    sql >/dev/null <<'SQL'
CREATE UNLOGGED TABLE IF NOT EXISTS serve_million AS
SELECT g, x, g % 100 + x * (g % 7) + x * 7 % 3 AS y FROM generate_series(1, 1000000) AS g, generate_series(1, 4) AS x;
CREATE UNLOGGED TABLE IF NOT EXISTS serve_asked AS
SELECT jsonb_build_object('g', g) AS k FROM generate_series(1, 1000000) AS g ORDER BY hashint4(g);
VACUUM ANALYZE serve_million, serve_asked;
SELECT many_models.train_many_models('serve_million', 'serve_million', '{g}', 'y', '{x}', options => '{"holdout": {"rows": 0}}');
SQL
    mb=$(serve_growth 16MB)
    report "model_cache_size 16 MB, 1,000,000 models asked for once each in random order: growth of the session" "$mb MB" "" "<= 16 MB and a few"
}

bench_serve() {
    folder=$(mktemp -d)
    chmod 777 "$folder"
    make_serve
    train_serve
    serve_compare "$folder" "permute(random_zipfian(1, $serve_groups, 1.1) - 1, $serve_groups)" "zipf (1.1)" ">= 0.8" "<= 2"
    serve_compare "$folder" "random(0, $serve_groups - 1)" "uniform" "" ""
    {
        bench_settings
        echo "shared_preload_libraries = 'many_models'"
        echo "many_models.shared_cache_size = 256MB"
        echo "many_models.model_cache_size = 1MB"
    } >"$cluster/settings.preload"
    stop_cluster
    start_cluster "$cluster/settings.preload"
    serve_compare "$folder" "permute(random_zipfian(1, $serve_groups, 1.1) - 1, $serve_groups)" "zipf (1.1), with a shared cache (sessions 1 MB)" ">= 0.8" "<= 2"
    serve_compare "$folder" "random(0, $serve_groups - 1)" "uniform, with a shared cache" "" ""
    stop_cluster
    start_cluster "$cluster/settings"
    serve_memory
    rm -r "$folder"
}
