-- train_many_models: the first model, versions, the registry, the typed view.
SET client_min_messages = warning;
SELECT model_set, version, status, groups, trained, failed, skipped, rows_read
FROM many_models.train_many_models('demand', 'sales', '{store,product}', 'units',
    '{price,traffic,promo}');
SELECT model_set, version, algorithm, partition_key, n_rows, status FROM many_models.models
WHERE model_set = 'demand' ORDER BY partition_key LIMIT 3;
-- The same coefficients as PostgreSQL's own regression, where it has one.
SELECT trained FROM many_models.train_many_models('simple', 'sales', '{store,product}', 'units', '{price}');
SELECT count(*) AS models, bool_and(abs(c.estimate - r.slope) < 1e-12 * abs(r.slope)) AS slopes,
       bool_and(abs(f.r2 - r.r2) < 1e-12) AS r2
FROM (SELECT store, product, regr_slope(units, price) AS slope, regr_r2(units, price) AS r2
      FROM sales GROUP BY 1, 2) AS r
JOIN simple_models AS m USING (store, product)
JOIN many_models.coefficients AS c ON c.model_id = m.model_id AND c.term = 'price'
JOIN many_models.fit_statistics AS f ON f.model_id = m.model_id;
-- Inference of one model.
SELECT term, round(estimate::numeric, 6) AS estimate, round(std_error::numeric, 6) AS std_error,
       round(t_value::numeric, 3) AS t, round(p_value::numeric, 6) AS p,
       round(lower::numeric, 5) AS lower, round(upper::numeric, 5) AS upper
FROM many_models.coefficients
WHERE model_set = 'demand' AND partition_key = '{"store": 1, "product": "P1"}' ORDER BY term;
SELECT n_rows, df_residual, round(sigma::numeric, 6) AS sigma, round(r2::numeric, 8) AS r2,
       round(aic::numeric, 4) AS aic, round(bic::numeric, 4) AS bic
FROM many_models.fit_statistics
WHERE model_set = 'demand' AND partition_key = '{"store": 1, "product": "P1"}';
-- The nightly call: everything from the stored definition; version 2.
SELECT version, trained FROM many_models.train_many_models('demand');
SELECT version, count(*) FROM demand_models GROUP BY 1 ORDER BY 1;
SELECT version, status, groups, trained, features, feature_types, key_types, options, workers > 0 AS w
FROM many_models.runs WHERE model_set = 'demand' ORDER BY version;
SELECT model_set, partition_by, target, features, algorithm, latest_version
FROM many_models.model_sets ORDER BY 1;
-- Features found by themselves: not the keys, the target, the time, nor a primary key.
CREATE TABLE keyed (id int PRIMARY KEY, g int, a float8, b date, c numeric, d point, y int);
INSERT INTO keyed SELECT i, i % 2, i % 7, DATE '2025-01-01' + i % 11, i % 5, point(i, i), i % 13
FROM generate_series(1, 60) AS i;
SET client_min_messages = notice;
SELECT trained FROM many_models.train_many_models('found', 'keyed', '{g}', 'y');
SET client_min_messages = warning;
SELECT features, feature_types FROM many_models.runs WHERE model_set = 'found';
-- One model over all rows.
SELECT groups, trained FROM many_models.train_many_models('whole', 'sales', '{}', 'units', '{price}');
SELECT partition_key FROM many_models.models WHERE model_set = 'whole';
-- A query as source, with a WITH clause and a trailing semicolon.
SELECT groups, trained FROM many_models.train_many_models('query',
    'WITH s AS (SELECT * FROM sales WHERE store < 3) SELECT store, price, units FROM s; ',
    '{store}', 'units', '{price}');
-- Transactional: ROLLBACK leaves nothing, uncommitted rows and temporary tables are seen.
BEGIN;
CREATE TEMP TABLE scratch AS SELECT 1 AS g, i AS x, 3 * i + (i % 4) AS y FROM generate_series(1, 40) AS i;
SELECT trained FROM many_models.train_many_models('scratch', 'scratch', '{g}', 'y', '{x}');
SAVEPOINT s;
INSERT INTO scratch SELECT 2, i, i FROM generate_series(1, 40) AS i;
SELECT version, trained FROM many_models.train_many_models('scratch');
ROLLBACK TO s;
SELECT version, trained FROM many_models.train_many_models('scratch');
ROLLBACK;
SELECT count(*) FROM many_models.model_sets WHERE model_set = 'scratch';
SELECT count(*) FROM many_models.model_store AS m
WHERE NOT EXISTS (SELECT FROM many_models.runs AS r WHERE r.run_id = m.run_id);
-- Dropping a version, then the set.
SELECT many_models.drop_models('demand', 1);
SELECT DISTINCT version FROM many_models.models WHERE model_set = 'demand';
SELECT version FROM many_models.train_many_models('demand');
SELECT many_models.drop_models('demand');
SELECT count(*) FROM many_models.models WHERE model_set = 'demand';
