import { crc32c } from "@platformatic/kafka";
import { describe, expect, test } from "vitest";
import { TopicView } from "./cluster.ts";
import { DecompressedTooLargeError } from "./decompress.ts";
import { Fetcher } from "./fetcher.ts";
import {
  type Broker,
  ConnectionError,
  errorCodes,
  type FetchAnswerPartition,
  type FetchRequest,
  type KafkaProtocol,
  UnsupportedCodecError,
} from "./protocol.ts";
import { encodeBatch } from "./record-batch-encoder.ts";

const topic = "audit";
const topicId = "2b4b6b8c-0000-4000-8000-000000000001";

type Answer = Partial<FetchAnswerPartition>;

/** Brokers of whom each test says what they answer for a partition; a broker without an answer does not answer at all. */
class Brokers implements KafkaProtocol {
  leaders: number[];
  readonly asked: { broker: number; partitions: number[] }[] = [];
  /** Answers whose memory was given back. */
  released = 0;
  readonly #answer: (broker: number, partition: number, position: bigint) => Answer | undefined;

  constructor(leaders: number[], answer: (broker: number, partition: number, position: bigint) => Answer | undefined) {
    this.leaders = leaders;
    this.#answer = answer;
  }

  async metadata() {
    const brokers = [1, 2].map((nodeId) => ({ nodeId, host: "h", port: nodeId }));
    const partitions = this.leaders.map((leaderId, partition) => ({
      partition,
      leaderId,
      leaderEpoch: 0,
      errorCode: 0,
    }));
    return { brokers, topics: [{ errorCode: 0, name: topic, topicId, partitions }] };
  }

  async fetch({ nodeId }: Broker, _slot: number, { partitions }: FetchRequest) {
    this.asked.push({ broker: nodeId, partitions: partitions.map(({ partition }) => partition) });
    const answered = partitions.flatMap(({ partition, position }) => {
      const answer = this.#answer(nodeId, partition, position);
      if (answer === undefined) return [];
      return [
        {
          partition,
          errorCode: 0,
          lastStableOffset: 9n,
          logStart: 0n,
          aborted: [],
          partedAt: undefined,
          records: empty,
          ...answer,
        },
      ];
    });
    await new Promise((resolve) => setTimeout(resolve, answered.length === 0 ? 50 : 5));
    if (answered.length === 0) throw new ConnectionError(`Broker ${nodeId} does not answer`);
    const release = () => {
      this.released += 1;
      for (const answer of answered) answer.records.fill(0);
    };
    return { errorCode: 0, partitions: answered, release };
  }

  crc32c = crc32c;
  decompress = (codec: string): Buffer => {
    throw new UnsupportedCodecError(`no ${codec}`);
  };

  findCoordinator = unused;
  joinGroup = unused;
  syncGroup = unused;
  heartbeat = unused;
  leaveGroup = unused;
  commitOffsets = unused;
  offsetRange = async (): Promise<{ logStart: bigint; endOffset: bigint }> => unused();
  produce = unused;
  topicSetting = unused;
  close = unused;
}

const unused = (): never => {
  throw new Error("not part of fetching");
};
const empty = Buffer.alloc(0);
const records = (position: bigint, codec = 0) => {
  const batch = Buffer.from(encodeBatch([{ key: null, value: Buffer.from("x"), headers: [] }], 0n, crc32c));
  batch.writeBigInt64BE(position, 0);
  batch.writeInt16BE(codec, 21);
  batch.writeUInt32BE(crc32c(batch.subarray(21)), 17);
  return batch;
};

const mebibyte = 1024 * 1024;
/** One record of about so many bytes, as it stands in a batch. */
const recordsOf = (bytes: number) =>
  encodeBatch([{ key: null, value: Buffer.alloc(bytes), headers: [] }], 0n, crc32c).subarray(61);

async function fetcherOf(brokers: Brokers, sessionTimeoutMs = 10_000, over: { maxDecodedBatchBytes?: number } = {}) {
  const view = new TopicView(brokers, topic);
  await view.refresh();
  const limits = { maxBytes: 1e6, maxBytesPerPartition: 1e5 };
  const timing = { sessionTimeoutMs, rebalanceTimeoutMs: 1_000, heartbeatIntervalMs: 100 };
  const fetcher = new Fetcher(brokers, { topic, groupId: "g", ...limits, ...timing, ...over }, view);
  const partitions = brokers.leaders.map((_, partition) => partition);
  fetcher.assign(partitions);
  for (const partition of partitions) fetcher.seek(partition, 0n);
  return fetcher;
}

