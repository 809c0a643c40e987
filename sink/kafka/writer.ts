import { backoffMs, pause } from "./backoff.ts";
import { TopicView } from "./cluster.ts";
import {
  type EventLogWriter,
  type ProducedRecord,
  RecordsTooLargeError,
  type RefusedRecord,
  TopicMissingError,
} from "./port.ts";
import {
  type Broker,
  BrokerError,
  ConnectionError,
  type ErrorName,
  errorCodes,
  type KafkaProtocol,
  type ProduceBatch,
} from "./protocol.ts";
import { compressBatch, encodeBatch, sizeBound } from "./record-batch-encoder.ts";

/** From `send` to its answer, retries included. */
const sendTimeoutMs = 20_000;
const requestTimeoutMs = 10_000;
/** How old the view of a topic may get before it is looked up again: new partitions are found by this. */
const viewAgeMs = 60_000;
/** Below the default `max.message.bytes` of 1 MiB + 12, with room for what the batch adds; one larger record goes alone. */
const batchBytes = 900 * 1024;
/**
 * A larger batch is compressed. A topic's limit is for the batch as it is sent: a record that came in compressed may be
 * many times larger than what a topic takes uncompressed.
 */
const compressFromBytes = 64 * 1024;
const tooLargeCodes: readonly ErrorName[] = ["MESSAGE_TOO_LARGE", "RECORD_LIST_TOO_LARGE"];

/** The same records may be accepted a moment later. Everything else is the caller's to settle. */
const passing: readonly ErrorName[] = [
  "NOT_LEADER_OR_FOLLOWER",
  "LEADER_NOT_AVAILABLE",
  "UNKNOWN_LEADER_EPOCH",
  "FENCED_LEADER_EPOCH",
  "REQUEST_TIMED_OUT",
  "BROKER_NOT_AVAILABLE",
  "REPLICA_NOT_AVAILABLE",
  "NETWORK_EXCEPTION",
  "NOT_ENOUGH_REPLICAS",
  "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
  "KAFKA_STORAGE_ERROR",
  "UNKNOWN_TOPIC_OR_PARTITION",
  "CORRUPT_MESSAGE",
];

/**
 * Sends to the leaders and waits for all in-sync replicas. A batch whose answer is lost is sent again, so a record can be
 * in the log twice; order within a partition holds within one `send`.
 */
export class Writer implements EventLogWriter {
  readonly #protocol: KafkaProtocol;
  /** Java's murmur2, masked to 31 bits, so that a key meets the partition that other producers choose. */
  readonly #hash: (key: Buffer) => number;
  readonly #views = new Map<string, TopicView>();
  readonly #closing = new AbortController();
  #next = 0;

  constructor(protocol: KafkaProtocol, hash: (key: Buffer) => number) {
    this.#protocol = protocol;
    this.#hash = hash;
  }

