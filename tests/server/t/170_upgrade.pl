# To a newer PostgreSQL, by pg_upgrade and by its pg_dump: the registry is the same one, models score the
# same bits, roles see what they saw, and life goes on: training, promoting, refreshing, retention, a paused
# background run, dropping.
#
# Needs a newer PostgreSQL: tools/test builds the extension for the one whose pg_config is named by
# MANY_NEW_PG_CONFIG, and gives its programs in MANY_NEW_BINDIR.
use strict;
use warnings;

use File::Basename;
use ManyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'the module is not built' unless module_is_built();
plan skip_all => 'no newer PostgreSQL: MANY_NEW_PG_CONFIG names none (docs/development.md)' unless $ENV{MANY_NEW_BINDIR};

my $old_bin = `pg_config --bindir`;
chomp $old_bin;
my $old = start_node('old', shared_buffers => '64MB');
my $new = PostgreSQL::Test::Cluster->new('new', install_path => dirname($ENV{MANY_NEW_BINDIR}));
note 'from ' . $old->pg_version . ' to ' . $new->pg_version;
plan skip_all => 'MANY_NEW_PG_CONFIG names ' . $new->pg_version . ', not newer than ' . $old->pg_version
  unless $new->pg_version > $old->pg_version;

# --- What there is before -------------------------------------------------------------------------

my $session = parallel_settings() . 'SET many_models.commit_interval = 0; ';
my @alice = (extra_params => [ '-U', 'alice' ]);
my $paused_call = q{'t', '{g}', 'y', '{x,z}', algorithm => 'lasso', options => '{"lambda": "auto", "cv_folds": 5}'};
$old->safe_psql('postgres', q{
	CREATE ROLE alice LOGIN; CREATE ROLE carol LOGIN; CREATE ROLE dora LOGIN;
	GRANT CREATE ON SCHEMA public TO alice;
	SELECT many_models.grant_usage('alice');
	ALTER ROLE alice SET many_models.max_workers = 3;
	CREATE TABLE t AS SELECT i % 1300 AS g, 'Nr "' || i % 13 || '"' AS "a key", (i * 7 % 101)::float8 AS x, sin(i) AS z,
		CASE WHEN i % 1300 = 9 THEN float8 'NaN' ELSE i * 13 % 37 + cos(i) END AS y, 'c' || i % 3 AS c,
		date '2025-01-01' + i / 1300 AS day
	FROM generate_series(1, 26000) AS i;
	ALTER TABLE t ADD COLUMN id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY;
	ANALYZE t;
	GRANT SELECT ON t TO alice;
	SELECT FROM many_models.train_many_models('big', 't', '{g}', 'y', '{x,z}', tags => '{"a": 1}');
	SELECT FROM many_models.train_many_models('big');
	SELECT FROM many_models.train_many_models('dropped', 't', '{g}', 'y', '{x}');
	SELECT FROM many_models.drop_models('dropped');
	SELECT FROM many_models.train_many_models('fresh', 't', '{g}', 'y', '{x,z}');
	SELECT FROM many_models.refresh_many_models('fresh');
	SET ROLE alice;
	SELECT FROM many_models.train_many_models('alice''s "set"', 'SELECT * FROM t WHERE g < 50', '{a key}', 'y', '{x,z,c}',
		algorithm => 'elastic_net', time_column => 'day', options => '{"holdout": {"rows": 3}, "lambda": 0.01}');
	SELECT FROM many_models.score_many_models('alice''s "set"', 'SELECT * FROM t WHERE g < 50');
	RESET ROLE;
	SELECT FROM many_models.promote_models('big');
	SELECT FROM many_models.grant_model_set('big', 'dora', 'read', '{"g": 7}');
	SELECT FROM many_models.set_retention('fresh', keep_versions => 5);
	SELECT FROM many_models.score_many_models('big');
	SELECT FROM many_models.evaluate_many_models('big', 't', 'big_predictions', '{id}', period => NULL);
	SELECT many_models.set_retention('big', keep_versions => 1);
	SELECT many_models.grant_model_set('fresh', 'dora', 'read', '{"g": 3}');
	SELECT FROM many_models.score_many_models('fresh', options => '{"row_security": true}');
	GRANT SELECT ON fresh_predictions TO dora;
	CREATE TABLE visits AS SELECT i % 6 AS shop, date '2025-01-01' + i / 6 AS day, 20 + i / 6 % 7 + 5 * cos(i) AS n FROM generate_series(0, 599) AS i;
	SELECT FROM many_models.train_many_models('series', 'visits', '{shop}', 'n', algorithm => 'ensemble', time_column => 'day',
		options => '{"candidates": ["holt_winters", "theta", "arima"], "interval": "conformal", "refresh": "update"}');
	CREATE TABLE ledger AS SELECT g, x, y, day FROM t WHERE g < 20;
	SELECT FROM many_models.train_many_models('ledger', 'ledger', '{g}', 'y', '{x}', time_column => 'day', options => '{"append_only": true}')});

