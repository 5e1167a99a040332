-- Forecasters that new rows move forward without a fit: by a refresh, and as values.
CREATE SCHEMA forecast_update;
SET search_path = forecast_update, public;
SET client_min_messages = warning;
SET TIME ZONE 'UTC';

-- Ten shops of forty weeks, of which 35 are known at first.
CREATE TABLE everything AS
SELECT shop, DATE '2024-01-01' + 7 * w AS week,
       100 + shop * w + 20 * sin(w * 2) + (w * 7919 * shop % 13) AS units
FROM generate_series(1, 10) AS shop, generate_series(0, 39) AS w;
CREATE TABLE sales AS SELECT * FROM everything WHERE week < DATE '2024-01-01' + 7 * 35;
CREATE VIEW last_run AS
SELECT model_set, details ->> 'refresh' AS refresh, details ->> 'updated' AS updated, details ->> 'trained_again' AS trained_again,
       details ->> 'carried' AS carried, details ->> 'vanished' AS vanished
FROM many_models.runs ORDER BY run_id DESC LIMIT 1;
CREATE VIEW stored AS
SELECT m.model_set, m.version, m.partition_key, s.model, m.n_rows, m.first_time, m.last_time, s.seconds, s.comparison
FROM many_models.models AS m JOIN many_models.model_store AS s USING (model_id);
-- One version of a set; as a barrier, so that no function sees models of other sets, with times of other types.
CREATE FUNCTION version_of(name text, number integer) RETURNS SETOF stored LANGUAGE sql AS $$
SELECT * FROM stored WHERE model_set = name AND version = coalesce(number, (SELECT max(version) FROM stored WHERE model_set = name)) OFFSET 0
$$;
CREATE FUNCTION furthest(a text, b text, horizon integer, OUT groups bigint, OUT steps bigint, OUT alike boolean, OUT same_times boolean) LANGUAGE sql AS $$
SELECT count(DISTINCT x.partition_key), count(*),
       bool_and(abs(f.prediction - g.prediction) <= 1e-10 * abs(g.prediction)), bool_and(f.forecast_time = g.forecast_time)
FROM version_of(a, NULL) AS x JOIN version_of(b, NULL) AS y USING (partition_key)
CROSS JOIN LATERAL many_models.model_forecast(x.model, horizon, 0.9, NULL::date) AS f
JOIN LATERAL many_models.model_forecast(y.model, horizon, 0.9, NULL::date) AS g USING (horizon_step)
$$;

-- Parameters and start are given, so that a fit of all rows is the filter over them: what updates have to equal.
\set fixed '{"alpha": 0.4, "beta": 0.1, "gamma": 0.2, "start": "textbook", "season_length": 4, "frequency": "week"'
SELECT trained FROM many_models.train_many_models('moved', 'sales', '{shop}', 'units', algorithm => 'holt_winters', time_column => 'week', options => (:'fixed' || ', "refresh": "update"}')::jsonb);
-- Shops 1 to 7 have new weeks, one or several, in any order; of shop 7 an earlier one changed as well; 8 and 9 have none; 10 is gone, 11 new.
INSERT INTO sales SELECT * FROM everything AS e WHERE week >= DATE '2024-01-01' + 7 * 35 AND shop <= 7
AND (shop <> 2 OR week = DATE '2024-01-01' + 7 * 35) ORDER BY md5(e::text);
UPDATE sales SET units = units + 5 WHERE shop = 7 AND week = '2024-02-05';
DELETE FROM sales WHERE shop = 10;
INSERT INTO sales SELECT 11, week, units FROM sales WHERE shop = 1;
SELECT version, status, groups, trained, failed, rows_read FROM many_models.refresh_many_models('moved');
SELECT * FROM last_run;
SELECT trained FROM many_models.train_many_models('whole', 'sales', '{shop}', 'units', algorithm => 'holt_winters', time_column => 'week', options => (:'fixed' || '}')::jsonb);
SELECT * FROM furthest('moved', 'whole', 12);
-- What is known of the models: the rows of now, the metrics of the fit, and the fingerprint of now.
SELECT count(*), bool_and(x.n_rows = y.n_rows AND x.first_time = y.first_time AND x.last_time = y.last_time) AS same
FROM stored AS x JOIN stored AS y USING (partition_key) WHERE x.model_set = 'moved' AND x.version = 2 AND y.model_set = 'whole';
SELECT partition_key, bool_and(a.rmse = b.rmse AND a.mae = b.mae AND a.n_rows = b.n_rows) AS same
FROM many_models.metrics AS a JOIN many_models.metrics AS b USING (model_set, partition_key, split)
WHERE model_set = 'moved' AND a.version = 1 AND b.version = 2 AND split = 'holdout' GROUP BY 1 ORDER BY 1;
SELECT partition_key, a.comparison = b.comparison AS same FROM stored AS a JOIN stored AS b USING (model_set, partition_key)
WHERE model_set = 'moved' AND a.version = 1 AND b.version = 2 AND partition_key IN ('{"shop": 1}', '{"shop": 7}', '{"shop": 8}') ORDER BY 1;
SELECT version, status FROM many_models.refresh_many_models('moved');
-- The next update is of the updated ones; the metrics stay those of the fit.
INSERT INTO sales SELECT * FROM everything WHERE week > '2024-09-02' AND shop = 2;
SELECT version, trained FROM many_models.refresh_many_models('moved');
SELECT * FROM last_run;
SELECT trained FROM many_models.train_many_models('whole');
SELECT * FROM furthest('moved', 'whole', 12);

