-- export_models and import_models: a version as rows, and back. What arrives damaged is refused.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE SCHEMA test_transfer;
SET search_path = test_transfer, public;
-- Alone in the registry: names and counts are those of this test.
SELECT count(many_models.drop_models(model_set)) >= 0 AS alone FROM many_models.model_sets;

-- What two versions must agree on: keys, hashes, models bit by bit, failures.
CREATE FUNCTION contents(model_set text, version integer) RETURNS text LANGUAGE sql AS $$
SELECT string_agg(t, E'\n' ORDER BY t COLLATE "C") FROM (
    SELECT concat_ws('|', m.partition_key, m.key_hash, m.n_rows, m.seconds, m.first_time, m.last_time, m.model)
    FROM many_models.model_store AS m JOIN many_models.runs AS r USING (run_id) WHERE r.model_set = $1 AND r.version = $2
    UNION ALL
    SELECT concat_ws('|', f.partition_key, f.status, f.sqlstate, f.message, f.hint, f.attempt, f.n_rows, f.seconds)
    FROM many_models.failure_store AS f JOIN many_models.runs AS r USING (run_id) WHERE r.model_set = $1 AND r.version = $2) AS f (t)
$$;

CREATE TABLE shop AS
SELECT s AS store, 'P' || p AS product, DATE '2025-01-01' + i AS day, (i * 7 % 13)::float8 AS price,
       (ARRAY['red', 'it''s "blue"', 'größe €'])[1 + i % 3] AS colour,
       CASE WHEN s = 3 AND p = 2 AND i = 7 THEN float8 'NaN' WHEN s = 3 AND p = 1 THEN 5
            ELSE 100 * s + 10 * p - 2.0 * (i * 7 % 13) + 4 * (i % 3) + 0.25 * ((i * 17 % 7) - 3) END AS units
FROM generate_series(1, 3) AS s, generate_series(1, 2) AS p, generate_series(1, 40) AS i;
SELECT trained, failed, skipped FROM many_models.train_many_models('shop', 'shop', '{store,product}', 'units',
    time_column => 'day', options => '{"holdout": {"rows": 5}, "max_levels": 50}', tags => '{"team": "größe"}');

-- The stream: a header, a line per model and per failure, a trailer; all of it ASCII JSON.
CREATE TABLE staged AS SELECT * FROM many_models.export_models('shop');
SELECT line, part::jsonb - '{model,seconds,run,crc,sha256}'::text[] AS members FROM staged ORDER BY line;
SELECT (part::jsonb -> 'run') - '{started_at,finished_at,elapsed,details,server_version,run_id,workers}'::text[] AS run FROM staged WHERE line = 1;
SELECT bool_and(part ~ '^[ -~]+$') AS ascii, bool_and(part ~ ',"crc":"[0-9a-f]{8}"}$') AS sums,
       bool_and(decode(part::jsonb ->> 'model', 'base64') = many_models.model_send(m.model)) AS bytes
FROM staged LEFT JOIN many_models.models AS v ON v.model_set = 'shop' AND v.partition_key = part::jsonb -> 'key'
LEFT JOIN many_models.model_store AS m USING (model_id);
-- The digest is that of all parts before it, each with a line feed.
SELECT part::jsonb ->> 'sha256' = (SELECT encode(sha256(convert_to(string_agg(part || E'\n', '' ORDER BY line), 'UTF8')), 'hex')
                                   FROM staged WHERE line < 8) AS digest FROM staged WHERE line = 8;
-- The same version, the same bytes, whatever the session's settings.
SET TimeZone = 'Asia/Tokyo'; SET DateStyle = 'German'; SET IntervalStyle = 'postgres_verbose'; SET extra_float_digits = -3;
SELECT count(*) AS different FROM (SELECT * FROM staged EXCEPT SELECT * FROM many_models.export_models('shop', 1)) AS d;
RESET TimeZone; RESET DateStyle; RESET IntervalStyle; RESET extra_float_digits;

-- Back, as a set of another name: in any order of the rows, with types that can be cast.
CREATE TABLE shuffled AS SELECT line::text AS line, part::varchar AS part, 'x' AS other FROM staged ORDER BY md5(part);
SELECT model_set, version, status, groups, trained, failed, skipped, rows_read, workers, elapsed IS NOT NULL AS elapsed
FROM many_models.import_models('shuffled', 'shop here');
SELECT contents('shop', 1) = contents('shop here', 1) AS same;
SELECT min(b.model_id) > max(a.model_id) AS own_ids FROM many_models.models AS a, many_models.models AS b
WHERE a.model_set = 'shop' AND b.model_set = 'shop here';
SELECT a = b AS same_definition FROM (SELECT many_models.model_definition('shop') - 'model_set' AS a, many_models.model_definition('shop here') - 'model_set' AS b) AS d;
SELECT owner, latest_version FROM many_models.model_sets WHERE model_set = 'shop here';
SELECT kind, version, status, run_by, groups, trained, failed, skipped, rows_read, algorithm, source, partition_by, key_types, key_collations, nullable_keys,
       target, features, feature_types, time_column, options, tags, storage, into_table, finished_at >= started_at AS timed