async function collect(fetcher: Fetcher, calls: number) {
  const fetched = [];
  for (let call = 0; call < calls; call++) fetched.push(...(await fetcher.fetch(topicId, 100)));
  return fetched;
}

describe("Fetcher", () => {
  test("asks the new leader after the old one has refused", async () => {
    const brokers: Brokers = new Brokers([1], (broker, _partition, position) => {
      if (broker === 2) return { records: records(position) };
      brokers.leaders = [2];
      return { errorCode: errorCodes.NOT_LEADER_OR_FOLLOWER };
    });
    const fetched = await collect(await fetcherOf(brokers), 5);
    expect(fetched[0]).toMatchObject({ partition: 0, position: 0n, nextPosition: 1n });
    expect(brokers.asked.slice(0, 2).map(({ broker }) => broker)).toEqual([1, 2]);
  });

  test("lets the partitions of one broker flow while another does not answer", async () => {
    const brokers = new Brokers([1, 2], (broker, _partition, position) =>
      broker === 1 ? { records: records(position) } : undefined,
    );
    const fetched = await collect(await fetcherOf(brokers), 10);
    expect(new Set(fetched.map(({ partition }) => partition))).toEqual(new Set([0]));
    expect(fetched.map(({ position }) => position)).toEqual(fetched.map((_, i) => BigInt(i)));
    expect(fetched.length).toBeGreaterThan(5);
  });

  test("holds a partition that cannot be read, says why, and lets the others flow", async () => {
    const gzip = 1;
    const brokers = new Brokers([1, 1], (_broker, partition, position) => ({
      records: records(position, partition === 1 ? gzip : 0),
    }));
    const fetched = await collect(await fetcherOf(brokers), 10);
    const [held] = fetched.filter(({ partition }) => partition === 1);
    expect(held).toMatchObject({ position: 0n, nextPosition: 0n, records: [], error: { message: "no gzip" } });
    expect(fetched.filter(({ partition }) => partition === 0).length).toBeGreaterThan(5);
    expect(fetched.filter(({ partition }) => partition === 1).length).toBeLessThan(3); // not as fast as it can
  });

  test("tells once that a partition can be read again, also when nothing new stands there", async () => {
    let refusals = 1;
    const brokers = new Brokers([1], () =>
      refusals-- > 0 ? { errorCode: errorCodes.TOPIC_AUTHORIZATION_FAILED } : {},
    );
    const fetched = await collect(await fetcherOf(brokers), 15);
    expect(fetched.map(({ error }) => error === undefined)).toEqual([false, true]);
    expect(fetched[1]).toMatchObject({ position: 0n, nextPosition: 0n, records: [] });
  });

  test("does not let a partition whose offsets are looked up hold back the others of the same answer", async () => {
    const brokers = new Brokers([1, 1], (_broker, partition, position) =>
      partition === 0 ? { errorCode: errorCodes.OFFSET_OUT_OF_RANGE } : { records: records(position) },
    );
    const lookUp = Promise.withResolvers<{ logStart: bigint; endOffset: bigint }>();
    brokers.offsetRange = () => lookUp.promise;
    const fetcher = await fetcherOf(brokers);
    const fetched = await collect(fetcher, 10);
    expect(fetched.map(({ partition, position }) => [partition, position])).toEqual(
      Array.from({ length: 10 }, (_, i) => [1, BigInt(i)]),
    );
    lookUp.resolve({ logStart: 5n, endOffset: 9n });
    const found = (await collect(fetcher, 5)).filter(({ partition }) => partition === 0);
    expect(found[0]).toMatchObject({ position: 0n, nextPosition: 0n, outOfRange: true, logStart: 5n, endOffset: 9n });
  });

  test("hands over what stands before an unreadable batch, and the error with the next fetch", async () => {
    const torn = records(1n);
    torn[torn.length - 1] = 0xff;
    const brokers = new Brokers([1], (_broker, _partition, position) => ({
      records: position === 0n ? Buffer.concat([records(0n), torn]) : torn,
    }));
    const [good, bad] = await collect(await fetcherOf(brokers), 5);
    expect(good).toMatchObject({ position: 0n, nextPosition: 1n, records: [{ offset: 0n }] });
    expect(good?.error).toBeUndefined();
    expect(bad).toMatchObject({ position: 1n, nextPosition: 1n, records: [], error: { name: "BadBatchError" } });
  });

  test("decodes in one call only what memory has room for, and the others in the next", async () => {
    const gzip = 1;
    const asLarge = Array.from({ length: 8 }, () => 1);
    const brokers = new Brokers(asLarge, (_broker, _partition, position) => ({
      records: position === 0n ? Buffer.concat([records(0n, gzip), records(1n, gzip)]) : records(position, gzip),
    }));
    const one = recordsOf(16 * mebibyte);
    let decompressed = 0;
    brokers.decompress = () => {
      decompressed++;
      return one;
    };
    const fetcher = await fetcherOf(brokers);
    const perCall: number[] = [];
    const next = asLarge.map(() => 0n);
    for (let call = 0; next.some((position) => position < 2n); call++) {
      expect(call).toBeLessThan(100);
      const before = decompressed;
      for (const { partition, position, nextPosition } of await fetcher.fetch(topicId, 100)) {
        expect(position).toBe(next[partition]);
        next[partition] = nextPosition;
      }
      perCall.push(decompressed - before);
    }
    expect(Math.max(...perCall)).toBeLessThanOrEqual(3);
    expect(next.every((position) => position >= 2n)).toBe(true);
  });

  test("asks to decompress no more of a batch than it is told", async () => {
    const brokers = new Brokers([1], (_broker, _partition, position) => ({ records: records(position, 1) }));
    const asked: number[] = [];
    brokers.decompress = (...[, , maxBytes]: unknown[]) => {
      asked.push(Number(maxBytes));
      throw new DecompressedTooLargeError("far too much");
    };
    const [held] = await collect(await fetcherOf(brokers, 10_000, { maxDecodedBatchBytes: 5_000 }), 3);
    expect(held?.error?.message).toBe("The record batch at offset 0 cannot be read: far too much");
    expect(asked[0]).toSatisfy((bytes: number) => bytes > 4_000 && bytes <= 5_000);
  });

  test("keeps what comes for a partition that was paused meanwhile until it is resumed", async () => {
    const brokers = new Brokers([1], (_broker, _partition, position) => ({ records: records(position) }));
    const fetcher = await fetcherOf(brokers);
    await fetcher.fetch(topicId, 0);
    fetcher.pause(0);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(await collect(fetcher, 2)).toEqual([]);
    fetcher.resume(0);
    expect(await fetcher.fetch(topicId, 0)).toMatchObject([{ position: 0n, nextPosition: 1n }]);
    expect(brokers.asked).toHaveLength(2);
  });

  test("gives an answer's memory back with the next call, once all of its records were handed over", async () => {
    const brokers = new Brokers([1, 1], (_broker, _partition, position) =>
      position === 0n ? { records: records(position) } : {},
    );
    const fetcher = await fetcherOf(brokers);
    await fetcher.fetch(topicId, 0);
    fetcher.pause(1);
    await new Promise((resolve) => setTimeout(resolve, 50));
    const [first] = await fetcher.fetch(topicId, 0);
    await fetcher.fetch(topicId, 0);
    expect([String(first?.records[0]?.value), brokers.released]).toEqual(["x", 0]);
    fetcher.resume(1);
    const [second] = await fetcher.fetch(topicId, 0);
    expect([second?.partition, String(second?.records[0]?.value), brokers.released]).toEqual([1, "x", 0]);
    await fetcher.fetch(topicId, 0);
    expect(brokers.released).toBeGreaterThan(0);
    expect(String(second?.records[0]?.value)).toBe("\0");
  });

  test("asks last for what was served last, so that a full answer starves nobody", async () => {
    const brokers = new Brokers([1, 1, 1], (_broker, partition, position) =>
      partition === 0 ? { records: records(position) } : {},
    );
    await collect(await fetcherOf(brokers), 3);
    expect(brokers.asked[0]?.partitions).toEqual([0, 1, 2]);
    expect(brokers.asked.at(-1)?.partitions).toEqual([1, 2, 0]);
  });

  test("throws when all requests have failed for the session timeout, and not before", async () => {
    let up = false;
    const brokers = new Brokers([1], (_broker, _partition, position) =>
      up ? { records: records(position) } : undefined,
    );
    const fetcher = await fetcherOf(brokers, 1_000);
    expect(await fetcher.fetch(topicId, 100)).toEqual([]);
    await expect(collect(fetcher, 15)).rejects.toBeInstanceOf(ConnectionError);
    up = true;
    await expect.poll(() => fetcher.fetch(topicId, 500).catch(() => []), { timeout: 5_000 }).toHaveLength(1);
  });
});
