-- score_many_models: a table with one prediction per source row.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE SCHEMA test_score;
SET search_path = test_score, public;
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
-- What a summary says, without what changes from run to run.
CREATE FUNCTION summary(s many_models.run_summary) RETURNS text LANGUAGE sql AS
$$SELECT format('%s %s v%s groups=%s trained=%s failed=%s skipped=%s rows=%s', s.status, s.model_set, s.version,
                s.groups, s.trained, s.failed, s.skipped, s.rows_read)$$;

-- units = 10 store + (2 price | 3 price) + noise that cancels; columns with awkward names, keys with
-- NULL, accents and emoji, numeric keys that are written in two ways.
CREATE TABLE sales (
    id bigint PRIMARY KEY,
    "group" text,
    "select" numeric,
    day date,
    price float8,
    promo boolean,
    colour text,
    units float8
);
INSERT INTO sales
SELECT i, (ARRAY['café', '🍓 berry', 'it''s', NULL])[1 + i % 4], CASE WHEN i % 3 = 0 THEN 1 WHEN i % 3 = 1 THEN 1.0 ELSE 2.50 END,
       date '2026-01-01' + i % 50, i % 17, i % 5 = 0, (ARRAY['blue', 'red'])[1 + i % 7 / 4], 0
FROM generate_series(1, 2000) AS i;
UPDATE sales SET units = 10 * (id % 4) + (2 + "select") * price + 5 * promo::int - 7 * (colour = 'red')::int + (id % 11 - 5) / 50.0;

SELECT summary(many_models.train_many_models('s_demand', 'sales', ARRAY['group', 'select'], 'units', ARRAY['price', 'promo', 'colour'],
                                             workers => 1));
SELECT summary(many_models.score_many_models('s_demand', workers => 1));
\d s_demand_predictions
SELECT obj_description('s_demand_predictions'::regclass);
SELECT count(*), count(prediction), count(lower), count(fallback_reason), count(DISTINCT model_id) FROM s_demand_predictions;
-- 1 and 1.0 are one group; NULL is one.
SELECT "group", trim_scale(p."select") AS "select", count(*), count(DISTINCT model_id) AS models, bool_and(model_level = 'group') AS level_group,
       bool_and(abs(p.prediction - s.units) < 0.25) AS close, bool_and(p.lower < p.prediction AND p.prediction < p.upper) AS inside,
       round(avg((s.units BETWEEN p.lower AND p.upper)::int), 1) AS coverage
FROM s_demand_predictions AS p JOIN sales AS s USING (id, "group")
WHERE p."select" = s."select"
GROUP BY 1, 2 ORDER BY 1, 2;
SELECT "select"::text, count(*) FROM s_demand_predictions WHERE "group" IS NULL AND prediction IS NOT NULL GROUP BY 1 ORDER BY 1;
SELECT p.model_version, r.kind, r.version, r.status, r.groups, r.failed, r.rows_read, r.into_table, p.scored_at = r.started_at AS same_time
FROM (SELECT DISTINCT model_version, run_id, scored_at FROM s_demand_predictions) AS p JOIN many_models.runs AS r USING (run_id);
-- Statistics are there for the planner.
SELECT c.reltuples FROM pg_class AS c JOIN pg_inherits AS i ON i.inhrelid = c.oid
WHERE i.inhparent = 's_demand_predictions'::regclass;

-- Rows never vanish: no model, NULL feature, unseen level, NaN.
CREATE TABLE orders AS
SELECT * FROM (VALUES
    (1, 'café', 1.00, 3::float8, true, 'red'),
    (2, 'nowhere', 1, 3, true, 'red'),
    (3, 'café', 99, 3, true, 'red'),
    (4, 'café', 1, NULL, true, 'red'),
    (5, 'café', 1, 3, NULL, 'red'),
    (6, 'café', 1, 3, true, NULL),
    (7, 'café', 1, 3, true, 'grün 🍏'),
    (8, 'café', 1, 'NaN', true, 'red'),
    (9, 'café', 1, '-Infinity', false, 'blue'),
    (10, NULL, 2.5, 3, false, 'blue'),
    (11, NULL, NULL, 3, false, 'blue'),
    (12, 'it''s', 1, 1e308, false, 'blue')
) AS v (order_no, "group", "select", price, promo, colour);
SELECT summary(many_models.score_many_models('s_demand', 'orders', 'order_predictions', ARRAY['order_no'], workers => 1));
SELECT order_no, "group", "select", round(prediction::numeric, 1) AS prediction, lower IS NOT NULL AS has_interval,
       model_id IS NOT NULL AS has_model, model_version, model_level, fallback_reason
FROM order_predictions ORDER BY order_no;

