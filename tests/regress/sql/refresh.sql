-- retrain_failed and refresh_many_models: some groups are trained again, the others carried forward.
CREATE SCHEMA refresh;
SET search_path = refresh;
SET client_min_messages = warning;
CREATE TABLE sales AS
SELECT 'shop ' || s AS shop, p AS product, d AS day, (d * 7 % 11)::float8 AS price,
    CASE WHEN s = 2 AND p = 3 THEN 'NaN' ELSE (d * (s + p) % 17)::float8 END AS units
FROM generate_series(1, 3) AS s, generate_series(1, 4) AS p, generate_series(1, 40) AS d
WHERE NOT (s = 3 AND p = 4 AND d > 2);
INSERT INTO sales SELECT NULL, NULL, d, d, d * d FROM generate_series(1, 20) AS d;
CREATE VIEW shown AS SELECT model_set, version, partition_key, md5(model::text) AS model
FROM many_models.model_store JOIN many_models.runs USING (run_id);

SELECT run_id AS first, trained, failed, skipped FROM many_models.train_many_models('sales', 'sales', '{shop,product}', 'units', '{price}') \gset v1_
SELECT :v1_trained AS trained, :v1_failed AS failed, :v1_skipped AS skipped;

-- The failed group is mended, another changes: only the failed one is trained.
UPDATE sales SET units = day % 5 WHERE shop = 'shop 2' AND product = 3;
UPDATE sales SET units = units + day % 3 WHERE shop = 'shop 1' AND product = 1;
SELECT run_id AS second, version, status, groups, trained, failed, skipped, rows_read FROM many_models.retrain_failed(:v1_first) \gset v2_
SELECT :v2_version AS version, :'v2_status' AS status, :v2_groups AS groups, :v2_trained AS trained, :v2_failed AS failed, :v2_skipped AS skipped, :v2_rows_read AS rows_read;
SELECT details ->> 'carried' AS carried, details ->> 'trained_again' AS trained_again, (details ->> 'base_run')::bigint = :v1_first AS base, nullable_keys, features
FROM many_models.runs WHERE run_id = :v2_second;
SELECT a.partition_key FROM shown AS a FULL JOIN shown AS b ON a.partition_key = b.partition_key AND a.model = b.model AND b.version = 1
WHERE a.version = 2 AND b.model IS NULL;
SELECT count(*), count(DISTINCT model_id) FROM many_models.models WHERE model_set = 'sales';
SELECT partition_key, status, attempt FROM many_models.failures WHERE model_set = 'sales' AND version = 2;
SELECT round(many_models.predict('sales', '{"shop": null, "product": null}', '{"price": 3}')) AS of_a_carried_model;
-- What is skipped is tried again on demand, and counted.
SELECT version, trained, failed, skipped FROM many_models.retrain_failed(:v2_second, include_skipped => true);
SELECT partition_key, status, attempt FROM many_models.failures WHERE model_set = 'sales' AND version = 3;

