-- evaluate_many_models, the view drift, and the aggregate accuracy.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE SCHEMA test_evaluate;
SET search_path = test_evaluate, public;

-- Four shops (one of them NULL), a year of days; units = 10 + 3 price + 6 (red) + a small term. The last
-- third of the year: shop 3 sells more than before, shop 2 has other prices and a new colour.
CREATE TABLE sold AS
SELECT s AS shop, d::date AS day, d::date - date '2025-01-01' AS n, 0::float8 AS price, ''::text AS colour, 0::float8 AS units
FROM unnest(ARRAY[1, 2, 3, NULL]) AS s, generate_series(timestamp '2025-01-01', '2025-12-31', '1 day') AS d;
UPDATE sold SET price = 5 + n * 7 % 13 / 2.0, colour = (ARRAY['red', 'blue', 'green'])[1 + n % 3];
UPDATE sold SET price = price + 9, colour = CASE colour WHEN 'green' THEN 'pink' ELSE colour END WHERE shop = 2 AND day >= '2025-11-01';
UPDATE sold SET units = 10 + 3 * price + 6 * (colour = 'red')::int + (n * 17 % 11 - 5) / 4.0 + 8 * (shop = 3 AND day >= '2025-10-01')::int;
UPDATE sold SET units = 10 + 3 * price + 6 * (colour = 'red')::int + (n * 17 % 11 - 5) / 4.0 WHERE shop IS NULL;

SELECT trained FROM many_models.train_many_models('ev', 'SELECT * FROM sold WHERE day < ''2025-09-01''', '{shop}', 'units', '{price,colour}', time_column => 'day');
SELECT error_of($$SELECT many_models.evaluate_many_models('ev', 'sold')$$);
SELECT rows_read, failed FROM many_models.score_many_models('ev', 'SELECT * FROM sold WHERE day >= ''2025-09-01''');
-- What has arrived: all but some of December; one actual is NaN, one is missing, one row was never scored.
CREATE TABLE actual AS SELECT shop, day, price, colour, units FROM sold WHERE day BETWEEN '2025-08-31' AND '2025-12-20';
UPDATE actual SET units = 'NaN' WHERE shop = 1 AND day = '2025-09-05';
UPDATE actual SET units = NULL WHERE shop = 1 AND day = '2025-09-06';
CREATE FUNCTION summary(s many_models.evaluation_summary) RETURNS text LANGUAGE sql AS
$$SELECT format('%s groups=%s periods=%s predictions=%s evaluated=%s without_actual=%s without_prediction=%s not_scored=%s drifted=%s',
    s.model_set, s.groups, s.periods, s.predictions, s.evaluated, s.without_actual, s.without_prediction, s.not_scored, s.drifted)$$;
SELECT summary(many_models.evaluate_many_models('ev', 'actual'));
SELECT partition_key, period, period_start, model_version, n_predictions, n_rows, n_without_actual, n_without_prediction, n_not_scored
FROM many_models.evaluations WHERE model_set = 'ev' ORDER BY partition_key, period_start;

-- The metrics against plain SQL.
CREATE VIEW plain AS
SELECT p.shop, date_trunc('month', p.day) AS period_start, count(*) AS n, sqrt(avg((p.prediction - a.units) ^ 2)) AS rmse, avg(abs(p.prediction - a.units)) AS mae,
       avg(abs((p.prediction - a.units) / a.units)) AS mape, avg(2 * abs(p.prediction - a.units) / (abs(a.units) + abs(p.prediction))) AS smape,
       1 - sum((p.prediction - a.units) ^ 2) / (var_pop(a.units) * count(*)) AS r2, avg(p.prediction - a.units) AS bias,
       avg((a.units BETWEEN p.lower AND p.upper)::int) AS coverage
FROM ev_predictions AS p JOIN actual AS a ON a.shop IS NOT DISTINCT FROM p.shop AND a.day = p.day
WHERE p.prediction IS NOT NULL AND a.units <> 'NaN' GROUP BY 1, 2;
SELECT count(*), max(abs(e.n_rows - n)) AS n_rows, max(abs(e.rmse - p.rmse)) < 1e-10 AS rmse, max(abs(e.mae - p.mae)) < 1e-10 AS mae,
       max(abs(e.mape - p.mape)) < 1e-10 AS mape, max(abs(e.smape - p.smape)) < 1e-10 AS smape, max(abs(e.r2 - p.r2)) < 1e-9 AS r2,
       max(abs(e.bias - p.bias)) < 1e-10 AS bias, max(abs(e.coverage - p.coverage)) < 1e-12 AS coverage
