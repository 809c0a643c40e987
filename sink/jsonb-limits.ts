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

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const LOWER_U = 0x75;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const MINUS = 0x2d;
/** `.`, `e`, `E`, `+`, `-`. */
const NUMBER_SIGNS = [0x2e, 0x65, 0x45, 0x2b, MINUS];

/** `json` is text that JSON.parse accepted. By hand: a regular expression overflows its stack on megabytes of escapes. */
export function jsonbAccepts(json: string): boolean {
  let depth = 0;
  for (let at = 0; at < json.length; ) {
    const start = at;
    const unit = json.charCodeAt(at);
    at += 1;
    if (unit === QUOTE) {
      const { end, isEscaped } = skipString(json, start);
      if (isEscaped && !stringAccepted(json.slice(start, end))) return false;
      at = end;
    } else if (unit === OPEN_BRACE || unit === OPEN_BRACKET) {
      depth += 1;
      if (depth > MAX_DEPTH) return false;
    } else if (unit === CLOSE_BRACE || unit === CLOSE_BRACKET) depth -= 1;
    else if (unit === MINUS || isDigit(unit)) {
      at = skipNumber(json, start);
      if (!numberAccepted(json.slice(start, at))) return false;
    }
  }
  return true;
}

/** From the opening quote to the index after the closing one; `isEscaped`: there is a `\u` in it. */
function skipString(json: string, start: number): { end: number; isEscaped: boolean } {
  let isEscaped = false;
  let at = start + 1;
  for (; at < json.length && json.charCodeAt(at) !== QUOTE; at += 1) {
    if (json.charCodeAt(at) !== BACKSLASH) continue;
    at += 1;
    isEscaped ||= json.charCodeAt(at) === LOWER_U;
  }
  return { end: at + 1, isEscaped };
}

function skipNumber(json: string, start: number): number {
  let at = start + 1;
  while (at < json.length && isNumeric(json.charCodeAt(at))) at += 1;
  return at;
}

const isDigit = (unit: number) => unit >= 0x30 && unit <= 0x39;
const isNumeric = (unit: number) => isDigit(unit) || NUMBER_SIGNS.includes(unit);

function stringAccepted(literal: string): boolean {
  const value = JSON.parse(literal) as string;
  return !value.includes("\0") && value.isWellFormed();
}

function numberAccepted(literal: string): boolean {
  const [mantissa = "", exponent = "0"] = literal.toLowerCase().split("e");
  return mantissa.length <= MAX_NUMBER_DIGITS && Math.abs(Number(exponent)) <= MAX_EXPONENT;
}
