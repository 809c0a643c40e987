import type { ObservedTopic, TopicAction } from "../plan/kafka-topic.ts";
import type { External } from "./external.ts";

/** A topic by name, and the id it must still have. */
export interface TopicRef {
  readonly name: string;
  readonly topicId: string;
}

export interface KafkaTopics extends Omit<External<ObservedTopic, TopicAction>, "delete"> {
  /** Gone, or there under another id: nothing is deleted, and that is success. */
  delete(topic: TopicRef): Promise<void>;
  /** Next offset to be written, per partition. */
  endOffsets(topic: string): Promise<ReadonlyMap<number, bigint>>;
  /** First offset still there, per partition. */
  startOffsets(topic: string): Promise<ReadonlyMap<number, bigint>>;
  /** Timestamp (ms) of the oldest record still there; undefined while the topic is empty. */
  earliestRecordTime(topic: string): Promise<number | undefined>;
}
