import type { Random } from "../stream/random.ts";
import type { LedgerRow, Snapshot } from "./copies.ts";

/** What the verifier is given beside the tables: heads kept outside, the log, the retention a person knows of. */
export type Evidence = "Tables" | "Heads" | "Log" | "Retention";

/** A change of a ledger, and what must be said of it. */
export interface Forgery {
  /** `S.` stands for the schema. */
  readonly statements: readonly string[];
  /** The chain is computed anew from there to the end, and the head with it. */
  readonly rechain?: { readonly partition: number; readonly from: number };
  readonly check: RegExp;
  /** The partition whose walk must end, and where: the first bad offset. Absent: it belongs to no walk. */
  readonly at?: { readonly partition: number; readonly offset: number };
}

export interface Attack {
  readonly kind: string;
  readonly evidence: Evidence;
  /** Before retention took a month, or after; either where it does not matter. */
  readonly on?: "Whole" | "Dropped";
  readonly make: (random: Random, ledger: Snapshot) => Forgery;
}

export const where = ({ partition, offset }: { partition: number; offset: number }) =>
  `partition = ${partition} AND "offset" = ${offset}`;

export function pick(random: Random, { rows }: Snapshot, holds: (row: LedgerRow) => boolean): LedgerRow {
  return random.pick(rows.filter(holds));
}

export const isEvent = ({ disposition }: LedgerRow) => disposition === 0;
export const isGone = ({ disposition }: LedgerRow) => disposition === 6;
export const isSingle = (row: LedgerRow) => !isEvent(row) && !isGone(row);

/** Events that others rest on (a duplicate or a conflict of theirs was skipped) show up more than once when they change. */
export const isAlone = (ledger: Snapshot) => (row: LedgerRow) =>
  isEvent(row) &&
  !ledger.rows.some((other) => other !== row && other.sha256.equals(row.sha256)) &&
  follows(ledger, row);

/** The row before it is there, so that its chain can be gone on from. */
export const follows = ({ rows }: Snapshot, { partition, offset }: LedgerRow) =>
  rows.some((row) => row.partition === partition && row.lastOffset === offset - 1);

export const otherPartition = ({ partition }: { partition: number }) => 1 - partition;
