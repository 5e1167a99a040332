-- Forecasters and roles: who is granted some groups sees and forecasts those alone; and what someone might try with the functions of forecasters. See attacks.sql.
SET client_min_messages = warning;
CREATE ROLE mm_victim;
CREATE ROLE mm_attacker;
CREATE ROLE mm_team;
GRANT mm_team TO mm_victim, mm_attacker;
SELECT many_models.grant_usage(r) FROM (VALUES ('mm_victim'::regrole), ('mm_attacker')) AS r (r);
CREATE SCHEMA shop AUTHORIZATION mm_victim;
CREATE SCHEMA evil AUTHORIZATION mm_attacker;
GRANT ALL ON SCHEMA shop, evil TO mm_attacker, mm_victim, mm_team;
SET search_path = shop, public;
CREATE TABLE sold AS SELECT 1 + i % 2 AS store, DATE '2024-01-01' + i / 2 AS day, 10.0 + i % 2 * 5 + i / 2 % 7 AS units FROM generate_series(0, 119) AS i;
GRANT SELECT ON sold TO mm_victim;
SET ROLE mm_victim;
SELECT trained FROM many_models.train_many_models('demand', 'shop.sold', '{store}', 'units', algorithm => 'seasonal_naive', time_column => 'day');
SELECT rows_read FROM many_models.score_many_models('demand', horizon => 2, options => '{"row_security": true}');
SELECT trained FROM many_models.backtest_many_models('demand', options => '{"backtest": {"folds": 1, "horizon": 2}}');
SELECT trained FROM many_models.train_many_models('secret', 'shop.sold', '{store}', 'units', algorithm => 'naive', time_column => 'day');
SELECT many_models.grant_model_set('demand', 'mm_attacker', 'read', '{"store": 2}');
RESET ROLE;

-- Granted nothing, and reading: nothing; granted read of store 2: what is of store 2.
CREATE FUNCTION public.seen() RETURNS TABLE (forecasters bigint, terms bigint, metrics bigint, stores text, now text, other text, foreign_set text) LANGUAGE sql AS $$
SELECT (SELECT count(*) FROM many_models.forecasters), (SELECT count(*) FROM many_models.forecast_terms), (SELECT count(DISTINCT partition_key) FROM many_models.forecast_metrics),
    (SELECT string_agg(DISTINCT partition_key ->> 'store', ',') FROM (SELECT partition_key FROM many_models.forecasters UNION ALL SELECT partition_key FROM many_models.forecast_terms UNION ALL SELECT partition_key FROM many_models.forecast_metrics) AS a),
    error_of($s$SELECT count(*) FROM many_models.forecast('demand', '{"store": 2}', 2)$s$), error_of($s$SELECT * FROM many_models.forecast('demand', '{"store": 1}', 2)$s$), error_of($s$SELECT * FROM many_models.forecast('secret', '{"store": 2}', 2)$s$) $$;
GRANT EXECUTE ON FUNCTION public.seen() TO PUBLIC;
SET ROLE mm_attacker;
SELECT * FROM seen();
SELECT count(*) FROM many_models.forecast('demand', '{"store": 1}', 2) AS f WHERE f.prediction IS NOT NULL;
SELECT error_of($$SELECT many_models.score_many_models('demand', horizon => 2, into_table => 'evil.mine')$$);
SELECT error_of($$SELECT many_models.start_scoring('demand', horizon => 2)$$);
SET ROLE mm_victim;
SELECT many_models.grant_model_set('demand', 'mm_attacker', 'score', '{"store": 2}');
GRANT SELECT ON demand_predictions TO mm_attacker;
SET ROLE mm_attacker;
SELECT store, count(*) FROM shop.demand_predictions GROUP BY 1;
SELECT rows_read, failed FROM many_models.score_many_models('demand', horizon => 2, into_table => 'evil.mine');
SELECT store, count(prediction) FROM evil.mine GROUP BY 1;
-- Models of others through functions that take a model: there is no row to take it from.
SELECT count(*) FROM many_models.model_store AS s CROSS JOIN LATERAL many_models.model_forecast(s.model, 1, 0.9, NULL::date) AS f;
SELECT count(*) FROM many_models.model_store AS s JOIN many_models.runs AS r USING (run_id) CROSS JOIN LATERAL many_models.forecast_scores(s.model_id, 1, s.model, 1, 0.9, NULL::date, NULL, NULL) AS f WHERE r.model_set = 'secret';
SELECT count(*) FROM many_models.models_in_use AS s CROSS JOIN LATERAL many_models.model_forecast(s.model, 1, 0.9, NULL::date) AS f WHERE s.partition_key <> '{"store": 2}';
-- The source of a backtest is read as whoever asks.
SELECT error_of($$SELECT many_models.backtest_many_models('demand')$$);
SELECT error_of($$SELECT * FROM many_models.backtest_points('demand')$$);
SELECT error_of($$SELECT many_models.backtest_many_models('demand', 'SELECT store, day, units FROM shop.sold', into_table => 'evil.taken')$$);
RESET ROLE;

