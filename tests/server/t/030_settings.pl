# Whatever the server's and the session's settings: the same models. Where there is no worker to be
# had, the run works with fewer, and says so.
use strict;
use warnings;

use ManyTest;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'the module is not built' unless module_is_built();

my $node = start_node('settings', max_logical_replication_workers => 0);
my $sql = q{
CREATE TABLE sales AS
SELECT i % 1200 AS shop, TIMESTAMPTZ '2025-01-01 00:00+00' + i * INTERVAL '1 hour' AS at,
       (1.0 + i % 7 / 4.0)::float4 AS rate, 1 + (i % 3)::numeric / 8 AS size,
       (ARRAY['Zürich', '🙂'])[1 + i % 2] AS town, INTERVAL '1 day' * (i % 5) AS term, i % 4 > 0 AS open,
       (hashint4(i) % 1000)::float8 / 7 AS x1, (hashint4(i + 1) % 1000)::float8 / 7 AS x2,
       (hashint4(i + 2) % 1000)::float8 / 7 + (hashint4(i) % 1000) AS y
FROM generate_series(1, 72000) AS i;
ALTER TABLE sales SET (parallel_workers = 3);
ANALYZE sales;
};
$node->safe_psql('postgres', $sql);

# Keys of types whose text depends on settings; both exchanges.
my %calls = (
	statistics => q{'sales', '{shop}', 'y', '{x1,x2}', options => '{"holdout": {"fraction": 0.3}}'},
	rows => q{'SELECT * FROM public.sales WHERE shop < 200', '{rate,size,town,term}', 'y', '{x1,open,at}', time_column => 'at'});

sub train
{
	my ($exchange, $settings, $workers) = @_;
	my ($out, $err) = ('', '');
	$node->psql('postgres',
		parallel_settings() . "SET client_min_messages = notice; $settings;"
		  . "SELECT run_id, trained, workers FROM many_models.train_many_models('$exchange', $calls{$exchange}, workers => $workers)",
		stdout => \$out, stderr => \$err);
	die "$settings: $err" unless $out =~ /^(\d+)\|(\d+)\|(\d+)$/m;
	my ($run, $trained, $processes) = ($1, $2, $3);
	return {
		bits => $node->safe_psql('postgres', fingerprint($run)),
		trained => $trained, workers => $processes, notices => $err };
}

my %reference = map { $_ => train($_, '', 1) } keys %calls;
is($reference{statistics}{trained}, 1200, 'the reference run, statistics');
cmp_ok($reference{rows}{trained}, '>', 10, 'the reference run, rows');
is( $node->safe_psql('postgres', q{SELECT details ->> 'exchange' FROM many_models.runs ORDER BY run_id}),
	join("\n", keys %calls), 'they use both exchanges');

