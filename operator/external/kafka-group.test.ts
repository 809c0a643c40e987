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
  test("that never was is deleted already", async () => {
    await groups.delete(`audit-pipeline.${unique()}.p.s`);
  });

  test("is gone once it is deleted, and deleting it again is done", async () => {
    const group = `audit-pipeline.${unique()}.p.s`;
    const topic = { name: `${unique()}.a`, partitions: 2, replicationFactor: 1, config: {} };
    await topics.apply({ kind: "CreateTopic", topic });
    const partitionOffsets = [{ partition: 1, offset: 41n }];
    await admin.alterConsumerGroupOffsets({ groupId: group, topics: [{ name: topic.name, partitionOffsets }] });
    expect([...(await admin.listGroups()).keys()]).toContain(group);
    await groups.delete(group);
    expect([...(await admin.listGroups()).keys()]).not.toContain(group);
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
