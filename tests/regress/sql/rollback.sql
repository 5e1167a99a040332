-- What a rollback reports is what changed; copies of models are what was promoted, whatever their size.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE SCHEMA test_rollback;
SET search_path = test_rollback, public;
CREATE FUNCTION last_promotion() RETURNS bigint LANGUAGE sql AS 'SELECT max(promotion_id) FROM many_models.promotions';
CREATE TABLE before (partition_key jsonb, model_id bigint);
-- Rolls back; raises where the report is not the difference of what was and what is in production.
CREATE FUNCTION roll_back(model_set text, promotion_id bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    s many_models.promotion_summary;
    wrong bigint;
BEGIN
    TRUNCATE test_rollback.before;
    INSERT INTO test_rollback.before SELECT p.partition_key, p.model_id FROM many_models.production_models AS p WHERE p.model_set = roll_back.model_set;
    s := many_models.rollback_models(model_set, promotion_id);
    WITH after AS (
        SELECT p.partition_key, p.model_id FROM many_models.production_models AS p WHERE p.model_set = roll_back.model_set
    ), changed AS (
        SELECT partition_key, CASE WHEN a.model_id IS NULL THEN 'withdrawn' ELSE 'restored' END AS action, a.model_id, b.model_id AS before
        FROM test_rollback.before AS b FULL JOIN after AS a USING (partition_key) WHERE a.model_id IS DISTINCT FROM b.model_id
    ), reported AS (
        SELECT r.partition_key, r.action, r.model_id, r.production_before FROM many_models.promotion_report AS r WHERE r.promotion_id = test_rollback.last_promotion()
    ), difference AS (
        (SELECT * FROM changed EXCEPT ALL SELECT * FROM reported) UNION ALL (SELECT * FROM reported EXCEPT ALL SELECT * FROM changed)
    )
    SELECT (SELECT count(*) FROM difference)
         + (SELECT count(*) FROM changed WHERE action = 'restored') - s.promoted
         + (SELECT count(*) FROM changed WHERE action = 'withdrawn') - s.withdrawn
         + (SELECT count(*) FROM after) - s.production
         + (SELECT count(*) FROM after) - s.promoted - s.kept INTO wrong;
    IF wrong <> 0 THEN RAISE EXCEPTION 'the report of % is not what changed', s; END IF;
    RETURN format('restored=%s withdrawn=%s kept=%s', s.promoted, s.withdrawn, s.kept);
END $$;

-- Step by step down and up again, through layers that were merged, rules that let few groups through, groups that come late; then in leaps.
CREATE TABLE states (n int PRIMARY KEY, promotion_id bigint);
INSERT INTO states VALUES (0, 0);
DO $$
BEGIN
    FOR n IN 1 .. 20 LOOP
        PERFORM many_models.train_many_models('u', format('SELECT g, i %% 7 AS a, i %% 7 * %s + i %% 3 AS y FROM generate_series(1, 30) AS i, generate_series(1, %s) AS g', n, 5 + n), '{g}', 'y', '{a}');
        PERFORM many_models.promote_models('u', rule => CASE WHEN n > 1 THEN format('(key ->> ''g'')::int %% 13 = %s OR (key ->> ''g'')::int = %s', n % 13, 5 + n) END);
        INSERT INTO test_rollback.states VALUES (n, test_rollback.last_promotion());
        IF n = 9 THEN PERFORM many_models.promote_models('u', rule => 'false'); END IF;
    END LOOP;
END $$;
SELECT max(cardinality(layers)) AS most_layers, bool_or((SELECT count(*) FROM many_models.production_store AS m WHERE m.layer = p.promotion_id AND m.promotion_id <> m.layer) > 0) AS merged
FROM many_models.promotions AS p WHERE model_set = 'u';
CREATE TABLE done (id int GENERATED ALWAYS AS IDENTITY, n int, what text);
DO $$
DECLARE
    s record;
BEGIN
    FOR s IN SELECT * FROM test_rollback.states WHERE n < 20 ORDER BY n DESC LOOP
        INSERT INTO test_rollback.done (n, what) VALUES (s.n, test_rollback.roll_back('u', s.promotion_id));
    END LOOP;
    FOR s IN SELECT * FROM test_rollback.states ORDER BY n LOOP
        INSERT INTO test_rollback.done (n, what) VALUES (s.n, test_rollback.roll_back('u', s.promotion_id));
    END LOOP;
    FOR s IN SELECT * FROM test_rollback.states ORDER BY n * 8 % 21 LOOP
        INSERT INTO test_rollback.done (n, what) VALUES (s.n, test_rollback.roll_back('u', s.promotion_id));
    END LOOP;
END $$;
SELECT n, what FROM done ORDER BY id;
-- A rollback does not stand in the way of what was promoted upon it; promoted and rolled back in one transaction, too.
SELECT roll_back('u', (SELECT promotion_id FROM states WHERE n = 3));
BEGIN;
SELECT promoted, kept FROM many_models.promote_models('u', rule => '(key ->> ''g'')::int < 4');
SELECT roll_back('u', NULL);
SELECT roll_back('u', NULL);
COMMIT;
SELECT roll_back('u', NULL), roll_back('u', NULL);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT promoted, kept FROM many_models.promote_models('u', 13, '(key ->> ''g'')::int < 9');
SELECT roll_back('u', NULL);
COMMIT;

-- Partitions of their own: small and large models by turns, pages filled, nothing lost.
CREATE TABLE sizes AS SELECT g, i, i % 11 AS x, 'l' || i % (1 + CASE WHEN g % 50 = 0 THEN 30 ELSE g % 7 END) AS level, (i * 7 + g) % 13 AS y
FROM generate_series(1, 2500) AS g, generate_series(1, 70) AS i;
SELECT trained FROM many_models.train_many_models('s', 'sizes', '{g}', 'y', '{x,level}');
SELECT max(bytes) > 4000 AS large, min(bytes) < 1000 AS small FROM many_models.models WHERE model_set = 's';
SELECT promoted, production FROM many_models.promote_models('s');
SELECT count(*), count(DISTINCT m.partition_key), bool_and(many_models.model_send(m.model) = many_models.model_send(t.model)) AS same_bytes
FROM many_models.production_in_force AS m JOIN many_models.model_store AS t USING (model_id, partition_key) WHERE m.model_set = 's';
SELECT format('many_models.production_store_p%s', storages[1]) AS own FROM many_models.production_sets WHERE model_set = 's' \gset
-- Servers from 16 on add up to 64 pages at a time by themselves.
SELECT count(DISTINCT (ctid::text::point)[0]) * 1.2 + CASE WHEN current_setting('server_version_num')::int < 160000 THEN 1 ELSE 64 END
       > pg_relation_size(:'own') / current_setting('block_size')::int AS pages_used FROM :own;
SELECT roll_back('s', 0), roll_back('s', NULL);
-- What was undone with the savepoint is not there.
BEGIN;
SAVEPOINT a;
SELECT trained FROM many_models.train_many_models('s');
SELECT promoted, production FROM many_models.promote_models('s');
ROLLBACK TO a;
SELECT roll_back('s', 0), roll_back('s', NULL);
COMMIT;
SELECT promoted, kept FROM many_models.promote_models('s', dry_run => true);
SELECT action, reason, count(*) FROM many_models.promotion_report WHERE promotion_id = last_promotion() GROUP BY 1, 2;

SELECT count(many_models.drop_models(m)) FROM unnest('{u,s}'::text[]) AS m;
DROP SCHEMA test_rollback CASCADE;
