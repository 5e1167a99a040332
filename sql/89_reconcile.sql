-- Coherent forecasts of a table: nodes by their keys, NULL in a partition column for "all of them".

-- ROWS: more than the default, so that joins of these rows are hashed; not so many that a plan would be compiled.
CREATE FUNCTION many_models.hierarchy_rows(
    source       text,
    partition_by text[],
    time_column  text,
    value_column text,
    role         text,
    every_step   boolean
) RETURNS TABLE (key jsonb, node integer, step integer, step_time text, value double precision)
    AS 'MODULE_PATHNAME', 'many_hierarchy_rows' LANGUAGE C STABLE PARALLEL UNSAFE COST 1000 ROWS 20000;
COMMENT ON FUNCTION many_models.hierarchy_rows(text, text[], text, text, text, boolean) IS
    'rows of a source with nodes and times numbered; called by reconcile';

CREATE FUNCTION many_models.reconcile_std_errors(
    std_errors double precision[],
    aggregates integer[],
    members    integer[],
    method     text DEFAULT 'ols',
    errors     double precision[] DEFAULT NULL
) RETURNS double precision[]
    AS 'MODULE_PATHNAME', 'many_reconcile_std_errors' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION many_models.reconcile_std_errors(double precision[], integer[], integer[], text, double precision[]) IS
    'standard errors of what reconcile_forecasts makes of forecasts with these standard errors; errors: of the past, for their correlations; NULL: not known';

CREATE FUNCTION many_models.interval_width(level double precision) RETURNS double precision
    AS 'MODULE_PATHNAME', 'many_interval_width' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION many_models.interval_width(double precision) IS
    'how many standard errors the central interval of this level, of the normal distribution, reaches to either side: 1.96 for 0.95';

