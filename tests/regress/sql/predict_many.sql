-- Predictions of many rows in one call; models read by their index, as the role's grants allow.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE SCHEMA test_many;
SET search_path = test_many, public;
CREATE FUNCTION error_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    hint text;
    context text;
BEGIN
    EXECUTE statement;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT, context = PG_EXCEPTION_CONTEXT;
    RETURN SQLSTATE || ': ' || SQLERRM || coalesce(' HINT: ' || nullif(hint, ''), '') ||
        coalesce(' CONTEXT: ' || substring(context FROM '^element[^\n]*'), '');
END $$;

-- A set of a few groups, and one of many, which has a partition of its own.
CREATE TABLE few AS SELECT i AS id, (ARRAY['café', '🍓', NULL])[1 + i % 3] AS store, (i * 7 % 17)::numeric / 4 AS price,
    (ARRAY['small', 'large'])[1 + i % 7 / 4] AS size, i % 3 * 100 + i * 7 % 17 + i % 7 / 4 * 7 + i % 5 / 50.0 AS units
FROM generate_series(1, 300) AS i;
CREATE TABLE lots AS SELECT g, x::float8, (g * x + g % 7 + x * 7 % 3 / 10.0) AS y FROM generate_series(1, 1500) AS g, generate_series(1, 8) AS x;
CREATE ROLE test_many_owner;
CREATE ROLE test_many_member IN ROLE test_many_owner;
CREATE ROLE test_many_other;
SELECT many_models.grant_usage('test_many_owner');
GRANT ALL ON SCHEMA test_many TO test_many_owner;
GRANT USAGE ON SCHEMA test_many TO test_many_member, test_many_other;
GRANT SELECT ON few, lots TO test_many_owner;
SET ROLE test_many_owner;
SELECT trained FROM many_models.train_many_models('m_few', 'few', '{store}', 'units', '{price,size}', workers => 1);
SELECT trained FROM many_models.train_many_models('m_lots', 'lots', '{g}', 'y', '{x}', workers => 1);
RESET ROLE;

SELECT round(u::numeric, 1) AS y FROM unnest(many_models.predict_many('m_lots', '{"{\"g\":2}","{\"g\":10}","{\"g\":2}","{\"g\":0}","{\"g\":3.0}","{\"g\":\"4\"}"}',
    '{"{\"x\":10}","{\"x\":10}","{\"x\":100}","{\"x\":1}","{\"x\":10}","{\"x\":10}"}')) AS u;
SELECT ordinality, round(prediction::numeric, 2) AS prediction, round(lower::numeric, 2) AS lower, round(upper::numeric, 2) AS upper, model_version, model_level, reason
FROM many_models.predict_many_interval('m_few', ARRAY['{"store":"café"}', '{"store":null}', '{"store":"none"}', '{"store":"café"}', '{"store":"🍓"}', '{"store":"🍓"}', '{"store":"café"}']::jsonb[],
    ARRAY['{"price":2,"size":"small"}', '{"price":2,"size":"large","unused":1}', '{"price":2,"size":"small"}', '{"price":null,"size":"small"}', '{"price":"NaN","size":"large"}',
          '{"price":2,"size":"huge"}', '{"price":1e308,"size":"small"}']::jsonb[]);
-- As predict and predict_interval, to the bit, in their order; with an interval of another level too.
SELECT count(*), bool_and(a.y = many_models.predict('m_lots', k.key, k.features)) AS same
FROM (SELECT array_agg(jsonb_build_object('g', g)) AS keys, array_agg(jsonb_build_object('x', x)) AS all_features FROM lots) AS rows,
     unnest(keys, all_features) WITH ORDINALITY AS k (key, features, i)
     JOIN LATERAL unnest(many_models.predict_many('m_lots', keys, all_features)) WITH ORDINALITY AS a (y, i) ON a.i = k.i;
