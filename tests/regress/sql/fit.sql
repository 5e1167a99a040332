-- The aggregate fit, and predictions of a model value.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE SCHEMA test_fit;
SET search_path = test_fit, public;
CREATE FUNCTION error_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    hint text;
BEGIN
    EXECUTE statement;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    RETURN SQLSTATE || ': ' || SQLERRM || coalesce(' HINT: ' || nullif(hint, ''), '');
END $$;

CREATE TABLE sales AS
SELECT i AS id, i % 5 AS store, (i * 7919 % 1000) / 100.0::float8 AS price, (i * 104729 % 97) / 97.0::float8 AS promo,
       0::float8 AS units
FROM generate_series(1, 20000) AS i;
UPDATE sales SET units = 100 * store - 3 * price + 20 * promo + (id * 31 % 101) / 101.0;

-- The coefficients are those of the data, and of PostgreSQL's own regression.
SELECT store, term, round(estimate::numeric, 1) AS estimate
FROM (SELECT store, many_models.fit('{}', units, ARRAY[price, promo]) AS model FROM sales GROUP BY store) AS m,
     many_models.model_coefficients(model, ARRAY['price', 'promo'])
ORDER BY store, term;
SELECT bool_and(abs(many_models.predict(model, ARRAY[2.5]) - (intercept + 2.5 * slope)) < 1e-9) AS as_regr_slope
FROM (SELECT many_models.fit('{}', units, ARRAY[price]) AS model, regr_slope(units, price) AS slope,
             regr_intercept(units, price) AS intercept
      FROM sales GROUP BY store) AS m;

-- The same bits in any order of rows and under any plan.
CREATE FUNCTION all_models() RETURNS text LANGUAGE sql AS
$$SELECT md5(string_agg(many_models.model_send(model)::text, ',' ORDER BY store))
  FROM (SELECT store, many_models.fit('{"algorithm":"elastic_net"}', units, ARRAY[price, promo]) AS model
        FROM sales GROUP BY store) AS m$$;
SELECT all_models() AS serial \gset
SET max_parallel_workers_per_gather = 2;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
EXPLAIN (COSTS OFF) SELECT store, many_models.fit('{}', units, ARRAY[price, promo]) FROM sales GROUP BY store;
SELECT all_models() = :'serial' AS parallel_same;
CREATE TABLE backwards AS SELECT * FROM sales ORDER BY id DESC;
ALTER TABLE sales RENAME TO forwards;
ALTER TABLE backwards RENAME TO sales;
SELECT all_models() = :'serial' AS backwards_same;
RESET max_parallel_workers_per_gather;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;

-- Algorithms and options.
SELECT many_models.model_algorithm(m), many_models.model_statistic(m, 'alpha') AS alpha,
       many_models.model_statistic(m, 'lambda') > 0 AS penalised, many_models.model_metric(m, 'cv', 'n_rows') AS cv_rows
FROM (SELECT many_models.fit(o, units, ARRAY[price, promo]) AS m
      FROM sales, (VALUES ('{}'::jsonb), ('{"cv_folds":4}'), ('{"algorithm":"ridge","lambda":0.1}'), ('{"algorithm":"ridge"}'),
          ('{"algorithm":"lasso","lambda":"auto","cv_folds":3}'), ('{"algorithm":"elastic_net","alpha":0.25,"lambda":0.1}')) AS v (o)
      GROUP BY o) AS s
ORDER BY 1, 2, 3, 4;
SELECT term, round(estimate::numeric, 3) FROM (SELECT many_models.fit('{"fit_intercept":false}', 2 * price, ARRAY[price]) AS m FROM sales) AS s,
     many_models.model_coefficients(m);
-- NULL options are the defaults; no rows, no model.
SELECT many_models.model_algorithm(many_models.fit(NULL, units, ARRAY[price])) FROM sales;
SELECT many_models.fit('{}', units, ARRAY[price]) IS NULL AS nothing FROM sales WHERE false;

-- NULLs: such rows are left out.
SELECT store, many_models.model_statistic(m, 'n_rows') AS n_rows, many_models.model_error(m)
FROM (SELECT store, many_models.fit('{}', CASE WHEN id % 2 = 0 OR store = 3 THEN units END,
             ARRAY[price, CASE WHEN id % 3 > 0 THEN promo END]) AS m
      FROM sales GROUP BY store) AS s ORDER BY store;
SELECT many_models.model_error(many_models.fit('{}', units, NULL)) FROM sales;

-- A group that cannot be fitted doesn't stop the others.
SELECT store, many_models.model_error(m), many_models.model_algorithm(m), many_models.predict(m, ARRAY[1, 1]) IS NULL AS no_prediction
FROM (SELECT store, many_models.fit('{"min_rows":10}',
                 CASE WHEN store = 1 THEN 7 WHEN store = 2 AND id < 100 THEN 'NaN' WHEN store = 4 AND id < 100 THEN 'Infinity' ELSE units END,
                 ARRAY[price, promo]) FILTER (WHERE store <> 3 OR id < 20) AS m
      FROM sales GROUP BY store) AS s ORDER BY store;

