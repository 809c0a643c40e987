import { ByteWriter } from "./byte-writer.ts";
import { sha256, sha256Text } from "./identity.ts";

/** What became of an offset. The numbers are hashed and stored: docs/chain.md. */
export const disposition = {
  Stored: 0,
  Duplicate: 1,
  Conflict: 2,
  DeadLettered: 3,
  Excluded: 4,
  Expired: 5,
  Gone: 6,
} as const;

export type Disposition = (typeof disposition)[keyof typeof disposition];

/** One step of a partition's chain. Of a Gone range `offset` is the first one, and everything else is empty. */
export interface Link {
  readonly disposition: Disposition;
  readonly offset: bigint;
  /** Milliseconds since 1970, as in recorded_at; 0 for Gone. */
  readonly recordedAtMs: bigint;
  readonly tenant: string;
  readonly sha256: Sha256;
}

/** Bytes, or what writes them where they are wanted. */
export type Sha256 = Buffer | { writeSha256(into: ByteWriter): void };

export interface ChainOf {
  readonly topicId: Buffer;
  readonly partition: number;
}

const GENESIS = Buffer.from("audit-pipeline/v1");
const LINK_TAG = 0x01;
const EMPTY = Buffer.alloc(0);

const scratch = new ByteWriter(512);
/** Apart from the other: what is hashed then has the same length each time, and is the same view. */
const pair = new ByteWriter(64);

/** The chain before a partition's first offset. */
export function genesis({ topicId, partition }: ChainOf): Buffer {
  scratch.reset();
  return sha256(scratch.bytes(GENESIS).bytes(topicId).int32(partition).take());
}

/** As latin1 text. */
function linkHash({ topicId, partition }: ChainOf, link: Link): string {
  scratch.reset();
  scratch.uint8(LINK_TAG).uint8(link.disposition).bytes(topicId).int32(partition);
  scratch.int64(link.offset).int64(link.recordedAtMs);
  scratch.shortText(link.tenant);
  if (Buffer.isBuffer(link.sha256)) scratch.bytes(link.sha256);
  else link.sha256.writeSha256(scratch);
  return sha256Text(scratch.take());
}

/** SHA-256(previous ‖ link). */
export function extendChain(previous: Buffer, of: ChainOf, link: Link): Buffer {
  const hashed = linkHash(of, link);
  return sha256(pair.reset().bytes(previous).latin1(hashed).take());
}

/** The link of a range of offsets that the log does not have. Its end is pinned by the offset of the next link. */
export function goneLink(firstOffset: bigint): Link & { readonly sha256: Buffer } {
  return { disposition: disposition.Gone, offset: firstOffset, recordedAtMs: 0n, tenant: "", sha256: EMPTY };
}

/** `xxxxxxxx-xxxx-…` → 16 bytes. */
export function uuidBytes(text: string): Buffer {
  const bytes = Buffer.from(text.replaceAll("-", ""), "hex");
  if (bytes.length !== 16) throw new TypeError(`Not a UUID: ${text}`);
  return bytes;
}