SELECT count(*), bool_and((p.prediction, p.lower, p.upper, p.model_version, p.model_level) IS NOT DISTINCT FROM (i.prediction, i.lower, i.upper, i.model_version, i.model_level)) AS same,
       bool_and(i.upper - i.lower > 0) AS wide
FROM (SELECT array_agg(jsonb_build_object('store', store)) AS keys, array_agg(jsonb_build_object('price', price, 'size', size)) AS features FROM few) AS rows,
     LATERAL many_models.predict_many_interval('m_few', keys, features, 0.5) AS i,
     LATERAL many_models.predict_interval('m_few', keys[i.ordinality], features[i.ordinality], 0.5) AS p;
-- Nothing in, nothing out; strict in the first three arguments (and the level).
SELECT many_models.predict_many('m_few', '{}', '{}') AS empty, many_models.predict_many(NULL, '{}', '{}') IS NULL AS no_set,
       many_models.predict_many('m_few', NULL, '{}') IS NULL AS no_keys, many_models.predict_many('m_few', '{}', NULL) IS NULL AS no_features;
SELECT count(*) FROM many_models.predict_many_interval('m_few', '{}', '{}');
SELECT count(*) FROM many_models.predict_many_interval('m_few', ARRAY['{}']::jsonb[], ARRAY['{}']::jsonb[], NULL);

-- Versions.
UPDATE lots SET y = y + 1000;
SELECT version FROM many_models.train_many_models('m_lots', workers => 1);
PREPARE by_version(int) AS SELECT round(prediction::numeric, 1) AS prediction, model_version
    FROM many_models.predict_many_interval(model_set => 'm_lots', keys => ARRAY['{"g":2}']::jsonb[], features => ARRAY['{"x":10}']::jsonb[], version => $1);
EXECUTE by_version(1);
EXECUTE by_version(NULL);
EXECUTE by_version(2);
SELECT round((many_models.predict_many('m_lots', ARRAY['{"g":2}']::jsonb[], ARRAY['{"x":10}']::jsonb[], v))[1]::numeric, 1) AS y, v FROM unnest(ARRAY[1, NULL, 2, 1]) AS v;
BEGIN;
SELECT many_models.drop_models('m_lots', 2);
EXECUTE by_version(NULL);
ROLLBACK;
EXECUTE by_version(NULL);

-- Errors name the element.
SELECT error_of($$SELECT many_models.predict_many('m_lots', '{}', ARRAY['{}']::jsonb[])$$);
SELECT error_of($$SELECT many_models.predict_many('m_lots', ARRAY['{"g":1}', NULL]::jsonb[], ARRAY['{"x":1}', '{"x":1}']::jsonb[])$$);
SELECT error_of($$SELECT many_models.predict_many('m_lots', ARRAY['{"g":1}', '{"g":1}']::jsonb[], ARRAY['{"x":1}', NULL]::jsonb[])$$);
SELECT error_of($$SELECT many_models.predict_many('m_lots', ARRAY[ARRAY['{"g":1}']]::jsonb[], ARRAY['{"x":1}']::jsonb[])$$);
SELECT error_of($$SELECT many_models.predict_many_interval('m_lots', ARRAY['{"g":1}']::jsonb[], ARRAY[ARRAY['{"x":1}']]::jsonb[])$$);
SELECT error_of($$SELECT many_models.predict_many('m_lots', ARRAY['{"g":1}', '{"h":1}']::jsonb[], ARRAY['{"x":1}', '{"x":1}']::jsonb[])$$);
SELECT error_of($$SELECT many_models.predict_many('m_lots', ARRAY['{"g":1}', '{"g":1}', '{"g":1}']::jsonb[], ARRAY['{"x":1}', '{"x":1}', '{"y":1}']::jsonb[])$$);
SELECT error_of($$SELECT many_models.predict_many('m_lots', ARRAY['{"g":"a"}']::jsonb[], ARRAY['{"x":1}']::jsonb[])$$);
SELECT error_of($$SELECT many_models.predict_many('dead', ARRAY['{"g":1}']::jsonb[], ARRAY['{"x":1}']::jsonb[])$$);
SELECT error_of($$SELECT many_models.predict_many('m_lots', ARRAY['{"g":1}']::jsonb[], ARRAY['{"x":1}']::jsonb[], 3)$$);
SELECT error_of($$SELECT many_models.predict_many('m_lots', '{}', '{}', 0)$$);
SELECT error_of($$SELECT many_models.predict_many_interval('m_lots', '{}', '{}', 1)$$);
SELECT error_of($$SELECT many_models.predict_many_interval('m_lots', '{}', '{}', version => -1)$$);
-- After an error within a call the cache is as before it.
SELECT round((many_models.predict_many('m_lots', ARRAY['{"g":2}']::jsonb[], ARRAY['{"x":10}']::jsonb[]))[1]::numeric, 1) AS y;
UPDATE lots SET y = y + 1000;
SELECT version FROM many_models.train_many_models('m_lots', workers => 1);
EXECUTE by_version(NULL);

