# Models move from one cluster to another through files that psql's \copy writes and reads: text, csv
# and binary, by roles that are no superusers, into databases of other encodings. What was damaged on
# the way, or is ended by a cancel, leaves nothing behind.
use strict;
use warnings;

use ManyTest;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'the module is not built' unless module_is_built();

my $dev = start_node('transfer_dev');
my $prod = start_node('transfer_prod');
my $directory = PostgreSQL::Test::Utils::tempdir();
my $export = q{SELECT * FROM many_models.export_models('%s')};
# Models with what identifies them, in any database.
my $models = q{SELECT count(*), md5(string_agg(t, E'\n' ORDER BY t COLLATE "C")) FROM (
	SELECT concat_ws('|', m.partition_key, m.key_hash, m.n_rows, m.first_time, m.last_time, m.model)
	FROM many_models.model_store AS m JOIN many_models.runs AS r USING (run_id) WHERE r.model_set = '%s'
	UNION ALL SELECT concat_ws('|', f.partition_key, f.status, f.sqlstate, f.message, f.hint)
	FROM many_models.failure_store AS f JOIN many_models.runs AS r USING (run_id) WHERE r.model_set = '%s') AS t (t)};

sub contents
{
	my ($node, $set, $database) = @_;
	return $node->safe_psql($database // 'postgres', sprintf($models, $set, $set));
}

sub psql_as
{
	my ($node, $user, $sql, $database) = @_;
	return $node->safe_psql($database // 'postgres', $sql, extra_params => [ '-U', $user ]);
}

# Texts with all that a format of COPY may trip over.
my $sales = <<'SQL';
CREATE TABLE sales AS SELECT i % 1500 AS store, 'Nr "' || i % 13 || E'"\t\\é,;' AS product, DATE '2025-01-01' + i % 700 AS day,
	i * 7 % 101 AS price, 'c"' || i % 3 || E'\n€\\.' AS colour, CASE WHEN i % 1500 = 9 THEN float8 'NaN' ELSE i * 13 % 37 END AS units
FROM generate_series(1, 30000) AS i
SQL
for my $node ($dev, $prod)
{
	$node->safe_psql('postgres', q{
		CREATE ROLE ana LOGIN; CREATE ROLE robot LOGIN;
		GRANT CREATE ON SCHEMA public TO ana, robot;
		SELECT many_models.grant_usage('ana'); SELECT many_models.grant_usage('robot');
		} . $sales . q{;
		GRANT SELECT ON sales TO ana, robot});
}
psql_as($dev, 'ana', q{
	SELECT FROM many_models.train_many_models('demand', 'sales', '{store}', 'units', '{price}', time_column => 'day');
	SELECT FROM many_models.train_many_models('odd', 'SELECT * FROM sales WHERE store BETWEEN 10 AND 60', '{product}', 'units', '{price,colour}', 'ridge',
		options => '{"lambda": 0.5, "holdout": {"rows": 0}}', tags => '{"é€": "\\\\n"}')});

# Out and in, in each format of COPY.
my %formats = (text => '', csv => "(FORMAT csv, HEADER, DELIMITER ';')", binary => '(FORMAT binary)');
for my $format (sort keys %formats)
{
	for my $set ('demand', 'odd')
	{
		my $file = "$directory/$set.$format";
		my $here = "$set $format";
		psql_as($dev, 'ana', "\\copy (" . sprintf($export, $set) . ") TO '$file' $formats{$format}");
		my $summary = psql_as($prod, 'robot', qq{
			CREATE TEMP TABLE staged (line bigint, part text);
			\\copy staged FROM '$file' $formats{$format}
			SELECT model_set, version, trained, failed, skipped FROM many_models.import_models('staged', '$here')});
		is($summary, $set eq 'demand' ? "$here|1|1499|1|0" : "$here|1|13|0|0", "$format: $set arrives");
		is(contents($prod, $here), contents($dev, $set), "$format: $set is the same");
	}
}
is(psql_as($prod, 'robot', 'SELECT DISTINCT owner, (SELECT count(*) FROM many_models.runs) FROM many_models.model_sets'), 'robot|6', 'the role that imported owns the sets');
is(psql_as($prod, 'ana', 'SELECT count(*) FROM many_models.models'), '0', 'and others do not see them');
# By pipe, without a file; with psql in another encoding, as the stream is ASCII.
my $pipe = join ' | ',
	sprintf(q{PGCLIENTENCODING=LATIN1 psql -XqAt -U ana -d '%s' -c "COPY (%s) TO STDOUT"}, $dev->connstr('postgres'), sprintf($export, 'odd')),
	sprintf(q{PGCLIENTENCODING=WIN1252 psql -XqAt -U robot -d '%s' -c 'CREATE TABLE piped (line bigint, part text)' -c 'COPY piped FROM STDIN'}, $prod->connstr('postgres'));
is(system($pipe), 0, 'a pipe from one psql to the other');
psql_as($prod, 'robot', q{SELECT FROM many_models.import_models('piped')});
is(contents($prod, 'odd'), contents($dev, 'odd'), 'is the same');

# What shell tools see is what the digest is of.
my $sum = `psql -XqAt -U ana -d '@{[ $dev->connstr('postgres') ]}' -c "SELECT part FROM many_models.export_models('odd') ORDER BY line" | head -n -1 | sha256sum`;
my $digest = psql_as($prod, 'robot', q{SELECT details -> 'imported' ->> 'sha256' FROM many_models.runs WHERE model_set = 'odd'});
is($sum, "$digest  -\n", 'sha256sum of the parts is the digest that the import recorded');

# Both clusters predict and score the same.
my $predict = q{SELECT md5(string_agg(many_models.predict('%s', jsonb_build_object('product', product), to_jsonb(s))::text, ',' ORDER BY product, price, colour))
	FROM (SELECT DISTINCT product, price, colour FROM sales WHERE store < 20) AS s};
is(psql_as($prod, 'robot', sprintf($predict, 'odd')), psql_as($dev, 'ana', sprintf($predict, 'odd')), 'predict is the same');
my $score = q{SELECT FROM many_models.score_many_models('%s', 'SELECT * FROM sales', '%s');
	SELECT count(*), md5(string_agg(concat_ws('|', store, prediction, lower, upper, fallback_reason), ',' ORDER BY store, day, prediction)) FROM %s};
is(psql_as($prod, 'robot', sprintf($score, 'demand csv', 'p', 'p')), psql_as($dev, 'ana', sprintf($score, 'demand', 'p', 'p')), 'scoring is the same');
# The definition as SQL makes the same definition there; the set goes on with the next version.
my $call = psql_as($dev, 'ana', q{SELECT many_models.model_definition_sql('odd')});
psql_as($prod, 'robot', qq{SELECT FROM many_models.drop_models('odd')});
psql_as($prod, 'robot', $call);
is(psql_as($prod, 'robot', q{SELECT many_models.model_definition('odd')}), psql_as($dev, 'ana', q{SELECT many_models.model_definition('odd')}), 'the definition travels as SQL');
is(psql_as($prod, 'robot', q{SELECT version FROM many_models.import_models('piped')}), '2', 'an import is the next version');
is(psql_as($prod, 'robot', q{SELECT version FROM many_models.train_many_models('odd')}), '3', 'and the training after it');
# The models as SQL, in a database that has no extension.
$prod->safe_psql('postgres', 'CREATE DATABASE bare');
my $statement = psql_as($dev, 'ana', q{SELECT many_models.model_set_sql('odd', source => 'sales')});
is( $prod->safe_psql('bare', qq{
		$sales;
		SELECT count(prediction), round(sum(prediction)::numeric, 6) FROM ($statement) AS q}),
	psql_as($dev, 'ana', q{
		SELECT FROM many_models.score_many_models('odd', 'SELECT * FROM sales', 'o', '{price,colour}');
		SELECT count(prediction), round(sum(prediction)::numeric, 6) FROM o}),
	'the statement predicts where there is no extension');

# And in a database that is not PostgreSQL.
SKIP:
{
	my $python = q{import sqlite3};
	skip 'no python3 with sqlite3', 1 if system('python3', '-c', $python) != 0;
	psql_as($dev, 'ana', "\\copy (SELECT product, price, colour, prediction FROM o) TO '$directory/o.csv' (FORMAT csv)");
	PostgreSQL::Test::Utils::append_to_file("$directory/statement.sql", psql_as($dev, 'ana', q{SELECT many_models.model_set_sql('odd', source => 't')}));
	PostgreSQL::Test::Utils::append_to_file("$directory/score.py", <<'PYTHON');
import csv, sqlite3, sys
db = sqlite3.connect(':memory:')
db.execute('CREATE TABLE t (product TEXT, price INTEGER, colour TEXT, expected REAL)')
rows = csv.reader(open(sys.argv[1] + '/o.csv', encoding='utf-8', newline=''))
db.executemany('INSERT INTO t VALUES (?, ?, ?, ?)', rows)
statement = open(sys.argv[1] + '/statement.sql', encoding='utf-8').read()
print(db.execute('SELECT count(prediction), max(abs(prediction - expected)) < 1e-9 FROM (' + statement + ')').fetchone())
PYTHON
	is(`python3 $directory/score.py $directory`, "(30000, 1)\n", 'the statement predicts in SQLite');
}

# Other encodings: what has no categorical feature moves, keys in the new encoding.
for my $encoding ('LATIN1', 'SQL_ASCII')
{
	my $database = lc $encoding;
	$prod->safe_psql('postgres', "CREATE DATABASE $database TEMPLATE template0 ENCODING '$encoding' LOCALE 'C'");
	$prod->safe_psql($database, q{CREATE EXTENSION many_models; CREATE TABLE staged (line bigint, part text)});
	$prod->safe_psql($database, "\\copy staged FROM '$directory/odd.text'");
	like(sql_error($prod, q{SELECT many_models.import_models('staged')}, database => $database),
		qr/^(?:0A000|22P05): /, "$encoding: levels do not move");
	$prod->safe_psql($database, q{TRUNCATE staged});
	$prod->safe_psql($database, "\\copy staged FROM '$directory/demand.text'");
	is($prod->safe_psql($database, q{SELECT trained FROM many_models.import_models('staged')}), '1499', "$encoding: numbers do");
	is(contents($prod, 'demand', $database), contents($dev, 'demand'), "$encoding: and are the same");
}
psql_as($dev, 'ana', q{SELECT FROM many_models.train_many_models('accents', 'SELECT store, ''é'' || store % 3 AS key, price, units FROM sales WHERE store < 9', '{key}', 'units', '{price}')});
psql_as($dev, 'ana', "\\copy (" . sprintf($export, 'accents') . ") TO '$directory/accents'");
$prod->safe_psql('latin1', "TRUNCATE staged;\n\\copy staged FROM '$directory/accents'\nSELECT FROM many_models.import_models('staged')");
is($prod->safe_psql('latin1', q{SELECT DISTINCT octet_length(partition_key ->> 'key') FROM many_models.models WHERE model_set = 'accents'}),
	'2', 'keys are in the encoding of the database');
is($prod->safe_psql('latin1', q{SET client_encoding = 'UTF8'; SELECT many_models.predict('accents', '{"key": "é1"}', '{"price": 3}')}),
	psql_as($dev, 'ana', q{SELECT many_models.predict('accents', '{"key": "é1"}', '{"price": 3}')}), 'and are found by predict');
like(sql_error($prod, "TRUNCATE staged;\n\\copy staged FROM '$directory/accents'\nSELECT many_models.import_models('staged')", database => 'sql_ascii'),
	qr/^0A000: /, 'where no encoding is known, they are refused');

# Files that were damaged on the way.
my $before = registry_state($prod);
sub import_file
{
	my ($name, $lines) = @_;
	my $file = "$directory/$name";
	open(my $out, '>', $file) or die $!;
	print $out @$lines;
	close $out;
	return sql_error($prod, "CREATE TEMP TABLE staged (line bigint, part text);\n\\copy staged FROM '$file'\nSELECT many_models.import_models('staged', 'damaged');");
}
open(my $in, '<', "$directory/demand.text") or die $!;
my @lines = <$in>;
close $in;
is(scalar(@lines), 1502, 'a line per model and failure, a header and a trailer');
is(import_file('head', [ @lines[ 0 .. 999 ] ]), '22P04: the export ends at line 1000 of 1502', 'a file cut off');
is(import_file('hole', [ @lines[ 0 .. 99, 101 .. 1501 ] ]), '22P04: line 101 of the export is missing', 'a file with a hole');
is(import_file('twice', [ @lines, $lines[700] ]), '22P04: line 701 of the export is there twice', 'a line twice');
my @flipped = @lines;
$flipped[1200] =~ s/"model":"(.{50})(.)/'"model":"' . $1 . ($2 eq 'A' ? 'B' : 'A')/e;
is(import_file('bit', \@flipped), 'XX001: line 1201 of the export is damaged', 'a bit flipped');
my @renumbered = @lines;
$renumbered[10] =~ s/^11\t/12\t/;
$renumbered[11] =~ s/^12\t/11\t/;
is(import_file('order', \@renumbered), 'XX001: line 11 of the export is damaged', 'two lines exchanged');
is(import_file('reversed', [ reverse @lines ]), 'no error', 'the order of the rows does not matter');
$prod->safe_psql('postgres', q{SELECT FROM many_models.drop_models('damaged'); DROP VIEW damaged_models});
is(registry_state($prod), $before, 'nothing of it remains');

# Ended in the middle.
$prod->safe_psql('postgres', "CREATE TABLE staged (line bigint, part text);\n\\copy staged FROM '$directory/demand.text'");
my $slow = q{SELECT * FROM many_models.import_models('SELECT line, part FROM staged, pg_sleep(CASE WHEN line = 1400 THEN 600 ELSE 0 END)', 'cancelled')};
is(sql_error($prod, "SET statement_timeout = '500ms'; $slow"), '57014: canceling statement due to statement timeout', 'a time-out ends an import');
is(registry_state($prod), $before, 'nothing of it remains either');
is_clean($prod, 'cancelled import');
is($prod->safe_psql('postgres', q{SELECT trained FROM many_models.import_models('staged', 'cancelled')}), '1499', 'the next one works');

# An imported set survives a dump, and can be exported from the copy.
$prod->command_ok([ 'pg_dump', '-Fc', '--no-sync', '-f', "$directory/dump", 'postgres' ], 'pg_dump');
$prod->safe_psql('postgres', 'CREATE DATABASE restored');
$prod->command_ok([ 'pg_restore', '-d', 'restored', "$directory/dump" ], 'pg_restore');
is(contents($prod, 'cancelled', 'restored'), contents($dev, 'demand'), 'an imported set is in a dump');
is($prod->safe_psql('restored', q{SELECT count(*) FROM (SELECT part FROM many_models.export_models('cancelled') OFFSET 1 LIMIT 1500) AS e JOIN staged USING (part)}), '1500', 'and exported from its copy');

$dev->stop;
$prod->stop;
done_testing();
