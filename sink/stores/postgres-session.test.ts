import type { AddressInfo } from "node:net";
import { createServer, type Server } from "node:net";
import { afterEach, expect, test } from "vitest";
import { Session } from "./postgres-session.ts";

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

/** Lets everybody in and never says anything again: stopped, half-open, a pooler that is stuck. */
async function silentServer(): Promise<number> {
  const authenticationOk = [0x52, 0, 0, 0, 8, 0, 0, 0, 0];
  const readyForQuery = [0x5a, 0, 0, 0, 5, 0x49];
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", () => socket.write(Buffer.from([...authenticationOk, ...readyForQuery])));
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

test.for(["preparing", "working"])("a server that goes silent while we are %s is given up in time", async (when) => {
  const port = await silentServer();
  const session = new Session({
    config: {
      host: "127.0.0.1",
      port,
      database: "d",
      schema: "audit",
      user: "u",
      password: "p",
      sslMode: "Disable",
    },
    applicationName: "audit-sink/test",
    timeoutMs: 300,
    ...(when === "preparing" && { onConnect: (client) => client.query("SELECT 1").then(() => undefined) }),
  });
  const error = await session.run((client) => client.query("SELECT 2")).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({
    kind: "Infrastructure",
    message: "No answer from PostgreSQL within 300 ms",
    isTimeout: true,
  });
  await session.close();
});
