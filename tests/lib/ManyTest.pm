# What the server tests share. Each test starts servers of its own by PostgreSQL::Test::Cluster.
package ManyTest;

use strict;
use warnings;

use Exporter 'import';
use File::Find;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

our @EXPORT = qw(module_is_built start_node kill_server sql_error statement finish_statement
  wait_for_phase worker_pid temporary_files run_segments is_clean registry_state fingerprint
  database_contents parallel_settings);

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
	$node->init(extra => [ '--encoding=UTF8', '--no-locale' ]);
	# Shared memory segments as files below the data directory: those that are left over can be
	# counted, whatever other servers do.
	%settings = (
		max_worker_processes => 16,
		max_parallel_workers => 8,
		dynamic_shared_memory_type => 'mmap',
		log_statement => 'none',
		autovacuum => 'off',
		%settings);
	$node->append_conf('postgresql.conf',
		join("\n", map { "$_ = $settings{$_}" } sort keys %settings));
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION many_models');
	return $node;
}

# Settings under which small tables are read in parallel.
sub parallel_settings
{
	return 'SET min_parallel_table_scan_size = 0; SET parallel_setup_cost = 0;'
	  . ' SET parallel_tuple_cost = 0; SET client_min_messages = warning; ';
}

# kill_server(node): kill -9 of the postmaster, and until it is gone, and its children, which see that themselves and hold
# its shared memory till then: a new server would not start. A container's first process may take seconds to reap it;
# meanwhile a new server would take its lock file for one in use.
sub kill_server
{
	my ($node) = @_;
	my $pid = $node->{_pid};
	my @pids = ($pid, split ' ', `ps -o pid= --ppid $pid`);
	$node->kill9;
	for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return unless kill(0, @pids);
		usleep(100_000);
	}
	die "of the processes @pids, some are still there after kill -9 of the first";
}

