-- What runs used, cumulative counters per model set, and events.

COMMENT ON COLUMN many_models.runs.cpu_seconds IS
    'CPU time of the run, user and system, of the session and all workers';
COMMENT ON COLUMN many_models.runs.peak_memory_bytes IS
    'the most memory that one process had for groups or models, as the run counts it against many_models.memory_budget';
COMMENT ON COLUMN many_models.runs.temp_bytes IS
    'written to temporary files, in blocks, by the source query too';
COMMENT ON COLUMN many_models.runs.wal_bytes IS
    'WAL of the run, up to where it recorded itself';

-- Counters go on when versions are dropped: what their runs had counted is kept here.
CREATE TABLE many_models.dropped_runs (
    model_set         text PRIMARY KEY,
    train_runs        bigint NOT NULL,
    score_runs        bigint NOT NULL,
    evaluate_runs     bigint NOT NULL,
    backtest_runs     bigint NOT NULL,
    trained           bigint NOT NULL,
    failed            bigint NOT NULL,
    skipped           bigint NOT NULL,
    rows_read         bigint NOT NULL,
    rows_scored       bigint NOT NULL,
    predictions       bigint NOT NULL,
    rows_evaluated    bigint NOT NULL,
    cpu_seconds       double precision NOT NULL,
    temp_bytes        bigint NOT NULL,
    wal_bytes         bigint NOT NULL
);
COMMENT ON TABLE many_models.dropped_runs IS
    'sums over the runs of dropped versions, for stat_model_sets';
ALTER TABLE many_models.dropped_runs ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_visible_set ON many_models.dropped_runs FOR SELECT
    USING (model_set IN (SELECT s.model_set FROM many_models.model_sets AS s));
REVOKE ALL ON many_models.dropped_runs FROM PUBLIC;
GRANT SELECT ON many_models.dropped_runs TO PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('many_models.dropped_runs', '');

CREATE FUNCTION many_models.count_dropped_runs() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    INSERT INTO many_models.dropped_runs AS d
    SELECT o.model_set,
           count(*) FILTER (WHERE o.kind = 'train'),
           count(*) FILTER (WHERE o.kind = 'score'),
           count(*) FILTER (WHERE o.kind = 'evaluate'),
           count(*) FILTER (WHERE o.kind = 'backtest'),
           coalesce(sum(o.trained) FILTER (WHERE o.kind = 'train'), 0),
           coalesce(sum(o.failed) FILTER (WHERE o.kind = 'train'), 0),
           coalesce(sum(o.skipped) FILTER (WHERE o.kind = 'train'), 0),
           coalesce(sum(o.rows_read) FILTER (WHERE o.kind = 'train'), 0),
           coalesce(sum(o.rows_read) FILTER (WHERE o.kind = 'score'), 0),
           coalesce(sum(o.rows_read - o.failed) FILTER (WHERE o.kind = 'score'), 0),
           coalesce(sum((o.details ->> 'rows_evaluated')::bigint), 0),
           coalesce(sum(o.cpu_seconds), 0),
           coalesce(sum(o.temp_bytes), 0),
           coalesce(sum(o.wal_bytes), 0)
    FROM old_runs AS o
    GROUP BY o.model_set
    ON CONFLICT (model_set) DO UPDATE SET
        train_runs = d.train_runs + excluded.train_runs,
        score_runs = d.score_runs + excluded.score_runs,
        evaluate_runs = d.evaluate_runs + excluded.evaluate_runs,
        backtest_runs = d.backtest_runs + excluded.backtest_runs,
        trained = d.trained + excluded.trained,
        failed = d.failed + excluded.failed,
        skipped = d.skipped + excluded.skipped,
        rows_read = d.rows_read + excluded.rows_read,
        rows_scored = d.rows_scored + excluded.rows_scored,
        predictions = d.predictions + excluded.predictions,
        rows_evaluated = d.rows_evaluated + excluded.rows_evaluated,
        cpu_seconds = d.cpu_seconds + excluded.cpu_seconds,
        temp_bytes = d.temp_bytes + excluded.temp_bytes,
        wal_bytes = d.wal_bytes + excluded.wal_bytes;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION many_models.count_dropped_runs() IS
    'trigger function: keeps the counters of runs that are deleted';
REVOKE ALL ON FUNCTION many_models.count_dropped_runs() FROM PUBLIC;
CREATE TRIGGER count_dropped_runs AFTER DELETE ON many_models.runs
    REFERENCING OLD TABLE AS old_runs
    FOR EACH STATEMENT EXECUTE FUNCTION many_models.count_dropped_runs();

