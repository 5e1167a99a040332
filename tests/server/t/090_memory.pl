# Every process keeps within the memory budget: what each has resident beyond shared memory is sampled
# while 300,000 groups train with a budget of 16 MB, in both exchanges. 64 MB are for the process
# itself: its program, catalog caches, the buffers of its files.
use strict;
use warnings;

use ManyTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

plan skip_all => 'the module is not built' unless module_is_built();
plan skip_all => 'no /proc/PID/status with RssAnon'
  unless -e '/proc/self/status' && slurp_file('/proc/self/status') =~ /^RssAnon:/m;

# DSM in /dev/shm, which counts as shared memory; mapped files would count as files.
my $node = start_node('memory', dynamic_shared_memory_type => 'posix', shared_buffers => '256MB',
	max_wal_size => '4GB', wal_level => 'minimal', maintenance_work_mem => '32MB');
$node->safe_psql('postgres', q{
	CREATE TABLE t AS SELECT (i * 7919::bigint % 300000)::int AS g, 'g' || i % 3 AS c,
		i * 7 % 101 + i / 300000 AS x, i * 13 % 37 + i / 300000 AS y
	FROM generate_series(1, 1200000) AS i;
	ALTER TABLE t SET (parallel_workers = 2);
	ANALYZE t});

# Largest RssAnon + RssFile of the server's processes, in kB, by process title.
sub sample
{
	my ($peaks) = @_;
	my $postmaster = $node->{_pid};
	my $children = do { local (@ARGV, $/) = "/proc/$postmaster/task/$postmaster/children"; <> } // '';
	for my $pid (split ' ', $children)
	{
		open(my $status, '<', "/proc/$pid/status") or next;
		my %value;
		while (<$status>) { $value{$1} = $2 if /^(RssAnon|RssFile):\s+(\d+)/; }
		next unless defined $value{RssAnon};
		my $kb = $value{RssAnon} + $value{RssFile};
		open(my $command, '<', "/proc/$pid/cmdline") or next;
		my $title = (<$command> // '') =~ s/\0.*//sr;
		$title = $title =~ /parallel worker/ ? 'worker' : $title =~ /SELECT/ ? 'session' : 'other';
		$peaks->{$title} = $kb if $kb > ($peaks->{$title} // 0);
	}
	return;
}

for my $case ([ 'statistics', '{x}' ], [ 'rows', '{x,c}' ])
{
	my ($exchange, $features) = @$case;
	my $s = statement($node, parallel_settings() . qq{
		SET many_models.memory_budget = '16MB';
		SELECT groups, trained + failed + skipped, rows_read FROM many_models.train_many_models('$exchange', 't', '{g}', 'y', '$features', workers => 3)});
	my %peaks;
	my $samples = 0;
	while ($s->{harness}->pumpable)
	{
		sample(\%peaks);
		$samples++;
		$s->{harness}->pump_nb;
		usleep(20_000);
	}
	is(finish_statement($s), 'no error', "$exchange: the run");
	is($s->{out}, "300000|300000|1200000\n", "$exchange: all groups");
	is( $node->safe_psql('postgres', qq{
			SELECT details ->> 'exchange', (details ->> 'peak_group_bytes')::bigint <= 16 * 1024 * 1024 + 1024 * 1024,
				(details ->> 'exchanged_bytes')::bigint > 16 * 1024 * 1024
			FROM many_models.runs WHERE model_set = '$exchange'}),
		"$exchange|t|t", "$exchange: tables of groups within the budget, the rest in files");
	note sprintf '%s: %d samples, peaks in MB: %s', $exchange, $samples,
	  join(', ', map { sprintf '%s %.1f', $_, $peaks{$_} / 1024 } sort keys %peaks);
	cmp_ok($samples, '>', 20, "$exchange: enough samples");
	for my $process (qw(session worker))
	{
		cmp_ok($peaks{$process} // 1e9, '<', (16 + 64) * 1024, "$exchange: peak of a $process, in kB");
	}
}
is_clean($node, 'both runs');

$node->stop;
done_testing();
