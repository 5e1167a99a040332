# The same bits come out whatever the number of workers, the order of the rows, and the memory
# budget, in both exchanges; a group too large for the budget fails alone.
use strict;
use warnings;

use ManyTest;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'the module is not built' unless module_is_built();

my $node = start_node('same_bits', shared_buffers => '256MB', max_wal_size => '2GB');

# 180,000 rows in 12,000 groups: a numeric key whose equal values are written differently, a text
# key with accents, emoji and NULL. One group in fifty has many rows.
my $sql = q{
CREATE FUNCTION noise(i int, salt int) RETURNS float8 IMMUTABLE PARALLEL SAFE LANGUAGE sql
	AS 'SELECT (hashint4extended(i, salt) % 1000003) / 99991.0';
CREATE TABLE plain AS
SELECT CASE WHEN g % 2000 = 7 THEN NULL WHEN i % 3 = 0 THEN (g % 2000)::numeric
            WHEN i % 3 = 1 THEN (g % 2000) * 1.0 ELSE (g % 2000) * 1.000 END AS k,
       (ARRAY['Zürich', 'Ça va', '🙂', '日本', NULL, 'a "b" \ c'])[1 + g % 6] AS name,
       DATE '2025-01-01' + i % 400 AS day,
       noise(i, 1) AS x1, noise(i, 2) AS x2, 100 + noise(i, 3) AS x3,
       (ARRAY['red', 'grün', '蓝'])[1 + abs(hashint4(i)) % 3] AS colour,
       CASE WHEN i % 97 = 0 THEN NULL ELSE noise(i, 4) END AS gap,
       5 + 3 * noise(i, 1) - noise(i, 2) + noise(i, 5) AS y
FROM (SELECT i, CASE WHEN i % 3 = 0 THEN i % 240 * 50 ELSE abs(hashint4(i + 1)) % 12000 END AS g
      FROM generate_series(1, 180000) AS i) AS s;
CREATE TABLE shuffled AS SELECT * FROM plain ORDER BY md5(plain::text);
CREATE TABLE clustered AS SELECT * FROM plain ORDER BY k, name, y;
ALTER TABLE plain SET (parallel_workers = 3);
ALTER TABLE shuffled SET (parallel_workers = 3);
ALTER TABLE clustered SET (parallel_workers = 3);
};
$node->safe_psql('postgres', $sql);
$node->safe_psql('postgres', 'VACUUM ANALYZE');

# train(set, call, budget, workers): (fingerprint, details, summary) of a run.
sub train
{
	my ($set, $source, $arguments, $budget, $workers) = @_;
	my $call = "many_models.train_many_models('$set', \$\$$source\$\$, $arguments, workers => $workers)";
	my $summary = $node->safe_psql('postgres',
		parallel_settings() . "SET many_models.memory_budget = '$budget';"
		  . "SELECT run_id, groups, trained, failed, skipped, rows_read, workers FROM $call");
	my @values = split /\|/, $summary;
	my $run = shift @values;
	my $bits = $node->safe_psql('postgres', fingerprint($run));
	my $details = $node->safe_psql('postgres', qq{
		SELECT details ->> 'exchange', details ->> 'rescans', details ->> 'exchanged_bytes'
		FROM many_models.runs WHERE run_id = $run});
	my ($exchange, $rescans, $bytes) = split /\|/, $details;
	return { bits => $bits, groups => $values[0], trained => $values[1], failed => $values[2],
		skipped => $values[3], rows => $values[4], workers => $values[5], exchange => $exchange,
		rescans => $rescans, bytes => $bytes, counts => join('|', @values[0 .. 4]) };
}

# Where from, with how many processes, under which budget.
my @variants = (
	[ 'shuffled', 1, '256MB' ], [ 'clustered', 2, '64MB' ], [ 'plain', 3, '4MB' ],
	[ 'shuffled', 4, '2MB' ]);
my $keys = q{'{k,name}', 'y'};
my %cases = (
	ols => [ 'statistics', '', "$keys, '{x1,x2,x3}'" ],
	ridge => [ 'statistics', '', "$keys, '{x1,x2,x3}', 'ridge', options => '{\"lambda\": 0.3}'" ],
	lasso => [ 'statistics', '', "$keys, '{x1,x2,x3}', 'lasso', options => '{\"lambda\": 0.1}'" ],
	elastic_net => [ 'statistics', '', "$keys, '{x1,x2,x3}', 'elastic_net',"
		  . " options => '{\"lambda\": 0.1, \"alpha\": 0.4, \"cv_folds\": 3}'" ],
	lasso_auto => [ 'statistics', ' WHERE k < 200', "$keys, '{x1,x2,x3}', 'lasso',"
		  . " options => '{\"lambda\": \"auto\", \"cv_folds\": 4, \"seed\": 7}'" ],
	categories => [ 'rows', '', "$keys, '{x1,x2,colour}'" ],
	last_rows => [ 'rows', '', "$keys, '{x1,x2}', 'ridge', 'day', '{\"lambda\": 0.3}'" ],
	imputed => [ 'rows', '', "$keys, '{x1,gap}', options => '{\"null_policy\": \"impute_mean\"}'" ],
	rolling_auto => [ 'rows', ' WHERE k < 50', "$keys, '{x1,x2,colour}', 'elastic_net', 'day',"
		  . " '{\"lambda\": \"auto\", \"alpha\": 0.5, \"cv_folds\": 3, \"null_policy\": \"impute_mean\"}'" ]);