-- Parameters that were estimated stay; a refit finds others.
CREATE TABLE grown AS SELECT * FROM everything WHERE week < '2024-09-02';
SELECT trained FROM many_models.train_many_models('kept', 'grown', '{shop}', 'units', algorithm => 'ets', time_column => 'week', options => '{"form": "AAN", "refresh": "update"}');
SELECT trained FROM many_models.train_many_models('fitted', 'grown', '{shop}', 'units', algorithm => 'ets', time_column => 'week', options => '{"form": "AAN"}');
INSERT INTO grown SELECT * FROM everything WHERE week >= '2024-09-02';
SELECT trained FROM many_models.refresh_many_models('kept');
SELECT * FROM last_run;
SELECT trained FROM many_models.refresh_many_models('fitted');
SELECT * FROM last_run;
SELECT model_set, count(*) AS terms, bool_and(a.estimate = b.estimate) AS unchanged
FROM many_models.forecast_terms AS a JOIN many_models.forecast_terms AS b USING (model_set, partition_key, kind, term)
WHERE model_set IN ('kept', 'fitted') AND kind = 'parameter' AND term = 'alpha' AND a.version = 1 AND b.version = 2 GROUP BY 1 ORDER BY 1;
SELECT model_set, min(observations), max(observations) FROM many_models.forecasters WHERE model_set IN ('kept', 'fitted') AND version = 2 GROUP BY 1 ORDER BY 1;
-- A training starts anew, and the next refresh goes on from there.
SELECT trained FROM many_models.train_many_models('kept');
SELECT count(*) = 10 AS refitted FROM stored AS a JOIN stored AS b USING (partition_key)
WHERE a.model_set = 'kept' AND a.version = 3 AND b.model_set = 'fitted' AND b.version = 2 AND a.model::text = b.model::text;

-- What has no update is fitted.
CREATE TABLE short AS SELECT * FROM everything WHERE shop <= 3 AND week < '2024-02-12';
SELECT trained FROM many_models.train_many_models('windows', 'short', '{shop}', 'units', algorithm => 'window_average', time_column => 'week', options => '{"refresh": "update"}');
SELECT trained FROM many_models.train_many_models('stepped', 'short', '{shop}', 'units', algorithm => 'holt_winters', time_column => 'week', options => '{"season_length": 4, "refresh": "update"}');
SELECT DISTINCT stepped_down FROM many_models.forecasters WHERE model_set = 'stepped';
INSERT INTO short SELECT * FROM everything WHERE shop <= 3 AND week BETWEEN '2024-02-12' AND '2024-07-01';
SELECT trained FROM many_models.refresh_many_models('windows');
SELECT * FROM last_run;
-- What was too short may no longer be.
SELECT trained FROM many_models.refresh_many_models('stepped');
SELECT * FROM last_run;
SELECT DISTINCT stepped_down FROM many_models.forecasters WHERE model_set = 'stepped' AND version = 2;
-- Nor are groups that drifted, or failed, updated.
SELECT trained, failed FROM many_models.train_many_models('mended', 'SELECT shop, week, CASE WHEN shop = 3 AND week = ''2024-01-08'' THEN ''NaN'' ELSE units END AS units FROM short', '{shop}', 'units', algorithm => 'naive', time_column => 'week', options => '{"refresh": "update"}');
SELECT trained, failed FROM many_models.refresh_many_models('mended');
UPDATE short SET units = units + 1 WHERE shop = 3;
INSERT INTO short SELECT * FROM everything WHERE week = '2024-07-08';
SELECT trained, failed FROM many_models.refresh_many_models('mended');
SELECT * FROM last_run;

