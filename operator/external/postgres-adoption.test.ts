import { afterAll, describe, expect, test } from "vitest";
import { asSuperuser, type FixtureOptions, ledgerFixture, uniqueNamespace } from "../../test/support/ledger.ts";
import { sharedServers } from "../../test/support/servers.ts";
import { connectPostgres } from "./connect-postgres.ts";
import { identifier } from "./quote.ts";

const connections = connectPostgres();
afterAll(() => connections.close());

const RETAIN = { database: "Retain", roles: "Delete", mayDestroy: false } as const;
const SETTLED = { actions: [], refusals: [] };

describe.each(["postgres15", "postgres18"] as const)("taking over what is there, on %s", (major) => {
  const pg = sharedServers()[major];
  const admin = identifier(pg.admin.user);
  const fixture = (over: Omit<FixtureOptions, "pg" | "connections"> = {}) =>
    ledgerFixture({ pg, connections, ...over });

  /** As after a restore: the same database and roles, and no marker on any of them. */
  async function unmarked(over: Omit<FixtureOptions, "pg" | "connections"> = {}) {
    const ledger = fixture(over);
    await ledger.converge();
    const { database, schema, owner, writer, reader } = ledger.names;
    await asSuperuser(pg, database, async (client) => {
      for (const role of [owner, writer, reader]) await client.query(`COMMENT ON ROLE ${identifier(role)} IS NULL`);
      await client.query(`COMMENT ON DATABASE ${identifier(database)} IS NULL`);
      await client.query(`COMMENT ON SCHEMA ${identifier(schema)} IS NULL`);
    });
    return ledger;
  }
  const again = (ledger: Awaited<ReturnType<typeof unmarked>>, adoptionPolicy: "Never" | "IfIdentical" | "Always") =>
    fixture({ namespace: ledger.identity.namespace, uid: "uid-2", adoptionPolicy, passwords: ledger.passwords });

  test("Never: what bears no marker is a conflict", async () => {
    const { refusals, actions } = await again(await unmarked(), "Never").plan();
    expect(actions).toEqual([]);
    expect(new Set(refusals.map(({ reason }) => reason))).toEqual(new Set(["RoleConflict", "DatabaseConflict"]));
    expect(refusals[0]?.message).toContain("adoptionPolicy");
  });

  test("IfIdentical: what is as it would be made is taken over, and nothing but marks is written", async () => {
    const second = again(await unmarked(), "IfIdentical");
    const done = new Set(await second.converge());
    expect(done).toEqual(new Set(["Adopt", "SetVerifier", "MarkSettled"]));
    expect(await second.plan()).toEqual(SETTLED);
    expect(await second.access.probe()).toMatchObject({ ok: true });
    expect((await second.access.observe()).roles.owner?.marker).toMatchObject({ adopted: true, uid: "uid-2" });
  });

  test("IfIdentical: what differs is refused with each difference, and left as it is", async () => {
    const first = await unmarked();
    const { database, writer } = first.names;
    await asSuperuser(pg, database, async (client) => {
      await client.query(`GRANT DELETE ON audit.events TO ${identifier(writer)}`);
      await client.query(`ALTER ROLE ${identifier(writer)} NOLOGIN`);
      await client.query("DROP INDEX audit.events_actor");
    });
    const second = again(first, "IfIdentical");
    const { actions, refusals } = await second.plan();
    expect(actions).toEqual([]);
    expect(refusals).toHaveLength(1);
    for (const said of ["DELETE", `role ${writer} may not log in`, "events_actor"]) {
      expect(refusals[0]?.message).toContain(said);
    }
  });

  test("Always: what differs is taken over and put right, and a changed table is reported and left", async () => {
    const first = await unmarked();
    const { database, writer } = first.names;
    await asSuperuser(pg, database, async (client) => {
      await client.query(`GRANT DELETE ON audit.events TO ${identifier(writer)}`);
      await client.query("ALTER TABLE audit.conflicts ADD COLUMN note text");
      await client.query(
        "INSERT INTO audit.conflicts VALUES ('t','s','i','','','',gen_random_uuid(),0,0,now(),'kept')",
      );
    });
    const second = again(first, "Always");
    expect(await second.converge()).toContain("Adopt");
    const { actions, refusals } = await second.plan();
    expect(actions).toEqual([]);
    expect(refusals.map(({ reason }) => reason)).toEqual(["SchemaDrift"]);
    const { rows } = await asSuperuser(pg, database, (client) => client.query("SELECT note FROM audit.conflicts"));
    expect(rows).toEqual([{ note: "kept" }]);
  });

  test("Always: a schema of somebody else's in a given database changes hands, with its ledger tables and no others", async () => {
    const namespace = uniqueNamespace();
    const database = `${namespace}_platform`;
    const old = fixture({ namespace, database, schema: "trail" });
    const dba = identifier(`${namespace}_dba`);
    await asSuperuser(pg, "postgres", async (client) => {
      await client.query(`CREATE DATABASE ${identifier(database)}`);
      await client.query(`GRANT CREATE ON DATABASE ${identifier(database)} TO ${admin}`);
      await client.query(`CREATE ROLE ${dba}`);
      await client.query(`GRANT ${dba} TO ${admin}`);
    });
    await asSuperuser(pg, database, async (client) => {
      await client.query(`CREATE SCHEMA trail AUTHORIZATION ${dba}`);
      await client.query(`SET ROLE ${dba}`);
      await client.query("CREATE TABLE trail.notes (x integer)");
    });
    expect((await old.plan()).refusals.map(({ reason }) => reason)).toEqual(["SchemaConflict"]);

    const ledger = fixture({ namespace, database, schema: "trail", adoptionPolicy: "Always" });
    expect(await ledger.converge()).toContain("AdoptSchema");
    const { schema, relations } = await ledger.access.observe();
    expect(schema).toMatchObject({ owner: ledger.names.owner, marker: { adopted: true } });
    expect(relations.get("notes")?.owner).toBe(`${namespace}_dba`);
    expect(relations.get("events")?.owner).toBe(ledger.names.owner);
    expect((await ledger.plan()).refusals.map(({ message }) => message).join()).toContain("notes belongs to");
  });

  test("Always: around a table of another shape nothing is made, and it is not touched", async () => {
    const namespace = uniqueNamespace();
    const database = `${namespace}_platform`;
    const ledger = fixture({ namespace, database, schema: "trail", adoptionPolicy: "Always" });
    await asSuperuser(pg, "postgres", async (client) => {
      await client.query(`CREATE DATABASE ${identifier(database)}`);
      await client.query(`GRANT CREATE ON DATABASE ${identifier(database)} TO ${admin}`);
    });
    await asSuperuser(pg, database, async (client) => {
      await client.query(`CREATE SCHEMA trail AUTHORIZATION ${admin}`);
      await client.query("CREATE TABLE trail.events (id text)");
      await client.query(`ALTER TABLE trail.events OWNER TO ${admin}`);
    });
    for (let pass = 0; pass < 3; pass += 1) await ledger.converge();
    const { actions, refusals } = await ledger.plan();
    expect(actions).toEqual([]);
    expect(new Set(refusals.map(({ reason }) => reason))).toEqual(new Set(["SchemaDrift"]));
    const said = refusals.map(({ message }) => message).join();
    expect(said).toContain("events has no partitioning");
    expect(said).toContain("events has id text");
    expect((await ledger.access.observe()).relations.get("events")?.columns).toEqual(["id text"]);
  });

  test("what a resource of another name retained: a conflict that says whose it was, taken over where the policy says so", async () => {
    const namespace = uniqueNamespace();
    const database = `${namespace}_shared`;
    const first = fixture({ namespace, database });
    await first.converge();
    await first.teardown(RETAIN);
    const other = (adoptionPolicy: "Never" | "IfIdentical") =>
      fixture({ namespace, name: "renamed", uid: "uid-2", database, adoptionPolicy, passwords: first.passwords });
    expect((await other("Never").plan()).refusals[0]?.message).toContain(
      `was retained when AuditPipeline ${namespace}/payments`,
    );
    await other("IfIdentical").converge();
    expect(await other("Never").plan()).toEqual(SETTLED);
    expect(await other("Never").access.probe()).toMatchObject({ ok: true });
  });

  test("what another namespace's resource has or retained is out of every policy's reach, and is not named", async () => {
    const namespace = uniqueNamespace();
    const database = `${namespace}_shared`;
    const first = fixture({ namespace, database, name: "secret-project" });
    await first.converge();
    const stranger = { ...first.identity, namespace: uniqueNamespace(), name: "payments", uid: "uid-2" };
    const look = async () => {
      const second = fixture({ namespace, database, adoptionPolicy: "Always", identity: stranger });
      return second.plan();
    };
    for (const state of ["owned", "released"]) {
      const { actions, refusals } = await look();
      expect(actions, state).toEqual([]);
      expect(refusals.length, state).toBeGreaterThan(0);
      expect(JSON.stringify(refusals), state).not.toContain("secret-project");
      await first.teardown(RETAIN);
    }
  });

  test("a database of the default name that somebody else owns is never taken, by no policy", async () => {
    const ledger = fixture({ adoptionPolicy: "Always" });
    await asSuperuser(pg, "postgres", (client) => client.query(`CREATE DATABASE ${identifier(ledger.names.database)}`));
    const { actions, refusals } = await ledger.plan();
    expect(actions).toEqual([]);
    expect(refusals.map(({ reason }) => reason)).toEqual(["DatabaseConflict"]);
    expect(refusals[0]?.message).toContain("postgres.database");
  });

  test("Always: what would run somebody's code with the operator's rights is reported, and no row is written to it", async () => {
    const first = await unmarked();
    await asSuperuser(pg, first.names.database, async (client) => {
      await client.query("CREATE FUNCTION audit.theirs(bigint) RETURNS bigint IMMUTABLE LANGUAGE sql AS 'SELECT $1'");
      await client.query("ALTER TABLE audit.dropped_months ALTER events SET DEFAULT audit.theirs(1)");
      await client.query("CREATE INDEX theirs ON audit.dropped_ranges (audit.theirs(last_offset))");
      await client.query("CREATE INDEX also_theirs ON audit.dropped_ranges (partition) WHERE audit.theirs(1) = 1");
    });
    const second = again(first, "Always");
    await second.converge();
    const { refusals } = await second.plan();
    expect(new Set(refusals.map(({ reason }) => reason))).toEqual(new Set(["SchemaDrift"]));
    const said = refusals.map(({ message }) => message).join();
    for (const what of ["DEFAULT of column events", "index audit.theirs", "index audit.also_theirs"]) {
      expect(said).toContain(what);
    }
  });

  test("a login that owns tables of its own is not dropped, nor are they", async () => {
    const ledger = fixture();
    await ledger.converge();
    const { database, writer } = ledger.names;
    await asSuperuser(pg, database, async (client) => {
      await client.query("CREATE TABLE public.theirs AS SELECT 1 AS x");
      await client.query(`ALTER TABLE public.theirs OWNER TO ${identifier(writer)}`);
    });
    await expect(ledger.teardown(RETAIN)).rejects.toMatchObject({ reason: "Orphaned" });
    const { rows } = await asSuperuser(pg, database, (client) => client.query("SELECT x FROM public.theirs"));
    expect(rows).toEqual([{ x: 1 }]);
    expect((await ledger.access.observe()).roles.writer).toMatchObject({ login: false });
  });

  test("a former self that nobody released is taken back, and its rows with it", async () => {
    const first = fixture();
    await first.converge();
    const second = fixture({ namespace: first.identity.namespace, uid: "uid-2", passwords: first.passwords });
    expect(new Set(await second.converge())).toEqual(new Set(["TakeBack", "MarkSettled"]));
    expect(await second.plan()).toEqual(SETTLED);
    expect((await second.access.observe()).roles.owner?.marker?.adopted).toBeUndefined();
  });
});
