-- Who may do and see what.
SET client_min_messages = warning;
CREATE ROLE mm_alice;
CREATE ROLE mm_member IN ROLE mm_alice;
CREATE ROLE mm_bob;
CREATE ROLE mm_nobody;
SELECT many_models.grant_usage('mm_alice');
SELECT many_models.grant_usage('mm_bob');
CREATE SCHEMA work AUTHORIZATION mm_alice;
GRANT ALL ON SCHEMA work TO mm_member, mm_bob, mm_nobody;
SET search_path = work, public;
CREATE TABLE sold AS SELECT i % 3 AS shop, i % 7 AS price, i % 5 AS secret, 5 * (i % 7) + i % 4 AS units,
    (ARRAY['mm_alice', 'mm_bob'])[1 + i % 2] AS who FROM generate_series(1, 120) AS i;
GRANT SELECT (shop, price, units, who) ON sold TO mm_alice, mm_bob;

-- What anyone may execute, and what changes something: the second list is what grant_usage grants.
SELECT p.proname FROM pg_proc AS p WHERE p.pronamespace = 'many_models'::regnamespace
AND p.provolatile = 'v' AND has_function_privilege('mm_nobody', p.oid, 'EXECUTE') ORDER BY 1;
SELECT p.proname, has_function_privilege('mm_alice', p.oid, 'EXECUTE') AS granted FROM pg_proc AS p
WHERE p.pronamespace = 'many_models'::regnamespace AND NOT has_function_privilege('mm_nobody', p.oid, 'EXECUTE') ORDER BY 1;
SELECT count(*) AS definers FROM pg_proc WHERE pronamespace = 'many_models'::regnamespace AND prosecdef;
SELECT c.relname, string_agg(a.privilege_type, ', ' ORDER BY a.privilege_type) AS of_anyone FROM pg_class AS c, aclexplode(c.relacl) AS a
WHERE c.relnamespace = 'many_models'::regnamespace AND a.grantee = 0 GROUP BY 1 ORDER BY c.relname COLLATE "C";
SELECT has_schema_privilege('mm_nobody', 'many_models', 'CREATE') AS creates;
SELECT c.relname AS without_row_security FROM pg_class AS c
WHERE c.relnamespace = 'many_models'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relrowsecurity;

SET ROLE mm_nobody;
SELECT error_of($$SELECT many_models.train_many_models('n', 'SELECT 1 AS g, 2 AS x, 3 AS y', '{g}', 'y')$$);
SELECT error_of($$SELECT many_models.score_many_models('n')$$);
SELECT error_of($$SELECT many_models.drop_models('n')$$);
SELECT error_of($$SELECT many_models.grant_usage('mm_nobody')$$);
SELECT error_of($$SELECT many_models.grant_model_set('n', 'mm_nobody', 'read')$$);
SELECT error_of($$SELECT many_models.revoke_model_set('n', 'mm_nobody', 'read')$$);
SELECT error_of($$SELECT many_models.alter_model_set_owner('n', 'mm_nobody')$$);
SELECT error_of($$SELECT many_models.forget_dropped_roles()$$);
SELECT error_of($$SELECT many_models.train_sink(1, 2, 3.0, 4.0)$$);
SELECT error_of($$SELECT many_models.train_sink(x::bigint << 32, 2, 3.0, 4.0) FROM generate_series(-3, 3) AS x$$);
-- 0A000 from servers that take NULL for a value of type internal at first.
SELECT error_of($$SELECT many_models.sink_final(NULL), many_models.sink_serialize(NULL)$$) ~ '^(42883|0A000)' AS refused;
RESET ROLE;

-- The rights of the caller count for the source: columns, then rows.
SET ROLE mm_alice;
SELECT error_of($$SELECT many_models.train_many_models('sold', 'sold', '{shop}', 'units', '{price,secret}')$$);
SELECT error_of($$SELECT many_models.train_many_models('sold', 'SELECT * FROM sold', '{shop}', 'units', '{price,secret}')$$);
SELECT trained, rows_read FROM many_models.train_many_models('sold', 'SELECT shop, price, units FROM sold', '{shop}', 'units');
SELECT trained FROM many_models.train_many_models('columns', 'sold', '{shop}', 'units', '{price}');
RESET ROLE;
ALTER TABLE sold ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON sold USING (pg_has_role(current_user, who, 'USAGE'));
SET ROLE mm_alice;
SELECT version, trained, rows_read FROM many_models.train_many_models('sold', workers => 1);
SET ROLE mm_bob;
SELECT trained, rows_read FROM many_models.train_many_models('bob''s', 'SELECT shop, price, units FROM sold', '{shop}', 'units');
SET ROLE mm_nobody;
SELECT error_of($$SELECT * FROM sold$$);
RESET ROLE;

