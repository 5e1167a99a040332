# Clients: libpq's extended protocol by a small program (tests/clients/extended.c), psql's variables,
# pgbench with prepared statements in several sessions, ODBC, and JDBC by a program (tests/clients/Jdbc.java).
use strict;
use warnings;

use ManyTest;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'the module is not built' unless module_is_built();

my $node = start_node('clients');

SKIP:
{
	my $directory = PostgreSQL::Test::Utils::tempdir();
	my $source = "$ENV{MANY_TESTS}/clients/extended.c";
	my $include = `pg_config --includedir`;
	chomp $include;
	skip 'no C compiler, or no header of libpq', 1
	  if system('command -v cc >/dev/null') != 0 || !-e "$include/libpq-fe.h";
	my $built = run_log([ 'cc', '-Wall', '-Wextra', "-I$include", '-o', "$directory/extended", $source, '-lpq', '-lm' ]);
	ok($built, 'the program is compiled');
	my ($out, $err) = run_command([ "$directory/extended", $node->connstr('postgres') ]);
	my @lines = split /\n/, $out;
	cmp_ok(scalar(grep { /^ok/ } @lines), '>=', 18, 'it ran to its end');
	is(join("\n", grep { !/^ok/ } @lines), '', 'libpq: all its checks are good');
	is($err, '', 'libpq: no message');
}

# psql: variables, \gset, \gexec, \crosstabview-like use of the views.
$node->safe_psql('postgres', q{CREATE TABLE t AS
	SELECT i % 30 AS g, i AS x, 3 * i + i % 5 AS y FROM generate_series(1, 900) AS i});
is( $node->safe_psql('postgres', q{
		\set name 'psql''s "set"'
		SELECT * FROM many_models.train_many_models(:'name', 't', '{g}', 'y', '{x}') \gset run_
		\echo :run_status :run_trained
		SELECT model_id FROM many_models.models WHERE run_id = :run_run_id AND partition_key @> '{"g": 3}' \gset
		SELECT round(estimate) FROM many_models.coefficients WHERE model_id = :model_id AND term = 'x';
		SELECT format('SELECT count(*) FROM %I', :'name' || '_models') \gexec
		\d many_models.models
	}) =~ s/\n\s*View.*//rs =~ s/\nmodel_id\|bigint.*//rs,
	"succeeded 30\n3\n30", 'psql: variables');

# Sessions side by side, prepared and simple; parallel training of sets of their own.
my $pgbench = q{
\set g random(0, 29)
SELECT many_models.predict('bench', jsonb_build_object('g', :g::int), '{"x": 1}');
};
$node->safe_psql('postgres', q{SELECT FROM many_models.train_many_models('bench', 't', '{g}', 'y', '{x}')});
for my $protocol (qw(simple extended prepared))
{
	$node->pgbench("-n -c 4 -t 50 -M $protocol", 0, [qr{processed: 200/200}], [qr/^$/],
		"pgbench, $protocol", { "predict_$protocol" => $pgbench });
}
$node->pgbench('-n -c 4 -t 5', 0, [qr{processed: 20/20}], [qr/^$/],
	'pgbench: sessions that train, score and drop sets of their own', { train => q{
SET client_min_messages = warning;
SELECT trained FROM many_models.train_many_models('set ' || :client_id, 't', '{g}', 'y', '{x}', workers => 2);
SELECT rows_read FROM many_models.score_many_models('set ' || :client_id, 't', 'p' || :client_id);
SELECT many_models.drop_models('set ' || :client_id);
} });
is( $node->safe_psql('postgres', q{SELECT count(*) FROM many_models.model_sets WHERE model_set LIKE 'set %'}),
	'0', 'they are gone');
is_clean($node, 'all clients');

# ODBC, as BI tools use it: column types of the tables that they read, numbers and NULLs.
SKIP:
{
	my ($driver) = glob('/usr/lib/*/odbc/psqlodbcw.so');
	skip 'no isql or no ODBC driver', 5 if system('command -v isql >/dev/null') != 0 || !defined $driver;
	my $directory = PostgreSQL::Test::Utils::tempdir();
	local $ENV{ODBCSYSINI} = $directory;
	local $ENV{ODBCINI} = "$directory/odbc.ini";
	my $user = `id -un`;
	chomp $user;
	append_to_file("$directory/odbcinst.ini", "[postgres]\nDriver = $driver\n");
	append_to_file("$directory/odbc.ini", "[models]\nDriver = postgres\nServername = " . $node->host . "\nPort = " . $node->port
		. "\nDatabase = postgres\nUsername = $user\n");
	$node->safe_psql('postgres', q{SELECT FROM many_models.score_many_models('bench', 't', 'scored')});
	my $ask = sub {
		my ($sql) = @_;
		my ($out, $err);
		IPC::Run::run([ 'isql', '-b', '-x0x7c', 'models' ], '<', \"$sql\n", '>', \$out, '2>', \$err);
		return $out =~ s/\r?\n\z//r;
	};
	is($ask->(q{SELECT count(*), count(prediction), min(model_version) FROM scored}), '900|900|1', 'ODBC: the predictions table');
	is($ask->(q{SELECT n_rows, round(cast(r2 AS numeric), 2), mase FROM many_models.metrics WHERE model_set = 'bench' AND split = 'holdout' ORDER BY model_id LIMIT 1}) =~ /^\d+\|[01]\.\d\d\|$/,
		1, 'ODBC: numbers and NULL of a view');
	is($ask->(q{SELECT partition_key FROM many_models.models WHERE model_set = 'bench' ORDER BY model_id LIMIT 1}) =~ /^\{"g": \d+\}$/,
		1, 'ODBC: a partition key');
	is($ask->(q{SELECT status, trained FROM many_models.train_many_models('bench', workers => 1)}), 'succeeded|30', 'ODBC: training');
	like($ask->(q{SELECT many_models.predict('bench', '{"g": 3}', '{"x": 2}')}), qr/^(8|9|10)(\.\d+)?$/, 'ODBC: a prediction');
}

# JDBC: typed parameters, transactions, cursors, time-outs, and the metadata that BI tools show.
SKIP:
{
	my $driver = '/usr/share/java/postgresql.jar';
	my ($version) = (`javac -version 2>&1` // '') =~ /^javac (\d+)/;
	skip 'no javac of 16 or later, or no JDBC driver', 1 if !-e $driver || ($version // 0) < 16;
	my $directory = PostgreSQL::Test::Utils::tempdir();
	my $user = `id -un`;
	chomp $user;
	my $built = run_log([ 'javac', '-J-XX:+UseSerialGC', '-Xlint:all', '-Werror', '-cp', $driver, '-d', $directory, "$ENV{MANY_TESTS}/clients/Jdbc.java" ]);
	ok($built, 'the program in Java is compiled');
	my ($out, $err) = run_command([ 'java', '-XX:+UseSerialGC', '-cp', "$directory:$driver", 'Jdbc',
		$node->host . '/.s.PGSQL.' . $node->port, $user ]);
	my @lines = split /\n/, $out;
	cmp_ok(scalar(grep { /^ok/ } @lines), '>=', 30, 'it ran to its end');
	is(join("\n", grep { !/^ok/ } @lines), '', 'JDBC: all its checks are good');
	is($err, '', 'JDBC: no message');
	is_clean($node, 'a training that JDBC gave up');
}

$node->stop;
done_testing();
