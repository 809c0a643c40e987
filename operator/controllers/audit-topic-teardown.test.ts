import { describe, expect, test } from "vitest";
import type { AuditTopic, AuditTopicStatus } from "../../crds/v1alpha1/audit-topic.ts";
import { operatorConfig } from "../config.ts";
import { StalledError, WaitingError } from "../errors.ts";
import type { KafkaTopics } from "../external/kafka-topic.ts";
import { DRAINED_TO, teardownTopic } from "./audit-topic-teardown.ts";

/** Only the decisions: what the brokers do is tested on real ones. */
const config = operatorConfig.parse({ backends: { kafka: [{ name: "default", bootstrapServers: ["b:1"] }] } });

const store = { get: async () => undefined };

const topic = (status: AuditTopicStatus, over: { policy?: "Retain" | "Delete"; backend?: string } = {}): AuditTopic =>
  ({
    metadata: { name: "t", namespace: "n", uid: "u", annotations: { "auditpipeline.io/confirm-delete": "t" } },
    spec: { deletionPolicy: over.policy ?? "Delete", kafka: { backendRef: { name: over.backend ?? "default" } } },
    status,
  }) as unknown as AuditTopic;

const both: AuditTopicStatus = {
  topicName: "n.t",
  topicId: "1",
  deadLetter: { topicName: "n.t.dlq", topicId: "2" },
};

function brokers(over: Partial<KafkaTopics> = {}) {
  const deleted: string[] = [];
  const topics: Partial<KafkaTopics> = {
    observe: async (name) => ({ name, topicId: `seen-${name}`, partitions: 1, replicationFactor: 1, config: {} }),
    delete: async ({ name, topicId }) => void deleted.push(`${name} ${topicId}`),
    ...over,
  };
  return { deleted, kafka: { to: () => ({ topics, groups: {} }), close: async () => undefined } as never };
}

const drainedTo = (status: AuditTopicStatus, text: string): AuditTopic => {
  const { metadata, ...rest } = topic(status);
  return { ...rest, metadata: { ...metadata, annotations: { ...metadata.annotations, [DRAINED_TO]: text } } };
};

const settle = async (resource: AuditTopic, kafka: never) =>
  (await teardownTopic(resource, { config, kafka, store }, { has: () => false }, "now")).map(({ name, id, action }) =>
    [action, name, id].join(" "),
  );

describe("teardownTopic", () => {
  test("deletes both by their ids", async () => {
    const { deleted, kafka } = brokers();
    expect(await settle(topic(both), kafka)).toEqual(["Deleted n.t 1", "Deleted n.t.dlq 2"]);
    expect(deleted).toEqual(["n.t 1", "n.t.dlq 2"]);
  });

  test("keeps both where records came after the sinks had stopped, and says how many", async () => {
    const { deleted, kafka } = brokers({
      endOffsets: async () =>
        new Map([
          [0, 9n],
          [1, 4n],
        ]),
    });
    const items = await teardownTopic(drainedTo(both, "7,4"), { config, kafka, store }, { has: () => false }, "now");
    expect(items.map(({ action, reason }) => `${action} ${reason}`)).toEqual([
      "Retained NotDrained: 2 records came after all before them were stored",
      "Retained NotDrained: 2 records came after all before them were stored",
    ]);
    expect(deleted).toEqual([]);
    expect(await settle(drainedTo(both, "9,4"), kafka)).toEqual(["Deleted n.t 1", "Deleted n.t.dlq 2"]);
  });

  test("finds a topic whose create nobody saw end, dead-letter topics included", async () => {
    const { deleted, kafka } = brokers();
    const status = { ...both, deadLetter: { intent: "n.t.dlq" } };
    expect(await settle(topic(status), kafka)).toEqual(["Deleted n.t 1", "Deleted n.t.dlq seen-n.t.dlq"]);
    expect(deleted).toContain("n.t.dlq seen-n.t.dlq");
  });

  test("deletes the successor that was being made, and not the id that is gone", async () => {
    const { deleted, kafka } = brokers();
    await settle(topic({ ...both, intent: "n.t" }), kafka);
    expect(deleted).toContain("n.t seen-n.t");
    expect(deleted).not.toContain("n.t 1");
  });

  test.for([
    ["as one that it made", { topicName: "other.t", topicId: "1" }],
    ["as one that it adopted, without a grant", { topicName: "other.t", topicId: "1", ownership: "Adopted" }],
    ["as one that it was about to make", { intent: "other.t" }],
  ] as const)("keeps a topic outside the namespace's prefix that a status claims %s", async ([, status]) => {
    const { deleted, kafka } = brokers();
    expect((await settle(topic(status), kafka)).join()).toMatch(/^Retained other\.t/);
    expect(deleted).toEqual([]);
  });

  test("keeps a topic that a status is about to make, and that another resource has", async () => {
    const { deleted, kafka } = brokers();
    const rivals = { has: (id: string | undefined) => id === "seen-n.t" };
    const items = await teardownTopic(topic({ intent: "n.t" }), { config, kafka, store }, rivals, "now");
    expect(items.map(({ action }) => action)).toEqual(["Retained"]);
    expect(deleted).toEqual([]);
  });

  test("needs no broker for what it keeps", async () => {
    const away = async () => {
      throw new WaitingError("KafkaUnreachable", "away");
    };
    const { kafka } = brokers({ observe: away, delete: away });
    expect(await settle(topic({ ...both, intent: "n.t" }, { policy: "Retain" }), kafka)).toEqual([
      "Retained n.t ",
      "Retained n.t.dlq 2",
    ]);
    await expect(settle(topic({ ...both, intent: "n.t" }), kafka)).rejects.toThrow("away");
  });

  test("leaves behind what can never be deleted, and says so", async () => {
    const forbidden = async () => {
      throw new StalledError("InvalidTopicConfig", "delete.topic.enable is false");
    };
    expect(await settle(topic(both), brokers({ delete: forbidden }).kafka)).toEqual([
      "Orphaned n.t 1",
      "Orphaned n.t.dlq 2",
    ]);
    expect(await settle(topic(both, { backend: "gone" }), brokers().kafka)).toEqual([
      "Orphaned n.t 1",
      "Orphaned n.t.dlq 2",
    ]);
  });

  test("has nothing to say of what was never made", async () => {
    expect(await settle(topic({}), brokers().kafka)).toEqual([]);
  });
});
