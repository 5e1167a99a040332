# Predictions in another database by logical replication: a published predictions table brings every
# scoring run to the subscriber, whose table stays the same one.
#
# Logical decoding looks a change's table up in the catalogs as they were when the change was made:
# rows loaded before the run's partition is attached would belong to no publication. So the
# partition of a published table is attached first.
use strict;
use warnings;

use ManyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'the module is not built' unless module_is_built();

my $publisher = start_node('publisher', wal_level => 'logical', max_wal_senders => 10);
$publisher->safe_psql('postgres', q{
	CREATE ROLE analyst LOGIN;
	GRANT CREATE ON SCHEMA public TO analyst;
	SELECT many_models.grant_usage('analyst');
	CREATE TABLE sales AS SELECT i AS id, i % 40 AS shop, 'p' || i % 3 AS "the product", i * 7 % 101 AS x, i * 13 % 37 + i % 11 / 8.0 AS y
	FROM generate_series(1, 4000) AS i;
	ALTER TABLE sales ADD PRIMARY KEY (id);
	GRANT SELECT ON sales TO analyst;
	CREATE TABLE apart AS SELECT * FROM sales;
	SET ROLE analyst;
	SELECT FROM many_models.train_many_models('demand', 'sales', '{shop,the product}', 'y', '{x}');
	SELECT FROM many_models.score_many_models('demand');
	SELECT FROM many_models.score_many_models('demand', into_table => 'of_partitions');
	SELECT FROM many_models.score_many_models('demand', into_table => 'of_a_schema');
	RESET ROLE;
	CREATE SCHEMA shown;
	ALTER TABLE of_a_schema SET SCHEMA shown;
	GRANT USAGE, CREATE ON SCHEMA shown TO analyst;
	CREATE PUBLICATION predictions FOR TABLE demand_predictions WITH (publish_via_partition_root);
	CREATE PUBLICATION partitions FOR TABLE of_partitions;
	CREATE PUBLICATION whole_schema FOR TABLES IN SCHEMA shown WITH (publish_via_partition_root)});

my $subscriber = PostgreSQL::Test::Cluster->new('subscriber');
$subscriber->init(extra => [ '--encoding=UTF8', '--no-locale' ]);
$subscriber->start;

# A dashboard's database: no extension, and plain tables are enough.
my $columns = q{(id int, shop int, "the product" text, prediction float8, lower float8, upper float8, model_id bigint,
	model_version int, model_level text, fallback_reason text, run_id bigint, scored_at timestamptz)};
$subscriber->safe_psql('postgres', qq{
	CREATE SCHEMA shown;
	CREATE TABLE demand_predictions $columns;
	CREATE TABLE shown.of_a_schema $columns;
	CREATE TABLE of_partitions $columns PARTITION BY LIST (run_id)});
my ($first) = $publisher->safe_psql('postgres', 'SELECT DISTINCT run_id FROM of_partitions');
my $connection = $publisher->connstr . ' dbname=postgres';

# add_partition(run): as without publish_via_partition_root the subscriber needs each partition.
sub add_partition
{
	my ($run) = @_;
	$subscriber->safe_psql('postgres',
		"CREATE TABLE of_partitions_r$run PARTITION OF of_partitions FOR VALUES IN ($run)");
	return;
}

