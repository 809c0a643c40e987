import { backoffMs, pause } from "./backoff.ts";
import { TopicView } from "./cluster.ts";
import { type EventLogWriter, type ProducedRecord, TopicMissingError } from "./port.ts";
import {
  type Broker,
  BrokerError,
  ConnectionError,
  type ErrorName,
  errorCodes,
  type KafkaProtocol,
  type ProduceBatch,
} from "./protocol.ts";
import { encodeBatch, sizeBound } from "./record-batch-encoder.ts";

/** From `send` to its answer, retries included. */
const sendTimeoutMs = 20_000;
const requestTimeoutMs = 10_000;
/** How old the view of a topic may get before it is looked up again: new partitions are found by this. */
const viewAgeMs = 60_000;
/** Below the default `max.message.bytes` of 1 MiB + 12, with room for what the batch adds; one larger record goes alone. */
const batchBytes = 900 * 1024;

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
    let rounds = batchesOf(records, (record) => this.#partitionOf(record), this.#protocol);
    for (let failures = 0; rounds.length > 0; ) {
      const [round = [], ...rest] = rounds;
      const failed = await this.#sendRound(round, deadline);
      rounds = failed.length === 0 ? rest : [failed, ...rest];
      if (failed.length > 0) await pause(backoffMs(failures++, 50, 1_000), this.#closing.signal);
    }
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#protocol.close();
  }

  /** Each round has one batch per partition at the most. Resolves to the batches to send again; rejects for good. */
  async #sendRound(batches: readonly ProduceBatch[], deadline: number): Promise<ProduceBatch[]> {
    const byLeader = new Map<number, { broker: Broker; batches: ProduceBatch[] }>();
    const again: ProduceBatch[] = [];
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
      [...byLeader.values()].map(async (group) => {
        try {
          return failuresOf(
            group.batches,
            await this.#protocol.produce(group.broker, group.batches, timeLeft(deadline)),
          );
        } catch (error) {
          if (error instanceof BrokerError && !error.is(...passing)) throw error;
          cause = error;
          return group.batches;
        }
      }),
    );
    again.push(...failed.flat());
    if (again.length > 0) await this.#beforeRetry(again, deadline, cause);
    return again;
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

function failuresOf(batches: readonly ProduceBatch[], answers: Awaited<ReturnType<KafkaProtocol["produce"]>>) {
  return batches.filter(({ topic, partition }) => {
    const answer = answers.find((candidate) => candidate.topic === topic && candidate.partition === partition);
    const code = answer?.errorCode ?? errorCodes.NETWORK_EXCEPTION;
    if (code === 0) return false;
    const error = new BrokerError(code, `Writing to ${topic}-${partition}`);
    if (!error.is(...passing)) throw error;
    return true;
  });
}

/** Rounds of batches: one batch per partition in each round, so that a retry cannot overtake what follows it. */
function batchesOf(
  records: readonly ProducedRecord[],
  partitionOf: (record: ProducedRecord) => number,
  { crc32c }: Pick<KafkaProtocol, "crc32c">,
): ProduceBatch[][] {
  const rounds: { topic: string; partition: number; records: ProducedRecord[] }[][] = [];
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
      rounds[batch.round]?.push({ topic, partition, records: batch.records });
    }
    batch.bytes += bytes;
    batch.records.push(record);
  }
  const now = BigInt(Date.now());
  return rounds.map((round) =>
    round.map(({ topic, partition, records: of }) => ({ topic, partition, batch: encodeBatch(of, now, crc32c) })),
  );
}
