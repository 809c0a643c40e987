import type { DeadLetterItem } from "./batch.ts";
import { type EventLogWriter, type LogRecord, type ProducedRecord, RecordsTooLargeError } from "./kafka/port.ts";
import type { HoldReason } from "./outcome.ts";

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
  const kept = record.headers.filter(([key]) => !Object.hasOwn(reasons, key.toString("latin1")));
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

/** Why a partition is held whose dead letters were not acknowledged. */
export const holdReasonOf = (failure: unknown): HoldReason =>
  failure instanceof RecordsTooLargeError ? "DeadLetterTooLarge" : "DeadLetterTopicUnavailable";

/** Sends records to the dead-letter topic. At least once: an identity is (sink, topic id, partition, offset). */
export class DeadLetters {
  readonly #writer: EventLogWriter;
  readonly #topic: string | undefined;
  readonly #source: DeadLetterSource;
  /** What was acknowledged, so that a transaction that is done again does not send it again. */
  readonly #acknowledged = new WeakSet<LogRecord>();
  /** By partition: the offset that was refused for its size last time. What is behind it is not sent again and again. */
  readonly #refused = new Map<number, bigint>();

  /** Why the last letters were not taken; undefined once others are. */
  failure: unknown;

  constructor(writer: EventLogWriter, topic: string | undefined, source: DeadLetterSource) {
    this.#writer = writer;
    this.#topic = topic;
    this.#source = source;
  }

  get enabled(): boolean {
    return this.#topic !== undefined;
  }

  isAcknowledged(record: LogRecord): boolean {
    return this.#acknowledged.has(record);
  }

  /**
   * Resolves once all of them were acknowledged by all in-sync replicas. Where it rejects, `isAcknowledged` tells which were
   * all the same: the others of a letter that is too large.
   */
  async send(letters: readonly DeadLetter[]): Promise<void> {
    if (this.#topic === undefined) throw new Error("Dead-lettering is switched off");
    const fresh = letters.filter(({ item }) => !this.#acknowledged.has(item.record));
    const behind = new Set(fresh.filter((letter) => this.#isBehindRefused(letter, fresh)));
    await this.#sendAll(
      this.#topic,
      fresh.filter((letter) => !behind.has(letter)),
    );
    await this.#sendAll(this.#topic, [...behind]);
  }

  #isBehindRefused({ partition, item }: DeadLetter, letters: readonly DeadLetter[]): boolean {
    const refused = this.#refused.get(partition);
    if (refused === undefined || item.offset <= refused) return false;
    return letters.some((other) => other.partition === partition && other.item.offset === refused);
  }

  #refuse({ partition, item }: DeadLetter): void {
    const refused = this.#refused.get(partition);
    if (refused === undefined || item.offset < refused) this.#refused.set(partition, item.offset);
  }

  async #sendAll(topic: string, letters: readonly DeadLetter[]): Promise<void> {
    if (letters.length === 0) return;
    const sent = new Map(
      letters.map((letter) => {
        const { partition, item, attempts } = letter;
        return [deadLetterRecord(topic, this.#source, partition, item, attempts), letter] as const;
      }),
    );
    for (const { partition } of letters) this.#refused.delete(partition);
    try {
      await this.#writer.send([...sent.keys()]);
      this.failure = undefined;
    } catch (error) {
      this.failure = error;
      if (!(error instanceof RecordsTooLargeError)) throw error;
      for (const { record } of error.refused) {
        const letter = sent.get(record);
        if (letter !== undefined) this.#refuse(letter);
        sent.delete(record);
      }
      for (const { item } of sent.values()) this.#acknowledged.add(item.record);
      throw error;
    }
    for (const { item } of letters) this.#acknowledged.add(item.record);
  }
}
