import { randomBytes, randomUUID } from "node:crypto";
import { mkdtempSync, statSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { startKafka } from "../../hack/servers/kafka.ts";
import {
  type GroupHandlers,
  type KafkaClient,
  RecordsTooLargeError,
  TopicMissingError,
} from "../../sink/kafka/port.ts";
import { sharedServers } from "../support/servers.ts";
import {
  Cluster,
  fetchFor,
  fetchRecords,
  fetchUntil,
  freeze,
  idle,
  message,
  oldBroker,
  readerOptions,
  recordsOf,
  secureKafka,
  sleep,
  text,
  until,
} from "./event-log.fixture.ts";

type Compression = "none" | "gzip" | "snappy" | "lz4" | "zstd";

/** Where an adapter does less than the port: known, and held to exactly this. */
export interface Limits {
  readonly unreadableCodecs: readonly Compression[];
}

const codecs: readonly Compression[] = ["none", "gzip", "snappy", "lz4", "zstd"];
const day = 86_400_000;

/** What every adapter of `sink/kafka/port.ts` does, on a real broker. */
export function eventLogContract(name: string, load: () => Promise<KafkaClient>, limits: Limits): void {
  describe(`${name} as event log`, () => {
    let client: KafkaClient;
    let kafka: Cluster;
    beforeAll(async () => {
      client = await load();
      kafka = new Cluster(sharedServers().kafka.bootstrapServers, client);
    });

    const privateBroker = async () => {
      const broker = await startKafka({ dir: mkdtempSync(join(tmpdir(), "event-log-")) });
      onTestFinished(() => broker.remove());
      return { broker, cluster: new Cluster([broker.bootstrapServers], client) };
    };

    describe("a reader", () => {
      test("names the topic's id and the number of its partitions", async () => {
        const topic = await kafka.topic(3);
        const opened = await kafka.reader(topic).open();
        expect(opened).toEqual({ topicId: await kafka.topicId(topic), partitions: 3 });
        expect(opened.topicId).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
      });

      test("refuses a topic that is not there", async () => {
        await expect(kafka.reader(`absent-${randomUUID()}`).open()).rejects.toBeInstanceOf(TopicMissingError);
      });

      test("says of a broker older than Kafka 3.1 that it is too old", async () => {
        const address = await oldBroker();
        const reader = client.createReader({ clientId: "contract", bootstrapServers: [address] }, readerOptions("t"));
        onTestFinished(() => reader.close());
        await expect(reader.open()).rejects.toThrow(
          `The Kafka broker at ${address} speaks versions 0 to 12 of Fetch, and version 13 is needed: Kafka 3.1 or later`,
        );
      });

      test("reads nothing before it was given a position", async () => {
        const topic = await kafka.topic();
        await kafka.produce([message(topic, "a")]);
        const reader = kafka.reader(topic);
        await reader.open();
        await reader.join(idle);
        expect(await fetchFor(reader, 500)).toEqual([]);
        reader.seek(0, 0n);
        expect((await fetchRecords(reader, 1)).map(({ value }) => String(value))).toEqual(["a"]);
      });

      test("hands over offsets, bytes, null keys and null values as they were written", async () => {
        const topic = await kafka.topic();
        await kafka.writer().send([
          { topic, key: null, value: text("one"), headers: [] },
          { topic, key: text("k"), value: null, headers: [] },
          { topic, key: Buffer.alloc(0), value: Buffer.alloc(0), headers: [] },
          { topic, key: Buffer.from([0xff, 0x00]), value: Buffer.from([0xfe, 0x80]), headers: [] },
        ]);
        const [fetched, ...more] = await fetchUntil(await kafka.readerFromStart(topic), (all) => all.length > 0);
        expect(more).toEqual([]);
        expect(fetched).toMatchObject({ partition: 0, position: 0n, nextPosition: 4n, logStart: 0n, endOffset: 4n });
        expect(fetched?.records.map(({ offset, key, value }) => [offset, key, value])).toEqual([
          [0n, null, text("one")],
          [1n, text("k"), null],
          [2n, Buffer.alloc(0), Buffer.alloc(0)],
          [3n, Buffer.from([0xff, 0x00]), Buffer.from([0xfe, 0x80])],
        ]);
      });

      test("hands over headers in order, with repeats, null values and bytes that are no text", async () => {
        const topic = await kafka.topic();
        const name = text("trace");
        const headers = [
          [name, text("1")],
          [text("b"), null],
          [name, text("2")],
          [text(""), Buffer.alloc(0)],
          [Buffer.from([0xff, 0xfe]), Buffer.from([0xc3, 0x28])],
        ] as const;
        await kafka.writer().send([{ topic, key: null, value: null, headers }]);
        const [record] = await fetchRecords(await kafka.readerFromStart(topic), 1);
        expect(record?.headers).toEqual(headers);
      });

      test("gives the broker's time where the topic says LogAppendTime, whatever the producer claims", async () => {
        const topic = await kafka.topic(1, { "message.timestamp.type": "LogAppendTime" });
        const before = Date.now();
        await kafka.produce([
          message(topic, "past", { timestamp: BigInt(Date.UTC(2019, 0, 1)) }),
          message(topic, "future", { timestamp: BigInt(Date.UTC(2099, 0, 1)) }),
        ]);
        const records = await fetchRecords(await kafka.readerFromStart(topic), 2);
        for (const { appendTime, timestamp } of records) {
          expect(appendTime).toBe(true);
          expect(Math.abs(Number(timestamp) - before)).toBeLessThan(60_000);
        }
      });

      test("gives the producer's time, and says so, where the topic says CreateTime", async () => {
        const topic = await kafka.topic(1, { "message.timestamp.after.max.ms": String(100 * 365 * day) });
        const times = [Date.UTC(2019, 0, 1), Date.UTC(2099, 0, 1), Date.UTC(2019, 0, 1) + 1].map(BigInt);
        // One batch each: @platformatic/kafka's producer writes wrong time stamps in a batch that spans 25 days.
        for (const timestamp of times) await kafka.produce([message(topic, "x", { timestamp })]);
        const records = await fetchRecords(await kafka.readerFromStart(topic), 3);
        expect(records.map(({ timestamp }) => timestamp)).toEqual(times);
        expect(records.map(({ appendTime }) => appendTime)).toEqual([false, false, false]);
      });

      test.for(codecs)("reads batches compressed by %s, or holds the partition and names the codec", async (codec) => {
        const topic = await kafka.topic();
        const values = Array.from({ length: 300 }, (_, i) => `${i} ${"audit ".repeat(i % 40)}`);
        await kafka.produce(
          values.map((value) => message(topic, value)),
          codec,
        );
        const reader = await kafka.readerFromStart(topic);
        if (limits.unreadableCodecs.includes(codec)) {
          const [held] = await fetchUntil(reader, (all) => all.length > 0);
          expect(held).toMatchObject({ position: 0n, nextPosition: 0n, records: [] });
          expect(held?.error?.message).toContain(codec);
        } else {
          const records = await fetchRecords(reader, values.length);
          expect(records.map(({ value }) => String(value))).toEqual(values);
        }
      });

      test("leaves out aborted transactions and goes past them and their markers", async () => {
        const topic = await kafka.topic();
        await kafka.produce([message(topic, "plain")]);
        await kafka.transaction([message(topic, "aborted 1"), message(topic, "aborted 2")], "abort");
        await kafka.transaction([message(topic, "committed")], "commit");
        await kafka.transaction([message(topic, "aborted 3")], "abort");
        const reader = await kafka.readerFromStart(topic);
        const fetched = await fetchUntil(reader, (all) => all.at(-1)?.nextPosition === 8n);
        // The markers are written after the transaction has ended, so the offsets in between are not ours to name.
        expect(recordsOf(fetched).map(({ value }) => String(value))).toEqual(["plain", "committed"]);
        expect(fetched.at(-1)).toMatchObject({ endOffset: 8n });
      });

      test("holds a partition alone whose batch holds more than memory has room for", async () => {
        const topic = await kafka.topic(2);
        const value = Buffer.alloc(3 * 1_048_576);
        await kafka.produce([message(topic, "before")]);
        await kafka.produce([{ topic, partition: 0, value }], "zstd");
        await kafka.produce([message(topic, "elsewhere", { partition: 1 })]);
        const reader = await kafka.readerFromStart(topic, { maxDecodedBatchBytes: 2 * 1_048_576 });
        const fetched = await fetchUntil(
          reader,
          (all) => recordsOf(all).length >= 2 && all.some(({ error }) => error !== undefined),
        );
        expect(
          recordsOf(fetched)
            .map((record) => String(record.value))
            .toSorted(),
        ).toEqual(["before", "elsewhere"]);
        const held = fetched.find(({ error }) => error !== undefined);
        expect(held).toMatchObject({ partition: 0, position: 1n, nextPosition: 1n, records: [] });
        expect(held?.error?.message).toMatch(/at offset 1 cannot be read: .* zstd hold .*maxDecodedBatchBytes/);
      });

      test("begins in the middle of a batch", async () => {
        const topic = await kafka.topic();
        await kafka.produce(["a", "b", "c"].map((value) => message(topic, value)));
        const reader = await kafka.readerFromStart(topic);
        reader.seek(0, 2n);
        const [fetched] = await fetchUntil(reader, (all) => all.length > 0);
        expect(fetched).toMatchObject({ position: 2n, nextPosition: 3n });
        expect(fetched?.records.map(({ value }) => String(value))).toEqual(["c"]);
      });

      test("drops what was under way for another position", async () => {
        const topic = await kafka.topic();
        const reader = await kafka.readerFromStart(topic);
        const asking = reader.fetch(1_000);
        await sleep(200);
        reader.seek(0, 1n);
        await kafka.produce(["a", "b", "c"].map((value) => message(topic, value)));
        const fetched = [...(await asking), ...(await fetchFor(reader, 1_000))];
        expect(recordsOf(fetched).map(({ offset }) => offset)).toEqual([1n, 2n]);

        // What comes next is asked for while the caller works on what it got.
        await kafka.produce(["d", "e"].map((value) => message(topic, value)));
        await sleep(200);
        reader.seek(0, 0n);
        const again = await fetchUntil(reader, (all) => recordsOf(all).length >= 5);
        expect(recordsOf(again).map(({ offset }) => offset)).toEqual([0n, 1n, 2n, 3n, 4n]);
      });

      test("a paused partition stands still, the others flow, and it goes on where it was", async () => {
        const topic = await kafka.topic(3);
        const reader = await kafka.readerFromStart(topic);
        reader.pause(1);
        // Our own writer: the client's producer repeats all partitions when one was not ready yet.
        await kafka
          .writer()
          .send([0, 1, 2].map((partition) => ({ topic, partition, key: null, value: text("x"), headers: [] })));
        const flowing = await fetchUntil(reader, (all) => recordsOf(all).length >= 2);
        expect(new Set(flowing.map(({ partition }) => partition))).toEqual(new Set([0, 2]));
        expect(await fetchFor(reader, 500)).toEqual([]);
        const resumedMs = performance.now();
        const waiting = reader.fetch(5_000);
        reader.resume(1);
        expect(await waiting).toMatchObject([{ partition: 1, position: 0n, nextPosition: 1n }]);
        expect(performance.now() - resumedMs).toBeLessThan(4_000);
      });

      test("says where partitions end that nobody fetches", async () => {
        const topic = await kafka.topic(2);
        await kafka.produce(["a", "b", "c"].map((value) => message(topic, value)));
        const reader = await kafka.readerFromStart(topic);
        reader.pause(0);
        reader.pause(1);
        const ends = await reader.endOffsets([0, 1, 7]);
        expect([...ends].toSorted(([a], [b]) => a - b)).toEqual([
          [0, 3n],
          [1, 0n],
        ]);
      });

      test("reports deleted records as out of range, with where the log starts, and does not move", async () => {
        const topic = await kafka.topic();
        await kafka.produce(["a", "b", "c"].map((value) => message(topic, value)));
        await kafka.admin((admin) =>
          admin.deleteRecords({ topics: [{ name: topic, partitions: [{ partition: 0, offset: 2n }] }] }),
        );
        const reader = await kafka.readerFromStart(topic);
        const [fetched] = await fetchUntil(reader, (all) => all.length > 0);
        expect(fetched).toMatchObject({
          outOfRange: true,
          position: 0n,
          nextPosition: 0n,
          logStart: 2n,
          endOffset: 3n,
        });
        expect(fetched?.records).toEqual([]);
        reader.seek(0, 2n);
        expect((await fetchRecords(reader, 1)).map(({ value }) => String(value))).toEqual(["c"]);
      });

      test("reports a position beyond the end as out of range", async () => {
        const topic = await kafka.topic();
        await kafka.produce([message(topic, "a")]);
        const reader = await kafka.readerFromStart(topic);
        reader.seek(0, 10n);
        const fetched = await fetchUntil(reader, (all) => all.some(({ outOfRange }) => outOfRange));
        expect(fetched.at(-1)).toMatchObject({ position: 10n, nextPosition: 10n, logStart: 0n, endOffset: 1n });
      });

      test("does not read a topic that was deleted and made again, and sees its other id", async () => {
        const topic = await kafka.topic();
        await kafka.produce([message(topic, "old")]);
        const reader = await kafka.readerFromStart(topic);
        const { topicId } = await reader.open();
        await fetchRecords(reader, 1);
        await kafka.admin((admin) => admin.deleteTopics({ topics: [topic] }));
        await until(async () => (await kafka.topicId(topic)) === undefined, "the deletion");
        await kafka.topic(1, {}, topic);
        await kafka.produce([message(topic, "new 1"), message(topic, "new 2")]);
        const fetched = await fetchUntil(reader, (all) => all.some(({ error }) => error instanceof TopicMissingError));
        expect(recordsOf(fetched)).toEqual([]);
        await until(async () => (await reader.currentTopicId().catch(() => topicId)) !== topicId, "the other id");
        expect(await reader.currentTopicId()).toBe(await kafka.topicId(topic));
      });

      test("reads a record that is larger than what it asks for at a time", async () => {
        const topic = await kafka.topic(1, { "max.message.bytes": String(3 * 1_048_576) });
        const value = randomBytes(2_900_000);
        await kafka.writer().send([{ topic, key: null, value, headers: [] }]);
        const [record] = await fetchRecords(await kafka.readerFromStart(topic, { maxBytesPerPartition: 1_000 }), 1);
        expect(record?.value?.equals(value)).toBe(true);
      });
    });

    describe("a group", () => {
      test("shares the partitions; a newcomer gets none before the revocation was settled", async () => {
        const topic = await kafka.topic(5);
        const groupId = `g-${randomUUID()}`;
        const log: string[] = [];
        const held = new Map<string, readonly number[]>();
        const handlers = (member: string): GroupHandlers => ({
          async assigned(partitions) {
            held.set(member, partitions);
            log.push(`${member} assigned ${partitions.length}`);
          },
          async revoked(partitions) {
            log.push(`${member} settling ${partitions.length}`);
            await sleep(700);
            held.delete(member);
            log.push(`${member} settled`);
          },
          lost: () => log.push(`${member} lost`),
        });
        const [a, b] = [kafka.reader(topic, { groupId }), kafka.reader(topic, { groupId })];
        await Promise.all([a.open(), b.open()]);
        await a.join(handlers("a"));
        await b.join(handlers("b"));
        await until(() => held.size === 2, "both to hold partitions");
        expect(log.slice(0, 3)).toEqual(["a assigned 5", "a settling 5", "a settled"]);
        expect(log.slice(3).toSorted()).toSatisfy((last: string[]) =>
          /a assigned [23],b assigned [23]/.test(last.join()),
        );
        expect(new Set([...held.values()].flat())).toEqual(new Set([0, 1, 2, 3, 4]));

        await b.leave();
        await until(() => held.get("a")?.length === 5, "a to hold all again");
        expect(log).not.toContain("b settling 2"); // leaving is the caller's own doing
      });

      test("goes on without a member whose revocation takes longer than the rebalance timeout", async () => {
        const topic = await kafka.topic(2);
        const groupId = `g-${randomUUID()}`;
        const log: string[] = [];
        const slow = kafka.reader(topic, { groupId, rebalanceTimeoutMs: 2_000 });
        await slow.open();
        await slow.join({
          assigned: async (partitions) => void log.push(`assigned ${partitions.length}`),
          async revoked() {
            log.push("settling");
            await sleep(5_000);
            log.push("settled");
          },
          lost: (partitions) => log.push(`lost ${partitions.length}`),
        });
        const other = kafka.reader(topic, { groupId, rebalanceTimeoutMs: 2_000 });
        await other.open();
        const startedMs = performance.now();
        await other.join(idle);
        expect(performance.now() - startedMs).toBeLessThan(4_500);
        await until(() => log.length >= 5, "the slow one's next share");
        expect(log).toEqual(["assigned 2", "settling", "lost 2", "settled", "assigned 1"]);
      });

      test("takes partitions that were added into its shares", async () => {
        const topic = await kafka.topic(1);
        const reader = kafka.reader(topic);
        await reader.open();
        let held: readonly number[] = [];
        await reader.join({ ...idle, assigned: async (partitions) => void (held = partitions) });
        await kafka.admin((admin) => admin.createPartitions({ topics: [{ name: topic, count: 3 }] }));
        await until(
          async () => {
            await reader.fetch(100);
            await reader.currentTopicId();
            return held.length === 3;
          },
          "three partitions",
          30_000,
        );
      });

      test("keeps the heartbeat going while a handler is at work", async () => {
        const topic = await kafka.topic();
        const reader = kafka.reader(topic, { sessionTimeoutMs: 1_500 });
        await reader.open();
        const lost: unknown[] = [];
        await reader.join({ ...idle, assigned: () => sleep(3_000), lost: (partitions) => lost.push(partitions) });
        await sleep(2_500);
        expect(performance.now() - reader.lastHeartbeatMs()).toBeLessThan(1_500);
        expect(lost).toEqual([]);
      });

      test("tells a member that it is lost after its session ran out, refuses its commit, and takes it back", async () => {
        const topic = await kafka.topic(2);
        const reader = kafka.reader(topic, { sessionTimeoutMs: 1_500 });
        await reader.open();
        const log: string[] = [];
        let commitWhenLost: Promise<unknown> = Promise.resolve("not called");
        await reader.join({
          assigned: async (partitions) => void log.push(`assigned ${partitions.join()}`),
          revoked: async (partitions) => void log.push(`revoked ${partitions.join()}`),
          lost(partitions) {
            log.push(`lost ${partitions.join()}`);
            commitWhenLost = reader.commit(new Map([[0, 0n]])).catch((error: Error) => error.name);
          },
        });
        freeze(2_500);
        await until(() => log.length >= 3, "the member to be back");
        expect(log).toEqual(["assigned 0,1", "lost 0,1", "assigned 0,1"]);
        expect(await commitWhenLost).toBe("NotAMemberError");
      });

      test("commits as a member, and not before or after", async () => {
        const topic = await kafka.topic(2);
        const groupId = `g-${randomUUID()}`;
        const reader = kafka.reader(topic, { groupId });
        await reader.open();
        const offsets = new Map([
          [0, 4n],
          [1, 2n],
        ]);
        await expect(reader.commit(offsets)).rejects.toThrow(groupId);
        await reader.join(idle);
        await reader.commit(offsets);
        const committed = await kafka.admin((admin) =>
          admin.listConsumerGroupOffsets({
            groups: [{ groupId, topics: [{ name: topic, partitionIndexes: [0, 1] }] }],
          }),
        );
        const partitions = committed.flatMap((group) => group.topics.flatMap((named) => named.partitions));
        expect(partitions.map(({ committedOffset }) => committedOffset)).toEqual([4n, 2n]);
        await reader.leave();
        await expect(reader.commit(offsets)).rejects.toThrow(groupId);
      });

      test("is left at once: a successor need not wait for the session to run out", async () => {
        const topic = await kafka.topic();
        const groupId = `g-${randomUUID()}`;
        const first = kafka.reader(topic, { groupId, sessionTimeoutMs: 30_000 });
        await first.open();
        await first.join(idle);
        await first.leave();
        const second = kafka.reader(topic, { groupId, sessionTimeoutMs: 30_000 });
        await second.open();
        const startedMs = performance.now();
        await second.join(idle);
        expect(performance.now() - startedMs).toBeLessThan(5_000);
      });
    });

    describe("a broker that asks who is there", () => {
      test.for(["PLAIN", "SCRAM-SHA-512"] as const)(
        "lets in the user that TLS and SASL %s name, and no other",
        async (mechanism) => {
          const secure = await secureKafka();
          onTestFinished(() => secure.broker.remove());
          const topic = await new Cluster([secure.broker.bootstrapServers], client).topic();
          const connection = (password: string) => ({
            clientId: "contract",
            bootstrapServers: [secure.address],
            tls: { ca: secure.ca },
            sasl: { mechanism, username: secure.username, password },
          });
          const writer = client.createWriter(connection(secure.password));
          onTestFinished(() => writer.close());
          await writer.send([{ topic, key: null, value: text("secret"), headers: [] }]);
          const reader = client.createReader(connection(secure.password), readerOptions(topic));
          onTestFinished(() => reader.close());
          await reader.open();
          await reader.join({ ...idle, assigned: async ([partition = 0]) => reader.seek(partition, 0n) });
          expect((await fetchRecords(reader, 1)).map(({ value }) => String(value))).toEqual(["secret"]);

          const stranger = client.createReader(connection("wrong password"), readerOptions(topic));
          onTestFinished(() => stranger.close());
          const refusal = await stranger.open().catch((error: Error) => error);
          expect(refusal).toMatchObject({ name: "AuthenticationError" });
          expect((refusal as Error).message).not.toContain("wrong password");
        },
      );
    });

    describe("a broker that is killed", () => {
      test("comes back to a reader that goes on, and to a writer that failed in bounded time", {
        timeout: 120_000,
      }, async () => {
        const { broker, cluster } = await privateBroker();
        const topic = await cluster.topic();
        const writer = cluster.writer();
        const send = (value: string) => writer.send([{ topic, key: null, value: text(value), headers: [] }]);
        await send("before");
        const reader = cluster.reader(topic, { sessionTimeoutMs: 2_000 });
        const lost: (readonly number[])[] = [];
        await reader.open();
        await reader.join({
          ...idle,
          assigned: async ([partition = 0]) => reader.seek(partition, 0n),
          lost: (partitions) => lost.push(partitions),
        });
        await fetchRecords(reader, 1);

        await broker.kill();
        const sentMs = performance.now();
        const sending = send("while down").then(
          () => "acknowledged",
          (error: Error) => error.name,
        );
        const complaint = await fetchFor(reader, 6_000).then(
          () => "none",
          (error: Error) => error.name,
        );
        expect(complaint).toBe("ConnectionError");
        expect(lost).toEqual([[0]]); // by our own clock: nobody is there to say so
        expect(await sending).toBe("ConnectionError");
        expect(performance.now() - sentMs).toBeLessThan(45_000);

        await broker.restart();
        await until(
          () =>
            send("after").then(
              () => true,
              () => false,
            ),
          "the writer",
          60_000,
        );
        const seen: string[] = [];
        await until(
          async () => {
            const fetched = await reader.fetch(250).catch(() => []);
            seen.push(...recordsOf(fetched).map(({ value }) => String(value)));
            return seen.includes("after");
          },
          "the reader",
          60_000,
        );
        expect(seen.at(-1)).toBe("after");
      });
    });

    describe("a log that was cut and has grown again", () => {
      test("is reported, with where it was cut, and not read on as if nothing had happened", async () => {
        const { broker, cluster } = await privateBroker();
        const topic = await cluster.topic();
        const produce = async (values: string[]) => {
          for (const value of values) await cluster.produce([message(topic, value)]);
        };
        await produce(["a", "b"]);
        const segment = join(broker.dir, "data", `${topic}-0`, "00000000000000000000.log");
        const cutAt = statSync(segment).size;
        await produce(["lost 1", "lost 2"]);
        const reader = await cluster.readerFromStart(topic, { sessionTimeoutMs: 60_000 });
        const before = await fetchUntil(reader, (all) => recordsOf(all).length >= 4);
        const leaderEpoch = before.at(-1)?.leaderEpoch;
        expect(leaderEpoch).toBeTypeOf("number");
        reader.pause(0);

        await broker.kill();
        truncateSync(segment, cutAt);
        await broker.restart();
        await until(() => cluster.topicId(topic).then((id) => id !== undefined), "the broker", 60_000);
        await produce(["c", "d", "e"]);
        reader.resume(0);
        const [fetched] = await fetchUntil(reader, (all) => all.length > 0);
        const cut = { outOfRange: true, position: 4n, nextPosition: 4n, endOffset: 2n, records: [] };
        expect(fetched).toMatchObject(cut);

        const successor = await cluster.readerFromStart(topic, { sessionTimeoutMs: 60_000 });
        successor.seek(0, 4n, leaderEpoch);
        expect((await fetchUntil(successor, (all) => all.length > 0))[0]).toMatchObject(cut);
        // Without it a new reader takes the log for whole.
        successor.seek(0, 0n);
        successor.seek(0, 4n);
        expect((await fetchRecords(successor, 1)).map(({ value }) => String(value))).toEqual(["e"]);
      });
    });

    describe("a writer", () => {
      test("resolves when every record can be read, in the order sent", async () => {
        const topic = await kafka.topic(2);
        const sent = Array.from({ length: 4_000 }, (_, i) => `${i} ${"x".repeat(600)}`);
        await kafka
          .writer()
          .send(sent.map((value, i) => ({ topic, partition: i % 2, key: null, value: text(value), headers: [] })));
        const fetched = await fetchUntil(
          await kafka.readerFromStart(topic),
          (all) => recordsOf(all).length >= sent.length,
        );
        for (const partition of [0, 1]) {
          const values = recordsOf(fetched.filter((part) => part.partition === partition)).map(({ value }) =>
            String(value),
          );
          expect(values).toEqual(sent.filter((_, i) => i % 2 === partition));
        }
      });

      test("sends a key to the partition that Java's producer chooses", async () => {
        const topic = await kafka.topic(7);
        const keys = ["", "a", "audit", "tenant-42", "ключ"];
        await kafka.writer().send(keys.map((key) => ({ topic, key: text(key), value: null, headers: [] })));
        const fetched = await fetchUntil(
          await kafka.readerFromStart(topic),
          (all) => recordsOf(all).length === keys.length,
        );
        const partitionOf = new Map(
          fetched.flatMap(({ partition, records }) => records.map(({ key }) => [String(key), partition] as const)),
        );
        // Utils.toPositive(Utils.murmur2(key)) % 7 of kafka-clients 4.3.1
        expect(keys.map((key) => partitionOf.get(key))).toEqual([2, 5, 5, 6, 4]);
      });

      test("rejects a record that the topic does not take, says what it would have to take, and goes on", async () => {
        const topic = await kafka.topic(1, { "max.message.bytes": "2000" });
        const writer = kafka.writer();
        const value = randomBytes(5_000);
        const send = (length: number) =>
          writer.send([{ topic, key: null, value: value.subarray(0, length), headers: [] }]);
        const refusal = await send(5_000).catch((error: unknown) => error);
        expect(refusal).toBeInstanceOf(RecordsTooLargeError);
        expect((refusal as Error).message).toContain("where it takes 2000; set its max.message.bytes to ");
        const { bytes = 0 } = (refusal as RecordsTooLargeError).refused[0] ?? {};
        await send(1_000);
        const wider = await kafka.topic(1, { "max.message.bytes": String(bytes) });
        await writer.send([{ topic: wider, key: null, value, headers: [] }]);
      });

      test("sends in smaller batches what the topic does not take in one", async () => {
        const topic = await kafka.topic(1, { "max.message.bytes": "330000" });
        const values = Array.from({ length: 8 }, () => randomBytes(100_000));
        await kafka.writer().send(values.map((value) => ({ topic, key: null, value, headers: [] })));
        const records = await fetchRecords(await kafka.readerFromStart(topic), values.length);
        expect(records.map(({ value }) => value)).toEqual(values);
      });

      test("writes a record again that came compressed, into a topic as narrow", async () => {
        const narrow = { "max.message.bytes": "100000" };
        const [source, copy] = [await kafka.topic(1, narrow), await kafka.topic(1, narrow)];
        const value = text(JSON.stringify(Array.from({ length: 12_000 }, (_, i) => `an event ${i % 900}`)));
        expect(value.length).toBeGreaterThan(150_000);
        await kafka.produce([{ topic: source, partition: 0, value }], "gzip");
        const [record] = await fetchRecords(await kafka.readerFromStart(source), 1);
        await kafka.writer().send([{ topic: copy, key: null, value: record?.value ?? null, headers: [] }]);
        const [again] = await fetchRecords(await kafka.readerFromStart(copy), 1);
        expect(again?.value?.equals(value)).toBe(true);
      });

      test("rejects a topic that is not there", async () => {
        const topic = `absent-${randomUUID()}`;
        const sending = kafka.writer().send([{ topic, key: null, value: text("x"), headers: [] }]);
        await expect(sending).rejects.toBeInstanceOf(TopicMissingError);
      });
    });
  });
}
