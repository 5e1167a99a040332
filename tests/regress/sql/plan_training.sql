-- plan_training: what a run would meet, compared with what it then meets.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE SCHEMA test_plan;
SET search_path = test_plan, public;
-- Groups of all kinds: large, small, of one row, without a usable row, constant, with NaN, with many levels, NULL.
CREATE TABLE t AS
SELECT 'large' AS g, i AS id, (i * 7 % 13)::float8 AS x, (ARRAY['a', 'b', 'c'])[1 + i % 3] AS c, i % 11 + (i * 7 % 13)::float8 AS y, date '2025-01-01' + i AS day
FROM generate_series(1, 700) AS i
UNION ALL SELECT 'g' || i % 20, i, i % 7, (ARRAY['a', 'b'])[1 + i % 2], i % 5, date '2025-01-01' + i FROM generate_series(1, 400) AS i
UNION ALL SELECT 'one', 1, 1, 'a', 1, '2025-01-01'
UNION ALL SELECT 'empty', i, NULL, 'a', 1, '2025-01-01' FROM generate_series(1, 9) AS i
UNION ALL SELECT 'constant', i, i, 'a', 5, '2025-01-01' FROM generate_series(1, 30) AS i
UNION ALL SELECT 'nan', i, CASE i WHEN 3 THEN 'NaN' ELSE i::float8 END, 'a', i % 3, '2025-01-01' FROM generate_series(1, 30) AS i
UNION ALL SELECT 'infinite', i, i, 'a', CASE i WHEN 3 THEN '-Infinity' ELSE i::float8 END, '2025-01-01' FROM generate_series(1, 30) AS i
UNION ALL SELECT 'levels', i, i % 5, 'level ' || i % 9, i % 7, '2025-01-01' FROM generate_series(1, 60) AS i
UNION ALL SELECT NULL, i, i % 5, CASE WHEN i % 4 > 0 THEN 'a' END, i % 7, CASE WHEN i % 10 > 0 THEN date '2025-01-01' + i END FROM generate_series(1, 80) AS i;
ANALYZE t;

CREATE FUNCTION counts(p many_models.training_plan) RETURNS text LANGUAGE sql AS
$$SELECT format('%s: %s groups = %s trainable, %s below, %s constant, %s bad, %s large, %s levels; %s rows, %s usable, %s with NULL; largest %s has %s (%s); at most %s levels of %s; %s',
    p.model_set, p.groups, p.trainable, p.below_min_rows, p.constant_target, p.bad_values, p.too_large, p.too_many_levels, p.rows, p.usable_rows, p.rows_with_null,
    p.largest_group, p.largest_rows, round(p.largest_share::numeric, 3), coalesce(p.max_levels, 0), coalesce(p.max_levels_feature, 'none'), p.exchange)$$;
-- The plan, and the run.
CREATE FUNCTION compare(keys text[], features text[], time_column text, options jsonb) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    p many_models.training_plan;
    r many_models.run_summary;
    why text;
BEGIN
    p := many_models.plan_training('t', 't', keys, 'y', features, NULL, time_column, options, workers => 1);
    r := many_models.train_many_models('t', 't', keys, 'y', features, NULL, time_column, options, workers => 1);
    RETURN NEXT counts(p);
    SELECT string_agg(format('%s %s', n, message), ', ' ORDER BY message) INTO why
    FROM (SELECT regexp_replace(message, '\d+ (usable )?rows?', 'n rows') AS message, count(*) AS n FROM many_models.failures WHERE run_id = r.run_id GROUP BY 1) AS f;
    RETURN NEXT format('run: groups %s, trained %s, rows %s, without a row used %s; exchange %s; %s', r.groups = p.groups, r.trained = p.trainable, r.rows_read = p.rows,
        (SELECT u.rows_skipped = p.rows - p.usable_rows FROM many_models.runs AS u WHERE u.run_id = r.run_id),
        (SELECT u.details ->> 'exchange' = p.exchange FROM many_models.runs AS u WHERE u.run_id = r.run_id), why);
    PERFORM many_models.drop_models('t');
