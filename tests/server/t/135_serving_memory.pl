# predict() keeps within many_models.model_cache_size, however many models it is asked for: what a session
# has resident beyond shared memory is looked at before and after many more models were used than fit, small
# ones first, then larger ones, then small ones again. 3 MB are for the tables of the cache, the allocator and
# the query itself.
use strict;
use warnings;

use ManyTest;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'the module is not built' unless module_is_built();
plan skip_all => 'no /proc/PID/status with RssAnon'
  unless -e '/proc/self/status' && slurp_file('/proc/self/status') =~ /^RssAnon:/m;

my $node = start_node('serving_memory', shared_buffers => '256MB', jit => 'off');
$node->safe_psql('postgres', q{
	CREATE TABLE t AS SELECT g, x, x * 7 % 5 AS a, x * 11 % 7 AS b, x * 5 % 8 AS c, x * x % 9 AS d, g % 100 + x * 3 % 4 AS y
	FROM generate_series(1, 30000) AS g, generate_series(1, 9) AS x;
	SET client_min_messages = warning;
	SELECT FROM many_models.train_many_models('small', 't', '{g}', 'y', '{x}', options => '{"holdout": {"rows": 0}}');
	SELECT FROM many_models.train_many_models('large', 't', '{g}', 'y', '{x,a,b,c,d}', options => '{"holdout": {"rows": 0}}');
	CREATE TABLE asked AS SELECT jsonb_build_object('g', g) AS k FROM generate_series(1, 30000) AS g ORDER BY hashint4(g);
	ANALYZE asked});

my $models = $node->safe_psql('postgres', q{SELECT string_agg(model_set || ' ' || sum / 1024 / 1024, ' MB, ' ORDER BY model_set) || ' MB'
	FROM (SELECT model_set, sum(bytes) FROM many_models.models GROUP BY 1) AS s});
note $models;

for my $case ([ 8, 'predict' ], [ 2, 'predict' ], [ 8, 'predict_many' ])
{
	my ($cache_mb, $function) = @$case;
	my $session = $node->background_psql('postgres');
	$session->query_safe("SET many_models.model_cache_size = '${cache_mb}MB'");
	my $pid = $session->query('SELECT pg_backend_pid()');
	my $kb = sub { slurp_file("/proc/$pid/status") =~ /^RssAnon:\s+(\d+)/m ? $1 : die };
	my $ask = sub {
		my ($set, $limit) = @_;
		my $features = q{'{"x": 1, "a": 2, "b": 3, "c": 4, "d": 5}'};
		my $query = $function eq 'predict'
		  ? "SELECT count(many_models.predict('$set', k, $features)) FROM (SELECT k FROM asked LIMIT $limit) AS a"
		  : qq{SELECT sum(n) FROM (SELECT (SELECT count(*) FROM unnest(many_models.predict_many('$set', keys, array_fill($features\::jsonb, ARRAY[100])))) AS n
				FROM (SELECT array_agg(k) AS keys FROM (SELECT k, (row_number() OVER () - 1) / 100 AS i FROM (SELECT k FROM asked LIMIT $limit) AS l) AS r GROUP BY i) AS g OFFSET 0) AS p};
		return $session->query($query);
	};
	$ask->($_, 1000) for qw(small large);
	$session->query_safe('SELECT count(*) FROM asked');
	$ask->('small', 30000) if $function eq 'predict_many';  # what the query itself needs
	my $before = $kb->();
	my $most = $before;
	for my $set (qw(small large small small large))
	{
		is($ask->($set, 30000), 30000, "$function, $cache_mb MB: all models of $set");
		my $now = $kb->();
		$most = $now if $now > $most;
		note sprintf '%s after %s: %.1f MB, %.1f MB before', $function, $set, $now / 1024, $before / 1024;
	}
	cmp_ok($most - $before, '<', ($cache_mb + 3) * 1024, "$function, $cache_mb MB: growth in kB");
	cmp_ok($most - $before, '>', $cache_mb * 1024 / 4, "$function, $cache_mb MB: and the memory is used") if $cache_mb == 8 && $function eq 'predict';
	$session->quit;
}
$node->stop;
done_testing();
