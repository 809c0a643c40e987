import { setTimeout as sleep } from "node:timers/promises";
import type { EventLogReader, FetchedPartition, GroupHandlers, LogRecord } from "../../sink/kafka/port.ts";

/** One topic in memory and its only reader: the port's rules on positions, pauses and gaps, without a broker. */
export class MemoryLog implements EventLogReader {
  /** `cut`: from when a leader came who lacks what stood there; under `epoch` the log is written since. */
  readonly partitions: {
    records: LogRecord[];
    logStart: bigint;
    end: bigint;
    epoch: number;
    cut: bigint | undefined;
  }[];
  readonly #epochs = new Map<number, number | undefined>();
  readonly committed = new Map<number, bigint>();
  readonly #positions = new Map<number, bigint>();
  readonly #paused = new Set<number>();
  handlers: GroupHandlers | undefined;
  heartbeatMs = 0;
  /** Most records of one fetch of one partition. */
  fetchSize = 1_000;
  fetches = 0;
  /** Partitions that cannot be read, and why. */
  readonly unreadable = new Map<number, Error>();

  constructor(partitions: number) {
    this.partitions = Array.from({ length: partitions }, () => ({
      records: [],
      logStart: 0n,
      end: 0n,
      epoch: 0,
      cut: undefined,
    }));
  }

  /** Appends at the next offset, or further on: what lies between is not in the log. */
  append(partition: number, record: LogRecord, offset = this.partitions[partition]?.end ?? 0n): void {
    const log = this.#log(partition);
    log.records.push({ ...record, offset });
    log.end = offset + 1n;
  }

  async open() {
    return { topicId: "3f2504e0-4f89-41d3-9a0c-0305e82c3301", partitions: this.partitions.length };
  }
  async currentTopicId() {
    return (await this.open()).topicId;
  }
  async join(handlers: GroupHandlers): Promise<void> {
    this.handlers = {
      ...handlers,
      assigned: (partitions) => {
        for (const partition of partitions) this.#positions.delete(partition);
        return handlers.assigned(partitions);
      },
    };
    await this.handlers.assigned([...this.partitions.keys()]);
  }
  seek(partition: number, position: bigint, leaderEpoch?: number): void {
    if (leaderEpoch !== undefined || this.#positions.get(partition) !== position) {
      this.#epochs.set(partition, leaderEpoch);
    }
    this.#positions.set(partition, position);
  }
  pause(partition: number): void {
    this.#paused.add(partition);
  }
  resume(partition: number): void {
    this.#paused.delete(partition);
  }

  async fetch(maxWaitMs: number): Promise<readonly FetchedPartition[]> {
    this.fetches += 1;
    const fetched: FetchedPartition[] = [];
    for (const [partition, position] of this.#positions) {
      if (this.#paused.has(partition)) continue;
      const found = this.#read(partition, position);
      if (found.nextPosition > position) {
        this.#positions.set(partition, found.nextPosition);
        this.#epochs.set(partition, found.leaderEpoch);
      }
      if (
        found.records.length > 0 ||
        found.outOfRange === true ||
        found.error !== undefined ||
        found.nextPosition > position
      )
        fetched.push(found);
    }
    await sleep(fetched.length > 0 ? 0 : Math.min(maxWaitMs, 10));
    return fetched;
  }

  async endOffsets(partitions: readonly number[]): Promise<ReadonlyMap<number, bigint>> {
    return new Map(partitions.map((partition) => [partition, this.#log(partition).end]));
  }
  async commit(offsets: ReadonlyMap<number, bigint>): Promise<void> {
    for (const [partition, offset] of offsets) this.committed.set(partition, offset);
  }
  failures(): readonly unknown[] {
    return [];
  }

  lastHeartbeatMs(): number {
    return this.heartbeatMs;
  }
  async leave(): Promise<void> {}
  async close(): Promise<void> {}

  #read(partition: number, position: bigint): FetchedPartition {
    const { records, logStart, end, epoch, cut } = this.#log(partition);
    const known = { partition, position, logStart, endOffset: end, leaderEpoch: epoch };
    const asked = this.#epochs.get(partition);
    if (cut !== undefined && asked !== undefined && asked < epoch && position > cut)
      return { ...known, endOffset: cut, records: [], nextPosition: position, outOfRange: true };
    if (position < logStart || position > end)
      return { ...known, records: [], nextPosition: position, outOfRange: true };
    const error = this.unreadable.get(partition);
    if (error !== undefined) return { ...known, records: [], nextPosition: position, error };
    const found = records.filter(({ offset }) => offset >= position && offset >= logStart).slice(0, this.fetchSize);
    const last = found.at(-1);
    const isAll = found.length < this.fetchSize;
    return { ...known, records: found, nextPosition: isAll || last === undefined ? end : last.offset + 1n };
  }

  /** A new leader, whose log ends at `end`. */
  cut(partition: number, end: bigint): void {
    const log = this.#log(partition);
    log.records = log.records.filter(({ offset }) => offset < end);
    log.end = end;
    log.cut = end;
    log.epoch += 1;
  }

  #log(partition: number) {
    const log = this.partitions[partition];
    if (log === undefined) throw new Error(`No partition ${partition}`);
    return log;
  }
}
