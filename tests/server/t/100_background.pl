# Background runs: they outlive their client, keep its role and settings, can be paused, resumed and
# cancelled, and after any crash go on where they were, to the same result.
# MANY_KILLS sets the number of kills at random moments (4 by default; the benchmark uses 20).
use strict;
use warnings;

use ManyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

plan skip_all => 'the module is not built' unless module_is_built();

my $kills = $ENV{MANY_KILLS} // 4;
my $node = start_node('background', restart_after_crash => 'on', shared_buffers => '128MB');
$node->safe_psql('postgres', q{
	CREATE ROLE alice LOGIN; CREATE ROLE bob LOGIN; CREATE ROLE team NOLOGIN; GRANT team TO alice;
	CREATE ROLE colleague LOGIN; GRANT alice TO colleague; CREATE ROLE barred LOGIN;
	SELECT many_models.grant_usage(r) FROM unnest('{alice,bob,team,colleague,barred}'::regrole[]) AS r;
	GRANT CREATE ON SCHEMA public TO alice, team, bob;
	-- Groups that train, that fail (NaN), that are skipped (few rows), a NULL key; rows with NULLs.
	CREATE TABLE t AS
	SELECT nullif(i % 5000, 17) AS g, } . join(', ', map { "CASE WHEN i % 1009 = $_ THEN NULL ELSE (i * " . (7 * $_ + 3) . " % " . (101 + 2 * $_) . ")::float8 + i % 3 END AS x$_" } 1 .. 8) . q{,
		'c' || i % 3 AS c, i / 5000 AS n, CASE WHEN i % 5000 = 33 THEN 'NaN' ELSE (i * 13 % 37)::float8 END AS y
	FROM generate_series(1, 100000) AS i WHERE i % 5000 <> 44 OR i < 10000;
	CREATE TABLE small AS SELECT * FROM t WHERE g < 20;
	ALTER TABLE t SET (parallel_workers = 2);
	GRANT SELECT ON t, small TO PUBLIC;
	ANALYZE});

my $slow = q{algorithm => 'elastic_net', options => '{"lambda": "auto", "cv_folds": 10}', workers => 3};
my %calls = (
	statistics => qq{'t', '{g}', 'y', '{x1,x2,x3,x4,x5}', $slow},
	rows => qq{'t', '{g}', 'y', '{x1,x2,c}', $slow},
	forecasts => q{'t', '{g}', 'y', algorithm => 'damped_holt', time_column => 'n', options => '{"min_rows": 3}', workers => 3});
my $session = parallel_settings() . 'SET many_models.commit_interval = 0; ';

