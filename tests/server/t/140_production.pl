# What is in production outlives a crash, is on a standby as soon as its promotion is replayed, and in a
# dump: with its history, so that a restored database can go back. Everywhere it predicts the same bits, for whom it
# was granted to.
use strict;
use warnings;

use ManyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'the module is not built' unless module_is_built();

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1, extra => [ '--encoding=UTF8', '--no-locale' ]);
$primary->append_conf('postgresql.conf', "max_worker_processes = 8\nshared_buffers = 32MB\nautovacuum = off");
$primary->start;
$primary->safe_psql('postgres', q{
	CREATE EXTENSION many_models;
	CREATE ROLE alice LOGIN; CREATE ROLE carol LOGIN;
	SELECT many_models.grant_usage('alice');
	CREATE TABLE t AS SELECT i % 1200 AS g, i * 7 % 101 AS x, i * 13 % 37 AS y FROM generate_series(1, 24000) AS i;
	GRANT SELECT ON t TO alice;
	SELECT FROM many_models.train_many_models('big', 't', '{g}', 'y', '{x}', options => '{"holdout": {"rows": 4}}');
	SELECT FROM many_models.promote_models('big');
	UPDATE t SET y = y + 1000;
	SELECT FROM many_models.train_many_models('big');
	SELECT many_models.set_drift_threshold('big', 2, 0.5, 3);
	SELECT many_models.grant_model_set('big', 'carol', 'score', '[{"g": 7}, {"g": 1100}]');
	SELECT many_models.grant_model_set('big', 'alice', 'promote');
	SET ROLE alice;
	SELECT FROM many_models.train_many_models('small', 'SELECT * FROM t WHERE g < 5', '{g}', 'y', '{x}', options => '{"holdout": {"rows": 4}}');
	SELECT FROM many_models.promote_models('small', rule => 'key <> ''{"g": 4}''');
	SELECT FROM many_models.train_many_models('small')});
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
$primary->wait_for_catchup($standby);

# --- Standby --------------------------------------------------------------------------------------

my $predict = q{SELECT many_models.predict('big', '{"g": 7}', '{"x": 50}')};
my $state = q{SELECT model_set, version, count(*), count(rmse) FROM many_models.production_models GROUP BY 1, 2 ORDER BY 1, 2};
# The bits of all predictions of both sets, and of the models behind them.
my $bits = q{SELECT md5(string_agg(encode(float8send(p.prediction) || float8send(p.lower), 'hex') || ' ' || p.model_version, ',' ORDER BY s, g))
	FROM unnest('{big,small}'::text[]) AS s, generate_series(0, 1203) AS g,
	many_models.predict_interval(s, jsonb_build_object('g', g), '{"x": 50.3}') AS p WHERE p.prediction IS NOT NULL};
my $in_use = q{SELECT count(*), md5(string_agg(concat_ws(' ', model_set, partition_key, model_id, version, in_production, model), ',' ORDER BY model_set, model_id))
	FROM many_models.models_in_use};
# What carol, who may score with two groups, is told.
my $granted = q{SELECT string_agg(g || ':' || coalesce(many_models.predict('big', jsonb_build_object('g', g), '{"x": 50}') > 0, false), ' ' ORDER BY g)
	FROM unnest('{6,7,1100,1101}'::int[]) AS g};
