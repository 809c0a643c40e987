import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { sharedServers } from "../support/servers.ts";
import { MessageReader } from "./postgres-messages.ts";
import { type Proxy, startProxy } from "./postgres-proxy.ts";

const server = sharedServers().postgres18;
let proxy: Proxy;

beforeAll(async () => {
  proxy = await startProxy(server);
});
afterAll(() => proxy.close());

async function connectThroughProxy(): Promise<pg.Client> {
  const client = new pg.Client({ host: "127.0.0.1", port: proxy.port, ...server.superuser, database: "postgres" });
  client.on("error", () => undefined);
  await client.connect();
  return client;
}

test("messages are found whole wherever the stream is cut", () => {
  const message = (type: string, body: string) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(4 + body.length);
    return Buffer.concat([Buffer.from(type), length, Buffer.from(body)]);
  };
  const stream = Buffer.concat([message("", "start"), message("Q", "SELECT 1\0"), message("X", "")]);
  for (let cut = 0; cut <= stream.length; cut++) {
    const reader = new MessageReader("client");
    const found = [...reader.read(stream.subarray(0, cut)), ...reader.read(stream.subarray(cut))];
    expect(found.map(({ type }) => type)).toEqual(["", "Q", "X"]);
    expect(Buffer.concat(found.map(({ bytes }) => bytes))).toEqual(stream);
  }
});

test("a connection goes through unchanged while nothing is armed", async () => {
  const client = await connectThroughProxy();
  const { rows } = await client.query("SELECT repeat('x', 100000) AS long");
  expect(rows[0].long).toHaveLength(100_000);
  await client.end();
});

test("a lost answer to COMMIT leaves the transaction committed and the client with an error", async () => {
  const table = `proxy_test_${process.pid}`;
  const client = await connectThroughProxy();
  await client.query(`CREATE TABLE ${table} (n int)`);
  await client.query("BEGIN");
  await client.query(`INSERT INTO ${table} VALUES (1)`);
  const sprung = proxy.arm("CommitAnswerLost", () => undefined);
  await expect(client.query("COMMIT")).rejects.toThrow(/terminated|ECONNRESET/);
  await sprung;

  const other = await connectThroughProxy();
  expect((await other.query(`SELECT n FROM ${table}`)).rows).toEqual([{ n: 1 }]);
  await other.query(`DROP TABLE ${table}`);
  await other.end();
});
