/*
 * What programs in Java and BI tools do by JDBC: prepared statements with typed parameters, a transaction taken
 * back, rows by a cursor, time-outs, and the metadata from which a tool builds its lists of tables and columns.
 *
 * Arguments: the path of the server's socket, user. Prints one line per check, "ok ..." or "not ok ...", and ends
 * with 1 if one failed.
 */
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.Socket;
import java.net.SocketAddress;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.Channels;
import java.nio.channels.SocketChannel;
import java.sql.CallableStatement;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Types;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.TreeMap;
import javax.net.SocketFactory;
import org.postgresql.util.PGInterval;
import org.postgresql.util.PGobject;
import org.postgresql.util.PSQLException;

public class Jdbc
{
	private static int failures;
	private final Connection connection;

	private Jdbc(Connection connection)
	{
		this.connection = connection;
	}

	/* The driver speaks TCP only, and a server under test opens no port: its socket, as the driver wants one. */
	public static class UnixSockets extends SocketFactory
	{
		private final String path;

		public UnixSockets(String path)
		{
			this.path = path;
		}

		@Override
		public Socket createSocket()
		{
			return new UnixSocket(path);
		}

		@Override
		public Socket createSocket(String host, int port)
		{
			return createSocket();
		}

		@Override
		public Socket createSocket(String host, int port, InetAddress local, int localPort)
		{
			return createSocket();
		}

		@Override
		public Socket createSocket(InetAddress host, int port)
		{
			return createSocket();
		}

		@Override
		public Socket createSocket(InetAddress host, int port, InetAddress local, int localPort)
		{
			return createSocket();
		}
	}

	private static class UnixSocket extends Socket
	{
		private final String path;
		private SocketChannel channel;

		UnixSocket(String path)
		{
			this.path = path;
		}

		@Override
		public void connect(SocketAddress ignored, int timeout) throws IOException
		{
			channel = SocketChannel.open(UnixDomainSocketAddress.of(path));
		}

		@Override
		public InputStream getInputStream()
		{
			return Channels.newInputStream(channel);
		}

		@Override
		public OutputStream getOutputStream()
		{
			return Channels.newOutputStream(channel);
		}

		@Override
		public boolean isConnected()
		{
			return channel != null;
		}

		@Override
		public boolean isClosed()
		{
			return channel != null && !channel.isOpen();
		}

		@Override
		public void close() throws IOException
		{
			if (channel != null)
				channel.close();
		}

		/* Options of TCP mean nothing here. */
		@Override
		public void setTcpNoDelay(boolean on)
		{
		}

		@Override
		public void setKeepAlive(boolean on)
		{
		}

		@Override
		public void setSoTimeout(int timeout)
		{
		}

		@Override
		public int getSoTimeout()
		{
			return 0;
		}

		@Override
		public void setReceiveBufferSize(int size)
		{
		}

		@Override
		public void setSendBufferSize(int size)
		{
		}

		@Override
		public int getSendBufferSize()
		{
			return 8192;
		}
	}

	private static void check(boolean good, String what)
	{
		System.out.println((good ? "ok - " : "not ok - ") + what);
		if (!good)
			failures++;
	}

	private static void same(Object got, Object expected, String what)
	{
		boolean good = got == null ? expected == null : got.equals(expected);

		check(good, what);
		if (!good)
			System.out.println("# " + got + "\n# instead of\n# " + expected);
	}

	private static PGobject jsonb(String text) throws SQLException
	{
		PGobject object = new PGobject();

		object.setType("jsonb");
		object.setValue(text);
		return object;
	}

	private void run(String sql) throws SQLException
	{
		try (Statement statement = connection.createStatement())
		{
			statement.execute(sql);
		}
	}