-- In parallel workers, in a read-only transaction, in a repeatable one, with a cache that holds almost nothing.
SELECT set_config(name, 'on', false) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');
SELECT round((many_models.predict_many('m_lots', ARRAY['{"g":2}']::jsonb[], ARRAY['{"x":10}']::jsonb[]))[1]::numeric, 1) AS y;
SELECT set_config(name, 'off', false) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
EXECUTE by_version(NULL);
COMMIT;
SET many_models.model_cache_size = '64kB';
SELECT count(y), round(sum(y)) = (SELECT round(sum(many_models.predict('m_lots', jsonb_build_object('g', g), '{"x":1}'))) FROM generate_series(1, 1500) AS g) AS same
FROM (SELECT unnest(many_models.predict_many('m_lots', array_agg(jsonb_build_object('g', g)), array_agg('{"x":1}'::jsonb))) AS y FROM generate_series(0, 1501) AS g) AS p;
RESET many_models.model_cache_size;

-- As a REST server calls functions of its own schema: arguments from a JSON object, rows as JSON (docs/serving.md).
CREATE FUNCTION rest_predict(model_set text, key jsonb, features jsonb) RETURNS float8
    STABLE LANGUAGE sql AS 'SELECT many_models.predict(model_set, key, features)';
CREATE FUNCTION rest_predict_many(model_set text, keys jsonb[], features jsonb[])
    RETURNS TABLE (ordinality bigint, prediction float8, lower float8, upper float8, model_version int, model_level text, reason text)
    STABLE LANGUAGE sql AS 'SELECT * FROM many_models.predict_many_interval(model_set, keys, features)';
SELECT round(p::numeric, 1) AS y FROM json_to_record('{"model_set": "m_lots", "key": {"g": 2}, "features": {"x": 10}}') AS a (model_set text, key jsonb, features jsonb), rest_predict(a.model_set, a.key, a.features) AS p;
SELECT json_agg(json_build_object('ordinality', ordinality, 'prediction', round(prediction::numeric, 1), 'reason', reason)) AS answer
FROM json_to_record('{"model_set": "m_lots", "keys": [{"g": 2}, {"g": 0}], "features": [{"x": 10}, {"x": 10}]}') AS a (model_set text, keys jsonb[], features jsonb[]),
     rest_predict_many(a.model_set, a.keys, a.features);

