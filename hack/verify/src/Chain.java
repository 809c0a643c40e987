import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.UUID;

/** The hashes of docs/chain.md: a record's sha256, an offset's link, a partition's chain. All numbers big endian. */
final class Chain {
    static final byte[] EMPTY = new byte[0];

    private Chain() {}

    /** One header of a record; a null value is not an empty one. */
    record Header(byte[] key, byte[] value) {
        String name() {
            return new String(key, StandardCharsets.UTF_8);
        }
    }

    static byte[] genesis(UUID topicId, int partition) {
        return sha256(out -> {
            out.write("audit-pipeline/v1".getBytes(StandardCharsets.US_ASCII));
            writeUuid(out, topicId);
            out.writeInt(partition);
        });
    }

    static byte[] link(
            int disposition, UUID topicId, int partition, long offset, long recordedAtMs, String tenant, byte[] hash) {
        byte[] name = tenant.getBytes(StandardCharsets.UTF_8);
        return sha256(out -> {
            out.writeByte(0x01);
            out.writeByte(disposition);
            writeUuid(out, topicId);
            out.writeInt(partition);
            out.writeLong(offset);
            out.writeLong(recordedAtMs);
            out.writeShort(name.length);
            out.write(name);
            out.write(hash);
        });
    }

    static byte[] next(byte[] previous, byte[] link) {
        return sha256(out -> {
            out.write(previous);
            out.write(link);
        });
    }

    /**
     * What makes two records the same event: in structured mode the value; in binary mode content-type and the ce_*
     * headers sorted by name, then the value, each with an int32 length before it.
     */
    static byte[] recordHash(List<Header> headers, byte[] value) {
        byte[] raw = value == null ? EMPTY : value;
        if (!isBinaryMode(headers)) return sha256(out -> out.write(raw));
        List<Header> attributes = headers.stream()
                .filter(header -> isAttribute(header.name()))
                .sorted(Comparator.comparing(Header::key, java.util.Arrays::compareUnsigned))
                .toList();
        return sha256(out -> {
            for (Header header : attributes) {
                writeSized(out, header.key());
                writeSized(out, header.value());
            }
            writeSized(out, raw);
        });
    }

    /** Kafka protocol binding, section 3: content-type application/cloudevents* is structured, else ce_* is binary. */
    static boolean isBinaryMode(List<Header> headers) {
        boolean structured = headers.stream()
                .filter(header -> header.name().equals("content-type") && header.value() != null)
                .anyMatch(header -> trimSpaces(new String(header.value(), StandardCharsets.ISO_8859_1))
                        .toLowerCase(Locale.ROOT).startsWith("application/cloudevents"));
        return !structured && headers.stream().anyMatch(header -> header.name().startsWith("ce_"));
    }

    /** Spaces and tabs alone: what else Unicode calls white space is part of the value. */
    static String trimSpaces(String text) {
        return text.replaceAll("^[ \\t]++|(?<![ \\t])[ \\t]++$", "");
    }

    private static boolean isAttribute(String name) {
        return name.equals("content-type") || name.startsWith("ce_");
    }

    static byte[] encodeHeaders(List<Header> headers) {
        return bytes(out -> {
            for (Header header : headers) {
                writeSized(out, header.key());
                writeSized(out, header.value());
            }
        });
    }

    /** Throws IllegalArgumentException where the bytes are not what encodeHeaders writes. */
    static List<Header> decodeHeaders(byte[] encoded) {
        ByteBuffer in = ByteBuffer.wrap(encoded);
        List<Header> headers = new ArrayList<>();
        while (in.hasRemaining()) {
            byte[] key = readSized(in);
            if (key == null) throw new IllegalArgumentException("a header without a key");
            headers.add(new Header(key, readSized(in)));
        }
        return headers;
    }

    private static byte[] readSized(ByteBuffer in) {
        if (in.remaining() < 4) throw new IllegalArgumentException("a length is cut off");
        int length = in.getInt();
        if (length == -1) return null;
        if (length < 0 || length > in.remaining()) throw new IllegalArgumentException("a length of " + length);
        byte[] value = new byte[length];
        in.get(value);
        return value;
    }

    private static void writeSized(DataOutputStream out, byte[] value) throws IOException {
        out.writeInt(value == null ? -1 : value.length);
        if (value != null) out.write(value);
    }

    private static void writeUuid(DataOutputStream out, UUID id) throws IOException {
        out.writeLong(id.getMostSignificantBits());
        out.writeLong(id.getLeastSignificantBits());
    }

    /** The id ledger's key: the first half of SHA-256 over tenant, source and id, each with a uint16 length before it. */
    static UUID eventKey(String tenant, String source, String id) {
        byte[] digest = sha256(out -> {
            for (String part : List.of(tenant, source, id)) {
                byte[] text = part.getBytes(StandardCharsets.UTF_8);
                out.writeShort(text.length);
                out.write(text);
            }
        });
        ByteBuffer in = ByteBuffer.wrap(digest);
        return new UUID(in.getLong(), in.getLong());
    }

    interface Content {
        void writeTo(DataOutputStream out) throws IOException;
    }

    static byte[] sha256(Content content) {
        try {
            return MessageDigest.getInstance("SHA-256").digest(bytes(content));
        } catch (NoSuchAlgorithmException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    private static byte[] bytes(Content content) {
        ByteArrayOutputStream collected = new ByteArrayOutputStream();
        try (DataOutputStream out = new DataOutputStream(collected)) {
            content.writeTo(out);
        } catch (IOException impossible) {
            throw new IllegalStateException(impossible);
        }
        return collected.toByteArray();
    }
}
