# A dump holds everything: definitions, runs, models in shared and in own partitions, failures,
# predictions, privileges. In the restored database life goes on.
use strict;
use warnings;

use ManyTest;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'the module is not built' unless module_is_built();

my $node = start_node('dump_restore');
$node->safe_psql('postgres', q{
	CREATE ROLE alice; CREATE ROLE bob LOGIN; CREATE ROLE carol LOGIN; CREATE ROLE dora LOGIN; CREATE ROLE gone;
	ALTER ROLE alice LOGIN;
	GRANT alice TO bob;
	GRANT CREATE ON SCHEMA public TO alice;
	SELECT many_models.grant_usage('alice');
	CREATE TABLE t AS SELECT i % 1300 AS g, 'Nr "' || i % 13 || '"' AS "a key", i * 7 % 101 AS x,
		CASE WHEN i % 1300 = 9 THEN float8 'NaN' ELSE i * 13 % 37 END AS y, 'c' || i % 3 AS c
	FROM generate_series(1, 26000) AS i;
	GRANT SELECT ON t TO alice;
	SELECT FROM many_models.train_many_models('big', 't', '{g}', 'y', '{x}', tags => '{"a": 1}');
	SELECT FROM many_models.train_many_models('big');
	SELECT FROM many_models.set_retention('big', 7, '90 days');
	CREATE TABLE a AS SELECT i % 20 AS g, i / 20 AS day, i * 7 % 101 AS x, i * 13 % 37 + i % 5 AS y FROM generate_series(1, 2000) AS i;
	SELECT FROM many_models.train_many_models('appended', 'a', '{g}', 'y', '{x}', time_column => 'day', options => '{"append_only": true}');
	CREATE TABLE visits AS SELECT i % 6 AS shop, date '2025-01-01' + i / 6 AS day, 20 + i / 6 % 7 + 5 * cos(i) AS n FROM generate_series(0, 599) AS i;
	SELECT FROM many_models.train_many_models('series', 'visits', '{shop}', 'n', algorithm => 'ensemble', time_column => 'day',
		options => '{"candidates": ["holt_winters", "theta", "arima"], "interval": "conformal", "refresh": "update"}');
	SELECT FROM many_models.train_many_models('dropped', 't', '{g}', 'y', '{x}');
	SELECT FROM many_models.drop_models('dropped');
	SET ROLE alice;
	SELECT FROM many_models.train_many_models('alice''s "set"', 'SELECT * FROM t WHERE g < 50', '{a key}', 'y', '{x,c}',
		options => '{"holdout": {"rows": 3}}');
	SELECT FROM many_models.score_many_models('alice''s "set"', 'SELECT * FROM t WHERE g < 50', id_columns => '{g,x}');
	SELECT FROM many_models.evaluate_many_models('alice''s "set"', 'SELECT DISTINCT ON ("a key", g, x) * FROM t', options => '{"features": true}');
	SELECT FROM many_models.set_drift_threshold('alice''s "set"', 2, 0.5, 3);
	SELECT FROM many_models.train_many_models('alice''s few', 'SELECT * FROM t WHERE g < 50', '{g}', 'y', '{x}');
	SELECT FROM many_models.train_many_models('alice''s few');
	SELECT FROM many_models.drop_models('alice''s few', 1);
	SELECT FROM many_models.score_many_models('alice''s "set"', 'SELECT * FROM t WHERE g < 50', 'closed', options => '{"row_security": true}');
	GRANT SELECT ON closed TO PUBLIC;
	SELECT FROM many_models.grant_model_set('alice''s "set"', 'dora', 'score', '[{"a key": "Nr \\"3\\""}, {"a key": "Nr \\"5\\""}]');
	SELECT FROM many_models.grant_model_set('alice''s "set"', 'dora', 'train');
	SELECT FROM many_models.revoke_model_set('alice''s "set"', 'dora', 'train');
	SELECT FROM many_models.grant_model_set('alice''s "set"', 'gone', 'all');
	RESET ROLE;
	DROP ROLE gone});