-- Gaps, duplicates, NULLs among the new rows: by the set's options, as a fit would have it.
CREATE TABLE odd (g text, at timestamptz, y float8);
CREATE TABLE more (g text, at timestamptz, y float8);
INSERT INTO odd SELECT g, TIMESTAMPTZ '2024-03-30 12:00+01' + i * INTERVAL '1 hour', i FROM generate_series(1, 10) AS i, unnest('{plain,gap later,gap first,twice,same,no value,null time,NULL}'::text[]) AS g;
INSERT INTO more SELECT g, TIMESTAMPTZ '2024-03-30 12:00+01' + i * INTERVAL '1 hour', i * i FROM generate_series(11, 15) AS i, unnest('{plain,gap later,gap first,twice,same,no value,null time,NULL}'::text[]) AS g;
DELETE FROM more WHERE g = 'gap later' AND y = 169 OR g = 'gap first' AND y = 121;
INSERT INTO more SELECT g, at, y + 2 FROM more WHERE g = 'twice' AND y = 196;
INSERT INTO more SELECT g, at, 5 FROM odd WHERE g = 'same' AND y = 10;
UPDATE more SET y = NULL WHERE g = 'no value' AND y = 144;
SELECT m.model_set, trained, failed FROM (VALUES ('strict', '"time_zone": "Europe/Berlin"'),
  ('filled', '"fill": "interpolate", "duplicates": "sum", "time_zone": "Europe/Berlin"'), ('zeros', '"fill": "zero", "duplicates": "last"')) AS m (model_set, options),
LATERAL many_models.train_many_models(m.model_set, 'odd', '{g}', 'y', algorithm => 'holt', time_column => 'at',
  options => ('{"alpha": 0.5, "beta": 0.1, "start": "textbook", "frequency": "1 hour", "refresh": "update", ' || m.options || '}')::jsonb);
INSERT INTO odd SELECT * FROM more;
-- On the grid that the models have, whatever zone the session has.
SET TIME ZONE 'America/New_York';
SELECT trained, failed FROM many_models.refresh_many_models('strict');
SELECT * FROM last_run;
SELECT partition_key, status, sqlstate, message FROM many_models.failures WHERE model_set = 'strict' ORDER BY partition_key;
SELECT trained, failed FROM many_models.refresh_many_models('filled');
SELECT * FROM last_run;
SELECT trained, failed FROM many_models.refresh_many_models('zeros');
SELECT * FROM last_run;
SET TIME ZONE 'UTC';
SELECT partition_key, model_set, observations, filled, merged FROM many_models.forecasters WHERE model_set IN ('strict', 'filled', 'zeros') AND version = 2 ORDER BY 1, 2;
-- As a training has it.
CREATE TABLE updated AS SELECT s.model_set, s.partition_key, f.* FROM unnest('{strict,filled,zeros}'::text[]) AS m, version_of(m, 2) AS s
CROSS JOIN LATERAL many_models.model_forecast(s.model, 3, 0.9, NULL::timestamptz) AS f;
SELECT m, trained, failed FROM unnest('{strict,filled,zeros}'::text[]) AS m, LATERAL many_models.train_many_models(m);
SELECT s.model_set, count(*), bool_and(abs(f.prediction - u.prediction) <= 1e-10 * abs(f.prediction)) AS alike, bool_and(f.forecast_time = u.forecast_time) AS same_times
FROM unnest('{strict,filled,zeros}'::text[]) AS m, version_of(m, 3) AS s CROSS JOIN LATERAL many_models.model_forecast(s.model, 3, 0.9, NULL::timestamptz) AS f
JOIN updated AS u ON u.model_set = s.model_set AND u.horizon_step = f.horizon_step AND u.partition_key = s.partition_key GROUP BY 1 ORDER BY 1;
-- A row without a time is one of the earlier ones: it changes them.
INSERT INTO odd VALUES ('null time', NULL, 3), ('null time', TIMESTAMPTZ '2024-03-31 05:00+02', 200);
INSERT INTO odd VALUES ('plain', TIMESTAMPTZ '2024-03-31 05:00+02', 200);
SELECT failed FROM many_models.refresh_many_models('strict');
SELECT * FROM last_run;
SELECT partition_key, observations FROM many_models.forecasters WHERE model_set = 'strict' AND version = 4 ORDER BY 1;

