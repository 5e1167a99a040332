-- Grants on model sets: read, score, train, promote, narrowed to keys or not.
SET client_min_messages = warning;
CREATE ROLE mm_owner;
CREATE ROLE mm_reader;
CREATE ROLE mm_manager LOGIN;
CREATE ROLE mm_trainer LOGIN;
CREATE ROLE mm_team;
CREATE ROLE mm_member IN ROLE mm_team;
SELECT many_models.grant_usage(r) FROM (VALUES ('mm_owner'::regrole), ('mm_reader'), ('mm_manager'), ('mm_trainer')) AS r (r);
CREATE SCHEMA shop AUTHORIZATION mm_owner;
GRANT ALL ON SCHEMA shop TO mm_reader, mm_manager, mm_trainer, mm_member;
SET search_path = shop, public;
-- Two stores and three products; the third never varies and is skipped.
CREATE TABLE sold AS SELECT 1 + i % 2 AS store, 'P' || 1 + i % 3 AS product, i % 7 AS price,
    CASE WHEN i % 3 < 2 THEN 10 * (1 + i % 2) + 2 * (i % 7) + i % 5 ELSE 1 END AS units FROM generate_series(1, 600) AS i;
GRANT SELECT ON sold TO mm_owner, mm_reader, mm_manager;
GRANT SELECT (store, product, price, units) ON sold TO mm_trainer;
SET ROLE mm_owner;
SELECT version, trained, skipped FROM many_models.train_many_models('demand', 'shop.sold', '{store,product}', 'units', '{price}', tags => '{"a": 1}');
SELECT trained FROM many_models.train_many_models('other', 'shop.sold', '{store}', 'units', '{price}');
GRANT SELECT ON demand_models TO PUBLIC;
RESET ROLE;
CREATE FUNCTION public.seen() RETURNS TABLE (sets bigint, runs bigint, models bigint, metrics bigint, coefficients bigint, fits bigint, failures bigint, view bigint,
    model_store bigint, failure_store bigint, grants bigint) LANGUAGE sql AS $$
SELECT (SELECT count(*) FROM many_models.model_sets), (SELECT count(*) FROM many_models.runs), (SELECT count(*) FROM many_models.models),
    (SELECT count(*) FROM many_models.metrics), (SELECT count(*) FROM many_models.coefficients), (SELECT count(*) FROM many_models.fit_statistics),
    (SELECT count(*) FROM many_models.failures), (SELECT count(*) FROM shop.demand_models), (SELECT count(*) FROM many_models.model_store),
    (SELECT count(*) FROM many_models.failure_store), (SELECT count(*) FROM many_models.model_set_grants)
$$;

-- Without a grant.
SET ROLE mm_reader;
SELECT * FROM seen();
SELECT error_of($$SELECT many_models.predict('demand', '{"store": 1, "product": "P1"}', '{"price": 2}')$$);
SELECT many_models.has_model_set_privilege('demand', 'read') AS read, many_models.key_is_granted('demand', '{"store": 1, "product": "P1"}') AS key;
SELECT error_of($$SELECT many_models.grant_model_set('demand', 'mm_reader', 'read')$$);
SELECT error_of($$SELECT many_models.revoke_model_set('demand', 'mm_reader', 'read')$$);
SELECT error_of($$SELECT many_models.alter_model_set_owner('demand', 'mm_reader')$$);

-- What cannot be granted.
SET ROLE mm_owner;
SELECT error_of($$SELECT many_models.grant_model_set('demand', 'mm_reader', 'write')$$);
SELECT error_of($$SELECT many_models.grant_model_set('no such set', 'mm_reader', 'read')$$);
SELECT error_of($$SELECT many_models.grant_model_set('demand', 'mm_missing', 'read')$$);
SELECT error_of($$SELECT many_models.grant_model_set('demand', 4294967295, 'read')$$);
SELECT error_of($$SELECT many_models.grant_model_set(NULL, 'mm_reader', 'read')$$);
SELECT error_of($$SELECT many_models.grant_model_set('demand', NULL, 'read')$$);
SELECT error_of($$SELECT many_models.grant_model_set('demand', 'mm_reader', NULL)$$);
SELECT keys, error_of(format('SELECT many_models.grant_model_set(%L, %L, %L, %L)', 'demand', 'mm_reader', 'read', keys))
FROM (VALUES (1, '{}'), (2, '[]'), (3, '7'), (4, '"store"'), (5, 'null'), (6, '[1]'), (7, '[{"store": 1}, {}]'), (8, '[[{"store": 1}]]'),
    (9, '{"shop": 1}'), (10, '{"store": 1, "price": 2}'), (11, '{"store": {"a": 1}}'), (12, '{"store": [1]}'), (13, '{"store": "one"}')) AS k (n, keys) ORDER BY n;