-- A refresh knows from the trainings what each group was: the one that changed. The second: nothing changed.
SELECT version, status, trained, skipped, rows_read FROM many_models.refresh_many_models('sales');
SELECT details ->> 'carried' AS carried, details ->> 'trained_again' AS trained_again, details ->> 'vanished' AS vanished
FROM many_models.runs WHERE model_set = 'sales' ORDER BY version DESC LIMIT 1;
SELECT version, status, trained, rows_read FROM many_models.refresh_many_models('sales');
-- retrain_failed carries the fingerprints with the models.
SELECT version, trained FROM many_models.retrain_failed((SELECT max(run_id) FROM many_models.runs WHERE model_set = 'sales'), true);
SELECT version, status FROM many_models.refresh_many_models('sales');
-- One row changed, one group new, one gone, rows in another order.
CREATE TABLE other AS SELECT * FROM sales ORDER BY md5(sales::text);
TRUNCATE sales;
INSERT INTO sales SELECT * FROM other;
UPDATE sales SET price = price + 0.5 WHERE shop = 'shop 1' AND product = 2 AND day = 7;
INSERT INTO sales SELECT 'shop 4', 1, d, d % 7, d % 3 FROM generate_series(1, 30) AS d;
DELETE FROM sales WHERE shop = 'shop 3' AND product = 3;
SELECT version, status, groups, trained, failed, skipped FROM many_models.refresh_many_models('sales');
SELECT details ->> 'carried' AS carried, details ->> 'trained_again' AS trained_again, details ->> 'vanished' AS vanished
FROM many_models.runs WHERE model_set = 'sales' ORDER BY version DESC LIMIT 1;
-- The same as a full training.
SELECT trained, failed, skipped FROM many_models.train_many_models('full', 'sales', '{shop,product}', 'units', '{price}');
SELECT count(*) AS same FROM shown AS a JOIN shown AS b USING (partition_key, model) WHERE a.model_set = 'full' AND b.model_set = 'sales' AND b.version = 6;

-- Whatever the exchange, the order of the rows, the processes and the memory: groups that are as they were are found so.
CREATE TABLE mixed AS
SELECT CASE WHEN i % 2 = 0 THEN (i % 40)::numeric ELSE (i % 40)::numeric(10, 2) END AS k, i % 300 AS t, i % 7 = 0 AS flag, (i * 7 % 11)::float8 AS x, i::float4 / 3 AS z, 'c' || i % 3 AS c,
    CASE WHEN i % 97 = 0 THEN NULL WHEN i % 40 = 11 THEN NULL WHEN i % 40 = 12 THEN 'NaN' ELSE (i * 13 % 37)::float8 END AS y
FROM generate_series(1, 6000) AS i;
CREATE TABLE sets (name text, features text[], time_column text, options jsonb);
INSERT INTO sets VALUES ('moments', '{x,z,flag}', NULL, '{}'), ('since', '{x,z}', 't', '{"holdout": {"since": "250"}}'), ('error', '{x,z}', NULL, '{"null_policy": "error", "holdout": {"fraction": 0}}'),
    ('folds', '{x,z}', NULL, '{"cv_folds": 3}'), ('last', '{x,z,c}', 't', '{"holdout": {"rows": 5}}'), ('imputed', '{x,z}', NULL, '{"null_policy": "impute_mean"}');