-- Append is the default; replace swaps.
SELECT summary(many_models.score_many_models('s_demand', 'orders', 'order_predictions', ARRAY['order_no'], options => '{"on_existing":"append"}'));
SELECT count(*), count(DISTINCT run_id) AS runs FROM order_predictions;
SELECT summary(many_models.score_many_models('s_demand', 'SELECT * FROM orders WHERE order_no < 4', 'order_predictions', ARRAY['order_no'],
                                             options => '{"on_existing":"replace"}'));
SELECT count(*), count(DISTINCT run_id) AS runs FROM order_predictions;
-- Rolled back, nothing changed.
BEGIN;
SELECT summary(many_models.score_many_models('s_demand', 'orders', 'order_predictions', ARRAY['order_no'], options => '{"on_existing":"replace"}'));
ROLLBACK;
SELECT count(*) FROM order_predictions;
-- A source that is a query sees the caller's uncommitted rows and temporary tables.
BEGIN;
CREATE TEMP TABLE new_orders AS SELECT * FROM orders WHERE order_no = 1;
SELECT summary(many_models.score_many_models('s_demand', 'WITH n AS (SELECT * FROM new_orders) SELECT * FROM n', 'pg_temp.temp_predictions', '{}'));
SELECT count(*) FROM temp_predictions;
ROLLBACK;
-- Keys of another integer width, varchar for text; a view; a partitioned source.
CREATE TABLE narrow AS SELECT i AS id, (i % 3)::int8 AS store, (i % 2)::smallint AS kind, i::float8 AS x, i * 2.0::float8 AS y FROM generate_series(1, 60) AS i;
SELECT summary(many_models.train_many_models('s_narrow', 'narrow', ARRAY['store', 'kind'], 'y', ARRAY['x'], workers => 1));
CREATE VIEW narrow_view AS SELECT id, store::smallint AS store, kind::bigint AS kind, x FROM narrow;
SELECT summary(many_models.score_many_models('s_narrow', 'narrow_view'));
SELECT pg_typeof(store) AS store, pg_typeof(kind) AS kind, count(prediction), bool_and(abs(prediction - 2 * id) < 1e-6) FROM
    (SELECT p.*, row_number() OVER () AS id FROM s_narrow_predictions AS p) AS p WHERE false OR true GROUP BY 1, 2;
CREATE TABLE parts (LIKE narrow) PARTITION BY LIST (kind);
CREATE TABLE parts0 PARTITION OF parts FOR VALUES IN (0);
CREATE TABLE parts1 PARTITION OF parts FOR VALUES IN (1);
INSERT INTO parts SELECT * FROM narrow;
SELECT summary(many_models.score_many_models('s_narrow', 'parts', 'parts_predictions', ARRAY['id']));
SELECT count(prediction), max(abs(prediction - 2 * id)) < 1e-6 AS exact FROM parts_predictions;

-- One model over all rows.
SELECT summary(many_models.train_many_models('s_whole', 'narrow', '{}', 'y', ARRAY['x'], workers => 1));
SELECT summary(many_models.score_many_models('s_whole', id_columns => ARRAY['id']));
SELECT count(prediction), max(abs(prediction - 2 * id)) < 1e-6 AS exact, count(DISTINCT model_id) FROM s_whole_predictions;

-- The same rows under a parallel plan, and by a join when the models exceed the memory budget.
CREATE TABLE many AS SELECT i AS id, i % 4001 AS store, nullif(i % 2, 0) AS kind, (i % 101)::float8 AS x, (i % 101) * 2.0::float8 + i % 3 AS y
FROM generate_series(1, 60000) AS i;
ANALYZE many;
SELECT summary(many_models.train_many_models('s_many', 'many', ARRAY['store', 'kind'], 'y', ARRAY['x'], workers => 1));
SELECT summary(many_models.score_many_models('s_many', 'many', 'many_serial', ARRAY['id'], workers => 1));
SET min_parallel_table_scan_size = 0;
SET parallel_setup_cost = 0;
SELECT workers > 1 AS parallel FROM many_models.score_many_models('s_many', 'many', 'many_parallel', ARRAY['id'], workers => 3);
SET many_models.memory_budget = '1MB';
SELECT summary(many_models.score_many_models('s_many', 'many', 'many_joined', ARRAY['id'], workers => 2));
RESET many_models.memory_budget;
RESET min_parallel_table_scan_size;
RESET parallel_setup_cost;
SELECT count(*), count(DISTINCT a.model_id) AS models, count(*) FILTER (WHERE a.kind IS NULL) AS null_keys, max(abs(a.prediction - m.y)) < 3 AS close,
       bool_and((a.store, a.kind, a.prediction, a.lower, a.upper, a.model_id) IS NOT DISTINCT FROM
                (b.store, b.kind, b.prediction, b.lower, b.upper, b.model_id)) AS parallel_same,
       bool_and((a.store, a.kind, a.prediction, a.lower, a.upper, a.model_id) IS NOT DISTINCT FROM
                (c.store, c.kind, c.prediction, c.lower, c.upper, c.model_id)) AS joined_same
