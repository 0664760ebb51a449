// SPDX-License-Identifier: Apache-2.0
/* What a Java program does with Leat through pgjdbc and its defaults. Usage: JdbcClient HOST:PORT metadata|types|
 * statements; prints one "ok NAME" a check and exits with 1 at the first that is wrong. */
import java.math.BigDecimal;
import java.sql.*;
import java.util.*;

public class JdbcClient {
        static Connection c;

        interface Check {
                void run() throws Exception;
        }
        static void check(String name, Check check) throws Exception {
                try {
                        check.run();
                } catch (Throwable e) {
                        System.out.println("not ok " + name + ": " + e);
                        System.exit(1);
                }
                System.out.println("ok " + name);
        }
        static void same(Object is, Object wanted) {
                if (!Objects.equals(String.valueOf(is), String.valueOf(wanted)))
                        throw new IllegalStateException(is + " is not " + wanted);
        }
        /* Rows as "a,b;c,d". */
        static String rows(ResultSet r, String... columns) throws SQLException {
                List<String> rows = new ArrayList<>();
                while (r.next()) {
                        List<String> row = new ArrayList<>();
                        for (int i = 1; columns.length == 0 && i <= r.getMetaData().getColumnCount(); i++)
                                row.add(r.getString(i));
                        for (String column : columns)
                                row.add(r.getString(column));
                        rows.add(String.join(",", row.stream().map(String::valueOf).toList()));
                }
                return String.join(";", rows);
        }
        static String query(String sql) throws SQLException {
                try (Statement s = c.createStatement()) {
                        return rows(s.executeQuery(sql));
                }
        }

        static void metadata() throws Exception {
                DatabaseMetaData m = c.getMetaData();
                check("product", () -> same(m.getDatabaseProductName() + m.getDatabaseMajorVersion(), "PostgreSQL15"));
                check("getTables", () -> same(rows(m.getTables(null, "public", "%", new String[] {"TABLE", "VIEW",
                        "MATERIALIZED VIEW"}), "TABLE_NAME", "TABLE_TYPE"),
                        "per_site,MATERIALIZED VIEW;pairs,TABLE;scans,TABLE;sites,TABLE;heavy,VIEW"));
                check("getColumns", () -> same(rows(m.getColumns(null, null, "sites", null), "COLUMN_NAME", "TYPE_NAME",
                        "NULLABLE", "COLUMN_SIZE"),
                        "site,text,0,2147483647;name,text,1,2147483647;capacity,int8,1,19;price,numeric,1,12"));
                check("getPrimaryKeys", () -> same(rows(m.getPrimaryKeys(null, "public", "pairs"), "COLUMN_NAME", "KEY_SEQ",
                        "PK_NAME"), "a,1,pairs_pkey;b,2,pairs_pkey"));
                check("getIndexInfo", () -> same(rows(m.getIndexInfo(null, null, "pairs", true, false), "COLUMN_NAME",
                        "NON_UNIQUE"), "a,f;b,f"));
                check("getSchemas", () -> same(rows(m.getSchemas(), "TABLE_SCHEM"), "information_schema;pg_catalog;public"));
                check("getCatalogs", () -> same(rows(m.getCatalogs()), "leat"));
                check("getTypeInfo", () -> same(rows(m.getTypeInfo(), "TYPE_NAME").contains("timestamptz"), true));
                check("getImportedKeys", () -> same(rows(m.getImportedKeys(null, null, "sites")), ""));
                check("getExportedKeys", () -> same(rows(m.getExportedKeys(null, null, "sites")), ""));
                check("getCrossReference", () -> same(rows(m.getCrossReference(null, null, "a", null, null, "b")), ""));
                check("getProcedures", () -> same(rows(m.getProcedures(null, null, null)), ""));
                check("getFunctions", () -> same(rows(m.getFunctions(null, null, null)), ""));
                check("getFunctionColumns", () -> same(rows(m.getFunctionColumns(null, null, null, null)), ""));
                check("getTablePrivileges", () -> rows(m.getTablePrivileges(null, null, "sites")));
                check("getColumnPrivileges", () -> rows(m.getColumnPrivileges(null, null, "sites", "%")));
                check("getBestRowIdentifier", () -> same(rows(m.getBestRowIdentifier(null, null, "sites", 2, true),
                        "COLUMN_NAME"), "site"));
                check("getVersionColumns", () -> rows(m.getVersionColumns(null, null, "sites")));
                check("getUDTs", () -> same(rows(m.getUDTs(null, null, null, null)), ""));
                check("getTableTypes", () -> rows(m.getTableTypes()));
                check("getSQLKeywords", () -> same(m.getSQLKeywords().contains("topic"), true));
                check("limits", () -> same(m.getMaxColumnNameLength() + " " + m.getMaxIndexLength(), "63 0"));
                check("result metadata", () -> {
                        ResultSetMetaData r = c.createStatement().executeQuery("SELECT site, price, 1 + 1 FROM sites").getMetaData();
                        same(r.getColumnName(1) + r.getColumnTypeName(2) + r.getPrecision(2) + r.getScale(2) +
                             r.getColumnName(3) + r.isAutoIncrement(1) + r.isNullable(1), "sitenumeric122?column?false2");
                });
                check("schema", () -> same(c.getSchema() + c.getCatalog() + c.isValid(2), "publicleattrue"));
        }

