import { afterAll, describe, expect, test } from "vitest";
import { asLogin, asSuperuser, ledgerFixture, uniqueNamespace } from "../../test/support/ledger.ts";
import { sharedServers } from "../../test/support/servers.ts";
import { markerText } from "../plan/postgres-ownership.ts";
import { connectPostgres } from "./connect-postgres.ts";
import { identifier, literal } from "./quote.ts";

const connections = connectPostgres();
afterAll(() => connections.close());

const RETAIN = { database: "Retain", roles: "Delete", mayDestroy: false } as const;
const DELETE = { database: "Delete", roles: "Delete", mayDestroy: true } as const;

describe.each(["postgres15", "postgres18"] as const)("a ledger on %s, as a CREATEDB CREATEROLE admin", (major) => {
  const pg = sharedServers()[major];
  const fixture = (over: Omit<Parameters<typeof ledgerFixture>[0], "pg" | "connections"> = {}) =>
    ledgerFixture({ pg, connections, ...over });
  const rolesOf = (namespace: string) =>
    asSuperuser(pg, "postgres", async (client) => {
      const { rows } = await client.query("SELECT rolname FROM pg_roles WHERE starts_with(rolname, $1) ORDER BY 1", [
        namespace,
      ]);
      return rows.map(({ rolname }) => rolname);
    });

  test("is made from nothing, and then nothing is left to do", async () => {
    const ledger = fixture();
    const done = await ledger.converge();
    expect(done).toContain("CreateDatabase");
    expect(await ledger.plan()).toEqual({ actions: [], refusals: [] });
    expect((await ledger.access.observe()).months).toEqual(ledger.desired.months);
  });

  test("passes its own permission probe, under a key that follows the passwords", async () => {
    const ledger = fixture();
    await ledger.converge();
    const result = await ledger.access.probe();
    expect(result).toEqual({ ok: true, failures: [], rejected: [], key: ledger.access.probeKey() });
    expect(fixture({ namespace: ledger.identity.namespace }).access.probeKey()).not.toBe(result.key);
  });
});
