-- Production: the models in use, a repository of its own. Only promote_models and rollback_models
-- write it; prune_promotions takes old states away, drop_models all of a set.
--
-- A promotion adds one layer of models to production_store. What is in production is the list of layers
-- in production_sets: the model of a group is that of the first layer that has one. No row is ever
-- changed: readers see the old list until the commit, and a rollback puts an older list in force.
-- Layers of more than 1,000 models are partitions of their own, smaller ones share the partition 0.

CREATE SEQUENCE many_models.promotion_id_seq;

CREATE TABLE many_models.promotions (
    promotion_id bigint PRIMARY KEY DEFAULT pg_catalog.nextval('many_models.promotion_id_seq'),
    model_set    text NOT NULL,
    kind         text NOT NULL CHECK (kind IN ('promote', 'dry_run', 'rollback')),
    version      integer,
    rule         text,
    restored     bigint,
    promoted     bigint NOT NULL,
    kept         bigint NOT NULL,
    rejected     bigint NOT NULL,
    withdrawn    bigint NOT NULL,
    production   bigint NOT NULL,
    promoted_by  regrole NOT NULL,
    promoted_at  timestamptz NOT NULL,
    elapsed      interval NOT NULL,
    layers       bigint[],
    storages     bigint[],
    storage      bigint NOT NULL DEFAULT 0,
    details      jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX promotions_model_set_idx ON many_models.promotions (model_set, promotion_id);
ALTER SEQUENCE many_models.promotion_id_seq OWNED BY many_models.promotions.promotion_id;

CREATE TABLE many_models.production_sets (
    model_set    text PRIMARY KEY,
    promotion_id bigint NOT NULL,
    layers       bigint[] NOT NULL,
    storages     bigint[] NOT NULL
);

-- As runs: what a model needs to be used, and where it comes from, when its version is dropped.
CREATE TABLE many_models.production_runs (LIKE many_models.runs, PRIMARY KEY (run_id));
CREATE INDEX production_runs_model_set_idx ON many_models.production_runs (model_set);

CREATE TABLE many_models.production_store (
    storage       bigint NOT NULL,
    layer         bigint NOT NULL,
    promotion_id  bigint NOT NULL,
    run_id        bigint NOT NULL,
    model_id      bigint NOT NULL,
    key_hash      bigint NOT NULL,
    replaced      bigint,
    n_rows        bigint NOT NULL,
    compared      "char" NOT NULL,
    partition_key jsonb NOT NULL,
    first_time    text,
    last_time     text,
    model         many_models.model NOT NULL
) PARTITION BY LIST (storage);
CREATE TABLE many_models.production_store_shared
    PARTITION OF many_models.production_store FOR VALUES IN (0);
CREATE INDEX production_store_shared_key_idx
    ON many_models.production_store_shared (layer, key_hash);

CREATE TABLE many_models.promotion_store (
    storage       bigint NOT NULL,
    promotion_id  bigint NOT NULL,
    candidate_id  bigint,
    production_id bigint,
    action        "char" NOT NULL,
    compared      "char" NOT NULL,
    partition_key jsonb NOT NULL,
    reason        text
) PARTITION BY LIST (storage);
CREATE TABLE many_models.promotion_store_shared
    PARTITION OF many_models.promotion_store FOR VALUES IN (0);
CREATE INDEX promotion_store_shared_idx ON many_models.promotion_store_shared (promotion_id);
-- Where all tables are published, rows must be deletable.
ALTER TABLE many_models.production_store_shared REPLICA IDENTITY FULL;
ALTER TABLE many_models.promotion_store_shared REPLICA IDENTITY FULL;

COMMENT ON TABLE many_models.promotions IS
    'every promotion, rollback and last dry run: by whom, when, by which rule, with which result';
COMMENT ON COLUMN many_models.promotions.version IS 'promoted; NULL for rollbacks';
COMMENT ON COLUMN many_models.promotions.restored IS
    'rollbacks: the promotion whose state was put in force again; 0: nothing in production';
COMMENT ON COLUMN many_models.promotions.promoted IS 'groups that got another model';
COMMENT ON COLUMN many_models.promotions.kept IS 'groups whose model stayed, no candidate being there';
COMMENT ON COLUMN many_models.promotions.rejected IS 'groups whose candidate the rule refused';
COMMENT ON COLUMN many_models.promotions.withdrawn IS
    'rollbacks: groups that have no model in production any more';
COMMENT ON COLUMN many_models.promotions.production IS 'groups in production afterwards';
COMMENT ON COLUMN many_models.promotions.layers IS
    'the state of production afterwards, as in production_sets; NULL for dry runs, and where its models were pruned';
COMMENT ON COLUMN many_models.promotions.storage IS
    'partition of promotion_store that holds the report; 0 is shared by small ones';
COMMENT ON COLUMN many_models.promotions.details IS
    'how groups were compared with production, seconds per phase';
COMMENT ON TABLE many_models.production_sets IS
    'what is in production now: the layers of production_store in force, the newest first';
COMMENT ON COLUMN many_models.production_sets.promotion_id IS 'the promotion that put it in force';
COMMENT ON COLUMN many_models.production_sets.storages IS 'partition of each layer';
COMMENT ON TABLE many_models.production_runs IS
    'the runs of models that were promoted, as in runs; they stay when the version is dropped';
COMMENT ON TABLE many_models.production_store IS
    'models that were promoted, by layer: copies, bytes included; read the view production_models';
COMMENT ON COLUMN many_models.production_store.layer IS 'the promotion that wrote the row';
COMMENT ON COLUMN many_models.production_store.promotion_id IS
    'the promotion that chose the model; older than the layer where layers were merged';
COMMENT ON COLUMN many_models.production_store.replaced IS
    'model_id that was in production before; NULL: none';
COMMENT ON COLUMN many_models.production_store.compared IS
    'with the model in production: t at training, r by a rescan, n not';
COMMENT ON TABLE many_models.promotion_store IS
    'groups that a promotion did not promote, all groups of a dry run, groups that a rollback changed; read the view promotion_report';
COMMENT ON COLUMN many_models.promotion_store.action IS
    'p promoted, k kept, r rejected, b restored (a model is back), w withdrawn';
COMMENT ON TABLE many_models.production_store_shared IS 'small layers';
COMMENT ON TABLE many_models.promotion_store_shared IS 'small reports';
COMMENT ON SEQUENCE many_models.promotion_id_seq IS 'ids of promotions';

ALTER TABLE many_models.promotions ENABLE ROW LEVEL SECURITY;
ALTER TABLE many_models.production_sets ENABLE ROW LEVEL SECURITY;
ALTER TABLE many_models.production_runs ENABLE ROW LEVEL SECURITY;
ALTER TABLE many_models.production_store ENABLE ROW LEVEL SECURITY;
ALTER TABLE many_models.promotion_store ENABLE ROW LEVEL SECURITY;
ALTER TABLE many_models.production_store_shared ENABLE ROW LEVEL SECURITY;
ALTER TABLE many_models.promotion_store_shared ENABLE ROW LEVEL SECURITY;

-- As for runs and their models (25_access.sql).
CREATE POLICY of_visible_set ON many_models.promotions FOR SELECT
    USING (model_set IN (SELECT s.model_set FROM many_models.model_sets AS s));
CREATE POLICY of_visible_set ON many_models.production_sets FOR SELECT
    USING (model_set IN (SELECT s.model_set FROM many_models.model_sets AS s));
CREATE POLICY of_visible_set ON many_models.production_runs FOR SELECT
    USING (model_set IN (SELECT s.model_set FROM many_models.model_sets AS s));
CREATE POLICY of_granted_key ON many_models.production_store FOR SELECT
    USING (layer IN (
            SELECT p.promotion_id FROM many_models.promotions AS p
            WHERE p.model_set IN (SELECT w.model_set FROM many_models.whole_sets AS w))
        OR (layer IN (SELECT p.promotion_id FROM many_models.promotions AS p)
            AND many_models.key_is_granted((SELECT p.model_set FROM many_models.promotions AS p
                WHERE p.promotion_id = production_store.layer), partition_key)));
CREATE POLICY of_granted_key ON many_models.promotion_store FOR SELECT
    USING (promotion_id IN (
            SELECT p.promotion_id FROM many_models.promotions AS p
            WHERE p.model_set IN (SELECT w.model_set FROM many_models.whole_sets AS w))
        OR (promotion_id IN (SELECT p.promotion_id FROM many_models.promotions AS p)
            AND many_models.key_is_granted((SELECT p.model_set FROM many_models.promotions AS p
                WHERE p.promotion_id = promotion_store.promotion_id), partition_key)));

REVOKE ALL ON many_models.promotions, many_models.production_sets, many_models.production_runs,
    many_models.production_store, many_models.production_store_shared,
    many_models.promotion_store, many_models.promotion_store_shared FROM PUBLIC;
REVOKE ALL ON SEQUENCE many_models.promotion_id_seq FROM PUBLIC;
GRANT SELECT ON many_models.promotions, many_models.production_sets, many_models.production_runs,
    many_models.production_store, many_models.promotion_store TO PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('many_models.promotions', '');
SELECT pg_catalog.pg_extension_config_dump('many_models.promotion_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('many_models.production_sets', '');
SELECT pg_catalog.pg_extension_config_dump('many_models.production_runs', '');
SELECT pg_catalog.pg_extension_config_dump('many_models.production_store_shared', '');
SELECT pg_catalog.pg_extension_config_dump('many_models.promotion_store_shared', '');
