-- promote_models: rules, comparisons with what is in production, reports.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE SCHEMA test_promote;
SET search_path = test_promote, public;
-- What a promotion did, without what changes from run to run.
CREATE FUNCTION summary(s many_models.promotion_summary) RETURNS text LANGUAGE sql AS
$$SELECT format('%s %s v%s promoted=%s kept=%s rejected=%s withdrawn=%s production=%s', s.kind, s.model_set, s.version, s.promoted, s.kept,
                s.rejected, s.withdrawn, s.production)$$;
CREATE VIEW report AS
SELECT r.partition_key, r.action, r.reason, r.compared, r.production_before IS NOT NULL AS replaces
FROM many_models.promotion_report AS r
WHERE r.promotion_id = (SELECT max(promotion_id) FROM many_models.promotions) ORDER BY 1;

-- Three stores; t orders the rows, those from 60 on are held out.
CREATE TABLE demand AS
SELECT g AS store, i AS t, (i * 7 % 13)::float8 AS price, (i * 3 % 11)::float8 AS traffic,
       10 * g + 2.0 * (i * 7 % 13) + g * (i * 3 % 11) + (i * 17 % 7) AS units
FROM generate_series(1, 3) AS g, generate_series(1, 80) AS i;
SELECT trained FROM many_models.train_many_models('p', 'demand', '{store}', 'units', '{price}', time_column => 't',
                                                  options => '{"holdout": {"since": "60"}}');
SELECT summary(many_models.promote_models('p', dry_run => true));
SELECT * FROM report;
SELECT count(*) FROM many_models.production_models;
SELECT summary(many_models.promote_models('p', rule => 'key ->> ''store'' <> ''3'''));
SELECT * FROM report;
SELECT model_set, partition_key, version, algorithm, n_rows, holdout_rows, round(rmse::numeric, 4) AS rmse, round(r2::numeric, 4) AS r2, bytes,
       first_time, last_time, promotion_id = (SELECT max(promotion_id) FROM many_models.promotions) AS last_promotion,
       promoted_by = current_user::regrole AS by_me, promoted_at > trained_at AS later
FROM many_models.production_models ORDER BY 2;
-- The model is a copy, byte by byte.
SELECT count(*), bool_and(p.model::text = m.model::text) AS same FROM many_models.production_store AS p JOIN many_models.model_store AS m USING (model_id);
-- Once more: nothing to do, and a dry run is gone with the next promotion.
SELECT summary(many_models.promote_models('p', 1, 'key ->> ''store'' <> ''3'''));
SELECT * FROM report;
SELECT kind, version, rule, promoted, kept, rejected, production, restored, details ->> 'compared' AS compared FROM many_models.promotions ORDER BY promotion_id;

-- The second version is compared at training: here the numbers by hand.


SELECT trained FROM many_models.train_many_models('p', features => '{price,traffic}');
CREATE TABLE fitted AS SELECT store, many_models.fit('{}', units, ARRAY[price, traffic]) AS model, avg(units) AS mean FROM demand WHERE t < 60 GROUP BY 1;
CREATE TABLE by_hand AS
SELECT store, count(*) AS n,
       sqrt(avg((mean - units) ^ 2)) AS b_rmse, avg(abs(mean - units)) AS b_mae, avg(abs((mean - units) / units)) AS b_mape,
       avg(2 * abs(mean - units) / (abs(units) + abs(mean))) AS b_smape, 1 - sum((mean - units) ^ 2) / (var_pop(units) * count(*)) AS b_r2, avg(mean - units) AS b_bias,
       sqrt(avg(p ^ 2)) AS rmse, avg(abs(p)) AS mae, avg(abs(p / units)) AS mape, avg(2 * abs(p) / (abs(units) + abs(p + units))) AS smape,
       1 - sum(p ^ 2) / (var_pop(units) * count(*)) AS r2, avg(p) AS bias,
       avg(p ^ 2 - c ^ 2) AS mean_squared, stddev_samp(p ^ 2 - c ^ 2) AS sd_squared, avg(abs(p) - abs(c)) AS mean_absolute, stddev_samp(abs(p) - abs(c)) AS sd_absolute
