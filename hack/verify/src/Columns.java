import java.nio.charset.StandardCharsets;
import java.time.DateTimeException;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The columns an event must have, from its own bytes. The chain covers the bytes; without this, a changed actor_id beside
 * unchanged bytes would stand.
 */
final class Columns {
    private static final Pattern RFC3339 = Pattern.compile(
            "(\\d{4})-(\\d{2})-(\\d{2})[Tt ](\\d{2}):(\\d{2}):(\\d{2})(?:\\.(\\d+))?(?:[Zz]|([+-])(\\d{2}):(\\d{2}))");
    private static final Pattern TRACEPARENT = Pattern.compile("[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:$|-)");
    private static final String NO_TRACE = "0".repeat(32);
    private static final Pattern JSON_TYPE = Pattern.compile("[^/]+/(?:[^;]+\\+)?json[ \\t]*(?:;|\\z)", Pattern.CASE_INSENSITIVE);

    private Columns() {}

    /** The row's columns by name; `event_time` is microseconds since the epoch. Null where null. */
    interface Row {
        String text(String column);

        Long eventTimeMicros();
    }

    /** Resolves to why a column is not what the event says, or null. */
    static String mismatch(Row row, List<Chain.Header> headers, byte[] raw) {
        Map<String, Object> event;
        Object data;
        try {
            if (Chain.isBinaryMode(headers)) {
                event = attributes(headers);
                data = jsonData(contentType(headers), raw);
            } else {
                if (!(Json.parse(raw) instanceof Map<?, ?> members)) return "the event is not a JSON object";
                event = new HashMap<>();
                members.forEach((name, value) -> event.put((String) name, value));
                String base64 = text(event.get("data_base64"));
                data = base64 == null
                        ? event.get("data")
                        : jsonData(text(event.get("datacontenttype")), Base64.getDecoder().decode(base64));
            }
        } catch (IllegalArgumentException error) {
            return "the event is " + error.getMessage();
        }
        return firstMismatch(row, headers, event, data);
    }

    /** Of `source` and `id` alone, by column name: what a row of `conflicts` has. */
    static String identityMismatch(Map<String, String> columns, List<Chain.Header> headers, byte[] raw) {
        Map<String, Object> event = new HashMap<>();
        try {
            if (Chain.isBinaryMode(headers)) event = attributes(headers);
            else if (Json.parse(raw) instanceof Map<?, ?> members) {
                for (String name : columns.keySet()) event.put(name, members.get(name));
            }
        } catch (IllegalArgumentException error) {
            return "the event is " + error.getMessage();
        }
        for (Map.Entry<String, String> column : columns.entrySet()) {
            if (!column.getValue().equals(text(event.get(column.getKey())))) return "column " + column.getKey() + " is not what the event says";
        }
        return null;
    }

    private static String firstMismatch(Row row, List<Chain.Header> headers, Map<String, Object> event, Object data) {
        for (String name : List.of("source", "id", "type", "subject")) {
            String found = compare(row, name, text(event.get(name)));
            if (found != null) return found;
        }
        Object actor = member(data, "actor");
        String actorType = text(member(actor, "type"));
        boolean defaulted = actorType == null && (row.text("actor_type") == null || row.text("actor_type").equals("user"));
        Object resource = member(data, "target") instanceof Map<?, ?> target ? target : member(data, "resource");
        String[][] pairs = {
            {"actor_type", defaulted ? row.text("actor_type") : actorType},
            {"actor_id", text(member(actor, "id"))},
            {"action", text(member(data, "action"))},
            {"outcome", text(member(data, "outcome"))},
            {"reason", text(member(data, "reason"))},
            {"target_type", text(member(resource, "type"))},
            {"target_id", text(member(resource, "id"))},
            {"trace_id", traceId(headers, event)},
        };
        for (String[] pair : pairs) {
            String found = compare(row, pair[0], pair[1]);
            if (found != null) return found;
        }
        String time = time(row.eventTimeMicros(), text(event.get("time")));
        return time != null ? time : details(row.text("details"), data);
    }