sub follows
{
	my ($what) = @_;
	is($standby->safe_psql('postgres', $_), $primary->safe_psql('postgres', $_), "$what: the standby has the same") for $bits, $in_use;
	is($standby->safe_psql('postgres', $granted, extra_params => [ '-U', 'carol' ]), '6:false 7:true 1100:true 1101:false',
		"$what: grants hold there");
}
my $first = $primary->safe_psql('postgres', $predict);
cmp_ok($first, '<', 100, 'the first version is in production');
my $session = $standby->background_psql('postgres', on_error_stop => 0);
is($session->query_safe($predict), $first, 'on the standby too');
is($standby->safe_psql('postgres', $state), "big|1|1200|1200\nsmall|1|4|4", 'the view works there');
follows('first promotion');
my $first_bits = $primary->safe_psql('postgres', $bits);
my $writer = $primary->background_psql('postgres');
$writer->query_safe(q{BEGIN; SELECT promoted FROM many_models.promote_models('big', rule => 'candidate.rmse IS NOT NULL AND (key ->> ''g'')::int < 1050')});
$primary->wait_for_catchup($standby);
is($session->query_safe($predict), $first, 'a promotion under way is not seen');
$writer->query_safe('COMMIT');
$primary->wait_for_catchup($standby);
my $second = $session->query_safe($predict);
cmp_ok($second, '>', 900, 'a session of the standby follows when it is committed');
follows('second promotion');
isnt($primary->safe_psql('postgres', $bits), $first_bits, 'the bits tell the two apart');
$writer->query_safe(q{SELECT FROM many_models.rollback_models('big')});
$primary->wait_for_catchup($standby);
is($session->query_safe($predict), $first, 'and when it is rolled back');
follows('rollback');
is($primary->safe_psql('postgres', $bits), $first_bits, 'the bits are back');
$writer->query_safe(q{SELECT FROM many_models.rollback_models('big')});
$primary->wait_for_catchup($standby);
is($session->query_safe($predict), $second, 'and back again');
for my $call (q{promote_models('big')}, q{promote_models('big', dry_run => true)}, q{rollback_models('big')},
	q{prune_promotions('big')})
{
	my ($name) = $call =~ /^(\w+)/;
	is(sql_error($standby, "SELECT many_models.$call"), "25006: cannot execute $name() during recovery",
		"$call on a standby");
}
$session->quit;

# --- Crash ----------------------------------------------------------------------------------------

my $before = $primary->safe_psql('postgres', "$state; SELECT count(*) FROM many_models.promotions");
$writer->query_safe(q{BEGIN; SELECT promoted FROM many_models.promote_models('big'); SELECT withdrawn FROM many_models.rollback_models('small')});
kill_server($primary);
$primary->start;
is($primary->safe_psql('postgres', "$state; SELECT count(*) FROM many_models.promotions"), $before,
	'a promotion that a crash ended has not happened');
is($primary->safe_psql('postgres', $predict), $second, 'production is what it was');
is( $primary->safe_psql('postgres', q{SELECT promoted, kept FROM many_models.promote_models('big', rule => '(key ->> ''g'')::int < 1100')}),
	'50|1050', 'and the next promotion works');
$primary->safe_psql('postgres', q{SELECT FROM many_models.promote_models('small', rule => 'key = ''{"g": 4}''', dry_run => true)});
eval { $writer->quit };

# --- Dump and restore -----------------------------------------------------------------------------

# What a run over all rows predicts; models that are in production only are among those in use.
my $score = q{SELECT md5(string_agg(concat_ws(' ', g, encode(float8send(prediction), 'hex'), encode(float8send(upper), 'hex'), model_id, model_version, model_level), ',' ORDER BY g, x, prediction)) FROM scored};
my $run = q{SELECT failed FROM many_models.score_many_models('big', 't', 'scored', '{x}', options => '{"on_existing": "replace"}')};
$primary->safe_psql('postgres', q{SELECT many_models.drop_models('big', 1)});
is($primary->safe_psql('postgres', $run), '0', 'scoring with what is in production');
my $scored = $primary->safe_psql('postgres', $score);
my @contents = (
	$bits, $in_use, $score,
	q{SELECT string_agg(concat_ws(' ', model_set, grantee, privilege, keys), E'\n' ORDER BY model_set, grantee::text, privilege) FROM many_models.model_set_grants},
	q{SELECT string_agg(t::text, E'\n') FROM many_models.drift_thresholds AS t},
	q{SELECT count(*), min(error_threshold), max(psi_threshold) FROM many_models.drift WHERE model_set = 'big' AND in_production},
	map({ "SELECT count(*), md5(string_agg(s::text, E'\\n' ORDER BY s::text)) FROM many_models.$_ AS s" }
		qw(promotions production_sets production_runs production_store promotion_store production_models promotion_report)),
	q{SELECT last_value, is_called FROM many_models.promotion_id_seq},
	$predict,
	q{SELECT string_agg(relname || ' ' || relrowsecurity || ' ' || coalesce(relacl::text, '') || ' ' || coalesce(pg_get_expr(relpartbound, oid), ''), E'\n' ORDER BY relname)
	  FROM pg_class WHERE relnamespace = 'many_models'::regnamespace AND relname ~ 'promotion|production' AND relkind IN ('r', 'p', 'v')},
	q{SELECT string_agg(indexdef, E'\n' ORDER BY indexdef) FROM pg_indexes WHERE schemaname = 'many_models' AND tablename ~ 'promotion|production'},
	q{SELECT string_agg(conrelid::regclass || ' ' || pg_get_constraintdef(oid), E'\n' ORDER BY conrelid::regclass::text, conname) FROM pg_constraint
	  WHERE connamespace = 'many_models'::regnamespace AND conrelid::regclass::text ~ 'promotion|production'});
