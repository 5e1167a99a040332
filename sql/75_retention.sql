-- Retention: how many versions, and for how long predictions and rows of scoring runs are kept.

CREATE TABLE many_models.retention (
    model_set        text PRIMARY KEY,
    keep_versions    integer CHECK (keep_versions >= 1),
    keep_predictions interval CHECK (keep_predictions > interval '0'),
    keep_runs        interval CHECK (keep_runs > interval '0')
);
COMMENT ON TABLE many_models.retention IS
    'what apply_retention keeps of a model set; written by set_retention; NULL: all';
COMMENT ON COLUMN many_models.retention.keep_versions IS 'so many of the latest versions';
COMMENT ON COLUMN many_models.retention.keep_predictions IS
    'predictions of scoring runs that ended so long ago, or later';
COMMENT ON COLUMN many_models.retention.keep_runs IS
    'rows in runs of scoring runs and backtests that ended so long ago, or later';
ALTER TABLE many_models.retention ENABLE ROW LEVEL SECURITY;
CREATE POLICY owner_reads ON many_models.retention FOR SELECT
    USING (model_set IN (SELECT s.model_set FROM many_models.model_sets AS s));
REVOKE ALL ON many_models.retention FROM PUBLIC;
GRANT SELECT ON many_models.retention TO PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('many_models.retention', '');

CREATE TYPE many_models.retention_action AS (
    model_set   text,
    what        text,
    version     integer,
    run_id      bigint,
    relation    text,
    finished_at timestamptz,
    bytes       bigint,
    action      text,
    reason      text
);
COMMENT ON TYPE many_models.retention_action IS
    'a row of apply_retention: what (version, predictions, run) was dropped, would be (dry_run), or is kept for a reason';

CREATE FUNCTION many_models.set_retention(
    model_set        text,
    keep_versions    integer  DEFAULT NULL,
    keep_predictions interval DEFAULT NULL,
    keep_runs        interval DEFAULT NULL
) RETURNS void
    AS 'MODULE_PATHNAME', 'many_set_retention' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION many_models.set_retention(text, integer, interval, interval) IS
    'stores what apply_retention keeps of a model set: the latest versions, predictions, and rows of scoring runs and backtests, of a time; NULL: all';

CREATE FUNCTION many_models.delete_scoring_runs(model_set text, run_ids bigint[]) RETURNS bigint
    AS 'MODULE_PATHNAME', 'many_delete_scoring_runs' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION many_models.delete_scoring_runs(text, bigint[]) IS
    'deletes rows of scoring runs and backtests of a model set from runs; their tables stay; returns the number of rows';

-- Models in production are copies, and stay when their version is dropped. What explains them (the
-- coefficients, the metrics of each split) would go: drop_models can do that, retention does not.
CREATE FUNCTION many_models.version_in_use(model_set text, version integer) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
SELECT EXISTS (SELECT FROM many_models.production_models AS p
               WHERE p.model_set = version_in_use.model_set AND p.version = version_in_use.version)
$$;
COMMENT ON FUNCTION many_models.version_in_use(text, integer) IS
    'whether models of a version are in production, so that retention keeps it';

-- A run's partition is found by what it is: a partition for this run_id of a table that has the shape
-- of predictions, under the name the run gave the table or, where that was renamed or moved to
-- another schema, under the name the run gave the partition.
CREATE FUNCTION many_models.predictions_of(model_set text) RETURNS TABLE (
        run_id bigint, version integer, finished_at timestamptz, partition oid)
    LANGUAGE sql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
