# Where the disk, or the session's share of it, is full while a run spills: a clean error, nothing
# is left, the next run works.
use strict;
use warnings;

use ManyTest;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'the module is not built' unless module_is_built();

my $node = start_node('disk_full');
$node->safe_psql('postgres', q{
	CREATE TABLE t AS SELECT i % 5000 AS g, 'c' || i % 4 AS c, i * 7 % 101 AS x, i * 13 % 37 AS y
	FROM generate_series(1, 300000) AS i;
	ALTER TABLE t SET (parallel_workers = 2);
	ANALYZE t;
	SELECT FROM many_models.train_many_models('t', 't', '{g}', 'y', '{x,c}')});
my $before = registry_state($node);
my $settings = parallel_settings() . q{SET many_models.memory_budget = '1MB';};
my $train = q{SELECT many_models.train_many_models('t', workers => %d)};

for my $workers (1, 3)
{
	is( sql_error($node, "$settings SET temp_file_limit = '2MB';" . sprintf($train, $workers)),
		'53400: temporary file size exceeds temp_file_limit (2048kB)',
		"temp_file_limit, $workers processes");
	is_clean($node, "temp_file_limit, $workers processes");
	is(registry_state($node), $before, "temp_file_limit, $workers processes: nothing is kept");
}

# A file system of 3 MB, which tools/test mounts where it runs as root.
SKIP:
{
	my $disk = $ENV{MANY_SMALL_DISK} // '';
	skip 'no small file system to fill (MANY_SMALL_DISK)', 7 unless $disk ne '' && -w $disk;
	mkdir "$disk/space" or die "$disk/space: $!";
	$node->safe_psql('postgres', "CREATE TABLESPACE small LOCATION '$disk/space'");
	for my $workers (1, 3)
	{
		like( sql_error($node, "$settings SET temp_tablespaces = small;" . sprintf($train, $workers)),
			qr/^53100: could not write to file ".*": No space left on device/, "disk full, $workers processes");
		is_clean($node, "disk full, $workers processes");
		is(registry_state($node), $before, "disk full, $workers processes: nothing is kept");
	}
	is( sql_error($node, "SET temp_tablespaces = small; SELECT many_models.train_many_models('u', 'SELECT * FROM t WHERE g < 100', '{g}', 'y', '{x,c}')"),
		'no error', 'what fits does so again');
	$node->safe_psql('postgres', q{SELECT many_models.drop_models('u'); DROP TABLESPACE small});
	rmdir "$disk/space";
}

is( $node->safe_psql("postgres", $settings . "SELECT (many_models.train_many_models('t', workers => 3)).trained"),
	'5000', 'with room, the next run works');
is_clean($node, 'the next run');

$node->stop;
done_testing();
