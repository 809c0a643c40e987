import { RejectedError } from "./event.ts";

/**
 * An index row of a b-tree holds a third of a page (2704 bytes for 8 KiB pages) with its header and the other columns.
 * Text that is indexed and longer is refused here, since the server would refuse the whole batch.
 */
export const INDEXED_TEXT_MAX_BYTES = 2_600;

/** CloudEvents 1.0, type system, String: no control characters, no lone surrogates, no noncharacters. */
const plainAscii = /^[\x20-\x7e]*$/;
const forbidden = /[\p{Cc}\p{Cs}\p{Noncharacter_Code_Point}]/u;

/** A CloudEvents attribute that is a String: `undefined` and null mean that it is absent. */
export function attribute(name: string, value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "string") throw new RejectedError("Invalid", "InvalidValue", `${name} must be a string`);
  if (value === "") throw new RejectedError("Invalid", "InvalidValue", `${name} must not be empty`);
  if (!isAttributeText(value)) {
    throw new RejectedError(
      "Invalid",
      "InvalidValue",
      `${name} holds a control character, lone surrogate or noncharacter`,
    );
  }
  return value;
}

/** Without spaces (0x20) and tabs (0x09) around it, and nothing else: docs/chain.md. */
export function trimSpaces(text: string): string {
  let [start, end] = [0, text.length];
  while (start < end && isSpace(text.charCodeAt(start))) start += 1;
  while (end > start && isSpace(text.charCodeAt(end - 1))) end -= 1;
  return text.slice(start, end);
}

const isSpace = (unit: number) => unit === 0x20 || unit === 0x09;

export function isAttributeText(value: string): boolean {
  return plainAscii.test(value) || !forbidden.test(value);
}

export function requiredAttribute(name: string, value: unknown): string {
  const text = attribute(name, value);
  if (text === undefined) throw new RejectedError("Invalid", "MissingAttribute", `${name} is required`);
  return text;
}

/** Text of `data` that a column takes over: PostgreSQL's text has no NUL, and UTF-8 no lone surrogate. */
export function columnText(name: string, value: string): string {
  if (plainAscii.test(value)) return value;
  if (value.includes("\0")) throw new RejectedError("Unstorable", "InvalidValue", `${name} holds a NUL character`);
  if (!value.isWellFormed()) throw new RejectedError("Unstorable", "InvalidValue", `${name} holds a lone surrogate`);
  return value;
}

/** Refuses columns that together do not fit into one index row. */
export function fitsIndex(names: string, ...values: readonly (string | null)[]): void {
  let units = 0;
  for (const value of values) units += value?.length ?? 0;
  if (units * 3 <= INDEXED_TEXT_MAX_BYTES) return;

  let bytes = 0;
  for (const value of values) bytes += Buffer.byteLength(value ?? "");
  if (bytes > INDEXED_TEXT_MAX_BYTES) {
    const detail = `${names}: ${bytes} bytes, more than the ${INDEXED_TEXT_MAX_BYTES} that an index row holds`;
    throw new RejectedError("Unstorable", "TooLarge", detail);
  }
}
