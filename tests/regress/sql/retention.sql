-- set_retention and apply_retention: what is kept, what goes, and what cannot go.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE SCHEMA test_retention;
SET search_path = test_retention, public;
-- Alone in the registry: names and counts are those of this test.
SELECT count(many_models.drop_models(model_set)) >= 0 AS alone FROM many_models.model_sets;
CREATE TABLE t AS SELECT i % 3 AS g, i % 7 AS x, i % 7 * 2 + i % 5 AS y FROM generate_series(1, 90) AS i;
CREATE FUNCTION train(name text, n int) RETURNS bigint LANGUAGE sql AS $$ SELECT count(many_models.train_many_models(name, 't', '{g}', 'y', '{x}')) FROM generate_series(1, n) $$;
-- Scores n times; the runs get as many days old as they are runs away from the last.
CREATE FUNCTION score(name text, into_table text, n int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. n LOOP PERFORM many_models.score_many_models(name, 't', into_table); END LOOP;
END $$;
CREATE FUNCTION age(name text) RETURNS void LANGUAGE sql AS $$
UPDATE many_models.runs AS r SET finished_at = now() - (n - 1) * interval '1 day' - interval '1 hour'
FROM (SELECT run_id, row_number() OVER (ORDER BY run_id DESC) AS n FROM many_models.runs WHERE model_set = name AND kind = 'score') AS s WHERE s.run_id = r.run_id $$;
-- Ids of runs are shown by their order in the set.
CREATE FUNCTION nr(name text, id bigint) RETURNS bigint LANGUAGE sql AS $$ SELECT count(*) FROM many_models.runs WHERE model_set = name AND run_id <= id $$;
CREATE FUNCTION shown(relation text) RETURNS text LANGUAGE sql AS $$ SELECT regexp_replace(regexp_replace(relation, '_r\d+("?)$', '_rN\1'), 'xx+', 'xx') $$;
CREATE FUNCTION tables() RETURNS TABLE (parent text, partitions bigint) LANGUAGE sql AS $$
SELECT p.oid::regclass::text, count(i.inhrelid) FROM pg_class AS p LEFT JOIN pg_inherits AS i ON i.inhparent = p.oid
WHERE p.relkind = 'p' AND p.relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname LIKE 'test_retention%') GROUP BY p.oid ORDER BY p.oid::regclass::text COLLATE "C" $$;

-- Settings.
SELECT train('demand', 5);
SELECT many_models.set_retention('demand', 3, '90 days', '1 year');
SELECT * FROM many_models.retention;
SELECT many_models.set_retention('demand', keep_versions => 2);
SELECT * FROM many_models.retention;
SELECT many_models.set_retention('demand');
SELECT count(*) FROM many_models.retention;
SELECT error_of($$SELECT many_models.set_retention(NULL)$$);
SELECT error_of($$SELECT many_models.set_retention('nothing', 1)$$);
SELECT error_of($$SELECT many_models.set_retention('demand', 0)$$);
SELECT error_of($$SELECT many_models.set_retention('demand', keep_predictions => '-1 day')$$);
SELECT error_of($$SELECT many_models.set_retention('demand', keep_runs => '0')$$);
SELECT error_of($$SELECT many_models.set_retention('demand', keep_runs => '10000 years')$$);
BEGIN READ ONLY; SELECT error_of($$SELECT many_models.set_retention('demand', 1)$$); ROLLBACK;
SELECT error_of($$SELECT many_models.apply_retention('nothing')$$);
SET client_min_messages = notice;
SELECT * FROM many_models.apply_retention('demand');
SET client_min_messages = warning;
SELECT count(*) FROM many_models.apply_retention();

