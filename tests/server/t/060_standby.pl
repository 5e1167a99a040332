# On a hot standby models are read and used; what writes is refused.
use strict;
use warnings;

use ManyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'the module is not built' unless module_is_built();

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1, extra => [ '--encoding=UTF8', '--no-locale' ]);
$primary->append_conf('postgresql.conf', "max_worker_processes = 8\nshared_buffers = 32MB");
$primary->start;
$primary->safe_psql('postgres', q{
	CREATE EXTENSION many_models;
	CREATE TABLE t AS SELECT i % 1200 AS g, i * 7 % 101 AS x, i * 13 % 37 AS y FROM generate_series(1, 12000) AS i;
	SELECT FROM many_models.train_many_models('t', 't', '{g}', 'y', '{x}');
	CREATE TABLE visits AS SELECT i % 6 AS shop, date '2025-01-01' + i / 6 AS day, 20 + i / 6 % 7 + 5 * cos(i) AS n FROM generate_series(0, 599) AS i;
	SELECT FROM many_models.train_many_models('series', 'visits', '{shop}', 'n', algorithm => 'ensemble', time_column => 'day',
		options => '{"candidates": ["holt_winters", "theta", "arima"], "interval": "conformal", "refresh": "update"}');
});
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
$primary->wait_for_catchup($standby);

my $predict = q{SELECT many_models.predict('t', '{"g": 7}', '{"x": 50}')};
my $on_primary = $primary->safe_psql('postgres', $predict);
isnt($on_primary, '', 'a prediction on the primary');
is($standby->safe_psql('postgres', $predict), $on_primary, 'the same on the standby');
is( $standby->safe_psql('postgres', q{SELECT count(*), count(rmse) FROM many_models.metrics WHERE split = 'holdout'}),
	$primary->safe_psql('postgres', q{SELECT count(*), count(rmse) FROM many_models.metrics WHERE split = 'holdout'}),
	'the views work there');
is($standby->safe_psql('postgres', 'SELECT count(*) FROM many_models.run_progress'), '0', 'run_progress too');
is( $standby->safe_psql('postgres', q{
		SELECT count(*), count(m) FROM (SELECT many_models.fit('{}', y, ARRAY[x]::float8[]) AS m FROM t GROUP BY g) AS f}),
	'1200|1200', 'the aggregate fit too');

is( $standby->safe_psql('postgres', q{
		SELECT groups, trainable, rows, estimated_seconds > 0 FROM many_models.plan_training('t', workers => 2)}),
	'1200|1200|12000|t', 'a training is planned there');
is( $standby->safe_psql('postgres', 'SELECT train_runs, groups_trained, cpu_seconds > 0 FROM many_models.stat_model_sets WHERE model_set = \'t\''),
	'1|1200|t', 'counters are read there');
is($standby->safe_psql('postgres', 'SELECT count(*) FROM many_models.drift'), '1206', 'and drift');

# What applications ask, and what moves a version elsewhere: the same bits as on the primary.
my $all = q{SELECT count(*), md5(string_agg(a::text, chr(10) ORDER BY a::text)) FROM (%s) AS a};
my %answers = (
	'predict_interval' => q{SELECT g, p FROM generate_series(0, 1199) AS g, many_models.predict_interval('t', jsonb_build_object('g', g), '{"x": 50}', 0.9) AS p},
	'predict_many' => q{SELECT many_models.predict_many('t', array_agg(jsonb_build_object('g', g)), array_agg('{"x": 50}'::jsonb)) FROM generate_series(0, 1199) AS g},
	'forecast' => q{SELECT f FROM generate_series(0, 5) AS shop, many_models.forecast('series', jsonb_build_object('shop', shop), 14, 0.8, quantiles => '{0.1,0.5,0.95}') AS f},
	'export_models' => q{SELECT * FROM many_models.export_models('t')},
	'model_definition' => q{SELECT many_models.model_definition(s), many_models.model_definition_sql(s) FROM unnest('{t,series}'::text[]) AS s},
	'model_set_sql' => q{SELECT many_models.model_set_sql('t')});
for my $what (sort keys %answers)
{
	my $question = sprintf $all, $answers{$what};
	my $answer = $primary->safe_psql('postgres', $question);
	unlike($answer, qr/^0\|/, "$what: there is something to compare");
	is($standby->safe_psql('postgres', $question), $answer, "$what on the standby");
}

for my $call (q{train_many_models('t')}, q{train_many_models('u', 't', '{g}', 'y')},
	q{score_many_models('t')}, q{drop_models('t')}, q{start_training('t')}, q{start_scoring('t')}, q{refresh_many_models('t')},
	q{promote_models('t')}, q{run_pipeline('t')}, q{evaluate_many_models('t')}, q{set_drift_threshold('t')})
{
	my ($name) = $call =~ /^(\w+)/;
	is(sql_error($standby, "SELECT many_models.$call"), "25006: cannot execute $name() during recovery",
		"$call on a standby");
}

# A session of the standby that has the models cached sees the next version as soon as it is replayed,
# and the end of the set.
my $session = $standby->background_psql('postgres', on_error_stop => 0);
is($session->query_safe($predict), $on_primary, 'a session of the standby');
$primary->safe_psql('postgres', q{
	UPDATE t SET y = y + 1000;
	SELECT FROM many_models.train_many_models('t')});
$primary->wait_for_catchup($standby);
my $after = $primary->safe_psql('postgres', $predict);
cmp_ok($after, '>', $on_primary + 500, 'another version predicts something else');
is($session->query_safe($predict), $after, 'and the same session of the standby follows');

my $forecasts = sprintf $all, $answers{forecast};
my $earlier = $session->query_safe($forecasts);
$primary->safe_psql('postgres', q{INSERT INTO visits SELECT i % 6, date '2025-01-01' + i / 6, 20 + i / 6 % 7 + 5 * cos(i) FROM generate_series(600, 611) AS i} . q{; SELECT FROM many_models.refresh_many_models('series')});
$primary->wait_for_catchup($standby);
my $later = $primary->safe_psql('postgres', $forecasts);
isnt($later, $earlier, 'forecasters that were moved forward forecast later days');
is($session->query_safe($forecasts), $later, 'the session of the standby too');

$standby->promote;
is($session->query_safe($predict), $after, 'still so after a promotion');
is($standby->safe_psql('postgres', q{SELECT version, trained FROM many_models.train_many_models('t')}),
	'3|1200', 'a promoted standby trains');
$standby->safe_psql('postgres', q{SELECT many_models.drop_models('t')});
like(($session->query($predict))[0] . $session->{stderr}, qr/model set "t" does not exist/,
	'a session notices that the set is gone');
$session->{stderr} = '';
$session->quit;

$standby->stop;
$primary->stop;
done_testing();