END $$;
SELECT compare('{g}', '{x}', NULL, '{}');
SELECT compare('{g}', '{x,c}', NULL, '{"max_levels": 8}');
SELECT compare('{g}', '{x,c}', 'day', '{}');
SELECT compare('{g}', '{x}', NULL, '{"null_policy": "error"}');
SELECT compare('{g}', '{x,c}', NULL, '{"null_policy": "impute_mean"}');
SELECT compare('{g}', '{x}', NULL, '{"min_rows": 50}');
SELECT compare('{g}', '{x}', NULL, '{"min_rows": 50, "group_options": [{"key": {"g": "g1"}, "options": {"min_rows": 5}}, {"key": {"g": null}, "options": {"min_rows": 500}}]}');
SELECT compare('{g}', '{x}', NULL, '{"fit_intercept": false}');
SELECT compare('{g,c}', '{x}', NULL, '{}');
SELECT compare('{}', '{x}', NULL, '{}');
SELECT counts(many_models.plan_training('t', 'SELECT * FROM t WHERE x < 1e9 AND y > -1e9', '{}', 'y', '{x,c}', workers => 1));
-- The histogram by hand.
SELECT jsonb_pretty(histogram) FROM many_models.plan_training('t', 't', '{g}', 'y', '{x}');
SELECT jsonb_agg(h ORDER BY h -> 'from_rows') = (SELECT histogram FROM many_models.plan_training('t', 't', '{g}', 'y', '{x}')) AS as_counted
FROM (SELECT jsonb_build_object('from_rows', 2 ^ b, 'to_rows', 2 ^ (b + 1) - 1, 'groups', count(*), 'rows', sum(n)) AS h
      FROM (SELECT count(*) AS n, floor(log(2, count(*))) AS b FROM t GROUP BY g) AS q GROUP BY b) AS q;
-- No rows; all usable columns; a key of its own type.
SELECT counts(many_models.plan_training('t', 'SELECT * FROM t WHERE false', '{g}', 'y', '{x}'));
SELECT counts(many_models.plan_training('t', 'SELECT * FROM t WHERE false', '{}', 'y', '{x}'));
SET client_min_messages = notice;
SELECT counts(many_models.plan_training('t', 'SELECT day, x, y FROM t', '{day}', 'y'));
SET client_min_messages = warning;
-- A group that its process has no room for.
SET many_models.memory_budget = '1MB';
SELECT counts(many_models.plan_training('t', 'SELECT i % 2 + (i < 50000)::int AS g, i % 7 AS x, i % 9 AS y, i FROM generate_series(1, 100000) AS i', '{g}', 'y', '{x}', time_column => 'i'));
RESET many_models.memory_budget;

-- Estimates: what they rest on, and their order of magnitude.
CREATE TABLE many AS SELECT i % 1500 AS g, (i * 79 % 101)::float8 AS x1, (i * 83 % 103)::float8 AS x2, (i * 89 % 107)::float8 AS y FROM generate_series(1, 90000) AS i;
ANALYZE many;
CREATE FUNCTION close(estimate float8, actual float8, factor float8) RETURNS text LANGUAGE sql AS
$$SELECT CASE WHEN estimate BETWEEN actual / factor AND actual * factor THEN 'close' ELSE format('%s, not %s', estimate, actual) END$$;
CREATE FUNCTION estimates(features text[], options jsonb, time_column text DEFAULT NULL) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    p many_models.training_plan;
    r many_models.runs;
    bytes bigint;