FROM many_models.evaluations AS e JOIN plain AS p ON to_jsonb(p.shop) IS NOT DISTINCT FROM nullif(e.partition_key -> 'shop', 'null') AND p.period_start = e.period_start
WHERE e.model_set = 'ev';
-- The public aggregate says the same; rows with NULL or NaN are left out.
SELECT bool_and(abs((a).rmse - p.rmse) < 1e-10 AND (a).n_rows = p.n AND abs((a).coverage - p.coverage) < 1e-12 AND (b).rmse = (a).rmse AND (b).coverage IS NULL) AS same
FROM (SELECT p.shop, date_trunc('month', p.day) AS period_start, many_models.accuracy(p.prediction, a.units, p.lower, p.upper) AS a, many_models.accuracy(p.prediction, a.units) AS b
      FROM ev_predictions AS p JOIN actual AS a ON a.shop IS NOT DISTINCT FROM p.shop AND a.day = p.day GROUP BY 1, 2) AS q
JOIN plain AS p ON p.shop IS NOT DISTINCT FROM q.shop AND p.period_start = q.period_start;
SELECT many_models.accuracy(1, NULL), many_models.accuracy('NaN', 1), many_models.accuracy(2, 2), many_models.accuracy(1e300, -1e300);
SELECT many_models.accuracy(x, x + 1, x, x + 2) FROM generate_series(1, 3) AS x;
-- The holdout of a training, judged again: its rows scored by a model of the others.
SELECT trained FROM many_models.train_many_models('ev_h', 'SELECT * FROM sold WHERE shop = 1', '{}', 'units', '{price}', time_column => 'day',
                                                  options => '{"holdout": {"since": "2025-12-01"}}');
SELECT abs((many_models.accuracy(many_models.predict(f.m, ARRAY[s.price]), s.units)).rmse / h.holdout_rmse - 1) < 1e-12 AS same
FROM sold AS s, ev_h_models AS h, (SELECT many_models.fit(NULL, units, ARRAY[price]) AS m FROM sold WHERE shop = 1 AND day < '2025-12-01') AS f
WHERE s.shop = 1 AND s.day >= '2025-12-01' GROUP BY h.holdout_rmse;
SELECT error_of($$SELECT many_models.accuracy_final(NULL)$$);
SELECT error_of($$SELECT many_models.pair_version('\x00'), many_models.pair_model('abc')$$);

-- The reference: holdout, else cross-validation, else the fit.
SELECT DISTINCT e.reference, e.reference_rmse = many_models.model_metric(m.model, 'holdout', 'rmse') AS same, e.reference_rows = many_models.model_metric(m.model, 'holdout', 'n_rows') AS same_rows
FROM many_models.evaluations AS e JOIN many_models.model_store AS m USING (model_id) WHERE model_set = 'ev';
SELECT (r).reference, (r).rmse = many_models.model_metric(m, 'cv', 'rmse') AS cv, (r).rmse = many_models.model_statistic(m, 'sigma') AS fit, (r).n_rows
FROM (SELECT m, many_models.model_reference(m) AS r
      FROM (SELECT many_models.fit('{"cv_folds": 5}', units, ARRAY[price]) AS m FROM sold UNION ALL SELECT many_models.fit(NULL, units, ARRAY[price]) FROM sold) AS f) AS f;
SELECT many_models.model_reference(NULL);
-- Where the fit is exact, the reference is a rounding error of the target's spread.
SELECT (many_models.model_reference(many_models.fit(NULL, 2 * price, ARRAY[price]))).rmse / (1e-9 * stddev_pop(2 * price)) BETWEEN 1 - 1e-12 AND 1 + 1e-12 AS same FROM sold;

-- Again: the same rows are replaced; later actuals fill up.
SELECT summary(many_models.evaluate_many_models('ev', 'actual'));
SELECT count(*) FROM many_models.evaluations WHERE model_set = 'ev';
SELECT summary(many_models.evaluate_many_models('ev', 'sold', options => '{"since": "2025-12-01"}'));
SELECT period_start, sum(n_rows) AS n_rows, sum(n_without_actual) AS without_actual, count(DISTINCT run_id) AS runs
FROM many_models.evaluations WHERE model_set = 'ev' GROUP BY 1 ORDER BY 1;
SELECT summary(many_models.evaluate_many_models('ev', 'sold', options => '{"since": "2025-11-01", "until": "2025-12-01"}'));
-- Another unit stands beside it.
SELECT summary(many_models.evaluate_many_models('ev', 'sold', period => 'quarter'));
SELECT summary(many_models.evaluate_many_models('ev', 'sold', period => NULL));
SELECT period, count(*), count(period_start), count(DISTINCT period_start) AS periods FROM many_models.evaluations WHERE model_set = 'ev' GROUP BY 1 ORDER BY 1;