FROM (SELECT store, units, mean, many_models.predict(m.model, ARRAY[price, traffic]) - units AS c,
             (SELECT many_models.predict(q.model, ARRAY[price]) FROM many_models.production_store AS q WHERE q.partition_key = jsonb_build_object('store', store)) - units AS p
      FROM demand JOIN fitted AS m USING (store) WHERE t >= 60) AS e
GROUP BY 1;
SELECT m.partition_key, m.compared_with = q.model_id AS with_production, cardinality(m.comparison) AS numbers,
       (SELECT bool_and(abs(x - y) <= 1e-12 * (1 + abs(y)))
        FROM unnest(m.comparison, (ARRAY[b_rmse, b_mae, b_mape, b_smape, b_r2, b_bias, n, rmse, mae, mape, smape, r2, bias, mean_squared, sd_squared,
                                         mean_absolute, sd_absolute])[1:cardinality(m.comparison)]) AS u (x, y)) AS as_by_hand
FROM many_models.model_store AS m JOIN many_models.runs AS r USING (run_id) LEFT JOIN many_models.production_store AS q USING (partition_key)
JOIN by_hand AS h ON h.store = (m.partition_key ->> 'store')::int
WHERE r.model_set = 'p' AND r.version = 2 ORDER BY 1;
-- Student's t of these differences at the level that it just reaches.
SELECT store, round((mean_squared / (sd_squared / sqrt(n)))::numeric, 3) AS t, n - 1 AS df FROM by_hand ORDER BY 1;

