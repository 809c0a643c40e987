import { randomUUID } from "node:crypto";
import { createServer, type Server, connect as tcpConnect } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { sharedServers } from "../../test/support/servers.ts";
import { connectKafka } from "./connect-kafka.ts";
import type { KafkaServer } from "./kafka-link.ts";

/** The broker calls itself 127.0.0.1; what leads to it stands at 127.0.2.1. */
const { bootstrapServers } = sharedServers().kafka;
const connections = connectKafka();
let door: Server;
beforeAll(async () => {
  const [address = ""] = bootstrapServers;
  const colon = address.lastIndexOf(":");
  door = createServer((client) => {
    const upstream = tcpConnect(Number(address.slice(colon + 1)), address.slice(0, colon));
    for (const socket of [client, upstream]) socket.on("error", () => client.destroy());
    client.pipe(upstream).pipe(client);
  });
  await new Promise<void>((done) => void door.listen(0, "127.0.2.1", done));
});
afterAll(async () => {
  await connections.close();
  door.close();
});

function topics(...allowedCidrs: string[]) {
  const { port } = door.address() as { port: number };
  const inline = { id: JSON.stringify(allowedCidrs), allowedCidrs, read: async () => ({}) };
  const server: KafkaServer = { name: "inline", bootstrapServers: [`127.0.2.1:${port}`], inline };
  return connections.to(server).topics;
}

test("an address that a broker names is judged like one of the resource's own", async () => {
  const name = `addresses-${randomUUID()}`;
  const here = { name, partitions: 1, replicationFactor: 1, config: {} };
  await topics("127.0.2.1/32").apply({ kind: "CreateTopic", topic: here });
  await expect(topics("127.0.2.1/32").endOffsets(name)).rejects.toMatchObject({ reason: "AddressNotAllowed" });
  await expect(topics().endOffsets(name)).rejects.toMatchObject({ reason: "AddressNotAllowed" });
  expect((await topics("127.0.0.0/8").endOffsets(name)).get(0)).toBe(0n);
});
