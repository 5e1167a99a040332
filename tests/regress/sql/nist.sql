-- The NIST Statistical Reference Datasets for linear regression (tests/data/nist), through SQL: correct digits (log relative error, at most 15; where the
-- certified value is 0, digits after the point) of what the views show. The unit tests compare with the exact solution of the same doubles as well.
SET client_min_messages = warning;
CREATE SCHEMA test_nist;
SET search_path = test_nist, public;
\getenv source PG_ABS_SRCDIR
\set data :source '/../data/nist'
CREATE TABLE files (name text, content text);
\set content `cat :data/Norris.dat`
INSERT INTO files VALUES ('Norris', :'content');
\set content `cat :data/Pontius.dat`
INSERT INTO files VALUES ('Pontius', :'content');
\set content `cat :data/NoInt1.dat`
INSERT INTO files VALUES ('NoInt1', :'content');
\set content `cat :data/NoInt2.dat`
INSERT INTO files VALUES ('NoInt2', :'content');
\set content `cat :data/Longley.dat`
INSERT INTO files VALUES ('Longley', :'content');
\set content `cat :data/Wampler1.dat`
INSERT INTO files VALUES ('Wampler1', :'content');
\set content `cat :data/Wampler2.dat`
INSERT INTO files VALUES ('Wampler2', :'content');
\set content `cat :data/Wampler3.dat`
INSERT INTO files VALUES ('Wampler3', :'content');
\set content `cat :data/Wampler4.dat`
INSERT INTO files VALUES ('Wampler4', :'content');
\set content `cat :data/Wampler5.dat`
INSERT INTO files VALUES ('Wampler5', :'content');
\set content `cat :data/Filip.dat`
INSERT INTO files VALUES ('Filip', :'content');

CREATE TABLE lines AS
SELECT name, n, regexp_split_to_array(btrim(line, E' \r'), '\s+') AS words
FROM files, regexp_split_to_table(content, E'\n') WITH ORDINALITY AS l (line, n);

-- Certified: the coefficients stand in the lines that begin with B0, B1, ...; then the residual standard deviation and R-squared.
CREATE TABLE certified AS
SELECT name, words[1] AS what, words[2]::numeric AS estimate, words[3]::numeric AS std_error
FROM lines WHERE n < 60 AND words[1] ~ '^B[0-9]+$'
UNION ALL
SELECT name, 'sigma', words[3]::numeric, NULL FROM lines WHERE n < 60 AND words[1] = 'Standard' AND words[3] ~ '^[0-9.]+(E[-+][0-9]+)?$'
UNION ALL
SELECT name, 'r2', words[2]::numeric, NULL FROM lines WHERE n < 60 AND words[1] = 'R-Squared';

-- Data: y and x, or y and six columns. The powers of x are taken of the decimals, exactly, and rounded once.
CREATE TABLE data (name text, y float8, x1 float8, x2 float8, x3 float8, x4 float8, x5 float8, x6 float8, x7 float8, x8 float8, x9 float8, x10 float8) WITH (fillfactor = 10);
INSERT INTO data
SELECT l.name, l.words[1]::float8, v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8], v[9], v[10]
FROM lines AS l
JOIN (SELECT name, (regexp_match(content, 'Data +\(lines (\d+) to (\d+)\)'))::int[] AS span FROM files) AS s ON s.name = l.name AND l.n BETWEEN s.span[1] AND s.span[2],
    LATERAL (SELECT CASE WHEN cardinality(l.words) > 2 THEN l.words[2:]::float8[]
        ELSE (WITH RECURSIVE power AS (SELECT 1 AS k, l.words[2]::numeric AS x UNION ALL SELECT k + 1, x * l.words[2]::numeric FROM power WHERE k < 10)
              SELECT array_agg(x::float8 ORDER BY k) FROM power) END) AS p (v);
ANALYZE data;
SELECT name, count(*) FROM data GROUP BY name ORDER BY name COLLATE "C";
SELECT count(*) FROM certified;

-- One call per shape; two processes read the rows (slowly, so that the second has started when there are still some), of which some are held out at first.
SET min_parallel_table_scan_size = 0; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0;
CREATE FUNCTION slowly() RETURNS boolean LANGUAGE plpgsql PARALLEL SAFE AS $$ BEGIN PERFORM pg_sleep(0.002); RETURN true; END $$;
CREATE FUNCTION train(model_set text, names text[], terms int, intercept boolean) RETURNS text AS $$
    SELECT format('%s: %s trained', model_set, r.trained)
    FROM many_models.train_many_models(model_set, format('SELECT * FROM data WHERE name = ANY (%L) AND slowly()', names), '{name}', 'y',
        (SELECT array_agg('x' || k ORDER BY k) FROM generate_series(1, terms) AS k), options => jsonb_build_object('fit_intercept', intercept), workers => 2) AS r
$$ LANGUAGE sql;
SELECT train(s.model_set, s.names, s.terms, s.intercept) FROM (VALUES ('nist_line', '{Norris}'::text[], 1, true), ('nist_through_origin', '{NoInt1,NoInt2}', 1, false), ('nist_parabola', '{Pontius}', 2, true),
    ('nist_six', '{Longley}', 6, true), ('nist_quintic', '{Wampler1,Wampler2,Wampler3,Wampler4,Wampler5}', 5, true), ('nist_decic', '{Filip}', 10, true)) AS s (model_set, names, terms, intercept);
SELECT max(workers) AS processes FROM many_models.runs WHERE model_set LIKE 'nist\_%';

CREATE FUNCTION digits(found float8, wanted numeric) RETURNS numeric AS $$
    SELECT CASE WHEN found::text::numeric = wanted THEN 15
        ELSE least(15, -log(abs(found::text::numeric - wanted) / CASE wanted WHEN 0 THEN 1 ELSE abs(wanted) END)) END
$$ LANGUAGE sql;
CREATE VIEW correct AS
SELECT c.name, c.what, digits(f.estimate, c.estimate) AS estimate, digits(f.std_error, c.std_error) AS std_error
FROM certified AS c
LEFT JOIN (SELECT partition_key ->> 'name' AS name, CASE term WHEN '(Intercept)' THEN 'B0' ELSE 'B' || substr(term, 2) END AS what, estimate, std_error
           FROM many_models.coefficients WHERE model_set LIKE 'nist\_%'
           UNION ALL
           SELECT partition_key ->> 'name', s.what, s.value, NULL
           FROM many_models.fit_statistics, LATERAL (VALUES ('sigma', sigma), ('r2', r2)) AS s (what, value) WHERE model_set LIKE 'nist\_%') AS f USING (name, what);
-- As in the table of docs/numerics.md. The data of Filip do not fit into doubles; the other sets' do, but for the digits of the certified values.
SELECT name, round(min(estimate) FILTER (WHERE what ~ '^B'), 1) AS coefficients, round(min(std_error), 1) AS std_errors,
       round(min(estimate) FILTER (WHERE what = 'sigma'), 1) AS sigma, round(min(estimate) FILTER (WHERE what = 'r2'), 1) AS r2,
       bool_and(estimate IS NOT NULL AND estimate >= least_digits AND (what !~ '^B' OR std_error >= least_digits)) AS enough
FROM correct, LATERAL (SELECT CASE name WHEN 'Filip' THEN 6 ELSE 12.5 END) AS t (least_digits) GROUP BY name ORDER BY name COLLATE "C";

SELECT many_models.drop_models(model_set) IS NOT NULL AS dropped FROM many_models.model_sets WHERE model_set LIKE 'nist\_%' ORDER BY model_set COLLATE "C";
DROP SCHEMA test_nist CASCADE;
