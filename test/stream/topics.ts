import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { zstdCompress, zstdDecompress } from "node:zlib";
import { Admin } from "@platformatic/kafka";
import kafkajs, { Kafka, logLevel } from "kafkajs";

// Large dead letters go compressed, and kafkajs knows gzip alone: without this its consumer tries them again for ever.
kafkajs.CompressionCodecs[kafkajs.CompressionTypes.ZSTD] = () => ({
  compress: ({ buffer }: { buffer: Buffer }) => promisify(zstdCompress)(buffer),
  decompress: (buffer: Buffer) => promisify(zstdDecompress)(buffer),
});

/** The stream's two topics on a real broker, and what a test does to them. */
export interface Topics {
  readonly source: string;
  readonly deadLetters: string;
  readonly topicId: string;
  readonly partitions: number;
  /** The broker that leads the partition now. */
  leader(partition: number): Promise<number>;
  /** Whether each partition has that many replicas in sync. */
  inSync(replicas: number): Promise<boolean>;
  /** The brokers that have all of a partition. */
  replicasInSync(partition: number): Promise<readonly number[]>;
  addPartition(): Promise<void>;
  /** Deletes what is before `offset`, as retention does. */
  deleteBefore(partition: number, offset: number): Promise<void>;
  /** As if its offsets had expired. It must have no member. */
  forgetGroup(groupId: string): Promise<void>;
  setSourceConfig(name: string, value: string): Promise<void>;
  setDeadLettersConfig(name: string, value: string): Promise<void>;
  /** The offset after the last one, by partition. */
  ends(): Promise<number[]>;
  /** Offsets the group committed, by partition; −1 where none. */
  committed(groupId: string): Promise<number[]>;
  /** A record that fits no more is refused by the broker. */
  setDeadLettersWritable(writable: boolean): Promise<void>;
  /** Everything that is in the dead-letter topic now. */
  readDeadLetters(): Promise<DeadLetter[]>;
  delete(): Promise<void>;
}

export interface DeadLetter {
  readonly value: Buffer | null;
  readonly headers: Readonly<Record<string, string>>;
}

const LOOK_EVERY_MS = 250;
const MADE_WITHIN_LOOKS = 240;
const MAX_MESSAGE_BYTES = 1_048_576;
const DEAD_LETTER_MAX_BYTES = MAX_MESSAGE_BYTES + 65_536;

export interface TopicOptions {
  /** Default 1. */
  readonly replicationFactor?: number;
  /** Of the source: the brokers of each partition, the one that shall lead it first. Default: as the brokers like. */
  readonly assignment?: readonly (readonly number[])[];
  /** Of the source. */
  readonly settings?: Readonly<Record<string, string>>;
}

