import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { pino } from "pino";
import { describe, expect, onTestFinished, test } from "vitest";
import { auditEvent, logRecord } from "../test/support/cloud-events.ts";
import { MemoryLedger } from "../test/support/memory-ledger.ts";
import { MemoryLog } from "../test/support/memory-log.ts";
import type { WritePlan } from "./batch.ts";
import { uuidBytes } from "./chain.ts";
import { deliveryConfig } from "./config.ts";
import { Consumer } from "./consume.ts";
import { DeadLetters } from "./dead-letters.ts";
import { followEndOffsets } from "./end-offsets.ts";
import { Gate } from "./gate.ts";
import { Partitions } from "./partitions.ts";
import { Settler } from "./settle.ts";
import { StoreError } from "./stores/ledger.ts";

const topicId = uuidBytes("3f2504e0-4f89-41d3-9a0c-0305e82c3301");
const log = pino({ level: "silent" });

async function start(
  partitions: number,
  over: Record<string, unknown> = {},
  ledger = new MemoryLedger(),
  reader = new MemoryLog(partitions),
) {
  const delivery = deliveryConfig.parse({
    flushInterval: 5,
    retry: { initial: 1, max: 2 },
    circuitBreaker: { openFor: 5 },
    ...over,
  });
  const abandon = new AbortController();
  const gate = new Gate(delivery, { stateChanged: () => undefined, failed: () => undefined });
  const owned = new Partitions({ topicId, reader, ledger, gate, log, signal: abandon.signal });
  const untrusted: string[] = [];
  const writer = { send: async () => undefined, close: async () => undefined };
  const settler = new Settler({
    topicId,
    ledger,
    gate,
    log,
    deadLetters: new DeadLetters(writer, "dlq", { sink: "pg", topic: "t", topicId: "id" }),
    isOurs: (partition, epoch) => owned.isOurs(partition, epoch),
    written: () => undefined,
  });
  const consumer = new Consumer({
    reader,
    partitions: owned,
    settler,
    codec: { profile: "AuditEvent", tenant: "acme", maxSize: 100_000 },
    limits: delivery,
    log,
    signal: abandon.signal,
    revokeTimeoutMs: 200,
    compareEveryMs: 20,
    decoded: () => undefined,
    untrustedTime: () => untrusted.push("untrusted"),
  });
  await reader.join(consumer.handlers);
  const done = consumer.run();
  onTestFinished(async () => {
    consumer.stop();
    abandon.abort();
    await done.catch(() => undefined);
  });
  return { reader, ledger, consumer, owned, done, untrusted, abandon };
}

/** A store that writes nothing until it is let. */
class SlowLedger extends MemoryLedger {
  #open: Promise<void> | undefined;

  /** Returns what lets it go on. */
  hold(): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#open = promise;
    return resolve;
  }

  override async write(plan: WritePlan): Promise<void> {
    await this.#open;
    return super.write(plan);
  }
}

const event = (id: string = randomUUID()) => logRecord(auditEvent(id));
async function until(holds: () => boolean): Promise<void> {
  for (const end = Date.now() + 10_000; !holds(); await sleep(2))
    if (Date.now() > end) throw new Error("Waited in vain");
}
const next = (ledger: MemoryLedger, partition = 0) => Number(ledger.progress.get(partition)?.nextOffset ?? -1n);

