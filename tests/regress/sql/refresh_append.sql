-- Option append_only: a refresh reads the new rows only, and comes to what a full training comes to.
CREATE SCHEMA refresh_append;
SET search_path = refresh_append;
SET client_min_messages = warning;
-- Group (a, 5) has too few rows at first, (a, 6) a constant target, (b, 7) a NaN, (NULL, NULL) is a group too.
CREATE FUNCTION make_rows(first int, last int) RETURNS TABLE (shop text, product int, day int, price float8, stock int, units float8)
LANGUAGE sql AS $$
SELECT s, p, d, (d * 7 % 11) + 0.1 * p, d * d % 13, CASE WHEN p = 6 AND d <= 60 THEN 4
    WHEN p = 7 AND s = 'b' AND d = 17 THEN 'NaN' ELSE (d * (p + length(s)) % 17) + 0.3 * d END
FROM (VALUES ('a'), ('b'), (NULL)) AS s (s), generate_series(1, 7) AS p, generate_series(first, last) AS d
WHERE NOT (p = 5 AND s = 'a' AND d % 30 <> 1)
UNION ALL SELECT NULL, NULL, d, d % 5, d % 3, d % 7 FROM generate_series(first, last) AS d
$$;
CREATE TABLE sales AS SELECT * FROM make_rows(1, 60);
CREATE INDEX ON sales (day);
UPDATE sales SET price = NULL WHERE day = 9 AND product = 2;
CREATE VIEW shown AS
SELECT model_set, version, partition_key, n_rows, first_time, last_time, md5(model::text) AS result FROM many_models.model_store JOIN many_models.runs USING (run_id)
UNION ALL SELECT model_set, version, partition_key, n_rows, NULL, NULL, f.status || f.sqlstate || f.message FROM many_models.failure_store AS f JOIN many_models.runs USING (run_id);
-- Groups by which the newest version of a set and a training of all rows differ.
CREATE FUNCTION differences(name text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE n bigint; d record;
BEGIN
    SELECT * INTO d FROM many_models.model_sets WHERE model_set = name;
    PERFORM many_models.train_many_models(name || ' again', d.source, d.partition_by, d.target, d.features, d.algorithm, d.time_column, d.options);
    WITH a AS (SELECT partition_key, n_rows, first_time, last_time, result FROM shown WHERE model_set = name AND version = d.latest_version),
        b AS (SELECT partition_key, n_rows, first_time, last_time, result FROM shown WHERE model_set = name || ' again')
    SELECT count(*) INTO n FROM ((TABLE a EXCEPT ALL TABLE b) UNION ALL (TABLE b EXCEPT ALL TABLE a)) AS x;
    PERFORM many_models.drop_models(name || ' again');
    RETURN n;
END
$$;

SELECT version, status, trained, failed, skipped, rows_read FROM many_models.train_many_models('sales', 'sales', '{shop,product}', 'units', '{price,stock}', time_column => 'day', options => '{"append_only": true}');
SELECT details ->> 'exchange' AS exchange, details ->> 'last_time' AS last_time, details ->> 'time_type' AS time_type FROM many_models.runs WHERE model_set = 'sales';
SELECT partition_key, status, message FROM many_models.failures WHERE model_set = 'sales' ORDER BY partition_key;
-- The metrics are those of a streamed holdout of the same rows (a set without a time column holds out by the same hash), but for those that need rows.
SELECT trained FROM many_models.train_many_models('plain', 'sales', '{shop,product}', 'units', '{price,stock}');
SELECT a.split, count(*), bool_and(a.n_rows = b.n_rows) AS n_rows, bool_and(abs(a.rmse - b.rmse) < 1e-12 * b.rmse + 1e-13) AS rmse, bool_and(abs(a.r2 - b.r2) < 1e-11) AS r2,
    bool_and(abs(a.bias - b.bias) < 1e-12) AS bias, count(a.mae) AS mae, count(a.mape) AS mape, count(a.smape) AS smape
FROM many_models.metrics AS a JOIN many_models.metrics AS b USING (partition_key, split) WHERE a.model_set = 'sales' AND b.model_set = 'plain' GROUP BY a.split ORDER BY a.split;
SELECT count(*) FROM many_models.model_store JOIN many_models.runs USING (run_id) WHERE model_set = 'plain' AND sums IS NOT NULL;

-- New rows: groups that now have enough, that vary now, a new group, a failed one that stays so, NULLs.
INSERT INTO sales SELECT * FROM make_rows(61, 75);
INSERT INTO sales SELECT 'c', 1, d, d % 4, d % 3, d % 5 FROM generate_series(61, 75) AS d;
UPDATE sales SET price = NULL WHERE day = 70 AND product = 2;
INSERT INTO sales VALUES ('d', 1, 62, 'NaN', 1, 1), ('d', 2, 62, NULL, 1, 1);
SELECT version, status, groups, trained, failed, skipped, rows_read FROM many_models.refresh_many_models('sales');
SELECT rows_read, details ->> 'refresh' AS refresh, details ->> 'read_after' AS read_after, details ->> 'last_time' AS last_time FROM many_models.runs WHERE model_set = 'sales' AND version = 2;
SELECT partition_key, status, message FROM many_models.failures WHERE model_set = 'sales' AND version = 2 ORDER BY partition_key;
SELECT differences('sales');
-- No new rows: no new version. Then again some.
SELECT version, status, rows_read FROM many_models.refresh_many_models('sales');
INSERT INTO sales SELECT * FROM make_rows(76, 100);
SELECT version, status, groups, trained, failed, skipped, rows_read FROM many_models.refresh_many_models('sales', workers => 1);
SELECT differences('sales');
-- A row that is late, changed or gone is not seen if its time is before the last; a training of all rows sees it.
INSERT INTO sales VALUES ('a', 1, 50, 1000, 1, 1);
UPDATE sales SET price = price + 1 WHERE shop = 'a' AND product = 2 AND day = 51;
DELETE FROM sales WHERE shop = 'a' AND product = 3 AND day = 52;
SELECT version, status FROM many_models.refresh_many_models('sales');
SELECT differences('sales');
SELECT version, rows_read FROM many_models.train_many_models('sales');
SELECT differences('sales');
-- If its time is the last, it is noticed: all groups are trained from the source.
SET client_min_messages = notice;
SELECT status FROM many_models.refresh_many_models('sales');
INSERT INTO sales VALUES ('a', 1, 100, 1000, 1, 1);
SELECT version, status, rows_read FROM many_models.refresh_many_models('sales');
SELECT status FROM many_models.refresh_many_models('sales');
UPDATE sales SET price = price + 1 WHERE shop = 'a' AND product = 2 AND day = 100;
INSERT INTO sales VALUES ('a', 1, 101, 7, 1, 1);
SELECT version, status, rows_read FROM many_models.refresh_many_models('sales');
SELECT details ->> 'refresh' AS refresh, details ->> 'last_rows' AS last_rows, details ->> 'trained_again' AS trained_again FROM many_models.runs WHERE model_set = 'sales' ORDER BY version DESC LIMIT 1;
DELETE FROM sales WHERE day = 101;
SELECT version, status, rows_read FROM many_models.refresh_many_models('sales');
UPDATE sales SET shop = 'b' WHERE shop = 'a' AND product = 1 AND day = 100 AND price = 1000;
SELECT version, status, rows_read FROM many_models.refresh_many_models('sales');
SET client_min_messages = warning;
SELECT differences('sales');
INSERT INTO sales SELECT * FROM make_rows(101, 105);
SELECT version, rows_read, workers > 0 AS workers FROM many_models.refresh_many_models('sales');
SELECT differences('sales');
-- After a run of some groups all are trained from the source; then rows are appended again.
SET client_min_messages = notice;
SELECT version, failed FROM many_models.retrain_failed((SELECT max(run_id) FROM many_models.runs WHERE model_set = 'sales'));
INSERT INTO sales SELECT * FROM make_rows(106, 107);
SELECT version, status, rows_read FROM many_models.refresh_many_models('sales');
INSERT INTO sales SELECT * FROM make_rows(108, 109);
SELECT version, status, rows_read FROM many_models.refresh_many_models('sales');
SET client_min_messages = warning;
SELECT differences('sales');
-- The latest version is dropped: the one before is continued. Older ones may go.
SELECT version, rows_read FROM many_models.train_many_models('sales');
INSERT INTO sales SELECT * FROM make_rows(110, 111);
SELECT version AS dropped, rows_read FROM many_models.refresh_many_models('sales') \gset
SELECT many_models.drop_models('sales', :dropped) > 0 AS dropped;
INSERT INTO sales SELECT * FROM make_rows(112, 112);
SELECT version - :dropped AS next, rows_read, :rows_read AS of_the_dropped FROM many_models.refresh_many_models('sales');
SELECT count(many_models.drop_models('sales', version)) > 5 AS dropped FROM (SELECT version FROM many_models.runs WHERE model_set = 'sales' ORDER BY version DESC OFFSET 1) AS v;
INSERT INTO sales SELECT * FROM make_rows(113, 113);
SELECT version - :dropped AS next, rows_read FROM many_models.refresh_many_models('sales');
SELECT differences('sales');
-- In the background: a training that was not interrupted can be continued.
SELECT many_models.start_training('sales') AS run \gset
SELECT many_models.wait_for_run(:run);
INSERT INTO sales SELECT * FROM make_rows(114, 114);
SELECT version - :dropped AS next, rows_read FROM many_models.refresh_many_models('sales');
SELECT differences('sales');
-- Exported and imported, a version has its models, but no sums: all groups are trained from the source, once.
CREATE TABLE exported AS SELECT * FROM many_models.export_models('sales');
SELECT trained FROM many_models.import_models('exported', 'elsewhere');
SELECT count(*) AS same FROM shown AS a JOIN shown AS b USING (partition_key, result) WHERE a.model_set = 'sales' AND a.version = (SELECT max(version) FROM shown WHERE model_set = 'sales') AND b.model_set = 'elsewhere';
INSERT INTO sales SELECT * FROM make_rows(115, 115);
SET client_min_messages = notice;
SELECT version, rows_read FROM many_models.refresh_many_models('elsewhere');
INSERT INTO sales SELECT * FROM make_rows(116, 116);
SELECT version, rows_read FROM many_models.refresh_many_models('elsewhere');
SET client_min_messages = warning;
SELECT differences('elsewhere');
-- Promotion: what is in production stays until it is replaced; then it is the model of all rows.
SELECT promoted, production FROM many_models.promote_models('sales');
SELECT many_models.predict('sales', '{"shop": "b", "product": 1}', '{"price": 3, "stock": 2}') AS before \gset
SELECT version - :dropped AS next, rows_read FROM many_models.refresh_many_models('sales');
SELECT many_models.predict('sales', '{"shop": "b", "product": 1}', '{"price": 3, "stock": 2}') = :before AS stays;
SELECT promoted, production FROM many_models.promote_models('sales', rule => 'candidate.rmse > 0');
SELECT many_models.predict('sales', '{"shop": "b", "product": 1}', '{"price": 3, "stock": 2}') = many_models.predict('elsewhere', '{"shop": "b", "product": 1}', '{"price": 3, "stock": 2}') AS as_elsewhere;
SELECT many_models.drop_models('elsewhere') > 0 AS dropped;
-- Sums are for the registry alone: those of a group of one row are that row.
SELECT has_column_privilege('public', 'many_models.model_store', 'sums', 'SELECT') AS models, has_column_privilege('public', 'many_models.failure_store', 'sums', 'SELECT') AS failures,
    has_column_privilege('public', 'many_models.model_store', 'model', 'SELECT') AS model;

-- Times of other types, a holdout since a time, options of some groups, text, float and date keys in a set of many groups, small memory.
CREATE TABLE wide AS SELECT i % 1300 / 10.0::float8 AS f, date '2026-01-01' + i % 7 AS d, 'x' || i % 3 AS t, timestamptz '2026-01-01 00:00+00' + i * interval '1 minute' AS at, (i * 7 % 11)::float8 AS x, i % 5 = 0 AS b, 1e6 + (i * 13 % 37) AS y
FROM generate_series(1, 40000) AS i;
SET many_models.memory_budget = '4MB';
SET TimeZone = 'Asia/Tokyo';
SET DateStyle = 'SQL, DMY';
SELECT trained, failed, skipped FROM many_models.train_many_models('wide', 'SELECT * FROM wide WHERE x < 10', '{f,d,t}', 'y', '{x,b}', algorithm => 'ridge', time_column => 'at',
    options => '{"append_only": true, "lambda": 0.1, "min_rows": 1, "holdout": {"since": "2026-01-20 00:00+00"}, "group_options": [{"key": {"t": "x1"}, "options": {"lambda": 5}}]}');
INSERT INTO wide SELECT i % 1400 / 10.0::float8, date '2026-01-01' + i % 7, 'x' || i % 3, timestamptz '2026-01-01 00:00+00' + i * interval '1 minute', i * 7 % 11, i % 5 = 0, 1e6 + (i * 13 % 37)
FROM generate_series(40001, 42000) AS i;
SELECT version, trained, failed, skipped, rows_read FROM many_models.refresh_many_models('wide');
SELECT details ->> 'last_time' AS last_time, details ->> 'time_type' AS time_type, storage = run_id AS own_partition FROM many_models.runs WHERE model_set = 'wide' AND version = 2;
SELECT differences('wide');
RESET TimeZone;
RESET DateStyle;
RESET many_models.memory_budget;
SELECT many_models.drop_models('wide');

-- What does not go together.
DO $$
DECLARE o text;
BEGIN
    FOREACH o IN ARRAY ARRAY['"cv_folds": 3', '"null_policy": "impute_mean"', '"holdout": {"rows": 3}', '"holdout": {"fraction": 0.1, "exact": true}', '"append_only": 1'] LOOP
        BEGIN
            PERFORM many_models.train_many_models('wrong', 'sales', '{shop,product}', 'units', '{price}', time_column => 'day', options => ('{"append_only": true, ' || o || '}')::jsonb);
            RAISE WARNING 'no error: %', o;
        EXCEPTION WHEN OTHERS THEN
            RAISE WARNING '% %', SQLSTATE, SQLERRM;
        END;
    END LOOP;
END
$$;
SELECT many_models.train_many_models('wrong', 'sales', '{product}', 'units', '{price}', options => '{"append_only": true}');
SELECT many_models.train_many_models('wrong', 'sales', '{product}', 'units', '{price,shop}', time_column => 'day', options => '{"append_only": true}');
SELECT many_models.train_many_models('wrong', 'sales', '{product}', 'units', '{price}', 'lasso', time_column => 'day', options => '{"append_only": true}');
-- Sums that were changed; a time column of another type.
INSERT INTO sales SELECT * FROM make_rows(120, 121);
BEGIN;
UPDATE many_models.model_store SET sums = set_byte(sums, 100, get_byte(sums, 100) # 1) WHERE partition_key = '{"shop": "a", "product": 1}' AND sums IS NOT NULL;
\set VERBOSITY terse
SELECT many_models.refresh_many_models('sales');
ROLLBACK;
BEGIN;
UPDATE many_models.failure_store SET sums = substr(sums, 1, 80) WHERE partition_key = '{"shop": "a", "product": 5}' AND sums IS NOT NULL;
SELECT many_models.refresh_many_models('sales');
ROLLBACK;
\set VERBOSITY default
ALTER TABLE sales ALTER day TYPE bigint;
SELECT many_models.refresh_many_models('sales');
ALTER TABLE sales ALTER day TYPE int;
SELECT version, rows_read FROM many_models.refresh_many_models('sales');
SELECT differences('sales');
SELECT many_models.drop_models('sales'), many_models.drop_models('plain');
DROP SCHEMA refresh_append CASCADE;
