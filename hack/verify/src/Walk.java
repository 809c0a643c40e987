import java.sql.SQLException;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;

/** Walks one partition from genesis: every offset has one disposition, every hash is recomputed, the head is the head. */
final class Walk {
    private final Ledger ledger;
    private final Report.Partition partition;
    private final Heads heads;
    /** Null where only the tables are looked at. */
    private final KafkaLog.Partition log;
    private static final long DAY_US = 86_400_000_000L;

    private final Map<Long, Ledger.Dropped> dropped;
    private long next = 0;
    /** The latest record time met so far, and the latest month of a run that retention took. */
    private long latestUs = Long.MIN_VALUE;
    private long latestMonthUs = Long.MIN_VALUE;
    private byte[] chain;

    Walk(Ledger ledger, Report.Partition partition, Heads heads, KafkaLog.Partition log) throws SQLException {
        this.ledger = ledger;
        this.partition = partition;
        this.heads = heads;
        this.log = log;
        this.dropped = ledger.dropped(partition.topicId, partition.partition);
        this.chain = Chain.genesis(partition.topicId, partition.partition);
    }

    void run() throws SQLException {
        try (Ledger.Cursor entries = ledger.entries(partition.topicId, partition.partition)) {
            meetHead();
            for (Ledger.Entry entry = entries.next(); entry != null && partition.problem == null; entry = entries.next()) {
                step(entry);
            }
        }
        if (partition.problem == null) finish();
    }

    private void step(Ledger.Entry entry) {
        passDropped(entry.offset());
        if (partition.problem != null) return;
        if (entry.offset() > next && next < partition.nextOffset) {
            fail("Gap", next, "no row says what became of " + range(next, Math.min(entry.offset(), partition.nextOffset) - 1));
        } else if (entry.lastOffset() >= partition.nextOffset) {
            fail("BeyondProgress", Math.max(entry.offset(), partition.nextOffset),
                    "a row of " + entry.kind() + " lies beyond progress.next_offset " + partition.nextOffset);
        } else if (entry.offset() < next) {
            fail("Doubled", entry.offset(), "a second row, in " + entry.kind() + ", says what became of this offset");
        } else {
            check(entry);
        }
    }

    private void check(Ledger.Entry entry) {
        long offset = entry.offset();
        String malformed = malformed(entry);
        if (malformed != null) {
            fail("Malformed", offset, malformed);
            return;
        }
        if (entry.recordedUs() != null && entry.recordedUs() + DAY_US < latestMonthUs) {
            fail("DroppedOutOfPlace", offset, "a row older than a month that was dropped before it");
            return;
        }
        if (entry.event() && !hashHolds(entry)) return;

        long recordedMs = entry.recordedUs() == null ? 0 : Math.floorDiv(entry.recordedUs(), 1_000L);
        byte[] link = Chain.link(entry.disposition(), partition.topicId, partition.partition, offset, recordedMs,
                entry.tenant(), entry.hash());
        byte[] wanted = Chain.next(chain, link);
        if (!Arrays.equals(wanted, entry.chain())) {
            fail("ChainMismatch", offset, "the chain over this row and all before it is " + HexFormat.of().formatHex(wanted)
                    + ", the row holds " + HexFormat.of().formatHex(entry.chain()));
            return;
        }
        String columns = entry.event() ? columnsOf(entry) : null;
        if (columns != null) {
            fail("ColumnMismatch", offset, columns);
            return;
        }
        if (log != null) {
            KafkaLog.Difference difference = log.compare(entry);
            if (difference != null) {
                fail("LogMismatch", difference.offset(), difference.reason());
                return;
            }
        }
        chain = wanted;
        next = entry.lastOffset() + 1;
        if (entry.recordedUs() != null) latestUs = Math.max(latestUs, entry.recordedUs());
        partition.count(Report.Disposition.values()[entry.disposition()], entry.lastOffset() - offset + 1);
        meetHead();
    }

