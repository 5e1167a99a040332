# Events on the channel many_models: to sessions that listen, when a run commits, if they are turned on.
use strict;
use warnings;

use JSON::PP;
use ManyTest;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'the module is not built' unless module_is_built();

my $node = start_node('events');
$node->safe_psql('postgres', q{
	CREATE TABLE t AS SELECT i % 20 AS g, date '2025-01-01' + i / 20 AS day, (i * 7 % 101)::float8 AS x,
		CASE WHEN i % 20 < 3 THEN 'NaN'::float8 ELSE i * 13 % 37 + CASE WHEN i > 2000 THEN 500 ELSE 0 END END AS y
	FROM generate_series(0, 2399) AS i;
	CREATE DATABASE other});

my $listener = $node->background_psql('postgres');
$listener->query_safe('LISTEN many_models');

# What the listener has heard since it was asked last: the events in their order, decoded.
sub heard
{
	my $output = $listener->query_safe('SELECT 1');
	my @events = $output =~ /Asynchronous notification "many_models" with payload "(.*)" received/g;
	return map { decode_json($_) } @events;
}

my $train = q{SELECT FROM many_models.train_many_models('sales "7"', 'SELECT * FROM t WHERE day < ''2025-04-10''', '{g}', 'y', '{x}', time_column => 'day',
	options => '{"holdout": {"since": "2025-03-20"}}')};
$node->safe_psql('postgres', $train);
is(scalar(heard()), 0, 'silent unless turned on');

my $on = 'SET many_models.notify = on; ';
$node->safe_psql('postgres', "$on BEGIN; $train; ROLLBACK");
is(scalar(heard()), 0, 'a run that is rolled back is no event');
like(sql_error($node, qq{$on SELECT FROM many_models.train_many_models('sales "7"', options => '{"max_failed_fraction": 0.1}')}),
	qr/^22000/, 'a run that fails');
is(scalar(heard()), 0, 'is none either: notifications go with the transaction');

my $writer = $node->background_psql('postgres');
$writer->query_safe("$on BEGIN");
$writer->query_safe($train);
is(scalar(heard()), 0, 'nothing before the commit');
$writer->query_safe('COMMIT');
my @events = heard();
my $run = $node->safe_psql('postgres', q{SELECT max(run_id) FROM many_models.runs});
is_deeply($events[0],
	{ event => 'run_finished', model_set => 'sales "7"', run_id => $run, kind => 'train', version => 2, groups => 20, rows => 1980, failed => 3 },
	'the run, at its commit');
is_deeply($events[1],
	{ event => 'failed_fraction', model_set => 'sales "7"', run_id => $run, kind => 'train', version => 2, failed => 3, of => 20, fraction => 0.15, threshold => 0.1 },
	'and that more groups failed than the threshold');
is(scalar(@events), 2, 'nothing else');
$writer->quit;

$node->safe_psql('postgres', "$on SET many_models.notify_failed_fraction = 0.15; $train");
is(join(' ', map { $_->{event} } heard()), 'run_finished', 'not where the threshold is higher');

# Scoring: rows without a prediction count.
$node->safe_psql('postgres', "$on SELECT FROM many_models.score_many_models('sales \"7\"', 'SELECT * FROM t WHERE day >= ''2025-04-10''', 'p')");
@events = heard();
is(join(' ', map { "$_->{event}/$_->{kind}" } @events), 'run_finished/score failed_fraction/score', 'a scoring run');
is("$events[0]{groups} $events[0]{rows} $events[0]{failed} $events[1]{of}", '17 420 63 420', 'with its rows');

# Drift: the target moved.
$node->safe_psql('postgres', "$on SELECT FROM many_models.evaluate_many_models('sales \"7\"', 't', period => 'week')");
@events = heard();
my $drifted = $node->safe_psql('postgres', q{SELECT count(*) FROM many_models.drift WHERE drifted});
cmp_ok($drifted, '>', 0, 'drift was found');
$run = $node->safe_psql('postgres', q{SELECT max(run_id) FROM many_models.runs});
is_deeply(\@events,
	[ { event => 'drift', model_set => 'sales "7"', run_id => $run, kind => 'evaluate', groups => 20, drifted => $drifted } ],
	'an event says so');
