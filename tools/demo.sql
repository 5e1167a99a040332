-- The demo: one model of daily sales per product x country of a real online retailer.
-- Run by tools/demo; :data is tests/data of the checkout. Data: UCI Online Retail, CC BY 4.0.
\set QUIET on
\pset border 2
\pset null '-'
\pset footer off
SET client_min_messages = warning;
CREATE EXTENSION many_models;

CREATE TABLE sales_raw (stock_code text, country text, day date, units int, revenue numeric,
                        min_price float8, max_price float8, n_lines int);
\copy sales_raw FROM PROGRAM 'gzip -dc "$MANY_DEMO_DATA/retail/online_retail_daily.csv.gz"' (FORMAT csv, HEADER)

CREATE TABLE sales AS
SELECT stock_code AS product, country, day, units,
       min_price AS price,
       to_char(day, 'Dy') AS weekday,
       extract(month FROM day) >= 10 AS season
FROM sales_raw;
COMMENT ON TABLE sales IS 'daily sales per product and country, UCI Online Retail';
ANALYZE sales;

\echo
\echo '  151,523 days of sales, December 2010 to December 2011: 3,279 product x country groups.'
\echo '  One call trains a model of units for each of them; the last 20 % of each group''s days'
\echo '  judge it.'
\echo
\echo '  SELECT * FROM many_models.train_many_models('
\echo '      ''demand'', ''sales'', ''{product,country}'', ''units'','
\echo '      ''{price,weekday,season,day}'', ''ridge'', ''day'', ''{"min_rows": 40, "lambda": 0.5}'');'
\echo
SELECT model_set, version, status, groups, trained, failed, skipped, rows_read, workers,
       date_trunc('milliseconds', elapsed) AS elapsed
FROM many_models.train_many_models(
    'demand', 'sales', '{product,country}', 'units',
    '{price,weekday,season,day}', 'ridge', 'day', '{"min_rows": 40, "lambda": 0.5}');

\echo
\echo '  How good are they? Error on days that training has not seen, against the spread of sales.'
\echo
SELECT count(*) AS models,
       round(percentile_cont(0.5) WITHIN GROUP (ORDER BY holdout_mae)::numeric, 1) AS median_mae,
       round(percentile_cont(0.5) WITHIN GROUP (ORDER BY holdout_smape)::numeric, 2) AS median_smape,
       count(*) FILTER (WHERE holdout_r2 > 0) AS better_than_mean
FROM demand_models;

\echo
\echo '  The five best and the five worst groups by mean absolute error on the holdout:'
\echo
(SELECT 'best' AS rank, product, country, n_rows, round(holdout_mae::numeric, 1) AS mae,
        round(holdout_smape::numeric, 2) AS smape, round(holdout_r2::numeric, 2) AS r2
 FROM demand_models WHERE holdout_rows >= 10 ORDER BY holdout_mae LIMIT 5)
UNION ALL
(SELECT 'worst', product, country, n_rows, round(holdout_mae::numeric, 1),
        round(holdout_smape::numeric, 2), round(holdout_r2::numeric, 2)
 FROM demand_models WHERE holdout_rows >= 10 ORDER BY holdout_mae DESC LIMIT 5);

\echo
\echo '  What a model says: ordinary least squares for one bestseller, with inference.'
\echo
SELECT model_set, version, groups, trained, skipped
FROM many_models.train_many_models(
    'demand_ols', 'SELECT * FROM sales WHERE product = ''22423''', '{country}', 'units',
    '{price,weekday,season}', 'linear_regression', 'day');
SELECT partition_key ->> 'country' AS country, term, round(estimate::numeric, 2) AS estimate,
       round(std_error::numeric, 2) AS std_error, round(t_value::numeric, 2) AS t,
       to_char(p_value, '0.000') AS p, round(lower::numeric, 1) AS lower, round(upper::numeric, 1) AS upper
FROM many_models.coefficients
WHERE model_set = 'demand_ols' AND partition_key ->> 'country' = 'UK';

\echo
\echo '  Groups without a model, and why (no group vanishes):'
\echo
SELECT status, regexp_replace(message, '\d+ usable rows?', 'N usable rows') AS message, count(*) AS groups,
       min(partition_key::text) AS for_example
