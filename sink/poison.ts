import type { Logger } from "pino";
import { type DeadLetterItem, type EventItem, type Item, type PartitionItems, type Position } from "./batch.ts";
import { holdReasonOf } from "./dead-letters.ts";
import type { HoldReason, Outcome } from "./outcome.ts";
import type { RejectionShare } from "./rejection-share.ts";
import type { StoreError } from "./stores/ledger.ts";

export interface Isolation {
  /** Writes some items of one partition, isolating again where that fails. */
  write(part: PartitionItems, items: readonly Item[]): Promise<Outcome>;
  deadLetter(partition: number, item: DeadLetterItem, attempts: number): Promise<void>;
  wantMonth(partition: number, month: string): Promise<void>;
  readonly deadLettersEnabled: boolean;
  readonly rejections: RejectionShare;
  readonly log: Logger;
}

/**
 * Finds the one record that the store refuses, by halves, and decides about it; everything else of the partition goes in.
 * With `again` the whole part is tried on its own first: the failure may have been another partition's.
 */
export async function isolate(
  to: Isolation,
  part: PartitionItems,
  error: StoreError,
  again: boolean,
): Promise<Outcome> {
  const { items } = part;
  const [only] = items;
  if (again) return to.write(part, items);
  if (only === undefined) return { kind: "Advanced", position: part.position };
  if (items.length === 1) return decide(to, part, only, error);

  const middle = items.length >>> 1;
  const first = await to.write(part, items.slice(0, middle));
  if (first.kind !== "Advanced") return first;
  return to.write({ ...part, position: first.position }, items.slice(middle));
}

async function decide(to: Isolation, part: PartitionItems, item: Item, error: StoreError): Promise<Outcome> {
  if (error.kind === "MissingMonth" && item.kind === "Event") return holdForMonth(to, part, item);
  if (item.kind !== "Event") return held(part.position, "StoreRejectsTooMuch");
  // That jsonb refuses the data is never a reason to dead-letter.
  if (item.event.hasDetails) {
    return to.write(part, [{ ...item, event: item.event.withoutDetails() }]);
  }
  return deadLetter(to, part, item, error);
}

async function holdForMonth(to: Isolation, { partition, position }: PartitionItems, item: EventItem): Promise<Outcome> {
  const month = firstOfMonth(item.recordedAtMs);
  to.log.warn({ partition, month, offset: item.offset }, "Table partition of the record's month is missing");
  // Should this fail, the next attempt asks again.
  await to
    .wantMonth(partition, month)
    .catch((error: unknown) => to.log.warn({ err: error, partition }, "Could not ask for a month"));
  return held(position, "MissingMonth");
}

async function deadLetter(to: Isolation, part: PartitionItems, item: EventItem, error: StoreError): Promise<Outcome> {
  const { partition, position } = part;
  if (!to.rejections.allowsOneMore) return held(position, "StoreRejectsTooMuch");
  if (!to.deadLettersEnabled) return held(position, "DeadLettersDisabled");

  const { event, offset, recordedAtMs, leaderEpoch } = item;
  const rejection = {
    class: "Unstorable",
    reason: "StoreRejected",
    detail: `The store refuses the event with ${error.code ?? "no code"}`,
  } as const;
  const { tenant, sha256 } = event;
  const of = { offset, recordedAtMs, tenant, sha256, record: event.recordAt(offset), leaderEpoch };
  const letter: DeadLetterItem = { kind: "DeadLetter", ...of, rejection };
  try {
    await to.deadLetter(partition, letter, 2);
  } catch (failure) {
    to.log.error({ err: failure, partition, offset }, "Dead-letter topic did not acknowledge");
    return held(position, holdReasonOf(failure));
  }
  to.rejections.reject();
  return to.write(part, [letter]);
}

const held = (position: Position, reason: HoldReason): Outcome => ({ kind: "Held", reason, position });

/** `YYYY-MM-01` of a record time, UTC. */
export function firstOfMonth(ms: bigint): string {
  return `${new Date(Number(ms)).toISOString().slice(0, 7)}-01`;
}
