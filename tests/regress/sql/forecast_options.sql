-- Each option of the forecasters does what its line in the reference says; metrics by their definitions.
CREATE SCHEMA forecast_options;
SET search_path = forecast_options, public;
SET client_min_messages = warning;
SET TIME ZONE 'UTC';
SET DateStyle = 'ISO, YMD';
-- The forecasts of a series (t, y) by an algorithm with options.
CREATE FUNCTION said(source text, algorithm text, options jsonb DEFAULT '{}', horizon int DEFAULT 3, features text[] DEFAULT NULL) RETURNS float8[] LANGUAGE plpgsql AS $$
DECLARE
    result float8[];
BEGIN
    PERFORM many_models.train_many_models('said', source, '{}', 'y', features, algorithm, 't', '{"holdout": {"rows": 0}}' || options);
    SELECT array_agg(round(f.prediction::numeric, 8)::float8 ORDER BY f.horizon_step) INTO result FROM many_models.forecast('said', '{}', horizon) AS f;
    RETURN result;
END $$;
-- The same, with what the views say of the model.
CREATE FUNCTION model_of(source text, algorithm text, options jsonb DEFAULT '{}') RETURNS TABLE (label text, frequency text, season_lengths int[], observations bigint, filled bigint, merged bigint, stepped_down boolean) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM said(source, algorithm, options);
    RETURN QUERY SELECT f.label, f.frequency, f.season_lengths::int[], f.observations::bigint, f.filled::bigint, f.merged::bigint, f.stepped_down IS NOT NULL FROM many_models.forecasters AS f WHERE f.model_set = 'said' ORDER BY f.version DESC LIMIT 1;
END $$;
CREATE FUNCTION lags_of() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT string_agg(term, ', ' ORDER BY term) FROM many_models.forecast_terms WHERE model_set = 'said' AND kind = 'parameter' AND version = (SELECT latest_version FROM many_models.model_sets WHERE model_set = 'said'));
END $$;
CREATE FUNCTION terms_of(wanted text) RETURNS text LANGUAGE sql AS $$
SELECT string_agg(term || ' ' || round(estimate::numeric, 6), ', ' ORDER BY term) FROM many_models.forecast_terms
WHERE model_set = 'said' AND kind = wanted AND version = (SELECT latest_version FROM many_models.model_sets WHERE model_set = 'said') $$;

-- frequency: given or inferred, of each type of time; the season that goes with it; the times that follow.
CREATE FUNCTION stepped(type text, first text, step text, options jsonb) RETURNS TABLE (frequency text, season_lengths text, times text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TEMP TABLE steps AS SELECT (%s)::%s AS t, i AS y FROM generate_series(0, 7) AS i',
        CASE WHEN type LIKE 'int%' OR type LIKE '%int' THEN format('%s + i * %s', first, step) ELSE format('timestamp %L + i * interval %L', first, step) END, type);
    PERFORM many_models.train_many_models('steps', 'steps', '{}', 'y', algorithm => 'drift', time_column => 't', options => '{"holdout": {"rows": 0}}' || options);
    RETURN QUERY SELECT f.frequency, f.season_lengths::text, (SELECT string_agg(p.forecast_time || ' ' || p.prediction, ', ' ORDER BY p.horizon_step) FROM many_models.forecast('steps', '{}', 2) AS p) FROM many_models.forecasters AS f WHERE f.model_set = 'steps';
    PERFORM many_models.drop_models('steps');
    DROP TABLE steps;
END $$;
SELECT v.type, v.step, v.options::jsonb ->> 'frequency' AS given, s.* FROM (VALUES
    ('date', '2020-02-29', '1 year', '{}'), ('date', '2020-02-29', '1 year', '{"frequency": "year"}'), ('date', '2023-01-31', '3 months', '{}'), ('date', '2023-01-31', '3 months', '{"frequency": "quarter"}'),
    ('date', '2023-01-15', '1 month', '{"frequency": "month"}'), ('date', '2024-01-01', '7 days', '{}'), ('date', '2024-01-01', '7 days', '{"frequency": "week"}'), ('date', '2024-01-01', '14 days', '{"frequency": "2 weeks"}'),
    ('date', '2024-02-20', '1 day', '{}'), ('timestamp', '2024-02-28 06:00', '1 day', '{"frequency": "day"}'), ('timestamp', '2024-02-29 20:00', '1 hour', '{}'), ('timestamp', '2024-02-29 20:00', '1 hour', '{"frequency": "hour"}'),
    ('timestamptz', '2024-02-29 22:00', '30 minutes', '{}'), ('timestamptz', '2024-02-29 22:00', '15 minutes', '{"frequency": "15 minutes"}'), ('timestamptz', '2024-02-29 23:55', '1 minute', '{"frequency": "minute"}'),
    ('timestamptz', '2024-02-29 23:59:55', '1 second', '{"frequency": "second"}'), ('smallint', '3', '5', '{}'), ('int', '3', '5', '{"frequency": 5}'), ('bigint', '3', '5', '{"frequency": "5"}'),
    ('date', '2024-01-01', '1 day', '{"season_length": [7, 30]}')) AS v (type, first, step, options), LATERAL stepped(v.type, v.first, v.step, v.options::jsonb) AS s;