SELECT privilege, error_of(format('SELECT many_models.grant_model_set(%L, %L, %L, %L)', 'demand', 'mm_reader', privilege, '{"store": 1}'))
FROM (VALUES (1, 'train'), (2, 'promote'), (3, 'all')) AS p (n, privilege) ORDER BY n;
SELECT count(*) FROM many_models.model_set_grants;

-- Read: all there is to see of the set, and nothing else.
SELECT many_models.grant_model_set('demand', 'mm_reader', 'READ');
SELECT model_set, owner, grantee, privilege, keys, granted_by FROM many_models.model_set_grants;
SELECT * FROM seen();
SET ROLE mm_reader;
SELECT * FROM seen();
SELECT DISTINCT model_set FROM many_models.models;
SELECT model_set, owner, grantee, privilege, keys, granted_by FROM many_models.model_set_grants;
SELECT p AS privilege, many_models.has_model_set_privilege('demand', p) AS has FROM unnest('{read,score,train,promote}'::text[]) AS p;
SELECT error_of($$SELECT many_models.predict('demand', '{"store": 1, "product": "P1"}', '{"price": 2}')$$);
SELECT error_of($$SELECT many_models.score_many_models('demand')$$);
SELECT error_of($$SELECT many_models.score_row(ARRAY[storage, run_id], 0.95, '{store,product}', '{price}', 1, 'P1'::text, 2) FROM many_models.runs WHERE kind = 'train'$$);
SELECT error_of($$SELECT many_models.train_many_models('demand')$$);
SELECT error_of($$SELECT many_models.start_training('demand')$$);
SELECT error_of($$SELECT many_models.start_scoring('demand')$$);
SELECT error_of($$SELECT many_models.refresh_many_models('demand')$$);
SELECT error_of(format('SELECT many_models.retrain_failed(%s, true)', run_id)) FROM many_models.runs;
SELECT error_of($$SELECT many_models.run_pipeline('demand')$$);
SELECT error_of($$SELECT many_models.drop_models('demand')$$);
SELECT error_of($$SELECT many_models.grant_model_set('demand', 'mm_manager', 'read')$$);
SET ROLE mm_manager;
SELECT * FROM seen();

-- Score, narrowed: a store manager. Values are taken as the partition columns have them.
SET ROLE mm_owner;
SELECT many_models.grant_model_set('demand', 'mm_manager', 'score', '{"store": "2"}');
SELECT grantee, privilege, keys FROM many_models.model_set_grants ORDER BY 1, 2;
SET ROLE mm_manager;
SELECT * FROM seen();
SELECT DISTINCT partition_key FROM many_models.models ORDER BY 1;
SELECT DISTINCT partition_key ->> 'store' AS store FROM many_models.metrics UNION SELECT partition_key ->> 'store' FROM many_models.coefficients
UNION SELECT partition_key ->> 'store' FROM many_models.fit_statistics UNION SELECT partition_key ->> 'store' FROM many_models.failures
UNION SELECT store::text FROM demand_models;
SELECT p AS privilege, many_models.has_model_set_privilege('demand', p) AS has, many_models.key_is_granted('demand', '{"store": 2, "product": "P9"}', p) AS two,
    many_models.key_is_granted('demand', '{"store": 1, "product": "P1"}', p) AS one, many_models.key_is_granted('demand', '{}', p) AS whole
