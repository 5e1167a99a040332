-- The views models, metrics, coefficients, fit_statistics and failures.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE SCHEMA test_views;
SET search_path = test_views, public;
CREATE TABLE sales AS
SELECT i AS id, i % 3 AS store, date '2026-01-01' + i % 90 AS day, (i % 17)::float8 AS price, (ARRAY['blue', 'red'])[1 + i % 7 / 4] AS colour,
       10 * (i % 3) + 2.0 * (i % 17) - 7 * (i % 7 / 4) + (i % 11 - 5) / 10.0::float8 AS units
FROM generate_series(1, 900) AS i;
INSERT INTO sales VALUES (1001, 7, '2026-01-01', 1, 'blue', 1);
INSERT INTO sales SELECT 1100 + i, 8, '2026-01-01', i, 'blue', 5 FROM generate_series(1, 50) AS i;
SELECT groups, trained, failed, skipped
FROM many_models.train_many_models('v_seen', 'sales', ARRAY['store'], 'units', ARRAY['price', 'colour'], options => '{"cv_folds":3}', workers => 1);

SELECT m.model_set, m.version, m.partition_key, m.algorithm, m.n_rows, m.trained_at = r.finished_at AS trained_at, m.seconds >= 0 AS seconds,
       m.bytes > 100 AS bytes, m.status
FROM many_models.models AS m JOIN many_models.runs AS r USING (run_id) WHERE m.model_set = 'v_seen' ORDER BY m.partition_key;
SELECT partition_key, split, n_rows, round(rmse::numeric, 2) AS rmse, mae < rmse AS mae, mape > 0 AS mape, smape > 0 AS smape, mase, round(r2::numeric, 2) AS r2,
       abs(bias) < 0.1 AS bias, accuracy, log_loss, auc, f1
FROM many_models.metrics WHERE model_set = 'v_seen' ORDER BY partition_key, split;
SELECT partition_key, term, round(estimate::numeric, 1) AS estimate, std_error > 0 AS std_error, t_value IS NOT NULL AS t_value,
       p_value BETWEEN 0 AND 1 AS p_value, lower < estimate AND estimate < upper AS inside
FROM many_models.coefficients WHERE model_set = 'v_seen' ORDER BY partition_key, term;
SELECT partition_key, n_rows, n_parameters, df_residual, round(sigma::numeric, 1) AS sigma, round(r2::numeric, 2) AS r2, adj_r2 < r2 AS adj_r2,
       aic < bic AS aic, deviance > 0 AS deviance, condition_number > 1 AS condition_number, lambda, alpha
FROM many_models.fit_statistics WHERE model_set = 'v_seen' ORDER BY partition_key;
SELECT model_set, version, partition_key, status, sqlstate, message, hint, attempt, n_rows
FROM many_models.failures WHERE model_set = 'v_seen' ORDER BY partition_key;
-- Every key column comes back with its type.
SELECT bool_and((partition_key ->> 'store')::int IN (0, 1, 2)) FROM many_models.models WHERE model_set = 'v_seen';
-- All views have the rights of the reader, but one whose WHERE clause decides.
SELECT c.relname FROM pg_class AS c
WHERE c.relnamespace = 'many_models'::regnamespace AND c.relkind = 'v' AND c.reloptions IS DISTINCT FROM '{security_invoker=true}' ORDER BY 1;
-- Everything the extension makes is described.
SELECT pg_describe_object(d.classid, d.objid, d.objsubid)
FROM pg_depend AS d JOIN pg_extension AS e ON d.refobjid = e.oid AND d.refclassid = 'pg_extension'::regclass
WHERE e.extname = 'many_models' AND d.deptype = 'e' AND obj_description(d.objid, d.classid::regclass::name) IS NULL
    AND pg_describe_object(d.classid, d.objid, d.objsubid) !~ '^(type .*\[\]|type many_models\.(?!model$|score$|run_summary$))'
ORDER BY 1;

-- Other roles see nothing; members of the owner do.
CREATE ROLE test_views_other;
SET ROLE test_views_other;
SELECT (SELECT count(*) FROM many_models.models) AS models, (SELECT count(*) FROM many_models.metrics) AS metrics,
       (SELECT count(*) FROM many_models.coefficients) AS coefficients, (SELECT count(*) FROM many_models.fit_statistics) AS fit_statistics,
       (SELECT count(*) FROM many_models.failures) AS failures;
RESET ROLE;

SELECT many_models.drop_models('v_seen');
DROP ROLE test_views_other;
DROP SCHEMA test_views CASCADE;
