-- Bad groups end in failures with the reason; the others train.
SET client_min_messages = warning;
CREATE TABLE mixed AS
SELECT 'good' AS g, i::float8 AS x, (i * 3 % 7)::float8 AS z, 2 * i + (i % 3)::float8 AS y FROM generate_series(1, 30) AS i
UNION ALL SELECT 'short', i, i, i FROM generate_series(1, 3) AS i
UNION ALL SELECT 'constant target', i, i % 4, 5 FROM generate_series(1, 30) AS i
UNION ALL SELECT 'constant feature', 7, i % 4, i FROM generate_series(1, 30) AS i
UNION ALL SELECT 'collinear', i, 2 * i, 2 * i + (i % 3) FROM generate_series(1, 30) AS i
UNION ALL SELECT 'nan', CASE WHEN i = 7 THEN 'NaN' ELSE i::float8 END, i % 4, i FROM generate_series(1, 30) AS i
UNION ALL SELECT 'infinite target', i, i % 4, CASE WHEN i = 7 THEN 'Infinity' ELSE i::float8 END FROM generate_series(1, 30) AS i
UNION ALL SELECT 'huge', i * 1e200, i % 4, i * 1e200 FROM generate_series(1, 30) AS i
UNION ALL SELECT 'all null', NULL, i, i FROM generate_series(1, 30) AS i
UNION ALL SELECT 'some null', CASE WHEN i % 3 = 0 THEN NULL ELSE i END, i % 4, i + i % 2 FROM generate_series(1, 30) AS i
UNION ALL SELECT NULL, i, i % 5, 3 * i + (i % 2) FROM generate_series(1, 30) AS i;
SELECT groups, trained, failed, skipped, rows_read FROM many_models.train_many_models('mixed',
    'mixed', '{g}', 'y', '{x,z}', options => '{"holdout": {"rows": 0}}');
SELECT partition_key ->> 'g' AS g, n_rows FROM many_models.models WHERE model_set = 'mixed' ORDER BY 1;
SELECT partition_key ->> 'g' AS g, status, sqlstate, message, hint, n_rows FROM many_models.failures
WHERE model_set = 'mixed' ORDER BY 1;
SELECT rows_read, rows_skipped FROM many_models.runs WHERE model_set = 'mixed';
-- A dropped collinear column keeps its row, as in R.
SELECT partition_key ->> 'g' AS g, term, round(estimate::numeric, 6) AS estimate, std_error IS NULL AS no_se
FROM many_models.coefficients
WHERE model_set = 'mixed' AND partition_key ->> 'g' IN ('collinear', 'constant feature') ORDER BY 1, 2;
-- null_policy error and impute_mean.
SELECT trained, failed, skipped FROM many_models.train_many_models('mixed', options => '{"null_policy": "error", "holdout": {"rows": 0}}');
SELECT partition_key ->> 'g' AS g, sqlstate, message FROM many_models.failures
WHERE model_set = 'mixed' AND version = 2 AND partition_key ->> 'g' LIKE '%null' ORDER BY 1;
SELECT trained, failed, skipped FROM many_models.train_many_models('mixed', options => '{"null_policy": "impute_mean", "holdout": {"rows": 0}}');
SELECT n_rows FROM many_models.models WHERE model_set = 'mixed' AND version = 3 AND partition_key ->> 'g' = 'some null';
SELECT partition_key ->> 'g' AS g, status, message FROM many_models.failures
WHERE model_set = 'mixed' AND version = 3 ORDER BY 1;
-- Options of a group.
SELECT trained FROM many_models.train_many_models('overrides', 'sales', '{store,product}', 'units', '{price,traffic}',
    'ridge', options => '{"lambda": 0, "group_options": [{"key": {"store": 2}, "options": {"lambda": 1000}},
                          {"key": {"store": 2, "product": "P3"}, "options": {"min_rows": 1000}}]}');
