# The harness works: a server starts, answers, comes back after a kill, and creates and drops the
# extension.
use strict;
use warnings;

use ManyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('smoke');
$node->init;
$node->start;
is($node->safe_psql('postgres', 'SELECT 1'), '1', 'the server answers');
kill_server($node);
$node->start;
is($node->safe_psql('postgres', 'SELECT 2'), '2', 'it answers again after a kill');

SKIP:
{
	skip 'the module is not built', 3 unless module_is_built();

	$node->safe_psql('postgres', 'CREATE EXTENSION many_models');
	is( $node->safe_psql(
			'postgres',
			"SELECT extnamespace::regnamespace FROM pg_extension WHERE extname = 'many_models'"),
		'many_models',
		'the extension stands in its schema');

	is( $node->safe_psql(
			'postgres', q{
			SELECT count(*) FROM pg_proc
			WHERE pronamespace = 'many_models'::regnamespace AND probin IS NOT NULL
			  AND probin <> '$libdir/many_models'}),
		'0',
		'its C functions come from its module');

	$node->safe_psql('postgres', 'DROP EXTENSION many_models');
	is( $node->safe_psql(
			'postgres', "SELECT count(*) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
			WHERE n.nspname = 'many_models'"),
		'0',
		'it leaves nothing behind');
}

$node->stop;
done_testing();