my $most = 0;
for my $case (sort keys %cases)
{
	my ($exchange, $where, $arguments) = @{ $cases{$case} };
	my $reference = train($case, "SELECT * FROM plain$where", $arguments, '256MB', 1);
	is($reference->{exchange}, $exchange, "$case: exchange of $exchange");
	is($reference->{rescans}, 0, "$case: everything fits into 256 MB");
	cmp_ok($reference->{trained}, '>', 0.6 * $reference->{groups}, "$case: most groups train");
	is($reference->{failed}, 0, "$case: none fails");
	for my $variant (@variants)
	{
		my ($table, $workers, $budget) = @$variant;
		my $what = "$case from $table, $workers processes, $budget";
		my $run = train($case, "SELECT * FROM $table$where", $arguments, $budget, $workers);
		is($run->{counts}, $reference->{counts}, "$what: counts");
		is($run->{bits}, $reference->{bits}, "$what: the same bits");
		cmp_ok($run->{workers}, '<=', $workers, "$what: no more processes than asked for");
		cmp_ok($run->{bytes}, '>', 0, "$what: bytes went through the exchange");
		$most = $run->{workers} if $run->{workers} > $most;
	}
	is( $node->safe_psql('postgres', parallel_settings() . "SET many_models.memory_budget = '3MB';"
			  . "SELECT status FROM many_models.refresh_many_models('$case', workers => 2)"),
		'unchanged', "$case: a refresh finds every group as it was");
}
is($most, 4, 'four processes took part where four were asked for');
# 1 = 1.0 = 1.000 is one group; NULL is one.
my @groups = split /\|/, $node->safe_psql('postgres', q{
	SELECT count(*), count(*) FILTER (WHERE k IS NULL AND name IS NULL) FROM
	(SELECT DISTINCT k, name FROM plain) AS d});
my $ols = train('ols', 'plain', $cases{ols}[2], '256MB', 2);
is($ols->{groups}, $groups[0], 'the groups are those of SELECT DISTINCT');
is($ols->{rows}, 180000, 'all rows are read');
is( $node->safe_psql('postgres', q{
		SELECT count(*) FROM many_models.models AS m
		WHERE model_set = 'ols' AND version = 1 AND (partition_key ->> 'k') IS NULL}),
	$node->safe_psql('postgres', q{
		SELECT count(*) FROM (SELECT name FROM plain WHERE k IS NULL GROUP BY name
			HAVING count(*) >= 5) AS s}),
	'groups with a NULL in the key have their models');

# Small budgets: partial tables are flushed, rows pass through, buckets are read in parts.
my %tight = (
	statistics => q{'{k,name,colour}', 'y', '{x1,x2,x3}'},
	rows => $cases{categories}[2]);
for my $exchange (sort keys %tight)
{
	my $case = "tight $exchange";
	my $reference = train($case, 'plain', $tight{$exchange}, '256MB', 1);
	my $small = train($case, 'clustered', $tight{$exchange}, '1MB', 2);
	is($small->{exchange}, $exchange, "$case: the exchange");
	is($small->{bits}, $reference->{bits}, "$case, 1 MB: the same bits");
	cmp_ok($small->{rescans}, '>', 0, "$case: some bucket was read in parts");
	# In parts as large as the budget, that is: not group by group.
	cmp_ok($small->{rescans}, '<', $small->{groups} / 10, "$case, 1 MB: few readings of a bucket");
	note "$case, 1 MB: $small->{rescans} rescans, $small->{bytes} bytes exchanged";
}

# One group of 90 % of the rows among 2,000 small ones.
$node->safe_psql('postgres', q{
	CREATE TABLE skewed AS
	SELECT CASE WHEN i % 10 > 0 THEN 'big' ELSE 'small ' || i / 10 % 2000 END AS g,
	       noise(i, 1) AS x1, noise(i, 2) AS x2, 'c' || i % 3 AS c,
	       noise(i, 1) + noise(i, 3) AS y
	FROM generate_series(1, 300000) AS i;
	ALTER TABLE skewed SET (parallel_workers = 3);
	ANALYZE skewed});
my $numbers = q{'{g}', 'y', '{x1,x2}'};
my $with_c = q{'{g}', 'y', '{x1,x2,c}'};
my $wide = train('skewed', 'skewed', $numbers, '256MB', 1);
is("$wide->{trained} $wide->{failed}", '2001 0', 'one big group among small ones');
for my $workers (1, 3)
{
	my $narrow = train('skewed', 'skewed', $numbers, '1MB', $workers);
	is($narrow->{bits}, $wide->{bits}, "statistics of a big group in 1 MB, $workers processes");
}
$wide = train('skewed_rows', 'skewed', $with_c, '256MB', 2);
is("$wide->{exchange} $wide->{trained} $wide->{failed}", 'rows 2001 0', 'its rows fit into 256 MB');
my $narrow = train('skewed_rows', 'skewed', $with_c, '4MB', 2);
is("$narrow->{trained} $narrow->{failed} $narrow->{skipped}", '2000 1 0',
	'in 4 MB the big group fails, and no other');
is( $node->safe_psql('postgres', q{
		SELECT partition_key, status, sqlstate, message, n_rows, hint IS NOT NULL
		FROM many_models.failures WHERE model_set = 'skewed_rows'}),
	'{"g": "big"}|failed|53200|has 270000 rows of 4 columns, more than half of the memory budget of 4 MB|270000|t',
	'the failure says why');
is( $node->safe_psql('postgres', q{
		SELECT count(*) FROM
		(SELECT partition_key, model::text FROM many_models.model_store JOIN many_models.runs AS r USING (run_id)
		 WHERE r.model_set = 'skewed_rows' AND r.version = 1
		 INTERSECT
		 SELECT partition_key, model::text FROM many_models.model_store JOIN many_models.runs AS r USING (run_id)
		 WHERE r.model_set = 'skewed_rows' AND r.version = 2) AS s}),
	'2000', 'the small groups got the same bits');
is_clean($node, 'after all runs');

$node->stop;
done_testing();
