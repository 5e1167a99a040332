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

CREATE FUNCTION many_models.reconcile(
    source            text,
    partition_by      text[],
    time_column       text,
    prediction_column text DEFAULT 'prediction',
    method            text DEFAULT NULL,
    errors            text DEFAULT NULL,
    error_column      text DEFAULT 'error'
) RETURNS TABLE (key jsonb, step_time text, prediction double precision, reconciled double precision)
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
    ), history AS MATERIALIZED (
        SELECT r.key, r.node, r.step, r.value
        FROM many_models.hierarchy_rows(reconcile.errors, reconcile.partition_by, reconcile.time_column,
                                        reconcile.error_column, 'errors', false) AS r
    ), coherent AS MATERIALIZED (
        SELECT many_models.reconcile_forecasts(
            coalesce((SELECT array_agg(f.step_values ORDER BY f.step)
                      FROM (SELECT b.step, array_agg(b.value ORDER BY b.node) AS step_values FROM base AS b GROUP BY b.step) AS f), '{}'),
            (SELECT coalesce(array_agg(p.aggregate ORDER BY p.aggregate, p.member), '{}') FROM pairs AS p),
            (SELECT coalesce(array_agg(p.member ORDER BY p.aggregate, p.member), '{}') FROM pairs AS p),
            coalesce(reconcile.method, CASE WHEN reconcile.errors IS NULL THEN 'wls_structure' ELSE 'mint' END),
            CASE WHEN reconcile.errors IS NOT NULL THEN
                coalesce((SELECT array_agg(f.step_values ORDER BY f.step)
                          FROM (SELECT s.step, array_agg(h.value ORDER BY n.node) AS step_values
                                FROM (SELECT DISTINCT x.step FROM history AS x) AS s
                                CROSS JOIN (SELECT b.node, o.node AS history_node
                                            FROM nodes AS b
                                            LEFT JOIN (SELECT DISTINCT x.node, x.key FROM history AS x) AS o USING (key)) AS n
                                LEFT JOIN history AS h ON h.step = s.step AND h.node = n.history_node
                                GROUP BY s.step) AS f), '{}')
            END) AS forecasts
    )
    SELECT b.key, b.step_time, b.value, f.value
    FROM base AS b
    JOIN (SELECT u.value, u.place
          FROM coherent AS c, unnest(c.forecasts) WITH ORDINALITY AS u (value, place)) AS f
        ON f.place = (b.step - 1)::bigint * (SELECT count(*) FROM nodes AS n) + b.node
    ORDER BY b.step, b.node;
    END;
COMMENT ON FUNCTION many_models.reconcile(text, text[], text, text, text, text, text) IS
    'coherent forecasts of a table or query: rows with NULL in partition columns are aggregates over them; method NULL: mint with errors, else wls_structure';
