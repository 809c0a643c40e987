import type { Advance, Position } from "./batch.ts";

export type HoldReason =
  | "DeadLetterTopicUnavailable"
  /** The dead-letter topic takes no record of that size, not even compressed: its `max.message.bytes` must be raised. */
  | "DeadLetterTooLarge"
  | "DeadLettersDisabled"
  | "MissingMonth"
  | "StoreRejectsTooMuch"
  | "LogTruncated"
  /** The broker or the record batch itself: nothing of it can be read for now. */
  | "Unreadable";

/** What became of a partition's part of a batch. */
export type Outcome =
  | { readonly kind: "Advanced"; readonly position: Position }
  /** It cannot go on for now; what is before `position` is settled. */
  | { readonly kind: "Held"; readonly reason: HoldReason; readonly position: Position }
  /** Another sink has claimed it, or the ledger was put back to before our claim. */
  | { readonly kind: "Lost" }
  /** The ledger stands elsewhere although nobody else claimed it: go on from there. */
  | { readonly kind: "Moved"; readonly position: Position };

/** What the ledger says after a transaction whose end is not known; undefined: nothing of it was written. */
export function outcomeOf(
  found: Position | undefined,
  expected: Position,
  target: Advance | undefined,
): Outcome | undefined {
  if (found === undefined || found.epoch !== expected.epoch) return { kind: "Lost" };
  if (standsAt(found, expected)) return undefined;
  if (target !== undefined && standsAt(found, target)) return { kind: "Advanced", position: found };
  return { kind: "Moved", position: found };
}

const standsAt = (found: Position, { nextOffset, chain }: Pick<Position, "nextOffset" | "chain">) =>
  found.nextOffset === nextOffset && found.chain.equals(chain);
