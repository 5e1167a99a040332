# The memory that sessions share, with the library in shared_preload_libraries: what one session has read
# serves the others, and is never anything else than what they would read themselves: not of a version
# or a promotion that is not committed, of another database, of an extension that was dropped, or for a role
# that may not score with it.
use strict;
use warnings;

use IPC::Run;
use ManyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'the module is not built' unless module_is_built();

my $node = start_node('shared_cache', shared_preload_libraries => "'many_models'", allow_in_place_tablespaces => 'on',
	'many_models.shared_cache_size' => '1MB', restart_after_crash => 'on');

sub statistics
{
	my ($on) = @_;
	my %now;
	@now{qw(size models hits misses insertions evictions)} =
	  split /\|/, ($on // $node)->safe_psql('postgres', 'SELECT * FROM many_models.shared_cache_statistics()');
	return \%now;
}

# What a new session gets, and how many models it found in, and brought to, the shared memory.
sub ask
{
	my ($sql, %options) = @_;
	my $on = $options{node} // $node;
	my $before = statistics($on);
	my $answer = $on->safe_psql($options{database} // 'postgres', ($options{role} ? "SET ROLE $options{role}; " : '') . $sql);
	my $after = statistics($on);
	return sprintf '%s: %d found, %d brought', $answer, $after->{hits} - $before->{hits},
	  $after->{insertions} - $before->{insertions};
}

sub predict { my ($set, $g) = @_; return "SELECT round(many_models.predict('$set', '{\"g\": $g}', '{\"x\": 0}'))"; }

is($node->safe_psql('postgres', 'SHOW many_models.shared_cache_size'), '1MB', 'the setting');
my $size = statistics()->{size};
cmp_ok($size, '>', 900_000, 'its memory is there');
cmp_ok($size, '<=', 1024 * 1024, 'and no more');
is(sql_error($node, q{SET many_models.shared_cache_size = 0}),
	'55P02: parameter "many_models.shared_cache_size" cannot be changed without restarting the server',
	'it is set when the server starts');

# A set of few groups (the shared partition), one of many (its own); owned by a role without any right but
# to train.
$node->safe_psql('postgres', q{
	CREATE ROLE owner; CREATE ROLE other; CREATE ROLE member IN ROLE owner;
	SELECT many_models.grant_usage('owner');
	GRANT CREATE ON SCHEMA public TO owner;
	CREATE TABLE t AS SELECT g, x, 100 * g + x + x * 7 % 3 / 10.0 AS y FROM generate_series(1, 1200) AS g, generate_series(0, 6) AS x;
	GRANT ALL ON t TO owner;
	SET ROLE owner;
	SELECT FROM many_models.train_many_models('many', 't', '{g}', 'y', '{x}');
	SELECT FROM many_models.train_many_models('few', 'SELECT * FROM t WHERE g < 9', '{g}', 'y', '{x}')});

for my $set (qw(many few))
{
	is(ask(predict($set, 3), role => 'owner'), '300: 0 found, 1 brought', "$set: the first session brings the model");
	is(ask(predict($set, 3), role => 'owner'), '300: 1 found, 0 brought', "$set: the second finds it");
	is(ask(predict($set, 3)), '300: 1 found, 0 brought', "$set: so does a superuser");
	is(ask(predict($set, 3), role => 'member'), '300: 1 found, 0 brought', "$set: and a member of the owner");
	is(ask(predict($set, '3.0'), role => 'owner'), '300: 0 found, 0 brought', "$set: a key written otherwise comes from the table");
	is(ask(predict($set, 4000), role => 'owner'), ': 0 found, 0 brought', "$set: that there is no model is not shared");
	is(sql_error($node, 'SET ROLE other; ' . predict($set, 3)), qq{42704: model set "$set" does not exist}, "$set: not for another role");
}
is( ask(q{SELECT count(*), count(DISTINCT prediction) FROM generate_series(1, 2), LATERAL many_models.predict_many_interval('many',
			ARRAY['{"g":3}', '{"g":5}', '{"g":3}']::jsonb[], ARRAY['{"x":0}', '{"x":0}', '{"x":1}']::jsonb[])}),
	'6|3: 1 found, 1 brought', 'predict_many_interval');
is( ask(q{SET force_parallel_mode = on; } . predict('many', 3), role => 'owner'), '300: 1 found, 0 brought', 'a parallel worker');
is( ask(q{BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY; } . predict('many', 3), role => 'owner'), '300: 1 found, 0 brought', 'serializable');

# What one role has brought is found for another as far as its grants go. A role that row-level security does
# not apply to needs them too.
$node->safe_psql('postgres', q{SELECT many_models.grant_model_set('many', 'other', 'score', '{"g": 3}'), many_models.grant_model_set('few', 'other', 'read')});
is(ask(predict('many', 5), role => 'owner'), '500: 1 found, 0 brought', 'for the owner');
is(ask(predict('many', 3), role => 'other'), '300: 1 found, 0 brought', 'granted for one group');
is(ask(predict('many', 5), role => 'other') =~ s/:.*//r, '', 'and not for another, which is there');
is(ask(predict('many', 8), role => 'other'), ': 0 found, 0 brought', 'nor for one that is not: it is not brought either');
is(sql_error($node, 'SET ROLE other; ' . predict('few', 3)), '42501: permission denied to score with model set "few"', 'granted read');
$node->safe_psql('postgres', 'ALTER ROLE other BYPASSRLS');
is(ask(predict('many', 5), role => 'other') =~ s/:.*//r, '', 'not with BYPASSRLS');
is(sql_error($node, 'SET ROLE other; ' . predict('few', 3)), '42501: permission denied to score with model set "few"', 'nor the other set');
$node->safe_psql('postgres', q{ALTER ROLE other NOBYPASSRLS; SELECT many_models.revoke_model_set('few', 'other', 'read')});
my $granted = $node->background_psql('postgres', on_error_stop => 0);
$granted->query_safe('SET ROLE other');
is($granted->query(predict('many', 3)), '300', 'a session of that role');
$node->safe_psql('postgres', q{SELECT many_models.grant_model_set('many', 'other', 'score', '{"g": 5}')});
is($granted->query(predict('many', 5)), '500', 'granted another group');
$node->safe_psql('postgres', q{SELECT many_models.revoke_model_set('many', 'other', 'score', '{"g": 3}')});
is($granted->query(predict('many', 3)), '', 'one is taken away');
$granted->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
is($granted->query(predict('many', 5)), '500', 'in a transaction of one snapshot');
$node->safe_psql('postgres', q{SELECT many_models.revoke_model_set('many', 'other', 'score')});
$granted->query(predict('many', 5));
like($granted->{stderr}, qr/permission denied to score with model set "many"/, 'the grant is taken away within it');
$granted->{stderr} = '';
$granted->query('ROLLBACK');
$granted->query(predict('many', 5));
like($granted->{stderr}, qr/model set "many" does not exist/, 'and after it');
$granted->quit;

# Sessions that have models of their own follow too.
my $session = $node->background_psql('postgres', on_error_stop => 0);
$session->query_safe('SET ROLE member');
is($session->query(predict('many', 3)), '300', 'a session of a member');
$node->safe_psql('postgres', 'REVOKE owner FROM member');
$session->query(predict('many', 3));
like($session->{stderr}, qr/model set "many" does not exist/, 'which is none any more');
$session->{stderr} = '';
$session->query_safe('RESET ROLE');

# What a pool does between its clients leaves the session's cache.
is($session->query(predict('many', 6)), '600', 'in the session');
my $pooled = statistics();
$session->query_safe('DISCARD ALL');
is($session->query(predict('many', 6)), '600', 'after DISCARD ALL');
is(statistics()->{hits}, $pooled->{hits}, 'from its own cache');

# New versions: one that is not committed is nobody else's, and not brought; one rolled back is gone.
for my $set (qw(many few))
{
	my $writer = $node->background_psql('postgres');
	$writer->query_safe("BEGIN; UPDATE t SET y = y + 10; SELECT FROM many_models.train_many_models('$set')");
	my $before = statistics();
	is($writer->query(predict($set, 3)), '310', "$set: a version for the transaction that made it");
	is($writer->query(predict($set, 4)), '410', "$set: another model of it");
	is(statistics()->{insertions}, $before->{insertions}, "$set: they are not brought");
	is($session->query(predict($set, 3)), '300', "$set: not for others");
	is(ask(predict($set, 3)), '300: 1 found, 0 brought', "$set: nor for new ones");
	$writer->query_safe('ROLLBACK');
	is($writer->query(predict($set, 3)), '300', "$set: rolled back");
	$writer->query_safe("BEGIN; UPDATE t SET y = y + 20; SELECT FROM many_models.train_many_models('$set'); COMMIT");
	is(ask(predict($set, 3)), '320: 0 found, 1 brought', "$set: committed");
	is($session->query(predict($set, 3)), '320', "$set: in a session that had the old one");
	is($writer->query(predict($set, 3)), '320', "$set: in the one that made it");
	is(ask("SELECT many_models.predict_many('$set', ARRAY['{\"g\": 3}']::jsonb[], ARRAY['{\"x\": 0}']::jsonb[], 1)::numeric(9,0)[]"),
		'{300}: 1 found, 0 brought', "$set: the old version is there by its number");
	$writer->query_safe("BEGIN; SELECT many_models.drop_models('$set', 2)");
	is($writer->query(predict($set, 3)), '300', "$set: dropped, for the transaction that does it");
	$writer->query_safe('ROLLBACK');
	is($writer->query(predict($set, 3)), '320', "$set: not dropped");
	$node->safe_psql('postgres', "SELECT many_models.drop_models('$set', 2)");
	is($session->query(predict($set, 3)), '300', "$set: the version before again");
	$node->safe_psql('postgres', "UPDATE t SET y = y - 20");
	$writer->quit;
}
# Production: layers are shared as runs are; one that is not committed is not.
for my $set (qw(many few))
{
	my $writer = $node->background_psql('postgres');
	$writer->query_safe("UPDATE t SET y = y + 10; SELECT FROM many_models.train_many_models('$set'); UPDATE t SET y = y - 10");
	is($session->query(predict($set, 3)), '310', "$set: the latest version");
	$writer->query_safe("BEGIN; SELECT FROM many_models.promote_models('$set', 1)");
	my $before = statistics();
	is($writer->query(predict($set, 3)), '300', "$set: promoted, for the transaction that does it");
	is(statistics()->{insertions}, $before->{insertions}, "$set: which brings nothing");
	is($session->query(predict($set, 3)), '310', "$set: not for others");
	$writer->query_safe('ROLLBACK');
	is($writer->query(predict($set, 3)), '310', "$set: rolled back");
	$writer->query_safe("BEGIN; SELECT FROM many_models.promote_models('$set', 1); COMMIT");
	is(ask(predict($set, 3)), '300: 0 found, 1 brought', "$set: promoted");
	is(ask(predict($set, 3)), '300: 1 found, 0 brought', "$set: for all");
	is($session->query(predict($set, 3)), '300', "$set: in a session that had the old one");
	is($writer->query(predict($set, 3)), '300', "$set: in the one that did it");
	$writer->query_safe(qq{SELECT FROM many_models.promote_models('$set', rule => 'key ->> ''g'' = ''3''')});
	is(ask(predict($set, 3)), '310: 0 found, 1 brought', "$set: a layer over it");
	is(ask(predict($set, 3)), '310: 1 found, 0 brought', "$set: for all");
	is(ask(predict($set, 4)), '400: 0 found, 1 brought', "$set: another group, of the layer below");
	is(ask(predict($set, 4)), '400: 1 found, 0 brought', "$set: for all");
	is($session->query(predict($set, 3)) . ' ' . $session->query(predict($set, 4)), '310 400', "$set: in the session");
	$writer->query_safe("BEGIN; SELECT FROM many_models.rollback_models('$set')");
	is($writer->query(predict($set, 3)), '300', "$set: back, for the transaction that does it");
	is($session->query(predict($set, 3)), '310', "$set: not for others");
	$writer->query_safe('COMMIT');
	is($session->query(predict($set, 3)), '300', "$set: committed");
	is(ask(predict($set, 3)), '300: 1 found, 0 brought', "$set: the layer that was shared before");
	$node->safe_psql('postgres', "SELECT FROM many_models.rollback_models('$set', 0); SELECT many_models.prune_promotions('$set', 1)");
	is($session->query(predict($set, 3)), '310', "$set: nothing in production any more");
	$node->safe_psql('postgres', "SELECT many_models.drop_models('$set', 3)");
	is($session->query(predict($set, 3)), '300', "$set: the first version");
	$writer->quit;
}

# Promotions, rollbacks and pruning under sessions that predict all the time: every call is answered from one
# state, and no group is ever without a model. Half of the sessions have almost no cache of their own.
$node->safe_psql('postgres', q{UPDATE t SET y = y + 10});
$node->safe_psql('postgres', "SELECT FROM many_models.train_many_models('$_')") for qw(many few);
$node->safe_psql('postgres', q{UPDATE t SET y = y - 10});
$node->safe_psql('postgres', "SELECT FROM many_models.promote_models('$_', 1)") for qw(many few);
my $script = join '', map { qq{
	SELECT 1 / (count(*) = 3 AND count(DISTINCT round(y) - 100 * i) = 1 AND bool_and(round(y) - 100 * i IN (100 * :g, 100 * :g + 10)))::int
	FROM unnest(many_models.predict_many('$_', (SELECT array_agg(jsonb_build_object('g', :g + i)) FROM generate_series(1, 3) AS i), array_fill('{"x": 0}'::jsonb, ARRAY[3]))) WITH ORDINALITY AS p (y, i);
	SELECT 1 / (round(many_models.predict('$_', '{"g": 7}', '{"x": 0}')) IN (700, 710))::int;
} } qw(many few);
my $file = $node->basedir . '/predict.sql';
append_to_file($file, "\\set g random(0, 5)\n$script");
my @readers = map {
	my ($out, $err) = ('', '');
	local $ENV{PGOPTIONS} = "-c many_models.model_cache_size=$_";
	{ out => \$out, handle => IPC::Run::start(
		[ 'pgbench', '-n', '-c', 2, '-T', 6, '-M', 'prepared', '-f', $file, '-h', $node->host, '-p', $node->port, 'postgres' ], '>', \$out, '2>&1') }
} qw(64kB 64MB);
my $promotions = 0;
while ($readers[0]{handle}->pumpable)
{
	for my $set (qw(many few))
	{
		$node->safe_psql('postgres', "SELECT FROM many_models.promote_models('$set', $_)") for 4, 1;
		$node->safe_psql('postgres', "SELECT FROM many_models.rollback_models('$set'); SELECT many_models.prune_promotions('$set', 1)");
	}
	$promotions += 6;
	$_->{handle}->pump_nb for @readers;
}
for my $reader (@readers)
{
	$reader->{handle}->finish;
	unlike(${ $reader->{out} }, qr/ERROR|aborted/, 'predictions during promotions') or diag ${ $reader->{out} };
	like(${ $reader->{out} }, qr/number of transactions actually processed: \d{3}/, 'many of them');
}
cmp_ok($promotions, '>=', 6, 'promotions meanwhile');
note "$promotions promotions; ", map { ${ $_->{out} } =~ /(number of transactions actually.*)/ } @readers;
for my $set (qw(many few))
{
	$node->safe_psql('postgres', "SELECT FROM many_models.rollback_models('$set', 0)");
	$node->safe_psql('postgres', "SELECT many_models.drop_models('$set', max(version)) FROM many_models.runs WHERE model_set = '$set'");
}

# A set of the same name again is another set.
$node->safe_psql('postgres', q{
	SELECT many_models.drop_models('few');
	SELECT FROM many_models.train_many_models('few', 'SELECT g, x, y + 7 AS y FROM t WHERE g < 9', '{g}', 'y', '{x}')});
is($session->query(predict('few', 3)), '307', 'a set of the same name');
is(ask(predict('few', 3)), '307: 1 found, 0 brought', 'and in another session');
# Another file.
my $models = $node->safe_psql('postgres', q{SELECT tableoid::regclass FROM many_models.model_store WHERE storage > 0 LIMIT 1});
$node->safe_psql('postgres', "VACUUM FULL $models");
is(ask(predict('many', 3)), '300: 0 found, 1 brought', 'after VACUUM FULL');
is($session->query(predict('many', 3)), '300', 'in a session that knew the old file');
$node->safe_psql('postgres', "REINDEX TABLE CONCURRENTLY $models");
is($session->query(predict('many', 11)), '1100', 'after REINDEX CONCURRENTLY');

# Another database with the same files and ids.
$session->quit;
is(ask(predict('few', 5)), '507: 0 found, 1 brought', 'in the database');
$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE postgres STRATEGY file_copy');
$node->safe_psql('copy', q{
	UPDATE many_models.model_store AS a SET model = b.model FROM many_models.model_store AS b
	WHERE a.run_id = b.run_id AND a.storage = 0 AND a.partition_key = '{"g": 5}' AND b.partition_key = '{"g": 2}'});
is(ask(predict('few', 5), database => 'copy'), '207: 0 found, 1 brought', 'in its copy, changed');
is(ask(predict('few', 5)), '507: 1 found, 0 brought', 'in the database still');

# The extension anew: the same names and ids, other models.
my $run = $node->safe_psql('copy', 'SELECT max(run_id) FROM many_models.runs');
$node->safe_psql('copy', q{
	DROP EXTENSION many_models CASCADE;
	CREATE EXTENSION many_models;
	SELECT FROM many_models.train_many_models('few', 'SELECT g, x, y + 50 AS y FROM t WHERE g < 9', '{g}', 'y', '{x}')});
$node->safe_psql('copy', qq{UPDATE many_models.runs SET run_id = $run; UPDATE many_models.model_store SET run_id = $run});
is(ask(predict('few', 5), database => 'copy'), '550: 0 found, 1 brought', 'the extension anew');

# More models than fit, of very different sizes, by several sessions at once, each with almost no cache of
# its own. Sizes: from 300 bytes to more than a quarter of the memory, which is not shared.
$node->safe_psql('postgres', q{
	CREATE TABLE sizes AS SELECT g, l, g * 1000 + l * 7 % 11 AS y, CASE WHEN l < levels THEN 'level ' || l || repeat('x', g % 40) ELSE 'level' END AS c
	FROM (SELECT g, CASE WHEN g = 1 THEN 300 WHEN g % 10 = 0 THEN 60 ELSE g % 7 END AS levels FROM generate_series(1, 1500) AS g) AS s, generate_series(0, levels + 4) AS l;
	SELECT FROM many_models.train_many_models('sizes', 'sizes', '{g}', 'y', '{c}', options => '{"max_levels": 500}');
	SET many_models.model_cache_size = '1GB';
	CREATE TABLE expected AS SELECT jsonb_build_object('g', g) AS k, jsonb_build_object('c', c) AS f, many_models.predict('sizes', jsonb_build_object('g', g), jsonb_build_object('c', c)) AS y
	FROM (SELECT DISTINCT ON (g) g, c FROM sizes ORDER BY g, l DESC) AS s});
is( $node->safe_psql('postgres', q{SELECT count(*), max(bytes) > 256 * 1024, min(bytes) < 512, sum(bytes) > 2 * 1024 * 1024
		FROM many_models.models WHERE model_set = 'sizes'}),
	'1500|t|t|t', 'sizes of the models');
is($node->safe_psql('postgres', 'SELECT count(y), count(DISTINCT y) FROM expected'), '1500|1500', 'their predictions');
is(ask(q{SELECT many_models.predict('sizes', k, f) = y FROM expected WHERE k = '{"g": 1}'}), 't: 0 found, 0 brought', 'a model too large to be shared')
  for 1 .. 2;
my @statements = map {
	statement($node, qq{
		SET many_models.model_cache_size = '64kB';
		SELECT setseed(0.$_);
		SELECT count(*), sum((many_models.predict('sizes', k, f) = y)::int) FROM
			(SELECT k, f, y FROM expected, generate_series(1, 20) ORDER BY power(random(), 3) * (k ->> 'g')::int) AS e})
} 1 .. 4;
my $before = statistics();
for my $s (@statements)
{
	is(finish_statement($s), 'no error', 'a session');
	is($s->{out}, "\n30000|30000\n", 'its predictions');
}
my $after = statistics();
cmp_ok($after->{evictions} - $before->{evictions}, '>', 1000, 'models made way for others');
cmp_ok($after->{hits} - $before->{hits}, '>', 1000, 'models were found');
cmp_ok($after->{models}, '>', 20, 'models are there');
is($after->{size}, $size, 'the memory is the same');
note explain $after;

# A killed session takes all of it away; then it fills again.
is(ask(predict('many', 3)) =~ s/:.*//r, '300', 'before the crash');
my $victim = $node->background_psql('postgres');
my $pid = $victim->query('SELECT pg_backend_pid()');
$victim->query(predict('many', 3));
kill 'KILL', $pid;
$node->poll_query_until('postgres', 'SELECT models = 0 FROM many_models.shared_cache_statistics()') or die 'the server did not come back';
eval { $victim->quit };
is(ask(predict('many', 3)), '300: 0 found, 1 brought', 'after the crash');
is(ask(predict('many', 3)), '300: 1 found, 0 brought', 'and again');

# Off, with the library preloaded.
$node->append_conf('postgresql.conf', 'many_models.shared_cache_size = 0');
$node->restart;
is(statistics()->{size}, 0, 'no memory');
is(ask(predict('many', 3)), '300: 0 found, 0 brought', 'and no sharing');
# The default.
$node->append_conf('postgresql.conf', "#\n");
my $conf = slurp_file($node->data_dir . '/postgresql.conf');
$conf =~ s/^many_models\.shared_cache_size.*$//mg;
unlink $node->data_dir . '/postgresql.conf';
append_to_file($node->data_dir . '/postgresql.conf', $conf);
$node->restart;
is($node->safe_psql('postgres', 'SHOW many_models.shared_cache_size'), '64MB', 'the default');
is(ask(predict('many', $_)), "${_}00: 0 found, 1 brought", "group $_") for 1 .. 5;
$node->stop;

# Beside other libraries, on a primary and its standby.
my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1, extra => [ '--encoding=UTF8', '--no-locale' ]);
$primary->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_stat_statements, many_models'\nmany_models.shared_cache_size = 4MB\nshared_buffers = 32MB");
$primary->start;
$primary->safe_psql('postgres', q{
	CREATE EXTENSION many_models;
	CREATE TABLE t AS SELECT g, x, 100 * g + x + x * 7 % 3 / 10.0 AS y FROM generate_series(1, 1200) AS g, generate_series(0, 6) AS x;
	SELECT FROM many_models.train_many_models('many', 't', '{g}', 'y', '{x}')});
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
$primary->wait_for_catchup($standby);
is(ask(predict('many', 3), node => $standby), '300: 0 found, 1 brought', 'on a standby');
is(ask(predict('many', 3), node => $standby), '300: 1 found, 0 brought', 'the same again');
my $reader = $standby->background_psql('postgres');
is($reader->query(predict('many', 3)), '300', 'a session of the standby');
my $writer = $primary->background_psql('postgres');
$writer->query_safe(q{BEGIN; UPDATE t SET y = y + 10; SELECT FROM many_models.train_many_models('many')});
$primary->safe_psql('postgres', 'CREATE TABLE more ()');
$primary->wait_for_catchup($standby);
is($reader->query(predict('many', 3)), '300', 'a version that is not committed on the primary');
$writer->query_safe('COMMIT');
$primary->wait_for_catchup($standby);
is($reader->query(predict('many', 3)), '310', 'committed');
is(ask(predict('many', 3), node => $standby), '310: 1 found, 0 brought', 'for all sessions');
$primary->safe_psql('postgres', q{SELECT FROM many_models.promote_models('many', 1)});
$primary->wait_for_catchup($standby);
is($reader->query(predict('many', 3)), '300', 'a promotion on the primary');
is(ask(predict('many', 4), node => $standby), '400: 0 found, 1 brought', 'in a new session');
$primary->safe_psql('postgres', q{SELECT FROM many_models.rollback_models('many')});
$primary->wait_for_catchup($standby);
is($reader->query(predict('many', 3)), '310', 'taken back');
$primary->safe_psql('postgres', q{SELECT many_models.drop_models('many', 2)});
$primary->wait_for_catchup($standby);
is($reader->query(predict('many', 3)), '300', 'dropped on the primary');
$writer->quit;
$reader->quit;
$primary->stop;
$standby->promote;
is(ask(predict('many', 3), node => $standby), '300: 1 found, 0 brought', 'the standby promoted');
$standby->safe_psql('postgres', q{UPDATE t SET y = y + 20; SELECT FROM many_models.train_many_models('many')});
is(ask(predict('many', 3), node => $standby), '330: 0 found, 1 brought', 'and trained');
$standby->stop;
done_testing();
