-- Models as SQL that scores in any database, against the predictions of score_many_models.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE SCHEMA test_model_sql;
SET search_path = test_model_sql, public;
SET TimeZone = 'America/New_York';
-- Alone in the registry: names and counts are those of this test.
SELECT count(many_models.drop_models(model_set)) >= 0 AS alone FROM many_models.model_sets;

CREATE TYPE size AS ENUM ('S', 'it''s L', 'M');
CREATE TABLE items AS
SELECT i AS id, CASE WHEN i % 3 > 0 THEN 'group ''' || i % 3 END AS "Group", i % 2 AS half,
       (i * 7 % 13)::float8 AS price, (i * 11 % 17)::int AS "Stück/Tag", 1e12::bigint + i * 37 % 101 AS big, (i * 3 % 7 / 10.0)::numeric AS "order",
       (i % 11 / 8.0)::real AS r, i % 5 = 0 AS promo, DATE '2023-11-20' + i * 13 % 900 AS day,
       TIMESTAMP '1969-12-30 23:59:59.25' + i * 17 % 97 * interval '11 hours 7 minutes 3.000001 seconds' AS ts,
       TIMESTAMPTZ '2024-03-09 18:30:00+00' + i * 19 % 89 * interval '1 hour 1 second' AS tstz,
       (ARRAY['red', 'it''s "blue"', 'gr\ün;--', ''])[1 + i * i % 4] AS colour, (ARRAY['S', 'it''s L', 'M']::size[])[1 + i % 3 * i % 3] AS size,
       (ARRAY['a', 'b ', 'cc'])[1 + i * 5 % 7 % 3]::char(4) AS padded,
       2000 + (i * 7 % 13) * 1.5 - (i * 11 % 17) * 0.5 + (i * 3 % 7) + 20 * (i % 5 = 0)::int + i * i % 4 * 3 + (i * 13 % 900) / 100.0 + i % 19 * 0.3 AS y
FROM generate_series(1, 600) AS i;
-- Rows to score: those, and rows with a NULL and with an unknown level.
CREATE TABLE rows AS SELECT * FROM items
UNION ALL SELECT id + 1000, "Group", half, CASE WHEN id % 9 <> 0 THEN price END, CASE WHEN id % 9 <> 1 THEN "Stück/Tag" END, big, CASE WHEN id % 9 <> 2 THEN "order" END, r,
    CASE WHEN id % 9 <> 3 THEN promo END, CASE WHEN id % 9 <> 4 THEN day END, CASE WHEN id % 9 <> 5 THEN ts END, tstz,
    CASE WHEN id % 9 <> 6 THEN colour END, CASE WHEN id % 9 <> 7 THEN size END, CASE WHEN id % 9 <> 8 THEN 'new' END, y FROM items WHERE id <= 100
UNION ALL SELECT 2000, 'no group', 0, 1, 1, 1, 1, 1, true, DATE '2024-02-29', TIMESTAMP '2000-02-29 12:00', TIMESTAMPTZ '2024-02-29 12:00+00', 'red', 'S', 'a', 1;
ALTER TABLE rows ADD PRIMARY KEY (id);

-- Evaluates the expression of each model on the rows of its group.
CREATE FUNCTION by_model(model_set text) RETURNS TABLE (id int, p float8) LANGUAGE plpgsql AS $$
DECLARE m record;
BEGIN
    FOR m IN SELECT s.model_id, s.partition_key FROM many_models.models AS s WHERE s.model_set = $1 LOOP
        RETURN QUERY EXECUTE format('SELECT s.id, %s FROM rows AS s WHERE %s', many_models.model_sql(m.model_id, 's'),
            (SELECT coalesce(string_agg(format('s.%I IS NOT DISTINCT FROM %L', k, v), ' AND '), 'true') FROM jsonb_each_text(m.partition_key) AS e (k, v)));
    END LOOP;
