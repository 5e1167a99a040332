#!/usr/bin/env bash
# Training, scoring and predicting in a server that runs under valgrind's memcheck, workers included.
# Fails when valgrind reports an error whose stack goes through many_models.
#
# usage: valgrind.sh DIRECTORY, as an unprivileged user; PATH has the server's programs first, and the
# extension is installed there. DIRECTORY is made anew.
set -euo pipefail

directory=$1
data=$directory/data
log=$directory/server.log
socket=$(mktemp -d /tmp/many_models.XXXXXX)  # a short path: sockets' names are limited
rm -rf "$directory"
mkdir -p "$directory"

server=
finish() {
    if [ -n "$server" ] && kill -0 "$server" 2>/dev/null; then
        kill -QUIT "$server" || true
        wait "$server" || true
    fi
    rm -rf "$socket" "$data"
}
trap finish EXIT

initdb -D "$data" -U postgres -A trust -N --encoding=UTF8 --no-locale >"$directory/initdb.log"
cat >>"$data/postgresql.conf" <<CONF
listen_addresses = ''
unix_socket_directories = '$socket'
fsync = off
shared_buffers = 16MB
wal_buffers = 64kB
autovacuum = off
max_logical_replication_workers = 0
max_worker_processes = 4
min_parallel_table_scan_size = 0
parallel_setup_cost = 0
parallel_tuple_cost = 0
jit = off
shared_preload_libraries = 'many_models'
many_models.shared_cache_size = 256kB
CONF

# The server itself writes bytes to files that it never set; of its errors only ours count, see below.
# WAL records have padding that nobody sets (heap_multi_insert's, for one); whoever fills the last buffer
# writes them out, our index builds now and then.
cat >"$directory/valgrind.supp" <<'SUPPRESSION'
{
   padding_of_wal_records
   Memcheck:Param
   pwrite64(buf)
   ...
   fun:XLogInsertRecord
}
SUPPRESSION
# valgrind does not know every encoding of AVX instructions.
export MANY_MODELS_CPU=base
valgrind --quiet --leak-check=no --error-limit=no --num-callers=30 --track-origins=no --undef-value-errors=yes \
    --suppressions="$directory/valgrind.supp" --trace-children=yes --log-file="$directory/valgrind.%p.log" \
    postgres -D "$data" >"$log" 2>&1 &
server=$!
export PGHOST=$socket PGUSER=postgres PGDATABASE=postgres
for _ in $(seq 1 300); do
    if pg_isready -q; then break; fi
    kill -0 "$server" || { cat "$log"; exit 1; }
    sleep 0.1
done

psql -XqAt -v ON_ERROR_STOP=1 >"$directory/psql.log" 2>&1 <<'SQL' || { cat "$directory/psql.log"; tail "$log"; exit 1; }
SET client_min_messages = warning;
CREATE EXTENSION many_models;
CREATE TABLE t AS
SELECT CASE WHEN i % 12 > 0 THEN i % 12 END::numeric AS k, (ARRAY['Zürich', '🙂', NULL])[1 + i % 3] AS name,
       DATE '2025-01-01' + i AS day, (i * 7 % 101)::float8 AS x1, (i * 13 % 37)::float4 AS x2,
       CASE WHEN i % 17 > 0 THEN (i % 5)::numeric END AS gap, 'c' || i % 3 AS colour, i % 2 > 0 AS open,
       (i * 7 % 101 + i % 10)::float8 AS y
FROM generate_series(1, 1200) AS i;
INSERT INTO t SELECT 99, 'few', day, x1, x2, gap, colour, open, y FROM t LIMIT 2;
INSERT INTO t SELECT 98, 'bad', day, x1, x2, gap, colour, open, 'NaN'::float8 FROM t LIMIT 20;
ALTER TABLE t SET (parallel_workers = 2);
ANALYZE t;
SET many_models.memory_budget = '1MB';
-- Both exchanges, every algorithm, several processes.
SELECT trained FROM many_models.train_many_models('ols', 't', '{k,name}', 'y', '{x1,x2,gap}', workers => 3);
SELECT trained FROM many_models.train_many_models('ridge', 't', '{k}', 'y', '{x1,x2}', 'ridge', options => '{"lambda": 0.5, "cv_folds": 3}', workers => 2);
SELECT trained FROM many_models.train_many_models('lasso', 't', '{k}', 'y', '{x1,x2}', 'lasso', options => '{"lambda": "auto", "cv_folds": 3}', workers => 2);
SELECT trained FROM many_models.train_many_models('rows', 't', '{k,name}', 'y', '{x1,gap,colour,open}', 'elastic_net', 'day',
    '{"lambda": 0.1, "alpha": 0.5, "null_policy": "impute_mean", "group_options": [{"key": {"k": 3}, "options": {"lambda": 1}}]}', workers => 3);