-- Days of a zone whose clocks go forward within the series, by the session's zone, and by one that is given; hours have no gap there.
CREATE TABLE berlin AS SELECT (timestamp '2024-03-28 00:00' + i * interval '1 day') AT TIME ZONE 'Europe/Berlin' AS t, i AS y FROM generate_series(0, 3) AS i;
SELECT trained FROM many_models.train_many_models('zoned', 'berlin', '{}', 'y', algorithm => 'drift', time_column => 't', options => '{"time_zone": "Europe/Berlin", "frequency": "day", "holdout": {"rows": 0}}');
SELECT forecast_time, prediction FROM many_models.forecast('zoned', '{}', 2);
SET TIME ZONE 'Europe/Berlin';
SELECT trained FROM many_models.train_many_models('zoned', options => '{"frequency": "day", "holdout": {"rows": 0}}');
SELECT forecast_time, prediction FROM many_models.forecast('zoned', '{}', 2);
SET TIME ZONE 'UTC';
SELECT observations, filled FROM model_of('SELECT timestamptz ''2024-03-31 00:00+01'' + i * interval ''1 hour'' AS t, i AS y FROM generate_series(0, 5) AS i', 'drift', '{"time_zone": "Europe/Berlin", "fill": "zero"}');

-- fill: the mean of 0 .. 9 without 4, by what stands in its place.
CREATE TABLE gap AS SELECT t, t::float8 AS y FROM generate_series(0, 9) AS t WHERE t <> 4;
CREATE FUNCTION judged() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT n FROM many_models.forecast_metrics WHERE model_set = 'said' AND split = 'train' AND horizon_step IS NULL ORDER BY version DESC LIMIT 1);
END $$;
SELECT f AS fill, (said('gap', 'mean', jsonb_build_object('fill', f), 1))[1] AS mean, m.observations, m.filled, judged()
FROM unnest(ARRAY['zero', 'forward', 'interpolate', 'null']) AS f, LATERAL model_of('gap', 'mean', jsonb_build_object('fill', f)) AS m;
SELECT failed FROM many_models.train_many_models('no', 'gap', '{}', 'y', algorithm => 'mean', time_column => 't', options => '{"fill": "error"}');
SELECT sqlstate, message FROM many_models.failures WHERE model_set = 'no';
-- duplicates: 1, 2, 3 and 5 of one time.
CREATE TABLE twice AS SELECT * FROM (VALUES (1, 1.0::float8), (2, 2.0), (3, 3.0), (3, 5.0)) AS v (t, y);
SELECT d AS duplicates, said('twice', 'naive', jsonb_build_object('duplicates', d), 1) AS last, m.observations, m.merged FROM unnest('{sum,mean,last}'::text[]) AS d, LATERAL model_of('twice', 'naive', jsonb_build_object('duplicates', d)) AS m;
SELECT failed FROM many_models.train_many_models('no', 'twice', '{}', 'y', algorithm => 'mean', time_column => 't', options => '{"duplicates": "error"}');
SELECT sqlstate, message FROM many_models.failures WHERE model_set = 'no' AND version = 2;
-- trim_leading_zeros; ragged ends, rows without a value at both; null_policy.
CREATE TABLE zeros AS SELECT t, (ARRAY[0, 0, 0, 4, 0, 8])[t]::float8 AS y FROM generate_series(1, 6) AS t;
SELECT said('zeros', 'mean', '{}', 1), said('zeros', 'mean', '{"trim_leading_zeros": true}', 1) AS trimmed, said('SELECT t, 0 AS y FROM zeros', 'mean', '{"trim_leading_zeros": true}', 1) AS all_zero;
CREATE TABLE ragged AS SELECT g, t, CASE WHEN t BETWEEN g AND 6 + g THEN t END AS y FROM generate_series(1, 3) AS g, generate_series(0, 12) AS t;
SELECT trained FROM many_models.train_many_models('ragged', 'ragged', '{g}', 'y', algorithm => 'naive', time_column => 't', options => '{"holdout": {"rows": 0}}');
SELECT f.partition_key, f.observations, m.first_time, m.last_time, p.forecast_time, p.prediction FROM many_models.forecasters AS f JOIN many_models.models AS m USING (model_id), LATERAL many_models.forecast('ragged', f.partition_key, 1) AS p WHERE f.model_set = 'ragged' ORDER BY 1;
-- A row without a value is a missing one, whatever null_policy is: fill says what becomes of it.
SELECT p AS null_policy, failed
FROM unnest('{skip_row,error}'::text[]) AS p, LATERAL many_models.train_many_models('no', 'SELECT t, nullif(y, 7) AS y FROM gap WHERE t > 4', '{}', 'y', algorithm => 'mean', time_column => 't', options => jsonb_build_object('null_policy', p)) AS r;
SELECT sqlstate, message FROM many_models.failures WHERE model_set = 'no' AND version > 2 ORDER BY version;
-- min_rows, step_down, holdout since.
SELECT skipped FROM many_models.train_many_models('no', 'gap', '{}', 'y', algorithm => 'mean', time_column => 't', options => '{"min_rows": 10, "fill": "zero"}');
SELECT (model_of('twice', 'seasonal_naive', '{"duplicates": "sum", "season_length": 4}')).*;
SELECT trained FROM many_models.train_many_models('no', 'zeros', '{}', 'y', algorithm => 'mean', time_column => 't', options => '{"holdout": {"since": "5"}}');
SELECT split, n_rows, mae, bias FROM many_models.metrics WHERE model_set = 'no' AND version = (SELECT max(version) FROM many_models.models WHERE model_set = 'no') ORDER BY 1;

