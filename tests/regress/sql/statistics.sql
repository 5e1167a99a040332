-- What runs used, counters per model set, the event function.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE SCHEMA test_statistics;
SET search_path = test_statistics, public;
CREATE TABLE t AS SELECT i % 1200 AS g, (i * 79 % 101)::float8 AS x, (i * 83 % 103)::float8 AS y, i AS id FROM generate_series(1, 60000) AS i
UNION ALL SELECT -1, 1, 1, 0 UNION ALL SELECT -2, 'NaN', i, -i FROM generate_series(1, 30) AS i;
ANALYZE t;
SELECT trained, failed, skipped FROM many_models.train_many_models('st', 't', '{g}', 'y', '{x}', workers => 1);
SELECT cpu_seconds BETWEEN 0.001 AND extract(epoch FROM elapsed) + 1 AS cpu, temp_bytes >= (details ->> 'exchanged_bytes')::bigint AS temp, temp_bytes % 8192 AS part_of_a_block,
       peak_memory_bytes = (details ->> 'peak_group_bytes')::bigint AND peak_memory_bytes > 0 AS memory, wal_bytes > 300000 AS wal
FROM many_models.runs WHERE model_set = 'st';
-- WAL is of what was written: a run that is rolled back, or one of three groups, writes less.
SELECT trained FROM many_models.train_many_models('small', 'SELECT * FROM t WHERE g BETWEEN 1 AND 3', '{g}', 'y', '{x}', workers => 1);
SELECT wal_bytes BETWEEN 1000 AND 100000 AS wal, temp_bytes < 1e6 AS temp FROM many_models.runs WHERE model_set = 'small';
-- The source query's own files count.
SET work_mem = '64kB';
SELECT trained FROM many_models.train_many_models('sorting', 'SELECT * FROM (SELECT DISTINCT ON (id) * FROM t ORDER BY id, x) AS s WHERE g BETWEEN 1 AND 3', '{g}', 'y', '{x}', workers => 1);
SELECT temp_bytes > 1e6 + (details ->> 'exchanged_bytes')::bigint AS temp FROM many_models.runs WHERE model_set = 'sorting';
RESET work_mem;
-- Workers' CPU time is in it: a source that computes, alone and with two more processes.
CREATE FUNCTION slow(x float8) RETURNS float8 LANGUAGE plpgsql STABLE PARALLEL SAFE AS
$$ DECLARE s float8 := 0; BEGIN FOR i IN 1..60 LOOP s := s + sqrt(i); END LOOP; RETURN x + 0 * s; END $$;
SET min_parallel_table_scan_size = 0; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0;
ALTER TABLE t SET (parallel_workers = 2);
SELECT workers FROM many_models.train_many_models('work', 'SELECT g, slow(x) AS x, y, id FROM t', '{g}', 'y', '{x}', workers => 1);
SELECT workers FROM many_models.train_many_models('work', workers => 3);
SELECT rows_read FROM many_models.score_many_models('work', id_columns => '{id}', workers => 1);
SELECT rows_read, workers FROM many_models.score_many_models('work', id_columns => '{id}', workers => 3, options => '{"on_existing": "replace"}');
SELECT kind, workers, round((cpu_seconds / first_value(cpu_seconds) OVER (PARTITION BY kind ORDER BY run_id))::numeric) BETWEEN 1 AND 2 AS as_much
FROM many_models.runs WHERE model_set = 'work' ORDER BY run_id;
SELECT details ? 'peak_memory_bytes' AND peak_memory_bytes BETWEEN 100000 AND 10000000 AS models, wal_bytes > 1e6 AS wal, cpu_seconds > 0.1 AS cpu
FROM many_models.runs WHERE model_set = 'work' AND kind = 'score';
SET many_models.max_workers = 3;
SELECT evaluated FROM many_models.evaluate_many_models('work', 't', period => NULL);
SELECT cpu_seconds > 0 AS cpu, wal_bytes > 100000 AS wal, temp_bytes >= 0 AS temp, workers >= 1 AS workers FROM many_models.runs WHERE model_set = 'work' AND kind = 'evaluate';
-- The setting by which workers find their counter is not a user's.
SHOW many_models.worker_counter;
CREATE ROLE mm_counter;
SET ROLE mm_counter;
SELECT error_of($$SET many_models.worker_counter = '1:1'$$);
RESET ROLE;
-- Whatever it says, it does no harm.
SET many_models.worker_counter = '12345:6789';
SELECT rows_read FROM many_models.score_many_models('work', id_columns => '{id}', workers => 3, options => '{"on_existing": "replace"}');
SELECT count(*) FROM (SELECT many_models.number_of(x) FROM t OFFSET 0) AS s;
RESET ALL;
SET client_min_messages = warning;
SET search_path = test_statistics, public;