END $$;
CREATE FUNCTION by_set(model_set text) RETURNS TABLE (id int, p float8) LANGUAGE plpgsql AS $$
BEGIN RETURN QUERY EXECUTE 'SELECT q.id, q.prediction FROM (' || many_models.model_set_sql($1, source => 'rows') || ') AS q'; END $$;
-- Both against the predictions of scoring: the largest relative difference, and where one has none.
CREATE FUNCTION compare(model_set text) RETURNS TABLE (scored bigint, predicted bigint, by_model bigint, by_set bigint, close boolean) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE 'DROP TABLE IF EXISTS predictions';
    PERFORM many_models.score_many_models($1, 'rows', 'predictions', '{id}');
    RETURN QUERY EXECUTE format($q$SELECT count(*), count(s.prediction), count(m.p), count(a.p),
        bool_and(abs(m.p - s.prediction) <= 1e-12 * abs(s.prediction) AND abs(a.p - s.prediction) <= 1e-12 * abs(s.prediction))
            AND bool_and((m.p IS NULL) = (s.prediction IS NULL) AND (a.p IS NULL) = (s.prediction IS NULL))
        FROM predictions AS s LEFT JOIN by_model(%1$L) AS m USING (id) JOIN by_set(%1$L) AS a USING (id)$q$, $1);
END $$;