my @original = map { $primary->safe_psql('postgres', $_) } @contents;
cmp_ok(scalar(grep { $_ eq '' } @original), '==', 0, 'there is something to compare');
my $directory = PostgreSQL::Test::Utils::tempdir();
$primary->command_ok([ 'pg_dump', '-Fd', '-j', '2', '--no-sync', '-f', "$directory/dump", 'postgres' ], 'pg_dump');
for my $database ('restored', 'again')
{
	$primary->safe_psql('postgres', "CREATE DATABASE $database");
	$primary->command_checks_all([ 'pg_restore', '-j', '2', '-d', $database, "$directory/dump" ],
		0, [qr/^$/], [qr/^$/], "$database: pg_restore without a complaint");
	is($primary->safe_psql($database, $contents[$_]), $original[$_], "$database: $contents[$_]") for 0 .. $#contents;
	for my $view (qw(promotions production_models promotion_report production_store))
	{
		my $count = "SELECT count(*) FROM many_models.$view";
		is($primary->safe_psql($database, $count, extra_params => [ '-U', $_ ]),
			$primary->safe_psql('postgres', $count, extra_params => [ '-U', $_ ]), "$database: $_ sees as much of $view")
		  for 'alice', 'carol';
	}
	is($primary->safe_psql($database, $granted, extra_params => [ '-U', 'carol' ]), '6:false 7:true 1100:true 1101:false', "$database: grants hold");
	is($primary->safe_psql($database, $run), '0', "$database: scoring again");
	is($primary->safe_psql($database, $score), $scored, "$database: scores the same bits");
	# Life goes on.
	is($primary->safe_psql($database, q{SELECT promoted, withdrawn FROM many_models.rollback_models('big')}),
		'50|0', "$database: rollback");
	is($primary->safe_psql($database, q{SELECT promoted, kept FROM many_models.promote_models('big')}),
		'150|1050', "$database: promotion");
	is( $primary->safe_psql($database, q{SELECT promotion_id > max FROM (SELECT max(promotion_id) FROM many_models.promotions WHERE kind = 'dry_run') AS m,
			many_models.promotions WHERE model_set = 'big' ORDER BY promotion_id DESC LIMIT 1}),
		't', "$database: with an id of its own");
	is($primary->safe_psql($database, q{SELECT promoted FROM many_models.promote_models('small')}, extra_params => [ '-U', 'alice' ]),
		'5', "$database: by the owner of a set");
	is($primary->safe_psql($database, q{SELECT many_models.prune_promotions('big', 1)}), '1250', "$database: pruning");
	is($primary->safe_psql($database, $state), "big|2|1200|1200\nsmall|2|5|5", "$database: what is in production");
	if ($database eq 'restored')    # what is restored can be dumped again
	{
		@original = map { $primary->safe_psql($database, $_) } @contents;
		$primary->command_ok([ 'pg_dump', '-Fc', '--no-sync', '-f', "$directory/second", $database ], 'pg_dump of the copy');
		$primary->safe_psql('postgres', 'CREATE DATABASE copy');
		$primary->command_checks_all([ 'pg_restore', '-d', 'copy', "$directory/second" ], 0, [qr/^$/], [qr/^$/], 'pg_restore of the copy');
		is($primary->safe_psql('copy', $contents[$_]), $original[$_], "copy: $contents[$_]") for 0 .. $#contents;
		@original = map { $primary->safe_psql('postgres', $_) } @contents;
	}
	$primary->safe_psql($database, q{SELECT many_models.drop_models('big'), many_models.drop_models('small')});
	is($primary->safe_psql($database, q{SELECT count(*) FROM pg_class WHERE relname ~ '_store_[pr]\d'}), '0', "$database: dropped with all partitions");
}

$standby->stop;
$primary->stop;
done_testing();
