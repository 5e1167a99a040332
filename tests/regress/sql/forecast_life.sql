-- Forecasters through everything that is done with models: rules, production, evaluation, refreshes, background runs, pipelines, retention, transfer, plans,
-- grants; the same bits under any plan; times at the ends of their types; functions called with what nobody should call them with.
CREATE SCHEMA forecast_life;
SET search_path = forecast_life, public;
SET client_min_messages = warning;
SET TIME ZONE 'UTC';
SELECT count(many_models.drop_models(model_set)) >= 0 AS alone FROM many_models.model_sets;

-- Three shops, 60 weeks: a line, a line with a small season of 4 weeks, a constant.
CREATE TABLE history AS
SELECT shop, DATE '2023-01-02' + 7 * w AS week, w,
       CASE shop WHEN 1 THEN 100 + 2.0 * w WHEN 2 THEN 50 + w + (ARRAY[3, -1, 2, -4])[1 + w % 4] ELSE 7 END AS units
FROM generate_series(1, 3) AS shop, generate_series(0, 59) AS w;
CREATE VIEW early AS SELECT shop, week, units FROM history WHERE w < 40;
CREATE VIEW now_known AS SELECT shop, week, units FROM history WHERE w < 48;

-- 1. Rules. The baseline is naive2 on the same held-out observations.
SELECT trained FROM many_models.train_many_models('life', 'early', '{shop}', 'units', algorithm => 'naive', time_column => 'week',
    options => '{"season_length": 1, "holdout": {"rows": 4}}');
SELECT partition_key, n_rows, round(rmse::numeric, 6) AS rmse, round(mae::numeric, 6) AS mae, round(mase::numeric, 6) AS mase, bias FROM many_models.metrics WHERE model_set = 'life' AND split = 'holdout' ORDER BY 1;
-- Naive against naive2 without a season: the same.
SELECT promoted, rejected FROM many_models.promote_models('life', rule => 'candidate.mase < baseline.mase', dry_run => true);
SELECT partition_key, action, reason FROM many_models.promotion_report WHERE model_set = 'life' ORDER BY partition_key;
SELECT promoted, rejected FROM many_models.promote_models('life', rule => 'candidate.mase <= baseline.mase OR candidate.mase IS NULL');
SELECT partition_key, version, holdout_rows, round(mase::numeric, 6) AS mase FROM many_models.production_models WHERE model_set = 'life' ORDER BY 1;
-- Eight weeks later: production has seen none of the last 8 weeks, and is judged by its forecast of them; drift is better for lines.
SELECT trained FROM many_models.train_many_models('life', 'now_known', '{shop}', 'units', algorithm => 'drift', time_column => 'week',
    options => '{"season_length": 1, "holdout": {"rows": 8}}');
SELECT promoted, kept, rejected FROM many_models.promote_models('life', rule => 'candidate.mase < production.mase AND candidate.rmse < production.rmse AND production.n_rows = 8', dry_run => true);
SELECT partition_key, action, compared, reason FROM many_models.promotion_report WHERE model_set = 'life' AND promotion_id = (SELECT max(promotion_id) FROM many_models.promotions) ORDER BY partition_key;
-- What production said of these weeks, by hand: the last value that it knew.
SELECT m.partition_key, round((m.comparison[8] - sqrt(avg((e.units - h.units) ^ 2)))::numeric, 10) AS rmse_off, round((m.comparison[9] - avg(abs(e.units - h.units)))::numeric, 10) AS mae_off
FROM many_models.model_store AS m JOIN many_models.runs AS r USING (run_id)
JOIN history AS h ON h.shop = (m.partition_key ->> 'shop')::int AND h.w BETWEEN 40 AND 47 JOIN history AS e ON e.shop = h.shop AND e.w = 39
WHERE r.model_set = 'life' AND r.version = 2 GROUP BY 1, m.comparison ORDER BY 1;
-- Eight steps from one origin are no eight independent rows: the long-run deviation and two degrees of freedom. Of shop 1 the differences of the squares are (2 h)^2.
SELECT rejected FROM many_models.promote_models('life', rule => 'significant(0.001)', dry_run => true);
SELECT partition_key, reason FROM many_models.promotion_report WHERE model_set = 'life' AND promotion_id = (SELECT max(promotion_id) FROM many_models.promotions) ORDER BY partition_key;
WITH d AS (SELECT h, (2 * h) ^ 2 AS d FROM generate_series(1, 8) AS h), c AS (SELECT j, sqrt(2 / 8.0) * sum(d * cos(pi() * j * (h - 0.5) / 8)) AS l FROM d, generate_series(1, 2) AS j GROUP BY j),
    t AS (SELECT (SELECT avg(d) FROM d) * sqrt(8) / sqrt((SELECT avg(l ^ 2) FROM c)) AS t)
