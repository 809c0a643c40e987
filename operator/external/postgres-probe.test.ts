import { afterAll, describe, expect, test } from "vitest";
import { asSuperuser, type LedgerFixture, ledgerFixture } from "../../test/support/ledger.ts";
import { sharedServers } from "../../test/support/servers.ts";
import { connectPostgres } from "./connect-postgres.ts";
import { identifier } from "./quote.ts";

const connections = connectPostgres();
afterAll(() => connections.close());

describe.each(["postgres15", "postgres18"] as const)("the permission probe on %s", (major) => {
  const pg = sharedServers()[major];
  const ready = async (): Promise<LedgerFixture> => {
    const ledger = ledgerFixture({ pg, connections });
    await ledger.converge();
    return ledger;
  };

  test("passes where everything is as planned, under a key that follows the passwords", async () => {
    const ledger = await ready();
    const result = await ledger.access.probe();
    expect(result).toEqual({ ok: true, failures: [], rejected: [], key: ledger.access.probeKey() });
    const { namespace } = ledger.identity;
    expect(ledgerFixture({ pg, connections, namespace }).access.probeKey()).not.toBe(result.key);
  });

  const tables = ["events", "event_ids", "conflicts", "skipped", "progress"] as const;
  const writerMustNot = tables.flatMap((table) =>
    ["DELETE", "TRUNCATE", ...(table === "progress" ? [] : ["UPDATE"])].map((privilege) => ({ privilege, table })),
  );

  test("finds every privilege too many, one at a time", async () => {
    const { names, access } = await ready();
    const [schema, writer, reader] = [names.schema, names.writer, names.reader].map(identifier);
    const tooMany = [
      ...writerMustNot.map(({ privilege, table }) => ({ privilege, on: `${schema}.${table}`, to: writer })),
      ...["INSERT", "UPDATE", "DELETE", "TRUNCATE"].map((privilege) => ({
        privilege,
        on: `${schema}.events`,
        to: reader,
      })),
      { privilege: "CREATE", on: `SCHEMA ${schema}`, to: writer },
      { privilege: "CREATE", on: `DATABASE ${identifier(names.database)}`, to: reader },
    ];
    await asSuperuser(pg, names.database, async (client) => {
      for (const { privilege, on, to } of tooMany) {
        await client.query(`GRANT ${privilege} ON ${on} TO ${to}`);
        const { ok, failures } = await access.probe();
        expect({ ok, failures: failures.length }, `${privilege} on ${on} to ${to}`).toEqual({ ok: false, failures: 1 });
        await client.query(`REVOKE ${privilege} ON ${on} FROM ${to}`);
      }
    });
    expect(await access.probe()).toMatchObject({ ok: true });
  });

  test("finds every privilege too few, one at a time", async () => {
    const { names, access } = await ready();
    const [schema, writer, reader] = [names.schema, names.writer, names.reader].map(identifier);
    const tooFew = [
      ...tables.map((table) => ({ privilege: "INSERT", on: `${schema}.${table}`, from: writer })),
      ...tables.map((table) => ({ privilege: "SELECT", on: `${schema}.${table}`, from: writer })),
      { privilege: "UPDATE", on: `${schema}.progress`, from: writer },
      { privilege: "USAGE", on: `SCHEMA ${schema}`, from: writer },
      { privilege: "TEMPORARY", on: `DATABASE ${identifier(names.database)}`, from: writer },
      { privilege: "SELECT", on: `${schema}.audit_events`, from: reader },
    ];
    await asSuperuser(pg, names.database, async (client) => {
      for (const { privilege, on, from } of tooFew) {
        await client.query(`REVOKE ${privilege} ON ${on} FROM ${from}`);
        expect((await access.probe()).ok, `${privilege} on ${on} from ${from}`).toBe(false);
        await client.query(`GRANT ${privilege} ON ${on} TO ${from}`);
      }
    });
    expect(await access.probe()).toMatchObject({ ok: true });
  });

  test("tells a password the server does not take, which the next plan sets again", async () => {
    const ledger = await ready();
    await asSuperuser(pg, "postgres", (client) =>
      client.query(`ALTER ROLE ${identifier(ledger.names.writer)} PASSWORD 'changed by hand'`),
    );
    const { ok, rejected, failures } = await ledger.access.probe();
    expect({ ok, rejected }).toEqual({ ok: false, rejected: ["writer"] });
    expect(failures.join()).not.toContain(ledger.passwords.writer);
    expect((await ledger.plan()).actions).toEqual([]);
    expect(await ledger.converge({ rejected })).toEqual(["SetVerifier"]);
    expect(await ledger.access.probe()).toMatchObject({ ok: true });
  });

  test("does not take a login that the server forbids for a wrong password", async () => {
    const ledger = await ready();
    await asSuperuser(pg, "postgres", (client) =>
      client.query(`ALTER ROLE ${identifier(ledger.names.writer)} NOLOGIN`),
    );
    await expect(ledger.access.probe()).rejects.toMatchObject({
      name: "WaitingError",
      reason: "PostgresUnauthorized",
      requeueAfterMs: 30_000,
      message: expect.stringMatching(/Logging in as role .*is not permitted to log in \(SQLSTATE 28000\)/),
    });
  });

  test("waits for a table that somebody has locked", async () => {
    const { names, access } = await ready();
    await asSuperuser(pg, names.database, async (client) => {
      await client.query("BEGIN");
      await client.query(`LOCK TABLE ${identifier(names.schema)}.events IN ACCESS EXCLUSIVE MODE`);
      await expect(access.probe()).rejects.toMatchObject({ name: "WaitingError", reason: "ObjectBusy" });
      await client.query("ROLLBACK");
    });
    expect(await access.probe()).toMatchObject({ ok: true });
  });

  test("leaves nothing behind, neither rows nor tables", async () => {
    const ledger = await ready();
    await ledger.access.probe();
    const left = await asSuperuser(pg, ledger.names.database, (client) =>
      client.query("SELECT relname FROM pg_class WHERE relname LIKE 'audit_pipeline_probe%'"),
    );
    expect(left.rows).toEqual([]);
    expect(await ledger.plan()).toEqual({ actions: [], refusals: [] });
  });
});