-- Rights: those of the role, for each group, whatever other roles have read before. Grants that change count at once,
-- for the groups that the session has in its cache too.
CREATE FUNCTION asked() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN format('lots %s, few %s', many_models.predict_many('m_lots', '{"{\"g\":1}","{\"g\":2}","{\"g\":3}","{\"g\":0}"}', '{"{\"x\":1}","{\"x\":1}","{\"x\":1}","{\"x\":1}"}')::numeric(10,0)[],
        many_models.predict_many('m_few', ARRAY['{"store":"café"}', '{"store":"🍓"}']::jsonb[], ARRAY['{"price":1,"size":"small"}', '{"price":1,"size":"small"}']::jsonb[])::numeric(10,0)[]);
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ': ' || SQLERRM;
END $$;
SELECT asked();
SET ROLE test_many_other;
SELECT asked();
SET ROLE test_many_owner;
SELECT asked();
SET ROLE test_many_member;
SELECT asked();
SET ROLE test_many_owner;
SELECT many_models.grant_model_set('m_lots', 'test_many_other', 'score', '[{"g": 2}, {"g": 3}]'), many_models.grant_model_set('m_few', 'test_many_other', 'read');
SET ROLE test_many_other;
SELECT asked();
SET ROLE test_many_owner;
SELECT many_models.grant_model_set('m_few', 'test_many_other', 'score', '{"store": "🍓"}');
SET ROLE test_many_other;
SELECT asked();
-- Without a right or without a model: the same answer.
SELECT ordinality, round(prediction) AS prediction, model_version, model_level, reason
FROM many_models.predict_many_interval('m_lots', ARRAY['{"g":1}', '{"g":2}', '{"g":0}']::jsonb[], ARRAY['{"x":1}', '{"x":1}', '{"x":1}']::jsonb[]);
SET ROLE test_many_owner;
SELECT many_models.revoke_model_set('m_lots', 'test_many_other', 'score', '{"g": 3}');
SET ROLE test_many_other;
SELECT asked();
RESET ROLE;
BEGIN;
SELECT many_models.revoke_model_set('m_lots', 'test_many_other', 'score');
SET LOCAL ROLE test_many_other;
SELECT asked();
ROLLBACK;
SET ROLE test_many_other;
SELECT asked();
RESET ROLE;
REVOKE test_many_owner FROM test_many_member;
SET ROLE test_many_member;
SELECT asked();
RESET ROLE;

-- Production, in a partition of its own; then a small layer over it, and groups that only the latest version has. The same
-- models as the view's, to the bit; a version by its number is that version.
SELECT promoted, production FROM many_models.promote_models('m_lots', 1);
SELECT asked();
SELECT version, trained FROM many_models.train_many_models('m_lots', 'SELECT g, x, y + 7000 AS y FROM lots WHERE g IN (2, 5)', workers => 1);
SELECT promoted, production FROM many_models.promote_models('m_lots', 4);
SELECT version, trained FROM many_models.train_many_models('m_lots', 'SELECT CASE g WHEN 7 THEN 0 ELSE g END AS g, x, y + 9000 AS y FROM lots WHERE g IN (5, 7)', workers => 1);
SELECT asked();
CREATE VIEW compared WITH (security_invoker = true) AS
SELECT count(*), count(a.y) AS predicted, bool_and(a.y IS NOT DISTINCT FROM many_models.predict(p.model, ARRAY[1.5])) AS same
FROM (SELECT array_agg(jsonb_build_object('g', g) ORDER BY g) AS keys FROM generate_series(1, 1501) AS g) AS k,
     unnest(many_models.predict_many('m_lots', k.keys, array_fill('{"x":1.5}'::jsonb, ARRAY[1501]))) WITH ORDINALITY AS a (y, g)
     LEFT JOIN (many_models.production_models AS m JOIN (SELECT DISTINCT ON (model_id) model_id, model FROM many_models.production_store ORDER BY model_id) AS s USING (model_id)) AS p
     ON p.model_set = 'm_lots' AND p.partition_key = jsonb_build_object('g', a.g);
