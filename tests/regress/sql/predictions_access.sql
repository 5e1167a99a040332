-- Predictions tables whose rows follow the grants on the model set: the scoring option row_security.
SET client_min_messages = warning;
CREATE ROLE mm_owner;
CREATE ROLE mm_reader;
CREATE ROLE mm_manager;
CREATE ROLE mm_stranger;
SELECT many_models.grant_usage(r) FROM (VALUES ('mm_owner'::regrole), ('mm_manager'), ('mm_stranger')) AS r (r);
CREATE SCHEMA shop AUTHORIZATION mm_owner;
GRANT ALL ON SCHEMA shop TO mm_reader, mm_manager, mm_stranger;
SET search_path = shop, public;
CREATE TABLE sold AS SELECT 1 + i % 2 AS store, 'P' || 1 + i % 3 AS product, i % 7 AS price, 10 * (1 + i % 2) + 2 * (i % 7) + i % 5 AS units FROM generate_series(1, 600) AS i;
GRANT SELECT ON sold TO mm_owner, mm_manager;
SET ROLE mm_owner;
SELECT trained FROM many_models.train_many_models('demand', 'shop.sold', '{store,product}', 'units', '{price}');
SELECT many_models.grant_model_set('demand', 'mm_reader', 'read'), many_models.grant_model_set('demand', 'mm_manager', 'score', '{"store": 2}');
SELECT error_of($$SELECT many_models.score_many_models('demand', options => '{"row_security": "yes"}')$$);
SELECT rows_read FROM many_models.score_many_models('demand', options => '{"row_security": true}');
SELECT tablename ~ '_r\d+$' AS partition, policyname, permissive, roles, cmd, qual FROM pg_policies WHERE schemaname = 'shop' ORDER BY 1;
GRANT ALL ON demand_predictions TO mm_reader, mm_manager, mm_stranger;
CREATE FUNCTION stores(relation text) RETURNS TABLE (role text, store int, n bigint) LANGUAGE plpgsql AS $$
BEGIN
    FOREACH role IN ARRAY ARRAY['mm_owner', 'mm_reader', 'mm_manager', 'mm_stranger'] LOOP
        EXECUTE format('SET LOCAL ROLE %I', role);
        FOR store, n IN EXECUTE format('SELECT store, count(*) FROM %s GROUP BY 1 ORDER BY 1', relation) LOOP RETURN NEXT; END LOOP;
        RESET ROLE;
    END LOOP;
END
$$;
RESET ROLE;
SELECT * FROM stores('demand_predictions');
-- The next run follows by itself; a partition is as closed as the table.
SET ROLE mm_owner;
SELECT rows_read FROM many_models.score_many_models('demand');
DO $$
DECLARE
    part regclass;
BEGIN
    FOR part IN SELECT i.inhrelid FROM pg_inherits AS i WHERE i.inhparent = 'demand_predictions'::regclass LOOP
        EXECUTE format('GRANT SELECT ON %s TO PUBLIC', part);
    END LOOP;
END
$$;
RESET ROLE;
SELECT * FROM stores('demand_predictions');
SELECT c.relrowsecurity, s.* FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid, stores(i.inhrelid::regclass::text) AS s WHERE i.inhparent = 'demand_predictions'::regclass ORDER BY i.inhrelid, role, store;
-- Replaced, it stays so.
SET ROLE mm_owner;
SELECT rows_read FROM many_models.score_many_models('demand', options => '{"on_existing": "replace", "row_security": true}');
RESET ROLE;
SELECT * FROM stores('demand_predictions');
-- Reading is all that the policy allows, whatever was granted on the table.
SET ROLE mm_manager;
SELECT error_of($$INSERT INTO demand_predictions SELECT * FROM demand_predictions LIMIT 1$$);
WITH gone AS (DELETE FROM demand_predictions RETURNING 1) SELECT count(*) FROM gone;
WITH changed AS (UPDATE demand_predictions SET prediction = 0 RETURNING 1) SELECT count(*) FROM changed;
-- It follows grants and revokes.
SET ROLE mm_owner;
SELECT many_models.revoke_model_set('demand', 'mm_reader', 'read'), many_models.grant_model_set('demand', 'mm_manager', 'read', '{"store": 1, "product": "P1"}');
RESET ROLE;
SELECT * FROM stores('demand_predictions');

-- A table that is there already gets it with all its partitions.
SET ROLE mm_owner;
SELECT rows_read FROM many_models.score_many_models('demand', into_table => 'later');
SELECT rows_read FROM many_models.score_many_models('demand', into_table => 'later');
GRANT SELECT ON later TO mm_reader, mm_manager, mm_stranger;
RESET ROLE;
SELECT * FROM stores('later') WHERE role = 'mm_stranger';
SET ROLE mm_owner;
SELECT rows_read FROM many_models.score_many_models('demand', into_table => 'later', options => '{"row_security": true}');
RESET ROLE;
SELECT * FROM stores('later');
SELECT count(*) AS partitions, bool_and(c.relrowsecurity) AS closed FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid WHERE i.inhparent = 'later'::regclass;

-- Predictions made by who was granted score: the table is his, the set's owner sees by the set.
SET ROLE mm_manager;
SELECT rows_read, failed FROM many_models.score_many_models('demand', into_table => 'managers', options => '{"row_security": true}');
GRANT SELECT ON managers TO PUBLIC;
RESET ROLE;
SELECT * FROM stores('managers');