-- Code of the attacker's reports when it runs with rights that he has not.
CREATE TABLE public.ran (as_role name, what text);
GRANT INSERT, SELECT ON ran TO PUBLIC;
SET ROLE mm_attacker;
CREATE FUNCTION evil.note(what text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT pg_has_role('mm_attacker', current_user, 'MEMBER') THEN INSERT INTO public.ran VALUES (current_user, what); END IF;
EXCEPTION WHEN read_only_sql_transaction THEN NULL;
END $$;
CREATE FUNCTION evil.checked(anyelement, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.note($2); RETURN true; END $$;
-- Operators, functions and a cast of his before pg_catalog.
CREATE FUNCTION evil.equal(text, text) RETURNS boolean LANGUAGE sql AS $$ SELECT evil.note('operator ='); SELECT $1 OPERATOR(pg_catalog.=) $2 $$;
CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.equal);
CREATE FUNCTION evil.equal(name, name) RETURNS boolean LANGUAGE sql AS $$ SELECT evil.note('operator ='); SELECT $1 OPERATOR(pg_catalog.=) $2 $$;
CREATE OPERATOR evil.= (LEFTARG = name, RIGHTARG = name, FUNCTION = evil.equal);
CREATE FUNCTION evil.arrow(jsonb, text) RETURNS text LANGUAGE sql AS $$ SELECT evil.note('operator ->>'); SELECT $1 OPERATOR(pg_catalog.->>) $2 $$;
CREATE OPERATOR evil.->> (LEFTARG = jsonb, RIGHTARG = text, FUNCTION = evil.arrow);
CREATE FUNCTION evil.larger(bigint, integer) RETURNS boolean LANGUAGE sql AS $$ SELECT evil.note('operator >'); SELECT $1 OPERATOR(pg_catalog.>) $2 $$;
CREATE OPERATOR evil.> (LEFTARG = bigint, RIGHTARG = integer, FUNCTION = evil.larger);
CREATE FUNCTION evil.plus(bigint, bigint) RETURNS bigint LANGUAGE sql AS $$ SELECT evil.note('operator +'); SELECT $1 OPERATOR(pg_catalog.+) $2 $$;
CREATE OPERATOR evil.+ (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = evil.plus);
CREATE FUNCTION evil.concat(VARIADIC text[]) RETURNS text LANGUAGE sql AS $$ SELECT evil.note('concat'); SELECT array_to_string($1, '') $$;
CREATE FUNCTION evil.format(text, VARIADIC text[]) RETURNS text LANGUAGE sql AS $$ SELECT evil.note('format'); SELECT 'SELECT 1' $$;
CREATE FUNCTION evil.to_regclass(text) RETURNS regclass LANGUAGE sql AS $$ SELECT evil.note('to_regclass'); SELECT NULL::regclass $$;
CREATE FUNCTION evil.count(bigint) RETURNS bigint LANGUAGE sql AS $$ SELECT evil.note('count'); SELECT 1::bigint $$;
CREATE FUNCTION evil.backtest_points(text) RETURNS text LANGUAGE sql AS $$ SELECT evil.note('backtest_points'); SELECT 'x' $$;
CREATE VIEW evil.model_sets AS SELECT evil.checked(1, 'model_sets') AS model_set;
-- A table of his where the backtest of the victim is looked for, and one of a role that both are members of.
CREATE FUNCTION evil.planted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.note('trigger'); RETURN NEW; END $$;
CREATE TABLE evil.demand_backtest (store int, day date, fold int, horizon_step int, actual float8, prediction float8, lower float8, upper float8, reason text, backtested_at timestamptz, extra boolean DEFAULT evil.checked(1, 'default'));
CREATE TRIGGER planted BEFORE INSERT ON evil.demand_backtest FOR EACH ROW EXECUTE FUNCTION evil.planted();
CREATE TABLE evil.team_backtest (LIKE evil.demand_backtest INCLUDING ALL);
CREATE TRIGGER planted BEFORE INSERT ON evil.team_backtest FOR EACH ROW EXECUTE FUNCTION evil.planted();
ALTER TABLE evil.team_backtest OWNER TO mm_team;
GRANT ALL ON evil.demand_backtest TO PUBLIC;
-- A source whose partition column is of a domain that runs his code when something is cast to it; the same of its time.
CREATE DOMAIN evil.store AS int CHECK (evil.checked(VALUE, 'domain'));
CREATE DOMAIN evil.day AS date CHECK (evil.checked(VALUE, 'domain of times'));
CREATE TABLE evil.sold (store evil.store, day evil.day, units float8);
INSERT INTO evil.sold SELECT 1, DATE '2024-01-01' + i, i FROM generate_series(1, 40) AS i;
CREATE TABLE evil.dated (store evil.store, day date, units float8);
INSERT INTO evil.dated SELECT * FROM evil.sold;
GRANT SELECT ON evil.sold, evil.dated TO mm_victim;
SET ROLE mm_victim;
SET search_path = evil, pg_catalog, shop, public;
SELECT public.error_of($$SELECT many_models.backtest_many_models('demand', options => '{"backtest": {"folds": 1, "horizon": 2}}')$$);
SELECT public.error_of($$SELECT many_models.backtest_many_models('demand', into_table => 'evil.team_backtest')$$);
SELECT trained FROM many_models.backtest_many_models('demand', options => '{"backtest": {"folds": 1, "horizon": 2}}', into_table => 'shop.demand_backtest');
SELECT trained FROM many_models.backtest_many_models('demand', options => '{"backtest": {"folds": 1, "horizon": 2}}', into_table => 'shop.new_backtest');
SELECT count(*) FROM many_models.forecast('demand', '{"store": 1}', 2);
SELECT rows_read FROM many_models.score_many_models('demand', horizon => 2, into_table => 'shop.scored');
SET search_path = shop, public;
SELECT trained FROM many_models.backtest_many_models('dated', 'evil.dated', '{store}', 'units', algorithm => 'naive', time_column => 'day', into_table => 'shop.dated_backtest');
SELECT store, pg_typeof(store), count(*) > 0 AS rows FROM shop.dated_backtest GROUP BY 1;
SELECT error_of($$SELECT many_models.backtest_many_models('dated', 'evil.sold', '{store}', 'units', algorithm => 'naive', time_column => 'day', into_table => 'shop.dated_twice')$$);
-- SQL in names.
SELECT error_of($$SELECT many_models.backtest_many_models('demand', into_table => 'x (a int); DROP TABLE public.ran; --')$$);
SELECT error_of($$SELECT many_models.backtest_many_models('demand', into_table => '"x (a int); DROP TABLE public.ran; --"', options => '{"backtest": {"folds": 1, "horizon": 2}}')$$);
SELECT error_of($$SELECT many_models.backtest_many_models('demand', into_table => '')$$);
SELECT error_of($$SELECT many_models.backtest_many_models('demand', into_table => 'shop.demand_models')$$);
SELECT error_of($$SELECT many_models.backtest_many_models('demand', into_table => 'many_models.runs')$$);
SELECT error_of($$SELECT many_models.backtest_many_models('demand', 'SELECT store, day, units FROM shop.sold; DROP TABLE public.ran')$$);
SELECT error_of($$SELECT many_models.backtest_many_models('demand', 'WITH d AS (DELETE FROM shop.sold RETURNING *) SELECT * FROM d')$$);
SELECT error_of($$SELECT many_models.backtest_many_models(NULL)$$);
SELECT error_of($$SELECT many_models.backtest_many_models('''); DROP TABLE public.ran; --', 'SELECT store AS "store''); DROP TABLE public.ran; --", day, units FROM shop.sold', ARRAY['store''); DROP TABLE public.ran; --'], 'units', algorithm => 'naive', time_column => 'day', into_table => 'shop.odd', options => '{"backtest": {"folds": 1, "horizon": 2}}')$$);
SELECT attname FROM pg_attribute WHERE attrelid = 'shop.odd'::regclass AND attnum = 1;
RESET ROLE;
SELECT * FROM public.ran;

-- The functions called by hand, with what the product never gives them.
SET ROLE mm_victim;
CREATE FUNCTION shop.tried(arguments text) RETURNS text LANGUAGE sql AS $$
SELECT error_of(format('SELECT count(*) FROM many_models.models_in_use AS s CROSS JOIN LATERAL many_models.forecast_scores(%s) AS f WHERE s.model_set = ''demand''', arguments)) $$;
SELECT a, shop.tried(a) FROM unnest(ARRAY['1, 1, s.model, 2, 0.9, NULL::date, NULL, NULL', 'NULL, 1, s.model, 2, 0.9, NULL::date, NULL, NULL', '1, NULL, s.model, 2, 0.9, NULL::date, NULL, NULL',
    '1, 1, NULL, 2, 0.9, NULL::date, NULL, NULL', '1, 1, s.model, NULL, 0.9, NULL::date, NULL, NULL', '1, 1, s.model, 2, NULL, NULL::date, NULL, NULL', '1, 1, s.model, 0, 0.9, NULL::date, NULL, NULL',
    '1, 1, s.model, -1, 0.9, NULL::date, NULL, NULL', '1, 1, s.model, 2147483647, 0.9, NULL::date, NULL, NULL', '1, 1, s.model, -2147483648, 0.9, NULL::date, NULL, NULL',
    '1, 1, s.model, 2, ''NaN'', NULL::date, NULL, NULL', '1, 1, s.model, 2, 0, NULL::date, NULL, NULL', '1, 1, s.model, 2, 1, NULL::date, NULL, NULL', '1, 1, s.model, 2, ''Infinity'', NULL::date, NULL, NULL',
    '1, 1, s.model, 2, 0.9, NULL::text, NULL, NULL', '1, 1, s.model, 2, 0.9, NULL::timestamp, NULL, NULL', '1, 1, s.model, 2, 0.9, NULL::int4, NULL, NULL', '1, 1, s.model, 2, 0.9, NULL::jsonb, ARRAY[''{}''::jsonb], ''{1}''',
    '1, 1, s.model, 2, 0.9, NULL::date, ARRAY[''2024-01-01''::date], ''{1,2,3}''', '1, 1, s.model, 2, 0.9, NULL::date, ARRAY[NULL::date], ''{NULL}''', '1, 1, s.model, 2, 0.9, NULL, NULL, NULL']) AS a;
-- With features: arrays that do not fit.
SELECT trained FROM many_models.train_many_models('featured', 'SELECT store, day, units, units::int % 3 AS x FROM shop.sold', '{store}', 'units', '{x}', 'arima', 'day', '{"order": [0, 0, 0], "season_length": 1}');
CREATE FUNCTION shop.featured(arguments text) RETURNS text LANGUAGE sql AS $$
SELECT error_of(format('SELECT count(*) FROM many_models.models_in_use AS s CROSS JOIN LATERAL many_models.forecast_scores(1, 1, s.model, 2, 0.9, NULL::date, %s) AS f WHERE s.model_set = ''featured''', arguments)) $$;
SELECT a, shop.featured(a) FROM unnest(ARRAY['NULL, NULL', 'ARRAY[''2024-03-01''::date], ''{1}''', 'ARRAY[''2024-03-01''::date], ''{}''', 'ARRAY[]::date[], ''{}''', 'ARRAY[''2024-03-01''::date], ''{1,2}''',
    'ARRAY[''2024-03-01'', ''2024-03-02'']::date[], ''{{1},{2}}''', 'ARRAY[''2024-03-01'', NULL]::date[], ''{NULL,NaN}''', 'ARRAY[''infinity'', ''-infinity'']::date[], ''{Infinity,1}''', 'ARRAY[[''2024-03-01'', ''2024-03-02'']]::date[], ''{1,2}''']) AS a;
SELECT error_of($$SELECT * FROM many_models.forecast('featured', '{"store": 1}', 2, features => '{}')$$), error_of($$SELECT * FROM many_models.forecast('featured', '{"store": 1}', 2, features => '[1]')$$),
    error_of($$SELECT * FROM many_models.forecast('featured', '{"store": 1}', 2, features => '[[[]]]')$$), error_of($$SELECT * FROM many_models.forecast('featured', '{"store": 1}', 2, features => '"a"')$$);
-- A model of another kind, and bytes that are none.
SELECT trained FROM many_models.train_many_models('lines', 'SELECT store, units, units * 2 + day % 3 AS y FROM (SELECT store, units, extract(day FROM day)::int AS day FROM shop.sold) AS s', '{store}', 'y', '{units}');
SELECT error_of($$SELECT count(*) FROM many_models.models_in_use AS s CROSS JOIN LATERAL many_models.forecast_scores(1, 1, s.model, 2, 0.9, NULL::date, NULL, NULL) AS f WHERE s.model_set = 'lines'$$);
SELECT error_of($$SELECT count(*) FROM many_models.models_in_use AS s CROSS JOIN LATERAL many_models.model_forecast(s.model, 1, 0.9, NULL::date) AS f WHERE s.model_set = 'lines'$$);
SELECT error_of($$SELECT many_models.forecast('lines', '{"store": 1}')$$), error_of($$SELECT many_models.score_many_models('lines', horizon => 2)$$);
SELECT error_of($$SELECT many_models.start_scoring('lines', horizon => 2)$$);
SELECT count(*) FROM many_models.models_in_use AS s, many_models.model_forecaster(s.model) AS f WHERE s.model_set = 'lines';
SELECT error_of($$SELECT many_models.model_forecaster('\x4d4d464d')$$), error_of($$SELECT * FROM many_models.model_forecast('\x4d4d464d01000101100000000000000000')$$);
-- forecast and model_forecast at the edges of their arguments.
SELECT a, error_of(format('SELECT count(*) FROM many_models.forecast(''demand'', ''{"store": 1}'', %s)', a)) FROM unnest(ARRAY['0', '-1', '2147483647', '10001', '10000', '1, ''NaN''', '1, 0', '1, NULL', 'version => 0', 'version => -5', 'version => 99']) AS a;
SELECT error_of($$SELECT * FROM many_models.forecast(NULL, '{}')$$), error_of($$SELECT * FROM many_models.forecast('demand', NULL)$$), error_of($$SELECT * FROM many_models.forecast('demand', '[]')$$), error_of($$SELECT * FROM many_models.forecast('demand', '{"shop": 1}')$$);
SELECT a, error_of(format('SELECT count(*) FROM many_models.models_in_use AS s CROSS JOIN LATERAL many_models.model_forecast(s.model, %s) AS f WHERE s.model_set = ''demand''', a))
FROM unnest(ARRAY['0, 0.9, NULL::date', '2147483647, 0.9, NULL::date', '1, ''NaN'', NULL::date', '1, NULL, NULL::date', 'NULL, 0.9, NULL::date', '1, 0.9, NULL::text']) AS a;
SELECT error_of($$SELECT many_models.score_many_models('demand', horizon => 0)$$), error_of($$SELECT many_models.score_many_models('demand', horizon => -1)$$), error_of($$SELECT many_models.score_many_models('demand', horizon => 2147483647)$$);
RESET ROLE;
SELECT * FROM public.ran;

SET client_min_messages = error;
DO $$ BEGIN PERFORM many_models.drop_models(model_set) FROM many_models.model_sets WHERE model_set IN ('demand', 'secret', 'featured', 'lines'); END $$;
DROP SCHEMA evil, shop CASCADE;
DROP FUNCTION public.seen();
DROP TABLE public.ran;
DROP OWNED BY mm_victim, mm_attacker, mm_team;
DROP ROLE mm_victim, mm_attacker, mm_team;
