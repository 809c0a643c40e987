import { escapeIdentifier, escapeLiteral } from "pg";

/** NAMEDATALEN - 1: the server cuts what is longer, in silence, so that two names may become one. */
const MAX_IDENTIFIER_BYTES = 63;

/**
 * The only way a name or value gets into SQL text. Names from resources have passed an allow-list long before; this is
 * the last edge, where nothing may pass that the server would read as another name.
 *
 * @throws RangeError on what no identifier can be
 */
export function identifier(name: string): string {
  const bytes = Buffer.byteLength(name);
  if (bytes === 0 || bytes > MAX_IDENTIFIER_BYTES)
    throw new RangeError(`An identifier has 1 to 63 bytes, not ${bytes}`);
  return escapeIdentifier(wellFormed(name));
}

/** @throws RangeError on NUL and lone surrogates, which the server cannot hold */
export function literal(value: string): string {
  return escapeLiteral(wellFormed(value));
}

function wellFormed(text: string): string {
  // A lone surrogate would be sent as U+FFFD: another name than the one that was checked.
  if (text.includes("\0") || !text.isWellFormed()) throw new RangeError("NUL and lone surrogates have no place in SQL");
  return text;
}
