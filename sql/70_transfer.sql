-- From one database to another: export_models and import_models, the definition of a model set as JSON
-- and as SQL, models as SQL that scores anywhere. The stream's format is in src/transfer/export_format.h.

CREATE FUNCTION many_models.export_models(
    model_set text,
    version   integer DEFAULT NULL,
    OUT line  bigint,
    OUT part  text
) RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'many_export_models' LANGUAGE C STABLE PARALLEL UNSAFE ROWS 10000;
COMMENT ON FUNCTION many_models.export_models(text, integer) IS
    'a version of a model set (NULL: the latest) as rows for COPY: definition, models and failures, each line with a checksum, and one over all; for import_models';

CREATE FUNCTION many_models.import_models(
    source             text,
    model_set          text    DEFAULT NULL,
    training_source    text    DEFAULT NULL,
    replace_definition boolean DEFAULT false
) RETURNS many_models.run_summary
    AS 'MODULE_PATHNAME', 'many_import_models' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION many_models.import_models(text, text, text, boolean) IS
    'makes what export_models wrote, held by a table or query with the columns line and part, the next version of a model set (NULL: of the same name); training_source: the source to train and score from here; replace_definition: of a set that is there already';
REVOKE ALL ON FUNCTION many_models.import_models(text, text, text, boolean) FROM PUBLIC;

CREATE FUNCTION many_models.model_definition(model_set text) RETURNS jsonb
    LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    definition jsonb;
BEGIN
    SELECT jsonb_build_object('model_set', s.model_set, 'source', s.source,
               'partition_by', s.partition_by, 'target', s.target, 'features', s.features,
               'algorithm', s.algorithm, 'time_column', s.time_column, 'options', s.options,
               'tags', s.tags)
        INTO definition
        FROM many_models.model_sets AS s
        WHERE s.model_set = model_definition.model_set;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'model set "%" does not exist', model_set
            USING ERRCODE = 'undefined_object',
                HINT = 'See many_models.model_sets for the sets you may use.';
    END IF;
    RETURN definition;
END
$$;
COMMENT ON FUNCTION many_models.model_definition(text) IS
    'the stored definition of a model set: the arguments of train_many_models, as given';

CREATE FUNCTION many_models.model_definition_sql(model_set text) RETURNS text
    LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    definition jsonb := many_models.model_definition(model_set);
    arguments  text[] := ARRAY[quote_literal(model_set)];
    name       text;
    value      jsonb;
BEGIN
    FOREACH name IN ARRAY ARRAY['source', 'partition_by', 'target', 'features', 'algorithm',
                                'time_column', 'options', 'tags'] LOOP
        value := definition -> name;
        CONTINUE WHEN value IN ('null', '{}')
            OR (name = 'algorithm' AND value = '"linear_regression"');
        arguments := arguments || format('%s => %s', name, CASE jsonb_typeof(value)
            WHEN 'object' THEN quote_literal(value::text)
            WHEN 'array' THEN coalesce((SELECT 'ARRAY[' || string_agg(quote_literal(e.item), ', '
                    ORDER BY e.place) || ']'
                FROM jsonb_array_elements_text(value) WITH ORDINALITY AS e (item, place)), '''{}''')
            ELSE quote_literal(value #>> '{}') END);
    END LOOP;
    RETURN format(E'SELECT many_models.train_many_models(\n    %s\n);',
                  array_to_string(arguments, E',\n    '));
END
$$;
COMMENT ON FUNCTION many_models.model_definition_sql(text) IS
    'the call of train_many_models that makes a model set of the same definition in another database; the same text for the same definition, to be kept under version control';

CREATE FUNCTION many_models.model_expression(
    model         many_models.model,
    features      text[],
    feature_types text[],
    alias         text
) RETURNS text
    AS 'MODULE_PATHNAME', 'many_model_expression' LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION many_models.model_expression(many_models.model, text[], text[], text) IS
    'what model_sql returns; feature_types: names of types, NULL: numbers and, where the model has levels, texts';

CREATE FUNCTION many_models.model_sql(
    model    many_models.model,
    features text[],
    alias    text DEFAULT NULL
) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT many_models.model_expression(model, features, NULL, alias) $$;
COMMENT ON FUNCTION many_models.model_sql(many_models.model, text[], text) IS
    'a model as an expression of standard SQL over columns of the given names, numbers or texts, that predicts in any database; alias: of the table, put before the columns';

CREATE FUNCTION many_models.model_sql(model_id bigint, alias text DEFAULT NULL) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    expression text;
BEGIN
    SELECT many_models.model_expression(m.model, r.features, r.feature_types, model_sql.alias)
        INTO expression
        FROM many_models.model_store AS m
        JOIN many_models.runs AS r ON r.run_id = m.run_id AND r.storage = m.storage
        WHERE m.model_id = model_sql.model_id;
    IF NOT FOUND AND model_id IS NOT NULL THEN
        RAISE EXCEPTION 'model % does not exist', model_id
            USING ERRCODE = 'undefined_object',
                HINT = 'See many_models.models for the models you may use.';
    END IF;
    RETURN expression;
END
$$;
COMMENT ON FUNCTION many_models.model_sql(bigint, text) IS
    'a stored model as an expression of standard SQL over its feature columns that predicts in any database; alias: of the table, put before the columns';

CREATE FUNCTION many_models.model_set_sql(
    model_set text,
    version   integer DEFAULT NULL,
    source    text    DEFAULT NULL
) RETURNS text
    AS 'MODULE_PATHNAME', 'many_model_set_sql' LANGUAGE C STABLE PARALLEL UNSAFE;
COMMENT ON FUNCTION many_models.model_set_sql(text, integer, text) IS
    'a version of a model set (NULL: the latest) as one statement of standard SQL that predicts for all groups in any database; source: what it reads there, NULL: the source of the training';