    /**
     * Goes on over what retention took: the chain after a run is the one recorded with it, and the next row must continue
     * it. Rows that are there are never passed. Record times rise along a partition, give or take a clock that stepped back:
     * a run between rows of other times was not taken by retention.
     */
    private void passDropped(long until) {
        for (Ledger.Dropped run = dropped.get(next); run != null && run.lastOffset() < until; run = dropped.get(next)) {
            if (latestUs != Long.MIN_VALUE && latestUs >= run.toUs() + DAY_US) {
                fail("DroppedOutOfPlace", next, "recorded as dropped with an older month than the rows before it");
                return;
            }
            if (run.chain().length != 32) {
                fail("Malformed", next, "the chain of a dropped run has " + run.chain().length + " bytes");
                return;
            }
            if (log != null) log.skip(next, run.lastOffset());
            latestMonthUs = Math.max(latestMonthUs, run.fromUs());
            chain = run.chain();
            partition.dropped += run.lastOffset() - next + 1;
            next = run.lastOffset() + 1;
            meetHead();
        }
    }

    private String malformed(Ledger.Entry entry) {
        boolean gone = entry.disposition() == Report.Disposition.Gone.ordinal();
        if (entry.disposition() < 0 || entry.disposition() >= Report.Disposition.values().length) {
            return "disposition " + entry.disposition() + " is none";
        }
        if (!entry.event() && entry.disposition() == 0) return "a skipped row says Stored";
        if (entry.lastOffset() < entry.offset()) return "last_offset " + entry.lastOffset() + " is before offset";
        if (!gone && entry.lastOffset() != entry.offset()) return "only Gone may cover more than one offset";
        if (gone && (entry.hash().length != 0 || !entry.tenant().isEmpty())) return "a Gone range has no sha256 and no tenant";
        if (gone) return entry.recordedUs() == null || entry.recordedUs() == 0 ? null : "a Gone range has no record time";
        if (entry.hash().length != 32) return "sha256 has " + entry.hash().length + " bytes";
        if (entry.recordedUs() == null) return "recorded_at is no finite time";
        // The link holds milliseconds: anything finer could be changed without the chain showing it.
        if (Math.floorMod(entry.recordedUs(), 1_000L) != 0) return "recorded_at is finer than a millisecond";
        return null;
    }

    private boolean hashHolds(Ledger.Entry entry) {
        List<Chain.Header> headers;
        try {
            headers = Chain.decodeHeaders(entry.headers());
        } catch (IllegalArgumentException error) {
            fail("Malformed", entry.offset(), "the headers column holds " + error.getMessage());
            return false;
        }
        if (Arrays.equals(Chain.recordHash(headers, entry.raw()), entry.hash())) return true;
        fail("HashMismatch", entry.offset(), "sha256 is not that of the stored bytes");
        return false;
    }

    private String columnsOf(Ledger.Entry entry) {
        String misplaced = ledger.misplaced(entry);
        return misplaced != null
                ? misplaced : Columns.mismatch(entry.columns(), Chain.decodeHeaders(entry.headers()), entry.raw());
    }

    private void finish() throws SQLException {
        passDropped(partition.nextOffset);
        if (partition.problem != null) return;
        if (next < partition.nextOffset) {
            fail("Gap", next, "no row says what became of " + range(next, partition.nextOffset - 1));
        } else if (!Arrays.equals(chain, partition.head)) {
            fail("HeadMismatch", next, "progress.chain is not the chain over the rows");
        } else if (heads.beyond(partition, next) != null) {
            fail("TailCut", next, heads.beyond(partition, next));
        } else if (log != null) {
            KafkaLog.Difference difference = log.finish(next);
            if (difference != null) fail("LogMismatch", difference.offset(), difference.reason());
        }
    }

    /** A head kept outside, taken at this offset, must be the one computed here. */
    private void meetHead() {
        String differs = heads.differs(partition, next, chain);
        if (differs != null) fail("Rewritten", next, differs);
    }

    private void fail(String check, long offset, String reason) {
        if (partition.problem != null) return;
        partition.problem = new Report.Problem(check, partition.topicId, partition.partition, offset, reason);
    }

    private static String range(long first, long last) {
        return first == last ? "offset " + first : "offsets " + first + " to " + last;
    }
}
