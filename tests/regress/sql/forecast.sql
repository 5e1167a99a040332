-- Forecasters: from a table of series to models, forecasts, metrics by step, backtests.
CREATE SCHEMA forecasting;
SET search_path = forecasting, public;
SET client_min_messages = warning;
SET TIME ZONE 'UTC';

-- Twelve weeks of two shops; shop 1 grows by 2 a week, shop 2 repeats 10, 20, 30.
CREATE TABLE sales AS
SELECT shop, DATE '2024-01-01' + 7 * w AS week,
       CASE shop WHEN 1 THEN 100 + 2 * w ELSE (ARRAY[10, 20, 30])[1 + w % 3] END AS units
FROM generate_series(1, 2) AS shop, generate_series(0, 11) AS w;

SELECT model_set, version, status, groups, trained, failed, skipped, rows_read
FROM many_models.train_many_models('naive', 'sales', '{shop}', 'units', algorithm => 'naive', time_column => 'week');
SELECT method, label, frequency, season_lengths, observations, filled, stepped_down, interval_method
FROM many_models.forecasters WHERE model_set = 'naive' ORDER BY partition_key;
-- The last value goes on; the holdout is the last fifth of each series.
SELECT * FROM many_models.forecast('naive', '{"shop": 1}', 3);
SELECT partition_key, split, n_rows, rmse, mae, round(mase::numeric, 10) AS mase, bias FROM many_models.metrics WHERE model_set = 'naive' ORDER BY 1, 2;
SELECT partition_key, split, horizon_step, n, mae, bias FROM many_models.forecast_metrics
WHERE model_set = 'naive' AND split = 'holdout' ORDER BY 1, 2, 3;

-- Into a table, with real types.
SELECT model_set, groups, failed, rows_read FROM many_models.score_many_models('naive', horizon => 2);
SELECT shop, week, horizon_step, prediction, round(lower::numeric, 6) AS lower, round(upper::numeric, 6) AS upper, model_version, model_level, fallback_reason
FROM naive_predictions ORDER BY shop, week;
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'naive_predictions'::regclass AND attnum > 0 ORDER BY attnum;

-- A season, given.
SELECT trained FROM many_models.train_many_models('seasonal', 'sales', '{shop}', 'units', algorithm => 'seasonal_naive', time_column => 'week', options => '{"season_length": 3}');
SELECT forecast_time, prediction FROM many_models.forecast('seasonal', '{"shop": 2}', 4);

-- Any model, in any query.
SELECT m.partition_key, f.* FROM many_models.models AS m JOIN many_models.model_store AS s USING (model_id)
CROSS JOIN LATERAL many_models.model_forecast(s.model, 1, 0.8, NULL::date) AS f
WHERE m.model_set = 'naive' ORDER BY 1;

SELECT f.* FROM many_models.models AS m JOIN many_models.model_store AS s USING (model_id)
CROSS JOIN LATERAL many_models.model_forecast(s.model, 2) AS f
WHERE m.model_set = 'naive' AND m.partition_key = '{"shop": 2}';

-- Parameters.
SELECT trained FROM many_models.train_many_models('holt', 'sales', '{shop}', 'units', algorithm => 'holt', time_column => 'week', options => '{"alpha": 0.5, "beta": 0.1, "start": "textbook", "holdout": {"rows": 0}}');
SELECT kind, term, round(estimate::numeric, 8) AS estimate FROM many_models.forecast_terms WHERE model_set = 'holt' AND partition_key = '{"shop": 1}' ORDER BY kind, term;
SELECT horizon_step, round(prediction::numeric, 8) AS prediction FROM many_models.forecast('holt', '{"shop": 1}', 2);

-- Backtest: each fold's forecast beside what came.
SELECT model_set, status, groups, trained, failed FROM many_models.backtest_many_models('naive', options => '{"backtest": {"folds": 2, "horizon": 2}}');
SELECT shop, week, fold, horizon_step, actual, prediction FROM naive_backtest WHERE shop = 1 ORDER BY 1, 3, 4;

