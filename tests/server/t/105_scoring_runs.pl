# Scoring runs: seen from other sessions while they go on; in the background paused, cancelled, killed at random moments and
# resumed, to the predictions of a run that nobody disturbed.
use strict;
use warnings;

use ManyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

plan skip_all => 'the module is not built' unless module_is_built();

my $node = start_node('scoring_runs', restart_after_crash => 'on', shared_buffers => '128MB');
$node->safe_psql('postgres', q{
	CREATE ROLE alice LOGIN; CREATE ROLE member LOGIN; CREATE ROLE stranger LOGIN; CREATE ROLE watcher LOGIN;
	GRANT alice TO member; GRANT pg_read_all_stats TO watcher;
	SELECT many_models.grant_usage('alice');
	GRANT CREATE ON SCHEMA public TO alice;
	CREATE FUNCTION slowly(x float8) RETURNS float8 PARALLEL SAFE STABLE LANGUAGE plpgsql AS
		$$ BEGIN IF x::int % 50 = 0 THEN PERFORM pg_sleep(0.002); END IF; RETURN x; END $$;
	CREATE TABLE t AS SELECT i AS id, nullif(i % 300, 7) AS g, (i * 7 % 101)::float8 AS x, (i * 13 % 37)::float8 AS y
	FROM generate_series(1, 60000) AS i;
	ALTER TABLE t SET (parallel_workers = 2);
	ANALYZE t;
	GRANT SELECT ON t TO PUBLIC});
sub sql { return $node->safe_psql('postgres', @_); }
sub as { my ($user, $sql) = @_; return sql($sql, extra_params => [ '-U', $user ]); }

as('alice', q{SET client_min_messages = warning; SELECT FROM many_models.train_many_models('shop */ x', 't', '{g}', 'y', '{x}')});
my $source = 'SELECT id, g, slowly(x) AS x FROM t';
my $score = qq{many_models.score_many_models('shop */ x', '$source', 'scores', '{id}', workers => 3)};

# In the session: run_progress and pg_stat_activity, for those who may see the run.
my $s = statement($node, parallel_settings() . "SELECT rows_read FROM $score", user => 'alice');
my $leader = wait_for_phase($s, 'scoring', 1);
my $seen = q{SELECT count(*) FROM many_models.run_progress};
is(as($_, $seen), 1, "$_ sees it") for qw(alice member watcher);
is(as('stranger', $seen), 0, 'a stranger does not');
my @row = split /\|/, sql(q{SELECT model_set, pid, rows_read BETWEEN 1 AND 59999, rows_estimated BETWEEN 50000 AND 70000, rows_per_second > 0,
	seconds_left > 0, peak_group_bytes > 0, num_nulls(groups_trained, groups_failed, groups_skipped, groups_left, buckets, exchanged_bytes),
	processes -> 0 ->> 'pid', processes -> 0 ->> 'activity', (processes -> 0 ->> 'rows')::bigint <= rows_read, started_at < clock_timestamp() FROM many_models.run_progress});
is("@row", "shop */ x $leader t t t t t 6 $leader scoring t t", 'the row says whose it is, and how far');
like(sql("SELECT query FROM pg_stat_activity WHERE pid = $leader"), qr{^/\* many_models run \d+ of shop \*/ x: scoring \*/ SELECT rows_read FROM}, 'pg_stat_activity too');
worker_pid($node, $leader);
is(sql(qq{SELECT bool_and(query ~ '^/\\* many_models run [0-9]+ of shop \\?/ x: scoring \\*/ SELECT') FROM pg_stat_activity
	WHERE leader_pid = $leader AND pid <> $leader}), 't', 'and so in its workers');
is(finish_statement($s), 'no error', 'it ends well, whatever its set is called');
is($s->{out}, "60000\n", 'with its rows');
is_clean($node, 'a scoring');
is(sql(q{SELECT count(*) FROM pg_stat_activity WHERE query LIKE '/* many_models%' AND state = 'active'}), 0, 'and nothing says it goes on');

# Ended early it vanishes.
$s = statement($node, parallel_settings() . "SELECT rows_read FROM $score", user => 'alice');
$leader = wait_for_phase($s, 'scoring', 1);
sql("SELECT pg_cancel_backend($leader)");
like(finish_statement($s), qr/^57014/, 'cancelled');
is_clean($node, 'a cancelled scoring');

