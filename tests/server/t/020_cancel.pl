# A run can be ended at any moment, by a cancel, a time-out, the end of its session or the death of
# one of its processes: it ends at once, nothing of it is visible or left over, the next run works.
# Runs alone: it says how long an end may take.
use strict;
use warnings;

use ManyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

plan skip_all => 'the module is not built' unless module_is_built();

# Uncancelled, each of the runs below takes minutes; the bound leaves room for a busy machine.
my $at_once = 5;

my $node = start_node('cancel', restart_after_crash => 'on', shared_buffers => '128MB');
$node->safe_psql('postgres', q{
	CREATE TABLE base AS SELECT i % 1500 AS g, (i * 7 % 101)::float8 AS x, (i * 13 % 37)::float8 AS y
	FROM generate_series(1, 15000) AS i;
	ALTER TABLE base SET (parallel_workers = 3);
	-- Without an end: a scan of ten billion rows.
	CREATE VIEW endless AS
	SELECT g + n % 10 AS g, x + n AS x, 'c' || n % 5 AS c, y + (n * 31 % 17) AS y
	FROM base, generate_series(1, 1000000) AS n;
	CREATE TABLE wide AS SELECT i % 20 AS g, (i * 13 % 37)::float8 AS y, } . join(
		', ', map { "(i * " . (7 * $_ + 3) . " % " . (101 + 2 * $_) . ")::float8 + i % 2 AS x$_" } 1 .. 80)
	  . q{ FROM generate_series(1, 2400) AS i;
	ALTER TABLE wide SET (parallel_workers = 3);
	-- A minute of fits.
	CREATE VIEW costly AS SELECT g + 20 * n AS h, w.* FROM wide AS w, generate_series(0, 99) AS n;
	ANALYZE;
	SELECT FROM many_models.train_many_models('base', 'base', '{g}', 'y', '{x}', workers => 2);
	SELECT FROM many_models.train_many_models('small', 'SELECT * FROM base WHERE g < 5', '{g}', 'y', '{x}')});

my $settings = parallel_settings();
# The phase to be in, how much must have been read before, and the call.
my %runs = (
	'scan of statistics' => [ 'scanning', 100_000,
		q{many_models.train_many_models('base', 'endless', target => 'y', features => '{x}', workers => 3)} ],
	'scan into files' => [ 'scanning', 200_000,
		q{many_models.train_many_models('new set', 'endless', '{g}', 'y', '{x,c}', workers => 3)} ],
	'fit' => [ 'fitting', 0,
		q{many_models.train_many_models('new set', 'costly', '{h}', 'y', algorithm => 'elastic_net',
		  options => '{"lambda": "auto", "cv_folds": 10}', workers => 3)} ]);
my $before = registry_state($node);