# Renamed in PostgreSQL 16.
my $forced = $node->safe_psql('postgres',
	q{SELECT name FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query')});
my @session = (
	'SET max_parallel_workers = 0',
	'SET max_parallel_workers_per_gather = 0',
	"SET $forced = on",
	"SET $forced = regress",
	'SET parallel_leader_participation = off',
	'SET default_transaction_isolation = serializable',
	q{SET default_transaction_isolation = 'repeatable read'},
	'SET jit = on; SET jit_above_cost = 0; SET jit_inline_above_cost = 0; SET jit_optimize_above_cost = 0',
	'SET jit = off',
	q{SET work_mem = '64kB'; SET hash_mem_multiplier = 1},
	'SET enable_seqscan = off; SET enable_hashagg = off; SET enable_partitionwise_aggregate = on',
	q{SET DateStyle = 'German, DMY'; SET IntervalStyle = 'iso_8601'; SET TimeZone = 'Asia/Kathmandu'},
	q{SET extra_float_digits = -15; SET bytea_output = 'escape'; SET lc_numeric = 'C'},
	'SET standard_conforming_strings = off; SET backslash_quote = off; SET quote_all_identifiers = on',
	q{SET default_toast_compression = 'pglz'; SET row_security = on; SET check_function_bodies = off},
	'SET xmloption = document; SET array_nulls = off; SET transform_null_equals = on',
	'SET synchronize_seqscans = off; SET plan_cache_mode = force_generic_plan');
for my $setting (@session)
{
	for my $exchange (sort keys %calls)
	{
		my $run = train($exchange, $setting, 3);
		is($run->{bits}, $reference{$exchange}{bits}, "$setting, $exchange: the same bits");
	}
}

# One transaction; a function; a cursor's query; a prepared statement.
is( $node->safe_psql('postgres', parallel_settings() . qq{
		BEGIN ISOLATION LEVEL SERIALIZABLE;
		PREPARE t AS SELECT trained FROM many_models.train_many_models('statistics', $calls{statistics}, workers => 2);
		EXECUTE t; EXECUTE t;
		DECLARE c CURSOR FOR SELECT trained FROM many_models.train_many_models('statistics', $calls{statistics}, workers => 2);
		FETCH c;
		DO \$\$ BEGIN PERFORM many_models.train_many_models('rows', workers => 2);
			BEGIN PERFORM 1 / 0; EXCEPTION WHEN division_by_zero THEN
				PERFORM many_models.train_many_models('statistics', workers => 2); END; END \$\$;
		SELECT count(DISTINCT f) FROM (SELECT md5(string_agg(partition_key || m.model::text, '' ORDER BY partition_key)) AS f
			FROM many_models.model_store AS m JOIN many_models.runs AS r USING (run_id)
			WHERE model_set = 'statistics' GROUP BY run_id) AS s;
		COMMIT}),
	"1200\n1200\n1200\n1", 'in a transaction, a function, a prepared statement, a cursor');

# An empty or a hostile search path: everything is found by its full name.
$node->safe_psql('postgres', q{
	CREATE SCHEMA evil;
	CREATE TABLE evil.sales (shop int);
	CREATE FUNCTION evil.text_is(text, text) RETURNS boolean LANGUAGE plpgsql AS
		$$ BEGIN RAISE EXCEPTION 'evil code ran'; END $$;
	CREATE FUNCTION evil.int_is(int, int) RETURNS boolean LANGUAGE plpgsql AS
		$$ BEGIN RAISE EXCEPTION 'evil code ran'; END $$;
	CREATE FUNCTION evil.big_is(bigint, bigint) RETURNS boolean LANGUAGE plpgsql AS
		$$ BEGIN RAISE EXCEPTION 'evil code ran'; END $$;
	CREATE FUNCTION evil.arrow(jsonb, text) RETURNS text LANGUAGE plpgsql AS
		$$ BEGIN RAISE EXCEPTION 'evil code ran'; END $$;
	CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.text_is);
	CREATE OPERATOR evil.= (LEFTARG = int, RIGHTARG = int, FUNCTION = evil.int_is);
	CREATE OPERATOR evil.= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = evil.big_is);
	CREATE OPERATOR evil.->> (LEFTARG = jsonb, RIGHTARG = text, FUNCTION = evil.arrow);
	CREATE FUNCTION evil.nextval(regclass) RETURNS bigint LANGUAGE plpgsql AS
		$$ BEGIN RAISE EXCEPTION 'evil code ran'; END $$;
	CREATE FUNCTION evil.model_metric(many_models.model, text, text) RETURNS float8 LANGUAGE plpgsql AS
		$$ BEGIN RAISE EXCEPTION 'evil code ran'; END $$;
	CREATE FUNCTION evil.string_agg_step(text, text, text) RETURNS text LANGUAGE plpgsql AS
		$$ BEGIN RAISE EXCEPTION 'evil code ran'; END $$;
	CREATE AGGREGATE evil.string_agg(text, text) (SFUNC = evil.string_agg_step, STYPE = text);
	CREATE DOMAIN evil.text AS pg_catalog.text CHECK (false);
	CREATE DOMAIN evil.int8 AS pg_catalog.int8 CHECK (false)});
for my $path (q{''}, 'evil, pg_catalog, public')
{
	my $settings = "SET search_path = $path";
	for my $exchange (sort keys %calls)
	{
		(my $call = $calls{$exchange}) =~ s/'sales'/'public.sales'/;
		local $calls{$exchange} = $call;
		my $run = train($exchange, $settings, 3);
		is($run->{bits}, $reference{$exchange}{bits}, "$settings, $exchange: the same bits");
	}
	my $p = "$settings; SET client_min_messages = warning;";
	is( $node->safe_psql('postgres', "$p SELECT many_models.predict('statistics', '{\"shop\": 7}', '{\"x1\": 1, \"x2\": 2}') IS NULL"),
		'f', "$settings: predict");
	is( sql_error($node, "$p SELECT many_models.predict('no such set', '{}', '{}')"),
		'42704: ERROR: model set "no such set" does not exist' =~ s/ERROR: //r, "$settings: predict of an unknown set");
	is( $node->safe_psql('postgres', "$p SELECT rows_read FROM many_models.score_many_models('statistics', 'public.sales', into_table => 'public.p')"),
		'72000', "$settings: score");
	$node->safe_psql('postgres', 'DROP TABLE public.p');
	is( $node->safe_psql('postgres', "$p SELECT many_models.train_many_models('gone', 'public.sales', '{shop}', 'y', '{x1}') IS NULL;"
			  . "SELECT many_models.drop_models('gone')"), "f\n1200", "$settings: drop_models");
}
is( $node->safe_psql('postgres', q{SELECT count(*) FROM many_models.runs WHERE status <> 'succeeded'}),
	'0', 'all runs succeeded');

# No workers at all, or one for everybody.
for my $slots (0, 1)
{
	$node->adjust_conf('postgresql.conf', 'max_worker_processes', $slots);
	$node->restart;
	for my $exchange (sort keys %calls)
	{
		my $run = train($exchange, '', 4);
		is($run->{bits}, $reference{$exchange}{bits}, "max_worker_processes = $slots, $exchange: the same bits");
		cmp_ok($run->{workers}, '<=', 2, "max_worker_processes = $slots, $exchange: few processes");
	}
	my $alone = train('statistics', '', 4);
	is($alone->{workers}, 1 + $slots, "max_worker_processes = $slots: so many processes");
	my $said = () = $alone->{notices} =~ /no background worker was free, the session works alone/g;
	is($said, 1 - $slots, "max_worker_processes = $slots: said once, if at all");
}
is_clean($node, 'after all runs');

$node->stop;
done_testing();