-- Features: the index of the feature that moved most, by its definition.
SELECT summary(many_models.evaluate_many_models('ev', 'sold', options => '{"features": true}'));
SELECT partition_key, period_start, round(rmse::numeric, 2) AS rmse, round(psi::numeric, 4) AS psi, psi_feature, round(psi_noise::numeric, 3) AS noise
FROM many_models.evaluations WHERE model_set = 'ev' AND period = 'month' ORDER BY partition_key, period_start;
WITH t AS (SELECT count(*)::float8 AS n, avg(price) AS m, var_pop(price) AS v FROM sold WHERE shop = 2 AND day < '2025-09-01'),
     r AS (SELECT date_trunc('month', day) AS period_start, count(*)::float8 AS n, avg(price) AS m, var_pop(price) AS v FROM sold WHERE shop = 2 AND day >= '2025-09-01' GROUP BY 1),
     -- each with one row that has the moments of the other
     c AS (SELECT r.period_start, (t.n * t.m + r.m) / (t.n + 1) AS m1, (t.n * (t.v + t.m ^ 2) + r.v + r.m ^ 2) / (t.n + 1) AS q1,
                  (r.n * r.m + t.m) / (r.n + 1) AS m2, (r.n * (r.v + r.m ^ 2) + t.v + t.m ^ 2) / (r.n + 1) AS q2 FROM t, r),
     p AS (SELECT period_start, (m1 - m2) ^ 2 AS d2, q1 - m1 ^ 2 AS v1, q2 - m2 ^ 2 AS v2 FROM c)
SELECT e.period_start, abs(e.psi - (0.5 * ((v1 + d2) / v2 + (v2 + d2) / v1) - 1)) < 1e-7 AS as_defined
FROM p JOIN many_models.evaluations AS e USING (period_start)
WHERE e.model_set = 'ev' AND e.partition_key = '{"shop": 2}' AND e.psi_feature = 'price' ORDER BY 1;
-- Levels alone: rows per level, half a row more for each.
SELECT (s).feature, abs((s).psi - (SELECT sum((q - p) * ln(q / p)) FROM (VALUES (81.5 / 244.5, 10.5 / 31.5), (81.5 / 244.5, 10.5 / 31.5), (81.5 / 244.5, 10.5 / 31.5)) AS v (p, q))) < 1e-9 AS same_shares
FROM (SELECT many_models.feature_shift(model, '{price,colour}', '{price}', '{0,0,0,0,0,0}', '[null, {"red": 10, "blue": 10, "green": 10}]') AS s
      FROM many_models.model_store JOIN many_models.models USING (model_id) WHERE model_set = 'ev' AND models.partition_key = '{"shop": 1}') AS q;
SELECT (s).feature, round((s).psi::numeric, 6) AS psi, round((SELECT sum((q - p) * ln(q / p)) FROM
    (VALUES (81.5 / 245, 10.5 / 32), (81.5 / 245, 10.5 / 32), (81.5 / 245, 0.5 / 32), (0.5 / 245, 10.5 / 32)) AS v (p, q)), 6) AS expected
FROM (SELECT many_models.feature_shift(model, '{price,colour}', '{price}', '{0,0,0,0,0,0}', '[null, {"red": 10, "blue": 10, "pink": 10}]') AS s
      FROM many_models.model_store JOIN many_models.models USING (model_id) WHERE model_set = 'ev' AND models.partition_key = '{"shop": 1}') AS q;
-- Nonsense is refused, or nothing.
SELECT error_of(format($$SELECT many_models.feature_shift(model, %L, '{}', %L, %L) FROM many_models.model_store WHERE run_id = (SELECT min(run_id) FROM many_models.runs WHERE model_set = 'ev') LIMIT 1$$, f, n, l))
FROM (VALUES ('{a}', '{1,2,3}', NULL), ('{a,b}', '{1}', NULL), ('{a,b}', '{1,2,3,4,5,6}', '{"a": 1}'), ('{a,b}', '{1,2,3,4,5,6}', '[1, {"red": "x"}]')) AS v (f, n, l);
SELECT many_models.feature_shift(NULL, '{a}', '{}', '{1,2,3}', NULL);
-- Moments of the training, from the model.
SELECT t.term, abs(t.mean - v.m) < 1e-12 AND abs(t.sd - v.s) < 1e-9 AS as_data
FROM many_models.models AS i JOIN many_models.model_store AS m USING (model_id), many_models.model_moments(m.model, '{price,colour}') AS t,
    LATERAL (SELECT avg(x) AS m, stddev_pop(x) AS s FROM (SELECT CASE t.term WHEN 'price' THEN price ELSE (t.term = 'colour=' || colour)::int END AS x FROM sold WHERE shop = 1 AND day < '2025-09-01') AS q) AS v