sub start_run
{
	my ($run, $more) = @_;
	my $budget = $run eq 'scan into files' ? "SET many_models.memory_budget = '1MB';" : '';
	return statement($node, $settings . $budget . ($more // '') . "SELECT * FROM $runs{$run}[2];");
}

# What holds after the end of any run that failed, and that the next one works.
sub check_after
{
	my ($what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is_clean($node, $what);
	is(registry_state($node), $before, "$what: the registry is as before");
	is( $node->safe_psql('postgres', q{
			SELECT trained FROM many_models.train_many_models('next', 'base', '{g}', 'y', '{x}', workers => 2)}),
		'1500', "$what: the next run works");
	$node->safe_psql('postgres', q{SELECT many_models.drop_models('next'); DROP VIEW next_models});
	return;
}

sub ends_with
{
	my ($s, $expected, $what) = @_;
	my $start = time;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	like(finish_statement($s), $expected, "$what: the error");
	my $seconds = time - $start;
	note sprintf '%s: ended after %.2f s', $what, $seconds;
	cmp_ok($seconds, '<', $at_once, "$what: it ends at once");
	is($s->{out}, '', "$what: no result");
	return;
}

for my $run (sort keys %runs)
{
	my ($phase, $rows) = @{ $runs{$run} };

	my $begin = time;
	my $s = start_run($run);
	my $leader = wait_for_phase($s, $phase, $rows);
	my $timeout = 2 + 3 * int(time - $begin);  # of a busy machine, too, a run must get to its phase in it
	worker_pid($node, $leader);
	cmp_ok(scalar(grep { /^run / } run_segments($node)), '==', 1, "$run: one segment while it runs");
	cmp_ok(scalar(temporary_files($node)), '>', 0, "$run: temporary files while it runs")
	  unless $run eq 'scan of statistics';
	$node->safe_psql('postgres', "SELECT pg_cancel_backend($leader)");
	ends_with($s, qr/^57014: canceling statement due to user request/, "$run, cancelled");
	like($s->{err}, qr/run \d+ of model set "/, "$run, cancelled: the context names run and set");
	check_after("$run, cancelled");

	$s = start_run($run, "SET statement_timeout = '${timeout}s';");
	wait_for_phase($s, $phase, 0);
	my $start = time;
	like(finish_statement($s), qr/^57014: canceling statement due to statement timeout/, "$run, timed out");
	cmp_ok(time - $start, '<', $timeout + $at_once, "$run, timed out: in time");
	check_after("$run, timed out");

	$s = start_run($run);
	$leader = wait_for_phase($s, $phase, $rows);
	$node->safe_psql('postgres', "SELECT pg_terminate_backend($leader)");
	ends_with($s, qr/^57P01: terminating connection due to administrator command/, "$run, terminated");
	check_after("$run, terminated");

	$s = start_run($run);
	$leader = wait_for_phase($s, $phase, $rows);
	my $worker = worker_pid($node, $leader);
	$node->safe_psql('postgres', "SELECT pg_terminate_backend($worker)");
	ends_with($s, qr/^57P01: terminating /, "$run, a worker terminated");
	check_after("$run, a worker terminated");
}

# In a transaction, a cancelled run is undone alone: the savepoint before it survives.
my $s = statement($node, $settings . q{
	BEGIN;
	SELECT version FROM many_models.train_many_models('base');
	SAVEPOINT s;
	\set ON_ERROR_STOP 0
	SET LOCAL statement_timeout = '1s';
	SELECT * FROM } . $runs{'scan into files'}[2] . q{;
	ROLLBACK TO s;
	SELECT latest_version FROM many_models.model_sets WHERE model_set = 'base';
	SELECT version FROM many_models.train_many_models('base');
	ROLLBACK;});
finish_statement($s);
is($s->{out}, "2\n2\n3\n", 'a cancelled run inside a transaction is undone by itself');
check_after('a transaction with a cancelled run');

# While the results are being stored: another session's lock holds the run up there.
my $blocker = $node->background_psql('postgres');
$blocker->query_safe('BEGIN; LOCK TABLE many_models.model_store IN SHARE UPDATE EXCLUSIVE MODE');
$s = statement($node, q{SELECT * FROM many_models.train_many_models('base')});
my $leader = wait_for_phase($s, 'collecting');
$node->poll_query_until('postgres',
	"SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $leader");
is( $node->safe_psql('postgres', q{SELECT max(version) FROM many_models.runs WHERE model_set = 'base'}),
	'1', 'storing: nothing is visible yet');
$node->safe_psql('postgres', "SELECT pg_cancel_backend($leader)");
ends_with($s, qr/^57014/, 'storing, cancelled');
$blocker->query_safe('COMMIT');
$blocker->quit;
check_after('storing, cancelled');

# Killed by the kernel: the server restarts its processes, and nothing is half visible.
sub check_crash
{
	my ($what, $run, $victim_of) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($phase, $rows) = @{ $runs{$run} };
	my $s = start_run($run);
	my $leader = wait_for_phase($s, $phase, $rows);
	my $victim = $victim_of->($leader);
	my $log = -s $node->logfile;
	kill 'KILL', $victim;
	isnt(finish_statement($s), 'no error', "$what: the run is lost");
	$node->wait_for_log(qr/all server processes terminated; reinitializing/, $log);
	$node->poll_query_until('postgres', 'SELECT true') or die 'the server did not recover';
	check_after($what);
	return;
}
check_crash('a worker of the scan killed', 'scan into files', sub { worker_pid($node, $_[0]) });
check_crash('a worker of the fit killed', 'fit', sub { worker_pid($node, $_[0]) });
check_crash('the session killed while scanning', 'scan into files', sub { $_[0] });
check_crash('the session killed while fitting', 'fit', sub { $_[0] });

# Immediate shutdown.
$s = start_run('scan into files');
wait_for_phase($s, 'scanning', 200_000);
$node->stop('immediate');
isnt(finish_statement($s), 'no error', 'immediate shutdown: the run is lost');
$node->start;
check_after('immediate shutdown');

# All processes of the server killed at once, as by a loss of power.
$s = start_run('fit');
wait_for_phase($s, 'fitting');
my @pids = split /\n/, $node->safe_psql('postgres', 'SELECT pid FROM pg_stat_activity');
kill 'STOP', $node->{_pid};
kill 'KILL', @pids;
kill_server($node);
isnt(finish_statement($s), 'no error', 'power lost: the run is lost');
cmp_ok(scalar(temporary_files($node)), '>', 0, 'power lost: temporary files stay behind');
$node->start;
check_after('power lost');

# A fast shutdown does not wait for a run.
$s = start_run('fit');
wait_for_phase($s, 'fitting');
my $start = time;
$node->stop('fast');
cmp_ok(time - $start, '<', $at_once, 'a fast shutdown ends the run');
like(finish_statement($s), qr/^57P01|lost connection/, 'fast shutdown: the error');
$node->start;
check_after('fast shutdown');

# DROP EXTENSION waits for the run, which ends as if nothing were.
$s = statement($node, q{
	CREATE FUNCTION slowly(x float8) RETURNS float8 LANGUAGE plpgsql AS
	'BEGIN PERFORM pg_sleep(0.002); RETURN x; END';
	SELECT trained FROM many_models.train_many_models('last', 'SELECT g, slowly(x) AS x, y FROM base WHERE g < 50', '{g}', 'y', '{x}')});
$leader = wait_for_phase($s, 'scanning');
is( sql_error($node, q{SET lock_timeout = '200ms'; DROP EXTENSION many_models CASCADE}),
	'55P03: canceling statement due to lock timeout', 'DROP EXTENSION waits');
my $drop = statement($node, 'DROP EXTENSION many_models CASCADE', name => 'drop');
$node->poll_query_until('postgres', qq{
	SELECT pg_blocking_pids(pid) = '{$leader}' FROM pg_stat_activity WHERE application_name = 'drop'})
  or die 'DROP EXTENSION does not wait for the run';
is(finish_statement($s), 'no error', 'the run before DROP EXTENSION ends well');
is($s->{out}, "50\n", 'it trained its groups');
is(finish_statement($drop), 'no error', 'then the extension is dropped');
is( $node->safe_psql('postgres', q{
		SELECT (SELECT count(*) FROM pg_class WHERE relnamespace = 'many_models'::regnamespace),
		       (SELECT count(*) FROM pg_proc WHERE pronamespace = 'many_models'::regnamespace)}),
	'0|0', 'and all that is in its schema, partitions of runs too');
is( $node->safe_psql('postgres', q{
		CREATE EXTENSION many_models;
		SELECT trained FROM many_models.train_many_models('again', 'base', '{g}', 'y', '{x}')}),
	'1500', 'created again, it works');

$node->stop;
done_testing();