FROM many_models.runs WHERE model_set = 'shop here' \gx
SELECT details -> 'imported' ->> 'model_set' AS model_set, details -> 'imported' ->> 'version' AS version, details -> 'imported' ->> 'source' AS source,
       details -> 'imported' ->> 'sha256' = (SELECT part::jsonb ->> 'sha256' FROM staged WHERE line = 8) AS digest,
       details -> 'imported' -> 'run' = (SELECT part::jsonb -> 'run' FROM staged WHERE line = 1) AS run
FROM many_models.runs WHERE model_set = 'shop here';
SELECT store, product, version, n_rows, algorithm, holdout_rows FROM "shop here_models" ORDER BY store, product;
SELECT partition_key, status, sqlstate, message FROM many_models.failures WHERE model_set = 'shop here' ORDER BY 1;
-- It predicts and scores as the original does, and trains on.
SELECT bool_and(many_models.predict('shop', k, f) = many_models.predict('shop here', k, f)) AS same, count(*)
FROM (SELECT DISTINCT jsonb_build_object('store', store, 'product', product) AS k, jsonb_build_object('price', price, 'colour', colour) AS f FROM shop WHERE store < 3) AS q;
SELECT groups, failed, rows_read FROM many_models.score_many_models('shop here');
SELECT groups, failed, rows_read FROM many_models.score_many_models('shop');
SELECT count(*) AS different FROM (SELECT store, product, day, prediction, lower, upper, fallback_reason FROM "shop here_predictions"
    EXCEPT SELECT store, product, day, prediction, lower, upper, fallback_reason FROM shop_predictions) AS d;
SELECT version, trained FROM many_models.train_many_models('shop here');
-- The next version of a set that is there; from a query; twice is two versions.
SELECT version, trained FROM many_models.import_models('SELECT * FROM staged WHERE line > 0;', 'shop here');
SELECT version, trained FROM many_models.import_models('staged');
SELECT contents('shop', 1) = contents('shop', 2) AND contents('shop', 1) = contents('shop here', 3) AS same;
SELECT version, count(*) FROM "shop here_models" GROUP BY 1 ORDER BY 1;
SELECT model_set, versions, train_runs FROM many_models.stat_model_sets WHERE model_set LIKE 'shop%' ORDER BY 1;
-- A refresh, and retrain_failed, go on from an imported version.
SELECT version, trained, failed FROM many_models.retrain_failed((SELECT run_id FROM many_models.runs WHERE model_set = 'shop here' AND version = 3));
SELECT version, trained FROM many_models.refresh_many_models('shop here');
SELECT many_models.drop_models('shop here', 4), many_models.drop_models('shop here', 5);
-- An imported version can be exported in turn, and says where it was.
CREATE TABLE again AS SELECT * FROM many_models.export_models('shop here', 3);
SELECT count(*) AS models FROM (SELECT line, part FROM again WHERE line BETWEEN 2 AND 7 INTERSECT SELECT line, part FROM staged) AS d;
SELECT part::jsonb #>> '{run,kind}' AS kind, part::jsonb #>> '{run,details,imported,model_set}' AS was FROM again WHERE line = 1;
SELECT version FROM many_models.import_models('again', 'shop again');
SELECT contents('shop', 1) = contents('shop again', 1) AS same;
SELECT many_models.drop_models('shop here', 3), many_models.drop_models('shop here'), many_models.drop_models('shop again');

-- The definition of a set that is there stays, unless asked for; the source can be another here.
SELECT trained FROM many_models.train_many_models('kept', 'SELECT * FROM shop WHERE day < ''2025-02-01''', '{store,product}', 'units', '{price}', 'ridge', options => '{"lambda": 1}');
SELECT version FROM many_models.import_models('staged', 'kept', training_source => 'other_shop');
SELECT many_models.model_definition('kept');
SELECT source, features, algorithm FROM many_models.runs WHERE model_set = 'kept' ORDER BY version;
SELECT version FROM many_models.import_models('staged', 'kept', 'SELECT * FROM other_shop', replace_definition => true);
SELECT many_models.model_definition('kept');
SELECT error_of($$SELECT many_models.score_many_models('kept')$$);
SELECT error_of($$SELECT many_models.import_models('staged', 'kept', 'SELECT 1; SELECT 2')$$);
SELECT error_of($$SELECT many_models.import_models('staged', 'kept', 'a b')$$);
-- Of a version that is not the latest training: the features as used.
SELECT part::jsonb #> '{definition,features}' AS features FROM staged WHERE line = 1;
SELECT version FROM many_models.train_many_models('shop', features => '{price}');
SELECT DISTINCT part::jsonb #> '{definition,features}' AS of_version_1 FROM many_models.export_models('shop', 1) WHERE line = 1;
SELECT DISTINCT part::jsonb #> '{definition,features}' AS of_version_3 FROM many_models.export_models('shop') WHERE line = 1;
SELECT many_models.drop_models('kept');