FROM many_models.failures WHERE model_set = 'demand' GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 5;

\echo
\echo '  The next week: every product at its last price, Monday to Sunday, and one new product.'
\echo
CREATE TABLE next_week AS
SELECT product, country, d::date AS day, price, to_char(d, 'Dy') AS weekday, true AS season
FROM (SELECT DISTINCT ON (product, country) product, country, price FROM sales
      ORDER BY product, country, day DESC) AS last,
     generate_series('2011-12-12'::timestamp, '2011-12-18', '1 day') AS d;
INSERT INTO next_week VALUES ('NEW-1', 'UK', '2011-12-12', 2.5, 'Mon', true);
SELECT status, groups, rows_read, date_trunc('milliseconds', elapsed) AS elapsed
FROM many_models.score_many_models('demand', 'next_week', id_columns => '{day}');
SELECT coalesce(fallback_reason, 'predicted') AS outcome, count(*) AS rows FROM demand_predictions
GROUP BY 1 ORDER BY 2 DESC;

\echo
\echo '  What a dashboard runs:'
\echo
\echo '  SELECT p.product, p.country, sum(p.prediction) AS week, max(m.holdout_mae) AS mae'
\echo '  FROM demand_predictions AS p JOIN demand_models AS m USING (model_id)'
\echo '  GROUP BY 1, 2 ORDER BY week DESC LIMIT 8;'
\echo
SELECT p.product, p.country, round(sum(p.prediction)::numeric) AS week,
       round(max(m.holdout_mae)::numeric, 1) AS mae
FROM demand_predictions AS p JOIN demand_models AS m USING (model_id)
GROUP BY p.product, p.country ORDER BY 3 DESC LIMIT 8;

\echo
\echo '  And one prediction in real time:'
\echo
\echo '  SELECT many_models.predict(''demand'', ''{"product": "22423", "country": "UK"}'','
\echo '      ''{"price": 10.95, "weekday": "Mon", "season": true, "day": "2011-12-12"}'');'
\echo
SELECT round(many_models.predict('demand', '{"product": "22423", "country": "UK"}',
    '{"price": 10.95, "weekday": "Mon", "season": true, "day": "2011-12-12"}')::numeric, 1) AS units;

\echo
\echo '  Into production, for the groups whose model beats their own mean on the days it had not seen:'
\echo
\echo '  SELECT * FROM many_models.promote_models(''demand'', rule => ''candidate.rmse < baseline.rmse'');'
\echo
SELECT promotion_id, version, promoted, rejected, production, date_trunc('milliseconds', elapsed) AS elapsed
FROM many_models.promote_models('demand', rule => 'candidate.rmse < baseline.rmse');
SELECT action, partition_key ->> 'product' AS product, partition_key ->> 'country' AS country, reason
FROM many_models.promotion_report WHERE model_set = 'demand' AND action = 'rejected'
ORDER BY partition_key::text LIMIT 3;

\echo
\echo '  The next version is trained in the background: the call returns at once, the client may go.'
\echo '  Any other session can watch it:'
\echo
SELECT many_models.start_training('demand', algorithm => 'elastic_net',
    options => '{"min_rows": 40, "lambda": "auto", "cv_folds": 5}') AS run \gset
SELECT pg_sleep(0.5) \g /dev/null
SELECT phase, rows_read, groups_trained, groups_left, jsonb_array_length(processes) AS processes
FROM many_models.run_progress;
SELECT run_id, model_set, kind, status, buckets_done, buckets FROM many_models.background_runs;
SELECT many_models.wait_for_run(:run, '2 minutes') AS status;

\echo
\echo '  Is it better? It goes into production where it beats the model there on the same rows:'
\echo
SELECT promotion_id, version, promoted, kept, rejected, production
FROM many_models.promote_models('demand', rule => 'candidate.rmse < baseline.rmse AND candidate.rmse <= coalesce(production.rmse, ''inf'')');
SELECT version, count(*) AS groups_in_production FROM many_models.production_models GROUP BY 1 ORDER BY 1;