GRANT SELECT ON compared TO test_many_owner;
SELECT * FROM compared;
SET ROLE test_many_owner;
SELECT * FROM compared;
SET ROLE test_many_other;
SELECT asked();
RESET ROLE;
SELECT v, p.g, p.y FROM unnest(ARRAY[NULL, 1, 3, 4, 5]) WITH ORDINALITY AS v (v, i), LATERAL
    (SELECT keys.g, round(u.y) AS y FROM unnest(many_models.predict_many('m_lots', ARRAY['{"g":0}', '{"g":1}', '{"g":2}', '{"g":5}']::jsonb[], array_fill('{"x":1}'::jsonb, ARRAY[4]), v)) WITH ORDINALITY AS u (y, i)
     JOIN (VALUES (1, 0), (2, 1), (3, 2), (4, 5)) AS keys (i, g) USING (i)) AS p ORDER BY v.i, p.g;
SELECT ordinality, model_version, model_level FROM many_models.predict_many_interval('m_lots', ARRAY['{"g":0}', '{"g":1}', '{"g":2}', '{"g":9999}']::jsonb[], array_fill('{"x":1}'::jsonb, ARRAY[4]));
-- A promotion that is rolled back, with its transaction or to a savepoint, leaves nothing.
BEGIN;
SELECT asked();
SAVEPOINT before;
SELECT promoted FROM many_models.promote_models('m_lots', 3);
SELECT asked();
ROLLBACK TO before;
SELECT asked();
SELECT promoted FROM many_models.rollback_models('m_lots');
SELECT asked();
ROLLBACK;
SELECT asked();
SELECT promoted FROM many_models.rollback_models('m_lots');
SELECT asked();
SELECT promoted, withdrawn FROM many_models.rollback_models('m_lots', 0);
SELECT asked();
SELECT promoted FROM many_models.rollback_models('m_lots');
SELECT many_models.prune_promotions('m_lots', 1);
SELECT asked();
SELECT * FROM compared;

-- What maintenance does to a table of models: another index, another file, no index.
SELECT k.tableoid::regclass AS models FROM many_models.model_store AS k JOIN many_models.runs AS r USING (run_id)
WHERE r.model_set = 'm_lots' AND r.version = 3 LIMIT 1 \gset
SELECT tableoid::regclass AS production FROM many_models.production_store WHERE storage > 0 AND run_id IN
    (SELECT run_id FROM many_models.runs WHERE model_set = 'm_lots') LIMIT 1 \gset
SELECT many_models.drop_models('m_lots', 5) + many_models.drop_models('m_lots', 4) AS dropped;
REINDEX TABLE CONCURRENTLY :models;
REINDEX TABLE CONCURRENTLY :production;
SELECT asked();
VACUUM FULL :models;
VACUUM FULL :production;
SELECT asked();
SELECT * FROM compared;
BEGIN;
TRUNCATE :production;
SELECT asked();
ROLLBACK;
SELECT asked();
BEGIN;
SELECT FROM many_models.rollback_models('m_lots', 0);
TRUNCATE :models;
SELECT asked();
ROLLBACK;
SELECT asked();
BEGIN;
DO $$
DECLARE
    index regclass;
BEGIN
    FOR index IN SELECT i.indexrelid FROM pg_index AS i JOIN pg_inherits AS h ON h.inhrelid = i.indrelid WHERE h.inhparent IN ('many_models.model_store'::regclass, 'many_models.production_store'::regclass)
    LOOP
        EXECUTE 'DROP INDEX ' || index;
    END LOOP;
END $$;
SELECT asked();
SELECT * FROM compared;
ROLLBACK;
SELECT asked();

-- Without shared_preload_libraries there is nothing that sessions share.
SELECT * FROM many_models.shared_cache_statistics();
SELECT error_of('SHOW many_models.shared_cache_size');
SET ROLE test_many_other;
SELECT error_of('SELECT * FROM many_models.shared_cache_statistics()');
RESET ROLE;

SELECT many_models.drop_models('m_few') + many_models.drop_models('m_lots') AS dropped;
DROP OWNED BY test_many_owner, test_many_member, test_many_other;
DROP ROLE test_many_owner, test_many_member, test_many_other;
DROP SCHEMA test_many CASCADE;
