-- More features than a function has arguments: 300 of several types, in both exchanges, through training, scoring, prediction and what else runs over features.
SET client_min_messages = warning;
CREATE SCHEMA test_wide;
SET search_path = test_wide, public;
CREATE FUNCTION random_of(i bigint, k bigint) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT (hashint8extended(i * 1000 + k, 7) % 100000) / 100000.0::float8 $$;
CREATE TABLE numbers AS
SELECT g, i AS id, array_agg(CASE WHEN k > 250 THEN round(random_of(i * 5 + g, k) * 50) ELSE random_of(i * 5 + g, k) END ORDER BY k) AS x
FROM generate_series(1, 3) AS g, generate_series(1, 420) AS i, generate_series(1, 300) AS k GROUP BY g, i;
\set ECHO none
SELECT format('CREATE TABLE wide AS SELECT g, id, %s, (SELECT 5 + random_of(id, 0) / 100 + sum((k %% 7 - 3) * CASE WHEN k BETWEEN 271 AND 280 THEN (v > 0)::int ELSE v END) FROM unnest(x) WITH ORDINALITY AS u (v, k)) AS y, (''{red,green,blue}''::text[])[1 + id %% 3] AS colour, DATE ''2025-01-01'' + id AS day FROM numbers',
    string_agg(format(CASE WHEN k > 290 THEN 'DATE ''1970-01-01'' + x[%s]::int AS x%s' WHEN k > 280 THEN 'x[%s]::numeric AS x%s' WHEN k > 270 THEN '(x[%s] > 0) AS x%s' WHEN k > 250 THEN 'x[%s]::int AS x%s'
        ELSE 'x[%s] AS x%s' END, k, k), ', ' ORDER BY k)) FROM generate_series(1, 300) AS k \gexec
\set ECHO all
UPDATE wide SET x2 = 'NaN' WHERE g = 3 AND id = 7;
UPDATE wide SET x275 = NULL WHERE g = 2 AND id = 8;
ANALYZE wide;
CREATE FUNCTION features(n int DEFAULT 300) RETURNS text[] LANGUAGE sql AS $$ SELECT array_agg('x' || k ORDER BY k) FROM generate_series(1, n) AS k $$;
CREATE FUNCTION summary(r many_models.run_summary) RETURNS text LANGUAGE sql AS $$ SELECT format('version %s: %s trained, %s failed, %s skipped, %s rows', r.version, r.trained, r.failed, r.skipped, r.rows_read) $$;

-- Against the aggregate, which takes an array: the same bits. By several processes, with little memory.
SELECT summary(many_models.train_many_models('wide', 'wide', '{g}', 'y', features()));
SELECT message FROM many_models.failures WHERE model_set = 'wide';
\set ECHO none
SELECT format('CREATE TABLE by_fit AS SELECT g, many_models.fit(''{}'', y, ARRAY[%s]) AS model FROM wide WHERE g < 3 AND x275 IS NOT NULL GROUP BY g', string_agg(format('many_models.number_of(x%s)', k), ', ' ORDER BY k))
FROM generate_series(1, 300) AS k \gexec
\set ECHO all
CREATE VIEW compared AS
SELECT c.version, count(*) AS terms, count(*) FILTER (WHERE c.estimate IS NOT DISTINCT FROM f.estimate AND c.std_error IS NOT DISTINCT FROM f.std_error) AS same
FROM by_fit AS b, LATERAL many_models.model_coefficients(b.model, features()) AS f, many_models.coefficients AS c
WHERE c.model_set = 'wide' AND c.partition_key = jsonb_build_object('g', b.g) AND c.term = f.term GROUP BY c.version;
SELECT * FROM compared;
-- What the data were made of.
SELECT count(*) FROM many_models.coefficients WHERE model_set = 'wide' AND term ~ '^x' AND substr(term, 2)::int <= 250 AND abs(estimate - (substr(term, 2)::int % 7 - 3)) < 0.05;
SET min_parallel_table_scan_size = 0; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0;
SET many_models.memory_budget = '10MB';
ALTER TABLE wide SET (parallel_workers = 2);
SELECT summary(many_models.train_many_models('wide', workers => 3));
SELECT * FROM compared ORDER BY version;
RESET ALL;
SET client_min_messages = warning;
SET search_path = test_wide, public;

-- Scoring and prediction; a feature that is NULL has its name in the reason.
SELECT rows_read, failed FROM many_models.score_many_models('wide', id_columns => '{id}');
SELECT count(*), count(prediction) AS predicted, bool_and(lower < prediction AND prediction < upper) FILTER (WHERE prediction IS NOT NULL) AS inside FROM wide_predictions;
SELECT count(*) FILTER (WHERE abs(p.prediction - w.y) < 0.1) AS near, count(*) FROM wide_predictions AS p JOIN wide AS w USING (g, id) WHERE p.prediction IS NOT NULL;
SELECT g, fallback_reason, count(*) FROM wide_predictions WHERE fallback_reason IS NOT NULL GROUP BY g, fallback_reason ORDER BY g;
SELECT count(*) FILTER (WHERE many_models.predict('wide', jsonb_build_object('g', w.g), to_jsonb(w)) = p.prediction) AS same, count(*)
FROM wide_predictions AS p JOIN wide AS w USING (g, id) WHERE p.prediction IS NOT NULL AND id < 20;
SELECT format('SELECT count(*) FILTER (WHERE abs(%s - p.prediction) < 1e-9) AS by_sql, count(*) FROM wide_predictions AS p JOIN wide AS w USING (g, id) WHERE g = 1',
    many_models.model_sql(model_id, 'w')) AS query FROM many_models.models WHERE model_set = 'wide' AND version = 2 AND partition_key = '{"g": 1}' \gset