CREATE VIEW many_models.stat_model_sets WITH (security_invoker = true) AS
SELECT s.model_set,
       s.owner,
       coalesce(r.versions, 0) AS versions,
       coalesce(r.train_runs, 0) + coalesce(d.train_runs, 0) AS train_runs,
       coalesce(r.score_runs, 0) + coalesce(d.score_runs, 0) AS score_runs,
       coalesce(r.evaluate_runs, 0) + coalesce(d.evaluate_runs, 0) AS evaluate_runs,
       coalesce(r.backtest_runs, 0) + coalesce(d.backtest_runs, 0) AS backtest_runs,
       (coalesce(r.trained, 0) + coalesce(d.trained, 0))::bigint AS groups_trained,
       (coalesce(r.failed, 0) + coalesce(d.failed, 0))::bigint AS groups_failed,
       (coalesce(r.skipped, 0) + coalesce(d.skipped, 0))::bigint AS groups_skipped,
       (coalesce(r.rows_read, 0) + coalesce(d.rows_read, 0))::bigint AS rows_read,
       (coalesce(r.rows_scored, 0) + coalesce(d.rows_scored, 0))::bigint AS rows_scored,
       (coalesce(r.predictions, 0) + coalesce(d.predictions, 0))::bigint AS predictions,
       (coalesce(r.rows_evaluated, 0) + coalesce(d.rows_evaluated, 0))::bigint AS rows_evaluated,
       coalesce(r.cpu_seconds, 0) + coalesce(d.cpu_seconds, 0) AS cpu_seconds,
       r.peak_memory_bytes,
       (coalesce(r.temp_bytes, 0) + coalesce(d.temp_bytes, 0))::bigint AS temp_bytes,
       (coalesce(r.wal_bytes, 0) + coalesce(d.wal_bytes, 0))::bigint AS wal_bytes,
       r.last_trained_at,
       r.last_scored_at,
       r.last_evaluated_at,
       r.last_backtested_at,
       p.last_promoted_at,
       r.last_train_elapsed,
       r.last_score_elapsed,
       r.last_failed_fraction,
       r.last_without_prediction_fraction
FROM many_models.model_sets AS s
LEFT JOIN (
    SELECT u.model_set,
           count(*) FILTER (WHERE u.kind IN ('train', 'import')) AS versions,
           count(*) FILTER (WHERE u.kind = 'train') AS train_runs,
           count(*) FILTER (WHERE u.kind = 'score') AS score_runs,
           count(*) FILTER (WHERE u.kind = 'evaluate') AS evaluate_runs,
           count(*) FILTER (WHERE u.kind = 'backtest') AS backtest_runs,
           sum(u.trained) FILTER (WHERE u.kind = 'train') AS trained,
           sum(u.failed) FILTER (WHERE u.kind = 'train') AS failed,
           sum(u.skipped) FILTER (WHERE u.kind = 'train') AS skipped,
           sum(u.rows_read) FILTER (WHERE u.kind = 'train') AS rows_read,
           sum(u.rows_read) FILTER (WHERE u.kind = 'score') AS rows_scored,
           sum(u.rows_read - u.failed) FILTER (WHERE u.kind = 'score') AS predictions,
           sum((u.details ->> 'rows_evaluated')::bigint) AS rows_evaluated,
           sum(u.cpu_seconds) AS cpu_seconds,
           max(u.peak_memory_bytes) AS peak_memory_bytes,
           sum(u.temp_bytes) AS temp_bytes,
           sum(u.wal_bytes) AS wal_bytes,
           max(u.finished_at) FILTER (WHERE u.kind = 'train') AS last_trained_at,
           max(u.finished_at) FILTER (WHERE u.kind = 'score') AS last_scored_at,
           max(u.finished_at) FILTER (WHERE u.kind = 'evaluate') AS last_evaluated_at,
           max(u.finished_at) FILTER (WHERE u.kind = 'backtest') AS last_backtested_at,
           max(u.elapsed) FILTER (WHERE u.kind = 'train' AND u.newest) AS last_train_elapsed,
           max(u.elapsed) FILTER (WHERE u.kind = 'score' AND u.newest) AS last_score_elapsed,
           max(u.failed / nullif(u.groups, 0)::double precision)
               FILTER (WHERE u.kind = 'train' AND u.newest) AS last_failed_fraction,
           max(u.failed / nullif(u.rows_read, 0)::double precision)
               FILTER (WHERE u.kind = 'score' AND u.newest) AS last_without_prediction_fraction
    FROM (SELECT v.*, v.run_id = max(v.run_id) OVER (PARTITION BY v.model_set, v.kind) AS newest
          FROM many_models.runs AS v) AS u
    GROUP BY u.model_set
) AS r ON r.model_set = s.model_set
LEFT JOIN many_models.dropped_runs AS d ON d.model_set = s.model_set
LEFT JOIN (SELECT q.model_set, max(q.promoted_at) AS last_promoted_at
           FROM many_models.promotions AS q
           WHERE q.kind <> 'dry_run'
           GROUP BY q.model_set) AS p ON p.model_set = s.model_set;