SELECT name, s.groups, s.trained, s.failed, s.skipped FROM sets, many_models.train_many_models(name, 'mixed', '{k}', 'y', features, time_column => time_column, options => options) AS s;
CREATE TABLE mixed_now AS SELECT * FROM mixed ORDER BY md5(mixed::text);
TRUNCATE mixed;
INSERT INTO mixed SELECT * FROM mixed_now;
SET many_models.memory_budget = '1MB';
SELECT name, s.version, s.status, s.rows_read FROM sets, many_models.refresh_many_models(name, workers => 1) AS s;
-- One row of a group each: another value, none, a NaN instead of none, another category, another time, twice instead of once; a row that is left out; swapped values.
UPDATE mixed SET x = x + 1e-9 WHERE k = 1 AND ctid = (SELECT min(ctid) FROM mixed WHERE k = 1);
UPDATE mixed SET z = NULL WHERE k = 2 AND ctid = (SELECT min(ctid) FROM mixed WHERE k = 2);
UPDATE mixed SET y = 'NaN' WHERE k = 17 AND y IS NULL;
UPDATE mixed SET c = 'c9' WHERE k = 3 AND ctid = (SELECT min(ctid) FROM mixed WHERE k = 3);
UPDATE mixed SET t = t + 1 WHERE k = 4 AND ctid = (SELECT min(ctid) FROM mixed WHERE k = 4);
INSERT INTO mixed SELECT * FROM mixed WHERE k = 5 LIMIT 1;
UPDATE mixed SET x = 3.5 WHERE k = 11 AND ctid = (SELECT min(ctid) FROM mixed WHERE k = 11);
UPDATE mixed SET x = z, z = x WHERE k = 6 AND ctid = (SELECT min(ctid) FROM mixed WHERE k = 6);
DELETE FROM mixed WHERE k = 7;
UPDATE mixed SET k = 5.00 WHERE k = 8;
SELECT name, s.version, s.trained, s.failed, s.skipped FROM sets, many_models.refresh_many_models(name, workers => 3) AS s;
SELECT name, details ->> 'trained_again' AS trained_again, details ->> 'carried' AS carried, details ->> 'vanished' AS vanished FROM sets JOIN many_models.runs ON model_set = name AND version = 2 ORDER BY run_id;
RESET many_models.memory_budget;
-- The same as full trainings. What was carried was not tried again.
SELECT model_set, partition_key, attempt, message FROM many_models.failures WHERE version = 2 AND model_set IN ('moments', 'last') ORDER BY model_set, partition_key;
SELECT sum(s.groups) FROM sets, many_models.train_many_models(name || ' full', 'mixed', '{k}', 'y', features, time_column => time_column, options => options) AS s;
CREATE VIEW found AS SELECT model_set, version, (partition_key ->> 'k')::numeric AS k, n_rows, first_time, last_time, md5(model::text) AS result, fingerprint FROM many_models.model_store JOIN many_models.runs USING (run_id)
UNION ALL SELECT model_set, version, (partition_key ->> 'k')::numeric, f.n_rows, NULL, NULL, f.status || f.message, fingerprint FROM many_models.failure_store AS f JOIN many_models.runs USING (run_id);
SELECT name, n AS differences
FROM sets, LATERAL (WITH a AS (SELECT k, n_rows, first_time, last_time, result, fingerprint FROM found WHERE model_set = name AND version = 2),
    b AS (SELECT k, n_rows, first_time, last_time, result, fingerprint FROM found WHERE model_set = name || ' full')
    SELECT count(*) AS n FROM ((TABLE a EXCEPT ALL TABLE b) UNION ALL (TABLE b EXCEPT ALL TABLE a)) AS x) AS d;
-- Fingerprints that cannot be read, or none: those groups are trained.
UPDATE many_models.model_store SET fingerprint = substr(fingerprint, 2) WHERE run_id = (SELECT max(run_id) FROM many_models.runs WHERE model_set = 'moments') AND partition_key = '{"k": 20}';
UPDATE many_models.model_store SET fingerprint = NULL WHERE run_id = (SELECT max(run_id) FROM many_models.runs WHERE model_set = 'moments') AND partition_key = '{"k": 21}';
SELECT version, trained FROM many_models.refresh_many_models('moments');
SELECT details ->> 'trained_again' AS trained_again FROM many_models.runs WHERE model_set = 'moments' AND version = 3;
-- They are for the registry alone: the one of a group of one row tells that row.
SELECT has_column_privilege('public', 'many_models.model_store', 'fingerprint', 'SELECT') AS models, has_column_privilege('public', 'many_models.failure_store', 'fingerprint', 'SELECT') AS failures;
-- Trained in the background; imported, where nothing is known of the source.
SELECT many_models.start_training('moments') AS run \gset
SELECT many_models.wait_for_run(:run);
SELECT status FROM many_models.refresh_many_models('moments');
CREATE TABLE exported AS SELECT * FROM many_models.export_models('moments');
SELECT trained FROM many_models.import_models('exported', 'imported');
SELECT version, trained, rows_read FROM many_models.refresh_many_models('imported');
SELECT details ->> 'trained_again' AS trained_again, details ->> 'carried' AS carried FROM many_models.runs WHERE model_set = 'imported' AND version = 2;
SELECT status FROM many_models.refresh_many_models('imported');
SELECT count(many_models.drop_models(name)), count(many_models.drop_models(name || ' full')) FROM sets;
SELECT many_models.drop_models('imported');

