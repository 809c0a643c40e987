import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;

/** What holds across partitions: ids are unique, the id ledger and the conflicts agree with the rows. */
final class Checks {
    private static final String AT_MOST = " LIMIT 20";

    /** The event that a Duplicate or a Conflict repeats may be one of those that retention took. */
    private static final String NOTHING_DROPPED = " AND NOT EXISTS (SELECT FROM dropped)";

    private final Ledger ledger;
    private final Report report;
    /** What a person says the retention is; 0 where only the ledger's own word counts. */
    private final int retentionMonths;
    /** By "topic id/partition/offset": the log's records of conflicts, as `KafkaLog.whole` has them. */
    private final Map<String, String> logged;

    Checks(Ledger ledger, Report report, int retentionMonths, Map<String, String> logged) {
        this.retentionMonths = retentionMonths;
        this.logged = logged;
        this.ledger = ledger;
        this.report = report;
    }

    void run() throws SQLException {
        each("DuplicateId", "the same (tenant, source, id) is stored more than once",
                "SELECT topic_id, partition, \"offset\" FROM (SELECT topic_id, partition, \"offset\", row_number() OVER"
                        + " (PARTITION BY tenant, source, id ORDER BY recorded_at, topic_id, partition, \"offset\") AS n"
                        + " FROM all_events) r WHERE n > 1");
        each("NoProgress", "rows of a partition that progress does not know",
                "SELECT topic_id, partition, min(\"offset\") FROM (SELECT topic_id, partition, \"offset\" FROM all_events"
                        + " UNION ALL SELECT topic_id, partition, \"offset\" FROM S.skipped"
                        + " UNION ALL SELECT topic_id, partition, \"offset\" FROM S.conflicts) r WHERE NOT EXISTS"
                        + " (SELECT FROM S.progress p WHERE p.topic_id = r.topic_id AND p.partition = r.partition) GROUP BY 1, 2");
        idLedger();
        conflicts();
        each("DuplicateOfNothing", "skipped as Duplicate, but no event has these bytes",
                "SELECT topic_id, partition, \"offset\" FROM S.skipped s WHERE disposition = 1 AND NOT EXISTS"
                        + " (SELECT FROM all_events e WHERE e.sha256 = s.sha256 AND e.tenant = s.tenant)" + NOTHING_DROPPED);
        if (ledger.hasDrops()) dropped();
    }

    /** A month was dropped no earlier than its retention said; how many events went is the sum of its runs. */
    private void dropped() throws SQLException {
        query("SELECT d.from_time::date::text, d.retention_months, d.events, (SELECT coalesce(sum(r.last_offset - r.\"offset\" + 1), 0)"
                + " FROM S.dropped_ranges r WHERE r.drop_id = d.id), d.to_time > date_trunc('month', d.dropped_at)"
                + " - make_interval(months => greatest(d.retention_months, " + retentionMonths + "))"
                + " FROM S.dropped_months d WHERE dropped_at IS NOT NULL ORDER BY 1", row -> {
            String month = row.getString(1).substring(0, 7);
            if (row.getBoolean(5)) {
                problem("DroppedEarly", null, 0, -1, "month " + month + " was dropped before it was "
                        + Math.max(row.getInt(2), retentionMonths) + " months old");
            }
            if (row.getLong(3) != row.getLong(4)) {
                problem("DroppedMismatch", null, 0, -1, "month " + month + " was dropped with " + row.getLong(3)
                        + " events, and dropped_ranges accounts for " + row.getLong(4));
            }
        });
    }

    /** Each event has its entry, each entry its event. */
    private void idLedger() throws SQLException {
        Map<UUID, byte[]> wanted = new HashMap<>();
        Map<UUID, long[]> recorded = new HashMap<>();
        String us = ", (extract(epoch FROM recorded_at) * 1000000)::bigint";
        query("SELECT tenant, source, id, sha256, topic_id, partition, \"offset\"" + us + " FROM all_events WHERE isfinite(recorded_at)", row -> {
            UUID key = Chain.eventKey(row.getString(1), row.getString(2), row.getString(3));
            wanted.put(key, row.getBytes(4));
            recorded.put(key, new long[] {row.getLong(8)});
        });
        long[] unknown = {0};
        // Ids go shortly after their month.
        query("SELECT key, sha256" + us + " FROM S.event_ids i WHERE isfinite(recorded_at) AND NOT EXISTS (SELECT FROM dropped d"
                + " WHERE d.forgotten_at IS NULL AND i.recorded_at >= d.from_time AND i.recorded_at < d.to_time)", row -> {
            UUID key = row.getObject(1, UUID.class);
            byte[] hash = wanted.remove(key);
            if (hash == null) unknown[0]++;
            else if (!Arrays.equals(hash, row.getBytes(2)) || recorded.get(key)[0] != row.getLong(3)) {
                problem("IdLedgerMismatch", null, 0, -1, "event_ids holds another sha256 or record time than events, key " + key);
            }
        });
        if (unknown[0] > 0) problem("IdLedgerMismatch", null, 0, -1, unknown[0] + " rows of event_ids have no event");
        if (!wanted.isEmpty()) problem("IdLedgerMismatch", null, 0, -1, wanted.size() + " events have no row in event_ids");
    }

