/**
 * The sink's view of Kafka. Two adapters (`platformatic.ts`, `kafkajs.ts`) under one contract suite
 * (`test/contract/event-log.contract.ts`).
 */

/** One record as the broker holds it. Valid until the next call of `fetch`: copy what must outlive that. */
export interface LogRecord {
  readonly offset: bigint;
  /** Milliseconds since the epoch: the broker's append time when `appendTime`, else what the producer claimed. */
  readonly timestamp: bigint;
  /** Attribute bit 3 of the record batch: LogAppendTime, and `timestamp` is the batch's maxTimestamp. */
  readonly appendTime: boolean;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  /** In order, repeats included, as raw bytes. */
  readonly headers: readonly (readonly [key: Buffer, value: Buffer | null])[];
}

export interface FetchedPartition {
  readonly partition: number;
  /** The position this fetch was asked for; a reader that was moved meanwhile drops the result. */
  readonly position: bigint;
  /** Ascending, each offset ≥ `position`; records of aborted transactions and control records are left out. */
  readonly records: readonly LogRecord[];
  /** The first offset not covered by this fetch: past the last record, and past gaps and control batches. */
  readonly nextPosition: bigint;
  /** Leader epoch of the last record batch before `nextPosition`; left out where it is not known. */
  readonly leaderEpoch?: number | undefined;
  readonly logStart: bigint;
  /** Last stable offset: what a consumer can read up to. */
  readonly endOffset: bigint;
  /**
   * `position` is outside [logStart, endOffset]: nothing was read and the reader's position has not moved. A log that was
   * cut before `position` and has grown again is found out too, where the leader epoch at `position` is known; `endOffset`
   * is then where it was cut.
   */
  readonly outOfRange?: boolean;
  /**
   * What stands at `position` cannot be read (codec, checksum, access, topic deleted): nothing was read and the position
   * has not moved. The partition is tried again after a back-off; the others go on.
   */
  readonly error?: Error;
}

export interface GroupHandlers {
  /** New partitions. The reader fetches none of them until `seek` gave each a position. */
  assigned(partitions: readonly number[]): Promise<void>;
  /** Awaited before the partitions are given up, as far as the rebalance timeout allows; `lost` follows when it did not. */
  revoked(partitions: readonly number[]): Promise<void>;
  /** The group went on without us (session timeout, fenced): the partitions are already somebody else's. */
  lost(partitions: readonly number[]): void;
}

export interface EventLogReader {
  /** Looks the topic up; resolves to its id (UUID text). Throws TopicMissingError. */
  open(): Promise<{ topicId: string; partitions: number }>;
  /** The topic's id as of the last metadata answer: another one than at `open` means it was deleted and made again. */
  currentTopicId(): Promise<string>;
  /**
   * Joins the group and stays in it until `leave`; rejoins by itself after errors. Resolves once a member; rejects when
   * the group is refused to us. Handlers run one at a time and must not reject.
   */
  join(handlers: GroupHandlers): Promise<void>;
  /**
   * Sets a partition's position and lets it be fetched. Results already under way for another position are dropped.
   * `leaderEpoch` is that of the record batch before `position`, as a fetch gave it: by it the broker sees that its log was
   * cut before `position`, whatever it has grown to since. Without it only what this reader read itself is known.
   */
  seek(partition: number, position: bigint, leaderEpoch?: number): void;
  /** A paused partition is not fetched; the others go on. The position stays. */
  pause(partition: number): void;
  resume(partition: number): void;
  /**
   * What there is for the partitions that have a position and are not paused; waits up to `maxWaitMs` for the first byte.
   * Positions move on to `nextPosition`. One call at a time. While brokers cannot be reached it retries and returns
   * nothing; it throws only in calls without any result, once every request has failed for the session timeout.
   */
  fetch(maxWaitMs: number): Promise<readonly FetchedPartition[]>;
  /** Last stable offsets as of now, whether the partitions are fetched or not. One whose leader does not answer is left out. */
  endOffsets(partitions: readonly number[]): Promise<ReadonlyMap<number, bigint>>;
  /** Group offsets, for lag displays only: the truth is the store's. Rejects when not a member any more. */
  commit(offsets: ReadonlyMap<number, bigint>): Promise<void>;
  /** Monotonic milliseconds (performance.now) at which the last heartbeat that the coordinator accepted was sent; -Infinity before. */
  lastHeartbeatMs(): number;
  /** What keeps the group or the logs out of reach right now: the last failure of each that has not worked since. */
  failures(): readonly unknown[];
  /** Gives the partitions up at once, without `revoked`: what the caller wants settled it settles before. */
  leave(): Promise<void>;
  close(): Promise<void>;
}

export interface ProducedRecord {
  readonly topic: string;
  readonly partition?: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: readonly (readonly [key: Buffer, value: Buffer | null])[];
}

export interface EventLogWriter {
  /**
   * acks=all; resolves once every record was acknowledged, rejects if any was not. Large batches go compressed. With a
   * RecordsTooLargeError all others were acknowledged.
   */
  send(records: readonly ProducedRecord[]): Promise<void>;
  close(): Promise<void>;
}

export interface RefusedRecord {
  readonly record: ProducedRecord;
  /** Of the batch with that record alone, compressed: what the topic's `max.message.bytes` would have to allow. */
  readonly bytes: number;
}

export class RecordsTooLargeError extends Error {
  override readonly name = "RecordsTooLargeError";
  readonly refused: readonly RefusedRecord[];

  /** `limit`: the topic's `max.message.bytes`, where it is known. */
  constructor(refused: readonly RefusedRecord[], limit?: string) {
    const [first] = refused;
    const bytes = Math.max(...refused.map((each) => each.bytes));
    const topic = first?.record.topic ?? "";
    super(
      `Topic ${topic} refuses ${refused.length === 1 ? "a record" : `${refused.length} records`} as MESSAGE_TOO_LARGE: ` +
        `${bytes} bytes, alone and compressed${limit === undefined ? "" : `, where it takes ${limit}`}; ` +
        `set its max.message.bytes to ${bytes} or more`,
    );
    this.refused = refused;
  }
}

export class TopicMissingError extends Error {
  override readonly name = "TopicMissingError";
}

export interface KafkaConnection {
  readonly clientId: string;
  readonly bootstrapServers: readonly string[];
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string; readonly serverName?: string };
  readonly sasl?: {
    readonly mechanism: "PLAIN" | "SCRAM-SHA-256" | "SCRAM-SHA-512";
    readonly username: string;
    readonly password: string;
  };
}

export interface ReaderOptions {
  readonly topic: string;
  readonly groupId: string;
  readonly sessionTimeoutMs: number;
  readonly rebalanceTimeoutMs: number;
  readonly heartbeatIntervalMs: number;
  readonly maxBytesPerPartition: number;
  readonly maxBytes: number;
  /** What one record batch may take once decompressed, default 128 MiB: one that would take more is an `error`. */
  readonly maxDecodedBatchBytes?: number;
}

/** What an adapter module exports. */
export interface KafkaClient {
  createReader(connection: KafkaConnection, options: ReaderOptions): EventLogReader;
  createWriter(connection: KafkaConnection): EventLogWriter;
}