-- Options of the methods, by values that can be checked by hand.
CREATE TABLE six AS SELECT t, t::float8 AS y FROM generate_series(1, 6) AS t;
CREATE TABLE season AS SELECT t, 10 + 0.5 * t + (ARRAY[3, -1, 2, -4])[1 + t % 4] + 0.2 * (t * t % 3) AS y FROM generate_series(1, 40) AS t;
SELECT said('six', 'window_average', '{"window": 2}') AS window_average, said('six', 'seasonal_window_average', '{"window": 2, "season_length": 2}') AS seasonal_window_average;
SELECT said('season', 'damped_holt', '{"alpha": 0.5, "beta": 0.2, "phi": 0.9, "season_length": 1}', 1) IS NOT NULL AS damped, terms_of('parameter');
SELECT said('season', 'holt_winters', '{"alpha": 0.5, "beta": 0.2, "gamma": 0.3, "season_length": 4, "season": "multiplicative", "start": "heuristic"}', 1) IS NOT NULL AS winters, terms_of('parameter');
SELECT (model_of('season', 'holt_winters', '{"season_length": 4, "season": "multiplicative"}')).label AS multiplicative, (model_of('season', 'holt_winters', '{"season_length": 4}')).label AS additive;
CREATE TABLE growth AS SELECT t, 3 * 1.2 ^ t * (1 + 0.02 * (t * t % 5)) AS y FROM generate_series(1, 30) AS t;
SELECT (model_of('growth', 'ets', '{"season_length": 1}')).label, (model_of('growth', 'ets', '{"season_length": 1, "additive_only": true}')).label AS additive_only, (model_of('growth', 'ets', '{"season_length": 1, "multiplicative_trend": true}')).label AS multiplicative_trend;
-- seasonal: false is a line; true is not.
SELECT s AS seasonal, abs((f)[1] - 2 * (f)[2] + (f)[3]) < 1e-6 AS is_line FROM unnest('{true,false}'::boolean[]) AS s, LATERAL said('season', 'theta', jsonb_build_object('season_length', 4, 'seasonal', s)) AS f;
-- arima of given orders: a random walk is naive, with a constant drift, with a seasonal difference seasonal naive; no model at all the mean.
SELECT said('season', 'arima', '{"season_length": 1, "order": [0, 1, 0], "constant": false}') = said('season', 'naive') AS naive, said('season', 'arima', '{"season_length": 1, "order": [0, 1, 0]}') = said('season', 'drift') AS drift,
       said('season', 'arima', '{"season_length": 4, "order": [0, 0, 0], "seasonal_order": [0, 1, 0], "constant": false}', 5) = said('season', 'seasonal_naive', '{"season_length": 4}', 5) AS seasonal_naive,
       said('season', 'arima', '{"season_length": 4, "max_p": 0, "max_q": 0, "max_seasonal_p": 0, "max_seasonal_q": 0, "d": 0, "seasonal_d": 0}') = said('season', 'mean') AS mean;
