import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "pino";
import type { Position } from "./batch.ts";
import type { Gate } from "./gate.ts";
import type { EventLogReader } from "./kafka/port.ts";
import type { HoldReason } from "./outcome.ts";
import type { Ledger } from "./stores/ledger.ts";

/** A partition that the group gave us, from one assignment to its end. */
export class Partition {
  readonly number: number;
  /** What is settled; undefined until the claim is through. */
  position: Position | undefined;
  /** The next offset to come from the log: everything before it is settled or in the batch. */
  read = 0n;
  /** Leader epoch of the record batch before `read`, where it is known. */
  readEpoch: number | undefined;
  /** Where the log ends, as far as it is known. */
  endOffset: bigint | undefined;
  /** Why it cannot go on: stays until something of it was settled, and LogTruncated as long as the claim. */
  held: HoldReason | undefined;
  /** What the broker said, while it is held as Unreadable. */
  readFailure: Error | undefined;
  holds = 0;
  /** Between a hold and the next attempt. Each hold is an object of its own: only the latest one's timer counts. */
  waitingFor: object | undefined;
  given = true;
  /** Being given away: what is in hand is settled, and nothing more is taken in. */
  leaving = false;

  constructor(number: number) {
    this.number = number;
  }

  /** Records in the log that are not settled; undefined as long as either end is not known: nobody should take that for 0. */
  get lag(): bigint | undefined {
    if (this.position === undefined || this.endOffset === undefined) return undefined;
    const { nextOffset } = this.position;
    return this.endOffset > nextOffset ? this.endOffset - nextOffset : 0n;
  }

  /** Whether records of it may be taken in. */
  get isActive(): boolean {
    return this.isWritable && !this.leaving && this.held !== "LogTruncated";
  }

  /** Whether what was taken in may be written: also what came before its log was found to be cut. */
  get isWritable(): boolean {
    return this.given && this.position !== undefined && this.waitingFor === undefined;
  }

  settledUpTo(position: Position): void {
    this.position = position;
    this.holds = 0;
    // Unreadable ends with what can be read, LogTruncated with the claim, and a hold that waits with its next attempt.
    if (this.isActive && this.held !== "Unreadable") this.held = undefined;
  }
}

export interface PartitionsDeps {
  readonly topicId: Buffer;
  readonly reader: EventLogReader;
  readonly ledger: Ledger;
  readonly gate: Gate;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

const HEARTBEAT_POLL_MS = 250;
const HOLD_FIRST_MS = 2_000;
const HOLD_MAX_MS = 30_000;
/** The operator creates a wanted month within 30 s: look often. */
const MONTH_RETRY_MS = 3_000;

/** The partitions that are ours: claimed in the ledger before anything is read, held and let go one by one. */
export class Partitions {
  readonly #deps: PartitionsDeps;
  readonly #all = new Map<number, Partition>();

  constructor(deps: PartitionsDeps) {
    this.#deps = deps;
  }

  get all(): Iterable<Partition> {
    return this.#all.values();
  }

  get(number: number): Partition | undefined {
    return this.#all.get(number);
  }

  /** Whether this claim is still the one we write with. */
  isOurs(number: number, epoch: bigint): boolean {
    const partition = this.#all.get(number);
    return partition !== undefined && partition.given && partition.position?.epoch === epoch;
  }

  assign(numbers: readonly number[]): void {
    this.release(numbers);
    const fresh = numbers.map((number) => new Partition(number));
    for (const partition of fresh) this.#all.set(partition.number, partition);
    void this.#claim(fresh);
  }

  /** Takes nothing more in; what is in hand may still be written until `release`. */
  leave(numbers: readonly number[]): void {
    for (const number of numbers) {
      const partition = this.#all.get(number);
      if (partition !== undefined) partition.leaving = true;
    }
  }

  release(numbers: readonly number[]): void {
    for (const number of numbers) {
      const partition = this.#all.get(number);
      if (partition !== undefined) partition.given = false;
      this.#all.delete(number);
    }
  }

