-- reconcile: forecasts of a table made coherent.
SET client_min_messages = warning;
CREATE SCHEMA test_reconcile;
SET search_path = test_reconcile, public;
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

-- Three levels: all, stores, products of stores.
CREATE TABLE forecasts (store text, product integer, month date, prediction numeric);
INSERT INTO forecasts
SELECT s, p, m, 10 * p + 3 * ascii(s) % 7 + 5 * extract(month FROM m) + CASE WHEN p IS NULL THEN 90 ELSE 0 END + CASE WHEN s IS NULL THEN 150 ELSE 0 END
FROM (VALUES ('A', 1), ('A', 2), ('A', 3), ('B', 1), ('B', 2)) AS v (s, p), unnest('{2024-01-01,2024-02-01}'::date[]) AS m;
INSERT INTO forecasts SELECT s, NULL, m, 70 + ascii(s) - 64 FROM unnest('{A,B}'::text[]) AS s, unnest('{2024-01-01,2024-02-01}'::date[]) AS m;
INSERT INTO forecasts SELECT NULL, NULL, m, 200 FROM unnest('{2024-01-01,2024-02-01}'::date[]) AS m;

SELECT key, step_time, prediction, round(reconciled::numeric, 6) AS reconciled
FROM many_models.reconcile('forecasts', '{store,product}', 'month') ORDER BY step_time, key;

-- Sums hold for each method, and the leaves of bottom_up and the total of top_down are as they were.
CREATE TABLE errors AS
SELECT f.store, f.product, t AS month, ((coalesce(ascii(f.store), 0) * 31 + coalesce(f.product, 9) * 17 + t * 13) % 23 - 11) / 4.0::float8 AS error
FROM (SELECT DISTINCT store, product FROM forecasts) AS f, generate_series(1, 12) AS t;
SELECT m AS method, max(abs(gap)) < 1e-9 AS coherent, bool_and(leaves_kept) AS leaves_kept, bool_and(total_kept) AS total_kept
FROM unnest('{bottom_up,top_down,ols,wls_structure,wls_variance,mint}'::text[]) AS m,
     LATERAL (SELECT sum(r.reconciled) FILTER (WHERE r.key ->> 'product' IS NOT NULL) - sum(r.reconciled) FILTER (WHERE r.key ->> 'store' IS NULL) AS gap,
                     bool_and(r.reconciled = r.prediction) FILTER (WHERE r.key ->> 'product' IS NOT NULL) AS leaves_kept,
                     bool_and(abs(r.reconciled - r.prediction) < 1e-9) FILTER (WHERE r.key ->> 'store' IS NULL) AS total_kept
              FROM many_models.reconcile('forecasts', '{store,product}', 'month', method => m, errors => 'errors') AS r GROUP BY r.step_time
              UNION ALL
              SELECT max(abs(s.sum - s.own)), NULL, NULL
              FROM (SELECT r.step_time, r.key ->> 'store' AS store, sum(r.reconciled) FILTER (WHERE r.key ->> 'product' IS NOT NULL),
                           sum(r.reconciled) FILTER (WHERE r.key ->> 'product' IS NULL) AS own
                    FROM many_models.reconcile('forecasts', '{store,product}', 'month', method => m, errors => 'errors') AS r
                    WHERE r.key ->> 'store' IS NOT NULL GROUP BY 1, 2) AS s) AS v
GROUP BY m ORDER BY m COLLATE "C";
-- With errors mint is the default; queries and other columns; the same as over arrays.
SELECT count(*), count(DISTINCT key), bool_and(a.reconciled = b.reconciled) AS same
FROM many_models.reconcile('SELECT store, product, month AS t, prediction AS y FROM forecasts', '{store,product}', 't', 'y', 'mint', 'SELECT store, product, month AS t, error AS e FROM errors', 'e') AS a
JOIN many_models.reconcile('forecasts', '{store,product}', 'month', errors => 'errors') AS b USING (key, step_time);
WITH nodes AS (SELECT store, product, prediction, row_number() OVER (ORDER BY product, store)::int AS node FROM forecasts WHERE month = '2024-01-01'),
     coherent AS (SELECT many_models.reconcile_forecasts((SELECT array_agg(prediction::float8 ORDER BY node) FROM nodes),
                      array_agg(a.node), array_agg(l.node)) AS y
                  FROM nodes AS a JOIN nodes AS l ON a.product IS NULL AND l.product IS NOT NULL AND coalesce(a.store = l.store, true))
SELECT bool_and(abs(r.reconciled - c.y[n.node]) < 1e-9) AS same, count(*)
FROM coherent AS c, nodes AS n
JOIN many_models.reconcile('forecasts', '{store,product}', 'month', method => 'ols') AS r
    ON r.key = jsonb_build_object('store', n.store, 'product', n.product) AND r.step_time = '2024-01-01';