# What two databases must agree on.
my @contents = (
	q{SELECT md5(string_agg(s::text, E'\n' ORDER BY s::text)) FROM many_models.model_sets AS s},
	q{SELECT md5(string_agg(s::text, E'\n' ORDER BY s::text)) FROM many_models.runs AS s},
	q{SELECT * FROM many_models.retention},
	q{SELECT count(*), md5(string_agg(s::text, E'\n' ORDER BY s::text)) FROM many_models.model_store AS s},
	q{SELECT count(*), md5(string_agg(s::text, E'\n' ORDER BY s::text)) FROM many_models.failure_store AS s},
	q{SELECT count(*), md5(string_agg(s::text, E'\n' ORDER BY s::text)) FROM many_models.metrics AS s},
	q{SELECT count(*), md5(string_agg(s::text, E'\n' ORDER BY s::text)) FROM many_models.coefficients AS s},
	q{SELECT count(*), md5(string_agg(s::text, E'\n' ORDER BY s::text)) FROM big_models AS s},
	q{SELECT md5(string_agg(s::text, E'\n' ORDER BY s::text)) FROM "alice's ""set""_predictions" AS s},
	q{SELECT count(*), md5(string_agg(s::text, E'\n' ORDER BY s::text)) FROM many_models.evaluations AS s},
	q{SELECT count(*), md5(string_agg(s::text, E'\n' ORDER BY s::text)) FROM many_models.drift AS s},
	q{SELECT md5(string_agg(s::text, E'\n' ORDER BY s::text)) FROM many_models.drift_thresholds AS s},
	q{SELECT md5(string_agg(s::text, E'\n' ORDER BY s::text)) FROM many_models.dropped_runs AS s},
	q{SELECT count(*), md5(string_agg(s::text, E'\n' ORDER BY s::text)) FROM many_models.stat_model_sets AS s},
	q{SELECT md5(string_agg(s::text, E'\n' ORDER BY s::text)) FROM many_models.model_set_grants AS s},
	q{SELECT last_value, is_called FROM many_models.run_id_seq},
	q{SELECT last_value, is_called FROM many_models.model_id_seq},
	q{SELECT many_models.predict('big', '{"g": 7}', '{"x": 5}')},
	q{SELECT count(*), md5(string_agg(s::text, E'\n' ORDER BY s::text)) FROM (SELECT f FROM generate_series(0, 5) AS shop, many_models.forecast('series', jsonb_build_object('shop', shop), 14, 0.8, quantiles => '{0.1,0.5,0.95}') AS f) AS s},
	q{SELECT string_agg(relname || ' ' || relrowsecurity || ' ' || coalesce(relacl::text, '') || ' ' || coalesce(pg_get_expr(relpartbound, oid), ''), E'\n' ORDER BY relname)
	  FROM pg_class WHERE relnamespace = 'many_models'::regnamespace AND relkind IN ('r', 'p', 'v')},
	q{SELECT string_agg(tablename || ' ' || policyname || ' ' || roles::text || ' ' || qual, E'\n' ORDER BY tablename, policyname)
	  FROM pg_policies},
	q{SELECT string_agg(indexdef, E'\n' ORDER BY indexdef) FROM pg_indexes WHERE schemaname = 'many_models'},
	q{SELECT string_agg(p.oid::regprocedure || ' ' || (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(p.proacl) AS a)::text, E'\n' ORDER BY p.oid::regprocedure::text)
	  FROM pg_proc AS p WHERE pronamespace = 'many_models'::regnamespace AND proacl IS NOT NULL});
# pg_restore -j loads tables in any order, whatever their foreign keys.
is( $node->safe_psql('postgres', q{
		SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND connamespace = 'many_models'::regnamespace}),
	'0', 'no foreign key between tables whose rows are dumped');