SELECT (model_of('season', 'arima', '{"season_length": 4, "d": 2, "seasonal_d": 0, "max_p": 1, "max_q": 1}')).label ~ '^ARIMA\([01],2,[01]\)' AS twice_differenced, (model_of('season', 'arima', '{"season_length": 4, "seasonal": false}')).label !~ '\)\(' AS no_season;
-- lags; calendar: the value of a day is that of its day of the week and its month.
SELECT l AS lags, said('season', 'autoregression', jsonb_build_object('lags', l, 'season_length', 1), 1) IS NOT NULL AS fitted, lags_of() AS terms FROM generate_series(1, 3) AS l;
CREATE TABLE daily AS SELECT date '2023-01-01' + i AS t, extract(isodow FROM date '2023-01-01' + i) * 10 + extract(month FROM date '2023-01-01' + i) AS y FROM generate_series(0, 799) AS i;
SELECT a, f, array_agg(extract(isodow FROM date '2025-03-11' + i) * 10 + extract(month FROM date '2025-03-11' + i) ORDER BY i) AS to_come FROM (VALUES ('arima', '{"order": [0, 0, 0], "calendar": true, "season_length": 1}'::jsonb), ('autoregression', '{"lags": 1, "calendar": true, "season_length": 1}')) AS v (a, o),
    LATERAL said('daily', a, o, 3) AS f, generate_series(0, 2) AS i GROUP BY a, f;
-- Intermittent demand: 3 each third time; alpha of croston is 0.1 unless given or searched; adida by given blocks.
CREATE TABLE demand AS SELECT t, CASE WHEN t % 3 = 0 THEN 3 ELSE 0 END AS y FROM generate_series(1, 30) AS t;
SELECT said('demand', 'croston', '{}', 1) AS croston, said('demand', 'sba', '{"alpha": 0.2}', 1) AS sba, said('demand', 'adida', '{"aggregation": 3}', 1) AS adida, said('demand', 'imapa', '{"aggregation": 2}', 1) AS imapa;
SELECT o AS optimise, said('SELECT t, CASE WHEN t * t % 7 = 2 THEN t % 5 + 1 ELSE 0 END AS y FROM generate_series(1, 40) AS t', 'croston', jsonb_build_object('optimise', o), 1) IS NOT NULL AS fitted, terms_of('parameter') FROM unnest('{false,true}'::boolean[]) AS o;
-- Combinations of naive 6, mean 3.5, drift 7; a candidate with options of its own; weights by the backtest, of which drift never errs.
SELECT c AS combine, said('six', 'ensemble', jsonb_build_object('candidates', '["naive", "mean", "drift"]'::jsonb, 'combine', c), 1) FROM unnest('{median,mean,trimmed}'::text[]) AS c;
SELECT said('six', 'ensemble', '{"candidates": ["naive", {"algorithm": "window_average", "window": 2}], "combine": "mean"}', 1);
SELECT w.w[1] BETWEEN 6 AND 7 AS between, w.w[1] > 6.5 AS nearer_to_drift FROM said('six', 'ensemble', '{"candidates": ["naive", "drift"], "combine": "weighted"}', 1) AS w (w);
SELECT (model_of('six', 'auto_forecast', '{"candidates": ["naive", "drift"]}')).label;
-- Components: the forecast of Holt-Winters is level, trend and season; orders and coefficients; members and their weights.
SELECT trained FROM many_models.train_many_models('parts', 'season', '{}', 'y', algorithm => 'holt_winters', time_column => 't', options => '{"season_length": 4, "holdout": {"rows": 0}}');
SELECT count(*), bool_and(abs(f.prediction - (c.level + f.horizon_step * c.trend + s.estimate)) < 1e-9) AS by_components
FROM many_models.forecast('parts', '{}', 8) AS f, (SELECT max(estimate) FILTER (WHERE term = 'level') AS level, max(estimate) FILTER (WHERE term = 'trend') AS trend FROM many_models.forecast_terms WHERE model_set = 'parts' AND kind = 'state') AS c,
     many_models.forecast_terms AS s WHERE s.model_set = 'parts' AND s.kind = 'seasonal' AND s.term = 'season' || 1 + (f.horizon_step - 1) % 4;
