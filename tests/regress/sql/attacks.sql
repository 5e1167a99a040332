-- What someone might try who may log in, create schemas, and was granted a little. Nothing may come of it: no
-- row that is not his, no code of his with another role's rights.
SET client_min_messages = warning;
CREATE ROLE mm_victim;
CREATE ROLE mm_attacker;
CREATE ROLE mm_team;
GRANT mm_team TO mm_victim, mm_attacker;
SELECT many_models.grant_usage(r) FROM (VALUES ('mm_victim'::regrole), ('mm_attacker')) AS r (r);
CREATE SCHEMA shop AUTHORIZATION mm_victim;
CREATE SCHEMA evil AUTHORIZATION mm_attacker;
GRANT ALL ON SCHEMA shop, evil TO mm_attacker, mm_victim, mm_team;
SET search_path = shop, public;
CREATE TABLE sold AS SELECT i AS id, 1 + i % 2 AS store, 'P' || 1 + i % 3 AS product, i % 7 AS price,
    CASE WHEN i % 3 < 2 THEN 10 * (1 + i % 2) + 2 * (i % 7) + i % 5 ELSE 1 END AS units FROM generate_series(1, 600) AS i;
GRANT SELECT ON sold TO mm_victim, mm_attacker;
SET ROLE mm_victim;
SELECT trained FROM many_models.train_many_models('demand', 'shop.sold', '{store,product}', 'units', '{price}');
SELECT trained FROM many_models.train_many_models('secret', 'shop.sold', '{store}', 'units', '{price}');
SELECT rows_read FROM many_models.score_many_models('demand', id_columns => '{id}', options => '{"row_security": true}');
GRANT SELECT ON demand_models, secret_models, demand_predictions TO mm_attacker;
SELECT groups, evaluated FROM many_models.evaluate_many_models('demand', period => NULL);
SELECT many_models.grant_model_set('demand', 'mm_attacker', 'score', '{"store": 2}');
RESET ROLE;
-- Code of the attacker's reports when it runs with rights that he has not.
CREATE TABLE public.ran (as_role name, what text);
GRANT INSERT, SELECT ON ran TO PUBLIC;
SET ROLE mm_attacker;
CREATE FUNCTION evil.note(what text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT pg_has_role('mm_attacker', current_user, 'MEMBER') THEN INSERT INTO public.ran VALUES (current_user, what); END IF;
EXCEPTION WHEN read_only_sql_transaction THEN RAISE EXCEPTION '% ran as %', what, current_user;
END $$;
-- That it would:
SET ROLE mm_victim;
SELECT evil.note('control');
SELECT * FROM public.ran;
RESET ROLE;
TRUNCATE public.ran;
SET ROLE mm_attacker;

-- 1. Functions that tell what they are shown, in every place of a query: they see the rows that he may see.
CREATE TABLE evil.leaked (what text);
CREATE FUNCTION evil.leak(anyelement) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS $$ BEGIN INSERT INTO evil.leaked VALUES ($1::text); RETURN true; END $$;
CREATE FUNCTION evil.leak_two(text, text) RETURNS boolean LANGUAGE sql COST 0.0000001 AS 'SELECT evil.leak($1)';
CREATE OPERATOR evil.<?> (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.leak_two);
CREATE AGGREGATE evil.leak_all(text) (SFUNC = textcat, STYPE = text, INITCOND = '');
SELECT relation, error_of(format('SELECT count(*) FROM %s AS m WHERE evil.leak(m.partition_key)', relation)) FROM unnest('{many_models.models,many_models.metrics,many_models.coefficients,
    many_models.fit_statistics,many_models.failures,many_models.model_store,many_models.failure_store}'::text[]) AS relation;
SELECT count(*) FROM demand_models WHERE evil.leak(store);
SELECT count(*) FROM demand_predictions WHERE evil.leak(store);
SELECT count(*) FROM secret_models WHERE evil.leak(store);
SELECT count(*) FROM many_models.models WHERE partition_key::text OPERATOR(evil.<?>) model_set;
SELECT count(*) FROM many_models.models AS m JOIN many_models.runs AS r ON evil.leak(m.partition_key) AND evil.leak(r.into_table);
SELECT count(*) FROM many_models.models AS m LEFT JOIN many_models.metrics AS e ON evil.leak(e.partition_key) AND e.model_id = m.model_id;
SELECT count(*) FROM (SELECT evil.leak(partition_key), partition_key FROM many_models.failures ORDER BY evil.leak(partition_key) OFFSET 0) AS s;
SELECT count(*) FROM many_models.coefficients GROUP BY evil.leak(partition_key) HAVING evil.leak(min(partition_key ->> 'store'));
SELECT count(*) FROM many_models.models AS m, LATERAL (SELECT evil.leak(m.partition_key)) AS l;
SELECT length(evil.leak_all(partition_key::text)) > 0 AS aggregates, evil.leak_all(partition_key::text) ~ '"store": 1' AS foreign FROM many_models.models;
SELECT count(*) FROM many_models.model_store TABLESAMPLE SYSTEM (100) WHERE evil.leak(partition_key);
SELECT count(*) FROM ONLY many_models.model_store WHERE evil.leak(partition_key);
SELECT count(*) FROM many_models.evaluations WHERE evil.leak(partition_key);
SELECT count(*) FROM many_models.drift WHERE evil.leak(partition_key);
SELECT count(*) FROM many_models.model_sets WHERE evil.leak(model_set || ' set');
SELECT count(*) FROM many_models.runs WHERE evil.leak(model_set || ' run');
SELECT count(*) FROM many_models.grant_store WHERE evil.leak(grantee || ' grantee');
SELECT count(*) FROM many_models.model_set_grants WHERE evil.leak(grantee || ' grantee');
SELECT what COLLATE "C" AS leaked FROM evil.leaked GROUP BY 1 ORDER BY 1;
-- Errors that only a foreign row would raise.
SELECT relation, error_of(format('SELECT count(*) FROM %s WHERE 1 / ((partition_key ->> ''store'')::int - 1) < 9', relation)) FROM unnest('{many_models.models,many_models.metrics,many_models.coefficients,
    many_models.fit_statistics,many_models.failures,many_models.model_store,many_models.failure_store,many_models.evaluations,many_models.drift}'::text[]) AS relation;
SELECT error_of('SELECT count(*) FROM demand_predictions WHERE 1 / (store - 1) < 9'), error_of('SELECT count(*) FROM demand_models WHERE 1 / (store - 1) < 9');
-- Statistics, copies, row_security off, parents and children.
SELECT count(*) FROM pg_stats WHERE schemaname = 'many_models' OR tablename ~ '^demand_predictions';
COPY many_models.grant_store (model_set, grantee, privilege, keys) TO STDOUT;
SET row_security = off;
SELECT relation, error_of(format('SELECT count(*) FROM %s', relation)) FROM unnest('{many_models.model_sets,many_models.runs,many_models.model_store,many_models.failure_store,many_models.grant_store,
    demand_predictions}'::text[]) AS relation;
SELECT error_of($$SELECT many_models.predict('demand', '{"store": 1, "product": "P1"}', '{"price": 2}')$$);
RESET row_security;
SELECT error_of('SELECT * FROM many_models.model_store_shared'), error_of('SELECT * FROM many_models.failure_store_shared');

-- 2. The functions that scoring calls, called by hand with the runs of others.
CREATE FUNCTION evil.score_by_hand(run bigint) RETURNS text LANGUAGE sql AS $$ SELECT many_models.score_row(ARRAY[0, $1], 0.95, '{store}', '{price}', 1, 2)::text $$;
SELECT count(*) > 900 AS tried, bool_and(lower(evil.score_by_hand(run_id)) ~ '^\(nan') AS nothing FROM generate_series(1, 1000) AS run_id WHERE run_id NOT IN (SELECT r.run_id FROM many_models.runs AS r WHERE r.kind = 'train');
SELECT bool_or(many_models.run_key_is_granted(run_id, '{"store": 1}')) AS any_run FROM generate_series(1, 1000) AS run_id;
-- Keys that say one thing and mean another.
SELECT key, many_models.predict('demand', key, '{"price": 2}') IS NOT NULL AS predicts FROM (VALUES ('{"store": 1, "product": "P1"}'::jsonb), ('{"store": "1", "product": "P1"}'), ('{"store": 1.0, "product": "P1"}'),
    ('{"store": 2, "product": "P1", "store": 1}'), ('{"\u0073tore": "01", "product": "P1"}'), ('{"store": "2", "product": "P1"}')) AS k (key);
SELECT error_of($$SELECT many_models.predict('demand', '{"store": 1, "product": "P1", "Store": 2}', '{"price": 2}')$$);

-- 3. The session's memory: of another role, before a SET ROLE, in a prepared statement, in one expression.
SET ROLE mm_victim;
PREPARE p AS SELECT many_models.predict('demand', '{"store": 1, "product": "P1"}', '{"price": 2}') IS NOT NULL AS predicts, (SELECT count(*) FROM many_models.models) AS models;
EXECUTE p;
SET ROLE mm_attacker;
EXECUTE p;
SET ROLE mm_victim;
EXECUTE p;
BEGIN;
SELECT many_models.predict('demand', '{"store": 2, "product": "P1"}', '{"price": 2}') IS NOT NULL AS predicts;
SET LOCAL ROLE mm_attacker;
SELECT many_models.predict('demand', '{"store": 2, "product": "P1"}', '{"price": 2}') IS NOT NULL AS predicts;
SET LOCAL ROLE mm_victim;
SELECT many_models.revoke_model_set('demand', 'mm_attacker', 'all');
SET LOCAL ROLE mm_attacker;
EXECUTE p;
ROLLBACK;
RESET ROLE;
DO $$
DECLARE
    answers text := '';
BEGIN
    FOR i IN 1 .. 6 LOOP
        PERFORM set_config('role', (ARRAY['mm_victim', 'mm_attacker', 'mm_team'])[1 + i % 3], true);
        answers := answers || many_models.key_is_granted('demand', '{"store": 1}')::text || many_models.key_is_granted('demand', '{"store": 2}')::text || ' ';
    END LOOP;
    PERFORM set_config('role', 'none', true);
    RAISE WARNING 'attacker, team, victim: %', answers;
END
$$;
-- A role of the same name is another role.
CREATE ROLE mm_gone;
SET ROLE mm_victim;
SELECT many_models.grant_model_set('secret', 'mm_gone', 'all');
RESET ROLE;
DROP ROLE mm_gone;
CREATE ROLE mm_gone;
SET ROLE mm_gone;
SELECT many_models.has_model_set_privilege('secret', 'read') AS has, (SELECT count(*) FROM many_models.models) AS models;
RESET ROLE;
DROP ROLE mm_gone;

-- 4. A search_path with operators, functions and tables of his, for himself and for the victim.
SET ROLE mm_attacker;
CREATE FUNCTION evil.contains(jsonb, jsonb) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.note('@>'); RETURN true; END $$;
CREATE FUNCTION evil.eq(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.note('text ='); RETURN true; END $$;
CREATE FUNCTION evil.eq(oid, oid) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.note('oid ='); RETURN true; END $$;
CREATE FUNCTION evil.eq(bigint, bigint) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.note('bigint ='); RETURN true; END $$;
CREATE FUNCTION evil.eq(boolean, boolean) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.note('boolean ='); RETURN true; END $$;
CREATE FUNCTION evil.eq(jsonb, jsonb) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.note('jsonb ='); RETURN true; END $$;
CREATE FUNCTION evil.cat(jsonb, jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.note('||'); RETURN '[{}]'; END $$;
CREATE FUNCTION evil.arrow(jsonb, text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.note('->>'); RETURN '2'; END $$;
CREATE OPERATOR evil.@> (LEFTARG = jsonb, RIGHTARG = jsonb, FUNCTION = evil.contains);
CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.eq);
CREATE OPERATOR evil.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = evil.eq);
CREATE OPERATOR evil.= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = evil.eq);
CREATE OPERATOR evil.= (LEFTARG = boolean, RIGHTARG = boolean, FUNCTION = evil.eq);
CREATE OPERATOR evil.= (LEFTARG = jsonb, RIGHTARG = jsonb, FUNCTION = evil.eq);
CREATE OPERATOR evil.|| (LEFTARG = jsonb, RIGHTARG = jsonb, FUNCTION = evil.cat);
CREATE OPERATOR evil.->> (LEFTARG = jsonb, RIGHTARG = text, FUNCTION = evil.arrow);
CREATE FUNCTION evil.pg_has_role(oid, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.note('pg_has_role'); RETURN true; END $$;
CREATE FUNCTION evil.jsonb_array_elements(jsonb) RETURNS SETOF jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.note('jsonb_array_elements'); RETURN QUERY SELECT '{}'::jsonb; END $$;
CREATE FUNCTION evil.now() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.note('now'); RETURN pg_catalog.now(); END $$;
CREATE FUNCTION evil.key_is_granted(text, jsonb, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.note('key_is_granted'); RETURN true; END $$;
CREATE TABLE evil.grant_store AS SELECT 'demand'::text AS model_set, 'mm_attacker'::regrole AS grantee, 'read'::text AS privilege, NULL::jsonb AS keys;
CREATE TABLE evil.model_sets AS SELECT 'demand'::text AS model_set, 'mm_attacker'::regrole AS owner;
CREATE TABLE evil.runs AS SELECT 1::bigint AS run_id, 'demand'::text AS model_set, 'train'::text AS kind;
CREATE TABLE evil.pg_roles AS SELECT 1::oid AS oid;
CREATE TEMP TABLE grant_store AS TABLE evil.grant_store;
CREATE TEMP TABLE model_sets AS TABLE evil.model_sets;
CREATE TEMP TABLE pg_roles AS TABLE evil.pg_roles;
CREATE TEMP VIEW pg_extension AS SELECT 'many_models'::text AS extname, evil.note('pg_extension')::text AS extversion;
CREATE FUNCTION pg_temp.pg_has_role(oid, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.note('pg_has_role'); RETURN true; END $$;
SET search_path = pg_temp, evil, pg_catalog, shop, public;
SELECT count(*) FROM many_models.models;
SELECT count(*) FROM many_models.model_set_grants;
SELECT many_models.has_model_set_privilege('demand', 'train') AS train, many_models.key_is_granted('demand', '{"store": 1}') AS one, many_models.key_is_granted('demand', '{"store": 2}') AS two;
SELECT many_models.predict('demand', '{"store": 1, "product": "P1"}', '{"price": 2}') IS NOT NULL AS predicts;
SELECT groups FROM many_models.score_many_models('demand', 'shop.sold', 'evil.scored', options => '{"row_security": true}');
SELECT groups FROM many_models.score_many_models('demand', 'shop.sold', 'evil.scored', options => '{"row_security": true, "on_existing": "replace"}');
SELECT qual FROM pg_policies WHERE tablename OPERATOR(pg_catalog.=) 'scored';
SELECT trained FROM many_models.train_many_models('attackers', 'shop.sold', '{store}', 'units', '{price}');
SELECT many_models.grant_model_set('attackers', 'mm_victim', 'score', '{"store": 1}'), many_models.grant_model_set('attackers', 'mm_victim', 'score', '{"store": 2}');
SELECT many_models.revoke_model_set('attackers', 'mm_victim', 'score', '{"store": 2}');
SELECT grantee, keys FROM many_models.model_set_grants WHERE model_set OPERATOR(pg_catalog.=) 'attackers';
SELECT many_models.alter_model_set_owner('attackers', 'mm_team'), many_models.alter_model_set_owner('attackers', 'mm_attacker');
SELECT many_models.drop_models('attackers');
-- The victim, with the attacker's schema in the path.
SET ROLE mm_victim;
SELECT count(*) FROM many_models.models;
SELECT many_models.grant_model_set('secret', 'mm_team', 'read', '{"store": 1}'), many_models.grant_model_set('secret', 'mm_team', 'read', '{"store": 2}');
SELECT many_models.revoke_model_set('secret', 'mm_team', 'all');
SELECT groups FROM many_models.score_many_models('demand', 'shop.sold', 'shop.scored', options => '{"row_security": true}');
SELECT rows_read FROM many_models.train_many_models('secret');
SELECT many_models.predict('demand', '{"store": 1, "product": "P1"}', '{"price": 2}') IS NOT NULL AS predicts;
RESET ROLE;
RESET search_path;
SET search_path = shop, public;
SELECT * FROM public.ran;
-- Schemas whose names look like ours.
SET ROLE mm_attacker;
SELECT error_of('CREATE SCHEMA many_models');
SELECT error_of('CREATE TABLE many_models.runs_r1 (run_id bigint)');
SELECT error_of('CREATE POLICY p ON many_models.models USING (true)');
SELECT error_of('CREATE POLICY p ON many_models.model_store USING (true)');
SELECT error_of('ALTER POLICY of_grantee ON many_models.grant_store USING (true)');
SELECT error_of('DROP POLICY many_models_grants ON demand_predictions');
SELECT error_of('ALTER TABLE demand_predictions DISABLE ROW LEVEL SECURITY');
SELECT error_of('ALTER VIEW many_models.models SET (security_invoker = false)');
SELECT error_of('CREATE RULE r AS ON INSERT TO many_models.grant_store DO ALSO SELECT 1');

-- 5. Types of his as partition columns of a set that he lets the victim use: input functions, casts, domains.
CREATE TYPE evil.mood AS ENUM ('sad', 'glad');
CREATE FUNCTION evil.never(t text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.note('domain'); RETURN true; END $$;
CREATE FUNCTION evil.mood_of(text) RETURNS evil.mood LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.note('cast'); RETURN 'sad'; END $$;
CREATE CAST (text AS evil.mood) WITH FUNCTION evil.mood_of(text) AS IMPLICIT;
CREATE DOMAIN evil.code AS text CHECK (evil.never(VALUE));
CREATE TYPE evil.pair AS (a int, b evil.code);
CREATE TYPE evil.codes AS RANGE (SUBTYPE = evil.code);
SELECT type, error_of(format($q$SELECT many_models.train_many_models('bad', %L, '{k}', 'y', '{x}')$q$,
    format('SELECT %L::evil.%s AS k, i %% 7 AS x, i %% 11 AS y FROM generate_series(1, 60) AS i', value, type)))
FROM (VALUES (1, 'pair', '(1,a)'), (2, 'pair[]', '{"(1,a)"}'), (3, 'code[]', '{a}'), (4, 'codes', '[a,b)'), (5, 'codes[]', '{"[a,b)"}')) AS t (n, type, value) ORDER BY n;
SELECT trained FROM many_models.train_many_models('types', $$SELECT (ARRAY['sad', 'glad']::evil.mood[])[1 + i % 2] AS mood, ('c' || i % 2)::evil.code AS code, ARRAY['sad']::evil.mood[] AS moods, i % 7 AS x, i % 11 AS y
    FROM generate_series(1, 200) AS i$$, '{mood,code,moods}', 'y', '{x}');
SELECT many_models.grant_model_set('types', 'mm_victim', 'all');
SET ROLE mm_victim;
SELECT many_models.predict('types', '{"mood": "sad", "code": "c0", "moods": "{sad}"}', '{"x": 1}') IS NOT NULL AS predicts;
SELECT rows_read, failed FROM many_models.score_many_models('types', $$SELECT e::evil.mood AS mood, 'c0'::text AS code, '{sad}'::evil.mood[] AS moods, 1 AS x FROM unnest(enum_range(NULL::evil.mood)) AS e$$, 'shop.types_scored');
-- Too many models for the memory budget: by a join.
SET ROLE mm_attacker;
SELECT trained FROM many_models.train_many_models('many types', $$SELECT (ARRAY['sad', 'glad']::evil.mood[])[1 + i % 2] AS mood, ('c' || i % 5000)::evil.code AS code, i % 7 AS x, i % 11 AS y
    FROM generate_series(1, 40000) AS i$$, '{mood,code}', 'y', '{x}', workers => 1);
SELECT many_models.grant_model_set('many types', 'mm_victim', 'all');
SET ROLE mm_victim;
SET many_models.memory_budget = '1MB';
SELECT groups, rows_read, failed FROM many_models.score_many_models('many types', $$SELECT e::evil.mood AS mood, 'c1'::text AS code, 1 AS x FROM unnest(enum_range(NULL::evil.mood)) AS e$$, 'shop.types_joined');
RESET many_models.memory_budget;
-- Training it is another matter: the source is what the attacker wrote. It can change nothing.
SELECT error_of($$SELECT many_models.train_many_models('types')$$);
-- A set of the victim's over a type of the attacker's: the view that is made for him reads the keys without the cast.
SELECT trained FROM many_models.train_many_models('victims', $$SELECT (ARRAY['sad', 'glad']::evil.mood[])[1 + i % 2] AS mood, i % 7 AS x, i % 11 AS y FROM generate_series(1, 200) AS i$$, '{mood}', 'y', '{x}');
SELECT mood, n_rows FROM victims_models ORDER BY 1;
SELECT many_models.drop_models('victims');
RESET ROLE;
SELECT * FROM public.ran;

-- 6. Views of his as a source: the functions in them run as whoever scores or trains, and can change nothing.
SET ROLE mm_attacker;
CREATE FUNCTION evil.act() RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    IF current_user = 'mm_attacker' THEN RETURN 0; END IF;
    EXECUTE current_setting('evil.act');
    RETURN 0;
END $$;
CREATE VIEW evil.trap AS SELECT store, product, price + evil.act() AS price, units FROM shop.sold;
GRANT SELECT ON evil.trap TO mm_victim;
SET ROLE mm_victim;
SET evil.act = 'SELECT 1';
SELECT trained FROM many_models.train_many_models('trap', 'evil.trap', '{store}', 'units', '{price}');
CREATE FUNCTION shop.trapped(act text) RETURNS TABLE (trains text, scores text, refreshes text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('evil.act', act, true);
    trains := substr(error_of($q$SELECT many_models.train_many_models('trapped', 'evil.trap', '{store}', 'units', '{price}', workers => 1)$q$), 1, 90);
    scores := substr(error_of($q$SELECT many_models.score_many_models('demand', 'evil.trap', 'shop.trapped')$q$), 1, 90);
    refreshes := substr(error_of($q$SELECT many_models.refresh_many_models('trap')$q$), 1, 90);
    RETURN NEXT;
END $$;
SELECT t.* FROM (VALUES
    (1, $$INSERT INTO public.ran VALUES (current_user, 'insert')$$),
    (2, $$GRANT mm_victim TO mm_attacker$$),
    (3, $$GRANT SELECT ON demand_models TO PUBLIC$$),
    (4, $$CREATE TABLE shop.planted (a int)$$),
    (5, $$SELECT many_models.grant_model_set('secret', 'mm_attacker', 'all')$$),
    (6, $$SELECT many_models.drop_models('secret')$$),
    (7, $$SELECT many_models.alter_model_set_owner('secret', 'mm_team')$$),
    (8, $$SELECT set_config('transaction_read_only', 'off', false)$$),
    (9, $$RESET ROLE$$),
    (10, $$SELECT set_config('role', 'mm_team', true)$$),
    (11, $$SET SESSION AUTHORIZATION DEFAULT$$),
    (12, $$SELECT set_config('session_authorization', 'postgres', false)$$),
    (13, $$SELECT set_config('session_replication_role', 'replica', false)$$),
    (14, $$SELECT nextval('many_models.run_id_seq')$$),
    (15, $$CREATE TEMP TABLE model_store (a int)$$),
    (16, $$DECLARE c CURSOR WITH HOLD FOR SELECT 1$$),
    (17, $$LISTEN many_models$$)) AS a (n, act), shop.trapped(act) AS t ORDER BY n;
-- Functions that claim to be immutable run when the query is planned, constants when it is parsed.
SET ROLE mm_attacker;
CREATE FUNCTION evil.write() RETURNS int LANGUAGE plpgsql VOLATILE AS $$ BEGIN INSERT INTO public.ran VALUES (current_user, 'write'); RETURN 0; END $$;
CREATE FUNCTION evil.claims() RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN IF current_user = 'mm_attacker' THEN RETURN 0; END IF; RETURN evil.write(); END $$;
CREATE FUNCTION evil.planted(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN evil.claims() = 0; END $$;
CREATE DOMAIN evil.planted AS text CHECK (evil.planted(VALUE));
CREATE VIEW evil.planned AS SELECT id, store, product, price + evil.claims() AS price, units FROM shop.sold;
GRANT SELECT ON evil.planned TO mm_victim;
SET ROLE mm_victim;
SELECT error_of($$SELECT many_models.train_many_models('planned', 'evil.planned', '{store}', 'units', '{price}')$$);
SELECT error_of($$SELECT many_models.score_many_models('demand', 'evil.planned', 'shop.trapped')$$);
SELECT error_of($$SELECT many_models.train_many_models('planned', 'SELECT *, ''{a}''::evil.planted[] AS a FROM shop.sold', '{store}', 'units', '{price}')$$);
SELECT error_of($$SELECT many_models.score_many_models('demand', 'SELECT *, ''{a}''::evil.planted[] AS a FROM shop.sold', 'shop.trapped')$$);
SELECT error_of($$SELECT many_models.start_training('planned', 'SELECT *, ''{a}''::evil.planted[] AS a FROM shop.sold', '{store}', 'units', '{price}')$$);
SELECT error_of($$SELECT many_models.start_scoring('demand', 'SELECT *, ''{a}''::evil.planted[] AS a FROM shop.sold', 'shop.trapped')$$);
-- Settings that a source may change: for its own rows only.
SET DateStyle = 'ISO, MDY';
SELECT t.* FROM (VALUES
    (1, $$SELECT set_config('search_path', 'evil, pg_catalog', false)$$),
    (2, $$SELECT set_config('search_path', '', true)$$),
    (3, $$SET DateStyle = 'German, DMY'$$),
    (4, $$SELECT set_config('many_models.memory_budget', '1MB', false)$$),
    (5, $$SELECT set_config('row_security', 'off', false)$$)) AS a (n, act), shop.trapped(act) AS t ORDER BY n;
SELECT current_setting('search_path') AS search_path, current_setting('DateStyle') AS datestyle, current_setting('many_models.memory_budget') AS budget, current_setting('row_security') AS row_security, current_user;
RESET DateStyle;
-- A scoring of the attacker's names a table of his: an evaluation does not take it for the set's predictions.
SELECT rows_read FROM many_models.score_many_models('demand', 'shop.sold', id_columns => '{id}', options => '{"on_existing": "replace"}');
SET ROLE mm_attacker;
SELECT rows_read FROM many_models.score_many_models('demand', 'shop.sold', 'evil.mine', '{id}');
DROP TABLE evil.mine;
CREATE VIEW evil.mine AS SELECT store, product, id, prediction + evil.act() AS prediction, lower, upper, model_id, model_version, model_level, fallback_reason, run_id, scored_at FROM shop.demand_predictions;
GRANT SELECT ON evil.mine TO mm_victim;
SET ROLE mm_victim;
SET evil.act = 'INSERT INTO public.ran VALUES (current_user, ''evaluate'')';
SELECT predictions FROM many_models.evaluate_many_models('demand', 'shop.sold', period => NULL);
SELECT into_table FROM many_models.runs WHERE kind = 'evaluate' ORDER BY run_id DESC LIMIT 1;
SELECT error_of($$SELECT many_models.evaluate_many_models('demand', 'shop.sold', 'evil.mine', period => NULL)$$);
SELECT error_of($$SELECT many_models.evaluate_many_models('demand', 'evil.planned', 'SELECT * FROM shop.demand_predictions', period => NULL, options => '{"features": true}')$$);
SELECT error_of($$SELECT many_models.plan_training('planned', 'evil.planned', '{store}', 'units', '{price}')$$);
SELECT error_of(format('SELECT many_models.evaluate_many_models(%L, %L, period => NULL, run_id => %s)', 'demand', 'shop.sold', max(run_id))) ~ '^42704: model set "demand" has no scoring run' AS refused
FROM many_models.runs WHERE run_by = 'mm_attacker'::regrole AND kind = 'score';
SELECT model_set, owner FROM many_models.model_sets WHERE model_set IN ('trap', 'trapped', 'secret') ORDER BY 1;
SELECT count(many_models.drop_models(s)) FROM unnest('{trapped,trap}'::text[]) AS s;
RESET ROLE;
SELECT grantee, privilege FROM many_models.model_set_grants WHERE model_set = 'secret';
SELECT * FROM public.ran;

-- 7. A predictions table of a role that both are members of: what he plants there does not run as the victim.
SET ROLE mm_team;
SELECT many_models.has_model_set_privilege('demand', 'score') AS team_scores;
SET ROLE mm_victim;
SELECT rows_read FROM many_models.score_many_models('demand', into_table => 'shop.ours');
RESET ROLE;
DO $$
DECLARE
    part regclass;
BEGIN
    FOR part IN SELECT i.inhrelid FROM pg_inherits AS i WHERE i.inhparent = 'shop.ours'::regclass LOOP EXECUTE format('ALTER TABLE %s OWNER TO mm_team', part); END LOOP;
    ALTER TABLE shop.ours OWNER TO mm_team;
END
$$;
SET ROLE mm_attacker;
CREATE FUNCTION evil.fire() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.note('trigger'); RETURN NEW; END $$;
CREATE FUNCTION evil.index_me(double precision) RETURNS double precision IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.note('index'); RETURN $1; END $$;
CREATE FUNCTION evil.fill() RETURNS double precision LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.note('default'); RETURN 0; END $$;
CREATE TRIGGER before_row BEFORE INSERT ON shop.ours FOR EACH ROW EXECUTE FUNCTION evil.fire();
CREATE TRIGGER after_row AFTER INSERT ON shop.ours FOR EACH ROW EXECUTE FUNCTION evil.fire();
CREATE TRIGGER before_all BEFORE INSERT ON shop.ours FOR EACH STATEMENT EXECUTE FUNCTION evil.fire();
CREATE RULE rewritten AS ON INSERT TO shop.ours DO ALSO SELECT evil.note('rule');
ALTER TABLE shop.ours ALTER prediction SET DEFAULT evil.fill();
ALTER TABLE shop.ours ENABLE ROW LEVEL SECURITY;
CREATE POLICY planted ON shop.ours USING (evil.note('policy') IS NULL) WITH CHECK (evil.note('policy') IS NULL);
SET ROLE mm_victim;
SELECT rows_read FROM many_models.score_many_models('demand', into_table => 'shop.ours');
SELECT rows_read FROM many_models.score_many_models('demand', into_table => 'shop.ours', options => '{"on_existing": "replace", "row_security": true}');
-- Expressions of indexes, made before a run and after it, are computed as the table's owner: partitions are his too.
SET ROLE mm_attacker;
CREATE INDEX planted ON shop.ours (evil.index_me(prediction)) WHERE evil.index_me(prediction) > 0;
SET ROLE mm_victim;
SELECT rows_read FROM many_models.score_many_models('demand', into_table => 'shop.ours');
SET ROLE mm_attacker;
CREATE INDEX planted_later ON shop.ours (evil.index_me(lower));
RESET ROLE;
SELECT c.relowner::regrole, count(*) FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid WHERE i.inhparent = 'shop.ours'::regclass GROUP BY 1;
-- A bulk load does not look at constraints, and so refuses them.
SET ROLE mm_attacker;
ALTER TABLE shop.ours ADD CHECK (evil.index_me(prediction) >= 0);
SET ROLE mm_victim;
SELECT error_of($$SELECT many_models.score_many_models('demand', into_table => 'shop.ours')$$);
RESET ROLE;
-- A table that waits under the name that the victim will use, or for a superuser.
SET ROLE mm_attacker;
SELECT groups FROM many_models.score_many_models('demand', 'shop.sold', 'shop.secret_predictions');
CREATE TRIGGER before_row BEFORE INSERT ON shop.secret_predictions FOR EACH ROW EXECUTE FUNCTION evil.fire();
CREATE INDEX waiting ON shop.secret_predictions (evil.index_me(prediction));
SET ROLE mm_victim;
SELECT error_of($$SELECT many_models.score_many_models('secret', 'shop.sold', id_columns => '{product}')$$);
RESET ROLE;
SELECT rows_read FROM many_models.score_many_models('demand', 'shop.sold', 'shop.secret_predictions');
SELECT c.relowner::regrole, count(*) FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid WHERE i.inhparent = 'shop.secret_predictions'::regclass GROUP BY 1;
SELECT * FROM public.ran;

-- 8. Names and keys with SQL in them are names and keys.
CREATE ROLE "mm ""; DROP TABLE ran; --";
SET ROLE mm_victim;
SELECT trained FROM many_models.train_many_models('''); DROP TABLE ran; --', $$SELECT 'k''; DROP TABLE ran; --' || i % 2 AS "g'""; DROP TABLE ran; --", i % 5 AS x, i % 7 AS y FROM generate_series(1, 60) AS i$$,
    ARRAY['g''"; DROP TABLE ran; --'], 'y', '{x}');
SELECT many_models.grant_model_set('''); DROP TABLE ran; --', '"mm ""; DROP TABLE ran; --"', 'score', jsonb_build_object('g''"; DROP TABLE ran; --', 'k''; DROP TABLE ran; --1'));
SELECT rows_read FROM many_models.score_many_models('''); DROP TABLE ran; --', into_table => 'shop."p''""; DROP TABLE ran; --"', options => '{"row_security": true}');
GRANT SELECT ON shop."p'""; DROP TABLE ran; --" TO PUBLIC;
GRANT USAGE ON SCHEMA shop TO "mm ""; DROP TABLE ran; --";
SET ROLE "mm ""; DROP TABLE ran; --";
SELECT model_set, grantee, keys FROM many_models.model_set_grants;
SELECT DISTINCT partition_key FROM many_models.models;
SELECT "g'""; DROP TABLE ran; --", count(*) FROM shop."p'""; DROP TABLE ran; --" GROUP BY 1;
SELECT many_models.predict('''); DROP TABLE ran; --', partition_key, '{"x": 1}') IS NOT NULL AS predicts FROM many_models.models;
SELECT error_of($$SELECT many_models.train_many_models('''); DROP TABLE ran; --')$$);
SET ROLE mm_victim;
SELECT error_of($$SELECT many_models.grant_model_set('secret', 'mm_victim; DROP TABLE ran', 'read')$$);
SELECT error_of($$SELECT many_models.grant_model_set('secret', 'mm_team', 'read; DROP TABLE ran')$$);
SELECT many_models.drop_models('''); DROP TABLE ran; --');
RESET ROLE;

-- 9. A set that he gives away, or that is stored for another to run, is not taken.
SET ROLE mm_attacker;
SELECT left(error_of($$SELECT many_models.alter_model_set_owner('types', 'mm_victim')$$), 5) AS error;
SET ROLE mm_victim;
SELECT many_models.grant_model_set('secret', 'mm_attacker', 'train');
SET ROLE mm_attacker;
SELECT error_of($$SELECT many_models.train_many_models('secret', 'SELECT *, evil.act() FROM shop.sold')$$);
SELECT version FROM many_models.train_many_models('secret');
SET ROLE mm_victim;
SELECT source FROM many_models.model_sets WHERE model_set = 'secret';
RESET ROLE;
SELECT * FROM public.ran;

-- 10. The run's token shows nowhere. Who had it all the same, here from the run's shared memory, which only a superuser reads, and gives the sink what the
-- run does not expect, numbers where texts are, has no memory read.
CREATE FUNCTION evil.token() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    handle bigint;
    head bytea;
    token bigint;
BEGIN
    FOR handle IN SELECT substring(f, '^PostgreSQL\.([0-9]+)$')::bigint FROM pg_ls_dir('/dev/shm') AS f WHERE f ~ '^PostgreSQL\.[0-9]+$' LOOP
        BEGIN
            head := pg_read_binary_file('/dev/shm/PostgreSQL.' || handle, 0, 28);
            token := ('x' || (SELECT string_agg(lpad(to_hex(get_byte(head, 15 - i)), 2, '0'), '' ORDER BY i) FROM generate_series(0, 7) AS i))::bit(64)::bigint;
            IF substring(head, 1, 4) = 'SRMM' AND token & 4294967295 = handle AND get_byte(head, 24) + (get_byte(head, 25) << 8) + (get_byte(head, 26) << 16) = pg_backend_pid() THEN
                RETURN token;
            END IF;
        EXCEPTION WHEN OTHERS THEN  -- of another server
        END;
    END LOOP;
    RAISE EXCEPTION 'no token';
END $$;
SET ROLE mm_attacker;
CREATE FUNCTION evil.feed(arguments text) RETURNS boolean AS $$
DECLARE
    context text;
BEGIN
    GET DIAGNOSTICS context = PG_CONTEXT;
    IF context ~ 'train_sink\(-?[0-9]' THEN
        RAISE EXCEPTION 'learned';
    END IF;
    EXECUTE format('SELECT many_models.train_sink(%s::bigint, %s)', evil.token(), arguments);
    RAISE EXCEPTION 'taken';
EXCEPTION WHEN others THEN
    RAISE EXCEPTION USING ERRCODE = sqlstate, MESSAGE = sqlerrm;
END $$ LANGUAGE plpgsql;
CREATE FUNCTION evil.learn() RETURNS boolean AS $$
DECLARE
    context text;
BEGIN
    GET DIAGNOSTICS context = PG_CONTEXT;
    RAISE EXCEPTION '%', substring(context FROM 'SELECT many_models\.[^)]*\)');
END $$ LANGUAGE plpgsql;
CREATE TABLE evil.texts AS SELECT chr(65 + i % 2) AS k, i::float8 AS x, i * 2::float8 AS y FROM generate_series(1, 20) AS i;
SELECT error_of($$SELECT many_models.train_many_models('fed', 'SELECT * FROM evil.texts WHERE evil.learn()', '{k}', 'y', '{x}')$$);
SELECT error_of($$SELECT many_models.train_many_models('fed', 'SELECT * FROM evil.texts WHERE x > $1', '{k}', 'y', '{x}')$$);
SELECT a, error_of(format('SELECT many_models.train_many_models(''fed'', %L, ''{k}'', ''y'', ''{x}'')', format('SELECT * FROM evil.texts WHERE evil.feed(%L)', a)))
FROM unnest(ARRAY['94000000000000::int8, 2::float8, 3::float8', '''A''::text, ''text''::text, 3::float8', '''A''::text, 2::float8', 'ROW(''A''::text, 2::float8, 3::float8)']) AS a;
RESET ROLE;

SET client_min_messages = error;
DO $$ BEGIN PERFORM many_models.drop_models(model_set) FROM many_models.model_sets WHERE model_set IN ('demand', 'secret', 'types', 'many types'); END $$;
DISCARD TEMP;
DROP SCHEMA evil, shop CASCADE;
DROP TABLE public.ran;
DROP OWNED BY mm_victim, mm_attacker, mm_team, "mm ""; DROP TABLE ran; --";
DROP ROLE mm_victim, mm_attacker, mm_team, "mm ""; DROP TABLE ran; --";
