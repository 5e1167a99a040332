# CREATE EXTENSION: who may, where to, and that nothing that others prepared gets into it.
use strict;
use warnings;

use ManyTest;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'the module is not built' unless module_is_built();

my $node = start_node('install');
$node->safe_psql('postgres', 'CREATE ROLE mallory LOGIN');
$node->safe_psql('postgres', "CREATE DATABASE $_") for qw(other hostile);
$node->safe_psql('postgres', "GRANT CREATE ON DATABASE $_ TO mallory") for qw(other hostile);

is( sql_error($node, 'CREATE EXTENSION many_models', database => 'other', extra_params => [ '-U', 'mallory' ]),
	'42501: permission denied to create extension "many_models"', 'ordinary roles may not create it');
is(sql_error($node, 'CREATE EXTENSION many_models'), '42710: extension "many_models" already exists', 'not twice');
is( sql_error($node, 'CREATE EXTENSION many_models SCHEMA public', database => 'other'),
	'0A000: extension "many_models" must be installed in schema "many_models"', 'not in another schema');
is( sql_error($node, 'ALTER EXTENSION many_models SET SCHEMA public'),
	'0A000: extension "many_models" does not support SET SCHEMA', 'nor moved to one');

# Under any search_path of the one who creates it.
is( sql_error($node, q{
		CREATE SCHEMA evil;
		CREATE FUNCTION evil.texteq(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT 1 / 0 > 0';
		CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.texteq);
		CREATE DOMAIN evil.text AS pg_catalog.text CHECK (false);
		SET search_path = evil, pg_catalog;
		SET default_tablespace = ''; SET check_function_bodies = off;
		CREATE EXTENSION many_models}, database => 'other'), 'no error', 'under a hostile search_path');
is( $node->safe_psql('other', q{
		SELECT count(*) FROM pg_depend AS d WHERE d.refclassid = 'pg_namespace'::regclass
		AND d.refobjid = 'evil'::regnamespace AND d.objid IN (SELECT oid FROM pg_proc WHERE pronamespace = 'many_models'::regnamespace)}),
	'0', 'nothing refers to it');
is( $node->safe_psql('other', q{
		SELECT trained FROM many_models.train_many_models('t', 'SELECT i % 3 AS g, i % 5 AS x, i % 7 AS y FROM generate_series(1, 90) AS i', '{g}', 'y', '{x}')}),
	'3', 'it works');

# A schema many_models that somebody prepared would give him a say in what the extension's owner runs.
$node->safe_psql('hostile', q{
	CREATE SCHEMA many_models;
	CREATE FUNCTION many_models.nextval(regclass) RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint'},
	extra_params => [ '-U', 'mallory' ]);
isnt(sql_error($node, 'CREATE EXTENSION many_models', database => 'hostile'), 'no error',
	'a prepared schema is not taken over');

# Members: all but the partitions of runs, which go with their parent.
is( $node->safe_psql('other', q{
		SELECT string_agg(c.relname, ' ') FROM pg_class AS c WHERE c.relnamespace = 'many_models'::regnamespace AND c.relkind NOT IN ('i', 'I', 't')
		AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
		AND NOT EXISTS (SELECT FROM pg_type AS t WHERE t.typrelid = c.oid)}),
	'', 'all relations are members');
is( sql_error($node, 'DROP TABLE many_models.runs', database => 'other'),
	'2BP01: cannot drop table many_models.runs because extension many_models requires it', 'and stay');
is( sql_error($node, 'DROP EXTENSION many_models', database => 'other'),
	'2BP01: cannot drop extension many_models because other objects depend on it', 'views of sets are not dropped by the way');
$node->safe_psql('other', 'DROP EXTENSION many_models CASCADE; CREATE EXTENSION many_models; DROP EXTENSION many_models');

$node->stop;
done_testing();
