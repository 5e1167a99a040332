-- Groups that drifted, from the scoring to the drift that is over: score, evaluate, drift, refresh these, score, evaluate.
CREATE SCHEMA refresh_drifted;
SET search_path = refresh_drifted;
SET client_min_messages = warning;
CREATE TABLE known (until date);
-- Sets are trained on what is known of the last two months.
INSERT INTO known VALUES ('2025-09-01');
-- From September on shop 2 sells more, and shop 3 has other prices.
CREATE TABLE sold AS
SELECT s AS shop, date '2025-01-01' + d AS day, price, (10 + 2 * price + (d * 7 + s) % 5 - 2 + CASE WHEN s = 2 AND d >= 243 THEN 30 ELSE 0 END)::float8 AS units
FROM generate_series(1, 5) AS s, generate_series(0, 364) AS d, LATERAL (SELECT (d * 37 + s) % 11 + CASE WHEN s = 3 AND d >= 243 THEN 20 ELSE 0 END AS price) AS p;
CREATE VIEW shown AS SELECT model_set, version, partition_key, md5(model::text) AS model FROM many_models.model_store JOIN many_models.runs USING (run_id);
-- What happened to a version: groups trained again, carried, gone.
CREATE FUNCTION made(name text) RETURNS text LANGUAGE sql AS
$$SELECT format('version %s: again %s, carried %s, vanished %s', version, details ->> 'trained_again', details ->> 'carried', details ->> 'vanished')
FROM many_models.runs WHERE model_set = name AND kind = 'train' ORDER BY version DESC LIMIT 1$$;
-- Scores a month with the models in use, and judges it when its actuals are there.
CREATE FUNCTION month_passes(name text, first date) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    PERFORM many_models.score_many_models(name, format('SELECT shop, day, price FROM refresh_drifted.sold WHERE day >= %L AND day < %L::date + interval ''1 month''', first, first), 'refresh_drifted.scores', id_columns => '{day}');
    RETURN (many_models.evaluate_many_models(name, 'refresh_drifted.sold', 'refresh_drifted.scores', options => '{"features": true}')).drifted;
END
$$;

SELECT version, trained FROM many_models.train_many_models('drifting', 'SELECT s.* FROM refresh_drifted.sold AS s, refresh_drifted.known WHERE day < until AND day >= until - 61', '{shop}', 'units', '{price}', time_column => 'day', options => '{"holdout": {"fraction": 0.2}}');
-- Nothing was scored or evaluated yet: nothing has drifted.
SELECT version, status, trained, rows_read FROM many_models.refresh_many_models('drifting', 'drifted');
SELECT month_passes('drifting', '2025-08-01') AS drifted;
SELECT version, status FROM many_models.refresh_many_models('drifting', groups => 'drifted');
SELECT month_passes('drifting', '2025-09-01') AS drifted;
SELECT partition_key, error_drifted, psi_drifted, psi_feature FROM many_models.drift WHERE model_set = 'drifting' AND drifted ORDER BY partition_key;
-- Thresholds decide which groups are meant.
BEGIN;
SELECT many_models.set_drift_threshold('drifting', 1e9, 1e9);
SELECT status FROM many_models.refresh_many_models('drifting', 'drifted');
SELECT many_models.set_drift_threshold('drifting', psi => NULL);
SELECT status FROM many_models.refresh_many_models('drifting', 'drifted');
SELECT made('drifting');
ROLLBACK;

