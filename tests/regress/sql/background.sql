-- Background runs as a session sees them; crashes, pauses and rights are in tests/server/t/100_background.pl.
CREATE SCHEMA background;
SET search_path = background;
SET client_min_messages = warning;
CREATE TABLE t AS SELECT i % 5 AS g, (i * 7 % 11)::float8 AS x, (i * 13 % 17)::float8 AS y FROM generate_series(1, 200) AS i;
SELECT many_models.start_training('bg', 't', '{g}', 'y', '{x}') AS run \gset
SELECT many_models.wait_for_run(:run);
SELECT model_set, kind, status, version, starts, pid, buckets_done = buckets AS all_done, trained, failed, skipped, sqlstate FROM many_models.background_runs WHERE run_id = :run;
SELECT kind, version, status, trained, rows_read FROM many_models.runs WHERE run_id = :run;
SELECT count(*) FROM bg_models;
-- The stored definition, features found by themselves.
SELECT many_models.start_training('bg') AS run \gset
SELECT many_models.wait_for_run(:run, '1 hour');
SELECT many_models.start_training('bg auto', 't', '{g}', 'y') AS run \gset
SELECT many_models.wait_for_run(:run);
SELECT s.features AS defined, r.features FROM many_models.model_sets AS s JOIN many_models.runs AS r USING (model_set) WHERE model_set = 'bg auto';
SELECT many_models.start_scoring('bg', version => 1) AS run \gset
SELECT many_models.wait_for_run(:run);
SELECT count(*), count(prediction), min(model_version) FROM bg_predictions WHERE run_id = :run;
SELECT kind, status, version, into_table FROM many_models.background_runs WHERE run_id = :run;
SELECT many_models.cancel_run(:run), many_models.wait_for_run(:run, '0');
-- An error in the run.
SELECT many_models.start_training('bad', 'SELECT g, y, 1 / (g - 1) AS x FROM background.t', '{g}', 'y', '{x}') AS run \gset
SELECT many_models.wait_for_run(:run);
SELECT status, sqlstate, message, detail, hint, finished_at > requested_at AS finished FROM many_models.background_runs WHERE run_id = :run;
SELECT count(*) FROM many_models.model_sets WHERE model_set = 'bad';
SELECT set_config('test.run', :'run', false) = :'run' AS kept;
-- Mistakes are told at once; nothing is written.
DO $$
DECLARE call text;
BEGIN
    FOREACH call IN ARRAY ARRAY['start_training(NULL)', 'start_training(''new'')', 'start_training(''new'', ''nothing'', ''{g}'', ''y'')',
        'start_training(''new'', ''background.t'', ''{g}'', ''y'', options => ''{"no": 1}'')', 'start_training(''bg'', partition_by => ''{x}'', features => ''{g}'')',
        'start_training(''bg'', workers => 0)', 'start_scoring(NULL)', 'start_scoring(''new'')', 'start_scoring(''bg'', version => 9)', 'start_scoring(''bg'', horizon => 1)',
        'start_scoring(''bg'', ''nothing'')', 'cancel_run(NULL)', 'cancel_run(-1)', 'pause_run(-1)', 'resume_run(-1)', 'wait_for_run(-1)', 'wait_for_run(NULL)',
        'wait_for_run(1, ''-1 s'')', 'wait_for_run(many_models.start_training(''bg''))', 'cancel_run(many_models.start_training(''bg''))', 'resume_run(current_setting(''test.run'')::bigint)', 'pause_run(current_setting(''test.run'')::bigint)']
    LOOP
        BEGIN
            EXECUTE 'SELECT many_models.' || call;
        EXCEPTION WHEN OTHERS THEN
            RAISE WARNING '%: % %', call, SQLSTATE, regexp_replace(SQLERRM, 'run \d+', 'run n');
        END;
    END LOOP;
END
$$;
SET default_transaction_read_only = on;
SELECT many_models.start_training('bg');
SELECT many_models.cancel_run(1);
RESET default_transaction_read_only;
CREATE TEMP TABLE temporary AS SELECT * FROM t;
SELECT many_models.start_training('temp', 'temporary', '{g}', 'y');
SELECT many_models.start_training('temp', 'SELECT t.* FROM t JOIN temporary USING (g)', '{g}', 'y');
SELECT many_models.start_scoring('bg', 'SELECT * FROM temporary');
SELECT count(*) FROM many_models.background_runs WHERE status IN ('queued', 'running', 'interrupted', 'paused');
-- Dropping a set takes what its runs left with it.
SELECT many_models.drop_models('bg'), many_models.drop_models('bg auto');
SELECT count(*) FROM many_models.background_runs WHERE model_set IN ('bg', 'bg auto');
DROP SCHEMA background CASCADE;
