# While a run goes on: run_progress in other sessions, for those who may see it, and NOTICEs in its
# own; afterwards nothing of it.
use strict;
use warnings;

use IPC::Run;
use ManyTest;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'the module is not built' unless module_is_built();

my $node = start_node('progress');
$node->safe_psql('postgres', q{
	CREATE ROLE alice LOGIN; CREATE ROLE member LOGIN; CREATE ROLE stranger LOGIN; CREATE ROLE watcher LOGIN;
	GRANT alice TO member;
	GRANT pg_read_all_stats TO watcher;
	SELECT many_models.grant_usage('alice');
	CREATE FUNCTION slowly(x float8) RETURNS float8 PARALLEL SAFE STABLE LANGUAGE plpgsql AS
		$$ BEGIN IF x::int % 50 = 0 THEN PERFORM pg_sleep(0.002); END IF; RETURN x; END $$;
	CREATE TABLE t AS SELECT i % 300 AS g, (i * 7 % 101)::float8 AS x, (i * 13 % 37)::float8 AS y
	FROM generate_series(1, 60000) AS i;
	ALTER TABLE t SET (parallel_workers = 2);
	ANALYZE t;
	GRANT SELECT ON t TO alice;
	CREATE DATABASE other});
$node->safe_psql('other', 'CREATE EXTENSION many_models');

my $train = q{SELECT trained FROM many_models.train_many_models('watched', 'SELECT g, slowly(x) AS x, y FROM t', '{g}', 'y', '{x}', workers => 2)};
my $s = statement($node, parallel_settings() . "SET client_min_messages = notice; SET many_models.progress_interval = '50ms'; $train", user => 'alice');
my $leader = wait_for_phase($s, 'scanning', 1);

sub seen_by
{
	my ($user, $database) = @_;
	return $node->safe_psql($database // 'postgres', 'SELECT model_set FROM many_models.run_progress',
		extra_params => [ '-U', $user ]);
}
is(seen_by('alice'), 'watched', 'its own role sees the run');
is(seen_by('member'), 'watched', 'so does a member of that role');
is(seen_by('watcher'), 'watched', 'and who may read all statistics');
is(seen_by('stranger'), '', 'no other role does');
is(seen_by('watcher', 'other'), '', 'nor does another database');

my $superuser = `id -un`;
chomp $superuser;
is(seen_by($superuser), 'watched', 'the superuser sees it');
my $session = $node->background_psql('postgres');
my $query = q{SELECT run_id, model_set, pid, phase, rows_read, rows_estimated, rows_per_second,
	groups_trained, buckets, seconds_left, started_at < clock_timestamp() FROM many_models.run_progress};
my @first = split /\|/, $session->query_safe($query);
$node->poll_query_until('postgres',
	"SELECT coalesce((SELECT rows_read FROM many_models.run_progress), 1e9) > $first[4]");
my @second = split /\|/, $session->query_safe($query);
is("@first[1 .. 3]", "watched $leader scanning", 'the row says whose run it is');
cmp_ok($first[4], '>', 0, 'rows read so far');
cmp_ok($second[4], '>', $first[4], 'then more rows');
cmp_ok($second[4], '<=', 60000, 'not more than there are');
cmp_ok(abs($first[5] - 60000), '<', 600, 'rows expected');
cmp_ok($first[6], '>', 0, 'rows per second');
is($session->query_safe(qq{SELECT bool_or((p ->> 'pid')::int = $leader), bool_and(p ->> 'activity' = 'scanning'),
	sum((p ->> 'rows')::bigint) <= 60000 FROM many_models.run_progress, jsonb_array_elements(processes) AS p}),
	't|t|t', 'what each process does');
like($session->query_safe("SELECT query FROM pg_stat_activity WHERE pid = $leader"),
	qr{^/\* many_models run \d+ of watched: scanning \*/ SELECT trained FROM}, 'the statement in pg_stat_activity, with the run');
is($session->query_safe(qq{SELECT bool_and(query ~ '^/\\* many_models run [0-9]+ of watched: scanning') FROM pg_stat_activity
	WHERE leader_pid = $leader AND pid <> $leader}), 't', 'workers too');
is($first[7], '0', 'no group yet');
cmp_ok($first[8], '>', 0, 'buckets');
cmp_ok($first[9], '>', 0, 'seconds left');
is($first[10], 't', 'started before now');

# What a stranger gets by asking for the handles himself: nothing, whatever he passes.
is( $node->safe_psql('postgres', q{
		SELECT count(*) FROM many_models.progress_of((SELECT array_agg(objid::bigint) FROM pg_locks
			WHERE locktype = 'advisory') || ARRAY[0, -1, 1, 4294967295, NULL, 9223372036854775807])},
		extra_params => [ '-U', 'stranger' ]),
	'0', 'nor by the handles');

is(finish_statement($s), 'no error', 'the run ends well');
is($s->{out}, "300\n", 'with its result');
is($session->query_safe($query), '', 'afterwards there is no row');
$session->quit;
my ($run) = $s->{err} =~ /run (\d+): scanning/;
is( $node->safe_psql('postgres', q{SELECT run_id FROM many_models.runs}), $run, 'NOTICEs name the run');
my @notices = $s->{err} =~ /NOTICE:.*?run \d+: (scanning, \d+ rows of about \d+, \d+ rows\/s, about \d+ s left)\n/g;
cmp_ok(scalar @notices, '>', 2, 'NOTICEs while scanning');
my @read = map { /(\d+) rows of/ } @notices;
is("@read", join(' ', sort { $a <=> $b } @read), 'with growing numbers');

# While groups are fitted.
$s = statement($node, q{
	SET many_models.progress_interval = '50ms';
	SELECT trained FROM many_models.train_many_models('slow fits',
		'SELECT g, } . join(', ', map { "(hashint4(i + $_) % 1000) / 7.0 AS x$_" } 1 .. 6) . q{, hashint4(i) % 100 AS y
		 FROM (SELECT i % 5000 AS g, i FROM generate_series(1, 150000) AS i) AS s', '{g}', 'y', algorithm => 'lasso',
		options => '{"lambda": "auto", "cv_folds": 5}')});
wait_for_phase($s, 'fitting');
my $seen = $node->poll_query_until('postgres', q{
	SELECT count(*) = 1 AND bool_and(groups_trained BETWEEN 1 AND 4999 AND rows_read = 150000
		AND buckets_claimed BETWEEN 1 AND buckets AND exchanged_bytes > 0 AND peak_group_bytes > 0 AND seconds_left > 0)
	FROM many_models.run_progress WHERE phase = 'fitting'});
ok($seen, 'groups are counted while they are fitted, and the time left is told');
pump_until($s->{harness}, IPC::Run::timer($PostgreSQL::Test::Utils::timeout_default), \$s->{err}, qr/fitting/);
$node->safe_psql('postgres', q{SELECT pg_cancel_backend(pid) FROM many_models.run_progress});
like(finish_statement($s), qr/^57014/, 'cancelled');
like($s->{err}, qr/NOTICE:.*run \d+: fitting, \d+ groups done \(0 failed, 0 skipped\)/, 'NOTICEs while fitting');
is_clean($node, 'a cancelled run');

# Silence where it was asked for.
my ($out, $err) = ('', '');
$node->psql('postgres', "SET many_models.progress_interval = 0; SELECT trained FROM many_models.train_many_models('watched')",
	stdout => \$out, stderr => \$err);
is("$out$err", '300', 'progress_interval = 0: no NOTICE');

$node->stop;
done_testing();
