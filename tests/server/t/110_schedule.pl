# A pipeline scheduled with the real pg_cron: it runs as its role, once at a time, and ends when it
# is unscheduled.
use strict;
use warnings;

use ManyTest;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'the module is not built' unless module_is_built();

my $node = PostgreSQL::Test::Cluster->new('schedule');
$node->init;
my $library = $node->config_data('--pkglibdir') . '/pg_cron.so';
plan skip_all => 'pg_cron is not installed' unless -e $library;
$node->append_conf('postgresql.conf', qq{
shared_preload_libraries = 'pg_cron'
cron.database_name = 'postgres'
cron.use_background_workers = on
max_worker_processes = 16
});
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION many_models;
	CREATE EXTENSION pg_cron;
	CREATE ROLE planner LOGIN;
	GRANT USAGE ON SCHEMA cron TO planner;
	GRANT CREATE ON SCHEMA public TO planner;
	SELECT many_models.grant_usage('planner');
	CREATE SCHEMA shop AUTHORIZATION planner});
my @as_planner = (extra_params => [ '-U', 'planner' ]);
my $job = $node->safe_psql('postgres', q{
	SET search_path = shop;
	CREATE TABLE sales AS SELECT i % 3 AS store, i % 10 AS price, 7.0 - i % 10 + i % 4 AS units FROM generate_series(1, 90) AS i;
	SELECT FROM many_models.train_many_models('demand', 'sales', '{store}', 'units', '{price}');
	SELECT many_models.schedule('demand', '* * * * *', '{"train": {}, "score": {"id_columns": []}}')}, @as_planner);
$job =~ s/\s//g;
is($node->safe_psql('postgres', "SELECT username, command FROM cron.job WHERE jobid = $job"),
	q{planner|SELECT * FROM many_models.run_pipeline('demand')}, 'the job is the role\'s');
is($node->safe_psql('postgres', 'SELECT schedule, job_id, runs FROM many_models.pipelines'),
	"* * * * *|$job|0", 'and written down');

# Another run holds the pipeline: a second one does nothing and says so.
my $holder = $node->background_psql('postgres', extra_params => [ '-U', 'planner' ]);
$holder->query_safe(q{BEGIN});
$holder->query_safe(q{SELECT step FROM many_models.run_pipeline('demand')});
my ($code, $out, $err) = $node->psql('postgres', q{\set VERBOSITY verbose
	SELECT step FROM many_models.run_pipeline('demand')}, @as_planner);
like($err, qr/ERROR:  55006: the pipeline of model set "demand" is running already/, 'no double start');
$holder->query_safe('ROLLBACK');
$holder->quit;

# pg_cron starts jobs at full minutes.
$node->poll_query_until('postgres', 'SELECT runs >= 1 FROM many_models.pipelines')
	or die 'the job did not run';
is($node->safe_psql('postgres', 'SELECT latest_version >= 2 FROM many_models.model_sets'), 't', 'a new version');
is($node->safe_psql('postgres', 'SELECT count(*) % 90 = 0 AND count(*) > 0 AND count(prediction) = count(*) FROM shop.demand_predictions'),
	't', 'predictions where the names of the definition mean them');
is($node->safe_psql('postgres', 'SELECT DISTINCT run_by FROM many_models.runs'), 'planner', 'as the role that scheduled it');
is($node->safe_psql('postgres', "SELECT DISTINCT status FROM cron.job_run_details WHERE jobid = $job AND status <> 'running'"),
	'succeeded', 'and pg_cron knows');
is($node->safe_psql('postgres', q{SELECT many_models.unschedule('demand'), many_models.unschedule('demand')}, @as_planner),
	't|f', 'unscheduled, once');
is($node->safe_psql('postgres', 'SELECT count(*) FROM cron.job'), '0', 'the job is gone');
is($node->safe_psql('postgres', 'SELECT schedule IS NULL AND job_id IS NULL AND pipeline IS NOT NULL FROM many_models.pipelines'),
	't', 'the pipeline stays');
$node->stop;
done_testing();