WHERE i.model_set = 'ev' AND i.partition_key = '{"shop": 1}';
SELECT o, count(*), bool_and(abs(t.mean - v.m) < 1e-12 AND abs(t.sd - v.s) < 1e-9) AS as_data
FROM (VALUES ('{}'), ('{"fit_intercept": false}'), ('{"algorithm": "ridge", "lambda": 1}'), ('{"algorithm": "lasso", "lambda": 0.1, "fit_intercept": false}')) AS o (o),
    LATERAL (SELECT many_models.fit(o::jsonb, units, ARRAY[price, n, 2 * price, 7]) AS m FROM sold) AS f, many_models.model_moments(f.m, '{price,n,twice,seven}') AS t,
    LATERAL (SELECT avg(x) AS m, stddev_pop(x) AS s FROM (SELECT CASE t.term WHEN 'price' THEN price WHEN 'n' THEN n WHEN 'twice' THEN 2 * price ELSE 7 END AS x FROM sold) AS q) AS v
GROUP BY 1 ORDER BY 1;

-- Drift: shop 3 by its error, shop 2 by its features; thresholds.
SELECT partition_key, version, period, first_period, last_period, n_rows, round(error_ratio::numeric, 2) AS ratio, round(error_noise::numeric, 2) AS error_noise, error_threshold,
       round(psi::numeric, 2) AS psi, psi_feature, psi_threshold, error_drifted, psi_drifted, drifted
FROM many_models.drift WHERE model_set = 'ev' ORDER BY partition_key;
SELECT * FROM many_models.drifted_keys('ev') AS k ORDER BY k;
SELECT many_models.set_drift_threshold('ev', psi => NULL);
SELECT * FROM many_models.drifted_keys('ev') AS k ORDER BY k;
SELECT many_models.set_drift_threshold('ev', NULL, 0.25, 1);
SELECT partition_key, n_rows, psi_drifted, drifted FROM many_models.drift WHERE model_set = 'ev' AND drifted;
SELECT many_models.set_drift_threshold('ev', 1e9, 1e9);
SELECT * FROM many_models.drifted_keys('ev') AS k ORDER BY k;
-- One that is below what chance explains changes nothing.
SELECT many_models.set_drift_threshold('ev', 1, 0);
SELECT * FROM many_models.drifted_keys('ev') AS k ORDER BY k;
SELECT * FROM many_models.drift_thresholds;
SELECT many_models.set_drift_threshold('ev');
SELECT error_of(s) FROM (VALUES (1, $$SELECT many_models.set_drift_threshold('ev', 0.5)$$), (2, $$SELECT many_models.set_drift_threshold('ev', psi => -1)$$),
    (3, $$SELECT many_models.set_drift_threshold('ev', 'NaN')$$), (4, $$SELECT many_models.set_drift_threshold('ev', periods => 0)$$),
    (5, $$SELECT many_models.set_drift_threshold('ev', periods => NULL)$$), (6, $$SELECT many_models.set_drift_threshold(NULL)$$), (7, $$SELECT many_models.set_drift_threshold('nowhere')$$)) AS v (i, s) ORDER BY i;

-- A version that carries models forward, or trains them again to the same: they keep what is known of them.
SELECT version, trained FROM many_models.refresh_many_models('ev', 'drifted');
SELECT details -> 'carried' AS carried, details -> 'trained_again' AS again FROM many_models.runs WHERE model_set = 'ev' AND kind = 'train' AND version = 2;
SELECT partition_key, version, n_rows, drifted FROM many_models.drift WHERE model_set = 'ev' ORDER BY partition_key;
SELECT count(DISTINCT many_models.model_checksum(m.model)) AS checksums, count(*) AS models FROM many_models.model_store AS m JOIN many_models.runs USING (run_id)
WHERE model_set = 'ev' AND partition_key = '{"shop": 1}';
SELECT many_models.model_checksum(many_models.fit(NULL, 1, ARRAY[1, 2])) IS NULL AS of_an_error, many_models.model_checksum(NULL);