BEGIN
    p := many_models.plan_training('many', 'many', '{g}', 'y', features, NULL, time_column, options, workers => 1);
    RETURN NEXT format('workers %s, from run %s, seconds %s', p.workers, p.estimated_from_run, p.estimated_seconds BETWEEN 0.001 AND 10);
    PERFORM many_models.train_many_models('many', 'many', '{g}', 'y', features, NULL, time_column, options, workers => 1);
    SELECT * INTO r FROM many_models.runs ORDER BY run_id DESC LIMIT 1;
    SELECT sum(pg_total_relation_size(c.oid)) INTO bytes FROM pg_class AS c WHERE c.relname = 'model_store_r' || r.run_id;
    RETURN NEXT format('temp %s, registry %s, memory %s', close(p.estimated_temp_bytes, r.temp_bytes, 2), close(p.estimated_registry_bytes, bytes, 2),
        p.estimated_memory_bytes BETWEEN r.peak_memory_bytes / 3 AND pg_size_bytes(current_setting('many_models.memory_budget')));
    -- Planned again, the estimate is what that run took.
    p := many_models.plan_training('many', workers => 1);
    RETURN NEXT format('from that run %s, seconds %s', p.estimated_from_run = r.run_id,
        abs(p.estimated_seconds - ((r.details ->> 'scan_seconds')::float8 + (r.details ->> 'fit_seconds')::float8 + (r.details ->> 'collect_seconds')::float8)) < 0.01);
    -- Not what a run with other options took.
    p := many_models.plan_training('many', options => '{"seed": 7}', workers => 1);
    RETURN NEXT format('from a run %s', p.estimated_from_run IS NOT NULL);
    PERFORM many_models.drop_models('many');
END $$;
SELECT estimates('{x1,x2}', '{}');
SELECT estimates('{x1,x2}', '{"holdout": {"rows": 5}}');
SELECT estimates('{x1}', '{"cv_folds": 3}');

-- Arguments are checked as those of a training; nothing is written.
SELECT error_of(s) FROM (VALUES (1, $$SELECT many_models.plan_training(NULL)$$), (2, $$SELECT many_models.plan_training('t')$$),
    (3, $$SELECT many_models.plan_training('t', 't', '{g}', 'yy')$$), (4, $$SELECT many_models.plan_training('t', 't', '{g}', 'y', '{x}', 'forest')$$),
    (5, $$SELECT many_models.plan_training('t', 't', '{g}', 'y', options => '{"holdouts": 1}')$$), (6, $$SELECT many_models.plan_training('t', 't', '{g}', 'y', workers => 0)$$),
    (7, $$SELECT many_models.plan_training('t', 'SELECT 1; SELECT 2', '{g}', 'y')$$)) AS v (i, s) ORDER BY i;
SELECT (SELECT count(*) FROM many_models.model_sets WHERE model_set = 't') AS sets, (SELECT count(*) FROM many_models.runs WHERE model_set = 't') AS runs;
CREATE FUNCTION writes() RETURNS float8 LANGUAGE plpgsql AS $$ BEGIN DELETE FROM t; RETURN 1; END $$;
SELECT error_of($$SELECT many_models.plan_training('t', 'SELECT g, x, writes() AS y FROM t', '{g}', 'y', '{x}')$$);
BEGIN READ ONLY;
SELECT counts(many_models.plan_training('t', 't', '{g}', 'y', '{x}'));
COMMIT;
-- Sets of others; sources that the caller may not read; another key.
CREATE ROLE mm_planner;
CREATE ROLE mm_stranger;
SELECT error_of($$SELECT trained FROM many_models.train_many_models('set', 'SELECT * FROM t WHERE g = ''large''', '{g}', 'y', '{x}')$$);
SELECT error_of($$SELECT many_models.plan_training('set', partition_by => '{c}')$$);
GRANT USAGE ON SCHEMA test_plan TO mm_planner, mm_stranger;
SELECT many_models.grant_usage('mm_planner');
SET ROLE mm_stranger;
SELECT error_of($$SELECT many_models.plan_training('own', 'SELECT 1 AS g, 2 AS x, 3 AS y', '{g}', 'y', '{x}')$$);
SET ROLE mm_planner;
SELECT error_of($$SELECT many_models.plan_training('set')$$);
SELECT error_of($$SELECT many_models.plan_training('own', 't', '{g}', 'y', '{x}')$$);
SELECT counts(many_models.plan_training('own', 'SELECT 1 AS g, 2 AS x, 3 AS y', '{g}', 'y', '{x}'));
RESET ROLE;
SELECT many_models.drop_models('set');
DROP OWNED BY mm_planner, mm_stranger;
DROP ROLE mm_planner, mm_stranger;
DROP SCHEMA test_plan CASCADE;
