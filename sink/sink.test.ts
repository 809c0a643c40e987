import { setTimeout as sleep } from "node:timers/promises";
import { pino } from "pino";
import { expect, test } from "vitest";
import { MemoryLedger } from "../test/support/memory-ledger.ts";
import { MemoryLog } from "../test/support/memory-log.ts";
import { sinkConfig } from "./config.ts";
import type { FetchedPartition } from "./kafka/port.ts";
import { startSink } from "./sink.ts";

const config = sinkConfig.parse({
  pipeline: { namespace: "n", name: "p", sink: "s" },
  source: { topic: "t", groupId: "g" },
  kafka: { bootstrapServers: ["127.0.0.1:1"] },
  store: { postgres: { host: "127.0.0.1", database: "d", schema: "audit", user: "u", password: "p" } },
  admin: { host: "127.0.0.1", port: 0 },
});

/** Answers at once when it is closed, as the real one. */
class ClosableLog extends MemoryLog {
  isRemade = false;
  closed = false;
  fetchesAfterClose = 0;

  override async currentTopicId() {
    return this.isRemade ? "00000000-0000-0000-0000-000000000000" : (await this.open()).topicId;
  }

  override async fetch(maxWaitMs: number): Promise<readonly FetchedPartition[]> {
    if (!this.closed) return super.fetch(maxWaitMs);
    this.fetchesAfterClose += 1;
    // Nobody else would ever have a turn.
    if (this.fetchesAfterClose > 100) return new Promise(() => undefined);
    return [];
  }

  override async close(): Promise<void> {
    this.closed = true;
  }
}

test("ends when its topic was deleted and made again, and asks for nothing more", async () => {
  const reader = new ClosableLog(1);
  const writer = { send: async () => undefined, close: async () => undefined };
  const sink = await startSink({
    config,
    kafka: { createReader: () => reader, createWriter: () => writer },
    ledger: new MemoryLedger(),
    log: pino({ level: "silent" }),
    instance: "i",
    topicIdCheckMs: 20,
  });
  reader.isRemade = true;
  await expect(sink.done).rejects.toThrow("The topic is another one");
  await sleep(100);
  expect(reader.fetchesAfterClose).toBeLessThan(3);
});
