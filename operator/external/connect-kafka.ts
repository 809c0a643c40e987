import type { KafkaBackend } from "../config.ts";
import type { KafkaGroups } from "./kafka-group.ts";
import type { KafkaTopics } from "./kafka-topic.ts";

/** One Kafka cluster as the operator sees it. */
export interface Kafka {
  readonly topics: KafkaTopics;
  readonly groups: KafkaGroups;
}

export interface KafkaConnections {
  /** Lazy: nothing is dialled before the first call. One client per back-end, shared. */
  to(backend: Pick<KafkaBackend, "name" | "bootstrapServers">): Kafka;
  close(): Promise<void>;
}

export function connectKafka(): KafkaConnections {
  throw new Error("not yet");
}