sub sql { return $node->safe_psql('postgres', @_); }
sub start { return sql($session . "SELECT many_models.start_training('$_[0]', $_[1])"); }
sub finish
{
	my ($run, $expected, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(sql("SELECT many_models.wait_for_run($run)"), $expected, $what);
	return;
}
sub status { return sql("SELECT status FROM many_models.background_runs WHERE run_id = $_[0]"); }

# Until the run satisfies the condition over run_progress (p) and background_runs (b).
sub until_run
{
	my ($run, $condition) = @_;
	$node->poll_query_until('postgres', qq{
		SELECT coalesce((SELECT $condition FROM many_models.background_runs AS b
			LEFT JOIN many_models.run_progress AS p USING (run_id) WHERE run_id = $run), false)})
	  or die "run $run: not $condition, but " . status($run);
	return;
}

# All that a run says of itself and of its groups, but times and ids.
sub result
{
	my ($run) = @_;
	return sql("SELECT version, trained, failed, skipped, rows_read, rows_skipped, nullable_keys, features
		FROM many_models.runs WHERE run_id = $run") . ' ' . sql(fingerprint($run));
}

sub nothing_left
{
	my ($what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$node->poll_query_until('postgres',
		q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'many_models run'});
	is_clean($node, $what);
	is( sql(q{SELECT string_agg(relname, ', ') FROM pg_class WHERE relnamespace = 'many_models'::regnamespace
			AND relkind = 'r' AND relname LIKE '%store\_r%' AND NOT relispartition}),
		'', "$what: no unattached table is left");
	return;
}

# The uninterrupted runs, and that they find what train_many_models finds.
my (%expected, %seconds);
for my $form (sort keys %calls)
{
	my $begin = time;
	my $run = start("whole $form", $calls{$form});
	finish($run, 'succeeded', "$form: a run in the background");
	$seconds{$form} = time - $begin;
	$expected{$form} = result($run);
	my $foreground = sql($session . "SELECT run_id FROM many_models.train_many_models('fore $form', $calls{$form})");
	is($expected{$form}, result($foreground), "$form: as train_many_models has it");
	is(sql("SELECT details ->> 'exchange' FROM many_models.runs WHERE run_id = $run"), $form eq 'statistics' ? $form : 'rows', "$form: that exchange");
	sql("SELECT many_models.drop_models('fore $form'); DROP VIEW \"fore ${form}_models\"");
	note sprintf '%s: %.1f s', $form, $seconds{$form};
}
like($expected{statistics}, qr/^1\|4998\|1\|1\|/, 'with groups of every kind');
nothing_left('whole runs');
my $before = registry_state($node);

# Whether the server noticed the death of a process; it does not if that had ended just before.
sub crashed
{
	my ($log, $run) = @_;
	for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return 1
		  if slurp_file($node->logfile, $log) =~ /all server processes terminated; reinitializing/;
		my ($out) = ('');
		$node->psql('postgres', "SELECT status FROM many_models.background_runs WHERE run_id = $run", stdout => \$out);
		return 0 if $out eq 'succeeded' && slurp_file($node->logfile, $log) !~ /was terminated by signal 9/;
		usleep(100_000);
	}
	die 'neither a crash nor the end of the run';
}

# Killed at random moments, resumed, and the same.
my %victims = (
	coordinator => sub { return sql("SELECT pid FROM many_models.background_runs WHERE run_id = $_[0]"); },
	worker => sub {
		return sql("SELECT min(a.pid) FROM pg_stat_activity AS a JOIN many_models.background_runs AS b ON a.leader_pid = b.pid
			WHERE b.run_id = $_[0] AND a.pid <> a.leader_pid");
	},
	postmaster => sub { return $node->{_pid}; });
my ($killed, $stored) = (0, 0);
srand(4711);
for (my ($i, $attempts) = (1, 0); $i <= $kills && $attempts < 5 * $kills; $attempts++)
{
	my $form = (sort keys %calls)[ $i % 3 ];
	my $victim = (qw(coordinator worker postmaster coordinator))[ $i % 4 ];
	my $run = start('killed', $calls{$form});
	my $delay = rand() * 0.95 * $seconds{$form};
	my $what = sprintf '%d: %s, the %s killed after %.2f s', $i, $form, $victim, $delay;
	usleep(1e6 * $delay);
	my $pid = '';
	for (1 .. 1000)
	{
		$pid = $victims{$victim}->($run);
		last if $pid ne '' || status($run) ne 'running';
	}
	my $log = -s $node->logfile;
	my $hit = $pid ne '';
	if ($hit && $victim eq 'postmaster')
	{
		kill_server($node);
		$node->start;
	}
	elsif ($hit)
	{
		$hit = kill('KILL', $pid) && crashed($log, $run);
		$node->poll_query_until('postgres', 'SELECT true') or die 'the server did not recover';
	}
	if (!$hit)
	{
		# It was faster this time: another moment.
		finish($run, 'succeeded', "$what: too late");
		is(result($run), $expected{$form}, "$what: its result");
		sql("SELECT many_models.drop_models('killed'); DROP VIEW killed_models");
		next;
	}
	$i++;
	$killed++;
	my $now = status($run);
	my $done = sql("SELECT coalesce(buckets_done, 0) FROM many_models.background_runs WHERE run_id = $run");
	note "$what: $now, $done buckets stored";
	ok($now eq 'interrupted' || $now eq 'succeeded', "$what: it is $now");
	if ($now eq 'interrupted')
	{
		$stored++ if $done > 0;
		is(sql("SELECT count(*) FROM many_models.models WHERE model_set = 'killed'"), 0, "$what: nothing is visible");
		sql("SELECT many_models.resume_run($run)");
		finish($run, 'succeeded', "$what: resumed");
	}
	is(result($run), $expected{$form}, "$what: the same result");
	nothing_left($what);
	sql("SELECT many_models.drop_models('killed'); DROP VIEW killed_models");
	is(registry_state($node), $before, "$what: dropped, nothing is left");
}

is($killed, $kills, 'so many kills');
note "$stored of them after results were stored";

# A crash after results were stored: what was stored is not done again.
my $run = start('stored', $calls{statistics});
until_run($run, 'b.buckets_done >= 4');
kill_server($node);
$node->start;
is(status($run), 'interrupted', 'killed with stored results');
my $done = sql("SELECT buckets_done FROM many_models.background_runs WHERE run_id = $run");
cmp_ok($done, '>=', 4, 'they are still there');
my $stored_models = qq{SELECT string_agg(model_id::text, ',' ORDER BY model_id) FROM many_models.model_store_r$run};
my $ids = sql($stored_models);
is(sql("SELECT many_models.resume_run($run)"), '', 'resumed');
finish($run, 'succeeded', 'it ends well');
is(sql("SELECT count(*) FROM many_models.model_store WHERE run_id = $run AND model_id IN ($ids)"),
	($ids =~ tr/,//) + 1, 'the models stored before the crash are its models');
is(result($run), $expected{statistics}, 'and the same result');

# Pause, and what others see meanwhile.
$run = start('paused', $calls{statistics});
until_run($run, "p.phase = 'fitting' AND b.buckets_done >= 2");
is(sql("SELECT many_models.pause_run($run)"), 't', 'pause');
finish($run, 'paused', 'it pauses');
nothing_left_but_tables();
is(sql("SELECT count(*) FROM many_models.models WHERE model_set = 'paused'"), 0, 'paused: nothing is visible');
is(sql("SELECT latest_version FROM many_models.model_sets WHERE model_set = 'paused'"), 0, 'paused: no version');
like(sql_error($node, q{SELECT many_models.predict('paused', '{"g": 1}', '{}')}), qr/^42704/, 'paused: nothing to predict with');
is(sql("SELECT many_models.pause_run($run)"), 'f', 'it has paused already');
my $paused_at = sql("SELECT buckets_done FROM many_models.background_runs WHERE run_id = $run");
cmp_ok($paused_at, '<', sql("SELECT buckets FROM many_models.background_runs WHERE run_id = $run"), 'before its end');
# A dump has what is stored: restored elsewhere, the run goes on there.
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, $node->connstr('postgres') ], 'a dump with a paused run');
sql('CREATE DATABASE restored');
$node->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', $dump, $node->connstr('restored') ], 'restored');
is($node->safe_psql('restored', "SELECT status, buckets_done FROM many_models.background_runs WHERE run_id = $run"),
	"paused|$paused_at", 'it is paused there too');
$node->safe_psql('restored', "SELECT many_models.resume_run($run)");
is($node->safe_psql('restored', "SELECT many_models.wait_for_run($run)"), 'succeeded', 'resumed there');
is($node->safe_psql('restored', fingerprint($run)), (split / /, $expected{statistics})[-1], 'the same result');
is($node->safe_psql('restored', q{SELECT starts FROM many_models.background_runs WHERE run_id = } . $run), '2', 'in its second start');
sql('DROP DATABASE restored');
is(status($run), 'paused', 'the original is still paused');
sql("SELECT many_models.resume_run($run)");
finish($run, 'succeeded', 'it goes on');
is(result($run), $expected{statistics}, 'to the same result');
like(sql_error($node, "SELECT many_models.resume_run($run)"), qr/^55000: background run $run is succeeded/, 'a run that ended is not resumed');
is(sql("SELECT many_models.cancel_run($run)"), 'f', 'nor cancelled');
is(result($run), $expected{statistics}, 'its result stays');

sub nothing_left_but_tables
{
	$node->poll_query_until('postgres',
		q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'many_models run'});
	is_clean($node, 'paused');
	return;
}

# Cancel: while it scans, while it fits, when it is paused, when it is interrupted.
sql(q{CREATE FUNCTION slowly(x float8) RETURNS float8 LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.01); RETURN x; END'});
my $endless = q{'SELECT g, slowly(x1) AS x1, y FROM t', '{g}', 'y', '{x1}'};
$before = registry_state($node);
for my $phase (qw(scanning fitting))
{
	$run = start('cancelled', $phase eq 'scanning' ? $endless : $calls{statistics});
	until_run($run, "p.phase = '$phase'" . ($phase eq 'fitting' ? ' AND b.buckets_done >= 2' : ''));
	is(sql("SELECT many_models.cancel_run($run)"), 't', "$phase: cancel");
	finish($run, 'cancelled', "$phase: it ends");
	nothing_left("cancelled while $phase");
	is(registry_state($node), $before, "$phase: the registry is as before");
	is(sql("SELECT sqlstate FROM many_models.background_runs WHERE run_id = $run"), '57014', "$phase: with the reason");
}
$run = start('cancelled', $endless);
until_run($run, "p.phase = 'scanning'");
sql("SELECT many_models.pause_run($run)");
finish($run, 'paused', 'a scan is not waited for by pause_run');
is(sql("SELECT many_models.cancel_run($run)"), 't', 'a paused run is cancelled');
is(status($run), 'cancelled', 'it says so');
is(registry_state($node), $before, 'nothing of it is left');
$run = start('cancelled', $endless);
until_run($run, "p.phase = 'scanning'");
sql("SELECT pg_terminate_backend(pid) FROM many_models.background_runs WHERE run_id = $run");
finish($run, 'interrupted', 'a terminated run is interrupted');
is(sql("SELECT many_models.cancel_run($run)"), 't', 'an interrupted run is cancelled');
is(registry_state($node), $before, 'nothing of it is left');
nothing_left('cancelled runs');

# pg_cancel_backend is a cancel too.
$run = start('cancelled', $endless);
until_run($run, "p.phase = 'scanning'");
sql("SELECT pg_cancel_backend(pid) FROM many_models.background_runs WHERE run_id = $run");
finish($run, 'cancelled', 'pg_cancel_backend');

# An error of the run.
$run = start('erring', q{'SELECT g, 1 / (g - 5) AS x1, y FROM t', '{g}', 'y', '{x1}'});
finish($run, 'failed', 'a run that fails');
is(sql("SELECT sqlstate, message, finished_at IS NOT NULL FROM many_models.background_runs WHERE run_id = $run"),
	'22012|division by zero|t', 'its error is kept');
$run = start('erring', q{'t', '{g}', 'y', '{x1}', options => '{"max_failed_fraction": 0}'});
finish($run, 'failed', 'too many groups fail');
is(sql("SELECT sqlstate, message, detail, hint IS NOT NULL FROM many_models.background_runs WHERE run_id = $run"),
	'22000|1 of 5000 groups failed, more than max_failed_fraction = 0 allows|Nothing of the run is kept.|t',
	'with message, detail and hint');
is(registry_state($node), $before, 'nothing of failed runs is left');
nothing_left('failed runs');
like(sql_error($node, "SELECT many_models.resume_run($run)"), qr/^55000: background run $run is failed/, 'they do not go on');
is(sql("SELECT many_models.cancel_run($run)"), 'f', 'nor is there anything to give up');

# An error after results were stored: a worker is lost. They are kept, and not done again.
sub fail_halfway
{
	my ($set) = @_;
	for (1 .. 20)
	{
		my $run = start($set, $calls{statistics});
		until_run($run, "b.buckets_done >= 2 OR b.status <> 'running'");
		sql("SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity AS a JOIN many_models.background_runs AS b ON a.leader_pid = b.pid
			WHERE b.run_id = $run AND a.pid <> a.leader_pid") for 1 .. 3;
		return $run if sql("SELECT many_models.wait_for_run($run)") eq 'failed';
		sql("SELECT many_models.drop_models('$set'); DROP VIEW ${set}_models");
	}
	die 'no run lost a worker';
}
$run = fail_halfway('halfway');
is(sql("SELECT sqlstate, message, buckets_done >= 2, buckets_done < buckets FROM many_models.background_runs WHERE run_id = $run"),
	'57P01|terminating background worker "parallel worker" due to administrator command|t|t', 'a run that fails halfway says why and how far it came');
nothing_left_but_tables();
is(sql("SELECT count(*) FROM many_models.models WHERE model_set = 'halfway'"), 0, 'nothing of it is visible');
my $halfway_ids = sql(qq{SELECT string_agg(model_id::text, ',') FROM many_models.model_store_r$run});
sql("SELECT many_models.resume_run($run)");
finish($run, 'succeeded', 'it goes on');
is(result($run), $expected{statistics}, 'to the result of an uninterrupted run');
is(sql("SELECT count(*) FROM many_models.model_store WHERE run_id = $run AND model_id IN ($halfway_ids)"),
	($halfway_ids =~ tr/,//) + 1, 'with the models that were stored before');
is(sql("SELECT sqlstate IS NULL AND message IS NULL AND starts = 2 FROM many_models.background_runs WHERE run_id = $run"), 't', 'the error is forgotten');
sql("SELECT many_models.drop_models('halfway'); DROP VIEW halfway_models");
# The groups of such a run of an append-only set have seen rows up to different times, for all one knows: its refresh reads all.
my $appended = q{'SELECT *, 1 + g % 7 AS at FROM t WHERE g > 0', '{g}', 'y', '{x1,x2,x3,x4,x5}', 'lasso', 'at', '{"append_only": true, "lambda": 0.1}', workers => 3};
my $went_on = 0;
for (1 .. 20)
{
	$run = start('appended', $appended);
	until_run($run, "b.buckets_done >= 2 OR b.status <> 'running'");
	$went_on = sql("SELECT many_models.pause_run($run)") eq 't' && sql("SELECT many_models.wait_for_run($run)") eq 'paused';
	sql("SELECT many_models.resume_run($run)") if $went_on;
	finish($run, 'succeeded', 'a run of an append-only set');
	last if $went_on;
	sql("SELECT many_models.drop_models('appended'); DROP VIEW appended_models");
}
ok($went_on, 'that went on after a pause');
my ($refreshed, $notice) = ('', '');
$node->psql('postgres', q{SELECT status, rows_read > 90000 FROM many_models.refresh_many_models('appended')}, stdout => \$refreshed, stderr => \$notice);
is($refreshed, 'succeeded|t', 'its refresh reads all rows');
like($notice, qr/all groups of model set "appended" are trained from the source/, 'and says so');
is(sql(q{SELECT status FROM many_models.refresh_many_models('appended')}), 'unchanged', 'the next one does not');
sql("SELECT many_models.drop_models('appended'); DROP VIEW appended_models");
# Given up, or dropped with its set.
$run = fail_halfway('halfway');
is(sql("SELECT many_models.cancel_run($run)"), 't', 'it can be given up');
is(status($run), 'cancelled', 'then it is cancelled');
is(sql("SELECT many_models.cancel_run($run)"), 'f', 'once');
nothing_left('given up');
is(registry_state($node), $before, 'given up: the registry is as before');
$run = fail_halfway('halfway');
like(sql_error($node, "SELECT many_models.drop_models('halfway', 1)"), qr/^42704/, 'it has no version');
is(sql("SELECT many_models.drop_models('halfway')"), 0, 'its set is dropped');
nothing_left('dropped');
is(registry_state($node), $before, 'dropped: the registry is as before');
# The source fails when it is read again, once and once more.
sql('CREATE VIEW failing AS SELECT * FROM t');
$run = start('failing', $calls{statistics} =~ s/'t'/'failing'/r);
until_run($run, 'b.buckets_done >= 2');
sql("SELECT many_models.pause_run($run)");
finish($run, 'paused', 'paused');
sql('CREATE OR REPLACE VIEW failing AS SELECT g, x1 / (g - 5) AS x1, ' . join(', ', map { "x$_" } 2 .. 8) . ', c, n, y FROM t');
for my $try (2, 3)
{
	my $done = sql("SELECT buckets_done FROM many_models.background_runs WHERE run_id = $run");
	sql("SELECT many_models.resume_run($run)");
	finish($run, 'failed', "start $try: the source has an error");
	is(sql("SELECT sqlstate, buckets_done = $done, starts FROM many_models.background_runs WHERE run_id = $run"), "22012|t|$try", "start $try: what was stored is kept");
}
sql('CREATE OR REPLACE VIEW failing AS SELECT * FROM t');
sql("SELECT many_models.resume_run($run)");
finish($run, 'succeeded', 'mended, it goes on');
is(result($run), $expected{statistics}, 'to the same result');
sql("SELECT many_models.drop_models('failing'); DROP VIEW failing_models; DROP VIEW failing");

# A client that is gone at once; a transaction that is undone; one that waits.
my ($out) = ('');
$node->psql('postgres', $session . "SELECT many_models.start_training('alone', $calls{statistics})", stdout => \$out);
finish($out, 'succeeded', 'the client has gone');
is(result($out), $expected{statistics}, 'the run has not');
my $client = $node->background_psql('postgres');
my $undone = $client->query_safe("BEGIN; SELECT many_models.start_training('undone', $calls{statistics})");
is(sql(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'many_models run'}), 1, 'its process waits');
$client->query_safe('ROLLBACK');
$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'many_models run'});
is(status($undone), '', 'undone, there is no run');
my $late = $client->query_safe(q{BEGIN; CREATE TABLE fresh AS SELECT * FROM small;
	SELECT many_models.start_training('late', 'fresh', '{g}', 'y', '{x1}')});
usleep(300_000);
is(status($late), '', 'not visible before its transaction commits');
$client->query_safe('COMMIT');
finish($late, 'succeeded', 'a run reads what its transaction wrote');
is(sql("SELECT storage, trained FROM many_models.runs WHERE run_id = $late"), '0|19', 'small runs share a partition');
$client->query_safe(q{BEGIN; SAVEPOINT s; SELECT many_models.start_training('undone', 'small', '{g}', 'y', '{x1}');
	ROLLBACK TO s; COMMIT});
$client->quit;
$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'many_models run'});
is(sql(q{SELECT count(*) FROM many_models.background_runs WHERE model_set = 'undone'}), 0, 'nor a savepoint rolled back');