COMMENT ON VIEW many_models.stat_model_sets IS
    'counters per model set since it was made, dropped versions included; runs that failed leave no trace';
COMMENT ON COLUMN many_models.stat_model_sets.versions IS 'versions that are there, trained and imported';
COMMENT ON COLUMN many_models.stat_model_sets.groups_trained IS 'models trained, over all runs';
COMMENT ON COLUMN many_models.stat_model_sets.rows_read IS 'rows that trainings read';
COMMENT ON COLUMN many_models.stat_model_sets.rows_scored IS 'rows that went through score_many_models';
COMMENT ON COLUMN many_models.stat_model_sets.predictions IS 'rows of them that got a prediction';
COMMENT ON COLUMN many_models.stat_model_sets.rows_evaluated IS
    'pairs of prediction and actual that evaluations compared';
COMMENT ON COLUMN many_models.stat_model_sets.peak_memory_bytes IS
    'largest of the runs of the versions that are there; see runs';
COMMENT ON COLUMN many_models.stat_model_sets.last_promoted_at IS 'or rolled back';
COMMENT ON COLUMN many_models.stat_model_sets.last_failed_fraction IS
    'part of the groups that failed in the last training; skipped ones do not count';
COMMENT ON COLUMN many_models.stat_model_sets.last_without_prediction_fraction IS
    'part of the rows that got no prediction in the last scoring';
GRANT SELECT ON many_models.stat_model_sets TO PUBLIC;

CREATE FUNCTION many_models.notify_event(event text, model_set text, details jsonb DEFAULT '{}')
    RETURNS void
    AS 'MODULE_PATHNAME', 'many_notify_event' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION many_models.notify_event(text, text, jsonb) IS
    'sends an event of a model set on the channel many_models when many_models.notify is on; for the extension''s own functions';
REVOKE ALL ON FUNCTION many_models.notify_event(text, text, jsonb) FROM PUBLIC;

-- Before a run: what it would meet and cost.
CREATE TYPE many_models.training_plan AS (
    model_set                text,
    groups                   bigint,
    trainable                bigint,
    below_min_rows           bigint,
    constant_target          bigint,
    bad_values               bigint,
    too_large                bigint,
    too_many_levels          bigint,
    rows                     bigint,
    usable_rows              bigint,
    rows_with_null           bigint,
    largest_group            jsonb,
    largest_rows             bigint,
    largest_share            double precision,
    histogram                jsonb,
    max_levels               bigint,
    max_levels_feature       text,
    exchange                 text,
    workers                  integer,
    estimated_seconds        double precision,
    estimated_memory_bytes   bigint,
    estimated_temp_bytes     bigint,
    estimated_registry_bytes bigint,
    estimated_from_run       bigint
);
COMMENT ON TYPE many_models.training_plan IS
    'what a training would meet and cost: one row, returned by plan_training';
COMMENT ON COLUMN many_models.training_plan.trainable IS
    'groups that would get a model; groups is the sum of this and the next five';
COMMENT ON COLUMN many_models.training_plan.bad_values IS
    'groups that would fail for NaN, infinity, a NULL under null_policy error, or nothing to impute from';
COMMENT ON COLUMN many_models.training_plan.too_large IS
    'groups that would fail because their rows exceed half of many_models.memory_budget';
COMMENT ON COLUMN many_models.training_plan.histogram IS
    'groups and their rows by size, in powers of two';
COMMENT ON COLUMN many_models.training_plan.max_levels IS
    'most levels of one categorical feature in one group';
COMMENT ON COLUMN many_models.training_plan.estimated_memory_bytes IS
    'of each process; see runs.peak_memory_bytes';
COMMENT ON COLUMN many_models.training_plan.estimated_from_run IS
    'the earlier run whose times the estimate starts from; NULL: constants, which may be off by a factor of three';

CREATE FUNCTION many_models.plan_training(
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
) RETURNS many_models.training_plan
    AS 'MODULE_PATHNAME', 'many_plan_training' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION many_models.plan_training(text, text, text[], text, text[], text, text, jsonb,
    jsonb, integer) IS
    'what train_many_models with the same arguments would meet and cost, without training: groups, their sizes, those without a model, estimated time and space';
REVOKE ALL ON FUNCTION many_models.plan_training(text, text, text[], text, text[], text, text,
    jsonb, jsonb, integer) FROM PUBLIC;