FROM unnest('{read,score,train,promote}'::text[]) AS p;
-- Another store's group is a group without a model.
SELECT store, many_models.predict('demand', jsonb_build_object('store', store, 'product', 'P1'), '{"price": 2}') IS NOT NULL AS predicts,
    (many_models.predict_interval('demand', jsonb_build_object('store', store, 'product', 'P1'), '{"price": 2}')).model_level FROM generate_series(1, 3) AS store;
SELECT groups, failed, rows_read FROM many_models.score_many_models('demand', into_table => 'manager_predictions');
SELECT store, model_level, fallback_reason, count(*), count(prediction) FROM manager_predictions GROUP BY 1, 2, 3 ORDER BY 1, 2;
SELECT many_models.start_scoring('demand', into_table => 'manager_predictions') AS run \gset
SELECT many_models.wait_for_run(:run);
SELECT store, count(*), count(prediction) FROM manager_predictions WHERE run_id = :run GROUP BY 1 ORDER BY 1;
SELECT many_models.score_row(ARRAY[storage, run_id], 0.95, '{store,product}', '{price}', 2, 'P1'::text, 2)::text <> many_models.score_row(ARRAY[storage, run_id], 0.95, '{store,product}', '{price}', 1, 'P1'::text, 2)::text
    AS differ FROM many_models.runs WHERE kind = 'train';
SELECT error_of($$SELECT many_models.train_many_models('demand')$$);
-- A group whose training brought no model, and a group that is not his, are one and the same to him.
SELECT many_models.predict('demand', '{"store": 2, "product": "P3"}', '{"price": 2}') IS NULL AS skipped, many_models.predict('demand', '{"store": 1, "product": "P3"}', '{"price": 2}') IS NULL AS of_another;

-- Reads all, scores with some.
SET ROLE mm_owner;
SELECT many_models.grant_model_set('demand', 'mm_manager', 'read');
SET ROLE mm_manager;
SELECT models, failures FROM seen();
SELECT store, many_models.predict('demand', jsonb_build_object('store', store, 'product', 'P1'), '{"price": 2}') IS NOT NULL AS predicts FROM generate_series(1, 2) AS store;
SELECT groups FROM many_models.score_many_models('demand', into_table => 'manager_predictions', options => '{"on_existing": "replace"}');
SELECT store, model_level, count(prediction) FROM manager_predictions GROUP BY 1, 2 ORDER BY 1, 2;
SET ROLE mm_owner;
SELECT many_models.revoke_model_set('demand', 'mm_manager', 'read');

-- Keys add up, and go one by one. Read with keys of its own.
SELECT many_models.grant_model_set('demand', 'mm_manager', 'score', '[{"store": 1, "product": "P1"}, {"store": 2}]');
SELECT many_models.grant_model_set('demand', 'mm_manager', 'read', '{"product": "P2"}');
SELECT privilege, keys FROM many_models.model_set_grants WHERE grantee = 'mm_manager'::regrole ORDER BY 1;
SET ROLE mm_manager;
SELECT DISTINCT partition_key, many_models.key_is_granted('demand', partition_key, 'score') AS scores FROM many_models.models ORDER BY 1;
SET ROLE mm_owner;
SELECT many_models.revoke_model_set('demand', 'mm_manager', 'score', '{"store": 2}');
SET ROLE mm_manager;
SELECT DISTINCT partition_key, many_models.predict('demand', partition_key, '{"price": 2}') IS NOT NULL AS scores FROM many_models.models ORDER BY 1;
SET ROLE mm_owner;
SET client_min_messages = notice;
SELECT many_models.revoke_model_set('demand', 'mm_manager', 'score', '{"store": 2}');
SELECT many_models.revoke_model_set('demand', 'mm_manager', 'read');
SELECT many_models.revoke_model_set('demand', 'mm_manager', 'score', '{"product": "P1", "store": 1}');
SELECT error_of($$SELECT many_models.revoke_model_set('demand', 'mm_reader', 'read', '{"store": 1}')$$);
SET client_min_messages = warning;
SELECT grantee, privilege, keys FROM many_models.model_set_grants ORDER BY 1, 2;
SET ROLE mm_manager;
SELECT * FROM seen();
-- A grant of all groups stays one when keys are granted.
SET ROLE mm_owner;
SELECT many_models.grant_model_set('demand', 'mm_reader', 'read', '{"store": 1}');
SELECT grantee, privilege, keys FROM many_models.model_set_grants ORDER BY 1, 2;

