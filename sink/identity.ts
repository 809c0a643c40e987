import { hash } from "node:crypto";
import { ByteWriter } from "./byte-writer.ts";

/** What identifies an event and its bytes. Formats: docs/chain.md. */

export type Headers = readonly (readonly [key: Buffer, value: Buffer | null])[];

/** 32 characters of latin1. Measured: a hash as text, and a Buffer made of it, costs half of a hash as a Buffer. */
export const sha256Text = (bytes: Uint8Array): string => hash("sha256", bytes, "binary");
export const sha256 = (bytes: Uint8Array): Buffer => Buffer.from(sha256Text(bytes), "latin1");

const scratch = new ByteWriter(65_536, 1024 * 1024);

/**
 * Key of the id ledger: the first 16 bytes of SHA-256 over (tenant, source, id), each with a uint16 length before it. The
 * codec holds source and id to an index row's size, and tenant to 255 characters: a length always fits.
 */
export function eventKey(tenant: string, source: string, id: string): Buffer {
  scratch.reset();
  const hashed = sha256Text(scratch.shortText(tenant).shortText(source).shortText(id).take());
  return Buffer.from(hashed.slice(0, 16), "latin1");
}

/** All headers in order, each as int32 key length, key, int32 value length, value; null is −1. */
export function encodeHeaders(headers: Headers): Buffer {
  if (headers.length === 0) return Buffer.alloc(0);
  scratch.reset();
  for (const [key, value] of headers) scratch.sizedBytes(key).sizedBytes(value);
  return Buffer.from(scratch.take());
}

/** What `encodeHeaders` has written. */
export function decodeHeaders(bytes: Buffer): Headers {
  const headers: [Buffer, Buffer | null][] = [];
  for (let at = 0; at < bytes.length; ) {
    const keyEnd = at + 4 + bytes.readInt32BE(at);
    const length = bytes.readInt32BE(keyEnd);
    const end = keyEnd + 4 + Math.max(0, length);
    headers.push([bytes.subarray(at + 4, keyEnd), length < 0 ? null : bytes.subarray(keyEnd + 4, end)]);
    at = end;
  }
  return headers;
}

/**
 * Identity of an event's bytes in binary content mode: `content-type` and every `ce_*` header, sorted by key (repeats in
 * their order), then the value. Other headers are the transport's: a retry with another `traceparent` is the same event.
 */
export function binaryModeSha256(headers: Headers, value: Buffer): Buffer {
  scratch.reset();
  const identifying = headers.filter(([key]) => isEventHeader(key));
  for (const [key, content] of identifying.sort(([a], [b]) => a.compare(b)))
    scratch.sizedBytes(key).sizedBytes(content);
  return sha256(scratch.sizedBytes(value).take());
}

function isEventHeader(key: Buffer): boolean {
  const name = key.toString("latin1");
  return name === "content-type" || name.startsWith("ce_");
}
