import java.math.BigDecimal;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * RFC 8259 as far as a comparison needs it: objects are maps (the last of two equal names wins, as in jsonb), arrays are
 * lists, numbers BigDecimal where that can hold them, null is NULL. Throws IllegalArgumentException for anything else.
 */
final class Json {
    static final Object NULL = new Object();
    private static final int DEEPEST = 200_000;
    /** PostgreSQL takes about 10 000 levels, depending on its stack. */
    private static final int NEAR_TOO_DEEP = 5_000;

    private final String text;
    private int at;

    private Json(String text) {
        this.text = text;
    }

    static Object parse(byte[] utf8) {
        try {
            return parse(StandardCharsets.UTF_8.newDecoder()
                    .onMalformedInput(CodingErrorAction.REPORT)
                    .onUnmappableCharacter(CodingErrorAction.REPORT)
                    .decode(ByteBuffer.wrap(utf8))
                    .toString());
        } catch (CharacterCodingException error) {
            throw new IllegalArgumentException("not UTF-8", error);
        }
    }

    static Object parse(String text) {
        Json parser = new Json(text);
        Object value = parser.value(0);
        parser.space();
        if (parser.at != text.length()) throw parser.unexpected();
        return value;
    }

    private Object value(int depth) {
        if (depth > DEEPEST) throw new IllegalArgumentException("too deep");
        space();
        return switch (peek()) {
            case '{' -> object(depth);
            case '[' -> array(depth);
            case '"' -> string();
            case 't' -> literal("true", Boolean.TRUE);
            case 'f' -> literal("false", Boolean.FALSE);
            case 'n' -> literal("null", NULL);
            default -> number();
        };
    }

    private Map<String, Object> object(int depth) {
        Members members = new Members();
        expect('{');
        if (closes('}')) return members;
        do {
            space();
            String name = string();
            space();
            expect(':');
            Object hidden = members.put(name, value(depth + 1));
            if (hidden != null && refusedByJsonb(hidden)) members.hidesRefused = true;
            space();
        } while (continues('}'));
        return members;
    }

    /** jsonb reads every value, also one that a later member of the same name hides. */
    private static final class Members extends LinkedHashMap<String, Object> {
        private static final long serialVersionUID = 1;
        private boolean hidesRefused;
    }

    private List<Object> array(int depth) {
        List<Object> items = new ArrayList<>();
        expect('[');
        if (closes(']')) return items;
        do {
            items.add(value(depth + 1));
            space();
        } while (continues(']'));
        return items;
    }

    private String string() {
        expect('"');
        StringBuilder out = new StringBuilder();
        for (char c = take(); c != '"'; c = take()) {
            if (c < 0x20) throw unexpected();
            out.append(c == '\\' ? escaped() : c);
        }
        return out.toString();
    }

    private char escaped() {
        char c = take();
        return switch (c) {
            case '"', '\\', '/' -> c;
            case 'b' -> '\b';
            case 'f' -> '\f';
            case 'n' -> '\n';
            case 'r' -> '\r';
            case 't' -> '\t';
            case 'u' -> {
                if (at + 4 > text.length()) throw unexpected();
                String digits = text.substring(at, at += 4);
                if (!digits.matches("[0-9a-fA-F]{4}")) throw unexpected();
                yield (char) Integer.parseInt(digits, 16);
            }
            default -> throw unexpected();
        };
    }

    private Object number() {
        int start = at;
        while (at < text.length() && "+-.eE0123456789".indexOf(text.charAt(at)) >= 0) at++;
        String lexeme = text.substring(start, at);
        if (!lexeme.matches("-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][+-]?[0-9]+)?")) throw unexpected();
        try {
            return new BigDecimal(lexeme);
        } catch (NumberFormatException error) {
            // JSON all the same: an exponent may be of any length.
            return new Beyond(lexeme);
        }
    }

    /** A number whose exponent no BigDecimal holds, and no numeric of PostgreSQL. */
    private record Beyond(String lexeme) {}

    private Object literal(String word, Object value) {
        if (!text.startsWith(word, at)) throw unexpected();
        at += word.length();
        return value;
    }

    private boolean closes(char bracket) {
        space();
        if (peek() != bracket) return false;
        at++;
        return true;
    }

    private boolean continues(char bracket) {
        char c = take();
        if (c == bracket) return false;
        if (c == ',') return true;
        throw unexpected();
    }

    private void expect(char wanted) {
        if (take() != wanted) throw unexpected();
    }

    private void space() {
        while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) at++;
    }

    private char peek() {
        if (at >= text.length()) throw unexpected();
        return text.charAt(at);
    }

    private char take() {
        char c = peek();
        at++;
        return c;
    }

    private IllegalArgumentException unexpected() {
        return new IllegalArgumentException("not JSON at character " + at);
    }

    /** Equal as jsonb sees it: 1.10 and 1.1 are the same number, the order of members does not count. */
    static boolean same(Object left, Object right) {
        if (left instanceof BigDecimal a && right instanceof BigDecimal b) return a.compareTo(b) == 0;
        if (left instanceof Map<?, ?> a && right instanceof Map<?, ?> b) {
            return a.keySet().equals(b.keySet())
                    && a.keySet().stream().allMatch(name -> same(a.get(name), b.get(name)));
        }
        if (left instanceof List<?> a && right instanceof List<?> b) {
            if (a.size() != b.size()) return false;
            for (int i = 0; i < a.size(); i++) if (!same(a.get(i), b.get(i))) return false;
            return true;
        }
        return left.equals(right);
    }

    /** What jsonb cannot hold: U+0000, a lone surrogate, a number beyond the range of numeric (or near it), nesting. */
    static boolean refusedByJsonb(Object value) {
        return refusedByJsonb(value, 0);
    }

    private static boolean refusedByJsonb(Object value, int depth) {
        if (depth > NEAR_TOO_DEEP) return true;
        if (value instanceof String text) return refused(text);
        if (value instanceof Beyond) return true;
        if (value instanceof BigDecimal number) return Math.abs((long) number.precision() - number.scale()) > 5_000 || number.precision() > 5_000;
        if (value instanceof List<?> items) return items.stream().anyMatch(item -> refusedByJsonb(item, depth + 1));
        if (value instanceof Members object && object.hidesRefused) return true;
        if (value instanceof Map<?, ?> members) {
            return members.entrySet().stream()
                    .anyMatch(entry -> refused(entry.getKey().toString()) || refusedByJsonb(entry.getValue(), depth + 1));
        }
        return false;
    }

    private static boolean refused(String text) {
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (c == 0) return true;
            if (Character.isHighSurrogate(c) && i + 1 < text.length() && Character.isLowSurrogate(text.charAt(i + 1))) i++;
            else if (Character.isSurrogate(c)) return true;
        }
        return false;
    }
}