SELECT trained FROM many_models.train_many_models('parts', algorithm => 'arima', options => '{"season_length": 4, "order": [1, 0, 0], "seasonal_order": [0, 1, 1], "holdout": {"rows": 0}}');
SELECT kind, string_agg(term || CASE kind WHEN 'order' THEN ' ' || estimate ELSE '' END, ', ' ORDER BY term COLLATE "C") AS terms, bool_and(std_error > 0) AS errors FROM many_models.forecast_terms WHERE model_set = 'parts' AND version = 2 GROUP BY 1 ORDER BY 1;
SELECT trained FROM many_models.train_many_models('parts', algorithm => 'ensemble', options => '{"season_length": 1, "candidates": ["naive", "mean", "drift"], "combine": "weighted", "holdout": {"rows": 0}}');
SELECT count(DISTINCT (member, method)) AS members, abs(sum(DISTINCT weight) - 1) < 1e-9 AS of_one, bool_and(weight > 0) AS positive FROM many_models.forecast_terms WHERE model_set = 'parts' AND version = 3;
SELECT label, combination FROM many_models.forecasters WHERE model_set = 'parts' ORDER BY version;
-- interval, seed: the same paths for the same seed, others for another.
CREATE FUNCTION upper_end(seed int) RETURNS float8 LANGUAGE plpgsql AS $$
BEGIN
    PERFORM said('season', 'ses', jsonb_build_object('interval', 'bootstrap', 'seed', seed));
    RETURN (SELECT sum(upper) FROM many_models.forecast('said', '{}', 5));
END $$;
SELECT upper_end(1) = upper_end(1) AS same, upper_end(1) <> upper_end(2) AS others;
-- A forecast more than ten ranges away is flagged, and given.
SELECT trained FROM many_models.train_many_models('exploding', 'SELECT t, 2.0 ^ t AS y FROM generate_series(1, 20) AS t', '{}', 'y', algorithm => 'autoregression', time_column => 't', options => '{"lags": 1, "season_length": 1, "holdout": {"rows": 0}}');
SELECT horizon_step, round(prediction) AS prediction, reason FROM many_models.forecast('exploding', '{}', 5);

-- Backtests: where folds lie, gap, step, sliding window, horizon.
CREATE FUNCTION folds(algorithm text, options text) RETURNS TABLE (fold int, times text, predictions text) LANGUAGE sql AS $$
SELECT p.fold, string_agg(p.forecast_time, ' ' ORDER BY p.horizon_step), string_agg(p.prediction::text, ' ' ORDER BY p.horizon_step) FROM many_models.backtest_points('b', 'SELECT t, t::float8 AS y FROM generate_series(1, 20) AS t', '{}', 'y', NULL, algorithm, 't', options::jsonb) AS p GROUP BY 1 ORDER BY 1 $$;
SELECT o, f.* FROM unnest(ARRAY['{"backtest": {"folds": 2, "horizon": 3}}', '{"backtest": {"folds": 2, "horizon": 3, "step": 1}}', '{"backtest": {"folds": 2, "horizon": 2, "gap": 4}}', '{"cv_folds": 3, "horizon": 1}']) AS o, LATERAL folds('naive', o) AS f;
SELECT o, f.* FROM unnest(ARRAY['{"backtest": {"folds": 1, "horizon": 2}}', '{"backtest": {"folds": 1, "horizon": 2, "window": 4}}']) AS o, LATERAL folds('mean', o) AS f;