-- All, to a role with members: who is a member has it, who is no longer has not.
SELECT many_models.grant_model_set('demand', 'mm_team', 'all');
SELECT privilege FROM many_models.model_set_grants WHERE grantee = 'mm_team'::regrole ORDER BY 1;
SET ROLE mm_member;
SELECT models, failures, grants FROM seen();
SELECT many_models.predict('demand', '{"store": 1, "product": "P1"}', '{"price": 2}') IS NOT NULL AS predicts;
RESET ROLE;
REVOKE mm_team FROM mm_member;
SET ROLE mm_member;
SELECT models, failures, grants FROM seen();
SELECT error_of($$SELECT many_models.predict('demand', '{"store": 1, "product": "P1"}', '{"price": 2}')$$);
RESET ROLE;
-- From 16 on the grant remembers whether its member inherits.
ALTER ROLE mm_member NOINHERIT;
GRANT mm_team TO mm_member;
SET ROLE mm_member;
SELECT models, failures, grants FROM seen();
RESET ROLE;
REVOKE mm_team FROM mm_member;
ALTER ROLE mm_member INHERIT;
GRANT mm_team TO mm_member;

-- Train: the next version of the set as it is defined, with the trainer's own rights.
SET ROLE mm_owner;
SELECT many_models.grant_model_set('demand', 'mm_trainer', 'train');
SET ROLE mm_trainer;
SELECT version, trained FROM many_models.train_many_models('demand');
SELECT version, trained FROM many_models.train_many_models('demand', 'shop.sold', '{store,product}', 'units', '{price}', 'linear_regression', tags => '{"a": 1}', workers => 1);
-- As if the source had changed.
RESET ROLE;
UPDATE many_models.model_store SET fingerprint = NULL;
SET ROLE mm_trainer;
SELECT version, status FROM many_models.refresh_many_models('demand');
SELECT version, status FROM many_models.refresh_many_models('demand');
SELECT version, skipped FROM many_models.retrain_failed((SELECT max(run_id) FROM many_models.runs WHERE kind = 'train'), true);
SELECT many_models.start_training('demand') AS run \gset
SELECT many_models.wait_for_run(:run);
SELECT version, run_by, source FROM many_models.runs WHERE kind = 'train' ORDER BY 1;
SELECT owner, latest_version, tags FROM many_models.model_sets;
SELECT what, error_of(format('SELECT many_models.train_many_models(%L, %s)', 'demand', what)) FROM (VALUES
    (1, $$source => 'SELECT * FROM shop.sold'$$), (2, $$source => 'sold'$$), (3, $$target => 'price'$$), (4, $$features => '{price,units}'$$), (5, $$algorithm => 'ridge'$$),
    (6, $$time_column => 'price'$$), (7, $$options => '{"seed": 1}'$$), (8, $$tags => '{"a": 2}'$$), (9, $$partition_by => '{store}'$$)) AS w (n, what) ORDER BY n;