SELECT round((0.5 - t / sqrt(2 + t ^ 2) / 2)::numeric, 3) AS p FROM t;
SELECT promoted, rejected FROM many_models.promote_models('life', rule => 'candidate.mae < production.mae AND significant(0.2)');
-- It knows some of the weeks now: not compared, and the report says why. One that ends earlier is.
SELECT trained FROM many_models.train_many_models('life', 'now_known', '{shop}', 'units', algorithm => 'holt', time_column => 'week',
    options => '{"season_length": 1, "holdout": {"rows": 8}}');
SELECT promoted, rejected FROM many_models.promote_models('life', rule => 'candidate.mae <= production.mae', dry_run => true);
SELECT partition_key, action, compared, reason FROM many_models.promotion_report WHERE model_set = 'life' AND promotion_id = (SELECT max(promotion_id) FROM many_models.promotions) ORDER BY partition_key;
-- Other steps mean other values: months of the same weeks.
SELECT trained FROM many_models.train_many_models('life', 'SELECT shop, date_trunc(''month'', week)::date AS week, sum(units) AS units FROM history GROUP BY 1, 2', '{shop}', 'units',
    algorithm => 'naive', time_column => 'week', options => '{"holdout": {"rows": 1}}');
SELECT rejected FROM many_models.promote_models('life', rule => 'production.mae > 0', dry_run => true);
SELECT DISTINCT compared, reason FROM many_models.promotion_report WHERE model_set = 'life' AND promotion_id = (SELECT max(promotion_id) FROM many_models.promotions);
SELECT error_of($$SELECT many_models.promote_models('life', rule => 'candidate.owa < 1')$$);
SELECT horizon_step, forecast_time, prediction, lower, upper, model_version, model_level, reason FROM many_models.forecast('life', '{"shop": 1}', 1);

-- 2. Evaluation: forecasts beside the actuals that came since, by time. The newest forecast of a time counts.
SELECT trained FROM many_models.train_many_models('ev', 'early', '{shop}', 'units', algorithm => 'drift', time_column => 'week', options => '{"season_length": 1, "holdout": {"rows": 4}}');
SELECT rows_read FROM many_models.score_many_models('ev', horizon => 6);
SELECT groups, periods, predictions, evaluated, without_actual, without_prediction, not_scored, drifted
FROM many_models.evaluate_many_models('ev', 'SELECT * FROM history WHERE w BETWEEN 39 AND 43', period => NULL);
SELECT partition_key, model_version, n_predictions, n_rows, n_without_actual, round(rmse::numeric, 6) AS rmse, round(bias::numeric, 6) AS bias, reference, round(reference_rmse::numeric, 6) AS reference_rmse, reference_rows
FROM many_models.evaluations WHERE model_set = 'ev' ORDER BY 1;
SELECT partition_key, n_rows, round(error_ratio::numeric, 4) AS error_ratio, psi, drifted FROM many_models.drift WHERE model_set = 'ev' ORDER BY 1;
SELECT groups, periods FROM many_models.evaluate_many_models('ev', 'SELECT * FROM history', period => 'month', options => '{"since": "2023-10-01", "features": true}');
-- By step ahead.
SELECT horizon_step, (a).n_rows, round((a).mae::numeric, 6) AS mae FROM (
    SELECT p.horizon_step, many_models.accuracy(p.prediction, h.units) AS a FROM ev_predictions AS p JOIN history AS h USING (shop, week) GROUP BY 1) AS s ORDER BY 1;
