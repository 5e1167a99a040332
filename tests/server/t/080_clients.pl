# Clients: libpq's extended protocol by a small program (tests/clients/extended.c), psql's variables,
# and pgbench with prepared statements in several sessions.
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

$node->stop;
done_testing();
