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

const MAX_MESSAGE_BYTES = 1_048_576;
const DEAD_LETTER_MAX_BYTES = MAX_MESSAGE_BYTES + 65_536;

export async function createTopics(bootstrapServers: string, name: string, partitions: number): Promise<Topics> {
  const kafka = new Kafka({ clientId: "stream-test", brokers: [bootstrapServers], logLevel: logLevel.NOTHING });
  const admin = kafka.admin();
  await admin.connect();
  const deadLetters = `${name}.dlq`;
  const appendTime = { name: "message.timestamp.type", value: "LogAppendTime" };
  const configEntries = [{ name: "max.message.bytes", value: String(DEAD_LETTER_MAX_BYTES) }];
  await admin.createTopics({
    topics: [
      { topic: name, numPartitions: partitions, replicationFactor: 1, configEntries: [appendTime] },
      { topic: deadLetters, numPartitions: 1, replicationFactor: 1, configEntries },
    ],
  });

  return {
    source: name,
    deadLetters,
    partitions,
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

    async setDeadLettersWritable(writable) {
      const value = String(writable ? DEAD_LETTER_MAX_BYTES : 1);
      const resource = {
        type: kafkajs.ConfigResourceTypes.TOPIC,
        name: deadLetters,
        configEntries: [{ name: "max.message.bytes", value }],
      };
      await admin.alterConfigs({ validateOnly: false, resources: [resource] });
    },

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

async function readTopicId(bootstrapServers: string, topic: string): Promise<string> {
  const admin = new Admin({ clientId: "stream-test", bootstrapBrokers: [bootstrapServers] });
  try {
    const id = (await admin.metadata({ topics: [topic] })).topics.get(topic)?.id;
    if (id === undefined) throw new Error(`Kafka gave no id for topic ${topic}`);
    return id;
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
