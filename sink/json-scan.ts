/**
 * Where things stand in JSON that `JSON.parse` has already accepted: a value is cut out of the original bytes instead of
 * being written again, since a round trip through numbers alters big integers and `1.10`. Iterative: depth costs no stack.
 */

const SPACE = 0x20;
const QUOTE = 0x22;
const COMMA = 0x2c;
const ZERO = 0x30;
const NINE = 0x39;
const UPPER_E = 0x45;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;
const LOWER_E = 0x65;
const LOWER_U = 0x75;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

export interface JsonValue {
  readonly bytes: Buffer;
  /** Free of what jsonb could refuse: `\u` escapes, exponents, very long numbers, nesting. */
  readonly isPlain: boolean;
}

/** Deeper, or a longer number, is looked at more closely. */
const PLAIN_DEPTH = 100;
const PLAIN_SCALAR_BYTES = 300;

/** The whole of a JSON text as a value. */
export function wholeValue(json: Buffer): JsonValue {
  const scan = new Scan(json);
  scan.skipValue(0);
  return { bytes: json, isPlain: scan.isPlain };
}

/** The top-level member `name` of a JSON object; the last one where the name repeats, as JSON.parse has it. */
export function topLevelMember(json: Buffer, name: string): JsonValue | undefined {
  const scan = new Scan(json);
  let found: JsonValue | undefined;
  let at = scan.skipSpace(0) + 1;

  for (;;) {
    at = scan.skipSpace(at);
    if (json[at] !== QUOTE) return found;
    scan.isPlain = true;
    const keyEnd = scan.skipString(at);
    const isWanted = keyIs(json, at, keyEnd, name, scan.isPlain);

    const start = scan.skipSpace(scan.skipSpace(keyEnd) + 1);
    scan.isPlain = true;
    const end = scan.skipValue(start);
    if (isWanted) found = { bytes: json.subarray(start, end), isPlain: scan.isPlain };

    at = scan.skipSpace(end);
    if (json[at] !== COMMA) return found;
    at += 1;
  }
}

/** `"d\u0061ta"` is the same name. */
function keyIs(json: Buffer, start: number, end: number, name: string, isPlain: boolean): boolean {
  if (!isPlain) return JSON.parse(json.toString("utf8", start, end)) === name;
  if (end - start - 2 !== name.length) return false;
  for (let i = 0; i < name.length; i += 1) {
    if (json[start + 1 + i] !== name.charCodeAt(i)) return false;
  }
  return true;
}

class Scan {
  readonly #json: Buffer;
  isPlain = true;

  constructor(json: Buffer) {
    this.#json = json;
  }

  skipSpace(from: number): number {
    const json = this.#json;
    let at = from;
    while (at < json.length && (json[at] ?? 0) <= SPACE) at += 1;
    return at;
  }

  /** `from` is the opening quote; returns the index after the closing one. */
  skipString(from: number): number {
    const json = this.#json;
    const end = json.length;
    for (let at = from + 1; at < end; at += 1) {
      const byte = json[at];
      if (byte === QUOTE) return at + 1;
      if (byte === BACKSLASH) {
        at += 1;
        if (json[at] === LOWER_U) this.isPlain = false;
      }
    }
    return end;
  }

  /** Index after the value that starts at `start`. */
  skipValue(start: number): number {
    const json = this.#json;
    let depth = 0;
    let at = start;
    while (at < json.length) {
      const byte = json[at] ?? 0;
      if (byte === QUOTE) at = this.skipString(at);
      else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
        depth += 1;
        if (depth > PLAIN_DEPTH) this.isPlain = false;
        at += 1;
      } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
        depth -= 1;
        at += 1;
      } else if (isScalar(byte)) at = this.#skipScalar(at);
      else {
        at += 1;
        continue;
      }
      if (depth === 0) return at;
    }
    return at;
  }

  #skipScalar(start: number): number {
    const json = this.#json;
    let at = start;
    for (; at < json.length; at += 1) {
      const byte = json[at] ?? 0;
      if (byte === COMMA || byte === CLOSE_BRACE || byte === CLOSE_BRACKET || byte <= SPACE) break;
      if ((byte === LOWER_E || byte === UPPER_E) && isDigit(json[at - 1] ?? 0)) this.isPlain = false;
    }
    if (at - start > PLAIN_SCALAR_BYTES) this.isPlain = false;
    return at;
  }
}

const isDigit = (byte: number) => byte >= ZERO && byte <= NINE;
/** Of a value, between its brackets: neither space, comma nor colon. */
const isScalar = (byte: number) => byte > COMMA && byte !== 0x3a;