describe("the loop", () => {
  test("stores what is in the log and commits up to what is settled", async () => {
    const { reader, ledger } = await start(2);
    for (let i = 0; i < 10; i += 1) reader.append(i % 2, event());
    await until(() => reader.committed.get(0) === 5n && reader.committed.get(1) === 5n);
    expect(ledger.stored.length).toBe(10);
  });

  test.for([
    { name: "by the same claim", epochs: 0n },
    { name: "to before the claim", epochs: 1n },
  ])("goes back where the ledger was put back $name, though nothing is sent any more", async ({ epochs }) => {
    const { reader, ledger, owned } = await start(2);
    for (let i = 0; i < 8; i += 1) reader.append(0, event());
    reader.append(1, event());
    await until(() => next(ledger) === 8 && owned.get(0)?.position?.nextOffset === 8n);
    const { epoch = 0n, chain = Buffer.alloc(32) } = ledger.progress.get(0) ?? {};
    ledger.progress.set(0, { epoch: epoch - epochs, nextOffset: 3n, chain });
    await until(() => owned.get(0)?.position?.nextOffset !== 8n);
    reader.heartbeatMs = performance.now();
    await until(() => next(ledger) === 8);
    expect(owned.get(0)?.position?.epoch).toBe(epoch);
    expect(ledger.skipped.filter(({ partition }) => partition === 0).map(({ offset }) => Number(offset))).toEqual([
      3, 4, 5, 6, 7,
    ]);
  });

  test("says which partition cannot be read, reads the others, and goes on where it stood", async () => {
    const { reader, ledger, owned } = await start(2);
    reader.unreadable.set(0, new Error("checksum"));
    for (let i = 0; i < 4; i += 1) reader.append(i % 2, event());
    await until(() => next(ledger, 1) === 2 && owned.get(0)?.held === "Unreadable");
    expect(next(ledger, 0)).toBe(0);

    reader.unreadable.clear();
    await until(() => next(ledger, 0) === 2);
    expect(owned.get(0)?.held).toBeUndefined();
    expect(ledger.stored.length).toBe(4);
  });

  test("never commits past what is settled while the store is down", async () => {
    const { reader, ledger } = await start(1);
    ledger.refuse = () => new StoreError("Infrastructure", "down");
    reader.append(0, event());
    await sleep(50);
    expect(reader.committed.size).toBe(0);
    ledger.refuse = () => undefined;
    await until(() => reader.committed.get(0) === 1n);
  });

  test("stops fetching when a batch is full and cannot be written: memory is bounded", async () => {
    const { reader, ledger, consumer } = await start(1, { batchSize: 10 });
    reader.fetchSize = 5;
    ledger.refuse = () => new StoreError("Infrastructure", "down");
    for (let i = 0; i < 200; i += 1) reader.append(0, event());
    await until(() => ledger.writes > 5);
    const { fetches } = reader;
    await sleep(50);
    expect(reader.fetches).toBe(fetches);
    expect(consumer.queued).toBeLessThanOrEqual(15);
    ledger.refuse = () => undefined;
    await until(() => next(ledger) === 200);
    expect(ledger.stored.map(({ item }) => Number(item.offset))).toEqual(Array.from({ length: 200 }, (_, i) => i));
  });

  test("writes at most batchSize events in one transaction", async () => {
    const { reader, ledger } = await start(1, { batchSize: 7 });
    const sizes: number[] = [];
    ledger.refuse = (plan) => void sizes.push(plan.stored.length);
    for (let i = 0; i < 100; i += 1) reader.append(0, event());
    await until(() => next(ledger) === 100);
    expect(Math.max(...sizes)).toBe(7);
  });

  test("writes down what the log does not have: before its start, in its middle and at its end", async () => {
    const ledger = new MemoryLedger();
    const { reader } = await start(1, {}, ledger);
    const [partition] = reader.partitions;
    if (partition === undefined) throw new Error("No partition");
    partition.logStart = 5n;
    reader.append(0, event(), 7n);
    reader.append(0, event(), 12n);
    partition.end = 20n;
    await until(() => next(ledger) === 20);
    expect(ledger.stored.map(({ item }) => item.offset)).toEqual([7n, 12n]);
    expect(ledger.skipped.map(({ offset, lastOffset }) => `${offset}-${lastOffset}`)).toEqual([
      "0-4",
      "5-6",
      "8-11",
      "13-19",
    ]);
    reader.append(0, event());
    await until(() => next(ledger) === 21);
  });

  test("drops what was fetched for another position", async () => {
    const { reader, ledger, owned } = await start(1);
    reader.append(0, event());
    await until(() => next(ledger) === 1);
    const stale = logRecord(auditEvent("stale"), { offset: 7 });
    const fetch = reader.fetch.bind(reader);
    let answers = 0;
    reader.fetch = async (waitMs) => {
      answers += 1;
      if (answers > 1) return fetch(waitMs);
      return [{ partition: 0, position: 7n, records: [stale], nextPosition: 8n, logStart: 0n, endOffset: 8n }];
    };
    await until(() => answers > 2);
    reader.append(0, event());
    await until(() => next(ledger) === 2);
    expect(owned.get(0)?.read).toBe(2n);
    expect(ledger.stored.map(({ item }) => item.offset)).toEqual([0n, 1n]);
  });

  test("holds a partition whose log ends before what is settled, and the others go on", async () => {
    const ledger = new MemoryLedger();
    await ledger.claim(topicId, [0]);
    ledger.progress.set(0, { epoch: 1n, nextOffset: 50n, chain: Buffer.alloc(32) });
    const { reader, owned } = await start(2, {}, ledger);
    reader.append(0, event());
    reader.append(1, event());
    await until(() => next(ledger, 1) === 1);
    expect(owned.get(0)?.held).toBe("LogTruncated");
    expect(next(ledger, 0)).toBe(50);
  });

  test("settles what it had read of a log that was cut, and reads no more of it whatever it grows to", async () => {
    const ledger = new SlowLedger();
    const { reader, owned } = await start(2, { batchSize: 10 }, ledger);
    const cut = reader.partitions[0];
    if (cut === undefined) throw new Error("No partition");
    reader.fetchSize = 5;
    const open = ledger.hold();
    for (let i = 0; i < 15; i += 1) reader.append(0, event());
    await until(() => owned.get(0)?.read === 15n);
    cut.records = [];
    cut.end = 3n;
    await until(() => owned.get(0)?.held === "LogTruncated");
    expect(next(ledger)).toBe(0);
    open();
    await until(() => next(ledger) === 15);

    for (let i = 0; i < 20; i += 1) for (const partition of [0, 1]) reader.append(partition, event());
    await until(() => next(ledger, 1) === 20);
    // Longer than the first hold of any other reason.
    await sleep(2_500);
    expect(owned.get(0)).toMatchObject({ held: "LogTruncated", read: 15n });
    expect(next(ledger)).toBe(15);
  });

  test("after a restart a log that was cut, and has grown past it since, is still found", async () => {
    const { reader, ledger, consumer, done } = await start(1);
    for (let i = 0; i < 10; i += 1) reader.append(0, event());
    await until(() => next(ledger) === 10);
    consumer.stop();
    await done;
    reader.cut(0, 5n);
    for (let i = 0; i < 20; i += 1) reader.append(0, event());

    const again = await start(1, {}, ledger, reader);
    await until(() => again.owned.get(0)?.held === "LogTruncated");
    expect(next(ledger)).toBe(10);
    const settled = ledger.progress.get(0);
    if (settled === undefined) throw new Error("Nothing settled");

    // What docs/log-truncated.md says: the log as it is now counts.
    ledger.progress.set(0, { ...settled, leaderEpoch: undefined });
    reader.handlers?.lost([0]);
    await reader.handlers?.assigned([0]);
    await until(() => next(ledger) === 25);
  });

  test("a new claim looks at a log that was cut anew", async () => {
    const ledger = new MemoryLedger();
    await ledger.claim(topicId, [0]);
    ledger.progress.set(0, { epoch: 1n, nextOffset: 3n, chain: Buffer.alloc(32) });
    const { reader, owned } = await start(1, {}, ledger);
    await until(() => owned.get(0)?.held === "LogTruncated");
    for (let i = 0; i < 4; i += 1) reader.append(0, event());
    reader.handlers?.lost([0]);
    await reader.handlers?.assigned([0]);
    await until(() => next(ledger) === 4);
    expect(owned.get(0)?.held).toBeUndefined();
  });

  test("reads again from what is settled when what is in hand does not follow it", async () => {
    const { reader, ledger, owned } = await start(1, { flushInterval: 100 });
    const partition = owned.get(0);
    if (partition === undefined) throw new Error("No partition");
    reader.append(0, event());
    await until(() => next(ledger) === 1);
    const settled = ledger.progress.get(0);
    reader.append(0, event());
    await until(() => next(ledger) === 2);
    reader.append(0, event());
    await until(() => partition.read === 3n);
    if (settled === undefined) throw new Error("Nothing settled");
    partition.position = settled;
    ledger.progress.set(0, settled);
    await until(() => next(ledger) === 3);
    expect(ledger.stored.map(({ item }) => item.offset)).toEqual([0n, 1n, 2n]);
  });

  test("says how far behind it is while nothing can be written, and nothing while it has no claim", async () => {
    const ledger = new SlowLedger();
    const open = ledger.hold();
    const { reader, owned, abandon } = await start(1, { batchSize: 1 }, ledger);
    await until(() => owned.get(0)?.position !== undefined);
    expect(owned.get(0)?.lag).toBeUndefined();
    void followEndOffsets(reader, owned, log, abandon.signal, 5);
    await until(() => owned.get(0)?.lag === 0n);
    for (let i = 1; i <= 30; i += 1) {
      reader.append(0, event());
      await sleep(2);
    }
    await until(() => owned.get(0)?.lag === 30n);
    expect(owned.get(0)?.read).toBeLessThan(30n);
    open();
    await until(() => owned.get(0)?.lag === 0n);

    await ledger.claim(topicId, [0]);
    reader.append(0, event());
    await until(() => owned.get(0)?.lag === undefined);
  });

  test("goes on writing while the group does not answer a commit, and then commits the latest", async () => {
    const { reader, ledger } = await start(1);
    const commit = reader.commit.bind(reader);
    const answer = Promise.withResolvers<void>();
    const commits: (bigint | undefined)[] = [];
    reader.commit = async (offsets) => {
      commits.push(offsets.get(0));
      await answer.promise;
      await commit(offsets);
    };
    for (let i = 1; i <= 5; i += 1) {
      reader.append(0, event());
      await until(() => next(ledger) === i);
    }
    expect(commits).toEqual([1n]);
    answer.resolve();
    await until(() => reader.committed.get(0) === 5n);
    expect(commits).toEqual([1n, 5n]);
  });

  test("goes on where the ledger stands when that went back", async () => {
    const { reader, ledger } = await start(1);
    const before = ledger.progress.get(0);
    reader.append(0, event());
    await until(() => next(ledger) === 1);
    if (before === undefined) throw new Error("No position");
    ledger.progress.set(0, before);
    reader.append(0, event());
    await until(() => next(ledger) === 2);
    // The first one is known by its id: its row survived here, so it is a duplicate of itself.
    expect(ledger.skipped.map(({ offset, disposition }) => [offset, disposition])).toEqual([[0n, 1]]);
  });

  test("lets a partition go that another sink claimed, and claims again only after a later heartbeat", async () => {
    const { reader, ledger } = await start(1);
    reader.append(0, event());
    await until(() => next(ledger) === 1);
    await ledger.claim(topicId, [0]);
    reader.append(0, event());
    await sleep(100);
    expect(next(ledger)).toBe(1);
    expect(ledger.progress.get(0)?.epoch).toBe(2n);
    reader.heartbeatMs = performance.now();
    await until(() => next(ledger) === 2);
    expect(ledger.progress.get(0)?.epoch).toBe(3n);
  });

  test("settles what is in hand before a partition is given up, and drops the rest", async () => {
    const { reader, ledger, owned } = await start(1, { flushInterval: 60_000 });
    reader.append(0, event());
    await until(() => owned.get(0)?.read === 1n);
    expect(ledger.writes).toBe(0);
    await reader.handlers?.revoked([0]);
    expect(next(ledger)).toBe(1);
    expect([...owned.all]).toEqual([]);
  });

  test("a rebalance waits for what is in hand, and not for all that was fetched", async () => {
    const ledger = new SlowLedger();
    const letGo = ledger.hold();
    const { reader, owned } = await start(1, { batchSize: 250 }, ledger);
    for (let i = 0; i < 1_000; i += 1) reader.append(0, event());
    await until(() => owned.get(0)?.read === 500n);
    const revoked = reader.handlers?.revoked([0]);
    letGo();
    await revoked;
    expect(next(ledger)).toBe(500);
    await reader.handlers?.assigned([0]);
    await until(() => next(ledger) === 1_000);
  });

  test("drops a lost partition at once", async () => {
    const { reader, ledger, owned, consumer } = await start(1, { flushInterval: 60_000 });
    reader.append(0, event());
    await until(() => owned.get(0)?.read === 1n);
    reader.handlers?.lost([0]);
    expect(consumer.queued).toBe(0);
    await consumer.flush();
    expect(ledger.writes).toBe(0);
  });

  test("stop settles what is in hand", async () => {
    const { reader, ledger, owned, consumer, done } = await start(1, { flushInterval: 60_000 });
    reader.append(0, event());
    await until(() => owned.get(0)?.read === 1n);
    consumer.stop();
    await done;
    expect(next(ledger)).toBe(1);
  });

  test("records without an append time are taken at the time of their batch, and it is said once", async () => {
    const { reader, ledger, untrusted } = await start(1);
    const began = Date.now();
    reader.append(0, logRecord(auditEvent("a"), { appendTime: false, timestamp: 1 }));
    await until(() => next(ledger) === 1);
    expect(Number(ledger.stored[0]?.item.recordedAtMs)).toBeGreaterThanOrEqual(began);
    expect(untrusted.length).toBe(1);
  });

  test("whatever fails in between, every offset is settled once and in order", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom("ok", "ok", "ok", "down", "lost answer", "rival", "back"), {
          minLength: 1,
          maxLength: 25,
        }),
        fc.integer({ min: 1, max: 20 }),
        async (faults, batchSize) => {
          const { reader, ledger, consumer, done, abandon } = await start(2, { batchSize, flushInterval: 1 });
          const queue = [...faults];
          ledger.refuse = () => {
            const fault = queue.shift();
            reader.heartbeatMs = performance.now();
            if (fault === "down") return new StoreError("Infrastructure", "down");
            if (fault === "lost answer") ledger.loseAnswer = true;
            if (fault === "rival") void ledger.claim(topicId, [0]);
            if (fault === "back") reader.handlers?.lost([1]);
            if (fault === "back") void reader.handlers?.assigned([1]);
            return undefined;
          };
          for (let i = 0; i < 60; i += 1) reader.append(i % 2, event(`e${i % 40}`));
          const beat = setInterval(() => (reader.heartbeatMs = performance.now()), 5);
          await until(() => next(ledger, 0) === 30 && next(ledger, 1) === 30);
          clearInterval(beat);
          consumer.stop();
          await done;
          abandon.abort();
          for (const partition of [0, 1]) {
            const rows = [
              ...ledger.stored.filter((row) => row.partition === partition).map(({ item }) => item.offset),
              ...ledger.skipped.filter((row) => row.partition === partition).map(({ offset }) => offset),
            ].sort((a, b) => Number(a - b));
            expect(rows).toEqual(Array.from({ length: 30 }, (_, offset) => BigInt(offset)));
          }
          expect(new Set(ledger.stored.map(({ item }) => item.event.id)).size).toBe(40);
          expect(ledger.stored.length).toBe(40);
        },
      ),
      { numRuns: 15 },
    );
  });
});
