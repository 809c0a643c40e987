import { afterAll, describe, expect, test } from "vitest";
import { asLogin, asSuperuser, ledgerFixture, uniqueNamespace } from "../../test/support/ledger.ts";
import { sharedServers } from "../../test/support/servers.ts";
import type { Ledger } from "../desired/postgres-ledger.ts";
import { type LedgerAction, planLedger } from "../plan/postgres-ledger.ts";
import { markerText } from "../plan/postgres-ownership.ts";
import { planTeardown } from "../plan/postgres-teardown.ts";
import { connectPostgres } from "./connect-postgres.ts";
import type { PostgresLedger } from "./postgres-ledger.ts";
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

  test("stopped after every single action and started again, ends the same", async () => {
    const ledger = fixture();
    const whole = (await ledger.plan()).actions.map(({ kind }) => kind);
    const steps: string[] = [];
    for (let [next] = (await ledger.plan()).actions; next !== undefined; [next] = (await ledger.plan()).actions) {
      await ledger.access.apply(next);
      steps.push(next.kind);
    }
    expect(steps).toEqual(whole);
    expect(await ledger.plan()).toEqual({ actions: [], refusals: [] });
    expect(await ledger.access.probe()).toMatchObject({ ok: true });
  });

  test("does every action twice without harm", async () => {
    const ledger = fixture();
    const creates = new Set(["CreateOwnerRole", "CreateLoginRole", "CreateDatabase", "CreateSchema", "AttachMonth"]);
    for (const action of (await ledger.plan()).actions) {
      await ledger.access.apply(action);
      if (!creates.has(action.kind)) await ledger.access.apply(action);
    }
    expect(await ledger.plan()).toEqual({ actions: [], refusals: [] });
  });

  test("never takes a role that somebody else made", async () => {
    const ledger = fixture();
    await asSuperuser(pg, "postgres", (client) => client.query(`CREATE ROLE ${identifier(ledger.names.writer)}`));
    expect((await ledger.plan()).refusals.map(({ reason }) => reason)).toEqual(["RoleConflict"]);
    expect(await ledger.converge()).toEqual([]);
  });

  test("does not take 42710 for success: a role made between look and act is a conflict", async () => {
    const ledger = fixture();
    const { actions } = await ledger.plan();
    await asSuperuser(pg, "postgres", (client) => client.query(`CREATE ROLE ${identifier(ledger.names.owner)}`));
    const [create] = actions;
    expect(create?.kind).toBe("CreateOwnerRole");
    if (create) await expect(ledger.access.apply(create)).rejects.toMatchObject({ name: "WaitingError" });
    expect((await ledger.plan()).refusals[0]?.reason).toBe("RoleConflict");
  });

  test("never takes another pipeline's roles or database, though the names are the same", async () => {
    const first = fixture();
    await first.converge();
    const { namespace } = first.identity;
    const second = fixture({ namespace, name: "other", database: first.names.database });
    const refusals = (await second.plan()).refusals;
    expect(new Set(refusals.map(({ reason }) => reason))).toEqual(new Set(["RoleConflict", "DatabaseConflict"]));
    expect(refusals[0]?.message).toContain(`${namespace}/payments`);
    // Another schema means other roles; the database is still not theirs to enter.
    const third = fixture({ namespace, name: "other", database: first.names.database, schema: "theirs" });
    expect((await third.plan()).refusals.map(({ reason }) => reason)).toEqual(["DatabaseConflict"]);
    expect((await third.access.observe()).schema).toBeUndefined();
  });

  test("never takes an unmarked database that merely has the default name", async () => {
    const ledger = fixture();
    await asSuperuser(pg, "postgres", (client) => client.query(`CREATE DATABASE ${identifier(ledger.names.database)}`));
    expect((await ledger.plan()).refusals.map(({ reason }) => reason)).toEqual(["DatabaseConflict"]);
    expect(await ledger.converge()).toEqual([]);
    expect(await rolesOf(ledger.identity.namespace)).toEqual([]);
  });

  test("in a database of the platform owns one schema, and closes nothing else", async () => {
    const namespace = uniqueNamespace();
    const database = `${namespace}_platform`;
    await asSuperuser(pg, "postgres", async (client) => {
      await client.query(`CREATE DATABASE ${identifier(database)}`);
      await client.query(`GRANT CREATE ON DATABASE ${identifier(database)} TO ${identifier(pg.admin.user)}`);
    });
    const ledger = fixture({ namespace, database, schema: "trail" });
    const done = await ledger.converge();
    expect(done).not.toContain("CreateDatabase");
    expect(await ledger.plan()).toEqual({ actions: [], refusals: [] });
    expect(await ledger.access.probe()).toMatchObject({ ok: true, failures: [] });

    await ledger.teardown(DELETE);
    const left = await asSuperuser(pg, database, (client) =>
      client.query("SELECT nspname FROM pg_namespace WHERE nspname = 'trail'"),
    );
    expect(left.rowCount).toBe(0);
    expect(await rolesOf(namespace)).toEqual([]);
  });

  test("says which GRANT the platform must run where its own database is closed", async () => {
    const namespace = uniqueNamespace();
    const database = `${namespace}_closed`;
    await asSuperuser(pg, "postgres", async (client) => {
      await client.query(`CREATE DATABASE ${identifier(database)}`);
      await client.query(`REVOKE ALL ON DATABASE ${identifier(database)} FROM PUBLIC`);
      await client.query(`GRANT CONNECT, CREATE ON DATABASE ${identifier(database)} TO ${identifier(pg.admin.user)}`);
    });
    const ledger = fixture({ namespace, database });
    await expect(ledger.converge()).rejects.toMatchObject({
      reason: "PermissionDenied",
      message: expect.stringMatching(/permission denied|GRANT CONNECT, TEMPORARY ON DATABASE/),
    });
  });

  test("refuses a schema that somebody else made in the platform's database", async () => {
    const namespace = uniqueNamespace();
    const database = `${namespace}_platform`;
    await asSuperuser(pg, "postgres", (client) => client.query(`CREATE DATABASE ${identifier(database)}`));
    await asSuperuser(pg, database, (client) => client.query("CREATE SCHEMA trail"));
    const ledger = fixture({ namespace, database, schema: "trail" });
    expect((await ledger.plan()).refusals.map(({ reason }) => reason)).toEqual(["SchemaConflict"]);
  });

  test("takes back every grant made by hand", async () => {
    const ledger = fixture();
    await ledger.converge();
    const { database, schema, writer, reader } = ledger.names;
    const on = identifier(schema);
    const stranger = identifier(`${ledger.identity.namespace}_stranger`);
    await asSuperuser(pg, database, async (client) => {
      await client.query(`CREATE ROLE ${stranger}`);
      await client.query(`GRANT DELETE ON ${on}.events TO ${identifier(writer)}`);
      await client.query(`GRANT UPDATE (raw) ON ${on}.events TO ${identifier(reader)}`);
      await client.query(`GRANT SELECT ON ${on}.skipped TO ${stranger} WITH GRANT OPTION`);
      await client.query(`GRANT SELECT ON ${on}.events_2026_11 TO PUBLIC`);
      await client.query(`GRANT CONNECT ON DATABASE ${identifier(database)} TO PUBLIC`);
      await client.query(`GRANT CREATE ON SCHEMA ${on} TO ${identifier(writer)}`);
    });
    const done = await ledger.converge();
    expect(done).toEqual(Array.from({ length: 6 }, () => "SetGrants"));
    expect(await ledger.plan()).toEqual({ actions: [], refusals: [] });
    expect(await ledger.access.probe()).toMatchObject({ ok: true });
  });

  test("gives back what was revoked, and a login that was taken", async () => {
    const ledger = fixture();
    await ledger.converge();
    const { database, schema, writer, owner } = ledger.names;
    await asSuperuser(pg, database, async (client) => {
      await client.query(`REVOKE INSERT ON ${identifier(schema)}.events FROM ${identifier(writer)}`);
      await client.query(`ALTER ROLE ${identifier(writer)} NOLOGIN`);
      await client.query(`ALTER ROLE ${identifier(writer)} RESET idle_in_transaction_session_timeout`);
      await client.query(`ALTER DEFAULT PRIVILEGES FOR ROLE ${identifier(owner)} IN SCHEMA ${identifier(schema)}
        REVOKE ALL ON TABLES FROM ${identifier(ledger.names.reader)}`);
    });
    expect((await ledger.converge()).sort()).toEqual(["SetGrants", "SetGrants", "SetLogin", "SetRoleSettings"]);
    expect(await ledger.plan()).toEqual({ actions: [], refusals: [] });
  });

  test("reports privileges that only a superuser can have given", async () => {
    const ledger = fixture();
    await ledger.converge();
    const { owner, writer } = ledger.names;
    await asSuperuser(pg, "postgres", (client) => client.query(`GRANT ${identifier(owner)} TO ${identifier(writer)}`));
    const { actions, refusals } = await ledger.plan();
    expect(actions).toEqual([]);
    expect(refusals.map(({ reason }) => reason)).toEqual(["UnexpectedPrivilege", "UnexpectedPrivilege"]);
    expect((await ledger.access.probe()).ok).toBe(false);
  });

  test("attaches a month while a sink is writing, and its reader sees it", async () => {
    const ledger = fixture();
    await ledger.converge();
    const { database, writer, reader } = ledger.names;
    const later = { ...ledger.desired, months: [...ledger.desired.months, { year: 2027, month: 1 }] };
    const login = { user: writer, password: ledger.passwords.writer };

    await asLogin(pg, login, database, async (sink) => {
      await sink.query("BEGIN");
      await sink.query(insertEvent("2026-11-15T00:00:00Z"));
      await converge(ledger.access, later);
      await sink.query("COMMIT");
      await sink.query(insertEvent("2027-01-31T23:59:59.999Z"));
    });
    const { rows } = await asLogin(pg, { user: reader, password: ledger.passwords.reader ?? "" }, database, (client) =>
      client.query("SELECT id FROM audit.events_2027_01"),
    );
    expect(rows).toHaveLength(1);
    expect((await ledger.access.observe()).months).toEqual(later.months);
  });

  test("gives up on a month rather than make sinks queue behind it, and says so", async () => {
    const ledger = fixture();
    await ledger.converge();
    const month = { kind: "AttachMonth", schema: "audit", month: { year: 2027, month: 1 } } as const;
    await asSuperuser(pg, ledger.names.database, async (client) => {
      await client.query("BEGIN");
      await client.query("LOCK TABLE audit.events IN ACCESS EXCLUSIVE MODE");
      await expect(ledger.access.apply(month)).rejects.toMatchObject({ name: "WaitingError", reason: "ObjectBusy" });
      await client.query("COMMIT");
    });
    await ledger.access.apply(month);
    expect((await ledger.access.observe()).months).toContainEqual(month.month);
  });

  test("answers a missing month with 23514 and no constraint name, which is how a sink knows it", async () => {
    const ledger = fixture();
    await ledger.converge();
    const login = { user: ledger.names.writer, password: ledger.passwords.writer };
    const writing = asLogin(pg, login, ledger.names.database, (sink) =>
      sink.query(insertEvent("2031-05-05T00:00:00Z")),
    );
    await expect(writing).rejects.toMatchObject({ code: "23514", constraint: undefined });
  });

  test("reads what the sinks have stored and which month they miss", async () => {
    const ledger = fixture();
    expect(await ledger.access.readProgress()).toEqual([]);
    await ledger.converge();
    const topicId = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";
    await asLogin(pg, { user: ledger.names.writer, password: ledger.passwords.writer }, ledger.names.database, (sink) =>
      sink.query(`INSERT INTO audit.progress (topic_id, partition, next_offset, epoch, chain, wanted_month)
        VALUES ('${topicId}', 3, 9007199254740993, 7, '', '2031-05-01'), ('${topicId}', 4, 0, 1, '', NULL)`),
    );
    expect(await ledger.access.readProgress()).toEqual([
      { topicId, partition: 3, nextOffset: 9007199254740993n, epoch: 7n, wantedMonth: { year: 2031, month: 5 } },
      { topicId, partition: 4, nextOffset: 0n, epoch: 1n, wantedMonth: undefined },
    ]);
  });

  test("retained, is taken back by the next resource of the name, with its rows", async () => {
    const first = fixture();
    await first.converge();
    const { namespace } = first.identity;
    await asLogin(pg, { user: first.names.writer, password: first.passwords.writer }, first.names.database, (sink) =>
      sink.query(insertEvent("2026-11-15T00:00:00Z")),
    );
    expect(await first.teardown(RETAIN)).toContain("MarkReleased");
    expect(await first.teardown(RETAIN)).toEqual([]);
    expect(await rolesOf(namespace)).toEqual([first.names.owner, first.names.reader]);

    const second = fixture({ namespace, uid: "uid-2" });
    const { actions, refusals } = await second.plan();
    expect(refusals).toEqual([]);
    expect(
      actions.filter(({ kind }) => kind === "TakeBack").map((action) => "object" in action && action.object),
    ).toEqual(["Role", "Role", "Database", "Schema"]);
    for (const action of actions) await second.access.apply(action);
    expect(await second.plan()).toEqual({ actions: [], refusals: [] });
    expect(await second.access.probe()).toMatchObject({ ok: true });
    const { rows } = await asLogin(
      pg,
      { user: second.names.reader, password: second.passwords.reader ?? "" },
      second.names.database,
      (client) => client.query("SELECT id FROM audit.events"),
    );
    expect(rows).toHaveLength(1);
  });

  test("is not taken from a live owner by a resource of the same name with another uid", async () => {
    const first = fixture();
    await first.converge();
    const second = fixture({ namespace: first.identity.namespace, uid: "uid-2" });
    const login = { user: first.names.writer, password: first.passwords.writer };
    await asLogin(pg, login, first.names.database, async () => {
      expect((await second.plan()).refusals[0]?.reason).toBe("ObjectBusy");
    });
    expect(await second.teardown(DELETE)).toEqual([]);
    expect(await first.plan()).toEqual({ actions: [], refusals: [] });
  });

  test("looks once more at whose it is before it drops anything", async () => {
    const first = fixture();
    await first.converge();
    const { namespace } = first.identity;
    const second = fixture({ namespace, name: "other", database: first.names.database });
    const { database, schema, owner, writer } = first.names;
    const drops: LedgerAction[] = [
      { kind: "DropLogin", role: writer },
      { kind: "DropRole", role: owner },
      { kind: "DropDatabase", database },
      { kind: "DropSchema", schema },
    ];
    for (const drop of drops) {
      await expect(second.access.apply(drop), drop.kind).rejects.toMatchObject({
        name: "StalledError",
        reason: "RoleConflict",
      });
    }
    expect(await first.plan()).toEqual({ actions: [], refusals: [] });

    await asSuperuser(pg, "postgres", (client) =>
      client.query(`ALTER DATABASE ${identifier(database)} OWNER TO ${identifier(pg.superuser.user)}`),
    );
    await expect(first.access.apply({ kind: "DropDatabase", database })).rejects.toMatchObject({
      reason: "DatabaseConflict",
    });
  });

  test("reads no progress from a table or view that somebody else put there", async () => {
    const ledger = fixture();
    await asSuperuser(pg, "postgres", (client) => client.query(`CREATE DATABASE ${identifier(ledger.names.database)}`));
    await asSuperuser(pg, ledger.names.database, async (client) => {
      await client.query("CREATE SCHEMA audit");
      await client.query("CREATE VIEW audit.progress AS SELECT 1 / 0 AS topic_id");
      await client.query("GRANT USAGE ON SCHEMA audit TO PUBLIC");
      await client.query("GRANT SELECT ON audit.progress TO PUBLIC");
    });
    expect(await ledger.access.readProgress()).toEqual([]);
    await asSuperuser(pg, "postgres", (client) =>
      client.query(`REVOKE ALL ON DATABASE ${identifier(ledger.names.database)} FROM PUBLIC`),
    );
    await connections.close();
    expect(await ledger.access.readProgress()).toEqual([]);
  });

  test("a deletion nobody confirmed keeps the data", async () => {
    const ledger = fixture();
    await ledger.converge();
    expect(await ledger.teardown({ ...DELETE, mayDestroy: false })).not.toContain("DropDatabase");
    expect((await ledger.access.observe()).database).toBeDefined();
  });

  test("deleted, leaves nothing, though its logins are in the middle of something", async () => {
    const ledger = fixture();
    await ledger.converge();
    const login = { user: ledger.names.writer, password: ledger.passwords.writer };
    await asLogin(pg, login, ledger.names.database, async (sink) => {
      sink.on("error", () => undefined);
      await sink.query("BEGIN");
      await sink.query(insertEvent("2026-11-15T00:00:00Z"));
      await ledger.teardown(DELETE);
    });
    expect(await rolesOf(ledger.identity.namespace)).toEqual([]);
    expect((await ledger.access.observe()).database).toBeUndefined();
    expect(await ledger.teardown(DELETE)).toEqual([]);
  });

  test.each([["Retain", RETAIN] as const, ["Delete", DELETE] as const])(
    "a teardown with %s, stopped after every single action and started again, ends the same",
    async (_, policy) => {
      const ledger = fixture();
      await ledger.converge();
      const plan = async () => planTeardown(ledger.names, ledger.identity, await ledger.access.observe(), policy);
      const { items } = await plan();
      for (let [next] = (await plan()).actions; next !== undefined; [next] = (await plan()).actions) {
        await ledger.access.apply(next);
        // The receipt says the same, however often it was interrupted.
        expect((await plan()).items).toEqual(items);
      }
      expect(await rolesOf(ledger.identity.namespace)).toEqual(
        policy === DELETE ? [] : [ledger.names.owner, ledger.names.reader],
      );
    },
  );

  test("sees a table that was changed by hand, and says what", async () => {
    const ledger = fixture();
    await ledger.converge();
    await asSuperuser(pg, ledger.names.database, async (client) => {
      await client.query("ALTER TABLE audit.events ADD COLUMN note text");
      await client.query("ALTER TABLE audit.conflicts ALTER COLUMN partition TYPE bigint");
      await client.query("ALTER TABLE audit.skipped ALTER COLUMN tenant DROP NOT NULL");
      await client.query("DROP INDEX audit.events_actor");
      await client.query("ALTER TABLE audit.event_ids ENABLE ROW LEVEL SECURITY");
      await client.query("CREATE FUNCTION audit.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'");
      await client.query(
        "CREATE TRIGGER drop_it BEFORE INSERT ON audit.events_2026_11 FOR EACH ROW EXECUTE FUNCTION audit.f()",
      );
    });
    const { actions, refusals } = await ledger.plan();
    expect(actions).toEqual([]);
    expect(refusals.map(({ reason }) => reason)).toEqual(refusals.map(() => "SchemaDrift"));
    const said = refusals.map(({ message }) => message).join();
    for (const found of [
      "note text",
      "partition bigint",
      "tenant text",
      "events_actor",
      "ROW LEVEL SECURITY",
      "drop_it",
    ]) {
      expect(said).toContain(found);
    }
  });

  test("goes on under another admin login, from PostgreSQL 16 on once that one may administer its roles", async () => {
    const first = fixture();
    await first.converge();
    const { namespace } = first.identity;
    const admin = { user: `${namespace}_admin`, password: "second one" };
    const { owner, writer, reader } = first.names;
    await asSuperuser(pg, "postgres", (client) =>
      client.query(
        `CREATE ROLE ${identifier(admin.user)} LOGIN CREATEDB CREATEROLE PASSWORD ${literal(admin.password)}`,
      ),
    );
    const under = () => ledgerFixture({ pg: { ...pg, admin }, connections, namespace, passwords: first.passwords });
    if (major === "postgres18") {
      await expect(under().converge()).rejects.toMatchObject({ reason: "PermissionDenied" });
      await asSuperuser(pg, "postgres", (client) =>
        client.query(
          `GRANT ${[owner, writer, reader].map(identifier).join()} TO ${identifier(admin.user)} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE`,
        ),
      );
    }
    expect(await under().converge()).toEqual(["UseRole"]);
    const { actions, refusals } = await under().plan();
    expect(actions).toEqual([]);
    // The former admin may still act as the owner, which somebody should take from it.
    expect(new Set(refusals.map(({ message }) => message.includes(pg.admin.user)))).toEqual(new Set([true]));
    expect(await under().access.probe()).toMatchObject({ ok: true });
  });

  test("tells a marker by its content, not by its being there", async () => {
    const ledger = fixture();
    const foreign = { ...ledger.identity, clusterId: "another-cluster", state: "Released" } as const;
    await asSuperuser(pg, "postgres", async (client) => {
      await client.query(`CREATE ROLE ${identifier(ledger.names.owner)}`);
      await client.query(`COMMENT ON ROLE ${identifier(ledger.names.owner)} IS ${literal(markerText(foreign))}`);
    });
    expect((await ledger.plan()).refusals.map(({ reason }) => reason)).toEqual(["RoleConflict"]);
  });
});

/** As a sink writes it, but for the fields that do not matter here. */
const insertEvent = (recordedAt: string) =>
  `INSERT INTO audit.events (tenant, source, id, type, recorded_at, topic_id, partition, "offset", raw, headers, sha256, chain)
   VALUES ('t', '/s', 'id', 'x', '${recordedAt}', '3f2504e0-4f89-41d3-9a0c-0305e82c3301', 0, 0, '', '', '', '')`;

async function converge(access: PostgresLedger, desired: Ledger): Promise<void> {
  for (const action of planLedger(desired, await access.observe()).actions) await access.apply(action);
}
