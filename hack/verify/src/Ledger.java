import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.OffsetDateTime;
import java.time.format.DateTimeFormatter;
import java.time.format.DateTimeFormatterBuilder;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Reads the ledger's tables, in one snapshot, with SELECT alone. */
final class Ledger {
    private static final int FETCH_ROWS = 500;
    private static final String POSITION = " WHERE topic_id = ? AND partition = ? ORDER BY \"offset\"";

    final Connection connection;
    /** The schema, quoted. */
    final String schema;
    private final Map<Long, Month> months = new HashMap<>();
    /** Put before a query: `all_events` is what can be read of events, `dropped` the months that retention took. */
    final String with;

    /** The range of recorded_at a child table of `events` may hold, in microseconds; `to` is exclusive. */
    private record Month(String name, long from, long to) {}

    Ledger(Connection connection, String schema) throws SQLException {
        this.connection = connection;
        this.schema = '"' + schema.replace("\"", "\"\"") + '"';
        connection.setAutoCommit(false);
        try (Statement statement = connection.createStatement()) {
            statement.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY");
            statement.execute("SET TIME ZONE 'UTC'");
            statement.execute("SET DateStyle = 'ISO'");
        }
        readMonths();
        with = beginning();
    }

    /** Months on their way out (docs/retention.md) are read beside `events` until their table is gone. */
    private String beginning() throws SQLException {
        StringBuilder all = new StringBuilder("WITH all_events AS NOT MATERIALIZED (SELECT tableoid::bigint AS table_oid, * FROM "
                + schema + ".events");
        String none = ", dropped AS (SELECT now() AS from_time, now() AS to_time, now() AS forgotten_at WHERE false) ";
        try (Statement statement = connection.createStatement()) {
            ResultSet exists = statement.executeQuery("SELECT to_regclass('" + (schema + ".dropped_months").replace("'", "''") + "')");
            if (!exists.next() || exists.getString(1) == null) return all + ")" + none;
            ResultSet row = statement.executeQuery("SELECT c.oid::bigint, c.relname, d.from_time::text, d.to_time::text FROM "
                    + schema + ".dropped_months d JOIN pg_class c ON c.relname = d.table_name AND c.relnamespace = "
                    + "(SELECT relnamespace FROM pg_class WHERE oid = '" + (schema + ".events").replace("'", "''") + "'::regclass)"
                    + " LEFT JOIN pg_inherits i ON i.inhrelid = c.oid WHERE d.dropped_at IS NULL AND c.relkind = 'r'"
                    + " AND (i.inhrelid IS NULL OR i.inhdetachpending)");
            while (row.next()) {
                String table = row.getString(2);
                months.put(row.getLong(1), new Month(table, micros(row.getString(3)), micros(row.getString(4))));
                all.append(" UNION ALL SELECT tableoid::bigint, * FROM ").append(schema).append(".\"")
                        .append(table.replace("\"", "\"\"")).append('"');
            }
        }
        return all + "), dropped AS (SELECT from_time, to_time, forgotten_at FROM " + schema
                + ".dropped_months WHERE dropped_at IS NOT NULL) ";
    }

    /** A run of offsets that retention took, the chain after it, and the month it was in. */
    record Dropped(long offset, long lastOffset, byte[] chain, long fromUs, long toUs) {}

