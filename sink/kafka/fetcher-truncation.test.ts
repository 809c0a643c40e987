import { crc32c } from "@platformatic/kafka";
import { expect, test } from "vitest";
import { TopicView } from "./cluster.ts";
import { Fetcher } from "./fetcher.ts";
import type { FetchRequest, KafkaProtocol } from "./protocol.ts";
import { encodeBatch } from "./record-batch-encoder.ts";

// A log that was cut below the position and has grown past it again: only the leader epoch tells.

const topicId = "2b4b6b8c-0000-4000-8000-000000000001";
const unused = (): never => {
  throw new Error("not part of fetching");
};

function batch(first: bigint, count: number, epoch: number): Buffer {
  const records = Array.from({ length: count }, () => ({ key: null, value: Buffer.from("x"), headers: [] }));
  const bytes = Buffer.from(encodeBatch(records, 1n, crc32c));
  bytes.writeBigInt64BE(first, 0);
  bytes.writeInt32BE(epoch, 12);
  return bytes;
}

/** One partition: offsets 0 to 99 under epoch 5; after `cut`, 0 to 49 under epoch 5 and 50 to 199 under epoch 6. */
class Broker implements KafkaProtocol {
  isCut = false;
  readonly asked: { position: bigint; lastEpoch: number }[] = [];

  async metadata() {
    const partition = { partition: 0, leaderId: 1, leaderEpoch: 0, errorCode: 0 };
    const brokers = [{ nodeId: 1, host: "h", port: 1 }];
    return { brokers, topics: [{ errorCode: 0, name: "t", topicId, partitions: [partition] }] };
  }

  async fetch(_broker: unknown, _slot: number, { partitions }: FetchRequest) {
    await new Promise((resolve) => setTimeout(resolve, 2));
    const answers = partitions.map(({ partition, position, lastEpoch }) => {
      this.asked.push({ position, lastEpoch });
      const known = { partition, errorCode: 0, lastStableOffset: 200n, logStart: 0n, aborted: [] };
      // Of an epoch it never had, a broker says where the one before it ended.
      const isParted = this.isCut && ((lastEpoch === 5 && position > 50n) || lastEpoch === 7);
      return { ...known, partedAt: isParted ? 50n : undefined, records: isParted ? empty : this.#records(position) };
    });
    return { errorCode: 0, partitions: answers };
  }

  #records(position: bigint): Buffer {
    if (!this.isCut) return position < 100n ? batch(0n, 100, 5) : empty;
    return position < 50n ? batch(0n, 50, 5) : batch(50n, 150, 6);
  }

  crc32c = crc32c;
  decompress = unused;
  findCoordinator = unused;
  joinGroup = unused;
  syncGroup = unused;
  heartbeat = unused;
  leaveGroup = unused;
  commitOffsets = unused;
  offsetRange = unused;
  produce = unused;
  topicSetting = unused;
  close = unused;
}
const empty = Buffer.alloc(0);

async function fetcherOf(broker: Broker) {
  const view = new TopicView(broker, "t");
  await view.refresh();
  const limits = { maxBytes: 1e6, maxBytesPerPartition: 1e6 };
  const timing = { sessionTimeoutMs: 10_000, rebalanceTimeoutMs: 1_000, heartbeatIntervalMs: 100 };
  const fetcher = new Fetcher(broker, { topic: "t", groupId: "g", ...limits, ...timing }, view);
  fetcher.assign([0]);
  return fetcher;
}

async function first(fetcher: Fetcher) {
  for (let call = 0; call < 50; call++) {
    const [fetched] = await fetcher.fetch(topicId, 100);
    if (fetched !== undefined) return fetched;
  }
  throw new Error("Nothing was fetched");
}

test("says the leader epoch of what was read", async () => {
  const fetcher = await fetcherOf(new Broker());
  fetcher.seek(0, 0n);
  expect(await first(fetcher)).toMatchObject({ nextPosition: 100n, leaderEpoch: 5 });
});

test("a seek to where the reader stands keeps what it knows: the cut is found again, however often", async () => {
  const broker = new Broker();
  const fetcher = await fetcherOf(broker);
  fetcher.seek(0, 0n);
  expect((await first(fetcher)).nextPosition).toBe(100n);
  broker.isCut = true;
  for (let again = 0; again < 3; again++) {
    expect(await first(fetcher)).toMatchObject({ outOfRange: true, position: 100n, endOffset: 50n });
    fetcher.pause(0);
    fetcher.seek(0, 100n);
    fetcher.resume(0);
  }
});

test("a new reader that is told the leader epoch finds the cut", async () => {
  const broker = new Broker();
  broker.isCut = true;
  const fetcher = await fetcherOf(broker);
  fetcher.seek(0, 100n, 5);
  expect(await first(fetcher)).toMatchObject({ outOfRange: true, position: 100n, endOffset: 50n });
});

test("a cut behind the position is none: what was read before it still stands", async () => {
  const broker = new Broker();
  broker.isCut = true;
  const fetcher = await fetcherOf(broker);
  fetcher.seek(0, 40n, 7);
  const fetched = await first(fetcher);
  expect(fetched.outOfRange).toBeUndefined();
  expect(fetched.records[0]?.offset).toBe(40n);
});
