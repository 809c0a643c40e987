/**
 * Where things stand in JSON that `JSON.parse` has already accepted: a value is cut out of the original bytes instead of
 * being written again, since a round trip through numbers alters big integers and `1.10`. Iterative: depth costs no stack.
 */

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

/** The bytes of the top-level member `name` of a JSON object; of the last one where the name repeats, as JSON.parse. */
export function topLevelMember(json: Buffer, name: string): Buffer | undefined {
  let found: Buffer | undefined;
  let at = json.indexOf(OPEN_BRACE) + 1;

  for (;;) {
    at = skipSpace(json, at);
    if (json[at] !== QUOTE) return found;
    const keyEnd = stringEnd(json, at);
    const isWanted = keyIs(json, at, keyEnd, name);

    const start = skipSpace(json, json.indexOf(COLON, keyEnd) + 1);
    const end = valueEnd(json, start);
    if (isWanted) found = json.subarray(start, end);

    at = skipSpace(json, end);
    if (json[at] !== COMMA) return found;
    at += 1;
  }
}

function skipSpace(json: Buffer, from: number): number {
  let at = from;
  while (at < json.length && (json[at] ?? 0) <= 0x20) at += 1;
  return at;
}

/** `from` is the opening quote; returns the index after the closing one. */
function stringEnd(json: Buffer, from: number): number {
  for (let at = from + 1; at < json.length; at += 1) {
    const byte = json[at];
    if (byte === BACKSLASH) at += 1;
    else if (byte === QUOTE) return at + 1;
  }
  return json.length;
}

function keyIs(json: Buffer, start: number, end: number, name: string): boolean {
  if (end - start - 2 === name.length) {
    const plain = json.toString("latin1", start + 1, end - 1);
    if (plain === name) return true;
  }
  // `"d\u0061ta"` is the same name.
  const escaped = json.subarray(start, end).includes(BACKSLASH);
  return escaped && JSON.parse(json.toString("utf8", start, end)) === name;
}

/** Index after the value that starts at `start`. */
function valueEnd(json: Buffer, start: number): number {
  const first = json[start];
  if (first === QUOTE) return stringEnd(json, start);
  if (first !== OPEN_BRACE && first !== OPEN_BRACKET) return scalarEnd(json, start);

  let depth = 0;
  for (let at = start; at < json.length; at += 1) {
    const byte = json[at];
    if (byte === QUOTE) at = stringEnd(json, at) - 1;
    else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) depth += 1;
    else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
      depth -= 1;
      if (depth === 0) return at + 1;
    }
  }
  return json.length;
}

function scalarEnd(json: Buffer, start: number): number {
  let at = start;
  for (; at < json.length; at += 1) {
    const byte = json[at] ?? 0;
    if (byte === COMMA || byte === CLOSE_BRACE || byte === CLOSE_BRACKET || byte <= 0x20) break;
  }
  return at;
}