-- Metrics of a backtest by their definitions, by step and in total, from its points.
CREATE TABLE noisy AS SELECT g, t, 50 + t + g * (t * t * 7 % 11) + 40 * g * (t = 37)::int AS y FROM generate_series(1, 3) AS g, generate_series(1, 40) AS t;
\set options '{"season_length": 1, "holdout": {"rows": 0}, "backtest": {"folds": 4, "horizon": 3, "step": 2}}'
SELECT trained FROM many_models.train_many_models('judged', 'noisy', '{g}', 'y', algorithm => 'ses', time_column => 't', options => :'options');
CREATE TABLE points AS SELECT p.*, p.forecast_time::int AS t FROM many_models.backtest_points('judged') AS p;
CREATE TABLE rival AS SELECT p.* FROM many_models.backtest_points('judged', algorithm => 'naive2', options => :'options') AS p;
CREATE VIEW scaled AS
SELECT p.*, r.prediction AS rival, s.absolute, s.squared
FROM points AS p JOIN rival AS r USING (partition_key, fold, horizon_step)
JOIN LATERAL (SELECT avg(abs(d)) AS absolute, avg(d * d) AS squared
              FROM (SELECT y - lag(y) OVER (ORDER BY n.t) AS d FROM noisy AS n WHERE n.g = (p.partition_key ->> 'g')::int AND n.t <= p.t - p.horizon_step) AS x) AS s ON true;
CREATE VIEW by_hand AS
SELECT partition_key, horizon_step, count(*) AS n, avg(abs(e)) AS mae, sqrt(avg(e * e)) AS rmse, avg(abs(e / actual)) AS mape, avg(2 * abs(e) / (abs(actual) + abs(prediction))) AS smape, avg(abs(e) / absolute) AS mase,
       sqrt(avg(e * e / squared)) AS rmsse, avg((actual BETWEEN lower AND upper)::int) AS coverage, avg(upper - lower + 40 * greatest(lower - actual, actual - upper, 0)) AS winkler, avg(e) AS bias,
       (avg(2 * abs(e) / (abs(actual) + abs(prediction))) / avg(2 * abs(r) / (abs(actual) + abs(rival))) + avg(abs(e) / absolute) / avg(abs(r) / absolute)) / 2 AS owa
FROM (SELECT *, prediction - actual AS e, rival - actual AS r FROM scaled) AS s GROUP BY GROUPING SETS ((partition_key, horizon_step), (partition_key));
SELECT count(*), count(DISTINCT m.horizon_step) AS steps, bool_and(m.n = h.n) AS n, max(abs(m.mae - h.mae)) < 1e-12 AS mae, max(abs(m.rmse - h.rmse)) < 1e-12 AS rmse, max(abs(m.mape - h.mape)) < 1e-12 AS mape, max(abs(m.smape - h.smape)) < 1e-12 AS smape,
       max(abs(m.mase - h.mase)) < 1e-12 AS mase, max(abs(m.rmsse - h.rmsse)) < 1e-12 AS rmsse, max(abs(m.owa - h.owa)) < 1e-12 AS owa, max(abs(m.coverage - h.coverage)) < 1e-12 AS coverage, max(abs(m.winkler - h.winkler)) < 1e-11 AS winkler, max(abs(m.bias - h.bias)) < 1e-12 AS bias,
       count(DISTINCT h.coverage) > 1 AS differ
FROM many_models.forecast_metrics AS m JOIN by_hand AS h ON h.partition_key = m.partition_key AND h.horizon_step IS NOT DISTINCT FROM m.horizon_step WHERE m.model_set = 'judged' AND m.split = 'cv';
SELECT round(avg(mase)::numeric, 4) AS mase, round(avg(rmsse)::numeric, 4) AS rmsse, round(avg(owa)::numeric, 4) AS owa, round(avg(coverage)::numeric, 4) AS coverage, round(avg(winkler)::numeric, 4) AS winkler FROM many_models.forecast_metrics WHERE model_set = 'judged' AND split = 'cv' AND horizon_step IS NULL;
-- metrics has the totals.
SELECT count(*), bool_and(a.mase = b.mase AND a.rmse = b.rmse AND a.bias = b.bias AND a.n_rows = b.n) AS same FROM many_models.metrics AS a JOIN many_models.forecast_metrics AS b USING (model_id, split) WHERE a.model_set = 'judged' AND split = 'cv' AND b.horizon_step IS NULL;

SELECT count(many_models.drop_models(m)) FROM unnest('{said,zoned,no,ragged,parts,exploding,judged}'::text[]) AS m;
SET client_min_messages = error;
DROP SCHEMA forecast_options CASCADE;
