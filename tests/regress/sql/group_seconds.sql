-- The time of a group is that of all its fits: of the training split, then of all rows. Each of the groups below has the same rows; the fits of one take
-- some 10 ms. Two fits take twice the time of one; a machine busy with other work makes that 1.25 times at least.
SET client_min_messages = warning;
CREATE SCHEMA test_group_seconds;
SET search_path = test_group_seconds, public;
CREATE TABLE t AS
SELECT i AS id, f.*, (SELECT sum(v * sin(k)) FROM unnest(f.x) WITH ORDINALITY AS u (v, k)) + sin(i * 7) AS y
FROM generate_series(1, 400) AS i, LATERAL (SELECT array_agg(cos(i * k * 1.7) + cos(i) ORDER BY k) AS x FROM generate_series(1, 50) AS k) AS f;
\set ECHO none
SELECT format('CREATE VIEW v AS SELECT g, id, y, %s FROM t, generate_series(1, 9) AS g', string_agg(format('x[%s] AS x%s', k, k), ', ' ORDER BY k))
FROM generate_series(1, 50) AS k \gexec
\set ECHO all
CREATE FUNCTION train(options jsonb, source text DEFAULT 'v') RETURNS TABLE (trained bigint, failed bigint) AS $$
    SELECT trained, failed FROM many_models.train_many_models('group_seconds', source, '{g}', 'y', (SELECT array_agg('x' || k ORDER BY k) FROM generate_series(1, 50) AS k),
        'elastic_net', options => options || '{"lambda": "auto"}', workers => 1)
$$ LANGUAGE sql;
CREATE FUNCTION shortest() RETURNS real AS $$
    SELECT min(seconds) FROM many_models.models WHERE model_set = 'group_seconds' AND version = (SELECT max(version) FROM many_models.models WHERE model_set = 'group_seconds')
$$ LANGUAGE sql;

SELECT * FROM train('{"holdout": {"fraction": 0}}');
SELECT shortest() AS alone \gset
SELECT * FROM train('{"holdout": {"fraction": 0.2}}');
SELECT shortest() > 1.25 * :alone AS both_fits_count;
-- More than one fit takes, less than two.
SELECT * FROM train(jsonb_build_object('holdout', '{"fraction": 0}'::jsonb, 'seconds_per_group', 100 * :alone));
SELECT failed > trained AS most_fail FROM train(jsonb_build_object('holdout', '{"fraction": 0.2}'::jsonb, 'seconds_per_group', 1.25 * :alone));
SELECT DISTINCT status, sqlstate, message ~ '^took longer than seconds_per_group = [0-9.e-]+$' AS message, hint, seconds >= 1.2 * :alone AS seconds
FROM many_models.failures WHERE model_set = 'group_seconds';
-- In the rows exchange too.
SELECT * FROM train('{"holdout": {"fraction": 0, "exact": true}}');
SELECT shortest() AS alone \gset
SELECT * FROM train('{"holdout": {"fraction": 0.2, "exact": true}}');
SELECT shortest() > 1.25 * :alone AS both_fits_count;
SELECT failed > trained AS most_fail FROM train(jsonb_build_object('holdout', '{"fraction": 0.2, "exact": true}'::jsonb, 'seconds_per_group', 1.25 * :alone));

SELECT many_models.drop_models('group_seconds') > 0 AS dropped;
DROP SCHEMA test_group_seconds CASCADE;