$node->safe_psql('postgres', "$on SELECT many_models.set_drift_threshold('sales \"7\"', NULL, NULL);
	SELECT FROM many_models.evaluate_many_models('sales \"7\"', 't', period => 'week')");
is(scalar(heard()), 0, 'without drift there is none');

# A background run: its end, good or bad, with the settings of the session that started it.
my $failing = $node->safe_psql('postgres', "$on SELECT many_models.start_training('failing', 'SELECT g, 1 / (2400 - row_number() OVER ()) AS x, y FROM t', '{g}', 'y', '{x}')");
$failing = (split /\n/, $failing)[-1];
$node->poll_query_until('postgres', "SELECT status = 'failed' FROM many_models.background_runs WHERE run_id = $failing") or die 'it did not fail';
is_deeply([ heard() ], [ { event => 'run_failed', model_set => 'failing', run_id => $failing, kind => 'train', status => 'failed', sqlstate => '22012', resumable => JSON::PP::false } ],
	'a background run that fails');
my $good = $node->safe_psql('postgres', "$on SELECT many_models.start_training('good', 'SELECT * FROM t WHERE g > 5', '{g}', 'y', '{x}')");
$node->poll_query_until('postgres', "SELECT status = 'succeeded' FROM many_models.background_runs WHERE run_id = $good") or die 'it did not succeed';
is(join(' ', map { "$_->{event} $_->{run_id} $_->{groups}" } heard()), "run_finished $good 14", 'and one that ends well');
is($node->safe_psql('postgres', "SELECT cpu_seconds > 0, wal_bytes > 0, temp_bytes >= 0 FROM many_models.runs WHERE run_id = $good"), 't|t|t', 'which counted what it used');

my $endless = $node->safe_psql('postgres', "$on SELECT many_models.start_training('endless', 'SELECT g, x, y FROM t, (SELECT FROM pg_sleep(600)) AS s', '{g}', 'y', '{x}')");
$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM many_models.run_progress WHERE run_id = $endless") or die 'it did not begin';
$node->safe_psql('postgres', "SELECT many_models.cancel_run($endless); SELECT many_models.wait_for_run($endless)");
is_deeply([ heard() ], [ { event => 'run_failed', model_set => 'endless', run_id => $endless, kind => 'train', status => 'cancelled', sqlstate => '57014', resumable => JSON::PP::false } ],
	'one that is cancelled');

# What is in production: a promotion and a rollback at their commit, a dry run never.
$node->safe_psql('postgres', "$on SELECT FROM many_models.promote_models('good', dry_run => true); BEGIN; SELECT FROM many_models.promote_models('good'); ROLLBACK");
is(scalar(heard()), 0, 'neither a dry run nor a promotion that is undone');
$node->safe_psql('postgres', "$on SELECT FROM many_models.promote_models('good', rule => \$\$key ->> 'g' <> '6'\$\$); SELECT FROM many_models.rollback_models('good')");
my @ids = split /\n/, $node->safe_psql('postgres', q{SELECT promotion_id FROM many_models.promotions WHERE kind <> 'dry_run' ORDER BY 1});
is_deeply([ heard() ],
	[ { event => 'promotion', model_set => 'good', promotion_id => $ids[0], kind => 'promote', version => 1, promoted => 13, kept => 0, rejected => 1, withdrawn => 0, production => 13 },
	  { event => 'promotion', model_set => 'good', promotion_id => $ids[1], kind => 'rollback', version => undef, promoted => 0, kept => 0, rejected => 0, withdrawn => 13, production => 0 } ],
	'a promotion, and its rollback');

# A pipeline with the step notify: its events are sent without the setting, which stays as it was.
$node->safe_psql('postgres', q{SELECT many_models.set_pipeline('good', '{"train": {}, "promote": {}, "notify": {"failed_fraction": 0.5}}')});
is($node->safe_psql('postgres', q{SELECT step FROM many_models.run_pipeline('good'); SHOW many_models.notify; SHOW many_models.notify_failed_fraction}),
	"train\npromote\nnotify\noff\n0.1", 'a pipeline that notifies');
@events = heard();
is(join(' ', map { $_->{event} } @events), 'run_finished promotion pipeline_finished', 'its events');
is(join(' ', $events[2]{model_set}, map { $_->{step} } @{ $events[2]{steps} }), 'good train promote', 'the last says what ran');
ok($events[2]{seconds} >= 0 && $events[2]{steps}[0]{seconds} >= 0, 'and for how long');
$node->safe_psql('postgres', q{SELECT many_models.set_pipeline('good', '{"train": {"source": "SELECT * FROM t"}, "notify": {"failed_fraction": 0.1}}'); SELECT FROM many_models.run_pipeline('good')});
is(join(' ', map { $_->{event} } heard()), 'run_finished failed_fraction pipeline_finished', 'with the fraction of the pipeline');
$node->safe_psql('postgres', q{SELECT many_models.set_pipeline('good', '{"train": {}}'); SELECT FROM many_models.run_pipeline('good')});
is(scalar(heard()), 0, 'without the step, silence');

# The function for the extension's own use: details join in; what is too long for a payload is left out.
$node->safe_psql('postgres', qq{$on SELECT many_models.notify_event('promoted', 's', '{"groups": 7, "rule": "a \\" b"}');
	SELECT many_models.notify_event('long', 's', jsonb_build_object('text', repeat('x', 9000)));
	SELECT many_models.notify_event('longest', 's', jsonb_build_object('text', repeat('x', 7820)))});
@events = heard();
is_deeply($events[0], { event => 'promoted', model_set => 's', groups => 7, rule => 'a " b' }, 'any details');
is_deeply($events[1], { event => 'long', model_set => 's', truncated => JSON::PP::true }, 'too long for a payload');
is(length($events[2]{text}), 7820, 'as long as fits');

# A role may turn it on for itself, a database for all.
$node->safe_psql('postgres', q{ALTER DATABASE postgres SET many_models.notify = on});
$node->safe_psql('postgres', $train);
is(join(' ', map { $_->{event} } heard()), 'run_finished failed_fraction', 'by ALTER DATABASE');
$listener->quit;
$node->stop;
done_testing();