-- Sets of others: no version, no drop, no scoring, no glance.
SET ROLE mm_bob;
SELECT error_of($$SELECT many_models.train_many_models('sold')$$);
SELECT error_of($$SELECT many_models.train_many_models('sold', 'SELECT shop, price, units FROM sold', '{shop}', 'units')$$);
SELECT error_of($$SELECT many_models.drop_models('sold')$$);
SELECT error_of($$SELECT many_models.drop_models('sold', 1)$$);
SELECT error_of($$SELECT many_models.score_many_models('sold', 'SELECT shop, price FROM sold')$$);
SELECT error_of($$SELECT many_models.predict('sold', '{"shop": 1}', '{"price": 2}')$$);
RESET ROLE;
-- Failures for alice to see.
SET ROLE mm_alice;
SELECT trained, skipped FROM many_models.train_many_models('few', 'SELECT shop, price, units FROM sold', '{shop}', 'units', options => '{"min_rows": 1000}');
RESET ROLE;
CREATE FUNCTION public.visible() RETURNS TABLE (relation text, n bigint) LANGUAGE plpgsql AS $$
BEGIN
    FOREACH relation IN ARRAY ARRAY['model_sets', 'runs', 'model_store', 'failure_store', 'models', 'metrics', 'coefficients', 'fit_statistics', 'failures', 'grant_store', 'model_set_grants'] LOOP
        EXECUTE format('SELECT count(*) FROM many_models.%I', relation) INTO n;
        RETURN NEXT;
    END LOOP;
END
$$;
CREATE TEMP TABLE seen (role name, relation text, n bigint);
GRANT ALL ON seen TO PUBLIC;
SET ROLE mm_alice; INSERT INTO seen SELECT current_user, * FROM visible();
SET ROLE mm_member; INSERT INTO seen SELECT current_user, * FROM visible();
SET ROLE mm_bob; INSERT INTO seen SELECT current_user, * FROM visible();
SET ROLE mm_nobody; INSERT INTO seen SELECT current_user, * FROM visible();
RESET ROLE;
SELECT relation, max(n) FILTER (WHERE role = 'mm_alice') AS alice, max(n) FILTER (WHERE role = 'mm_member') AS member,
       max(n) FILTER (WHERE role = 'mm_bob') AS bob, max(n) FILTER (WHERE role = 'mm_nobody') AS nobody
FROM seen GROUP BY 1 ORDER BY 1;
-- The typed view has the rights of its reader.
GRANT SELECT ON sold_models TO mm_bob, mm_nobody;
SET ROLE mm_bob;
SELECT count(*) FROM sold_models;
RESET ROLE;
-- A member of the owner works with the set.
SET ROLE mm_member;
SELECT version, trained, rows_read FROM many_models.train_many_models('sold');
SELECT many_models.predict('sold', '{"shop": 1}', '{"price": 2}') IS NOT NULL AS predicts;
SELECT many_models.drop_models('columns');
RESET ROLE;
SELECT owner, latest_version FROM many_models.model_sets WHERE model_set = 'sold';

-- Nobody writes the registry by himself, nor reads partitions, shared or own.
SET ROLE mm_alice;
SELECT groups FROM many_models.train_many_models('large', 'SELECT i % 1001 AS g, i % 8 AS x, i % 10 AS y FROM generate_series(1, 8008) AS i', '{g}', 'y');
SELECT error_of(format(s, t)) FROM (VALUES (1, 'INSERT INTO many_models.%I DEFAULT VALUES'),
    (2, 'UPDATE many_models.%I SET run_id = 1'), (3, 'DELETE FROM many_models.%I'), (4, 'TRUNCATE many_models.%I'),
    (5, 'CREATE TRIGGER t AFTER INSERT ON many_models.%I EXECUTE FUNCTION suppress_redundant_updates_trigger()'),
    (6, 'ALTER TABLE many_models.%I DISABLE ROW LEVEL SECURITY')) AS s (n, s),
    (VALUES ('model_sets'), ('runs'), ('model_store'), ('failure_store'), ('grant_store')) AS t (t)
