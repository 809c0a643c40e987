import java.io.IOException;
import java.math.BigDecimal;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;

/**
 * Chain heads kept outside the database: one JSON object a line, {topicId, partition, nextOffset, chain, at}. A ledger
 * that was cut at its end or written anew from some offset on is whole in itself; only these show it.
 */
final class Heads {
    private record Head(long nextOffset, String chain) {}

    private final Map<String, List<Head>> kept = new HashMap<>();
    private final List<String> lines = new ArrayList<>();

    static Heads none() {
        return new Heads();
    }

    static Heads read(Path file) throws IOException {
        Heads heads = new Heads();
        for (String line : Files.readAllLines(file)) {
            if (line.isBlank()) continue;
            if (!(Json.parse(line) instanceof Map<?, ?> head)) throw new IllegalArgumentException("not a head: " + line);
            String key = head.get("topicId") + "/" + head.get("partition");
            long nextOffset = ((BigDecimal) head.get("nextOffset")).longValueExact();
            heads.kept.computeIfAbsent(key, none -> new ArrayList<>()).add(new Head(nextOffset, (String) head.get("chain")));
            heads.lines.add(line);
        }
        return heads;
    }

    String differs(Report.Partition partition, long nextOffset, byte[] chain) {
        String found = HexFormat.of().formatHex(chain);
        for (Head head : of(partition)) {
            if (head.nextOffset == nextOffset && !head.chain.equals(found)) {
                return "the head kept outside for the offsets before this is " + head.chain + ", the rows give " + found;
            }
        }
        return null;
    }

    String beyond(Report.Partition partition, long nextOffset) {
        for (Head head : of(partition)) {
            if (head.nextOffset > nextOffset) return "a head kept outside was taken at next offset " + head.nextOffset;
        }
        return null;
    }

    /** Partitions a head was kept for and of which the ledger knows nothing any more. */
    List<String> missing(List<Report.Partition> present) {
        List<String> names = present.stream().map(Heads::key).toList();
        return kept.keySet().stream().filter(key -> !names.contains(key)).sorted().toList();
    }

    /** Adds the verified heads after those already kept; the file is replaced as a whole. */
    void write(Path file, List<Report.Partition> verified) throws IOException {
        List<String> out = new ArrayList<>(lines);
        for (Report.Partition p : verified) {
            String chain = HexFormat.of().formatHex(p.head);
            if (of(p).contains(new Head(p.nextOffset, chain))) continue;
            out.add("{\"topicId\":\"" + p.topicId + "\",\"partition\":" + p.partition + ",\"nextOffset\":" + p.nextOffset
                    + ",\"chain\":\"" + chain + "\",\"at\":\"" + Instant.now() + "\"}");
        }
        Path absolute = file.toAbsolutePath();
        Path part = Files.createTempFile(absolute.getParent(), absolute.getFileName().toString(), ".part");
        Files.write(part, out);
        Files.move(part, absolute, StandardCopyOption.REPLACE_EXISTING, StandardCopyOption.ATOMIC_MOVE);
    }

    private List<Head> of(Report.Partition partition) {
        return kept.getOrDefault(key(partition), List.of());
    }

    private static String key(Report.Partition partition) {
        return partition.topicId + "/" + partition.partition;
    }
}