WITH runs AS MATERIALIZED (
    SELECT r.run_id, r.version, r.finished_at, parse_ident(r.into_table) AS name,
           format('FOR VALUES IN (%L)', r.run_id::text) AS bound
    FROM many_models.runs AS r
    WHERE r.model_set = predictions_of.model_set AND r.kind = 'score'
), partitions AS MATERIALIZED (
    SELECT c.oid, c.relname, n.nspname AS parent_schema, t.relname AS parent_name,
           pg_get_expr(c.relpartbound, c.oid) AS bound
    FROM pg_partitioned_table AS p
    JOIN pg_attribute AS k ON k.attrelid = p.partrelid AND k.attnum = p.partattrs[0]
    JOIN pg_class AS t ON t.oid = p.partrelid
    JOIN pg_namespace AS n ON n.oid = t.relnamespace
    JOIN pg_inherits AS i ON i.inhparent = p.partrelid
    JOIN pg_class AS c ON c.oid = i.inhrelid AND c.relispartition
    WHERE p.partstrat = 'l' AND p.partnatts = 1 AND k.attname = 'run_id'
        AND (SELECT count(*) FROM pg_attribute AS a
             WHERE a.attrelid = p.partrelid AND NOT a.attisdropped
                 AND a.attname IN ('prediction', 'model_id', 'fallback_reason', 'scored_at')) = 4
)
SELECT r.run_id, r.version, r.finished_at, p.oid
FROM runs AS r
LEFT JOIN partitions AS p ON p.bound = r.bound
    AND ((p.parent_schema = r.name[1] AND p.parent_name = r.name[2])
        OR p.relname = r.name[2] || '_r' || r.run_id)
$$;
COMMENT ON FUNCTION many_models.predictions_of(text) IS
    'the scoring runs of a model set, and for each the partition with its predictions; NULL when it is gone';

CREATE FUNCTION many_models.apply_retention(
    model_set text    DEFAULT NULL,
    dry_run   boolean DEFAULT false
) RETURNS SETOF many_models.retention_action
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    kept      many_models.retention;
    due       record;
    result    many_models.retention_action;
    set_owner oid;
    done      constant text := CASE WHEN dry_run THEN 'would be dropped' ELSE 'dropped' END;