    /** Each conflict is a skipped offset of that disposition with those bytes, and beside an event of the same id. */
    private void conflicts() throws SQLException {
        query("SELECT topic_id, partition, \"offset\", raw, headers, sha256, source, id FROM S.conflicts", row -> {
            String reason = mismatch(row);
            if (reason != null) problem("ConflictMismatch", row.getObject(1, UUID.class), row.getInt(2), row.getLong(3), reason);
        });
        String same = "c.topic_id = s.topic_id AND c.partition = s.partition AND c.\"offset\" = s.\"offset\"";
        each("ConflictMismatch", "skipped as Conflict, but conflicts has not this one row with the same hash, tenant and time",
                "SELECT topic_id, partition, \"offset\" FROM S.skipped s WHERE disposition = 2 AND 1 <> (SELECT count(*)"
                        + " FROM S.conflicts c WHERE " + same + " AND c.sha256 = s.sha256 AND c.tenant = s.tenant"
                        + " AND c.recorded_at = s.recorded_at) AND NOT EXISTS (SELECT FROM dropped d"
                        + " WHERE s.recorded_at >= d.from_time AND s.recorded_at < d.to_time)");
        each("ConflictMismatch", "a conflict whose offset was not skipped as Conflict",
                "SELECT topic_id, partition, \"offset\" FROM S.conflicts c WHERE NOT EXISTS"
                        + " (SELECT FROM S.skipped s WHERE s.disposition = 2 AND " + same + ")");
        each("ConflictMismatch", "a conflict beside no event of the same id with other bytes",
                "SELECT topic_id, partition, \"offset\" FROM S.conflicts c WHERE NOT EXISTS (SELECT FROM all_events e WHERE"
                        + " e.tenant = c.tenant AND e.source = c.source AND e.id = c.id AND e.sha256 <> c.sha256)" + NOTHING_DROPPED);
    }

    /** Of one row of `conflicts` by itself: no walk looks at its bytes. */
    private String mismatch(ResultSet row) throws SQLException {
        byte[] raw = row.getBytes(4);
        List<Chain.Header> headers;
        try {
            headers = Chain.decodeHeaders(row.getBytes(5));
        } catch (IllegalArgumentException error) {
            return "the headers column holds " + error.getMessage();
        }
        if (!Arrays.equals(Chain.recordHash(headers, raw), row.getBytes(6))) return "sha256 of the conflict is not that of its bytes";
        String column = Columns.identityMismatch(Map.of("source", row.getString(7), "id", row.getString(8)), headers, raw);
        if (column != null) return column;
        String whole = logged.get(row.getObject(1, UUID.class) + "/" + row.getInt(2) + "/" + row.getLong(3));
        return whole == null || whole.equals(KafkaLog.whole(raw, headers)) ? null : "the conflict is not the log's record";
    }

    private void each(String check, String reason, String sql) throws SQLException {
        query(sql + AT_MOST, row -> problem(check, row.getObject(1, UUID.class), row.getInt(2), row.getLong(3), reason));
    }

    private void problem(String check, UUID topicId, int partition, long offset, String reason) {
        if (report.problems.size() < 200) report.problems.add(new Report.Problem(check, topicId, partition, offset, reason));
    }

    private interface EachRow {
        void accept(ResultSet row) throws SQLException;
    }

    private void query(String sql, EachRow each) throws SQLException {
        try (Statement statement = ledger.connection.createStatement()) {
            statement.setFetchSize(1_000);
            try (ResultSet row = statement.executeQuery(ledger.with + sql.replace("S.", ledger.schema + "."))) {
                while (row.next()) each.accept(row);
            }
        }
    }
}
