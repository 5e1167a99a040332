-- A schema many_models that another role made or filled would give it a say in what the extension's
-- owner runs: refuse it. One that a dump or an earlier installation left, empty, is fine.
DO $guard$
DECLARE
    target pg_catalog.oid := 'many_models'::pg_catalog.regnamespace;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_namespace AS n
                   JOIN pg_catalog.pg_roles AS r ON r.oid OPERATOR(pg_catalog.=) n.nspowner
                   WHERE n.oid OPERATOR(pg_catalog.=) target
                       AND (r.rolname OPERATOR(pg_catalog.=) current_user OR r.rolsuper)) THEN
        RAISE EXCEPTION 'schema "many_models" belongs to another role'
            USING ERRCODE = 'insufficient_privilege', HINT = 'Drop or rename that schema first.';
    END IF;
    IF EXISTS (SELECT FROM pg_catalog.pg_proc AS o WHERE o.pronamespace OPERATOR(pg_catalog.=) target)
        OR EXISTS (SELECT FROM pg_catalog.pg_class AS o WHERE o.relnamespace OPERATOR(pg_catalog.=) target)
        OR EXISTS (SELECT FROM pg_catalog.pg_type AS o WHERE o.typnamespace OPERATOR(pg_catalog.=) target)
        OR EXISTS (SELECT FROM pg_catalog.pg_operator AS o WHERE o.oprnamespace OPERATOR(pg_catalog.=) target)
    THEN
        RAISE EXCEPTION 'schema "many_models" is not empty'
            USING ERRCODE = 'duplicate_object', HINT = 'Drop or rename that schema first.';
    END IF;
END
$guard$;

-- Types of the public surface.

CREATE TYPE many_models.run_summary AS (
    run_id    bigint,
    model_set text,
    version   integer,
    status    text,
    groups    bigint,
    trained   bigint,
    failed    bigint,
    skipped   bigint,
    rows_read bigint,
    workers   integer,
    elapsed   interval
);
COMMENT ON TYPE many_models.run_summary IS
    'what a run did: one row, returned by train_many_models and score_many_models';

CREATE TYPE many_models.model;
