-- Comparison of model values, byte by byte: equal means the same bits, the order has no other meaning. A model has the
-- form of a bytea, so that the server's own functions do it.

CREATE FUNCTION many_models.model_eq(many_models.model, many_models.model) RETURNS boolean
    AS 'byteaeq' LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION many_models.model_ne(many_models.model, many_models.model) RETURNS boolean
    AS 'byteane' LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION many_models.model_lt(many_models.model, many_models.model) RETURNS boolean
    AS 'bytealt' LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION many_models.model_le(many_models.model, many_models.model) RETURNS boolean
    AS 'byteale' LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION many_models.model_gt(many_models.model, many_models.model) RETURNS boolean
    AS 'byteagt' LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION many_models.model_ge(many_models.model, many_models.model) RETURNS boolean
    AS 'byteage' LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION many_models.model_cmp(many_models.model, many_models.model) RETURNS integer
    AS 'byteacmp' LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION many_models.model_hash(many_models.model) RETURNS integer
    AS 'hashvarlena' LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION many_models.model_hash_extended(many_models.model, bigint) RETURNS bigint
    AS 'hashvarlenaextended' LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION many_models.model_eq(many_models.model, many_models.model) IS 'implementation of =: the same bytes';
COMMENT ON FUNCTION many_models.model_ne(many_models.model, many_models.model) IS 'implementation of <>';
COMMENT ON FUNCTION many_models.model_lt(many_models.model, many_models.model) IS 'implementation of <, by bytes';
COMMENT ON FUNCTION many_models.model_le(many_models.model, many_models.model) IS 'implementation of <=, by bytes';
COMMENT ON FUNCTION many_models.model_gt(many_models.model, many_models.model) IS 'implementation of >, by bytes';
COMMENT ON FUNCTION many_models.model_ge(many_models.model, many_models.model) IS 'implementation of >=, by bytes';
COMMENT ON FUNCTION many_models.model_cmp(many_models.model, many_models.model) IS 'less, equal or greater, by bytes';
COMMENT ON FUNCTION many_models.model_hash(many_models.model) IS 'hash of the bytes';
COMMENT ON FUNCTION many_models.model_hash_extended(many_models.model, bigint) IS 'hash of the bytes, with a seed';

CREATE OPERATOR many_models.= (
    LEFTARG = many_models.model, RIGHTARG = many_models.model, FUNCTION = many_models.model_eq,
    COMMUTATOR = OPERATOR(many_models.=), NEGATOR = OPERATOR(many_models.<>),
    RESTRICT = pg_catalog.eqsel, JOIN = pg_catalog.eqjoinsel, HASHES, MERGES
);
CREATE OPERATOR many_models.<> (
    LEFTARG = many_models.model, RIGHTARG = many_models.model, FUNCTION = many_models.model_ne,
    COMMUTATOR = OPERATOR(many_models.<>), NEGATOR = OPERATOR(many_models.=),
    RESTRICT = pg_catalog.neqsel, JOIN = pg_catalog.neqjoinsel
);
CREATE OPERATOR many_models.< (
    LEFTARG = many_models.model, RIGHTARG = many_models.model, FUNCTION = many_models.model_lt,
    COMMUTATOR = OPERATOR(many_models.>), NEGATOR = OPERATOR(many_models.>=),
    RESTRICT = pg_catalog.scalarltsel, JOIN = pg_catalog.scalarltjoinsel
);
CREATE OPERATOR many_models.<= (
    LEFTARG = many_models.model, RIGHTARG = many_models.model, FUNCTION = many_models.model_le,
    COMMUTATOR = OPERATOR(many_models.>=), NEGATOR = OPERATOR(many_models.>),
    RESTRICT = pg_catalog.scalarlesel, JOIN = pg_catalog.scalarlejoinsel
);
CREATE OPERATOR many_models.> (
    LEFTARG = many_models.model, RIGHTARG = many_models.model, FUNCTION = many_models.model_gt,
    COMMUTATOR = OPERATOR(many_models.<), NEGATOR = OPERATOR(many_models.<=),
    RESTRICT = pg_catalog.scalargtsel, JOIN = pg_catalog.scalargtjoinsel
);
CREATE OPERATOR many_models.>= (
    LEFTARG = many_models.model, RIGHTARG = many_models.model, FUNCTION = many_models.model_ge,
    COMMUTATOR = OPERATOR(many_models.<=), NEGATOR = OPERATOR(many_models.<),
    RESTRICT = pg_catalog.scalargesel, JOIN = pg_catalog.scalargejoinsel
);
COMMENT ON OPERATOR many_models.= (many_models.model, many_models.model) IS 'the same bytes';
COMMENT ON OPERATOR many_models.<> (many_models.model, many_models.model) IS 'not the same bytes';
COMMENT ON OPERATOR many_models.< (many_models.model, many_models.model) IS 'less, by bytes';
COMMENT ON OPERATOR many_models.<= (many_models.model, many_models.model) IS 'less or equal, by bytes';
COMMENT ON OPERATOR many_models.> (many_models.model, many_models.model) IS 'greater, by bytes';
COMMENT ON OPERATOR many_models.>= (many_models.model, many_models.model) IS 'greater or equal, by bytes';

CREATE OPERATOR CLASS many_models.model_btree_ops DEFAULT FOR TYPE many_models.model USING btree AS
    OPERATOR 1 many_models.<,
    OPERATOR 2 many_models.<=,
    OPERATOR 3 many_models.=,
    OPERATOR 4 many_models.>=,
    OPERATOR 5 many_models.>,
    FUNCTION 1 many_models.model_cmp(many_models.model, many_models.model),
    FUNCTION 4 pg_catalog.btequalimage(pg_catalog.oid);
CREATE OPERATOR CLASS many_models.model_hash_ops DEFAULT FOR TYPE many_models.model USING hash AS
    OPERATOR 1 many_models.=,
    FUNCTION 1 many_models.model_hash(many_models.model),
    FUNCTION 2 many_models.model_hash_extended(many_models.model, bigint);
COMMENT ON OPERATOR FAMILY many_models.model_btree_ops USING btree IS 'models by bytes';
COMMENT ON OPERATOR FAMILY many_models.model_hash_ops USING hash IS 'models by bytes';
COMMENT ON OPERATOR CLASS many_models.model_btree_ops USING btree IS 'models by bytes: DISTINCT, UNION, GROUP BY, ORDER BY';
COMMENT ON OPERATOR CLASS many_models.model_hash_ops USING hash IS 'models by bytes: DISTINCT, UNION, GROUP BY by hashing';
