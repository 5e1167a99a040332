-- What those who make a mistake with a forecaster are told.
CREATE SCHEMA forecast_messages;
SET search_path = forecast_messages, public;
SET client_min_messages = warning;
SET TIME ZONE 'UTC';
CREATE TABLE s AS
SELECT shop, DATE '2024-01-01' + 7 * w AS week, 100 + 2 * w AS units, w AS n, w % 3 AS promo,
       TIMESTAMPTZ '2024-01-01' + w * INTERVAL '1 week' AS at, 'x'::text AS note
FROM generate_series(1, 2) AS shop, generate_series(0, 11) AS w;
\set train 'SELECT trained, failed, skipped FROM many_models.train_many_models('

-- Options of other methods, of none, with other values.
:train 'm', 's', '{shop}', 'units', algorithm => 'naive', time_column => 'week', options => '{"alpha": 0.1}');
:train 'm', 's', '{shop}', 'units', algorithm => 'ets', time_column => 'week', options => '{"season": "additive"}');
:train 'm', 's', '{shop}', 'units', algorithm => 'ets', time_column => 'week', options => '{"model": "AAA"}');
:train 'm', 's', '{shop}', 'units', algorithm => 'ridge', time_column => 'week', options => '{"frequency": "week"}');
:train 'm', 's', '{shop}', 'units', algorithm => 'arima', time_column => 'week', options => '{"order": [1, 1]}');
:train 'm', 's', '{shop}', 'units', algorithm => 'ensemble', time_column => 'week', options => '{"candidates": ["ets", "prophet"]}');
:train 'm', 's', '{shop}', 'units', algorithm => 'ensemble', time_column => 'week', options => '{"candidates": [{"algorithm": "ets", "order": [1, 1, 1]}]}');
:train 'm', 's', '{shop}', 'units', algorithm => 'ets', time_column => 'week', options => '{"season_length": 0}');

-- Time columns.
:train 'm', 's', '{shop}', 'units', algorithm => 'ets');
:train 'm', 's', '{shop}', 'units', algorithm => 'ets', time_column => 'note');
:train 'm', 's', '{shop}', 'units', '{promo}', 'ets', 'week');

-- Frequencies.
:train 'm', 's', '{shop}', 'units', algorithm => 'ets', time_column => 'week', options => '{"frequency": "fortnight"}');
:train 'm', 's', '{shop}', 'units', algorithm => 'ets', time_column => 'week', options => '{"frequency": "999999999999 days"}');
:train 'm', 's', '{shop}', 'units', algorithm => 'ets', time_column => 'week', options => '{"frequency": "M"}');
:train 'm', 's', '{shop}', 'units', algorithm => 'ets', time_column => 'week', options => '{"frequency": 7}');
:train 'm', 's', '{shop}', 'units', algorithm => 'ets', time_column => 'week', options => '{"frequency": "hour"}');
:train 'm', 's', '{shop}', 'units', algorithm => 'ets', time_column => 'n', options => '{"frequency": "week"}');
:train 'm', 's', '{shop}', 'units', algorithm => 'ets', time_column => 'n', options => '{"frequency": 1.5}');
:train 'm', 's', '{shop}', 'units', algorithm => 'ets', time_column => 'week', options => '{"frequency": true}');
:train 'm', 's', '{shop}', 'units', algorithm => 'ets', time_column => 'at', options => '{"time_zone": "Berlin"}');
:train 'm', 's', '{shop}', 'units', algorithm => 'ets', time_column => 'week', options => '{"time_zone": "UTC"}');
-- Right ones: an error of the server's that was met does not stay.
:train 'm', 's', '{shop}', 'units', algorithm => 'naive', time_column => 'n', options => '{"frequency": 1}');
:train 'weeks', 's', '{shop}', 'units', algorithm => 'naive', time_column => 'week', options => '{"frequency": "W"}');

-- Series.
CREATE TABLE odd AS
SELECT 'days' AS g, week, units FROM s WHERE shop = 1
UNION ALL SELECT 'far', CASE n WHEN 5 THEN '40000-01-01' ELSE week END, units FROM s WHERE shop = 1
UNION ALL SELECT 'infinite', CASE n WHEN 5 THEN 'infinity' ELSE week END, units FROM s WHERE shop = 1
UNION ALL SELECT 'negative', week, -units FROM s WHERE shop = 1
UNION ALL SELECT 'off', week + (n = 4)::int, units FROM s WHERE shop = 1
UNION ALL SELECT 'one', week, units FROM s WHERE shop = 1 AND n = 1
UNION ALL SELECT 'twice', week, units FROM s;
:train 'odd', 'odd', '{g}', 'units', algorithm => 'croston', time_column => 'week');
SELECT partition_key ->> 'g' AS g, status, message, hint FROM many_models.failures WHERE model_set = 'odd' ORDER BY 1;
:train 'daily', 'odd', '{g}', 'units', algorithm => 'seasonal_naive', time_column => 'week', options => '{"frequency": "day", "step_down": false}');
SELECT partition_key ->> 'g' AS g, status, message, hint FROM many_models.failures WHERE model_set = 'daily' ORDER BY 1;
:train 'short', 'odd', '{g}', 'units', algorithm => 'seasonal_naive', time_column => 'week', options => '{"step_down": false}');
SELECT partition_key ->> 'g' AS g, status, message, hint FROM many_models.failures WHERE model_set = 'short' AND partition_key ->> 'g' = 'days';

-- Forecasts.
SELECT many_models.predict('weeks', '{"shop": 1}', '{}');
SELECT many_models.score_many_models('weeks', 's');
SELECT many_models.score_many_models('weeks', id_columns => '{week}');
SELECT many_models.score_many_models('weeks', horizon => 0);
SELECT * FROM many_models.forecast('weeks', '{"shop": 1}', 2, 95);

SELECT many_models.drop_models(m) FROM unnest('{m,weeks,odd,daily,short}'::text[]) AS m;
SET client_min_messages = error;
DROP SCHEMA forecast_messages CASCADE;