-- Reasons: the condition that is not true, with its values.
SELECT summary(many_models.promote_models('p', rule => 'candidate.rmse < production.rmse / 2 AND candidate.r2 > baseline.r2', dry_run => true));
SELECT * FROM report;
SELECT summary(many_models.promote_models('p', rule => 'production IS NULL OR candidate.mae < 0.1 * production.mae', dry_run => true));
SELECT * FROM report;
SELECT summary(many_models.promote_models('p', rule => 'production IS NOT NULL AND candidate.version > production.version AND candidate.trained_at > production.trained_at
    AND candidate.n_rows = 21 AND candidate.trained_rows = 80 AND baseline.model_id IS NULL AND candidate.model_id > 0', dry_run => true));
SELECT * FROM report;
SELECT summary(many_models.promote_models('p', rule => 'candidate.rmse <= coalesce(production.rmse, ''inf'')', dry_run => true));
SELECT summary(many_models.promote_models('p', rule => 'candidate.r2 > 2 AND candidate.mape / (candidate.n_rows - 21) > 0', dry_run => true));
SELECT summary(many_models.promote_models('p', rule => 'NOT (candidate.r2 > 0.5 AND candidate.bias < 100)', dry_run => true));
SELECT * FROM report;
SELECT summary(many_models.promote_models('p', rule => 'false', dry_run => true));
SELECT * FROM report;
SELECT summary(many_models.promote_models('p', rule => 'NULL', dry_run => true));
SELECT DISTINCT reason FROM report;
SELECT summary(many_models.promote_models('p', rule => '(production).rmse > (candidate).rmse AND key @> ''{"store": 1}'' -- a comment', dry_run => true));
SELECT * FROM report;
SELECT summary(many_models.promote_models('p', rule => 'CASE WHEN key ->> ''store'' IN (''1'', ''2'') THEN greatest(candidate.rmse, candidate.mae) < 5 ELSE baseline.rmse > 100 END', dry_run => true));
SELECT * FROM report;
-- The paired test; nothing in production: true.
SELECT summary(many_models.promote_models('p', rule => 'significant(0.05)', dry_run => true));
SELECT summary(many_models.promote_models('p', rule => 'significant()', dry_run => true));
SELECT summary(many_models.promote_models('p', rule => 'significant(0.0000000001) OR significant(level => 0.0000000001, loss => ''absolute'')', dry_run => true));
SELECT * FROM report;
SELECT summary(many_models.promote_models('p', rule => 'NOT significant(0.3, ''squared'')', dry_run => true));
SELECT * FROM report;

-- Errors of rules.
CREATE FUNCTION try_rule(rule text) RETURNS text LANGUAGE sql AS $$SELECT error_of(format('SELECT many_models.promote_models(''p'', rule => %L, dry_run => true)', rule))$$;
SELECT try_rule('candidate.rsme < 3');
SELECT try_rule('champion.rmse < 3');
SELECT try_rule('rmse < 3');
SELECT try_rule('test_promote.candidate.rmse < 3');
SELECT try_rule('key.store = 1');
SELECT try_rule('candidate.* IS NULL');
SELECT try_rule('candidate.rmse');
SELECT try_rule('candidate.rmse <');
SELECT try_rule('');
SELECT try_rule('candidate.rmse < ''abc''');
SELECT try_rule('candidate.rmse < 3, true');
SELECT try_rule('true AS t');
SELECT try_rule('true; DROP TABLE demand');
SELECT try_rule('true FROM demand');
SELECT try_rule('true WHERE true');
SELECT try_rule('true ORDER BY 1');
SELECT try_rule('true LIMIT 1');
SELECT try_rule('DISTINCT true');
SELECT try_rule('true) FROM demand --');
SELECT try_rule('(SELECT true)');
SELECT try_rule('EXISTS (SELECT FROM demand)');
SELECT try_rule('candidate.rmse IN (SELECT 1.0)');
SELECT try_rule('ARRAY(SELECT 1) IS NULL');
SELECT try_rule('candidate.rmse < $1');
SELECT try_rule('avg(candidate.rmse) < 3');
SELECT try_rule('count(*) = 1');
SELECT try_rule('row_number() OVER () = 1');
SELECT try_rule('generate_series(1, 2) = 1');
SELECT try_rule('random() < 0.5');
SELECT try_rule('clock_timestamp() > candidate.trained_at');
SELECT try_rule('nextval(''many_models.model_id_seq'') > 0');
SELECT try_rule('pg_sleep(10) IS NULL');
SELECT try_rule('set_config(''search_path'', ''x'', false) = ''x''');
SELECT try_rule('table_to_xml(''test_promote.demand'', true, true, '''') IS NULL');
SELECT try_rule('many_models.predict(''p'', key, ''{}'') > 0');
SELECT try_rule('many_models.significant(0.05, ''squared'', ''{}'')');
SELECT try_rule('significant(0)');
SELECT try_rule('significant(0.05, ''cubed'')');
SELECT try_rule('no_such_function(candidate.rmse)');
-- Nothing of the user's runs: functions, operators, casts, types, domains, and what search_path would find.
CREATE TABLE ran (what text);
CREATE FUNCTION spy(float8) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$BEGIN INSERT INTO test_promote.ran VALUES ('spy'); RETURN true; END$$;
CREATE FUNCTION spy_less(float8, float8) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$BEGIN INSERT INTO test_promote.ran VALUES ('<'); RETURN true; END$$;
CREATE OPERATOR < (LEFTARG = float8, RIGHTARG = float8, FUNCTION = spy_less);
CREATE DOMAIN positive AS float8 CHECK (test_promote.spy(VALUE));
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE FUNCTION to_mood(bigint) RETURNS mood LANGUAGE plpgsql IMMUTABLE AS $$BEGIN INSERT INTO test_promote.ran VALUES ('cast'); RETURN 'good'; END$$;
CREATE CAST (bigint AS mood) WITH FUNCTION to_mood(bigint) AS IMPLICIT;
CREATE FUNCTION float8lt(float8, float8) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$BEGIN INSERT INTO test_promote.ran VALUES ('float8lt'); RETURN true; END$$;
SET search_path = test_promote, pg_catalog, public;
SELECT try_rule('spy(candidate.rmse)');
SELECT try_rule('test_promote.spy(candidate.rmse)');
SELECT try_rule('candidate.rmse OPERATOR(test_promote.<) 3');
SELECT try_rule('candidate.rmse::test_promote.positive > 3');
SELECT try_rule('CAST(candidate.n_rows AS test_promote.mood) = ''good''');
SELECT try_rule('''good''::test_promote.mood IS NOT NULL');
SELECT try_rule('test_promote.to_mood(1) IS NOT NULL');
SELECT try_rule('float8lt(candidate.rmse, 3) AND candidate.rmse < 3');
SET search_path = test_promote, public;
SELECT * FROM ran;
-- A value that fails names its group, an error of syntax its place.
CREATE FUNCTION context_of(statement text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    context text;
BEGIN
    EXECUTE statement;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS context = PG_EXCEPTION_CONTEXT;
    RETURN QUERY SELECT SQLSTATE || ': ' || SQLERRM
        UNION ALL SELECT c FROM regexp_split_to_table(context, E'\n') AS c WHERE c ~ 'promotion|rescan';
END $$;
SELECT * FROM context_of($$SELECT many_models.promote_models('p', rule => 'CASE WHEN key ->> ''store'' = ''2'' THEN 1 / (candidate.n_rows - 21) > 0 END', dry_run => true)$$);
SELECT * FROM context_of($$SELECT many_models.promote_models('p', rule => 'candidate.rmse < < 3', dry_run => true)$$);
-- Arguments.
SELECT error_of($$SELECT many_models.promote_models(NULL)$$);
SELECT error_of($$SELECT many_models.promote_models('nothing')$$);
SELECT error_of($$SELECT many_models.promote_models('p', 0)$$);
SELECT error_of($$SELECT many_models.promote_models('p', 7)$$);
BEGIN;
SET TRANSACTION READ ONLY;
SELECT error_of($$SELECT many_models.promote_models('p')$$);
SELECT error_of($$SELECT many_models.rollback_models('p')$$);
SELECT error_of($$SELECT many_models.prune_promotions('p')$$);
COMMIT;
SELECT error_of($$SELECT many_models.significant(0.05)$$);
SELECT error_of($$SELECT many_models.significant(0.05, 'squared', '{1}')$$);
SELECT count(*) FROM many_models.promotions WHERE kind = 'promote';

-- A version without a holdout; one trained before the other was promoted: judged by a rescan, with the same numbers.
SELECT trained FROM many_models.train_many_models('none', 'demand', '{store}', 'units', '{price}', options => '{"holdout": {"rows": 0}}');
SELECT summary(many_models.promote_models('none', rule => 'candidate.rmse IS NULL AND candidate.n_rows IS NULL AND baseline IS NULL AND candidate IS NOT NULL'));
SELECT trained FROM many_models.train_many_models('none');
SELECT summary(many_models.promote_models('none', rule => 'candidate.trained_rows >= production.trained_rows AND candidate.rmse < production.rmse'));
SELECT * FROM report;
-- Nothing to compare: neither significant nor not.
SELECT summary(many_models.promote_models('none', rule => 'NOT significant(0.05)', dry_run => true));
SELECT * FROM report;
SELECT summary(many_models.promote_models('none', rule => 'significant(0.05) IS NULL', dry_run => true));
CREATE TABLE seen (form text, partition_key jsonb, reason text, compared text);
CREATE FUNCTION look(form text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM many_models.promote_models('r', rule => 'candidate.n_rows + candidate.rmse + candidate.mae + candidate.mape + candidate.smape + candidate.r2 + candidate.bias
        + production.n_rows + production.rmse + production.mae + production.mape + production.smape + production.r2 + production.bias
        + baseline.n_rows + baseline.rmse + baseline.mae + baseline.mape + baseline.smape + baseline.r2 + baseline.bias < 0 OR significant(1e-300)', dry_run => true);
    INSERT INTO seen SELECT form, r.partition_key, r.reason, r.compared FROM test_promote.report AS r;
END$$;
CREATE TABLE colours AS SELECT g, i, i % 11 AS x, (ARRAY['red', 'green', 'blue'])[1 + i % (1 + g)] AS colour, i % 11 * g + 3 * (i % (1 + g)) + i % 5 AS y
FROM generate_series(1, 2) AS g, generate_series(1, 90) AS i;
DO $$
DECLARE
    o record;
BEGIN
    FOR o IN SELECT * FROM (VALUES ('statistics', NULL, '{"holdout": {"fraction": 0.3}}', '{x}', '{x,i}'), ('since', 'i', '{"holdout": {"since": "60"}}', '{x}', '{x}'),
                                   ('last rows', 'i', '{"holdout": {"fraction": 0.3}}', '{x}', '{x}'), ('rows', NULL, '{"holdout": {"rows": 25}}', '{x}', '{i,x}'),
                                   ('folds', NULL, '{"cv_folds": 3, "lambda": "auto"}', '{x}', '{i,x}'), ('levels', NULL, '{}', '{colour,x}', '{x,colour}'))
             AS v (form, time_column, options, first, second) LOOP
        -- in one transaction each: before the first is promoted, and after
        PERFORM many_models.train_many_models('r', 'SELECT * FROM test_promote.colours WHERE colour <> ''blue''', '{g}', 'y', o.first::text[],
                                              CASE WHEN o.form = 'folds' THEN 'ridge' END, time_column => o.time_column, options => o.options::jsonb);
        PERFORM many_models.train_many_models('r', 'test_promote.colours', features => o.second::text[]);
        PERFORM many_models.promote_models('r', 1);
        PERFORM look(o.form);
        PERFORM many_models.train_many_models('r');
        PERFORM look(o.form);
        PERFORM many_models.drop_models('r');
    END LOOP;
END$$;
SELECT a.form, a.partition_key, a.compared, b.compared, a.reason = b.reason AS same, substring(a.reason FROM 'production.n_rows = \d+') AS rows_of_production, substring(a.reason FROM 'candidate.n_rows = \d+') AS rows_of_candidate
FROM seen AS a JOIN seen AS b USING (form, partition_key) WHERE a.compared = 'rescan' AND b.compared = 'training' ORDER BY 1, 2;
SELECT reason FROM seen WHERE form = 'levels' AND partition_key = '{"g": 2}' AND compared = 'training';
-- A rescan of some groups; of one whose source is gone.
SELECT trained FROM many_models.train_many_models('r', 'SELECT * FROM colours WHERE g = 1', '{g}', 'y', '{x}');
SELECT trained FROM many_models.train_many_models('r', 'colours');
SELECT summary(many_models.promote_models('r', 1));
SELECT summary(many_models.promote_models('r', 2, 'candidate.rmse <= production.rmse'));
SELECT * FROM report;
SELECT trained FROM many_models.train_many_models('r', features => '{x,i}');
SELECT summary(many_models.rollback_models('r', 0));
SELECT summary(many_models.promote_models('r', 2));
ALTER TABLE colours RENAME TO colors;
SELECT * FROM context_of($$SELECT many_models.promote_models('r', rule => 'candidate.rmse < production.rmse')$$);
SELECT summary(many_models.promote_models('r', rule => 'candidate.rmse < baseline.rmse'));
ALTER TABLE colors RENAME TO colours;
-- A model that needs a feature which the version does not have is not comparable.
SELECT trained FROM many_models.train_many_models('r', features => '{x}');
SELECT summary(many_models.promote_models('r', rule => 'candidate.rmse < production.rmse'));
SELECT * FROM report;
-- Groups without a model in the version keep theirs, and say why.
SELECT trained, skipped FROM many_models.train_many_models('r', 'SELECT * FROM colours WHERE g = 1 OR i < 3', options => '{"min_rows": 20}');
SELECT summary(many_models.promote_models('r'));
SELECT * FROM report;

-- Where candidates know what is in production, production is not read, but by rules that ask for its version: the same is decided, of groups that are new,
-- gone, failed or without a holdout too, whether production is one layer or two, and keys are equal by their bytes or otherwise.
CREATE TABLE kinds AS SELECT g, g::text AS name, (g || '.0')::numeric AS n, i, (i * (g + 3) % 7)::float8 AS x, (i * 5 % (g + 2))::float8 + 100 * g AS y
FROM generate_series(1, 8) AS g, generate_series(1, 30) AS i;
CREATE TABLE decided (keys text, round int, way text, partition_key jsonb, action text, compared text, reason text, replaces boolean, before bigint, PRIMARY KEY (keys, round, way, partition_key));
CREATE FUNCTION decide_twice(keys text, round int) RETURNS TABLE (by_candidates text, by_production text, report_rows bigint) LANGUAGE plpgsql AS $$
DECLARE
    says text[] := '{}';
    ways text[] := ARRAY['', ' AND coalesce(production.version, 1) > 0'];
BEGIN
    FOR way IN 1 .. 2 LOOP
        says := says || test_promote.summary(many_models.promote_models('d', dry_run => true, rule => '(candidate.rmse < production.rmse * CASE WHEN candidate.n_rows % 2 = 0 THEN 2 ELSE 0.5 END) IS NOT FALSE' || ways[way]));
        INSERT INTO test_promote.decided SELECT keys, round, ways[way], r.partition_key, r.action, r.compared, r.reason, r.production_before IS NOT NULL, r.production_before
        FROM many_models.promotion_report AS r WHERE r.promotion_id = (SELECT max(promotion_id) FROM many_models.promotions);
    END LOOP;
    RETURN QUERY SELECT says[1], nullif(says[2], says[1]), count(*) FROM test_promote.decided AS d WHERE d.keys = decide_twice.keys AND d.round = decide_twice.round;
END $$;
CREATE FUNCTION try_keys(key text) RETURNS TABLE (round int, by_candidates text, by_production text, report_rows bigint) LANGUAGE plpgsql AS $$
DECLARE
    source text := format('SELECT %I AS k, i, x, y FROM test_promote.kinds WHERE ', key);
BEGIN
    PERFORM many_models.train_many_models('d', source || 'g < 7', '{k}', 'y', '{x}', options => '{"holdout": {"fraction": 0.3}, "min_rows": 5}');
    PERFORM many_models.promote_models('d');
    -- 1 is gone, 2 is skipped, 3 has its key as an equal value where there is one, 7 and 8 are new.
    PERFORM many_models.train_many_models('d', replace(source, 'SELECT n AS', 'SELECT CASE WHEN g = 3 THEN 3.00 ELSE n END AS') || 'g > 2 OR g = 2 AND i < 4');
    RETURN QUERY SELECT 1, * FROM test_promote.decide_twice(key, 1);
    PERFORM many_models.promote_models('d', rule => 'candidate.rmse < production.rmse AND candidate.n_rows % 2 = 0');
    PERFORM many_models.train_many_models('d', source || 'i > 3');
    RETURN QUERY SELECT 2, * FROM test_promote.decide_twice(key, 2);
    PERFORM many_models.promote_models('d', rule => '(candidate.rmse < 2 * production.rmse) IS NOT FALSE');
    PERFORM many_models.train_many_models('d', source || 'true');
    RETURN QUERY SELECT 3, * FROM test_promote.decide_twice(key, 3);
    PERFORM many_models.drop_models('d');
    DROP VIEW test_promote.d_models;
END $$;
SELECT key, t.* FROM unnest('{g,name,n}'::text[]) AS key, try_keys(key) AS t;
SELECT count(*) AS different FROM decided AS a FULL JOIN decided AS b ON (a.keys, a.round, a.partition_key) = (b.keys, b.round, b.partition_key) AND a.way < b.way
WHERE coalesce(a.way, '') = '' AND coalesce(b.way, 'b') <> '' AND (a.action, a.compared, a.reason, a.before) IS DISTINCT FROM (b.action, b.compared, b.reason, b.before);
SELECT action, compared, count(*) FROM decided WHERE way = '' GROUP BY 1, 2 ORDER BY 1, 2;

SELECT many_models.drop_models(model_set) > 0 AS dropped FROM many_models.model_sets WHERE model_set IN ('p', 'r', 'none') ORDER BY model_set;
SELECT (SELECT count(*) FROM many_models.promotions) AS promotions, (SELECT count(*) FROM many_models.promotion_store) AS reports,
       (SELECT count(*) FROM many_models.production_store) AS models, (SELECT count(*) FROM many_models.production_runs) AS runs,
       (SELECT count(*) FROM many_models.production_sets) AS sets;
DROP SCHEMA test_promote CASCADE;
