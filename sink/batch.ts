import { type ChainOf, type Disposition, disposition, extendChain, goneLink } from "./chain.ts";
import type { ErrorReason, Rejection } from "./event.ts";
import type { LogRecord } from "./kafka/port.ts";
import type { PackedEvent } from "./packed-event.ts";

/** One offset, or one range of offsets, on its way into the ledger. */
export type Item = EventItem | DeadLetterItem | GoneItem;

interface Read {
  /** Leader epoch with which the log can be asked what stands before the next offset; undefined where it is not known. */
  readonly leaderEpoch?: number | undefined;
}

export interface EventItem extends Read {
  readonly kind: "Event";
  readonly offset: bigint;
  readonly recordedAtMs: bigint;
  readonly event: PackedEvent;
}

export interface DeadLetterItem extends Read {
  readonly kind: "DeadLetter";
  readonly offset: bigint;
  readonly recordedAtMs: bigint;
  readonly rejection: Rejection;
  readonly tenant: string;
  readonly sha256: Buffer;
  readonly record: LogRecord;
}

/** Offsets the log does not have: compaction, transactions, retention. */
export interface GoneItem extends Read {
  readonly kind: "Gone";
  readonly offset: bigint;
  readonly lastOffset: bigint;
}

/** Where a partition of the ledger stands: what `progress` holds. */
export interface Position {
  readonly epoch: bigint;
  readonly nextOffset: bigint;
  readonly chain: Buffer;
  /** Leader epoch of what was settled last; undefined where it is not known. Never compared: the chain says what was settled. */
  readonly leaderEpoch?: number | undefined;
}

/** Offsets of one partition that follow each other without a gap, starting at `position.nextOffset`. */
export interface PartitionItems {
  readonly partition: number;
  readonly position: Position;
  readonly items: readonly Item[];
}

export interface StoredRow {
  readonly partition: number;
  readonly item: EventItem;
  readonly chain: Buffer;
}

export interface SkippedRow {
  readonly partition: number;
  readonly offset: bigint;
  readonly lastOffset: bigint;
  /** Null for Gone. */
  readonly recordedAtMs: bigint | null;
  readonly disposition: Disposition;
  readonly tenant: string;
  readonly sha256: Buffer;
  readonly chain: Buffer;
}

export interface ConflictRow {
  readonly partition: number;
  readonly item: EventItem;
}

/** progress moves from `expected` to (nextOffset, chain), or nothing is written. */
export interface Advance {
  readonly partition: number;
  readonly expected: Position;
  readonly nextOffset: bigint;
  readonly chain: Buffer;
  readonly leaderEpoch: number | undefined;
}

/** Everything one transaction writes. */
export interface WritePlan {
  readonly topicId: Buffer;
  readonly stored: readonly StoredRow[];
  readonly skipped: readonly SkippedRow[];
  readonly conflicts: readonly ConflictRow[];
  /** Why records among `skipped` went to the dead-letter topic: for counting only. */
  readonly deadLetterReasons: readonly ErrorReason[];
  /** In partition order. */
  readonly advances: readonly Advance[];
}

/** sha256 of events already in the ledger, by `keyText`. */
export type KnownEvents = ReadonlyMap<string, Buffer>;

export const keyText = (key: Buffer): string => key.toString("latin1", 0, 16);

export const lastOffsetOf = (item: Item): bigint => (item.kind === "Gone" ? item.lastOffset : item.offset);

/**
 * Says what becomes of every offset, given what the ledger is known to hold already: an event that is not in `known`
 * and comes first in the batch is taken for new. Where that is wrong the transaction fails as a whole, and the batch is
 * planned again with what was looked up. `expiresBeforeMs`: an event recorded before is Expired, whatever else it is.
 */
export function planBatch(
  topicId: Buffer,
  parts: readonly PartitionItems[],
  known: KnownEvents,
  expiresBeforeMs?: bigint,
): WritePlan {
  const plan = {
    topicId,
    stored: [],
    skipped: [],
    conflicts: [],
    deadLetterReasons: [],
    advances: [],
    expiresBeforeMs,
  } as Draft;
  const seen: Seen = new Map(known);

  for (const part of [...parts].sort((a, b) => a.partition - b.partition)) planPartition(plan, part, seen);
  const { expiresBeforeMs: _, ...written } = plan;
  return written;
}

/** Of an event of this batch the event itself. */
type Seen = Map<string, Buffer | PackedEvent>;

interface Draft {
  readonly topicId: Buffer;
  readonly stored: StoredRow[];
  readonly skipped: SkippedRow[];
  readonly conflicts: ConflictRow[];
  readonly deadLetterReasons: ErrorReason[];
  readonly advances: Advance[];
  readonly expiresBeforeMs?: bigint | undefined;
}

function planPartition(plan: Draft, { partition, position, items }: PartitionItems, seen: Seen): void {
  const of: ChainOf = { topicId: plan.topicId, partition };
  let { nextOffset, chain } = position;

  for (const item of items) {
    if (item.offset !== nextOffset) {
      throw new Error(`Offset ${item.offset} of partition ${partition} does not follow ${nextOffset - 1n}`);
    }
    chain = planItem(plan, of, item, chain, seen);
    nextOffset = lastOffsetOf(item) + 1n;
  }
  const last = items.at(-1);
  if (last === undefined) return;
  plan.advances.push({ partition, expected: position, nextOffset, chain, leaderEpoch: last.leaderEpoch });
}

function planItem(plan: Draft, of: ChainOf, item: Item, previous: Buffer, seen: Seen): Buffer {
  const { partition } = of;
  if (item.kind === "Gone") {
    const link = goneLink(item.offset);
    const chain = extendChain(previous, of, link);
    plan.skipped.push({ ...link, partition, lastOffset: item.lastOffset, recordedAtMs: null, chain });
    return chain;
  }

  const { offset, recordedAtMs } = item;
  const { tenant } = item.kind === "Event" ? item.event : item;
  const sha256 = item.kind === "Event" ? item.event : item.sha256;
  const decided = item.kind === "Event" ? dispositionOf(item, seen, plan.expiresBeforeMs) : disposition.DeadLettered;
  const chain = extendChain(previous, of, { disposition: decided, offset, recordedAtMs, tenant, sha256 });

  if (item.kind === "Event" && decided === disposition.Stored) plan.stored.push({ partition, item, chain });
  else {
    const bytes = item.kind === "Event" ? item.event.sha256 : item.sha256;
    plan.skipped.push({
      partition,
      offset,
      lastOffset: offset,
      recordedAtMs,
      disposition: decided,
      tenant,
      sha256: bytes,
      chain,
    });
  }
  if (item.kind === "DeadLetter") plan.deadLetterReasons.push(item.rejection.reason);
  if (item.kind === "Event" && decided === disposition.Conflict) plan.conflicts.push({ partition, item });
  return chain;
}

function dispositionOf(
  { event, recordedAtMs }: EventItem,
  seen: Seen,
  expiresBeforeMs: bigint | undefined,
): Disposition {
  // Its id is not remembered either: that goes with the events of its month.
  if (expiresBeforeMs !== undefined && recordedAtMs < expiresBeforeMs) return disposition.Expired;
  const key = event.keyText;
  const first = seen.get(key);
  if (first === undefined) {
    seen.set(key, event);
    return disposition.Stored;
  }
  const sha256 = Buffer.isBuffer(first) ? first : first.sha256;
  return sha256.equals(event.sha256) ? disposition.Duplicate : disposition.Conflict;
}
