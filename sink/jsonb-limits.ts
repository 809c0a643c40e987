/**
 * What PostgreSQL's jsonb refuses of valid JSON, all measured on 15 and 18: `\u0000` (22P05), a lone surrogate escape
 * (22P02), a number beyond numeric's range or scale (22003), nesting that overflows the parser's stack (54001).
 *
 * The limits are drawn a little tighter than the server's: what passes here and is refused there is still found by the
 * store, one event at a time. `details` is null then; that alone never costs the event.
 */

/** 10 000 levels pass with the default max_stack_depth. */
const MAX_DEPTH = 6_000;
/** numeric: 131072 digits before the point, 16383 after. */
const MAX_NUMBER_DIGITS = 5_000;
const MAX_EXPONENT = 9_999;

const token = /"[^"\\]*(?:\\.[^"\\]*)*"|[[\]{}]|-?\d[\d.eE+-]*/gs;

/** `json` is text that JSON.parse accepted. */
export function jsonbAccepts(json: string): boolean {
  let depth = 0;
  for (const [text] of json.matchAll(token)) {
    const first = text[0];
    if (first === '"') {
      if (!stringAccepted(text)) return false;
    } else if (first === "{" || first === "[") {
      depth += 1;
      if (depth > MAX_DEPTH) return false;
    } else if (first === "}" || first === "]") depth -= 1;
    else if (!numberAccepted(text)) return false;
  }
  return true;
}

function stringAccepted(literal: string): boolean {
  if (!literal.includes("\\u")) return true;
  const value = JSON.parse(literal) as string;
  return !value.includes("\0") && value.isWellFormed();
}

function numberAccepted(literal: string): boolean {
  const [mantissa = "", exponent = "0"] = literal.toLowerCase().split("e");
  return mantissa.length <= MAX_NUMBER_DIGITS && Math.abs(Number(exponent)) <= MAX_EXPONENT;
}