-- Predictions and their intervals.
SELECT round(many_models.predict(m, ARRAY[1, 0.5])::numeric, 6) AS prediction,
       (many_models.prediction_interval(m, ARRAY[1, 0.5])).prediction = many_models.predict(m, ARRAY[1, 0.5]) AS same,
       round((i95.upper - i95.lower)::numeric, 4) AS width95, round((i50.upper - i50.lower)::numeric, 4) AS width50
FROM (SELECT many_models.fit('{}', units, ARRAY[price, promo]) AS m FROM sales WHERE store = 1) AS s,
     many_models.prediction_interval(m, ARRAY[1, 0.5]) AS i95, many_models.prediction_interval(m, ARRAY[1, 0.5], 0.5) AS i50;
SELECT i.prediction IS NOT NULL AS prediction, i.lower, i.upper
FROM (SELECT many_models.fit('{"algorithm":"lasso","lambda":0.1}', units, ARRAY[price, promo]) AS m FROM sales) AS s,
     many_models.prediction_interval(m, ARRAY[1, 0.5]) AS i;
SELECT many_models.predict(m, ARRAY[1, NULL]) AS null_feature, many_models.predict(m, NULL) AS null_features,
       many_models.predict(m, ARRAY[1, 'NaN'::float8]) AS nan_feature
FROM (SELECT many_models.fit('{}', units, ARRAY[price, promo]) AS m FROM sales) AS s;

-- As a window function, the running model.
SELECT id, round(many_models.model_statistic(many_models.fit('{}', units, ARRAY[price]) OVER (ORDER BY id), 'n_rows')::numeric) AS n_rows
FROM sales WHERE id <= 6 ORDER BY id;

-- Errors.
SELECT error_of($$SELECT many_models.fit('{"lamda":1}', units, ARRAY[price]) FROM sales$$);
SELECT error_of($$SELECT many_models.fit('[1]', units, ARRAY[price]) FROM sales$$);
SELECT error_of($$SELECT many_models.fit('{"algorithm":"forest"}', units, ARRAY[price]) FROM sales$$);
SELECT error_of($$SELECT many_models.fit('{"algorithm":3}', units, ARRAY[price]) FROM sales$$);
SELECT error_of($$SELECT many_models.fit('{"lambda":1}', units, ARRAY[price]) FROM sales$$);
SELECT error_of($$SELECT many_models.fit('{"algorithm":"ridge","lambda":-1}', units, ARRAY[price]) FROM sales$$);
SELECT error_of($$SELECT many_models.fit('{"algorithm":"ridge","lambda":"much"}', units, ARRAY[price]) FROM sales$$);
SELECT error_of($$SELECT many_models.fit('{"algorithm":"ridge","alpha":0.5}', units, ARRAY[price]) FROM sales$$);
SELECT error_of($$SELECT many_models.fit('{"algorithm":"elastic_net","alpha":2}', units, ARRAY[price]) FROM sales$$);
SELECT error_of($$SELECT many_models.fit('{"cv_folds":1}', units, ARRAY[price]) FROM sales$$);
SELECT error_of($$SELECT many_models.fit('{"cv_folds":2.5}', units, ARRAY[price]) FROM sales$$);
SELECT error_of($$SELECT many_models.fit('{"min_rows":0}', units, ARRAY[price]) FROM sales$$);
SELECT error_of($$SELECT many_models.fit('{"seed":1e30}', units, ARRAY[price]) FROM sales$$);
SELECT error_of($$SELECT many_models.fit('{"standardize":"yes"}', units, ARRAY[price]) FROM sales$$);
SELECT error_of($$SELECT many_models.fit(CASE WHEN id % 2 = 0 THEN '{}'::jsonb ELSE '{"seed":1}' END, units, ARRAY[price]) FROM sales$$);
SELECT error_of($$SELECT many_models.fit('{}', units, CASE WHEN id % 2 = 0 THEN ARRAY[price] ELSE ARRAY[price, promo] END) FROM sales$$);
SELECT error_of($$SELECT many_models.fit('{}', units, ARRAY[ARRAY[price]]) FROM sales$$);
SELECT error_of($$SELECT many_models.fit('{}', units, array_fill(price, ARRAY[2000])) FROM sales$$);
SELECT error_of($$SELECT many_models.predict(many_models.fit('{}', units, ARRAY[price]), ARRAY[1, 2]) FROM sales$$);
SELECT error_of($$SELECT many_models.prediction_interval(many_models.fit('{}', units, ARRAY[price]), ARRAY[1], 95) FROM sales$$);
-- The parts of the aggregate cannot be misused.
SELECT error_of($$SELECT many_models.fit_final('\x00')$$);
SELECT error_of($$SELECT many_models.fit_accum(NULL, '{}', 1, ARRAY[1])$$);
CREATE AGGREGATE forged (jsonb, float8, float8[]) (SFUNC = many_models.fit_accum, STYPE = bytea, INITCOND = '\x0011223344');
SELECT error_of($$SELECT forged('{}', units, ARRAY[price]) FROM sales$$);

DROP SCHEMA test_fit CASCADE;