-- Times: gaps, duplicates, time zones.
CREATE TABLE odd (g text, at timestamptz, y float8);
INSERT INTO odd SELECT 'gap', TIMESTAMPTZ '2024-01-01 00:00+00' + i * INTERVAL '1 hour', i FROM generate_series(0, 9) AS i WHERE i <> 4;
INSERT INTO odd SELECT 'twice', TIMESTAMPTZ '2024-01-01 00:00+00' + (i / 2) * INTERVAL '1 hour', i FROM generate_series(0, 9) AS i;
INSERT INTO odd VALUES ('one', '2024-01-01', 1), ('null', '2024-01-01', NULL), ('null', '2024-01-02', NULL);
SELECT groups, trained, failed, skipped FROM many_models.train_many_models('odd', 'odd', '{g}', 'y', algorithm => 'naive', time_column => 'at');
SELECT partition_key, status, sqlstate, message, hint FROM many_models.failures WHERE model_set = 'odd' ORDER BY partition_key;
SELECT groups, trained, failed, skipped FROM many_models.train_many_models('odd', options => '{"fill": "interpolate", "duplicates": "sum", "frequency": "1 hour"}');
SELECT partition_key, observations, filled, merged FROM many_models.forecasters WHERE model_set = 'odd' ORDER BY partition_key;
-- A group without a model has a row that says so.
SELECT groups, failed, rows_read FROM many_models.score_many_models('odd', horizon => 1);
SELECT g, at, horizon_step, prediction, fallback_reason FROM odd_predictions ORDER BY g;
-- A day of local time is a day, when clocks change too.
CREATE TABLE local AS SELECT (TIMESTAMP '2024-03-25 12:00' + d * INTERVAL '1 day') AT TIME ZONE 'Europe/Berlin' AS at, d::float8 AS y FROM generate_series(0, 5) AS d;
SELECT trained FROM many_models.train_many_models('local', 'local', '{}', 'y', algorithm => 'drift', time_column => 'at', options => '{"time_zone": "Europe/Berlin", "holdout": {"rows": 0}}');
SELECT forecast_time::timestamptz AT TIME ZONE 'Europe/Berlin' AS at, prediction FROM many_models.forecast('local', '{}', 3);
-- Month ends.
CREATE TABLE months AS SELECT (DATE '2024-02-01' + m * INTERVAL '1 month' - INTERVAL '1 day')::date AS at, m::int AS y FROM generate_series(0, 9) AS m;
SELECT trained FROM many_models.train_many_models('months', 'months', '{}', 'y', algorithm => 'drift', time_column => 'at', options => '{"holdout": {"rows": 0}}');
SELECT frequency, season_lengths FROM many_models.forecasters WHERE model_set = 'months';
SELECT forecast_time, prediction FROM many_models.forecast('months', '{}', 4);

-- Features of the times to come.
CREATE TABLE promo AS SELECT t, (t % 4 = 0) AS promo, CASE WHEN t < 40 THEN 10 + 5 * (t % 4 = 0)::int + (t * 7 % 3) * 0.1 END AS y FROM generate_series(0, 43) AS t;
SELECT trained FROM many_models.train_many_models('promo', 'promo', '{}', 'y', '{promo}', 'arima', 't', '{"order": [0, 0, 0], "season_length": 1}');
SELECT rows_read, failed FROM many_models.score_many_models('promo', 'SELECT * FROM promo WHERE t >= 40', horizon => 5);
SELECT t, horizon_step, round(prediction::numeric, 1) AS prediction, fallback_reason FROM promo_predictions ORDER BY t;
SELECT horizon_step, forecast_time, round(prediction::numeric, 1) AS prediction, reason FROM many_models.forecast('promo', '{}', 2, features => '[{"promo": true}]');

-- Mistakes.
\set VERBOSITY sqlstate
SELECT many_models.train_many_models('bad', 'sales', '{shop}', 'units', algorithm => 'naive');
SELECT many_models.train_many_models('bad', 'sales', '{shop}', 'units', algorithm => 'naiv', time_column => 'week');
SELECT many_models.train_many_models('bad', 'sales', '{shop}', 'units', '{week}', algorithm => 'naive', time_column => 'week');
SELECT many_models.train_many_models('bad', 'sales', '{shop}', 'units', algorithm => 'naive', time_column => 'week', options => '{"lambda": 1}');
SELECT many_models.train_many_models('bad', 'sales', '{shop}', 'units', algorithm => 'naive', time_column => 'week', options => '{"alpha": 0.1}');
SELECT many_models.train_many_models('bad', 'sales', '{shop}', 'units', algorithm => 'ets', time_column => 'week', options => '{"form": "XYZ"}');
SELECT many_models.train_many_models('bad', 'sales', '{shop}', 'units', algorithm => 'ets', time_column => 'week', options => '{"frequency": "fortnight-ish"}');
SELECT many_models.train_many_models('bad', 'sales', '{shop}', 'units', algorithm => 'ets', time_column => 'week', options => '{"frequency": "1 month 1 day"}');
SELECT many_models.train_many_models('bad', 'sales', '{shop}', 'units', algorithm => 'ets', time_column => 'week', options => '{"time_zone": "UTC"}');
SELECT many_models.predict('naive', '{"shop": 1}', '{}');
SELECT * FROM many_models.forecast('naive', '{"shop": 1}', 0);
SELECT * FROM many_models.forecast('naive', '{"shop": 1}', 1, 2);
SELECT many_models.score_many_models('naive', 'sales', horizon => 2);
\set VERBOSITY default
-- A group without a model says so.
SELECT * FROM many_models.forecast('naive', '{"shop": 99}', 2);

SELECT many_models.drop_models(m) FROM unnest('{naive,seasonal,holt,odd,local,months,promo}'::text[]) AS m;
SET client_min_messages = error;
DROP SCHEMA forecasting CASCADE;
