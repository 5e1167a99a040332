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