SELECT error_of($$SELECT many_models.predict('demand', '{"store": 1, "product": "P1"}', '{"price": 2}')$$);
SELECT error_of($$SELECT many_models.drop_models('demand', 2)$$);
RESET ROLE;
REVOKE SELECT ON sold FROM mm_trainer;
REVOKE SELECT (store, product, price, units) ON sold FROM mm_trainer;
SET ROLE mm_trainer;
SELECT error_of($$SELECT many_models.train_many_models('demand')$$);
RESET ROLE;
GRANT SELECT ON sold TO mm_trainer;
-- A background run whose right is taken away, or whose definition changes, before it has ended.
BEGIN;
SET LOCAL ROLE mm_trainer;
SELECT many_models.start_training('demand') AS run \gset
SET LOCAL ROLE mm_owner;
SELECT many_models.revoke_model_set('demand', 'mm_trainer', 'train'), many_models.grant_model_set('demand', 'mm_trainer', 'read');
COMMIT;
SET ROLE mm_trainer;
SELECT many_models.wait_for_run(:run);
SELECT status, sqlstate, message FROM many_models.background_runs WHERE run_id = :run;
SET ROLE mm_owner;
SELECT many_models.grant_model_set('demand', 'mm_trainer', 'train');
RESET ROLE;
BEGIN;
SET LOCAL ROLE mm_trainer;
SELECT many_models.start_training('demand') AS run \gset
SET LOCAL ROLE mm_owner;
SELECT version FROM many_models.train_many_models('demand', tags => '{"a": 2}');
COMMIT;
SET ROLE mm_trainer;
SELECT many_models.wait_for_run(:run);
SELECT status, sqlstate, message FROM many_models.background_runs WHERE run_id = :run;
SET ROLE mm_owner;
SELECT many_models.drop_models('demand', version) FROM generate_series(7, 2, -1) AS version;