# same_rows(table, what): both servers have the same rows, bit by bit.
sub same_rows
{
	my ($table, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $rows = qq{
		SELECT run_id, count(*), count(prediction), md5(string_agg(p::text, E'\\n' ORDER BY p::text COLLATE "C"))
		FROM (SELECT id, shop, "the product", prediction, lower, upper, model_id, model_version, model_level, fallback_reason,
			run_id, extract(epoch FROM scored_at) FROM $table) AS p GROUP BY run_id ORDER BY run_id};
	my $expected = $publisher->safe_psql('postgres', $rows);
	isnt($expected, '', "$what: there are predictions");
	is($subscriber->safe_psql('postgres', $rows), $expected, "$what: the subscriber has the same");
	return;
}

sub score
{
	my ($table, %options) = @_;
	my $arguments = join '', map { ", $_ => $options{$_}" } sort keys %options;
	return $publisher->safe_psql('postgres',
		"SELECT run_id FROM many_models.score_many_models('demand', into_table => '$table'$arguments)",
		extra_params => [ '-U', 'analyst' ]);
}

add_partition($first);
$subscriber->safe_psql('postgres', qq{
	CREATE SUBSCRIPTION predictions CONNECTION '$connection' PUBLICATION predictions;
	CREATE SUBSCRIPTION whole_schema CONNECTION '$connection' PUBLICATION whole_schema;
	CREATE SUBSCRIPTION partitions CONNECTION '$connection' PUBLICATION partitions});
for my $name (qw(predictions whole_schema partitions))
{
	$subscriber->wait_for_subscription_sync($publisher, $name);
}
same_rows('demand_predictions', 'the first copy');
same_rows('shown.of_a_schema', 'the first copy, schema');
same_rows('of_partitions', 'the first copy, partitions');

# New runs arrive without a word to the subscriber.
score('demand_predictions');
score('shown.of_a_schema');
$publisher->safe_psql('postgres', q{UPDATE sales SET y = y + 5; SELECT FROM many_models.train_many_models('demand')},
	extra_params => [ '-U', 'postgres' ]);
score('demand_predictions', source => q{$$SELECT * FROM sales WHERE id <= 100$$}, id_columns => q{'{id}'});
$publisher->wait_for_catchup('predictions');
$publisher->wait_for_catchup('whole_schema');
same_rows('demand_predictions', 'new runs');
same_rows('shown.of_a_schema', 'new runs, schema');
is($subscriber->safe_psql('postgres', 'SELECT count(DISTINCT run_id), max(model_version) FROM demand_predictions'),
	'3|2', 'all of them');

# A run that is rolled back never arrives.
$publisher->safe_psql('postgres', q{
	BEGIN;
	SELECT FROM many_models.score_many_models('demand');
	ROLLBACK;
	BEGIN;
	SAVEPOINT s;
	SELECT FROM many_models.score_many_models('demand');
	ROLLBACK TO s;
	SELECT FROM many_models.score_many_models('demand', 'SELECT * FROM sales WHERE id <= 7', id_columns => '{id}');
	COMMIT},
	extra_params => [ '-U', 'analyst' ]);
$publisher->wait_for_catchup('predictions');
same_rows('demand_predictions', 'after a rollback');

# Replaced: the new rows arrive; dropped partitions are no change of rows, so the old ones stay until
# the subscriber deletes them.
my $last = score('demand_predictions', options => q{'{"on_existing": "replace"}'});
$publisher->wait_for_catchup('predictions');
is($publisher->safe_psql('postgres', 'SELECT count(DISTINCT run_id) FROM demand_predictions'), '1', 'replaced');
is($subscriber->safe_psql('postgres', 'SELECT count(DISTINCT run_id) FROM demand_predictions'), '5',
	'the subscriber has the old runs too');
$subscriber->safe_psql('postgres', 'DELETE FROM demand_predictions WHERE run_id < (SELECT max(run_id) FROM demand_predictions)');
same_rows('demand_predictions', 'replaced');

# Without publish_via_partition_root: each partition is a table of its own for the subscriber.
my $run = score('of_partitions');
add_partition($run);
$subscriber->safe_psql('postgres', 'ALTER SUBSCRIPTION partitions REFRESH PUBLICATION');
$subscriber->wait_for_subscription_sync($publisher, 'partitions');
same_rows('of_partitions', 'partitions');

# While a run loads a published table, readers go on; the run holds a lock that lets no other
# attach. A table that nobody publishes is attached at the end.
sub locks_of_scoring
{
	my ($table) = @_;
	return $publisher->safe_psql('postgres', qq{
		BEGIN;
		SELECT FROM many_models.score_many_models('demand', \$\$SELECT s.*, mode FROM sales AS s,
			LATERAL (SELECT string_agg(mode, ',') AS mode FROM pg_locks WHERE pid = pg_backend_pid() AND relation = '$table'::regclass
				AND mode <> 'AccessShareLock' AND s.id = 1 OFFSET 0) AS l WHERE id = 1\$\$, into_table => '$table', id_columns => '{id,mode}');
		SELECT coalesce(mode, 'none') FROM $table WHERE run_id = (SELECT max(run_id) FROM $table);
		ROLLBACK});
}
$publisher->safe_psql('postgres', q{
	CREATE TABLE locks_published (id int, mode text, shop int, "the product" text, prediction float8, lower float8, upper float8, model_id bigint,
		model_version int, model_level text, fallback_reason text, run_id bigint, scored_at timestamptz) PARTITION BY LIST (run_id);
	CREATE TABLE locks_private (LIKE locks_published) PARTITION BY LIST (run_id);
	CREATE PUBLICATION locks FOR TABLE locks_published});
is(locks_of_scoring('locks_published'), 'ShareUpdateExclusiveLock', 'a published table is attached first');
is(locks_of_scoring('locks_private'), 'none', 'another at the end');

# Everything published: what the registry deletes needs a replica identity.
$publisher->safe_psql('postgres', 'CREATE PUBLICATION everything FOR ALL TABLES');
is(locks_of_scoring('locks_private'), 'ShareUpdateExclusiveLock', 'with everything published, all are');
is( $publisher->safe_psql('postgres', q{
		SELECT relname FROM pg_class AS c
		WHERE relnamespace = 'many_models'::regnamespace AND relkind = 'r' AND relreplident <> 'f'
		  AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid AND indisprimary)}),
	'', 'every table of the registry has a replica identity');
is( $publisher->safe_psql('postgres', q{
		SELECT FROM many_models.evaluate_many_models('demand', 'sales', 'demand_predictions', '{id}', period => NULL);
		SELECT FROM many_models.evaluate_many_models('demand', 'sales', 'demand_predictions', '{id}', period => NULL);
		SELECT FROM many_models.promote_models('demand', 1);
		SELECT FROM many_models.promote_models('demand', rule => 'candidate.rmse > 1e9', dry_run => true);
		SELECT FROM many_models.rollback_models('demand', 0);
		SELECT FROM many_models.prune_promotions('demand', 1);
		SELECT many_models.drop_models('demand', 1);
		CREATE TABLE t AS SELECT i % 1300 AS g, i * 7 % 101 AS x, CASE WHEN i % 1300 = 9 THEN float8 'NaN' ELSE i * 13 % 37 END AS y
		FROM generate_series(1, 13000) AS i;
		SELECT trained FROM many_models.train_many_models('big', 't', '{g}', 'y', '{x}');
		SELECT failed FROM many_models.retrain_failed((SELECT run_id FROM many_models.runs WHERE model_set = 'big'));
		SELECT trained FROM many_models.refresh_many_models('big');
		ALTER TABLE t REPLICA IDENTITY FULL;
		UPDATE t SET y = y + x % 5 WHERE g = 5;
		SELECT trained FROM many_models.refresh_many_models('big');
		SELECT many_models.drop_models('big'), many_models.drop_models('demand')}) =~ s/\A\n+//r,  # rows without columns
	"120\n1299\n1\n0\n1299\n3897|120", 'models are evaluated, promoted, trained, refreshed and dropped where all tables are published');

$subscriber->stop;
$publisher->stop;
done_testing();