\echo
\echo '  And every night, in one transaction (many_models.schedule gives it to pg_cron):'
\echo
SELECT FROM many_models.set_retention('demand', keep_versions => 3) \g /dev/null
SELECT many_models.set_pipeline('demand', '{"train": {"options": {"min_rows": 40, "lambda": 0.1}}, "promote": {"rule": "candidate.rmse < baseline.rmse AND significant(0.05)"},
    "score": {"source": "next_week", "id_columns": ["day"]}, "retention": {}}') \g /dev/null
SELECT step, coalesce(detail -> 0 ->> 'version', '-') AS version,
       coalesce(detail -> 0 ->> 'trained', detail -> 0 ->> 'promoted', jsonb_array_length(detail)::text) AS what_it_did,
       date_trunc('milliseconds', elapsed) AS elapsed
FROM many_models.run_pipeline('demand');
SELECT model_version, count(*) AS predictions FROM demand_predictions
WHERE run_id = (SELECT max(run_id) FROM demand_predictions) GROUP BY 1 ORDER BY 1;

\echo
\echo '  Forecasts: weekly units of the 200 best-selling products, a year of them. For each, the'
\echo '  median of four methods; four forecasts of the past, four weeks ahead, judge it.'
\echo
CREATE TABLE weekly AS
SELECT stock_code AS product, date_trunc('week', day)::date AS week, sum(units) AS units
FROM sales_raw
WHERE day BETWEEN '2010-12-06' AND '2011-12-04'  -- whole weeks
  AND stock_code IN (SELECT stock_code FROM sales_raw GROUP BY 1 ORDER BY sum(units) DESC, 1 LIMIT 200)
GROUP BY 1, 2;
ANALYZE weekly;
\echo '  SELECT * FROM many_models.train_many_models('
\echo '      ''weekly'', ''weekly'', ''{product}'', ''units'', algorithm => ''ensemble'', time_column => ''week'','
\echo '      options => ''{"candidates": ["ets", "arima", "dynamic_theta", "ces"], "fill": "zero",'
\echo '                   "season_length": 1, "lower_bound": 0, "backtest": {"folds": 4, "horizon": 4}}'');'
\echo
SELECT model_set, version, status, groups, trained, failed, rows_read, workers,
       date_trunc('milliseconds', elapsed) AS elapsed
FROM many_models.train_many_models(
    'weekly', 'weekly', '{product}', 'units', algorithm => 'ensemble', time_column => 'week',
    options => '{"candidates": ["ets", "arima", "dynamic_theta", "ces"], "fill": "zero",
                 "season_length": 1, "lower_bound": 0, "backtest": {"folds": 4, "horizon": 4}}');

\echo
\echo '  Is it better than the naive forecast? Backtest by weeks ahead; owa below 1 is better than naive2.'
\echo
SELECT coalesce(horizon_step::text, 'all') AS weeks_ahead, count(*) AS products,
       round(avg(smape)::numeric, 2) AS smape, round(avg(mase)::numeric, 2) AS mase,
       round((percentile_cont(0.5) WITHIN GROUP (ORDER BY owa))::numeric, 2) AS median_owa,
       round(100 * avg((owa < 1)::int)) AS better_percent, round(100 * avg(coverage)::numeric) AS in_95_percent
FROM many_models.forecast_metrics
WHERE model_set = 'weekly' AND split = 'cv'
GROUP BY horizon_step ORDER BY horizon_step;

\echo
\echo '  The next four weeks of all of them, as a table, with intervals of 80 %:'
\echo
SELECT status, groups, failed AS without_forecast, rows_read AS forecasts
FROM many_models.score_many_models('weekly', horizon => 4, level => 0.8);
SELECT product, week, horizon_step AS step, round(prediction) AS units, round(lower) AS lower, round(upper) AS upper
FROM weekly_predictions
WHERE product IN (SELECT product FROM weekly_predictions GROUP BY 1 ORDER BY sum(prediction) DESC, 1 LIMIT 2)
ORDER BY product, week;

\echo
\echo '  One of them as a picture (format => ''svg'' is the default):'
\echo
\echo '  SELECT many_models.plot_forecast(''weekly'', ''{"product": "23084"}'', 8, format => ''text'');'
\echo
\pset format unaligned
\pset tuples_only on
SELECT many_models.plot_forecast('weekly', '{"product": "23084"}', 8, format => 'text');
