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

-- The first refresh has no fingerprints to compare with: all groups. The second: nothing changed.
SELECT version, status, trained, skipped FROM many_models.refresh_many_models('sales');
SELECT version, status, trained, rows_read FROM many_models.refresh_many_models('sales');
SELECT count(*) AS fingerprints, count(DISTINCT run_id) AS of_runs FROM many_models.fingerprint_store;
-- After retrain_failed the fingerprints are still those of the set.
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
SELECT count(*) AS fingerprints, count(DISTINCT run_id) AS of_runs FROM many_models.fingerprint_store;

-- A set of many groups, whose versions have partitions of their own; keys whose type hashes by itself.
CREATE TABLE wide AS SELECT ARRAY[i % 1500, 0] AS g, i AS t, (i * 7 % 11)::float8 AS x, (i * 13 % 37)::float8 AS y FROM generate_series(1, 30000) AS i;
SELECT trained FROM many_models.refresh_many_models('wide');
SELECT trained FROM many_models.train_many_models('wide', 'wide', '{g}', 'y', '{x}', time_column => 't', options => '{"holdout": {"rows": 2}}');
SELECT version, trained FROM many_models.refresh_many_models('wide', workers => 1);
DELETE FROM wide WHERE g = ARRAY[7, 0];
UPDATE wide SET y = y + 1 WHERE g IN (ARRAY[1, 0], ARRAY[2, 0]) AND t < 6000;
INSERT INTO wide SELECT ARRAY[5000, 0], i, i % 7, i % 3 FROM generate_series(1, 30) AS i;
SELECT version, groups, trained, failed, skipped FROM many_models.refresh_many_models('wide');
SELECT details ->> 'carried' AS carried, details ->> 'trained_again' AS trained_again, details ->> 'vanished' AS vanished, storage = run_id AS own_partition
FROM many_models.runs WHERE model_set = 'wide' ORDER BY version DESC LIMIT 1;
SELECT trained FROM many_models.train_many_models('wide full', 'wide', '{g}', 'y', '{x}', time_column => 't', options => '{"holdout": {"rows": 2}}');
SELECT count(*) AS same FROM shown AS a JOIN shown AS b USING (partition_key, model) WHERE a.model_set = 'wide full' AND b.model_set = 'wide' AND b.version = 3;
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
SELECT count(*) AS fingerprints FROM many_models.fingerprint_store;
DROP SCHEMA refresh CASCADE;