-- A new version: its predictions are judged, those of the one before stay as they were.
SELECT version FROM many_models.train_many_models('ev', 'SELECT * FROM sold WHERE day < ''2025-12-01''');
SELECT partition_key, version, n_rows, drifted FROM many_models.drift WHERE model_set = 'ev' ORDER BY partition_key;
SELECT rows_read FROM many_models.score_many_models('ev', 'SELECT * FROM sold WHERE day >= ''2025-12-01''');
SELECT summary(many_models.evaluate_many_models('ev', 'sold', options => '{"features": true}'));
SELECT period_start, model_version, count(*), sum(n_rows) AS n_rows FROM many_models.evaluations WHERE model_set = 'ev' AND period = 'month' GROUP BY 1, 2 ORDER BY 1, 2;
SELECT partition_key, version, n_rows, error_drifted FROM many_models.drift WHERE model_set = 'ev' ORDER BY partition_key;
-- One run alone.
SELECT run_id AS first_run FROM many_models.runs WHERE model_set = 'ev' AND kind = 'score' ORDER BY run_id LIMIT 1 \gset
SELECT summary(many_models.evaluate_many_models('ev', 'sold', run_id => :first_run));
SELECT error_of(format($$SELECT many_models.evaluate_many_models('ev', 'sold', run_id => %s)$$, run_id)) ~ '^42704: model set "ev" has no scoring run' AS refused
FROM many_models.runs WHERE model_set = 'ev' AND kind = 'train' LIMIT 1;

-- Scored twice: the latest prediction of a row counts, once.
SELECT rows_read FROM many_models.score_many_models('ev', 'SELECT * FROM sold WHERE day >= ''2025-12-15''');
SELECT summary(many_models.evaluate_many_models('ev', 'sold', options => '{"since": "2025-12-01"}'));
SELECT sum(n_rows) FROM many_models.evaluations WHERE model_set = 'ev' AND period = 'month' AND period_start = '2025-12-01' AND model_version = 3;

-- Ids that do not tell rows apart.
SELECT error_of($$SELECT many_models.evaluate_many_models('ev', 'SELECT * FROM sold UNION ALL SELECT * FROM sold WHERE shop = 1 AND day = ''2025-12-24''')$$);
SELECT error_of($$SELECT many_models.evaluate_many_models('ev', 'sold', id_columns => '{}', period => NULL)$$);
SELECT rows_read FROM many_models.score_many_models('ev', 'SELECT * FROM sold WHERE day = ''2025-12-31'' UNION ALL SELECT * FROM sold WHERE day = ''2025-12-31'' AND shop = 2');
SELECT error_of($$SELECT many_models.evaluate_many_models('ev', 'sold')$$);
-- Rows of the source that were never scored may be ambiguous.
SELECT summary(many_models.evaluate_many_models('ev', 'SELECT * FROM sold UNION ALL SELECT * FROM sold WHERE day < ''2025-08-01''', options => '{"until": "2025-12-31"}'));
SELECT count(*) FROM many_models.runs WHERE model_set = 'ev' AND kind = 'evaluate' AND status = 'succeeded';
SELECT kind, version, groups, rows_read, source, target, options, into_table, details - 'cpu_seconds' - 'temp_bytes' - 'wal_bytes' AS details FROM many_models.runs
WHERE model_set = 'ev' AND kind = 'evaluate' ORDER BY run_id DESC LIMIT 1;

