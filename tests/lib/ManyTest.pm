# What the server tests share. Each test starts servers of its own by PostgreSQL::Test::Cluster.
package ManyTest;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(usleep);

our @EXPORT = qw(module_is_built start_node kill_server);

# Whether the module is installed in the PostgreSQL that the tests run.
sub module_is_built
{
	my $directory = `pg_config --pkglibdir`;
	chomp $directory;
	return -e "$directory/many_models.so";
}

# start_node(name, setting => value, ...): a running server with room for background workers, and
# the extension created in the database postgres.
sub start_node
{
	my ($name, %settings) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init;
	%settings = (
		max_worker_processes => 16,
		max_parallel_workers => 8,
		%settings);
	$node->append_conf('postgresql.conf',
		join("\n", map { "$_ = $settings{$_}" } sort keys %settings));
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION many_models');
	return $node;
}

# kill_server(node): kill -9 of the postmaster, and until it is gone. A container's first process
# may take seconds to reap it; meanwhile a new server would take its lock file for one in use.
sub kill_server
{
	my ($node) = @_;
	my $pid = $node->{_pid};
	$node->kill9;
	for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return unless kill(0, $pid);
		usleep(100_000);
	}
	die "process $pid is still there after kill -9";
}

1;
