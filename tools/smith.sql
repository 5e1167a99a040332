-- What tools/smith asks its questions about: tables with keys, features and models in them, and sets of models in every
-- state, all of an ordinary role.
\set ON_ERROR_STOP 1
SET client_min_messages = warning;
CREATE EXTENSION many_models;
SELECT format('CREATE ROLE smith LOGIN') WHERE to_regrole('smith') IS NULL \gexec
SELECT many_models.grant_usage('smith');
GRANT ALL ON SCHEMA public TO smith;
SET ROLE smith;
CREATE TABLE t AS
SELECT i AS id, i % 30 AS g, 'k' || i % 3 AS k, (i * 7 % 101)::float8 AS x, sin(i) AS z, CASE WHEN i % 50 > 0 THEN 3.0 * i + cos(i) END AS y,
    date '2025-01-01' + i / 10 AS day, jsonb_build_object('g', i % 30) AS key, jsonb_build_object('x', i % 17, 'z', 0.5) AS features,
    ARRAY[i % 17, 0.5]::float8[] AS vector, ARRAY['x', 'z'] AS names
FROM generate_series(1, 300) AS i;
ALTER TABLE t ADD PRIMARY KEY (id);
SELECT FROM many_models.train_many_models('s', 't', '{g}', 'y', '{x,z}', time_column => 'day', options => '{"holdout": {"rows": 3}, "min_rows": 5}');
SELECT FROM many_models.train_many_models('s');
SELECT FROM many_models.train_many_models('a', 't', '{g}', 'y', '{x,z}', time_column => 'day', options => '{"append_only": true}');
SELECT FROM many_models.train_many_models('l', 't', '{k}', 'y', '{x,z}', algorithm => 'lasso');
SELECT FROM many_models.score_many_models('s', 't');
SELECT FROM many_models.score_many_models('l', 't', options => '{"row_security": true}');
SELECT FROM many_models.evaluate_many_models('s', 't', 's_predictions', '{id}', period => NULL);
SELECT FROM many_models.promote_models('s');
SELECT many_models.set_retention('s', keep_versions => 2);
CREATE TABLE m AS
SELECT g, 's' AS model_set, jsonb_build_object('g', g) AS key, many_models.fit('{}', y, ARRAY[x, z]) AS model FROM t GROUP BY g;
INSERT INTO m VALUES (-1, 'none', '{}', NULL);
CREATE VIEW fitted AS
SELECT t.*, m.model, many_models.predict(m.model, t.vector) AS p, many_models.predict('s', t.key, t.features) AS q FROM t JOIN m USING (g);
RESET ROLE;

-- Sqlsmith reads pg_proc: of the server's own functions it finds those whose values ours can take.
CREATE SCHEMA shadow;
CREATE VIEW shadow.pg_proc AS
SELECT p.* FROM pg_catalog.pg_proc AS p
WHERE (pronamespace = 'many_models'::regnamespace OR pronamespace = 'pg_catalog'::regnamespace
        AND proname ~ '^(abs|sqrt|exp|ln|round|pi|random|now|make_date|date_part|int4|int8|float8|numeric|text|concat|upper|lower|md5|length|left'
            '|substr|repeat|replace|regexp_replace|convert_to|array_length|array_to_string|string_to_array|jsonb_build_array|jsonb_typeof'
            '|jsonb_pretty|jsonb_strip_nulls|count|sum|avg|min|max)$')
    AND NOT EXISTS (
        SELECT FROM unnest(ARRAY[prorettype] || proargtypes::oid[]) AS a (type) WHERE type::regtype::text ~ '^any');
GRANT USAGE ON SCHEMA shadow TO smith;
GRANT SELECT ON shadow.pg_proc TO smith;
SELECT format('ALTER ROLE %I IN DATABASE %I SET search_path = shadow, pg_catalog, public', r, current_database())
FROM (VALUES ('smith'), ('postgres')) AS v (r) \gexec