SELECT partition_key ->> 'store' AS store, bool_and(abs(estimate) < 0.1) AS shrunk, count(*)
FROM many_models.coefficients WHERE model_set = 'overrides' AND term = 'price' GROUP BY 1 ORDER BY 1;
SELECT partition_key, status, message FROM many_models.failures WHERE model_set = 'overrides';
-- min_rows; seconds_per_group is checked while fitting.
SELECT trained, skipped FROM many_models.train_many_models('overrides', options => '{"min_rows": 61}');
-- Categorical features: levels per group, against a reference level.
CREATE TYPE colour AS ENUM ('red', 'green', 'blue');
CREATE TABLE shades AS
SELECT i % 2 AS g, (ARRAY['red', 'green', 'blue'])[1 + i % 3]::colour AS colour,
       CASE WHEN i % 2 = 0 THEN (ARRAY['a', 'b'])[1 + i % 2] ELSE (ARRAY['x', 'Ñandú', '🙂'])[1 + i / 2 % 3] END AS shape,
       i::float8 AS x, i + CASE i % 3 WHEN 0 THEN 10 WHEN 1 THEN 20 ELSE 30 END + (i % 5)::float8 AS y
FROM generate_series(1, 120) AS i;
SELECT trained, failed, skipped FROM many_models.train_many_models('shades', 'shades', '{g}', 'y', '{colour,shape,x}',
    options => '{"holdout": {"rows": 0}}');
SELECT partition_key ->> 'g' AS g, term, round(estimate::numeric, 4) AS estimate FROM many_models.coefficients
WHERE model_set = 'shades' ORDER BY partition_key ->> 'g', term COLLATE "C";
SELECT skipped, failed FROM many_models.train_many_models('levels', 'SELECT 1 AS g, i::text AS t, i AS y FROM generate_series(1, 300) AS i', '{g}', 'y', '{t}');
SELECT status, message, hint FROM many_models.failures WHERE model_set = 'levels';
-- Dates count days since 1970-01-01, timestamps seconds.
SELECT trained FROM many_models.train_many_models('dates', 'SELECT 1 AS g, DATE ''1970-01-01'' + i AS d, 3.0 * i + 7 AS y FROM generate_series(1, 30) AS i', '{g}', 'y', '{d}', options => '{"holdout": {"rows": 0}}');
SELECT term, round(estimate::numeric, 9) AS estimate FROM many_models.coefficients WHERE model_set = 'dates' ORDER BY 1;

-- Holdouts: by fraction, exact, rows, since, the last by time; the same for any exchange.
CREATE FUNCTION holdout_of(options text, time_column text DEFAULT NULL) RETURNS TABLE (exchange text, rows_held text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM many_models.train_many_models('held', 'sales', '{store}', 'units', '{price,traffic}', time_column => time_column, options => options::jsonb);
    RETURN QUERY SELECT (SELECT details ->> 'exchange' FROM many_models.runs WHERE model_set = 'held'),
        string_agg(coalesce(m.n_rows, 0) || CASE WHEN m.mae IS NULL THEN '' ELSE ' with mae' END, ', ' ORDER BY m.partition_key)
        FROM many_models.models AS k LEFT JOIN many_models.metrics AS m ON m.model_id = k.model_id AND m.split = 'holdout' WHERE k.model_set = 'held';
    PERFORM many_models.drop_models('held');
    DROP VIEW held_models;
END
$$;
SELECT o, t, h.* FROM (VALUES (1, '{}', NULL), (2, '{"seed": 1}', NULL), (3, '{"holdout": {"fraction": 0.2, "exact": true}}', NULL),
    (4, '{"holdout": {"rows": 7}}', NULL), (5, '{"holdout": {"rows": 7}}', 'day'), (6, '{}', 'day'), (7, '{"holdout": {"since": "2025-02-20"}}', 'day'),
    (8, '{"holdout": {"rows": 0}}', 'day'), (9, '{"holdout": {"since": 50}}', 'id'), (10, '{"holdout": {"since": "50"}}', 'id')) AS v (n, o, t),
    LATERAL holdout_of(o, t) AS h WHERE n <> 9 ORDER BY n;
-- Cross-validation, and lambda chosen by it.
SELECT trained FROM many_models.train_many_models('cv', 'sales', '{store}', 'units', '{price,traffic,promo}', options => '{"cv_folds": 5}');
SELECT partition_key, split, n_rows, round(rmse::numeric, 6) AS rmse, round(r2::numeric, 6) AS r2 FROM many_models.metrics WHERE model_set = 'cv' ORDER BY 1, 2;
SELECT trained FROM many_models.train_many_models('auto', 'sales', '{store}', 'units', '{price,traffic,promo}', 'lasso', options => '{"lambda": "auto", "cv_folds": 5}');
SELECT partition_key, lambda > 0 AS chosen, alpha FROM many_models.fit_statistics WHERE model_set = 'auto' ORDER BY 1;
