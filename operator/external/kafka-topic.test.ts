import { randomBytes } from "node:crypto";
import { Producer } from "@platformatic/kafka";
import { afterAll, describe, expect, test } from "vitest";
import { sharedServers } from "../../test/support/servers.ts";
import { desiredTopics, type TopicSettings } from "../desired/kafka-topic.ts";
import { planTopic, type TopicClaim } from "../plan/kafka-topic.ts";
import { connectKafka } from "./connect-kafka.ts";

const { bootstrapServers } = sharedServers().kafka;
const connections = connectKafka();
afterAll(() => connections.close());
const { topics } = connections.to({ name: "shared", bootstrapServers });

const backend = { name: "shared", namePrefix: "{namespace}.", replicationFactor: 1, maxPartitions: 100 };
const unique = () => `t-${randomBytes(5).toString("hex")}`;
const desired = (settings: TopicSettings = {}, namespace = unique()) =>
  desiredTopics({ namespace, name: "payments" }, { partitions: 2, ...settings }, backend).topic;

const policy = { management: "Manage", adoption: "Never", drift: "Correct", mayCreate: true } as const;

async function converge(topic: ReturnType<typeof desired>, claim: TopicClaim): Promise<string[]> {
  const { actions } = planTopic(topic, await topics.observe(topic.name), claim, policy);
  for (const action of actions) await topics.apply(action);
  return actions.map(({ kind }) => kind);
}

async function produce(topic: string, records: { partition: number; timestamp?: bigint }[]): Promise<void> {
  const producer = new Producer({ clientId: "test", bootstrapBrokers: bootstrapServers });
  // One at a time: while one partition of a new topic is not ready, this producer sends the others again.
  for (const record of records) {
    await producer.send({ messages: [{ topic, value: Buffer.from("x"), ...record }], acks: -1 });
  }
  await producer.close();
}

describe("a topic on Kafka", () => {
  test("is made from nothing, and then nothing is left to do", async () => {
    const topic = desired({ config: { "segment.ms": "3600000" }, retention: { size: "1Gi" } });
    expect(await topics.observe(topic.name)).toBeUndefined();
    expect(await converge(topic, { intent: topic.name })).toEqual(["CreateTopic"]);
    const observed = await topics.observe(topic.name);
    expect(observed).toMatchObject({ partitions: 2, replicationFactor: 1 });
    expect(observed?.topicId).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    expect(await converge(topic, { topicId: observed?.topicId })).toEqual([]);
  });

  test("grows, and takes over changed keys, without touching others", async () => {
    const namespace = unique();
    const first = desired({ config: { "segment.ms": "3600000" } }, namespace);
    await converge(first, { intent: first.name });
    const topicId = (await topics.observe(first.name))?.topicId;
    const second = desired({ partitions: 4, retention: { time: "1h" }, config: { "segment.ms": null } }, namespace);
    expect(await converge(second, { topicId })).toEqual(["AddPartitions", "SetConfig"]);
    const observed = await topics.observe(first.name);
    expect(observed).toMatchObject({ topicId, partitions: 4 });
    expect(observed?.config).toMatchObject({ "retention.ms": "3600000", "segment.ms": "3600000" });
    expect(await converge(second, { topicId })).toEqual([]);
  });

  test("several grow at the same time, each to its own count", async () => {
    const namespaces = [unique(), unique(), unique()];
    await Promise.all(namespaces.map((namespace) => converge(desired({}, namespace), {})));
    await Promise.all(
      namespaces.map((namespace, index) => {
        const { name } = desired({}, namespace);
        return topics.apply({ kind: "AddPartitions", name, from: 2, to: 3 + index });
      }),
    );
    const counts = await Promise.all(namespaces.map((namespace) => topics.observe(desired({}, namespace).name)));
    expect(counts.map((found) => found?.partitions)).toEqual([3, 4, 5]);
  });

  test("made by somebody else between look and act is a conflict, not a success", async () => {
    const topic = desired();
    await topics.apply({ kind: "CreateTopic", topic });
    await expect(topics.apply({ kind: "CreateTopic", topic })).rejects.toMatchObject({
      name: "StalledError",
      reason: "TopicConflict",
    });
  });

  test("that Kafka cannot tell from another is refused by Kafka, and we say so", async () => {
    const namespace = unique();
    await topics.apply({ kind: "CreateTopic", topic: desired({ topicName: `${namespace}.a.b` }, namespace) });
    const colliding = desired({ topicName: `${namespace}.a_b` }, namespace);
    await expect(topics.apply({ kind: "CreateTopic", topic: colliding })).rejects.toMatchObject({
      name: "StalledError",
      reason: "InvalidTopicConfig",
      message: expect.stringContaining("collide"),
    });
  });

  test.each([
    ["an unknown key", { "no.such.key": "1" }],
    ["a value of the wrong kind", { "segment.ms": "soon" }],
  ])("with %s is refused when made and when changed", async (_, config) => {
    const topic = desired();
    await expect(topics.apply({ kind: "CreateTopic", topic: { ...topic, config } })).rejects.toMatchObject({
      reason: "InvalidTopicConfig",
    });
    await topics.apply({ kind: "CreateTopic", topic });
    await expect(topics.apply({ kind: "SetConfig", name: topic.name, set: config })).rejects.toMatchObject({
      reason: "InvalidTopicConfig",
    });
  });

  test("with more replicas than there are brokers waits for brokers", async () => {
    const topic = { ...desired(), replicationFactor: 3 };
    await expect(topics.apply({ kind: "CreateTopic", topic })).rejects.toMatchObject({ name: "WaitingError" });
  });

  test("whose value Kafka keeps in another spelling is refused, or it would be written for ever", async () => {
    const topic = desired();
    await topics.apply({ kind: "CreateTopic", topic });
    const setting = topics.apply({ kind: "SetConfig", name: topic.name, set: { "segment.ms": "0003600000" } });
    await setting.then(
      async () => expect((await topics.observe(topic.name))?.config["segment.ms"]).toBe("0003600000"),
      (error) => expect(error).toMatchObject({ reason: "InvalidTopicConfig" }),
    );
  });

  test("is deleted only under the id that is ours", async () => {
    const topic = desired();
    await topics.apply({ kind: "CreateTopic", topic });
    const found = await topics.observe(topic.name);
    await topics.delete({ name: topic.name, topicId: "00000000-0000-0000-0000-000000000001" });
    expect(await topics.observe(topic.name)).toEqual(found);
    const ref = { name: topic.name, topicId: found?.topicId ?? "" };
    await topics.delete(ref);
    expect(await topics.observe(topic.name)).toBeUndefined();
    await topics.delete(ref);
  });
});

