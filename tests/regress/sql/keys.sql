-- Keys of any kind.
SET client_min_messages = warning;
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE DOMAIN code AS text CHECK (value <> '');
CREATE COLLATION IF NOT EXISTS ignore_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE keyed_rows AS
SELECT i % 2 AS n, i, (i * 5 % 13)::float8 AS x, 2.0 * (i * 5 % 13) + (i % 3) AS y FROM generate_series(1, 80) AS i;
-- Trains by one key expression of a type, and shows the groups.
CREATE FUNCTION keys_of(type text, zero text, one text) RETURNS TABLE (keys text, models bigint) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM many_models.train_many_models('k', format('SELECT CASE n WHEN 0 THEN %L::%s ELSE %L::%s END AS "select", x, y FROM keyed_rows', zero, type, one, type),
        '{select}', 'y', '{x}');
    SELECT string_agg(m.partition_key ->> 'select', ' | ' ORDER BY m.partition_key ->> 'select' COLLATE "C") INTO keys FROM many_models.models AS m WHERE m.model_set = 'k';
    EXECUTE 'SELECT count("select") FROM k_models' INTO models;
    DROP VIEW k_models;
    PERFORM many_models.drop_models('k');
    RETURN NEXT;
END
$$;
SELECT type, k.* FROM (VALUES
    (1, 'int', '1', '2'), (2, 'bigint', '-9000000000', '9000000000'), (3, 'smallint', '1', '2'),
    (4, 'text', 'Zürich "A"', '日本 🙂'), (5, 'varchar(10)', 'a', 'b'), (6, 'char(5)', 'a', 'b'),
    (7, 'uuid', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12'),
    (8, 'date', '2025-01-31', '2024-02-29'), (9, 'timestamptz', '2025-01-31 12:00+02', '2025-01-31 12:00+03'),
    (10, 'timestamp', '2025-01-31 12:00:00.5', '2025-01-31 12:00'), (11, 'mood', 'sad', 'ok'),
    (12, 'boolean', 'true', 'false'), (13, 'numeric', '1.50', '2'), (14, 'float8', '0.1', 'NaN'),
    (15, 'float4', '0.1', '-Infinity'), (16, 'code', 'x', 'y'), (17, 'bytea', '\x00ff', '\x01'),
    (18, 'inet', '10.0.0.1', '10.0.0.2'), (19, 'interval', '1 day', '2 hours'), (20, 'int[]', '{1,2}', '{3}'),
    (21, 'time', '12:00', '13:00')) AS t (n, type, zero, one),
    LATERAL keys_of(type, zero, one) AS k ORDER BY n;
-- Equal under the type's own equality: one group, named by the bytewise smallest.
SELECT * FROM keys_of('numeric', '1', '1.0');
SELECT * FROM keys_of('float8', '0', '-0');
SELECT * FROM keys_of('interval', '1 day', '24 hours');
SELECT * FROM keys_of('text COLLATE ignore_case', 'abc', 'ABC');
SELECT * FROM keys_of('char(5)', 'a', 'a  ');
-- NULL is a group of its own, in each column; names that need quoting.
CREATE TABLE "Odd ""Names" AS
SELECT CASE WHEN n = 0 THEN i % 4 END AS "group", CASE WHEN i % 3 > 0 THEN 'v' END AS "Straße ""x""", x AS "select", y AS "from"
FROM keyed_rows;
SELECT groups, trained FROM many_models.train_many_models('odd', '"Odd ""Names"', ARRAY['group', 'Straße "x"'], 'from', '{select}', options => '{"min_rows": 5}');
SELECT "group", "Straße ""x""", n_rows FROM odd_models ORDER BY 1, 2;
SELECT nullable_keys FROM many_models.runs WHERE model_set = 'odd';
-- Partition columns with the names of the view's own columns.
SELECT trained FROM many_models.train_many_models('clash', 'SELECT n AS version, n AS n_rows, x, y FROM keyed_rows', '{version,n_rows}', 'y', '{x}');
SELECT version, n_rows, model_version, model_n_rows FROM clash_models ORDER BY 1;
-- A key type without hashing.
SELECT error_of($$SELECT many_models.train_many_models('e', 'SELECT ''{}''::json AS k, x, y FROM keyed_rows', '{k}', 'y', '{x}')$$);