-- Another owner: a role that the giver is a member of (the server's message, of each version). Grants stay.
SELECT left(error_of($$SELECT many_models.alter_model_set_owner('demand', 'mm_reader')$$), 5) AS error;
SELECT error_of($$SELECT many_models.alter_model_set_owner('no such set', 'mm_owner')$$);
SELECT error_of($$SELECT many_models.alter_model_set_owner('demand', 4294967295)$$);
RESET ROLE;
SELECT many_models.alter_model_set_owner('demand', 'mm_team');
SET ROLE mm_owner;
SELECT sets, models, grants FROM seen();
SELECT error_of($$SELECT many_models.train_many_models('demand')$$);
SET ROLE mm_member;
SELECT sets, models, grants FROM seen();
SET ROLE mm_reader;
SELECT sets, models, grants FROM seen();
RESET ROLE;
SELECT many_models.alter_model_set_owner('demand', 'mm_owner');

-- Tables of other parts of the extension, with policies of this form.
CREATE TABLE public.follows (model_set text, partition_key jsonb);
INSERT INTO follows SELECT model_set, jsonb_build_object('store', store, 'product', 'P1') FROM (VALUES ('demand'), ('other')) AS s (model_set), generate_series(1, 2) AS store;
CREATE TABLE public.follows_keys AS TABLE follows;
ALTER TABLE follows ENABLE ROW LEVEL SECURITY;
ALTER TABLE follows_keys ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON follows USING (model_set IN (SELECT s.model_set FROM many_models.model_sets AS s));
CREATE POLICY p ON follows_keys USING (model_set IN (SELECT s.model_set FROM many_models.model_sets AS s) AND many_models.key_is_granted(model_set, partition_key));
GRANT SELECT ON follows, follows_keys TO PUBLIC;
SET ROLE mm_owner;
SELECT many_models.grant_model_set('demand', 'mm_manager', 'read', '{"store": 2}');
SELECT (SELECT count(*) FROM follows) AS sets, (SELECT count(*) FROM follows_keys) AS keys;
SET ROLE mm_reader;
SELECT (SELECT count(*) FROM follows) AS sets, (SELECT count(*) FROM follows_keys) AS keys;
SET ROLE mm_manager;
SELECT (SELECT count(*) FROM follows) AS sets, (SELECT count(*) FROM follows_keys) AS keys;
SELECT * FROM follows_keys;
SET ROLE mm_trainer;
SELECT (SELECT count(*) FROM follows) AS sets, (SELECT count(*) FROM follows_keys) AS keys;
RESET ROLE;

-- Questions that have no yes.
SELECT many_models.has_model_set_privilege('no such set', 'read') AS no_set, many_models.has_model_set_privilege(repeat('x', 100), 'read') AS long_name,
    many_models.key_is_granted('no such set', '{}') AS no_key, many_models.run_key_is_granted(-1, '{}') AS no_run, many_models.row_is_granted(-1, '{a}', 1) AS no_row,
    many_models.row_is_granted(NULL, '{a}', 1) AS null_run;
SELECT error_of($$SELECT many_models.has_model_set_privilege('demand', 'all')$$);
SELECT error_of($$SELECT many_models.key_is_granted('demand', '{}', 'drop')$$);
SET ROLE mm_manager;
SELECT many_models.key_is_granted('demand', '[]') AS array, many_models.key_is_granted('demand', '2') AS scalar, many_models.key_is_granted('demand', '{"store": {"store": 2}}') AS nested,
    many_models.key_is_granted('demand', '{"product": "P1"}') AS without, many_models.key_is_granted('demand', '{"store": "2"}') AS text;
SELECT error_of(format($$SELECT many_models.row_is_granted(%s, '{store,product}', 2)$$, (SELECT min(run_id) FROM many_models.runs)));
SELECT error_of(format($$SELECT many_models.row_is_granted(%s, '{store}', VARIADIC ARRAY[2])$$, (SELECT min(run_id) FROM many_models.runs)));
RESET ROLE;

-- Evaluations and drift, by who may train; each reader sees his groups.
SET ROLE mm_owner;
SELECT trained FROM many_models.train_many_models('judged', 'SELECT i AS id, i % 3 AS store, i % 7 AS price, i % 11 AS units FROM generate_series(1, 300) AS i', '{store}', 'units', '{price}');
SELECT rows_read FROM many_models.score_many_models('judged', id_columns => '{id}');
GRANT SELECT ON judged_predictions TO mm_trainer;
SELECT many_models.grant_model_set('judged', 'mm_manager', 'read', '{"store": 2}'), many_models.grant_model_set('judged', 'mm_reader', 'score');
SET ROLE mm_reader;
SELECT error_of($$SELECT many_models.evaluate_many_models('judged', period => NULL)$$);
SELECT error_of($$SELECT many_models.plan_training('judged')$$);
SELECT error_of($$SELECT many_models.set_drift_threshold('judged')$$);
SET ROLE mm_owner;
SELECT many_models.grant_model_set('judged', 'mm_trainer', 'train');
SET ROLE mm_trainer;
SELECT groups, evaluated FROM many_models.evaluate_many_models('judged', period => NULL);
SELECT groups, trainable FROM many_models.plan_training('judged');
SELECT error_of($$SELECT many_models.set_drift_threshold('judged')$$);
SELECT (SELECT count(*) FROM many_models.evaluations) AS evaluations, (SELECT count(*) FROM many_models.drift WHERE model_set = 'judged') AS drift;
SET ROLE mm_reader;
SELECT (SELECT count(*) FROM many_models.evaluations) AS evaluations, (SELECT count(*) FROM many_models.drift WHERE model_set = 'judged') AS drift;
SET ROLE mm_manager;
SELECT partition_key, n_rows FROM many_models.evaluations;
SELECT partition_key, n_rows FROM many_models.drift WHERE model_set = 'judged';
SELECT model_set, train_runs, evaluate_runs FROM many_models.stat_model_sets WHERE model_set = 'judged';
SET ROLE mm_owner;
SELECT many_models.drop_models('judged');
RESET ROLE;

-- Read-only transactions.
SET default_transaction_read_only = on;
SELECT error_of($$SELECT many_models.grant_model_set('demand', 'mm_reader', 'score')$$);
SELECT error_of($$SELECT many_models.revoke_model_set('demand', 'mm_reader', 'read')$$);
SELECT error_of($$SELECT many_models.alter_model_set_owner('demand', 'mm_team')$$);
SELECT error_of($$SELECT many_models.forget_dropped_roles()$$);
RESET default_transaction_read_only;

-- A grant that is rolled back was never there, for the session's memory too.
SET ROLE mm_owner;
BEGIN;
SELECT many_models.grant_model_set('demand', 'mm_trainer', 'score');
SET LOCAL ROLE mm_trainer;
SELECT many_models.predict('demand', '{"store": 1, "product": "P1"}', '{"price": 2}') IS NOT NULL AS predicts, many_models.has_model_set_privilege('demand', 'score') AS has;
SAVEPOINT s;
SET LOCAL ROLE mm_owner;
SELECT many_models.revoke_model_set('demand', 'mm_trainer', 'all');
SET LOCAL ROLE mm_trainer;
SELECT many_models.has_model_set_privilege('demand', 'score') AS has;
ROLLBACK TO SAVEPOINT s;
SELECT many_models.predict('demand', '{"store": 1, "product": "P1"}', '{"price": 2}') IS NOT NULL AS predicts, many_models.has_model_set_privilege('demand', 'score') AS has;
ROLLBACK;
SET ROLE mm_trainer;
SELECT many_models.has_model_set_privilege('demand', 'score') AS has;
SELECT error_of($$SELECT many_models.predict('demand', '{"store": 1, "product": "P1"}', '{"price": 2}')$$);

-- Keys of other types, as they are written and as they are kept; a set over all rows has no keys.
SET ROLE mm_owner;
SELECT trained FROM many_models.train_many_models('types', $$SELECT DATE '2025-01-31' + i % 2 AS day, TIMESTAMPTZ '2025-01-31 12:00+02' AS at, i % 2 = 0 AS even, CASE WHEN i % 4 < 2 THEN 1.50 END AS n, i % 7 AS x, i % 11 AS y
    FROM generate_series(1, 400) AS i$$, '{day,at,even,n}', 'y', '{x}');
SELECT many_models.grant_model_set('types', 'mm_manager', 'score', '[{"day": "31 January 2025", "n": "1.5000"}, {"at": "2025-01-31 10:00+00", "even": "no", "n": null}]');
SELECT keys FROM many_models.model_set_grants WHERE model_set = 'types';
SELECT trained FROM many_models.train_many_models('one', 'SELECT price, units FROM shop.sold', '{}', 'units', '{price}');
SELECT error_of($$SELECT many_models.grant_model_set('one', 'mm_manager', 'score', '{"store": 1}')$$);
SELECT many_models.grant_model_set('one', 'mm_manager', 'score');
SET ROLE mm_manager;
SELECT partition_key, many_models.predict('types', partition_key, '{"x": 1}') IS NOT NULL AS predicts FROM many_models.models WHERE model_set = 'types' ORDER BY 1;
SELECT many_models.predict('one', '{}', '{"price": 1}') IS NOT NULL AS predicts;

-- Many keys, of several shapes, over a run with partitions of its own and models beyond the memory budget.
SET ROLE mm_owner;
SELECT trained, skipped FROM many_models.train_many_models('large', 'SELECT i % 50 AS a, i % 6000 AS b, i % 13 AS x, CASE WHEN i % 6000 < 100 THEN 1 ELSE i % 17 END AS y FROM generate_series(1, 48000) AS i', '{a,b}', 'y', '{x}', workers => 1);
SELECT many_models.grant_model_set('large', 'mm_manager', 'score', (SELECT jsonb_agg(jsonb_build_object('b', i)) FROM generate_series(0, 2999, 2) AS i) || '[{"a": 7}, {"a": 9, "b": 159}]');
SET ROLE mm_manager;
SELECT count(*), count(*) FILTER (WHERE (partition_key ->> 'a')::int = 7) AS seven, count(*) FILTER (WHERE (partition_key ->> 'b')::int = 159) AS one_more FROM many_models.models WHERE model_set = 'large';
SELECT count(*) FROM many_models.failures WHERE model_set = 'large';
SELECT groups, rows_read, failed FROM many_models.score_many_models('large', 'SELECT i % 50 AS a, i AS b, 1 AS x FROM generate_series(0, 5999) AS i', 'manager_large');
SET many_models.memory_budget = '1MB';
SELECT groups, rows_read, failed FROM many_models.score_many_models('large', 'SELECT i % 50 AS a, i AS b, 1 AS x FROM generate_series(0, 5999) AS i', 'manager_large');
RESET many_models.memory_budget;
SELECT count(*) FILTER (WHERE n = 2) AS both, count(*) FILTER (WHERE n = 0) AS neither, count(*) FILTER (WHERE n = 1) AS one FROM (SELECT count(prediction) AS n FROM manager_large GROUP BY a, b) AS g;
SELECT DISTINCT fallback_reason FROM manager_large WHERE prediction IS NULL;
-- In parallel workers.
SET min_parallel_table_scan_size = 0;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SELECT count(*) FROM many_models.model_store AS m WHERE storage <> 0;
RESET min_parallel_table_scan_size;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;

-- A set that goes takes its grants along: one of the same name is another set.
SET ROLE mm_owner;
SELECT count(*) FROM many_models.model_set_grants WHERE model_set = 'other';
SELECT many_models.grant_model_set('other', 'mm_reader', 'all');
SELECT many_models.drop_models('other');
SET ROLE mm_trainer;
SELECT trained FROM many_models.train_many_models('other', 'SELECT i % 2 AS store, i % 5 AS price, i % 7 AS units FROM generate_series(1, 60) AS i', '{store}', 'units', '{price}');
SET ROLE mm_reader;
SELECT count(*) FROM many_models.models WHERE model_set = 'other';
RESET ROLE;
SELECT count(*) FROM many_models.grant_store WHERE model_set = 'other';
-- A version that goes leaves them, and a set without a version has no types to read keys by.
SET ROLE mm_trainer;
SELECT many_models.grant_model_set('other', 'mm_reader', 'read');
SELECT many_models.drop_models('other', 1);
SELECT error_of($$SELECT many_models.grant_model_set('other', 'mm_reader', 'score', '{"store": 1}')$$);
SELECT many_models.grant_model_set('other', 'mm_reader', 'score');
SELECT privilege FROM many_models.model_set_grants WHERE model_set = 'other' ORDER BY 1;

-- Roles that are gone: their grants are nobody's, are not shown, and can be deleted.
RESET ROLE;
CREATE ROLE mm_gone;
SET ROLE mm_owner;
SELECT many_models.grant_model_set('demand', 'mm_gone', 'all');
SELECT many_models.grant_model_set('types', 'mm_gone', 'read');
SELECT count(*) FROM many_models.model_set_grants WHERE grantee = 'mm_gone'::regrole;
RESET ROLE;
DROP ROLE mm_gone;
SELECT count(*) FROM many_models.model_set_grants AS g WHERE NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.oid = g.grantee);
SELECT count(*) FROM many_models.grant_store AS g WHERE NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.oid = g.grantee);
SET ROLE mm_owner;
SELECT models, grants FROM seen();
-- The next grant on a set deletes those of the set; the function, all.
SELECT many_models.grant_model_set('types', 'mm_reader', 'read');
RESET ROLE;
SELECT model_set, count(*) FROM many_models.grant_store AS g WHERE NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.oid = g.grantee) GROUP BY 1;
SELECT many_models.forget_dropped_roles();
SELECT many_models.forget_dropped_roles();
SELECT count(*) FROM many_models.grant_store AS g WHERE NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.oid = g.grantee);
-- A set whose owner is gone: superusers give it away.
CREATE ROLE mm_gone;
SELECT many_models.alter_model_set_owner('types', 'mm_gone');
DROP ROLE mm_gone;
SET ROLE mm_manager;
SELECT count(*) > 0 AS still_granted FROM many_models.models WHERE model_set = 'types';
SET ROLE mm_trainer;
SELECT error_of($$SELECT many_models.train_many_models('types')$$);
SELECT error_of($$SELECT many_models.alter_model_set_owner('types', 'mm_trainer')$$) ~ '^42501: must be owner' AS refused;
RESET ROLE;
SELECT many_models.alter_model_set_owner('types', 'mm_owner');

DO $$ BEGIN PERFORM many_models.drop_models(model_set) FROM many_models.model_sets WHERE model_set IN ('demand', 'other', 'types', 'one', 'large'); END $$;
SELECT count(*) FROM many_models.grant_store;
SET client_min_messages = error;
DROP SCHEMA shop CASCADE;
DROP TABLE follows, follows_keys;
DROP FUNCTION seen();
DROP OWNED BY mm_owner, mm_reader, mm_manager, mm_trainer, mm_team, mm_member;
DROP ROLE mm_owner, mm_reader, mm_manager, mm_trainer, mm_team, mm_member;