my @original = map { $node->safe_psql('postgres', $_) } @contents;
cmp_ok(scalar(grep { $_ eq '' } @original), '==', 0, 'there is something to compare');
is($node->safe_psql('postgres', q{SELECT count(*) FROM many_models.model_store WHERE storage <> 0}),
	2 * 1299, 'two runs have partitions of their own');

sub check_restored
{
	my ($database, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	for my $i (0 .. $#contents)
	{
		is($node->safe_psql($database, $contents[$i]), $original[$i], "$what: $contents[$i]");
	}
	# What each role sees.
	for my $user ('alice', 'bob', 'carol', 'dora')
	{
		my @user = (extra_params => [ '-U', $user ]);
		for my $view (qw(many_models.model_sets many_models.runs many_models.model_store many_models.models many_models.metrics
			many_models.coefficients many_models.failures many_models.evaluations many_models.drift many_models.stat_model_sets
			many_models.model_set_grants closed))
		{
			my $count = "SELECT count(*) FROM $view";
			is($node->safe_psql($database, $count, @user), $node->safe_psql('postgres', $count, @user),
				"$what: $user sees as much of $view");
		}
	}
	is($node->safe_psql($database, 'SELECT count(*) FROM many_models.models', extra_params => [ '-U', 'carol' ]),
		'0', "$what: carol sees nothing");
	is( $node->safe_psql($database, q{SELECT count(*), min(partition_key ->> 'a key'), max(partition_key ->> 'a key') FROM many_models.models},
			extra_params => [ '-U', 'dora' ]),
		'2|Nr "3"|Nr "5"', "$what: dora sees two groups");
	is( $node->safe_psql($database, q{SELECT string_agg(DISTINCT "a key", ' ') FROM closed}, extra_params => [ '-U', 'dora' ]),
		'Nr "3" Nr "5"', "$what: and their predictions");
	# The OID of a role that is gone may be another role's in another cluster.
	is( $node->safe_psql($database, q{SELECT count(*) FROM many_models.grant_store WHERE grantee::oid NOT IN (SELECT oid FROM pg_roles)}),
		'0', "$what: no grant of a role that is gone");

	# Life goes on.
	my $last = $node->safe_psql($database, 'SELECT max(run_id), max(model_id) FROM many_models.model_store');
	my ($last_run, $last_model) = split /\|/, $last;
	is($node->safe_psql($database, q{SELECT version, status FROM many_models.refresh_many_models('big')}),
		'2|unchanged', "$what: a refresh knows the groups");
	$node->safe_psql($database, q{INSERT INTO a SELECT i % 20, i / 20, i * 7 % 101, i * 13 % 37 + i % 5 FROM generate_series(2020, 2100) AS i});
	my ($appended, $read) = split /\|/, $node->safe_psql($database, q{SELECT run_id, rows_read FROM many_models.refresh_many_models('appended')});
	is($read, 81, "$what: a refresh of an append-only set reads the new rows");
	my $again = $node->safe_psql($database, q{SELECT run_id FROM many_models.train_many_models('appended again', 'a', '{g}', 'y', '{x}', time_column => 'day', options => '{"append_only": true}')});
	is($node->safe_psql($database, fingerprint($appended)), $node->safe_psql($database, fingerprint($again)), "$what: and has the bits of a full training");
	$node->safe_psql($database, q{INSERT INTO visits SELECT i % 6, date '2025-01-01' + i / 6, 20 + i / 6 % 7 + 5 * cos(i) FROM generate_series(600, 611) AS i});
	is($node->safe_psql($database, q{SELECT version, trained FROM many_models.refresh_many_models('series')}), '2|6', "$what: a refresh of forecasters");
	is($node->safe_psql($database, q{SELECT details ->> 'updated', details ->> 'trained_again' FROM many_models.runs WHERE model_set = 'series' ORDER BY run_id DESC LIMIT 1}),
		'6|0', "$what: moves them forward");
	is($node->safe_psql($database, q{SELECT version, trained FROM many_models.train_many_models('big')}),
		'3|1299', "$what: training makes the next version");
	is( $node->safe_psql($database, qq{
			SELECT bool_and(model_id > $last_model), bool_and(run_id > $last_run) FROM many_models.models
			WHERE model_set = 'big' AND version = 3}),
		't|t', "$what: with ids of its own");
	is( $node->safe_psql($database, q{
			SELECT count(*) FROM many_models.model_store AS a JOIN many_models.model_store AS b USING (partition_key)
			JOIN many_models.runs AS ra ON ra.run_id = a.run_id JOIN many_models.runs AS rb ON rb.run_id = b.run_id
			WHERE ra.model_set = 'big' AND ra.version = 2 AND rb.model_set = 'big' AND rb.version = 3
			  AND a.model::text = b.model::text}),
		'1299', "$what: and the same models");
	is( $node->safe_psql($database, q{
			SELECT rows_read FROM many_models.score_many_models('alice''s "set"', 'SELECT * FROM t WHERE g < 50', id_columns => '{g,x}')},
			extra_params => [ '-U', 'alice' ]),
		'1000', "$what: scoring goes on");
	is( $node->safe_psql($database, q{SELECT many_models.drop_models('big', 1)}), '1299',
		"$what: a restored version can be dropped");
	is( $node->safe_psql($database, q{SELECT many_models.drop_models('big')}), 2 * 1299,
		"$what: and the set");
	is( $node->safe_psql($database, q{SELECT count(*) FROM pg_class WHERE relname ~ 'store_r\d'}), '0',
		"$what: with its partitions");
	return;
}

my $directory = PostgreSQL::Test::Utils::tempdir();
$node->command_ok([ 'pg_dump', '-Fc', '-f', "$directory/custom", 'postgres' ], 'pg_dump -Fc');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_checks_all([ 'pg_restore', '-d', 'restored', "$directory/custom" ],
	0, [qr/^$/], [qr/^$/], 'pg_restore without a complaint');
check_restored('restored', 'pg_restore');

# A plain dump by psql, as for an upgrade, with -j and the directory format, and once more from the
# restored database: what is restored can be dumped again.
$node->command_ok([ 'pg_dump', '-Fp', '--no-sync', '-f', "$directory/plain.sql", 'postgres' ], 'pg_dump -Fp');
$node->safe_psql('postgres', 'CREATE DATABASE plain');
$node->command_checks_all(
	[ 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-d', 'plain', '-f', "$directory/plain.sql" ],
	0, [qr/^$/], [qr/^$/], 'psql restores a plain dump without a complaint');
$node->command_ok([ 'pg_dump', '-Fd', '-j', '2', '--no-sync', '-f', "$directory/second", 'plain' ], 'pg_dump of the copy');
$node->safe_psql('postgres', 'CREATE DATABASE copy');
$node->command_checks_all([ 'pg_restore', '-j', '2', '-d', 'copy', "$directory/second" ],
	0, [qr/^$/], [qr/^$/], 'pg_restore of the copy without a complaint');
check_restored('copy', 'a copy of a copy');

# Parts of a dump.
for my $part ('--schema-only', '--data-only')
{
	$node->command_checks_all([ 'pg_dump', $part, '-f', "$directory/part.sql", 'postgres' ],
		0, [qr/^$/], [qr/^$/], "pg_dump $part");
}
$node->safe_psql('postgres', 'CREATE DATABASE shape');
$node->command_checks_all([ 'pg_restore', '--schema-only', '-d', 'shape', "$directory/custom" ],
	0, [qr/^$/], [qr/^$/], 'pg_restore --schema-only');
is( $node->safe_psql('shape', q{
		SELECT trained FROM many_models.train_many_models('new', 'SELECT i % 4 AS g, i % 5 AS x, i % 7 AS y FROM generate_series(1, 100) AS i', '{g}', 'y', '{x}')}),
	'4', 'the schema alone is usable');

$node->stop;
done_testing();