SELECT trained FROM many_models.train_many_models('numbers', 'items', '{Group}', 'y', '{price,Stück/Tag,big,order,r}');
SELECT * FROM compare('numbers');
SELECT trained FROM many_models.train_many_models('mixed', 'items', '{Group,half}', 'y', '{price,Stück/Tag,order,promo,colour,size,padded}');
SELECT * FROM compare('mixed');
SELECT trained FROM many_models.train_many_models('times', 'items', '{half}', 'y', '{day,ts,tstz,promo}');
SELECT * FROM compare('times');
SELECT trained FROM many_models.train_many_models('imputed', 'SELECT id, "Group", CASE WHEN id % 10 > 0 THEN price END AS price, CASE WHEN id % 10 <> 1 THEN promo END AS promo, CASE WHEN id % 10 <> 2 THEN colour END AS colour,
    CASE WHEN id % 10 <> 3 THEN size END AS size, CASE WHEN id % 10 <> 4 THEN day END AS day, CASE WHEN id % 10 <> 5 THEN padded END AS padded, y FROM items', '{Group}', 'y', '{price,promo,colour,size,day,padded}', options => '{"null_policy": "impute_mean"}');
SELECT * FROM compare('imputed');
SELECT trained FROM many_models.train_many_models('one', 'items', '{}', 'y', '{price,promo}', options => '{"fit_intercept": false}');
SELECT * FROM compare('one');
SELECT trained FROM many_models.train_many_models('lasso', 'items', '{half}', 'y', '{price,Stück/Tag,order,promo,colour}', 'lasso', options => '{"lambda": 1}');
SELECT * FROM compare('lasso');
SELECT trained FROM many_models.train_many_models('ridge', 'items', '{half}', 'y', '{price,day,colour,big}', 'ridge', options => '{"lambda": 0.5}');
SELECT * FROM compare('ridge');
-- A collinear column is dropped, and its NULL still is one; a level that is the only one.
SELECT trained FROM many_models.train_many_models('dropped', 'SELECT *, price * 2 AS twice, ''same''::text AS same FROM items', '{half}', 'y', '{price,twice,same}');
SELECT count(*) AS dropped FROM many_models.coefficients WHERE model_set = 'dropped' AND estimate IS NULL;
CREATE FUNCTION answer(query text) RETURNS float8 LANGUAGE plpgsql AS $$ DECLARE p float8; BEGIN EXECUTE query INTO p; RETURN p; END $$;
SELECT answer(format('SELECT %s FROM (SELECT %s) AS t (price, twice, same)', e, columns)) IS NOT NULL AS predicted, n FROM (SELECT many_models.model_sql(min(model_id)) AS e FROM many_models.models WHERE model_set = 'dropped') AS m,
LATERAL (VALUES (1, '1, 2, ''same''::text'), (2, 'NULL, 2, ''same'''), (3, '1, NULL, ''same'''), (4, '1, 2, ''other'''), (5, '1, 2, NULL')) AS v (n, columns) ORDER BY n;

-- Every day of 800 years, and times before and after 1970, become the numbers of the reference.
CREATE FUNCTION expression_of(model_set text) RETURNS text LANGUAGE sql AS $$ SELECT many_models.model_sql(min(model_id), 't') FROM many_models.models AS s WHERE s.model_set = $1 $$;
SELECT trained FROM many_models.train_many_models('day', 'SELECT DATE ''1970-01-01'' + i AS day, i AS y FROM generate_series(-200, 200) AS i', '{}', 'y', '{day}');
SELECT trained FROM many_models.train_many_models('tstz', 'SELECT to_timestamp(i) AS day, i AS y FROM generate_series(-200, 200) AS i', '{}', 'y', '{day}');
SELECT trained FROM many_models.train_many_models('ts', 'SELECT to_timestamp(i) AT TIME ZONE ''UTC'' AS day, i AS y FROM generate_series(-200, 200) AS i', '{}', 'y', '{day}');
CREATE FUNCTION farthest(model_set text, source text) RETURNS TABLE (times bigint, distance float8) LANGUAGE plpgsql AS $$
BEGIN RETURN QUERY EXECUTE format('SELECT count(*), max(abs(%s - n)) FROM (%s) AS t', expression_of($1), source); END $$;
SELECT times, distance < 1e-6 AS close FROM farthest('day', 'SELECT DATE ''1970-01-01'' + n AS day, n FROM generate_series(-146097, 146097) AS n');
SELECT times, distance < 1e-3 AS close FROM farthest('tstz', 'SELECT to_timestamp(n) AS day, n FROM generate_series(-5000000000.5, 5000000000, 76543210.25) AS n');
SELECT times, distance < 1e-3 AS close FROM farthest('ts', 'SELECT to_timestamp(n) AT TIME ZONE ''UTC'' AS day, n FROM generate_series(-5000000000.5, 5000000000, 76543210.25) AS n');

-- What it looks like; values of fit, with and without an alias.
CREATE TABLE exact AS SELECT i % 4 AS x, i % 3 AS "Big Z", i % 4 * 2.0 - i % 3 * 0.5 + 1 AS y FROM generate_series(1, 12) AS i;
SELECT many_models.model_sql(model, ARRAY['x', 'Big Z']), many_models.model_sql(model, ARRAY['a"b', 'select'], 'My t') FROM
    (SELECT ('\x' || encode(many_models.model_send(many_models.fit('{"algorithm": "ridge", "lambda": 0}', y, ARRAY[x, "Big Z"])), 'hex'))::many_models.model AS model FROM exact) AS m;
SELECT many_models.model_sql(many_models.fit('{}', 5, ARRAY[x]), '{x}') IS NULL AS of_an_error, many_models.model_sql(NULL::many_models.model, '{x}') IS NULL AS of_null, many_models.model_sql(NULL::bigint) IS NULL AS no_id FROM exact;
SELECT trained FROM many_models.train_many_models('shown', 'SELECT CASE half WHEN 0 THEN ''a''''b'' END AS half, 2 * (id / 2 % 2) + (id / 4 % 2) + 7 AS y, id / 2 % 2 = 0 AS even, (ARRAY[''red'', ''it''''s''])[1 + id / 4 % 2] AS colour FROM items WHERE id <= 64', '{half}', 'y', '{even,colour}', options => '{"holdout": {"rows": 0}}');
SELECT regexp_replace(many_models.model_sql(min(model_id)), '\d\.\d{16}E', 'dE', 'g') FROM many_models.models WHERE model_set = 'shown';
SELECT regexp_replace(many_models.model_set_sql('shown', 1, 'public."other table"'), '\d\.\d{16}E', 'dE', 'g');
SELECT split_part(many_models.model_set_sql('shown', source => 'SELECT * FROM t WHERE x = 1; -- all'), E'\nSELECT', 2);
SELECT (regexp_match(many_models.model_set_sql('numbers'), '\nFROM (.*?)\n'))[1] AS source;
-- Keys of other types.
SELECT trained FROM many_models.train_many_models('typed', 'SELECT *, i::smallint AS i2, i + 0.5 AS n, (ARRAY[float8 ''NaN'', 0.1])[1 + i] AS f, i = 0 AS b, DATE ''2025-01-01'' + i AS d, TIMESTAMP ''2025-01-01 12:00'' + i * interval ''1 s'' AS t,
    TIMESTAMPTZ ''2025-01-01 12:00+00'' + i * interval ''1 s'' AS tz, (ARRAY[''S'', ''M''])[1 + i]::size AS e, (''0000000'' || i || ''-0000-0000-0000-000000000000'')::uuid AS u, (''k'' || i)::char(5) AS c FROM (SELECT *, half AS i FROM items WHERE half = 1) AS s', '{i2,n,f,b,d,t,tz,e,u,c}', 'y', '{price}');
SELECT regexp_replace(split_part(many_models.model_set_sql('typed', source => 'typed'), E'\n', 2), '\d\.\d{16}E', 'dE', 'g');
CREATE VIEW typed AS SELECT *, i::smallint AS i2, i + 0.5 AS n, (ARRAY[float8 'NaN', 0.1])[1 + i] AS f, i = 0 AS b, DATE '2025-01-01' + i AS d, TIMESTAMP '2025-01-01 12:00' + i * interval '1 s' AS t,
    TIMESTAMPTZ '2025-01-01 12:00+00' + i * interval '1 s' AS tz, (ARRAY['S', 'M'])[1 + i]::size AS e, ('0000000' || i || '-0000-0000-0000-000000000000')::uuid AS u, ('k' || i)::char(5) AS c FROM (SELECT *, half AS i FROM items) AS s;
CREATE FUNCTION predicted(statement text) RETURNS TABLE (rows bigint, predicted bigint) LANGUAGE plpgsql AS $$ BEGIN RETURN QUERY EXECUTE format('SELECT count(*), count(prediction) FROM (%s) AS q', $1); END $$;
SELECT * FROM predicted(many_models.model_set_sql('typed', source => 'typed'));

-- Errors.
SELECT error_of($$SELECT many_models.model_sql(-1)$$);
SELECT error_of($$SELECT many_models.model_sql(model, NULL) FROM many_models.model_store LIMIT 1$$);
SELECT error_of($$SELECT many_models.model_sql(many_models.fit('{}', y, ARRAY[x]), '{x,z}') FROM exact$$);
SELECT error_of($$SELECT many_models.model_sql(many_models.fit('{}', y, ARRAY[x]), ARRAY['x', NULL]) FROM exact$$);
SELECT error_of($$SELECT many_models.model_expression(many_models.fit('{}', y, ARRAY[x]), '{x}', '{text}', NULL) FROM exact$$);
SELECT error_of($$SELECT many_models.model_expression(many_models.fit('{}', y, ARRAY[x]), '{x}', '{point}', NULL) FROM exact$$);
SELECT error_of($$SELECT many_models.model_expression(many_models.fit('{}', y, ARRAY[x]), '{x}', '{int,int}', NULL) FROM exact$$);
SELECT error_of($$SELECT many_models.model_set_sql('nothing')$$);
SELECT error_of($$SELECT many_models.model_set_sql(NULL)$$);
SELECT error_of($$SELECT many_models.model_set_sql('one', 0)$$);
SELECT error_of($$SELECT many_models.model_set_sql('one', 7)$$);
SELECT error_of($$SELECT many_models.model_set_sql('one', source => 'a b')$$);
SELECT error_of($$SELECT many_models.model_set_sql('one', source => 'SELECT 1; DROP TABLE items')$$);
SELECT trained FROM many_models.train_many_models('none', 'items', '{half}', 'y', '{price}', options => '{"min_rows": 10000}');
SELECT error_of($$SELECT many_models.model_set_sql('none')$$);

-- The definition as a call: the same again in another database, or once the set is gone.
CREATE FUNCTION again(model_set text) RETURNS TABLE (same_definition boolean, same_text boolean) LANGUAGE plpgsql AS $$
DECLARE
    definition constant jsonb := many_models.model_definition($1);
    call constant text := many_models.model_definition_sql($1);
BEGIN
    PERFORM many_models.drop_models($1);
    EXECUTE call;
    RETURN QUERY SELECT many_models.model_definition($1) = definition, many_models.model_definition_sql($1) = call;
END $$;
SELECT trained FROM many_models.train_many_models('it''s "all" \ of it', E'SELECT *, ''a\\b'' AS text -- more\n FROM items', '{Group,half}', 'y', '{price,Stück/Tag,order}', 'elastic_net', 'day',
    '{"lambda": 0.1, "holdout": {"since": "2024-06-01"}, "group_options": [{"key": {"half": 1}, "options": {"lambda": 2}}]}', '{"it''s": ["a\\b", null, 1.50]}');
SELECT many_models.model_definition_sql('it''s "all" \ of it');
SELECT many_models.model_definition('it''s "all" \ of it');
SELECT s.model_set, a.* FROM (SELECT model_set FROM many_models.model_sets OFFSET 0) AS s, LATERAL again(s.model_set) AS a ORDER BY 1;
SET standard_conforming_strings = off; SET escape_string_warning = off;
SELECT * FROM again('it''s "all" \\ of it');
RESET standard_conforming_strings; RESET escape_string_warning;
SELECT many_models.model_definition_sql('one');
SELECT error_of($$SELECT many_models.model_definition('nothing')$$);
SELECT many_models.model_definition(NULL) IS NULL AS of_null, many_models.model_definition_sql(NULL) IS NULL AS sql_of_null;

SET client_min_messages = error;
SELECT count(many_models.drop_models(model_set)) AS dropped FROM many_models.model_sets;
DROP SCHEMA test_model_sql CASCADE;
