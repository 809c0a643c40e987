import { setTimeout as sleep } from "node:timers/promises";
import { pino } from "pino";
import { expect, test } from "vitest";
import { auditEvent, logRecord } from "../test/support/cloud-events.ts";
import { MemoryLedger } from "../test/support/memory-ledger.ts";
import { MemoryLog } from "../test/support/memory-log.ts";
import type { WritePlan } from "./batch.ts";
import { uuidBytes } from "./chain.ts";
import { deliveryConfig } from "./config.ts";
import { Consumer } from "./consume.ts";
import { DeadLetters } from "./dead-letters.ts";
import { Gate } from "./gate.ts";
import { Partitions } from "./partitions.ts";
import { Settler } from "./settle.ts";

// What the group commits while the loop is ahead of the store: fetched is not settled.

const topicId = uuidBytes("3f2504e0-4f89-41d3-9a0c-0305e82c3301");
const log = pino({ level: "silent" });

/** A store that takes its time, as a real one does; meanwhile the next records are fetched. */
class SlowLedger extends MemoryLedger {
  override async write(plan: WritePlan): Promise<void> {
    await sleep(15);
    return super.write(plan);
  }
}

/** Compares each commit with the ledger at that moment. */
class WatchedLog extends MemoryLog {
  readonly tooFar: string[] = [];
  readonly ledger: MemoryLedger;
  commits = 0;

  constructor(partitions: number, ledger: MemoryLedger) {
    super(partitions);
    this.ledger = ledger;
  }

  override async commit(offsets: ReadonlyMap<number, bigint>): Promise<void> {
    this.commits += 1;
    for (const [partition, offset] of offsets) {
      const settled = this.ledger.progress.get(partition)?.nextOffset ?? 0n;
      if (offset > settled) this.tooFar.push(`partition ${partition}: committed ${offset}, settled ${settled}`);
    }
    return super.commit(offsets);
  }
}

test("no commit passes what is settled at that moment, however much was fetched since", async () => {
  const ledger = new SlowLedger();
  const reader = new WatchedLog(2, ledger);
  reader.fetchSize = 3;
  const delivery = deliveryConfig.parse({ flushInterval: 5, batchSize: 10 });
  const { signal } = new AbortController();
  const gate = new Gate(delivery, { stateChanged: () => undefined, failed: () => undefined });
  const partitions = new Partitions({ topicId, reader, ledger, gate, log, signal });
  const writer = { send: async () => undefined, close: async () => undefined };
  const settler = new Settler({
    topicId,
    ledger,
    gate,
    log,
    deadLetters: new DeadLetters(writer, "dlq", { sink: "pg", topic: "t", topicId: "id" }),
    isOurs: (partition, epoch) => partitions.isOurs(partition, epoch),
    written: () => undefined,
  });
  const consumer = new Consumer({
    reader,
    partitions,
    settler,
    codec: { profile: "AuditEvent", tenant: "acme", maxSize: 100_000 },
    limits: delivery,
    log,
    signal,
    revokeTimeoutMs: 200,
    compareEveryMs: 60_000,
    decoded: () => undefined,
    untrustedTime: () => undefined,
  });
  await reader.join(consumer.handlers);
  const done = consumer.run();
  for (let n = 0; n < 200; n += 1) {
    reader.append(n % 2, logRecord(auditEvent(`event-${n}`)));
    if (n % 4 === 0) await sleep(1);
  }
  while (reader.committed.get(0) !== 100n || reader.committed.get(1) !== 100n) await sleep(5);
  consumer.stop();
  await done;

  expect(reader.tooFar).toEqual([]);
  expect(reader.commits).toBeGreaterThan(5);
});
