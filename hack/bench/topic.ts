import { setTimeout as sleep } from "node:timers/promises";
import { Admin } from "@platformatic/kafka";
import { kafkaClient } from "../../sink/kafka/client.ts";
import type { EventLogWriter } from "../../sink/kafka/port.ts";
import type { BenchEvent, EventSource, PreparedEvents } from "./events.ts";
import type { Ledger } from "./ledger.ts";

const clientId = "bench";
/** To one partition: record batches of some 30 KB, as a busy producer sends them, and not compressed, which is the default. */
const RECORDS_PER_BATCH = 40;
const SENDS_AT_ONCE = 4;
const headers = [[Buffer.from("content-type"), Buffer.from("application/cloudevents+json; charset=UTF-8")]] as const;

export async function createTopic(bootstrapServers: string, name: string, partitions: number): Promise<void> {
  const admin = new Admin({ clientId, bootstrapBrokers: [bootstrapServers] });
  const configs = [{ name: "message.timestamp.type", value: "LogAppendTime" }];
  await admin.createTopics({ topics: [name], partitions, replicas: 1, configs }).finally(() => admin.close());
}

/** Sends, and tells the ledger what to expect. */
export class Producer {
  readonly #topic: string;
  readonly #partitions: number;
  readonly #writer: EventLogWriter;
  readonly #ledger: Ledger;

  static async open(bootstrapServers: string, topic: string, partitions: number, ledger: Ledger): Promise<Producer> {
    const client = await kafkaClient("platformatic");
    return new Producer(
      client.createWriter({ clientId, bootstrapServers: [bootstrapServers] }),
      topic,
      partitions,
      ledger,
    );
  }

  constructor(writer: EventLogWriter, topic: string, partitions: number, ledger: Ledger) {
    this.#writer = writer;
    this.#topic = topic;
    this.#partitions = partitions;
    this.#ledger = ledger;
  }

  /** As fast as it goes. */
  async produce(source: EventSource, count: number): Promise<void> {
    const time = new Date().toISOString();
    let left = count;
    const work = async () => {
      while (left > 0) {
        const size = Math.min(left, this.#partitions * RECORDS_PER_BATCH);
        left -= size;
        await this.#send(Array.from({ length: size }, () => source.next(time)));
      }
    };
    await Promise.all(Array.from({ length: SENDS_AT_ONCE }, work));
    await this.#ledger.expectedAll();
  }

  /** At `perSecond`, each as soon as it is due. Returns when, in microseconds, each was handed to the client. */
  async pace(events: PreparedEvents, perSecond: number): Promise<Float64Array> {
    const handedOver = new Float64Array(events.count);
    const sending = new Set<Promise<void>>();
    const began = performance.now();
    for (let sent = 0; sent < events.count; ) {
      const due = Math.min(events.count, Math.floor(((performance.now() - began) / 1000) * perSecond));
      if (due > sent) {
        handedOver.fill(nowMicros(), sent, due);
        const send = this.#sendValues(Array.from({ length: due - sent }, (_, index) => events.value(sent + index)));
        sending.add(send);
        void send.finally(() => sending.delete(send));
        sent = due;
      }
      await sleep(PACE_MS);
    }
    await Promise.all(sending);
    return handedOver;
  }

  close(): Promise<void> {
    return this.#writer.close();
  }

  async #send(events: readonly BenchEvent[]): Promise<void> {
    this.#ledger.expect(events);
    await this.#sendValues(events.map(({ value }) => value));
  }

  async #sendValues(values: readonly Buffer[]): Promise<void> {
    const records = values.map((value, index) => ({
      topic: this.#topic,
      partition: index % this.#partitions,
      key: null,
      value,
      headers,
    }));
    await this.#writer.send(records);
  }
}

const PACE_MS = 5;

export const nowMicros = () => Math.round((performance.timeOrigin + performance.now()) * 1000);
