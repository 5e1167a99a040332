/*
 * What drivers do: the extended query protocol with parameters, prepared statements, results as text
 * and in binary, run against a server given by a connection string.
 *
 * Prints one line per check, "ok ..." or "not ok ...", and ends with 1 if one failed.
 */
#include <arpa/inet.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

enum { INT4 = 23, TEXT = 25, FLOAT8 = 701, TEXTARRAY = 1009, JSONB = 3802 };

static PGconn *connection;
static int failures;

static void
check(int good, const char *what)
{
	printf("%s - %s\n", good ? "ok" : "not ok", what);
	if (!good)
	{
		printf("# %s", PQerrorMessage(connection));
		failures++;
	}
}

static int64_t
int_of(const char *bytes, int length)
{
	uint32_t	words[2] = {0, 0};

	if (length == 4)
	{
		memcpy(words, bytes, 4);
		return (int32_t) ntohl(words[0]);
	}
	memcpy(words, bytes, 8);
	return (int64_t) (((uint64_t) ntohl(words[0]) << 32) | ntohl(words[1]));
}

static double
double_of(const char *bytes)
{
	int64_t		bits = int_of(bytes, 8);
	double		number;

	memcpy(&number, &bits, sizeof number);
	return number;
}

int
main(int argc, char **argv)
{
	PGresult   *result;
	double		as_text;

	if (argc != 2)
		return 2;
	connection = PQconnectdb(argv[1]);
	if (PQstatus(connection) != CONNECTION_OK)
	{
		fprintf(stderr, "%s", PQerrorMessage(connection));
		return 2;
	}
	result = PQexec(connection,
					"SET client_min_messages = warning; CREATE TEMP TABLE t AS SELECT 'Ort ' || i % 3 AS place, i AS x, 2 * i + i % 4 AS y "
					"FROM generate_series(1, 90) AS i");
	check(PQresultStatus(result) == PGRES_COMMAND_OK, "a table");
	PQclear(result);

	/* Training with typed parameters, the composite as text. */
	{
		const char *values[] = {"client's set", "SELECT * FROM t", "{place}", "y", "{x}",
			"{\"holdout\": {\"fraction\": 0.25}}", "2"};
		const Oid	types[] = {TEXT, TEXT, TEXTARRAY, TEXT, TEXTARRAY, JSONB, INT4};

		result = PQexecParams(connection,
							  "SELECT many_models.train_many_models($1, $2, $3, $4, $5, options => $6, workers => $7)",
							  7, types, values, NULL, NULL, 0);
		check(PQresultStatus(result) == PGRES_TUPLES_OK &&
			  strstr(PQgetvalue(result, 0, 0), ",\"client's set\",1,succeeded,3,3,0,0,90,") != NULL,
			  "train, parameters of given types, a composite as text");
		PQclear(result);
	}
	/* Parameters without types, columns in binary. */
	{
		const char *values[] = {"client's set"};

		result = PQexecParams(connection, "SELECT version, groups, rows_read, status, elapsed FROM many_models.train_many_models($1)",
							  1, NULL, values, NULL, NULL, 1);
		check(PQresultStatus(result) == PGRES_TUPLES_OK && PQfformat(result, 0) == 1 &&
			  int_of(PQgetvalue(result, 0, 0), 4) == 2 && int_of(PQgetvalue(result, 0, 1), 8) == 3 &&
			  int_of(PQgetvalue(result, 0, 2), 8) == 90 && PQgetlength(result, 0, 4) == 16,
			  "train again, columns in binary");
		PQclear(result);
		result = PQexecParams(connection, "SELECT many_models.train_many_models($1)",
							  1, NULL, values, NULL, NULL, 1);
		/* A composite in binary: number of columns, then type, length and value of each. */
		check(PQresultStatus(result) == PGRES_TUPLES_OK && PQgetlength(result, 0, 0) > 60 &&
			  int_of(PQgetvalue(result, 0, 0), 4) == 11, "train again, the composite in binary");
		PQclear(result);
	}
	/* predict, prepared, described, executed with binary parameters and result. */
	{
		const char *text[] = {"client's set", "{\"place\": \"Ort 1\"}", "{\"x\": 10}"};
		char		key[64] = "\001{\"place\": \"Ort 1\"}";
		char		features[64] = "\001{\"x\": 10}";
		const char *binary[] = {text[0], key, features};
		const int	lengths[] = {(int) strlen(text[0]), (int) strlen(key), (int) strlen(features)};
		const int	formats[] = {1, 1, 1};

		result = PQprepare(connection, "p", "SELECT many_models.predict($1, $2, $3)", 0, NULL);
		check(PQresultStatus(result) == PGRES_COMMAND_OK, "predict, prepared");
		PQclear(result);
		result = PQdescribePrepared(connection, "p");
		check(PQnparams(result) == 3 && PQparamtype(result, 1) == JSONB && PQftype(result, 0) == FLOAT8,
			  "predict, described");
		PQclear(result);
		result = PQexecPrepared(connection, "p", 3, text, NULL, NULL, 0);
		check(PQresultStatus(result) == PGRES_TUPLES_OK && !PQgetisnull(result, 0, 0), "predict, as text");
		as_text = atof(PQgetvalue(result, 0, 0));
		check(fabs(as_text - 21.5) < 2, "predict, the right number");
		PQclear(result);
		for (int i = 0; i < 20; i++)	/* beyond the switch to a generic plan */
		{
			result = PQexecPrepared(connection, "p", 3, binary, lengths, formats, 1);
			if (PQresultStatus(result) != PGRES_TUPLES_OK || double_of(PQgetvalue(result, 0, 0)) != as_text)
				break;
			PQclear(result);
			result = NULL;
		}
		check(result == NULL, "predict, in binary, twenty times");
		PQclear(result);
		text[1] = NULL;
		result = PQexecPrepared(connection, "p", 3, text, NULL, NULL, 1);
		check(PQresultStatus(result) == PGRES_TUPLES_OK && PQgetisnull(result, 0, 0), "predict of NULL");
		PQclear(result);
	}
	/* A model in binary, sent back as a parameter; a damaged one is an error. */
	{
		Oid			type;
		char	   *bytes;
		int			length;

		result = PQexecParams(connection,
							  "SELECT many_models.fit('{}', y, ARRAY[x]::float8[]) FROM t WHERE place = 'Ort 1'",
							  0, NULL, NULL, NULL, NULL, 1);
		check(PQresultStatus(result) == PGRES_TUPLES_OK && PQgetlength(result, 0, 0) > 32, "fit, in binary");
		type = PQftype(result, 0);
		length = PQgetlength(result, 0, 0);
		bytes = malloc((size_t) length);
		memcpy(bytes, PQgetvalue(result, 0, 0), (size_t) length);
		PQclear(result);
		for (int damaged = 0; damaged < 2; damaged++)
		{
			const char *values[] = {bytes};
			const int	format = 1;

			bytes[length - 1] ^= (char) damaged;
			result = PQexecParams(connection, "SELECT many_models.predict($1, ARRAY[10]::float8[])",
								  1, &type, values, &length, &format, 1);
			if (damaged)
				check(PQresultStatus(result) == PGRES_FATAL_ERROR &&
					  strstr(PQresultErrorMessage(result), "checksum") != NULL,
					  "a damaged model in binary is an error");
			else
				check(PQresultStatus(result) == PGRES_TUPLES_OK &&
					  fabs(double_of(PQgetvalue(result, 0, 0)) - as_text) < 1e-9, "the model sent back");
			PQclear(result);
		}
		free(bytes);
	}
	/* Scoring, and its predictions row by row. */
	{
		const char *values[] = {"client's set", "t", "\"predictions of t\"", "{x}"};
		const Oid	types[] = {TEXT, TEXT, TEXT, TEXTARRAY};
		int			rows = 0;

		result = PQexecParams(connection,
							  "SELECT rows_read FROM many_models.score_many_models($1, $2, into_table => $3, id_columns => $4)",
							  4, types, values, NULL, NULL, 1);
		check(PQresultStatus(result) == PGRES_TUPLES_OK && int_of(PQgetvalue(result, 0, 0), 8) == 90, "score");
		PQclear(result);
		check(PQsendQueryParams(connection, "SELECT place, x, prediction FROM \"predictions of t\"",
								0, NULL, NULL, NULL, NULL, 1) == 1 && PQsetSingleRowMode(connection) == 1,
			  "predictions, row by row");
		while ((result = PQgetResult(connection)) != NULL)
		{
			if (PQresultStatus(result) == PGRES_SINGLE_TUPLE && !PQgetisnull(result, 0, 2) &&
				isfinite(double_of(PQgetvalue(result, 0, 2))))
				rows++;
			PQclear(result);
		}
		check(rows == 90, "all of them");
	}
	/* An error leaves the connection usable; a pipeline works. */
	{
		const char *values[] = {"no such set", "{}", "{}"};
		int			good = 0;

		result = PQexecPrepared(connection, "p", 3, values, NULL, NULL, 1);
		check(PQresultStatus(result) == PGRES_FATAL_ERROR &&
			  strcmp(PQresultErrorField(result, PG_DIAG_SQLSTATE), "42704") == 0, "an unknown set");
		PQclear(result);
		check(PQenterPipelineMode(connection) == 1, "a pipeline");
		values[0] = "client's set";
		values[1] = "{\"place\": \"Ort 2\"}";
		values[2] = "{\"x\": 10}";
		for (int i = 0; i < 5; i++)
			PQsendQueryPrepared(connection, "p", 3, values, NULL, NULL, 1);
		PQpipelineSync(connection);
		for (int i = 0; i < 5; i++)
		{
			result = PQgetResult(connection);
			good += PQresultStatus(result) == PGRES_TUPLES_OK;
			PQclear(result);
			PQclear(PQgetResult(connection));
		}
		PQclear(PQgetResult(connection));
		check(good == 5, "five predictions in it");
		PQexitPipelineMode(connection);
	}
	result = PQexec(connection, "SELECT many_models.drop_models('client''s set')");
	check(PQresultStatus(result) == PGRES_TUPLES_OK && strcmp(PQgetvalue(result, 0, 0), "9") == 0, "drop");
	PQclear(result);
	PQfinish(connection);
	return failures == 0 ? 0 : 1;
}