# One at a time for a set; several sets at once; the set cannot be dropped.
my $first = start('busy', $endless);
my $second = start('other', $calls{statistics});
like(sql_error($node, "SELECT many_models.start_training('busy', $calls{statistics})"),
	qr/^55006: model set "busy" is being trained by background run $first/, 'a second training of the set');
like(sql_error($node, q{SELECT many_models.drop_models('busy')}),
	qr/^55006: background run $first of model set "busy" is going on/, 'nor can it be dropped');
is(sql("SELECT many_models.wait_for_run($first, '10 ms')"), 'running', 'wait_for_run returns in time');
finish($second, 'succeeded', 'another set meanwhile');
sql("SELECT many_models.cancel_run($first)");
finish($first, 'cancelled', 'the first is cancelled');
# Also while the other transaction has not committed, for a new set and a known one; no worker is taken, nothing is waited for.
for my $set ('busy', 'other')
{
	my $starter = $node->background_psql('postgres');
	$starter->query_safe("BEGIN; SELECT many_models.start_training('$set', 'small', '{g}', 'y', '{x1}')");
	$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'many_models run'})
	  or die 'runs that have ended have processes';
	like(sql_error($node, "SET lock_timeout = 100; SELECT many_models.start_training('$set', 'small', '{g}', 'y', '{x1}')"),
		qr/^55006: a background training of model set "$set" is being started by another transaction/, "$set: it is refused at once");
	is(sql(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'many_models run'}), 1, "$set: no worker was taken");
	like(sql_error($node, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT many_models.start_training('$set', 'small', '{g}', 'y', '{x1}')"),
		qr/^55006/, "$set: at any isolation level");
	$starter->query_safe('ROLLBACK');
	$starter->quit;
	my $next = sql("SELECT many_models.start_training('$set', 'small', '{g}', 'y', '{x1}')");
	finish($next, 'succeeded', "$set: undone, another may start");
	sql("SELECT many_models.drop_models('$set')");
}

