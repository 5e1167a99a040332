-- The picture of a forecast.

CREATE FUNCTION many_models.plot_forecast(
    model_set text,
    key       jsonb,
    horizon   integer DEFAULT NULL,
    history   integer DEFAULT NULL,
    format    text DEFAULT 'svg',
    width     integer DEFAULT NULL,
    height    integer DEFAULT NULL,
    features  jsonb DEFAULT NULL,
    version   integer DEFAULT NULL
) RETURNS text
    AS 'MODULE_PATHNAME', 'many_plot_forecast' LANGUAGE C STABLE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION many_models.plot_forecast(text, jsonb, integer, integer, text, integer, integer, jsonb, integer) IS
    'the last observations of one group, from the source of its model, and its forecast with intervals of 80 and 95 % as a picture: format svg, text (characters for a terminal) or ascii; NULL for a group without a model';