-- Counters.
CREATE VIEW counters AS
SELECT model_set, versions, train_runs, score_runs, evaluate_runs, groups_trained, groups_failed, groups_skipped, rows_read, rows_scored, predictions, rows_evaluated
FROM many_models.stat_model_sets WHERE model_set IN ('st', 'small', 'sorting', 'work');
SELECT rows_read, failed FROM many_models.score_many_models('st', id_columns => '{id}');
SELECT version, trained FROM many_models.train_many_models('st', 'SELECT * FROM t WHERE g < 1000');
SELECT * FROM counters ORDER BY model_set COLLATE "C";
SELECT s.model_set, s.owner = current_user::regrole AS owner, s.last_trained_at = max(r.finished_at) FILTER (WHERE r.kind = 'train') AS trained_at,
       s.last_scored_at IS NOT DISTINCT FROM max(r.finished_at) FILTER (WHERE r.kind = 'score') AS scored_at,
       s.last_evaluated_at IS NOT DISTINCT FROM max(r.finished_at) FILTER (WHERE r.kind = 'evaluate') AS evaluated_at,
       abs(s.cpu_seconds - sum(r.cpu_seconds)) < 1e-9 AS cpu, s.temp_bytes = sum(r.temp_bytes) AS temp, s.wal_bytes = sum(r.wal_bytes) AS wal, s.peak_memory_bytes = max(r.peak_memory_bytes) AS memory,
       round(s.last_failed_fraction::numeric, 5) AS failed, round(s.last_without_prediction_fraction::numeric, 5) AS without_prediction
FROM many_models.stat_model_sets AS s JOIN many_models.runs AS r USING (model_set) WHERE model_set IN ('st', 'small', 'sorting', 'work') GROUP BY s.model_set, s.owner, s.last_trained_at, s.last_scored_at, s.last_evaluated_at, s.cpu_seconds, s.temp_bytes,
    s.wal_bytes, s.peak_memory_bytes, s.last_failed_fraction, s.last_without_prediction_fraction ORDER BY s.model_set COLLATE "C";
SELECT r.elapsed = s.last_train_elapsed AS train_elapsed FROM many_models.stat_model_sets AS s JOIN many_models.runs AS r USING (model_set) WHERE model_set = 'st' AND r.version = 2;
-- They go on when versions are dropped, and start anew with the set.
CREATE TABLE before AS SELECT * FROM many_models.stat_model_sets WHERE model_set = 'st';
SELECT many_models.drop_models('st', 1);
SELECT * FROM counters WHERE model_set = 'st';
SELECT many_models.drop_models('st', 2);
SELECT * FROM counters WHERE model_set = 'st';
SELECT abs(s.cpu_seconds - b.cpu_seconds) < 1e-9 AS cpu, s.temp_bytes = b.temp_bytes AS temp, s.wal_bytes = b.wal_bytes AS wal FROM many_models.stat_model_sets AS s JOIN before AS b USING (model_set);
BEGIN;
SELECT version FROM many_models.train_many_models('st');
ROLLBACK;
SELECT version, trained FROM many_models.train_many_models('st');
SELECT * FROM counters WHERE model_set = 'st';
SELECT many_models.drop_models('st');
SELECT count(*) FROM many_models.dropped_runs WHERE model_set = 'st';
SELECT version FROM many_models.train_many_models('st', 't', '{g}', 'y', '{x}');
SELECT * FROM counters WHERE model_set = 'st';
-- Others see nothing of it.
SET ROLE mm_counter;
SELECT count(*) FROM many_models.stat_model_sets;
SELECT count(*) FROM many_models.dropped_runs;
SELECT error_of($$SELECT many_models.notify_event('hello', 'st')$$);
SELECT error_of($$DELETE FROM many_models.dropped_runs$$);
RESET ROLE;

-- Events: off by default; their payload is a JSON object. tests/server listens.
SHOW many_models.notify;
SHOW many_models.notify_failed_fraction;
SELECT error_of($$SET many_models.notify_failed_fraction = 2$$);
SELECT many_models.notify_event('hello', 'st', '{"a": 1}');
SELECT error_of(s) FROM (VALUES (1, $$SELECT many_models.notify_event('hello', 'st', '[]')$$), (2, $$SELECT many_models.notify_event(repeat('x', 64), 'st')$$)) AS v (i, s) ORDER BY i;
SELECT many_models.notify_event(NULL, 'st') IS NULL AS strict;
-- A transaction that sent one cannot be prepared; without, it can.
SET many_models.notify = on;
BEGIN;
SELECT version FROM many_models.train_many_models('small');
PREPARE TRANSACTION 'many_models_test';
SET many_models.notify = off;
BEGIN;
SELECT version FROM many_models.train_many_models('small');
PREPARE TRANSACTION 'many_models_test';
ROLLBACK PREPARED 'many_models_test';

SELECT many_models.drop_models(s) > 0 AS dropped FROM unnest(ARRAY['st', 'small', 'sorting', 'work']) AS s;
DROP ROLE mm_counter;
DROP SCHEMA test_statistics CASCADE;