-- Production: the models in use are those that were promoted; a later version changes nothing until it is promoted too.
SELECT trained FROM many_models.train_many_models('ev_prod', 'SELECT * FROM sold WHERE day < ''2025-09-01''', '{shop}', 'units', '{price,colour}', time_column => 'day');
SELECT promoted FROM many_models.promote_models('ev_prod', rule => $$key <> '{"shop": 1}'$$);
SELECT version, trained FROM many_models.train_many_models('ev_prod', 'SELECT * FROM sold WHERE day < ''2025-11-01''');
SELECT rows_read FROM many_models.score_many_models('ev_prod', 'SELECT * FROM sold WHERE day >= ''2025-11-01''');
SELECT summary(many_models.evaluate_many_models('ev_prod', 'sold', options => '{"features": true}'));
SELECT DISTINCT partition_key, model_version, reference, psi IS NOT NULL AS psi FROM many_models.evaluations WHERE model_set = 'ev_prod' ORDER BY 1;
SELECT partition_key, version, in_production, n_rows, error_drifted, psi_drifted FROM many_models.drift WHERE model_set = 'ev_prod' ORDER BY partition_key;
-- The promoted models outlive their version, and the set's versions altogether.
SELECT many_models.drop_models('ev_prod', 1);
SELECT summary(many_models.evaluate_many_models('ev_prod', 'sold', options => '{"features": true}'));
SELECT DISTINCT partition_key, model_version, reference, model_checksum IS NOT NULL AS known, psi IS NOT NULL AS psi FROM many_models.evaluations WHERE model_set = 'ev_prod' ORDER BY 1;
SELECT partition_key, version, in_production, n_rows, error_drifted, psi_drifted FROM many_models.drift WHERE model_set = 'ev_prod' ORDER BY partition_key;
SELECT many_models.drop_models('ev_prod', 2);
SELECT summary(many_models.evaluate_many_models('ev_prod', 'sold'));
SELECT partition_key, version, in_production, n_rows, drifted FROM many_models.drift WHERE model_set = 'ev_prod' ORDER BY partition_key;
-- Promoted, drifted groups go on with the new models.
SELECT version, trained FROM many_models.train_many_models('ev_prod', 'SELECT * FROM sold WHERE day < ''2025-12-01''');
SELECT promoted FROM many_models.promote_models('ev_prod');
SELECT partition_key, version, in_production, n_rows, drifted FROM many_models.drift WHERE model_set = 'ev_prod' ORDER BY partition_key;
SELECT s.last_promoted_at = max(p.promoted_at) AS last_promotion FROM many_models.stat_model_sets AS s JOIN many_models.promotions AS p USING (model_set)
WHERE model_set = 'ev_prod' GROUP BY s.last_promoted_at;

-- Rows without a prediction: no model for the group, a NULL feature. Keys written in two ways; odd names.
CREATE TABLE "odd sales" AS SELECT (ARRAY[1, 1.0, 2.5])[1 + i % 3] AS "the ""key""", i AS "row no", i % 7 AS x, 3.0 * (i % 7) + i % 2 AS "y;" FROM generate_series(1, 60) AS i;
SELECT trained FROM many_models.train_many_models('ev_odd', '"odd sales"', ARRAY['the "key"'], 'y;', '{x}');
SELECT rows_read, failed FROM many_models.score_many_models('ev_odd', 'SELECT * FROM "odd sales" UNION ALL SELECT 9, 61, 1, 1 UNION ALL SELECT 1.00, 62, NULL, 1', '"odd predictions"', ARRAY['row no']);
SELECT summary(many_models.evaluate_many_models('ev_odd', 'SELECT *, 3.0 * x + "row no" % 2 AS sold FROM "odd sales" UNION ALL SELECT 9, 61, 1, 1, 1 UNION ALL SELECT 1, 62, NULL, 1, 5', '"odd predictions"', ARRAY['row no'], 'sold'));
SELECT partition_key, model_version, n_predictions, n_rows, n_without_prediction, n_not_scored, rmse < 1 AS good, r2 > 0.9 AS r2, reference, period, period_start
FROM many_models.evaluations WHERE model_set = 'ev_odd' ORDER BY 1, 2;
SELECT summary(many_models.evaluate_many_models('ev_odd', '"odd sales"', period => NULL, options => '{"features": true}'));
SELECT partition_key, n_rows, psi < psi_noise AS stable, psi_feature FROM many_models.evaluations WHERE model_set = 'ev_odd' AND model_version IS NOT NULL ORDER BY 1;

-- Times: timestamptz in a zone, a time that is an integer, a calendar feature that is left out.
SET TimeZone = 'America/New_York';
CREATE TABLE clock AS SELECT i AS id, timestamptz '2025-03-01 00:00+00' + i * interval '1 hour' AS at, i % 5 AS x, i % 5 * 2.0 + i % 3 AS y, i % 5 + 0.5 AS z FROM generate_series(0, 239) AS i;
SELECT trained FROM many_models.train_many_models('ev_clock', 'clock', '{}', 'y', '{x,at}', time_column => 'at');
SELECT rows_read FROM many_models.score_many_models('ev_clock');
SELECT summary(many_models.evaluate_many_models('ev_clock', period => 'day'));
SELECT min(period_start), max(period_start), min(n_rows), max(n_rows) FROM many_models.evaluations WHERE model_set = 'ev_clock' AND period = 'day';
SELECT many_models.drop_models('ev_clock', 1);
SELECT error_of($$SELECT many_models.evaluate_many_models('ev_clock')$$);
SELECT count(*) AS kept FROM many_models.evaluations WHERE model_set = 'ev_clock';
SELECT trained FROM many_models.train_many_models('ev_clock');
SELECT rows_read FROM many_models.score_many_models('ev_clock', options => '{"on_existing": "replace"}');
SELECT summary(many_models.evaluate_many_models('ev_clock', period => 'day', options => '{"time_zone": "America/New_York", "features": true}'));
SELECT min(period_start), max(period_start), min(n_rows), max(n_rows), bool_and(psi_feature = 'x') AS calendar_left_out FROM many_models.evaluations WHERE model_set = 'ev_clock' AND period = 'day' AND model_version = 2;
RESET TimeZone;
SELECT error_of($$SELECT many_models.evaluate_many_models('ev_clock', period => 'day', options => '{"time_zone": "Nowhere/City"}')$$);
-- Another target of the source.
SELECT summary(many_models.evaluate_many_models('ev_clock', target => 'z', period => 'year'));
SET client_min_messages = notice;
SELECT trained FROM many_models.train_many_models('ev_steps', 'SELECT id % 2 AS g, id AS step, x, y FROM clock', '{g}', 'y', '{x}', time_column => 'step');
SELECT rows_read FROM many_models.score_many_models('ev_steps');
SELECT summary(many_models.evaluate_many_models('ev_steps'));
SET client_min_messages = warning;
SELECT summary(many_models.evaluate_many_models('ev_steps', period => NULL, options => '{"since": "100", "until": "120"}'));