-- Aggregates may cross: products over stores.
INSERT INTO forecasts SELECT NULL, p, m, 30 * p FROM generate_series(1, 3) AS p, unnest('{2024-01-01,2024-02-01}'::date[]) AS m;
SELECT key ->> 'product' AS product, step_time, abs(sum(reconciled) FILTER (WHERE key ->> 'store' IS NOT NULL) - sum(reconciled) FILTER (WHERE key ->> 'store' IS NULL)) < 1e-9 AS coherent
FROM many_models.reconcile('forecasts', '{store,product}', 'month') GROUP BY 1, 2 ORDER BY 1, 2;
SELECT error_of($$SELECT * FROM many_models.reconcile('forecasts', '{store,product}', 'month', method => 'top_down')$$);

-- Intervals: standard errors of the results, from the ends of intervals or standard errors of the base forecasts.
CREATE TABLE ranged AS
SELECT f.store, f.product, f.month, f.prediction, f.prediction - w.z * w.s AS lower, f.prediction + w.z * w.s AS upper, w.s AS std_error
FROM forecasts AS f, LATERAL (SELECT 1.959963984540054 AS z, 2.0 + coalesce(f.product, 5) AS s) AS w WHERE f.store IS NOT NULL OR f.product IS NULL;
SELECT many_models.interval_width(0.95), error_of('SELECT many_models.interval_width(1)');
-- Leaves of bottom_up keep theirs; aggregates have the root of the sum of squares without errors; store A: 3, 4, 5, its root 50.
SELECT key, round(std_error::numeric, 8) AS std_error, round((upper - reconciled)::numeric, 6) AS half, round((reconciled - lower)::numeric, 6) AS half_below
FROM many_models.reconcile('ranged', '{store,product}', 'month', method => 'bottom_up', interval_columns => '{lower,upper}', level => 0.8) WHERE step_time = '2024-01-01' ORDER BY key;
-- The same by standard errors; not known of shares, nor without interval_columns; less than the base forecasts' where these agree.
SELECT m, count(*), count(a.std_error) AS known, count(b.upper) AS without, bool_and(abs(a.std_error - c.std_error) < 1e-9) AS same
FROM unnest('{bottom_up,top_down,ols,wls_structure,wls_variance,mint}'::text[]) AS m, LATERAL (
    SELECT * FROM many_models.reconcile('ranged', '{store,product}', 'month', method => m, errors => 'errors', interval_columns => '{lower,upper}')) AS a
JOIN LATERAL (SELECT * FROM many_models.reconcile('ranged', '{store,product}', 'month', method => m, errors => 'errors')) AS b USING (key, step_time)
JOIN LATERAL (SELECT * FROM many_models.reconcile('ranged', '{store,product}', 'month', method => m, errors => 'errors', interval_columns => '{std_error}')) AS c USING (key, step_time)
GROUP BY m ORDER BY m COLLATE "C";
-- Three nodes, all of standard error 3: the variance of each is 2/3 of 9 (ols). An end that a bound cut counts no less than the other; unknown ones.
SELECT many_models.reconcile_std_errors('{{3,3,3},{3,NULL,3}}', '{3,3}', '{1,2}')::numeric(10, 6)[] AS ols, many_models.reconcile_std_errors('{3,4,9}', '{3,3}', '{1,2}', 'bottom_up') AS bottom_up,
    many_models.reconcile_std_errors('{3,4,9}', '{3,3}', '{1,2}', 'bottom_up', '{{1,2,3},{-1,-2,-3},{1,2,3},{-1,-2,-3}}') AS together, many_models.reconcile_std_errors('{3,4,9}', '{3,3}', '{1,2}', 'top_down') AS shares,
    many_models.reconcile_std_errors('{3,4,9}', '{3,3}', '{1,2}', 'ols', '{{1,2,3}}') = many_models.reconcile_std_errors('{3,4,9}', '{3,3}', '{1,2}', 'ols') AS too_few;
SELECT key, std_error::numeric(10, 6), lower::numeric(10, 6), upper::numeric(10, 6) FROM many_models.reconcile($$SELECT * FROM (VALUES ('a', 1, 2.0, 0.0, 2 + 1.959963984540054), ('b', 1, 3.0, NULL, NULL), (NULL, 1, 5.0, 1.0, 9.0)) AS v (k, t, prediction, lower, upper)$$,
    '{k}', 't', method => 'bottom_up', interval_columns => '{lower,upper}');
SELECT statement, error_of('SELECT * FROM many_models.' || statement) AS error FROM (VALUES
    ('reconcile(''ranged'', ''{store,product}'', ''month'', interval_columns => ''{}'')'), ('reconcile(''ranged'', ''{store,product}'', ''month'', interval_columns => ''{lower,upper,upper}'')'),
    ('reconcile(''ranged'', ''{store,product}'', ''month'', interval_columns => ''{low,upper}'')'), ('reconcile(''ranged'', ''{store,product}'', ''month'', interval_columns => ''{lower,upper}'', level => 95)'),
    ('reconcile(''ranged'', ''{store,product}'', ''month'', interval_columns => ''{lower,upper}'', interval_level => 0)'), ('reconcile_std_errors(''{1,-1,2}'', ''{3,3}'', ''{1,2}'')'),
    ('reconcile_std_errors(''{1,1,2}'', ''{3,3}'', ''{1,2}'', ''ols'', ''{{1,2}}'')'), ('reconcile_std_errors(''{1,1,2}'', ''{3,3}'', ''{1,2}'', ''mint'')')) AS v (statement);

