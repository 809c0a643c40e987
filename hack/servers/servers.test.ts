import { fork } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Admin } from "@platformatic/kafka";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { sharedServers } from "../../test/support/servers.ts";
import { type Kafka, startKafka } from "./kafka.ts";
import { type Login, type Postgres, startPostgres } from "./postgres.ts";
import { identify, isRunning, waitForEnd } from "./process.ts";
import { records, stateFolder } from "./registry.ts";

interface Address {
  host: string;
  port: number;
}

describe("the shared servers", () => {
  test.for([15, 18] as const)("PostgreSQL %i gives the admin CREATEDB and CREATEROLE, not superuser", async (major) => {
    const server = sharedServers()[`postgres${major}`];
    const [row] = await query(
      server,
      server.admin,
      `select rolsuper, rolcreatedb, rolcreaterole, current_setting('server_version_num')::int / 10000 as major
         from pg_roles where rolname = current_user`,
    );
    expect(row).toEqual({ rolsuper: false, rolcreatedb: true, rolcreaterole: true, major });
  });

  test("PostgreSQL refuses a wrong password", async () => {
    const server = sharedServers().postgres18;
    await expect(query(server, { user: "postgres", password: "wrong" }, "select 1")).rejects.toThrow(
      expect.objectContaining({ code: "28P01" }),
    );
  });

  test("Kafka creates a topic", async () => {
    expect(await createTopic(sharedServers().kafka.bootstrapServers, "servers-test")).toBe(2);
  });
});

describe("a PostgreSQL of one's own", () => {
  let server: Postgres;
  beforeAll(async () => {
    server = await startPostgres({ major: 18, dir: ownFolder("postgres"), settings: { log_statement: "mod" } });
  });
  afterAll(() => server.remove());

  test("flushes what it commits, and logs writes when asked to", async () => {
    await query(server, server.superuser, "create table kept (x int)");
    await query(server, server.superuser, "insert into kept values (1)");
    expect(await query(server, server.superuser, "show fsync")).toEqual([{ fsync: "on" }]);
    expect(readFileSync(server.logFile, "utf8")).toContain("insert into kept values (1)");
  });

  test("a kill ends it with its sessions; a restart has the same port and the committed rows", async () => {
    const { pid, port } = server;
    const session = query(server, server.superuser, "select pg_sleep(600)");
    const cut = expect(session).rejects.toThrow();
    await server.kill();
    await cut;
    expect(identify(pid)).toBeUndefined();

    await server.restart();
    expect(server.port).toBe(port);
    expect(server.pid).not.toBe(pid);
    expect(await query(server, server.superuser, "select x from kept")).toEqual([{ x: 1 }]);
  });

  test("stopping twice succeeds", async () => {
    await server.stop();
    await server.stop();
    expect(identify(server.pid)).toBeUndefined();
  });
});

describe("a Kafka of one's own", () => {
  let kafka: Kafka;
  beforeAll(async () => {
    kafka = await startKafka({ dir: ownFolder("kafka") });
  });
  afterAll(() => kafka.remove());

  test("comes back after a kill with its topics, on the same port", async () => {
    const { pid, bootstrapServers } = kafka;
    await createTopic([bootstrapServers], "kept");
    await kafka.kill();
    expect(identify(pid)).toBeUndefined();

    await kafka.restart();
    expect(kafka.bootstrapServers).toBe(bootstrapServers);
    const admin = new Admin({ clientId: "servers-test", bootstrapBrokers: [bootstrapServers] });
    expect(await admin.listTopics()).toContain("kept");
    await admin.close();
  });
});

describe("what is left when the process that started a server is killed", () => {
  test("the server ends too, and the next start removes its data", async () => {
    const folder = ownFolder("orphan");
    const parent = fork(join(import.meta.dirname, "start-postgres.ts"), [folder], { execArgv: [] });
    const [{ pid, data }] = (await once(parent, "message")) as [{ pid: number; data: string }];
    const server = identify(pid);
    if (server === undefined) throw new Error("The server is not running");
    expect(isRunning(server)).toBe(true);

    parent.kill("SIGKILL");
    expect(await waitForEnd(server, 10_000)).toBe(true);
    expect(existsSync(data)).toBe(true);

    const other = await startPostgres({ major: 18, dir: ownFolder("next") });
    await other.remove();
    expect(existsSync(data)).toBe(false);
    expect(existsSync(join(folder, "data"))).toBe(false);
    expect(records().map((record) => record.process.pid)).not.toContain(pid);
  });
});

function ownFolder(name: string): string {
  mkdirSync(stateFolder, { recursive: true });
  return mkdtempSync(join(stateFolder, `${name}-`));
}

async function query({ host, port }: Address, login: Login, sql: string): Promise<unknown[]> {
  const client = new pg.Client({ host, port, ...login, database: "postgres" });
  // A killed server also ends the connection outside any query.
  client.on("error", () => undefined);
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function createTopic(bootstrapBrokers: string[], name: string): Promise<number | undefined> {
  const admin = new Admin({ clientId: "servers-test", bootstrapBrokers });
  const [topic] = await admin.createTopics({ topics: [name], partitions: 2 });
  await admin.close();
  return topic?.partitions;
}