-- A set of many groups, whose versions have partitions of their own; keys whose type hashes by itself.
CREATE TABLE wide AS SELECT ARRAY[i % 1500, 0] AS g, i AS t, (i * 7 % 11)::float8 AS x, (i * 13 % 37)::float8 AS y FROM generate_series(1, 30000) AS i;
SELECT trained FROM many_models.refresh_many_models('wide');
SELECT trained FROM many_models.train_many_models('wide', 'wide', '{g}', 'y', '{x}', time_column => 't', options => '{"holdout": {"rows": 2}}');
SELECT version, status FROM many_models.refresh_many_models('wide', workers => 1);
DELETE FROM wide WHERE g = ARRAY[7, 0];
UPDATE wide SET y = y + 1 WHERE g IN (ARRAY[1, 0], ARRAY[2, 0]) AND t < 6000;
INSERT INTO wide SELECT ARRAY[5000, 0], i, i % 7, i % 3 FROM generate_series(1, 30) AS i;
SELECT version, groups, trained, failed, skipped FROM many_models.refresh_many_models('wide');
SELECT details ->> 'carried' AS carried, details ->> 'trained_again' AS trained_again, details ->> 'vanished' AS vanished, storage = run_id AS own_partition
FROM many_models.runs WHERE model_set = 'wide' ORDER BY version DESC LIMIT 1;
SELECT trained FROM many_models.train_many_models('wide full', 'wide', '{g}', 'y', '{x}', time_column => 't', options => '{"holdout": {"rows": 2}}');
SELECT count(*) AS same FROM shown AS a JOIN shown AS b USING (partition_key, model) WHERE a.model_set = 'wide full' AND b.model_set = 'wide' AND b.version = 2;
-- All groups changed, so that results are inserted as they come; then all but a few, where the others are carried beside them.
UPDATE wide SET y = y + 1;
SELECT version, trained FROM many_models.refresh_many_models('wide');
UPDATE wide SET y = y + 1 WHERE g[1] > 9;
SELECT version, trained FROM many_models.refresh_many_models('wide');
SELECT details ->> 'carried' AS carried, details ->> 'trained_again' AS trained_again FROM many_models.runs WHERE model_set = 'wide' ORDER BY version DESC LIMIT 1;
SELECT trained FROM many_models.train_many_models('wide full');
SELECT count(*) AS same FROM shown AS a JOIN shown AS b USING (partition_key, model) WHERE a.model_set = 'wide full' AND a.version = 2 AND b.model_set = 'wide' AND b.version = 4;
SELECT many_models.drop_models('wide'), many_models.drop_models('wide full');

-- Mistakes.
DO $$
DECLARE call text;
BEGIN
    FOREACH call IN ARRAY ARRAY['retrain_failed(NULL)', 'retrain_failed(-1)', format('retrain_failed(%s)', (SELECT min(run_id) FROM many_models.runs WHERE model_set = 'sales')),
        format('retrain_failed(%s)', (SELECT max(run_id) FROM many_models.runs WHERE model_set = 'full')), 'retrain_failed(1, workers => 0)',
        'refresh_many_models(NULL)', 'refresh_many_models(''none'')', 'refresh_many_models(''full'', ''old'')', 'refresh_many_models(''full'', workers => 2000)']
    LOOP
        BEGIN
            EXECUTE 'SELECT many_models.' || call;
        EXCEPTION WHEN OTHERS THEN
            RAISE WARNING '% %', SQLSTATE, regexp_replace(SQLERRM, 'run \d+', 'run n');
        END;
    END LOOP;
END
$$;
ALTER TABLE sales ALTER price TYPE numeric;
SELECT many_models.refresh_many_models('full');
ALTER TABLE sales ALTER price TYPE float8;
DELETE FROM sales;
\set SHOW_CONTEXT never
SELECT many_models.refresh_many_models('full');
SELECT many_models.drop_models('sales');
SELECT many_models.drop_models('full');
DROP SCHEMA refresh CASCADE;
