-- Backtests leave a row in runs, and never count as a version.
SET client_min_messages = warning;
CREATE ROLE mm_backtest_one;
CREATE ROLE mm_backtest_two;
SELECT many_models.grant_usage(r) FROM (VALUES ('mm_backtest_one'::regrole), ('mm_backtest_two')) AS r (r);
CREATE SCHEMA backtesting;
GRANT ALL ON SCHEMA backtesting TO PUBLIC;
SET search_path = backtesting, public;
SET DateStyle = 'ISO, YMD';
-- Shop 3 is too short for a fold, shop 4 has a gap.
CREATE TABLE sales AS
SELECT shop, DATE '2024-01-01' + w AS day, 100 + 2 * w AS units
FROM generate_series(1, 4) AS shop, generate_series(0, 11) AS w
WHERE NOT (shop = 3 AND w > 0) AND NOT (shop = 4 AND w = 5);
GRANT SELECT ON sales TO PUBLIC;
CREATE FUNCTION runs_seen() RETURNS TABLE (model_set text, kind text, version int, status text, run_by regrole, groups bigint, trained bigint, failed bigint, skipped bigint, rows_read bigint, algorithm text,
    time_column text, options jsonb, into_table text, folds jsonb, points jsonb, reasons jsonb, of_set jsonb) LANGUAGE sql AS $$
SELECT r.model_set, r.kind, r.version, r.status, r.run_by, r.groups, r.trained, r.failed, r.skipped, r.rows_read, r.algorithm, r.time_column, r.options, r.into_table, r.details -> 'folds', r.details -> 'points',
       r.details -> 'reasons', r.details -> 'of_set'
FROM many_models.runs AS r WHERE r.model_set LIKE 'bt%' ORDER BY r.run_id $$;

-- Before there is a set of the name.
SET ROLE mm_backtest_one;
SELECT model_set, version, status, groups, trained, failed, skipped, rows_read, workers >= 1 AS workers, run_id IS NOT NULL AS run_id
FROM many_models.backtest_many_models('bt', 'sales', '{shop}', 'units', algorithm => 'naive', time_column => 'day', options => '{"frequency": "day", "backtest": {"folds": 2, "horizon": 3}}', into_table => 'one_backtest');
\x
SELECT * FROM runs_seen();
\x
SELECT shop, count(fold) AS points, max(reason) AS reason, bool_and(t.run_id = r.run_id AND t.backtested_at = r.started_at AND r.finished_at > r.started_at) AS of_the_run
FROM one_backtest AS t, many_models.runs AS r WHERE r.model_set = 'bt' GROUP BY 1 ORDER BY 1;
SELECT count(*) AS sets FROM many_models.model_sets WHERE model_set = 'bt';
-- Another role's set of this name: neither sees the other's.
SET ROLE mm_backtest_two;
SELECT count(*) FROM runs_seen();
SELECT error_of($$SELECT many_models.drop_models('bt')$$);
SELECT version, trained FROM many_models.train_many_models('bt', 'sales', '{shop}', 'units', algorithm => 'naive', time_column => 'day', options => '{"fill": "forward"}');
SELECT trained, failed, skipped FROM many_models.backtest_many_models('bt', options => '{"fill": "forward", "cv_folds": 1, "horizon": 2}', into_table => 'two_backtest');
SELECT kind, version, into_table, of_set FROM runs_seen();
SET ROLE mm_backtest_one;
SELECT kind, version, into_table, of_set FROM runs_seen();
-- Whoever was granted read sees the set's.
SET ROLE mm_backtest_two;
SELECT many_models.grant_model_set('bt', 'mm_backtest_one', 'read');
SET ROLE mm_backtest_one;
SELECT kind, version, run_by, of_set FROM runs_seen();
SELECT error_of($$SELECT many_models.delete_scoring_runs('bt', '{1}')$$);
SET ROLE mm_backtest_two;
SELECT many_models.revoke_model_set('bt', 'mm_backtest_one', 'read');