WHERE s <> 'UPDATE many_models.%I SET run_id = 1' OR t NOT IN ('model_sets', 'grant_store') ORDER BY n, t;
SELECT error_of($$UPDATE many_models.grant_store SET privilege = 'train'$$);
SELECT error_of($$SELECT nextval('many_models.run_id_seq')$$);
SELECT error_of($$SELECT setval('many_models.model_id_seq', 1)$$);
SELECT error_of($$SELECT * FROM many_models.model_store_shared$$);
SELECT error_of(format('SELECT * FROM many_models.%I', relname) ) ~ '^42501: permission denied for table (model|failure)_store_r' AS refused
FROM pg_class WHERE relnamespace = 'many_models'::regnamespace AND relname ~ '_store_r\d+$' ORDER BY relname;
SELECT error_of(format('DROP TABLE many_models.%I', relname) ) ~ '^42501: must be owner' AS refused
FROM pg_class WHERE relnamespace = 'many_models'::regnamespace AND relname ~ '_store_r\d+$' ORDER BY relname;
SELECT error_of($$CREATE FUNCTION many_models.evil() RETURNS int LANGUAGE sql AS 'SELECT 1'$$);
RESET ROLE;
-- Partitions of runs belong to the registry's owner and have row-level security too.
SELECT c.relowner = p.relowner AS same_owner, c.relrowsecurity, c.relacl IS NULL AS no_grants FROM pg_class AS c, pg_class AS p
WHERE c.relname ~ '_store_r\d+$' AND p.oid = 'many_models.runs'::regclass ORDER BY c.relname;

