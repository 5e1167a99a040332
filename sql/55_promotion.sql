-- Promotion: promote_models, rollback_models, what a rule may use, and the views of production.

CREATE TYPE many_models.promotion_summary AS (
    promotion_id bigint,
    model_set    text,
    kind         text,
    version      integer,
    promoted     bigint,
    kept         bigint,
    rejected     bigint,
    withdrawn    bigint,
    production   bigint,
    elapsed      interval
);
COMMENT ON TYPE many_models.promotion_summary IS
    'what a promotion did: one row, returned by promote_models and rollback_models';

CREATE TYPE many_models.model_quality AS (
    n_rows       bigint,
    rmse         double precision,
    mae          double precision,
    mape         double precision,
    smape        double precision,
    r2           double precision,
    bias         double precision,
    mase         double precision,
    model_id     bigint,
    version      integer,
    trained_at   timestamptz,
    trained_rows bigint
);
COMMENT ON TYPE many_models.model_quality IS
    'what a rule knows of candidate, production and baseline: metrics on the rows held out, and the model';

CREATE FUNCTION many_models.significant(
    level       double precision DEFAULT 0.05,
    loss        text DEFAULT 'squared',
    differences double precision[] DEFAULT NULL
) RETURNS boolean
    AS 'MODULE_PATHNAME', 'many_significant' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION many_models.significant(double precision, text, double precision[]) IS
    'in a rule of promote_models: whether the candidate''s errors (loss squared or absolute) are smaller than those of the model in production by more than chance, at a level (paired one-sided t test); true where nothing is in production, NULL where there is nothing to compare';

CREATE FUNCTION many_models.promote_models(
    model_set text,
    version   integer DEFAULT NULL,
    rule      text    DEFAULT NULL,
    dry_run   boolean DEFAULT false
) RETURNS many_models.promotion_summary
    AS 'MODULE_PATHNAME', 'many_promote_models' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION many_models.promote_models(text, integer, text, boolean) IS
    'puts the models of a version (NULL: the latest) into production, for the groups where the rule is true (NULL: all); the report by group is in promotion_report';

CREATE FUNCTION many_models.rollback_models(
    model_set    text,
    to_promotion bigint      DEFAULT NULL,
    to_time      timestamptz DEFAULT NULL
) RETURNS many_models.promotion_summary
    AS 'MODULE_PATHNAME', 'many_rollback_models' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION many_models.rollback_models(text, bigint, timestamptz) IS
    'puts production back to what it was after a promotion (0: before the first) or at a time; NULL: to what it was before its last change, be that a promotion or a rollback';

CREATE FUNCTION many_models.prune_promotions(model_set text, keep integer DEFAULT 10)
    RETURNS bigint
    AS 'MODULE_PATHNAME', 'many_prune_promotions' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION many_models.prune_promotions(text, integer) IS
    'deletes promoted models that are neither in production now nor in the last `keep` states of it, and the reports of older promotions; returns the number of models';

REVOKE ALL ON FUNCTION many_models.prune_promotions(text, integer) FROM PUBLIC;
REVOKE ALL ON FUNCTION many_models.promote_models(text, integer, text, boolean) FROM PUBLIC;
REVOKE ALL ON FUNCTION many_models.rollback_models(text, bigint, timestamptz) FROM PUBLIC;

-- What is in force: the rows of production_store that production_sets makes valid. The first condition
-- on storage leaves out, before anything is read, partitions of layers that are in force nowhere.
CREATE VIEW many_models.production_in_force WITH (security_invoker = true) AS
SELECT s.model_set, m.*
FROM many_models.production_sets AS s
CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(s.layers), pg_catalog.unnest(s.storages)) WITH ORDINALITY AS l (layer, storage, rank)
JOIN many_models.production_store AS m ON m.storage = l.storage AND m.layer = l.layer
WHERE m.storage = ANY (ARRAY(SELECT pg_catalog.unnest(c.storages) FROM many_models.production_sets AS c))
    AND NOT EXISTS (
        SELECT
        FROM many_models.production_sets AS t
        CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(t.layers), pg_catalog.unnest(t.storages)) WITH ORDINALITY AS u (layer, storage, rank)
        JOIN many_models.production_store AS n ON n.storage = u.storage AND n.layer = u.layer
        WHERE n.storage = ANY (ARRAY(SELECT pg_catalog.unnest(c.storages[:pg_catalog.cardinality(c.storages) - 1])
                                     FROM many_models.production_sets AS c))
            AND u.rank < pg_catalog.cardinality(t.layers)
            AND t.model_set = s.model_set
            AND u.rank < l.rank
            AND n.key_hash = m.key_hash
            AND n.partition_key = m.partition_key);