FROM many_serial AS a JOIN many_parallel AS b USING (id) JOIN many_joined AS c USING (id) JOIN many AS m USING (id);

-- Many features: as many as a function has arguments; and, as a record, more.
DO $$BEGIN
    EXECUTE (SELECT format('CREATE TABLE wide AS SELECT i AS id, i %% 2 AS store, 3.0 * (i %% 7) AS f1, %s, 3.0 * (i %% 7) AS y
                            FROM generate_series(1, 500) AS i',
                           string_agg(format('((i * %s) %% 10007)::float8 AS f%s', 17 + n * n, n), ', ')) FROM generate_series(2, 95) AS n);
END$$;
SELECT summary(many_models.train_many_models('s_wide', 'wide', ARRAY['store'], 'y', (SELECT array_agg('f' || n) FROM generate_series(1, 95) AS n),
                                             workers => 1));
SELECT summary(many_models.score_many_models('s_wide', 'wide', id_columns => ARRAY['id']));
SELECT count(prediction), max(abs(prediction - y)) < 1e-6 AS exact FROM s_wide_predictions JOIN wide USING (id);
SELECT bool_and(many_models.score_record(ARRAY[r.storage, r.run_id], 0.95, ARRAY['store', 'kind'], ARRAY['x'], ROW(n.store, n.kind, n.x))::text
              = many_models.score_row(ARRAY[r.storage, r.run_id], 0.95, ARRAY['store', 'kind'], ARRAY['x'], n.store, n.kind, n.x)::text) AS same
FROM narrow AS n, many_models.runs AS r WHERE r.model_set = 's_narrow' AND r.kind = 'train';
SELECT error_of($$SELECT many_models.score_row('{0,0}', 0.95, ARRAY['store'], ARRAY['x'], VARIADIC ARRAY[1, 2])$$);
SELECT error_of($$SELECT many_models.score_row(NULL, 0.95, ARRAY['store'], ARRAY['x'], 1, 2)$$);
SELECT error_of($$SELECT many_models.score_row('{0,0}', 0.95, ARRAY['store', 'kind'], ARRAY['x'], 1)$$);
SELECT error_of($$SELECT many_models.score_row('{0,0,1}', 0.95, ARRAY['store'], ARRAY['x'], 1, 2)$$);
SELECT error_of($$SELECT many_models.score_joined(1, 1, many_models.fit('{}', i, ARRAY[i * i % 7]::float8[]), ARRAY[1], ROW(1.0)) FROM generate_series(1, 9) AS i$$);
SELECT error_of($$SELECT ''::many_models.score$$);

-- Versions.
SELECT summary(many_models.train_many_models('s_narrow', 'SELECT id, store, kind, x, y + 100 AS y FROM narrow', workers => 1));
SELECT summary(many_models.score_many_models('s_narrow', 'narrow', 'versions', ARRAY['id']));
SELECT summary(many_models.score_many_models('s_narrow', 'narrow', 'versions', ARRAY['id'], version => 1));
SELECT model_version, round(avg(prediction - 2 * id)::numeric, 6) FROM versions GROUP BY 1 ORDER BY 1;