# No slot.
$node->append_conf('postgresql.conf', 'max_worker_processes = 1');
$node->restart;
$before = registry_state($node);
like(sql_error($node, "SELECT many_models.start_training('no slot', $calls{statistics})"),
	qr/^53400: no background worker is free for run/, 'no slot');
is(registry_state($node), $before, 'nothing was written');
$node->append_conf('postgresql.conf', 'max_worker_processes = 16');
$node->restart;

# As the same role, with the same settings.
sub as { my ($user, $sql) = @_; return sql($sql, extra_params => [ '-U', $user ]); }
sub error_as { my ($user, $sql) = @_; return sql_error($node, $sql, extra_params => [ '-U', $user ]); }
sql(q{CREATE SCHEMA mine AUTHORIZATION alice;
	CREATE TABLE mine.tenants AS SELECT i % 10 AS g, i % 2 AS tenant, (i * 7 % 11)::float8 AS x, (i * 13 % 17)::float8 AS y
		FROM generate_series(1, 1000) AS i;
	GRANT SELECT ON mine.tenants TO alice, team;
	ALTER TABLE mine.tenants ENABLE ROW LEVEL SECURITY;
	CREATE POLICY own ON mine.tenants FOR SELECT USING (tenant = current_setting('app.tenant')::int);
	CREATE VIEW mine.settings AS SELECT g, x, y, current_user AS role, session_user AS login FROM mine.tenants;
	ALTER VIEW mine.settings SET (security_invoker = true); GRANT SELECT ON mine.settings TO alice, team; GRANT USAGE ON SCHEMA mine TO team});