SELECT trained FROM many_models.train_many_models('wide', 'SELECT i % 1010 AS g, i % 7 AS x, i % 11 AS y FROM generate_series(1, 5050) AS i', '{g}', 'y', '{x}');
SELECT trained FROM many_models.train_many_models('ols');
-- Refreshes: of nothing, of some groups, with groups that are new or gone; of rows that are appended, and that come late.
CREATE TABLE u AS SELECT * FROM t;
SELECT trained FROM many_models.train_many_models('fresh', 'u', '{k}', 'y', '{x1,gap}', workers => 2);
SELECT trained FROM many_models.train_many_models('fresh rows', 'u', '{k,name}', 'y', '{x1,colour}', time_column => 'day', workers => 2);
SELECT trained FROM many_models.train_many_models('appended', 'u', '{k}', 'y', '{x1,gap}', time_column => 'day', options => '{"append_only": true}', workers => 2);
SELECT s, (many_models.refresh_many_models(s, workers => 2)).status FROM unnest('{ols,fresh,fresh rows,appended}'::text[]) AS s;
UPDATE u SET x1 = x1 + 1 WHERE k = 3;
DELETE FROM u WHERE k = 4;
INSERT INTO u SELECT 50, name, day + 2000, x1, x2, gap, colour, open, y FROM u WHERE k IN (5, 6);
SELECT s, (many_models.refresh_many_models(s, workers => 2)).status FROM unnest('{fresh,fresh rows,appended}'::text[]) AS s;
INSERT INTO u SELECT * FROM u ORDER BY day DESC LIMIT 1;
SELECT s, (many_models.refresh_many_models(s, workers => 2)).status FROM unnest('{fresh,fresh rows,appended}'::text[]) AS s;
SELECT count(many_models.drop_models(s)) FROM unnest('{fresh,fresh rows,appended}'::text[]) AS s;
SELECT rows_read, failed FROM many_models.score_many_models('ols', 't', 'p');
SELECT rows_read, failed FROM many_models.score_many_models('rows', 't', 'q');
SELECT many_models.predict('ols', '{"k": 3, "name": "Zürich"}', '{"x1": 1, "x2": 2, "gap": 3}'),
       many_models.predict('rows', '{"k": null, "name": "Zürich"}', '{"x1": 1, "gap": 3, "colour": "c0", "open": false}');
SELECT * FROM many_models.predict_interval('ols', '{"k": 3, "name": "Zürich"}', '{"x1": 1, "x2": 2, "gap": 3}');
-- Out of the table, then out of shared memory that has not room for all.
SET many_models.model_cache_size = '64kB';
SELECT count(many_models.predict('wide', jsonb_build_object('g', g % 1010), '{"x": 1}')) FROM generate_series(1, 2500) AS g;
SELECT count(y) FROM unnest(many_models.predict_many('wide', (SELECT array_agg(jsonb_build_object('g', g)) FROM generate_series(1, 600) AS g),
    array_fill('{"x": 1}'::jsonb, ARRAY[600]))) AS y;
SELECT count(prediction), count(reason) FROM many_models.predict_many_interval('rows', ARRAY['{"k": null, "name": "Zürich"}', '{"k": 3, "name": "Zürich"}']::jsonb[],
    ARRAY['{"x1": 1, "gap": 3, "colour": "c0", "open": false}', '{"x1": 1, "gap": 3, "colour": "none", "open": false}']::jsonb[], 0.8);
SELECT hits > 0, evictions > 0 FROM many_models.shared_cache_statistics();
SELECT count(m) FROM (SELECT many_models.fit('{"algorithm": "ridge", "lambda": 1}', y, ARRAY[x1, x2]) AS m FROM t WHERE y < 1000 GROUP BY k) AS f;
SELECT count(*), count(rmse) FROM many_models.metrics;
SELECT count(*), count(p_value) FROM many_models.coefficients;
SELECT count(*), count(aic) FROM many_models.fit_statistics;
SELECT count(*) FROM many_models.failures;
SELECT count(model::text::many_models.model) FROM many_models.model_store;
-- Plans, evaluations, drift, events.
SET many_models.notify = on;
SELECT groups, trainable, max_levels, estimated_seconds > 0 FROM many_models.plan_training('rows', workers => 2);
SELECT groups, largest_group FROM many_models.plan_training('ols', options => '{"group_options": [{"key": {"k": 3}, "options": {"min_rows": 9}}]}');
SELECT rows_read, failed FROM many_models.score_many_models('rows', 't', 'dated', '{day,x1,y}');
SELECT groups, evaluated, without_prediction FROM many_models.evaluate_many_models('rows', 'SELECT DISTINCT ON (k, name, day, x1, y) * FROM t',
    'SELECT DISTINCT ON (k, name, day, x1, y) * FROM dated', options => '{"features": true}');
