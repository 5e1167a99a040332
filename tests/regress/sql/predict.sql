-- Real-time predictions by model set, key and features.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE SCHEMA test_predict;
SET search_path = test_predict, public;
CREATE FUNCTION error_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    hint text;
BEGIN
    EXECUTE statement;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    RETURN SQLSTATE || ': ' || SQLERRM || coalesce(' HINT: ' || nullif(hint, ''), '');
END $$;

CREATE TYPE size AS ENUM ('small', 'large');
CREATE TABLE sales AS
SELECT i AS id, (ARRAY['café', '🍓', NULL])[1 + i % 3] AS store, CASE WHEN i % 2 = 0 THEN 1.0 ELSE 2.5 END AS grade,
       (i % 17)::numeric / 4 AS price, i % 5 = 0 AS promo, date '2026-01-01' + i % 40 AS day,
       timestamptz '2026-01-01 00:00+00' + i % 23 * interval '1 hour' AS at, (ARRAY['small', 'large'])[1 + i % 7 / 4]::size AS size,
       0::float8 AS units
FROM generate_series(1, 1200) AS i;
UPDATE sales SET units = id % 3 * 100 + 4 * price + 5 * promo::int + 0.5 * (day - date '2026-01-01') + 7 * (size = 'large')::int
    + extract(hour FROM at AT TIME ZONE 'UTC') + (id % 11 - 5) / 50.0;
SELECT groups, trained FROM many_models.train_many_models('p_live', 'sales', ARRAY['store', 'grade'], 'units', ARRAY['price', 'promo', 'day', 'at', 'size'], workers => 1);

SELECT round(many_models.predict('p_live', '{"store":"café","grade":1}', '{"price":2,"promo":true,"day":"2026-01-11","at":"2026-01-01 04:00+00","size":"small"}')::numeric, 1) AS expected_22;
-- As the predictions of score_many_models, to the bit; the second call is the cached one.
SELECT count(*) > 0 AS scored FROM many_models.score_many_models('p_live', 'sales', 'live_predictions', ARRAY['id'], workers => 1);
CREATE FUNCTION features(s sales) RETURNS jsonb LANGUAGE sql AS
$$SELECT jsonb_build_object('price', s.price, 'promo', s.promo, 'day', s.day, 'at', s.at, 'size', s.size, 'unused', 1)$$;
SELECT count(*), bool_and(many_models.predict('p_live', jsonb_build_object('store', s.store, 'grade', s.grade), features(s)) = p.prediction) AS same,
       bool_and((i.prediction, i.lower, i.upper, i.model_version, i.model_level) = (p.prediction, p.lower, p.upper, 1, 'group')) AS same_interval
FROM sales AS s JOIN live_predictions AS p USING (id),
     many_models.predict_interval('p_live', jsonb_build_object('store', s.store, 'grade', s.grade), features(s)) AS i;
-- The key in any form that means the same.
SELECT round(many_models.predict('p_live', k, '{"price":2,"promo":true,"day":"2026-01-11","at":"2026-01-01 04:00+00","size":"small"}')::numeric, 1)
FROM unnest(ARRAY['{"store":"café","grade":1}', '{"grade":1.000,"store":"café"}', '{"grade":"1","store":"café"}', '{"grade":2.5,"store":null}',
                  '{"grade":2.50,"store":"🍓"}']::jsonb[]) AS k;
-- Under other settings of the session.
SET TimeZone = 'Asia/Kolkata';
SET DateStyle = 'German, DMY';
SET extra_float_digits = -5;
SELECT round(many_models.predict('p_live', '{"store":"café","grade":1}', '{"price":2,"promo":true,"day":"11.01.2026","at":"01.01.2026 09:30","size":"small"}')::numeric, 1) AS expected_22;
RESET TimeZone;
RESET DateStyle;
RESET extra_float_digits;

-- No model, a NULL feature, a level that training did not see: NULL.
CREATE FUNCTION predict_one(key jsonb, change jsonb) RETURNS text LANGUAGE sql AS
$$SELECT format('%s, %s, %s', (i.prediction IS NULL) AND many_models.predict('p_live', key, f) IS NULL, i.model_version, i.model_level)
  FROM (SELECT '{"price":2,"promo":true,"day":"2026-01-11","at":"2026-01-01 04:00+00","size":"small"}'::jsonb || change) AS v (f),
       many_models.predict_interval('p_live', key, f) AS i$$;
SELECT predict_one('{"store":"none","grade":1}', '{}');
SELECT predict_one('{"store":"none","grade":1}', '{}');
SELECT predict_one('{"store":null,"grade":null}', '{}');
SELECT predict_one('{"store":"café","grade":1}', '{"price":null}');
SELECT predict_one('{"store":"café","grade":1}', '{"size":"huge"}');
SELECT predict_one('{"store":"café","grade":1}', '{"price":1e308}');
SELECT predict_one('{"store":"café","grade":1}', '{"price":"NaN"}');
SELECT predict_one('{"store":"café","grade":1}', '{}');
SELECT many_models.predict(NULL, '{}', '{}') IS NULL AS strict;
SELECT upper - lower > 0 AS wide FROM many_models.predict_interval('p_live', '{"store":"café","grade":1}',
    '{"price":2,"promo":true,"day":"2026-01-11","at":"2026-01-01 04:00+00","size":"small"}', 0.5);