  /** Goes on from where the ledger says. */
  moveTo(partition: Partition, position: Position): void {
    partition.position = position;
    partition.read = position.nextOffset;
    partition.readEpoch = position.leaderEpoch;
    this.#deps.reader.seek(partition.number, position.nextOffset, position.leaderEpoch);
  }

  /** This partition alone waits; after a while it is read again from what is settled. */
  hold(partition: Partition, reason: HoldReason): void {
    const { reader, log, signal } = this.#deps;
    const nextOffset = partition.position?.nextOffset;
    if (partition.held === "LogTruncated") {
      log.error(
        { partition: partition.number, reason, nextOffset },
        "What was read before the log was cut is not settled",
      );
      return;
    }
    const retryAfterMs =
      reason === "MissingMonth" ? MONTH_RETRY_MS : Math.min(HOLD_MAX_MS, HOLD_FIRST_MS * 2 ** partition.holds);
    partition.holds += 1;
    partition.held = reason;
    const hold = {};
    partition.waitingFor = hold;
    reader.pause(partition.number);
    log.error({ partition: partition.number, reason, nextOffset, retryAfterMs }, "Partition is held");
    void sleep(retryAfterMs, undefined, { signal }).then(
      () => this.#retry(partition, hold),
      () => undefined,
    );
  }

  /**
   * The log was cut below what was read of it, by an unclean leader election perhaps. Nothing is read any more under this
   * claim and no time ends that, since the log will grow past the cut and then looks as if nothing had happened: a person
   * decides (docs/log-truncated.md). What is in hand is still settled.
   */
  truncated(partition: Partition, cutAt: bigint): void {
    const { reader, log } = this.#deps;
    partition.held = "LogTruncated";
    reader.pause(partition.number);
    log.error(
      { partition: partition.number, reason: "LogTruncated", read: partition.read, cutAt },
      "Log was cut below what was read: partition is held until a person decides, see docs/log-truncated.md",
    );
  }

  /** Another sink claimed it, or the ledger is older than our claim. The group may still give it to us: a later heartbeat tells, and only then is it claimed again. */
  lose(partition: Partition): void {
    const { reader, log } = this.#deps;
    const lostAtMs = performance.now();
    partition.position = undefined;
    partition.waitingFor = undefined;
    reader.pause(partition.number);
    log.warn(
      { partition: partition.number },
      "Partition is not ours in the ledger: another sink claimed it, or the ledger was put back",
    );
    void this.#claimAfterHeartbeat(partition, lostAtMs);
  }

  #retry(partition: Partition, hold: object): void {
    if (partition.waitingFor !== hold) return;
    partition.waitingFor = undefined;
    if (!partition.given || partition.position === undefined) return;
    this.moveTo(partition, partition.position);
    this.#deps.reader.resume(partition.number);
  }

  async #claimAfterHeartbeat(partition: Partition, lostAtMs: number): Promise<void> {
    const { reader, signal } = this.#deps;
    try {
      while (reader.lastHeartbeatMs() <= lostAtMs) await sleep(HEARTBEAT_POLL_MS, undefined, { signal });
    } catch {
      return;
    }
    await this.#claim([partition]);
  }

  async #claim(partitions: readonly Partition[]): Promise<void> {
    const { gate, ledger, topicId, log, signal } = this.#deps;
    try {
      const wanted = () => partitions.filter(({ given }) => given).map(({ number }) => number);
      const positions = await gate.insist(async () => ledger.claim(topicId, wanted()), signal);
      for (const partition of partitions) {
        const position = positions.get(partition.number);
        if (!partition.given || position === undefined) continue;
        // A new claim looks at the log anew.
        if (partition.held === "LogTruncated") partition.held = undefined;
        this.moveTo(partition, position);
        this.#deps.reader.resume(partition.number);
        const { epoch, nextOffset } = position;
        log.info({ partition: partition.number, epoch, nextOffset }, "Claimed partition");
      }
    } catch (error) {
      if (!signal.aborted) log.error({ err: error }, "Could not claim partitions");
    }
  }
}
