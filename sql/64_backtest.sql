-- Backtests: every forecast of the past beside what came.

CREATE FUNCTION many_models.source_columns(source text)
    RETURNS TABLE (name text, type text, collation_name text, is_builtin boolean)
    AS 'MODULE_PATHNAME', 'many_source_columns' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE ROWS 20;
COMMENT ON FUNCTION many_models.source_columns(text) IS
    'the columns of a source, as the caller sees it, with their types, of domains those they are over';
REVOKE ALL ON FUNCTION many_models.source_columns(text) FROM PUBLIC;

CREATE FUNCTION many_models.backtest_points(
    model_set    text,
    source       text    DEFAULT NULL,
    partition_by text[]  DEFAULT NULL,
    target       text    DEFAULT NULL,
    features     text[]  DEFAULT NULL,
    algorithm    text    DEFAULT NULL,
    time_column  text    DEFAULT NULL,
    options      jsonb   DEFAULT '{}',
    tags         jsonb   DEFAULT '{}',
    workers      integer DEFAULT NULL
) RETURNS TABLE (
    partition_key jsonb,
    forecast_time text,
    fold          integer,
    horizon_step  integer,
    actual        double precision,
    prediction    double precision,
    lower         double precision,
    upper         double precision,
    message       text,
    hint          text
)
    AS 'MODULE_PATHNAME', 'many_backtest_points' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 1000;
COMMENT ON FUNCTION many_models.backtest_points(text, text, text[], text, text[], text, text, jsonb, jsonb, integer) IS
    'the rows of backtest_many_models, with keys and times as text; fold 1 is the latest; a group without a backtest has one row with a message';
REVOKE ALL ON FUNCTION many_models.backtest_points(text, text, text[], text, text[], text, text, jsonb, jsonb, integer) FROM PUBLIC;

CREATE FUNCTION many_models.run_backtest(
    model_set    text,
    source       text,
    partition_by text[],
    target       text,
    features     text[],
    algorithm    text,
    time_column  text,
    options      jsonb,
    tags         jsonb,
    workers      integer,
    into_table   text,
    statement    text
) RETURNS many_models.run_summary
    AS 'MODULE_PATHNAME', 'many_run_backtest' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION many_models.run_backtest(text, text, text[], text, text[], text, text, jsonb, jsonb, integer, text, text) IS
    'runs a backtest, then, as the caller, an INSERT that reads its rows (as those of backtest_points) from many_models_backtest, $1 its run_id, $2 its start; records it in runs; called by backtest_many_models';
REVOKE ALL ON FUNCTION many_models.run_backtest(text, text, text[], text, text[], text, text, jsonb, jsonb, integer, text, text) FROM PUBLIC;

-- Without a search_path of its own: into_table and source are the caller's names. Hence every name qualified.
CREATE FUNCTION many_models.backtest_many_models(
    model_set    text,
    source       text    DEFAULT NULL,
    partition_by text[]  DEFAULT NULL,
    target       text    DEFAULT NULL,
    features     text[]  DEFAULT NULL,
    algorithm    text    DEFAULT NULL,
    time_column  text    DEFAULT NULL,
    options      jsonb   DEFAULT '{}',
    into_table   text    DEFAULT NULL,
    workers      integer DEFAULT NULL
) RETURNS many_models.run_summary
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    AS $$
DECLARE
    summary   many_models.run_summary;
    place     text := (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(n.name), '.' ORDER BY n.i)
                       FROM pg_catalog.unnest(CASE WHEN into_table IS NULL THEN ARRAY[pg_catalog.concat(model_set, '_backtest')]
                                              ELSE pg_catalog.parse_ident(into_table) END) WITH ORDINALITY AS n (name, i));
    by_source text := source;
    keys      text[] := partition_by;
    at_column text := time_column;
    columns   text := '';
    list      text := '';
    picks     text := '';
    item      record;