-- Features of the new rows.
CREATE TABLE promo AS SELECT t, (t % 4 = 0) AS promo, 10 + 5 * (t % 4 = 0)::int + (t * 7 % 3) * 0.1 AS y FROM generate_series(0, 39) AS t;
SELECT trained FROM many_models.train_many_models('promo', 'promo', '{}', 'y', '{promo}', 'arima', 't', '{"order": [1, 0, 0], "season_length": 1, "refresh": "update"}');
INSERT INTO promo SELECT t, (t % 3 = 0), 12 + t % 3 FROM generate_series(40, 43) AS t;
SELECT trained FROM many_models.refresh_many_models('promo');
SELECT * FROM last_run;
SELECT f.horizon_step, abs(f.prediction - (terms.constant + (f.horizon_step = 1)::int * terms.promo + terms.ar * (terms.ar ^ (f.horizon_step - 1)) * (13 - terms.constant))) < 1e-6 AS by_hand
FROM many_models.forecast('promo', '{}', 2, features => '[{"promo": true}, {"promo": false}]') AS f,
(SELECT max(estimate) FILTER (WHERE term = 'ar1') AS ar, max(estimate) FILTER (WHERE term = 'xreg1') AS promo, max(estimate) FILTER (WHERE term = 'intercept') AS constant
 FROM many_models.forecast_terms WHERE model_set = 'promo' AND version = 2) AS terms;

-- Many groups: in a partition of their own, by several processes.
CREATE TABLE many AS SELECT g, t, (g % 17 + t * 3 + g * t % 7)::float8 AS y FROM generate_series(1, 3000) AS g, generate_series(1, 12) AS t;
SELECT trained FROM many_models.train_many_models('many', 'many', '{g}', 'y', algorithm => 'ses', time_column => 't', options => '{"alpha": 0.3, "start": "textbook", "holdout": {"rows": 0}, "refresh": "update"}');
INSERT INTO many SELECT g, 13, g % 5 FROM generate_series(1, 3000) AS g WHERE g % 3 > 0;
SELECT trained FROM many_models.refresh_many_models('many', workers => 2);
SELECT * FROM last_run;
INSERT INTO many SELECT g, 14, g % 5 FROM generate_series(1, 3000) AS g WHERE g % 3 = 1;
UPDATE many SET y = y + 1 WHERE g % 3 = 2 AND t = 2;
SELECT trained FROM many_models.refresh_many_models('many', workers => 2);
SELECT * FROM last_run;
SELECT trained FROM many_models.train_many_models('many whole', 'many', '{g}', 'y', algorithm => 'ses', time_column => 't', options => '{"alpha": 0.3, "start": "textbook", "holdout": {"rows": 0}}');
SELECT count(*), bool_and(abs(f.prediction - g.prediction) <= 1e-10 * abs(g.prediction)) AS alike, bool_and(f.forecast_time = g.forecast_time) AS same_times
FROM version_of('many', 3) AS x JOIN version_of('many whole', 1) AS y USING (partition_key) CROSS JOIN LATERAL many_models.model_forecast(x.model, 1, 0.9, NULL::int) AS f
CROSS JOIN LATERAL many_models.model_forecast(y.model, 1, 0.9, NULL::int) AS g;

-- Values: any query moves a model forward.
SELECT count(*), bool_and(f.prediction = g.prediction AND f.lower = g.lower AND f.upper = g.upper) AS alike, bool_and(f.forecast_time = g.forecast_time) AS same_times
FROM version_of('kept', 1) AS a JOIN version_of('kept', 2) AS b USING (partition_key)
CROSS JOIN LATERAL (SELECT array_agg(week) AS weeks, array_agg(units) AS units FROM grown WHERE shop = (partition_key ->> 'shop')::int AND week >= '2024-09-02') AS r
CROSS JOIN LATERAL many_models.model_forecast(many_models.update_forecast(a.model, r.weeks, r.units), 5, 0.9, NULL::date) AS f
JOIN LATERAL many_models.model_forecast(b.model, 5, 0.9, NULL::date) AS g USING (horizon_step);
SELECT model AS model FROM stored WHERE model_set = 'kept' AND version = 1 AND partition_key = '{"shop": 1}' \gset
SELECT model AS window_model FROM stored WHERE model_set = 'windows' AND version = 1 AND partition_key = '{"shop": 1}' \gset
SELECT model AS promo_model FROM stored WHERE model_set = 'promo' AND version = 2 \gset
SELECT forecast_time, horizon_step, round(prediction::numeric, 6) AS prediction FROM many_models.model_forecast(:'model', 1, 0.9, NULL::date);
SELECT forecast_time, horizon_step, round(prediction::numeric, 6) AS prediction FROM many_models.model_forecast(many_models.update_forecast(:'model', '{2024-09-09,2024-09-02}'::date[], '{200,100}'), 1, 0.9, NULL::date);
SELECT many_models.update_forecast(many_models.update_forecast(:'model', '{2024-09-02}'::date[], '{100}'), '{2024-09-09}'::date[], '{200}')::text
     = many_models.update_forecast(:'model', '{2024-09-02,2024-09-09}'::date[], '{100,200}')::text AS in_two_steps;