-- What is wrong is said before a row is read.
SELECT error_of(s) FROM (VALUES
    (1, $$SELECT many_models.evaluate_many_models(NULL)$$),
    (2, $$SELECT many_models.evaluate_many_models('nowhere', 'sold')$$),
    (3, $$SELECT many_models.evaluate_many_models('ev', 'sold', period => 'fortnight')$$),
    (4, $$SELECT many_models.evaluate_many_models('ev', 'sold', target => 'unit')$$),
    (5, $$SELECT many_models.evaluate_many_models('ev', 'sold', target => 'colour')$$),
    (6, $$SELECT many_models.evaluate_many_models('ev', 'sold', id_columns => '{n}')$$),
    (7, $$SELECT many_models.evaluate_many_models('ev', 'sold', id_columns => '{day,day}')$$),
    (8, $$SELECT many_models.evaluate_many_models('ev', 'sold', id_columns => '{model_id}')$$),
    (9, $$SELECT many_models.evaluate_many_models('ev', 'SELECT shop, units FROM sold')$$),
    (10, $$SELECT many_models.evaluate_many_models('ev', 'SELECT day, units FROM sold')$$),
    (11, $$SELECT many_models.evaluate_many_models('ev', 'sold', 'sold')$$),
    (12, $$SELECT many_models.evaluate_many_models('ev', 'sold', 'SELECT *, 1::int AS x FROM nothing')$$),
    (13, $$SELECT many_models.evaluate_many_models('ev', 'sold', 'SELECT shop, day, run_id::int AS run_id, prediction, lower, upper, model_id, model_version FROM ev_predictions')$$),
    (14, $$SELECT many_models.evaluate_many_models('ev', 'sold', options => '{"feature": true}')$$),
    (15, $$SELECT many_models.evaluate_many_models('ev', 'sold', options => '{"features": 1}')$$),
    (16, $$SELECT many_models.evaluate_many_models('ev', 'sold', options => '{"since": "soon"}')$$),
    (17, $$SELECT many_models.evaluate_many_models('ev_odd', '"odd sales"', options => '{"since": "2025-01-01"}')$$),
    (18, $$SELECT many_models.evaluate_many_models('ev', 'SELECT shop, day, units FROM sold', options => '{"features": true}')$$),
    (19, $$SELECT many_models.evaluate_many_models('ev', 'SELECT shop::text, day, units FROM sold')$$),
    (20, $$SELECT many_models.evaluate_many_models('ev', 'SELECT 1; SELECT 2')$$)) AS v (i, s) ORDER BY i;
-- Predictions by a query; a source that writes; a read-only transaction.
SELECT summary(many_models.evaluate_many_models('ev', 'sold', 'SELECT * FROM ev_predictions WHERE day < ''2025-10-01'''));
CREATE FUNCTION writes() RETURNS float8 LANGUAGE plpgsql AS $$ BEGIN INSERT INTO actual SELECT 1, now(), 1, '', 1; RETURN 1; END $$;
SELECT error_of($$SELECT many_models.evaluate_many_models('ev', 'SELECT shop, day, writes() AS units FROM sold')$$);
BEGIN READ ONLY;
SELECT error_of($$SELECT many_models.evaluate_many_models('ev', 'sold')$$);
COMMIT;
-- Rolled back, nothing is changed.
SELECT count(*) AS n, max(run_id) AS newest FROM many_models.evaluations \gset
BEGIN;
SELECT summary(many_models.evaluate_many_models('ev', 'sold', options => '{"until": "2025-12-31"}'));
ROLLBACK;
SELECT count(*) = :n AND max(run_id) = :newest AS unchanged FROM many_models.evaluations;

