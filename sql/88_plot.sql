-- Pictures of series and forecasts, and coherent forecasts, over plain arrays.

CREATE FUNCTION many_models.plot_series(
    labels      text[],
    actual      double precision[],
    forecast    double precision[] DEFAULT NULL,
    lower       double precision[] DEFAULT NULL,
    upper       double precision[] DEFAULT NULL,
    title       text DEFAULT NULL,
    format      text DEFAULT 'svg',
    width       integer DEFAULT NULL,
    height      integer DEFAULT NULL,
    fitted      double precision[] DEFAULT NULL,
    inner_lower double precision[] DEFAULT NULL,
    inner_upper double precision[] DEFAULT NULL,
    levels      double precision[] DEFAULT '{0.95,0.8}'
) RETURNS text
    AS 'MODULE_PATHNAME', 'many_plot_series' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION many_models.plot_series(text[], double precision[], double precision[], double precision[], double precision[], text, text, integer, integer, double precision[], double precision[], double precision[], double precision[]) IS
    'a series and its forecast, which goes on behind the actuals, as a picture: format svg, text (characters for a terminal) or ascii';

CREATE FUNCTION many_models.reconcile_forecasts(
    forecasts   double precision[],
    aggregates  integer[],
    members     integer[],
    method      text DEFAULT 'ols',
    errors      double precision[] DEFAULT NULL,
    averages    double precision[] DEFAULT NULL,
    nonnegative boolean DEFAULT false
) RETURNS double precision[]
    AS 'MODULE_PATHNAME', 'many_reconcile_forecasts' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION many_models.reconcile_forecasts(double precision[], integer[], integer[], text, double precision[], double precision[], boolean) IS
    'coherent forecasts: node aggregates[i] is the sum of nodes, members[i] one of its leaves; forecasts and errors have a column for each node; nonnegative: the nearest ones that are not negative';