-- Versions: the latest stay, and those in use. Version numbers are not used again.
SELECT many_models.set_retention('demand', 2);
SELECT version FROM many_models.import_models('SELECT * FROM many_models.export_models(''demand'', 1)', 'demand');
SELECT model_set, what, version, nr(model_set, run_id) AS run, relation, finished_at IS NOT NULL AS finished, bytes, action, reason FROM many_models.apply_retention('demand', dry_run => true);
BEGIN READ ONLY; SELECT count(*) FROM many_models.apply_retention('demand', dry_run => true); SELECT error_of($$SELECT many_models.apply_retention('demand')$$); ROLLBACK;
SELECT version, kind FROM many_models.runs WHERE model_set = 'demand' ORDER BY 1;
BEGIN;
CREATE OR REPLACE FUNCTION many_models.version_in_use(model_set text, version integer) RETURNS boolean LANGUAGE sql STABLE AS $$ SELECT version = 2 $$;
SELECT version, action, reason FROM many_models.apply_retention('demand');
SELECT version, kind FROM many_models.runs WHERE model_set = 'demand' ORDER BY 1;
ROLLBACK;
SELECT version, action, reason FROM many_models.apply_retention('demand');
SELECT version, kind FROM many_models.runs WHERE model_set = 'demand' ORDER BY 1;
SELECT count(*) FROM many_models.apply_retention('demand');
SELECT train('demand', 1);
SELECT version, action FROM many_models.apply_retention();
SELECT many_models.predict('demand', '{"g": 1}', '{"x": 2}') IS NOT NULL AS predicts;
-- Large versions go as tables.
SELECT trained FROM many_models.train_many_models('large', 'SELECT i % 1200 AS g, i / 1200 AS x, i % 10 + i / 1200 % 3 AS y FROM generate_series(1, 9600) AS i', '{g}', 'y', '{x}');
SELECT version FROM many_models.train_many_models('large');
SELECT many_models.set_retention('large', 1);
SELECT version, bytes > 100000 AS sized, action FROM many_models.apply_retention('large', true);
SELECT version, bytes > 100000 AS sized, action FROM many_models.apply_retention('large');
SELECT count(*) AS partitions FROM pg_class AS c JOIN many_models.runs AS r ON c.relname = 'model_store_r' || r.run_id WHERE r.model_set = 'large';

-- Predictions: the partitions of old runs, and the runs' rows once those are gone.
SELECT score('demand', NULL, 5), age('demand');
SELECT many_models.set_retention('demand', keep_predictions => '36 hours', keep_runs => '60 hours');
SELECT what, nr('demand', run_id) AS run, shown(relation) AS relation, bytes > 0 AS sized, action, reason FROM many_models.apply_retention(dry_run => true);
SELECT * FROM tables();
SELECT what, shown(relation) AS relation, action, reason FROM many_models.apply_retention();
SELECT * FROM tables();
SELECT count(*), count(DISTINCT run_id) AS runs FROM demand_predictions;
SELECT kind, count(*) FROM many_models.runs WHERE model_set = 'demand' GROUP BY 1 ORDER BY 1;
SELECT count(*) FROM many_models.apply_retention();
-- A run's row stays as long as its predictions.
SELECT many_models.set_retention('demand', keep_runs => '30 minutes');
SELECT what, action FROM many_models.apply_retention();
SELECT kind, count(*) FROM many_models.runs WHERE model_set = 'demand' GROUP BY 1 ORDER BY 1;

-- Tables that were dropped, renamed, moved, given away, or made again; names that need quotes, and long ones.
CREATE SCHEMA "test_retention ""b""";
CREATE ROLE mr_owner; CREATE ROLE mr_other;
SELECT train('odd', 1);
SELECT score('odd', 'dropped', 2); DROP TABLE dropped;
SELECT score('odd', 'renamed', 2); ALTER TABLE renamed RENAME TO "re named";
SELECT score('odd', 'moved', 2); ALTER TABLE moved SET SCHEMA "test_retention ""b""";
SELECT score('odd', 'twice', 2); ALTER TABLE twice RENAME TO once; SELECT score('odd', 'twice', 1);
SELECT score('odd', 'detached', 1); DO $$ BEGIN EXECUTE (SELECT format('ALTER TABLE detached DETACH PARTITION %s', inhrelid::regclass) FROM pg_inherits WHERE inhparent = 'detached'::regclass); END $$;
SELECT score('odd', '"test_retention ""b"""."it''s ""a"" table"', 2);
SELECT score('odd', rpad('long', 63, 'x'), 2);
SELECT score('odd', 'given', 2); ALTER TABLE given OWNER TO mr_other; DO $$ BEGIN EXECUTE (SELECT format('ALTER TABLE %s OWNER TO mr_other', min(inhrelid)::regclass) FROM pg_inherits WHERE inhparent = 'given'::regclass); END $$;
SELECT score('odd', 'needed', 2); DO $$ BEGIN EXECUTE (SELECT format('CREATE VIEW needs AS SELECT * FROM %s', min(inhrelid)::regclass) FROM pg_inherits WHERE inhparent = 'needed'::regclass); END $$;
-- Of another shape, though for the same run.
SELECT score('odd', 'shape', 1);
DROP TABLE shape; CREATE TABLE shape (run_id bigint, note text) PARTITION BY LIST (run_id);
DO $$ BEGIN EXECUTE (SELECT format('CREATE TABLE shape_r%s PARTITION OF shape FOR VALUES IN (%1$s)', max(run_id)) FROM many_models.runs WHERE into_table = 'test_retention.shape'); END $$;
UPDATE many_models.runs SET finished_at = finished_at - interval '10 days' WHERE model_set = 'odd' AND kind = 'score';
SELECT many_models.set_retention('odd', keep_predictions => '9 days', keep_runs => '9 days');
SELECT * FROM tables();
-- As a role that owns the set, but neither the table given away nor the view's need.
UPDATE many_models.model_sets SET owner = 'mr_owner' WHERE model_set = 'odd';
DO $$ DECLARE n text; BEGIN FOR n IN SELECT format('%I.%I', nspname, relname) FROM pg_class AS c JOIN pg_namespace AS s ON s.oid = relnamespace WHERE nspname LIKE 'test_retention%' AND relkind IN ('r', 'p', 'v') AND relname <> 't' AND relname !~ '^(given|demand|large)' LOOP
    EXECUTE format('ALTER TABLE %s OWNER TO mr_owner', n); END LOOP; END $$;