-- A level that leaps: drift, which a refresh of the drifted groups answers.
CREATE TABLE leap AS SELECT shop, week, w, units + CASE WHEN shop = 2 AND w >= 40 THEN 500 ELSE 0 END AS units FROM history;
SELECT evaluated, drifted FROM many_models.evaluate_many_models('ev', 'SELECT * FROM leap WHERE w < 46', period => NULL);
SELECT many_models.drifted_keys('ev');

-- 3. Refresh: the groups whose rows changed. Others keep their models, bit by bit.
CREATE TABLE growing AS SELECT shop, week, units FROM history WHERE w < 40;
SELECT trained FROM many_models.train_many_models('fresh', 'growing', '{shop}', 'units', algorithm => 'ets', time_column => 'week', options => '{"season_length": 1, "holdout": {"rows": 4}}');
INSERT INTO growing SELECT shop, week, units FROM history WHERE w BETWEEN 40 AND 41 AND shop < 3;
SELECT version, groups, trained, failed FROM many_models.refresh_many_models('fresh');
SELECT m.partition_key, m.last_time, count(DISTINCT s.model::text) AS models FROM many_models.model_store AS s JOIN many_models.models AS m USING (model_id)
WHERE m.model_set = 'fresh' AND m.partition_key = '{"shop": 3}' GROUP BY 1, 2;
SELECT partition_key, version, observations FROM many_models.forecasters WHERE model_set = 'fresh' ORDER BY 1, 2;
SELECT version FROM many_models.refresh_many_models('fresh');
-- The same as a training of everything.
SELECT trained FROM many_models.train_many_models('fresh');
SELECT bool_and(a.model::text = b.model::text) AS same FROM many_models.model_store AS a JOIN many_models.runs AS r ON r.run_id = a.run_id AND r.version = 2
JOIN many_models.model_store AS b ON b.partition_key = a.partition_key JOIN many_models.runs AS q ON q.run_id = b.run_id AND q.version = 3 WHERE r.model_set = 'fresh' AND q.model_set = 'fresh';
-- Failed groups again: shop 2 has a week twice.
INSERT INTO growing VALUES (2, '2023-01-02', 1);
SELECT trained, failed FROM many_models.train_many_models('fresh');
SELECT partition_key, sqlstate, message, hint FROM many_models.failures AS f WHERE model_set = 'fresh' AND version = 4;
DELETE FROM growing WHERE shop = 2 AND units = 1;
SELECT version, trained, failed FROM many_models.retrain_failed((SELECT max(run_id) FROM many_models.runs WHERE model_set = 'fresh'));
-- Each group its own method and season.
SELECT trained FROM many_models.train_many_models('grouped', 'early', '{shop}', 'units', algorithm => 'ets', time_column => 'week',
    options => '{"form": "ANN", "season_length": 1, "group_options": [{"key": {"shop": 2}, "options": {"form": "AAA", "season_length": 4}}]}');
SELECT partition_key, label, season_lengths FROM many_models.forecasters WHERE model_set = 'grouped' ORDER BY 1;
SELECT split_part(error_of($$SELECT many_models.train_many_models('grouped', options => '{"group_options": [{"key": {"shop": 2}, "options": {"order": [1, 0, 0]}}]}')$$), E'\n', 1);

-- Background: a training, a scoring with a horizon.
SELECT many_models.start_training('behind', 'forecast_life.early', '{shop}', 'units', algorithm => 'naive', time_column => 'week') AS run \gset
SELECT many_models.wait_for_run(:run);
SELECT status, trained, failed, sqlstate, message FROM many_models.background_runs WHERE run_id = :run;
SELECT many_models.start_scoring('behind', horizon => 3) AS run \gset
SELECT many_models.wait_for_run(:run);
SELECT status, sqlstate, message FROM many_models.background_runs WHERE run_id = :run;
SELECT shop, count(*), max(horizon_step), max(week) FROM behind_predictions WHERE run_id = :run GROUP BY 1 ORDER BY 1;
SELECT many_models.start_scoring('behind') AS run \gset
SELECT many_models.wait_for_run(:run);
SELECT count(*) FROM behind_predictions WHERE run_id = :run;