SELECT many_models.update_forecast(:'model', '{}'::date[], '{}')::text = :'model' AS nothing_new,
       many_models.update_forecast(:'model', NULL::date[], '{}') IS NULL AND many_models.update_forecast(NULL, '{}'::date[], '{}') IS NULL AS nothing_known;

-- Mistakes.
SELECT many_models.update_forecast(:'model', '{2024-08-26}'::date[], '{1}');
SELECT many_models.update_forecast(:'model', '{2024-09-09}'::date[], '{1}');
SELECT many_models.update_forecast(:'model', '{2024-09-02,2024-09-16}'::date[], '{1,2}');
SELECT many_models.update_forecast(:'model', '{2024-09-02,2024-09-02}'::date[], '{1,2}');
SELECT many_models.update_forecast(:'model', '{2024-09-03}'::date[], '{1}');
SELECT many_models.update_forecast(:'model', '{2024-09-02}'::date[], '{1,2}');
SELECT many_models.update_forecast(:'model', '{{2024-09-02}}'::date[], '{1}');
SELECT many_models.update_forecast(:'model', '{2024-09-02,NULL}'::date[], '{1,2}');
SELECT many_models.update_forecast(:'model', '{2024-09-02}'::date[], '{NULL}');
SELECT many_models.update_forecast(:'model', '{2024-09-02}'::date[], '{NaN}');
SELECT many_models.update_forecast(:'model', '{infinity}'::date[], '{1}');
SELECT many_models.update_forecast(:'model', '{2024-09-02}'::timestamp[], '{1}');
SELECT many_models.update_forecast(:'window_model', '{2024-02-12}'::date[], '{1}');
SELECT many_models.update_forecast(:'promo_model', '{44}'::int[], '{1}');
SELECT many_models.update_forecast((SELECT many_models.fit(NULL, y, ARRAY[t]) FROM many WHERE g = 1), '{44}'::int[], '{1}');
\set VERBOSITY sqlstate
-- Types whose values are no times of any model.
SELECT many_models.update_forecast(model, '{15}'::text[], '{1}') FROM version_of('many whole', 1) LIMIT 1;
SELECT many_models.model_forecast(model, 1, 0.9, NULL::text) FROM version_of('many whole', 1) LIMIT 1;
SELECT many_models.forecast_scores(1, 1, model, 1, 0.9, NULL::text, NULL::text[], NULL) FROM version_of('many whole', 1) LIMIT 1;
SELECT many_models.train_many_models('bad', 'sales', '{shop}', 'units', algorithm => 'naive', time_column => 'week', options => '{"refresh": "never"}');
SELECT many_models.train_many_models('bad', 'sales', '{shop}', 'units', algorithm => 'naive', time_column => 'week', options => '{"refresh": true}');
SELECT many_models.train_many_models('bad', 'sales', '{shop}', 'units', algorithm => 'linear_regression', time_column => 'week', options => '{"refresh": "update"}');
SELECT many_models.train_many_models('bad', 'sales', '{shop}', 'units', algorithm => 'naive', time_column => 'week', options => '{"group_options": [{"key": {"shop": 1}, "options": {"refresh": "update"}}]}');
\set VERBOSITY default

SELECT many_models.drop_models(m) FROM unnest('{moved,whole,kept,fitted,windows,stepped,mended,strict,filled,zeros,promo,many,many whole}'::text[]) AS m;
SET client_min_messages = error;
DROP SCHEMA forecast_update CASCADE;