CREATE VIEW many_models.production_models WITH (security_invoker = true) AS
SELECT m.model_set,
       m.partition_key,
       m.model_id,
       r.version,
       m.run_id,
       r.algorithm,
       m.n_rows,
       r.finished_at AS trained_at,
       m.promotion_id,
       p.promoted_at,
       p.promoted_by,
       many_models.model_metric(m.model, 'holdout', 'n_rows')::bigint AS holdout_rows,
       many_models.model_metric(m.model, 'holdout', 'rmse') AS rmse,
       many_models.model_metric(m.model, 'holdout', 'mae') AS mae,
       many_models.model_metric(m.model, 'holdout', 'mape') AS mape,
       many_models.model_metric(m.model, 'holdout', 'smape') AS smape,
       many_models.model_metric(m.model, 'holdout', 'r2') AS r2,
       many_models.model_metric(m.model, 'holdout', 'bias') AS bias,
       many_models.model_metric(m.model, 'holdout', 'mase') AS mase,
       many_models.model_bytes(m.model) AS bytes,
       m.first_time,
       m.last_time
FROM many_models.production_in_force AS m
JOIN many_models.production_runs AS r ON r.run_id = m.run_id
LEFT JOIN many_models.promotions AS p ON p.promotion_id = m.promotion_id;

-- What predict and score_many_models use when they are not asked for a version.
CREATE VIEW many_models.models_in_use WITH (security_invoker = true) AS
SELECT p.model_set,
       p.partition_key,
       p.model_id,
       r.version,
       p.run_id,
       true AS in_production,
       p.key_hash,
       p.model
FROM many_models.production_in_force AS p
JOIN many_models.production_runs AS r ON r.run_id = p.run_id
UNION ALL
SELECT s.model_set,
       m.partition_key,
       m.model_id,
       t.version,
       m.run_id,
       false,
       m.key_hash,
       m.model
FROM many_models.model_sets AS s
JOIN LATERAL (SELECT r.run_id, r.storage, r.version FROM many_models.runs AS r
              WHERE r.model_set = s.model_set AND r.kind IN ('train', 'import')
              ORDER BY r.version DESC LIMIT 1) AS t ON true
JOIN many_models.model_store AS m ON m.run_id = t.run_id AND m.storage = t.storage
WHERE NOT EXISTS (
        SELECT  -- in whichever layer
        FROM many_models.production_sets AS q
        CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(q.layers), pg_catalog.unnest(q.storages)) AS l (layer, storage)
        JOIN many_models.production_store AS p ON p.storage = l.storage AND p.layer = l.layer
        WHERE p.storage = ANY (ARRAY(SELECT pg_catalog.unnest(c.storages) FROM many_models.production_sets AS c))
            AND q.model_set = s.model_set
            AND p.key_hash = m.key_hash
            AND p.partition_key = m.partition_key);

CREATE VIEW many_models.promotion_report WITH (security_invoker = true) AS
SELECT p.promotion_id,
       p.model_set,
       p.kind,
       p.version,
       g.partition_key,
       CASE g.action WHEN 'p' THEN 'promoted' WHEN 'k' THEN 'kept' WHEN 'r' THEN 'rejected'
           WHEN 'b' THEN 'restored' ELSE 'withdrawn' END AS action,
       g.reason,
       CASE g.compared WHEN 't' THEN 'training' WHEN 'r' THEN 'rescan' ELSE 'none' END AS compared,
       g.candidate_id AS model_id,
       g.production_id AS production_before,
       p.promoted_at
FROM many_models.promotions AS p
JOIN many_models.promotion_store AS g ON g.promotion_id = p.promotion_id
UNION ALL
SELECT p.promotion_id,
       p.model_set,
       p.kind,
       p.version,
       m.partition_key,
       'promoted',
       NULL,
       CASE m.compared WHEN 't' THEN 'training' WHEN 'r' THEN 'rescan' ELSE 'none' END,
       m.model_id,
       m.replaced,
       p.promoted_at
FROM many_models.promotions AS p
JOIN many_models.production_store AS m ON m.layer = p.promotion_id AND m.promotion_id = p.promotion_id;

COMMENT ON VIEW many_models.production_in_force IS
    'rows of production_store that are in production now; read it through production_models';
COMMENT ON VIEW many_models.models_in_use IS
    'the models that predict and score_many_models use: those in production, for other groups those of the latest version';
COMMENT ON VIEW many_models.production_models IS 'the models in production: one row per group and set';
COMMENT ON COLUMN many_models.production_models.version IS 'the version it was trained in';
COMMENT ON COLUMN many_models.production_models.promotion_id IS 'the promotion that chose it';
COMMENT ON COLUMN many_models.production_models.holdout_rows IS
    'rows held out, on which the metrics were found at training';
COMMENT ON VIEW many_models.promotion_report IS
    'what a promotion, dry run or rollback decided for each group, and why';
COMMENT ON COLUMN many_models.promotion_report.action IS
    'promoted; kept (no candidate, or already in production); rejected (the rule is not true); of rollbacks restored and withdrawn';
COMMENT ON COLUMN many_models.promotion_report.reason IS
    'why the group was not promoted: the condition of the rule that was false or NULL, with its values';
COMMENT ON COLUMN many_models.promotion_report.compared IS
    'how the model in production was judged on the candidate''s rows: at training, by a rescan, or not (none)';
COMMENT ON COLUMN many_models.promotion_report.model_id IS
    'the candidate; of a rollback the model that is back in production';
COMMENT ON COLUMN many_models.promotion_report.production_before IS
    'the model in production before; NULL: none';

GRANT SELECT ON many_models.production_in_force, many_models.production_models,
    many_models.models_in_use, many_models.promotion_report TO PUBLIC;