-- The drifted groups are trained on what is known now, the others stay.
UPDATE known SET until = '2025-11-01';
SELECT month_passes('drifting', '2025-10-01') AS drifted;
SELECT version, status, groups, trained, rows_read FROM many_models.refresh_many_models('drifting', 'drifted');
SELECT made('drifting');
SELECT trained FROM many_models.train_many_models('full', 'SELECT s.* FROM refresh_drifted.sold AS s, refresh_drifted.known WHERE day < until AND day >= until - 61', '{shop}', 'units', '{price}', time_column => 'day', options => '{"holdout": {"fraction": 0.2}}');
SELECT a.partition_key, a.model = b.model AS as_before, a.model = c.model AS as_a_training_now
FROM shown AS a JOIN shown AS b USING (partition_key) JOIN shown AS c USING (partition_key)
WHERE a.model_set = 'drifting' AND a.version = 2 AND b.model_set = 'drifting' AND b.version = 1 AND c.model_set = 'full' ORDER BY partition_key;
-- Their new models have not been judged; then they are, and the drift is over.
SELECT partition_key, n_rows, drifted FROM many_models.drift WHERE model_set = 'drifting' ORDER BY partition_key;
SELECT status FROM many_models.refresh_many_models('drifting', 'drifted');
SELECT month_passes('drifting', '2025-11-01') AS drifted;
SELECT partition_key, n_rows IS NOT NULL AS judged, error_drifted FROM many_models.drift WHERE model_set = 'drifting' ORDER BY partition_key;
SELECT version, status, rows_read FROM many_models.refresh_many_models('drifting', 'drifted');
-- Each group knows the rows that it was trained on: the others have new ones.
SELECT version, status FROM many_models.refresh_many_models('drifting');
SELECT made('drifting');
SELECT count(*) AS as_a_training_now FROM shown AS a JOIN shown AS c USING (partition_key, model) WHERE a.model_set = 'drifting' AND a.version = 3 AND c.model_set = 'full';

-- With models in production: what is promoted has not drifted.
DROP TABLE scores;
UPDATE known SET until = '2025-09-01';
SELECT trained FROM many_models.train_many_models('live', 'SELECT s.* FROM refresh_drifted.sold AS s, refresh_drifted.known WHERE day < until AND day >= until - 61', '{shop}', 'units', '{price}', time_column => 'day', options => '{"holdout": {"fraction": 0.2}}');
SELECT promoted > 0 AS promoted FROM many_models.promote_models('live');
SELECT month_passes('live', '2025-09-01') AS drifted;
UPDATE known SET until = '2025-11-01';
SELECT version, status FROM many_models.refresh_many_models('live', 'drifted');
SELECT made('live');
SELECT promoted > 0 AS promoted FROM many_models.promote_models('live');
SELECT month_passes('live', '2025-11-01') AS drifted;
SELECT version, status FROM many_models.refresh_many_models('live', 'drifted');

-- A drifted group without rows any more is dropped; one that cannot be trained fails, and its model goes.
SELECT month_passes('live', '2025-12-01') AS drifted;
UPDATE sold SET units = units + 100 * (1 + extract(day FROM day)) WHERE shop IN (4, 5) AND day >= '2025-12-01';
SELECT (many_models.evaluate_many_models('live', 'refresh_drifted.sold', 'refresh_drifted.scores')).drifted;
SELECT * FROM many_models.drifted_keys('live') AS k ORDER BY k;
DELETE FROM sold WHERE shop = 4;
UPDATE sold SET units = 'NaN' WHERE shop = 5 AND day = '2025-10-05';
SELECT version, groups, trained, failed FROM many_models.refresh_many_models('live', 'drifted');
SELECT made('live');
SELECT partition_key, status, attempt FROM many_models.failures WHERE model_set = 'live';

-- Who may train the set may refresh it so; who may not, may not.
CREATE ROLE rd_trainer;
GRANT USAGE ON SCHEMA refresh_drifted TO rd_trainer;
GRANT SELECT ON sold, known TO rd_trainer;
SELECT many_models.grant_usage('rd_trainer');
SET ROLE rd_trainer;
SELECT many_models.refresh_many_models('drifting', 'drifted');
RESET ROLE;
SELECT many_models.grant_model_set('drifting', 'rd_trainer', 'read');
SET ROLE rd_trainer;
SELECT many_models.refresh_many_models('drifting', 'drifted');
RESET ROLE;
SELECT many_models.grant_model_set('drifting', 'rd_trainer', 'train');
SET ROLE rd_trainer;
SELECT status FROM many_models.refresh_many_models('drifting', 'drifted');
RESET ROLE;
SELECT many_models.drop_models('drifting'), many_models.drop_models('full'), many_models.drop_models('live');
SELECT many_models.refresh_many_models('drifting', 'drifted');
DROP OWNED BY rd_trainer;
DROP ROLE rd_trainer;
DROP SCHEMA refresh_drifted CASCADE;
