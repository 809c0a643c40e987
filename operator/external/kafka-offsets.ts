import { type Admin, ListOffsetTimestamps } from "@platformatic/kafka";
import { fromKafka, isUnknownTopic } from "./kafka-errors.ts";

/** All three answer "nothing" for a topic that does not exist. */
export interface KafkaOffsets {
  /** Next offset to be written, per partition. */
  endOffsets(topic: string): Promise<ReadonlyMap<number, bigint>>;
  /** First offset still there, per partition. */
  startOffsets(topic: string): Promise<ReadonlyMap<number, bigint>>;
  /** Timestamp (ms) of the oldest record still there; undefined while the topic is empty. */
  earliestRecordTime(topic: string): Promise<number | undefined>;
}

/** The first record stamped at or after the epoch: unlike EARLIEST, a search by time is answered with the time. */
const SINCE_EPOCH = 0n;

export function kafkaOffsets(admin: Admin): KafkaOffsets {
  async function list(topic: string, timestamp: bigint) {
    try {
      const { topics } = await admin.metadata({ topics: [topic], forceUpdate: true, autocreateTopics: false });
      const count = topics.get(topic)?.partitionsCount ?? 0;
      const partitions = Array.from({ length: count }, (_, partitionIndex) => ({ partitionIndex, timestamp }));
      if (count === 0) return [];
      const listed = await admin.listOffsets({ topics: [{ name: topic, partitions }] });
      return listed.flatMap((found) => found.partitions);
    } catch (error) {
      if (isUnknownTopic(error)) return [];
      return fromKafka(error, `Reading offsets of topic ${topic}`);
    }
  }
  const offsets = async (topic: string, timestamp: bigint) =>
    new Map((await list(topic, timestamp)).map(({ partitionIndex, offset }) => [partitionIndex, offset]));

  return {
    endOffsets: (topic) => offsets(topic, ListOffsetTimestamps.LATEST),
    startOffsets: (topic) => offsets(topic, ListOffsetTimestamps.EARLIEST),

    async earliestRecordTime(topic) {
      const found = await list(topic, SINCE_EPOCH);
      const times = found.filter(({ offset }) => offset >= 0n).map(({ timestamp }) => Number(timestamp));
      return times.length === 0 ? undefined : Math.min(...times);
    },
  };
}
