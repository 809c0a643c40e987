import type { KnownEvents, Position, WritePlan } from "../batch.ts";

/**
 * What a sink asks of a store. Every failure is a `StoreError`; after one nothing is known about what was written until
 * `positions` says so.
 */
export interface Ledger {
  /** Connects and makes sure that the tables are there and may be written. */
  open(): Promise<void>;
  /**
   * Takes partitions over: whoever held them before can write them no more. A partition never seen starts at offset 0
   * with the genesis chain.
   */
  claim(topicId: Buffer, partitions: readonly number[]): Promise<ReadonlyMap<number, Position>>;
  /** Where partitions stand now. One that was never claimed is left out. */
  positions(topicId: Buffer, partitions: readonly number[]): Promise<ReadonlyMap<number, Position>>;
  /** Which of these events the ledger holds, with their sha256. */
  known(keys: readonly Buffer[]): Promise<KnownEvents>;
  /** All of the plan in one transaction, or nothing. */
  write(plan: WritePlan): Promise<void>;
  /** Asks the operator for the month (first day, `YYYY-MM-01`) that a held partition waits for. */
  wantMonth(topicId: Buffer, partition: number, month: string): Promise<void>;
  close(): Promise<void>;
}

/**
 * - Mispredicted: something in the plan was not as assumed: an event is known already, or progress is another's.
 * - MissingMonth: there is no table partition for a record's month.
 * - Poison: the store refuses a record for what is in it, and will for ever.
 * - Infrastructure: anything else. Unknown errors are never poison.
 */
export type StoreErrorKind = "Mispredicted" | "MissingMonth" | "Poison" | "Infrastructure";

const QUERY_CANCELED = "57014";
/** The code of an operation that we ended ourselves, since no answer came in time. */
export const NO_ANSWER = "NO_ANSWER";

/** The code of sessions that do not keep their server process to themselves. */
export const POOLED = "POOLED";

export class StoreError extends Error {
  override readonly name = "StoreError";
  readonly kind: StoreErrorKind;
  /** SQLSTATE or system error code, where there is one. */
  readonly code: string | undefined;

  constructor(kind: StoreErrorKind, message: string, options: { code?: string | undefined; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.kind = kind;
    this.code = options.code;
  }

  /** The time for one operation was over: it may have been too large for it. */
  get isTimeout(): boolean {
    return this.code === QUERY_CANCELED || this.code === NO_ANSWER;
  }
}
