import type { KafkaAcl } from "../desired/kafka-principal.ts";
import type { Kafka } from "../external/connect-kafka.ts";
import type { ObservedTopic, TopicAction } from "../plan/kafka-topic.ts";
import type { Record } from "./step.ts";

/** What a topic that does not exist yet goes by. */
export const NEW_ID = "00000000-0000-0000-0000-000000000000";

/** Observes the brokers and changes nothing there; what would have been made is seen afterwards as if it were. */
export function recordedKafka(kafka: Kafka, record: Record): Kafka {
  const imagined = new Map<string, ObservedTopic>();
  const orEmpty = <T>(topic: string, ask: () => Promise<T>, empty: T) =>
    imagined.get(topic)?.topicId === NEW_ID ? Promise.resolve(empty) : ask();

  return {
    topics: {
      observe: async (name) => imagined.get(name) ?? (await kafka.topics.observe(name)),
      async apply(action) {
        const name = action.kind === "CreateTopic" ? action.topic.name : action.name;
        record("Kafka", action.kind, detail(action));
        const before = imagined.get(name) ?? (await kafka.topics.observe(name));
        imagined.set(name, after(action, before));
      },
      async delete({ name }) {
        record("Kafka", "DeleteTopic", name);
      },
      endOffsets: (topic) => orEmpty(topic, () => kafka.topics.endOffsets(topic), new Map()),
      startOffsets: (topic) => orEmpty(topic, () => kafka.topics.startOffsets(topic), new Map()),
      earliestRecordTime: (topic) => orEmpty(topic, () => kafka.topics.earliestRecordTime(topic), undefined),
    },
    principals: {
      observe: (username, mechanism) => kafka.principals.observe(username, mechanism),
      async setPassword(username) {
        record("Kafka", "SetPassword", username);
      },
      async addAcls(username, acls) {
        record("Kafka", "AddAcls", `${username} (${acls.map(described).join(", ")})`);
      },
      async removeAcls(username, acls) {
        record("Kafka", "RemoveAcls", `${username} (${acls.map(described).join(", ")})`);
      },
      async delete(username) {
        record("Kafka", "DeleteUser", username);
      },
    },
    brokers: kafka.brokers,
    // Whoever is not made yet cannot log in.
    logins: { probe: async () => ({ kind: "Works" }) },
    groups: {
      async delete(groupId) {
        record("Kafka", "DeleteGroup", groupId);
      },
    },
  };
}

const described = ({ operation, resource, name }: KafkaAcl) => `${operation} ${resource} ${name}`;

function detail(action: TopicAction): string {
  switch (action.kind) {
    case "CreateTopic":
      return `${action.topic.name} (${action.topic.partitions} partitions, replication factor ${action.topic.replicationFactor})`;
    case "AddPartitions":
      return `${action.name} (${action.from} to ${action.to})`;
    case "SetConfig":
      return `${action.name} (${Object.entries(action.set)
        .map(([key, value]) => `${key}=${value}`)
        .join(", ")})`;
  }
}

function after(action: TopicAction, before: ObservedTopic | undefined): ObservedTopic {
  if (action.kind === "CreateTopic") {
    const { name, partitions, replicationFactor, config } = action.topic;
    const set = Object.entries(config).flatMap(([key, value]) => (value === null ? [] : [[key, value] as const]));
    return { name, partitions, replicationFactor, config: Object.fromEntries(set), topicId: NEW_ID };
  }
  if (before === undefined) throw new Error(`Planned to change topic ${action.name}, which is not there`);
  if (action.kind === "AddPartitions") return { ...before, partitions: action.to };
  return { ...before, config: { ...before.config, ...action.set } };
}