export async function createTopics(
  bootstrapServers: string,
  name: string,
  partitionsAtFirst: number,
  { replicationFactor = 1, assignment, settings = {} }: TopicOptions = {},
): Promise<Topics> {
  const kafka = new Kafka({
    clientId: "stream-test",
    brokers: bootstrapServers.split(","),
    logLevel: logLevel.NOTHING,
  });
  const admin = kafka.admin();
  await admin.connect();
  const deadLetters = `${name}.dlq`;
  const sourceEntries = Object.entries({ "message.timestamp.type": "LogAppendTime", ...settings }).map(
    ([option, value]) => ({ name: option, value }),
  );
  const placed =
    assignment === undefined
      ? { numPartitions: partitionsAtFirst, replicationFactor }
      : { replicaAssignment: assignment.map((replicas, partition) => ({ partition, replicas: [...replicas] })) };
  // As the operator makes it.
  const configEntries = [
    { name: "max.message.bytes", value: String(DEAD_LETTER_MAX_BYTES) },
    { name: "retention.ms", value: "-1" },
  ];
  await admin.createTopics({
    // Its wait gives up on a broker that has not heard of the topic yet; asking for the id waits, too.
    waitForLeaders: false,
    topics: [
      { topic: name, ...placed, configEntries: sourceEntries },
      { topic: deadLetters, numPartitions: 1, replicationFactor, configEntries },
    ],
  });

  let partitions = partitionsAtFirst;
  const setConfig = (topic: string) => async (option: string, value: string) => {
    const kept = topic === name ? sourceEntries : configEntries;
    const changed = [...kept.filter((entry) => entry.name !== option), { name: option, value }];
    const resource = { type: kafkajs.ConfigResourceTypes.TOPIC, name: topic, configEntries: changed };
    await admin.alterConfigs({ validateOnly: false, resources: [resource] });
  };

  async function partitionOf(partition: number) {
    const { topics } = await admin.fetchTopicMetadata({ topics: [name] });
    const found = topics[0]?.partitions.find(({ partitionId }) => partitionId === partition);
    if (found === undefined) throw new Error(`Kafka names no leader of partition ${partition}`);
    return found;
  }

  return {
    source: name,
    deadLetters,
    get partitions() {
      return partitions;
    },
    setSourceConfig: setConfig(name),
    setDeadLettersConfig: setConfig(deadLetters),

    leader: async (partition) => (await partitionOf(partition)).leader,
    replicasInSync: async (partition) => (await partitionOf(partition)).isr,

    async inSync(replicas) {
      const { topics } = await admin.fetchTopicMetadata({ topics: [name, deadLetters] });
      return topics.every((topic) => topic.partitions.every(({ isr }) => isr.length === replicas));
    },

    async addPartition() {
      partitions += 1;
      await admin.createPartitions({ topicPartitions: [{ topic: name, count: partitions }] });
    },

    async deleteBefore(partition, offset) {
      await admin.deleteTopicRecords({ topic: name, partitions: [{ partition, offset: String(offset) }] });
    },

    async forgetGroup(groupId) {
      await admin.deleteGroups([groupId]);
    },

    topicId: await readTopicId(bootstrapServers, name),

    async ends() {
      const offsets = await admin.fetchTopicOffsets(name);
      return byPartition(
        partitions,
        offsets.map(({ partition, high }) => [partition, Number(high)]),
      );
    },

    async committed(groupId) {
      const [topic] = await admin.fetchOffsets({ groupId, topics: [name] });
      return byPartition(
        partitions,
        (topic?.partitions ?? []).map(({ partition, offset }) => [partition, Number(offset)]),
      );
    },

    setDeadLettersWritable: (writable) =>
      setConfig(deadLetters)("max.message.bytes", String(writable ? DEAD_LETTER_MAX_BYTES : 1)),

    readDeadLetters: () =>
      readAll(kafka, deadLetters, async () => Number((await admin.fetchTopicOffsets(deadLetters))[0]?.high ?? 0)),

    async delete() {
      await admin.deleteTopics({ topics: [name, deadLetters] });
      await admin.disconnect();
    },
  };
}

function byPartition(partitions: number, found: readonly (readonly [partition: number, offset: number])[]): number[] {
  const offsets = new Map(found);
  return Array.from({ length: partitions }, (_, partition) => offsets.get(partition) ?? -1);
}

/** Waits until both the topic's id and the leaders of its partitions are known. */
async function readTopicId(bootstrapServers: string, topic: string): Promise<string> {
  const admin = new Admin({ clientId: "stream-test", bootstrapBrokers: bootstrapServers.split(",") });
  try {
    for (let look = 0; look < MADE_WITHIN_LOOKS; look += 1) {
      const metadata = await admin.metadata({ topics: [topic] }).catch(() => undefined);
      const found = metadata?.topics.get(topic);
      if (found !== undefined && Object.values(found.partitions).every(({ leader }) => leader >= 0)) return found.id;
      await sleep(LOOK_EVERY_MS);
    }
    throw new Error(`Kafka gave no id and leaders for topic ${topic}`);
  } finally {
    await admin.close();
  }
}

async function readAll(kafka: Kafka, topic: string, readEnd: () => Promise<number>): Promise<DeadLetter[]> {
  const end = await readEnd();
  const found: DeadLetter[] = [];
  if (end === 0) return found;
  const consumer = kafka.consumer({ groupId: `${topic}.reader-${process.pid}` });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  const { promise, resolve } = Promise.withResolvers<void>();
  await consumer.run({
    autoCommit: false,
    eachMessage: async ({ message }) => {
      const headers = Object.entries(message.headers ?? {}).map(([name, value]) => [
        name,
        String(Array.isArray(value) ? value.at(-1) : value),
      ]);
      found.push({ value: message.value, headers: Object.fromEntries(headers) as Record<string, string> });
      if (Number(message.offset) >= end - 1) resolve();
    },
  });
  await promise;
  await consumer.disconnect();
  return found;
}
