-- Every mistake in a call: SQLSTATE, message, hint; checked before a row is read.
SET client_min_messages = warning;
SELECT error_of($$SELECT many_models.train_many_models(NULL)$$);
SELECT error_of($$SELECT many_models.train_many_models('new')$$);
SELECT error_of($$SELECT many_models.train_many_models('a very long name of a model set that does not fit at all', 'sales', '{store}', 'units')$$);
SELECT error_of($$SELECT many_models.train_many_models('e', 'no_such_table', '{store}', 'units')$$);
SELECT error_of($$SELECT many_models.train_many_models('e', 'SELECT * FROM', '{store}', 'units')$$);
SELECT error_of($$SELECT many_models.train_many_models('e', 'SELECT 1; SELECT 2', '{store}', 'units')$$);
SELECT error_of($$SELECT many_models.train_many_models('e', 'DELETE FROM sales RETURNING *', '{store}', 'units')$$);
SELECT error_of($$SELECT many_models.train_many_models('e', 'WITH d AS (DELETE FROM sales RETURNING *) SELECT * FROM d', '{store}', 'units')$$);
SELECT error_of($$SELECT many_models.train_many_models('e', 'SELECT * FROM sales WHERE store = $1', '{store}', 'units')$$);
SELECT error_of($$SELECT many_models.train_many_models('e', 'SELECT * INTO other FROM sales', '{store}', 'units')$$);
SELECT error_of($$SELECT many_models.train_many_models('e', 'many_models.run_id_seq', '{store}', 'units')$$);
SELECT error_of($$SELECT many_models.train_many_models('e', 'sales', '{shop}', 'units', '{price}')$$);
SELECT error_of($$SELECT many_models.train_many_models('e', 'sales', '{store}', 'unit', '{price}')$$);
SELECT error_of($$SELECT many_models.train_many_models('e', 'sales', '{store}', 'units', '{prices}')$$);
SELECT error_of($$SELECT many_models.train_many_models('e', 'sales', '{store}', 'units', '{price}', time_column => 'date')$$);
SELECT error_of($$SELECT many_models.train_many_models('e', 'sales', '{store}', 'units', '{price}', time_column => 'price')$$);
SELECT error_of($$SELECT many_models.train_many_models('e', 'sales', '{store}', 'product', '{price}')$$);
SELECT error_of($$SELECT many_models.train_many_models('e', 'SELECT *, point(1,2) AS place FROM sales', '{store}', 'units', '{place}')$$);
SELECT error_of($$SELECT many_models.train_many_models('e', 'SELECT *, point(1,2) AS place FROM sales', '{place}', 'units', '{price}')$$);
SELECT error_of($$SELECT many_models.train_many_models('e', 'sales', '{store}', 'units', '{price,units}')$$);
SELECT error_of($$SELECT many_models.train_many_models('e', 'sales', '{store}', 'units', '{price,store}')$$);
SELECT error_of($$SELECT many_models.train_many_models('e', 'sales', '{store,units}', 'units', '{price}')$$);
SELECT error_of($$SELECT many_models.train_many_models('e', 'sales', '{store,store}', 'units', '{price}')$$);
SELECT error_of($$SELECT many_models.train_many_models('e', 'sales', '{store}', 'units', '{price,price}')$$);
SELECT error_of($$SELECT many_models.train_many_models('e', 'sales', '{store}', 'units', '{price,NULL}')$$);
SELECT error_of($$SELECT many_models.train_many_models('e', 'sales', '{store}', 'units', '{}')$$);
SELECT error_of($$SELECT many_models.train_many_models('e', 'SELECT 1 AS a, 2 AS a, 3 AS y, 4 AS x', '{a}', 'y', '{x}')$$);
SELECT error_of($$SELECT many_models.train_many_models('e', 'sales', '{store}', 'units', '{price}', 'neural_network')$$);
SELECT error_of($$SELECT many_models.train_many_models('e', 'sales', '{store}', 'units', '{price}', workers => 0)$$);
SELECT error_of($$SELECT many_models.train_many_models('e', 'sales', '{store}', 'units', '{price}', tags => '[1]')$$);
SELECT error_of(format($$SELECT many_models.train_many_models('e', 'sales', '{store}', 'units', '{price}', options => %L)$$, o))
FROM (VALUES (1, '{"holdouts": 1}'), (2, '{"holdout": 0.2}'), (3, '{"holdout": {"fraction": 1.5}}'),
    (4, '{"holdout": {"rows": -1}}'), (5, '{"holdout": {"fraction": 0.1, "rows": 3}}'),
    (6, '{"holdout": {"part": 0.1}}'), (7, '{"holdout": {"since": "2025-02-01"}}'),
    (8, '{"null_policy": "drop"}'), (9, '{"max_failed_fraction": 2}'),
    (10, '{"seconds_per_group": "long"}'), (11, '{"cv_folds": 1}'), (12, '{"min_rows": "ten"}'),
    (13, '{"lambda": -1}'), (14, '{"group_options": {"store": 7}}'),
    (15, '{"group_options": [{"key": {"shop": 7}, "options": {}}]}'),
    (16, '{"group_options": [{"key": {"store": 7}, "options": {"holdout": {}}}]}'),
    (17, '[1]'), (18, '{"fit_intercept": "yes"}'), (19, '{"alpha": 2}'),
    (20, '{"group_options": [{"key": {"store": "seven"}, "options": {}}]}')) AS v (n, o)
ORDER BY n;
SELECT error_of($$SELECT many_models.train_many_models('e', 'SELECT * FROM sales WHERE false', '{store}', 'units', '{price}')$$);
-- A source with side effects is refused while it runs.
CREATE TABLE log (t text);
CREATE FUNCTION sneaky(i int) RETURNS int LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO log VALUES ('x'); RETURN i; END $$;
CREATE SEQUENCE counter;
SELECT error_of($$SELECT many_models.train_many_models('e', 'SELECT store, sneaky(1) AS x, units FROM sales', '{store}', 'units', '{x}')$$);
SELECT error_of($$SELECT many_models.train_many_models('e', 'SELECT store, nextval(''counter'') AS x, units FROM sales', '{store}', 'units', '{x}')$$);
SELECT count(*) FROM log;
-- Read-only transactions.
BEGIN READ ONLY;
SELECT error_of($$SELECT many_models.train_many_models('e', 'sales', '{store}', 'units', '{price}')$$);
ROLLBACK;
-- Too many failures: nothing is kept.
SELECT error_of($$SELECT many_models.train_many_models('e', 'SELECT store, price, CASE WHEN store = 2 THEN ''NaN'' ELSE units END AS units FROM sales', '{store}', 'units', '{price}', options => '{"max_failed_fraction": 0.1}')$$);
-- The partition key of a set stays.
SELECT trained FROM many_models.train_many_models('fixed', 'sales', '{store}', 'units', '{price}');
SELECT error_of($$SELECT many_models.train_many_models('fixed', partition_by => '{product}')$$);
SELECT error_of($$SELECT many_models.drop_models('fixed', 9)$$);
SELECT error_of($$SELECT many_models.drop_models('fixed', 0)$$);
SELECT error_of($$SELECT many_models.drop_models('nothing')$$);
SELECT error_of($$SELECT many_models.train_sink(1, 2, 3.0, 4.0)$$);
SELECT count(*) FROM many_models.model_sets WHERE model_set = 'e';
SELECT many_models.drop_models('fixed');