	/* The first column of the first row, as text. */
	private String ask(String sql) throws SQLException
	{
		try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(sql))
		{
			return rows.next() ? rows.getString(1) : "no row";
		}
	}

	private interface Action
	{
		void run() throws SQLException;
	}

	private static SQLException errorOf(Action action)
	{
		try
		{
			action.run();
			return new SQLException("no error");
		}
		catch (SQLException error)
		{
			return error;
		}
	}

	private PreparedStatement prepareTraining(String name) throws SQLException
	{
		PreparedStatement train = connection.prepareStatement(
			"SELECT * FROM many_models.train_many_models(?, ?, ?, ?, ?, options => ?, workers => ?)");

		train.setString(1, name);
		train.setString(2, "SELECT * FROM orders");
		train.setArray(3, connection.createArrayOf("text", new String[] {"place"}));
		train.setString(4, "y");
		train.setArray(5, connection.createArrayOf("text", new String[] {"x"}));
		train.setObject(6, jsonb("{\"holdout\": {\"fraction\": 0.25}}"));
		train.setInt(7, 2);
		return train;
	}

	private void training() throws SQLException
	{
		try (PreparedStatement train = prepareTraining("jdbc's \"set\""); ResultSet row = train.executeQuery())
		{
			ResultSetMetaData columns = row.getMetaData();

			row.next();
			same(row.getString("model_set") + row.getInt("version") + row.getString("status") + row.getLong("trained"),
				"jdbc's \"set\"1succeeded3", "train, typed parameters, columns by name");
			same(columns.getColumnTypeName(11) + columns.getColumnType(1) + columns.getColumnType(3),
				"interval" + Types.BIGINT + Types.INTEGER, "train, types of the result");
			check(((PGInterval) row.getObject("elapsed")).getSeconds() >= 0, "train, the elapsed time");
		}
		/* Text that is to be jsonb takes a cast, as in every statement of JDBC. */
		SQLException error = errorOf(() -> {
			try (PreparedStatement bad = connection.prepareStatement("SELECT many_models.predict(?, ?, ?)"))
			{
				bad.setString(1, "jdbc's \"set\"");
				bad.setString(2, "{\"place\": \"Ort 1\"}");
				bad.setString(3, "{\"x\": 10}");
				bad.executeQuery();
			}
		});
		same(error.getSQLState(), "42883", "text for jsonb is an error of types");

		connection.setAutoCommit(false);
		try (PreparedStatement train = prepareTraining("taken back"); ResultSet row = train.executeQuery())
		{
			check(row.next(), "train in a transaction");
		}
		same(ask("SELECT count(*) FROM many_models.models WHERE model_set = 'taken back'"), "3", "its models are seen in it");
		connection.rollback();
		connection.setAutoCommit(true);
		same(ask("SELECT count(*) FROM many_models.runs WHERE model_set = 'taken back'"), "0", "and are gone with it");
	}

	private void prediction() throws SQLException
	{
		try (PreparedStatement predict = connection.prepareStatement("SELECT many_models.predict(?, ?::jsonb, ?)"))
		{
			double first = 0;
			boolean equal = true;

			predict.setString(1, "jdbc's \"set\"");
			predict.setString(2, "{\"place\": \"Ort 1\"}");
			predict.setObject(3, jsonb("{\"x\": 10}"));
			/* From the fifth on the driver prepares it at the server and takes results in binary. */
			for (int i = 0; i < 20; i++)
			{
				try (ResultSet row = predict.executeQuery())
				{
					row.next();
					if (i == 0)
						first = row.getDouble(1);
					equal &= Double.doubleToLongBits(row.getDouble(1)) == Double.doubleToLongBits(first) && !row.wasNull();
				}
			}
			check(Math.abs(first - 21.5) < 2, "predict, the right number");
			check(equal, "predict, the same bits as text and in binary");
			predict.setNull(2, Types.VARCHAR);
			try (ResultSet row = predict.executeQuery())
			{
				row.next();
				check(row.getDouble(1) == 0 && row.wasNull(), "predict of NULL");
			}
			predict.setString(2, "{\"place\": \"nowhere\"}");
			try (ResultSet row = predict.executeQuery())
			{
				row.next();
				check(row.getObject(1) == null, "predict of a group without a model");
			}
			predict.setString(1, "no such set");
			PSQLException error = (PSQLException) errorOf(predict::executeQuery);
			same(error.getSQLState(), "42704", "the SQLSTATE of an error");
			check(error.getServerErrorMessage().getHint() != null, "and its hint");
		}
		try (CallableStatement call = connection.prepareCall("{? = call many_models.predict(?, ?, ?)}"))
		{
			call.registerOutParameter(1, Types.DOUBLE);
			call.setString(2, "jdbc's \"set\"");
			call.setObject(3, jsonb("{\"place\": \"Ort 2\"}"));
			call.setObject(4, jsonb("{\"x\": 10}"));
			call.execute();
			check(Math.abs(call.getDouble(1) - 21.5) < 2, "predict, as a call of a function");
		}
	}

	/* A model as a value: out of the server and back. */
	private void model() throws SQLException
	{
		PGobject model;

		try (Statement statement = connection.createStatement();
			ResultSet row = statement.executeQuery("SELECT many_models.fit('{}', y, ARRAY[x]::float8[]) FROM orders"))
		{
			row.next();
			model = (PGobject) row.getObject(1);
		}
		try (PreparedStatement predict = connection.prepareStatement("SELECT many_models.predict(?, ?)"))
		{
			predict.setObject(1, model);
			predict.setArray(2, connection.createArrayOf("float8", new Double[] {10.0}));
			try (ResultSet row = predict.executeQuery())
			{
				row.next();
				check(Math.abs(row.getDouble(1) - 21.5) < 2, "a model of type " + model.getType() + ", sent back");
			}
		}
	}

	private void scoring() throws SQLException
	{
		try (PreparedStatement score = connection.prepareStatement(
			"SELECT rows_read FROM many_models.score_many_models(?, ?, into_table => ?, id_columns => ?)"))
		{
			score.setString(1, "jdbc's \"set\"");
			score.setString(2, "orders");
			score.setString(3, "\"predictions of orders\"");
			score.setArray(4, connection.createArrayOf("text", new String[] {"x"}));
			try (ResultSet row = score.executeQuery())
			{
				row.next();
				same(row.getLong(1), 900L, "score");
			}
		}
		connection.setAutoCommit(false);
		try (Statement statement = connection.createStatement())
		{
			int rows = 0;

			statement.setFetchSize(100);
			try (ResultSet row = statement.executeQuery("SELECT place, x, prediction FROM \"predictions of orders\""))
			{
				while (row.next())
					rows += Double.isFinite(row.getDouble(3)) && !row.wasNull() ? 1 : 0;
			}
			same(rows, 900, "predictions, by a cursor");
		}
		connection.commit();
		connection.setAutoCommit(true);
	}

	private void timeout() throws SQLException
	{
		SQLException error = errorOf(() -> {
			try (Statement statement = connection.createStatement())
			{
				statement.setQueryTimeout(1);
				statement.executeQuery("SELECT many_models.train_many_models('late', "
					+ "'SELECT i % 1000 AS g, i AS x, i AS y FROM generate_series(1, 1000000000::bigint) AS i', '{g}', 'y', '{x}')");
			}
		});

		same(error.getSQLState(), "57014", "a time-out cancels a training");
		same(ask("SELECT count(*) FROM many_models.model_sets WHERE model_set = 'late'"), "0", "the session goes on, and nothing is left");
	}

	/* What a row of the metadata says, its named columns with | between. */
	private static List<String> rowsOf(ResultSet rows, String... names) throws SQLException
	{
		List<String> all = new ArrayList<>();

		while (rows.next())
		{
			StringBuilder text = new StringBuilder();

			for (String name : names)
				text.append(text.length() > 0 ? "|" : "").append(rows.getString(name));
			all.add(text.toString());
		}
		rows.close();
		return all;
	}

	private void metadata() throws SQLException
	{
		DatabaseMetaData data = connection.getMetaData();
		List<String> views = rowsOf(data.getTables(null, "many_models", "%", new String[] {"VIEW"}), "TABLE_NAME", "REMARKS");

		check(views.contains("models|one row per trained model"), "the views, with comments");
		check(views.size() >= 10 && views.stream().noneMatch(view -> view.endsWith("|null")), "no view without");

		List<String> columns = rowsOf(data.getColumns(null, "many_models", "models", "%"),
			"COLUMN_NAME", "DATA_TYPE", "TYPE_NAME", "REMARKS");
		check(columns.contains("n_rows|" + Types.BIGINT + "|int8|rows the final model was fitted on"), "a column of a view: type, comment");
		check(columns.contains("trained_at|" + Types.TIMESTAMP + "|timestamptz|when the run finished"), "a time");
		check(columns.stream().anyMatch(column -> column.startsWith("partition_key|" + Types.OTHER + "|jsonb|")), "a key");

		TreeMap<String, Integer> unknown = new TreeMap<>();
		try (ResultSet rows = data.getColumns(null, "many_models", "%", "%"))
		{
			while (rows.next())
				if (rows.getInt("DATA_TYPE") == Types.OTHER && !rows.getString("TYPE_NAME").matches("jsonb|interval|oid|xid8|tid|pg_node_tree|reg.*"))
					unknown.merge(rows.getString("TYPE_NAME"), 1, Integer::sum);
		}
		same(unknown.keySet().toString(), "[\"many_models\".\"model\"]", "the only type that tools do not know is a model's");

		/* The set's own view and the predictions, as a tool lists what is in the user's schema. */
		columns = rowsOf(data.getColumns(null, "public", "jdbc's \"set\"_models", "%"), "COLUMN_NAME", "TYPE_NAME");
		check(columns.contains("place|text") && columns.contains("model_id|int8"), "the view of the set: keys as columns");
		check(rowsOf(data.getTables(null, "public", "predictions of orders", null), "TABLE_TYPE", "REMARKS").toString()
			.matches("\\[PARTITIONED TABLE\\|.*jdbc's \"set\".*\\]"), "the predictions: a table with a comment");
		columns = rowsOf(data.getColumns(null, "public", "predictions of orders", "prediction"), "TYPE_NAME", "REMARKS");
		check(columns.size() == 1 && columns.get(0).matches("float8\\|.+") && !columns.get(0).endsWith("|null"), "and columns with comments");

		List<String> parameters = rowsOf(data.getFunctionColumns(null, "many_models", "train_many_models", "%"), "COLUMN_NAME", "TYPE_NAME");
		check(parameters.contains("model_set|text") && parameters.contains("options|jsonb"), "parameters of a function by name");
		List<String> functions = rowsOf(data.getFunctions(null, "many_models", "%"), "FUNCTION_NAME", "REMARKS");
		check(functions.size() > 40 && functions.stream().noneMatch(function -> function.endsWith("|null")), "functions with comments");
	}

	public static void main(String[] arguments) throws SQLException
	{
		Properties properties = new Properties();

		properties.setProperty("user", arguments[1]);
		properties.setProperty("socketFactory", UnixSockets.class.getName());
		properties.setProperty("socketFactoryArg", arguments[0]);
		properties.setProperty("sslmode", "disable");
		properties.setProperty("gssEncMode", "disable");
		try (Connection connection = DriverManager.getConnection("jdbc:postgresql://localhost/postgres", properties))
		{
			Jdbc client = new Jdbc(connection);

			client.run("CREATE TABLE orders AS SELECT 'Ort ' || i % 3 AS place, i AS x, 2 * i + i % 4 AS y FROM generate_series(1, 900) AS i");
			client.training();
			client.prediction();
			client.model();
			client.scoring();
			client.timeout();
			client.metadata();
			client.run("DROP TABLE \"predictions of orders\"");
			client.run("SELECT many_models.drop_models('jdbc''s \"set\"')");
			client.run("DROP TABLE orders");
		}
		System.exit(failures == 0 ? 0 : 1);
	}
}
