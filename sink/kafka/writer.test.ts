import { randomBytes } from "node:crypto";
import { zstdDecompressSync } from "node:zlib";
import { crc32c } from "@platformatic/kafka";
import { describe, expect, test } from "vitest";
import { RecordsTooLargeError } from "./port.ts";
import { type Broker, errorCodes, type KafkaProtocol, type ProduceBatch } from "./protocol.ts";
import { decodeRecords } from "./record-batch.ts";
import { Writer } from "./writer.ts";

const unused = (): never => {
  throw new Error("not part of writing");
};

/** A topic of two partitions that takes batches up to `maxBytes`. */
class Log implements KafkaProtocol {
  readonly written: Buffer[][] = [[], []];
  readonly sizes: number[] = [];
  readonly #maxBytes: number;
  readonly #refusal: number;

  constructor(maxBytes: number, refusal: number = errorCodes.MESSAGE_TOO_LARGE) {
    this.#maxBytes = maxBytes;
    this.#refusal = refusal;
  }

  async metadata() {
    const partitions = [0, 1].map((partition) => ({ partition, leaderId: 1, leaderEpoch: 0, errorCode: 0 }));
    const brokers = [{ nodeId: 1, host: "h", port: 1 }];
    return { brokers, topics: [{ errorCode: 0, name: "dlq", topicId: "i", partitions }] };
  }

  async produce(_broker: Broker, batches: readonly ProduceBatch[]) {
    return batches.map(({ topic, partition, batch }) => {
      this.sizes.push(batch.length);
      if (batch.length > this.#maxBytes) return { topic, partition, errorCode: this.#refusal };
      const { records } = decodeRecords({ records: batch, aborted: [] }, 0n, this);
      this.written[partition]?.push(...records.map(({ value }) => value ?? Buffer.alloc(0)));
      return { topic, partition, errorCode: 0 };
    });
  }

  async topicSetting() {
    return String(this.#maxBytes);
  }

  async close() {}
  crc32c = crc32c;
  decompress = (codec: string, data: Buffer) => (codec === "zstd" ? zstdDecompressSync(data) : unused());
  findCoordinator = unused;
  joinGroup = unused;
  syncGroup = unused;
  heartbeat = unused;
  leaveGroup = unused;
  commitOffsets = unused;
  offsetRange = unused;
  fetch = unused;
}

const writerOf = (log: Log) => new Writer(log, () => 0);
const record = (value: Buffer, partition = 0) => ({ topic: "dlq", partition, key: null, value, headers: [] });
const kibibytes = 1024;

describe("Writer", () => {
  test.for(["MESSAGE_TOO_LARGE", "RECORD_LIST_TOO_LARGE"] as const)(
    "sends in halves, in order, what a topic refuses together as %s",
    async (refusal) => {
      const log = new Log(320 * kibibytes, errorCodes[refusal]);
      const values = Array.from({ length: 8 }, () => randomBytes(100 * kibibytes));
      await writerOf(log).send(values.map((value) => record(value)));
      expect(log.written[0]).toEqual(values);
    },
  );

  test("compresses a large record, so that one that came in compressed fits again", async () => {
    const log = new Log(1024 * kibibytes);
    const value = Buffer.from(JSON.stringify(Array.from({ length: 200_000 }, (_, i) => `event ${i}`)));
    expect(value.length).toBeGreaterThan(2 * 1024 * kibibytes);
    await writerOf(log).send([record(value)]);
    expect(log.written[0]).toEqual([value]);
    expect(log.sizes).toHaveLength(1);
  });

  test("finds what is alike however far apart it lies", async () => {
    const log = new Log(6 * 1024 * kibibytes);
    const half = randomBytes(5 * 1024 * kibibytes);
    const value = Buffer.concat([half, half]);
    await writerOf(log).send([record(value)]);
    expect(log.written[0]?.[0]?.equals(value)).toBe(true);
  });

  test("leaves small batches as they are, unless the topic takes them compressed only", async () => {
    const value = Buffer.alloc(3_000, "x");
    const roomy = new Log(1e6);
    await writerOf(roomy).send([record(value)]);
    expect(roomy.sizes[0]).toBeGreaterThan(3_000);
    const narrow = new Log(1_000);
    await writerOf(narrow).send([record(value)]);
    expect(narrow.written[0]).toEqual([value]);
  });

  test("says of what is too large alone what the topic would have to take, and sends all others", async () => {
    const log = new Log(100 * kibibytes);
    const [small, large, last] = [randomBytes(10), randomBytes(200 * kibibytes), randomBytes(20)];
    const failure = await writerOf(log)
      .send([record(small), record(large), record(last), record(small, 1)])
      .catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(RecordsTooLargeError);
    const { message, refused } = failure as RecordsTooLargeError;
    expect(refused.map(({ record: { value } }) => value)).toEqual([large]);
    const needed = refused[0]?.bytes ?? 0;
    expect(needed).toBeGreaterThan(200 * kibibytes);
    const takes = `${needed} bytes, alone and compressed, where it takes ${100 * kibibytes}`;
    expect(message).toContain(`${takes}; set its max.message.bytes to ${needed} or more`);
    expect(log.written).toEqual([[small, last], [small]]);
    await writerOf(new Log(needed)).send([record(large)]);
  });
});