BEGIN
    SELECT coalesce(by_source, s.source), coalesce(keys, s.partition_by), coalesce(at_column, s.time_column)
    INTO by_source, keys, at_column
    FROM many_models.model_sets AS s WHERE s.model_set OPERATOR(pg_catalog.=) backtest_many_models.model_set;
    by_source := coalesce(by_source, source);
    keys := coalesce(keys, partition_by);
    at_column := coalesce(at_column, time_column);
    IF by_source IS NULL OR keys IS NULL OR at_column IS NULL THEN
        RAISE EXCEPTION 'argument % is missing',
            CASE WHEN by_source IS NULL THEN 'source' WHEN keys IS NULL THEN 'partition_by' ELSE 'time_column' END
            USING ERRCODE = '22023',
                HINT = 'There is no model set of this name whose definition has it.';
    END IF;
    FOR item IN
        SELECT w.name, w.is_key, c.type, c.collation_name, c.is_builtin
        FROM (SELECT k.name, true AS is_key, k.n FROM pg_catalog.unnest(keys) WITH ORDINALITY AS k (name, n)
              UNION ALL SELECT at_column, false, 1000) AS w
        LEFT JOIN many_models.source_columns(by_source) AS c ON c.name OPERATOR(pg_catalog.=) w.name
        ORDER BY w.n
    LOOP
        IF item.type IS NULL THEN
            RAISE EXCEPTION 'column "%" is not in the source', item.name USING ERRCODE = '42703';
        END IF;
        IF item.name OPERATOR(pg_catalog.=) ANY (ARRAY['fold', 'horizon_step', 'actual', 'prediction', 'lower', 'upper', 'reason', 'backtested_at', 'run_id']) THEN
            RAISE EXCEPTION 'column "%" of the source has the name of a column of the backtest', item.name
                USING ERRCODE = '42701', HINT = 'Rename it in a source query.';
        END IF;
        columns := pg_catalog.concat(columns, pg_catalog.format('%I %s%s, ', item.name, item.type,
            CASE WHEN item.collation_name IS NULL THEN '' ELSE pg_catalog.concat(' COLLATE ', item.collation_name) END));
        list := pg_catalog.concat(list, pg_catalog.format('%I, ', item.name));
        -- No cast to a type of a user's: it would run his code outside of the source's guard.
        picks := pg_catalog.concat(picks, CASE WHEN NOT item.is_key THEN pg_catalog.format('p.forecast_time::%s, ', item.type)
            WHEN item.is_builtin THEN pg_catalog.format('(p.partition_key OPERATOR(pg_catalog.->>) %L)::%s, ', item.name, item.type)
            ELSE pg_catalog.format('many_models.key_value(p.partition_key, %L, NULL::%s), ', item.name, item.type) END);
        IF NOT item.is_key AND NOT item.is_builtin THEN
            RAISE EXCEPTION 'time_column "%" has type %', item.name, item.type
                USING ERRCODE = '42804', HINT = 'Valid are smallint, integer, bigint, date and timestamps.';
        END IF;
    END LOOP;
    IF pg_catalog.to_regclass(place) IS NULL THEN
        EXECUTE pg_catalog.format(
            'CREATE TABLE %s (%sfold integer, horizon_step integer, actual double precision, '
            'prediction double precision, lower double precision, upper double precision, '
            'reason text, backtested_at timestamptz NOT NULL, run_id bigint NOT NULL)', place, columns);
        EXECUTE pg_catalog.format(
            'COMMENT ON TABLE %s IS %L', place,
            pg_catalog.concat('backtests of model set ', model_set, ': forecasts of the past beside what came; fold 1 is the latest'));
    END IF;
    -- What others may have put on a table of theirs, triggers and rules, does not run as the caller.
    EXECUTE pg_catalog.format('LOCK TABLE %s IN ROW EXCLUSIVE MODE', place);
    SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) INTO place
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
    WHERE c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass(place) AND c.relkind OPERATOR(pg_catalog.=) 'r'
        AND c.relowner OPERATOR(pg_catalog.=) (SELECT u.oid FROM pg_catalog.pg_roles AS u WHERE u.rolname OPERATOR(pg_catalog.=) CURRENT_USER);
    IF place IS NULL THEN
        RAISE EXCEPTION 'the backtest needs a table of the caller''s own'
            USING ERRCODE = '42501', HINT = 'Name another table in into_table.';
    END IF;
    SELECT * INTO summary FROM many_models.run_backtest(
        model_set, source, partition_by, target, features, algorithm, time_column, options, NULL::jsonb, workers, place,
        pg_catalog.format(
            'INSERT INTO %s (%sfold, horizon_step, actual, prediction, lower, upper, reason, backtested_at, run_id) '
            'SELECT %sp.fold, p.horizon_step, p.actual, p.prediction, p.lower, p.upper, p.message, $2, $1 '
            'FROM many_models_backtest AS p', place, list, picks));
    RETURN summary;
END
$$;
COMMENT ON FUNCTION many_models.backtest_many_models(text, text, text[], text, text[], text, text, jsonb, text, integer) IS
    'forecasts the past of each group by rolling origin (options backtest or cv_folds) and writes every fold''s forecast beside the actual value into a table, <model_set>_backtest by default, and a row to runs; arguments left out are those of the stored definition';
REVOKE ALL ON FUNCTION many_models.backtest_many_models(text, text, text[], text, text[], text, text, jsonb, text, integer) FROM PUBLIC;
