-- Accuracy over time: predictions against the actuals that have arrived, and drift.

CREATE FUNCTION many_models.number_of(value "any") RETURNS double precision
    AS 'MODULE_PATHNAME', 'many_number_of' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION many_models.number_of("any") IS
    'the number that training reads a value as: dates in days and timestamps in seconds since 1970-01-01, booleans 0 and 1';