-- It is no version: of the set, of models, of scoring, of a refresh, of promotion, of retention.
SELECT latest_version, versions, train_runs, backtest_runs, groups_trained, rows_read, last_backtested_at IS NOT NULL AS backtested FROM many_models.stat_model_sets JOIN many_models.model_sets USING (model_set) WHERE model_set = 'bt';
SELECT version, count(*) FROM many_models.models WHERE model_set = 'bt' GROUP BY 1;
SELECT version, count(*) FROM many_models.failures WHERE model_set = 'bt' GROUP BY 1;
SELECT version, rows_read FROM many_models.score_many_models('bt', horizon => 1);
SELECT count(*) FROM many_models.forecast('bt', '{"shop": 1}', 2) WHERE model_version = 1;
SELECT version, trained FROM many_models.train_many_models('bt');
SELECT version FROM many_models.backtest_many_models('bt', into_table => 'two_backtest');
SELECT version, trained FROM many_models.refresh_many_models('bt');
SELECT many_models.set_retention('bt', keep_versions => 1);
SELECT what, version, action FROM many_models.apply_retention('bt');
SELECT kind, version FROM runs_seen();

-- Rows of old ones go with those of scoring runs; a set takes its own along, and its counters.
SELECT many_models.set_retention('bt', keep_runs => '1 microsecond');
SELECT what, version, action, count(*) FROM many_models.apply_retention('bt', dry_run => true) GROUP BY 1, 2, 3 ORDER BY 1;
SELECT what, version, action, count(*) FROM many_models.apply_retention('bt') GROUP BY 1, 2, 3 ORDER BY 1;
SELECT kind, version FROM runs_seen();
SELECT backtest_runs, train_runs FROM many_models.stat_model_sets WHERE model_set = 'bt';
SELECT count(*) > 0 AS kept FROM two_backtest;
SELECT trained FROM many_models.backtest_many_models('bt', into_table => 'two_backtest');
SELECT many_models.drop_models('bt');
SELECT kind FROM runs_seen();
-- What was made without a set stays until its maker drops the name.
SET ROLE mm_backtest_one;
SELECT kind FROM runs_seen();
SELECT error_of($$SELECT many_models.drop_models('bt', 1)$$);
SELECT many_models.drop_models('bt');
SELECT kind FROM runs_seen();
SELECT error_of($$SELECT many_models.drop_models('bt')$$);
RESET ROLE;
SELECT count(*) FROM many_models.dropped_runs WHERE model_set = 'bt';

-- A failed call and a rollback leave nothing; nothing is written where nothing may be.
SELECT error_of($$SELECT many_models.backtest_many_models('bt no', 'SELECT * FROM sales WHERE shop > 9', '{shop}', 'units', algorithm => 'naive', time_column => 'day')$$);
BEGIN;
SELECT trained FROM many_models.backtest_many_models('bt no', 'sales', '{shop}', 'units', algorithm => 'naive', time_column => 'day', options => '{"fill": "zero"}', into_table => 'gone_backtest');
SELECT kind FROM runs_seen();
ROLLBACK;
SELECT kind FROM runs_seen();
BEGIN READ ONLY;
SELECT error_of($$SELECT many_models.backtest_many_models('bt no', 'sales', '{shop}', 'units', algorithm => 'naive', time_column => 'day', into_table => 'new_backtest')$$);
ROLLBACK;
BEGIN READ ONLY;
SELECT count(*) FROM many_models.backtest_points('bt no', 'sales', '{shop}', 'units', algorithm => 'naive', time_column => 'day', options => '{"fill": "zero", "cv_folds": 1, "horizon": 2}');
ROLLBACK;
SELECT kind FROM runs_seen();
-- The statement of run_backtest is an INSERT, and the caller's.
SELECT error_of($$SELECT many_models.run_backtest('bt no', 'sales', '{shop}', 'units', NULL, 'naive', 'day', '{"fill": "zero"}', NULL, 1, 'x', 'SELECT 1')$$);
SELECT error_of($$SELECT many_models.run_backtest('bt no', 'sales', '{shop}', 'units', NULL, 'naive', 'day', '{"fill": "zero"}', NULL, 1, 'x', NULL)$$);
SELECT error_of($$SELECT many_models.run_backtest('bt no', 'sales', '{shop}', 'units', NULL, 'naive', 'day', '{"fill": "zero"}', NULL, 1, NULL, 'x')$$);
SET ROLE mm_backtest_two;
SELECT error_of($$SELECT many_models.run_backtest('bt no', 'sales', '{shop}', 'units', NULL, 'naive', 'day', '{"fill": "zero"}', NULL, 1, 'x', 'INSERT INTO backtesting.sales SELECT 1')$$);
RESET ROLE;
SELECT kind FROM runs_seen();
DROP SCHEMA backtesting CASCADE;
SELECT many_models.forget_dropped_roles();
DROP OWNED BY mm_backtest_one, mm_backtest_two;
DROP ROLE mm_backtest_one;
DROP ROLE mm_backtest_two;