    private static String compare(Row row, String column, String wanted) {
        String found = row.text(column);
        return java.util.Objects.equals(found, wanted)
                ? null : "column " + column + " holds " + shown(found) + ", the event says " + shown(wanted);
    }

    private static String details(String stored, Object data) {
        if (data == null || data == Json.NULL) return stored == null || stored.equals("null") ? null : "column details holds data the event has not";
        if (stored == null) return Json.refusedByJsonb(data) ? null : "column details is null, the event has data";
        return Json.same(Json.parse(stored), data) ? null : "column details is not the event's data";
    }

    private static String time(Long stored, String wanted) {
        Long micros = wanted == null ? null : micros(wanted);
        if (stored == null && wanted == null) return null;
        if (stored != null && stored.equals(micros)) return null;
        return "column event_time holds " + stored + " us, the event says " + shown(wanted);
    }

    private static Long micros(String text) {
        Matcher m = RFC3339.matcher(text);
        if (!m.matches()) return null;
        try {
            int second = Integer.parseInt(m.group(6));
            LocalDateTime local = LocalDateTime.of(Integer.parseInt(m.group(1)), Integer.parseInt(m.group(2)),
                    Integer.parseInt(m.group(3)), Integer.parseInt(m.group(4)), Integer.parseInt(m.group(5)));
            long offset = m.group(8) == null ? 0
                    : (m.group(8).equals("-") ? -60L : 60L)
                            * (Integer.parseInt(m.group(9)) * 60L + Integer.parseInt(m.group(10)));
            String fraction = ((m.group(7) == null ? "" : m.group(7)) + "000000").substring(0, 6);
            return (local.toEpochSecond(ZoneOffset.UTC) + second - offset) * 1_000_000L + Long.parseLong(fraction);
        } catch (DateTimeException error) {
            return null;
        }
    }

    private static Map<String, Object> attributes(List<Chain.Header> headers) {
        Map<String, Object> found = new HashMap<>();
        for (Chain.Header header : headers) {
            if (!header.name().startsWith("ce_") || header.value() == null) continue;
            found.putIfAbsent(header.name().substring(3), new String(header.value(), StandardCharsets.UTF_8));
        }
        return found;
    }

    /** Data that is not JSON has no columns, whatever its type says: the sink stores such data in profile CloudEvent. */
    private static Object jsonData(String contentType, byte[] data) {
        if (data.length == 0 || contentType != null && !JSON_TYPE.matcher(Chain.trimSpaces(contentType)).lookingAt()) return null;
        try {
            return Json.parse(data);
        } catch (IllegalArgumentException error) {
            return null;
        }
    }

    private static String contentType(List<Chain.Header> headers) {
        return first(headers, "content-type");
    }

    private static String first(List<Chain.Header> headers, String name) {
        return headers.stream().filter(header -> header.name().equals(name) && header.value() != null)
                .map(header -> new String(header.value(), StandardCharsets.UTF_8)).findFirst().orElse(null);
    }

    /** W3C trace context: the attribute, else the header; one that does not parse counts as none. */
    private static String traceId(List<Chain.Header> headers, Map<String, Object> event) {
        Object attribute = event.get("traceparent");
        String carried = attribute == null || attribute == Json.NULL ? first(headers, "traceparent") : text(attribute);
        if (carried == null) return null;
        Matcher m = TRACEPARENT.matcher(carried);
        return m.lookingAt() && !m.group(1).equals(NO_TRACE) ? m.group(1) : null;
    }

    private static Object member(Object value, String name) {
        return value instanceof Map<?, ?> members ? members.get(name) : null;
    }

    private static String text(Object value) {
        return value instanceof String text ? text : null;
    }

    /** An audit trail's values are personal: a report says that they differ and how long they are, not what they are. */
    private static String shown(String value) {
        return value == null ? "null" : "a text of " + value.length() + " characters";
    }
}