# A background run, paused between its slices: its tables are no partitions yet.
my $whole = $old->safe_psql('postgres', $session . "SELECT run_id FROM many_models.train_many_models('whole', $paused_call)");
my $paused = $old->safe_psql('postgres', $session . "SELECT many_models.start_training('paused', $paused_call)");
$old->poll_query_until('postgres', "SELECT buckets_done >= 1 FROM many_models.background_runs WHERE run_id = $paused");
$old->safe_psql('postgres', "SELECT many_models.pause_run($paused)");
is($old->safe_psql('postgres', "SELECT many_models.wait_for_run($paused)"), 'paused', 'a background run is paused');

# Everything a model can say, bit by bit.
my $features = q{'{"x": 17.25, "z": 0.125}'};
my %answers = (
	'predict' => qq{SELECT g, many_models.predict('big', jsonb_build_object('g', g), $features) FROM generate_series(0, 1299) AS g},
	'predict_interval' => qq{SELECT g, p FROM generate_series(0, 1299) AS g,
		many_models.predict_interval('big', jsonb_build_object('g', g), $features, 0.9) AS p},
	'predict a categorical' => q{SELECT k, c, many_models.predict('alice''s "set"', jsonb_build_object('a key', k),
			jsonb_build_object('x', 5, 'z', 0.3, 'c', c))
		FROM (SELECT DISTINCT "a key", c FROM t WHERE g < 50) AS s (k, c)},
	'forecast' => q{SELECT f FROM generate_series(0, 5) AS shop, many_models.forecast('series', jsonb_build_object('shop', shop), 14, 0.8, quantiles => '{0.1,0.5,0.95}') AS f},
	'a score' => q{SELECT id, g, prediction, lower, upper, model_id FROM big_predictions
		WHERE run_id = (SELECT max(run_id) FROM big_predictions)},
	'the aggregate fit' => q{SELECT g, many_models.fit('{}', y, ARRAY[x, z]) FROM t GROUP BY g},
	'coefficients' => q{SELECT c FROM many_models.coefficients AS c},
	'production' => q{SELECT p FROM many_models.production_models AS p},
	'metrics' => q{SELECT m FROM many_models.metrics AS m},
	'what retention would drop' => q{SELECT model_set, what, version, run_id, action FROM many_models.apply_retention(dry_run => true)});