-- Parallel plans and the session alone find the same.
CREATE TABLE wide AS SELECT i % 501 AS g, date '2025-01-01' + i / 501 AS day, (i * 79 % 101)::float8 AS x, (i * 1047 % 997) / 9.0 AS y FROM generate_series(0, 50099) AS i;
ANALYZE wide;
SELECT trained FROM many_models.train_many_models('ev_wide', 'wide', '{g}', 'y', '{x}', time_column => 'day');
SELECT rows_read FROM many_models.score_many_models('ev_wide');
SET many_models.max_workers = 1;
SELECT summary(many_models.evaluate_many_models('ev_wide', options => '{"features": true}'));
CREATE TABLE alone AS SELECT * FROM many_models.evaluations WHERE model_set = 'ev_wide';
SET many_models.max_workers = 3;
SET min_parallel_table_scan_size = 0; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET enable_hashagg = off;
SELECT summary(many_models.evaluate_many_models('ev_wide', options => '{"features": true}'));
RESET ALL;
SET client_min_messages = warning;
SET search_path = test_evaluate, public;
SELECT count(*), bool_and((e.rmse, e.mae, e.mape, e.smape, e.r2, e.bias, e.coverage, e.n_rows) IS NOT DISTINCT FROM (a.rmse, a.mae, a.mape, a.smape, a.r2, a.bias, a.coverage, a.n_rows)
    AND abs(e.psi - a.psi) < 1e-9) AS same_bits
FROM many_models.evaluations AS e JOIN alone AS a USING (model_set, partition_key, period_start) WHERE e.model_set = 'ev_wide';

SELECT workers > 1 AS parallel FROM many_models.runs WHERE model_set = 'ev_wide' AND kind = 'evaluate' ORDER BY run_id;

-- Who may, and who sees what.
CREATE ROLE mm_eva;
CREATE ROLE mm_other;
SELECT many_models.grant_usage('mm_eva');
SELECT many_models.grant_usage('mm_other');
GRANT ALL ON SCHEMA test_evaluate TO mm_eva, mm_other;
GRANT SELECT ON clock TO mm_eva, mm_other;
SET ROLE mm_eva;
SELECT trained FROM many_models.train_many_models('evas', 'clock', '{x}', 'y', '{id}', time_column => 'at');
SELECT rows_read FROM many_models.score_many_models('evas');
SELECT summary(many_models.evaluate_many_models('evas'));
SELECT many_models.set_drift_threshold('evas', 2);
SELECT DISTINCT model_set FROM many_models.evaluations;
SELECT DISTINCT model_set FROM many_models.drift;
SELECT model_set FROM many_models.drift_thresholds;
SET ROLE mm_other;
SELECT error_of($$SELECT many_models.evaluate_many_models('evas', 'clock')$$);
SELECT error_of($$SELECT many_models.set_drift_threshold('evas')$$);
SELECT count(*) FROM many_models.evaluations;
SELECT count(*) FROM many_models.drift;
SELECT count(*) FROM many_models.drift_thresholds;
SELECT count(*) FROM many_models.drifted_keys('evas');
SELECT error_of($$DELETE FROM many_models.evaluations$$);
SELECT error_of($$INSERT INTO many_models.drift_thresholds VALUES ('evas', 1, 1, 1)$$);
RESET ROLE;
-- The source runs as the caller: rights that were taken away are missed.
REVOKE SELECT ON clock FROM mm_eva;
SET ROLE mm_eva;
SELECT error_of($$SELECT many_models.evaluate_many_models('evas')$$);
RESET ROLE;

-- A set goes with its evaluations.
SELECT many_models.drop_models(s) > 0 AS dropped FROM unnest(ARRAY['ev', 'ev_prod', 'ev_h', 'ev_odd', 'ev_clock', 'ev_steps', 'ev_wide', 'evas']) AS s;
SELECT (SELECT count(*) FROM many_models.evaluations) AS evaluations, (SELECT count(*) FROM many_models.drift_thresholds) AS thresholds, (SELECT count(*) FROM many_models.drift WHERE model_set LIKE 'ev%') AS drift;
DROP OWNED BY mm_eva, mm_other;
DROP ROLE mm_eva, mm_other;
DROP SCHEMA test_evaluate CASCADE;