my $mine = as('alice', q{SET search_path = mine, public; SET app.tenant = 1; SET many_models.memory_budget = '2MB';
	SET many_models.max_workers = 1; SET TimeZone = 'Asia/Tokyo';
	SELECT many_models.start_training('rls', 'tenants', '{g}', 'y', '{x}')});
finish($mine, 'succeeded', 'a run of alice');
is(sql("SELECT run_by, rows_read, workers, trained FROM many_models.runs WHERE run_id = $mine"), 'alice|500|1|5',
	'as alice, with the row-level security that her session had');
is(sql("SELECT viewowner || '.' || schemaname FROM pg_views WHERE viewname = 'rls_models'"), 'alice.mine', 'her view in her search_path');
is(sql(q{SELECT settings ->> 'search_path', settings ->> 'TimeZone', settings ->> 'app.tenant', settings ? 'client_encoding'
		FROM many_models.background_store WHERE run_id = } . $mine), 'mine, public|Asia/Tokyo|1|f', 'settings are kept with the run');
like(error_as('alice', 'SELECT settings FROM many_models.background_store'), qr/^42501/, 'and readable by nobody');
my $scored = as('alice', q{SET search_path = mine, public; SET app.tenant = 1; SELECT many_models.start_scoring('rls', into_table => 'scores')});
finish($scored, 'succeeded', 'a scoring run of alice');
is(sql("SELECT tableowner || '.' || schemaname FROM pg_tables WHERE tablename = 'scores'"), 'alice.mine', 'her table in her schema');
is(sql("SELECT count(*), count(prediction), min(run_id) FROM mine.scores"), "500|500|$scored", 'with predictions');
my $for_team = as('alice', q{SET ROLE team; SET app.tenant = 0;
	SELECT many_models.start_training('of team', 'SELECT g, x, y FROM mine.settings WHERE role = ''team''', '{g}', 'y', '{x}')});
