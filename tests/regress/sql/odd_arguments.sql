-- Every function that users can call, with NULLs, empty and absurd values: an error that means
-- something, never an internal one (class XX), and never the end of the session.
SET client_min_messages = error;
CREATE TABLE odd_sales AS SELECT i % 3 AS store, i % 7 AS price, 10.0 - i % 7 + i % 4 AS units FROM generate_series(1, 60) AS i;
SELECT trained FROM many_models.train_many_models('peculiar', 'odd_sales', '{store}', 'units', '{price}');
SELECT rows_read FROM many_models.score_many_models('peculiar', 'odd_sales', id_columns => '{}');

CREATE TABLE odd_values (type regtype, value text);
INSERT INTO odd_values VALUES
    ('text', 'NULL'), ('text', ''''''), ('text', '''peculiar'''), ('text', '''no such thing'''), ('text', '''SELECT 1'''), ('text', '''odd_sales'''),
    ('text', 'repeat(''x'', 1000)'), ('text', '''"; DROP TABLE odd_sales; --'''),
    ('text[]', 'NULL'), ('text[]', '''{}'''), ('text[]', '''{NULL}'''), ('text[]', '''{store}'''), ('text[]', '''{price,price}'''), ('text[]', '''{{a,b},{c,d}}'''),
    ('jsonb', 'NULL'), ('jsonb', '''{}'''), ('jsonb', '''[]'''), ('jsonb', '''null'''), ('jsonb', '''1e400'''), ('jsonb', '''{"store": 1}'''),
    ('jsonb', '''{"store": {"a": [1]}, "price": "x"}'''), ('jsonb', '''[[[[]]]]'''), ('jsonb', '''{"price": 1}'''),
    ('jsonb[]', 'NULL'), ('jsonb[]', '''{}'''), ('jsonb[]', 'ARRAY[NULL]::jsonb[]'), ('jsonb[]', 'ARRAY[''{"store": 1}'']::jsonb[]'),
    ('integer', 'NULL'), ('integer', '-1'), ('integer', '0'), ('integer', '1'), ('integer', '2147483647'), ('integer', '-2147483648'),
    ('bigint', 'NULL'), ('bigint', '-1'), ('bigint', '0'), ('bigint', '1'), ('bigint', '9223372036854775807'),
    ('bigint[]', 'NULL'), ('bigint[]', '''{}'''), ('bigint[]', '''{NULL,1,-5,4294967295,99999999999}'''),
    ('double precision', 'NULL'), ('double precision', '''NaN'''), ('double precision', '''-Infinity'''), ('double precision', '0.5'), ('double precision', '1e308'),
    ('double precision[]', 'NULL'), ('double precision[]', '''{}'''), ('double precision[]', '''{NULL}'''), ('double precision[]', '''{1}'''), ('double precision[]', '''{{1,2},{3,NaN}}'''),
    ('boolean', 'NULL'), ('boolean', 'true'), ('boolean', 'false'),
    ('interval', 'NULL'), ('interval', '''0'''), ('interval', '''-1 day'''), ('interval', '''1 month'''),
    ('timestamptz', 'NULL'), ('timestamptz', '''infinity'''), ('timestamptz', '''2020-01-01'''),
    ('date', 'NULL'), ('date', '''-infinity'''), ('date', '''2020-01-01'''),
    ('regrole', 'NULL'), ('regrole', '0'), ('regclass', 'NULL'), ('regclass', '0'), ('oid', '0'), ('bytea', '''\x00'''), ('bytea', 'NULL'),
    ('record', 'NULL'), ('record', 'ROW()'), ('record', 'ROW(1, NULL)'),
    ('many_models.model', 'NULL'), ('many_models.model', '(SELECT model FROM many_models.model_store LIMIT 1)');

-- Random combinations, the same in every run; each in a subtransaction that is undone.
CREATE FUNCTION odd_calls(calls_per_function integer) RETURNS TABLE (what text, n bigint) LANGUAGE plpgsql AS $$
DECLARE
    f record;
    arguments text;
    call text;
    code text;
    message text;
BEGIN
    CREATE TEMP TABLE odd_results (function text, code text, message text) ON COMMIT DROP;
    PERFORM setseed(0.25);
    FOR f IN
        SELECT p.oid, p.proname, p.proargtypes::regtype[] AS types, p.pronargs, p.proretset, p.provariadic
        FROM pg_proc AS p
        WHERE p.pronamespace = 'many_models'::regnamespace AND p.prokind = 'f'
            AND NOT p.proargtypes::oid[] && ARRAY['internal'::regtype::oid, 'cstring'::regtype::oid]
            AND p.prorettype <> 'trigger'::regtype
        ORDER BY p.proname COLLATE "C", p.oid::regprocedure::text COLLATE "C"
    LOOP
        FOR i IN 1 .. calls_per_function LOOP
            SELECT string_agg(coalesce(
                       (SELECT format('%s::%s', v.value, v.type) FROM odd_values AS v WHERE v.type = t.type ORDER BY random() LIMIT 1),
                       (SELECT v.value FROM odd_values AS v ORDER BY random() LIMIT 1)), ', ' ORDER BY t.ordinality)
            INTO arguments
            FROM unnest(f.types) WITH ORDINALITY AS t (type, ordinality);
            call := format('SELECT count(*) FROM many_models.%I(%s) AS r', f.proname, arguments);
            BEGIN
                SET LOCAL statement_timeout = '5s';
                EXECUTE call;
                RAISE EXCEPTION USING ERRCODE = 'ZZ001';  -- undoes what it did
            EXCEPTION WHEN OTHERS OR query_canceled OR assert_failure THEN
                GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
                INSERT INTO odd_results VALUES (f.proname, code, message || ' <- ' || call);
            END;
        END LOOP;
    END LOOP;
    RETURN QUERY SELECT 'internal error: ' || r.function || ': ' || r.message, count(*)
        FROM odd_results AS r WHERE r.code LIKE 'XX%' OR r.code = '57014' GROUP BY 1 ORDER BY 1;
    RETURN QUERY SELECT 'more than 20 functions called', (count(DISTINCT r.function) > 20)::int::bigint FROM odd_results AS r;
    RETURN QUERY SELECT 'some calls succeed', (count(*) FILTER (WHERE r.code = 'ZZ001') > 100)::int::bigint FROM odd_results AS r;
END
$$;
SELECT * FROM odd_calls(40);
SELECT many_models.drop_models('peculiar') > 0 AS dropped;
DROP TABLE odd_sales, odd_values, peculiar_predictions;
DROP FUNCTION odd_calls;
