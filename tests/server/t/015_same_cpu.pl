# The same bits from every instruction set the kernels are compiled for.
use strict;
use warnings;

use ManyTest;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'the module is not built' unless module_is_built();

my %digest;
for my $cpu ('base', 'fma', 'best')
{
	local $ENV{MANY_MODELS_CPU} = $cpu;
	my $node = start_node("cpu_$cpu");
	$digest{$cpu} = $node->safe_psql('postgres', q{
		SELECT setseed(0.5);
		CREATE TABLE t AS
		SELECT i % 40 AS g, 1e6 + random() * 1e3 AS a, random() * 1e-6 AS b, random() AS c, i % 7 AS d, random() AS y
		FROM generate_series(1, 20000) AS i;
		SELECT many_models.train_many_models('ols', 't', '{g}', 'y', '{a,b,c,d}');
		SELECT many_models.train_many_models('lasso', 't', '{g}', 'y', '{a,b,c,d}', 'lasso',
			options => '{"lambda": "auto", "cv_folds": 3}');
		SELECT md5(string_agg(model::text, ',' ORDER BY run_id, partition_key)) FROM many_models.model_store});
	$digest{$cpu} =~ s/.*\n//s;
	$node->stop;
}
like($digest{best}, qr/^[0-9a-f]{32}$/, 'models were trained');
is($digest{base}, $digest{best}, 'without AVX2');
is($digest{fma}, $digest{best}, 'with AVX2 and FMA');

done_testing();
