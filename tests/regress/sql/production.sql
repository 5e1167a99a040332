-- What is in production: scoring and predict with it, rollback, layers, partitions, rights.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE SCHEMA test_production;
SET search_path = test_production, public;
CREATE FUNCTION summary(s many_models.promotion_summary) RETURNS text LANGUAGE sql AS
$$SELECT format('%s v%s promoted=%s kept=%s rejected=%s withdrawn=%s production=%s', s.kind, s.version, s.promoted, s.kept, s.rejected,
                s.withdrawn, s.production)$$;
CREATE FUNCTION last_promotion() RETURNS bigint LANGUAGE sql AS 'SELECT max(promotion_id) FROM many_models.promotions';
-- What is in production, as one value.
CREATE FUNCTION state(model_set text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(format('%s:v%s', partition_key, version), ' ' ORDER BY partition_key) FROM many_models.production_models AS p WHERE p.model_set = state.model_set$$;
CREATE FUNCTION fingerprint(model_set text) RETURNS text LANGUAGE sql AS $$
    SELECT md5(string_agg(format('%s %s %s %s', partition_key, model_id, version, promotion_id), ' ' ORDER BY partition_key))
    FROM many_models.production_models AS p WHERE p.model_set = fingerprint.model_set$$;
-- Version v predicts v everywhere, whatever its features are.
CREATE FUNCTION rows_of(v int, groups text) RETURNS text LANGUAGE sql AS $$
    SELECT format('SELECT g, i, i %% 10 AS a, i * i %% 7 AS b, %s + (i %% 3 - 1) / 1000.0 AS y FROM generate_series(1, 30) AS i, unnest(%L::int[]) AS g', v, groups)$$;
CREATE TABLE points AS SELECT g, i AS id, i % 10 AS a, i * i % 7 AS b FROM generate_series(1, 6) AS g, generate_series(1, 3) AS i;
CREATE FUNCTION predicted(model_set text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(format('%s:%s/v%s', g, coalesce(round(p.prediction)::text, '-'), p.model_version), ' ' ORDER BY g)
    FROM generate_series(1, 6) AS g, many_models.predict_interval(model_set, jsonb_build_object('g', g), '{"a": 1, "b": 2}') AS p$$;
-- Scores points and tells what each group got.
CREATE FUNCTION scored(model_set text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    PERFORM many_models.score_many_models(model_set, 'test_production.points', 'test_production.scores', '{id}', options => '{"on_existing": "replace"}');
    SELECT string_agg(format('%s:%s/v%s', g, coalesce(p::text, '-'), v), ' ' ORDER BY g) INTO result
    FROM (SELECT g, round(avg(prediction)) AS p, min(model_version) AS v FROM test_production.scores GROUP BY g HAVING count(*) = 3) AS s;
    RETURN result;
END $$;

SELECT trained FROM many_models.train_many_models('d', rows_of(1, '{1,2,3,4}'), '{g}', 'y', '{a}');
SELECT predicted('d'), scored('d') = predicted('d') AS same;
SELECT summary(many_models.promote_models('d', rule => 'key ->> ''g'' < ''4'''));
-- Another version with other features: production stays, the other groups take it.
SELECT trained FROM many_models.train_many_models('d', rows_of(2, '{2,3,4,5}'), features => '{b,a}');
SELECT predicted('d'), scored('d') = predicted('d') AS same;
SELECT summary(many_models.promote_models('d', rule => 'key ->> ''g'' = ''2'''));
SELECT trained FROM many_models.train_many_models('d', rows_of(3, '{1,2,3,4,5}'), features => '{b}');
SELECT summary(many_models.promote_models('d', rule => 'key ->> ''g'' = ''3'''));
SELECT state('d');
SELECT predicted('d'), scored('d') = predicted('d') AS same;
SELECT u.partition_key, u.version, u.in_production, u.version = i.model_version AS as_predict, u.model_id = s.model_id AS as_scored
FROM many_models.models_in_use AS u, many_models.predict_interval('d', u.partition_key, '{"a": 1, "b": 2}') AS i,
     (SELECT DISTINCT g, model_id FROM scores WHERE model_id IS NOT NULL) AS s
WHERE u.model_set = 'd' AND s.g = (u.partition_key ->> 'g')::int ORDER BY 1;
SELECT version, trained, failed, rows_read, model_set FROM many_models.score_many_models('d', 'points', 'scores', '{id}');
SELECT version, groups, failed, details ->> 'models_in_production' AS in_production, details ->> 'production' = last_promotion()::text AS of_last FROM many_models.runs
WHERE kind = 'score' ORDER BY run_id DESC LIMIT 1;
-- A given version is that version alone.
SELECT version, trained, failed FROM many_models.score_many_models('d', 'points', 'scores', '{id}', version => 1, options => '{"on_existing": "replace"}');
SELECT model_version, count(*) FROM scores GROUP BY 1 ORDER BY 1;
-- By a join, in parallel, as records: the same.
SELECT trained FROM many_models.train_many_models('j', 'SELECT g % 4001 AS g, g % 17 AS a, g % 5 AS b, g % 17 + 0.0 AS y FROM generate_series(1, 40000) AS g', '{g}', 'y', '{a}');
SELECT summary(many_models.promote_models('j', rule => '(key ->> ''g'')::int % 3 = 0'));
SELECT trained FROM many_models.train_many_models('j', 'SELECT g % 4001 AS g, g % 17 AS a, g % 5 AS b, g % 5 + 0.0 AS y FROM generate_series(1, 40000) AS g', features => '{b}');
CREATE TABLE wide AS SELECT g AS id, g % 4003 AS g, g % 17 AS a, nullif(g % 5, 4) AS b FROM generate_series(1, 20000) AS g;
ANALYZE wide;
SELECT trained, failed FROM many_models.score_many_models('j', 'wide', 'j_memory', '{id}', workers => 1);
SET many_models.memory_budget = '1MB';
SELECT trained, failed FROM many_models.score_many_models('j', 'wide', 'j_join', '{id}');
RESET many_models.memory_budget;
SET min_parallel_table_scan_size = 0;
SET parallel_setup_cost = 0;
SELECT workers > 1 AS parallel, trained, failed FROM many_models.score_many_models('j', 'wide', 'j_parallel', '{id}', workers => 3);
RESET min_parallel_table_scan_size;
RESET parallel_setup_cost;
SELECT model_version, fallback_reason, count(*), bool_and(abs(prediction - CASE model_version WHEN 1 THEN a ELSE b END) < 1e-6) AS right_model
FROM j_memory JOIN wide USING (id) GROUP BY 1, 2 ORDER BY 1, 2;
SELECT count(*), bool_and((a.prediction, a.lower, a.model_id, a.model_version, a.fallback_reason) IS NOT DISTINCT FROM
                          (b.prediction, b.lower, b.model_id, b.model_version, b.fallback_reason)) AS join_same,
       bool_and((a.prediction, a.lower, a.model_id, a.model_version, a.fallback_reason) IS NOT DISTINCT FROM
                (c.prediction, c.lower, c.model_id, c.model_version, c.fallback_reason)) AS parallel_same
FROM j_memory AS a JOIN j_join AS b USING (id) JOIN j_parallel AS c USING (id);

-- Versions that are in production may be dropped: the copies stay. The features of dropped versions are still asked for, and those of unused ones are not.
SELECT many_models.drop_models('d', 1), many_models.drop_models('d', 2);
SELECT state('d');
SELECT predicted('d'), scored('d') = predicted('d') AS same;
SELECT error_of($$SELECT many_models.score_many_models('d', 'SELECT g, id, b FROM test_production.points', 'scores', '{id}')$$);
SELECT summary(many_models.promote_models('d', rule => 'key ->> ''g'' <> ''4'''));
SELECT trained FROM many_models.score_many_models('d', 'SELECT g, id, b FROM test_production.points', 'scores', '{id}');
SELECT many_models.drop_models('d', 3);
SELECT state('d'), predicted('d'), scored('d') = predicted('d') AS same;
SELECT error_of($$SELECT many_models.promote_models('d')$$);
SELECT error_of($$SELECT many_models.predict('d', '{"g": 1}', '{"a": 1}')$$);
SELECT many_models.predict('d', '{"g": 77}', '{"b": 1}');
SELECT error_of($$SELECT many_models.score_many_models('d', 'points', version => 3)$$);

-- Back: the last one undone, and the undoing undone; to a promotion; to a time; to nothing.
SELECT trained FROM many_models.train_many_models('d', rows_of(4, '{1,2,3,4,5,6}'), features => '{b}');
SELECT summary(many_models.promote_models('d', rule => 'key ->> ''g'' >= ''5'''));
SELECT state('d');
SELECT summary(many_models.rollback_models('d'));
SELECT partition_key, action, production_before IS NOT NULL AS had, model_id IS NOT NULL AS has FROM many_models.promotion_report WHERE promotion_id = last_promotion() ORDER BY 1;
SELECT state('d'), predicted('d');
SELECT summary(many_models.rollback_models('d'));
SELECT state('d'), predicted('d');
SELECT summary(many_models.promote_models('d', rule => 'false'));
SELECT summary(many_models.rollback_models('d')), state('d');
SELECT summary(many_models.rollback_models('d')), state('d');
SELECT summary(many_models.rollback_models('d', to_promotion => (SELECT min(promotion_id) FROM many_models.promotions WHERE model_set = 'd')));
SELECT state('d'), predicted('d'), scored('d') = predicted('d') AS same;
SELECT summary(many_models.rollback_models('d', to_time => (SELECT promoted_at FROM many_models.promotions WHERE model_set = 'd' ORDER BY promotion_id OFFSET 1 LIMIT 1)));
SELECT state('d');
SELECT summary(many_models.rollback_models('d', to_time => '2000-01-01'));
SELECT state('d'), predicted('d'), scored('d') = predicted('d') AS same;
SELECT summary(many_models.rollback_models('d', to_promotion => 0));
SELECT kind, version, rule, promoted, kept, rejected, withdrawn, production, CASE WHEN restored > 0 THEN restored - (SELECT min(promotion_id) FROM many_models.promotions WHERE model_set = 'd') ELSE -1 END AS restored
FROM many_models.promotions WHERE model_set = 'd' ORDER BY promotion_id;
SELECT error_of($$SELECT many_models.rollback_models('d', 1, now())$$);
SELECT error_of($$SELECT many_models.rollback_models('d', -1)$$);
SELECT error_of($$SELECT many_models.rollback_models(NULL)$$);
SELECT error_of($$SELECT many_models.rollback_models('nothing')$$);
SELECT regexp_replace(error_of($$SELECT many_models.rollback_models('d', 999999)$$), ' are [\d, ]+', ' are ...');
SELECT trained FROM many_models.train_many_models('e', rows_of(1, '{1}'), '{g}', 'y', '{a}');
SELECT error_of($$SELECT many_models.rollback_models('e')$$);
SELECT summary(many_models.promote_models('e', rule => 'false'));
SELECT error_of($$SELECT many_models.rollback_models('e')$$);
SELECT regexp_replace(error_of(format('SELECT many_models.rollback_models(''e'', %s)', last_promotion())), 'promotion \d+', 'promotion N');

-- Many promotions of few groups: layers are merged, and every state can be put in force again, exactly.
CREATE TABLE states (n int, promotion_id bigint, fingerprint text);
DO $$
BEGIN
    FOR n IN 1 .. 30 LOOP
        PERFORM many_models.train_many_models('l', test_production.rows_of(n, '{1,2,3,4,5,6,7,8,9,10,11,12,13,14}'), '{g}', 'y', '{a}');
        PERFORM many_models.promote_models('l', rule => CASE WHEN n = 1 THEN 'true' ELSE format('(key ->> ''g'')::int = %s', 1 + n * 5 % 14) END);
        INSERT INTO states VALUES (n, last_promotion(), fingerprint('l'));
    END LOOP;
END $$;
SELECT array_length(layers, 1) AS layers FROM many_models.promotions WHERE model_set = 'l' ORDER BY promotion_id;
SELECT count(*) AS rows, count(DISTINCT layer) AS layers, count(*) FILTER (WHERE layer <> promotion_id) AS merged FROM many_models.production_store AS m
WHERE m.run_id IN (SELECT run_id FROM many_models.production_runs WHERE model_set = 'l');
DO $$
DECLARE
    s record;
BEGIN
    FOR s IN SELECT * FROM states ORDER BY md5(n::text) LOOP
        PERFORM many_models.rollback_models('l', s.promotion_id);
        IF fingerprint('l') IS DISTINCT FROM s.fingerprint THEN RAISE EXCEPTION 'state % is not what it was', s.n; END IF;
        IF (SELECT count(DISTINCT model_id) <> 14 FROM many_models.production_models WHERE model_set = 'l') THEN RAISE EXCEPTION 'a group twice'; END IF;
    END LOOP;
END $$;
SELECT count(*) FROM many_models.promotions WHERE model_set = 'l';
-- Pruned: what is in force and the last states stay.
SELECT summary(many_models.rollback_models('l', (SELECT promotion_id FROM states WHERE n = 7)));
SELECT error_of($$SELECT many_models.prune_promotions('l', 0)$$);
SELECT error_of($$SELECT many_models.prune_promotions(NULL)$$);
SELECT error_of($$SELECT many_models.prune_promotions('nothing')$$);
SELECT many_models.prune_promotions('l', 3) > 0 AS pruned, many_models.prune_promotions('l', 3) AS again;
-- Runs without a model left are forgotten.
SELECT count(*) < 30 AS fewer, bool_and(EXISTS (SELECT FROM many_models.production_store AS m WHERE m.run_id = r.run_id)) AS used
FROM many_models.production_runs AS r WHERE model_set = 'l';
SELECT fingerprint('l') = (SELECT fingerprint FROM states WHERE n = 7) AS same, predicted('l');
SELECT count(*) AS promotions, count(layers) AS with_models FROM many_models.promotions WHERE model_set = 'l';
SELECT summary(many_models.rollback_models('l'));
SELECT fingerprint('l') = (SELECT fingerprint FROM states ORDER BY md5(n::text) DESC LIMIT 1) AS same;
SELECT regexp_replace(regexp_replace(error_of(format('SELECT many_models.rollback_models(''l'', %s)', (SELECT min(promotion_id) FROM states))), 'promotion \d+', 'promotion N'),
                      'are [\d, ]+', 'are ...');

-- Large sets have partitions of their own; a set drops all of them.
CREATE TABLE large AS SELECT i % 1200 AS g, i % 7 AS a, i % 13 AS y FROM generate_series(1, 12000) AS i;
SELECT trained FROM many_models.train_many_models('big', 'large', '{g}', 'y', '{a}');
SELECT summary(many_models.promote_models('big'));
SELECT trained FROM many_models.train_many_models('big');
SELECT summary(many_models.promote_models('big', rule => '(key ->> ''g'')::int < 600'));
SELECT summary(many_models.promote_models('big', rule => '(key ->> ''g'')::int < 5 OR (key ->> ''g'')::int >= 600', dry_run => true));
SELECT summary(many_models.promote_models('big', rule => 'false'));
SELECT summary(many_models.rollback_models('big', 0));
CREATE VIEW partitions AS SELECT regexp_replace(c.relname, '\d+', 'N') AS partition, count(*), sum(c.reltuples) AS rows, bool_and(c.relrowsecurity) AS secured, bool_and(c.relowner = p.relowner) AS same_owner
FROM pg_class AS c, pg_class AS p WHERE c.relname ~ '_store_p\d+$' AND p.oid = 'many_models.promotions'::regclass GROUP BY 1;
SELECT * FROM partitions ORDER BY 1;
SELECT count(*) FROM many_models.production_store_shared WHERE run_id IN (SELECT run_id FROM many_models.production_runs WHERE model_set = 'big');
SELECT action, count(*) FROM many_models.promotion_report WHERE promotion_id = last_promotion() GROUP BY 1;
SELECT summary(many_models.rollback_models('big'));
SELECT version, count(*) FROM many_models.production_models WHERE model_set = 'big' GROUP BY 1 ORDER BY 1;
SELECT many_models.prune_promotions('big', 1) > 0 AS pruned;
SELECT version, count(*) FROM many_models.production_models WHERE model_set = 'big' GROUP BY 1 ORDER BY 1;
SELECT many_models.drop_models('big') AS dropped;
SELECT * FROM partitions;

-- A transaction sees its own promotion; rolled back, nothing has happened, in the cache of predict neither.
SELECT trained FROM many_models.train_many_models('e', rows_of(2, '{1}'));
SELECT summary(many_models.promote_models('e', 1));
SELECT many_models.predict('e', '{"g": 1}', '{"a": 1}')::int AS before;
BEGIN;
SELECT summary(many_models.promote_models('e', 2));
SELECT many_models.predict('e', '{"g": 1}', '{"a": 1}')::int AS inside;
SAVEPOINT a;
SELECT summary(many_models.rollback_models('e'));
SELECT many_models.predict('e', '{"g": 1}', '{"a": 1}')::int AS undone;
ROLLBACK TO a;
SELECT many_models.predict('e', '{"g": 1}', '{"a": 1}')::int AS inside;
ROLLBACK;
SELECT many_models.predict('e', '{"g": 1}', '{"a": 1}')::int AS after;

-- Keys: NULL, 1 and 1.0, a collation that ignores case, one group, and a type that changes.
CREATE COLLATION ignore_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE keyed (name text COLLATE ignore_case, n numeric, a int, y float8);
INSERT INTO keyed SELECT (ARRAY['Anna', 'anna', 'BOB', NULL])[1 + i % 4], CASE WHEN i % 3 = 0 THEN 1 WHEN i % 3 = 1 THEN 1.00 ELSE NULL END, i % 10, 1 + i % 10 FROM generate_series(1, 240) AS i;
SELECT trained FROM many_models.train_many_models('k', 'keyed', '{name,n}', 'y', '{a}');
SELECT summary(many_models.promote_models('k'));
UPDATE keyed SET name = upper(name::text COLLATE "C"), n = n * 1.000, y = y + (a % 2) + 10;
SELECT trained FROM many_models.train_many_models('k');
SELECT summary(many_models.promote_models('k', rule => 'candidate.rmse < production.rmse AND lower(key ->> ''name'') = ''anna'''));
SELECT partition_key, action, reason, compared FROM many_models.promotion_report WHERE promotion_id = last_promotion() ORDER BY 1;
SELECT partition_key, version FROM many_models.production_models WHERE model_set = 'k' ORDER BY 1;
SELECT many_models.predict('k', '{"name": "aNNA", "n": 1.0}', '{"a": 2}')::int AS anna, many_models.predict('k', '{"name": "bob", "n": null}', '{"a": 2}')::int AS bob,
       many_models.predict('k', '{"name": null, "n": null}', '{"a": 2}')::int AS nobody;
SELECT lower(name::text COLLATE "C") AS name, trim_scale(n) AS n, model_version, count(*), count(prediction) AS predicted FROM keyed AS t,
    LATERAL (SELECT) AS none, many_models.predict_interval('k', jsonb_build_object('name', name, 'n', n), '{"a": 2}') GROUP BY 1, 2, 3 ORDER BY 1, 2;
SELECT trained, failed FROM many_models.score_many_models('k', into_table => 'k_scores');
SELECT lower(name::text COLLATE "C") AS name, trim_scale(n) AS n, model_version, count(*) FROM k_scores GROUP BY 1, 2, 3 ORDER BY 1, 2;
ALTER TABLE keyed ALTER name TYPE text COLLATE "C";
SELECT trained FROM many_models.train_many_models('k');
SELECT error_of($$SELECT many_models.promote_models('k')$$);
SELECT many_models.predict('k', '{"name": "anna", "n": 1.0}', '{"a": 2}')::int AS anna, many_models.predict('k', '{"name": "ANNA", "n": 1.0}', '{"a": 2}')::int AS upper;
SELECT error_of($$SELECT many_models.score_many_models('k', 'SELECT name COLLATE test_production.ignore_case AS name, n, a FROM test_production.keyed', 'k_scores2', '{}')$$);
SELECT trained FROM many_models.train_many_models('w', 'keyed', '{}', 'y', '{a}');
SELECT summary(many_models.promote_models('w'));
SELECT trained FROM many_models.train_many_models('w');
SELECT summary(many_models.promote_models('w', rule => 'production.n_rows = candidate.n_rows AND production.rmse > 0'));
SELECT many_models.predict('w', '{}', '{"a": 2}') IS NOT NULL AS predicts;
CREATE TABLE typed AS SELECT i % 3 AS g, i % 10 AS a, i % 10 AS y FROM generate_series(1, 120) AS i;
SELECT trained FROM many_models.train_many_models('t', 'typed', '{g}', 'y', '{a}');
SELECT summary(many_models.promote_models('t'));
ALTER TABLE typed ALTER g TYPE bigint;
SELECT trained FROM many_models.train_many_models('t');
SELECT summary(many_models.promote_models('t', rule => 'production.n_rows > 0 AND production.rmse < 1e-6'));
SELECT count(*), min(version) FROM many_models.production_models WHERE model_set = 't';
SELECT many_models.predict('t', '{"g": 1}', '{"a": 2}')::int;

-- A pipeline promotes; a refresh carries comparisons forward.
SELECT trained FROM many_models.train_many_models('n', 'typed', '{g}', 'y', '{a}');
SELECT many_models.set_pipeline('n', '{"train": {}, "promote": {"rule": "production IS NULL OR candidate.rmse <= production.rmse + 1e-9"}, "score": {"into_table": "test_production.n_scores"}}');
SELECT step, detail -> 0 ->> 'promoted' AS promoted, detail -> 0 ->> 'trained' AS trained FROM many_models.run_pipeline('n');
SELECT trained FROM many_models.train_many_models('n');
UPDATE typed SET y = y + 1 WHERE g = 0;
SELECT status, trained FROM many_models.refresh_many_models('n');
SELECT summary(many_models.promote_models('n', rule => 'production.rmse > 0.5'));
SELECT partition_key, action, compared FROM many_models.promotion_report WHERE promotion_id = last_promotion() ORDER BY 1;

-- Rights: the owner promotes and sees; others do neither, and nobody writes by himself.
CREATE ROLE mm_owner;
CREATE ROLE mm_member IN ROLE mm_owner;
CREATE ROLE mm_other;
SELECT many_models.grant_usage('mm_owner');
GRANT ALL ON SCHEMA test_production TO mm_owner, mm_other;
GRANT SELECT ON typed TO mm_owner;
SET ROLE mm_other;
SELECT error_of($$SELECT many_models.promote_models('n')$$);
SELECT error_of($$SELECT many_models.rollback_models('n')$$);
SELECT error_of($$SELECT many_models.prune_promotions('n')$$);
RESET ROLE;
SELECT many_models.grant_usage('mm_other');
SET ROLE mm_owner;
SELECT trained FROM many_models.train_many_models('mine', 'typed', '{g}', 'y', '{a}');
SELECT summary(many_models.promote_models('mine', rule => 'key ->> ''g'' <> ''0'''));
SET ROLE mm_member;
SELECT summary(many_models.promote_models('mine'));
SELECT promoted_by FROM many_models.promotions ORDER BY 1;
SET ROLE mm_other;
SELECT error_of($$SELECT many_models.promote_models('mine')$$);
SELECT error_of($$SELECT many_models.promote_models('mine', dry_run => true)$$);
SELECT error_of($$SELECT many_models.rollback_models('mine')$$);
SELECT error_of($$SELECT many_models.prune_promotions('mine')$$);
SELECT error_of($$SELECT many_models.predict('mine', '{"g": 1}', '{"a": 1}')$$);
SELECT (SELECT count(*) FROM many_models.promotions), (SELECT count(*) FROM many_models.production_models), (SELECT count(*) FROM many_models.promotion_report),
       (SELECT count(*) FROM many_models.production_store), (SELECT count(*) FROM many_models.promotion_store), (SELECT count(*) FROM many_models.production_runs),
       (SELECT count(*) FROM many_models.production_sets);
SET ROLE mm_owner;
SELECT (SELECT count(*) FROM many_models.promotions), (SELECT count(*) FROM many_models.production_models), (SELECT count(*) FROM many_models.promotion_report),
       (SELECT count(*) FROM many_models.production_store), (SELECT count(*) FROM many_models.promotion_store), (SELECT count(*) FROM many_models.production_runs),
       (SELECT count(*) FROM many_models.production_sets);
SELECT error_of(format('DELETE FROM many_models.%I', t)) FROM unnest(ARRAY['promotions', 'production_sets', 'production_runs', 'production_store', 'promotion_store', 'production_store_shared',
    'promotion_store_shared']) AS t;
SELECT error_of($$UPDATE many_models.production_sets SET layers = '{}'$$);
SELECT error_of($$SELECT nextval('many_models.promotion_id_seq')$$);
SELECT error_of($$SELECT * FROM many_models.production_store_shared$$);
SELECT many_models.drop_models('mine');
RESET ROLE;

SET client_min_messages = error;
SELECT many_models.drop_models(model_set) >= 0 AS dropped FROM many_models.model_sets WHERE model_set IN ('d', 'j', 'e', 'l', 'k', 'w', 't', 'n') ORDER BY model_set;
SELECT (SELECT count(*) FROM many_models.promotions) AS promotions, (SELECT count(*) FROM many_models.promotion_store) AS reports,
       (SELECT count(*) FROM many_models.production_store) AS models, (SELECT count(*) FROM many_models.production_runs) AS runs,
       (SELECT count(*) FROM many_models.production_sets) AS sets, (SELECT count(*) FROM partitions) AS partitions;
DROP SCHEMA test_production CASCADE;
DROP OWNED BY mm_owner, mm_member, mm_other;
DROP ROLE mm_owner, mm_member, mm_other;