describe("offsets", () => {
  test("tell where a topic begins and ends, and since when it has records", async () => {
    const topic = desired();
    await topics.apply({ kind: "CreateTopic", topic });
    const none = new Map([
      [0, 0n],
      [1, 0n],
    ]);
    // A broker knows a new topic before it leads its partitions; who asks is told to ask again.
    const ends = () => topics.endOffsets(topic.name).catch((error: unknown) => error);
    await expect.poll(ends, { timeout: 10_000 }).toEqual(none);
    expect(await topics.earliestRecordTime(topic.name)).toBeUndefined();

    const before = Date.now();
    // The producer's own time must not matter.
    await produce(topic.name, [{ partition: 0, timestamp: 1_546_300_800_000n }, { partition: 0 }, { partition: 1 }]);
    expect(await topics.endOffsets(topic.name)).toEqual(
      new Map([
        [0, 2n],
        [1, 1n],
      ]),
    );
    expect(await topics.startOffsets(topic.name)).toEqual(
      new Map([
        [0, 0n],
        [1, 0n],
      ]),
    );
    const oldest = await topics.earliestRecordTime(topic.name);
    expect(oldest).toBeGreaterThanOrEqual(before - 1_000);
    expect(oldest).toBeLessThanOrEqual(Date.now() + 1_000);
  });

  test("of a topic that is not there are none", async () => {
    const name = `${unique()}.gone`;
    expect(await topics.endOffsets(name)).toEqual(new Map());
    expect(await topics.startOffsets(name)).toEqual(new Map());
    expect(await topics.earliestRecordTime(name)).toBeUndefined();
  });
});

test("brokers that do not answer are waited for", async () => {
  const nowhere = connectKafka();
  const { topics: unreachable } = nowhere.to({ name: "nowhere", bootstrapServers: ["127.0.0.1:1"] });
  await expect(unreachable.observe("a.b")).rejects.toMatchObject({ name: "WaitingError", reason: "KafkaUnreachable" });
  await nowhere.close();
});