-- A pipeline, with retention.
SELECT many_models.set_retention('behind', 2);
SELECT many_models.set_pipeline('behind', '{"train": {"workers": 1}, "promote": {"rule": "candidate.mase <= baseline.mase OR baseline.mase IS NULL"}, "score": {"horizon": 2, "into_table": "piped"}, "evaluate": {"predictions": "piped", "source": "history", "period": "month"}, "retention": {}}');
SELECT step, detail -> 0 ->> 'version' AS version, detail -> 0 ->> 'rows_read' AS rows_read, detail -> 0 ->> 'evaluated' AS evaluated FROM many_models.run_pipeline('behind');
SELECT step, detail -> 0 ->> 'version' AS version, detail -> 0 ->> 'rows_read' AS rows_read, detail -> 0 ->> 'evaluated' AS evaluated FROM many_models.run_pipeline('behind');
SELECT array_agg(DISTINCT version ORDER BY version) FROM many_models.models WHERE model_set = 'behind';
SELECT shop, week, horizon_step, prediction FROM piped ORDER BY shop, run_id, week;

-- To another database and back: the same bytes, the same forecasts.
SELECT trained FROM many_models.train_many_models('all', 'history', '{shop}', 'units', algorithm => 'ensemble', time_column => 'week', options => '{"season_length": 4, "candidates": ["ets", "arima", "theta"], "interval": "conformal"}');
CREATE TABLE staged AS SELECT * FROM many_models.export_models('all');
SELECT model_set, trained, failed FROM many_models.import_models('staged', 'copied');
SELECT count(*), bool_and(a.model::text = b.model::text) AS same_bytes FROM many_models.model_store AS a JOIN many_models.runs AS r ON r.run_id = a.run_id AND r.model_set = 'all'
JOIN many_models.model_store AS b ON b.partition_key = a.partition_key AND b.key_hash = a.key_hash JOIN many_models.runs AS q ON q.run_id = b.run_id AND q.model_set = 'copied';
SELECT count(*), bool_and(a = b) AS same_forecasts FROM generate_series(1, 3) AS shop,
LATERAL ROWS FROM (many_models.forecast('all', jsonb_build_object('shop', shop), 13), many_models.forecast('copied', jsonb_build_object('shop', shop), 13)) AS f (s1, t1, p1, l1, u1, v1, m1, r1, q1, s2, t2, p2, l2, u2, v2, m2, r2, q2),
LATERAL (SELECT ROW(s1, t1, p1, l1, u1, r1) AS a, ROW(s2, t2, p2, l2, u2, r2) AS b) AS c;
SELECT rows_read FROM many_models.score_many_models('copied', horizon => 2);

-- A plan: what a run then meets.
CREATE TABLE odd AS SELECT shop, week, units FROM early UNION ALL SELECT 1, NULL, 1000 UNION ALL SELECT 4, NULL, 1 UNION ALL SELECT 5, DATE '2024-01-01' + i, 'NaN' FROM generate_series(1, 9) AS i UNION ALL SELECT 6, '2024-01-01', 1;
SELECT groups, trainable, below_min_rows, constant_target, bad_values, too_large, rows, usable_rows, exchange, estimated_from_run
FROM many_models.plan_training('odd', 'odd', '{shop}', 'units', algorithm => 'naive', time_column => 'week', options => '{"frequency": "week"}');
SELECT groups, trained, failed, skipped, rows_read FROM many_models.train_many_models('odd', 'odd', '{shop}', 'units', algorithm => 'naive', time_column => 'week', options => '{"frequency": "week"}');
SELECT partition_key, status, sqlstate, message FROM many_models.failures WHERE model_set = 'odd' ORDER BY 1;
SELECT estimated_from_run IS NOT NULL AS calibrated FROM many_models.plan_training('odd');
WITH p AS (SELECT a, (many_models.plan_training('costs', 'early', '{shop}', 'units', algorithm => a, time_column => 'week')).estimated_seconds AS s
           FROM unnest('{naive,theta,ets,auto_forecast}'::text[]) WITH ORDINALITY AS u (a, n))
