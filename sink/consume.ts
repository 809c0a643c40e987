import { setTimeout as sleep, setImmediate as turn } from "node:timers/promises";
import type { Logger } from "pino";
import type { Item, PartitionItems, Position } from "./batch.ts";
import { Batcher, type BatchLimits, release } from "./batcher.ts";
import type { CodecOptions } from "./codec.ts";
import { gone, itemsOf, slicesOf } from "./intake.ts";
import type { EventLogReader, FetchedPartition, GroupHandlers } from "./kafka/port.ts";
import type { Outcome } from "./outcome.ts";
import type { Partition, Partitions } from "./partitions.ts";
import { RowMemory } from "./row-memory.ts";
import type { Settler } from "./settle.ts";

export interface ConsumerDeps {
  readonly reader: EventLogReader;
  readonly partitions: Partitions;
  readonly settler: Settler;
  readonly codec: CodecOptions;
  readonly limits: BatchLimits;
  readonly log: Logger;
  /** Aborted when what is not settled is to be left to the successor. */
  readonly signal: AbortSignal;
  /** Milliseconds that a rebalance waits for us to settle what is in hand. */
  readonly revokeTimeoutMs: number;
  /** Milliseconds between two looks at where the ledger has our partitions. */
  readonly compareEveryMs: number;
  readonly decoded: (events: number, seconds: number) => void;
  readonly untrustedTime: () => void;
}

const MAX_FETCH_WAIT_MS = 500;
/** The batch may be due already, and cannot be written yet. */
const FETCH_WAIT_WHILE_WRITING_MS = 50;
const FETCH_RETRY_MS = 1_000;
const LAST_COMMIT_MS = 1_000;
/** While the log has enough to fill the batch, it is filled, and not for longer than this. */
const MAX_FILL_MS = 250;
const FETCH_WAIT_WHILE_FILLING_MS = 10;
/** A few milliseconds of decoding. */
const SLICE_RECORDS = 250;

/** poll → decode → batch → write → commit, with at most one transaction under way while the next batch is filled. */
export class Consumer {
  readonly #deps: ConsumerDeps;
  readonly #batch: Batcher;
  readonly #memory = new RowMemory();
  #writing: Promise<void> = Promise.resolve();
  #isWriting = false;
  #compareAtMs = 0;
  /** Resolves when part of the batch goes to the store, which makes room for more. */
  #taken = Promise.withResolvers<void>();
  /** Settled and not committed to the group yet. */
  readonly #toCommit = new Map<number, bigint>();
  #committing: Promise<void> | undefined;
  #stopping = false;
  #failure: unknown;

  constructor(deps: ConsumerDeps) {
    this.#deps = deps;
    this.#batch = new Batcher(deps.limits);
  }

  get queued(): number {
    return this.#batch.count;
  }