# What others than the owner see: alice's groups but one, in which a target is NaN; what dora was granted.
my %visible = (alice => q{alice's "set"|12}, carol => '', dora => "big|2\nfresh|1");
sub check_rights
{
	my ($node, $database, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	for my $role (sort keys %visible)
	{
		is($node->safe_psql($database, q{SELECT model_set, count(*) FROM many_models.models GROUP BY model_set ORDER BY model_set},
				extra_params => [ '-U', $role ]),
			$visible{$role}, "$what: $role sees what she owns or was granted");
	}
	is($node->safe_psql($database, 'SELECT DISTINCT g FROM fresh_predictions', extra_params => [ '-U', 'dora' ]), '3', "$what: of predictions too");
	is($node->safe_psql($database, 'SHOW many_models.max_workers', @alice), '3', "$what: a setting of a role");
	return;
}
check_rights($old, 'postgres', 'before');

sub answers_of
{
	my ($node, $database) = @_;
	return {
		map {
			$_ => $node->safe_psql($database,
				qq{SELECT count(*), md5(string_agg(a::text, chr(10) ORDER BY a::text COLLATE "C")) FROM ($answers{$_}) AS a})
		} keys %answers };
}

my $contents = database_contents($old, 'postgres');
my $answers = answers_of($old, 'postgres');
like($contents, qr/^relation many_models\.model_store_r\d+\|r .*t FOR VALUES IN/m, 'there are partitions of runs');
like($contents, qr/^relation many_models\.model_store_r$paused\|r .*f \S*$/m, 'and one that is none yet');
unlike($answers->{$_}, qr/^0\|/, "$_: there is something to compare") for sort keys %answers;
my ($last_run, $last_model) = split /\|/, $old->safe_psql('postgres',
	'SELECT max(r.run_id), (SELECT max(model_id) FROM many_models.model_store) FROM many_models.runs AS r');
my $big = $old->safe_psql('postgres', q{SELECT min(run_id) FROM many_models.runs WHERE model_set = 'big'});
my $checksums = $old->safe_psql('postgres', 'SHOW data_checksums');
$old->stop;

# --- pg_upgrade -----------------------------------------------------------------------------------

# upgrade_to(node, options): makes the new cluster from the old one, and starts it.
sub upgrade_to
{
	my ($node, @options) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	# From 18 on initdb switches checksums on; pg_upgrade wants both alike.
	my @init = ('--encoding=UTF8', '--no-locale');
	push @init, '--no-data-checksums' if $node->pg_version >= 18 && $checksums eq 'off';
	$node->init(extra => \@init);
	$node->append_conf('postgresql.conf', "max_worker_processes = 16\nautovacuum = off\ndynamic_shared_memory_type = mmap");
	my @upgrade = (
		'pg_upgrade', '--no-sync', '-j', '2', '-d', $old->data_dir, '-D', $node->data_dir, '-b', $old_bin,
		'-B', $ENV{MANY_NEW_BINDIR}, '-s', $node->host, '-p', $old->port, '-P', $node->port, @options);
	chdir PostgreSQL::Test::Utils::tempdir();  # it writes scripts there
	$node->command_ok([ @upgrade, '--check' ], "pg_upgrade @options --check");
	$node->command_ok(\@upgrade, "pg_upgrade @options");
	$node->start;
	return;
}

# differences(got, expected): the lines that are not the same, so that a failure can be read.
sub differences
{
	my ($got, $expected) = map { { map { $_ => 1 } split /\n/ } } @_;
	return join "\n", (map { "- $_" } grep { !$got->{$_} } sort keys %$expected),
	  (map { "+ $_" } grep { !$expected->{$_} } sort keys %$got);
}

sub check_same
{
	my ($node, $database, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(differences(database_contents($node, $database), $contents), '', "$what: the same registry, tables and privileges");
	my $now = answers_of($node, $database);
	is($now->{$_}, $answers->{$_}, "$what: $_: the same bits") for sort keys %answers;
	check_rights($node, $database, $what);
	return;
}

sub check_life
{
	my ($node, $database, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $sql = sub { return $node->safe_psql($database, @_); };
	is( $sql->(q{SELECT rows_read FROM many_models.score_many_models('big')}), '26000', "$what: scoring goes on");
	is(answers_of($node, $database)->{'a score'}, $answers->{'a score'}, "$what: a new score has the same bits");
	is($sql->(q{SELECT version, trained, failed FROM many_models.train_many_models('big')}), '3|1299|1', "$what: so does training");
	is( $sql->(qq{SELECT bool_and(model_id > $last_model), bool_and(run_id > $last_run) FROM many_models.models
			WHERE model_set = 'big' AND version = 3}),
		't|t', "$what: with ids of its own");
	is( $sql->(q{SELECT count(*) FROM many_models.model_store AS a JOIN many_models.model_store AS b USING (partition_key)
			JOIN many_models.runs AS ra ON ra.run_id = a.run_id JOIN many_models.runs AS rb ON rb.run_id = b.run_id
			WHERE ra.model_set = 'big' AND ra.version = 2 AND rb.model_set = 'big' AND rb.version = 3
			  AND a.model::text = b.model::text}),
		'1299', "$what: the same bits, trained again");
	is($sql->(q{SELECT trained FROM many_models.refresh_many_models('fresh')}), '0', "$what: a refresh knows the fingerprints");
	$sql->(q{INSERT INTO visits SELECT i % 6, date '2025-01-01' + i / 6, 20 + i / 6 % 7 + 5 * cos(i) FROM generate_series(600, 611) AS i});
	$sql->(q{SELECT FROM many_models.refresh_many_models('series')});
	is($sql->(q{SELECT details ->> 'updated', details ->> 'trained_again' FROM many_models.runs WHERE model_set = 'series' ORDER BY run_id DESC LIMIT 1}), '6|0', "$what: forecasters are moved forward");
	$sql->(q{INSERT INTO ledger SELECT g, x + 1, y, day + 100 FROM ledger});
	is($sql->(q{SELECT trained, failed, rows_read FROM many_models.refresh_many_models('ledger')}), '19|1|400', "$what: an append-only set reads the new rows alone");
	$sql->(q{SELECT FROM many_models.train_many_models('ledger again', 'ledger', '{g}', 'y', '{x}', time_column => 'day', options => '{"append_only": true}')});
	is($sql->(q{SELECT count(*) FROM many_models.model_store AS a JOIN many_models.model_store AS b USING (partition_key)
			JOIN many_models.runs AS ra ON ra.run_id = a.run_id JOIN many_models.runs AS rb ON rb.run_id = b.run_id
			WHERE ra.model_set = 'ledger' AND ra.version = 2 AND rb.model_set = 'ledger again' AND a.model::text = b.model::text}),
		'19', "$what: and comes to what all rows come to");
	is($sql->(q{SELECT version FROM many_models.train_many_models('alice''s "set"')}, @alice), '2', "$what: alice trains");
	is($sql->(q{SELECT count(*) > 0 FROM "alice's ""set""_models" WHERE version = 2}, @alice), 't', "$what: her view has it");

	is($sql->(q{SELECT promoted, production FROM many_models.promote_models('big')}), '1299|1299', "$what: a promotion");
	is($sql->(q{SELECT DISTINCT version FROM many_models.production_models WHERE model_set = 'big'}), '3', "$what: is in force");
	$sql->(q{SELECT FROM many_models.rollback_models('big')});
	is(answers_of($node, $database)->{'predict'}, $answers->{'predict'}, "$what: and taken back");

	$sql->($session . "SELECT many_models.resume_run($paused)");
	is($sql->("SELECT many_models.wait_for_run($paused)"), 'succeeded', "$what: the paused run goes on");
	is($sql->(fingerprint($paused)), $sql->(fingerprint($whole)), "$what: to the result of a whole one");

	is($sql->("SELECT count(*) FROM pg_class WHERE relname = 'model_store_r$big'"), '1', "$what: a version with a partition of its own");
	$sql->(q{SELECT FROM many_models.apply_retention('big')});
	is($sql->(q{SELECT string_agg(version::text, ' ' ORDER BY version) FROM many_models.runs WHERE model_set = 'big' AND kind = 'train'}), '2 3',
		"$what: is dropped by retention, not the one in production");
	is($sql->("SELECT count(*) FROM pg_class WHERE relname = 'model_store_r$big'"), '0', "$what: with its partition");
	is($sql->(q{SELECT sum(many_models.drop_models(model_set)) > 5000 FROM many_models.model_sets}), 't', "$what: all are dropped");
	is($sql->(q{SELECT relname FROM pg_class WHERE relnamespace = 'many_models'::regnamespace AND relkind = 'r' AND relname ~ '\d'}),
		'', "$what: nothing is left");
	return;
}

upgrade_to($new);
check_same($new, 'postgres', 'pg_upgrade');

# --- The new pg_dump ------------------------------------------------------------------------------

# pg_upgrade copied: the old server still works, and is dumped as the manual says, by the new programs.
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump';
$old->start;
$new->command_checks_all([ 'pg_dump', '-Fc', '--no-sync', '-f', $dump, '-d', $old->connstr('postgres') ],
	0, [qr/^$/], [qr/^$/], 'the new pg_dump reads the old server');
$old->stop;
$new->safe_psql('postgres', 'CREATE DATABASE dumped');
$new->command_checks_all([ 'pg_restore', '-j', '2', '-d', 'dumped', $dump ],
	0, [qr/^$/], [qr/^$/], 'pg_restore without a complaint');
check_same($new, 'dumped', 'dump and restore');
check_life($new, 'dumped', 'dump and restore');
check_life($new, 'postgres', 'pg_upgrade');
$new->stop;

# --- pg_upgrade without a copy --------------------------------------------------------------------

my $linked = PostgreSQL::Test::Cluster->new('linked', install_path => dirname($ENV{MANY_NEW_BINDIR}));
upgrade_to($linked, '--link');
check_same($linked, 'postgres', 'pg_upgrade --link');
$linked->stop;
done_testing();