SELECT max(s) FILTER (WHERE a = 'naive') <= max(s) FILTER (WHERE a = 'theta') AS a, max(s) FILTER (WHERE a = 'theta') <= max(s) FILTER (WHERE a = 'ets') AS b,
       max(s) FILTER (WHERE a = 'ets') < max(s) FILTER (WHERE a = 'auto_forecast') AS c FROM p;

-- Views of all models work beside forecasters.
SELECT shop, algorithm, holdout_rows, round(holdout_mase::numeric, 6) AS holdout_mase FROM life_models WHERE version = 1 ORDER BY shop;
SELECT count(*) FROM many_models.coefficients;
SELECT model_set, n_rows, n_parameters, df_residual, condition_number FROM many_models.fit_statistics WHERE model_set = 'grouped' ORDER BY partition_key;
SELECT count(*) > 0 AS rows, count(DISTINCT model_set) > 5 AS sets FROM many_models.metrics;
SELECT count(many_models.model_checksum(model)) = count(*) AS all FROM many_models.model_store;

-- 4. The same bits under any plan, order of rows and budget.
CREATE TABLE wide AS SELECT g, t, (g * 37 % 101) + 3 * sin(t * g * 0.7) + 0.1 * t AS y FROM generate_series(1, 400) AS g, generate_series(1, 30) AS t;
CREATE FUNCTION bits(source text, workers int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    digest text;
BEGIN
    PERFORM many_models.train_many_models('bits', source, '{g}', 'y', algorithm => 'auto_forecast', time_column => 't', options => '{"candidates": ["drift", "ses", "holt"], "season_length": 1, "interval": "conformal"}', workers => workers);
    SELECT md5(string_agg(m.partition_key::text || m.model::text, ',' ORDER BY m.partition_key::text COLLATE "C")) INTO digest FROM many_models.model_store AS m JOIN many_models.runs AS r USING (run_id) WHERE r.model_set = 'bits';
    PERFORM many_models.drop_models('bits');
    RETURN digest;
END $$;
SET min_parallel_table_scan_size = 0; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0;
CREATE TABLE shuffled AS SELECT * FROM wide ORDER BY md5(g::text || t), g;
ANALYZE wide; ANALYZE shuffled;
CREATE TEMP TABLE digests AS SELECT 'one' AS how, bits('wide', 1) AS digest;
INSERT INTO digests VALUES ('two', bits('wide', 2)), ('three, shuffled', bits('shuffled', 3)), ('sorted', bits('SELECT * FROM wide ORDER BY t DESC, g', 2));
SET many_models.memory_budget = '1MB';
INSERT INTO digests VALUES ('small budget', bits('shuffled', 2));
SELECT count(*), count(DISTINCT digest), bool_and(digest IS NOT NULL) AS all FROM digests;
-- A series of more than half of the budget fails alone.
CREATE TABLE huge AS SELECT 1 AS g, t, (t % 7)::float8 AS y FROM generate_series(1, 40000) AS t UNION ALL SELECT 2, t, t FROM generate_series(1, 20) AS t;
SELECT groups, trained, failed FROM many_models.train_many_models('huge', 'huge', '{g}', 'y', algorithm => 'naive', time_column => 't', options => '{"season_length": 1}');
SELECT partition_key, sqlstate, message FROM many_models.failures WHERE model_set = 'huge';
SELECT too_large, trainable FROM many_models.plan_training('huge');
RESET many_models.memory_budget; RESET min_parallel_table_scan_size; RESET parallel_setup_cost; RESET parallel_tuple_cost;
-- Cancelled in the middle of many fits: within a second, and nothing remains.
CREATE TABLE slow AS SELECT g, t, 100 + 10 * sin(t * 0.5236) + (g * t * 7919 % 101) / 10.0 + t * 0.1 AS y FROM generate_series(1, 2000) AS g, generate_series(1, 120) AS t;
SET statement_timeout = '700ms';
\set VERBOSITY terse
SELECT many_models.train_many_models('slow', 'slow', '{g}', 'y', algorithm => 'auto_forecast', time_column => 't', options => '{"season_length": 12}');
RESET statement_timeout;
SELECT count(*) FROM many_models.model_sets WHERE model_set = 'slow';
\set VERBOSITY default

-- 6. The ends of time.
CREATE TABLE ends (g text, d date, ts timestamp, tz timestamptz, i2 int2, i8 int8, y float8);
INSERT INTO ends SELECT 'last', '5874897-12-31'::date - 10 + i, '294276-12-31'::timestamp - interval '10 day' + i * interval '1 day', '294276-12-31 00:00+00'::timestamptz - interval '10 day' + i * interval '1 day', 32757 + i, 9223372036854775797 + i, i FROM generate_series(0, 9) AS i
UNION ALL SELECT 'first', '0001-01-01'::date + i, '0001-01-01'::timestamp + i * interval '1 day', '0001-01-01 00:00+00'::timestamptz + i * interval '1 day', -32768 + i, -9223372036854775808 + i, i FROM generate_series(0, 9) AS i
UNION ALL SELECT '2100', '2100-02-01'::date + i, '2100-02-01'::timestamp + i * interval '1 day', '2100-02-01 00:00+00'::timestamptz + i * interval '1 day', i, i, i FROM generate_series(0, 27) AS i
UNION ALL SELECT 'infinite', CASE i WHEN 5 THEN 'infinity'::date ELSE '2024-01-01'::date + i END, CASE i WHEN 5 THEN '-infinity'::timestamp ELSE '2024-01-01'::timestamp + i * interval '1 day' END, CASE i WHEN 5 THEN 'infinity'::timestamptz ELSE '2024-01-01 00:00+00'::timestamptz + i * interval '1 day' END, i, i, i FROM generate_series(0, 9) AS i;
CREATE FUNCTION ends(time_column text) RETURNS TABLE (g text, times text, predictions numeric[]) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM many_models.train_many_models('ends', 'ends', '{g}', 'y', algorithm => 'drift', time_column => time_column, options => '{"season_length": 1, "holdout": {"rows": 0}}');
    DROP TABLE IF EXISTS at_ends;
    PERFORM many_models.score_many_models('ends', horizon => 3, into_table => 'at_ends');
    RETURN QUERY EXECUTE format('SELECT g, string_agg(coalesce(%I::text, ''NULL''), '', '' ORDER BY horizon_step), array_agg(round(prediction::numeric, 3) ORDER BY horizon_step) FROM at_ends GROUP BY g ORDER BY g', time_column);
    RETURN QUERY SELECT k || ' now', string_agg(coalesce(f.forecast_time, 'NULL'), ', ' ORDER BY f.horizon_step), NULL::numeric[] FROM unnest('{2100,first,infinite,last}'::text[]) AS k, many_models.forecast('ends', jsonb_build_object('g', k), 3) AS f GROUP BY k ORDER BY k;
    RETURN QUERY SELECT (f.partition_key ->> 'g') || ' failed', f.sqlstate || ' ' || f.message, NULL::numeric[] FROM many_models.failures AS f WHERE f.model_set = 'ends' ORDER BY 1;
    PERFORM many_models.drop_models('ends');
END $$;
SELECT * FROM ends('d');
SELECT * FROM ends('ts');
SELECT * FROM ends('tz');
SELECT * FROM ends('i2');
SELECT * FROM ends('i8');
SET TIME ZONE 'America/New_York';
SELECT * FROM ends('tz');
SET TIME ZONE 'UTC';
-- Far apart: too many observations between.
CREATE TABLE apart AS SELECT t, 1.0 * t AS y FROM unnest('{1,2,9223372036854775807}'::int8[]) AS t;
SELECT failed FROM many_models.train_many_models('apart', 'apart', '{}', 'y', algorithm => 'naive', time_column => 't', options => '{"fill": "zero"}');
SELECT sqlstate, message FROM many_models.failures WHERE model_set = 'apart';

SELECT count(many_models.drop_models(model_set)) > 8 AS dropped FROM many_models.model_sets;
SELECT count(*) FROM many_models.forecasters;
SET client_min_messages = error;
DROP SCHEMA forecast_life CASCADE;
