/**
 * Reads the few texts that are wanted out of a JSON text, and checks all of it, without making an object of the rest: of an
 * event's dozens of members a dozen are needed, and the garbage of the others costs more than reading them.
 *
 * It takes only what it is sure about. Whatever is unusual (not JSON, a number where a text is wanted, an escaped name, deep
 * nesting) is left to `JSON.parse`, so that there is one place that says what is wrong with an event. What it does take is
 * as `JSON.parse` has it: json-fields.test.ts holds the two against each other.
 */

/** The wanted members of an object: a text or null ("Text"), or an object or null with wanted members of its own. */
export interface Shape {
  readonly [name: string]: Shape | "Text";
}

export interface Fields {
  [name: string]: string | Fields | null | undefined;
}

export interface FoundFields {
  readonly fields: Fields;
  /** Where the member that was asked for stands, the last one of that name; undefined where it is not there. */
  readonly member: FieldSpan | undefined;
  /** Of the whole: as in `FieldSpan`. */
  readonly isPlain: boolean;
}

export interface FieldSpan {
  readonly start: number;
  readonly end: number;
  /** Free of `\u` escapes, exponents, very long numbers: nothing jsonb could refuse. */
  readonly isPlain: boolean;
}

/** Shapes with their names as bytes, by length: a name is compared without making a string of it. */
export interface CompiledShape {
  readonly byLength: readonly (readonly Wanted[] | undefined)[];
  readonly empty: () => Fields;
}

interface Wanted {
  readonly name: string;
  readonly bytes: Buffer;
  readonly shape: CompiledShape | undefined;
}

export function compileShape(shape: Shape): CompiledShape {
  const byLength: Wanted[][] = [];
  for (const [name, inner] of Object.entries(shape)) {
    const wanted = { name, bytes: Buffer.from(name), shape: inner === "Text" ? undefined : compileShape(inner) };
    (byLength[name.length] ??= []).push(wanted);
  }
  return { byLength, empty: () => ({}) };
}

const SPACE = 0x20;
const QUOTE = 0x22;
const COMMA = 0x2c;
const MINUS = 0x2d;
const DOT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;
const LOWER_E = 0x65;
const LOWER_N = 0x6e;
const LOWER_T = 0x74;
const LOWER_F = 0x66;
const LOWER_U = 0x75;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

const MAX_DEPTH = 64;
const MAX_NUMBER_BYTES = 300;
/** Where a position is expected: it is none of the usual texts. */
const UNSURE = -1;

/** What ends the run of bytes that stand for themselves in a string: quote, backslash, control characters. */
const endsRun = new Uint8Array(256);
for (let byte = 0; byte < SPACE; byte += 1) endsRun[byte] = 1;
endsRun[QUOTE] = 1;
endsRun[BACKSLASH] = 1;

const isEscape = new Uint8Array(256);
for (const char of '"\\/bfnrt') isEscape[char.charCodeAt(0)] = 1;

const isHex = new Uint8Array(256);
for (const char of "0123456789abcdefABCDEF") isHex[char.charCodeAt(0)] = 1;

/**
 * Undefined where `JSON.parse` is to be asked. `json` must be well-formed UTF-8, `isAscii` says whether it is ASCII; `member`
 * names one top-level member whose place is wanted.
 */
export function readFields(
  json: Buffer,
  isAscii: boolean,
  shape: CompiledShape,
  member: string | undefined,
): FoundFields | undefined {
  const reader = new FieldReader(json, isAscii, member);
  const start = reader.skipSpace(0);
  if (json[start] !== OPEN_BRACE) return undefined;
  const fields = shape.empty();
  const end = reader.object(start, shape, fields, 0);
  if (end === UNSURE || reader.skipSpace(end) !== json.length) return undefined;
  return { fields, member: reader.member, isPlain: reader.isPlain };
}

class FieldReader {
  readonly #json: Buffer;
  readonly #isAscii: boolean;
  readonly #wantedMember: string | undefined;
  member: FieldSpan | undefined;
  isPlain = true;
  /** Of the string that was skipped last. */
  #isEscaped = false;

  constructor(json: Buffer, isAscii: boolean, member: string | undefined) {
    this.#json = json;
    this.#isAscii = isAscii;
    this.#wantedMember = member;
  }

