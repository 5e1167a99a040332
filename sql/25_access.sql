-- Access: who may do what with a model set, and see what of it.
--
-- The owner of a set, and members of the owner, may do everything. To other roles the owner grants
-- read, score, train or promote, each of which includes read; read and score for some groups only if
-- wanted ("narrowed to keys"). What a role sees follows from that by the policies below:
--
--   a set and its runs           with any grant
--   its models and failures      all of them with a grant that is not narrowed, else those whose
--                                partition key contains one of the keys granted
--
-- A policy of another table that has a model_set can say
--     USING (model_set IN (SELECT s.model_set FROM many_models.model_sets AS s))
-- for what is seen with any grant, and add
--     AND many_models.key_is_granted(model_set, partition_key)
-- where it has a partition key. Policies are parsed once, here: no search_path, operator or table of
-- a user's changes what they mean.
--
-- Grants name roles by OID, as all of the catalog does, but DROP ROLE does not know of them. A role
-- that is gone has no members, so that its grants give nobody anything; they are not dumped either,
-- and forget_dropped_roles deletes them.

CREATE TABLE many_models.grant_store (
    model_set  text NOT NULL,
    grantee    regrole NOT NULL,
    privilege  text NOT NULL CHECK (privilege IN ('read', 'score', 'train', 'promote')),
    keys       jsonb CHECK (keys IS NULL
        OR (pg_catalog.jsonb_typeof(keys) = 'array' AND privilege IN ('read', 'score'))),
    granted_by regrole NOT NULL,
    granted_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    PRIMARY KEY (model_set, grantee, privilege)
);
COMMENT ON TABLE many_models.grant_store IS
    'privileges granted on model sets; read it through the view model_set_grants';
COMMENT ON COLUMN many_models.grant_store.keys IS
    'NULL: all groups; else an array of objects: the groups whose partition key contains one of them';

ALTER TABLE many_models.grant_store ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON many_models.grant_store FROM PUBLIC;
GRANT SELECT ON many_models.grant_store TO PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('many_models.grant_store',
    'WHERE grantee::oid IN (SELECT r.oid FROM pg_catalog.pg_roles AS r)');

-- --- Writing ---------------------------------------------------------------------------------

CREATE FUNCTION many_models.grant_model_set(
    model_set text,
    role      regrole,
    privilege text,
    keys      jsonb DEFAULT NULL
) RETURNS void
    AS 'MODULE_PATHNAME', 'many_grant_model_set' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION many_models.grant_model_set(text, regrole, text, jsonb) IS
    'lets a role read, score, train or promote a model set, or all of these; keys ({"store": 7}, or an array of such objects) narrow read and score to the groups whose key contains one of them';

CREATE FUNCTION many_models.revoke_model_set(
    model_set text,
    role      regrole,
    privilege text,
    keys      jsonb DEFAULT NULL
) RETURNS void
    AS 'MODULE_PATHNAME', 'many_revoke_model_set' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION many_models.revoke_model_set(text, regrole, text, jsonb) IS
    'takes back what grant_model_set gave; with keys, these keys of a narrowed grant only';

CREATE FUNCTION many_models.alter_model_set_owner(model_set text, role regrole) RETURNS void
    AS 'MODULE_PATHNAME', 'many_alter_model_set_owner' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION many_models.alter_model_set_owner(text, regrole) IS
    'gives a model set to another role, of which the caller must be a member';

CREATE FUNCTION many_models.forget_dropped_roles() RETURNS bigint
    AS 'MODULE_PATHNAME', 'many_forget_dropped_roles' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION many_models.forget_dropped_roles() IS
    'deletes grants to roles that do not exist any more and returns their number; for the extension''s owner';

REVOKE ALL ON FUNCTION many_models.grant_model_set(text, regrole, text, jsonb),
    many_models.revoke_model_set(text, regrole, text, jsonb),
    many_models.alter_model_set_owner(text, regrole),
    many_models.forget_dropped_roles() FROM PUBLIC;

-- --- Asking ----------------------------------------------------------------------------------

CREATE FUNCTION many_models.has_model_set_privilege(model_set text, privilege text) RETURNS boolean
    AS 'MODULE_PATHNAME', 'many_has_model_set_privilege' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION many_models.has_model_set_privilege(text, text) IS
    'whether the current role has a privilege (read, score, train, promote) on a model set, if only for some keys; false when there is no such set';

CREATE FUNCTION many_models.key_is_granted(
    model_set     text,
    partition_key jsonb,
    privilege     text DEFAULT 'read'
) RETURNS boolean
    AS 'MODULE_PATHNAME', 'many_key_is_granted' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 10;
COMMENT ON FUNCTION many_models.key_is_granted(text, jsonb, text) IS
    'whether the current role has a privilege on a group of a model set; partition_key is that of the views, {} asks for the whole set';

CREATE FUNCTION many_models.run_key_is_granted(run_id bigint, partition_key jsonb) RETURNS boolean
    AS 'MODULE_PATHNAME', 'many_run_key_is_granted' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 10;