-- Keys of all kinds.
CREATE TYPE mood AS ENUM ('glad', 'sad "');
CREATE DOMAIN code AS text CHECK (VALUE <> 'never');
CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE keyed AS
SELECT CASE WHEN i % 4 > 0 THEN (ARRAY['glad', 'sad "'])[1 + i % 2]::mood END AS mood, ('c' || i % 2 || 'é\"''')::code AS code,
       (1.0 + i % 2)::numeric(5,2) AS amount, TIMESTAMPTZ '2025-01-01 12:00+02' + i % 2 * interval '1 microsecond' AS "at time",
       i % 2 = 0 AS flag, ('infinity'::date) AS day, ARRAY[i % 2, NULL] AS list, (ARRAY[float8 'NaN', 0.1])[1 + i % 2] AS ratio,
       (ARRAY['Ä', 'z'])[1 + i % 2] COLLATE nocase AS word, '\x00ff'::bytea AS bytes, interval '1 day 2 hours' AS wait, int4range(1, 5) AS range,
       (i * 7 % 13)::float8 AS x, (i * 5 % 11 + i % 2)::float8 AS y
FROM generate_series(1, 80) AS i;
SELECT trained FROM many_models.train_many_models('keyed', 'keyed', '{mood,code,amount,at time,flag,day,list,ratio,word,bytes,wait,range}', 'y', '{x}');
SET DateStyle = 'SQL, DMY'; SET IntervalStyle = 'sql_standard'; SET TimeZone = 'Asia/Tokyo'; SET bytea_output = 'escape'; SET extra_float_digits = -3;
SELECT trained FROM many_models.import_models('SELECT * FROM many_models.export_models(''keyed'')', 'keyed too');
RESET DateStyle; RESET IntervalStyle; RESET TimeZone; RESET bytea_output; RESET extra_float_digits;
SELECT contents('keyed', 1) = contents('keyed too', 1) AS same;
SELECT a.key_types = b.key_types AND a.key_collations = b.key_collations AND a.nullable_keys = b.nullable_keys AS same, b.nullable_keys, b.key_collations
FROM many_models.runs AS a, many_models.runs AS b WHERE a.model_set = 'keyed' AND b.model_set = 'keyed too';
SELECT rows_read, failed FROM many_models.score_many_models('keyed too');
SELECT count(*) FROM "keyed too_models" JOIN keyed_models USING (code, amount, "at time", flag, day, list, ratio, word, bytes, wait, range);
-- One model, and a set without any.
SELECT trained FROM many_models.train_many_models('one', 'shop', '{}', 'price', '{store}');
SELECT trained FROM many_models.import_models('SELECT * FROM many_models.export_models(''one'')', 'one too');
SELECT contents('one', 1) = contents('one too', 1) AS same, many_models.predict('one too', '{}', '{"store": 1}') IS NOT NULL AS predicts;
SELECT trained, skipped FROM many_models.train_many_models('none', 'shop', '{store}', 'units', '{price}', options => '{"min_rows": 1000}');
SELECT trained, skipped, rows_read FROM many_models.import_models('SELECT * FROM many_models.export_models(''none'')', 'none too');
SELECT contents('none', 1) = contents('none too', 1) AS same;
-- More than 1,000 groups: partitions of their own, dropped as such.
SELECT trained, failed FROM many_models.train_many_models('large', 'SELECT nullif(i % 1500, 3) AS g, CASE WHEN i % 1500 = 9 THEN float8 ''NaN'' ELSE i / 1500 END AS x, i % 10 + i / 1500 % 3 AS y FROM generate_series(1, 12000) AS i', '{g}', 'y', '{x}');
SELECT trained, failed, rows_read FROM many_models.import_models('SELECT * FROM many_models.export_models(''large'')', 'large too');
SELECT contents('large', 1) = contents('large too', 1) AS same;
SELECT r.storage = r.run_id AS own, c.relrowsecurity, c.relispartition, p.relowner = c.relowner AS same_owner,
       (SELECT count(*) FROM pg_index AS x WHERE x.indrelid = c.oid) AS indexes, c.reltuples > 0 AS analysed
