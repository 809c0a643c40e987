import { randomBytes } from "node:crypto";
import { Admin, Consumer } from "@platformatic/kafka";
import { afterAll, describe, expect, test } from "vitest";
import { sharedServers } from "../../test/support/servers.ts";
import { connectKafka } from "./connect-kafka.ts";

const { bootstrapServers } = sharedServers().kafka;
const connections = connectKafka();
const admin = new Admin({ clientId: "test", bootstrapBrokers: bootstrapServers, retries: 10, retryDelay: 500 });
afterAll(() => Promise.all([connections.close(), admin.close()]));
const { topics, groups } = connections.to({ name: "shared", bootstrapServers });

const unique = () => `t-${randomBytes(5).toString("hex")}`;

describe("a consumer group", () => {
  test("that never was has no offsets, and deleting it is done", async () => {
    const group = `audit-pipeline.${unique()}.p.s`;
    expect(await groups.committedOffsets(group, "any")).toEqual(new Map());
    await groups.delete(group);
  });

  test("has the offsets it committed, of the topic asked for, until it is deleted", async () => {
    const group = `audit-pipeline.${unique()}.p.s`;
    const names = [`${unique()}.a`, `${unique()}.b`];
    for (const name of names) {
      const topic = { name, partitions: 2, replicationFactor: 1, config: {} };
      await topics.apply({ kind: "CreateTopic", topic });
    }
    await admin.alterConsumerGroupOffsets({
      groupId: group,
      topics: names.map((name) => ({ name, partitionOffsets: [{ partition: 1, offset: 41n }] })),
    });
    expect(await groups.committedOffsets(group, names[0] ?? "")).toEqual(new Map([[1, 41n]]));
    await groups.delete(group);
    expect(await groups.committedOffsets(group, names[0] ?? "")).toEqual(new Map());
    await groups.delete(group);
  });

  test("with members is waited for", async () => {
    const group = `audit-pipeline.${unique()}.p.s`;
    const topic = { name: `${unique()}.a`, partitions: 1, replicationFactor: 1, config: {} };
    await topics.apply({ kind: "CreateTopic", topic });
    const consumer = new Consumer({ clientId: "test", groupId: group, bootstrapBrokers: bootstrapServers });
    const stream = await consumer.consume({ topics: [topic.name], autocommit: false });
    await expect(groups.delete(group)).rejects.toMatchObject({ name: "WaitingError", reason: "GroupNotEmpty" });
    await stream.close();
    await consumer.close();
    await groups.delete(group);
  });
});
