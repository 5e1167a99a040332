-- Pipelines: what is stored, what runs, who may, and what is refused.
SET client_min_messages = warning;
CREATE SCHEMA shop;
CREATE TABLE shop.sales AS
SELECT i % 4 AS store, i AS id, (i % 17)::float8 AS price, (3 + 2 * (i % 17) + (i % 5))::float8 AS units
FROM generate_series(1, 200) AS i;
ALTER TABLE shop.sales ADD PRIMARY KEY (id);
SET search_path = shop, public;
SELECT trained FROM many_models.train_many_models('nightly', 'sales', '{store}', 'units', '{price}');

-- what is refused when a pipeline is stored
SELECT many_models.set_pipeline('nightly', '{}');
SELECT many_models.set_pipeline('nightly', '[]');
SELECT many_models.set_pipeline('nightly', '{"trian": {}}');
SELECT many_models.set_pipeline('nightly', '{"train": {"worker": 2}}');
SELECT many_models.set_pipeline('nightly', '{"train": {"workers": "two"}}');
SELECT many_models.set_pipeline('nightly', '{"train": true}');
SELECT many_models.set_pipeline('nightly', '{"score": {"id_columns": "id"}}');
SELECT many_models.set_pipeline('nightly', '{"retention": {"keep": 2}}');
SELECT many_models.set_pipeline('nightly', '{"train": {}, "refresh": {}}');
SELECT many_models.set_pipeline('nightly', '{"train": {}, "notify": {"failed_fraction": 2}}');
SELECT many_models.set_pipeline('nightly', '{"train": {}, "notify": {"channel": "mine"}}');
SELECT many_models.set_pipeline('unknown', '{"train": {}}');
SELECT many_models.set_pipeline(NULL, '{"train": {}}');
SELECT * FROM many_models.run_pipeline('nightly');
SELECT * FROM many_models.run_pipeline('unknown');

-- stored under one search_path, run under another: names mean what they meant
SELECT many_models.set_pipeline('nightly', '{"score": {"into_table": "forecast", "id_columns": ["id"], "level": 0.9}, "train": {"workers": 1}}');
SET search_path = public;
SELECT step, detail -> 0 ->> 'version' AS version, detail -> 0 ->> 'rows_read' AS rows_read, elapsed >= '0' AS timed
FROM many_models.run_pipeline('nightly');
SELECT count(*) AS rows, count(prediction) AS predictions, min(model_version) AS version FROM shop.forecast;
SELECT model_set, runs, last_started_at <= last_finished_at AS timed, schedule FROM many_models.pipelines;
SHOW search_path;

-- all or nothing: the second step fails, the first leaves nothing
SELECT many_models.set_pipeline('nightly', '{"train": {}, "score": {"source": "SELECT 1 AS store", "id_columns": []}}');
SELECT step FROM many_models.run_pipeline('nightly');
SELECT latest_version FROM many_models.model_sets WHERE model_set = 'nightly';
SELECT runs FROM many_models.pipelines;

-- every step of a night, in its order: only the store whose rows changed is trained again, the rule decides, old versions go
SET search_path = shop, public;
SELECT many_models.set_retention('nightly', keep_versions => 1);
SELECT many_models.set_pipeline('nightly', '{"notify": {}, "retention": {}, "score": {"into_table": "forecast", "id_columns": ["id"]}, "promote": {"rule": "production IS NULL OR candidate.rmse < 2"}, "refresh": {"workers": 1}}');
UPDATE shop.sales SET units = units + 1 WHERE store = 3 AND id < 50;
SELECT step, detail -> 0 ->> 'version' AS version, detail -> 0 ->> 'promoted' AS promoted, detail -> 0 ->> 'rows_read' AS rows_read,
    CASE step WHEN 'retention' THEN (SELECT string_agg(concat_ws(' ', d ->> 'what', d ->> 'version', d ->> 'action'), ', ' ORDER BY n) FROM jsonb_array_elements(detail) WITH ORDINALITY AS e (d, n)) END AS dropped,
    CASE step WHEN 'notify' THEN (SELECT string_agg(s ->> 'step', ' ' ORDER BY n) FROM jsonb_array_elements(detail -> 0 -> 'steps') WITH ORDINALITY AS e (s, n)) END AS told
FROM many_models.run_pipeline('nightly');
SELECT version, details ->> 'trained_again' AS trained_again, details ->> 'carried' AS carried FROM many_models.runs WHERE model_set = 'nightly' AND kind = 'train' ORDER BY version;
SELECT count(*) AS rows, min(model_version) AS version FROM shop.forecast;
-- nothing changed: no version, nothing to promote, and predictions anew
SET search_path = public;
SELECT step, detail -> 0 ->> 'status' AS status, detail -> 0 ->> 'promoted' AS promoted, detail -> 0 ->> 'kept' AS kept FROM many_models.run_pipeline('nightly') WHERE step IN ('refresh', 'promote', 'score');
SELECT count(DISTINCT run_id) AS runs, count(*) AS rows FROM shop.forecast;

-- rights
CREATE ROLE pipeline_stranger;
SELECT many_models.grant_usage('pipeline_stranger');
SET ROLE pipeline_stranger;
SELECT count(*) FROM many_models.pipelines;
SELECT many_models.set_pipeline('nightly', '{"train": {}}');
SELECT * FROM many_models.run_pipeline('nightly');
SELECT many_models.note_schedule('nightly', '* * * * *', 1);
RESET ROLE;
SELECT has_function_privilege('public', 'many_models.run_pipeline(text)', 'EXECUTE') AS public_may;

-- without pg_cron
SELECT many_models.schedule('nightly', '0 3 * * *', '{"train": {}}');
SELECT many_models.schedule(NULL, '0 3 * * *');
SELECT many_models.unschedule('nightly');

SELECT many_models.set_pipeline('nightly', NULL);
SELECT count(*) FROM many_models.pipelines;
SELECT many_models.set_pipeline('nightly', '{"train": {}}');
SELECT many_models.drop_models('nightly') > 0 AS dropped;
SELECT count(*) FROM many_models.pipelines;
DROP SCHEMA shop CASCADE;
DROP OWNED BY pipeline_stranger;
DROP ROLE pipeline_stranger;