        /* The same rows as text and, from the fifth execution on, binary. */
        static void types() throws Exception {
                PreparedStatement p = c.prepareStatement(
                        "SELECT ?::smallint, ?::int, ?::bigint, ?::text, ?::float8, ?::float4, ?::numeric(12,3), ?::boolean, " +
                        "?::timestamptz, ?::timestamp, ?::date, ?::time, ?::uuid, ?::bytea, " +
                        "170141183460469231731687303715884105727::hugeint, -0.001::numeric(38,10), 'NaN'::float8, " +
                        "'infinity'::timestamptz, ARRAY[1, 2, NULL], ARRAY['a b', NULL, ''], INTERVAL '1 month 2 days 3 hours', " +
                        "NULL::int, DATE '1969-12-31', TIMESTAMP '1900-01-01 00:00:00.000001'");
                for (int round = 0; round < 9; round++) {
                        p.setShort(1, (short)-3);
                        p.setInt(2, Integer.MIN_VALUE);
                        p.setLong(3, Long.MAX_VALUE);
                        p.setString(4, "hé\t\u2603");
                        p.setDouble(5, 2.5);
                        p.setFloat(6, -1.25f);
                        p.setBigDecimal(7, new BigDecimal("-12.345"));
                        p.setBoolean(8, true);
                        p.setObject(9, java.time.OffsetDateTime.parse("2024-01-02T03:04:05.678901Z"));
                        p.setObject(10, java.time.LocalDateTime.parse("2024-01-02T03:04:05.678"));
                        p.setObject(11, java.time.LocalDate.parse("2024-02-29"));
                        p.setObject(12, java.time.LocalTime.parse("01:02:03.5"));
                        p.setObject(13, UUID.fromString("550e8400-e29b-41d4-a716-446655440000"));
                        p.setBytes(14, new byte[] {0, (byte)255, 1});
                        final int number = round;
                        check("types, execution " + number, () -> {
                                ResultSet r = p.executeQuery();
                                r.next();
                                String[] wanted = {"-3", "-2147483648", "9223372036854775807", "hé\t\u2603", "2.5", "-1.25",
                                        "-12.345", "true", null, null, "2024-02-29", null, "550e8400-e29b-41d4-a716-446655440000", null,
                                        "170141183460469231731687303715884105727", "-0.0010000000", "NaN", null, null, null, null, "null",
                                        "1969-12-31", "1900-01-01 00:00:00.000001"};
                                for (int i = 0; i < wanted.length; i++)
                                        if (wanted[i] != null)
                                                same(r.getObject(i + 1), wanted[i]);
                                same(r.getObject(9, java.time.OffsetDateTime.class), "2024-01-02T03:04:05.678901Z");
                                same(r.getObject(10, java.time.LocalDateTime.class), "2024-01-02T03:04:05.678");
                                same(r.getObject(12, java.time.LocalTime.class), "01:02:03.500");
                                same(Arrays.toString(r.getBytes(14)), "[0, -1, 1]");
                                same(r.getObject(18, java.time.OffsetDateTime.class) == java.time.OffsetDateTime.MAX, true);
                                same(Arrays.toString((Object[])r.getArray(19).getArray()), "[1, 2, null]");
                                same(Arrays.toString((Object[])r.getArray(20).getArray()), "[a b, null, ]");
                                same(((org.postgresql.util.PGInterval)r.getObject(21)).getMonths() + " " +
                                     ((org.postgresql.util.PGInterval)r.getObject(21)).getHours(), "1 3");
                        });
                }
        }