  /** Runs until `stop`, then settles what is in hand. Rejects on what no retry helps against. */
  async run(): Promise<void> {
    while (!this.#stopping) {
      for (const fetched of await this.#poll()) await this.#takeInAll(fetched);
      this.#writeWhatIsDue();
      if (this.#failure !== undefined) throw this.#failure;
    }
    await this.flush();
    await Promise.race([this.#committing, sleep(LAST_COMMIT_MS, undefined, { ref: false })]);
    if (this.#failure !== undefined) throw this.#failure;
  }

  stop(): void {
    this.#stopping = true;
  }

  /** In slices: between them the answers of store and broker are heard, and a full batch is waited for. */
  async #takeInAll(fetched: FetchedPartition): Promise<void> {
    for (const slice of slicesOf(fetched, SLICE_RECORDS)) {
      this.#takeIn(slice);
      if (slice.nextPosition !== fetched.nextPosition) await turn();
      while (this.#batch.isFull && this.#failure === undefined) {
        this.#writeWhatIsDue();
        await Promise.race([this.#taken.promise, this.#writing]);
      }
      // What was not taken in is read again, by us or by a successor.
      if (this.#stopping || this.#failure !== undefined) return;
    }
  }

  #writeWhatIsDue(): void {
    if (this.#isWriting) return;
    if (this.#isDue()) void this.#startWriting(() => this.#isDue());
    // By itself: a batch that is not due yet is not written for it.
    else if (this.#isToCompare()) void this.#inTurn(() => this.#compare());
  }

  #isToCompare = (): boolean => performance.now() >= this.#compareAtMs;

  #isDue(): boolean {
    const now = performance.now();
    if (this.#batch.dueInMs(now) > 0) return false;
    return this.#batch.isFull || this.#batch.ageMs(now) >= MAX_FILL_MS || !this.#logFillsBatch();
  }

  /** With a backlog, large transactions save more time than waiting for them costs. */
  #logFillsBatch(): boolean {
    let records = BigInt(this.#batch.count);
    for (const { isActive, held, endOffset, read } of this.#deps.partitions.all) {
      if (isActive && held === undefined && endOffset !== undefined && endOffset > read) records += endOffset - read;
    }
    return records >= this.#deps.limits.batchSize;
  }

  /** Settles everything that was taken in so far. */
  flush(): Promise<void> {
    return this.#startWriting(() => this.#batch.count > 0);
  }

  /** Writes one batch after what is being written, and more while `goOn`. */
  #startWriting(goOn: () => boolean): Promise<void> {
    return this.#inTurn(async () => {
      do await this.#write();
      while (goOn());
    });
  }

  /** After everything that was begun before. */
  #inTurn(work: () => Promise<void>): Promise<void> {
    const writing = this.#writing.then(work);
    const settled = writing.catch((error: unknown) => {
      if (!this.#deps.signal.aborted) this.#failure ??= error;
    });
    this.#isWriting = true;
    this.#writing = settled.then(() => {
      if (this.#writing === last) this.#isWriting = false;
    });
    const last = this.#writing;
    return last;
  }

  readonly handlers: GroupHandlers = {
    assigned: async (numbers) => {
      this.#forget(numbers);
      this.#deps.partitions.assign(numbers);
    },
    revoked: async (numbers) => {
      const { partitions, revokeTimeoutMs } = this.#deps;
      // The whole group waits for us: what was fetched and not taken in is the successor's.
      partitions.leave(numbers);
      await Promise.race([
        this.flush().then(() => this.#committing),
        sleep(revokeTimeoutMs, undefined, { ref: false }),
      ]);
      this.#forget(numbers);
      partitions.release(numbers);
    },
    lost: (numbers) => {
      this.#forget(numbers);
      this.#deps.partitions.release(numbers);
    },
  };

  async #poll(): Promise<readonly FetchedPartition[]> {
    const dueInMs = this.#isWriting ? FETCH_WAIT_WHILE_WRITING_MS : this.#batch.dueInMs(performance.now());
    // Due and not written yet: the batch is being filled.
    const waitMs = dueInMs === 0 ? FETCH_WAIT_WHILE_FILLING_MS : Math.min(MAX_FETCH_WAIT_MS, dueInMs);
    try {
      return await this.#deps.reader.fetch(waitMs);
    } catch (error) {
      this.#deps.log.warn({ err: error }, "Could not fetch");
      await sleep(FETCH_RETRY_MS);
      return [];
    }
  }

  #takeIn(fetched: FetchedPartition): void {
    const { partitions, codec, decoded, untrustedTime } = this.#deps;
    const partition = partitions.get(fetched.partition);
    if (partition === undefined || !partition.isActive) return;
    // Fetched before the partition was moved: not what comes next.
    if (fetched.position !== partition.read) return this.#seekAgain(partition);
    if (fetched.outOfRange === true) return this.#outOfRange(partition, fetched);
    if (fetched.error !== undefined) return this.#unreadable(partition, fetched.error);
    if (partition.held === "Unreadable") partition.held = undefined;
    partition.readFailure = undefined;
    partition.endOffset = fetched.endOffset;

    const began = performance.now();
    const items = itemsOf(fetched, { ...codec, nowMs: BigInt(Date.now()), memory: this.#memory });
    if (fetched.records.some(({ appendTime }) => !appendTime)) untrustedTime();
    for (const item of items) this.#sayFault(fetched.partition, item);
    this.#batch.add(partition, items, began);
    partition.read = fetched.nextPosition;
    partition.readEpoch = fetched.leaderEpoch;
    if (items.length > 0) decoded(items.length, (performance.now() - began) / 1000);
  }

  #sayFault(partition: number, item: Item): void {
    if (item.kind !== "DeadLetter" || item.rejection.reason !== "DecoderFailed") return;
    const { offset, rejection } = item;
    this.#deps.log.error({ partition, offset, reason: rejection.reason, detail: rejection.detail }, "Decoder failed");
  }

  #seekAgain({ number, read, readEpoch }: Partition): void {
    this.#deps.reader.seek(number, read, readEpoch);
  }

  /** Before the log's start: those offsets are gone, and it is written down. Beyond its end: it was cut, so nothing is guessed. */
  #outOfRange(partition: Partition, { position, logStart, endOffset }: FetchedPartition): void {
    const { partitions, reader, log } = this.#deps;
    if (position < logStart) {
      log.warn({ partition: partition.number, from: position, to: logStart - 1n }, "Log no longer has these offsets");
      this.#batch.add(partition, [gone(position, logStart)], performance.now());
      partition.read = logStart;
      partition.readEpoch = undefined;
      reader.seek(partition.number, logStart);
      return;
    }
    partitions.truncated(partition, endOffset);
  }

  /** The reader tries again by itself, from the same position: said once, and by a metric as long as it lasts. */
  #unreadable(partition: Partition, error: Error): void {
    if (partition.held === undefined) {
      this.#deps.log.error(
        { partition: partition.number, position: partition.read, err: error },
        "Cannot read partition",
      );
    }
    partition.held ??= "Unreadable";
    partition.readFailure = error;
  }

  async #write(): Promise<void> {
    if (this.#isToCompare()) await this.#compare();
    const taken = this.#batch.take();
    this.#taken.resolve();
    this.#taken = Promise.withResolvers();
    await this.#settle(taken);
    for (const items of taken.values()) release(items);
  }

  async #settle(taken: ReturnType<Batcher["take"]>): Promise<void> {
    const { settler, partitions, signal } = this.#deps;
    const parts: PartitionItems[] = [];
    for (const [partition, items] of taken) {
      const { position, number } = partition;
      // Held, given away or lost since: it is read again from its position.
      if (!partition.isWritable || position === undefined) continue;
      if (items[0]?.offset === position.nextOffset) parts.push({ partition: number, position, items });
      else this.#readAgain(partition, position);
    }
    if (parts.length === 0) return;

    for (const [number, outcome] of await settler.settle(parts, signal)) {
      const partition = partitions.get(number);
      // Given away meanwhile, and perhaps given back: then it has a claim of its own.
      if (partition === undefined || !taken.has(partition)) continue;
      this.#apply(partition, outcome);
      if (partition.position !== undefined) this.#toCommit.set(number, partition.position.nextOffset);
    }
    this.#committing ??= this.#commit().finally(() => {
      this.#committing = undefined;
    });
  }

  /**
   * A ledger may be put back to an older state, by a restore or a replica that lagged. A transaction finds out, but for a
   * partition to which nobody sends anything there is none: what was taken from it would stay away. Between two
   * transactions, since a position does not move meanwhile.
   */
  async #compare(): Promise<void> {
    const { settler, partitions, compareEveryMs } = this.#deps;
    const expected = new Map<number, Position>();
    for (const { number, position, isWritable } of partitions.all) {
      if (isWritable && position !== undefined) expected.set(number, position);
    }
    for (const [number, outcome] of await settler.compare(expected)) {
      const partition = partitions.get(number);
      if (partition !== undefined && partition.position === expected.get(number)) this.#apply(partition, outcome);
    }
    this.#compareAtMs = performance.now() + compareEveryMs;
  }

  /** What is in hand does not follow what is settled: nobody else would ever read the partition again. */
  #readAgain(partition: Partition, position: Position): void {
    const { log, partitions } = this.#deps;
    log.warn({ partition: partition.number, nextOffset: position.nextOffset }, "Read again from what is settled");
    this.#batch.drop(partition);
    partitions.moveTo(partition, position);
  }

  #apply(partition: Partition, outcome: Outcome): void {
    const { partitions } = this.#deps;
    if (outcome.kind === "Advanced") return partition.settledUpTo(outcome.position);
    this.#batch.drop(partition);
    if (outcome.kind === "Lost") partitions.lose(partition);
    if (outcome.kind === "Moved") partitions.moveTo(partition, outcome.position);
    if (outcome.kind === "Held") {
      partition.position = outcome.position;
      partitions.hold(partition, outcome.reason);
    }
  }

  /** For lag displays: the truth is the ledger's, and no write waits for it. What is settled meanwhile goes out next. */
  async #commit(): Promise<void> {
    while (this.#toCommit.size > 0) {
      const offsets = new Map(this.#toCommit);
      this.#toCommit.clear();
      try {
        await this.#deps.reader.commit(offsets);
      } catch (error) {
        this.#deps.log.debug({ err: error }, "Could not commit group offsets");
      }
    }
  }

  #forget(numbers: readonly number[]): void {
    for (const number of numbers) {
      this.#toCommit.delete(number);
      const partition = this.#deps.partitions.get(number);
      if (partition !== undefined) this.#batch.drop(partition);
    }
  }
}
