-- Settings of the session that decide who works: the same models, and what is said.
CREATE FUNCTION bits(model_set text) RETURNS text LANGUAGE sql AS $$
    SELECT md5(string_agg(m.partition_key || m.model::text, ' ' ORDER BY m.partition_key)) FROM many_models.model_store AS m
    JOIN many_models.runs AS r USING (run_id) WHERE r.model_set = bits.model_set GROUP BY run_id ORDER BY run_id DESC LIMIT 1 $$;
CREATE TABLE many_rows AS SELECT i % 500 AS g, (i * 7 % 101)::float8 AS x, (i * 13 % 37)::float8 AS y FROM generate_series(1, 100000) AS i;
ALTER TABLE many_rows SET (parallel_workers = 3);
ANALYZE many_rows;
SET min_parallel_table_scan_size = 0;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SELECT trained, workers FROM many_models.train_many_models('settings', 'many_rows', '{g}', 'y', '{x}',
    options => '{"holdout": {"fraction": 0.9}}', workers => 1);
SELECT bits('settings') AS expected \gset
-- Workers asked for and none to be had: said once.
SET max_parallel_workers = 0;
SELECT trained, workers FROM many_models.train_many_models('settings', workers => 4);
SELECT bits('settings') = :'expected' AS same;
RESET max_parallel_workers;
-- One process asked for: nothing to say.
SET many_models.max_workers = 1;
SELECT trained, workers FROM many_models.train_many_models('settings');
RESET many_models.max_workers;
-- Every query forced into a worker. The setting was renamed in PostgreSQL 16.
SELECT name AS forced_parallel FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query') \gset
SET :forced_parallel = on;
SELECT trained FROM many_models.train_many_models('settings', workers => 1);
SELECT bits('settings') = :'expected' AS same;
SELECT trained FROM many_models.train_many_models('settings', workers => 3);
SELECT bits('settings') = :'expected' AS same;
SELECT round(many_models.predict('settings', '{"g": 7}', '{"x": 1}')) AS predict, (SELECT count(*) FROM many_models.metrics WHERE model_set = 'settings' AND version = 1) AS metrics;
SELECT count(*) FROM (SELECT many_models.fit('{}', y, ARRAY[x]) FROM many_rows GROUP BY g) AS f;
RESET :forced_parallel;
SET parallel_leader_participation = off;
SELECT trained FROM many_models.train_many_models('settings', workers => 3);
SELECT bits('settings') = :'expected' AS same;
SHOW parallel_leader_participation;
SHOW max_parallel_workers_per_gather;
RESET parallel_leader_participation;
-- Levels of isolation; inside a subtransaction.
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT trained FROM many_models.train_many_models('settings', workers => 3);
SAVEPOINT s;
SELECT trained FROM many_models.train_many_models('settings', workers => 3);
RELEASE s;
SELECT bits('settings') = :'expected' AS same;
COMMIT;
-- Temporary tables and uncommitted rows are seen; the session scans them alone.
BEGIN;
CREATE TEMP TABLE scratch AS SELECT * FROM many_rows;
SELECT trained FROM many_models.train_many_models('scratch', 'scratch', '{g}', 'y', '{x}', options => '{"holdout": {"fraction": 0.9}}', workers => 3);
SELECT bits('scratch') = :'expected' AS same;
DELETE FROM many_rows WHERE g > 9;
SELECT trained FROM many_models.train_many_models('settings', workers => 3);
ROLLBACK;
SELECT max(version) FROM many_models.runs WHERE model_set = 'settings';
-- The settings' own limits.
SET many_models.memory_budget = '1MB';
SELECT trained FROM many_models.train_many_models('settings', workers => 2);
SELECT bits('settings') = :'expected' AS same;
-- From PostgreSQL 16 on the message has units in its range.
\set VERBOSITY sqlstate
SET many_models.memory_budget = '1kB';
SET many_models.max_workers = 0;
SET many_models.progress_interval = -1;
\set VERBOSITY default
SET many_models.no_such_setting = 1;
RESET many_models.memory_budget;
SELECT many_models.drop_models('settings');
DROP VIEW settings_models;
DROP TABLE many_rows;
DROP FUNCTION bits(text);
