# Forecasters under a real server: the same bits for any number of workers, order of rows and budget; a cancel ends many fits within a second.
# Runs alone: it says how long a cancel may take.
use strict;
use warnings;

use ManyTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

plan skip_all => 'the module is not built' unless module_is_built();

my $node = start_node('forecasts', shared_buffers => '256MB', max_wal_size => '2GB');

# 600 series of 60 to 99 values, some with gaps and times that come twice, and one much longer.
$node->safe_psql('postgres', q{
CREATE TABLE series AS
SELECT g, TIMESTAMPTZ '2024-01-01 00:00+00' + t * interval '1 day' AS at,
       100 + g % 50 + 0.1 * t + 10 * sin(t * 0.8976 + g) + hashint4extended(g * 1000 + t, 7) % 1000 / 200.0 AS y
FROM generate_series(1, 600) AS g, LATERAL generate_series(1, 60 + g % 40) AS t WHERE (g + t) % 31 > 0 OR g % 5 > 0;
INSERT INTO series SELECT g, TIMESTAMPTZ '2024-01-05 00:00+00', 1 FROM generate_series(1, 600, 9) AS g;
INSERT INTO series SELECT 1000, TIMESTAMPTZ '2020-01-01 00:00+00' + t * interval '1 hour', t % 24 FROM generate_series(1, 9000) AS t;
CREATE TABLE shuffled AS SELECT * FROM series ORDER BY md5(series::text);
CREATE TABLE clustered AS SELECT * FROM series ORDER BY g DESC, at;
ALTER TABLE series SET (parallel_workers = 3);
ALTER TABLE shuffled SET (parallel_workers = 3);
VACUUM ANALYZE;
});
my @cases = (
	[ 'ets', '{"fill": "interpolate", "duplicates": "mean"}' ],
	[ 'auto_forecast', '{"candidates": ["ses", "theta", "drift"], "fill": "forward", "duplicates": "last", "interval": "bootstrap"}' ],
	[ 'ensemble', '{"candidates": ["holt", "seasonal_naive", "autoregression"], "combine": "weighted", "fill": "zero", "duplicates": "sum", "interval": "conformal"}' ]);
for my $case (@cases)
{
	my ($algorithm, $options) = @$case;
	my %bits;
	for my $variant ([ 'series', 1, '256MB' ], [ 'clustered', 2, '64MB' ], [ 'shuffled', 3, '4MB' ], [ 'shuffled', 2, '1MB' ])
	{
		my ($table, $workers, $budget) = @$variant;
		my $run = $node->safe_psql('postgres', parallel_settings() . "SET many_models.memory_budget = '$budget';"
			. "SELECT run_id FROM many_models.train_many_models('$algorithm', '$table', '{g}', 'y', algorithm => '$algorithm',"
			. " time_column => 'at', options => '$options', workers => $workers)");
		$bits{"$table, $workers, $budget"} = $node->safe_psql('postgres', fingerprint($run));
	}
	my %different = map { $_ => 1 } values %bits;
	is(scalar(keys %different), 1, "$algorithm: the same bits") or diag(explain(\%bits));
	isnt((keys %different)[0], '', "$algorithm: there are models");
}

# Many fits of ets are under way when the cancel comes.
$node->safe_psql('postgres', q{
CREATE TABLE slow AS SELECT g, t, 100 + 10 * sin(t * 0.5236) + hashint4extended(g * 1000 + t, 3) % 1000 / 100.0 AS y
FROM generate_series(1, 20000) AS g, generate_series(1, 96) AS t;
ANALYZE slow;
});
my $at_once = 5;  # leaves room for a busy machine
for my $workers (1, 2)
{
	my $s = statement($node, parallel_settings() . "SELECT trained FROM many_models.train_many_models('slow', 'slow', '{g}', 'y',"
		  . " algorithm => 'ets', time_column => 't', options => '{\"season_length\": 12}', workers => $workers)");
	my $leader = wait_for_phase($s, 'fitting');
	my $start = time;
	$node->safe_psql('postgres', "SELECT pg_cancel_backend($leader)");
	like(finish_statement($s), qr/^57014: canceling statement due to user request/, "$workers processes, cancelled: the error");
	my $seconds = time - $start;
	note sprintf '%d processes: ended after %.2f s', $workers, $seconds;
	cmp_ok($seconds, '<', $at_once, "$workers processes, cancelled: it ends at once");
	is_clean($node, "$workers processes, cancelled");
	is($node->safe_psql('postgres', q{SELECT count(*) FROM many_models.model_sets WHERE model_set = 'slow'}), '0', "$workers processes, cancelled: nothing remains");
}
done_testing();
