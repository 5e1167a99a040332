-- The type many_models.model: input and output, checks, and what one value tells.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE SCHEMA test_model_type;
SET search_path = test_model_type, public;
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

CREATE TABLE points (x1 float8, x2 float8, y float8);
INSERT INTO points SELECT i, i * i % 7, 1 + 2 * i - 3 * (i * i % 7) + (i % 3) / 10.0 FROM generate_series(1, 20) AS i;
CREATE TABLE fits AS
SELECT 'ols' AS name, many_models.fit('{}', y, ARRAY[x1, x2]) AS model FROM points
UNION ALL SELECT 'ridge', many_models.fit('{"algorithm":"ridge","lambda":0.5}', y, ARRAY[x1, x2]) FROM points
UNION ALL SELECT 'collinear', many_models.fit('{}', y, ARRAY[x1, x1 * 2]) FROM points
UNION ALL SELECT 'constant', many_models.fit('{}', 5, ARRAY[x1, x2]) FROM points;

SELECT name, many_models.model_algorithm(model), many_models.model_bytes(model) > 100 AS has_bytes,
       many_models.model_check(model), many_models.model_error(model)
FROM fits ORDER BY name;

-- Text and binary forms round trip.
SELECT name, model::text LIKE '\\x4d4d%' AS hexadecimal,
       many_models.model_send(model::text::many_models.model) = many_models.model_send(model) AS same
FROM fits ORDER BY name;

-- Equal are the same bytes, toasted or not, and the order is that of the bytes.
CREATE TABLE pairs AS SELECT a.name AS a_name, b.name AS b_name, a.model AS a, b.model::text::many_models.model AS b, many_models.model_send(a.model) AS x, many_models.model_send(b.model) AS y
FROM fits AS a, fits AS b;
SELECT count(*) AS pairs, count(*) FILTER (WHERE a OPERATOR(many_models.=) b) AS equal,
       bool_and(a OPERATOR(many_models.=) b = (a_name = b_name)) AS eq, bool_and(a OPERATOR(many_models.<>) b = (x <> y)) AS ne,
       bool_and(a OPERATOR(many_models.<) b = (x < y)) AS lt, bool_and(a OPERATOR(many_models.<=) b = (x <= y)) AS le,
       bool_and(a OPERATOR(many_models.>) b = (x > y)) AS gt, bool_and(a OPERATOR(many_models.>=) b = (x >= y)) AS ge,
       bool_and(sign(many_models.model_cmp(a, b)) = sign(byteacmp(x, y))) AS cmp,
       bool_and((many_models.model_hash(a) = many_models.model_hash(b)) = (x = y)) AS hash,
       bool_and((many_models.model_hash_extended(a, 7) = many_models.model_hash_extended(b, 7)) = (x = y)) AS hash_extended,
       bool_and(many_models.model_hash_extended(a, 7) <> many_models.model_hash_extended(a, 8)) AS seeded
FROM pairs;
SELECT many_models.model_eq(NULL, model) IS NULL AS strict FROM fits LIMIT 1;
-- What needs no operator in the search_path; by sorting, by hashing, by merging, by an index.
CREATE TABLE twice AS SELECT name, model FROM fits UNION ALL SELECT name, model FROM fits;
CREATE FUNCTION by_all_means() RETURNS TABLE (distinct_models bigint, united bigint, grouped bigint, both_sides bigint, joined bigint, counted bigint, in_order boolean) LANGUAGE sql AS $$
SELECT (SELECT count(*) FROM (SELECT DISTINCT model FROM twice) AS q),
       (SELECT count(*) FROM (SELECT model FROM twice UNION SELECT model FROM fits) AS q),
       (SELECT count(*) FROM (SELECT model FROM twice GROUP BY model HAVING count(*) = 2) AS q),
       (SELECT count(*) FROM (SELECT model FROM twice INTERSECT ALL SELECT model FROM fits) AS q),
       (SELECT count(*) FROM twice JOIN fits ON twice.model OPERATOR(many_models.=) fits.model),
       (SELECT count(DISTINCT model) FROM twice),
       (SELECT bool_and(x) FROM (SELECT many_models.model_send(model) >= lag(many_models.model_send(model), 1, '') OVER (ORDER BY model) AS x FROM twice) AS q)
$$;
SET enable_hashagg = off; SET enable_hashjoin = off; SET enable_nestloop = off;
SELECT * FROM by_all_means();
RESET enable_hashagg; RESET enable_hashjoin; RESET enable_nestloop;
SET enable_sort = off; SET enable_mergejoin = off; SET enable_nestloop = off;
SELECT * FROM by_all_means();
EXPLAIN (COSTS OFF) SELECT DISTINCT model FROM twice;
EXPLAIN (COSTS OFF) SELECT count(*) FROM twice JOIN fits ON twice.model OPERATOR(many_models.=) fits.model;
RESET enable_sort; RESET enable_mergejoin; RESET enable_nestloop;
CREATE UNIQUE INDEX ON fits (model);
CREATE INDEX ON twice USING hash (model);
SET enable_seqscan = off; SET enable_bitmapscan = off;
SELECT name FROM twice WHERE model OPERATOR(many_models.=) (SELECT model FROM fits WHERE name = 'ridge');
SELECT name FROM fits WHERE model OPERATOR(many_models.=) (SELECT model FROM fits WHERE name = 'ols');
RESET enable_seqscan; RESET enable_bitmapscan;
SELECT left(error_of($$INSERT INTO fits SELECT 'again', model FROM fits WHERE name = 'ols'$$), 5) AS twice;
SELECT opcname, amvalidate(oid) FROM pg_opclass WHERE opcnamespace = 'many_models'::regnamespace ORDER BY 1;

