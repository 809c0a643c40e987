import type { DeadLetterItem } from "./batch.ts";
import type { EventLogWriter, LogRecord, ProducedRecord } from "./kafka/port.ts";

export interface DeadLetterSource {
  readonly sink: string;
  readonly topic: string;
  readonly topicId: string;
}

const DETAIL_MAX_BYTES = 1_024;

/** The original record, and why it went to the dead-letter topic, in headers that replace any of the same name. */
export function deadLetterRecord(
  topic: string,
  source: DeadLetterSource,
  partition: number,
  { record, rejection }: DeadLetterItem,
  attempts: number,
): ProducedRecord {
  const reasons: Record<string, string> = {
    "audit-error-class": rejection.class,
    "audit-error-reason": rejection.reason,
    "audit-error-detail": cut(rejection.detail, DETAIL_MAX_BYTES),
    "audit-sink": source.sink,
    "audit-source-topic": source.topic,
    "audit-source-topic-id": source.topicId,
    "audit-source-partition": String(partition),
    "audit-source-offset": String(record.offset),
    "audit-source-timestamp": String(record.timestamp),
    "audit-attempts": String(attempts),
  };
  const kept = record.headers.filter(([key]) => !(key.toString("latin1") in reasons));
  const added = Object.entries(reasons).map(([key, value]) => [Buffer.from(key), Buffer.from(value)] as const);
  return { topic, key: record.key, value: record.value, headers: [...kept, ...added] };
}

function cut(text: string, maxBytes: number): string {
  if (Buffer.byteLength(text) <= maxBytes) return text;
  // A cut inside a character leaves a replacement character at the end.
  return Buffer.from(text)
    .subarray(0, maxBytes - 3)
    .toString("utf8");
}

export interface DeadLetter {
  readonly partition: number;
  readonly item: DeadLetterItem;
  readonly attempts: number;
}

/** Sends records to the dead-letter topic. At least once: an identity is (sink, topic id, partition, offset). */
export class DeadLetters {
  readonly #writer: EventLogWriter;
  readonly #topic: string | undefined;
  readonly #source: DeadLetterSource;
  /** What was acknowledged, so that a transaction that is done again does not send it again. */
  readonly #acknowledged = new WeakSet<LogRecord>();

  constructor(writer: EventLogWriter, topic: string | undefined, source: DeadLetterSource) {
    this.#writer = writer;
    this.#topic = topic;
    this.#source = source;
  }

  get enabled(): boolean {
    return this.#topic !== undefined;
  }

  /** Resolves once all of them were acknowledged by all in-sync replicas. */
  async send(letters: readonly DeadLetter[]): Promise<void> {
    const topic = this.#topic;
    if (topic === undefined) throw new Error("Dead-lettering is switched off");
    const fresh = letters.filter(({ item }) => !this.#acknowledged.has(item.record));
    if (fresh.length === 0) return;
    const records = fresh.map(({ partition, item, attempts }) =>
      deadLetterRecord(topic, this.#source, partition, item, attempts),
    );
    await this.#writer.send(records);
    for (const { item } of fresh) this.#acknowledged.add(item.record);
  }
}
