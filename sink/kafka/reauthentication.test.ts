import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ClusterAdmin, clusterAdmin } from "../../test/support/kafka-users.ts";
import { type SharedSecuredKafka, securedKafka } from "../../test/support/secured-kafka.ts";
import { kafkaClient } from "./client.ts";

/** Brokers with `connections.max.reauth.ms` cut off who does not log in again in time. */
let broker: SharedSecuredKafka;
let cluster: ClusterAdmin;
beforeAll(async () => {
  broker = await securedKafka();
  cluster = clusterAdmin(broker.plaintext);
});
afterAll(async () => {
  await cluster.close();
  broker.remove();
});

/** Several lives of a login, which is good for three seconds. */
const LAST_MS = 8_000;
const openSockets = () => process.getActiveResourcesInfo().filter((kind) => kind === "TCPSocketWrap").length;

describe.concurrent.each(["platformatic", "kafkajs"] as const)("a login that has to be repeated, by %s", (name) => {
  test("costs neither the group nor a record, and no connection is left behind", async ({ expect: expectHere }) => {
    const topic = `reauth-${randomUUID()}`;
    await cluster.admin.createTopics({ topics: [topic], partitions: 1, replicas: 1 });
    const client = await kafkaClient(name);
    const { username, password } = broker.admin;
    const connection = {
      clientId: "test",
      bootstrapServers: [broker.reauthenticating],
      tls: { ca: readFileSync(broker.caFile, "utf8") },
      sasl: { mechanism: "SCRAM-SHA-512", username, password },
    } as const;
    const reader = client.createReader(connection, {
      ...{ topic, groupId: topic, sessionTimeoutMs: 10_000, rebalanceTimeoutMs: 10_000, heartbeatIntervalMs: 300 },
      ...{ maxBytesPerPartition: 1_000_000, maxBytes: 1_000_000 },
    });
    const writer = client.createWriter(connection);
    const lost: number[] = [];
    await reader.open();
    await reader.join({
      assigned: async () => reader.seek(0, 0n),
      revoked: async (partitions) => void lost.push(...partitions),
      lost: (partitions) => void lost.push(...partitions),
    });

    let [sent, read, most] = [0, 0, 0];
    const end = performance.now() + LAST_MS;
    while (performance.now() < end) {
      await writer.send([{ topic, partition: 0, key: null, value: Buffer.from(String(sent++)), headers: [] }]);
      for (const { records, nextPosition } of await reader.fetch(200)) {
        expectHere(records.map(({ value }) => value?.toString())).toEqual(records.map((_, at) => String(read + at)));
        read += records.length;
        await reader.commit(new Map([[0, nextPosition]])).catch(() => undefined);
      }
      most = Math.max(most, openSockets());
    }
    while (read < sent) for (const { records } of await reader.fetch(500)) read += records.length;
    await reader.leave();
    expectHere({ read, lost }).toEqual({ read: sent, lost: [] });
    expectHere(sent).toBeGreaterThan(10);
    await Promise.all([reader.close(), writer.close()]);
    // Two clients with half a dozen connections each, and the test's own.
    expect(most).toBeLessThan(25);
  }, 60_000);
});