SELECT groups, evaluated FROM many_models.evaluate_many_models('rows', 'SELECT DISTINCT ON (k, name, day, x1, y) * FROM t',
    'SELECT DISTINCT ON (k, name, day, x1, y) * FROM dated', options => '{"since": "2025-02-01"}');
SELECT many_models.set_drift_threshold('rows', 2, NULL);
SELECT count(*), count(error_ratio), count(psi) FROM many_models.drift;
SELECT count(t), count((many_models.model_reference(model)).rmse) FROM many_models.model_store, many_models.model_moments(model) AS t;
SELECT (many_models.accuracy(x1, y, x1 - 1, x1 + 1)).* FROM t;
SELECT model_set, cpu_seconds > 0, predictions FROM many_models.stat_model_sets;
-- Out and in, in shared and in own partitions; damaged bytes; models as SQL; retention.
CREATE TABLE staged AS SELECT * FROM many_models.export_models('rows');
SELECT trained, failed, skipped FROM many_models.import_models('staged');
SELECT trained FROM many_models.import_models('SELECT * FROM many_models.export_models(''wide'')', 'wider');
DO $$
BEGIN
    FOR i IN 1 .. 60 LOOP
        BEGIN
            PERFORM many_models.import_models(format('SELECT line, CASE WHEN line = %s THEN overlay(part PLACING %L FROM 1 + %s %% length(part)) ELSE part END AS part FROM staged',
                1 + i % 12, substr('{"0\x]', 1 + i % 6, 1), i * 7919), 'broken');
        EXCEPTION WHEN OTHERS THEN NULL;
        END;
    END LOOP;
END $$;
SELECT count(many_models.model_sql(model_id)), sum(length(many_models.model_sql(model_id))) > 0 FROM many_models.models WHERE model_set <> 'wide';
SELECT length(many_models.model_set_sql('rows')) > 0, length(many_models.model_set_sql('ols', source => 'SELECT 1')) > 0, many_models.model_definition_sql('rows') IS NOT NULL;
SELECT many_models.set_retention('ols', 1, '1 day', '1 day'), many_models.set_retention('wider', 1);
SELECT count(*) FROM many_models.apply_retention();
-- Forecasters: methods, combinations, intervals, backtests, features to come, damaged bytes, pictures, hierarchies.
CREATE TABLE f AS SELECT g, day, 50 + g * 10 + 8 * sin(day * pi() / 3.5) + (day * g) % 7 AS y, day % 5 = 0 AS promo FROM generate_series(1, 3) AS g, generate_series(1, 56) AS day;
INSERT INTO f VALUES (4, 1, 5, false), (5, 1, 0, false), (5, 9, 3, false);
SELECT a, (many_models.train_many_models('f ' || a, 'f', '{g}', 'y', algorithm => a, time_column => 'day', options => '{"season_length": 7, "frequency": "1", "fill": "zero", "holdout": {"rows": 7}}', workers => 2)).trained
FROM unnest('{naive2,ensemble,mstl,tsb,autoregression,optimised_theta}'::text[]) AS a;
SELECT trained FROM many_models.train_many_models('f to come', 'f', '{g}', 'y', '{promo}', 'arima', 'day', '{"order": [1, 0, 0], "season_length": 1, "interval": "bootstrap", "frequency": "1", "fill": "interpolate"}');
SELECT trained FROM many_models.train_many_models('f conformal', 'f', '{g}', 'y', algorithm => 'ses', time_column => 'day', options => '{"interval": "conformal", "cv_folds": 3, "horizon": 4, "frequency": "1", "fill": "forward", "round": true}');
SELECT s, (many_models.score_many_models(s, into_table => 'fp', horizon => 9)).rows_read FROM unnest('{f naive2,f ensemble,f mstl,f tsb,f autoregression,f conformal}'::text[]) AS s;
SELECT rows_read, failed FROM many_models.score_many_models('f to come', 'SELECT g, day + 56 AS day, promo FROM f', 'fq', horizon => 9);
SELECT count(prediction), count(lower) FROM unnest('{f ensemble,f tsb,f conformal}'::text[]) AS s, many_models.forecast(s, '{"g": 2}', 5, 0.8);
SELECT count(prediction), count(reason) FROM many_models.forecast('f to come', '{"g": 1}', 3, features => '[{"promo": true}, {"promo": null}]');
SELECT groups, trained FROM many_models.backtest_many_models('f naive2', options => '{"backtest": {"folds": 3, "horizon": 4}}');
SELECT count(*), count(label) FROM many_models.forecasters;
SELECT count(*), count(estimate) FROM many_models.forecast_terms;
SELECT count(*), count(owa) FROM many_models.forecast_metrics;
INSERT INTO f SELECT g, 57, 55, false FROM generate_series(1, 3) AS g;
SELECT (many_models.refresh_many_models('f naive2', workers => 2)).status;
DO $$
DECLARE bytes text;
BEGIN
    FOR bytes IN SELECT m.model::text FROM many_models.model_store AS m JOIN many_models.runs AS r USING (run_id) WHERE r.model_set LIKE 'f %' LIMIT 12 LOOP
        FOR i IN 1 .. 20 LOOP
            BEGIN
                PERFORM count(*) FROM many_models.model_forecast(overlay(bytes PLACING substr('0f7c', 1 + i % 4, 1) FROM 3 + (i * 7919) % (length(bytes) - 2))::many_models.model, 3, 0.9, 0);
            EXCEPTION WHEN OTHERS THEN NULL;
            END;
        END LOOP;
    END LOOP;