-- Code of a user's never runs with the rights of the registry's owner: operators, functions, types and
-- casts in a schema put first in the search_path, triggers, and names that try to break out.
CREATE TABLE public.ran (as_role name, what text);
GRANT INSERT, SELECT ON ran TO PUBLIC;
CREATE SCHEMA evil AUTHORIZATION mm_alice;
SET ROLE mm_alice;
CREATE FUNCTION evil.note(what text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF current_user <> 'mm_alice' THEN INSERT INTO public.ran VALUES (current_user, what); END IF;
EXCEPTION WHEN read_only_sql_transaction THEN RAISE EXCEPTION '% ran as %', what, current_user;
END $$;
CREATE FUNCTION evil.eq(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.note('text ='); RETURN texteq($1, $2); END $$;
CREATE FUNCTION evil.eq(bigint, bigint) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.note('bigint ='); RETURN int8eq($1, $2); END $$;
CREATE FUNCTION evil.eq(int, int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.note('int ='); RETURN int4eq($1, $2); END $$;
CREATE FUNCTION evil.eq(oid, oid) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.note('oid ='); RETURN oideq($1, $2); END $$;
CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.eq);
CREATE OPERATOR evil.= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = evil.eq);
CREATE OPERATOR evil.= (LEFTARG = int, RIGHTARG = int, FUNCTION = evil.eq);
CREATE OPERATOR evil.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = evil.eq);
CREATE FUNCTION evil.arrow(jsonb, text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.note('->>'); RETURN jsonb_object_field_text($1, $2); END $$;
CREATE OPERATOR evil.->> (LEFTARG = jsonb, RIGHTARG = text, FUNCTION = evil.arrow);
CREATE FUNCTION evil.nextval(regclass) RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.note('nextval'); RETURN pg_catalog.nextval($1); END $$;
CREATE FUNCTION evil.pg_has_role(oid, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.note('pg_has_role'); RETURN true; END $$;
CREATE FUNCTION evil.now() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.note('now'); RETURN pg_catalog.now(); END $$;
CREATE FUNCTION evil.never(t text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.note('domain'); RETURN true; END $$;
CREATE DOMAIN evil.text AS pg_catalog.text CHECK (evil.never(VALUE));
CREATE DOMAIN evil.key AS pg_catalog.text CHECK (evil.never(VALUE));
CREATE TYPE evil.mood AS ENUM ('sad', 'glad');
CREATE FUNCTION evil.mood_json(evil.mood) RETURNS json LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.note('cast to json'); RETURN '1'; END $$;
CREATE CAST (evil.mood AS json) WITH FUNCTION evil.mood_json(evil.mood);
CREATE TABLE evil.runs (run_id bigint, model_set pg_catalog.text);
CREATE TABLE evil.model_sets (model_set pg_catalog.text);
CREATE TABLE evil.t AS SELECT ('K' || i % 3)::evil.key AS k, (ARRAY['sad', 'glad'])[1 + i % 2]::evil.mood AS m, i % 7 AS x, i % 11 AS y FROM generate_series(1, 120) AS i;
SET search_path = evil, pg_catalog, work, public;
SELECT trained, failed, skipped FROM many_models.train_many_models('evil', 'evil.t', '{k,m}', 'y', '{x}');
SELECT trained FROM many_models.train_many_models('evil', workers => 2);
SELECT rows_read FROM many_models.score_many_models('evil', 'evil.t', 'evil.predictions');
SELECT rows_read FROM many_models.score_many_models('evil', 'evil.t', 'evil.predictions', options => '{"on_existing": "replace"}');
SELECT many_models.predict('evil', '{"k": "K1", "m": "sad"}', '{"x": 3}') IS NOT NULL AS predicts;
SELECT groups, trainable FROM many_models.plan_training('evil');
SELECT groups, predictions, evaluated FROM many_models.evaluate_many_models('evil', 'SELECT DISTINCT ON (k, m) * FROM evil.t', 'SELECT DISTINCT ON (k, m) * FROM evil.predictions',
                                                                            period => NULL, options => '{"features": true}');
SELECT count(*) FROM many_models.drift WHERE model_set = 'evil';
SELECT many_models.set_drift_threshold('evil', 3);
SELECT many_models.drop_models('evil', 1);
SELECT many_models.drop_models('evil');
RESET search_path;
SET search_path = work, public;
-- Names and values with quotes and semicolons are names and values.
CREATE TABLE "x""; DROP TABLE ran; --" AS SELECT i % 2 AS "g""; DROP TABLE ran; --", 'l''; DROP TABLE ran; --' || i % 2 AS "c'; DROP TABLE ran; --",
    i % 5 AS "y\""; DROP TABLE ran; --" FROM generate_series(1, 60) AS i;
SELECT trained FROM many_models.train_many_models('"; DROP TABLE ran; --', '"x""; DROP TABLE ran; --"', ARRAY['g"; DROP TABLE ran; --'],
    'y\"; DROP TABLE ran; --', ARRAY['c''; DROP TABLE ran; --'], tags => '{"''; DROP TABLE ran; --": "\"; DROP TABLE ran; --"}');
SELECT trained FROM many_models.train_many_models('''; DROP TABLE ran; --', 'SELECT * FROM "x""; DROP TABLE ran; --" -- ; DROP TABLE ran', ARRAY['g"; DROP TABLE ran; --', 'c''; DROP TABLE ran; --'],
    'y\"; DROP TABLE ran; --', ARRAY['f"'], options => '{}') AS never;
SELECT error_of($q$SELECT many_models.train_many_models('s', 'sold) AS s; DROP TABLE ran; --', '{g}', 'y')$q$);
SELECT error_of($q$SELECT many_models.train_many_models('s', 'SELECT 1) AS s; DROP TABLE ran; SELECT (1', '{g}', 'y')$q$);
SELECT error_of($q$SELECT many_models.train_many_models('s', 'SELECT 1 AS g, 2 AS x, 3 AS y; DROP TABLE ran', '{g}', 'y')$q$);
SELECT error_of($q$SELECT many_models.train_many_models('s', 'SELECT 1 AS g, 2 AS x, 3 AS y FROM sold', '{g}', 'y', options => '{"x'';\"": 1}')$q$);
SELECT rows_read FROM many_models.score_many_models('"; DROP TABLE ran; --', '"x""; DROP TABLE ran; --"', '"p""; DROP TABLE ran; --"');
SELECT count(*) FROM "p""; DROP TABLE ran; --";
SELECT term FROM many_models.coefficients WHERE model_set LIKE '"; DROP%' ORDER BY term LIMIT 2;
SELECT many_models.drop_models('"; DROP TABLE ran; --');
-- A function that the source calls runs as the caller, in a read-only transaction, without the registry's rights.
CREATE FUNCTION evil.peek() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.note('source'); RETURN (SELECT count(*) FROM many_models.model_sets WHERE owner <> 'mm_alice'::regrole); END $$;
SELECT trained FROM many_models.train_many_models('peek', 'SELECT shop, price, units + evil.peek() AS units FROM sold', '{shop}', 'units');
SELECT many_models.drop_models('peek');
RESET ROLE;
SELECT * FROM public.ran;

SET ROLE mm_alice;
SELECT many_models.drop_models(model_set) > 0 AS dropped FROM many_models.model_sets ORDER BY model_set;
SET ROLE mm_bob;
SELECT many_models.drop_models(model_set) > 0 AS dropped FROM many_models.model_sets ORDER BY model_set;
RESET ROLE;
SET client_min_messages = error;
DROP SCHEMA evil, work CASCADE;
DROP TABLE public.ran;
DROP FUNCTION public.visible();
DROP OWNED BY mm_alice, mm_member, mm_bob, mm_nobody;
DROP ROLE mm_alice, mm_member, mm_bob, mm_nobody;