-- Without negative forecasts: the nearest of those that are coherent and not negative.
SELECT many_models.reconcile_forecasts('{{-2,4,2},{1,2,6}}', '{3,3}', '{1,2}', nonnegative => true)::numeric(10, 6)[] AS ols, many_models.reconcile_forecasts('{-2,4,9}', '{3,3}', '{1,2}', 'bottom_up', nonnegative => true) AS bottom_up,
    many_models.reconcile_forecasts('{-2,4,9}', '{3,3}', '{1,2}', 'top_down', nonnegative => true) AS top_down, error_of($$SELECT many_models.reconcile_forecasts('{2,4,9}', '{3,3}', '{1,2}', 'top_down_averages', averages => '{-1,3,2}', nonnegative => true)$$);
SELECT m AS method, min(r.plain) < 0 AS was_negative, min(r.reconciled) AS least, min(r.lower) AS least_lower, count(*) FILTER (WHERE r.reconciled > 0) > 0 AS others, max(r.gap) < 1e-9 AS coherent
FROM unnest('{bottom_up,ols,wls_structure,wls_variance,mint}'::text[]) AS m, LATERAL (
    SELECT a.reconciled, a.lower, b.reconciled AS plain,
           abs(sum(a.reconciled) FILTER (WHERE a.key ->> 'product' IS NOT NULL) OVER w - sum(a.reconciled) FILTER (WHERE a.key ->> 'store' IS NULL) OVER w) AS gap
    FROM many_models.reconcile('SELECT store, product, month, CASE product WHEN 1 THEN -70 ELSE prediction END AS prediction, std_error FROM ranged', '{store,product}', 'month', method => m, errors => 'errors', interval_columns => '{std_error}', nonnegative => true) AS a
    JOIN many_models.reconcile('SELECT store, product, month, CASE product WHEN 1 THEN -70 ELSE prediction END AS prediction FROM ranged', '{store,product}', 'month', method => m, errors => 'errors') AS b USING (key, step_time)
    WINDOW w AS (PARTITION BY a.step_time)) AS r
GROUP BY m ORDER BY m COLLATE "C";

-- Columns of any name; a table without aggregates; none at all.
CREATE TABLE "odd table" AS SELECT 'a"b' AS "the ""key""", 1 AS "time", 2.5 AS "y'";
SELECT * FROM many_models.reconcile('"odd table"', '{"the \"key\""}', 'time', 'y''');
SELECT * FROM many_models.reconcile('SELECT 1 AS k, 1 AS t, 1 AS prediction WHERE false', '{k}', 't');

-- Errors.
SELECT statement, error_of('SELECT * FROM many_models.reconcile(' || statement || ')') AS error FROM (VALUES
    ('''nowhere'', ''{store}'', ''month'''), ('''forecasts'', ''{shop}'', ''month'''), ('''forecasts'', ''{store,product}'', ''week'''),
    ('''forecasts'', ''{store,product}'', ''month'', ''units'''), ('''forecasts'', ''{}'', ''month'''), ('''forecasts'', NULL, ''month'''),
    ('''forecasts'', ''{store,product}'', NULL'), ('''forecasts'', ''{store}'', ''month'''),
    ('''SELECT * FROM forecasts WHERE store IS NOT NULL OR month < ''''2024-01-15'''''', ''{store,product}'', ''month'''),
    ('''SELECT store, product, prediction, NULL::date AS month FROM forecasts'', ''{store,product}'', ''month'''),
    ('''SELECT store, product, month, NULL::float8 AS prediction FROM forecasts'', ''{store,product}'', ''month'''),
    ('''SELECT store, product, month, prediction FROM forecasts WHERE product IS NULL'', ''{store,product}'', ''month'''),
    ('''forecasts'', ''{store,product}'', ''month'', method => ''mint'''),
    ('''forecasts'', ''{store,product}'', ''month'', errors => ''SELECT * FROM errors WHERE month = 1'''),
    ('''DELETE FROM forecasts'', ''{store,product}'', ''month''')) AS v (statement);

-- As the caller.
\set VERBOSITY terse
CREATE ROLE reconcile_reader;
GRANT USAGE ON SCHEMA test_reconcile TO reconcile_reader;
SET ROLE reconcile_reader;
SELECT count(*) FROM many_models.reconcile('forecasts', '{store,product}', 'month');
RESET ROLE;
DROP SCHEMA test_reconcile CASCADE;
DROP ROLE reconcile_reader;