        static void statements() throws Exception {
                check("array parameters", () -> {
                        PreparedStatement p = c.prepareStatement("SELECT package_id FROM scans WHERE weight_g = ANY(?) AND site = ANY(?)");
                        p.setArray(1, c.createArrayOf("int4", new Integer[] {100, 2000}));
                        p.setArray(2, c.createArrayOf("text", new String[] {"SEA", "a\"b,{}\\"}));
                        same(rows(p.executeQuery()), "p1;p2");
                });
                check("insert", () -> {
                        PreparedStatement p = c.prepareStatement("INSERT INTO sites VALUES (?, ?, ?, ?)");
                        p.setString(1, "j1");
                        p.setNull(2, Types.VARCHAR);
                        p.setLong(3, 5);
                        p.setBigDecimal(4, new BigDecimal("2.50"));
                        same(p.executeUpdate(), 1);
                        same(query("SELECT * FROM sites WHERE site = 'j1'"), "j1,null,5,2.50");
                });
                check("batch", () -> {
                        PreparedStatement p = c.prepareStatement("INSERT INTO pairs (a, b) VALUES (?, ?)");
                        for (int i = 0; i < 20; i++) {
                                p.setInt(1, i);
                                p.setString(2, "b" + i);
                                p.addBatch();
                        }
                        same(p.executeBatch().length, 20);
                        same(query("SELECT count(*), min(a), max(a) FROM pairs"), "20,0,19");
                });
                check("portions with another statement between", () -> {
                        c.setAutoCommit(false);
                        Statement s = c.createStatement();
                        s.setFetchSize(100);
                        ResultSet r = s.executeQuery("SELECT * FROM range(20000)");
                        long n = 0;
                        while (r.next()) {
                                same(r.getLong(1), n++);
                                if (n % 1000 == 0)
                                        same(query("SELECT count(*) FROM sites WHERE site = 'SEA'"), "1");
                        }
                        same(n, 20000);
                        c.commit();
                        c.setAutoCommit(true);
                });
                check("max rows", () -> {
                        Statement s = c.createStatement();
                        s.setMaxRows(4);
                        same(rows(s.executeQuery("SELECT * FROM range(10)")), "0;1;2;3");
                });
                check("errors", () -> {
                        try {
                                query("SELECT\n nope FROM scans");
                                throw new IllegalStateException("no error");
                        } catch (org.postgresql.util.PSQLException e) {
                                same(e.getSQLState() + " " + e.getServerErrorMessage().getPosition(), "42703 9");
                        }
                });
                check("a failed transaction", () -> {
                        c.setAutoCommit(false);
                        String states = "";
                        for (String sql : new String[] {"SELECT nope", "SELECT 1"})
                                try {
                                        query(sql);
                                } catch (SQLException e) {
                                        states += e.getSQLState() + " ";
                                }
                        c.rollback();
                        same(states + query("SELECT 1"), "42703 25P02 1");
                        Savepoint savepoint = c.setSavepoint("a");
                        try {
                                query("SELECT nope");
                        } catch (SQLException e) {
                                c.rollback(savepoint);
                        }
                        same(query("SELECT 2"), "2");
                        c.commit();
                        c.setAutoCommit(true);
                });
                check("read only, isolation", () -> {
                        c.setReadOnly(true);
                        same(query("SELECT 1"), "1");
                        c.setReadOnly(false);
                        c.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
                        same(c.getTransactionIsolation(), Connection.TRANSACTION_SERIALIZABLE);
                });
                check("query timeout", () -> {
                        Statement s = c.createStatement();
                        s.setQueryTimeout(1);
                        try {
                                s.executeQuery("SELECT count(*) FROM range(1000000000) a, range(1000) b");
                                throw new IllegalStateException("no error");
                        } catch (SQLException e) {
                                same(e.getSQLState(), "57014");
                        }
                        same(query("SELECT count(*) FROM sites WHERE site = 'SEA'"), "1");
                });
                check("copy", () -> {
                        java.io.StringWriter out = new java.io.StringWriter();
                        same(((org.postgresql.PGConnection)c).getCopyAPI().copyOut(
                                "COPY (SELECT site, name FROM sites WHERE site = 'SEA') TO STDOUT (FORMAT csv)", out), 1);
                        same(out, "SEA,Seattle\n");
                });
        }

        public static void main(String[] args) throws Exception {
                c = DriverManager.getConnection("jdbc:postgresql://" + args[0] + "/leat", "leat", "");
                switch (args[1]) {
                case "metadata" -> metadata();
                case "types" -> types();
                default -> statements();
                }
                c.close();
        }
}
