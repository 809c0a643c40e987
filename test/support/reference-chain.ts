import { createHash } from "node:crypto";

/**
 * The hashes of docs/chain.md, written a second time for tests: nothing here comes from the sink, so that a mistake
 * there is not repeated here.
 */

export type Header = readonly [name: string, value: Buffer | null];

/** What became of an offset; the index is the byte in the link. */
export const dispositions = ["Stored", "Duplicate", "Conflict", "DeadLettered", "Excluded", "Expired", "Gone"] as const;
export type Disposition = (typeof dispositions)[number];

const sha256 = (...parts: readonly Uint8Array[]) => {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
};

function number(bytes: 1 | 2 | 4 | 8, value: number | bigint): Buffer {
  const out = Buffer.alloc(8);
  out.writeBigInt64BE(BigInt(value));
  return out.subarray(8 - bytes);
}

const uuidBytes = (uuid: string) => Buffer.from(uuid.replaceAll("-", ""), "hex");
const sized = (value: Buffer | null) =>
  value === null ? number(4, -1) : Buffer.concat([number(4, value.length), value]);

export const encodeHeaders = (headers: readonly Header[]): Buffer =>
  Buffer.concat(headers.flatMap(([name, value]) => [sized(Buffer.from(name)), sized(value)]));

/** Kafka protocol binding: a content-type of application/cloudevents* is structured mode, else ce_* headers are binary. */
export function isBinaryMode(headers: readonly Header[]): boolean {
  const structured = headers.some(
    ([name, value]) =>
      name === "content-type" && /^[ \t]*application\/cloudevents/i.test(value?.toString("latin1") ?? ""),
  );
  return !structured && headers.some(([name]) => name.startsWith("ce_"));
}

export function recordHash(headers: readonly Header[], value: Buffer | null): Buffer {
  const raw = value ?? Buffer.alloc(0);
  if (!isBinaryMode(headers)) return sha256(raw);
  const attributes = headers
    .filter(([name]) => name === "content-type" || name.startsWith("ce_"))
    .toSorted(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return sha256(encodeHeaders(attributes), sized(raw));
}

export const genesis = (topicId: string, partition: number): Buffer =>
  sha256(Buffer.from("audit-pipeline/v1"), uuidBytes(topicId), number(4, partition));

export interface Settled {
  readonly disposition: Disposition;
  readonly offset: number;
  /** Milliseconds; 0 for Gone. */
  readonly recordedAt: number;
  readonly tenant: string;
  readonly sha256: Buffer;
}

export function link(topicId: string, partition: number, settled: Settled): Buffer {
  const tenant = Buffer.from(settled.tenant);
  return sha256(
    number(1, 1),
    number(1, dispositions.indexOf(settled.disposition)),
    uuidBytes(topicId),
    number(4, partition),
    number(8, settled.offset),
    number(8, settled.recordedAt),
    number(2, tenant.length),
    tenant,
    settled.sha256,
  );
}

export const chainOver = (previous: Buffer, next: Buffer): Buffer => sha256(previous, next);

/** The id ledger's key: the first 16 bytes of SHA-256 over tenant, source and id, each with a uint16 length before it. */
export function eventKey(tenant: string, source: string, id: string): string {
  const parts = [tenant, source, id].map((text) => Buffer.from(text));
  const hex = sha256(...parts.flatMap((part) => [number(2, part.length), part])).toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join("-");
}