-- Errors.
SELECT error_of($$SELECT many_models.predict('dead', '{}', '{}')$$);
SELECT error_of($$SELECT many_models.predict('p_live', '{"store":"a"}', '{}')$$);
SELECT error_of($$SELECT many_models.predict('p_live', '{"store":"a","grade":1,"product":3}', '{}')$$);
SELECT error_of($$SELECT many_models.predict('p_live', '[1]', '{}')$$);
SELECT error_of($$SELECT many_models.predict('p_live', '{"store":["a"],"grade":1}', '{}')$$);
SELECT error_of($$SELECT many_models.predict('p_live', '{"store":"a","grade":"x"}', '{}')$$);
SELECT error_of($$SELECT many_models.predict('p_live', '{"store":"café","grade":1}', '{"price":1}')$$);
SELECT error_of($$SELECT many_models.predict('p_live', '{"store":"café","grade":1}', '[1,2]')$$);
SELECT error_of($$SELECT predict_one('{"store":"café","grade":1}', '{"price":true}')$$);
SELECT error_of($$SELECT predict_one('{"store":"café","grade":1}', '{"price":"dear"}')$$);
SELECT error_of($$SELECT predict_one('{"store":"café","grade":1}', '{"day":7}')$$);
SELECT error_of($$SELECT predict_one('{"store":"café","grade":1}', '{"day":"soon"}')$$);
SELECT error_of($$SELECT predict_one('{"store":"café","grade":1}', '{"size":1}')$$);
SELECT error_of($$SELECT predict_one('{"store":"café","grade":1}', '{"size":[1]}')$$);
SELECT error_of($$SELECT * FROM many_models.predict_interval('p_live', '{"store":"café","grade":1}', '{}', 1)$$);

-- A new version is seen at once; a rolled back one is not.
CREATE TABLE line AS SELECT i % 2 AS store, i::float8 AS x, 2.0 * i::float8 AS y FROM generate_series(1, 40) AS i;
SELECT version FROM many_models.train_many_models('p_line', 'line', ARRAY['store'], 'y', ARRAY['x'], workers => 1);
SELECT round(many_models.predict('p_line', '{"store":1}', '{"x":10}')::numeric, 6);
BEGIN;
SELECT version FROM many_models.train_many_models('p_line', 'SELECT store, x, y + 100 AS y FROM line', workers => 1);
SELECT round(many_models.predict('p_line', '{"store":1}', '{"x":10}')::numeric, 6);
ROLLBACK;
SELECT round(many_models.predict('p_line', '{"store":1}', '{"x":10}')::numeric, 6);
SELECT version FROM many_models.train_many_models('p_line', 'SELECT store, x, y + 200 AS y FROM line', workers => 1);
SELECT round(many_models.predict('p_line', '{"store":1}', '{"x":10}')::numeric, 6), model_version
FROM many_models.predict_interval('p_line', '{"store":1}', '{"x":10}');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT round(many_models.predict('p_line', '{"store":0}', '{"x":10}')::numeric, 6);
COMMIT;
SELECT round(many_models.predict('p_line', '{"store":0}', '{"x":10}')::numeric, 6);

-- In parallel workers.
SELECT set_config(name, 'on', false) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');
SELECT round(many_models.predict('p_line', '{"store":1}', '{"x":10}')::numeric, 6);
SELECT set_config(name, 'off', false) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');
-- With a cache that holds almost nothing.
SET many_models.model_cache_size = '64kB';
SELECT count(*), bool_and(many_models.predict('p_live', jsonb_build_object('store', s.store, 'grade', s.grade, 'grade', s.grade), features(s)) = p.prediction) AS same
FROM sales AS s JOIN live_predictions AS p USING (id);
SELECT count(many_models.predict('p_line', jsonb_build_object('store', i), '{"x":10}')) FROM generate_series(0, 3000) AS i;
SELECT round(many_models.predict('p_line', '{"store":1}', '{"x":10}')::numeric, 6);
RESET many_models.model_cache_size;

-- Another role sees nothing, also after this one has filled the cache; a member of the owner does.
CREATE ROLE test_predict_other;
GRANT USAGE ON SCHEMA test_predict TO test_predict_other;
SET ROLE test_predict_other;
SELECT error_of($$SELECT many_models.predict('p_line', '{"store":1}', '{"x":10}')$$);
RESET ROLE;
SELECT format('GRANT %I TO test_predict_other', current_user) AS statement \gset
:statement;
SET ROLE test_predict_other;
SELECT round(many_models.predict('p_line', '{"store":1}', '{"x":10}')::numeric, 6);
RESET ROLE;
SELECT format('REVOKE %I FROM test_predict_other', current_user) AS statement \gset
:statement;
SET ROLE test_predict_other;
SELECT error_of($$SELECT many_models.predict('p_line', '{"store":1}', '{"x":10}')$$);
RESET ROLE;
-- Damaged bytes.
CREATE CAST (bytea AS many_models.model) WITHOUT FUNCTION;
BEGIN;
UPDATE many_models.model_store SET model = overlay(many_models.model_send(model) PLACING '\xdeadbeef' FROM 60)::many_models.model
WHERE run_id = (SELECT max(run_id) FROM many_models.runs WHERE model_set = 'p_line');
SELECT error_of($$SELECT many_models.predict('p_line', '{"store":1, "store":0}', '{"x":11}')$$);
ROLLBACK;
DROP CAST (bytea AS many_models.model);
-- Dropped sets are gone from the cache.
SELECT many_models.drop_models('p_line') > 0 AS dropped;
SELECT error_of($$SELECT many_models.predict('p_line', '{"store":1}', '{"x":10}')$$);

SELECT many_models.drop_models('p_live') > 0 AS dropped;
DROP OWNED BY test_predict_other;
DROP ROLE test_predict_other;
DROP SCHEMA test_predict CASCADE;