FROM many_models.runs AS r, pg_class AS c, pg_class AS p
WHERE r.model_set = 'large too' AND c.oid = format('many_models.model_store_r%s', r.run_id)::regclass AND p.oid = 'many_models.model_store'::regclass;
SELECT many_models.predict('large too', '{"g": 77}', '{"x": 3}') = many_models.predict('large', '{"g": 77}', '{"x": 3}') AS same, many_models.predict('large too', '{"g": null}', '{"x": 3}') IS NOT NULL AS of_null;
SELECT many_models.drop_models('large too');
SELECT count(*) AS left_over FROM pg_class WHERE relnamespace = 'many_models'::regnamespace AND relname ~ '_store_r\d+$'
AND relname !~ (SELECT string_agg('_r' || run_id || '$', '|') FROM many_models.runs WHERE storage <> 0);

-- Mistakes of the caller.
SELECT error_of($$SELECT many_models.export_models(NULL)$$);
SELECT error_of($$SELECT many_models.export_models('nothing')$$);
SELECT error_of($$SELECT many_models.export_models('shop', 9)$$);
SELECT error_of($$SELECT many_models.export_models('shop', 0)$$);
SELECT error_of($$SELECT many_models.import_models(NULL)$$);
SELECT error_of($$SELECT many_models.import_models('nothing')$$);
SELECT error_of($$SELECT many_models.import_models('SELECT part FROM staged')$$);
SELECT error_of($$SELECT many_models.import_models('SELECT line, model FROM staged, many_models.model_store')$$);
SELECT error_of($$SELECT many_models.import_models('SELECT * FROM staged WHERE false')$$);
SELECT error_of($$SELECT many_models.import_models('SELECT line, NULL AS part FROM staged')$$);
SELECT error_of($$SELECT many_models.import_models('SELECT 1 AS line, ''{"a": 1}'' AS part')$$);
SELECT error_of($$SELECT many_models.import_models('staged', '')$$);
SELECT error_of($$SELECT many_models.import_models('staged', repeat('x', 52))$$);
SELECT error_of($$SELECT many_models.import_models('staged', 'one')$$);
SELECT trained FROM many_models.train_many_models('texts', 'SELECT store::text, product, price, units FROM shop', '{store,product}', 'units', '{price}');
SELECT error_of($$SELECT many_models.import_models('staged', 'texts')$$);
CREATE FUNCTION writes() RETURNS bigint LANGUAGE sql AS $$ INSERT INTO staged VALUES (0, 'x') RETURNING line $$;
SELECT error_of($$SELECT many_models.import_models('SELECT line + writes() AS line, part FROM staged')$$);
BEGIN READ ONLY; SELECT error_of($$SELECT many_models.import_models('staged')$$); SELECT count(*) FROM many_models.export_models('one'); ROLLBACK;

