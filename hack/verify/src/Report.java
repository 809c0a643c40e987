import java.util.ArrayList;
import java.util.EnumMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.UUID;

/** What was looked at and what was found; printed as a table or as JSON. */
final class Report {
    /** What became of an offset; the ordinal is the byte in the link. */
    enum Disposition { Stored, Duplicate, Conflict, DeadLettered, Excluded, Expired, Gone }

    /** `offset` is -1 where the problem belongs to none. */
    record Problem(String check, UUID topicId, int partition, long offset, String reason) {}

    /** A partition's chain up to `nextOffset`; `problem` is the first one met, and the walk ended there. */
    static final class Partition {
        final UUID topicId;
        final int partition;
        final long nextOffset;
        final byte[] head;
        final Map<Disposition, Long> offsets = new EnumMap<>(Disposition.class);
        /** Offsets that retention took. */
        long dropped;
        Problem problem;
        long comparedWithLog;
        /** Of those: records whose recorded_at is the sink's clock, which the log cannot confirm. */
        long withoutAppendTime;
        Long logEnd;

        Partition(UUID topicId, int partition, long nextOffset, byte[] head) {
            this.topicId = topicId;
            this.partition = partition;
            this.nextOffset = nextOffset;
            this.head = head;
        }

        void count(Disposition disposition, long number) {
            offsets.merge(disposition, number, Long::sum);
        }
    }

    final List<Partition> partitions = new ArrayList<>();
    /** Those of no single walk: ids, the ledger, conflicts, heads, the dead-letter topic. */
    final List<Problem> problems = new ArrayList<>();

    boolean good() {
        return problems.isEmpty() && partitions.stream().allMatch(partition -> partition.problem == null);
    }

    String table() {
        StringBuilder out = new StringBuilder();
        out.append(String.format("%-36s %9s %12s %10s %10s %9s %12s %8s %8s  %s%n", "TOPIC ID", "PARTITION", "OFFSETS",
                "STORED", "DUPLICATE", "CONFLICT", "DEADLETTERED", "OTHER", "LOG", "RESULT"));
        for (Partition p : partitions) {
            long other = p.offsets.getOrDefault(Disposition.Excluded, 0L)
                    + p.offsets.getOrDefault(Disposition.Expired, 0L) + p.offsets.getOrDefault(Disposition.Gone, 0L) + p.dropped;
            String result = p.problem == null ? "good" : p.problem.check + " at offset " + p.problem.offset;
            out.append(String.format("%-36s %9d %12d %10d %10d %9d %12d %8d %8d  %s%n", p.topicId, p.partition,
                    p.nextOffset, p.offsets.getOrDefault(Disposition.Stored, 0L),
                    p.offsets.getOrDefault(Disposition.Duplicate, 0L), p.offsets.getOrDefault(Disposition.Conflict, 0L),
                    p.offsets.getOrDefault(Disposition.DeadLettered, 0L), other, p.comparedWithLog, result));
        }
        for (Problem problem : all()) {
            out.append(problem.check).append(": ").append(problem.reason);
            if (problem.topicId != null) {
                out.append(" (topic ").append(problem.topicId).append(", partition ").append(problem.partition)
                        .append(problem.offset < 0 ? "" : ", offset " + problem.offset).append(')');
            }
            out.append(System.lineSeparator());
        }
        long unconfirmed = partitions.stream().mapToLong(partition -> partition.withoutAppendTime).sum();
        if (unconfirmed > 0) {
            out.append("RecordTimeUntrusted: the log has no append time for ").append(unconfirmed)
                    .append(" of the records compared; their recorded_at is the sink's clock").append(System.lineSeparator());
        }
        out.append(good() ? "Verified: every offset is accounted for and every chain holds" : "Not verified");
        return out.toString();
    }

    String json() {
        StringBuilder out = new StringBuilder("{\"good\":").append(good()).append(",\"partitions\":[");
        String separator = "";
        for (Partition p : partitions) {
            out.append(separator).append("{\"topicId\":").append(quote(p.topicId.toString()))
                    .append(",\"partition\":").append(p.partition)
                    .append(",\"nextOffset\":").append(p.nextOffset)
                    .append(",\"head\":").append(quote(HexFormat.of().formatHex(p.head)))
                    .append(",\"comparedWithLog\":").append(p.comparedWithLog)
                    .append(",\"withoutAppendTime\":").append(p.withoutAppendTime)
                    .append(",\"logEnd\":").append(p.logEnd)
                    .append(",\"dropped\":").append(p.dropped)
                    .append(",\"good\":").append(p.problem == null).append(",\"offsets\":{");
            String inner = "";
            for (Map.Entry<Disposition, Long> entry : p.offsets.entrySet()) {
                out.append(inner).append(quote(entry.getKey().name())).append(':').append(entry.getValue());
                inner = ",";
            }
            out.append("}}");
            separator = ",";
        }
        out.append("],\"problems\":[");
        separator = "";
        for (Problem problem : all()) {
            out.append(separator).append("{\"check\":").append(quote(problem.check))
                    .append(",\"topicId\":").append(problem.topicId == null ? "null" : quote(problem.topicId.toString()))
                    .append(",\"partition\":").append(problem.partition)
                    .append(",\"offset\":").append(problem.offset)
                    .append(",\"reason\":").append(quote(problem.reason)).append('}');
            separator = ",";
        }
        return out.append("]}").toString();
    }

    private List<Problem> all() {
        List<Problem> all = new ArrayList<>();
        for (Partition partition : partitions) if (partition.problem != null) all.add(partition.problem);
        all.addAll(problems);
        return all;
    }

    static String quote(String text) {
        StringBuilder out = new StringBuilder("\"");
        for (char c : text.toCharArray()) {
            if (c == '"' || c == '\\') out.append('\\').append(c);
            else if (c < 0x20 || Character.isSurrogate(c)) out.append(String.format("\\u%04x", (int) c));
            else out.append(c);
        }
        return out.append('"').toString();
    }
}