finish($for_team, 'succeeded', 'a role that cannot log in');
is(sql("SELECT run_by, trained FROM many_models.runs WHERE run_id = $for_team"), 'team|5', 'the run is the role\'s');
like(sql_error($node, q{SET ROLE team; SELECT many_models.start_training('of team')}),
	qr/^42501: role "team" cannot log in, and a superuser's session/, 'a superuser does not lend it its own role')
  if $node->pg_version < 17;

# Who may do what.
my $hers = as('alice', $session . "SELECT many_models.start_training('hers', 'SELECT g, x1, y FROM t', '{g}', 'y', '{x1}')");
finish($hers, 'succeeded', 'a run of alice');
for my $call ("cancel_run($hers)", "pause_run($hers)", "resume_run($hers)", "wait_for_run($hers)")
{
	like(error_as('bob', "SELECT many_models.$call"), qr/^42501: must be owner of background run $hers/, "bob: $call");
}
is(as('bob', "SELECT count(*) FROM many_models.background_runs WHERE run_id = $hers"), 0, 'bob does not see it');
is(as('colleague', "SELECT status FROM many_models.background_runs WHERE run_id = $hers"), 'succeeded', 'a member does');
is(as('colleague', "SELECT many_models.wait_for_run($hers)"), 'succeeded', 'and may wait for it');
like(error_as('bob', q{SELECT many_models.start_training('hers')}), qr/^42501: permission denied to train model set "hers"/, 'nor train the set');
like(error_as('bob', q{SELECT many_models.start_scoring('hers')}), qr/^42704/, 'nor score it');
sql('REVOKE EXECUTE ON FUNCTION many_models.cancel_run(bigint) FROM bob');
like(error_as('bob', "SELECT many_models.cancel_run($hers)"), qr/^42501: permission denied for function/, 'EXECUTE is needed');
sql('REVOKE CONNECT ON DATABASE postgres FROM PUBLIC');
sql(q{GRANT CONNECT ON DATABASE postgres TO alice});
like(error_as('alice', q{SELECT many_models.start_training('temporary', 'SELECT * FROM pg_temp.nothing', '{g}', 'y')}), qr/^42P01/, 'mistakes are told at once');
like(error_as('alice', q{CREATE TEMP TABLE mine AS SELECT 1 AS g, 1.0 AS x, 2.0 AS y; SELECT many_models.start_training('temporary', 'SELECT * FROM mine', '{g}', 'y')}),
	qr/^0A000: the source uses the temporary table "mine"/, 'a temporary table is refused');

# A fast shutdown interrupts; a later server resumes.
$run = start('shut down', $calls{statistics});
until_run($run, 'b.buckets_done >= 2');
$node->restart;
is(status($run), 'interrupted', 'a shutdown interrupts it');
sql("SELECT many_models.resume_run($run)");
finish($run, 'succeeded', 'then it goes on');
is(result($run), $expected{statistics}, 'to the same result');

# A source whose columns changed cannot complete what was begun.
sql('CREATE TABLE changing AS SELECT * FROM t');
$run = start('changed', $calls{statistics} =~ s/'t'/'changing'/r);
until_run($run, 'b.buckets_done >= 2');
sql("SELECT many_models.pause_run($run)");
finish($run, 'paused', 'paused');
sql('ALTER TABLE changing ALTER x1 TYPE real');
sql("SELECT many_models.resume_run($run)");
finish($run, 'failed', 'the type of a feature changed');
like(sql("SELECT sqlstate || message FROM many_models.background_runs WHERE run_id = $run"),
	qr/^42804the source's columns are not those that run $run began with/, 'it says so');
sql('ALTER TABLE changing ALTER x1 TYPE float8');
sql("SELECT many_models.resume_run($run)");
finish($run, 'succeeded', 'with its own type again it goes on');
is(result($run), $expected{statistics}, 'to the same result');
nothing_left('the end');

$node->stop;
done_testing();
