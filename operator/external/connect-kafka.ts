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
const COORDINATOR_RETRIES = 10;
const RETRY_DELAY_MS = 500;

export function connectKafka(): KafkaConnections {
  const clients = new Map<string, { admins: readonly Admin[]; kafka: Kafka }>();

  return {
    to(backend) {
      const known = clients.get(backend.name);
      if (known !== undefined) return known.kafka;
      // The loop retries. A create that the client repeated by itself could meet its own topic and take it for another's.
      const topicAdmin = newAdmin(backend.bootstrapServers, 0);
      // A cluster that has had no group yet makes its offsets topic at the first question, and answers after a while.
      const groupAdmin = newAdmin(backend.bootstrapServers, COORDINATOR_RETRIES);
      const kafka = { topics: kafkaTopics(topicAdmin), groups: kafkaGroups(groupAdmin) };
      clients.set(backend.name, { admins: [topicAdmin, groupAdmin], kafka });
      return kafka;
    },
    async close() {
      const all = [...clients.values()].flatMap(({ admins }) => admins);
      clients.clear();
      await Promise.allSettled(all.map((admin) => admin.close()));
    },
  };
}

function newAdmin(bootstrapServers: readonly string[], retries: number): Admin {
  return new Admin({
    clientId: "audit-pipeline-operator",
    bootstrapBrokers: [...bootstrapServers],
    connectTimeout: TIMEOUT_MS,
    requestTimeout: TIMEOUT_MS,
    timeout: TIMEOUT_MS,
    retries,
    retryDelay: RETRY_DELAY_MS,
  });
}