COMMENT ON FUNCTION many_models.run_key_is_granted(bigint, jsonb) IS
    'whether the current role may read a group of the model set of a run';

-- In the policies of predictions tables. By run and not by name: a set of the same name that someone
-- else makes later is another set.
CREATE FUNCTION many_models.row_is_granted(run_id bigint, columns text[], VARIADIC "values" "any")
    RETURNS boolean
    AS 'MODULE_PATHNAME', 'many_row_is_granted' LANGUAGE C STABLE PARALLEL SAFE COST 10;
COMMENT ON FUNCTION many_models.row_is_granted(bigint, text[], "any") IS
    'whether the current role may read the group of the model set of a run that these partition columns name';

-- In the views of sets and in scoring queries, where a cast could run a function of the type's owner.
CREATE FUNCTION many_models.key_value(partition_key jsonb, column_name text, of_type anyelement)
    RETURNS anyelement
    AS 'MODULE_PATHNAME', 'many_key_value' LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION many_models.key_value(jsonb, text, anyelement) IS
    'a partition column''s value in the type of the third argument (a typed NULL), read by the type''s input function and no cast';

-- --- What a role sees ------------------------------------------------------------------------

CREATE POLICY of_grantee ON many_models.grant_store FOR SELECT
    USING (pg_catalog.pg_has_role(grantee::oid, 'USAGE'));

CREATE POLICY owner_or_granted ON many_models.model_sets FOR SELECT
    USING (pg_catalog.pg_has_role(owner::oid, 'USAGE')
        OR model_set IN (SELECT g.model_set FROM many_models.grant_store AS g));

-- A backtest needs no model set. One made before there was a set of its name is its maker's, and not of
-- the set that someone may make later.
CREATE POLICY of_visible_set ON many_models.runs FOR SELECT
    USING ((model_set IN (SELECT s.model_set FROM many_models.model_sets AS s)
            AND NOT (kind = 'backtest' AND details @> '{"of_set": false}'))
        OR (kind = 'backtest' AND pg_catalog.pg_has_role(run_by::oid, 'USAGE')));

-- The sets of which a role sees every group.
CREATE VIEW many_models.whole_sets WITH (security_invoker = true) AS
SELECT s.model_set FROM many_models.model_sets AS s
WHERE pg_catalog.pg_has_role(s.owner::oid, 'USAGE')
UNION ALL
SELECT g.model_set FROM many_models.grant_store AS g WHERE g.keys IS NULL;
COMMENT ON VIEW many_models.whole_sets IS 'the sets of which the caller may read every group; for policies';
GRANT SELECT ON many_models.whole_sets TO PUBLIC;

-- Each condition is one hash table per query; the function is called for groups of sets of which the
-- role may see some keys only.
CREATE POLICY of_granted_key ON many_models.model_store FOR SELECT
    USING (run_id IN (
            SELECT r.run_id FROM many_models.runs AS r
            WHERE r.kind IN ('train', 'import') AND r.model_set IN (
                SELECT w.model_set FROM many_models.whole_sets AS w))
        OR (run_id IN (SELECT r.run_id FROM many_models.runs AS r WHERE r.kind IN ('train', 'import'))
            AND many_models.run_key_is_granted(run_id, partition_key)));
CREATE POLICY of_granted_key ON many_models.failure_store FOR SELECT
    USING (run_id IN (
            SELECT r.run_id FROM many_models.runs AS r
            WHERE r.kind IN ('train', 'import') AND r.model_set IN (
                SELECT w.model_set FROM many_models.whole_sets AS w))
        OR (run_id IN (SELECT r.run_id FROM many_models.runs AS r WHERE r.kind IN ('train', 'import'))
            AND many_models.run_key_is_granted(run_id, partition_key)));

-- With the rights of its owner, unlike the other views: the owner of a set sees its grants, and
-- model_sets and grant_store cannot each have a policy that reads the other. security_barrier keeps
-- functions of the reader's away from rows that it must not see.
CREATE VIEW many_models.model_set_grants WITH (security_barrier = true) AS
SELECT g.model_set,
       s.owner,
       g.grantee,
       g.privilege,
       g.keys,
       g.granted_by,
       g.granted_at
FROM many_models.grant_store AS g
JOIN many_models.model_sets AS s ON s.model_set = g.model_set
WHERE (pg_catalog.pg_has_role(g.grantee::oid, 'USAGE')
        OR pg_catalog.pg_has_role(s.owner::oid, 'USAGE'))
    AND EXISTS (SELECT FROM pg_catalog.pg_roles AS r WHERE r.oid = g.grantee::oid);
COMMENT ON VIEW many_models.model_set_grants IS
    'privileges granted on the model sets that the role owns, and those granted to it';
COMMENT ON COLUMN many_models.model_set_grants.keys IS
    'NULL: all groups; else the groups whose partition key contains one of these objects';
GRANT SELECT ON many_models.model_set_grants TO PUBLIC;