-- Statistics, against PostgreSQL's own aggregates on one feature.
WITH m AS (SELECT many_models.fit('{}', y, ARRAY[x1]) AS model FROM points),
     r AS (SELECT regr_slope(y, x1) AS slope, regr_intercept(y, x1) AS intercept, regr_r2(y, x1) AS r2,
                  count(*) AS n, regr_syy(y, x1) - regr_sxy(y, x1) ^ 2 / regr_sxx(y, x1) AS rss
           FROM points)
SELECT many_models.model_statistic(model, 'n_rows') AS n_rows,
       many_models.model_statistic(model, 'n_parameters') AS n_parameters,
       many_models.model_statistic(model, 'df_residual') AS df_residual,
       many_models.model_statistic(model, 'rank') AS rank,
       abs(many_models.model_statistic(model, 'r2') - r2) < 1e-12 AS r2,
       abs(many_models.model_statistic(model, 'sigma') - sqrt(rss / (n - 2))) < 1e-9 AS sigma,
       abs(many_models.model_statistic(model, 'deviance') - rss) < 1e-9 AS deviance,
       abs(many_models.model_statistic(model, 'log_likelihood')
           + n / 2.0 * (ln(2 * pi()) + ln(rss / n) + 1)) < 1e-9 AS log_likelihood,
       abs(many_models.model_statistic(model, 'aic')
           - (6 - 2 * many_models.model_statistic(model, 'log_likelihood'))) < 1e-9 AS aic,
       abs(many_models.model_metric(model, 'train', 'rmse') - sqrt(rss / n)) < 1e-9 AS rmse,
       many_models.model_metric(model, 'holdout', 'rmse') AS no_holdout,
       many_models.model_metric(model, 'train', 'mae') AS no_mae
FROM m, r;

SELECT name, term, round(estimate::numeric, 6) AS estimate, round(std_error::numeric, 6) AS std_error,
       round(t_value::numeric, 4) AS t_value, round(p_value::numeric, 6) AS p_value,
       round(lower::numeric, 6) AS lower, round(upper::numeric, 6) AS upper
FROM fits, many_models.model_coefficients(model, ARRAY['price', 'größe'])
ORDER BY name, term;
SELECT term FROM fits, many_models.model_coefficients(model) WHERE name = 'ols';
SELECT count(*) FROM many_models.model_coefficients(NULL);
-- A wider level, a wider interval.
SELECT bool_and(b.upper - b.lower > a.upper - a.lower)
FROM fits, many_models.model_coefficients(model, level => 0.8) AS a,
     many_models.model_coefficients(model, level => 0.99) AS b
WHERE name = 'ols' AND a.term = b.term;

-- Errors.
SELECT error_of($$SELECT many_models.model_metric(model, 'test', 'rmse') FROM fits$$);
SELECT error_of($$SELECT many_models.model_metric(model, 'train', 'RMSE') FROM fits$$);
SELECT error_of($$SELECT many_models.model_statistic(model, 'p') FROM fits$$);
SELECT error_of($$SELECT * FROM fits, many_models.model_coefficients(model, ARRAY['a']) WHERE name = 'ols'$$);
SELECT error_of($$SELECT * FROM fits, many_models.model_coefficients(model, NULL, 1) WHERE name = 'ols'$$);
SELECT error_of($$SELECT ''::many_models.model$$);
SELECT error_of($$SELECT 'abc'::many_models.model$$);
SELECT error_of($$SELECT '\x4d4d'::many_models.model$$);
SELECT error_of($$SELECT '\x4d4d4552'::many_models.model$$);

-- A value that an error in storage could have made: every function refuses it, none crashes.
CREATE CAST (bytea AS many_models.model) WITHOUT FUNCTION;
CREATE TABLE damaged AS
SELECT name, n, set_byte(bytes, n, get_byte(bytes, n) # 85)::many_models.model AS model
FROM (SELECT name, many_models.model_send(model) AS bytes FROM fits) AS s,
     LATERAL generate_series(0, length(bytes) - 1) AS n
-- The slot of the interval's quantile (bytes 24 to 31 of a model) is not checked.
WHERE name = 'constant' OR n NOT BETWEEN 24 AND 31;
SELECT count(*) > 300 AS values, count(*) FILTER (WHERE many_models.model_check(model)) AS intact FROM damaged;
SELECT DISTINCT left(error_of(format('SELECT many_models.model_algorithm(model) FROM damaged WHERE name = %L AND n = %s', name, n)), 5)
FROM damaged;
SELECT DISTINCT left(error_of(format('SELECT many_models.predict(model, ARRAY[1, 2]) FROM damaged WHERE name = %L AND n = %s', name, n)), 5)
FROM damaged;
-- Compared they are all the same: byte by byte, unopened.
SELECT count(DISTINCT model) = count(*) AS distinct FROM damaged;
-- Truncated at any length.
SELECT count(*) FILTER (WHERE many_models.model_check(substr(bytes, 1, n)::many_models.model)) AS intact
FROM (SELECT many_models.model_send(model) AS bytes FROM fits) AS s, LATERAL generate_series(0, length(bytes) - 1) AS n;
DROP CAST (bytea AS many_models.model);

DROP SCHEMA test_model_type CASCADE;