# In the background.
sub start { return as('alice', parallel_settings() . "SELECT " . $score =~ s/score_many_models/start_scoring/r); }
sub status { return sql("SELECT status FROM many_models.background_runs WHERE run_id = $_[0]"); }
sub finish
{
	my ($run, $expected, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(sql("SELECT many_models.wait_for_run($run)"), $expected, $what);
	return;
}
sub until_scoring
{
	my ($run, $rows) = @_;
	$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM many_models.run_progress WHERE run_id = $run AND phase = 'scoring' AND rows_read >= $rows")
	  or die "run $run does not score, but is " . status($run);
	return;
}
# Predictions of a run, but for the time.
sub predictions
{
	return sql("SELECT count(*), count(prediction), md5(string_agg(p::text, ',' ORDER BY id)) FROM (SELECT id, g, prediction, lower, upper, model_id,
		model_version, model_level, fallback_reason FROM scores WHERE run_id = $_[0]) AS p");
}
# Partitions that no run that succeeded accounts for.
my $unexplained = q{SELECT count(*) FROM pg_class WHERE relname LIKE 'scores\_r%' AND NOT EXISTS
	(SELECT FROM many_models.runs AS r WHERE r.kind = 'score' AND relname = 'scores_r' || r.run_id)};

my $begin = time;
my $run = start();
finish($run, 'succeeded', 'a scoring in the background');
my $seconds = time - $begin;
my $expected = predictions($run);
like($expected, qr/^60000\|60000\|/, 'with all rows');
note sprintf '%.1f s', $seconds;

$run = start();
until_scoring($run, 1000);
is(sql("SELECT p.pid = b.pid FROM many_models.run_progress AS p JOIN many_models.background_runs AS b USING (run_id)"), 't', 'it is seen');
like(sql("SELECT query FROM pg_stat_activity WHERE backend_type = 'many_models run'"), qr{^/\* many_models run $run of shop \*/ x: scoring \*/}, 'in pg_stat_activity too');
is(sql("SELECT many_models.pause_run($run)"), 't', 'pause');
finish($run, 'paused', 'it ends at once');
is_clean($node, 'paused');
is(sql("SELECT many_models.pause_run($run)"), 'f', 'it has paused already');
is(sql("SELECT sqlstate IS NULL AND message IS NULL FROM many_models.background_runs WHERE run_id = $run"), 't', 'without an error');
is(sql("SELECT count(*) FROM scores WHERE run_id = $run"), 0, 'nothing is visible');
is(sql($unexplained), 0, 'and there is no partition');
sql("SELECT many_models.resume_run($run)");
finish($run, 'succeeded', 'it starts anew');
is(predictions($run), $expected, 'to the same predictions');
is(sql("SELECT starts FROM many_models.background_runs WHERE run_id = $run"), 2, 'in its second start');
like(sql_error($node, "SELECT many_models.resume_run($run)"), qr/^55000/, 'then there is nothing to resume');

$run = start();
until_scoring($run, 1);
is(sql("SELECT many_models.cancel_run($run)"), 't', 'cancel');
finish($run, 'cancelled', 'it ends');
is(sql("SELECT sqlstate FROM many_models.background_runs WHERE run_id = $run"), '57014', 'with the reason');
like(sql_error($node, "SELECT many_models.resume_run($run)"), qr/^55000/, 'a cancelled run is not resumed');
$run = start();
until_scoring($run, 1);
sql("SELECT many_models.pause_run($run)");
finish($run, 'paused', 'a paused run');
is(sql("SELECT many_models.cancel_run($run)"), 't', 'is given up');
is(status($run), 'cancelled', 'and says so');
$run = start();
until_scoring($run, 1);
sql("SELECT pg_terminate_backend(pid) FROM many_models.background_runs WHERE run_id = $run");
finish($run, 'interrupted', 'a terminated run');
sql("SELECT many_models.resume_run($run)");
finish($run, 'succeeded', 'is resumed');
is(predictions($run), $expected, 'to the same predictions');
is(sql($unexplained), 0, 'no partition is left of any');

# An error leaves its reason, and nothing else.
$run = as('alice', q{SELECT many_models.start_scoring('shop */ x', 'SELECT id, g, 1 / (id - 30000) AS x FROM t', 'scores', '{id}')});
finish($run, 'failed', 'an error');
is(sql("SELECT sqlstate, message FROM many_models.background_runs WHERE run_id = $run"), '22012|division by zero', 'is kept');
is(sql($unexplained), 0, 'without a partition');
like(sql_error($node, "SELECT many_models.resume_run($run)"), qr/^55000/, 'there is nothing to go on with');
is_clean($node, 'the failed run');

# Killed at random moments.
srand(815);
for my $victim (qw(coordinator postmaster worker coordinator))
{
	$run = start();
	my $delay = rand() * 0.8 * $seconds;
	my $what = sprintf 'the %s killed after %.2f s', $victim, $delay;
	until_scoring($run, 1);
	usleep(1e6 * $delay);
	my $pid = sql("SELECT pid FROM many_models.background_runs WHERE run_id = $run");
	$pid = sql("SELECT min(pid) FROM pg_stat_activity WHERE leader_pid = $pid AND pid <> $pid") if $victim eq 'worker' && $pid ne '';
	my $log = -s $node->logfile;
	my $hit = 0;
	if ($victim eq 'postmaster')
	{
		kill_server($node);
		$node->start;
		$hit = 1;
	}
	elsif ($pid ne '' && kill('KILL', $pid))
	{
		# A process that was just ending is not missed.
		for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
		{
			$hit = slurp_file($node->logfile, $log) =~ /all server processes terminated; reinitializing/;
			my $out = '';
			$node->psql('postgres', "SELECT status FROM many_models.background_runs WHERE run_id = $run", stdout => \$out) if !$hit;
			last if $hit || $out eq 'succeeded' && slurp_file($node->logfile, $log) !~ /was terminated by signal 9/;
			usleep(100_000);
		}
		$node->poll_query_until('postgres', 'SELECT true') or die 'the server did not recover';
	}
	finish($run, 'succeeded', "$what: too late") if !$hit;
	my $now = status($run);
	ok($now eq 'interrupted' || $now eq 'succeeded', "$what: it is $now");
	if ($now eq 'interrupted')
	{
		is(sql("SELECT count(*) FROM scores WHERE run_id = $run"), 0, "$what: nothing is visible");
		is(sql($unexplained), 0, "$what: nor is there a partition");
		sql("SELECT many_models.resume_run($run)");
		finish($run, 'succeeded', "$what: resumed");
	}
	is(predictions($run), $expected, "$what: the same predictions");
	is_clean($node, $what);
}
is(sql($unexplained), 0, 'at the end every partition is that of a run');
$node->stop;
done_testing();
