import { Admin } from "@platformatic/kafka";
import type { KafkaBackend } from "../config.ts";
import { type KafkaGroups, kafkaGroups } from "./kafka-group.ts";
import { type KafkaTopics, kafkaTopics } from "./kafka-topic.ts";

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

const TIMEOUT_MS = 10_000;

export function connectKafka(): KafkaConnections {
  const clients = new Map<string, { admin: Admin; kafka: Kafka }>();

  return {
    to(backend) {
      const known = clients.get(backend.name);
      if (known !== undefined) return known.kafka;
      const admin = newAdmin(backend.bootstrapServers);
      const kafka = { topics: kafkaTopics(admin), groups: kafkaGroups(admin) };
      clients.set(backend.name, { admin, kafka });
      return kafka;
    },
    async close() {
      const admins = [...clients.values()].map(({ admin }) => admin.close());
      clients.clear();
      await Promise.allSettled(admins);
    },
  };
}

function newAdmin(bootstrapServers: readonly string[]): Admin {
  return new Admin({
    clientId: "audit-pipeline-operator",
    bootstrapBrokers: [...bootstrapServers],
    connectTimeout: TIMEOUT_MS,
    requestTimeout: TIMEOUT_MS,
    timeout: TIMEOUT_MS,
    // The loop retries. A create that the client repeated by itself could meet its own topic and take it for another's.
    retries: 0,
  });
}
