import { setTimeout as sleep } from "node:timers/promises";
import { Producer } from "@platformatic/kafka";
import { type Acknowledged, type AcknowledgedFile, acknowledgedOf } from "./acknowledged.ts";
import type { SourceRecord } from "./events.ts";

export type Compression = "none" | "gzip" | "zstd" | "lz4" | "snappy";

/** Sends to Kafka with acks=all and writes down what was acknowledged. */
export class StreamProducer {
  readonly #bootstrapServers: string;
  readonly #topic: string;
  readonly #file: AcknowledgedFile;
  #producer: Producer<Buffer, Buffer, Buffer, Buffer>;
  #count = 0;
  #unknown = 0;

  constructor(bootstrapServers: string, topic: string, file: AcknowledgedFile) {
    this.#bootstrapServers = bootstrapServers;
    this.#topic = topic;
    this.#file = file;
    this.#producer = this.#newProducer();
  }

  get file(): AcknowledgedFile {
    return this.#file;
  }

  /** How many records may be in the log or not: sending them ended in an error. */
  get unknown(): number {
    return this.#unknown;
  }

  /** How many records are acknowledged, and on disk as such. */
  get count(): number {
    return this.#count;
  }

  /** Resolves to what was acknowledged: nothing, where sending failed and so nothing is known of any of them. */
  async send(records: readonly SourceRecord[], compression: Compression = "none"): Promise<Acknowledged[]> {
    const messages = records.map(({ partition, key, value, headers, timestamp }) => ({
      topic: this.#topic,
      partition,
      timestamp,
      key: key ?? undefined,
      // The client's types know no null value and no null header; what it writes does.
      value: value as Buffer,
      headers: new Map(headers.map(([name, text]) => [Buffer.from(name), text as Buffer])),
    }));
    const producer = this.#producer;
    const sent = await producer.send({ messages: messages as never, acks: -1, compression }).catch(() => undefined);
    if (sent === undefined) return this.#failed(records, producer);
    const { offsets = [] } = sent;
    const next = new Map(offsets.map(({ partition, offset }) => [partition, Number(offset)]));
    const acknowledged: Acknowledged[] = [];
    for (const record of records) {
      const offset = next.get(record.partition);
      if (offset === undefined) continue;
      next.set(record.partition, offset + 1);
      acknowledged.push(acknowledgedOf(record, offset));
    }
    this.#file.append(acknowledged);
    this.#count += acknowledged.length;
    return acknowledged;
  }

  close(): Promise<void> {
    return this.#producer.close();
  }

  /** Forgets what it knows of the brokers, too: their leaders may be others by now. */
  async #failed(
    records: readonly SourceRecord[],
    producer: Producer<Buffer, Buffer, Buffer, Buffer>,
  ): Promise<Acknowledged[]> {
    this.#file.appendUnknown(records);
    this.#unknown += records.length;
    if (this.#producer === producer) {
      this.#producer = this.#newProducer();
      void producer.close(true).catch(() => undefined);
    }
    await sleep(AFTER_FAILURE_MS);
    return [];
  }

  #newProducer() {
    const bootstrapBrokers = this.#bootstrapServers.split(",");
    // A batch sent twice would be two acknowledgements of which we see one.
    return new Producer<Buffer, Buffer, Buffer, Buffer>({ clientId: "stream-test", bootstrapBrokers, retries: 0 });
  }
}

const BATCH = 250;
const AFTER_FAILURE_MS = 500;

/** Sends `count` records at `perSecond`, or slower where Kafka is. */
export async function produceAll(
  producer: StreamProducer,
  records: Iterator<SourceRecord>,
  { count, perSecond, signal }: { count: number; perSecond: number; signal: AbortSignal },
): Promise<void> {
  const began = performance.now();
  for (let sent = 0; sent < count && !signal.aborted; ) {
    const batch = Array.from({ length: Math.min(BATCH, count - sent) }, () => records.next().value as SourceRecord);
    await producer.send(batch);
    sent += batch.length;
    const dueMs = (sent / perSecond) * 1_000 - (performance.now() - began);
    if (dueMs > 0) await sleep(dueMs);
  }
}