BEGIN
    IF model_set IS NOT NULL THEN
        SELECT s.owner INTO set_owner FROM many_models.model_sets AS s
            WHERE s.model_set = apply_retention.model_set;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'model set "%" does not exist', model_set
                USING ERRCODE = 'undefined_object';
        ELSIF NOT pg_has_role(set_owner, 'USAGE') THEN
            RAISE EXCEPTION 'must be owner of model set "%"', model_set
                USING ERRCODE = 'insufficient_privilege';
        ELSIF NOT EXISTS (SELECT FROM many_models.retention AS t
                          WHERE t.model_set = apply_retention.model_set) THEN
            RAISE NOTICE 'model set "%" has no retention', model_set
                USING HINT = 'many_models.set_retention says what to keep.';
        END IF;
    END IF;
    FOR kept IN
        SELECT t.* FROM many_models.retention AS t
        JOIN many_models.model_sets AS s ON s.model_set = t.model_set
        WHERE (apply_retention.model_set IS NULL OR t.model_set = apply_retention.model_set)
            AND pg_has_role(s.owner::oid, 'USAGE')
        ORDER BY t.model_set
    LOOP
        -- Predictions, then the rows of runs that have none left.
        FOR due IN
            SELECT p.run_id, p.version, p.finished_at, p.partition, n.nspname, c.relname,
                   pg_has_role(c.relowner, 'USAGE') AS owned, c.relowner::regrole AS owner,
                   p.finished_at < now() - kept.keep_predictions AS predictions_due,
                   p.finished_at < now() - kept.keep_runs AS run_due
            FROM many_models.predictions_of(kept.model_set) AS p
            LEFT JOIN pg_class AS c ON c.oid = p.partition
            LEFT JOIN pg_namespace AS n ON n.oid = c.relnamespace
            ORDER BY p.run_id
        LOOP
            IF due.predictions_due AND due.partition IS NOT NULL THEN
                result := (kept.model_set, 'predictions', due.version, due.run_id,
                    format('%I.%I', due.nspname, due.relname), due.finished_at,
                    pg_total_relation_size(due.partition), done, NULL);
                IF NOT due.owned THEN
                    result.action := 'kept';
                    result.reason := format('belongs to role %s', due.owner);
                ELSIF NOT dry_run THEN
                    BEGIN
                        EXECUTE format('DROP TABLE %I.%I', due.nspname, due.relname);
                    EXCEPTION
                        WHEN undefined_table OR invalid_schema_name THEN
                            result.action := 'gone';
                        WHEN dependent_objects_still_exist OR insufficient_privilege
                            OR lock_not_available OR object_in_use THEN
                            result.action := 'kept';
                            result.reason := SQLERRM;
                    END;
                END IF;
                RETURN NEXT result;
                IF result.action <> 'kept' THEN due.partition := NULL; END IF;
            END IF;
            IF due.run_due AND due.partition IS NULL THEN
                result := (kept.model_set, 'run', due.version, due.run_id, NULL, due.finished_at,
                    NULL, done, NULL);
                IF NOT dry_run THEN
                    PERFORM many_models.delete_scoring_runs(kept.model_set, ARRAY[due.run_id]);
                END IF;
                RETURN NEXT result;
            END IF;
        END LOOP;
        -- Tables of backtests are their makers', who may go on writing to them.
        FOR due IN
            SELECT r.run_id, r.finished_at, r.into_table
            FROM many_models.runs AS r
            WHERE r.model_set = kept.model_set AND r.kind = 'backtest'
                AND NOT r.details @> '{"of_set": false}'
                AND r.finished_at < now() - kept.keep_runs
            ORDER BY r.run_id
        LOOP
            result := (kept.model_set, 'run', NULL, due.run_id, NULL, due.finished_at, NULL, done,
                NULL);
            IF NOT dry_run THEN
                PERFORM many_models.delete_scoring_runs(kept.model_set, ARRAY[due.run_id]);
            END IF;
            RETURN NEXT result;
        END LOOP;
        -- Versions last: dropping a large one locks the models for everyone.
        FOR due IN
            SELECT v.*, many_models.version_in_use(kept.model_set, v.version) AS in_use,
                   pg_total_relation_size(to_regclass(format('many_models.model_store_r%s',
                       nullif(v.storage, 0)))) AS bytes
            FROM (SELECT r.run_id, r.version, r.finished_at, r.storage,
                         rank() OVER (ORDER BY r.version DESC) AS age
                  FROM many_models.runs AS r
                  WHERE r.model_set = kept.model_set AND r.kind IN ('train', 'import')) AS v
            WHERE v.age > kept.keep_versions
            ORDER BY v.version
        LOOP
            result := (kept.model_set, 'version', due.version, due.run_id, NULL, due.finished_at,
                due.bytes, done, NULL);
            IF due.in_use THEN
                result.action := 'kept';
                result.reason := 'in use';
            ELSIF NOT dry_run THEN
                BEGIN
                    PERFORM many_models.drop_models(kept.model_set, due.version);
                EXCEPTION
                    WHEN undefined_object THEN
                        result.action := 'gone';
                    WHEN lock_not_available THEN
                        result.action := 'kept';
                        result.reason := SQLERRM;
                END;
            END IF;
            RETURN NEXT result;
        END LOOP;
    END LOOP;
END
$$;
COMMENT ON FUNCTION many_models.apply_retention(text, boolean) IS
    'drops what set_retention does not keep: old versions, partitions of old predictions, rows of old scoring runs and backtests; of one model set, or with NULL of all that the role owns; dry_run: only tells; a row per thing';

REVOKE ALL ON FUNCTION many_models.set_retention(text, integer, interval, interval) FROM PUBLIC;
REVOKE ALL ON FUNCTION many_models.delete_scoring_runs(text, bigint[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION many_models.apply_retention(text, boolean) FROM PUBLIC;