  async send(records: readonly ProducedRecord[]): Promise<void> {
    const deadline = performance.now() + sendTimeoutMs;
    await Promise.all([...new Set(records.map(({ topic }) => topic))].map((topic) => this.#lookUp(topic, deadline)));
    const refused: RefusedRecord[] = [];
    let rounds = roundsOf(records, (record) => this.#partitionOf(record));
    for (let failures = 0; rounds.length > 0; ) {
      const [round = [], ...rest] = rounds;
      const { again, tooLarge } = await this.#sendRound(await this.#encode(round), deadline);
      const first: Unsent[] = [...again];
      const second: Unsent[] = [];
      for (const batch of tooLarge) {
        const smaller = smallerOf(batch);
        if (smaller === undefined)
          refused.push(...batch.records.map((record) => ({ record, bytes: batch.batch.length })));
        else {
          first.push(smaller[0]);
          second.push(...smaller.slice(1));
        }
      }
      rounds = [first, second, ...rest].filter(({ length }) => length > 0);
      if (again.length > 0) await pause(backoffMs(failures++, 50, 1_000), this.#closing.signal);
    }
    const [first] = refused;
    if (first !== undefined) throw new RecordsTooLargeError(refused, await this.#limitOf(first.record.topic));
  }

  /** For the message only: without the right to ask, it says what would be needed all the same. */
  async #limitOf(topic: string): Promise<string | undefined> {
    return this.#protocol.topicSetting(topic, "max.message.bytes", requestTimeoutMs).catch(() => undefined);
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#protocol.close();
  }

  /** Not before its turn: what waits takes no memory. */
  async #encode(round: readonly Unsent[]): Promise<EncodedBatch[]> {
    const encoded: EncodedBatch[] = [];
    for (const unsent of round) {
      const { records, isCompressed, batch } = unsent;
      if (batch !== undefined) {
        encoded.push({ ...unsent, batch });
        continue;
      }
      const { crc32c } = this.#protocol;
      const plain = encodeBatch(records, BigInt(Date.now()), crc32c);
      const compress = isCompressed || plain.length >= compressFromBytes;
      encoded.push({
        ...unsent,
        isCompressed: compress,
        batch: compress ? await compressBatch(plain, crc32c) : plain,
      });
    }
    return encoded;
  }

  /** Each round has one batch per partition at the most. Resolves to what was not acknowledged; rejects for good. */
  async #sendRound(batches: readonly EncodedBatch[], deadline: number): Promise<Unacknowledged> {
    const byLeader = new Map<number, { broker: Broker; batches: EncodedBatch[] }>();
    const again: EncodedBatch[] = [];
    for (const batch of batches) {
      const leader = this.#views.get(batch.topic)?.leader(batch.partition);
      if (leader === undefined) again.push(batch);
      else {
        const group = byLeader.get(leader.broker.nodeId) ?? { broker: leader.broker, batches: [] };
        group.batches.push(batch);
        byLeader.set(leader.broker.nodeId, group);
      }
    }
    let cause: unknown;
    const failed = await Promise.all(
      [...byLeader.values()].map(async (group): Promise<Unacknowledged> => {
        try {
          return failuresOf(
            group.batches,
            await this.#protocol.produce(group.broker, group.batches, timeLeft(deadline)),
          );
        } catch (error) {
          if (error instanceof BrokerError && !error.is(...passing)) throw error;
          cause = error;
          return { again: group.batches, tooLarge: [] };
        }
      }),
    );
    again.push(...failed.flatMap((group) => group.again));
    if (again.length > 0) await this.#beforeRetry(again, deadline, cause);
    return { again, tooLarge: failed.flatMap((group) => group.tooLarge) };
  }

  async #beforeRetry(batches: readonly ProduceBatch[], deadline: number, cause: unknown): Promise<void> {
    if (performance.now() >= deadline || this.#closing.signal.aborted) throw notAcknowledged(batches, cause);
    let latest = cause;
    for (const topic of new Set(batches.map((batch) => batch.topic))) {
      await this.#views
        .get(topic)
        ?.refresh()
        .catch((error: unknown) => {
          latest = error;
        });
    }
    if (performance.now() >= deadline) throw notAcknowledged(batches, latest);
  }

  async #lookUp(topic: string, deadline: number): Promise<void> {
    const view = this.#views.get(topic) ?? new TopicView(this.#protocol, topic);
    this.#views.set(topic, view);
    for (let failures = 0; view.topicId === undefined; failures++) {
      try {
        await view.refresh();
      } catch (error) {
        const final = error instanceof BrokerError && !error.is(...passing);
        if (final || error instanceof TopicMissingError || performance.now() >= deadline) throw error;
        await pause(backoffMs(failures, 50, 1_000), this.#closing.signal);
        if (this.#closing.signal.aborted) throw error;
      }
    }
    if (view.ageMs() > viewAgeMs) void view.refresh().catch(() => undefined);
  }

  #partitionOf({ topic, partition, key }: ProducedRecord): number {
    if (partition !== undefined) return partition;
    const count = this.#views.get(topic)?.partitionCount ?? 1;
    return key === null ? this.#next++ % count : this.#hash(key) % count;
  }
}

const timeLeft = (deadline: number) => Math.max(Math.min(deadline - performance.now(), requestTimeoutMs), 1);

function notAcknowledged(batches: readonly ProduceBatch[], cause: unknown): Error {
  const where = batches.map(({ topic, partition }) => `${topic}-${partition}`).join(", ");
  return new ConnectionError(`Not acknowledged within ${sendTimeoutMs / 1000} s by all in-sync replicas: ${where}`, {
    cause,
  });
}

function failuresOf(
  batches: readonly EncodedBatch[],
  answers: Awaited<ReturnType<KafkaProtocol["produce"]>>,
): Unacknowledged {
  const again: EncodedBatch[] = [];
  const tooLarge: EncodedBatch[] = [];
  for (const batch of batches) {
    const { topic, partition } = batch;
    const answer = answers.find((candidate) => candidate.topic === topic && candidate.partition === partition);
    const code = answer?.errorCode ?? errorCodes.NETWORK_EXCEPTION;
    if (code === 0) continue;
    const error = new BrokerError(code, `Writing to ${topic}-${partition}`);
    if (error.is(...tooLargeCodes)) tooLarge.push(batch);
    else if (error.is(...passing)) again.push(batch);
    else throw error;
  }
  return { again, tooLarge };
}

interface Unsent extends Omit<ProduceBatch, "batch"> {
  readonly records: readonly ProducedRecord[];
  readonly isCompressed: boolean;
  /** Once encoded, kept for another attempt. */
  readonly batch?: Buffer;
}

type EncodedBatch = Unsent & ProduceBatch;

interface Unacknowledged {
  /** To be sent again as they are. */
  readonly again: readonly EncodedBatch[];
  readonly tooLarge: readonly EncodedBatch[];
}

/** What a topic does not take in one batch: its halves, in order, or a record alone and compressed; undefined when that is what it was. */
function smallerOf({ topic, partition, records, isCompressed }: EncodedBatch): [Unsent, ...Unsent[]] | undefined {
  if (records.length > 1) {
    const middle = records.length >>> 1;
    const half = (part: readonly ProducedRecord[]): Unsent => ({ topic, partition, records: part, isCompressed });
    return [half(records.slice(0, middle)), half(records.slice(middle))];
  }
  return isCompressed ? undefined : [{ topic, partition, records, isCompressed: true }];
}

/** Rounds of batches: one batch per partition in each round, so that a retry cannot overtake what follows it. */
function roundsOf(
  records: readonly ProducedRecord[],
  partitionOf: (record: ProducedRecord) => number,
): readonly (readonly Unsent[])[] {
  const rounds: Unsent[][] = [];
  const open = new Map<string, { round: number; bytes: number; records: ProducedRecord[] }>();
  for (const record of records) {
    const { topic } = record;
    const partition = partitionOf(record);
    const name = `${topic}-${partition}`;
    const bytes = sizeBound(record);
    let batch = open.get(name);
    if (batch === undefined || batch.bytes + bytes > batchBytes) {
      batch = { round: batch === undefined ? 0 : batch.round + 1, bytes: 0, records: [] };
      open.set(name, batch);
      rounds[batch.round] ??= [];
      rounds[batch.round]?.push({ topic, partition, records: batch.records, isCompressed: false });
    }
    batch.bytes += bytes;
    batch.records.push(record);
  }
  return rounds;
}