-- Errors, before a row is read.
SELECT error_of($$SELECT many_models.score_many_models('nothing')$$);
SELECT error_of($$SELECT many_models.score_many_models(NULL)$$);
SELECT error_of($$SELECT many_models.score_many_models('s_narrow', version => 7)$$);
SELECT error_of($$SELECT many_models.score_many_models('s_narrow', version => 0)$$);
SELECT error_of($$SELECT many_models.score_many_models('s_narrow', horizon => 3)$$);
SELECT error_of($$SELECT many_models.score_many_models('s_narrow', level => 95)$$);
SELECT error_of($$SELECT many_models.score_many_models('s_narrow', workers => 0)$$);
SELECT error_of($$SELECT many_models.score_many_models('s_narrow', options => '{"on_exists":"append"}')$$);
SELECT error_of($$SELECT many_models.score_many_models('s_narrow', options => '{"on_existing":"drop"}')$$);
SELECT error_of($$SELECT many_models.score_many_models('s_narrow', 'nowhere')$$);
SELECT error_of($$SELECT many_models.score_many_models('s_narrow', 'SELECT store, x FROM narrow')$$);
SELECT error_of($$SELECT many_models.score_many_models('s_narrow', 'SELECT store, kind FROM narrow')$$);
SELECT error_of($$SELECT many_models.score_many_models('s_narrow', 'narrow', id_columns => ARRAY['no'])$$);
SELECT error_of($$SELECT many_models.score_many_models('s_narrow', 'SELECT store::text, kind, x FROM narrow')$$);
SELECT error_of($$SELECT many_models.score_many_models('s_narrow', 'SELECT store, kind, x::text FROM narrow')$$);
SELECT error_of($$SELECT many_models.score_many_models('s_narrow', 'SELECT store, kind, date ''2026-01-01'' AS x FROM narrow')$$);
SELECT error_of($$SELECT many_models.score_many_models('s_narrow', 'SELECT store, kind, x, 1 AS prediction FROM narrow', 'clash', ARRAY['prediction'])$$);
SELECT error_of($$SELECT many_models.score_many_models('s_narrow', 'narrow', 'narrow')$$);
SELECT error_of($$SELECT many_models.score_many_models('s_narrow', 'narrow', 'order_predictions')$$);
SELECT error_of($$SELECT many_models.score_many_models('s_narrow', 'narrow', 's_narrow_predictions', ARRAY['id'])$$);
SELECT error_of($$SELECT many_models.score_many_models('s_narrow', 'DELETE FROM narrow RETURNING *')$$);
-- A source with side effects is refused, and has none.
CREATE SEQUENCE counter;
CREATE TABLE log (i int);
CREATE FUNCTION spy(i int) RETURNS float8 LANGUAGE plpgsql AS $$BEGIN INSERT INTO log VALUES (i); RETURN i; END$$;
SELECT error_of($$SELECT many_models.score_many_models('s_narrow', 'SELECT id, store, kind, spy(id) AS x FROM narrow', 'effects')$$);
SELECT error_of($$SELECT many_models.score_many_models('s_narrow', 'SELECT nextval(''counter'') AS id, store, kind, x FROM narrow', 'effects')$$);
SELECT count(*), to_regclass('effects') FROM log;
-- The transaction is as writable as before, also after an error that was caught.
INSERT INTO log VALUES (1);
DO $$BEGIN
    BEGIN
        PERFORM many_models.score_many_models('s_narrow', 'SELECT id, store, kind, spy(id) AS x FROM narrow', 'effects');
    EXCEPTION WHEN read_only_sql_transaction THEN NULL;
    END;
    INSERT INTO log VALUES (2);
END$$;
SELECT count(*) FROM log;
BEGIN READ ONLY;
SELECT error_of($$SELECT many_models.score_many_models('s_narrow')$$);
ROLLBACK;
-- Damaged bytes are an error.
CREATE CAST (bytea AS many_models.model) WITHOUT FUNCTION;
BEGIN;
UPDATE many_models.model_store SET model = overlay(many_models.model_send(model) PLACING '\xdeadbeef' FROM 60)::many_models.model
WHERE run_id = (SELECT max(run_id) FROM many_models.runs WHERE model_set = 's_narrow' AND kind = 'train');
SELECT error_of($$SELECT many_models.score_many_models('s_narrow', 'narrow', 'damaged')$$);
ROLLBACK;
DROP CAST (bytea AS many_models.model);

-- Rights: execution is granted; the sets of others are not seen; the tables of others not written.
CREATE ROLE test_score_analyst;
GRANT USAGE, CREATE ON SCHEMA test_score TO test_score_analyst;
GRANT SELECT ON narrow, versions TO test_score_analyst;
SET ROLE test_score_analyst;
SELECT error_of($$SELECT many_models.score_many_models('s_narrow', 'narrow', 'mine')$$);
RESET ROLE;
SELECT many_models.grant_usage('test_score_analyst');
SET ROLE test_score_analyst;
SELECT error_of($$SELECT many_models.score_many_models('s_narrow', 'narrow', 'mine')$$);
SELECT summary(many_models.train_many_models('s_own', 'narrow', ARRAY['store', 'kind'], 'y', ARRAY['x'], workers => 1));
SELECT error_of($$SELECT many_models.score_many_models('s_own', 'narrow', 'versions', ARRAY['id'])$$);
SELECT error_of($$SELECT many_models.score_many_models('s_own', 'sales')$$);
SELECT summary(many_models.score_many_models('s_own', 'narrow'));
SELECT tableowner FROM pg_tables WHERE tablename = 's_own_predictions';
RESET ROLE;
-- A name of the full length.
SELECT summary(many_models.score_many_models('s_narrow', 'narrow', repeat('n', 63)));
SELECT length(relname), count(*) FROM pg_class WHERE relname LIKE 'nnnnnnnn%' GROUP BY 1;

SELECT many_models.drop_models(s) IS NOT NULL FROM unnest(ARRAY['s_demand', 's_narrow', 's_whole', 's_many', 's_wide', 's_own']) AS s;
DROP OWNED BY test_score_analyst;
DROP ROLE test_score_analyst;
DROP SCHEMA test_score CASCADE;