-- Damage. Nothing of any of these imports remains.
CREATE TABLE before AS SELECT count(*) FROM many_models.runs;
CREATE FUNCTION import_error(change text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE result text;
BEGIN
    CREATE TEMP TABLE t AS SELECT * FROM staged;
    EXECUTE change;
    result := error_of($q$SELECT many_models.import_models('t', 'damaged')$q$);
    DROP TABLE t;
    RETURN result;
END $$;
SELECT import_error($$UPDATE t SET part = overlay(part PLACING 'z' FROM 400) WHERE line = 3$$) AS changed;
SELECT import_error($$UPDATE t SET part = left(part, 200) WHERE line = 3$$) AS truncated;
SELECT import_error($$UPDATE t SET part = part || ' ' WHERE line = 3$$) AS longer;
SELECT import_error($$UPDATE t SET part = '' WHERE line = 3$$) AS empty;
SELECT import_error($$UPDATE t SET part = overlay(part PLACING 'é' FROM 300) WHERE line = 3$$) AS not_ascii;
SELECT import_error($$UPDATE t SET part = overlay(part PLACING '0' FROM 300) WHERE line = 1$$) AS header;
SELECT import_error($$UPDATE t SET line = 5 - line WHERE line IN (2, 3)$$) AS swapped;
SELECT import_error($$UPDATE t SET line = 12 - line WHERE line IN (5, 7)$$) AS model_as_failure;
SELECT import_error($$INSERT INTO t SELECT * FROM t WHERE line = 4$$) AS duplicated;
SELECT import_error($$INSERT INTO t SELECT * FROM t$$) AS twice;
SELECT import_error($$DELETE FROM t WHERE line = 1$$) AS no_header;
SELECT import_error($$DELETE FROM t WHERE line = 4$$) AS no_model;
SELECT import_error($$DELETE FROM t WHERE line = 8$$) AS no_trailer;
SELECT import_error($$DELETE FROM t WHERE line > 1$$) AS header_only;
SELECT import_error($$INSERT INTO t SELECT 9, part FROM t WHERE line = 8$$) AS longer;
SELECT import_error($$INSERT INTO t VALUES (0, 'x')$$) AS line_0;
SELECT import_error($$INSERT INTO t VALUES (NULL, 'x')$$) AS line_null;
SELECT import_error($$UPDATE t SET part = NULL WHERE line = 2$$) AS part_null;
SELECT import_error($$UPDATE t SET part = replace(part, '"format_version":1,', '"format_version":2,') WHERE line = 1$$) AS other_version;
SELECT import_error($$UPDATE t SET part = (SELECT b.part FROM again AS b WHERE b.line = t.line) WHERE line = 8$$) AS other_trailer;

-- Forgery: intact lines, and a digest that goes with them, that say what no export says.
CREATE FUNCTION crc32c_text(bytes bytea) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    crc bigint := 4294967295;
BEGIN
    FOR i IN 0 .. length(bytes) - 1 LOOP
        crc := crc # get_byte(bytes, i);
        FOR b IN 1 .. 8 LOOP
            crc := CASE WHEN crc & 1 = 1 THEN (crc >> 1) # 2197175160 ELSE crc >> 1 END;
        END LOOP;
    END LOOP;
    RETURN lpad(to_hex(crc # 4294967295), 8, '0');
END $$;
SELECT crc32c_text('123456789') AS "e3069283";
CREATE FUNCTION seal(line bigint, part text) RETURNS text LANGUAGE sql AS $$
SELECT p || ',"crc":"' || crc32c_text(set_byte('\x0000000000000000'::bytea, 0, line::int) || convert_to(p, 'UTF8')) || '"}' FROM regexp_replace(part, ',"crc":"\w*"}$', '') AS p $$;
SELECT bool_and(seal(line, part) = part) AS seals FROM staged;
-- change: an expression of part; the trailer gets the digest that goes with the rest.
CREATE FUNCTION forged(changed int, change text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE result text;
BEGIN
    CREATE TEMP TABLE t AS SELECT * FROM staged;
    EXECUTE format('UPDATE t SET part = %s WHERE line = %s', change, changed);
    UPDATE t SET part = seal(line, part) WHERE line = changed;
    IF changed < 8 THEN
        UPDATE t SET part = seal(line, regexp_replace(part, '"sha256":"\w*"', '"sha256":"' ||
            (SELECT encode(sha256(convert_to(string_agg(s.part || E'\n', '' ORDER BY s.line), 'UTF8')), 'hex') FROM t AS s WHERE s.line < 8) || '"')) WHERE line = 8;
    END IF;
    result := error_of($q$SELECT many_models.import_models('t', 'forged')$q$);
    DROP TABLE t;
    RETURN result;
END $$;
SELECT forged(2, 'part') AS nothing_forged;
SELECT many_models.drop_models('forged');
SELECT forged(8, $$replace(part, '"models":4', '"models":3')$$) AS models;
SELECT forged(8, $$regexp_replace(part, '"sha256":"..', '"sha256":"zz')$$) AS digest;
SELECT forged(1, $$replace(part, '"models":4', '"models":5')$$) AS more_models;
SELECT forged(1, $$replace(part, '"models":4', '"models":4.5')$$) AS half_a_model;
SELECT forged(1, $$replace(part, '"models":4', '"models":-4')$$) AS no_models;
SELECT forged(1, $$replace(part, '"models":4', '"models":99999999999999999999999')$$) AS many_models;
SELECT forged(1, $$replace(part, '"models":4', '"modes":4')$$) AS no_count;
SELECT forged(1, $$replace(part, '"model_set":"shop"', '"model_set":7')$$) AS name_is_number;
SELECT forged(1, $$regexp_replace(part, '^(.*),"run":.*$', '\1') || '}'$$) AS not_json;
SELECT forged(1, $$regexp_replace(part, ',"run":.*$', '')$$) AS no_run;
SELECT forged(1, $$replace(part, '"linear_regression"', '"guessing"')$$) AS algorithm;
SELECT forged(1, $$replace(part, '"linear_regression"', '"ridge"')$$) AS other_algorithm;
SELECT forged(1, $$replace(part, '"max_levels"', '"drop_tables"')$$) AS option;
SELECT forged(1, $$replace(part, '"target": "units"', '"target": "price"')$$) AS target_is_feature;
SELECT forged(1, $$replace(part, '["store", "product"]', '["store", "store"]')$$) AS key_twice;
SELECT forged(1, $$replace(part, '["store", "product"]', '["store", ""]')$$) AS key_empty;
SELECT forged(1, $$replace(part, '["store", "product"]', '["store"]')$$) AS fewer_keys;
SELECT forged(1, $$replace(part, '["store", "product"]', '["store", "products"]')$$) AS other_keys;
SELECT forged(1, $$replace(part, '"integer"', '"elsewhere.key"')$$) AS key_type;
SELECT forged(1, $$replace(part, '"integer"', '"pg_catalog.json"')$$) AS key_not_hashed;
SELECT forged(1, $$replace(part, '"integer"', '"pg_catalog.record"')$$) AS key_pseudo;
SELECT forged(1, $$replace(part, '"integer"', '"int4; DROP TABLE staged"')$$) AS key_injected;
SELECT forged(1, $$replace(part, '"integer"', '"pg_catalog.bool"')$$) AS key_values;
SELECT forged(1, $$replace(part, 'pg_catalog.\"default\"', 'pg_catalog.nowhere')$$) AS collation;
SELECT forged(1, $$replace(part, '"double precision", "pg_catalog.text"', '"double precision", "real"')$$) AS number_for_levels;
SELECT forged(1, $$replace(part, '"double precision", "pg_catalog.text"', '"double precision"')$$) AS fewer_types;
SELECT forged(1, $$replace(part, '"price", "colour"', '"price"')$$) AS fewer_features;
SELECT forged(1, $$replace(part, '"encoding":"UTF8"', '"encoding":"LATIN1"')$$) AS encoding;
SELECT forged(3, $$regexp_replace(part, '"key":\{.*?\}', '"key":{"store": 1}')$$) AS key_misses;
SELECT forged(3, $$regexp_replace(part, '"key":\{.*?\}', '"key":{"store": 1, "product": "P1", "price": 3}')$$) AS key_has_more;
SELECT forged(3, $$regexp_replace(part, '"key":\{.*?\}', '"key":{"store": "one", "product": "P1"}')$$) AS key_no_number;
SELECT forged(3, $$regexp_replace(part, '"key":\{.*?\}', '"key":' || (SELECT s.part::json -> 'key' FROM staged AS s WHERE s.line = 2))$$) AS key_again;
-- Keys that are equal, but not the same text.
SELECT trained FROM many_models.train_many_models('word', 'keyed', '{word}', 'y', '{x}');
CREATE TABLE words AS SELECT line, replace(part, '"word": "z"', '"word": "\u00e4"') AS part FROM many_models.export_models('word') WHERE line < 4;
INSERT INTO words SELECT 4, '{"models":2,"failures":0,"sha256":"' || encode(sha256(convert_to(string_agg(seal(line, part) || E'\n', '' ORDER BY line), 'UTF8')), 'hex') || '"' FROM words;
SELECT error_of($$SELECT many_models.import_models('SELECT line, seal(line, part) AS part FROM words', 'words')$$);
SELECT forged(3, $$regexp_replace(part, '"n_rows":\d+', '"n_rows":-1')$$) AS n_rows;
SELECT forged(3, $$regexp_replace(part, '"seconds":[^,]+', '"seconds":1e99')$$) AS seconds;
SELECT forged(3, $$regexp_replace(part, '"model":"[^"]+"', '"model":"TU1M*"')$$) AS no_base64;
SELECT forged(3, $$regexp_replace(part, '"model":"[^"]+"', '"model":""')$$) AS no_bytes;
SELECT forged(3, $$regexp_replace(part, '"model":"[^"]+"', '"model":"TU1FUgEAAAA="')$$) AS an_error_value;
SELECT forged(3, $$regexp_replace(part, '"model":"....', '"model":"TU1N')$$) AS damaged_model;
SELECT forged(3, $$regexp_replace(part, '("model":"[^"]{200})..', '\1AA')$$) AS model_checksum;
-- An intact model of another shape: two numbers, one number, another algorithm.
CREATE FUNCTION as_member(model many_models.model) RETURNS text LANGUAGE sql AS $$ SELECT '"model":"' || translate(encode(many_models.model_send(model), 'base64'), E'\n', '') || '"' $$;
SELECT forged(3, $$regexp_replace(part, '"model":"[^"]+"', (SELECT as_member(many_models.fit('{}', units, ARRAY[price])) FROM shop WHERE store = 1))$$) AS one_feature;
SELECT forged(3, $$regexp_replace(part, '"model":"[^"]+"', (SELECT as_member(many_models.fit('{}', units, ARRAY[price, price ^ 2])) FROM shop WHERE store = 1))$$) AS two_numbers;
SELECT forged(3, $$regexp_replace(part, '"model":"[^"]+"', (SELECT as_member(many_models.fit('{}', 5, ARRAY[price])) FROM shop WHERE store = 1))$$) AS no_model;
SELECT forged(6, $$replace(replace(part, '"skipped"', '"unwilling"'), '"failed"', '"unwilling"')$$) AS status;
SELECT forged(6, $$regexp_replace(part, '"sqlstate":"\w+"', '"sqlstate":"2200"')$$) AS sqlstate;
SELECT forged(6, $$regexp_replace(part, '"message":"', '"message":null,"m":"')$$) AS message;
SELECT forged(7, $$regexp_replace(part, '"attempt":1', '"attempt":0')$$) AS attempt;
-- A NaN where a model has none: bytes changed, and the model's own checksum made to go with them.
CREATE FUNCTION changed_model(model many_models.model, place int, bytes bytea) RETURNS many_models.model LANGUAGE plpgsql AS $$
DECLARE
    b bytea := overlay(many_models.model_send(model) PLACING bytes FROM place + 1);
    zeros constant bytea := '\x0000000000000000';
    crc bytea;
BEGIN
    crc := decode(crc32c_text(substr(b, 1, 12) || substr(zeros, 1, 4) || substr(b, 17, 8) || zeros || substr(b, 33)), 'hex');
    FOR i IN 0 .. 3 LOOP
        b := set_byte(b, 12 + i, get_byte(crc, 3 - i));
    END LOOP;
    RETURN ('\x' || encode(b, 'hex'))::many_models.model;
END $$;
CREATE TABLE victim AS SELECT m.model FROM many_models.model_store AS m JOIN many_models.runs AS r USING (run_id), staged AS s
WHERE r.model_set = 'shop' AND r.version = 1 AND s.line = 3 AND m.partition_key = s.part::jsonb -> 'key';
SELECT changed_model(model, 0, 'MMLM')::text = model::text AS unchanged FROM victim;
SELECT name, forged(3, format($$regexp_replace(part, '"model":"[^"]+"', (SELECT as_member(changed_model(model, %s, %L)) FROM victim))$$, place, bytes)) AS result
FROM (VALUES (1, 'interval_t', 24, '\x000000000000f03f'::bytea), (2, 'n_rows', 32, '\x000000000000f8bf'), (3, 'df', 40, '\x000000000000f0bf'),
      (4, 'rss', 48, '\x000000000000f0bf'), (5, 'sigma', 72, '\x000000000000f07f'), (6, 'lambda', 80, '\x000000000000f0bf'), (7, 'alpha', 88, '\x0000000000000040'),
      (8, 'target_mean', 120, '\x000000000000f07f'), (9, 'coefficient', 296, '\x000000000000f07f'), (10, 'dropped', 296, '\x000000000000f87f'),
      (11, 'mean', 320, '\x000000000000f07f'), (12, 'rank', 20, '\x02000000')) AS v (n, name, place, bytes) ORDER BY n;
SELECT forged(3, format($$regexp_replace(part, '"model":"[^"]+"', (SELECT as_member(changed_model(model, %s, '\x7265ff')) FROM victim))$$, (strpos(model::text, encode('red', 'hex')) - 3) / 2)) AS level_of_no_encoding FROM victim;

SELECT (SELECT count(*) FROM many_models.runs WHERE model_set <> 'word') - count AS more_runs FROM before;
SELECT count(*) AS sets FROM many_models.model_sets WHERE model_set IN ('damaged', 'forged');
SELECT count(*) AS orphans FROM many_models.model_store WHERE run_id NOT IN (SELECT run_id FROM many_models.runs);
-- A damaged model is not exported.
BEGIN;
UPDATE many_models.model_store_shared SET model = (SELECT many_models.fit('{}', 5, ARRAY[price]) FROM shop) WHERE run_id = (SELECT run_id FROM many_models.runs WHERE model_set = 'one');
SELECT error_of($$SELECT many_models.export_models('one')$$);
DELETE FROM many_models.model_store_shared WHERE run_id = (SELECT run_id FROM many_models.runs WHERE model_set = 'one');
SELECT error_of($$SELECT many_models.export_models('one')$$);
ROLLBACK;

-- Rights: what one does not see cannot be exported; importing needs the right, and the set.
CREATE ROLE mt_owner; CREATE ROLE mt_member IN ROLE mt_owner; CREATE ROLE mt_other; CREATE ROLE mt_nobody;
SELECT many_models.grant_usage('mt_owner'); SELECT many_models.grant_usage('mt_other');
GRANT USAGE, CREATE ON SCHEMA test_transfer TO mt_owner, mt_member, mt_other, mt_nobody;
GRANT SELECT ON staged, shop TO mt_owner, mt_other, mt_nobody;
SET ROLE mt_owner;
SELECT version FROM many_models.import_models('staged', 'owned');
SELECT owner, (SELECT run_by FROM many_models.runs AS r WHERE r.model_set = s.model_set) FROM many_models.model_sets AS s;
SET ROLE mt_member;
SELECT version FROM many_models.import_models('staged', 'owned');
SELECT count(*) FROM many_models.export_models('owned');
SET ROLE mt_other;
SELECT error_of($$SELECT many_models.import_models('staged', 'owned')$$);
SELECT error_of($$SELECT many_models.export_models('owned')$$);
SELECT error_of($$SELECT many_models.model_definition('owned')$$);
SELECT error_of($$SELECT many_models.model_definition_sql('owned')$$);
SELECT error_of($$SELECT many_models.model_set_sql('owned')$$);
SELECT error_of($$SELECT many_models.import_models('SELECT * FROM again', 'mine')$$);
-- What was granted: a version that one reads whole can be exported; importing is the owner's.
RESET ROLE;
SELECT many_models.grant_model_set('owned', 'mt_other', 'read', '{"store": 1}');
SET ROLE mt_other;
SELECT error_of($$SELECT many_models.export_models('owned')$$);
RESET ROLE;
SELECT many_models.grant_model_set('owned', 'mt_other', 'train');
SET ROLE mt_other;
SELECT count(*) FROM many_models.export_models('owned');
SELECT error_of($$SELECT many_models.import_models('staged', 'owned')$$);
SELECT error_of($$SELECT many_models.set_retention('owned', 1)$$);
SELECT error_of($$SELECT many_models.apply_retention('owned')$$);
-- Functions in the source change neither role nor settings nor data.
CREATE FUNCTION naughty(what text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN EXECUTE what; RETURN true; END $$;
SELECT what, error_of(format($$SELECT many_models.import_models('SELECT line, part FROM staged WHERE naughty(%s)', 'naughty')$$, replace(quote_literal(what), '''', '''''')))
FROM (VALUES (1, 'RESET ROLE'), (2, 'CREATE TEMP TABLE x (a int)'), (3, 'CREATE TABLE x (a int)'), (4, 'SET search_path = pg_temp')) AS v (n, what) ORDER BY n;
SELECT current_user, current_setting('search_path') AS search_path, many_models.drop_models('naughty') AS imported;
SET ROLE mt_nobody;
SELECT error_of($$SELECT many_models.import_models('staged')$$);
RESET ROLE;
-- Code of a type's or of the source's runs as the caller.
SET ROLE mt_owner;
CREATE FUNCTION note(text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN IF current_user <> 'mt_owner' THEN RAISE EXCEPTION 'ran as %', current_user; END IF; RETURN true; END $$;
CREATE DOMAIN noted AS text CHECK (note(VALUE));
CREATE TABLE paired AS SELECT 'x' || i % 2 AS p, ('l' || i % 2)::noted AS l, i % 7 AS x, i % 5 + i % 2 AS y FROM generate_series(1, 60) AS i;
SELECT trained FROM many_models.train_many_models('paired', 'paired', '{p,l}', 'y', '{x}');
SELECT trained FROM many_models.import_models('SELECT line, part FROM many_models.export_models(''paired'') WHERE note(part)', 'paired too');
SELECT contents('paired', 1) = contents('paired too', 1) AS same;
-- Also with operators of the caller's before the server's.
CREATE FUNCTION eq(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM test_transfer.note($1); RETURN texteq($1, $2); END $$;
CREATE FUNCTION eq(bigint, bigint) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM test_transfer.note('x'); RETURN int8eq($1, $2); END $$;
CREATE OPERATOR test_transfer.= (LEFTARG = text, RIGHTARG = text, FUNCTION = eq);
CREATE OPERATOR test_transfer.= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = eq);
SET search_path = test_transfer, pg_catalog, public;
SELECT version FROM many_models.import_models('SELECT line, part FROM many_models.export_models(''paired'')', 'paired too');
SET search_path = test_transfer, public;
DROP OPERATOR test_transfer.= (text, text);
DROP OPERATOR test_transfer.= (bigint, bigint);
RESET ROLE;

SET client_min_messages = error;
SELECT count(many_models.drop_models(model_set)) AS dropped FROM many_models.model_sets;
DROP SCHEMA test_transfer CASCADE;
DROP OWNED BY mt_owner, mt_member, mt_other, mt_nobody;
DROP ROLE mt_owner, mt_member, mt_other, mt_nobody;
