import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { asSuperuser, backendFor, ledgerFixture } from "../../test/support/ledger.ts";
import { sharedServers } from "../../test/support/servers.ts";
import { type TcpProxy, tcpProxy } from "../../test/support/tcp-proxy.ts";
import { connectPostgres, type PostgresConnections } from "./connect-postgres.ts";
import { fromPostgres } from "./postgres-errors.ts";

/** A connection that ends in mid-query: the call fails, and nothing else does. */
const pg = sharedServers().postgres18;
const connections = connectPostgres();
let proxy: TcpProxy;
beforeAll(async () => {
  proxy = await tcpProxy(pg);
});
afterAll(async () => {
  await connections.close();
  await proxy.close();
});

/** What would have ended the process. */
const uncaught: unknown[] = [];
const collect = (error: unknown) => uncaught.push(error);
beforeAll(() => void process.on("uncaughtException", collect));
afterAll(() => void process.off("uncaughtException", collect));
afterEach(() => {
  expect(uncaught.splice(0)).toEqual([]);
});

type Session = Parameters<Parameters<PostgresConnections["admin"]>[2]>[0];
const ways: { name: string; session<T>(work: (client: Session) => Promise<T>): Promise<T> }[] = [
  {
    name: "a pooled session",
    session: (work) => connections.admin(backendFor(pg, { name: "proxied", port: proxy.port }), "postgres", work),
  },
  {
    name: "a login's session",
    session: (work) => connections.login(backendFor(pg, { port: proxy.port }), "postgres", pg.admin, work),
  },
];

/** Lets a late `error` event come. */
const aWhile = () => new Promise((resolve) => setTimeout(resolve, 100));

describe.each(ways)("$name", ({ session }) => {
  test.for(["in mid-query", "between two queries"])("that is cut %s fails its own call alone", async (when) => {
    const cut = session(async (client) => {
      await client.query("SELECT 1");
      const asleep = when === "in mid-query" ? client.query("SELECT pg_sleep(20)") : Promise.resolve();
      setTimeout(() => proxy.cut(), 200);
      await Promise.all([asleep, when === "in mid-query" ? undefined : new Promise((r) => setTimeout(r, 500))]);
      return client.query("SELECT 1");
    });
    await expect(cut.catch((error: unknown) => fromPostgres(error, "Asking"))).rejects.toMatchObject({
      name: "WaitingError",
      reason: "PostgresUnreachable",
    });
    await aWhile();
    await session((client) => client.query("SELECT 1"));
  });

  test("that the server ends in mid-query fails its own call alone", async () => {
    const ended = session(async (client) => {
      const { rows } = await client.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
      const asleep = client.query("SELECT pg_sleep(20)");
      await Promise.all([
        asleep,
        asSuperuser(pg, "postgres", (other) => other.query("SELECT pg_terminate_backend($1)", [rows[0]?.pid])),
      ]);
    });
    await expect(ended.catch((error: unknown) => fromPostgres(error, "Asking"))).rejects.toMatchObject({
      name: "WaitingError",
      reason: "PostgresUnreachable",
    });
    await aWhile();
  });
});

test("a look at a ledger survives its sessions being ended", async () => {
  const ledger = ledgerFixture({ pg, connections });
  await ledger.converge();
  const { database } = ledger.names;
  const endAll = () =>
    asSuperuser(pg, "postgres", (client) =>
      client.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", [database]),
    );
  let ends = true;
  const ending = (async () => {
    while (ends) await endAll();
  })();
  const failures: unknown[] = [];
  for (let looks = 0; looks < 300 && failures.length < 5; looks++) {
    await ledger.access.observe().catch((error: unknown) => failures.push(error));
  }
  ends = false;
  await ending;
  expect(failures).toHaveLength(5);
  for (const failure of failures) expect(failure).toMatchObject({ reason: "PostgresUnreachable" });
  await aWhile();
  expect((await ledger.plan()).actions).toEqual([]);
});