CREATE FUNCTION many_models.reconcile(
    source            text,
    partition_by      text[],
    time_column       text,
    prediction_column text DEFAULT 'prediction',
    method            text DEFAULT NULL,
    errors            text DEFAULT NULL,
    error_column      text DEFAULT 'error',
    interval_columns  text[] DEFAULT NULL,
    interval_level    double precision DEFAULT 0.95,
    level             double precision DEFAULT 0.95,
    nonnegative       boolean DEFAULT false
) RETURNS TABLE (key jsonb, step_time text, prediction double precision, reconciled double precision,
                 std_error double precision, lower double precision, upper double precision)
    LANGUAGE sql STABLE PARALLEL UNSAFE COST 10000 ROWS 1000
    BEGIN ATOMIC
    WITH base AS MATERIALIZED (
        SELECT r.key, r.node, r.step, r.step_time, r.value
        FROM many_models.hierarchy_rows(reconcile.source, reconcile.partition_by, reconcile.time_column,
                                        reconcile.prediction_column, 'source', true) AS r
    ), nodes AS MATERIALIZED (
        SELECT b.node, b.key, jsonb_strip_nulls(b.key) AS part,
               ARRAY(SELECT e.key FROM jsonb_each(b.key) AS e WHERE jsonb_typeof(e.value) = 'null' ORDER BY e.key) AS all_of
        FROM base AS b WHERE b.step = 1
    ), pairs AS (  -- a leaf's key without the columns that an aggregate sums over is the aggregate's
        SELECT a.node AS aggregate, m.node AS member
        FROM nodes AS a
        LEFT JOIN (SELECT l.node, l.key - p.all_of AS part
                   FROM nodes AS l
                   CROSS JOIN (SELECT DISTINCT n.all_of FROM nodes AS n WHERE n.all_of <> '{}') AS p
                   WHERE l.all_of = '{}') AS m USING (part)
        WHERE a.all_of <> '{}'
    ), lists AS MATERIALIZED (
        SELECT coalesce(array_agg(p.aggregate ORDER BY p.aggregate, p.member), '{}') AS aggregates,
               coalesce(array_agg(p.member ORDER BY p.aggregate, p.member), '{}') AS members,
               coalesce(reconcile.method, CASE WHEN reconcile.errors IS NULL THEN 'wls_structure' ELSE 'mint' END) AS method
        FROM pairs AS p
    ), history AS MATERIALIZED (
        SELECT r.key, r.node, r.step, r.value
        FROM many_models.hierarchy_rows(reconcile.errors, reconcile.partition_by, reconcile.time_column,
                                        reconcile.error_column, 'errors', false) AS r
    ), past AS MATERIALIZED (
        SELECT CASE WHEN reconcile.errors IS NOT NULL THEN
                coalesce((SELECT array_agg(f.step_values ORDER BY f.step)
                          FROM (SELECT s.step, array_agg(h.value ORDER BY n.node) AS step_values
                                FROM (SELECT DISTINCT x.step FROM history AS x) AS s
                                CROSS JOIN (SELECT b.node, o.node AS history_node
                                            FROM nodes AS b
                                            LEFT JOIN (SELECT DISTINCT x.node, x.key FROM history AS x) AS o USING (key)) AS n
                                LEFT JOIN history AS h ON h.step = s.step AND h.node = n.history_node
                                GROUP BY s.step) AS f), '{}')
            END AS errors
    ), base_errors AS MATERIALIZED (  -- of the side where no bound cut the interval
        SELECT b.node, b.step,
               CASE WHEN cardinality(reconcile.interval_columns) = 1 THEN l.value
                    ELSE greatest(u.value - b.value, b.value - l.value) / many_models.interval_width(reconcile.interval_level)
               END AS std_error
        FROM base AS b
        JOIN many_models.hierarchy_rows(CASE WHEN reconcile.interval_columns IS NOT NULL THEN reconcile.source END, reconcile.partition_by,
                                        reconcile.time_column, reconcile.interval_columns[1], 'source', true) AS l USING (node, step)
        JOIN many_models.hierarchy_rows(CASE WHEN reconcile.interval_columns IS NOT NULL THEN reconcile.source END, reconcile.partition_by,
                                        reconcile.time_column, CASE WHEN cardinality(reconcile.interval_columns) <= 2 THEN reconcile.interval_columns[cardinality(reconcile.interval_columns)] END,
                                        'source', true) AS u USING (node, step)
    ), coherent AS MATERIALIZED (
        SELECT many_models.reconcile_forecasts(
                   coalesce((SELECT array_agg(f.step_values ORDER BY f.step)
                             FROM (SELECT b.step, array_agg(b.value ORDER BY b.node) AS step_values FROM base AS b GROUP BY b.step) AS f), '{}'),
                   a.aggregates, a.members, a.method, p.errors, NULL, reconcile.nonnegative) AS forecasts,
               many_models.reconcile_std_errors(
                   (SELECT array_agg(f.step_values ORDER BY f.step)
                    FROM (SELECT b.step, array_agg(CASE WHEN b.std_error < 'Infinity' THEN b.std_error END ORDER BY b.node) AS step_values
                          FROM base_errors AS b GROUP BY b.step) AS f),
                   a.aggregates, a.members, a.method, p.errors) AS std_errors
        FROM lists AS a CROSS JOIN past AS p
    ), results AS (
        SELECT u.forecast, u.std_error, u.std_error * many_models.interval_width(reconcile.level) AS half, u.place
        FROM coherent AS c, ROWS FROM (unnest(c.forecasts), unnest(c.std_errors)) WITH ORDINALITY AS u (forecast, std_error, place)
    )
    SELECT b.key, b.step_time, b.value, f.forecast, f.std_error,
           CASE WHEN reconcile.nonnegative AND f.forecast < f.half THEN 0 ELSE f.forecast - f.half END,
           f.forecast + f.half
    FROM base AS b
    JOIN results AS f ON f.place = (b.step - 1)::bigint * (SELECT count(*) FROM nodes AS n) + b.node
    ORDER BY b.step, b.node;
    END;
COMMENT ON FUNCTION many_models.reconcile(text, text[], text, text, text, text, text, text[], double precision, double precision, boolean) IS
    'coherent forecasts of a table or query: rows with NULL in partition columns are aggregates over them; method NULL: mint with errors, else wls_structure; interval_columns, the ends of intervals of interval_level or one of standard errors: intervals of the results; nonnegative: none is below 0';