# sql_error(node, sql, psql options): "SQLSTATE: message" of the first error, or "no error".
sub sql_error
{
	my ($node, $sql, %options) = @_;
	my ($out, $err) = ('', '');
	my $parameters = [ '-v', 'VERBOSITY=verbose', @{ $options{extra_params} // [] } ];
	my $database = delete $options{database} // 'postgres';
	$node->psql($database, $sql, stdout => \$out, stderr => \$err, %options,
		extra_params => $parameters);
	return $1 if $err =~ /(?:ERROR|FATAL):  (\w{5}: [^\n]*)/;
	return $err =~ /\S/ && $err !~ /\A(?:\w+ *|psql:[^\n]*)?(?:NOTICE|WARNING)/ ? $err : 'no error';
}

# statement(node, sql, options): psql runs it meanwhile; application_name is options{name}.
sub statement
{
	my ($node, $sql, %options) = @_;
	my %s = (node => $node, name => $options{name} // 'run', out => '', err => '');
	my $file = PostgreSQL::Test::Utils::tempdir() . '/statement.sql';
	PostgreSQL::Test::Utils::append_to_file($file, "$sql;\n");
	my @command = (
		$node->installed_command('psql'), '-XqAt',
		'-d', $node->connstr($options{database} // 'postgres') . " application_name=$s{name}",
		'-v', 'ON_ERROR_STOP=1', '-v', 'VERBOSITY=verbose', '-f', $file);
	push @command, '-U', $options{user} if defined $options{user};
	$s{harness} = IPC::Run::start(
		\@command, '<', \undef, '>', \$s{out}, '2>', \$s{err},
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	return \%s;
}

# finish_statement(statement): waits for its end; "SQLSTATE: message" of its error or "no error".
sub finish_statement
{
	my ($s) = @_;
	$s->{harness}->finish;
	return $1 if $s->{err} =~ /(?:ERROR|FATAL):  (\w{5}: [^\n]*)/;
	return 'lost connection' if $s->{err} =~ /server closed the connection|connection .* lost/;
	return $s->{harness}->result == 0 ? 'no error' : "psql failed: $s->{err}";
}

# wait_for_phase(statement, phase, rows): until its run is in that phase and has read so many rows;
# returns the pid of its backend.
sub wait_for_phase
{
	my ($s, $phase, $rows) = @_;
	$rows //= 0;
	for (1 .. 20 * $PostgreSQL::Test::Utils::timeout_default)
	{
		my $pid = $s->{node}->safe_psql('postgres', qq{
			SELECT p.pid FROM many_models.run_progress AS p JOIN pg_stat_activity AS a USING (pid)
			WHERE a.application_name = '$s->{name}' AND p.phase = '$phase' AND p.rows_read >= $rows});
		return $pid if $pid ne '';
		$s->{harness}->pump_nb;
		if (!$s->{harness}->pumpable)
		{
			finish_statement($s);
			die "the statement ended before its run was $phase: $s->{out} $s->{err}";
		}
		usleep(20_000);
	}
	die "the run of $s->{name} never was $phase";
}

# worker_pid(node, leader): a parallel worker of that backend; waits for one.
sub worker_pid
{
	my ($node, $leader) = @_;
	$node->poll_query_until('postgres',
		"SELECT count(*) > 0 FROM pg_stat_activity WHERE leader_pid = $leader AND pid <> $leader")
	  or die "no parallel worker of $leader";
	return $node->safe_psql('postgres',
		"SELECT min(pid) FROM pg_stat_activity WHERE leader_pid = $leader AND pid <> $leader");
}

# Files of temporary data below the data directory and its tablespaces.
sub temporary_files
{
	my ($node) = @_;
	my @found;
	find(
		{
			follow_skip => 2,
			follow_fast => 1,
			no_chdir => 1,
			wanted => sub { push @found, $_ if m{/pgsql_tmp/.} && !-d $_; }
		},
		grep { -d $_ } $node->data_dir . '/base', glob($node->data_dir . '/pg_tblspc/*'));
	return @found;
}

# Segments of runs (src/engine/run_segment.h, src/pg/run_activity.h) and of parallel queries, by their magic numbers.
sub run_segments
{
	my ($node) = @_;
	my %magic = (0x4d4d5253 => 'run', 0x4d4d5350 => 'scoring', 0x50477c7c => 'parallel query');
	my @found;
	for my $file (glob($node->data_dir . '/pg_dynshmem/mmap.*'))
	{
		open(my $handle, '<:raw', $file) or next;
		my $bytes = '';
		read($handle, $bytes, 8);
		close $handle;
		next unless length $bytes == 8;
		my ($first) = unpack 'L<', $bytes;
		push @found, "$magic{$first} $file" if $magic{$first};
	}
	return @found;
}

# is_clean(node, what): no worker, no temporary file, no shared memory of a run. What is on its way
# out gets a moment.
sub is_clean
{
	my ($node, $what) = @_;
	my @left;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	for (1 .. 100)
	{
		my $workers = $node->safe_psql('postgres',
			q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'parallel worker'});
		my $shown = $node->safe_psql('postgres', 'SELECT count(*) FROM many_models.run_progress');
		@left = (temporary_files($node), run_segments($node));
		push @left, "$workers workers" if $workers != 0;
		push @left, "$shown in run_progress" if $shown != 0;
		last unless @left;
		usleep(100_000);
	}
	is(join("\n", @left), '', "$what: no worker, temporary file or segment is left");
	return;
}

# What the registry holds, as text: to be compared before and after a run that failed. Partitions
# and views that nothing in the registry explains show up too.
sub registry_state
{
	my ($node, $database) = @_;
	return $node->safe_psql(
		$database // 'postgres', q{
		SELECT 'set', model_set, latest_version::text, source FROM many_models.model_sets
		UNION ALL SELECT 'run', model_set, version::text, trained::text FROM many_models.runs
		UNION ALL SELECT 'models', storage::text, run_id::text, count(*)::text
			FROM many_models.model_store GROUP BY storage, run_id
		UNION ALL SELECT 'failures', storage::text, run_id::text, count(*)::text
			FROM many_models.failure_store GROUP BY storage, run_id
		UNION ALL SELECT 'relation', relname, relkind::text, '' FROM pg_class
			WHERE relnamespace IN ('public'::regnamespace, 'many_models'::regnamespace)
			  AND relkind IN ('r', 'v', 'p') AND (relname LIKE '%\_models' OR relname LIKE '%store%')
		ORDER BY 1, 2, 3, 4});
}

# database_contents(node, database): every relation of the schemas many_models and public with its rows,
# and what belongs to them in the catalogs, a line each: to be compared with another database or server.
# Without what versions of PostgreSQL have each in their way: the owner's own privileges, types of tables and arrays.
sub database_contents
{
	my ($node, $database) = @_;
	my $ours = q{IN ('public'::regnamespace, 'many_models'::regnamespace)};
	my $relations = qq{FROM pg_class WHERE relnamespace $ours AND relkind IN ('r', 'p', 'v', 'm', 'S')};
	my $settings = q{SET search_path = pg_catalog; SET TimeZone = 'UTC';};
	my $rows = $node->safe_psql($database, $settings . q{
		SELECT CASE WHEN relkind = 'S'
			THEN format('SELECT %L, last_value || '' '' || is_called FROM %s', oid::regclass, oid::regclass)
			ELSE format('SELECT %L, count(*) || '' rows '' || coalesce(md5(string_agg(t::text, chr(10) ORDER BY t::text COLLATE "C")), ''-'')'
				' FROM %s AS t', oid::regclass, oid::regclass) END } . $relations);
	my $catalogs = qq{
		SELECT 'relation ' || oid::regclass, concat_ws(' ', relkind, relowner::regrole, relrowsecurity, relreplident, relispartition,
				(SELECT array_agg(concat_ws(' ', a.grantee::regrole, a.privilege_type) ORDER BY a.grantee::regrole::text, a.privilege_type)
					FROM aclexplode(relacl) AS a WHERE a.grantee <> relowner), pg_get_expr(relpartbound, oid), reloptions,
				obj_description(oid, 'pg_class')) $relations
		UNION ALL SELECT 'policy ' || tablename || ' ' || policyname, concat_ws(' ', roles, cmd, qual, with_check)
			FROM pg_policies WHERE schemaname IN ('public', 'many_models')
		UNION ALL SELECT 'index ' || indexname, indexdef FROM pg_indexes WHERE schemaname IN ('public', 'many_models')
		UNION ALL SELECT 'function ' || oid::regprocedure, concat_ws(' ', proowner::regrole, provolatile, proparallel, proconfig,
				(SELECT array_agg(a.grantee::regrole ORDER BY a.grantee::regrole::text) FROM aclexplode(proacl) AS a), obj_description(oid, 'pg_proc'))
			FROM pg_proc WHERE pronamespace $ours
		UNION ALL SELECT 'member ' || pg_describe_object(classid, objid, objsubid), deptype::text
			FROM pg_depend WHERE refclassid = 'pg_extension'::regclass
			  AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'many_models')
			  AND NOT EXISTS (SELECT FROM pg_type AS t WHERE classid = 'pg_type'::regclass AND t.oid = objid
				AND (typelem <> 0 OR typrelid IN (SELECT c.oid FROM pg_class AS c WHERE relkind <> 'c')))
		UNION ALL SELECT 'extension', concat_ws(' ', extversion, extnamespace::regnamespace, extowner::regrole,
				(SELECT array_agg(concat_ws(' ', c::regclass, w) ORDER BY c::regclass::text) FROM unnest(extconfig, extcondition) AS u (c, w)))
			FROM pg_extension WHERE extname = 'many_models'};
	return $node->safe_psql($database, "$settings SELECT * FROM ("
		  . join("\nUNION ALL ", $catalogs, split /\n/, $rows) . ') AS c (what, is_so) ORDER BY what COLLATE "C"');
}

# SQL for a fingerprint of all that a run found out: keys, models bit by bit, failures.
sub fingerprint
{
	my ($run) = @_;
	return qq{SELECT md5(pg_catalog.string_agg(t, E'\\n' ORDER BY t COLLATE "C")) FROM (
		SELECT pg_catalog.concat_ws('|', partition_key, n_rows, first_time, last_time, key_hash, model, fingerprint)
		FROM many_models.model_store WHERE run_id = $run
		UNION ALL
		SELECT pg_catalog.concat_ws('|', partition_key, status, sqlstate, message, hint, n_rows, fingerprint)
		FROM many_models.failure_store WHERE run_id = $run) AS f (t)};
}

1;