    /** By first offset. Those of months that are not dropped yet are not needed: their rows are there. */
    Map<Long, Dropped> dropped(UUID topicId, int partition) throws SQLException {
        Map<Long, Dropped> found = new HashMap<>();
        if (!hasDrops()) return found;
        String sql = "SELECT r.\"offset\", r.last_offset, r.chain, d.from_time::text, d.to_time::text FROM " + schema
                + ".dropped_ranges r JOIN " + schema + ".dropped_months d ON d.id = r.drop_id WHERE d.dropped_at IS NOT NULL"
                + " AND r.topic_id = ? AND r.partition = ? AND r.last_offset >= r.\"offset\"";
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
            statement.setObject(1, topicId);
            statement.setInt(2, partition);
            ResultSet row = statement.executeQuery();
            while (row.next()) {
                found.put(row.getLong(1), new Dropped(row.getLong(1), row.getLong(2), row.getBytes(3),
                        micros(row.getString(4)), micros(row.getString(5))));
            }
        }
        return found;
    }

    boolean hasDrops() {
        return !with.contains("WHERE false");
    }

    /** One offset, or a range of offsets the log never had. `columns` is null for a skipped one. */
    record Entry(
            boolean event, long offset, long lastOffset, Long recordedUs, int disposition, String tenant, byte[] hash,
            byte[] chain, byte[] raw, byte[] headers, long table, Columns.Row columns) {

        String kind() {
            return event ? "events" : "skipped";
        }
    }

    List<Report.Partition> progress() throws SQLException {
        List<Report.Partition> found = new ArrayList<>();
        String sql = "SELECT topic_id, partition, next_offset, chain FROM " + schema + ".progress ORDER BY 1, 2";
        try (Statement statement = connection.createStatement(); ResultSet row = statement.executeQuery(sql)) {
            while (row.next()) {
                found.add(new Report.Partition(row.getObject(1, UUID.class), row.getInt(2), row.getLong(3), row.getBytes(4)));
            }
        }
        return found;
    }

    /** Why a row's record time does not belong in the table it lies in, or null. */
    String misplaced(Entry entry) {
        Month month = months.get(entry.table);
        if (month == null) return "the row lies in a table that is no month of events";
        if (entry.recordedUs >= month.from && entry.recordedUs < month.to) return null;
        return "recorded_at lies outside its partition " + month.name;
    }

    private void readMonths() throws SQLException {
        String sql = "SELECT c.oid::bigint, c.relname, pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits i"
                + " JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = '" + (schema + ".events").replace("'", "''")
                + "'::regclass";
        Pattern bounds = Pattern.compile("FOR VALUES FROM \\('([^']+)'\\) TO \\('([^']+)'\\)");
        try (Statement statement = connection.createStatement(); ResultSet row = statement.executeQuery(sql)) {
            while (row.next()) {
                Matcher m = bounds.matcher(row.getString(3));
                if (m.matches()) months.put(row.getLong(1), new Month(row.getString(2), micros(m.group(1)), micros(m.group(2))));
            }
        }
    }

    private static final DateTimeFormatter ISO = new DateTimeFormatterBuilder()
            .appendPattern("yyyy-MM-dd HH:mm:ss").appendOffset("+HH:mm", "+00").toFormatter();

    private static long micros(String timestamp) {
        return OffsetDateTime.parse(timestamp, ISO).toEpochSecond() * 1_000_000L;
    }

    Cursor entries(UUID topicId, int partition) throws SQLException {
        return new Cursor(topicId, partition);
    }

    /** `events` and `skipped` of one partition, merged by offset. */
    final class Cursor implements AutoCloseable {
        private final Side events;
        private final Side skipped;

        private Cursor(UUID topicId, int partition) throws SQLException {
            String columns = "SELECT \"offset\", " + us("recorded_at") + ", tenant, sha256, chain";
            events = new Side(with + columns + ", raw, headers, table_oid, source, id, type, subject, " + us("event_time")
                    + ", actor_type, actor_id, action, outcome, reason, target_type, target_id, trace_id, details::text"
                    + " FROM all_events" + POSITION, topicId, partition, true);
            skipped = new Side(columns + ", last_offset, disposition FROM " + schema + ".skipped" + POSITION,
                    topicId, partition, false);
        }

        private static String us(String column) {
            return "CASE WHEN isfinite(" + column + ") THEN (extract(epoch FROM " + column + ") * 1000000)::bigint END";
        }

        /** The next entry in offset order, or null. */
        Entry next() throws SQLException {
            if (events.head == null) return skipped.take();
            if (skipped.head == null) return events.take();
            return events.head.offset <= skipped.head.offset ? events.take() : skipped.take();
        }

        @Override
        public void close() throws SQLException {
            events.statement.close();
            skipped.statement.close();
        }
    }

    private final class Side {
        final PreparedStatement statement;
        private final ResultSet rows;
        private final boolean event;
        Entry head;

        Side(String sql, UUID topicId, int partition, boolean event) throws SQLException {
            this.event = event;
            statement = connection.prepareStatement(sql);
            statement.setFetchSize(FETCH_ROWS);
            statement.setObject(1, topicId);
            statement.setInt(2, partition);
            rows = statement.executeQuery();
            head = read();
        }

        Entry take() throws SQLException {
            Entry taken = head;
            head = read();
            return taken;
        }

        private Entry read() throws SQLException {
            if (!rows.next()) return null;
            long offset = rows.getLong(1);
            Long recorded = rows.getObject(2, Long.class);
            if (!event) {
                return new Entry(false, offset, rows.getLong(6), recorded, rows.getInt(7), rows.getString(3), rows.getBytes(4),
                        rows.getBytes(5), null, null, 0, null);
            }
            Map<String, String> texts = new HashMap<>();
            for (String name : List.of("source", "id", "type", "subject", "actor_type", "actor_id", "action", "outcome",
                    "reason", "target_type", "target_id", "trace_id", "details")) {
                texts.put(name, rows.getString(name));
            }
            Long eventTime = rows.getObject(13, Long.class);
            return new Entry(true, offset, offset, recorded, 0, rows.getString(3), rows.getBytes(4), rows.getBytes(5),
                    rows.getBytes(6), rows.getBytes(7), rows.getLong(8), new Columns.Row() {
                        @Override
                        public String text(String column) {
                            return texts.get(column);
                        }

                        @Override
                        public Long eventTimeMicros() {
                            return eventTime;
                        }
                    });
        }
    }
}
