import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.ExecutionException;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** The topic itself, read beside the ledger: what is stored must be what the log holds. */
final class KafkaLog implements AutoCloseable {
    private static final Duration POLL = Duration.ofMillis(500);
    /** Polls without a record before a partition that should have more is given up. */
    private static final int EMPTY_POLLS = 60;
    private static final Set<String> ADDED = Set.of("audit-error-class", "audit-error-reason", "audit-error-detail",
            "audit-sink", "audit-source-topic", "audit-source-topic-id", "audit-source-partition", "audit-source-offset",
            "audit-source-timestamp", "audit-attempts");

    record Difference(long offset, String reason) {}

    final UUID topicId;
    private final String topic;
    private final Properties properties;
    /** By "topic id/partition/offset": the hashes of the originals found in dead letters. Null without a DLQ. */
    private final Map<String, Set<String>> deadLetters;

    KafkaLog(String bootstrap, String topic, String deadLetterTopic, String sink) throws ExecutionException, InterruptedException {
        this.topic = topic;
        properties = new Properties();
        properties.put("bootstrap.servers", bootstrap);
        properties.put("enable.auto.commit", "false");
        properties.put("isolation.level", "read_committed");
        properties.put("max.poll.records", "2000");
        try (Admin admin = Admin.create(properties)) {
            var id = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).topicId();
            topicId = new UUID(id.getMostSignificantBits(), id.getLeastSignificantBits());
        }
        deadLetters = deadLetterTopic == null ? null : readDeadLetters(deadLetterTopic, sink);
    }

    /** The log's records at the offsets of conflicts, by "topic id/partition/offset"; complete after every walk. */
    final Map<String, String> conflicts = new HashMap<>();

    /** A record's value and headers as one hash. */
    static String whole(byte[] value, List<Chain.Header> headers) {
        byte[] encoded = Chain.encodeHeaders(headers);
        return java.util.HexFormat.of().formatHex(Chain.sha256(out -> {
            out.writeInt(value.length);
            out.write(value);
            out.write(encoded);
        }));
    }

    Partition partition(int partition, long until) {
        return new Partition(new TopicPartition(topic, partition), until);
    }

    private KafkaConsumer<byte[], byte[]> consumer() {
        return new KafkaConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private Map<String, Set<String>> readDeadLetters(String deadLetterTopic, String sink) {
        Map<String, Set<String>> found = new HashMap<>();
        try (KafkaConsumer<byte[], byte[]> consumer = consumer()) {
            List<TopicPartition> all = consumer.partitionsFor(deadLetterTopic).stream()
                    .map(info -> new TopicPartition(deadLetterTopic, info.partition())).toList();
            consumer.assign(all);
            consumer.seekToBeginning(all);
            Map<TopicPartition, Long> ends = consumer.endOffsets(all);
            int empty = 0;
            while (all.stream().anyMatch(tp -> consumer.position(tp) < ends.get(tp)) && empty < EMPTY_POLLS) {
                var records = consumer.poll(POLL);
                empty = records.isEmpty() ? empty + 1 : 0;
                for (var record : records) {
                    if (sink != null && !sink.equals(header(record, "audit-sink"))) continue;
                    String identity = header(record, "audit-source-topic-id") + "/" + header(record, "audit-source-partition")
                            + "/" + header(record, "audit-source-offset");
                    found.computeIfAbsent(identity, none -> new HashSet<>()).add(original(record));
                }
            }
        }
        return found;
    }

    private static String header(ConsumerRecord<byte[], byte[]> record, String name) {
        var header = record.headers().lastHeader(name);
        return header == null || header.value() == null ? null : new String(header.value(), StandardCharsets.UTF_8);
    }

    /** Key, value and headers without those a dead letter adds or replaces. */
    private static String original(ConsumerRecord<byte[], byte[]> record) {
        List<Chain.Header> kept = headers(record).filter(header -> !ADDED.contains(header.name())).toList();
        byte[] hash = Chain.sha256(out -> {
            for (byte[] part : Arrays.asList(record.key(), record.value(), Chain.encodeHeaders(kept))) {
                out.writeInt(part == null ? -1 : part.length);
                if (part != null) out.write(part);
            }
        });
        return java.util.HexFormat.of().formatHex(hash);
    }

    private static Stream<Chain.Header> headers(ConsumerRecord<byte[], byte[]> record) {
        return StreamSupport.stream(record.headers().spliterator(), false)
                .map(header -> new Chain.Header(header.key().getBytes(StandardCharsets.UTF_8), header.value()));
    }

    /** Dead letters whose offset the ledger knows as something else; call after every walk. */
    void unaccounted(Report report) {
        if (deadLetters == null) return;
        for (String identity : deadLetters.keySet()) {
            String[] parts = identity.split("/");
            if (!parts[0].equals(topicId.toString())) continue;
            report.problems.add(new Report.Problem("DeadLetterUnaccounted", topicId, Integer.parseInt(parts[1]),
                    Long.parseLong(parts[2]), "a dead letter of an offset that is not DeadLettered in the ledger"));
        }
    }

    @Override
    public void close() {}

    /** One partition's records in step with the walk. */
    final class Partition implements AutoCloseable {
        final long logStart;
        final long logEnd;
        private final KafkaConsumer<byte[], byte[]> consumer = consumer();
        private final TopicPartition source;
        private final long until;
        private final Deque<ConsumerRecord<byte[], byte[]>> fetched = new ArrayDeque<>();
        long compared = 0;
        /** Of those compared: CreateTime, so that nothing in the log says when the broker took them. */
        long withoutAppendTime = 0;

        private Partition(TopicPartition source, long until) {
            this.source = source;
            consumer.assign(List.of(source));
            consumer.seekToBeginning(List.of(source));
            logStart = consumer.beginningOffsets(List.of(source)).get(source);
            logEnd = consumer.endOffsets(List.of(source)).get(source);
            this.until = Math.min(until, logEnd);
        }

        Difference compare(Ledger.Entry entry) {
            ConsumerRecord<byte[], byte[]> record = peek();
            if (entry.disposition() == Report.Disposition.Gone.ordinal()) {
                return record != null && record.offset() <= entry.lastOffset()
                        ? new Difference(record.offset(), "said to be Gone, and the log has it") : null;
            }
            if (entry.offset() < logStart) {
                // The log's retention took the record; its dead letter is kept for longer, or is gone, too.
                if (entry.disposition() == Report.Disposition.DeadLettered.ordinal()) account(entry.offset());
                return null;
            }
            if (record == null || record.offset() != entry.offset()) {
                return new Difference(entry.offset(), "the log has no record at this offset");
            }
            fetched.poll();
            compared++;
            if (entry.disposition() == Report.Disposition.Conflict.ordinal()) {
                byte[] value = record.value() == null ? Chain.EMPTY : record.value();
                conflicts.put(topicId + "/" + source.partition() + "/" + entry.offset(), whole(value, headers(record).toList()));
            }
            String reason = difference(entry, record);
            return reason == null ? null : new Difference(entry.offset(), reason);
        }

        private String difference(Ledger.Entry entry, ConsumerRecord<byte[], byte[]> record) {
            List<Chain.Header> original = headers(record).toList();
            if (!Arrays.equals(Chain.recordHash(original, record.value()), entry.hash())) {
                return "sha256 is not that of the log's record";
            }
            if (record.timestampType() != TimestampType.LOG_APPEND_TIME) {
                withoutAppendTime++;
            } else if (record.timestamp() * 1_000L != entry.recordedUs()) {
                return "recorded_at is not the broker's append time " + record.timestamp();
            }
            // The table cannot tell a null value from an empty one.
            byte[] value = record.value() == null ? Chain.EMPTY : record.value();
            if (entry.event() && !Arrays.equals(entry.raw(), value)) return "raw is not the log's value";
            if (entry.event() && !Arrays.equals(entry.headers(), Chain.encodeHeaders(original))) {
                return "headers are not the log's headers";
            }
            return entry.disposition() == Report.Disposition.DeadLettered.ordinal() ? deadLettered(entry, record) : null;
        }

        private String deadLettered(Ledger.Entry entry, ConsumerRecord<byte[], byte[]> record) {
            if (deadLetters == null) return null;
            Set<String> found = account(entry.offset());
            if (found == null) return "DeadLettered, and the dead-letter topic has no such identity";
            return found.equals(Set.of(original(record))) ? null : "the dead letter is not the log's record";
        }

        /** The dead letter of an offset is as it should be: whoever is left in the end is not. */
        private Set<String> account(long offset) {
            return deadLetters == null ? null : deadLetters.remove(topicId + "/" + source.partition() + "/" + offset);
        }

        /** What retention took from the ledger, and the log may still have, or the dead-letter topic. */
        void skip(long first, long last) {
            if (deadLetters != null) deadLetters.keySet().removeIf(identity -> isWithin(identity, first, last));
            for (ConsumerRecord<byte[], byte[]> record = peek(); record != null && record.offset() <= last; record = peek()) {
                fetched.poll();
            }
        }

        private boolean isWithin(String identity, long first, long last) {
            String prefix = topicId + "/" + source.partition() + "/";
            if (!identity.startsWith(prefix)) return false;
            long offset = Long.parseLong(identity.substring(prefix.length()));
            return offset >= first && offset <= last;
        }

        /** Records left over before `next`, which the walk passed without looking at them. */
        Difference finish(long next) {
            ConsumerRecord<byte[], byte[]> record = peek();
            return record != null && record.offset() < next
                    ? new Difference(record.offset(), "the log has a record the ledger does not account for") : null;
        }

        private ConsumerRecord<byte[], byte[]> peek() {
            for (int empty = 0; fetched.isEmpty() && consumer.position(source) < until && empty < EMPTY_POLLS; empty++) {
                for (var record : consumer.poll(POLL).records(source)) fetched.add(record);
                if (!fetched.isEmpty()) break;
            }
            return fetched.peek();
        }

        @Override
        public void close() {
            consumer.close();
        }
    }
}