GRANT SELECT ON t TO mr_other;
GRANT USAGE, CREATE ON SCHEMA test_retention, "test_retention ""b""" TO mr_owner, mr_other;
SELECT many_models.grant_usage('mr_owner'); SELECT many_models.grant_usage('mr_other');
SET ROLE mr_owner;
SELECT what, nr('odd', run_id) AS run, shown(relation) AS relation, action, reason FROM many_models.apply_retention(dry_run => true);
SELECT what, shown(relation) AS relation, action, regexp_replace(reason, '_r\d+', '_rN') AS reason FROM many_models.apply_retention('odd');
RESET ROLE;
SELECT * FROM tables();
SELECT regexp_replace(into_table, '_r\d+', '_rN') AS into_table, count(*) FROM many_models.runs WHERE model_set = 'odd' AND kind = 'score' GROUP BY 1 ORDER BY 1;
SELECT relname ~ '^detached_r' AS detached FROM pg_class WHERE relnamespace = 'test_retention'::regnamespace AND relname ~ '^detached_r\d+$';
DROP VIEW needs;
SET ROLE mr_owner;
SELECT what, shown(relation) AS relation, action, reason FROM many_models.apply_retention();
-- Sets of others are not touched, nor their settings seen.
SET ROLE mr_other;
SELECT count(*) FROM many_models.retention;
SELECT count(*) FROM many_models.apply_retention();
SELECT error_of($$SELECT many_models.apply_retention('odd')$$);
SELECT error_of($$SELECT many_models.set_retention('odd', 1)$$);
SELECT error_of($$SELECT many_models.delete_scoring_runs('odd', '{1,2,3}')$$);
SELECT error_of($$INSERT INTO many_models.retention VALUES ('odd', 1)$$);
SELECT error_of($$DELETE FROM many_models.retention$$);
RESET ROLE;
SELECT error_of($$SELECT many_models.delete_scoring_runs('nothing', '{1}')$$);
-- Only rows of scoring runs of that set can be deleted.
SELECT many_models.delete_scoring_runs('odd', (SELECT array_agg(run_id) FROM many_models.runs WHERE model_set <> 'odd' OR kind <> 'score')) AS deleted;
-- The right to execute is needed; a set that is dropped takes its settings along.
SET ROLE mr_other; SELECT train('theirs', 1); RESET ROLE;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA many_models FROM mr_other;
SET ROLE mr_other;
SELECT error_of($$SELECT many_models.set_retention('theirs', 1)$$);
SELECT error_of($$SELECT many_models.apply_retention('theirs', true)$$);
RESET ROLE;
SELECT model_set FROM many_models.retention ORDER BY 1;
SELECT many_models.drop_models('demand'), many_models.drop_models('large'), many_models.drop_models('theirs');
SELECT model_set FROM many_models.retention ORDER BY 1;

-- All in one transaction.
SELECT train('back', 3); SELECT many_models.set_retention('back', 1);
BEGIN; SELECT version, action FROM many_models.apply_retention('back'); ROLLBACK;
SELECT count(*) AS versions FROM many_models.runs WHERE model_set = 'back';

-- As a step of a pipeline.
SELECT many_models.set_pipeline('back', '{"train": {}, "retention": {}}');
SELECT step, jsonb_array_length(detail) AS things FROM many_models.run_pipeline('back');
SELECT version FROM many_models.runs WHERE model_set = 'back';

SET client_min_messages = error;
SELECT count(many_models.drop_models(model_set)) AS dropped FROM many_models.model_sets;
SELECT count(*) FROM many_models.retention;
DROP SCHEMA "test_retention ""b""" CASCADE;
DROP SCHEMA test_retention CASCADE;
DROP OWNED BY mr_owner, mr_other;
DROP ROLE mr_owner, mr_other;