\set ECHO none
:query;
\set ECHO all

-- The rows exchange; penalties; a time column.
SELECT summary(many_models.train_many_models('wide_rows', 'wide', '{g}', 'y', features() || '{colour}'::text[], options => '{"null_policy": "impute_mean"}'));
SELECT count(*) FROM many_models.coefficients WHERE model_set = 'wide_rows' AND term ~ '^colour';
SELECT summary(many_models.train_many_models('wide_lasso', 'wide', '{g}', 'y', features(), 'lasso', options => '{"lambda": 0.01, "holdout": {"rows": 0}}'));
SELECT count(*) FILTER (WHERE estimate = 0) BETWEEN 1 AND 600 AS sparse FROM many_models.coefficients WHERE model_set = 'wide_lasso';
SELECT rows_read, failed FROM many_models.score_many_models('wide_rows', id_columns => '{id}');
SELECT count(prediction) AS predicted FROM wide_rows_predictions;

-- Refresh, plan, evaluation, drift, export and import.
UPDATE wide SET y = y + 1 WHERE g = 1 AND id = 1;
SELECT version, status, trained FROM many_models.refresh_many_models('wide');
SELECT groups, trainable, bad_values, rows, usable_rows, exchange FROM many_models.plan_training('wide');
SELECT evaluated FROM many_models.evaluate_many_models('wide', period => NULL);
CREATE TABLE exported AS SELECT * FROM many_models.export_models('wide');
SELECT trained FROM many_models.import_models('exported', 'wide again');
SELECT count(*), count(DISTINCT m.model::text) FROM many_models.model_store AS m JOIN many_models.runs AS r USING (run_id) WHERE r.model_set IN ('wide', 'wide again') AND r.version = (SELECT max(version) FROM many_models.runs AS l WHERE l.model_set = r.model_set);
SELECT summary(many_models.train_many_models('wide_append', 'wide', '{g}', 'y', features(120), time_column => 'day', options => '{"append_only": true, "holdout": {"since": "2026-02-01"}}'));
\set ECHO none
SELECT format('INSERT INTO wide SELECT g, id, %s, y + 0.1, colour, day + 500 FROM wide WHERE g = 1 AND id < 20', string_agg('x' || k, ', ' ORDER BY k)) FROM generate_series(1, 300) AS k \gexec
\set ECHO all
SELECT status, trained, rows_read FROM many_models.refresh_many_models('wide_append');
SELECT n_rows FROM many_models.models WHERE model_set = 'wide_append' AND version = 2 AND partition_key = '{"g": 1}';

-- Many small groups: their sums take more than their rows, and more than the budget if all were there at once.
\set ECHO none
SELECT format('CREATE TABLE small AS SELECT i %% 1200 AS g, i / 1200 AS id, %s, sin(i) AS y FROM generate_series(0, 14399) AS i', string_agg(format('cos(i * %s.7) AS x%s', k, k), ', ' ORDER BY k)) FROM generate_series(1, 150) AS k \gexec
\set ECHO all
CREATE FUNCTION models() RETURNS text AS $$
    SELECT md5(string_agg(m.model::text, ',' ORDER BY m.partition_key)) FROM many_models.model_store AS m JOIN many_models.runs AS r USING (run_id)
    WHERE r.model_set = 'wide_small_groups' AND r.version = (SELECT max(version) FROM many_models.runs WHERE model_set = 'wide_small_groups')
$$ LANGUAGE sql;
SET many_models.memory_budget = '16MB';
SELECT trained FROM many_models.train_many_models('wide_small_groups', 'small', '{g}', 'y', features(150), 'ridge', options => '{"lambda": 1, "min_rows": 5}');
SELECT (details ->> 'peak_group_bytes')::bigint < 17 * 1024 * 1024 AS within, (details ->> 'rescans')::int > 0 AS in_parts FROM many_models.runs WHERE model_set = 'wide_small_groups';
SELECT models() \gset
SET many_models.memory_budget = '1GB';
SELECT trained FROM many_models.train_many_models('wide_small_groups');
SELECT models() = :'models' AS same_bits;
RESET many_models.memory_budget;

-- Limits.
SET many_models.memory_budget = '8MB';
SELECT error_of(format('SELECT many_models.train_many_models(%L, %L, %L, %L, %L)', 'wide_small', 'wide', '{g}', 'y', features()));
SELECT error_of(format('SELECT many_models.train_many_models(%L, %L, %L, %L, %L, options => %L)', 'wide_small', 'wide', '{g}', 'y', features(150), '{"null_policy": "impute_mean", "cv_folds": 10}'));
RESET many_models.memory_budget;
\set ECHO none
SELECT format('CREATE VIEW too_wide AS SELECT w.*, %s FROM wide AS w', string_agg(format('id + %s AS x%s', k, k), ', ' ORDER BY k)) FROM generate_series(301, 1590) AS k \gexec
\set ECHO all
SELECT error_of(format('SELECT many_models.train_many_models(%L, %L, %L, %L, %L)', 'too_wide', 'SELECT a.*, b.x1 AS z1, b.x2 AS z2, b.x3 AS z3, b.x4 AS z4, b.x5 AS z5, b.x6 AS z6, b.x7 AS z7, b.x8 AS z8, b.x9 AS z9, b.x10 AS z10 FROM too_wide AS a JOIN wide AS b USING (id)',
    '{g}', 'y', features(1590) || '{z1,z2,z3,z4,z5,z6,z7,z8,z9,z10}'::text[]));

SELECT many_models.drop_models(s) > 0 AS dropped FROM unnest(ARRAY['wide', 'wide_rows', 'wide_lasso', 'wide again', 'wide_append', 'wide_small_groups']) AS s;
DROP SCHEMA test_wide CASCADE;
