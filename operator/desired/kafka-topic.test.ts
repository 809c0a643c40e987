import { describe, expect, test } from "vitest";
import { desiredTopics, type TopicSettings } from "./kafka-topic.ts";

const backend = { name: "default", namePrefix: "{namespace}.", replicationFactor: 3, maxPartitions: 100 };
const of = (settings: TopicSettings = {}, name = "payments") =>
  desiredTopics({ namespace: "team-a", name }, settings, backend);
const stalled = (reason: string, ...words: string[]) =>
  expect.objectContaining({ name: "StalledError", reason, message: expect.stringMatching(words.join(".*")) });

describe("desiredTopics", () => {
  test("by default is 12 partitions, a week, the broker's time, and a dead-letter topic kept for ever", () => {
    expect(of()).toEqual({
      topic: {
        name: "team-a.payments",
        partitions: 12,
        replicationFactor: 3,
        config: {
          "cleanup.policy": "delete",
          "retention.ms": "604800000",
          "compression.type": "producer",
          "max.message.bytes": "1048576",
          "message.timestamp.type": "LogAppendTime",
        },
      },
      deadLetter: {
        name: "team-a.payments.dlq",
        partitions: 1,
        replicationFactor: 3,
        config: {
          "cleanup.policy": "delete",
          "retention.ms": "-1",
          "retention.bytes": "-1",
          "compression.type": "producer",
          "max.message.bytes": "2162688",
          "message.timestamp.type": "LogAppendTime",
        },
      },
    });
  });

  test("turns typed fields into Kafka's keys", () => {
    const { topic, deadLetter } = of({
      partitions: 3,
      replicationFactor: 1,
      minInSyncReplicas: 2,
      retention: { time: "Unlimited", size: "50Gi" },
      compressionType: "Zstd",
      maxMessageSize: "2Mi",
      config: { "segment.ms": "3600000", "flush.ms": null },
    });
    expect(topic).toMatchObject({ partitions: 3, replicationFactor: 1 });
    expect(topic.config).toEqual({
      "segment.ms": "3600000",
      "flush.ms": null,
      "cleanup.policy": "delete",
      "retention.ms": "-1",
      "retention.bytes": "53687091200",
      "compression.type": "zstd",
      "max.message.bytes": "2097152",
      "min.insync.replicas": "2",
      "message.timestamp.type": "LogAppendTime",
    });
    expect(deadLetter?.config).toMatchObject({ "max.message.bytes": "4259840", "min.insync.replicas": "2" });
  });

  test("gives the dead-letter topic room for whatever fits the source, as far as Kafka's number goes", () => {
    const limit = (maxMessageSize: string) => of({ maxMessageSize }).deadLetter?.config["max.message.bytes"];
    expect(limit("1Ki")).toBe(String(2 * 1024 + 65_536));
    expect(limit("1Gi")).toBe("2147483647");
  });

  test("has no dead-letter topic where it is switched off", () => {
    expect(of({ deadLetter: { enabled: false } }).deadLetter).toBeUndefined();
  });

  test.each([
    "other.payments",
    "team-ab.payments",
    "payments",
    "team-a",
    "team-a.",
    "__consumer_offsets",
    ".",
    "..",
    "",
    "team-a.x/y",
    "team-a.x\0",
    "team-a.é",
    'team-a."',
    `team-a.${"x".repeat(243)}`,
    "team-a.x y",
    "*",
  ])("refuses the topic name %j, with the field, the value, the rule and the fix", (topicName) => {
    expect(() => of({ topicName })).toThrow(stalled("NameNotAllowed", "^spec.topicName: ", "not allowed", ";"));
    expect(() => of({ deadLetter: { topicName } })).toThrow(stalled("NameNotAllowed", "^spec.deadLetter.topicName: "));
  });

  test("refuses a dead-letter topic that is the topic, or that Kafka could not tell from it", () => {
    expect(() => of({ deadLetter: { topicName: "team-a.payments" } })).toThrow(stalled("NameNotAllowed", "collides"));
    expect(() => of({ topicName: "team-a.x_y", deadLetter: { topicName: "team-a.x.y" } })).toThrow(
      stalled("NameNotAllowed", "collides"),
    );
  });

  test.each(["retention.ms", "max.message.bytes", "message.timestamp.type", "compression.type", "min.insync.replicas"])(
    "refuses %s in spec.config, be it null, and names what decides it",
    (key) => {
      for (const value of ["1", null]) {
        expect(() => of({ config: { [key]: value } })).toThrow(stalled("InvalidTopicConfig", "decided by"));
      }
    },
  );

  test("refuses more partitions than the back-end takes", () => {
    expect(() => of({ partitions: 101 })).toThrow(stalled("TooManyPartitions", "spec.partitions", "100"));
    expect(() => of({ deadLetter: { partitions: 101 } })).toThrow(stalled("TooManyPartitions", "spec.deadLetter"));
  });

  test("names the field whose value it cannot read", () => {
    expect(() => of({ retention: { time: "1 week" } })).toThrow(stalled("InvalidTopicConfig", "spec.retention.time"));
    expect(() => of({ maxMessageSize: "1MB" })).toThrow(stalled("InvalidTopicConfig", "spec.maxMessageSize"));
  });
});