-- Columns of other types and names are the keys that the models have; the source's types may differ from the training's.
CREATE TYPE shop.size AS ENUM ('S', 'M');
CREATE DOMAIN shop.code AS text CHECK (VALUE <> '');
SET ROLE mm_owner;
CREATE VIEW typed AS SELECT (ARRAY['S', 'M']::size[])[1 + n % 2] AS "Size", DATE '2025-01-31' + n AS day, TIMESTAMPTZ '2025-01-31 12:00+02' + n * INTERVAL '1 hour' AS at,
    TIMESTAMP '2025-01-31 12:00' + n * INTERVAL '1 hour' AS local, n % 2 = 0 AS even, CASE WHEN n > 0 THEN n / 2.0 END AS num, n / 3.0::float8 AS "fl""oat", n / 3.0::float4 AS small, ('c' || n)::char(5) AS ch,
    ('x' || n)::code AS code, ARRAY[n, 1] AS arr, INTERVAL '1 day' * n AS span, decode('0' || n, 'hex') AS bytes, 'o''' || n AS "'; --", n AS i, i % 7 AS x, i % 11 AS y
    FROM generate_series(1, 400) AS i, LATERAL (SELECT i % 4) AS k (n);
SET DateStyle = 'German, DMY';
SET TimeZone = 'Asia/Tokyo';
SET extra_float_digits = -3;
SELECT trained FROM many_models.train_many_models('typed', 'shop.typed', ARRAY['Size', 'day', 'at', 'local', 'even', 'num', 'fl"oat', 'small', 'ch', 'code', 'arr', 'span', 'bytes', '''; --', 'i'], 'y', '{x}');
SELECT rows_read FROM many_models.score_many_models('typed', 'SELECT "Size", day, at, local, even, num, "fl""oat", small, ch, code::varchar AS code, arr, span, bytes, "''; --", i::bigint AS i, x FROM shop.typed',
    options => '{"row_security": true}');
GRANT SELECT ON typed_predictions TO mm_manager;
-- Each column alone names one of the four groups; the last, by its NULL.
SELECT count(*) FROM (SELECT many_models.grant_model_set('typed', 'mm_manager', 'read', (SELECT jsonb_agg(partition_key) FROM many_models.models WHERE model_set = 'typed' AND partition_key ->> 'i' = '1'))) AS g;
SET ROLE mm_manager;
SELECT i, count(*) FROM typed_predictions GROUP BY 1;
RESET ROLE;
CREATE TABLE seen (key_column text, i bigint, n bigint);
GRANT ALL ON seen TO mm_manager;
DO $$
DECLARE
    k record;
BEGIN
    FOR k IN SELECT j.key, j.value FROM many_models.models AS m, jsonb_each(m.partition_key) AS j WHERE m.model_set = 'typed' AND m.partition_key ->> 'i' = '0' LOOP
        PERFORM many_models.revoke_model_set('typed', 'mm_manager', 'read');
        PERFORM many_models.grant_model_set('typed', 'mm_manager', 'read', jsonb_build_object(k.key, k.value));
        SET LOCAL ROLE mm_manager;
        INSERT INTO seen SELECT k.key, i, count(*) FROM typed_predictions GROUP BY 2;
        RESET ROLE;
    END LOOP;
END
$$;
SELECT string_agg(i::text, ',' ORDER BY i) AS groups, count(DISTINCT n) AS counts, key_column FROM seen GROUP BY key_column ORDER BY key_column COLLATE "C";
RESET DateStyle;
RESET TimeZone;
RESET extra_float_digits;

-- One model over all rows: seen whole or not at all.
SET ROLE mm_owner;
SELECT trained FROM many_models.train_many_models('one', 'SELECT price, units FROM shop.sold', '{}', 'units', '{price}');
SELECT rows_read FROM many_models.score_many_models('one', 'SELECT 1 AS store, price FROM shop.sold', id_columns => '{store}', options => '{"row_security": true}');
SELECT qual FROM pg_policies WHERE tablename = 'one_predictions';
SELECT many_models.grant_model_set('one', 'mm_reader', 'read');
GRANT SELECT ON one_predictions TO PUBLIC;
RESET ROLE;
SELECT * FROM stores('one_predictions');

-- The set goes: what is left is the table owner's. A set of that name which another role makes does not open it.
SET ROLE mm_owner;
SELECT many_models.drop_models('demand');
RESET ROLE;
SELECT * FROM stores('demand_predictions');
SET ROLE mm_stranger;
SELECT trained FROM many_models.train_many_models('demand', 'SELECT 1 + i % 2 AS store, ''P1'' AS product, i % 7 AS price, i % 11 AS units FROM generate_series(1, 100) AS i', '{store,product}', 'units', '{price}');
SELECT many_models.has_model_set_privilege('demand', 'read') AS own;
RESET ROLE;
SELECT * FROM stores('demand_predictions');
SET ROLE mm_stranger;
SELECT error_of($$SELECT many_models.score_many_models('demand', 'SELECT 1 AS store, ''P1'' AS product, 2 AS price', 'shop.demand_predictions')$$);
RESET ROLE;

DO $$ BEGIN PERFORM many_models.drop_models(model_set) FROM many_models.model_sets WHERE model_set IN ('demand', 'typed', 'one'); END $$;
SET client_min_messages = error;
DROP SCHEMA shop CASCADE;
DROP OWNED BY mm_owner, mm_reader, mm_manager, mm_stranger;
DROP ROLE mm_owner, mm_reader, mm_manager, mm_stranger;