END $$;
SELECT sum(length(many_models.plot_series(ARRAY['a', 'b', 'c', 'd', 'e'], ARRAY[1, NULL, 3], ARRAY[4, 5], ARRAY[3, 3], ARRAY[5, 7], 'x < y', form))) > 0 FROM unnest('{svg,text,ascii}'::text[]) AS form;
SELECT many_models.reconcile_std_errors('{3,4,9}', '{3,3}', '{1,2}', m, '{{1,2,3},{-1,-2,-3},{1,1,2}}'), many_models.reconcile_forecasts('{-3,4,9}', '{3,3}', '{1,2}', m, '{{1,2,3},{-1,-2,-3},{1,1,2}}', nonnegative => true) FROM unnest('{bottom_up,top_down,ols,mint}'::text[]) AS m;
SELECT count(reconciled) FROM many_models.reconcile('SELECT g, NULL::integer AS part, horizon_step, prediction FROM fp WHERE g < 3 AND run_id = (SELECT max(run_id) FROM fp) UNION ALL SELECT g, 1, horizon_step, prediction FROM fp WHERE g < 3 AND run_id = (SELECT max(run_id) FROM fp)', '{g,part}', 'horizon_step');
-- An error and a cancel in the middle.
DO $$ BEGIN PERFORM many_models.train_many_models('x', 'SELECT k, y, x1 / (i - 900) AS x FROM (SELECT *, row_number() OVER () AS i FROM t) AS s', '{k}', 'y', '{x}');
    EXCEPTION WHEN division_by_zero THEN NULL; END $$;
\set ON_ERROR_STOP 0
SET statement_timeout = '300ms';
SELECT many_models.train_many_models('x', 'SELECT k, y, x1 + n AS x FROM t, generate_series(1, 1000000) AS n', '{k}', 'y', '{x}', workers => 2);
RESET statement_timeout;
\set ON_ERROR_STOP 1
SELECT many_models.drop_models('wide'), many_models.drop_models('rows', 1);
DROP EXTENSION many_models CASCADE;
SQL
kill -INT "$server"
wait "$server" || { echo "the server ended with $?"; tail "$log"; exit 1; }
server=
expected=$(grep -c . "$directory/psql.log")
if [ "$expected" -lt 20 ] || ! grep -q 'canceling statement due to statement timeout' "$directory/psql.log"; then
    cat "$directory/psql.log"
    exit 1
fi

# Blocks of valgrind's logs are separated by a line that has the process's number only.
cat "$directory"/valgrind.*.log | awk '
    function judge() { if (block ~ /many_models\.so|[ :]many(::|_)/) { print block; n++ } block = "" }
    /^==[0-9]+== *$/ { judge(); next }
    { block = block $0 "\n" }
    END { judge(); exit n > 0 }'