  skipSpace(from: number): number {
    const json = this.#json;
    let at = from;
    for (;;) {
      const byte = json[at];
      if (byte !== SPACE && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return at;
      at += 1;
    }
  }

  /** `start` is the opening brace. Wanted members go into `into`; without a shape all of it is skipped. */
  object(start: number, shape: CompiledShape | undefined, into: Fields | undefined, depth: number): number {
    const json = this.#json;
    if (depth > MAX_DEPTH) return UNSURE;
    let at = this.skipSpace(start + 1);
    if (json[at] === CLOSE_BRACE) return at + 1;
    for (;;) {
      if (json[at] !== QUOTE) return UNSURE;
      const nameStart = at + 1;
      at = this.#skipString(at);
      if (at === UNSURE || (this.#isEscaped && shape !== undefined)) return UNSURE;
      const nameEnd = at - 1;
      at = this.skipSpace(at);
      if (json[at] !== COLON) return UNSURE;
      at = this.skipSpace(at + 1);
      const wanted = shape === undefined ? undefined : this.#find(shape, nameStart, nameEnd);
      at =
        wanted === undefined || into === undefined ? this.#skipValue(at, depth) : this.#take(at, wanted, into, depth);
      if (at === UNSURE) return UNSURE;
      at = this.skipSpace(at);
      if (json[at] === CLOSE_BRACE) return at + 1;
      if (json[at] !== COMMA) return UNSURE;
      at = this.skipSpace(at + 1);
    }
  }

  #find({ byLength }: CompiledShape, start: number, end: number): Wanted | undefined {
    const json = this.#json;
    const candidates = byLength[end - start];
    if (candidates === undefined) return undefined;
    for (const candidate of candidates) {
      const { bytes } = candidate;
      let same = 0;
      while (same < bytes.length && json[start + same] === bytes[same]) same += 1;
      if (same === bytes.length) return candidate;
    }
    return undefined;
  }

  #take(start: number, { name, shape }: Wanted, into: Fields, depth: number): number {
    if (depth === 0 && name === this.#wantedMember) return this.#takeMember(start, name, shape, into);
    return this.#takeValue(start, name, shape, into, depth);
  }

  #takeMember(start: number, name: string, shape: CompiledShape | undefined, into: Fields): number {
    const before = this.isPlain;
    this.isPlain = true;
    const end = this.#takeValue(start, name, shape, into, 0);
    this.member = { start, end, isPlain: this.isPlain };
    this.isPlain &&= before;
    return end;
  }

  #takeValue(start: number, name: string, shape: CompiledShape | undefined, into: Fields, depth: number): number {
    const byte = this.#json[start];
    if (byte === LOWER_N) {
      into[name] = null;
      return this.#skipWord(start, "null");
    }
    if (shape !== undefined) {
      if (byte !== OPEN_BRACE) return UNSURE;
      const inner = shape.empty();
      into[name] = inner;
      return this.object(start, shape, inner, depth + 1);
    }
    if (byte !== QUOTE) return UNSURE;
    const end = this.#skipString(start);
    if (end !== UNSURE) into[name] = this.#text(start, end);
    return end;
  }

  /** Of the string just skipped, quotes included. */
  #text(start: number, end: number): string {
    const json = this.#json;
    if (this.#isEscaped) return JSON.parse(json.toString("utf8", start, end)) as string;
    return json.toString(this.#isAscii ? "latin1" : "utf8", start + 1, end - 1);
  }

  #skipValue(start: number, depth: number): number {
    const byte = this.#json[start];
    if (byte === QUOTE) return this.#skipString(start);
    if (byte === OPEN_BRACE) return this.object(start, undefined, undefined, depth + 1);
    if (byte === OPEN_BRACKET) return this.#skipArray(start, depth + 1);
    if (byte === LOWER_T) return this.#skipWord(start, "true");
    if (byte === LOWER_F) return this.#skipWord(start, "false");
    if (byte === LOWER_N) return this.#skipWord(start, "null");
    return this.#skipNumber(start);
  }

  #skipArray(start: number, depth: number): number {
    const json = this.#json;
    if (depth > MAX_DEPTH) return UNSURE;
    let at = this.skipSpace(start + 1);
    if (json[at] === CLOSE_BRACKET) return at + 1;
    for (;;) {
      at = this.#skipValue(at, depth);
      if (at === UNSURE) return UNSURE;
      at = this.skipSpace(at);
      if (json[at] === CLOSE_BRACKET) return at + 1;
      if (json[at] !== COMMA) return UNSURE;
      at = this.skipSpace(at + 1);
    }
  }

  /** `start` is the opening quote; returns the index after the closing one. */
  #skipString(start: number): number {
    const json = this.#json;
    const { length } = json;
    this.#isEscaped = false;
    for (let at = start + 1; at < length; at += 1) {
      const byte = json[at] ?? 0;
      if (endsRun[byte] === 0) continue;
      if (byte === QUOTE) return at + 1;
      if (byte !== BACKSLASH) return UNSURE;
      this.#isEscaped = true;
      at += 1;
      const escaped = json[at] ?? 0;
      if (escaped === LOWER_U) {
        for (let digit = 1; digit <= 4; digit += 1) if (isHex[json[at + digit] ?? 0] === 0) return UNSURE;
        at += 4;
        this.isPlain = false;
      } else if (isEscape[escaped] === 0) return UNSURE;
    }
    return UNSURE;
  }

  #skipWord(start: number, word: string): number {
    const json = this.#json;
    for (let at = 0; at < word.length; at += 1) if (json[start + at] !== word.charCodeAt(at)) return UNSURE;
    return start + word.length;
  }

  /** Without an exponent: those are rare, and for jsonb to judge. */
  #skipNumber(start: number): number {
    const json = this.#json;
    let at = json[start] === MINUS ? start + 1 : start;
    const first = json[at] ?? 0;
    if (first < ZERO || first > NINE) return UNSURE;
    at = first === ZERO ? at + 1 : this.#skipDigits(at);
    if (json[at] === DOT) {
      const digits = at + 1;
      at = this.#skipDigits(digits);
      if (at === digits) return UNSURE;
    }
    // Any other byte that does not belong here is met as what should have been a comma or a bracket.
    return ((json[at] ?? 0) | SPACE) === LOWER_E || at - start > MAX_NUMBER_BYTES ? UNSURE : at;
  }

  #skipDigits(start: number): number {
    const json = this.#json;
    let at = start;
    for (let byte = json[at] ?? 0; byte >= ZERO && byte <= NINE; byte = json[at] ?? 0) at += 1;
    return at;
  }
}
